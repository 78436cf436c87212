/*
 * Prints into a buffer in many small pieces.  The first error is kept, and
 * pieces after it do nothing, so the caller checks once, at the end.
 */
#ifndef LIB_PRINT_H
#define LIB_PRINT_H

#include <plait/buf.h>

struct print {
	struct plait_buf *to;
	int error; /* 0 or -errno */
};

/* Returns true for a byte that can neither end nor forge a line. */
static inline bool print_is_visible(char c)
{
	return c >= 0x20 && c <= 0x7e;
}

void plait_i_print(struct print *p, const char *fmt, ...) PLAIT_PRINTF(2, 3);

/*
 * Prints text inside a string of JSON or Graphviz, without the characters that
 * could end the string or must not be in it.
 */
void plait_i_print_plain(struct print *p, const char *text);

#endif

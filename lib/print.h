/*
 * Printing into a buffer in many small pieces: the first error is kept, and
 * the pieces after it are nothing, so it is looked at once, at the end.
 */
#ifndef LIB_PRINT_H
#define LIB_PRINT_H

#include <plait/buf.h>

struct print {
	struct plait_buf *to;
	int error; /* 0 or -errno */
};

/* True for what can neither end nor forge a line. */
static inline bool print_is_visible(char c)
{
	return c >= 0x20 && c <= 0x7e;
}

void plait_i_print(struct print *p, const char *fmt, ...) PLAIT_PRINTF(2, 3);

/*
 * Text inside a string of JSON or Graphviz: what could end it or must not be
 * in it is left out.
 */
void plait_i_print_plain(struct print *p, const char *text);

#endif

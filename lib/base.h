/*
 * The only way in which the library writes to standard error.
 */
#ifndef LIB_BASE_H
#define LIB_BASE_H

#include <stdbool.h>
#include <stdint.h>

#include <plait/base.h>

/*
 * For a function that is called seldom, by a function that is called often.  If
 * it was inlined, the caller would save registers for it in every call.
 */
#define OUT_OF_LINE __attribute__((noinline))

/*
 * True if the program has set a reserved word of a public struct: it was
 * compiled for a later version, or has not zeroed the struct.
 */
#define RESERVED_IN_USE(s)                                                     \
	(base_any_is_set((s)->reserved,                                        \
			 sizeof((s)->reserved) / sizeof((s)->reserved[0])))

static inline bool base_any_is_set(const uintptr_t *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (words[i] != 0)
			return true;
	}
	return false;
}

/*
 * Writes a report of one or more lines to standard error.  A report of at most
 * PIPE_BUF bytes is one write, so that lines of several threads or processes do
 * not mix.  Never waits: a report without room is lost, and counted.  Does not
 * change errno.
 */
void plait_i_base_say(const char *text, size_t len);

/*
 * Says how many reports were lost, if there are any.  The next report does
 * this, too.
 */
void plait_i_base_say_lost(void);

#endif

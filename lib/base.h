/*
 * The one way in which the library speaks to the person at the terminal.
 */
#ifndef LIB_BASE_H
#define LIB_BASE_H

#include <stdbool.h>
#include <stdint.h>

#include <plait/base.h>

/*
 * For what an often called function calls seldom.  Compiled into it, the
 * seldom called one would make every call save registers for it.
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
 * Puts a report, one or more lines, on standard error, in one write if it is
 * not longer than PIPE_BUF, so that lines of several threads or processes don't
 * mix.  Never waits: what there is no room for is lost, and counted.  Leaves
 * errno alone.
 */
void plait_i_base_say(const char *text, size_t len);

/* Says how many reports were lost, if any; the next report does so, too. */
void plait_i_base_say_lost(void);

#endif

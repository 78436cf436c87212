/*
 * What the environment asks for in PLAIT_DEBUG: a list of words, separated by
 * commas.  A process reads it once.
 */
#ifndef LIB_DEBUG_H
#define LIB_DEBUG_H

#include <stdatomic.h>
#include <stdbool.h>

enum debug_flag {
	DEBUG_WAS_READ = 1,
	DEBUG_QUARANTINE = 2, /* freed deferreds are kept for a while */
	DEBUG_TURNS = 4,      /* a line for each turn of a loop */
	DEBUG_FAILURES = 8, /* everything about a failure that nobody handled */
	DEBUG_MALLOC = 16   /* each object comes from malloc(), none from slabs,
			       so that tools see it */
};

extern atomic_uint plait_i_debug_flags; /* 0: not read yet */

unsigned plait_i_debug_read(void);

static inline bool debug_is_on(enum debug_flag flag)
{
	unsigned flags = atomic_load_explicit(&plait_i_debug_flags,
					      memory_order_relaxed);

	if (__builtin_expect(flags == 0, 0))
		flags = plait_i_debug_read();
	return (flags & flag) != 0;
}

/*
 * Returns true if the program was compiled with a sanitizer, or runs in a tool
 * of Valgrind that follows memory.
 */
bool plait_i_debug_is_watched(void);

/* Keeps a block of malloc(), and frees the oldest block that it has kept. */
void plait_i_debug_quarantine(void *block);

#endif

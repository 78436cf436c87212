/*
 * Which thread an object belongs to.  Threads have numbers, which are never
 * used again.  So what an ended thread has left belongs to no thread.
 */
#ifndef LIB_OWNER_H
#define LIB_OWNER_H

#include <stdbool.h>

/*
 * The number of this thread; 0 means that it has no number and has made
 * nothing.
 */
extern _Thread_local unsigned plait_i_owner_self
	__attribute__((tls_model("initial-exec")));

/* Gives this thread a number, and returns it. */
unsigned plait_i_owner_begin(void);

static inline unsigned owner_number(void)
{
	return plait_i_owner_self != 0 ? plait_i_owner_self
				       : plait_i_owner_begin();
}

/* This costs four instructions with the branch, so every call has it. */
static inline bool owner_is_self(unsigned owner)
{
	return __builtin_expect(owner == plait_i_owner_self, 1);
}

#endif

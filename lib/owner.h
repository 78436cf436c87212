/*
 * Which thread an object belongs to.  Threads have numbers, which are never
 * used again, so that what a thread has left behind is nobody's.
 */
#ifndef LIB_OWNER_H
#define LIB_OWNER_H

#include <stdbool.h>

/* This thread's; 0: it has none yet, so it has made nothing. */
extern _Thread_local unsigned plait_i_owner_self
	__attribute__((tls_model("initial-exec")));

/* Gives this thread a number; that number. */
unsigned plait_i_owner_begin(void);

static inline unsigned owner_number(void)
{
	return plait_i_owner_self != 0 ? plait_i_owner_self
				       : plait_i_owner_begin();
}

/* Four instructions with the branch, so it stands in every call. */
static inline bool owner_is_self(unsigned owner)
{
	return __builtin_expect(owner == plait_i_owner_self, 1);
}

#endif

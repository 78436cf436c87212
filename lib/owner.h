/*
 * Which thread an object belongs to.  Threads have numbers, which are never
 * used again, so that what a thread has left behind is nobody's.
 */
#ifndef LIB_OWNER_H
#define LIB_OWNER_H

#include <stdbool.h>

/* This thread's; 0: it has none yet, so it has made nothing. */
extern _Thread_local unsigned owner_self
	__attribute__((tls_model("initial-exec")));

/* Gives this thread a number; that number. */
unsigned owner_begin(void);

static inline unsigned owner_number(void)
{
	return owner_self != 0 ? owner_self : owner_begin();
}

/* Four instructions with the branch, so it stands in every call. */
static inline bool owner_is_self(unsigned owner)
{
	return __builtin_expect(owner == owner_self, 1);
}

#endif

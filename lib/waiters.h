/*
 * Those who wait for one thing, first come first served: each has a deferred,
 * and leaves the line by cancelling it.
 */
#ifndef LIB_WAITERS_H
#define LIB_WAITERS_H

#include <plait/deferred.h>
#include <plait/list.h>

struct waiters {
	struct plait_list line;
	size_t count;
	/*
	 * A waiter that is cancelled is out of the line.  What is to be
	 * cancelled for that, or NULL; and then that this has been done.
	 * NULL: nobody cares.
	 */
	struct plait_deferred *(*left)(struct waiters *w);
	void (*gone)(struct waiters *w, struct plait_deferred *d);
	const char *reason, *where; /* told to what left() gives */
};

void plait_i_waiters_init(struct waiters *w);

/* A deferred at the end of the line, given; failed with no memory. */
struct plait_deferred *plait_i_waiters_add(struct waiters *w,
					   const char *where);

/* The promise of the first, given, who is out of the line; there is one. */
struct plait_promise *plait_i_waiters_pop(struct waiters *w);

#endif

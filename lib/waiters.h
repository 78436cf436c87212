/*
 * A line of callers that wait for one thing, and are served in the order in
 * which they came.  Each has a deferred, and leaves the line by cancelling it.
 */
#ifndef LIB_WAITERS_H
#define LIB_WAITERS_H

#include <plait/deferred.h>
#include <plait/list.h>

struct waiters {
	struct plait_list line;
	size_t count;
	/*
	 * left() is called when a waiter was cancelled and is out of the line.
	 * It returns a deferred that must be cancelled because of that, or
	 * NULL; gone() is called after this deferred was cancelled.  left
	 * may be NULL.
	 */
	struct plait_deferred *(*left)(struct waiters *w);
	void (*gone)(struct waiters *w, struct plait_deferred *d);
	const char *reason, *where; /* of that cancellation */
};

void plait_i_waiters_init(struct waiters *w);

/* Gives a deferred at the end of the line; with no memory it has failed. */
struct plait_deferred *plait_i_waiters_add(struct waiters *w,
					   const char *where);

/*
 * Takes the first waiter out of the line, which must not be empty, and gives
 * its promise.
 */
struct plait_promise *plait_i_waiters_pop(struct waiters *w);

#endif

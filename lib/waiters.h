/*
 * Those who wait for one thing, first come first served: each has a deferred,
 * and leaves the line by cancelling it.
 */
#ifndef LIB_WAITERS_H
#define LIB_WAITERS_H

#include <plait/deferred.h>
#include <plait/list.h>

struct waiters;

/* d, whose canceller runs, is out of the line. */
typedef void waiters_left(struct waiters *w, struct plait_deferred *d);

struct waiters {
	struct plait_list line;
	size_t count;
	waiters_left *left; /* NULL: nobody cares */
};

void waiters_init(struct waiters *w, waiters_left *left);

/* A deferred at the end of the line, given; failed with no memory. */
struct plait_deferred *waiters_add(struct waiters *w, const char *where);

/* The promise of the first, given, who is out of the line; there is one. */
struct plait_promise *waiters_pop(struct waiters *w);

#endif

/*
 * Lines of waiters.  A waiter is in its line exactly as long as its promise is
 * neither fired nor dropped, so the promise of a waiter that is popped can be
 * fired.
 */
#include <stdlib.h>

#include "lib/deferred.h"
#include "lib/waiters.h"

struct waiter {
	struct deferred_group group;
	struct plait_list link;
	struct waiters *waiters;
	struct plait_promise *promise; /* NULL once it has left the line */
};

void plait_i_waiters_init(struct waiters *w)
{
	*w = (struct waiters){ .count = 0 };
	plait_list_init(&w->line);
}

static void take_out(struct waiter *one)
{
	plait_list_remove(&one->link);
	one->waiters->count--;
}

/* The first call takes the waiter out of the line, the last one frees it. */
static struct plait_deferred *waiters_leave(struct deferred_group *g,
					    struct plait_deferred *d)
{
	struct waiter *one = plait_container(g, struct waiter, group);
	struct waiters *w = one->waiters;
	struct plait_deferred *part = NULL;

	if (one->promise != NULL) {
		take_out(one);
		plait_promise_drop(&one->promise);
		if (w->left != NULL)
			part = w->left(w);
	} else {
		w->gone(w, d);
	}
	if (part == NULL)
		free(one);
	return part;
}

struct plait_deferred *plait_i_waiters_add(struct waiters *w, const char *where)
{
	struct waiter *one = malloc(sizeof(*one));
	struct plait_deferred *d;

	if (one == NULL)
		return (plait_failed)(plait_no_memory(), where);
	*one = (struct waiter){ .group = { waiters_leave, w->reason, w->where },
				.waiters = w };
	d = plait_i_deferred_new_group(&one->promise, &one->group, where);
	if (one->promise == NULL) {
		free(one);
		return d;
	}
	plait_list_append(&w->line, &one->link);
	w->count++;
	return d;
}

struct plait_promise *plait_i_waiters_pop(struct waiters *w)
{
	struct plait_list *first = plait_list_first(&w->line);
	struct plait_promise *p;
	struct waiter *one;

	plait_assert(first != NULL);
	one = plait_container(first, struct waiter, link);
	p = one->promise;
	take_out(one);
	free(one);
	return p;
}

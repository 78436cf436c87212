/*
 * Lines of waiters.  A waiter is in its line exactly as long as its promise is
 * neither fired nor dropped, so whoever is popped can be served.
 */
#include <stdlib.h>

#include "lib/waiters.h"

struct waiter {
	struct plait_list link;
	struct waiters *waiters;
	struct plait_promise *promise;
};

void waiters_init(struct waiters *w, waiters_left *left)
{
	*w = (struct waiters){ .left = left };
	plait_list_init(&w->line);
}

static struct plait_promise *take_out(struct waiter *one)
{
	struct plait_promise *p = one->promise;

	plait_list_remove(&one->link);
	one->waiters->count--;
	free(one);
	return p;
}

static plait_value leave(struct plait_deferred *d, void *arg)
{
	struct waiter *one = arg;
	struct waiters *w = one->waiters;
	struct plait_promise *p = take_out(one);

	plait_promise_drop(&p);
	if (w->left != NULL)
		w->left(w, d);
	return plait_cancelled();
}

struct plait_deferred *waiters_add(struct waiters *w, const char *where)
{
	struct waiter *one = malloc(sizeof(*one));
	struct plait_deferred *d;

	if (one == NULL)
		return plait_failed_at(plait_no_memory(), where);
	*one = (struct waiter){ .waiters = w };
	d = plait_deferred_new_at(&one->promise, leave, one, where);
	if (one->promise == NULL) {
		free(one);
		return d;
	}
	plait_list_append(&w->line, &one->link);
	w->count++;
	return d;
}

struct plait_promise *waiters_pop(struct waiters *w)
{
	return take_out(plait_container(plait_list_first(&w->line),
					struct waiter, link));
}

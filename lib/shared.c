/*
 * One operation for many waiters.
 *
 * The operation is there until it has fired; then its result is, and each
 * waiter has a reference to that.  The last waiter who goes cancels the
 * operation, from inside its own cancel.
 */
#include <stdlib.h>

#include <plait/list.h>
#include <plait/shared.h>

struct plait_shared {
	struct plait_deferred *operation;
	plait_value result;
	struct plait_list waiters;
	size_t waiting;
	unsigned refs; /* the handle's, and that of a delivery under way */
	bool fired, told;
};

struct waiter {
	struct plait_list link;
	struct plait_shared *shared;
	struct plait_promise *promise;
};

static struct plait_promise *forget(struct waiter *w)
{
	struct plait_promise *p = w->promise;

	plait_list_remove(&w->link);
	w->shared->waiting--;
	free(w);
	return p;
}

static struct waiter *first_waiter(struct plait_shared *s)
{
	return plait_container(plait_list_first(&s->waiters), struct waiter,
			       link);
}

static void unref(struct plait_shared *s)
{
	plait_value v;

	if (--s->refs > 0 || s->waiting > 0)
		return;
	v = plait_take(&s->result);
	if (plait_value_is_failure(&v) && !s->told)
		plait_unhandled(plait_value_failure(&v));
	plait_value_free(&v);
	plait_deferred_free(&s->operation);
	free(s);
}

/* The operation has fired: its result goes to all who wait. */
static plait_value deliver(plait_value *result, void *arg)
{
	struct plait_shared *s = arg;

	s->result = plait_take(result);
	s->fired = true;
	s->refs++;
	while (s->waiting > 0) {
		struct plait_promise *p = forget(first_waiter(s));

		s->told = true;
		plait_fire(&p, plait_value_ref(&s->result));
	}
	unref(s);
	return PLAIT_NONE;
}

struct plait_shared *plait_shared_new(struct plait_deferred **dp)
{
	struct plait_shared *s = malloc(sizeof(*s));

	if (s == NULL) {
		plait_deferred_free(dp);
		return NULL;
	}
	*s = (struct plait_shared){ .operation = *dp, .refs = 1 };
	*dp = NULL;
	plait_list_init(&s->waiters);
	plait_deferred_add_both(s->operation, deliver, s);
	return s;
}

/* Nobody is left who wants the result. */
static void give_up(struct plait_shared *s)
{
	s->told = true;
	plait_deferred_cancel_because(s->operation, "nobody waits any more");
}

static plait_value leave(struct plait_deferred *d, void *arg)
{
	struct waiter *w = arg;
	struct plait_shared *s = w->shared;
	struct plait_promise *p = forget(w);

	plait_promise_drop(&p);
	s->refs++;
	if (s->waiting == 0 && !s->fired)
		give_up(s);
	unref(s);
	return plait_cancelled();
}

static struct plait_deferred *wait_for_result(struct plait_shared *s)
{
	struct waiter *w = malloc(sizeof(*w));
	struct plait_deferred *d;

	if (w == NULL)
		return plait_failed(plait_no_memory());
	*w = (struct waiter){ .shared = s };
	d = plait_deferred_new(&w->promise, leave, w);
	if (w->promise == NULL) {
		free(w);
		return d;
	}
	plait_list_append(&s->waiters, &w->link);
	s->waiting++;
	return d;
}

struct plait_deferred *plait_shared_wait(struct plait_shared *s)
{
	if (!s->fired)
		return wait_for_result(s);
	s->told = true;
	return plait_maybe_deferred(plait_value_ref(&s->result));
}

size_t plait_shared_waiting(const struct plait_shared *s)
{
	return s->waiting;
}

bool plait_shared_is_fired(const struct plait_shared *s)
{
	return s->fired;
}

void plait_shared_free(struct plait_shared **sp)
{
	struct plait_shared *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	if (s->waiting == 0 && !s->fired)
		give_up(s);
	unref(s);
}

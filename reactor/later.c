/*
 * Deferreds and time.  What a timer needs is one struct, which the pair at
 * the end of the chain frees, or the freed deferred; so the timer never
 * outlives what it was set for.
 */
#include <stdlib.h>

#include <plait/later.h>

#include "lib/deferred.h"

struct timeout {
	struct plait_timer timer;
	struct plait_deferred *deferred;
	plait_timeout_cancel *on_cancel;
	void *arg;
	double seconds;
	bool cancelled;
};

struct later {
	struct plait_timer timer;
	struct plait_promise *promise;
	plait_operation *fn;
	void *arg;
};

static const char reason[] = "timeout";

static void time_is_up(void *arg)
{
	struct timeout *t = arg;

	t->cancelled = true;
	plait_deferred_cancel_because(t->deferred, reason);
}

static void drop_timeout(void *arg)
{
	struct timeout *t = arg;

	plait_timer_stop(&t->timer);
	free(t);
}

/* The default: a cancellation that the timeout caused becomes TimeoutError. */
static plait_value convert(plait_value *result, double seconds, void *arg)
{
	const struct plait_failure *f;

	if (!plait_value_is_failure(result))
		return *result;
	f = plait_value_failure(result);
	if (!plait_failure_check(f, &plait_error_cancelled))
		return *result;
	return plait_fail_because(&plait_error_timeout, f,
				  "no result in %g s", seconds);
}

static plait_value end_timeout(plait_value *result, void *arg)
{
	struct timeout *t = arg;
	plait_timeout_cancel *on_cancel = t->cancelled ? t->on_cancel : NULL;
	void *cancel_arg = t->arg;
	double seconds = t->seconds;

	drop_timeout(t);
	return on_cancel != NULL ? on_cancel(result, seconds, cancel_arg) :
					 *result;
}

struct plait_deferred *plait_deferred_add_timeout_with(
	struct plait_deferred *d, struct plait_reactor *r, double seconds,
	plait_timeout_cancel *on_cancel, void *arg)
{
	struct timeout *t = malloc(sizeof(*t));

	if (t == NULL) {
		plait_deferred_cancel_because(d, "no memory for its timeout");
		return d;
	}
	*t = (struct timeout){ .deferred = d,
			       .on_cancel = on_cancel,
			       .arg = arg,
			       .seconds = seconds };
	plait_timer_start(r, &t->timer, seconds, time_is_up, t);
	return deferred_add_guarded(d, end_timeout, t, drop_timeout);
}

struct plait_deferred *plait_deferred_add_timeout(struct plait_deferred *d,
						  struct plait_reactor *r,
						  double seconds)
{
	return plait_deferred_add_timeout_with(d, r, seconds, convert, NULL);
}

static void fire_later(void *arg)
{
	struct later *l = arg;

	plait_fire(&l->promise, PLAIT_NONE);
}

static plait_value cancel_later(struct plait_deferred *d, void *arg)
{
	struct later *l = arg;

	plait_timer_stop(&l->timer);
	plait_promise_drop(&l->promise);
	return plait_cancelled();
}

static void drop_later(void *arg)
{
	struct later *l = arg;

	plait_timer_stop(&l->timer);
	free(l);
}

/* The first pair: what fn begins is waited for, and cancelled, like any. */
static plait_value call_later_fn(plait_value *result, void *arg)
{
	struct later *l = arg;
	plait_operation *fn = l->fn;
	void *fn_arg = l->arg;

	drop_later(l);
	if (plait_value_is_failure(result) || fn == NULL)
		return *result;
	return fn(fn_arg);
}

struct plait_deferred *plait_defer_later(struct plait_reactor *r,
					 double seconds, plait_operation *fn,
					 void *arg)
{
	struct later *l = malloc(sizeof(*l));
	struct plait_deferred *d;

	if (l == NULL)
		return plait_failed(plait_no_memory());
	*l = (struct later){ .fn = fn, .arg = arg };
	d = plait_deferred_new(&l->promise, cancel_later, l);
	if (l->promise == NULL) {
		free(l);
		return d;
	}
	plait_timer_start(r, &l->timer, seconds, fire_later, l);
	return deferred_add_guarded(d, call_later_fn, l, drop_later);
}

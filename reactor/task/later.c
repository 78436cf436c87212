/*
 * Deferreds and time.  A timeout and a later call are one struct each, which
 * belongs to a guarded pair of the deferred: it goes when the chain reaches
 * that pair, or with the deferred.  So no timer outlives what it was set for,
 * and as long as it runs the deferred is there.
 */
#include <stdlib.h>

#include <plait/later.h>

#include "lib/chance.h"
#include "lib/deferred.h"
#include "lib/failure.h"
#include "reactor/loop/loop.h"

/* Defined here; whoever calls them here says the place. */
#undef plait_deferred_add_timeout
#undef plait_deferred_add_timeout_with
#undef plait_defer_later

const struct plait_error plait_error_timeout = {
	.name = "TimeoutError",
	.text = "The result did not come in time.",
	.parent = &plait_error_any,
};

struct timeout {
	struct plait_timer timer;
	struct plait_reactor *reactor;
	struct plait_deferred *deferred;
	plait_on_timeout_cancel *on_cancel; /* NULL: convert */
	void *arg;
	double seconds;
	const char *where; /* it was added */
	bool cancelled;	   /* it has, so something was stopped */
};

struct later {
	struct plait_timer timer;
	struct plait_reactor *reactor;
	struct loop_task reactor_freed;
	struct plait_promise *promise;
	plait_operation *fn;
	void *arg;
	const char *late; /* where it was begun, if the reactor was ending */
};

/* ---- timeouts ------------------------------------------------------- */

/* Seconds between cancels of a chain that does not end. */
static const double min_period = 1;

/* In a cancellation: a timeout has asked for it. */
static const char timed_out[] = "timeout";

/*
 * Whatever the chain does next, the time is up; so the timer goes on, until
 * the pair is reached.  It is set first: cancelling may free the timeout.
 */
static void later_time_is_up(void *arg)
{
	struct timeout *t = arg;
	bool often = t->seconds < min_period;

	REACHED("a timeout cancels");
	plait_timer_start(t->reactor, &t->timer,
			  often ? min_period : t->seconds, later_time_is_up, t);
	if (plait_i_deferred_is_pending(t->deferred))
		t->cancelled = true;
	(plait_deferred_cancel_because)(t->deferred, timed_out, t->where);
}

static struct plait_deferred *drop_timeout(void *arg)
{
	struct timeout *t = arg;

	plait_timer_stop(&t->timer);
	free(t);
	return NULL;
}

/* Whether the result is a cancellation that no timeout has asked for. */
static bool is_anothers(const plait_value *result)
{
	const struct plait_failure *f;

	if (!plait_value_is_failure(result))
		return false;
	f = plait_value_failure(result);
	return *plait_failure_cancel_where(f) != '\0' &&
	       plait_failure_cancel_reason(f) != timed_out;
}

/* A cancellation becomes TimeoutError, what else there is stays. */
static plait_value later_convert(const struct timeout *t, plait_value *result)
{
	const struct plait_failure *f;

	if (!plait_value_is_failure(result))
		return *result;
	f = plait_value_failure(result);
	if (!plait_failure_check(f, &plait_error_cancelled))
		return *result;
	return (plait_fail_because)(t->where, &plait_error_timeout, f,
				    "no result in %g s", t->seconds);
}

static plait_value end_timeout(plait_value *result, void *arg)
{
	struct timeout t = *(struct timeout *)arg;

	drop_timeout(arg);
	if (!t.cancelled || is_anothers(result))
		return *result;
	if (t.on_cancel != NULL)
		return t.on_cancel(result, t.seconds, t.arg);
	return later_convert(&t, result);
}

static struct plait_deferred *
later_add_timeout(const char *function, struct plait_deferred *d,
		  struct plait_reactor *r, double seconds,
		  plait_on_timeout_cancel *on_cancel, void *arg,
		  const char *where)
{
	struct timeout *t;

	loop_check_given(r, function, where);
	if (d == NULL)
		return &plait_i_deferred_no_memory;
	t = malloc(sizeof(*t));
	if (t == NULL) {
		(plait_deferred_cancel_because)(d, "no memory for its timeout",
						where);
		return d;
	}
	*t = (struct timeout){ .reactor = r,
			       .deferred = d,
			       .on_cancel = on_cancel,
			       .arg = arg,
			       .seconds = seconds,
			       .where = where };
	plait_timer_start(r, &t->timer, seconds, later_time_is_up, t);
	return plait_i_deferred_add_guarded(d, end_timeout, t, drop_timeout);
}

struct plait_deferred *plait_deferred_add_timeout_with(
	struct plait_deferred *d, struct plait_reactor *r, double seconds,
	plait_on_timeout_cancel *on_cancel, void *arg, const char *where)
{
	return later_add_timeout("plait_deferred_add_timeout_with()", d, r,
				 seconds, on_cancel, arg, where);
}

struct plait_deferred *plait_deferred_add_timeout(struct plait_deferred *d,
						  struct plait_reactor *r,
						  double seconds,
						  const char *where)
{
	return later_add_timeout("plait_deferred_add_timeout()", d, r, seconds,
				 NULL, NULL, where);
}

/* ---- later ---------------------------------------------------------- */

static void fire_later(void *arg)
{
	struct later *l = arg;

	plait_fire(&l->promise, PLAIT_NONE);
}

/* What is begun when there is no time any more is cancelled. */
static plait_value later_reactor_freed(const char *where)
{
	return plait_i_failure_cancelled_by("reactor freed", where);
}

static void abandon_later(struct loop_task *task)
{
	struct later *l = plait_container(task, struct later, reactor_freed);

	plait_timer_stop(&l->timer);
	if (l->late != NULL)
		plait_fire(&l->promise, later_reactor_freed(l->late));
	else if (!loop_is_forked(l->reactor))
		plait_promise_drop(&l->promise);
}

static plait_value cancel_later(struct plait_deferred *d, void *arg)
{
	struct later *l = arg;

	plait_timer_stop(&l->timer);
	plait_promise_drop(&l->promise);
	return plait_cancelled();
}

static struct plait_deferred *drop_later(void *arg)
{
	struct later *l = arg;

	plait_timer_stop(&l->timer);
	loop_task_cancel(&l->reactor_freed);
	free(l);
	return NULL;
}

/* The first pair: what fn begins is waited for, and cancelled, like any. */
static plait_value call_later(plait_value *result, void *arg)
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
					 void *arg, const char *where)
{
	struct later *l;
	struct plait_deferred *d;

	loop_check_null(r, "plait_defer_later()", where);
	if (plait_i_loop_refuses(r))
		return (plait_failed)(later_reactor_freed(where), where);
	l = malloc(sizeof(*l));
	if (l == NULL)
		return (plait_failed)(plait_no_memory(), where);
	*l = (struct later){ .reactor = r,
			     .reactor_freed.run = abandon_later,
			     .fn = fn,
			     .arg = arg,
			     .late = plait_i_loop_is_ending(r) ? where : NULL };
	d = (plait_deferred_new)(&l->promise, cancel_later, l, where);
	if (l->promise == NULL) {
		free(l);
		return d;
	}
	plait_timer_start(r, &l->timer, seconds, fire_later, l);
	plait_i_loop_when_freed(r, &l->reactor_freed);
	return plait_i_deferred_add_guarded(d, call_later, l, drop_later);
}

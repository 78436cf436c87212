/*
 * Looping calls.  The k-th call is due at start + k * interval; last is the k
 * of the last call that was made, next that of the one that is waited for.
 * Each point of the grid is computed from its number, in nanoseconds, and
 * always in the same way: that keeps rounding from adding up, from making a
 * call twice and from leaving one out.
 *
 * While promise is there, one of these is under way: the timer, the function
 * itself (calling), or the deferred that it returned (begun).  Stopping waits
 * for the last two.
 */
#include <stdlib.h>

#include <plait/looping_call.h>
#include <plait/timer.h>

#include "lib/deferred.h"
#include "lib/exception.h"
#include "lib/failure.h"
#include "reactor/loop/loop.h"

/* Defined here; whoever calls them here says the place. */
#undef plait_looping_call_start

struct plait_looping_call {
	struct plait_reactor *reactor;
	plait_looping_call_func *fn;
	void *arg;
	struct plait_timer timer;
	struct loop_task reactor_freed;
	struct plait_promise *promise; /* of start; NULL: it has ended */
	struct plait_deferred *begun;
	double interval;
	int64_t started;
	uint64_t last, next;
	unsigned refs; /* the handle's, and those of calls under way */
	bool running, calling, freed;
};

static void looping_abandon(struct loop_task *task);

static void looping_forget_reactor(struct loop_task *task)
{
	plait_container(task, struct plait_looping_call, reactor_freed)
		->reactor = NULL;
}

/* When the last callbacks have been told of the end of the reactor. */
static void looping_forget_reactor_later(struct plait_looping_call *l)
{
	l->reactor_freed.run = looping_forget_reactor;
	plait_i_loop_keep(l->reactor, &l->reactor_freed);
}

struct plait_looping_call *plait_looping_call_new(struct plait_reactor *r,
						  plait_looping_call_func *fn,
						  void *arg)
{
	struct plait_looping_call *l;

	loop_check_given(r, "plait_looping_call_new()", NULL);
	l = malloc(sizeof(*l));
	if (l == NULL)
		return NULL;
	*l = (struct plait_looping_call){ .reactor = r,
					  .fn = fn,
					  .arg = arg,
					  .reactor_freed.run = looping_abandon,
					  .refs = 1 };
	if (plait_i_loop_is_ending(r))
		looping_forget_reactor_later(l);
	else
		plait_i_loop_when_freed(r, &l->reactor_freed);
	return l;
}

static void looping_unref(struct plait_looping_call *l)
{
	if (--l->refs == 0)
		free(l);
}

/* ---- the grid ------------------------------------------------------- */

/* Nanoseconds from the start to the k-th point. */
static int64_t looping_offset(const struct plait_looping_call *l, uint64_t k)
{
	return k == 0 ? 0 : plait_i_clock_delay((double)k * l->interval);
}

/* The last point of the grid that is not later than now. */
static uint64_t points_passed(const struct plait_looping_call *l, int64_t now)
{
	const double most = 0x1p62;
	int64_t passed = now - l->started;
	double n = (double)passed / 1e9 / l->interval;
	uint64_t k = n < most ? (uint64_t)n : (uint64_t)most;

	/* The division is rounded, so it may be off by one. */
	if (looping_offset(l, k) > passed)
		k--;
	else if (looping_offset(l, k + 1) <= passed)
		k++;
	return k;
}

static void looping_time_is_up(void *arg);

/*
 * What the function has missed by its own slowness is skipped, so this looks
 * at the clock; the timer counts from the beginning of this callback.
 */
static void looping_schedule(struct plait_looping_call *l)
{
	int64_t wait = 0;

	l->next = l->last + 1;
	if (l->interval > 0) {
		uint64_t k =
			points_passed(l, plait_i_clock_read(l->reactor)) + 1;

		if (k > l->next)
			l->next = k;
		wait = looping_offset(l, l->next) -
		       (plait_i_clock_now(l->reactor) - l->started);
	}
	plait_timer_start(l->reactor, &l->timer,
			  wait > 0 ? (double)wait / 1e9 : 0, looping_time_is_up,
			  l);
}

/* ---- calls ---------------------------------------------------------- */

static void looping_halt(struct plait_looping_call *l)
{
	l->running = false;
	plait_timer_stop(&l->timer);
}

/* The last step; what the promise fires may start it again, or free it. */
static void looping_finish(struct plait_looping_call *l, plait_value v)
{
	looping_halt(l);
	plait_fire(&l->promise, v);
}

/* A call has ended, with v, which is taken. */
static void looping_called(struct plait_looping_call *l, plait_value v)
{
	if (l->reactor == NULL) {
		plait_value_free(&v);
		return;
	}
	if (plait_value_is_failure(&v)) {
		looping_finish(l, v);
		return;
	}
	plait_value_free(&v);
	if (l->running)
		looping_schedule(l);
	else
		looping_finish(l, PLAIT_NONE);
}

/*
 * With no memory for the pair this comes out of turn: what the function
 * began is cancelled then, as it is the end of the loop.
 */
static plait_value begun_done(plait_value *result, void *arg)
{
	struct plait_looping_call *l = arg;
	struct plait_deferred *begun = l->begun;
	plait_value v;

	if (begun == NULL)
		return *result;
	v = plait_value_take(result);
	l->begun = NULL;
	plait_deferred_free(&begun);
	looping_called(l, v);
	return PLAIT_NONE;
}

static OUT_OF_LINE void looping_call(struct plait_looping_call *l,
				     uint64_t count)
{
	plait_value v;

	l->refs++;
	l->calling = true;
	v = l->fn((size_t)count, l->arg);
	exception_barrier();
	l->calling = false;
	/* Was it freed or cancelled inside?  Then nobody waits for that. */
	if (plait_value_is(&v, &plait_deferred_type) &&
	    (l->freed || l->promise == NULL))
		plait_value_free(&v);
	if (plait_value_is(&v, &plait_deferred_type)) {
		l->begun = plait_i_deferred_take_value(v, PLAIT_HERE);
		plait_deferred_add_both(l->begun, begun_done, l);
	} else {
		looping_called(l, v);
	}
	looping_unref(l);
}

static void looping_time_is_up(void *arg)
{
	struct plait_looping_call *l = arg;
	uint64_t before = l->last;

	l->last = l->next;
	if (l->interval > 0) {
		uint64_t k = points_passed(l, plait_i_clock_now(l->reactor));

		if (k > l->last)
			l->last = k;
	}
	looping_call(l, l->last - before);
}

/* ---- starting and stopping ------------------------------------------ */

/*
 * Stops it, and what the function began with it.  held is the deferred of start
 * if that is being cancelled, or NULL: it waits until the callbacks and
 * cancellers of what the function began have left the stack.
 */
static void looping_break_off(struct plait_looping_call *l,
			      struct plait_deferred *held)
{
	struct plait_deferred *begun = l->begun;

	looping_halt(l);
	l->begun = NULL;
	plait_i_deferred_free_for(held, &begun, PLAIT_HERE);
}

static void looping_give_up(struct plait_looping_call *l,
			    struct plait_deferred *held)
{
	l->refs++;
	looping_break_off(l, held);
	plait_promise_drop(&l->promise);
	looping_unref(l);
}

static plait_value cancel_loop(struct plait_deferred *d, void *arg)
{
	looping_give_up(arg, d);
	return plait_cancelled();
}

/* A forked child tells nobody; what the function began is the program's. */
static void looping_abandon(struct loop_task *task)
{
	struct plait_looping_call *l =
		plait_container(task, struct plait_looping_call, reactor_freed);

	if (loop_is_forked(l->reactor)) {
		l->reactor = NULL;
		looping_halt(l);
		return;
	}
	l->refs++;
	looping_give_up(l, NULL);
	/* Unless it was started anew meanwhile. */
	if (!l->freed && !plait_list_is_linked(&task->link))
		looping_forget_reactor_later(l);
	looping_unref(l);
}

/*
 * Started while the reactor is ending, it is abandoned in the next round; if
 * nobody is told of that any more, it stays as it is.
 */
static void start_in_vain(struct plait_looping_call *l)
{
	looping_halt(l);
	loop_task_cancel(&l->reactor_freed);
	l->reactor_freed.run = looping_abandon;
	plait_i_loop_when_freed(l->reactor, &l->reactor_freed);
	if (!plait_list_is_linked(&l->reactor_freed.link))
		looping_forget_reactor_later(l);
}

static void begin_grid(struct plait_looping_call *l)
{
	l->started = plait_i_clock_now(l->reactor);
	l->last = 0;
}

struct plait_deferred *plait_looping_call_start(struct plait_looping_call *l,
						double interval, bool now,
						const char *where)
{
	struct plait_deferred *d;

	plait_assert(interval >= 0);
	if (l == NULL)
		return (plait_failed)(plait_no_memory(), where);
	if (l->promise != NULL || l->calling || l->freed)
		plait_die(where, "starts a looping call that has not ended");
	if (l->reactor == NULL)
		return (plait_failed)((plait_fail)(where,
						   &plait_error_abandoned,
						   "no reactor"),
				      where);
	if (plait_i_loop_refuses(l->reactor))
		return (plait_failed)(plait_i_failure_cancelled_by(
					      "reactor freed", where),
				      where);
	d = (plait_deferred_new)(&l->promise, cancel_loop, l, where);
	if (l->promise == NULL)
		return d;
	l->running = true;
	l->interval = interval;
	begin_grid(l);
	if (plait_i_loop_is_ending(l->reactor))
		start_in_vain(l);
	else if (now)
		looping_call(l, 1);
	else
		looping_schedule(l);
	return d;
}

void plait_looping_call_stop(struct plait_looping_call *l)
{
	if (l == NULL || !l->running)
		return;
	if (l->calling || l->begun != NULL)
		looping_halt(l);
	else
		looping_finish(l, PLAIT_NONE);
}

void plait_looping_call_reset(struct plait_looping_call *l)
{
	if (l == NULL || !l->running)
		return;
	begin_grid(l);
	if (plait_timer_is_running(&l->timer))
		looping_schedule(l);
}

bool plait_looping_call_is_running(const struct plait_looping_call *l)
{
	return l != NULL && l->running;
}

void plait_looping_call_free(struct plait_looping_call **lp)
{
	struct plait_looping_call *l = lp != NULL ? *lp : NULL;

	if (l == NULL)
		return;
	*lp = NULL;
	if (l->reactor != NULL)
		loop_check(l->reactor, "plait_looping_call_free()");
	l->freed = true;
	loop_task_cancel(&l->reactor_freed);
	looping_break_off(l, NULL);
	if (!l->calling)
		plait_fire(&l->promise, PLAIT_NONE);
	looping_unref(l);
}

void plait_looping_call_cleanup(struct plait_looping_call **lp)
{
	plait_looping_call_free(lp);
}

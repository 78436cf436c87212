/*
 * Looping calls.  The k-th call is due at start + k * interval; last is the k
 * of the last call that was made, next that of the one that is waited for.
 * Keeping the numbers, not the times, is what keeps rounding from making a
 * call twice or shifting the grid.
 *
 * At any time one of these is under way: the timer, the function itself
 * (calling), or the deferred that it returned (begun).  Stopping waits for
 * the last two.
 */
#include <math.h>
#include <stdlib.h>

#include <plait/looping_call.h>
#include <plait/timer.h>

struct plait_looping_call {
	struct plait_reactor *reactor;
	plait_looping_func *fn;
	void *arg;
	struct plait_timer timer;
	struct plait_promise *promise; /* of start; NULL: neither runs nor ends */
	struct plait_deferred *begun;
	double interval, started;
	uint64_t last, next;
	unsigned refs; /* the handle's, and that of a call under way */
	bool running, calling;
};

struct plait_looping_call *plait_looping_call_new(struct plait_reactor *r,
						  plait_looping_func *fn,
						  void *arg)
{
	struct plait_looping_call *l = malloc(sizeof(*l));

	if (l != NULL)
		*l = (struct plait_looping_call){
			.reactor = r, .fn = fn, .arg = arg, .refs = 1
		};
	return l;
}

static void unref(struct plait_looping_call *l)
{
	if (--l->refs == 0)
		free(l);
}

/* How many intervals have gone by since the start. */
static uint64_t elapsed(const struct plait_looping_call *l)
{
	double n;

	if (l->interval <= 0)
		return l->last + 1;
	n = (plait_reactor_seconds(l->reactor) - l->started) / l->interval;
	return n < 0x1p63 ? (uint64_t)n : (uint64_t)1 << 63;
}

static void time_is_up(void *arg);

static void schedule(struct plait_looping_call *l)
{
	uint64_t k = elapsed(l) + (l->interval > 0);
	double wait;

	l->next = k > l->last ? k : l->last + 1;
	wait = l->started + (double)l->next * l->interval -
	       plait_reactor_seconds(l->reactor);
	plait_timer_start(l->reactor, &l->timer,
			  l->interval > 0 ? fmax(wait, 0) : 0, time_is_up, l);
}

static void finish(struct plait_looping_call *l, plait_value v)
{
	l->running = false;
	plait_timer_stop(&l->timer);
	plait_fire(&l->promise, v);
}

/* A call has ended, with v, which is taken. */
static void called(struct plait_looping_call *l, plait_value v)
{
	if (plait_value_is_failure(&v)) {
		finish(l, v);
		return;
	}
	plait_value_free(&v);
	if (l->running)
		schedule(l);
	else
		finish(l, PLAIT_NONE);
}

static plait_value begun_done(plait_value *result, void *arg)
{
	struct plait_looping_call *l = arg;

	plait_deferred_detach(&l->begun);
	called(l, plait_take(result));
	return PLAIT_NONE;
}

static void call(struct plait_looping_call *l, size_t count)
{
	plait_value v;

	l->refs++;
	l->calling = true;
	v = l->fn(count, l->arg);
	l->calling = false;
	if (plait_value_is(&v, &plait_deferred_type)) {
		l->begun = plait_maybe_deferred(v);
		plait_deferred_add_both(l->begun, begun_done, l);
	} else {
		called(l, v);
	}
	unref(l);
}

static void time_is_up(void *arg)
{
	struct plait_looping_call *l = arg;
	uint64_t k = elapsed(l), count;

	if (k < l->next)
		k = l->next;
	count = k - l->last;
	l->last = k;
	call(l, (size_t)count);
}

static plait_value cancel_loop(struct plait_deferred *d, void *arg)
{
	struct plait_looping_call *l = arg;

	l->running = false;
	plait_timer_stop(&l->timer);
	plait_deferred_free(&l->begun);
	plait_promise_drop(&l->promise);
	return plait_cancelled();
}

struct plait_deferred *plait_looping_call_start(struct plait_looping_call *l,
						double interval, bool now)
{
	struct plait_deferred *d;

	plait_assert(interval >= 0);
	plait_assert(l->promise == NULL);
	d = plait_deferred_new(&l->promise, cancel_loop, l);
	if (l->promise == NULL)
		return d;
	l->running = true;
	l->interval = interval;
	l->started = plait_reactor_seconds(l->reactor);
	l->last = 0;
	if (now)
		call(l, 1);
	else
		schedule(l);
	return d;
}

void plait_looping_call_stop(struct plait_looping_call *l)
{
	if (!l->running)
		return;
	l->running = false;
	plait_timer_stop(&l->timer);
	if (!l->calling && l->begun == NULL)
		finish(l, PLAIT_NONE);
}

void plait_looping_call_reset(struct plait_looping_call *l)
{
	if (!l->running)
		return;
	l->started = plait_reactor_seconds(l->reactor);
	l->last = 0;
	if (plait_timer_is_running(&l->timer))
		schedule(l);
}

bool plait_looping_call_is_running(const struct plait_looping_call *l)
{
	return l->running;
}

void plait_looping_call_free(struct plait_looping_call **lp)
{
	struct plait_looping_call *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	plait_looping_call_stop(l);
	plait_deferred_free(&l->begun);
	unref(l);
}

/*
 * Timers.  A struct plait_timer is a member of your own struct: starting it
 * needs no memory and cannot fail, and stopping a stopped timer does nothing.
 * plait_call_later() is Twisted's callLater: it allocates the timer and gives
 * a handle by value, which may be used at any time until the reactor is freed.
 *
 * Times are seconds on the monotonic clock.  A timer never runs early; how late
 * it may be depends on the kernel, see plait_timer_start(3).  Timers with equal
 * times run in the order in which they were started.  A timer that is started
 * in a turn runs in the next turn at the earliest.  A delay that is negative or
 * not a number aborts; a delay beyond 290 years becomes 290 years.
 */
#ifndef PLAIT_TIMER_H
#define PLAIT_TIMER_H

#include <plait/reactor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Embed it, zeroed.  Stop the timer before you free the struct around it. */
struct plait_timer {
	/* private */
	plait_func *fn;
	void *arg;
	struct plait_reactor *reactor; /* NULL: not running */
	int64_t place;		       /* where it was when it was put there */
	struct plait_timer *next, **back, *child;
	int64_t when;
	uint64_t order, place_order;
	uintptr_t reserved[2]; /* zero */
};

/*
 * Calls fn(arg) once, in that many seconds.  If the timer is running already,
 * it is started anew, with the new time, fn and arg.  The caller keeps t and
 * arg; both must stay valid until fn is called or the timer is stopped.
 */
void plait_timer_start(struct plait_reactor *r, struct plait_timer *t,
		       double seconds, plait_func *fn, void *arg);

/* Stops the timer: fn is not called.  Does nothing if t is not running. */
void plait_timer_stop(struct plait_timer *t);

bool plait_timer_is_running(const struct plait_timer *t);

/*
 * Returns the time at which t is due, in seconds on the clock of
 * plait_reactor_seconds(); NAN if t is not running.
 */
double plait_timer_when(const struct plait_timer *t);

/* Private inside.  A zeroed handle is a call that was made long ago. */
struct plait_call {
	struct plait_call_slot *slot;
	uint64_t id;
};

/*
 * Calls fn(arg) once, in that many seconds.  Gives a handle by value, which
 * need not be freed and may be used until the reactor is freed.  arg must stay
 * valid until fn is called or the call is cancelled.  With no memory, fn is
 * never called: plait_call_later() gives a zeroed handle, which is that of a
 * call that is not active, and reports the failure to the unhandled hook.
 */
struct plait_call plait_call_later(struct plait_reactor *r, double seconds,
				   plait_func *fn, void *arg);

/*
 * Cancels the call: fn is not called.  Returns 0, -EALREADY if fn was called
 * or the call was cancelled before, or -ECHILD.
 */
int plait_call_cancel(struct plait_call call);

/*
 * plait_call_reset() moves the call to that many seconds from now;
 * plait_call_delay() moves it by that many seconds from its present time, to
 * an earlier time if they are negative.  Both return 0, -EALREADY or -ECHILD.
 */
int plait_call_reset(struct plait_call call, double seconds);
int plait_call_delay(struct plait_call call, double seconds);

/* Is true until fn is called or the call is cancelled; is false inside fn. */
bool plait_call_is_active(struct plait_call call);

/*
 * Sets *ret to the time at which the call is due, in seconds on the clock of
 * plait_reactor_seconds().  Returns 0, -EALREADY or -ECHILD.
 */
int plait_call_time(struct plait_call call, double *ret);

#ifdef __cplusplus
}
#endif

#endif

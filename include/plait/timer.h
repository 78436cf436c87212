/*
 * Timers.  A struct plait_timer lives inside your own struct: starting it
 * needs no memory and cannot fail, and stopping it twice does nothing.
 * plait_call_later() is Twisted's callLater on top: it gives a handle by
 * value, which may be used at any time, also long after the call was made.
 *
 * Times are seconds on the monotonic clock.  A timer never runs early; equal
 * deadlines run in the order in which they were set; one set in a turn runs
 * no earlier than the next turn.  A delay that is negative or no number
 * aborts; one beyond 290 years is cut to that.
 */
#ifndef PLAIT_TIMER_H
#define PLAIT_TIMER_H

#include <plait/reactor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Embed it, zeroed.  Stop it before its memory goes. */
struct plait_timer {
	/* private */
	struct plait_reactor *reactor; /* NULL: not running */
	plait_func *fn;
	void *arg;
	int64_t when;
	uint64_t order;
	int64_t place; /* in the heap: where it was when it was put there */
	uint64_t place_order;
	struct plait_timer *child, *prev, *next;
	uintptr_t reserved[2]; /* zero */
};

/*
 * Calls fn(arg) in that many seconds.  If the timer is running, it starts
 * anew.
 */
void plait_timer_start(struct plait_reactor *r, struct plait_timer *t,
		       double seconds, plait_func *fn, void *arg);

/* fn will not be called.  On a timer that is not running, nothing. */
void plait_timer_stop(struct plait_timer *t);

bool plait_timer_is_running(const struct plait_timer *t);

/* Seconds on the reactor's clock at which it is due; NAN if not running. */
double plait_timer_when(const struct plait_timer *t);

/* Private inside.  A zeroed one is a call that was made long ago. */
struct plait_call {
	struct plait_call_slot *slot;
	uint64_t id;
};

/*
 * Calls fn(arg) in that many seconds, once.  With no memory it gives a zeroed
 * handle with ENOMEM in errno, and tells the unhandled hook.  A handle is
 * good until its reactor is freed.
 */
struct plait_call plait_call_later(struct plait_reactor *r, double seconds,
				   plait_func *fn, void *arg);

/* fn will not be called.  0, or -EALREADY if it was called or cancelled. */
int plait_call_cancel(struct plait_call call);

/*
 * Moves it: to that many seconds from now; by that many seconds (negative
 * ones: earlier).  0, or -EALREADY.
 */
int plait_call_reset(struct plait_call call, double seconds);
int plait_call_delay(struct plait_call call, double seconds);

/* True until it is called or cancelled; false inside the call already. */
bool plait_call_is_active(struct plait_call call);

/* Seconds on the reactor's clock at which it is due.  0, or -EALREADY. */
int plait_call_time(struct plait_call call, double *ret);

#ifdef __cplusplus
}
#endif

#endif

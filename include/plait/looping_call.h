/*
 * A function called again and again, on the grid start + k * interval: late
 * calls do not shift the grid, missed ones are skipped and counted, never
 * caught up with.  It waits for a deferred that the function returns.
 */
#ifndef PLAIT_LOOPING_CALL_H
#define PLAIT_LOOPING_CALL_H

#include <plait/deferred.h>
#include <plait/reactor.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_looping_call;

/*
 * count is the number of intervals since the last call: 1, or more if some
 * were missed.  What it returns is freed; a failure ends the loop; a deferred,
 * plait_chain(&d), is waited for.
 */
typedef plait_value plait_looping_call_func(size_t count, void *arg);

/* A new one, not started, given; NULL with ENOMEM in errno. */
struct plait_looping_call *plait_looping_call_new(struct plait_reactor *r,
						  plait_looping_call_func *fn,
						  void *arg);

/*
 * Stops it and frees it; what the function began is cancelled, and the
 * deferred of start fires before this returns, or when the function returns
 * if this is called in it.  NULL does nothing; *lp is NULL afterwards.
 */
void plait_looping_call_free(struct plait_looping_call **lp);

/*
 * Starts: calls now, inside this call, if now is true, and then every
 * interval seconds; an interval of 0 is once per turn.  Gives a deferred that
 * fires with none after it was stopped and the function has finished, and
 * fails with the function's failure, which stops it.  Cancelling it stops the
 * loop and cancels what the function began; freeing the reactor does that,
 * too, and it fails with AbandonedError.  Starting one whose deferred has not
 * fired, also from inside its function, or an interval that is negative or no
 * number, aborts.
 */
struct plait_deferred *
plait_looping_call_start(struct plait_looping_call *l, double interval,
			 bool now, const char *where) PLAIT_MUST_USE;
#define plait_looping_call_start(...)                                          \
	(plait_looping_call_start)(__VA_ARGS__, PLAIT_HERE)

/*
 * Stops: the pending call is gone, and the deferred of start fires before
 * this returns, or when the function has returned and what it returned has
 * fired.  One that does not run: nothing.
 */
void plait_looping_call_stop(struct plait_looping_call *l);

/*
 * The grid begins anew: the next call comes an interval from now, or from
 * the end of the one that is under way on the new grid.  One that does not
 * run: nothing.
 */
void plait_looping_call_reset(struct plait_looping_call *l);

/* True from start to stop, or to the failure of the function. */
bool plait_looping_call_is_running(const struct plait_looping_call *l);

#ifdef __cplusplus
}
#endif

#endif

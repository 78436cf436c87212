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
typedef plait_value plait_looping_func(size_t count, void *arg);

/* A new one, not started, given; NULL with ENOMEM in errno. */
struct plait_looping_call *plait_looping_call_new(struct plait_reactor *r,
						  plait_looping_func *fn,
						  void *arg);

/* Stops it and frees it; what the function began is cancelled.  NULL is
   nothing. */
void plait_looping_call_free(struct plait_looping_call **lp);

/*
 * Starts: calls now, inside this call, if now is true, and then every
 * interval seconds; an interval of 0 is once per turn.  Gives a deferred that
 * fires with none after it was stopped and the function has finished, and
 * fails with the function's failure.  Cancelling it stops the loop, and
 * cancels what the function began.  Starting one that runs, or a negative
 * interval, aborts.
 */
struct plait_deferred *plait_looping_call_start(struct plait_looping_call *l,
						double interval, bool now);

/*
 * Stops: the pending call is gone, and the deferred of start fires before
 * this returns, or when what the function returned has fired.  One that does
 * not run: nothing.
 */
void plait_looping_call_stop(struct plait_looping_call *l);

/* The grid begins anew: the next call comes an interval from now. */
void plait_looping_call_reset(struct plait_looping_call *l);

bool plait_looping_call_is_running(const struct plait_looping_call *l);

#ifdef __cplusplus
}
#endif

#endif

/*
 * A looping call calls a function again and again, at the times start + k *
 * interval, which are called the grid.  A late call does not shift the grid.
 * Times that were missed are skipped and counted, and the calls for them are
 * never made.  If the function returns a deferred, the next call waits for it.
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
 * were missed.  The library takes what the function returns: it frees a value,
 * ends the loop with a failure, and waits for a deferred, plait_chain(&d).
 */
typedef plait_value plait_looping_call_func(size_t count, void *arg);

/*
 * A new looping call that is not started: given; NULL with ENOMEM in errno.
 * arg is borrowed until the looping call is freed.
 */
struct plait_looping_call *plait_looping_call_new(struct plait_reactor *r,
						  plait_looping_call_func *fn,
						  void *arg);

/*
 * Stops the loop and frees the looping call.  What the function began is
 * cancelled.  The deferred of start fires before this returns; if the function
 * itself calls this, the deferred fires when the function has returned.  NULL
 * does nothing; *lp is NULL afterwards.
 */
void plait_looping_call_free(struct plait_looping_call **lp);
/* The same, for __attribute__((cleanup)). */
void plait_looping_call_cleanup(struct plait_looping_call **lp);

/*
 * Starts the loop.  If now is true, calls the function before this returns.
 * Then calls it every interval seconds; an interval of 0 means once in each
 * turn.  Gives a deferred.  It fires with none when the loop was stopped and
 * the function has finished, or fails with the failure of the function.
 * Cancelling it stops the loop and cancels what the function began.  Freeing
 * the reactor does the same, and the deferred fails with AbandonedError.
 *
 * Aborts if interval is negative or no number, or if the deferred of an earlier
 * start has not fired, also inside the function.
 */
struct plait_deferred *
plait_looping_call_start(struct plait_looping_call *l, double interval,
			 bool now, const char *where) PLAIT_MUST_USE;
#define plait_looping_call_start(...)                                          \
	(plait_looping_call_start)(__VA_ARGS__, PLAIT_HERE)

/*
 * Stops the loop: no further call is made.  The deferred of start fires before
 * this returns.  If the function is under way, the deferred fires when the
 * function has returned and what it returned has fired.  Does nothing if the
 * loop is not running.
 */
void plait_looping_call_stop(struct plait_looping_call *l);

/*
 * Begins a new grid, which starts now: the next call comes one interval from
 * now.  If the function is under way then, the call comes at the first time of
 * the new grid after the function has finished.  Does nothing if the loop is
 * not running.
 */
void plait_looping_call_reset(struct plait_looping_call *l);

/* True from the start until the loop is stopped or cancelled, or fails. */
bool plait_looping_call_is_running(const struct plait_looping_call *l);

#ifdef __cplusplus
}
#endif

#endif

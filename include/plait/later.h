/*
 * Deferreds and time: a deadline for a deferred, and a function that is called
 * later.
 */
#ifndef PLAIT_LATER_H
#define PLAIT_LATER_H

#include <plait/deferred.h>
#include <plait/timer.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Is called with the result of a chain that a timeout has cancelled: a failure
 * or a value, borrowed as in any callback.  Returns the next result.
 */
typedef plait_value plait_on_timeout_cancel(plait_value *result, double seconds,
					    void *arg);

/*
 * Adds a pair that the chain of d has to reach within that many seconds.  If it
 * does not, d is cancelled, and the CancelledError of this cancel becomes
 * TimeoutError.  If the program cancels as well, even after the timeout, the
 * failure stays CancelledError.  A chain may go on although it was cancelled:
 * an errback answers with another deferred, or the chain is paused.  Then it is
 * cancelled again each time that the same number of seconds has passed, but at
 * most once a second.  The timer stops when the chain reaches the pair, or when
 * d is freed.
 *
 * The second form does not make a TimeoutError.  If the timeout has cancelled,
 * it calls on_cancel with the result, a failure or a value.  arg is borrowed
 * until the pair has run or d was freed.  With no memory for the timeout, d is
 * cancelled at once, and on_cancel is not called.  Both return d.
 */
struct plait_deferred *plait_deferred_add_timeout(struct plait_deferred *d,
						  struct plait_reactor *r,
						  double seconds,
						  const char *where);
#define plait_deferred_add_timeout(...)                                        \
	(plait_deferred_add_timeout)(__VA_ARGS__, PLAIT_HERE)
struct plait_deferred *plait_deferred_add_timeout_with(
	struct plait_deferred *d, struct plait_reactor *r, double seconds,
	plait_on_timeout_cancel *on_cancel, void *arg, const char *where);
#define plait_deferred_add_timeout_with(...)                                   \
	(plait_deferred_add_timeout_with)(__VA_ARGS__, PLAIT_HERE)

/*
 * Calls fn(arg) in that many seconds, and gives a deferred that fires with what
 * fn returns, or with none if fn is NULL.  Cancelling the deferred stops the
 * timer, so that fn is never called, or cancels what fn began.  If the reactor
 * is freed first, the deferred fails with AbandonedError.  Never returns NULL.
 */
struct plait_deferred *plait_defer_later(struct plait_reactor *r,
					 double seconds, plait_operation *fn,
					 void *arg,
					 const char *where) PLAIT_MUST_USE;
#define plait_defer_later(...) (plait_defer_later)(__VA_ARGS__, PLAIT_HERE)

#ifdef __cplusplus
}
#endif

#endif

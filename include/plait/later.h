/*
 * Deferreds and time: a deadline for one, and one that fires later.
 */
#ifndef PLAIT_LATER_H
#define PLAIT_LATER_H

#include <plait/deferred.h>
#include <plait/timer.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What follows from a timeout that has cancelled: gets the result, borrowed
 * as in any callback, and gives the next one.
 */
typedef plait_value plait_on_timeout_cancel(plait_value *result, double seconds,
					    void *arg);

/*
 * Adds a pair that the chain has to reach within that many seconds: else d is
 * cancelled, and the CancelledError that comes of it becomes TimeoutError.
 * One that somebody else caused stays, also if he came second.  A chain that
 * goes on nevertheless (an errback answers with another deferred), or is
 * paused, is cancelled again each time as many seconds, but at least one, have
 * passed.  The timer goes when the chain reaches the pair, or with d.
 *
 * The second form calls on_cancel instead of converting, whatever the result
 * is, if the timeout did cancel.  With no memory for the timeout, d is
 * cancelled at once.  Both return d.
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
 * Calls fn(arg) in that many seconds and fires with what it returns; with
 * none if fn is NULL.  Cancelling stops the timer, so that fn never runs, or
 * cancels what fn began.  If the reactor is freed first, it fails with
 * AbandonedError.  Never NULL.
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

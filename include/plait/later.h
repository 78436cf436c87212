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
typedef plait_value plait_timeout_cancel(plait_value *result, double seconds,
					 void *arg);

/*
 * Cancels d if it has not fired in that many seconds.  A CancelledError that
 * comes of it becomes TimeoutError; one that somebody else caused stays.
 * Covers the pairs that were added before.  The timer goes when the chain
 * reaches this pair, or with d.  Returns d.
 *
 * The second form calls on_cancel instead of converting, if the timeout did
 * cancel.  With no memory for the timer, d is cancelled at once.
 */
struct plait_deferred *plait_deferred_add_timeout(struct plait_deferred *d,
						  struct plait_reactor *r,
						  double seconds);
struct plait_deferred *plait_deferred_add_timeout_with(
	struct plait_deferred *d, struct plait_reactor *r, double seconds,
	plait_timeout_cancel *on_cancel, void *arg);

/*
 * Calls fn(arg) in that many seconds and fires with what it returns; with
 * none if fn is NULL.  Cancelling stops the timer, so that fn never runs, or
 * cancels what fn began.
 */
struct plait_deferred *plait_defer_later(struct plait_reactor *r,
					 double seconds, plait_operation *fn,
					 void *arg);

#ifdef __cplusplus
}
#endif

#endif

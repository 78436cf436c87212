/*
 * A deferred is a result that has not come yet, with two ends.  The waiting
 * end, struct plait_deferred, takes callbacks and cancels; the firing end,
 * struct plait_promise, fires.  A consumer cannot fire and a producer cannot
 * cancel.  Each end is finished exactly once, by a function that takes its
 * address and nulls it; the object goes when both are finished.
 *
 * These calls run callbacks before they return: plait_fire(),
 * plait_promise_drop(), plait_deferred_cancel(), plait_deferred_free(),
 * plait_deferred_unpause(), plait_deferred_detach() of a paused one, and adding
 * a callback to a deferred that has fired.  No other does.
 *
 * A deferred belongs to the thread that made it.  Using it, or its promise, in
 * another one aborts, but for plait_promise_is_cancelled().
 */
#ifndef PLAIT_DEFERRED_H
#define PLAIT_DEFERRED_H

#include <plait/failure.h>
#include <plait/value.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_deferred; /* the waiting end */
struct plait_promise;  /* the firing end */

/* The type of a value that is a deferred: see plait_chain(). */
extern const struct plait_type plait_deferred_type;

/*
 * Stops the operation, because nobody wants the result of d any more, and
 * returns what d fires with: plait_cancelled(), another failure, or a value
 * (given).  What the operation fires meanwhile is freed.  d is borrowed.
 * Called at most once.
 */
typedef plait_value plait_canceller(struct plait_deferred *d, void *arg);

/*
 * Gives the waiting end and stores the firing end, which is given too.
 * canceller may be NULL.  Never NULL: with no memory it gives a deferred that
 * has failed with no memory already, and stores NULL.
 */
struct plait_deferred *plait_deferred_new(struct plait_promise **ret,
					  plait_canceller *canceller, void *arg,
					  const char *where) PLAIT_MUST_USE;
#define plait_deferred_new(...) (plait_deferred_new)(__VA_ARGS__, PLAIT_HERE)

/*
 * A deferred that has fired with v, which is taken.  plait_succeed() takes
 * any value but a failure or a deferred, plait_failed() only a failure;
 * else they abort.  Never NULL.
 */
struct plait_deferred *plait_succeed(plait_value v,
				     const char *where) PLAIT_MUST_USE;
#define plait_succeed(...) (plait_succeed)(__VA_ARGS__, PLAIT_HERE)
struct plait_deferred *plait_failed(plait_value v,
				    const char *where) PLAIT_MUST_USE;
#define plait_failed(...) (plait_failed)(__VA_ARGS__, PLAIT_HERE)

/*
 * What a function returned, value, failure or deferred, as a deferred: a
 * deferred is given back itself, anything else has fired already.  v is
 * taken.  Never NULL.
 */
struct plait_deferred *plait_maybe_deferred(plait_value v,
					    const char *where) PLAIT_MUST_USE;
#define plait_maybe_deferred(...)                                              \
	(plait_maybe_deferred)(__VA_ARGS__, PLAIT_HERE)

/*
 * Fires: the result is v, which is taken in any case, and the callbacks run
 * before this returns.  Spends the promise: *pp is NULL afterwards.  0;
 * -ECANCELED if the deferred was cancelled, and -EALREADY if *pp was NULL,
 * then v is just freed; -EINVAL if v is a deferred, which is freed, and the
 * promise is not spent.
 */
int plait_fire(struct plait_promise **pp, plait_value v, const char *where);
#define plait_fire(...) (plait_fire)(__VA_ARGS__, PLAIT_HERE)

/*
 * Gives up the firing end; if it has not fired, fires "abandoned".
 */
void plait_promise_drop(struct plait_promise **pp, const char *where);
#define plait_promise_drop(...) (plait_promise_drop)(__VA_ARGS__, PLAIT_HERE)

/*
 * True if nobody wants the result any more, so that work for it may stop.  Any
 * thread may ask, as long as nobody fires or drops p meanwhile; p stays the
 * caller's.
 */
bool plait_promise_is_cancelled(const struct plait_promise *p);

/*
 * Adds a pair: callback for a value, errback for a failure.  The one that is
 * not given passes the result through.  Both args are borrowed by the pair.
 * On a deferred that has fired the pair runs before this returns.  Return d.
 *
 * The first four pairs that wait need no memory.  With none for a further
 * one, that pair runs at once and out of turn, with the no-memory failure,
 * and what it returns is freed: nothing is lost silently.
 */
struct plait_deferred *plait_deferred_add_callback(struct plait_deferred *d,
						   plait_callback *callback,
						   void *arg);
struct plait_deferred *plait_deferred_add_errback(struct plait_deferred *d,
						  plait_callback *errback,
						  void *arg);
struct plait_deferred *plait_deferred_add_both(struct plait_deferred *d,
					       plait_callback *both, void *arg);
struct plait_deferred *plait_deferred_add_callbacks(struct plait_deferred *d,
						    plait_callback *callback,
						    void *callback_arg,
						    plait_callback *errback,
						    void *errback_arg);

/*
 * To return from a callback: the chain waits for another deferred and goes
 * on with its result.  Takes the waiting end; *dp is NULL afterwards.
 */
plait_value plait_chain(struct plait_deferred **dp) PLAIT_MUST_USE;

/*
 * Adds a pair that fires the promise with d's result, which is none after
 * that.  Spends the promise: *pp is NULL afterwards.  With a promise that is
 * NULL already the result is freed when it comes.
 */
void plait_deferred_forward(struct plait_deferred *d,
			    struct plait_promise **pp);

/*
 * Cancels: stops the operation and fires with what its canceller returns,
 * CancelledError without one.  If d waits for another deferred, that one is
 * cancelled instead.  On a deferred that has fired, nothing.  The place of
 * this call, and the reason, borrowed for good, stand in the failure.
 */
void plait_deferred_cancel(struct plait_deferred *d, const char *where);
#define plait_deferred_cancel(...)                                             \
	(plait_deferred_cancel)(__VA_ARGS__, PLAIT_HERE)
void plait_deferred_cancel_because(struct plait_deferred *d, const char *reason,
				   const char *where);
#define plait_deferred_cancel_because(...)                                     \
	(plait_deferred_cancel_because)(__VA_ARGS__, PLAIT_HERE)

/*
 * Ends the waiting end: cancels what is pending, so that callbacks see the
 * cancellation, and lets none run after it has returned.  Frees the result; a
 * failure in it that nobody handled is reported, unless it is the
 * cancellation itself.  NULL does nothing; *dp is NULL afterwards.
 */
void plait_deferred_free(struct plait_deferred **dp, const char *where);
#define plait_deferred_free(...) (plait_deferred_free)(__VA_ARGS__, PLAIT_HERE)

/*
 * Lets it run on without this end; nobody is left to unpause it, so pauses
 * end.  NULL does nothing; *dp is NULL afterwards.
 */
void plait_deferred_detach(struct plait_deferred **dp);

/*
 * Holds the chain until as many unpauses have come; from inside a callback,
 * after that callback.  Unpausing what is not paused aborts.  Whoever takes the
 * handle (a chain, a list, a shared deferred, a scope) ends the pauses.
 */
void plait_deferred_pause(struct plait_deferred *d);
void plait_deferred_unpause(struct plait_deferred *d);

/* True once it has fired or was cancelled: Twisted's "called". */
bool plait_deferred_is_fired(const struct plait_deferred *d);

/*
 * The current result: borrowed until callbacks run.  NULL while there is
 * none, that is, before it has fired and while it waits for another deferred.
 */
const plait_value *plait_deferred_result(const struct plait_deferred *d);

/*
 * Writes its state as snprintf() would: "<Deferred at 0xADDR made at
 * FILE:LINE>", with "fired at FILE:LINE", and "current result: R" or "waiting
 * on Deferred at 0xADDR".
 */
int plait_deferred_str(const struct plait_deferred *d, char *buf, size_t size);

/*
 * Tells the unhandled hook of every promise of this thread that has neither
 * fired nor been dropped, nor been cancelled: NeverFiredError, with the place
 * that made it; and of every deferred that has fired and is still held,
 * neither freed, detached nor given away: NeverFreedError.  Returns how many.
 * plait_reactor_free() makes this report.  While another reactor of this thread
 * lives, it tells only of promises that were made in callbacks of the reactor
 * that is freed.  It never tells of deferreds that only fire while the reactor
 * is freed.
 */
size_t plait_deferred_report_pending(void);

/* Asks for that report when the process exits.  0 or -ENOMEM. */
int plait_deferred_report_at_exit(void);

#ifdef __cplusplus
}
#endif

#endif

/*
 * A deferred is a result that has not come yet.  It has two ends.  Who waits
 * for the result has the waiting end, struct plait_deferred, and can add
 * callbacks and cancel.  Who works for the result has the firing end, struct
 * plait_promise, and can fire.  Each end is finished exactly once, by a
 * function that takes the address of the pointer and sets the pointer to NULL.
 * The deferred is freed when both ends are finished.
 *
 * These calls run callbacks before they return: plait_fire(),
 * plait_promise_drop(), plait_deferred_cancel(), plait_deferred_free(),
 * plait_deferred_unpause(), plait_deferred_detach() of a paused deferred, and
 * adding a callback, or a promise with plait_deferred_forward(), to a deferred
 * that has fired.  No other call here does.
 *
 * A deferred belongs to the thread that made it.  If another thread uses the
 * deferred or its promise, the program aborts; only
 * plait_promise_is_cancelled() may be called in any thread.
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
 * returns what d fires with, given: plait_cancelled(), another failure, or a
 * value.  What the operation fires meanwhile is freed.  d is borrowed for the
 * call.  A canceller is called at most once.
 */
typedef plait_value plait_canceller(struct plait_deferred *d, void *arg);

/*
 * Gives the waiting end, and stores the firing end in *ret, which is given too.
 * canceller may be NULL.  arg is handed to the canceller.  It is borrowed until
 * the deferred has fired: until the promise is fired or dropped, or the
 * canceller has returned.  Never returns NULL: with no memory it gives a
 * deferred that has already failed with the no-memory failure, and stores NULL
 * in *ret.
 */
struct plait_deferred *plait_deferred_new(struct plait_promise **ret,
					  plait_canceller *canceller, void *arg,
					  const char *where) PLAIT_MUST_USE;
#define plait_deferred_new(...) (plait_deferred_new)(__VA_ARGS__, PLAIT_HERE)

/*
 * Give a deferred that has already fired with v, which is taken.
 * plait_succeed() aborts if v is a failure or a deferred, and plait_failed()
 * aborts if v is not a failure.  Never return NULL.
 */
struct plait_deferred *plait_succeed(plait_value v,
				     const char *where) PLAIT_MUST_USE;
#define plait_succeed(...) (plait_succeed)(__VA_ARGS__, PLAIT_HERE)
struct plait_deferred *plait_failed(plait_value v,
				    const char *where) PLAIT_MUST_USE;
#define plait_failed(...) (plait_failed)(__VA_ARGS__, PLAIT_HERE)

/*
 * Makes a deferred of what a function returned, v, which is taken.  If v is a
 * deferred, this gives that deferred itself; else it gives a deferred that has
 * already fired with v.  Never returns NULL.
 */
struct plait_deferred *plait_maybe_deferred(plait_value v,
					    const char *where) PLAIT_MUST_USE;
#define plait_maybe_deferred(...)                                              \
	(plait_maybe_deferred)(__VA_ARGS__, PLAIT_HERE)

/*
 * Fires the deferred: its result is v, which is taken in any case, and its
 * callbacks run before this returns.  The promise is spent: *pp is NULL
 * afterwards.  Returns 0; -ECANCELED if the deferred was cancelled, or
 * -EALREADY if *pp was NULL, and then v is only freed; -EINVAL if v is a
 * deferred, and then v is freed and the promise is not spent.
 */
int plait_fire(struct plait_promise **pp, plait_value v, const char *where);
#define plait_fire(...) (plait_fire)(__VA_ARGS__, PLAIT_HERE)

/*
 * Ends the firing end without a result.  If the deferred was not cancelled, it
 * fires with a failure of the kind plait_error_abandoned.  If *pp is NULL, this
 * does nothing; *pp is NULL afterwards.
 */
void plait_promise_drop(struct plait_promise **pp, const char *where);
#define plait_promise_drop(...) (plait_promise_drop)(__VA_ARGS__, PLAIT_HERE)
/* The same, for __attribute__((cleanup)). */
void plait_promise_cleanup(struct plait_promise **pp);

/*
 * Returns true if nobody wants the result any more.  Then the work for the
 * result may stop.  Also returns true if p is NULL.  Any thread may ask, as
 * long as no other thread fires or drops p meanwhile.  p is borrowed for the
 * call.
 */
bool plait_promise_is_cancelled(const struct plait_promise *p);

/*
 * Add a pair: a callback, which gets a value, and an errback, which gets a
 * failure.  A function that is NULL or missing passes the result on.  Each arg
 * is borrowed until the pair has run or the deferred was freed.  If the
 * deferred has fired, the pair runs before this returns.  Return d.
 *
 * The first four pairs that wait need no memory.  If a further pair cannot be
 * allocated, it runs immediately, before the pairs that wait, with the
 * no-memory failure, and what it returns is freed.  So nothing is lost
 * silently.
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
 * Makes a value of a deferred, for a callback to return: the callback's chain
 * waits for this deferred and goes on with its result.  Takes the waiting end,
 * which the value owns; *dp is NULL afterwards.  Aborts if *dp is NULL.
 */
plait_value plait_chain(struct plait_deferred **dp) PLAIT_MUST_USE;

/*
 * Adds a pair to d that fires the promise *pp with the result of d; then the
 * result of d is none.  Takes the promise: *pp is NULL afterwards.  d stays the
 * caller's.  If *pp is NULL already, the result is freed when it comes.
 */
void plait_deferred_forward(struct plait_deferred *d,
			    struct plait_promise **pp);

/*
 * Cancel d: they call its canceller, which stops the operation, and fire d with
 * what the canceller returns.  Without a canceller d fires with CancelledError.
 * If d waits for another deferred, they cancel that deferred instead.  If d has
 * fired, they do nothing.  The failure tells the place of this call and the
 * reason.  reason may be NULL; it must stay valid for ever, as a literal does.
 */
void plait_deferred_cancel(struct plait_deferred *d, const char *where);
#define plait_deferred_cancel(...)                                             \
	(plait_deferred_cancel)(__VA_ARGS__, PLAIT_HERE)
void plait_deferred_cancel_because(struct plait_deferred *d, const char *reason,
				   const char *where);
#define plait_deferred_cancel_because(...)                                     \
	(plait_deferred_cancel_because)(__VA_ARGS__, PLAIT_HERE)

/*
 * Ends the waiting end.  If the deferred is pending, this cancels it first, and
 * its callbacks see the cancellation.  No callback runs after this has
 * returned. The result is freed.  If it is a failure that nobody handled, it is
 * reported, unless it is the cancellation that comes from this call.  If *dp is
 * NULL, this does nothing; *dp is NULL afterwards.
 */
void plait_deferred_free(struct plait_deferred **dp, const char *where);
#define plait_deferred_free(...) (plait_deferred_free)(__VA_ARGS__, PLAIT_HERE)
/* The same, for __attribute__((cleanup)). */
void plait_deferred_cleanup(struct plait_deferred **dp);

/*
 * Ends the waiting end, but lets the operation and the callbacks go on.  If the
 * deferred is paused, it is unpaused, because nobody can unpause it later.  If
 * *dp is NULL, this does nothing; *dp is NULL afterwards.
 */
void plait_deferred_detach(struct plait_deferred **dp);

/*
 * Pausing holds the chain of d until it was unpaused as often as it was paused.
 * If a callback of d pauses d, the chain is held after that callback. Unpausing
 * a deferred that is not paused aborts.  What takes the deferred (a chain, a
 * list, a shared deferred, a scope) ends its pauses.
 */
void plait_deferred_pause(struct plait_deferred *d);
void plait_deferred_unpause(struct plait_deferred *d);

/* Returns true if d has fired or was cancelled: Twisted's "called". */
bool plait_deferred_is_fired(const struct plait_deferred *d);

/*
 * Returns the current result, borrowed until callbacks run.  Returns NULL while
 * there is no result: before d has fired, and while it waits for another
 * deferred.
 */
const plait_value *plait_deferred_result(const struct plait_deferred *d);

/*
 * Writes the state of d as snprintf() would: "<Deferred at 0xADDR made at
 * FILE:LINE>".  "fired at FILE:LINE" is in it if d has fired, and "current
 * result: R" or "waiting on Deferred at 0xADDR".
 */
int plait_deferred_str(const struct plait_deferred *d, char *buf, size_t size);

/*
 * Tells the unhandled hook of every promise of this thread that was neither
 * fired nor dropped nor cancelled (NeverFiredError), and of every deferred that
 * has fired and was neither freed nor detached nor given away
 * (NeverFreedError). Each failure has the place where the deferred was made.
 * Returns how many there are.
 *
 * plait_reactor_free() makes this report, too.  While this thread has another
 * reactor, that report tells only of promises that were made in callbacks of
 * the reactor that is freed.  It never tells of deferreds that fire only while
 * the reactor is being freed.
 */
size_t plait_deferred_report_pending(void);

/* Asks for this report when the process exits.  Returns 0 or -ENOMEM. */
int plait_deferred_report_at_exit(void);

#ifdef __cplusplus
}
#endif

#endif

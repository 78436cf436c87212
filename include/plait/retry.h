/*
 * An operation that is repeated until it succeeds.
 */
#ifndef PLAIT_RETRY_H
#define PLAIT_RETRY_H

#include <plait/backoff.h>
#include <plait/deferred.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * True if the operation is worth another attempt after it has failed with why,
 * which is borrowed.  attempts says how many attempts were made, this one
 * included.
 */
typedef bool plait_should_retry(const struct plait_failure *why,
				unsigned attempts, void *arg);

/* Zeroed: retries after every failure, without end. */
struct plait_retry_options {
	struct plait_backoff backoff;	  /* the delays between attempts */
	unsigned max_attempts;		  /* 0: no end */
	plait_should_retry *should_retry; /* NULL: always */
	uintptr_t reserved[8];		  /* zero */
};

/*
 * Calls fn(arg) now, inside this call.  If it fails, calls it again after a
 * delay, as options say; NULL: the defaults.  options is copied; arg, which
 * should_retry() gets too, is borrowed until the deferred has fired.
 *
 * Gives a deferred that fires with the value of the first attempt that
 * succeeds.  It fails without a further attempt
 * - if should_retry() returned false: with the failure of the attempt;
 * - after max_attempts: with a failure of the same kind and errno as that of
 *   the last attempt.  Its message says how many attempts were made, and its
 *   cause is the failure of the last attempt;
 * - if the attempt was cancelled, no matter by whom: with that CancelledError;
 * - if the reactor was freed: with AbandonedError if that ended a delay, or
 *   else with the failure of the attempt;
 * - with OSError and EINVAL if a reserved word is not 0; then fn is not called.
 *
 * Cancelling it stops the delay, or cancels the attempt that is under way; then
 * there is no further attempt, whatever becomes of this one.  Never NULL.
 */
struct plait_deferred *plait_retry(struct plait_reactor *r, plait_operation *fn,
				   void *arg,
				   const struct plait_retry_options *options,
				   const char *where) PLAIT_MUST_USE;
#define plait_retry(...) (plait_retry)(__VA_ARGS__, PLAIT_HERE)

#ifdef __cplusplus
}
#endif

#endif

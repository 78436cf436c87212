/*
 * Locks and semaphores, for operations that take more than one turn.  A
 * semaphore has a number of tokens.  A lock is a semaphore with one token.
 * Callers who wait get tokens in the order in which they came, from inside the
 * release; each may cancel its wait.
 */
#ifndef PLAIT_LOCK_H
#define PLAIT_LOCK_H

#include <plait/deferred.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_lock;
struct plait_semaphore;

/*
 * Gives a new lock, or a semaphore with this many tokens.  NULL with ENOMEM in
 * errno; or with EINVAL, if tokens is 0.
 */
struct plait_lock *plait_lock_new(void);
struct plait_semaphore *plait_semaphore_new(size_t tokens);

/*
 * Frees the lock.  Acquires and runs that wait fail with AbandonedError before
 * this returns, and so do those that their callbacks begin.  A function that
 * plait_lock_run() has called may finish its work.  Whoever has acquired the
 * lock with plait_lock_acquire() must not release it afterwards.  Does nothing
 * if *lp is NULL; *lp is NULL afterwards.
 */
void plait_lock_free(struct plait_lock **lp);
/* The same, for __attribute__((cleanup)). */
void plait_lock_cleanup(struct plait_lock **lp);
void plait_semaphore_free(struct plait_semaphore **sp);
/* The same, for __attribute__((cleanup)). */
void plait_semaphore_cleanup(struct plait_semaphore **sp);

/*
 * Gives a deferred that fires with none when the caller has got a token: at
 * once if a token is free, otherwise when another caller has released one.
 * Cancelling the deferred ends the wait.  After it has fired, cancelling it
 * does nothing: the caller keeps the token, and must release it.
 */
struct plait_deferred *plait_lock_acquire(struct plait_lock *l,
					  const char *where) PLAIT_MUST_USE;
#define plait_lock_acquire(...) (plait_lock_acquire)(__VA_ARGS__, PLAIT_HERE)
struct plait_deferred *
plait_semaphore_acquire(struct plait_semaphore *s,
			const char *where) PLAIT_MUST_USE;
#define plait_semaphore_acquire(...)                                           \
	(plait_semaphore_acquire)(__VA_ARGS__, PLAIT_HERE)

/*
 * Gives a token back.  The first caller who waits gets the token, and its
 * callbacks run before this returns.  If such a callback calls this, the next
 * caller gets its token when the callback has returned.  Aborts if all tokens
 * are free already.
 */
void plait_lock_release(struct plait_lock *l);
void plait_semaphore_release(struct plait_semaphore *s);

/*
 * Acquires a token, calls fn(arg), waits if fn returns a deferred, releases the
 * token even if fn failed, and fires with the result.  Cancelling the deferred
 * ends the wait for the token; or, if fn was called, it cancels what fn began,
 * and the token is released when that has ended.  arg is borrowed until then.
 */
struct plait_deferred *plait_lock_run(struct plait_lock *l, plait_operation *fn,
				      void *arg,
				      const char *where) PLAIT_MUST_USE;
#define plait_lock_run(...) (plait_lock_run)(__VA_ARGS__, PLAIT_HERE)
struct plait_deferred *plait_semaphore_run(struct plait_semaphore *s,
					   plait_operation *fn, void *arg,
					   const char *where) PLAIT_MUST_USE;
#define plait_semaphore_run(...) (plait_semaphore_run)(__VA_ARGS__, PLAIT_HERE)

/* True if an acquire would have to wait. */
bool plait_lock_is_locked(const struct plait_lock *l);

/* The number of free tokens.  A token that a waiting caller will get is not
 * free. */
size_t plait_semaphore_tokens(const struct plait_semaphore *s);

#ifdef __cplusplus
}
#endif

#endif

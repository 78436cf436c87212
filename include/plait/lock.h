/*
 * Locks and semaphores for operations that take more than one turn.  Whoever
 * waits is served first come first served, from inside the release, and may
 * cancel the wait.
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
 * A new one, given; NULL with ENOMEM in errno.  A semaphore has that many
 * tokens; none is EINVAL.
 */
struct plait_lock *plait_lock_new(void);
struct plait_semaphore *plait_semaphore_new(size_t tokens);

/*
 * Frees it; whoever waits fails with AbandonedError, and so does whoever
 * comes meanwhile; what runs inside plait_lock_run() may finish, and releases.
 * NULL does nothing; *lp is NULL afterwards.
 */
void plait_lock_free(struct plait_lock **lp);
/* The same, for __attribute__((cleanup)). */
void plait_lock_cleanup(struct plait_lock **lp);
void plait_semaphore_free(struct plait_semaphore **sp);
/* The same, for __attribute__((cleanup)). */
void plait_semaphore_cleanup(struct plait_semaphore **sp);

/*
 * Gives a deferred that fires with none when a token is the caller's: at once
 * if one is free, else when it is handed over.  Cancelling it leaves the
 * queue; after it has fired, nothing: the token stays the caller's.
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
 * Gives a token back.  The first who waits gets it, and his callbacks run
 * before this returns; but from inside such a callback, when that has
 * returned.  Releasing what nobody has acquired aborts.
 */
void plait_lock_release(struct plait_lock *l);
void plait_semaphore_release(struct plait_semaphore *s);

/*
 * Acquires, calls fn(arg), waits for what it returns, releases whatever
 * happened, and fires with that.  Cancelling it leaves the queue, or cancels
 * what fn began and releases when that has ended.
 */
struct plait_deferred *plait_lock_run(struct plait_lock *l, plait_operation *fn,
				      void *arg,
				      const char *where) PLAIT_MUST_USE;
#define plait_lock_run(...) (plait_lock_run)(__VA_ARGS__, PLAIT_HERE)
struct plait_deferred *plait_semaphore_run(struct plait_semaphore *s,
					   plait_operation *fn, void *arg,
					   const char *where) PLAIT_MUST_USE;
#define plait_semaphore_run(...) (plait_semaphore_run)(__VA_ARGS__, PLAIT_HERE)

bool plait_lock_is_locked(const struct plait_lock *l);

/* Tokens that are free, and not about to be handed to somebody who waits. */
size_t plait_semaphore_tokens(const struct plait_semaphore *s);

#ifdef __cplusplus
}
#endif

#endif

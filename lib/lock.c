/*
 * Semaphores, and locks, which are semaphores with one token.
 *
 * A token is free only while nobody waits.  If somebody waits, a new caller
 * waits as well, so nobody overtakes.  The exception is a release from inside
 * the callback of a waiter: then a token and waiters are both there until the
 * callback has returned, and the release further up the stack hands the token
 * to the next waiter.  So a million waiters, each of which releases in its
 * callback, need no more stack than one.
 */
#include <errno.h>
#include <stdlib.h>

#include <plait/lock.h>

#include "lib/deferred.h"
#include "lib/waiters.h"

/* Defined here; whoever calls them here says the place. */
#undef plait_lock_acquire
#undef plait_semaphore_acquire
#undef plait_lock_run
#undef plait_semaphore_run

struct plait_semaphore {
	struct waiters waiters;
	size_t tokens, limit;
	unsigned refs; /* of the program, of runs, of calls under way */
	bool handing_over;
	bool freed;
};

struct plait_lock {
	struct plait_semaphore semaphore;
};

/* What plait_semaphore_run() needs until it has released the token. */
struct held {
	struct plait_semaphore *semaphore;
	plait_operation *fn;
	void *arg;
	bool acquired;
};

struct plait_semaphore *plait_semaphore_new(size_t tokens)
{
	struct plait_semaphore *s;

	if (tokens == 0) {
		errno = EINVAL;
		return NULL;
	}
	s = malloc(sizeof(*s));
	if (s == NULL)
		return NULL;
	*s = (struct plait_semaphore){ .tokens = tokens,
				       .limit = tokens,
				       .refs = 1 };
	plait_i_waiters_init(&s->waiters);
	return s;
}

static void lock_unref(struct plait_semaphore *s)
{
	if (--s->refs == 0)
		free(s);
}

void plait_semaphore_free(struct plait_semaphore **sp)
{
	struct plait_semaphore *s = sp != NULL ? *sp : NULL;

	if (s == NULL)
		return;
	*sp = NULL;
	s->freed = true;
	while (s->waiters.count > 0) {
		struct plait_promise *p = plait_i_waiters_pop(&s->waiters);

		plait_promise_drop(&p);
	}
	lock_unref(s);
}

void plait_semaphore_cleanup(struct plait_semaphore **sp)
{
	plait_semaphore_free(sp);
}

struct plait_deferred *plait_semaphore_acquire(struct plait_semaphore *s,
					       const char *where)
{
	struct plait_promise *p;
	struct plait_deferred *d;

	if (s == NULL)
		return (plait_failed)(plait_no_memory(), where);
	if (s->freed)
		return (plait_failed)(plait_fail(&plait_error_abandoned,
						 "the lock was freed"),
				      where);
	if (s->tokens == 0 || s->waiters.count > 0)
		return plait_i_waiters_add(&s->waiters, where);
	d = (plait_deferred_new)(&p, NULL, NULL, where);
	if (p != NULL) {
		s->tokens--;
		plait_fire(&p, PLAIT_NONE);
	}
	return d;
}

static void lock_hand_over(struct plait_semaphore *s)
{
	s->handing_over = true;
	s->refs++;
	while (s->tokens > 0 && s->waiters.count > 0) {
		struct plait_promise *p = plait_i_waiters_pop(&s->waiters);

		s->tokens--;
		plait_fire(&p, PLAIT_NONE);
	}
	s->handing_over = false;
	lock_unref(s);
}

void plait_semaphore_release(struct plait_semaphore *s)
{
	if (s == NULL)
		return;
	if (s->tokens == s->limit)
		plait_die("plait_semaphore_release",
			  "released what nobody has acquired");
	s->tokens++;
	if (!s->handing_over && !s->freed)
		lock_hand_over(s);
}

static struct plait_deferred *lock_end_hold(void *arg)
{
	struct held *h = arg;

	if (h->acquired)
		plait_semaphore_release(h->semaphore);
	lock_unref(h->semaphore);
	free(h);
	return NULL;
}

static plait_value call_held(plait_value *result, void *arg)
{
	struct held *h = arg;

	h->acquired = true;
	return h->fn(h->arg);
}

static plait_value release_held(plait_value *result, void *arg)
{
	lock_end_hold(arg);
	return *result;
}

struct plait_deferred *plait_semaphore_run(struct plait_semaphore *s,
					   plait_operation *fn, void *arg,
					   const char *where)
{
	struct held *h = s != NULL ? malloc(sizeof(*h)) : NULL;
	struct plait_deferred *d;

	if (h == NULL)
		return (plait_failed)(plait_no_memory(), where);
	*h = (struct held){ .semaphore = s, .fn = fn, .arg = arg };
	s->refs++;
	d = plait_semaphore_acquire(s, where);
	plait_deferred_add_callback(d, call_held, h);
	return plait_i_deferred_add_guarded(d, release_held, h, lock_end_hold);
}

/* A token that was released while somebody waits goes to the waiter. */
size_t plait_semaphore_tokens(const struct plait_semaphore *s)
{
	size_t waiting;

	if (s == NULL)
		return 0;
	waiting = s->waiters.count;
	return s->tokens > waiting ? s->tokens - waiting : 0;
}

struct plait_lock *plait_lock_new(void)
{
	return (struct plait_lock *)plait_semaphore_new(1);
}

static struct plait_semaphore *lock_semaphore(struct plait_lock *l)
{
	return l != NULL ? &l->semaphore : NULL;
}

void plait_lock_free(struct plait_lock **lp)
{
	struct plait_semaphore *s = lock_semaphore(lp != NULL ? *lp : NULL);

	if (s == NULL)
		return;
	*lp = NULL;
	plait_semaphore_free(&s);
}

void plait_lock_cleanup(struct plait_lock **lp)
{
	plait_lock_free(lp);
}

struct plait_deferred *plait_lock_acquire(struct plait_lock *l,
					  const char *where)
{
	return plait_semaphore_acquire(lock_semaphore(l), where);
}

void plait_lock_release(struct plait_lock *l)
{
	plait_semaphore_release(lock_semaphore(l));
}

struct plait_deferred *plait_lock_run(struct plait_lock *l, plait_operation *fn,
				      void *arg, const char *where)
{
	return plait_semaphore_run(lock_semaphore(l), fn, arg, where);
}

bool plait_lock_is_locked(const struct plait_lock *l)
{
	return l != NULL && plait_semaphore_tokens(&l->semaphore) == 0;
}

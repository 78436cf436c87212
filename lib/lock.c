/*
 * Semaphores, and locks, which are semaphores with one token.
 *
 * A token is free only while nobody waits: acquiring queues behind those who
 * wait already, so nobody overtakes.  A release that comes from inside a
 * waiter's callback is left to the release that is under way further up the
 * stack; so a million waiters, each releasing when it is served, need no more
 * stack than one.
 */
#include <errno.h>
#include <stdlib.h>

#include <plait/list.h>
#include <plait/lock.h>

#include "lib/deferred.h"

struct plait_semaphore {
	struct plait_list waiters;
	size_t tokens, limit;
	unsigned refs;
	bool handing_over;
};

struct plait_lock {
	struct plait_semaphore semaphore;
};

struct waiter {
	struct plait_list link;
	struct plait_promise *promise;
};

/* What plait_semaphore_run() needs until it has released. */
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
	plait_list_init(&s->waiters);
	return s;
}

static void unref(struct plait_semaphore *s)
{
	if (--s->refs == 0)
		free(s);
}

/* Takes the first waiter out of the queue; gives its promise. */
static struct plait_promise *next_waiter(struct plait_semaphore *s)
{
	struct plait_list *l = plait_list_first(&s->waiters);
	struct waiter *w = plait_container(l, struct waiter, link);
	struct plait_promise *p = w->promise;

	plait_list_remove(l);
	free(w);
	return p;
}

void plait_semaphore_free(struct plait_semaphore **sp)
{
	struct plait_semaphore *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	while (!plait_list_is_empty(&s->waiters)) {
		struct plait_promise *p = next_waiter(s);

		plait_promise_drop(&p);
	}
	unref(s);
}

static plait_value leave_queue(struct plait_deferred *d, void *arg)
{
	struct waiter *w = arg;

	plait_list_remove(&w->link);
	plait_promise_drop(&w->promise);
	free(w);
	return plait_cancelled();
}

static struct plait_deferred *enqueue(struct plait_semaphore *s)
{
	struct waiter *w = malloc(sizeof(*w));
	struct plait_deferred *d;

	if (w == NULL)
		return plait_failed(plait_no_memory());
	*w = (struct waiter){ .promise = NULL };
	d = plait_deferred_new(&w->promise, leave_queue, w);
	if (w->promise == NULL)
		free(w);
	else
		plait_list_append(&s->waiters, &w->link);
	return d;
}

struct plait_deferred *plait_semaphore_acquire(struct plait_semaphore *s)
{
	struct plait_promise *p;
	struct plait_deferred *d;

	if (s->tokens == 0 || !plait_list_is_empty(&s->waiters))
		return enqueue(s);
	d = plait_deferred_new(&p, NULL, NULL);
	if (p != NULL) {
		s->tokens--;
		plait_fire(&p, PLAIT_NONE);
	}
	return d;
}

void plait_semaphore_release(struct plait_semaphore *s)
{
	plait_assert(s->tokens < s->limit);
	s->tokens++;
	if (s->handing_over)
		return;
	s->handing_over = true;
	s->refs++;
	while (s->tokens > 0 && !plait_list_is_empty(&s->waiters)) {
		struct plait_promise *p = next_waiter(s);

		s->tokens--;
		plait_fire(&p, PLAIT_NONE);
	}
	s->handing_over = false;
	unref(s);
}

static void end_hold(void *arg)
{
	struct held *h = arg;

	if (h->acquired)
		plait_semaphore_release(h->semaphore);
	unref(h->semaphore);
	free(h);
}

static plait_value call_held(plait_value *result, void *arg)
{
	struct held *h = arg;

	h->acquired = true;
	return h->fn(h->arg);
}

static plait_value release_held(plait_value *result, void *arg)
{
	end_hold(arg);
	return *result;
}

struct plait_deferred *plait_semaphore_run(struct plait_semaphore *s,
					   plait_operation *fn, void *arg)
{
	struct held *h = malloc(sizeof(*h));
	struct plait_deferred *d;

	if (h == NULL)
		return plait_failed(plait_no_memory());
	*h = (struct held){ .semaphore = s, .fn = fn, .arg = arg };
	s->refs++;
	d = plait_semaphore_acquire(s);
	plait_deferred_add_callback(d, call_held, h);
	return deferred_add_guarded(d, release_held, h, end_hold);
}

size_t plait_semaphore_tokens(const struct plait_semaphore *s)
{
	return s->tokens;
}

struct plait_lock *plait_lock_new(void)
{
	return (struct plait_lock *)plait_semaphore_new(1);
}

void plait_lock_free(struct plait_lock **lp)
{
	struct plait_semaphore *s = *lp != NULL ? &(*lp)->semaphore : NULL;

	*lp = NULL;
	plait_semaphore_free(&s);
}

struct plait_deferred *plait_lock_acquire(struct plait_lock *l)
{
	return plait_semaphore_acquire(&l->semaphore);
}

void plait_lock_release(struct plait_lock *l)
{
	plait_semaphore_release(&l->semaphore);
}

struct plait_deferred *plait_lock_run(struct plait_lock *l, plait_operation *fn,
				      void *arg)
{
	return plait_semaphore_run(&l->semaphore, fn, arg);
}

bool plait_lock_is_locked(const struct plait_lock *l)
{
	return l->semaphore.tokens == 0;
}

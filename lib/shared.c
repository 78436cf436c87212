/*
 * One operation for many waiters.
 *
 * The operation is kept until its result comes; then each waiter gets a
 * reference to the result.  A caller waits exactly as long as its promise is
 * in the line.  The last waiter that leaves the line before the result has
 * come cancels the operation, from inside its own cancel.
 */
#include <errno.h>
#include <stdlib.h>

#include <plait/shared.h>

#include "lib/deferred.h"
#include "lib/fork.h"
#include "lib/value.h"
#include "lib/waiters.h"

/* Defined here; whoever calls them here says the place. */
#undef plait_shared_wait

struct plait_shared {
	struct plait_deferred *operation; /* NULL once it has fired */
	plait_value result;
	struct waiters waiters;
	unsigned refs;	/* of the handle, and of calls under way */
	unsigned forks; /* the number of forks before it was made */
	bool fired;
	bool given_up; /* it was cancelled, because nobody waited */
	bool told;     /* a waiter has got the result */
};

/* A value with one owner goes to the first waiter; a second one aborts. */
static plait_value share_result(struct plait_shared *s)
{
	bool first = !s->told;

	s->told = true;
	return first && value_has_one_owner(&s->result)
		       ? s->result
		       : plait_value_ref(&s->result);
}

/* If it was cancelled because nobody waited, nobody wants to know. */
static bool shared_wants_report(const struct plait_shared *s)
{
	const struct plait_failure *f;

	if (s->told || fork_inherited(s->forks) ||
	    !plait_value_is_failure(&s->result))
		return false;
	f = plait_value_failure(&s->result);
	if (plait_i_deferred_is_of_freeing(f))
		return false;
	return !s->given_up || !plait_failure_check(f, &plait_error_cancelled);
}

static void free_result(struct plait_shared *s)
{
	if (s->told && value_has_one_owner(&s->result))
		return;
	if (shared_wants_report(s))
		plait_report_unhandled(plait_value_failure(&s->result));
	plait_value_free(&s->result);
}

/* Freeing the operation may fire it, which needs the last reference. */
static void shared_unref(struct plait_shared *s)
{
	if (s->refs == 1 && s->waiters.count == 0) {
		plait_deferred_free(&s->operation);
		free_result(s);
		free(s);
	} else {
		s->refs--;
	}
}

/*
 * The last callback pair of the operation.  It is called again and again, and
 * each time returns the promise of the next waiter, with the result for it.
 * After the last one the operation is freed.
 */
static struct plait_promise *shared_deliver(plait_value *result, void *arg,
					    struct deferred_fed *ret)
{
	struct plait_shared *s = arg;

	if (!s->fired) {
		s->refs++;
		s->result = plait_value_take(result);
		s->fired = true;
	}
	if (s->waiters.count > 0) {
		ret->value = share_result(s);
		ret->again = true;
		return plait_i_waiters_pop(&s->waiters);
	}
	plait_deferred_free(&s->operation);
	shared_unref(s);
	return NULL;
}

static const char given_up[] = "nobody waits any more";

static void shared_give_up(struct plait_shared *s)
{
	if (s->waiters.count > 0 || s->fired)
		return;
	s->given_up = true;
	plait_deferred_cancel_because(s->operation, given_up);
}

static struct plait_shared *shared_of(struct waiters *w)
{
	return plait_container(w, struct plait_shared, waiters);
}

/* If the last waiter has left, the operation must be cancelled. */
static struct plait_deferred *shared_left(struct waiters *w)
{
	struct plait_shared *s = shared_of(w);

	if (w->count > 0 || s->fired)
		return NULL;
	s->given_up = true;
	s->refs++;
	return s->operation;
}

/*
 * The callbacks of d, the last waiter, run only when the callback or canceller
 * of the operation that is on the stack has returned.
 */
static void shared_gone(struct waiters *w, struct plait_deferred *d)
{
	struct plait_shared *s = shared_of(w);

	if (!s->fired)
		plait_i_deferred_hold_for(d, s->operation);
	shared_unref(s);
}

struct plait_shared *plait_shared_new(struct plait_deferred **dp)
{
	struct plait_shared *s;

	if (dp == NULL || *dp == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	plait_i_deferred_take(*dp, "plait_shared_new()");
	s = malloc(sizeof(*s));
	if (s == NULL) {
		plait_deferred_free(dp);
		return NULL;
	}
	*s = (struct plait_shared){ .operation = *dp,
				    .refs = 1,
				    .forks = fork_count() };
	*dp = NULL;
	plait_i_waiters_init(&s->waiters);
	s->waiters.left = shared_left;
	s->waiters.gone = shared_gone;
	s->waiters.reason = given_up;
	s->waiters.where = PLAIT_HERE;
	plait_i_deferred_add_feed(s->operation, shared_deliver, s, NULL);
	return s;
}

struct plait_deferred *plait_shared_wait(struct plait_shared *s,
					 const char *where)
{
	struct plait_promise *p;
	struct plait_deferred *d;

	if (s == NULL)
		return (plait_failed)(plait_no_memory(), where);
	if (!s->fired)
		return plait_i_waiters_add(&s->waiters, where);
	/* Made first: with no memory for it, the result must stay. */
	d = (plait_deferred_new)(&p, NULL, NULL, where);
	if (p != NULL)
		(plait_fire)(&p, share_result(s), where);
	return d;
}

size_t plait_shared_waiting(const struct plait_shared *s)
{
	return s != NULL ? s->waiters.count : 0;
}

bool plait_shared_is_fired(const struct plait_shared *s)
{
	return s != NULL && s->fired;
}

void plait_shared_free(struct plait_shared **sp)
{
	struct plait_shared *s = sp != NULL ? *sp : NULL;

	if (s == NULL)
		return;
	*sp = NULL;
	shared_give_up(s);
	shared_unref(s);
}

void plait_shared_cleanup(struct plait_shared **sp)
{
	plait_shared_free(sp);
}

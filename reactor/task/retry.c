/*
 * Retries.
 *
 * Three deferreds wait for each other.  The program has the first one, and may
 * add callbacks to it.  It waits for rounds, which is only seen here, and which
 * waits for an attempt, or for a delay that ends in one.  A pair of rounds
 * looks at what came of that.  If there is to be another attempt, it adds
 * itself to rounds again and lets rounds wait for the delay.  So nothing nests
 * and nothing grows, however many attempts are made, and a cancel finds the
 * delay or the attempt by itself.
 *
 * A cancel passes through rounds, whose rest tells of it.  For an attempt may
 * answer its cancel with any failure, and is not to be repeated then.
 */
#include <errno.h>
#include <stdlib.h>

#include <plait/later.h>
#include <plait/retry.h>

#include "lib/base.h"
#include "lib/chance.h"
#include "lib/deferred.h"
#include "lib/failure.h"
#include "reactor/loop/loop.h"

/* Defined here; whoever calls it here says the place. */
#undef plait_retry

struct retry {
	struct plait_reactor *reactor; /* NULL: it was freed */
	struct loop_task reactor_freed;
	struct plait_retry_options options;
	plait_operation *fn;
	void *arg;
	const char *where;
	struct plait_deferred *rounds;
	unsigned attempts;
	double begun; /* when the last of them began */
	bool cancelled;
};

static struct plait_deferred *drop_retry(void *arg)
{
	struct retry *t = arg;

	loop_task_cancel(&t->reactor_freed);
	plait_i_deferred_set_rest(t->rounds, NULL);
	free(t);
	return NULL;
}

static void retry_forget_reactor(struct loop_task *task)
{
	plait_container(task, struct retry, reactor_freed)->reactor = NULL;
}

static void retry_is_cancelled(void *arg, bool detached)
{
	struct retry *t = arg;

	t->cancelled = !detached;
}

/* Rounds is fired when it is made, so that only its rest is ever called. */
static plait_value retry_canceller(struct plait_deferred *d, void *arg)
{
	return plait_cancelled();
}

static bool retry_is_over(const struct retry *t)
{
	return t->cancelled || t->reactor == NULL ||
	       plait_i_loop_is_ending(t->reactor);
}

/* The program is asked, and may have ended all when it answers. */
static bool retry_is_worth_it(struct retry *t, const struct plait_failure *why)
{
	plait_should_retry *ask = t->options.should_retry;

	if (retry_is_over(t) ||
	    plait_failure_check(why, &plait_error_cancelled))
		return false;
	if (ask != NULL && !ask(why, t->attempts, t->arg))
		return false;
	return !retry_is_over(t);
}

static bool has_attempts_left(const struct retry *t)
{
	return t->options.max_attempts == 0 ||
	       t->attempts < t->options.max_attempts;
}

/* Whoever handles a failure by its kind or errno need not know of retries. */
static plait_value retry_gave_up(const struct retry *t,
				 const struct plait_failure *why)
{
	REACHED("a retry gives up");
	return plait_i_failure_of(t->where, plait_failure_kind(why),
				  plait_failure_errno(why), why, PLAIT_NONE,
				  "gave up after %u attempt%s", t->attempts,
				  t->attempts == 1 ? "" : "s");
}

/* The program begins an attempt. */
static plait_value retry_attempt(void *arg)
{
	struct retry *t = arg;

	t->begun = plait_reactor_seconds(t->reactor);
	return t->fn(t->arg);
}

/* An attempt that went on for so long has worked, whatever ended it. */
static double retry_delay(struct retry *t)
{
	struct plait_backoff *b = &t->options.backoff;

	if (b->min_uptime > 0 &&
	    plait_reactor_seconds(t->reactor) - t->begun >= b->min_uptime)
		plait_backoff_reset(b);
	return plait_backoff_next(b, t->reactor);
}

/* An attempt has ended, or a delay, if that was cancelled or abandoned. */
static plait_value retry_ended(plait_value *result, void *arg)
{
	struct retry *t = arg;
	struct plait_deferred *next;
	plait_value v = *result;

	t->attempts++;
	if (!plait_value_is_failure(result) ||
	    !retry_is_worth_it(t, plait_value_failure(result))) {
		drop_retry(t);
		return v;
	}
	if (!has_attempts_left(t)) {
		v = retry_gave_up(t, plait_value_failure(result));
		drop_retry(t);
		return v;
	}
	next = (plait_defer_later)(t->reactor, retry_delay(t), retry_attempt, t,
				   t->where);
	/* Has it failed already?  Then there was no memory for the delay. */
	if (plait_deferred_is_fired(next))
		drop_retry(t);
	else
		plait_i_deferred_add_guarded(t->rounds, retry_ended, t,
					     drop_retry);
	return plait_chain(&next);
}

static plait_value retry_begin(plait_value *result, void *arg)
{
	return retry_attempt(arg);
}

static plait_value wait_for_rounds(plait_value *result, void *arg)
{
	struct plait_deferred **rounds = arg;

	return plait_chain(rounds);
}

/* Takes t.  With no memory for it, it gives a deferred that says so. */
static struct plait_deferred *retry_start(struct retry *t)
{
	struct plait_promise *p;
	struct plait_deferred *rounds =
		(plait_deferred_new)(&p, retry_canceller, t, t->where);

	if (p == NULL) {
		free(t);
		return rounds;
	}
	t->rounds = rounds;
	plait_fire(&p, PLAIT_NONE);
	plait_i_deferred_set_rest(rounds, retry_is_cancelled);
	plait_i_loop_keep(t->reactor, &t->reactor_freed);
	plait_deferred_add_callback(rounds, retry_begin, t);
	return plait_i_deferred_add_guarded(rounds, retry_ended, t, drop_retry);
}

struct plait_deferred *plait_retry(struct plait_reactor *r, plait_operation *fn,
				   void *arg,
				   const struct plait_retry_options *options,
				   const char *where)
{
	static const struct plait_retry_options defaults;
	struct plait_deferred *d, *rounds;
	struct plait_promise *p;
	struct retry *t;

	loop_check_given(r, "plait_retry()", where);
	if (options == NULL)
		options = &defaults;
	if (RESERVED_IN_USE(&options->backoff) || RESERVED_IN_USE(options))
		return (plait_failed)((plait_fail_errno)(where, &plait_error_os,
							 EINVAL,
							 "a reserved word is "
							 "not 0"),
				      where);
	d = (plait_deferred_new)(&p, NULL, NULL, where);
	t = p != NULL ? malloc(sizeof(*t)) : NULL;
	if (t == NULL) {
		plait_fire(&p, plait_no_memory());
		return d;
	}
	*t = (struct retry){ .reactor = r,
			     .reactor_freed.run = retry_forget_reactor,
			     .options = *options,
			     .fn = fn,
			     .arg = arg,
			     .where = where };
	rounds = retry_start(t);
	(plait_fire)(&p, PLAIT_NONE, where);
	return plait_deferred_add_callback(d, wait_for_rounds, &rounds);
}

/*
 * Locks and semaphores: who gets the token when, whatever those who wait for
 * it do in their callbacks.
 */
#include <plait/plait.h>

#include "tests/child.h"
#include "tests/extreme.h"
#include "tests/harness.h"
#include "tests/steps.h"

enum { WAITERS = 3 };

static struct plait_lock *lock;
static struct plait_semaphore *semaphore; /* of two tokens */
static struct plait_deferred *w[WAITERS + 2];

static void setup(void)
{
	steps_setup();
	lock = plait_lock_new();
	semaphore = plait_semaphore_new(2);
}

static void done(void)
{
	for (int i = 0; i < WAITERS + 2; i++)
		plait_deferred_free(&w[i]);
	plait_lock_free(&lock);
	plait_semaphore_free(&semaphore);
}

static struct plait_deferred *acquire(const char *name)
{
	struct plait_deferred *d = plait_lock_acquire(lock);

	pass_both(d, name);
	return d;
}

/* w[0] has the lock, and the others wait for it. */
static void queue_up(void)
{
	static const char *const names[] = { "w0", "w1", "w2" };

	for (int i = 0; i < WAITERS; i++)
		w[i] = acquire(names[i]);
}

static plait_value error(const char *message)
{
	return plait_fail(&plait_error_any, "%s", message);
}

/* Things to do in a step. */
static void act_release(struct step *s, plait_value *result)
{
	plait_lock_release(lock);
}

static void act_acquire(struct step *s, plait_value *result)
{
	w[WAITERS] = acquire("again");
}

static void act_free_lock(struct step *s, plait_value *result)
{
	plait_lock_free(&lock);
}

static void act_say_locked(struct step *s, plait_value *result)
{
	trace_add("%s", plait_lock_is_locked(lock) ? "locked" : "free");
}

static void act_release_and_say_locked(struct step *s, plait_value *result)
{
	act_release(s, result);
	act_say_locked(s, result);
}

/* ---- acquiring and releasing ---------------------------------------- */

GROUP("acquire and release", .setup = setup);

TEST(free_lock_is_acquired_at_once, PURE)
{
	ck_assert(!plait_lock_is_locked(lock));
	w[0] = acquire("w0");
	ck_assert_str_eq(trace(), "w0:none");
	ck_assert(plait_lock_is_locked(lock));
	plait_lock_release(lock);
	ck_assert(!plait_lock_is_locked(lock));
	done();
}

TEST(waiters_are_served_in_order_inside_the_release, PURE)
{
	queue_up();
	ck_assert_str_eq(trace(), "w0:none");
	plait_lock_release(lock);
	ck_assert_str_eq(trace(), "w0:none w1:none");
	plait_lock_release(lock);
	ck_assert_str_eq(trace(), "w0:none w1:none w2:none");
	ck_assert(plait_lock_is_locked(lock));
	done();
}

TEST(lock_stays_locked_while_it_is_handed_over, PURE)
{
	struct step says = { .act = act_say_locked };
	struct step both = { .act = act_release_and_say_locked };

	queue_up();
	plait_deferred_add_both(w[1], step, &both);
	plait_deferred_add_both(w[2], step, &says);
	plait_lock_release(lock);
	ck_assert_str_eq(trace(), "w0:none w1:none locked w2:none locked");
	done();
}

TEST(semaphore_has_so_many_tokens, PURE)
{
	ck_assert_uint_eq(plait_semaphore_tokens(semaphore), 2);
	w[0] = plait_semaphore_acquire(semaphore);
	w[1] = plait_semaphore_acquire(semaphore);
	w[2] = plait_semaphore_acquire(semaphore);
	ck_assert(plait_deferred_is_fired(w[1]));
	ck_assert(!plait_deferred_is_fired(w[2]));
	ck_assert_uint_eq(plait_semaphore_tokens(semaphore), 0);
	plait_semaphore_release(semaphore);
	ck_assert(plait_deferred_is_fired(w[2]));
	ck_assert_uint_eq(plait_semaphore_tokens(semaphore), 0);
	plait_semaphore_release(semaphore);
	ck_assert_uint_eq(plait_semaphore_tokens(semaphore), 1);
	plait_semaphore_release(semaphore);
	ck_assert_uint_eq(plait_semaphore_tokens(semaphore), 2);
	done();
}

static void act_say_tokens(struct step *s, plait_value *result)
{
	trace_add("%zu", plait_semaphore_tokens(semaphore));
}

static void act_release_and_say_tokens(struct step *s, plait_value *result)
{
	plait_semaphore_release(semaphore);
	act_say_tokens(s, result);
}

TEST(token_is_not_free_while_it_is_handed_over, PURE)
{
	struct step both = { .act = act_release_and_say_tokens };
	struct step says = { .act = act_say_tokens };

	for (int i = 0; i < 4; i++)
		w[i] = plait_semaphore_acquire(semaphore);
	plait_deferred_add_both(w[2], step, &both);
	plait_deferred_add_both(w[3], step, &says);
	plait_semaphore_release(semaphore);
	ck_assert_str_eq(trace(), "0 0");
	done();
}

TEST(semaphore_without_tokens_is_refused, PURE)
{
	errno = 0;
	ck_assert_ptr_null(plait_semaphore_new(0));
	ck_assert_int_eq(errno, EINVAL);
	done();
}

static void release_lock(void *arg)
{
	plait_lock_release(lock);
}

static void release_semaphore(void *arg)
{
	plait_semaphore_release(semaphore);
}

TEST(releasing_what_nobody_acquired_aborts, PURE)
{
	assert_aborts(release_lock, NULL, "released what nobody has acquired");
	assert_aborts(release_semaphore, NULL,
		      "released what nobody has acquired");
	done();
}

/* ---- cancelling ----------------------------------------------------- */

GROUP("cancel", .setup = setup);

TEST(cancelled_waiter_leaves_and_the_others_keep_their_order, PURE)
{
	queue_up();
	plait_deferred_cancel(w[1]);
	ck_assert_str_eq(trace(), "w0:none w1:CancelledError");
	plait_lock_release(lock);
	ck_assert_str_eq(trace(), "w0:none w1:CancelledError w2:none");
	handle_all(w[1]);
	done();
}

TEST(freed_waiter_leaves, PURE)
{
	queue_up();
	plait_deferred_free(&w[1]);
	plait_lock_release(lock);
	ck_assert_str_eq(trace(), "w0:none w1:CancelledError w2:none");
	done();
}

TEST(detached_waiter_still_gets_the_token, PURE)
{
	queue_up();
	plait_deferred_detach(&w[1]);
	plait_lock_release(lock);
	ck_assert_str_eq(trace(), "w0:none w1:none");
	done();
}

TEST(cancelling_what_was_acquired_is_nothing, PURE)
{
	queue_up();
	plait_deferred_cancel(w[0]);
	plait_deferred_free(&w[0]);
	ck_assert(plait_lock_is_locked(lock));
	ck_assert_str_eq(trace(), "w0:none");
	done();
}

/* ---- inside the callbacks of waiters --------------------------------- */

GROUP("inside callbacks", .setup = setup);

TEST(waiter_may_release_inside_its_callback, PURE)
{
	struct step releases = { .act = act_release };

	queue_up();
	plait_deferred_add_both(w[1], step, &releases);
	pass_both(w[1], "after");
	plait_lock_release(lock);
	ck_assert_str_eq(trace(), "w0:none w1:none after:none w2:none");
	ck_assert(plait_lock_is_locked(lock));
	done();
}

TEST(waiter_may_cancel_the_next_inside_its_callback, PURE)
{
	struct step cancels = { .act = act_cancel };

	queue_up();
	cancels.d = w[2];
	plait_deferred_add_both(w[1], step, &cancels);
	plait_lock_release(lock);
	plait_lock_release(lock);
	ck_assert_str_eq(trace(), "w0:none w1:none w2:CancelledError");
	ck_assert(!plait_lock_is_locked(lock));
	handle_all(w[2]);
	done();
}

TEST(next_may_be_cancelled_after_the_token_was_released_for_it, PURE)
{
	struct step releases = { .act = act_release };
	struct step cancels = { .act = act_cancel };

	queue_up();
	cancels.d = w[2];
	plait_deferred_add_both(w[1], step, &releases);
	plait_deferred_add_both(w[1], step, &cancels);
	plait_lock_release(lock);
	ck_assert_str_eq(trace(), "w0:none w1:none w2:CancelledError");
	ck_assert(!plait_lock_is_locked(lock));
	handle_all(w[2]);
	done();
}

TEST(acquiring_again_inside_queues_at_the_end, PURE)
{
	struct step acquires = { .act = act_acquire };

	queue_up();
	plait_deferred_add_both(w[1], step, &acquires);
	plait_lock_release(lock);
	plait_lock_release(lock);
	plait_lock_release(lock);
	ck_assert_str_eq(trace(), "w0:none w1:none w2:none again:none");
	done();
}

TEST(released_inside_it_still_goes_to_the_first_not_to_who_comes, PURE)
{
	struct step releases = { .act = act_release };
	struct step acquires = { .act = act_acquire };

	queue_up();
	plait_deferred_add_both(w[1], step, &releases);
	plait_deferred_add_both(w[1], step, &acquires);
	plait_lock_release(lock);
	ck_assert_str_eq(trace(), "w0:none w1:none w2:none");
	plait_lock_release(lock);
	ck_assert_str_eq(trace(), "w0:none w1:none w2:none again:none");
	done();
}

TEST(lock_may_be_freed_inside_a_callback, PURE)
{
	struct step frees = { .act = act_free_lock };

	queue_up();
	plait_deferred_add_both(w[1], step, &frees);
	plait_lock_release(lock);
	ck_assert_str_eq(trace(),
			 "w0:none w1:none w2:AbandonedError: promise dropped");
	handle_all(w[2]);
	done();
}

/* ---- freeing the lock ------------------------------------------------ */

GROUP("free", .setup = setup);

TEST(freeing_abandons_who_waits, PURE)
{
	queue_up();
	plait_lock_free(&lock);
	ck_assert_ptr_null(lock);
	ck_assert_str_eq(trace(), "w0:none "
				  "w1:AbandonedError: promise dropped "
				  "w2:AbandonedError: promise dropped");
	handle_all(w[1]);
	handle_all(w[2]);
	done();
}

static plait_value acquire_again(plait_value *result, void *arg)
{
	struct plait_lock *l = arg;

	w[WAITERS] = plait_lock_acquire(l);
	pass_both(w[WAITERS], "again");
	handle_all(w[WAITERS]);
	return PLAIT_NONE;
}

TEST(acquiring_while_it_is_freed_fails_at_once, PURE)
{
	queue_up();
	plait_deferred_add_both(w[2], acquire_again, lock);
	handle_all(w[1]);
	plait_lock_free(&lock);
	ck_assert_str_eq(trace(), "w0:none "
				  "w1:AbandonedError: promise dropped "
				  "w2:AbandonedError: promise dropped "
				  "again:AbandonedError: the lock was freed");
	done();
}

static plait_value release_it(plait_value *result, void *arg)
{
	plait_lock_release(arg);
	return PLAIT_NONE;
}

/* He who got it could not give it back. */
TEST(token_released_while_it_is_freed_goes_to_nobody, PURE)
{
	queue_up();
	plait_deferred_add_both(w[1], release_it, lock);
	plait_lock_free(&lock);
	ck_assert_str_eq(trace(), "w0:none "
				  "w1:AbandonedError: promise dropped "
				  "w2:AbandonedError: promise dropped");
	handle_all(w[2]);
	done();
}

TEST(freeing_null_is_nothing, PURE)
{
	struct plait_lock *no_lock = NULL;
	struct plait_semaphore *no_semaphore = NULL;

	plait_lock_free(&no_lock);
	plait_semaphore_free(&no_semaphore);
	done();
}

/* ---- run ------------------------------------------------------------ */

/* An operation that does and answers what the step says. */
static plait_value operate(void *arg)
{
	plait_value none = PLAIT_NONE;

	return step(&none, arg);
}

static struct plait_promise *work;
static struct step work_canceller;

/* An operation whose work can be cancelled. */
static void set_working(struct step *s, const char *name)
{
	work_canceller = (struct step){ .name = name };
	*s = (struct step){ .name = name,
			    .inner = plait_deferred_new(&work, step_canceller,
							&work_canceller) };
}

GROUP("run", .setup = setup);

TEST(run_acquires_calls_and_releases, PURE)
{
	struct step s = { .name = "fn",
			  .act = act_say_locked,
			  .answers = true,
			  .answer = plait_int(5) };

	w[0] = plait_lock_run(lock, operate, &s);
	ck_assert_str_eq(trace(), "fn:none locked");
	ck_assert_int_eq(plait_value_int(plait_deferred_result(w[0])), 5);
	ck_assert(!plait_lock_is_locked(lock));
	done();
}

TEST(run_waits_for_the_work_and_passes_its_result_on, PURE, TIMES(2))
{
	plait_value results[] = { plait_int(5), error("no") };
	static const char *const traces[] = { "fn:none w0:5",
					      "fn:none w0:Error: no" };
	struct step s;

	set_working(&s, "fn");
	w[0] = plait_lock_run(lock, operate, &s);
	ck_assert(plait_lock_is_locked(lock));
	pass_both(w[0], "w0");
	plait_fire(&work, plait_take(&results[_i]));
	ck_assert_str_eq(trace(), traces[_i]);
	ck_assert(!plait_lock_is_locked(lock));
	plait_value_free(&results[1]);
	handle_all(w[0]);
	done();
}

TEST(run_that_fails_releases, PURE)
{
	struct step s = { .answers = true, .answer = error("no") };

	w[0] = plait_lock_run(lock, operate, &s);
	ck_assert(!plait_lock_is_locked(lock));
	handle_all(w[0]);
	done();
}

TEST(run_waits_for_its_turn, PURE)
{
	struct step s = { .name = "fn" };

	w[0] = plait_semaphore_acquire(semaphore);
	w[1] = plait_semaphore_acquire(semaphore);
	w[2] = plait_semaphore_run(semaphore, operate, &s);
	ck_assert_str_eq(trace(), "");
	plait_semaphore_release(semaphore);
	ck_assert_str_eq(trace(), "fn:none");
	ck_assert_uint_eq(plait_semaphore_tokens(semaphore), 1);
	done();
}

TEST(run_cancelled_while_it_waits_never_calls, PURE, TIMES(2))
{
	struct step s = { .name = "never" };

	w[0] = plait_lock_acquire(lock);
	w[1] = plait_lock_run(lock, operate, &s);
	if (_i == 0) {
		plait_deferred_cancel(w[1]);
		handle_all(w[1]);
	}
	plait_deferred_free(&w[1]);
	plait_lock_release(lock);
	ck_assert_str_eq(trace(), "");
	ck_assert(!plait_lock_is_locked(lock));
	done();
}

TEST(run_cancelled_at_work_stops_that_and_then_releases, PURE, TIMES(2))
{
	struct step s;

	set_working(&s, "fn");
	w[0] = plait_lock_run(lock, operate, &s);
	w[1] = acquire("next");
	if (_i == 0) {
		plait_deferred_cancel(w[0]);
		handle_all(w[0]);
	}
	plait_deferred_free(&w[0]);
	ck_assert_str_eq(trace(), "fn:none !fn next:none");
	plait_promise_drop(&work);
	done();
}

/* Work that, when it is cancelled, has something to clear up and waits. */
TEST(freed_run_releases_when_all_of_its_work_has_ended, PURE)
{
	struct plait_promise *clearing;
	struct step c = { .name = "clearing" };
	struct step clears = { .name = "cancelled",
			       .inner = plait_deferred_new(
				       &clearing, step_canceller, &c) };
	struct step s;

	set_working(&s, "fn");
	plait_deferred_add_errback(s.inner, step, &clears);
	w[0] = plait_lock_run(lock, operate, &s);
	w[1] = acquire("next");
	plait_deferred_free(&w[0]);
	ck_assert_str_eq(trace(), "fn:none !fn cancelled:CancelledError "
				  "!clearing next:none");
	plait_promise_drop(&work);
	plait_promise_drop(&clearing);
	done();
}

TEST(cancelled_run_holds_on_while_its_work_clears_up, PURE)
{
	struct plait_promise *clearing;
	struct step clears = { .inner = plait_deferred_new(&clearing, NULL,
							   NULL) };
	struct step s;

	set_working(&s, "fn");
	plait_deferred_add_errback(s.inner, step, &clears);
	w[0] = plait_lock_run(lock, operate, &s);
	plait_deferred_cancel(w[0]);
	ck_assert(plait_lock_is_locked(lock));
	plait_fire(&clearing, PLAIT_NONE);
	ck_assert(!plait_lock_is_locked(lock));
	plait_promise_drop(&work);
	done();
}

TEST(run_freed_inside_its_function_releases_after_that, PURE)
{
	struct step s;

	w[0] = plait_lock_acquire(lock);
	set_working(&s, "fn");
	w[1] = plait_lock_run(lock, operate, &s);
	w[2] = acquire("next");
	s.act = act_free;
	s.d = w[1];
	plait_lock_release(lock);
	w[1] = NULL;
	ck_assert_str_eq(trace(), "fn:none !fn next:none");
	plait_promise_drop(&work);
	done();
}

/* The pair that releases is one of its chain. */
TEST(paused_run_keeps_the_lock_until_it_is_unpaused, PURE)
{
	struct step s;

	set_working(&s, "fn");
	w[0] = plait_lock_run(lock, operate, &s);
	plait_deferred_pause(w[0]);
	plait_fire(&work, PLAIT_NONE);
	ck_assert(plait_lock_is_locked(lock));
	plait_deferred_unpause(w[0]);
	ck_assert(!plait_lock_is_locked(lock));
	done();
}

TEST(lock_freed_while_run_is_at_work_lets_it_finish, PURE)
{
	struct step s;

	set_working(&s, "fn");
	w[0] = plait_lock_run(lock, operate, &s);
	pass_both(w[0], "w0");
	plait_lock_free(&lock);
	plait_fire(&work, plait_int(5));
	ck_assert_str_eq(trace(), "fn:none w0:5");
	done();
}

TEST(function_that_frees_the_lock_is_run_to_its_end, PURE)
{
	struct step s = { .name = "fn", .act = act_free_lock };

	w[0] = plait_lock_run(lock, operate, &s);
	ck_assert_str_eq(trace(), "fn:none");
	ck_assert(plait_deferred_is_fired(w[0]));
	done();
}

TEST(run_that_waits_for_a_freed_lock_is_abandoned, PURE)
{
	struct step s = { .name = "never" };

	w[0] = plait_lock_acquire(lock);
	w[1] = plait_lock_run(lock, operate, &s);
	pass_both(w[1], "w1");
	plait_lock_free(&lock);
	ck_assert_str_eq(trace(), "w1:AbandonedError: promise dropped");
	handle_all(w[1]);
	done();
}

/* ---- freed or cancelled while the work is on the stack ----------------- */

/* What a run may wait for; work is at the bottom of all. */
enum shape {
	PLAIN,
	CHAIN,	/* through another deferred */
	GATHER, /* of one */
	LIST,	/* of one that is done and this one */
	RACE,	/* with one that never fires */
	NESTED, /* a gather of a list of a chain */
	SHARED, /* this is the only waiter */
	RUN,	/* of a semaphore inside the run of the lock */
	SHAPES
};

static struct plait_shared *shared;
static struct plait_promise *other;

static plait_value give_inner(plait_value *result, void *arg)
{
	return plait_chain(arg);
}

static plait_value give_operation(void *arg)
{
	return plait_chain(arg);
}

static struct plait_deferred *chain_of(struct plait_deferred *d)
{
	struct plait_deferred *outer = plait_succeed(PLAIT_NONE);

	return plait_deferred_add_callback(outer, give_inner, &d);
}

static struct plait_deferred *list_of(struct plait_deferred *d)
{
	struct plait_deferred *members[] = { plait_succeed(PLAIT_NONE), d };

	return plait_deferred_list(members, 2, PLAIT_CONSUME_ERRORS);
}

static struct plait_deferred *race_of(struct plait_deferred *d)
{
	struct plait_deferred *members[] = {
		plait_deferred_new(&other, NULL, NULL), d
	};

	return plait_race(members, 2);
}

static struct plait_deferred *gather_of(struct plait_deferred *d)
{
	return plait_gather(&d, 1, PLAIT_CONSUME_ERRORS);
}

static struct plait_deferred *shared_of(struct plait_deferred *d)
{
	shared = plait_shared_new(&d);
	return plait_shared_wait(shared);
}

static struct plait_deferred *shape(enum shape kind, struct plait_deferred *d)
{
	switch (kind) {
	case CHAIN:
		return chain_of(d);
	case GATHER:
		return gather_of(d);
	case LIST:
		return list_of(d);
	case RACE:
		return race_of(d);
	case NESTED:
		return gather_of(list_of(chain_of(d)));
	case SHARED:
		return shared_of(d);
	case RUN:
		return plait_semaphore_run(semaphore, give_operation, &d);
	default:
		return d;
	}
}

/* Ends the run in the way, and says whether the lock stays meanwhile. */
static void act_end_run(struct step *s, plait_value *result)
{
	trace_add("in");
	if (w[0] != NULL && s->p == NULL)
		plait_deferred_free(&w[0]);
	else if (w[0] != NULL)
		plait_deferred_cancel(w[0]);
	act_say_locked(s, result);
	if (w[0] != NULL)
		trace_add("cancelled");
}

/* Runs work of that shape under the lock; next waits for it. */
static void run_shape(enum shape kind, struct plait_deferred *d)
{
	struct step s = { .inner = shape(kind, d) };

	w[0] = plait_lock_run(lock, operate, &s);
	w[1] = acquire("next");
}

static void end_shape(void)
{
	if (w[0] != NULL)
		handle_all(w[0]);
	plait_shared_free(&shared);
	plait_promise_drop(&other);
	plait_promise_drop(&work);
	done();
}

GROUP("on the stack", .setup = setup);

/* The shared operation is not freed with its waiter: it runs to its end. */
TEST(lock_is_held_until_the_callback_that_frees_the_run_returns, PURE,
     TIMES(SHAPES))
{
	struct step ends = { .name = "cb", .act = act_end_run };
	struct plait_deferred *d = plait_deferred_new(&work, NULL, NULL);

	plait_deferred_add_both(d, step, &ends);
	pass_both(d, "cb2");
	run_shape((enum shape)_i, d);
	pass_both(w[0], "run");
	plait_fire(&work, PLAIT_NONE);
	if (_i == PLAIN || _i == CHAIN || _i == RUN)
		ck_assert_str_eq(trace(), "cb:none in locked next:none");
	else if (_i == SHARED)
		ck_assert_str_eq(trace(), "cb:none in run:CancelledError "
					  "locked cb2:none next:none");
	else
		ck_assert_str_eq(trace(), "cb:none in run:CancelledError "
					  "locked next:none");
	end_shape();
}

TEST(lock_is_held_until_the_callback_that_cancels_the_run_returns, PURE,
     TIMES(SHAPES))
{
	struct plait_promise *cancels;
	struct plait_deferred *unused =
		plait_deferred_new(&cancels, NULL, NULL);
	struct step ends = { .name = "cb", .act = act_end_run, .p = cancels };
	struct plait_deferred *d = plait_deferred_new(&work, NULL, NULL);

	plait_deferred_add_both(d, step, &ends);
	run_shape((enum shape)_i, d);
	plait_fire(&work, PLAIT_NONE);
	ck_assert_str_eq(trace(), "cb:none in locked cancelled next:none");
	plait_promise_drop(&cancels);
	handle_all(unused);
	plait_deferred_free(&unused);
	end_shape();
}

TEST(lock_is_held_until_the_canceller_that_frees_the_run_returns, PURE,
     TIMES(SHAPES))
{
	struct plait_deferred *d;

	work_canceller = (struct step){ .name = "c", .act = act_end_run };
	d = plait_deferred_new(&work, step_canceller, &work_canceller);
	run_shape((enum shape)_i, d);
	unhandled_expect(1);
	plait_deferred_cancel(w[0]);
	ck_assert_str_eq(trace(), "!c in locked next:none");
	end_shape();
}

TEST(lock_is_let_go_when_the_run_is_detached_and_the_callback_returns, PURE,
     TIMES(SHAPES))
{
	struct step ends = { .name = "cb", .act = act_say_locked };
	struct plait_deferred *d = plait_deferred_new(&work, NULL, NULL);

	plait_deferred_add_both(d, step, &ends);
	run_shape((enum shape)_i, d);
	plait_deferred_detach(&w[0]);
	plait_fire(&work, PLAIT_NONE);
	ck_assert_str_eq(trace(), "cb:none locked next:none");
	end_shape();
}

/* Two members at once: the one's callback fires the other, which frees. */
TEST(lock_is_held_until_all_members_on_the_stack_have_returned, PURE)
{
	struct plait_promise *second;
	struct plait_deferred *m[] = {
		plait_deferred_new(&work, NULL, NULL),
		plait_deferred_new(&second, NULL, NULL),
	};
	struct step ends = { .name = "second", .act = act_end_run };
	struct step fires = { .name = "first", .act = act_fire, .p = second };
	struct step says = { .act = act_say_locked };
	struct step s;

	plait_deferred_add_both(m[0], step, &fires);
	plait_deferred_add_both(m[1], step, &ends);
	s = (struct step){ .inner = plait_gather(m, 2, 0) };
	w[0] = plait_lock_run(lock, operate, &s);
	w[1] = acquire("next");
	plait_deferred_add_both(w[1], step, &says);
	plait_fire(&work, PLAIT_NONE);
	ck_assert_str_eq(trace(), "first:none second:99 in locked fire=0 "
				  "next:none locked");
	end_shape();
}

static void act_end_run_and_shared(struct step *s, plait_value *result)
{
	plait_deferred_free(&w[0]);
	plait_shared_free(&shared);
	act_say_locked(s, result);
}

/* That frees the operation, which is held for its member on the stack. */
TEST(lock_is_held_if_the_shared_operation_is_freed_as_well, PURE)
{
	struct step ends = { .name = "cb", .act = act_end_run_and_shared };
	struct plait_deferred *d = plait_deferred_new(&work, NULL, NULL);

	plait_deferred_add_both(d, step, &ends);
	run_shape(SHARED, gather_of(d));
	plait_fire(&work, PLAIT_NONE);
	ck_assert_str_eq(trace(), "cb:none locked next:none");
	end_shape();
}

TEST(result_of_a_freed_run_goes_before_the_lock, PURE)
{
	struct step ends = { .act = act_end_run,
			     .answers = true,
			     .answer = tracked("v") };
	struct plait_deferred *d = plait_deferred_new(&work, NULL, NULL);

	plait_deferred_add_both(d, step, &ends);
	run_shape(PLAIN, d);
	plait_fire(&work, PLAIT_NONE);
	ck_assert_str_eq(trace(), "in locked ~v next:none");
	end_shape();
}

/* ---- every moment, no memory, no stack ------------------------------- */

static struct plait_lock *contended;

static plait_value count_settled(plait_value *result, void *arg)
{
	unsigned *n = arg;

	(*n)++;
	return PLAIT_NONE;
}

/* Three runs at one lock; at a moment something happens to one of them. */
static void contend(int who, int when, int action)
{
	struct plait_promise *p[WAITERS];
	struct step s[WAITERS];
	unsigned settled[WAITERS] = { 0 };

	contended = plait_lock_new();
	for (int i = 0; i < WAITERS; i++) {
		s[i] = (struct step){ .inner = plait_deferred_new(&p[i], NULL,
								  NULL) };
		w[i] = plait_lock_run(contended, operate, &s[i]);
		plait_deferred_add_both(w[i], count_settled, &settled[i]);
	}
	for (int i = 0; i <= WAITERS; i++) {
		if (i == when && action == 0)
			plait_deferred_cancel(w[who]);
		else if (i == when && action == 1)
			plait_deferred_free(&w[who]);
		else if (i == when && action == 2)
			plait_deferred_detach(&w[who]);
		else if (i == when)
			plait_lock_free(&contended);
		if (i < WAITERS)
			plait_fire(&p[i], PLAIT_NONE);
	}
	for (int i = 0; i < WAITERS; i++) {
		ck_assert_uint_eq(settled[i], 1);
		plait_deferred_free(&w[i]);
		plait_deferred_free(&s[i].inner);
	}
	ck_assert(contended == NULL || !plait_lock_is_locked(contended));
	plait_lock_free(&contended);
}

GROUP("extremes", .setup = setup, .timeout = 60);

TEST(each_run_settles_once_whatever_happens_when, PURE)
{
	done();
	for (int who = 0; who < WAITERS; who++)
		for (int when = 0; when <= WAITERS; when++)
			for (int action = 0; action < 4; action++)
				contend(who, when, action);
}

static void whole_life(void)
{
	struct plait_lock *l = plait_lock_new();
	struct step s = { .name = "fn" };
	struct plait_deferred *first, *second, *third;

	steps_setup();
	if (l == NULL) {
		ck_assert_int_eq(errno, ENOMEM);
		return;
	}
	first = plait_lock_run(l, operate, &s);
	second = plait_lock_acquire(l);
	third = plait_lock_run(l, operate, &s);
	handle_all(first);
	handle_all(third);
	if (plait_lock_is_locked(l)) {
		handle_all(second);
		plait_lock_release(l);
	}
	ck_assert(!plait_lock_is_locked(l));
	handle_all(second);
	plait_deferred_free(&first);
	plait_deferred_free(&second);
	plait_deferred_free(&third);
	plait_lock_free(&l);
}

TEST(no_token_is_lost_when_memory_runs_out, PURE)
{
	done();
	without_each_allocation(whole_life);
}

enum { MILLION = 1000000 };

static unsigned long served;

static plait_value release_next(plait_value *result, void *arg)
{
	served++;
	if (!plait_value_is_failure(result))
		plait_lock_release(arg);
	return PLAIT_NONE;
}

static plait_value serve_one(void *arg)
{
	served++;
	return PLAIT_NONE;
}

/* How a million waiters are made, and then ended. */
static int how;

static void *million_waiters(void *arg)
{
	struct plait_lock *l = plait_lock_new();
	struct plait_deferred *d = plait_lock_acquire(l);

	plait_deferred_free(&d);
	for (int i = 0; i < MILLION; i++) {
		d = how == 1 ? plait_lock_run(l, serve_one, NULL)
			     : plait_lock_acquire(l);
		if (how != 1)
			plait_deferred_add_both(d, release_next, l);
		plait_deferred_detach(&d);
	}
	if (how < 2)
		plait_lock_release(l);
	plait_lock_free(&l);
	return NULL;
}

TEST(million_waiters_end_on_a_small_stack, PURE, TIMES(3))
{
	done();
	how = _i;
	on_small_stack(million_waiters);
	ck_assert_uint_eq(served, MILLION);
}

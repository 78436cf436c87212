/*
 * One operation for many: each waiter has the result or goes alone, and the
 * operation lives exactly as long as somebody could want it.
 */
#include <stdio.h>

#include <plait/plait.h>

#include "tests/child.h"
#include "tests/extreme.h"
#include "tests/harness.h"
#include "tests/steps.h"

enum { WAITERS = 3 };

static struct plait_shared *s;
static struct plait_promise *work;
static struct step canceller;
static struct plait_deferred *w[WAITERS + 1];
static const char *const names[WAITERS + 1] = { "w0", "w1", "w2", "again" };

/* A value that can be shared, and traces each reference that goes. */
static unsigned live;

static void counted_free(void *ptr)
{
	live--;
}

static void *counted_ref(void *ptr)
{
	live++;
	return ptr;
}

static int counted_format(const void *ptr, char *buf, size_t size)
{
	return snprintf(buf, size, "poem");
}

static const struct plait_type counted_type = {
	.name = "poem",
	.free = counted_free,
	.format = counted_format,
	.ref = counted_ref,
};

static plait_value poem(void)
{
	live++;
	return plait_value_make(&counted_type, &live);
}

static plait_value error(const char *message)
{
	return plait_fail(&plait_error_any, "%s", message);
}

static struct plait_deferred *make_operation(void)
{
	canceller = (struct step){ .name = "op" };
	return plait_deferred_new(&work, step_canceller, &canceller);
}

static void share(struct plait_deferred *operation)
{
	s = plait_shared_new(&operation);
	ck_assert_ptr_null(operation);
}

static void setup(void)
{
	steps_setup();
	live = 0;
	share(make_operation());
}

static void done(void)
{
	for (int i = 0; i <= WAITERS; i++)
		plait_deferred_free(&w[i]);
	plait_shared_free(&s);
	ck_assert(plait_promise_is_cancelled(work));
	plait_promise_drop(&work);
	ck_assert_uint_eq(live, 0);
	ck_assert_uint_eq(tracked_live(), 0);
}

static void wait_for(int i)
{
	w[i] = plait_shared_wait(s);
	pass_both(w[i], names[i]);
}

static void wait_all(void)
{
	for (int i = 0; i < WAITERS; i++)
		wait_for(i);
}

static void handle_waiters(void)
{
	for (int i = 0; i < WAITERS; i++)
		handle_all(w[i]);
}

static void act_wait(struct step *st, plait_value *result)
{
	wait_for(WAITERS);
}

static void act_free_shared(struct step *st, plait_value *result)
{
	plait_shared_free(&s);
}

/* ---- sharing --------------------------------------------------------- */

GROUP("share", .setup = setup);

TEST(all_who_wait_have_the_result_in_order, PURE)
{
	wait_all();
	ck_assert_uint_eq(plait_shared_waiting(s), WAITERS);
	ck_assert(!plait_shared_is_fired(s));
	plait_fire(&work, poem());
	ck_assert_str_eq(trace(), "w0:poem w1:poem w2:poem");
	ck_assert_uint_eq(plait_shared_waiting(s), 0);
	ck_assert(plait_shared_is_fired(s));
	ck_assert_uint_eq(live, WAITERS + 1);
	done();
}

TEST(who_comes_later_has_it_at_once, PURE)
{
	plait_fire(&work, poem());
	wait_all();
	ck_assert_str_eq(trace(), "w0:poem w1:poem w2:poem");
	done();
}

TEST(operation_that_has_fired_can_be_shared, PURE)
{
	plait_shared_free(&s);
	plait_promise_drop(&work);
	trace_clear();
	share(plait_succeed(plait_int(5)));
	ck_assert(plait_shared_is_fired(s));
	wait_for(0);
	wait_for(1);
	ck_assert_str_eq(trace(), "w0:5 w1:5");
	done();
}

TEST(failure_goes_to_all_and_each_may_handle_it, PURE)
{
	wait_all();
	plait_fire(&work, error("no"));
	ck_assert_str_eq(trace(), "w0:Error: no w1:Error: no w2:Error: no");
	handle_waiters();
	done();
}

TEST(failure_that_nobody_was_told_is_reported_when_it_is_freed, PURE)
{
	trace_unhandled();
	plait_fire(&work, error("no"));
	ck_assert_str_eq(trace(), "");
	plait_shared_free(&s);
	ck_assert_str_eq(trace(), "?Error: no");
	done();
}

TEST(cancellation_of_freeing_that_nobody_was_told_is_not_reported, PURE)
{
	struct plait_promise *q;
	struct plait_deferred *first = plait_deferred_new(&q, NULL, NULL);

	plait_deferred_chain(first, &work);
	plait_deferred_free(&first);
	ck_assert(plait_shared_is_fired(s));
	plait_promise_drop(&q);
	done();
}

/* It was not cancelled because nobody waits. */
TEST(cancellation_that_comes_from_elsewhere_is_reported, PURE)
{
	struct plait_promise *q;
	struct plait_deferred *first = plait_deferred_new(&q, NULL, NULL);

	trace_unhandled();
	plait_deferred_chain(first, &work);
	plait_deferred_cancel(first);
	ck_assert_str_eq(trace(), "");
	plait_deferred_free(&first);
	plait_promise_drop(&q);
	plait_shared_free(&s);
	ck_assert_str_eq(trace(), "?CancelledError");
	done();
}

TEST(failure_that_somebody_was_told_is_his, PURE)
{
	plait_fire(&work, error("no"));
	wait_for(0);
	handle_all(w[0]);
	done();
}

/* ---- what has but one owner ------------------------------------------ */

GROUP("one owner", .setup = setup);

TEST(value_with_one_owner_goes_to_the_only_waiter, PURE, TIMES(2))
{
	if (_i == 0)
		wait_for(0);
	plait_fire(&work, tracked("x"));
	if (_i == 1)
		wait_for(0);
	plait_deferred_free(&w[0]);
	ck_assert_str_eq(trace(), "w0:x ~x");
	plait_shared_free(&s);
	ck_assert_str_eq(trace(), "w0:x ~x");
	done();
}

TEST(value_with_one_owner_stays_when_there_is_no_memory_to_give_it, PURE)
{
	plait_fire(&work, tracked("x"));
	fault_alloc_at(0, true);
	wait_for(0);
	fault_alloc_off();
	wait_for(1);
	ck_assert_str_eq(trace(), "w0:NoMemoryError w1:x");
	handle_all(w[0]);
	done();
}

TEST(value_with_one_owner_that_nobody_has_is_freed, PURE)
{
	plait_fire(&work, tracked("x"));
	plait_shared_free(&s);
	ck_assert_str_eq(trace(), "~x");
	done();
}

static void share_between_two(void *arg)
{
	wait_for(0);
	plait_fire(&work, tracked("x"));
	wait_for(1);
}

TEST(value_with_one_owner_and_two_waiters_aborts, PURE)
{
	assert_aborts(share_between_two, NULL,
		      "a value of type tracked has but one owner");
	done();
}

/* ---- going ----------------------------------------------------------- */

GROUP("go", .setup = setup);

TEST(waiter_goes_alone, PURE, TIMES(2))
{
	wait_all();
	if (_i == 0) {
		plait_deferred_cancel(w[1]);
		handle_all(w[1]);
	}
	plait_deferred_free(&w[1]);
	ck_assert_uint_eq(plait_shared_waiting(s), 2);
	plait_fire(&work, poem());
	ck_assert_str_eq(trace(), "w1:CancelledError w0:poem w2:poem");
	done();
}

TEST(last_who_goes_cancels_the_operation, PURE)
{
	wait_for(0);
	wait_for(1);
	plait_deferred_free(&w[0]);
	ck_assert_str_eq(trace(), "w0:CancelledError");
	plait_deferred_free(&w[1]);
	ck_assert_str_eq(trace(), "w0:CancelledError !op w1:CancelledError");
	ck_assert(plait_promise_is_cancelled(work));
	done();
}

TEST(who_comes_after_all_have_gone_has_that_cancellation, PURE)
{
	const struct plait_failure *f;

	wait_for(0);
	plait_deferred_free(&w[0]);
	w[1] = plait_shared_wait(s);
	f = plait_value_failure(plait_deferred_result(w[1]));
	ck_assert(plait_failure_check(f, &plait_error_cancelled));
	ck_assert_str_eq(plait_failure_reason(f), "nobody waits any more");
	handle_all(w[1]);
	done();
}

TEST(waiter_that_has_the_result_may_go_without_harm, PURE)
{
	wait_for(0);
	plait_fire(&work, poem());
	plait_deferred_cancel(w[0]);
	plait_deferred_free(&w[0]);
	wait_for(1);
	ck_assert_str_eq(trace(), "w0:poem w1:poem");
	done();
}

TEST(operation_that_fails_otherwise_when_given_up_is_reported, PURE)
{
	trace_unhandled();
	canceller.answers = true;
	canceller.answer = error("broken");
	wait_for(0);
	plait_deferred_free(&w[0]);
	plait_shared_free(&s);
	ck_assert_str_eq(trace(), "!op w0:CancelledError ?Error: broken");
	done();
}

TEST(operation_that_answers_its_cancel_with_a_value_has_that, PURE, TIMES(2))
{
	canceller.answers = true;
	canceller.answer = tracked("x");
	wait_for(0);
	plait_deferred_free(&w[0]);
	if (_i == 0)
		wait_for(1);
	ck_assert_str_eq(trace(), _i == 0 ? "!op w0:CancelledError w1:x"
					  : "!op w0:CancelledError");
	done();
}

/* An operation that has something to clear up when it is cancelled. */
TEST(operation_that_clears_up_is_waited_for, PURE, TIMES(2))
{
	struct plait_promise *clearing;
	struct step c = { .name = "clearing" };
	struct step clears = { .inner = plait_deferred_new(
				       &clearing, step_canceller, &c) };

	plait_shared_free(&s);
	plait_promise_drop(&work);
	trace_clear();
	share(plait_deferred_add_errback(make_operation(), step, &clears));
	wait_for(0);
	plait_deferred_free(&w[0]);
	ck_assert(!plait_shared_is_fired(s));
	wait_for(1);
	if (_i == 0)
		plait_fire(&clearing, poem());
	else
		plait_deferred_free(&w[1]);
	ck_assert_str_eq(trace(), _i == 0 ? "!op w0:CancelledError w1:poem"
					  : "!op w0:CancelledError "
					    "!clearing w1:CancelledError");
	plait_promise_drop(&clearing);
	done();
}

TEST(freed_one_does_not_wait_for_the_operation_to_clear_up, PURE)
{
	struct plait_promise *clearing;
	struct step c = { .name = "clearing" };
	struct step clears = { .inner = plait_deferred_new(
				       &clearing, step_canceller, &c) };

	plait_shared_free(&s);
	plait_promise_drop(&work);
	trace_clear();
	share(plait_deferred_add_errback(make_operation(), step, &clears));
	plait_shared_free(&s);
	ck_assert_str_eq(trace(), "!op !clearing");
	plait_promise_drop(&clearing);
	done();
}

/* ---- freeing it ------------------------------------------------------ */

GROUP("free", .setup = setup);

TEST(freeing_with_nobody_waiting_cancels, PURE)
{
	plait_shared_free(&s);
	ck_assert_ptr_null(s);
	ck_assert_str_eq(trace(), "!op");
	plait_shared_free(&s);
	done();
}

TEST(freeing_leaves_those_who_wait, PURE, TIMES(2))
{
	wait_all();
	plait_shared_free(&s);
	plait_deferred_free(&w[0]);
	ck_assert_str_eq(trace(), "w0:CancelledError");
	if (_i == 0) {
		plait_fire(&work, poem());
		ck_assert_str_eq(trace(), "w0:CancelledError w1:poem w2:poem");
	} else {
		plait_deferred_free(&w[1]);
		plait_deferred_free(&w[2]);
		ck_assert_str_eq(trace(), "w0:CancelledError w1:CancelledError "
					  "!op w2:CancelledError");
	}
	done();
}

/* ---- inside delivery ------------------------------------------------- */

GROUP("inside", .setup = setup);

TEST(waiter_may_cancel_the_others_inside, PURE)
{
	struct step cancels = { .act = act_cancel };

	wait_all();
	cancels.d = w[1];
	plait_deferred_add_both(w[0], step, &cancels);
	plait_fire(&work, poem());
	ck_assert_str_eq(trace(), "w0:poem w1:CancelledError w2:poem");
	handle_all(w[1]);
	done();
}

TEST(last_who_goes_inside_delivery_cancels_nothing, PURE)
{
	struct step frees = { .act = act_free };

	wait_for(0);
	wait_for(1);
	frees.d = w[1];
	plait_deferred_add_both(w[0], step, &frees);
	plait_fire(&work, poem());
	w[1] = NULL;
	ck_assert_str_eq(trace(), "w0:poem w1:CancelledError");
	done();
}

TEST(waiting_inside_delivery_has_it_at_once, PURE)
{
	struct step waits = { .act = act_wait };

	wait_for(0);
	wait_for(1);
	plait_deferred_add_both(w[0], step, &waits);
	plait_fire(&work, poem());
	ck_assert_str_eq(trace(), "w0:poem again:poem w1:poem");
	done();
}

TEST(freed_inside_delivery_it_still_delivers, PURE, TIMES(2))
{
	struct step frees = { .act = act_free_shared };

	wait_for(0);
	wait_for(1);
	plait_deferred_add_both(w[_i], step, &frees);
	plait_fire(&work, poem());
	ck_assert_ptr_null(s);
	ck_assert_str_eq(trace(), "w0:poem w1:poem");
	done();
}

TEST(freed_inside_the_canceller_of_its_operation, PURE)
{
	canceller.act = act_free_shared;
	wait_for(0);
	plait_deferred_free(&w[0]);
	ck_assert_ptr_null(s);
	ck_assert_str_eq(trace(), "!op w0:CancelledError");
	done();
}

TEST(waiting_inside_the_canceller_has_what_it_answers, PURE)
{
	canceller.act = act_wait;
	wait_for(0);
	plait_deferred_free(&w[0]);
	ck_assert_str_eq(trace(), "!op again:CancelledError w0:CancelledError");
	handle_all(w[WAITERS]);
	done();
}

TEST(list_that_fires_early_ends_its_rest_when_it_is_shared, PURE)
{
	struct plait_deferred *two[2];

	plait_shared_free(&s);
	plait_promise_drop(&work);
	trace_clear();
	two[0] = make_operation();
	two[1] = plait_succeed(plait_int(5));
	share(plait_deferred_list(two, 2, PLAIT_FIRE_ON_ONE_CALLBACK));
	ck_assert_str_eq(trace(), "!op");
	wait_for(0);
	ck_assert_str_eq(trace(), "!op w0:1: 5");
	done();
}

/* ---- every moment, no memory, no stack ------------------------------- */

static plait_value count_settled(plait_value *result, void *arg)
{
	unsigned *n = arg;

	(*n)++;
	return PLAIT_NONE;
}

static void act_on(int action, struct plait_deferred **d)
{
	if (action == 0)
		plait_deferred_cancel(*d);
	else if (action == 1)
		plait_deferred_free(d);
	else if (action == 2)
		plait_deferred_detach(d);
	else
		plait_shared_free(&s);
}

/* Three moments: something happens to a waiter, or to the handle, at two. */
static void live_through(int first, int second, int when)
{
	unsigned settled[2] = { 0 };

	setup();
	for (int i = 0; i < 2; i++) {
		w[i] = plait_shared_wait(s);
		plait_deferred_add_both(w[i], count_settled, &settled[i]);
	}
	if (when > 0)
		act_on(first, &w[0]);
	if (when > 1)
		act_on(second, &w[1]);
	plait_fire(&work, poem());
	if (when <= 0)
		act_on(first, &w[0]);
	if (when <= 1)
		act_on(second, &w[1]);
	ck_assert_uint_eq(settled[0], 1);
	ck_assert_uint_eq(settled[1], 1);
	done();
}

GROUP("extremes", .setup = setup, .timeout = 60);

TEST(each_waiter_settles_once_whatever_happens_when, PURE)
{
	plait_shared_free(&s);
	done();
	for (int first = 0; first < 4; first++)
		for (int second = 0; second < 4; second++)
			for (int when = 0; when < 3; when++)
				live_through(first, second, when);
}

static void whole_life(void)
{
	struct plait_deferred *operation;

	steps_setup();
	operation = make_operation();
	for (int i = 0; i < 4; i++)
		pass_both(operation, "op");
	s = plait_shared_new(&operation);
	if (s == NULL) {
		ck_assert_int_eq(errno, ENOMEM);
		plait_promise_drop(&work);
		return;
	}
	wait_all();
	handle_waiters();
	plait_deferred_free(&w[1]);
	plait_fire(&work, poem());
	wait_for(WAITERS);
	handle_all(w[WAITERS]);
	done();
}

TEST(nothing_is_lost_when_memory_runs_out, PURE)
{
	plait_shared_free(&s);
	done();
	without_each_allocation(whole_life);
}

TEST(operation_without_room_for_the_pair_is_ended, PURE)
{
	struct plait_deferred *operation;

	plait_shared_free(&s);
	plait_promise_drop(&work);
	trace_clear();
	operation = make_operation();
	for (int i = 0; i < 4; i++)
		pass_callback(operation, "op");
	fault_alloc_at(1, false);
	s = plait_shared_new(&operation);
	fault_alloc_off();
	ck_assert_str_eq(trace(), "!op");
	wait_for(0);
	ck_assert_str_eq(trace(), "!op w0:NoMemoryError");
	handle_all(w[0]);
	done();
}

static void share_nothing(void *arg)
{
	struct plait_deferred *none = NULL;

	plait_shared_new(&none);
}

TEST(sharing_nothing_aborts, PURE)
{
	assert_aborts(share_nothing, NULL, "*dp != NULL");
	plait_shared_free(&s);
	done();
}

enum { MILLION = 1000000 };

static void *million_waiters(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *d = plait_deferred_new(&p, NULL, NULL);
	struct plait_shared *shared = plait_shared_new(&d);

	for (int i = 0; i < MILLION; i++) {
		d = plait_shared_wait(shared);
		plait_deferred_detach(&d);
	}
	plait_shared_free(&shared);
	plait_fire(&p, plait_int(1));
	return NULL;
}

TEST(million_waiters_end_on_a_small_stack, PURE)
{
	plait_shared_free(&s);
	done();
	on_small_stack(million_waiters);
}

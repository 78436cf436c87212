/*
 * Cancelling deferreds: in every state, with every answer of a canceller, and
 * from every place.
 */
#include <plait/plait.h>

#include "tests/child.h"
#include "tests/harness.h"
#include "tests/steps.h"

static struct plait_deferred *make(struct plait_promise **p)
{
	return plait_deferred_new(p, NULL, NULL);
}

/* With a canceller that does and answers what the step says. */
static struct plait_deferred *make_cancellable(struct plait_promise **p,
					       struct step *s)
{
	return plait_deferred_new(p, step_canceller, s);
}

static plait_value error(const char *message)
{
	return plait_fail(&plait_error_any, "%s", message);
}

/* A fired deferred that waits for inner; *inner is taken. */
static struct plait_deferred *waiting_for(struct plait_deferred **inner)
{
	struct step s = { .inner = *inner };
	struct plait_deferred *outer = plait_succeed(PLAIT_NONE);

	*inner = NULL;
	return plait_deferred_add_both(outer, step, &s);
}

static const struct plait_failure *failure_of(const struct plait_deferred *d)
{
	const plait_value *v = plait_deferred_result(d);

	ck_assert_ptr_nonnull(v);
	return plait_value_failure(v);
}

static void done_with(struct plait_deferred **d)
{
	handle_all(*d);
	plait_deferred_free(d);
}

/* ---- without a canceller ------------------------------------------- */

GROUP("without a canceller", .setup = steps_setup);

TEST(cancelling_fires_cancelled_before_it_returns, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	pass_callback(d, "never");
	pass_errback(d, "a");
	plait_deferred_cancel(d);
	ck_assert_str_eq(trace(), "a:CancelledError");
	ck_assert(plait_deferred_is_fired(d));
	ck_assert(plait_promise_is_cancelled(p));
	plait_promise_drop(&p);
	done_with(&d);
}

TEST(first_late_result_is_ecanceled_and_freed, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	pass_both(d, "a");
	plait_deferred_cancel(d);
	ck_assert_ptr_nonnull(p);
	ck_assert_int_eq(plait_fire(&p, tracked("late")), -ECANCELED);
	ck_assert_str_eq(trace(), "a:CancelledError ~late");
	ck_assert_ptr_null(p);
	done_with(&d);
}

TEST(second_late_result_is_ealready_and_freed, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	plait_deferred_cancel(d);
	plait_fire(&p, error("late"));
	ck_assert_int_eq(plait_fire(&p, tracked("later")), -EALREADY);
	ck_assert_str_eq(trace(), "~later");
	ck_assert_uint_eq(unhandled_count(), 0);
	done_with(&d);
}

TEST(cancelling_again_is_nothing_before_and_after_the_late_result, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	pass_both(d, "a");
	plait_deferred_cancel(d);
	plait_deferred_cancel(d);
	ck_assert_int_eq(plait_fire(&p, PLAIT_NONE), -ECANCELED);
	plait_deferred_cancel(d);
	ck_assert_int_eq(plait_fire(&p, PLAIT_NONE), -EALREADY);
	ck_assert_str_eq(trace(), "a:CancelledError");
	done_with(&d);
}

TEST(cancelling_a_fired_one_is_nothing, PURE, TIMES(3))
{
	struct step s = { .name = "c" };
	plait_value results[] = { plait_int(1), PLAIT_NONE, error("e") };
	static const char *const traces[] = { "a:1", "a:none", "a:Error: e" };
	struct plait_promise *p;
	struct plait_deferred *d = make_cancellable(&p, &s);

	plait_fire(&p, results[_i]);
	for (int i = 0; i < 3; i++)
		if (i != _i)
			plait_value_free(&results[i]);
	plait_deferred_cancel(d);
	pass_both(d, "a");
	ck_assert_str_eq(trace(), traces[_i]);
	done_with(&d);
}

TEST(queued_pairs_get_the_cancellation_in_order_and_may_recover, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	struct step recovers = { .name = "b",
				 .answers = true,
				 .answer = plait_int(2) };

	pass_errback(d, "a");
	plait_deferred_add_errback(d, step, &recovers);
	pass_callback(d, "c");
	plait_deferred_cancel(d);
	ck_assert_str_eq(trace(), "a:CancelledError b:CancelledError c:2");
	plait_promise_drop(&p);
	plait_deferred_free(&d);
}

TEST(cancelling_from_the_errback_is_nothing, PURE)
{
	struct step s = { .name = "a", .act = act_cancel };
	struct plait_promise *p;

	s.d = make(&p);
	plait_deferred_add_errback(s.d, step, &s);
	pass_both(s.d, "b");
	plait_deferred_cancel(s.d);
	ck_assert_str_eq(trace(), "a:CancelledError b:CancelledError");
	plait_promise_drop(&p);
	done_with(&s.d);
}

TEST(freeing_from_the_errback_runs_no_further_one, PURE)
{
	struct step s = { .name = "a",
			  .act = act_free,
			  .answers = true,
			  .answer = tracked("v") };
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	s.d = d;
	plait_deferred_add_errback(d, step, &s);
	pass_both(d, "b");
	plait_deferred_cancel(d);
	ck_assert_str_eq(trace(), "a:CancelledError ~v");
	ck_assert_int_eq(plait_fire(&p, tracked("late")), -ECANCELED);
}

TEST(late_result_fired_inside_the_errback_is_swallowed, PURE)
{
	struct step s = { .name = "a", .act = act_fire };
	struct plait_deferred *d = make(&s.p);

	plait_deferred_add_errback(d, step, &s);
	plait_deferred_cancel(d);
	ck_assert_str_eq(trace(), "a:CancelledError fire=-125");
	done_with(&d);
}

/* ---- who asked ----------------------------------------------------- */

GROUP("who asked", .setup = steps_setup);

TEST(cancellation_says_who_asked_and_why, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	char here[64];

	snprintf(here, sizeof(here), "test_deferred_cancel.c:%d", __LINE__ + 1);
	plait_deferred_cancel_because(d, "client hung up");
	ck_assert_ptr_nonnull(
		strstr(plait_failure_cancelled_at(failure_of(d)), here));
	ck_assert_str_eq(plait_failure_reason(failure_of(d)), "client hung up");
	ck_assert_str_eq(plait_failure_message(failure_of(d)), "");
	plait_promise_drop(&p);
	done_with(&d);
}

TEST(cancellation_without_a_reason_still_says_who_asked, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	plait_deferred_cancel(d);
	ck_assert_str_ne(plait_failure_cancelled_at(failure_of(d)), "");
	ck_assert_str_eq(plait_failure_reason(failure_of(d)), "");
	plait_promise_drop(&p);
	done_with(&d);
}

TEST(inner_cancelled_through_its_outer_says_who_asked, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *inner = make(&p);
	struct plait_deferred *outer = waiting_for(&inner);

	plait_deferred_cancel_because(outer, "enough");
	ck_assert_str_eq(plait_failure_reason(failure_of(outer)), "enough");
	plait_promise_drop(&p);
	done_with(&outer);
}

TEST(cancellation_outlives_its_deferred, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	const struct plait_failure *f;

	plait_deferred_cancel_because(d, "enough");
	f = plait_failure_ref(failure_of(d));
	plait_promise_drop(&p);
	done_with(&d);
	ck_assert_str_eq(plait_failure_reason(f), "enough");
	plait_failure_unref(&f);
}

TEST(cancelling_allocates_nothing_and_works_without_memory, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *inner = make(&p), *outer;
	unsigned long calls;

	pass_both(inner, "i");
	outer = waiting_for(&inner);
	pass_both(outer, "o");
	calls = heap_calls();
	fault_alloc_at(0, true);
	plait_deferred_cancel_because(outer, "enough");
	fault_alloc_off();
	ck_assert_uint_eq(heap_calls(), calls);
	ck_assert_str_eq(trace(), "i:CancelledError o:CancelledError");
	ck_assert_str_eq(plait_failure_reason(failure_of(outer)), "enough");
	plait_promise_drop(&p);
	done_with(&outer);
}

/* ---- with a canceller ---------------------------------------------- */

GROUP("with a canceller", .setup = steps_setup);

TEST(canceller_runs_first_and_is_given_the_deferred, PURE)
{
	struct step s = { .name = "c" };
	struct plait_promise *p;
	struct plait_deferred *d = make_cancellable(&p, &s);

	pass_both(d, "a");
	plait_deferred_cancel(d);
	ck_assert_str_eq(trace(), "!c a:CancelledError");
	plait_promise_drop(&p);
	done_with(&d);
}

static plait_value check_arguments(struct plait_deferred *d, void *arg)
{
	ck_assert_ptr_eq(d, *(struct plait_deferred **)arg);
	ck_assert(!plait_deferred_is_fired(d));
	return PLAIT_NONE;
}

TEST(canceller_sees_one_that_has_not_fired_yet, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = plait_deferred_new(&p, check_arguments, &d);

	plait_deferred_cancel(d);
	plait_promise_drop(&p);
	plait_deferred_free(&d);
}

TEST(canceller_is_called_once, PURE)
{
	struct step s = { .name = "c" };
	struct plait_promise *p;
	struct plait_deferred *d = make_cancellable(&p, &s);

	plait_deferred_cancel(d);
	plait_deferred_cancel(d);
	plait_promise_drop(&p);
	plait_deferred_cancel(d);
	ck_assert_str_eq(trace(), "!c");
	done_with(&d);
}

TEST(value_of_the_canceller_is_the_result, PURE)
{
	struct step s = { .name = "c",
			  .answers = true,
			  .answer = plait_text("half a poem") };
	struct plait_promise *p;
	struct plait_deferred *d = make_cancellable(&p, &s);

	pass_callback(d, "a");
	plait_deferred_cancel(d);
	ck_assert_str_eq(trace(), "!c a:half a poem");
	ck_assert_int_eq(plait_fire(&p, tracked("late")), -ECANCELED);
	ck_assert_uint_eq(tracked_live(), 0);
	plait_deferred_free(&d);
}

TEST(failure_of_the_canceller_is_the_result, PURE)
{
	struct step s = { .name = "c",
			  .answers = true,
			  .answer = error("my own") };
	struct plait_promise *p;
	struct plait_deferred *d = make_cancellable(&p, &s);

	pass_errback(d, "a");
	plait_deferred_cancel(d);
	ck_assert_str_eq(trace(), "!c a:Error: my own");
	plait_promise_drop(&p);
	done_with(&d);
}

TEST(result_fired_by_the_operation_being_torn_down_is_swallowed, PURE)
{
	struct step s = { .name = "c", .act = act_fire };
	struct plait_deferred *d = make_cancellable(&s.p, &s);

	pass_both(d, "a");
	plait_deferred_cancel(d);
	ck_assert_str_eq(trace(), "!c fire=-125 a:CancelledError");
	ck_assert_ptr_null(s.p);
	done_with(&d);
}

TEST(canceller_that_fires_and_fails_has_failed, PURE)
{
	struct step s = { .name = "c",
			  .act = act_fire,
			  .answers = true,
			  .answer = error("my own") };
	struct plait_deferred *d = make_cancellable(&s.p, &s);

	pass_both(d, "a");
	plait_deferred_cancel(d);
	ck_assert_str_eq(trace(), "!c fire=-125 a:Error: my own");
	done_with(&d);
}

static void act_fire_twice(struct step *s, plait_value *result)
{
	ck_assert_int_eq(plait_fire(&s->p, tracked("v")), -ECANCELED);
	ck_assert_int_eq(plait_fire(&s->p, tracked("w")), -EALREADY);
}

TEST(canceller_fires_in_vain_however_often, PURE)
{
	struct step s = { .name = "c", .act = act_fire_twice };
	struct plait_deferred *d = make_cancellable(&s.p, &s);

	pass_both(d, "a");
	plait_deferred_cancel(d);
	ck_assert_str_eq(trace(), "!c ~v ~w a:CancelledError");
	done_with(&d);
}

static void act_drop(struct step *s, plait_value *result)
{
	plait_promise_drop(&s->p);
	ck_assert_ptr_null(s->p);
}

TEST(promise_dropped_by_the_canceller_is_no_abandonment, PURE)
{
	struct step s = { .name = "c", .act = act_drop };
	struct plait_deferred *d = make_cancellable(&s.p, &s);

	pass_both(d, "a");
	plait_deferred_cancel(d);
	ck_assert_str_eq(trace(), "!c a:CancelledError");
	done_with(&d);
}

TEST(promise_tells_the_operation_that_it_is_cancelled, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	ck_assert(!plait_promise_is_cancelled(p));
	plait_deferred_cancel(d);
	ck_assert(plait_promise_is_cancelled(p));
	plait_promise_drop(&p);
	done_with(&d);
}

TEST(canceller_that_cancels_its_own_is_not_called_again, PURE)
{
	struct step s = { .name = "c", .act = act_cancel };
	struct plait_promise *p;
	struct plait_deferred *d = make_cancellable(&p, &s);

	s.d = d;
	pass_both(d, "a");
	plait_deferred_cancel(d);
	ck_assert_str_eq(trace(), "!c a:CancelledError");
	plait_promise_drop(&p);
	done_with(&d);
}

TEST(canceller_may_free_its_own, PURE)
{
	struct step s = { .name = "c",
			  .act = act_free,
			  .answers = true,
			  .answer = tracked("v") };
	struct plait_promise *p;
	struct plait_deferred *d = make_cancellable(&p, &s);

	s.d = d;
	pass_both(d, "never");
	plait_deferred_cancel(d);
	ck_assert_str_eq(trace(), "!c ~v");
	ck_assert_ptr_null(s.d);
	plait_promise_drop(&p);
}

TEST(canceller_may_detach_its_own, PURE)
{
	struct step s = { .name = "c", .act = act_detach };
	struct plait_promise *p;
	struct plait_deferred *d = make_cancellable(&p, &s);

	s.d = d;
	pass_both(d, "a");
	handle_all(d);
	plait_deferred_cancel(d);
	ck_assert_str_eq(trace(), "!c a:CancelledError");
	plait_promise_drop(&p);
}

TEST(canceller_may_add_to_its_own, PURE)
{
	struct step s = { .name = "c", .act = act_add };
	struct plait_promise *p;
	struct plait_deferred *d = make_cancellable(&p, &s);

	s.d = d;
	pass_both(d, "a");
	plait_deferred_cancel(d);
	ck_assert_str_eq(trace(), "!c a:CancelledError added:CancelledError");
	plait_promise_drop(&p);
	done_with(&d);
}

TEST(canceller_may_pause_its_own, PURE)
{
	struct step s = { .name = "c", .act = act_pause };
	struct plait_promise *p;
	struct plait_deferred *d = make_cancellable(&p, &s);

	s.d = d;
	pass_both(d, "a");
	plait_deferred_cancel(d);
	ck_assert_str_eq(trace(), "!c");
	ck_assert(plait_deferred_is_fired(d));
	plait_deferred_unpause(d);
	ck_assert_str_eq(trace(), "!c a:CancelledError");
	plait_promise_drop(&p);
	done_with(&d);
}

TEST(canceller_may_cancel_and_fire_others_nested, PURE)
{
	struct step fires = { .name = "b", .act = act_fire };
	struct step cancels = { .name = "a", .act = act_cancel };
	struct plait_promise *p, *q;
	struct plait_deferred *a, *b, *c = make(&fires.p);

	a = make_cancellable(&p, &cancels);
	b = make_cancellable(&q, &fires);
	cancels.d = b;
	pass_both(a, "A");
	pass_both(b, "B");
	pass_both(c, "C");
	plait_deferred_cancel(a);
	ck_assert_str_eq(trace(), "!a !b C:99 fire=0 B:CancelledError "
				  "A:CancelledError");
	plait_promise_drop(&p);
	plait_promise_drop(&q);
	done_with(&a);
	done_with(&b);
	done_with(&c);
}

static plait_value answer_with_deferred(struct plait_deferred *d, void *arg)
{
	struct plait_deferred *other = plait_succeed(PLAIT_NONE);

	return plait_chain(&other);
}

static void cancel_into_deferred(void *arg)
{
	struct plait_promise *p;

	plait_deferred_cancel(
		plait_deferred_new(&p, answer_with_deferred, NULL));
}

TEST(canceller_that_answers_with_a_deferred_aborts, PURE)
{
	assert_aborts(cancel_into_deferred, NULL, "returned a deferred");
}

/* ---- paused -------------------------------------------------------- */

TEST(cancelling_a_paused_one_fires_it, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	pass_both(d, "a");
	plait_deferred_pause(d);
	plait_deferred_cancel(d);
	ck_assert(plait_deferred_is_fired(d));
	ck_assert_str_eq(trace(), "");
	ck_assert_int_eq(plait_fire(&p, PLAIT_NONE), -ECANCELED);
	plait_deferred_unpause(d);
	ck_assert_str_eq(trace(), "a:CancelledError");
	done_with(&d);
}

TEST(cancelling_a_fired_and_paused_one_is_nothing, PURE)
{
	struct plait_deferred *d = plait_succeed(plait_int(1));

	plait_deferred_pause(d);
	pass_both(d, "a");
	plait_deferred_cancel(d);
	plait_deferred_unpause(d);
	ck_assert_str_eq(trace(), "a:1");
	plait_deferred_free(&d);
}

/* ---- waiting ------------------------------------------------------- */

GROUP("waiting", .setup = steps_setup);

TEST(cancelling_a_waiting_one_cancels_what_it_waits_for, PURE)
{
	struct step inner_c = { .name = "inner" }, outer_c = { .name = "no" };
	struct plait_promise *p, *q;
	struct plait_deferred *inner = make_cancellable(&p, &inner_c);
	struct plait_deferred *outer = make_cancellable(&q, &outer_c);
	struct step s = { .inner = inner };

	pass_both(inner, "i");
	plait_deferred_add_both(outer, step, &s);
	pass_both(outer, "o");
	plait_fire(&q, PLAIT_NONE);
	plait_deferred_cancel(outer);
	ck_assert_str_eq(trace(), "!inner i:CancelledError o:CancelledError");
	ck_assert_int_eq(plait_fire(&p, tracked("late")), -ECANCELED);
	ck_assert_uint_eq(tracked_live(), 0);
	ck_assert_int_eq(plait_fire(&p, PLAIT_NONE), -EALREADY);
	done_with(&outer);
}

TEST(outer_gets_what_the_cancelled_inner_yields, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *inner = make(&p), *outer;
	struct step s = { .name = "i",
			  .answers = true,
			  .answer = plait_int(2) };

	plait_deferred_add_errback(inner, step, &s);
	outer = waiting_for(&inner);
	pass_callback(outer, "o");
	plait_deferred_cancel(outer);
	ck_assert_str_eq(trace(), "i:CancelledError o:2");
	plait_promise_drop(&p);
	plait_deferred_free(&outer);
}

TEST(innermost_of_many_is_cancelled_and_all_resolve, PURE)
{
	struct step c = { .name = "c" };
	struct plait_promise *p;
	struct plait_deferred *d = make_cancellable(&p, &c);

	for (int i = 0; i < 10; i++) {
		d = waiting_for(&d);
		pass_both(d, "d");
	}
	plait_deferred_cancel(d);
	ck_assert_ptr_eq(strstr(trace(), "!c d:CancelledError d:"), trace());
	ck_assert_uint_eq(strlen(trace()),
			  2 + 10 * strlen(" d:CancelledError"));
	plait_promise_drop(&p);
	done_with(&d);
}

TEST(inner_that_answers_with_another_keeps_the_outer_waiting, PURE)
{
	struct step first = { .name = "first" }, second = { .name = "second" };
	struct plait_promise *p, *q;
	struct plait_deferred *inner = make_cancellable(&p, &first), *outer;
	struct step s = { .inner = make_cancellable(&q, &second) };

	plait_deferred_add_errback(inner, step, &s);
	outer = waiting_for(&inner);
	pass_both(outer, "o");
	plait_deferred_cancel(outer);
	ck_assert_str_eq(trace(), "!first");
	ck_assert_ptr_null(plait_deferred_result(outer));
	plait_deferred_cancel(outer);
	ck_assert_str_eq(trace(), "!first !second o:CancelledError");
	plait_promise_drop(&p);
	plait_promise_drop(&q);
	done_with(&outer);
}

TEST(cancelling_before_the_inner_is_returned_does_not_reach_it, PURE)
{
	struct step c = { .name = "c" };
	struct plait_promise *p;
	struct plait_deferred *outer = plait_succeed(PLAIT_NONE);
	struct step s = { .act = act_cancel,
			  .d = outer,
			  .inner = make_cancellable(&p, &c) };

	plait_deferred_add_both(outer, step, &s);
	ck_assert_str_eq(trace(), "");
	ck_assert(!plait_promise_is_cancelled(p));
	plait_deferred_cancel(outer);
	ck_assert_str_eq(trace(), "!c");
	plait_promise_drop(&p);
	done_with(&outer);
}

TEST(inner_that_its_canceller_pauses_is_not_cancelled_again, PURE)
{
	struct plait_promise *p;
	struct step c = { .name = "c", .act = act_pause };
	struct plait_deferred *inner =
		plait_deferred_new(&p, step_canceller, &c);
	struct plait_deferred *outer;

	c.d = inner;
	outer = waiting_for(&inner);
	pass_both(outer, "o");
	plait_deferred_cancel(outer);
	plait_deferred_cancel(outer);
	ck_assert_str_eq(trace(), "!c");
	plait_deferred_unpause(c.d);
	ck_assert_str_eq(trace(), "!c o:CancelledError");
	plait_promise_drop(&p);
	done_with(&outer);
}

/* ---- chained to a promise ------------------------------------------ */

TEST(cancelling_the_first_of_a_chain_reaches_the_last, PURE)
{
	struct step c = { .name = "no" };
	struct plait_promise *p, *q;
	struct plait_deferred *a = make(&p), *b = make_cancellable(&q, &c);

	plait_deferred_chain(a, &q);
	pass_both(a, "a");
	pass_both(b, "b");
	plait_deferred_cancel(a);
	ck_assert_str_eq(trace(), "b:CancelledError a:none");
	plait_promise_drop(&p);
	plait_deferred_free(&a);
	done_with(&b);
}

TEST(cancelling_the_last_of_a_chain_leaves_the_first_alone, PURE)
{
	struct step c = { .name = "c" };
	struct plait_promise *p, *q;
	struct plait_deferred *a = make_cancellable(&p, &c), *b = make(&q);

	plait_deferred_chain(a, &q);
	plait_deferred_cancel(b);
	ck_assert(!plait_deferred_is_fired(a));
	ck_assert_str_eq(trace(), "");
	plait_fire(&p, tracked("late"));
	ck_assert_str_eq(trace(), "~late");
	plait_deferred_free(&a);
	done_with(&b);
}

/* ---- freeing ------------------------------------------------------- */

GROUP("freeing", .setup = steps_setup);

TEST(freeing_a_pending_one_cancels_it, PURE)
{
	struct step c = { .name = "c" };
	struct plait_promise *p;
	struct plait_deferred *d = make_cancellable(&p, &c);

	pass_both(d, "a");
	plait_deferred_free(&d);
	ck_assert_str_eq(trace(), "!c a:CancelledError");
	ck_assert_int_eq(plait_fire(&p, tracked("late")), -ECANCELED);
	ck_assert_str_eq(trace(), "!c a:CancelledError ~late");
}

TEST(freeing_a_waiting_one_frees_what_it_waits_for, PURE)
{
	struct step c = { .name = "c" };
	struct plait_promise *p;
	struct plait_deferred *inner = make_cancellable(&p, &c), *outer;

	pass_both(inner, "i");
	outer = waiting_for(&inner);
	pass_both(outer, "o");
	plait_deferred_free(&outer);
	ck_assert_str_eq(trace(), "!c i:CancelledError o:CancelledError");
	plait_promise_drop(&p);
}

TEST(freeing_one_that_goes_on_waiting_ends_all_of_it, PURE)
{
	struct step first = { .name = "first" }, second = { .name = "second" };
	struct plait_promise *p, *q;
	struct plait_deferred *inner = make_cancellable(&p, &first), *outer;
	struct step s = { .inner = make_cancellable(&q, &second) };

	plait_deferred_add_errback(inner, step, &s);
	pass_both(inner, "i");
	outer = waiting_for(&inner);
	pass_both(outer, "never");
	plait_deferred_free(&outer);
	ck_assert_ptr_eq(strstr(trace(), "!first !second"), trace());
	ck_assert_ptr_null(strstr(trace(), "never"));
	plait_promise_drop(&p);
	plait_promise_drop(&q);
	ck_assert_ptr_null(strstr(trace(), "never"));
}

TEST(freeing_a_waiting_one_with_a_paused_inner_runs_nothing, PURE)
{
	struct plait_promise *p;
	struct step c = { .name = "c",
			  .act = act_pause,
			  .answers = true,
			  .answer = tracked("v") };
	struct plait_deferred *inner =
		plait_deferred_new(&p, step_canceller, &c);
	struct plait_deferred *outer;

	c.d = inner;
	pass_both(inner, "never");
	outer = waiting_for(&inner);
	pass_both(outer, "never");
	plait_deferred_free(&outer);
	ck_assert_str_eq(trace(), "!c ~v");
	plait_promise_drop(&p);
}

/* Each answers its cancellation with the next, which has nothing else to do. */
TEST(freeing_ends_what_is_answered_again_and_again, PURE)
{
	struct plait_promise *p[3];
	struct step c[3] = { { .name = "a" },
			     { .name = "b" },
			     { .name = "c" } };
	struct step answers[2];
	struct plait_deferred *d[3], *outer;

	for (int i = 0; i < 3; i++)
		d[i] = plait_deferred_new(&p[i], step_canceller, &c[i]);
	for (int i = 0; i < 2; i++) {
		answers[i] = (struct step){ .inner = d[i + 1] };
		plait_deferred_add_errback(d[i], step, &answers[i]);
	}
	outer = waiting_for(&d[0]);
	plait_deferred_free(&outer);
	ck_assert_str_eq(trace(), "!a !b !c");
	for (int i = 0; i < 3; i++)
		plait_promise_drop(&p[i]);
}

TEST(freeing_a_paused_pending_one_runs_no_callback_later, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	plait_deferred_pause(d);
	pass_both(d, "never");
	plait_deferred_free(&d);
	ck_assert_int_eq(plait_fire(&p, tracked("late")), -ECANCELED);
	ck_assert_str_eq(trace(), "~late");
}

static plait_value keep(plait_value *result, void *arg)
{
	*(plait_value *)arg = plait_take(result);
	return PLAIT_NONE;
}

TEST(freeing_says_who_freed_and_a_reason, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	plait_value kept = PLAIT_NONE;
	const struct plait_failure *f;

	plait_deferred_add_errback(d, keep, &kept);
	plait_deferred_free(&d);
	f = plait_value_failure(&kept);
	ck_assert_str_ne(plait_failure_reason(f), "");
	ck_assert_ptr_nonnull(strstr(plait_failure_cancelled_at(f),
				     "test_deferred_cancel.c:"));
	plait_value_free(&kept);
	plait_promise_drop(&p);
}

TEST(freeing_what_was_cancelled_before_reports_the_cancellation, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	plait_deferred_cancel_because(d, "first");
	plait_deferred_free(&d);
	plait_promise_drop(&p);
	ck_assert_str_eq(unhandled_text(), "CancelledError");
	unhandled_expect(1);
}

/* ---- the matrix ---------------------------------------------------- */

/*
 * Every moment x every answer of a canceller.  What is expected follows from
 * two rules: the canceller runs once if nothing was fired before, and then
 * its answer is the result; and a late result never counts.
 */
enum moment { BEFORE, AFTER, TWICE, INSIDE, WAITING, FREED, N_MOMENTS };
enum answer { NOTHING, A_VALUE, A_FAILURE, NO_CANCELLER, N_ANSWERS };

static const char *expected(enum moment m, enum answer a)
{
	static const char *const results[] = { "CancelledError", "7",
					       "Error: mine",
					       "CancelledError" };
	static char text[64];

	if (m == AFTER || m == INSIDE)
		return "a:1";
	snprintf(text, sizeof(text), "%sa:%s", a == NO_CANCELLER ? "" : "!c ",
		 results[a]);
	return text;
}

static plait_value answer_of(enum answer a)
{
	if (a == A_VALUE)
		return plait_int(7);
	return a == A_FAILURE ? error("mine") : PLAIT_NONE;
}

static void cancel_at(enum moment m, struct plait_deferred **d,
		      struct plait_promise **p)
{
	if (m == AFTER || m == INSIDE)
		ck_assert_int_eq(plait_fire(p, plait_int(1)), 0);
	if (m == FREED)
		plait_deferred_free(d);
	else if (m != INSIDE)
		plait_deferred_cancel(*d);
	if (m == TWICE)
		plait_deferred_cancel(*d);
}

GROUP("matrix", .setup = steps_setup);

TEST(every_moment_and_every_answer, PURE, EACH_PAIR(N_MOMENTS, N_ANSWERS))
{
	enum moment m = (enum moment)(_i % N_MOMENTS);
	enum answer a = (enum answer)(_i / N_MOMENTS);
	struct step c = { .name = "c",
			  .answers = a == A_VALUE || a == A_FAILURE,
			  .answer = answer_of(a) };
	struct step inside = { .name = "a",
			       .act = m == INSIDE ? act_cancel : NULL };
	struct plait_promise *p;
	struct plait_deferred *d = plait_deferred_new(
		&p, a == NO_CANCELLER ? NULL : step_canceller, &c);
	bool fired = m == AFTER || m == INSIDE;

	if (m == WAITING)
		d = waiting_for(&d);
	inside.d = d;
	plait_deferred_add_both(d, step, &inside);
	handle_all(d);
	cancel_at(m, &d, &p);
	ck_assert_str_eq(trace(), expected(m, a));
	ck_assert_int_eq(plait_fire(&p, tracked("late")),
			 fired ? -EALREADY : -ECANCELED);
	ck_assert_uint_eq(tracked_live(), 0);
	plait_deferred_free(&d);
	plait_value_free(&c.answer);
}

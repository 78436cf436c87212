/*
 * Cancelling deferreds: in every state, with every answer of a canceller, and
 * from every place.
 */
#include <plait/plait.h>

#include "tests/child.h"
#include "tests/harness.h"
#include "tests/script.h"

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

SCRIPT(cancelling_fires_cancelled_before_it_returns, PURE,
       "new d; then d never; catch d a; cancel d; show d; wanted d",
       "a:CancelledError d=CancelledError d unwanted")

SCRIPT(first_late_result_is_ecanceled_and_freed, PURE,
       "new d; both d a; cancel d | fire d ~late",
       "a:CancelledError | ~late ECANCELED")

SCRIPT(second_late_result_is_ealready_and_freed, PURE,
       "new d; cancel d; fire d Error:late | fire d ~later",
       "ECANCELED | ~later EALREADY")

SCRIPT(cancelling_again_is_nothing_before_and_after_the_late_result, PURE,
       "new d; both d a; cancel d | cancel d; fire d none | cancel d; fire d "
       "none",
       "a:CancelledError | ECANCELED | EALREADY")

SCRIPTS(cancelling_a_fired_one_is_nothing, PURE,
	{ "new d !c; fire d 1; cancel d; both d a", "a:1" },
	{ "new d !c; fire d none; cancel d; both d a", "a:none" },
	{ "new d !c; fire d Error:e; cancel d; both d a", "a:Error: e" })

SCRIPT(queued_pairs_get_the_cancellation_in_order_and_may_recover, PURE,
       "new d; catch d a; catch d b = 2; then d c; cancel d",
       "a:CancelledError b:CancelledError c:2")

SCRIPT(cancelling_from_the_errback_is_nothing, PURE,
       "new d; catch d a { cancel d }; both d b; cancel d",
       "a:CancelledError b:CancelledError")

SCRIPT(freeing_from_the_errback_runs_no_further_one, PURE,
       "new d; catch d a { free d } = ~v; both d never; cancel d | fire d "
       "~late",
       "a:CancelledError ~v | ~late ECANCELED")

SCRIPT(late_result_fired_inside_the_errback_is_swallowed, PURE,
       "new d; catch d a { fire d 99 }; cancel d", "a:CancelledError ECANCELED")

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
		strstr(plait_failure_cancel_where(failure_of(d)), here));
	ck_assert_str_eq(plait_failure_cancel_reason(failure_of(d)),
			 "client hung up");
	ck_assert_str_eq(plait_failure_message(failure_of(d)), "");
	plait_promise_drop(&p);
	done_with(&d);
}

TEST(cancellation_without_a_reason_still_says_who_asked, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	plait_deferred_cancel(d);
	ck_assert_str_ne(plait_failure_cancel_where(failure_of(d)), "");
	ck_assert_str_eq(plait_failure_cancel_reason(failure_of(d)), "");
	plait_promise_drop(&p);
	done_with(&d);
}

SCRIPT(inner_cancelled_through_its_outer_says_who_asked, PURE,
       "new inner; waiting d inner; cancel d enough; why d",
       "d=CancelledError(enough)")

TEST(cancellation_outlives_its_deferred, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	const struct plait_failure *f;

	plait_deferred_cancel_because(d, "enough");
	f = plait_failure_ref(failure_of(d));
	plait_promise_drop(&p);
	done_with(&d);
	ck_assert_str_eq(plait_failure_cancel_reason(f), "enough");
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
	ck_assert_str_eq(plait_failure_cancel_reason(failure_of(outer)),
			 "enough");
	plait_promise_drop(&p);
	done_with(&outer);
}

/* ---- with a canceller ---------------------------------------------- */

GROUP("with a canceller", .setup = steps_setup);

SCRIPT(canceller_runs_first_and_is_given_the_deferred, PURE,
       "new d !c; both d a; cancel d", "!c a:CancelledError")

SCRIPT(canceller_sees_one_that_has_not_fired_yet, PURE,
       "new d !c { show d; wanted d }; cancel d", "!c d pending d unwanted")

SCRIPT(canceller_is_called_once, PURE,
       "new d !c; cancel d; cancel d; drop d; cancel d", "!c")

SCRIPT(value_of_the_canceller_is_the_result, PURE,
       "new d !c = 'half-a-poem; then d a; cancel d | fire d ~late",
       "!c a:half-a-poem | ~late ECANCELED")

SCRIPT(failure_of_the_canceller_is_the_result, PURE,
       "new d !c = Error:mine; catch d a; cancel d", "!c a:Error: mine")

SCRIPT(result_fired_by_the_operation_being_torn_down_is_swallowed, PURE,
       "new d !c { fire d 99 }; both d a; cancel d",
       "!c ECANCELED a:CancelledError")

SCRIPT(canceller_that_fires_and_fails_has_failed, PURE,
       "new d !c { fire d 99 } = Error:mine; both d a; cancel d",
       "!c ECANCELED a:Error: mine")

SCRIPT(canceller_fires_in_vain_however_often, PURE,
       "new d !c { fire d ~v; fire d ~w }; both d a; cancel d",
       "!c ~v ECANCELED ~w EALREADY a:CancelledError")

SCRIPT(promise_dropped_by_the_canceller_is_no_abandonment, PURE,
       "new d !c { drop d }; both d a; cancel d", "!c a:CancelledError")

SCRIPT(promise_tells_the_operation_that_it_is_cancelled, PURE,
       "new d; wanted d; cancel d; wanted d", "d wanted d unwanted")

SCRIPT(canceller_that_cancels_its_own_is_not_called_again, PURE,
       "new d !c { cancel d }; both d a; cancel d", "!c a:CancelledError")

SCRIPT(canceller_may_free_its_own, PURE,
       "new d !c { free d } = ~v; both d never; cancel d", "!c ~v")

SCRIPT(canceller_may_detach_its_own, PURE,
       "new d !c { detach d }; both d a; catch d = none; cancel d",
       "!c a:CancelledError")

SCRIPT(canceller_may_add_to_its_own, PURE,
       "new d !c { both d added }; both d a; cancel d",
       "!c a:CancelledError added:CancelledError")

SCRIPT(canceller_may_pause_its_own, PURE,
       "new d !c { pause d }; both d a; cancel d; show d | unpause d",
       "!c d=CancelledError | a:CancelledError")

SCRIPT(canceller_may_cancel_and_fire_others_nested, PURE,
       "new c; new b !b { fire c 99; say fired }; new a !a { cancel b }; both "
       "a A; both b B; both c C; cancel a",
       "!a !b C:99 fired B:CancelledError A:CancelledError")

static plait_value answer_with_deferred(struct plait_deferred *d, void *arg)
{
	struct plait_deferred *other = plait_succeed(PLAIT_NONE);

	return plait_chain(&other);
}

static plait_value end_argument(struct plait_deferred *d, void *arg)
{
	struct plait_promise **p = arg;

	plait_promise_drop(p);
	free(p);
	return plait_cancelled();
}

TEST(argument_of_a_canceller_may_end_inside_it, PURE)
{
	struct plait_promise **p = malloc(sizeof(*p));
	struct plait_deferred *d;

	ck_assert_ptr_nonnull(p);
	d = plait_deferred_new(p, end_argument, p);
	plait_deferred_cancel(d);
	plait_deferred_cancel(d);
	done_with(&d);
}

/* Nothing of it is left for a cancel that comes after that. */
TEST(argument_of_a_canceller_may_end_when_the_promise_is_spent, PURE, TIMES(2))
{
	struct plait_promise **p = malloc(sizeof(*p));
	struct plait_deferred *d;

	ck_assert_ptr_nonnull(p);
	d = plait_deferred_new(p, end_argument, p);
	plait_deferred_pause(d);
	if (_i == 0)
		plait_fire(p, PLAIT_NONE);
	else
		plait_promise_drop(p);
	free(p);
	plait_deferred_cancel(d);
	plait_deferred_unpause(d);
	done_with(&d);
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

SCRIPT(cancelling_a_paused_one_fires_it, PURE,
       "new d; both d a; pause d; cancel d; show d; fire d none | unpause d",
       "d=CancelledError ECANCELED | a:CancelledError")

SCRIPT(cancelling_a_fired_and_paused_one_is_nothing, PURE,
       "fired d 1; pause d; both d a; cancel d; unpause d", "a:1")

/* ---- waiting ------------------------------------------------------- */

GROUP("waiting", .setup = steps_setup);

SCRIPT(cancelling_a_waiting_one_cancels_what_it_waits_for, PURE,
       "new inner !inner; new d !never; both inner i; both d = inner; both d "
       "o; fire d none; cancel d | fire inner ~late; fire inner none",
       "!inner i:CancelledError o:CancelledError | ~late ECANCELED EALREADY")

SCRIPT(outer_gets_what_the_cancelled_inner_yields, PURE,
       "new inner; catch inner i = 2; waiting d inner; then d o; cancel d",
       "i:CancelledError o:2")

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

SCRIPT(inner_that_answers_with_another_keeps_the_outer_waiting, PURE,
       "new first !first; new second !second; catch first = second; waiting d "
       "first; both d o; cancel d; show d | cancel d",
       "!first d waits | !second o:CancelledError")

SCRIPT(cancelling_before_the_inner_is_returned_does_not_reach_it, PURE,
       "fired d none; new inner !c; both d { cancel d } = inner; wanted inner "
       "| cancel d",
       "inner wanted | !c")

SCRIPT(inner_that_its_canceller_pauses_is_not_cancelled_again, PURE,
       "new inner !c { pause inner }; waiting d inner; both d o; cancel d; "
       "cancel d | unpause inner",
       "!c | o:CancelledError")

/* ---- chained to a promise ------------------------------------------ */

SCRIPT(cancelling_the_first_of_a_chain_reaches_the_last, PURE,
       "new a; new b !never; chain a b; both a a; both b b; cancel a",
       "b:CancelledError a:none")

SCRIPT(cancelling_the_last_of_a_chain_leaves_the_first_alone, PURE,
       "new a !c; new b; chain a b; cancel b; show a | fire a ~late",
       "a pending | ~late")

/* ---- freeing ------------------------------------------------------- */

GROUP("freeing", .setup = steps_setup);

SCRIPT(freeing_a_pending_one_cancels_it, PURE,
       "new d !c; both d a; free d | fire d ~late",
       "!c a:CancelledError | ~late ECANCELED")

SCRIPT(freeing_a_waiting_one_frees_what_it_waits_for, PURE,
       "new inner !c; both inner i; waiting d inner; both d o; free d",
       "!c i:CancelledError o:CancelledError")

SCRIPT(freeing_one_that_goes_on_waiting_ends_all_of_it, PURE,
       "new first !first; new second !second; catch first = second; both first "
       "i; waiting d first; both d never; free d | drop first; drop second",
       "!first !second |")

SCRIPT(freeing_a_waiting_one_with_a_paused_inner_runs_nothing, PURE,
       "new inner !c { pause inner } = ~v; both inner never; waiting d inner; "
       "both d never; free d",
       "!c ~v")

/* Each answers its cancellation with the next, which has nothing else to do. */
SCRIPT(freeing_ends_what_is_answered_again_and_again, PURE,
       "new a !a; new b !b; new c !c; catch a = b; catch b = c; waiting d a; "
       "free d",
       "!a !b !c")

SCRIPT(freeing_a_paused_pending_one_runs_no_callback_later, PURE,
       "new d; pause d; both d never; free d | fire d ~late",
       "| ~late ECANCELED")

static plait_value keep(plait_value *result, void *arg)
{
	*(plait_value *)arg = plait_value_take(result);
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
	ck_assert_str_ne(plait_failure_cancel_reason(f), "");
	ck_assert_ptr_nonnull(strstr(plait_failure_cancel_where(f),
				     "test_deferred_cancel.c:"));
	plait_value_free(&kept);
	plait_promise_drop(&p);
}

SCRIPT(freeing_what_was_cancelled_before_reports_the_cancellation, PURE,
       "new d; cancel d; free d", "?CancelledError")

/* ---- the matrix ---------------------------------------------------- */

/*
 * Every moment x every answer of a canceller.  What is expected follows from
 * two rules: the canceller runs once if nothing was fired before, and then
 * its answer is the result; and a late result never counts.
 */
#define NEW(canceller) "new d" canceller "; both d a; catch d = none; "
#define AT_EACH_MOMENT(canceller, called, result)                              \
	{ NEW(canceller) "cancel d | fire d ~late",                            \
	  called "a:" result " | ~late ECANCELED" },                           \
		{ NEW(canceller) "fire d 1; cancel d | fire d ~late",          \
		  "a:1 | ~late EALREADY" },                                    \
		{ NEW(canceller) "cancel d; cancel d | fire d ~late",          \
		  called "a:" result " | ~late ECANCELED" },                   \
		{ "new d" canceller "; both d a { cancel d }; fire d 1 | "     \
		  "fire d ~late",                                              \
		  "a:1 | ~late EALREADY" },                                    \
		{ "new e" canceller "; waiting d e; both d a; catch d = none;" \
		  "cancel d | fire e ~late",                                   \
		  called "a:" result " | ~late ECANCELED" },                   \
	{                                                                      \
		NEW(canceller)                                                 \
		"free d | fire d ~late",                                       \
			called "a:" result " | ~late ECANCELED"                \
	}

GROUP("matrix", .setup = steps_setup);

SCRIPTS(every_moment_and_every_answer, PURE,
	AT_EACH_MOMENT(" !c", "!c ", "CancelledError"),
	AT_EACH_MOMENT(" !c = 7", "!c ", "7"),
	AT_EACH_MOMENT(" !c = Error:mine", "!c ", "Error: mine"),
	AT_EACH_MOMENT("", "", "CancelledError"))

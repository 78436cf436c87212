/*
 * Many deferreds as one: lists, gathers and races, whose members fire, fail,
 * are cancelled and freed at every moment, those of their making included.
 */
#include <plait/plait.h>

#include "tests/child.h"
#include "tests/extreme.h"
#include "tests/harness.h"
#include "tests/steps.h"

enum { MEMBERS = 3 };

enum kind { LIST, GATHER, RACE };

/* Three members, each with a canceller that traces, and their promises. */
static struct plait_deferred *m[MEMBERS];
static struct plait_promise *p[MEMBERS];
static struct step cancellers[MEMBERS];

/* The list that most tests make of them. */
static struct plait_deferred *all;

static void setup(void)
{
	static const char *const names[MEMBERS] = { "c0", "c1", "c2" };

	steps_setup();
	for (int i = 0; i < MEMBERS; i++) {
		cancellers[i] = (struct step){ .name = names[i] };
		m[i] = plait_deferred_new(&p[i], step_canceller,
					  &cancellers[i]);
	}
}

static void make_list(unsigned flags)
{
	all = plait_deferred_list(m, MEMBERS, flags);
}

static void make_race(void)
{
	all = plait_race(m, MEMBERS);
}

static struct plait_deferred *combine(enum kind kind, unsigned flags)
{
	if (kind == LIST)
		return plait_deferred_list(m, MEMBERS, flags);
	return kind == GATHER ? plait_gather(m, MEMBERS, flags)
			      : plait_race(m, MEMBERS);
}

/* Promises that a test has not fired: those of members that were cancelled. */
static void drop_promises(void)
{
	for (int i = 0; i < MEMBERS; i++) {
		ck_assert(plait_promise_is_cancelled(p[i]));
		plait_promise_drop(&p[i]);
	}
}

static void done(void)
{
	plait_deferred_free(&all);
	drop_promises();
	ck_assert_uint_eq(tracked_live(), 0);
}

static plait_value error(const char *message)
{
	return plait_fail(&plait_error_any, "%s", message);
}

static const plait_value *result(void)
{
	const plait_value *v = plait_deferred_result(all);

	ck_assert_ptr_nonnull(v);
	return v;
}

static const struct plait_failure *failure(void)
{
	return plait_value_failure(result());
}

static void handled(void)
{
	handle_all(all);
	done();
}

static const char *text_of(const plait_value *v)
{
	static char text[256];

	plait_value_str(v, text, sizeof(text));
	return text;
}

/* The values as text: "1 Error: no none". */
static const char *texts_of(const plait_value *v)
{
	const struct plait_values *values = plait_value_values(v);
	static char text[512];

	text[0] = '\0';
	for (size_t i = 0; i < values->count; i++) {
		strcat(text, i > 0 ? " " : "");
		strcat(text, text_of(&values->items[i]));
	}
	return text;
}

/* ---- lists ---------------------------------------------------------- */

GROUP("list", .setup = setup);

TEST(list_fires_with_all_results_in_the_order_of_members, PURE)
{
	make_list(0);
	plait_fire(&p[2], plait_int(2));
	plait_fire(&p[0], plait_int(0));
	ck_assert(!plait_deferred_is_fired(all));
	plait_fire(&p[1], plait_int(1));
	ck_assert_str_eq(texts_of(result()), "0 1 2");
	done();
}

TEST(failures_are_among_the_values_and_are_reported, PURE)
{
	trace_unhandled();
	make_list(0);
	plait_fire(&p[0], plait_int(0));
	plait_fire(&p[1], error("no"));
	ck_assert_str_eq(trace(), "?Error: no");
	plait_fire(&p[2], PLAIT_NONE);
	ck_assert_str_eq(texts_of(result()), "0 Error: no none");
	done();
	ck_assert_str_eq(trace(), "?Error: no");
}

TEST(consumed_failures_are_not_reported, PURE)
{
	make_list(PLAIT_CONSUME_ERRORS);
	for (int i = 0; i < MEMBERS; i++)
		plait_fire(&p[i], error("no"));
	ck_assert_str_eq(texts_of(result()), "Error: no Error: no Error: no");
	done();
}

TEST(members_are_taken, PURE)
{
	make_list(0);
	for (int i = 0; i < MEMBERS; i++)
		ck_assert_ptr_null(m[i]);
	done();
}

TEST(empty_list_fires_at_once, PURE, TIMES(3))
{
	static const unsigned flags[] = { 0, PLAIT_FIRE_ON_ONE_CALLBACK,
					  PLAIT_FIRE_ON_ONE_ERRBACK };
	struct plait_deferred *d = plait_deferred_list(NULL, 0, flags[_i]);

	ck_assert(plait_deferred_is_fired(d));
	ck_assert_uint_eq(plait_value_values(plait_deferred_result(d))->count,
			  0);
	plait_deferred_free(&d);
	setup();
	plait_deferred_free(&m[0]);
	plait_deferred_free(&m[1]);
	plait_deferred_free(&m[2]);
	drop_promises();
}

TEST(members_that_fired_before_count_at_once, PURE)
{
	plait_fire(&p[0], plait_int(0));
	plait_fire(&p[2], plait_int(2));
	make_list(0);
	ck_assert(!plait_deferred_is_fired(all));
	plait_fire(&p[1], plait_int(1));
	ck_assert_str_eq(texts_of(result()), "0 1 2");
	done();
}

TEST(list_of_fired_members_has_fired_when_it_is_made, PURE)
{
	for (int i = 0; i < MEMBERS; i++)
		plait_fire(&p[i], plait_int(i));
	make_list(0);
	ck_assert_str_eq(texts_of(result()), "0 1 2");
	done();
}

TEST(member_that_waits_counts_when_it_goes_on, PURE)
{
	struct plait_promise *inner_promise;
	struct step waits = { .inner = plait_deferred_new(&inner_promise, NULL,
							  NULL) };

	plait_deferred_add_callback(m[1], step, &waits);
	for (int i = 0; i < MEMBERS; i++)
		plait_fire(&p[i], plait_int(i));
	make_list(0);
	ck_assert(!plait_deferred_is_fired(all));
	plait_fire(&inner_promise, plait_int(9));
	ck_assert_str_eq(texts_of(result()), "0 9 2");
	done();
}

/* Nobody could unpause it any more. */
TEST(pauses_of_a_member_end_when_it_is_taken, PURE, TIMES(3))
{
	plait_deferred_pause(m[0]);
	plait_deferred_pause(m[1]);
	pass_both(m[0], "m0");
	plait_fire(&p[0], plait_int(0));
	all = combine((enum kind)_i, 0);
	ck_assert_str_eq(trace(), _i == RACE ? "m0:0 !c1 !c2" : "m0:0");
	plait_fire(&p[1], plait_int(1));
	plait_fire(&p[2], plait_int(2));
	if (_i != RACE)
		ck_assert_str_eq(texts_of(result()), "0 1 2");
	done();
}

TEST(pairs_of_the_members_run_before_the_lists, PURE)
{
	pass_both(m[0], "m0");
	make_list(PLAIT_FIRE_ON_ONE_CALLBACK);
	pass_both(all, "all");
	plait_fire(&p[0], plait_int(7));
	ck_assert_str_eq(trace(), "m0:7 all:0: 7");
	done();
}

TEST(values_may_be_taken_and_the_rest_is_freed, PURE)
{
	plait_value mine;

	make_list(0);
	plait_fire(&p[0], tracked("a"));
	plait_fire(&p[1], tracked("b"));
	plait_fire(&p[2], tracked("c"));
	mine = plait_take(&plait_value_values(result())->items[1]);
	plait_deferred_free(&all);
	ck_assert_str_eq(trace(), "~a ~c");
	plait_value_free(&mine);
	done();
}

TEST(values_print_themselves, PURE)
{
	make_list(0);
	for (int i = 0; i < MEMBERS; i++)
		plait_fire(&p[i], plait_int(i));
	ck_assert_str_eq(text_of(result()), "<3 values>");
	done();
}

/* ---- firing early --------------------------------------------------- */

GROUP("firing early", .setup = setup);

TEST(first_success_fires_with_its_index, PURE)
{
	make_list(PLAIT_FIRE_ON_ONE_CALLBACK | PLAIT_CONSUME_ERRORS);
	plait_fire(&p[0], error("no"));
	ck_assert(!plait_deferred_is_fired(all));
	plait_fire(&p[2], plait_int(42));
	ck_assert_uint_eq(plait_value_indexed(result())->index, 2);
	ck_assert_int_eq(plait_value_int(&plait_value_indexed(result())->value),
			 42);
	done();
}

TEST(with_no_success_it_fires_with_all_failures, PURE)
{
	make_list(PLAIT_FIRE_ON_ONE_CALLBACK | PLAIT_CONSUME_ERRORS);
	plait_fire(&p[2], error("c"));
	plait_fire(&p[0], error("a"));
	plait_fire(&p[1], error("b"));
	ck_assert_str_eq(texts_of(result()), "Error: a Error: b Error: c");
	done();
}

TEST(first_failure_fails_with_first_error, PURE)
{
	const struct plait_indexed *detail;

	make_list(PLAIT_FIRE_ON_ONE_ERRBACK | PLAIT_CONSUME_ERRORS);
	plait_fire(&p[0], plait_int(0));
	plait_fire(&p[1], error("no"));
	ck_assert(plait_failure_check(failure(), &plait_error_first));
	detail = plait_value_indexed(plait_failure_detail(failure()));
	ck_assert_uint_eq(detail->index, 1);
	ck_assert_str_eq(text_of(&detail->value), "Error: no");
	ck_assert_str_eq(text_of(result()),
			 "FirstError: member 1 failed: Error: no");
	ck_assert_ptr_nonnull(
		strstr(plait_failure_where(failure()), "test_deferred_list.c"));
	handled();
}

TEST(results_before_and_after_the_early_one_are_freed, PURE)
{
	make_list(PLAIT_FIRE_ON_ONE_ERRBACK | PLAIT_CONSUME_ERRORS);
	handle_all(all);
	plait_fire(&p[0], tracked("early"));
	plait_fire(&p[1], error("no"));
	ck_assert_str_eq(trace(), "~early");
	plait_fire(&p[2], tracked("late"));
	ck_assert_str_eq(trace(), "~early ~late");
	done();
}

TEST(later_failures_are_reported_unless_consumed, PURE, TIMES(2))
{
	static const char *const traces[] = { "?Error: b ?Error: c", "" };

	trace_unhandled();
	make_list(PLAIT_FIRE_ON_ONE_CALLBACK |
		  (_i == 1 ? PLAIT_CONSUME_ERRORS : 0));
	plait_fire(&p[0], PLAIT_NONE);
	plait_fire(&p[1], error("b"));
	plait_fire(&p[2], error("c"));
	ck_assert_str_eq(trace(), traces[_i]);
	done();
}

TEST(members_run_on_after_an_early_result, PURE)
{
	make_list(PLAIT_FIRE_ON_ONE_CALLBACK);
	plait_fire(&p[0], PLAIT_NONE);
	ck_assert_str_eq(trace(), "");
	ck_assert(!plait_promise_is_cancelled(p[1]));
	plait_deferred_cancel(all);
	ck_assert_str_eq(trace(), "!c1 !c2");
	plait_deferred_cancel(all);
	done();
	ck_assert_str_eq(trace(), "!c1 !c2");
}

TEST(freeing_one_that_fired_early_cancels_the_rest, PURE)
{
	make_list(PLAIT_FIRE_ON_ONE_CALLBACK);
	plait_fire(&p[1], PLAIT_NONE);
	plait_deferred_free(&all);
	ck_assert_str_eq(trace(), "!c0 !c2");
	done();
}

TEST(freed_inside_its_own_callback_it_cancels_the_rest, PURE)
{
	struct step frees = { .name = "all", .act = act_free };

	make_list(PLAIT_FIRE_ON_ONE_CALLBACK);
	frees.d = all;
	plait_deferred_add_both(all, step, &frees);
	pass_both(all, "never");
	plait_fire(&p[1], plait_int(5));
	ck_assert_str_eq(trace(), "all:1: 5 !c0 !c2");
	all = NULL;
	done();
}

TEST(detached_one_lets_its_members_run_on, PURE, TIMES(2))
{
	make_list(PLAIT_FIRE_ON_ONE_CALLBACK);
	if (_i == 0)
		plait_deferred_detach(&all);
	plait_fire(&p[0], tracked("a"));
	plait_deferred_detach(&all);
	plait_fire(&p[1], tracked("b"));
	ck_assert(!plait_promise_is_cancelled(p[2]));
	plait_fire(&p[2], tracked("c"));
	ck_assert_str_eq(trace(), "~a ~b ~c");
	done();
}

TEST(detached_list_still_runs_its_callbacks, PURE)
{
	make_list(0);
	pass_both(all, "all");
	plait_deferred_detach(&all);
	for (int i = 0; i < MEMBERS; i++)
		plait_fire(&p[i], plait_int(i));
	ck_assert_str_eq(trace(), "all:<3 values>");
	done();
}

TEST(first_error_that_nobody_handles_is_reported_once, PURE)
{
	trace_unhandled();
	make_list(PLAIT_FIRE_ON_ONE_ERRBACK | PLAIT_CONSUME_ERRORS);
	plait_fire(&p[1], error("no"));
	done();
	ck_assert_str_eq(trace(), "!c0 !c2 "
				  "?FirstError: member 1 failed: Error: no");
}

/* ---- gathers -------------------------------------------------------- */

GROUP("gather", .setup = setup);

TEST(gather_fires_with_the_values, PURE)
{
	all = plait_gather(m, MEMBERS, 0);
	for (int i = MEMBERS - 1; i >= 0; i--)
		plait_fire(&p[i], plait_int(i));
	ck_assert_str_eq(texts_of(result()), "0 1 2");
	done();
}

TEST(gather_fails_with_the_first_failure_and_reports_unless_consumed, PURE,
     TIMES(2))
{
	static const char *const traces[] = { "?Error: no", "" };

	trace_unhandled();
	all = plait_gather(m, MEMBERS, _i == 1 ? PLAIT_CONSUME_ERRORS : 0);
	plait_fire(&p[1], error("no"));
	ck_assert_str_eq(trace(), traces[_i]);
	ck_assert(plait_failure_check(failure(), &plait_error_first));
	trace_clear();
	handled();
	ck_assert_str_eq(trace(), "!c0 !c2");
}

TEST(gather_takes_no_other_flags, PURE)
{
	all = plait_gather(m, MEMBERS, PLAIT_FIRE_ON_ONE_CALLBACK);
	plait_fire(&p[0], PLAIT_NONE);
	ck_assert(!plait_deferred_is_fired(all));
	done();
}

TEST(empty_gather_fires_at_once, PURE)
{
	struct plait_deferred *d = plait_gather(NULL, 0, 0);

	ck_assert_uint_eq(plait_value_values(plait_deferred_result(d))->count,
			  0);
	plait_deferred_free(&d);
	make_list(0);
	done();
}

/* ---- races ---------------------------------------------------------- */

GROUP("race", .setup = setup);

TEST(race_cancels_the_losers_in_order_and_then_fires, PURE)
{
	make_race();
	pass_both(all, "all");
	plait_fire(&p[1], plait_int(5));
	ck_assert_str_eq(trace(), "!c0 !c2 all:1: 5");
	ck_assert_int_eq(plait_fire(&p[0], tracked("late")), -ECANCELED);
	ck_assert_str_eq(trace(), "!c0 !c2 all:1: 5 ~late");
	done();
}

TEST(failures_do_not_end_a_race, PURE)
{
	make_race();
	plait_fire(&p[0], error("no"));
	plait_fire(&p[1], error("no"));
	ck_assert(!plait_deferred_is_fired(all));
	plait_fire(&p[2], plait_int(5));
	ck_assert_str_eq(text_of(result()), "2: 5");
	done();
}

TEST(race_that_all_lose_fails_with_the_group_in_order, PURE)
{
	make_race();
	plait_fire(&p[2], error("c"));
	plait_fire(&p[1], error("b"));
	plait_fire(&p[0], error("a"));
	ck_assert(plait_failure_check(failure(), &plait_error_group));
	ck_assert_str_eq(text_of(result()),
			 "FailureGroup: all of 3 members failed: "
			 "Error: a; Error: b; Error: c");
	ck_assert_str_eq(texts_of(plait_failure_detail(failure())),
			 "Error: a Error: b Error: c");
	handled();
}

TEST(empty_race_fails_at_once, PURE)
{
	struct plait_deferred *d = plait_race(NULL, 0);
	const struct plait_failure *f =
		plait_value_failure(plait_deferred_result(d));

	ck_assert(plait_failure_check(f, &plait_error_group));
	handle_all(d);
	plait_deferred_free(&d);
	make_list(0);
	done();
}

TEST(loser_that_answers_its_canceller_with_a_value_is_too_late, PURE)
{
	cancellers[0].answers = cancellers[2].answers = true;
	cancellers[0].answer = tracked("x");
	cancellers[2].answer = error("y");
	make_race();
	plait_fire(&p[1], plait_int(5));
	ck_assert_str_eq(text_of(result()), "1: 5");
	ck_assert_str_eq(trace(), "!c0 ~x !c2");
	done();
}

TEST(loser_that_fires_in_its_canceller_is_too_late, PURE)
{
	cancellers[0].act = act_fire;
	cancellers[0].p = p[2];
	p[2] = NULL;
	make_race();
	plait_fire(&p[1], plait_int(5));
	ck_assert_str_eq(text_of(result()), "1: 5");
	ck_assert_str_eq(trace(), "!c0 fire=0");
	done();
}

TEST(member_that_has_fired_wins_when_the_race_is_made, PURE)
{
	plait_fire(&p[1], plait_int(5));
	make_race();
	ck_assert_str_eq(trace(), "!c0 !c2");
	ck_assert_str_eq(text_of(result()), "1: 5");
	done();
}

TEST(members_behind_the_winner_that_fired_are_silent_losers, PURE)
{
	plait_fire(&p[0], plait_int(5));
	plait_fire(&p[1], error("no"));
	plait_fire(&p[2], tracked("x"));
	make_race();
	ck_assert_str_eq(text_of(result()), "0: 5");
	ck_assert_str_eq(trace(), "~x");
	done();
}

TEST(member_freed_by_the_race_that_is_being_made_may_fire_others, PURE)
{
	cancellers[0].act = act_fire;
	cancellers[0].p = p[2];
	p[2] = NULL;
	plait_fire(&p[1], plait_int(5));
	make_race();
	ck_assert_str_eq(trace(), "!c0 fire=0");
	ck_assert_str_eq(text_of(result()), "1: 5");
	done();
}

/* ---- cancelling ----------------------------------------------------- */

GROUP("cancel", .setup = setup);

TEST(cancelling_cancels_all_in_order_and_fails_with_cancelled, PURE, TIMES(3))
{
	all = combine((enum kind)_i, 0);
	pass_both(all, "all");
	plait_fire(&p[1], _i == RACE ? error("no") : PLAIT_NONE);
	plait_deferred_cancel_because(all, "enough");
	ck_assert_str_eq(trace(), "!c0 !c2 all:CancelledError");
	ck_assert_str_eq(plait_failure_reason(failure()), "enough");
	handled();
}

TEST(freeing_cancels_all_and_reports_nothing, PURE, TIMES(3))
{
	all = combine((enum kind)_i, 0);
	plait_deferred_free(&all);
	ck_assert_str_eq(trace(), "!c0 !c1 !c2");
	done();
}

static plait_value note_place(plait_value *v, void *arg)
{
	const struct plait_failure *f = plait_value_failure(v);

	*(const char **)arg = plait_failure_cancelled_at(f);
	return PLAIT_NONE;
}

TEST(members_are_told_the_place_of_the_list_that_cancelled_them, PURE)
{
	const char *place = "";

	plait_deferred_add_errback(m[0], note_place, &place);
	make_list(0);
	plait_deferred_free(&all);
	ck_assert_ptr_nonnull(strstr(place, "test_deferred_list.c"));
	done();
}

TEST(member_that_ends_otherwise_than_cancelled_is_reported, PURE, TIMES(2))
{
	static const char *const traces[] = { "!c0 ?Error: broken !c1 !c2",
					      "!c0 !c1 !c2" };

	trace_unhandled();
	cancellers[0].answers = cancellers[1].answers = true;
	cancellers[0].answer = error("broken");
	cancellers[1].answer = plait_int(1);
	make_list(_i == 1 ? PLAIT_CONSUME_ERRORS : 0);
	plait_deferred_free(&all);
	ck_assert_str_eq(trace(), traces[_i]);
	done();
}

/* A deferred that is freed, and chained to the promise of a member. */
TEST(cancellation_of_freeing_that_reaches_a_member_is_not_reported, PURE,
     TIMES(3))
{
	struct plait_promise *q;
	struct plait_deferred *first = plait_deferred_new(&q, NULL, NULL);

	plait_deferred_chain(first, &p[0]);
	trace_unhandled();
	all = combine((enum kind)_i, 0);
	plait_deferred_free(&first);
	plait_deferred_free(&all);
	ck_assert_str_eq(trace(), "!c1 !c2");
	plait_promise_drop(&q);
	done();
}

/* The list was not given up, so its members' failures are news. */
TEST(cancellation_that_a_member_gets_from_elsewhere_is_reported, PURE)
{
	struct plait_promise *q;
	struct plait_deferred *first = plait_deferred_new(&q, NULL, NULL);

	plait_deferred_chain(first, &p[0]);
	trace_unhandled();
	make_list(0);
	plait_deferred_cancel(first);
	ck_assert_str_eq(trace(), "?CancelledError");
	plait_fire(&p[1], PLAIT_NONE);
	plait_fire(&p[2], PLAIT_NONE);
	plait_deferred_free(&first);
	plait_promise_drop(&q);
	done();
}

/* All members of the race have failed so, of a gather of it too. */
TEST(group_of_nothing_but_such_cancellations_is_not_reported, PURE, TIMES(2))
{
	struct plait_deferred *race = plait_race(m, MEMBERS);

	trace_unhandled();
	all = plait_gather(&race, 1, 0);
	for (int i = 0; i < MEMBERS; i++) {
		struct plait_promise *q;
		struct plait_deferred *d = plait_deferred_new(&q, NULL, NULL);

		plait_deferred_chain(d, &p[i]);
		if (_i == 1 && i == 1)
			plait_promise_drop(&q);
		plait_deferred_free(&d);
		plait_promise_drop(&q);
	}
	ck_assert_ptr_eq(plait_failure_kind(failure()), &plait_error_first);
	plait_deferred_free(&all);
	if (_i == 0)
		ck_assert_str_eq(trace(), "");
	else
		ck_assert_ptr_nonnull(strstr(trace(), "FailureGroup"));
	done();
}

TEST(member_that_cannot_run_its_pair_ends_too, PURE)
{
	cancellers[0].act = act_pause;
	cancellers[0].d = m[0];
	pass_both(m[0], "never");
	make_list(0);
	plait_deferred_cancel(all);
	ck_assert_str_eq(trace(), "!c0 !c1 !c2");
	handled();
}

TEST(member_that_waits_again_when_it_is_cancelled_ends_too, PURE)
{
	struct step c = { .name = "inner" };
	struct plait_promise *inner_promise;
	struct step recovers = { .name = "m0",
				 .inner = plait_deferred_new(
					 &inner_promise, step_canceller, &c) };

	plait_deferred_add_errback(m[0], step, &recovers);
	make_list(0);
	plait_deferred_cancel(all);
	ck_assert_str_eq(trace(), "!c0 m0:CancelledError !inner !c1 !c2");
	plait_promise_drop(&inner_promise);
	handled();
}

/* A callback of a member, before the list's own, ends the list. */
TEST(list_is_ended_inside_a_callback_of_a_member, PURE, TIMES(6))
{
	static void (*const acts[])(struct step *,
				    plait_value *) = { act_cancel, act_free };
	static const char *const traces[] = {
		"m1:5 !c0 !c2 all:CancelledError",
		"m1:5 !c0 !c2 all:CancelledError"
	};
	struct step ends = { .name = "m1", .act = acts[_i % 2] };

	plait_deferred_add_both(m[1], step, &ends);
	all = ends.d = combine((enum kind)(_i / 2), 0);
	pass_both(all, "all");
	plait_fire(&p[1], plait_int(5));
	ck_assert_str_eq(trace(), traces[_i % 2]);
	if (_i % 2 == 1)
		all = NULL;
	else
		handle_all(all);
	done();
}

TEST(list_is_freed_inside_the_canceller_of_a_member, PURE, TIMES(3))
{
	all = combine((enum kind)_i, 0);
	cancellers[0].act = act_free;
	cancellers[0].d = all;
	pass_both(all, "all");
	if (_i == RACE)
		plait_fire(&p[1], tracked("x"));
	else
		plait_deferred_cancel(all);
	all = NULL;
	unhandled_expect(_i == RACE ? 0 : 1);
	ck_assert_str_eq(trace(), _i == RACE ? "!c0 !c2 all:CancelledError ~x"
					     : "!c0 !c1 !c2");
	done();
}

/* A list that has fired early and waits, inside one more that waits for it. */
static struct plait_promise *late;
static struct plait_deferred *waits_for;

static struct plait_deferred *early_and_waiting(struct step *waits)
{
	waits_for = plait_deferred_new(&late, NULL, NULL);
	*waits = (struct step){ .inner = waits_for };
	all = plait_deferred_list(m, MEMBERS, PLAIT_FIRE_ON_ONE_CALLBACK);
	plait_deferred_add_callback(all, step, waits);
	plait_fire(&p[0], PLAIT_NONE);
	return all;
}

TEST(list_that_waits_lets_its_members_run_on_until_it_hands_over, PURE)
{
	struct step waits, gives = { .inner = early_and_waiting(&waits) };

	all = plait_succeed(PLAIT_NONE);
	plait_deferred_add_callback(all, step, &gives);
	ck_assert_str_eq(trace(), "");
	plait_fire(&late, PLAIT_NONE);
	ck_assert_str_eq(trace(), "!c1 !c2");
	done();
}

static struct plait_deferred *outer_of_held;
static struct plait_promise *answered;

/* Cancels the list that this member is of, and has another wait for it. */
static void act_cancel_and_take(struct step *s, plait_value *result)
{
	struct step gives = { .inner = s->d };

	plait_deferred_cancel(s->d);
	outer_of_held = plait_succeed(PLAIT_NONE);
	plait_deferred_add_callback(outer_of_held, step, &gives);
	pass_both(outer_of_held, "outer");
	plait_fire(&answered, plait_int(7));
	trace_add("out");
}

/* What the list waits for answers its cancel with one more, and that fires. */
TEST(held_list_that_is_taken_while_it_waits_is_waited_for, PURE)
{
	struct step ends = { .name = "m1", .act = act_cancel_and_take };
	struct step clears = { .inner = plait_deferred_new(&answered, NULL,
							   NULL) };
	struct step waits;

	plait_deferred_add_both(m[1], step, &ends);
	ends.d = early_and_waiting(&waits);
	plait_deferred_add_errback(waits_for, step, &clears);
	all = NULL;
	plait_fire(&p[1], PLAIT_NONE);
	ck_assert_str_eq(trace(), "m1:none !c2 out outer:7");
	plait_deferred_free(&outer_of_held);
	plait_promise_drop(&late);
	done();
}

TEST(member_fired_inside_the_canceller_of_another, PURE)
{
	make_list(0);
	cancellers[0].act = act_fire;
	cancellers[0].p = p[2];
	p[2] = NULL;
	plait_deferred_cancel(all);
	ck_assert_str_eq(trace(), "!c0 fire=0 !c1");
	handled();
}

/* ---- as an inner, and nested ---------------------------------------- */

/* A deferred that waits for the list. */
static struct plait_deferred *outer_of(struct plait_deferred **d)
{
	static struct step waits;

	waits = (struct step){ .inner = *d };
	*d = NULL;
	return plait_deferred_add_both(plait_succeed(PLAIT_NONE), step, &waits);
}

GROUP("nesting", .setup = setup);

TEST(outer_that_waits_for_a_list_cancels_it, PURE, TIMES(3))
{
	struct plait_deferred *outer;

	all = combine((enum kind)_i, 0);
	outer = outer_of(&all);
	plait_deferred_cancel(outer);
	ck_assert_str_eq(trace(), "!c0 !c1 !c2");
	handle_all(outer);
	plait_deferred_free(&outer);
	done();
}

TEST(handing_an_early_result_over_ends_the_rest, PURE, TIMES(2))
{
	struct plait_deferred *outer;

	if (_i == 0)
		plait_fire(&p[1], plait_int(5));
	make_list(PLAIT_FIRE_ON_ONE_CALLBACK);
	outer = outer_of(&all);
	pass_both(outer, "outer");
	if (_i == 1)
		plait_fire(&p[1], plait_int(5));
	ck_assert_str_eq(trace(), "!c0 !c2 outer:1: 5");
	plait_deferred_free(&outer);
	done();
}

TEST(outer_is_freed_while_the_rest_is_ended, PURE)
{
	struct plait_deferred *outer;

	make_list(PLAIT_FIRE_ON_ONE_CALLBACK);
	outer = outer_of(&all);
	pass_both(outer, "never");
	cancellers[0].act = act_free;
	cancellers[0].d = outer;
	plait_fire(&p[1], tracked("x"));
	ck_assert_str_eq(trace(), "!c0 !c2 ~x");
	done();
}

static void act_wait_for_d(struct step *s, plait_value *result)
{
	static struct step waits;

	waits = (struct step){ .inner = s->d };
	s->d = plait_deferred_add_both(plait_succeed(PLAIT_NONE), step, &waits);
	pass_both(s->d, "third");
}

TEST(outer_is_waited_for_while_the_rest_is_ended, PURE)
{
	struct plait_deferred *outer;

	make_list(PLAIT_FIRE_ON_ONE_CALLBACK);
	outer = outer_of(&all);
	pass_both(outer, "outer");
	cancellers[0].act = act_wait_for_d;
	cancellers[0].d = outer;
	plait_fire(&p[1], plait_int(5));
	ck_assert_str_eq(trace(), "!c0 !c2 outer:1: 5 third:1: 5");
	plait_deferred_free(&cancellers[0].d);
	done();
}

TEST(fired_one_that_waits_cancels_what_it_waits_for_and_the_rest, PURE)
{
	struct plait_promise *inner_promise;
	struct step c = { .name = "inner" };
	struct step waits = { .inner = plait_deferred_new(&inner_promise,
							  step_canceller, &c) };

	make_list(PLAIT_FIRE_ON_ONE_CALLBACK);
	plait_deferred_add_both(all, step, &waits);
	plait_fire(&p[1], PLAIT_NONE);
	plait_deferred_cancel(all);
	ck_assert_str_eq(trace(), "!c0 !c2 !inner");
	plait_promise_drop(&inner_promise);
	handled();
}

/* A canceller of the rest frees the very list that is being cancelled. */
TEST(fired_one_that_waits_is_freed_while_it_is_cancelled, PURE)
{
	struct plait_promise *inner_promise;
	struct step c = { .name = "inner" };
	struct step waits = { .inner = plait_deferred_new(&inner_promise,
							  step_canceller, &c) };

	make_list(PLAIT_FIRE_ON_ONE_CALLBACK);
	plait_deferred_add_both(all, step, &waits);
	plait_fire(&p[1], PLAIT_NONE);
	cancellers[0].act = act_free;
	cancellers[0].d = all;
	plait_deferred_cancel(all);
	all = NULL;
	ck_assert_str_eq(trace(), "!c0 !inner !c2");
	plait_promise_drop(&inner_promise);
	done();
}

TEST(gather_of_a_race_and_a_list, PURE)
{
	struct plait_deferred *two[2];

	two[0] = plait_race(m, 2);
	two[1] = plait_deferred_list(m + 2, 1, 0);
	all = plait_gather(two, 2, 0);
	plait_fire(&p[2], plait_int(7));
	plait_fire(&p[1], plait_int(5));
	ck_assert_str_eq(trace(), "!c0");
	ck_assert_str_eq(texts_of(result()), "1: 5 <1 values>");
	done();
}

TEST(nested_ones_are_cancelled_from_the_outside, PURE, TIMES(2))
{
	struct plait_deferred *two[2];

	two[0] = plait_race(m, 2);
	two[1] = plait_gather(m + 2, 1, 0);
	all = _i == 0 ? plait_gather(two, 2, 0) : plait_race(two, 2);
	plait_deferred_cancel(all);
	ck_assert_str_eq(trace(), "!c0 !c1 !c2");
	handled();
}

TEST(race_of_gathers_cancels_all_of_the_loser, PURE)
{
	struct plait_deferred *two[2];

	two[0] = plait_gather(m, 2, 0);
	two[1] = plait_gather(m + 2, 1, 0);
	all = plait_race(two, 2);
	plait_fire(&p[2], plait_int(7));
	ck_assert_str_eq(trace(), "!c0 !c1");
	ck_assert_str_eq(text_of(result()), "1: <1 values>");
	done();
}

TEST(member_that_fired_early_ends_its_rest_when_its_list_has_it, PURE)
{
	struct plait_deferred *two[2] = { NULL, plait_succeed(plait_int(1)) };

	two[0] = plait_deferred_list(m, MEMBERS, PLAIT_FIRE_ON_ONE_CALLBACK);
	all = plait_gather(two, 2, 0);
	plait_fire(&p[1], plait_int(5));
	ck_assert_str_eq(trace(), "!c0 !c2");
	ck_assert_str_eq(texts_of(result()), "1: 5 1");
	done();
}

TEST(first_errors_nest, PURE)
{
	struct plait_deferred *two[2];
	const plait_value *v;

	two[0] = plait_race(m, 2);
	two[1] = plait_gather(m + 2, 1, PLAIT_CONSUME_ERRORS);
	all = plait_gather(two, 2, PLAIT_CONSUME_ERRORS);
	plait_fire(&p[2], error("deep"));
	v = &plait_value_indexed(plait_failure_detail(failure()))->value;
	v = plait_failure_detail(plait_value_failure(v));
	ck_assert_str_eq(text_of(&plait_value_indexed(v)->value),
			 "Error: deep");
	handled();
}

/* ---- misuse --------------------------------------------------------- */

static void list_with_nothing(void *arg)
{
	struct plait_deferred *none = NULL;

	none = plait_deferred_list(&none, 1, 0);
	plait_deferred_free(&none);
}

static void read_as_values(void *arg)
{
	plait_value v = plait_int(1);

	plait_value_values(&v);
}

static void read_as_indexed(void *arg)
{
	plait_value v = PLAIT_NONE;

	plait_value_indexed(&v);
}

static void combine_one_twice(void *arg)
{
	m[1] = m[0];
	combine(*(enum kind *)arg, 0);
}

/* With no memory it is found as well, before the members are freed. */
static void combine_one_twice_without_memory(void *arg)
{
	fault_alloc_at(0, true);
	combine_one_twice(arg);
}

static void combine_members_of_another(void *arg)
{
	struct plait_deferred *again[] = { m[0] };

	combine(*(enum kind *)arg, 0);
	again[0] = plait_gather(again, 1, 0);
}

static void share_a_member(void *arg)
{
	struct plait_deferred *again = m[0];

	combine(*(enum kind *)arg, 0);
	plait_shared_new(&again);
}

static void wait_for_a_member(void *arg)
{
	struct plait_deferred *outer = plait_succeed(PLAIT_NONE);
	struct step waits = { .inner = m[0] };

	combine(*(enum kind *)arg, 0);
	plait_deferred_add_both(outer, step, &waits);
}

GROUP("extremes", .setup = setup, .timeout = 60);

TEST(member_that_is_given_twice_aborts_and_names_both_places, PURE, TIMES(15))
{
	static void (*const fns[])(void *) = {
		combine_one_twice,	    combine_one_twice_without_memory,
		combine_members_of_another, share_a_member,
		wait_for_a_member,
	};
	enum kind kind = (enum kind)(_i % 3);
	void (*fn)(void *) = fns[_i / 3];

	assert_aborts(fn, &kind,
		      "takes the deferred made at tests/test_deferred_list.c:");
	assert_aborts(fn, &kind, ", which is another's already");
	if (fn != share_a_member)
		assert_aborts(fn, &kind, "plait: tests/test_deferred_list.c:");
	make_list(0);
	done();
}

TEST(mistakes_abort, PURE)
{
	assert_aborts(list_with_nothing, NULL, "members[i] != NULL");
	assert_aborts(read_as_values, NULL,
		      "value is an int, not a list of values");
	assert_aborts(read_as_indexed, NULL,
		      "value is none, not an indexed value");
	make_list(0);
	done();
}

/* ---- every moment, every action, no memory, no stack ----------------- */

/* What is done to the list, at which moment. */
enum action { CANCEL, FREE, DETACH, ACTIONS };
enum { FLAGS = 8, MOMENTS = MEMBERS + 1 };

static void act_on(enum action action)
{
	if (action == FREE)
		plait_deferred_free(&all);
	else if (action == DETACH)
		plait_deferred_detach(&all);
	else
		plait_deferred_cancel(all);
}

static plait_value note_once(plait_value *v, void *arg)
{
	unsigned *n = arg;

	(*n)++;
	return PLAIT_NONE;
}

/* Members fire or fail by the bits of how; at one moment the action comes. */
static void live_through(enum kind kind, unsigned flags, int how, int when,
			 enum action action)
{
	unsigned settled = 0;

	setup();
	all = combine(kind, flags);
	plait_deferred_add_both(all, note_once, &settled);
	for (int i = 0; i < MOMENTS; i++) {
		if (i == when)
			act_on(action);
		if (i < MEMBERS && how & 1 << i)
			plait_fire(&p[i], tracked("x"));
		else if (i < MEMBERS)
			plait_fire(&p[i], error("no"));
	}
	ck_assert_uint_eq(settled, 1);
	done();
}

TEST(settles_once_whatever_happens_when, PURE, TIMES(3))
{
	static const enum kind kinds[] = { LIST, GATHER, RACE };

	make_list(0);
	done();
	for (unsigned flags = 0; flags < FLAGS; flags++)
		for (int how = 0; how < 1 << MEMBERS; how++)
			for (int when = 0; when < MOMENTS; when++)
				for (int action = 0; action < ACTIONS; action++)
					live_through(kinds[_i], flags, how,
						     when, (enum action)action);
	unhandled_expect(unhandled_count());
}

static void whole_life(enum kind kind, bool cancelled)
{
	setup();
	pass_both(m[0], "m");
	all = combine(kind, PLAIT_FIRE_ON_ONE_CALLBACK);
	handle_all(all);
	plait_fire(&p[0], error("no"));
	if (cancelled)
		plait_deferred_cancel(all);
	plait_fire(&p[1], tracked("x"));
	plait_fire(&p[2], tracked("y"));
	done();
}

static void whole_lives(void)
{
	for (int kind = LIST; kind <= RACE; kind++) {
		whole_life((enum kind)kind, true);
		whole_life((enum kind)kind, false);
	}
}

TEST(nothing_is_lost_when_memory_runs_out, PURE)
{
	make_list(0);
	done();
	without_each_allocation(whole_lives);
}

TEST(without_memory_it_has_failed_and_the_members_are_cancelled, PURE, TIMES(3))
{
	fault_alloc_at((unsigned long)_i, true);
	make_list(0);
	fault_alloc_off();
	ck_assert(plait_failure_check(failure(), &plait_error_no_memory));
	ck_assert_str_eq(trace(), "!c0 !c1 !c2");
	done();
}

/* A member that has no room for the list's pair is cancelled. */
TEST(member_without_room_for_the_pair_fails_alone, PURE)
{
	for (int i = 0; i < 4; i++)
		pass_callback(m[1], "m1");
	fault_alloc_at(3, false);
	make_list(PLAIT_CONSUME_ERRORS);
	fault_alloc_off();
	ck_assert_str_eq(trace(), "!c1");
	plait_fire(&p[0], plait_int(0));
	plait_fire(&p[2], plait_int(2));
	ck_assert_str_eq(texts_of(result()), "0 CancelledError 2");
	done();
}

enum { MILLION = 1000000 };

static void *million_members(void *arg)
{
	struct plait_deferred **members = malloc(MILLION * sizeof(*members));
	struct plait_promise **promises = malloc(MILLION * sizeof(*promises));
	struct plait_deferred *d;
	int how = *(int *)arg;

	for (int i = 0; i < MILLION; i++)
		members[i] = plait_deferred_new(&promises[i], NULL, NULL);
	d = how == 0 ? plait_gather(members, MILLION, 0)
		     : plait_race(members, MILLION);
	if (how < 2)
		for (int i = MILLION - 1; i >= 0; i--)
			plait_fire(&promises[i], plait_int(i));
	plait_deferred_free(&d);
	for (int i = 0; i < MILLION; i++)
		plait_promise_drop(&promises[i]);
	free(members);
	free(promises);
	return NULL;
}

static int how_a_million_end;

static void *end_a_million(void *arg)
{
	return million_members(&how_a_million_end);
}

TEST(million_members_end_on_a_small_stack, PURE, TIMES(3))
{
	make_list(0);
	done();
	how_a_million_end = _i;
	on_small_stack(end_a_million);
}

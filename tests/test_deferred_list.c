/*
 * Many deferreds as one: lists, gathers and races, whose members fire, fail,
 * are cancelled and freed at every moment, those of their making included.
 */
#include <plait/plait.h>

#include "tests/child.h"
#include "tests/extreme.h"
#include "tests/harness.h"
#include "tests/script.h"

enum { MEMBERS = 3 };

enum kind { LIST, GATHER, RACE };

/* Three members, each with a canceller that traces, and their promises. */
static struct plait_deferred *m[MEMBERS];
static struct plait_promise *p[MEMBERS];
static struct step cancellers[MEMBERS];

/* The list that most tests make of them. */
static struct plait_deferred *all;

static void make_members(void)
{
	static const char *const names[MEMBERS] = { "c0", "c1", "c2" };

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

/* Three members, each with a canceller that traces. */
#define M "new a !a; new b !b; new c !c; "

/* The script on a list, a gather and a race of them. */
#define ON_A(kind, before, after, trace)                                       \
	{                                                                      \
		M before kind " all a b c; " after, trace                      \
	}
#define ON_EACH_KIND(before, after, trace)                                     \
	ON_A("list", before, after, trace),                                    \
		ON_A("gather", before, after, trace),                          \
		ON_A("race", before, after, trace)

/* ---- lists ---------------------------------------------------------- */

GROUP("list", .setup = steps_setup);

SCRIPT(list_fires_with_all_results_in_the_order_of_members, PURE,
       M "list all a b c; fire c 2; fire a 0; show all | fire b 1; show all",
       "all pending | all=[0 1 2]")

SCRIPT(failures_are_among_the_values_and_are_reported, PURE,
       M "list all a b c; fire a 0; fire b Error:no | fire c none; show all | "
	 "free all",
       "?Error: no | all=[0 Error: no none] |")

SCRIPT(consumed_failures_are_not_reported, PURE,
       M "list all +consume a b c; fire a Error:no; fire b Error:no; fire c "
	 "Error:no; show all | free all",
       "all=[Error: no Error: no Error: no] |")

TEST(members_are_taken, PURE)
{
	make_members();
	make_list(0);
	for (int i = 0; i < MEMBERS; i++)
		ck_assert_ptr_null(m[i]);
	done();
}

SCRIPTS(empty_list_fires_at_once, PURE, { "list all; show all", "all=[]" },
	{ "list all +callback; show all", "all=[]" },
	{ "list all +errback; show all", "all=[]" })

SCRIPT(members_that_fired_before_count_at_once, PURE,
       M "fire a 0; fire c 2; list all a b c; show all | fire b 1; show all",
       "all pending | all=[0 1 2]")

SCRIPT(list_of_fired_members_has_fired_when_it_is_made, PURE,
       M "fire a 0; fire b 1; fire c 2; list all a b c; show all",
       "all=[0 1 2]")

SCRIPT(member_that_waits_counts_when_it_goes_on, PURE,
       M "new inner; then b = inner; fire a 0; fire b 1; fire c 2; list all a "
	 "b c; show all | fire inner 9; show all",
       "all pending | all=[0 9 2]")

/* Nobody could unpause it any more. */
SCRIPTS(pauses_of_a_member_end_when_it_is_taken, PURE,
	{ M "pause a; pause b; both a a; fire a 0; list all a b c | fire b 1; "
	    "fire c 2; show all",
	  "a:0 | all=[0 1 2]" },
	{ M "pause a; pause b; both a a; fire a 0; gather all a b c | fire b "
	    "1; fire c 2; show all",
	  "a:0 | all=[0 1 2]" },
	{ M "pause a; pause b; both a a; fire a 0; race all a b c; show all",
	  "a:0 !b !c all=0: 0" })

SCRIPT(pairs_of_the_members_run_before_the_lists, PURE,
       M "both a a; list all +callback a b c; both all all; fire a 7",
       "a:7 all:0: 7")

TEST(values_may_be_taken_and_the_rest_is_freed, PURE)
{
	plait_value mine;

	make_members();
	make_list(0);
	plait_fire(&p[0], tracked("a"));
	plait_fire(&p[1], tracked("b"));
	plait_fire(&p[2], tracked("c"));
	mine = plait_value_take(&plait_value_values(result())->items[1]);
	plait_deferred_free(&all);
	ck_assert_str_eq(trace(), "~a ~c");
	plait_value_free(&mine);
	done();
}

SCRIPT(values_print_themselves, PURE,
       M "list all a b c; both all all; fire a 0; fire b 1; fire c 2",
       "all:<3 values>")

/* ---- firing early --------------------------------------------------- */

GROUP("firing early", .setup = steps_setup);

SCRIPT(first_success_fires_with_its_index, PURE,
       M "list all +callback +consume a b c; fire a Error:no; show all | fire "
	 "c 42; show all",
       "all pending | all=2: 42")

SCRIPT(with_no_success_it_fires_with_all_failures, PURE,
       M "list all +callback +consume a b c; fire c Error:c; fire a Error:a; "
	 "fire b Error:b; show all",
       "all=[Error: a Error: b Error: c]")

TEST(first_failure_fails_with_first_error, PURE)
{
	const struct plait_indexed *detail;

	make_members();
	make_list(PLAIT_DEFERRED_LIST_FIRE_ON_ONE_ERRBACK |
		  PLAIT_DEFERRED_LIST_CONSUME_ERRORS);
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

SCRIPT(results_before_and_after_the_early_one_are_freed, PURE,
       M "list all +errback +consume a b c; catch all = none; fire a ~early; "
	 "fire b Error:no | fire c ~late",
       "~early | ~late")

SCRIPTS(later_failures_are_reported_unless_consumed, PURE,
	{ M "list all +callback a b c; fire a none; fire b Error:b; fire c "
	    "Error:c",
	  "?Error: b ?Error: c" },
	{ M "list all +callback +consume a b c; fire a none; fire b Error:b; "
	    "fire c Error:c",
	  "" })

SCRIPT(members_run_on_after_an_early_result, PURE,
       M "list all +callback a b c; fire a none; wanted b | cancel all | "
	 "cancel all; free all",
       "b wanted | !b !c |")

SCRIPT(freeing_one_that_fired_early_cancels_the_rest, PURE,
       M "list all +callback a b c; fire b none | free all", "| !a !c")

SCRIPT(freed_inside_its_own_callback_it_cancels_the_rest, PURE,
       M "list all +callback a b c; both all all { free all }; both all never; "
	 "fire b 5",
       "all:1: 5 !a !c")

SCRIPTS(detached_one_lets_its_members_run_on, PURE,
	{ M "list all +callback a b c; detach all; fire a ~a; fire b ~b; "
	    "wanted c; fire c ~c",
	  "~a ~b c wanted ~c" },
	{ M "list all +callback a b c; fire a ~a; detach all; fire b ~b; "
	    "wanted c; fire c ~c",
	  "~a ~b c wanted ~c" })

SCRIPT(detached_list_still_runs_its_callbacks, PURE,
       M
       "list all a b c; both all all; detach all; fire a 0; fire b 1; fire c 2",
       "all:<3 values>")

SCRIPT(first_error_that_nobody_handles_is_reported_once, PURE,
       M "list all +errback +consume a b c; fire b Error:no | free all",
       "| !a !c ?FirstError: member 1 failed: Error: no")

/* ---- gathers -------------------------------------------------------- */

GROUP("gather", .setup = steps_setup);

SCRIPT(gather_fires_with_the_values, PURE,
       M "gather all a b c; fire c 2; fire b 1; fire a 0; show all",
       "all=[0 1 2]")

SCRIPTS(gather_fails_with_the_first_failure_and_reports_unless_consumed, PURE,
	{ M "gather all a b c; fire b Error:no; show all; catch all = none | "
	    "free all",
	  "?Error: no all=FirstError: member 1 failed: Error: no | !a !c" },
	{ M "gather all +consume a b c; fire b Error:no; show all; catch all = "
	    "none | free all",
	  "all=FirstError: member 1 failed: Error: no | !a !c" })

SCRIPT(gather_takes_no_other_flags, PURE,
       M "gather all +callback a b c; fire a none; show all", "all pending")

SCRIPT(empty_gather_fires_at_once, PURE, "gather all; show all", "all=[]")

/* ---- races ---------------------------------------------------------- */

GROUP("race", .setup = steps_setup);

SCRIPT(race_cancels_the_losers_in_order_and_then_fires, PURE,
       M "race all a b c; both all all; fire b 5 | fire a ~late",
       "!a !c all:1: 5 | ~late ECANCELED")

SCRIPT(failures_do_not_end_a_race, PURE,
       M "race all a b c; fire a Error:no; fire b Error:no; show all | fire c "
	 "5; show all",
       "all pending | all=2: 5")

SCRIPT(race_that_all_lose_fails_with_the_group_in_order, PURE,
       M "race all a b c; fire c Error:c; fire b Error:b; fire a Error:a; show "
	 "all",
       "all=FailureGroup: all of 3 members failed: Error: a; Error: b; Error: "
       "c")

SCRIPT(empty_race_fails_at_once, PURE, "race all; show all",
       "all=FailureGroup: all of 0 members failed")

SCRIPT(loser_that_answers_its_canceller_with_a_value_is_too_late, PURE,
       "new a !a = ~x; new b !b; new c !c = Error:y; race all a b c; fire b 5; "
       "show all",
       "!a ~x !c all=1: 5")

SCRIPT(loser_that_fires_in_its_canceller_is_too_late, PURE,
       "new c !c; new a !a { fire c 99; say fired }; new b !b; race all a b c; "
       "fire b 5; show all",
       "!a fired all=1: 5")

SCRIPT(member_that_has_fired_wins_when_the_race_is_made, PURE,
       M "fire b 5; race all a b c; show all", "!a !c all=1: 5")

SCRIPT(members_behind_the_winner_that_fired_are_silent_losers, PURE,
       M "fire a 5; fire b Error:no; fire c ~x; race all a b c; show all",
       "~x all=0: 5")

SCRIPT(member_freed_by_the_race_that_is_being_made_may_fire_others, PURE,
       "new c !c; new a !a { fire c 99; say fired }; new b !b; fire b 5; race "
       "all a b c; show all",
       "!a fired all=1: 5")

/* ---- cancelling ----------------------------------------------------- */

TEST(race_of_nobody_fails_and_is_reported, PURE)
{
	struct plait_deferred *race = plait_race(NULL, 0);

	plait_deferred_free(&race);
	ck_assert_uint_eq(unhandled_count(), 1);
	unhandled_expect(1);
}

GROUP("cancel", .setup = steps_setup);

SCRIPTS(cancelling_cancels_all_in_order_and_fails_with_cancelled, PURE,
	{ M "list all a b c; both all all; fire b none; cancel all enough; why "
	    "all",
	  "!a !c all:CancelledError all=CancelledError(enough)" },
	{ M "gather all a b c; both all all; fire b none; cancel all enough; "
	    "why all",
	  "!a !c all:CancelledError all=CancelledError(enough)" },
	{ M "race all a b c; both all all; fire b Error:no; cancel all enough; "
	    "why all",
	  "!a !c all:CancelledError all=CancelledError(enough)" })

SCRIPTS(freeing_cancels_all_and_reports_nothing, PURE,
	ON_EACH_KIND("", "free all", "!a !b !c"))

static plait_value note_place(plait_value *v, void *arg)
{
	const struct plait_failure *f = plait_value_failure(v);

	*(const char **)arg = plait_failure_cancel_where(f);
	return PLAIT_NONE;
}

TEST(members_are_told_the_place_of_the_list_that_cancelled_them, PURE)
{
	const char *place = "";

	make_members();
	plait_deferred_add_errback(m[0], note_place, &place);
	make_list(0);
	plait_deferred_free(&all);
	ck_assert_ptr_nonnull(strstr(place, "test_deferred_list.c"));
	done();
}

SCRIPTS(member_that_ends_otherwise_than_cancelled_is_reported, PURE,
	{ "new a !a = Error:broken; new b !b = 1; new c !c; list all a b c; "
	  "free all",
	  "!a ?Error: broken !b !c" },
	{ "new a !a = Error:broken; new b !b = 1; new c !c; list all +consume "
	  "a b c; free all",
	  "!a !b !c" })

/* A deferred that is freed, and chained to the promise of a member. */
SCRIPTS(cancellation_of_freeing_that_reaches_a_member_is_not_reported, PURE,
	ON_EACH_KIND("new first; chain first a; ", "free first; free all",
		     "!b !c"))

/* The list was not given up, so its members' failures are news. */
SCRIPT(cancellation_that_a_member_gets_from_elsewhere_is_reported, PURE,
       M "new first; chain first a; list all a b c; cancel first; fire b none; "
	 "fire c none",
       "?CancelledError")

/* All members of the race have failed so, of a gather of it too. */
SCRIPTS(group_of_nothing_but_such_cancellations_is_not_reported, PURE,
	{ M "race r a b c; gather all r; new x; chain x a; free x; new x; "
	    "chain x b; free x; new x; chain x c; free x; show all | free all",
	  "all=FirstError: member 0 failed: FailureGroup: all of 3 members "
	  "failed: CancelledError; CancelledError; CancelledError |" },
	{ M "race r a b c; gather all r; new x; chain x a; free x; new x; "
	    "chain x b; drop x; free x; new x; chain x c; free x | free all",
	  "?FailureGroup: all of 3 members failed: CancelledError; "
	  "AbandonedError: promise dropped; CancelledError | ?FirstError: "
	  "member 0 failed: FailureGroup: all of 3 members failed: "
	  "CancelledError; AbandonedError: promise dropped; CancelledError" })

SCRIPT(member_that_cannot_run_its_pair_ends_too, PURE,
       "new a !a { pause a }; new b !b; new c !c; both a never; list all a b "
       "c; cancel all",
       "!a !b !c")

SCRIPT(member_that_waits_again_when_it_is_cancelled_ends_too, PURE,
       M "new inner !inner; catch a a = inner; list all a b c; cancel all",
       "!a a:CancelledError !inner !b !c")

/* A callback of a member, before the list's own, ends the list. */
SCRIPTS(list_is_ended_inside_a_callback_of_a_member, PURE,
	{ M "both b b { cancel all }; list all a b c; both all all; fire b 5",
	  "b:5 !a !c all:CancelledError" },
	{ M "both b b { free all }; list all a b c; both all all; fire b 5",
	  "b:5 !a !c all:CancelledError" },
	{ M "both b b { cancel all }; gather all a b c; both all all; fire b 5",
	  "b:5 !a !c all:CancelledError" },
	{ M "both b b { free all }; gather all a b c; both all all; fire b 5",
	  "b:5 !a !c all:CancelledError" },
	{ M "both b b { cancel all }; race all a b c; both all all; fire b 5",
	  "b:5 !a !c all:CancelledError" },
	{ M "both b b { free all }; race all a b c; both all all; fire b 5",
	  "b:5 !a !c all:CancelledError" })

/* The failure of that member is the list's to report, as any other. */
SCRIPTS(failure_of_a_member_that_ends_its_list_is_reported_unless_consumed,
	PURE,
	{ M "both b b { free all }; list all a b c; catch all; fire b Error:b",
	  "b:Error: b !a !c ?Error: b" },
	{ M "both b b { free all }; list all +consume a b c; catch all; fire b "
	    "Error:b",
	  "b:Error: b !a !c" },
	{ M "both b b { free all }; gather all +consume a b c; catch all; fire "
	    "b Error:b",
	  "b:Error: b !a !c" },
	{ M "both b b { cancel all }; gather all +consume a b c; catch all; "
	    "fire b Error:b",
	  "b:Error: b !a !c" },
	{ M "both b b { free all }; race all a b c; catch all; fire b Error:b",
	  "b:Error: b !a !c" })

SCRIPTS(list_is_freed_inside_the_canceller_of_a_member, PURE,
	{ "new a !a { free all }; new b !b; new c !c; list all a b c; both all "
	  "all; cancel all",
	  "!a !b !c ?CancelledError" },
	{ "new a !a { free all }; new b !b; new c !c; gather all a b c; both "
	  "all all; cancel all",
	  "!a !b !c ?CancelledError" },
	{ "new a !a { free all }; new b !b; new c !c; race all a b c; both all "
	  "all; fire b ~x",
	  "!a !c all:CancelledError ~x" })

SCRIPT(list_that_waits_lets_its_members_run_on_until_it_hands_over, PURE,
       M "new late; list all +callback a b c; then all = late; fire a none; "
	 "waiting outer all | fire late none",
       "| !b !c")

/* What the list waits for answers its cancel with one more, and that fires. */
SCRIPT(held_list_that_is_taken_while_it_waits_is_waited_for, PURE,
       M "new late; new last; both b b { cancel all; waiting outer all; both "
	 "outer outer; fire last 7; say out }; list all +callback a b c; then "
	 "all = late; fire a none; catch late = last; fire b none",
       "b:none !c out outer:7")

SCRIPT(member_fired_inside_the_canceller_of_another, PURE,
       "new c !c; new a !a { fire c 99; say fired }; new b !b; list all a b c; "
       "cancel all",
       "!a fired !b")

/* ---- as an inner, and nested ---------------------------------------- */

GROUP("nesting", .setup = steps_setup);

SCRIPTS(outer_that_waits_for_a_list_cancels_it, PURE,
	ON_EACH_KIND("", "waiting outer all; cancel outer", "!a !b !c"))

SCRIPTS(handing_an_early_result_over_ends_the_rest, PURE,
	{ M "fire b 5; list all +callback a b c; waiting outer all; both outer "
	    "outer",
	  "!a !c outer:1: 5" },
	{ M "list all +callback a b c; waiting outer all; both outer outer; "
	    "fire b 5",
	  "!a !c outer:1: 5" })

SCRIPT(outer_is_freed_while_the_rest_is_ended, PURE,
       "new a !a { free outer }; new b !b; new c !c; list all +callback a b c; "
       "waiting outer all; both outer never; fire b ~x",
       "!a !c ~x")

SCRIPT(outer_is_waited_for_while_the_rest_is_ended, PURE,
       "new a !a { waiting third outer; both third third }; new b !b; new c "
       "!c; list all +callback a b c; waiting outer all; both outer outer; "
       "fire b 5",
       "!a !c outer:1: 5 third:1: 5")

SCRIPT(fired_one_that_waits_cancels_what_it_waits_for_and_the_rest, PURE,
       M "new inner !inner; list all +callback a b c; both all = inner; fire b "
	 "none; cancel all",
       "!a !c !inner")

/* A canceller of the rest frees the very list that is being cancelled. */
SCRIPT(fired_one_that_waits_is_freed_while_it_is_cancelled, PURE,
       "new a !a { free all }; new b !b; new c !c; new inner !inner; list all "
       "+callback a b c; both all = inner; fire b none; cancel all",
       "!a !inner !c")

SCRIPT(gather_of_a_race_and_a_list, PURE,
       M "race r a b; list l c; gather all r l; fire c 7; fire b 5; show all",
       "!a all=[1: 5 <1 values>]")

SCRIPTS(nested_ones_are_cancelled_from_the_outside, PURE,
	{ M "race r a b; gather g c; gather all r g; cancel all", "!a !b !c" },
	{ M "race r a b; gather g c; race all r g; cancel all", "!a !b !c" })

SCRIPT(race_of_gathers_cancels_all_of_the_loser, PURE,
       M "gather g a b; gather h c; race all g h; fire c 7; show all",
       "!a !b all=1: <1 values>")

SCRIPT(member_that_fired_early_ends_its_rest_when_its_list_has_it, PURE,
       M "list early +callback a b c; fired d 1; gather all early d; fire b 5; "
	 "show all",
       "!a !c all=[1: 5 1]")

SCRIPT(first_errors_nest, PURE,
       M "race r a b; gather g +consume c; gather all +consume r g; fire c "
	 "Error:deep; show all",
       "all=FirstError: member 1 failed: FirstError: member 0 failed: Error: "
       "deep")

TEST(index_in_an_index_is_written_as_both, PURE)
{
	struct plait_deferred *member = plait_succeed(plait_int(7)), *race;
	char text[32];

	race = plait_race(&member, 1);
	race = plait_race(&race, 1);
	plait_value_str(plait_deferred_result(race), text, sizeof(text));
	ck_assert_str_eq(text, "0: 0: 7");
	plait_deferred_free(&race);
}

/* ---- misuse --------------------------------------------------------- */

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

GROUP("extremes", .setup = steps_setup, .timeout = 60);

TEST(member_that_is_given_twice_aborts_and_names_both_places, PURE, TIMES(15))
{
	static void (*const fns[])(void *) = {
		combine_one_twice,	    combine_one_twice_without_memory,
		combine_members_of_another, share_a_member,
		wait_for_a_member,
	};
	enum kind kind = (enum kind)(_i % 3);
	void (*fn)(void *) = fns[_i / 3];

	make_members();
	assert_aborts(fn, &kind,
		      "takes the deferred made at tests/test_deferred_list.c:");
	assert_aborts(fn, &kind, ", which was given away already");
	if (fn != share_a_member)
		assert_aborts(fn, &kind, "plait: tests/test_deferred_list.c:");
	make_list(0);
	done();
}

TEST(mistakes_abort, PURE)
{
	assert_aborts(read_as_values, NULL,
		      "value is an int, not a list of values");
	assert_aborts(read_as_indexed, NULL,
		      "value is none, not an indexed value");
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

/* Members fire or fail by the bits of how; at one moment the action comes. */
static void live_through(enum kind kind, unsigned flags, int how, int when,
			 enum action action)
{
	unsigned settled = 0;

	steps_setup();
	make_members();
	all = combine(kind, flags);
	plait_deferred_add_both(all, count_settled, &settled);
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
	steps_setup();
	make_members();
	pass_both(m[0], "m");
	all = combine(kind, PLAIT_DEFERRED_LIST_FIRE_ON_ONE_CALLBACK);
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
	without_each_allocation(whole_lives);
}

SCRIPTS(without_memory_it_has_failed_and_the_members_are_cancelled, PURE,
	{ M "refuse_all 0 { list all a b c }; show all",
	  "!a !b !c all=NoMemoryError" },
	{ M "refuse_all 1 { list all a b c }; show all",
	  "!a !b !c all=NoMemoryError" },
	{ M "refuse_all 2 { list all a b c }; show all",
	  "!a !b !c all=NoMemoryError" })

/* A member that has no room for the list's pair is cancelled. */
SCRIPT(member_without_room_for_the_pair_fails_alone, PURE,
       M "then b b; then b b; then b b; then b b; refuse 3 { list all +consume "
	 "a b c } | fire a 0; fire c 2; show all",
       "!b | all=[0 CancelledError 2]")

TEST_ON_SMALL_STACK(million_members_end_on_a_small_stack, PURE, TIMES(3))
{
	struct plait_deferred **members =
		malloc(a_million() * sizeof(*members));
	struct plait_promise **promises =
		malloc(a_million() * sizeof(*promises));
	struct plait_deferred *d;

	for (unsigned i = 0; i < a_million(); i++)
		members[i] = plait_deferred_new(&promises[i], NULL, NULL);
	d = _i == 0 ? plait_gather(members, a_million(), 0)
		    : plait_race(members, a_million());
	if (_i < 2)
		for (unsigned i = a_million(); i-- > 0;)
			plait_fire(&promises[i], plait_int(i));
	plait_deferred_free(&d);
	for (unsigned i = 0; i < a_million(); i++)
		plait_promise_drop(&promises[i]);
	free(members);
	free(promises);
}

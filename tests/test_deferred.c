/*
 * Deferreds: firing, chains of callbacks, re-entrancy, pausing, waiting for
 * another one, chaining to a promise, and the reports of failures that nobody
 * handled.  Cancelling has its own file.
 */
#include <plait/plait.h>

#include "tests/child.h"
#include "tests/harness.h"
#include "tests/script.h"

static struct plait_deferred *make(struct plait_promise **p)
{
	return plait_deferred_new(p, NULL, NULL);
}

static plait_value error(const char *message)
{
	return plait_fail(&plait_error_any, "%s", message);
}

static void assert_result(const struct plait_deferred *d, const char *text)
{
	const plait_value *v = plait_deferred_result(d);
	char buf[128];

	ck_assert_ptr_nonnull(v);
	plait_value_str(v, buf, sizeof(buf));
	ck_assert_str_eq(buf, text);
}

/* ---- firing -------------------------------------------------------- */

GROUP("firing", .setup = steps_setup);

SCRIPT(new_one_has_not_fired_and_has_no_result, PURE, "new d; show d; wanted d",
       "d pending d wanted")

SCRIPT(firing_runs_the_chain_before_it_returns, PURE,
       "new d; then d a; then d b; fire d 1; say fired; show d",
       "a:1 b:1 fired d=1")

SCRIPT(firing_spends_the_promise, PURE,
       "new d; fire d 1; wanted d | fire d ~v | fire d Error:late; show d",
       "d unwanted | ~v EALREADY | EALREADY d=1")

SCRIPT(failure_that_is_fired_goes_to_the_errbacks, PURE,
       "new d; then d never; catch d b; fire d Error:e", "b:Error: e")

SCRIPT(none_is_an_ordinary_result, PURE, "new d; then d a; fire d none; show d",
       "a:none d=none")

SCRIPT(firing_with_a_deferred_is_refused_and_frees_it, PURE,
       "new d; new e; fire d e; wanted e; show d | fire d 1; fired f ~v; fire "
       "d f",
       "EINVAL e unwanted d pending | ~v EINVAL")

SCRIPT(callback_that_fires_its_own_promise_gets_ealready, PURE,
       "new d; then d a { fire d 99 }; fire d 1; show d", "a:1 EALREADY d=1")

static plait_value raise_ealready(plait_value *result, void *arg)
{
	int rc = plait_fire(arg, PLAIT_NONE);

	return plait_fail_errno(&plait_error_os, -rc, "fired twice");
}

TEST(refusal_to_fire_twice_may_be_made_a_failure, PURE)
{
	struct plait_promise *p, *spent = NULL;
	struct plait_deferred *d = make(&p);

	plait_deferred_add_callback(d, raise_ealready, &spent);
	pass_callback(d, "never");
	pass_errback(d, "b");
	plait_fire(&p, PLAIT_NONE);
	ck_assert_str_eq(trace(), "b:OSError: fired twice: "
				  "Operation already in progress");
	ck_assert_int_eq(plait_failure_errno(
				 plait_value_failure(plait_deferred_result(d))),
			 EALREADY);
	handle_all(d);
	plait_deferred_free(&d);
}

SCRIPT(dropped_promise_fires_abandoned, PURE, "new d; drop d; show d; drop d",
       "d=AbandonedError: promise dropped")

/* ---- the chain ----------------------------------------------------- */

GROUP("chain", .setup = steps_setup);

SCRIPT(pairs_run_in_order_and_once, PURE,
       "new d; both d a; both d b; both d c; both d d; both d e; both d f; "
       "both d g; both d h; both d i; both d j; fire d 1 | both d k",
       "a:1 b:1 c:1 d:1 e:1 f:1 g:1 h:1 i:1 j:1 | k:1")

/* The pair's other half is skipped, whatever its own half answers. */
SCRIPT(pair_runs_the_half_that_the_result_asks_for, PURE,
       "new d; pair d c = Error:e, never; pair d never, e = 2; then d last; "
       "fire d 1",
       "c:1 e:Error: e last:2")

/* Errbacks get every failure: static ones, and kinds of the program's own. */
TEST(kind_of_a_failure_does_not_matter_to_the_chain, PURE)
{
	static const struct plait_error own = { .name = "OwnError" };
	plait_value failures[] = { plait_fail(&own, "m"), plait_cancelled(),
				   plait_no_memory(), plait_connection_done() };
	static const char *const texts[] = { "b:OwnError: m",
					     "b:CancelledError",
					     "b:NoMemoryError",
					     "b:ConnectionDone" };

	for (int i = 0; i < 4; i++) {
		struct step s = { .answers = true, .answer = failures[i] };
		struct plait_deferred *d = plait_succeed(PLAIT_NONE);

		trace_clear();
		plait_deferred_add_callback(d, step, &s);
		pass_callback(d, "never");
		pass_errback(d, "b");
		ck_assert_str_eq(trace(), texts[i]);
		handle_all(d);
		plait_deferred_free(&d);
	}
}

static plait_value handle_timeouts(plait_value *result, void *arg)
{
	if (plait_failure_check(plait_value_failure(result),
				&plait_error_timeout))
		return plait_int(0);
	return *result;
}

TEST(errback_that_traps_one_kind_passes_others_on, PURE)
{
	struct plait_deferred *d =
		plait_failed(plait_fail(&plait_error_timeout, "late"));
	struct plait_deferred *e = plait_failed(error("e"));

	plait_deferred_add_errback(d, handle_timeouts, NULL);
	plait_deferred_add_errback(e, handle_timeouts, NULL);
	assert_result(d, "0");
	assert_result(e, "Error: e");
	handle_all(e);
	plait_deferred_free(&d);
	plait_deferred_free(&e);
}

SCRIPT(returned_value_is_the_next_result, PURE,
       "new d; then d a = 2; then d b = none; then d c; fire d ~v",
       "a:v ~v b:2 c:none")

SCRIPT(what_a_callback_leaves_in_the_slot_is_freed, PURE,
       "fired d ~v; then d = ~w | free d", "~v | ~w")

static plait_value take_it(plait_value *result, void *arg)
{
	*(plait_value *)arg = plait_value_take(result);
	return PLAIT_NONE;
}

TEST(what_a_callback_takes_is_its_own, PURE)
{
	struct plait_deferred *d = plait_succeed(tracked("v"));
	plait_value mine;

	plait_deferred_add_callback(d, take_it, &mine);
	plait_deferred_free(&d);
	ck_assert_str_eq(trace(), "");
	plait_value_free(&mine);
	ck_assert_uint_eq(tracked_live(), 0);
}

static plait_value take_and_return(plait_value *result, void *arg)
{
	return plait_value_take(result);
}

TEST(taking_and_returning_passes_on, PURE)
{
	struct plait_deferred *d = plait_succeed(tracked("v"));

	plait_deferred_add_both(d, take_and_return, NULL);
	pass_both(d, "a");
	ck_assert_str_eq(trace(), "a:v");
	plait_deferred_free(&d);
	ck_assert_uint_eq(tracked_live(), 0);
}

SCRIPTS(half_that_is_missing_passes_the_result_through, PURE,
	{ "fired d 1; catch d never; pair d , never; both d d", "d:1" },
	{ "fired d Error:e; then d never; pair d never, ; both d e",
	  "e:Error: e" })

SCRIPT(both_is_one_function_for_either, PURE,
       "fired d 1; both d a = Error:e; both d b", "a:1 b:Error: e")

static plait_value note_address(plait_value *result, void *arg)
{
	const struct plait_failure **at = arg;

	*at = plait_value_failure(result);
	return *result;
}

TEST(same_failure_is_handed_on_not_a_copy, PURE)
{
	plait_value v = error("e");
	const struct plait_failure *made = plait_value_failure(&v);
	const struct plait_failure *first, *second;
	struct plait_deferred *d = plait_failed(v);

	plait_deferred_add_errback(d, note_address, &first);
	plait_deferred_add_callbacks(d, NULL, NULL, NULL, NULL);
	plait_deferred_add_both(d, note_address, &second);
	ck_assert_ptr_eq(first, made);
	ck_assert_ptr_eq(second, made);
	handle_all(d);
	plait_deferred_free(&d);
}

TEST(adding_returns_the_deferred_itself, PURE)
{
	struct plait_deferred *d = plait_succeed(PLAIT_NONE);
	struct step s = { .name = NULL };

	ck_assert_ptr_eq(plait_deferred_add_callback(d, step, &s), d);
	ck_assert_ptr_eq(plait_deferred_add_errback(d, step, &s), d);
	ck_assert_ptr_eq(plait_deferred_add_both(d, step, &s), d);
	ck_assert_ptr_eq(plait_deferred_add_callbacks(d, step, &s, step, &s),
			 d);
	plait_deferred_free(&d);
}

SCRIPT(adding_to_a_fired_one_runs_at_once, PURE,
       "fired d 7; both d a | both d b", "a:7 | b:7")

/* ---- inside a callback --------------------------------------------- */

GROUP("inside a callback", .setup = steps_setup);

SCRIPT(added_inside_a_callback_runs_after_those_queued, PURE,
       "new d; both d a { both d added }; both d b; fire d 1",
       "a:1 b:1 added:1")

static void act_look(struct step *s, plait_value *result)
{
	ck_assert_ptr_eq(plait_deferred_result(s->d), result);
	assert_result(s->d, "1");
}

TEST(result_during_a_callback_is_its_argument, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	struct step s = {
		.act = act_look, .d = d, .answers = true, .answer = plait_int(2)
	};

	plait_deferred_add_both(d, step, &s);
	plait_fire(&p, plait_int(1));
	assert_result(d, "2");
	plait_deferred_free(&d);
}

SCRIPT(firing_another_inside_runs_that_chain_first, PURE,
       "new d; new e; both d a { fire e 99; say fired }; both d b; both e x; "
       "both e y; fire d 1",
       "a:1 x:99 y:99 fired b:1")

SCRIPT(pausing_inside_holds_after_that_callback, PURE,
       "new d; both d a { pause d }; both d b; fire d 1 | unpause d",
       "a:1 | b:1")

SCRIPT(cancelling_inside_is_nothing, PURE,
       "new d; both d a { cancel d }; both d b; fire d 1", "a:1 b:1")

SCRIPT(freeing_inside_runs_no_further_callback, PURE,
       "new d; both d a { free d }; both d never; fire d ~v", "a:v ~v")

SCRIPT(freeing_inside_frees_what_the_callback_returns, PURE,
       "new d; new e; both d a { free d } = e; fire d ~v; wanted e",
       "a:v ~v e unwanted")

SCRIPT(detaching_inside_lets_the_rest_run, PURE,
       "new d; both d a { detach d }; both d b; fire d ~v", "a:v b:v ~v")

SCRIPT(waiting_for_one_that_is_running_waits_for_its_end, PURE,
       "new outer; new inner; both inner i { fire outer none } = 5; both inner "
       "b; both outer o = inner; both outer c; fire inner 1",
       "i:1 o:none b:5 c:5")

/* ---- pausing ------------------------------------------------------- */

GROUP("pausing", .setup = steps_setup);

SCRIPT(pauses_are_counted, PURE,
       "fired d 1; pause d; pause d; both d a; unpause d | unpause d", "| a:1")

SCRIPT(paused_one_can_be_fired, PURE,
       "new d; both d a; pause d; fire d 1; show d; both d b | unpause d",
       "d=1 | a:1 b:1")

SCRIPT(pausing_before_firing_has_no_effect_of_its_own, PURE,
       "new d; both d a; pause d; unpause d | fire d 1", "| a:1")

static void unpause(void *d)
{
	plait_deferred_unpause(d);
}

TEST(unpausing_what_is_not_paused_aborts, PURE)
{
	struct plait_deferred *d = plait_succeed(PLAIT_NONE);

	assert_aborts(unpause, d, "is not paused");
	plait_deferred_free(&d);
}

/* The outer is paused by the user and waits; both holds have to end. */
SCRIPT(paused_outer_gets_the_result_and_runs_when_unpaused, PURE,
       "new inner; both inner i; fired d none; both d a = inner; both d b; "
       "pause d; fire inner 1; show d | unpause d",
       "a:none i:1 d=1 | b:1")

SCRIPT(unpausing_a_waiting_outer_does_not_run_it, PURE,
       "new inner; waiting d inner; both d b; pause d; unpause d | fire inner "
       "1",
       "| b:1")

/* A run that stops at a paused outer still ends the runs around it. */
SCRIPT(paused_outer_does_not_stop_a_run_around_it, PURE,
       "new first; new inner; waiting d inner; both d b; pause d; chain first "
       "inner; both first f; fire first 1 | unpause d",
       "f:none | b:1")

/* ---- waiting ------------------------------------------------------- */

GROUP("waiting", .setup = steps_setup);

SCRIPT(outer_waits_for_an_inner_that_has_not_fired, PURE,
       "new inner; waiting d inner; both d a; show d | fire inner 3",
       "d waits | a:3")

SCRIPT(outer_runs_inside_the_firing_after_the_inners_pairs, PURE,
       "new inner; both inner i = 2; waiting d inner; both d o; fire inner 1",
       "i:1 o:2")

SCRIPT(result_moves_to_the_outer_and_is_freed_once, PURE,
       "new inner; waiting d inner; fire inner ~v; show d | free d", "d=v | ~v")

SCRIPT(failure_moves_and_with_it_the_duty_to_report, PURE,
       "new inner; waiting d inner; fire inner Error:e | free d", "| ?Error: e")

SCRIPTS(fired_inner_is_not_waited_for, PURE,
	{ "fired inner 4; waiting d inner; show d; both d a", "d=4 a:4" },
	{ "fired inner Error:e; waiting d inner; show d", "d=Error: e" })

SCRIPT(chains_resolve_innermost_first, PURE,
       "new a; both a a; waiting b a; both b b; waiting c b; both c c; fire a "
       "1",
       "a:1 b:1 c:1")

/* Its handle is gone, so nobody could unpause it. */
SCRIPTS(pauses_of_an_inner_end_when_it_is_taken, PURE,
	{ "fired inner 1; pause inner; pause inner; both inner a; waiting d "
	  "inner; both d b",
	  "a:1 b:1" },
	{ "new inner; pause inner; waiting d inner; fire inner 2; show d",
	  "d=2" })

/* Those that it takes while it runs run before it goes on, and in order. */
SCRIPT(paused_inner_that_is_taken_runs_before_its_outer, PURE,
       "fired inner 1; new d; pause inner; both inner a; both inner b; both d "
       "d = inner; both d c; fire d none",
       "d:none a:1 b:1 c:1")

/* It paused itself in the callback that makes it wait. */
SCRIPT(inner_that_waits_and_is_paused_is_waited_for, PURE,
       "new inner; new innermost; both inner { pause inner } = innermost; "
       "waiting d inner; both d a; fire inner none; fire innermost 1 | unpause "
       "inner",
       "| a:1")

SCRIPT(inner_that_waits_itself_is_waited_for, PURE,
       "new a; waiting b a; waiting c b; show c | fire a 1; show c",
       "c waits | c=1")

SCRIPT(promise_of_a_waiting_outer_is_spent, PURE,
       "new inner; new d; both d = inner; fire d none; fire d 9 | fire inner "
       "1; show d",
       "EALREADY | d=1")

SCRIPT(pairs_added_to_a_waiting_outer_run_after_the_inner, PURE,
       "new inner; waiting d inner; both d a; both d b; both d c; both d d; "
       "both d e; both d f | fire inner 1",
       "| a:1 b:1 c:1 d:1 e:1 f:1")

SCRIPT(inner_may_answer_with_yet_another, PURE,
       "new inner; new innermost; both inner = innermost; waiting d inner; "
       "both d a; fire inner 1 | fire innermost 2",
       "| a:2")

TEST(chaining_takes_the_handle, PURE)
{
	struct plait_deferred *d = plait_succeed(plait_int(1)), *same = d;
	plait_value v = plait_chain(&d);

	ck_assert_ptr_null(d);
	ck_assert(plait_value_is(&v, &plait_deferred_type));
	ck_assert_ptr_eq(v.ptr, same);
	plait_value_free(&v);
}

SCRIPTS(callback_of_the_inner_may_do_anything_to_its_outer, PURE,
	{ "new inner; both inner i { free d }; both inner j; waiting d inner; "
	  "both d o; fire inner ~v",
	  "i:v ~v" },
	{ "new inner; both inner i { detach d }; both inner j; waiting d "
	  "inner; both d o; fire inner ~v",
	  "i:v j:v o:v ~v" },
	{ "new inner; both inner i { cancel d }; both inner j; waiting d "
	  "inner; both d o; fire inner ~v",
	  "i:v j:v o:v" },
	{ "new inner; both inner i { pause d }; both inner j; waiting d inner; "
	  "both d o; fire inner ~v",
	  "i:v j:v" },
	{ "new inner; both inner i { both d added }; both inner j; waiting d "
	  "inner; both d o; fire inner ~v",
	  "i:v j:v o:v added:v" })

static void return_itself(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	struct step s = { .inner = d };

	plait_deferred_add_both(d, step, &s);
	plait_fire(&p, PLAIT_NONE);
}

static void wait_in_a_ring(void *arg)
{
	struct plait_promise *p, *q;
	struct plait_deferred *a = make(&p), *b = make(&q);
	struct step to_b = { .inner = b }, to_a = { .inner = a };

	plait_deferred_add_both(a, step, &to_b);
	plait_deferred_add_both(b, step, &to_a);
	plait_fire(&p, PLAIT_NONE);
	plait_fire(&q, PLAIT_NONE);
}

static void wait_in_a_ring_of_three(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *a = make(&p), *same = a, *b = waiting_for(&a);
	struct plait_deferred *c = waiting_for(&b);
	struct step s = { .inner = c };

	plait_deferred_add_both(same, step, &s);
	plait_fire(&p, PLAIT_NONE);
}

TEST(waiting_in_a_ring_aborts_and_names_where_it_was_made, PURE)
{
	assert_aborts(return_itself, NULL, "tests/test_deferred.c:");
	assert_aborts(wait_in_a_ring, NULL, "waits for itself");
	assert_aborts(wait_in_a_ring_of_three, NULL, "waits for itself");
}

static void wait_for_one_twice(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *inner = make(&p), *again = inner;

	waiting_for(&inner);
	waiting_for(&again);
}

static void free_anothers(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *inner = make(&p), *copy = inner;

	waiting_for(&inner);
	plait_deferred_free(&copy);
}

static void detach_anothers(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *inner = make(&p), *copy = inner;

	waiting_for(&inner);
	plait_deferred_detach(&copy);
}

TEST(one_that_was_taken_has_no_second_owner, PURE)
{
	assert_aborts(wait_for_one_twice, NULL, "given away");
	assert_aborts(free_anothers, NULL, "given away");
	assert_aborts(detach_anothers, NULL, "given away");
}

/* ---- chaining to a promise ----------------------------------------- */

GROUP("chaining to a promise", .setup = steps_setup);

SCRIPT(chaining_fires_the_promise_with_the_result, PURE,
       "new a; new b; both b b; chain a b; both a a; fire a ~v | free a; free "
       "b",
       "b:v a:none | ~v")

SCRIPT(chaining_moves_failures_too, PURE,
       "fired a Error:e; new b; chain a b; show a; show b | free a",
       "a=none b=Error: e |")

SCRIPT(chaining_to_a_cancelled_one_frees_the_result, PURE,
       "new a; new b; chain a b; cancel b; show a | fire a ~v; show a",
       "a pending | ~v a=none")

SCRIPT(chaining_to_a_spent_promise_frees_the_result, PURE,
       "new a; new b; fire b none; chain a b | fire a ~v; show a",
       "| ~v a=none")

SCRIPT(chaining_to_a_paused_one_fires_it_and_goes_on, PURE,
       "new a; new b; both b b; pause b; chain a b; both a a; fire a 1 | "
       "unpause b",
       "a:none | b:1")

SCRIPT(freeing_the_first_of_a_chain_cancels_the_last, PURE,
       "new a; new b; chain a b; both b b; free a", "b:CancelledError")

SCRIPT(freeing_before_a_chain_step_abandons_the_promise, PURE,
       "fired a 1; new b; pause a; chain a b; both b b; free a",
       "b:AbandonedError: promise dropped")

SCRIPT(freed_inside_it_abandons_the_promise_when_the_callback_returns, PURE,
       "new a; new b; both a a { free a; say freed }; chain a b; both b b; "
       "fire a 1",
       "a:1 freed b:AbandonedError: promise dropped")

/* What waits for what is ended from the inside. */
SCRIPT(freeing_ends_the_inner_before_what_waited_for_it, PURE,
       "new inner; new again !again; catch inner r = again; waiting a inner; "
       "new b; chain a b; both b b; free a",
       "r:CancelledError !again b:AbandonedError: promise dropped")

/* ---- ends ---------------------------------------------------------- */

GROUP("ends", .setup = steps_setup);

SCRIPT(detached_one_runs_on_and_frees_its_result, PURE,
       "new d; both d a; detach d; wanted d | fire d ~v | detach d",
       "d wanted | a:v ~v |")

SCRIPT(detaching_a_fired_one_frees_its_result, PURE, "fired d ~v; detach d",
       "~v")

SCRIPT(detaching_a_paused_one_lets_it_run, PURE,
       "fired d ~v; pause d; both d a; detach d", "a:v ~v")

SCRIPT(detached_waiter_runs_on, PURE,
       "new inner; waiting d inner; both d a; detach d; fire inner ~v",
       "a:v ~v")

SCRIPT(free_of_a_fired_one_frees_its_result, PURE,
       "fired d ~v; free d | free d", "~v |")

TEST(deferred_as_a_value_is_freed_as_a_deferred, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	plait_value v = plait_chain(&d);
	char buf[64];

	plait_value_str(&v, buf, sizeof(buf));
	ck_assert_int_eq(strncmp(buf, "<Deferred at 0x", 15), 0);
	plait_value_free(&v);
	ck_assert(plait_promise_is_cancelled(p));
	plait_promise_drop(&p);
}

/* ---- unhandled ----------------------------------------------------- */

GROUP("unhandled", .setup = steps_setup);

SCRIPT(failure_that_is_freed_unseen_is_reported, PURE,
       "fired d Error:e; both d a | free d", "a:Error: e | ?Error: e")

SCRIPT(failure_that_is_handled_late_is_not_reported, PURE,
       "fired d Error:e; catch d a | catch d = none; free d", "a:Error: e |")

SCRIPT(errback_that_fails_itself_leaves_its_failure_to_report, PURE,
       "fired d Error:first; catch d = Error:second | free d",
       "| ?Error: second")

SCRIPT(cancellation_that_nobody_handles_is_reported, PURE,
       "new d; cancel d; drop d | free d", "| ?CancelledError")

SCRIPT(cancellation_by_freeing_alone_is_not_reported, PURE,
       "new d; both d a; free d; drop d", "a:CancelledError")

SCRIPT(other_failure_that_freeing_brings_about_is_reported, PURE,
       "new d; catch d = Error:e; free d; drop d", "?Error: e")

SCRIPT(paused_failure_that_is_freed_is_reported, PURE,
       "new d; pause d; catch d = none; fire d Error:e | free d", "| ?Error: e")

SCRIPT(detached_failure_is_reported_when_it_comes, PURE,
       "new d; detach d | fire d Error:e", "| ?Error: e")

SCRIPT(waiting_one_reports_nothing, PURE,
       "new inner; waiting d inner; free d; drop inner", "")

SCRIPT(late_failure_after_a_cancel_is_swallowed_unreported, PURE,
       "new d; free d; fire d Error:late", "ECANCELED")

TEST(promises_never_fired_are_reported_with_their_place, PURE)
{
	struct plait_promise *p, *q, *r;
	struct plait_deferred *d = make(&p), *fired = make(&q),
			      *gone = make(&r);

	plait_fire(&q, PLAIT_NONE);
	plait_deferred_free(&fired);
	plait_deferred_free(&gone);
	ck_assert_uint_eq(plait_deferred_report_pending(), 1);
	ck_assert_ptr_nonnull(strstr(unhandled_text(), "NeverFiredError: "));
	ck_assert_ptr_nonnull(
		strstr(unhandled_text(), "tests/test_deferred.c:"));
	ck_assert_uint_eq(plait_deferred_report_pending(), 1);
	plait_fire(&p, PLAIT_NONE);
	plait_deferred_free(&d);
	ck_assert_uint_eq(plait_deferred_report_pending(), 0);
	plait_promise_drop(&r);
	unhandled_expect(2);
}

TEST(one_that_fired_and_is_kept_is_reported_with_its_places, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = (plait_deferred_new)(&p, NULL, NULL, "m:1");

	(plait_fire)(&p, PLAIT_NONE, "f:2");
	ck_assert_uint_eq(plait_deferred_report_pending(), 1);
	ck_assert_str_eq(unhandled_text(), "NeverFreedError: deferred made at "
					   "m:1, age unknown, fired at f:2");
	plait_deferred_free(&d);
	ck_assert_uint_eq(plait_deferred_report_pending(), 0);
	unhandled_expect(1);
}

/* Nobody has lost what was given away, and of two the inner is to blame. */
TEST(what_is_not_the_programs_is_not_reported_as_kept, PURE)
{
	struct plait_promise *p, *q;
	struct plait_deferred *detached = make(&p), *inner = make(&q),
			      *outer = plait_succeed(PLAIT_NONE);
	struct step s = { .inner = inner };

	plait_fire(&p, PLAIT_NONE);
	plait_deferred_detach(&detached);
	plait_deferred_add_both(outer, step, &s);
	plait_deferred_pause(inner);
	plait_fire(&q, PLAIT_NONE);
	ck_assert_uint_eq(plait_deferred_report_pending(), 0);
	plait_deferred_free(&outer);
}

/* The hook may end what it is told of, and others too. */
static struct plait_promise *hooked[2];

static void fire_hooked(const struct plait_failure *why, void *arg)
{
	trace_add("?");
	for (int i = 0; i < 2; i++)
		if (hooked[i] != NULL)
			plait_fire(&hooked[i], PLAIT_NONE);
}

TEST(hook_may_fire_what_is_being_reported, PURE)
{
	struct plait_deferred *a = make(&hooked[0]), *b = make(&hooked[1]);

	plait_set_unhandled_hook(fire_hooked, NULL);
	/* The other has fired by then, but not when the report began. */
	ck_assert_uint_eq(plait_deferred_report_pending(), 1);
	ck_assert_str_eq(trace(), "?");
	plait_deferred_free(&a);
	plait_deferred_free(&b);
}

static struct plait_deferred *made_by_hook;
static struct plait_promise *promise_of_hook;

static void make_another(const struct plait_failure *why, void *arg)
{
	trace_add("?");
	ck_assert_ptr_null(made_by_hook);
	made_by_hook = make(&promise_of_hook);
}

TEST(what_the_hook_makes_is_not_reported_to_it, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	plait_set_unhandled_hook(make_another, NULL);
	ck_assert_uint_eq(plait_deferred_report_pending(), 1);
	ck_assert_str_eq(trace(), "?");
	plait_deferred_free(&made_by_hook);
	plait_promise_drop(&promise_of_hook);
	plait_fire(&p, PLAIT_NONE);
	plait_deferred_free(&d);
}

static void exit_with_one_pending(void *arg)
{
	struct plait_promise *p;

	make(&p);
	if (plait_deferred_report_at_exit() != 0 ||
	    plait_deferred_report_at_exit() != 0)
		abort();
}

TEST(report_at_exit_is_made_once_if_asked_for, PURE)
{
	const char *said, *line;

	ck_assert_int_eq(child_run(exit_with_one_pending, NULL, &said), 0);
	line = "Unhandled error in Deferred: NeverFiredError: ";
	ck_assert_ptr_eq(strstr(said, line), said);
	ck_assert_ptr_null(strstr(said + 1, line));
}

/* ---- made with a result -------------------------------------------- */

GROUP("made with a result", .setup = steps_setup);

SCRIPT(succeed_and_failed_have_fired, PURE,
       "fired d 1; fired e Error:e; show d; show e", "d=1 e=Error: e")

TEST(maybe_deferred_gives_a_deferred_back_itself, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p), *same = d;

	d = plait_maybe_deferred(plait_chain(&d));
	ck_assert_ptr_eq(d, same);
	plait_fire(&p, PLAIT_NONE);
	plait_deferred_free(&d);
}

TEST(maybe_deferred_makes_anything_else_a_fired_one, PURE)
{
	struct plait_deferred *d = plait_maybe_deferred(plait_int(1));
	struct plait_deferred *e = plait_maybe_deferred(error("e"));

	assert_result(d, "1");
	assert_result(e, "Error: e");
	handle_all(e);
	plait_deferred_free(&d);
	plait_deferred_free(&e);
}

static void succeed_with_failure(void *arg)
{
	struct plait_deferred *d = plait_succeed(plait_cancelled());

	plait_deferred_free(&d);
}

static void succeed_with_deferred(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	d = plait_succeed(plait_chain(&d));
	plait_deferred_free(&d);
}

static void fail_with_value(void *arg)
{
	struct plait_deferred *d = plait_failed(plait_int(1));

	plait_deferred_free(&d);
}

TEST(succeed_and_failed_refuse_what_contradicts_them, PURE)
{
	assert_aborts(succeed_with_failure, NULL, "with a failure");
	assert_aborts(succeed_with_deferred, NULL, "with a deferred");
	assert_aborts(fail_with_value, NULL, "int, not a failure");
}

/* ---- its text ------------------------------------------------------ */

static const char *str(const struct plait_deferred *d)
{
	static char buf[256];
	int len = plait_deferred_str(d, buf, sizeof(buf));

	ck_assert_int_eq(len, (int)strlen(buf));
	return buf;
}

TEST(text_says_what_it_has_or_waits_for, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *inner = make(&p), *held = inner, *outer;
	char want[64];

	snprintf(want, sizeof(want), "<Deferred at %p", (void *)inner);
	ck_assert_ptr_eq(strstr(str(inner), want), str(inner));
	ck_assert_ptr_nonnull(strstr(str(inner), "tests/test_deferred.c:"));
	ck_assert_ptr_null(strstr(str(inner), "result"));
	outer = waiting_for(&inner);
	snprintf(want, sizeof(want), "waiting on Deferred at %p>",
		 (void *)held);
	ck_assert_ptr_nonnull(strstr(str(outer), want));
	plait_fire(&p, plait_int(5));
	ck_assert_ptr_nonnull(strstr(str(outer), "current result: 5>"));
	plait_deferred_free(&outer);
}

/* ---- memory -------------------------------------------------------- */

GROUP("memory", .setup = steps_setup);

SCRIPT(four_pairs_are_one_allocation_and_firing_is_none, PURE,
       "allocates 1 { new d; both d a; both d b; both d c; both d d; fire d 1; "
       "both d e; free d }",
       "a:1 b:1 c:1 d:1 e:1")

SCRIPT(waiting_and_chaining_cost_nothing, PURE,
       "new inner; fired outer none; new last; allocates 0 { both outer = "
       "inner; chain outer last; fire inner 1 }; show last",
       "last=1")

/* A callback that adds the next one: the queue is used again and again. */
static void act_add_itself(struct step *s, plait_value *result)
{
	if (plait_value_int(result) < 1000)
		plait_deferred_add_both(s->d, step, s);
	*result = plait_int(plait_value_int(result) + 1);
}

TEST(callback_that_adds_itself_again_needs_no_more_room, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	struct step s = { .act = act_add_itself, .d = d };
	unsigned long calls = heap_calls();

	plait_deferred_add_both(d, step, &s);
	plait_fire(&p, plait_int(0));
	assert_result(d, "1001");
	ck_assert_uint_eq(heap_calls(), calls);
	plait_deferred_free(&d);
}

TEST(many_pairs_run_in_order_though_more_come_meanwhile, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	struct step s = { .name = "+", .act = act_add, .d = d };

	for (int i = 0; i < 12; i++) {
		plait_deferred_add_both(d, step, &s);
		pass_both(d, ".");
	}
	plait_fire(&p, plait_int(1));
	for (int i = 0; i < 12; i++)
		ck_assert_int_eq(memcmp(trace() + 8 * i, "+:1 .:1 ", 8), 0);
	for (int i = 0; i < 12; i++)
		ck_assert_int_eq(memcmp(trace() + 96 + 8 * i, "added:1", 7), 0);
	plait_deferred_free(&d);
}

TEST(without_memory_a_deferred_has_failed_already, PURE)
{
	struct plait_promise *p = (struct plait_promise *)&p;
	struct plait_deferred *d;
	char buf[128];

	fault_alloc_at(0, true);
	d = make(&p);
	ck_assert_ptr_null(p);
	ck_assert_ptr_nonnull(d);
	ck_assert(plait_deferred_is_fired(d));
	assert_result(d, "NoMemoryError");
	pass_callback(d, "never");
	pass_errback(d, "errback");
	pass_both(d, "both");
	ck_assert_str_eq(trace(), "errback:NoMemoryError both:NoMemoryError");
	plait_deferred_cancel(d);
	plait_deferred_pause(d);
	plait_deferred_unpause(d);
	plait_deferred_str(d, buf, sizeof(buf));
	ck_assert_ptr_nonnull(strstr(buf, "NoMemoryError"));
	ck_assert_int_eq(plait_fire(&p, tracked("v")), -EALREADY);
	plait_deferred_free(&d);
	ck_assert_ptr_null(d);
	d = make(&p);
	plait_deferred_detach(&d);
	ck_assert_ptr_null(d);
}

SCRIPT(without_memory_succeed_frees_its_value_and_fails, PURE,
       "refuse 0 { fired d ~v }; show d", "~v d=NoMemoryError")

SCRIPT(no_memory_deferred_may_be_waited_for_and_chained, PURE,
       "new outer; new last; both outer = inner; refuse_all 0 { fired inner "
       "none; fire outer none; fired d none; chain d last }; show outer; show "
       "last",
       "outer=NoMemoryError last=NoMemoryError")

SCRIPT(without_memory_for_a_pair_it_runs_at_once_out_of_turn, PURE,
       "new d; both d a; both d b; both d c; both d d; refuse 0 { both d x = "
       "~v } | fire d 1",
       "x:NoMemoryError ~v | a:1 b:1 c:1 d:1")

SCRIPT(without_memory_for_a_chain_step_the_promise_fails, PURE,
       "new d; new last; both d a; both d b; both d c; both d d; refuse 0 { "
       "chain d last }; show last | fire d none",
       "last=NoMemoryError | a:none b:none c:none d:none")

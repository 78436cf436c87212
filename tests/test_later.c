/*
 * Deferreds and time: timeouts in every state of the chain, and deferreds
 * that fire later.
 */
#include <math.h>

#include "tests/child.h"
#include "tests/steps.h"
#include "tests/timed.h"

static struct plait_promise *promise;

static struct plait_deferred *make(void)
{
	return plait_deferred_new(&promise, NULL, NULL);
}

/* The same, with a canceller that does and answers what the step says. */
static struct plait_deferred *make_cancellable(struct step *s)
{
	return plait_deferred_new(&promise, step_canceller, s);
}

static plait_value error(const char *message)
{
	return plait_fail(&plait_error_any, "%s", message);
}

/* Adds a step that answers with that inner deferred. */
static void then_wait_for(struct plait_deferred *d, struct step *s,
			  struct plait_deferred **inner)
{
	*s = (struct step){ .inner = *inner };
	*inner = NULL;
	plait_deferred_add_both(d, step, s);
}

static void add_timeout(struct plait_deferred *d, double seconds)
{
	ck_assert_ptr_eq(plait_deferred_add_timeout(d, reactor, seconds), d);
}

static void done_with(struct plait_deferred **d)
{
	handle_all(*d);
	plait_deferred_free(d);
	plait_promise_drop(&promise);
}

/* ---- timeouts: what comes of them ----------------------------------- */

GROUP("results", .setup = steps_setup);

TEST(time_that_is_up_cancels_and_becomes_timeout_error, ON_EACH_REACTOR)
{
	struct step c = { .name = "c" };
	struct plait_deferred *d;

	timed_start();
	d = make_cancellable(&c);
	add_timeout(d, 2.5);
	pass_both(d, "a");
	advance(2.4);
	ck_assert_str_eq(trace(), "");
	advance(0.2);
	ck_assert_str_eq(trace(), "!c a:TimeoutError: no result in 2.5 s");
	done_with(&d);
}

TEST(the_timeout_says_where_and_why, ON_EACH_REACTOR)
{
	const struct plait_failure *f;
	struct plait_deferred *d;
	int line = __LINE__ + 7;
	char where[64];

	timed_start();
	snprintf(where, sizeof(where), "tests/test_later.c:%d", line);
	d = make();
	add_timeout(d, 9);
	plait_deferred_add_timeout(d, reactor, 1);
	pass_both(d, "a");
	advance(1.1);
	f = plait_value_failure(plait_deferred_result(d));
	ck_assert_str_eq(plait_failure_where(f), where);
	f = plait_failure_cause(f);
	ck_assert(plait_failure_check(f, &plait_error_cancelled));
	ck_assert_str_eq(plait_failure_cancelled_at(f), where);
	ck_assert_str_eq(plait_failure_reason(f), "timeout");
	done_with(&d);
}

TEST(a_result_in_time_stops_the_timer, ON_EACH_REACTOR)
{
	struct plait_deferred *d;
	unsigned long held;

	timed_start();
	held = heap_live();
	d = make();
	add_timeout(d, 1);
	pass_both(d, "a");
	plait_fire(&promise, plait_int(1));
	ck_assert_uint_eq(heap_live(), held + 1);
	advance(2);
	ck_assert_str_eq(trace(), "a:1");
	done_with(&d);
}

TEST(cancelled_by_somebody_else_stays_cancelled, ON_EACH_REACTOR)
{
	struct plait_deferred *d;

	timed_start();
	d = make();
	add_timeout(d, 1);
	pass_both(d, "a");
	plait_deferred_cancel_because(d, "bored");
	advance(2);
	ck_assert_str_eq(trace(), "a:CancelledError");
	done_with(&d);
}

TEST(late_result_is_freed, ON_EACH_REACTOR)
{
	struct plait_deferred *d;

	timed_start();
	d = make();
	add_timeout(d, 1);
	pass_both(d, "a");
	advance(2);
	ck_assert_int_eq(plait_fire(&promise, tracked("late")), -ECANCELED);
	ck_assert_str_eq(trace(), "a:TimeoutError: no result in 1 s ~late");
	done_with(&d);
}

static plait_value on_cancel(plait_value *result, double seconds, void *arg)
{
	char text[64];

	plait_value_str(result, text, sizeof(text));
	trace_add("t after %g:%s", seconds, text);
	return plait_int(7);
}

TEST(on_cancel_takes_the_place_of_converting, ON_EACH_REACTOR)
{
	struct plait_deferred *d;

	timed_start();
	d = make();
	plait_deferred_add_timeout_with(d, reactor, 1, on_cancel, NULL);
	pass_both(d, "a");
	advance(2);
	ck_assert_str_eq(trace(), "t after 1:CancelledError a:7");
	done_with(&d);
}

TEST(on_cancel_is_not_called_for_anothers_cancel, ON_EACH_REACTOR)
{
	struct plait_deferred *d;

	timed_start();
	d = make();
	plait_deferred_add_timeout_with(d, reactor, 1, on_cancel, NULL);
	pass_both(d, "a");
	plait_deferred_cancel(d);
	advance(2);
	ck_assert_str_eq(trace(), "a:CancelledError");
	done_with(&d);
}

TEST(on_cancel_gets_the_value_of_a_canceller, ON_EACH_REACTOR)
{
	struct step c = { .name = "c",
			  .answers = true,
			  .answer = plait_int(3) };
	struct plait_deferred *d;

	timed_start();
	d = make_cancellable(&c);
	plait_deferred_add_timeout_with(d, reactor, 1, on_cancel, NULL);
	advance(2);
	ck_assert_str_eq(trace(), "!c t after 1:3");
	done_with(&d);
}

TEST(value_of_a_canceller_is_the_result, ON_EACH_REACTOR)
{
	struct step c = { .name = "c",
			  .answers = true,
			  .answer = plait_int(3) };
	struct plait_deferred *d;

	timed_start();
	d = make_cancellable(&c);
	add_timeout(d, 1);
	pass_both(d, "a");
	advance(2);
	ck_assert_str_eq(trace(), "!c a:3");
	done_with(&d);
}

TEST(other_failure_of_a_canceller_is_not_converted, ON_EACH_REACTOR)
{
	struct step c = { .name = "c",
			  .answers = true,
			  .answer = error("broken") };
	struct plait_deferred *d;

	timed_start();
	d = make_cancellable(&c);
	add_timeout(d, 1);
	pass_both(d, "a");
	advance(2);
	ck_assert_str_eq(trace(), "!c a:Error: broken");
	done_with(&d);
}

TEST(cancellation_of_a_canceller_itself_is_converted, ON_EACH_REACTOR)
{
	struct step c = { .name = "c",
			  .answers = true,
			  .answer = plait_fail(&plait_error_cancelled, "c") };
	struct plait_deferred *d;

	timed_start();
	d = make_cancellable(&c);
	add_timeout(d, 1);
	pass_both(d, "a");
	advance(2);
	ck_assert_str_eq(trace(), "!c a:TimeoutError: no result in 1 s");
	done_with(&d);
}

TEST(errback_before_it_may_swallow_the_cancellation, ON_EACH_REACTOR)
{
	struct step s = { .name = "s",
			  .answers = true,
			  .answer = plait_int(5) };
	struct plait_deferred *d;

	timed_start();
	d = make();
	plait_deferred_add_errback(d, step, &s);
	add_timeout(d, 1);
	pass_both(d, "a");
	advance(2);
	ck_assert_str_eq(trace(), "s:CancelledError a:5");
	done_with(&d);
}

TEST(what_is_waited_for_is_cancelled, ON_EACH_REACTOR)
{
	struct step c = { .name = "c" }, s;
	struct plait_deferred *inner, *d;

	timed_start();
	inner = make_cancellable(&c);
	d = plait_succeed(PLAIT_NONE);
	then_wait_for(d, &s, &inner);
	add_timeout(d, 1);
	pass_both(d, "a");
	advance(2);
	ck_assert_str_eq(trace(), "!c a:TimeoutError: no result in 1 s");
	done_with(&d);
}

TEST(what_is_added_after_it_has_no_timeout, ON_EACH_REACTOR)
{
	struct plait_promise *p;
	struct plait_deferred *inner = plait_deferred_new(&p, NULL, NULL), *d;
	struct step s;

	timed_start();
	d = make();
	add_timeout(d, 1);
	then_wait_for(d, &s, &inner);
	pass_both(d, "a");
	plait_fire(&promise, PLAIT_NONE);
	advance(5);
	ck_assert_str_eq(trace(), "");
	plait_fire(&p, plait_int(1));
	ck_assert_str_eq(trace(), "a:1");
	done_with(&d);
}

TEST(fired_one_needs_no_timer, ON_EACH_REACTOR)
{
	struct plait_deferred *d;
	unsigned long held;

	timed_start();
	d = plait_succeed(plait_int(1));
	held = heap_live();
	add_timeout(d, 0);
	ck_assert_uint_eq(heap_live(), held);
	advance(1);
	pass_both(d, "a");
	ck_assert_str_eq(trace(), "a:1");
	done_with(&d);
}

TEST(endless_timeout_never_comes, ON_EACH_REACTOR)
{
	struct plait_deferred *d;

	timed_start();
	d = make();
	add_timeout(d, INFINITY);
	pass_both(d, "a");
	advance(1e9);
	ck_assert_str_eq(trace(), "");
	plait_fire(&promise, plait_int(1));
	done_with(&d);
}

static void with_negative_timeout(void *arg)
{
	struct plait_deferred *d = make();

	plait_deferred_add_timeout(d, reactor, -1);
}

TEST(negative_timeout_aborts, ON_EACH_REACTOR)
{
	timed_start();
	assert_aborts(with_negative_timeout, NULL, "seconds >= 0");
}

/* ---- timeouts: who comes first -------------------------------------- */

static void fire(void *arg)
{
	trace_add("fire=%d", plait_fire(&promise, tracked("r")));
}

GROUP("states", .setup = steps_setup);

TEST(result_in_the_same_turn_wins_if_it_is_first, ON_EACH_REACTOR)
{
	struct plait_timer t = { 0 };
	struct plait_deferred *d;

	timed_start();
	d = make();
	plait_timer_start(reactor, &t, 1, fire, NULL);
	add_timeout(d, 1);
	pass_both(d, "a");
	advance(1.1);
	ck_assert_str_eq(trace(), "a:r fire=0");
	done_with(&d);
}

TEST(timeout_in_the_same_turn_wins_if_it_is_first, ON_EACH_REACTOR)
{
	struct plait_timer t = { 0 };
	struct plait_deferred *d;

	timed_start();
	d = make();
	add_timeout(d, 1);
	plait_timer_start(reactor, &t, 1, fire, NULL);
	pass_both(d, "a");
	advance(1.1);
	ck_assert_str_eq(trace(), "a:TimeoutError: no result in 1 s ~r "
				  "fire=-125");
	done_with(&d);
}

TEST(of_two_the_shorter_converts, ON_EACH_REACTOR, TIMES(2))
{
	struct plait_deferred *d;

	timed_start();
	d = make();
	add_timeout(d, _i ? 1 : 2);
	add_timeout(d, _i ? 2 : 1);
	pass_both(d, "a");
	advance(3);
	ck_assert_str_eq(trace(), "a:TimeoutError: no result in 1 s");
	done_with(&d);
}

TEST(an_inner_and_an_outer_timeout_are_told_apart, ON_EACH_REACTOR, TIMES(2))
{
	struct plait_deferred *inner, *d;
	struct step s;

	timed_start();
	inner = make();
	add_timeout(inner, _i ? 1 : 2);
	pass_both(inner, "i");
	d = plait_succeed(PLAIT_NONE);
	then_wait_for(d, &s, &inner);
	add_timeout(d, _i ? 2 : 1);
	pass_both(d, "a");
	advance(3);
	ck_assert_str_eq(trace(), _i ? "i:TimeoutError: no result in 1 s "
				       "a:TimeoutError: no result in 1 s"
				     : "i:CancelledError "
				       "a:TimeoutError: no result in 1 s");
	done_with(&d);
}

/* ---- timeouts: paused, freed, detached, taken ----------------------- */

TEST(paused_one_times_out_and_tells_when_unpaused, ON_EACH_REACTOR)
{
	struct plait_deferred *d;

	timed_start();
	d = make();
	add_timeout(d, 1);
	pass_both(d, "a");
	plait_deferred_pause(d);
	advance(5);
	ck_assert(plait_deferred_is_fired(d));
	ck_assert_str_eq(trace(), "");
	plait_deferred_unpause(d);
	ck_assert_str_eq(trace(), "a:TimeoutError: no result in 1 s");
	done_with(&d);
}

TEST(paused_with_its_result_it_does_not_time_out, ON_EACH_REACTOR, TIMES(2))
{
	struct plait_deferred *d;

	timed_start();
	d = make();
	add_timeout(d, 1);
	pass_both(d, "a");
	plait_deferred_pause(d);
	if (_i)
		plait_deferred_cancel(d);
	else
		plait_fire(&promise, plait_int(1));
	advance(5);
	plait_deferred_unpause(d);
	ck_assert_str_eq(trace(), _i ? "a:CancelledError" : "a:1");
	done_with(&d);
}

TEST(on_cancel_is_not_called_for_what_came_in_time, ON_EACH_REACTOR)
{
	struct plait_deferred *d;

	timed_start();
	d = make();
	plait_deferred_add_timeout_with(d, reactor, 1, on_cancel, NULL);
	pass_both(d, "a");
	plait_deferred_pause(d);
	plait_fire(&promise, plait_int(1));
	advance(5);
	plait_deferred_unpause(d);
	ck_assert_str_eq(trace(), "a:1");
	done_with(&d);
}

TEST(what_it_waits_for_once_unpaused_is_cancelled_in_time, ON_EACH_REACTOR)
{
	struct step c = { .name = "c" }, s;
	struct plait_deferred *inner, *d;

	timed_start();
	inner = make_cancellable(&c);
	d = plait_succeed(PLAIT_NONE);
	plait_deferred_pause(d);
	then_wait_for(d, &s, &inner);
	add_timeout(d, 2);
	pass_both(d, "a");
	advance(3);
	plait_deferred_unpause(d);
	ck_assert_str_eq(trace(), "");
	advance(2);
	ck_assert_str_eq(trace(), "!c a:TimeoutError: no result in 2 s");
	done_with(&d);
}

TEST(paused_and_freed_it_is_over, ON_EACH_REACTOR, TIMES(2))
{
	struct plait_deferred *d;
	unsigned long held;

	timed_start();
	held = heap_live();
	d = make();
	add_timeout(d, 1);
	pass_both(d, "a");
	plait_deferred_pause(d);
	if (_i)
		advance(2);
	plait_deferred_free(&d);
	plait_promise_drop(&promise);
	ck_assert_uint_eq(heap_live(), held);
	advance(5);
	ck_assert_str_eq(trace(), "");
	unhandled_expect((unsigned)_i); /* what nobody will see */
}

TEST(freed_one_is_cancelled_and_not_timed_out, ON_EACH_REACTOR)
{
	struct plait_deferred *d;

	timed_start();
	d = make();
	add_timeout(d, 1);
	pass_both(d, "a");
	plait_deferred_free(&d);
	plait_promise_drop(&promise);
	advance(5);
	ck_assert_str_eq(trace(), "a:CancelledError");
}

TEST(detached_one_times_out, ON_EACH_REACTOR)
{
	struct plait_deferred *d;

	timed_start();
	d = make();
	add_timeout(d, 1);
	plait_deferred_detach(&d);
	advance(5);
	ck_assert_str_eq(unhandled_text(), "TimeoutError: no result in 1 s");
	unhandled_expect(1);
	plait_promise_drop(&promise);
}

TEST(taken_by_a_list_it_times_out_alone, ON_EACH_REACTOR)
{
	struct plait_deferred *members[2], *d;
	struct plait_promise *p;

	timed_start();
	members[0] = make();
	members[1] = plait_deferred_new(&p, NULL, NULL);
	add_timeout(members[0], 1);
	d = plait_gather(members, 2, PLAIT_CONSUME_ERRORS);
	pass_both(d, "a");
	advance(2);
	ck_assert_ptr_nonnull(strstr(trace(), "a:FirstError"));
	ck_assert_ptr_nonnull(strstr(trace(), "no result in 1 s"));
	done_with(&d);
	plait_promise_drop(&p);
}

TEST(a_list_times_out_as_a_whole, ON_EACH_REACTOR)
{
	struct step c = { .name = "c" };
	struct plait_deferred *members[2], *d;

	timed_start();
	members[0] = make_cancellable(&c);
	members[1] = plait_succeed(PLAIT_NONE);
	d = plait_gather(members, 2, PLAIT_CONSUME_ERRORS);
	add_timeout(d, 1);
	pass_both(d, "a");
	advance(2);
	ck_assert_str_eq(trace(), "!c a:TimeoutError: no result in 1 s");
	done_with(&d);
}

TEST(a_race_of_timeouts_is_won_by_who_answers, ON_EACH_REACTOR)
{
	struct plait_deferred *members[2], *d;
	struct plait_promise *p;

	timed_start();
	members[0] = make();
	members[1] = plait_deferred_new(&p, NULL, NULL);
	add_timeout(members[0], 1);
	add_timeout(members[1], 1);
	d = plait_race(members, 2);
	advance(0.5);
	plait_fire(&p, plait_int(1));
	advance(5);
	ck_assert_uint_eq(plait_value_indexed(plait_deferred_result(d))->index,
			  1);
	done_with(&d);
}

TEST(chained_to_a_promise_it_times_out_for_that, ON_EACH_REACTOR)
{
	struct plait_promise *p;
	struct plait_deferred *next = plait_deferred_new(&p, NULL, NULL), *d;

	timed_start();
	d = make();
	add_timeout(d, 1);
	plait_deferred_chain(d, &p);
	plait_deferred_detach(&d);
	pass_both(next, "a");
	advance(2);
	ck_assert_str_eq(trace(), "a:TimeoutError: no result in 1 s");
	done_with(&next);
}

TEST(freed_inside_the_timeout_it_is_over, ON_EACH_REACTOR)
{
	struct step s = { .act = act_free, .answers = true };
	struct plait_deferred *d;

	timed_start();
	d = s.d = make();
	plait_deferred_add_errback(d, step, &s);
	add_timeout(d, 1);
	pass_both(d, "never");
	advance(5);
	ck_assert_ptr_null(s.d);
	ck_assert_str_eq(trace(), "");
	plait_promise_drop(&promise);
}

static plait_value free_it(plait_value *result, double seconds, void *arg)
{
	plait_deferred_free(arg);
	return PLAIT_NONE;
}

TEST(freed_in_on_cancel_it_is_over, ON_EACH_REACTOR)
{
	struct plait_deferred *d;

	timed_start();
	d = make();
	plait_deferred_add_timeout_with(d, reactor, 1, free_it, &d);
	pass_both(d, "never");
	advance(5);
	ck_assert_ptr_null(d);
	ck_assert_str_eq(trace(), "");
	plait_promise_drop(&promise);
}

TEST(a_reactor_that_is_freed_times_nothing_out, ON_EACH_REACTOR)
{
	struct plait_deferred *d;

	timed_start();
	d = make();
	add_timeout(d, 1);
	pass_both(d, "a");
	unhandled_expect(1);
	plait_reactor_free(&reactor);
	ck_assert_str_eq(trace(), "");
	plait_fire(&promise, plait_int(1));
	ck_assert_str_eq(trace(), "a:1");
	done_with(&d);
}

/* ---- timeouts: chains that go on nevertheless ----------------------- */

enum { N_ANSWERS = 3 };

static struct step answers[N_ANSWERS];
static struct step cancellers[N_ANSWERS];
static struct plait_promise *promises[N_ANSWERS];

/* Each cancel of d is answered with another deferred, three times. */
static struct plait_deferred *make_stubborn(void)
{
	struct plait_deferred *d = make();

	for (int i = 0; i < N_ANSWERS; i++) {
		cancellers[i] = (struct step){ .name = "c" };
		answers[i] =
			(struct step){ .inner = plait_deferred_new(
					       &promises[i], step_canceller,
					       &cancellers[i]) };
		plait_deferred_add_errback(d, step, &answers[i]);
	}
	return d;
}

static void done_with_stubborn(struct plait_deferred **d)
{
	done_with(d);
	for (int i = 0; i < N_ANSWERS; i++) {
		plait_deferred_free(&answers[i].inner);
		plait_promise_drop(&promises[i]);
	}
}

GROUP("stubborn", .setup = steps_setup);

TEST(the_answer_to_a_timeout_is_cancelled_in_its_turn, ON_EACH_REACTOR)
{
	struct plait_deferred *d;

	timed_start();
	d = make_stubborn();
	add_timeout(d, 2);
	pass_both(d, "a");
	advance(2.1);
	ck_assert_str_eq(trace(), "");
	advance(2);
	ck_assert_str_eq(trace(), "!c");
	advance(2);
	ck_assert_str_eq(trace(), "!c !c");
	advance(2);
	ck_assert_str_eq(trace(), "!c !c !c a:TimeoutError: no result in 2 s");
	done_with_stubborn(&d);
}

TEST(short_timeouts_cancel_once_a_second, ON_EACH_REACTOR)
{
	struct plait_deferred *d;

	timed_start();
	d = make_stubborn();
	add_timeout(d, 0);
	pass_both(d, "a");
	advance(0.9);
	ck_assert_str_eq(trace(), "");
	advance(1);
	ck_assert_str_eq(trace(), "!c");
	advance(1);
	advance(1);
	ck_assert_str_eq(trace(), "!c !c !c a:TimeoutError: no result in 0 s");
	done_with_stubborn(&d);
}

TEST(the_answer_to_a_timeout_may_come, ON_EACH_REACTOR)
{
	struct plait_deferred *d;

	timed_start();
	d = make_stubborn();
	add_timeout(d, 2);
	pass_both(d, "a");
	advance(3);
	plait_fire(&promises[0], plait_int(1));
	ck_assert_str_eq(trace(), "a:1");
	advance(9);
	done_with_stubborn(&d);
}

TEST(anothers_cancel_after_the_timeout_stays_a_cancellation, ON_EACH_REACTOR)
{
	struct plait_promise *p;
	struct plait_deferred *d;

	timed_start();
	d = make();
	answers[0] =
		(struct step){ .inner = plait_deferred_new(&p, NULL, NULL) };
	plait_deferred_add_errback(d, step, &answers[0]);
	add_timeout(d, 2);
	pass_both(d, "a");
	advance(3);
	plait_deferred_cancel(d);
	ck_assert_str_eq(trace(), "a:CancelledError");
	done_with(&d);
	plait_promise_drop(&p);
}

TEST(freeing_after_the_timeout_reports_nothing, ON_EACH_REACTOR)
{
	struct plait_deferred *d;

	timed_start();
	d = make_stubborn();
	add_timeout(d, 2);
	advance(3);
	plait_deferred_free(&d);
	ck_assert_uint_eq(unhandled_count(), 0);
	advance(9);
	d = plait_succeed(PLAIT_NONE);
	done_with_stubborn(&d);
}

/* ---- timeouts: no memory -------------------------------------------- */

TEST(without_memory_it_is_cancelled_at_once, ON_EACH_REACTOR)
{
	const struct plait_failure *f;
	struct plait_deferred *d;

	timed_start();
	d = make();
	fault_alloc_at(0, false);
	add_timeout(d, 1);
	ck_assert(fault_alloc_reached());
	f = plait_value_failure(plait_deferred_result(d));
	ck_assert(plait_failure_check(f, &plait_error_cancelled));
	ck_assert_str_eq(plait_failure_reason(f), "no memory for its timeout");
	done_with(&d);
}

TEST(without_memory_for_its_pair_it_is_cancelled_at_once, ON_EACH_REACTOR)
{
	struct plait_deferred *d;
	unsigned long held;

	timed_start();
	d = make();
	for (int i = 0; i < 4; i++)
		pass_both(d, "a");
	held = heap_live();
	fault_alloc_at(1, false);
	add_timeout(d, 1);
	ck_assert(fault_alloc_reached());
	ck_assert(plait_deferred_is_fired(d));
	ck_assert_uint_eq(heap_live(), held);
	advance(3);
	done_with(&d);
}

static void time_out_and_wait(struct plait_reactor *r)
{
	struct plait_deferred *inner = make(), *d;
	struct step s;
	double now = plait_reactor_seconds(r);

	d = plait_defer_later(r, 1, NULL, NULL);
	then_wait_for(d, &s, &inner);
	plait_deferred_add_timeout(d, r, 2);
	while (plait_reactor_seconds(r) < now + 3)
		plait_reactor_iterate(r, 0.5);
	if (!torture_faulty())
		ck_assert(plait_failure_check(
			plait_value_failure(plait_deferred_result(d)),
			&plait_error_timeout));
	handle_all(d);
	plait_deferred_free(&d);
	plait_deferred_free(&s.inner);
	plait_promise_drop(&promise);
}

TEST(survives_without_memory, ON_EACH_BACKEND)
{
	torture(time_out_and_wait, backend);
}

/* ---- later ---------------------------------------------------------- */

static plait_value begin(void *arg)
{
	return step(&(plait_value){ NULL, NULL }, arg);
}

GROUP("later", .setup = steps_setup);

TEST(fires_later_with_what_the_function_returns, ON_EACH_REACTOR, TIMES(2))
{
	struct step s = { .name = "f",
			  .answers = true,
			  .answer = _i ? error("e") : plait_int(1) };
	struct plait_deferred *d;

	timed_start();
	d = plait_defer_later(reactor, 1, begin, &s);
	pass_both(d, "a");
	advance(0.9);
	ck_assert_str_eq(trace(), "");
	advance(0.2);
	ck_assert_str_eq(trace(), _i ? "f:none a:Error: e" : "f:none a:1");
	done_with(&d);
}

TEST(fires_later_with_none_without_a_function, ON_EACH_REACTOR)
{
	struct plait_deferred *d;

	timed_start();
	d = plait_defer_later(reactor, 0, NULL, NULL);
	pass_both(d, "a");
	ck_assert_str_eq(trace(), "");
	advance(0);
	ck_assert_str_eq(trace(), "a:none");
	done_with(&d);
}

/* The states of a later call, and what is done to it. */
enum state { WAITING, PAUSED, FIRED_AND_PAUSED, BEGUN, N_STATES };
enum action { CANCEL, FREE, DETACH, FREE_REACTOR, N_ACTIONS };

static struct plait_deferred *later_in(enum state state, struct step *f,
				       struct step *c)
{
	struct plait_deferred *d;

	*c = (struct step){ .name = "c" };
	*f = (struct step){ .name = "f", .inner = make_cancellable(c) };
	d = plait_defer_later(reactor, 1, begin, f);
	pass_both(d, "a");
	if (state == PAUSED || state == FIRED_AND_PAUSED)
		plait_deferred_pause(d);
	if (state == FIRED_AND_PAUSED || state == BEGUN)
		advance(2);
	return d;
}

static void do_to(struct plait_deferred **d, enum state state,
		  enum action action)
{
	switch (action) {
	case CANCEL:
		plait_deferred_cancel(*d);
		break;
	case FREE:
		plait_deferred_free(d);
		break;
	case DETACH:
		handle_all(*d);
		plait_deferred_detach(d);
		break;
	default:
		/* The promise of what f answers with, and d, which is kept. */
		unhandled_expect(state == FIRED_AND_PAUSED ? 2 : 1);
		plait_reactor_free(&reactor);
	}
}

static const char *const comes[N_STATES][N_ACTIONS] = {
	[WAITING] = { "a:CancelledError", "a:CancelledError",
		      "f:none !c a:CancelledError",
		      "a:AbandonedError: promise dropped" },
	[PAUSED] = { "", "", "f:none !c a:CancelledError", "" },
	[FIRED_AND_PAUSED] = { "", "", "f:none !c a:CancelledError", "" },
	[BEGUN] = { "f:none !c a:CancelledError", "f:none !c a:CancelledError",
		    "f:none !c a:CancelledError", "f:none" },
};

TEST(every_state_and_every_action, ON_EACH_REACTOR,
     EACH_PAIR(N_STATES, N_ACTIONS))
{
	enum state state = _i / N_ACTIONS;
	enum action action = _i % N_ACTIONS;
	struct plait_deferred *d;
	struct step f, c;

	timed_start();
	d = later_in(state, &f, &c);
	do_to(&d, state, action);
	if (action != FREE_REACTOR)
		advance(5);
	if (action == DETACH) {
		/* Then what f has begun is still to come. */
		ck_assert_str_eq(trace(), "f:none");
		plait_fire(&promise, plait_int(1));
		ck_assert_str_eq(trace(), "f:none a:1");
	} else {
		ck_assert_str_eq(trace(), comes[state][action]);
	}
	if (d != NULL) {
		if (state == PAUSED || state == FIRED_AND_PAUSED)
			plait_deferred_unpause(d);
		handle_all(d);
		plait_deferred_free(&d);
	}
	plait_deferred_free(&f.inner);
	plait_promise_drop(&promise);
}

TEST(detached_from_a_reactor_that_is_freed_nothing_is_left, ON_EACH_REACTOR)
{
	struct plait_deferred *d;

	timed_start();
	d = plait_defer_later(reactor, 1, NULL, NULL);
	pass_both(d, "a");
	handle_all(d);
	plait_deferred_detach(&d);
	plait_reactor_free(&reactor);
	ck_assert_str_eq(trace(), "a:AbandonedError: promise dropped");
}

static plait_value once_more(plait_value *result, void *arg)
{
	struct plait_deferred *d;

	if (++*(int *)arg > 2)
		return PLAIT_NONE;
	d = plait_defer_later(reactor, 1, NULL, NULL);
	plait_deferred_add_errback(d, once_more, arg);
	return plait_chain(&d);
}

static struct plait_reactor *going;

static plait_value once_more_on_what_goes(plait_value *result, void *arg)
{
	struct plait_deferred *d;

	if (++*(int *)arg > 2)
		return PLAIT_NONE;
	d = plait_defer_later(going, 1, NULL, NULL);
	plait_deferred_add_errback(d, once_more_on_what_goes, arg);
	return plait_chain(&d);
}

TEST(begun_while_the_reactor_is_freed_it_fails_too, ON_EACH_REACTOR)
{
	struct plait_deferred *d;
	int n = 0;

	timed_start();
	going = reactor;
	d = plait_defer_later(reactor, 1, NULL, NULL);
	plait_deferred_add_errback(d, once_more_on_what_goes, &n);
	plait_deferred_detach(&d);
	plait_reactor_free(&reactor);
	ck_assert_int_eq(n, 3);
}

static void stop_it(void *arg)
{
	plait_reactor_stop(arg);
}

TEST(a_reactor_that_stops_lets_it_wait, ON_EACH_REACTOR)
{
	struct plait_deferred *d;
	int n = 0;

	timed_start();
	d = plait_defer_later(reactor, 1, NULL, NULL);
	plait_deferred_add_errback(d, once_more, &n);
	pass_both(d, "a");
	plait_call_when_running(reactor, stop_it, reactor);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_int_eq(n, 0);
	advance(2);
	ck_assert_str_eq(trace(), "a:none");
	done_with(&d);
}

static plait_value free_own(void *arg)
{
	plait_deferred_free(arg);
	return plait_int(1);
}

TEST(freed_by_its_own_function_it_is_over, ON_EACH_REACTOR)
{
	struct plait_deferred *d;

	timed_start();
	d = plait_defer_later(reactor, 1, free_own, &d);
	pass_both(d, "never");
	advance(2);
	ck_assert_ptr_null(d);
	ck_assert_str_eq(trace(), "");
}

TEST(later_without_memory_has_failed, ON_EACH_REACTOR, TIMES(2))
{
	struct plait_deferred *d;

	timed_start();
	fault_alloc_at((unsigned)_i, false);
	d = plait_defer_later(reactor, 1, NULL, NULL);
	ck_assert(fault_alloc_reached());
	ck_assert(plait_failure_check(
		plait_value_failure(plait_deferred_result(d)),
		&plait_error_no_memory));
	advance(2);
	done_with(&d);
}

/*
 * Deferreds and time: timeouts in every state of the chain, and deferreds
 * that fire later.
 */
#include "tests/child.h"
#include "tests/script.h"
#include "tests/timed.h"

static struct plait_promise *promise;

static struct plait_deferred *make(void)
{
	return plait_deferred_new(&promise, NULL, NULL);
}

/* Adds a step that answers with that inner deferred. */
static void then_wait_for(struct plait_deferred *d, struct step *s,
			  struct plait_deferred **inner)
{
	*s = (struct step){ .inner = *inner };
	*inner = NULL;
	plait_deferred_add_both(d, step, s);
}

static void done_with(struct plait_deferred **d)
{
	handle_all(*d);
	plait_deferred_free(d);
	plait_promise_drop(&promise);
}

/* The verbs of this suite. */
static void do_timeout(void)
{
	struct plait_deferred *d = script_known()->d;

	ck_assert_ptr_eq(plait_deferred_add_timeout(d, reactor, play_number()),
			 d);
}

static plait_value timed_out(plait_value *result, double seconds, void *cb)
{
	trace_add("after %g", seconds);
	return script_call(result, cb);
}

static void do_timeout_with(void)
{
	struct plait_deferred *d = script_known()->d;
	double seconds = play_number();

	plait_deferred_add_timeout_with(d, reactor, seconds, timed_out,
					script_callback());
}

static void do_later(void)
{
	struct script_part *part = script_part();
	double seconds = play_number();

	if (play_more())
		part->d = plait_defer_later(reactor, seconds, script_operation,
					    script_callback());
	else
		part->d = plait_defer_later(reactor, seconds, NULL, NULL);
}

static const struct play_verb verbs[] = {
	{ "timeout", do_timeout },	     /* D SECONDS */
	{ "timeout_with", do_timeout_with }, /* D SECONDS CALLBACK */
	{ "later", do_later },		     /* D SECONDS [CALLBACK] */
	{ NULL, NULL },
};

static void setup(void)
{
	steps_setup();
	play_words(verbs, NULL);
}

/* d answers each cancel with another deferred, three times. */
#define STUBBORN                                                               \
	"new d; new e !c; new f !c; new g !c; catch d = e; catch d = f; "      \
	"catch d = g; "

/* What d begins, is w. */
#define BEGIN "new w !c; later d 1 f = w; both d a; "

/* ---- timeouts: what comes of them ----------------------------------- */

GROUP("results", .setup = setup);

SCRIPT(time_that_is_up_cancels_and_becomes_timeout_error, ON_EACH_REACTOR,
       "new d !c; timeout d 2.5; both d a; advance 2.4 | advance 0.2",
       "| !c a:TimeoutError: no result in 2.5 s")

TEST(the_timeout_says_where_and_why, ON_EACH_REACTOR)
{
	const struct plait_failure *f;
	struct plait_deferred *d;
	int line = __LINE__ + 7;
	char where[64];

	timed_start();
	snprintf(where, sizeof(where), "tests/test_later.c:%d", line);
	d = make();
	plait_deferred_add_timeout(d, reactor, 9);
	plait_deferred_add_timeout(d, reactor, 1);
	pass_both(d, "a");
	advance(1.1);
	f = plait_value_failure(plait_deferred_result(d));
	ck_assert_str_eq(plait_failure_where(f), where);
	f = plait_failure_cause(f);
	ck_assert(plait_failure_check(f, &plait_error_cancelled));
	ck_assert_str_eq(plait_failure_cancel_where(f), where);
	ck_assert_str_eq(plait_failure_cancel_reason(f), "timeout");
	done_with(&d);
}

SCRIPT(a_result_in_time_stops_the_timer, ON_EACH_REACTOR,
       "heap 1 { new d; timeout d 1; both d a; fire d 1 } | advance 2", "a:1 |")

SCRIPT(cancelled_by_somebody_else_stays_cancelled, ON_EACH_REACTOR,
       "new d; timeout d 1; both d a; cancel d; advance 2", "a:CancelledError")

SCRIPT(late_result_is_freed, ON_EACH_REACTOR,
       "new d; timeout d 1; both d a; advance 2 | fire d ~late",
       "a:TimeoutError: no result in 1 s | ~late ECANCELED")

SCRIPT(on_cancel_takes_the_place_of_converting, ON_EACH_REACTOR,
       "new d; timeout_with d 1 t = 7; both d a; advance 2",
       "after 1 t:CancelledError a:7")

SCRIPT(on_cancel_is_not_called_for_anothers_cancel, ON_EACH_REACTOR,
       "new d; timeout_with d 1 t = 7; both d a; cancel d; advance 2",
       "a:CancelledError")

SCRIPT(on_cancel_gets_the_value_of_a_canceller, ON_EACH_REACTOR,
       "new d !c = 3; timeout_with d 1 t = 7; advance 2", "!c after 1 t:3")

SCRIPT(value_of_a_canceller_is_the_result, ON_EACH_REACTOR,
       "new d !c = 3; timeout d 1; both d a; advance 2", "!c a:3")

SCRIPT(other_failure_of_a_canceller_is_not_converted, ON_EACH_REACTOR,
       "new d !c = Error:broken; timeout d 1; both d a; advance 2",
       "!c a:Error: broken")

SCRIPT(cancellation_of_a_canceller_itself_is_converted, ON_EACH_REACTOR,
       "new d !c = Cancelled:c; timeout d 1; both d a; advance 2",
       "!c a:TimeoutError: no result in 1 s")

SCRIPT(errback_before_it_may_swallow_the_cancellation, ON_EACH_REACTOR,
       "new d; catch d s = 5; timeout d 1; both d a; advance 2",
       "s:CancelledError a:5")

SCRIPT(what_is_waited_for_is_cancelled, ON_EACH_REACTOR,
       "new e !c; waiting d e; timeout d 1; both d a; advance 2",
       "!c a:TimeoutError: no result in 1 s")

SCRIPT(what_is_added_after_it_has_no_timeout, ON_EACH_REACTOR,
       "new d; new e; timeout d 1; both d = e; both d a; fire d none; advance "
       "5 | fire e 1",
       "| a:1")

SCRIPT(fired_one_needs_no_timer, ON_EACH_REACTOR,
       "fired d 1; heap 0 { timeout d 0 }; advance 1; both d a", "a:1")

SCRIPT(endless_timeout_never_comes, ON_EACH_REACTOR,
       "new d; timeout d inf; both d a; advance 1e9 | fire d 1", "| a:1")

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

GROUP("states", .setup = setup);

SCRIPT(result_in_the_same_turn_wins_if_it_is_first, ON_EACH_REACTOR,
       "new d; after 1 { fire d ~r }; timeout d 1; both d a; advance 1.1",
       "a:r")

SCRIPT(timeout_in_the_same_turn_wins_if_it_is_first, ON_EACH_REACTOR,
       "new d; timeout d 1; after 1 { fire d ~r }; both d a; advance 1.1",
       "a:TimeoutError: no result in 1 s ~r ECANCELED")

SCRIPTS(of_two_the_shorter_converts, ON_EACH_REACTOR,
	{ "new d; timeout d 2; timeout d 1; both d a; advance 3",
	  "a:TimeoutError: no result in 1 s" },
	{ "new d; timeout d 1; timeout d 2; both d a; advance 3",
	  "a:TimeoutError: no result in 1 s" })

SCRIPTS(an_inner_and_an_outer_timeout_are_told_apart, ON_EACH_REACTOR,
	{ "new e; timeout e 2; both e i; waiting d e; timeout d 1; both d a; "
	  "advance 3",
	  "i:CancelledError a:TimeoutError: no result in 1 s" },
	{ "new e; timeout e 1; both e i; waiting d e; timeout d 2; both d a; "
	  "advance 3",
	  "i:TimeoutError: no result in 1 s a:TimeoutError: no result in 1 s" })

/* ---- timeouts: paused, freed, detached, taken ----------------------- */

SCRIPT(paused_one_times_out_and_tells_when_unpaused, ON_EACH_REACTOR,
       "new d; timeout d 1; both d a; pause d; advance 5; show d | unpause d",
       "d=CancelledError | a:TimeoutError: no result in 1 s")

SCRIPTS(paused_with_its_result_it_does_not_time_out, ON_EACH_REACTOR,
	{ "new d; timeout d 1; both d a; pause d; fire d 1; advance 5 | "
	  "unpause d",
	  "| a:1" },
	{ "new d; timeout d 1; both d a; pause d; cancel d; advance 5 | "
	  "unpause d",
	  "| a:CancelledError" })

SCRIPT(on_cancel_is_not_called_for_what_came_in_time, ON_EACH_REACTOR,
       "new d; timeout_with d 1 t = 7; both d a; pause d; fire d 1; advance 5 "
       "| unpause d",
       "| a:1")

SCRIPT(what_it_waits_for_once_unpaused_is_cancelled_in_time, ON_EACH_REACTOR,
       "new e !c; fired d none; pause d; both d = e; timeout d 2; both d a; "
       "advance 3; unpause d | advance 2",
       "| !c a:TimeoutError: no result in 2 s")

SCRIPTS(paused_and_freed_it_is_over, ON_EACH_REACTOR,
	{ "heap 0 { new d; timeout d 1; both d a; pause d; free d; drop d } | "
	  "advance 5",
	  "|" },
	{ "heap 0 { new d; timeout d 1; both d a; pause d; advance 2; free d; "
	  "drop d } | advance 5",
	  "?CancelledError |" })

SCRIPT(freed_one_is_cancelled_and_not_timed_out, ON_EACH_REACTOR,
       "new d; timeout d 1; both d a; free d | advance 5", "a:CancelledError |")

SCRIPT(detached_one_times_out, ON_EACH_REACTOR,
       "new d; timeout d 1; detach d; advance 5",
       "?TimeoutError: no result in 1 s")

SCRIPT(taken_by_a_list_it_times_out_alone, ON_EACH_REACTOR,
       "new m; new n; timeout m 1; gather d +consume m n; both d a; advance 2",
       "a:FirstError: member 0 failed: TimeoutError: no result in 1 s")

SCRIPT(a_list_times_out_as_a_whole, ON_EACH_REACTOR,
       "new m !c; fired n none; gather d +consume m n; timeout d 1; both d a; "
       "advance 2",
       "!c a:TimeoutError: no result in 1 s")

SCRIPT(a_race_of_timeouts_is_won_by_who_answers, ON_EACH_REACTOR,
       "new m; new n; timeout m 1; timeout n 1; race d m n; advance 0.5; fire "
       "n 1; advance 5; show d",
       "d=1: 1")

SCRIPT(chained_to_a_promise_it_times_out_for_that, ON_EACH_REACTOR,
       "new d; new next; timeout d 1; chain d next; detach d; both next a; "
       "advance 2",
       "a:TimeoutError: no result in 1 s")

SCRIPT(freed_inside_the_timeout_it_is_over, ON_EACH_REACTOR,
       "new d; catch d { free d } = none; timeout d 1; both d never; advance "
       "5; wanted d",
       "d unwanted")

SCRIPT(freed_in_on_cancel_it_is_over, ON_EACH_REACTOR,
       "new d; timeout_with d 1 t { free d } = none; both d never; advance 5",
       "after 1 t:CancelledError")

SCRIPT(a_reactor_that_is_freed_times_nothing_out, ON_EACH_REACTOR,
       "new d; timeout d 1; both d a; free_reactor | fire d 1",
       "?NeverFiredError | a:1")

/* ---- timeouts: chains that go on nevertheless ----------------------- */

enum { N_ANSWERS = 3 };

GROUP("stubborn", .setup = setup);

SCRIPT(the_answer_to_a_timeout_is_cancelled_in_its_turn, ON_EACH_REACTOR,
       STUBBORN
       "timeout d 2; both d a; advance 2.1 | advance 2 | advance 2 | advance 2",
       "| !c | !c | !c a:TimeoutError: no result in 2 s")

SCRIPT(short_timeouts_cancel_once_a_second, ON_EACH_REACTOR,
       STUBBORN
       "timeout d 0; both d a; advance 0.9 | advance 1 | advance 1; advance 1",
       "| !c | !c !c a:TimeoutError: no result in 0 s")

SCRIPT(the_answer_to_a_timeout_may_come, ON_EACH_REACTOR,
       STUBBORN "timeout d 2; both d a; advance 3 | fire e 1 | advance 9",
       "| a:1 |")

SCRIPT(anothers_cancel_after_the_timeout_stays_a_cancellation, ON_EACH_REACTOR,
       "new d; new e; catch d = e; timeout d 2; both d a; advance 3 | cancel d",
       "| a:CancelledError")

SCRIPT(freeing_after_the_timeout_reports_nothing, ON_EACH_REACTOR,
       STUBBORN "timeout d 2; advance 3 | free d | advance 9", "| !c !c |")

/* ---- timeouts: no memory -------------------------------------------- */

SCRIPT(without_memory_it_is_cancelled_at_once, ON_EACH_REACTOR,
       "new d; refuse 0 { timeout d 1 }; why d",
       "d=CancelledError(no memory for its timeout)")

SCRIPT(without_memory_for_its_pair_it_is_cancelled_at_once, ON_EACH_REACTOR,
       "new d; both d a; both d a; both d a; both d a; heap 0 { refuse 1 { "
       "timeout d 1 } }; show d; advance 3",
       "a:CancelledError a:CancelledError a:CancelledError a:CancelledError "
       "d=CancelledError")

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

GROUP("later", .setup = setup);

SCRIPTS(fires_later_with_what_the_function_returns, ON_EACH_REACTOR,
	{ "later d 1 f = 1; both d a; advance 0.9 | advance 0.2",
	  "| f:none a:1" },
	{ "later d 1 f = Error:e; both d a; advance 0.9 | advance 0.2",
	  "| f:none a:Error: e" })

SCRIPT(fires_later_with_none_without_a_function, ON_EACH_REACTOR,
       "later d 0; both d a | advance 0", "| a:none")

/*
 * A later call that waits, is paused, has fired and is paused, and has begun:
 * each is cancelled, freed, detached, and loses its reactor.
 */
SCRIPTS(every_state_and_every_action, ON_EACH_REACTOR,
	{ BEGIN "cancel d; advance 5", "a:CancelledError" },
	{ BEGIN "free d; advance 5", "a:CancelledError" },
	{ BEGIN "catch d = none; detach d; advance 5 | fire w 1",
	  "f:none | a:1" },
	{ BEGIN "free_reactor",
	  "a:AbandonedError: promise dropped ?NeverFiredError" },
	{ BEGIN "pause d; cancel d; advance 5 | unpause d",
	  "| a:CancelledError" },
	{ BEGIN "pause d; free d; advance 5", "" },
	{ BEGIN "pause d; catch d = none; detach d; advance 5 | fire w 1",
	  "f:none | a:1" },
	{ BEGIN "pause d; free_reactor | unpause d",
	  "?NeverFiredError | a:AbandonedError: promise dropped" },
	{ BEGIN "pause d; advance 2; cancel d; advance 5 | unpause d",
	  "| f:none" },
	{ BEGIN "pause d; advance 2; free d; advance 5", "" },
	{ BEGIN
	  "pause d; advance 2; catch d = none; detach d; advance 5 | fire w 1",
	  "f:none | a:1" },
	{ BEGIN "pause d; advance 2; free_reactor | unpause d",
	  "?NeverFiredError ?NeverFreedError | f:none" },
	{ BEGIN "advance 2; cancel d; advance 5",
	  "f:none !c a:CancelledError" },
	{ BEGIN "advance 2; free d; advance 5", "f:none !c a:CancelledError" },
	{ BEGIN "advance 2; catch d = none; detach d; advance 5 | fire w 1",
	  "f:none | a:1" },
	{ BEGIN "advance 2; free_reactor", "f:none ?NeverFiredError" })

SCRIPT(detached_from_a_reactor_that_is_freed_nothing_is_left, ON_EACH_REACTOR,
       "later d 1; both d a; catch d = none; detach d | free_reactor",
       "| a:AbandonedError: promise dropped")

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

SCRIPT(freed_by_its_own_function_it_is_over, ON_EACH_REACTOR,
       "later d 1 { free d } = 1; both d never; advance 2", "")

SCRIPTS(later_without_memory_has_failed, ON_EACH_REACTOR,
	{ "refuse 0 { later d 1 }; show d; advance 2", "d=NoMemoryError" },
	{ "refuse 1 { later d 1 }; show d; advance 2", "d=NoMemoryError" })

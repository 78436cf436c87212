/*
 * Delays that grow, and operations that are repeated until they succeed.
 */
#include <math.h>

#include "tests/child.h"
#include "tests/script.h"
#include "tests/timed.h"

/* What the retry of a script does: see the verbs. */
struct repeated {
	int failures, made, worth;
	struct script_callback *success;
};
static struct repeated repeated;

static plait_value fail_first(void *arg)
{
	trace_add("try");
	if (repeated.made++ < repeated.failures)
		return plait_fail(&plait_error_any, "no %d", repeated.made);
	return script_operation(repeated.success);
}

static bool is_worth_it(const struct plait_failure *why, unsigned attempts,
			void *arg)
{
	trace_add("%s after %u?", plait_failure_message(why), attempts);
	return (int)attempts < repeated.worth;
}

static void retry_with(unsigned max_attempts, int worth)
{
	struct script_part *part = script_part();
	struct plait_retry_options options = {
		.backoff = { .initial_delay = 0.5, .factor = 2, .jitter = -1 },
		.max_attempts = max_attempts,
		.should_retry = worth > 0 ? is_worth_it : NULL,
	};

	repeated = (struct repeated){ .failures = (int)play_number(),
				      .worth = worth };
	repeated.success = script_callback();
	part->d = plait_retry(reactor, fail_first, NULL, &options);
}

/* The verbs of this suite: after FAILURES attempts the CALLBACK is called. */
static void do_retry(void)
{
	retry_with(0, 0);
}

static void do_retry_thrice(void)
{
	retry_with(3, 0);
}

static void do_retry_if(void)
{
	retry_with(0, 2);
}

static void do_timeout(void)
{
	struct plait_deferred *d = script_known()->d;

	plait_deferred_add_timeout(d, reactor, play_number());
}

static const struct play_verb verbs[] = {
	{ "retry", do_retry },		     /* D FAILURES CALLBACK: no end */
	{ "retry_thrice", do_retry_thrice }, /* ... 3 attempts at most */
	{ "retry_if", do_retry_if },	     /* ... of which 1 is worth more */
	{ "timeout", do_timeout },	     /* D SECONDS */
	{ NULL, NULL },
};

static void setup(void)
{
	steps_setup();
	play_words(verbs, NULL);
}

/* ---- delays --------------------------------------------------------- */

GROUP("backoff");

TEST(delays_grow_up_to_the_maximum, ON_EACH_REACTOR)
{
	static const double wanted[] = { 1.5, 4.5, 10, 10 };
	struct plait_backoff b = {
		.initial_delay = 0.5, .max_delay = 10, .factor = 3, .jitter = -1
	};

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
			ck_assert_double_eq(plait_backoff_next(&b, reactor),
					    wanted[i]);
		plait_backoff_reset(&b);
	}
}

TEST(the_first_delay_obeys_the_maximum, ON_EACH_REACTOR)
{
	struct plait_backoff b = { .initial_delay = 60,
				   .max_delay = 10,
				   .jitter = -1 };

	ck_assert_double_eq(plait_backoff_next(&b, reactor), 10);
}

TEST(a_zeroed_backoff_has_the_numbers_of_twisted, ON_EACH_REACTOR)
{
	struct plait_backoff b = { .jitter = -1 };

	ck_assert_double_eq_tol(plait_backoff_next(&b, reactor), exp(1), 1e-9);
	ck_assert_double_eq_tol(plait_backoff_next(&b, reactor), exp(2), 1e-9);
	for (int i = 0; i < 20; i++)
		plait_backoff_next(&b, reactor);
	ck_assert_double_eq(plait_backoff_next(&b, reactor), 3600);
}

/* Many clients whose jitter was computed wrongly must not come back at once. */
TEST(a_jitter_that_is_no_number_is_the_default, ON_EACH_REACTOR)
{
	struct plait_backoff b = { .jitter = NAN, .random = 9 };
	struct plait_backoff standard = { .random = 9 };

	for (int i = 0; i < 20; i++)
		ck_assert_double_eq(plait_backoff_next(&b, reactor),
				    plait_backoff_next(&standard, reactor));
}

TEST(jitter_stays_between_zero_and_the_maximum, ON_EACH_REACTOR)
{
	struct plait_backoff b = { .max_delay = 8, .jitter = 1, .random = 9 };
	double least = INFINITY, most = 0;

	for (int i = 0; i < 100000; i++) {
		double d = plait_backoff_next(&b, reactor);

		ck_assert(d >= 0 && d <= 8);
		least = d < least ? d : least;
		most = d > most ? d : most;
	}
	ck_assert(least < 1 && most > 7);
}

TEST(equal_seeds_give_equal_delays, ON_EACH_REACTOR)
{
	struct plait_backoff a = { .random = 7 }, b = a, c = { .random = 8 };
	int same = 0;

	for (int i = 0; i < 100; i++) {
		double d = plait_backoff_next(&a, reactor);

		ck_assert_double_eq(d, plait_backoff_next(&b, reactor));
		same += d == plait_backoff_next(&c, reactor);
	}
	ck_assert_int_lt(same, 2);
}

TEST(backoffs_without_seeds_do_not_move_in_step, ON_EACH_REACTOR)
{
	struct plait_backoff b[2] = { { .factor = 2 }, { .factor = 2 } };

	ck_assert_double_ne(plait_backoff_next(&b[0], reactor),
			    plait_backoff_next(&b[1], reactor));
}

/* ---- what comes of a retry ------------------------------------------ */

GROUP("results", .setup = setup);

SCRIPT(a_success_is_the_result, ON_EACH_REACTOR, "retry d 0 f = 5; both d a",
       "try f:none a:5")

SCRIPT(it_is_called_again_after_growing_delays, ON_EACH_REACTOR,
       "retry d 3 f = 5; both d a; advance 0.9 | advance 0.2 | advance 1.8 | "
       "advance 0.2 | advance 3.8 | advance 0.2",
       "try | try | | try | | try f:none a:5")

SCRIPT(an_attempt_is_waited_for, ON_EACH_REACTOR,
       "new w; retry d 1 f = w; both d a; advance 1.1 | fire w 3",
       "try try f:none | a:3")

SCRIPT(what_an_attempt_waits_for_may_fail, ON_EACH_REACTOR,
       "new w; retry_thrice d 2 f = w; both d a; advance 1.1; advance 2.1 | "
       "fire w Error:late",
       "try try try f:none | a:Error: gave up after 3 attempts, caused by "
       "Error: late")

SCRIPT(after_the_last_attempt_it_says_how_many, ON_EACH_REACTOR,
       "retry_thrice d 9 f = 5; both d a; advance 1.1 | advance 2.1",
       "try try | try a:Error: gave up after 3 attempts, caused by Error: no 3")

SCRIPT(a_failure_that_is_not_worth_it_is_the_result, ON_EACH_REACTOR,
       "retry_if d 9 f = 5; both d a; advance 1.1",
       "try no 1 after 1? try no 2 after 2? a:Error: no 2")

SCRIPTS(a_cancelled_attempt_is_not_repeated, ON_EACH_REACTOR,
	{ "retry d 0 f = Cancelled:x; both d a; advance 9",
	  "try f:none a:CancelledError: x" },
	{ "new w; retry d 0 f = w; both d a; cancel w; advance 9",
	  "try f:none a:CancelledError" })

static plait_value lost_at_last(void *arg)
{
	return plait_fail(&plait_error_connection_lost, "at last");
}

/* Tells when it begins.  Only the third attempt goes on for 10 seconds. */
static plait_value go_on_for_a_while(void *arg)
{
	double *began = arg;
	double now = plait_reactor_seconds(reactor);
	struct plait_deferred *d = plait_defer_later(
		reactor, repeated.made == 2 ? 10 : 9, lost_at_last, NULL);

	trace_add("%.0f", now - *began);
	*began = now;
	repeated.made++;
	return plait_chain(&d);
}

TEST(an_attempt_that_went_on_for_min_uptime_resets_the_delay, ON_EACH_REACTOR,
     TIMES(2))
{
	struct plait_retry_options options = {
		.backoff = { .initial_delay = 0.5, .factor = 2, .jitter = -1 },
	};
	double began = plait_reactor_seconds(reactor);
	struct plait_deferred *d;

	if (_i == 0)
		options.backoff.min_uptime = 10;
	d = plait_retry(reactor, go_on_for_a_while, &began, &options);
	for (int i = 0; i < 100; i++)
		advance(0.5);
	plait_deferred_free(&d);
	assert_trace(_i == 0 ? "0 10 11 11 11" : "0 10 11 14");
}

/* ---- cancel and the end of the reactor ------------------------------ */

GROUP("ends", .setup = setup);

SCRIPTS(a_cancel_stops_the_delay, ON_EACH_REACTOR,
	{ "retry d 1 f = 5; both d a; cancel d; advance 9",
	  "try a:CancelledError" },
	{ "heap 0 { retry d 1 f = 5; both d a; free d }; advance 9",
	  "try a:CancelledError" })

SCRIPTS(a_cancel_stops_the_attempt, ON_EACH_REACTOR,
	{ "new w !c; retry d 0 f = w; both d a; cancel d; advance 9",
	  "try f:none !c a:CancelledError" },
	{ "new w !c; retry d 0 f = w; both d a; free d; advance 9",
	  "try f:none !c a:CancelledError" })

SCRIPTS(an_attempt_that_answers_its_cancel_is_not_repeated, ON_EACH_REACTOR,
	{ "new w !c = Error:broken; retry d 0 f = w; both d a; cancel d; "
	  "advance 9",
	  "try f:none !c a:Error: broken" },
	{ "new w !c = 4; retry d 0 f = w; both d a; cancel d; advance 9",
	  "try f:none !c a:4" })

SCRIPT(cancelled_between_its_attempts_it_is_over, ON_EACH_REACTOR,
       "retry d 9 f = 5; both d a; advance 1.1; cancel d; advance 9",
       "try try a:CancelledError")

SCRIPT(detached_it_goes_on, ON_EACH_REACTOR,
       "retry d 2 f = 5; both d a; detach d; advance 1; advance 2",
       "try try try f:none a:5")

SCRIPT(paused_it_goes_on_and_tells_when_unpaused, ON_EACH_REACTOR,
       "retry d 1 f = 5; both d a; pause d; advance 9 | unpause d",
       "try try f:none | a:5")

SCRIPT(a_timeout_of_the_whole_ends_it, ON_EACH_REACTOR,
       "retry d 99 f = 5; timeout d 5; both d a; advance 1; advance 2 | "
       "advance "
       "3; advance 99",
       "try try try | a:TimeoutError: no result in 5 s")

SCRIPT(a_reactor_that_is_freed_ends_the_delay, ON_EACH_REACTOR,
       "retry d 1 f = 5; both d a; free_reactor",
       "try a:AbandonedError: promise dropped")

SCRIPT(an_attempt_outlives_the_reactor_and_is_the_last, ON_EACH_REACTOR,
       "new w; retry d 0 f = w; both d a; free_reactor | fire w Error:late",
       "try f:none ?NeverFiredError | a:Error: late")

/* ---- extremes ------------------------------------------------------- */

GROUP("extremes", .setup = setup);

static plait_value count_down(void *arg)
{
	int *left = arg;

	return --*left > 0 ? plait_fail(&plait_error_any, "not yet")
			   : plait_int(1);
}

/* Nothing nests, and nothing is kept of the attempts that were made. */
TEST(a_hundred_thousand_attempts_need_no_memory, PURE)
{
	struct plait_retry_options options = { .backoff = { .max_delay = 1e-3,
							    .jitter = -1 } };
	int left = 100000;
	struct plait_deferred *d;
	size_t before, after;

	timed_start();
	d = plait_retry(reactor, count_down, &left, &options);
	advance(0.1);
	before = heap_live_bytes();
	while (left > 10)
		advance(1);
	after = heap_live_bytes();
	ck_assert_uint_eq(before, after);
	while (left > 0)
		advance(1);
	ck_assert_int_eq(plait_value_int(plait_deferred_result(d)), 1);
	plait_deferred_free(&d);
}

TEST(without_options_it_has_no_end_and_the_default_delays, ON_EACH_REACTOR)
{
	int left = 6;
	struct plait_deferred *d =
		plait_retry(reactor, count_down, &left, NULL);

	for (int i = 0; i < 6; i++)
		advance(3600);
	ck_assert_int_eq(left, 0);
	plait_deferred_free(&d);
}

TEST(a_reserved_word_that_is_set_is_refused, ON_EACH_REACTOR, FROM_TO(0, 2))
{
	struct plait_retry_options options = { .max_attempts = 1 };
	int left = 5;
	struct plait_deferred *d;

	*(_i == 0 ? &options.reserved[7] : &options.backoff.reserved[2]) = 1;
	d = plait_retry(reactor, count_down, &left, &options);
	ck_assert_int_eq(left, 5);
	ck_assert_int_eq(plait_failure_errno(
				 plait_value_failure(plait_deferred_result(d))),
			 EINVAL);
	handle_all(d);
	plait_deferred_free(&d);
}

static plait_value refuse_always(void *arg)
{
	return plait_fail_errno(&plait_error_connection_refused, ECONNREFUSED,
				"busy");
}

TEST(the_last_failure_keeps_its_kind_and_errno, ON_EACH_REACTOR)
{
	struct plait_retry_options options = { .max_attempts = 1 };
	const struct plait_failure *f;
	struct plait_deferred *d;

	d = plait_retry(reactor, refuse_always, NULL, &options);
	f = plait_value_failure(plait_deferred_result(d));
	ck_assert_ptr_eq(plait_failure_kind(f),
			 &plait_error_connection_refused);
	ck_assert_int_eq(plait_failure_errno(f), ECONNREFUSED);
	ck_assert_str_eq(plait_failure_message(f), "gave up after 1 attempt");
	ck_assert_str_eq(plait_failure_message(plait_failure_cause(f)), "busy");
	handle_all(d);
	plait_deferred_free(&d);
}

/* The program cancels the retry from inside the question. */
static struct plait_deferred *of_question;

static bool cancel_and_say_yes(const struct plait_failure *why,
			       unsigned attempts, void *arg)
{
	plait_deferred_cancel(of_question);
	return true;
}

static plait_value count_later(void *arg)
{
	struct plait_deferred *d =
		plait_defer_later(reactor, 1, count_down, arg);

	return plait_chain(&d);
}

TEST(cancelled_while_it_asks_it_makes_no_further_attempt, ON_EACH_REACTOR)
{
	struct plait_retry_options options = { .backoff.jitter = -1,
					       .should_retry =
						       cancel_and_say_yes };
	int left = 5;

	of_question = plait_retry(reactor, count_later, &left, &options);
	advance(100);
	ck_assert_int_eq(left, 4);
	handle_all(of_question);
	plait_deferred_free(&of_question);
}

static void retry_twice(struct plait_reactor *r)
{
	struct plait_retry_options options = { .backoff = { .factor = 1,
							    .jitter = -1 } };
	double now = plait_reactor_seconds(r);
	int left = 3;
	struct plait_deferred *d = plait_retry(r, count_down, &left, &options);

	while (plait_reactor_seconds(r) < now + 9)
		plait_reactor_iterate(r, 0.5);
	if (!torture_faulty())
		ck_assert_int_eq(left, 0);
	handle_all(d);
	plait_deferred_free(&d);
}

TEST(survives_without_memory, ON_EACH_BACKEND)
{
	torture(retry_twice, backend);
}

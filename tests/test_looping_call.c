/*
 * Looping calls: the grid, and what a function may do to its own loop.
 */
#include <math.h>

#include "tests/child.h"
#include "tests/script.h"
#include "tests/timed.h"

static struct plait_looping_call *loop;
static struct plait_deferred *ended;

/* What the function has seen, and what it is to do and to answer. */
static unsigned calls;
static size_t counted, last_count;
static void (*act)(void);
static unsigned act_in; /* this call */
static struct plait_promise *promise;
static plait_value (*answer)(void);

static plait_value work(size_t count, void *arg)
{
	ck_assert_ptr_eq(arg, &calls);
	ck_assert_uint_ge(count, 1);
	calls++;
	counted += count;
	last_count = count;
	if (act != NULL && calls == act_in)
		act();
	return answer != NULL ? answer() : PLAIT_NONE;
}

/* Traces how the loop ends. */
static void begin_loop(double interval, bool now)
{
	if (loop == NULL)
		loop = plait_looping_call_new(reactor, work, &calls);
	ended = plait_looping_call_start(loop, interval, now);
	if (ended != NULL)
		pass_both(ended, "end");
}

static void done(void)
{
	plait_looping_call_free(&loop);
	if (ended != NULL)
		handle_all(ended);
	plait_deferred_free(&ended);
	plait_promise_drop(&promise);
}

static void pass_time(double step, unsigned n)
{
	while (n-- > 0)
		advance(step);
}

/* What the function does in scripts: at each call, and at one of them. */
static struct script_callback *each_call, *one_call;
static unsigned which_call;
static double begun_at;

/*
 * Traces "@SECONDS", since the loop was started, and "xCOUNT" if it counts
 * more than one.  On a backend the kernel waits for whole milliseconds.
 */
static plait_value traced_work(size_t count, void *arg)
{
	double at = plait_reactor_seconds(reactor) - begun_at;
	double on_grid = round(at * 20) / 20;
	double tolerance = backend != NULL ? 0.02 : 1e-6;

	if (fabs(at - on_grid) < tolerance)
		at = on_grid;
	if (count == 1)
		trace_add("@%g", at);
	else
		trace_add("@%gx%zu", at, count);
	if (++calls == which_call)
		return script_operation(one_call);
	return each_call != NULL ? script_operation(each_call) : PLAIT_NONE;
}

/* D, which is its end, and the interval. */
static void start_loop(bool now)
{
	struct script_part *part = script_part();

	if (loop == NULL)
		loop = plait_looping_call_new(reactor, traced_work, NULL);
	begun_at = plait_reactor_seconds(reactor);
	part->d = plait_looping_call_start(loop, play_number(), now);
	pass_both(part->d, "end");
}

static void do_loop(void)
{
	start_loop(true);
}

static void do_loop_later(void)
{
	start_loop(false);
}

static void do_each_call(void)
{
	each_call = script_callback();
}

static void do_on_call(void)
{
	which_call = (unsigned)play_number();
	one_call = script_callback();
}

static void do_stop(void)
{
	plait_looping_call_stop(loop);
}

static void do_reset(void)
{
	plait_looping_call_reset(loop);
}

static void do_free_loop(void)
{
	plait_looping_call_free(&loop);
	ck_assert_ptr_null(loop);
}

static void do_running(void)
{
	trace_add("%s",
		  plait_looping_call_is_running(loop) ? "running" : "stopped");
}

static void do_pass(void)
{
	double step = play_number();

	pass_time(step, (unsigned)play_number());
}

/* The clock goes on, and nobody has had a look at it. */
static void do_jump(void)
{
	if (backend != NULL)
		clock_advance(play_number());
	else
		advance(play_number());
}

static const struct play_verb verbs[] = {
	{ "loop", do_loop },		 /* D INTERVAL: it calls at once */
	{ "loop_later", do_loop_later }, /* D INTERVAL */
	{ "each_call", do_each_call },	 /* CALLBACK */
	{ "on_call", do_on_call },	 /* N CALLBACK: the Nth of all calls */
	{ "stop", do_stop },
	{ "reset", do_reset },
	{ "free_loop", do_free_loop },
	{ "running?", do_running },
	{ "pass", do_pass }, /* STEP N: as many steps of time */
	{ "jump", do_jump }, /* SECONDS */
	{ NULL, NULL },
};

static void end_script(void)
{
	plait_looping_call_free(&loop);
}

static void setup(void)
{
	steps_setup();
	play_words(verbs, end_script);
}

/* Waits for what its second call has begun. */
#define WORKING                                                                \
	"new work !c; both work work; on_call 2 = work; loop end 1; "          \
	"pass 0.5 3 | "

/* ---- the grid ------------------------------------------------------- */

GROUP("grid", .setup = setup);

SCRIPT(calls_now_and_at_each_interval, ON_EACH_REACTOR,
       "loop end 2 | pass 0.5 13", "@0 | @2 @4 @6")

SCRIPT(may_begin_an_interval_later, ON_EACH_REACTOR,
       "loop_later end 2 | pass 0.5 9", "| @2 @4")

SCRIPT(a_late_call_does_not_shift_the_grid, ON_EACH_REACTOR,
       "loop end 1 | jump 3.5; advance 0 | pass 0.25 3", "@0 | @3.5x3 | @4")

SCRIPT(a_slow_function_skips_and_counts, ON_EACH_KERNEL,
       "on_call 2 { jump 3.5 }; loop end 1; pass 0.25 4 | pass 0.25 3",
       "@0 @1 | @5x4")

SCRIPT(on_a_point_the_next_one_is_an_interval_away, ON_EACH_REACTOR,
       "loop end 1; pass 1 5", "@0 @1 @2 @3 @4 @5")

/* On every tick of a clock that is never late, exactly one call. */
TEST(no_call_is_made_twice_or_left_out, PURE, TIMES(5))
{
	static const double intervals[] = { 1. / 3, 0.1, 1e-3, 0.7, 1e-6 / 7 };
	double interval = intervals[_i];
	unsigned long n = 20000;

	timed_start();
	begin_loop(interval, false);
	for (unsigned long i = 1; i <= n; i++) {
		double next = (double)i * interval;

		plait_testing_advance(
			reactor, next - plait_reactor_seconds(reactor) + 1e-9);
		ck_assert_uint_eq(calls, i);
		ck_assert_uint_eq(last_count, 1);
	}
	done();
}

/* The clock of a testing reactor, to the nanosecond. */
static int64_t now;

static void advance_to(int64_t when)
{
	int64_t wait = when - now;

	/* Either is exact, and both together need not be. */
	plait_testing_advance(reactor, (double)(wait / 1000000000));
	plait_testing_advance(reactor, (double)(wait % 1000000000) / 1e9);
	now = when;
}

static const double odd_intervals[] = { 1. / 3, 0.1, 1. / 48000, 0.7 };
static double odd;

static int64_t point(uint64_t k)
{
	return (int64_t)((double)k * odd * 1e9 + 0.5);
}

/* A nanosecond before a point it has not come, and on it, it has. */
TEST(a_point_comes_on_its_nanosecond, PURE, TIMES(4))
{
	uint64_t k = 0, random = 1;

	timed_start();
	odd = odd_intervals[_i];
	begin_loop(odd, false);
	for (int i = 0; i < 500; i++) {
		unsigned before;

		random = random * 6364136223846793005u + 1442695040888963407u;
		k += 2 + (random >> 33) % 2000000;
		advance_to(point(k) - 1);
		ck_assert_uint_eq(counted, k - 1);
		before = calls;
		advance_to(point(k));
		ck_assert_uint_eq(counted, k);
		ck_assert_uint_eq(calls, before + 1);
	}
	done();
}

TEST(late_and_on_a_point_it_is_called_once, PURE, TIMES(4))
{
	uint64_t k = 0;

	timed_start();
	odd = odd_intervals[_i];
	begin_loop(odd, false);
	for (unsigned i = 1; i < 2000; i++) {
		k += i;
		plait_testing_advance(reactor, (double)(point(k) - now) / 1e9);
		now = point(k);
		ck_assert_uint_eq(calls, i);
		ck_assert_uint_eq(counted, k);
	}
	done();
}

/* After a thousand million intervals it is a few nanoseconds off at most. */
TEST(the_grid_does_not_drift, PURE, TIMES(4))
{
	static const double intervals[] = { 1. / 3, 0.1, 1e-3, 1. / 48000 };
	const double n = 1e9;
	double interval = intervals[_i];

	timed_start();
	begin_loop(interval, false);
	plait_testing_advance(reactor, n * interval + interval / 2);
	ck_assert_uint_eq(calls, 1);
	ck_assert_uint_eq(last_count, 1000000000);
	for (int i = 1; i < 50; i++) {
		double next = (n + i) * interval;

		plait_testing_advance(reactor,
				      next - plait_reactor_seconds(reactor) -
					      100e-9);
		ck_assert_uint_eq(calls, (unsigned)i);
		plait_testing_advance(reactor, 200e-9);
		ck_assert_uint_eq(calls, (unsigned)i + 1);
		ck_assert_uint_eq(last_count, 1);
	}
	done();
}

TEST(an_interval_shorter_than_a_turn_is_counted, PURE)
{
	timed_start();
	begin_loop(1e-9, false);
	plait_testing_advance(reactor, 1);
	ck_assert_uint_ge(calls, 1);
	ck_assert_uint_eq(counted, 1000000000);
	plait_testing_advance(reactor, 1);
	ck_assert_uint_eq(counted, 2000000000);
	done();
}

TEST(no_interval_is_too_short_or_too_long, ON_EACH_REACTOR, TIMES(5))
{
	static const double intervals[] = { 1e-300, 4.9e-324, 1e-12, 1e300,
					    INFINITY };

	timed_start();
	begin_loop(intervals[_i], true);
	for (int i = 0; i < 10; i++) {
		if (backend == NULL)
			plait_reactor_iterate(reactor, 0);
		else
			run_turns(reactor, 1);
	}
	if (intervals[_i] > 1)
		ck_assert_uint_eq(calls, 1);
	else
		ck_assert_uint_ge(calls, 9);
	done();
}

TEST(interval_of_zero_is_once_per_turn, ON_EACH_REACTOR)
{
	timed_start();
	begin_loop(0, true);
	for (unsigned i = 0; i < 10; i++) {
		ck_assert_uint_eq(calls, i + 1);
		ck_assert_uint_eq(counted, i + 1);
		run_turns(reactor, 1);
	}
	done();
}

static bool readable;

static void is_readable(struct plait_watch *w, unsigned events)
{
	readable = true;
	plait_watch_stop(w);
}

TEST(interval_of_zero_does_not_starve_descriptors, ON_EACH_BACKEND)
{
	struct plait_watch w = { 0 };
	int fd[2];

	timed_start();
	ck_assert_int_eq(pipe(fd), 0);
	ck_assert_int_eq(plait_watch_start(reactor, &w, fd[0], PLAIT_WATCH_READ,
					   is_readable),
			 0);
	begin_loop(0, true);
	run_turns(reactor, 3);
	ck_assert(!readable);
	ck_assert_int_eq(write(fd[1], "x", 1), 1);
	run_turns(reactor, 1);
	ck_assert(readable);
	close(fd[0]);
	close(fd[1]);
	done();
}

/* ---- stopping ------------------------------------------------------- */

GROUP("stopping", .setup = setup);

SCRIPT(stopping_fires_before_it_returns, ON_EACH_REACTOR,
       "loop end 1; running? | stop; running? | stop; reset; advance 5",
       "@0 running | end:none stopped |")

TEST(one_that_never_ran_may_be_stopped_reset_and_freed, ON_EACH_REACTOR)
{
	timed_start();
	loop = plait_looping_call_new(reactor, work, &calls);
	ck_assert(!plait_looping_call_is_running(loop));
	plait_looping_call_stop(loop);
	plait_looping_call_reset(loop);
	plait_looping_call_free(&loop);
	plait_looping_call_free(&loop);
}

SCRIPT(may_be_started_again_with_a_new_grid, ON_EACH_REACTOR,
       "loop end 1; pass 0.25 5 | stop; free end | loop end 2; pass 0.5 5",
       "@0 @1 | end:none | @0 @2")

SCRIPT(a_failure_ends_it, ON_EACH_REACTOR,
       "on_call 2 = Error:broken; loop end 1; pass 0.5 3; running? | advance 5",
       "@0 @1 end:Error: broken stopped |")

SCRIPT(what_the_function_returns_is_freed, ON_EACH_REACTOR,
       "each_call = ~v; loop end 1; pass 0.5 3", "@0 ~v @1 ~v")

SCRIPT(cancelling_the_deferred_stops_it, ON_EACH_REACTOR,
       "loop end 1; cancel end; running?; advance 5 | catch end = none; free "
       "end; loop end 1",
       "@0 end:CancelledError stopped | @0")

SCRIPT(detached_it_runs_on, ON_EACH_REACTOR,
       "loop end 1; detach end; pass 0.5 3 | free_loop", "@0 @1 | end:none")

SCRIPT(freeing_it_fires_too, ON_EACH_REACTOR,
       "loop end 1; free_loop | advance 5", "@0 end:none |")

SCRIPT(a_reactor_that_is_freed_abandons_it, ON_EACH_REACTOR,
       "loop end 1 | free_reactor; running? | reset; stop",
       "@0 | end:AbandonedError: promise dropped stopped |")

SCRIPT(resetting_begins_a_new_grid, ON_EACH_REACTOR,
       "loop end 2; pass 0.5 3; reset; pass 0.5 9", "@0 @3.5 @5.5")

/* ---- from inside the function --------------------------------------- */

GROUP("inside", .setup = setup);

SCRIPT(stopped_inside_it_ends_when_the_function_returns, ON_EACH_REACTOR,
       "on_call 2 { stop; running?; say out }; loop end 1; pass 0.5 3 | "
       "advance 5",
       "@0 @1 stopped out end:none |")

SCRIPT(stopped_inside_the_first_call_it_has_ended_in_start, ON_EACH_REACTOR,
       "on_call 1 { stop; say out }; loop end 1; show end",
       "@0 out end:none end=none")

SCRIPTS(freed_inside_it_ends_when_the_function_returns, ON_EACH_REACTOR,
	{ "on_call 1 { free_loop; say out }; loop end 1; pass 0.5 3 | advance "
	  "5",
	  "@0 out end:none |" },
	{ "on_call 2 { free_loop; say out }; loop end 1; pass 0.5 3 | advance "
	  "5",
	  "@0 @1 out end:none |" })

SCRIPT(cancelled_inside_it_stops_at_once, ON_EACH_REACTOR,
       "on_call 2 { cancel end; say out }; loop end 1; pass 0.5 3 | advance 5",
       "@0 @1 end:CancelledError out |")

SCRIPT(cancelled_inside_it_drops_the_failure_that_follows, ON_EACH_REACTOR,
       "on_call 2 { cancel end } = Error:late; loop end 1; pass 0.5 3 | "
       "advance 5",
       "@0 @1 end:CancelledError |")

SCRIPT(reset_inside_it_goes_on_from_there, ON_EACH_REACTOR,
       "on_call 2 { reset }; loop end 1; jump 1.5; advance 0 | pass 0.25 5",
       "@0 @1.5 | @2.5")

static void start_it(void)
{
	struct plait_deferred *d;

	plait_looping_call_stop(loop);
	d = plait_looping_call_start(loop, 1, false);
	plait_deferred_free(&d);
}

static void start_inside(void *arg)
{
	act_in = 1;
	act = start_it;
	begin_loop(1, true);
}

static void start_twice(void *arg)
{
	begin_loop(1, false);
	begin_loop(1, false);
}

static void start_backwards(void *arg)
{
	begin_loop(-1, false);
}

static void start_nowhere(void *arg)
{
	begin_loop(NAN, false);
}

TEST(a_mistake_aborts, ON_EACH_REACTOR)
{
	timed_start();
	assert_aborts(start_inside, NULL, "has not ended");
	assert_aborts(start_twice, NULL, "has not ended");
	assert_aborts(start_backwards, NULL, "interval >= 0");
	assert_aborts(start_nowhere, NULL, "interval >= 0");
}

SCRIPT(what_its_end_calls_may_start_it_again, ON_EACH_REACTOR,
       "on_call 2 { stop }; loop end 1; both end { detach end; loop again 3 } "
       "= none; pass 0.5 9",
       "@0 @1 end:none @0 @3")

SCRIPTS(what_its_end_calls_may_free_it, ON_EACH_REACTOR,
	{ "loop end 1; both end { free_loop }; stop", "@0 end:none" },
	{ "loop end 1; both end { free_loop }; cancel end",
	  "@0 end:CancelledError" },
	{ "on_call 2 = Error:broken; loop end 1; both end { free_loop }; pass "
	  "0.5 3",
	  "@0 @1 end:Error: broken" },
	{ "on_call 2 { stop }; loop end 1; both end { free_loop }; pass 0.5 3",
	  "@0 @1 end:none" },
	{ "loop end 1; both end { free_loop }; free_loop", "@0 end:none" })

/* ---- waiting for what the function returns -------------------------- */

static struct step canceller;

GROUP("waiting", .setup = setup);

SCRIPT(a_deferred_is_waited_for_and_the_grid_stays, ON_EACH_REACTOR,
       WORKING "pass 0.5 6 | fire work ~v | pass 0.25 4",
       "@0 @1 | | work:v ~v | @5x4")

SCRIPT(a_fired_deferred_is_not_waited_for, ON_EACH_REACTOR,
       "each_call { fired f none } = f; loop end 1; pass 0.5 5", "@0 @1 @2")

SCRIPT(failing_it_ends_the_loop, ON_EACH_REACTOR, WORKING "fire work Error:e",
       "@0 @1 | work:Error: e end:Error: e")

SCRIPT(stopping_waits_for_it, ON_EACH_REACTOR,
       WORKING "stop; running? | fire work 1",
       "@0 @1 | stopped | work:1 end:none")

SCRIPT(resetting_while_it_works_counts_from_then, ON_EACH_REACTOR,
       WORKING "reset; advance 0.25; fire work none | pass 0.25 4",
       "@0 @1 | work:none | @2.5")

SCRIPT(resetting_does_not_call_while_it_works, ON_EACH_REACTOR,
       WORKING "reset; pass 0.5 5 | fire work none | pass 0.25 4",
       "@0 @1 | | work:none | @4.5x3")

SCRIPTS(ending_the_loop_cancels_it, ON_EACH_REACTOR,
	{ WORKING "cancel end",
	  "@0 @1 | !c work:CancelledError end:CancelledError" },
	{ WORKING "free end",
	  "@0 @1 | !c work:CancelledError end:CancelledError" },
	{ WORKING "free_loop", "@0 @1 | !c work:CancelledError end:none" },
	{ WORKING "free_reactor", "@0 @1 | !c work:CancelledError "
				  "end:AbandonedError: promise dropped" })

SCRIPT(cancelled_by_its_work_it_ends_when_that_has_returned, ON_EACH_REACTOR,
       "new work; then work { say in; cancel end; say out } = none; each_call "
       "= work; loop end 1; fire work none",
       "@0 in out end:CancelledError")

SCRIPT(stopped_while_it_works_a_freed_reactor_cancels_it, ON_EACH_REACTOR,
       WORKING "stop; free_reactor",
       "@0 @1 | !c work:CancelledError end:AbandonedError: promise dropped")

SCRIPT(work_that_answers_its_cancel_with_more_does_not_go_on, ON_EACH_REACTOR,
       "new work; new more; catch work = more; each_call = work; loop_later "
       "end 1; pass 0.5 3 | free_loop",
       "@1 | end:none")

/* The function ends its loop, and returns a deferred nevertheless. */
SCRIPTS(begun_by_a_function_that_ended_its_loop, ON_EACH_REACTOR,
	{ "new work !c; both work work; on_call 2 { stop } = work; loop end 1; "
	  "pass 0.5 3 | fire work none",
	  "@0 @1 | work:none end:none" },
	{ "new work !c; both work work; on_call 2 { free_loop } = work; loop "
	  "end 1; pass 0.5 3",
	  "@0 @1 !c work:CancelledError end:none" },
	{ "new work !c; both work work; on_call 2 { cancel end } = work; loop "
	  "end 1; pass 0.5 3",
	  "@0 @1 end:CancelledError !c work:CancelledError" })

SCRIPTS(freed_by_its_work_while_that_is_cancelled, ON_EACH_REACTOR,
	{ "new work; both work { free_loop }; each_call = work; loop_later end "
	  "1; pass 0.5 3 | cancel end",
	  "@1 | end:CancelledError" },
	{ "new work; both work { free_loop }; each_call = work; loop_later end "
	  "1; pass 0.5 3 | fire work none",
	  "@1 | end:none" },
	{ "new work; both work { free_loop }; each_call = work; loop_later end "
	  "1; pass 0.5 3 | free_reactor",
	  "@1 | end:none" },
	{ "new work; both work { free_loop }; each_call = work; loop_later end "
	  "1; pass 0.5 3 | stop; free end",
	  "@1 | end:CancelledError" })

/* ---- no memory ------------------------------------------------------ */

GROUP("memory", .setup = setup);

TEST(without_memory_it_does_not_start, ON_EACH_REACTOR)
{
	timed_start();
	fault_alloc_at(0, false);
	ck_assert_ptr_null(plait_looping_call_new(reactor, work, &calls));
	ck_assert_int_eq(errno, ENOMEM);
	loop = plait_looping_call_new(reactor, work, &calls);
	fault_alloc_at(0, false);
	begin_loop(1, true);
	ck_assert(plait_failure_check(
		plait_value_failure(plait_deferred_result(ended)),
		&plait_error_no_memory));
	ck_assert(!plait_looping_call_is_running(loop));
	ck_assert_uint_eq(calls, 0);
	plait_deferred_free(&ended);
	begin_loop(1, true);
	ck_assert_uint_eq(calls, 1);
	done();
}

static plait_value begin_crowded_work(void)
{
	struct plait_deferred *d =
		plait_deferred_new(&promise, step_canceller, &canceller);

	canceller.name = "c";
	for (int i = 0; i < 4; i++)
		pass_both(d, "w");
	fault_alloc_at(0, false);
	return plait_chain(&d);
}

TEST(without_memory_to_wait_the_work_is_cancelled, ON_EACH_REACTOR)
{
	timed_start();
	answer = begin_crowded_work;
	begin_loop(1, false);
	advance(1.5);
	ck_assert(fault_alloc_reached());
	ck_assert_ptr_nonnull(strstr(trace(), "!c w:CancelledError"));
	ck_assert_ptr_nonnull(strstr(trace(), "end:NoMemoryError"));
	done();
}

static plait_value begin_later(void)
{
	struct plait_deferred *d = plait_defer_later(reactor, 0.5, NULL, NULL);

	return plait_chain(&d);
}

static void loop_for_a_while(struct plait_reactor *r)
{
	double begun = plait_reactor_seconds(r);

	reactor = r;
	answer = begin_later;
	calls = 0;
	loop = plait_looping_call_new(r, work, &calls);
	if (loop == NULL) {
		ck_assert(torture_faulty());
		return;
	}
	begin_loop(1, true);
	while (plait_reactor_seconds(r) < begun + 3.2)
		plait_reactor_iterate(r, 0.3);
	if (!torture_faulty())
		ck_assert_uint_eq(calls, 4);
	done();
	trace_clear();
}

TEST(survives_without_memory, ON_EACH_BACKEND)
{
	torture(loop_for_a_while, backend);
}

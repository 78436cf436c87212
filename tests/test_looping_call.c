/*
 * Looping calls: the grid, and what a function may do to its own loop.
 */
#include <math.h>
#include <stdarg.h>

#include "tests/child.h"
#include "tests/steps.h"
#include "tests/timed.h"

static struct plait_looping_call *loop;
static struct plait_deferred *ended;

/* What the function has seen, and what it is to do and to answer. */
static unsigned calls;
static size_t counted, last_count;
static double called_at[64];
static void (*act)(void);
static unsigned act_in; /* this call */
static struct plait_promise *promise;
static plait_value (*answer)(void);

static plait_value work(size_t count, void *arg)
{
	ck_assert_ptr_eq(arg, &calls);
	ck_assert_uint_ge(count, 1);
	if (calls < 64)
		called_at[calls] = plait_reactor_seconds(reactor);
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

static void act_at(unsigned call, void (*fn)(void))
{
	act_in = call;
	act = fn;
}

static void done(void)
{
	plait_looping_call_free(&loop);
	if (ended != NULL)
		handle_all(ended);
	plait_deferred_free(&ended);
	plait_promise_drop(&promise);
}

static void assert_times(unsigned n, ...)
{
	/* The kernel waits for whole milliseconds. */
	double tolerance = backend != NULL ? 0.02 : 1e-6;
	va_list ap;

	ck_assert_uint_eq(calls, n);
	va_start(ap, n);
	for (unsigned i = 0; i < n; i++)
		ck_assert_double_eq_tol(called_at[i] - called_at[0],
					va_arg(ap, double), tolerance);
	va_end(ap);
}

static void pass_time(double step, unsigned n)
{
	while (n-- > 0)
		advance(step);
}

/* ---- the grid ------------------------------------------------------- */

GROUP("grid", .setup = steps_setup);

TEST(calls_now_and_at_each_interval, ON_EACH_REACTOR)
{
	timed_start();
	begin_loop(2, true);
	ck_assert_uint_eq(calls, 1);
	pass_time(0.5, 13);
	assert_times(4, 0., 2., 4., 6.);
	ck_assert_uint_eq(counted, 4);
	done();
}

TEST(may_begin_an_interval_later, ON_EACH_REACTOR)
{
	double start;

	timed_start();
	start = plait_reactor_seconds(reactor);
	begin_loop(2, false);
	ck_assert_uint_eq(calls, 0);
	pass_time(0.5, 9);
	assert_times(2, 0., 2.);
	ck_assert_double_eq_tol(called_at[0] - start, 2, 1e-6);
	done();
}

static void hold_up(void)
{
	clock_advance(3.5);
}

TEST(a_late_call_does_not_shift_the_grid, ON_EACH_REACTOR)
{
	timed_start();
	begin_loop(1, true);
	/* The clock jumps over three points. */
	if (backend != NULL)
		clock_advance(3.5);
	advance(backend != NULL ? 0 : 3.5);
	ck_assert_uint_eq(calls, 2);
	ck_assert_uint_eq(last_count, 3);
	pass_time(0.25, 3);
	assert_times(3, 0., 3.5, 4.);
	ck_assert_uint_eq(last_count, 1);
	ck_assert_uint_eq(counted, 5);
	done();
}

TEST(a_slow_function_skips_and_counts, ON_EACH_BACKEND)
{
	timed_start();
	act_at(2, hold_up);
	begin_loop(1, true);
	pass_time(0.25, 4);
	ck_assert_uint_eq(calls, 2);
	/* Inside 3.5 s have passed: the next point is 5. */
	pass_time(0.25, 3);
	assert_times(3, 0., 1., 5.);
	ck_assert_uint_eq(last_count, 4);
	done();
}

TEST(on_a_point_the_next_one_is_an_interval_away, ON_EACH_REACTOR)
{
	timed_start();
	begin_loop(1, true);
	pass_time(1, 5);
	assert_times(6, 0., 1., 2., 3., 4., 5.);
	ck_assert_uint_eq(counted, 6);
	done();
}

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
	ck_assert_int_eq(
		plait_watch_start(reactor, &w, fd[0], PLAIT_READ, is_readable),
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

GROUP("stopping", .setup = steps_setup);

TEST(stopping_fires_before_it_returns, ON_EACH_REACTOR)
{
	timed_start();
	begin_loop(1, true);
	ck_assert(plait_looping_call_is_running(loop));
	plait_looping_call_stop(loop);
	ck_assert_str_eq(trace(), "end:none");
	ck_assert(!plait_looping_call_is_running(loop));
	plait_looping_call_stop(loop);
	plait_looping_call_reset(loop);
	advance(5);
	ck_assert_uint_eq(calls, 1);
	done();
}

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

TEST(may_be_started_again_with_a_new_grid, ON_EACH_REACTOR)
{
	timed_start();
	begin_loop(1, true);
	pass_time(0.25, 5);
	plait_looping_call_stop(loop);
	plait_deferred_free(&ended);
	begin_loop(2, true);
	pass_time(0.5, 5);
	assert_times(4, 0., 1., 1.25, 3.25);
	done();
}

static plait_value broken(void)
{
	return calls == 2 ? plait_fail(&plait_error_any, "broken") : PLAIT_NONE;
}

TEST(a_failure_ends_it, ON_EACH_REACTOR)
{
	timed_start();
	answer = broken;
	begin_loop(1, true);
	advance(1.5);
	ck_assert_str_eq(trace(), "end:Error: broken");
	ck_assert(!plait_looping_call_is_running(loop));
	advance(5);
	ck_assert_uint_eq(calls, 2);
	done();
}

static plait_value some_value(void)
{
	return tracked("v");
}

TEST(what_the_function_returns_is_freed, ON_EACH_REACTOR)
{
	timed_start();
	answer = some_value;
	begin_loop(1, true);
	advance(1.5);
	ck_assert_str_eq(trace(), "~v ~v");
	done();
}

TEST(cancelling_the_deferred_stops_it, ON_EACH_REACTOR)
{
	timed_start();
	begin_loop(1, true);
	plait_deferred_cancel(ended);
	ck_assert_str_eq(trace(), "end:CancelledError");
	ck_assert(!plait_looping_call_is_running(loop));
	advance(5);
	ck_assert_uint_eq(calls, 1);
	handle_all(ended);
	plait_deferred_free(&ended);
	begin_loop(1, true);
	ck_assert_uint_eq(calls, 2);
	done();
}

TEST(detached_it_runs_on, ON_EACH_REACTOR)
{
	timed_start();
	begin_loop(1, true);
	plait_deferred_detach(&ended);
	advance(1.5);
	ck_assert_uint_eq(calls, 2);
	done();
	ck_assert_str_eq(trace(), "end:none");
}

TEST(freeing_it_fires_too, ON_EACH_REACTOR)
{
	timed_start();
	begin_loop(1, true);
	plait_looping_call_free(&loop);
	ck_assert_str_eq(trace(), "end:none");
	advance(5);
	ck_assert_uint_eq(calls, 1);
	done();
}

TEST(a_reactor_that_is_freed_abandons_it, ON_EACH_REACTOR)
{
	timed_start();
	begin_loop(1, true);
	plait_reactor_free(&reactor);
	ck_assert_str_eq(trace(), "end:AbandonedError: promise dropped");
	ck_assert(!plait_looping_call_is_running(loop));
	plait_looping_call_reset(loop);
	plait_looping_call_stop(loop);
	done();
}

TEST(resetting_begins_a_new_grid, ON_EACH_REACTOR)
{
	timed_start();
	begin_loop(2, true);
	advance(1.5);
	plait_looping_call_reset(loop);
	pass_time(0.5, 9);
	assert_times(3, 0., 3.5, 5.5);
	ck_assert_uint_eq(counted, 3);
	done();
}

/* ---- from inside the function --------------------------------------- */

static void stop_it(void)
{
	plait_looping_call_stop(loop);
	ck_assert(!plait_looping_call_is_running(loop));
	ck_assert_str_eq(trace(), "");
	trace_add("stopped");
}

GROUP("inside", .setup = steps_setup);

TEST(stopped_inside_it_ends_when_the_function_returns, ON_EACH_REACTOR)
{
	timed_start();
	act_at(2, stop_it);
	begin_loop(1, true);
	advance(1.5);
	ck_assert_str_eq(trace(), "stopped end:none");
	advance(5);
	ck_assert_uint_eq(calls, 2);
	done();
}

TEST(stopped_inside_the_first_call_it_has_ended_in_start, ON_EACH_REACTOR)
{
	timed_start();
	act_at(1, stop_it);
	begin_loop(1, true);
	ck_assert(plait_deferred_is_fired(ended));
	ck_assert_str_eq(trace(), "stopped end:none");
	done();
}

static void free_it(void)
{
	plait_looping_call_free(&loop);
	trace_add("freed");
}

TEST(freed_inside_it_ends_when_the_function_returns, ON_EACH_REACTOR,
     FROM_TO(1, 3))
{
	timed_start();
	act_at((unsigned)_i, free_it);
	begin_loop(1, true);
	advance(1.5);
	ck_assert_str_eq(trace(), "freed end:none");
	advance(5);
	ck_assert_uint_eq(calls, (unsigned)_i);
	done();
}

static void cancel_it(void)
{
	plait_deferred_cancel(ended);
	trace_add("cancelled");
}

TEST(cancelled_inside_it_stops_at_once, ON_EACH_REACTOR)
{
	timed_start();
	act_at(2, cancel_it);
	begin_loop(1, true);
	advance(1.5);
	ck_assert_str_eq(trace(), "end:CancelledError cancelled");
	advance(5);
	ck_assert_uint_eq(calls, 2);
	done();
}

static void reset_it(void)
{
	plait_looping_call_reset(loop);
}

TEST(reset_inside_it_goes_on_from_there, ON_EACH_REACTOR)
{
	timed_start();
	act_at(2, reset_it);
	begin_loop(1, true);
	/* The second call comes late. */
	if (backend != NULL)
		clock_advance(1.5);
	advance(backend != NULL ? 0 : 1.5);
	pass_time(0.25, 5);
	assert_times(3, 0., 1.5, 2.5);
	done();
}

static void start_it(void)
{
	struct plait_deferred *d;

	plait_looping_call_stop(loop);
	d = plait_looping_call_start(loop, 1, false);
	plait_deferred_free(&d);
}

static void start_inside(void *arg)
{
	act_at(1, start_it);
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

static plait_value start_again(plait_value *result, void *arg)
{
	plait_deferred_detach(&ended);
	begin_loop(3, true);
	return PLAIT_NONE;
}

TEST(what_its_end_calls_may_start_it_again, ON_EACH_REACTOR)
{
	timed_start();
	act_at(2, stop_it);
	begin_loop(1, true);
	plait_deferred_add_both(ended, start_again, NULL);
	pass_time(0.5, 9);
	assert_times(4, 0., 1., 1., 4.);
	done();
}

static plait_value free_at_end(plait_value *result, void *arg)
{
	plait_looping_call_free(&loop);
	return *result;
}

TEST(what_its_end_calls_may_free_it, ON_EACH_REACTOR, TIMES(5))
{
	timed_start();
	begin_loop(1, true);
	plait_deferred_add_both(ended, free_at_end, NULL);
	switch (_i) {
	case 0:
		plait_looping_call_stop(loop);
		break;
	case 1:
		plait_deferred_cancel(ended);
		break;
	case 2:
		answer = broken;
		advance(1.5);
		break;
	case 3:
		act_at(2, stop_it);
		advance(1.5);
		break;
	default:
		plait_looping_call_free(&loop);
	}
	ck_assert_ptr_null(loop);
	ck_assert_ptr_nonnull(strstr(trace(), "end:"));
	done();
}

/* ---- waiting for what the function returns -------------------------- */

static struct step canceller;

static plait_value begin_work(void)
{
	struct plait_deferred *d;

	if (calls != 2)
		return PLAIT_NONE;
	canceller.name = "c";
	d = plait_deferred_new(&promise, step_canceller, &canceller);
	pass_both(d, "work");
	return plait_chain(&d);
}

/* Waits for what its second call has begun. */
static void begin_and_wait(void)
{
	timed_start();
	answer = begin_work;
	begin_loop(1, true);
	pass_time(0.5, 3);
	ck_assert_ptr_nonnull(promise);
}

GROUP("waiting", .setup = steps_setup);

TEST(a_deferred_is_waited_for_and_the_grid_stays, ON_EACH_REACTOR)
{
	begin_and_wait();
	pass_time(0.5, 6);
	ck_assert_uint_eq(calls, 2);
	plait_fire(&promise, tracked("v"));
	ck_assert_str_eq(trace(), "work:v ~v");
	ck_assert_uint_eq(calls, 2);
	pass_time(0.25, 4);
	assert_times(3, 0., 1., 5.);
	ck_assert_uint_eq(last_count, 4);
	done();
}

static plait_value fired_already(void)
{
	struct plait_deferred *d = plait_succeed(PLAIT_NONE);

	return plait_chain(&d);
}

TEST(a_fired_deferred_is_not_waited_for, ON_EACH_REACTOR)
{
	timed_start();
	answer = fired_already;
	begin_loop(1, true);
	pass_time(0.5, 5);
	assert_times(3, 0., 1., 2.);
	done();
}

TEST(failing_it_ends_the_loop, ON_EACH_REACTOR)
{
	begin_and_wait();
	plait_fire(&promise, plait_fail(&plait_error_any, "e"));
	ck_assert_str_eq(trace(), "work:Error: e end:Error: e");
	done();
}

TEST(stopping_waits_for_it, ON_EACH_REACTOR)
{
	begin_and_wait();
	plait_looping_call_stop(loop);
	ck_assert(!plait_looping_call_is_running(loop));
	ck_assert_str_eq(trace(), "");
	plait_fire(&promise, plait_int(1));
	ck_assert_str_eq(trace(), "work:1 end:none");
	done();
}

TEST(resetting_while_it_works_counts_from_then, ON_EACH_REACTOR)
{
	begin_and_wait();
	plait_looping_call_reset(loop);
	advance(0.25);
	plait_fire(&promise, PLAIT_NONE);
	pass_time(0.25, 4);
	assert_times(3, 0., 1., 2.5);
	done();
}

TEST(resetting_does_not_call_while_it_works, ON_EACH_REACTOR)
{
	begin_and_wait();
	plait_looping_call_reset(loop);
	pass_time(0.5, 5);
	ck_assert_uint_eq(calls, 2);
	plait_fire(&promise, PLAIT_NONE);
	pass_time(0.25, 4);
	assert_times(3, 0., 1., 4.5);
	done();
}

TEST(ending_the_loop_cancels_it, ON_EACH_REACTOR, TIMES(4))
{
	static const char *const ends[] = {
		"!c work:CancelledError end:CancelledError",
		"!c work:CancelledError end:CancelledError",
		"!c work:CancelledError end:none",
		"!c work:CancelledError end:AbandonedError: promise dropped",
	};

	begin_and_wait();
	switch (_i) {
	case 0:
		plait_deferred_cancel(ended);
		break;
	case 1:
		plait_deferred_free(&ended);
		break;
	case 2:
		plait_looping_call_free(&loop);
		break;
	default:
		plait_reactor_free(&reactor);
	}
	ck_assert_str_eq(trace(), ends[_i]);
	done();
}

static plait_value cancel_inside(plait_value *result, void *arg)
{
	trace_add("in");
	plait_deferred_cancel(ended);
	trace_add("out");
	return PLAIT_NONE;
}

static plait_value begin_work_that_cancels(void)
{
	struct plait_deferred *d = plait_deferred_new(&promise, NULL, NULL);

	plait_deferred_add_callback(d, cancel_inside, NULL);
	return plait_chain(&d);
}

TEST(cancelled_by_its_work_it_ends_when_that_has_returned, ON_EACH_REACTOR)
{
	timed_start();
	answer = begin_work_that_cancels;
	begin_loop(1, true);
	plait_fire(&promise, PLAIT_NONE);
	ck_assert_str_eq(trace(), "in out end:CancelledError");
	done();
}

TEST(stopped_while_it_works_a_freed_reactor_cancels_it, ON_EACH_REACTOR)
{
	begin_and_wait();
	plait_looping_call_stop(loop);
	plait_reactor_free(&reactor);
	ck_assert_str_eq(trace(), "!c work:CancelledError "
				  "end:AbandonedError: promise dropped");
	done();
}

static struct step stubborn;
static struct plait_promise *further;

static plait_value begin_stubborn_work(void)
{
	struct plait_deferred *d = plait_deferred_new(&promise, NULL, NULL);

	stubborn.inner = plait_deferred_new(&further, NULL, NULL);
	plait_deferred_add_errback(d, step, &stubborn);
	return plait_chain(&d);
}

TEST(work_that_answers_its_cancel_with_more_does_not_go_on, ON_EACH_REACTOR)
{
	timed_start();
	answer = begin_stubborn_work;
	begin_loop(1, false);
	advance(1.5);
	plait_looping_call_free(&loop);
	ck_assert_str_eq(trace(), "end:none");
	plait_promise_drop(&further);
	done();
}

/* The function ends its loop, and returns a deferred nevertheless. */
TEST(begun_by_a_function_that_ended_its_loop, ON_EACH_REACTOR, TIMES(3))
{
	static const char *const ends[] = {
		"stopped",
		"freed !c work:CancelledError end:none",
		"end:CancelledError cancelled !c work:CancelledError",
	};

	timed_start();
	answer = begin_work;
	act_at(2, _i == 0 ? stop_it : _i == 1 ? free_it : cancel_it);
	begin_loop(1, true);
	advance(1.5);
	ck_assert_str_eq(trace(), ends[_i]);
	if (_i == 0) {
		plait_fire(&promise, PLAIT_NONE);
		ck_assert_str_eq(trace(), "stopped work:none end:none");
	}
	done();
}

static plait_value free_loop(plait_value *result, void *arg)
{
	plait_looping_call_free(&loop);
	return *result;
}

static plait_value begin_freeing_work(void)
{
	struct plait_deferred *d = plait_deferred_new(&promise, NULL, NULL);

	plait_deferred_add_both(d, free_loop, NULL);
	return plait_chain(&d);
}

TEST(freed_by_its_work_while_that_is_cancelled, ON_EACH_REACTOR, TIMES(4))
{
	timed_start();
	answer = begin_freeing_work;
	begin_loop(1, false);
	advance(1.5);
	switch (_i) {
	case 0:
		plait_deferred_cancel(ended);
		break;
	case 1:
		plait_fire(&promise, PLAIT_NONE);
		break;
	case 2:
		plait_reactor_free(&reactor);
		break;
	default:
		plait_looping_call_stop(loop);
		plait_deferred_free(&ended);
	}
	ck_assert_ptr_null(loop);
	done();
}

/* ---- no memory ------------------------------------------------------ */

GROUP("memory", .setup = steps_setup);

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

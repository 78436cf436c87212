/*
 * plait_call_later(): Twisted's delayed calls, and handles that stay safe.
 */
#include <math.h>

#include "reactor/kernel/kernel.h"
#include "reactor/loop/loop.h"
#include "tests/child.h"
#include "tests/harness.h"

enum { MAX_NOTES = 64 };

static char ran[MAX_NOTES + 1];
static unsigned n_ran;

static void note(void *arg)
{
	ck_assert_uint_lt(n_ran, MAX_NOTES);
	ran[n_ran++] = *(const char *)arg;
	ran[n_ran] = '\0';
}

static struct plait_call later(double seconds, const char *name)
{
	return plait_call_later(reactor, seconds, note, (void *)name);
}

/* What every function says to a handle of a call that is over. */
static void assert_over(struct plait_call c)
{
	double when = 42;

	ck_assert(!plait_call_is_active(c));
	ck_assert_int_eq(plait_call_cancel(c), -EALREADY);
	ck_assert_int_eq(plait_call_reset(c, 1), -EALREADY);
	ck_assert_int_eq(plait_call_delay(c, 1), -EALREADY);
	ck_assert_int_eq(plait_call_time(c, &when), -EALREADY);
	ck_assert_double_eq(when, 42);
}

GROUP("calls");

TEST(runs_once_when_its_time_has_come, ON_EACH_BACKEND)
{
	struct plait_call c = later(1, "c");

	ck_assert(plait_call_is_active(c));
	run_for(reactor, 0.9);
	ck_assert_str_eq(ran, "");
	run_for(reactor, 5);
	ck_assert_str_eq(ran, "c");
	assert_over(c);
}

TEST(calls_run_in_time_order_and_equal_ones_as_they_were_made, ON_EACH_BACKEND)
{
	clock_virtual(true);
	later(2, "a");
	later(1, "b");
	later(2, "c");
	later(0, "d");
	later(1, "e");
	run_for(reactor, 3);
	ck_assert_str_eq(ran, "dbeac");
}

GROUP("cancel");

TEST(a_cancelled_call_never_runs, ON_EACH_BACKEND)
{
	struct plait_call c = later(0, "c");

	ck_assert_int_eq(plait_call_cancel(c), 0);
	assert_over(c);
	run_turns(reactor, 3);
	ck_assert_str_eq(ran, "");
}

TEST(a_zeroed_handle_is_a_call_of_long_ago, PURE)
{
	assert_over((struct plait_call){ 0 });
}

TEST(an_old_handle_does_not_reach_the_call_that_came_after, ON_EACH_BACKEND)
{
	struct plait_call old = later(0, "o"), new;

	run_turns(reactor, 1);
	new = later(0, "n");
	ck_assert_ptr_eq(old.slot, new.slot);
	assert_over(old);
	ck_assert(plait_call_is_active(new));
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "on");
}

static struct plait_call self;

static void use_itself(void *arg)
{
	assert_over(self);
	n_ran++;
}

TEST(inside_the_call_it_is_over, ON_EACH_BACKEND)
{
	self = plait_call_later(reactor, 0, use_itself, NULL);
	run_turns(reactor, 2);
	ck_assert_uint_eq(n_ran, 1);
}

GROUP("move");

TEST(reset_counts_from_now_to_sooner_and_to_later, ON_EACH_BACKEND)
{
	struct plait_call a, b;
	double when, now;

	clock_virtual(true);
	a = later(10, "a");
	b = later(1, "b");
	run_for(reactor, 0.5);
	now = plait_reactor_seconds(reactor);
	ck_assert_int_eq(plait_call_reset(a, 1), 0);
	ck_assert_int_eq(plait_call_reset(b, 2), 0);
	ck_assert_int_eq(plait_call_time(a, &when), 0);
	ck_assert_double_eq_tol(when, now + 1, 1e-6);
	run_for(reactor, 1.1);
	ck_assert_str_eq(ran, "a");
	run_for(reactor, 1);
	ck_assert_str_eq(ran, "ab");
}

TEST(delay_counts_from_the_due_time_and_may_be_negative, ON_EACH_BACKEND)
{
	struct plait_call a, b;
	double when, start;

	clock_virtual(true);
	start = plait_reactor_seconds(reactor);
	a = later(10, "a");
	b = later(10, "b");
	run_for(reactor, 1);
	ck_assert_int_eq(plait_call_delay(a, 5), 0);
	ck_assert_int_eq(plait_call_delay(b, -7), 0);
	ck_assert_int_eq(plait_call_time(a, &when), 0);
	ck_assert_double_eq_tol(when, start + 15, 1e-6);
	ck_assert_int_eq(plait_call_time(b, &when), 0);
	ck_assert_double_eq_tol(when, start + 3, 1e-6);
	run_for(reactor, 2.5);
	ck_assert_str_eq(ran, "b");
	run_for(reactor, 12);
	ck_assert_str_eq(ran, "ba");
}

TEST(a_time_in_the_past_is_due_in_the_next_turn_in_its_order, ON_EACH_BACKEND)
{
	struct plait_call a = later(1, "a"), b = later(1, "b");

	ck_assert_int_eq(plait_call_delay(a, -10), 0);
	ck_assert_int_eq(plait_call_delay(b, -20), 0);
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "ba");
}

TEST(a_delay_without_end_is_cut, ON_EACH_BACKEND)
{
	struct plait_call a = later(INFINITY, "a"), b = later(1, "b");

	ck_assert_int_eq(plait_call_delay(a, INFINITY), 0);
	ck_assert_int_eq(plait_call_delay(a, 1e300), 0);
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "");
	ck_assert_int_eq(plait_call_delay(b, -INFINITY), 0);
	ck_assert_int_eq(plait_call_delay(b, -1e300), 0);
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "b");
	ck_assert_int_eq(plait_call_cancel(a), 0);
}

static struct plait_call moved;

/* Long before all that is due; but it was moved in this turn. */
static void move_far_back(void *arg)
{
	note(arg);
	ck_assert_int_eq(plait_call_delay(moved, -1e6), 0);
}

TEST(moved_into_the_past_in_a_turn_it_runs_in_the_next, ON_EACH_BACKEND)
{
	clock_virtual(true);
	plait_call_later(reactor, 0, move_far_back, (void *)"a");
	later(0, "b");
	moved = later(100, "m");
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "ab");
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "abm");
}

static struct plait_call other;

static void cancel_other(void *arg)
{
	note(arg);
	ck_assert_int_eq(plait_call_cancel(other), 0);
}

GROUP("cancel");

TEST(one_that_is_due_may_be_cancelled_by_another, ON_EACH_BACKEND)
{
	plait_call_later(reactor, 0, cancel_other, (void *)"a");
	other = later(0, "b");
	run_turns(reactor, 3);
	ck_assert_str_eq(ran, "a");
}

static void reset_other(void *arg)
{
	note(arg);
	ck_assert_int_eq(plait_call_reset(other, 0), 0);
}

GROUP("move");

TEST(one_that_is_due_and_reset_by_another_runs_in_the_next_turn,
     ON_EACH_BACKEND)
{
	plait_call_later(reactor, 0, reset_other, (void *)"a");
	other = later(0, "b");
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "a");
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "ab");
}

static void call_again(void *arg)
{
	n_ran++;
	plait_call_later(reactor, 0, call_again, NULL);
}

GROUP("calls");

TEST(a_call_made_by_a_call_runs_in_the_next_turn, ON_EACH_BACKEND)
{
	plait_call_later(reactor, 0, call_again, NULL);
	for (unsigned i = 1; i < 5; i++) {
		run_turns(reactor, 1);
		ck_assert_uint_eq(n_ran, i);
	}
}

GROUP("memory");

TEST(cancelled_calls_hold_no_memory, ON_EACH_BACKEND)
{
	size_t bytes;

	plait_call_cancel(later(3600, "c"));
	bytes = heap_live_bytes();
	for (int i = 0; i < 1000000; i++)
		plait_call_cancel(later(3600, "c"));
	ck_assert_uint_eq(heap_live_bytes(), bytes);
}

GROUP("calls");

TEST(many_calls_at_once_are_all_made, ON_EACH_BACKEND)
{
	enum { N = 1000 };
	static struct plait_call calls[N];

	for (int i = 0; i < N; i++)
		calls[i] = later(1 + i % 7, "c");
	for (int i = 0; i < N; i++)
		if (i % 20 != 0)
			ck_assert_int_eq(plait_call_cancel(calls[i]), 0);
	run_for(reactor, 10);
	ck_assert_uint_eq(n_ran, N / 20);
	for (int i = 0; i < N; i++)
		assert_over(calls[i]);
}

GROUP("memory");

TEST(without_memory_the_handle_is_zero_and_it_is_said, ON_EACH_BACKEND)
{
	struct plait_call c;

	unhandled_expect(1);
	fault_alloc_at(0, true);
	errno = 0;
	c = later(0, "c");
	ck_assert_int_eq(errno, ENOMEM);
	fault_alloc_off();
	assert_over(c);
	ck_assert_str_eq(unhandled_text(), "NoMemoryError");
	run_turns(reactor, 2);
	ck_assert_str_eq(ran, "");
	later(0, "d");
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "d");
}

GROUP("calls");

TEST(calls_that_are_left_are_not_made_when_the_reactor_is_freed,
     ON_EACH_BACKEND)
{
	later(0, "a");
	later(1, "b");
	plait_reactor_free(&reactor);
	ck_assert_str_eq(ran, "");
}

static void negative(void *arg)
{
	struct plait_reactor *r = plait_i_loop_new(&plait_i_kernel_testing);

	plait_call_later(r, -1, note, (void *)"a");
}

static void delay_by_nan(void *arg)
{
	struct plait_reactor *r = plait_i_loop_new(&plait_i_kernel_testing);

	plait_call_delay(plait_call_later(r, 1, note, (void *)"a"), NAN);
}

GROUP("move");

TEST(a_delay_that_is_none_aborts, PURE)
{
	assert_aborts(negative, NULL, "seconds >= 0");
	assert_aborts(delay_by_nan, NULL, "isnan");
}

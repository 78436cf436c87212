/*
 * plait_call_later(): Twisted's delayed calls, and handles that stay safe.
 */
#include <math.h>

#include "reactor/kernel/kernel.h"
#include "reactor/loop/loop.h"
#include "tests/child.h"
#include "tests/script.h"
#include "tests/timed.h"

static unsigned n_ran;

static void count(void *arg)
{
	n_ran++;
}

static struct plait_call later(double seconds)
{
	return plait_call_later(reactor, seconds, count, NULL);
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

/* The calls of a script: each has a letter for its name. */
static struct script_call {
	struct plait_call call;
	struct script_callback *does;
} calls['z' + 1];

static struct plait_call *next_call(void)
{
	return &calls[(unsigned char)*play_word()].call;
}

static void run_call(void *arg)
{
	struct script_call *c = arg;

	trace_add("%c", (int)(c - calls));
	script_operation(c->does);
}

/* later NAME SECONDS { STEPS } */
static void do_later(void)
{
	struct script_call *c = &calls[(unsigned char)*play_word()];
	double seconds = play_number();

	c->does = script_callback();
	c->call = plait_call_later(reactor, seconds, run_call, c);
	ck_assert(plait_call_is_active(c->call));
}

static void do_cancel_call(void)
{
	ck_assert_int_eq(plait_call_cancel(*next_call()), 0);
}

static void do_reset(void)
{
	struct plait_call *c = next_call();

	ck_assert_int_eq(plait_call_reset(*c, play_number()), 0);
}

static void do_delay(void)
{
	struct plait_call *c = next_call();

	ck_assert_int_eq(plait_call_delay(*c, play_number()), 0);
}

static void do_over(void)
{
	assert_over(*next_call());
}

/* How many seconds it is from now. */
static void do_due(void)
{
	double when, now = plait_reactor_seconds(reactor);

	ck_assert_int_eq(plait_call_time(*next_call(), &when), 0);
	trace_add("in%g", round((when - now) * 100) / 100);
}

static void do_turn(void)
{
	run_turns(reactor, (unsigned)play_number());
}

static const struct play_verb verbs[] = {
	{ "later", do_later }, { "cancel_call", do_cancel_call },
	{ "reset", do_reset }, { "delay", do_delay },
	{ "over", do_over },   { "due", do_due },
	{ "turn", do_turn },   { NULL, NULL },
};

static void setup(void)
{
	steps_setup();
	n_ran = 0;
	play_words(verbs, NULL);
}

GROUP("calls", .setup = setup);

SCRIPT(runs_once_when_its_time_has_come, ON_EACH_KERNEL,
       "later c 1; advance 0.9 | advance 5; over c", "| c")

SCRIPT(calls_run_in_time_order_and_equal_ones_as_they_were_made, ON_EACH_KERNEL,
       "later a 2; later b 1; later c 2; later d 0; later e 1; advance 3",
       "d b e a c")

SCRIPT(a_call_made_by_a_call_runs_in_the_next_turn, ON_EACH_KERNEL,
       "later a 0 { later b 0 { later c 0 { later d 0 } } };"
       "turn 1 | turn 1 | turn 1 | turn 1",
       "a | b | c | d")

TEST(many_calls_at_once_are_all_made, ON_EACH_KERNEL)
{
	enum { N = 1000 };
	static struct plait_call all[N];

	for (int i = 0; i < N; i++)
		all[i] = later(1 + i % 7);
	for (int i = 0; i < N; i++)
		if (i % 20 != 0)
			ck_assert_int_eq(plait_call_cancel(all[i]), 0);
	run_for(reactor, 10);
	ck_assert_uint_eq(n_ran, N / 20);
	for (int i = 0; i < N; i++)
		assert_over(all[i]);
}

SCRIPT(calls_that_are_left_are_not_made_when_the_reactor_is_freed,
       ON_EACH_KERNEL, "later a 0; later b 1; free_reactor", "")

GROUP("cancel", .setup = setup);

SCRIPT(a_cancelled_call_never_runs, ON_EACH_KERNEL,
       "later c 0; cancel_call c; over c; turn 3", "")

TEST(a_zeroed_handle_is_a_call_of_long_ago, PURE)
{
	assert_over((struct plait_call){ 0 });
}

TEST(an_old_handle_does_not_reach_the_call_that_came_after, ON_EACH_KERNEL)
{
	struct plait_call old = later(0), new;

	run_turns(reactor, 1);
	new = later(0);
	ck_assert_ptr_eq(old.slot, new.slot);
	assert_over(old);
	ck_assert(plait_call_is_active(new));
	run_turns(reactor, 1);
	ck_assert_uint_eq(n_ran, 2);
}

SCRIPT(inside_the_call_it_is_over, ON_EACH_KERNEL,
       "later a 0 { over a }; turn 2", "a")

SCRIPT(one_that_is_due_may_be_cancelled_by_another, ON_EACH_KERNEL,
       "later a 0 { cancel_call b }; later b 0; turn 3", "a")

GROUP("move", .setup = setup);

SCRIPT(reset_counts_from_now_to_sooner_and_to_later, ON_EACH_KERNEL,
       "later a 10; later b 1; advance 0.5; reset a 1; reset b 2; due a |"
       "advance 1.1 | advance 1",
       "in1 | a | b")

SCRIPT(delay_counts_from_the_due_time_and_may_be_negative, ON_EACH_KERNEL,
       "later a 10; later b 10; advance 1; delay a 5; delay b -7; due a;"
       "due b | advance 2.5 | advance 12",
       "in14 in2 | b | a")

SCRIPT(a_time_in_the_past_is_due_in_the_next_turn_in_its_order, ON_EACH_KERNEL,
       "later a 1; later b 1; delay a -10; delay b -20; turn 1", "b a")

SCRIPT(a_delay_without_end_is_cut, ON_EACH_KERNEL,
       "later a inf; later b 1; delay a inf; delay a 1e300; turn 1 |"
       "delay b -inf; delay b -1e300; turn 1; cancel_call a",
       "| b")

/* Long before all that is due; but it was moved in this turn. */
SCRIPT(moved_into_the_past_in_a_turn_it_runs_in_the_next, ON_EACH_KERNEL,
       "later m 100; later a 0 { delay m -1e6 }; later b 0; turn 1 | turn 1",
       "a b | m")

SCRIPT(one_that_is_due_and_reset_by_another_runs_in_the_next_turn,
       ON_EACH_KERNEL, "later a 0 { reset b 0 }; later b 0; turn 1 | turn 1",
       "a | b")

static void negative(void *arg)
{
	struct plait_reactor *r =
		plait_i_reactor_new(&plait_i_kernel_virtual, NULL);

	plait_call_later(r, -1, count, NULL);
}

static void delay_by_nan(void *arg)
{
	struct plait_reactor *r =
		plait_i_reactor_new(&plait_i_kernel_virtual, NULL);

	plait_call_delay(plait_call_later(r, 1, count, NULL), NAN);
}

TEST(a_delay_that_is_none_aborts, PURE)
{
	assert_aborts(negative, NULL, "seconds >= 0");
	assert_aborts(delay_by_nan, NULL, "isnan");
}

GROUP("memory", .setup = setup);

TEST(cancelled_calls_hold_no_memory, ON_EACH_KERNEL)
{
	size_t bytes;

	plait_call_cancel(later(3600));
	bytes = heap_live_bytes();
	for (int i = 0; i < 1000000; i++)
		plait_call_cancel(later(3600));
	ck_assert_uint_eq(heap_live_bytes(), bytes);
}

TEST(without_memory_the_handle_is_zero_and_it_is_said, ON_EACH_KERNEL)
{
	struct plait_call c;

	unhandled_expect(1);
	fault_alloc_at(0, true);
	c = later(0);
	fault_alloc_off();
	assert_over(c);
	ck_assert_str_eq(unhandled_text(), "NoMemoryError");
	run_turns(reactor, 2);
	ck_assert_uint_eq(n_ran, 0);
	later(0);
	run_turns(reactor, 1);
	ck_assert_uint_eq(n_ran, 1);
}

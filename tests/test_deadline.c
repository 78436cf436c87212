/*
 * Deadlines: each runs once, at its time, in the order of their times, however
 * long those before it were to last; and an idle reactor does not wake up for
 * one that was stopped.
 */
#include "reactor/loop/loop.h"
#include "tests/timed.h"
#include "tests/trace.h"

struct mine {
	struct loop_deadline deadline;
	const char *name;
	struct mine *other; /* it is started or stopped in the function of this
			     */
	double seconds;	    /* ... for so long; 0: now; negative: stopped */
};

static void start(struct mine *m, double seconds);

static void note(struct loop_deadline *d)
{
	struct mine *m = plait_container(d, struct mine, deadline);

	ck_assert(!deadline_is_running(d));
	trace_add("%s", m->name);
	if (m->other == NULL)
		return;
	if (m->seconds < 0)
		plait_i_deadline_stop(reactor, &m->other->deadline);
	else
		start(m->other, m->seconds);
}

static void start(struct mine *m, double seconds)
{
	plait_i_deadline_start(reactor, DEADLINE_OF_WAITING, &m->deadline,
			       seconds, note);
	ck_assert(deadline_is_running(&m->deadline));
}

static void stop(struct mine *m)
{
	plait_i_deadline_stop(reactor, &m->deadline);
	ck_assert(!deadline_is_running(&m->deadline));
}

GROUP("deadline", .setup = timed_start);

TEST(deadlines_run_at_their_times_in_order, PURE)
{
	struct mine a = { .name = "a" }, b = { .name = "b" },
		    c = { .name = "c" };

	start(&a, 3);
	start(&b, 1);
	start(&c, 2);
	advance(0.999);
	ck_assert_str_eq(trace(), "");
	advance(0.001);
	ck_assert_str_eq(trace(), "b");
	advance(5);
	ck_assert_str_eq(trace(), "b c a");
}

TEST(equal_deadlines_run_in_the_order_of_their_starts, PURE)
{
	struct mine a = { .name = "a" }, b = { .name = "b" },
		    c = { .name = "c" };

	start(&a, 1);
	start(&b, 1);
	start(&c, 1);
	start(&a, 1);
	advance(1);
	ck_assert_str_eq(trace(), "b c a");
}

TEST(a_deadline_that_is_started_again_runs_once, PURE)
{
	struct mine a = { .name = "a" }, b = { .name = "b" };

	start(&a, 1);
	start(&b, 2);
	advance(0.5);
	start(&a, 2);
	advance(1.5);
	ck_assert_str_eq(trace(), "b");
	advance(10);
	ck_assert_str_eq(trace(), "b a");
}

TEST(a_stopped_deadline_does_not_run, PURE)
{
	struct mine a = { .name = "a" }, b = { .name = "b" };

	start(&a, 1);
	start(&b, 2);
	stop(&a);
	stop(&a);
	advance(1.999);
	ck_assert_str_eq(trace(), "");
	advance(0.001);
	ck_assert_str_eq(trace(), "b");
}

/* The testing reactor has no events: it says so when it would wait for ever. */
TEST(nothing_is_waited_for_when_all_are_stopped, PURE)
{
	struct mine a = { .name = "a" }, b = { .name = "b" };
	double before = plait_reactor_seconds(reactor);

	start(&a, 1);
	start(&b, 2);
	stop(&b);
	stop(&a);
	ck_assert_int_eq(plait_reactor_run(reactor), -EDEADLK);
	ck_assert_double_eq(plait_reactor_seconds(reactor), before);
}

TEST(of_those_that_are_due_one_may_stop_another, PURE)
{
	struct mine b = { .name = "b" }, c = { .name = "c" },
		    a = { .name = "a", .other = &b, .seconds = -1 };

	start(&a, 1);
	start(&b, 1);
	start(&c, 1);
	advance(2);
	ck_assert_str_eq(trace(), "a c");
}

TEST(of_those_that_are_due_one_may_put_off_another, PURE)
{
	struct mine b = { .name = "b" },
		    a = { .name = "a", .other = &b, .seconds = 1 };

	start(&a, 1);
	start(&b, 1);
	advance(1);
	ck_assert_str_eq(trace(), "a");
	advance(1);
	ck_assert_str_eq(trace(), "a b");
}

TEST(a_deadline_for_now_runs_in_the_next_turn, PURE)
{
	struct mine a = { .name = "a", .seconds = 0 };

	a.other = &a;
	start(&a, 0);
	plait_reactor_iterate(reactor, 0);
	ck_assert_str_eq(trace(), "a");
	plait_reactor_iterate(reactor, 0);
	ck_assert_str_eq(trace(), "a a");
	stop(&a);
}

TEST(the_kinds_have_rows_of_their_own, PURE)
{
	struct mine a = { .name = "a" }, b = { .name = "b" };

	plait_i_deadline_start(reactor, DEADLINE_OF_CLOSING, &a.deadline, 2,
			       note);
	start(&b, 1);
	stop(&b);
	start(&b, 3);
	advance(2);
	ck_assert_str_eq(trace(), "a");
	advance(1);
	ck_assert_str_eq(trace(), "a b");
}

/* A turn runs a share of them, so that others are not kept waiting. */
TEST(a_crowd_runs_in_two_turns, PURE)
{
	static struct mine crowd[300];

	for (int i = 0; i < 300; i++) {
		crowd[i] = (struct mine){ .name = "x" };
		start(&crowd[i], 1);
	}
	plait_i_clock_advance(reactor, 1000000000);
	plait_reactor_iterate(reactor, 0);
	ck_assert(!deadline_is_running(&crowd[255].deadline));
	ck_assert(deadline_is_running(&crowd[256].deadline));
	plait_reactor_iterate(reactor, 0);
	ck_assert(!deadline_is_running(&crowd[299].deadline));
}

TEST(weeks_are_exact, PURE)
{
	struct mine a = { .name = "a" };

	start(&a, 100 * 24 * 3600.0);
	advance(100 * 24 * 3600.0 - 0.001);
	ck_assert_str_eq(trace(), "");
	advance(0.001);
	ck_assert_str_eq(trace(), "a");
}

static int64_t latest;

static void note_order(struct loop_deadline *d)
{
	ck_assert_int_ge(d->when, latest);
	latest = d->when;
}

/* Shorter ones, as after a change of limits, go past others: to where the last
   of them went, which may have run or been stopped meanwhile. */
TEST(any_mixture_of_times_runs_in_order, PURE)
{
	static struct loop_deadline all[400];
	uint64_t chance = 1;

	latest = 0;
	for (int i = 0; i < 20000; i++) {
		struct loop_deadline *d;

		chance = chance * 6364136223846793005 + 1442695040888963407;
		d = &all[(chance >> 33) % 400];
		if (chance >> 60 < 6)
			plait_i_deadline_stop(reactor, d);
		else
			plait_i_deadline_start(reactor, DEADLINE_OF_WAITING, d,
					       1 + (double)((chance >> 50) % 7),
					       note_order);
		if (i % 100 == 0)
			advance(0.3);
	}
	advance(10);
	for (int i = 0; i < 400; i++)
		ck_assert(!deadline_is_running(&all[i]));
}

/*
 * Timeouts of idle connections, on a clock that the test moves.
 */
#include <signal.h>

#include <plait/testing.h>
#include <plait/idle_timeout.h>

#include "tests/harness.h"
#include "tests/script.h"

struct idle {
	struct plait_protocol base;
	struct plait_idle_timeout timeout;
};

static void data_received(struct plait_protocol *p, const void *data,
			  size_t len)
{
	plait_idle_timeout_reset(&plait_self(p, struct idle)->timeout);
}

static void connection_lost(struct plait_protocol *p,
			    const struct plait_failure *why)
{
	trace_add("lost(%s)", plait_failure_kind(why)->name);
	plait_idle_timeout_stop(&plait_self(p, struct idle)->timeout);
}

static const struct plait_protocol_ops ops = {
	.name = "idle",
	.size = sizeof(struct idle),
	.data_received = data_received,
	.connection_lost = connection_lost,
};

static struct plait_transport *transport;
static struct plait_idle_timeout *timeout;

static void timed_out(struct plait_protocol *p)
{
	trace_add("out(%g)", plait_reactor_seconds(reactor));
}

/* Note what happens; or, without a callback of its own, lose. */
static void begin(plait_idle_timeout_func *fn, double seconds)
{
	static struct plait_factory f = { .protocol = &ops };
	struct plait_protocol *p;

	plait_reactor_free(&reactor);
	reactor = plait_testing_reactor_new();
	transport = plait_testing_connect(reactor, &f);
	p = plait_testing_protocol(transport);
	timeout = &plait_self(p, struct idle)->timeout;
	timeout->timed_out = fn;
	plait_idle_timeout_start(timeout, p, seconds);
}

static void finish(void)
{
	plait_idle_timeout_stop(timeout);
	plait_reactor_free(&reactor);
}

/* The verbs of this suite: SECONDS of silence of one connection. */
static void do_idle(void)
{
	begin(timed_out, play_number());
}

static void do_idle_alone(void)
{
	begin(NULL, play_number());
}

static void do_start(void)
{
	plait_idle_timeout_start(timeout, plait_testing_protocol(transport),
				 play_number());
}

static void do_data(void)
{
	plait_testing_deliver(transport, "x", 1);
}

static void do_reset(void)
{
	plait_idle_timeout_reset(timeout);
}

static void do_stop(void)
{
	plait_idle_timeout_stop(timeout);
}

static const struct play_verb verbs[] = {
	{ "idle", do_idle },		 /* connects, and starts it */
	{ "idle_alone", do_idle_alone }, /* without a callback */
	{ "start", do_start },		 /* SECONDS */
	{ "data", do_data },
	{ "reset", do_reset },
	{ "stop", do_stop },
	{ NULL, NULL },
};

static void setup(void)
{
	steps_setup();
	play_words(verbs, NULL);
}

GROUP("timeout", .setup = setup);

SCRIPT(silence_times_out_once, PURE,
       "idle 10; advance 9.999 | advance 0.001 | advance 100", "| out(10) |")

SCRIPT(timing_out_closes_by_default, PURE,
       "idle_alone 10; advance 9.999 | advance 0.001", "| lost(ConnectionDone)")

SCRIPT(reset_starts_the_time_anew, PURE,
       "idle 10; advance 7.3; data; advance 9.99 | advance 0.01", "| out(17.3)")

/* A byte every 9 of 10 seconds keeps it open, for ever. */
TEST(resets_in_time_keep_it_open, PURE)
{
	begin(timed_out, 10);
	for (int i = 0; i < 10000; i++) {
		plait_testing_advance(reactor, 9);
		plait_idle_timeout_reset(timeout);
	}
	assert_trace("");
	plait_testing_advance(reactor, 9);
	assert_trace("");
	plait_testing_advance(reactor, 1);
	assert_trace("out(90010)");
	finish();
}

static unsigned outs;

static void count(struct plait_protocol *p)
{
	outs++;
}

static void jump_to_timer(void)
{
	plait_testing_advance(reactor, plait_timer_when(&timeout->timer) -
					       plait_reactor_seconds(reactor));
}

/* Fractions that no double holds must not make it spin or wait too long. */
TEST(odd_times_are_kept, PURE)
{
	begin(count, 1);
	for (unsigned i = 1; i < 5000; i++) {
		double seconds = 0.1 + i / 7000.0;

		plait_idle_timeout_start(
			timeout, plait_testing_protocol(transport), seconds);
		plait_testing_advance(reactor, 0.07);
		plait_idle_timeout_reset(timeout);
		jump_to_timer();
		ck_assert_uint_eq(outs, i - 1);
		jump_to_timer();
		ck_assert_uint_eq(outs, i);
	}
	finish();
}

TEST(reset_does_not_touch_the_timer, PURE)
{
	double when;

	begin(timed_out, 10);
	when = plait_timer_when(&timeout->timer);
	plait_testing_advance(reactor, 5);
	for (int i = 0; i < 1000; i++)
		plait_idle_timeout_reset(timeout);
	ck_assert_double_eq(plait_timer_when(&timeout->timer), when);
	finish();
}

SCRIPT(clock_that_jumped_over_all_of_it_times_out, PURE,
       "idle 10; advance 5; reset; advance 1000", "out(1005)")

SCRIPT(start_changes_the_time, PURE,
       "idle 10; advance 5; start 2; advance 2 | start 30; advance 29 | "
       "advance 1",
       "out(7) | | out(37)")

SCRIPT(stopped_one_never_times_out, PURE,
       "idle 10; stop; stop; reset; advance 100", "")

SCRIPT(reset_after_the_end_is_nothing, PURE,
       "idle 10; advance 10 | reset; advance 100", "out(10) |")

TEST(zeroed_one_may_be_stopped_and_reset, PURE)
{
	struct plait_idle_timeout t = { .timed_out = timed_out };

	plait_idle_timeout_reset(&t);
	plait_idle_timeout_stop(&t);
}

static void again(struct plait_protocol *p)
{
	timed_out(p);
	plait_idle_timeout_start(&plait_self(p, struct idle)->timeout, p, 3);
}

TEST(may_start_again_when_it_times_out, PURE)
{
	begin(again, 10);
	plait_testing_advance(reactor, 10);
	plait_testing_advance(reactor, 3);
	assert_trace("out(10) out(13)");
	finish();
}

SCRIPT(endless_time_never_ends, PURE,
       "idle inf; advance 1e9; reset; advance 1e9", "")

TEST(start_before_the_connection_aborts, PURE, ABORTS)
{
	struct plait_protocol *p = plait_protocol_new(&ops);

	plait_idle_timeout_start(&plait_self(p, struct idle)->timeout, p, 1);
}

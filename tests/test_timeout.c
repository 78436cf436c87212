/*
 * Timeouts of idle connections, on a clock that the test moves.
 */
#include <math.h>
#include <signal.h>

#include <plait/testing.h>
#include <plait/timeout.h>

#include "tests/harness.h"
#include "tests/trace.h"

struct idle {
	struct plait_protocol base;
	struct plait_timeout timeout;
};

static void data_received(struct plait_protocol *p, const void *data,
			  size_t len)
{
	plait_timeout_reset(&plait_self(p, struct idle)->timeout);
}

static void connection_lost(struct plait_protocol *p,
			    const struct plait_failure *why)
{
	trace_add("lost(%s)", plait_failure_kind(why)->name);
	plait_timeout_stop(&plait_self(p, struct idle)->timeout);
}

static const struct plait_protocol_ops ops = {
	.name = "idle",
	.size = sizeof(struct idle),
	.data_received = data_received,
	.connection_lost = connection_lost,
};

static struct plait_reactor *r;
static struct plait_transport *transport;
static struct plait_timeout *timeout;

static void timed_out(struct plait_protocol *p)
{
	trace_add("out(%g)", plait_reactor_seconds(r));
}

/* Note what happens; or, without a callback of its own, lose. */
static void begin(plait_timeout_func *fn, double seconds)
{
	static struct plait_factory f = { .protocol = &ops };
	struct plait_protocol *p;

	r = plait_testing_reactor_new();
	transport = plait_testing_connect(r, &f);
	p = plait_testing_protocol(transport);
	timeout = &plait_self(p, struct idle)->timeout;
	timeout->timed_out = fn;
	plait_timeout_start(timeout, p, seconds);
}

static void finish(void)
{
	plait_timeout_stop(timeout);
	plait_testing_advance(r, 0);
	trace_clear();
	plait_reactor_free(&r);
}

GROUP("timeout");

TEST(silence_times_out_once, PURE)
{
	begin(timed_out, 10);
	plait_testing_advance(r, 9.999);
	assert_trace("");
	plait_testing_advance(r, 0.001);
	assert_trace("out(10)");
	plait_testing_advance(r, 100);
	assert_trace("");
	finish();
}

TEST(timing_out_closes_by_default, PURE)
{
	begin(NULL, 10);
	plait_testing_advance(r, 10);
	assert_trace("lost(ConnectionDone)");
	ck_assert(!plait_testing_is_connected(transport));
	plait_reactor_free(&r);
}

TEST(reset_starts_the_time_anew, PURE)
{
	begin(timed_out, 10);
	plait_testing_advance(r, 7.3);
	plait_testing_deliver(transport, "x", 1);
	plait_testing_advance(r, 9.99);
	assert_trace("");
	plait_testing_advance(r, 0.01);
	assert_trace("out(17.3)");
	finish();
}

/* A byte every 9 of 10 seconds keeps it open, for ever. */
TEST(resets_in_time_keep_it_open, PURE)
{
	begin(timed_out, 10);
	for (int i = 0; i < 10000; i++) {
		plait_testing_advance(r, 9);
		plait_timeout_reset(timeout);
	}
	assert_trace("");
	plait_testing_advance(r, 9);
	assert_trace("");
	plait_testing_advance(r, 1);
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
	plait_testing_advance(r, plait_timer_when(&timeout->timer) -
					 plait_reactor_seconds(r));
}

/* Fractions that no double holds must not make it spin or wait too long. */
TEST(odd_times_are_kept, PURE)
{
	begin(count, 1);
	for (unsigned i = 1; i < 5000; i++) {
		double seconds = 0.1 + i / 7000.0;

		plait_timeout_start(timeout, plait_testing_protocol(transport),
				    seconds);
		plait_testing_advance(r, 0.07);
		plait_timeout_reset(timeout);
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
	plait_testing_advance(r, 5);
	for (int i = 0; i < 1000; i++)
		plait_timeout_reset(timeout);
	ck_assert_double_eq(plait_timer_when(&timeout->timer), when);
	finish();
}

TEST(clock_that_jumped_over_all_of_it_times_out, PURE)
{
	begin(timed_out, 10);
	plait_testing_advance(r, 5);
	plait_timeout_reset(timeout);
	plait_testing_advance(r, 1000);
	assert_trace("out(1005)");
	finish();
}

TEST(start_changes_the_time, PURE)
{
	begin(timed_out, 10);
	plait_testing_advance(r, 5);
	plait_timeout_start(timeout, plait_testing_protocol(transport), 2);
	plait_testing_advance(r, 2);
	assert_trace("out(7)");
	plait_timeout_start(timeout, plait_testing_protocol(transport), 30);
	plait_testing_advance(r, 29);
	assert_trace("");
	plait_testing_advance(r, 1);
	assert_trace("out(37)");
	finish();
}

TEST(stopped_one_never_times_out, PURE)
{
	begin(timed_out, 10);
	plait_timeout_stop(timeout);
	plait_timeout_stop(timeout);
	plait_timeout_reset(timeout);
	plait_testing_advance(r, 100);
	assert_trace("");
	finish();
}

TEST(reset_after_the_end_is_nothing, PURE)
{
	begin(timed_out, 10);
	plait_testing_advance(r, 10);
	plait_timeout_reset(timeout);
	plait_testing_advance(r, 100);
	assert_trace("out(10)");
	finish();
}

TEST(zeroed_one_may_be_stopped_and_reset, PURE)
{
	struct plait_timeout t = { .timed_out = timed_out };

	plait_timeout_reset(&t);
	plait_timeout_stop(&t);
}

static void again(struct plait_protocol *p)
{
	timed_out(p);
	plait_timeout_start(&plait_self(p, struct idle)->timeout, p, 3);
}

TEST(may_start_again_when_it_times_out, PURE)
{
	begin(again, 10);
	plait_testing_advance(r, 10);
	plait_testing_advance(r, 3);
	assert_trace("out(10) out(13)");
	finish();
}

TEST(endless_time_never_ends, PURE)
{
	begin(timed_out, INFINITY);
	plait_testing_advance(r, 1e9);
	plait_timeout_reset(timeout);
	plait_testing_advance(r, 1e9);
	assert_trace("");
	finish();
}

TEST(start_before_the_connection_aborts, PURE, ABORTS)
{
	struct plait_protocol *p = plait_protocol_new(&ops);

	plait_timeout_start(&plait_self(p, struct idle)->timeout, p, 1);
}

/*
 * Connecting again: how long it waits, how long it tries, and that stopping
 * wins over whatever is under way.  The clock and the network are the test's.
 */
#include <math.h>
#include <sys/socket.h>

#include <plait/reconnect.h>
#include <plait/testing.h>

#include "tests/harness.h"
#include "tests/trace.h"

static struct plait_reactor *r;
static struct plait_reconnecting_factory *client;
static struct plait_connector *connector; /* of the last attempt */
static unsigned attempts;
static bool content; /* the protocol resets when it is connected */

static void connection_made(struct plait_protocol *p)
{
	trace_add("made");
	if (content)
		plait_reconnecting_factory_reset(plait_self(
			p->factory, struct plait_reconnecting_factory));
}

static const struct plait_protocol_ops protocol_ops = {
	.name = "client",
	.connection_made = connection_made,
};

static void started(struct plait_factory *f, struct plait_connector *c)
{
	attempts++;
	connector = c;
	plait_reconnecting_factory_started(f, c);
}

static void failed(struct plait_factory *f, struct plait_connector *c,
		   const struct plait_failure *why)
{
	trace_add("failed(%s)", plait_failure_kind(why)->name);
	plait_reconnecting_factory_failed(f, c, why);
}

static void factory_start(struct plait_factory *f)
{
	trace_add("start");
}

static void factory_stop(struct plait_factory *f)
{
	trace_add("stop");
}

static const struct plait_factory_ops noting_ops = {
	.name = "noting",
	.started_connecting = started,
	.connection_failed = failed,
	.connection_lost = plait_reconnecting_factory_lost,
};

static const struct plait_factory_ops counting_ops = {
	.name = "counting",
	.start = factory_start,
	.stop = factory_stop,
	.started_connecting = started,
	.connection_failed = failed,
	.connection_lost = plait_reconnecting_factory_lost,
};

static const struct plait_factory_ops plain_ops = {
	PLAIT_RECONNECTING_FACTORY,
	.name = "plain",
};

/* A factory with these settings that is connecting. */
static void begin(struct plait_reconnecting_factory *settings)
{
	client = settings;
	if (client->base.ops == NULL)
		client->base.ops = &noting_ops;
	client->base.protocol = &protocol_ops;
	attempts = 0;
	r = plait_testing_reactor_new();
	plait_connect_tcp(r, "127.0.0.1", 7, &client->base, NULL);
}

static void finish(void)
{
	plait_reconnecting_factory_stop(client);
	plait_testing_advance(r, 0);
	plait_reactor_free(&r);
}

static void refuse(void)
{
	plait_value why = plait_fail(&plait_error_connection_refused, "no");

	plait_testing_refuse(connector, plait_value_failure(&why));
	plait_value_free(&why);
	plait_testing_advance(r, 0);
}

static void lose(struct plait_transport *t)
{
	plait_value why = plait_connection_done();

	plait_testing_lose(t, plait_value_failure(&why));
	plait_testing_advance(r, 0);
}

/* The delay of the next failure, after which it tries again. */
static double next_delay(void)
{
	double delay;
	unsigned before = attempts;

	refuse();
	delay = plait_reconnecting_factory_delay(client);
	plait_testing_advance(r, delay * 0.999);
	ck_assert_uint_eq(attempts, before);
	plait_testing_advance(r, delay * 0.001 + 1e-6);
	ck_assert_uint_eq(attempts, before + 1);
	return delay;
}

GROUP("delays");

/* Twisted's own with its jitter set to 0. */
TEST(delays_grow_as_twisteds, PURE)
{
	static const double delays[] = {
		2.718281828459045,
		7.3890560989306495,
		20.085536923187664,
		54.59815003314423,
		148.4131591025766,
		403.428793492735,
		1096.6331584284583,
		2980.957987041727,
		3600,
		3600,
	};
	struct plait_reconnecting_factory f = { .jitter = -1 };

	begin(&f);
	for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++)
		ck_assert_double_eq_tol(next_delay(), delays[i], 1e-9);
	finish();
}

TEST(settings_are_heeded, PURE)
{
	struct plait_reconnecting_factory f = {
		.jitter = -1, .initial_delay = 0.5, .factor = 2, .max_delay = 3
	};

	begin(&f);
	ck_assert_double_eq(next_delay(), 1);
	ck_assert_double_eq(next_delay(), 2);
	ck_assert_double_eq(next_delay(), 3);
	ck_assert_double_eq(next_delay(), 3);
	finish();
}

TEST(senseless_settings_are_the_defaults, PURE)
{
	struct plait_reconnecting_factory f = { .jitter = NAN,
						.initial_delay = -1,
						.factor = NAN,
						.max_delay = -INFINITY };

	begin(&f);
	ck_assert_double_eq_tol(next_delay(), 2.718281828459045, 1e-9);
	finish();
}

TEST(endless_delays_do_no_harm, PURE)
{
	struct plait_reconnecting_factory f = { .max_delay = INFINITY,
						.factor = INFINITY,
						.jitter = INFINITY,
						.random = 5 };

	begin(&f);
	for (int i = 0; i < 8; i++) {
		refuse();
		ck_assert(plait_reconnecting_factory_delay(client) <= 1e9);
		plait_testing_advance(r, 1e9);
		ck_assert_uint_eq(attempts, (unsigned)i + 2);
	}
	finish();
}

/* Hazard 72: no storm, and no delay above the maximum, in a long night. */
TEST(delays_are_bounded_for_ever, PURE)
{
	struct plait_reconnecting_factory f = { .random = 42 };
	double least = INFINITY, most = 0, sum = 0;
	int n = 100000;

	begin(&f);
	for (int i = 0; i < n; i++) {
		double delay;

		refuse();
		trace_clear();
		delay = plait_reconnecting_factory_delay(client);
		plait_testing_advance(r, 3600);
		ck_assert_uint_eq(attempts, (unsigned)i + 2);
		if (i < 20)
			continue;
		least = delay < least ? delay : least;
		most = delay > most ? delay : most;
		sum += delay;
	}
	ck_assert(most <= 3600 && most > 3599);
	ck_assert(least > 3600 * (1 - 6 * 0.1197));
	/* half of a normal distribution: sqrt(2 / pi) of its deviation */
	ck_assert_double_eq_tol(sum / (n - 20), 3600 * (1 - 0.798 * 0.1196), 5);
	finish();
}

TEST(jitter_spreads_around_the_delay, PURE)
{
	double sum = 0, squares = 0;
	int n = 2000;

	for (int i = 0; i < n; i++) {
		struct plait_reconnecting_factory f = { .jitter = 0.1,
							.factor = 100,
							.random = 1000003u *
								  (i + 1u) };
		double d;

		begin(&f);
		refuse();
		d = plait_reconnecting_factory_delay(client) - 100;
		sum += d;
		squares += d * d;
		finish();
		trace_clear();
	}
	ck_assert_double_eq_tol(sum / n, 0, 1.5);
	ck_assert_double_eq_tol(squares / n, 100, 15);
}

TEST(no_two_factories_move_in_step, PURE)
{
	struct plait_reconnecting_factory f[2] = { { .jitter = 0 } };
	double delays[2];

	for (int i = 0; i < 2; i++) {
		begin(&f[i]);
		refuse();
		delays[i] = plait_reconnecting_factory_delay(client);
		finish();
	}
	ck_assert_double_ne(delays[0], delays[1]);
}

TEST(seed_makes_it_repeat, PURE)
{
	double delays[2];

	for (int i = 0; i < 2; i++) {
		struct plait_reconnecting_factory f = { .random = 7 };

		begin(&f);
		refuse();
		delays[i] = plait_reconnecting_factory_delay(client);
		finish();
	}
	ck_assert_double_eq(delays[0], delays[1]);
}

/* A server that accepts and hangs up is not stormed. */
TEST(success_alone_does_not_reset, PURE)
{
	struct plait_reconnecting_factory f = { .jitter = -1, .factor = 2 };

	begin(&f);
	ck_assert_double_eq(next_delay(), 2);
	lose(plait_testing_complete(connector));
	ck_assert_double_eq(plait_reconnecting_factory_delay(client), 4);
	plait_testing_advance(r, 4);
	ck_assert_uint_eq(attempts, 3);
	finish();
}

TEST(content_protocol_resets, PURE)
{
	struct plait_reconnecting_factory f = { .jitter = -1, .factor = 2 };

	content = true;
	begin(&f);
	next_delay();
	next_delay();
	lose(plait_testing_complete(connector));
	ck_assert_double_eq(plait_reconnecting_factory_delay(client), 2);
	finish();
}

/* Told of the beginning and no more, it holds no connector for good. */
static void note_failed(struct plait_factory *f, struct plait_connector *c,
			const struct plait_failure *why)
{
	trace_add("failed");
}

static const struct plait_factory_ops forgetful_ops = {
	.name = "forgetful",
	.started_connecting = started,
	.connection_failed = note_failed,
	.connection_lost = note_failed,
};

TEST(content_or_stopped_one_holds_no_connector, PURE, TIMES(2))
{
	struct plait_reconnecting_factory f = { .base.ops = &forgetful_ops };

	content = _i == 0;
	f.stopped = _i == 1;
	begin(&f);
	if (_i == 0)
		plait_testing_complete(connector);
	else
		refuse();
	plait_reactor_free(&r);
	ck_assert_ptr_null(f.connector);
}

TEST(reset_in_a_delay_lets_it_run, PURE)
{
	struct plait_reconnecting_factory f = { .jitter = -1, .factor = 2 };

	begin(&f);
	next_delay();
	refuse();
	plait_reconnecting_factory_reset(client);
	ck_assert_double_eq(plait_reconnecting_factory_delay(client), 4);
	plait_testing_advance(r, 4);
	ck_assert_uint_eq(attempts, 3);
	ck_assert_double_eq(next_delay(), 2);
	finish();
}

TEST(gives_up_after_so_many_retries_in_a_row, PURE)
{
	struct plait_reconnecting_factory f = { .jitter = -1,
						.max_retries = 2 };

	content = true;
	begin(&f);
	next_delay();
	next_delay();
	lose(plait_testing_complete(connector));
	plait_testing_advance(r, 4);
	next_delay();
	refuse();
	ck_assert_double_eq(plait_reconnecting_factory_delay(client), 0);
	plait_testing_advance(r, 1e6);
	ck_assert_uint_eq(attempts, 5);
	/* nothing is held, though it was not stopped */
	plait_reactor_free(&r);
}

GROUP("stop");

TEST(stop_ends_a_delay, PURE)
{
	struct plait_reconnecting_factory f = { .jitter = -1 };

	begin(&f);
	refuse();
	plait_reconnecting_factory_stop(client);
	plait_reconnecting_factory_stop(client);
	ck_assert_double_eq(plait_reconnecting_factory_delay(client), 0);
	plait_testing_advance(r, 1e6);
	ck_assert_uint_eq(attempts, 1);
	plait_reactor_free(&r);
}

TEST(stop_ends_an_attempt, PURE)
{
	struct plait_reconnecting_factory f = { .jitter = -1 };

	begin(&f);
	plait_reconnecting_factory_stop(client);
	assert_trace("");
	plait_testing_advance(r, 0);
	assert_trace("failed(UserError)");
	plait_testing_advance(r, 1e6);
	ck_assert_uint_eq(attempts, 1);
	plait_reactor_free(&r);
}

static void refuse_only(struct plait_connector *c)
{
	plait_value why = plait_fail(&plait_error_connection_refused, "no");

	plait_testing_refuse(c, plait_value_failure(&why));
	plait_value_free(&why);
}

static void stop_then_failed(struct plait_factory *f, struct plait_connector *c,
			     const struct plait_failure *why)
{
	plait_reconnecting_factory_stop(client);
	failed(f, c, why);
}

TEST(stop_wins_over_the_failure_that_is_being_told, PURE)
{
	static const struct plait_factory_ops ops = {
		.name = "stopping",
		.started_connecting = started,
		.connection_failed = stop_then_failed,
	};
	struct plait_reconnecting_factory f = { .base.ops = &ops };

	begin(&f);
	refuse_only(connector);
	plait_testing_advance(r, 1e6);
	assert_trace("failed(ConnectionRefusedError)");
	ck_assert_uint_eq(attempts, 1);
	plait_reactor_free(&r);
}

TEST(stop_leaves_a_connection_but_not_its_successor, PURE)
{
	struct plait_reconnecting_factory f = { .jitter = -1 };
	struct plait_transport *t;

	begin(&f);
	t = plait_testing_complete(connector);
	plait_reconnecting_factory_stop(client);
	plait_testing_advance(r, 100);
	ck_assert(plait_testing_is_connected(t));
	/* nor does a protocol that is content too late bring it back */
	plait_reconnecting_factory_reset(client);
	lose(t);
	plait_testing_advance(r, 1e6);
	ck_assert_uint_eq(attempts, 1);
	plait_reactor_free(&r);
}

TEST(stop_from_started_connecting, PURE)
{
	struct plait_reconnecting_factory f = { .jitter = -1 };

	begin(&f);
	refuse();
	plait_testing_advance(r, 3);
	ck_assert_uint_eq(attempts, 2);
	plait_reconnecting_factory_stop(client);
	plait_testing_advance(r, 1e6);
	ck_assert_uint_eq(attempts, 2);
	assert_trace("failed(ConnectionRefusedError) failed(UserError)");
	plait_reactor_free(&r);
}

TEST(start_undoes_a_stop, PURE)
{
	struct plait_reconnecting_factory f = { .jitter = -1, .factor = 2 };

	begin(&f);
	next_delay();
	plait_reconnecting_factory_stop(client);
	plait_testing_advance(r, 1);
	plait_reconnecting_factory_start(client);
	plait_connect_tcp(r, "127.0.0.1", 7, &client->base, NULL);
	ck_assert_double_eq(next_delay(), 2);
	finish();
}

TEST(without_a_start_a_stopped_one_tries_once, PURE)
{
	struct plait_reconnecting_factory f = { .jitter = -1 };

	begin(&f);
	plait_reconnecting_factory_stop(client);
	plait_testing_advance(r, 1);
	plait_connect_tcp(r, "127.0.0.1", 7, &client->base, NULL);
	refuse();
	plait_testing_advance(r, 1e6);
	ck_assert_uint_eq(attempts, 2);
	plait_reactor_free(&r);
}

GROUP("connectors");

TEST(connecting_by_hand_ends_the_delay, PURE)
{
	struct plait_reconnecting_factory f = { .jitter = -1 };

	begin(&f);
	refuse();
	ck_assert_int_eq(plait_connector_connect(connector), 0);
	ck_assert_double_eq(plait_reconnecting_factory_delay(client), 0);
	plait_testing_advance(r, 1e6);
	ck_assert_uint_eq(attempts, 2);
	finish();
}

static void remember_connector(struct plait_factory *f,
			       struct plait_connector *c)
{
	connector = c;
}

/* A factory that was not told of the attempt finds it when the delay ends. */
TEST(attempt_of_somebody_else_is_left_alone, PURE)
{
	static const struct plait_factory_ops ops = {
		.name = "ignorant",
		.started_connecting = remember_connector,
		.connection_failed = failed,
	};
	struct plait_reconnecting_factory f = { .base.ops = &ops };

	begin(&f);
	refuse();
	ck_assert_int_eq(plait_connector_connect(connector), 0);
	plait_testing_advance(r, 10);
	ck_assert_int_eq(plait_connector_state(connector), PLAIT_CONNECTING);
	ck_assert_double_eq(plait_reconnecting_factory_delay(client), 0);
	plait_reactor_free(&r);
	plait_reconnecting_factory_stop(client);
}

TEST(factory_is_out_of_use_in_a_delay, PURE)
{
	struct plait_reconnecting_factory f = { .jitter = -1,
						.base.ops = &counting_ops };

	begin(&f);
	assert_trace("start");
	refuse();
	assert_trace("failed(ConnectionRefusedError) stop");
	plait_testing_advance(r, 3);
	assert_trace("start");
	plait_reconnecting_factory_stop(client);
	plait_testing_advance(r, 0);
	assert_trace("failed(UserError) stop");
	plait_reactor_free(&r);
}

TEST(table_of_the_header_suffices, PURE)
{
	struct plait_reconnecting_factory f = { .jitter = -1,
						.base.ops = &plain_ops };
	struct plait_connector *c;

	begin(&f);
	c = plait_connector_ref(f.connector);
	refuse_only(c);
	plait_testing_advance(r, 3);
	lose(plait_testing_complete(c));
	plait_testing_advance(r, 100);
	ck_assert_int_eq(plait_connector_state(c), PLAIT_CONNECTING);
	plait_connector_unref(&c);
	finish();
}

TEST(without_a_connector_it_gives_up, PURE)
{
	struct plait_reconnecting_factory f = { .base.ops = &noting_ops };
	plait_value why = plait_no_memory();

	plait_reconnecting_factory_failed(&f.base, NULL,
					  plait_value_failure(&why));
	ck_assert_double_eq(plait_reconnecting_factory_delay(&f), 0);
	plait_reconnecting_factory_reset(&f);
	plait_reconnecting_factory_stop(&f);
}

GROUP("stop");

/* What a delay holds when its reactor goes is let go by stop. */
TEST(stop_after_the_reactor_was_freed, PURE, TIMES(3))
{
	struct plait_reconnecting_factory f = { .jitter = -1 };

	begin(&f);
	if (_i == 1)
		refuse();
	else if (_i == 2)
		plait_testing_complete(connector);
	plait_reactor_free(&r);
	plait_reconnecting_factory_stop(client);
	ck_assert_uint_eq(attempts, 1);
}

/* On real sockets: refused by a port that is held, then let in. */
static void real_connection_made(struct plait_protocol *p)
{
	content = true;
}

GROUP("connectors");

TEST(connects_again_on_real_sockets, ON_EACH_BACKEND)
{
	static const struct plait_protocol_ops ops = {
		.name = "real",
		.connection_made = real_connection_made,
	};
	struct plait_reconnecting_factory f = {
		.base = { .ops = &noting_ops, .protocol = &ops },
		.initial_delay = 0.001,
	};
	uint16_t port;
	int fd = peer_hold_port(&port), peer;

	clock_virtual(true);
	plait_connect_tcp(reactor, "127.0.0.1", port, &f.base, NULL);
	run_until_count(reactor, &attempts, 4);
	ck_assert_int_eq(listen(fd, 1), 0);
	run_until_set(reactor, &content);
	peer = accept(fd, NULL, NULL);
	ck_assert_int_ge(peer, 0);
	close(peer);
	close(fd);
	run_until_count(reactor, &attempts, attempts + 2);
	plait_reconnecting_factory_stop(&f);
	plait_reactor_free(&reactor);
}

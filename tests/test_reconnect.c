/*
 * Connecting again: how long it waits, how long it tries, and that stopping
 * wins over whatever is under way.  The clock and the network are the test's.
 */
#include <math.h>
#include <sys/socket.h>

#include <plait/reconnect.h>
#include <plait/testing.h>

#include "tests/harness.h"
#include "tests/script.h"
#include "tests/timed.h"

static struct plait_reconnecting_factory *client;
static struct plait_connector *connector; /* of the last attempt */
static unsigned attempts;
static bool quiet;
static bool content; /* the protocol resets when it is connected */

static void connection_made(struct plait_protocol *p)
{
	trace_add("made");
	if (content)
		plait_reconnecting_factory_reset_delay(plait_self(
			p->factory, struct plait_reconnecting_factory));
}

static const struct plait_protocol_ops protocol_ops = {
	.name = "client",
	.connection_made = connection_made,
};

static void started(struct plait_factory *f, struct plait_connector *c)
{
	attempts++;
	if (!quiet)
		trace_add("try");
	connector = c;
	plait_reconnecting_factory_started_connecting(f, c);
}

static void failed(struct plait_factory *f, struct plait_connector *c,
		   const struct plait_failure *why)
{
	if (!quiet)
		trace_add("failed(%s)", plait_failure_kind(why)->name);
	plait_reconnecting_factory_connection_failed(f, c, why);
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
	.connection_lost = plait_reconnecting_factory_connection_lost,
};

static const struct plait_factory_ops counting_ops = {
	.name = "counting",
	.start = factory_start,
	.stop = factory_stop,
	.started_connecting = started,
	.connection_failed = failed,
	.connection_lost = plait_reconnecting_factory_connection_lost,
};

static const struct plait_factory_ops plain_ops = {
	PLAIT_RECONNECTING_FACTORY,
	.name = "plain",
};

/* A factory with these settings that is connecting. */
static void begin_there(struct plait_reconnecting_factory *f)
{
	client = f;
	if (client->base.ops == NULL)
		client->base.ops = &noting_ops;
	client->base.protocol = &protocol_ops;
	attempts = 0;
	plait_connect_tcp(reactor, "127.0.0.1", 7, &client->base, NULL);
}

static void begin(struct plait_reconnecting_factory *f)
{
	reactor = plait_testing_reactor_new();
	begin_there(f);
}

static void finish(void)
{
	plait_reconnecting_factory_stop_trying(client);
	if (reactor != NULL)
		plait_testing_advance(reactor, 0);
	plait_reactor_free(&reactor);
}

static void refuse(void)
{
	plait_value why = plait_fail(&plait_error_connection_refused, "no");

	plait_testing_refuse(connector, plait_value_failure(&why));
	plait_value_free(&why);
	plait_testing_advance(reactor, 0);
}

static void lose(struct plait_transport *t)
{
	plait_value why = plait_connection_done();

	plait_testing_lose(t, plait_value_failure(&why));
	plait_testing_advance(reactor, 0);
}

/* The delay of the next failure, after which it tries again. */
static double next_delay(void)
{
	double delay;
	unsigned before = attempts;

	refuse();
	delay = plait_reconnecting_factory_delay(client);
	plait_testing_advance(reactor, delay * 0.999);
	ck_assert_uint_eq(attempts, before);
	plait_testing_advance(reactor, delay * 0.001 + 1e-6);
	ck_assert_uint_eq(attempts, before + 1);
	return delay;
}

/* The verbs of this suite: of one factory and its last connection. */
static struct plait_reconnecting_factory settings;
static struct plait_transport *last;

/* Each setting that is named, and its number. */
static void do_client(void)
{
	static const char *const names[] = { "jitter", "factor", "initial",
					     "max", "uptime" };
	double *const numbers[] = { &settings.backoff.jitter,
				    &settings.backoff.factor,
				    &settings.backoff.initial_delay,
				    &settings.backoff.max_delay,
				    &settings.backoff.min_uptime };

	while (play_more()) {
		const char *name = play_word();
		double number = play_number();

		if (strcmp(name, "retries") == 0)
			settings.max_retries = (unsigned)number;
		for (size_t i = 0; i < 5; i++)
			if (strcmp(name, names[i]) == 0)
				*numbers[i] = number;
	}
	begin(&settings);
}

static void do_content(void)
{
	content = true;
}

static void do_in_use(void)
{
	settings.base.ops = &counting_ops;
}

/* So many failures: only how long it then waits is traced. */
static void do_delays(void)
{
	for (int n = (int)play_number(); n > 0; n--) {
		quiet = true;
		double delay = next_delay();

		quiet = false;
		trace_add("%.12g", delay);
	}
}

static void do_delay(void)
{
	trace_add("%.12g", plait_reconnecting_factory_delay(client));
}

static void do_complete(void)
{
	last = plait_testing_complete(connector);
}

static void do_lose(void)
{
	lose(last);
}

static void do_connected(void)
{
	trace_add("%s",
		  plait_testing_is_connected(last) ? "connected" : "lost");
}

static void do_stop(void)
{
	plait_reconnecting_factory_stop_trying(client);
}

static void do_start(void)
{
	plait_reconnecting_factory_start_trying(client);
}

static void do_reset(void)
{
	plait_reconnecting_factory_reset_delay(client);
}

static void do_connect(void)
{
	ck_assert_int_eq(plait_connector_connect(connector), 0);
}

static void do_connect_tcp(void)
{
	plait_connect_tcp(reactor, "127.0.0.1", 7, &client->base, NULL);
}

static const struct play_verb verbs[] = {
	{ "client", do_client },   /* [SETTING NUMBER ...]: it connects */
	{ "content", do_content }, /* its protocols reset it */
	{ "in_use", do_in_use },   /* traces start() and stop() */
	{ "delays", do_delays },   /* N */
	{ "delay?", do_delay },
	{ "refuse", refuse },
	{ "complete", do_complete },
	{ "lose", do_lose },
	{ "connected?", do_connected },
	{ "stop", do_stop },
	{ "start", do_start },
	{ "reset", do_reset },
	{ "connect", do_connect },
	{ "connect_tcp", do_connect_tcp },
	{ NULL, NULL },
};

static void setup(void)
{
	steps_setup();
	play_words(verbs, finish);
}

GROUP("delays", .setup = setup);

/* Twisted's own with its jitter set to 0. */
SCRIPT(delays_grow_as_twisteds, PURE, "client jitter -1; delays 10",
       "try 2.71828182846 7.38905609893 20.0855369232 54.5981500331 "
       "148.413159103 403.428793493 1096.63315843 2980.95798704 3600 3600")

SCRIPT(settings_are_heeded, PURE,
       "client jitter -1 initial 0.5 factor 2 max 3; delays 4", "try 1 2 3 3")

SCRIPT(senseless_settings_are_the_defaults, PURE,
       "client jitter -1 initial -1 factor nan max -inf; delays 1",
       "try 2.71828182846")

TEST(endless_delays_do_no_harm, PURE)
{
	struct plait_reconnecting_factory f = { .backoff.max_delay = INFINITY,
						.backoff.factor = INFINITY,
						.backoff.jitter = INFINITY,
						.backoff.random = 5 };

	begin(&f);
	for (int i = 0; i < 8; i++) {
		refuse();
		ck_assert(plait_reconnecting_factory_delay(client) <= 1e9);
		plait_testing_advance(reactor, 1e9);
		ck_assert_uint_eq(attempts, (unsigned)i + 2);
	}
	finish();
}

/* Hazard 72: no storm, and no delay above the maximum, in a long night. */
TEST(delays_are_bounded_for_ever, PURE)
{
	struct plait_reconnecting_factory f = { .backoff.random = 42 };
	double least = INFINITY, most = 0, sum = 0;
	int n = 100000;

	begin(&f);
	for (int i = 0; i < n; i++) {
		double delay;

		refuse();
		trace_clear();
		delay = plait_reconnecting_factory_delay(client);
		plait_testing_advance(reactor, 3600);
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
		struct plait_reconnecting_factory f = {
			.backoff.jitter = 0.1,
			.backoff.factor = 100,
			.backoff.random = 1000003u * (i + 1u)
		};
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
	struct plait_reconnecting_factory f[2] = { { .backoff.jitter = 0 } };
	double delays[2];

	reactor = plait_testing_reactor_new();
	for (int i = 0; i < 2; i++) {
		begin_there(&f[i]);
		refuse();
		delays[i] = plait_reconnecting_factory_delay(client);
		plait_reconnecting_factory_stop_trying(client);
	}
	finish();
	ck_assert_double_ne(delays[0], delays[1]);
}

TEST(seed_makes_it_repeat, PURE)
{
	double delays[2];

	for (int i = 0; i < 2; i++) {
		struct plait_reconnecting_factory f = { .backoff.random = 7 };

		begin(&f);
		refuse();
		delays[i] = plait_reconnecting_factory_delay(client);
		finish();
	}
	ck_assert_double_eq(delays[0], delays[1]);
}

/* A server that accepts and hangs up is not stormed. */
SCRIPT(success_alone_does_not_reset, PURE,
       "client jitter -1 factor 2; delays 1; complete; lose; delay?; advance 4",
       "try 2 made 4 try")

SCRIPT(content_protocol_resets, PURE,
       "content; client jitter -1 factor 2; delays 2; complete; lose; delay?",
       "try 2 4 made 2")

/* Nor is one that lets the protocol be content first. */
SCRIPT(connection_must_live_for_min_uptime_to_reset, PURE,
       "content; client jitter -1 factor 2 retries 3 uptime 5; delays 2; "
       "complete; delay?; advance 4.9; lose; delay? | advance 8; complete; "
       "advance 5; lose; delay?; advance 2; delays 1",
       "try 2 4 made 0 8 | try made 2 try 4")

SCRIPT(senseless_min_uptime_resets_at_once, PURE,
       "content; client jitter -1 factor 2 uptime nan; delays 2; complete; "
       "lose; delay?",
       "try 2 4 made 2")

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
	plait_reactor_free(&reactor);
	ck_assert_ptr_null(f.connector);
}

SCRIPT(reset_in_a_delay_lets_it_run, PURE,
       "client jitter -1 factor 2; delays 1; refuse; reset; delay?; advance 4; "
       "delays 1",
       "try 2 failed(ConnectionRefusedError) 4 try 2")

SCRIPT(gives_up_after_so_many_retries_in_a_row, PURE,
       "content; client jitter -1 factor 2 retries 2; delays 2; complete; "
       "lose; advance 2; delays 1; refuse; delay?; advance 1e6; free_reactor",
       "try 2 4 made try 4 failed(ConnectionRefusedError) 0")

GROUP("stop", .setup = setup);

SCRIPT(stop_ends_a_delay, PURE,
       "client jitter -1; refuse; stop; stop; delay?; advance 1e6; "
       "free_reactor",
       "try failed(ConnectionRefusedError) 0")

SCRIPT(stop_ends_an_attempt, PURE,
       "client jitter -1; stop | advance 0 | advance 1e6; free_reactor",
       "try | failed(UserError) |")

static void refuse_only(struct plait_connector *c)
{
	plait_value why = plait_fail(&plait_error_connection_refused, "no");

	plait_testing_refuse(c, plait_value_failure(&why));
	plait_value_free(&why);
}

static void stop_then_failed(struct plait_factory *f, struct plait_connector *c,
			     const struct plait_failure *why)
{
	plait_reconnecting_factory_stop_trying(client);
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
	plait_testing_advance(reactor, 1e6);
	assert_trace("try failed(ConnectionRefusedError)");
	ck_assert_uint_eq(attempts, 1);
	plait_reactor_free(&reactor);
}

SCRIPT(stop_leaves_a_connection_but_not_its_successor, PURE,
       "client jitter -1; complete; stop; advance 100; connected? | reset; "
       "lose; advance 1e6; free_reactor",
       "try made connected |")

SCRIPT(stop_from_started_connecting, PURE,
       "client jitter -1; refuse; advance 3 | stop; advance 1e6; free_reactor",
       "try failed(ConnectionRefusedError) try | failed(UserError)")

SCRIPT(start_undoes_a_stop, PURE,
       "client jitter -1 factor 2; delays 1; stop; advance 1; start; "
       "connect_tcp; delays 1",
       "try 2 failed(UserError) try 2")

SCRIPT(without_a_start_a_stopped_one_tries_once, PURE,
       "client jitter -1; stop; advance 1; connect_tcp; refuse; advance 1e6; "
       "free_reactor",
       "try failed(UserError) try failed(ConnectionRefusedError)")

GROUP("connectors", .setup = setup);

SCRIPT(connecting_by_hand_ends_the_delay, PURE,
       "client jitter -1; refuse; connect; delay?; advance 1e6",
       "try failed(ConnectionRefusedError) try 0 failed(ConnectTimeoutError)")

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
	plait_testing_advance(reactor, 10);
	ck_assert_int_eq(plait_connector_state(connector),
			 PLAIT_CONNECTOR_CONNECTING);
	ck_assert_double_eq(plait_reconnecting_factory_delay(client), 0);
	plait_reactor_free(&reactor);
	plait_reconnecting_factory_stop_trying(client);
}

SCRIPT(factory_is_out_of_use_in_a_delay, PURE,
       "in_use; client jitter -1 | refuse | advance 3 | stop; advance 0; "
       "free_reactor",
       "start try | failed(ConnectionRefusedError) stop | start try | "
       "failed(UserError) stop")

TEST(table_of_the_header_suffices, PURE)
{
	struct plait_reconnecting_factory f = { .backoff.jitter = -1,
						.base.ops = &plain_ops };
	struct plait_connector *c;

	begin(&f);
	c = plait_connector_ref(f.connector);
	refuse_only(c);
	plait_testing_advance(reactor, 3);
	lose(plait_testing_complete(c));
	plait_testing_advance(reactor, 100);
	ck_assert_int_eq(plait_connector_state(c), PLAIT_CONNECTOR_CONNECTING);
	plait_connector_unref(&c);
	finish();
}

TEST(without_a_connector_it_gives_up, PURE)
{
	struct plait_reconnecting_factory f = { .base.ops = &noting_ops };
	plait_value why = plait_no_memory();

	plait_reconnecting_factory_connection_failed(&f.base, NULL,
						     plait_value_failure(&why));
	ck_assert_double_eq(plait_reconnecting_factory_delay(&f), 0);
	plait_reconnecting_factory_reset_delay(&f);
	plait_reconnecting_factory_stop_trying(&f);
}

GROUP("stop", .setup = setup);

/* What a delay holds when its reactor goes is let go by stop. */
SCRIPTS(stop_after_the_reactor_was_freed, PURE,
	{ "client jitter -1; free_reactor; stop",
	  "try failed(ConnectionLost)" },
	{ "content; client jitter -1 uptime 5; complete; free_reactor; stop",
	  "try made" },
	{ "client jitter -1; refuse; free_reactor; stop",
	  "try failed(ConnectionRefusedError)" },
	{ "client jitter -1; complete; free_reactor; stop", "try made" })

/* On real sockets: refused by a port that is held, then let in. */
static void real_connection_made(struct plait_protocol *p)
{
	content = true;
}

GROUP("connectors", .setup = setup);

TEST(connects_again_on_real_sockets, ON_EACH_BACKEND)
{
	static const struct plait_protocol_ops ops = {
		.name = "real",
		.connection_made = real_connection_made,
	};
	struct plait_reconnecting_factory f = {
		.base = { .ops = &noting_ops, .protocol = &ops },
		.backoff.initial_delay = 0.001,
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
	plait_reconnecting_factory_stop_trying(&f);
	plait_reactor_free(&reactor);
}

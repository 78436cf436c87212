/*
 * Connectors: the order of what a client factory is told, what ends an
 * attempt, connecting again, and references.  What system calls can do to an
 * attempt is in test_connect_faults.c.
 */
#include <math.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <plait/testing.h>

#include "tests/actor.h"
#include "tests/child.h"

static struct actor client;
static struct actor server;
static struct plait_port *port;
static int held;	  /* a port that refuses */
static uint16_t refusing; /* its number */

static void setup(void)
{
	actor_init(&client);
	actor_init(&server);
	held = peer_hold_port(&refusing);
}

static void teardown(void)
{
	close(held);
}

/* A connection between client and server; the server's port is closed. */
static struct plait_connector *connect_both(void)
{
	unsigned number = actor_listen(&server, reactor, &port);
	struct plait_connector *c = actor_connect(&client, reactor, number);

	run_until_count(reactor, &client.made, 1);
	run_until_count(reactor, &server.made, 1);
	actor_stop(reactor, &port);
	return c;
}

/* Turns until the kernel tries, and sees no event before that. */
static void begin_attempt(void)
{
	bool epoll = strcmp(backend, "epoll") == 0;

	calls_reset();
	while (calls_of("connect") == 0) {
		fault_call(epoll ? "epoll_wait" : "select", 1, EINTR);
		run_turns(reactor, 1);
	}
}

static void wait_end(void)
{
	actor_wait_idle(&client, reactor);
	actor_wait_idle(&server, reactor);
	run_turns(reactor, 3);
}

GROUP("attempt", .setup = setup, .teardown = teardown);

/* Connected and reset before that was seen: what it has said is heard. */
TEST(a_peer_that_speaks_and_resets_at_once_is_heard, ON_EACH_BACKEND, TIMES(2))
{
	uint16_t number;
	int listener = peer_listen(&number, 1), fd;

	actor_connect(&client, reactor, number);
	begin_attempt();
	fd = peer_accept(listener);
	if (_i == 0)
		peer_say(fd, "go away");
	peer_reset(fd);
	wait_end();
	if (_i == 0) {
		ck_assert_str_eq(client.trace, "ScBMDLCX");
		ck_assert_str_eq(client.text, "go away");
		ck_assert_ptr_eq(client.lost_kind,
				 &plait_error_connection_lost);
	} else {
		ck_assert_str_eq(client.trace, "ScFX");
	}
	ck_assert_int_eq(client.err, ECONNRESET);
	close(listener);
}

/* Connected already, but given up before that was seen. */
TEST(a_child_that_holds_an_attempt_does_not_keep_the_peer_waiting,
     ON_EACH_BACKEND)
{
	uint16_t number;
	int listener = peer_listen(&number, 1), fd;
	struct plait_connector *c = actor_connect(&client, reactor, number);
	pid_t child;

	begin_attempt();
	child = child_hold();
	plait_connector_stop_connecting(c);
	wait_end();
	fd = peer_accept(listener);
	ck_assert_int_lt(peer_read_to_eof(reactor, fd, NULL, 0), 1);
	close(fd);
	close(listener);
	child_let_go(child);
}

TEST(connecting_starts_and_tells_nothing_else, ON_EACH_BACKEND)
{
	struct plait_connector *c;

	calls_reset();
	c = actor_connect(&client, reactor, refusing);
	ck_assert_ptr_nonnull(c);
	ck_assert_ptr_eq(client.connector, c);
	ck_assert_str_eq(client.trace, "Sc");
	ck_assert_int_eq(plait_connector_state(c), PLAIT_CONNECTING);
	ck_assert_uint_eq(calls_of("socket"), 0);
	ck_assert_uint_eq(calls_of("connect"), 0);
	wait_end();
}

TEST(success_is_made_then_lost_then_stopped, ON_EACH_BACKEND)
{
	struct plait_connector *c = connect_both();

	ck_assert_int_eq(plait_connector_state(c), PLAIT_CONNECTED);
	ck_assert_str_eq(client.trace, "ScBM");
	plait_transport_lose_connection(server.transport);
	wait_end();
	ck_assert_str_eq(client.trace, "ScBMLCX");
	ck_assert_ptr_eq(client.kind, &plait_error_connection_done);
}

static void expect_connected(struct actor *a)
{
	ck_assert_int_eq(plait_connector_state(a->connector), PLAIT_CONNECTED);
}

TEST(it_is_connected_before_the_protocol_is_built, ON_EACH_BACKEND)
{
	client.on_build = expect_connected;
	connect_both();
	plait_transport_lose_connection(client.transport);
	wait_end();
}

static void expect_still_connected(struct actor *a, struct plait_protocol *p)
{
	expect_connected(a);
	ck_assert_int_eq(plait_connector_connect(a->connector), -EISCONN);
}

static void expect_disconnected(struct actor *a)
{
	ck_assert_int_eq(plait_connector_state(a->connector),
			 PLAIT_DISCONNECTED);
}

TEST(it_is_connected_until_the_factory_hears_of_the_loss, ON_EACH_BACKEND)
{
	client.on_lost = expect_still_connected;
	client.on_client_lost = expect_disconnected;
	connect_both();
	plait_transport_abort(server.transport);
	wait_end();
	ck_assert_str_eq(client.trace, "ScBMLCX");
	/* The same reason for both. */
	ck_assert_ptr_eq(client.kind, &plait_error_connection_lost);
	ck_assert_str_eq(client.why, client.lost_why);
}

/* All that a protocol can do wrong in its last moment. */
static void do_everything(struct actor *a, struct plait_protocol *p)
{
	struct plait_deferred *d =
		plait_failed(plait_fail(&plait_error_any, "lost, too"));

	plait_deferred_free(&d);
	plait_transport_write(p->transport, "x", 1);
	plait_transport_abort(p->transport);
	plait_connector_disconnect(a->connector);
	ck_assert_int_eq(plait_connector_stop_connecting(a->connector),
			 -ENOTCONN);
}

TEST(whatever_connection_lost_does_the_factory_is_told, ON_EACH_BACKEND)
{
	unhandled_expect(1);
	client.on_lost = do_everything;
	client.on_client_lost = expect_disconnected;
	connect_both();
	plait_transport_lose_connection(server.transport);
	wait_end();
	ck_assert_str_eq(client.trace, "ScBMLCX");
	ck_assert_ptr_eq(client.kind, &plait_error_connection_done);
	ck_assert_uint_eq(unhandled_count(), 1);
}

static void expect_unwatched(void *arg)
{
	ck_assert_uint_eq(calls_of("epoll_ctl"), 0);
	*(bool *)arg = true;
}

/* A socket that has not begun to connect hangs up at once. */
TEST(it_is_watched_after_it_has_begun_to_connect, ON_EACH_BACKEND)
{
	unsigned number = actor_listen(&server, reactor, &port);
	bool called = false;

	run_turns(reactor, 1);
	call_hook("connect", expect_unwatched, &called);
	calls_reset();
	actor_connect(&client, reactor, number);
	run_until_count(reactor, &client.made, 1);
	ck_assert(called);
	plait_connector_disconnect(client.connector);
	actor_wait_idle(&client, reactor);
	ck_assert_str_eq(client.trace, "ScBMLCX");
	run_until_count(reactor, &server.lost, server.builds);
	actor_stop(reactor, &port);
	wait_end();
}

TEST(refused_is_failed_then_stopped, ON_EACH_BACKEND)
{
	char wanted[128];

	client.on_failed = expect_disconnected;
	actor_connect(&client, reactor, refusing);
	wait_end();
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, &plait_error_connection_refused);
	ck_assert_int_eq(client.err, ECONNREFUSED);
	snprintf(wanted, sizeof(wanted),
		 "ConnectionRefusedError: connect to 127.0.0.1:%u: "
		 "Connection refused",
		 refusing);
	ck_assert_str_eq(client.why, wanted);
}

TEST(build_protocol_is_told_where_it_connected, ON_EACH_BACKEND)
{
	struct plait_address a;
	struct plait_connector *c = connect_both();

	plait_connector_destination(c, &a);
	ck_assert_uint_ne(plait_address_port(&a), 0);
	ck_assert_uint_eq(plait_address_port(&client.peer),
			  plait_address_port(&a));
	plait_transport_lose_connection(client.transport);
	wait_end();
}

TEST(a_client_that_refuses_has_lost_the_connection, ON_EACH_BACKEND)
{
	client.refuses = true;
	actor_connect(&client, reactor, actor_listen(&server, reactor, &port));
	actor_wait_idle(&client, reactor);
	ck_assert_str_eq(client.trace, "ScBCX");
	ck_assert_ptr_eq(client.kind, &plait_error_connection_done);
	run_until_count(reactor, &server.lost, 1);
	ck_assert_ptr_eq(server.lost_kind, &plait_error_connection_done);
	actor_stop(reactor, &port);
	wait_end();
}

TEST(a_client_without_memory_has_failed, ON_EACH_BACKEND)
{
	client.has_no_memory = true;
	actor_connect(&client, reactor, actor_listen(&server, reactor, &port));
	actor_wait_idle(&client, reactor);
	ck_assert_str_eq(client.trace, "ScBFX");
	ck_assert_ptr_eq(client.kind, &plait_error_no_memory);
	run_until_count(reactor, &server.lost, 1);
	actor_stop(reactor, &port);
	wait_end();
}

/* What cannot be connected to: where to, and what it is called. */
static const struct {
	const char *host;
	unsigned port;
	const struct plait_error *kind;
	const char *why;
} impossible[] = {
	{ "poetry.example", 10001, &plait_error_dns_lookup,
	  "DNSLookupError: connect to poetry.example:10001: "
	  "not a numeric address" },
	{ "127.0.0.1", 65536, &plait_error_connect,
	  "ConnectError: connect to 127.0.0.1:65536: Invalid argument" },
	{ "fe80::1%eth0", 1, &plait_error_dns_lookup,
	  "DNSLookupError: connect to fe80::1%eth0:1: "
	  "not a numeric address" },
};

TEST(what_is_no_address_fails_from_the_loop, ON_EACH_BACKEND, TIMES(3))
{
	struct plait_connector *c =
		plait_connect_tcp(reactor, impossible[_i].host,
				  impossible[_i].port, &client.base, NULL);

	ck_assert_str_eq(client.trace, "Sc");
	ck_assert_int_eq(plait_connector_state(c), PLAIT_CONNECTING);
	calls_reset();
	wait_end();
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, impossible[_i].kind);
	ck_assert_str_eq(client.why, impossible[_i].why);
	ck_assert_uint_eq(calls_of("socket"), 0);
}

TEST(this_end_can_be_chosen, ON_EACH_BACKEND)
{
	struct plait_connect_options o = { .bind_address = "127.0.0.2" };
	char text[PLAIT_ADDRESS_SIZE];

	plait_connect_tcp(reactor, "localhost",
			  actor_listen(&server, reactor, &port), &client.base,
			  &o);
	run_until_count(reactor, &server.made, 1);
	plait_address_host(&server.peer, text, sizeof(text));
	ck_assert_str_eq(text, "127.0.0.2");
	run_until_count(reactor, &client.made, 1);
	plait_transport_lose_connection(client.transport);
	actor_stop(reactor, &port);
	wait_end();
}

TEST(this_end_must_be_there, ON_EACH_BACKEND, TIMES(4))
{
	static const struct plait_connect_options ends[] = {
		{ .bind_address = "192.0.2.1" },
		{ .bind_address = "here.example" },
		{ .bind_port = 65536 },
	};
	struct plait_connect_options o = { .bind_address = "127.0.0.1",
					   .bind_port = refusing };
	const struct plait_connect_options *chosen = _i < 3 ? &ends[_i] : &o;

	plait_connect_tcp(reactor, "127.0.0.1", refusing, &client.base, chosen);
	wait_end();
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, &plait_error_bind);
	ck_assert_int_ne(client.err, 0);
}

/* The other end comes first, and the failure of this one is no leak. */
TEST(if_neither_end_is_an_address_the_other_one_is_told, ON_EACH_BACKEND)
{
	struct plait_connect_options o = { .bind_address = "none.example" };

	plait_connect_tcp(reactor, "there.example", 1, &client.base, &o);
	wait_end();
	ck_assert_ptr_eq(client.kind, &plait_error_dns_lookup);
	ck_assert_ptr_nonnull(strstr(client.why, "there.example:1"));
}

static void stop_connecting(struct actor *a)
{
	ck_assert_int_eq(plait_connector_stop_connecting(a->connector), 0);
}

GROUP("stop", .setup = setup, .teardown = teardown);

/* 0: in started_connecting; 1: before a turn; 2: while the kernel tries. */
TEST(stopped_attempts_fail_from_the_loop, ON_EACH_BACKEND, TIMES(3))
{
	unsigned number = actor_listen(&server, reactor, &port);
	struct plait_connector *c;

	if (_i == 0)
		client.on_started = stop_connecting;
	c = actor_connect(&client, reactor, number);
	if (_i == 2)
		begin_attempt();
	if (_i > 0)
		ck_assert_int_eq(plait_connector_stop_connecting(c), 0);
	ck_assert_str_eq(client.trace, "Sc");
	calls_reset();
	/* Again: it is stopped already. */
	ck_assert_int_eq(plait_connector_stop_connecting(c), 0);
	actor_wait_idle(&client, reactor);
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, &plait_error_user);
	ck_assert_uint_eq(calls_of("socket"), 0);
	actor_stop(reactor, &port);
	wait_end();
	ck_assert_uint_eq(client.builds, 0);
}

TEST(stop_connecting_needs_an_attempt, ON_EACH_BACKEND)
{
	struct plait_connector *c = connect_both();

	ck_assert_int_eq(plait_connector_stop_connecting(c), -ENOTCONN);
	plait_connector_ref(c);
	plait_transport_lose_connection(client.transport);
	wait_end();
	ck_assert_int_eq(plait_connector_stop_connecting(c), -ENOTCONN);
	ck_assert_uint_eq(client.failed, 0);
	plait_connector_unref(&c);
	ck_assert_ptr_null(c);
}

TEST(disconnect_gives_up_an_attempt, ON_EACH_BACKEND)
{
	struct plait_connector *c = actor_connect(&client, reactor, refusing);

	plait_connector_disconnect(c);
	ck_assert_str_eq(client.trace, "Sc");
	wait_end();
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, &plait_error_user);
}

static struct plait_promise *promise;

static plait_value give_up(struct plait_deferred *d, void *connector)
{
	plait_connector_disconnect(connector);
	return plait_cancelled();
}

static void fire_failure(struct actor *a)
{
	ck_assert_int_eq(plait_fire(&promise, plait_fail(&plait_error_connect,
							 "%s", a->why)),
			 -ECANCELED);
}

static plait_value note_kind(plait_value *result, void *arg)
{
	*(const struct plait_error **)arg =
		plait_failure_kind(plait_value_failure(result));
	return PLAIT_NONE;
}

/* What a client makes of an attempt that somebody waits for. */
TEST(cancelling_who_waits_for_an_attempt_gives_it_up, ON_EACH_BACKEND)
{
	struct plait_connector *c = actor_connect(&client, reactor, refusing);
	struct plait_deferred *d = plait_deferred_new(&promise, give_up, c);
	const struct plait_error *kind = NULL;

	client.on_failed = fire_failure;
	plait_deferred_add_errback(d, note_kind, &kind);
	plait_deferred_cancel(d);
	ck_assert_ptr_eq(kind, &plait_error_cancelled);
	ck_assert_str_eq(client.trace, "Sc");
	wait_end();
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, &plait_error_user);
	ck_assert_ptr_null(promise);
	plait_deferred_free(&d);
}

TEST(disconnect_loses_a_connection_from_the_loop, ON_EACH_BACKEND)
{
	struct plait_connector *c = connect_both();

	plait_connector_disconnect(c);
	plait_connector_disconnect(c);
	ck_assert_int_eq(plait_connector_state(c), PLAIT_CONNECTED);
	ck_assert_str_eq(client.trace, "ScBM");
	wait_end();
	ck_assert_str_eq(client.trace, "ScBMLCX");
	ck_assert_ptr_eq(client.kind, &plait_error_connection_done);
}

static void disconnect(struct actor *a)
{
	plait_connector_disconnect(a->connector);
}

TEST(disconnect_while_building_loses_what_was_built, ON_EACH_BACKEND)
{
	client.on_build = disconnect;
	actor_connect(&client, reactor, actor_listen(&server, reactor, &port));
	actor_wait_idle(&client, reactor);
	ck_assert_str_eq(client.trace, "ScBMLCX");
	ck_assert_ptr_eq(client.kind, &plait_error_connection_done);
	run_until_count(reactor, &server.lost, 1);
	actor_stop(reactor, &port);
	wait_end();
}

static void connect_anew(struct actor *a)
{
	a->on_build = NULL;
	a->on_client_lost = NULL;
	ck_assert_int_eq(plait_connector_connect(a->connector), 0);
}

/* What was asked of one attempt is not done to the next. */
TEST(disconnect_while_building_does_not_lose_the_next, ON_EACH_BACKEND)
{
	client.on_build = disconnect;
	client.on_client_lost = connect_anew;
	actor_connect(&client, reactor, actor_listen(&server, reactor, &port));
	run_until_count(reactor, &client.made, 2);
	run_turns(reactor, 3);
	ck_assert(!plait_transport_is_disconnecting(client.transport));
	plait_connector_disconnect(client.connector);
	actor_wait_idle(&client, reactor);
	ck_assert_str_eq(client.trace, "ScBMLCcBMLCX");
	run_until_count(reactor, &server.lost, 2);
	actor_stop(reactor, &port);
	wait_end();
}

TEST(disconnect_when_it_is_over_is_nothing, ON_EACH_BACKEND)
{
	client.on_failed = disconnect;
	actor_connect(&client, reactor, refusing);
	wait_end();
	ck_assert_str_eq(client.trace, "ScFX");
}

TEST(no_connector_is_nothing, ON_EACH_BACKEND)
{
	struct plait_connector *none = NULL;
	struct plait_address a = { .port = 42 };
	char text[64];

	ck_assert_ptr_null(plait_connector_ref(none));
	plait_connector_unref(&none);
	ck_assert_int_eq(plait_connector_connect(none), -ESHUTDOWN);
	ck_assert_int_eq(plait_connector_stop_connecting(none), -ENOTCONN);
	plait_connector_disconnect(none);
	ck_assert_int_eq(plait_connector_state(none), PLAIT_DISCONNECTED);
	plait_connector_destination(none, &a);
	ck_assert_uint_eq(plait_address_port(&a), 0);
	plait_connector_str(none, text, sizeof(text));
	ck_assert_str_eq(text, "no connector");
}

/* Connecting again. */
static void connect_once_more(struct actor *a)
{
	if (a->started < 2)
		ck_assert_int_eq(plait_connector_connect(a->connector), 0);
}

GROUP("again", .setup = setup, .teardown = teardown);

TEST(connecting_again_when_it_failed_keeps_the_factory, ON_EACH_BACKEND)
{
	client.on_failed = connect_once_more;
	actor_connect(&client, reactor, refusing);
	wait_end();
	ck_assert_str_eq(client.trace, "ScFcFX");
}

TEST(connecting_again_when_it_was_lost_keeps_the_factory, ON_EACH_BACKEND)
{
	unsigned number = actor_listen(&server, reactor, &port);

	client.on_client_lost = connect_once_more;
	server.on_made = actor_lose;
	actor_connect(&client, reactor, number);
	actor_wait_idle(&client, reactor);
	actor_stop(reactor, &port);
	wait_end();
	ck_assert_str_eq(client.trace, "ScBMLCcBMLCX");
}

TEST(connecting_again_later_starts_the_factory_anew, ON_EACH_BACKEND)
{
	struct plait_connector *c =
		plait_connector_ref(actor_connect(&client, reactor, refusing));

	wait_end();
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_int_eq(plait_connector_connect(c), 0);
	ck_assert_str_eq(client.trace, "ScFXSc");
	wait_end();
	ck_assert_str_eq(client.trace, "ScFXScFX");
	plait_connector_unref(&c);
}

TEST(one_connector_connects_once_at_a_time, ON_EACH_BACKEND)
{
	struct plait_connector *c = actor_connect(&client, reactor, refusing);

	ck_assert_int_eq(plait_connector_connect(c), -EISCONN);
	ck_assert_int_eq(plait_connector_stop_connecting(c), 0);
	ck_assert_int_eq(plait_connector_connect(c), -EISCONN);
	wait_end();
	c = connect_both();
	ck_assert_int_eq(plait_connector_connect(c), -EISCONN);
	plait_connector_disconnect(c);
	wait_end();
}

TEST(what_is_no_address_stays_none, ON_EACH_BACKEND)
{
	client.on_failed = connect_once_more;
	plait_connect_tcp(reactor, "name.example", 1, &client.base, NULL);
	wait_end();
	ck_assert_str_eq(client.trace, "ScFcFX");
	ck_assert_ptr_eq(client.kind, &plait_error_dns_lookup);
}

static void connect_and_stop(struct actor *a)
{
	connect_once_more(a);
	if (a->started == 2)
		plait_connector_stop_connecting(a->connector);
}

TEST(connecting_again_and_stopping_at_once_is_told_once, ON_EACH_BACKEND)
{
	client.on_failed = connect_and_stop;
	actor_connect(&client, reactor, refusing);
	wait_end();
	ck_assert_str_eq(client.trace, "ScFcFX");
	ck_assert_ptr_eq(client.kind, &plait_error_user);
}

TEST(one_factory_counts_all_its_connectors, ON_EACH_BACKEND)
{
	unsigned number = actor_listen(&client, reactor, &port);

	actor_connect(&client, reactor, refusing);
	actor_connect(&client, reactor, refusing);
	run_until_count(reactor, &client.failed, 2);
	ck_assert_uint_eq(client.starts, 1);
	ck_assert_uint_eq(client.stops, 0);
	ck_assert_uint_ne(number, 0);
	actor_stop(reactor, &port);
	ck_assert_uint_eq(client.stops, 1);
	wait_end();
}

/* Time. */
/* A port whose queue is full: connecting to it takes for ever. */
struct full_port {
	int listener, waiting;
	uint16_t number;
};

static void fill(struct full_port *f)
{
	f->listener = peer_listen(&f->number, 0);
	f->waiting = peer_connect(f->number);
}

static void empty(struct full_port *f)
{
	close(f->waiting);
	close(f->listener);
}

GROUP("time", .setup = setup, .teardown = teardown);

TEST(an_attempt_without_answer_times_out, ON_EACH_BACKEND, TIMES(2))
{
	const struct plait_connect_options o = { .timeout = 2.5 };
	struct full_port full;
	double start;
	char wanted[128];

	fill(&full);
	clock_virtual(true);
	start = clock_now();
	plait_connect_tcp(reactor, "127.0.0.1", full.number, &client.base,
			  _i ? &o : NULL);
	wait_end();
	ck_assert_double_ge(clock_now() - start, _i ? 2.5 : 30);
	ck_assert_double_lt(clock_now() - start, _i ? 2.6 : 30.1);
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, &plait_error_connect_timeout);
	snprintf(wanted, sizeof(wanted),
		 "ConnectTimeoutError: connect to 127.0.0.1:%u", full.number);
	ck_assert_str_eq(client.why, wanted);
	/* Once: nothing comes later. */
	run_for(reactor, 100);
	ck_assert_str_eq(client.trace, "ScFX");
	empty(&full);
}

/* The second reason neither replaces the first nor is lost. */
TEST(the_first_of_two_addresses_that_cannot_be_read_is_told, ON_EACH_BACKEND)
{
	const struct plait_connect_options o = { .bind_address = "here" };

	plait_connect_tcp(reactor, "there", 1, &client.base, &o);
	wait_end();
	ck_assert_ptr_eq(client.kind, &plait_error_dns_lookup);
	ck_assert_ptr_nonnull(strstr(client.why, "there"));
}

TEST(a_port_of_its_own_is_of_the_family_of_the_destination, PURE, TIMES(2))
{
	const struct plait_connect_options o = { .bind_port = 7 };
	struct plait_reactor *r = plait_testing_reactor_new();
	struct plait_address a;
	struct plait_connector *c = plait_connect_tcp(
		r, _i ? "::1" : "127.0.0.1", 1, &client.base, &o);

	ck_assert_int_eq(plait_transport_host(plait_testing_complete(c), &a),
			 0);
	ck_assert_int_eq(a.family, _i ? AF_INET6 : AF_INET);
	ck_assert_uint_eq(plait_address_port(&a), 7);
	plait_reactor_free(&r);
}

/* Only who may have met himself is looked at. */
TEST(a_connection_does_not_ask_who_its_peer_is, ON_EACH_BACKEND)
{
	struct plait_connector *c;

	calls_reset();
	c = connect_both();
	ck_assert_uint_eq(calls_of("getpeername"), 0);
	plait_connector_disconnect(c);
	wait_end();
}

/* The number may be another's by then; select() alone finds out. */
TEST(an_attempt_whose_descriptor_was_closed_closes_nobody_elses,
     ON_EACH_BACKEND)
{
	struct full_port full;
	struct plait_connector *c;
	int fd;

	fill(&full);
	fd = dup(held);
	close(fd);
	c = actor_connect(&client, reactor, full.number);
	begin_attempt();
	ck_assert_int_eq(close(fd), 0);
	calls_reset();
	if (strcmp(backend, "select") == 0) {
		wait_end();
		ck_assert_int_eq(client.err, EBADF);
		ck_assert_uint_eq(calls_of("close"), 0);
	} else {
		plait_connector_stop_connecting(c);
		wait_end();
	}
	empty(&full);
}

TEST(an_attempt_may_last_for_ever, ON_EACH_BACKEND)
{
	const struct plait_connect_options o = { .timeout = INFINITY };
	struct full_port full;
	struct plait_connector *c;

	fill(&full);
	c = plait_connect_tcp(reactor, "127.0.0.1", full.number, &client.base,
			      &o);
	run_turns(reactor, 2);
	clock_virtual(true);
	clock_advance(1e6);
	run_turns(reactor, 2);
	ck_assert_int_eq(plait_connector_state(c), PLAIT_CONNECTING);
	plait_connector_disconnect(c);
	wait_end();
	empty(&full);
}

TEST(the_timeout_ends_with_the_attempt, ON_EACH_BACKEND)
{
	connect_both();
	run_for(reactor, 100);
	ck_assert_str_eq(client.trace, "ScBM");
	plait_transport_lose_connection(client.transport);
	wait_end();
	clock_virtual(false);
	run_turns(reactor, 2);
	/* Of a stopped one, too. */
	actor_connect(&client, reactor, refusing);
	plait_connector_disconnect(client.connector);
	run_for(reactor, 100);
	ck_assert_uint_eq(client.failed, 1);
	ck_assert_ptr_eq(client.kind, &plait_error_user);
}

/* The timer is due and the socket is ready in one turn: timers come first. */
TEST(timed_out_when_it_was_about_to_connect, ON_EACH_BACKEND)
{
	const struct plait_connect_options o = { .timeout = 1 };
	unsigned number = actor_listen(&server, reactor, &port);

	clock_virtual(true);
	plait_connect_tcp(reactor, "127.0.0.1", number, &client.base, &o);
	begin_attempt();
	ck_assert_str_eq(client.trace, "Sc");
	clock_advance(1);
	actor_wait_idle(&client, reactor);
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, &plait_error_connect_timeout);
	ck_assert_uint_eq(client.builds, 0);
	run_until_count(reactor, &server.lost, 1);
	actor_stop(reactor, &port);
	wait_end();
}

static void let_time_pass(void *arg)
{
	clock_advance(10);
	call_hook("getsockopt", NULL, NULL);
}

/* The other way round: it has connected when the timer comes due. */
TEST(connected_when_it_was_about_to_time_out, ON_EACH_BACKEND)
{
	const struct plait_connect_options o = { .timeout = 1 };
	unsigned number = actor_listen(&server, reactor, &port);

	clock_virtual(true);
	call_hook("getsockopt", let_time_pass, NULL);
	plait_connect_tcp(reactor, "127.0.0.1", number, &client.base, &o);
	run_until_count(reactor, &client.made, 1);
	run_for(reactor, 10);
	ck_assert_str_eq(client.trace, "ScBM");
	run_until_count(reactor, &server.made, 1);
	plait_connector_disconnect(client.connector);
	actor_stop(reactor, &port);
	wait_end();
	ck_assert_str_eq(client.trace, "ScBMLCX");
}

static void connect_for(void *timeout)
{
	const struct plait_connect_options o = { .timeout =
							 *(double *)timeout };
	struct plait_reactor *r = plait_testing_reactor_new();

	plait_connect_tcp(r, "127.0.0.1", 1, &client.base, &o);
}

TEST(a_timeout_that_is_no_time_aborts, PURE, TIMES(2))
{
	double timeout = _i ? NAN : -1;

	assert_aborts(connect_for, &timeout, "seconds >= 0");
}

GROUP("references", .setup = setup, .teardown = teardown);

/* References. */
TEST(a_reference_outlives_the_reactor, ON_EACH_BACKEND)
{
	struct plait_connector *c =
		plait_connector_ref(actor_connect(&client, reactor, refusing));
	char text[64];

	plait_reactor_free(&reactor);
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, &plait_error_connection_lost);
	ck_assert_int_eq(plait_connector_connect(c), -ESHUTDOWN);
	ck_assert_int_eq(plait_connector_stop_connecting(c), -ENOTCONN);
	plait_connector_disconnect(c);
	plait_connector_str(c, text, sizeof(text));
	plait_connector_unref(&c);
}

static void drop_reference(struct actor *a)
{
	plait_connector_unref((struct plait_connector **)a->arg);
}

TEST(the_last_reference_may_end_anywhere, ON_EACH_BACKEND, TIMES(3))
{
	struct plait_connector *c =
		plait_connector_ref(actor_connect(&client, reactor, refusing));

	client.arg = &c;
	if (_i == 0)
		client.on_failed = drop_reference;
	else if (_i == 1)
		client.on_stop = drop_reference;
	else
		plait_connector_unref(&c);
	wait_end();
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_null(c);
}

GROUP("attempt", .setup = setup, .teardown = teardown);

TEST(a_connector_can_say_what_it_is, ON_EACH_BACKEND)
{
	struct plait_connector *c = actor_connect(&client, reactor, refusing);
	char text[64], wanted[64];

	snprintf(wanted, sizeof(wanted),
		 "connector to 127.0.0.1:%u, connecting", refusing);
	ck_assert_int_eq(plait_connector_str(c, text, sizeof(text)),
			 (int)strlen(wanted));
	ck_assert_str_eq(text, wanted);
	plait_connector_ref(c);
	wait_end();
	plait_connector_str(c, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "disconnected"));
	plait_connector_unref(&c);
}

static _Noreturn void be_child(struct plait_connector *c)
{
	bool good = plait_connector_connect(c) == -ECHILD;

	errno = 0;
	good = good &&
	       plait_connect_tcp(reactor, "::1", 1, &client.base, NULL) == NULL;
	good = good && errno == ECHILD;
	plait_reactor_free(&reactor);
	good = good && client.failed == 0 && client.stops == 0;
	plait_connector_unref(&c);
	_exit(good && heap_live() == 0 ? 0 : 1);
}

GROUP("references", .setup = setup, .teardown = teardown);

/* 0: before the attempt has a socket; 1: while the kernel tries. */
TEST(a_forked_child_leaves_the_attempt_alone, ON_EACH_BACKEND, TIMES(2))
{
	struct plait_connector *c;
	struct full_port full;
	int status;
	pid_t pid;

	fill(&full);
	c = plait_connector_ref(actor_connect(&client, reactor, full.number));
	run_turns(reactor, (unsigned)_i);
	pid = fork();
	if (pid == 0)
		be_child(c);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	clock_virtual(true);
	wait_end();
	ck_assert_ptr_eq(client.kind, &plait_error_connect_timeout);
	plait_connector_unref(&c);
	empty(&full);
}

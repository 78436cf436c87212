/*
 * Stopping with everything open: each connection, port and attempt is told
 * once, nothing is left, and whoever wants to begin anew meanwhile is
 * refused or lost in his turn.
 */
#include <sys/socket.h>

#include "tests/actor.h"

static struct actor client, server;
static struct plait_port *port;
static unsigned number;

static void setup(void)
{
	actor_init(&client);
	actor_init(&server);
}

static void stop_reactor(void *arg)
{
	ck_assert_int_eq(plait_reactor_stop(reactor), 0);
}

/* A connection between client and server, and a port that still listens. */
static void connect_both(void)
{
	number = actor_listen(&server, reactor, &port);
	actor_connect(&client, reactor, number);
	run_until_count(reactor, &client.made, 1);
	run_until_count(reactor, &server.made, 1);
}

/* The ways in which it may end. */
static void run_and_stop(void)
{
	plait_call_when_running(reactor, stop_reactor, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
}

static void iterate_and_stop(void)
{
	plait_call_later(reactor, 0, stop_reactor, NULL);
	run_turns(reactor, 2);
}

static void free_it(void)
{
	plait_reactor_free(&reactor);
}

static void (*const ends[])(void) = { run_and_stop, iterate_and_stop, free_it };

enum { N_ENDS = sizeof(ends) / sizeof(ends[0]) };

GROUP("told", .setup = setup);

TEST(every_connection_and_port_is_told, ON_EACH_BACKEND, TIMES(N_ENDS))
{
	connect_both();
	ends[_i]();
	ck_assert_str_eq(client.trace, "ScBMLCX");
	ck_assert_ptr_eq(client.kind, &plait_error_connection_lost);
	ck_assert_ptr_eq(client.lost_kind, &plait_error_connection_lost);
	/* In no fixed order. */
	ck_assert_uint_eq(server.lost, 1);
	ck_assert_uint_eq(server.stops, 1);
	ck_assert_ptr_eq(server.lost_kind, &plait_error_connection_lost);
}

/* It has heard the last of its peer, so only the shutdown can end it. */
TEST(a_connection_that_is_held_is_told, ON_EACH_BACKEND, TIMES(N_ENDS))
{
	client.half_closeable = server.half_closeable = true;
	connect_both();
	plait_transport_pause_reading(client.transport);
	plait_transport_pause_reading(server.transport);
	plait_transport_lose_write_connection(client.transport);
	plait_transport_lose_write_connection(server.transport);
	run_turns(reactor, 3);
	ends[_i]();
	ck_assert_str_eq(client.trace, "ScBMWRLCX");
	ck_assert_ptr_eq(client.kind, &plait_error_connection_lost);
	ck_assert_uint_eq(server.lost, 1);
}

TEST(an_attempt_is_told, ON_EACH_BACKEND, TIMES(2))
{
	uint16_t refusing;
	int held = peer_hold_port(&refusing);

	actor_connect(&client, reactor, refusing);
	if (_i == 0)
		ends[0]();
	else
		ends[2]();
	/* Stopping runs turns: the refusal may have come first. */
	ck_assert_str_eq(client.trace, "ScFX");
	if (_i > 0)
		ck_assert_ptr_eq(client.kind, &plait_error_connection_lost);
	close(held);
}

TEST(an_attempt_in_progress_is_told, ON_EACH_BACKEND, TIMES(N_ENDS))
{
	uint16_t full;
	int listener = peer_listen(&full, 0);
	int waiting = peer_connect(full);

	actor_connect(&client, reactor, full);
	run_turns(reactor, 2);
	ck_assert_str_eq(client.trace, "Sc");
	ends[_i]();
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, &plait_error_connection_lost);
	ck_assert_ptr_nonnull(strstr(client.why, "connect to 127.0.0.1:"));
	close(waiting);
	close(listener);
}

TEST(a_stopped_attempt_is_told_what_stopped_it, ON_EACH_BACKEND, TIMES(N_ENDS))
{
	actor_connect(&client, reactor, 1);
	plait_connector_stop_connecting(client.connector);
	ends[_i]();
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, &plait_error_user);
}

TEST(an_attempt_that_cannot_succeed_is_told_why, ON_EACH_BACKEND, TIMES(N_ENDS))
{
	plait_connect_tcp(reactor, "name.example", 1, &client.base, NULL);
	ends[_i]();
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, &plait_error_dns_lookup);
}

GROUP("ports", .setup = setup);

TEST(a_stopping_port_answers, ON_EACH_BACKEND, TIMES(N_ENDS))
{
	struct plait_deferred *d;

	actor_listen(&server, reactor, &port);
	d = plait_port_stop_listening(&port);
	ends[_i]();
	ck_assert(plait_deferred_is_fired(d));
	ck_assert(plait_value_is_none(plait_deferred_result(d)));
	ck_assert_str_eq(server.trace, "SX");
	plait_deferred_free(&d);
}

/* The handle is good until the reactor is freed. */
TEST(a_port_that_was_closed_can_be_stopped, ON_EACH_BACKEND, TIMES(2))
{
	struct plait_deferred *d;
	char text[64];

	actor_listen(&server, reactor, &port);
	ends[_i]();
	ck_assert_str_eq(server.trace, "SX");
	plait_port_str(port, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, ", closed"));
	d = plait_port_stop_listening(&port);
	ck_assert(!plait_deferred_is_fired(d));
	run_turns(reactor, 2);
	ck_assert(plait_deferred_is_fired(d));
	ck_assert_str_eq(server.trace, "SX");
	plait_deferred_free(&d);
}

static void stop_port(struct actor *a)
{
	struct plait_deferred *d = plait_port_stop_listening(&port);

	plait_deferred_detach(&d);
}

TEST(a_port_may_be_stopped_by_its_own_end, ON_EACH_BACKEND, TIMES(N_ENDS))
{
	actor_listen(&server, reactor, &port);
	server.on_stop = stop_port;
	ends[_i]();
	ck_assert_str_eq(server.trace, "SX");
	ck_assert_ptr_null(port);
}

static void connect_again(struct actor *a)
{
	ck_assert_int_eq(plait_connector_connect(a->connector), -ESHUTDOWN);
}

GROUP("anew", .setup = setup);

TEST(connecting_again_is_refused_while_all_is_lost, ON_EACH_BACKEND)
{
	connect_both();
	client.on_client_lost = client.on_failed = connect_again;
	actor_connect(&client, reactor, number);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(client.failed + client.client_lost, 2);
	ck_assert_uint_eq(client.started, 2);
	ck_assert_uint_eq(client.stops, 1);
}

/* Something new, of every kind, in the middle of the end. */
static void begin_anew(struct actor *a)
{
	struct plait_port *second = NULL;

	if (a->started > 3)
		return;
	actor_connect(a, a->arg, number);
	ck_assert_int_eq(plait_listen_tcp(a->arg, 0, &a->base, NULL, &second),
			 -ESHUTDOWN);
	ck_assert_ptr_null(second);
}

TEST(what_begins_meanwhile_is_lost_too, ON_EACH_BACKEND, TIMES(N_ENDS))
{
	connect_both();
	client.on_client_lost = client.on_failed = begin_anew;
	client.arg = reactor;
	ends[_i]();
	ck_assert_uint_eq(client.started, 4);
	ck_assert_uint_eq(client.failed, 3);
	ck_assert_uint_eq(client.base.users, 0);
	ck_assert_uint_eq(server.base.users, 0);
}

TEST(a_reactor_works_again_after_a_stop, ON_EACH_BACKEND, TIMES(2))
{
	for (int i = 0; i < 3; i++) {
		connect_both();
		ends[_i]();
		ck_assert_uint_eq(client.client_lost, 1);
		ck_assert_uint_eq(server.lost, 1);
		setup();
	}
}

GROUP("told", .setup = setup);

TEST(what_was_written_before_is_sent, ON_EACH_BACKEND, TIMES(N_ENDS))
{
	char got[6] = "";
	int fd;

	number = actor_listen(&server, reactor, &port);
	fd = peer_connect((uint16_t)number);
	run_until_count(reactor, &server.made, 1);
	plait_transport_write(server.transport, "last", 5);
	ends[_i]();
	ck_assert_int_eq(recv(fd, got, sizeof(got), 0), 5);
	ck_assert_str_eq(got, "last");
	close(fd);
}

/*
 * Stopping with everything open: each connection, port and attempt is told
 * once, nothing is left, and whoever wants to begin anew meanwhile is
 * refused or lost in his turn.
 */
#include <sys/socket.h>

#include "tests/stage.h"

/* A connection between client and server, and a port that still listens. */
static void connect_both(void)
{
	stage_listen();
	actor_connect(&client, reactor, server_number);
	stage_meet();
}

/* The ways in which it may end. */
static void run_and_stop(void)
{
	plait_call_when_running(reactor, call_stop, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
}

static void iterate_and_stop(void)
{
	plait_call_later(reactor, 0, call_stop, NULL);
	run_turns(reactor, 2);
}

static void free_it(void)
{
	plait_reactor_free(&reactor);
}

static void (*const ends[])(void) = { run_and_stop, iterate_and_stop, free_it };

enum { N_ENDS = sizeof(ends) / sizeof(ends[0]) };

/* One story with each of them. */
#define ENDS(before, after)                                                    \
	before "run-and-stop; " after, before "iterate-and-stop; " after,      \
		before "free-reactor; " after

GROUP("told", .setup = stage_setup, .teardown = stage_teardown);

STORY(every_connection_and_port_is_told,
      ENDS("server listens; client connects; met; ",
	   "client trace ScBMLCX; client kind ConnectionLost;"
	   "client lost-kind ConnectionLost; server lost 1; server stopped 1;"
	   "server lost-kind ConnectionLost"));

/* It has heard the last of its peer, so only the shutdown can end it. */
STORY(a_connection_that_is_held_is_told,
      ENDS("client half-closeable; server half-closeable; server listens;"
	   "client connects; met; client pauses; server pauses;"
	   "client loses write; server loses write; turn 3; ",
	   "client trace ScBMWRLCX; client kind ConnectionLost; server lost "
	   "1"));

STORY(an_attempt_is_told, "client connects; run-and-stop; client trace ScFX",
      "client connects; free-reactor; client trace ScFX;"
      "client kind ConnectionLost");

STORY(an_attempt_in_progress_is_told,
      ENDS("client connects full; turn 2; client trace Sc; ",
	   "client trace ScFX; client kind ConnectionLost;"
	   "client why ConnectionLost: connect to 127.0.0.1:..."));

STORY(a_stopped_attempt_is_told_what_stopped_it,
      ENDS("client connects; client gives-up; ",
	   "client trace ScFX; client kind UserError"));

STORY(an_attempt_that_cannot_succeed_is_told_why,
      ENDS("client connects 127.0.0.1 65536; ",
	   "client trace ScFX; client kind ConnectError"));

GROUP("ports", .setup = stage_setup, .teardown = stage_teardown);

TEST(a_stopping_port_answers, ON_EACH_KERNEL, TIMES(N_ENDS))
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
TEST(a_port_that_was_closed_can_be_stopped, ON_EACH_KERNEL, TIMES(2))
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

STORY(a_port_may_be_stopped_by_its_own_end,
      ENDS("server X { server stops-listening } server listens; ",
	   "server trace SX"));

static void connect_again(struct actor *a)
{
	ck_assert_int_eq(plait_connector_connect(a->connector), -ESHUTDOWN);
}

GROUP("anew", .setup = stage_setup, .teardown = stage_teardown);

TEST(connecting_again_is_refused_while_all_is_lost, ON_EACH_KERNEL)
{
	connect_both();
	client.on_client_lost = client.on_failed = connect_again;
	actor_connect(&client, reactor, server_number);
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
	actor_connect(a, a->arg, server_number);
	ck_assert_int_eq(plait_listen_tcp(a->arg, 0, &a->base, NULL, &second),
			 -ESHUTDOWN);
	ck_assert_ptr_null(second);
}

TEST(what_begins_meanwhile_is_lost_too, ON_EACH_KERNEL, TIMES(N_ENDS))
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

TEST(a_reactor_works_again_after_a_stop, ON_EACH_KERNEL, TIMES(2))
{
	for (int i = 0; i < 3; i++) {
		connect_both();
		ends[_i]();
		ck_assert_uint_eq(client.client_lost, 1);
		ck_assert_uint_eq(server.lost, 1);
		actor_init(&client);
		actor_init(&server);
	}
}

GROUP("told", .setup = stage_setup, .teardown = stage_teardown);

STORY(what_was_written_before_is_sent,
      ENDS("server listens; a connects; server writes last; ", "a gets last"));

/*
 * Connectors: the order of what a client factory is told, what ends an
 * attempt, connecting again, and references.  What system calls can do to an
 * attempt is in test_connect_faults.c.
 */
#include <math.h>
#include <stdio.h>
#include <sys/socket.h>

#include <plait/testing.h>

#include "tests/child.h"
#include "tests/stage.h"

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

GROUP("attempt", .setup = stage_setup, .teardown = stage_teardown);

/* Connected and reset before that was seen: what it has said is heard. */
TEST(a_peer_that_speaks_and_resets_at_once_is_heard, ON_EACH_BACKEND, TIMES(2))
{
	uint16_t number;
	int listener = peer_listen(&number, 1), fd;

	actor_connect(&client, reactor, number);
	stage_attempt();
	fd = peer_accept(listener);
	if (_i == 0)
		peer_say(fd, "go away");
	peer_reset(fd);
	stage_over();
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

TEST(a_peer_that_speaks_and_closes_at_once_is_heard, ON_EACH_BACKEND)
{
	uint16_t number;
	int listener = peer_listen(&number, 1), fd;

	actor_connect(&client, reactor, number);
	stage_attempt();
	fd = peer_accept(listener);
	peer_say(fd, "bye");
	close(fd);
	stage_over();
	ck_assert_str_eq(client.trace, "ScBMDLCX");
	ck_assert_str_eq(client.text, "bye");
	ck_assert_ptr_eq(client.lost_kind, &plait_error_connection_done);
	close(listener);
}

/* The kernel's set is changed by the connection, or by a child's parent. */
TEST(the_connection_is_watched_where_the_attempt_was, ON_EACH_BACKEND, TIMES(2))
{
	unsigned long epoll = strcmp(backend, "epoll") == 0;
	uint16_t number;
	int listener = peer_listen(&number, 1), fd;
	pid_t child = 0;

	actor_connect(&client, reactor, number);
	stage_attempt();
	if (_i == 1)
		child = child_hold();
	calls_reset();
	fd = peer_accept(listener);
	run_until_count(reactor, &client.made, 1);
	ck_assert_uint_eq(calls_of("epoll_ctl"), epoll * (_i == 0 ? 1 : 2));
	ck_assert_uint_eq(calls_of("fcntl"), epoll || _i == 0 ? 0 : 1);
	peer_say(fd, "hello");
	run_turns(reactor, 3);
	ck_assert_uint_eq(client.received, 5);
	close(fd);
	stage_over();
	close(listener);
	if (_i == 1)
		child_let_go(child);
}

/* Connected already, but given up before that was seen. */
TEST(a_child_that_holds_an_attempt_does_not_keep_the_peer_waiting,
     ON_EACH_BACKEND)
{
	uint16_t number;
	int listener = peer_listen(&number, 1), fd;
	struct plait_connector *c = actor_connect(&client, reactor, number);
	pid_t child;

	stage_attempt();
	child = child_hold();
	plait_connector_stop_connecting(c);
	stage_over();
	fd = peer_accept(listener);
	ck_assert_int_lt(peer_read_to_eof(reactor, fd, NULL, 0), 1);
	close(fd);
	close(listener);
	child_let_go(child);
}

STORY(connecting_starts_and_tells_nothing_else,
      "count; client connects; client trace Sc; client is connecting;"
      "calls socket 0; calls connect 0; over");

STORY(success_is_made_then_lost_then_stopped,
      "server listens; client connects; met; client is connected;"
      "client trace ScBM; server loses; over; client trace ScBMLCX;"
      "client kind ConnectionDone");

STORY(it_is_connected_before_the_protocol_is_built,
      "client B { client is connected } server listens; client connects; met;"
      "client loses; over");

static void expect_disconnected(struct actor *a)
{
	ck_assert_int_eq(plait_connector_state(a->connector),
			 PLAIT_CONNECTOR_DISCONNECTED);
}

STORY(it_is_connected_until_the_factory_hears_of_the_loss,
      "client L { client is connected; client again EISCONN }"
      "client C { client is disconnected }"
      "server listens; client connects; met; server aborts; over;"
      "client trace ScBMLCX;"
      "client why ConnectionLost: recv: Connection reset by peer;"
      "client lost-why ConnectionLost: recv: Connection reset by peer");

/* All that a protocol can do wrong in its last moment. */
static void do_everything(struct actor *a, struct plait_protocol *p)
{
	struct plait_deferred *d =
		plait_failed(plait_fail(&plait_error_any, "lost, too"));

	plait_deferred_free(&d);
	plait_transport_write(p->transport, "x", 1);
	plait_transport_abort_connection(p->transport);
	plait_connector_disconnect(a->connector);
	ck_assert_int_eq(plait_connector_stop_connecting(a->connector),
			 -ENOTCONN);
}

TEST(whatever_connection_lost_does_the_factory_is_told, ON_EACH_KERNEL)
{
	unhandled_expect(1);
	client.on_lost = do_everything;
	client.on_client_lost = expect_disconnected;
	connect_both();
	plait_transport_lose_connection(server.transport);
	stage_over();
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
TEST(it_is_watched_after_it_has_begun_to_connect, ON_EACH_KERNEL)
{
	struct wire none = { .peer = -1 };
	bool called = false;

	play(&none, "server listens; turn");
	call_hook("connect", expect_unwatched, &called);
	play(&none, "count; client connects; until client made 1");
	ck_assert(called);
	play(&none, "client disconnects; over; client trace ScBMLCX");
}

STORY(refused_is_failed_then_stopped,
      "client F { client is disconnected } client connects; over;"
      "client trace ScFX; client kind ConnectionRefusedError;"
      "client errno ECONNREFUSED;"
      "client why ConnectionRefusedError: connect to 127.0.0.1:$port: "
      "Connection refused");

TEST(build_protocol_is_told_where_it_connected, ON_EACH_KERNEL)
{
	struct plait_address a;
	struct plait_connector *c = connect_both();

	plait_connector_destination(c, &a);
	ck_assert_uint_ne(plait_address_port(&a), 0);
	ck_assert_uint_eq(plait_address_port(&client.peer),
			  plait_address_port(&a));
	plait_transport_lose_connection(client.transport);
	stage_over();
}

STORY(a_client_that_refuses_has_lost_the_connection,
      "client refuses; server listens; client connects; client idle;"
      "client trace ScBCX; client kind ConnectionDone; over;"
      "server lost-kind ConnectionDone");

STORY(a_client_without_memory_has_failed,
      "client has-no-memory; server listens; client connects; client idle;"
      "client trace ScBFX; client kind NoMemoryError; over");

#define NO_ADDRESS(to)                                                         \
	"client connects " to "; client trace Sc; client is connecting;"       \
	"count; over; client trace ScFX; calls socket 0;"

STORY(what_is_no_address_fails_from_the_loop,
      NO_ADDRESS("127.0.0.1 65536") "client kind ConnectError; client why "
				    "ConnectError: connect to "
				    "127.0.0.1:65536: Invalid argument",
      /* A name of which it is known that it is none. */
      NO_ADDRESS("poetry.invalid 10001") "client kind DNSNoNameError");

STORY(this_end_can_be_chosen,
      "option bind_address 127.0.0.2; server listens;"
      "client connects localhost; met; server peer 127.0.0.2;"
      "client loses; over");

#define NOT_THERE(err)                                                         \
	"client connects 127.0.0.1 1; over; client trace ScFX;"                \
	"client kind ConnectBindError; client errno " err

STORY(this_end_must_be_there,
      "option bind_address 192.0.2.1; " NOT_THERE("EADDRNOTAVAIL"),
      "option bind_address here.example; " NOT_THERE("EADDRNOTAVAIL"),
      "option bind_port 65536; " NOT_THERE("EINVAL"),
      "option bind_address 127.0.0.1; option bind_port refusing; " NOT_THERE(
	      "EADDRINUSE"));

/* The other end comes first, and the failure of this one is no leak. */
STORY(if_neither_end_is_an_address_the_other_one_is_told,
      "option bind_address none.example; client connects 127.0.0.1 65537;"
      "over; client kind ConnectError;"
      "client why ConnectError: connect to 127.0.0.1:65537...");

STORY(nothing_is_looked_up_if_this_end_is_no_address,
      "option bind_address none.example; count;"
      "client connects there.example 1; over; client kind ConnectBindError;"
      "client why ConnectBindError: connect to there.example:1...;"
      "calls socket 0");

GROUP("stop", .setup = stage_setup, .teardown = stage_teardown);

/* What comes after is the same; it is stopped already. */
#define GIVEN_UP                                                               \
	"client trace Sc; count; client gives-up; client idle;"                \
	"client trace ScFX; client kind UserError; calls socket 0; over;"      \
	"client builds 0"

/* In started_connecting, before a turn, and while the kernel tries. */
STORY(stopped_attempts_fail_from_the_loop,
      "client c { client gives-up } server listens; client connects;" GIVEN_UP,
      "server listens; client connects; client gives-up;" GIVEN_UP,
      "server listens; client connects; attempt; client gives-up;" GIVEN_UP);

STORY(stop_connecting_needs_an_attempt,
      "server listens; client connects; met; client gives-up ENOTCONN; keep;"
      "client loses; over; client gives-up ENOTCONN; client failed 0; drop");

STORY(disconnect_gives_up_an_attempt,
      "client connects; client disconnects; client trace Sc; over;"
      "client trace ScFX; client kind UserError");

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
TEST(cancelling_who_waits_for_an_attempt_gives_it_up, ON_EACH_KERNEL)
{
	struct plait_connector *c = actor_connect(&client, reactor, refusing);
	struct plait_deferred *d = plait_deferred_new(&promise, give_up, c);
	const struct plait_error *kind = NULL;

	client.on_failed = fire_failure;
	plait_deferred_add_errback(d, note_kind, &kind);
	plait_deferred_cancel(d);
	ck_assert_ptr_eq(kind, &plait_error_cancelled);
	ck_assert_str_eq(client.trace, "Sc");
	stage_over();
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, &plait_error_user);
	ck_assert_ptr_null(promise);
	plait_deferred_free(&d);
}

STORY(disconnect_loses_a_connection_from_the_loop,
      "server listens; client connects; met; client disconnects;"
      "client disconnects; client is connected; client trace ScBM; over;"
      "client trace ScBMLCX; client kind ConnectionDone");

STORY(disconnect_while_building_loses_what_was_built,
      "client B { client disconnects } server listens; client connects;"
      "client idle; client trace ScBMLCX; client kind ConnectionDone;"
      "until server lost 1; over");

/* What was asked of one attempt is not done to the next. */
STORY(disconnect_while_building_does_not_lose_the_next,
      "client B { client B { } client disconnects }"
      "client C { client C { } client again } server listens;"
      "client connects; until client made 2; turn 3; client is connected;"
      "client disconnects; client idle; client trace ScBMLCcBMLCX; over");

STORY(disconnect_when_it_is_over_is_nothing,
      "client F { client disconnects } client connects; over;"
      "client trace ScFX");

TEST(no_connector_is_nothing, ON_EACH_KERNEL)
{
	struct plait_connector *none = NULL;
	struct plait_address a = { .port = 42 };
	char text[64];

	ck_assert_ptr_null(plait_connector_ref(none));
	plait_connector_unref(&none);
	ck_assert_int_eq(plait_connector_connect(none), -ENOMEM);
	ck_assert_int_eq(plait_connector_stop_connecting(none), -ENOMEM);
	plait_connector_disconnect(none);
	ck_assert_int_eq(plait_connector_state(none),
			 PLAIT_CONNECTOR_DISCONNECTED);
	plait_connector_destination(none, &a);
	ck_assert_uint_eq(plait_address_port(&a), 0);
	plait_connector_str(none, text, sizeof(text));
	ck_assert_str_eq(text, "no connector");
}

GROUP("again", .setup = stage_setup, .teardown = stage_teardown);

STORY(connecting_again_when_it_failed_keeps_the_factory,
      "client F { client F { } client again } client connects; over;"
      "client trace ScFcFX");

STORY(connecting_again_when_it_was_lost_keeps_the_factory,
      "server M { server loses } client C { client C { } client again }"
      "server listens; client connects; client idle; over;"
      "client trace ScBMLCcBMLCX");

STORY(connecting_again_later_starts_the_factory_anew,
      "client connects; keep; over; client trace ScFX; client again;"
      "client trace ScFXSc; over; client trace ScFXScFX; drop");

STORY(one_connector_connects_once_at_a_time,
      "client connects; client again EISCONN; client gives-up;"
      "client again EISCONN; over; server listens; client connects; met;"
      "client again EISCONN; client disconnects; over");

STORY(what_is_no_address_stays_none,
      "client F { client F { } client again }"
      "client connects name.invalid 1; over;"
      "client trace ScFcFX; client kind DNSNoNameError");

STORY(connecting_again_and_stopping_at_once_is_told_once,
      "client F { client F { } client again; client gives-up }"
      "client connects; over;"
      "client trace ScFcFX; client kind UserError");

TEST(one_factory_counts_all_its_connectors, ON_EACH_KERNEL)
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
	stage_over();
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

GROUP("time", .setup = stage_setup, .teardown = stage_teardown);

#define TIMED_OUT                                                              \
	"over; client trace ScFX; client kind ConnectTimeoutError;"            \
	"client why ConnectTimeoutError: connect to 127.0.0.1:$port; wait "    \
	"100;"                                                                 \
	"client trace ScFX"

STORY(an_attempt_without_answer_times_out,
      "virtual; client connects full; wait 29.9; client trace Sc; wait "
      "0.2;" TIMED_OUT,
      "virtual; option timeout 2.5; client connects full; wait 2.4;"
      "client trace Sc; wait 0.2;" TIMED_OUT);

/* The second reason neither replaces the first nor is lost. */
STORY(the_first_of_two_addresses_that_cannot_be_read_is_told,
      "option bind_address here; client connects 127.0.0.1 65536; over;"
      "client kind ConnectError; client why ConnectError: connect to "
      "127.0.0.1:65536...");

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
STORY(a_connection_does_not_ask_who_its_peer_is,
      "count; server listens; client connects; met; calls getpeername 0;"
      "client disconnects; over");

/* The number may be another's by then; select() alone finds out. */
TEST(an_attempt_whose_descriptor_was_closed_closes_nobody_elses,
     ON_EACH_BACKEND)
{
	struct full_port full;
	struct plait_connector *c;
	int fd;

	fill(&full);
	fd = dup(0);
	close(fd);
	c = actor_connect(&client, reactor, full.number);
	stage_attempt();
	ck_assert_int_eq(close(fd), 0);
	calls_reset();
	if (strcmp(backend, "select") == 0) {
		stage_over();
		ck_assert_int_eq(client.err, EBADF);
		ck_assert_uint_eq(calls_of("close"), 0);
	} else {
		plait_connector_stop_connecting(c);
		stage_over();
	}
	empty(&full);
}

STORY(an_attempt_may_last_for_ever,
      "option timeout inf; client connects full; turn 2; virtual; jump 1e6;"
      "turn 2; client is connecting; client disconnects; over");

STORY(the_timeout_ends_with_the_attempt,
      "server listens; client connects; met; server stops; wait 100;"
      "client trace ScBM; client loses; over; real-time; turn 2;"
      "client connects; client disconnects; wait 100; client failed 1;"
      "client kind UserError");

/* The timer is due and the socket is ready in one turn: timers come first. */
STORY(timed_out_when_it_was_about_to_connect,
      "server listens; virtual; option timeout 1; client connects; attempt;"
      "client trace Sc; jump 1; client idle; client trace ScFX;"
      "client kind ConnectTimeoutError; client builds 0;"
      "until server lost 1; over");

static void let_time_pass(void *arg)
{
	clock_advance(10);
	call_hook("getsockname", NULL, NULL);
}

/* The other way round: it has connected when the timer comes due. */
TEST(connected_when_it_was_about_to_time_out, ON_EACH_KERNEL)
{
	struct wire none = { .peer = -1 };

	call_hook("getsockname", let_time_pass, NULL);
	play(&none, "virtual; option timeout 1; server listens;"
		    "client connects; until client made 1; wait 10;"
		    "client trace ScBM; until server made 1;"
		    "client disconnects; over; client trace ScBMLCX");
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

GROUP("references", .setup = stage_setup, .teardown = stage_teardown);

/* References. */
STORY(a_reference_outlives_the_reactor,
      "client connects; keep; free-reactor; client trace ScFX;"
      "client kind ConnectionLost; client again ESHUTDOWN;"
      "client gives-up ENOTCONN; client disconnects; drop");

STORY(the_last_reference_may_end_anywhere,
      "client F { drop } client connects; keep; over; client trace ScFX",
      "client X { drop } client connects; keep; over; client trace ScFX",
      "client connects; keep; drop; over; client trace ScFX");

GROUP("attempt", .setup = stage_setup, .teardown = stage_teardown);

TEST(a_factory_without_a_table_hears_of_no_failure, ON_EACH_KERNEL)
{
	struct plait_factory f = { .ops = NULL };
	struct plait_connector *c = plait_connector_ref(
		plait_connect_tcp(reactor, "127.0.0.1", refusing, &f, NULL));

	while (plait_connector_state(c) != PLAIT_CONNECTOR_DISCONNECTED)
		ck_assert_int_eq(plait_reactor_iterate(reactor, 1), 0);
	plait_connector_unref(&c);
}

TEST(a_connector_can_say_what_it_is, ON_EACH_KERNEL)
{
	struct plait_connector *c = actor_connect(&client, reactor, refusing);
	char text[64], wanted[64];

	snprintf(wanted, sizeof(wanted),
		 "connector to 127.0.0.1:%u, connecting", refusing);
	ck_assert_int_eq(plait_connector_str(c, text, sizeof(text)),
			 (int)strlen(wanted));
	ck_assert_str_eq(text, wanted);
	plait_connector_ref(c);
	stage_over();
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

GROUP("references", .setup = stage_setup, .teardown = stage_teardown);

/* 0: before the attempt has a socket; 1: while the kernel tries. */
TEST(a_forked_child_leaves_the_attempt_alone, ON_EACH_BACKEND, TIMES(2))
{
	struct plait_connector *c;
	struct full_port full;
	pid_t pid;

	fill(&full);
	c = plait_connector_ref(actor_connect(&client, reactor, full.number));
	run_turns(reactor, (unsigned)_i);
	pid = fork();
	if (pid == 0)
		be_child(c);
	child_ends(pid);
	clock_virtual(true);
	stage_over();
	ck_assert_ptr_eq(client.kind, &plait_error_connect_timeout);
	plait_connector_unref(&c);
	empty(&full);
}

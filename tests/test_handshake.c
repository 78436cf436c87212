/*
 * Wrappers that first agree on something with their peers: how connectors wait
 * for that, and how such a connection is closed for a reason.
 *
 * The one here waits for a letter, `!', before it builds the inner protocol.
 * With `?' it sends "no" and closes, for a reason.
 */
#include "tests/harness.h"
#include "tests/model.h"
#include "tests/trace.h"

static const struct plait_error refused_error = {
	.name = "Refused",
	.parent = &plait_error_connect,
};

/* ---- the wrapper ------------------------------------------------------------
 */

struct greeter {
	struct plait_protocol base;
	struct plait_transport *above;
	bool greeted;
};

static const struct plait_transport_ops greeting_ops = { .name = "greeting" };

static void greeter_made(struct plait_protocol *p)
{
	struct greeter *g = plait_self(p, struct greeter);

	plait_transport_begin_handshake(p->transport);
	g->above = plait_transport_new(&greeting_ops,
				       plait_transport_reactor(p->transport),
				       p->transport);
	if (g->above == NULL)
		plait_transport_abort_connection(p->transport);
}

static void greeter_agreed(struct greeter *g)
{
	struct plait_factory *inner =
		plait_self(g->base.factory, struct plait_wrapping_factory)
			->inner;
	struct plait_protocol *p;

	plait_transport_end_handshake(g->base.transport);
	p = plait_factory_build_protocol(inner, NULL);
	if (p == NULL) {
		plait_transport_lose_connection(g->base.transport);
		return;
	}
	g->greeted = true;
	plait_transport_made(g->above, p);
}

static void greeter_refused(struct greeter *g)
{
	plait_value why = plait_fail(&refused_error, "by the peer");

	plait_transport_write(g->base.transport, "no", 2);
	plait_transport_lose_connection_because(g->base.transport,
						plait_value_failure(&why));
	plait_value_free(&why);
}

static void greeter_received(struct plait_protocol *p, const void *data,
			     size_t len)
{
	struct greeter *g = plait_self(p, struct greeter);
	const char *text = data;

	if (g->greeted)
		plait_transport_received(g->above, data, len);
	else if (text[0] == '?')
		greeter_refused(g);
	else
		greeter_agreed(g);
	if (text[0] == '!' && len > 1)
		greeter_received(p, text + 1, len - 1);
}

static void greeter_done(struct plait_protocol *p)
{
	struct greeter *g = plait_self(p, struct greeter);

	if (!g->greeted)
		plait_transport_free(&g->above);
}

static const struct plait_protocol_ops greeter_ops = {
	.name = "greeter",
	.size = sizeof(struct greeter),
	.connection_made = greeter_made,
	.data_received = greeter_received,
	.done = greeter_done,
};

static struct plait_protocol *greeting_build(struct plait_factory *f,
					     const struct plait_address *peer)
{
	return plait_protocol_new(f->protocol);
}

static const struct plait_factory_ops greeting_factory_ops = {
	.name = "greeting",
	.start = plait_wrapping_factory_start,
	.stop = plait_wrapping_factory_stop,
	.build_protocol = greeting_build,
	.started_connecting = plait_wrapping_factory_started_connecting,
	.connection_failed = plait_wrapping_factory_connection_failed,
	.connection_lost = plait_wrapping_factory_connection_lost,
};

static struct plait_wrapping_factory greeting_factory(struct plait_factory *f)
{
	return (struct plait_wrapping_factory){
		.base = { .ops = &greeting_factory_ops,
			  .protocol = &greeter_ops },
		.inner = f,
	};
}

/* ---- the client -------------------------------------------------------------
 */

static struct {
	struct plait_factory factory;
	struct plait_wrapping_factory greeting, twice;
	struct plait_connector *connector;
	struct plait_protocol *protocol;
	unsigned again; /* times that a failure is followed by an attempt */
	int listener, peer;
	uint16_t port;
} at;

static void note_state(void)
{
	static const char *const names[] = { "disconnected", "connecting",
					     "connected" };

	trace_add("%s", names[plait_connector_state(at.connector)]);
}

static void client_made(struct plait_protocol *p)
{
	at.protocol = p;
	trace_add("made");
	plait_transport_write(p->transport, "hello", 5);
}

static void client_received(struct plait_protocol *p, const void *data,
			    size_t len)
{
	trace_bytes("data", data, len);
}

static void client_protocol_lost(struct plait_protocol *p,
				 const struct plait_failure *why)
{
	trace_add("lost(%s)", plait_failure_kind(why)->name);
}

static const struct plait_protocol_ops client_protocol_ops = {
	.name = "client",
	.connection_made = client_made,
	.data_received = client_received,
	.connection_lost = client_protocol_lost,
};

static struct plait_protocol *client_build(struct plait_factory *f,
					   const struct plait_address *peer)
{
	note_state();
	return plait_protocol_new(f->protocol);
}

static void client_ended(const char *how, struct plait_connector *c,
			 const struct plait_failure *why)
{
	trace_add("%s(%s)", how, plait_failure_kind(why)->name);
	note_state();
	if (at.again > 0) {
		at.again--;
		plait_connector_connect(c);
	} else {
		plait_connector_unref(&at.connector);
	}
}

static void client_failed(struct plait_factory *f, struct plait_connector *c,
			  const struct plait_failure *why)
{
	client_ended("failed", c, why);
}

static void client_lost(struct plait_factory *f, struct plait_connector *c,
			const struct plait_failure *why)
{
	client_ended("over", c, why);
}

static const struct plait_factory_ops client_factory_ops = {
	.name = "client",
	.build_protocol = client_build,
	.connection_failed = client_failed,
	.connection_lost = client_lost,
};

static void connect_with(struct plait_factory *f, double timeout)
{
	struct plait_connect_options options = { .timeout = timeout };

	at.connector = plait_connector_ref(
		plait_connect_tcp(reactor, "127.0.0.1", at.port, f, &options));
	at.peer = -1;
}

static bool is_in_handshake(void *nothing)
{
	return plait_connector_state(at.connector) ==
		       PLAIT_CONNECTOR_CONNECTING &&
	       at.peer >= 0;
}

/* Until the wrapper waits for the peer. */
static void reach_handshake(struct plait_factory *f, double timeout)
{
	connect_with(f, timeout);
	run_turns(reactor, 2);
	at.peer = peer_accept(at.listener);
	run_until(reactor, is_in_handshake, NULL);
	run_turns(reactor, 3);
}

static bool connector_is_gone(void *nothing)
{
	return at.connector == NULL;
}

static void finish(void)
{
	run_until(reactor, connector_is_gone, NULL);
	if (at.peer >= 0)
		peer_close(at.peer);
	run_turns(reactor, 3);
	peer_close(at.listener);
}

static void setup(void)
{
	memset(&at, 0, sizeof(at));
	at.factory = (struct plait_factory){ .ops = &client_factory_ops,
					     .protocol = &client_protocol_ops };
	at.greeting = greeting_factory(&at.factory);
	at.twice = greeting_factory(&at.greeting.base);
	at.peer = -1;
	trace_clear();
}

GROUP("connector", .setup = setup);

TEST(a_connector_connects_until_the_handshake_is_done, ON_EACH_KERNEL)
{
	at.listener = peer_listen(&at.port, 1);
	reach_handshake(&at.greeting.base, 0);
	note_state();
	assert_trace("connecting");
	peer_say(at.peer, "!hi");
	peer_read(reactor, at.peer, NULL, 5);
	assert_trace("connected made data(hi)");
	plait_connector_disconnect(at.connector);
	finish();
	assert_trace("lost(ConnectionDone) over(ConnectionDone) disconnected");
}

TEST(each_of_two_handshakes_is_waited_for, ON_EACH_KERNEL)
{
	at.listener = peer_listen(&at.port, 1);
	reach_handshake(&at.twice.base, 0);
	peer_say(at.peer, "!");
	run_turns(reactor, 5);
	note_state();
	peer_say(at.peer, "!");
	peer_read(reactor, at.peer, NULL, 5);
	assert_trace("connecting connected made");
	plait_connector_disconnect(at.connector);
	finish();
	assert_trace("lost(ConnectionDone) over(ConnectionDone) disconnected");
}

TEST(stopping_in_a_handshake_aborts_the_connection, ON_EACH_KERNEL, TIMES(2))
{
	at.listener = peer_listen(&at.port, 1);
	reach_handshake(&at.greeting.base, 0);
	ck_assert_int_eq(plait_connector_stop_connecting(at.connector), 0);
	ck_assert_int_eq(plait_connector_stop_connecting(at.connector), 0);
	assert_trace("");
	if (_i == 1)
		peer_say(at.peer, "!");
	ck_assert_int_eq(peer_read(reactor, at.peer, NULL, 1), -ECONNRESET);
	finish();
	assert_trace("failed(UserError) disconnected");
}

TEST(the_timeout_is_for_the_handshake_as_well, ON_EACH_KERNEL)
{
	at.listener = peer_listen(&at.port, 1);
	reach_handshake(&at.greeting.base, 4);
	run_for(reactor, 3.5);
	assert_trace("");
	run_for(reactor, 1);
	assert_trace("failed(ConnectTimeoutError) disconnected");
	finish();
}

TEST(the_timeout_ends_with_the_handshake, ON_EACH_KERNEL)
{
	at.listener = peer_listen(&at.port, 1);
	reach_handshake(&at.greeting.base, 4);
	peer_say(at.peer, "!");
	peer_read(reactor, at.peer, NULL, 5);
	run_for(reactor, 10);
	assert_trace("connected made");
	plait_connector_disconnect(at.connector);
	finish();
	assert_trace("lost(ConnectionDone) over(ConnectionDone) disconnected");
}

TEST(a_loss_in_a_handshake_is_a_failed_attempt, ON_EACH_KERNEL, TIMES(2))
{
	at.listener = peer_listen(&at.port, 1);
	reach_handshake(&at.greeting.base, 0);
	if (_i == 0)
		peer_reset(at.peer);
	else
		peer_close(at.peer);
	at.peer = -1;
	finish();
	assert_trace(_i == 0 ? "failed(ConnectionLost) disconnected"
			     : "failed(ConnectionDone) disconnected");
}

TEST(a_reason_of_the_wrapper_is_told_when_all_is_sent, ON_EACH_KERNEL)
{
	char said[3] = "";

	at.listener = peer_listen(&at.port, 1);
	reach_handshake(&at.greeting.base, 0);
	peer_say(at.peer, "?");
	ck_assert_int_eq(peer_read_to_eof(reactor, at.peer, said, 2), 2);
	ck_assert_str_eq(said, "no");
	finish();
	assert_trace("failed(Refused) disconnected");
}

TEST(a_failed_handshake_may_be_tried_again, ON_EACH_KERNEL)
{
	at.listener = peer_listen(&at.port, 1);
	at.again = 1;
	reach_handshake(&at.greeting.base, 0);
	peer_reset(at.peer);
	run_turns(reactor, 5);
	at.peer = peer_accept(at.listener);
	run_until(reactor, is_in_handshake, NULL);
	run_turns(reactor, 3);
	peer_say(at.peer, "!");
	peer_read(reactor, at.peer, NULL, 5);
	assert_trace("failed(ConnectionLost) disconnected connected made");
	plait_connector_disconnect(at.connector);
	finish();
	assert_trace("lost(ConnectionDone) over(ConnectionDone) disconnected");
}

TEST(the_end_of_the_reactor_fails_a_handshake, ON_EACH_KERNEL)
{
	at.listener = peer_listen(&at.port, 1);
	reach_handshake(&at.greeting.base, 0);
	plait_reactor_free(&reactor);
	assert_trace("failed(ConnectionLost) disconnected");
	peer_close(at.peer);
	peer_close(at.listener);
}

/* ---- as a deferred ----------------------------------------------------------
 */

static struct plait_connector *
connect_greeting(struct plait_reactor *r, struct plait_factory *f, void *arg)
{
	at.twice = greeting_factory(f);
	return plait_connect_tcp(r, "127.0.0.1", at.port, &at.twice.base, NULL);
}

static plait_value note_result(plait_value *result, void *arg)
{
	struct plait_deferred **dp = arg;
	char text[100];

	plait_value_str(result, text, sizeof(text));
	trace_add("%s", text);
	*dp = NULL;
	return plait_value_is_failure(result) ? PLAIT_NONE : *result;
}

/* The protocol is built when the handshake is done, so a client fires then. */
TEST(a_client_fires_when_the_handshake_is_done, ON_EACH_KERNEL, TIMES(2))
{
	struct plait_deferred *d, *pending;

	at.listener = peer_listen(&at.port, 1);
	d = pending = plait_client_connect(reactor, connect_greeting, NULL,
					   &client_protocol_ops, NULL);
	plait_deferred_add_both(d, note_result, &pending);
	run_turns(reactor, 2);
	at.peer = peer_accept(at.listener);
	run_turns(reactor, 5);
	assert_trace("");
	if (_i == 0) {
		peer_say(at.peer, "!");
		peer_read(reactor, at.peer, NULL, 5);
		run_turns(reactor, 3);
		assert_trace("made <client>");
	}
	plait_deferred_free(&d);
	if (_i == 1)
		ck_assert_int_eq(peer_read(reactor, at.peer, NULL, 1),
				 -ECONNRESET);
	run_turns(reactor, 3);
	peer_close(at.peer);
	peer_close(at.listener);
}

/* ---- a close for a reason ---------------------------------------------------
 */

GROUP("reason", .setup = setup);

static void lose_because(struct plait_transport *t)
{
	plait_value why = plait_fail(&refused_error, "this end says so");

	plait_transport_lose_connection_because(t, plait_value_failure(&why));
	plait_value_free(&why);
}

static void connect_and_talk(struct plait_factory *f)
{
	at.listener = peer_listen(&at.port, 1);
	connect_with(f, 0);
	run_turns(reactor, 2);
	at.peer = peer_accept(at.listener);
	if (f != &at.factory)
		peer_say(at.peer, "!");
	peer_read(reactor, at.peer, NULL, 5);
	trace_clear();
}

/* Of a transport at the bottom; and of one above, which passes it down. */
TEST(a_reason_is_told_to_the_protocol_and_the_factory, ON_EACH_KERNEL, TIMES(2))
{
	connect_and_talk(_i == 0 ? &at.factory : &at.greeting.base);
	plait_transport_write(at.protocol->transport, "bye", 3);
	lose_because(at.protocol->transport);
	ck_assert_int_eq(peer_read_to_eof(reactor, at.peer, NULL, 10), 3);
	finish();
	assert_trace("lost(Refused) over(Refused) disconnected");
}

TEST(what_breaks_before_all_is_sent_is_told_instead, ON_EACH_KERNEL)
{
	connect_and_talk(&at.factory);
	plait_transport_write(at.protocol->transport, "bye", 3);
	lose_because(at.protocol->transport);
	plait_transport_abort_connection(at.protocol->transport);
	finish();
	assert_trace("lost(ConnectionAborted) over(ConnectionAborted) "
		     "disconnected");
}

TEST(a_reason_behind_a_close_is_none, ON_EACH_KERNEL)
{
	connect_and_talk(&at.factory);
	plait_transport_lose_connection(at.protocol->transport);
	lose_because(at.protocol->transport);
	finish();
	assert_trace("lost(ConnectionDone) over(ConnectionDone) disconnected");
}

TEST(a_failure_that_had_no_memory_is_a_reason, ON_EACH_KERNEL)
{
	connect_and_talk(&at.factory);
	plait_transport_lose_connection_because(at.protocol->transport, NULL);
	finish();
	assert_trace("lost(NoMemoryError) over(NoMemoryError) disconnected");
}

TEST(without_memory_for_the_reason_it_is_aborted, ON_EACH_KERNEL)
{
	connect_and_talk(&at.factory);
	fault_alloc_at(0, false);
	plait_transport_lose_connection_because(at.protocol->transport, NULL);
	finish();
	assert_trace("lost(NoMemoryError) over(NoMemoryError) disconnected");
}

/* ---- without memory ---------------------------------------------------------
 */

GROUP("torture", .setup = setup, .timeout = 60);

static bool is_over_or_greeted(void *nothing)
{
	return at.connector == NULL || at.protocol != NULL;
}

static void greet_and_lose(struct plait_reactor *r)
{
	setup();
	at.listener = peer_listen(&at.port, 1);
	at.connector = plait_connector_ref(plait_connect_tcp(
		r, "127.0.0.1", at.port, &at.greeting.base, NULL));
	run_turns(r, 3);
	at.peer = at.connector != NULL ? peer_accept(at.listener) : -1;
	peer_say(at.peer, "!");
	run_until(r, is_over_or_greeted, NULL);
	if (at.connector != NULL)
		lose_because(at.protocol->transport);
	run_until(r, connector_is_gone, NULL);
	if (!torture_faulty())
		assert_trace("connected made lost(Refused) over(Refused) "
			     "disconnected");
	peer_close(at.peer);
	peer_close(at.listener);
	run_turns(r, 3);
}

TEST(a_handshake_survives_every_refused_allocation, ON_EACH_BACKEND)
{
	torture(greet_and_lose, backend);
}

/*
 * STARTTLS: connections that begin in the clear.
 */
#include "tests/harness.h"
#include "tests/model.h"
#include "tests/tls_ends.h"
#include "tests/trace.h"

static struct plait_factory *in_clear[2];
static struct plait_tls_context *contexts[2];
static struct plait_deferred *started[2];
static unsigned finished;

static void setup(void)
{
	tls_ends_setup();
	finished = 0;
	memset(started, 0, sizeof(started));
}

static bool both_are_made(void *nothing)
{
	return at_server.made + at_client.made == 2;
}

/* Both ends, made, without TLS yet. */
static void meet(void)
{
	static const struct plait_listen_options options = {
		.iface = "127.0.0.1",
	};
	struct plait_address at;

	contexts[0] = tls_server(NULL);
	contexts[1] = tls_client(NULL);
	in_clear[0] = plait_tls_wrap_factory(NULL, &at_server.factory, NULL);
	in_clear[1] = plait_tls_wrap_factory(NULL, &at_client.factory, NULL);
	ck_assert_int_eq(
		plait_listen_tcp(reactor, 0, in_clear[0], &options, &tls_port),
		0);
	plait_port_host(tls_port, &at);
	at_client.connector =
		plait_connect_tcp(reactor, "127.0.0.1", plait_address_port(&at),
				  in_clear[1], NULL);
	run_until(reactor, both_are_made, NULL);
	trace_clear();
}

static plait_value note(plait_value *result, void *name)
{
	char text[200];

	plait_value_str(result, text, sizeof(text));
	finished++;
	trace_add(
		"%s=%s", (const char *)name,
		plait_value_is_failure(result)
			? plait_failure_kind(plait_value_failure(result))->name
			: text);
	return PLAIT_NONE;
}

static void start(struct tls_end *e)
{
	int i = e == &at_client;

	started[i] = plait_tls_start(tls_end_transport(e), contexts[i],
				     i == 1 ? "poetry.example" : NULL);
	plait_deferred_add_both(started[i], note, (void *)e->name);
}

static void finish(void)
{
	tls_end_all();
	for (int i = 0; i < 2; i++) {
		plait_deferred_free(&started[i]);
		plait_tls_factory_free(&in_clear[i]);
		plait_tls_context_unref(&contexts[i]);
	}
	run_turns(reactor, 3);
}

static void lose_client(void)
{
	plait_transport_lose_connection(tls_end_transport(&at_client));
}

GROUP("start", .setup = setup, .teardown = tls_ends_teardown);

TEST(a_connection_begins_in_the_clear, ON_EACH_KERNEL)
{
	struct plait_tls_info info;

	meet();
	ck_assert_int_eq(
		plait_transport_tls_info(tls_end_transport(&at_client), &info),
		-ENOTCONN);
	tls_end_write(&at_client, "hello");
	run_until_size(&at_server, 5);
	plait_transport_lose_connection(tls_end_transport(&at_server));
	finish();
	assert_trace("server+hello server-ConnectionDone "
		     "client-ConnectionDone");
}

/* Those bytes are what a client sees on the wire before. */
static void start_when_asked(struct tls_end *e, const void *data, size_t len)
{
	if (len != 8 || memcmp(data, "STARTTLS", 8) != 0)
		return;
	tls_end_write(e, "ready");
	start(e);
	tls_end_write(e, "secret");
}

static void start_when_ready(struct tls_end *e, const void *data, size_t len)
{
	if (len == 5 && memcmp(data, "ready", 5) == 0)
		start(e);
}

TEST(what_is_written_before_is_clear_and_what_comes_after_is_not,
     ON_EACH_KERNEL)
{
	struct plait_transport *t;
	struct plait_tls_info info;

	meet();
	t = tls_end_transport(&at_client);
	at_server.on_data = start_when_asked;
	at_client.on_data = start_when_ready;
	tls_end_write(&at_client, "STARTTLS");
	run_until_size(&at_client, 11);
	ck_assert_uint_eq(finished, 2);
	ck_assert_ptr_eq(tls_end_transport(&at_client), t);
	ck_assert_int_eq(plait_transport_tls_info(t, &info), 0);
	ck_assert(info.verified);
	tls_end_write(&at_client, "answer");
	run_until_size(&at_server, 14);
	lose_client();
	finish();
	ck_assert_uint_eq(at_server.made, 1);
	ck_assert_str_eq(plait_failure_kind(at_server.why)->name,
			 "ConnectionDone");
}

/* Unless it is sent by itself, the two would be one message. */
TEST(a_client_may_start_in_the_turn_in_which_it_has_written, ON_EACH_KERNEL)
{
	meet();
	at_server.on_data = start_when_asked;
	tls_end_write(&at_client, "STARTTLS");
	run_until_size(&at_server, 8);
	run_until_size(&at_client, 5);
	start(&at_client);
	tls_end_write(&at_client, "more");
	run_until_size(&at_server, 12);
	run_until_size(&at_client, 11);
	lose_client();
	finish();
}

TEST(a_handshake_that_fails_is_a_loss, ON_EACH_KERNEL)
{
	meet();
	start(&at_server);
	tls_end_write(&at_client, "this is no TLS, and never will be");
	finish();
	ck_assert_ptr_nonnull(strstr(trace(), "server=TLSHandshakeError"));
	ck_assert_ptr_eq(plait_failure_kind(at_server.why),
			 &plait_error_tls_handshake);
}

TEST(a_server_that_is_not_meant_is_a_loss, ON_EACH_KERNEL)
{
	meet();
	start(&at_server);
	started[1] = plait_tls_start(tls_end_transport(&at_client), contexts[1],
				     "prose.example");
	plait_deferred_add_both(started[1], note, (char *)"client");
	finish();
	ck_assert_ptr_nonnull(strstr(trace(), "client=TLSVerifyError"));
	ck_assert_ptr_eq(plait_failure_kind(at_client.why),
			 &plait_error_tls_verify);
}

TEST(cancelling_it_aborts_the_connection, ON_EACH_KERNEL)
{
	meet();
	start(&at_server);
	start(&at_client);
	plait_deferred_cancel(started[1]);
	finish();
	ck_assert_ptr_nonnull(strstr(trace(), "client=CancelledError"));
	ck_assert_ptr_nonnull(strstr(trace(), "client-ConnectionAborted"));
	ck_assert_ptr_nonnull(strstr(trace(), "server=ConnectionLost"));
}

TEST(a_peer_that_goes_in_the_handshake_is_told, ON_EACH_KERNEL)
{
	meet();
	start(&at_client);
	plait_transport_abort_connection(tls_end_transport(&at_server));
	finish();
	ck_assert_ptr_nonnull(strstr(trace(), "client=ConnectionLost"));
}

TEST(half_a_close_waits_for_the_handshake, ON_EACH_KERNEL, TIMES(2))
{
	at_server.half_closeable = at_client.half_closeable = true;
	meet();
	start(&at_server);
	start(&at_client);
	if (_i == 0)
		tls_end_write(&at_client, "all");
	plait_transport_lose_write_connection(tls_end_transport(&at_client));
	run_until_count(reactor, &at_server.read_lost, 1);
	ck_assert_uint_eq(at_server.received, _i == 0 ? 3 : 0);
	ck_assert_ptr_nonnull(strstr(trace(), "client|write"));
	plait_transport_lose_connection(tls_end_transport(&at_server));
	run_until_count(reactor, &at_client.read_lost, 1);
	lose_client();
	finish();
}

TEST(a_close_in_the_handshake_is_a_close, ON_EACH_KERNEL)
{
	meet();
	start(&at_client);
	lose_client();
	finish();
	ck_assert_ptr_nonnull(strstr(trace(), "client-ConnectionDone"));
}

/* ---- refusals
 * ------------------------------------------------------------------- */

GROUP("refusal", .setup = setup, .teardown = tls_ends_teardown);

static void is_refused(struct plait_deferred *d, const char *text)
{
	const plait_value *v = plait_deferred_result(d);
	const struct plait_failure *f;

	ck_assert_ptr_nonnull(v);
	f = plait_value_failure(v);
	ck_assert_ptr_eq(plait_failure_kind(f), &plait_error_tls_handshake);
	ck_assert_int_eq(plait_failure_errno(f), EINVAL);
	ck_assert_str_eq(plait_failure_message(f), text);
	plait_deferred_add_errback(d, note, (char *)"");
	plait_deferred_free(&d);
}

TEST(it_is_refused_where_it_cannot_be, ON_EACH_KERNEL)
{
	struct plait_transport *t;

	meet();
	t = tls_end_transport(&at_client);
	is_refused(plait_tls_start(plait_transport_below(t), contexts[1], "x"),
		   "the connection was not wrapped for TLS");
	is_refused(plait_tls_start(t, contexts[1], NULL),
		   "the name does not fit the context");
	is_refused(plait_tls_start(t, contexts[0], "x"),
		   "the name does not fit the context");
	start(&at_client);
	is_refused(plait_tls_start(t, contexts[1], "x"),
		   "the connection has begun TLS already");
	plait_transport_abort_connection(t);
	finish();
}

TEST(it_is_refused_when_the_connection_closes, ON_EACH_KERNEL)
{
	meet();
	lose_client();
	is_refused(plait_tls_start(tls_end_transport(&at_client), contexts[1],
				   "x"),
		   "the connection is not open");
	finish();
}

static struct plait_deferred *refused_start;

static void line_received(struct plait_line_receiver *p, const char *line,
			  size_t len)
{
	trace_add("line(%.*s)", (int)len, line);
	if (len == 8)
		refused_start =
			plait_tls_start(p->base.transport, contexts[0], NULL);
}

static void line_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	at_server.lost++;
}

static const struct plait_line_receiver_ops line_ops = {
	.base = { .name = "lines",
		  .size = sizeof(struct plait_line_receiver),
		  PLAIT_LINE_RECEIVER,
		  .connection_lost = line_lost },
	.line_received = line_received,
};

static struct plait_protocol *line_build(struct plait_factory *f,
					 const struct plait_address *peer)
{
	at_server.made++;
	return plait_protocol_new(&line_ops.base);
}

/* Somebody has put a command behind the one that asks for TLS. */
TEST(input_that_was_not_secret_is_refused, ON_EACH_KERNEL)
{
	static const struct plait_factory_ops lines = {
		.name = "lines",
		.build_protocol = line_build,
	};

	at_server.factory.ops = &lines;
	meet();
	tls_end_write(&at_client, "STARTTLS\r\nMAIL FROM:<eve>\r\n");
	while (refused_start == NULL)
		run_turns(reactor, 1);
	is_refused(refused_start, "there is input that was not secret");
	assert_trace("line(STARTTLS) line(MAIL FROM:<eve>) "
		     "=TLSHandshakeError");
	plait_transport_abort_connection(tls_end_transport(&at_client));
	run_until_count(reactor, &at_server.lost, 1);
	finish();
}

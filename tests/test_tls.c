/*
 * Connections with TLS: what a protocol and its factory are told, at both ends.
 */
#include <malloc.h>
#include <sys/mman.h>

#include "tests/harness.h"
#include "tests/model.h"
#include "tests/tls_ends.h"
#include "tests/trace.h"

GROUP("streams", .setup = tls_ends_setup, .teardown = tls_ends_teardown);

TEST(what_is_written_arrives_and_a_close_is_done, ON_EACH_KERNEL)
{
	tls_meet(tls_server(NULL), tls_client(NULL));
	tls_end_write(&at_client, "hello");
	run_until_size(&at_server, 5);
	tls_end_write(&at_server, "good bye");
	plait_transport_lose_connection(tls_end_transport(&at_server));
	tls_end_all();
	assert_trace("server+hello client+good bye server-ConnectionDone "
		     "client-ConnectionDone");
}

TEST(what_is_written_when_it_is_made_arrives, ON_EACH_KERNEL)
{
	tls_listen(tls_server(NULL));
	tls_connect(tls_client(NULL), NULL);
	at_client.says = at_server.says = "hello";
	run_until_count(reactor, &at_client.made, 1);
	run_until_size(&at_server, 5);
	run_until_size(&at_client, 5);
	plait_transport_lose_connection(tls_end_transport(&at_client));
	tls_end_all();
	ck_assert(plait_failure_check(at_server.why,
				      &plait_error_connection_done));
}

/* ---- one flight, one send
 * ---------------------------------------------------- */

static unsigned long sends(void)
{
	return calls_of("send") + calls_of("sendmsg") + calls_of("write") +
	       calls_of("writev");
}

static void count_from_here(struct tls_end *e, const void *data, size_t len)
{
	calls_reset();
}

static void one_send(struct tls_end *e, const void *data, size_t len)
{
	ck_assert_uint_eq(len, 320);
	ck_assert_uint_eq(sends(), 1);
}

/* What a callback has written leaves when it returns: as one record. */
TEST(many_answers_of_one_callback_leave_in_one_call, ON_EACH_KERNEL)
{
	tls_meet(tls_server(NULL), tls_client(NULL));
	run_turns(reactor, 10);
	at_server.answers = 32;
	at_server.on_data = count_from_here;
	at_client.on_data = one_send;
	tls_end_write(&at_client, "hello");
	run_until_size(&at_client, 320);
	plait_transport_abort_connection(tls_end_transport(&at_client));
	tls_end_all();
}

/* Each would be a record of its own, if it were passed on at once. */
TEST(pieces_that_are_not_copied_make_one_record, ON_EACH_KERNEL)
{
	static const char bytes[400];
	struct plait_buf *b;

	tls_meet(tls_server(NULL), tls_client(NULL));
	run_turns(reactor, 10);
	at_client.quiet = true;
	for (int i = 0; i < 20; i++) {
		b = plait_buf_copy(bytes, sizeof(bytes));
		plait_transport_write_buf(tls_end_transport(&at_server), b);
		plait_buf_unref(&b);
	}
	calls_reset();
	run_until_size(&at_client, 8000);
	ck_assert_uint_eq(sends(), 1);
	ck_assert_uint_eq(at_client.deliveries, 1);
	plait_transport_abort_connection(tls_end_transport(&at_client));
	tls_end_all();
}

/* ---- much -------------------------------------------------------- */

enum { MUCH = 3000000 };

static void write_much(struct tls_end *e)
{
	static char bytes[MUCH];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7 + i / 251);
	plait_transport_write(tls_end_transport(e), bytes, sizeof(bytes));
}

static void check_much(struct tls_end *e, const void *data, size_t len)
{
	const char *bytes = data;
	size_t at = e->received - len;

	for (size_t i = 0; i < len; i++)
		ck_assert_int_eq(bytes[i],
				 (char)((at + i) * 7 + (at + i) / 251));
}

TEST(much_arrives_whole_before_the_end, ON_EACH_KERNEL)
{
	tls_meet(tls_server(NULL), tls_client(NULL));
	at_client.quiet = true;
	at_client.on_data = check_much;
	write_much(&at_server);
	plait_transport_lose_connection(tls_end_transport(&at_server));
	tls_end_all();
	ck_assert_uint_eq(at_client.received, MUCH);
	assert_trace("server-ConnectionDone client-ConnectionDone");
}

static int file_of_much(void)
{
	static char bytes[MUCH];
	int fd = memfd_create("much", MFD_CLOEXEC);

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7 + i / 251);
	ck_assert_int_eq((int)write(fd, bytes, sizeof(bytes)), MUCH);
	return fd;
}

/* The kernel cannot send it, so it is read; the bytes are those that would have
   been written. */
TEST(file_is_encrypted_in_its_place, ON_EACH_KERNEL)
{
	enum { BEFORE = 10, BEHIND = 20 };
	static const size_t size = MUCH - BEFORE - BEHIND;
	struct plait_transport *t;
	static char bytes[MUCH];
	int fd = file_of_much();

	ck_assert_int_eq((int)pread(fd, bytes, MUCH, 0), MUCH);
	tls_meet(tls_server(NULL), tls_client(NULL));
	at_client.quiet = true;
	at_client.on_data = check_much;
	t = tls_end_transport(&at_server);
	plait_transport_write(t, bytes, BEFORE);
	ck_assert_int_eq(plait_transport_send_file(t, fd, BEFORE, size), 0);
	plait_transport_write(t, bytes + BEFORE + size, BEHIND);
	plait_transport_lose_connection(t);
	tls_end_all();
	ck_assert_uint_eq(at_client.received, MUCH);
	assert_trace("server-ConnectionDone client-ConnectionDone");
}

TEST(both_may_send_much_at_a_time, ON_EACH_KERNEL)
{
	tls_meet(tls_server(NULL), tls_client(NULL));
	at_client.quiet = at_server.quiet = true;
	at_client.on_data = at_server.on_data = check_much;
	write_much(&at_server);
	write_much(&at_client);
	run_until_size(&at_client, MUCH);
	run_until_size(&at_server, MUCH);
	plait_transport_lose_connection(tls_end_transport(&at_client));
	tls_end_all();
	assert_trace("client-ConnectionDone server-ConnectionDone");
}

/* Of what waits, only so much is encrypted already. */
TEST(a_paused_reader_holds_up_the_writer, ON_EACH_KERNEL)
{
	struct plait_transport *t;
	size_t before;

	tls_meet(tls_server(NULL), tls_client(NULL));
	at_client.quiet = true;
	at_client.on_data = check_much;
	plait_transport_pause_reading(tls_end_transport(&at_client));
	t = tls_end_transport(&at_server);
	for (int i = 0; i < 8; i++)
		write_much(&at_server);
	run_turns(reactor, 300);
	before = plait_transport_unsent(t);
	ck_assert_uint_gt(before, MUCH);
	ck_assert_uint_lt(plait_transport_unsent(plait_transport_below(t)),
			  128 * 1024);
	ck_assert_uint_eq(at_client.received, 0);
	at_client.on_data = NULL;
	plait_transport_resume_reading(tls_end_transport(&at_client));
	plait_transport_lose_connection(t);
	tls_end_all();
	ck_assert_uint_eq(at_client.received, 8 * (size_t)MUCH);
	assert_trace("server-ConnectionDone client-ConnectionDone");
}

/* ---- idle connections -------------------------------------------- */

/* Both ends have two buffers of 17 KB each; with a sanitizer nobody counts. */
TEST(a_connection_that_is_idle_has_no_buffers, ON_EACH_BACKEND)
{
	size_t busy, idle;

	tls_meet(tls_server(NULL), tls_client(NULL));
	run_for(reactor, 3);
	idle = mallinfo2().uordblks;
	for (int i = 0; i < 3; i++) {
		tls_end_write(&at_client, "hello");
		run_until_size(&at_server, 5 * (size_t)(i + 1));
		tls_end_write(&at_server, "good bye");
		run_until_size(&at_client, 8 * (size_t)(i + 1));
		run_for(reactor, 0.7);
	}
	busy = mallinfo2().uordblks;
	ck_assert(idle == 0 || busy > idle + 60000);
	run_for(reactor, 3);
	ck_assert_uint_lt(mallinfo2().uordblks, idle + 5000);
	plait_transport_abort_connection(tls_end_transport(&at_client));
	tls_end_all();
}

/* The server has that many connections with buffers. */
TEST(many_buffers_that_are_freed_go_back_to_the_system, ON_EACH_BACKEND,
     TIMES(2))
{
	struct plait_tls_context *c = tls_client(NULL);
	unsigned n = _i == 0 ? 63 : 64;

	tls_listen(tls_server(NULL));
	for (unsigned i = 1; i <= n; i++) {
		tls_connect(plait_tls_context_ref(c), NULL);
		run_until_count(reactor, &at_client.made, i);
		run_until_count(reactor, &at_server.made, i);
	}
	plait_tls_context_unref(&c);
	run_for(reactor, 5);
	ck_assert_uint_eq(calls_of("malloc_trim"), _i == 0 ? 0 : 1);
	run_for(reactor, 100);
	ck_assert_uint_eq(calls_of("malloc_trim"), _i == 0 ? 0 : 1);
	plait_port_free(&tls_port);
	plait_reactor_free(&reactor);
}

/* ---- within TLS --------------------------------------------------- */

/* A proxy that is reached with TLS, and a server behind it. */
TEST(tls_may_be_within_tls, ON_EACH_KERNEL)
{
	static const struct plait_listen_options here = { .iface =
								  "127.0.0.1" };
	struct plait_tls_context *s = tls_server(NULL), *c = tls_client(NULL);
	struct plait_factory *server, *servers, *client, *clients;
	struct plait_transport *t;
	struct plait_address at;

	server = plait_tls_wrap_factory(s, &at_server.factory, NULL);
	servers = plait_tls_wrap_factory(s, server, NULL);
	client =
		plait_tls_wrap_factory(c, &at_client.factory, "poetry.example");
	clients = plait_tls_wrap_factory(c, client, "localhost");
	ck_assert_int_eq(
		plait_listen_tcp(reactor, 0, servers, &here, &tls_port), 0);
	plait_port_host(tls_port, &at);
	at_client.connector = plait_connect_tcp(
		reactor, "127.0.0.1", plait_address_port(&at), clients, NULL);
	at_client.says = at_server.says = "hello";
	run_until_size(&at_client, 5);
	run_until_size(&at_server, 5);
	ck_assert_int_eq(plait_connector_state(at_client.connector),
			 PLAIT_CONNECTOR_CONNECTED);
	t = tls_end_transport(&at_client);
	ck_assert_ptr_nonnull(plait_transport_below(plait_transport_below(t)));
	plait_transport_lose_connection(t);
	tls_end_all();
	ck_assert(plait_failure_check(at_server.why,
				      &plait_error_connection_done));
	plait_tls_factory_free(&server);
	plait_tls_factory_free(&servers);
	plait_tls_factory_free(&client);
	plait_tls_factory_free(&clients);
	plait_tls_context_unref(&s);
	plait_tls_context_unref(&c);
}

/* ---- ends
 * -------------------------------------------------------------------- */

GROUP("ends", .setup = tls_ends_setup, .teardown = tls_ends_teardown);

TEST(an_abort_is_told_as_a_loss, ON_EACH_KERNEL)
{
	tls_meet(tls_server(NULL), tls_client(NULL));
	tls_end_write(&at_server, "never sent");
	plait_transport_abort_connection(tls_end_transport(&at_server));
	tls_end_all();
	assert_trace("server-ConnectionAborted client-ConnectionLost");
}

/* Somebody between the two closes the TCP connection in order. */
TEST(an_end_without_close_notify_is_a_truncation, ON_EACH_KERNEL)
{
	tls_meet(tls_server(NULL), tls_client(NULL));
	tls_end_write(&at_server, "a part");
	run_until_size(&at_client, 6);
	plait_transport_lose_connection(
		plait_transport_below(tls_end_transport(&at_server)));
	tls_end_all();
	assert_trace("client+a part server-TLSTruncatedError "
		     "client-TLSTruncatedError");
}

TEST(what_a_paused_reader_has_not_read_comes_before_a_truncation,
     ON_EACH_KERNEL)
{
	tls_meet(tls_server(NULL), tls_client(NULL));
	plait_transport_pause_reading(tls_end_transport(&at_client));
	tls_end_write(&at_server, "a part");
	run_turns(reactor, 3);
	plait_transport_lose_connection(
		plait_transport_below(tls_end_transport(&at_server)));
	run_turns(reactor, 5);
	assert_trace("server-TLSTruncatedError");
	plait_transport_resume_reading(tls_end_transport(&at_client));
	tls_end_all();
	assert_trace("client+a part client-TLSTruncatedError");
}

TEST(half_a_close_lets_the_other_half_go_on, ON_EACH_KERNEL)
{
	at_server.half_closeable = at_client.half_closeable = true;
	tls_meet(tls_server(NULL), tls_client(NULL));
	tls_end_write(&at_client, "question");
	plait_transport_lose_write_connection(tls_end_transport(&at_client));
	run_until_size(&at_server, 8);
	run_until_count(reactor, &at_server.read_lost, 1);
	assert_trace("client|write server+question server|read");
	ck_assert(
		plait_transport_peer_has_closed(tls_end_transport(&at_server)));
	tls_end_write(&at_server, "answer");
	run_until_size(&at_client, 6);
	assert_trace("client+answer");
	plait_transport_lose_connection(tls_end_transport(&at_server));
	run_until_count(reactor, &at_client.read_lost, 1);
	run_until_count(reactor, &at_server.lost, 1);
	trace_clear();
	plait_transport_lose_connection(tls_end_transport(&at_client));
	tls_end_all();
	assert_trace("client-ConnectionDone");
}

TEST(a_close_is_whole_when_the_reactor_is_freed, ON_EACH_KERNEL)
{
	tls_meet(tls_server(NULL), tls_client(NULL));
	tls_end_write(&at_server, "good bye");
	plait_transport_lose_connection(tls_end_transport(&at_server));
	plait_reactor_free(&reactor);
	ck_assert(plait_failure_check(at_server.why,
				      &plait_error_connection_done));
}

TEST(a_shutdown_sends_what_there_is_and_the_end, ON_EACH_KERNEL)
{
	tls_meet(tls_server(NULL), tls_client(NULL));
	tls_end_write(&at_server, "good bye");
	plait_transport_lose_connection(tls_end_transport(&at_server));
	plait_call_later(reactor, 0, call_stop, NULL);
	plait_reactor_run(reactor);
	ck_assert_ptr_null(at_server.protocol);
	ck_assert_ptr_null(at_client.protocol);
	ck_assert(plait_failure_check(at_server.why,
				      &plait_error_connection_done));
}

/* ---- handshakes
 * ---------------------------------------------------------------- */

GROUP("handshakes", .setup = tls_ends_setup, .teardown = tls_ends_teardown);

TEST(both_know_what_they_have_agreed_on, ON_EACH_KERNEL)
{
	static const char *const of_server[] = { "h2", "http/1.1", NULL };
	static const char *const of_client[] = { "x", "http/1.1", "h2", NULL };
	struct plait_tls_server_options s = { .alpn = of_server };
	struct plait_tls_client_options c = { .alpn = of_client };
	struct plait_tls_info a, b;

	tls_meet(tls_server(&s), tls_client(&c));
	ck_assert_int_eq(
		plait_transport_tls_info(tls_end_transport(&at_server), &a), 0);
	ck_assert_int_eq(
		plait_transport_tls_info(tls_end_transport(&at_client), &b), 0);
	ck_assert_str_eq(a.version, "TLSv1.3");
	ck_assert_str_eq(a.alpn, "h2");
	ck_assert_str_eq(a.name, "poetry.example");
	ck_assert_uint_eq(a.n_certificates, 0);
	ck_assert(!a.resumed && !a.verified);
	ck_assert_str_eq(b.version, "TLSv1.3");
	ck_assert_str_eq(b.alpn, "h2");
	ck_assert_str_eq(b.name, "poetry.example");
	ck_assert_str_eq(b.cipher, a.cipher);
	ck_assert_uint_eq(b.n_certificates, 1);
	ck_assert_uint_gt(b.certificates[0].size, 100);
	ck_assert_int_eq(((const unsigned char *)b.certificates[0].der)[0],
			 0x30);
	ck_assert(!b.resumed && b.verified);
	plait_transport_lose_connection(tls_end_transport(&at_client));
	tls_end_all();
}

/* What a client makes of the certificate of the server. */
static const struct {
	const char *certificate, *name;
	const char *kind; /* NULL: it is good */
	const char *text;
} verdicts[] = {
	{ "good", "poetry.example", NULL, NULL },
	{ "good", "poetry.example.", NULL, NULL },
	{ "good", "POETRY.example", NULL, NULL },
	{ "good", "localhost", NULL, NULL },
	{ "good", "127.0.0.1", NULL, NULL },
	{ "good", "::1", NULL, NULL },
	{ "good", "127.0.0.2", "TLSVerifyError", "IP address mismatch" },
	{ "good", "prose.example", "TLSVerifyError", "hostname mismatch" },
	{ "rsa", "poetry.example", NULL, NULL },
	{ "chain", "poetry.example", NULL, NULL },
	{ "no-chain", "poetry.example", "TLSVerifyError",
	  "unable to get local issuer certificate" },
	{ "wildcard", "a.poetry.example", NULL, NULL },
	{ "wildcard", "a.b.poetry.example", "TLSVerifyError",
	  "hostname mismatch" },
	{ "wildcard", "poetry.example", "TLSVerifyError", "hostname mismatch" },
	{ "partial", "poetry.example", "TLSVerifyError", "hostname mismatch" },
	{ "common-name", "poetry.example", "TLSVerifyError",
	  "hostname mismatch" },
	{ "ip", "127.0.0.1", NULL, NULL },
	{ "ip", "poetry.example", "TLSVerifyError", "hostname mismatch" },
	{ "wrong-name", "poetry.example", "TLSVerifyError",
	  "hostname mismatch" },
	{ "expired", "poetry.example", "TLSVerifyError",
	  "certificate has expired" },
	{ "early", "poetry.example", "TLSVerifyError",
	  "certificate is not yet valid" },
	{ "self-signed", "poetry.example", "TLSVerifyError",
	  "self-signed certificate" },
	{ "wrong-authority", "poetry.example", "TLSVerifyError",
	  "unable to get local issuer certificate" },
	{ "client-only", "poetry.example", "TLSVerifyError",
	  "unsuitable certificate purpose" },
};

static void server_shows(const char *certificate)
{
	struct plait_tls_server_options s = {
		.certificate = tls_pem(certificate),
		.key = tls_key(certificate),
	};

	tls_listen(tls_server(&s));
}

TEST(a_client_takes_good_certificates_alone, ON_EACH_BACKEND, EACH_OF(verdicts))
{
	server_shows(verdicts[_i].certificate);
	tls_connect(tls_client(NULL), verdicts[_i].name);
	run_until(reactor, tls_client_has_outcome, NULL);
	if (verdicts[_i].kind == NULL) {
		ck_assert_uint_eq(at_client.made, 1);
		plait_transport_lose_connection(tls_end_transport(&at_client));
		tls_end_all();
		return;
	}
	tls_end_all();
	ck_assert_uint_eq(at_client.failed, 1);
	ck_assert_uint_eq(at_client.made + at_server.made, 0);
	ck_assert_str_eq(plait_failure_kind(at_client.why)->name,
			 verdicts[_i].kind);
	ck_assert_str_eq(plait_failure_message(at_client.why),
			 verdicts[_i].text);
	ck_assert_int_ne(plait_tls_failure_verify_error(at_client.why), 0);
}

TEST(a_client_may_say_that_it_takes_any, ON_EACH_BACKEND, TIMES(3))
{
	static const char *const certificates[] = { "wrong-name", "expired",
						    "self-signed" };
	struct plait_tls_client_options c = {
		.accept_any_name = _i == 0,
		.accept_any_certificate = _i != 0,
	};
	struct plait_tls_info info;

	server_shows(certificates[_i]);
	tls_connect(tls_client(&c), NULL);
	run_until_count(reactor, &at_client.made, 1);
	ck_assert_int_eq(
		plait_transport_tls_info(tls_end_transport(&at_client), &info),
		0);
	ck_assert_int_eq(info.verified, _i == 0);
	plait_transport_lose_connection(tls_end_transport(&at_client));
	tls_end_all();
}

/* ---- without a name
 * ---------------------------------------------------------- */

TEST(a_client_without_a_name_does_not_begin, ON_EACH_BACKEND, TIMES(3))
{
	struct plait_tls_client_options o = {
		.accept_any_name = _i == 1,
		.accept_any_certificate = _i == 2,
	};
	struct plait_tls_context *c = tls_client(&o);
	struct plait_factory *f =
		plait_tls_wrap_factory(c, &at_client.factory, NULL);

	ck_assert_int_eq(f != NULL, _i != 0);
	if (_i == 0) {
		ck_assert_int_eq(errno, EINVAL);
		errno = 0;
		ck_assert_ptr_null(plait_connect_tls(
			reactor, NULL, 1, &at_client.factory, c, NULL));
		ck_assert_int_eq(errno, EINVAL);
		ck_assert(!plait_factory_is_used(&at_client.factory));
	}
	plait_tls_factory_free(&f);
	plait_tls_context_unref(&c);
}

TEST(a_context_of_the_other_side_does_not_begin, ON_EACH_BACKEND)
{
	struct plait_tls_context *c = tls_client(NULL), *s = tls_server(NULL);

	ck_assert_int_eq(
		plait_listen_tls(reactor, 0, &at_server.factory, c, NULL, NULL),
		-EINVAL);
	ck_assert_ptr_null(plait_connect_tls(reactor, "localhost", 1,
					     &at_client.factory, s, NULL));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_ptr_null(
		plait_tls_wrap_factory(s, &at_server.factory, "name"));
	ck_assert_int_eq(errno, EINVAL);
	plait_tls_context_unref(&c);
	plait_tls_context_unref(&s);
}

/*
 * Handshakes: what the program is asked in the middle of one, what ends one,
 * and that nothing of it is left.
 */
#include <stdio.h>

#include "tests/child.h"
#include "tests/harness.h"
#include "tests/model.h"
#include "tests/tls_ends.h"
#include "tests/trace.h"

/* ---- a program that answers later -------------------------------- */

static struct {
	struct plait_promise *promise;
	struct plait_tls_context *chosen;
	const char *text; /* of the failure that it answers with */
	unsigned asked, cancelled, told;
	bool at_once;
} program;

static plait_value program_cancel(struct plait_deferred *d, void *arg)
{
	program.cancelled++;
	plait_promise_drop(&program.promise);
	return plait_cancelled();
}

static plait_value program_answer(void)
{
	if (program.text != NULL)
		return plait_fail(&plait_error_os, "%s", program.text);
	if (program.chosen == NULL)
		return PLAIT_NONE;
	return plait_tls_context_value(&program.chosen);
}

static plait_value program_ask(void)
{
	struct plait_deferred *d;

	program.asked++;
	if (program.at_once)
		return program_answer();
	d = plait_deferred_new(&program.promise, program_cancel, NULL);
	return plait_chain(&d);
}

static void program_answers(void)
{
	plait_fire(&program.promise, program_answer());
}

static plait_value choose(const struct plait_tls_hello *hello, void *arg)
{
	char peer[PLAIT_ADDRESS_SIZE];

	ck_assert_ptr_eq(arg, &program);
	plait_address_host(hello->peer, peer, sizeof(peer));
	ck_assert_str_eq(peer, "127.0.0.1");
	trace_add("choose(%s)", hello->name != NULL ? hello->name : "");
	return program_ask();
}

static plait_value verify(const struct plait_tls_info *peer, void *arg)
{
	ck_assert_ptr_eq(arg, &program);
	ck_assert_str_eq(peer->version, "TLSv1.3");
	ck_assert_uint_ge(peer->n_certificates, 1);
	trace_add("verify(%zu%s)", peer->n_certificates,
		  peer->verified ? "" : " unverified");
	return program_ask();
}

static void failed(const struct plait_address *peer,
		   const struct plait_failure *why, void *arg)
{
	ck_assert_ptr_eq(arg, &program);
	ck_assert_int_eq(peer->family, AF_INET);
	program.told++;
	trace_add("failed(%s)", plait_failure_kind(why)->name);
}

static void setup(void)
{
	memset(&program, 0, sizeof(program));
	tls_ends_setup();
}

static void listen_choosing(void)
{
	struct plait_tls_server_options o = { .choose = choose,
					      .failed = failed,
					      .arg = &program };

	tls_listen(tls_server(&o));
}

static bool is_asked(void *nothing)
{
	return program.asked > 0;
}

static bool is_told(void *nothing)
{
	return program.told > 0;
}

enum { protocol_version = 70 }; /* an alert */

static void close_client(void)
{
	plait_transport_lose_connection(tls_end_transport(&at_client));
	tls_end_all();
}

/* ---- which context
 * ----------------------------------------------------------- */

GROUP("choice", .setup = setup, .teardown = tls_ends_teardown);

TEST(the_program_chooses_by_name, ON_EACH_KERNEL, TIMES(2))
{
	struct plait_tls_server_options o = { .certificate =
						      tls_pem("wildcard"),
					      .key = tls_key("wildcard") };

	program.at_once = _i == 0;
	program.chosen = tls_server(&o);
	listen_choosing();
	tls_connect(tls_client(NULL), "a.poetry.example");
	run_until(reactor, is_asked, NULL);
	run_turns(reactor, 5);
	if (_i == 1) {
		ck_assert_uint_eq(at_client.made + at_client.failed, 0);
		program_answers();
	}
	run_until_count(reactor, &at_client.made, 1);
	run_until_count(reactor, &at_server.made, 1);
	close_client();
	ck_assert_uint_eq(program.asked, 1);
}

/* The client speaks TLS 1.2 alone. */
TEST(the_oldest_version_is_that_of_the_choice, ON_EACH_KERNEL, TIMES(2))
{
	struct plait_tls_server_options first = { .choose = choose,
						  .arg = &program };
	struct plait_tls_server_options second = { .choose = NULL };
	struct plait_tls_client_options c = { .no_resumption = true };

	(_i == 0 ? &first : &second)->min_version = "TLSv1.3";
	program.at_once = true;
	program.chosen = tls_server(&second);
	tls_listen(tls_server(&first));
	tls_ends_are_old = true;
	tls_connect(tls_client(&c), NULL);
	run_until(reactor, tls_client_has_outcome, NULL);
	ck_assert_uint_eq(at_client.made, _i == 0 ? 1 : 0);
	if (_i == 0)
		run_until_count(reactor, &at_server.made, 1);
	else
		ck_assert_int_eq(plait_tls_failure_alert(at_client.why),
				 protocol_version);
	if (_i == 0)
		plait_transport_lose_connection(tls_end_transport(&at_client));
	tls_end_all();
}

TEST(no_choice_is_the_first_context, ON_EACH_KERNEL, TIMES(2))
{
	program.at_once = _i == 0;
	listen_choosing();
	tls_connect(tls_client(NULL), NULL);
	run_until(reactor, is_asked, NULL);
	if (_i == 1)
		program_answers();
	run_until_count(reactor, &at_client.made, 1);
	run_until_count(reactor, &at_server.made, 1);
	close_client();
}

TEST(a_client_without_a_name_is_chosen_for_too, ON_EACH_KERNEL)
{
	program.at_once = true;
	listen_choosing();
	tls_connect(tls_client(NULL), "127.0.0.1");
	run_until_count(reactor, &at_client.made, 1);
	run_until_count(reactor, &at_server.made, 1);
	close_client();
	ck_assert_uint_eq(strncmp(trace(), "choose() ", 9), 0);
}

TEST(a_client_may_be_refused_by_its_name, ON_EACH_KERNEL, TIMES(2))
{
	program.at_once = _i == 0;
	program.text = "nobody of that name";
	listen_choosing();
	tls_connect(tls_client(NULL), NULL);
	run_until(reactor, is_asked, NULL);
	if (_i == 1)
		program_answers();
	run_until(reactor, tls_client_has_outcome, NULL);
	run_until(reactor, is_told, NULL);
	tls_end_all();
	ck_assert_int_eq(plait_tls_failure_alert(at_client.why), 112);
	ck_assert_str_eq(plait_failure_message(at_client.why),
			 "the peer says: unrecognized name (alert 112)");
	ck_assert_uint_eq(at_server.made, 0);
}

TEST(a_context_of_clients_is_no_choice, ON_EACH_KERNEL)
{
	program.at_once = true;
	program.chosen = tls_client(NULL);
	listen_choosing();
	tls_connect(tls_client(NULL), NULL);
	run_until(reactor, is_told, NULL);
	tls_end_all();
	ck_assert_uint_eq(at_client.failed, 1);
}

/* With what it asks of clients. */
TEST(what_the_chosen_context_asks_of_clients_counts, ON_EACH_KERNEL)
{
	struct plait_tls_server_options o = { .client_authorities =
						      tls_pem("authority") };

	program.at_once = true;
	program.chosen = tls_server(&o);
	listen_choosing();
	tls_connect(tls_client(NULL), NULL);
	run_until(reactor, is_told, NULL);
	tls_end_all();
	ck_assert_uint_eq(at_server.made, 0);
	ck_assert_int_eq(plait_tls_failure_alert(at_client.why), 116);
}

/* ---- whether a certificate is good
 * -------------------------------------------- */

GROUP("verdict", .setup = setup, .teardown = tls_ends_teardown);

TEST(a_client_may_ask_its_program_of_the_server, ON_EACH_KERNEL, TIMES(2))
{
	struct plait_tls_client_options o = { .verify = verify,
					      .arg = &program };

	program.at_once = _i == 0;
	tls_listen(tls_server(NULL));
	tls_connect(tls_client(&o), NULL);
	run_until(reactor, is_asked, NULL);
	run_turns(reactor, 10);
	if (_i == 1) {
		ck_assert_uint_eq(at_client.made + at_server.made, 0);
		program_answers();
	}
	run_until_count(reactor, &at_client.made, 1);
	run_until_count(reactor, &at_server.made, 1);
	close_client();
	ck_assert_uint_eq(program.asked, 1);
	ck_assert_uint_eq(strncmp(trace(), "verify(1) ", 10), 0);
}

TEST(a_server_that_the_program_refuses_has_failed, ON_EACH_KERNEL, TIMES(2))
{
	struct plait_tls_client_options o = { .verify = verify,
					      .arg = &program };
	struct plait_tls_server_options s = { .failed = failed,
					      .arg = &program };

	program.at_once = _i == 0;
	program.text = "it is on our list";
	tls_listen(tls_server(&s));
	tls_connect(tls_client(&o), NULL);
	run_until(reactor, is_asked, NULL);
	if (_i == 1)
		program_answers();
	run_until(reactor, is_told, NULL);
	tls_end_all();
	ck_assert_ptr_eq(plait_failure_kind(at_client.why),
			 &plait_error_tls_verify);
	ck_assert_str_eq(
		plait_failure_message(plait_failure_cause(at_client.why)),
		"it is on our list");
	ck_assert_uint_eq(at_client.made + at_server.made, 0);
}

/* The program is the only judge then. */
TEST(the_program_judges_what_openssl_does_not, ON_EACH_KERNEL, TIMES(2))
{
	struct plait_tls_client_options o = { .verify = verify,
					      .arg = &program,
					      .accept_any_certificate = true };
	struct plait_tls_server_options s = { .certificate =
						      tls_pem("self-signed"),
					      .key = tls_key("self-signed") };

	program.at_once = true;
	program.text = _i == 1 ? "no" : NULL;
	tls_listen(tls_server(&s));
	tls_connect(tls_client(&o), NULL);
	run_until(reactor, tls_client_has_outcome, NULL);
	ck_assert_uint_eq(at_client.made, _i == 0);
	ck_assert_uint_eq(strncmp(trace(), "verify(1 unverified) ", 21), 0);
	close_client();
}

TEST(nobody_is_asked_of_what_openssl_refuses, ON_EACH_KERNEL)
{
	struct plait_tls_client_options o = { .verify = verify,
					      .arg = &program };

	tls_listen(tls_server(NULL));
	tls_connect(tls_client(&o), "prose.example");
	run_until(reactor, tls_client_has_outcome, NULL);
	tls_end_all();
	ck_assert_uint_eq(program.asked, 0);
}

static struct plait_tls_context *client_with(const char *certificate)
{
	struct plait_tls_client_options o = { .handshake_timeout = 0 };

	if (certificate != NULL) {
		o.certificate = tls_pem(certificate);
		o.key = tls_key(certificate);
	}
	return tls_client(&o);
}

static void listen_to_clients(bool may_have_none, bool asks)
{
	struct plait_tls_server_options o = {
		.client_authorities = tls_pem("authority"),
		.client_may_have_none = may_have_none,
		.verify = asks ? verify : NULL,
		.failed = failed,
		.arg = &program,
	};

	tls_listen(tls_server(&o));
}

TEST(a_server_knows_the_certificate_of_a_client, ON_EACH_KERNEL)
{
	struct plait_tls_info info;

	listen_to_clients(false, false);
	tls_connect(client_with("client"), NULL);
	run_until_count(reactor, &at_client.made, 1);
	run_until_count(reactor, &at_server.made, 1);
	ck_assert_int_eq(
		plait_transport_tls_info(tls_end_transport(&at_server), &info),
		0);
	ck_assert(info.verified);
	ck_assert_uint_eq(info.n_certificates, 1);
	close_client();
}

static const struct {
	const char *certificate;
	bool may_have_none;
	int alert; /* that the client is told; 0: it is taken */
	const char *kind;
} clients[] = {
	{ NULL, false, 116, "failed(TLSHandshakeError)" },
	{ NULL, true, 0, NULL },
	{ "client-expired", false, 45, "failed(TLSVerifyError)" },
	{ "client-expired", true, 45, "failed(TLSVerifyError)" },
	{ "client-wrong-authority", false, 48, "failed(TLSVerifyError)" },
	{ "good", false, 43, "failed(TLSVerifyError)" },
};

/* In TLS 1.3 the client has finished when it is refused. */
TEST(a_server_takes_good_clients_alone, ON_EACH_BACKEND, EACH_OF(clients))
{
	listen_to_clients(clients[_i].may_have_none, false);
	tls_connect(client_with(clients[_i].certificate), NULL);
	if (clients[_i].alert == 0) {
		run_until_count(reactor, &at_client.made, 1);
		run_until_count(reactor, &at_server.made, 1);
		close_client();
		return;
	}
	run_until_count(reactor, &at_client.lost, 1);
	run_until(reactor, is_told, NULL);
	tls_end_all();
	ck_assert_int_eq(plait_tls_failure_alert(at_client.why),
			 clients[_i].alert);
	ck_assert_ptr_eq(plait_failure_kind(at_client.why), &plait_error_tls);
	ck_assert_ptr_nonnull(strstr(trace(), clients[_i].kind));
	ck_assert_uint_eq(at_server.made, 0);
}

TEST(a_server_may_ask_its_program_of_the_client, ON_EACH_KERNEL, TIMES(4))
{
	program.at_once = _i / 2 == 0;
	program.text = _i % 2 == 0 ? NULL : "it was here yesterday";
	listen_to_clients(false, true);
	tls_connect(client_with("client"), NULL);
	run_until(reactor, is_asked, NULL);
	run_turns(reactor, 5);
	if (!program.at_once) {
		ck_assert_uint_eq(at_server.made, 0);
		program_answers();
	}
	if (program.text == NULL) {
		run_until_count(reactor, &at_server.made, 1);
		close_client();
		return;
	}
	run_until_count(reactor, &at_client.lost, 1);
	run_until(reactor, is_told, NULL);
	tls_end_all();
	ck_assert_uint_eq(at_server.made, 0);
	ck_assert_ptr_nonnull(strstr(trace(), "failed(TLSVerifyError)"));
}

TEST(nobody_is_asked_of_a_client_without_one, ON_EACH_KERNEL)
{
	listen_to_clients(true, true);
	tls_connect(client_with(NULL), NULL);
	run_until_count(reactor, &at_server.made, 1);
	run_until_count(reactor, &at_client.made, 1);
	close_client();
	ck_assert_uint_eq(program.asked, 0);
}

/* ---- what ends one
 * ------------------------------------------------------------- */

GROUP("end", .setup = setup, .teardown = tls_ends_teardown);

TEST(a_question_is_cancelled_when_the_peer_goes, ON_EACH_KERNEL, TIMES(2))
{
	listen_choosing();
	tls_connect(tls_client(NULL), NULL);
	run_until(reactor, is_asked, NULL);
	if (_i == 0)
		plait_connector_stop_connecting(at_client.connector);
	else
		plait_connector_disconnect(at_client.connector);
	run_until(reactor, is_told, NULL);
	tls_end_all();
	ck_assert_uint_eq(program.cancelled, 1);
	ck_assert_ptr_eq(plait_failure_kind(at_client.why), &plait_error_user);
}

TEST(a_question_is_cancelled_when_it_takes_too_long, ON_EACH_KERNEL)
{
	listen_choosing();
	tls_connect(tls_client(NULL), NULL);
	run_until(reactor, is_asked, NULL);
	run_for(reactor, 11);
	tls_end_all();
	ck_assert_uint_eq(program.cancelled, 1);
	ck_assert_uint_eq(program.told, 1);
}

TEST(a_question_is_cancelled_with_the_reactor, ON_EACH_KERNEL)
{
	listen_choosing();
	tls_connect(tls_client(NULL), NULL);
	run_until(reactor, is_asked, NULL);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(program.cancelled, 1);
}

/* What the child has is the parent's. */
static void free_in_child(void *nothing)
{
	plait_reactor_free(&reactor);
	if (program.cancelled + program.told + at_client.failed > 0)
		abort();
}

TEST(a_forked_child_leaves_it_alone, ON_EACH_BACKEND)
{
	const char *said;

	listen_choosing();
	tls_connect(tls_client(NULL), NULL);
	run_until(reactor, is_asked, NULL);
	ck_assert_int_ne(child_run(free_in_child, NULL, &said), CHILD_ABORTED);
	program_answers();
	run_until_count(reactor, &at_client.made, 1);
	run_until_count(reactor, &at_server.made, 1);
	close_client();
}

static uint16_t port_number(void)
{
	struct plait_address a;

	plait_port_host(tls_port, &a);
	return (uint16_t)plait_address_port(&a);
}

static void listen_telling(double timeout)
{
	struct plait_tls_server_options o = { .failed = failed,
					      .handshake_timeout = timeout,
					      .arg = &program };

	tls_listen(tls_server(&o));
}

TEST(a_peer_that_says_nothing_is_closed_in_time, ON_EACH_KERNEL, TIMES(2))
{
	double seconds = _i == 0 ? 10 : 3;
	int peer;

	listen_telling(_i == 0 ? 0 : 3);
	peer = peer_connect(port_number());
	run_turns(reactor, 5);
	run_for(reactor, seconds - 0.5);
	ck_assert_uint_eq(program.told, 0);
	run_for(reactor, 1);
	assert_trace("failed(TLSHandshakeError)");
	ck_assert_int_eq(peer_read_to_eof(reactor, peer, NULL, 1), 0);
	peer_close(peer);
	tls_end_all();
}

TEST(a_peer_that_speaks_something_else_is_told_so, ON_EACH_KERNEL)
{
	unsigned char said[100];
	int peer;

	listen_telling(0);
	peer = peer_connect(port_number());
	peer_say(peer, "GET / HTTP/1.1\r\nHost: poetry.example\r\n\r\n");
	run_until(reactor, is_told, NULL);
	assert_trace("failed(TLSHandshakeError)");
	/* An alert, and the end. */
	ck_assert_int_ge(peer_read_to_eof(reactor, peer, said, sizeof(said)),
			 0);
	peer_close(peer);
	tls_end_all();
}

TEST(a_peer_that_hangs_up_is_told_to_the_program, ON_EACH_KERNEL, TIMES(3))
{
	int peer;

	listen_telling(0);
	peer = peer_connect(port_number());
	run_turns(reactor, 3);
	if (_i == 0)
		peer_shut(peer);
	else if (_i == 1)
		peer_reset(peer);
	else
		peer_say(peer, "\x16\x03\x01");
	if (_i == 2)
		peer_shut(peer);
	run_until(reactor, is_told, NULL);
	assert_trace(_i == 1 ? "failed(ConnectionLost)"
			     : "failed(TLSHandshakeError)");
	if (_i != 1)
		peer_close(peer);
	tls_end_all();
}

static void connect_to(uint16_t port)
{
	struct plait_tls_context *c = tls_client(NULL);
	struct plait_factory *f =
		plait_tls_wrap_factory(c, &at_client.factory, "poetry.example");

	plait_tls_context_unref(&c);
	at_client.connector =
		plait_connect_tcp(reactor, "127.0.0.1", port, f, NULL);
	plait_tls_factory_free(&f);
}

static bool client_is_over(void *nothing)
{
	return at_client.connector == NULL;
}

/* What becomes of a client whose server answers nothing. */
TEST(a_client_waits_no_longer_than_it_must, ON_EACH_KERNEL, TIMES(3))
{
	uint16_t port;
	int listener = peer_listen(&port, 1), peer;

	connect_to(port);
	run_turns(reactor, 3);
	peer = peer_accept(listener);
	run_turns(reactor, 3);
	ck_assert_int_eq(plait_connector_state(at_client.connector),
			 PLAIT_CONNECTOR_CONNECTING);
	if (_i == 0)
		run_for(reactor, 10.5);
	else if (_i == 1)
		plait_connector_stop_connecting(at_client.connector);
	else
		peer_shut(peer);
	run_until(reactor, client_is_over, NULL);
	assert_trace(_i == 1 ? "client!UserError" : "client!TLSHandshakeError");
	peer_close(peer);
	peer_close(listener);
	run_turns(reactor, 3);
}

TEST(protocols_that_do_not_meet_fail_at_both_ends, ON_EACH_KERNEL)
{
	static const char *const of_server[] = { "h2", NULL };
	static const char *const of_client[] = { "http/1.1", NULL };
	struct plait_tls_server_options s = { .alpn = of_server,
					      .failed = failed,
					      .arg = &program };
	struct plait_tls_client_options c = { .alpn = of_client };

	tls_listen(tls_server(&s));
	tls_connect(tls_client(&c), NULL);
	run_until(reactor, is_told, NULL);
	tls_end_all();
	ck_assert_int_eq(plait_tls_failure_alert(at_client.why), 120);
}

/* The protocol is built when the handshake is done. */
static struct plait_protocol *build_nothing(struct plait_factory *f,
					    const struct plait_address *peer)
{
	trace_add("build");
	return NULL;
}

TEST(a_factory_may_refuse_when_the_handshake_is_done, ON_EACH_KERNEL)
{
	static const struct plait_factory_ops refusing = {
		.name = "refusing",
		.build_protocol = build_nothing,
	};
	struct plait_factory f = { .ops = &refusing };
	struct plait_factory kept = at_server.factory;

	at_server.factory = f;
	tls_listen(tls_server(NULL));
	tls_connect(tls_client(NULL), NULL);
	run_until_count(reactor, &at_client.lost, 1);
	tls_end_all();
	assert_trace("client+made build client-ConnectionDone");
	at_server.factory.protocol = kept.protocol;
}

/* It may be for the server or for the client. */
TEST(without_memory_the_program_is_told, ON_EACH_BACKEND)
{
	unsigned of_server = 0, of_client = 0;

	listen_telling(0);
	for (unsigned long n = 0; n < 40; n++) {
		at_client.made = at_client.failed = program.told = 0;
		tls_connect(tls_client(NULL), NULL);
		fault_alloc_at(n, false);
		run_until(reactor, tls_client_has_outcome, NULL);
		run_turns(reactor, 5);
		fault_alloc_off();
		of_server += program.told;
		of_client += at_client.failed > 0 &&
			     plait_failure_check(at_client.why,
						 &plait_error_no_memory);
		plait_transport_lose_connection(tls_end_transport(&at_client));
		run_until(reactor, client_is_over, NULL);
		run_for(reactor, 10);
		unhandled_expect(unhandled_count());
	}
	ck_assert_uint_ge(of_server, 3);
	ck_assert_uint_ge(of_client, 3);
	tls_end_all();
}

/* ---- fairness
 * ------------------------------------------------------------------ */

GROUP("turns", .setup = setup, .teardown = tls_ends_teardown, .timeout = 60);

enum { CROWD = 40, A_TURN = 16 };

/* Those who come together take their turns. */
TEST(a_crowd_does_not_take_a_whole_turn, ON_EACH_BACKEND)
{
	struct plait_tls_context *c = tls_client(NULL);
	unsigned most = 0, before;

	tls_listen(tls_server(NULL));
	for (int i = 0; i < CROWD; i++)
		connect_to(port_number());
	while (at_server.made < CROWD) {
		before = at_server.made;
		run_turns(reactor, 1);
		if (at_server.made - before > most)
			most = at_server.made - before;
	}
	ck_assert_uint_le(most, A_TURN);
	plait_tls_context_unref(&c);
	run_until_count(reactor, &at_client.made, CROWD);
	plait_reactor_free(&reactor);
}

/* ---- a port that is full ----------------------------------------- */

static unsigned full;
static struct plait_protocol *idlest;

static void note_full(struct plait_factory *f, struct plait_port *p,
		      struct plait_protocol *it)
{
	full++;
	idlest = it;
}

/* It has no protocol of the program's yet, and none of another may be taken for
   one. */
TEST(a_port_that_is_full_names_no_handshake, ON_EACH_KERNEL)
{
	static const struct plait_factory_ops ops = {
		.name = "full",
		.port_full = note_full,
	};
	static const struct plait_listen_options one = {
		.iface = "127.0.0.1",
		.max_connections = 1,
	};
	struct plait_tls_context *c = tls_server(NULL);
	int a, b;

	at_server.factory.ops = &ops;
	ck_assert_int_eq(plait_listen_tls(reactor, 0, &at_server.factory, c,
					  &one, &tls_port),
			 0);
	plait_tls_context_unref(&c);
	a = peer_connect(port_number());
	run_turns(reactor, 5);
	b = peer_connect(port_number());
	run_until_count(reactor, &full, 1);
	ck_assert_ptr_null(idlest);
	peer_close(a);
	peer_close(b);
	run_turns(reactor, 10);
	tls_end_all();
}

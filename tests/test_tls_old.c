/*
 * TLS 1.2, as it is where it differs: who is told what and when, half closes,
 * and sessions.
 */
#include "tests/harness.h"
#include "tests/model.h"
#include "tests/tls_ends.h"
#include "tests/trace.h"

static unsigned asked, told;

static void setup(void)
{
	tls_ends_setup();
	tls_ends_are_old = true;
	asked = told = 0;
}

static void lose(struct tls_end *e)
{
	plait_transport_lose_connection(tls_end_transport(e));
}

GROUP("old", .setup = setup, .teardown = tls_ends_teardown);

TEST(what_is_written_arrives_and_a_close_is_done, ON_EACH_KERNEL, TIMES(2))
{
	struct plait_tls_info info;

	tls_meet(tls_server(NULL), tls_client(NULL));
	ck_assert_int_eq(
		plait_transport_tls_info(tls_end_transport(&at_client), &info),
		0);
	ck_assert_str_eq(info.version, "TLSv1.2");
	ck_assert(info.verified);
	tls_end_write(&at_client, "hello");
	run_until_size(&at_server, 5);
	tls_end_write(&at_server, "good bye");
	run_until_size(&at_client, 8);
	trace_clear();
	lose(_i == 0 ? &at_server : &at_client);
	tls_end_all();
	assert_trace(_i == 0 ? "server-ConnectionDone client-ConnectionDone"
			     : "client-ConnectionDone server-ConnectionDone");
}

TEST(an_end_without_close_notify_is_a_truncation, ON_EACH_KERNEL)
{
	tls_meet(tls_server(NULL), tls_client(NULL));
	plait_transport_lose_connection(
		plait_transport_below(tls_end_transport(&at_server)));
	tls_end_all();
	assert_trace("server-TLSTruncatedError client-TLSTruncatedError");
}

/* The peer takes nothing any more when it has said that it sends no more. */
TEST(half_a_close_of_the_peer_is_a_close, ON_EACH_KERNEL)
{
	at_server.half_closeable = at_client.half_closeable = true;
	tls_meet(tls_server(NULL), tls_client(NULL));
	tls_end_write(&at_client, "question");
	plait_transport_lose_write_connection(tls_end_transport(&at_client));
	run_until_count(reactor, &at_server.lost, 1);
	run_until_count(reactor, &at_client.lost, 1);
	tls_end_all();
	ck_assert_uint_eq(at_server.received, 8);
	ck_assert_ptr_nonnull(strstr(trace(), "server|read"));
	ck_assert_ptr_nonnull(strstr(trace(), "server-ConnectionDone"));
	ck_assert_ptr_nonnull(strstr(trace(), "client-ConnectionDone"));
}

static plait_value choose(const struct plait_tls_hello *hello, void *arg)
{
	asked++;
	return PLAIT_NONE;
}

static plait_value verify(const struct plait_tls_info *peer, void *arg)
{
	ck_assert_str_eq(peer->version, "TLSv1.2");
	ck_assert_uint_eq(peer->n_certificates, 1);
	asked++;
	return arg != NULL ? plait_fail(&plait_error_os, "no") : PLAIT_NONE;
}

static void failed(const struct plait_address *peer,
		   const struct plait_failure *why, void *arg)
{
	told++;
}

TEST(the_program_is_asked_as_well, ON_EACH_KERNEL, TIMES(2))
{
	struct plait_tls_server_options s = { .choose = choose,
					      .failed = failed };
	struct plait_tls_client_options c = { .verify = verify,
					      .arg = _i == 1 ? &asked : NULL };

	tls_listen(tls_server(&s));
	tls_connect(tls_client(&c), NULL);
	run_until(reactor, tls_client_has_outcome, NULL);
	ck_assert_uint_eq(asked, 2);
	ck_assert_uint_eq(at_client.made, _i == 0);
	lose(&at_client);
	tls_end_all();
	run_turns(reactor, 5);
	ck_assert_uint_eq(told, _i == 1);
}

/* It learns of it in the handshake. */
TEST(a_client_without_a_certificate_has_failed, ON_EACH_KERNEL)
{
	struct plait_tls_server_options s = { .client_authorities =
						      tls_pem("authority") };

	tls_listen(tls_server(&s));
	tls_connect(tls_client(NULL), NULL);
	run_until(reactor, tls_client_has_outcome, NULL);
	tls_end_all();
	ck_assert_uint_eq(at_client.failed, 1);
	ck_assert_int_eq(plait_tls_failure_alert(at_client.why), 40);
}

TEST(a_session_may_be_used_again, ON_EACH_KERNEL)
{
	struct plait_tls_context *s = tls_server(NULL), *c = tls_client(NULL);
	struct plait_tls_info info;

	tls_listen(s);
	for (int i = 0; i < 4; i++) {
		at_client.made = at_client.failed = at_server.made = 0;
		tls_connect(plait_tls_context_ref(c), NULL);
		run_until_count(reactor, &at_client.made, 1);
		run_until_count(reactor, &at_server.made, 1);
		ck_assert_int_eq(plait_transport_tls_info(
					 tls_end_transport(&at_client), &info),
				 0);
		ck_assert_int_eq(info.resumed, i > 0);
		lose(&at_client);
		run_until_count(reactor, &at_client.lost, (unsigned)i + 1);
		run_until_count(reactor, &at_server.lost, (unsigned)i + 1);
	}
	plait_tls_context_unref(&c);
	tls_end_all();
}

/* What a protocol of old could do, and no library of today should. */
TEST(what_is_older_is_refused, ON_EACH_BACKEND)
{
	struct plait_tls_context *s;
	struct plait_tls_server_options o = { .failed = failed };

	s = tls_server(&o);
	tls_listen(s);
	tls_connect(tls_client_of_version_1_1(), NULL);
	run_until(reactor, tls_client_has_outcome, NULL);
	tls_end_all();
	ck_assert_uint_eq(at_client.failed, 1);
	ck_assert_uint_eq(at_server.made, 0);
}

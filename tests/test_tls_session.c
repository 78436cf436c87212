/*
 * Sessions that connections go on with, and contexts that are reloaded.
 */
#include <stdio.h>

#include "tests/harness.h"
#include "tests/model.h"
#include "tests/tls_ends.h"
#include "tests/trace.h"

static struct plait_tls_context *of_server, *of_client;
static unsigned asked;

static void setup(void)
{
	tls_ends_setup();
	asked = 0;
}

static void teardown(void)
{
	plait_tls_context_unref(&of_server);
	plait_tls_context_unref(&of_client);
	tls_ends_teardown();
}

static bool has_outcome(void *nothing)
{
	return at_client.received > 0 || at_client.failed > 0;
}

/* Connects, hears what the server says, which is behind its tickets, and ends;
   returns whether it went on with a session. */
static bool connect_once(void)
{
	struct plait_tls_info a = { .resumed = false }, b = a;

	at_server.says = "hello";
	at_client.received = at_client.made = at_client.failed = 0;
	if (tls_port == NULL)
		tls_listen(plait_tls_context_ref(of_server));
	tls_connect(plait_tls_context_ref(of_client), NULL);
	run_until(reactor, has_outcome, NULL);
	ck_assert_uint_eq(at_client.failed, 0);
	plait_transport_tls_info(tls_end_transport(&at_server), &a);
	plait_transport_tls_info(tls_end_transport(&at_client), &b);
	ck_assert_int_eq(a.resumed, b.resumed);
	ck_assert(b.verified);
	ck_assert_uint_eq(b.n_certificates, 1);
	plait_transport_lose_connection(tls_end_transport(&at_client));
	run_until_count(reactor, &at_client.lost, 1);
	run_until_count(reactor, &at_server.lost, 1);
	at_client.lost = at_server.lost = 0;
	return b.resumed;
}

static void end(void)
{
	tls_end_all();
}

GROUP("sessions", .setup = setup, .teardown = teardown);

TEST(a_client_goes_on_with_a_session, ON_EACH_KERNEL)
{
	of_server = tls_server(NULL);
	of_client = tls_client(NULL);
	ck_assert(!connect_once());
	for (int i = 0; i < 5; i++)
		ck_assert(connect_once());
	end();
}

TEST(either_end_may_want_no_sessions, ON_EACH_KERNEL, TIMES(2))
{
	struct plait_tls_server_options s = { .no_resumption = _i == 0 };
	struct plait_tls_client_options c = { .no_resumption = _i == 1 };

	of_server = tls_server(&s);
	of_client = tls_client(&c);
	ck_assert(!connect_once());
	ck_assert(!connect_once());
	end();
}

/* Another name, another server. */
TEST(a_session_is_for_its_name_alone, ON_EACH_KERNEL)
{
	struct plait_tls_info info;

	of_server = tls_server(NULL);
	of_client = tls_client(NULL);
	ck_assert(!connect_once());
	at_client.received = 0;
	tls_connect(plait_tls_context_ref(of_client), "localhost");
	run_until(reactor, has_outcome, NULL);

	ck_assert_int_eq(
		plait_transport_tls_info(tls_end_transport(&at_client), &info),
		0);
	ck_assert(!info.resumed);
	plait_transport_lose_connection(tls_end_transport(&at_client));
	end();
}

static plait_value verify(const struct plait_tls_info *peer, void *arg)
{
	asked++;
	return PLAIT_NONE;
}

TEST(the_program_is_asked_for_each_session, ON_EACH_KERNEL)
{
	struct plait_tls_client_options c = { .verify = verify };

	of_server = tls_server(NULL);
	of_client = tls_client(&c);
	ck_assert(!connect_once());
	ck_assert_uint_eq(asked, 1);
	ck_assert(connect_once());
	ck_assert_uint_eq(asked, 2);
	end();
}

TEST(sessions_do_not_pile_up, ON_EACH_BACKEND)
{
	enum { FULL = 40 }; /* there were two for each */
	unsigned long live = 0;
	char name[100];

	of_server = tls_server(NULL);
	of_client = tls_client(
		&(struct plait_tls_client_options){ .accept_any_name = true });
	tls_listen(plait_tls_context_ref(of_server));
	at_server.says = "hello";
	for (int i = 0; i < 70; i++) {
		snprintf(name, sizeof(name), "n%d.example", i);
		at_client.received = 0;
		tls_connect(plait_tls_context_ref(of_client), name);
		run_until(reactor, has_outcome, NULL);
		plait_transport_abort_connection(tls_end_transport(&at_client));
		run_until_count(reactor, &at_client.lost, (unsigned)i + 1);
		run_until_count(reactor, &at_server.lost, (unsigned)i + 1);
		run_turns(reactor, 3);
		if (i == FULL)
			live = heap_live();
	}
	ck_assert_uint_eq(heap_live(), live);
	run_turns(reactor, 5);
	end();
}

/* ---- reload
 * ---------------------------------------------------------------------- */

GROUP("reload", .setup = setup, .teardown = teardown);

static char why[PLAIT_TLS_WHY_SIZE];

static void reload(struct plait_tls_context *c, const char *certificate)
{
	struct plait_tls_pem pem = tls_pem(certificate);
	struct plait_tls_pem key = tls_key(certificate);
	int err = plait_tls_context_reload(c, &pem, &key, why, sizeof(why));

	ck_assert_msg(err == 0, "%s", why);
}

static size_t certificate_size(void)
{
	struct plait_tls_info info;

	ck_assert_int_eq(
		plait_transport_tls_info(tls_end_transport(&at_client), &info),
		0);
	return info.certificates[0].size;
}

TEST(a_reload_is_for_new_connections, ON_EACH_KERNEL)
{
	struct plait_transport *old;
	size_t size;

	of_server = tls_server(NULL);
	of_client = tls_client(
		&(struct plait_tls_client_options){ .no_resumption = true });
	tls_meet(plait_tls_context_ref(of_server),
		 plait_tls_context_ref(of_client));
	old = tls_end_transport(&at_client);
	size = certificate_size();
	reload(of_server, "rsa");
	tls_connect(plait_tls_context_ref(of_client), NULL);
	run_until_count(reactor, &at_client.made, 2);
	ck_assert_ptr_ne(tls_end_transport(&at_client), old);
	ck_assert_uint_gt(certificate_size(), size);
	/* The old one lives. */
	plait_transport_write(old, "hello", 5);
	run_until_size(&at_server, 5);
	plait_transport_lose_connection(old);
	run_until_count(reactor, &at_client.lost, 1);
	plait_reactor_free(&reactor);
}

TEST(files_are_read_again, ON_EACH_KERNEL)
{
	of_server = tls_server(NULL);
	of_client = tls_client(NULL);
	ck_assert(!connect_once());
	ck_assert_int_eq(plait_tls_context_reload(of_server, NULL, NULL, why,
						  sizeof(why)),
			 0);
	/* The keys of the tickets have moved on. */
	ck_assert(connect_once());
	ck_assert_int_eq(plait_tls_context_reload(of_client, NULL, NULL, why,
						  sizeof(why)),
			 0);
	ck_assert(!connect_once());
	end();
}

TEST(sessions_end_with_the_authorities_of_clients, ON_EACH_KERNEL)
{
	struct plait_tls_server_options s = { .client_authorities =
						      tls_pem("authority") };
	struct plait_tls_client_options c = { .certificate = tls_pem("client"),
					      .key = tls_key("client") };

	of_server = tls_server(&s);
	of_client = tls_client(&c);
	ck_assert(!connect_once());
	ck_assert(connect_once());
	ck_assert_int_eq(plait_tls_context_reload(of_server, NULL, NULL, why,
						  sizeof(why)),
			 0);
	ck_assert(!connect_once());
	end();
}

TEST(what_cannot_be_read_leaves_the_old, ON_EACH_KERNEL)
{
	struct plait_tls_pem none = { .file = "/nonexistent" };
	struct plait_tls_pem wrong = tls_key("rsa");

	of_server = tls_server(NULL);
	of_client = tls_client(NULL);
	ck_assert_int_eq(plait_tls_context_reload(of_server, &none, NULL, why,
						  sizeof(why)),
			 -ENOENT);
	ck_assert_str_eq(why, "certificate /nonexistent: No such file or "
			      "directory");
	ck_assert_int_eq(plait_tls_context_reload(of_server, NULL, &wrong, why,
						  sizeof(why)),
			 -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "it is not the key"));
	ck_assert(!connect_once());
	ck_assert(connect_once());
	end();
}

static char *read_file(const char *path, size_t *size)
{
	FILE *f = fopen(path, "r");
	char *text = malloc(65536);

	ck_assert(f != NULL && text != NULL);
	*size = fread(text, 1, 65536, f);
	fclose(f);
	return text;
}

static struct plait_tls_pem as_bytes(struct plait_tls_pem pem)
{
	struct plait_tls_pem ret = { .file = NULL };

	ret.bytes = read_file(pem.file, &ret.size);
	return ret;
}

/* What came as bytes is not forgotten, also that of the authorities. */
TEST(bytes_stay_unless_they_are_given_anew, ON_EACH_KERNEL)
{
	struct plait_tls_server_options s = {
		.certificate = as_bytes(tls_pem("chain")),
		.key = as_bytes(tls_key("chain")),
		.client_authorities = as_bytes(tls_pem("authority")),
	};
	struct plait_tls_client_options c = {
		.authorities = as_bytes(tls_pem("authority")),
		.certificate = as_bytes(tls_pem("client")),
		.key = as_bytes(tls_key("client")),
		.no_resumption = true,
	};

	of_server = tls_server(&s);
	of_client = tls_client(&c);
	free((void *)s.certificate.bytes);
	free((void *)s.key.bytes);
	free((void *)s.client_authorities.bytes);
	free((void *)c.authorities.bytes);
	free((void *)c.certificate.bytes);
	free((void *)c.key.bytes);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(plait_tls_context_reload(of_server, NULL, NULL,
							  why, sizeof(why)),
				 0);
		ck_assert_int_eq(plait_tls_context_reload(of_client, NULL, NULL,
							  why, sizeof(why)),
				 0);
	}
	at_server.says = "hello";
	tls_meet(plait_tls_context_ref(of_server),
		 plait_tls_context_ref(of_client));
	plait_transport_lose_connection(tls_end_transport(&at_client));
	end();
}

TEST(a_key_alone_is_not_new_bytes, PURE)
{
	struct plait_tls_server_options s = {
		.certificate = as_bytes(tls_pem("good")),
		.key = as_bytes(tls_key("good")),
	};
	struct plait_tls_pem key = tls_key("good");

	of_server = tls_server(&s);
	free((void *)s.certificate.bytes);
	free((void *)s.key.bytes);
	ck_assert_int_eq(plait_tls_context_reload(of_server, NULL, &key, why,
						  sizeof(why)),
			 -EINVAL);
	ck_assert_str_eq(why, "key: it is new without its certificate");
}

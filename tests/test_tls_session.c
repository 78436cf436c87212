/*
 * Sessions that connections go on with, contexts that are reloaded, and the
 * keys of the tickets.
 */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "protocols/tls/context.h"
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

static void reload_files(struct plait_tls_context *c)
{
	int err = plait_tls_context_reload(c, NULL, NULL, why, sizeof(why));

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
	reload_files(of_server);
	/* The keys of the tickets are the same. */
	ck_assert(connect_once());
	reload_files(of_client);
	ck_assert(!connect_once());
	end();
}

static void copy_file(const char *from, const char *to)
{
	char text[65536];
	FILE *f = fopen(from, "r");
	size_t size;

	ck_assert_ptr_nonnull(f);
	size = fread(text, 1, sizeof(text), f);
	fclose(f);
	f = fopen(to, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, size, f), size);
	ck_assert_int_eq(fclose(f), 0);
}

/* Whom they do not know any more makes a whole handshake, and fails. */
TEST(sessions_end_with_the_authorities_of_clients, ON_EACH_KERNEL)
{
	char path[] = "/tmp/plait-authorities-XXXXXX";
	struct plait_tls_server_options s = { .client_authorities.file = path };
	struct plait_tls_client_options c = { .certificate = tls_pem("client"),
					      .key = tls_key("client") };

	close(mkstemp(path));
	copy_file(tls_pem("authority").file, path);
	of_server = tls_server(&s);
	of_client = tls_client(&c);
	ck_assert(!connect_once());
	ck_assert(connect_once());
	reload_files(of_server);
	ck_assert(connect_once());
	copy_file(tls_pem("other-authority").file, path);
	reload_files(of_server);
	unlink(path);
	at_server.says = NULL;
	at_server.made = 0;
	tls_connect(plait_tls_context_ref(of_client), NULL);
	end();
	ck_assert_uint_eq(at_server.made, 0);
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
		reload_files(of_server);
		reload_files(of_client);
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

/* ---- keys of tickets --------------------------------------------- */

GROUP("tickets", .setup = setup, .teardown = teardown);

/* Keys of which every byte is that number. */
static struct plait_tls_ticket_key ticket_key(int number)
{
	struct plait_tls_ticket_key key;

	memset(&key, number, sizeof(key));
	return key;
}

/* The numbers of keys, the first first; 0 ends them. */
static void use_keys(struct plait_tls_context *c, const char *numbers)
{
	struct plait_tls_ticket_key keys[16];
	size_t n = 0;

	for (; *numbers != '\0'; numbers++)
		keys[n++] = ticket_key(*numbers);
	ck_assert_int_eq(plait_tls_context_set_ticket_keys(c, keys, n), 0);
	memset(keys, 0, sizeof(keys));
}

/* From now on another server has the clients. */
static void use_server(struct plait_tls_context *c)
{
	plait_port_free(&tls_port);
	run_turns(reactor, 3);
	plait_tls_context_unref(&of_server);
	of_server = c;
}

static void use_server_with(const struct plait_tls_server_options *o,
			    const char *numbers)
{
	use_server(tls_server(o));
	use_keys(of_server, numbers);
}

/* Both versions have tickets, but not the same. */
static void begin_with_keys(int i, const char *numbers)
{
	tls_ends_are_old = i == 1;
	of_client = tls_client(NULL);
	use_server_with(NULL, numbers);
	ck_assert(!connect_once());
}

TEST(a_cluster_goes_on_with_its_sessions, ON_EACH_KERNEL, TIMES(2))
{
	begin_with_keys(_i, "a");
	ck_assert(connect_once());
	for (int i = 0; i < 3; i++) {
		use_server_with(NULL, "a");
		ck_assert(connect_once());
		ck_assert(connect_once());
	}
	end();
}

TEST(an_unknown_key_means_a_whole_handshake, ON_EACH_KERNEL, TIMES(2))
{
	begin_with_keys(_i, "a");
	use_server_with(NULL, "bcd");
	ck_assert(!connect_once());
	ck_assert(connect_once());
	use_server(tls_server(NULL));
	ck_assert(!connect_once());
	ck_assert(connect_once());
	end();
}

TEST(an_old_key_opens_and_the_first_makes, ON_EACH_KERNEL, TIMES(2))
{
	begin_with_keys(_i, "a");
	use_keys(of_server, "ba");
	ck_assert(connect_once());
	/* That client has a ticket of the new key. */
	use_keys(of_server, "b");
	ck_assert(connect_once());
	use_keys(of_server, "cdb");
	ck_assert(connect_once());
	use_keys(of_server, "db");
	ck_assert(!connect_once());
	end();
}

/* As plait_tls(7) says it: the key of today, the next one, the one before.  The
   servers are told one by one, and a client may come to any of them. */
TEST(a_cluster_rotates_its_keys, ON_EACH_KERNEL, TIMES(2))
{
	static const char *const steps[] = { "abz", "bca", "cdb", "dec" };

	begin_with_keys(_i, steps[0]);
	for (int i = 0; i + 1 < N_OF(steps); i++) {
		for (int j = 0; j < 4; j++) {
			use_server_with(NULL, steps[i + j % 2]);
			ck_assert(connect_once());
		}
	}
	end();
}

TEST(without_keys_the_context_has_its_own, ON_EACH_KERNEL, TIMES(2))
{
	tls_ends_are_old = _i == 1;
	of_client = tls_client(NULL);
	of_server = tls_server(NULL);
	ck_assert(!connect_once());
	use_keys(of_server, "a");
	ck_assert(!connect_once());
	ck_assert(connect_once());
	ck_assert_int_eq(plait_tls_context_set_ticket_keys(of_server, NULL, 0),
			 0);
	ck_assert(!connect_once());
	ck_assert(connect_once());
	end();
}

TEST(keys_outlast_a_reload, ON_EACH_KERNEL)
{
	begin_with_keys(0, "a");
	reload_files(of_server);
	ck_assert(connect_once());
	use_server_with(NULL, "a");
	ck_assert(connect_once());
	end();
}

TEST(a_connection_goes_on_when_keys_are_set, ON_EACH_KERNEL)
{
	of_server = tls_server(NULL);
	of_client = tls_client(NULL);
	tls_meet(plait_tls_context_ref(of_server),
		 plait_tls_context_ref(of_client));
	use_keys(of_server, "a");
	tls_end_write(&at_client, "hello");
	run_until_size(&at_server, 5);
	plait_transport_lose_connection(tls_end_transport(&at_client));
	end();
}

/* The certificate may be another one; what it is good for may not, or a client
   of one server could be led to another. */
TEST(a_session_is_for_the_names_of_its_certificate, ON_EACH_KERNEL)
{
	struct plait_tls_client_options any = { .accept_any_name = true };
	struct plait_tls_server_options same = { .certificate = tls_pem("rsa"),
						 .key = tls_key("rsa") };
	struct plait_tls_server_options other = {
		.certificate = tls_pem("wrong-name"),
		.key = tls_key("wrong-name"),
	};

	of_client = tls_client(&any);
	use_server_with(NULL, "a");
	ck_assert(!connect_once());
	use_server_with(&same, "a");
	ck_assert(connect_once());
	use_server_with(&other, "a");
	ck_assert(!connect_once());
	use_server_with(NULL, "a");
	ck_assert(!connect_once());
	end();
}

static char *read_both(const char *a, const char *b, size_t *ret)
{
	size_t a_size, b_size;
	char *text = read_file(tls_pem(a).file, &a_size);
	char *more = read_file(tls_pem(b).file, &b_size);

	ck_assert_uint_lt(a_size + b_size, 65536);
	memcpy(text + a_size, more, b_size);
	free(more);
	*ret = a_size + b_size;
	return text;
}

/* What servers ask of clients: nothing; any of one authority or none; one of
   it; one of two, in either order. */
static struct plait_tls_context *server_that_asks(int what)
{
	static const char *const names[] = { "authority", "other-authority" };
	struct plait_tls_server_options o = { .client_may_have_none =
						      what == 1 };
	struct plait_tls_context *c;
	char *text = NULL;

	if (what == 1 || what == 2)
		o.client_authorities = tls_pem("authority");
	if (what > 2) {
		text = read_both(names[what == 4], names[what == 3],
				 &o.client_authorities.size);
		o.client_authorities.bytes = text;
	}
	c = tls_server(&o);
	free(text);
	use_keys(c, "a");
	return c;
}

/* Whatever the keys say. */
TEST(a_session_is_for_servers_that_ask_the_same, ON_EACH_KERNEL, TIMES(5))
{
	struct plait_tls_client_options c = { .certificate = tls_pem("client"),
					      .key = tls_key("client") };

	for (int i = 0; i < 5; i++) {
		plait_tls_context_unref(&of_client);
		of_client = tls_client(&c);
		use_server(server_that_asks(_i));
		ck_assert(!connect_once());
		use_server(server_that_asks(i));
		ck_assert_int_eq(connect_once(), i == _i || i + _i == 7);
	}
	end();
}

static plait_value choose(const struct plait_tls_hello *hello, void *arg)
{
	struct plait_tls_context *c = plait_tls_context_ref(arg);

	return plait_tls_context_value(&c);
}

/* Those of the context that was chosen, and not those of the first. */
TEST(a_context_that_was_chosen_has_its_keys, ON_EACH_KERNEL)
{
	struct plait_tls_context *chosen = tls_server(NULL);
	struct plait_tls_server_options o = { .choose = choose, .arg = chosen };

	use_keys(chosen, "a");
	of_client = tls_client(NULL);
	use_server_with(&o, "b");
	ck_assert(!connect_once());
	use_server_with(&o, "c");
	ck_assert(connect_once());
	use_server_with(NULL, "a");
	ck_assert(connect_once());
	use_server_with(NULL, "bc");
	ck_assert(!connect_once());
	end();
	plait_tls_context_unref(&chosen);
}

static void *rotate(void *arg)
{
	for (int i = 0; i < 1000; i++)
		use_keys(arg, i % 2 == 0 ? "ab" : "ba");
	return NULL;
}

TEST(any_thread_may_set_keys, ON_EACH_BACKEND)
{
	pthread_t thread;

	begin_with_keys(0, "ab");
	pthread_create(&thread, NULL, rotate, of_server);
	for (int i = 0; i < 20; i++)
		ck_assert(connect_once());
	pthread_join(thread, NULL);
	end();
}

TEST(keys_that_cannot_be_meant_are_refused, PURE)
{
	struct plait_tls_ticket_key keys[17];

	of_server = tls_server(NULL);
	of_client = tls_client(NULL);
	for (int i = 0; i < 17; i++)
		keys[i] = ticket_key(i + 1);
	ck_assert_int_eq(plait_tls_context_set_ticket_keys(of_client, keys, 1),
			 -EINVAL);
	ck_assert_int_eq(plait_tls_context_set_ticket_keys(of_server, NULL, 1),
			 -EINVAL);
	ck_assert_int_eq(plait_tls_context_set_ticket_keys(of_server, keys, 17),
			 -E2BIG);
	ck_assert_int_eq(plait_tls_context_set_ticket_keys(of_server, keys, 16),
			 0);
	memcpy(keys[15].name, keys[0].name, sizeof(keys[0].name));
	ck_assert_int_eq(plait_tls_context_set_ticket_keys(of_server, keys, 16),
			 -EINVAL);
	/* One that nobody has filled in, or only in part. */
	memset(keys[1].hmac_key, 0, sizeof(keys[1].hmac_key));
	ck_assert_int_eq(plait_tls_context_set_ticket_keys(of_server, keys, 2),
			 -EINVAL);
	keys[1] = ticket_key(2);
	memset(keys[1].aes_key, 0, sizeof(keys[1].aes_key));
	ck_assert_int_eq(plait_tls_context_set_ticket_keys(of_server, keys, 2),
			 -EINVAL);
	/* What was set before stays. */
	ck_assert_uint_eq(of_server->tickets.n, 16);
}

static bool has_in_memory(const struct plait_tls_context *c, int number)
{
	struct plait_tls_ticket_key key = ticket_key(number);

	return memmem(c, sizeof(*c), key.aes_key, sizeof(key.aes_key)) != NULL;
}

TEST(a_key_that_is_replaced_is_not_kept, PURE)
{
	of_server = tls_server(NULL);
	use_keys(of_server, "abc");
	ck_assert(has_in_memory(of_server, 'c'));
	use_keys(of_server, "d");
	ck_assert(has_in_memory(of_server, 'd'));
	for (int number = 'a'; number <= 'c'; number++)
		ck_assert(!has_in_memory(of_server, number));
	use_keys(of_server, "");
	ck_assert(!has_in_memory(of_server, 'd'));
}

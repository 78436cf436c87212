/*
 * A conversation with TLS, in which each allocation fails in turn: those of
 * plait and those that OpenSSL makes for it.  Whatever fails, both ends are
 * over in a while, each is told once, the failure is a failure, and neither has
 * left anything: no memory of plait's, and none of OpenSSL's.
 */
#include <openssl/crypto.h>

#include <plait/testing.h>

#include "tests/harness.h"
#include "tests/tls_ends.h"

/* ---- OpenSSL's memory ------------------------------------------------------
 */

static struct {
	unsigned long live, left; /* left: until the one that fails */
	bool armed, reached;
} openssl;

static bool openssl_fails(void)
{
	if (!openssl.armed || openssl.left-- > 0)
		return false;
	openssl.armed = false;
	openssl.reached = true;
	return true;
}

static void *openssl_malloc(size_t size, const char *file, int line)
{
	if (openssl_fails())
		return NULL;
	openssl.live++;
	return malloc(size);
}

static void *openssl_realloc(void *p, size_t size, const char *file, int line)
{
	if (openssl_fails())
		return NULL;
	openssl.live += p == NULL;
	return realloc(p, size);
}

static void openssl_free(void *p, const char *file, int line)
{
	openssl.live -= p != NULL;
	free(p);
}

/* How much there is, but for what the thread keeps: its queue of errors. */
static unsigned long openssl_live(void)
{
	OPENSSL_thread_stop();
	return openssl.live;
}

/* Before OpenSSL has any. */
__attribute__((constructor)) static void openssl_uses_ours(void)
{
	CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free);
}

/* ---- the conversation ------------------------------------------------------
 */

struct talker {
	struct plait_factory factory, *wrapped;
	unsigned made, lost, failed;
	size_t received;
	struct plait_protocol *protocol;
};

static struct talker talkers[2]; /* the server, and the client */

static struct talker *talker_of(struct plait_protocol *p)
{
	return plait_self(p->factory, struct talker);
}

static void talker_made(struct plait_protocol *p)
{
	talker_of(p)->made++;
	talker_of(p)->protocol = p;
	plait_transport_write(p->transport, "hello", 5);
}

static void talker_received(struct plait_protocol *p, const void *data,
			    size_t len)
{
	talker_of(p)->received += len;
}

static void talker_lost(struct plait_protocol *p,
			const struct plait_failure *why)
{
	talker_of(p)->lost++;
	talker_of(p)->protocol = NULL;
}

static void talker_failed(struct plait_factory *f, struct plait_connector *c,
			  const struct plait_failure *why)
{
	plait_self(f, struct talker)->failed++;
}

static const struct plait_protocol_ops talker_ops = {
	.name = "talker",
	.connection_made = talker_made,
	.data_received = talker_received,
	.connection_lost = talker_lost,
};

static const struct plait_factory_ops talker_factory_ops = {
	.connection_failed = talker_failed,
};

/* A wrapped factory, or none for want of memory. */
static bool talker_begin(struct talker *t, struct plait_tls_context *c,
			 const char *name)
{
	*t = (struct talker){ .factory = { .protocol = &talker_ops,
					   .ops = &talker_factory_ops } };
	t->wrapped = plait_tls_wrap_factory(c, &t->factory, name);
	return t->wrapped != NULL;
}

static void talk(struct plait_tls_context *server,
		 struct plait_tls_context *client)
{
	struct plait_transport *a = NULL, *b = NULL;
	struct plait_connector *c = NULL;

	if (talker_begin(&talkers[0], server, NULL) &&
	    talker_begin(&talkers[1], client, "poetry.example")) {
		a = plait_testing_connect(reactor, talkers[0].wrapped);
		c = plait_connect_tcp(reactor, "127.0.0.1", 1,
				      talkers[1].wrapped, NULL);
		b = c != NULL ? plait_testing_complete(c) : NULL;
	}
	if (a != NULL && b != NULL)
		plait_testing_pump(a, b);
	if (talkers[1].protocol != NULL)
		plait_transport_lose_connection(talkers[1].protocol->transport);
	if (a != NULL && b != NULL)
		plait_testing_pump(a, b);
	if (a != NULL)
		plait_testing_deliver_eof(a);
	if (b != NULL)
		plait_testing_deliver_eof(b);
	plait_testing_advance(reactor, 60);
}

static void talk_end(void)
{
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(talkers[i].lost, talkers[i].made);
		ck_assert_uint_le(talkers[i].made + talkers[i].failed, 1);
		plait_tls_factory_free(&talkers[i].wrapped);
	}
	plait_testing_advance(reactor, 60);
}

GROUP("memory", .timeout = 120);

/* What OpenSSL makes once is made before. */
static unsigned long warm_up(struct plait_tls_context *server,
			     struct plait_tls_context *client)
{
	for (int i = 0; i < 3; i++) {
		reactor = plait_testing_reactor_new();
		talk(server, client);
		ck_assert_uint_eq(talkers[0].received, 5);
		ck_assert_uint_eq(talkers[1].received, 5);
		talk_end();
		plait_reactor_free(&reactor);
	}
	return openssl_live();
}

/* There are some thousand: make check tries each third of them. */
TEST(each_allocation_of_openssl_may_fail, PURE)
{
	unsigned long step = getenv("PLAIT_SEEDS") != NULL ? 1 : 3;
	struct plait_tls_context *server = tls_server(NULL);
	struct plait_tls_context *client = tls_client(NULL);
	unsigned long live = warm_up(server, client), n;

	for (n = 0, openssl.reached = true; openssl.reached; n += step) {
		reactor = plait_testing_reactor_new();
		openssl.reached = false;
		openssl.left = n;
		openssl.armed = true;
		talk(server, client);
		openssl.armed = false;
		talk_end();
		plait_reactor_free(&reactor);
		ck_assert_msg(openssl_live() <= live,
			      "allocation %lu: %lu more", n,
			      openssl.live - live);
	}
	ck_assert_uint_gt(n, 100);
	plait_tls_context_unref(&server);
	plait_tls_context_unref(&client);
}

TEST(each_allocation_of_plait_may_fail, PURE, TIMES(2))
{
	struct plait_tls_context *server = tls_server(NULL);
	struct plait_tls_context *client = tls_client(NULL);
	unsigned long live = warm_up(server, client), n;
	bool reached = true;

	for (n = 0; reached; n++) {
		reactor = plait_testing_reactor_new();
		fault_alloc_at(n, _i == 1);
		talk(server, client);
		reached = fault_alloc_reached();
		fault_alloc_off();
		talk_end();
		plait_reactor_free(&reactor);
		ck_assert_uint_le(openssl_live(), live);
	}
	ck_assert_uint_gt(n, 10);
	plait_tls_context_unref(&server);
	plait_tls_context_unref(&client);
}

/* A context is whole, or there is none. */
TEST(each_allocation_of_a_context_may_fail, PURE, TIMES(2))
{
	char why[PLAIT_TLS_WHY_SIZE];
	struct plait_tls_context *c;
	unsigned long n, live;

	for (int i = 0; i < 3; i++) {
		c = _i == 0 ? tls_server(NULL) : tls_client(NULL);
		plait_tls_context_unref(&c);
	}
	live = openssl_live();
	for (n = 0, openssl.reached = true; openssl.reached; n++) {
		struct plait_tls_server_options server = {
			.certificate = tls_pem("good"),
			.key = tls_key("good"),
		};
		struct plait_tls_client_options client = {
			.authorities = tls_pem("authority"),
		};

		openssl.reached = false;
		openssl.left = n;
		openssl.armed = true;
		c = _i == 0 ? plait_tls_server_new(&server, why, sizeof(why))
			    : plait_tls_client_new(&client, why, sizeof(why));
		openssl.armed = false;
		ck_assert(c != NULL || openssl.reached);
		plait_tls_context_unref(&c);
		ck_assert_msg(openssl_live() <= live,
			      "allocation %lu: %lu more", n,
			      openssl.live - live);
	}
	ck_assert_uint_gt(n, 50);
}

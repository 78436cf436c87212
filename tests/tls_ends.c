/* A server and a client with TLS: see tls_ends.h. */
#include <stdio.h>

#include "protocols/tls/context.h"
#include "tests/harness.h"
#include "tests/tls_ends.h"
#include "tests/trace.h"

struct tls_end at_server, at_client;
struct plait_port *tls_port;
bool tls_ends_are_old;

/* ---- the protocol ------------------------------------------------ */

static struct tls_end *end_of(struct plait_protocol *p)
{
	return plait_self(p->factory, struct tls_end);
}

static void end_made(struct plait_protocol *p)
{
	struct tls_end *e = end_of(p);

	e->protocol = p;
	e->made++;
	trace_add("%s+made", e->name);
	if (e->says != NULL)
		tls_end_write(e, e->says);
}

static void end_received(struct plait_protocol *p, const void *data, size_t len)
{
	struct tls_end *e = end_of(p);

	e->deliveries++;
	e->received += len;
	if (!e->quiet)
		trace_add("%s+%.*s", e->name, (int)len, (const char *)data);
	if (e->on_data != NULL)
		e->on_data(e, data, len);
	for (unsigned i = 0; i < e->answers; i++)
		tls_end_write(e, "0123456789");
}

static void end_read_lost(struct plait_protocol *p)
{
	end_of(p)->read_lost++;
	trace_add("%s|read", end_of(p)->name);
}

static void end_write_lost(struct plait_protocol *p)
{
	trace_add("%s|write", end_of(p)->name);
}

static void end_remember(struct tls_end *e, const struct plait_failure *why)
{
	plait_failure_unref(&e->why);
	e->why = plait_failure_ref(why);
}

static void end_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	struct tls_end *e = end_of(p);

	e->protocol = NULL;
	e->lost++;
	end_remember(e, why);
	trace_add("%s-%s", e->name, plait_failure_kind(why)->name);
}

static void end_failed(struct plait_factory *f, struct plait_connector *c,
		       const struct plait_failure *why)
{
	struct tls_end *e = plait_self(f, struct tls_end);

	e->failed++;
	e->connector = NULL;
	end_remember(e, why);
	trace_add("%s!%s", e->name, plait_failure_kind(why)->name);
}

static void end_connection_lost(struct plait_factory *f,
				struct plait_connector *c,
				const struct plait_failure *why)
{
	plait_self(f, struct tls_end)->connector = NULL;
}

static const struct plait_protocol_ops end_protocol_ops = {
	.name = "end",
	.connection_made = end_made,
	.data_received = end_received,
	.connection_lost = end_lost,
};

static const struct plait_protocol_ops half_closeable_ops = {
	.name = "half-closeable end",
	.connection_made = end_made,
	.data_received = end_received,
	.read_connection_lost = end_read_lost,
	.write_connection_lost = end_write_lost,
	.connection_lost = end_lost,
};

static struct plait_protocol *end_build(struct plait_factory *f,
					const struct plait_address *peer)
{
	const struct tls_end *e = plait_self(f, struct tls_end);

	return plait_protocol_new(e->half_closeable ? &half_closeable_ops
						    : f->protocol);
}

static const struct plait_factory_ops end_factory_ops = {
	.name = "end",
	.build_protocol = end_build,
	.connection_failed = end_failed,
	.connection_lost = end_connection_lost,
};

/* ---- both -------------------------------------------------------- */

static struct tls_end end_new(const char *name)
{
	return (struct tls_end){
		.name = name,
		.factory.ops = &end_factory_ops,
		.factory.protocol = &end_protocol_ops,
	};
}

void tls_ends_setup(void)
{
	at_server = end_new("server");
	at_client = end_new("client");
	tls_port = NULL;
	tls_ends_are_old = false;
	trace_clear();
}

void tls_ends_teardown(void)
{
	plait_failure_unref(&at_server.why);
	plait_failure_unref(&at_client.why);
}

/* ---- contexts ---------------------------------------------------- */

static struct plait_tls_pem pem_of(const char *name, const char *ending)
{
	static char paths[64][256];
	static unsigned next;
	char *path = paths[next++ % 64];

	snprintf(path, sizeof(*paths), "%s%s.%s", CERTIFICATES, name, ending);
	return (struct plait_tls_pem){ .file = path };
}

struct plait_tls_pem tls_pem(const char *name)
{
	return pem_of(name, "pem");
}

struct plait_tls_pem tls_key(const char *name)
{
	return pem_of(name, "key");
}

static bool is_empty(const struct plait_tls_pem *pem)
{
	return pem->file == NULL && pem->bytes == NULL;
}

static struct plait_tls_context *made(struct plait_tls_context *c,
				      const char *why)
{
	ck_assert_msg(c != NULL || torture_faulty(), "%s", why);
	if (c != NULL && tls_ends_are_old)
		SSL_CTX_set_max_proto_version(c->ctx, TLS1_2_VERSION);
	return c;
}

struct plait_tls_context *tls_client_of_version_1_1(void)
{
	struct plait_tls_context *c = tls_client(NULL);

	SSL_CTX_set_security_level(c->ctx, 0);
	SSL_CTX_set_min_proto_version(c->ctx, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(c->ctx, TLS1_1_VERSION);
	SSL_CTX_set_cipher_list(c->ctx, "ALL:@SECLEVEL=0");
	return c;
}

struct plait_tls_context *
tls_server(const struct plait_tls_server_options *options)
{
	struct plait_tls_server_options o = { .no_resumption = false };
	char why[PLAIT_TLS_WHY_SIZE] = "";

	if (options != NULL)
		o = *options;
	if (is_empty(&o.certificate)) {
		o.certificate = tls_pem("good");
		o.key = tls_key("good");
	}
	return made(plait_tls_server_new(&o, why, sizeof(why)), why);
}

struct plait_tls_context *
tls_client(const struct plait_tls_client_options *options)
{
	struct plait_tls_client_options o = { .no_resumption = false };
	char why[PLAIT_TLS_WHY_SIZE] = "";

	if (options != NULL)
		o = *options;
	if (is_empty(&o.authorities))
		o.authorities = tls_pem("authority");
	return made(plait_tls_client_new(&o, why, sizeof(why)), why);
}

/* ---- connections ------------------------------------------------- */

void tls_listen(struct plait_tls_context *c)
{
	static const struct plait_listen_options options = {
		.iface = "127.0.0.1",
	};
	int err = plait_listen_tls(reactor, 0, &at_server.factory, c, &options,
				   &tls_port);

	ck_assert_msg(err == 0 || torture_faulty(), "%s", strerror(-err));
	plait_tls_context_unref(&c);
}

void tls_connect(struct plait_tls_context *c, const char *name)
{
	struct plait_factory *f = plait_tls_wrap_factory(
		c, &at_client.factory, name != NULL ? name : "poetry.example");
	struct plait_address at;

	ck_assert(f != NULL || torture_faulty());
	plait_tls_context_unref(&c);
	if (f == NULL || tls_port == NULL)
		return;
	plait_port_host(tls_port, &at);
	at_client.connector = plait_connect_tcp(
		reactor, "127.0.0.1", plait_address_port(&at), f, NULL);
	plait_tls_factory_free(&f);
}

void tls_meet(struct plait_tls_context *of_server,
	      struct plait_tls_context *of_client)
{
	tls_listen(of_server);
	tls_connect(of_client, NULL);
	run_until_count(reactor, &at_client.made, 1);
	run_until_count(reactor, &at_server.made, 1);
	trace_clear();
}

struct plait_transport *tls_end_transport(const struct tls_end *e)
{
	return e->protocol != NULL ? e->protocol->transport : NULL;
}

void tls_end_write(struct tls_end *e, const char *text)
{
	plait_transport_write(tls_end_transport(e), text, strlen(text));
}

struct wanted {
	const struct tls_end *end;
	size_t bytes;
};

static bool has_size(void *arg)
{
	const struct wanted *w = arg;

	return w->end->received >= w->bytes;
}

void run_until_size(struct tls_end *e, size_t bytes)
{
	struct wanted w = { e, bytes };

	run_until(reactor, has_size, &w);
}

bool tls_client_has_outcome(void *nothing)
{
	return at_client.made + at_client.failed > 0;
}

static bool both_are_over(void *nothing)
{
	return at_server.protocol == NULL && at_client.protocol == NULL &&
	       at_client.connector == NULL;
}

void tls_end_all(void)
{
	run_until(reactor, both_are_over, NULL);
	plait_port_free(&tls_port);
	run_turns(reactor, 3);
}

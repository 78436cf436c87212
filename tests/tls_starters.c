/* Handshakes as scenarios: see tls_starters.h. */
#include <stdio.h>

#include <plait/later.h>

#include "tests/harness.h"
#include "tests/tls_ends.h"
#include "tests/tls_starters.h"

static struct plait_tls_context *plain_server, *asking_server, *chosen,
	*client_server, *plain_client, *asking_client, *known_client;

static struct {
	struct plait_reactor *reactor;
	struct plait_port *port;
	struct plait_factory *wrapped; /* of the server, or of both */
	struct plait_factory *client;
} scene;

/* ---- what the program is asked, it answers later
 * ----------------------------- */

static plait_value answer_choice(plait_value *result, void *arg)
{
	struct plait_tls_context *c;

	if (plait_value_is_failure(result))
		return plait_value_take(result);
	c = plait_tls_context_ref(chosen);
	return plait_tls_context_value(&c);
}

/* The server may go on when the client has failed, and the scene is over. */
static struct plait_deferred *answer_later(void)
{
	return scene.reactor != NULL
		       ? plait_defer_later(scene.reactor, 0.25, NULL, NULL)
		       : plait_succeed(PLAIT_NONE);
}

static plait_value choose(const struct plait_tls_hello *hello, void *arg)
{
	struct plait_deferred *d = answer_later();

	plait_deferred_add_both(d, answer_choice, NULL);
	return plait_chain(&d);
}

static plait_value verify(const struct plait_tls_info *peer, void *arg)
{
	struct plait_deferred *d = answer_later();

	return plait_chain(&d);
}

void tls_starters_begin(void)
{
	struct plait_tls_server_options asking = { .choose = choose };
	struct plait_tls_server_options of_clients = {
		.client_authorities = tls_pem("authority"),
		.verify = verify,
	};
	/* What a context keeps would be left of a run. */
	struct plait_tls_client_options plain = { .no_resumption = true };
	struct plait_tls_client_options judging = { .verify = verify,
						    .no_resumption = true };
	struct plait_tls_client_options known = {
		.no_resumption = true,
		.certificate = tls_pem("client"),
		.key = tls_key("client"),
	};

	plain_server = tls_server(NULL);
	asking_server = tls_server(&asking);
	chosen = tls_server(NULL);
	client_server = tls_server(&of_clients);
	plain_client = tls_client(&plain);
	asking_client = tls_client(&judging);
	known_client = tls_client(&known);
}

void tls_starters_end(void)
{
	plait_tls_context_unref(&plain_server);
	plait_tls_context_unref(&asking_server);
	plait_tls_context_unref(&chosen);
	plait_tls_context_unref(&client_server);
	plait_tls_context_unref(&plain_client);
	plait_tls_context_unref(&asking_client);
	plait_tls_context_unref(&known_client);
}

void tls_starter_stop(void)
{
	plait_port_free(&scene.port);
	plait_tls_factory_free(&scene.wrapped);
	plait_tls_factory_free(&scene.client);
	memset(&scene, 0, sizeof(scene));
}

/* ---- the server
 * -------------------------------------------------------------- */

static void say_something(struct plait_protocol *p)
{
	plait_transport_write(p->transport, "hello", 5);
}

static const struct plait_protocol_ops server_protocol = {
	.name = "server",
	.connection_made = say_something,
};

static struct plait_factory server_factory = { .protocol = &server_protocol };

static unsigned listen_with(struct plait_reactor *r,
			    struct plait_tls_context *c,
			    struct plait_factory *f)
{
	struct plait_address a = { .family = 0 };

	tls_starter_stop();
	scene.reactor = r;
	scene.wrapped = plait_tls_wrap_factory(c, f, NULL);
	if (scene.wrapped != NULL)
		plait_listen_tcp(r, 0, scene.wrapped, NULL, &scene.port);
	if (scene.port != NULL)
		plait_port_host(scene.port, &a);
	return plait_address_port(&a);
}

/* ---- clients
 * ----------------------------------------------------------------- */

static const struct plait_protocol_ops client_protocol = {
	.name = "client",
	.connection_made = say_something,
};

struct target {
	unsigned port;
	struct plait_tls_context *context;
};

static struct plait_connector *connect_to(struct plait_reactor *r,
					  struct plait_factory *f, void *arg)
{
	const struct target *to = arg;
	struct plait_connector *c = NULL;

	scene.client = plait_tls_wrap_factory(
		to->context, f, to->context != NULL ? "poetry.example" : NULL);
	if (scene.client != NULL)
		c = plait_connect_tcp(r, "127.0.0.1", to->port, scene.client,
				      NULL);
	return c;
}

static struct plait_deferred *connect_with(struct plait_reactor *r,
					   struct plait_tls_context *server,
					   struct plait_tls_context *client)
{
	struct target to = { .context = client };

	to.port = listen_with(r, server, &server_factory);
	return plait_client_connect(r, connect_to, &to, &client_protocol, NULL);
}

static struct plait_deferred *start_plain(struct plait_reactor *r)
{
	return connect_with(r, plain_server, plain_client);
}

static struct plait_deferred *start_asking_server(struct plait_reactor *r)
{
	return connect_with(r, asking_server, plain_client);
}

static struct plait_deferred *start_asking_client(struct plait_reactor *r)
{
	return connect_with(r, plain_server, asking_client);
}

static struct plait_deferred *start_client_server(struct plait_reactor *r)
{
	return connect_with(r, client_server, known_client);
}

/* ---- STARTTLS
 * ---------------------------------------------------------------- */

static plait_value ignore(plait_value *result, void *arg)
{
	return PLAIT_NONE;
}

static void nobody_waits(struct plait_deferred *d)
{
	plait_deferred_add_both(d, ignore, NULL);
	plait_deferred_detach(&d);
}

/* The server begins as soon as it is connected. */
static void start_at_once(struct plait_protocol *p)
{
	nobody_waits(plait_tls_start(p->transport, plain_server, NULL));
}

static const struct plait_protocol_ops starting_protocol = {
	.name = "starting",
	.connection_made = start_at_once,
};

static struct plait_factory starting_factory = { .protocol =
							 &starting_protocol };

static const struct plait_protocol_ops silent_protocol = { .name = "silent" };

/* The connection is of no further use. */
static plait_value lose(plait_value *result, void *arg)
{
	plait_transport_lose_connection(arg);
	return plait_value_take(result);
}

static plait_value start_client(plait_value *result, void *arg)
{
	struct plait_protocol *p;
	struct plait_deferred *d;

	if (plait_value_is_failure(result))
		return plait_value_take(result);
	p = plait_client_take(result);
	if (p == NULL)
		return plait_fail(&plait_error_connection_lost, "too late");
	d = plait_tls_start(p->transport, plain_client, "poetry.example");
	plait_deferred_add_callback(d, lose, p->transport);
	return plait_chain(&d);
}

static struct plait_deferred *start_start(struct plait_reactor *r)
{
	struct target to = { .context = NULL };
	struct plait_deferred *d;

	to.port = listen_with(r, NULL, &starting_factory);
	d = plait_client_connect(r, connect_to, &to, &silent_protocol, NULL);
	return plait_deferred_add_both(d, start_client, NULL);
}

#define STARTER(function, what, ...)                                           \
	{                                                                      \
		.name = #function, .state = what, __VA_ARGS__                  \
	}

const struct tls_starter tls_starters[] = {
	STARTER(plait_tls_start, "with a server that has begun",
		.start = start_start),
	{ "plait_connect_tls", "a handshake", start_plain },
	{ "plait_connect_tls", "a server that chooses", start_asking_server },
	{ "plait_connect_tls", "a client that judges", start_asking_client },
	{ "plait_connect_tls", "a server that judges", start_client_server },
};

const int n_tls_starters = N_OF(tls_starters);

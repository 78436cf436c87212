/*
 * Servers for clients that are cancelled: see servers.h.
 */
#include <plait/simulation.h>
#include <plait/testing.h>
#include <plait/unix.h>

#include "tests/harness.h"
#include "tests/servers.h"

/* A testing reactor has no ports to tell servers by: these stand for them. */
enum { FIRST_PORT = 1000 };

struct servers_world servers_world;

static int held = -1, full = -1, waiting = -1;

void servers_on_testing(void)
{
	servers_world = (struct servers_world){
		.testing = true,
		.here = "127.0.0.1",
		.refusing = FIRST_PORT + SERVER_REFUSES,
		.nowhere = "127.0.0.1",
		.unanswered = FIRST_PORT + SERVER_NOWHERE,
	};
}

/* The kernel answers nobody while the queue of a listener is full. */
void servers_on_sockets(void)
{
	uint16_t refusing, unanswered;

	held = peer_hold_port(&refusing);
	full = peer_listen(&unanswered, 0);
	waiting = peer_connect(unanswered);
	servers_world = (struct servers_world){
		.here = "127.0.0.1",
		.refusing = refusing,
		.nowhere = "127.0.0.1",
		.unanswered = unanswered,
	};
}

void servers_on_host(struct plait_host *here, struct plait_host *nowhere)
{
	servers_world = (struct servers_world){
		.here = plait_host_address(here),
		.refusing = 1,
		.nowhere = plait_host_address(nowhere),
		.unanswered = 1,
	};
}

void servers_gone(void)
{
	peer_close(waiting);
	peer_close(full);
	peer_close(held);
}

/* ---- what they do -------------------------------------------------- */

static const char line[] = "'Twas brillig, and the slithy toves";

static void say_line(struct plait_protocol *p)
{
	plait_transport_write(p->transport, line, strlen(line));
	plait_transport_lose_connection(p->transport);
}

static void say_much(struct plait_protocol *p)
{
	static const char page[10000];

	for (int i = 0; i < SERVER_BYTES / (int)sizeof(page); i++)
		plait_transport_write(p->transport, page, sizeof(page));
	plait_transport_lose_connection(p->transport);
}

static void close_at_once(struct plait_protocol *p)
{
	plait_transport_lose_connection(p->transport);
}

/* It says one piece after the other. */
struct slow {
	struct plait_protocol base;
	struct plait_timer timer;
	unsigned said;
};

static void say_piece(void *arg)
{
	struct slow *s = arg;

	plait_transport_write(s->base.transport, line, 5);
	if (++s->said == 4)
		plait_transport_lose_connection(s->base.transport);
	else
		plait_timer_start(plait_transport_reactor(s->base.transport),
				  &s->timer, SERVER_PAUSE, say_piece, s);
}

static void say_and_break(void *arg)
{
	struct slow *s = arg;

	if (s->said++ > 0) {
		plait_transport_abort_connection(s->base.transport);
		return;
	}
	plait_transport_write(s->base.transport, line, 5);
	plait_timer_start(plait_transport_reactor(s->base.transport), &s->timer,
			  SERVER_PAUSE, say_and_break, s);
}

static void say_slowly(struct plait_protocol *p)
{
	say_piece(plait_self(p, struct slow));
}

static void say_some(struct plait_protocol *p)
{
	say_and_break(plait_self(p, struct slow));
}

static void slow_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	plait_timer_stop(&plait_self(p, struct slow)->timer);
}

static const struct plait_protocol_ops server_ops[N_SERVERS] = {
	[SERVER_MUTE] = { .name = "mute" },
	[SERVER_HASTY] = { .name = "hasty", .connection_made = close_at_once },
	[SERVER_POEM] = { .name = "poem", .connection_made = say_line },
	[SERVER_MUCH] = { .name = "much", .connection_made = say_much },
	[SERVER_SLOW] = { .name = "slow",
			  .size = sizeof(struct slow),
			  .connection_made = say_slowly,
			  .connection_lost = slow_lost },
	[SERVER_BREAKS] = { .name = "breaks",
			    .size = sizeof(struct slow),
			    .connection_made = say_some,
			    .connection_lost = slow_lost },
	[SERVER_SILENT] = { .name = "silent" },
};

static struct plait_factory *server_factory(enum server what)
{
	static struct plait_factory factories[N_SERVERS];

	factories[what].protocol = &server_ops[what];
	return &factories[what];
}

/* ---- where they are ------------------------------------------------ */

static struct plait_port *server_listen(struct plait_reactor *r,
					enum server what, unsigned *port)
{
	struct plait_listen_options o = { .iface = servers_world.here };
	struct plait_port *p = NULL;
	struct plait_address a;

	*port = servers_world.refusing;
	if (plait_listen_tcp(r, 0, server_factory(what), &o, &p) < 0)
		return NULL;
	plait_port_host(p, &a);
	*port = plait_address_port(&a);
	return p;
}

struct plait_port *server_start(struct plait_reactor *r, enum server what,
				const char **host, unsigned *port)
{
	*host = servers_world.here;
	*port = FIRST_PORT + what;
	if (what == SERVER_NOWHERE)
		*host = servers_world.nowhere;
	if (what == SERVER_NOWHERE)
		*port = servers_world.unanswered;
	if (what == SERVER_REFUSES)
		*port = servers_world.refusing;
	if (servers_world.testing || what >= SERVER_REFUSES)
		return NULL;
	return server_listen(r, what, port);
}

struct plait_port *server_start_at(struct plait_reactor *r, enum server what,
				   const char *path)
{
	struct plait_port *p = NULL;

	return plait_listen_unix(r, path, server_factory(what), NULL, &p) == 0
		       ? p
		       : NULL;
}

/* ---- the network of a testing reactor ------------------------------ */

static enum server caller_wants(struct plait_connector *c)
{
	struct plait_address a;

	plait_connector_destination(c, &a);
	return plait_address_port(&a) - FIRST_PORT;
}

static void caller_connect(struct caller *c, struct plait_connector *connector)
{
	enum server what = caller_wants(connector);
	plait_value why;

	if (what == SERVER_NOWHERE)
		return;
	if (what == SERVER_REFUSES) {
		why = plait_fail(&plait_error_connection_refused, "refused");
		plait_testing_refuse(connector, plait_value_failure(&why));
		plait_value_free(&why);
		return;
	}
	c->client = plait_testing_complete(connector);
	if (c->client != NULL)
		c->server =
			plait_testing_connect(c->reactor, server_factory(what));
}

/* False once there is nothing more to play. */
static bool caller_goes_on(const struct caller *c)
{
	if (c->client == NULL)
		return !c->ended;
	return plait_testing_is_connected(c->client) ||
	       (c->server != NULL && plait_testing_is_connected(c->server));
}

static void caller_play(void *arg)
{
	struct caller *c = arg;
	struct plait_connector *connector = plait_testing_connector(c->reactor);

	if (c->client == NULL && connector != NULL && !c->ended)
		caller_connect(c, connector);
	else if (c->client != NULL && c->server == NULL)
		plait_testing_lose(c->client, NULL);
	else if (c->client != NULL)
		plait_testing_pump(c->client, c->server);
	if (caller_goes_on(c))
		plait_timer_start(c->reactor, &c->timer, SERVER_PAUSE / 2,
				  caller_play, c);
}

void caller_start(struct caller *c, struct plait_reactor *r)
{
	c->reactor = r;
	if (servers_world.testing)
		plait_timer_start(r, &c->timer, SERVER_PAUSE / 2, caller_play,
				  c);
}

void caller_end(struct caller *c)
{
	c->ended = true;
}

void caller_stop(struct caller *c)
{
	plait_timer_stop(&c->timer);
}

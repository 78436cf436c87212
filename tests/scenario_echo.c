/*
 * Servers that give back what they get, and callers who come again and again:
 * the samples echo and guarded-echo, and a program that forwards ports, in
 * front of one of them.  What a caller gets back is the beginning of what it
 * has said; when all is healed, each caller gets all of it.
 */
#include <stdlib.h>

#include <plait/idle_timeout.h>

#include "tests/sample.h"

enum { N_CALLERS = 3, MOST = 30000, ALL = 2000 };

static const char echo_port[] = "7";

/* ---- callers --------------------------------------------------------- */

/* A program that calls again when the call has ended. */
struct caller_program {
	struct node node;
	struct plait_reconnecting_factory client;
	struct witness_factory seen;
	const char *host;
	unsigned port;
	unsigned successes; /* calls that got everything back, when calm */
};

static struct caller_program callers[N_CALLERS];
static bool calm;

struct call {
	struct plait_protocol base;
	struct plait_timer timer;
	struct plait_idle_timeout patience;
	uint64_t salt;
	size_t said, heard, most;
};

static struct call *call_of(struct plait_protocol *p)
{
	return plait_self(p, struct call);
}

static struct caller_program *caller_of(struct plait_protocol *p)
{
	return plait_container(
		plait_self(p->factory, struct plait_reconnecting_factory),
		struct caller_program, client);
}

static unsigned char call_byte(const struct call *c, size_t at)
{
	return (unsigned char)((at * 2654435761u + c->salt) >> 11);
}

static void call_say(void *arg)
{
	struct call *c = arg;
	unsigned char bytes[4096];
	size_t left = c->most - c->said;
	size_t n = left < sizeof(bytes) ? left : sizeof(bytes);

	if (n > 0 && !calm)
		n = 1 + dice((unsigned)n);
	for (size_t i = 0; i < n; i++)
		bytes[i] = call_byte(c, c->said + i);
	plait_transport_write(c->base.transport, bytes, n);
	c->said += n;
	if (c->said < c->most)
		plait_timer_start(plait_transport_reactor(c->base.transport),
				  &c->timer, dice_seconds(0, 0.5), call_say, c);
	else if (!calm && dice_say(0.3))
		plait_transport_abort_connection(c->base.transport);
}

static void call_made(struct plait_protocol *p)
{
	struct call *c = call_of(p);

	c->salt = dice(1u << 30);
	c->most = calm ? ALL : 1 + dice(MOST);
	/* The other end may be gone, and nobody is there to say so. */
	plait_idle_timeout_start(&c->patience, p, calm ? 60 : 5 + dice(50));
	plait_reconnecting_factory_reset_delay(&caller_of(p)->client);
	call_say(c);
}

static void call_hears(struct plait_protocol *p, const void *data, size_t len)
{
	struct call *c = call_of(p);
	const unsigned char *bytes = data;

	for (size_t i = 0; i < len; i++, c->heard++) {
		MUST(bytes[i] == call_byte(c, c->heard),
		     "an echo is not what was said");
	}
	MUST(c->heard <= c->said, "an echo says more than was said");
	plait_idle_timeout_reset(&c->patience);
	if (c->heard < c->most)
		return;
	caller_of(p)->successes += calm;
	plait_transport_lose_connection(p->transport);
}

static void call_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	plait_timer_stop(&call_of(p)->timer);
	plait_idle_timeout_stop(&call_of(p)->patience);
}

static const struct plait_protocol_ops call_ops = {
	.name = "call",
	.size = sizeof(struct call),
	.connection_made = call_made,
	.data_received = call_hears,
	.connection_lost = call_lost,
};

static const struct plait_factory_ops calls_ops = {
	.name = "calls",
	PLAIT_RECONNECTING_FACTORY,
};

static struct caller_program *caller_program_of(struct node *n)
{
	return plait_self(n, struct caller_program);
}

static void caller_begin(struct node *n)
{
	struct caller_program *self = caller_program_of(n);

	self->client = (struct plait_reconnecting_factory){
		.base = { .ops = &calls_ops, .protocol = &call_ops },
		.backoff.max_delay = 20,
	};
	witness_factory_init(&self->seen, &witness, &self->client.base, false);
	plait_connect_tcp(n->reactor, self->host, self->port, &self->seen.base,
			  NULL);
}

static void caller_end(struct node *n)
{
	plait_reconnecting_factory_stop_trying(&caller_program_of(n)->client);
}

static void callers_start(const char *host, unsigned port)
{
	static const char *const names[N_CALLERS] = { "carl", "chris",
						      "conny" };

	calm = false;
	for (int i = 0; i < N_CALLERS; i++) {
		callers[i] = (struct caller_program){
			.node = { .name = names[i],
				  .begin = caller_begin,
				  .end = caller_end },
			.host = host,
			.port = port,
		};
		node_start(&callers[i].node);
	}
}

static bool all_have_their_echo(void *nothing)
{
	for (int i = 0; i < N_CALLERS; i++) {
		if (callers[i].successes < 2)
			return false;
	}
	return true;
}

/* Bad weather, then good, in which each caller must get what it wants. */
static void callers_live_through_it(void)
{
	weather_begin(WEATHER_ALL, 60);
	go_on(60);
	weather_clear();
	calm = true;
	MUST(go_on_until(all_have_their_echo, NULL, 1000),
	     "all is healed, and a caller has no echo");
	for (int i = 0; i < N_CALLERS; i++) {
		plait_reconnecting_factory_stop_trying(&callers[i].client);
		node_stop(&callers[i].node);
	}
}

/* ---- servers --------------------------------------------------------- */

static const char *address_of(const char *name)
{
	return plait_host_address(plait_simulation_host(simulation, name));
}

SCENARIO(echo_gives_back_what_it_gets)
{
	static const char *const argv[] = { "echo",   "--iface", "0.0.0.0",
					    "--port", echo_port, NULL };
	struct sample echo;

	sample_start(&echo, "echo", sample_echo, argv);
	callers_start(address_of("echo"), 7);
	callers_live_through_it();
	nodes_end();
}

SCENARIO(guarded_echo_serves_all_in_turn)
{
	/* Whose host has crashed is a client still, as far as the server knows:
	   so there must be room for more than there are. */
	const char *clients = dice_say(0.5) ? "40" : "100";
	const char *const argv[] = {
		"guarded-echo", "--iface", "0.0.0.0", "--port", echo_port,
		"--clients",	clients,   "--rate",  "20000",	NULL
	};
	struct sample echo;

	sample_start(&echo, "echo", sample_guarded_echo, argv);
	callers_start(address_of("echo"), 7);
	callers_live_through_it();
	nodes_end();
}

/* ---- forwarding ports ------------------------------------------------ */

/*
 * Each connection that comes to the forwarder makes one onward.  The two are
 * each other's producers, so neither fills the memory of the program; and the
 * end of one is the end of the other.
 */
struct half {
	struct plait_protocol base;
	struct junction *junction; /* NULL: it is over */
};

/* The factory of the connection onward. */
struct junction {
	struct plait_factory base;
	struct plait_list link;		   /* in the forwarder */
	struct half *in, *out;		   /* NULL: gone, or not there yet */
	struct plait_connector *connector; /* borrowed until stop() */
};

struct forwarder {
	struct node node;
	struct plait_factory factory;
	struct witness_factory seen;
	struct plait_list junctions;
	const char *host;
};

static struct forwarder forwarder;

static struct half *half_of(struct plait_protocol *p)
{
	return plait_self(p, struct half);
}

static struct junction *junction_of(struct plait_factory *f)
{
	return plait_self(f, struct junction);
}

static void junction_free(struct junction *j)
{
	if (j->in != NULL)
		j->in->junction = NULL;
	plait_list_remove(&j->link);
	free(j);
}

static void half_hears(struct plait_protocol *p, const void *data, size_t len)
{
	const struct junction *j = half_of(p)->junction;
	struct half *other = j == NULL		   ? NULL
			     : j->in == half_of(p) ? j->out
						   : j->in;

	if (other != NULL)
		plait_transport_write(other->base.transport, data, len);
}

static void outward_made(struct plait_protocol *p)
{
	struct junction *j = junction_of(p->factory);
	struct plait_transport *in, *out = p->transport;

	half_of(p)->junction = j;
	j->out = half_of(p);
	if (j->in == NULL) {
		plait_transport_lose_connection(out);
		return;
	}
	in = j->in->base.transport;
	plait_transport_register_producer(in, plait_transport_producer(out),
					  true);
	plait_transport_register_producer(out, plait_transport_producer(in),
					  true);
	plait_transport_resume_reading(in);
}

static void outward_lost(struct plait_protocol *p,
			 const struct plait_failure *why)
{
	struct junction *j = half_of(p)->junction;

	j->out = NULL;
	if (j->in != NULL)
		plait_transport_lose_connection(j->in->base.transport);
}

static void outward_failed(struct plait_factory *f, struct plait_connector *c,
			   const struct plait_failure *why)
{
	if (junction_of(f)->in != NULL)
		plait_transport_abort_connection(
			junction_of(f)->in->base.transport);
}

static void outward_stop(struct plait_factory *f)
{
	junction_free(junction_of(f));
}

static const struct plait_factory_ops junction_ops = {
	.name = "junction",
	.stop = outward_stop,
	.connection_failed = outward_failed,
};

static const struct plait_protocol_ops outward_ops = {
	.name = "outward",
	.size = sizeof(struct half),
	.connection_made = outward_made,
	.data_received = half_hears,
	.connection_lost = outward_lost,
};

static void inward_made(struct plait_protocol *p)
{
	struct junction *j = calloc(1, sizeof(*j));

	plait_assert(j != NULL);
	j->base.ops = &junction_ops;
	j->base.protocol = &outward_ops;
	j->in = half_of(p);
	half_of(p)->junction = j;
	plait_list_append(&forwarder.junctions, &j->link);
	plait_transport_pause_reading(p->transport);
	j->connector = plait_connect_tcp(forwarder.node.reactor, forwarder.host,
					 7, &j->base, NULL);
}

static void inward_lost(struct plait_protocol *p,
			const struct plait_failure *why)
{
	struct junction *j = half_of(p)->junction;

	if (j == NULL)
		return;
	half_of(p)->junction = NULL;
	j->in = NULL;
	if (j->out != NULL)
		plait_transport_lose_connection(j->out->base.transport);
	else
		plait_connector_disconnect(j->connector);
}

static const struct plait_protocol_ops inward_ops = {
	.name = "inward",
	.size = sizeof(struct half),
	.connection_made = inward_made,
	.data_received = half_hears,
	.connection_lost = inward_lost,
};

static void forwarder_begin(struct node *n)
{
	const struct plait_listen_options options = { .iface = "0.0.0.0" };

	forwarder.factory = (struct plait_factory){ .protocol = &inward_ops };
	plait_list_init(&forwarder.junctions);
	witness_factory_init(&forwarder.seen, &witness, &forwarder.factory,
			     false);
	MUST(plait_listen_tcp(n->reactor, 8, &forwarder.seen.base, &options,
			      NULL) == 0,
	     "the forwarder cannot listen");
}

static void forwarder_end(struct node *n)
{
	struct plait_list *l;

	while ((l = plait_list_first(&forwarder.junctions)) != NULL)
		junction_free(plait_container(l, struct junction, link));
}

SCENARIO(what_is_forwarded_comes_through)
{
	static const char *const argv[] = { "echo",   "--iface", "0.0.0.0",
					    "--port", echo_port, NULL };
	struct sample echo;

	sample_start(&echo, "echo", sample_echo, argv);
	forwarder = (struct forwarder){
		.node = { .name = "forwarder",
			  .begin = forwarder_begin,
			  .end = forwarder_end },
		.host = address_of("echo"),
	};
	node_start(&forwarder.node);
	callers_start(address_of("forwarder"), 8);
	callers_live_through_it();
	nodes_end();
}

/*
 * Programs that talk to each other: each listens, and connects to the others,
 * and both ends of a connection do what they like, while the network and the
 * hosts break.  The witness sees whether all comes as it was said.
 *
 * Then everything is healed, and each program has to reach each of the others,
 * say something there and hear something.
 */
#include <string.h>

#include <plait/idle_timeout.h>

#include "tests/scenario.h"

enum { PORT = 7, N_TALKERS = 3, MOST = 60000, PROBE = 5000 };

struct town;

/* One program. */
struct talker_program {
	struct node node;
	struct town *town;
	unsigned number;
	struct plait_factory server, client, probe;
	struct witness_factory seen_server, seen_client, seen_probe;
	struct plait_port *port;
	struct plait_timer next; /* connection that it begins */
	bool reached[N_TALKERS]; /* by its probes, since all is healed */
};

struct town {
	struct talker_program programs[N_TALKERS];
	bool calm; /* nobody begins anything, all come to their ends */
};

/* One end of a connection. */
struct talker {
	struct plait_protocol base;
	struct plait_timer timer;
	bool paused, ended;
};

static struct talker *talker_of(struct plait_protocol *p)
{
	return plait_self(p, struct talker);
}

static struct talker_program *program_of(struct node *n)
{
	return plait_self(n, struct talker_program);
}

static bool town_is_calm;

static size_t some_bytes(void)
{
	switch (dice(4)) {
	case 0:
		return 1 + dice(3);
	case 1:
		return 1 + dice(MOST);
	default:
		return 1 + dice(600);
	}
}

static void talker_act(void *arg);

static void talker_wait(struct talker *t, double most)
{
	plait_timer_start(plait_transport_reactor(t->base.transport), &t->timer,
			  dice_seconds(0, most), talker_act, t);
}

static void talker_pause(struct talker *t, bool on)
{
	if (on == t->paused)
		return;
	t->paused = on;
	if (on)
		plait_transport_pause_reading(t->base.transport);
	else
		plait_transport_resume_reading(t->base.transport);
}

static void talker_end(struct talker *t)
{
	t->ended = true;
	switch (dice(4)) {
	case 0:
		plait_transport_abort_connection(t->base.transport);
		break;
	case 1:
		plait_transport_lose_write_connection(t->base.transport);
		break;
	default:
		plait_transport_lose_connection(t->base.transport);
	}
}

static void talker_do_something(struct talker *t)
{
	switch (dice(10)) {
	case 0:
		talker_pause(t, true);
		break;
	case 1:
	case 2:
		talker_pause(t, false);
		break;
	case 3:
		plait_transport_register_producer(
			t->base.transport,
			plait_transport_producer(t->base.transport),
			dice_say(0.5));
		break;
	case 4:
		plait_transport_unregister_producer(t->base.transport);
		break;
	case 5:
		if (dice_say(0.2))
			talker_end(t);
		break;
	default:
		witness_say(&t->base, some_bytes());
	}
}

/* At some moment, by its timer. */
static void talker_act(void *arg)
{
	struct talker *t = arg;

	if (town_is_calm) {
		plait_transport_unregister_producer(t->base.transport);
		talker_pause(t, false);
		plait_transport_lose_connection(t->base.transport);
		return;
	}
	talker_do_something(t);
	if (t->base.connected)
		talker_wait(t, 3);
}

static void talker_made(struct plait_protocol *p)
{
	struct talker *t = talker_of(p);

	for (unsigned n = dice(3); n > 0; n--)
		talker_do_something(t);
	talker_wait(t, 3);
}

static void talker_hears(struct plait_protocol *p, const void *data, size_t len)
{
	if (!town_is_calm && dice_say(0.5))
		talker_do_something(talker_of(p));
}

static void talker_read_lost(struct plait_protocol *p)
{
	if (dice_say(0.5))
		witness_say(p, some_bytes());
	if (dice_say(0.9))
		plait_transport_lose_connection(p->transport);
}

static void talker_lost(struct plait_protocol *p,
			const struct plait_failure *why)
{
	plait_timer_stop(&talker_of(p)->timer);
}

static const struct plait_protocol_ops whole_ops = {
	.name = "talker",
	.size = sizeof(struct talker),
	.connection_made = talker_made,
	.data_received = talker_hears,
	.connection_lost = talker_lost,
};

static const struct plait_protocol_ops half_ops = {
	.name = "half-talker",
	.size = sizeof(struct talker),
	.connection_made = talker_made,
	.data_received = talker_hears,
	.read_connection_lost = talker_read_lost,
	.connection_lost = talker_lost,
};

/* ---- probes: do they reach each other, when all is healed? ---------- */

/* What the server hears of a probe, the probe hears back. */
struct answer {
	struct plait_protocol base;
	struct plait_idle_timeout patience;
};

static void answer_hears(struct plait_protocol *p, const void *data, size_t len)
{
	size_t heard = witness_heard(p), said = witness_said(p);

	if (heard > said)
		witness_say(p, heard - said);
}

static void answer_read_lost(struct plait_protocol *p)
{
	plait_transport_lose_connection(p->transport);
}

/* Whoever waited in the queue of the port may be gone, and nobody is there to
   say so. */
static void answer_made(struct plait_protocol *p)
{
	plait_idle_timeout_start(&plait_self(p, struct answer)->patience, p,
				 100);
}

static void answer_lost(struct plait_protocol *p,
			const struct plait_failure *why)
{
	plait_idle_timeout_stop(&plait_self(p, struct answer)->patience);
}

static const struct plait_protocol_ops answer_ops = {
	.name = "answer",
	.size = sizeof(struct answer),
	.connection_made = answer_made,
	.data_received = answer_hears,
	.read_connection_lost = answer_read_lost,
	.connection_lost = answer_lost,
};

static void probe_made(struct plait_protocol *p)
{
	witness_say(p, PROBE);
	plait_transport_lose_write_connection(p->transport);
}

static struct talker_program *prober_of(struct plait_factory *f)
{
	return plait_container(f, struct talker_program, probe);
}

/* The number of the program at that address. */
static unsigned program_at(const struct town *town,
			   const struct plait_address *a)
{
	char host[PLAIT_ADDRESS_SIZE];
	unsigned i = 0;

	plait_address_host(a, host, sizeof(host));
	while (i < N_TALKERS - 1 &&
	       strcmp(plait_host_address(town->programs[i].node.host), host) !=
		       0)
		i++;
	return i;
}

/* A guest that is shed hears the end, too. */
static void probe_read_lost(struct plait_protocol *p)
{
	struct talker_program *self = prober_of(p->factory);
	struct plait_address peer;

	plait_transport_peer(p->transport, &peer);
	if (witness_heard(p) == PROBE)
		self->reached[program_at(self->town, &peer)] = true;
	plait_transport_lose_connection(p->transport);
}

static const struct plait_protocol_ops probe_ops = {
	.name = "probe",
	.connection_made = probe_made,
	.read_connection_lost = probe_read_lost,
};

/* ---- the program ----------------------------------------------------- */

static void program_connect(struct talker_program *self,
			    struct witness_factory *f, unsigned to)
{
	struct plait_connect_options options = { .timeout = 30 };

	if (dice_say(0.5))
		options.timeout = dice_seconds(0.1, 10);
	options.no_delay = dice_say(0.5);
	options.keep_alive = dice_say(0.5);
	plait_connect_tcp(
		self->node.reactor,
		plait_host_address(self->town->programs[to].node.host), PORT,
		&f->base, town_is_calm ? NULL : &options);
}

static void program_next(void *arg)
{
	struct talker_program *self = arg;

	if (town_is_calm)
		return;
	if (self->seen_client.open < 4)
		program_connect(self, &self->seen_client, dice(N_TALKERS));
	plait_timer_start(self->node.reactor, &self->next, dice_seconds(0, 5),
			  program_next, self);
}

static struct plait_protocol *server_build(struct plait_factory *f,
					   const struct plait_address *peer)
{
	if (town_is_calm)
		return plait_protocol_new(&answer_ops);
	return dice_say(0.05) ? NULL
			      : plait_protocol_new(dice_say(0.5) ? &half_ops
								 : &whole_ops);
}

static const struct plait_factory_ops server_ops = {
	.name = "talkers",
	.build_protocol = server_build,
};

static void program_begin(struct node *n)
{
	struct talker_program *self = program_of(n);
	struct plait_listen_options options = { .iface = "0.0.0.0" };
	struct plait_limits limits = { 0 };

	if (dice_say(0.2))
		options.max_connections = 1 + dice(5);
	options.shed_idle = dice_say(0.2);
	if (dice_say(0.2))
		limits.max_unsent = 100000;
	if (dice_say(0.2))
		limits.max_unsent_total = 300000;
	plait_reactor_set_limits(n->reactor, &limits);
	self->server = (struct plait_factory){ .ops = &server_ops };
	self->client = (struct plait_factory){ .protocol = &half_ops };
	self->probe = (struct plait_factory){ .protocol = &probe_ops };
	witness_factory_init(&self->seen_server, &witness, &self->server, true);
	witness_factory_init(&self->seen_client, &witness, &self->client, true);
	witness_factory_init(&self->seen_probe, &witness, &self->probe, true);
	MUST(plait_listen_tcp(n->reactor, PORT, &self->seen_server.base,
			      &options, &self->port) == 0,
	     "%s cannot listen", n->name);
	self->next = (struct plait_timer){ 0 };
	program_next(self);
}

static bool all_are_reached(void *arg)
{
	struct town *town = arg;

	for (unsigned i = 0; i < N_TALKERS; i++) {
		for (unsigned j = 0; j < N_TALKERS; j++) {
			if (!town->programs[i].reached[j])
				return false;
		}
	}
	return true;
}

static bool old_talks_are_over(void *arg)
{
	struct town *town = arg;

	for (unsigned i = 0; i < N_TALKERS; i++) {
		if (town->programs[i].seen_server.open > 0 ||
		    town->programs[i].seen_client.open > 0)
			return false;
	}
	return true;
}

static void town_begin(struct town *town)
{
	static const char *const names[N_TALKERS] = { "anna", "boris",
						      "clara" };

	town_is_calm = false;
	for (unsigned i = 0; i < N_TALKERS; i++) {
		struct talker_program *p = &town->programs[i];

		*p = (struct talker_program){
			.node = { .name = names[i], .begin = program_begin },
			.town = town,
			.number = i,
		};
		node_start(&p->node);
	}
}

/* Again after a while: a port may be full, or shed an older guest. */
static void program_probe(void *arg)
{
	struct talker_program *self = arg;

	for (unsigned j = 0; j < N_TALKERS; j++) {
		if (!self->reached[j])
			program_connect(self, &self->seen_probe, j);
	}
	plait_timer_start(self->node.reactor, &self->next, 10 + dice(10),
			  program_probe, self);
}

static void town_probe(struct town *town)
{
	for (unsigned i = 0; i < N_TALKERS; i++)
		program_probe(&town->programs[i]);
	MUST(go_on_until(all_are_reached, town, 600),
	     "all is healed, and they do not reach each other");
}

SCENARIO(all_that_is_said_is_heard_whatever_breaks)
{
	struct town town;

	town_begin(&town);
	weather_begin(WEATHER_ALL, 60);
	go_on(60);
	town_is_calm = true;
	weather_clear();
	MUST(go_on_until(old_talks_are_over, &town, 600),
	     "connections do not come to their end");
	if (!has_failed())
		town_probe(&town);
	nodes_end();
}

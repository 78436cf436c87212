/*
 * The sample programs, over bad links and between hosts that crash.
 */
#include <stdlib.h>
#include <string.h>

#include "reactor/simulation/socket.h"
#include "tests/sample.h"

static const char *address_of(const char *name)
{
	return plait_host_address(plait_simulation_host(simulation, name));
}

/* "10.0.0.1:7", of the host of that name. */
static const char *server_of(const char *name, unsigned port, char *text,
			     size_t size)
{
	snprintf(text, size, "%s:%u", address_of(name), port);
	return text;
}

/* ---- poetry ---------------------------------------------------------- */

enum { N_READERS = 4, POET = 7001, PROXY = 7002, TRANSFORMER = 7003 };

static const char poem_path[] = "samples/poetry/sonnet-18.txt";
static char poem[4096];
static size_t poem_size;
static bool may_be_cut; /* the program of a poet may have ended in the middle */

static void read_the_poem(void)
{
	FILE *f = fopen(poem_path, "rb");

	plait_assert(f != NULL);
	poem_size = fread(poem, 1, sizeof(poem), f);
	fclose(f);
	plait_assert(poem_size > 0 && poem_size < sizeof(poem));
}

/* A program that downloads the poem again and again, and may lose patience. */
struct reader {
	struct node node;
	const char *host;
	unsigned port;
	struct plait_deferred *download; /* NULL: none is under way */
	struct plait_timer next;
	unsigned poems; /* whole ones */
};

static struct reader readers[N_READERS];
static bool calm;

static struct reader *reader_of(struct node *n)
{
	return plait_self(n, struct reader);
}

static plait_value reader_has_it(plait_value *result, void *arg)
{
	struct reader *self = arg;
	const struct plait_buf *b;
	size_t size;

	if (plait_value_is_failure(result))
		return PLAIT_NONE;
	b = plait_value_buf(result);
	size = plait_buf_size(b);
	MUST(size <= poem_size && memcmp(plait_buf_data(b), poem, size) == 0,
	     "a poem is not the poem that was sent");
	/* Without descriptors a server accepts, and closes at once. */
	MUST(size == poem_size || may_be_cut || size == 0,
	     "a poem of %zu bytes has become one of %zu", poem_size, size);
	/* What a proxy has in its cache is a poem that came to an end. */
	self->poems += size == poem_size || may_be_cut;
	return PLAIT_NONE;
}

/* It loses patience sometimes: by freeing the deferred, or by a timeout. */
static void reader_next(void *arg)
{
	struct reader *self = arg;
	struct plait_reactor *r = self->node.reactor;

	plait_deferred_free(&self->download);
	if (calm && self->poems > 0)
		return;
	self->download = plait_client_read_all(r, self->host, self->port,
					       PLAIT_NONE, sizeof(poem), NULL);
	if (!calm && dice_say(0.5))
		plait_deferred_add_timeout(self->download, r,
					   dice_seconds(0, 20));
	plait_deferred_add_both(self->download, reader_has_it, self);
	plait_timer_start(r, &self->next, calm ? 100 : dice_seconds(0, 30),
			  reader_next, self);
}

static void reader_begin(struct node *n)
{
	struct reader *self = reader_of(n);

	self->next = (struct plait_timer){ 0 };
	reader_next(self);
}

static void reader_end(struct node *n)
{
	plait_deferred_free(&reader_of(n)->download);
}

static void readers_start(const char *host, unsigned port)
{
	static const char *const names[N_READERS] = { "rita", "rosa", "rolf",
						      "ruth" };

	calm = may_be_cut = false;
	read_the_poem();
	for (int i = 0; i < N_READERS; i++) {
		readers[i] = (struct reader){
			.node = { .name = names[i],
				  .begin = reader_begin,
				  .end = reader_end },
			.host = address_of(host),
			.port = port,
		};
		node_start(&readers[i].node);
	}
}

static bool all_have_the_poem(void *nothing)
{
	for (int i = 0; i < N_READERS; i++) {
		if (readers[i].poems == 0)
			return false;
	}
	return true;
}

/* Bad weather, then good, in which each reader must get the poem. */
static void readers_live_through_it(unsigned kinds)
{
	weather_begin(kinds, 60);
	go_on(60);
	weather_clear();
	calm = true;
	for (int i = 0; i < N_READERS; i++)
		readers[i].poems = 0;
	MUST(go_on_until(all_have_the_poem, NULL, 1000),
	     "all is healed, and a reader has no poem");
}

static void poet_start(struct sample *s, int (*main)(int, char **),
		       const char *name)
{
	static const char *const slow[] = {
		"slowpoetry", "--iface", "0.0.0.0", "--port",
		"7001",	      "--delay", "0.2",	    "--num-bytes",
		"60",	      poem_path, NULL
	};
	static const char *const fast[] = { "fastpoetry", "--iface", "0.0.0.0",
					    "--port",	  "7001",    poem_path,
					    NULL };

	sample_start(s, name, main, main == sample_slowpoetry ? slow : fast);
}

/* Programs that are killed end in the middle of a poem, and their kernels
   close the connection in order: nobody can tell that from the end. */
SCENARIO(slow_poetry_arrives)
{
	struct sample poet;

	poet_start(&poet, sample_slowpoetry, "poet");
	readers_start("poet", POET);
	may_be_cut = true;
	readers_live_through_it(WEATHER_ALL);
	nodes_end();
}

SCENARIO(fast_poetry_is_never_cut)
{
	struct sample poet;

	poet_start(&poet, sample_fastpoetry, "poet");
	readers_start("poet", POET);
	readers_live_through_it(WEATHER_LINKS | WEATHER_KERNELS |
				WEATHER_CRASHES);
	nodes_end();
}

/* How many connections of that port a host has. */
static unsigned connections_at(const struct node *n, unsigned port)
{
	struct plait_buf *b = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	char local[64], *line, *rest;
	unsigned count = 0;

	plait_assert(b != NULL && plait_host_netstat(n->host, b) == 0 &&
		     plait_buf_append(b, "", 1) == 0);
	snprintf(local, sizeof(local), " %s:%u ", plait_host_address(n->host),
		 port);
	rest = (char *)(uintptr_t)plait_buf_data(b);
	while ((line = strsep(&rest, "\n")) != NULL)
		count += strstr(line, local) != NULL &&
			 strstr(line, "TIME_WAIT") == NULL;
	plait_buf_unref(&b);
	return count;
}

struct scene {
	struct sample poet, proxy;
};

/*
 * A client whose host has crashed looks as if it waited.  So there may be as
 * many downloads as there seem to be clients.
 */
static bool nobody_is_served_in_vain(void *arg)
{
	const struct scene *s = arg;

	return connections_at(&s->poet.node, POET) <=
	       connections_at(&s->proxy.node, PROXY);
}

static void readers_hang_up(void)
{
	for (int i = 0; i < N_READERS; i++)
		node_stop(&readers[i].node);
}

/*
 * The poem is long and slow, and the readers are gone: the download of the
 * proxy must stop, unless it was told to go on.
 */
static void proxy_with(const char *option, bool goes_on)
{
	char server[PLAIT_ADDRESS_SIZE];
	const char *const argv[] = {
		"poetry-proxy", "--iface",
		"0.0.0.0",	"--port",
		"7002",		server_of("poet", POET, server, sizeof(server)),
		option,		NULL
	};
	static const char *const slow[] = {
		"slowpoetry", "--iface", "0.0.0.0", "--port",
		"7001",	      "--delay", "5",	    "--num-bytes",
		"6",	      poem_path, NULL
	};
	struct scene s;

	sample_start(&s.poet, "poet", sample_slowpoetry, slow);
	sample_start(&s.proxy, "proxy", sample_poetry_proxy, argv);
	readers_start("proxy", PROXY);
	may_be_cut = true;
	weather_begin(WEATHER_ALL, 60);
	go_on(60);
	weather_clear();
	readers_hang_up();
	MUST(go_on_until(nobody_is_served_in_vain, &s, goes_on ? 1500 : 400),
	     "nobody waits for the poem, and the download goes on");
	nodes_end();
}

SCENARIO(the_download_of_a_proxy_stops_with_its_clients)
{
	proxy_with(NULL, false);
}

SCENARIO(a_shared_download_stops_with_the_last_client)
{
	proxy_with("--share", false);
}

SCENARIO(a_download_that_is_to_go_on_ends_by_itself)
{
	proxy_with("--no-cancel", true);
}

/*
 * Without --share: if the poet crashes, or its kernel gives up, nobody tells
 * the proxy that its connection is over.  A client gives up a download of its
 * own, but a shared one keeps all who come later.
 */
SCENARIO(a_proxy_serves_its_clients)
{
	char server[PLAIT_ADDRESS_SIZE];
	const char *const argv[] = { "poetry-proxy",
				     "--iface",
				     "0.0.0.0",
				     "--port",
				     "7002",
				     server_of("poet", POET, server,
					       sizeof(server)),
				     NULL };
	struct sample poet, proxy;

	poet_start(&poet, sample_fastpoetry, "poet");
	sample_start(&proxy, "proxy", sample_poetry_proxy, argv);
	readers_start("proxy", PROXY);
	/* A proxy whose download has failed gives nothing. */
	may_be_cut = true;
	readers_live_through_it(WEATHER_ALL);
	nodes_end();
}

/* The same with a forwarder, which holds no poem: each reader has a connection
   to the poet of its own. */
SCENARIO(a_forwarder_serves_its_clients)
{
	char server[PLAIT_ADDRESS_SIZE], to[PLAIT_ADDRESS_SIZE + 10];
	const char *const argv[] = { "portforward",
				     "tcp:7002:interface=0.0.0.0", to, NULL };
	struct sample poet, forwarder;

	snprintf(to, sizeof(to), "tcp:%s",
		 server_of("poet", POET, server, sizeof(server)));
	poet_start(&poet, sample_fastpoetry, "poet");
	sample_start(&forwarder, "proxy", sample_portforward, argv);
	readers_start("proxy", PROXY);
	may_be_cut = true;
	readers_live_through_it(WEATHER_ALL);
	nodes_end();
}

/* The whole of the poetry programs: get-poetry ends by itself. */
SCENARIO(get_poetry_ends_whatever_breaks)
{
	char slow[PLAIT_ADDRESS_SIZE], fast[PLAIT_ADDRESS_SIZE];
	char transformer[PLAIT_ADDRESS_SIZE];
	const char *const transformed[] = { "transformedpoetry",
					    "--iface",
					    "0.0.0.0",
					    "--port",
					    "7003",
					    NULL };
	const char *const get[] = { "get-poetry",
				    "--timeout",
				    "30",
				    "--transform",
				    server_of("transformer", TRANSFORMER,
					      transformer, sizeof(transformer)),
				    "cummingsify",
				    server_of("poet", POET, fast, sizeof(fast)),
				    server_of("slow", POET, slow, sizeof(slow)),
				    NULL };
	struct sample poets[2], transforms, client;

	poet_start(&poets[0], sample_fastpoetry, "poet");
	poet_start(&poets[1], sample_slowpoetry, "slow");
	sample_start(&transforms, "transformer", sample_transformedpoetry,
		     transformed);
	if (dice_say(0.5))
		weather_begin(WEATHER_ALL, 60);
	sample_start(&client, "client", sample_get_poetry, get);
	go_on(100);
	MUST(plait_host_programs(client.node.host) == 0 ||
		     client.node.starts > 1,
	     "get-poetry waits longer than its time-out");
	weather_clear();
	nodes_end();
}

/* ---- chat ------------------------------------------------------------ */

enum { N_GUESTS = 3, CHAT = 7004, MANY = 200 };

/* A program that says numbers in a chat, and hears those of the others. */
struct guest {
	struct node node;
	struct plait_reconnecting_factory client;
	struct witness_factory seen;
	struct plait_connector *connector;
	struct visit *visit; /* NULL: not connected */
	unsigned visits;
	unsigned heard; /* what the others have said since all is healed */
};

struct visit {
	struct plait_line_receiver base;
	struct plait_timer timer;
	unsigned said;
	/* Of each visit that it has heard: the last number. */
	struct {
		unsigned long visit, number;
	} last[MANY];
	unsigned n_last;
};

static struct guest guests[N_GUESTS];

static struct guest *guest_of(struct plait_protocol *p)
{
	return plait_container(
		plait_self(p->factory, struct plait_reconnecting_factory),
		struct guest, client);
}

static void visit_say(void *arg)
{
	struct visit *v = arg;
	struct plait_protocol *p = &v->base.base;
	struct guest *g = guest_of(p);
	unsigned long me = (unsigned long)(g - guests) * 1000000 + g->visits;

	plait_transport_printf(p->transport, "%lu %u%s", me, ++v->said,
			       dice_say(0.5) ? "\r\n" : "\n");
	if (!calm && dice_say(0.05))
		plait_transport_printf(p->transport, "nick n%lu\n", me);
	if (!calm && dice_say(0.03))
		plait_transport_lose_connection(p->transport);
	plait_timer_start(plait_transport_reactor(p->transport), &v->timer,
			  dice_seconds(0, 3), visit_say, v);
}

static void visit_made(struct plait_protocol *p)
{
	struct guest *g = guest_of(p);

	g->visits++;
	g->visit = plait_self(p, struct visit);
	plait_reconnecting_factory_reset_delay(&g->client);
	visit_say(g->visit);
}

static void visit_lost(struct plait_protocol *p,
		       const struct plait_failure *why)
{
	plait_timer_stop(&plait_self(p, struct visit)->timer);
	guest_of(p)->visit = NULL;
}

/* What one visit says comes in its order, each number once. */
static void visit_hears(struct visit *v, unsigned long visit,
			unsigned long number)
{
	unsigned i = 0;

	while (i < v->n_last && v->last[i].visit != visit)
		i++;
	if (i == MANY)
		return;
	if (i == v->n_last)
		v->last[v->n_last++].visit = visit;
	else
		MUST(number == v->last[i].number + 1,
		     "a guest hears %lu after %lu", number, v->last[i].number);
	v->last[i].number = number;
}

/* "guest1: 1000001 17" */
static void visit_line(struct plait_line_receiver *p, const char *line,
		       size_t len)
{
	struct visit *v = plait_self(p, struct visit);
	char text[128];
	unsigned long visit, number;
	const char *colon;

	snprintf(text, sizeof(text), "%.*s", (int)len, line);
	colon = strchr(text, ':');
	MUST(colon != NULL && sscanf(colon, ": %lu %lu", &visit, &number) == 2,
	     "a guest hears \"%s\"", text);
	if (colon == NULL)
		return;
	visit_hears(v, visit, number);
	guest_of(&p->base)->heard++;
}

static const struct plait_line_receiver_ops visit_ops = {
	.base = { .name = "visit",
		  .size = sizeof(struct visit),
		  .connection_made = visit_made,
		  PLAIT_LINE_RECEIVER,
		  .connection_lost = visit_lost },
	.line_received = visit_line,
};

static const struct plait_factory_ops visits_ops = {
	.name = "visits",
	PLAIT_RECONNECTING_FACTORY,
};

static void guest_begin(struct node *n)
{
	struct guest *g = plait_self(n, struct guest);

	g->client = (struct plait_reconnecting_factory){
		.base = { .ops = &visits_ops, .protocol = &visit_ops.base },
		.backoff.max_delay = 10,
	};
	witness_factory_init(&g->seen, &witness, &g->client.base, false);
	plait_connect_tcp(n->reactor, address_of("chat"), CHAT, &g->seen.base,
			  NULL);
}

static void guest_end(struct node *n)
{
	plait_reconnecting_factory_stop_trying(
		&plait_self(n, struct guest)->client);
}

static bool all_have_heard_the_others(void *nothing)
{
	for (int i = 0; i < N_GUESTS; i++) {
		if (guests[i].heard < 4)
			return false;
	}
	return true;
}

SCENARIO(guests_of_a_chat_hear_each_other)
{
	static const char *const argv[] = { "chat",   "--iface", "0.0.0.0",
					    "--port", "7004",	 NULL };
	static const char *const names[N_GUESTS] = { "gabi", "georg", "gina" };
	struct sample chat;

	calm = false;
	sample_start(&chat, "chat", sample_chat, argv);
	for (int i = 0; i < N_GUESTS; i++) {
		guests[i] = (struct guest){
			.node = { .name = names[i],
				  .begin = guest_begin,
				  .end = guest_end },
		};
		node_start(&guests[i].node);
	}
	weather_begin(WEATHER_ALL, 60);
	go_on(60);
	weather_clear();
	calm = true;
	for (int i = 0; i < N_GUESTS; i++)
		guests[i].heard = 0;
	MUST(go_on_until(all_have_heard_the_others, NULL, 1000),
	     "all is healed, and guests do not hear each other");
	for (int i = 0; i < N_GUESTS; i++) {
		plait_reconnecting_factory_stop_trying(&guests[i].client);
		node_stop(&guests[i].node);
	}
	nodes_end();
}

/* ---- ticks ----------------------------------------------------------- */

SCENARIO(a_ticker_ticks_as_often_as_it_should)
{
	static const char *const argv[] = { "ticker", "--hz", "10", NULL };
	struct sample ticker;
	unsigned lines;

	sample_start(&ticker, "ticker", sample_ticker, argv);
	go_on(60);
	lines = sample_lines("tick ");
	MUST(lines <= 600 && lines > 500, "it ticks %u times in a minute",
	     lines);
	nodes_end();
}

/*
 * Stories of ports and connectors: see stage.h.
 */
#include <stdio.h>

#include "tests/stage.h"

enum { N_PEERS = 4 };

struct actor client, server;
struct plait_port *port;
unsigned server_number;
uint16_t refusing;

static struct wire peers[N_PEERS], nobody;
static const char *plays[2][128]; /* what an actor does, by its trace */
static struct plait_connect_options connect_options;
static struct plait_listen_options listen_options;
static struct plait_connector *kept;
static uint16_t full_number;
static int held, full, waiting; /* sockets that nobody accepts from */

void stage_play(const char *steps)
{
	play(&nobody, steps);
}

void stage_listen(void)
{
	server_number = actor_listen(&server, reactor, &port);
}

void stage_attempt(void)
{
	bool select = strcmp(backend, "select") == 0;

	calls_reset();
	while (calls_of("connect") == 0) {
		fault_call(select ? "select" : "epoll_wait", 1, EINTR);
		run_turns(reactor, 1);
	}
}

void stage_meet(void)
{
	run_until_count(reactor, &client.made, 1);
	run_until_count(reactor, &server.made, 1);
}

void stage_over(void)
{
	actor_wait_idle(&client, reactor);
	run_until_count(reactor, &server.lost, server.made);
	if (port != NULL)
		actor_stop(reactor, &port);
	actor_wait_idle(&server, reactor);
	run_turns(reactor, 3);
}

uint16_t stage_full(void)
{
	if (full < 0) {
		full = peer_listen(&full_number, 0);
		waiting = peer_connect(full_number);
	}
	return full_number;
}

/* What an actor does; its verbs are about who. */
static struct actor *who;

static void connects(void)
{
	const char *host = "127.0.0.1";
	unsigned n = port != NULL ? server_number : refusing;

	if (play_mark("full")) {
		n = stage_full();
	} else if (play_more()) {
		host = play_word();
		n = (unsigned)play_count(n);
	}
	plait_connect_tcp(reactor, host, n, &who->base, &connect_options);
}

/* The call gave this errno, or was well. */
static void gave(int r)
{
	int expected = play_more() ? play_errno() : 0;

	play_holds(r == -expected, "%s", play_errno_name(-r));
}

static void listens(void)
{
	struct plait_address address;
	int r = plait_listen_tcp(reactor, 0, &who->base, &listen_options,
				 &port);

	gave(r);
	if (r < 0 || port == NULL)
		return;
	plait_port_host(port, &address);
	server_number = plait_address_port(&address);
}

static void stops(void)
{
	actor_stop(reactor, &port);
}

static void stops_listening(void)
{
	plait_port_free(&port);
}

/* What a drain has given, if the story has one. */
static struct plait_deferred *drained;

static void drains(void)
{
	drained = plait_port_drain(&port);
	play_holds(port == NULL, "it has its handle");
}

static void is_drained(void)
{
	play_holds(plait_deferred_is_fired(drained), "it drains still");
	play_holds(plait_value_is_none(plait_deferred_result(drained)),
		   "it was cancelled");
	plait_deferred_free(&drained);
}

static void stops_draining(void)
{
	play_holds(!plait_deferred_is_fired(drained), "it has drained");
	plait_deferred_free(&drained);
}

static void again(void)
{
	gave(plait_connector_connect(who->connector));
}

static void gives_up(void)
{
	gave(plait_connector_stop_connecting(who->connector));
}

static void disconnects(void)
{
	plait_connector_disconnect(who->connector);
}

/* Of the last port that it was told of. */
static void pauses_accepting(void)
{
	plait_port_pause_accepting(who->port);
}

static void resumes_accepting(void)
{
	plait_port_resume_accepting(who->port);
}

static void refuses(void)
{
	who->refuses = true;
}

static void has_no_memory(void)
{
	who->has_no_memory = true;
}

static void accepts(void)
{
	who->refuses = who->has_no_memory = false;
}

static void half_closeable(void)
{
	who->half_closeable = true;
}

static void echoes(void)
{
	who->on_data = actor_echo;
}

static void loses(void)
{
	if (play_mark("write"))
		plait_transport_lose_write_connection(who->transport);
	else
		plait_transport_lose_connection(who->transport);
}

static void aborts(void)
{
	plait_transport_abort_connection(who->transport);
}

static void pauses(void)
{
	plait_transport_pause_reading(who->transport);
}

static void writes(void)
{
	const char *text = play_text();

	plait_transport_write(who->transport, text, strlen(text));
}

static void idle(void)
{
	actor_wait_idle(who, reactor);
}

/* What has come of it. */
static void trace_is(void)
{
	play_text_is(who->trace, play_text());
}

static void text_is(void)
{
	play_text_is(who->text, play_text());
}

static void is_kind(const struct plait_error *kind)
{
	play_text_is(kind != NULL ? kind->name : "none", play_text());
}

static void kind_is(void)
{
	is_kind(who->kind);
}

static void lost_kind_is(void)
{
	is_kind(who->lost_kind);
}

static void errno_is(void)
{
	gave(-who->err);
}

/* With the number of the port that refuses, or is full, for $port. */
static const char *filled_in(const char *s)
{
	static char text[256];
	const char *gap = strstr(s, "$port");

	if (gap == NULL)
		return s;
	snprintf(text, sizeof(text), "%.*s%u%s", (int)(gap - s), s,
		 full >= 0 ? full_number : refusing, gap + strlen("$port"));
	return text;
}

static void why_is(void)
{
	play_text_is(who->why, filled_in(play_text()));
}

static void lost_why_is(void)
{
	play_text_is(who->lost_why, play_text());
}

static void is(void)
{
	static const char *const states[] = {
		[PLAIT_CONNECTOR_DISCONNECTED] = "disconnected",
		[PLAIT_CONNECTOR_CONNECTING] = "connecting",
		[PLAIT_CONNECTOR_CONNECTED] = "connected",
	};

	play_text_is(states[plait_connector_state(who->connector)],
		     play_text());
}

static void peer_is(void)
{
	char text[PLAIT_ADDRESS_SIZE];

	plait_address_host(&who->peer, text, sizeof(text));
	play_text_is(text, play_text());
}

static const struct play_verb deeds[] = {
	{ "aborts", aborts },
	{ "accepts", accepts },
	{ "again", again },
	{ "connects", connects },
	{ "disconnects", disconnects },
	{ "drained", is_drained },
	{ "drains", drains },
	{ "echoes", echoes },
	{ "errno", errno_is },
	{ "gives-up", gives_up },
	{ "half-closeable", half_closeable },
	{ "has-no-memory", has_no_memory },
	{ "idle", idle },
	{ "is", is },
	{ "kind", kind_is },
	{ "listens", listens },
	{ "loses", loses },
	{ "lost-kind", lost_kind_is },
	{ "lost-why", lost_why_is },
	{ "pauses", pauses },
	{ "pauses-accepting", pauses_accepting },
	{ "peer", peer_is },
	{ "refuses", refuses },
	{ "resumes-accepting", resumes_accepting },
	{ "stops", stops },
	{ "stops-draining", stops_draining },
	{ "stops-listening", stops_listening },
	{ "text", text_is },
	{ "trace", trace_is },
	{ "why", why_is },
	{ "writes", writes },
	{ NULL, NULL },
};

/* What an actor counts. */
static const unsigned *counter(const struct actor *a, const char *name)
{
	const struct {
		const char *name;
		const unsigned *n;
	} counters[] = {
		{ "builds", &a->builds },
		{ "made", &a->made },
		{ "lost", &a->lost },
		{ "failed", &a->failed },
		{ "started", &a->started },
		{ "starts", &a->starts },
		{ "stopped", &a->stops },
		{ "users", &a->base.users },
		{ "client_lost", &a->client_lost },
	};

	for (int i = 0; i < N_OF(counters); i++)
		if (strcmp(counters[i].name, name) == 0)
			return counters[i].n;
	play_holds(false, "no actor does that");
	return NULL;
}

static void on_event(struct actor *a, char what)
{
	const char *steps = plays[a == &server][(unsigned char)what];

	if (steps != NULL)
		stage_play(steps);
}

static void act(struct actor *a)
{
	struct actor *before = who;
	const char *name, *steps;

	who = a;
	if (!play_act(deeds)) {
		name = play_word();
		steps = play_block();
		if (steps != NULL)
			plays[a == &server][(unsigned char)*name] = steps;
		else
			play_number_is(*counter(a, name));
	}
	who = before;
}

static void client_step(void)
{
	act(&client);
}

static void server_step(void)
{
	act(&server);
}

/* Plain peers. */
static struct wire *peer;

static void peer_knocks(void)
{
	peer->peer = peer_connect((uint16_t)server_number);
}

static void peer_connects(void)
{
	unsigned builds = server.builds;

	peer_knocks();
	run_until_count(reactor, &server.builds, builds + 1);
}

static void peer_leaves(void)
{
	wire_hang_up(peer);
	run_until_count(reactor, &server.lost, server.made);
	run_turns(reactor, 3);
}

static const struct play_verb peer_deeds[] = {
	{ "connects", peer_connects },
	{ "knocks", peer_knocks },
	{ "leaves", peer_leaves },
	{ NULL, NULL },
};

static void peer_step(void)
{
	peer = &peers[*play_name - 'a'];
	if (!play_act(peer_deeds))
		story_peer(peer);
}

/* Everything else. */
static void option(void)
{
	const char *name = play_word();

	if (strcmp(name, "timeout") == 0)
		connect_options.timeout = play_number();
	else if (strcmp(name, "bind_address") == 0)
		connect_options.bind_address = play_word();
	else if (strcmp(name, "bind_port") == 0)
		connect_options.bind_port = play_mark("refusing")
						    ? refusing
						    : (unsigned)play_number();
	else if (strcmp(name, "iface") == 0)
		listen_options.iface = play_word();
	else if (strcmp(name, "max_connections") == 0)
		listen_options.max_connections = (unsigned)play_number();
	else if (strcmp(name, "backlog") == 0)
		listen_options.backlog = (int)play_number();
	else if (strcmp(name, "no_address_reuse") == 0)
		listen_options.no_address_reuse = true;
	else if (strcmp(name, "no_delay") == 0)
		connect_options.no_delay = listen_options.no_delay = true;
	else if (strcmp(name, "keep_alive") == 0)
		connect_options.keep_alive = listen_options.keep_alive = true;
	else
		play_holds(false, "no such option");
}

static void until(void)
{
	struct actor *a = play_either("client", "server") ? &client : &server;
	const unsigned *n = counter(a, play_word());

	run_until_count(reactor, n, (unsigned)play_number());
}

static void attempt(void)
{
	stage_attempt();
}

static void met(void)
{
	stage_meet();
}

static void over(void)
{
	stage_over();
}

static void keep(void)
{
	kept = plait_connector_ref(client.connector);
}

static void drop(void)
{
	plait_connector_unref(&kept);
}

static void unhandled(void)
{
	unhandled_expect((unsigned)play_number());
}

static void reported(void)
{
	const char *what = play_text();

	if (what[strspn(what, "0123456789")] == '\0')
		play_holds(unhandled_count() == (unsigned)atoi(what), "but %u",
			   unhandled_count());
	else
		play_holds(strstr(unhandled_text(), what) != NULL, "but %s",
			   unhandled_text());
}

static void jump(void)
{
	clock_advance(play_number());
}

static const struct play_verb words[] = {
	{ "a", peer_step },
	{ "attempt", attempt },
	{ "b", peer_step },
	{ "c", peer_step },
	{ "client", client_step },
	{ "d", peer_step },
	{ "drop", drop },
	{ "jump", jump },
	{ "keep", keep },
	{ "met", met },
	{ "option", option },
	{ "over", over },
	{ "reported", reported },
	{ "server", server_step },
	{ "unhandled", unhandled },
	{ "until", until },
	{ NULL, NULL },
};

void stage_close(void)
{
	for (int i = 0; i < N_PEERS; i++)
		wire_hang_up(&peers[i]);
	if (full >= 0) {
		peer_close(waiting);
		peer_close(full);
	}
	full = -1;
}

void stage_setup(void)
{
	actor_init(&client);
	actor_init(&server);
	client.on_event = server.on_event = on_event;
	memset(plays, 0, sizeof(plays));
	for (int i = 0; i < N_PEERS; i++)
		peers[i] = (struct wire){ .peer = -1 };
	connect_options = (struct plait_connect_options){ .timeout = 0 };
	listen_options = (struct plait_listen_options){ .iface = "127.0.0.1" };
	port = NULL;
	kept = NULL;
	full = waiting = -1;
	held = peer_hold_port(&refusing);
	play_words(NULL, NULL);
	play_add_words(words, stage_close);
}

void stage_teardown(void)
{
	peer_close(held);
}

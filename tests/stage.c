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

void stage_listen(void)
{
	server_number = actor_listen(&server, reactor, &port);
}

void stage_attempt(void)
{
	bool epoll = strcmp(backend, "epoll") == 0;

	calls_reset();
	while (calls_of("connect") == 0) {
		fault_call(epoll ? "epoll_wait" : "select", 1, EINTR);
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

static bool is_word(const char *s, const char *word, const char **rest)
{
	size_t n = strlen(word);

	if (strncmp(s, word, n) != 0 || (s[n] != ' ' && s[n] != '\0'))
		return false;
	*rest = s + n + (s[n] == ' ');
	return true;
}

/* What an actor does. */
static void connects(struct actor *a, const char *to)
{
	char host[64] = "127.0.0.1";
	unsigned n = port != NULL ? server_number : refusing;

	if (strcmp(to, "full") == 0) {
		full = peer_listen(&full_number, 0);
		waiting = peer_connect(full_number);
		n = full_number;
	} else if (*to != '\0') {
		sscanf(to, "%63s %u", host, &n);
	}
	plait_connect_tcp(reactor, host, n, &a->base, &connect_options);
}

static void listens(struct actor *a, const char *err)
{
	struct plait_address address;
	int r = plait_listen_tcp(reactor, 0, &a->base, &listen_options, &port);

	play_holds(r == -play_errno_of(*err ? err : "0"), "%s", strerror(-r));
	if (r < 0)
		return;
	plait_port_address(port, &address);
	server_number = plait_address_port(&address);
}

static void stops(struct actor *a, const char *nothing)
{
	actor_stop(reactor, &port);
}

static void stops_listening(struct actor *a, const char *nothing)
{
	struct plait_deferred *d = plait_port_stop_listening(&port);

	plait_deferred_detach(&d);
}

static void says_errno(int r, const char *err)
{
	play_holds(r == -play_errno_of(*err ? err : "0"), "%s", strerror(-r));
}

static void again(struct actor *a, const char *err)
{
	says_errno(plait_connector_connect(a->connector), err);
}

static void gives_up(struct actor *a, const char *err)
{
	says_errno(plait_connector_stop_connecting(a->connector), err);
}

static void disconnects(struct actor *a, const char *nothing)
{
	plait_connector_disconnect(a->connector);
}

static void refuses(struct actor *a, const char *nothing)
{
	a->refuses = true;
}

static void has_no_memory(struct actor *a, const char *nothing)
{
	a->has_no_memory = true;
}

static void accepts(struct actor *a, const char *nothing)
{
	a->refuses = a->has_no_memory = false;
}

static void half_closeable(struct actor *a, const char *nothing)
{
	a->half_closeable = true;
}

static void echoes(struct actor *a, const char *nothing)
{
	a->on_data = actor_echo;
}

static void loses(struct actor *a, const char *half)
{
	if (*half != '\0')
		plait_transport_lose_write_connection(a->transport);
	else
		plait_transport_lose_connection(a->transport);
}

static void aborts(struct actor *a, const char *nothing)
{
	plait_transport_abort(a->transport);
}

static void pauses(struct actor *a, const char *nothing)
{
	plait_transport_pause_reading(a->transport);
}

static void writes(struct actor *a, const char *text)
{
	plait_transport_write(a->transport, text, strlen(text));
}

static void idle(struct actor *a, const char *nothing)
{
	actor_wait_idle(a, reactor);
}

/* What has come of it. */
static void trace_is(struct actor *a, const char *expected)
{
	play_text_is(a->trace, expected);
}

static void text_is(struct actor *a, const char *expected)
{
	play_text_is(a->text, expected);
}

static void kind_is(struct actor *a, const char *expected)
{
	play_text_is(a->kind != NULL ? a->kind->name : "none", expected);
}

static void lost_kind_is(struct actor *a, const char *expected)
{
	play_text_is(a->lost_kind != NULL ? a->lost_kind->name : "none",
		     expected);
}

static void errno_is(struct actor *a, const char *err)
{
	says_errno(-a->err, err);
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

static void why_is(struct actor *a, const char *expected)
{
	play_text_is(a->why, filled_in(expected));
}

static void lost_why_is(struct actor *a, const char *expected)
{
	play_text_is(a->lost_why, expected);
}

static void is(struct actor *a, const char *state)
{
	static const char *const states[] = {
		[PLAIT_DISCONNECTED] = "disconnected",
		[PLAIT_CONNECTING] = "connecting",
		[PLAIT_CONNECTED] = "connected",
	};

	play_text_is(states[plait_connector_state(a->connector)], state);
}

static void peer_is(struct actor *a, const char *host)
{
	char text[PLAIT_ADDRESS_SIZE];

	plait_address_host(&a->peer, text, sizeof(text));
	play_text_is(text, host);
}

static const struct {
	const char *name;
	void (*does)(struct actor *a, const char *rest);
} deeds[] = {
	{ "aborts", aborts },
	{ "accepts", accepts },
	{ "again", again },
	{ "connects", connects },
	{ "disconnects", disconnects },
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
	{ "peer", peer_is },
	{ "refuses", refuses },
	{ "stops", stops },
	{ "stops-listening", stops_listening },
	{ "text", text_is },
	{ "trace", trace_is },
	{ "why", why_is },
	{ "writes", writes },
};

/* What an actor counts. */
static const unsigned *counter(const struct actor *a, const char *s,
			       const char **rest)
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
		if (is_word(s, counters[i].name, rest))
			return counters[i].n;
	return NULL;
}

static void on_event(struct actor *a, char what)
{
	const char *story = plays[a == &server][(unsigned char)what];

	if (story != NULL)
		play(&nobody, story);
}

static void act(struct actor *a, const char *does)
{
	const unsigned *n;
	const char *rest;

	if (play_block != NULL) {
		plays[a == &server][(unsigned char)*does] =
			*play_block == '}' ? NULL : play_block;
		return;
	}
	for (int i = 0; i < N_OF(deeds); i++) {
		if (!is_word(does, deeds[i].name, &rest))
			continue;
		deeds[i].does(a, rest);
		return;
	}
	n = counter(a, does, &rest);
	play_holds(n != NULL, "no actor does that");
	play_is_number(*n, rest);
}

static void client_step(struct wire *w, const char *does)
{
	act(&client, does);
}

static void server_step(struct wire *w, const char *does)
{
	act(&server, does);
}

/* Plain peers. */
static void peer_connects(struct wire *p)
{
	unsigned builds = server.builds;

	p->peer = peer_connect((uint16_t)server_number);
	run_until_count(reactor, &server.builds, builds + 1);
}

static void peer_leaves(struct wire *p)
{
	wire_hang_up(p);
	run_until_count(reactor, &server.lost, server.made);
	run_turns(reactor, 3);
}

static void peer_step(struct wire *w, const char *does)
{
	struct wire *p = &peers[*play_name - 'a'];

	if (strcmp(does, "connects") == 0)
		peer_connects(p);
	else if (strcmp(does, "knocks") == 0)
		p->peer = peer_connect((uint16_t)server_number);
	else if (strcmp(does, "leaves") == 0)
		peer_leaves(p);
	else
		play_peer(p, does);
}

/* Everything else. */
static void option(struct wire *w, const char *what)
{
	static char texts[4][64];
	static int n;
	char name[32] = "", *value = texts[n++ % 4];

	*value = '\0';
	sscanf(what, "%31s %63s", name, value);
	if (strcmp(name, "timeout") == 0)
		connect_options.timeout = atof(value);
	else if (strcmp(name, "bind_address") == 0)
		connect_options.bind_address = value;
	else if (strcmp(name, "bind_port") == 0)
		connect_options.bind_port = strcmp(value, "refusing") == 0
						    ? refusing
						    : (unsigned)atoi(value);
	else if (strcmp(name, "iface") == 0)
		listen_options.iface = value;
	else if (strcmp(name, "no_address_reuse") == 0)
		listen_options.no_address_reuse = true;
	else if (strcmp(name, "no_delay") == 0)
		connect_options.no_delay = listen_options.no_delay = true;
	else if (strcmp(name, "keep_alive") == 0)
		connect_options.keep_alive = listen_options.keep_alive = true;
	else
		play_holds(false, "no such option");
}

static void until(struct wire *w, const char *what)
{
	struct actor *a = play_begins(what, "client ") ? &client : &server;
	const char *rest;
	const unsigned *n = counter(a, what + strcspn(what, " ") + 1, &rest);

	play_holds(n != NULL, "nobody counts that");
	run_until_count(reactor, n, (unsigned)atoi(rest));
}

static void attempt(struct wire *w, const char *nothing)
{
	stage_attempt();
}

static void met(struct wire *w, const char *nothing)
{
	stage_meet();
}

static void over(struct wire *w, const char *nothing)
{
	stage_over();
}

static void keep(struct wire *w, const char *nothing)
{
	kept = plait_connector_ref(client.connector);
}

static void drop(struct wire *w, const char *nothing)
{
	plait_connector_unref(&kept);
}

static void unhandled(struct wire *w, const char *n)
{
	unhandled_expect((unsigned)atoi(n));
}

static void reported(struct wire *w, const char *what)
{
	if (what[strspn(what, "0123456789")] == '\0')
		play_is_number(unhandled_count(), what);
	else
		play_holds(strstr(unhandled_text(), what) != NULL, "but %s",
			   unhandled_text());
}

static void jump(struct wire *w, const char *seconds)
{
	clock_advance(atof(seconds));
}

static void epoll_only(struct wire *w, const char *nothing)
{
	if (strcmp(backend, "epoll") != 0)
		play_end();
}

static const struct play_verb words[] = {
	{ "a", peer_step },
	{ "attempt", attempt },
	{ "b", peer_step },
	{ "c", peer_step },
	{ "client", client_step },
	{ "d", peer_step },
	{ "drop", drop },
	{ "epoll-only", epoll_only },
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

/* After the story: nothing that it opened may be left. */
static void stage_close(void)
{
	for (int i = 0; i < N_PEERS; i++)
		wire_hang_up(&peers[i]);
	if (full >= 0) {
		close(waiting);
		close(full);
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
	play_words(words, stage_close);
}

void stage_teardown(void)
{
	close(held);
}

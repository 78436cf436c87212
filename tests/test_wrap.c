/*
 * Wrappers: that nobody can tell that they are there.
 *
 * What a protocol and its factory are told, and what comes of what they ask
 * for, is noted without a wrapper and then with each kind, and must be the
 * same; with scripts on a testing reactor, and with random programs on sockets,
 * which check the contract.
 *
 * A script is words, after each of which the reactor turns.  The network's
 *part:
 *
 *	listen[=N] shed accept stop-listening	a port, with max_connections=N
 *	connect complete refuse again		a connector
 *	>XY		delivers X and Y, each a command, to the last connection
 *	eof lose win=N win sent	what its peer does; how much it has got
 *	time=N run=N	N seconds pass; a run that ends after N
 *	free			the reactor
 *
 * The program's part is commands, one letter each, that the protocol gets as
 * data or, as in !XY, that are done from outside of it: see act().
 */
#include <stdio.h>

#include <plait/testing.h>

#include "tests/child.h"
#include "tests/dialogue.h"
#include "tests/harness.h"
#include "tests/machine.h"
#include "tests/model.h"
#include "tests/actor.h"
#include "tests/trace.h"
#include "tests/wrapped.h"

/* ---- a program that notes everything ------------------------------------ */

struct noting {
	struct plait_protocol base;
	struct plait_producer producer;
	struct plait_scope_entry entry;
	unsigned number, produced;
};

static struct {
	struct plait_reactor *r;
	struct plait_port *port;
	struct plait_connector *connector;
	struct plait_transport *peer; /* what the test plays the peer of */
	struct noting *last;	      /* protocol; NULL: gone */
	unsigned built;
	bool half_closeable;
	bool kills; /* port_full() aborts the last connection */
} world;

static struct noting *noting_of(struct plait_protocol *p)
{
	return plait_self(p, struct noting);
}

static struct noting *producing(struct plait_producer *p)
{
	return plait_container(p, struct noting, producer);
}

static void note_pause(struct plait_producer *p)
{
	trace_add("pause%u", producing(p)->number);
}

static void note_resume(struct plait_producer *p)
{
	static const char bytes[30000];
	struct plait_transport *t = producing(p)->base.transport;

	trace_add("resume%u", producing(p)->number);
	if (producing(p)->produced++ < 3)
		plait_transport_write(t, bytes, sizeof(bytes));
	else
		plait_transport_unregister_producer(t);
}

static void note_stop(struct plait_producer *p)
{
	trace_add("stop%u", producing(p)->number);
}

static const struct plait_producer_ops producer_ops = {
	.name = "noting",
	.pause = note_pause,
	.resume = note_resume,
	.stop = note_stop,
};

static void note_cancel(void *arg)
{
	struct noting *self = arg;
	struct plait_scope *s = plait_transport_scope(self->base.transport);

	trace_add("cancel%u(%s)", self->number, plait_scope_reason(s));
	plait_scope_leave(&self->entry);
}

static void write_shared(struct plait_transport *t)
{
	static const char bytes[1000];
	struct plait_buf *b = plait_buf_copy(bytes, sizeof(bytes));

	plait_transport_write_buf(t, b);
	plait_buf_unref(&b);
}

static void write_several(struct plait_transport *t)
{
	static char text[] = "several";
	const struct iovec pieces[] = { { text, 3 }, { text + 3, 4 } };

	plait_transport_write_sequence(t, pieces, 2);
}

static void note_addresses(struct plait_transport *t)
{
	struct plait_address a = { .family = 0 };
	char text[PLAIT_ADDRESS_SIZE];

	plait_transport_host(t, &a);
	plait_address_str(&a, text, sizeof(text));
	trace_add("host(%s)", text);
	plait_transport_peer(t, &a);
	plait_address_str(&a, text, sizeof(text));
	trace_add("peer(%s)", text);
}

static void act(struct noting *self, char command)
{
	static const char bytes[100000];
	struct plait_transport *t = self->base.transport;

	self->producer.ops = &producer_ops;
	switch (command) {
	case 'w':
		plait_transport_write(t, "hello", 5);
		break;
	case 'W':
		plait_transport_write(t, bytes, sizeof(bytes));
		break;
	case 'b':
		write_shared(t);
		break;
	case 'v':
		write_several(t);
		break;
	case 'c':
		plait_transport_lose_connection(t);
		break;
	case 'a':
		plait_transport_abort_connection(t);
		break;
	case 'h':
		plait_transport_lose_write_connection(t);
		break;
	case 'p':
		plait_transport_pause_reading(t);
		break;
	case 'r':
		plait_transport_resume_reading(t);
		break;
	case 'u':
		self->base.unread = true;
		break;
	case 'U':
		self->base.unread = false;
		break;
	case 's': /* streaming, pull, its own receiving half */
		plait_transport_register_producer(t, &self->producer, true);
		break;
	case 'l':
		plait_transport_register_producer(t, &self->producer, false);
		break;
	case 'e':
		plait_transport_register_producer(
			t, plait_transport_producer(t), true);
		break;
	case 'x':
		plait_transport_unregister_producer(t);
		break;
	case 'S':
		plait_scope_enter(plait_transport_scope(t), &self->entry,
				  note_cancel, self);
		break;
	case 'n':
		trace_add("pending(%zu)", plait_transport_unsent(t));
		break;
	case 'd':
		trace_add("closing(%d)", plait_transport_is_disconnecting(t));
		break;
	case 'q':
		trace_add("gone(%d)", plait_transport_peer_has_closed(t));
		break;
	case 'A':
		note_addresses(t);
		break;
	case 'K':
		world.kills = true;
		break;
	case 'o':
		trace_add("option(%d)",
			  plait_transport_set_tcp_no_delay(t, true));
		break;
	default:
		ck_abort_msg("no command '%c'", command);
	}
}

static void note_made(struct plait_protocol *p)
{
	trace_add("made%u", noting_of(p)->number);
	world.last = noting_of(p);
	ck_assert(p->connected);
	ck_assert_ptr_eq(plait_transport_reactor(p->transport), world.r);
}

static void note_data(struct plait_protocol *p, const void *data, size_t len)
{
	const char *commands = data;

	trace_bytes("data", data, len);
	for (size_t i = 0; i < len; i++)
		act(noting_of(p), commands[i]);
}

static void note_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	trace_add("lost%u(%s)", noting_of(p)->number,
		  plait_failure_kind(why)->name);
	ck_assert(!p->connected);
	act(noting_of(p), 'w');
	act(noting_of(p), 'c');
	act(noting_of(p), 'd');
}

static void note_read_lost(struct plait_protocol *p)
{
	trace_add("eof%u", noting_of(p)->number);
}

static void note_write_lost(struct plait_protocol *p)
{
	trace_add("shut%u", noting_of(p)->number);
}

static void note_done(struct plait_protocol *p)
{
	trace_add("done%u", noting_of(p)->number);
	if (world.last == noting_of(p))
		world.last = NULL;
}

#define NOTING                                                                 \
	.name = "noting", .size = sizeof(struct noting),                       \
	.connection_made = note_made, .data_received = note_data,              \
	.connection_lost = note_lost, .done = note_done

static const struct plait_protocol_ops whole_ops = { NOTING };
static const struct plait_protocol_ops half_ops = {
	NOTING,
	.read_connection_lost = note_read_lost,
	.write_connection_lost = note_write_lost,
};

static void note_start(struct plait_factory *f)
{
	trace_add("start");
}

static void note_factory_stop(struct plait_factory *f)
{
	trace_add("stop");
}

static struct plait_protocol *note_build(struct plait_factory *f,
					 const struct plait_address *peer)
{
	struct plait_protocol *p = plait_protocol_new(
		world.half_closeable ? &half_ops : &whole_ops);
	char text[PLAIT_ADDRESS_SIZE];

	plait_address_str(peer, text, sizeof(text));
	noting_of(p)->number = ++world.built;
	trace_add("build%u(%s)", world.built, text);
	return p;
}

static void note_started(struct plait_factory *f, struct plait_connector *c)
{
	ck_assert(world.connector == NULL || world.connector == c);
	trace_add("started");
}

static void note_failed(struct plait_factory *f, struct plait_connector *c,
			const struct plait_failure *why)
{
	ck_assert_ptr_eq(c, world.connector);
	trace_add("failed(%s)", plait_failure_kind(why)->name);
}

static void note_client_lost(struct plait_factory *f, struct plait_connector *c,
			     const struct plait_failure *why)
{
	ck_assert_ptr_eq(c, world.connector);
	trace_add("ended(%s)", plait_failure_kind(why)->name);
}

static void note_full(struct plait_factory *f, struct plait_port *p,
		      struct plait_protocol *idlest)
{
	ck_assert_ptr_eq(p, world.port);
	trace_add("full(%u)", idlest ? noting_of(idlest)->number : 0);
	if (world.kills && world.last != NULL)
		plait_transport_abort_connection(world.last->base.transport);
}

static void note_opened(struct plait_factory *f, struct plait_port *p)
{
	trace_add("opened");
}

static void note_closed(struct plait_factory *f, struct plait_port *p)
{
	trace_add("closed");
}

static const struct plait_factory_ops noting_ops = {
	.name = "noting",
	.start = note_start,
	.stop = note_factory_stop,
	.build_protocol = note_build,
	.started_connecting = note_started,
	.connection_failed = note_failed,
	.connection_lost = note_client_lost,
	.port_full = note_full,
	.port_opened = note_opened,
	.port_closed = note_closed,
};

static struct plait_factory noting_factory = { .ops = &noting_ops };

/* ---- scripts ------------------------------------------------------------ */

static void listen_with(unsigned max, bool shed_idle)
{
	const struct plait_listen_options o = { .max_connections = max,
						.shed_idle = shed_idle };

	ck_assert_int_eq(plait_listen_tcp(world.r, 7, wrapped(&noting_factory),
					  &o, &world.port),
			 0);
}

static void stop_run(void *arg)
{
	plait_reactor_stop(world.r);
}

static void run_for_seconds(double seconds)
{
	struct plait_timer timer = { .reactor = NULL };

	plait_timer_start(world.r, &timer, seconds, stop_run, NULL);
	trace_add("run(%d)", plait_reactor_run(world.r));
}

static void end_peer(bool reset)
{
	plait_value why = plait_fail(&plait_error_connection_lost, "reset");

	if (reset)
		plait_testing_lose(world.peer, plait_value_failure(&why));
	else
		plait_testing_deliver_eof(world.peer);
	plait_value_free(&why);
}

static void end_attempt(bool refused)
{
	plait_value why = plait_fail(&plait_error_connection_refused, "no");

	if (refused)
		plait_testing_refuse(world.connector,
				     plait_value_failure(&why));
	else
		world.peer = plait_testing_complete(world.connector);
	plait_value_free(&why);
}

static void stop_listening(void)
{
	plait_port_free(&world.port);
	plait_testing_advance(world.r, 0);
}

static void connect_noting(void)
{
	struct plait_connector *c = plait_connect_tcp(
		world.r, "127.0.0.1", 9, wrapped(&noting_factory), NULL);

	world.connector = plait_connector_ref(c);
}

static void note_sent(void)
{
	trace_add("sent(%zu)",
		  plait_buf_size(plait_testing_written(world.peer)));
	plait_testing_clear(world.peer);
}

/* Done from outside; what no protocol is there for is left out. */
static void act_all(const char *commands)
{
	for (; *commands != '\0' && world.last != NULL; commands++)
		act(world.last, *commands);
}

static bool network_does(const char *word, double n)
{
	if (strcmp(word, "listen") == 0)
		listen_with((unsigned)n, false);
	else if (strcmp(word, "shed") == 0)
		listen_with((unsigned)n, true);
	else if (strcmp(word, "accept") == 0)
		world.peer = plait_testing_accept(world.port);
	else if (strcmp(word, "stop-listening") == 0)
		stop_listening();
	else if (strcmp(word, "connect") == 0)
		connect_noting();
	else if (strcmp(word, "complete") == 0)
		end_attempt(false);
	else if (strcmp(word, "refuse") == 0)
		end_attempt(true);
	else if (strcmp(word, "again") == 0)
		plait_connector_connect(world.connector);
	else if (strcmp(word, "disconnect") == 0)
		plait_connector_disconnect(world.connector);
	else
		return false;
	return true;
}

static bool peer_does(const char *word, double n)
{
	if (strcmp(word, "eof") == 0)
		end_peer(false);
	else if (strcmp(word, "lose") == 0)
		end_peer(true);
	else if (strcmp(word, "win") == 0)
		plait_testing_set_window(world.peer,
					 n < 0 ? SIZE_MAX : (size_t)n);
	else if (strcmp(word, "sent") == 0)
		note_sent();
	else
		return false;
	return true;
}

static bool time_does(const char *word, double n)
{
	if (strcmp(word, "time") == 0)
		plait_testing_advance(world.r, n);
	else if (strcmp(word, "run") == 0)
		run_for_seconds(n);
	else if (strcmp(word, "free") == 0)
		plait_reactor_free(&world.r);
	else
		return false;
	return true;
}

/* A word is NAME or NAME=NUMBER, or commands behind > or !. */
static void play_word(char *word)
{
	char *number = strchr(word, '=');
	double n = number != NULL ? atof(number + 1) : -1;

	if (word[0] == '>') {
		plait_testing_deliver(world.peer, word + 1, strlen(word + 1));
		return;
	}
	if (word[0] == '!') {
		act_all(word + 1);
		return;
	}
	if (number != NULL)
		*number = '\0';
	if (!network_does(word, n < 0 && strcmp(word, "win") ? 0 : n) &&
	    !peer_does(word, n) && !time_does(word, n))
		ck_abort_msg("no word \"%s\"", word);
}

/* What happens in a script is the trace. */
static void play(const char *script, bool half_closeable)
{
	char words[256], *word, *rest = words;

	memset(&world, 0, sizeof(world));
	world.half_closeable = half_closeable;
	world.r = plait_testing_reactor_new();
	snprintf(words, sizeof(words), "%s", script);
	while ((word = strtok_r(rest, " ", &rest)) != NULL) {
		play_word(word);
		if (world.r != NULL)
			plait_testing_advance(world.r, 0);
		trace_add("|");
	}
	plait_reactor_free(&world.r);
	plait_connector_unref(&world.connector);
}

static const char *const scripts[] = {
	/* bytes, in all ways, and what is known of the connection */
	"listen accept >w sent >ww sent >b sent >v sent >W sent",
	"listen accept >A >o >d >q >n",
	"connect complete >A >o",
	"listen accept win=0 >Wn !n win=30000 !n sent win !n sent",
	"listen accept win=0 >bnWn win=10 !nW win !n sent",
	/* closing, from here */
	"listen accept >wc sent",
	"listen accept >c",
	"listen accept win=0 >Wcd win=1 win sent",
	"listen accept win=0 >Wc time=31",
	"listen accept win=0 >Wc time=29 win=1 time=29 win=1 time=31",
	"listen accept >cw sent",
	"listen accept >wa sent",
	"listen accept win=0 >Wa !d",
	"listen accept >ac",
	"listen accept win=0 >Wc !a",
	"listen accept >c >w",
	/* half closes, from here and from the peer */
	"listen accept >wh sent >w sent >c",
	"listen accept win=0 >Wh !n win sent >c",
	"listen accept eof !w sent !c",
	"listen accept !h eof !c",
	"listen accept eof !h !d !c",
	"listen accept win=0 >W eof win sent",
	"listen accept win=0 >Wc eof win sent",
	"listen accept >hh >c",
	/* the peer is gone */
	"listen accept lose",
	"listen accept win=0 >W lose",
	"listen accept >c lose",
	"listen accept !p lose",
	"listen accept !p >w lose time=1 !r",
	"listen accept !p >w lose time=6",
	"listen accept !p >w lose !a",
	"listen accept !u eof lose",
	/* holding what comes */
	"listen accept >p >w !r sent",
	"listen accept !p >w >w !q !r sent",
	"listen accept !p eof",
	"listen accept !pu eof !q !U !r",
	"listen accept !pu eof !U !p !r",
	"listen accept !p >w eof !q !r sent",
	"listen accept !p >ww !c",
	"listen accept >pu eof time=100 !q !U !rp",
	/* producers */
	"listen accept win=0 !s >W win=50000 win=40000 win",
	"listen accept win=0 !s >W !x win !sWW",
	"listen accept !l sent",
	"listen accept win=0 !l win=10000 win sent",
	"listen accept win=0 >e >W >w win sent",
	"listen accept !s lose",
	"listen accept !s !a",
	"listen accept !s >c >w !x",
	"listen accept !s >c time=31",
	("listen accept win=0 !sWc time=29 win=1 time=29 win=1 time=29 win=1 "
	 "time=29 win=1 time=31"),
	"listen accept !h !s",
	"listen accept >e >wc sent",
	"listen accept >sle",
	/* scopes */
	"listen accept !S >c",
	"listen accept !S lose",
	"listen accept !Sp >w lose !r",
	"listen accept >S >a",
	/* ports */
	"listen accept accept stop-listening !c",
	"listen=1 accept accept !c accept",
	"shed=2 accept accept >w accept accept !c",
	"shed=1 accept !S accept accept",
	"shed=2 accept accept >K accept accept",
	"listen listen accept stop-listening",
	/* connectors */
	"connect refuse again complete >w sent >c",
	"connect disconnect",
	"connect time=31",
	"connect complete disconnect again refuse",
	"connect complete >W disconnect sent",
	"connect complete lose again complete eof",
	/* the end of the reactor */
	"listen accept >w run=1",
	"listen accept win=0 >W run=1",
	"listen accept win=0 >Wc run=1",
	"listen accept win=50000 >Wc run=1 sent",
	"listen accept !s run=1",
	"listen accept >S run=1",
	"listen accept !pu eof run=1",
	"connect run=1",
	"connect complete run=1 again",
	"listen accept win=0 >W free",
	"listen accept !S free",
	"connect complete free",
};

GROUP("scripts");

TEST(nobody_can_tell_that_a_protocol_is_wrapped, PURE,
     EACH_PAIR(2 * N_WRAPPED, N_OF(scripts)))
{
	const char *script = scripts[_i / (2 * N_WRAPPED)];
	bool half = _i % 2;
	char *expected;

	wrapped_as(WRAPPED_NOT, 0);
	play(script, half);
	expected = strdup(trace());
	trace_clear();
	wrapped_as((enum wrapped_kind)(_i / 2 % N_WRAPPED), 10000000);
	play(script, half);
	assert_trace(expected);
	free(expected);
}

/* ---- the same by chance -------------------------------------------------- */

static uint32_t state;

static void forget_errno(struct plait_protocol *p)
{
	errno = 0;
}

/* A factory that is refused a protocol is told so by errno, whatever the end of
   the protocol inside has made of it. */
TEST(without_memory_for_a_wrapper_errno_says_so, PURE)
{
	static const struct plait_protocol_ops forgetful_ops = {
		.name = "forgetful",
		.done = forget_errno,
	};
	static const struct plait_protocol_ops wrapper_ops = { PLAIT_WRAPPER };
	static const struct plait_factory_ops wrapping_ops = {
		PLAIT_WRAPPING_FACTORY
	};
	struct plait_factory inner = { .protocol = &forgetful_ops };
	struct plait_wrapping_factory f = {
		.base = { .ops = &wrapping_ops, .protocol = &wrapper_ops },
		.inner = &inner,
	};
	struct plait_address nobody = { .family = 0 };

	fault_alloc_at(1, false);
	ck_assert_ptr_null(plait_factory_build_protocol(&f.base, &nobody));
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert(fault_alloc_reached());
}

static unsigned chance(unsigned n)
{
	state = state * 1664525 + 1013904223;
	return (state >> 8) % n;
}

/*
 * Commands to be sent or done, or what somebody else does.  No producers, and
 * nothing is written once it closes: whether that is in time may differ.
 */
static void add_random_word(char *script)
{
	static const char commands[] = "wwWbvahprrpuUndqo";
	static const char *const words[] = {
		"eof", "lose",	  "win=0",  "win=1",   "win=30000", "win",
		"win", "time=.1", "time=6", "time=31", "sent",
	};
	char *end = script + strlen(script);

	if (chance(3) == 0) {
		sprintf(end, " %s", words[chance(N_OF(words))]);
		return;
	}
	end += sprintf(end, " %c", chance(2) ? '>' : '!');
	for (unsigned n = 1 + chance(3); n > 0; n--)
		end += sprintf(end, "%c",
			       commands[chance(sizeof(commands) - 1)]);
}

static void make_script(char *script)
{
	static const char *const ends[] = { "", " !c sent win sent", " run=1",
					    " free" };

	strcpy(script, chance(4) ? "listen accept" : "connect complete");
	strcat(script, chance(2) ? " !S" : "");
	for (unsigned n = 2 + chance(14); n > 0; n--)
		add_random_word(script);
	strcat(script, ends[chance(N_OF(ends))]);
}

TEST(nobody_can_tell_by_chance, PURE, FROM_TO(1, N_WRAPPED))
{
	char script[256], *expected;

	for (uint32_t seed = 0; seed < 40; seed++) {
		state = seed * 7919;
		make_script(script);
		wrapped_as(WRAPPED_NOT, 0);
		trace_clear();
		play(script, seed % 2);
		expected = strdup(trace());
		wrapped_as((enum wrapped_kind)_i, 10000000);
		trace_clear();
		play(script, seed % 2);
		if (strcmp(trace(), expected) != 0)
			ck_abort_msg("%s:\n%s\n%s", script, expected, trace());
		free(expected);
	}
}

/* ---- what tests of others play with -------------------------------------- */

static struct actor server, client;

TEST(fakes_take_both_transports_and_know_the_inner_protocol, PURE,
     TIMES(N_WRAPPED))
{
	struct plait_transport *t;

	wrapped_as((enum wrapped_kind)_i, 100000);
	actor_init(&server);
	server.on_data = actor_echo;
	reactor = plait_testing_reactor_new();
	t = plait_testing_connect(reactor, wrapped(&server.base));
	ck_assert_ptr_eq(plait_testing_protocol(t)->transport,
			 server.transport);
	plait_testing_deliver(t, "he", 2);
	plait_testing_deliver(server.transport, "llo", 3);
	ck_assert_str_eq(server.text, "hello");
	ck_assert_ptr_eq(plait_testing_written(server.transport),
			 plait_testing_written(t));
	plait_testing_deliver_eof(server.transport);
	plait_testing_advance(reactor, 0);
	ck_assert_ptr_null(plait_testing_protocol(t));
	plait_reactor_free(&reactor);
}

/* ---- on sockets --------------------------------------------------------- */

static struct plait_port *port;

static void check_address(const struct plait_address *a, const char *host)
{
	char text[PLAIT_ADDRESS_SIZE];

	plait_address_host(a, text, sizeof(text));
	ck_assert_str_eq(text, host);
}

static void check_connection(struct actor *a, struct plait_protocol *p)
{
	struct plait_transport *t = p->transport;
	struct plait_address address;

	ck_assert_ptr_eq(p->factory, &a->base);
	ck_assert_int_eq(plait_transport_host(t, &address), 0);
	check_address(&address, "127.0.0.1");
	ck_assert_int_eq(plait_transport_peer(t, &address), 0);
	check_address(&address, "127.0.0.1");
	ck_assert(plait_address_equal(&address, &a->peer));
	ck_assert_int_eq(plait_transport_set_tcp_no_delay(t, true), 0);
	ck_assert_int_eq(plait_transport_set_tcp_keep_alive(t, true), 0);
	ck_assert(!plait_transport_peer_has_closed(t));
}

GROUP("sockets", .timeout = 60 * test_mult());

TEST(addresses_and_options_are_those_of_the_connection, ON_EACH_BACKEND,
     TIMES(N_WRAPPED))
{
	unsigned number;

	wrapped_as((enum wrapped_kind)_i, 100000);
	actor_init(&server);
	actor_init(&client);
	server.on_made = client.on_made = check_connection;
	number = actor_listen(&server, reactor, &port);
	actor_connect(&client, reactor, number);
	run_until_count(reactor, &server.made, 1);
	run_until_count(reactor, &client.made, 1);
	plait_transport_lose_connection(client.transport);
	actor_wait_idle(&client, reactor);
	actor_stop(reactor, &port);
	ck_assert_str_eq(client.trace, "ScBMLCX");
	ck_assert_str_eq(server.trace, "SBMLX");
}

static const char many[50000];

static void say_much(struct actor *a, struct plait_protocol *p)
{
	plait_transport_write(p->transport, many, sizeof(many));
	plait_transport_lose_write_connection(p->transport);
}

static struct plait_protocol *inner[2];

static void keep(struct actor *a, struct plait_protocol *p)
{
	inner[a == &client] = p;
}

/* What the child has of the two protocols is all that it has to free. */
static int be_child(unsigned long mark)
{
	plait_reactor_free(&reactor);
	for (int i = 0; i < 2; i++) {
		if (inner[i]->transport != NULL || inner[i]->connected)
			return 1;
		plait_protocol_free(&inner[i]);
	}
	wrapped_as(WRAPPED_NOT, 0);
	return heap_left_since(mark, stderr) == 0 ? 0 : 2;
}

TEST(in_a_forked_child_the_inner_protocols_are_the_programs, ON_EACH_BACKEND,
     TIMES(N_WRAPPED))
{
	unsigned long mark = heap_mark();
	pid_t pid;

	plait_reactor_free(&reactor);
	reactor = test_reactor_new();
	wrapped_as((enum wrapped_kind)_i, 100);
	actor_init(&server);
	actor_init(&client);
	server.on_made = client.on_made = keep;
	actor_connect(&client, reactor, actor_listen(&server, reactor, &port));
	run_until_count(reactor, &server.made, 1);
	run_until_count(reactor, &client.made, 1);
	/* Some of it waits for a bucket. */
	plait_transport_write(client.transport, "hello", 5);
	plait_transport_write(server.transport, many, sizeof(many));
	run_turns(reactor, 3);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		child_leave(be_child(mark));
	child_ends(pid);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(server.lost + client.lost, 2);
}

static void refuse(unsigned n)
{
	fault_alloc_at(chance(n), false);
}

static void ignore(const struct plait_failure *why, void *arg)
{
}

/* $PLAIT_SEEDS says how many programs to run; a failure names its seed. */
static unsigned seeds(unsigned usual)
{
	const char *n = getenv("PLAIT_SEEDS");

	return n != NULL ? (unsigned)atoi(n) : usual;
}

static uint32_t running;

static void tell_seed(int sig)
{
	dprintf(STDERR_FILENO, "program %u\n", running);
	signal(SIGABRT, SIG_DFL);
	abort();
}

/* Each byte once and in order, one end each, and more: see dialogue.h. */
TEST(wrapped_peers_get_what_was_sent_and_one_end_each, ON_EACH_BACKEND,
     FROM_TO(1, N_WRAPPED))
{
	plait_set_unhandled_hook(ignore, NULL);
	signal(SIGABRT, tell_seed);
	clock_virtual(true);
	for (uint32_t seed = 0; seed < seeds(40); seed++) {
		wrapped_as((enum wrapped_kind)_i, 20000);
		state = running = (uint32_t)_i * 1000000 + seed;
		dialogue_run(backend, chance, 150);
	}
	wrapped_as(WRAPPED_NOT, 0);
}

/* In any order, without memory, and with nothing left: see machine.h. */
TEST(programs_of_wrapped_connections_leave_nothing, ON_EACH_REACTOR,
     EACH_PAIR(2, N_WRAPPED))
{
	struct machine_world machine = {
		.backend = backend,
		.make = model_is_on() ? model_reactor : NULL,
		.choose = chance,
		.fakes_inside = backend == NULL && _i % 2,
		.refuse = _i % 2 ? refuse : NULL,
	};
	unsigned long mark;

	plait_reactor_free(&reactor);
	plait_set_unhandled_hook(ignore, NULL);
	signal(SIGABRT, tell_seed);
	clock_virtual(backend != NULL);
	for (uint32_t seed = 0; seed < seeds(30); seed++) {
		mark = heap_mark();
		wrapped_as((enum wrapped_kind)(_i / 2), 20000);
		state = running = (uint32_t)_i * 1000000 + seed;
		machine_run(&machine, 400);
		fault_alloc_off();
		ck_assert_msg(heap_left_since(mark, stderr) == 0,
			      "memory left by program %u", running);
	}
}

/* There and back, with half a close from each end. */
static void lose_when_read(struct actor *a, struct plait_protocol *p)
{
	plait_transport_lose_connection(p->transport);
}

static void exchange(struct plait_reactor *r)
{
	struct plait_connector *c;

	actor_init(&server);
	actor_init(&client);
	server.half_closeable = client.half_closeable = true;
	server.on_data = actor_echo;
	server.on_read_lost = client.on_read_lost = lose_when_read;
	client.on_made = say_much;
	c = plait_connector_ref(
		actor_connect(&client, r, actor_listen(&server, r, &port)));
	actor_wait_idle(&client, r);
	ck_assert(torture_faulty() || client.received == 50000);
	plait_connector_disconnect(c);
	if (client.transport != NULL)
		plait_transport_abort_connection(client.transport);
	if (server.transport != NULL)
		plait_transport_abort_connection(server.transport);
	actor_stop(r, &port);
	actor_wait_idle(&client, r);
	actor_wait_idle(&server, r);
	plait_connector_unref(&c);
	run_turns(r, 4);
}

GROUP("torture", .timeout = 120 * test_mult());

TEST(wrapped_ones_survive_any_refused_allocation, ON_EACH_BACKEND)
{
	wrapped_as(WRAPPED_ALL, 20000);
	torture(exchange, backend);
}

TEST(wrapped_ones_survive_any_failed_system_call, ON_EACH_BACKEND)
{
	wrapped_as(WRAPPED_ALL, 20000);
	torture_syscalls(exchange, backend);
}

/*
 * Programs of one host, which talk by UNIX sockets: a server for connections
 * and one for datagrams, and clients who come again and again.  The host
 * crashes and its programs are killed, so that paths are stale; and the server
 * takes its own place over and over, as if a new version of it began.
 *
 * Whatever a client hears is the beginning of what it has said.  There is
 * always a socket at the path, from the first on; and when all is healed, each
 * client gets everything, and at the end no file is left.
 */
#include <errno.h>
#include <string.h>

#include <plait/idle_timeout.h>

#include "reactor/simulation/world.h"
#include "tests/scenario.h"

enum { MOST = 20000, ALL = 2000, ENOUGH = 3 };

static const char stream_path[] = "/run/echo", datagram_path[] = "/run/count";
static bool calm;

/* ---- the server ---------------------------------------------------------- */

struct echo_program {
	struct node node;
	struct plait_factory factory;
	struct witness_factory seen;
	struct plait_port *port; /* borrowed: the newest */
	struct plait_timer takes_over;
	struct plait_datagram_protocol datagrams;
	struct plait_timer comes_back;
};

static struct echo_program echo;

static void echo_hears(struct plait_protocol *p, const void *data, size_t len)
{
	plait_transport_write(p->transport, data, len);
}

static const struct plait_protocol_ops echo_ops = {
	.name = "echo",
	.data_received = echo_hears,
};

static void echo_is_there(void)
{
	const struct host_file *f =
		plait_i_disk_find(echo.node.host, stream_path);

	MUST(f != NULL && f->is_socket, "no socket is at the path");
}

/* What the kernel refuses changes nothing. */
static void echo_takes_over(void *arg)
{
	static const struct plait_listen_unix_options o = {
		.take_over = true,
	};
	struct plait_port *old = echo.port;
	struct plait_deferred *d;

	echo_is_there();
	if (plait_listen_unix(echo.node.reactor, stream_path, &echo.seen.base,
			      &o, &echo.port) == 0) {
		d = plait_port_drain(&old);
		plait_deferred_detach(&d);
	}
	echo_is_there();
	plait_timer_start(echo.node.reactor, &echo.takes_over,
			  dice_seconds(0.1, 10), echo_takes_over, NULL);
}

static void count_open(void *arg);

static void count_later(void)
{
	plait_timer_start(echo.node.reactor, &echo.comes_back,
			  dice_seconds(0, 5), count_open, NULL);
}

/* Now and then it ends, and another one comes. */
static void count_open(void *arg)
{
	static const struct plait_unix_datagram_options o = {
		.replace_stale = true,
	};

	if (echo.datagrams.port != NULL && !calm)
		plait_port_free(&echo.datagrams.port);
	else if (echo.datagrams.port == NULL)
		(void)plait_listen_unix_datagrams(echo.node.reactor,
						  datagram_path,
						  &echo.datagrams, &o, NULL);
	count_later();
}

static void count_hears(struct plait_datagram_protocol *p, const void *data,
			size_t len, const struct plait_datagram_info *info)
{
	(void)plait_datagram_reply(p, data, len, info);
}

static const struct plait_datagram_ops count_ops = {
	.name = "count",
	.received = count_hears,
};

/* If it was killed, its sockets are still there. */
static void echo_begin(struct node *n)
{
	static const struct plait_listen_unix_options o = {
		.replace_stale = true,
	};

	echo.factory = (struct plait_factory){ .protocol = &echo_ops };
	witness_factory_init(&echo.seen, &witness, &echo.factory, false);
	MUST(plait_listen_unix(n->reactor, stream_path, &echo.seen.base, &o,
			       &echo.port) == 0,
	     "the server cannot listen");
	echo.datagrams = (struct plait_datagram_protocol){ .ops = &count_ops };
	count_open(NULL);
	plait_timer_start(n->reactor, &echo.takes_over, dice_seconds(0, 10),
			  echo_takes_over, NULL);
}

/* ---- a client ------------------------------------------------------------ */

struct call_program {
	struct node node;
	struct plait_reconnecting_factory client;
	struct witness_factory seen;
	unsigned successes; /* calls that got everything back, when calm */
	struct plait_datagram_protocol datagrams;
	struct plait_timer asks;
	unsigned asked, answers;
};

static struct call_program caller;

struct local_call {
	struct plait_protocol base;
	struct plait_timer timer;
	struct plait_idle_timeout patience;
	size_t said, heard, most;
};

static struct local_call *local_call_of(struct plait_protocol *p)
{
	return plait_self(p, struct local_call);
}

static unsigned char local_byte(size_t at)
{
	return (unsigned char)(at * 2654435761u >> 11);
}

static void local_call_say(void *arg)
{
	struct local_call *c = arg;
	unsigned char bytes[4096];
	size_t n = c->most - c->said;

	if (n > sizeof(bytes))
		n = sizeof(bytes);
	if (n > 0 && !calm)
		n = 1 + dice((unsigned)n);
	for (size_t i = 0; i < n; i++)
		bytes[i] = local_byte(c->said + i);
	plait_transport_write(c->base.transport, bytes, n);
	c->said += n;
	if (c->said < c->most)
		plait_timer_start(plait_transport_reactor(c->base.transport),
				  &c->timer, dice_seconds(0, 0.5),
				  local_call_say, c);
	else if (!calm && dice_say(0.3))
		plait_transport_abort_connection(c->base.transport);
}

static void local_call_made(struct plait_protocol *p)
{
	struct local_call *c = local_call_of(p);

	c->most = calm ? ALL : 1 + dice(MOST);
	plait_idle_timeout_start(&c->patience, p, 60);
	plait_reconnecting_factory_reset_delay(&caller.client);
	local_call_say(c);
}

static void local_call_hears(struct plait_protocol *p, const void *data,
			     size_t len)
{
	struct local_call *c = local_call_of(p);
	const unsigned char *bytes = data;

	for (size_t i = 0; i < len; i++, c->heard++)
		MUST(bytes[i] == local_byte(c->heard),
		     "an echo is not what was said");
	MUST(c->heard <= c->said, "an echo says more than was said");
	plait_idle_timeout_reset(&c->patience);
	if (c->heard < c->most)
		return;
	caller.successes += calm;
	plait_transport_lose_connection(p->transport);
}

static void local_call_lost(struct plait_protocol *p,
			    const struct plait_failure *why)
{
	plait_timer_stop(&local_call_of(p)->timer);
	plait_idle_timeout_stop(&local_call_of(p)->patience);
}

static const struct plait_protocol_ops local_call_ops = {
	.name = "call",
	.size = sizeof(struct local_call),
	.connection_made = local_call_made,
	.data_received = local_call_hears,
	.connection_lost = local_call_lost,
};

static const struct plait_factory_ops local_calls_ops = {
	.name = "calls",
	PLAIT_RECONNECTING_FACTORY,
};

/* It is connected to the path, whoever has it. */
static void caller_asks(void *arg)
{
	static const struct plait_unix_datagram_options named = { .name = "@" };
	unsigned n = 1 + dice(20);

	if (caller.datagrams.port == NULL)
		(void)plait_connect_unix_datagrams(
			caller.node.reactor, datagram_path, &caller.datagrams,
			&named, NULL);
	for (unsigned i = 0; i < n && caller.datagrams.port != NULL; i++) {
		caller.asked++;
		if (plait_datagram_send(&caller.datagrams, &caller.asked,
					sizeof(caller.asked), NULL) == -EAGAIN)
			break;
	}
	plait_timer_start(caller.node.reactor, &caller.asks,
			  dice_seconds(0.1, 2), caller_asks, NULL);
}

static void caller_is_answered(struct plait_datagram_protocol *p,
			       const void *data, size_t len,
			       const struct plait_datagram_info *info)
{
	unsigned number;

	MUST(len == sizeof(number), "an answer has another length");
	memcpy(&number, data, sizeof(number));
	MUST(number <= caller.asked, "an answer that nobody has asked for");
	caller.answers += calm;
}

static const struct plait_datagram_ops caller_ops = {
	.name = "asks",
	.received = caller_is_answered,
};

static void caller_begins(struct node *n)
{
	caller.client = (struct plait_reconnecting_factory){
		.base = { .ops = &local_calls_ops,
			  .protocol = &local_call_ops },
		.backoff.max_delay = 20,
	};
	witness_factory_init(&caller.seen, &witness, &caller.client.base,
			     false);
	plait_connect_unix(n->reactor, stream_path, &caller.seen.base, NULL);
	caller.datagrams =
		(struct plait_datagram_protocol){ .ops = &caller_ops };
	caller_asks(NULL);
}

static void caller_ends(struct node *n)
{
	plait_reconnecting_factory_stop_trying(&caller.client);
}

/* ---- both ---------------------------------------------------------------- */

static bool all_is_well(void *nothing)
{
	return caller.successes >= ENOUGH && caller.answers >= ENOUGH;
}

static void no_file_is_left(void)
{
	static const char *const paths[] = { "/run/echo", "/run/echo.new",
					     "/run/count" };

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		MUST(plait_i_disk_find(echo.node.host, paths[i]) == NULL,
		     "%s is left", paths[i]);
}

SCENARIO(programs_of_a_host_talk_by_paths)
{
	calm = false;
	echo = (struct echo_program){ .node = { .name = "here",
						.begin = echo_begin } };
	caller = (struct call_program){ .node = { .name = "here",
						  .begin = caller_begins,
						  .end = caller_ends } };
	node_start(&echo.node);
	node_start(&caller.node);
	weather_begin(WEATHER_KERNELS | WEATHER_CRASHES | WEATHER_KILLS, 60);
	go_on(60);
	weather_clear();
	calm = true;
	MUST(go_on_until(all_is_well, NULL, 1000),
	     "all is healed, and a client of a path gets no answer");
	plait_reconnecting_factory_stop_trying(&caller.client);
	node_stop(&caller.node);
	nodes_end();
	if (!has_failed())
		no_file_is_left();
}

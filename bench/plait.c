/*
 * The servers with plait, as the samples write them.
 */
#include <plait/plait.h>

#include "bench.h"

static struct plait_reactor *begin(void)
{
	struct plait_reactor *r = plait_reactor_new(NULL);

	must(r != NULL, "reactor");
	return r;
}

static void serve(struct plait_reactor *r, struct plait_factory *f)
{
	const struct plait_listen_options options = { .iface = "127.0.0.1",
						      .no_delay = true };
	struct plait_address address;
	struct plait_port *port;

	must(plait_listen_tcp(r, 0, f, &options, &port) == 0, "listen");
	plait_port_host(port, &address);
	tell_port(plait_address_port(&address));
	plait_reactor_run(r);
	plait_reactor_free(&r);
}

static void serve_protocol(const void *what, unsigned number)
{
	struct plait_factory factory = { .protocol = what };

	serve(begin(), &factory);
}

static void echo_received(struct plait_protocol *p, const void *data,
			  size_t len)
{
	plait_transport_write(p->transport, data, len);
}

/* Whoever does not read is not read from. */
static void echo_made(struct plait_protocol *p)
{
	plait_transport_register_producer(
		p->transport, plait_transport_producer(p->transport), true);
}

static const struct plait_protocol_ops echo_ops = {
	.name = "echo",
	.connection_made = echo_made,
	.data_received = echo_received,
};

static void lines_made(struct plait_protocol *p)
{
	plait_self(p, struct plait_line_only_receiver)->delimiter = "\n";
}

static void answer_line(struct plait_line_only_receiver *p, const char *line,
			size_t len)
{
	plait_line_only_receiver_send_line(p, line, len);
}

static const struct plait_line_only_receiver_ops line_ops = {
	.base = { .name = "lines",
		  .connection_made = lines_made,
		  PLAIT_LINE_ONLY_RECEIVER },
	.line_received = answer_line,
};

/*
 * A poem for everybody who connects.
 */
struct poet {
	struct plait_factory factory;
	struct plait_buf *poem;
};

static void listener_made(struct plait_protocol *p)
{
	plait_transport_write_buf(p->transport,
				  plait_self(p->factory, struct poet)->poem);
	plait_transport_lose_connection(p->transport);
}

static const struct plait_protocol_ops poem_ops = {
	.name = "poem",
	.connection_made = listener_made,
};

static void serve_poem(const void *what, unsigned number)
{
	struct poet poet = { .factory.protocol = &poem_ops };

	poet.poem = plait_buf_copy(poem(), POEM_SIZE);
	must(poet.poem != NULL, "poem");
	serve(begin(), &poet.factory);
	plait_buf_unref(&poet.poem);
}

/*
 * The proxy, without its cache.
 */
struct service {
	struct plait_factory factory;
	struct plait_reactor *reactor;
	unsigned server;
};

static void client_made(struct plait_protocol *p)
{
	struct service *self = plait_self(p->factory, struct service);
	struct plait_deferred *d =
		plait_client_read_all(self->reactor, "127.0.0.1", self->server,
				      PLAIT_NONE, (size_t)2 * POEM_SIZE, NULL);

	plait_deferred_add_callback(d, plait_then_write, p->transport);
	plait_deferred_add_both(d, plait_then_lose_connection, p->transport);
	plait_scope_own(plait_transport_scope(p->transport), &d);
}

static const struct plait_protocol_ops client_ops = {
	.name = "proxy",
	.connection_made = client_made,
};

static void proxy(const void *what, unsigned number)
{
	struct service self = { .factory.protocol = &client_ops,
				.reactor = begin(),
				.server = number };

	serve(self.reactor, &self.factory);
}

/*
 * A chat: each line goes to all members.
 */
struct room {
	struct plait_factory factory;
	struct plait_list members;
};

struct member {
	struct plait_line_receiver base;
	struct plait_list link;
};

static void member_made(struct plait_protocol *p)
{
	struct member *self = plait_self(p, struct member);

	self->base.delimiter = "\n";
	plait_list_append(&plait_self(p->factory, struct room)->members,
			  &self->link);
}

static void member_lost(struct plait_protocol *p,
			const struct plait_failure *why)
{
	plait_list_remove(&plait_self(p, struct member)->link);
}

/* All members share one buffer. */
static void member_said(struct plait_line_receiver *p, const char *line,
			size_t len)
{
	struct room *room = plait_self(p->base.factory, struct room);
	struct plait_buf *b = plait_buf_new(MAX_LINE);
	struct plait_list *l;

	must(b != NULL && plait_buf_append(b, line, len) == 0 &&
		     plait_buf_append(b, "\n", 1) == 0,
	     "line");
	plait_list_for_each (l, &room->members) {
		struct member *to = plait_container(l, struct member, link);

		plait_transport_write_buf(to->base.base.transport, b);
	}
	plait_buf_unref(&b);
}

static const struct plait_line_receiver_ops member_ops = {
	.base = { .name = "member",
		  .size = sizeof(struct member),
		  .connection_made = member_made,
		  PLAIT_LINE_RECEIVER,
		  .connection_lost = member_lost },
	.line_received = member_said,
};

static void chat(const void *what, unsigned number)
{
	struct room room = { .factory.protocol = &member_ops.base };

	plait_list_init(&room.members);
	serve(begin(), &room.factory);
}

/*
 * A client: connects, sends a request, receives until the end, and connects
 * again.
 */
static void dialled_made(struct plait_protocol *p)
{
	plait_transport_write(p->transport, poem(), REQUEST);
}

static void dialled_lost(struct plait_factory *f, struct plait_connector *c,
			 const struct plait_failure *why)
{
	plait_connector_connect(c);
}

static const struct plait_factory_ops dial_ops = {
	.name = "dial",
	.connection_lost = dialled_lost,
};

static const struct plait_protocol_ops dialled_ops = {
	.name = "dialled",
	.connection_made = dialled_made,
};

static void dial(const void *what, unsigned number)
{
	struct plait_factory f = { .ops = &dial_ops, .protocol = &dialled_ops };
	struct plait_reactor *r = begin();

	tell_port(number);
	plait_connect_tcp(r, "127.0.0.1", number, &f, NULL);
	plait_reactor_run(r);
	plait_reactor_free(&r);
}

/*
 * Datagrams there and back.
 */
static void datagram_received(struct plait_datagram_protocol *p,
			      const void *data, size_t len,
			      const struct plait_datagram_info *info)
{
	plait_datagram_reply(p, data, len, info);
}

static const struct plait_datagram_ops udp_ops = {
	.name = "udp",
	.received = datagram_received,
};

static void serve_datagrams(const void *what, unsigned number)
{
	const struct plait_udp_options options = { .iface = "127.0.0.1",
						   .receive_buffer =
							   DATAGRAM_BUFFER };
	struct plait_datagram_protocol echo = { .ops = &udp_ops };
	struct plait_reactor *r = begin();
	struct plait_address address;
	struct plait_port *port;

	must(plait_listen_udp(r, 0, &echo, &options, &port) == 0, "bind");
	plait_port_host(port, &address);
	tell_port(plait_address_port(&address));
	plait_reactor_run(r);
	plait_reactor_free(&r);
}

const struct work works[] = {
	{ "echo", serve_protocol, &echo_ops },
	{ "lines", serve_protocol, &line_ops.base },
	{ "poem", serve_poem, NULL },
	{ "proxy", proxy, NULL },
	{ "chat", chat, NULL },
	{ "dial", dial, NULL },
	{ "udp", serve_datagrams, NULL },
	{ 0 },
};

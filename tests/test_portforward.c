/*
 * Twisted's port forwarder, written as it is there: whoever connects is held
 * until a connection to the port behind is there, the two are each other's
 * producers, and the one that is lost loses the other.
 */
#include <sys/socket.h>

#include "tests/harness.h"

struct forward;

/* class Proxy(protocol.Protocol) */
struct proxy {
	struct plait_protocol base;
	struct proxy *peer;
};

/* class ProxyClientFactory(protocol.ClientFactory) */
struct client_factory {
	struct plait_factory base;
	struct proxy *server; /* NULL: it has gone before there was a client */
};

/* class ProxyFactory(protocol.Factory) */
struct forward {
	struct plait_factory base;
	unsigned port; /* behind */
	unsigned lost;
	struct plait_port *listener;
};

/* One at a time is enough for the tests. */
static struct client_factory client;
static struct forward forward;

static struct proxy *proxy_of(struct plait_protocol *p)
{
	return plait_self(p, struct proxy);
}

static void data_received(struct plait_protocol *p, const void *data,
			  size_t len)
{
	plait_transport_write(proxy_of(p)->peer->base.transport, data, len);
}

static void connection_lost(struct plait_protocol *p,
			    const struct plait_failure *why)
{
	struct proxy *self = proxy_of(p);

	forward.lost++;
	if (self->peer != NULL) {
		plait_transport_lose_connection(self->peer->base.transport);
		self->peer->peer = NULL; /* Python's would live on */
		self->peer = NULL;
	} else if (client.server == self) {
		client.server = NULL;
	}
}

/* class ProxyClient(Proxy) */
static void client_made(struct plait_protocol *p)
{
	struct proxy *self = proxy_of(p);
	struct plait_transport *t = p->transport, *other;

	if (client.server == NULL) {
		plait_transport_lose_connection(t);
		return;
	}
	self->peer = client.server;
	self->peer->peer = self;
	other = self->peer->base.transport;
	plait_transport_register_producer(t, plait_transport_producer(other),
					  true);
	plait_transport_register_producer(other, plait_transport_producer(t),
					  true);
	plait_transport_resume_reading(other);
}

static void client_failed(struct plait_factory *f, struct plait_connector *c,
			  const struct plait_failure *why)
{
	if (client.server != NULL)
		plait_transport_lose_connection(client.server->base.transport);
}

/* class ProxyServer(Proxy) */
static void server_made(struct plait_protocol *p)
{
	plait_transport_pause_reading(p->transport);
	client.server = proxy_of(p);
	plait_connect_tcp(reactor, "127.0.0.1", forward.port, &client.base,
			  NULL);
}

static const struct plait_protocol_ops client_ops = {
	.name = "proxy client",
	.size = sizeof(struct proxy),
	.connection_made = client_made,
	.data_received = data_received,
	.connection_lost = connection_lost,
};

static const struct plait_factory_ops client_factory_ops = {
	.name = "proxy client",
	.connection_failed = client_failed,
};

static const struct plait_protocol_ops server_ops = {
	.name = "proxy server",
	.size = sizeof(struct proxy),
	.connection_made = server_made,
	.data_received = data_received,
	.connection_lost = connection_lost,
};

/* The two ends of a connection that is forwarded. */
static int front, behind;

/* Gives the socket that accepts behind. */
static int start_forwarding(bool refuses)
{
	struct plait_listen_options options = { .iface = "127.0.0.1" };
	struct plait_address a;
	uint16_t port;
	int listener = refuses ? peer_hold_port(&port) : peer_listen(&port, 1);

	forward =
		(struct forward){ .base.protocol = &server_ops, .port = port };
	client = (struct client_factory){ .base.ops = &client_factory_ops,
					  .base.protocol = &client_ops };
	ck_assert_int_eq(plait_listen_tcp(reactor, 0, &forward.base, &options,
					  &forward.listener),
			 0);
	plait_port_host(forward.listener, &a);
	front = peer_connect((uint16_t)plait_address_port(&a));
	return listener;
}

static bool is_connected(void *arg)
{
	return client.server != NULL && client.server->peer != NULL;
}

static void open_both(void)
{
	int listener = start_forwarding(false);

	run_until(reactor, is_connected, NULL);
	behind = peer_accept(listener);
	close(listener);
}

static void stop_forwarding(unsigned lost)
{
	struct plait_deferred *d;

	run_until_count(reactor, &forward.lost, lost);
	d = plait_port_stop_listening(&forward.listener);
	run_turns(reactor, 3);
	ck_assert(plait_deferred_is_fired(d));
	plait_deferred_free(&d);
	ck_assert_uint_eq(forward.lost, lost);
}

/* More than the forwarder may keep, so that each has paused the other. */
static void send_both_ways(void)
{
	enum { MUCH = 3 << 20 };
	static unsigned char bytes[MUCH];
	size_t sent = 0, got = 0;
	ssize_t n;

	while (got < MUCH) {
		n = send(front, bytes, MUCH - sent, MSG_DONTWAIT);
		sent += n > 0 ? (size_t)n : 0;
		run_turns(reactor, 1);
		if (n > 0)
			continue;
		n = recv(behind, bytes, MUCH, MSG_DONTWAIT);
		got += n > 0 ? (size_t)n : 0;
	}
	ck_assert(peer_send(reactor, behind, "back", 4));
	ck_assert_int_eq(peer_read(reactor, front, NULL, 4), 4);
}

enum { FRONT_FIN, FRONT_RST, BEHIND_FIN, BEHIND_RST, WAYS };

GROUP("forward");

TEST(whichever_end_goes_the_other_is_told, ON_EACH_BACKEND, TIMES(WAYS))
{
	bool is_front = _i == FRONT_FIN || _i == FRONT_RST;
	int goes, stays;

	open_both();
	send_both_ways();
	goes = is_front ? front : behind;
	stays = is_front ? behind : front;
	ck_assert(peer_send(reactor, stays, "on its way", 10));
	ck_assert_int_eq(peer_read(reactor, goes, NULL, 10), 10);
	ck_assert(peer_send(reactor, goes, "the last", 8));
	if (_i == FRONT_FIN || _i == BEHIND_FIN)
		close(goes);
	else
		peer_reset(goes);
	ck_assert_int_eq(peer_read_to_eof(reactor, stays, NULL, 0), 8);
	close(stays);
	stop_forwarding(2);
}

/* Each has paused the other for good, and then one of them goes. */
TEST(one_that_goes_while_all_is_full_takes_the_other_along, ON_EACH_BACKEND,
     TIMES(2))
{
	static unsigned char bytes[1 << 20];
	int idle = 0;
	ssize_t n, m;

	open_both();
	while (idle < 20) {
		n = send(front, bytes, sizeof(bytes), MSG_DONTWAIT);
		m = send(behind, bytes, sizeof(bytes), MSG_DONTWAIT);
		idle = n > 0 || m > 0 ? 0 : idle + 1;
		run_turns(reactor, 1);
	}
	peer_reset(_i == 0 ? front : behind);
	peer_read_to_eof(reactor, _i == 0 ? behind : front, NULL, 0);
	close(_i == 0 ? behind : front);
	stop_forwarding(2);
}

TEST(nobody_behind_ends_the_one_in_front, ON_EACH_BACKEND)
{
	int held = start_forwarding(true);

	ck_assert_int_eq(peer_read_to_eof(reactor, front, NULL, 0), 0);
	close(front);
	close(held);
	stop_forwarding(1);
}

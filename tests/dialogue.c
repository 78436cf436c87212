/*
 * A dialogue of two peers: see dialogue.h.
 *
 * Each peer writes the bytes of a stream of his own, so the other knows what
 * must come next.  How much of it the library has taken shows in the number of
 * bytes that are pending.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <plait/plait.h>

#include "tests/dialogue.h"
#include "tests/wrapped.h"

enum {
	MOST = 100000,	  /* bytes of one write */
	TOTAL = 3000000,  /* ... and of all of one peer */
	MAX_DEPTH = 3,	  /* things done inside things */
	PATIENCE = 20000, /* turns until what has to come has come */
};

struct peer {
	struct plait_factory factory;
	struct peer *other;
	struct plait_transport *transport; /* NULL before and after */
	struct plait_producer producer;
	struct plait_transport *feeds; /* where the producer is registered */
	size_t written, received;
	unsigned salt;
	unsigned made, lost, done;
	bool paused;
	bool closing; /* it has asked for an end, or was told that none reads */
	bool half_closeable;
	const struct plait_error *kind; /* of its end */
};

static struct peer client, server;
static struct plait_reactor *reactor;
static struct plait_port *port;
static dialogue_choose *chance;
static unsigned depth;

static void do_something(void);

static void do_something_inside(void)
{
	if (depth == MAX_DEPTH)
		return;
	depth++;
	for (unsigned n = chance(3); n > 0; n--)
		do_something();
	depth--;
}

static unsigned char byte_of(const struct peer *p, size_t i)
{
	return (unsigned char)((i * 2654435761u + p->salt) >> 13);
}

/* The protocol. */

static struct peer *peer_of(const struct plait_protocol *p)
{
	return plait_self(p->factory, struct peer);
}

static void made(struct plait_protocol *protocol)
{
	struct peer *p = peer_of(protocol);

	plait_assert(p->made++ == 0);
	p->transport = protocol->transport;
	do_something_inside();
}

static void data_received(struct plait_protocol *protocol, const void *data,
			  size_t len)
{
	struct peer *p = peer_of(protocol);
	const unsigned char *bytes = data;

	plait_assert(p->made == 1 && p->lost == 0);
	plait_assert(!p->paused && len > 0);
	for (size_t i = 0; i < len; i++)
		plait_assert(bytes[i] == byte_of(p->other, p->received + i));
	p->received += len;
	plait_assert(p->received <= p->other->written);
	do_something_inside();
}

static void read_lost(struct plait_protocol *protocol)
{
	struct peer *p = peer_of(protocol);

	plait_assert(p->made == 1 && p->lost == 0);
	plait_assert(p->half_closeable);
	do_something_inside();
}

static void write_lost(struct plait_protocol *protocol)
{
	struct peer *p = peer_of(protocol);

	plait_assert(p->made == 1 && p->lost == 0);
	do_something_inside();
}

static void lost(struct plait_protocol *protocol,
		 const struct plait_failure *why)
{
	struct peer *p = peer_of(protocol);

	plait_assert(p->made == 1 && p->lost++ == 0);
	p->kind = plait_failure_kind(why);
	if (!p->closing && p->kind == &plait_error_connection_done)
		plait_assert(p->received == p->other->written);
	do_something_inside();
	p->transport = NULL;
}

static void done(struct plait_protocol *protocol)
{
	peer_of(protocol)->done++;
}

static const struct plait_protocol_ops whole_ops = {
	.name = "whole",
	.connection_made = made,
	.data_received = data_received,
	.connection_lost = lost,
	.done = done,
};

static const struct plait_protocol_ops half_ops = {
	.name = "half",
	.connection_made = made,
	.data_received = data_received,
	.connection_lost = lost,
	.read_connection_lost = read_lost,
	.write_connection_lost = write_lost,
	.done = done,
};

/* Producers. */

static struct peer *producing_peer(struct plait_producer *producer)
{
	return plait_container(producer, struct peer, producer);
}

static void pause_producer(struct plait_producer *producer)
{
	plait_assert(producing_peer(producer)->feeds != NULL);
	do_something_inside();
}

static void stop_producer(struct plait_producer *producer)
{
	struct peer *p = producing_peer(producer);

	plait_assert(p->feeds != NULL);
	p->feeds = NULL;
	do_something_inside();
}

static const struct plait_producer_ops producer_ops = {
	.name = "dialogue",
	.pause = pause_producer,
	.resume = pause_producer,
	.stop = stop_producer,
};

static void register_producer(struct peer *p, struct plait_transport *at)
{
	if (p->feeds == NULL &&
	    plait_transport_register_producer(at, &p->producer, chance(2)) == 0)
		p->feeds = at;
}

static void unregister_producer(struct peer *p)
{
	struct plait_transport *at = p->feeds;

	p->feeds = NULL;
	if (at != NULL)
		plait_transport_unregister_producer(at);
}

/* Things to do. */

static size_t some_bytes(void)
{
	switch (chance(4)) {
	case 0:
		return chance(3);
	case 1:
		return chance(MOST);
	default:
		return chance(400);
	}
}

static void write_bytes(struct peer *p, const unsigned char *bytes, size_t n)
{
	struct iovec halves[] = {
		{ (void *)(uintptr_t)bytes, n / 2 },
		{ (void *)(uintptr_t)(bytes + n / 2), n - n / 2 },
	};
	struct plait_buf *b;

	switch (chance(3)) {
	case 0:
		plait_transport_write(p->transport, bytes, n);
		break;
	case 1:
		plait_transport_write_sequence(p->transport, halves, 2);
		break;
	default:
		b = plait_buf_copy(bytes, n);
		if (b != NULL)
			plait_transport_write_buf(p->transport, b);
		plait_buf_unref(&b);
	}
}

static void write_some(struct peer *p)
{
	size_t before = plait_transport_unsent(p->transport);
	size_t n = some_bytes(), after;
	unsigned char *bytes;

	if (n > TOTAL - p->written)
		return;
	bytes = malloc(n + 1);
	plait_assert(bytes != NULL);
	for (size_t i = 0; i < n; i++)
		bytes[i] = byte_of(p, p->written + i);
	write_bytes(p, bytes, n);
	free(bytes);
	after = plait_transport_unsent(p->transport);
	plait_assert(after == before || after == before + n || after == 0);
	if (after > before)
		p->written += after - before;
}

/* What does not end the connection. */
static void use(struct peer *p)
{
	char text[128];

	switch (chance(8)) {
	case 0:
		p->paused = true;
		plait_transport_pause_reading(p->transport);
		break;
	case 1:
		p->paused = false;
		plait_transport_resume_reading(p->transport);
		break;
	case 2:
		register_producer(p, p->transport);
		break;
	case 3:
		unregister_producer(p);
		break;
	case 4:
		plait_transport_str(p->transport, text, sizeof(text));
		break;
	default:
		write_some(p);
	}
}

static void end(struct peer *p)
{
	switch (chance(4)) {
	case 0:
		p->closing = true;
		plait_transport_abort_connection(p->transport);
		break;
	case 1:
		p->closing = true;
		plait_transport_lose_connection(p->transport);
		break;
	default:
		plait_transport_lose_write_connection(p->transport);
	}
}

static void do_something(void)
{
	struct peer *p = chance(2) ? &client : &server;

	if (p->transport == NULL)
		return;
	if (chance(40) == 0)
		end(p);
	else
		use(p);
}

/* From the beginning to the end. */

static void init(struct peer *p, struct peer *other, unsigned salt)
{
	*p = (struct peer){
		.other = other,
		.producer.ops = &producer_ops,
		.salt = salt,
		.half_closeable = chance(2),
	};
	p->factory.protocol = p->half_closeable ? &half_ops : &whole_ops;
}

static void turn(double seconds)
{
	plait_assert(plait_reactor_iterate(reactor, seconds) == 0);
}

/*
 * An address that no other process listens on or connects to: who was turned
 * away elsewhere might come to a port of 127.0.0.1 that had another owner.
 */
static const char *own_address(void)
{
	static char text[16];
	unsigned pid = (unsigned)getpid();

	snprintf(text, sizeof(text), "127.%u.%u.%u", 64 + (pid >> 16) % 64,
		 (pid >> 8) % 256, pid % 256);
	return text;
}

static void connect_both(const char *address)
{
	const struct plait_listen_options o = { .iface = address };
	struct plait_address a;

	plait_assert(plait_listen_tcp(reactor, 0, wrapped(&server.factory), &o,
				      &port) == 0);
	plait_port_host(port, &a);
	plait_assert(plait_connect_tcp(reactor, o.iface, plait_address_port(&a),
				       wrapped(&client.factory), NULL) != NULL);
	for (int i = 0; client.made == 0 || server.made == 0; i++) {
		plait_assert(i < PATIENCE);
		turn(0.001);
	}
}

static void end_peer(struct peer *p, bool now)
{
	if (p->transport == NULL)
		return;
	p->closing = true;
	unregister_producer(p);
	plait_transport_resume_reading(p->transport);
	p->paused = false;
	if (now)
		plait_transport_abort_connection(p->transport);
	else
		plait_transport_lose_connection(p->transport);
}

/* In peace if there is room for it; two who only write would end by time. */
static void end_both(void)
{
	depth = MAX_DEPTH; /* no more surprises */
	end_peer(&client, false);
	end_peer(&server, false);
	for (int i = 0; i < 100; i++)
		turn(0);
	end_peer(&client, true);
	end_peer(&server, true);
	for (int i = 0; client.lost == 0 || server.lost == 0; i++) {
		plait_assert(i < PATIENCE);
		turn(0.001);
	}
}

static unsigned open_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

void dialogue_run_on(struct plait_reactor *r, const char *address,
		     dialogue_choose *choose, unsigned steps)
{
	struct plait_limits limits = { .max_unsent = 0 };

	chance = choose;
	depth = 0;
	init(&client, &server, 1);
	init(&server, &client, 77777);
	if (chance(4) == 0)
		limits.max_unsent = 200000;
	reactor = r;
	plait_assert(reactor != NULL);
	plait_reactor_set_limits(reactor, &limits);
	connect_both(address);
	while (steps-- > 0 && (client.lost == 0 || server.lost == 0)) {
		do_something();
		if (chance(3) == 0)
			turn(0);
	}
	end_both();
	plait_reactor_free(&reactor);
	plait_assert(client.done == client.made && server.done == server.made);
	plait_assert(client.feeds == NULL && server.feeds == NULL);
	plait_assert(client.factory.users == 0 && server.factory.users == 0);
}

void dialogue_run(const char *backend, dialogue_choose *choose, unsigned steps)
{
	unsigned before = open_descriptors();

	dialogue_run_on(plait_reactor_new(backend), own_address(), choose,
			steps);
	plait_assert(open_descriptors() == before);
}

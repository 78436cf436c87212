/*
 * A connection under test: see wire.h.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include <plait/testing.h>

#include "reactor/kernel/address.h"
#include "reactor/net/tcp.h"
#include "tests/model.h"
#include "tests/story.h"

struct wire_protocol {
	struct plait_protocol base;
	struct wire *wire;
};

static struct wire *wire_of(struct plait_protocol *p)
{
	return plait_self(p, struct wire_protocol)->wire;
}

void wire_note(struct wire *w, char what)
{
	size_t n = strlen(w->trace);

	/* Data in a row is one letter: how it is cut means nothing. */
	if (what == 'D' && n > 0 && w->trace[n - 1] == 'D')
		return;
	if (n + 1 < sizeof(w->trace))
		w->trace[n] = what;
}

static void react(struct wire *w, char what)
{
	if (w->plays[(unsigned char)what] != NULL)
		play(w, w->plays[(unsigned char)what]);
}

static void made(struct plait_protocol *p)
{
	struct wire *w = wire_of(p);

	if (w->transport == NULL)
		w->transport = p->transport;
	ck_assert(p->connected);
	ck_assert_ptr_eq(p->transport, w->transport);
	wire_note(w, 'M');
	if (w->on_made != NULL)
		w->on_made(w);
	react(w, 'M');
}

static void keep_text(struct wire *w, const void *data, size_t len)
{
	size_t room = sizeof(w->text) - 1;

	if (w->received >= room)
		return;
	room -= w->received;
	memcpy(w->text + w->received, data, len < room ? len : room);
}

static void data_received(struct plait_protocol *p, const void *data,
			  size_t len)
{
	struct wire *w = wire_of(p);

	ck_assert_uint_gt(len, 0);
	ck_assert_uint_eq(w->lost, 0);
	wire_note(w, 'D');
	w->calls++;
	keep_text(w, data, len);
	w->received += len;
	if (len > w->most)
		w->most = len;
	if (w->on_data != NULL)
		w->on_data(w, data, len);
	react(w, 'D');
}

static void connection_lost(struct plait_protocol *p,
			    const struct plait_failure *why)
{
	struct wire *w = wire_of(p);

	ck_assert(!p->connected);
	wire_note(w, 'L');
	w->lost++;
	w->err = plait_failure_errno(why);
	plait_failure_str(why, w->why, sizeof(w->why));
	if (w->on_lost != NULL)
		w->on_lost(w);
	react(w, 'L');
	w->transport = NULL;
}

static void read_lost(struct plait_protocol *p)
{
	struct wire *w = wire_of(p);

	wire_note(w, 'R');
	if (w->on_read_lost != NULL)
		w->on_read_lost(w);
	react(w, 'R');
}

static void write_lost(struct plait_protocol *p)
{
	struct wire *w = wire_of(p);

	wire_note(w, 'W');
	if (w->on_write_lost != NULL)
		w->on_write_lost(w);
	react(w, 'W');
}

static void done(struct plait_protocol *p)
{
	struct wire *w = wire_of(p);

	if (w == NULL)
		return;
	w->done++;
	if (w->on_done != NULL)
		w->on_done(w);
	react(w, 'E');
}

#define COMMON                                                                 \
	.name = "wire", .size = sizeof(struct wire_protocol),                  \
	.connection_made = made, .data_received = data_received,               \
	.connection_lost = connection_lost, .done = done

static const struct plait_protocol_ops plain_ops = { COMMON };
static const struct plait_protocol_ops half_closeable_ops = {
	COMMON,
	.read_connection_lost = read_lost,
	.write_connection_lost = write_lost,
};

/* Gives the library's end, and the address of the test's. */
static int open_tcp(struct wire *w, struct plait_address *peer)
{
	struct kernel k = { .calls = &plait_i_linux_calls };
	uint16_t port;
	int listener = peer_listen(&port, 1);
	int fd = peer_connect(port);

	w->peer = peer_accept(listener);
	close(listener);
	plait_i_address_of_peer(&k, fd, peer);
	return fd;
}

/* The same on the simulated kernel: the library's end is a socket of its
   program. */
static int open_simulated(struct wire *w, struct plait_address *peer)
{
	struct kernel k = model_past_seam(w->reactor);
	struct sockaddr_in sa = { .sin_family = AF_INET };
	uint16_t port;
	int listener = peer_listen(&port, 1);
	int fd = kernel_socket(&k, AF_INET, SOCK_STREAM);

	sa.sin_port = htons(port);
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_ge(fd, 0);
	if (kernel_connect(&k, fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		ck_assert_int_eq(errno, EINPROGRESS);
	w->peer = peer_accept(listener);
	peer_close(listener);
	plait_i_address_of_peer(&k, fd, peer);
	return fd;
}

static int open_pair(struct wire *w)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	w->peer = fds[1];
	return fds[0];
}

struct plait_protocol *wire_protocol_new(struct wire *w)
{
	struct plait_protocol *p = plait_protocol_new(
		w->half_closeable ? &half_closeable_ops : &plain_ops);

	if (p != NULL)
		plait_self(p, struct wire_protocol)->wire = w;
	return p;
}

static void wire_close_socket(struct wire *w, int fd)
{
	struct kernel k;

	if (!model_is_on()) {
		close(fd);
		return;
	}
	k = model_past_seam(w->reactor);
	kernel_close(&k, fd);
}

static bool connect_wire(struct wire *w, int fd,
			 const struct plait_address *peer)
{
	struct plait_protocol *p = wire_protocol_new(w);

	if (p == NULL) {
		wire_close_socket(w, fd);
		return false;
	}
	w->transport = plait_i_stream_new(&plait_i_tcp_stream_io, w->reactor,
					  fd, peer, NULL);
	if (w->transport == NULL) {
		plait_protocol_free(&p);
		return false;
	}
	w->protocol = p;
	plait_transport_made(w->transport, p);
	return true;
}

int wire_sockets(struct wire *w, struct plait_reactor *r,
		 struct plait_address *peer)
{
	w->reactor = r;
	if (model_is_on())
		return w->fd = open_simulated(w, peer);
	w->fd = w->unix_pair ? open_pair(w) : open_tcp(w, peer);
	ck_assert_int_eq(fcntl(w->fd, F_SETFL, O_NONBLOCK), 0);
	return w->fd;
}

bool wire_open(struct wire *w, struct plait_reactor *r)
{
	struct plait_address peer = { .family = AF_UNSPEC };
	int fd = wire_sockets(w, r, &peer);

	if (connect_wire(w, fd, &peer))
		return true;
	wire_hang_up(w);
	return false;
}

static struct plait_protocol *build(struct plait_factory *f,
				    const struct plait_address *peer)
{
	struct wire *w = plait_container(f, struct wire, factory);

	w->protocol = wire_protocol_new(w);
	ck_assert_ptr_nonnull(w->protocol);
	return w->protocol;
}

static const struct plait_factory_ops factory_ops = { .build_protocol = build };

struct plait_transport *wire_record(struct wire *w, struct plait_reactor *r)
{
	w->reactor = r;
	w->peer = -1;
	w->factory.ops = &factory_ops;
	return plait_testing_connect(r, &w->factory);
}

void wire_hang_up(struct wire *w)
{
	if (w->peer >= 0)
		peer_close(w->peer);
	w->peer = -1;
}

void wire_reset(struct wire *w)
{
	peer_reset(w->peer);
	w->peer = -1;
}

void wire_wait_lost(struct wire *w)
{
	run_until_count(w->reactor, &w->lost, 1);
	run_turns(w->reactor, 2);
}

void wire_close(struct wire *w)
{
	wire_hang_up(w);
	wire_wait_lost(w);
	ck_assert_uint_eq(w->lost, 1);
	ck_assert_uint_eq(w->done, 1);
}

static struct wire *wire_of_producer(struct plait_producer *p)
{
	return plait_container(p, struct wire, producer);
}

static void tell(struct wire *w, char what)
{
	size_t n = strlen(w->told);

	if (n + 1 < sizeof(w->told))
		w->told[n] = what;
}

static void pause_producer(struct plait_producer *p)
{
	tell(wire_of_producer(p), 'P');
}

static void resume_producer(struct plait_producer *p)
{
	struct wire *w = wire_of_producer(p);

	tell(w, 'R');
	if (w->on_resume != NULL)
		w->on_resume(w);
}

static void stop_producer(struct plait_producer *p)
{
	struct wire *w = wire_of_producer(p);

	tell(w, 'S');
	wire_note(w, 'S');
	w->stops++;
	if (w->on_stop != NULL)
		w->on_stop(w);
}

static const struct plait_producer_ops producer_ops = {
	.name = "producer of a wire",
	.pause = pause_producer,
	.resume = resume_producer,
	.stop = stop_producer,
};

void wire_produce(struct wire *w, bool streaming)
{
	w->producer.ops = &producer_ops;
	ck_assert_int_eq(plait_transport_register_producer(
				 w->transport, &w->producer, streaming),
			 0);
}

static plait_value note_end(plait_value *result, void *arg)
{
	*(bool *)arg = plait_value_is_failure(result);
	return PLAIT_NONE;
}

void wire_work(struct wire *w)
{
	struct plait_deferred *d =
		plait_defer_later(w->reactor, 3600, NULL, NULL);

	plait_deferred_add_both(d, note_end, &w->ended);
	plait_scope_own(plait_transport_scope(w->transport), &d);
}

void wire_check_bytes(struct wire *w, const void *data, size_t len)
{
	const unsigned char *p = data;
	size_t start = w->received - len;

	for (size_t i = 0; i < len; i++)
		ck_assert_uint_eq(p[i], wire_byte(start + i));
}

unsigned char *wire_bytes_from(size_t at, size_t n)
{
	unsigned char *bytes = malloc(n);

	ck_assert_ptr_nonnull(bytes);
	for (size_t i = 0; i < n; i++)
		bytes[i] = wire_byte(at + i);
	return bytes;
}

unsigned char *wire_bytes(size_t n)
{
	return wire_bytes_from(0, n);
}

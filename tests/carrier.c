/*
 * Kinds of transports under test: see carrier.h.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <plait/testing.h>

#include "reactor/kernel/address.h"
#include "reactor/net/given.h"
#include "reactor/net/tcp.h"
#include "tests/carrier.h"
#include "tests/pipes.h"

static bool carried_make(struct carried *c, struct plait_transport *t)
{
	c->w.transport = t;
	if (t != NULL) {
		plait_transport_made(t, c->w.protocol);
		return true;
	}
	c->carrier->hang_up(c);
	return false;
}

/* ---- with descriptors ------------------------------------------------- */

static void set_nonblocking(int fd)
{
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static void descriptors_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static size_t descriptors_say(struct carried *c, const void *data, size_t len)
{
	ssize_t n = write(c->out, data, len);

	return n > 0 ? (size_t)n : 0;
}

static size_t descriptors_take(struct carried *c, void *buf, size_t size)
{
	ssize_t n = read(c->in, buf, size);

	c->sees_end |= n == 0 || (n < 0 && errno != EAGAIN);
	return n > 0 ? (size_t)n : 0;
}

static void descriptors_hang_up(struct carried *c)
{
	if (c->out != c->in)
		descriptors_close(&c->out);
	descriptors_close(&c->in);
	c->out = -1;
}

static void socket_shut(struct carried *c)
{
	shutdown(c->out, SHUT_WR);
}

static int socket_pair(struct carried *c)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	set_nonblocking(fds[0]);
	set_nonblocking(fds[1]);
	c->in = c->out = fds[1];
	return fds[0];
}

static struct plait_transport *open_tcp(struct carried *c)
{
	struct kernel k = { .calls = &plait_i_linux_calls };
	struct plait_address peer;
	uint16_t port;
	int listener = peer_listen(&port, 1);
	int fd = peer_connect(port);

	c->in = c->out = peer_accept(listener);
	close(listener);
	set_nonblocking(fd);
	set_nonblocking(c->in);
	plait_i_address_of_peer(&k, fd, &peer);
	return plait_i_stream_new(&plait_i_tcp_stream_io, c->w.reactor, fd,
				  &peer, NULL);
}

static bool tcp_open(struct carried *c)
{
	return carried_make(c, open_tcp(c));
}

/* A stream on what does not take recv() and send(). */
static ssize_t plain_send(struct plait_transport *t, const struct iovec *pieces,
			  int n)
{
	ssize_t r = writev(stream_of(t)->fd, pieces, n);

	return r < 0 ? -errno : r;
}

static ssize_t plain_read(struct stream *s, void *buf, size_t size)
{
	ssize_t n = read(s->fd, buf, size);

	return n < 0 ? -errno : n;
}

static ssize_t plain_peek(struct stream *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLIN };
	int n = 0;

	if (ioctl(s->fd, FIONREAD, &n) == 0 && n > 0)
		return 1;
	return poll(&p, 1, 0) > 0 ? 0 : -EAGAIN;
}

static int plain_error(struct stream *s)
{
	return 0;
}

static int plain_shut(struct stream *s)
{
	return shutdown(s->fd, SHUT_WR) < 0 ? -errno : 0;
}

static const struct stream_io plain_io = {
	.transport = { STREAM_TRANSPORT, .name = "plain", .send = plain_send },
	.read = plain_read,
	.peek = plain_peek,
	.error = plain_error,
	.shut = plain_shut,
};

static bool plain_open(struct carried *c)
{
	struct plait_address none = { .family = AF_UNSPEC };
	int fd = socket_pair(c);

	return carried_make(c, plait_i_stream_new(&plain_io, c->w.reactor, fd,
						  &none, NULL));
}

static struct plait_transport *open_pipes(struct carried *c)
{
	int there[2], back[2];

	ck_assert_int_eq(pipe(there), 0);
	ck_assert_int_eq(pipe(back), 0);
	for (int i = 0; i < 2; i++) {
		set_nonblocking(there[i]);
		set_nonblocking(back[i]);
	}
	c->in = there[0];
	c->out = back[1];
	return pipes_new(c->w.reactor, back[0], there[1]);
}

static bool pipes_open(struct carried *c)
{
	return carried_make(c, open_pipes(c));
}

static void pipes_shut(struct carried *c)
{
	descriptors_close(&c->out);
}

/* Ours block, as those of a shell do. */
static bool ends_open(struct carried *c)
{
	struct kernel k = { .calls = &plait_i_linux_calls };
	struct given_ends ends = { .is_stdio = false };
	int there[2], back[2];

	ck_assert_int_eq(pipe(there), 0);
	ck_assert_int_eq(pipe(back), 0);
	c->in = there[0];
	c->out = back[1];
	set_nonblocking(c->in);
	set_nonblocking(c->out);
	plait_i_linux_ends.look(&k, back[0], &ends.in);
	plait_i_linux_ends.look(&k, there[1], &ends.out);
	return carried_make(c,
			    plait_i_given_new(c->w.reactor, &ends,
					      PLAIT_TERMINAL_AS_IT_WAS, NULL));
}

/* ---- wrappers --------------------------------------------------------- */

/* Changes nothing. */
struct passing {
	struct plait_protocol base;
	const struct plait_transport_ops *kind;
	struct plait_transport *above;
	struct carried *carried;
};

static const struct plait_transport_ops passing_ops = { .name = "passing" };

size_t reusing_unsent;

/* Passes all on out of one piece of memory, as if it were changed there. */
static ssize_t reusing_send(struct plait_transport *t,
			    const struct iovec *pieces, int n)
{
	struct plait_transport *below = plait_transport_below(t);
	unsigned char memory[8192];
	size_t sent = 0, at, len;

	for (int i = 0; i < n; i++) {
		for (at = 0; at < pieces[i].iov_len; at += len) {
			len = pieces[i].iov_len - at;
			if (len > sizeof(memory))
				len = sizeof(memory);
			memcpy(memory, (char *)pieces[i].iov_base + at, len);
			if (i == n - 1 && at + len == pieces[i].iov_len)
				plait_transport_send_below(t, memory, len);
			else
				plait_transport_write(below, memory, len);
			memset(memory, 'x', len);
			sent += len;
		}
	}
	reusing_unsent = plait_transport_unsent(below);
	return (ssize_t)sent;
}

static const struct plait_transport_ops reusing_ops = {
	.name = "reusing",
	.send = reusing_send,
};

static void passing_made(struct plait_protocol *p)
{
	struct passing *self = plait_self(p, struct passing);
	struct plait_reactor *r = plait_transport_reactor(p->transport);

	self->above = plait_transport_new(self->kind, r, p->transport);
	if (!carried_make(self->carried, self->above))
		plait_transport_abort_connection(p->transport);
}

static void passing_received(struct plait_protocol *p, const void *data,
			     size_t len)
{
	struct passing *self = plait_self(p, struct passing);

	if (self->above != NULL)
		plait_transport_received(self->above, data, len);
}

static void passing_read_lost(struct plait_protocol *p)
{
	struct passing *self = plait_self(p, struct passing);

	if (self->above != NULL)
		plait_transport_read_lost(self->above);
}

static void passing_write_lost(struct plait_protocol *p)
{
	struct passing *self = plait_self(p, struct passing);

	if (self->above != NULL)
		plait_transport_write_lost(self->above);
}

static const struct plait_protocol_ops passing_protocol = {
	.name = "passing",
	.size = sizeof(struct passing),
	.connection_made = passing_made,
	.data_received = passing_received,
	.read_connection_lost = passing_read_lost,
	.write_connection_lost = passing_write_lost,
};

static bool open_above(struct carried *c,
		       const struct plait_transport_ops *kind,
		       struct plait_transport *(*open)(struct carried *c))
{
	struct plait_protocol *p = plait_protocol_new(&passing_protocol);
	struct plait_transport *below = p != NULL ? open(c) : NULL;

	if (below == NULL) {
		plait_protocol_free(&p);
		return carried_make(c, NULL);
	}
	plait_self(p, struct passing)->kind = kind;
	plait_self(p, struct passing)->carried = c;
	plait_transport_made(below, p);
	/* It hangs up by itself if that has failed. */
	return c->w.transport != NULL;
}

static bool passing_open(struct carried *c)
{
	return open_above(c, &passing_ops, open_pipes);
}

static bool reusing_open(struct carried *c)
{
	return open_above(c, &reusing_ops, open_tcp);
}

/* ---- with a recording ------------------------------------------------- */

static struct plait_protocol *recording_build(struct plait_factory *f,
					      const struct plait_address *peer);

static const struct plait_factory_ops recording_factory_ops = {
	.name = "carried",
	.build_protocol = recording_build,
};

static struct plait_factory recording_factory = {
	.ops = &recording_factory_ops,
};
static struct plait_protocol *recording_next;

static struct plait_protocol *recording_build(struct plait_factory *f,
					      const struct plait_address *peer)
{
	struct plait_protocol *p = recording_next;

	recording_next = NULL;
	return p;
}

static bool recording_open(struct carried *c)
{
	recording_next = c->w.protocol;
	c->recording = plait_testing_connect(c->w.reactor, &recording_factory);
	if (c->recording == NULL)
		return false;
	plait_testing_set_window(c->recording, 0);
	return true;
}

static size_t recording_say(struct carried *c, const void *data, size_t len)
{
	plait_testing_deliver(c->recording, data, len);
	return len;
}

static size_t recording_take(struct carried *c, void *buf, size_t size)
{
	const struct transport *t = transport_of(c->recording);
	const struct plait_buf *b;
	size_t n;

	plait_testing_set_window(c->recording, size);
	b = plait_testing_written(c->recording);
	n = plait_buf_size(b);
	ck_assert_uint_le(n, size);
	memcpy(buf, plait_buf_data(b), n);
	plait_testing_clear(c->recording);
	plait_testing_set_window(c->recording, 0);
	c->sees_end |= n == 0 && (t->lost || t->shut);
	return n;
}

static void recording_shut(struct carried *c)
{
	plait_testing_deliver_eof(c->recording);
}

static void recording_hang_up(struct carried *c)
{
	plait_value why;

	if (c->recording == NULL || !plait_testing_is_connected(c->recording))
		return;
	if (plait_transport_unsent(c->recording) == 0) {
		plait_testing_deliver_eof(c->recording);
		return;
	}
	why = plait_fail(&plait_error_connection_lost, "by the far end");
	plait_testing_lose(c->recording, plait_value_failure(&why));
	plait_value_free(&why);
}

/* ---- all of them ------------------------------------------------------ */

#define DESCRIPTORS                                                            \
	.say = descriptors_say, .take = descriptors_take,                      \
	.hang_up = descriptors_hang_up

const struct carrier carriers[N_CARRIERS] = {
	{ "tcp", tcp_open, .shut = socket_shut, DESCRIPTORS },
	{ "plain", plain_open, .shut = socket_shut, DESCRIPTORS },
	{ "pipes", pipes_open, .shut = pipes_shut, DESCRIPTORS },
	{ "pipe", ends_open, .shut = pipes_shut, DESCRIPTORS },
	{ "passing", passing_open, .shut = pipes_shut, DESCRIPTORS },
	{ "reusing", reusing_open, .shut = socket_shut, DESCRIPTORS },
	{ "recording", recording_open, recording_say, recording_take,
	  recording_shut, recording_hang_up, .is_played = true },
};

bool carried_open(struct carried *c, struct plait_reactor *r)
{
	bool ok;

	c->in = c->out = -1;
	c->w.peer = -1;
	if (c->carrier->is_played)
		r = c->own = plait_testing_reactor_new();
	c->w.reactor = r;
	c->w.protocol = r != NULL ? wire_protocol_new(&c->w) : NULL;
	ok = c->w.protocol != NULL && c->carrier->open(c);
	if (!ok &&
	    (c->carrier != &carriers[N_CARRIERS - 1] || recording_next != NULL))
		plait_protocol_free(&c->w.protocol);
	recording_next = NULL;
	if (!ok)
		plait_reactor_free(&c->own);
	return ok;
}

void carried_close(struct carried *c)
{
	carried_hang_up(c);
	wire_close(&c->w);
	plait_reactor_free(&c->own);
}

void carried_say(struct carried *c, const char *text)
{
	size_t len = strlen(text), n = 0;

	while (n < len) {
		n += c->carrier->say(c, text + n, len - n);
		run_turns(c->w.reactor, 1);
	}
}

void carried_shut(struct carried *c)
{
	c->carrier->shut(c);
}

void carried_hang_up(struct carried *c)
{
	c->carrier->hang_up(c);
}

struct taking {
	struct carried *carried;
	unsigned char *buf;
	size_t n, want;
};

/* All that has come; there may be more after another turn. */
static bool take_more(void *arg)
{
	static unsigned char came[65536];
	struct taking *t = arg;
	size_t left, n;

	do {
		left = t->want - t->n;
		n = t->carried->carrier->take(
			t->carried, came,
			left < sizeof(came) ? left : sizeof(came));
		if (t->buf != NULL)
			memcpy(t->buf + t->n, came, n);
		t->n += n;
	} while (n > 0 && t->n < t->want);
	return t->carried->sees_end || t->n == t->want;
}

void carried_take(struct carried *c, void *buf, size_t n)
{
	struct taking t = { c, buf, 0, n };

	run_until(c->w.reactor, take_more, &t);
	ck_assert(torture_faulty() || t.n == n);
}

size_t carried_take_to_end(struct carried *c, void *buf, size_t size)
{
	struct taking t = { c, buf, 0, size + 1 };

	run_until(c->w.reactor, take_more, &t);
	ck_assert(torture_faulty() || c->sees_end);
	return t.n;
}

void carried_wait(struct carried *c, double seconds)
{
	if (c->own != NULL)
		plait_testing_advance(c->own, seconds);
	else
		run_for(c->w.reactor, seconds);
}

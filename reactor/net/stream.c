/*
 * The transport on a descriptor: what the descriptor is watched for, what its
 * events mean, and how it is closed.  settling.c sends and tells, for all
 * transports; closing.c ends them and lets them linger.  A table (struct
 * stream_io) reads and writes the bytes, because not every descriptor takes
 * recv().
 *
 * The descriptor is watched for input, or for a hang-up alone while nobody
 * reads; and for room, after a send that found none.  The story of an event:
 *
 *   stream_ready()	it has come; what follows is settled at its end
 *   stream_receive()	one read: input, with descriptors if the protocol takes
 *			some; its end; an error
 *   stream_look()	nobody reads: is the peer gone?
 *   stream_discard()	lingering: the protocol is gone, the peer still sends
 *
 * and of an end:
 *
 *   plait_i_stream_end()	all is sent: says whether it has to linger
 *   plait_i_stream_done()	closes the descriptor, with a reset if the peer
 *				did not get all
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "lib/chance.h"
#include "lib/failure.h"
#include "reactor/net/stream.h"

/* What input is watched with: its end is told together with the last of it. */
enum { STREAM_INPUT = PLAIT_WATCH_READ | WATCH_END };

static const struct stream_io *stream_io(const struct stream *s)
{
	return (const void *)s->base.ops;
}

/* An error, with no unread input before it: ends the transport in the next
 * turn.
 */
static void stream_fail(struct stream *s, int err, const char *call)
{
	plait_value v =
		plait_fail_errno(&plait_error_connection_lost, err, "%s", call);

	plait_i_transport_fail(transport_of(&s->base), plait_value_failure(&v));
}

/* An error that may have come while input was unread: the input is told first.
 */
static void stream_break_off(struct stream *s, int err, const char *call)
{
	plait_value v =
		plait_fail_errno(&plait_error_connection_lost, err, "%s", call);

	plait_i_transport_broken(transport_of(&s->base),
				 plait_value_failure(&v));
}

/* ---- watching -------------------------------------------------------- */

static int stream_watch(struct stream *s, unsigned wants)
{
	bool hung_up = transport_of(&s->base)->hung_up;
	unsigned events =
		wants & PLAIT_TRANSPORT_WANTS_ROOM ? PLAIT_WATCH_WRITE : 0;

	/* If a hang-up is known, it is not waited for together with room: it
	   lasts, and would be told in every turn.  Alone it is told once. */
	if (wants & PLAIT_TRANSPORT_WANTS_INPUT)
		events |= STREAM_INPUT;
	else if ((wants & PLAIT_TRANSPORT_WANTS_END) &&
		 (!hung_up || !(wants & PLAIT_TRANSPORT_WANTS_ROOM)))
		events |= WATCH_HANGUP;
	if (s->fd < 0)
		return 0;
	return plait_i_watch_stream_change(s->base.reactor, s->fd, events);
}

int plait_i_stream_want(struct plait_transport *t, unsigned wants)
{
	if (wants & PLAIT_TRANSPORT_WANTS_INPUT)
		transport_of(t)->hung_up = false;
	return stream_watch(stream_of(t), wants);
}

/* ---- receiving ------------------------------------------------------- */

static void stream_end_of_input(struct stream *s)
{
	struct transport *t = transport_of(&s->base);

	t->hung_up = true;
	plait_i_transport_read_lost(t);
}

/*
 * The peer sends no more.  If all that it had sent is read, its end is told
 * now, without another event, and so is an error, which the kernel tells once.
 * If something is left, or the reader has paused, the end comes behind that.
 * If there is a producer, or another transport above, the next event tells it:
 * what they have to be told of the last input comes first.  So it does if the
 * callback has asked something of another connection: what it has written there
 * is sent before anybody, told of the end, can abort that connection.
 */
static OUT_OF_LINE void stream_look_for_end(struct stream *s)
{
	const struct transport *t = transport_of(&s->base);
	ssize_t n;

	if (t->why != NULL || t->lost || t->reading_paused ||
	    t->extra != NULL || loop_is_forked(s->base.reactor) ||
	    plait_i_loop_has_after_callback(s->base.reactor))
		return;
	n = stream_io(s)->peek(s);
	if (n == 0)
		stream_end_of_input(s);
	else if (n < 0 && n != -EAGAIN)
		stream_fail(s, (int)-n, "recv");
}

static bool stream_has_fds(const struct stream *s)
{
	const struct plait_protocol *p = s->base.protocol;

	return stream_io(s)->read_fds != NULL && p != NULL &&
	       p->ops->fds_received != NULL;
}

/*
 * Reads bytes, and tells of the descriptors that came with them.  The protocol
 * has got them before the next read: so a peer can have no more open here than
 * one message has.
 */
static OUT_OF_LINE ssize_t stream_read_fds(struct stream *s, void *buf)
{
	int fds[KERNEL_MAX_FDS];
	size_t n_fds = 0;
	ssize_t n = stream_io(s)->read_fds(s, buf, POOL_READ_SIZE, fds, &n_fds);

	if (n > 0 && n_fds > 0)
		plait_i_transport_fds(transport_of(&s->base), fds, n_fds);
	return n;
}

/* Reads some, of what the protocol wants. */
static inline ssize_t stream_read(struct stream *s, void *buf)
{
	if (stream_has_fds(s))
		return stream_read_fds(s, buf);
	return stream_io(s)->read(s, buf, POOL_READ_SIZE);
}

/* The two errors that only descriptors have. */
static OUT_OF_LINE void stream_cannot_read(struct stream *s, int err)
{
	plait_value v;

	if (!stream_has_fds(s) || (err != EMSGSIZE && err != EMFILE)) {
		stream_fail(s, err, "recv");
		return;
	}
	v = plait_fail_errno(&plait_error_descriptors_lost, err,
			     err == EMFILE ? "of a message of the peer"
					   : "more than %d in a message",
			     KERNEL_MAX_FDS);
	plait_i_transport_fail(transport_of(&s->base), plait_value_failure(&v));
}

/* Reads once, so that a peer that sends without end keeps nobody waiting. */
static void stream_receive(struct stream *s, bool ends)
{
	struct transport *t = transport_of(&s->base);
	void *buf = plait_i_pool_read_buffer(s->base.reactor);
	ssize_t n;

	if (buf == NULL) {
		plait_i_transport_fail(t, &plait_i_failure_no_memory);
		return;
	}
	n = stream_read(s, buf);
	/* What has taken descriptors may have forked. */
	if (loop_is_forked(s->base.reactor))
		return;
	if (n > 0) {
		plait_i_transport_received(t, buf, (size_t)n);
		if (ends)
			stream_look_for_end(s);
	} else if (n == 0) {
		stream_end_of_input(s);
	} else if (n == -EAGAIN) {
		REACHED("an event comes without input");
	} else { /* the input before the error was read */
		stream_cannot_read(s, (int)-n);
	}
}

bool plait_i_stream_drain(struct plait_transport *t)
{
	struct stream *s = stream_of(t);
	void *buf = plait_i_pool_read_buffer(t->reactor);
	ssize_t n = buf != NULL ? stream_read(s, buf) : -ENOMEM;

	if (n <= 0 || loop_is_forked(t->reactor))
		return false;
	plait_i_transport_received(transport_of(t), buf, (size_t)n);
	return true;
}

bool plait_i_stream_has_input(struct plait_transport *t)
{
	struct stream *s = stream_of(t);

	return stream_io(s)->peek(s) > 0;
}

/* Discards what comes while the transport lingers, up to the limit. */
static void stream_discard(struct stream *s)
{
	struct transport *t = transport_of(&s->base);
	void *buf = plait_i_pool_read_buffer(s->base.reactor);
	ssize_t n = buf != NULL ? stream_io(s)->read(s, buf, POOL_READ_SIZE)
				: -ENOMEM;

	if (n == -EAGAIN)
		return;
	t->moved += n > 0 ? (size_t)n : 0;
	if (n > 0 && t->moved >= transport_limits(t)->linger_bytes)
		REACHED("lingering is cut by linger_bytes");
	if (n <= 0 || t->moved >= transport_limits(t)->linger_bytes)
		plait_i_transport_gone(t);
}

/*
 * The peer may have hung up, and nobody reads, so this asks the descriptor.  If
 * the input has ended, that is told when all input before the end was read; so
 * not now, if there is input.  An error is told at once, because nothing comes
 * after it.
 */
static void stream_look(struct stream *s)
{
	struct transport *t = transport_of(&s->base);
	ssize_t n = stream_io(s)->peek(s);
	int err = n < 0 ? (int)-n : stream_io(s)->error(s);

	if (err == EAGAIN)
		return;
	t->hung_up = true;
	if (n > 0)
		REACHED("a peer is gone while its input is unread");
	if (err != 0)
		stream_break_off(s, err, "recv");
	else if (n == 0)
		plait_i_transport_read_lost(t);
	if (t->why == NULL && !t->lost)
		stream_watch(s, t->wants);
}

static void stream_ready(int *fd, unsigned events)
{
	struct stream *s = plait_container(fd, struct stream, fd);
	struct transport *t = transport_of(&s->base);

	/* Somebody has closed the descriptor; its number may be another's. */
	if (events & PLAIT_WATCH_LOST)
		s->fd = -1;
	if (t->dead || t->why != NULL)
		return;
	if (t->lingering) {
		stream_discard(s);
		return;
	}
	if (s->fd < 0)
		stream_fail(s, EBADF, "watch");
	/* While an answer is queued the watch is not yet changed, and may tell
	   of input that is not wanted any more. */
	if (t->owes && !(transport_wants(t) & PLAIT_TRANSPORT_WANTS_INPUT))
		events &= ~(unsigned)PLAIT_WATCH_READ;
	if (events & PLAIT_WATCH_READ)
		stream_receive(s, events & WATCH_END);
	else if (events & WATCH_HANGUP)
		stream_look(s);
	if (events & PLAIT_WATCH_WRITE)
		transport_writable(t);
	plait_i_transport_settle_event(t);
}

/* ---- ending ---------------------------------------------------------- */

/* The last bytes may have shut it already. */
int plait_i_stream_shut(struct plait_transport *t)
{
	struct stream *s = stream_of(t);

	return transport_of(t)->finned ? 0 : stream_io(s)->shut(s);
}

/*
 * If the descriptor were closed now, with unread input, the kernel would reset
 * the connection and throw away output that is on its way.  So if anything was
 * ever sent, this shuts our half, and what comes is read until the peer has
 * closed its half.  Returns false if that is not needed, or not possible.
 */
static bool stream_begin_to_linger(struct stream *s)
{
	const struct transport *t = transport_of(&s->base);

	if (!t->sent || t->eof || t->end_waits)
		return false;
	if (!t->shut && plait_i_stream_shut(&s->base) != 0) {
		REACHED("a peer has reset before it was lingered for");
		return false;
	}
	return !t->hurried && stream_watch(s, PLAIT_TRANSPORT_WANTS_INPUT) == 0;
}

enum plait_transport_ended plait_i_stream_end(struct plait_transport *t,
					      enum plait_transport_end how)
{
	if (how == PLAIT_TRANSPORT_END_SENT &&
	    stream_begin_to_linger(stream_of(t)))
		return PLAIT_TRANSPORT_LINGERS;
	return PLAIT_TRANSPORT_ENDED;
}

/*
 * For a stream that may not linger: reads what has arrived, because closing
 * with unread input would reset the connection and lose what is on its way.  A
 * peer that only reads gets everything.
 */
static void stream_leave_hurried(struct stream *s)
{
	const struct transport *t = transport_of(&s->base);
	void *buf = plait_i_pool_read_buffer(s->base.reactor);
	size_t total = 0;
	ssize_t n;

	REACHED("a connection that may not linger reads what has come");
	if (!t->shut)
		plait_i_stream_shut(&s->base);
	if (buf == NULL)
		return;
	do {
		n = stream_io(s)->read(s, buf, POOL_READ_SIZE);
		total += n > 0 ? (size_t)n : 0;
	} while (n > 0 && total < transport_limits(t)->linger_bytes);
}

static void stream_take_leave(struct stream *s)
{
	const struct transport *t = transport_of(&s->base);

	if (t->reset && stream_io(s)->reset != NULL)
		stream_io(s)->reset(s);
	else if (t->hurried && t->sent && !t->eof)
		stream_leave_hurried(s);
}

void plait_i_stream_done(struct plait_transport *t)
{
	struct stream *s = stream_of(t);

	plait_i_address_drop(&s->peer);
	if (s->fd < 0)
		return;
	plait_i_watch_stream_forget(t->reactor, &s->fd);
	if (!loop_is_forked(t->reactor))
		stream_take_leave(s);
	plait_i_loop_close(t->reactor, s->fd);
	s->fd = -1;
}

/* ---- beginning ------------------------------------------------------- */

int plait_i_stream_peer(struct plait_transport *t, struct plait_address *ret)
{
	const struct stream *s = stream_of(t);

	if (kept_address_is_none(&s->peer))
		return -ENOTCONN;
	plait_i_address_get(&s->peer, ret);
	return 0;
}

struct plait_transport *plait_i_stream_new(const struct stream_io *io,
					   struct plait_reactor *r, int fd,
					   const struct plait_address *peer,
					   struct transport_owner *owner)
{
	return plait_i_stream_go_on(io, r, fd, 0, peer, owner);
}

struct plait_transport *plait_i_stream_go_on(const struct stream_io *io,
					     struct plait_reactor *r, int fd,
					     unsigned armed,
					     const struct plait_address *peer,
					     struct transport_owner *owner)
{
	struct plait_transport *t =
		plait_transport_new(&io->transport, r, NULL);
	struct stream *s;
	int err = errno;

	if (t == NULL)
		goto err_close;
	s = stream_of(t);
	s->fd = fd;
	err = -plait_i_address_keep(&s->peer, peer);
	if (err != 0)
		goto err_free;
	err = -plait_i_watch_stream(r, &s->fd, armed, STREAM_INPUT,
				    stream_ready);
	if (err != 0)
		goto err_free;
	transport_of(t)->wants = PLAIT_TRANSPORT_WANTS_INPUT;
	transport_of(t)->owner = owner;
	return t;

err_free:
	s->fd = -1;
	plait_transport_free(&t);
err_close:
	plait_i_loop_close(r, fd);
	errno = err;
	return NULL;
}

void plait_i_stream_break_off(struct plait_transport *t, int err)
{
	stream_break_off(stream_of(t), err, "connect");
}

/*
 * The recording transport: a connection whose peer is the test.
 *
 * What is written passes through a window to the peer, which keeps it in one
 * buffer; what does not fit through the window is unsent, as with a slow peer.
 * What the test sends waits in another buffer, as in a socket, until it is
 * wanted.  What the test does happens at once, as an event; what the protocol
 * asks for is done from the loop.  The struct lives as long as the reactor, so
 * that a test may look at it after the connection was lost.
 */
#include <errno.h>
#include <stdlib.h>

#include <plait/testing.h>

#include "lib/failure.h"
#include "reactor/net/errors.h"
#include "reactor/net/protocol.h"
#include "reactor/testing/recording.h"

struct recording {
	struct plait_transport base;
	struct transport_owner counting;
	struct plait_factory *counted; /* NULL: not by this connection */
	struct loop_task arriving;
	struct plait_address host, peer;
	struct plait_buf *written;
	struct plait_buf *input; /* has come, and was not wanted yet */
	size_t window;
	bool eof; /* behind the input */
	bool end_carried;
	bool delivering;
};

static const struct plait_transport_ops recording_ops;

/* Returns the recording transport that t is, or that t wraps; aborts with the
   name of that function if there is none. */
static struct recording *recording_of(const struct plait_transport *t,
				      const char *function)
{
	t = &transport_bottom(transport_of(t))->base;
	if (t->ops != &recording_ops)
		plait_die(function,
			  "a %s transport is not one of a testing "
			  "reactor",
			  t->ops->name);
	return plait_container((struct plait_transport *)(uintptr_t)t,
			       struct recording, base);
}

static struct recording *recording_self(const struct plait_transport *t)
{
	return plait_container((struct plait_transport *)(uintptr_t)t,
			       struct recording, base);
}

static struct transport *transport_of_recording(const struct recording *s)
{
	return transport_of(&s->base);
}

static bool recording_wants(const struct recording *s, unsigned wants)
{
	const struct transport *t = transport_of_recording(s);

	return !t->lost && !loop_is_forked(s->base.reactor) &&
	       (transport_wants(t) & wants);
}

/*
 * Delivers one piece of the input, in memory of its own: the protocol may call
 * plait_testing_deliver() itself, and a protocol that keeps a pointer to the
 * piece is found out.
 */
static bool recording_deliver_piece(struct recording *s)
{
	struct transport *t = transport_of_recording(s);
	size_t size = plait_buf_size(s->input);
	size_t n = size < POOL_READ_SIZE ? size : POOL_READ_SIZE;
	struct plait_buf *piece;

	if (n == 0)
		return false;
	piece = plait_buf_copy(plait_buf_data(s->input), n);
	if (piece == NULL) {
		plait_i_transport_abort(&s->base, &plait_i_failure_no_memory);
		return false;
	}
	plait_buf_consume(s->input, n);
	plait_i_transport_received(t, plait_buf_data(piece), n);
	plait_buf_unref(&piece);
	return true;
}

/*
 * Delivers what is wanted.  What a callback of the protocol sends is added to
 * the input, and delivered when the callback has returned.
 */
static void recording_deliver(struct recording *s)
{
	bool any = false;

	if (s->delivering || transport_of_recording(s)->inside)
		return;
	s->delivering = true;
	while (recording_wants(s, PLAIT_TRANSPORT_WANTS_INPUT) &&
	       recording_deliver_piece(s))
		any = true;
	s->delivering = false;
	/* A socket's end comes with an event of its own. */
	if (!any && s->eof && plait_buf_size(s->input) == 0)
		plait_i_transport_read_lost(transport_of_recording(s));
}

/* Something has come that is wanted. */
static bool recording_has_event(const struct recording *s)
{
	const struct transport *t = transport_of_recording(s);

	if (plait_buf_size(s->input) > 0)
		return recording_wants(s, PLAIT_TRANSPORT_WANTS_INPUT);
	return s->eof && !t->eof && !t->end_waits &&
	       recording_wants(s, PLAIT_TRANSPORT_WANTS_INPUT |
					  PLAIT_TRANSPORT_WANTS_END);
}

/* An event has come.  What it does not tell comes with another event. */
static void recording_settle(struct recording *s)
{
	plait_i_transport_settle_event(transport_of_recording(s));
	if (recording_has_event(s))
		plait_i_loop_arrive(s->base.reactor, &s->arriving);
}

static void recording_arrive(struct loop_task *task)
{
	struct recording *s = plait_container(task, struct recording, arriving);

	recording_deliver(s);
	recording_settle(s);
}

static int recording_want(struct plait_transport *t, unsigned wants)
{
	struct recording *s = recording_self(t);

	if (recording_has_event(s))
		plait_i_loop_arrive(t->reactor, &s->arriving);
	return 0;
}

/* The peer takes what its window lets through. */
static ssize_t recording_send(struct plait_transport *t,
			      const struct iovec *pieces, int n)
{
	struct recording *s = recording_self(t);
	size_t sent = 0, len;

	for (int i = 0; i < n && s->window > 0; i++) {
		len = pieces[i].iov_len;
		if (len > s->window)
			len = s->window;
		if (plait_buf_append(s->written, pieces[i].iov_base, len) < 0)
			return -ENOMEM;
		if (s->window != SIZE_MAX)
			s->window -= len;
		sent += len;
	}
	return sent > 0 ? (ssize_t)sent : -EAGAIN;
}

static bool recording_has_input(struct plait_transport *t)
{
	return plait_buf_size(recording_self(t)->input) > 0;
}

static bool recording_drain(struct plait_transport *t)
{
	return recording_deliver_piece(recording_self(t));
}

static bool recording_peer_has_closed(const struct plait_transport *t)
{
	return recording_self(t)->eof;
}

static int recording_host(struct plait_transport *t, struct plait_address *ret)
{
	*ret = recording_self(t)->host;
	return 0;
}

static int recording_peer(struct plait_transport *t, struct plait_address *ret)
{
	*ret = recording_self(t)->peer;
	return 0;
}

static void recording_done(struct plait_transport *t)
{
	struct recording *s = recording_self(t);

	plait_buf_unref(&s->written);
	plait_buf_unref(&s->input);
}

static const struct plait_transport_ops recording_ops = {
	.name = "recording",
	.size = sizeof(struct recording),
	.send = recording_send,
	.want = recording_want,
	.has_input = recording_has_input,
	.drain = recording_drain,
	.peer_has_closed = recording_peer_has_closed,
	.host = recording_host,
	.peer = recording_peer,
	.done = recording_done,
};

struct plait_transport *plait_i_recording_new(struct plait_reactor *r,
					      const struct plait_address *host,
					      const struct plait_address *peer,
					      struct transport_owner *owner)
{
	struct plait_transport *t =
		plait_transport_new(&recording_ops, r, NULL);
	struct recording *s;

	if (t == NULL)
		return NULL;
	s = recording_self(t);
	s->arriving.run = recording_arrive;
	s->host = *host;
	s->peer = *peer;
	s->written = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	s->input = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	s->window = SIZE_MAX;
	transport_of(t)->owner = owner;
	transport_of(t)->kept = true;
	transport_of(t)->wants = PLAIT_TRANSPORT_WANTS_INPUT;
	if (s->written == NULL || s->input == NULL) {
		plait_transport_free(&t);
		errno = ENOMEM;
	}
	return t;
}

static void recording_stop_counting(struct transport_owner *o,
				    const struct plait_failure *why)
{
	plait_factory_stop(
		plait_container(o, struct recording, counting)->counted);
}

void plait_i_recording_count(struct plait_transport *t, struct plait_factory *f)
{
	struct recording *s = recording_self(t);

	s->counted = f;
	s->counting.lost = recording_stop_counting;
	transport_of(t)->owner = &s->counting;
}

/* Sends what was written until now. */
static struct recording *recording_flushed(struct recording *s)
{
	plait_i_unsent_flush_all(transport_of_recording(s));
	return s;
}

/* Takes what was written; returns NULL if there is no memory for a new buffer.
 */
static struct plait_buf *recording_take_written(struct recording *s)
{
	struct plait_buf *b = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	struct plait_buf *written = s->written;

	if (b == NULL)
		return NULL;
	s->written = b;
	return written;
}

static bool recording_carry_bytes(struct recording *from,
				  struct plait_transport *to)
{
	struct plait_buf *b;

	if (plait_buf_size(from->written) == 0 || plait_testing_is_paused(to))
		return false;
	b = recording_take_written(from);
	if (b == NULL) {
		plait_i_transport_abort(&from->base,
					&plait_i_failure_no_memory);
		return false;
	}
	plait_testing_deliver(to, plait_buf_data(b), plait_buf_size(b));
	plait_buf_unref(&b);
	return true;
}

static bool recording_carry_end(struct recording *from,
				struct plait_transport *to)
{
	const struct transport *t = transport_of_recording(from);
	plait_value v;

	if (from->end_carried || plait_buf_size(from->written) > 0 ||
	    (!t->lost && !t->shut))
		return false;
	from->end_carried = true;
	if (!t->lost || t->why == NULL) {
		plait_testing_deliver_eof(to);
		return true;
	}
	v = plait_fail(&plait_error_connection_lost, "by the other end");
	plait_testing_lose(to, plait_value_failure(&v));
	plait_value_free(&v);
	return true;
}

bool plait_i_recording_carry(struct plait_transport *from,
			     struct plait_transport *to)
{
	struct recording *s =
		recording_flushed(recording_of(from, "plait_testing_pump"));

	recording_of(to, "plait_testing_pump");
	return recording_carry_bytes(s, to) || recording_carry_end(s, to);
}

struct plait_protocol *plait_testing_protocol(struct plait_transport *t)
{
	struct recording *s;

	if (t == NULL)
		return NULL;
	s = recording_of(t, __func__);
	return transport_top(transport_of_recording(s))->base.protocol;
}

/* What the test does is an event: it enters and leaves the loop. */
static struct transport *recording_enter(struct recording *s)
{
	plait_i_loop_enter(s->base.reactor);
	return transport_of_recording(s);
}

static void recording_leave(struct recording *s)
{
	recording_settle(s);
	plait_i_loop_leave(s->base.reactor);
}

void plait_testing_deliver(struct plait_transport *base, const void *data,
			   size_t len)
{
	struct recording *s;
	struct transport *t;

	if (base == NULL)
		return;
	s = recording_of(base, __func__);
	t = transport_of(base);
	if (s->eof || t->why != NULL || transport_is_closing(t))
		return;
	recording_enter(s);
	if (plait_buf_append(s->input, data, len) < 0)
		plait_i_transport_abort(base, &plait_i_failure_no_memory);
	else
		recording_deliver(s);
	recording_leave(s);
}

void plait_testing_deliver_eof(struct plait_transport *base)
{
	struct recording *s;

	if (base == NULL)
		return;
	s = recording_of(base, __func__);
	if (s->eof || transport_is_closing(transport_of(base)))
		return;
	recording_enter(s);
	s->eof = true;
	recording_deliver(s);
	recording_leave(s);
}

/* Does not lose it in a callback of the protocol, nor before unread input. */
static bool recording_must_wait(const struct recording *s)
{
	const struct transport *t = transport_of_recording(s);

	return t->inside || (t->reading_paused && !transport_is_closing(t) &&
			     (plait_buf_size(s->input) > 0 ||
			      plait_i_transport_has_unread(t)));
}

void plait_testing_lose(struct plait_transport *base,
			const struct plait_failure *why)
{
	struct recording *s;
	struct transport *t;

	if (base == NULL)
		return;
	s = recording_of(base, __func__);
	t = recording_enter(s);
	why = failure_given(why);
	if (!recording_must_wait(s))
		plait_i_transport_over(t, why);
	else if (t->why == NULL && !t->lost)
		plait_i_transport_broken(t, plait_failure_ref(why));
	recording_leave(s);
}

const struct plait_buf *plait_testing_written(struct plait_transport *t)
{
	return t != NULL ? recording_flushed(recording_of(t, __func__))->written
			 : NULL;
}

void plait_testing_clear(struct plait_transport *t)
{
	struct plait_buf *b;

	if (t == NULL)
		return;
	b = recording_flushed(recording_of(t, __func__))->written;
	plait_buf_consume(b, plait_buf_size(b));
}

void plait_testing_set_window(struct plait_transport *base, size_t bytes)
{
	struct recording *s;
	struct transport *t;

	if (base == NULL)
		return;
	s = recording_flushed(recording_of(base, __func__));
	t = recording_enter(s);
	s->window = bytes;
	if (bytes > 0)
		transport_writable(t);
	recording_leave(s);
}

bool plait_testing_is_connected(struct plait_transport *t)
{
	return t != NULL &&
	       !transport_of_recording(recording_of(t, __func__))->lost;
}

bool plait_testing_is_aborted(struct plait_transport *t)
{
	return t != NULL &&
	       transport_of_recording(recording_of(t, __func__))->aborted;
}

bool plait_testing_is_paused(struct plait_transport *t)
{
	return t != NULL && transport_of_recording(recording_of(t, __func__))
				    ->reading_paused;
}

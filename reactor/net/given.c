/*
 * The transport on descriptors that the program was given: see given.h.
 *
 * It has two halves, which end one by one.  The half that is read is over when
 * its end was told; the half that is written, when it is closed.  When both are
 * over the connection is lost with ConnectionDone (given_mind_halves()).
 *
 * The kernel's calls (end.h) never wait for a flag of the open file, which is
 * not ours to change.  An event that says so is all that is known of the other
 * side: so the half that is written is watched also while there is nothing to
 * write, to hear that nobody reads any more.
 */
#include <errno.h>

#include "lib/failure.h"
#include "reactor/net/given.h"

struct given_half {
	struct plait_watch watch;
	struct kernel_end end; /* fd -1: there is none, or none any more */
	bool is_over;	       /* or there never was one */
};

struct given {
	struct plait_transport base;
	struct given_half in, out;
	bool is_stdio;
	bool has_mode; /* the terminal that is read */
	bool is_draining;
	size_t to_drain; /* bytes that had come before the output was lost */
};

static struct given *given_of(const struct plait_transport *t)
{
	return plait_container((struct plait_transport *)(uintptr_t)t,
			       struct given, base);
}

static struct transport *transport_of_given(const struct given *p)
{
	return transport_of(&p->base);
}

static const struct kernel_ends *given_calls(const struct given *p)
{
	return loop_kernel(p->base.reactor)->calls->ends;
}

static ssize_t given_result(ssize_t n)
{
	if (n >= 0)
		return n;
	return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

static void given_fail(struct given *p, int err, const char *call)
{
	plait_value v =
		plait_fail_errno(&plait_error_connection_lost, err, "%s", call);

	plait_i_transport_fail(transport_of_given(p), plait_value_failure(&v));
}

/* ---- the halves ---------------------------------------------------------- */

/* Others may watch the same open file, so the kernel is told.  What others have
   is not shut. */
static void given_close(struct given *p, struct given_half *h, int stands_for)
{
	struct kernel *k = loop_kernel(p->base.reactor);

	h->is_over = true;
	if (h->end.fd < 0)
		return;
	plait_watch_stop(&h->watch);
	kernel_close(k, h->end.fd);
	h->end.fd = -1;
	/* In a forked child they are the child's. */
	if (p->is_stdio && !loop_is_forked(p->base.reactor))
		given_calls(p)->vacate(k, stands_for, &h->end);
}

static void given_mind_halves(struct given *p)
{
	struct transport *t = transport_of_given(p);

	/* A callback may have forked, and ended the child's. */
	if (p->in.is_over && p->out.is_over && !t->end_waits && !t->lost)
		plait_transport_lose_connection(&p->base);
}

static int given_watch(struct given_half *h, unsigned events)
{
	return h->end.fd >= 0 ? plait_i_watch_change(&h->watch, events) : 0;
}

static int given_want(struct plait_transport *t, unsigned wants)
{
	struct given *p = given_of(t);
	unsigned in = 0, out = WATCH_HANGUP;
	int err;

	if (wants & PLAIT_TRANSPORT_WANTS_INPUT)
		in = PLAIT_WATCH_READ;
	else if (wants & PLAIT_TRANSPORT_WANTS_END)
		in = WATCH_HANGUP;
	if (wants & PLAIT_TRANSPORT_WANTS_ROOM)
		out = PLAIT_WATCH_WRITE;
	err = given_watch(&p->in, p->in.is_over ? 0 : in);
	if (err == 0)
		err = given_watch(&p->out, out);
	/* An end that has waited may be told by now. */
	given_mind_halves(p);
	return err;
}

/* ---- reading ------------------------------------------------------------- */

static void given_end_of_input(struct given *p)
{
	p->in.is_over = true;
	plait_i_transport_read_lost(transport_of_given(p));
	given_mind_halves(p);
}

static ssize_t given_read(struct given *p, void *buf, size_t size)
{
	ssize_t n;

	do {
		n = given_calls(p)->read(loop_kernel(p->base.reactor),
					 &p->in.end, buf, size);
	} while (n < 0 && errno == EINTR);
	return given_result(n);
}

/* Reads once, so that a file keeps nobody waiting. */
static void given_receive(struct given *p)
{
	struct transport *t = transport_of_given(p);
	void *buf = plait_i_pool_read_buffer(p->base.reactor);
	ssize_t n;

	if (buf == NULL) {
		plait_i_transport_fail(t, &plait_i_failure_no_memory);
		return;
	}
	n = given_read(p, buf, POOL_READ_SIZE);
	if (n > 0)
		plait_i_transport_received(t, buf, (size_t)n);
	else if (n == 0)
		given_end_of_input(p);
	else if (n != -EAGAIN) /* or somebody else has read what there was */
		given_fail(p, (int)-n, "read");
}

static ssize_t given_peek(const struct given *p)
{
	return given_result(
		given_calls(p)->peek(loop_kernel(p->base.reactor), &p->in.end));
}

/* Nobody reads.  An end is told when all input before it was read. */
static void given_look(struct given *p)
{
	ssize_t n = given_peek(p);

	if (n == 0)
		given_end_of_input(p);
	else if (n < 0 && n != -EAGAIN)
		given_fail(p, (int)-n, "read");
}

/* Is true if an event says nothing any more.  If somebody has closed the
   descriptor, its number may be another's. */
static bool given_is_over(struct given *p, struct given_half *h,
			  unsigned events)
{
	const struct transport *t = transport_of_given(p);

	if (events & PLAIT_WATCH_LOST)
		h->end.fd = -1;
	if (t->dead || t->why != NULL)
		return true;
	if (h->end.fd < 0)
		given_fail(p, EBADF, "watch");
	return false;
}

static void given_in_ready(struct plait_watch *w, unsigned events)
{
	struct given *p = plait_container(w, struct given, in.watch);
	struct transport *t = transport_of_given(p);

	if (given_is_over(p, &p->in, events))
		return;
	/* While an answer is queued the watch is not yet changed, and may tell
	   of input that is not wanted any more. */
	if (t->owes && !(transport_wants(t) & PLAIT_TRANSPORT_WANTS_INPUT))
		events &= ~(unsigned)PLAIT_WATCH_READ;
	if (events & PLAIT_WATCH_READ)
		given_receive(p);
	else if (events & WATCH_HANGUP)
		given_look(p);
	plait_i_transport_settle_event(t);
}

static size_t given_waiting(const struct given *p)
{
	return p->in.is_over
		       ? 0
		       : given_calls(p)->waiting(loop_kernel(p->base.reactor),
						 &p->in.end);
}

static bool given_has_input(struct plait_transport *t)
{
	return given_waiting(given_of(t)) > 0;
}

/* Whoever writes may never end, so only that is read which had come before. */
static bool given_drain(struct plait_transport *t)
{
	struct given *p = given_of(t);
	void *buf = plait_i_pool_read_buffer(t->reactor);
	ssize_t n;

	if (!p->is_draining)
		p->to_drain = given_waiting(p);
	p->is_draining = true;
	if (buf == NULL || p->to_drain == 0)
		return false;
	n = given_read(p, buf,
		       p->to_drain < POOL_READ_SIZE ? p->to_drain
						    : POOL_READ_SIZE);
	if (n <= 0)
		return false;
	p->to_drain -= (size_t)n;
	plait_i_transport_received(transport_of_given(p), buf, (size_t)n);
	return true;
}

static bool given_peer_has_closed(const struct plait_transport *t)
{
	const struct given *p = given_of(t);

	return p->in.is_over || given_peek(p) == 0;
}

/* ---- writing ------------------------------------------------------------- */

static ssize_t given_send(struct plait_transport *t, const struct iovec *pieces,
			  int n)
{
	struct given *p = given_of(t);
	ssize_t sent;

	if (p->out.end.fd < 0)
		return -EBADF;
	do {
		sent = given_calls(p)->write(loop_kernel(t->reactor),
					     &p->out.end, pieces, n);
	} while (sent < 0 && errno == EINTR);
	return given_result(sent);
}

static int given_shut(struct plait_transport *t)
{
	struct given *p = given_of(t);

	given_close(p, &p->out, 1);
	given_mind_halves(p);
	return 0;
}

/* Nothing waits to be written.  If the other side is gone altogether, that is
   the end of the input, whichever half is told first. */
static void given_look_for_reader(struct given *p)
{
	struct transport *t = transport_of_given(p);
	int err = given_calls(p)->broken(loop_kernel(p->base.reactor),
					 &p->out.end);
	plait_value v;

	if (err == 0)
		return;
	if (!p->in.is_over && given_peek(p) == 0)
		given_end_of_input(p);
	if (transport_is_closing(t) || t->lost)
		return;
	v = plait_fail_errno(&plait_error_connection_lost, err, "write");
	plait_i_transport_broken(t, plait_value_failure(&v));
}

static void given_out_ready(struct plait_watch *w, unsigned events)
{
	struct given *p = plait_container(w, struct given, out.watch);
	struct transport *t = transport_of_given(p);

	if (given_is_over(p, &p->out, events))
		return;
	if (events & PLAIT_WATCH_WRITE)
		transport_writable(t);
	else if (events & WATCH_HANGUP)
		given_look_for_reader(p);
	plait_i_transport_settle_event(t);
}

/* ---- beginning and ending ------------------------------------------------ */

static void given_done(struct plait_transport *t)
{
	struct given *p = given_of(t);

	if (p->has_mode && !loop_is_forked(t->reactor))
		plait_terminal_set_mode(p->in.end.fd, PLAIT_TERMINAL_AS_IT_WAS);
	given_close(p, &p->in, 0);
	given_close(p, &p->out, 1);
}

static const struct plait_transport_ops given_transport_ops = {
	.name = "pipe",
	.size = sizeof(struct given),
	.send = given_send,
	.want = given_want,
	.shut = given_shut,
	.has_input = given_has_input,
	.drain = given_drain,
	.peer_has_closed = given_peer_has_closed,
	.done = given_done,
};

static int given_begin(struct given *p, struct given_half *h, unsigned events,
		       plait_watch_func *ready)
{
	if (h->end.fd < 0)
		return 0;
	return plait_i_watch_start(p->base.reactor, &h->watch, h->end.fd,
				   events, ready);
}

static int given_set_mode(struct given *p, enum plait_terminal_mode mode)
{
	int err;

	if (mode == PLAIT_TERMINAL_AS_IT_WAS ||
	    p->in.end.kind != END_OF_TERMINAL)
		return 0;
	err = plait_terminal_set_mode(p->in.end.fd, mode);
	p->has_mode = err == 0;
	return err;
}

static void given_take(struct given *p, const struct given_ends *ends)
{
	p->in.end = ends->in;
	p->in.is_over = ends->in.fd < 0;
	p->out.end = ends->out;
	p->out.is_over = ends->out.fd < 0;
}

static void given_ends_close(const struct plait_reactor *r,
			     const struct given_ends *ends)
{
	if (ends->in.fd >= 0)
		kernel_close(loop_kernel(r), ends->in.fd);
	if (ends->out.fd >= 0)
		kernel_close(loop_kernel(r), ends->out.fd);
}

struct plait_transport *plait_i_given_new(struct plait_reactor *r,
					  const struct given_ends *ends,
					  enum plait_terminal_mode mode,
					  struct transport_owner *owner)
{
	struct plait_transport *t =
		plait_transport_new(&given_transport_ops, r, NULL);
	int err = t == NULL ? -errno : 0;
	struct given *p;

	if (err < 0) {
		given_ends_close(r, ends);
		errno = -err;
		return NULL;
	}
	p = given_of(t);
	given_take(p, ends);
	err = given_begin(p, &p->in, PLAIT_WATCH_READ, given_in_ready);
	if (err == 0)
		err = given_begin(p, &p->out, WATCH_HANGUP, given_out_ready);
	if (err == 0)
		err = given_set_mode(p, mode);
	if (err < 0) {
		plait_transport_free(&t);
		errno = -err;
		return NULL;
	}
	/* Until now what is closed is not the program's. */
	p->is_stdio = ends->is_stdio;
	transport_of(t)->wants = PLAIT_TRANSPORT_WANTS_INPUT;
	transport_of(t)->owner = owner;
	return t;
}

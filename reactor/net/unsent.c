/*
 * Unsent output: the calls that write, the limits on what may be unsent, and
 * sending it.
 *
 * What a protocol writes is queued (output.c), and sent when the callback has
 * returned: settling.c calls plait_i_unsent_flush().  Before it is queued
 * unsent_may_hold() asks whether there may be so much:
 *
 *   max_unsent		on one connection, with what it has passed down to
 *			those below; a connection with more is aborted
 *   max_unsent_total	on all connections together; unsent_make_room() aborts
 *			the one whose end gives back most
 *
 * The limits count the memory that is held, not the bytes: see output.h.  The
 * reactor has the limits (limits.c) and counts what it holds (pool.c).
 *
 * Descriptors that are handed over (plait_transport_send_fds()) wait in marks
 * beside the queue (handover.c): a send ends before the next mark, or begins at
 * a mark and takes its descriptors along.
 *
 * A file (plait_transport_send_file()) is a piece of the queue.  If the kind
 * cannot send files, a part is read, and sent as other bytes are; what the kind
 * did not take of it is read again later.
 *
 * What a callback writes out of the bytes that it was given is queued where it
 * lies, in the read buffer, and sent from there; unsent_keep() copies what was
 * not taken.
 *
 * A kind that wraps another transport may have bytes in memory that it needs
 * again at once.  plait_transport_send_below() sends them out of that, behind
 * what is queued, and queues a copy of what was not taken.  The transport above
 * is in the middle of a send then, and its output must stay; so an error is
 * kept, and breaks the connection in the flush of the transport below.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <plait/unix.h>

#include "lib/buf.h"
#include "lib/chance.h"
#include "lib/failure.h"
#include "reactor/kernel/file.h"
#include "reactor/net/transport.h"

enum {
	MAX_PIECES = 64,	 /* of one send */
	MAX_SENDS = 16,		 /* of one flush */
	MAX_FLUSH = 1024 * 1024, /* bytes of one flush, about */
	MAX_FILE = 256 * 1024,	 /* bytes of a file in one send */
	MAX_READ = 16 * 1024,	 /* ... if it has to be read */
	/* To copy fewer bytes costs less than one more piece of a send. */
	MIN_BORROW = 4096,
};

static const double too_many_seconds = 0.01;

/* ---- limits ----------------------------------------------------------- */

/* Aborts t and all transports above it. */
static OUT_OF_LINE void unsent_abort(struct transport *t, size_t limit,
				     const char *of_what)
{
	plait_value v =
		plait_fail(&plait_error_connection_aborted,
			   "more than %zu bytes unsent%s", limit, of_what);

	REACHED("a connection is aborted for its unsent output");

	plait_i_transport_abort(&transport_top(t)->base,
				plait_value_failure(&v));
}

/* Returns how much memory the end of t would make free, if the writer held so
   much more. */
static size_t unsent_gives_back(const struct transport *writer, size_t more,
				struct transport *t)
{
	size_t bytes = t == writer ? more : 0;

	for (; t != NULL; t = transport_above(t))
		bytes += plait_i_output_gives_back(&t->output,
						   transport_reactor(t));
	return bytes;
}

/* Looks in the list for a transport whose end makes more memory free. */
static void unsent_find_larger(struct plait_list *members,
			       const struct transport *writer, size_t more,
			       struct transport **largest)
{
	size_t bytes, most = unsent_gives_back(writer, more, *largest);
	struct transport *t;
	struct loop_member *m;
	struct plait_list *l;

	plait_list_for_each (l, members) {
		m = plait_container(l, struct loop_member, link);
		if (m->ops->transport == NULL)
			continue;
		t = transport_of(m->ops->transport(m));
		bytes = unsent_gives_back(writer, more, t);
		if (bytes > most) {
			most = bytes;
			*largest = t;
		}
	}
}

/*
 * Returns the transport whose end makes most memory free, if the writer held so
 * much more.  It may be one for which a shutdown waits.
 */
static struct transport *unsent_largest(struct transport *writer, size_t more)
{
	struct plait_reactor *r = transport_reactor(writer);
	struct transport *ret = writer;

	unsent_find_larger(plait_i_loop_members(r), writer, more, &ret);
	unsent_find_larger(plait_i_loop_finishing(r), writer, more, &ret);
	return ret;
}

/*
 * All connections together would hold too much: aborts the largest, and the
 * next, until there is room for so much more, or for the part of buf that is
 * not counted yet.  Returns false if the writer was aborted.
 */
static OUT_OF_LINE bool unsent_make_room(struct transport *writer, size_t cost,
					 const struct plait_buf *buf)
{
	struct plait_reactor *r = transport_reactor(writer);
	const struct pool_unsent *unsent = pool_unsent(r);
	struct transport *t;
	size_t more;

	writer = transport_bottom(writer);
	for (;;) {
		more = buf != NULL ? plait_i_output_adds_of_buf(buf, r) : cost;
		if (unsent->held <= unsent->max &&
		    more <= unsent->max - unsent->held)
			return true;
		t = unsent_largest(writer, more);
		if (t != writer)
			REACHED("the largest makes room for another");
		unsent_abort(t, unsent->max,
			     " on all connections (max_unsent_total)");
		if (t == writer)
			return false;
	}
}

/* Returns what t has queued, and what the transports below have of it. */
static inline size_t unsent_cost(const struct transport *t)
{
	size_t cost = plait_i_output_cost(&t->output);

	while ((t = transport_below(t)) != NULL)
		cost += plait_i_output_cost(&t->output);
	return cost;
}

/* Returns true if t may hold so much more; aborts at a limit. */
static inline bool unsent_may_hold(struct transport *t, size_t cost,
				   const struct plait_buf *buf)
{
	struct pool_unsent *unsent = pool_unsent(transport_reactor(t));
	size_t sum;

	if (__builtin_add_overflow(unsent_cost(t), cost, &sum) ||
	    sum > transport_limits(t)->max_unsent) {
		unsent_abort(t, transport_limits(t)->max_unsent, "");
		return false;
	}
	if (!__builtin_add_overflow(unsent->held, cost, &sum) &&
	    sum <= unsent->max)
		return true;
	return unsent_make_room(t, cost, buf);
}

/* ---- writing ---------------------------------------------------------- */

/* Something was queued, or could not be. */
static inline void unsent_queued(struct transport *t, int rc)
{
	t->asked = false;
	if (rc < 0)
		plait_i_transport_abort(&t->base, &plait_i_failure_no_memory);
	else
		transport_touch(t);
}

/* If all is sent when the callback has returned, many bytes need not be copied.
 */
static int unsent_add(struct transport *t, const void *data, size_t len)
{
	struct plait_reactor *r = transport_reactor(t);

	if (len < MIN_BORROW || t->blocked)
		return plait_i_output_add(&t->output, r, data, len);
	return plait_i_output_borrow(&t->output, r, data, len);
}

static OUT_OF_LINE void unsent_write_much(struct plait_transport *base,
					  const struct iovec *pieces, int n,
					  size_t len)
{
	struct transport *t = transport_of(base);
	int r = 0;

	if (!unsent_may_hold(t, len, NULL))
		return;
	for (int i = 0; i < n && r == 0; i++)
		r = unsent_add(t, pieces[i].iov_base, pieces[i].iov_len);
	unsent_queued(t, r);
}

/* Is true if that is far from all limits, and no transport below has to be
   asked. */
static inline bool unsent_is_little(const struct transport *t, size_t len)
{
	const struct pool_unsent *unsent = pool_unsent(transport_reactor(t));

	return len < MIN_BORROW && len <= transport_limits(t)->max_unsent &&
	       unsent->held <= unsent->max &&
	       (t->output.last != NULL || len <= unsent->max - unsent->held) &&
	       transport_below(t) == NULL;
}

/*
 * Little is queued behind what there is without asking for more memory, or as
 * the first.  Returns false if it cannot be.
 */
static inline bool unsent_write_little(struct transport *t,
				       const struct iovec *pieces, int n,
				       size_t len)
{
	int r = 0;

	if (!unsent_is_little(t, len))
		return false;
	if (t->output.last == NULL)
		r = plait_i_output_begin(&t->output, transport_reactor(t),
					 pieces, n, len);
	else if (!plait_i_output_append(&t->output, pieces, n, len,
					transport_limits(t)->max_unsent))
		return false;
	unsent_queued(t, r);
	return true;
}

/* So many bytes, in n pieces. */
static inline void unsent_write_pieces(struct transport *t,
				       const struct iovec *pieces, int n,
				       size_t len)
{
	if (len > 0 && transport_may_write(t) &&
	    !unsent_write_little(t, pieces, n, len))
		unsent_write_much(&t->base, pieces, n, len);
	transport_verify(t);
}

void plait_transport_write_sequence(struct plait_transport *t,
				    const struct iovec *pieces, int n)
{
	size_t len = 0;

	if (t == NULL)
		return;
	loop_check(t->reactor, "plait_transport_write_sequence()");
	for (int i = 0; i < n; i++) {
		/* More than can be counted is more than any limit. */
		if (pieces[i].iov_len > SIZE_MAX - len)
			len = SIZE_MAX;
		else
			len += pieces[i].iov_len;
	}
	unsent_write_pieces(transport_of(t), pieces, n, len);
}

void plait_transport_write(struct plait_transport *t, const void *data,
			   size_t len)
{
	struct iovec piece = { .iov_base = (void *)(uintptr_t)data,
			       .iov_len = len };

	if (t == NULL)
		return;
	loop_check(t->reactor, "plait_transport_write()");
	unsent_write_pieces(transport_of(t), &piece, 1, len);
}

void plait_transport_write_buf(struct plait_transport *base,
			       struct plait_buf *buf)
{
	struct transport *t;

	if (base == NULL)
		return;
	t = transport_of(base);
	loop_check(base->reactor, "plait_transport_write_buf()");
	if (buf == NULL) {
		if (transport_may_write(t))
			plait_i_transport_abort(base,
						&plait_i_failure_no_memory);
	} else if (plait_buf_size(buf) > 0 && transport_may_write(t) &&
		   unsent_may_hold(t, plait_i_output_cost_of_buf(buf), buf)) {
		unsent_queued(t, plait_i_output_add_buf(&t->output,
							base->reactor, buf));
	}
	transport_verify(t);
}

/* Descriptors that wait hold no memory, but the process can have few. */
static bool unsent_may_keep_fds(struct transport *t, size_t n)
{
	size_t limit = transport_limits(t)->max_unsent;

	if (transport_handover_cost(t) + n * HANDOVER_COST <= limit)
		return true;
	unsent_abort(t, limit, ", as descriptors count");
	return false;
}

/* 0, or why the descriptors can't be handed over. */
static int unsent_add_fds(struct transport *t, size_t len, const int *fds,
			  size_t n)
{
	struct handover *h;

	if (t->base.ops->send == NULL || t->base.ops->send_fds == NULL)
		return -ENOTSUP;
	if (n > PLAIT_FDS_MAX || (n > 0 && len == 0))
		return -EINVAL;
	if (loop_is_forked(transport_reactor(t)))
		return -ECHILD;
	if (!transport_may_write(t))
		return -ENOTCONN;
	if (n == 0)
		return 0;
	if (!unsent_may_keep_fds(t, n))
		return -ENOMEM;
	h = plait_i_transport_handover(t);
	return h != NULL ? plait_i_handover_add(h, t->output.size, fds, n)
			 : -ENOMEM;
}

static void unsent_close_fds(const struct transport *t, const int *fds,
			     size_t n)
{
	for (size_t i = 0; i < n; i++)
		kernel_close(loop_kernel(transport_reactor(t)), fds[i]);
}

int plait_transport_send_fds(struct plait_transport *base, const void *data,
			     size_t len, const int *fds, size_t n)
{
	struct transport *t;
	int err;

	if (base == NULL) {
		for (size_t i = 0; i < n; i++)
			plait_i_linux_calls.close(NULL, fds[i]);
		return -ENOMEM;
	}
	t = transport_of(base);
	loop_check(base->reactor, "plait_transport_send_fds()");
	err = unsent_add_fds(t, len, fds, n);
	if (err < 0)
		unsent_close_fds(t, fds, n);
	if (err == -ENOMEM)
		plait_i_transport_abort(base, &plait_i_failure_no_memory);
	if (err < 0)
		return err;
	plait_transport_write(base, data, len);
	return t->aborted ? -ENOMEM : 0;
}

/* 0, or why the file can't be queued. */
static int unsent_add_file(struct transport *t, int fd, uint64_t from,
			   size_t len)
{
	size_t sum;

	if (fd < 0)
		return -EBADF;
	if (loop_is_forked(transport_reactor(t)))
		return -ECHILD;
	if (!transport_may_write(t))
		return -ENOTCONN;
	if (from > INT64_MAX || len > INT64_MAX - from)
		return -EINVAL;
	if (__builtin_add_overflow(plait_transport_unsent(&t->base), len, &sum))
		return -EFBIG;
	if (len == 0)
		return 0;
	if (!unsent_may_hold(t, OUTPUT_FILE_COST, NULL))
		return -ENOMEM;
	return plait_i_output_add_file(&t->output, transport_reactor(t), fd,
				       from, len);
}

int plait_transport_send_file(struct plait_transport *base, int fd,
			      uint64_t from, size_t len)
{
	int err = -ENOMEM;

	if (base != NULL) {
		loop_check(base->reactor, "plait_transport_send_file()");
		err = unsent_add_file(transport_of(base), fd, from, len);
	}
	if (fd >= 0 && (err < 0 || len == 0))
		plait_i_given_file_close(fd);
	if (base != NULL && (err == -ENOMEM || (err == 0 && len > 0)))
		unsent_queued(transport_of(base), err);
	return err;
}

/* Text that is longer than what the caller has room for. */
static OUT_OF_LINE void unsent_print_long(struct plait_transport *t, size_t len,
					  const char *fmt, va_list ap)
{
	struct plait_buf *b = plait_buf_new(len);

	if (b != NULL && plait_i_buf_vprintf(b, fmt, ap) == 0)
		plait_transport_write_buf(t, b);
	else
		plait_i_transport_abort(t, &plait_i_failure_no_memory);
	plait_buf_unref(&b);
}

/* A message is missing, and what follows it would mean something else. */
static OUT_OF_LINE void unsent_cannot_print(struct plait_transport *t)
{
	plait_value v = plait_fail_errno(&plait_error_connection_aborted,
					 EINVAL, "printf() refuses a format");

	plait_i_transport_abort(t, plait_value_failure(&v));
}

void plait_transport_printf(struct plait_transport *t, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int len;

	if (t == NULL)
		return;
	loop_check(t->reactor, "plait_transport_printf()");
	if (!transport_may_write(transport_of(t)))
		return;
	va_start(ap, fmt);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	va_start(ap, fmt);
	if (len < 0)
		unsent_cannot_print(t);
	else if ((size_t)len < sizeof(text))
		plait_transport_write(t, text, (size_t)len);
	else
		unsent_print_long(t, (size_t)len, fmt, ap);
	va_end(ap);
}

plait_value plait_then_write(plait_value *result, void *arg)
{
	struct plait_transport *t = arg;
	const char *text;

	if (plait_value_is(result, &plait_text_type)) {
		text = plait_value_text(result);
		plait_transport_write(t, text, strlen(text));
	} else {
		plait_transport_write_buf(
			t, (plait_value_buf)(result, "plait_then_write()"));
	}
	return t != NULL ? PLAIT_NONE : plait_no_memory();
}

/* ---- sending ---------------------------------------------------------- */

static OUT_OF_LINE void unsent_cannot_send(struct transport *t, int err)
{
	plait_value v;

	if (err == ENOMEM) {
		plait_i_transport_abort(&t->base, &plait_i_failure_no_memory);
		return;
	}
	v = plait_fail_errno(&plait_error_connection_lost, err, "send");
	plait_i_transport_broken(t, plait_value_failure(&v));
}

/*
 * Is true if nothing can follow what is unsent: nothing may be written any
 * more; or t is closing, and its protocol is told of the end before anybody can
 * write.
 */
static inline bool unsent_is_last(const struct transport *t)
{
	return t->write_closed || (transport_is_closing(t) && t->answers_now &&
				   (!transport_is_held(t) || t->peer_left));
}

/* Cuts pieces down to that many bytes, and returns how many pieces are left. */
static int unsent_cut(struct iovec *pieces, size_t bytes)
{
	int n = 0;

	for (; bytes > 0; n++) {
		if (pieces[n].iov_len > bytes)
			pieces[n].iov_len = bytes;
		bytes -= pieces[n].iov_len;
	}
	return n;
}

/* Descriptors wait in what is to be sent: sends up to the next, or with them.
 */
static OUT_OF_LINE ssize_t unsent_send_marked(struct transport *t,
					      struct iovec *iov, int pieces,
					      size_t *want)
{
	const int *fds;
	size_t n;
	uint64_t most = plait_i_handover_next(t->extra->handover, &fds, &n);

	if (*want > most) {
		*want = (size_t)most;
		pieces = unsent_cut(iov, *want);
	}
	return n > 0 ? t->base.ops->send_fds(&t->base, iov, pieces, fds, n)
		     : t->base.ops->send(&t->base, iov, pieces);
}

/* A part of what the peer was promised is missing. */
static OUT_OF_LINE void unsent_cannot_read(struct transport *t, int err,
					   size_t left)
{
	plait_value v =
		err != 0 ? plait_fail_errno(&plait_error_connection_aborted,
					    err, "reading a file to be sent")
			 : plait_fail(&plait_error_connection_aborted,
				      "a file ended %zu bytes too early", left);

	plait_i_transport_abort(&t->base, plait_value_failure(&v));
}

/* For a kind that cannot send files. */
static ssize_t unsent_read_file(struct transport *t, int fd, uint64_t from,
				size_t len, size_t *want)
{
	char bytes[MAX_READ];
	struct iovec piece = { .iov_base = bytes };
	ssize_t n = plait_i_given_file_read(
		fd, bytes, len < sizeof(bytes) ? len : sizeof(bytes), from);

	if (n < 0)
		unsent_cannot_read(t, (int)-n, len);
	if (n <= 0)
		return 0;
	*want = piece.iov_len = (size_t)n;
	return t->base.ops->send(&t->base, &piece, 1);
}

/* The first that is unsent is a file: as unsent_send_pieces(). */
static OUT_OF_LINE ssize_t unsent_send_file(struct transport *t, size_t *want)
{
	const struct plait_transport_ops *ops = t->base.ops;
	ssize_t n = -ENOTSUP;
	uint64_t from = 0;
	size_t left = 0;
	int fd = -1;

	plait_i_output_first_file(&t->output, &fd, &from, &left);
	*want = left < MAX_FILE ? left : MAX_FILE;
	if (ops->send_file != NULL)
		n = ops->send_file(&t->base, fd, from, *want);
	if (n == -ENOTSUP)
		n = unsent_read_file(t, fd, from, left, want);
	if (n == 0 && t->why == NULL)
		unsent_cannot_read(t, 0, left);
	return n;
}

static inline ssize_t unsent_send_pieces(struct transport *t, struct iovec *iov,
					 int pieces, size_t *want)
{
	bool marked = transport_hands_over(t);

	if (*want == t->output.size && !marked && unsent_is_last(t))
		t->sends_last = true;
	return marked ? unsent_send_marked(t, iov, pieces, want)
		      : t->base.ops->send(&t->base, iov, pieces);
}

/* The kind has taken n bytes of that many. */
static inline void unsent_taken(struct transport *t, size_t n, size_t want)
{
	if (n > want)
		plait_die(t->base.ops->name,
			  "its send() says that it took %zd of %zu bytes",
			  (ssize_t)n, want);
	if (n < want && t->why == NULL) {
		REACHED("a send takes a part");
		t->blocked = true;
	}
	trace_note(TRACE_WRITTEN, &t->base, NULL, NULL, n);
}

/*
 * Sends once, in as many pieces as fit; returns how many bytes were taken, or
 * -errno.  If that is less than all of the pieces, there is no room left.
 */
static inline ssize_t unsent_send_some(struct transport *t,
				       struct iovec iov[static MAX_PIECES])
{
	size_t want;
	ssize_t n;
	int pieces;

	if (t->special && t->extra->send_error != 0)
		return -t->extra->send_error;
	pieces = plait_i_output_gather(&t->output, iov, MAX_PIECES, &want);
	if (pieces > 0)
		n = unsent_send_pieces(t, iov, pieces, &want);
	else
		n = unsent_send_file(t, &want);
	t->sends_last = false;
	if (n < 0)
		return n;
	unsent_taken(t, (size_t)n, want);
	return n;
}

/* What the kind did not take at once is copied, because it may be long until it
   takes it. */
static OUT_OF_LINE void unsent_keep(struct transport *t)
{
	if (plait_i_output_keep(&t->output, transport_reactor(t)) < 0)
		plait_i_transport_abort(&t->base, &plait_i_failure_no_memory);
}

/* Passes its output, unchanged, to the transport below. */
static void unsent_pass_down(struct transport *t)
{
	struct transport *below = transport_below(t);

	transport_is_active(t);
	if (transport_may_write(below)) {
		/* Behind what waits already it is not sent at once. */
		if (below->output.size > 0)
			unsent_keep(t);
		below->asked = false;
		plait_i_output_move(&below->output, &t->output);
		transport_touch(below);
	} else {
		plait_i_output_drop(&t->output, transport_reactor(t));
	}
}

/*
 * Goes on in the next turn, after other connections.  The kind has taken
 * everything until now, so it has room; an answer in this turn would be too
 * early.
 */
static OUT_OF_LINE void unsent_give_way(struct transport *t)
{
	REACHED("a long output gives way to others");
	t->more = t->room = true;
	t->odd_turn = plait_i_loop_turn(transport_reactor(t)) & 1;
}

static void unsent_run_again(void *arg)
{
	struct transport *t = arg;

	transport_writable(t);
	t->has_event = true;
	transport_touch(t);
}

/*
 * The kernel allows no more descriptors of this user to be on their way, on all
 * connections together.  No event tells when there are fewer.
 */
static OUT_OF_LINE void unsent_wait_for_fewer(struct transport *t)
{
	t->blocked = true;
	plait_timer_start(transport_reactor(t), &t->extra->handover->again,
			  too_many_seconds, unsent_run_again, t);
}

/* Handles what a send has returned: removes the bytes that were taken, and
   returns how many. */
static inline size_t unsent_take_out(struct transport *t, ssize_t n)
{
	if (n >= 0) {
		plait_i_output_consume(&t->output, transport_reactor(t),
				       (size_t)n);
		if (transport_hands_over(t))
			plait_i_handover_sent(t->extra->handover,
					      loop_kernel(transport_reactor(t)),
					      (size_t)n);
		t->sent = true;
		transport_is_active(t);
		return (size_t)n;
	}
	if (n == -EAGAIN) {
		REACHED("a send finds no room");
		t->blocked = true;
	} else if (n == -ETOOMANYREFS && transport_hands_over(t)) {
		unsent_wait_for_fewer(t);
	} else {
		unsent_cannot_send(t, (int)-n);
	}
	return 0;
}

size_t plait_i_unsent_flush(struct transport *t)
{
	struct iovec iov[MAX_PIECES];
	size_t sent = 0;
	ssize_t n;

	t->more = false;
	for (int i = 0; t->output.size > 0 && !t->blocked; i++) {
		if (t->base.ops->send == NULL) {
			unsent_pass_down(t);
			break;
		}
		if (i == MAX_SENDS || sent >= MAX_FLUSH ||
		    (i > 0 && MAYBE(0.05))) {
			unsent_give_way(t);
			break;
		}
		n = unsent_send_some(t, iov);
		/* A limit below may have aborted it. */
		if (t->why != NULL)
			break;
		sent += unsent_take_out(t, n);
	}
	if (t->output.size > 0)
		unsent_keep(t);
	return sent;
}

void plait_i_unsent_flush_all(struct transport *t)
{
	if (transport_above(t) != NULL)
		plait_i_unsent_flush_all(transport_above(t));
	if (t->why == NULL && !t->lost)
		plait_i_unsent_flush(t);
}

/* ---- for the kind above ----------------------------------------------- */

/* Is true if something may be sent before t is settled: not in the middle of
   what has an order of its own, and not if little is saved. */
static bool unsent_may_go_now(const struct transport *t, size_t len)
{
	return len >= MIN_BORROW && transport_may_write(t) && !t->blocked &&
	       t->base.ops->send != NULL && !transport_hands_over(t) &&
	       t->extra->send_error == 0;
}

/* The kind has taken that many bytes, of what is queued and then of others;
   returns how many of the others. */
static size_t unsent_take_out_first(struct transport *t, size_t n)
{
	size_t queued = t->output.size < n ? t->output.size : n;

	unsent_take_out(t, (ssize_t)queued);
	return n - queued;
}

/* Sends what is queued, and these bytes behind it; returns how many of these
   the kind has taken. */
static size_t unsent_send_now(struct transport *t, const void *data, size_t len)
{
	struct iovec iov[MAX_PIECES];
	size_t queued;
	ssize_t n;
	int pieces;

	pieces =
		plait_i_output_gather(&t->output, iov, MAX_PIECES - 1, &queued);
	if (queued < t->output.size)
		return 0;
	iov[pieces].iov_base = (void *)(uintptr_t)data;
	iov[pieces].iov_len = len;
	n = t->base.ops->send(&t->base, iov, pieces + 1);
	if (n >= 0) {
		unsent_taken(t, (size_t)n, queued + len);
		return unsent_take_out_first(t, (size_t)n);
	}
	if (n == -EAGAIN)
		t->blocked = true;
	else
		t->extra->send_error = (int)-n;
	return 0;
}

void plait_transport_send_below(struct plait_transport *base, const void *data,
				size_t len)
{
	struct transport *t;
	size_t n;

	if (base == NULL)
		return;
	loop_check(base->reactor, "plait_transport_send_below()");
	t = transport_below(transport_of(base));
	if (t == NULL)
		return;
	if (unsent_may_go_now(t, len)) {
		n = unsent_send_now(t, data, len);
		data = (const char *)data + n;
		len -= n;
		unsent_queued(t, 0);
	}
	plait_transport_write(&t->base, data, len);
}

/*
 * The TCP transport: a connected socket, its unsent output, and the way in
 * which it ends.
 *
 * The calls of the API change nothing but the base's state and the output;
 * they queue settle(), which runs once when the callback has returned.  It
 * sends what there is in one call, arms what must be waited for, and owes the
 * protocol an answer if one is due.  So a callback that writes ten times
 * costs one send(), one that pauses and resumes costs nothing, and none of
 * the calls ever calls back: answer() does, from the loop.
 *
 * A stream lives through these: open; draining, when nothing can be sent any
 * more and what had come by then is delivered; over, with a reason to tell
 * (why); lingering, when the protocol has been told and is gone, and the peer
 * may yet be sending; dead, waiting for its burial, which closes the
 * descriptor.
 *
 * The loop comes in at three places:
 *
 *   ready()        an event: receive() or look_for_hang_up(), then settle()
 *   settle()       a callback has returned: flush(), the deadline of a close,
 *                  then arm() or owe_answer()
 *   answer()       one turn later: drain(), finish(), or telling the protocol
 *                  that the sending half is shut
 *
 * An end goes from break_off() (what has come is delivered first), fail() (it
 * is not) or finish() (all is sent) through linger() or at once to die() and
 * bury().  out_of_time() is the deadline of closing, draining and lingering.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "reactor/net/address.h"
#include "reactor/net/errors.h"
#include "reactor/net/transport.h"

enum {
	MAX_PIECES = 64,	 /* of one send */
	MAX_SENDS = 16,		 /* of one flush */
	MAX_FLUSH = 1024 * 1024, /* bytes of one flush, about */
};

struct stream {
	struct plait_transport base;
	struct plait_watch watch;
	struct plait_timer deadline; /* of closing, then of lingering */
	struct loop_member member;
	struct loop_task settling;
	struct loop_task answering; /* at last: the burial */
	struct output output;
	struct plait_address peer;
	const struct plait_failure *why; /* it is over, for this reason */
	int fd;				 /* -1: somebody else closed it */
	unsigned idle_looks : 2;	 /* of a close, in a row, in vain */
	bool looked : 1;		 /* one such look was made */
	bool wrote;			 /* anything, ever */
	bool blocked;			 /* the kernel takes no more now */
	bool eof;			 /* the end of the input was read */
	bool hung_up;	/* the end is known; input may be before it */
	bool look;	/* that input may be gone: look for the end again */
	bool peer_left; /* the end of the input ends the connection */
	bool shut;	/* we send no more */
	bool reset;	/* to be closed with a RST */
	bool draining;	/* input is delivered before why is told */
	bool lingering;
	bool hurried; /* the reactor does not let it linger */
	bool dead;
};

static struct stream *self_of(struct plait_transport *t)
{
	return plait_container(t, struct stream, base);
}

static struct plait_reactor *reactor_of(const struct stream *s)
{
	return s->base.reactor;
}

static struct kernel *kernel_of(const struct stream *s)
{
	return loop_kernel(s->base.reactor);
}

static void verify(const struct stream *s)
{
#ifdef PLAIT_VERIFY
	plait_assert(!s->blocked || s->output.size > 0);
	plait_assert(!s->lingering || (s->base.lost && s->output.size == 0));
	plait_assert(!s->peer_left || s->eof);
	plait_assert(!s->draining || s->why != NULL);
	plait_assert(!s->dead || s->base.lost);
#endif
}

static bool is_closing(const struct stream *s)
{
	return s->base.disconnecting || s->peer_left;
}

/* A peer that has left is not kept waiting by a producer. */
static bool is_finished(const struct stream *s)
{
	return is_closing(s) && s->output.size == 0 &&
	       (!transport_is_held(&s->base) || s->peer_left);
}

static bool is_write_finished(const struct stream *s)
{
	return s->base.write_closed && s->output.size == 0 && !s->shut;
}

static bool owes_answer(const struct stream *s)
{
	return is_finished(s) || is_write_finished(s) || s->look;
}

static void touch(struct stream *s)
{
	plait_i_loop_after_callback(reactor_of(s), &s->settling);
}

static void owe_answer(struct stream *s)
{
	plait_i_loop_next_turn(reactor_of(s), &s->answering);
}

/* ---- ending ---------------------------------------------------------- */

/*
 * It is over.  v is taken; the first reason is the one that is told.  A peer
 * that did not get all must not believe that it did.
 */
static void fail(struct stream *s, plait_value v)
{
	const struct plait_failure *why = plait_value_failure(&v);

	if (s->output.size > 0)
		s->reset = true;
	plait_i_output_drop(&s->output, reactor_of(s));
	s->blocked = s->draining = false;
	if (s->why == NULL)
		s->why = why;
	else
		plait_failure_unref(&why);
	owe_answer(s);
	verify(s);
}

static void fail_errno(struct stream *s, int err, const char *call)
{
	fail(s,
	     plait_fail_errno(&plait_error_connection_lost, err, "%s", call));
}

/* Something that has come, and may yet be delivered. */
static bool has_unread(struct stream *s)
{
	char c;

	return plait_i_transport_has_unread(&s->base) ||
	       kernel_recv(kernel_of(s), s->fd, &c, sizeof(c),
			   MSG_PEEK | MSG_DONTWAIT) > 0;
}

/*
 * Nothing can be sent any more.  That says nothing about what the peer has
 * sent before: it is delivered first, if somebody wants it.
 */
static OUT_OF_LINE void break_off(struct stream *s, int err, const char *call)
{
	fail_errno(s, err, call);
	s->base.write_closed = s->shut = true;
	s->draining =
		!is_closing(s) && (!s->base.reading_paused || has_unread(s));
	verify(s);
}

/* A reader that is paused is waited for, unless the program has closed. */
static bool waits_for_reader(const struct stream *s)
{
	return s->draining && s->base.reading_paused && !is_closing(s) &&
	       !s->base.leaving;
}

/*
 * Closing alone resets a connection only if nobody else holds the socket.  To
 * connect it to nobody resets it, whoever holds it.
 */
static void reset(struct stream *s)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 0 };
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	struct kernel *k = kernel_of(s);

	if (loop_is_forked(reactor_of(s)))
		return;
	kernel_setsockopt(k, s->fd, SOL_SOCKET, SO_LINGER, &linger,
			  sizeof(linger));
	if (plait_i_loop_is_shared(reactor_of(s)))
		kernel_connect(k, s->fd, &nobody, sizeof(nobody));
}

/*
 * For a stream that may not linger: what has arrived is read, as closing with
 * input unread would reset the connection and lose what is on its way.  A peer
 * that only reads gets all.
 */
static void leave_hurried(struct stream *s)
{
	void *buf = plait_i_pool_read_buffer(reactor_of(s));
	struct kernel *k = kernel_of(s);
	size_t total = 0;
	ssize_t n;

	if (!s->shut)
		kernel_shutdown(k, s->fd, SHUT_WR);
	if (buf == NULL)
		return;
	do {
		n = kernel_recv(k, s->fd, buf, POOL_READ_SIZE, MSG_DONTWAIT);
		total += n > 0 ? (size_t)n : 0;
	} while (total < s->base.limits.linger_bytes &&
		 (n > 0 || (n < 0 && errno == EINTR)));
}

/*
 * The end: closed here and nowhere else, between turns, so that no event of
 * the turn can meet another's descriptor.
 */
static void bury(struct loop_task *task)
{
	struct stream *s = plait_container(task, struct stream, answering);
	struct plait_reactor *r = reactor_of(s);

	plait_i_watch_forget(&s->watch);
	if (s->fd >= 0) {
		if (s->reset)
			reset(s);
		else if (s->hurried)
			leave_hurried(s);
		plait_i_loop_close(r, s->fd);
	}
	plait_i_output_drop(&s->output, r);
	plait_failure_unref(&s->why);
	trace_end(TRACE_CLOSED, &s->base, s->base.cause);
	free(s);
}

static void die(struct stream *s)
{
	/* In a child that a callback has forked it may be buried already. */
	if (loop_is_forked(reactor_of(s)))
		return;
	plait_assert(!s->dead);
	s->dead = true;
	s->lingering = false;
	plait_timer_stop(&s->deadline);
	loop_part(&s->member);
	loop_task_cancel(&s->settling);
	loop_task_cancel(&s->answering);
	s->answering.run = bury;
	plait_i_loop_bury(reactor_of(s), &s->answering);
	verify(s);
}

/* ---- sending --------------------------------------------------------- */

static unsigned wanted_events(const struct stream *s)
{
	unsigned events = s->blocked ? PLAIT_WRITE : 0;

	if (s->why != NULL)
		return 0;
	if (s->lingering)
		return PLAIT_READ;
	if (is_closing(s))
		return events;
	if (!s->eof && !s->base.reading_paused)
		events |= PLAIT_READ;
	else if (!s->hung_up || !s->blocked)
		events |= WATCH_HANGUP;
	return events;
}

static OUT_OF_LINE void stream_watch(struct stream *s, unsigned events)
{
	int r = plait_i_watch_change(&s->watch, events);

	if (r < 0)
		fail_errno(s, -r, "watch");
}

static inline void arm(struct stream *s)
{
	unsigned events = wanted_events(s);

	if (events != s->watch.events)
		stream_watch(s, events);
}

/*
 * One send of all there is, in as many pieces as fit; how many bytes went, or
 * -errno.  Less than all means that the kernel has no room left.
 */
static ssize_t send_some(struct stream *s)
{
	const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
	struct iovec iov[MAX_PIECES];
	struct msghdr msg = { .msg_iov = iov };
	struct kernel *k = kernel_of(s);
	size_t want;
	ssize_t n;

	msg.msg_iovlen =
		plait_i_output_gather(&s->output, iov, MAX_PIECES, &want);
	do {
		n = msg.msg_iovlen == 1
			    ? kernel_send(k, s->fd, iov->iov_base, want, flags)
			    : kernel_sendmsg(k, s->fd, &msg, flags);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	s->blocked = (size_t)n < want;
	trace_note(TRACE_WRITTEN, &s->base, NULL, NULL, (size_t)n);
	return n;
}

static bool is_passing(int err)
{
	return err == EAGAIN || err == EWOULDBLOCK || err == ENOBUFS ||
	       err == ENOMEM;
}

/* Returns how many bytes went. */
static size_t flush(struct stream *s)
{
	size_t sent = 0;
	ssize_t n;

	for (int i = 0; s->output.size > 0 && !s->blocked; i++) {
		if (i == MAX_SENDS || sent >= MAX_FLUSH) {
			/* Others first; the socket will be ready at once. */
			s->blocked = true;
			break;
		}
		n = send_some(s);
		if (n >= 0) {
			plait_i_output_consume(&s->output, reactor_of(s),
					       (size_t)n);
			sent += (size_t)n;
			transport_is_active(&s->base);
		} else if (is_passing((int)-n)) {
			s->blocked = true;
		} else {
			break_off(s, (int)-n, "send");
		}
	}
	verify(s);
	return sent;
}

/* ---- settling -------------------------------------------------------- */

static void out_of_time(void *arg);

/* A close is given up after two looks in a row that found no progress. */
static void wait_for_look(struct stream *s)
{
	plait_timer_start(reactor_of(s), &s->deadline,
			  s->base.limits.close_timeout / 2, out_of_time, s);
}

static void mind_deadline(struct stream *s, bool progress)
{
	if (!is_closing(s) || is_finished(s)) {
		plait_timer_stop(&s->deadline);
	} else if (progress || !plait_timer_is_running(&s->deadline)) {
		s->idle_looks = 0;
		wait_for_look(s);
	}
}

/* What is left to be delivered waits for its reader, but not for ever. */
static OUT_OF_LINE void settle_end(struct stream *s)
{
	if (!waits_for_reader(s)) {
		owe_answer(s);
		return;
	}
	if (!plait_timer_is_running(&s->deadline))
		plait_timer_start(reactor_of(s), &s->deadline,
				  s->base.limits.linger_timeout, out_of_time,
				  s);
	arm(s);
}

/*
 * Brings the socket into line with what was asked for.  room: the kernel has
 * just said that there is some, so what can be sent now the peer has taken.
 */
static void settle(struct stream *s, bool room)
{
	size_t sent;

	loop_task_cancel(&s->settling);
	/* In a forked child the connection is still the parent's. */
	if (s->base.lost || loop_is_forked(reactor_of(s)))
		return;
	sent = s->why == NULL ? flush(s) : 0;
	if (s->why == NULL)
		mind_deadline(s, room && sent > 0);
	if (!s->base.reading_paused) {
		s->look = false;
		s->hung_up = s->eof;
	}
	/* An answer may change all, and comes before the next wait. */
	if (s->why != NULL)
		settle_end(s);
	else if (owes_answer(s))
		owe_answer(s);
	else
		arm(s);
	/* Behind the answer, which may be the last. */
	plait_i_transport_output_changed(&s->base);
}

/*
 * The kernel calls a socket writable when much of its buffer is free, so a
 * peer that is slow, but not dead, may have made room without an event.  Room
 * that the first look finds is no sign of the peer: its kernel takes bytes
 * that nobody reads, as long as it has memory for them.
 */
static void look_for_progress(struct stream *s)
{
	s->blocked = false;
	if (flush(s) > 0 && s->looked)
		s->idle_looks = 0;
	else
		s->idle_looks++;
	s->looked = true;
	if (s->idle_looks < 2) {
		wait_for_look(s);
		settle(s, false);
	} else if (s->why == NULL) {
		plait_i_transport_give_up(&s->base);
	}
}

static void out_of_time(void *arg)
{
	struct stream *s = arg;

	if (s->lingering) {
		die(s);
	} else if (s->draining) {
		s->draining = false;
		owe_answer(s);
	} else {
		look_for_progress(s);
	}
}

static void settle_task(struct loop_task *task)
{
	settle(plait_container(task, struct stream, settling), false);
}

/* ---- answering ------------------------------------------------------- */

/* Sends the FIN.  False if there is no peer any more. */
static bool shut(struct stream *s)
{
	s->shut = true;
	return kernel_shutdown(kernel_of(s), s->fd, SHUT_WR) == 0;
}

/*
 * All is sent.  To close now, with input unread, would make the kernel reset
 * the connection and throw away output on its way; if there was any.
 */
static bool must_linger(struct stream *s)
{
	return s->wrote && !s->eof && (s->shut || shut(s));
}

static void linger(struct stream *s)
{
	s->lingering = true;
	plait_timer_start(reactor_of(s), &s->deadline,
			  s->base.limits.linger_timeout, out_of_time, s);
	if (plait_watch_change(&s->watch, PLAIT_READ) < 0)
		die(s);
	verify(s);
}

static void finish(struct stream *s)
{
	bool lingers = must_linger(s);

	plait_timer_stop(&s->deadline);
	plait_i_transport_lost(&s->base, &plait_i_failure_connection_done);
	if (lingers && !s->hurried)
		linger(s);
	else
		die(s);
}

static void receive(struct stream *s);
static void look_for_hang_up(struct stream *s);

/* One read of what is left, until there is none or nobody to read it. */
static void drain(struct stream *s)
{
	plait_i_transport_broken(&s->base, s->why);
	if (!is_closing(s) && !s->base.reading_paused) {
		plait_timer_stop(&s->deadline);
		receive(s);
	} else if (!waits_for_reader(s)) {
		s->draining = false;
	}
	settle_end(s);
}

static void answer(struct stream *s)
{
	loop_task_cancel(&s->answering);
	if (s->draining) {
		drain(s);
	} else if (s->why != NULL) {
		plait_i_transport_lost(&s->base, s->why);
		die(s);
	} else if (is_finished(s)) {
		finish(s);
	} else if (s->look) {
		look_for_hang_up(s);
		settle(s, false);
	} else {
		if (is_write_finished(s)) {
			shut(s);
			plait_i_transport_write_lost(&s->base);
		}
		settle(s, false);
	}
}

static void answer_task(struct loop_task *task)
{
	answer(plait_container(task, struct stream, answering));
}

/* ---- receiving ------------------------------------------------------- */

static void end_of_input(struct stream *s)
{
	s->eof = s->hung_up = true;
	if (s->lingering)
		die(s);
	else if (!plait_i_transport_read_lost(&s->base))
		s->peer_left = true;
}

static void input(struct stream *s, const void *data, size_t len)
{
	trace_note(TRACE_READ, &s->base, NULL, NULL, len);
	if (!s->lingering) {
		plait_i_transport_data(&s->base, data, len);
		return;
	}
	/* From here on the limit is what is left of it. */
	if (len >= s->base.limits.linger_bytes)
		die(s);
	else
		s->base.limits.linger_bytes -= len;
}

static void input_error(struct stream *s, int err)
{
	if (err == EAGAIN || err == EWOULDBLOCK)
		return;
	if (s->lingering)
		die(s);
	else
		fail_errno(s, err, "recv");
}

/* One read, so that a peer that sends without end keeps nobody waiting. */
static void receive(struct stream *s)
{
	void *buf = plait_i_pool_read_buffer(reactor_of(s));
	ssize_t n;

	if (buf == NULL) {
		fail(s, plait_no_memory());
		return;
	}
	do {
		n = kernel_recv(kernel_of(s), s->fd, buf, POOL_READ_SIZE,
				MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		input(s, buf, (size_t)n);
	else if (s->draining)
		s->draining = false;
	else if (n == 0)
		end_of_input(s);
	else
		input_error(s, errno);
}

static int pending_error(struct stream *s)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (kernel_getsockopt(kernel_of(s), s->fd, SOL_SOCKET, SO_ERROR, &err,
			      &len) < 0)
		return errno;
	return err;
}

/*
 * Nobody reads, or the end was read; so the socket has to be asked whether
 * the peer is gone.  The end of the input waits behind input that is unread.
 * An error does not wait, as nothing will come after it.
 */
static void look_for_hang_up(struct stream *s)
{
	ssize_t n;
	int err;
	char c;

	s->look = false;
	do {
		n = kernel_recv(kernel_of(s), s->fd, &c, sizeof(c),
				MSG_PEEK | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	err = n < 0 ? errno : pending_error(s);
	if (err == EAGAIN || err == EWOULDBLOCK)
		return;
	s->hung_up = true;
	if (err != 0)
		break_off(s, err, "recv");
	else if (n == 0 && !s->eof && !plait_i_transport_has_unread(&s->base))
		end_of_input(s);
}

static void ready(struct plait_watch *w, unsigned events)
{
	struct stream *s = plait_container(w, struct stream, watch);

	if (events & PLAIT_LOST)
		s->fd = -1;
	if (s->dead || s->why != NULL)
		return;
	if (events & PLAIT_LOST)
		fail_errno(s, EBADF, "watch");
	/* What comes before an answer does not arm what is wanted now. */
	if (plait_list_is_linked(&s->answering.link))
		events &= wanted_events(s) | PLAIT_WRITE;
	if (events & PLAIT_READ)
		receive(s);
	else if (events & WATCH_HANGUP)
		look_for_hang_up(s);
	if (events & PLAIT_WRITE)
		s->blocked = false;
	settle(s, events & PLAIT_WRITE);
	/* The callback has returned, so its answer need not wait. */
	if (plait_list_is_linked(&s->answering.link) && !s->dead &&
	    !loop_is_forked(reactor_of(s)))
		answer(s);
}

/* ---- as a transport -------------------------------------------------- */

static void stream_write(struct plait_transport *t, const struct iovec *pieces,
			 int n)
{
	struct stream *s = self_of(t);
	int r = 0;

	s->wrote = true;
	for (int i = 0; i < n && r == 0; i++)
		r = plait_i_output_add(&s->output, t->reactor,
				       pieces[i].iov_base, pieces[i].iov_len);
	if (r < 0)
		plait_i_transport_abort(t, &plait_i_failure_no_memory);
	else
		touch(s);
}

static void stream_write_buf(struct plait_transport *t, struct plait_buf *buf)
{
	struct stream *s = self_of(t);

	s->wrote = true;
	if (plait_i_output_add_buf(&s->output, t->reactor, buf) < 0)
		plait_i_transport_abort(t, &plait_i_failure_no_memory);
	else
		touch(s);
}

static void stream_touch(struct plait_transport *t)
{
	touch(self_of(t));
}

static void stream_set_reading(struct plait_transport *t, bool on)
{
	struct stream *s = self_of(t);

	/* Even if it is paused again before the loop sees that. */
	s->look = s->hung_up && !s->eof;
	touch(s);
}

static bool stream_peer_has_closed(const struct plait_transport *t)
{
	const struct stream *s = plait_container(t, const struct stream, base);

	return s->eof || s->why != NULL ||
	       kernel_has_hung_up(kernel_of(s), s->fd);
}

static void stream_abort(struct plait_transport *t,
			 const struct plait_failure *why, bool reset)
{
	struct stream *s = self_of(t);

	s->reset |= reset;
	fail(s, plait_value_make(&plait_failure_type, (void *)(uintptr_t)why));
}

static struct output *stream_output(struct plait_transport *t)
{
	return &self_of(t)->output;
}

static int stream_host(struct plait_transport *t, struct plait_address *ret)
{
	return plait_i_address_of_socket(loop_kernel(t->reactor),
					 self_of(t)->fd, ret);
}

static int stream_peer(struct plait_transport *t, struct plait_address *ret)
{
	const struct stream *s = self_of(t);

	if (s->peer.family == AF_UNSPEC)
		return -ENOTCONN;
	*ret = s->peer;
	return 0;
}

static int stream_set_option(struct plait_transport *t, int level, int option,
			     int value)
{
	int fd = self_of(t)->fd;

	if (kernel_setsockopt(loop_kernel(t->reactor), fd, level, option,
			      &value, sizeof(value)) < 0)
		return -errno;
	return 0;
}

static const struct transport_ops stream_ops = {
	.name = "tcp",
	.write = stream_write,
	.write_buf = stream_write_buf,
	.lose = stream_touch,
	.abort = stream_abort,
	.lose_write = stream_touch,
	.set_reading = stream_set_reading,
	.output = stream_output,
	.peer_has_closed = stream_peer_has_closed,
	.host = stream_host,
	.peer = stream_peer,
	.set_option = stream_set_option,
};

/* ---- as a member of the reactor -------------------------------------- */

static bool stream_is_closing(const struct loop_member *m)
{
	const struct stream *s =
		plait_container(m, const struct stream, member);

	return s->lingering ||
	       (is_closing(s) && s->why == NULL && !s->base.lost);
}

/* As much as the kernel takes at once; there are no others to be served. */
static void send_the_rest(struct stream *s)
{
	do
		s->blocked = false;
	while (flush(s) > 0);
}

/* The reactor shuts down. */
static void stream_lose(struct loop_member *m)
{
	struct stream *s = plait_container(m, struct stream, member);

	if (s->base.lost) {
		s->hurried = s->lingering;
		if (s->lingering)
			die(s);
		return;
	}
	if (s->why == NULL) {
		send_the_rest(s);
		s->hurried = s->wrote && !s->eof;
	}
	if (s->why == NULL && !is_finished(s))
		fail(s, plait_fail(&plait_error_connection_lost,
				   "the reactor was shut down"));
	plait_i_transport_leave(&s->base);
	owe_answer(s);
}

/* The connection is the parent's; what the child has of it is a descriptor. */
static void stream_abandon(struct loop_member *m)
{
	struct stream *s = plait_container(m, struct stream, member);

	plait_i_transport_abandon(&s->base);
	plait_timer_stop(&s->deadline);
	loop_task_cancel(&s->settling);
	loop_task_cancel(&s->answering);
	plait_i_watch_forget(&s->watch);
	if (s->fd >= 0)
		plait_i_loop_close(reactor_of(s), s->fd);
	s->fd = -1;
	s->lingering = false;
	s->dead = true;
	s->answering.run = bury;
	plait_i_loop_bury(reactor_of(s), &s->answering);
}

void plait_i_stream_break_off(struct plait_transport *t, int err)
{
	break_off(self_of(t), err, "connect");
}

static struct plait_transport *stream_transport(struct loop_member *m)
{
	return &plait_container(m, struct stream, member)->base;
}

static const struct loop_member_ops stream_member_ops = {
	.lose = stream_lose,
	.is_closing = stream_is_closing,
	.abandon = stream_abandon,
	.transport = stream_transport,
};

struct plait_transport *plait_i_stream_new(struct plait_reactor *r, int fd,
					   const struct plait_address *peer,
					   struct transport_owner *owner)
{
	struct stream *s = malloc(sizeof(*s));
	int err = ENOMEM;

	if (s == NULL)
		goto err_close;
	*s = (struct stream){
		.member.ops = &stream_member_ops,
		.settling.run = settle_task,
		.answering.run = answer_task,
		.peer = *peer,
		.fd = fd,
	};
	plait_i_transport_init(&s->base, &stream_ops, r, owner);
	err = -plait_watch_start(r, &s->watch, fd, PLAIT_READ, ready);
	if (err != 0)
		goto err_free;
	plait_i_loop_join(r, &s->member);
	plait_i_address_trace(peer, TRACE_OPENED, &s->base);
	verify(s);
	return &s->base;

err_free:
	free(s);
err_close:
	plait_i_loop_close(r, fd);
	errno = err;
	return NULL;
}

/*
 * The calls on a TCP socket, as Linux answers them.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/simulation/tcp.h"

enum { MOST_BACKLOG = 4096 };

/* How long a kernel asks for the host of an address. */
static const int64_t tcp_patience = INT64_C(3000000000); /* ns */

static const struct socket_ops tcp_socket_ops;

/* ---- what it is ready for ------------------------------------------------ */

size_t plait_i_tcp_queued(const struct tcp *s)
{
	return (size_t)(s->next - s->acknowledged) +
	       (s->unsent != NULL ? plait_buf_size(s->unsent) : 0);
}

/* A third of the room has to be free, so that a writer is not woken for each
   byte. */
static bool tcp_is_writable(const struct tcp *s)
{
	return (s->shut & TCP_NO_SEND) ||
	       plait_i_tcp_queued(s) <= s->send_size / 3 * 2;
}

static unsigned tcp_readiness(const struct sim_socket *base)
{
	const struct tcp *s = tcp_of_const(base);
	unsigned events = 0;

	if (s->state == TCP_LISTEN)
		return s->n_waiting > 0 ? POLLIN : 0;
	if (s->shut == TCP_SHUT || s->state == TCP_CLOSE)
		events |= POLLHUP;
	if (s->shut & TCP_NO_RECV)
		events |= POLLIN | POLLRDHUP;
	if (!tcp_is_in(s, TCP_STATE(SYN_SENT) | TCP_STATE(SYN_RECV))) {
		events |= s->unread > 0 ? POLLIN : 0;
		events |= tcp_is_writable(s) ? POLLOUT : 0;
	}
	return events | (s->error != 0 ? POLLERR : 0);
}

static size_t tcp_input_size(const struct sim_socket *base)
{
	return tcp_of_const(base)->unread;
}

static size_t tcp_room(const struct sim_socket *base)
{
	const struct tcp *s = tcp_of_const(base);
	size_t queued = plait_i_tcp_queued(s);

	return queued < s->send_size ? s->send_size - queued : 0;
}

/* ---- names and listening ------------------------------------------------- */

static int tcp_bind_to(struct sim_socket *base, const struct sockaddr *sa,
		       socklen_t len)
{
	struct tcp *s = tcp_of(base);
	struct place at;
	int err = plait_i_place_read(&at, base->family, sa, len);

	if (err < 0)
		return err;
	if (s->v6only && plait_i_place_is_ipv4(&at))
		return -EINVAL;
	if (s->state != TCP_CLOSE || plait_list_is_linked(&s->by_port))
		return -EINVAL;
	return plait_i_tcp_bind(s, &at);
}

static unsigned tcp_backlog(int backlog)
{
	return backlog < 0 || backlog > MOST_BACKLOG ? MOST_BACKLOG
						     : (unsigned)backlog;
}

static int tcp_listen_on(struct sim_socket *base, int backlog)
{
	struct tcp *s = tcp_of(base);
	int err = 0;

	if (s->phase != TCP_FRESH ||
	    !tcp_is_in(s, TCP_STATE(CLOSE) | TCP_STATE(LISTEN)))
		return -EINVAL;
	s->backlog = tcp_backlog(backlog);
	if (s->state == TCP_LISTEN)
		return 0;
	if (!plait_list_is_linked(&s->by_port))
		err = plait_i_tcp_bind(s, &(struct place){ .ip = s->local.ip });
	if (err == 0)
		err = plait_i_tcp_check_listen(s);
	if (err < 0)
		return err;
	s->state = TCP_LISTEN;
	plait_i_socket_changed(base);
	return 0;
}

static int tcp_accept_next(struct sim_socket *base, struct sim_socket **ret)
{
	struct tcp *s = tcp_of(base), *child;
	struct plait_list *l;

	if (s->state != TCP_LISTEN)
		return -EINVAL;
	l = plait_list_first(&s->waiting);
	if (l == NULL)
		return -EAGAIN;
	child = plait_container(l, struct tcp, queue);
	plait_i_tcp_leave_queue(child);
	child->phase = TCP_CONNECTED;
	*ret = &child->base;
	plait_i_socket_changed(base);
	return 0;
}

static int tcp_name(const struct sim_socket *base, enum socket_name which,
		    struct sockaddr_storage *ret)
{
	const struct tcp *s = tcp_of_const(base);
	bool is_connected =
		s->remote.port != 0 &&
		!tcp_is_in(s, TCP_STATE(CLOSE) | TCP_STATE(SYN_SENT));

	if (which == SOCKET_PEER && !is_connected)
		return -ENOTCONN;
	return (int)plait_i_place_show(which == SOCKET_OWN ? &s->local
							   : &s->remote,
				       base->family, ret);
}

/* ---- connecting ---------------------------------------------------------- */

/* As Linux's tcp_disconnect(): the socket is as new, but for an error. */
static void tcp_disconnect(struct tcp *s)
{
	int err = s->error;

	if (s->state == TCP_LISTEN) {
		plait_i_tcp_stop_listening(s);
	} else if (tcp_is_in(s, TCP_STATE(ESTABLISHED) | TCP_STATE(SYN_RECV) |
					TCP_STATE(FIN_WAIT1) |
					TCP_STATE(FIN_WAIT2) |
					TCP_STATE(CLOSE_WAIT)) ||
		   (tcp_is_in(s, TCP_STATE(CLOSING) | TCP_STATE(LAST_ACK)) &&
		    plait_i_tcp_queued(s) > 0)) {
		plait_i_tcp_send_reset(s);
		err = ECONNRESET;
	} else if (s->state == TCP_SYN_SENT) {
		err = ECONNRESET;
	}
	plait_i_tcp_clear(s);
	plait_i_tcp_segments_free(&s->input);
	if (s->state != TCP_CLOSE)
		plait_i_tcp_part(s);
	plait_i_tcp_forget_ip(s);
	s->state = TCP_CLOSE;
	s->remote.port = 0;
	s->unread = 0;
	s->shut = 0;
	s->got_fin = false;
	s->phase = TCP_FRESH;
	s->error = err;
	plait_i_socket_woken(&s->base);
}

static void tcp_nobody_answers(struct future_event *e)
{
	plait_i_tcp_end(plait_container(e, struct tcp, timer), EHOSTUNREACH);
}

/* No host of the network says that the address is its own. */
static void tcp_ask_nobody(struct tcp *s)
{
	s->timer.happen = tcp_nobody_answers;
	plait_i_future_plan(tcp_future(s), &s->timer,
			    tcp_now(s) + tcp_patience);
}

static int tcp_begin(struct tcp *s, const struct place *to)
{
	struct plait_host *h = s->base.host;
	int err;

	if (s->v6only && plait_i_place_is_ipv4(to))
		return -ENETUNREACH;
	s->remote = *to;
	if (plait_i_place_is_any(&s->remote))
		plait_i_place_set_loopback(&s->remote);
	err = plait_i_tcp_join(s);
	if (err < 0) {
		s->remote.port = 0;
		return err;
	}
	s->connection = (uint64_t)h->number << 40 | ++h->sockets.connections;
	s->next = s->acknowledged = s->allowed = s->received = 0;
	s->error = 0;
	s->got_fin = false;
	s->state = TCP_SYN_SENT;
	s->phase = TCP_CONNECTING;
	if (s->peer != NULL)
		plait_i_tcp_send_syn(s);
	else
		tcp_ask_nobody(s);
	plait_i_socket_changed(&s->base);
	return -EINPROGRESS;
}

/* It was called before, and its outcome was not told. */
static int tcp_go_on_connecting(struct tcp *s)
{
	int err;

	if (tcp_is_in(s, TCP_STATE(SYN_SENT) | TCP_STATE(SYN_RECV)))
		return -EALREADY;
	if (s->state != TCP_CLOSE) {
		s->phase = TCP_CONNECTED;
		return 0;
	}
	err = plait_i_tcp_take_error(s);
	tcp_disconnect(s);
	return err != 0 ? -err : -ECONNABORTED;
}

static int tcp_connect_to(struct sim_socket *base, const struct sockaddr *sa,
			  socklen_t len)
{
	struct tcp *s = tcp_of(base);
	struct place to;
	int err;

	if (len < sizeof(sa->sa_family))
		return -EINVAL;
	if (sa->sa_family == AF_UNSPEC) {
		tcp_disconnect(s);
		return 0;
	}
	if (s->phase == TCP_SPENT)
		return -EINVAL;
	if (s->phase == TCP_CONNECTING)
		return tcp_go_on_connecting(s);
	if (s->phase == TCP_CONNECTED || s->state != TCP_CLOSE)
		return -EISCONN;
	err = plait_i_place_read(&to, base->family, sa, len);
	return err < 0 ? err : tcp_begin(s, &to);
}

/* ---- bytes --------------------------------------------------------------- */

/* Copies at most so many bytes to the pieces; returns how many. */
static size_t tcp_peek(const struct tcp *s, const struct msghdr *msg,
		       size_t most)
{
	struct plait_list *l;
	size_t done = 0;

	plait_list_for_each (l, &s->input) {
		const struct tcp_segment *g = plait_container(
			l, const struct tcp_segment, packet.link);
		size_t n = g->len - g->used;

		if (done == most)
			break;
		done += plait_i_pieces_fill(msg->msg_iov, msg->msg_iovlen, done,
					    g->data + g->used,
					    n < most - done ? n : most - done);
	}
	return done;
}

static void tcp_consume(struct tcp *s, size_t n)
{
	s->unread -= n;
	while (n > 0) {
		struct tcp_segment *g =
			plait_container(plait_list_first(&s->input),
					struct tcp_segment, packet.link);
		size_t left = g->len - g->used;

		if (n < left) {
			g->used += n;
			return;
		}
		n -= left;
		plait_list_remove(&g->packet.link);
		free(g);
	}
}

/* Tells the other end of room, if there is much more than it knows of. */
static void tcp_tell_room(struct tcp *s)
{
	uint64_t allowed = s->received - s->unread + s->receive_size;

	if (!s->got_fin && s->state != TCP_CLOSE &&
	    allowed - s->told >= s->receive_size / 2)
		plait_i_tcp_send_ack(s);
}

static ssize_t tcp_recv(struct sim_socket *base, struct msghdr *msg,
			size_t most, int flags)
{
	struct tcp *s = tcp_of(base);
	size_t n;

	if (s->state == TCP_LISTEN)
		return -ENOTCONN;
	if (flags & MSG_OOB)
		return -EINVAL;
	n = tcp_peek(s, msg, most);
	if (n > 0 && !(flags & MSG_PEEK)) {
		tcp_consume(s, n);
		tcp_tell_room(s);
		plait_i_socket_changed(base);
	}
	if (n > 0 || s->got_fin || (most == 0 && s->unread > 0))
		return (ssize_t)n;
	if (s->error != 0) {
		int err = plait_i_tcp_take_error(s);

		plait_i_socket_changed(base);
		return -err;
	}
	if (s->shut & TCP_NO_RECV)
		return 0;
	return s->state == TCP_CLOSE ? -ENOTCONN : -EAGAIN;
}

/* Whether it may send: 0, or -errno. */
static int tcp_may_send(struct tcp *s)
{
	int err = 0;

	if (s->error == 0 &&
	    tcp_is_in(s, TCP_STATE(SYN_SENT) | TCP_STATE(SYN_RECV)))
		return -EAGAIN;
	if (s->error == 0 && !(s->shut & TCP_NO_SEND) &&
	    tcp_is_in(s, TCP_STATE(ESTABLISHED) | TCP_STATE(CLOSE_WAIT)))
		return 0;
	err = plait_i_tcp_take_error(s);
	plait_i_socket_changed(&s->base);
	return err != 0 ? -err : -EPIPE;
}

/* Returns how many bytes of the pieces it has taken; none without memory. */
static size_t tcp_gather(struct tcp *s, const struct iovec *pieces, size_t n,
			 size_t most)
{
	size_t done = 0;

	for (size_t i = 0; i < n && done < most; i++) {
		size_t len = pieces[i].iov_len;

		if (len > most - done)
			len = most - done;
		if (len > 0 &&
		    plait_buf_append(s->unsent, pieces[i].iov_base, len) < 0)
			break;
		done += len;
	}
	return done;
}

/*
 * With MSG_MORE less than a segment waits for more, or for the answer to what
 * is on its way; if there is none, for a timer.  If there is no room for all,
 * nothing waits.
 */
static ssize_t tcp_send(struct sim_socket *base, const struct msghdr *msg,
			size_t most, int flags)
{
	struct tcp *s = tcp_of(base);
	size_t room = tcp_room(base), done;
	size_t size = plait_i_pieces_size(msg->msg_iov, msg->msg_iovlen);
	int err = tcp_may_send(s);

	if (err < 0)
		return err;
	if (size == 0)
		return 0;
	if (room == 0)
		return -EAGAIN;
	if (s->unsent == NULL)
		s->unsent = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	if (s->unsent == NULL)
		return -ENOBUFS;
	done = tcp_gather(s, msg->msg_iov, msg->msg_iovlen,
			  most < room ? most : room);
	if (done == 0)
		return -ENOBUFS;
	if (!(flags & MSG_MORE) || done < size ||
	    plait_buf_size(s->unsent) >= s->mss)
		plait_i_tcp_push(s);
	else if (s->acknowledged == s->next)
		plait_i_tcp_arm(s, tcp_now(s));
	plait_i_socket_changed(base);
	return (ssize_t)done;
}

static int tcp_shut(struct sim_socket *base, int how)
{
	struct tcp *s = tcp_of(base);
	int err = 0;

	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	if (tcp_is_in(s, TCP_STATE(SYN_SENT) | TCP_STATE(LISTEN))) {
		if (s->state == TCP_SYN_SENT || how != SHUT_WR)
			tcp_disconnect(s);
		return 0;
	}
	if (s->phase == TCP_CONNECTING)
		s->phase = tcp_is_in(s, TCP_STATE(SYN_RECV) | TCP_STATE(CLOSE))
				   ? TCP_SPENT
				   : TCP_CONNECTED;
	if (s->state == TCP_CLOSE)
		err = -ENOTCONN;
	s->shut |= (unsigned)how + 1;
	if (how != SHUT_RD &&
	    tcp_is_in(s, TCP_STATE(ESTABLISHED) | TCP_STATE(CLOSE_WAIT)))
		plait_i_tcp_finish(s);
	plait_i_socket_woken(base);
	return err;
}

/* ---- the end ------------------------------------------------------------- */

/* What close() destroys is told to the other end by a RST; and so is all, if
   the program wants that. */
static bool tcp_close_resets(const struct tcp *s)
{
	return s->unread > 0 || (s->linger.l_onoff && s->linger.l_linger == 0);
}

static void tcp_release(struct sim_socket *base)
{
	struct tcp *s = tcp_of(base);

	s->shut = TCP_SHUT;
	switch (s->state) {
	case TCP_LISTEN:
		plait_i_tcp_stop_listening(s);
		break;
	case TCP_CLOSE:
	case TCP_SYN_SENT:
		break;
	default:
		if (!tcp_close_resets(s)) {
			s->orphan = true;
			plait_i_tcp_finish(s);
			if (s->state == TCP_FIN_WAIT2)
				plait_i_tcp_wait_for_fin(s);
			return;
		}
		plait_i_tcp_send_reset(s);
	}
	plait_i_tcp_free(s);
}

static void tcp_destroy(struct sim_socket *base)
{
	plait_i_tcp_free(tcp_of(base));
}

static bool tcp_is_past(const struct sim_socket *base)
{
	const struct tcp *s = tcp_of_const(base);

	return s->orphan &&
	       tcp_is_in(s, TCP_STATE(TIME_WAIT) | TCP_STATE(FIN_WAIT2));
}

static const char *const tcp_states[] = {
	[TCP_ESTABLISHED] = "ESTABLISHED",
	[TCP_SYN_SENT] = "SYN_SENT",
	[TCP_SYN_RECV] = "SYN_RECV",
	[TCP_FIN_WAIT1] = "FIN_WAIT1",
	[TCP_FIN_WAIT2] = "FIN_WAIT2",
	[TCP_TIME_WAIT] = "TIME_WAIT",
	[TCP_CLOSE] = "CLOSE",
	[TCP_CLOSE_WAIT] = "CLOSE_WAIT",
	[TCP_LAST_ACK] = "LAST_ACK",
	[TCP_LISTEN] = "LISTEN",
	[TCP_CLOSING] = "CLOSING",
};

static void tcp_look(const struct sim_socket *base, struct socket_look *ret)
{
	const struct tcp *s = tcp_of_const(base);

	*ret = (struct socket_look){
		.protocol = "tcp",
		.state = tcp_states[s->state],
		.received = s->state == TCP_LISTEN ? s->n_waiting : s->unread,
		.sent = plait_i_tcp_queued(s),
		.local = s->local,
		.remote = s->remote,
	};
}

static const struct socket_ops tcp_socket_ops = {
	.readiness = tcp_readiness,
	.input = tcp_input_size,
	.room = tcp_room,
	.release = tcp_release,
	.destroy = tcp_destroy,
	.is_over = tcp_is_past,
	.bind = tcp_bind_to,
	.listen = tcp_listen_on,
	.accept = tcp_accept_next,
	.connect = tcp_connect_to,
	.recv = tcp_recv,
	.send = tcp_send,
	.shutdown = tcp_shut,
	.getsockopt = plait_i_tcp_getsockopt,
	.setsockopt = plait_i_tcp_setsockopt,
	.name = tcp_name,
	.look = tcp_look,
};

struct sim_socket *plait_i_tcp_new(struct plait_host *h, int family)
{
	struct tcp *s = plait_i_tcp_make(&tcp_socket_ops, h, family);

	return s != NULL ? &s->base : NULL;
}

/* ---- of a host ----------------------------------------------------------- */

void plait_i_tcp_init(struct plait_host *h)
{
	h->sockets.tcp = &plait_i_tcp_packet_ops;
	h->sockets.tcp_again = plait_i_tcp_try_again;
}

/*
 * The calls on a UNIX stream socket, as Linux answers them.
 *
 * connect() makes the other end at once, which then waits to be accepted; bytes
 * may be sent to it before.
 */
#include <errno.h>
#include <poll.h>

#include "reactor/simulation/local.h"

/* A send is cut into messages of so many bytes, at most. */
enum { MOST_IN_ONE = 36544 };

/* ---- what it is ready for ------------------------------------------------ */

static unsigned stream_readiness(const struct sim_socket *base)
{
	const struct local *s = local_of_const(base);
	unsigned events = plait_i_local_is_writable(s) ? POLLOUT : 0;

	if (s->error != 0)
		events |= POLLERR;
	if (s->shut == LOCAL_SHUT || s->state == LOCAL_CLOSE)
		events |= POLLHUP;
	if (s->shut & LOCAL_NO_RECV)
		events |= POLLIN | POLLRDHUP;
	if (!plait_list_is_empty(&s->input) ||
	    !plait_list_is_empty(&s->waiting))
		events |= POLLIN;
	return events;
}

static size_t stream_waiting_input(const struct sim_socket *base)
{
	struct socket_look look;

	plait_i_local_look(base, &look);
	return look.received;
}

static size_t stream_room(const struct sim_socket *base)
{
	const struct local *s = local_of_const(base);

	return s->used < s->send_size ? s->send_size - s->used : 0;
}

/* ---- the end ------------------------------------------------------------- */

static void stream_turn_away(struct local *listener);

/* Whoever has something unread resets, and so does a listener those who wait.
 */
static void stream_die(struct local *s, bool is_waiting)
{
	struct local *peer = s->peer;

	if (peer != NULL && !peer->is_dead) {
		peer->shut = LOCAL_SHUT;
		if (is_waiting || !plait_list_is_empty(&s->input))
			peer->error = ECONNRESET;
		plait_i_socket_woken(&peer->base);
	}
	stream_turn_away(s);
	plait_i_local_die(s);
}

static void stream_leave_queue(struct local *listener, struct local *s)
{
	plait_list_remove(&s->queue);
	listener->n_waiting--;
}

static void stream_turn_away(struct local *listener)
{
	struct plait_list *l;

	while ((l = plait_list_first(&listener->waiting)) != NULL) {
		struct local *s = plait_container(l, struct local, queue);

		stream_leave_queue(listener, s);
		stream_die(s, true);
	}
}

static void stream_release(struct sim_socket *base)
{
	stream_die(local_of(base), false);
}

/* The power is gone for all of them. */
static void stream_destroy(struct sim_socket *base)
{
	struct local *s = local_of(base);

	plait_list_remove(&s->queue);
	stream_die(s, false);
}

/* ---- listening and connecting -------------------------------------------- */

static int stream_listen(struct sim_socket *base, int backlog)
{
	struct local *s = local_of(base);

	if (s->name.len == 0 || s->state == LOCAL_ESTABLISHED)
		return -EINVAL;
	s->backlog =
		(unsigned)backlog > SOMAXCONN ? SOMAXCONN : (size_t)backlog;
	s->state = LOCAL_LISTEN;
	s->peered = plait_i_local_owner(s);
	plait_i_socket_woken(base);
	return 0;
}

static int stream_accept(struct sim_socket *base, struct sim_socket **ret)
{
	struct local *listener = local_of(base), *s;
	struct plait_list *l = plait_list_first(&listener->waiting);

	if (listener->state != LOCAL_LISTEN)
		return -EINVAL;
	if (l == NULL)
		return -EAGAIN;
	s = plait_container(l, struct local, queue);
	stream_leave_queue(listener, s);
	plait_i_socket_changed(base);
	*ret = &s->base;
	return 0;
}

static int stream_may_connect(const struct local *s,
			      const struct local *listener)
{
	if (listener->state != LOCAL_LISTEN || (listener->shut & LOCAL_NO_RECV))
		return -ECONNREFUSED;
	if (listener->n_waiting > listener->backlog)
		return -EAGAIN;
	if (s->state == LOCAL_ESTABLISHED)
		return -EISCONN;
	return s->state == LOCAL_LISTEN ? -EINVAL : 0;
}

static void stream_join(struct local *a, struct local *b)
{
	plait_i_local_set_peer(a, b);
	plait_i_local_set_peer(b, a);
	a->state = b->state = LOCAL_ESTABLISHED;
}

static int stream_connect(struct sim_socket *base, const struct sockaddr *sa,
			  socklen_t len)
{
	struct local *s = local_of(base), *listener, *other;
	struct local_name name;
	int err = plait_i_local_read(&name, sa, len);

	if (err == 0)
		err = plait_i_local_find(base->host, &name, s->type, &listener);
	if (err == 0)
		err = stream_may_connect(s, listener);
	if (err < 0)
		return err;
	other = plait_i_local_make(base->host, base->ops, s->type);
	if (other == NULL)
		return -ENOMEM;
	other->name = listener->name;
	other->peered = plait_i_local_owner(s);
	s->peered = listener->peered;
	stream_join(s, other);
	plait_list_append(&listener->waiting, &other->queue);
	listener->n_waiting++;
	plait_i_socket_woken(base);
	plait_i_socket_woken(&listener->base);
	return 0;
}

/* ---- bytes --------------------------------------------------------------- */

static int stream_may_send(const struct local *s, const struct msghdr *msg,
			   int flags)
{
	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (msg->msg_namelen > 0)
		return s->state == LOCAL_ESTABLISHED ? -EISCONN : -EOPNOTSUPP;
	if (s->peer == NULL)
		return -ENOTCONN;
	return s->shut & LOCAL_NO_SEND ? -EPIPE : 0;
}

static ssize_t stream_send(struct sim_socket *base, const struct msghdr *msg,
			   size_t most, int flags)
{
	struct local *s = local_of(base);
	size_t done = 0;
	int err = stream_may_send(s, msg, flags);

	while (err == 0 && done < most) {
		size_t n = s->send_size / 2 - 64;

		if (n > MOST_IN_ONE)
			n = MOST_IN_ONE;
		if (n > most - done)
			n = most - done;
		if (s->error != 0)
			err = -plait_i_local_take_error(s);
		else if (s->used >= s->send_size)
			err = -EAGAIN;
		else if (s->peer->is_dead || (s->peer->shut & LOCAL_NO_RECV))
			err = -EPIPE;
		else
			err = plait_i_local_put(s, s->peer, msg, done, n);
		if (err == 0)
			done += n;
	}
	plait_i_socket_changed(base);
	return done > 0 ? (ssize_t)done : err;
}

/* Nothing is there: why. */
static ssize_t stream_receive_nothing(struct local *s)
{
	if (s->error != 0)
		return -plait_i_local_take_error(s);
	return s->shut & LOCAL_NO_RECV ? 0 : -EAGAIN;
}

static ssize_t stream_peek(const struct local *s, struct msghdr *msg,
			   size_t most)
{
	struct plait_list *l;
	size_t done = 0;

	plait_list_for_each (l, &s->input) {
		const struct local_message *m =
			plait_container(l, const struct local_message, link);

		done += plait_i_local_show(m, m->taken, msg, done, most - done);
	}
	return (ssize_t)done;
}

static ssize_t stream_recv(struct sim_socket *base, struct msghdr *msg,
			   size_t most, int flags)
{
	struct local *s = local_of(base);
	struct local_message *m;
	size_t done = 0, n;

	msg->msg_namelen = 0;
	if (s->state != LOCAL_ESTABLISHED)
		return -EINVAL;
	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (plait_list_is_empty(&s->input))
		return stream_receive_nothing(s);
	if (flags & MSG_PEEK)
		return stream_peek(s, msg, most);
	while ((m = local_first(s)) != NULL && done < most) {
		n = plait_i_local_show(m, m->taken, msg, done, most - done);
		m->taken += n;
		done += n;
		if (m->taken == m->len)
			plait_i_local_drop(s, m);
	}
	plait_i_socket_changed(base);
	return (ssize_t)done;
}

/* What one end does not receive, the other one does not send. */
static int stream_shutdown(struct sim_socket *base, int how)
{
	struct local *s = local_of(base), *peer = s->peer;
	unsigned halves = (unsigned)how + 1;

	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	s->shut |= halves;
	plait_i_socket_woken(base);
	if (peer == NULL || peer->is_dead)
		return 0;
	peer->shut |= (halves & LOCAL_NO_RECV ? LOCAL_NO_SEND : 0) |
		      (halves & LOCAL_NO_SEND ? LOCAL_NO_RECV : 0);
	plait_i_socket_woken(&peer->base);
	return 0;
}

static const struct socket_ops stream_socket_ops = {
	.readiness = stream_readiness,
	.input = stream_waiting_input,
	.room = stream_room,
	.release = stream_release,
	.destroy = stream_destroy,
	.is_over = plait_i_local_is_past,
	.bind = plait_i_local_bind,
	.listen = stream_listen,
	.accept = stream_accept,
	.connect = stream_connect,
	.recv = stream_recv,
	.send = stream_send,
	.shutdown = stream_shutdown,
	.getsockopt = plait_i_local_getsockopt,
	.setsockopt = plait_i_local_setsockopt,
	.name = plait_i_local_name,
	.look = plait_i_local_look,
};

struct sim_socket *plait_i_local_stream_new(struct plait_host *h)
{
	struct local *s =
		plait_i_local_make(h, &stream_socket_ops, SOCK_STREAM);

	return s != NULL ? &s->base : NULL;
}

void plait_i_local_stream_join(struct sim_socket *a, struct sim_socket *b)
{
	struct local *s = local_of(a), *other = local_of(b);

	s->peered = plait_i_local_owner(other);
	other->peered = plait_i_local_owner(s);
	stream_join(s, other);
}

/*
 * The calls on a UNIX socket for datagrams, as Linux answers them.
 *
 * A queue holds so many datagrams, however large.  Whoever is connected to a
 * socket whose queue is full is not writable; whoever is not is never told.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "reactor/simulation/local.h"

/* What a socket may not send of its buffer. */
enum { RESERVED = 32 };

/* ---- what it is ready for ------------------------------------------------ */

/* Those who have connected to each other wait for no room but their own. */
static bool datagram_is_full(const struct local *s, const struct local *to)
{
	return to != s && to->peer != s && to->n_input > LOCAL_DATAGRAMS;
}

static unsigned datagram_readiness(const struct sim_socket *base)
{
	const struct local *s = local_of_const(base);
	unsigned events = 0;

	if (s->error != 0)
		events |= POLLERR;
	if (s->shut == LOCAL_SHUT)
		events |= POLLHUP;
	if (s->shut & LOCAL_NO_RECV)
		events |= POLLIN | POLLRDHUP;
	if (!plait_list_is_empty(&s->input))
		events |= POLLIN;
	if (plait_i_local_is_writable(s) &&
	    (s->peer == NULL || s->peer->is_dead || s->peer->peer == s ||
	     s->peer->n_input <= LOCAL_DATAGRAMS))
		events |= POLLOUT;
	return events;
}

/* A datagram is never taken in part. */
static size_t datagram_nothing(const struct sim_socket *base)
{
	return 0;
}

/* Its queue has room again: those who are connected to it are writable. */
static void datagram_has_room(const struct local *s)
{
	struct plait_list *l;

	plait_list_for_each (l, &s->base.host->sockets.all) {
		struct sim_socket *other =
			plait_container(l, struct sim_socket, link);

		if (other->family == AF_UNIX && local_of(other)->peer == s)
			plait_i_socket_woken(other);
	}
}

/* ---- connecting ---------------------------------------------------------- */

/* What the peer of before has sent is lost, and it is told. */
static void datagram_disconnected(struct local *s, struct local *before)
{
	if (plait_list_is_empty(&s->input))
		return;
	plait_i_local_drop_all(s);
	datagram_has_room(s);
	if (before->is_dead || before->peer != s)
		return;
	before->error = ECONNRESET;
	plait_i_socket_woken(&before->base);
}

static void datagram_set_peer(struct local *s, struct local *to)
{
	struct local *before = s->peer;

	if (before != NULL)
		plait_i_local_ref(before);
	plait_i_local_set_peer(s, to);
	s->state = to != NULL ? LOCAL_ESTABLISHED : LOCAL_CLOSE;
	if (before != NULL && before != to)
		datagram_disconnected(s, before);
	plait_i_local_unref(before);
	plait_i_socket_woken(&s->base);
}

static bool datagram_is_wanted(const struct local *s, const struct local *to)
{
	return to->peer == NULL || to->peer == s;
}

static int datagram_connect(struct sim_socket *base, const struct sockaddr *sa,
			    socklen_t len)
{
	struct local *s = local_of(base), *to = NULL;
	struct local_name name;
	int err;

	if (len < sizeof(sa->sa_family))
		return -EINVAL;
	if (sa->sa_family != AF_UNSPEC) {
		err = plait_i_local_read(&name, sa, len);
		if (err == 0)
			err = plait_i_local_find(base->host, &name, s->type,
						 &to);
		if (err == 0 && !datagram_is_wanted(s, to))
			err = -EPERM;
		if (err < 0)
			return err;
	}
	datagram_set_peer(s, to);
	return 0;
}

/* ---- datagrams ----------------------------------------------------------- */

/* The socket to which msg goes: 0 or -errno. */
static int datagram_find(struct local *s, const struct msghdr *msg,
			 struct local **ret)
{
	struct local_name name;
	int err;

	if (msg->msg_namelen == 0) {
		*ret = s->peer;
		return s->peer != NULL ? 0 : -ENOTCONN;
	}
	err = plait_i_local_read(&name, msg->msg_name, msg->msg_namelen);
	return err < 0 ? err
		       : plait_i_local_find(s->base.host, &name, s->type, ret);
}

/* What its own side says. */
static int datagram_may_send(struct local *s, size_t size)
{
	if (size > s->send_size - RESERVED)
		return -EMSGSIZE;
	if (s->error != 0)
		return -plait_i_local_take_error(s);
	if (s->shut & LOCAL_NO_SEND)
		return -EPIPE;
	return s->used >= s->send_size ? -EAGAIN : 0;
}

/* ... and what the other one says. */
static int datagram_may_arrive(struct local *s, struct local *to)
{
	if (!datagram_is_wanted(s, to))
		return -EPERM;
	if (to->is_dead) {
		datagram_set_peer(s, NULL);
		return -ECONNREFUSED;
	}
	if (to->shut & LOCAL_NO_RECV)
		return -EPIPE;
	return datagram_is_full(s, to) ? -EAGAIN : 0;
}

static ssize_t datagram_send_one(struct sim_socket *base,
				 const struct msghdr *msg, size_t most,
				 int flags)
{
	struct local *s = local_of(base), *to;
	size_t size = plait_i_pieces_size(msg->msg_iov, msg->msg_iovlen);
	int err;

	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	err = datagram_may_send(s, size);
	if (err == 0)
		err = datagram_find(s, msg, &to);
	if (err == 0)
		err = datagram_may_arrive(s, to);
	if (err == 0)
		err = plait_i_local_put(s, to, msg, 0, size);
	plait_i_socket_changed(base);
	return err < 0 ? err : (ssize_t)size;
}

static ssize_t datagram_recv(struct sim_socket *base, struct msghdr *msg,
			     size_t most, int flags)
{
	struct local *s = local_of(base);
	struct local_message *m = local_first(s);
	size_t room = plait_i_pieces_size(msg->msg_iov, msg->msg_iovlen), n;

	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (s->error != 0)
		return -plait_i_local_take_error(s);
	if (m == NULL)
		return -EAGAIN;
	plait_i_local_show_sender(m, msg);
	msg->msg_controllen = 0;
	msg->msg_flags = m->len > room ? MSG_TRUNC : 0;
	n = plait_i_local_show(m, 0, msg, 0, room);
	if (flags & MSG_TRUNC)
		n = m->len;
	if (flags & MSG_PEEK)
		return (ssize_t)n;
	plait_i_local_drop(s, m);
	datagram_has_room(s);
	plait_i_socket_changed(base);
	return (ssize_t)n;
}

/* ---- the rest ------------------------------------------------------------ */

static int datagram_listen(struct sim_socket *base, int backlog)
{
	return -EOPNOTSUPP;
}

static int datagram_accept(struct sim_socket *base, struct sim_socket **ret)
{
	return -EOPNOTSUPP;
}

static int datagram_shutdown(struct sim_socket *base, int how)
{
	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	local_of(base)->shut |= (unsigned)how + 1;
	plait_i_socket_woken(base);
	return 0;
}

/* Those who are connected to it learn of it when they send. */
static void datagram_release(struct sim_socket *base)
{
	struct local *s = local_of(base);

	plait_i_local_ref(s);
	plait_i_local_die(s);
	datagram_has_room(s);
	plait_i_local_unref(s);
}

static const struct socket_ops datagram_socket_ops = {
	.readiness = datagram_readiness,
	.input = datagram_nothing,
	.room = datagram_nothing,
	.release = datagram_release,
	.destroy = datagram_release,
	.is_over = plait_i_local_is_past,
	.bind = plait_i_local_bind,
	.listen = datagram_listen,
	.accept = datagram_accept,
	.connect = datagram_connect,
	.recv = datagram_recv,
	.send = datagram_send_one,
	.shutdown = datagram_shutdown,
	.getsockopt = plait_i_local_getsockopt,
	.setsockopt = plait_i_local_setsockopt,
	.name = plait_i_local_name,
	.look = plait_i_local_look,
};

struct sim_socket *plait_i_local_datagram_new(struct plait_host *h)
{
	struct local *s =
		plait_i_local_make(h, &datagram_socket_ops, SOCK_DGRAM);

	return s != NULL ? &s->base : NULL;
}

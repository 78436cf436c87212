/*
 * The calls on a UDP socket, as Linux answers them.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/simulation/udp.h"

enum {
	IPV4_HEADER = 20,
	IPV6_HEADER = 40,
	MOST_BYTES = 65535,
	DEFAULT_BUFFER = 212992
};

/* How long a kernel asks for the host of an address. */
static const int64_t udp_patience = INT64_C(3000000000); /* ns */

/* ---- what it is ready for ------------------------------------------------ */

static unsigned udp_readiness(const struct sim_socket *base)
{
	const struct udp *s = udp_of_const(base);
	unsigned events = plait_i_future_is_planned(&s->room) ? 0 : POLLOUT;

	if (s->shut == UDP_SHUT)
		events |= POLLHUP;
	if (s->shut & UDP_NO_RECV)
		events |= POLLIN | POLLRDHUP;
	if (!plait_list_is_empty(&s->input))
		events |= POLLIN;
	if (s->error != 0 || !plait_list_is_empty(&s->errors))
		events |= POLLERR;
	return events;
}

/* A datagram is never taken in part. */
static size_t udp_nothing(const struct sim_socket *base)
{
	return 0;
}

/* ---- names --------------------------------------------------------------- */

static int udp_bind_to(struct sim_socket *base, const struct sockaddr *sa,
		       socklen_t len)
{
	struct udp *s = udp_of(base);
	struct place at;
	int err = plait_i_place_read(&at, base->family, sa, len);

	if (err < 0)
		return err;
	if (s->v6only && plait_i_place_is_ipv4(&at))
		return -EINVAL;
	return plait_i_udp_bind(s, &at);
}

/* A socket of IPv6 takes IPv4 addresses of both forms, for a peer. */
static int udp_read_peer(const struct udp *s, struct place *ret,
			 const struct sockaddr *sa, socklen_t len)
{
	bool is_ipv4 = len >= sizeof(sa->sa_family) &&
		       sa->sa_family == AF_INET && !s->v6only;

	return plait_i_place_read(ret, is_ipv4 ? AF_INET : s->base.family, sa,
				  len);
}

static int udp_name(const struct sim_socket *base, enum socket_name which,
		    struct sockaddr_storage *ret)
{
	const struct udp *s = udp_of_const(base);

	if (which != SOCKET_OWN && (!s->is_connected || s->remote.port == 0))
		return -ENOTCONN;
	return (int)plait_i_place_show(which == SOCKET_OWN ? &s->local
							   : &s->remote,
				       base->family, ret);
}

/* ---- ways ---------------------------------------------------------------- */

static bool udp_is_here(const struct udp *s, const struct place *p)
{
	return plait_i_host_at(s->base.host, &p->ip) == s->base.host;
}

/*
 * Whether there is a way from one address to the other.  No address of the
 * loopback leaves its host, and what belongs to no network has no way.
 */
static int udp_check_way(struct udp *s, const struct place *from,
			 const struct place *to)
{
	if (s->v6only && plait_i_place_is_ipv4(to))
		return -ENETUNREACH;
	if (plait_i_place_is_ipv4(from) != plait_i_place_is_ipv4(to))
		return plait_i_place_is_ipv4(from) ? -EAFNOSUPPORT
						   : -ENETUNREACH;
	if (plait_i_host_at(s->base.host, &to->ip) == NULL &&
	    !plait_i_place_is_near(to) && !plait_i_udp_is_group(to))
		return -ENETUNREACH;
	if (plait_i_place_is_loopback(from) && plait_i_place_is_ipv4(from) &&
	    !udp_is_here(s, to) && !plait_i_udp_is_group(to))
		return -EINVAL;
	return 0;
}

/* ---- connecting ---------------------------------------------------------- */

/* What it did not ask for is not its own any more. */
static void udp_disconnect(struct udp *s)
{
	uint16_t port = s->local.port;

	s->is_connected = false;
	s->remote.port = 0;
	if (!s->ip_is_kept) {
		plait_i_place_clear(&s->local, s->base.family);
		s->local.port = port;
	}
	if (!s->port_is_kept) {
		plait_i_udp_leave_port(s);
		s->local.port = 0;
	}
}

/* A socket that was connected keeps the address that it got first. */
static int udp_connect_to(struct sim_socket *base, const struct sockaddr *sa,
			  socklen_t len)
{
	struct udp *s = udp_of(base);
	struct place to, from;
	int err;

	if (len < sizeof(sa->sa_family))
		return -EINVAL;
	if (sa->sa_family == AF_UNSPEC) {
		udp_disconnect(s);
		return 0;
	}
	err = plait_i_udp_autobind(s);
	if (err == 0)
		err = udp_read_peer(s, &to, sa, len);
	if (err < 0)
		return err;
	if (plait_i_place_is_any(&to))
		plait_i_place_set_loopback(&to);
	from = s->local;
	if (plait_i_place_is_any(&from))
		plait_i_socket_choose_ip(base, &to, &from);
	err = udp_check_way(s, &from, &to);
	if (err < 0)
		return err;
	s->local = from;
	s->remote = to;
	s->is_connected = true;
	return 0;
}

/* ---- sending ------------------------------------------------------------- */

static int udp_find_destination(struct udp *s, const struct msghdr *msg,
				struct place *ret)
{
	int err;

	if (msg->msg_name == NULL) {
		*ret = s->remote;
		return s->is_connected ? 0 : -EDESTADDRREQ;
	}
	err = udp_read_peer(s, ret, msg->msg_name, msg->msg_namelen);
	if (err < 0)
		return err;
	if (plait_i_place_is_any(ret))
		plait_i_place_set_loopback(ret);
	return ret->port != 0 ? 0 : -EINVAL;
}

static int udp_find_source(struct udp *s, const struct msghdr *msg,
			   const struct place *to, struct place *ret)
{
	bool is_told = plait_i_udp_source(msg, ret);

	if (is_told && !udp_is_here(s, ret))
		return -EINVAL;
	if (!is_told)
		*ret = s->local;
	if (plait_i_place_is_any(ret))
		plait_i_socket_choose_ip(&s->base, to, ret);
	ret->port = s->local.port;
	return udp_check_way(s, ret, to);
}

/* With its headers it has to fit into a packet; and if it must not be cut, into
   what the link carries in one piece. */
static int udp_check_size(struct udp *s, const struct place *to, size_t size)
{
	bool is_ipv4 = plait_i_place_is_ipv4(to);
	size_t headers = (is_ipv4 ? IPV4_HEADER : IPV6_HEADER) + UDP_HEADER;
	size_t most = is_ipv4 ? MOST_BYTES : MOST_BYTES + IPV6_HEADER;
	const struct plait_host *peer = plait_i_host_at(s->base.host, &to->ip);

	if (size + headers > most)
		return -EMSGSIZE;
	if (udp_options(s, to)->discover != IP_PMTUDISC_DO || peer == NULL)
		return 0;
	return size + headers > plait_i_wire_mtu(s->base.host, peer) ? -EMSGSIZE
								     : 0;
}

static void udp_has_room(struct future_event *e)
{
	plait_i_socket_woken(&plait_container(e, struct udp, room)->base);
}

/* As on Linux, a socket may send whatever its size while less waits to leave
   than it may send, and is writable when less than half of that waits. */
static bool udp_waits_for_room(struct udp *s, const struct plait_host *peer)
{
	struct plait_host *h = s->base.host;
	double waits = plait_i_wire_backlog(h, peer);

	if (waits < (double)s->send_size)
		return false;
	s->room.happen = udp_has_room;
	plait_i_future_plan(&h->simulation->future, &s->room,
			    plait_i_wire_drained(h, peer, s->send_size / 2));
	plait_i_socket_changed(&s->base);
	return true;
}

/* No host of the network says that the address is its own. */
static void udp_nobody_answers(struct future_event *e)
{
	struct udp_datagram *g =
		plait_container(e, struct udp_datagram, packet.event);
	struct plait_host *h = g->packet.from;

	plait_list_remove(&g->packet.link);
	g->error = EHOSTUNREACH;
	g->offender = g->from;
	plait_i_udp_told(h, g);
}

static void udp_ask_nobody(struct udp_datagram *g)
{
	struct plait_simulation *s = g->packet.from->simulation;

	plait_list_append(&g->packet.from->sockets.flying, &g->packet.link);
	g->packet.to = g->packet.from;
	g->packet.event.happen = udp_nobody_answers;
	plait_i_future_plan(&s->future, &g->packet.event,
			    s->now + udp_patience);
}

static struct udp_datagram *datagram_new(struct udp *s,
					 const struct place *from,
					 const struct place *to, size_t len)
{
	struct udp_datagram *g = malloc(sizeof(*g) + len);
	size_t headers = UDP_HEADER + (plait_i_place_is_ipv4(to) ? IPV4_HEADER
								 : IPV6_HEADER);

	if (g == NULL)
		return NULL;
	memset(g, 0, sizeof(*g));
	g->packet = (struct wire_packet){
		.ops = &plait_i_udp_packet_ops,
		.from = s->base.host,
		.to = plait_i_host_at(s->base.host, &to->ip),
		.size = headers + len,
		.is_datagram = true,
	};
	g->from = *from;
	g->to = *to;
	g->traffic_class = (uint8_t)udp_options(s, to)->traffic_class;
	g->len = len;
	return g;
}

/* Some links let it arrive twice. */
static void datagram_fly(struct udp_datagram *g)
{
	struct udp_datagram *twin = NULL;

	if (plait_i_wire_doubles(g->packet.from, g->packet.to))
		twin = plait_i_udp_copy(g);
	plait_i_socket_fly(&g->packet, 0);
	if (twin != NULL)
		plait_i_socket_fly(&twin->packet, 0);
}

/* Takes g.  What has no hops does not leave its host. */
static void datagram_send_to_group(struct udp *s, struct udp_datagram *g)
{
	struct plait_host *own = s->base.host;
	const struct udp_family_options *o = udp_options(s, &g->to);
	bool leaves = o->hops != 0 && !plait_i_place_is_loopback(&g->from);
	struct plait_list *l;

	plait_list_for_each (l, &own->simulation->hosts) {
		struct plait_host *h =
			plait_container(l, struct plait_host, link);
		struct udp_datagram *copy = NULL;

		if (h == own ? !o->no_loop : leaves)
			copy = plait_i_udp_copy(g);
		if (copy == NULL)
			continue;
		copy->packet.to = h;
		datagram_fly(copy);
	}
	free(g);
}

static void datagram_send(struct udp *s, struct udp_datagram *g)
{
	if (plait_i_udp_is_group(&g->to))
		datagram_send_to_group(s, g);
	else if (g->packet.to == NULL)
		udp_ask_nobody(g);
	else
		datagram_fly(g);
}

/* It is too large.  Who wants errors is told by the queue as well; as on Linux,
   with the port of IPv4 that s is connected to, whatever port it was for. */
static void udp_note_refusal(struct udp *s, const struct place *to, int err)
{
	struct udp_datagram *g = NULL;

	if (udp_options(s, to)->tells_errors)
		g = datagram_new(s, &s->local, to, 0);
	if (g == NULL)
		return;
	g->error = -err;
	if (plait_i_place_is_ipv4(to))
		g->to.port = s->is_connected ? s->remote.port : 0;
	plait_i_udp_refused(s, g);
}

/* Whether it may send to there so many bytes now: 0 or -errno. */
static int udp_may_send(struct udp *s, const struct place *to, size_t size)
{
	const struct plait_host *peer = plait_i_host_at(s->base.host, &to->ip);
	int err = udp_check_size(s, to, size);

	if (err < 0) {
		udp_note_refusal(s, to, err);
		return err;
	}
	if (s->error != 0)
		return -plait_i_udp_take_error(s);
	if (s->shut & UDP_NO_SEND)
		return -EPIPE;
	return peer != NULL && udp_waits_for_room(s, peer) ? -EAGAIN : 0;
}

static ssize_t udp_send(struct sim_socket *base, const struct msghdr *msg,
			size_t most, int flags)
{
	struct udp *s = udp_of(base);
	size_t size = plait_i_pieces_size(msg->msg_iov, msg->msg_iovlen);
	struct place to, from;
	struct udp_datagram *g;
	int err = plait_i_udp_autobind(s);

	if (err == 0 && (flags & MSG_OOB))
		err = -EOPNOTSUPP;
	if (err == 0)
		err = udp_find_destination(s, msg, &to);
	if (err == 0)
		err = udp_find_source(s, msg, &to, &from);
	if (err == 0)
		err = udp_may_send(s, &to, size);
	if (err < 0)
		return err;
	g = datagram_new(s, &from, &to, size);
	if (g == NULL)
		return -ENOBUFS;
	plait_i_pieces_take(msg->msg_iov, msg->msg_iovlen, 0, g->data, size);
	datagram_send(s, g);
	return (ssize_t)size;
}

/* ---- receiving ----------------------------------------------------------- */

static ssize_t udp_recv(struct sim_socket *base, struct msghdr *msg,
			size_t most, int flags)
{
	struct udp *s = udp_of(base);
	struct udp_datagram *g = udp_first(&s->input);
	size_t n;

	if (flags & MSG_ERRQUEUE)
		return plait_i_udp_recv_error(s, msg);
	if (s->error != 0)
		return -plait_i_udp_take_error(s);
	if (g == NULL)
		return -EAGAIN;
	n = plait_i_udp_show(s, g, &g->from, msg);
	if (flags & MSG_TRUNC)
		n = g->len;
	plait_i_udp_tell_more(s, g, msg);
	if (flags & MSG_PEEK)
		return (ssize_t)n;
	plait_list_remove(&g->packet.link);
	s->used -= g->len + UDP_OVERHEAD;
	free(g);
	plait_i_socket_changed(base);
	return (ssize_t)n;
}

/* ---- the rest ------------------------------------------------------------ */

static int udp_listen_on(struct sim_socket *base, int backlog)
{
	return -EOPNOTSUPP;
}

static int udp_accept_next(struct sim_socket *base, struct sim_socket **ret)
{
	return -EOPNOTSUPP;
}

/* As on Linux, it is shut although it is not connected. */
static int udp_shut(struct sim_socket *base, int how)
{
	struct udp *s = udp_of(base);

	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	s->shut |= (unsigned)how + 1;
	plait_i_socket_woken(base);
	return s->is_connected ? 0 : -ENOTCONN;
}

static void udp_free(struct sim_socket *base)
{
	struct udp *s = udp_of(base);

	plait_i_future_cancel(&base->host->simulation->future, &s->room);
	plait_i_udp_free_queue(&s->input);
	plait_i_udp_free_queue(&s->errors);
	plait_i_udp_leave_all(s);
	plait_i_udp_leave_port(s);
	plait_i_socket_done(base);
	free(s);
}

static bool udp_is_past(const struct sim_socket *base)
{
	return false;
}

static void udp_look(const struct sim_socket *base, struct socket_look *ret)
{
	const struct udp *s = udp_of_const(base);

	*ret = (struct socket_look){
		.protocol = "udp",
		.state = s->is_connected ? "ESTABLISHED" : "",
		.received = s->used,
		.local = s->local,
		.remote = s->remote,
	};
}

static const struct socket_ops udp_socket_ops = {
	.readiness = udp_readiness,
	.input = udp_nothing,
	.room = udp_nothing,
	.release = udp_free,
	.destroy = udp_free,
	.is_over = udp_is_past,
	.bind = udp_bind_to,
	.listen = udp_listen_on,
	.accept = udp_accept_next,
	.connect = udp_connect_to,
	.recv = udp_recv,
	.send = udp_send,
	.shutdown = udp_shut,
	.getsockopt = plait_i_udp_getsockopt,
	.setsockopt = plait_i_udp_setsockopt,
	.name = udp_name,
	.look = udp_look,
};

struct sim_socket *plait_i_udp_new(struct plait_host *h, int family)
{
	struct udp *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	plait_i_socket_init(&s->base, &udp_socket_ops, h, family);
	plait_list_init(&s->by_port);
	plait_list_init(&s->input);
	plait_list_init(&s->errors);
	plait_list_init(&s->groups);
	plait_i_place_clear(&s->local, family);
	plait_i_place_clear(&s->remote, family);
	s->receive_size = s->send_size = DEFAULT_BUFFER;
	s->options[0].discover = s->options[1].discover = IP_PMTUDISC_WANT;
	s->options[0].hops = s->options[1].hops = 1;
	return &s->base;
}

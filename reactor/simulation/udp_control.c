/*
 * The control messages of UDP: the local address of a datagram, and errors with
 * the datagrams that they are about.
 */
#include <errno.h>
#include <time.h> /* which errqueue.h needs */
#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/simulation/udp.h"

/* How much room msg has for control messages; it has none yet. */
static size_t control_begin(struct msghdr *msg)
{
	size_t room = msg->msg_control != NULL ? msg->msg_controllen : 0;

	msg->msg_controllen = 0;
	return room;
}

/* Adds one behind those that msg has.  If there is no room for it, it is left
   out. */
static void control_put(struct msghdr *msg, size_t room, int level, int type,
			const void *data, size_t len)
{
	struct cmsghdr c = { .cmsg_len = CMSG_LEN(len),
			     .cmsg_level = level,
			     .cmsg_type = type };
	size_t at = msg->msg_controllen;

	if (at > room || room - at < CMSG_LEN(len)) {
		msg->msg_flags |= MSG_CTRUNC;
		return;
	}
	memcpy((char *)msg->msg_control + at, &c, sizeof(c));
	memcpy((char *)msg->msg_control + at + CMSG_LEN(0), data, len);
	at += CMSG_SPACE(len);
	msg->msg_controllen = at < room ? at : room;
}

static struct in_addr control_ipv4(const struct place *p)
{
	struct in_addr ip;

	memcpy(&ip, &p->ip.s6_addr[12], sizeof(ip));
	return ip;
}

static void control_put_ipv4(struct msghdr *msg, size_t room,
			     const struct place *p, unsigned index)
{
	struct in_pktinfo info = { .ipi_ifindex = (int)index,
				   .ipi_addr = control_ipv4(p) };

	if (index != 0)
		info.ipi_spec_dst = info.ipi_addr;
	control_put(msg, room, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
}

/* Where g came, if s wants to know that.  A socket of IPv6 may want it in both
   forms. */
static void control_put_local(const struct udp *s, const struct udp_datagram *g,
			      const struct place *local, struct msghdr *msg,
			      size_t room)
{
	unsigned index = udp_interface(g);

	if (s->base.family == AF_INET6 && s->options[1].tells_local) {
		struct in6_pktinfo info = { .ipi6_addr = local->ip,
					    .ipi6_ifindex = index };

		control_put(msg, room, IPPROTO_IPV6, IPV6_PKTINFO, &info,
			    sizeof(info));
	}
	/* If it came before that was asked for, it is too late. */
	if (plait_i_place_is_ipv4(local) && s->options[0].tells_local)
		control_put_ipv4(msg, room, local, g->is_placed ? index : 0);
}

/* IPv4 has a byte for that, IPv6 a number. */
static void control_put_class(const struct udp *s, const struct udp_datagram *g,
			      struct msghdr *msg, size_t room)
{
	int number = g->traffic_class;

	if (plait_i_place_is_ipv4(&g->to) && s->options[0].tells_class)
		control_put(msg, room, IPPROTO_IP, IP_TOS, &g->traffic_class,
			    sizeof(g->traffic_class));
	else if (!plait_i_place_is_ipv4(&g->to) && s->options[1].tells_class)
		control_put(msg, room, IPPROTO_IPV6, IPV6_TCLASS, &number,
			    sizeof(number));
}

void plait_i_udp_tell_more(const struct udp *s, const struct udp_datagram *g,
			   struct msghdr *msg)
{
	size_t room = control_begin(msg);

	control_put_local(s, g, &g->to, msg, room);
	control_put_class(s, g, msg, room);
}

bool plait_i_udp_source(const struct msghdr *msg, struct place *ret)
{
	struct msghdr *m = (struct msghdr *)(uintptr_t)msg;

	if (msg->msg_control == NULL)
		return false;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL;
	     c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			plait_i_place_clear(ret, AF_INET);
			memcpy(&ret->ip.s6_addr[12], &info.ipi_spec_dst,
			       sizeof(info.ipi_spec_dst));
			return !plait_i_place_is_any(ret);
		}
		if (c->cmsg_level == IPPROTO_IPV6 &&
		    c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			ret->ip = info.ipi6_addr;
			return !plait_i_place_is_any(ret);
		}
	}
	return false;
}

size_t plait_i_udp_show(const struct udp *s, const struct udp_datagram *g,
			const struct place *name, struct msghdr *msg)
{
	size_t n = plait_i_pieces_fill(msg->msg_iov, msg->msg_iovlen, 0,
				       g->data, g->len);
	struct sockaddr_storage sa;

	msg->msg_flags = n < g->len ? MSG_TRUNC : 0;
	if (msg->msg_name != NULL) {
		socklen_t size = plait_i_place_show(name, s->base.family, &sa);

		memcpy(msg->msg_name, &sa,
		       size < msg->msg_namelen ? size : msg->msg_namelen);
		msg->msg_namelen = size;
	} else {
		msg->msg_namelen = 0;
	}
	return n;
}

/* ---- errors -------------------------------------------------------------- */

static uint8_t error_icmp_type(bool is_ipv4)
{
	return is_ipv4 ? ICMP_DEST_UNREACH : ICMP6_DST_UNREACH;
}

static uint8_t error_icmp_code(bool is_ipv4, int err)
{
	if (err == ECONNREFUSED)
		return is_ipv4 ? ICMP_PORT_UNREACH : ICMP6_DST_UNREACH_NOPORT;
	return is_ipv4 ? ICMP_HOST_UNREACH : ICMP6_DST_UNREACH_ADDR;
}

/* A socket of IPv6 is told of both families as one of IPv6. */
static void error_put(const struct udp *s, const struct udp_datagram *g,
		      struct msghdr *msg, size_t room)
{
	bool speaks_ipv4 = s->base.family == AF_INET;
	bool is_ipv4 = plait_i_place_is_ipv4(&g->to);
	struct {
		struct sock_extended_err ee;
		struct sockaddr_in6 offender;
	} m = { .ee = { .ee_errno = (uint32_t)g->error,
			.ee_origin = SO_EE_ORIGIN_LOCAL } };
	struct place offender = { .ip = g->offender.ip };
	struct sockaddr_storage sa;
	socklen_t size = plait_i_place_show(&offender, s->base.family, &sa);

	if (!g->is_refusal) {
		m.ee.ee_origin =
			is_ipv4 ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6;
		m.ee.ee_type = error_icmp_type(is_ipv4);
		m.ee.ee_code = error_icmp_code(is_ipv4, g->error);
		memcpy(&m.offender, &sa, size);
	}
	control_put(msg, room, speaks_ipv4 ? IPPROTO_IP : IPPROTO_IPV6,
		    speaks_ipv4 ? IP_RECVERR : IPV6_RECVERR, &m,
		    sizeof(m.ee) + size);
}

/* What ICMP says and the queue has told, the calls do not tell any more. */
ssize_t plait_i_udp_recv_error(struct udp *s, struct msghdr *msg)
{
	struct udp_datagram *g = udp_first(&s->errors), *next;
	size_t n, room;

	if (g == NULL)
		return -EAGAIN;
	plait_list_remove(&g->packet.link);
	s->used -= g->len + UDP_OVERHEAD;
	n = plait_i_udp_show(s, g, &g->to, msg);
	msg->msg_flags |= MSG_ERRQUEUE;
	room = control_begin(msg);
	if (!g->is_refusal)
		control_put_local(s, g, &g->from, msg, room);
	error_put(s, g, msg, room);
	next = udp_first(&s->errors);
	if (next != NULL && !next->is_refusal)
		s->error = next->error;
	else if (!g->is_refusal)
		s->error = 0;
	free(g);
	plait_i_socket_woken(&s->base);
	return (ssize_t)n;
}

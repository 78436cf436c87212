/*
 * UDP: plait_listen_udp(), plait_connect_udp(), and making their sockets.
 */
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"
#include "reactor/net/datagram_socket.h"
#include "reactor/net/network.h"

/* As the public header says. */
enum { DEFAULT_SIZE = 4096, MOST_SIZE = 65535, MOST_CLASS = 255 };

/* ---- options ------------------------------------------------------------- */

static bool udp_set(struct kernel *k, int fd, int level, int option, int value)
{
	return kernel_setsockopt(k, fd, level, option, &value, sizeof(value)) ==
	       0;
}

/* An option that IPv4 and IPv6 have each in its own words.  A socket of IPv6
   may have datagrams of both. */
static bool udp_set_both(struct kernel *k, int fd, int family, int option,
			 int option6, int value)
{
	return udp_set(k, fd, IPPROTO_IP, option, value) &&
	       (family != AF_INET6 ||
		udp_set(k, fd, IPPROTO_IPV6, option6, value));
}

/* What is told of the datagrams that come. */
static bool udp_set_told(struct kernel *k, int fd, int family,
			 const struct plait_udp_options *o)
{
	return udp_set_both(k, fd, family, IP_RECVERR, IPV6_RECVERR, 1) &&
	       (!o->tell_ecn ||
		udp_set_both(k, fd, family, IP_RECVTOS, IPV6_RECVTCLASS, 1)) &&
	       (!o->tell_local ||
		(family == AF_INET6
			 ? udp_set(k, fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
			 : udp_set(k, fd, IPPROTO_IP, IP_PKTINFO, 1)));
}

static bool udp_set_sent(struct kernel *k, int fd, int family,
			 const struct plait_udp_options *o)
{
	return (!o->no_fragments ||
		udp_set_both(k, fd, family, IP_MTU_DISCOVER, IPV6_MTU_DISCOVER,
			     IP_PMTUDISC_DO)) &&
	       (o->traffic_class == 0 ||
		udp_set_both(k, fd, family, IP_TOS, IPV6_TCLASS,
			     (int)o->traffic_class)) &&
	       (!o->broadcast || udp_set(k, fd, SOL_SOCKET, SO_BROADCAST, 1));
}

static bool udp_set_groups(struct kernel *k, int fd, int family,
			   const struct plait_udp_options *o)
{
	bool v6 = family == AF_INET6;
	int hops = (int)o->hops;

	return (hops == 0 ||
		(v6 ? udp_set(k, fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hops)
		    : udp_set(k, fd, IPPROTO_IP, IP_MULTICAST_TTL, hops))) &&
	       (!o->no_loop ||
		(v6 ? udp_set(k, fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0)
		    : udp_set(k, fd, IPPROTO_IP, IP_MULTICAST_LOOP, 0)));
}

/* Who may do so goes beyond the limit of the system. */
static bool udp_set_buffer(struct kernel *k, int fd, int option, int forced,
			   size_t size)
{
	int value = size < INT_MAX / 2 ? (int)size : INT_MAX / 2;

	return size == 0 || udp_set(k, fd, SOL_SOCKET, forced, value) ||
	       udp_set(k, fd, SOL_SOCKET, option, value);
}

static bool udp_set_options(struct kernel *k, int fd, int family,
			    const struct plait_udp_options *o)
{
	return (!o->address_reuse ||
		udp_set(k, fd, SOL_SOCKET, SO_REUSEADDR, 1)) &&
	       (!o->port_reuse ||
		udp_set(k, fd, SOL_SOCKET, SO_REUSEPORT, 1)) &&
	       (family != AF_INET6 ||
		udp_set(k, fd, IPPROTO_IPV6, IPV6_V6ONLY, o->ipv6_only)) &&
	       udp_set_told(k, fd, family, o) &&
	       udp_set_sent(k, fd, family, o) &&
	       udp_set_groups(k, fd, family, o) &&
	       udp_set_buffer(k, fd, SO_RCVBUF, SO_RCVBUFFORCE,
			      o->receive_buffer) &&
	       udp_set_buffer(k, fd, SO_SNDBUF, SO_SNDBUFFORCE, o->send_buffer);
}

/* ---- groups -------------------------------------------------------------- */

static void udp_put_address(const struct plait_address *a,
			    struct sockaddr_storage *ret)
{
	union kernel_address at;
	socklen_t len = plait_i_address_to_kernel(a, &at);

	memset(ret, 0, sizeof(*ret));
	memcpy(ret, &at, len);
}

/*
 * A socket also gets what others on this host have joined, unless it is told
 * not to.  Where the kernel cannot be told, that is no reason to refuse.
 */
static void udp_hear_own_groups_only(struct kernel *k, int fd, int family)
{
	if (family == AF_INET6)
		udp_set(k, fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
	else
		udp_set(k, fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
}

static int udp_group(struct datagram_port *d, const struct plait_address *group,
		     unsigned interface_index,
		     const struct plait_address *source, bool joins)
{
	struct datagram_socket *s = plait_self(d, struct datagram_socket);
	struct kernel *k = loop_kernel(d->base.reactor);
	int level = d->family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP, rc;
	struct group_req any = { .gr_interface = interface_index };
	struct group_source_req one = { .gsr_interface = interface_index };

	if (plait_address_family(group) != d->family ||
	    (source != NULL && plait_address_family(source) != d->family))
		return -EINVAL;
	if (joins)
		udp_hear_own_groups_only(k, s->fd, d->family);
	udp_put_address(group, &any.gr_group);
	one.gsr_group = any.gr_group;
	if (source == NULL) {
		rc = kernel_setsockopt(k, s->fd, level,
				       joins ? MCAST_JOIN_GROUP
					     : MCAST_LEAVE_GROUP,
				       &any, sizeof(any));
	} else {
		udp_put_address(source, &one.gsr_source);
		rc = kernel_setsockopt(k, s->fd, level,
				       joins ? MCAST_JOIN_SOURCE_GROUP
					     : MCAST_LEAVE_SOURCE_GROUP,
				       &one, sizeof(one));
	}
	return rc < 0 ? -errno : 0;
}

/* ---- opening ------------------------------------------------------------- */

static const struct datagram_ops udp_port_ops = {
	.port = { DATAGRAM_SOCKET_PORT },
	.flush = plait_i_datagram_socket_flush,
	.group = udp_group,
};

/* Gives the socket its addresses: 0 or -errno. */
static int udp_bind(struct datagram_socket *s, struct kernel *k, int fd,
		    const struct plait_address *at)
{
	const struct plait_address *peer = &s->base.peer;
	union kernel_address name;
	struct plait_address own;
	socklen_t len = plait_i_address_to_kernel(at, &name);
	int err;

	if (kernel_bind(k, fd, &name.any, len) < 0)
		return -errno;
	len = plait_i_address_to_kernel(peer, &name);
	if (len > 0 && kernel_connect(k, fd, &name.any, len) < 0)
		return -errno;
	err = plait_i_address_of_socket(k, fd, &own);
	return err < 0 ? err
		       : plait_i_address_keep(&s->base.base.address, &own);
}

static int udp_open(struct datagram_socket *s, struct plait_reactor *r,
		    const struct plait_address *at,
		    const struct plait_udp_options *o)
{
	struct kernel *k = loop_kernel(r);
	int fd = kernel_socket(k, at->family, SOCK_DGRAM), err;

	if (fd < 0)
		return -errno;
	err = udp_set_options(k, fd, at->family, o) ? 0 : -errno;
	if (err == 0)
		err = udp_bind(s, k, fd, at);
	if (err == 0)
		err = plait_i_datagram_socket_start(s, r, fd);
	if (err < 0) {
		plait_i_address_drop(&s->base.base.address);
		plait_i_loop_close(r, fd);
	}
	return err;
}

static int udp_port_new(struct plait_reactor *r, const struct plait_address *at,
			const struct plait_address *peer,
			const struct plait_udp_options *o,
			struct datagram_port **ret)
{
	struct datagram_socket *s = calloc(1, sizeof(*s));
	int err;

	if (s == NULL)
		return -ENOMEM;
	s->base.base.ops = &udp_port_ops.port;
	s->base.peer = *peer;
	s->max_size = o->max_size != 0 ? o->max_size : DEFAULT_SIZE;
	s->tells_local = o->tell_local;
	s->tells_ecn = o->tell_ecn;
	err = udp_open(s, r, at, o);
	if (err < 0)
		free(s);
	else
		*ret = &s->base;
	return err;
}

static int udp_make(struct plait_reactor *r, const char *function,
		    const struct plait_address *at,
		    const struct plait_address *peer,
		    struct plait_datagram_protocol *p,
		    const struct plait_udp_options *o, struct plait_port **ret)
{
	const struct network_ops *network;
	datagram_maker *make = udp_port_new;
	struct datagram_port *d;
	int err = plait_i_port_check(r, function);

	if (err == 0 && p->port != NULL)
		err = -EBUSY;
	if (err < 0)
		return err;
	network = plait_i_loop_network(r);
	if (network != NULL)
		make = network->datagrams;
	err = make(r, at, peer, o, &d);
	if (err < 0)
		return err;
	d->family = at->family;
	d->queue_bytes = o->queue_bytes;
	plait_i_datagram_open(d, r, p, ret);
	return 0;
}

static const struct plait_udp_options udp_defaults;

static bool udp_options_are_good(const struct plait_udp_options *o)
{
	return !RESERVED_IN_USE(o) && o->max_size <= MOST_SIZE &&
	       o->traffic_class <= MOST_CLASS;
}

int plait_listen_udp(struct plait_reactor *r, unsigned port,
		     struct plait_datagram_protocol *p,
		     const struct plait_udp_options *options,
		     struct plait_port **ret)
{
	const struct plait_udp_options *o =
		options != NULL ? options : &udp_defaults;
	struct plait_address at, nobody = { .family = AF_UNSPEC };

	loop_check_null(r, "plait_listen_udp()", NULL);
	if (!udp_options_are_good(o) ||
	    plait_address_parse(&at, o->iface, port) < 0)
		return -EINVAL;
	return udp_make(r, "plait_listen_udp()", &at, &nobody, p, o, ret);
}

int plait_connect_udp(struct plait_reactor *r, const char *host, unsigned port,
		      struct plait_datagram_protocol *p,
		      const struct plait_udp_options *options,
		      struct plait_port **ret)
{
	const struct plait_udp_options *o =
		options != NULL ? options : &udp_defaults;
	struct plait_address at, peer;
	const char *iface = o->iface;

	loop_check_null(r, "plait_connect_udp()", NULL);
	if (!udp_options_are_good(o) || port == 0 ||
	    plait_address_parse(&peer, host, port) < 0)
		return -EINVAL;
	if (iface == NULL && peer.family == AF_INET6)
		iface = "::";
	if (plait_address_parse(&at, iface, o->bind_port) < 0 ||
	    at.family != peer.family)
		return -EINVAL;
	return udp_make(r, "plait_connect_udp()", &at, &peer, p, o, ret);
}

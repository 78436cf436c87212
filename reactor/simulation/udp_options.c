/*
 * The options of a UDP socket.
 */
#include <errno.h>
#include <netinet/in.h>

#include "reactor/simulation/udp.h"

/* The least that setsockopt() gives. */
enum { LEAST_BUFFER = 2304 };

int plait_i_udp_take_error(struct udp *s)
{
	int err = s->error;

	s->error = 0;
	plait_i_socket_changed(&s->base);
	return err;
}

static size_t udp_buffer_size(int value)
{
	if (value > SOCKET_MOST_BUFFER)
		value = SOCKET_MOST_BUFFER;
	return value < LEAST_BUFFER ? LEAST_BUFFER : 2 * (size_t)value;
}

/* Where an option is kept that is true or false, or NULL. */
static bool *udp_flag(struct udp *s, int level, int option)
{
	static const struct {
		int level, option;
		size_t at;
	} flags[] = {
		{ SOL_SOCKET, SO_REUSEADDR, offsetof(struct udp, reuse) },
		{ SOL_SOCKET, SO_REUSEPORT, offsetof(struct udp, reuse_port) },
		{ SOL_SOCKET, SO_BROADCAST, offsetof(struct udp, broadcast) },
		{ SOL_SOCKET, SO_KEEPALIVE, offsetof(struct udp, keep_alive) },
		{ IPPROTO_IPV6, IPV6_V6ONLY, offsetof(struct udp, v6only) },
		{ IPPROTO_IP, IP_RECVERR,
		  offsetof(struct udp, options[0].tells_errors) },
		{ IPPROTO_IPV6, IPV6_RECVERR,
		  offsetof(struct udp, options[1].tells_errors) },
		{ IPPROTO_IP, IP_PKTINFO,
		  offsetof(struct udp, options[0].tells_local) },
		{ IPPROTO_IPV6, IPV6_RECVPKTINFO,
		  offsetof(struct udp, options[1].tells_local) },
		{ IPPROTO_IP, IP_RECVTOS,
		  offsetof(struct udp, options[0].tells_class) },
		{ IPPROTO_IPV6, IPV6_RECVTCLASS,
		  offsetof(struct udp, options[1].tells_class) },
		{ IPPROTO_IP, IP_MULTICAST_LOOP,
		  offsetof(struct udp, options[0].no_loop) },
		{ IPPROTO_IPV6, IPV6_MULTICAST_LOOP,
		  offsetof(struct udp, options[1].no_loop) },
		{ IPPROTO_IP, IP_MULTICAST_ALL,
		  offsetof(struct udp, options[0].own_groups) },
		{ IPPROTO_IPV6, IPV6_MULTICAST_ALL,
		  offsetof(struct udp, options[1].own_groups) },
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		if (flags[i].level == level && flags[i].option == option)
			return (bool *)((char *)s + flags[i].at);
	}
	return NULL;
}

/* These are true at first, so what is kept is that they are not. */
static bool udp_flag_is_inverse(int level, int option)
{
	return (level == IPPROTO_IP &&
		(option == IP_MULTICAST_LOOP || option == IP_MULTICAST_ALL)) ||
	       (level == IPPROTO_IPV6 && (option == IPV6_MULTICAST_LOOP ||
					  option == IPV6_MULTICAST_ALL));
}

static bool is_group_option(const struct udp *s, int level, int option)
{
	int own = s->base.family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;

	return level == own &&
	       (option == MCAST_JOIN_GROUP || option == MCAST_LEAVE_GROUP ||
		option == MCAST_JOIN_SOURCE_GROUP ||
		option == MCAST_LEAVE_SOURCE_GROUP);
}

/* ... or a number. */
static int *udp_number(struct udp *s, int level, int option)
{
	if (level == IPPROTO_IP && option == IP_MTU_DISCOVER)
		return &s->options[0].discover;
	if (level == IPPROTO_IPV6 && option == IPV6_MTU_DISCOVER)
		return &s->options[1].discover;
	if (level == IPPROTO_IP && option == IP_TOS)
		return &s->options[0].traffic_class;
	if (level == IPPROTO_IPV6 && option == IPV6_TCLASS)
		return &s->options[1].traffic_class;
	if (level == IPPROTO_IP && option == IP_MULTICAST_TTL)
		return &s->options[0].hops;
	if (level == IPPROTO_IPV6 && option == IPV6_MULTICAST_HOPS)
		return &s->options[1].hops;
	return NULL;
}

/* Returns the option as a number in *ret; 0 or -errno. */
static int udp_get_number(struct udp *s, int level, int option, int *ret)
{
	if (s->base.family == AF_INET && level != SOL_SOCKET &&
	    level != IPPROTO_IP)
		return -EOPNOTSUPP;
	if (udp_flag(s, level, option) != NULL)
		*ret = *udp_flag(s, level, option) !=
		       udp_flag_is_inverse(level, option);
	else if (udp_number(s, level, option) != NULL)
		*ret = *udp_number(s, level, option);
	else if (level == SOL_SOCKET && option == SO_ERROR)
		*ret = plait_i_udp_take_error(s);
	else if (level == SOL_SOCKET && option == SO_TYPE)
		*ret = SOCK_DGRAM;
	else if (level == SOL_SOCKET && option == SO_DOMAIN)
		*ret = s->base.family;
	else if (level == SOL_SOCKET && option == SO_PROTOCOL)
		*ret = IPPROTO_UDP;
	else if (level == SOL_SOCKET && option == SO_ACCEPTCONN)
		*ret = 0;
	else if (level == SOL_SOCKET && option == SO_SNDBUF)
		*ret = (int)s->send_size;
	else if (level == SOL_SOCKET && option == SO_RCVBUF)
		*ret = (int)s->receive_size;
	else
		return -ENOPROTOOPT;
	return 0;
}

int plait_i_udp_getsockopt(struct sim_socket *base, int level, int option,
			   void *value, socklen_t *len)
{
	struct udp *s = udp_of(base);
	int number = 0, err;

	if (level == SOL_SOCKET && option == SO_LINGER)
		return plait_i_option_give(&s->linger, sizeof(s->linger), value,
					   len);
	err = udp_get_number(s, level, option, &number);
	return err < 0 ? err
		       : plait_i_option_give(&number, sizeof(number), value,
					     len);
}

static int udp_set_number(struct udp *s, int level, int option, int value)
{
	if (level == IPPROTO_IPV6 && s->base.family != AF_INET6)
		return -ENOPROTOOPT;
	/* Which addresses it stands for is decided when it has one. */
	if (level == IPPROTO_IPV6 && option == IPV6_V6ONLY &&
	    plait_list_is_linked(&s->by_port))
		return -EINVAL;
	if (udp_flag(s, level, option) != NULL)
		*udp_flag(s, level, option) =
			(value != 0) != udp_flag_is_inverse(level, option);
	else if (udp_number(s, level, option) != NULL)
		*udp_number(s, level, option) = value;
	else if (level == SOL_SOCKET &&
		 (option == SO_SNDBUFFORCE || option == SO_RCVBUFFORCE))
		return -EPERM;
	else if (level == SOL_SOCKET && option == SO_SNDBUF)
		s->send_size = udp_buffer_size(value);
	else if (level == SOL_SOCKET && option == SO_RCVBUF)
		s->receive_size = udp_buffer_size(value);
	else
		return -ENOPROTOOPT;
	/* As on Linux, who does not want errors any more loses those that wait.
	 */
	if ((level == IPPROTO_IP && option == IP_RECVERR && value == 0) ||
	    (level == IPPROTO_IPV6 && option == IPV6_RECVERR && value == 0))
		plait_i_udp_free_queue(&s->errors);
	plait_i_socket_changed(&s->base);
	return 0;
}

int plait_i_udp_setsockopt(struct sim_socket *base, int level, int option,
			   const void *value, socklen_t len)
{
	struct udp *s = udp_of(base);
	int number, err;

	if (level == SOL_SOCKET && option == SO_LINGER)
		return plait_i_option_take(&s->linger, sizeof(s->linger), value,
					   len);
	if (is_group_option(s, level, option))
		return plait_i_udp_set_group(s, option, value, len);
	err = plait_i_option_take(&number, sizeof(number), value, len);
	return err < 0 ? err : udp_set_number(s, level, option, number);
}

/*
 * The options of a TCP socket.
 */
#include <errno.h>

#include "reactor/simulation/tcp.h"

/* The least that setsockopt() gives. */
enum { LEAST_BUFFER = 2304 };

int plait_i_tcp_take_error(struct tcp *s)
{
	int err = s->error;

	s->error = 0;
	return err;
}

static size_t tcp_buffer_size(int value)
{
	if (value > SOCKET_MOST_BUFFER)
		value = SOCKET_MOST_BUFFER;
	return value < LEAST_BUFFER ? LEAST_BUFFER : (size_t)value;
}

/* Returns the option as a number in *ret; 0 or -errno. */
static int tcp_get_number(struct tcp *s, int level, int option, int *ret)
{
	if (level == IPPROTO_IPV6 && s->base.family != AF_INET6)
		return -EOPNOTSUPP;
	if (level == SOL_SOCKET && option == SO_ERROR) {
		*ret = plait_i_tcp_take_error(s);
		if (*ret == 0) {
			*ret = s->soft_error;
			s->soft_error = 0;
		}
		plait_i_socket_changed(&s->base);
	} else if (level == SOL_SOCKET && option == SO_TYPE) {
		*ret = SOCK_STREAM;
	} else if (level == SOL_SOCKET && option == SO_DOMAIN) {
		*ret = s->base.family;
	} else if (level == SOL_SOCKET && option == SO_PROTOCOL) {
		*ret = IPPROTO_TCP;
	} else if (level == SOL_SOCKET && option == SO_ACCEPTCONN) {
		*ret = s->state == TCP_LISTEN;
	} else if (level == SOL_SOCKET && option == SO_REUSEADDR) {
		*ret = s->reuse;
	} else if (level == SOL_SOCKET && option == SO_KEEPALIVE) {
		*ret = s->keep_alive;
	} else if (level == SOL_SOCKET && option == SO_SNDBUF) {
		*ret = (int)(2 * s->send_size);
	} else if (level == SOL_SOCKET && option == SO_RCVBUF) {
		*ret = (int)(2 * s->receive_size);
	} else if (level == IPPROTO_TCP && option == TCP_NODELAY) {
		*ret = s->no_delay;
	} else if (level == IPPROTO_IPV6 && option == IPV6_V6ONLY) {
		*ret = s->v6only;
	} else {
		return -ENOPROTOOPT;
	}
	return 0;
}

int plait_i_tcp_getsockopt(struct sim_socket *base, int level, int option,
			   void *value, socklen_t *len)
{
	struct tcp *s = tcp_of(base);
	int number = 0, err;

	if (level == SOL_SOCKET && option == SO_LINGER)
		return plait_i_option_give(&s->linger, sizeof(s->linger), value,
					   len);
	err = tcp_get_number(s, level, option, &number);
	return err < 0 ? err
		       : plait_i_option_give(&number, sizeof(number), value,
					     len);
}

/* Which addresses it stands for is decided when it has one. */
static int tcp_set_v6only(struct tcp *s, bool v6only)
{
	if (s->base.family != AF_INET6)
		return -ENOPROTOOPT;
	if (plait_list_is_linked(&s->by_port))
		return -EINVAL;
	s->v6only = v6only;
	return 0;
}

static void tcp_set_keep_alive(struct tcp *s, bool keep_alive)
{
	s->keep_alive = keep_alive;
	plait_i_tcp_keep_alive(s);
}

static int tcp_set_number(struct tcp *s, int level, int option, int value)
{
	if (level == IPPROTO_IPV6 && option == IPV6_V6ONLY)
		return tcp_set_v6only(s, value != 0);
	if (level == SOL_SOCKET && option == SO_REUSEADDR)
		s->reuse = value != 0;
	else if (level == SOL_SOCKET && option == SO_KEEPALIVE)
		tcp_set_keep_alive(s, value != 0);
	else if (level == SOL_SOCKET && option == SO_SNDBUF)
		s->send_size = tcp_buffer_size(value);
	else if (level == SOL_SOCKET && option == SO_RCVBUF)
		s->receive_size = tcp_buffer_size(value);
	else if (level == IPPROTO_TCP && option == TCP_NODELAY)
		s->no_delay = value != 0;
	else
		return -ENOPROTOOPT;
	plait_i_tcp_push(s);
	plait_i_socket_changed(&s->base);
	return 0;
}

int plait_i_tcp_setsockopt(struct sim_socket *base, int level, int option,
			   const void *value, socklen_t len)
{
	struct tcp *s = tcp_of(base);
	int number, err;

	/* Whatever the filter says: the only one of plait's keeps out those who
	   ask for a connection. */
	if (level == SOL_SOCKET &&
	    (option == SO_ATTACH_FILTER || option == SO_DETACH_FILTER)) {
		s->filtered = option == SO_ATTACH_FILTER;
		return 0;
	}
	if (level == SOL_SOCKET && option == SO_LINGER)
		return plait_i_option_take(&s->linger, sizeof(s->linger), value,
					   len);
	err = plait_i_option_take(&number, sizeof(number), value, len);
	return err < 0 ? err : tcp_set_number(s, level, option, number);
}

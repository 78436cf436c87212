/*
 * The options of a UNIX socket.
 */
#include <errno.h>

#include "reactor/simulation/local.h"

/* The least that setsockopt() gives. */
enum { LEAST_BUFFER = 4608 };

int plait_i_local_take_error(struct local *s)
{
	int err = s->error;

	s->error = 0;
	plait_i_socket_changed(&s->base);
	return err;
}

static size_t local_buffer_size(int value)
{
	if (value > SOCKET_MOST_BUFFER)
		value = SOCKET_MOST_BUFFER;
	return value < LEAST_BUFFER / 2 ? LEAST_BUFFER : 2 * (size_t)value;
}

/* Returns the option as a number in *ret; 0 or -errno. */
static int local_get_number(struct local *s, int option, int *ret)
{
	switch (option) {
	case SO_ERROR:
		*ret = plait_i_local_take_error(s);
		break;
	case SO_TYPE:
		*ret = s->type;
		break;
	case SO_DOMAIN:
		*ret = AF_UNIX;
		break;
	case SO_PROTOCOL:
		*ret = 0;
		break;
	case SO_ACCEPTCONN:
		*ret = s->state == LOCAL_LISTEN;
		break;
	case SO_REUSEADDR:
		*ret = s->reuse;
		break;
	case SO_KEEPALIVE:
		*ret = s->keep_alive;
		break;
	case SO_SNDBUF:
		*ret = (int)s->send_size;
		break;
	case SO_RCVBUF:
		*ret = (int)s->receive_size;
		break;
	default:
		return -ENOPROTOOPT;
	}
	return 0;
}

/* Nobody is user -1.  All programs of a host are root's. */
static void local_get_credentials(const struct local *s, struct ucred *ret)
{
	*ret = (struct ucred){ .uid = (uid_t)-1, .gid = (gid_t)-1 };
	if (s->peered != 0)
		*ret = (struct ucred){ .pid = (pid_t)s->peered };
}

int plait_i_local_getsockopt(struct sim_socket *base, int level, int option,
			     void *value, socklen_t *len)
{
	struct local *s = local_of(base);
	struct ucred credentials;
	int number = 0, err;

	if (level != SOL_SOCKET)
		return -EOPNOTSUPP;
	if (option == SO_LINGER)
		return plait_i_option_give(&s->linger, sizeof(s->linger), value,
					   len);
	if (option == SO_PEERCRED) {
		local_get_credentials(s, &credentials);
		return plait_i_option_give(&credentials, sizeof(credentials),
					   value, len);
	}
	err = local_get_number(s, option, &number);
	return err < 0 ? err
		       : plait_i_option_give(&number, sizeof(number), value,
					     len);
}

static int local_set_number(struct local *s, int option, int value)
{
	switch (option) {
	case SO_REUSEADDR:
		s->reuse = value != 0;
		break;
	case SO_KEEPALIVE:
		s->keep_alive = value != 0;
		break;
	case SO_SNDBUF:
		s->send_size = local_buffer_size(value);
		break;
	case SO_RCVBUF:
		s->receive_size = local_buffer_size(value);
		break;
	default:
		return -ENOPROTOOPT;
	}
	plait_i_socket_woken(&s->base);
	return 0;
}

int plait_i_local_setsockopt(struct sim_socket *base, int level, int option,
			     const void *value, socklen_t len)
{
	struct local *s = local_of(base);
	int number, err;

	if (level != SOL_SOCKET)
		return -EOPNOTSUPP;
	/* A filter looks at packets, and there are none. */
	if (option == SO_ATTACH_FILTER || option == SO_DETACH_FILTER)
		return 0;
	if (option == SO_LINGER)
		return plait_i_option_take(&s->linger, sizeof(s->linger), value,
					   len);
	err = plait_i_option_take(&number, sizeof(number), value, len);
	return err < 0 ? err : local_set_number(s, option, number);
}

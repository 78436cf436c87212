/* What a descriptor is that the program was given: see socket_kind.h. */
#include <errno.h>
#include <sys/socket.h>

#include "reactor/kernel/address.h"
#include "reactor/net/socket_kind.h"
#include "reactor/net/tcp.h"
#include "reactor/net/unix.h"

static int socket_kind_option(struct kernel *k, int fd, int option, int *ret)
{
	socklen_t len = sizeof(*ret);

	return kernel_getsockopt(k, fd, SOL_SOCKET, option, ret, &len) < 0
		       ? -errno
		       : 0;
}

/* Only a connected socket has a peer, with or without a name. */
static void socket_kind_find_peer(struct kernel *k, int fd,
				  struct socket_kind *s)
{
	union kernel_address peer = { .room.ss_family = AF_UNSPEC };
	socklen_t len = sizeof(peer);

	if (kernel_getpeername(k, fd, &peer.any, &len) < 0) {
		s->connected = -errno;
		len = 0;
	}
	plait_i_address_from_kernel(&s->peer, &peer, len);
}

int plait_i_socket_kind_look(struct kernel *k, int fd, struct socket_kind *ret)
{
	int err;

	*ret = (struct socket_kind){ .type = 0 };
	err = socket_kind_option(k, fd, SO_TYPE, &ret->type);
	if (err == 0)
		err = socket_kind_option(k, fd, SO_DOMAIN, &ret->family);
	if (err == 0)
		socket_kind_find_peer(k, fd, ret);
	return err;
}

int plait_i_socket_kind_check(const struct socket_kind *s)
{
	if (s->type != SOCK_STREAM)
		return -EPROTOTYPE;
	return s->family == AF_UNIX || s->family == AF_INET ||
			       s->family == AF_INET6
		       ? 0
		       : -EAFNOSUPPORT;
}

const struct stream_io *plait_i_socket_kind_io(const struct socket_kind *s)
{
	return s->family == AF_UNIX ? &plait_i_unix_stream_io
				    : &plait_i_tcp_stream_io;
}

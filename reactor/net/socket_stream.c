/*
 * The system calls of a stream on a socket: see socket_stream.h.
 */
#include <errno.h>

#include "lib/chance.h"
#include "reactor/kernel/address.h"
#include "reactor/net/socket_stream.h"

static bool socket_stream_is_passing(int err)
{
	return err == EAGAIN || err == EWOULDBLOCK || err == ENOBUFS ||
	       err == ENOMEM;
}

static OUT_OF_LINE ssize_t socket_stream_send_pieces(struct kernel *k, int fd,
						     const struct iovec *pieces,
						     int n, int flags)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)pieces,
			      .msg_iovlen = (size_t)n };

	return kernel_sendmsg(k, fd, &msg, flags);
}

/*
 * The last bytes were sent with MSG_MORE, so the kernel may hold some of them
 * for what follows.  What follows is the end of our half, at once and whatever
 * else happens: so the FIN rides on the last bytes instead of a segment of its
 * own, and they do not wait.  If only a part was taken, the kernel has no room,
 * and has sent all that it can; then the rest is the last.
 */
static OUT_OF_LINE void socket_stream_finish(struct transport *t, size_t sent)
{
	if (sent < t->output.size)
		return;
	t->finned = plait_i_socket_stream_shut(stream_of(&t->base)) == 0;
}

ssize_t plait_i_socket_stream_send(struct plait_transport *t,
				   const struct iovec *pieces, int n)
{
	struct kernel *k = loop_kernel(t->reactor);
	bool last = transport_of(t)->sends_last;
	int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (last ? MSG_MORE : 0);
	int fd = stream_of(t)->fd;
	ssize_t r;

	do {
		r = n == 1 ? kernel_send(k, fd, pieces->iov_base,
					 pieces->iov_len, flags)
			   : socket_stream_send_pieces(k, fd, pieces, n, flags);
	} while (r < 0 && errno == EINTR);
	if (r >= 0 && last)
		socket_stream_finish(transport_of(t), (size_t)r);
	if (r >= 0)
		return r;
	if (errno != EAGAIN && socket_stream_is_passing(errno))
		REACHED("the kernel has no memory to send");
	return socket_stream_is_passing(errno) ? -EAGAIN : -errno;
}

/* What only a file can be wrong with: whoever reads it finds out, or it can be
   read although it cannot be sent. */
static bool socket_stream_is_of_file(int err)
{
	return err == EINVAL || err == EIO || err == EISDIR || err == ESPIPE ||
	       err == EBADF || err == EOVERFLOW || err == EPERM ||
	       err == ENOSYS || err == EOPNOTSUPP;
}

/* The call has no flag that keeps it from blocking. */
ssize_t plait_i_socket_stream_send_file(struct plait_transport *t, int fd,
					uint64_t from, size_t len)
{
	const struct stream *s = stream_of(t);
	ssize_t r;

	if (s->is_shared)
		return -ENOTSUP;
	do {
		r = kernel_sendfile(loop_kernel(t->reactor), s->fd, fd, from,
				    len);
	} while (r < 0 && errno == EINTR);
	if (r >= 0)
		return r;
	if (socket_stream_is_of_file(errno))
		return -ENOTSUP;
	return socket_stream_is_passing(errno) ? -EAGAIN : -errno;
}

ssize_t plait_i_socket_stream_send_fds(struct plait_transport *t,
				       const struct iovec *pieces, int n,
				       const int *fds, size_t n_fds)
{
	ssize_t r;

	do {
		r = kernel_send_fds(loop_kernel(t->reactor), stream_of(t)->fd,
				    pieces, n, fds, n_fds,
				    MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (r < 0 && errno == EINTR);
	if (r >= 0)
		return r;
	return socket_stream_is_passing(errno) ? -EAGAIN : -errno;
}

static inline ssize_t socket_stream_recv(struct stream *s, void *buf,
					 size_t size, int flags)
{
	ssize_t n;

	do {
		n = kernel_recv(loop_kernel(s->base.reactor), s->fd, buf, size,
				flags | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

ssize_t plait_i_socket_stream_read_fds(struct stream *s, void *buf, size_t size,
				       int *fds, size_t *n_fds)
{
	ssize_t n;

	do {
		n = kernel_recv_fds(loop_kernel(s->base.reactor), s->fd, buf,
				    size, fds, n_fds, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

ssize_t plait_i_socket_stream_read(struct stream *s, void *buf, size_t size)
{
	return socket_stream_recv(s, buf, size, 0);
}

ssize_t plait_i_socket_stream_peek(struct stream *s)
{
	char c;

	return socket_stream_recv(s, &c, sizeof(c), MSG_PEEK);
}

int plait_i_socket_stream_error(struct stream *s)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (kernel_getsockopt(loop_kernel(s->base.reactor), s->fd, SOL_SOCKET,
			      SO_ERROR, &err, &len) < 0)
		return errno;
	return err;
}

int plait_i_socket_stream_shut(struct stream *s)
{
	return kernel_shutdown(loop_kernel(s->base.reactor), s->fd, SHUT_WR) < 0
		       ? -errno
		       : 0;
}

/*
 * close() resets a connection only if no other process has the socket open.
 * Connecting the socket to AF_UNSPEC resets it in any case.
 */
void plait_i_socket_stream_reset(struct stream *s)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 0 };
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	struct kernel *k = loop_kernel(s->base.reactor);

	kernel_setsockopt(k, s->fd, SOL_SOCKET, SO_LINGER, &linger,
			  sizeof(linger));
	if (plait_i_loop_is_shared(s->base.reactor))
		kernel_connect(k, s->fd, &nobody, sizeof(nobody));
}

bool plait_i_socket_stream_peer_has_closed(const struct plait_transport *t)
{
	return kernel_has_hung_up(loop_kernel(t->reactor), stream_of(t)->fd);
}

int plait_i_socket_stream_host(struct plait_transport *t,
			       struct plait_address *ret)
{
	return plait_i_address_of_socket(loop_kernel(t->reactor),
					 stream_of(t)->fd, ret);
}

int plait_i_socket_stream_set_option(struct plait_transport *t, int level,
				     int option, int value)
{
	if (kernel_setsockopt(loop_kernel(t->reactor), stream_of(t)->fd, level,
			      option, &value, sizeof(value)) < 0)
		return -errno;
	return 0;
}

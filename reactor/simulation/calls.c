/*
 * The two tables of a simulated kernel.
 *
 * Each call has the frame of frame.h.  The bytes that are received are part of
 * what has happened, too.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "lib/deferred.h"
#include "reactor/kernel/file.h"
#include "reactor/simulation/children.h"
#include "reactor/simulation/frame.h"
#include "reactor/simulation/process.h"

/* ---- sockets ------------------------------------------------------------- */

/* Returns 0 and the socket, -EBADF or -ENOTSOCK. */
static int calls_socket(const struct host_kernel *k, int fd,
			struct sim_socket **ret)
{
	const struct descriptor *d = plait_i_call_find(k, fd);

	if (d == NULL)
		return -EBADF;
	*ret = d->socket;
	return d->kind == DESCRIPTOR_SOCKET && d->socket != NULL ? 0
								 : -ENOTSOCK;
}

static struct sim_socket *calls_new_socket(struct plait_host *h, int family,
					   int type)
{
	if (family == AF_UNIX)
		return type == SOCK_STREAM ? plait_i_local_stream_new(h)
					   : plait_i_local_datagram_new(h);
	return type == SOCK_STREAM ? plait_i_tcp_new(h, family)
				   : plait_i_udp_new(h, family);
}

static int calls_make_socket(struct host_kernel *k, int family, int type)
{
	struct sim_socket *s;
	int fd;

	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return -EAFNOSUPPORT;
	type &= ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (type != SOCK_STREAM && type != SOCK_DGRAM)
		return -ESOCKTNOSUPPORT;
	if (plait_i_call_chance(k, calls_faults(k)->no_memory))
		return -ENOBUFS;
	if (plait_i_call_chance(k, calls_faults(k)->no_descriptors))
		return -EMFILE;
	fd = plait_i_call_open(k, DESCRIPTOR_SOCKET);
	if (fd < 0)
		return fd;
	s = calls_new_socket(k->host, family, type);
	if (s == NULL) {
		plait_i_call_close_again(k, fd);
		return -ENOBUFS;
	}
	plait_i_descriptor_set_socket(
		plait_i_descriptor_find(&k->descriptors, fd), s);
	return fd;
}

static int simulated_socket(struct kernel *kernel, int family, int type)
{
	struct host_kernel *k = calls_kernel(kernel);
	int fd = calls_make_socket(k, family, type);

	return (int)plait_i_call_return(k, "socket", family, fd);
}

static int calls_make_pair(struct host_kernel *k, int type, int ret[2])
{
	const struct descriptor *ends[2];

	for (size_t i = 0; i < 2; i++) {
		ret[i] = calls_make_socket(k, AF_UNIX, type);
		if (ret[i] < 0 && i > 0)
			plait_i_call_close_again(k, ret[0]);
		if (ret[i] < 0)
			return ret[i];
		ends[i] = plait_i_descriptor_find(&k->descriptors, ret[i]);
	}
	plait_i_local_stream_join(ends[0]->socket, ends[1]->socket);
	return 0;
}

static int simulated_socketpair(struct kernel *kernel, int type, int ret[2])
{
	struct host_kernel *k = calls_kernel(kernel);
	int rc = type == SOCK_STREAM ? calls_make_pair(k, type, ret)
				     : -EOPNOTSUPP;

	return (int)plait_i_call_return(k, "socketpair", type, rc);
}

static int simulated_reserve(struct kernel *kernel)
{
	struct host_kernel *k = calls_kernel(kernel);

	return (int)plait_i_call_return(
		k, "reserve", 0, plait_i_call_open(k, DESCRIPTOR_RESERVE));
}

static int simulated_waker(struct kernel *kernel)
{
	struct host_kernel *k = calls_kernel(kernel);

	return (int)plait_i_call_return(k, "waker", 0,
					plait_i_call_open(k, DESCRIPTOR_WAKER));
}

static int calls_take_next(struct host_kernel *k, struct sim_socket *s,
			   struct sim_socket **ret)
{
	int fd, err;

	if (plait_i_call_is_interrupted(k))
		return -EINTR;
	if (plait_i_call_chance(k, calls_faults(k)->no_descriptors))
		return -EMFILE;
	if (plait_i_call_chance(k, calls_faults(k)->no_memory))
		return -ENOMEM;
	/* As on Linux, the number comes first, whether anybody waits or not. */
	fd = plait_i_call_open(k, DESCRIPTOR_SOCKET);
	if (fd < 0)
		return fd;
	err = s->ops->accept(s, ret);
	if (err < 0) {
		plait_i_call_close_again(k, fd);
		return err;
	}
	plait_i_descriptor_set_socket(
		plait_i_descriptor_find(&k->descriptors, fd), *ret);
	return fd;
}

/* Stores as much of a name as there is room for, and its whole length. */
static void calls_show(const struct sockaddr_storage *name, int size,
		       struct sockaddr *sa, socklen_t *len)
{
	if (sa == NULL)
		return;
	memcpy(sa, name, (socklen_t)size < *len ? (socklen_t)size : *len);
	*len = (socklen_t)size;
}

static int simulated_accept(struct kernel *kernel, int fd, struct sockaddr *sa,
			    socklen_t *len)
{
	struct host_kernel *k = calls_kernel(kernel);
	struct sim_socket *s, *next = NULL;
	struct sockaddr_storage name = { .ss_family = AF_UNSPEC };
	int rc = calls_socket(k, fd, &s);

	if (rc == 0)
		rc = calls_take_next(k, s, &next);
	if (rc >= 0)
		calls_show(&name, next->ops->name(next, SOCKET_ACCEPTED, &name),
			   sa, len);
	return (int)plait_i_call_return(k, "accept", fd, rc);
}

/* ---- connections --------------------------------------------------------- */

static int simulated_bind(struct kernel *kernel, int fd,
			  const struct sockaddr *sa, socklen_t len)
{
	struct host_kernel *k = calls_kernel(kernel);
	struct sim_socket *s;
	int rc = calls_socket(k, fd, &s);

	if (rc == 0)
		rc = s->ops->bind(s, sa, len);
	return (int)plait_i_call_return(k, "bind", fd, rc);
}

static int simulated_listen(struct kernel *kernel, int fd, int backlog)
{
	struct host_kernel *k = calls_kernel(kernel);
	struct sim_socket *s;
	int rc = calls_socket(k, fd, &s);

	if (rc == 0)
		rc = s->ops->listen(s, backlog);
	return (int)plait_i_call_return(k, "listen", fd, rc);
}

/* A connect() that is interrupted goes on. */
static int simulated_connect(struct kernel *kernel, int fd,
			     const struct sockaddr *sa, socklen_t len)
{
	struct host_kernel *k = calls_kernel(kernel);
	struct sim_socket *s;
	int rc = calls_socket(k, fd, &s);

	if (rc == 0)
		rc = s->ops->connect(s, sa, len);
	if (rc == -EINPROGRESS && plait_i_call_is_interrupted(k))
		rc = -EINTR;
	return (int)plait_i_call_return(k, "connect", fd, rc);
}

/* No program is started with a descriptor. */
static int simulated_inherit(struct kernel *kernel, int fd)
{
	return (int)plait_i_call_return(calls_kernel(kernel), "inherit", fd,
					-EBADF);
}

static int simulated_shutdown(struct kernel *kernel, int fd, int how)
{
	struct host_kernel *k = calls_kernel(kernel);
	struct sim_socket *s;
	int rc = calls_socket(k, fd, &s);

	if (rc == 0)
		rc = s->ops->shutdown(s, how);
	return (int)plait_i_call_return(k, "shutdown", fd, rc);
}

/* plait closes what it has opened, once: by the second time the number may be
   another's. */
static int simulated_close(struct kernel *kernel, int fd)
{
	struct host_kernel *k = calls_kernel(kernel);
	struct descriptor *d = plait_i_call_find(k, fd);

	if (d != NULL)
		plait_i_descriptor_close(d);
	else if (!k->dead)
		plait_simulation_fail(
			k->host->simulation,
			"a program of %s closes descriptor %d, which is not "
			"open",
			k->host->name, fd);
	return (int)plait_i_call_return(k, "close", fd, d != NULL ? 0 : -EBADF);
}

/* ---- bytes --------------------------------------------------------------- */

static ssize_t calls_receive(struct host_kernel *k, int fd, struct msghdr *msg,
			     int flags)
{
	struct sim_socket *s;
	size_t most = plait_i_pieces_size(msg->msg_iov, msg->msg_iovlen);
	ssize_t rc = calls_socket(k, fd, &s);

	if (rc < 0)
		return rc;
	if (plait_i_call_is_interrupted(k))
		return -EINTR;
	most = plait_i_call_shorten(k, calls_faults(k)->short_read,
				    s->ops->input(s), most);
	return s->ops->recv(s, msg, most, flags);
}

/* What was received is part of what has happened.  A datagram that was cut is
   longer than its pieces. */
static void calls_record_pieces(struct host_kernel *k, const struct msghdr *msg,
				size_t len)
{
	for (size_t i = 0; i < msg->msg_iovlen && len > 0; i++) {
		const struct iovec *piece = &msg->msg_iov[i];
		size_t n = len < piece->iov_len ? len : piece->iov_len;

		plait_i_record_bytes(k->host->simulation, piece->iov_base, n);
		len -= n;
	}
}

static ssize_t simulated_recv(struct kernel *kernel, int fd, void *buf,
			      size_t len, int flags)
{
	struct host_kernel *k = calls_kernel(kernel);
	struct iovec piece = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &piece, .msg_iovlen = 1 };
	ssize_t rc = calls_receive(k, fd, &msg, flags);

	if (rc > 0)
		calls_record_pieces(k, &msg, (size_t)rc);
	return plait_i_call_return(k, "recv", fd, rc);
}

static ssize_t simulated_recvmsg(struct kernel *kernel, int fd,
				 struct msghdr *msg, int flags)
{
	struct host_kernel *k = calls_kernel(kernel);
	ssize_t rc = calls_receive(k, fd, msg, flags);

	if (rc > 0)
		calls_record_pieces(k, msg, (size_t)rc);
	return plait_i_call_return(k, "recvmsg", fd, rc);
}

static ssize_t calls_send(struct host_kernel *k, int fd,
			  const struct msghdr *msg, int flags)
{
	struct sim_socket *s;
	size_t most = plait_i_pieces_size(msg->msg_iov, msg->msg_iovlen);
	ssize_t rc = calls_socket(k, fd, &s);

	if (rc < 0)
		return rc;
	if (plait_i_call_is_interrupted(k))
		return -EINTR;
	if (plait_i_call_chance(k, calls_faults(k)->no_memory))
		return -ENOBUFS;
	most = plait_i_call_shorten(k, calls_faults(k)->short_write,
				    s->ops->room(s), most);
	return s->ops->send(s, msg, most, flags);
}

static ssize_t simulated_send(struct kernel *kernel, int fd, const void *buf,
			      size_t len, int flags)
{
	struct host_kernel *k = calls_kernel(kernel);
	struct iovec piece = { .iov_base = (void *)(uintptr_t)buf,
			       .iov_len = len };
	struct msghdr msg = { .msg_iov = &piece, .msg_iovlen = 1 };

	return plait_i_call_return(k, "send", fd,
				   calls_send(k, fd, &msg, flags));
}

/*
 * A file is the program's own, of the system on which the simulation runs.  As
 * much of it is read as the socket may take, and read again if the socket takes
 * less.
 */
static ssize_t calls_send_file(struct host_kernel *k, int fd, int file,
			       uint64_t from, size_t len)
{
	char bytes[16 * 1024];
	struct iovec piece = { .iov_base = bytes };
	struct msghdr msg = { .msg_iov = &piece, .msg_iovlen = 1 };
	ssize_t n = plait_i_given_file_read(
		file, bytes, len < sizeof(bytes) ? len : sizeof(bytes), from);

	if (n <= 0)
		return n;
	piece.iov_len = (size_t)n;
	return calls_send(k, fd, &msg, MSG_NOSIGNAL);
}

static ssize_t simulated_sendfile(struct kernel *kernel, int fd, int file,
				  uint64_t from, size_t len)
{
	struct host_kernel *k = calls_kernel(kernel);

	return plait_i_call_return(k, "sendfile", fd,
				   calls_send_file(k, fd, file, from, len));
}

static ssize_t simulated_sendmsg(struct kernel *kernel, int fd,
				 const struct msghdr *msg, int flags)
{
	struct host_kernel *k = calls_kernel(kernel);

	return plait_i_call_return(k, "sendmsg", fd,
				   calls_send(k, fd, msg, flags));
}

/* The error of a socket, which is told once, as -errno. */
static int calls_take_error(const struct host_kernel *k, int fd)
{
	struct sim_socket *s;
	int err = 0, rc = calls_socket(k, fd, &s);
	socklen_t len = sizeof(err);

	if (rc == 0)
		rc = s->ops->getsockopt(s, SOL_SOCKET, SO_ERROR, &err, &len);
	return rc < 0 ? rc : -err;
}

/* Several messages.  What one fails with is told only if it is the first; an
   error that waits is told even if no message is wanted. */
static int simulated_recvmmsg(struct kernel *kernel, int fd,
			      struct mmsghdr *msgs, unsigned n, int flags)
{
	struct host_kernel *k = calls_kernel(kernel);
	unsigned done = 0;
	ssize_t rc = n == 0 ? calls_take_error(k, fd) : 0;

	for (; done < n; done++) {
		rc = calls_receive(k, fd, &msgs[done].msg_hdr, flags);
		if (rc < 0)
			break;
		calls_record_pieces(k, &msgs[done].msg_hdr, (size_t)rc);
		msgs[done].msg_len = (unsigned)rc;
	}
	return (int)plait_i_call_return(k, "recvmmsg", fd,
					done > 0 ? done : rc);
}

static int simulated_sendmmsg(struct kernel *kernel, int fd,
			      struct mmsghdr *msgs, unsigned n, int flags)
{
	struct host_kernel *k = calls_kernel(kernel);
	unsigned done = 0;
	ssize_t rc = 0;

	for (; done < n; done++) {
		rc = calls_send(k, fd, &msgs[done].msg_hdr, flags);
		plait_i_call_settle(k);
		if (rc < 0)
			break;
		msgs[done].msg_len = (unsigned)rc;
	}
	return (int)plait_i_call_return(k, "sendmmsg", fd,
					done > 0 ? done : rc);
}

/* ---- options and names --------------------------------------------------- */

static int simulated_getsockopt(struct kernel *kernel, int fd, int level,
				int option, void *value, socklen_t *len)
{
	struct host_kernel *k = calls_kernel(kernel);
	struct sim_socket *s;
	int rc = calls_socket(k, fd, &s);

	if (rc == 0)
		rc = s->ops->getsockopt(s, level, option, value, len);
	return (int)plait_i_call_return(k, "getsockopt", fd, rc);
}

/* A program would close it by close(), which knows nothing of this kernel. */
static int simulated_peer_pidfd(struct kernel *kernel, int fd)
{
	return (int)plait_i_call_return(calls_kernel(kernel), "peer pidfd", fd,
					-ENOPROTOOPT);
}

static int simulated_setsockopt(struct kernel *kernel, int fd, int level,
				int option, const void *value, socklen_t len)
{
	struct host_kernel *k = calls_kernel(kernel);
	struct sim_socket *s;
	int rc = calls_socket(k, fd, &s);

	if (rc == 0)
		rc = s->ops->setsockopt(s, level, option, value, len);
	return (int)plait_i_call_return(k, "setsockopt", fd, rc);
}

static int calls_name(struct host_kernel *k, int fd, enum socket_name which,
		      struct sockaddr *sa, socklen_t *len)
{
	struct sockaddr_storage name = { .ss_family = AF_UNSPEC };
	struct sim_socket *s;
	int rc = calls_socket(k, fd, &s);

	if (rc == 0)
		rc = s->ops->name(s, which, &name);
	if (rc < 0)
		return rc;
	calls_show(&name, rc, sa, len);
	return 0;
}

static int simulated_getsockname(struct kernel *kernel, int fd,
				 struct sockaddr *sa, socklen_t *len)
{
	struct host_kernel *k = calls_kernel(kernel);

	return (int)plait_i_call_return(k, "getsockname", fd,
					calls_name(k, fd, SOCKET_OWN, sa, len));
}

static int simulated_getpeername(struct kernel *kernel, int fd,
				 struct sockaddr *sa, socklen_t *len)
{
	struct host_kernel *k = calls_kernel(kernel);

	return (int)plait_i_call_return(
		k, "getpeername", fd, calls_name(k, fd, SOCKET_PEER, sa, len));
}

/* ---- looking ------------------------------------------------------------- */

/* As poll(): what is not open has an error. */
static unsigned calls_poll(const struct host_kernel *k, int fd)
{
	struct sim_socket *s;

	return calls_socket(k, fd, &s) == 0 ? s->ops->readiness(s) : POLLNVAL;
}

static bool simulated_has_hung_up(struct kernel *kernel, int fd)
{
	return (calls_poll(calls_kernel(kernel), fd) &
		(POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static bool simulated_is_readable(struct kernel *kernel, int fd)
{
	return (calls_poll(calls_kernel(kernel), fd) &
		(POLLIN | POLLHUP | POLLERR | POLLNVAL)) != 0;
}

/* ---- waking and time ----------------------------------------------------- */

static void simulated_wake(struct kernel *kernel, int fd)
{
	__atomic_store_n(&calls_kernel(kernel)->woken, true, __ATOMIC_RELEASE);
}

static void simulated_drain(struct kernel *kernel, int fd)
{
	__atomic_store_n(&calls_kernel(kernel)->woken, false, __ATOMIC_RELEASE);
}

static int64_t simulated_clock(struct kernel *kernel)
{
	return calls_kernel(kernel)->host->simulation->now;
}

static void simulated_lend_clock(struct kernel *kernel)
{
	plait_i_deferred_set_time(simulated_clock(kernel));
}

static uint64_t simulated_random(struct kernel *kernel)
{
	return plait_i_random_next(&calls_kernel(kernel)->chance);
}

/* ---- files and surroundings ---------------------------------------------- */

static const struct host_file *calls_file(struct host_kernel *k,
					  const char *path)
{
	return k->dead ? NULL : plait_i_disk_find(k->host, path);
}

static void calls_describe(const struct host_kernel *k,
			   const struct host_file *f, struct kernel_file *ret)
{
	*ret = (struct kernel_file){
		.inode = f->number,
		.size = f->size,
		.written = f->written,
		.changed = f->written,
		.is_regular = !f->is_socket,
		.is_socket = f->is_socket,
		.is_fresh = k->host->simulation->now - f->written <=
			    KERNEL_FRESH * INT64_C(1000000000),
	};
}

static int simulated_look(struct kernel *kernel, const char *path,
			  struct kernel_file *ret)
{
	struct host_kernel *k = calls_kernel(kernel);
	const struct host_file *f = calls_file(k, path);

	if (f != NULL)
		calls_describe(k, f, ret);
	return (int)plait_i_call_return(k, "look", 0, f != NULL ? 0 : -ENOENT);
}

static int simulated_unlink(struct kernel *kernel, const char *path)
{
	struct host_kernel *k = calls_kernel(kernel);
	bool is_there = calls_file(k, path) != NULL;

	if (is_there)
		plait_host_set_file(k->host, path, NULL);
	return (int)plait_i_call_return(k, "unlink", 0, is_there ? 0 : -ENOENT);
}

/* Everybody may read each file. */
static int simulated_chmod(struct kernel *kernel, const char *path,
			   unsigned mode)
{
	struct host_kernel *k = calls_kernel(kernel);
	bool is_there = calls_file(k, path) != NULL;

	return (int)plait_i_call_return(k, "chmod", 0, is_there ? 0 : -ENOENT);
}

static int simulated_rename(struct kernel *kernel, const char *from,
			    const char *to)
{
	struct host_kernel *k = calls_kernel(kernel);
	int rc = k->dead ? -ENOENT : plait_i_disk_rename(k->host, from, to);

	return (int)plait_i_call_return(k, "rename", 0, rc);
}

/* No two programs run at the same time, so each lock is free. */
static int simulated_lock(struct kernel *kernel, const char *path)
{
	struct host_kernel *k = calls_kernel(kernel);
	bool refuses = plait_i_call_chance(k, calls_faults(k)->no_descriptors);

	return (int)plait_i_call_return(
		k, "lock", 0,
		refuses ? -EMFILE : plait_i_call_open(k, DESCRIPTOR_RESERVE));
}

static void simulated_unlock(struct kernel *kernel, int fd, const char *path)
{
	struct host_kernel *k = calls_kernel(kernel);

	if (plait_i_call_find(k, fd) != NULL)
		plait_i_call_close_again(k, fd);
	plait_i_call_return(k, "unlock", fd, 0);
}

static ssize_t calls_read_file(struct host_kernel *k, const char *path,
			       void *buf, size_t len, struct kernel_file *ret)
{
	const struct host_file *f = calls_file(k, path);

	if (f == NULL)
		return -ENOENT;
	if (f->is_socket)
		return -ENXIO;
	if (plait_i_call_chance(k, calls_faults(k)->no_descriptors))
		return -EMFILE;
	calls_describe(k, f, ret);
	if (len > f->size)
		len = f->size;
	memcpy(buf, f->data, len);
	plait_i_record_bytes(k->host->simulation, buf, len);
	return (ssize_t)len;
}

static ssize_t simulated_read_file(struct kernel *kernel, const char *path,
				   void *buf, size_t len,
				   struct kernel_file *ret)
{
	struct host_kernel *k = calls_kernel(kernel);

	return plait_i_call_return(k, "read file", 0,
				   calls_read_file(k, path, buf, len, ret));
}

/* The environment of this process is not that of a program there. */
static const char *simulated_variable(struct kernel *kernel, const char *name)
{
	return NULL;
}

static int simulated_host_name(struct kernel *kernel, char *buf, size_t size)
{
	const char *name = calls_kernel(kernel)->host->name;

	if (strlen(name) >= size) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(buf, name, strlen(name) + 1);
	return 0;
}

static unsigned simulated_interface(struct kernel *kernel, const char *name)
{
	return 0;
}

/* ---- descriptors that change hands ----------------------------------------
 */

/* Only what a child was given, or a copy of it. */
static int calls_adopt(struct host_kernel *k, int fd)
{
	struct descriptor *d = plait_i_call_find(k, fd);

	if (k->process == NULL)
		return -EOPNOTSUPP;
	if (d == NULL ||
	    (d->kind != DESCRIPTOR_PIPE && d->kind != DESCRIPTOR_NULL))
		return -EBADF;
	if (plait_i_descriptor_take(
		    d, k->host->simulation->options.max_descriptors) == 0)
		return d->fd;
	plait_i_descriptor_close(d);
	return -EMFILE;
}

static int simulated_adopt(struct kernel *kernel, int fd)
{
	struct host_kernel *k = calls_kernel(kernel);

	return (int)plait_i_call_return(k, "adopt", fd, calls_adopt(k, fd));
}

static ssize_t simulated_send_fds(struct kernel *kernel, int fd,
				  const struct iovec *pieces, int n,
				  const int *fds, size_t n_fds, int flags)
{
	return plait_i_call_return(calls_kernel(kernel), "send fds", fd,
				   -EOPNOTSUPP);
}

static ssize_t simulated_recv_fds(struct kernel *kernel, int fd, void *buf,
				  size_t len, int *fds, size_t *n_fds,
				  int flags)
{
	return plait_i_call_return(calls_kernel(kernel), "recv fds", fd,
				   -EOPNOTSUPP);
}

static const struct kernel_calls simulated_calls = {
	.socket = simulated_socket,
	.bind = simulated_bind,
	.listen = simulated_listen,
	.accept = simulated_accept,
	.connect = simulated_connect,
	.recv = simulated_recv,
	.send = simulated_send,
	.sendmsg = simulated_sendmsg,
	.sendfile = simulated_sendfile,
	.recvmsg = simulated_recvmsg,
	.recvmmsg = simulated_recvmmsg,
	.sendmmsg = simulated_sendmmsg,
	.socketpair = simulated_socketpair,
	.adopt = simulated_adopt,
	.send_fds = simulated_send_fds,
	.recv_fds = simulated_recv_fds,
	.inherit = simulated_inherit,
	.shutdown = simulated_shutdown,
	.close = simulated_close,
	.getsockopt = simulated_getsockopt,
	.setsockopt = simulated_setsockopt,
	.peer_pidfd = simulated_peer_pidfd,
	.getsockname = simulated_getsockname,
	.getpeername = simulated_getpeername,
	.has_hung_up = simulated_has_hung_up,
	.is_readable = simulated_is_readable,
	.reserve = simulated_reserve,
	.waker = simulated_waker,
	.wake = simulated_wake,
	.drain = simulated_drain,
	.clock = simulated_clock,
	.lend_clock = simulated_lend_clock,
	.random = simulated_random,
	.look = simulated_look,
	.unlink = simulated_unlink,
	.chmod = simulated_chmod,
	.rename = simulated_rename,
	.lock = simulated_lock,
	.unlock = simulated_unlock,
	.read_file = simulated_read_file,
	.variable = simulated_variable,
	.host_name = simulated_host_name,
	.interface = simulated_interface,
	.children = &plait_i_simulated_children,
	.ends = &plait_i_simulated_ends,
};

/* ---- waiting ------------------------------------------------------------- */

static int simulated_init(struct kernel *kernel)
{
	struct host_kernel *k = calls_kernel(kernel);

	plait_i_descriptors_init(&k->descriptors);
	return k->process != NULL ? plait_i_process_begin(k->process) : 0;
}

/* plait closes all that it opens, unless its kernel has died before. */
static void simulated_done(struct kernel *kernel)
{
	struct host_kernel *k = calls_kernel(kernel);
	size_t open = plait_i_descriptors_of_plait(&k->descriptors);

	if (!k->dead && open > 0)
		plait_simulation_fail(
			k->host->simulation,
			"a program of %s has left %zu descriptors open",
			k->host->name, open);
	plait_i_descriptors_close_all(k);
	plait_i_processes_orphan(k);
	k->ended = true;
}

static int simulated_check(struct kernel *kernel, int fd)
{
	return plait_i_call_find(calls_kernel(kernel), fd) != NULL ? 0 : -EBADF;
}

static int simulated_update(struct kernel *kernel, struct watches *ws, int fd)
{
	struct descriptor *d = plait_i_call_find(calls_kernel(kernel), fd);
	struct watch_slot *s = &ws->slots[fd];

	if (d == NULL)
		return s->events == 0 ? 0 : -EBADF;
	/* What cannot be waited for is always ready, as with epoll. */
	if (s->events != 0 &&
	    (d->kind == DESCRIPTOR_RESERVE || d->kind == DESCRIPTOR_NULL))
		watch_set_apart(ws, s, WATCH_APART);
	else
		plait_i_descriptor_watch(d, s->events, s->generation);
	return 0;
}

static bool calls_are_woken(const struct host_kernel *k)
{
	return __atomic_load_n(&k->woken, __ATOMIC_ACQUIRE) &&
	       k->descriptors.waker != NULL &&
	       (k->descriptors.waker->wants & PLAIT_WATCH_READ);
}

bool plait_i_host_kernel_is_ready(struct host_kernel *k)
{
	return !plait_list_is_empty(&k->descriptors.ready) ||
	       calls_are_woken(k);
}

static struct kernel_event calls_event(const struct descriptor *d,
				       unsigned events)
{
	return (struct kernel_event){
		.fd = d->fd,
		.events = events,
		.generation = d->generation,
	};
}

/* Gives the first of those that are ready, which are the last then. */
static int calls_collect(struct host_kernel *k, struct kernel_event *ret)
{
	struct plait_list *l, *last = k->descriptors.ready.prev;
	int n = 0;
	bool more = !plait_list_is_empty(&k->descriptors.ready);

	while (more && n < KERNEL_BATCH - 2) {
		struct descriptor *d;

		l = plait_list_first(&k->descriptors.ready);
		more = l != last;
		d = plait_container(l, struct descriptor, ready);
		ret[n++] = calls_event(d, plait_i_descriptor_events(d));
		plait_i_descriptor_told(d);
	}
	if (calls_are_woken(k))
		ret[n++] = calls_event(k->descriptors.waker, PLAIT_WATCH_READ);
	return n;
}

/* Linux never says that a socket is writable before it has connected. */
static bool calls_is_connecting(const struct descriptor *d)
{
	struct sockaddr_storage peer;

	return (d->wants & PLAIT_WATCH_WRITE) != 0 && d->socket != NULL &&
	       d->kind == DESCRIPTOR_SOCKET &&
	       d->socket->ops->name(d->socket, SOCKET_PEER, &peer) < 0;
}

/* An event for one that has none, if chance meets one that is watched. */
static int calls_add_spurious(struct host_kernel *k, struct kernel_event *ret,
			      int n)
{
	const struct descriptors *ds = &k->descriptors;
	const struct descriptor *d;

	if (ds->n == 0 || !plait_i_call_chance(k, calls_faults(k)->spurious))
		return n;
	d = ds->slots[plait_i_random_below(&k->chance, ds->n)];
	if (d == NULL ||
	    (d->kind != DESCRIPTOR_SOCKET && d->kind != DESCRIPTOR_PIPE) ||
	    plait_list_is_linked(&d->ready) ||
	    !(d->wants & (PLAIT_WATCH_READ | PLAIT_WATCH_WRITE)) ||
	    calls_is_connecting(d))
		return n;
	for (int i = 0; i < n; i++) {
		if (ret[i].fd == d->fd)
			return n;
	}
	ret[n] = calls_event(d, d->wants);
	return n + 1;
}

static void calls_shuffle(struct host_kernel *k, struct kernel_event *events,
			  int n)
{
	for (int i = n - 1; i > 0; i--) {
		int j = (int)plait_i_random_below(&k->chance, (uint64_t)i + 1);
		struct kernel_event e = events[i];

		events[i] = events[j];
		events[j] = e;
	}
}

/* Waits until there is an event, or that time has come. */
static int calls_let_time_pass(struct host_kernel *k, int64_t timeout)
{
	struct plait_simulation *s = k->host->simulation;
	int64_t until;

	if (timeout == 0 || plait_i_host_kernel_is_ready(k))
		return 0;
	if (timeout < 0 || __builtin_add_overflow(s->now, timeout, &until))
		until = -1;
	return s->drive(s, k, until);
}

static int simulated_wait(struct kernel *kernel, struct watches *ws,
			  int64_t timeout, struct kernel_event *ret)
{
	struct host_kernel *k = calls_kernel(kernel);
	int rc = calls_let_time_pass(k, timeout), n;

	simulated_lend_clock(kernel);
	if (rc < 0)
		return rc;
	if (k->dead)
		return -EHOSTDOWN;
	if (plait_i_call_is_interrupted(k))
		return 0;
	n = calls_add_spurious(k, ret, calls_collect(k, ret));
	calls_shuffle(k, ret, n);
	plait_i_record(k->host->simulation, "wait", k->host->number,
		       (uint64_t)n);
	return n;
}

const struct kernel_ops plait_i_kernel_simulated = {
	.name = "simulated",
	.calls = &simulated_calls,
	.is_simulated = true,
	.init = simulated_init,
	.done = simulated_done,
	.check = simulated_check,
	.update = simulated_update,
	.wait = simulated_wait,
};

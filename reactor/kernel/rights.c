/*
 * Descriptors that go from one process to another, as what unix(7) calls
 * SCM_RIGHTS: a control message beside the bytes of a message.
 *
 * What is received is installed by the kernel, whoever has sent it.  So the
 * room for control messages is exactly that of KERNEL_MAX_FDS descriptors: the
 * kernel closes what does not fit, and says so (MSG_CTRUNC), as it does if the
 * process can have no more descriptors.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "reactor/kernel/kernel.h"

enum { FDS_SIZE = KERNEL_MAX_FDS * sizeof(int) };

/* A control message, where the kernel looks for it. */
union rights {
	struct cmsghdr header;
	char room[CMSG_SPACE(FDS_SIZE)];
};

_Static_assert(CMSG_SPACE(FDS_SIZE) == CMSG_LEN(FDS_SIZE),
	       "there is room for no more descriptors than are wanted");

static void rights_close(const int *fds, size_t n)
{
	int saved = errno;

	for (size_t i = 0; i < n; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	errno = saved;
}

/* Moves those that are 0, 1 or 2 elsewhere; if that fails, closes them all. */
static int rights_move(int *fds, size_t n)
{
	bool ok = true;

	for (size_t i = 0; i < n; i++) {
		fds[i] = plait_i_descriptor(fds[i]);
		ok = ok && fds[i] >= 0;
	}
	if (ok)
		return 0;
	rights_close(fds, n);
	return -1;
}

int plait_i_linux_socketpair(struct kernel *k, int type, int ret[2])
{
	int fds[2];

	if (socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) <
		    0 ||
	    rights_move(fds, 2) < 0)
		return -1;
	memcpy(ret, fds, sizeof(fds));
	return 0;
}

int plait_i_linux_adopt(struct kernel *k, int fd)
{
	if (fd < 0) {
		errno = EBADF;
		return -1;
	}
	fd = plait_i_descriptor(fd);
	if (fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		rights_close(&fd, 1);
		return -1;
	}
	return fd;
}

ssize_t plait_i_linux_send_fds(struct kernel *k, int fd,
			       const struct iovec *pieces, int n,
			       const int *fds, size_t n_fds, int flags)
{
	size_t size = n_fds * sizeof(*fds);
	union rights rights = {
		.header = { .cmsg_level = SOL_SOCKET,
			    .cmsg_type = SCM_RIGHTS,
			    .cmsg_len = CMSG_LEN(size) },
	};
	const struct msghdr msg = {
		.msg_iov = (struct iovec *)(uintptr_t)pieces,
		.msg_iovlen = (size_t)n,
		.msg_control = &rights,
		.msg_controllen = CMSG_SPACE(size),
	};

	memcpy(CMSG_DATA(&rights.header), fds, size);
	return sendmsg(fd, &msg, flags);
}

/* Stores the descriptors of msg, and returns how many there are. */
static size_t rights_of(struct msghdr *msg, int *fds)
{
	struct cmsghdr *c;
	size_t size, n = 0;

	for (c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size = c->cmsg_len - CMSG_LEN(0);
		memcpy(fds + n, CMSG_DATA(c), size);
		n += size / sizeof(*fds);
	}
	return n;
}

ssize_t plait_i_linux_recv_fds(struct kernel *k, int fd, void *buf, size_t len,
			       int *fds, size_t *n_fds, int flags)
{
	union rights rights;
	struct iovec piece = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &piece,
			      .msg_iovlen = 1,
			      .msg_control = &rights,
			      .msg_controllen = sizeof(rights) };
	ssize_t got = recvmsg(fd, &msg, flags | MSG_CMSG_CLOEXEC);
	size_t n;

	*n_fds = 0;
	if (got < 0)
		return -1;
	n = rights_of(&msg, fds);
	if (msg.msg_flags & MSG_CTRUNC) {
		rights_close(fds, n);
		errno = n < KERNEL_MAX_FDS ? EMFILE : EMSGSIZE;
		return -1;
	}
	if (rights_move(fds, n) < 0)
		return -1;
	*n_fds = n;
	return got;
}

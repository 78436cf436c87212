/* Descriptors beside bytes: see rights.h. */
#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "tests/rights.h"

union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(RIGHTS_MANY * sizeof(int))];
};

ssize_t rights_send(int fd, const void *data, size_t len, const int *fds,
		    size_t n)
{
	size_t size = n * sizeof(*fds);
	union control control = { .header = { .cmsg_level = SOL_SOCKET,
					      .cmsg_type = SCM_RIGHTS,
					      .cmsg_len = CMSG_LEN(size) } };
	struct iovec piece = { .iov_base = (void *)(uintptr_t)data,
			       .iov_len = len };
	struct msghdr msg = { .msg_iov = &piece, .msg_iovlen = 1 };

	if (n > 0) {
		memcpy(CMSG_DATA(&control.header), fds, size);
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(size);
	}
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

ssize_t rights_recv(int fd, void *data, size_t len, int *fds, size_t *n)
{
	union control control;
	struct iovec piece = { .iov_base = data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &piece,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t got = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *c;

	*n = 0;
	c = got >= 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (c == NULL)
		return got;
	ck_assert_int_eq(c->cmsg_type, SCM_RIGHTS);
	ck_assert_int_eq(msg.msg_flags & MSG_CTRUNC, 0);
	*n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(*fds);
	memcpy(fds, CMSG_DATA(c), *n * sizeof(*fds));
	return got;
}

void rights_send_copies(int fd, int copy, size_t n)
{
	int fds[RIGHTS_MANY];

	for (size_t i = 0; i < n; i++)
		fds[i] = copy;
	ck_assert_int_eq(rights_send(fd, "x", 1, fds, n), 1);
}

bool rights_are_same(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

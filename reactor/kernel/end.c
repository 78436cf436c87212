/*
 * Descriptors that the program was given, on Linux: see end.h.
 *
 * A pipe can be asked to read or write without waiting, whatever its flags are:
 * RWF_NOWAIT, of Linux 5.x and later.  A terminal cannot, nor can a pipe of an
 * older kernel.  Then poll() is asked before each call.  If it says that there
 * is input, one read() does not wait.  If it says that there is room, a pipe
 * takes PIPE_BUF bytes, and a terminal TERMINAL_ROOM.
 *
 * Between poll() and the call another process may take the input or the room.
 * Then the call waits until there is more.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "reactor/kernel/child.h"
#include "reactor/kernel/end.h"
#include "reactor/kernel/quiet.h"

enum {
	NOWAIT = 8,	    /* RWF_NOWAIT, which older headers do not have */
	MEMORY_DEVICES = 1, /* /dev/null, zero, full, random, ... */
	/* A terminal that is writable has room for 256 bytes, and makes up to 8
	   of each: a tab becomes spaces. */
	TERMINAL_ROOM = 32,
	MAX_WRITES = 32, /* of one call */
};

/* It is there if the program was compiled with this sanitizer, which does not
   know what a call by its number writes. */
void __msan_unpoison(const volatile void *a, size_t size) __attribute__((weak));

/* ---- what it is ---------------------------------------------------------- */

static enum end_kind end_kind_of(int fd, const struct stat *st)
{
	struct termios t;

	if (S_ISFIFO(st->st_mode))
		return END_OF_PIPE;
	if (S_ISSOCK(st->st_mode))
		return END_OF_SOCKET;
	if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode) ||
	    S_ISDIR(st->st_mode) ||
	    (S_ISCHR(st->st_mode) && major(st->st_rdev) == MEMORY_DEVICES))
		return END_OF_FILE;
	return tcgetattr(fd, &t) == 0 ? END_OF_TERMINAL : END_OF_OTHER;
}

static int linux_end_look(struct kernel *k, int fd, struct kernel_end *ret)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0 || fstat(fd, &st) < 0)
		return -1;
	*ret = (struct kernel_end){
		.fd = fd,
		.kind = end_kind_of(fd, &st),
		.is_read = (flags & O_ACCMODE) != O_WRONLY,
		.is_written = (flags & O_ACCMODE) != O_RDONLY,
		.device = st.st_dev,
		.inode = st.st_ino,
	};
	return 0;
}

static int linux_end_copy(struct kernel *k, int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

static void linux_end_vacate(struct kernel *k, int fd,
			     const struct kernel_end *e)
{
	struct kernel_end now;
	int null;

	if (linux_end_look(k, fd, &now) < 0 || !kernel_end_is_same(&now, e))
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return;
	dup2(null, fd);
	close(null);
}

/* ---- reading and writing without waiting --------------------------------- */

/* The kernel, or this kind of file, does not know how to do that. */
static bool end_cannot_ask(int err)
{
	return err == EOPNOTSUPP || err == ENOSYS || err == EINVAL ||
	       err == EPERM;
}

static bool end_is_ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	if (poll(&p, 1, 0) > 0)
		return true;
	errno = EAGAIN;
	return false;
}

/* They are called by number, as few versions of libc have them. */
static ssize_t end_ask(long number, int fd, const struct iovec *pieces, int n)
{
	return syscall(number, fd, pieces, (long)n, -1L, -1L, (long)NOWAIT);
}

static ssize_t end_read_now(int fd, void *buf, size_t len)
{
	struct iovec piece = { .iov_base = buf, .iov_len = len };
	ssize_t n = end_ask(SYS_preadv2, fd, &piece, 1);

	if (n > 0 && __msan_unpoison != NULL)
		__msan_unpoison(buf, (size_t)n);
	if (n >= 0 || !end_cannot_ask(errno))
		return n;
	return end_is_ready(fd, POLLIN) ? read(fd, buf, len) : -1;
}

static ssize_t linux_end_read(struct kernel *k, const struct kernel_end *e,
			      void *buf, size_t len)
{
	ssize_t n;

	switch (e->kind) {
	case END_OF_FILE:
		return read(e->fd, buf, len);
	case END_OF_SOCKET:
		return recv(e->fd, buf, len, MSG_DONTWAIT);
	case END_OF_TERMINAL:
		n = end_read_now(e->fd, buf, len);
		return n < 0 && errno == EIO ? 0 : n;
	case END_OF_PIPE:
	case END_OF_OTHER:
		break;
	}
	return end_read_now(e->fd, buf, len);
}

/* Writes so many bytes at a time, as long as there is room. */
static ssize_t end_write_promised(int fd, size_t promised, const char *data,
				  size_t len)
{
	size_t done = 0;
	ssize_t n = 0;

	for (int i = 0; i < MAX_WRITES && done < len; i++) {
		if (!end_is_ready(fd, POLLOUT))
			break;
		n = write(fd, data + done,
			  len - done < promised ? len - done : promised);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done > 0 ? (ssize_t)done : -1;
}

static ssize_t end_write_now(const struct kernel_end *e,
			     const struct iovec *pieces, int n)
{
	size_t promised = e->kind == END_OF_PIPE ? PIPE_BUF : TERMINAL_ROOM;
	ssize_t written = end_ask(SYS_pwritev2, e->fd, pieces, n);

	if (written >= 0 || !end_cannot_ask(errno))
		return written;
	return end_write_promised(e->fd, promised, pieces->iov_base,
				  pieces->iov_len);
}

static ssize_t end_write(const struct kernel_end *e, const struct iovec *pieces,
			 int n)
{
	const struct msghdr msg = {
		.msg_iov = (struct iovec *)(uintptr_t)pieces,
		.msg_iovlen = (size_t)n,
	};

	switch (e->kind) {
	case END_OF_FILE:
		return writev(e->fd, pieces, n);
	case END_OF_SOCKET:
		return sendmsg(e->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	case END_OF_PIPE:
	case END_OF_TERMINAL:
	case END_OF_OTHER:
		break;
	}
	return end_write_now(e, pieces, n);
}

static ssize_t linux_end_write(struct kernel *k, const struct kernel_end *e,
			       const struct iovec *pieces, int n)
{
	struct quiet quiet;
	ssize_t written;

	plait_i_quiet_begin(&quiet);
	errno = 0;
	written = end_write(e, pieces, n);
	/* Of several writes, the last may have failed. */
	plait_i_quiet_end(&quiet, quiet_number(errno));
	return written;
}

/* ---- what there is ------------------------------------------------------- */

static ssize_t linux_end_peek(struct kernel *k, const struct kernel_end *e)
{
	char c;

	switch (e->kind) {
	case END_OF_FILE:
		return 1;
	case END_OF_SOCKET:
		return recv(e->fd, &c, sizeof(c), MSG_PEEK | MSG_DONTWAIT);
	case END_OF_PIPE:
	case END_OF_TERMINAL:
	case END_OF_OTHER:
		break;
	}
	return plait_i_linux_children.peek(k, e->fd);
}

static size_t linux_end_waiting(struct kernel *k, const struct kernel_end *e)
{
	int bytes = 0;

	if (e->kind == END_OF_FILE || ioctl(e->fd, FIONREAD, &bytes) < 0)
		return 0;
	return bytes > 0 ? (size_t)bytes : 0;
}

/* A pipe that nobody reads has an error; a socket or a terminal is hung up. */
static int linux_end_broken(struct kernel *k, const struct kernel_end *e)
{
	struct pollfd p = { .fd = e->fd };

	if (poll(&p, 1, 0) <= 0)
		return 0;
	if (e->kind == END_OF_TERMINAL)
		return p.revents & (POLLERR | POLLHUP) ? EIO : 0;
	return p.revents & (POLLERR | POLLHUP) ? EPIPE : 0;
}

const struct kernel_ends plait_i_linux_ends = {
	.look = linux_end_look,
	.copy = linux_end_copy,
	.vacate = linux_end_vacate,
	.read = linux_end_read,
	.write = linux_end_write,
	.peek = linux_end_peek,
	.waiting = linux_end_waiting,
	.broken = linux_end_broken,
};

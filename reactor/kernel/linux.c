/*
 * The calls of the kernel that the program runs on, whichever way it waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/chance.h"
#include "lib/deferred.h"
#include "reactor/kernel/child.h"
#include "reactor/kernel/end.h"
#include "reactor/kernel/notify.h"
#include "reactor/kernel/quiet.h"

enum { NS_PER_S = 1000000000 };

/* Headers that are older than the kernel do not have it. */
#if !defined(SO_PEERPIDFD) && !defined(__sparc__) && !defined(__hppa__)
#define SO_PEERPIDFD 77
#endif

static int linux_socket(struct kernel *k, int family, int type)
{
	return plait_i_descriptor(
		socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

static int linux_inherit(struct kernel *k, int fd)
{
	return plait_i_descriptor_inherit(fd);
}

static int linux_bind(struct kernel *k, int fd, const struct sockaddr *sa,
		      socklen_t len)
{
	return bind(fd, sa, len);
}

static int linux_listen(struct kernel *k, int fd, int backlog)
{
	return listen(fd, backlog);
}

static int linux_accept(struct kernel *k, int fd, struct sockaddr *sa,
			socklen_t *len)
{
	return plait_i_descriptor(
		accept4(fd, sa, len, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

static int linux_connect(struct kernel *k, int fd, const struct sockaddr *sa,
			 socklen_t len)
{
	return connect(fd, sa, len);
}

static ssize_t linux_recv(struct kernel *k, int fd, void *buf, size_t len,
			  int flags)
{
	return recv(fd, buf, len, flags);
}

static ssize_t linux_send(struct kernel *k, int fd, const void *buf, size_t len,
			  int flags)
{
	return send(fd, buf, len, flags);
}

static ssize_t linux_sendmsg(struct kernel *k, int fd, const struct msghdr *msg,
			     int flags)
{
	return sendmsg(fd, msg, flags);
}

static ssize_t linux_recvmsg(struct kernel *k, int fd, struct msghdr *msg,
			     int flags)
{
	return recvmsg(fd, msg, flags);
}

static int linux_sendmmsg(struct kernel *k, int fd, struct mmsghdr *msgs,
			  unsigned n, int flags)
{
	return sendmmsg(fd, msgs, n, flags);
}

static int linux_recvmmsg(struct kernel *k, int fd, struct mmsghdr *msgs,
			  unsigned n, int flags)
{
	return recvmmsg(fd, msgs, n, flags, NULL);
}

static ssize_t linux_sendfile(struct kernel *k, int fd, int file, uint64_t from,
			      size_t len)
{
	off_t at = (off_t)from;
	struct quiet quiet;
	ssize_t n;
	int number;

	if (at < 0 || (uint64_t)at != from) {
		errno = EOVERFLOW;
		return -1;
	}
	plait_i_quiet_begin(&quiet);
	n = sendfile(fd, file, &at, len);
	number = n < 0 ? quiet_number(errno) : 0;
	/* It sends piece by piece.  If a later piece meets the broken pipe,
	   there is the signal, and no error. */
	if (n >= 0 && (size_t)n < len)
		number = SIGPIPE;
	plait_i_quiet_end(&quiet, number);
	return n;
}

static int linux_shutdown(struct kernel *k, int fd, int how)
{
	return shutdown(fd, how);
}

static int linux_close(struct kernel *k, int fd)
{
	return close(fd);
}

static int linux_getsockopt(struct kernel *k, int fd, int level, int option,
			    void *value, socklen_t *len)
{
	return getsockopt(fd, level, option, value, len);
}

static int linux_setsockopt(struct kernel *k, int fd, int level, int option,
			    const void *value, socklen_t len)
{
	return setsockopt(fd, level, option, value, len);
}

static int linux_peer_pidfd(struct kernel *k, int fd)
{
	int pidfd;
	socklen_t len = sizeof(pidfd);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) < 0)
		return -1;
	return plait_i_descriptor(pidfd);
}

static int linux_getsockname(struct kernel *k, int fd, struct sockaddr *sa,
			     socklen_t *len)
{
	return getsockname(fd, sa, len);
}

static int linux_getpeername(struct kernel *k, int fd, struct sockaddr *sa,
			     socklen_t *len)
{
	return getpeername(fd, sa, len);
}

static bool linux_has_hung_up(struct kernel *k, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0 &&
	       (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static bool linux_is_readable(struct kernel *k, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) != 0;
}

static int linux_reserve(struct kernel *k)
{
	return plait_i_descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

static int linux_waker(struct kernel *k)
{
	return plait_i_descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

/* A full eventfd means that a wake-up is waiting already. */
static void linux_wake(struct kernel *k, int fd)
{
	uint64_t one = 1;
	int saved = errno;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	errno = saved;
}

static void linux_drain(struct kernel *k, int fd)
{
	uint64_t n;

	while (read(fd, &n, sizeof(n)) < 0 && errno == EINTR)
		;
}

int64_t plait_i_linux_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static int64_t linux_clock(struct kernel *k)
{
	return plait_i_linux_clock();
}

static void linux_lend_clock(struct kernel *k)
{
	plait_i_deferred_set_clock(plait_i_linux_clock);
}

/* Randomness of a system that is booting: it has some, but not enough yet for
   keys that must last.  Older systems do not know the flag. */
static bool linux_random_early(uint64_t *bits)
{
#ifdef GRND_INSECURE
	return getrandom(bits, sizeof(*bits), GRND_INSECURE) == sizeof(*bits);
#else
	return false;
#endif
}

/*
 * The system may have no randomness to give: a sandbox does not know the call.
 * Then it is a sequence that the clock is part of, also of each number, so that
 * two processes of a fork do not draw the same.
 */
static uint64_t linux_random(struct kernel *k)
{
	uint64_t bits;

	if (getrandom(&bits, sizeof(bits), GRND_NONBLOCK) == sizeof(bits) ||
	    linux_random_early(&bits))
		return bits;
	k->chance ^= (uint64_t)plait_i_linux_clock();
	return chance_next(&k->chance);
}

/* ---- files and surroundings ---------------------------------------------- */

static int64_t linux_nanoseconds(struct timespec ts)
{
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/*
 * Many file systems count time in ticks of some milliseconds, FAT in two
 * seconds.  A file of the future is not fresh: its next change has another
 * time.
 */
static bool linux_is_fresh(int64_t changed)
{
	struct timespec ts = { .tv_sec = 0 };

	clock_gettime(CLOCK_REALTIME, &ts);
	return llabs(linux_nanoseconds(ts) - changed) <=
	       KERNEL_FRESH * (int64_t)NS_PER_S;
}

static void linux_describe(const struct stat *st, struct kernel_file *ret)
{
	int64_t changed = linux_nanoseconds(st->st_ctim);

	*ret = (struct kernel_file){
		.device = st->st_dev,
		.inode = st->st_ino,
		.size = (uint64_t)st->st_size,
		.written = linux_nanoseconds(st->st_mtim),
		.changed = changed,
		.is_regular = S_ISREG(st->st_mode),
		.is_socket = S_ISSOCK(st->st_mode),
		.is_directory = S_ISDIR(st->st_mode),
		.is_fresh = linux_is_fresh(changed),
	};
}

static int linux_look(struct kernel *k, const char *path,
		      struct kernel_file *ret)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -1;
	linux_describe(&st, ret);
	return 0;
}

static int linux_unlink(struct kernel *k, const char *path)
{
	return unlink(path);
}

static int linux_chmod(struct kernel *k, const char *path, unsigned mode)
{
	return chmod(path, mode);
}

static int linux_rename(struct kernel *k, const char *from, const char *to)
{
	return rename(from, to);
}

/* 1: fd is the file of that path; 0: it is another one; or -1. */
static int linux_is_at(int fd, const char *path)
{
	struct stat here, there;

	if (fstat(fd, &here) < 0)
		return -1;
	if (stat(path, &there) < 0)
		return errno == ENOENT ? 0 : -1;
	return here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

/* 1: *ret has the lock; 0: only that of a file that is not there any more, as
   whoever has the lock removes the file in the end; or -1. */
static int linux_try_lock(const char *path, int *ret)
{
	int fd = plait_i_descriptor(open(
		path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
		S_IRUSR | S_IWUSR));
	int is_mine, saved;

	if (fd < 0)
		return -1;
	is_mine = flock(fd, LOCK_EX | LOCK_NB) < 0 ? -1 : linux_is_at(fd, path);
	if (is_mine > 0) {
		*ret = fd;
		return is_mine;
	}
	saved = errno;
	close(fd);
	errno = saved;
	return is_mine;
}

static int linux_lock(struct kernel *k, const char *path)
{
	enum { TRIES = 16 };
	int fd = -1, is_mine = 0;

	for (int i = 0; i < TRIES && is_mine == 0; i++)
		is_mine = linux_try_lock(path, &fd);
	if (is_mine == 0)
		errno = EWOULDBLOCK;
	return fd;
}

static void linux_unlock(struct kernel *k, int fd, const char *path)
{
	unlink(path);
	close(fd);
}

static ssize_t linux_read_all(int fd, char *buf, size_t len)
{
	size_t done = 0;
	ssize_t n = 1;

	while (n != 0 && done < len) {
		n = read(fd, buf + done, len - done);
		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0)
			done += (size_t)n;
	}
	return (ssize_t)done;
}

/* The look comes before the bytes: what is written after it changes the file
   for the next look. */
static ssize_t linux_read_regular(int fd, void *buf, size_t len,
				  struct kernel_file *ret)
{
	struct kernel_file file;
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) < 0)
		return -1;
	if (!S_ISREG(st.st_mode)) {
		errno = EINVAL;
		return -1;
	}
	linux_describe(&st, &file);
	n = linux_read_all(fd, buf, len);
	if (n >= 0)
		*ret = file;
	return n;
}

/* O_NONBLOCK: to open a FIFO would wait for its writer otherwise. */
static ssize_t linux_read_file(struct kernel *k, const char *path, void *buf,
			       size_t len, struct kernel_file *ret)
{
	int fd = plait_i_descriptor(
		open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
	ssize_t n;
	int saved;

	if (fd < 0)
		return -1;
	n = linux_read_regular(fd, buf, len, ret);
	saved = errno;
	close(fd);
	errno = saved;
	return n;
}

static const char *linux_variable(struct kernel *k, const char *name)
{
	return secure_getenv(name);
}

static int linux_host_name(struct kernel *k, char *buf, size_t size)
{
	return gethostname(buf, size);
}

static unsigned linux_interface(struct kernel *k, const char *name)
{
	return if_nametoindex(name);
}

int plait_i_linux_check(struct kernel *k, int fd)
{
	return fcntl(fd, F_GETFD) < 0 && errno == EBADF ? -EBADF : 0;
}

const struct kernel_calls plait_i_linux_calls = {
	.socket = linux_socket,
	.bind = linux_bind,
	.listen = linux_listen,
	.accept = linux_accept,
	.connect = linux_connect,
	.recv = linux_recv,
	.send = linux_send,
	.sendmsg = linux_sendmsg,
	.recvmsg = linux_recvmsg,
	.sendmmsg = linux_sendmmsg,
	.recvmmsg = linux_recvmmsg,
	.socketpair = plait_i_linux_socketpair,
	.adopt = plait_i_linux_adopt,
	.send_fds = plait_i_linux_send_fds,
	.recv_fds = plait_i_linux_recv_fds,
	.inherit = linux_inherit,
	.sendfile = linux_sendfile,
	.shutdown = linux_shutdown,
	.close = linux_close,
	.getsockopt = linux_getsockopt,
	.setsockopt = linux_setsockopt,
	.peer_pidfd = linux_peer_pidfd,
	.getsockname = linux_getsockname,
	.getpeername = linux_getpeername,
	.has_hung_up = linux_has_hung_up,
	.is_readable = linux_is_readable,
	.reserve = linux_reserve,
	.waker = linux_waker,
	.wake = linux_wake,
	.drain = linux_drain,
	.clock = linux_clock,
	.lend_clock = linux_lend_clock,
	.random = linux_random,
	.look = linux_look,
	.unlink = linux_unlink,
	.chmod = linux_chmod,
	.rename = linux_rename,
	.lock = linux_lock,
	.unlock = linux_unlock,
	.read_file = linux_read_file,
	.variable = linux_variable,
	.host_name = linux_host_name,
	.interface = linux_interface,
	.children = &plait_i_linux_children,
	.notify = &plait_i_linux_notify,
	.ends = &plait_i_linux_ends,
};

/*
 * Children and pipes of the kernel that the program runs on: see child.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "reactor/kernel/child.h"

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

enum { LINUX_P_PIDFD = 3 }; /* P_PIDFD, which older headers do not have */

/* ---- children ------------------------------------------------------------ */

static pid_t linux_spawn(struct kernel *k, struct spawn *s, int *pidfd)
{
	return plait_i_spawn(s, pidfd);
}

static int linux_reap(struct kernel *k, int pidfd, int options, siginfo_t *ret)
{
	int n;

	ret->si_pid = 0;
	do {
		n = waitid((idtype_t)LINUX_P_PIDFD, (id_t)pidfd, ret,
			   WEXITED | WNOHANG | options);
	} while (n < 0 && errno == EINTR);
	if (n == 0 && ret->si_pid == 0) {
		errno = EAGAIN;
		return -1;
	}
	return n;
}

static void linux_wait(struct kernel *k, int pidfd, int milliseconds)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	while (poll(&p, 1, milliseconds) < 0 && errno == EINTR)
		;
}

static int linux_signal(struct kernel *k, int pidfd, int number)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0);
}

static int linux_signal_group(struct kernel *k, pid_t group, int number)
{
	return kill(-group, number);
}

/* ---- pipes --------------------------------------------------------------- */

static void linux_close_quietly(int fd)
{
	int saved = errno;

	close(fd);
	errno = saved;
}

/* 0, 1 and 2 are never used, although the child's end is closed soon. */
static int linux_make_pipe(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	fds[0] = plait_i_descriptor(fds[0]);
	if (fds[0] < 0) {
		linux_close_quietly(fds[1]);
		return -1;
	}
	fds[1] = plait_i_descriptor(fds[1]);
	if (fds[1] < 0) {
		linux_close_quietly(fds[0]);
		return -1;
	}
	return 0;
}

static int linux_pipe(struct kernel *k, bool they_read, int *ours, int *theirs)
{
	int fds[2];

	if (linux_make_pipe(fds) < 0)
		return -1;
	if (fcntl(fds[they_read], F_SETFL, O_NONBLOCK) < 0) {
		linux_close_quietly(fds[0]);
		linux_close_quietly(fds[1]);
		return -1;
	}
	*ours = fds[they_read];
	*theirs = fds[!they_read];
	return 0;
}

static int linux_null(struct kernel *k)
{
	return plait_i_descriptor(open("/dev/null", O_RDWR | O_CLOEXEC));
}

static ssize_t linux_read(struct kernel *k, int fd, void *buf, size_t len)
{
	return read(fd, buf, len);
}

/* The signal of a broken pipe is this thread's alone: if it was not blocked
   before, the one that waits now is of this write. */
static void linux_take_signal(const sigset_t *pipe, const sigset_t *before)
{
	static const struct timespec at_once;

	if (sigismember(before, SIGPIPE))
		return;
	while (sigtimedwait(pipe, NULL, &at_once) < 0 && errno == EINTR)
		;
}

/* A program may have any action for SIGPIPE, and no flag keeps a pipe from
   raising it. */
static ssize_t linux_write(struct kernel *k, int fd, const struct iovec *pieces,
			   int n)
{
	sigset_t pipe, before;
	ssize_t written;
	int err;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, &before);
	written = writev(fd, pieces, n);
	err = errno;
	if (written < 0 && err == EPIPE)
		linux_take_signal(&pipe, &before);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = err;
	return written;
}

static ssize_t linux_peek(struct kernel *k, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int there = 0;

	if (ioctl(fd, FIONREAD, &there) == 0 && there > 0)
		return 1;
	if (poll(&p, 1, 0) > 0 && (p.revents & POLLHUP))
		return 0;
	errno = EAGAIN;
	return -1;
}

static int linux_broken(struct kernel *k, int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) > 0 && (p.revents & POLLERR) ? EPIPE : 0;
}

const struct kernel_children plait_i_linux_children = {
	.spawn = linux_spawn,
	.reap = linux_reap,
	.wait = linux_wait,
	.signal = linux_signal,
	.signal_group = linux_signal_group,
	.pipe = linux_pipe,
	.null = linux_null,
	.read = linux_read,
	.write = linux_write,
	.peek = linux_peek,
	.broken = linux_broken,
};

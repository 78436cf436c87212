/*
 * Children and pipes of the kernel that the program runs on: see child.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reactor/kernel/child.h"
#include "reactor/kernel/orphans.h"
#include "reactor/kernel/quiet.h"
#include "reactor/kernel/waiter.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

enum { LINUX_P_PIDFD = 3 }; /* P_PIDFD, which older headers do not have */

/* ---- children ------------------------------------------------------------ */

/*
 * Can a descriptor stand for a process here?  A kernel may have only some of
 * the calls, and a filter may forbid them; then they are not used at all.
 */
static bool linux_has_pidfds(void)
{
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	siginfo_t info;
	bool has;

	if (fd < 0)
		return false;
	/* It is no child of itself; EINVAL: before Linux 5.4. */
	has = waitid((idtype_t)LINUX_P_PIDFD, (id_t)fd, &info,
		     WEXITED | WNOHANG) < 0 &&
	      errno == ECHILD &&
	      syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0;
	close(fd);
	return has;
}

/* Without a descriptor of its own, the child has that of a thread. */
static int linux_spawn_with_waiter(struct spawn *s, struct kernel_process *ret)
{
	struct kernel_process p;

	s->step = "waiter";
	p.waiter = plait_i_waiter_new();
	if (p.waiter == NULL)
		return -1;
	p.fd = plait_i_waiter_fd(p.waiter);
	p.pid = plait_i_spawn(s, NULL);
	if (p.pid < 0) {
		int err = errno;

		plait_i_waiter_free(p.waiter, false);
		errno = err;
		return -1;
	}
	plait_i_waiter_tell(p.waiter, p.pid);
	*ret = p;
	return 0;
}

/* Nobody has heard of the child yet.  If it is another user's by now, as its
   program says so, it cannot be killed, and may run for ever.  Leaves errno. */
static void linux_kill_new(pid_t pid)
{
	int saved = errno;
	siginfo_t info;

	if (kill(pid, SIGKILL) == 0) {
		while (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0 &&
		       errno == EINTR)
			;
	}
	errno = saved;
}

static int linux_spawn(struct kernel *k, struct spawn *s,
		       struct kernel_process *ret)
{
	struct kernel_process p = { .fd = -1 };

	if (!linux_has_pidfds())
		return linux_spawn_with_waiter(s, ret);
	p.pid = plait_i_spawn(s, &p.fd);
	if (p.pid < 0)
		return -1;
	p.fd = plait_i_descriptor(p.fd);
	if (p.fd < 0) {
		s->step = "pidfd";
		linux_kill_new(p.pid);
		return -1;
	}
	*ret = p;
	return 0;
}

static int linux_find(struct kernel *k, pid_t pid, struct kernel_process *ret)
{
	int fd = plait_i_descriptor((int)syscall(SYS_pidfd_open, pid, 0));

	if (fd < 0)
		return -1;
	*ret = (struct kernel_process){ .pid = pid, .fd = fd };
	return 0;
}

static void linux_forget(struct kernel *k, struct kernel_process *p,
			 bool is_forked)
{
	if (p->waiter != NULL)
		plait_i_waiter_free(p->waiter, is_forked);
	else
		close(p->fd);
	p->waiter = NULL;
	p->fd = -1;
}

static int linux_reap(struct kernel *k, const struct kernel_process *p,
		      int options, siginfo_t *ret)
{
	bool by_pid = p->waiter != NULL;
	int n;

	ret->si_pid = 0;
	do {
		n = waitid(by_pid ? P_PID : (idtype_t)LINUX_P_PIDFD,
			   (id_t)(by_pid ? p->pid : p->fd), ret,
			   WEXITED | WNOHANG | options);
	} while (n < 0 && errno == EINTR);
	if (n == 0 && ret->si_pid == 0) {
		errno = EAGAIN;
		return -1;
	}
	return n;
}

static void linux_wait(struct kernel *k, const struct kernel_process *p,
		       int milliseconds)
{
	struct pollfd fd = { .fd = p->fd, .events = POLLIN };

	while (poll(&fd, 1, milliseconds) < 0 && errno == EINTR)
		;
}

/* Has somebody else in this program waited for the child?  Then its number may
   be another process's. */
static bool linux_is_gone(struct kernel *k, const struct kernel_process *p)
{
	siginfo_t info;

	return linux_reap(k, p, WNOWAIT, &info) < 0 && errno == ECHILD;
}

static int linux_signal(struct kernel *k, const struct kernel_process *p,
			int number)
{
	if (p->waiter == NULL)
		return (int)syscall(SYS_pidfd_send_signal, p->fd, number, NULL,
				    0);
	if (linux_is_gone(k, p)) {
		errno = ESRCH;
		return -1;
	}
	return kill(p->pid, number);
}

/* The child may have left its group.  If somebody has waited for it, its number
   may be another's, and linux_signal() does nothing. */
static int linux_signal_group(struct kernel *k, const struct kernel_process *p,
			      int number)
{
	int n = kill(-p->pid, number);
	int saved = errno;

	if (getpgid(p->pid) != p->pid && linux_signal(k, p, number) == 0)
		return 0;
	errno = saved;
	return n;
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

/*
 * The other end is opened by the master, and not by its name: which need not be
 * where this process looks for it.  Neither becomes this process's own
 * terminal.
 */
static int linux_open_terminal(int master)
{
	static const int unlocked;

	if (ioctl(master, TIOCSPTLCK, &unlocked) < 0)
		return -1;
	return plait_i_descriptor(
		ioctl(master, TIOCGPTPEER,
		      (void *)(intptr_t)(O_RDWR | O_NOCTTY | O_CLOEXEC)));
}

static int linux_set_window(struct kernel *k, int fd, unsigned rows,
			    unsigned columns)
{
	struct winsize size = { .ws_row = (unsigned short)rows,
				.ws_col = (unsigned short)columns };

	return ioctl(fd, TIOCSWINSZ, &size);
}

static int linux_terminal(struct kernel *k, unsigned rows, unsigned columns,
			  int *ours, int *theirs)
{
	int master = plait_i_descriptor(
		open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
	int slave;

	if (master < 0)
		return -1;
	slave = linux_open_terminal(master);
	if (slave < 0 || linux_set_window(k, master, rows, columns) < 0) {
		if (slave >= 0)
			linux_close_quietly(slave);
		linux_close_quietly(master);
		return -1;
	}
	*ours = master;
	*theirs = slave;
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

static ssize_t linux_write(struct kernel *k, int fd, const struct iovec *pieces,
			   int n)
{
	struct quiet quiet;
	ssize_t written;

	plait_i_quiet_begin(&quiet);
	written = writev(fd, pieces, n);
	plait_i_quiet_end(&quiet, written < 0 ? quiet_number(errno) : 0);
	return written;
}

static ssize_t linux_peek(struct kernel *k, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, 1, 0) > 0 && (p.revents & POLLIN))
		return 1;
	if (p.revents & POLLHUP)
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
	.find = linux_find,
	.forget = linux_forget,
	.reap = linux_reap,
	.wait = linux_wait,
	.signal = linux_signal,
	.signal_group = linux_signal_group,
	.pipe = linux_pipe,
	.ended = plait_i_linux_ended,
	.reap_stranger = plait_i_linux_reap_stranger,
	.adopt_orphans = plait_i_linux_adopt_orphans,
	.null = linux_null,
	.terminal = linux_terminal,
	.set_window = linux_set_window,
	.read = linux_read,
	.write = linux_write,
	.peek = linux_peek,
	.broken = linux_broken,
};

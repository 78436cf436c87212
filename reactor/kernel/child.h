/*
 * What a kernel does for children and pipes.  The calls return -1 and set
 * errno.
 */
#ifndef REACTOR_CHILD_H
#define REACTOR_CHILD_H

#include <signal.h>
#include <sys/uio.h>

#include "reactor/kernel/kernel.h"
#include "reactor/kernel/spawn.h"

struct kernel_children {
	/* As plait_i_spawn(). */
	pid_t (*spawn)(struct kernel *k, struct spawn *s, int *pidfd);
	/*
	 * How the child has ended: waitid() of that child, with WEXITED,
	 * WNOHANG and these options; EAGAIN if it has not.  ECHILD: somebody
	 * else has waited for it.
	 */
	int (*reap)(struct kernel *k, int pidfd, int options, siginfo_t *ret);
	/* Waits until the child has ended, that many milliseconds at most. */
	void (*wait)(struct kernel *k, int pidfd, int milliseconds);
	int (*signal)(struct kernel *k, int pidfd, int number);
	/* A group is that of a child that nobody has waited for, so the number
	   is its own. */
	int (*signal_group)(struct kernel *k, pid_t group, int number);
	/* A pipe that the child reads or writes.  Only our end is
	   non-blocking. */
	int (*pipe)(struct kernel *k, bool they_read, int *ours, int *theirs);
	int (*null)(struct kernel *k); /* /dev/null, to read and to write */
	ssize_t (*read)(struct kernel *k, int fd, void *buf, size_t len);
	/* Raises no SIGPIPE. */
	ssize_t (*write)(struct kernel *k, int fd, const struct iovec *pieces,
			 int n);
	/* What read() of one byte would return, without taking it. */
	ssize_t (*peek)(struct kernel *k, int fd);
	/* EPIPE if nobody has the other end of this pipe for reading; or 0. */
	int (*broken)(struct kernel *k, int fd);
};

extern const struct kernel_children plait_i_linux_children;

#endif

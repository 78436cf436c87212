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

struct waiter;

/* A process, as a kernel knows it. */
struct kernel_process {
	pid_t pid;
	int fd; /* is readable when it has ended; -1: it was forgotten */
	struct waiter *waiter; /* whose fd that is; NULL: it is a pidfd */
};

struct kernel_children {
	/* As plait_i_spawn().  Returns 0. */
	int (*spawn)(struct kernel *k, struct spawn *s,
		     struct kernel_process *ret);
	/* A process that somebody else has made.  ENOSYS: the kernel has no
	   descriptors of processes. */
	int (*find)(struct kernel *k, pid_t pid, struct kernel_process *ret);
	/* Gives up what is kept of it; is_forked: in a forked child. */
	void (*forget)(struct kernel *k, struct kernel_process *p,
		       bool is_forked);
	/*
	 * How the child has ended: waitid() of that child, with WEXITED,
	 * WNOHANG and these options; EAGAIN if it has not.  ECHILD: somebody
	 * else has waited for it, or it is no child.
	 */
	int (*reap)(struct kernel *k, const struct kernel_process *p,
		    int options, siginfo_t *ret);
	/* Waits until the child has ended, that many milliseconds at most. */
	void (*wait)(struct kernel *k, const struct kernel_process *p,
		     int milliseconds);
	int (*signal)(struct kernel *k, const struct kernel_process *p,
		      int number);
	/* The group of a child, and the child if it has left that.  Its number
	   is its own as long as nobody has waited for the child, or anybody is
	   in the group. */
	int (*signal_group)(struct kernel *k, const struct kernel_process *p,
			    int number);
	/*
	 * The children of this process, of whomever, that have ended and that
	 * nobody has waited for.  Returns how many; if there are any, *ret is
	 * an array of them, given, or NULL if there is no memory.  Some may be
	 * missing if there is little memory, or the kernel lists no children.
	 */
	size_t (*ended)(struct kernel *k, pid_t **ret);
	/* waitid() of any child, with WEXITED and WNOHANG; EAGAIN, ECHILD. */
	int (*reap_stranger)(struct kernel *k, pid_t pid, siginfo_t *ret);
	/* Is this process to get orphans?  *was: did it?  was may be NULL. */
	int (*adopt_orphans)(struct kernel *k, bool wants, bool *was);
	/* A pipe that the child reads or writes.  Only our end is
	   non-blocking. */
	int (*pipe)(struct kernel *k, bool they_read, int *ours, int *theirs);
	int (*null)(struct kernel *k); /* /dev/null, to read and to write */
	/* A terminal.  Only our end, the master's, is non-blocking. */
	int (*terminal)(struct kernel *k, unsigned rows, unsigned columns,
			int *ours, int *theirs);
	int (*set_window)(struct kernel *k, int fd, unsigned rows,
			  unsigned columns);
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

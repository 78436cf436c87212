/*
 * Making a child: see spawn.h.
 *
 * The functions child_...() run in the child, on a stack of its own, while this
 * thread waits.  They write only errno and the struct, and call only what
 * neither locks nor allocates.  No handler of this process may run there: so
 * all signals are blocked from before the child begins, until each has its
 * default action.
 *
 * The C library's setuid() and its like would tell the other threads of this
 * process.  So the child makes these calls itself.  So it does with those that
 * make descriptors: ThreadSanitizer would take them for descriptors of this
 * process.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reactor/kernel/kernel.h"
#include "reactor/kernel/spawn.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/*
 * ThreadSanitizer takes each clone() for a fork(), of which there would be two
 * in the same memory.  It does not know the C library's other name.
 */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SPAWN_CLONE __clone
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define SPAWN_CLONE __clone
#endif
#ifdef SPAWN_CLONE
int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
#else
#define SPAWN_CLONE clone
#endif

enum {
	STACK = 65536, /* bytes; aligned, and a child needs few */
	CHILD_FAILED = 127
};

/* The sanitizers must not look for the child's frames on the stack of this
   thread. */
#define IN_CHILD                                                               \
	__attribute__((no_sanitize("address", "thread", "undefined"), noinline))

/* ---- the child ----------------------------------------------------------- */

IN_CHILD static bool child_fails(struct spawn *s, const char *step)
{
	s->step = step;
	s->err = errno;
	return false;
}

/* First all get numbers behind those that are wanted, so that none is
   overwritten before it was copied. */
IN_CHILD static bool child_copy_descriptors(struct spawn *s)
{
	int most = STDERR_FILENO;

	for (size_t i = 0; i < s->n_moves; i++)
		most = s->moves[i].to > most ? s->moves[i].to : most;
	for (size_t i = 0; i < s->n_moves; i++) {
		struct spawn_move *m = &s->moves[i];

		m->copy = fcntl(m->from, F_DUPFD_CLOEXEC, most + 1);
		if (m->copy < 0)
			return child_fails(s, "dup");
	}
	return true;
}

/* What the kernel writes for each file of a directory. */
struct child_entry {
	uint64_t inode;
	int64_t next;
	unsigned short size;
	unsigned char type;
	char name[];
};

/* The number that the name of an entry of /proc/self/fd is, or -1. */
IN_CHILD static int child_number(const char *name)
{
	int n = 0;

	for (; *name >= '0' && *name <= '9'; name++)
		n = n * 10 + (*name - '0');
	return *name == '\0' ? n : -1;
}

/* Before Linux 5.11 there is no call that marks them all. */
IN_CHILD static bool child_mark_each(struct spawn *s)
{
	_Alignas(struct child_entry) char buf[4096];
	int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/fd",
			      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long n = -1;

	while (fd >= 0 &&
	       (n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < n;) {
			const struct child_entry *e = (const void *)(buf + at);
			int other = child_number(e->name);

			if (other >= 0)
				fcntl(other, F_SETFD, FD_CLOEXEC);
			at += e->size;
		}
	}
	return n == 0 || child_fails(s, "/proc/self/fd");
}

IN_CHILD static bool child_mark_all(struct spawn *s)
{
	return syscall(SYS_close_range, 0U, ~0U, CLOSE_RANGE_CLOEXEC) == 0 ||
	       child_mark_each(s);
}

/* Then all are marked to be closed, and the copies of copies are not. */
IN_CHILD static bool child_move_descriptors(struct spawn *s)
{
	if (!child_mark_all(s))
		return false;
	for (size_t i = 0; i < s->n_moves; i++) {
		if (syscall(SYS_dup3, s->moves[i].copy, s->moves[i].to, 0) < 0)
			return child_fails(s, "dup2");
	}
	return true;
}

IN_CHILD static bool child_leave_group(struct spawn *s)
{
	if (s->new_session && setsid() < 0)
		return child_fails(s, "setsid");
	if (s->new_group && !s->new_session && setpgid(0, 0) < 0)
		return child_fails(s, "setpgid");
	return s->terminal < 0 || ioctl(s->terminal, TIOCSCTTY, 0) == 0 ||
	       child_fails(s, "TIOCSCTTY");
}

/* On machines with 16-bit ids the calls that know all ids have other names. */
#ifdef SYS_setresuid32
#define CHILD_SETGROUPS SYS_setgroups32
#define CHILD_SETGID SYS_setresgid32
#define CHILD_SETUID SYS_setresuid32
#else
#define CHILD_SETGROUPS SYS_setgroups
#define CHILD_SETGID SYS_setresgid
#define CHILD_SETUID SYS_setresuid
#endif

IN_CHILD static bool child_set_ids(struct spawn *s)
{
	if (!s->set_ids)
		return true;
	if (syscall(CHILD_SETGROUPS, (size_t)0, NULL) < 0)
		return child_fails(s, "setgroups");
	if (syscall(CHILD_SETGID, s->gid, s->gid, s->gid) < 0)
		return child_fails(s, "setgid");
	if (syscall(CHILD_SETUID, s->uid, s->uid, s->uid) < 0)
		return child_fails(s, "setuid");
	return true;
}

/* After the ids, as a change of them undoes it.  The parent may have died
   before. */
IN_CHILD static bool child_tie_to_parent(struct spawn *s)
{
	if (!s->die_with_parent)
		return true;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return child_fails(s, "prctl");
	errno = ESRCH;
	return getppid() == s->parent || child_fails(s, "parent");
}

IN_CHILD static bool child_enter_directory(struct spawn *s)
{
	return s->cwd == NULL || chdir(s->cwd) == 0 || child_fails(s, "chdir");
}

/*
 * Also those that the C library keeps for itself and refuses to change: a
 * parent may have left them ignored.  All zeros are the default action, however
 * large the kernel's struct is here.
 */
IN_CHILD static void child_reset_signals(void)
{
	static const unsigned long initial[16];
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		syscall(SYS_rt_sigaction, number, initial, NULL,
			(size_t)(NSIG - 1) / 8);
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
}

/* Of several files, one that may not be run counts more than none.  By its
   number: gcov would write this process's counters before an execve(). */
IN_CHILD static bool child_exec(struct spawn *s)
{
	int err = ENOENT;

	for (size_t i = 0; s->paths[i] != NULL; i++) {
		syscall(SYS_execve, s->paths[i], s->argv, s->envp);
		if (errno == EACCES)
			err = EACCES;
		else if (errno != ENOENT && errno != ENOTDIR)
			return child_fails(s, "exec");
	}
	errno = err;
	return child_fails(s, "exec");
}

/* Its result is the status of a child that has failed. */
IN_CHILD static int child_run(void *arg)
{
	struct spawn *s = arg;

	if (child_copy_descriptors(s) && child_move_descriptors(s) &&
	    child_leave_group(s) && child_set_ids(s) &&
	    child_tie_to_parent(s) && child_enter_directory(s)) {
		child_reset_signals();
		child_exec(s);
	}
	return CHILD_FAILED;
}

/* ---- this process ------------------------------------------------------- */

/* Is the child there, and does it run its program?  If not, it is reaped. */
static pid_t spawn_look(struct spawn *s, pid_t pid, int *pidfd)
{
	siginfo_t info;

	if (s->err == 0)
		return pid;
	while (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0 && errno == EINTR)
		;
	if (pidfd != NULL)
		close(*pidfd);
	errno = s->err;
	return -1;
}

static pid_t spawn_clone(struct spawn *s, char *stack, int *pidfd)
{
	int flags = CLONE_VM | CLONE_VFORK | SIGCHLD;
	pid_t pid;

	s->step = "clone";
	s->err = 0;
	s->parent = getpid();
	if (pidfd != NULL)
		flags |= CLONE_PIDFD;
	pid = SPAWN_CLONE(child_run, stack + STACK, flags, s, pidfd);
	return pid < 0 ? -1 : spawn_look(s, pid, pidfd);
}

static pid_t spawn_with_signals_blocked(struct spawn *s, char *stack,
					int *pidfd)
{
	sigset_t all, before;
	int err, state;
	pid_t pid;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	pid = spawn_clone(s, stack, pidfd);
	err = errno;
	pthread_setcancelstate(state, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = err;
	return pid;
}

pid_t plait_i_spawn(struct spawn *s, int *pidfd)
{
	char *stack;
	pid_t pid;
	int err;

	s->step = "malloc";
	stack = malloc(STACK);
	if (stack == NULL)
		return -1;
	pid = spawn_with_signals_blocked(s, stack, pidfd);
	err = errno;
	free(stack);
	errno = err;
	return pid;
}

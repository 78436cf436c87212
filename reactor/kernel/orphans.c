/*
 * All children of this process, of whomever: see orphans.h.
 *
 * waitid() names one child that has ended, and always the same as long as
 * nobody has waited for it.  So if there is one, /proc tells who there is
 * behind it; children belong to threads there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reactor/kernel/orphans.h"

enum { PATH_SIZE = 64, FIRST_ROOM = 16 };

/* What the kernel writes for each file of a directory. */
struct orphans_entry {
	uint64_t inode;
	int64_t next;
	unsigned short size;
	unsigned char type;
	char name[];
};

struct orphans_found {
	pid_t *pids; /* NULL: there was no memory for any */
	size_t n, room;
};

static bool orphans_has_ended(idtype_t type, pid_t pid, siginfo_t *info)
{
	int n;

	info->si_pid = 0;
	do {
		n = waitid(type, (id_t)pid, info, WEXITED | WNOHANG | WNOWAIT);
	} while (n < 0 && errno == EINTR);
	return n == 0 && info->si_pid != 0;
}

static void orphans_add(struct orphans_found *f, pid_t pid)
{
	size_t room = f->room > 0 ? 2 * f->room : FIRST_ROOM;
	pid_t *more;

	if (f->n == f->room) {
		more = reallocarray(f->pids, room, sizeof(*more));
		if (more == NULL)
			return;
		f->pids = more;
		f->room = room;
	}
	f->pids[f->n++] = pid;
}

static void orphans_look_at(struct orphans_found *f, pid_t pid)
{
	siginfo_t info;

	if (pid > 0 && orphans_has_ended(P_PID, pid, &info))
		orphans_add(f, pid);
}

/* Its text is numbers, each with a space behind it. */
static void orphans_read_children(struct orphans_found *f, int fd)
{
	char buf[4096];
	pid_t pid = 0;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0 ||
	       (n < 0 && errno == EINTR)) {
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] >= '0' && buf[i] <= '9') {
				pid = pid * 10 + (buf[i] - '0');
				continue;
			}
			orphans_look_at(f, pid);
			pid = 0;
		}
	}
}

static void orphans_of_thread(struct orphans_found *f, const char *thread)
{
	char path[PATH_SIZE];
	int fd;

	if (*thread == '.')
		return;
	snprintf(path, sizeof(path), "/proc/self/task/%.20s/children", thread);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	orphans_read_children(f, fd);
	close(fd);
}

static void orphans_of_threads(struct orphans_found *f)
{
	_Alignas(struct orphans_entry) char buf[4096];
	int fd = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long n;

	if (fd < 0)
		return;
	while ((n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < n;) {
			const struct orphans_entry *e =
				(const void *)(buf + at);

			orphans_of_thread(f, e->name);
			at += e->size;
		}
	}
	close(fd);
}

size_t plait_i_linux_ended(struct kernel *k, pid_t **ret)
{
	struct orphans_found f = { .n = 0 };
	siginfo_t info;

	if (!orphans_has_ended(P_ALL, 0, &info))
		return 0;
	orphans_of_threads(&f);
	if (f.n == 0)
		orphans_add(&f, info.si_pid);
	*ret = f.pids;
	return f.n > 0 ? f.n : 1;
}

int plait_i_linux_reap_stranger(struct kernel *k, pid_t pid, siginfo_t *ret)
{
	int n;

	ret->si_pid = 0;
	do {
		n = waitid(P_PID, (id_t)pid, ret, WEXITED | WNOHANG);
	} while (n < 0 && errno == EINTR);
	if (n == 0 && ret->si_pid == 0) {
		errno = EAGAIN;
		return -1;
	}
	return n;
}

int plait_i_linux_adopt_orphans(struct kernel *k, bool wants, bool *was)
{
	int before = 0;

	if (was != NULL && prctl(PR_GET_CHILD_SUBREAPER, &before) < 0)
		return -1;
	if (prctl(PR_SET_CHILD_SUBREAPER, (unsigned long)wants) < 0)
		return -1;
	if (was != NULL)
		*was = before != 0;
	return 0;
}

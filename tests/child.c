/*
 * Functions in child processes: see child.h.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/child.h"
#include "tests/harness.h"

#ifdef PLAIT_COVERAGE
void __gcov_dump(void);
#endif

void child_leave(int status)
{
#ifdef PLAIT_COVERAGE
	__gcov_dump();
#endif
	_exit(status);
}

static char words[8192];

/* abort() as an exit: no core file, and what was covered is saved. */
static void leave(int sig)
{
	child_leave(CHILD_ABORTED);
}

static void be_child(void (*fn)(void *arg), void *arg, int err)
{
	dup2(err, STDERR_FILENO);
	signal(SIGABRT, leave);
	plait_set_unhandled_hook(NULL, NULL);
	fn(arg);
	exit(0);
}

static void listen_to(int fd)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, words + len, sizeof(words) - 1 - len)) > 0)
		len += (size_t)n;
	words[len] = '\0';
}

bool child_may_have_threads(void)
{
#if defined(__SANITIZE_THREAD__)
	return false;
#elif defined(__has_feature)
	return !__has_feature(thread_sanitizer);
#else
	return true;
#endif
}

int child_run(void (*fn)(void *arg), void *arg, const char **said)
{
	int fds[2], status;
	pid_t pid;

	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		be_child(fn, arg, fds[1]);
	close(fds[1]);
	listen_to(fds[0]);
	close(fds[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	*said = words;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

void child_ends(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

pid_t child_hold(void)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	/* Nor does it outlive a test that fails. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

void child_let_go(pid_t pid)
{
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

void assert_aborts(void (*fn)(void *arg), void *arg, const char *says)
{
	const char *said;
	int status = child_run(fn, arg, &said);

	ck_assert_msg(status == CHILD_ABORTED, "status %d: %s", status, said);
	ck_assert_msg(strstr(said, says) != NULL, "said: %s", said);
}

/*
 * Processes that somebody else has made, watched to their end.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <plait/process.h>
#include <plait/testing.h>

#include "tests/child.h"
#include "tests/harness.h"

static struct plait_deferred *d;
static plait_value result;
static bool fired;

static plait_value keep(plait_value *v, void *unused)
{
	result = plait_value_take(v);
	fired = true;
	return PLAIT_NONE;
}

static void begin(void)
{
	d = NULL;
	fired = false;
	result = PLAIT_NONE;
}

static void end(void)
{
	plait_deferred_free(&d);
	plait_value_free(&result);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}

static void watch(pid_t pid)
{
	d = plait_process_watch(reactor, pid);
	plait_deferred_add_both(d, keep, NULL);
}

static void wait_for_it(void)
{
	run_until_set(reactor, &fired);
	plait_deferred_free(&d);
}

static const struct plait_process_exit *how(void)
{
	return plait_value_process_exit(&result);
}

static void failed_with(int err)
{
	const struct plait_failure *f;

	ck_assert(fired);
	plait_deferred_free(&d);
	f = plait_value_failure(&result);
	ck_assert_ptr_eq(plait_failure_kind(f), &plait_error_os);
	ck_assert_int_eq(plait_failure_errno(f), err);
}

/* A child of the program's own, which waits for a signal or a byte. */
static int to_child[2];

static pid_t make_child(void)
{
	pid_t pid;
	char c;

	ck_assert_int_eq(pipe2(to_child, O_CLOEXEC), 0);
	pid = fork();
	if (pid != 0)
		return pid;
	close(to_child[1]);
	_exit(read(to_child[0], &c, 1) == 1 ? c : 99);
}

static void tell_child(char c)
{
	ck_assert_int_eq(write(to_child[1], &c, 1), 1);
}

static int wait_for_child(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	close(to_child[0]);
	close(to_child[1]);
	return status;
}

GROUP("watching", .setup = begin, .teardown = end);

TEST(the_status_of_a_child_is_told_and_left_to_the_program, ON_EACH_BACKEND)
{
	pid_t pid = make_child();

	watch(pid);
	run_turns(reactor, 3);
	ck_assert(!fired);
	tell_child(7);
	wait_for_it();
	ck_assert_int_eq(how()->code, 7);
	ck_assert_int_eq(how()->signal, 0);
	ck_assert(!how()->unknown);
	ck_assert_int_eq(WEXITSTATUS(wait_for_child(pid)), 7);
}

TEST(a_signal_that_has_ended_it_is_told, ON_EACH_BACKEND)
{
	pid_t pid = make_child();

	watch(pid);
	kill(pid, SIGUSR1);
	wait_for_it();
	ck_assert_int_eq(how()->code, -1);
	ck_assert_int_eq(how()->signal, SIGUSR1);
	ck_assert_int_eq(WTERMSIG(wait_for_child(pid)), SIGUSR1);
}

TEST(a_child_that_has_ended_before_is_told_too, ON_EACH_BACKEND)
{
	pid_t pid = make_child();
	siginfo_t info;

	tell_child(3);
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
	watch(pid);
	ck_assert(!fired);
	wait_for_it();
	ck_assert_int_eq(how()->code, 3);
	wait_for_child(pid);
}

TEST(if_the_program_is_first_the_status_is_unknown, ON_EACH_BACKEND)
{
	pid_t pid = make_child();

	watch(pid);
	tell_child(3);
	wait_for_child(pid);
	wait_for_it();
	ck_assert(how()->unknown);
	ck_assert_int_eq(how()->code, -1);
}

/* Watches a child that has ended, and whose tracer has not waited for it: so
   its descriptor says that it has ended, and waitid() that it has not. */
static pid_t watch_one_that_is_traced(unsigned long looks)
{
	pid_t pid = make_child();
	siginfo_t info;

	clock_virtual(true);
	kill(pid, SIGUSR1);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	fault_call("waitid", looks, EAGAIN);
	watch(pid);
	return pid;
}

TEST(the_end_of_a_child_that_is_traced_is_looked_for_now_and_then,
     ON_EACH_BACKEND)
{
	double begin = clock_now();
	pid_t pid = watch_one_that_is_traced(20);

	wait_for_it();
	ck_assert(clock_now() - begin >= 20 * 0.05);
	ck_assert_int_eq(how()->signal, SIGUSR1);
	ck_assert(!how()->unknown);
	ck_assert_int_eq(WTERMSIG(wait_for_child(pid)), SIGUSR1);
}

TEST(a_child_that_is_traced_is_watched_no_more_after_a_cancel, ON_EACH_BACKEND)
{
	pid_t pid = watch_one_that_is_traced(1000);

	run_turns(reactor, 3);
	ck_assert(!fired);
	plait_deferred_cancel(d);
	plait_deferred_free(&d);
	ck_assert(plait_failure_check(plait_value_failure(&result),
				      &plait_error_cancelled));
	plait_reactor_iterate(reactor, 60);
	ck_assert(wait_timeout() > 59);
	wait_for_child(pid);
}

/* Becomes the tracer of a process, and leaves it when it is told to. */
static pid_t make_tracer(pid_t traced, int ends[2])
{
	int ready[2];
	pid_t pid;
	char c = 0;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		close(ends[1]);
		if (ptrace(PTRACE_SEIZE, traced, NULL, NULL) == 0 &&
		    write(ready[1], &c, 1) == 1 && read(ends[0], &c, 1) == 0)
			_exit(0);
		_exit(1);
	}
	close(ready[1]);
	close(ends[0]);
	if (read(ready[0], &c, 1) == 0) {
		close(ends[1]);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		pid = 0;
	}
	close(ready[0]);
	return pid;
}

/* Where nobody may be a tracer there is nothing to see. */
TEST(a_child_that_is_traced_has_its_status_when_the_tracer_has_left_it,
     ON_EACH_BACKEND)
{
	pid_t pid = make_child(), tracer;
	int ends[2];

	tracer = make_tracer(pid, ends);
	watch(pid);
	tell_child(7);
	if (tracer > 0) {
		run_turns(reactor, 20);
		ck_assert(!fired);
		close(ends[1]);
		ck_assert_int_eq(waitpid(tracer, NULL, 0), tracer);
	}
	wait_for_it();
	ck_assert_int_eq(how()->code, 7);
	ck_assert_int_eq(WEXITSTATUS(wait_for_child(pid)), 7);
}

/* Its parent, a child of the test, ends with it. */
static pid_t make_grandchild(int ends[2], pid_t *parent)
{
	int pids[2];
	pid_t pid = 0;
	char c;

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(pids, O_CLOEXEC), 0);
	*parent = fork();
	if (*parent == 0) {
		close(ends[1]);
		pid = fork();
		if (pid == 0)
			_exit(read(ends[0], &c, 1) == 0 ? 0 : 1);
		if (write(pids[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		waitpid(pid, NULL, 0);
		_exit(0);
	}
	ck_assert_int_eq(read(pids[0], &pid, sizeof(pid)), sizeof(pid));
	close(pids[0]);
	close(pids[1]);
	close(ends[0]);
	return pid;
}

/* epoll does not say that a descriptor was closed. */
TEST(a_descriptor_that_somebody_has_closed_is_left_alone, ON_EACH_BACKEND)
{
	pid_t pid;

	if (strcmp(backend, "select") != 0)
		return;
	pid = make_child();
	watch(pid);
	run_turns(reactor, 2);
	fd_close_behind("pidfd");
	calls_reset();
	wait_for_it();
	ck_assert_uint_eq(calls_of("close"), 0);
	ck_assert(how()->unknown);
	tell_child(7);
	ck_assert_int_eq(WEXITSTATUS(wait_for_child(pid)), 7);
}

TEST(a_process_that_is_no_child_is_watched_to_its_end, ON_EACH_BACKEND)
{
	int ends[2];
	pid_t parent;

	watch(make_grandchild(ends, &parent));
	run_turns(reactor, 3);
	ck_assert(!fired);
	close(ends[1]);
	wait_for_it();
	ck_assert(how()->unknown);
	ck_assert_int_eq(waitpid(parent, NULL, 0), parent);
}

TEST(many_may_watch_the_same_process, ON_EACH_BACKEND)
{
	pid_t pid = make_child();
	struct plait_deferred *other = plait_process_watch(reactor, pid);

	watch(pid);
	plait_deferred_free(&other);
	tell_child(1);
	wait_for_it();
	ck_assert_int_eq(how()->code, 1);
	wait_for_child(pid);
}

TEST(a_process_that_is_not_there_is_an_error, ON_EACH_BACKEND)
{
	watch(INT_MAX);
	failed_with(ESRCH);
}

TEST(a_number_that_no_process_can_have_is_an_error, ON_EACH_BACKEND)
{
	watch(-1);
	failed_with(EINVAL);
}

static const struct {
	const char *call;
	int err;
} steps[] = { { "pidfd_open", ENOSYS }, { "pidfd_open", EMFILE } };

TEST(what_the_kernel_refuses_is_an_error, ON_EACH_BACKEND, EACH_OF(steps))
{
	fault_call(steps[_i].call, 1, steps[_i].err);
	watch(getpid());
	failed_with(steps[_i].err);
}

TEST(a_testing_reactor_watches_no_processes, PURE)
{
	struct plait_reactor *r = plait_testing_reactor_new();

	begin();
	d = plait_process_watch(r, getpid());
	plait_deferred_add_both(d, keep, NULL);
	failed_with(ENOTSUP);
	plait_deferred_free(&d);
	plait_value_free(&result);
	plait_reactor_free(&r);
}

TEST(a_cancel_ends_the_watch_and_not_the_process, ON_EACH_BACKEND)
{
	pid_t pid = make_child();
	struct fd_table *before = fd_table_new();

	watch(pid);
	plait_deferred_cancel(d);
	plait_deferred_free(&d);
	ck_assert_uint_eq(fd_table_check(&before), 0);
	ck_assert(fired);
	ck_assert(plait_failure_check(plait_value_failure(&result),
				      &plait_error_cancelled));
	run_turns(reactor, 3);
	tell_child(5);
	ck_assert_int_eq(WEXITSTATUS(wait_for_child(pid)), 5);
}

TEST(a_reactor_that_is_freed_watches_no_more, ON_EACH_BACKEND)
{
	pid_t pid = make_child();

	watch(pid);
	plait_reactor_free(&reactor);
	plait_deferred_free(&d);
	ck_assert(fired);
	ck_assert_ptr_eq(plait_failure_kind(plait_value_failure(&result)),
			 &plait_error_abandoned);
	tell_child(5);
	wait_for_child(pid);
}

static void free_in_child(void *unused)
{
	plait_reactor_free(&reactor);
	ck_assert(!fired);
	plait_deferred_free(&d);
}

TEST(a_forked_child_leaves_the_watch_to_its_parent, ON_EACH_BACKEND)
{
	const char *said;
	pid_t pid = make_child();

	watch(pid);
	ck_assert_int_eq(child_run(free_in_child, NULL, &said), 0);
	tell_child(5);
	wait_for_it();
	ck_assert_int_eq(how()->code, 5);
	wait_for_child(pid);
}

static void cancel_in_child(void *unused)
{
	plait_deferred_free(&d);
	plait_reactor_free(&reactor);
}

TEST(a_forked_child_may_free_its_copy, ON_EACH_BACKEND)
{
	const char *said;
	pid_t pid = make_child();

	watch(pid);
	ck_assert_int_eq(child_run(cancel_in_child, NULL, &said), 0);
	tell_child(6);
	wait_for_it();
	ck_assert_int_eq(how()->code, 6);
	wait_for_child(pid);
}

static pid_t tortured;

static void watch_with_faults(struct plait_reactor *r)
{
	struct plait_deferred *w = plait_process_watch(r, tortured);

	begin();
	plait_deferred_add_both(w, keep, NULL);
	run_until_set(r, &fired);
	if (!torture_faulty())
		ck_assert(how()->unknown);
	plait_deferred_free(&w);
	plait_value_free(&result);
}

/* For those who are tortured, a child of the test is a stranger. */
TEST(a_watch_lives_with_any_allocation_failing, ON_EACH_BACKEND)
{
	siginfo_t info;

	tortured = make_child();
	tell_child(2);
	waitid(P_PID, (id_t)tortured, &info, WEXITED | WNOWAIT);
	torture(watch_with_faults, backend);
	wait_for_child(tortured);
}

static const struct {
	struct plait_process_exit how;
	const char *text;
} texts[] = {
	{ { .code = 3 }, "<exit with 3>" },
	{ { .code = -1, .signal = 9 }, "<exit by signal 9>" },
	{ { .code = -1, .unknown = true }, "<exit, unknown>" },
};

TEST(an_exit_has_a_text, PURE, EACH_OF(texts))
{
	char buf[40];

	plait_process_exit_type.format(&texts[_i].how, buf, sizeof(buf));
	ck_assert_str_eq(buf, texts[_i].text);
}

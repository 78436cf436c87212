/*
 * Orphans: who waits for them, and whose children are left alone.
 *
 * A test is the parent of its orphans: it is a subreaper as long as its reaper
 * is started.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <plait/reaper.h>
#include <plait/run.h>
#include <plait/testing.h>

#include "reactor/child/family.h"
#include "tests/child.h"
#include "tests/harness.h"

enum { MOST = 64 };

static struct plait_reaper reaper;
static pid_t reaped[MOST];
static struct plait_process_exit how;
static unsigned n_reaped;
static pid_t ours; /* a child that the program says it will wait for */

static void note(struct plait_reaper *r, pid_t pid,
		 const struct plait_process_exit *exit)
{
	ck_assert_uint_lt(n_reaped, MOST);
	reaped[n_reaped++] = pid;
	how = *exit;
}

static bool is_ours(struct plait_reaper *r, pid_t pid)
{
	return pid == ours;
}

static void reaper_init(void)
{
	reaper = (struct plait_reaper){ .subreaper = true, .reaped = note };
	n_reaped = 0;
	ours = 0;
}

static void no_children(void)
{
	plait_reaper_stop(&reaper);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}

static void start(void)
{
	ck_assert_int_eq(plait_reaper_start(reactor, &reaper), 0);
}

static bool has_ended(void *pid)
{
	siginfo_t info = { .si_pid = 0 };

	return waitid(P_PID, (id_t) * (pid_t *)pid, &info,
		      WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid != 0;
}

/* Makes an orphan that gives the code when the end of the pipe comes. */
static int ends[2];

static pid_t make_orphan(int code)
{
	pid_t parent, orphan = 0;
	int pids[2];
	char c;

	ck_assert_int_eq(pipe2(pids, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	parent = fork();
	if (parent == 0) {
		orphan = fork();
		if (orphan == 0) {
			close(ends[1]);
			_exit(read(ends[0], &c, 1) == 0 ? code : 99);
		}
		_exit(write(pids[1], &orphan, sizeof(orphan)) == sizeof(orphan)
			      ? 0
			      : 1);
	}
	ck_assert_int_eq(read(pids[0], &orphan, sizeof(orphan)),
			 sizeof(orphan));
	ck_assert_int_eq(waitpid(parent, NULL, 0), parent);
	close(pids[0]);
	close(pids[1]);
	close(ends[0]);
	return orphan;
}

/* It has ended, and nobody has waited for it. */
static pid_t make_dead_orphan(int code)
{
	pid_t pid = make_orphan(code);
	siginfo_t info;

	close(ends[1]);
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
	return pid;
}

/* A child of the program's own, which has ended. */
static pid_t make_dead_child(int code)
{
	siginfo_t info;
	pid_t pid = fork();

	if (pid == 0)
		_exit(code);
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
	return pid;
}

/* It was seen, and then its patience has passed. */
static void let_patience_pass(void)
{
	run_turns(reactor, 3);
	clock_advance(1);
	run_turns(reactor, 3);
}

GROUP("orphans", .setup = reaper_init, .teardown = no_children);

TEST(an_orphan_is_waited_for_and_told, ON_EACH_BACKEND)
{
	pid_t pid;

	start();
	pid = make_orphan(7);
	run_turns(reactor, 3);
	close(ends[1]);
	run_until(reactor, has_ended, &pid);
	let_patience_pass();
	ck_assert_uint_eq(n_reaped, 1);
	ck_assert_int_eq(reaped[0], pid);
	ck_assert_int_eq(how.code, 7);
	ck_assert(!how.unknown);
}

TEST(an_orphan_that_has_ended_before_is_found, ON_EACH_BACKEND)
{
	pid_t pid;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid = make_dead_orphan(0);
	start();
	let_patience_pass();
	ck_assert_uint_eq(n_reaped, 1);
	ck_assert_int_eq(reaped[0], pid);
	plait_reaper_stop(&reaper);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST(without_patience_it_is_waited_for_at_once, ON_EACH_BACKEND)
{
	reaper.patience = -1;
	start();
	make_dead_orphan(0);
	run_turns(reactor, 3);
	ck_assert_uint_eq(n_reaped, 1);
}

TEST(nobody_need_be_told, ON_EACH_BACKEND)
{
	reaper.reaped = NULL;
	reaper.patience = -1;
	start();
	make_dead_orphan(0);
	run_turns(reactor, 3);
	no_children();
}

TEST(many_orphans_are_waited_for_together, ON_EACH_BACKEND)
{
	start();
	for (int i = 0; i < 40; i++)
		make_dead_orphan(i);
	let_patience_pass();
	ck_assert_uint_eq(n_reaped, 40);
}

/* Each time as soon as the child has ended. */
TEST(system_and_popen_get_their_status_beside_it, ON_EACH_BACKEND)
{
	FILE *f;

	reaper.patience = 5;
	start();
	for (int i = 0; i < 5; i++) {
		int status = system("exit 4");

		ck_assert_int_eq(WEXITSTATUS(status), 4);
		f = popen("exit 5", "r");
		while (fgetc(f) != EOF)
			;
		run_turns(reactor, 3);
		clock_advance(1);
		run_turns(reactor, 3);
		status = pclose(f);
		ck_assert_int_eq(WEXITSTATUS(status), 5);
	}
	ck_assert_uint_eq(n_reaped, 0);
}

TEST(what_the_program_waits_for_is_left_to_it, ON_EACH_BACKEND)
{
	int status;

	reaper.is_ours = is_ours;
	start();
	ours = make_dead_child(6);
	for (int i = 0; i < 5; i++)
		let_patience_pass();
	ck_assert_uint_eq(n_reaped, 0);
	ck_assert_int_eq(waitpid(ours, &status, WNOHANG), ours);
	ck_assert_int_eq(WEXITSTATUS(status), 6);
}

/* Who lives is not noted, although somebody has ended. */
TEST(patience_begins_with_the_end_of_a_child, ON_EACH_BACKEND)
{
	pid_t pid;

	reaper.is_ours = is_ours;
	start();
	pid = make_orphan(2);
	ours = make_dead_child(6);
	for (int i = 0; i < 5; i++)
		let_patience_pass();
	kill(pid, SIGKILL);
	run_until(reactor, has_ended, &pid);
	run_turns(reactor, 3);
	ck_assert_uint_eq(n_reaped, 0);
	let_patience_pass();
	ck_assert_uint_eq(n_reaped, 1);
	close(ends[1]);
	ck_assert_int_eq(waitpid(ours, NULL, WNOHANG), ours);
}

/* waitid() names only the first of them. */
TEST(what_is_left_alone_hides_nobody, ON_EACH_BACKEND)
{
	pid_t pid;

	reaper.is_ours = is_ours;
	start();
	ours = make_dead_child(6);
	pid = make_dead_orphan(2);
	let_patience_pass();
	ck_assert_uint_eq(n_reaped, 1);
	ck_assert_int_eq(reaped[0], pid);
	ck_assert_int_eq(waitpid(ours, NULL, WNOHANG), ours);
}

/* ... and this is all that is known without /proc. */
TEST(without_a_list_of_children_the_first_is_waited_for, ON_EACH_BACKEND)
{
	reaper.patience = -1;
	fault_call_forever("open", EACCES);
	start();
	make_dead_orphan(1);
	make_dead_orphan(2);
	run_turns(reactor, 1);
	for (int i = 0; i < 5; i++)
		let_patience_pass();
	ck_assert_uint_eq(n_reaped, 2);
}

/* ---- plait's own -----------------------------------------------------------
 */

struct child {
	struct plait_process_protocol base;
	unsigned exited, done;
	struct plait_process_exit how;
};

static void child_exited(struct plait_process_protocol *p,
			 const struct plait_process_exit *exit)
{
	struct child *c = plait_container(p, struct child, base);

	c->exited++;
	c->how = *exit;
}

static void child_done(struct plait_process_protocol *p)
{
	plait_container(p, struct child, base)->done++;
}

static const struct plait_process_ops child_ops = { .exited = child_exited,
						    .done = child_done };
static const char *const exit_3[] = { "/bin/sh", "-c", "exit 3", NULL };

/* Its end is seen by the reaper before its own reactor is turned. */
TEST(the_children_of_each_reactor_keep_their_status, ON_EACH_BACKEND)
{
	struct plait_reactor *second = test_reactor_new();
	struct child c = { .base.ops = &child_ops };
	siginfo_t info;

	reaper.patience = -1;
	start();
	ck_assert_int_eq(plait_spawn(second, exit_3, &c.base, NULL, NULL), 0);
	waitid(P_PID, (id_t)plait_process_pid(&c.base), &info,
	       WEXITED | WNOWAIT);
	for (int i = 0; i < 3; i++)
		let_patience_pass();
	ck_assert_uint_eq(n_reaped, 0);
	run_until_count(second, &c.done, 1);
	ck_assert_int_eq(c.how.code, 3);
	plait_reactor_free(&second);
}

/* In the middle of a plait_spawn() of another thread nobody knows yet whose a
   child is. */
TEST(while_a_child_is_being_made_nobody_is_waited_for, ON_EACH_BACKEND)
{
	struct family_member m = { .pid = 0 };

	reaper.patience = -1;
	start();
	ck_assert_int_eq(plait_i_family_expect(), 0);
	make_dead_orphan(1);
	for (int i = 0; i < 3; i++)
		let_patience_pass();
	ck_assert_uint_eq(n_reaped, 0);
	plait_i_family_join(&m, -1);
	let_patience_pass();
	ck_assert_uint_eq(n_reaped, 1);
}

/* The leader of a group stays until its pipes are closed. */
TEST(a_leader_that_has_ended_is_left_alone_and_hides_nobody, ON_EACH_BACKEND)
{
	static const char *const argv[] = { "/bin/sh", "-c",
					    "(read x) <&3 & exit 3", NULL };
	static const struct plait_process_fd fds[] = {
		{ .fd = 3, .kind = PLAIT_PROCESS_READS },
		{ .fd = 1, .kind = PLAIT_PROCESS_WRITES },
	};
	struct plait_process_options o = { .fds = fds,
					   .n_fds = 2,
					   .new_group = true };
	struct child c = { .base.ops = &child_ops };

	reaper.patience = -1;
	start();
	ck_assert_int_eq(plait_spawn(reactor, argv, &c.base, &o, NULL), 0);
	run_until_count(reactor, &c.exited, 1);
	make_dead_orphan(1);
	for (int i = 0; i < 3; i++)
		let_patience_pass();
	ck_assert_uint_eq(n_reaped, 1);
	ck_assert_uint_eq(c.done, 0);
	plait_transport_abort_connection(plait_process_transport(&c.base, 3));
	run_until_count(reactor, &c.done, 1);
	ck_assert_int_eq(c.how.code, 3);
	/* What it has left behind is an orphan, too. */
	run_until_count(reactor, &n_reaped, 2);
}

/* ---- its life --------------------------------------------------------------
 */

static void stop_then(struct plait_reaper *r, pid_t pid,
		      const struct plait_process_exit *exit)
{
	note(r, pid, exit);
	plait_reaper_stop(r);
}

TEST(it_may_be_stopped_when_it_tells, ON_EACH_BACKEND)
{
	int left = 0;

	reaper.reaped = stop_then;
	reaper.patience = -1;
	start();
	make_dead_orphan(1);
	make_dead_orphan(2);
	run_turns(reactor, 3);
	ck_assert_uint_eq(n_reaped, 1);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		left++;
	ck_assert_int_eq(left, 1);
	ck_assert_ptr_null(reaper.reaping);
}

TEST(a_reaper_that_is_stopped_leaves_all_as_it_was, ON_EACH_BACKEND)
{
	int is = 2;
	pid_t pid;

	start();
	ck_assert_int_eq(plait_reaper_start(reactor, &reaper), -EBUSY);
	prctl(PR_GET_CHILD_SUBREAPER, &is);
	ck_assert_int_eq(is, 1);
	pid = make_dead_orphan(1);
	plait_reaper_stop(&reaper);
	plait_reaper_stop(&reaper);
	prctl(PR_GET_CHILD_SUBREAPER, &is);
	ck_assert_int_eq(is, 0);
	let_patience_pass();
	ck_assert_uint_eq(n_reaped, 0);
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), pid);
	start();
	plait_reaper_stop(&reaper);
}

TEST(who_was_a_subreaper_stays_one, ON_EACH_BACKEND)
{
	int is = 2;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	start();
	plait_reaper_stop(&reaper);
	prctl(PR_GET_CHILD_SUBREAPER, &is);
	ck_assert_int_eq(is, 1);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST(the_end_of_the_reactor_ends_it, ON_EACH_BACKEND)
{
	start();
	plait_reactor_free(&reactor);
	ck_assert_ptr_null(reaper.reaping);
}

static void free_in_child(void *unused)
{
	plait_reactor_free(&reactor);
	ck_assert_ptr_null(reaper.reaping);
}

static void start_in_child(void *unused)
{
	ck_assert_int_eq(plait_reaper_start(reactor, &reaper), -ECHILD);
	plait_reactor_free(&reactor);
}

TEST(a_forked_child_has_no_part_in_it, ON_EACH_BACKEND)
{
	const char *said;

	ck_assert_int_eq(child_run(start_in_child, NULL, &said), 0);
	reaper.patience = -1;
	start();
	ck_assert_int_eq(child_run(free_in_child, NULL, &said), 0);
	make_dead_orphan(1);
	run_until_count(reactor, &n_reaped, 1);
}

static const struct {
	const char *call;
	unsigned long pass;
	int err;
} steps[] = { { "prctl", 0, EINVAL },
	      { "prctl", 1, EPERM },
	      { "sigaction", 0, EINVAL } };

TEST(what_cannot_be_had_is_told_and_given_back, ON_EACH_BACKEND, EACH_OF(steps))
{
	int is = 2;

	fault_pass(steps[_i].call, steps[_i].pass);
	fault_call(steps[_i].call, 1, steps[_i].err);
	ck_assert_int_eq(plait_reaper_start(reactor, &reaper), -steps[_i].err);
	ck_assert_ptr_null(reaper.reaping);
	prctl(PR_GET_CHILD_SUBREAPER, &is);
	ck_assert_int_eq(is, 0);
}

TEST(what_a_later_library_means_is_refused, ON_EACH_BACKEND)
{
	reaper.reserved[0] = 1;
	ck_assert_int_eq(plait_reaper_start(reactor, &reaper), -EINVAL);
}

TEST(a_testing_reactor_has_no_orphans, PURE)
{
	struct plait_reactor *r = plait_testing_reactor_new();

	reaper_init();
	ck_assert_int_eq(plait_reaper_start(r, &reaper), -ENOTSUP);
	plait_reactor_free(&r);
}

/* The list of the kernel, and the one that is kept. */
TEST(without_memory_it_looks_again, ON_EACH_BACKEND, TIMES(2))
{
	reaper.patience = -1;
	start();
	run_turns(reactor, 3);
	make_dead_orphan(1);
	fault_alloc_at((unsigned long)_i, true);
	run_turns(reactor, 3);
	ck_assert(fault_alloc_reached());
	fault_alloc_off();
	ck_assert_uint_eq(n_reaped, 0);
	let_patience_pass();
	ck_assert_uint_eq(n_reaped, 1);
}

static void reap_with_faults(struct plait_reactor *r)
{
	struct plait_reaper one = { .subreaper = true, .patience = -1 };
	int rc = plait_reaper_start(r, &one);

	ck_assert(rc == 0 || torture_faulty());
	make_dead_orphan(1);
	run_turns(r, 3);
	plait_reaper_stop(&one);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		ck_assert(torture_faulty());
}

TEST(a_reaper_lives_with_any_allocation_failing, ON_EACH_BACKEND)
{
	torture(reap_with_faults, backend);
}

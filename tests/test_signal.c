/*
 * Signals: SIGINT and SIGTERM stop a running reactor, SIGPIPE kills nobody,
 * and what the program had set stays set.
 */
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <plait/debug.h>

#include "reactor/kernel/kernel.h"
#include "reactor/loop/loop.h"
#include "tests/timed.h"

static const int stopping[] = { SIGINT, SIGTERM };
static const int all[] = { SIGINT, SIGTERM, SIGPIPE };
enum { N_ALL = sizeof(all) / sizeof(all[0]) };

static void (*handler_of(int signo))(int)
{
	struct sigaction now;

	ck_assert_int_eq(sigaction(signo, NULL, &now), 0);
	return now.sa_handler;
}

static void set_handler(int signo, void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler };

	ck_assert_int_eq(sigaction(signo, &action, NULL), 0);
}

/* Check has handlers of its own, which its children inherit. */
static void set_defaults(void)
{
	for (int i = 0; i < N_ALL; i++)
		set_handler(all[i], SIG_DFL);
}

static void raise_it(void *arg)
{
	raise(*(const int *)arg);
}

/* Runs until that call, or what comes of it, stops it. */
static void run_with(plait_func *fn, void *arg)
{
	ck_assert_int_eq(plait_call_when_running(reactor, fn, arg), 0);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
}

GROUP("stop", .setup = set_defaults);

TEST(a_signal_stops_a_running_reactor, ON_EACH_KERNEL, TIMES(2))
{
	run_with(raise_it, (void *)&stopping[_i]);
	ck_assert(!plait_reactor_is_running(reactor));
	ck_assert_ptr_eq(handler_of(stopping[_i]), SIG_DFL);
}

static pthread_t main_thread;

static void raise_when_asleep(void *arg)
{
	pthread_kill(main_thread, SIGTERM);
}

TEST(a_signal_just_before_the_wait_wakes_it, ON_EACH_BACKEND)
{
	main_thread = pthread_self();
	call_hook(strcmp(backend, "epoll") ? "select" : "epoll_wait",
		  raise_when_asleep, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
}

static void check_taken(void *arg)
{
	for (int i = 0; i < N_ALL; i++)
		ck_assert_ptr_ne(handler_of(all[i]), SIG_DFL);
	/* What is executed would inherit that. */
	ck_assert_ptr_ne(handler_of(SIGPIPE), SIG_IGN);
	plait_reactor_stop(reactor);
}

GROUP("actions", .setup = set_defaults);

TEST(the_default_actions_are_taken_and_given_back, ON_EACH_KERNEL)
{
	run_with(check_taken, NULL);
	for (int i = 0; i < N_ALL; i++)
		ck_assert_ptr_eq(handler_of(all[i]), SIG_DFL);
}

TEST(nothing_is_taken_without_running, ON_EACH_KERNEL)
{
	run_turns(reactor, 2);
	for (int i = 0; i < N_ALL; i++)
		ck_assert_ptr_eq(handler_of(all[i]), SIG_DFL);
	ck_assert_uint_eq(calls_of("sigaction"), 0);
}

static volatile sig_atomic_t handled;

static void own_handler(int signo)
{
	handled++;
}

static void raise_all(void *arg)
{
	for (int i = 0; i < N_ALL; i++)
		raise(all[i]);
	plait_call_later(reactor, 0, call_stop, NULL);
}

TEST(what_the_program_handles_itself_is_left_alone, ON_EACH_KERNEL)
{
	for (int i = 0; i < N_ALL; i++)
		set_handler(all[i], own_handler);
	run_with(raise_all, NULL);
	ck_assert_int_eq(handled, N_ALL);
	for (int i = 0; i < N_ALL; i++)
		ck_assert_ptr_eq(handler_of(all[i]), own_handler);
}

static void take_over(void *arg)
{
	set_handler(SIGTERM, own_handler);
	plait_reactor_stop(reactor);
}

TEST(what_the_program_sets_meanwhile_stays_set, ON_EACH_KERNEL)
{
	run_with(take_over, NULL);
	ck_assert_ptr_eq(handler_of(SIGTERM), own_handler);
	ck_assert_ptr_eq(handler_of(SIGINT), SIG_DFL);
}

static void ignore_broken_pipes(void *arg)
{
	set_handler(SIGPIPE, SIG_IGN);
	plait_reactor_stop(reactor);
}

TEST(broken_pipes_that_the_program_ignores_stay_ignored, ON_EACH_KERNEL)
{
	run_with(ignore_broken_pipes, NULL);
	ck_assert_ptr_eq(handler_of(SIGPIPE), SIG_IGN);
	run_with(call_stop, NULL);
	ck_assert_ptr_eq(handler_of(SIGPIPE), SIG_IGN);
}

/* How a program that is spawned ends when it sends itself that signal. */
static int status_of_spawned(const char *script)
{
	const char *argv[] = { "sh", "-c", script, NULL };
	int status;
	pid_t pid;

	ck_assert_int_eq(posix_spawn(&pid, "/bin/sh", NULL, NULL,
				     (char **)(uintptr_t)argv, environ),
			 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static void spawn_and_stop(void *arg)
{
	*(int *)arg = status_of_spawned("kill -s PIPE $$; exit 0");
	plait_reactor_stop(reactor);
}

TEST(a_program_that_is_started_meanwhile_has_the_defaults, ON_EACH_KERNEL)
{
	int status = 0;

	run_with(spawn_and_stop, &status);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGPIPE);
}

static void siginfo_handler(int signo, siginfo_t *info, void *context)
{
	handled++;
}

/* An action with all that it can have. */
static struct sigaction own_action(int flags)
{
	struct sigaction action = { .sa_flags = flags };

	if (flags & SA_SIGINFO)
		action.sa_sigaction = siginfo_handler;
	sigaddset(&action.sa_mask, SIGUSR2);
	return action;
}

static void check_action(int signo, const struct sigaction *want)
{
	const int flags = SA_SIGINFO | SA_RESTART | SA_NODEFER | SA_NOCLDSTOP;
	struct sigaction now;

	ck_assert_int_eq(sigaction(signo, NULL, &now), 0);
	ck_assert_ptr_eq(now.sa_sigaction, want->sa_sigaction);
	ck_assert_int_eq(now.sa_flags & flags, want->sa_flags & flags);
	ck_assert_int_eq(sigismember(&now.sa_mask, SIGUSR2),
			 sigismember(&want->sa_mask, SIGUSR2));
}

TEST(flags_masks_and_siginfo_handlers_stay, ON_EACH_KERNEL)
{
	struct sigaction given = own_action(SA_NODEFER);
	struct sigaction left = own_action(SA_SIGINFO | SA_RESTART);

	ck_assert_int_eq(sigaction(SIGINT, &given, NULL), 0);
	ck_assert_int_eq(sigaction(SIGTERM, &left, NULL), 0);
	ck_assert_int_eq(sigaction(SIGUSR1, &left, NULL), 0);
	ck_assert_int_eq(plait_reactor_dump_on_signal(reactor, SIGUSR1), 0);
	run_with(raise_it, (void *)&stopping[0]);
	plait_reactor_free(&reactor);
	check_action(SIGINT, &given);
	check_action(SIGTERM, &left);
	check_action(SIGUSR1, &left);
	set_handler(SIGUSR1, SIG_DFL);
}

static void check_default(void *arg)
{
	ck_assert_ptr_eq(handler_of(SIGTERM), SIG_DFL);
	plait_reactor_stop(reactor);
}

static void want_dumps(void *arg)
{
	ck_assert_int_eq(
		plait_reactor_dump_on_signal(reactor, *(const int *)arg), 0);
}

/*
 * A run and the dumper want the same signal: one begins first, and one ends
 * first.  Whatever is left at last is the program's.
 */
TEST(a_signal_that_is_wanted_twice_is_given_back_in_any_order, ON_EACH_KERNEL,
     TIMES(4))
{
	bool dumps_first = _i & 1, dumper_moves = _i & 2;
	static const int other = SIGUSR1;

	if (dumps_first)
		want_dumps((void *)&stopping[1]);
	else
		plait_call_when_running(reactor, want_dumps,
					(void *)&stopping[1]);
	if (dumper_moves) {
		plait_call_later(reactor, 0, want_dumps, (void *)&other);
		plait_call_later(reactor, 0, raise_it, (void *)&stopping[1]);
	} else {
		plait_call_later(reactor, 0, call_stop, NULL);
	}
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_ptr_eq(handler_of(SIGINT), SIG_DFL);
	if (dumper_moves)
		ck_assert_ptr_eq(handler_of(SIGTERM), SIG_DFL);
	else
		ck_assert_ptr_ne(handler_of(SIGTERM), SIG_DFL);
	plait_reactor_free(&reactor);
	ck_assert_ptr_eq(handler_of(SIGTERM), SIG_DFL);
	ck_assert_ptr_eq(handler_of(SIGUSR1), SIG_DFL);
}

static bool reached;

static void reach(void *arg)
{
	reached = true;
	plait_reactor_stop(reactor);
}

static void raise_and_go_on(void *arg)
{
	raise(SIGTERM);
	plait_call_later(reactor, 0, reach, NULL);
}

/* The C library keeps two for itself. */
static bool can_be_caught(int signo)
{
	struct sigaction now;

	return signo != SIGKILL && signo != SIGSTOP &&
	       sigaction(signo, NULL, &now) == 0;
}

static void have_signal(int signo)
{
	struct plait_reactor *r = plait_reactor_new(backend);
	void (*before)(int) = handler_of(signo);

	ck_assert_int_eq(plait_reactor_dump_on_signal(r, signo), 0);
	ck_assert_ptr_ne(handler_of(signo), before);
	raise(signo);
	plait_reactor_free(&r);
	ck_assert_ptr_eq(handler_of(signo), before);
}

TEST(any_signal_that_can_be_caught_can_be_had, ON_EACH_BACKEND)
{
	for (int signo = 1; signo < NSIG; signo++) {
		if (can_be_caught(signo))
			have_signal(signo);
		else
			ck_assert_int_eq(
				plait_reactor_dump_on_signal(reactor, signo),
				-EINVAL);
	}
}

/* Whichever came first. */
TEST(a_signal_that_is_wanted_twice_dumps, ON_EACH_KERNEL, TIMES(2))
{
	if (_i == 0)
		want_dumps((void *)&stopping[1]);
	else
		plait_call_when_running(reactor, want_dumps,
					(void *)&stopping[1]);
	plait_call_later(reactor, 0, raise_and_go_on, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert(reached);
}

static void set_default(void *arg)
{
	set_handler(SIGTERM, SIG_DFL);
}

/* The run has lost it then, and does not give back what it has not. */
TEST(what_the_program_has_set_ends_what_a_run_wanted, ON_EACH_KERNEL)
{
	plait_call_when_running(reactor, set_default, NULL);
	plait_call_when_running(reactor, want_dumps, (void *)&stopping[1]);
	plait_call_when_running(reactor, want_dumps, (void *)&stopping[0]);
	run_with(check_default, NULL);
}

static void set_own_and_want_dumps(void *arg)
{
	set_handler(SIGTERM, own_handler);
	want_dumps((void *)&stopping[1]);
	plait_reactor_stop(reactor);
}

TEST(the_dumper_gives_back_what_the_program_has_set_meanwhile, ON_EACH_KERNEL)
{
	run_with(set_own_and_want_dumps, NULL);
	plait_reactor_free(&reactor);
	ck_assert_ptr_eq(handler_of(SIGTERM), own_handler);
}

static void set_default_and_stop(void *arg)
{
	set_handler(SIGTERM, SIG_DFL);
	plait_reactor_stop(reactor);
}

/* The program's word counts: it has ended the dumps. */
TEST(what_the_program_has_set_ends_what_was_wanted_before, ON_EACH_KERNEL)
{
	want_dumps((void *)&stopping[1]);
	run_with(set_default_and_stop, NULL);
	ck_assert_ptr_eq(handler_of(SIGTERM), SIG_DFL);
	run_with(raise_it, (void *)&stopping[1]);
	ck_assert_ptr_eq(handler_of(SIGTERM), SIG_DFL);
}

static void write_to_nobody(void *arg)
{
	int fd[2];

	ck_assert_int_eq(pipe2(fd, O_CLOEXEC), 0);
	close(fd[0]);
	ck_assert_int_eq(write(fd[1], "x", 1), -1);
	ck_assert_int_eq(errno, EPIPE);
	close(fd[1]);
	plait_reactor_stop(reactor);
}

TEST(a_broken_pipe_kills_nobody, ON_EACH_KERNEL)
{
	run_with(write_to_nobody, NULL);
}

static void raise_with_errno(void *arg)
{
	fault_call("write", 1, EAGAIN);
	errno = EXDEV;
	raise(SIGTERM);
	ck_assert_int_eq(errno, EXDEV);
	ck_assert(fault_used("write"));
}

GROUP("stop", .setup = set_defaults);

TEST(the_handler_leaves_errno_alone_and_survives_a_full_eventfd,
     ON_EACH_BACKEND)
{
	run_with(raise_with_errno, NULL);
}

static void raise_many(void *arg)
{
	for (int i = 0; i < 1000; i++)
		raise(i % 2 ? SIGINT : SIGTERM);
}

TEST(many_signals_are_one_stop, ON_EACH_KERNEL)
{
	run_with(raise_many, NULL);
	plait_call_later(reactor, 0, call_stop, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
}

/* ---- the second one --------------------------------------------------- */

static struct plait_promise *held;
static double ended_at;

static plait_value ended(struct plait_deferred *d, void *arg)
{
	ended_at = plait_reactor_seconds(reactor);
	return plait_cancelled();
}

static plait_value wait_for_ever(void *arg)
{
	struct plait_deferred *d = plait_deferred_new(&held, ended, NULL);

	return plait_chain(&d);
}

static void raise_at(double seconds, int signo)
{
	plait_call_later(reactor, seconds, raise_it,
			 (void *)&stopping[signo == SIGTERM]);
}

static void run_to_the_end_at(double seconds)
{
	double began = plait_reactor_seconds(reactor);

	ended_at = -1;
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_double_eq_tol(ended_at - began, seconds, 1e-3);
	plait_promise_drop(&held);
}

static void start_waiting(void)
{
	timed_start();
	plait_reactor_add_trigger(reactor, PLAIT_TRIGGER_BEFORE,
				  PLAIT_TRIGGER_SHUTDOWN, wait_for_ever, NULL,
				  NULL);
}

GROUP("second", .setup = set_defaults);

TEST(a_second_signal_ends_a_shutdown_that_waits, ON_EACH_REACTOR, TIMES(2))
{
	start_waiting();
	raise_at(1, stopping[_i]);
	raise_at(60, stopping[!_i]);
	run_to_the_end_at(60);
	/* And the next run counts from the beginning. */
	raise_at(1, SIGTERM);
	raise_at(5, SIGTERM);
	run_to_the_end_at(5);
}

TEST(one_within_100_ms_of_the_first_is_the_same, ON_EACH_REACTOR)
{
	start_waiting();
	raise_at(1, SIGTERM);
	raise_at(1.06, SIGINT);
	raise_at(1.099, SIGTERM);
	raise_at(1.101, SIGTERM);
	raise_at(2, SIGTERM);
	run_to_the_end_at(1.101);
}

TEST(the_first_one_is_not_the_second_stop, ON_EACH_REACTOR)
{
	start_waiting();
	plait_call_later(reactor, 1, call_stop, NULL);
	raise_at(2, SIGTERM);
	raise_at(3, SIGTERM);
	run_to_the_end_at(3);
}

/* Two that came apart, in a callback that took long, are not one. */
static void raise_apart(void *arg)
{
	raise(SIGTERM);
	clock_advance(1);
	raise(SIGTERM);
}

TEST(two_that_come_in_one_callback_are_two, ON_EACH_KERNEL)
{
	start_waiting();
	plait_call_later(reactor, 0, raise_apart, NULL);
	run_to_the_end_at(1);
}

GROUP("actions", .setup = set_defaults);

TEST(a_signal_that_cannot_be_taken_ends_the_run, ON_EACH_KERNEL, TIMES(6))
{
	fault_pass("sigaction", (unsigned long)_i);
	fault_call("sigaction", 1, EINVAL);
	ck_assert_int_eq(plait_reactor_run(reactor), -EINVAL);
	for (int i = 0; i < N_ALL; i++)
		ck_assert_ptr_eq(handler_of(all[i]), SIG_DFL);
	run_with(call_stop, NULL);
}

static struct plait_reactor *second;

static void stop_second(void *arg)
{
	plait_reactor_stop(second);
}

static void *run_second(void *arg)
{
	plait_call_when_running(second, stop_second, NULL);
	return plait_reactor_run(second) == 0 ? second : NULL;
}

static void run_another_meanwhile(void *arg)
{
	pthread_t thread;
	void *result;

	second = plait_reactor_new(backend);
	ck_assert_int_eq(pthread_create(&thread, NULL, run_second, NULL), 0);
	pthread_join(thread, &result);
	ck_assert_ptr_eq(result, second);
	plait_reactor_free(&second);
	ck_assert_ptr_ne(handler_of(SIGTERM), SIG_DFL);
	raise(SIGTERM);
}

TEST(a_second_reactor_does_not_take_them_over, ON_EACH_BACKEND)
{
	run_with(run_another_meanwhile, NULL);
}

/* The first run to end has been the first to begin. */
static struct {
	sem_t runs, ends;
	int rc;
} other_run;

static void pause_second(void *arg)
{
	sem_post(&other_run.runs);
	while (sem_wait(&other_run.ends) < 0)
		;
	write_to_nobody(NULL);
	plait_reactor_stop(second);
}

static void *run_the_other(void *arg)
{
	plait_call_when_running(second, pause_second, NULL);
	other_run.rc = plait_reactor_run(second);
	return NULL;
}

static void begin_the_other(void *arg)
{
	ck_assert_int_eq(pthread_create(arg, NULL, run_the_other, NULL), 0);
	while (sem_wait(&other_run.runs) < 0)
		;
	plait_reactor_stop(reactor);
}

TEST(no_pipe_kills_as_long_as_any_reactor_runs, ON_EACH_BACKEND)
{
	pthread_t thread;

	ck_assert_int_eq(sem_init(&other_run.runs, 0, 0), 0);
	ck_assert_int_eq(sem_init(&other_run.ends, 0, 0), 0);
	second = plait_reactor_new(backend);
	run_with(begin_the_other, &thread);
	ck_assert_ptr_ne(handler_of(SIGPIPE), SIG_DFL);
	sem_post(&other_run.ends);
	pthread_join(thread, NULL);
	ck_assert_int_eq(other_run.rc, 0);
	ck_assert_ptr_eq(handler_of(SIGPIPE), SIG_DFL);
	plait_reactor_free(&second);
	sem_destroy(&other_run.runs);
	sem_destroy(&other_run.ends);
}

/* A handler in another thread, between finding the reactor and waking it. */
static struct {
	sem_t found, go_on;
	pthread_t loop;
	bool waited, woke;
	const bool *frees;
} late;

static void hold_the_handler(void *arg)
{
	if (pthread_equal(pthread_self(), late.loop))
		return;
	sem_post(&late.found);
	while (sem_wait(&late.go_on) < 0)
		;
	late.woke = true;
}

static void let_the_handler_go_on(void *arg)
{
	if (!late.waited)
		sem_post(&late.go_on);
	late.waited = true;
}

static void *raise_in_thread(void *arg)
{
	raise(*(const int *)arg);
	return NULL;
}

static void begin_a_handler(void *arg)
{
	call_hook("write", hold_the_handler, NULL);
	call_hook("sched_yield", let_the_handler_go_on, NULL);
	late.loop = pthread_self();
	ck_assert_int_eq(pthread_create(arg, NULL, raise_in_thread,
					(void *)&stopping[0]),
			 0);
	while (sem_wait(&late.found) < 0)
		;
	plait_reactor_stop(reactor);
}

static void leave_with_1(void *arg)
{
	_exit(1);
}

static int stop_one_of_its_own(bool frees)
{
	struct plait_reactor *parents = reactor;
	int rc;

	if (frees)
		plait_reactor_free(&parents);
	reactor = plait_reactor_new(backend);
	if (plait_reactor_dump_on_signal(reactor, SIGUSR2) != 0)
		return 2;
	plait_call_when_running(reactor, raise_it, (void *)&stopping[1]);
	rc = plait_reactor_run(reactor);
	plait_reactor_free(&reactor);
	if (!frees)
		plait_reactor_free(&parents);
	return rc == 0 ? 0 : 3;
}

static void fork_beside_a_handler(void *arg)
{
	int status;
	pid_t pid;

	ck_assert_int_eq(plait_reactor_dump_on_signal(reactor, SIGUSR1), 0);
	begin_a_handler(arg);
	pid = fork();
	if (pid == 0) {
		call_hook("sched_yield", leave_with_1, NULL);
		_exit(stop_one_of_its_own(*late.frees));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(status == 0, "status %#x", (unsigned)status);
}

/* Its owner, its dumper and the handlers of its threads are the parent's. */
TEST(a_forked_child_has_the_signals_for_itself, ON_EACH_BACKEND, TIMES(2))
{
	bool frees = _i == 1;
	pthread_t thread;

	late.frees = &frees;
	ck_assert_int_eq(sem_init(&late.found, 0, 0), 0);
	ck_assert_int_eq(sem_init(&late.go_on, 0, 0), 0);
	run_with(fork_beside_a_handler, &thread);
	pthread_join(thread, NULL);
	sem_destroy(&late.found);
	sem_destroy(&late.go_on);
}

TEST(the_run_ends_after_the_handlers_that_know_its_reactor, ON_EACH_BACKEND,
     TIMES(2))
{
	pthread_t thread;

	ck_assert_int_eq(sem_init(&late.found, 0, 0), 0);
	ck_assert_int_eq(sem_init(&late.go_on, 0, 0), 0);
	if (_i == 1) {
		want_dumps((void *)&stopping[0]);
		begin_a_handler(&thread);
		plait_reactor_free(&reactor);
	} else {
		plait_call_when_running(reactor, begin_a_handler, &thread);
		ck_assert_int_eq(plait_reactor_run(reactor), 0);
	}
	ck_assert(late.waited && late.woke);
	pthread_join(thread, NULL);
	sem_destroy(&late.found);
	sem_destroy(&late.go_on);
}

static unsigned ticks;

static void tick(void *arg)
{
	free(calloc(1, 100 + ticks % 1000));
	if (++ticks == 20000)
		plait_reactor_stop(reactor);
	else
		plait_call_from_thread(reactor, tick, NULL);
}

GROUP("stop", .setup = set_defaults);

/* Whatever the loop does just then, an interruption must not matter. */
TEST(a_storm_of_signals_interrupts_nothing_for_good, ON_EACH_KERNEL)
{
	struct itimerval often = { { 0, 100 }, { 0, 100 } },
			 off = { { 0, 0 }, { 0, 0 } };
	struct sigaction action = { .sa_handler = own_handler };

	ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
	plait_call_from_thread(reactor, tick, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	setitimer(ITIMER_REAL, &off, NULL);
	ck_assert_uint_eq(ticks, 20000);
}

static void fork_and_kill(void *arg)
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		raise(SIGTERM);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGTERM);
	plait_call_later(reactor, 0, call_stop, NULL);
}

GROUP("actions", .setup = set_defaults);

TEST(a_forked_child_dies_of_its_own_signals, ON_EACH_KERNEL)
{
	run_with(fork_and_kill, NULL);
}

/* It has its parent's memory, but is not its parent. */
static void kill_a_vfork(void *arg)
{
	int status;
	pid_t pid = vfork();

	if (pid == 0) {
		kill(getpid(), SIGTERM);
		_exit(0);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGTERM);
	plait_call_later(reactor, 0, raise_it, (void *)&stopping[0]);
}

TEST(a_signal_of_a_child_that_shares_memory_is_not_the_parents, ON_EACH_KERNEL)
{
	run_with(kill_a_vfork, NULL);
}

static struct sigaction saved;

static void save_and_stop(void *arg)
{
	sigaction(SIGTERM, NULL, &saved);
	plait_reactor_stop(reactor);
}

static void run_and_restore(void)
{
	struct plait_reactor *old = reactor;

	reactor = plait_reactor_new(backend);
	plait_reactor_free(&old);
	plait_call_when_running(reactor, save_and_stop, NULL);
	plait_reactor_run(reactor);
	sigaction(SIGTERM, &saved, NULL);
	raise(SIGTERM);
}

/* Or else the process could not be stopped any more. */
TEST(a_handler_of_plaits_that_the_program_restores_is_the_default,
     ON_EACH_BACKEND)
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		run_and_restore();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGTERM);
}

GROUP("stop", .setup = set_defaults);

TEST(a_virtual_reactor_is_stopped_too, PURE)
{
	struct plait_reactor *r =
		plait_i_reactor_new(&plait_i_kernel_virtual, NULL);

	plait_call_when_running(r, raise_it, (void *)&stopping[0]);
	ck_assert_int_eq(plait_reactor_run(r), 0);
	plait_reactor_free(&r);
}

/*
 * Signals: SIGINT and SIGTERM stop a running reactor, SIGPIPE kills nobody,
 * and what the program had set stays set.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "reactor/backend.h"
#include "reactor/loop.h"
#include "tests/harness.h"

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

START_TEST(a_signal_stops_a_running_reactor)
{
	plait_call_when_running(reactor, raise_it, (void *)&stopping[_i]);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert(!plait_reactor_is_running(reactor));
	ck_assert_ptr_eq(handler_of(stopping[_i]), SIG_DFL);
}
END_TEST

static pthread_t main_thread;

static void raise_when_asleep(void *arg)
{
	pthread_kill(main_thread, SIGTERM);
}

START_TEST(a_signal_just_before_the_wait_wakes_it)
{
	main_thread = pthread_self();
	call_hook(strcmp(backend, "epoll") ? "select" : "epoll_wait",
		  raise_when_asleep, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
}
END_TEST

static void stop_it(void *arg)
{
	plait_reactor_stop(reactor);
}

static void check_taken(void *arg)
{
	for (int i = 0; i < N_ALL; i++)
		ck_assert_ptr_ne(handler_of(all[i]), SIG_DFL);
	ck_assert_ptr_eq(handler_of(SIGPIPE), SIG_IGN);
	plait_reactor_stop(reactor);
}

START_TEST(the_default_actions_are_taken_and_given_back)
{
	plait_call_when_running(reactor, check_taken, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	for (int i = 0; i < N_ALL; i++)
		ck_assert_ptr_eq(handler_of(all[i]), SIG_DFL);
}
END_TEST

START_TEST(nothing_is_taken_without_running)
{
	run_turns(reactor, 2);
	for (int i = 0; i < N_ALL; i++)
		ck_assert_ptr_eq(handler_of(all[i]), SIG_DFL);
	ck_assert_uint_eq(calls_of("sigaction"), 0);
}
END_TEST

static volatile sig_atomic_t handled;

static void own_handler(int signo)
{
	handled++;
}

static void raise_all(void *arg)
{
	for (int i = 0; i < N_ALL; i++)
		raise(all[i]);
	plait_call_later(reactor, 0, stop_it, NULL);
}

START_TEST(what_the_program_handles_itself_is_left_alone)
{
	for (int i = 0; i < N_ALL; i++)
		set_handler(all[i], own_handler);
	plait_call_when_running(reactor, raise_all, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_int_eq(handled, N_ALL);
	for (int i = 0; i < N_ALL; i++)
		ck_assert_ptr_eq(handler_of(all[i]), own_handler);
}
END_TEST

static void take_over(void *arg)
{
	set_handler(SIGTERM, own_handler);
	plait_reactor_stop(reactor);
}

START_TEST(what_the_program_sets_meanwhile_stays_set)
{
	plait_call_when_running(reactor, take_over, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_ptr_eq(handler_of(SIGTERM), own_handler);
	ck_assert_ptr_eq(handler_of(SIGINT), SIG_DFL);
}
END_TEST

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

START_TEST(a_broken_pipe_kills_nobody)
{
	plait_call_when_running(reactor, write_to_nobody, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
}
END_TEST

static void raise_with_errno(void *arg)
{
	fault_call("write", 1, EAGAIN);
	errno = EXDEV;
	raise(SIGTERM);
	ck_assert_int_eq(errno, EXDEV);
	ck_assert(fault_used("write"));
}

START_TEST(the_handler_leaves_errno_alone_and_survives_a_full_eventfd)
{
	plait_call_when_running(reactor, raise_with_errno, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
}
END_TEST

static void raise_many(void *arg)
{
	for (int i = 0; i < 1000; i++)
		raise(i % 2 ? SIGINT : SIGTERM);
}

START_TEST(many_signals_are_one_stop)
{
	plait_call_when_running(reactor, raise_many, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	plait_call_later(reactor, 0, stop_it, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
}
END_TEST

START_TEST(a_signal_that_cannot_be_taken_ends_the_run)
{
	fault_pass("sigaction", (unsigned long)_i);
	fault_call("sigaction", 1, EINVAL);
	ck_assert_int_eq(plait_reactor_run(reactor), -EINVAL);
	for (int i = 0; i < N_ALL; i++)
		ck_assert_ptr_eq(handler_of(all[i]), SIG_DFL);
	plait_call_when_running(reactor, stop_it, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
}
END_TEST

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

START_TEST(a_second_reactor_does_not_take_them_over)
{
	plait_call_when_running(reactor, run_another_meanwhile, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
}
END_TEST

static unsigned ticks;

static void tick(void *arg)
{
	free(calloc(1, 100 + ticks % 1000));
	if (++ticks == 20000)
		plait_reactor_stop(reactor);
	else
		plait_call_from_thread(reactor, tick, NULL);
}

/* Whatever the loop does just then, an interruption must not matter. */
START_TEST(a_storm_of_signals_interrupts_nothing_for_good)
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
END_TEST

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
	plait_call_later(reactor, 0, stop_it, NULL);
}

START_TEST(a_forked_child_dies_of_its_own_signals)
{
	plait_call_when_running(reactor, fork_and_kill, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
}
END_TEST

START_TEST(a_virtual_reactor_is_stopped_too)
{
	struct plait_reactor *r = loop_new(&backend_virtual);

	plait_call_when_running(r, raise_it, (void *)&stopping[0]);
	ck_assert_int_eq(plait_reactor_run(r), 0);
	plait_reactor_free(&r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("signal");
	TCase *tc = tcase_create("stop");

	tcase_add_checked_fixture(tc, set_defaults, NULL);
	tcase_add_reactor_loop_test(tc, a_signal_stops_a_running_reactor, 0, 2);
	tcase_add_reactor_test(tc, a_signal_just_before_the_wait_wakes_it);
	tcase_add_reactor_test(tc, many_signals_are_one_stop);
	tcase_add_pure_test(tc, a_virtual_reactor_is_stopped_too);
	tcase_add_reactor_test(
		tc, the_handler_leaves_errno_alone_and_survives_a_full_eventfd);
	tcase_add_reactor_test(tc,
			       a_storm_of_signals_interrupts_nothing_for_good);
	suite_add_tcase(s, tc);

	tc = tcase_create("actions");
	tcase_add_checked_fixture(tc, set_defaults, NULL);
	tcase_add_reactor_test(tc,
			       the_default_actions_are_taken_and_given_back);
	tcase_add_reactor_test(tc, nothing_is_taken_without_running);
	tcase_add_reactor_test(tc,
			       what_the_program_handles_itself_is_left_alone);
	tcase_add_reactor_test(tc, what_the_program_sets_meanwhile_stays_set);
	tcase_add_reactor_test(tc, a_broken_pipe_kills_nobody);
	tcase_add_reactor_loop_test(
		tc, a_signal_that_cannot_be_taken_ends_the_run, 0, 6);
	tcase_add_reactor_test(tc, a_second_reactor_does_not_take_them_over);
	tcase_add_reactor_test(tc, a_forked_child_dies_of_its_own_signals);
	suite_add_tcase(s, tc);
	return suite_main(s);
}

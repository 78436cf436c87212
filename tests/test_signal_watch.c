/*
 * Signals that the loop tells: watches, and the next signal as a deferred.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <plait/debug.h>
#include <plait/run.h>
#include <plait/signal.h>

#include "tests/child.h"
#include "tests/harness.h"

static struct plait_signal_watch watches[3];
static unsigned told[3];

static void (*handler_of(int number))(int)
{
	struct sigaction now;

	ck_assert_int_eq(sigaction(number, NULL, &now), 0);
	return now.sa_handler;
}

static void set_handler(int number, void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler };

	ck_assert_int_eq(sigaction(number, &action, NULL), 0);
}

static const int used[] = {
	SIGUSR1, SIGUSR2, SIGINT, SIGTERM, SIGPIPE, SIGCHLD
};

static void setup(void)
{
	for (int i = 0; i < N_OF(used); i++)
		set_handler(used[i], SIG_DFL);
	memset(watches, 0, sizeof(watches));
	memset(told, 0, sizeof(told));
}

/* Whatever a test does, the program's actions are back at last. */
static void teardown(void)
{
	for (int i = 0; i < 3; i++)
		plait_signal_watch_stop(&watches[i]);
	ck_assert_ptr_eq(handler_of(SIGUSR1), SIG_DFL);
}

static void hear(struct plait_signal_watch *w, unsigned times)
{
	ck_assert_uint_ge(times, 1);
	told[w - watches] += times;
}

static void watch(int i, int number)
{
	ck_assert_int_eq(
		plait_signal_watch_start(reactor, &watches[i], number, hear),
		0);
}

static void told_are(unsigned a, unsigned b, unsigned c)
{
	ck_assert_uint_eq(told[0], a);
	ck_assert_uint_eq(told[1], b);
	ck_assert_uint_eq(told[2], c);
}

GROUP("watch", .setup = setup, .teardown = teardown);

TEST(a_watch_is_told_in_the_loop, ON_EACH_REACTOR)
{
	watch(0, SIGUSR1);
	raise(SIGUSR1);
	told_are(0, 0, 0);
	run_turns(reactor, 1);
	told_are(1, 0, 0);
	run_turns(reactor, 2);
	told_are(1, 0, 0);
}

TEST(it_is_told_how_often_the_signal_has_come, ON_EACH_REACTOR)
{
	watch(0, SIGUSR1);
	for (int i = 0; i < 3; i++)
		raise(SIGUSR1);
	run_turns(reactor, 1);
	told_are(3, 0, 0);
}

TEST(all_watches_of_a_number_are_told_and_no_others, ON_EACH_REACTOR)
{
	watch(0, SIGUSR1);
	watch(1, SIGUSR1);
	watch(2, SIGUSR2);
	raise(SIGUSR1);
	run_turns(reactor, 1);
	told_are(1, 1, 0);
}

static void raise_it(void *arg)
{
	raise(*(const int *)arg);
}

TEST(a_sleeping_loop_is_woken, ON_EACH_BACKEND)
{
	watch(0, SIGUSR1);
	call_hook(strcmp(backend, "epoll") ? "select" : "epoll_wait", raise_it,
		  (void *)&used[0]);
	ck_assert_int_eq(plait_reactor_iterate(reactor, 60), 0);
	run_turns(reactor, 1);
	told_are(1, 0, 0);
}

/* Also inside a call of the loop, and of the seam of these tests. */
TEST(a_signal_may_come_at_any_moment, ON_EACH_BACKEND)
{
	const struct itimerval often = { { 0, 50 }, { 0, 50 } };
	const struct itimerval never = { { 0, 0 }, { 0, 0 } };

	watch(0, SIGALRM);
	setitimer(ITIMER_REAL, &often, NULL);
	run_turns(reactor, 20000);
	setitimer(ITIMER_REAL, &never, NULL);
	ck_assert_uint_ge(told[0], 1);
}

TEST(a_watch_that_is_stopped_is_not_told_what_has_come, ON_EACH_REACTOR)
{
	watch(0, SIGUSR1);
	watch(1, SIGUSR1);
	raise(SIGUSR1);
	plait_signal_watch_stop(&watches[0]);
	plait_signal_watch_stop(&watches[0]);
	run_turns(reactor, 1);
	told_are(0, 1, 0);
	/* Nor when it is started anew. */
	raise(SIGUSR1);
	plait_signal_watch_stop(&watches[1]);
	watch(1, SIGUSR1);
	run_turns(reactor, 1);
	told_are(0, 1, 0);
}

TEST(a_started_watch_is_busy, ON_EACH_REACTOR)
{
	watch(0, SIGUSR1);
	ck_assert_int_eq(
		plait_signal_watch_start(reactor, &watches[0], SIGUSR2, hear),
		-EBUSY);
	ck_assert_ptr_eq(handler_of(SIGUSR2), SIG_DFL);
}

static const int unwatchable[] = { -1,	    0,	     NSIG,   4711,   SIGKILL,
				   SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL };

TEST(what_cannot_be_watched_is_refused, ON_EACH_REACTOR, EACH_OF(unwatchable))
{
	ck_assert_int_eq(plait_signal_watch_start(reactor, &watches[0],
						  unwatchable[_i], hear),
			 -EINVAL);
	watch(0, SIGUSR1);
}

TEST(signals_of_the_real_time_are_watched_too, ON_EACH_BACKEND)
{
	watch(0, SIGRTMIN);
	watch(1, SIGRTMAX);
	raise(SIGRTMIN);
	raise(SIGRTMAX);
	raise(SIGRTMAX);
	run_turns(reactor, 1);
	told_are(1, 2, 0);
}

TEST(a_watch_that_the_kernel_refuses_is_not_started, ON_EACH_BACKEND, TIMES(2))
{
	fault_pass("sigaction", (unsigned long)_i);
	fault_call("sigaction", 1, EINVAL);
	ck_assert_int_eq(
		plait_signal_watch_start(reactor, &watches[0], SIGUSR1, hear),
		-EINVAL);
	ck_assert_ptr_eq(handler_of(SIGUSR1), SIG_DFL);
	watch(0, SIGUSR1);
}

/* ---- callbacks ----------------------------------------------------------- */

static void stop_all(struct plait_signal_watch *w, unsigned times)
{
	hear(w, times);
	for (int i = 0; i < 3; i++)
		plait_signal_watch_stop(&watches[i]);
}

TEST(a_callback_may_stop_all_watches, ON_EACH_REACTOR)
{
	for (int i = 0; i < 3; i++)
		plait_signal_watch_start(reactor, &watches[i], SIGUSR1,
					 stop_all);
	raise(SIGUSR1);
	run_turns(reactor, 2);
	told_are(1, 0, 0);
	ck_assert_ptr_eq(handler_of(SIGUSR1), SIG_DFL);
}

static void start_another(struct plait_signal_watch *w, unsigned times)
{
	hear(w, times);
	if (told[0] == 1)
		watch(1, SIGUSR1);
}

TEST(a_watch_that_a_callback_starts_is_told_of_the_next_one, ON_EACH_REACTOR)
{
	plait_signal_watch_start(reactor, &watches[0], SIGUSR1, start_another);
	raise(SIGUSR1);
	run_turns(reactor, 2);
	told_are(1, 0, 0);
	raise(SIGUSR1);
	run_turns(reactor, 1);
	told_are(2, 1, 0);
}

static void free_itself(struct plait_signal_watch *w, unsigned times)
{
	told[0]++;
	plait_signal_watch_stop(w);
	free(w);
}

TEST(a_callback_may_free_its_watch, ON_EACH_REACTOR)
{
	struct plait_signal_watch *w = calloc(1, sizeof(*w));

	ck_assert_int_eq(
		plait_signal_watch_start(reactor, w, SIGUSR1, free_itself), 0);
	watch(1, SIGUSR1);
	raise(SIGUSR1);
	run_turns(reactor, 1);
	told_are(1, 1, 0);
}

/* ---- the program's actions ----------------------------------------------- */

static volatile sig_atomic_t handled;

static void own_handler(int number)
{
	handled++;
}

static void (*const actions[])(int) = { SIG_DFL, SIG_IGN, own_handler };

TEST(the_programs_action_is_back_with_the_last_watch, ON_EACH_BACKEND,
     EACH_OF(actions))
{
	set_handler(SIGUSR1, actions[_i]);
	handled = 0;
	watch(0, SIGUSR1);
	watch(1, SIGUSR1);
	plait_signal_watch_stop(&watches[0]);
	raise(SIGUSR1);
	run_turns(reactor, 1);
	told_are(0, 1, 0);
	ck_assert_int_eq(handled, 0);
	plait_signal_watch_stop(&watches[1]);
	ck_assert_ptr_eq(handler_of(SIGUSR1), actions[_i]);
	set_handler(SIGUSR1, SIG_DFL);
}

TEST(what_the_program_sets_meanwhile_ends_the_watches, ON_EACH_BACKEND)
{
	watch(0, SIGUSR1);
	set_handler(SIGUSR1, own_handler);
	raise(SIGUSR1);
	run_turns(reactor, 1);
	told_are(0, 0, 0);
	/* A watch that is started after that is the later word. */
	watch(1, SIGUSR1);
	raise(SIGUSR1);
	run_turns(reactor, 1);
	told_are(0, 1, 0);
	plait_signal_watch_stop(&watches[0]);
	plait_signal_watch_stop(&watches[1]);
	ck_assert_ptr_eq(handler_of(SIGUSR1), own_handler);
	set_handler(SIGUSR1, SIG_DFL);
}

TEST(a_reactor_that_is_freed_ends_its_watches, ON_EACH_BACKEND)
{
	watch(0, SIGUSR1);
	watch(1, SIGUSR2);
	raise(SIGUSR1);
	plait_reactor_free(&reactor);
	told_are(0, 0, 0);
	ck_assert_ptr_eq(handler_of(SIGUSR1), SIG_DFL);
	ck_assert_ptr_eq(handler_of(SIGUSR2), SIG_DFL);
}

/* ---- what the reactor itself wants --------------------------------------- */

static const int stopping[] = { SIGINT, SIGTERM };

static void stop_the_watch(void *w)
{
	plait_signal_watch_stop(w);
}

/* Whichever is there first. */
TEST(what_is_watched_stops_no_run, ON_EACH_BACKEND, TIMES(4))
{
	const int *number = &stopping[_i & 1];

	clock_virtual(true);
	if (_i & 2)
		watch(0, *number);
	else
		plait_call_later(reactor, 0, stop_the_watch, &watches[1]);
	if (!(_i & 2))
		plait_signal_watch_start(reactor, &watches[0], *number, hear);
	plait_call_when_running(reactor, raise_it, (void *)(uintptr_t)number);
	plait_call_later(reactor, 0.001, stop_the_watch, &watches[0]);
	plait_call_later(reactor, 0.002, raise_it, (void *)(uintptr_t)number);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	told_are(1, 0, 0);
	ck_assert_ptr_eq(handler_of(*number), SIG_DFL);
}

static void watch_in_the_run(void *arg)
{
	watch(0, *(const int *)arg);
	raise(*(const int *)arg);
	plait_call_later(reactor, 0.001, call_stop, NULL);
}

TEST(a_watch_that_a_run_starts_takes_the_signal_from_it, ON_EACH_BACKEND,
     EACH_OF(stopping))
{
	clock_virtual(true);
	plait_call_when_running(reactor, watch_in_the_run,
				(void *)(uintptr_t)&stopping[_i]);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	told_are(1, 0, 0);
	plait_signal_watch_stop(&watches[0]);
	ck_assert_ptr_eq(handler_of(stopping[_i]), SIG_DFL);
}

TEST(a_dump_and_a_watch_of_one_signal_both_happen, ON_EACH_BACKEND, TIMES(2))
{
	struct plait_promise *p;
	struct plait_deferred *d = plait_deferred_new(&p, NULL, NULL);

	if (_i == 0)
		watch(0, SIGUSR1);
	ck_assert_int_eq(plait_reactor_dump_on_signal(reactor, SIGUSR1), 0);
	if (_i == 1)
		watch(0, SIGUSR1);
	raise(SIGUSR1);
	run_turns(reactor, 1);
	told_are(1, 0, 0);
	plait_fire(&p, PLAIT_NONE);
	plait_deferred_free(&d);
	plait_reactor_free(&reactor);
}

static plait_value note(plait_value *v, void *flag)
{
	*(bool *)flag = true;
	ck_assert_int_eq(plait_value_output(v)->how.code, 0);
	return PLAIT_NONE;
}

TEST(a_watch_of_SIGCHLD_takes_no_child_from_the_library, ON_EACH_BACKEND)
{
	static const char *const argv[] = { "true", NULL };
	bool ended = false;
	struct plait_deferred *d;

	watch(0, SIGCHLD);
	d = plait_run(reactor, argv, PLAIT_NONE, NULL);
	plait_deferred_add_callback(d, note, &ended);
	run_until_set(reactor, &ended);
	run_until_count(reactor, &told[0], 1);
	plait_deferred_free(&d);
}

/* ---- threads and forks --------------------------------------------------- */

enum { THREADS = 8, ROUNDS = 200 };

static atomic_uint ready, heard;

static void hear_there(struct plait_signal_watch *w, unsigned times)
{
	atomic_fetch_add(&heard, 1);
	plait_signal_watch_stop(w);
}

static void *watch_there(void *unused)
{
	struct plait_reactor *r = plait_reactor_new(backend);

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct plait_signal_watch w = { .fn = NULL };

		plait_signal_watch_start(r, &w, SIGUSR1, hear_there);
		atomic_fetch_add(&ready, 1);
		while (w.reactor != NULL &&
		       plait_reactor_iterate(r, 0.001) == 0)
			;
	}
	plait_reactor_free(&r);
	return NULL;
}

/* A watch of this thread keeps the default action from happening meanwhile. */
TEST(reactors_of_eight_threads_are_all_told, ON_EACH_BACKEND)
{
	pthread_t threads[THREADS];

	atomic_store(&ready, 0);
	atomic_store(&heard, 0);
	watch(0, SIGUSR1);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, watch_there, NULL);
	while (atomic_load(&heard) < THREADS * ROUNDS) {
		if (atomic_load(&ready) > atomic_load(&heard))
			kill(getpid(), SIGUSR1);
		run_turns(reactor, 1);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_ge(told[0], 1);
}

static void die_of_it(void *arg)
{
	ck_assert_int_eq(
		plait_signal_watch_start(reactor, &watches[1], SIGUSR1, hear),
		-ECHILD);
	ck_assert_ptr_eq(handler_of(SIGUSR1), SIG_DFL);
	if (*(int *)arg == 1)
		plait_reactor_free(&reactor);
	plait_signal_watch_stop(&watches[0]);
	if (*(int *)arg == 2)
		plait_reactor_free(&reactor);
	if (reactor == NULL) {
		reactor = plait_reactor_new(backend);
		watch(0, SIGUSR1);
		raise(SIGUSR1);
		run_turns(reactor, 1);
		told_are(1, 0, 0);
		plait_reactor_free(&reactor);
	}
}

TEST(a_forked_child_has_the_signals_for_itself, ON_EACH_BACKEND, TIMES(3))
{
	const char *said;

	watch(0, SIGUSR1);
	ck_assert_int_eq(child_run(die_of_it, &_i, &said), 0);
	raise(SIGUSR1);
	run_turns(reactor, 1);
	told_are(1, 0, 0);
}

static void fork_once(struct plait_signal_watch *w, unsigned times)
{
	pid_t pid;

	hear(w, times);
	if (told[0] + told[1] != 1)
		return;
	pid = fork();
	if (pid > 0)
		child_ends(pid);
	else
		told[2] = 1;
}

/* The second watch is the parent's to tell. */
TEST(a_child_that_a_callback_has_forked_tells_nobody, ON_EACH_BACKEND)
{
	int rc;

	for (int i = 0; i < 2; i++)
		plait_signal_watch_start(reactor, &watches[i], SIGUSR1,
					 fork_once);
	raise(SIGUSR1);
	rc = plait_reactor_iterate(reactor, 0);
	if (told[2] == 1) {
		plait_reactor_free(&reactor);
		child_leave(rc != -ECHILD || told[0] + told[1] != 1);
	}
	told_are(1, 1, 0);
}

static int end_of_a_vfork(void)
{
	int status;
	pid_t pid = vfork();

	if (pid == 0) {
		kill(getpid(), SIGUSR1);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

TEST(a_signal_of_a_child_that_shares_memory_is_not_told, ON_EACH_BACKEND)
{
	int status;

	watch(0, SIGUSR1);
	status = end_of_a_vfork();
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(WTERMSIG(status), SIGUSR1);
	run_turns(reactor, 1);
	told_are(0, 0, 0);
}

/* ---- the next one, as a deferred ----------------------------------------- */

static struct plait_deferred *d;
static plait_value result;
static unsigned fired;

static plait_value keep(plait_value *v, void *unused)
{
	plait_value_free(&result);
	result = plait_value_take(v);
	fired++;
	plait_deferred_free(&d);
	return PLAIT_NONE;
}

static void begin(void)
{
	setup();
	d = NULL;
	result = PLAIT_NONE;
	fired = 0;
}

static void end(void)
{
	plait_deferred_free(&d);
	plait_value_free(&result);
	teardown();
}

static void wait_for(int number)
{
	d = plait_signal_wait(reactor, number);
	plait_deferred_add_both(d, keep, NULL);
}

static void failed_as(const struct plait_error *kind, int err)
{
	const struct plait_failure *f = plait_value_failure(&result);

	ck_assert_uint_eq(fired, 1);
	ck_assert_ptr_eq(plait_failure_kind(f), kind);
	ck_assert_int_eq(plait_failure_errno(f), err);
}

GROUP("wait", .setup = begin, .teardown = end);

TEST(the_next_signal_fires_a_deferred_once, ON_EACH_REACTOR)
{
	wait_for(SIGUSR1);
	raise(SIGUSR1);
	ck_assert_uint_eq(fired, 0);
	run_turns(reactor, 1);
	ck_assert_uint_eq(fired, 1);
	ck_assert_int_eq(plait_value_int(&result), SIGUSR1);
	ck_assert_ptr_eq(handler_of(SIGUSR1), SIG_DFL);
}

TEST(a_wait_that_is_cancelled_has_forgotten_the_signal, ON_EACH_REACTOR)
{
	wait_for(SIGUSR1);
	raise(SIGUSR1);
	plait_deferred_cancel(d);
	failed_as(&plait_error_cancelled, 0);
	ck_assert_ptr_eq(handler_of(SIGUSR1), SIG_DFL);
	run_turns(reactor, 1);
	ck_assert_uint_eq(fired, 1);
}

TEST(a_wait_for_what_cannot_be_watched_fails, ON_EACH_REACTOR)
{
	wait_for(SIGKILL);
	failed_as(&plait_error_os, EINVAL);
	ck_assert_str_eq(plait_failure_message(plait_value_failure(&result)),
			 "signal 9");
}

TEST(a_wait_fails_with_its_reactor, ON_EACH_BACKEND)
{
	wait_for(SIGUSR1);
	plait_reactor_free(&reactor);
	failed_as(&plait_error_abandoned, 0);
}

static plait_value wait_again(plait_value *v, void *more)
{
	unsigned *n = more;

	fired += plait_failure_check(plait_value_failure(v),
				     &plait_error_cancelled);
	plait_value_free(v);
	plait_deferred_free(&d);
	if (++*n < 300) {
		d = plait_signal_wait(reactor, SIGUSR1);
		plait_deferred_add_both(d, wait_again, n);
	}
	return PLAIT_NONE;
}

/* Although each end begins another one. */
TEST(waits_that_are_begun_at_the_end_of_a_reactor_fail, ON_EACH_BACKEND)
{
	unsigned n = 0;

	d = plait_signal_wait(reactor, SIGUSR1);
	plait_deferred_add_both(d, wait_again, &n);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(n, 300);
	/* All but the first. */
	ck_assert_uint_eq(fired, 299);
}

static void free_there(void *first)
{
	if (*(int *)first == 1)
		plait_deferred_cancel(d);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(fired, *(int *)first == 1);
	plait_deferred_free(&d);
	ck_assert_uint_eq(fired, 1);
}

TEST(a_forked_child_frees_a_wait_and_its_reactor_in_any_order, ON_EACH_BACKEND,
     TIMES(2))
{
	const char *said;

	wait_for(SIGUSR1);
	ck_assert_int_eq(child_run(free_there, &_i, &said), 0);
	raise(SIGUSR1);
	run_turns(reactor, 1);
	ck_assert_uint_eq(fired, 1);
}

static void whole_wait(struct plait_reactor *r)
{
	struct plait_deferred *w = plait_signal_wait(r, SIGUSR1);
	/* In a faulty run, too, somebody wants the signal. */
	struct plait_signal_watch other = { .fn = NULL };

	ck_assert_int_eq(
		plait_signal_watch_start(r, &other, SIGUSR1, hear_there), 0);
	fired = 0;
	plait_deferred_add_both(w, keep, NULL);
	raise(SIGUSR1);
	run_turns(r, 2);
	ck_assert_uint_eq(fired, 1);
	if (!torture_faulty())
		ck_assert_int_eq(plait_value_int(&result), SIGUSR1);
	plait_signal_watch_stop(&other);
	plait_deferred_free(&w);
	plait_value_free(&result);
}

TEST(a_wait_ends_with_any_allocation_failing, ON_EACH_BACKEND)
{
	torture(whole_wait, backend);
}

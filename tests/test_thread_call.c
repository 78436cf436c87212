/*
 * Calls from other threads in memory of the program: queued once, made once,
 * and the program's again when their function begins or their reactor ends.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include <plait/simulation.h>
#include <plait/testing.h>

#include "tests/child.h"
#include "tests/harness.h"

enum { N_THREADS = 8, SHARE = 256 };

static char ran[64];
static unsigned n_ran;

static void note(void *arg)
{
	ran[n_ran++] = *(const char *)arg;
	ran[n_ran] = '\0';
}

static struct plait_thread_call calls[4];

static void queue(struct plait_thread_call *c, plait_func *fn, const char *name)
{
	ck_assert_int_eq(plait_thread_call_queue(reactor, c, fn, (void *)name),
			 0);
}

static void run_in_thread(void *(*fn)(void *arg), void *arg)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, fn, arg), 0);
	pthread_join(thread, NULL);
}

GROUP("order");

TEST(calls_of_both_kinds_are_made_in_one_order, ON_EACH_REACTOR)
{
	queue(&calls[0], note, "a");
	plait_call_from_thread(reactor, note, (void *)"b");
	queue(&calls[1], note, "c");
	ck_assert_str_eq(ran, "");
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "abc");
}

static void queue_itself(void *arg)
{
	note(arg);
	queue(&calls[0], queue_itself, arg);
}

TEST(a_call_that_queues_itself_is_made_once_a_turn, ON_EACH_REACTOR)
{
	queue(&calls[0], queue_itself, "a");
	for (unsigned i = 1; i < 5; i++) {
		run_turns(reactor, 1);
		ck_assert_uint_eq(n_ran, i);
	}
}

GROUP("queued");

TEST(while_it_is_queued_it_stays_as_it_is, ON_EACH_REACTOR)
{
	queue(&calls[0], note, "a");
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(plait_thread_call_queue(reactor, &calls[0],
							 call_stop, NULL),
				 -EALREADY);
	run_turns(reactor, 2);
	ck_assert_str_eq(ran, "a");
}

static void queue_the_others(void *arg)
{
	note(arg);
	for (int i = 1; i < 3; i++)
		ck_assert_int_eq(plait_thread_call_queue(reactor, &calls[i],
							 call_stop, NULL),
				 -EALREADY);
}

/* Of those that the loop has taken, too. */
TEST(it_is_queued_until_its_own_function_begins, ON_EACH_REACTOR)
{
	queue(&calls[0], queue_the_others, "a");
	queue(&calls[1], note, "b");
	queue(&calls[2], note, "c");
	run_turns(reactor, 2);
	ck_assert_str_eq(ran, "abc");
}

static void free_and_note(void *arg)
{
	free(arg);
	n_ran++;
}

TEST(its_function_may_free_it, ON_EACH_REACTOR)
{
	for (int i = 0; i < 3; i++) {
		struct plait_thread_call *c = calloc(1, sizeof(*c));

		ck_assert_ptr_nonnull(c);
		ck_assert_int_eq(
			plait_thread_call_queue(reactor, c, free_and_note, c),
			0);
	}
	run_turns(reactor, 1);
	ck_assert_uint_eq(n_ran, 3);
}

static void *queue_b(void *arg)
{
	queue(&calls[0], note, "b");
	return NULL;
}

static void let_another_queue_it(void *arg)
{
	note(arg);
	run_in_thread(queue_b, NULL);
}

TEST(while_its_function_runs_another_thread_may_queue_it, ON_EACH_REACTOR)
{
	queue(&calls[0], let_another_queue_it, "a");
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "a");
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "ab");
}

TEST(it_needs_no_memory, ON_EACH_REACTOR)
{
	fault_alloc_at(0, true);
	queue(&calls[0], note, "a");
	run_turns(reactor, 1);
	ck_assert(!fault_alloc_reached());
	ck_assert_str_eq(ran, "a");
}

/* Written by one thread and read by the other, with nothing between them but
   the call, of which they do not make the first. */
static int message;
static atomic_bool was_written;

static void *write_message(void *arg)
{
	message = 5;
	ck_assert_int_eq(
		plait_thread_call_queue(reactor, &calls[0], call_stop, NULL),
		-EALREADY);
	atomic_store_explicit(&was_written, true, memory_order_relaxed);
	return NULL;
}

static void read_message(void *arg)
{
	ck_assert_int_eq(message, 5);
	n_ran++;
}

TEST(its_function_sees_what_each_thread_wrote_that_queued_it, ON_EACH_BACKEND)
{
	pthread_t thread;

	queue(&calls[0], read_message, NULL);
	ck_assert_int_eq(pthread_create(&thread, NULL, write_message, NULL), 0);
	while (!atomic_load_explicit(&was_written, memory_order_relaxed))
		sched_yield();
	run_turns(reactor, 1);
	ck_assert_uint_eq(n_ran, 1);
	pthread_join(thread, NULL);
}

GROUP("waking up");

TEST(the_eventfd_is_written_only_when_nothing_is_queued, ON_EACH_BACKEND)
{
	calls_reset();
	for (int i = 0; i < 4; i++) {
		queue(&calls[i], note, "a");
		plait_call_from_thread(reactor, note, (void *)"b");
	}
	ck_assert_uint_eq(calls_of("write"), 1);
	run_turns(reactor, 2);
	ck_assert_uint_eq(calls_of("read"), 1);
	queue(&calls[0], note, "a");
	ck_assert_uint_eq(calls_of("write"), 2);
	run_turns(reactor, 2);
	ck_assert_str_eq(ran, "ababababa");
}

static void *queue_a(void *arg)
{
	queue(&calls[0], note, "a");
	return NULL;
}

static bool has_run(void *arg)
{
	return n_ran > 0;
}

TEST(a_sleeping_loop_is_woken_by_it, ON_EACH_BACKEND)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, queue_a, NULL), 0);
	ck_assert(run_until(reactor, has_run, NULL));
	pthread_join(thread, NULL);
}

static unsigned n_queued, n_already;
static bool errno_stays = true;

static void handler(int number)
{
	int before = errno;
	int rc = plait_thread_call_queue(reactor, &calls[0], note, (void *)"s");

	errno_stays = errno_stays && errno == before;
	n_queued += rc == 0;
	n_already += rc == -EALREADY;
}

static void interrupt(void *arg)
{
	raise(SIGUSR1);
}

/* Wherever it comes: just before the wait, or as the loop is woken. */
TEST(a_signal_handler_may_queue_it, ON_EACH_BACKEND)
{
	signal(SIGUSR1, handler);
	call_hook("epoll_wait", interrupt, NULL);
	call_hook("select", interrupt, NULL);
	call_hook("read", interrupt, NULL);
	ck_assert_int_eq(plait_reactor_iterate(reactor, 1000), 0);
	ck_assert(errno_stays);
	for (int i = 0; i < 4; i++)
		run_turns(reactor, 1);
	fault_off();
	run_turns(reactor, 2);
	ck_assert_uint_ge(n_queued, 4);
	ck_assert_uint_eq(n_ran, n_queued);
	signal(SIGUSR1, SIG_DFL);
}

TEST(a_handler_that_interrupts_the_waking_finds_it_queued, ON_EACH_BACKEND)
{
	signal(SIGUSR1, handler);
	call_hook("write", interrupt, NULL);
	queue(&calls[0], note, "a");
	fault_off();
	ck_assert_uint_eq(n_already, 1);
	run_turns(reactor, 2);
	ck_assert_str_eq(ran, "a");
	signal(SIGUSR1, SIG_DFL);
}

TEST(errno_stays_when_the_eventfd_is_full, ON_EACH_BACKEND)
{
	fault_call("write", 1, EAGAIN);
	errno = ENOTTY;
	queue(&calls[0], note, "a");
	ck_assert_int_eq(errno, ENOTTY);
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "a");
}

GROUP("storm");

static struct storm {
	struct plait_thread_call calls[16];
	unsigned each;
	unsigned made;	    /* of its calls, by the loop */
	atomic_uint posted; /* what the loop is to see, of a shared call */
	unsigned seen;
} storms[N_THREADS];

static unsigned n_ended;

static void storm_end(void)
{
	if (++n_ended == N_THREADS)
		plait_reactor_stop(reactor);
}

static void storm_run(void *(*fn)(void *storm), unsigned each)
{
	pthread_t threads[N_THREADS];

	for (int i = 0; i < N_THREADS; i++) {
		storms[i].each = test_mult() > 1 ? each / 5 : each;
		ck_assert_int_eq(
			pthread_create(&threads[i], NULL, fn, &storms[i]), 0);
	}
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void storm_call(void *arg)
{
	uintptr_t n = (uintptr_t)arg;
	struct storm *s = &storms[n % N_THREADS];

	ck_assert_uint_eq(n / N_THREADS, s->made);
	if (++s->made == s->each)
		storm_end();
}

static void *storm_calls(void *arg)
{
	struct storm *s = arg;

	for (uintptr_t i = 0; i < s->each; i++) {
		void *number = (void *)(i * N_THREADS + (s - storms));

		while (plait_thread_call_queue(reactor,
					       &s->calls[i % N_OF(s->calls)],
					       storm_call, number) < 0)
			sched_yield();
	}
	return NULL;
}

TEST(calls_that_are_used_again_at_once_arrive_whole_and_in_order,
     ON_EACH_BACKEND)
{
	storm_run(storm_calls, 20000);
	for (int i = 0; i < N_THREADS; i++)
		ck_assert_uint_eq(storms[i].made, storms[i].each);
}

static struct plait_thread_call shared_call;
static atomic_uint n_accepted;

static void see_all(void *arg)
{
	n_ran++;
	for (struct storm *s = storms; s < storms + N_THREADS; s++) {
		unsigned posted =
			atomic_load_explicit(&s->posted, memory_order_relaxed);

		ck_assert_uint_ge(posted, s->seen);
		s->seen = posted;
	}
}

static void end_of_posts(void *arg)
{
	storm_end();
}

static void *post_all(void *arg)
{
	struct storm *s = arg;

	for (unsigned i = 1; i <= s->each; i++) {
		atomic_store_explicit(&s->posted, i, memory_order_relaxed);
		if (plait_thread_call_queue(reactor, &shared_call, see_all,
					    NULL) == 0)
			atomic_fetch_add(&n_accepted, 1);
	}
	plait_thread_call_queue(reactor, &s->calls[0], end_of_posts, NULL);
	return NULL;
}

TEST(of_a_call_that_threads_share_nothing_is_lost, ON_EACH_BACKEND)
{
	storm_run(post_all, 20000);
	for (int i = 0; i < N_THREADS; i++)
		ck_assert_uint_eq(storms[i].seen, storms[i].each);
	ck_assert_uint_eq(n_ran, n_accepted);
}

GROUP("the end of the reactor");

static struct plait_thread_call many[SHARE + 10];

/* Of those that the loop has taken, and of those that it has not. */
TEST(what_is_queued_when_the_reactor_ends_may_be_queued_again, ON_EACH_BACKEND)
{
	for (int i = 0; i < N_OF(many); i++)
		queue(&many[i], call_count, (char *)&n_ran);
	run_turns(reactor, 1);
	queue(&many[0], call_count, (char *)&n_ran);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(n_ran, SHARE);
	reactor = plait_reactor_new(backend);
	for (int i = 0; i < N_OF(many); i++)
		queue(&many[i], call_count, (char *)&n_ran);
	run_turns(reactor, 2);
	ck_assert_uint_eq(n_ran, SHARE + N_OF(many));
}

TEST(a_testing_reactor_gives_them_back_too, PURE)
{
	reactor = plait_testing_reactor_new();
	queue(&calls[0], note, "a");
	plait_reactor_free(&reactor);
	reactor = plait_testing_reactor_new();
	queue(&calls[0], note, "b");
	run_turns(reactor, 1);
	plait_reactor_free(&reactor);
	ck_assert_str_eq(ran, "b");
}

static struct plait_simulation *simulation;
static struct plait_host *host;

static void restart_once(void *arg)
{
	note((char *)"r");
	if (n_ran > 1)
		return;
	queue(&calls[1], note, "x");
	plait_host_restart(host);
}

static plait_value live(struct plait_reactor *r, void *arg)
{
	reactor = r;
	queue(&calls[0], restart_once, NULL);
	if (n_ran > 0)
		queue(&calls[1], note, "a");
	return plait_forever();
}

TEST(a_host_that_crashes_gives_them_back_too, PURE)
{
	simulation = plait_simulation_new(1, NULL);
	host = plait_simulation_host(simulation, "host");
	ck_assert_int_eq(plait_host_run(host, live, NULL), 0);
	plait_simulation_run(simulation, 5);
	ck_assert_str_eq(ran, "rra");
	plait_simulation_free(&simulation);
	reactor = NULL;
}

GROUP("fork");

static int use_it_in_the_child(void)
{
	if (plait_thread_call_queue(reactor, &calls[0], note, (void *)"x") !=
	    -ECHILD)
		return 1;
	plait_reactor_free(&reactor);
	reactor = plait_reactor_new(backend);
	queue(&calls[0], note, "b");
	plait_reactor_iterate(reactor, 0);
	plait_reactor_free(&reactor);
	return strcmp(ran, "b") == 0 ? 0 : 2;
}

TEST(a_child_may_use_it_after_freeing_the_reactor, ON_EACH_BACKEND)
{
	pid_t pid;

	queue(&calls[0], note, "a");
	pid = fork();
	if (pid == 0)
		child_leave(use_it_in_the_child());
	child_ends(pid);
	ck_assert_int_eq(
		plait_thread_call_queue(reactor, &calls[0], note, (void *)"x"),
		-EALREADY);
	run_turns(reactor, 2);
	ck_assert_str_eq(ran, "a");
}

static void fork_and_use_it(void *arg)
{
	pid_t pid = fork();

	if (pid == 0)
		child_leave(use_it_in_the_child());
	child_ends(pid);
	note(arg);
}

/* The first is taken and not made, the second is queued. */
TEST(a_child_that_frees_the_reactor_in_a_call_gets_the_others_back,
     ON_EACH_BACKEND)
{
	queue(&calls[1], fork_and_use_it, "f");
	queue(&calls[0], note, "a");
	run_turns(reactor, 2);
	ck_assert_str_eq(ran, "fa");
}

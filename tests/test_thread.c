/*
 * Calls from other threads: in order, none lost, none asleep, none after the
 * reactor has gone.
 */
#include <pthread.h>
#include <semaphore.h>

#include "reactor/kernel/kernel.h"
#include "reactor/loop/parts.h"
#include "tests/child.h"
#include "tests/harness.h"

enum { N_THREADS = 8 };

static char ran[64];
static unsigned n_ran;

static void note(void *arg)
{
	ran[n_ran++] = *(const char *)arg;
	ran[n_ran] = '\0';
}

static void from_thread(plait_func *fn, const char *name)
{
	ck_assert_int_eq(plait_call_from_thread(reactor, fn, (void *)name), 0);
}

GROUP("order");

TEST(calls_are_made_in_the_order_in_which_they_were_queued, ON_EACH_BACKEND)
{
	from_thread(note, "a");
	from_thread(note, "b");
	from_thread(note, "c");
	ck_assert_str_eq(ran, "");
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "abc");
}

static void queue_itself(void *arg)
{
	note(arg);
	from_thread(queue_itself, arg);
}

TEST(a_call_that_is_made_in_a_call_waits_for_the_next_turn, ON_EACH_BACKEND)
{
	from_thread(queue_itself, "a");
	for (unsigned i = 1; i < 5; i++) {
		run_turns(reactor, 1);
		ck_assert_uint_eq(n_ran, i);
	}
}

TEST(calls_come_before_the_timers_of_a_turn, ON_EACH_BACKEND)
{
	plait_call_later(reactor, 0, note, (void *)"t");
	from_thread(note, "c");
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "ct");
}

GROUP("waking up");

TEST(the_eventfd_is_written_only_when_no_call_is_waiting, ON_EACH_BACKEND)
{
	calls_reset();
	for (int i = 0; i < 10; i++)
		from_thread(note, "a");
	ck_assert_uint_eq(calls_of("write"), 1);
	run_turns(reactor, 2);
	ck_assert_uint_eq(calls_of("read"), 1);
	from_thread(note, "a");
	ck_assert_uint_eq(calls_of("write"), 2);
	run_turns(reactor, 2);
	ck_assert_uint_eq(n_ran, 11);
}

TEST(waking_up_survives_interruption_and_a_full_eventfd, ON_EACH_BACKEND)
{
	fault_call("write", 3, EINTR);
	fault_call("read", 3, EINTR);
	from_thread(note, "a");
	run_turns(reactor, 2);
	ck_assert(fault_used("write"));
	ck_assert(fault_used("read"));
	fault_call("write", 1, EAGAIN);
	from_thread(note, "b");
	run_turns(reactor, 1);
	fault_call("read", 1, EAGAIN);
	from_thread(note, "c");
	run_turns(reactor, 2);
	ck_assert_str_eq(ran, "abc");
}

GROUP("life");

TEST(without_memory_it_says_so, ON_EACH_BACKEND)
{
	fault_alloc_at(0, false);
	ck_assert_int_eq(plait_call_from_thread(reactor, note, (void *)"a"),
			 -ENOMEM);
	from_thread(note, "b");
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "b");
}

TEST(the_memory_of_a_call_that_was_made_is_used_for_the_next, ON_EACH_BACKEND)
{
	from_thread(note, "a");
	run_turns(reactor, 1);
	fault_alloc_at(0, true);
	for (int i = 0; i < 3; i++) {
		from_thread(note, "b");
		ck_assert_int_eq(plait_call_from_thread(reactor, note, NULL),
				 -ENOMEM);
		run_turns(reactor, 1);
	}
	ck_assert_str_eq(ran, "abbb");
}

enum { MAX_SPARE = 2048 };

static void make_many(unsigned n)
{
	unsigned made = 0;

	for (unsigned i = 0; i < n; i++)
		ck_assert_int_eq(
			plait_call_from_thread(reactor, call_count, &made), 0);
	while (made < n)
		run_turns(reactor, 1);
}

TEST(a_burst_of_calls_keeps_no_more_memory_than_its_limit, ON_EACH_BACKEND)
{
	unsigned long before = heap_live();

	for (int i = 0; i < 3; i++) {
		make_many(3 * MAX_SPARE);
		ck_assert_uint_le(heap_live() - before, MAX_SPARE);
		ck_assert_uint_gt(heap_live() - before, 0);
	}
}

/* Another thread has stopped while it takes one. */
TEST(while_the_spare_calls_are_in_use_nobody_waits, ON_EACH_BACKEND)
{
	unsigned long before;

	make_many(1);
	before = heap_live();
	atomic_store(&reactor->thread.spare_taken, true);
	make_many(2 * MAX_SPARE);
	ck_assert_uint_le(heap_live() - before, MAX_SPARE);
	atomic_store(&reactor->thread.spare_taken, false);
	make_many(1);
	ck_assert_uint_le(heap_live() - before, MAX_SPARE);
}

TEST(calls_that_are_left_are_dropped_with_the_reactor, ON_EACH_BACKEND)
{
	from_thread(note, "a");
	from_thread(note, "b");
	plait_reactor_free(&reactor);
	ck_assert_str_eq(ran, "");
}

static bool hooked;

static void call_just_before_the_wait(void *arg)
{
	if (!hooked) {
		hooked = true;
		from_thread(note, "a");
	}
}

GROUP("waking up");

/* Between "nothing to do" and falling asleep: the wait must not sleep. */
TEST(a_call_just_before_the_wait_wakes_it, ON_EACH_BACKEND)
{
	call_hook(strcmp(backend, "epoll") ? "select" : "epoll_wait",
		  call_just_before_the_wait, NULL);
	ck_assert_int_eq(plait_reactor_iterate(reactor, 1000), 0);
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "a");
}

/* After the eventfd was emptied: this call has to fill it again. */
TEST(a_call_just_before_the_eventfd_is_emptied_is_not_lost, ON_EACH_BACKEND)
{
	from_thread(note, "x");
	call_hook("read", call_just_before_the_wait, NULL);
	run_turns(reactor, 3);
	ck_assert_str_eq(ran, "xa");
	hooked = false;
	n_ran = 0;
	call_hook("epoll_wait", call_just_before_the_wait, NULL);
	call_hook("select", call_just_before_the_wait, NULL);
	ck_assert_int_eq(plait_reactor_iterate(reactor, 1000), 0);
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "a");
}

/* epoll does not say that a descriptor was closed. */
TEST(a_waker_that_somebody_has_closed_is_left_alone, ON_EACH_BACKEND)
{
	if (strcmp(backend, "select") != 0)
		return;
	fd_close_behind("eventfd");
	calls_reset();
	run_turns(reactor, 2);
	from_thread(note, "x");
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "x");
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(calls_of("read") + calls_of("write"), 0);
	ck_assert_uint_eq(calls_of("close"), 0);
}

static void *call_once(void *arg)
{
	from_thread(note, "a");
	return NULL;
}

static bool has_run(void *arg)
{
	return n_ran > 0;
}

TEST(a_sleeping_loop_is_woken, ON_EACH_BACKEND)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, call_once, NULL), 0);
	ck_assert(run_until(reactor, has_run, NULL));
	pthread_join(thread, NULL);
}

static struct {
	unsigned next[N_THREADS]; /* what each has to call next */
	unsigned total;
	unsigned each;
} storm;

static void storm_call(void *arg)
{
	uintptr_t n = (uintptr_t)arg;

	ck_assert_uint_eq(storm.next[n % N_THREADS], n / N_THREADS);
	storm.next[n % N_THREADS]++;
	if (++storm.total == N_THREADS * storm.each)
		plait_reactor_stop(reactor);
}

static void *storm_thread(void *arg)
{
	uintptr_t id = (uintptr_t)arg;

	for (uintptr_t i = 0; i < storm.each; i++)
		if (plait_call_from_thread(reactor, storm_call,
					   (void *)(i * N_THREADS + id)) < 0)
			abort();
	return NULL;
}

GROUP("order");

TEST(a_storm_of_calls_arrives_whole_and_in_order, ON_EACH_BACKEND)
{
	pthread_t threads[N_THREADS];

	storm.each = test_mult() > 1 ? 5000 : 25000;
	for (uintptr_t i = 0; i < N_THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, storm_thread,
						(void *)i),
				 0);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(storm.total, N_THREADS * storm.each);
}

GROUP("life");

/* The last calls may come while the loop ends; it is freed after them. */
TEST(calls_may_come_while_the_reactor_stops, ON_EACH_BACKEND)
{
	enum { ROUNDS = 200 };

	for (int i = 0; i < ROUNDS; i++) {
		pthread_t thread;

		n_ran = 0;
		if (reactor == NULL)
			reactor = plait_reactor_new(backend);
		ck_assert_int_eq(pthread_create(&thread, NULL, call_once, NULL),
				 0);
		run_turns(reactor, 1);
		pthread_join(thread, NULL);
		plait_reactor_free(&reactor);
	}
}

/* A thread whose call is made, and frees the reactor, before it has woken it.
 */
static struct {
	sem_t pushed, go_on;
	pthread_t loop;
	bool waited, woke;
} waker;

static void hold_the_waker(void *arg)
{
	if (pthread_equal(pthread_self(), waker.loop))
		return;
	sem_post(&waker.pushed);
	while (sem_wait(&waker.go_on) < 0)
		;
	waker.woke = true;
}

static void let_the_waker_go_on(void *arg)
{
	if (!waker.waited)
		sem_post(&waker.go_on);
	waker.waited = true;
}

TEST(freeing_waits_until_the_waker_is_done_with_it, ON_EACH_BACKEND)
{
	pthread_t thread;

	waker.loop = pthread_self();
	ck_assert_int_eq(sem_init(&waker.pushed, 0, 0), 0);
	ck_assert_int_eq(sem_init(&waker.go_on, 0, 0), 0);
	call_hook("write", hold_the_waker, NULL);
	call_hook("sched_yield", let_the_waker_go_on, NULL);
	ck_assert_int_eq(pthread_create(&thread, NULL, call_once, NULL), 0);
	while (sem_wait(&waker.pushed) < 0)
		;
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "a");
	plait_reactor_free(&reactor);
	ck_assert(waker.waited && waker.woke);
	pthread_join(thread, NULL);
	sem_destroy(&waker.pushed);
	sem_destroy(&waker.go_on);
}

static void leave(void *arg)
{
	_exit(1);
}

/* It has no other thread that could let it go on. */
TEST(a_forked_child_does_not_wait_for_the_waker, ON_EACH_BACKEND)
{
	pthread_t thread;
	pid_t pid;

	waker.loop = pthread_self();
	ck_assert_int_eq(sem_init(&waker.pushed, 0, 0), 0);
	ck_assert_int_eq(sem_init(&waker.go_on, 0, 0), 0);
	call_hook("write", hold_the_waker, NULL);
	ck_assert_int_eq(pthread_create(&thread, NULL, call_once, NULL), 0);
	while (sem_wait(&waker.pushed) < 0)
		;
	pid = fork();
	if (pid == 0) {
		call_hook("sched_yield", leave, NULL);
		plait_reactor_free(&reactor);
		_exit(0);
	}
	child_ends(pid);
	sem_post(&waker.go_on);
	pthread_join(thread, NULL);
	sem_destroy(&waker.pushed);
	sem_destroy(&waker.go_on);
}

/* Their last push touches nothing that freeing could take away. */
TEST(calls_that_wake_nobody_leave_nothing_to_wait_for, ON_EACH_BACKEND)
{
	call_hook("sched_yield", let_the_waker_go_on, NULL);
	from_thread(note, "a");
	from_thread(note, "b");
	plait_reactor_free(&reactor);
	ck_assert(!waker.waited);
}

static void *run_its_own(void *arg)
{
	struct plait_reactor *r = plait_reactor_new(arg);
	unsigned n = 0;

	plait_call_from_thread(r, note, (void *)"x");
	for (int i = 0; i < 100; i++)
		n += plait_reactor_iterate(r, 0) == 0;
	plait_reactor_free(&r);
	return n == 100 ? arg : NULL;
}

TEST(each_thread_may_have_a_reactor, ON_EACH_BACKEND)
{
	pthread_t thread;
	void *result;

	ck_assert_int_eq(
		pthread_create(&thread, NULL, run_its_own, (void *)backend), 0);
	run_turns(reactor, 100);
	pthread_join(thread, &result);
	ck_assert_ptr_eq(result, backend);
}

struct handed_over {
	plait_value failure;
	struct plait_buf *buf;
};

static void *make_and_hand_over(void *arg)
{
	struct handed_over *h = arg;

	h->buf = plait_buf_copy("a", 1);
	h->failure = plait_fail(&plait_error_os, "b");
	from_thread(note, "c");
	return NULL;
}

/* Whoever made them, the thread that has them now uses and ends them. */
TEST(what_a_thread_has_made_may_be_handed_over, ON_EACH_BACKEND)
{
	struct handed_over h = { 0 };
	struct plait_buf *shared;
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, make_and_hand_over, &h),
			 0);
	while (n_ran == 0)
		ck_assert_int_eq(plait_reactor_iterate(reactor, 0), 0);
	shared = plait_buf_ref(h.buf);
	plait_buf_unref(&shared);
	plait_buf_unref(&h.buf);
	ck_assert(plait_value_is_failure(&h.failure));
	plait_value_free(&h.failure);
	pthread_join(thread, NULL);
}

TEST(a_virtual_reactor_takes_calls_too, PURE)
{
	struct plait_reactor *r =
		plait_i_reactor_new(&plait_i_kernel_virtual, NULL);

	ck_assert_int_eq(plait_call_from_thread(r, note, (void *)"a"), 0);
	ck_assert_int_eq(plait_reactor_run(r), -EDEADLK);
	ck_assert_str_eq(ran, "a");
	ck_assert_uint_eq(calls_of("eventfd"), 0);
	plait_reactor_free(&r);
}

/*
 * Timers and the clock: order, exactness, what a timer may do to itself and
 * to others, how long the loop sleeps for it, and that no time is too far.
 */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>

#include "lib/chance.h"
#include "reactor/kernel/kernel.h"
#include "reactor/loop/parts.h"
#include "tests/child.h"
#include "tests/harness.h"

enum { MAX_NOTES = 64 };

/* What ran, in order, as text. */
static char ran[MAX_NOTES + 1];
static unsigned n_ran;

static void note(void *arg)
{
	ck_assert_uint_lt(n_ran, MAX_NOTES);
	ran[n_ran++] = *(const char *)arg;
	ran[n_ran] = '\0';
}

static void start(struct plait_timer *t, double seconds, const char *name)
{
	plait_timer_start(reactor, t, seconds, note, (void *)name);
}

/* More than are sorted without a wheel, and than run in one turn. */
enum { MANY = 1000 };

static struct plait_timer many[MANY];
static unsigned next_of_many;

static void next_ran(void *arg)
{
	ck_assert_ptr_eq(arg, &many[next_of_many]);
	next_of_many++;
}

GROUP("order");

TEST(deadlines_run_in_order, ON_EACH_KERNEL)
{
	struct plait_timer a = { 0 }, b = { 0 }, c = { 0 };

	start(&a, 3, "a");
	start(&b, 1, "b");
	start(&c, 2, "c");
	run_for(reactor, 4);
	ck_assert_str_eq(ran, "bca");
}

TEST(equal_deadlines_run_in_the_order_they_were_set, ON_EACH_KERNEL)
{
	struct plait_timer t[5] = { 0 };

	clock_virtual(true);
	for (int i = 0; i < 5; i++)
		start(&t[i], 1, &"abcde"[i]);
	start(&t[1], 1, "b");
	run_for(reactor, 2);
	ck_assert_str_eq(ran, "acdeb");
}

TEST(put_off_they_run_in_the_order_they_were_set, ON_EACH_KERNEL)
{
	struct plait_timer a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };

	clock_virtual(true);
	start(&a, 1, "a");
	start(&b, 1.5, "b");
	start(&c, 2, "c");
	start(&b, 2, "b");
	start(&a, 3, "a");
	start(&a, 2, "a");
	start(&d, 2, "d");
	run_for(reactor, 3);
	ck_assert_str_eq(ran, "cbad");
}

TEST(put_off_it_runs_in_the_turn_in_which_it_is_due, ON_EACH_KERNEL)
{
	struct plait_timer a = { 0 }, b = { 0 };

	clock_virtual(true);
	start(&a, 1, "a");
	start(&b, 0.5, "b");
	start(&a, 2, "a");
	clock_advance(1.5);
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "b");
	clock_advance(0.5);
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "ba");
}

TEST(put_off_it_hides_nobody_who_is_due, PURE)
{
	struct plait_reactor *r =
		plait_i_reactor_new(&plait_i_kernel_virtual, NULL);
	struct plait_timer a = { 0 }, b = { 0 };
	unsigned n = 0;

	plait_timer_start(r, &a, 1, call_count, &n);
	plait_timer_start(r, &b, 2, call_count, &n);
	plait_timer_start(r, &a, 3, call_count, &n);
	plait_i_clock_advance(r, plait_i_clock_delay(1.5));
	ck_assert(!plait_i_reactor_has_work(r));
	plait_i_clock_advance(r, plait_i_clock_delay(1));
	ck_assert(plait_i_reactor_has_work(r));
	plait_reactor_free(&r);
}

GROUP("stop");

TEST(a_zeroed_timer_is_stopped_and_may_be_stopped, PURE)
{
	struct plait_timer t = { 0 };

	ck_assert(!plait_timer_is_running(&t));
	plait_timer_stop(&t);
	plait_timer_stop(&t);
	ck_assert(isnan(plait_timer_when(&t)));
}

TEST(a_stopped_timer_never_runs, ON_EACH_KERNEL)
{
	struct plait_timer t = { 0 };

	start(&t, 0, "t");
	ck_assert(plait_timer_is_running(&t));
	plait_timer_stop(&t);
	ck_assert(!plait_timer_is_running(&t));
	run_for(reactor, 1);
	ck_assert_str_eq(ran, "");
}

TEST(starting_a_running_timer_moves_it, ON_EACH_KERNEL)
{
	struct plait_timer a = { 0 }, b = { 0 };

	clock_virtual(true);
	start(&a, 1, "a");
	start(&b, 2, "b");
	start(&a, 3, "A");
	ck_assert_double_eq_tol(plait_timer_when(&a),
				plait_reactor_seconds(reactor) + 3, 1e-6);
	run_for(reactor, 4);
	ck_assert_str_eq(ran, "bA");
}

static void is_stopped_inside(void *arg)
{
	struct plait_timer *t = arg;

	ck_assert(!plait_timer_is_running(t));
	plait_timer_stop(t);
	n_ran++;
}

TEST(inside_its_callback_it_is_not_running, ON_EACH_KERNEL)
{
	struct plait_timer t = { 0 };

	plait_timer_start(reactor, &t, 0, is_stopped_inside, &t);
	run_turns(reactor, 2);
	ck_assert_uint_eq(n_ran, 1);
}

static void free_itself(void *arg)
{
	free(arg);
	n_ran++;
}

TEST(may_be_freed_in_its_own_callback, ON_EACH_KERNEL)
{
	struct plait_timer *t = calloc(1, sizeof(*t));

	plait_timer_start(reactor, t, 0, free_itself, t);
	run_turns(reactor, 2);
	ck_assert_uint_eq(n_ran, 1);
}

/* Four timers that are due at once; i does something to j. */
enum { N_SIBLINGS = 4, N_PAIRS = N_SIBLINGS * N_SIBLINGS };

static struct plait_timer siblings[N_SIBLINGS];
static unsigned times[N_SIBLINGS];
static int actor, victim;
static void (*act)(struct plait_timer *victim);

static void sibling_ran(void *arg)
{
	struct plait_timer *t = arg;

	times[t - siblings]++;
	if (t == &siblings[actor] && act != NULL) {
		void (*once)(struct plait_timer *) = act;

		act = NULL;
		once(&siblings[victim]);
	}
}

static void start_siblings(int pair)
{
	actor = pair / N_SIBLINGS;
	victim = pair % N_SIBLINGS;
	clock_virtual(true);
	for (int i = 0; i < N_SIBLINGS; i++)
		plait_timer_start(reactor, &siblings[i], 0, sibling_ran,
				  &siblings[i]);
}

GROUP("turn");

TEST(one_of_the_batch_stops_another, ON_EACH_KERNEL, TIMES(N_PAIRS))
{
	act = plait_timer_stop;
	start_siblings(_i);
	run_turns(reactor, 3);
	for (int i = 0; i < N_SIBLINGS; i++)
		ck_assert_uint_eq(times[i], i != victim || victim <= actor);
}

static void start_again(struct plait_timer *t)
{
	plait_timer_start(reactor, t, 0, sibling_ran, t);
}

TEST(one_of_the_batch_starts_another_anew, ON_EACH_KERNEL, TIMES(N_PAIRS))
{
	act = start_again;
	start_siblings(_i);
	run_turns(reactor, 1);
	for (int i = 0; i < N_SIBLINGS; i++)
		ck_assert_uint_eq(times[i], i != victim || victim <= actor);
	run_turns(reactor, 1);
	for (int i = 0; i < N_SIBLINGS; i++)
		ck_assert_uint_eq(times[i],
				  i == victim && victim <= actor ? 2 : 1);
}

static void start_later(struct plait_timer *t)
{
	plait_timer_start(reactor, t, 5, sibling_ran, t);
}

TEST(one_of_the_batch_puts_another_off, ON_EACH_KERNEL, TIMES(N_PAIRS))
{
	act = start_later;
	start_siblings(_i);
	run_turns(reactor, 3);
	for (int i = 0; i < N_SIBLINGS; i++)
		ck_assert_uint_eq(times[i], i != victim || victim <= actor);
	run_for(reactor, 6);
	for (int i = 0; i < N_SIBLINGS; i++)
		ck_assert_uint_eq(times[i],
				  i == victim && victim <= actor ? 2 : 1);
}

/* Overdue, and put off to this very moment. */
TEST(put_off_in_a_turn_it_runs_in_the_next, ON_EACH_KERNEL, TIMES(N_PAIRS))
{
	act = start_again;
	start_siblings(_i);
	clock_advance(1);
	run_turns(reactor, 1);
	for (int i = 0; i < N_SIBLINGS; i++)
		ck_assert_uint_eq(times[i], i != victim || victim <= actor);
}

static struct plait_timer again;

static void set_again(void *arg)
{
	++*(unsigned *)arg;
	plait_timer_start(reactor, &again, 0, set_again, arg);
}

TEST(set_in_a_turn_runs_no_earlier_than_the_next, ON_EACH_KERNEL)
{
	unsigned n = 0;

	plait_timer_start(reactor, &again, 0, set_again, &n);
	for (unsigned i = 1; i < 5; i++) {
		run_turns(reactor, 1);
		ck_assert_uint_eq(n, i);
	}
	plait_timer_stop(&again);
}

static void set_and_stop(void *arg)
{
	struct plait_timer later = { 0 };

	plait_timer_start(reactor, &again, 0, call_count, arg);
	plait_timer_stop(&again);
	plait_timer_start(reactor, &again, 0, call_count, arg);
	plait_timer_start(reactor, &later, 1, call_count, arg);
	plait_timer_stop(&later);
	plait_timer_stop(&again);
}

TEST(set_and_stopped_in_the_same_turn_it_never_runs, ON_EACH_KERNEL)
{
	struct plait_timer t = { 0 };
	unsigned n = 0;

	plait_timer_start(reactor, &t, 0, set_and_stop, &n);
	run_turns(reactor, 3);
	ck_assert_uint_eq(n, 0);
}

static void set_from_thread_call(void *arg)
{
	plait_timer_start(reactor, &again, 0, call_count, arg);
}

TEST(set_before_the_timers_of_a_turn_waits_for_the_next_too, ON_EACH_KERNEL)
{
	unsigned n = 0;

	plait_call_from_thread(reactor, set_from_thread_call, &n);
	run_turns(reactor, 1);
	ck_assert_uint_eq(n, 0);
	run_turns(reactor, 1);
	ck_assert_uint_eq(n, 1);
}

static void on_readable(struct plait_watch *w, unsigned events)
{
	n_ran++;
}

TEST(a_timer_that_sets_itself_does_not_starve_descriptors, ON_EACH_BACKEND)
{
	struct plait_watch w = { 0 };
	unsigned n = 0;
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	ck_assert_int_eq(write(fd[1], "x", 1), 1);
	ck_assert_int_eq(plait_watch_start(reactor, &w, fd[0], PLAIT_WATCH_READ,
					   on_readable),
			 0);
	plait_timer_start(reactor, &again, 0, set_again, &n);
	run_turns(reactor, 10);
	ck_assert_uint_eq(n, 10);
	ck_assert_uint_eq(n_ran, 10);
	plait_timer_stop(&again);
	plait_watch_stop(&w);
	close(fd[0]);
	close(fd[1]);
}

static double real_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void note_time(void *arg)
{
	*(double *)arg = real_now();
}

GROUP("clock");

/* Odd fractions of a millisecond, on the real clock. */
TEST(never_early_and_at_most_two_waits, ON_EACH_BACKEND, TIMES(6))
{
	struct plait_timer t = { 0 };
	double delay = 0.0001 + _i * 0.00037, begin = real_now(), end = 0;

	plait_timer_start(reactor, &t, delay, note_time, &end);
	calls_reset();
	for (int i = 0; i < 100 && end == 0; i++)
		plait_reactor_iterate(reactor, 0.01);
	ck_assert_double_ge(end - begin, delay - 1e-9);
	ck_assert_uint_le(calls_of("epoll_wait") + calls_of("select"), 2);
}

/* Nanoseconds, and what they are in whole milliseconds. */
static const struct {
	int64_t ns;
	double ms;
} short_times[] = {
	{ 1, 0.001 },	    { 100000, 0.001 },	{ 999999, 0.001 },
	{ 1000000, 0.001 }, { 1000001, 0.002 }, { 1500000001, 1.501 },
};

/* Returns how long the loop has waited for a timer. */
static double wait_for_timer(int64_t ns)
{
	struct plait_timer t = { 0 };
	unsigned n = 0;
	double wait;

	clock_virtual(true);
	plait_timer_start(reactor, &t, (double)ns / 1e9, call_count, &n);
	ck_assert_int_eq(plait_reactor_iterate(reactor, INFINITY), 0);
	ck_assert_uint_eq(n, 0);
	wait = wait_timeout();
	run_turns(reactor, 1);
	ck_assert_uint_eq(n, 1);
	return wait;
}

static bool epolls(void)
{
	return strcmp(backend, "epoll") == 0;
}

/* If the headers of the kernel know the call. */
static bool epolls_exactly(void)
{
#ifdef SYS_epoll_pwait2
	return epolls();
#else
	return false;
#endif
}

/* select() takes microseconds. */
static double needed(int i)
{
	double seconds = (double)short_times[i].ns / 1e9;

	if (epolls_exactly())
		return seconds;
	return epolls() ? short_times[i].ms : ceil(seconds * 1e6 - 1e-6) / 1e6;
}

TEST(a_wait_is_as_long_as_the_timer_needs, ON_EACH_BACKEND,
     EACH_OF(short_times))
{
	calls_reset();
	ck_assert_double_eq_tol(wait_for_timer(short_times[_i].ns), needed(_i),
				1e-12);
	ck_assert_uint_eq(calls_of("epoll_pwait2"), epolls_exactly());
	ck_assert_uint_eq(calls_of("epoll_wait") + calls_of("select"), 2);
}

static const int refusals[] = { ENOSYS, EPERM, EACCES, ENOTSUP };

TEST(a_kernel_without_exact_waits_is_asked_once, ON_EACH_BACKEND,
     EACH_OF(refusals))
{
	if (!epolls_exactly())
		return;
	fault_call_forever("epoll_pwait2", refusals[_i]);
	calls_reset();
	for (unsigned i = 0; i < N_OF(short_times); i++)
		ck_assert_double_eq_tol(wait_for_timer(short_times[i].ns),
					short_times[i].ms, 1e-12);
	ck_assert_uint_eq(calls_of("epoll_pwait2"), 1);
}

TEST(a_wait_that_is_interrupted_is_exact_again, ON_EACH_BACKEND)
{
	struct plait_timer t = { 0 };
	unsigned n = 0;

	clock_virtual(true);
	fault_call(epolls() ? "epoll_wait" : "select", 1, EINTR);
	plait_timer_start(reactor, &t, 0.000345, call_count, &n);
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(n, 0);
		ck_assert_int_eq(plait_reactor_iterate(reactor, INFINITY), 0);
	}
	ck_assert_double_eq_tol(
		wait_timeout(),
		epolls() && !epolls_exactly() ? 0.001 : 0.000345, 1e-12);
	run_turns(reactor, 1);
	ck_assert_uint_eq(n, 1);
}

static void set_after_a_long_time(void *arg)
{
	clock_advance(10);
}

static void set_one_second(void *arg)
{
	plait_timer_start(reactor, &again, 1, note_time, arg);
}

/* The clock of a callback is not that of the one before it. */
TEST(a_slow_callback_does_not_shorten_the_timers_of_the_next, ON_EACH_KERNEL)
{
	struct plait_timer a = { 0 }, b = { 0 };
	double start_time, end = 0;

	clock_virtual(true);
	start_time = clock_now();
	plait_timer_start(reactor, &a, 0, set_after_a_long_time, NULL);
	plait_timer_start(reactor, &b, 0, set_one_second, &end);
	run_turns(reactor, 2);
	ck_assert_double_eq(end, 0);
	ck_assert_double_eq_tol(plait_timer_when(&again), start_time + 11,
				1e-6);
	plait_timer_stop(&again);
}

static void same_time(void *arg)
{
	double before = plait_reactor_seconds(reactor);

	clock_advance(5);
	ck_assert_double_eq(plait_reactor_seconds(reactor), before);
	n_ran++;
}

TEST(the_time_stands_still_all_through_a_callback, ON_EACH_KERNEL)
{
	struct plait_timer t = { 0 };
	double before;

	plait_timer_start(reactor, &t, 0, same_time, NULL);
	run_turns(reactor, 1);
	ck_assert_uint_eq(n_ran, 1);
	before = plait_reactor_seconds(reactor);
	clock_advance(5);
	ck_assert_double_ge(plait_reactor_seconds(reactor), before + 5);
}

TEST(a_callback_outside_of_a_turn_has_its_own_time, ON_EACH_KERNEL)
{
	double before, inside;

	plait_i_loop_enter(reactor);
	before = plait_reactor_seconds(reactor);
	plait_i_loop_leave(reactor);
	plait_reactor_seconds(reactor);
	clock_advance(5);
	plait_i_loop_enter(reactor);
	inside = plait_reactor_seconds(reactor);
	ck_assert_double_ge(inside, before + 5);
	clock_advance(5);
	ck_assert_double_eq(plait_reactor_seconds(reactor), inside);
	plait_i_loop_leave(reactor);
}

TEST(a_turn_without_timers_asks_for_no_time, ON_EACH_KERNEL)
{
	run_turns(reactor, 1);
	calls_reset();
	run_turns(reactor, 5);
	ck_assert_uint_eq(calls_of("clock_gettime"), 0);
}

TEST(a_timer_costs_one_look_at_the_clock_a_turn, ON_EACH_BACKEND)
{
	struct plait_timer t = { 0 };

	start(&t, 1000, "t");
	calls_reset();
	run_turns(reactor, 5);
	ck_assert_uint_eq(calls_of("clock_gettime"), 5);
	plait_timer_stop(&t);
}

/* The longest sleep that fits, and then the rest of it. */
static void sleeps_at_most(double delay, double most)
{
	struct plait_timer t = { 0 };
	unsigned n = 0;

	clock_virtual(true);
	plait_timer_start(reactor, &t, delay, call_count, &n);
	ck_assert_int_eq(plait_reactor_iterate(reactor, INFINITY), 0);
	ck_assert_double_ge(wait_timeout(), 0);
	ck_assert_double_le(wait_timeout(), most);
	ck_assert_uint_eq(n, 0);
	plait_timer_stop(&t);
}

static const double far[] = {
	(double)INT_MAX / 1000 - 0.001,
	(double)INT_MAX / 1000,
	(double)INT_MAX / 1000 + 0.001,
	4294967.295,
	4294967.296,
	1e9,
	9.2e9,
	9.3e9,
	1e300,
	INFINITY,
};
enum { N_FAR = sizeof(far) / sizeof(far[0]) };

TEST(the_far_future_is_slept_for_in_pieces, ON_EACH_BACKEND, TIMES(N_FAR))
{
	sleeps_at_most(far[_i], (double)INT_MAX / 1000 + 0.001);
}

TEST(put_off_it_wakes_nobody_at_its_old_time, ON_EACH_KERNEL)
{
	struct plait_timer a = { 0 }, b = { 0 };

	clock_virtual(true);
	start(&a, 1, "a");
	start(&b, 2, "b");
	start(&a, 3, "a");
	ck_assert_int_eq(plait_reactor_iterate(reactor, INFINITY), 0);
	ck_assert_double_ge(wait_timeout(), 2);
	ck_assert_double_eq(plait_timer_when(&a) - plait_timer_when(&b), 1);
	plait_timer_stop(&a);
	plait_timer_stop(&b);
}

TEST(a_timer_beyond_the_longest_sleep_is_still_exact, ON_EACH_KERNEL)
{
	struct plait_timer t = { 0 };
	double end = 0, start_time;

	clock_virtual(true);
	start_time = clock_now();
	plait_timer_start(reactor, &t, 5e6, note_time, &end);
	run_for(reactor, 5e6 - 1);
	ck_assert(plait_timer_is_running(&t));
	run_for(reactor, 1.5);
	ck_assert(!plait_timer_is_running(&t));
	ck_assert_double_ge(clock_now(), start_time + 5e6);
}

TEST(a_clock_near_its_end_does_not_wrap, PURE)
{
	struct plait_reactor *r =
		plait_i_reactor_new(&plait_i_kernel_virtual, NULL);
	struct plait_timer t = { 0 };
	unsigned n = 0;

	plait_i_clock_advance(r, INT64_MAX - 5);
	plait_timer_start(r, &t, 1, call_count, &n);
	ck_assert_int_eq(plait_reactor_iterate(r, 0), 0);
	ck_assert_uint_eq(n, 0);
	plait_i_clock_advance(r, INT64_MAX);
	ck_assert_int_eq(plait_reactor_iterate(r, 0), 0);
	ck_assert_uint_eq(n, 1);
	plait_reactor_free(&r);
}

static void start_with(void *arg)
{
	struct plait_reactor *r =
		plait_i_reactor_new(&plait_i_kernel_virtual, NULL);
	struct plait_timer t = { 0 };

	plait_timer_start(r, &t, *(double *)arg, call_count, NULL);
}

TEST(a_delay_that_is_none_aborts, PURE)
{
	double negative = -0.001, nan = NAN;

	assert_aborts(start_with, &negative, "seconds >= 0");
	assert_aborts(start_with, &nan, "seconds >= 0");
}

TEST(a_jump_of_the_clock_runs_a_timer_once, ON_EACH_KERNEL)
{
	struct plait_timer t = { 0 };
	unsigned n = 0;

	clock_virtual(true);
	plait_timer_start(reactor, &t, 10, call_count, &n);
	clock_advance(1e6);
	run_turns(reactor, 3);
	ck_assert_uint_eq(n, 1);
}

GROUP("put off");

/* Counts, too, how many have moved. */
static void put_all_off(void *arg)
{
	unsigned moved = 0;

	for (int i = 0; i < MANY; i++) {
		int64_t place = many[i].place;

		plait_timer_start(reactor, &many[i], 120, next_ran, &many[i]);
		moved += many[i].place != place;
	}
	ck_assert_uint_eq(moved, 0);
	++*(unsigned *)arg;
}

struct putting_off {
	struct loop_task task;
	unsigned n;
};

static void put_off_in_task(struct loop_task *task)
{
	put_all_off(&plait_container(task, struct putting_off, task)->n);
}

static void put_off_in_timer(struct putting_off *p)
{
	plait_timer_start(reactor, &again, 0, put_all_off, &p->n);
}

static void put_off_in_thread_call(struct putting_off *p)
{
	plait_call_from_thread(reactor, put_all_off, &p->n);
}

static void put_off_in_next_turn(struct putting_off *p)
{
	plait_i_loop_next_turn(reactor, &p->task);
}

static void put_off_outside(struct putting_off *p)
{
	put_all_off(&p->n);
}

static void (*const put_off_in[])(struct putting_off *p) = {
	put_off_in_timer,
	put_off_in_thread_call,
	put_off_in_next_turn,
	put_off_outside,
};

/* Wherever that happens, all that changes is the deadline that is noted. */
TEST(put_off_no_timer_moves, ON_EACH_BACKEND, EACH_OF(put_off_in))
{
	struct putting_off p = { .task.run = put_off_in_task };

	clock_virtual(true);
	plait_list_init(&p.task.link);
	for (int i = 0; i < MANY; i++)
		plait_timer_start(reactor, &many[i], 60 + i % 7, next_ran,
				  &many[i]);
	put_off_in[_i](&p);
	run_turns(reactor, 2);
	ck_assert_uint_eq(p.n, 1);
	for (int i = 0; i < MANY; i++)
		plait_timer_stop(&many[i]);
}

GROUP("stop");

TEST(a_reactor_that_is_freed_stops_its_timers, ON_EACH_KERNEL)
{
	unsigned n = 0;

	for (int i = 0; i < MANY; i++)
		plait_timer_start(reactor, &many[i], i % 3, call_count, &n);
	run_turns(reactor, 1);
	for (int i = 0; i < MANY; i += 3)
		plait_timer_start(reactor, &many[i], 1e6 - i, call_count, &n);
	plait_reactor_free(&reactor);
	for (int i = 0; i < MANY; i++) {
		ck_assert(!plait_timer_is_running(&many[i]));
		plait_timer_stop(&many[i]);
	}
}

TEST(a_timer_may_move_to_another_reactor, ON_EACH_KERNEL)
{
	struct plait_reactor *r =
		plait_i_reactor_new(&plait_i_kernel_virtual, NULL);
	struct plait_timer t = { 0 };
	unsigned n = 0, other = 0;

	plait_timer_start(reactor, &t, 0, call_count, &n);
	plait_timer_start(r, &t, 0, call_count, &other);
	run_turns(reactor, 1);
	ck_assert_int_eq(plait_reactor_iterate(r, 0), 0);
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(other, 1);
	plait_reactor_free(&r);
}

/* Later there than here, where it must not stay. */
TEST(a_timer_may_move_to_a_later_time_of_another_reactor, ON_EACH_KERNEL)
{
	struct plait_reactor *r =
		plait_i_reactor_new(&plait_i_kernel_virtual, NULL);
	struct plait_timer t = { 0 };
	unsigned n = 0, other = 0;

	clock_virtual(true);
	plait_timer_start(reactor, &t, 0, call_count, &n);
	plait_timer_start(r, &t, plait_reactor_seconds(reactor) + 1, call_count,
			  &other);
	run_for(reactor, 2);
	ck_assert_uint_eq(n + other, 0);
	plait_reactor_free(&r);
	ck_assert(!plait_timer_is_running(&t));
}

GROUP("order");

/* One for each power of two, so that each level of the wheel has some. */
enum { N_POWERS = 62 };

/* From three moments; from the last, the deadline is asked for all the time. */
TEST(each_distance_is_exact_and_in_order, PURE, TIMES(3))
{
	struct plait_reactor *r =
		plait_i_reactor_new(&plait_i_kernel_virtual, NULL);
	struct plait_timer t[N_POWERS] = { { 0 } };
	unsigned n = 0;

	plait_i_clock_advance(r, (int64_t[]){ 0, 12345, 1 }[_i]);
	for (int i = 0; i < N_POWERS; i++) {
		int j = i * 37 % N_POWERS;

		plait_timer_start(r, &t[j], (double)((int64_t)1 << j) / 1e9,
				  call_count, &n);
		if (_i == 2)
			plait_i_reactor_due(r);
	}
	for (unsigned i = 0; i < N_POWERS; i++) {
		int64_t left = t[i].when - plait_i_clock_now(r);

		ck_assert_int_eq(plait_i_reactor_due(r), t[i].when);
		plait_i_clock_advance(r, left - 1);
		ck_assert_int_eq(plait_reactor_iterate(r, 0), 0);
		ck_assert_uint_eq(n, i);
		plait_i_clock_advance(r, 1);
		ck_assert_int_eq(plait_reactor_iterate(r, 0), 0);
		ck_assert_uint_eq(n, i + 1);
		ck_assert(!plait_timer_is_running(&t[i]));
	}
	plait_reactor_free(&r);
}

/* Before an hour that was the next deadline, when they were started. */
TEST(many_with_one_deadline_run_in_the_order_they_were_set, PURE, TIMES(2))
{
	struct plait_reactor *r =
		plait_i_reactor_new(&plait_i_kernel_virtual, NULL);
	struct plait_timer hour = { 0 };
	unsigned n = 0;

	plait_timer_start(r, &hour, 3600, call_count, &n);
	ck_assert_int_eq(plait_i_reactor_due(r), hour.when);
	for (int i = 0; i < MANY; i++)
		plait_timer_start(r, &many[i], 60, next_ran, &many[i]);
	/* Those that were put off run last, in the order of that. */
	for (int i = 0; _i == 1 && i < MANY; i++)
		plait_timer_start(r, &many[i], 61, next_ran, &many[i]);
	ck_assert_int_eq(plait_i_reactor_due(r), many[0].when);
	plait_i_clock_advance(r, many[0].when);
	for (unsigned i = 1; i <= 4; i++) {
		ck_assert_int_eq(plait_reactor_iterate(r, 0), 0);
		ck_assert_uint_eq(next_of_many, i < 4 ? i * 256 : MANY);
	}
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(plait_i_reactor_due(r), hour.when);
	plait_reactor_free(&r);
}

static struct plait_call moved;

static void move_into_the_past(void *arg)
{
	if (next_of_many == 0)
		ck_assert_int_eq(plait_call_delay(moved, -200), 0);
	next_ran(arg);
}

/* It waits until the others have run; then nobody else is left. */
TEST(what_waits_for_a_batch_is_due_when_the_rest_is_stopped, PURE)
{
	struct plait_reactor *r =
		plait_i_reactor_new(&plait_i_kernel_virtual, NULL);
	unsigned n = 0;

	plait_i_clock_advance(r, plait_i_clock_delay(1000));
	moved = plait_call_later(r, 100, call_count, &n);
	for (int i = 0; i < MANY; i++)
		plait_timer_start(r, &many[i], 0, move_into_the_past, &many[i]);
	ck_assert_int_eq(plait_reactor_iterate(r, 0), 0);
	ck_assert_uint_eq(next_of_many, 256);
	for (int i = 256; i < MANY; i++)
		plait_timer_stop(&many[i]);
	ck_assert_int_le(plait_i_reactor_due(r), plait_i_clock_now(r));
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(plait_reactor_iterate(r, 0), 0);
	ck_assert_uint_eq(n, 1);
	plait_reactor_free(&r);
}

/* One after the other, from a minute on; the next one is known all the time,
   and before them an hour was. */
TEST(only_a_few_timers_are_kept_in_exact_order, PURE, TIMES(2))
{
	struct plait_reactor *r =
		plait_i_reactor_new(&plait_i_kernel_virtual, NULL);
	struct plait_timer hour = { 0 };
	unsigned n = 0;

	if (_i == 1) {
		plait_timer_start(r, &hour, 3600, call_count, &n);
		ck_assert_int_eq(plait_i_reactor_due(r), hour.when);
	}
	for (int i = 0; i < MANY; i++) {
		plait_timer_start(r, &many[i], 60 + i * 0.001, next_ran,
				  &many[i]);
		ck_assert_uint_le(r->timers.near,
				  TIMERS_CROWD + 2 * TIMERS_FEW);
	}
	while (next_of_many < MANY) {
		ck_assert_int_eq(plait_i_reactor_due(r),
				 many[next_of_many].when);
		ck_assert_uint_le(r->timers.near, TIMERS_FEW);
		plait_timer_stop(&many[next_of_many++]);
	}
	ck_assert_uint_eq(n, 0);
	plait_reactor_free(&r);
}

/* Against a model: a table that is searched for the least.  There are more
   timers than a turn runs. */
enum { N_MODEL = 300, SHARE = 256, FIRINGS = 100000, SEEDS = 10 };

static struct modelled {
	struct plait_timer timer;
	bool on;
	int64_t when;
	uint64_t order;
} model[N_MODEL];

static struct {
	struct plait_reactor *r;
	uint64_t chance;
	int64_t now, due;
	uint64_t orders, batch; /* started so far; before this batch */
	unsigned fired, fired_now;
	bool unfinished;
} history;

static unsigned random_below(unsigned n)
{
	return (unsigned)(chance_next(&history.chance) >> 32) % n;
}

/* Returns the earliest of those that were started before, or NULL. */
static struct modelled *model_first(uint64_t before)
{
	struct modelled *first = NULL;

	for (struct modelled *m = model; m < model + N_MODEL; m++) {
		if (!m->on || m->order >= before)
			continue;
		if (first == NULL || m->when < first->when ||
		    (m->when == first->when && m->order < first->order))
			first = m;
	}
	return first;
}

/* Nothing, some minutes that many have in common, or any number of bits. */
static int64_t random_delay(void)
{
	unsigned kind = random_below(16);

	if (kind == 0)
		return 0;
	if (kind < 6)
		return (int64_t)60000000000 * (1 + random_below(2));
	if (kind == 6 && random_below(1000) == 0)
		return (int64_t)1 << 57;
	return (int64_t)(chance_next(&history.chance) >>
			 (18 + random_below(46)));
}

static void model_ran(void *arg);

static void model_start(struct modelled *m)
{
	double seconds = (double)random_delay() / 1e9;

	m->on = true;
	m->order = history.orders++;
	if (__builtin_add_overflow(history.now, plait_i_clock_delay(seconds),
				   &m->when))
		m->when = INT64_MAX;
	plait_timer_start(history.r, &m->timer, seconds, model_ran, m);
}

static void model_stop(struct modelled *m)
{
	m->on = false;
	plait_timer_stop(&m->timer);
}

static void random_step(void)
{
	struct modelled *m = &model[random_below(N_MODEL)];

	if (random_below(4) == 0)
		model_stop(m);
	else
		model_start(m);
}

static void model_ran(void *arg)
{
	struct modelled *m = arg;

	ck_assert_ptr_eq(m, model_first(history.batch));
	ck_assert_int_le(m->when, history.due);
	m->on = false;
	history.fired++;
	history.fired_now++;
	if (random_below(2) == 0)
		model_start(m);
	else if (random_below(2) == 0)
		random_step();
}

static void random_turn(void)
{
	const struct modelled *left;

	if (!history.unfinished) {
		history.due = history.now;
		history.batch = history.orders;
	}
	history.fired_now = 0;
	ck_assert_int_eq(plait_reactor_iterate(history.r, 0), 0);
	left = model_first(history.batch);
	history.unfinished = left != NULL && left->when <= history.due;
	ck_assert(!history.unfinished || history.fired_now == SHARE);
	ck_assert_uint_le(history.fired_now, SHARE);
}

/* Some time goes by: to the next deadline, to just before it, or any. */
static void random_time(void)
{
	const struct modelled *next = model_first(UINT64_MAX);
	int64_t left = next != NULL && next->when > history.now
			       ? next->when - history.now
			       : 0;

	switch (random_below(4)) {
	case 0:
		break;
	case 1:
		left = left > 0 ? left - 1 : 0;
		break;
	case 2:
		left = random_delay();
		break;
	default:
		left = 0;
	}
	plait_i_clock_advance(history.r, left);
	history.now = plait_i_clock_now(history.r);
}

TEST(a_random_history_runs_as_the_model_says, PURE, TIMES(SEEDS))
{
	history.r = plait_i_reactor_new(&plait_i_kernel_virtual, NULL);
	history.chance = (uint64_t)_i;
	while (history.fired < FIRINGS) {
		unsigned steps = random_below(random_below(50) == 0 ? 1000 : 4);
		const struct modelled *next;

		while (steps-- > 0)
			random_step();
		/* The steps may have stopped what was left of a batch. */
		next = model_first(history.batch);
		history.unfinished = history.unfinished && next != NULL &&
				     next->when <= history.due;
		next = model_first(UINT64_MAX);
		if (next != NULL && next->when <= history.now)
			ck_assert_int_le(plait_i_reactor_due(history.r),
					 history.now);
		else
			ck_assert_int_eq(plait_i_reactor_due(history.r),
					 next != NULL ? next->when : INT64_MAX);
		random_time();
		random_turn();
	}
	for (int i = 0; i < N_MODEL; i++)
		ck_assert_int_eq(plait_timer_is_running(&model[i].timer),
				 model[i].on);
	plait_reactor_free(&history.r);
}

GROUP("clock");

TEST(the_virtual_clock_jumps_to_the_next_deadline, PURE)
{
	struct plait_reactor *r =
		plait_i_reactor_new(&plait_i_kernel_virtual, NULL);
	struct plait_timer a = { 0 }, b = { 0 };
	unsigned n = 0;

	plait_timer_start(r, &a, 3600, call_count, &n);
	plait_timer_start(r, &b, 0.5, call_count, &n);
	ck_assert_int_eq(plait_reactor_run(r), -EDEADLK);
	ck_assert_uint_eq(n, 2);
	ck_assert_double_eq(plait_reactor_seconds(r), 3600);
	ck_assert_int_eq(plait_reactor_iterate(r, 10), 0);
	ck_assert_double_eq(plait_reactor_seconds(r), 3600);
	plait_reactor_free(&r);
}

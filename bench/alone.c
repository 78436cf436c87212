#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "alone.h"

/*
 * Timers.
 */
enum { NEAR = 60, RANGE = 60, SOON = 10 }; /* seconds, milliseconds */

static size_t n_timers, *order, to_do;
static double took;
static void (*timed)(void);
size_t fired;

static double some_seconds(double least, double range)
{
	return least + range * (double)random_below(1 << 20) / (1 << 20);
}

static void set_all(double least, double range)
{
	for (size_t i = 0; i < n_timers; i++)
		library.set(order[i], some_seconds(least, range));
}

static void shuffle_order(void)
{
	for (size_t i = n_timers; i > 1; i--) {
		size_t j = random_below(i), other = order[j];

		order[j] = order[i - 1];
		order[i - 1] = other;
	}
}

static void timers_begin(size_t n)
{
	library.begin(false);
	n_timers = n;
	order = allocate(n * sizeof(*order));
	for (size_t i = 0; i < n; i++)
		order[i] = i;
	shuffle_order();
	library.timers(n);
}

/* A program does these things inside callbacks, and they may cost other. */
static void run_timed(void)
{
	double start = cpu_time();

	timed();
	took += cpu_time() - start;
}

static double time_of(void (*fn)(void), size_t n)
{
	timed = fn;
	to_do = n;
	took = 0;
	library.in_callback(run_timed);
	return took;
}

static void cancel_in_order(void)
{
	for (size_t i = 0; i < to_do; i++)
		library.stop(order[i]);
}

/* The works: each does about n operations, and says how many in *n. */

static double cancel(size_t *n)
{
	size_t rounds = (*n + n_timers - 1) / n_timers;
	double sum = 0;

	*n = rounds * n_timers;
	while (rounds-- > 0) {
		set_all(NEAR, RANGE);
		sum += time_of(cancel_in_order, n_timers);
	}
	return sum;
}

static void reset_at_random(void)
{
	for (size_t i = 0; i < to_do; i++)
		library.reset(random_below(n_timers),
			      some_seconds(NEAR + RANGE, RANGE));
}

static double reset(size_t *n)
{
	return time_of(reset_at_random, *n);
}

static void churn_at_random(void)
{
	for (size_t i = 0; i < to_do; i++) {
		size_t which = random_below(n_timers);

		library.stop(which);
		library.set(which, some_seconds(NEAR, RANGE));
	}
}

static double churn(size_t *n)
{
	return time_of(churn_at_random, *n);
}

static double fire(size_t *n)
{
	const struct timespec soon = { .tv_nsec = (SOON + 2) * 1000000 };
	size_t rounds = (*n + n_timers - 1) / n_timers;
	double sum = 0, start;

	*n = rounds * n_timers;
	while (rounds-- > 0) {
		fired = 0;
		set_all(0, SOON / 1e3);
		nanosleep(&soon, NULL);
		start = cpu_time();
		while (fired < n_timers)
			library.fire_due();
		sum += cpu_time() - start;
	}
	return sum;
}

struct timer_work {
	double (*run)(size_t *n);
	bool set; /* beforehand */
};

static void timer_run(const void *what, unsigned number)
{
	const struct timer_work *work = what;

	must(library.timers != NULL, "no timers");
	timers_begin(number);
	if (work->set)
		set_all(NEAR, RANGE);
	repeat(work->run);
}

/*
 * Calls from another thread.  While that thread queues a burst the loop waits
 * in a call, the gate, which is the last of the burst before; so neither
 * waits for the other's lock, and only what they do is measured.
 */
static sem_t made, queued;
static void (*queue_call)(size_t i);
static double thread_took, loop_took, loop_since;

static double thread_time(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

void called(size_t i)
{
	if (i < CALLS - 1)
		return;
	loop_took += thread_time() - loop_since;
	sem_post(&made);
	sem_wait(&queued);
	loop_since = thread_time();
}

static double queue_bursts(size_t *n)
{
	size_t rounds = (*n + CALLS - 1) / CALLS;
	double start;

	*n = rounds * CALLS;
	thread_took = loop_took = 0;
	while (rounds-- > 0) {
		start = thread_time();
		for (size_t i = 0; i < CALLS; i++)
			queue_call(i);
		thread_took += thread_time() - start;
		sem_post(&queued);
		sem_wait(&made);
	}
	return thread_took + loop_took;
}

static void *queue_from_thread(void *arg)
{
	queue_call(CALLS - 1); /* the first gate */
	sem_wait(&made);
	repeat(queue_bursts);
	exit(0);
}

static void calls_run(void (*call)(size_t i))
{
	pthread_t thread;

	must(call != NULL, "no calls");
	queue_call = call;
	library.begin(true);
	must(pthread_create(&thread, NULL, queue_from_thread, NULL) == 0,
	     "thread");
	library.run();
}

static void task_calls_run(const void *what, unsigned number)
{
	calls_run(library.call);
}

static void node_calls_run(const void *what, unsigned number)
{
	calls_run(library.call_node);
}

struct queued_call {
	STAILQ_ENTRY(queued_call) link;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static STAILQ_HEAD(call_list,
		   queued_call) calls = STAILQ_HEAD_INITIALIZER(calls);
static struct queued_call nodes[CALLS];

bool push(size_t i)
{
	bool was_empty;

	pthread_mutex_lock(&mutex);
	was_empty = STAILQ_EMPTY(&calls);
	STAILQ_INSERT_TAIL(&calls, &nodes[i], link);
	pthread_mutex_unlock(&mutex);
	return was_empty;
}

void make_calls(void)
{
	struct call_list todo = STAILQ_HEAD_INITIALIZER(todo);
	struct queued_call *c;

	pthread_mutex_lock(&mutex);
	STAILQ_CONCAT(&todo, &calls);
	pthread_mutex_unlock(&mutex);
	while ((c = STAILQ_FIRST(&todo)) != NULL) {
		STAILQ_REMOVE_HEAD(&todo, link);
		called((size_t)(c - nodes));
	}
}

/*
 * Jobs of nothing, so many at a time: when all of them are back, the same
 * again.
 */
static size_t jobs_at_once, jobs_back, laps_left;

static void begin_lap(void)
{
	jobs_back = 0;
	for (size_t i = 0; i < jobs_at_once; i++)
		library.job();
}

void job_done(void)
{
	if (++jobs_back < jobs_at_once)
		return;
	if (--laps_left > 0)
		begin_lap();
	else
		library.end_jobs();
}

/* The processor time of both threads. */
static double do_jobs(size_t *n)
{
	double start = cpu_time();

	laps_left = (*n + jobs_at_once - 1) / jobs_at_once;
	*n = laps_left * jobs_at_once;
	begin_lap();
	library.run_jobs();
	return cpu_time() - start;
}

static void jobs_run(const void *what, unsigned number)
{
	must(library.job != NULL, "no jobs");
	jobs_at_once = number;
	library.begin(true);
	repeat(do_jobs);
}

/*
 * Children, of a program that has so much memory in use, in MiB.  What counts
 * is how long the loop stands still, which is not processor time: the program
 * may wait for its child.
 */
static double elapsed_time(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static double spawn_children(size_t *n)
{
	double sum = 0, start;

	for (size_t i = 0; i < *n; i++) {
		start = elapsed_time();
		library.spawn();
		sum += elapsed_time() - start;
		library.wait_for_child();
	}
	return sum;
}

/* Pages as a heap has them: with large pages there would be few to copy. */
static void use_memory(size_t bytes)
{
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(memory != MAP_FAILED, "mmap");
	madvise(memory, bytes, MADV_NOHUGEPAGE);
	memset(memory, 1, bytes);
}

static void children_run(const void *what, unsigned number)
{
	must(library.spawn != NULL, "no children");
	library.begin(false);
	use_memory((size_t)number << 20);
	repeat(spawn_children);
}

/*
 * Deferreds, so many at a time.
 */
static size_t at_once;

static double make_deferreds(size_t *n)
{
	size_t rounds = (*n + at_once - 1) / at_once;
	double start = cpu_time();

	*n = rounds * at_once;
	while (rounds-- > 0)
		library.deferreds(at_once);
	return cpu_time() - start;
}

static void deferreds_run(const void *what, unsigned number)
{
	must(library.deferreds != NULL, "no deferreds");
	at_once = number;
	library.begin(false);
	repeat(make_deferreds);
}

static const struct timer_work cancel_work = { cancel, false };
static const struct timer_work reset_work = { reset, true };
static const struct timer_work churn_work = { churn, true };
static const struct timer_work fire_work = { fire, false };

const struct work works[] = {
	{ "timer-cancel", timer_run, &cancel_work },
	{ "timer-reset", timer_run, &reset_work },
	{ "timer-churn", timer_run, &churn_work },
	{ "timer-fire", timer_run, &fire_work },
	{ "thread", task_calls_run, NULL },
	{ "thread-node", node_calls_run, NULL },
	{ "job", jobs_run, NULL },
	{ "spawn", children_run, NULL },
	{ "deferred", deferreds_run, NULL },
	{ 0 },
};

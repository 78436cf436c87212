/*
 * Timers on a bare wheel, with ticks of a millisecond, four levels of 256
 * lists, and no order within a tick; calls from another thread through an
 * eventfd; jobs for a thread; and structs with two callbacks in place of
 * deferreds: the floors.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "alone.h"

enum { LEVELS = 4, SLOTS = 256 };

struct timer {
	LIST_ENTRY(timer) link;
	bool set;
	uint64_t when; /* ticks */
};

static LIST_HEAD(slot, timer) wheel[LEVELS][SLOTS];
static struct timer *timers;
static uint64_t now;
static int event_fd;

static uint64_t clock_ticks(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void wheel_insert(struct timer *t)
{
	uint64_t left = t->when - now;
	int level = 0;

	while (level < LEVELS - 1 && left >= SLOTS) {
		left /= SLOTS;
		level++;
	}
	LIST_INSERT_HEAD(&wheel[level][(t->when >> (8 * level)) % SLOTS], t,
			 link);
}

static void wheel_set(size_t i, double seconds)
{
	struct timer *t = &timers[i];

	t->when = now + 1 + (uint64_t)(seconds * 1000);
	t->set = true;
	wheel_insert(t);
}

static void wheel_stop(size_t i)
{
	if (timers[i].set)
		LIST_REMOVE(&timers[i], link);
	timers[i].set = false;
}

static void wheel_reset(size_t i, double seconds)
{
	wheel_stop(i);
	wheel_set(i, seconds);
}

/* What comes near moves to a finer level. */
static void wheel_cascade(int level)
{
	unsigned slot = (now >> (8 * level)) % SLOTS;
	struct slot todo = wheel[level][slot];
	struct timer *t, *next;

	if (slot == 0 && level < LEVELS - 1)
		wheel_cascade(level + 1);
	LIST_INIT(&wheel[level][slot]);
	for (t = LIST_FIRST(&todo); t != NULL; t = next) {
		next = LIST_NEXT(t, link);
		wheel_insert(t);
	}
}

static void wheel_tick(void)
{
	struct slot *slot = &wheel[0][++now % SLOTS];
	struct timer *t;

	if (now % SLOTS == 0)
		wheel_cascade(1);
	while ((t = LIST_FIRST(slot)) != NULL) {
		LIST_REMOVE(t, link);
		t->set = false;
		fired++;
	}
}

static void wheel_fire_due(void)
{
	for (uint64_t due = clock_ticks(); now < due;)
		wheel_tick();
}

static void wheel_timers(size_t n)
{
	timers = allocate(n * sizeof(*timers));
	now = clock_ticks();
}

static void wheel_call(void (*fn)(void))
{
	fn();
}

static void hand_begin(bool threads)
{
	event_fd = eventfd(0, EFD_CLOEXEC);
	must(event_fd >= 0, "eventfd");
}

static void hand_call(size_t i)
{
	uint64_t one = 1;

	if (push(i))
		must(write(event_fd, &one, sizeof(one)) == sizeof(one), "wake");
}

static void hand_run(void)
{
	uint64_t n;

	while (read(event_fd, &n, sizeof(n)) == sizeof(n))
		make_calls();
}

/*
 * Jobs for a thread, and what came of them: a list each, one mutex, and an
 * eventfd that is written when the loop has taken all that was done before.
 */
struct hand_job {
	STAILQ_ENTRY(hand_job) link;
	void *(*fn)(void *arg);
	void (*done)(void *result);
	void *arg, *result;
};

STAILQ_HEAD(hand_list, hand_job);
static struct hand_list todo = STAILQ_HEAD_INITIALIZER(todo),
			done = STAILQ_HEAD_INITIALIZER(done);
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;
static bool jobs_end;

static struct hand_job *hand_next(void)
{
	struct hand_job *j;

	pthread_mutex_lock(&mutex);
	while ((j = STAILQ_FIRST(&todo)) == NULL)
		pthread_cond_wait(&work, &mutex);
	STAILQ_REMOVE_HEAD(&todo, link);
	pthread_mutex_unlock(&mutex);
	return j;
}

static void *hand_thread(void *arg)
{
	uint64_t one = 1;

	for (;;) {
		struct hand_job *j = hand_next();
		bool was_empty;

		j->result = j->fn(j->arg);
		pthread_mutex_lock(&mutex);
		was_empty = STAILQ_EMPTY(&done);
		STAILQ_INSERT_TAIL(&done, j, link);
		pthread_mutex_unlock(&mutex);
		if (was_empty)
			must(write(event_fd, &one, sizeof(one)) > 0, "wake");
	}
	return NULL;
}

static void *do_nothing(void *arg)
{
	return NULL;
}

static void nothing_done(void *result)
{
	job_done();
}

static void hand_job(void)
{
	static pthread_t thread;
	struct hand_job *j = malloc(sizeof(*j));

	must(j != NULL, "malloc");
	*j = (struct hand_job){ .fn = do_nothing, .done = nothing_done };
	if (thread == 0)
		must(pthread_create(&thread, NULL, hand_thread, NULL) == 0,
		     "thread");
	pthread_mutex_lock(&mutex);
	STAILQ_INSERT_TAIL(&todo, j, link);
	pthread_cond_signal(&work);
	pthread_mutex_unlock(&mutex);
}

static void hand_tell(void)
{
	struct hand_list told = STAILQ_HEAD_INITIALIZER(told);
	struct hand_job *j;

	pthread_mutex_lock(&mutex);
	STAILQ_CONCAT(&told, &done);
	pthread_mutex_unlock(&mutex);
	while ((j = STAILQ_FIRST(&told)) != NULL) {
		STAILQ_REMOVE_HEAD(&told, link);
		j->done(j->result);
		free(j);
	}
}

static void hand_run_jobs(void)
{
	static int epoll_fd = -1;
	struct epoll_event e = { .events = EPOLLIN };
	uint64_t n;

	if (epoll_fd < 0) {
		epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		must(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event_fd, &e) == 0,
		     "epoll");
	}
	for (jobs_end = false; !jobs_end; hand_tell()) {
		must(epoll_wait(epoll_fd, &e, 1, -1) == 1, "epoll_wait");
		must(read(event_fd, &n, sizeof(n)) > 0, "read");
	}
}

static void hand_end_jobs(void)
{
	jobs_end = true;
}

/*
 * A child as most programs make it.
 */
static pid_t child;

static void hand_spawn(void)
{
	child = fork();
	if (child == 0) {
		execl(SPAWNED, SPAWNED, (char *)NULL);
		_exit(127);
	}
	must(child > 0, "fork");
}

static void hand_wait_for_child(void)
{
	int status;

	must(waitpid(child, &status, 0) == child && status == 0, SPAWNED);
}

/*
 * A struct with two callbacks.
 */
struct pair {
	long (*fn[2])(long result, void *arg);
	void *arg[2];
};

static long increase(long result, void *arg)
{
	return result + 1;
}

static void pairs_fire(size_t n)
{
	static struct pair **pairs;
	volatile long sum = 0;

	if (pairs == NULL)
		pairs = allocate(n * sizeof(struct pair *));
	for (size_t i = 0; i < n; i++) {
		pairs[i] = malloc(sizeof(struct pair));
		must(pairs[i] != NULL, "malloc");
		*pairs[i] = (struct pair){ .fn = { increase, increase } };
	}
	for (size_t i = 0; i < n; i++) {
		sum = pairs[i]->fn[0]((long)i, pairs[i]->arg[0]);
		sum = pairs[i]->fn[1](sum, pairs[i]->arg[1]);
		free(pairs[i]);
	}
}

const struct library library = {
	.timers = wheel_timers,
	.set = wheel_set,
	.reset = wheel_reset,
	.stop = wheel_stop,
	.fire_due = wheel_fire_due,
	.call_node = hand_call,
	.job = hand_job,
	.run_jobs = hand_run_jobs,
	.end_jobs = hand_end_jobs,
	.spawn = hand_spawn,
	.wait_for_child = hand_wait_for_child,
	.deferreds = pairs_fire,
	.in_callback = wheel_call,
	.begin = hand_begin,
	.run = hand_run,
};

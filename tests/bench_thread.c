/*
 * What a call from another thread costs, next to two queues by hand.  The
 * locked queue is the obvious one: a mutex, a list, a malloc() for each call,
 * and an eventfd that is written when the list was empty.  The bare queue is
 * the floor: a stack that threads push to with one compare-and-swap, nodes that
 * the program embeds, the same eventfd, and nothing around it.
 *
 * Alone: one thread queues some calls and then makes them.  From a thread:
 * another thread queues as fast as it can while the loop makes the calls; the
 * processor time of both counts.
 *
 * `bench_thread WHICH COUNT' does the former for `valgrind --tool=callgrind'.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <plait/plait.h>

enum { ROUNDS = 21, BURST = 100, LAP = 2048, LAPS = 100, CALLS = LAPS * LAP };

/* What a program wants to be called for, with room for either node. */
struct job {
	union {
		struct bare_call {
			struct bare_call *next;
			plait_func *fn;
			void *arg;
		} bare;
		struct plait_thread_call call;
	};
} __attribute__((aligned(64)));

/* While the loop makes the calls of one lap, the thread queues another. */
static struct job jobs[2 * LAP];
static sem_t free_laps;
static unsigned long made;

static void make(void *arg)
{
	if (++made % LAP == 0)
		sem_post(&free_laps);
}

static void check(bool well)
{
	if (!well)
		exit(1);
}

/*
 * By hand: what both have.
 */
static int event_fd, epoll_fd;

static void hand_begin(void)
{
	struct epoll_event e = { .events = EPOLLIN };

	event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	check(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event_fd, &e) == 0);
}

static void hand_end(void)
{
	close(epoll_fd);
	close(event_fd);
}

static void hand_wake(void)
{
	uint64_t one = 1;

	check(write(event_fd, &one, sizeof(one)) > 0);
}

static void hand_wait(void)
{
	struct epoll_event e;
	uint64_t n;

	check(epoll_wait(epoll_fd, &e, 1, -1) == 1);
	check(read(event_fd, &n, sizeof(n)) > 0);
}

/*
 * The locked queue.
 */
struct locked_call {
	struct plait_list link;
	plait_func *fn;
	void *arg;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct plait_list calls;

static void locked_begin(void)
{
	plait_list_init(&calls);
	hand_begin();
}

static void locked_call(struct job *job)
{
	struct locked_call *call = malloc(sizeof(*call));
	bool was_empty;

	check(call != NULL);
	*call = (struct locked_call){ .fn = make, .arg = job };
	pthread_mutex_lock(&mutex);
	was_empty = plait_list_is_empty(&calls);
	plait_list_append(&calls, &call->link);
	pthread_mutex_unlock(&mutex);
	if (was_empty)
		hand_wake();
}

static void locked_turn(void)
{
	struct plait_list todo, *l;

	hand_wait();
	plait_list_init(&todo);
	pthread_mutex_lock(&mutex);
	plait_list_move(&todo, &calls);
	pthread_mutex_unlock(&mutex);
	while ((l = plait_list_first(&todo)) != NULL) {
		struct locked_call *call =
			plait_container(l, struct locked_call, link);

		plait_list_remove(l);
		call->fn(call->arg);
		free(call);
	}
}

/*
 * The bare queue.
 */
static _Atomic(struct bare_call *) newest;

static void bare_call(struct job *job)
{
	struct bare_call *call = &job->bare;
	bool was_empty;

	call->fn = make;
	call->arg = job;
	call->next = atomic_load_explicit(&newest, memory_order_relaxed);
	do
		was_empty = call->next == NULL;
	while (!atomic_compare_exchange_weak(&newest, &call->next, call));
	if (was_empty)
		hand_wake();
}

static void bare_turn(void)
{
	struct bare_call *call, *next, *oldest = NULL;

	hand_wait();
	for (call = atomic_exchange(&newest, NULL); call != NULL; call = next) {
		next = call->next;
		call->next = oldest;
		oldest = call;
	}
	for (call = oldest; call != NULL; call = next) {
		next = call->next;
		call->fn(call->arg);
	}
}

/*
 * By plait.
 */
static struct plait_reactor *reactor;

static void plait_begin(void)
{
	reactor = plait_reactor_new(NULL);
	check(reactor != NULL);
	memset(jobs, 0, sizeof(jobs));
}

static void plait_end(void)
{
	plait_reactor_free(&reactor);
}

static void plait_call(struct job *job)
{
	check(plait_call_from_thread(reactor, make, job) == 0);
}

static void embedded_call(struct job *job)
{
	check(plait_thread_call_queue(reactor, &job->call, make, job) == 0);
}

static void plait_turn(void)
{
	plait_reactor_iterate(reactor, 1);
}

/*
 * Measuring.
 */
struct kind {
	const char *name;
	void (*begin)(void);
	void (*end)(void);
	void (*call)(struct job *job);
	void (*turn)(void);
};

static const struct kind kinds[] = {
	{ "bare", hand_begin, hand_end, bare_call, bare_turn },
	{ "locked", locked_begin, hand_end, locked_call, locked_turn },
	{ "embedded", plait_begin, plait_end, embedded_call, plait_turn },
	{ "plait", plait_begin, plait_end, plait_call, plait_turn },
};

enum { N_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static void alone(const struct kind *k, unsigned long n)
{
	while (made < n) {
		for (int i = 0; i < BURST; i++)
			k->call(&jobs[i]);
		k->turn();
	}
}

static void *queue_laps(void *arg)
{
	const struct kind *k = arg;

	for (unsigned long i = 0; i < CALLS; i++) {
		if (i % LAP == 0)
			while (sem_wait(&free_laps) < 0)
				;
		k->call(&jobs[i % (2 * LAP)]);
	}
	return NULL;
}

static void from_a_thread(const struct kind *k, unsigned long n)
{
	pthread_t thread;

	check(pthread_create(&thread, NULL, queue_laps, (void *)(uintptr_t)k) ==
	      0);
	while (made < n)
		k->turn();
	pthread_join(thread, NULL);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* Nanoseconds for one call. */
static double measure(const struct kind *k,
		      void (*run)(const struct kind *k, unsigned long n))
{
	double start;

	k->begin();
	made = 0;
	sem_init(&free_laps, 0, 2);
	start = now();
	run(k, CALLS);
	start = now() - start;
	k->end();
	return start / CALLS;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void report(const char *name,
		   void (*run)(const struct kind *k, unsigned long n))
{
	double costs[N_KINDS][ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		for (int j = 0; j < N_KINDS; j++)
			costs[j][i] = measure(&kinds[j], run);
	}
	printf("%-13s", name);
	for (int j = 0; j < N_KINDS; j++) {
		qsort(costs[j], ROUNDS, sizeof(double), compare);
		printf("  %s %.1f ns, %.2f", kinds[j].name,
		       costs[j][ROUNDS / 2],
		       costs[j][ROUNDS / 2] / costs[0][ROUNDS / 2]);
	}
	putchar('\n');
}

static int count(const char *which, unsigned long n)
{
	for (int i = 0; i < N_KINDS; i++) {
		if (strcmp(kinds[i].name, which) != 0)
			continue;
		kinds[i].begin();
		alone(&kinds[i], n);
		kinds[i].end();
		return 0;
	}
	return 2;
}

int main(int argc, char **argv)
{
	if (argc == 3)
		return count(argv[1], strtoul(argv[2], NULL, 10));
	report("alone", alone);
	report("from a thread", from_a_thread);
	return 0;
}

/*
 * What a call from another thread costs, next to a queue by hand: a mutex, a
 * list and an eventfd that is written when the list was empty.
 *
 * Alone: one thread queues some calls and then makes them, so that nothing
 * but the queue is measured.  From a thread: another thread queues as fast as
 * it can while the loop makes the calls; the processor time of both counts.
 *
 * `bench_thread WHICH COUNT' does the former for `valgrind --tool=callgrind'.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <plait/plait.h>

enum { ROUNDS = 9, CALLS = 200000, BURST = 100 };

static unsigned long made;

static void make(void *arg)
{
	made++;
}

/*
 * By hand.
 */
struct hand_call {
	struct plait_list link;
	plait_func *fn;
	void *arg;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct plait_list calls;
static int event_fd, epoll_fd;

static void hand_begin(void)
{
	struct epoll_event e = { .events = EPOLLIN };

	plait_list_init(&calls);
	event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event_fd, &e) < 0)
		exit(1);
}

static void hand_end(void)
{
	close(epoll_fd);
	close(event_fd);
}

static void hand_call(void)
{
	struct hand_call *call = malloc(sizeof(*call));
	uint64_t one = 1;
	bool was_empty;

	if (call == NULL)
		exit(1);
	*call = (struct hand_call){ .fn = make };
	pthread_mutex_lock(&mutex);
	was_empty = plait_list_is_empty(&calls);
	plait_list_append(&calls, &call->link);
	pthread_mutex_unlock(&mutex);
	if (was_empty && write(event_fd, &one, sizeof(one)) < 0)
		exit(1);
}

static void hand_turn(void)
{
	struct plait_list todo, *l;
	struct epoll_event e;
	uint64_t n;

	if (epoll_wait(epoll_fd, &e, 1, -1) != 1 ||
	    read(event_fd, &n, sizeof(n)) < 0)
		return;
	plait_list_init(&todo);
	pthread_mutex_lock(&mutex);
	plait_list_move(&todo, &calls);
	pthread_mutex_unlock(&mutex);
	while ((l = plait_list_first(&todo)) != NULL) {
		struct hand_call *call =
			plait_container(l, struct hand_call, link);

		plait_list_remove(l);
		call->fn(call->arg);
		free(call);
	}
}

/*
 * By plait.
 */
static struct plait_reactor *reactor;

static void plait_begin(void)
{
	reactor = plait_reactor_new(NULL);
	if (reactor == NULL)
		exit(1);
}

static void plait_end(void)
{
	plait_reactor_free(&reactor);
}

static void plait_call(void)
{
	if (plait_call_from_thread(reactor, make, NULL) < 0)
		exit(1);
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
	void (*call)(void);
	void (*turn)(void);
};

static const struct kind kinds[] = {
	{ "hand", hand_begin, hand_end, hand_call, hand_turn },
	{ "plait", plait_begin, plait_end, plait_call, plait_turn },
};

static void alone(const struct kind *k, unsigned long n)
{
	for (made = 0; made < n;) {
		for (int i = 0; i < BURST; i++)
			k->call();
		k->turn();
	}
}

static unsigned long to_queue;

static void *queue_all(void *arg)
{
	const struct kind *k = arg;

	for (unsigned long i = 0; i < to_queue; i++)
		k->call();
	return NULL;
}

static void from_a_thread(const struct kind *k, unsigned long n)
{
	pthread_t thread;

	made = 0;
	to_queue = n;
	if (pthread_create(&thread, NULL, queue_all, (void *)(uintptr_t)k) != 0)
		exit(1);
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
	double costs[2][ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		for (int j = 0; j < 2; j++)
			costs[j][i] = measure(&kinds[j], run);
	}
	for (int j = 0; j < 2; j++)
		qsort(costs[j], ROUNDS, sizeof(double), compare);
	printf("%-13s by hand %6.1f ns, plait %6.1f ns, ratio %.2f\n", name,
	       costs[0][ROUNDS / 2], costs[1][ROUNDS / 2],
	       costs[1][ROUNDS / 2] / costs[0][ROUNDS / 2]);
}

static int count(const char *which, unsigned long n)
{
	for (int i = 0; i < 2; i++) {
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

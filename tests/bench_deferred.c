/*
 * What deferreds cost: one at a time, and 10,000 that are alive at the same
 * time; and what is built on them.  Beside them stands what a program without
 * deferreds would do: a struct of a callback and its argument, from malloc(),
 * or from a list of free ones.  All get their result, call, and are freed.
 *
 * The yardstick is malloc() and free() of 200 bytes.  Takes the best of several
 * rounds: the others tell of what else the machine did.
 *
 * `bench_deferred WHAT COUNT' does COUNT of one kind, for
 * `valgrind --tool=callgrind build/tests/bench_deferred one 100000'.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <plait/plait.h>

enum { ROUNDS = 10, ROUND = 200000, ALIVE = 10000, MEMBERS = 10 };

/* Through a volatile pointer, or the compiler would leave both out. */
static void use_malloc(long n)
{
	void *volatile block;

	while (n-- > 0) {
		block = malloc(200);
		free(block);
	}
}

/* ---- by hand ------------------------------------------------------------ */

struct waiter {
	void (*call)(void *arg, long result);
	union {
		void *arg;
		struct waiter *next; /* free */
	};
};

static struct waiter *waiters[ALIVE];
static long sum;

static void add(void *arg, long result)
{
	*(long *)arg += result;
}

static struct waiter *waiter_malloc(void)
{
	return malloc(sizeof(struct waiter));
}

static void waiter_free(struct waiter *w)
{
	free(w);
}

static struct waiter *unused;

static struct waiter *waiter_take(void)
{
	struct waiter *w = unused;

	if (w == NULL)
		return waiter_malloc();
	unused = w->next;
	return w;
}

static void waiter_put(struct waiter *w)
{
	w->next = unused;
	unused = w;
}

static inline void use_waiters(long n, struct waiter *(*take)(void),
			       void (*put)(struct waiter *w))
{
	for (; n > 0; n -= ALIVE) {
		for (int i = 0; i < ALIVE; i++) {
			waiters[i] = take();
			waiters[i]->call = add;
			waiters[i]->arg = &sum;
		}
		for (int i = 0; i < ALIVE; i++)
			waiters[i]->call(waiters[i]->arg, i);
		for (int i = 0; i < ALIVE; i++)
			put(waiters[i]);
	}
}

static void use_struct(long n)
{
	use_waiters(n, waiter_malloc, waiter_free);
}

static void use_free_list(long n)
{
	use_waiters(n, waiter_take, waiter_put);
}

/* ---- deferreds ---------------------------------------------------------- */

static struct plait_promise *promises[ALIVE];
static struct plait_deferred *deferreds[ALIVE];

static plait_value increase(plait_value *result, void *arg)
{
	return plait_int(plait_value_int(result) + 1);
}

static void begin(int i)
{
	deferreds[i] = plait_deferred_new(&promises[i], NULL, NULL);
	plait_deferred_add_callback(deferreds[i], increase, NULL);
	plait_deferred_add_callback(deferreds[i], increase, NULL);
}

static void use_one(long n)
{
	while (n-- > 0) {
		begin(0);
		plait_fire(&promises[0], plait_int(n));
		plait_deferred_free(&deferreds[0]);
	}
}

static void fire_all(int n)
{
	for (int i = 0; i < n; i++)
		plait_fire(&promises[i], plait_int(i));
}

static void free_all(int n)
{
	for (int i = 0; i < n; i++)
		plait_deferred_free(&deferreds[i]);
}

static void use_many(long n)
{
	for (; n > 0; n -= ALIVE) {
		for (int i = 0; i < ALIVE; i++)
			begin(i);
		fire_all(ALIVE);
		free_all(ALIVE);
	}
}

/* Each second one waits for the first one, which its callback returns. */
static plait_value go_on_with(plait_value *result, void *arg)
{
	struct plait_deferred *inner = arg;

	return plait_chain(&inner);
}

static void use_chains(long n)
{
	enum { CHAINS = ALIVE / 2 };
	struct plait_deferred *inner;

	for (; n > 0; n -= ALIVE) {
		for (int i = 0; i < CHAINS; i++) {
			begin(i);
			inner = deferreds[i];
			deferreds[i] = plait_succeed(PLAIT_NONE);
			plait_deferred_add_callback(deferreds[i], go_on_with,
						    inner);
		}
		fire_all(CHAINS);
		free_all(CHAINS);
	}
}

/* Gathers of ten; a member counts. */
static void use_lists(long n)
{
	struct plait_deferred *list;

	for (; n > 0; n -= ALIVE) {
		for (int i = 0; i < ALIVE; i++)
			begin(i);
		for (int i = 0; i < ALIVE; i += MEMBERS) {
			list = plait_gather(&deferreds[i], MEMBERS, 0);
			deferreds[i / MEMBERS] = list;
		}
		fire_all(ALIVE);
		free_all(ALIVE / MEMBERS);
	}
}

/* All wait for one lock, and get it in turn. */
static void use_locks(long n)
{
	struct plait_lock *lock = plait_lock_new();

	for (; n > 0; n -= ALIVE) {
		for (int i = 0; i < ALIVE; i++)
			deferreds[i] = plait_lock_acquire(lock);
		for (int i = 0; i < ALIVE; i++)
			plait_lock_release(lock);
		free_all(ALIVE);
	}
	plait_lock_free(&lock);
}

/* All wait for a value from one queue. */
static void use_queues(long n)
{
	struct plait_queue *queue = plait_queue_new(ALIVE, ALIVE);

	for (; n > 0; n -= ALIVE) {
		for (int i = 0; i < ALIVE; i++)
			deferreds[i] = plait_queue_get(queue);
		for (int i = 0; i < ALIVE; i++)
			plait_queue_put(queue, plait_int(i));
		free_all(ALIVE);
	}
	plait_queue_free(&queue);
}

/* ---- measuring ---------------------------------------------------------- */

static const struct {
	const char *name;
	const char *what;
	void (*use)(long n);
} kinds[] = {
	{ "malloc", "malloc and free of 200 bytes", use_malloc },
	{ "struct", "10,000 at once, by hand: a struct from malloc",
	  use_struct },
	{ "free-list", "10,000 at once, by hand: a struct from a free list",
	  use_free_list },
	{ "one", "a deferred with two callbacks, one at a time", use_one },
	{ "many", "a deferred with two callbacks, 10,000 at once", use_many },
	{ "chains", "the same, every second one waits for another",
	  use_chains },
	{ "lists", "the same, in gathers of ten", use_lists },
	{ "locks", "10,000 at once that wait for a lock", use_locks },
	{ "queues", "10,000 at once that wait for a queue", use_queues },
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static double time_of(void (*use)(long n))
{
	double start = now();

	use(ROUND);
	return (now() - start) / ROUND;
}

/*
 * Nanoseconds for one, in a child: what others have left in the memory of the
 * process must not matter.  The first round is none: it touches new memory.
 */
static double measure(void (*use)(long n))
{
	double each = 0;
	int ends[2], status;

	if (pipe(ends) < 0)
		exit(1);
	if (fork() == 0) {
		use(ROUND);
		each = time_of(use);
		_exit(write(ends[1], &each, sizeof(each)) < 0);
	}
	close(ends[1]);
	if (read(ends[0], &each, sizeof(each)) != sizeof(each))
		exit(1);
	close(ends[0]);
	wait(&status);
	return each;
}

/* All kinds in turn, so that the machine is the same for all. */
static void measure_all(double *best)
{
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < KINDS; i++) {
			double each = measure(kinds[i].use);

			if (round == 0 || each < best[i])
				best[i] = each;
		}
	}
}

static int use_one_kind(const char *name, long n)
{
	for (int i = 0; i < KINDS; i++) {
		if (strcmp(kinds[i].name, name) == 0) {
			kinds[i].use(n);
			return 0;
		}
	}
	fprintf(stderr, "there is no %s\n", name);
	return 1;
}

int main(int argc, char **argv)
{
	double best[KINDS];

	if (argc > 2)
		return use_one_kind(argv[1], atol(argv[2]));
	measure_all(best);
	printf("%-9s %6s %6s\n", "", "ns", "ratio");
	for (int i = 0; i < KINDS; i++)
		printf("%-9s %6.1f %6.1f  %s\n", kinds[i].name, best[i],
		       best[i] / best[0], kinds[i].what);
	return 0;
}

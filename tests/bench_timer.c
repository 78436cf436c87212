/*
 * What timers cost next to a bare timer wheel: ticks of a millisecond, four
 * levels of 256 lists, no exact order, and nothing around it.  A wheel is as
 * cheap as timers get.
 *
 * In turn: the timer that was set first is stopped and set anew.  At random:
 * any of them is, which costs a walk to memory that nobody has touched for
 * long.  Put off: the same, by starting it without stopping it, as idle
 * timeouts do.  Cancel: one more timer is set and stopped, as the timeout of a
 * request that is answered.  Fire: all are due at once; each runs.  Churn: a
 * hundred are due each millisecond, and each sets itself anew.
 *
 * `bench_timer WHAT WHICH COUNT', with 1000 timers, is for `valgrind
 * --tool=callgrind'.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <plait/plait.h>
#include <plait/testing.h>

enum { ROUNDS = 3, OPERATIONS = 200000, FEW = 1000 };

static const size_t sizes[] = { FEW, 100000, 1000000 };
enum { N_SIZES = sizeof(sizes) / sizeof(sizes[0]) };

/*
 * The wheel.
 */
enum { LEVELS = 4, SLOTS = 256 };

struct wheel_timer {
	struct plait_list link;
	plait_func *fn;
	void *arg;
	uint64_t when;
};

static struct plait_list wheel[LEVELS][SLOTS];
static uint64_t wheel_now; /* ticks */

static void wheel_insert(struct wheel_timer *t)
{
	uint64_t left = t->when - wheel_now;
	int level = 0;

	while (level < LEVELS - 1 && left >= SLOTS) {
		left /= SLOTS;
		level++;
	}
	plait_list_append(&wheel[level][(t->when >> (8 * level)) % SLOTS],
			  &t->link);
}

static void wheel_start(struct wheel_timer *t, double seconds, plait_func *fn,
			void *arg)
{
	plait_list_remove(&t->link);
	t->when = wheel_now + 1 + (uint64_t)(seconds * 1000);
	t->fn = fn;
	t->arg = arg;
	wheel_insert(t);
}

/* What comes near moves to a finer level. */
static void wheel_cascade(int level)
{
	struct plait_list todo, *l;
	unsigned slot = (wheel_now >> (8 * level)) % SLOTS;

	if (slot == 0 && level < LEVELS - 1)
		wheel_cascade(level + 1);
	plait_list_init(&todo);
	plait_list_move(&todo, &wheel[level][slot]);
	while ((l = plait_list_first(&todo)) != NULL) {
		plait_list_remove(l);
		wheel_insert(plait_container(l, struct wheel_timer, link));
	}
}

static void wheel_tick(void)
{
	struct plait_list *slot, *l;

	slot = &wheel[0][++wheel_now % SLOTS];
	if (wheel_now % SLOTS == 0)
		wheel_cascade(1);
	while ((l = plait_list_first(slot)) != NULL) {
		struct wheel_timer *t =
			plait_container(l, struct wheel_timer, link);

		plait_list_remove(l);
		t->fn(t->arg);
	}
}

static void wheel_init(void)
{
	for (int i = 0; i < LEVELS * SLOTS; i++)
		plait_list_init(&wheel[0][0] + i);
}

/*
 * Both, as one sees them from here.
 */
static struct plait_reactor *reactor;
static struct plait_timer *plait_timers;
static struct wheel_timer *wheel_timers;
static size_t n_timers, fired;

static void fire(void *arg)
{
	fired++;
}

static plait_func *on_time = fire;

static void plait_set(size_t i, double seconds)
{
	plait_timer_start(reactor, &plait_timers[i], seconds, on_time,
			  (void *)(uintptr_t)i);
}

static void plait_reset(size_t i, double seconds)
{
	plait_timer_stop(&plait_timers[i]);
	plait_set(i, seconds);
}

static void wheel_set(size_t i, double seconds)
{
	wheel_start(&wheel_timers[i], seconds, on_time, (void *)(uintptr_t)i);
}

static void plait_cancel(size_t i)
{
	plait_timer_stop(&plait_timers[i]);
}

static void wheel_cancel(size_t i)
{
	plait_list_remove(&wheel_timers[i].link);
}

static void plait_pass(void)
{
	plait_testing_advance(reactor, 0.001);
}

/* All are due within 10 ms. */
static void plait_fire_all(void)
{
	plait_testing_advance(reactor, 0.02);
}

static void wheel_fire_all(void)
{
	for (int i = 0; i < 20; i++)
		wheel_tick();
}

struct kind {
	const char *name;
	void (*set)(size_t i, double seconds);
	void (*reset)(size_t i, double seconds);
	void (*put_off)(size_t i, double seconds);
	void (*cancel)(size_t i);
	void (*fire_all)(void);
	void (*pass)(void); /* a millisecond goes by */
};

static const struct kind kinds[] = {
	{ "wheel", wheel_set, wheel_set, wheel_set, wheel_cancel,
	  wheel_fire_all, wheel_tick },
	{ "plait", plait_set, plait_reset, plait_set, plait_cancel,
	  plait_fire_all, plait_pass },
};

/*
 * What is measured.
 */
static uint64_t seed = 1;

static size_t random_below(size_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (size_t)(seed >> 33) % n;
}

static double some_seconds(double most)
{
	return most * (double)random_below(1 << 20) / (1 << 20);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void set_all(const struct kind *k, double least, double range)
{
	for (size_t i = 0; i < n_timers; i++)
		k->set(i, least + some_seconds(range));
}

static void reset_in_turn(const struct kind *k, size_t n)
{
	for (size_t i = 0; i < n; i++)
		k->reset(i % n_timers, 60);
}

static void reset_at_random(const struct kind *k, size_t n)
{
	while (n-- > 0)
		k->reset(random_below(n_timers), 60 + some_seconds(60));
}

static void put_off_at_random(const struct kind *k, size_t n)
{
	while (n-- > 0)
		k->put_off(random_below(n_timers), 120 + some_seconds(60));
}

/* The last place in the arrays is for it. */
static void cancel_one_more(const struct kind *k, size_t n)
{
	while (n-- > 0) {
		k->set(n_timers, 60 + some_seconds(60));
		k->cancel(n_timers);
	}
}

/* All of them, as often as it takes. */
static void fire_repeatedly(const struct kind *k, size_t n)
{
	for (fired = 0; fired < n;) {
		set_all(k, 0, 0.01);
		k->fire_all();
	}
}

static const struct kind *churned;

static double churn_seconds(void)
{
	return some_seconds((double)n_timers / 100 / 1000);
}

static void fire_and_set(void *arg)
{
	fired++;
	churned->set((uintptr_t)arg, churn_seconds());
}

static void churn(const struct kind *k, size_t n)
{
	churned = k;
	on_time = fire_and_set;
	for (size_t i = 0; i < n_timers; i++)
		k->set(i, churn_seconds());
	for (fired = 0; fired < n;)
		k->pass();
	on_time = fire;
}

struct work {
	const char *name;
	void (*run)(const struct kind *k, size_t n);
};

static const struct work works[] = {
	{ "in-turn", reset_in_turn },	  { "random", reset_at_random },
	{ "put-off", put_off_at_random }, { "cancel", cancel_one_more },
	{ "fire", fire_repeatedly },	  { "churn", churn },
};
enum { N_WORKS = sizeof(works) / sizeof(works[0]) };

static void *allocate(size_t size)
{
	void *p = calloc(n_timers + 1, size);

	if (p == NULL)
		exit(1);
	return p;
}

static void begin(const struct kind *k, size_t n)
{
	n_timers = n;
	wheel_init();
	reactor = plait_testing_reactor_new();
	plait_timers = allocate(sizeof(*plait_timers));
	wheel_timers = allocate(sizeof(*wheel_timers));
	set_all(k, 60, 60);
}

static void end(void)
{
	plait_reactor_free(&reactor);
	free(plait_timers);
	free(wheel_timers);
}

/* Nanoseconds for one operation, in the best round. */
static double measure(const struct kind *k, const struct work *w, size_t n)
{
	size_t operations = n > OPERATIONS ? n : OPERATIONS;
	double best = 0, start, each;

	begin(k, n);
	for (int i = 0; i < ROUNDS; i++) {
		start = now();
		w->run(k, operations);
		each = (now() - start) / (double)operations;
		if (i == 0 || each < best)
			best = each;
	}
	end();
	return best;
}

static void compare(const struct work *w, size_t n)
{
	double floor = measure(&kinds[0], w, n);
	double plait = measure(&kinds[1], w, n);

	printf("%-8s of %7zu timers: wheel %6.1f ns, plait %6.1f ns, "
	       "ratio %.2f\n",
	       w->name, n, floor, plait, plait / floor);
}

static int count(const char *what, const char *which, size_t n)
{
	for (int i = 0; i < N_WORKS; i++) {
		for (int j = 0; j < 2; j++) {
			if (strcmp(works[i].name, what) != 0 ||
			    strcmp(kinds[j].name, which) != 0)
				continue;
			begin(&kinds[j], FEW);
			works[i].run(&kinds[j], n);
			end();
			return 0;
		}
	}
	return 2;
}

int main(int argc, char **argv)
{
	if (argc == 4)
		return count(argv[1], argv[2], (size_t)atol(argv[3]));
	for (int i = 0; i < N_WORKS; i++)
		for (int j = 0; j < N_SIZES; j++)
			compare(&works[i], sizes[j]);
	return 0;
}

/*
 * Cancelling while memory is short, and while the kernel takes one byte at a
 * time: compositions of starters are cancelled or freed after some turns, and
 * one of the allocations until then fails.  Then anything may come of them,
 * but nothing may be left, and the same reactor must run them through.
 *
 * What is tried is drawn from a seed.  $PLAIT_SEEDS says how many seeds there
 * are; a failure names its seed.
 */
#include <plait/testing.h>

#include "tests/compositions.h"
#include "tests/harness.h"

/* So many pairs of a point and an allocation are tried with each seed. */
enum { PAIRS = 10, SEEDS = 20 };

/* In which a run ends that is left alone, and what was begun beside it. */
enum { MANY_TURNS = 400 };

/* What is tried. */
struct pair {
	unsigned turns; /* after which it is ended */
	unsigned long allocation;
	size_t most;   /* bytes that a call moves; 0: all */
	bool persists; /* and no later one is made, either */
	bool frees;    /* instead of cancelling */
};

static struct composition composition;
static struct scene *const whole = &composition.scenes[0];
static char name[4000];
static bool settled;

static plait_value note_settled(plait_value *result, void *arg)
{
	settled = true;
	return PLAIT_NONE;
}

static void turn(void)
{
	if (backend != NULL)
		ck_assert_int_eq(plait_reactor_iterate(reactor, TURN / 2), 0);
	else
		plait_testing_advance(reactor, TURN / 2);
}

static void turns(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		turn();
}

static struct plait_deferred *begin(bool lenient)
{
	for (int i = 0; i < composition.n; i++)
		composition.scenes[i].lenient = lenient;
	settled = false;
	return plait_deferred_add_both(scene_start(whole, reactor),
				       note_settled, NULL);
}

static void new_reactor(void)
{
	clock_virtual(true);
	reactor = test_reactor_new();
	ck_assert_ptr_nonnull(reactor);
}

/* It runs to its end: how many turns that takes. */
static unsigned run_through(void)
{
	struct plait_deferred *d = begin(false);
	unsigned n = 0;

	for (; !settled; n++) {
		ck_assert_msg(n < MANY_TURNS, "%s: does not end", name);
		turn();
	}
	plait_deferred_free(&d);
	ck_assert_msg(scene_stop(whole) == NULL, "%s: is not in order", name);
	turns(10);
	return n;
}

/* Its turns, and the allocations that are made in them. */
static void measure(unsigned *n_turns, unsigned long *n_allocations)
{
	unsigned long before;

	new_reactor();
	before = heap_calls();
	*n_turns = run_through() + 1;
	*n_allocations = heap_calls() - before;
	plait_reactor_free(&reactor);
}

/* The faulty part of a run. */
static void run_to_fault(const struct pair *p)
{
	struct plait_deferred *d;

	fault_alloc_at(p->allocation, p->persists);
	if (p->most > 0) {
		fault_short_forever("sendmsg", p->most);
		fault_short_forever("recv", p->most);
	}
	d = begin(true);
	for (unsigned i = 0; i < p->turns && !settled; i++)
		turn();
	if (p->frees)
		plait_deferred_free(&d);
	plait_deferred_cancel(d);
	ck_assert_msg(settled, "%s: has not settled", name);
	plait_deferred_free(&d);
	fault_off();
	clock_virtual(true);
	turns(10);
	scene_stop(whole);
	turns(10);
}

static void try_pair(const struct pair *p)
{
	struct fd_table *fds = fd_table_new();
	unsigned long mark = heap_mark();

	new_reactor();
	run_to_fault(p);
	run_through();
	plait_reactor_free(&reactor);
	ck_assert_msg(heap_left_since(mark, stderr) == 0 &&
			      fd_table_check(&fds) == 0,
		      "%s: something is left", name);
}

static uint64_t draws;

static unsigned long draw(unsigned long n)
{
	draws = draws * 6364136223846793005 + 1442695040888963407;
	return (unsigned long)(draws >> 33) % n;
}

/* One draw a statement: an initialiser list may be run in any order. */
static void draw_pair(struct pair *p, unsigned n_turns,
		      unsigned long n_allocations)
{
	p->turns = (unsigned)draw(n_turns);
	p->allocation = draw(n_allocations + 1);
	p->most = draw(2) ? 0 : 1 + draw(5000);
	p->persists = draw(4) == 0;
	p->frees = draw(2);
}

static void try_seed(int seed)
{
	unsigned long n_allocations;
	unsigned n_turns;

	draws = (uint64_t)seed;
	composition_make(&composition, (uint64_t)seed);
	measure(&n_turns, &n_allocations);
	for (int i = 0; i < PAIRS; i++) {
		struct pair p;
		int n;

		draw_pair(&p, n_turns, n_allocations);
		n = snprintf(name, sizeof(name),
			     "seed %d, %s after %u turns, allocation %lu%s, "
			     "at most %zu bytes: ",
			     seed, p.frees ? "freed" : "cancelled", p.turns,
			     p.allocation,
			     p.persists ? " and all later ones" : "", p.most);

		composition_str(&composition, name + n,
				sizeof(name) - (size_t)n);
		try_pair(&p);
	}
}

static int n_seeds(void)
{
	const char *n = getenv("PLAIT_SEEDS");

	return n != NULL ? atoi(n) : SEEDS;
}

GROUP("faults", .timeout = 120);

TEST(cancelled_without_memory_nothing_is_left, ON_EACH_REACTOR,
     TIMES(n_seeds()))
{
	/* On sockets, where time is dear, every fifth. */
	if (backend != NULL && _i % 5 != 0)
		return;
	plait_reactor_free(&reactor);
	if (backend == NULL)
		servers_on_testing();
	else
		servers_on_sockets();
	try_seed(_i);
	unhandled_expect(unhandled_count());
	if (backend != NULL)
		servers_gone();
}

/*
 * Deferreds under random programs: a dozen of them, and callbacks and
 * cancellers that do random things to any of them while they run.  Nothing is
 * expected of the order; what must hold is that no callback runs twice or
 * after its deferred was freed, that every value is freed exactly once, and
 * that at the end nothing is left.
 *
 * Results go from higher numbers to lower ones only, so no ring comes about,
 * which would be the program's mistake.  $PLAIT_SEEDS says
 * how many programs to run; a failure names its seed in the loop counter.
 */
#include <plait/plait.h>

#include "tests/harness.h"
#include "tests/steps.h"

enum {
	N = 12,
	STEPS = 200,
	MAX_PAIRS = 4096,
	MAX_LIVES = 4096,
	MAX_VALUES = 4096,
	MAX_DEPTH = 4
};

struct member {
	struct plait_deferred *d;
	struct plait_promise *p;
	unsigned pauses;
	unsigned life; /* a new one each time that this place is filled */
};

/* What a callback has for its arg. */
struct pair {
	int member;
	unsigned life;
	bool ran;
};

static struct member members[N];
static struct pair pairs[MAX_PAIRS];
static bool freed[MAX_LIVES];
static unsigned n_pairs, n_lives, n_values, depth;
static uint32_t state;

static unsigned chance(unsigned n)
{
	state = state * 1664525 + 1013904223;
	return (state >> 8) % n;
}

static void do_something(void);

static void do_something_inside(void)
{
	if (depth == MAX_DEPTH)
		return;
	depth++;
	for (unsigned n = chance(3); n > 0; n--)
		do_something();
	depth--;
}

/* No two values are alike: the same one returned would mean the slot's. */
static plait_value new_value(void)
{
	static const char names[MAX_VALUES];

	return tracked(&names[n_values++ % MAX_VALUES]);
}

static plait_value random_value(void)
{
	switch (chance(3)) {
	case 0:
		return plait_fail(&plait_error_any, "random");
	case 1:
		return new_value();
	default:
		return PLAIT_NONE;
	}
}

/*
 * The handle of a deferred with a higher number, if there is one to take; not
 * of a paused one, which nobody could unpause any more.
 */
static struct plait_deferred **to_wait_for(int above)
{
	int i = above + 1 + (int)chance(N);

	return i < N && members[i].d != NULL && members[i].pauses == 0
		       ? &members[i].d
		       : NULL;
}

static plait_value answer(plait_value *result, int member)
{
	struct plait_deferred **inner = to_wait_for(member);

	if (inner != NULL && chance(2))
		return plait_chain(inner);
	switch (chance(3)) {
	case 0:
		return plait_take(result);
	case 1:
		return *result;
	default:
		return random_value();
	}
}

static plait_value callback(plait_value *result, void *arg)
{
	struct pair *pair = arg;

	ck_assert(!pair->ran);
	ck_assert(!freed[pair->life]);
	pair->ran = true;
	do_something_inside();
	return answer(result, pair->member);
}

static plait_value canceller(struct plait_deferred *d, void *arg)
{
	do_something_inside();
	return chance(2) ? plait_cancelled() : random_value();
}

static void fill(struct member *m)
{
	if (m->d != NULL || m->p != NULL || n_lives == MAX_LIVES)
		return;
	m->life = n_lives++;
	m->pauses = 0;
	if (chance(4) == 0)
		m->d = plait_maybe_deferred(random_value());
	else
		m->d = plait_deferred_new(&m->p, chance(2) ? canceller : NULL,
					  NULL);
}

static void add(struct member *m)
{
	struct pair *pair = &pairs[n_pairs];

	if (n_pairs == MAX_PAIRS)
		return;
	n_pairs++;
	*pair = (struct pair){ (int)(m - members), m->life, false };
	switch (chance(3)) {
	case 0:
		plait_deferred_add_callback(m->d, callback, pair);
		break;
	case 1:
		plait_deferred_add_errback(m->d, callback, pair);
		break;
	default:
		plait_deferred_add_both(m->d, callback, pair);
	}
}

/* No callback of it may run from here on, even if it was taken meanwhile. */
static void free_member(struct member *m)
{
	unsigned life = m->life;

	if (m->d == NULL)
		return;
	plait_deferred_free(&m->d);
	freed[life] = true;
}

static void let_go(struct member *m)
{
	if (m->pauses == 0)
		return;
	m->pauses--;
	plait_deferred_unpause(m->d);
}

static void hold(struct member *m)
{
	m->pauses++;
	plait_deferred_pause(m->d);
}

/* To a lower number only: what waits for itself would never end. */
static void chain(struct member *m)
{
	if (m > members)
		plait_deferred_chain(
			m->d, &members[chance((unsigned)(m - members))].p);
}

static void use_waiting_end(struct member *m)
{
	switch (chance(8)) {
	case 0:
		plait_deferred_cancel(m->d);
		break;
	case 1:
		free_member(m);
		break;
	case 2:
		plait_deferred_detach(&m->d);
		break;
	case 3:
		hold(m);
		break;
	case 4:
		let_go(m);
		break;
	case 5:
		chain(m);
		break;
	default:
		add(m);
	}
}

static void use_firing_end(struct member *m)
{
	if (chance(6) == 0)
		plait_promise_drop(&m->p);
	else
		plait_fire(&m->p, random_value());
}

static void do_something(void)
{
	struct member *m = &members[chance(N)];

	if (m->d != NULL && chance(4) != 0)
		use_waiting_end(m);
	else if (m->p != NULL && chance(3) == 0)
		use_firing_end(m);
	else
		fill(m);
}

static void end_all(void)
{
	bool left = true;

	depth = MAX_DEPTH; /* no more surprises */
	while (left) {
		left = false;
		for (int i = 0; i < N; i++) {
			left |= members[i].d != NULL || members[i].p != NULL;
			free_member(&members[i]);
			plait_promise_drop(&members[i].p);
		}
	}
}

static void run_program(uint32_t seed)
{
	memset(members, 0, sizeof(members));
	memset(freed, 0, sizeof(freed));
	n_pairs = n_lives = depth = 0;
	state = seed;
	for (int i = 0; i < STEPS; i++)
		do_something();
	end_all();
	ck_assert_msg(tracked_live() == 0, "%u values left", tracked_live());
	trace_clear();
}

static unsigned seeds(void)
{
	const char *n = getenv("PLAIT_SEEDS");

	return n != NULL ? (unsigned)atoi(n) : 1000;
}

START_TEST(random_programs_leave_nothing_and_run_nothing_twice)
{
	unsigned n = seeds();
	unsigned long mark;

	for (uint32_t i = 0; i < n; i++) {
		mark = heap_mark();
		run_program((uint32_t)_i * n + i);
		ck_assert_msg(heap_left_since(mark, stderr) == 0,
			      "memory left by program %u",
			      (unsigned)_i * n + i);
	}
	ck_assert_uint_eq(plait_deferred_report_pending(), 0);
	unhandled_expect(unhandled_count());
}
END_TEST

int main(void)
{
	Suite *s = suite_create("deferred_random");
	TCase *tc = tcase_create("random");

	tcase_add_checked_fixture(tc, steps_setup, NULL);
	tcase_add_pure_loop_test(
		tc, random_programs_leave_nothing_and_run_nothing_twice, 0, 4);
	suite_add_tcase(s, tc);
	return suite_main(s);
}

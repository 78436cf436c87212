/*
 * A tangle of deferreds: see tangle.h.
 *
 * Results go from higher numbers to lower ones only, so no ring comes about,
 * which would be the program's mistake.
 */
#include <stdint.h>
#include <string.h>

#include <plait/deferred_list.h>

#include "tests/steps.h"
#include "tests/tangle.h"

enum {
	N = 12,
	MAX_PAIRS = 4096,
	MAX_LIVES = 4096,
	MAX_VALUES = 4096,
	MAX_DEPTH = 4,
	MAX_LIST = 5
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
static tangle_choose *chance;

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

/* A deferred with a higher number, if there is one to take. */
static struct member *to_wait_for(int above)
{
	int i = above + 1 + (int)chance(N);

	return i < N && members[i].d != NULL ? &members[i] : NULL;
}

/* What is taken is not paused any more. */
static struct plait_deferred *take(struct member *m)
{
	struct plait_deferred *d = m->d;

	m->d = NULL;
	m->pauses = 0;
	return d;
}

static plait_value answer(plait_value *result, int member)
{
	struct member *inner = to_wait_for(member);
	struct plait_deferred *d;

	if (inner != NULL && chance(2)) {
		d = take(inner);
		return plait_chain(&d);
	}
	switch (chance(3)) {
	case 0:
		return plait_value_take(result);
	case 1:
		return *result;
	default:
		return random_value();
	}
}

static plait_value callback(plait_value *result, void *arg)
{
	struct pair *pair = arg;

	plait_assert(!pair->ran);
	plait_assert(!freed[pair->life]);
	pair->ran = true;
	do_something_inside();
	return answer(result, pair->member);
}

static plait_value canceller(struct plait_deferred *d, void *arg)
{
	do_something_inside();
	return chance(2) ? plait_cancelled() : random_value();
}

/* Takes a few deferreds of higher numbers; says how many. */
static size_t take_some(const struct member *m, struct plait_deferred *ret[])
{
	size_t n = 0;

	for (unsigned left = chance(MAX_LIST); left > 0; left--) {
		struct member *taken = to_wait_for((int)(m - members));

		if (taken != NULL)
			ret[n++] = take(taken);
	}
	return n;
}

static struct plait_deferred *new_list(const struct member *m)
{
	struct plait_deferred *list[MAX_LIST];
	size_t n = take_some(m, list);

	switch (chance(3)) {
	case 0:
		return plait_deferred_list(list, n, chance(8));
	case 1:
		return plait_gather(list, n, chance(8));
	default:
		return plait_race(list, n);
	}
}

static struct plait_deferred *new_one(const struct member *m,
				      struct plait_promise **ret)
{
	switch (chance(6)) {
	case 0:
		return plait_maybe_deferred(random_value());
	case 1:
		return new_list(m);
	default:
		return plait_deferred_new(ret, chance(2) ? canceller : NULL,
					  NULL);
	}
}

static bool can_fill(const struct member *m)
{
	return m->d == NULL && m->p == NULL && n_lives < MAX_LIVES;
}

static void fill(struct member *m)
{
	struct plait_deferred *d;
	struct plait_promise *p = NULL;

	if (!can_fill(m))
		return;
	d = new_one(m, &p);
	/* A new list may have run callbacks, and one of them was here first. */
	if (can_fill(m))
		*m = (struct member){ .d = d, .p = p, .life = n_lives++ };
	else
		plait_deferred_free(&d);
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
		plait_deferred_forward(
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

void tangle_run(tangle_choose *choose, unsigned steps)
{
	memset(members, 0, sizeof(members));
	memset(freed, 0, sizeof(freed));
	n_pairs = n_lives = depth = 0;
	chance = choose;
	while (steps-- > 0)
		do_something();
	end_all();
	plait_assert(tracked_live() == 0);
	trace_clear();
}

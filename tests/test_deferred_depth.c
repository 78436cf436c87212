/*
 * Depth: chains of a million links on a stack of 256 KiB, linked in each way
 * there is and ended in each way there is.  The stack is that of a thread; a
 * recursion over the links would overflow it long before their end, and
 * anything quadratic would run into the time limit.
 */
#include <plait/plait.h>

#include "tests/extreme.h"
#include "tests/harness.h"
#include "tests/steps.h"

static unsigned long ran, failed;

static void setup(void)
{
	ran = failed = 0;
}

static plait_value count(plait_value *result, void *arg)
{
	ran++;
	if (plait_value_is_failure(result))
		failed++;
	return *result;
}

static plait_value return_inner(plait_value *result, void *arg)
{
	return plait_chain((struct plait_deferred **)arg);
}

static struct plait_deferred *counted_outer_of(struct plait_deferred **inner)
{
	return plait_deferred_add_both(waiting_for(inner), count, NULL);
}

/* The outermost of a million, each waiting for the next; the last has p. */
static struct plait_deferred *chain_inwards(struct plait_promise **p)
{
	struct plait_deferred *d = plait_deferred_new(p, NULL, NULL);

	for (unsigned i = 0; i < a_million(); i++)
		d = counted_outer_of(&d);
	return d;
}

static void assert_all_ran(unsigned long links, bool and_failed)
{
	ck_assert_uint_eq(ran, links);
	ck_assert_uint_eq(failed, and_failed ? links : 0);
}

/* ---- implicit: a callback returns the next ------------------------- */

GROUP("implicit", .setup = setup, .timeout = 30);

TEST_ON_SMALL_STACK(million_waiting_links_fire, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = chain_inwards(&p);

	plait_fire(&p, plait_int(1));
	ck_assert_int_eq(plait_value_int(plait_deferred_result(d)), 1);
	plait_deferred_free(&d);
	assert_all_ran(a_million(), false);
}

TEST_ON_SMALL_STACK(million_waiting_links_fail, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = chain_inwards(&p);

	plait_promise_drop(&p);
	handle_all(d);
	plait_deferred_free(&d);
	assert_all_ran(a_million(), true);
}

TEST_ON_SMALL_STACK(million_waiting_links_are_cancelled, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = chain_inwards(&p);

	plait_deferred_cancel(d);
	plait_promise_drop(&p);
	handle_all(d);
	plait_deferred_free(&d);
	assert_all_ran(a_million(), true);
}

TEST_ON_SMALL_STACK(million_waiting_links_are_freed, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = chain_inwards(&p);

	plait_deferred_free(&d);
	plait_promise_drop(&p);
	assert_all_ran(a_million(), true);
}

static plait_value pause_it(struct plait_deferred *d, void *arg)
{
	plait_deferred_pause(d);
	return plait_cancelled();
}

/* The innermost is paused then, so cancelling does not resolve the others. */
TEST_ON_SMALL_STACK(million_links_that_wait_for_a_paused_one_are_freed, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = plait_deferred_new(&p, pause_it, NULL);

	for (unsigned i = 0; i < a_million(); i++)
		d = counted_outer_of(&d);
	plait_deferred_free(&d);
	plait_promise_drop(&p);
	assert_all_ran(0, false);
}

static struct plait_deferred *paused[MILLION];

/* Each has fired, is paused, and waits for the next once that has ended. */
TEST_ON_SMALL_STACK(million_paused_links_go_on_when_they_are_taken, PURE)
{
	for (unsigned i = 0; i < a_million(); i++) {
		paused[i] = plait_succeed(plait_int(i));
		plait_deferred_pause(paused[i]);
		if (i > 0)
			plait_deferred_add_both(paused[i], return_inner,
						&paused[i - 1]);
		plait_deferred_add_both(paused[i], count, NULL);
	}
	plait_deferred_unpause(paused[a_million() - 1]);
	ck_assert_int_eq(
		plait_value_int(plait_deferred_result(paused[a_million() - 1])),
		0);
	plait_deferred_free(&paused[a_million() - 1]);
	assert_all_ran(a_million(), false);
}

TEST_ON_SMALL_STACK(million_detached_links_run_on_and_go, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = chain_inwards(&p);

	plait_deferred_detach(&d);
	plait_fire(&p, plait_int(1));
	assert_all_ran(a_million(), false);
}

/* ---- explicit: plait_deferred_forward() ------------------------------ */

static struct plait_deferred *row[MILLION];
static struct plait_promise *first;

static void chain_row(void)
{
	struct plait_promise *next;

	row[0] = plait_deferred_new(&first, NULL, NULL);
	for (unsigned i = 1; i < a_million(); i++) {
		row[i] = plait_deferred_new(&next, NULL, NULL);
		plait_deferred_forward(row[i - 1], &next);
	}
	for (unsigned i = 0; i < a_million(); i++)
		plait_deferred_add_both(row[i], count, NULL);
}

static void free_row(void)
{
	for (unsigned i = 0; i < a_million(); i++)
		plait_deferred_free(&row[i]);
}

GROUP("explicit", .setup = setup, .timeout = 30);

TEST_ON_SMALL_STACK(million_chained_links_fire, PURE)
{
	chain_row();
	plait_fire(&first, plait_int(1));
	ck_assert_int_eq(
		plait_value_int(plait_deferred_result(row[a_million() - 1])),
		1);
	free_row();
	assert_all_ran(a_million(), false);
}

TEST_ON_SMALL_STACK(million_chained_links_are_cancelled, PURE)
{
	chain_row();
	plait_deferred_cancel(row[0]);
	plait_promise_drop(&first);
	handle_all(row[a_million() - 1]);
	free_row();
	ck_assert_uint_eq(ran, a_million());
	ck_assert_uint_eq(failed, 1);
}

TEST_ON_SMALL_STACK(million_chained_links_are_freed_from_the_front, PURE)
{
	chain_row();
	free_row();
	plait_promise_drop(&first);
	ck_assert_uint_eq(ran, a_million());
}

TEST_ON_SMALL_STACK(million_chained_links_are_freed_from_the_back, PURE)
{
	chain_row();
	for (unsigned i = a_million(); i-- > 0;)
		plait_deferred_free(&row[i]);
	plait_promise_drop(&first);
	ck_assert_uint_eq(ran, a_million());
}

TEST_ON_SMALL_STACK(million_detached_chained_links_run_on_and_go, PURE)
{
	chain_row();
	for (unsigned i = 0; i < a_million(); i++)
		plait_deferred_detach(&row[i]);
	plait_fire(&first, plait_int(1));
	assert_all_ran(a_million(), false);
}

/* A fired link that is paused holds all that are behind it. */
TEST_ON_SMALL_STACK(million_chained_links_are_abandoned, PURE)
{
	unhandled_expect(1);
	chain_row();
	for (unsigned i = 1; i < a_million(); i++)
		plait_deferred_detach(&row[i]);
	plait_deferred_pause(row[0]);
	plait_fire(&first, plait_int(1));
	plait_deferred_free(&row[0]);
	ck_assert_uint_eq(ran, a_million() - 1);
}

/* ---- both in turn -------------------------------------------------- */

GROUP("both", .setup = setup, .timeout = 30);

TEST_ON_SMALL_STACK(million_links_of_both_kinds_in_turn_fire, PURE)
{
	struct plait_promise *p, *next;
	struct plait_deferred *d = plait_deferred_new(&p, NULL, NULL);
	struct plait_deferred *after;

	for (unsigned i = 0; i < a_million() / 2; i++) {
		d = counted_outer_of(&d);
		after = plait_deferred_new(&next, NULL, NULL);
		plait_deferred_forward(d, &next);
		plait_deferred_detach(&d);
		d = after;
	}
	plait_fire(&p, plait_int(1));
	ck_assert_int_eq(plait_value_int(plait_deferred_result(d)), 1);
	plait_deferred_free(&d);
	assert_all_ran(a_million() / 2, false);
}

/* ---- lists, races and shared deferreds, each in the next ------------- */

enum nest { GATHERS, LISTS, RACES, SHARED, IN_TURN, NESTS };

/* Where each level recursed, a thousand did not fit. */
enum { LEVELS = 10000 };

static int levels;
static struct plait_shared *shared[MILLION];
static int n_shared;

static struct plait_deferred *share(struct plait_deferred *d)
{
	shared[n_shared] = plait_shared_new(&d);
	return plait_shared_wait(shared[n_shared++]);
}

/* The outermost of as many, each around the one before; the last is d. */
static struct plait_deferred *nest(enum nest kind, struct plait_deferred *d)
{
	for (int i = 0; i < levels; i++) {
		enum nest this = kind == IN_TURN ? (enum nest)(i % 4) : kind;

		if (this == GATHERS)
			d = plait_gather(&d, 1,
					 PLAIT_DEFERRED_LIST_CONSUME_ERRORS);
		else if (this == LISTS)
			d = plait_deferred_list(
				&d, 1, PLAIT_DEFERRED_LIST_CONSUME_ERRORS);
		else if (this == RACES)
			d = plait_race(&d, 1);
		else
			d = share(d);
		plait_deferred_add_both(d, count, NULL);
	}
	return d;
}

static void free_shared(void)
{
	while (n_shared > 0)
		plait_shared_free(&shared[--n_shared]);
}

static struct plait_deferred *outermost;

static plait_value end_outermost(plait_value *result, void *arg)
{
	plait_deferred_free(&outermost);
	return PLAIT_NONE;
}

/* How a nest ends; the last has fired before it is made. */
enum { FIRE, FAIL, CANCEL, FREE, DETACH, FREE_INSIDE, FIRED, NEST_ENDS };

static void end_nest(enum nest kind, int how)
{
	struct plait_promise *p = NULL;
	struct plait_deferred *d = how == FIRED
					   ? plait_succeed(plait_int(1))
					   : plait_deferred_new(&p, NULL, NULL);
	char text[100];

	if (how == FREE_INSIDE)
		plait_deferred_add_both(d, end_outermost, NULL);
	outermost = nest(kind, d);
	if (how == CANCEL) {
		plait_deferred_cancel(outermost);
	} else if (how == FREE) {
		plait_deferred_free(&outermost);
	} else if (how == DETACH) {
		plait_deferred_detach(&outermost);
		free_shared();
	}
	if (how == FIRE || how == DETACH || how == FREE_INSIDE)
		plait_fire(&p, plait_int(1));
	if (how == FIRE)
		plait_value_str(plait_deferred_result(outermost), text,
				sizeof(text));
	plait_promise_drop(&p);
	if (outermost != NULL)
		handle_all(outermost);
	plait_deferred_free(&outermost);
	free_shared();
}

GROUP("nested", .setup = setup, .timeout = 30);

TEST_ON_SMALL_STACK(nested_ones_end_on_a_small_stack, PURE,
		    EACH_PAIR(NESTS, NEST_ENDS))
{
	levels = LEVELS;
	end_nest((enum nest)(_i % NESTS), _i / NESTS);
	ck_assert_uint_eq(ran, LEVELS);
}

TEST_ON_SMALL_STACK(million_nested_ones_of_all_kinds_end_on_a_small_stack, PURE,
		    TIMES(3))
{
	static const int ends[] = { FIRE, CANCEL, FREE };

	levels = a_million();
	end_nest(IN_TURN, ends[_i]);
	ck_assert_uint_eq(ran, a_million());
}

/* ---- synchronous --------------------------------------------------- */

struct loop {
	struct plait_deferred *d;
	int left;
};

/* Starts the next operation, which is ready at once, and waits for it. */
static plait_value next_operation(plait_value *result, void *arg)
{
	struct loop *l = arg;
	struct plait_deferred *next = plait_succeed(plait_int(l->left));

	ran++;
	if (--l->left > 0)
		plait_deferred_add_callback(l->d, next_operation, l);
	return plait_chain(&next);
}

GROUP("synchronous", .setup = setup, .timeout = 30);

TEST_ON_SMALL_STACK(million_operations_that_are_ready_at_once_are_a_loop, PURE)
{
	struct loop l = { .left = a_million() };

	l.d = plait_succeed(PLAIT_NONE);
	plait_deferred_add_callback(l.d, next_operation, &l);
	ck_assert_int_eq(plait_value_int(plait_deferred_result(l.d)), 1);
	plait_deferred_free(&l.d);
	assert_all_ran(a_million(), false);
}

static plait_value ready_at_once(plait_value *result, void *arg)
{
	struct plait_deferred *next = plait_succeed(plait_value_take(result));

	ran++;
	return plait_chain(&next);
}

TEST_ON_SMALL_STACK(million_callbacks_that_answer_at_once_are_a_loop, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = plait_deferred_new(&p, NULL, NULL);

	for (unsigned i = 0; i < a_million(); i++)
		plait_deferred_add_callback(d, ready_at_once, NULL);
	plait_fire(&p, plait_int(1));
	ck_assert_int_eq(plait_value_int(plait_deferred_result(d)), 1);
	plait_deferred_free(&d);
	assert_all_ran(a_million(), false);
}

/* Each operation is started by the callback of the one before. */
static plait_value next_pending(plait_value *result, void *arg)
{
	struct plait_promise **p = arg;
	struct plait_deferred *next = plait_deferred_new(p, NULL, NULL);

	plait_deferred_add_callback(next, count, NULL);
	plait_deferred_add_callback(next, next_pending, p);
	return plait_chain(&next);
}

TEST_ON_SMALL_STACK(million_operations_one_after_another_resolve_from_the_last,
		    PURE)
{
	struct plait_promise *p, *current;
	struct plait_deferred *d = plait_deferred_new(&p, NULL, NULL);

	plait_deferred_add_callback(d, next_pending, &p);
	for (unsigned i = 0; i < a_million(); i++) {
		current = p;
		plait_fire(&current, plait_int(i));
	}
	ck_assert_ptr_null(plait_deferred_result(d));
	plait_deferred_cancel(d);
	ck_assert(plait_deferred_result(d) != NULL);
	plait_promise_drop(&p);
	handle_all(d);
	plait_deferred_free(&d);
	ck_assert_uint_eq(ran, a_million() - 1);
}

enum kind { ROUNDS_RETURNED, ROUNDS_WAITED_FOR, ROUNDS_WITH_A_LIST };

static enum kind round_kind;
static struct plait_promise *round_promise;

static plait_callback next_round;

/* A worker: each round returns the next one, for ever. */
static struct plait_deferred *begin_round(void)
{
	struct plait_deferred *d =
		plait_deferred_new(&round_promise, NULL, NULL);
	struct plait_deferred *outer;

	if (round_kind == ROUNDS_WITH_A_LIST)
		d = plait_gather(&d, 1, 0);
	plait_deferred_add_callback(d, next_round, NULL);
	if (round_kind != ROUNDS_WAITED_FOR)
		return d;
	outer = plait_succeed(PLAIT_NONE);
	plait_deferred_add_callback(outer, return_inner, &d);
	return outer;
}

static plait_value next_round(plait_value *result, void *arg)
{
	struct plait_deferred *d = begin_round();

	ran++;
	return plait_chain(&d);
}

static void run_rounds(int n)
{
	while (n-- > 0) {
		struct plait_promise *p = round_promise;

		plait_fire(&p, PLAIT_NONE);
	}
}

TEST_ON_SMALL_STACK(million_rounds_of_a_worker_hold_no_more_than_three, PURE,
		    TIMES(3))
{
	struct plait_deferred *d = begin_round();
	unsigned long live;

	round_kind = (enum kind)_i;
	plait_deferred_add_both(d, count, NULL);
	run_rounds(3);
	live = heap_live();
	run_rounds(a_million());
	ck_assert_uint_eq(heap_live(), live);
	ck_assert_ptr_null(plait_deferred_result(d));
	plait_deferred_cancel(d);
	handle_all(d);
	plait_deferred_free(&d);
	plait_promise_drop(&round_promise);
	ck_assert_uint_eq(ran, a_million() + 4);
	ck_assert_uint_eq(failed, 1);
}

/* ---- failures ------------------------------------------------------ */

GROUP("causes", .setup = setup, .timeout = 30);

TEST_ON_SMALL_STACK(million_causes_are_freed, PURE)
{
	plait_value v = plait_fail(&plait_error_any, "first"), effect;

	for (unsigned i = 0; i < a_million(); i++) {
		effect = plait_fail_because(&plait_error_any,
					    plait_value_failure(&v), "next");
		plait_value_free(&v);
		v = effect;
	}
	plait_value_free(&v);
}

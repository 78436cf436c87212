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

enum { LINKS = 1000000 };

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

/* A deferred that waits for *inner, which is taken. */
static struct plait_deferred *waiting_for(struct plait_deferred **inner)
{
	struct plait_deferred *d = plait_succeed(PLAIT_NONE);

	plait_deferred_add_both(d, return_inner, inner);
	return plait_deferred_add_both(d, count, NULL);
}

/* The outermost of a million, each waiting for the next; the last has p. */
static struct plait_deferred *chain_inwards(struct plait_promise **p)
{
	struct plait_deferred *d = plait_deferred_new(p, NULL, NULL);

	for (int i = 0; i < LINKS; i++)
		d = waiting_for(&d);
	return d;
}

static void assert_all_ran(unsigned long links, bool and_failed)
{
	ck_assert_uint_eq(ran, links);
	ck_assert_uint_eq(failed, and_failed ? links : 0);
}

/* ---- implicit: a callback returns the next ------------------------- */

static void *fire_inwards(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *d = chain_inwards(&p);

	plait_fire(&p, plait_int(1));
	ck_assert_int_eq(plait_value_int(plait_deferred_result(d)), 1);
	plait_deferred_free(&d);
	return NULL;
}

GROUP("implicit", .setup = setup, .timeout = 30);

TEST(million_waiting_links_fire, PURE)
{
	on_small_stack(fire_inwards);
	assert_all_ran(LINKS, false);
}

static void *fail_inwards(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *d = chain_inwards(&p);

	plait_promise_drop(&p);
	handle_all(d);
	plait_deferred_free(&d);
	return NULL;
}

TEST(million_waiting_links_fail, PURE)
{
	on_small_stack(fail_inwards);
	assert_all_ran(LINKS, true);
}

static void *cancel_inwards(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *d = chain_inwards(&p);

	plait_deferred_cancel(d);
	plait_promise_drop(&p);
	handle_all(d);
	plait_deferred_free(&d);
	return NULL;
}

TEST(million_waiting_links_are_cancelled, PURE)
{
	on_small_stack(cancel_inwards);
	assert_all_ran(LINKS, true);
}

static void *free_inwards(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *d = chain_inwards(&p);

	plait_deferred_free(&d);
	plait_promise_drop(&p);
	return NULL;
}

TEST(million_waiting_links_are_freed, PURE)
{
	on_small_stack(free_inwards);
	assert_all_ran(LINKS, true);
}

static plait_value pause_it(struct plait_deferred *d, void *arg)
{
	plait_deferred_pause(d);
	return plait_cancelled();
}

/* The innermost is paused then, so cancelling does not resolve the others. */
static void *free_held(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *d = plait_deferred_new(&p, pause_it, NULL);

	for (int i = 0; i < LINKS; i++)
		d = waiting_for(&d);
	plait_deferred_free(&d);
	plait_promise_drop(&p);
	return NULL;
}

TEST(million_links_that_wait_for_a_paused_one_are_freed, PURE)
{
	on_small_stack(free_held);
	assert_all_ran(0, false);
}

static struct plait_deferred *paused[LINKS];

/* Each has fired, is paused, and waits for the next once that has ended. */
static void *take_paused(void *arg)
{
	for (int i = 0; i < LINKS; i++) {
		paused[i] = plait_succeed(plait_int(i));
		plait_deferred_pause(paused[i]);
		if (i > 0)
			plait_deferred_add_both(paused[i], return_inner,
						&paused[i - 1]);
		plait_deferred_add_both(paused[i], count, NULL);
	}
	plait_deferred_unpause(paused[LINKS - 1]);
	ck_assert_int_eq(
		plait_value_int(plait_deferred_result(paused[LINKS - 1])), 0);
	plait_deferred_free(&paused[LINKS - 1]);
	return NULL;
}

TEST(million_paused_links_go_on_when_they_are_taken, PURE)
{
	on_small_stack(take_paused);
	assert_all_ran(LINKS, false);
}

static void *detach_inwards(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *d = chain_inwards(&p);

	plait_deferred_detach(&d);
	plait_fire(&p, plait_int(1));
	return NULL;
}

TEST(million_detached_links_run_on_and_go, PURE)
{
	on_small_stack(detach_inwards);
	assert_all_ran(LINKS, false);
}

/* ---- explicit: plait_deferred_chain() ------------------------------ */

static struct plait_deferred *row[LINKS];
static struct plait_promise *first;

static void chain_row(void)
{
	struct plait_promise *next;

	row[0] = plait_deferred_new(&first, NULL, NULL);
	for (int i = 1; i < LINKS; i++) {
		row[i] = plait_deferred_new(&next, NULL, NULL);
		plait_deferred_chain(row[i - 1], &next);
	}
	for (int i = 0; i < LINKS; i++)
		plait_deferred_add_both(row[i], count, NULL);
}

static void free_row(void)
{
	for (int i = 0; i < LINKS; i++)
		plait_deferred_free(&row[i]);
}

static void *fire_row(void *arg)
{
	chain_row();
	plait_fire(&first, plait_int(1));
	ck_assert_int_eq(plait_value_int(plait_deferred_result(row[LINKS - 1])),
			 1);
	free_row();
	return NULL;
}

GROUP("explicit", .setup = setup, .timeout = 30);

TEST(million_chained_links_fire, PURE)
{
	on_small_stack(fire_row);
	assert_all_ran(LINKS, false);
}

static void *cancel_row(void *arg)
{
	chain_row();
	plait_deferred_cancel(row[0]);
	plait_promise_drop(&first);
	handle_all(row[LINKS - 1]);
	free_row();
	return NULL;
}

TEST(million_chained_links_are_cancelled, PURE)
{
	on_small_stack(cancel_row);
	ck_assert_uint_eq(ran, LINKS);
	ck_assert_uint_eq(failed, 1);
}

static void *free_row_from_its_front(void *arg)
{
	chain_row();
	free_row();
	plait_promise_drop(&first);
	return NULL;
}

TEST(million_chained_links_are_freed_from_the_front, PURE)
{
	on_small_stack(free_row_from_its_front);
	ck_assert_uint_eq(ran, LINKS);
}

static void *free_row_from_its_back(void *arg)
{
	chain_row();
	for (int i = LINKS; i-- > 0;)
		plait_deferred_free(&row[i]);
	plait_promise_drop(&first);
	return NULL;
}

TEST(million_chained_links_are_freed_from_the_back, PURE)
{
	on_small_stack(free_row_from_its_back);
	ck_assert_uint_eq(ran, LINKS);
}

static void *let_row_go(void *arg)
{
	chain_row();
	for (int i = 0; i < LINKS; i++)
		plait_deferred_detach(&row[i]);
	plait_fire(&first, plait_int(1));
	return NULL;
}

TEST(million_detached_chained_links_run_on_and_go, PURE)
{
	on_small_stack(let_row_go);
	assert_all_ran(LINKS, false);
}

/* A fired link that is paused holds all that are behind it. */
static void *abandon_row(void *arg)
{
	chain_row();
	for (int i = 1; i < LINKS; i++)
		plait_deferred_detach(&row[i]);
	plait_deferred_pause(row[0]);
	plait_fire(&first, plait_int(1));
	plait_deferred_free(&row[0]);
	return NULL;
}

TEST(million_chained_links_are_abandoned, PURE)
{
	unhandled_expect(1);
	on_small_stack(abandon_row);
	ck_assert_uint_eq(ran, LINKS - 1);
}

/* ---- both in turn -------------------------------------------------- */

static void *fire_both_kinds(void *arg)
{
	struct plait_promise *p, *next;
	struct plait_deferred *d = plait_deferred_new(&p, NULL, NULL);
	struct plait_deferred *after;

	for (int i = 0; i < LINKS / 2; i++) {
		d = waiting_for(&d);
		after = plait_deferred_new(&next, NULL, NULL);
		plait_deferred_chain(d, &next);
		plait_deferred_detach(&d);
		d = after;
	}
	plait_fire(&p, plait_int(1));
	ck_assert_int_eq(plait_value_int(plait_deferred_result(d)), 1);
	plait_deferred_free(&d);
	return NULL;
}

GROUP("both", .setup = setup, .timeout = 30);

TEST(million_links_of_both_kinds_in_turn_fire, PURE)
{
	on_small_stack(fire_both_kinds);
	assert_all_ran(LINKS / 2, false);
}

/* ---- lists, races and shared deferreds, each in the next ------------- */

enum nest { GATHERS, LISTS, RACES, SHARED, IN_TURN, NESTS };

/* Where each level recursed, a thousand did not fit. */
enum { LEVELS = 10000 };

static int levels;
static struct plait_shared *shared[LINKS];
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
			d = plait_gather(&d, 1, PLAIT_CONSUME_ERRORS);
		else if (this == LISTS)
			d = plait_deferred_list(&d, 1, PLAIT_CONSUME_ERRORS);
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

static enum nest nest_kind;

static void *fire_nest(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *d =
		nest(nest_kind, plait_deferred_new(&p, NULL, NULL));
	char text[100];

	plait_fire(&p, plait_int(1));
	plait_value_str(plait_deferred_result(d), text, sizeof(text));
	plait_deferred_free(&d);
	free_shared();
	return NULL;
}

static void *fail_nest(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *d =
		nest(nest_kind, plait_deferred_new(&p, NULL, NULL));

	plait_promise_drop(&p);
	handle_all(d);
	plait_deferred_free(&d);
	free_shared();
	return NULL;
}

static void *cancel_nest(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *d =
		nest(nest_kind, plait_deferred_new(&p, NULL, NULL));

	plait_deferred_cancel(d);
	plait_promise_drop(&p);
	handle_all(d);
	plait_deferred_free(&d);
	free_shared();
	return NULL;
}

static void *free_nest(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *d =
		nest(nest_kind, plait_deferred_new(&p, NULL, NULL));

	plait_deferred_free(&d);
	plait_promise_drop(&p);
	free_shared();
	return NULL;
}

static void *detach_nest(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *d =
		nest(nest_kind, plait_deferred_new(&p, NULL, NULL));

	plait_deferred_detach(&d);
	free_shared();
	plait_fire(&p, plait_int(1));
	return NULL;
}

static struct plait_deferred *outermost;

static plait_value end_outermost(plait_value *result, void *arg)
{
	plait_deferred_free(&outermost);
	return PLAIT_NONE;
}

static void *free_nest_from_its_innermost(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *d = plait_deferred_new(&p, NULL, NULL);

	plait_deferred_add_both(d, end_outermost, NULL);
	outermost = nest(nest_kind, d);
	plait_fire(&p, PLAIT_NONE);
	free_shared();
	return NULL;
}

/* Each is ready when the next is made around it. */
static void *nest_what_has_fired(void *arg)
{
	struct plait_deferred *d = nest(nest_kind, plait_succeed(plait_int(1)));

	plait_deferred_free(&d);
	free_shared();
	return NULL;
}

static void *(*const nest_ends[])(void *) = {
	fire_nest,	     fail_nest,	  cancel_nest,
	free_nest,	     detach_nest, free_nest_from_its_innermost,
	nest_what_has_fired,
};

enum { NEST_ENDS = sizeof(nest_ends) / sizeof(nest_ends[0]) };

GROUP("nested", .setup = setup, .timeout = 30);

TEST(nested_ones_end_on_a_small_stack, PURE, EACH_PAIR(NESTS, NEST_ENDS))
{
	levels = LEVELS;
	nest_kind = (enum nest)(_i % NESTS);
	on_small_stack(nest_ends[_i / NESTS]);
	ck_assert_uint_eq(ran, LEVELS);
}

TEST(million_nested_ones_of_all_kinds_end_on_a_small_stack, PURE, TIMES(3))
{
	static void *(*const ends[])(void *) = { fire_nest, cancel_nest,
						 free_nest };

	levels = LINKS;
	nest_kind = IN_TURN;
	on_small_stack(ends[_i]);
	ck_assert_uint_eq(ran, LINKS);
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

static void *loop_synchronously(void *arg)
{
	struct loop l = { .left = LINKS };

	l.d = plait_succeed(PLAIT_NONE);
	plait_deferred_add_callback(l.d, next_operation, &l);
	ck_assert_int_eq(plait_value_int(plait_deferred_result(l.d)), 1);
	plait_deferred_free(&l.d);
	return NULL;
}

GROUP("synchronous", .setup = setup, .timeout = 30);

TEST(million_operations_that_are_ready_at_once_are_a_loop, PURE)
{
	on_small_stack(loop_synchronously);
	assert_all_ran(LINKS, false);
}

static plait_value ready_at_once(plait_value *result, void *arg)
{
	struct plait_deferred *next = plait_succeed(plait_take(result));

	ran++;
	return plait_chain(&next);
}

static void *run_many_pairs(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *d = plait_deferred_new(&p, NULL, NULL);

	for (int i = 0; i < LINKS; i++)
		plait_deferred_add_callback(d, ready_at_once, NULL);
	plait_fire(&p, plait_int(1));
	ck_assert_int_eq(plait_value_int(plait_deferred_result(d)), 1);
	plait_deferred_free(&d);
	return NULL;
}

TEST(million_callbacks_that_answer_at_once_are_a_loop, PURE)
{
	on_small_stack(run_many_pairs);
	assert_all_ran(LINKS, false);
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

static void *chain_and_fire(void *arg)
{
	struct plait_promise *p, *current;
	struct plait_deferred *d = plait_deferred_new(&p, NULL, NULL);

	plait_deferred_add_callback(d, next_pending, &p);
	for (int i = 0; i < LINKS; i++) {
		current = p;
		plait_fire(&current, plait_int(i));
	}
	ck_assert_ptr_null(plait_deferred_result(d));
	plait_deferred_cancel(d);
	ck_assert(plait_deferred_result(d) != NULL);
	plait_promise_drop(&p);
	handle_all(d);
	plait_deferred_free(&d);
	return NULL;
}

TEST(million_operations_one_after_another_resolve_from_the_last, PURE)
{
	on_small_stack(chain_and_fire);
	ck_assert_uint_eq(ran, LINKS - 1);
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

static void *work_for_ever(void *arg)
{
	struct plait_deferred *d = begin_round();
	unsigned long live;

	plait_deferred_add_both(d, count, NULL);
	run_rounds(3);
	live = heap_live();
	run_rounds(LINKS);
	ck_assert_uint_eq(heap_live(), live);
	ck_assert_ptr_null(plait_deferred_result(d));
	plait_deferred_cancel(d);
	handle_all(d);
	plait_deferred_free(&d);
	plait_promise_drop(&round_promise);
	return NULL;
}

TEST(million_rounds_of_a_worker_hold_no_more_than_three, PURE, TIMES(3))
{
	round_kind = (enum kind)_i;
	on_small_stack(work_for_ever);
	ck_assert_uint_eq(ran, LINKS + 4);
	ck_assert_uint_eq(failed, 1);
}

/* ---- failures ------------------------------------------------------ */

static void *chain_causes(void *arg)
{
	plait_value v = plait_fail(&plait_error_any, "first"), effect;

	for (int i = 0; i < LINKS; i++) {
		effect = plait_fail_because(&plait_error_any,
					    plait_value_failure(&v), "next");
		plait_value_free(&v);
		v = effect;
	}
	plait_value_free(&v);
	return NULL;
}

GROUP("causes", .setup = setup, .timeout = 30);

TEST(million_causes_are_freed, PURE)
{
	on_small_stack(chain_causes);
}

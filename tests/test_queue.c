/*
 * Queues: values and gets meet in order, whatever the callbacks of gets do,
 * and neither is lost.
 */
#include <plait/plait.h>

#include "tests/extreme.h"
#include "tests/harness.h"
#include "tests/steps.h"

enum { GETS = 4 };

static struct plait_queue *q;
static struct plait_deferred *g[GETS];
static const char *const names[GETS] = { "g0", "g1", "g2", "g3" };

static void setup(void)
{
	steps_setup();
	q = plait_queue_new(SIZE_MAX, SIZE_MAX);
}

static void use_queue(size_t size, size_t backlog)
{
	plait_queue_free(&q);
	q = plait_queue_new(size, backlog);
}

static void done(void)
{
	for (int i = 0; i < GETS; i++)
		plait_deferred_free(&g[i]);
	plait_queue_free(&q);
	ck_assert_uint_eq(tracked_live(), 0);
}

static void get(int i)
{
	g[i] = plait_queue_get(q);
	pass_both(g[i], names[i]);
}

/* So many gets that wait. */
static void wait_for_values(int n)
{
	for (int i = 0; i < n; i++)
		get(i);
}

static int put(intptr_t n)
{
	return plait_queue_put(q, plait_int(n));
}

static const struct plait_error *kind_of(const struct plait_deferred *d)
{
	const plait_value *v = plait_deferred_result(d);

	ck_assert_ptr_nonnull(v);
	return plait_failure_kind(plait_value_failure(v));
}

/* Things to do in a step. */
static void act_put(struct step *s, plait_value *result)
{
	trace_add("put=%d", put(7));
}

static void act_get(struct step *s, plait_value *result)
{
	get(GETS - 1);
}

static void act_close(struct step *s, plait_value *result)
{
	plait_queue_close(q);
}

static void act_free_queue(struct step *s, plait_value *result)
{
	plait_queue_free(&q);
}

static void act_say_sizes(struct step *s, plait_value *result)
{
	trace_add("%zu/%zu", plait_queue_size(q), plait_queue_waiting(q));
}

/* ---- meeting --------------------------------------------------------- */

GROUP("meeting", .setup = setup);

TEST(values_come_out_in_the_order_in_which_they_were_put, PURE)
{
	put(1);
	put(2);
	ck_assert_uint_eq(plait_queue_size(q), 2);
	get(0);
	get(1);
	ck_assert_str_eq(trace(), "g0:1 g1:2");
	ck_assert_uint_eq(plait_queue_size(q), 0);
	done();
}

TEST(gets_are_served_in_order_inside_the_put, PURE)
{
	wait_for_values(2);
	ck_assert_uint_eq(plait_queue_waiting(q), 2);
	put(1);
	ck_assert_str_eq(trace(), "g0:1");
	put(2);
	ck_assert_str_eq(trace(), "g0:1 g1:2");
	ck_assert_uint_eq(plait_queue_waiting(q), 0);
	done();
}

TEST(failure_and_none_are_values_like_others, PURE)
{
	wait_for_values(2);
	plait_queue_put(q, PLAIT_NONE);
	plait_queue_put(q, plait_fail(&plait_error_any, "no"));
	ck_assert_str_eq(trace(), "g0:none g1:Error: no");
	handle_all(g[1]);
	done();
}

/* A promise cannot be fired with one. */
TEST(deferred_is_refused_and_freed, PURE)
{
	struct plait_deferred *d = plait_succeed(tracked("x"));

	get(0);
	ck_assert_int_eq(plait_queue_put(q, plait_chain(&d)), -EINVAL);
	ck_assert_str_eq(trace(), "~x");
	put(1);
	ck_assert_str_eq(trace(), "~x g0:1");
	done();
}

/* ---- bounds ---------------------------------------------------------- */

GROUP("bounds", .setup = setup);

TEST(full_queue_refuses_and_frees_what_is_put, PURE)
{
	use_queue(1, SIZE_MAX);
	ck_assert_int_eq(put(1), 0);
	ck_assert_int_eq(plait_queue_put(q, tracked("x")), -ENOBUFS);
	ck_assert_str_eq(trace(), "~x");
	get(0);
	ck_assert_int_eq(put(2), 0);
	done();
}

static void act_put_inside(struct step *s, plait_value *result)
{
	ck_assert_int_eq(put(2), 0);
	ck_assert_int_eq(put(3), -ENOBUFS);
}

/* It is queued for the second get, until the first one's callback is done. */
TEST(queue_of_no_size_takes_inside_what_the_next_get_waits_for, PURE)
{
	struct step puts = { .name = "g0", .act = act_put_inside };

	use_queue(0, 2);
	g[0] = plait_queue_get(q);
	plait_deferred_add_both(g[0], step, &puts);
	get(1);
	ck_assert_int_eq(put(1), 0);
	ck_assert_str_eq(trace(), "g0:1 g1:2");
	done();
}

TEST(queue_of_no_size_takes_what_somebody_waits_for, PURE)
{
	use_queue(0, SIZE_MAX);
	ck_assert_int_eq(put(1), -ENOBUFS);
	get(0);
	ck_assert_int_eq(put(2), 0);
	ck_assert_str_eq(trace(), "g0:2");
	ck_assert_int_eq(put(3), -ENOBUFS);
	done();
}

TEST(get_beyond_the_backlog_fails, PURE)
{
	use_queue(SIZE_MAX, 1);
	get(0);
	g[1] = plait_queue_get(q);
	ck_assert_ptr_eq(kind_of(g[1]), &plait_error_queue_underflow);
	handle_all(g[1]);
	put(1);
	get(2);
	ck_assert_uint_eq(plait_queue_waiting(q), 1);
	done();
}

TEST(queue_without_backlog_gives_what_is_there, PURE)
{
	use_queue(SIZE_MAX, 0);
	g[0] = plait_queue_get(q);
	ck_assert_ptr_eq(kind_of(g[0]), &plait_error_queue_underflow);
	handle_all(g[0]);
	put(1);
	get(1);
	ck_assert_str_eq(trace(), "g1:1");
	done();
}

/* ---- cancelling ------------------------------------------------------ */

GROUP("cancel", .setup = setup);

TEST(cancelled_get_leaves_and_no_value_is_lost, PURE, TIMES(2))
{
	wait_for_values(2);
	if (_i == 0) {
		plait_deferred_cancel(g[0]);
		handle_all(g[0]);
	}
	plait_deferred_free(&g[0]);
	ck_assert_uint_eq(plait_queue_waiting(q), 1);
	put(1);
	ck_assert_str_eq(trace(), "g0:CancelledError g1:1");
	done();
}

TEST(cancelling_what_was_served_does_not_put_it_back, PURE)
{
	plait_queue_put(q, tracked("x"));
	get(0);
	plait_deferred_cancel(g[0]);
	ck_assert_uint_eq(plait_queue_size(q), 0);
	plait_deferred_free(&g[0]);
	ck_assert_str_eq(trace(), "g0:x ~x");
	done();
}

TEST(detached_get_still_takes_a_value, PURE)
{
	wait_for_values(2);
	plait_deferred_detach(&g[0]);
	plait_queue_put(q, tracked("x"));
	put(2);
	ck_assert_str_eq(trace(), "g0:x ~x g1:2");
	done();
}

/* ---- inside callbacks ------------------------------------------------ */

GROUP("inside callbacks", .setup = setup);

TEST(put_inside_a_get_serves_the_next_after_it, PURE)
{
	struct step puts = { .act = act_put };
	struct step says = { .act = act_say_sizes };

	wait_for_values(3);
	plait_deferred_add_both(g[0], step, &puts);
	plait_deferred_add_both(g[0], step, &says);
	put(1);
	ck_assert_str_eq(trace(), "g0:1 put=0 0/1 g1:7");
	done();
}

TEST(put_inside_when_nobody_else_waits_is_queued, PURE)
{
	struct step puts = { .act = act_put };
	struct step says = { .act = act_say_sizes };

	use_queue(1, 1);
	get(0);
	for (int i = 0; i < 2; i++)
		plait_deferred_add_both(g[0], step, &puts);
	plait_deferred_add_both(g[0], step, &says);
	put(1);
	ck_assert_str_eq(trace(), "g0:1 put=0 put=-105 1/0");
	ck_assert_uint_eq(plait_queue_size(q), 1);
	done();
}

TEST(get_inside_queues_behind_those_who_wait, PURE)
{
	struct step gets = { .act = act_get };
	struct step puts = { .act = act_put };

	use_queue(SIZE_MAX, 2);
	wait_for_values(2);
	for (int i = 0; i < 2; i++)
		plait_deferred_add_both(g[0], step, &puts);
	plait_deferred_add_both(g[0], step, &gets);
	put(1);
	ck_assert_str_eq(trace(), "g0:1 put=0 put=0 g1:7 g3:7");
	done();
}

TEST(value_for_a_get_that_is_cancelled_inside_stays, PURE)
{
	struct step puts = { .act = act_put };
	struct step cancels = { .act = act_cancel };

	wait_for_values(2);
	cancels.d = g[1];
	plait_deferred_add_both(g[0], step, &puts);
	plait_deferred_add_both(g[0], step, &cancels);
	put(1);
	ck_assert_str_eq(trace(), "g0:1 put=0 g1:CancelledError");
	ck_assert_uint_eq(plait_queue_size(q), 1);
	handle_all(g[1]);
	get(2);
	ck_assert_str_eq(trace(), "g0:1 put=0 g1:CancelledError g2:7");
	done();
}

TEST(closed_inside_it_gives_in_order_what_is_there, PURE)
{
	struct step puts = { .act = act_put };
	struct step closes = { .act = act_close };

	wait_for_values(3);
	plait_deferred_add_both(g[0], step, &puts);
	plait_deferred_add_both(g[0], step, &closes);
	plait_deferred_add_both(g[0], step, &puts);
	put(1);
	ck_assert_str_eq(trace(), "g0:1 put=0 g1:7 "
				  "g2:QueueClosed: nothing more will come "
				  "put=-108");
	handle_all(g[2]);
	done();
}

TEST(freed_inside_it_fails_who_waits_and_frees_the_values, PURE)
{
	struct step frees = { .act = act_free_queue };

	wait_for_values(2);
	plait_deferred_add_both(g[0], step, &frees);
	plait_queue_put(q, tracked("x"));
	ck_assert_str_eq(trace(),
			 "g0:x g1:QueueClosed: nothing more will come");
	handle_all(g[1]);
	done();
}

/* ---- closing --------------------------------------------------------- */

GROUP("close", .setup = setup);

TEST(closing_fails_who_waits, PURE)
{
	wait_for_values(2);
	plait_queue_close(q);
	ck_assert_ptr_eq(kind_of(g[0]), &plait_error_queue_closed);
	ck_assert_ptr_eq(kind_of(g[1]), &plait_error_queue_closed);
	plait_queue_close(q);
	handle_all(g[0]);
	handle_all(g[1]);
	done();
}

TEST(closed_queue_gives_what_it_has_and_takes_nothing, PURE)
{
	put(1);
	plait_queue_close(q);
	ck_assert_int_eq(plait_queue_put(q, tracked("x")), -ESHUTDOWN);
	ck_assert_str_eq(trace(), "~x");
	get(0);
	ck_assert_str_eq(trace(), "~x g0:1");
	g[1] = plait_queue_get(q);
	ck_assert_ptr_eq(kind_of(g[1]), &plait_error_queue_closed);
	handle_all(g[1]);
	done();
}

TEST(getting_again_while_it_closes_fails_at_once, PURE)
{
	struct step gets = { .act = act_get };
	struct step puts = { .act = act_put };

	wait_for_values(2);
	plait_deferred_add_both(g[0], step, &gets);
	plait_deferred_add_both(g[0], step, &puts);
	handle_all(g[0]);
	plait_queue_close(q);
	ck_assert_str_eq(trace(), "g0:QueueClosed: nothing more will come "
				  "g3:QueueClosed: nothing more will come "
				  "put=-108 "
				  "g1:QueueClosed: nothing more will come");
	handle_all(g[1]);
	handle_all(g[3]);
	done();
}

TEST(freeing_frees_the_values_in_order, PURE)
{
	plait_queue_put(q, tracked("a"));
	plait_queue_put(q, tracked("b"));
	plait_queue_free(&q);
	ck_assert_ptr_null(q);
	ck_assert_str_eq(trace(), "~a ~b");
	plait_queue_free(&q);
	done();
}

/* ---- every moment, no memory, no stack ------------------------------- */

static plait_value count_settled(plait_value *result, void *arg)
{
	unsigned *n = arg;

	(*n)++;
	return PLAIT_NONE;
}

static void act_on(int action, struct plait_deferred **d)
{
	if (action == 0)
		plait_deferred_cancel(*d);
	else if (action == 1)
		plait_deferred_free(d);
	else if (action == 2)
		plait_deferred_detach(d);
	else if (action == 3)
		plait_queue_close(q);
	else
		plait_queue_free(&q);
}

/* At one moment in the life of three gets something happens to one. */
static void live_through(int who, int when, int action)
{
	unsigned settled[3] = { 0 };

	setup();
	for (int i = 0; i < 3; i++) {
		g[i] = plait_queue_get(q);
		plait_deferred_add_both(g[i], count_settled, &settled[i]);
	}
	for (int i = 0; i <= 3; i++) {
		if (i == when)
			act_on(action, &g[who]);
		if (q != NULL)
			plait_queue_put(q, tracked("x"));
	}
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(settled[i], 1);
	done();
}

GROUP("extremes", .setup = setup, .timeout = 60);

TEST(each_get_settles_once_whatever_happens_when, PURE)
{
	done();
	for (int who = 0; who < 3; who++)
		for (int when = 0; when <= 3; when++)
			for (int action = 0; action < 5; action++)
				live_through(who, when, action);
}

static void whole_life(void)
{
	struct step puts = { .act = act_put };

	setup();
	if (q == NULL) {
		ck_assert_int_eq(errno, ENOMEM);
		return;
	}
	wait_for_values(2);
	plait_deferred_add_both(g[0], step, &puts);
	plait_queue_put(q, tracked("a"));
	plait_queue_put(q, tracked("b"));
	plait_queue_put(q, tracked("c"));
	get(2);
	get(3);
	plait_queue_close(q);
	for (int i = 0; i < GETS; i++)
		handle_all(g[i]);
	done();
}

TEST(no_value_is_lost_when_memory_runs_out, PURE)
{
	done();
	without_each_allocation(whole_life);
}

TEST(put_without_memory_says_so_and_frees, PURE)
{
	fault_alloc_at(0, false);
	ck_assert_int_eq(plait_queue_put(q, tracked("x")), -ENOMEM);
	ck_assert_str_eq(trace(), "~x");
	done();
}

TEST(put_for_a_get_that_waits_needs_no_memory, PURE)
{
	get(0);
	fault_alloc_at(0, true);
	ck_assert_int_eq(put(1), 0);
	fault_alloc_off();
	ck_assert_str_eq(trace(), "g0:1");
	done();
}

TEST(get_without_memory_leaves_the_value, PURE)
{
	put(1);
	fault_alloc_at(0, false);
	g[0] = plait_queue_get(q);
	ck_assert_ptr_eq(kind_of(g[0]), &plait_error_no_memory);
	get(1);
	ck_assert_str_eq(trace(), "g1:1");
	done();
}

enum { MILLION = 1000000 };

static unsigned long served;

/* How a million gets are ended. */
enum { PUT_INSIDE, CLOSE, FREE };
static int how;

static plait_value put_next(plait_value *result, void *arg)
{
	served++;
	if (how == PUT_INSIDE)
		plait_queue_put(arg, plait_int(1));
	return PLAIT_NONE;
}

static void *million_gets(void *arg)
{
	struct plait_queue *queue = plait_queue_new(SIZE_MAX, SIZE_MAX);

	for (int i = 0; i < MILLION; i++) {
		struct plait_deferred *d = plait_queue_get(queue);

		plait_deferred_add_both(d, put_next, queue);
		plait_deferred_detach(&d);
	}
	if (how == PUT_INSIDE)
		plait_queue_put(queue, plait_int(1));
	else if (how == CLOSE)
		plait_queue_close(queue);
	plait_queue_free(&queue);
	return NULL;
}

TEST(million_gets_end_on_a_small_stack, PURE, TIMES(3))
{
	done();
	how = _i;
	on_small_stack(million_gets);
	ck_assert_uint_eq(served, MILLION);
}

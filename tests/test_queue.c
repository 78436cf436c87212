/*
 * Queues: values and gets meet in order, whatever the callbacks of gets do,
 * and neither is lost.
 */
#include <plait/plait.h>

#include "tests/extreme.h"
#include "tests/harness.h"
#include "tests/script.h"

enum { GETS = 4 };

static struct plait_queue *q;
static struct plait_deferred *g[GETS];
static const char *const names[GETS] = { "g0", "g1", "g2", "g3" };

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

/* Things to do in a step. */
static void act_put(struct step *s, plait_value *result)
{
	trace_add("put=%d", put(7));
}

/* The verbs of this suite. */
static void do_queue(void)
{
	size_t size = (size_t)play_number();

	plait_queue_free(&q);
	q = plait_queue_new(size, (size_t)play_number());
}

static struct plait_deferred *get_one(void)
{
	return plait_queue_get(q);
}

static void do_get(void)
{
	script_make_each(get_one);
}

static void do_put(void)
{
	while (play_more())
		script_errno(plait_queue_put(q, script_value()));
}

static void do_size(void)
{
	trace_add("%zu/%zu", plait_queue_size(q), plait_queue_waiting(q));
}

static void do_close(void)
{
	plait_queue_shutdown(q);
}

static void do_free_queue(void)
{
	plait_queue_free(&q);
	ck_assert_ptr_null(q);
}

static const struct play_verb verbs[] = {
	{ "queue", do_queue }, /* SIZE BACKLOG: a new one with these bounds */
	{ "get", do_get },     { "put", do_put },
	{ "size?", do_size }, /* VALUES/GETS that wait */
	{ "close", do_close }, { "free_queue", do_free_queue },
	{ NULL, NULL },
};

static void setup(void)
{
	steps_setup();
	q = plait_queue_new(SIZE_MAX, SIZE_MAX);
	play_words(verbs, done);
}

/* ---- meeting --------------------------------------------------------- */

GROUP("meeting", .setup = setup);

SCRIPT(values_come_out_in_the_order_in_which_they_were_put, PURE,
       "put 1 2; size? | get a b; size?", "2/0 | a:1 b:2 0/0")

SCRIPT(gets_are_served_in_order_inside_the_put, PURE,
       "get a b; size? | put 1 | put 2; size?", "0/2 | a:1 | b:2 0/0")

SCRIPT(failure_and_none_are_values_like_others, PURE,
       "get a b | put none Error:no", "| a:none b:Error: no")

/* A promise cannot be fired with one. */
SCRIPT(deferred_is_refused_and_freed, PURE, "fired d ~x; get a | put d | put 1",
       "| ~x EINVAL | a:1")

/* ---- bounds ---------------------------------------------------------- */

GROUP("bounds", .setup = setup);

SCRIPT(full_queue_refuses_and_frees_what_is_put, PURE,
       "queue 1 9; put 1 | put ~x | get a; put 2; size?",
       "| ~x ENOBUFS | a:1 1/0")

/* It is queued for the second get, until the first one's callback is done. */
SCRIPT(queue_of_no_size_takes_inside_what_the_next_get_waits_for, PURE,
       "queue 0 2; get a; both a { put 2; put 3 }; get b | put 1",
       "| a:1 ENOBUFS b:2")

SCRIPT(queue_of_no_size_takes_what_somebody_waits_for, PURE,
       "queue 0 9; put 1 | get a; put 2 | put 3", "ENOBUFS | a:2 | ENOBUFS")

SCRIPT(get_beyond_the_backlog_fails, PURE,
       "queue 9 1; get a b | put 1 | get c; size?",
       "b:QueueUnderflow: 1 wait already | a:1 | 0/1")

SCRIPT(queue_without_backlog_gives_what_is_there, PURE,
       "queue 9 0; get a | put 1; get b",
       "a:QueueUnderflow: 0 wait already | b:1")

/* ---- cancelling ------------------------------------------------------ */

GROUP("cancel", .setup = setup);

SCRIPTS(cancelled_get_leaves_and_no_value_is_lost, PURE,
	{ "get a b | cancel a; catch a = none; free a; size? | put 1",
	  "| a:CancelledError 0/1 | b:1" },
	{ "get a b | free a; size? | put 1", "| a:CancelledError 0/1 | b:1" })

SCRIPT(cancelling_what_was_served_does_not_put_it_back, PURE,
       "put ~x; get a | cancel a; size? | free a", "a:x | 0/0 | ~x")

SCRIPT(detached_get_still_takes_a_value, PURE,
       "get a b; detach a | put ~x | put 2", "| a:x ~x | b:2")

/* ---- inside callbacks ------------------------------------------------ */

GROUP("inside callbacks", .setup = setup);

SCRIPT(put_inside_a_get_serves_the_next_after_it, PURE,
       "get a b c; both a { put 7; size? } | put 1", "| a:1 0/1 b:7")

SCRIPT(put_inside_when_nobody_else_waits_is_queued, PURE,
       "queue 1 1; get a; both a { put 7; size?; put 7; size? } | put 1; size?",
       "| a:1 1/0 ENOBUFS 1/0 1/0")

SCRIPT(get_inside_queues_behind_those_who_wait, PURE,
       "queue 9 2; get a b; both a { put 7 7; get c } | put 1", "| a:1 b:7 c:7")

SCRIPT(value_for_a_get_that_is_cancelled_inside_stays, PURE,
       "get a b; both a { put 7 }; both a { cancel b } | put 1; size? | get c",
       "| a:1 b:CancelledError 1/0 | c:7")

SCRIPT(closed_inside_it_gives_in_order_what_is_there, PURE,
       "get a b c; both a { put 7 }; both a { close }; both a { put 7 } | put "
       "1",
       "| a:1 b:7 c:QueueShutDown: nothing more will come ESHUTDOWN")

SCRIPT(freed_inside_it_fails_who_waits_and_frees_the_values, PURE,
       "get a b; both a { free_queue } | put ~x",
       "| a:x b:QueueShutDown: nothing more will come")

/* ---- closing --------------------------------------------------------- */

GROUP("close", .setup = setup);

SCRIPT(closing_fails_who_waits, PURE, "get a b | close | close",
       "| a:QueueShutDown: nothing more will come b:QueueShutDown: nothing "
       "more "
       "will come |")

SCRIPT(closed_queue_gives_what_it_has_and_takes_nothing, PURE,
       "put 1; close | put ~x | get a | get b",
       "| ~x ESHUTDOWN | a:1 | b:QueueShutDown: nothing more will come")

SCRIPT(getting_again_while_it_closes_fails_at_once, PURE,
       "get a b; both a { get c }; both a { put 7 }; catch a = none | close",
       "| a:QueueShutDown: nothing more will come c:QueueShutDown: nothing "
       "more "
       "will come ESHUTDOWN b:QueueShutDown: nothing more will come")

SCRIPT(freeing_frees_the_values_in_order, PURE,
       "put ~a ~b | free_queue | free_queue", "| ~a ~b |")

/* ---- every moment, no memory, no stack ------------------------------- */

static void act_on(int action, struct plait_deferred **d)
{
	if (action == 0)
		plait_deferred_cancel(*d);
	else if (action == 1)
		plait_deferred_free(d);
	else if (action == 2)
		plait_deferred_detach(d);
	else if (action == 3)
		plait_queue_shutdown(q);
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
	plait_queue_shutdown(q);
	for (int i = 0; i < GETS; i++)
		handle_all(g[i]);
	done();
}

TEST(no_value_is_lost_when_memory_runs_out, PURE)
{
	done();
	without_each_allocation(whole_life);
}

SCRIPT(put_without_memory_says_so_and_frees, PURE, "refuse 0 { put ~x }",
       "~x ENOMEM")

TEST(put_for_a_get_that_waits_needs_no_memory, PURE)
{
	get(0);
	fault_alloc_at(0, true);
	ck_assert_int_eq(put(1), 0);
	fault_alloc_off();
	ck_assert_str_eq(trace(), "g0:1");
	done();
}

SCRIPT(get_without_memory_leaves_the_value, PURE,
       "put 1; refuse 0 { get a } | get b", "a:NoMemoryError | b:1")

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

GROUP("extremes", .setup = steps_setup, .timeout = 60);

TEST_ON_SMALL_STACK(million_gets_end_on_a_small_stack, PURE, TIMES(3))
{
	struct plait_queue *queue = plait_queue_new(SIZE_MAX, SIZE_MAX);

	how = _i;
	for (unsigned i = 0; i < a_million(); i++) {
		struct plait_deferred *d = plait_queue_get(queue);

		plait_deferred_add_both(d, put_next, queue);
		plait_deferred_detach(&d);
	}
	if (how == PUT_INSIDE)
		plait_queue_put(queue, plait_int(1));
	else if (how == CLOSE)
		plait_queue_shutdown(queue);
	plait_queue_free(&queue);
	ck_assert_uint_eq(served, a_million());
}

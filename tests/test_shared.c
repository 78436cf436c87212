/*
 * One operation for many: each waiter has the result or goes alone, and the
 * operation lives exactly as long as somebody could want it.
 */
#include <plait/plait.h>

#include "tests/child.h"
#include "tests/extreme.h"
#include "tests/harness.h"
#include "tests/script.h"

enum { WAITERS = 3 };

static struct plait_shared *s;
static struct plait_promise *work;
static struct step canceller;
static struct plait_deferred *w[WAITERS + 1];
static const char *const names[WAITERS + 1] = { "w0", "w1", "w2", "again" };

static struct plait_deferred *make_operation(void)
{
	canceller = (struct step){ .name = "op" };
	return plait_deferred_new(&work, step_canceller, &canceller);
}

static void share(struct plait_deferred *operation)
{
	s = plait_shared_new(&operation);
	ck_assert_ptr_null(operation);
}

static void set_up(void)
{
	steps_setup();
	share(make_operation());
}

static void done(void)
{
	for (int i = 0; i <= WAITERS; i++)
		plait_deferred_free(&w[i]);
	plait_shared_free(&s);
	ck_assert(plait_promise_is_cancelled(work));
	plait_promise_drop(&work);
	ck_assert_uint_eq(tracked_live(), 0);
}

static void wait_for(int i)
{
	w[i] = plait_shared_wait(s);
	pass_both(w[i], names[i]);
}

static void wait_all(void)
{
	for (int i = 0; i < WAITERS; i++)
		wait_for(i);
}

static void handle_waiters(void)
{
	for (int i = 0; i < WAITERS; i++)
		handle_all(w[i]);
}

/* The verbs of this suite. */
static void do_share(void)
{
	struct plait_deferred *d = script_take(script_known());

	share(d);
}

static struct plait_deferred *wait_one(void)
{
	return plait_shared_wait(s);
}

static void do_wait(void)
{
	script_make_each(wait_one);
}

static void do_waiting(void)
{
	trace_add("%zu wait for %s", plait_shared_waiting(s),
		  plait_shared_is_fired(s) ? "nothing" : "it");
}

static void do_free_shared(void)
{
	plait_shared_free(&s);
	ck_assert_ptr_null(s);
}

static const struct play_verb verbs[] = {
	{ "share", do_share },
	{ "wait", do_wait },
	{ "waiting?", do_waiting },
	{ "free_shared", do_free_shared },
	{ NULL, NULL },
};

static void end_script(void)
{
	plait_shared_free(&s);
}

static void setup(void)
{
	steps_setup();
	play_words(verbs, end_script);
}

#define SHARE "new op !op; share op; "

/* ---- sharing --------------------------------------------------------- */

GROUP("share", .setup = setup);

SCRIPT(all_who_wait_have_the_result_in_order, PURE,
       SHARE "wait a b c; waiting? | fire op &poem; waiting?; live?",
       "3 wait for it | a:poem b:poem c:poem 0 wait for nothing 4 live")

SCRIPT(who_comes_later_has_it_at_once, PURE, SHARE "fire op &poem | wait a b c",
       "| a:poem b:poem c:poem")

SCRIPT(operation_that_has_fired_can_be_shared, PURE,
       "fired op 5; share op; waiting?; wait a b", "0 wait for nothing a:5 b:5")

SCRIPT(failure_goes_to_all_and_each_may_handle_it, PURE,
       SHARE "wait a b c; fire op Error:no; catch a = none; catch b = none; "
	     "catch c = none; free a; free b; free c; free_shared",
       "a:Error: no b:Error: no c:Error: no")

SCRIPT(failure_that_nobody_was_told_is_reported_when_it_is_freed, PURE,
       SHARE "fire op Error:no | free_shared", "| ?Error: no")

SCRIPT(cancellation_of_freeing_that_nobody_was_told_is_not_reported, PURE,
       SHARE "new first; chain first op; free first; waiting?; free_shared",
       "0 wait for nothing")

/* It was not cancelled because nobody waits. */
SCRIPT(cancellation_that_comes_from_elsewhere_is_reported, PURE,
       SHARE "new first; chain first op; cancel first | free_shared",
       "| ?CancelledError")

SCRIPT(failure_that_somebody_was_told_is_his, PURE,
       SHARE "fire op Error:no; wait a; catch a = none; free a; free_shared",
       "a:Error: no")

/* ---- what has but one owner ------------------------------------------ */

GROUP("one owner", .setup = setup);

SCRIPTS(value_with_one_owner_goes_to_the_only_waiter, PURE,
	{ SHARE "wait a; fire op ~x; free a | free_shared", "a:x ~x |" },
	{ SHARE "fire op ~x; wait a; free a | free_shared", "a:x ~x |" })

SCRIPT(value_with_one_owner_stays_when_there_is_no_memory_to_give_it, PURE,
       SHARE "fire op ~x; refuse_all 0 { wait a } | wait b",
       "a:NoMemoryError | b:x")

SCRIPT(value_with_one_owner_that_nobody_has_is_freed, PURE,
       SHARE "fire op ~x | free_shared", "| ~x")

static void share_between_two(void *arg)
{
	share(make_operation());
	wait_for(0);
	plait_fire(&work, tracked("x"));
	wait_for(1);
}

TEST(value_with_one_owner_and_two_waiters_aborts, PURE)
{
	assert_aborts(share_between_two, NULL,
		      "a value of type tracked can have only one owner");
	done();
}

/* ---- going ----------------------------------------------------------- */

GROUP("go", .setup = setup);

SCRIPTS(waiter_goes_alone, PURE,
	{ SHARE "wait a b c; cancel b; catch b = none; free b; waiting? | fire "
		"op &poem",
	  "b:CancelledError 2 wait for it | a:poem c:poem" },
	{ SHARE "wait a b c; free b; waiting? | fire op &poem",
	  "b:CancelledError 2 wait for it | a:poem c:poem" })

SCRIPT(last_who_goes_cancels_the_operation, PURE,
       SHARE "wait a b; free a | free b; wanted op",
       "a:CancelledError | !op b:CancelledError op unwanted")

SCRIPT(who_comes_after_all_have_gone_has_that_cancellation, PURE,
       SHARE "wait a; free a | wait b; why b",
       "!op a:CancelledError | b:CancelledError b=CancelledError(nobody waits "
       "any more)")

SCRIPT(waiter_that_has_the_result_may_go_without_harm, PURE,
       SHARE "wait a; fire op &poem; cancel a; free a | wait b",
       "a:poem | b:poem")

SCRIPT(operation_that_fails_otherwise_when_given_up_is_reported, PURE,
       "new op !op = Error:broken; share op; wait a; free a | free_shared",
       "!op a:CancelledError | ?Error: broken")

SCRIPTS(operation_that_answers_its_cancel_with_a_value_has_that, PURE,
	{ "new op !op = ~x; share op; wait a; free a | wait b",
	  "!op a:CancelledError | b:x" },
	{ "new op !op = ~x; share op; wait a; free a | free_shared",
	  "!op a:CancelledError | ~x" })

/* An operation that has something to clear up when it is cancelled. */
SCRIPTS(operation_that_clears_up_is_waited_for, PURE,
	{ "new op !op; new clearing !clearing; catch op = clearing; share op; "
	  "wait a; free a; waiting? | wait b; fire clearing &poem",
	  "!op a:CancelledError 0 wait for it | b:poem" },
	{ "new op !op; new clearing !clearing; catch op = clearing; share op; "
	  "wait a; free a; waiting? | wait b; free b",
	  "!op a:CancelledError 0 wait for it | !clearing b:CancelledError" })

SCRIPT(freed_one_does_not_wait_for_the_operation_to_clear_up, PURE,
       "new op !op; new clearing !clearing; catch op = clearing; share op | "
       "free_shared",
       "| !op !clearing")

/* ---- freeing it ------------------------------------------------------ */

GROUP("free", .setup = setup);

SCRIPT(freeing_with_nobody_waiting_cancels, PURE,
       SHARE "free_shared | free_shared", "!op |")

SCRIPTS(freeing_leaves_those_who_wait, PURE,
	{ SHARE "wait a b c; free_shared; free a | fire op &poem",
	  "a:CancelledError | b:poem c:poem" },
	{ SHARE "wait a b c; free_shared; free a | free b; free c",
	  "a:CancelledError | b:CancelledError !op c:CancelledError" },
	{ SHARE "wait a; free_shared | fire op &poem", "| a:poem" })

/* ---- inside delivery ------------------------------------------------- */

GROUP("inside", .setup = setup);

SCRIPT(waiter_may_cancel_the_others_inside, PURE,
       SHARE "wait a b c; both a { cancel b }; fire op &poem",
       "a:poem b:CancelledError c:poem")

SCRIPT(last_who_goes_inside_delivery_cancels_nothing, PURE,
       SHARE "wait a b; both a { free b }; fire op &poem",
       "a:poem b:CancelledError")

SCRIPT(waiting_inside_delivery_has_it_at_once, PURE,
       SHARE "wait a b; both a { wait again }; fire op &poem",
       "a:poem again:poem b:poem")

SCRIPTS(freed_inside_delivery_it_still_delivers, PURE,
	{ SHARE "wait a b; both a { free_shared }; fire op &poem",
	  "a:poem b:poem" },
	{ SHARE "wait a b; both b { free_shared }; fire op &poem",
	  "a:poem b:poem" })

SCRIPT(freed_inside_the_canceller_of_its_operation, PURE,
       "new op !op { free_shared }; share op; wait a; free a",
       "!op a:CancelledError")

SCRIPT(waiting_inside_the_canceller_has_what_it_answers, PURE,
       "new op !op { wait again }; share op; wait a; free a",
       "!op again:CancelledError a:CancelledError")

SCRIPT(list_that_fires_early_ends_its_rest_when_it_is_shared, PURE,
       "new op !op; fired b 5; list all +callback op b; share all | wait a",
       "!op | a:1: 5")

/* ---- every moment, no memory, no stack ------------------------------- */

static void act_on(int action, struct plait_deferred **d)
{
	if (action == 0)
		plait_deferred_cancel(*d);
	else if (action == 1)
		plait_deferred_free(d);
	else if (action == 2)
		plait_deferred_detach(d);
	else
		plait_shared_free(&s);
}

/* Three moments: something happens to a waiter, or to the handle, at two. */
static void live_through(int first, int second, int when)
{
	unsigned settled[2] = { 0 };

	set_up();
	for (int i = 0; i < 2; i++) {
		w[i] = plait_shared_wait(s);
		plait_deferred_add_both(w[i], count_settled, &settled[i]);
	}
	if (when > 0)
		act_on(first, &w[0]);
	if (when > 1)
		act_on(second, &w[1]);
	plait_fire(&work, owned_by_many("poem"));
	if (when <= 0)
		act_on(first, &w[0]);
	if (when <= 1)
		act_on(second, &w[1]);
	ck_assert_uint_eq(settled[0], 1);
	ck_assert_uint_eq(settled[1], 1);
	done();
}

GROUP("extremes", .setup = setup, .timeout = 60);

TEST(each_waiter_settles_once_whatever_happens_when, PURE)
{
	for (int first = 0; first < 4; first++)
		for (int second = 0; second < 4; second++)
			for (int when = 0; when < 3; when++)
				live_through(first, second, when);
}

static void whole_life(void)
{
	struct plait_deferred *operation;

	steps_setup();
	operation = make_operation();
	for (int i = 0; i < 4; i++)
		pass_both(operation, "op");
	s = plait_shared_new(&operation);
	if (s == NULL) {
		ck_assert_int_eq(errno, ENOMEM);
		plait_promise_drop(&work);
		return;
	}
	wait_all();
	handle_waiters();
	plait_deferred_free(&w[1]);
	plait_fire(&work, owned_by_many("poem"));
	wait_for(WAITERS);
	handle_all(w[WAITERS]);
	done();
}

TEST(nothing_is_lost_when_memory_runs_out, PURE)
{
	without_each_allocation(whole_life);
}

SCRIPT(operation_without_room_for_the_pair_is_ended, PURE,
       "new op !op; then op; then op; then op; then op; refuse 1 { share op } "
       "| wait a",
       "!op | a:NoMemoryError")

TEST_ON_SMALL_STACK(million_waiters_end_on_a_small_stack, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = plait_deferred_new(&p, NULL, NULL);
	struct plait_shared *shared = plait_shared_new(&d);

	for (unsigned i = 0; i < a_million(); i++) {
		d = plait_shared_wait(shared);
		plait_deferred_detach(&d);
	}
	plait_shared_free(&shared);
	plait_fire(&p, plait_int(1));
}

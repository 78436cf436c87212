/*
 * Events: a wake reaches all who wait, each once, whatever their callbacks do.
 */
#include <plait/plait.h>

#include "tests/extreme.h"
#include "tests/harness.h"
#include "tests/script.h"

static struct plait_event *e;

static void done(void)
{
	plait_event_free(&e);
	ck_assert_uint_eq(tracked_live(), 0);
}

/* The verbs of this suite. */
static struct plait_deferred *wait_one(void)
{
	return plait_event_wait(e);
}

static void do_wait(void)
{
	script_make_each(wait_one);
}

static void do_wake(void)
{
	script_errno(plait_event_wake(e, script_value()));
}

static void do_set(void)
{
	script_errno(plait_event_set(e, script_value()));
}

static void do_clear(void)
{
	plait_event_clear(e);
}

static void do_state(void)
{
	trace_add("%s/%zu", plait_event_is_set(e) ? "set" : "not",
		  plait_event_waiting(e));
}

static void do_free_event(void)
{
	plait_event_free(&e);
	ck_assert_ptr_null(e);
}

static const struct play_verb verbs[] = {
	{ "wait", do_wait },
	{ "wake", do_wake },
	{ "set", do_set },
	{ "clear", do_clear },
	{ "state?", do_state }, /* whether it is set, and how many wait */
	{ "free_event", do_free_event },
	{ NULL, NULL },
};

static void setup(void)
{
	steps_setup();
	e = plait_event_new();
	play_words(verbs, done);
}

/* ---- waking ---------------------------------------------------------- */

GROUP("wake", .setup = setup);

SCRIPT(all_who_wait_are_woken_in_order_inside_the_wake, PURE,
       "wait a b c; state? | wake &poem | state?; live?",
       "not/3 | a:poem b:poem c:poem | not/0 3 live")

SCRIPT(who_comes_later_waits_for_the_next_wake, PURE,
       "wake 1; wait a; state? | wake 2; wait b | wake 3", "not/1 | a:2 | b:3")

SCRIPT(value_that_nobody_waits_for_is_freed, PURE,
       "wake &poem; live? | wait a; free a; wake &poem; live?",
       "0 live | a:CancelledError 0 live")

SCRIPT(failure_fails_all_who_wait, PURE, "wait a b | wake Error:no; wake none",
       "| a:Error: no b:Error: no")

SCRIPT(failure_that_nobody_waits_for_is_not_reported, PURE,
       "wake Error:no; set Error:no; clear; set Error:no; free_event", "")

SCRIPTS(value_that_many_cannot_have_is_refused_and_freed, PURE,
	{ "wait a; wake ~x; state?", "~x EINVAL not/1" },
	{ "wait a; set ~x; state?", "~x EINVAL not/1" },
	{ "set 1; set ~x; wait a", "~x EINVAL a:1" },
	{ "fired d 5; wait a; wake d; state?", "EINVAL not/1" },
	{ "new d !d; set d; state?", "!d EINVAL not/0" })

/* ---- an event that is set -------------------------------------------- */

GROUP("set", .setup = setup);

SCRIPT(set_event_gives_its_value_at_once, PURE,
       "wait a b | set &poem; state? | wait c | free_event; live?",
       "| a:poem b:poem set/0 | c:poem | 3 live")

SCRIPT(set_again_it_has_the_new_value, PURE,
       "set &old; live? | set &new; live?; wait a; free a | set none; wait b; "
       "live?",
       "1 live | 1 live a:new | b:none 0 live")

SCRIPT(cleared_event_is_waited_for_again, PURE,
       "set &poem; clear; clear; state?; live?; wait a | wake 1",
       "not/0 0 live | a:1")

SCRIPT(set_to_a_failure_each_wait_fails, PURE, "set Error:no; wait a; wait b",
       "a:Error: no b:Error: no")

SCRIPT(wake_of_a_set_event_leaves_it_set, PURE, "set 1; wake 2; wait a; state?",
       "a:1 set/0")

/* ---- going ----------------------------------------------------------- */

GROUP("go", .setup = setup);

SCRIPTS(cancelled_wait_leaves_the_others, PURE,
	{ "wait a b c; cancel b; catch b = none; free b; state? | wake 1",
	  "b:CancelledError not/2 | a:1 c:1" },
	{ "wait a b c; free a; free b; free c; state? | wait d; wake 1",
	  "a:CancelledError b:CancelledError c:CancelledError not/0 | d:1" })

SCRIPT(detached_wait_is_woken, PURE, "wait a; detach a | wake 1", "| a:1")

SCRIPT(freeing_fails_who_waits, PURE, "wait a b | free_event | free_event",
       "| a:AbandonedError: the event was freed b:AbandonedError: the event "
       "was freed |")

/* ---- inside callbacks ------------------------------------------------ */

GROUP("inside callbacks", .setup = setup);

SCRIPT(waiting_again_inside_waits_for_the_next_wake, PURE,
       "wait a b; both a { wait c } | wake 1; state? | wake 2",
       "| a:1 b:1 not/1 | c:2")

SCRIPT(wake_inside_comes_after_the_first, PURE,
       "wait a b; both a { wait c; wake 2; state?; wait d }; both b { wake 3 } "
       "| wake 1; state?",
       "| a:1 not/0 b:1 c:2 d:3 not/0")

SCRIPT(wake_inside_without_a_new_wait_wakes_nobody, PURE,
       "wait a b; both a { wake &x; live? } | wake 1", "| a:1 0 live b:1")

SCRIPT(set_inside_comes_after_the_first, PURE,
       "wait a b; both a { wait c; set 2; wait d } | wake 1; state?",
       "| a:1 d:2 b:1 c:2 set/0")

SCRIPT(cleared_inside_the_set_all_have_the_value, PURE,
       "wait a b; both a { clear; wait c } | set &poem; state?",
       "| a:poem b:poem not/1")

SCRIPT(cancelled_inside_a_wait_is_not_woken, PURE,
       "wait a b c; both a { free b } | wake 1", "| a:1 b:CancelledError c:1")

SCRIPT(freed_inside_who_was_woken_has_the_value, PURE,
       "wait a b; both a { wait c; free_event } | wake &poem; live?",
       "| a:poem b:poem c:AbandonedError: the event was freed 2 live")

SCRIPT(freed_inside_wakes_come_in_order_before_the_end, PURE,
       "wait a b; both a { wait c; wake 2; wait d; free_event } | wake 1",
       "| a:1 b:1 c:2 d:AbandonedError: the event was freed")

static struct plait_event *kept;

static plait_value use_kept(plait_value *result, void *arg)
{
	struct plait_deferred *d = plait_event_wait(kept);

	pass_both(d, "late");
	handle_all(d);
	plait_deferred_free(&d);
	ck_assert_int_eq(plait_event_wake(kept, plait_int(1)), 0);
	return PLAIT_NONE;
}

TEST(waiting_while_it_is_freed_fails_at_once, PURE)
{
	struct plait_deferred *d = plait_event_wait(e);

	kept = e;
	plait_deferred_add_both(d, use_kept, NULL);
	plait_event_free(&e);
	ck_assert_str_eq(trace(), "late:AbandonedError: the event was freed");
	plait_deferred_free(&d);
	done();
}

/* ---- every moment, no memory, no stack ------------------------------- */

enum { WAITS = 3, ACTIONS = 7 };

static void act_on(int action, struct plait_deferred **d)
{
	if (action == 0)
		plait_deferred_cancel(*d);
	else if (action == 1)
		plait_deferred_free(d);
	else if (action == 2)
		plait_deferred_detach(d);
	else if (action == 3)
		plait_event_wake(e, owned_by_many("x"));
	else if (action == 4)
		plait_event_set(e, owned_by_many("y"));
	else if (action == 5)
		plait_event_clear(e);
	else
		plait_event_free(&e);
}

static struct plait_deferred *waits[WAITS];
static int whom, action;

static plait_value act_inside(plait_value *result, void *arg)
{
	act_on(action, &waits[whom]);
	return PLAIT_NONE;
}

/* In the callback of one of three, something happens to one, or to the event.
 */
static void live_through(int who)
{
	unsigned settled[WAITS] = { 0 };

	setup();
	for (int i = 0; i < WAITS; i++) {
		waits[i] = plait_event_wait(e);
		plait_deferred_add_both(waits[i], count_settled, &settled[i]);
	}
	plait_deferred_add_both(waits[who], act_inside, NULL);
	plait_event_wake(e, owned_by_many("poem"));
	for (int i = 0; i < WAITS; i++) {
		ck_assert_uint_eq(settled[i], 1);
		plait_deferred_free(&waits[i]);
	}
	done();
}

GROUP("extremes", .setup = setup, .timeout = 60);

static void *share_it(void *ptr)
{
	return ptr;
}

static void free_the_event(void *ptr)
{
	plait_event_free(&e);
}

static const struct plait_type ending_type = {
	.name = "ending",
	.free = free_the_event,
	.ref = share_it,
};

/* The end of a value calls the program, which may free the event in it. */
TEST(freed_by_a_value_that_nobody_waits_for_it_is_over, PURE, FROM_TO(0, 2))
{
	plait_value v = plait_value_make(&ending_type, NULL);

	if (_i == 0)
		plait_event_wake(e, v);
	else
		plait_event_set(e, v);
	plait_event_clear(e);
	ck_assert_ptr_null(e);
}

TEST(each_wait_settles_once_whatever_a_callback_does, PURE)
{
	done();
	for (int who = 0; who < WAITS; who++)
		for (whom = 0; whom < WAITS; whom++)
			for (action = 0; action < ACTIONS; action++)
				live_through(who);
}

static void whole_life(void)
{
	struct plait_deferred *late;

	setup();
	if (e == NULL) {
		ck_assert_int_eq(errno, ENOMEM);
		return;
	}
	for (int i = 0; i < WAITS; i++)
		waits[i] = plait_event_wait(e);
	plait_deferred_free(&waits[1]);
	ck_assert_int_eq(plait_event_set(e, owned_by_many("poem")), 0);
	late = plait_event_wait(e);
	handle_all(late);
	plait_deferred_free(&late);
	plait_event_clear(e);
	for (int i = 0; i < WAITS; i++) {
		if (waits[i] != NULL)
			handle_all(waits[i]);
		plait_deferred_free(&waits[i]);
	}
	done();
}

TEST(nothing_is_lost_when_memory_runs_out, PURE)
{
	done();
	without_each_allocation(whole_life);
}

SCRIPTS(wait_without_memory_fails_and_the_others_wait, PURE,
	{ "refuse_all 0 { wait a }; state?; wait b | wake 1",
	  "a:NoMemoryError not/0 | b:1" },
	{ "wait b; refuse_all 0 { wait a }; state? | wake 1",
	  "a:NoMemoryError not/1 | b:1" },
	{ "set 1; refuse_all 0 { wait a }; state?", "a:NoMemoryError set/0" })

TEST(wake_needs_no_memory, PURE)
{
	struct plait_deferred *d = plait_event_wait(e);

	pass_both(d, "d");
	fault_alloc_at(0, true);
	ck_assert_int_eq(plait_event_wake(e, plait_int(1)), 0);
	ck_assert_int_eq(plait_event_set(e, plait_int(2)), 0);
	fault_alloc_off();
	ck_assert_str_eq(trace(), "d:1");
	plait_deferred_free(&d);
	done();
}

static unsigned long woken;

/* How a million waits are ended. */
enum { WAKE, CANCEL, FREE, N_ENDS };

static plait_value count_woken(plait_value *result, void *arg)
{
	woken++;
	return PLAIT_NONE;
}

GROUP("extremes", .setup = steps_setup, .timeout = 60);

TEST_ON_SMALL_STACK(million_waits_end_on_a_small_stack, PURE, TIMES(N_ENDS))
{
	struct plait_event *event = plait_event_new();
	struct plait_deferred *first = NULL;

	for (unsigned i = 0; i < a_million(); i++) {
		struct plait_deferred *d = plait_event_wait(event);

		plait_deferred_add_both(d, count_woken, NULL);
		if (i == 0)
			first = d;
		else
			plait_deferred_detach(&d);
	}
	if (_i == CANCEL)
		plait_deferred_cancel(first);
	if (_i != FREE)
		plait_event_wake(event, plait_int(1));
	plait_event_free(&event);
	plait_deferred_free(&first);
	ck_assert_uint_eq(woken, a_million());
}

static plait_value wait_and_wake(plait_value *result, void *arg)
{
	struct plait_deferred *d;

	if (++woken == a_million())
		return PLAIT_NONE;
	d = plait_event_wait(arg);
	plait_deferred_add_both(d, wait_and_wake, arg);
	plait_deferred_detach(&d);
	plait_event_wake(arg, plait_int(1));
	return PLAIT_NONE;
}

/* Each callback waits again and wakes. */
TEST_ON_SMALL_STACK(million_wakes_inside_end_on_a_small_stack, PURE)
{
	struct plait_event *event = plait_event_new();
	struct plait_deferred *d = plait_event_wait(event);

	plait_deferred_add_both(d, wait_and_wake, event);
	plait_deferred_detach(&d);
	plait_event_wake(event, plait_int(1));
	ck_assert_uint_eq(woken, a_million());
	plait_event_free(&event);
}

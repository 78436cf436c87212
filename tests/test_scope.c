/*
 * Scopes: what is cancelled with them, in which order and why; when they have
 * ended; and whatever may happen inside their cancelling.
 */
#include <math.h>
#include <stdio.h>

#include <plait/later.h>
#include <plait/plait.h>
#include <plait/scope.h>
#include <plait/testing.h>

#include "tests/extreme.h"
#include "tests/harness.h"
#include "tests/script.h"
#include "tests/wire.h"

/* An operation of the test: what is cancelled is traced. */
struct op {
	struct step step;
	struct plait_promise *p;
	struct plait_deferred *d;
};

/* An operation that is traced as its name, and started in the scope. */
static void begin(struct op *o, struct plait_scope *s, const char *name)
{
	*o = (struct op){ .step.name = name };
	o->d = plait_deferred_new(&o->p, step_canceller, &o->step);
	plait_scope_start(s, o->d);
}

static void finish(struct op *o)
{
	handle_all(o->d);
	plait_deferred_free(&o->d);
	plait_promise_drop(&o->p);
}

static const struct plait_failure *failure_of(const struct op *o)
{
	const plait_value *v = plait_deferred_result(o->d);

	ck_assert_ptr_nonnull(v);
	return plait_value_failure(v);
}

static void assert_cancelled(const struct op *o, const char *reason)
{
	const struct plait_failure *f = failure_of(o);

	ck_assert_ptr_eq(plait_failure_kind(f), &plait_error_cancelled);
	ck_assert_str_eq(plait_failure_cancel_reason(f), reason);
}

static void assert_timed_out(const struct op *o)
{
	ck_assert_ptr_eq(plait_failure_kind(failure_of(o)),
			 &plait_error_timeout);
}

/* Closes the scope, and asserts whether that is its end. */
static void close_scope(struct plait_scope **s, bool has_ended)
{
	struct plait_deferred *d = plait_scope_close(s);

	ck_assert_ptr_null(*s);
	ck_assert_int_eq(plait_deferred_is_fired(d), has_ended);
	plait_deferred_detach(&d);
}

/* The verbs of this suite: scopes and entries have names of their own. */
struct place {
	const char *name;
	struct plait_scope *s;
	struct plait_scope_entry entry;
	struct script_callback *told;
};

enum { MAX_PLACES = 8 };

static struct place places[MAX_PLACES];
static unsigned n_places;

static struct place *place(void)
{
	const char *name = play_word();

	for (unsigned i = 0; i < n_places; i++)
		if (strcmp(places[i].name, name) == 0)
			return &places[i];
	ck_assert_uint_lt(n_places, MAX_PLACES);
	places[n_places].name = name;
	return &places[n_places++];
}

static void do_scope(void)
{
	struct place *p = place();

	p->s = play_more() ? plait_scope_new_in(place()->s)
			   : plait_scope_new(reactor);
}

static void do_start(void)
{
	struct plait_scope *s = place()->s;

	plait_scope_start(s, script_known()->d);
}

static void do_own(void)
{
	struct plait_scope *s = place()->s;
	struct script_part *part = script_known();

	plait_scope_own(s, &part->d);
	ck_assert_ptr_null(part->d);
}

static void do_cancel_scope(void)
{
	struct plait_scope *s = place()->s;

	plait_scope_cancel(s, play_more() ? play_word() : NULL);
}

/* Its end is the deferred that is named next; else it is told at once. */
static void do_close_scope(void)
{
	struct place *p = place();
	struct script_part *ended = play_more() ? script_part() : NULL;
	struct plait_deferred *d = plait_scope_close(&p->s);

	ck_assert_ptr_null(p->s);
	if (ended != NULL) {
		ended->d = d;
		return;
	}
	trace_add("%s %s", p->name,
		  plait_deferred_is_fired(d) ? "ended" : "goes on");
	plait_deferred_detach(&d);
}

static void do_free_scope(void)
{
	struct place *p = place();

	plait_scope_free(&p->s);
	ck_assert_ptr_null(p->s);
}

static void do_empty(void)
{
	const struct place *p = place();

	trace_add("%s %s", p->name,
		  plait_scope_is_empty(p->s) ? "empty" : "not empty");
}

static void do_reason(void)
{
	const struct place *p = place();

	if (plait_scope_is_cancelled(p->s))
		trace_add("%s: %s", p->name, plait_scope_reason(p->s));
	else
		trace_add("%s lives", p->name);
}

static void do_deadline(void)
{
	struct plait_scope *s = place()->s;

	plait_scope_set_deadline(s, play_number());
}

/* In seconds from now. */
static void do_say_deadline(void)
{
	double deadline = plait_scope_deadline(place()->s);

	trace_add("%.3g", isinf(deadline)
				  ? deadline
				  : deadline - plait_reactor_seconds(reactor));
}

static void do_shield(void)
{
	struct plait_scope *s = place()->s;

	plait_scope_shield(s, play_number());
}

static void tell(void *arg)
{
	struct place *entry = arg;

	trace_add("%s", entry->name);
	script_operation(entry->told);
}

static void do_enter(void)
{
	struct plait_scope *s = place()->s;
	struct place *entry = place();

	entry->told = script_callback();
	script_errno(plait_scope_enter(s, &entry->entry, tell, entry));
}

static void do_leave(void)
{
	plait_scope_leave(&place()->entry);
}

/* The file that cancelled it, and what its timeout was made of. */
static void do_by(void)
{
	const struct script_part *part = script_known();
	const char *at = plait_failure_cancel_where(
		plait_value_failure(plait_deferred_result(part->d)));

	trace_add("%s by %.*s", part->name, (int)strcspn(at, ":"), at);
}

static void do_cause(void)
{
	const struct script_part *part = script_known();
	const struct plait_failure *cause = plait_failure_cause(
		plait_value_failure(plait_deferred_result(part->d)));

	trace_add("%s caused by %s", part->name,
		  plait_failure_kind(cause)->name);
}

static const struct play_verb verbs[] = {
	{ "scope", do_scope },		     /* SCOPE [AROUND] */
	{ "start", do_start },		     /* SCOPE D */
	{ "own", do_own },		     /* SCOPE D */
	{ "cancel_scope", do_cancel_scope }, /* SCOPE [REASON] */
	{ "close_scope", do_close_scope },   /* SCOPE [D] */
	{ "free_scope", do_free_scope },     /* SCOPE */
	{ "empty?", do_empty },
	{ "reason?", do_reason },
	{ "deadline", do_deadline },
	{ "deadline?", do_say_deadline },
	{ "shield", do_shield },
	{ "enter",
	  do_enter }, /* SCOPE ENTRY CALLBACK: what it does when told */
	{ "leave", do_leave }, /* ENTRY */
	{ "by", do_by },
	{ "cause", do_cause },
	{ NULL, NULL },
};

static void end_script(void)
{
	for (unsigned i = 0; i < n_places; i++)
		plait_scope_leave(&places[i].entry);
	for (unsigned i = n_places; i-- > 0;) /* those inside others first */
		if (places[i].s != NULL)
			close_scope(&places[i].s, true);
}

static void setup(void)
{
	steps_setup();
	play_words(verbs, end_script);
}

/* A scope that a was started in; one that owns it; two, one in the other. */
#define STARTED "scope s; new a !a; start s a; "
#define OWNED "scope s; new a !a; both a then; own s a; "
#define TWO "scope s; scope in s; "

/* ---- what is cancelled --------------------------------------------- */

GROUP("cancelling", .setup = setup);

SCRIPT(what_was_started_is_cancelled_the_last_first, PURE,
       STARTED "new b !b; start s b; cancel_scope s enough | why a; why b; by "
	       "a; reason? s; close_scope s",
       "!b !a | a=CancelledError(enough) b=CancelledError(enough) a by "
       "tests/test_scope.c s: enough s ended")

SCRIPT(result_passes_through_and_leaves_the_scope, PURE,
       STARTED "both a then; empty? s | fire a 7; empty? s | cancel_scope s; "
	       "show a; close_scope s",
       "s not empty | then:7 s empty | a=7 s ended")

SCRIPT(failure_passes_through_too, PURE,
       STARTED "fire a Error:hm; show a; empty? s", "a=Error: hm s empty")

SCRIPT(starting_in_a_cancelled_scope_is_cancelled_at_once, PURE,
       "scope s; cancel_scope s over; new a !a; start s a; why a; empty? s",
       "!a a=CancelledError(over) s empty")

SCRIPT(what_has_fired_leaves_at_once, PURE,
       "scope s; fired d 1; start s d; empty? s; cancel_scope s over; start s "
       "d; empty? s; show d",
       "s empty s empty d=1")

static void never(void *arg)
{
	ck_abort_msg("called");
}

TEST(null_scope_counts_as_cancelled, PURE)
{
	struct plait_scope_entry e = { 0 };
	struct plait_scope *s = NULL;
	struct plait_deferred *d;
	struct op a;

	begin(&a, NULL, "a");
	ck_assert_str_eq(trace(), "!a");
	assert_cancelled(&a, "no memory for the scope");
	finish(&a);
	d = plait_deferred_new(&a.p, step_canceller, &a.step);
	unhandled_expect(1); /* nothing else tells of it */
	plait_scope_own(NULL, &d);
	ck_assert_ptr_null(d);
	ck_assert_str_eq(trace(), "!a !a");
	plait_promise_drop(&a.p);

	ck_assert_int_eq(plait_scope_enter(NULL, &e, never, NULL), -ENOMEM);
	plait_scope_leave(&e);
	ck_assert_ptr_null(plait_scope_new_in(NULL));
	ck_assert(plait_scope_is_cancelled(NULL) && plait_scope_is_empty(NULL));
	ck_assert_str_eq(plait_scope_reason(NULL), "");
	plait_scope_cancel(NULL, "nobody");
	plait_scope_set_deadline(NULL, 1);
	plait_scope_shield(NULL, 1);
	ck_assert(isinf(plait_scope_deadline(NULL)));
	close_scope(&s, true);
}

SCRIPT(cancelling_twice_keeps_the_first_reason, PURE,
       "scope s; cancel_scope s one; cancel_scope s two; reason? s", "s: one")

SCRIPT(who_cancels_its_deferred_alone_keeps_that_reason, PURE,
       STARTED "cancel a mine; why a; empty? s",
       "!a a=CancelledError(mine) s empty")

SCRIPT(canceller_may_answer_with_a_value, PURE,
       "scope s; new a !a = 3; start s a; cancel_scope s over; show a",
       "!a a=3")

/* ---- the waiting end ----------------------------------------------- */

SCRIPT(freeing_a_deferred_ends_its_place, PURE,
       STARTED
       "free a; empty? s | new a !a; start s a; pause a; free a; empty? s | "
       "new a !a; start s a; pause a; fire a none; empty? s | free a; empty? s",
       "!a s empty | !a s empty | s not empty | s empty")

SCRIPT(detached_deferred_is_cancelled_all_the_same, PURE,
       STARTED "catch a = none; detach a; cancel_scope s over", "!a")

SCRIPT(paused_deferred_ends_when_it_is_unpaused, PURE,
       STARTED "pause a; close_scope s ended; show ended | unpause a; show "
	       "ended; why a",
       "!a ended pending | ended=none a=CancelledError(the scope has ended)")

SCRIPT(what_waits_for_an_inner_has_that_cancelled, PURE,
       "scope s; new a !a; waiting d a; start s d; cancel_scope s over; why d",
       "!a d=CancelledError(over)")

/* ---- owned --------------------------------------------------------- */

GROUP("owned", .setup = setup);

SCRIPT(owned_one_runs_on_as_if_detached, PURE,
       OWNED "empty? s | fire a ~v; empty? s",
       "s not empty | then:v ~v s empty")

SCRIPT(owned_one_is_cancelled_and_freed_without_a_report, PURE,
       OWNED "cancel_scope s over; empty? s | fire a ~late",
       "!a then:CancelledError s empty | ~late ECANCELED")

SCRIPT(owned_one_has_what_it_waits_for_cancelled_too, PURE,
       "scope s; new a !a; new inner !inner; both a wait = inner; both a then; "
       "own s a; cancel_scope s over; empty? s | fire inner ~late",
       "!a wait:CancelledError !inner then:CancelledError s empty | ~late "
       "ECANCELED")

SCRIPT(failure_of_an_owned_one_is_reported_if_nobody_handles_it, PURE,
       OWNED "fire a Error:hm", "then:Error: hm ?Error: hm")

/* With no memory for the pair it is cancelled, and that frees it. */
SCRIPT(owned_one_may_end_its_scope_when_memory_runs_out, PURE,
       "scope s; new d !c { drop d }; both d { cancel_scope s over } = none; "
       "both d pass; both d pass; both d pass; refuse 1 { own s d }; reason? s",
       "!c s: over")

static plait_value free_handle(plait_value *result, void *arg)
{
	struct plait_deferred **handle = arg;

	trace_add(*handle == NULL ? "taken" : "still there");
	plait_deferred_free(handle);
	return *result;
}

/* Or else the callback and the scope would both free it. */
TEST(owned_one_is_taken_before_memory_runs_out, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct plait_promise *p;
	struct plait_deferred *d = plait_deferred_new(&p, NULL, NULL);

	plait_deferred_add_both(d, free_handle, &d);
	fault_alloc_at(0, false);
	plait_scope_own(s, &d);
	ck_assert(fault_alloc_reached());
	fault_alloc_off();
	ck_assert_str_eq(trace(), "taken");
	plait_promise_drop(&p);
	close_scope(&s, true);
	unhandled_expect(unhandled_count());
}

SCRIPT(owning_what_has_fired_ends_it, PURE,
       "scope s; fired d ~v; own s d; empty? s | cancel_scope s over; fired e "
       "~w; own s e",
       "~v s empty | ~w")

SCRIPT(owning_in_a_cancelled_scope_cancels_and_frees, PURE,
       "scope s; cancel_scope s over; new a !a; both a then; own s a; empty? s",
       "!a then:CancelledError s empty")

/* ---- the tree ------------------------------------------------------ */

GROUP("tree", .setup = setup);

SCRIPT(scopes_inside_are_cancelled_too, PURE,
       TWO
       "new a !a; start s a; new b !b; start in b; new c !c; start s c; "
       "cancel_scope s over | reason? in; why b; close_scope in; close_scope s",
       "!c !a !b | in: over b=CancelledError(over) in ended s ended")

SCRIPT(scope_around_is_left_alone, PURE,
       TWO "new a !a; start s a; cancel_scope in in; reason? s; close_scope in",
       "s lives in ended")

SCRIPT(scope_made_in_a_cancelled_one_is_cancelled, PURE,
       "scope s; cancel_scope s over; scope in s; reason? in; shield in 10; "
       "new a !a; start in a; why a; close_scope s; close_scope in",
       "in: over !a a=CancelledError(over) s goes on in ended")

SCRIPT(inner_cancelled_first_keeps_its_reason, PURE,
       TWO "cancel_scope in in; cancel_scope s out; reason? in; reason? s",
       "in: in s: out")

/* ---- ending -------------------------------------------------------- */

SCRIPT(entry_is_told_once_and_holds_the_scope_until_it_leaves, PURE,
       "scope s; enter s e; cancel_scope s over; cancel_scope s over | "
       "close_scope s ended; both ended ended | leave e | leave e",
       "e | | ended:none |")

SCRIPT(freed_scope_cancels_what_is_in_it_and_goes_when_that_has_ended, PURE,
       TWO "new a !a; start s a; enter s e; new b !b; start in b; free_scope "
	   "s | why a; why b; close_scope in; leave e | free_scope s",
       "e !a !b | a=CancelledError(the scope has ended) "
       "b=CancelledError(the scope has ended) in ended |")

SCRIPT(entering_a_cancelled_scope_is_refused, PURE,
       "scope s; cancel_scope s over; enter s e; leave e; close_scope s",
       "ECANCELED s ended")

SCRIPT(entry_that_left_can_enter_again, PURE,
       "scope s; enter s e; leave e; empty? s; enter s e; leave e; close_scope "
       "s",
       "s empty s ended")

SCRIPT(scope_ends_after_those_inside_it, PURE,
       TWO "enter in e; close_scope s out; both out out; close_scope in inner; "
	   "both inner in; leave e",
       "e in:none out:none")

SCRIPTS(scope_ends_after_the_callback_that_frees_what_was_started, PURE,
	{ "scope s; new d; both d cb { free work; empty? s; close_scope s "
	  "ended; both ended ended; say out }; waiting work d; start s work; "
	  "fire d none",
	  "cb:none s not empty out ended:none" },
	{ "scope s; new d; both d cb { free work; empty? s; close_scope s "
	  "ended; both ended ended; say out }; gather all d; waiting work all; "
	  "start s work; fire d none",
	  "cb:none s not empty out ended:none" })

SCRIPTS(scope_ends_after_the_canceller_that_frees_what_was_started, PURE,
	{ "scope s; new d !c { free work; empty? s; close_scope s ended; both "
	  "ended ended; say out }; waiting work d; start s work; cancel work",
	  "!c s not empty out ?CancelledError ended:none" },
	{ "scope s; new d !c { free work; empty? s; close_scope s ended; both "
	  "ended ended; say out }; gather all d; waiting work all; start s "
	  "work; cancel work",
	  "!c s not empty out ?CancelledError ended:none" })

/* Nothing is waited for: the canceller is that of what was started itself. */
SCRIPT(scope_ends_after_the_canceller_of_what_was_started_itself, PURE,
       "scope s; new d !c { free d; empty? s; close_scope s ended; both ended "
       "ended; say out }; start s d; cancel d",
       "!c s not empty out ended:none ?CancelledError")

/* Its end is told by the loop that has just told that of the inner one. */
SCRIPT(end_of_a_scope_may_free_the_one_around, PURE,
       TWO "enter in e; close_scope in ended; both ended { close_scope s }; "
	   "leave e",
       "e s goes on")

SCRIPT(waiting_for_the_end_can_be_given_up, PURE,
       "scope s; enter s e; close_scope s ended; cancel ended; show ended; "
       "catch ended = none; free ended; leave e | scope s; enter s e; "
       "close_scope s ended; free ended; leave e",
       "e ended=CancelledError | e")

/* ---- from inside --------------------------------------------------- */

GROUP("from inside", .setup = setup);

SCRIPT(entry_may_cancel_its_own_scope, PURE,
       "scope s; new b !b; start s b; enter s a { cancel_scope s inside; leave "
       "a }; cancel_scope s over; why b",
       "a !b b=CancelledError(over)")

SCRIPT(entry_may_cancel_the_scope_around, PURE,
       TWO
       "new b !b; start in b; new c !c; start s c; enter in a { cancel_scope s "
       "inside; leave a }; cancel_scope in over; why b; why c",
       "a !c !b b=CancelledError(over) c=CancelledError(inside)")

SCRIPT(entry_may_cancel_a_scope_that_is_told_next, PURE,
       TWO "new b !b; start in b; enter s a { cancel_scope in inside; leave a "
	   "}; cancel_scope s over; why b",
       "a !b b=CancelledError(inside)")

SCRIPT(entry_may_free_its_own_scope, PURE,
       "scope s; new b !b; start s b; enter s a { close_scope s ended; show "
       "ended; leave a; show ended }; cancel_scope s over; show ended",
       "a ended pending ended pending !b ended=none")

SCRIPT(entry_may_free_the_scope_around, PURE,
       TWO "enter in a { close_scope s ended; show ended; leave a; show ended "
	   "}; cancel_scope s over; show ended | close_scope in; show ended",
       "a ended pending ended pending ended pending | in ended ended=none")

SCRIPT(entries_may_leave_while_others_are_told, PURE,
       "scope s; enter s a { leave b; leave a }; enter s b { leave a; leave b "
       "}; enter s c { leave a; leave c }; cancel_scope s over; empty? s",
       "c b s empty")

SCRIPT(starting_from_inside_is_cancelled_at_once, PURE,
       "scope s; new b !b; start s b; enter s a { scope in s; new c !c; start "
       "s c; reason? in; close_scope in; leave a }; cancel_scope s over",
       "a !c in: over in ended !b")

/* The last that is in it, and its handle, go while it is being entered. */
SCRIPT(callback_may_free_the_scope_that_it_is_started_in, PURE,
       "scope s; fired d none; start s d; free d; cancel_scope s over; new a "
       "!a; both a { close_scope s }; start s a",
       "!a s goes on")

/* ---- deadlines ----------------------------------------------------- */

GROUP("time", .setup = setup);

SCRIPT(deadline_cancels_and_what_it_cancels_has_timed_out, ON_EACH_KERNEL,
       "scope s; deadline s 5; new a !a; start s a; advance 4.9; reason? s | "
       "advance 0.2; reason? s; show a; cause a | new b !b; start s b; show b",
       "s lives | !a s: the deadline has passed a=TimeoutError: the deadline "
       "has passed a caused by CancelledError | !b b=TimeoutError: the "
       "deadline has passed")

SCRIPT(deadline_can_be_moved_and_taken_back, ON_EACH_KERNEL,
       "scope s; deadline? s; deadline s 1; deadline s 3; advance 2; reason? "
       "s; deadline s inf; deadline? s; advance 10; reason? s | deadline s 0; "
       "advance 0.1; reason? s; deadline s 1; deadline? s",
       "inf s lives inf s lives | s: the deadline has passed inf")

SCRIPT(tightest_deadline_holds, ON_EACH_KERNEL,
       TWO
       "advance 0; deadline s 2; deadline in 5; deadline? in; shield in 1; "
       "deadline? in; shield in 0; new a !a; start in a; advance 2.1; show a",
       "2 3 !a a=TimeoutError: the deadline has passed")

/* _i is 1 if the cancel from outside comes first. */
SCRIPTS(outside_and_deadline_in_the_same_turn, ON_EACH_KERNEL,
	{ TWO "new a !a; start in a; deadline in 1; after 1 { cancel_scope s "
	      "outside }; advance 2; show a",
	  "!a a=TimeoutError: the deadline has passed" },
	{ TWO "new a !a; start in a; after 1 { cancel_scope s outside }; "
	      "deadline in 1; advance 2; why a",
	  "!a a=CancelledError(outside)" })

/* What the deadline has cancelled is still ending when the other comes. */
SCRIPT(outside_outranks_a_deadline_inside, ON_EACH_KERNEL,
       TWO "new a !a; start in a; pause a; deadline in 1; advance 2; reason? "
	   "in | cancel_scope s outside; reason? in; unpause a; why a; by a",
       "!a in: the deadline has passed | in: outside a=CancelledError(outside) "
       "a by tests/test_scope.c")

/* The one in between lives on, but it is inside what was cancelled. */
SCRIPT(outside_outranks_a_deadline_inside_a_shield, ON_EACH_KERNEL,
       "scope s; scope t s; scope u t; shield t 60; deadline u 1; advance 2; "
       "reason? u | cancel_scope s outside; reason? t; reason? u",
       "u: the deadline has passed | t lives u: outside")

SCRIPT(deadline_around_does_not_outrank, ON_EACH_KERNEL,
       TWO "new a !a; start in a; deadline in 1; deadline s 1.5; pause a; "
	   "advance 2; unpause a; show a",
       "!a a=TimeoutError: the deadline has passed")

SCRIPT(own_cancellation_does_not_become_a_timeout, ON_EACH_KERNEL,
       STARTED
       "pause a; cancel a mine; deadline s 1; advance 2; unpause a; why a",
       "!a a=CancelledError(mine)")

/* ---- shields ------------------------------------------------------- */

SCRIPT(shielded_scope_is_given_its_time, ON_EACH_KERNEL,
       TWO "shield in 3; new a !a; start in a; advance 1; cancel_scope s "
	   "outside; reason? in; new b !b; start in b; advance 2.9 | advance "
	   "0.2; why a; why b; reason? in",
       "in lives | !b !a a=CancelledError(outside) b=CancelledError(outside) "
       "in: outside")

SCRIPT(shield_does_not_lengthen_an_own_deadline, ON_EACH_KERNEL,
       TWO "shield in 3; deadline in 2; cancel_scope s outside; advance 2.1; "
	   "reason? in",
       "in: outside")

SCRIPT(shield_cuts_an_own_deadline, ON_EACH_KERNEL,
       TWO
       "shield in 3; deadline in 100; cancel_scope s outside; deadline in 100; "
       "deadline in inf; advance 2.9; reason? in | advance 0.2; reason? in",
       "in lives | in: outside")

SCRIPT(sheltered_scope_may_be_hurried, ON_EACH_KERNEL,
       TWO "shield in 3; cancel_scope s outside; deadline in 1; advance 1.1; "
	   "reason? in",
       "in: outside")

SCRIPT(shielded_scope_ends_early_when_its_work_is_done, ON_EACH_KERNEL,
       TWO "shield in 3; new a !a; start in a; close_scope s ended; fire a "
	   "none; show ended | close_scope in; show ended",
       "ended pending | in ended ended=none")

SCRIPT(shield_is_no_shield_against_the_own_cancel, ON_EACH_KERNEL,
       "scope s; shield s 3; new a !a; start s a; cancel_scope s over; why a",
       "!a a=CancelledError(over)")

/* ---- the reactor goes ---------------------------------------------- */

SCRIPT(scope_outlives_the_reactor_without_a_deadline, ON_EACH_KERNEL,
       TWO "deadline s 1; shield in 1; new a !a; start in a; free_reactor; "
	   "reason? s; deadline? s; deadline s 1 | scope late in; cancel_scope "
	   "s over; why a; close_scope late; close_scope in; close_scope s",
       "?NeverFiredError s lives inf | !a a=CancelledError(over) late ended in "
       "ended s ended")

SCRIPT(sheltered_scope_is_cancelled_with_the_reactor, ON_EACH_KERNEL,
       TWO "shield in 1000; new a !a; start in a; cancel_scope s over | "
	   "free_reactor; why a",
       "| !a a=CancelledError(over)")

/* ---- depth --------------------------------------------------------- */

static struct plait_scope *nested[MILLION];
static unsigned n_ended;

static plait_value count_ended(plait_value *result, void *arg)
{
	n_ended++;
	return *result;
}

GROUP("depth", .timeout = 60);

TEST_ON_SMALL_STACK(million_nested_scopes_end_on_a_small_stack, PURE)
{
	struct plait_deferred *d;

	for (unsigned i = 0; i < a_million(); i++)
		nested[i] = i == 0 ? plait_scope_new(NULL)
				   : plait_scope_new_in(nested[i - 1]);
	plait_scope_cancel(nested[0], "over");
	ck_assert(plait_scope_is_cancelled(nested[a_million() - 1]));
	for (unsigned i = 0; i < a_million(); i++) {
		d = plait_scope_close(&nested[i]);
		plait_deferred_add_both(d, count_ended, NULL);
		plait_deferred_detach(&d);
	}
	ck_assert_uint_eq(n_ended, a_million());
}

enum { DEEP = 100000 };

static struct plait_scope *deep[DEEP];
static struct plait_deferred *in_deepest[DEEP];
static struct plait_promise *promises[DEEP];

/* Each inside the one before. */
static void nest_scopes(void)
{
	deep[0] = plait_scope_new(reactor);
	for (int i = 1; i < DEEP; i++)
		deep[i] = plait_scope_new_in(deep[i - 1]);
}

static void free_scopes(void)
{
	for (int i = DEEP; i-- > 0;)
		close_scope(&deep[i], true);
}

GROUP("time", .setup = setup);

/*
 * The innermost times out with as many in it as there are scopes around it,
 * and in between one far outside is cancelled by a call.  The time limit is
 * that of a test: looking at each scope for each deferred would take minutes.
 */
TEST(many_that_time_out_deep_inside_cost_no_more_for_the_depth, ON_EACH_KERNEL)
{
	struct plait_scope *last;

	nest_scopes();
	last = deep[DEEP - 1];
	for (int i = 0; i < DEEP; i++) {
		in_deepest[i] = plait_deferred_new(&promises[i], NULL, NULL);
		plait_scope_start(last, in_deepest[i]);
		handle_all(in_deepest[i]);
	}
	plait_scope_set_deadline(last, 1);
	run_for(reactor, 2);
	ck_assert(plait_deferred_is_fired(in_deepest[0]));
	plait_scope_cancel(deep[1], "outside");
	ck_assert_str_eq(plait_scope_reason(last), "outside");
	for (int i = 0; i < DEEP; i++) {
		plait_deferred_free(&in_deepest[i]);
		plait_promise_drop(&promises[i]);
	}
	free_scopes();
}

TEST(deadlines_asked_for_deep_inside_cost_no_more_for_the_depth, ON_EACH_KERNEL)
{
	nest_scopes();
	plait_scope_set_deadline(deep[0], 1e6);
	for (int i = 0; i < DEEP; i++) {
		double deadline = plait_scope_deadline(deep[DEEP - 1]);

		plait_scope_set_deadline(deep[DEEP - 1], 2e6 - i);
		ck_assert(plait_scope_deadline(deep[i]) == deadline);
	}
	free_scopes();
}

/* What is kept is forgotten whenever something around changes. */
SCRIPT(deadline_that_was_asked_for_follows_what_changes, ON_EACH_KERNEL,
       "scope s; scope t s; scope u t; advance 0; deadline? u; deadline s 10; "
       "deadline? u; shield t 5; deadline? u; deadline u 3; deadline? u; "
       "deadline u inf; deadline? u; deadline s inf; deadline? u; deadline t "
       "7; deadline? u; cancel_scope t; deadline? u",
       "inf 10 15 3 15 inf 7 inf")

GROUP("depth", .timeout = 60);

TEST_ON_SMALL_STACK(million_deferreds_come_and_go, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct plait_scope *in = plait_scope_new_in(s);

	unhandled_expect(a_million()); /* abandoned */
	for (unsigned i = 0; i < a_million(); i++) {
		struct plait_promise *p;
		struct plait_deferred *d = plait_deferred_new(&p, NULL, NULL);

		plait_deferred_add_both(d, count_ended, NULL);
		plait_scope_own(i % 2 ? s : in, &d);
		plait_promise_drop(&p);
	}
	ck_assert_uint_eq(n_ended, a_million());
	close_scope(&in, true);
	close_scope(&s, true);
}

/* ---- connections --------------------------------------------------- */

static struct op on_wire;

static void start_on_wire(struct wire *w)
{
	struct plait_scope *s = plait_transport_scope(w->transport);

	ck_assert_ptr_nonnull(s);
	ck_assert_ptr_eq(s, plait_transport_scope(w->transport));
	begin(&on_wire, s, "a");
	pass_both(on_wire.d, "then");
}

static void look_when_lost(struct wire *w)
{
	struct plait_scope *s = plait_transport_scope(w->transport);

	trace_add("lost");
	ck_assert(plait_scope_is_cancelled(s));
	ck_assert_str_eq(plait_scope_reason(s), "ConnectionDone");
	assert_cancelled(&on_wire, "ConnectionDone");
	finish(&on_wire);
}

GROUP("connections", .setup = setup);

TEST(scope_of_a_connection_is_cancelled_before_it_is_told_of_the_loss,
     ON_EACH_KERNEL)
{
	struct wire w = { .on_made = start_on_wire, .on_lost = look_when_lost };

	ck_assert(wire_open(&w, reactor));
	wire_close(&w);
	ck_assert_str_eq(trace(), "!a then:CancelledError lost");
}

static void expect_none(struct wire *w)
{
	ck_assert_ptr_null(plait_transport_scope(w->transport));
}

static void start_in_its_scope(struct plait_protocol *p)
{
	begin(&on_wire, plait_transport_scope(p->transport), "a");
}

static const struct plait_protocol_ops recorded_ops = {
	.name = "recorded",
	.connection_made = start_in_its_scope,
};

TEST(recording_transport_has_one_too, PURE)
{
	struct plait_factory f = { .protocol = &recorded_ops };
	struct plait_transport *t;

	reactor = plait_testing_reactor_new();
	t = plait_testing_connect(reactor, &f);
	ck_assert_str_eq(trace(), "");
	plait_transport_abort_connection(t);
	plait_testing_advance(reactor, 0);
	assert_cancelled(&on_wire, "ConnectionAborted");
	ck_assert_ptr_null(plait_transport_scope(t));
	finish(&on_wire);
}

/* There is none at first; the next call tries again. */
TEST(scope_of_a_connection_needs_memory, ON_EACH_KERNEL, TIMES(2))
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	fault_alloc_at((unsigned long)_i, false);
	ck_assert_ptr_null(plait_transport_scope(w.transport));
	ck_assert(fault_alloc_reached());
	fault_alloc_off();
	ck_assert_ptr_nonnull(plait_transport_scope(w.transport));
	wire_close(&w);
	ck_assert_str_eq(w.why, "ConnectionDone");
}

TEST(scope_of_a_connection_is_not_made_after_the_loss, ON_EACH_KERNEL)
{
	struct wire w = { .on_lost = expect_none };

	ck_assert(wire_open(&w, reactor));
	wire_close(&w);
	ck_assert_uint_eq(w.lost, 1);
}

/* What is in it may end after the connection. */
static void start_paused(struct wire *w)
{
	begin(&on_wire, plait_transport_scope(w->transport), "a");
	plait_deferred_pause(on_wire.d);
}

TEST(scope_of_a_connection_outlives_it_if_something_is_in_it, ON_EACH_KERNEL)
{
	struct wire w = { .on_made = start_paused };

	ck_assert(wire_open(&w, reactor));
	wire_close(&w);
	ck_assert_str_eq(trace(), "!a");
	plait_deferred_unpause(on_wire.d);
	assert_cancelled(&on_wire, "ConnectionDone");
	finish(&on_wire);
}

TEST(reactor_that_goes_cancels_the_scopes_of_its_connections, ON_EACH_KERNEL)
{
	struct wire w = { .on_made = start_on_wire };

	ck_assert(wire_open(&w, reactor));
	plait_reactor_free(&reactor);
	assert_cancelled(&on_wire, "ConnectionLost");
	finish(&on_wire);
	wire_hang_up(&w);
}

/* ---- without memory ------------------------------------------------ */

static void whole_life(struct plait_reactor *r)
{
	struct plait_scope *s = plait_scope_new(r);
	struct plait_scope *in = plait_scope_new_in(s);
	struct plait_deferred *ended, *owned;
	struct op a, b;

	plait_scope_set_deadline(in, 1);
	begin(&a, in, "a");
	b = (struct op){ .step.name = "b" };
	owned = plait_deferred_new(&b.p, step_canceller, &b.step);
	for (int i = 0; i < 4; i++)
		handle_all(owned);
	plait_scope_own(s, &owned);
	run_for(r, 2);
	ck_assert(plait_deferred_is_fired(a.d));
	if (!torture_faulty())
		assert_timed_out(&a);
	finish(&a);
	ended = plait_scope_close(&s);
	handle_all(ended);
	plait_promise_drop(&b.p);
	plait_deferred_free(&ended);
	ended = plait_scope_close(&in);
	handle_all(ended);
	plait_deferred_free(&ended);
	trace_clear();
}

GROUP("torture", .setup = setup, .timeout = 60);

SCRIPTS(what_cannot_be_entered_is_cancelled, PURE,
	{ "scope s; new a !a; then a; then a; then a; then a; refuse 0 { start "
	  "s a }; empty? s",
	  "!a s empty" },
	{ "scope s; new a !a; then a; then a; then a; then a; refuse 1 { start "
	  "s a }; empty? s",
	  "!a s empty" })

TEST(scopes_without_memory_cancel_at_once, ON_EACH_BACKEND)
{
	torture(whole_life, backend);
}

static void start_many_pairs(struct wire *w)
{
	struct plait_deferred *d =
		plait_deferred_new(&on_wire.p, step_canceller, &on_wire.step);

	for (int i = 0; i < 4; i++)
		handle_all(d);
	plait_scope_own(plait_transport_scope(w->transport), &d);
}

static void connection_life(struct plait_reactor *r)
{
	struct wire w = { .on_made = start_many_pairs };

	on_wire = (struct op){ .step.name = "a" };
	if (wire_open(&w, r))
		wire_close(&w);
	ck_assert(plait_promise_is_cancelled(on_wire.p));
	plait_promise_drop(&on_wire.p);
	trace_clear();
}

TEST(scope_of_a_connection_without_memory_cancels_at_once, ON_EACH_BACKEND)
{
	torture(connection_life, backend);
}

/* -------------------------------------------------------------------- */

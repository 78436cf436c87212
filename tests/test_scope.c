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
#include "tests/steps.h"
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
	ck_assert_str_eq(plait_failure_reason(f), reason);
}

static void assert_timed_out(const struct op *o)
{
	ck_assert_ptr_eq(plait_failure_kind(failure_of(o)),
			 &plait_error_timeout);
}

/* Frees the scope, and asserts whether that is its end. */
static void free_scope(struct plait_scope **s, bool has_ended)
{
	struct plait_deferred *d = plait_scope_free(s);

	ck_assert_ptr_null(*s);
	ck_assert_int_eq(plait_deferred_is_fired(d), has_ended);
	plait_deferred_detach(&d);
}

/* ---- what is cancelled --------------------------------------------- */

GROUP("cancelling", .setup = steps_setup);

TEST(what_was_started_is_cancelled_the_last_first, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct op a, b;

	begin(&a, s, "a");
	begin(&b, s, "b");
	plait_scope_cancel(s, "enough");
	ck_assert_str_eq(trace(), "!b !a");
	assert_cancelled(&a, "enough");
	assert_cancelled(&b, "enough");
	ck_assert_ptr_nonnull(
		strstr(plait_failure_cancelled_at(failure_of(&a)), "scope.c:"));
	ck_assert(plait_scope_is_cancelled(s));
	ck_assert_str_eq(plait_scope_reason(s), "enough");
	finish(&a);
	finish(&b);
	free_scope(&s, true);
}

TEST(result_passes_through_and_leaves_the_scope, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct op a;

	begin(&a, s, "a");
	ck_assert(!plait_scope_is_empty(s));
	pass_both(a.d, "then");
	plait_fire(&a.p, plait_int(7));
	ck_assert_str_eq(trace(), "then:7");
	ck_assert(plait_scope_is_empty(s));
	plait_scope_cancel(s, NULL);
	ck_assert_int_eq(plait_value_int(plait_deferred_result(a.d)), 7);
	finish(&a);
	free_scope(&s, true);
}

TEST(failure_passes_through_too, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct op a;

	begin(&a, s, "a");
	plait_fire(&a.p, plait_fail(&plait_error_any, "hm"));
	ck_assert_str_eq(plait_failure_message(failure_of(&a)), "hm");
	ck_assert(plait_scope_is_empty(s));
	finish(&a);
	free_scope(&s, true);
}

TEST(starting_in_a_cancelled_scope_is_cancelled_at_once, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct op a;

	plait_scope_cancel(s, "over");
	begin(&a, s, "a");
	ck_assert_str_eq(trace(), "!a");
	assert_cancelled(&a, "over");
	ck_assert(plait_scope_is_empty(s));
	finish(&a);
	free_scope(&s, true);
}

TEST(what_has_fired_leaves_at_once, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct plait_deferred *d = plait_succeed(plait_int(1));

	plait_scope_start(s, d);
	ck_assert(plait_scope_is_empty(s));
	plait_scope_cancel(s, "over");
	plait_scope_start(s, d);
	ck_assert(plait_scope_is_empty(s));
	ck_assert_int_eq(plait_value_int(plait_deferred_result(d)), 1);
	plait_deferred_free(&d);
	free_scope(&s, true);
}

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

	ck_assert_int_eq(plait_scope_enter(NULL, &e, never, NULL), -ECANCELED);
	plait_scope_leave(&e);
	ck_assert_ptr_null(plait_scope_new_in(NULL));
	ck_assert(plait_scope_is_cancelled(NULL) && plait_scope_is_empty(NULL));
	ck_assert_str_eq(plait_scope_reason(NULL), "");
	plait_scope_cancel(NULL, "nobody");
	plait_scope_set_deadline(NULL, 1);
	plait_scope_shield(NULL, 1);
	ck_assert(isinf(plait_scope_deadline(NULL)));
	free_scope(&s, true);
}

TEST(cancelling_twice_keeps_the_first_reason, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);

	plait_scope_cancel(s, "one");
	plait_scope_cancel(s, "two");
	ck_assert_str_eq(plait_scope_reason(s), "one");
	free_scope(&s, true);
}

TEST(who_cancels_its_deferred_alone_keeps_that_reason, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct op a;

	begin(&a, s, "a");
	plait_deferred_cancel_because(a.d, "mine");
	assert_cancelled(&a, "mine");
	ck_assert(plait_scope_is_empty(s));
	finish(&a);
	free_scope(&s, true);
}

TEST(canceller_may_answer_with_a_value, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct op a;

	begin(&a, s, "a");
	a.step.answers = true;
	a.step.answer = plait_int(3);
	plait_scope_cancel(s, "over");
	ck_assert_int_eq(plait_value_int(plait_deferred_result(a.d)), 3);
	finish(&a);
	free_scope(&s, true);
}

/* ---- the waiting end ----------------------------------------------- */

TEST(freeing_a_deferred_ends_its_place, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct op a;

	begin(&a, s, "a");
	finish(&a);
	ck_assert(plait_scope_is_empty(s));

	begin(&a, s, "a");
	plait_deferred_pause(a.d);
	finish(&a);
	ck_assert(plait_scope_is_empty(s));

	begin(&a, s, "a");
	plait_deferred_pause(a.d);
	plait_fire(&a.p, PLAIT_NONE);
	ck_assert(!plait_scope_is_empty(s));
	finish(&a);
	ck_assert(plait_scope_is_empty(s));
	free_scope(&s, true);
}

TEST(detached_deferred_is_cancelled_all_the_same, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct op a;

	begin(&a, s, "a");
	handle_all(a.d);
	plait_deferred_detach(&a.d);
	plait_scope_cancel(s, "over");
	ck_assert_str_eq(trace(), "!a");
	plait_promise_drop(&a.p);
	free_scope(&s, true);
}

TEST(paused_deferred_ends_when_it_is_unpaused, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct plait_deferred *ended;
	struct op a;

	begin(&a, s, "a");
	plait_deferred_pause(a.d);
	ended = plait_scope_free(&s);
	ck_assert_str_eq(trace(), "!a");
	ck_assert(!plait_deferred_is_fired(ended));
	plait_deferred_unpause(a.d);
	ck_assert(plait_deferred_is_fired(ended));
	assert_cancelled(&a, "the scope has ended");
	finish(&a);
	plait_deferred_free(&ended);
}

TEST(what_waits_for_an_inner_has_that_cancelled, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct op a;
	struct step wait = { .name = "wait" };
	struct plait_deferred *outer = plait_succeed(PLAIT_NONE);

	begin(&a, NULL, "x");
	finish(&a);
	trace_clear();
	a = (struct op){ .step.name = "a" };
	wait.inner = plait_deferred_new(&a.p, step_canceller, &a.step);
	plait_deferred_add_both(outer, step, &wait);
	plait_scope_start(s, outer);
	plait_scope_cancel(s, "over");
	ck_assert_str_eq(trace(), "wait:none !a");
	a.d = outer;
	assert_cancelled(&a, "over");
	finish(&a);
	free_scope(&s, true);
}

/* ---- owned --------------------------------------------------------- */

/* One that is handed over with a callback; its handle is NULL after that. */
static void hand_over(struct op *o, struct plait_scope *s, const char *name)
{
	*o = (struct op){ .step.name = name };
	o->d = plait_deferred_new(&o->p, step_canceller, &o->step);
	pass_both(o->d, "then");
	plait_scope_own(s, &o->d);
	ck_assert_ptr_null(o->d);
}

GROUP("owned", .setup = steps_setup);

TEST(owned_one_runs_on_as_if_detached, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct op a;

	hand_over(&a, s, "a");
	ck_assert(!plait_scope_is_empty(s));
	plait_fire(&a.p, tracked("v"));
	ck_assert_str_eq(trace(), "then:v ~v");
	ck_assert(plait_scope_is_empty(s));
	free_scope(&s, true);
}

TEST(owned_one_is_cancelled_and_freed_without_a_report, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct op a;

	hand_over(&a, s, "a");
	plait_scope_cancel(s, "over");
	ck_assert_str_eq(trace(), "!a then:CancelledError");
	ck_assert(plait_scope_is_empty(s));
	ck_assert_int_eq(plait_fire(&a.p, tracked("late")), -ECANCELED);
	free_scope(&s, true);
}

TEST(owned_one_has_what_it_waits_for_cancelled_too, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct op a, inner = { .step.name = "inner" };
	struct step wait = { .name = "wait" };

	a = (struct op){ .step.name = "a" };
	a.d = plait_deferred_new(&a.p, step_canceller, &a.step);
	wait.inner = plait_deferred_new(&inner.p, step_canceller, &inner.step);
	plait_deferred_add_both(a.d, step, &wait);
	pass_both(a.d, "then");
	plait_scope_own(s, &a.d);
	plait_scope_cancel(s, "over");
	ck_assert_str_eq(trace(),
			 "!a wait:CancelledError !inner then:CancelledError");
	ck_assert(plait_scope_is_empty(s));
	ck_assert_int_eq(plait_fire(&inner.p, tracked("late")), -ECANCELED);
	plait_promise_drop(&a.p);
	free_scope(&s, true);
}

TEST(failure_of_an_owned_one_is_reported_if_nobody_handles_it, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct op a;

	hand_over(&a, s, "a");
	plait_fire(&a.p, plait_fail(&plait_error_any, "hm"));
	ck_assert_uint_eq(unhandled_count(), 1);
	unhandled_expect(1);
	free_scope(&s, true);
}

static plait_value cancel_scope(plait_value *result, void *arg)
{
	plait_scope_cancel(arg, "over");
	return PLAIT_NONE;
}

static plait_value drop_promise(struct plait_deferred *d, void *arg)
{
	plait_promise_drop((struct plait_promise **)arg);
	return plait_cancelled();
}

/* With no memory for the pair it is cancelled, and that frees it. */
TEST(owned_one_may_end_its_scope_when_memory_runs_out, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct plait_promise *p;
	struct plait_deferred *d = plait_deferred_new(&p, drop_promise, &p);

	plait_deferred_add_both(d, cancel_scope, s);
	for (int i = 0; i < 3; i++)
		pass_both(d, "pass");
	fault_alloc_at(1, false);
	plait_scope_own(s, &d);
	ck_assert(fault_alloc_reached());
	fault_alloc_off();
	ck_assert_str_eq(trace(), "");
	free_scope(&s, true);
}

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
	free_scope(&s, true);
	unhandled_expect(unhandled_count());
}

TEST(owning_what_has_fired_ends_it, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct plait_deferred *d = plait_succeed(tracked("v"));

	plait_scope_own(s, &d);
	ck_assert_str_eq(trace(), "~v");
	ck_assert(plait_scope_is_empty(s));
	plait_scope_cancel(s, "over");
	d = plait_succeed(tracked("w"));
	plait_scope_own(s, &d);
	ck_assert_str_eq(trace(), "~v ~w");
	free_scope(&s, true);
}

TEST(owning_in_a_cancelled_scope_cancels_and_frees, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct op a;

	plait_scope_cancel(s, "over");
	hand_over(&a, s, "a");
	ck_assert_str_eq(trace(), "!a then:CancelledError");
	ck_assert(plait_scope_is_empty(s));
	plait_promise_drop(&a.p);
	free_scope(&s, true);
}

/* ---- the tree ------------------------------------------------------ */

GROUP("tree", .setup = steps_setup);

TEST(scopes_inside_are_cancelled_too, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct plait_scope *in = plait_scope_new_in(s);
	struct op a, b, c;

	begin(&a, s, "a");
	begin(&b, in, "b");
	begin(&c, s, "c");
	plait_scope_cancel(s, "over");
	ck_assert_str_eq(trace(), "!c !a !b");
	ck_assert(plait_scope_is_cancelled(in));
	ck_assert_str_eq(plait_scope_reason(in), "over");
	assert_cancelled(&b, "over");
	finish(&a);
	finish(&b);
	finish(&c);
	free_scope(&in, true);
	free_scope(&s, true);
}

TEST(scope_around_is_left_alone, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct plait_scope *in = plait_scope_new_in(s);
	struct op a;

	begin(&a, s, "a");
	plait_scope_cancel(in, "in");
	ck_assert(!plait_scope_is_cancelled(s));
	ck_assert_str_eq(trace(), "");
	free_scope(&in, true);
	finish(&a);
	free_scope(&s, true);
}

TEST(scope_made_in_a_cancelled_one_is_cancelled, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct plait_scope *in;
	struct op a;

	plait_scope_cancel(s, "over");
	in = plait_scope_new_in(s);
	ck_assert(plait_scope_is_cancelled(in));
	ck_assert_str_eq(plait_scope_reason(in), "over");
	plait_scope_shield(in, 10);
	begin(&a, in, "a");
	assert_cancelled(&a, "over");
	finish(&a);
	free_scope(&s, false);
	free_scope(&in, true);
}

TEST(inner_cancelled_first_keeps_its_reason, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct plait_scope *in = plait_scope_new_in(s);

	plait_scope_cancel(in, "in");
	plait_scope_cancel(s, "out");
	ck_assert_str_eq(plait_scope_reason(in), "in");
	ck_assert_str_eq(plait_scope_reason(s), "out");
	free_scope(&in, true);
	free_scope(&s, true);
}

/* ---- ending -------------------------------------------------------- */

static char e_name[] = "e";

static void note(void *arg)
{
	trace_add("%s", (const char *)arg);
}

TEST(entry_is_told_once_and_holds_the_scope_until_it_leaves, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct plait_scope_entry e = { 0 };
	struct plait_deferred *ended;

	ck_assert_int_eq(plait_scope_enter(s, &e, note, e_name), 0);
	plait_scope_cancel(s, "over");
	plait_scope_cancel(s, "over");
	ck_assert_str_eq(trace(), "e");
	ended = plait_scope_free(&s);
	pass_both(ended, "ended");
	ck_assert_str_eq(trace(), "e");
	plait_scope_leave(&e);
	ck_assert_str_eq(trace(), "e ended:none");
	plait_scope_leave(&e);
	plait_deferred_free(&ended);
}

TEST(entering_a_cancelled_scope_is_refused, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct plait_scope_entry e = { 0 };

	plait_scope_cancel(s, "over");
	ck_assert_int_eq(plait_scope_enter(s, &e, never, NULL), -ECANCELED);
	plait_scope_leave(&e);
	free_scope(&s, true);
}

TEST(entry_that_left_can_enter_again, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct plait_scope_entry e = { 0 };

	ck_assert_int_eq(plait_scope_enter(s, &e, note, e_name), 0);
	plait_scope_leave(&e);
	ck_assert(plait_scope_is_empty(s));
	ck_assert_int_eq(plait_scope_enter(s, &e, note, e_name), 0);
	plait_scope_leave(&e);
	free_scope(&s, true);
	ck_assert_str_eq(trace(), "");
}

TEST(scope_ends_after_those_inside_it, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct plait_scope *in = plait_scope_new_in(s);
	struct plait_scope_entry e = { 0 };
	struct plait_deferred *ended, *in_ended;

	plait_scope_enter(in, &e, note, e_name);
	ended = plait_scope_free(&s);
	pass_both(ended, "out");
	in_ended = plait_scope_free(&in);
	pass_both(in_ended, "in");
	plait_scope_leave(&e);
	ck_assert_str_eq(trace(), "e in:none out:none");
	plait_deferred_free(&ended);
	plait_deferred_free(&in_ended);
}

static struct plait_scope *scope_of_work;
static struct plait_deferred *started, *scope_ended;

/* Frees what was started, and then the scope; says whether that has ended. */
static void act_free_all(struct step *st, plait_value *result)
{
	trace_add("in");
	plait_deferred_free(&started);
	ck_assert(!plait_scope_is_empty(scope_of_work));
	scope_ended = plait_scope_free(&scope_of_work);
	pass_both(scope_ended, "ended");
	trace_add("out");
}

/* Starts a deferred that waits for d, itself or in a gather. */
static void start_outer_of(struct plait_deferred *d, bool gathered)
{
	struct step *waits = calloc(1, sizeof(*waits));

	waits->inner = gathered ? plait_gather(&d, 1, 0) : d;
	scope_of_work = plait_scope_new(NULL);
	started = plait_succeed(PLAIT_NONE);
	plait_deferred_add_callback(started, step, waits);
	plait_scope_start(scope_of_work, started);
	free(waits);
}

TEST(scope_ends_after_the_callback_that_frees_what_was_started, PURE, TIMES(2))
{
	struct step frees = { .name = "cb", .act = act_free_all };
	struct plait_promise *p;
	struct plait_deferred *d = plait_deferred_new(&p, NULL, NULL);

	plait_deferred_add_both(d, step, &frees);
	start_outer_of(d, _i == 1);
	plait_fire(&p, PLAIT_NONE);
	ck_assert_str_eq(trace(), "cb:none in out ended:none");
	plait_deferred_free(&scope_ended);
}

TEST(scope_ends_after_the_canceller_that_frees_what_was_started, PURE, TIMES(2))
{
	struct step frees = { .name = "c", .act = act_free_all };
	struct plait_promise *p;

	unhandled_expect(1);
	start_outer_of(plait_deferred_new(&p, step_canceller, &frees), _i == 1);
	plait_deferred_cancel(started);
	ck_assert_str_eq(trace(), "!c in out ended:none");
	plait_promise_drop(&p);
	plait_deferred_free(&scope_ended);
}

/* Nothing is waited for: the canceller is that of what was started itself. */
TEST(scope_ends_after_the_canceller_of_what_was_started_itself, PURE)
{
	struct step frees = { .name = "c", .act = act_free_all };
	struct plait_promise *p;

	unhandled_expect(1);
	scope_of_work = plait_scope_new(NULL);
	started = plait_deferred_new(&p, step_canceller, &frees);
	plait_scope_start(scope_of_work, started);
	plait_deferred_cancel(started);
	ck_assert_str_eq(trace(), "!c in out ended:none");
	plait_promise_drop(&p);
	plait_deferred_free(&scope_ended);
}

static plait_value free_outer_scope(plait_value *result, void *arg)
{
	struct plait_scope **outer = arg;

	free_scope(outer, false);
	return PLAIT_NONE;
}

/* Its end is told by the loop that has just told that of the inner one. */
TEST(end_of_a_scope_may_free_the_one_around, PURE)
{
	struct plait_scope *outer = plait_scope_new(NULL);
	struct plait_scope *inner = plait_scope_new_in(outer);
	struct plait_scope_entry e = { .scope = NULL };
	struct plait_deferred *ended;

	ck_assert_int_eq(plait_scope_enter(inner, &e, note, e_name), 0);
	ended = plait_scope_free(&inner);
	plait_deferred_add_both(ended, free_outer_scope, &outer);
	plait_scope_leave(&e);
	ck_assert_ptr_null(outer);
	plait_deferred_free(&ended);
}

TEST(waiting_for_the_end_can_be_given_up, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct plait_scope_entry e = { 0 };
	struct plait_deferred *ended;

	plait_scope_enter(s, &e, note, e_name);
	ended = plait_scope_free(&s);
	plait_deferred_cancel(ended);
	ck_assert(plait_deferred_is_fired(ended));
	handle_all(ended);
	plait_deferred_free(&ended);
	plait_scope_leave(&e);

	s = plait_scope_new(NULL);
	plait_scope_enter(s, &e, note, e_name);
	ended = plait_scope_free(&s);
	plait_deferred_free(&ended);
	plait_scope_leave(&e);
}

/* ---- from inside --------------------------------------------------- */

/* What an entry does when it is told. */
struct nasty {
	struct plait_scope_entry e;
	struct plait_scope **scope;
	struct nasty *other;
	struct plait_deferred *ended;
	struct op op;
	const char *name;
};

static void nasty_cancels(void *arg)
{
	struct nasty *n = arg;

	trace_add("%s", n->name);
	plait_scope_cancel(*n->scope, "from inside");
	plait_scope_leave(&n->e);
}

GROUP("from inside", .setup = steps_setup);

TEST(entry_may_cancel_its_own_scope, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct nasty a = { .scope = &s, .name = "a" };
	struct op b;

	begin(&b, s, "b");
	plait_scope_enter(s, &a.e, nasty_cancels, &a);
	plait_scope_cancel(s, "over");
	ck_assert_str_eq(trace(), "a !b");
	assert_cancelled(&b, "over");
	finish(&b);
	free_scope(&s, true);
}

TEST(entry_may_cancel_the_scope_around, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct plait_scope *in = plait_scope_new_in(s);
	struct nasty a = { .scope = &s, .name = "a" };
	struct op b, c;

	begin(&b, in, "b");
	begin(&c, s, "c");
	plait_scope_enter(in, &a.e, nasty_cancels, &a);
	plait_scope_cancel(in, "over");
	ck_assert_str_eq(trace(), "a !c !b");
	assert_cancelled(&b, "over");
	assert_cancelled(&c, "from inside");
	finish(&b);
	finish(&c);
	free_scope(&in, true);
	free_scope(&s, true);
}

TEST(entry_may_cancel_a_scope_that_is_told_next, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct plait_scope *in = plait_scope_new_in(s);
	struct nasty a = { .scope = &in, .name = "a" };
	struct op b;

	begin(&b, in, "b");
	plait_scope_enter(s, &a.e, nasty_cancels, &a);
	plait_scope_cancel(s, "over");
	ck_assert_str_eq(trace(), "a !b");
	assert_cancelled(&b, "from inside");
	finish(&b);
	free_scope(&in, true);
	free_scope(&s, true);
}

static void nasty_frees(void *arg)
{
	struct nasty *n = arg;

	trace_add("%s", n->name);
	n->ended = plait_scope_free(n->scope);
	ck_assert(!plait_deferred_is_fired(n->ended));
	plait_scope_leave(&n->e);
	ck_assert(!plait_deferred_is_fired(n->ended));
}

TEST(entry_may_free_its_own_scope, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct nasty a = { .scope = &s, .name = "a" };
	struct op b;

	begin(&b, s, "b");
	plait_scope_enter(s, &a.e, nasty_frees, &a);
	plait_scope_cancel(s, "over");
	ck_assert_str_eq(trace(), "a !b");
	ck_assert(plait_deferred_is_fired(a.ended));
	plait_deferred_free(&a.ended);
	finish(&b);
}

TEST(entry_may_free_the_scope_around, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct plait_scope *in = plait_scope_new_in(s);
	struct nasty a = { .scope = &s, .name = "a" };

	plait_scope_enter(in, &a.e, nasty_frees, &a);
	plait_scope_cancel(s, "over");
	ck_assert(!plait_deferred_is_fired(a.ended));
	free_scope(&in, true);
	ck_assert(plait_deferred_is_fired(a.ended));
	plait_deferred_free(&a.ended);
}

static void nasty_makes_another_leave(void *arg)
{
	struct nasty *n = arg;

	trace_add("%s", n->name);
	plait_scope_leave(&n->other->e);
	plait_scope_leave(&n->e);
}

TEST(entries_may_leave_while_others_are_told, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct nasty a = { .name = "a" }, b = { .name = "b" };
	struct nasty c = { .name = "c", .other = &a };

	b.other = &c;
	a.other = &b;
	plait_scope_enter(s, &a.e, nasty_makes_another_leave, &a);
	plait_scope_enter(s, &b.e, nasty_makes_another_leave, &b);
	plait_scope_enter(s, &c.e, nasty_makes_another_leave, &c);
	plait_scope_cancel(s, "over");
	ck_assert_str_eq(trace(), "c b");
	ck_assert(plait_scope_is_empty(s));
	free_scope(&s, true);
}

static void nasty_starts_another(void *arg)
{
	struct nasty *n = arg;
	struct plait_scope *in = plait_scope_new_in(*n->scope);

	trace_add("%s", n->name);
	begin(&n->op, *n->scope, "started");
	ck_assert(plait_scope_is_cancelled(in));
	free_scope(&in, true);
	plait_scope_leave(&n->e);
}

TEST(starting_from_inside_is_cancelled_at_once, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct nasty a = { .scope = &s, .name = "a" };
	struct op b;

	begin(&b, s, "b");
	plait_scope_enter(s, &a.e, nasty_starts_another, &a);
	plait_scope_cancel(s, "over");
	ck_assert_str_eq(trace(), "a !started !b");
	finish(&a.op);
	finish(&b);
	free_scope(&s, true);
}

static plait_value free_that_scope(plait_value *result, void *arg)
{
	struct plait_deferred *ended = plait_scope_free(arg);

	plait_deferred_detach(&ended);
	return *result;
}

/* The last that is in it, and its handle, go while it is being entered. */
TEST(callback_may_free_the_scope_that_it_is_started_in, PURE)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct plait_deferred *d = plait_succeed(PLAIT_NONE);
	struct op a = { .step.name = "a" };

	plait_scope_start(s, d);
	plait_deferred_free(&d);
	plait_scope_cancel(s, "over");
	a.d = plait_deferred_new(&a.p, step_canceller, &a.step);
	plait_deferred_add_both(a.d, free_that_scope, &s);
	plait_scope_start(s, a.d);
	ck_assert_ptr_null(s);
	ck_assert_str_eq(trace(), "!a");
	finish(&a);
}

/* ---- deadlines ----------------------------------------------------- */

GROUP("time", .setup = steps_setup);

TEST(deadline_cancels_and_what_it_cancels_has_timed_out, ON_EACH_BACKEND)
{
	struct plait_scope *s = plait_scope_new(reactor);
	struct op a;
	const struct plait_failure *cause;

	plait_scope_set_deadline(s, 5);
	begin(&a, s, "a");
	run_for(reactor, 4.9);
	ck_assert(!plait_scope_is_cancelled(s));
	run_for(reactor, 0.2);
	ck_assert(plait_scope_is_cancelled(s));
	ck_assert_str_eq(plait_scope_reason(s), "the deadline has passed");
	ck_assert_str_eq(trace(), "!a");
	assert_timed_out(&a);
	cause = plait_failure_cause(failure_of(&a));
	ck_assert_ptr_eq(plait_failure_kind(cause), &plait_error_cancelled);
	finish(&a);
	begin(&a, s, "b");
	assert_timed_out(&a);
	finish(&a);
	free_scope(&s, true);
}

TEST(deadline_can_be_moved_and_taken_back, ON_EACH_BACKEND)
{
	struct plait_scope *s = plait_scope_new(reactor);

	ck_assert(isinf(plait_scope_deadline(s)));
	plait_scope_set_deadline(s, 1);
	plait_scope_set_deadline(s, 3);
	run_for(reactor, 2);
	ck_assert(!plait_scope_is_cancelled(s));
	plait_scope_set_deadline(s, INFINITY);
	ck_assert(isinf(plait_scope_deadline(s)));
	run_for(reactor, 10);
	ck_assert(!plait_scope_is_cancelled(s));
	plait_scope_set_deadline(s, 0);
	run_for(reactor, 0.1);
	ck_assert(plait_scope_is_cancelled(s));
	plait_scope_set_deadline(s, 1);
	ck_assert(isinf(plait_scope_deadline(s)));
	free_scope(&s, true);
}

TEST(tightest_deadline_holds, ON_EACH_BACKEND)
{
	struct plait_scope *s = plait_scope_new(reactor);
	struct plait_scope *in = plait_scope_new_in(s);
	double now;
	struct op a;

	clock_virtual(true);
	run_turns(reactor, 1);
	now = plait_reactor_seconds(reactor);
	plait_scope_set_deadline(s, 2);
	plait_scope_set_deadline(in, 5);
	ck_assert_double_eq_tol(plait_scope_deadline(in), now + 2, 1e-6);
	plait_scope_shield(in, 1);
	ck_assert_double_eq_tol(plait_scope_deadline(in), now + 3, 1e-6);
	plait_scope_shield(in, 0);
	begin(&a, in, "a");
	run_for(reactor, 2.1);
	assert_timed_out(&a);
	finish(&a);
	free_scope(&in, true);
	free_scope(&s, true);
}

static void cancel_it(void *arg)
{
	plait_scope_cancel((struct plait_scope *)arg, "outside");
}

/* _i is 1 if the cancel from outside comes first. */
TEST(outside_and_deadline_in_the_same_turn, ON_EACH_BACKEND, TIMES(2))
{
	struct plait_scope *s = plait_scope_new(reactor);
	struct plait_scope *in = plait_scope_new_in(s);
	struct plait_timer timer = { 0 };
	struct op a;

	begin(&a, in, "a");
	if (_i == 1)
		plait_timer_start(reactor, &timer, 1, cancel_it, s);
	plait_scope_set_deadline(in, 1);
	if (_i == 0)
		plait_timer_start(reactor, &timer, 1, cancel_it, s);
	run_for(reactor, 2);
	if (_i == 1)
		assert_cancelled(&a, "outside");
	else
		assert_timed_out(&a);
	finish(&a);
	free_scope(&in, true);
	free_scope(&s, true);
}

/* What the deadline has cancelled is still ending when the other comes. */
TEST(outside_outranks_a_deadline_inside, ON_EACH_BACKEND)
{
	struct plait_scope *s = plait_scope_new(reactor);
	struct plait_scope *in = plait_scope_new_in(s);
	struct op a;

	begin(&a, in, "a");
	plait_deferred_pause(a.d);
	plait_scope_set_deadline(in, 1);
	run_for(reactor, 2);
	ck_assert_str_eq(trace(), "!a");
	ck_assert_str_eq(plait_scope_reason(in), "the deadline has passed");
	plait_scope_cancel(s, "outside");
	ck_assert_str_eq(plait_scope_reason(in), "outside");
	plait_deferred_unpause(a.d);
	assert_cancelled(&a, "outside");
	ck_assert_ptr_nonnull(strstr(plait_failure_cancelled_at(failure_of(&a)),
				     "test_scope"));
	finish(&a);
	free_scope(&in, true);
	free_scope(&s, true);
}

/* The one in between lives on, but it is inside what was cancelled. */
TEST(outside_outranks_a_deadline_inside_a_shield, ON_EACH_BACKEND)
{
	struct plait_scope *s[3];

	s[0] = plait_scope_new(reactor);
	s[1] = plait_scope_new_in(s[0]);
	s[2] = plait_scope_new_in(s[1]);
	plait_scope_shield(s[1], 60);
	plait_scope_set_deadline(s[2], 1);
	run_for(reactor, 2);
	ck_assert_str_eq(plait_scope_reason(s[2]), "the deadline has passed");
	plait_scope_cancel(s[0], "outside");
	ck_assert(!plait_scope_is_cancelled(s[1]));
	ck_assert_str_eq(plait_scope_reason(s[2]), "outside");
	for (int i = 3; i-- > 0;)
		free_scope(&s[i], true);
}

TEST(deadline_around_does_not_outrank, ON_EACH_BACKEND)
{
	struct plait_scope *s = plait_scope_new(reactor);
	struct plait_scope *in = plait_scope_new_in(s);
	struct op a;

	begin(&a, in, "a");
	plait_scope_set_deadline(in, 1);
	plait_scope_set_deadline(s, 1.5);
	plait_deferred_pause(a.d);
	run_for(reactor, 2);
	plait_deferred_unpause(a.d);
	assert_timed_out(&a);
	finish(&a);
	free_scope(&in, true);
	free_scope(&s, true);
}

TEST(own_cancellation_does_not_become_a_timeout, ON_EACH_BACKEND)
{
	struct plait_scope *s = plait_scope_new(reactor);
	struct op a;

	begin(&a, s, "a");
	plait_deferred_pause(a.d);
	plait_deferred_cancel_because(a.d, "mine");
	plait_scope_set_deadline(s, 1);
	run_for(reactor, 2);
	plait_deferred_unpause(a.d);
	assert_cancelled(&a, "mine");
	finish(&a);
	free_scope(&s, true);
}

/* ---- shields ------------------------------------------------------- */

TEST(shielded_scope_is_given_its_time, ON_EACH_BACKEND)
{
	struct plait_scope *s = plait_scope_new(reactor);
	struct plait_scope *in = plait_scope_new_in(s);
	struct op a, b;

	plait_scope_shield(in, 3);
	begin(&a, in, "a");
	run_for(reactor, 1);
	plait_scope_cancel(s, "outside");
	ck_assert(!plait_scope_is_cancelled(in));
	begin(&b, in, "b");
	run_for(reactor, 2.9);
	ck_assert_str_eq(trace(), "");
	run_for(reactor, 0.2);
	ck_assert_str_eq(trace(), "!b !a");
	assert_cancelled(&a, "outside");
	assert_cancelled(&b, "outside");
	ck_assert_str_eq(plait_scope_reason(in), "outside");
	finish(&a);
	finish(&b);
	free_scope(&in, true);
	free_scope(&s, true);
}

TEST(shield_does_not_lengthen_an_own_deadline, ON_EACH_BACKEND)
{
	struct plait_scope *s = plait_scope_new(reactor);
	struct plait_scope *in = plait_scope_new_in(s);

	plait_scope_shield(in, 3);
	plait_scope_set_deadline(in, 2);
	plait_scope_cancel(s, "outside");
	run_for(reactor, 2.1);
	ck_assert(plait_scope_is_cancelled(in));
	free_scope(&in, true);
	free_scope(&s, true);
}

TEST(shield_cuts_an_own_deadline, ON_EACH_BACKEND)
{
	struct plait_scope *s = plait_scope_new(reactor);
	struct plait_scope *in = plait_scope_new_in(s);

	plait_scope_shield(in, 3);
	plait_scope_set_deadline(in, 100);
	plait_scope_cancel(s, "outside");
	plait_scope_set_deadline(in, 100);
	plait_scope_set_deadline(in, INFINITY);
	run_for(reactor, 2.9);
	ck_assert(!plait_scope_is_cancelled(in));
	run_for(reactor, 0.2);
	ck_assert(plait_scope_is_cancelled(in));
	free_scope(&in, true);
	free_scope(&s, true);
}

TEST(sheltered_scope_may_be_hurried, ON_EACH_BACKEND)
{
	struct plait_scope *s = plait_scope_new(reactor);
	struct plait_scope *in = plait_scope_new_in(s);

	plait_scope_shield(in, 3);
	plait_scope_cancel(s, "outside");
	plait_scope_set_deadline(in, 1);
	run_for(reactor, 1.1);
	ck_assert(plait_scope_is_cancelled(in));
	free_scope(&in, true);
	free_scope(&s, true);
}

TEST(shielded_scope_ends_early_when_its_work_is_done, ON_EACH_BACKEND)
{
	struct plait_scope *s = plait_scope_new(reactor);
	struct plait_scope *in = plait_scope_new_in(s);
	struct plait_deferred *ended;
	struct op a;

	plait_scope_shield(in, 3);
	begin(&a, in, "a");
	ended = plait_scope_free(&s);
	plait_fire(&a.p, PLAIT_NONE);
	ck_assert(!plait_deferred_is_fired(ended));
	free_scope(&in, true);
	ck_assert(plait_deferred_is_fired(ended));
	plait_deferred_free(&ended);
	finish(&a);
}

TEST(shield_is_no_shield_against_the_own_cancel, ON_EACH_BACKEND)
{
	struct plait_scope *s = plait_scope_new(reactor);
	struct op a;

	plait_scope_shield(s, 3);
	begin(&a, s, "a");
	plait_scope_cancel(s, "over");
	assert_cancelled(&a, "over");
	finish(&a);
	free_scope(&s, true);
}

/* ---- the reactor goes ---------------------------------------------- */

TEST(scope_outlives_the_reactor_without_a_deadline, ON_EACH_BACKEND)
{
	struct plait_scope *s = plait_scope_new(reactor);
	struct plait_scope *in = plait_scope_new_in(s);
	struct plait_scope *late;
	struct op a;

	plait_scope_set_deadline(s, 1);
	plait_scope_shield(in, 1);
	begin(&a, in, "a");
	unhandled_expect(1); /* a promise is pending */
	plait_reactor_free(&reactor);
	ck_assert(!plait_scope_is_cancelled(s));
	ck_assert(isinf(plait_scope_deadline(s)));
	plait_scope_set_deadline(s, 1);
	late = plait_scope_new_in(in);
	plait_scope_cancel(s, "over");
	ck_assert_str_eq(trace(), "!a");
	assert_cancelled(&a, "over");
	finish(&a);
	free_scope(&late, true);
	free_scope(&in, true);
	free_scope(&s, true);
}

TEST(sheltered_scope_is_cancelled_with_the_reactor, ON_EACH_BACKEND)
{
	struct plait_scope *s = plait_scope_new(reactor);
	struct plait_scope *in = plait_scope_new_in(s);
	struct op a;

	plait_scope_shield(in, 1000);
	begin(&a, in, "a");
	plait_scope_cancel(s, "over");
	ck_assert_str_eq(trace(), "");
	plait_reactor_free(&reactor);
	ck_assert_str_eq(trace(), "!a");
	assert_cancelled(&a, "over");
	finish(&a);
	free_scope(&in, true);
	free_scope(&s, true);
}

/* ---- depth --------------------------------------------------------- */

enum { MANY = 1000000 };

static struct plait_scope *nested[MANY];
static unsigned n_ended;

static plait_value count_ended(plait_value *result, void *arg)
{
	n_ended++;
	return *result;
}

static void *cancel_nested(void *arg)
{
	struct plait_deferred *d;

	for (int i = 0; i < MANY; i++)
		nested[i] = i == 0 ? plait_scope_new(NULL)
				   : plait_scope_new_in(nested[i - 1]);
	plait_scope_cancel(nested[0], "over");
	ck_assert(plait_scope_is_cancelled(nested[MANY - 1]));
	for (int i = 0; i < MANY; i++) {
		d = plait_scope_free(&nested[i]);
		plait_deferred_add_both(d, count_ended, NULL);
		plait_deferred_detach(&d);
	}
	ck_assert_uint_eq(n_ended, MANY);
	return NULL;
}

GROUP("depth", .timeout = 60);

TEST(million_nested_scopes_end_on_a_small_stack, PURE)
{
	on_small_stack(cancel_nested);
}

static void *cancel_many(void *arg)
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct plait_scope *in = plait_scope_new_in(s);

	for (int i = 0; i < MANY; i++) {
		struct plait_promise *p;
		struct plait_deferred *d = plait_deferred_new(&p, NULL, NULL);

		plait_deferred_add_both(d, count_ended, NULL);
		plait_scope_own(i % 2 ? s : in, &d);
		plait_promise_drop(&p);
	}
	ck_assert_uint_eq(n_ended, MANY);
	free_scope(&in, true);
	free_scope(&s, true);
	return NULL;
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
		free_scope(&deep[i], true);
}

GROUP("time", .setup = steps_setup);

/*
 * The innermost times out with as many in it as there are scopes around it,
 * and in between one far outside is cancelled by a call.  The time limit is
 * that of a test: looking at each scope for each deferred would take minutes.
 */
TEST(many_that_time_out_deep_inside_cost_no_more_for_the_depth, ON_EACH_BACKEND)
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

TEST(deadlines_asked_for_deep_inside_cost_no_more_for_the_depth,
     ON_EACH_BACKEND)
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
TEST(deadline_that_was_asked_for_follows_what_changes, ON_EACH_BACKEND)
{
	struct plait_scope *s[3];
	double now = plait_reactor_seconds(reactor);

	s[0] = plait_scope_new(reactor);
	s[1] = plait_scope_new_in(s[0]);
	s[2] = plait_scope_new_in(s[1]);
	ck_assert(isinf(plait_scope_deadline(s[2])));
	plait_scope_set_deadline(s[0], 10);
	ck_assert_double_eq_tol(plait_scope_deadline(s[2]) - now, 10, 0.5);
	plait_scope_shield(s[1], 5);
	ck_assert_double_eq_tol(plait_scope_deadline(s[2]) - now, 15, 0.5);
	plait_scope_set_deadline(s[2], 3);
	ck_assert_double_eq_tol(plait_scope_deadline(s[2]) - now, 3, 0.5);
	plait_scope_set_deadline(s[2], INFINITY);
	ck_assert_double_eq_tol(plait_scope_deadline(s[2]) - now, 15, 0.5);
	plait_scope_set_deadline(s[0], INFINITY);
	ck_assert(isinf(plait_scope_deadline(s[2])));
	plait_scope_set_deadline(s[1], 7);
	ck_assert_double_eq_tol(plait_scope_deadline(s[2]) - now, 7, 0.5);
	plait_scope_cancel(s[1], NULL);
	ck_assert(isinf(plait_scope_deadline(s[2])));
	for (int i = 3; i-- > 0;)
		free_scope(&s[i], true);
}

GROUP("depth", .timeout = 60);

TEST(million_deferreds_come_and_go, PURE)
{
	unhandled_expect(MANY); /* abandoned */
	on_small_stack(cancel_many);
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

GROUP("connections", .setup = steps_setup);

TEST(scope_of_a_connection_is_cancelled_before_it_is_told_of_the_loss,
     ON_EACH_BACKEND)
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
	plait_transport_abort(t);
	plait_testing_advance(reactor, 0);
	assert_cancelled(&on_wire, "ConnectionAborted");
	ck_assert_ptr_null(plait_transport_scope(t));
	finish(&on_wire);
}

TEST(scope_of_a_connection_is_not_made_after_the_loss, ON_EACH_BACKEND)
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

TEST(scope_of_a_connection_outlives_it_if_something_is_in_it, ON_EACH_BACKEND)
{
	struct wire w = { .on_made = start_paused };

	ck_assert(wire_open(&w, reactor));
	wire_close(&w);
	ck_assert_str_eq(trace(), "!a");
	plait_deferred_unpause(on_wire.d);
	assert_cancelled(&on_wire, "ConnectionDone");
	finish(&on_wire);
}

TEST(reactor_that_goes_cancels_the_scopes_of_its_connections, ON_EACH_BACKEND)
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
	ended = plait_scope_free(&s);
	handle_all(ended);
	plait_promise_drop(&b.p);
	plait_deferred_free(&ended);
	ended = plait_scope_free(&in);
	handle_all(ended);
	plait_deferred_free(&ended);
	trace_clear();
}

GROUP("torture", .setup = steps_setup, .timeout = 60);

TEST(what_cannot_be_entered_is_cancelled, PURE, TIMES(2))
{
	struct plait_scope *s = plait_scope_new(NULL);
	struct op a = { .step.name = "a" };

	a.d = plait_deferred_new(&a.p, step_canceller, &a.step);
	for (int i = 0; i < 4; i++)
		handle_all(a.d);
	fault_alloc_at((unsigned long)_i, false);
	plait_scope_start(s, a.d);
	ck_assert(fault_alloc_reached());
	fault_off();
	ck_assert_str_eq(trace(), "!a");
	ck_assert(plait_scope_is_empty(s));
	finish(&a);
	free_scope(&s, true);
}

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

/*
 * Deferreds: firing, chains of callbacks, re-entrancy, pausing, waiting for
 * another one, chaining to a promise, and the reports of failures that nobody
 * handled.  Cancelling has its own file.
 */
#include <plait/plait.h>

#include "tests/child.h"
#include "tests/harness.h"
#include "tests/steps.h"

static struct plait_deferred *make(struct plait_promise **p)
{
	return plait_deferred_new(p, NULL, NULL);
}

static plait_value error(const char *message)
{
	return plait_fail(&plait_error_any, "%s", message);
}

static void assert_result(const struct plait_deferred *d, const char *text)
{
	const plait_value *v = plait_deferred_result(d);
	char buf[128];

	ck_assert_ptr_nonnull(v);
	plait_value_str(v, buf, sizeof(buf));
	ck_assert_str_eq(buf, text);
}

/* ---- firing -------------------------------------------------------- */

GROUP("firing", .setup = steps_setup);

TEST(new_one_has_not_fired_and_has_no_result, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	ck_assert_ptr_nonnull(p);
	ck_assert(!plait_deferred_is_fired(d));
	ck_assert_ptr_null(plait_deferred_result(d));
	ck_assert(!plait_promise_is_cancelled(p));
	plait_fire(&p, PLAIT_NONE);
	plait_deferred_free(&d);
}

TEST(firing_runs_the_chain_before_it_returns, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	pass_callback(d, "a");
	pass_callback(d, "b");
	ck_assert_int_eq(plait_fire(&p, plait_int(1)), 0);
	ck_assert_str_eq(trace(), "a:1 b:1");
	ck_assert(plait_deferred_is_fired(d));
	assert_result(d, "1");
	plait_deferred_free(&d);
}

TEST(firing_spends_the_promise, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	plait_fire(&p, plait_int(1));
	ck_assert_ptr_null(p);
	ck_assert(plait_promise_is_cancelled(p));
	ck_assert_int_eq(plait_fire(&p, tracked("v")), -EALREADY);
	ck_assert_str_eq(trace(), "~v");
	ck_assert_int_eq(plait_fire(&p, error("late")), -EALREADY);
	ck_assert_uint_eq(unhandled_count(), 0);
	assert_result(d, "1");
	plait_deferred_free(&d);
}

TEST(failure_that_is_fired_goes_to_the_errbacks, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	pass_callback(d, "a");
	pass_errback(d, "b");
	plait_fire(&p, error("e"));
	ck_assert_str_eq(trace(), "b:Error: e");
	handle_all(d);
	plait_deferred_free(&d);
}

TEST(none_is_an_ordinary_result, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	pass_callback(d, "a");
	plait_fire(&p, PLAIT_NONE);
	ck_assert_str_eq(trace(), "a:none");
	assert_result(d, "none");
	plait_deferred_free(&d);
}

TEST(firing_with_a_deferred_is_refused_and_frees_it, PURE)
{
	struct plait_promise *p, *q;
	struct plait_deferred *d = make(&p), *other = make(&q);

	ck_assert_int_eq(plait_fire(&p, plait_chain(&other)), -EINVAL);
	ck_assert_ptr_null(other);
	ck_assert(plait_promise_is_cancelled(q));
	plait_promise_drop(&q);
	ck_assert(!plait_deferred_is_fired(d));
	ck_assert_int_eq(plait_fire(&p, plait_int(1)), 0);
	other = plait_succeed(tracked("v"));
	ck_assert_int_eq(plait_fire(&p, plait_chain(&other)), -EINVAL);
	ck_assert_str_eq(trace(), "~v");
	plait_deferred_free(&d);
}

TEST(callback_that_fires_its_own_promise_gets_ealready, PURE)
{
	struct step s = { .name = "a", .act = act_fire };
	struct plait_deferred *d = make(&s.p);

	plait_deferred_add_callback(d, step, &s);
	ck_assert_int_eq(plait_fire(&s.p, plait_int(1)), 0);
	ck_assert_str_eq(trace(), "a:1 fire=-114");
	assert_result(d, "1");
	plait_deferred_free(&d);
}

static plait_value raise_ealready(plait_value *result, void *arg)
{
	int rc = plait_fire(arg, PLAIT_NONE);

	return plait_fail_errno(&plait_error_os, -rc, "fired twice");
}

TEST(refusal_to_fire_twice_may_be_made_a_failure, PURE)
{
	struct plait_promise *p, *spent = NULL;
	struct plait_deferred *d = make(&p);

	plait_deferred_add_callback(d, raise_ealready, &spent);
	pass_callback(d, "never");
	pass_errback(d, "b");
	plait_fire(&p, PLAIT_NONE);
	ck_assert_str_eq(trace(), "b:OSError: fired twice: "
				  "Operation already in progress");
	ck_assert_int_eq(plait_failure_errno(
				 plait_value_failure(plait_deferred_result(d))),
			 EALREADY);
	handle_all(d);
	plait_deferred_free(&d);
}

TEST(dropped_promise_fires_abandoned, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	const struct plait_failure *f;

	plait_promise_drop(&p);
	ck_assert_ptr_null(p);
	f = plait_value_failure(plait_deferred_result(d));
	ck_assert(plait_failure_check(f, &plait_error_abandoned));
	plait_promise_drop(&p);
	handle_all(d);
	plait_deferred_free(&d);
}

/* ---- the chain ----------------------------------------------------- */

GROUP("chain", .setup = steps_setup);

TEST(pairs_run_in_order_and_once, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	static const char *const names[] = { "a", "b", "c", "d", "e",
					     "f", "g", "h", "i", "j" };

	for (int i = 0; i < 10; i++)
		pass_both(d, names[i]);
	plait_fire(&p, plait_int(1));
	pass_both(d, "k");
	ck_assert_str_eq(trace(),
			 "a:1 b:1 c:1 d:1 e:1 f:1 g:1 h:1 i:1 j:1 k:1");
	plait_deferred_free(&d);
}

/* The pair's other half is skipped, whatever its own half answers. */
TEST(pair_runs_the_half_that_the_result_asks_for, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	struct step fails = { .name = "c",
			      .answers = true,
			      .answer = error("e") };
	struct step recovers = { .name = "e",
				 .answers = true,
				 .answer = plait_int(2) };
	struct step never = { .name = "never" };

	plait_deferred_add_callbacks(d, step, &fails, step, &never);
	plait_deferred_add_callbacks(d, step, &never, step, &recovers);
	pass_callback(d, "last");
	plait_fire(&p, plait_int(1));
	ck_assert_str_eq(trace(), "c:1 e:Error: e last:2");
	plait_deferred_free(&d);
}

/* Errbacks get every failure: static ones, and kinds of the program's own. */
TEST(kind_of_a_failure_does_not_matter_to_the_chain, PURE)
{
	static const struct plait_error own = { .name = "OwnError" };
	plait_value failures[] = { plait_fail(&own, "m"), plait_cancelled(),
				   plait_no_memory(), plait_connection_done() };
	static const char *const texts[] = { "b:OwnError: m",
					     "b:CancelledError",
					     "b:NoMemoryError",
					     "b:ConnectionDone" };

	for (int i = 0; i < 4; i++) {
		struct step s = { .answers = true, .answer = failures[i] };
		struct plait_deferred *d = plait_succeed(PLAIT_NONE);

		trace_clear();
		plait_deferred_add_callback(d, step, &s);
		pass_callback(d, "never");
		pass_errback(d, "b");
		ck_assert_str_eq(trace(), texts[i]);
		handle_all(d);
		plait_deferred_free(&d);
	}
}

static plait_value handle_timeouts(plait_value *result, void *arg)
{
	if (plait_failure_check(plait_value_failure(result),
				&plait_error_timeout))
		return plait_int(0);
	return *result;
}

TEST(errback_that_traps_one_kind_passes_others_on, PURE)
{
	struct plait_deferred *d =
		plait_failed(plait_fail(&plait_error_timeout, "late"));
	struct plait_deferred *e = plait_failed(error("e"));

	plait_deferred_add_errback(d, handle_timeouts, NULL);
	plait_deferred_add_errback(e, handle_timeouts, NULL);
	assert_result(d, "0");
	assert_result(e, "Error: e");
	handle_all(e);
	plait_deferred_free(&d);
	plait_deferred_free(&e);
}

TEST(returned_value_is_the_next_result, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	struct step two = { .name = "a",
			    .answers = true,
			    .answer = plait_int(2) };
	struct step none = { .name = "b", .answers = true };

	plait_deferred_add_callback(d, step, &two);
	plait_deferred_add_callback(d, step, &none);
	pass_callback(d, "c");
	plait_fire(&p, tracked("v"));
	ck_assert_str_eq(trace(), "a:v ~v b:2 c:none");
	plait_deferred_free(&d);
}

TEST(what_a_callback_leaves_in_the_slot_is_freed, PURE)
{
	struct plait_deferred *d = plait_succeed(tracked("v"));
	struct step s = { .answers = true, .answer = tracked("w") };

	plait_deferred_add_callback(d, step, &s);
	ck_assert_str_eq(trace(), "~v");
	plait_deferred_free(&d);
	ck_assert_str_eq(trace(), "~v ~w");
}

static plait_value take_it(plait_value *result, void *arg)
{
	*(plait_value *)arg = plait_take(result);
	return PLAIT_NONE;
}

TEST(what_a_callback_takes_is_its_own, PURE)
{
	struct plait_deferred *d = plait_succeed(tracked("v"));
	plait_value mine;

	plait_deferred_add_callback(d, take_it, &mine);
	plait_deferred_free(&d);
	ck_assert_str_eq(trace(), "");
	plait_value_free(&mine);
	ck_assert_uint_eq(tracked_live(), 0);
}

static plait_value take_and_return(plait_value *result, void *arg)
{
	return plait_take(result);
}

TEST(taking_and_returning_passes_on, PURE)
{
	struct plait_deferred *d = plait_succeed(tracked("v"));

	plait_deferred_add_both(d, take_and_return, NULL);
	pass_both(d, "a");
	ck_assert_str_eq(trace(), "a:v");
	plait_deferred_free(&d);
	ck_assert_uint_eq(tracked_live(), 0);
}

TEST(half_that_is_missing_passes_the_result_through, PURE)
{
	struct plait_deferred *d = plait_succeed(plait_int(1));
	struct plait_deferred *e = plait_failed(error("e"));
	struct step never = { .name = "never" };

	plait_deferred_add_errback(d, step, &never);
	plait_deferred_add_callbacks(d, NULL, NULL, step, &never);
	pass_both(d, "d");
	plait_deferred_add_callback(e, step, &never);
	plait_deferred_add_callbacks(e, step, &never, NULL, NULL);
	pass_both(e, "e");
	ck_assert_str_eq(trace(), "d:1 e:Error: e");
	handle_all(e);
	plait_deferred_free(&d);
	plait_deferred_free(&e);
}

TEST(both_is_one_function_for_either, PURE)
{
	struct plait_deferred *d = plait_succeed(plait_int(1));
	struct step fails = { .name = "a",
			      .answers = true,
			      .answer = error("e") };

	plait_deferred_add_both(d, step, &fails);
	pass_both(d, "b");
	ck_assert_str_eq(trace(), "a:1 b:Error: e");
	handle_all(d);
	plait_deferred_free(&d);
}

static plait_value note_address(plait_value *result, void *arg)
{
	const struct plait_failure **at = arg;

	*at = plait_value_failure(result);
	return *result;
}

TEST(same_failure_is_handed_on_not_a_copy, PURE)
{
	plait_value v = error("e");
	const struct plait_failure *made = plait_value_failure(&v);
	const struct plait_failure *first, *second;
	struct plait_deferred *d = plait_failed(v);

	plait_deferred_add_errback(d, note_address, &first);
	plait_deferred_add_callbacks(d, NULL, NULL, NULL, NULL);
	plait_deferred_add_both(d, note_address, &second);
	ck_assert_ptr_eq(first, made);
	ck_assert_ptr_eq(second, made);
	handle_all(d);
	plait_deferred_free(&d);
}

TEST(adding_returns_the_deferred_itself, PURE)
{
	struct plait_deferred *d = plait_succeed(PLAIT_NONE);
	struct step s = { .name = NULL };

	ck_assert_ptr_eq(plait_deferred_add_callback(d, step, &s), d);
	ck_assert_ptr_eq(plait_deferred_add_errback(d, step, &s), d);
	ck_assert_ptr_eq(plait_deferred_add_both(d, step, &s), d);
	ck_assert_ptr_eq(plait_deferred_add_callbacks(d, step, &s, step, &s),
			 d);
	plait_deferred_free(&d);
}

TEST(adding_to_a_fired_one_runs_at_once, PURE)
{
	struct plait_deferred *d = plait_succeed(plait_int(7));

	pass_both(d, "a");
	ck_assert_str_eq(trace(), "a:7");
	pass_both(d, "b");
	ck_assert_str_eq(trace(), "a:7 b:7");
	plait_deferred_free(&d);
}

/* ---- inside a callback --------------------------------------------- */

GROUP("inside a callback", .setup = steps_setup);

TEST(added_inside_a_callback_runs_after_those_queued, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	struct step s = { .name = "a", .act = act_add, .d = d };

	plait_deferred_add_both(d, step, &s);
	pass_both(d, "b");
	plait_fire(&p, plait_int(1));
	ck_assert_str_eq(trace(), "a:1 b:1 added:1");
	plait_deferred_free(&d);
}

static void act_look(struct step *s, plait_value *result)
{
	ck_assert_ptr_eq(plait_deferred_result(s->d), result);
	assert_result(s->d, "1");
}

TEST(result_during_a_callback_is_its_argument, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	struct step s = {
		.act = act_look, .d = d, .answers = true, .answer = plait_int(2)
	};

	plait_deferred_add_both(d, step, &s);
	plait_fire(&p, plait_int(1));
	assert_result(d, "2");
	plait_deferred_free(&d);
}

TEST(firing_another_inside_runs_that_chain_first, PURE)
{
	struct plait_promise *p;
	struct step s = { .name = "a", .act = act_fire };
	struct plait_deferred *d = make(&p), *other = make(&s.p);

	plait_deferred_add_both(d, step, &s);
	pass_both(d, "b");
	pass_both(other, "x");
	pass_both(other, "y");
	plait_fire(&p, plait_int(1));
	ck_assert_str_eq(trace(), "a:1 x:99 y:99 fire=0 b:1");
	plait_deferred_free(&d);
	plait_deferred_free(&other);
}

TEST(pausing_inside_holds_after_that_callback, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	struct step s = { .name = "a", .act = act_pause, .d = d };

	plait_deferred_add_both(d, step, &s);
	pass_both(d, "b");
	plait_fire(&p, plait_int(1));
	ck_assert_str_eq(trace(), "a:1");
	plait_deferred_unpause(d);
	ck_assert_str_eq(trace(), "a:1 b:1");
	plait_deferred_free(&d);
}

TEST(cancelling_inside_is_nothing, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	struct step s = { .name = "a", .act = act_cancel, .d = d };

	plait_deferred_add_both(d, step, &s);
	pass_both(d, "b");
	plait_fire(&p, plait_int(1));
	ck_assert_str_eq(trace(), "a:1 b:1");
	plait_deferred_free(&d);
}

TEST(freeing_inside_runs_no_further_callback, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	struct step s = { .name = "a", .act = act_free, .d = d };

	plait_deferred_add_both(d, step, &s);
	pass_both(d, "b");
	plait_fire(&p, tracked("v"));
	ck_assert_str_eq(trace(), "a:v ~v");
	ck_assert_ptr_null(s.d);
}

TEST(freeing_inside_frees_what_the_callback_returns, PURE)
{
	struct plait_promise *p, *q;
	struct plait_deferred *d = make(&p);
	struct step s = { .name = "a", .act = act_free, .d = d };

	s.inner = make(&q);
	plait_deferred_add_both(d, step, &s);
	plait_fire(&p, tracked("v"));
	ck_assert_str_eq(trace(), "a:v ~v");
	ck_assert(plait_promise_is_cancelled(q));
	plait_promise_drop(&q);
}

TEST(detaching_inside_lets_the_rest_run, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	struct step s = { .name = "a", .act = act_detach, .d = d };

	plait_deferred_add_both(d, step, &s);
	pass_both(d, "b");
	plait_fire(&p, tracked("v"));
	ck_assert_str_eq(trace(), "a:v b:v ~v");
}

/* A deferred may be returned to another while one of its callbacks runs. */
static plait_value give_self_away(plait_value *result, void *arg)
{
	struct step *s = arg;

	trace_add("inner");
	plait_fire(&s->p, PLAIT_NONE);
	return plait_int(5);
}

TEST(waiting_for_one_that_is_running_waits_for_its_end, PURE)
{
	struct plait_promise *p, *q;
	struct plait_deferred *outer = make(&q), *inner = make(&p);
	struct step returns = { .name = "outer" };
	struct step fires = { .p = q };

	plait_deferred_add_both(inner, give_self_away, &fires);
	pass_both(inner, "b");
	returns.inner = inner;
	plait_deferred_add_both(outer, step, &returns);
	pass_both(outer, "c");
	plait_fire(&p, plait_int(1));
	ck_assert_str_eq(trace(), "inner outer:none b:5 c:5");
	plait_deferred_free(&outer);
}

/* ---- pausing ------------------------------------------------------- */

GROUP("pausing", .setup = steps_setup);

TEST(pauses_are_counted, PURE)
{
	struct plait_deferred *d = plait_succeed(plait_int(1));

	plait_deferred_pause(d);
	plait_deferred_pause(d);
	pass_both(d, "a");
	plait_deferred_unpause(d);
	ck_assert_str_eq(trace(), "");
	plait_deferred_unpause(d);
	ck_assert_str_eq(trace(), "a:1");
	plait_deferred_free(&d);
}

TEST(paused_one_can_be_fired, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	pass_both(d, "a");
	plait_deferred_pause(d);
	ck_assert_int_eq(plait_fire(&p, plait_int(1)), 0);
	ck_assert(plait_deferred_is_fired(d));
	assert_result(d, "1");
	ck_assert_str_eq(trace(), "");
	pass_both(d, "b");
	plait_deferred_unpause(d);
	ck_assert_str_eq(trace(), "a:1 b:1");
	plait_deferred_free(&d);
}

TEST(pausing_before_firing_has_no_effect_of_its_own, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	pass_both(d, "a");
	plait_deferred_pause(d);
	plait_deferred_unpause(d);
	ck_assert_str_eq(trace(), "");
	plait_fire(&p, plait_int(1));
	ck_assert_str_eq(trace(), "a:1");
	plait_deferred_free(&d);
}

static void unpause(void *d)
{
	plait_deferred_unpause(d);
}

TEST(unpausing_what_is_not_paused_aborts, PURE)
{
	struct plait_deferred *d = plait_succeed(PLAIT_NONE);

	assert_aborts(unpause, d, "was not paused");
	plait_deferred_free(&d);
}

/* The outer is paused by the user and waits; both holds have to end. */
TEST(paused_outer_gets_the_result_and_runs_when_unpaused, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *inner = make(&p);
	struct step s = { .name = "a", .inner = inner };
	struct plait_deferred *outer = plait_succeed(PLAIT_NONE);

	pass_both(inner, "i");
	plait_deferred_add_both(outer, step, &s);
	pass_both(outer, "b");
	plait_deferred_pause(outer);
	plait_fire(&p, plait_int(1));
	ck_assert_str_eq(trace(), "a:none i:1");
	assert_result(outer, "1");
	plait_deferred_unpause(outer);
	ck_assert_str_eq(trace(), "a:none i:1 b:1");
	plait_deferred_free(&outer);
}

TEST(unpausing_a_waiting_outer_does_not_run_it, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *inner = make(&p);
	struct step s = { .inner = inner };
	struct plait_deferred *outer = plait_succeed(PLAIT_NONE);

	plait_deferred_add_both(outer, step, &s);
	pass_both(outer, "b");
	plait_deferred_pause(outer);
	plait_deferred_unpause(outer);
	ck_assert_str_eq(trace(), "");
	plait_fire(&p, plait_int(1));
	ck_assert_str_eq(trace(), "b:1");
	plait_deferred_free(&outer);
}

/* A run that stops at a paused outer still ends the runs around it. */
TEST(paused_outer_does_not_stop_a_run_around_it, PURE)
{
	struct plait_promise *p, *q;
	struct plait_deferred *first = make(&q), *inner = make(&p);
	struct step s = { .inner = inner };
	struct plait_deferred *outer = plait_succeed(PLAIT_NONE);

	plait_deferred_add_both(outer, step, &s);
	pass_both(outer, "b");
	plait_deferred_pause(outer);
	plait_deferred_chain(first, &p);
	pass_both(first, "f");
	plait_fire(&q, plait_int(1));
	ck_assert_str_eq(trace(), "f:none");
	plait_deferred_unpause(outer);
	ck_assert_str_eq(trace(), "f:none b:1");
	plait_deferred_free(&outer);
	plait_deferred_free(&first);
}

/* ---- waiting ------------------------------------------------------- */

/* A fired deferred that waits for inner; *inner is taken. */
static struct plait_deferred *waiting_for(struct plait_deferred **inner)
{
	struct step s = { .inner = *inner };
	struct plait_deferred *outer = plait_succeed(PLAIT_NONE);

	*inner = NULL;
	return plait_deferred_add_both(outer, step, &s);
}

GROUP("waiting", .setup = steps_setup);

TEST(outer_waits_for_an_inner_that_has_not_fired, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *inner = make(&p);
	struct plait_deferred *outer = waiting_for(&inner);

	pass_both(outer, "a");
	ck_assert_str_eq(trace(), "");
	ck_assert_ptr_null(plait_deferred_result(outer));
	ck_assert(plait_deferred_is_fired(outer));
	plait_fire(&p, plait_int(3));
	ck_assert_str_eq(trace(), "a:3");
	plait_deferred_free(&outer);
}

TEST(outer_runs_inside_the_firing_after_the_inners_pairs, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *inner = make(&p), *outer;
	struct step two = { .name = "i",
			    .answers = true,
			    .answer = plait_int(2) };

	plait_deferred_add_both(inner, step, &two);
	outer = waiting_for(&inner);
	pass_both(outer, "o");
	plait_fire(&p, plait_int(1));
	ck_assert_str_eq(trace(), "i:1 o:2");
	plait_deferred_free(&outer);
}

TEST(result_moves_to_the_outer_and_is_freed_once, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *inner = make(&p);
	struct plait_deferred *outer = waiting_for(&inner);

	plait_fire(&p, tracked("v"));
	ck_assert_str_eq(trace(), "");
	assert_result(outer, "v");
	plait_deferred_free(&outer);
	ck_assert_str_eq(trace(), "~v");
}

TEST(failure_moves_and_with_it_the_duty_to_report, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *inner = make(&p);
	struct plait_deferred *outer = waiting_for(&inner);

	plait_fire(&p, error("e"));
	ck_assert_uint_eq(unhandled_count(), 0);
	plait_deferred_free(&outer);
	ck_assert_uint_eq(unhandled_count(), 1);
	ck_assert_str_eq(unhandled_text(), "Error: e");
	unhandled_expect(1);
}

TEST(fired_inner_is_not_waited_for, PURE)
{
	struct plait_deferred *inner = plait_succeed(plait_int(4));
	struct plait_deferred *outer = waiting_for(&inner);

	assert_result(outer, "4");
	pass_both(outer, "a");
	ck_assert_str_eq(trace(), "a:4");
	plait_deferred_free(&outer);

	inner = plait_failed(error("e"));
	outer = waiting_for(&inner);
	assert_result(outer, "Error: e");
	handle_all(outer);
	plait_deferred_free(&outer);
}

TEST(chains_resolve_innermost_first, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *a = make(&p), *b, *c;

	pass_both(a, "a");
	b = waiting_for(&a);
	pass_both(b, "b");
	c = waiting_for(&b);
	pass_both(c, "c");
	plait_fire(&p, plait_int(1));
	ck_assert_str_eq(trace(), "a:1 b:1 c:1");
	plait_deferred_free(&c);
}

/* Its handle is gone, so nobody could unpause it. */
TEST(pauses_of_an_inner_end_when_it_is_taken, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *fired = plait_succeed(plait_int(1));
	struct plait_deferred *pending = make(&p), *outer;

	plait_deferred_pause(fired);
	plait_deferred_pause(fired);
	pass_both(fired, "a");
	outer = waiting_for(&fired);
	pass_both(outer, "b");
	ck_assert_str_eq(trace(), "a:1 b:1");
	plait_deferred_free(&outer);

	plait_deferred_pause(pending);
	outer = waiting_for(&pending);
	plait_fire(&p, plait_int(2));
	ck_assert_int_eq(plait_value_int(plait_deferred_result(outer)), 2);
	plait_deferred_free(&outer);
}

/* Those that it takes while it runs run before it goes on, and in order. */
TEST(paused_inner_that_is_taken_runs_before_its_outer, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *inner = plait_succeed(plait_int(1));
	struct plait_deferred *outer = make(&p);
	struct step waits = { .name = "outer", .inner = inner };

	plait_deferred_pause(inner);
	pass_both(inner, "a");
	pass_both(inner, "b");
	plait_deferred_add_both(outer, step, &waits);
	pass_both(outer, "c");
	plait_fire(&p, PLAIT_NONE);
	ck_assert_str_eq(trace(), "outer:none a:1 b:1 c:1");
	plait_deferred_free(&outer);
}

/* It paused itself in the callback that makes it wait. */
TEST(inner_that_waits_and_is_paused_is_waited_for, PURE)
{
	struct plait_promise *p, *q;
	struct plait_deferred *inner = make(&p), *innermost = make(&q), *outer;
	struct step waits = { .act = act_pause, .d = inner };

	waits.inner = innermost;
	plait_deferred_add_both(inner, step, &waits);
	outer = waiting_for(&inner);
	pass_both(outer, "a");
	plait_fire(&p, PLAIT_NONE);
	plait_fire(&q, plait_int(1));
	ck_assert_str_eq(trace(), "");
	plait_deferred_unpause(waits.d);
	ck_assert_str_eq(trace(), "a:1");
	plait_deferred_free(&outer);
}

TEST(inner_that_waits_itself_is_waited_for, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *a = make(&p);
	struct plait_deferred *b = waiting_for(&a);
	struct plait_deferred *c = waiting_for(&b);

	ck_assert_ptr_null(plait_deferred_result(c));
	plait_fire(&p, plait_int(1));
	assert_result(c, "1");
	plait_deferred_free(&c);
}

TEST(promise_of_a_waiting_outer_is_spent, PURE)
{
	struct plait_promise *p, *q;
	struct plait_deferred *inner = make(&p), *outer = make(&q);
	struct step s = { .inner = inner };

	plait_deferred_add_both(outer, step, &s);
	plait_fire(&q, PLAIT_NONE);
	ck_assert_int_eq(plait_fire(&q, plait_int(9)), -EALREADY);
	plait_fire(&p, plait_int(1));
	assert_result(outer, "1");
	plait_deferred_free(&outer);
}

TEST(pairs_added_to_a_waiting_outer_run_after_the_inner, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *inner = make(&p);
	struct plait_deferred *outer = waiting_for(&inner);

	for (int i = 0; i < 6; i++)
		pass_both(outer, "x");
	ck_assert_str_eq(trace(), "");
	plait_fire(&p, plait_int(1));
	ck_assert_str_eq(trace(), "x:1 x:1 x:1 x:1 x:1 x:1");
	plait_deferred_free(&outer);
}

TEST(inner_may_answer_with_yet_another, PURE)
{
	struct plait_promise *p, *q;
	struct plait_deferred *inner = make(&p), *outer;
	struct step s = { .inner = make(&q) };

	plait_deferred_add_both(inner, step, &s);
	outer = waiting_for(&inner);
	pass_both(outer, "a");
	plait_fire(&p, plait_int(1));
	ck_assert_str_eq(trace(), "");
	plait_fire(&q, plait_int(2));
	ck_assert_str_eq(trace(), "a:2");
	plait_deferred_free(&outer);
}

TEST(chaining_takes_the_handle, PURE)
{
	struct plait_deferred *d = plait_succeed(plait_int(1)), *same = d;
	plait_value v = plait_chain(&d);

	ck_assert_ptr_null(d);
	ck_assert(plait_value_is(&v, &plait_deferred_type));
	ck_assert_ptr_eq(v.ptr, same);
	plait_value_free(&v);
}

/* What may happen to the outer while a callback of its inner runs. */
static void (*const on_outer[])(struct step *, plait_value *) = {
	act_free, act_detach, act_cancel, act_pause, act_add
};
static const char *const outer_traces[] = {
	"i:v ~v",  "i:v j:v o:v ~v",	  "i:v j:v o:v",
	"i:v j:v", "i:v j:v o:v added:v",
};

TEST(callback_of_the_inner_may_do_anything_to_its_outer, PURE, TIMES(5))
{
	struct step s = { .name = "i", .act = on_outer[_i] };
	struct plait_promise *p;
	struct plait_deferred *inner = make(&p);

	plait_deferred_add_both(inner, step, &s);
	pass_both(inner, "j");
	s.d = waiting_for(&inner);
	pass_both(s.d, "o");
	plait_fire(&p, tracked("v"));
	ck_assert_str_eq(trace(), outer_traces[_i]);
	plait_deferred_free(&s.d);
	ck_assert_uint_eq(tracked_live(), 0);
}

static void return_itself(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	struct step s = { .inner = d };

	plait_deferred_add_both(d, step, &s);
	plait_fire(&p, PLAIT_NONE);
}

static void wait_in_a_ring(void *arg)
{
	struct plait_promise *p, *q;
	struct plait_deferred *a = make(&p), *b = make(&q);
	struct step to_b = { .inner = b }, to_a = { .inner = a };

	plait_deferred_add_both(a, step, &to_b);
	plait_deferred_add_both(b, step, &to_a);
	plait_fire(&p, PLAIT_NONE);
	plait_fire(&q, PLAIT_NONE);
}

static void wait_in_a_ring_of_three(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *a = make(&p), *same = a, *b = waiting_for(&a);
	struct plait_deferred *c = waiting_for(&b);
	struct step s = { .inner = c };

	plait_deferred_add_both(same, step, &s);
	plait_fire(&p, PLAIT_NONE);
}

TEST(waiting_in_a_ring_aborts_and_names_where_it_was_made, PURE)
{
	assert_aborts(return_itself, NULL, "tests/test_deferred.c:");
	assert_aborts(wait_in_a_ring, NULL, "waits for itself");
	assert_aborts(wait_in_a_ring_of_three, NULL, "waits for itself");
}

static void wait_for_one_twice(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *inner = make(&p), *again = inner;

	waiting_for(&inner);
	waiting_for(&again);
}

static void chain_nothing(void *arg)
{
	struct plait_deferred *d = NULL;
	plait_value v = plait_chain(&d);

	plait_value_free(&v);
}

static void free_anothers(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *inner = make(&p), *copy = inner;

	waiting_for(&inner);
	plait_deferred_free(&copy);
}

static void detach_anothers(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *inner = make(&p), *copy = inner;

	waiting_for(&inner);
	plait_deferred_detach(&copy);
}

TEST(one_that_was_taken_has_no_second_owner, PURE)
{
	assert_aborts(wait_for_one_twice, NULL, "another's");
	assert_aborts(free_anothers, NULL, "another's");
	assert_aborts(detach_anothers, NULL, "another's");
	assert_aborts(chain_nothing, NULL, "d != NULL");
}

/* ---- chaining to a promise ----------------------------------------- */

GROUP("chaining to a promise", .setup = steps_setup);

TEST(chaining_fires_the_promise_with_the_result, PURE)
{
	struct plait_promise *p, *q;
	struct plait_deferred *a = make(&p), *b = make(&q);

	pass_both(b, "b");
	plait_deferred_chain(a, &q);
	ck_assert_ptr_null(q);
	pass_both(a, "a");
	plait_fire(&p, tracked("v"));
	ck_assert_str_eq(trace(), "b:v a:none");
	plait_deferred_free(&a);
	plait_deferred_free(&b);
	ck_assert_str_eq(trace(), "b:v a:none ~v");
}

TEST(chaining_moves_failures_too, PURE)
{
	struct plait_promise *q;
	struct plait_deferred *a = plait_failed(error("e")), *b = make(&q);

	plait_deferred_chain(a, &q);
	assert_result(a, "none");
	assert_result(b, "Error: e");
	plait_deferred_free(&a);
	handle_all(b);
	plait_deferred_free(&b);
}

TEST(chaining_to_a_cancelled_one_frees_the_result, PURE)
{
	struct plait_promise *p, *q;
	struct plait_deferred *a = make(&p), *b = make(&q);

	plait_deferred_chain(a, &q);
	plait_deferred_cancel(b);
	handle_all(b);
	ck_assert(!plait_deferred_is_fired(a));
	plait_fire(&p, tracked("v"));
	ck_assert_str_eq(trace(), "~v");
	assert_result(a, "none");
	plait_deferred_free(&a);
	plait_deferred_free(&b);
}

TEST(chaining_to_a_spent_promise_frees_the_result, PURE)
{
	struct plait_promise *p, *spent = NULL;
	struct plait_deferred *a = make(&p);

	plait_deferred_chain(a, &spent);
	plait_fire(&p, tracked("v"));
	ck_assert_str_eq(trace(), "~v");
	assert_result(a, "none");
	plait_deferred_free(&a);
}

TEST(chaining_to_a_paused_one_fires_it_and_goes_on, PURE)
{
	struct plait_promise *p, *q;
	struct plait_deferred *a = make(&p), *b = make(&q);

	pass_both(b, "b");
	plait_deferred_pause(b);
	plait_deferred_chain(a, &q);
	pass_both(a, "a");
	plait_fire(&p, plait_int(1));
	ck_assert_str_eq(trace(), "a:none");
	plait_deferred_unpause(b);
	ck_assert_str_eq(trace(), "a:none b:1");
	plait_deferred_free(&a);
	plait_deferred_free(&b);
}

TEST(freeing_the_first_of_a_chain_cancels_the_last, PURE)
{
	struct plait_promise *p, *q;
	struct plait_deferred *a = make(&p), *b = make(&q);

	plait_deferred_chain(a, &q);
	pass_both(b, "b");
	plait_deferred_free(&a);
	ck_assert_str_eq(trace(), "b:CancelledError");
	plait_promise_drop(&p);
	plait_deferred_free(&b);
}

TEST(freeing_before_a_chain_step_abandons_the_promise, PURE)
{
	struct plait_promise *q;
	struct plait_deferred *a = plait_succeed(plait_int(1)), *b = make(&q);

	plait_deferred_pause(a);
	plait_deferred_chain(a, &q);
	pass_both(b, "b");
	plait_deferred_free(&a);
	ck_assert(plait_failure_check(
		plait_value_failure(plait_deferred_result(b)),
		&plait_error_abandoned));
	handle_all(b);
	plait_deferred_free(&b);
}

static void act_free_and_say_so(struct step *s, plait_value *result)
{
	plait_deferred_free(&s->d);
	trace_add("freed");
}

TEST(freed_inside_it_abandons_the_promise_when_the_callback_returns, PURE)
{
	struct step frees = { .name = "a", .act = act_free_and_say_so };
	struct plait_promise *p, *q;
	struct plait_deferred *a = frees.d = make(&p), *b = make(&q);

	plait_deferred_add_both(a, step, &frees);
	plait_deferred_chain(a, &q);
	pass_both(b, "b");
	handle_all(b);
	plait_fire(&p, plait_int(1));
	ck_assert_str_eq(trace(),
			 "a:1 freed b:AbandonedError: promise dropped");
	plait_deferred_free(&b);
}

/* What waits for what is ended from the inside. */
TEST(freeing_ends_the_inner_before_what_waited_for_it, PURE)
{
	struct plait_promise *p, *q, *again;
	struct step c = { .name = "inner" };
	struct step waits = { .inner = make(&p) };
	struct step recovers = { .name = "r" };
	struct plait_deferred *a = plait_succeed(PLAIT_NONE), *b = make(&q);

	recovers.inner = plait_deferred_new(&again, step_canceller, &c);
	plait_deferred_add_errback(waits.inner, step, &recovers);
	plait_deferred_add_both(a, step, &waits);
	plait_deferred_chain(a, &q);
	pass_both(b, "b");
	handle_all(b);
	plait_deferred_free(&a);
	ck_assert_str_eq(trace(), "r:CancelledError !inner "
				  "b:AbandonedError: promise dropped");
	plait_promise_drop(&p);
	plait_promise_drop(&again);
	plait_deferred_free(&b);
}

/* ---- ends ---------------------------------------------------------- */

GROUP("ends", .setup = steps_setup);

TEST(detached_one_runs_on_and_frees_its_result, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	pass_both(d, "a");
	plait_deferred_detach(&d);
	ck_assert_ptr_null(d);
	ck_assert(!plait_promise_is_cancelled(p));
	ck_assert_int_eq(plait_fire(&p, tracked("v")), 0);
	ck_assert_str_eq(trace(), "a:v ~v");
	plait_deferred_detach(&d);
}

TEST(detaching_a_fired_one_frees_its_result, PURE)
{
	struct plait_deferred *d = plait_succeed(tracked("v"));

	plait_deferred_detach(&d);
	ck_assert_str_eq(trace(), "~v");
}

TEST(detaching_a_paused_one_lets_it_run, PURE)
{
	struct plait_deferred *d = plait_succeed(tracked("v"));

	plait_deferred_pause(d);
	pass_both(d, "a");
	plait_deferred_detach(&d);
	ck_assert_str_eq(trace(), "a:v ~v");
}

TEST(detached_waiter_runs_on, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *inner = make(&p);
	struct plait_deferred *outer = waiting_for(&inner);

	pass_both(outer, "a");
	plait_deferred_detach(&outer);
	plait_fire(&p, tracked("v"));
	ck_assert_str_eq(trace(), "a:v ~v");
}

TEST(free_of_a_fired_one_frees_its_result, PURE)
{
	struct plait_deferred *d = plait_succeed(tracked("v"));

	plait_deferred_free(&d);
	ck_assert_ptr_null(d);
	ck_assert_str_eq(trace(), "~v");
	plait_deferred_free(&d);
}

TEST(deferred_as_a_value_is_freed_as_a_deferred, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	plait_value v = plait_chain(&d);
	char buf[64];

	plait_value_str(&v, buf, sizeof(buf));
	ck_assert_int_eq(strncmp(buf, "<Deferred at 0x", 15), 0);
	plait_value_free(&v);
	ck_assert(plait_promise_is_cancelled(p));
	plait_promise_drop(&p);
}

/* ---- unhandled ----------------------------------------------------- */

GROUP("unhandled", .setup = steps_setup);

TEST(failure_that_is_freed_unseen_is_reported, PURE)
{
	struct plait_deferred *d = plait_failed(error("e"));

	pass_both(d, "a");
	ck_assert_uint_eq(unhandled_count(), 0);
	plait_deferred_free(&d);
	ck_assert_uint_eq(unhandled_count(), 1);
	ck_assert_str_eq(unhandled_text(), "Error: e");
	unhandled_expect(1);
}

TEST(failure_that_is_handled_late_is_not_reported, PURE)
{
	struct plait_deferred *d = plait_failed(error("e"));

	pass_errback(d, "a");
	handle_all(d);
	plait_deferred_free(&d);
	ck_assert_uint_eq(unhandled_count(), 0);
}

TEST(errback_that_fails_itself_leaves_its_failure_to_report, PURE)
{
	struct plait_deferred *d = plait_failed(error("first"));
	struct step s = { .answers = true, .answer = error("second") };

	plait_deferred_add_errback(d, step, &s);
	plait_deferred_free(&d);
	ck_assert_uint_eq(unhandled_count(), 1);
	ck_assert_str_eq(unhandled_text(), "Error: second");
	unhandled_expect(1);
}

TEST(cancellation_that_nobody_handles_is_reported, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	plait_deferred_cancel(d);
	plait_promise_drop(&p);
	ck_assert_uint_eq(unhandled_count(), 0);
	plait_deferred_free(&d);
	ck_assert_str_eq(unhandled_text(), "CancelledError");
	unhandled_expect(1);
}

TEST(cancellation_by_freeing_alone_is_not_reported, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	pass_both(d, "a");
	plait_deferred_free(&d);
	plait_promise_drop(&p);
	ck_assert_str_eq(trace(), "a:CancelledError");
	ck_assert_uint_eq(unhandled_count(), 0);
}

TEST(other_failure_that_freeing_brings_about_is_reported, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	struct step s = { .answers = true, .answer = error("e") };

	plait_deferred_add_errback(d, step, &s);
	plait_deferred_free(&d);
	plait_promise_drop(&p);
	ck_assert_str_eq(unhandled_text(), "Error: e");
	unhandled_expect(1);
}

TEST(paused_failure_that_is_freed_is_reported, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	plait_deferred_pause(d);
	handle_all(d);
	plait_fire(&p, error("e"));
	plait_deferred_free(&d);
	ck_assert_str_eq(unhandled_text(), "Error: e");
	unhandled_expect(1);
}

TEST(detached_failure_is_reported_when_it_comes, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	plait_deferred_detach(&d);
	ck_assert_uint_eq(unhandled_count(), 0);
	plait_fire(&p, error("e"));
	ck_assert_uint_eq(unhandled_count(), 1);
	unhandled_expect(1);
}

TEST(waiting_one_reports_nothing, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *inner = make(&p);
	struct plait_deferred *outer = waiting_for(&inner);

	plait_deferred_free(&outer);
	plait_promise_drop(&p);
	ck_assert_uint_eq(unhandled_count(), 0);
}

TEST(late_failure_after_a_cancel_is_swallowed_unreported, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	plait_deferred_free(&d);
	ck_assert_int_eq(plait_fire(&p, error("late")), -ECANCELED);
	ck_assert_uint_eq(unhandled_count(), 0);
}

TEST(promises_never_fired_are_reported_with_their_place, PURE)
{
	struct plait_promise *p, *q, *r;
	struct plait_deferred *d = make(&p), *fired = make(&q),
			      *gone = make(&r);

	plait_fire(&q, PLAIT_NONE);
	plait_deferred_free(&fired);
	plait_deferred_free(&gone);
	ck_assert_uint_eq(plait_deferred_report_pending(), 1);
	ck_assert_ptr_nonnull(strstr(unhandled_text(), "NeverFiredError: "));
	ck_assert_ptr_nonnull(
		strstr(unhandled_text(), "tests/test_deferred.c:"));
	ck_assert_uint_eq(plait_deferred_report_pending(), 1);
	plait_fire(&p, PLAIT_NONE);
	plait_deferred_free(&d);
	ck_assert_uint_eq(plait_deferred_report_pending(), 0);
	plait_promise_drop(&r);
	unhandled_expect(2);
}

TEST(one_that_fired_and_is_kept_is_reported_with_its_places, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = plait_deferred_new_at(&p, NULL, NULL, "m:1");

	plait_fire_at(&p, PLAIT_NONE, "f:2");
	ck_assert_uint_eq(plait_deferred_report_pending(), 1);
	ck_assert_str_eq(unhandled_text(), "NeverFreedError: deferred made at "
					   "m:1, age unknown, fired at f:2");
	plait_deferred_free(&d);
	ck_assert_uint_eq(plait_deferred_report_pending(), 0);
	unhandled_expect(1);
}

/* Nobody has lost what was given away, and of two the inner is to blame. */
TEST(what_is_not_the_programs_is_not_reported_as_kept, PURE)
{
	struct plait_promise *p, *q;
	struct plait_deferred *detached = make(&p), *inner = make(&q),
			      *outer = plait_succeed(PLAIT_NONE);
	struct step s = { .inner = inner };

	plait_fire(&p, PLAIT_NONE);
	plait_deferred_detach(&detached);
	plait_deferred_add_both(outer, step, &s);
	plait_deferred_pause(inner);
	plait_fire(&q, PLAIT_NONE);
	ck_assert_uint_eq(plait_deferred_report_pending(), 0);
	plait_deferred_free(&outer);
}

/* The hook may end what it is told of, and others too. */
static struct plait_promise *hooked[2];

static void fire_hooked(const struct plait_failure *why, void *arg)
{
	trace_add("?");
	for (int i = 0; i < 2; i++)
		if (hooked[i] != NULL)
			plait_fire(&hooked[i], PLAIT_NONE);
}

TEST(hook_may_fire_what_is_being_reported, PURE)
{
	struct plait_deferred *a = make(&hooked[0]), *b = make(&hooked[1]);

	plait_set_unhandled(fire_hooked, NULL);
	/* The other has fired by then, but not when the report began. */
	ck_assert_uint_eq(plait_deferred_report_pending(), 1);
	ck_assert_str_eq(trace(), "?");
	plait_deferred_free(&a);
	plait_deferred_free(&b);
}

static struct plait_deferred *made_by_hook;
static struct plait_promise *promise_of_hook;

static void make_another(const struct plait_failure *why, void *arg)
{
	trace_add("?");
	ck_assert_ptr_null(made_by_hook);
	made_by_hook = make(&promise_of_hook);
}

TEST(what_the_hook_makes_is_not_reported_to_it, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	plait_set_unhandled(make_another, NULL);
	ck_assert_uint_eq(plait_deferred_report_pending(), 1);
	ck_assert_str_eq(trace(), "?");
	plait_deferred_free(&made_by_hook);
	plait_promise_drop(&promise_of_hook);
	plait_fire(&p, PLAIT_NONE);
	plait_deferred_free(&d);
}

static void exit_with_one_pending(void *arg)
{
	struct plait_promise *p;

	make(&p);
	if (plait_deferred_report_at_exit() != 0 ||
	    plait_deferred_report_at_exit() != 0)
		abort();
}

TEST(report_at_exit_is_made_once_if_asked_for, PURE)
{
	const char *said, *line;

	ck_assert_int_eq(child_run(exit_with_one_pending, NULL, &said), 0);
	line = "Unhandled error in Deferred: NeverFiredError: ";
	ck_assert_ptr_eq(strstr(said, line), said);
	ck_assert_ptr_null(strstr(said + 1, line));
}

/* ---- made with a result -------------------------------------------- */

GROUP("made with a result", .setup = steps_setup);

TEST(succeed_and_failed_have_fired, PURE)
{
	struct plait_deferred *d = plait_succeed(plait_int(1));
	struct plait_deferred *e = plait_failed(error("e"));

	ck_assert(plait_deferred_is_fired(d));
	assert_result(d, "1");
	ck_assert(plait_deferred_is_fired(e));
	assert_result(e, "Error: e");
	handle_all(e);
	plait_deferred_free(&d);
	plait_deferred_free(&e);
}

TEST(maybe_deferred_gives_a_deferred_back_itself, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p), *same = d;

	d = plait_maybe_deferred(plait_chain(&d));
	ck_assert_ptr_eq(d, same);
	plait_fire(&p, PLAIT_NONE);
	plait_deferred_free(&d);
}

TEST(maybe_deferred_makes_anything_else_a_fired_one, PURE)
{
	struct plait_deferred *d = plait_maybe_deferred(plait_int(1));
	struct plait_deferred *e = plait_maybe_deferred(error("e"));

	assert_result(d, "1");
	assert_result(e, "Error: e");
	handle_all(e);
	plait_deferred_free(&d);
	plait_deferred_free(&e);
}

static void succeed_with_failure(void *arg)
{
	struct plait_deferred *d = plait_succeed(plait_cancelled());

	plait_deferred_free(&d);
}

static void succeed_with_deferred(void *arg)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	d = plait_succeed(plait_chain(&d));
	plait_deferred_free(&d);
}

static void fail_with_value(void *arg)
{
	struct plait_deferred *d = plait_failed(plait_int(1));

	plait_deferred_free(&d);
}

TEST(succeed_and_failed_refuse_what_contradicts_them, PURE)
{
	assert_aborts(succeed_with_failure, NULL, "with a failure");
	assert_aborts(succeed_with_deferred, NULL, "with a deferred");
	assert_aborts(fail_with_value, NULL, "int, not a failure");
}

/* ---- its text ------------------------------------------------------ */

static const char *str(const struct plait_deferred *d)
{
	static char buf[256];
	int len = plait_deferred_str(d, buf, sizeof(buf));

	ck_assert_int_eq(len, (int)strlen(buf));
	return buf;
}

TEST(text_says_what_it_has_or_waits_for, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *inner = make(&p), *held = inner, *outer;
	char want[64];

	snprintf(want, sizeof(want), "<Deferred at %p", (void *)inner);
	ck_assert_ptr_eq(strstr(str(inner), want), str(inner));
	ck_assert_ptr_nonnull(strstr(str(inner), "tests/test_deferred.c:"));
	ck_assert_ptr_null(strstr(str(inner), "result"));
	outer = waiting_for(&inner);
	snprintf(want, sizeof(want), "waiting on Deferred at %p>",
		 (void *)held);
	ck_assert_ptr_nonnull(strstr(str(outer), want));
	plait_fire(&p, plait_int(5));
	ck_assert_ptr_nonnull(strstr(str(outer), "current result: 5>"));
	plait_deferred_free(&outer);
}

/* ---- memory -------------------------------------------------------- */

GROUP("memory", .setup = steps_setup);

TEST(four_pairs_are_one_allocation_and_firing_is_none, PURE)
{
	unsigned long calls = heap_calls();
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);

	for (int i = 0; i < 4; i++)
		pass_both(d, "a");
	ck_assert_uint_eq(heap_calls(), calls + 1);
	plait_fire(&p, plait_int(1));
	pass_both(d, "b");
	plait_deferred_free(&d);
	ck_assert_uint_eq(heap_calls(), calls + 1);
}

TEST(waiting_and_chaining_cost_nothing, PURE)
{
	struct plait_promise *p, *q;
	struct plait_deferred *inner = make(&p), *outer;
	struct plait_deferred *last = make(&q);
	unsigned long calls;

	outer = plait_succeed(PLAIT_NONE);
	calls = heap_calls();
	plait_deferred_add_both(outer, step, &(struct step){ .inner = inner });
	plait_deferred_chain(outer, &q);
	plait_fire(&p, plait_int(1));
	ck_assert_uint_eq(heap_calls(), calls);
	assert_result(last, "1");
	plait_deferred_free(&outer);
	plait_deferred_free(&last);
}

/* A callback that adds the next one: the queue is used again and again. */
static void act_add_itself(struct step *s, plait_value *result)
{
	if (plait_value_int(result) < 1000)
		plait_deferred_add_both(s->d, step, s);
	*result = plait_int(plait_value_int(result) + 1);
}

TEST(callback_that_adds_itself_again_needs_no_more_room, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	struct step s = { .act = act_add_itself, .d = d };
	unsigned long calls = heap_calls();

	plait_deferred_add_both(d, step, &s);
	plait_fire(&p, plait_int(0));
	assert_result(d, "1001");
	ck_assert_uint_eq(heap_calls(), calls);
	plait_deferred_free(&d);
}

TEST(many_pairs_run_in_order_though_more_come_meanwhile, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	struct step s = { .name = "+", .act = act_add, .d = d };

	for (int i = 0; i < 12; i++) {
		plait_deferred_add_both(d, step, &s);
		pass_both(d, ".");
	}
	plait_fire(&p, plait_int(1));
	for (int i = 0; i < 12; i++)
		ck_assert_int_eq(memcmp(trace() + 8 * i, "+:1 .:1 ", 8), 0);
	for (int i = 0; i < 12; i++)
		ck_assert_int_eq(memcmp(trace() + 96 + 8 * i, "added:1", 7), 0);
	plait_deferred_free(&d);
}

TEST(without_memory_a_deferred_has_failed_already, PURE)
{
	struct plait_promise *p = (struct plait_promise *)&p;
	struct plait_deferred *d;
	char buf[128];

	fault_alloc_at(0, true);
	d = make(&p);
	ck_assert_ptr_null(p);
	ck_assert_ptr_nonnull(d);
	ck_assert(plait_deferred_is_fired(d));
	assert_result(d, "NoMemoryError");
	pass_callback(d, "never");
	pass_errback(d, "errback");
	pass_both(d, "both");
	ck_assert_str_eq(trace(), "errback:NoMemoryError both:NoMemoryError");
	plait_deferred_cancel(d);
	plait_deferred_pause(d);
	plait_deferred_unpause(d);
	plait_deferred_str(d, buf, sizeof(buf));
	ck_assert_ptr_nonnull(strstr(buf, "NoMemoryError"));
	ck_assert_int_eq(plait_fire(&p, tracked("v")), -EALREADY);
	plait_deferred_free(&d);
	ck_assert_ptr_null(d);
	d = make(&p);
	plait_deferred_detach(&d);
	ck_assert_ptr_null(d);
}

TEST(without_memory_succeed_frees_its_value_and_fails, PURE)
{
	struct plait_deferred *d;

	fault_alloc_at(0, true);
	d = plait_succeed(tracked("v"));
	ck_assert_str_eq(trace(), "~v");
	assert_result(d, "NoMemoryError");
	plait_deferred_free(&d);
	d = plait_maybe_deferred(tracked("w"));
	ck_assert_str_eq(trace(), "~v ~w");
	plait_deferred_free(&d);
}

TEST(no_memory_deferred_may_be_waited_for_and_chained, PURE)
{
	struct plait_promise *p, *q;
	struct plait_deferred *d, *outer = make(&q), *last = make(&p);
	struct step s = { .name = NULL };

	plait_deferred_add_both(outer, step, &s);
	fault_alloc_at(0, true);
	s.inner = plait_succeed(PLAIT_NONE);
	plait_fire(&q, PLAIT_NONE);
	assert_result(outer, "NoMemoryError");
	d = plait_succeed(PLAIT_NONE);
	plait_deferred_chain(d, &p);
	assert_result(last, "NoMemoryError");
	fault_alloc_off();
	handle_all(outer);
	handle_all(last);
	plait_deferred_free(&d);
	plait_deferred_free(&outer);
	plait_deferred_free(&last);
}

TEST(without_memory_for_a_pair_it_runs_at_once_out_of_turn, PURE)
{
	struct plait_promise *p;
	struct plait_deferred *d = make(&p);
	struct step s = { .name = "x",
			  .answers = true,
			  .answer = tracked("v") };

	for (int i = 0; i < 4; i++)
		pass_both(d, "a");
	fault_alloc_at(0, true);
	plait_deferred_add_both(d, step, &s);
	fault_alloc_off();
	ck_assert_str_eq(trace(), "x:NoMemoryError ~v");
	plait_fire(&p, plait_int(1));
	ck_assert_str_eq(trace(), "x:NoMemoryError ~v a:1 a:1 a:1 a:1");
	plait_deferred_free(&d);
}

TEST(without_memory_for_a_chain_step_the_promise_fails, PURE)
{
	struct plait_promise *p, *q;
	struct plait_deferred *d = make(&p), *last = make(&q);

	for (int i = 0; i < 4; i++)
		pass_both(d, "a");
	fault_alloc_at(0, true);
	plait_deferred_chain(d, &q);
	fault_alloc_off();
	assert_result(last, "NoMemoryError");
	handle_all(last);
	plait_fire(&p, PLAIT_NONE);
	plait_deferred_free(&d);
	plait_deferred_free(&last);
}

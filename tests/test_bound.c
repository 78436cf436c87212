/*
 * Callbacks that change a value in its place, and inline functions that the
 * library has, too.
 */
#include <plait/plait.h>

#include "tests/harness.h"

static void twice(plait_value *value, void *arg)
{
	*value = plait_int(2 * plait_value_int(value));
}

static void replace_by_int(plait_value *value, void *arg)
{
	plait_value_free(value);
	*value = plait_int(*(const int *)arg);
}

static void leave(plait_value *value, void *arg)
{
	*(bool *)arg = plait_value_is_failure(value) &&
		       plait_failure_check(plait_value_failure(value),
					   &plait_error_cancelled);
}

static intptr_t result_of(struct plait_deferred **dp)
{
	intptr_t n = plait_value_int(plait_deferred_result(*dp));

	plait_deferred_free(dp);
	return n;
}

TEST(bound_callback_changes_the_result_in_its_place, PURE)
{
	struct plait_bound b = { .fn = twice };
	struct plait_deferred *d = plait_succeed(plait_int(21));

	plait_deferred_add_callback(d, plait_bound_callback, &b);
	ck_assert_int_eq(result_of(&d), 42);
}

TEST(bound_errback_may_replace_the_failure, PURE)
{
	int n = 7;
	struct plait_bound b = { .fn = replace_by_int, .arg = &n };
	struct plait_deferred *d =
		plait_failed(plait_fail(&plait_error_any, "no"));

	plait_deferred_add_errback(d, plait_bound_callback, &b);
	ck_assert_int_eq(result_of(&d), 7);
}

TEST(bound_canceller_says_what_it_fires_with, PURE, TIMES(2))
{
	int n = 7;
	bool was_cancelled = false;
	struct plait_bound b = { .fn = leave, .arg = &was_cancelled };
	struct plait_bound other = { .fn = replace_by_int, .arg = &n };
	struct plait_promise *p;
	struct plait_deferred *d = plait_deferred_new(&p, plait_bound_canceller,
						      _i == 0 ? &b : &other);

	plait_deferred_cancel(d);
	ck_assert(was_cancelled == (_i == 0));
	plait_deferred_add_errback(d, plait_bound_callback, &other);
	ck_assert_int_eq(result_of(&d), 7);
	plait_promise_drop(&p);
}

TEST(bound_operation_begins_with_none, ON_EACH_REACTOR)
{
	int n = 7;
	struct plait_bound b = { .fn = replace_by_int, .arg = &n };
	struct plait_lock *l = plait_lock_new();
	struct plait_deferred *d = plait_lock_run(l, plait_bound_operation, &b);

	ck_assert_int_eq(result_of(&d), 7);
	plait_lock_free(&l);
}

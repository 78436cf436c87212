/*
 * Many deferreds as one: wait for all of them, for the first success, or for
 * the first failure.
 *
 * The members are taken: the handles in the array, each of another deferred,
 * are NULL afterwards, and the list owns the deferreds.  The same deferred
 * twice aborts, with the place where it was made and that of the list.
 * Cancelling the list cancels every member that is pending, in order, and fails
 * it with CancelledError.  One that has fired early lets the other members run
 * on as long as its deferred is held; cancelling or freeing that cancels them,
 * and so does handing its result on: to an outer deferred, to a list that it is
 * a member of, to a shared one.  A detached one lets them run on for good.
 * Results that come after it has fired are freed.
 */
#ifndef PLAIT_DEFERRED_LIST_H
#define PLAIT_DEFERRED_LIST_H

#include <plait/deferred.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * FirstError: a member failed.  Its detail is an indexed value, the member's
 * failure.  FailureGroup: all members failed.  Its detail is their values, all
 * of them failures.  See plait_failure_detail().
 */
extern const struct plait_error plait_error_first;
extern const struct plait_error plait_error_group;

enum {
	PLAIT_DEFERRED_LIST_FIRE_ON_ONE_CALLBACK =
		1, /* the first success, indexed */
	PLAIT_DEFERRED_LIST_FIRE_ON_ONE_ERRBACK =
		2, /* the first failure, FirstError */
	PLAIT_DEFERRED_LIST_CONSUME_ERRORS =
		4 /* failures of members are not reported */
};

/*
 * Waits for all members and fires with their values, failures among them; or
 * earlier, as the flags say.  No members: fires at once, with no values.
 * Without PLAIT_DEFERRED_LIST_CONSUME_ERRORS each failure of a member is told
 * to the unhandled hook as well, but not that it was cancelled because the list
 * was. Never NULL; with no memory it frees the members and has failed.
 */
struct plait_deferred *plait_deferred_list(struct plait_deferred **members,
					   size_t n, unsigned flags,
					   const char *where) PLAIT_MUST_USE;
#define plait_deferred_list(...) (plait_deferred_list)(__VA_ARGS__, PLAIT_HERE)

/*
 * Waits for all members to succeed and fires with their values; fails with
 * the first failure, FirstError.  Of the flags,
 * PLAIT_DEFERRED_LIST_CONSUME_ERRORS counts.
 */
struct plait_deferred *plait_gather(struct plait_deferred **members, size_t n,
				    unsigned flags,
				    const char *where) PLAIT_MUST_USE;
#define plait_gather(...) (plait_gather)(__VA_ARGS__, PLAIT_HERE)

/*
 * Waits for the first member to succeed, cancels the others, in order, and
 * fires with it, indexed.  Fails with FailureGroup if all fail, at once if
 * there are none.
 */
struct plait_deferred *plait_race(struct plait_deferred **members, size_t n,
				  const char *where) PLAIT_MUST_USE;
#define plait_race(...) (plait_race)(__VA_ARGS__, PLAIT_HERE)

#ifdef __cplusplus
}
#endif

#endif

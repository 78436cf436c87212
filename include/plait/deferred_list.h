/*
 * Many deferreds as one: wait for all of them, for the first success, or for
 * the first failure.
 *
 * The members are taken: the elements of the array, each a different deferred,
 * are NULL afterwards, and the list owns the deferreds.  Giving the same
 * deferred twice aborts; the message names the place where the deferred was
 * made and the place of the list.
 *
 * Cancelling the list cancels every member that is pending, in order, and fails
 * the list with CancelledError.  If a list has fired early, the other members
 * go on as long as somebody holds its deferred.  They are cancelled when this
 * deferred is cancelled or freed, and when its result goes on to an outer
 * deferred, to a list whose member it is, or to a shared deferred.  If it is
 * detached, they go on to their end.  Results that come after the list has
 * fired are freed.
 */
#ifndef PLAIT_DEFERRED_LIST_H
#define PLAIT_DEFERRED_LIST_H

#include <plait/deferred.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * FirstError: a member has failed.  Its detail is an indexed value, the failure
 * of this member.  FailureGroup: all members have failed.  Its detail is their
 * values, which are all failures.  See plait_failure_detail().
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
 * fires earlier, as the flags say.  With no members it fires at once, with no
 * values.  Without PLAIT_DEFERRED_LIST_CONSUME_ERRORS each failure of a member
 * is told to the unhandled hook as well, unless the member was cancelled
 * because the list was cancelled.  Never returns NULL; with no memory the
 * members are freed and the deferred has failed.
 */
struct plait_deferred *plait_deferred_list(struct plait_deferred **members,
					   size_t n, unsigned flags,
					   const char *where) PLAIT_MUST_USE;
#define plait_deferred_list(...) (plait_deferred_list)(__VA_ARGS__, PLAIT_HERE)

/*
 * Waits until all members have succeeded, and fires with their values.  Fails
 * with FirstError as soon as one member has failed.  It knows only the flag
 * PLAIT_DEFERRED_LIST_CONSUME_ERRORS.  Never returns NULL.
 */
struct plait_deferred *plait_gather(struct plait_deferred **members, size_t n,
				    unsigned flags,
				    const char *where) PLAIT_MUST_USE;
#define plait_gather(...) (plait_gather)(__VA_ARGS__, PLAIT_HERE)

/*
 * Waits until one member has succeeded, cancels all other members, in order,
 * and fires with the value of the winner, indexed.  Fails with FailureGroup if
 * all members fail, and at once if there are no members.  Never returns NULL.
 */
struct plait_deferred *plait_race(struct plait_deferred **members, size_t n,
				  const char *where) PLAIT_MUST_USE;
#define plait_race(...) (plait_race)(__VA_ARGS__, PLAIT_HERE)

#ifdef __cplusplus
}
#endif

#endif

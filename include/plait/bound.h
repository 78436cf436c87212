/*
 * For languages whose functions cannot return a struct: callbacks that change
 * a value in its place.  plait_bindings(7) says what else a binding needs.
 */
#ifndef PLAIT_BOUND_H
#define PLAIT_BOUND_H

#include <plait/deferred.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A function of another language, and what it is called with.  The arg of one
 * of the functions below: borrowed, until that was called or can be called no
 * more.
 */
struct plait_bound {
	/*
	 * value is a slot, borrowed.  What is left in it counts as returned,
	 * and given; what was in it before is to be freed or taken first.
	 */
	void (*fn)(plait_value *value, void *arg);
	void *arg;
};

/* A callback, errback or both: the slot holds the result. */
plait_value plait_bound_callback(plait_value *result, void *arg);

/* A canceller: the slot holds CancelledError, which may stay. */
plait_value plait_bound_canceller(struct plait_deferred *d, void *arg);

/* An operation, or a trigger: the slot holds none. */
plait_value plait_bound_operation(void *arg);

#ifdef __cplusplus
}
#endif

#endif

/*
 * What is under way for a deferred that a resolver gives.
 *
 * An operation ends in one of four ways: it has found something or failed, and
 * fires its promise; it is cancelled; its resolver is freed; its reactor is
 * freed.  Whichever comes first stops everything and frees the operation before
 * anybody is called.
 */
#ifndef REACTOR_OPERATION_H
#define REACTOR_OPERATION_H

#include <plait/deferred.h>

#include "reactor/names/names.h"

struct operation_kind;

/* Embedded first. */
struct operation {
	const struct operation_kind *kind;
	struct plait_list link; /* in its resolver's */
	struct plait_resolver *resolver;
	struct plait_reactor *reactor;
	struct loop_task reactor_freed;
	struct plait_promise *promise;
	const char *where;
	bool is_late; /* it was begun when the reactor was ending */
};

struct operation_kind {
	size_t size;
	/* Ends all that is under way. */
	void (*stop)(struct operation *o);
};

/* What a function is given that begins an operation. */
struct operation_call {
	struct plait_reactor *reactor; /* NULL: it was freed */
	struct plait_resolver *resolver;
	const char *where;
};

/*
 * Makes an operation and, in *ret, its deferred.  Returns NULL if the deferred
 * has failed already.
 */
struct operation *plait_i_operation_new(const struct operation_call *call,
					const struct operation_kind *kind,
					struct plait_deferred **ret);

/* Stops and frees the operation.  Gives its promise. */
struct plait_promise *plait_i_operation_end(struct operation *o);

/* Does that, and fires the promise with v, which is taken.  In the child of
   somebody who was told before it tells nobody. */
void plait_i_operation_fire(struct operation *o, plait_value v);

/* Gives a deferred that has failed: an argument is wrong. */
struct plait_deferred *plait_i_operation_refused(const char *what, int err,
						 const char *where);

#endif

/*
 * What is under way for a deferred.  See operation.h.
 */
#include <stdlib.h>

#include "lib/deferred.h"
#include "lib/failure.h"
#include "reactor/names/lookup.h"
#include "reactor/names/operation.h"

struct plait_promise *plait_i_operation_end(struct operation *o)
{
	struct plait_promise *p = o->promise;

	o->kind->stop(o);
	loop_task_cancel(&o->reactor_freed);
	plait_list_remove(&o->link);
	free(o);
	return p;
}

void plait_i_operation_fire(struct operation *o, plait_value v)
{
	bool is_forked = loop_is_forked(o->reactor);
	struct plait_promise *p = plait_i_operation_end(o);

	if (!is_forked) {
		plait_fire(&p, v);
		return;
	}
	plait_value_free(&v);
	plait_i_deferred_abandon(&p);
}

static plait_value operation_cancel(struct plait_deferred *d, void *arg)
{
	struct plait_promise *p = plait_i_operation_end(arg);

	plait_promise_drop(&p);
	return plait_cancelled();
}

static plait_value operation_reactor_freed(const char *where)
{
	return plait_i_failure_cancelled_by("reactor freed", where);
}

static void operation_abandon(struct loop_task *task)
{
	struct operation *o =
		plait_container(task, struct operation, reactor_freed);
	bool is_forked = loop_is_forked(o->reactor);
	bool is_late = o->is_late;
	const char *where = o->where;
	struct plait_promise *p = plait_i_operation_end(o);

	if (is_forked)
		plait_i_deferred_abandon(&p);
	else if (is_late)
		plait_fire(&p, operation_reactor_freed(where));
	else
		plait_promise_drop(&p);
}

static plait_value resolver_was_freed(void)
{
	const struct plait_failure *why = plait_i_lookup_abandoned();
	plait_value v = plait_failure_value(why);

	plait_failure_unref(&why);
	return v;
}

/* Why nothing can begin; none if it can. */
static plait_value operation_objection(const struct operation_call *call)
{
	if (call->resolver == NULL)
		return plait_no_memory();
	if (call->reactor == NULL || call->resolver->is_ending)
		return resolver_was_freed();
	if (plait_i_loop_refuses(call->reactor))
		return operation_reactor_freed(call->where);
	return PLAIT_NONE;
}

struct operation *plait_i_operation_new(const struct operation_call *call,
					const struct operation_kind *kind,
					struct plait_deferred **ret)
{
	plait_value objection = operation_objection(call);
	struct operation *o;

	if (!plait_value_is_none(&objection)) {
		*ret = (plait_failed)(objection, call->where);
		return NULL;
	}
	o = calloc(1, kind->size);
	if (o == NULL) {
		*ret = (plait_failed)(plait_no_memory(), call->where);
		return NULL;
	}
	*o = (struct operation){
		.kind = kind,
		.resolver = call->resolver,
		.reactor = call->reactor,
		.reactor_freed.run = operation_abandon,
		.where = call->where,
		.is_late = plait_i_loop_is_ending(call->reactor),
	};
	*ret = (plait_deferred_new)(&o->promise, operation_cancel, o,
				    call->where);
	if (o->promise == NULL) {
		free(o);
		return NULL;
	}
	plait_list_append(&call->resolver->asked, &o->link);
	plait_i_loop_when_freed(call->reactor, &o->reactor_freed);
	return o;
}

struct plait_deferred *plait_i_operation_refused(const char *what, int err,
						 const char *where)
{
	return (plait_failed)((plait_fail_errno)(where, &plait_error_os, err,
						 "%s", what),
			      where);
}

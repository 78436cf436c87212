/*
 * The ways to end a run, and what must come of each.
 *
 * The deferred of a run gets one more pair, which notes the outcome.  Whoever
 * cancels passes the same place and reason, so that the outcome can be
 * compared with them.
 */
#include <string.h>

#include <plait/transport_ops.h>

#include "lib/base.h"
#include "lib/exception.h"
#include "reactor/loop/loop.h"
#include "reactor/net/transport.h"
#include "reactor/simulation/points.h"

/* The calls in this file say the place themselves. */
#undef plait_deferred_free
#undef plait_deferred_cancel_because
#undef plait_scope_new
#undef plait_scope_cancel

static const char way_where[] = "plait_check_cancel_points()";
static const char way_reason[] = "cancel point";

/* ---- the outcome ---------------------------------------------------- */

static const struct plait_failure *
outcome_cancellation(const struct plait_failure *f)
{
	while (f != NULL && !plait_failure_check(f, &plait_error_cancelled))
		f = plait_failure_cause(f);
	return f;
}

static void outcome_of_failure(struct outcome *o, const struct points *p,
			       const struct plait_failure *f)
{
	const struct plait_failure *c = outcome_cancellation(f);
	const char *reason, *where;

	o->answered = p->check->answers != NULL &&
		      plait_failure_check(f, p->check->answers);
	o->cancelled = c == f;
	o->because_cancelled = c != NULL;
	o->timed_out = plait_failure_check(f, &plait_error_timeout);
	if (c == NULL)
		return;
	reason = plait_failure_cancel_reason(c);
	where = plait_failure_cancel_where(c);
	o->named = p->how == PLAIT_CANCEL_DEADLINE
			   ? *where != '\0'
			   : strcmp(where, way_where) == 0 &&
				     strcmp(reason, way_reason) == 0;
}

/* Returns true if its time will be up, and is not yet. */
static bool way_waits_for_deadline(const struct points *p)
{
	return p->how == PLAIT_CANCEL_DEADLINE && p->applied &&
	       p->scope != NULL && !plait_scope_is_cancelled(p->scope);
}

/* Nobody else gets the result. */
static plait_value outcome_note(plait_value *result, void *arg)
{
	struct points *p = arg;
	struct outcome *o = &p->outcome;

	if (p->freed)
		plait_i_points_fail(p, "a callback runs after the deferred was "
				       "freed");
	if (o->times++ > 0)
		return PLAIT_NONE;
	if (way_waits_for_deadline(p))
		p->settled_before = true;
	plait_value_str(result, o->text, sizeof(o->text));
	o->value = !plait_value_is_failure(result);
	if (!o->value)
		outcome_of_failure(o, p, plait_value_failure(result));
	return PLAIT_NONE;
}

/* ---- starting ------------------------------------------------------- */

/* A callback before the last one: if it frees the deferred, no other runs. */
static plait_value way_free_itself(plait_value *result, void *arg)
{
	struct points *p = arg;

	if (!p->frees_itself)
		return *result;
	plait_deferred_free(&p->deferred, way_where);
	p->freed = true;
	return PLAIT_NONE;
}

static bool way_needs_scope(unsigned how)
{
	return how == PLAIT_CANCEL_SCOPE || how == PLAIT_CANCEL_DEADLINE;
}

OUT_OF_LINE void plait_i_way_start(struct points *p)
{
	struct plait_deferred *d;

	p->outcome = (struct outcome){ .times = 0 };
	plait_i_loop_enter(p->reactor);
	d = p->check->start(p->reactor, p->check->arg);
	exception_barrier();
	if (p->number != 0 && way_needs_scope(p->how)) {
		p->live.looks_away = true;
		p->scope = plait_scope_new(p->reactor, way_where);
		p->live.looks_away = false;
		plait_scope_start(p->scope, d);
	}
	plait_deferred_add_both(d, way_free_itself, p);
	p->deferred = plait_deferred_add_both(d, outcome_note, p);
	plait_i_live_follow(&p->live, d);
	p->begun = true;
	p->passed = false;
	plait_i_loop_leave(p->reactor);
}

/* ---- the ways ------------------------------------------------------- */

static void way_call(struct points *p)
{
	plait_deferred_cancel_because(p->deferred, way_reason, way_where);
}

static void way_free(struct points *p)
{
	plait_deferred_free(&p->deferred, way_where);
	p->freed = true;
}

static void way_scope(struct points *p)
{
	plait_scope_cancel(p->scope, way_reason, way_where);
}

static void way_deadline(struct points *p)
{
	plait_scope_set_deadline(p->scope, 0);
}

/* The connection of a member that is neither broken nor lost yet, or NULL. */
static struct plait_transport *way_next_connection(struct plait_reactor *r)
{
	struct plait_list *l;

	plait_list_for_each (l, plait_i_loop_members(r)) {
		struct loop_member *m =
			plait_container(l, struct loop_member, link);
		struct plait_transport *t =
			m->ops->transport != NULL ? m->ops->transport(m) : NULL;

		if (t != NULL && transport_of(t)->why == NULL &&
		    !transport_of(t)->lost)
			return t;
	}
	return NULL;
}

static void way_loss(struct points *p)
{
	plait_value v = plait_fail(&plait_error_connection_lost,
				   "broken by a check of cancel points");
	struct plait_transport *t;

	while ((t = way_next_connection(p->reactor)) != NULL)
		plait_transport_broken(t, plait_value_failure(&v));
	plait_value_free(&v);
}

static void way_stop_in_turn(void *arg)
{
	struct points *p = arg;

	p->stop_waits = false;
	plait_reactor_stop(p->reactor);
}

/* Outside of a turn a reactor cannot be stopped: then the next turn does it. */
static void way_stop(struct points *p)
{
	p->stop_waits = plait_reactor_stop(p->reactor) < 0;
	if (!p->stop_waits)
		return;
	p->live.looks_away = true;
	plait_timer_start(p->reactor, &p->stopper, 0, way_stop_in_turn, p);
	p->live.looks_away = false;
}

static plait_value way_cancel_nested(struct plait_deferred *d, void *arg)
{
	way_call(arg);
	return PLAIT_NONE;
}

static void way_nested(struct points *p)
{
	struct plait_promise *promise;
	struct plait_deferred *d =
		plait_deferred_new(&promise, way_cancel_nested, p);

	plait_deferred_free(&d, way_where);
	plait_promise_drop(&promise);
}

/* ---- all of them ---------------------------------------------------- */

/* See way_free_itself(). */
static void way_own(struct points *p)
{
	p->frees_itself = true;
	way_call(p);
}

struct way {
	void (*end)(struct points *p);
	bool at_once; /* the deferred has fired when the call returns */
};

/* By the number of their bit. */
static const struct way ways[N_WAYS] = {
	{ way_call, true },	 { way_free, false }, { way_scope, true },
	{ way_deadline, false }, { way_loss, false }, { way_stop, false },
	{ way_nested, true },	 { way_own, true },
};

static const struct way *way_of(unsigned how)
{
	return &ways[__builtin_ctz(how)];
}

bool plait_i_way_fits(unsigned how, const struct point *point)
{
	if (how == PLAIT_CANCEL_LOSS)
		return point->connected;
	return how != PLAIT_CANCEL_NESTED || !point->inside;
}

static void way_check_fired(struct points *p)
{
	if (p->outcome.times == 0 && !p->freed && !p->check->may_go_on &&
	    !p->seeks)
		plait_i_points_fail(p, "the cancel has returned, and the "
				       "deferred has not fired");
}

static void way_check_pending(struct points *p)
{
	size_t n = plait_i_live_pending(&p->live);

	if (p->check->ends_at_once && n > 0)
		plait_i_points_fail(p,
				    "the work was ended, and %zu deferred%s "
				    "or port%s still wait%s",
				    n, n > 1 ? "s" : "", n > 1 ? "s" : "",
				    n > 1 ? "" : "s");
}

void plait_i_way_apply(struct points *p, bool inside)
{
	const struct way *way = way_of(p->how);

	p->applied = p->busy = true;
	p->settled_before = p->outcome.times > 0;
	if (!inside)
		plait_i_loop_enter(p->reactor);
	way->end(p);
	if (way->at_once)
		way_check_fired(p);
	if (way->at_once || p->freed)
		way_check_pending(p);
	if (!inside)
		plait_i_loop_leave(p->reactor);
	p->busy = false;
}

void plait_i_way_go_on(struct points *p)
{
	if (p->how == PLAIT_CANCEL_DEADLINE && p->scope != NULL &&
	    plait_scope_is_cancelled(p->scope))
		way_check_fired(p);
}

/* ---- judging -------------------------------------------------------- */

static void way_judge_cancel(struct points *p)
{
	const struct outcome *o = &p->outcome;
	bool timed = p->how == PLAIT_CANCEL_DEADLINE;

	if (o->answered || (o->value && p->check->accepts_value))
		return;
	if (o->value)
		plait_i_points_fail(p,
				    "the cancel was swallowed: the deferred "
				    "has the value %s",
				    o->text);
	else if (!o->because_cancelled)
		plait_i_points_fail(p,
				    "the deferred has failed with something "
				    "else: %s",
				    o->text);
	else if (timed && o->cancelled)
		plait_i_points_fail(p,
				    "its time was up, and it has failed "
				    "without TimeoutError: %s",
				    o->text);
	else if (!o->named)
		plait_i_points_fail(p,
				    "the cancellation does not say who "
				    "cancelled, and why: %s",
				    o->text);
}

static void way_judge_end(struct points *p)
{
	const struct outcome *o = &p->outcome;

	if (o->times > 1)
		plait_i_points_fail(p, "the deferred has fired %u times",
				    o->times);
	else if (o->times == 0 && !p->freed)
		plait_i_points_fail(p, "the deferred never fires");
	else if (!p->applied && !o->value)
		plait_i_points_fail(p, "the scenario fails by itself: %s",
				    o->text);
}

void plait_i_way_judge(struct points *p)
{
	way_judge_end(p);
	if (p->applied && !p->settled_before && !p->freed &&
	    p->how != PLAIT_CANCEL_LOSS && p->how != PLAIT_CANCEL_STOP)
		way_judge_cancel(p);
}

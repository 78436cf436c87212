/*
 * Scopes.  A scope is a list of entries, each of which can be cancelled and
 * says when it has ended; a scope inside another is one of those.
 *
 * Entries wait in one of two lists: running, until they are told to end, and
 * ending, from then until they leave.  A cancelled scope has no running ones,
 * and takes none in.  The entries are told one at a time, the last that was
 * started first, and each may change the lists; so each step starts from the
 * scope, not from an entry.
 *
 * Cancelling goes down the tree, and ending goes up, in loops: scopes may be
 * nested as deep as memory lasts.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include <plait/scope.h>
#include <plait/timer.h>

#include "lib/deferred.h"
#include "lib/failure.h"

struct plait_scope {
	struct plait_reactor *reactor;
	struct plait_scope *parent;
	struct plait_scope *resume; /* to go on with, when this is told */
	struct plait_scope_entry entry; /* in the parent */
	struct plait_list running, ending;
	struct plait_timer timer;
	struct plait_promise *ended; /* who waits for the end */
	const char *reason, *where;
	double shield; /* seconds; 0: none */
	unsigned refs; /* the handle's, and that of work on the lists */
	bool cancelled, timed_out;
};

/* A deferred that was started in a scope. */
struct started {
	struct plait_scope_entry entry;
	struct plait_deferred *deferred;
};

static void unref(struct plait_scope *s);

static bool is_child(const struct plait_scope_entry *e)
{
	return e->cancel == NULL;
}

static struct plait_scope *child_of(struct plait_scope_entry *e)
{
	return plait_container(e, struct plait_scope, entry);
}

static void expire(void *arg)
{
	struct plait_scope *s = arg;

	if (!s->cancelled) {
		s->timed_out = true;
		plait_scope_cancel(s, "the deadline has passed");
	}
}

static void mark(struct plait_scope *s, const char *reason, const char *where)
{
	s->cancelled = true;
	s->reason = reason;
	s->where = where;
	plait_timer_stop(&s->timer);
}

/* ---- making --------------------------------------------------------- */

struct plait_scope *plait_scope_new(struct plait_reactor *r,
				    struct plait_scope *parent)
{
	struct plait_scope *s = malloc(sizeof(*s));

	if (s == NULL)
		return NULL;
	*s = (struct plait_scope){ .reactor = r, .parent = parent, .refs = 1 };
	plait_list_init(&s->running);
	plait_list_init(&s->ending);
	if (parent == NULL)
		return s;
	if (parent->cancelled) {
		s->timed_out = parent->timed_out;
		mark(s, parent->reason, parent->where);
	}
	plait_list_append(parent->cancelled ? &parent->ending :
						    &parent->running,
			  &s->entry.link);
	return s;
}

/* ---- cancelling ----------------------------------------------------- */

/* A shielded scope is given its time; another one is cancelled as well. */
static struct plait_scope *tell_child(struct plait_scope *s,
				      struct plait_scope *child)
{
	if (child->cancelled)
		return s;
	if (child->shield > 0) {
		double now = plait_reactor_seconds(child->reactor);
		double when = plait_timer_when(&child->timer);

		/* Not a number if it has no deadline of its own yet. */
		if (!(when <= now + child->shield))
			plait_timer_start(child->reactor, &child->timer,
					  child->shield, expire, child);
		return s;
	}
	child->timed_out = s->timed_out;
	mark(child, s->reason, s->where);
	child->refs++;
	child->resume = s;
	return child;
}

/* Tells one entry of s; says which scope to go on with. */
static struct plait_scope *tell_one(struct plait_scope *s)
{
	struct plait_scope_entry *e = plait_container(
		s->running.prev, struct plait_scope_entry, link);

	plait_list_remove(&e->link);
	plait_list_append(&s->ending, &e->link);
	if (is_child(e))
		return tell_child(s, child_of(e));
	e->cancel(e->arg);
	return s;
}

static void tell_all(struct plait_scope *s)
{
	s->refs++;
	s->resume = NULL;
	while (s != NULL) {
		struct plait_scope *told = s;

		if (!plait_list_is_empty(&s->running)) {
			s = tell_one(s);
			continue;
		}
		s = s->resume;
		unref(told);
	}
}

void plait_scope_cancel_at(struct plait_scope *s, const char *reason,
			   const char *where)
{
	if (s == NULL || s->cancelled)
		return;
	mark(s, reason != NULL ? reason : "", where);
	tell_all(s);
}

bool plait_scope_is_cancelled(const struct plait_scope *s)
{
	return s == NULL || s->cancelled;
}

const char *plait_scope_reason(const struct plait_scope *s)
{
	return s != NULL && s->cancelled ? s->reason : "";
}

/* ---- ending --------------------------------------------------------- */

bool plait_scope_is_empty(const struct plait_scope *s)
{
	return s == NULL || (plait_list_is_empty(&s->running) &&
			     plait_list_is_empty(&s->ending));
}

/* Its handle is gone, and nothing is in it. */
static bool is_over(const struct plait_scope *s)
{
	return s->refs == 0 && plait_scope_is_empty(s);
}

/* Ends s, and the scopes around it that only waited for that. */
static void end(struct plait_scope *s)
{
	while (s != NULL && is_over(s)) {
		struct plait_scope *parent = s->parent;

		plait_timer_stop(&s->timer);
		plait_list_remove(&s->entry.link);
		if (parent != NULL)
			parent->refs++;
		plait_fire(&s->ended, PLAIT_NONE);
		free(s);
		if (parent != NULL)
			parent->refs--;
		s = parent;
	}
}

static void unref(struct plait_scope *s)
{
	s->refs--;
	end(s);
}

static plait_value wait_no_more(struct plait_deferred *d, void *arg)
{
	struct plait_scope *s = arg;

	plait_promise_drop(&s->ended);
	return plait_cancelled();
}

struct plait_deferred *plait_scope_free(struct plait_scope **sp)
{
	struct plait_scope *s = *sp;
	struct plait_deferred *d;

	*sp = NULL;
	if (s == NULL)
		return plait_succeed(PLAIT_NONE);
	plait_scope_cancel(s, "the scope has ended");
	d = plait_deferred_new(&s->ended, wait_no_more, s);
	unref(s);
	return d;
}

/* ---- what is in it -------------------------------------------------- */

int plait_scope_enter(struct plait_scope *s, struct plait_scope_entry *e,
		      plait_func *cancel, void *arg)
{
	plait_assert(cancel != NULL);
	if (plait_scope_is_cancelled(s))
		return -ECANCELED;
	*e = (struct plait_scope_entry){ .scope = s,
					 .cancel = cancel,
					 .arg = arg };
	plait_list_append(&s->running, &e->link);
	return 0;
}

void plait_scope_leave(struct plait_scope_entry *e)
{
	struct plait_scope *s = e->scope;

	if (s == NULL)
		return;
	e->scope = NULL;
	plait_list_remove(&e->link);
	end(s);
}

static void cancel_started(void *arg)
{
	struct started *st = arg;
	const struct plait_scope *s = st->entry.scope;

	plait_deferred_cancel_at(st->deferred, s->reason, s->where);
}

static void leave_started(void *arg)
{
	struct started *st = arg;

	plait_scope_leave(&st->entry);
	free(st);
}

/* Cancelled from outside outranks a deadline inside. */
static bool has_timed_out(const struct plait_scope *s)
{
	for (const struct plait_scope *p = s->parent; p != NULL; p = p->parent)
		if (p->cancelled && !p->timed_out)
			return false;
	return s->timed_out;
}

static bool is_cancelled_by(const struct plait_scope *s, const plait_value *v)
{
	const struct plait_failure *f;

	if (!s->cancelled || !plait_value_is_failure(v))
		return false;
	f = plait_value_failure(v);
	return plait_failure_check(f, &plait_error_cancelled) &&
	       plait_failure_cancelled_at(f) == s->where &&
	       plait_failure_reason(f) == s->reason;
}

static plait_value settle_started(plait_value *result, void *arg)
{
	struct started *st = arg;
	const struct plait_scope *s = st->entry.scope;
	plait_value v = plait_take(result);

	if (is_cancelled_by(s, &v) && has_timed_out(s)) {
		plait_value timed_out = plait_fail_because(
			&plait_error_timeout, plait_value_failure(&v), "%s",
			s->reason);

		plait_value_free(&v);
		v = timed_out;
	}
	leave_started(st);
	return v;
}

static struct plait_deferred *refuse(struct plait_scope *s,
				     struct plait_deferred *d)
{
	if (s != NULL && s->cancelled)
		plait_deferred_cancel_at(d, s->reason, s->where);
	else
		plait_deferred_cancel_because(d, "no memory");
	return d;
}

struct plait_deferred *plait_scope_start(struct plait_scope *s,
					 struct plait_deferred *d)
{
	struct started *st;

	if (plait_scope_is_cancelled(s))
		return refuse(s, d);
	st = malloc(sizeof(*st));
	if (st == NULL)
		return refuse(s, d);
	st->deferred = d;
	plait_scope_enter(s, &st->entry, cancel_started, st);
	return deferred_add_guarded(d, settle_started, st, leave_started);
}

/* ---- deadlines ------------------------------------------------------ */

void plait_scope_set_deadline(struct plait_scope *s, double seconds)
{
	if (s == NULL || s->cancelled)
		return;
	if (isinf(seconds) && seconds > 0)
		plait_timer_stop(&s->timer);
	else
		plait_timer_start(s->reactor, &s->timer, seconds, expire, s);
}

double plait_scope_deadline(const struct plait_scope *s)
{
	double tightest = INFINITY;

	for (; s != NULL; s = s->shield > 0 ? NULL : s->parent)
		if (plait_timer_is_running(&s->timer))
			tightest = fmin(tightest, plait_timer_when(&s->timer));
	return tightest;
}

void plait_scope_shield(struct plait_scope *s, double seconds)
{
	plait_assert(seconds >= 0);
	if (s != NULL)
		s->shield = seconds;
}

/*
 * Scopes.  A scope is a list of entries.  Each entry can be cancelled, and says
 * when it has ended.  A scope inside another scope is an entry of it.
 *
 * An entry is in one of two lists: in running until it is told to end, and in
 * ending from then until it leaves.  Entries are told one at a time, and the
 * one that was started last is told first.  Whoever is told may change the
 * lists, so each step begins at the scope, not at an entry.
 *
 * A scope is kept while the program has its handle, while anything is in it,
 * and while a loop in this file works on it.  So the scopes around it, which it
 * points to, are kept as well.
 *
 * Why a scope was cancelled stands in one place, the cause: this is the scope
 * that was cancelled by a call or by its own deadline.  The scopes inside point
 * to the cause.
 *
 * Scopes may be nested as deep as memory lasts, so cancelling goes down the
 * tree in a loop, and ending goes up in a loop.  Two questions depend on the
 * scopes around: which of them outranks a deadline, and which deadline is the
 * earliest.  The answer is kept in each scope that was passed on the way up,
 * and is good until something changes in a scope that has others inside.  So
 * many questions cost as much as one.
 */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include <plait/timer.h>

#include "lib/chance.h"
#include "lib/deferred.h"
#include "lib/failure.h"
#include "lib/fork.h"
#include "lib/owner.h"
#include "reactor/loop/loop.h"
#include "reactor/task/scope.h"

/* Defined here; whoever calls them here says the place. */
#undef plait_scope_new
#undef plait_scope_new_in
#undef plait_scope_cancel
#undef plait_scope_free
#undef plait_scope_close

/* Answers about a scope and those around it: good for one count of the root. */
struct around {
	const struct plait_scope *cause; /* the nearest that was a call */
	double deadline;		 /* the earliest */
	uint64_t cause_as_of, deadline_as_of;
};

struct plait_scope {
	struct plait_reactor *reactor; /* NULL: none, or it was freed */
	struct loop_task reactor_freed;
	struct plait_scope *parent, *root; /* a root is its own root */
	struct plait_scope *resume;	   /* its parent, while this is told */
	struct plait_scope *asks;	 /* the one inside that asks for this */
	const struct plait_scope *cause; /* NULL: not cancelled */
	const char *reason, *where;	 /* if it is a cause */
	const char *made;		 /* the call that has made it */
	bool timed_out;			 /* it is a cause, by its deadline */
	bool sheltered; /* its shield has begun: only earlier deadlines now */
	struct plait_scope_entry entry; /* in the parent */
	struct plait_list running, ending;
	struct plait_timer timer;
	struct plait_promise *ended; /* who waits for the end */
	double shield;		     /* seconds; 0: none */
	struct around around;
	uint64_t cancels, deadlines; /* of a root: counts of changes */
	size_t children;
	unsigned refs;	/* of the handle, and of loops in this file */
	unsigned owner; /* the thread that has made it */
	unsigned forks; /* how many there had been then */
};

/* A deferred that was started in a scope. */
struct started {
	struct plait_scope_entry entry;
	struct plait_deferred *deferred; /* if owned, NULL once it is freed */
	const struct plait_scope *told;	 /* the cause, when it was cancelled */
};

static void scope_end(struct plait_scope *s);

static bool is_child(const struct plait_scope_entry *e)
{
	return e->cancel == NULL;
}

static struct plait_scope *child_of(struct plait_scope_entry *e)
{
	return plait_container(e, struct plait_scope, entry);
}

static void scope_unref(struct plait_scope *s)
{
	s->refs--;
	scope_end(s);
}

/* At the beginning of each call of the program. */
static void scope_check_owner(const struct plait_scope *s, const char *where)
{
	if (s != NULL && !owner_is_self(s->owner) && !fork_inherited(s->forks))
		plait_die(where,
			  "thread %u uses the scope made at %s, which belongs "
			  "to thread %u",
			  owner_number(), s->made, s->owner);
}

/* ---- making --------------------------------------------------------- */

static void lose_reactor(struct loop_task *task);

static struct plait_scope *scope_make(struct plait_reactor *r,
				      struct plait_scope *parent,
				      const char *where)
{
	struct plait_scope *s = malloc(sizeof(*s));

	if (s == NULL)
		return NULL;
	/* A reactor that is ending runs no more timers. */
	if (r != NULL && plait_i_loop_is_ending(r))
		r = NULL;
	*s = (struct plait_scope){
		.reactor = r,
		.reactor_freed.run = lose_reactor,
		.parent = parent,
		.made = where,
		.refs = 1,
		.owner = owner_number(),
		.forks = fork_count(),
		.cancels = 1,
		.deadlines = 1,
	};
	s->root = parent != NULL ? parent->root : s;
	plait_list_init(&s->running);
	plait_list_init(&s->ending);
	if (r != NULL)
		plait_i_loop_when_freed(r, &s->reactor_freed);
	trace_note(TRACE_SCOPE, s, r, where, 0);
	return s;
}

struct plait_scope *plait_scope_new(struct plait_reactor *r, const char *where)
{
	if (r != NULL)
		loop_check(r, where);
	return scope_make(r, NULL, where);
}

struct plait_scope *plait_scope_new_in(struct plait_scope *parent,
				       const char *where)
{
	struct plait_scope *s;

	if (parent == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	scope_check_owner(parent, where);
	s = scope_make(parent->reactor, parent, where);
	if (s == NULL)
		return NULL;
	s->cause = parent->cause;
	parent->children++;
	plait_list_append(s->cause != NULL ? &parent->ending : &parent->running,
			  &s->entry.link);
	return s;
}

/* ---- cancelling ----------------------------------------------------- */

static bool was_called_off(const struct plait_scope *s)
{
	return s->cause != NULL && !s->cause->timed_out;
}

/* The nearest cause that was a call, from s on outwards; or NULL. */
static const struct plait_scope *called_off_by(struct plait_scope *s)
{
	uint64_t now = s->root->cancels;
	const struct plait_scope *cause = NULL;
	struct plait_scope *p = s;

	while (p != NULL && !was_called_off(p) && p->around.cause_as_of != now)
		p = p->parent;
	if (p != NULL)
		cause = was_called_off(p) ? p->cause : p->around.cause;
	for (; s != p; s = s->parent) {
		s->around.cause = cause;
		s->around.cause_as_of = now;
	}
	return cause;
}

/* Why s was cancelled: a call outside outranks a deadline inside. */
static const struct plait_scope *scope_why(const struct plait_scope *s)
{
	const struct plait_scope *cause = s->cause, *outer = NULL;

	if (cause->timed_out && cause->parent != NULL)
		outer = called_off_by(cause->parent);
	return outer != NULL ? outer : cause;
}

static void deadline_changed(struct plait_scope *s)
{
	s->around.deadline_as_of = 0;
	if (s->children > 0)
		s->root->deadlines++;
}

static void stop_timer(struct plait_scope *s)
{
	plait_timer_stop(&s->timer);
	deadline_changed(s);
}

static void scope_mark(struct plait_scope *s, const struct plait_scope *cause)
{
	s->cause = cause;
	stop_timer(s);
}

static void start_timer(struct plait_scope *s, double seconds);

/*
 * A shielded scope is given its time, any other scope is cancelled.  Returns
 * the scope to go on with.
 */
static struct plait_scope *tell_child(struct plait_scope *s,
				      struct plait_scope *child)
{
	if (child->cause != NULL)
		return s;
	if (child->shield > 0 && child->reactor != NULL) {
		child->sheltered = true;
		start_timer(child, child->shield);
		return s;
	}
	scope_mark(child, s->cause);
	child->refs++;
	child->resume = s;
	return child;
}

/* Tells one entry of s to end.  Returns the scope to go on with. */
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

/* Holds a reference to each scope on the way until all in it were told. */
static void tell_all(struct plait_scope *s)
{
	s->refs++;
	while (s != NULL) {
		struct plait_scope *told = s;

		if (!plait_list_is_empty(&s->running)) {
			s = tell_one(s);
			continue;
		}
		s = s->resume;
		scope_unref(told);
	}
}

static void become_cause(struct plait_scope *s, const char *reason,
			 const char *where)
{
	s->reason = reason != NULL ? reason : "";
	s->where = where;
	scope_mark(s, s);
}

void plait_i_scope_cancel(struct plait_scope *s, const char *reason,
			  const char *where)
{
	if (plait_scope_is_cancelled(s))
		return;
	become_cause(s, reason, where);
	if (s->children > 0)
		s->root->cancels++;
	tell_all(s);
}

void plait_scope_cancel(struct plait_scope *s, const char *reason,
			const char *where)
{
	scope_check_owner(s, where);
	plait_i_scope_cancel(s, reason, where);
}

bool plait_scope_is_cancelled(const struct plait_scope *s)
{
	return s == NULL || s->cause != NULL;
}

const char *plait_scope_reason(const struct plait_scope *s)
{
	scope_check_owner(s, "plait_scope_reason()");
	return s != NULL && s->cause != NULL ? scope_why(s)->reason : "";
}

/* ---- ending --------------------------------------------------------- */

bool plait_scope_is_empty(const struct plait_scope *s)
{
	return s == NULL || (plait_list_is_empty(&s->running) &&
			     plait_list_is_empty(&s->ending));
}

/* Frees s, and tells whoever waits for its end. */
static void scope_bury(struct plait_scope *s)
{
	struct plait_promise *ended = s->ended;

	plait_timer_stop(&s->timer);
	loop_task_cancel(&s->reactor_freed);
	plait_list_remove(&s->entry.link);
	trace_note(TRACE_SCOPE_FREED, s, s->reactor, s->made, 0);
	free(s);
	plait_fire(&ended, PLAIT_NONE);
}

/* Frees s if it has ended, and the scopes around it that s kept. */
static void scope_end(struct plait_scope *s)
{
	while (s != NULL && s->refs == 0 && plait_scope_is_empty(s)) {
		struct plait_scope *parent = s->parent;

		if (parent != NULL) {
			parent->refs++;
			parent->children--;
		}
		scope_bury(s);
		if (parent != NULL)
			parent->refs--;
		s = parent;
	}
}

static plait_value wait_no_more(struct plait_deferred *d, void *arg)
{
	struct plait_scope *s = arg;

	plait_promise_drop(&s->ended);
	return plait_cancelled();
}

void plait_i_scope_end(struct plait_scope **sp, const char *where)
{
	struct plait_scope *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	plait_i_scope_cancel(s, "the scope has ended", where);
	scope_unref(s);
}

void plait_i_scope_abandon(struct plait_scope **sp)
{
	struct plait_scope *s = *sp;

	*sp = NULL;
	if (s != NULL)
		scope_unref(s);
}

void plait_scope_free(struct plait_scope **sp, const char *where)
{
	if (sp == NULL || *sp == NULL)
		return;
	scope_check_owner(*sp, where);
	plait_i_scope_end(sp, where);
}

void plait_scope_cleanup(struct plait_scope **sp)
{
	plait_scope_free(sp, "plait_scope_cleanup()");
}

struct plait_deferred *plait_scope_close(struct plait_scope **sp,
					 const char *where)
{
	struct plait_scope *s = sp != NULL ? *sp : NULL;
	struct plait_deferred *d;

	if (s == NULL)
		return (plait_succeed)(PLAIT_NONE, where);
	scope_check_owner(s, where);
	d = (plait_deferred_new)(&s->ended, wait_no_more, s, where);
	plait_i_scope_end(sp, where);
	return d;
}

/* ---- what is in it -------------------------------------------------- */

static void scope_enter(struct plait_scope *s, struct plait_scope_entry *e,
			plait_func *cancel, void *arg)
{
	*e = (struct plait_scope_entry){ .scope = s,
					 .cancel = cancel,
					 .arg = arg };
	plait_list_append(&s->running, &e->link);
}

int plait_scope_enter(struct plait_scope *s, struct plait_scope_entry *e,
		      plait_func *cancel, void *arg)
{
	plait_assert(cancel != NULL && e->scope == NULL);
	if (s == NULL)
		return -ENOMEM;
	scope_check_owner(s, "plait_scope_enter()");
	if (plait_scope_is_cancelled(s))
		return -ECANCELED;
	scope_enter(s, e, cancel, arg);
	return 0;
}

void plait_scope_leave(struct plait_scope_entry *e)
{
	struct plait_scope *s = e->scope;

	if (s == NULL)
		return;
	scope_check_owner(s, "plait_scope_leave()");
	e->scope = NULL;
	plait_list_remove(&e->link);
	scope_end(s);
}

static struct plait_deferred *leave_started(void *arg)
{
	struct started *st = arg;

	plait_scope_leave(&st->entry);
	free(st);
	return NULL;
}

/*
 * Enters d, and adds the pair with which it leaves.  If the scope was cancelled
 * before, d is told at once, unless it has left already.
 */
static void scope_start(struct plait_scope *s, struct started *st,
			plait_func *cancel, plait_callback *settle)
{
	s->refs++;
	scope_enter(s, &st->entry, cancel, st);
	plait_i_deferred_add_guarded(st->deferred, settle, st, leave_started);
	if (s->cause != NULL && s->running.prev == &st->entry.link)
		tell_one(s);
	scope_unref(s);
}

/* NULL with no memory, and then d was cancelled. */
static struct started *started_new(const struct plait_scope *s,
				   struct plait_deferred *d)
{
	struct started *st = s != NULL ? malloc(sizeof(*st)) : NULL;

	if (st == NULL)
		plait_deferred_cancel_because(d, "no memory for the scope");
	else
		*st = (struct started){ .deferred = d };
	return st;
}

static void cancel_told(struct started *st, struct plait_deferred *d)
{
	st->told = scope_why(st->entry.scope);
	(plait_deferred_cancel_because)(d, st->told->reason, st->told->where);
}

static bool is_cancelled_by(const struct plait_scope *cause,
			    const plait_value *v)
{
	const struct plait_failure *f;

	if (cause == NULL || !plait_value_is_failure(v))
		return false;
	f = plait_value_failure(v);
	return plait_failure_check(f, &plait_error_cancelled) &&
	       plait_failure_cancel_where(f) == cause->where &&
	       plait_failure_cancel_reason(f) == cause->reason;
}

static void cancel_started(void *arg)
{
	struct started *st = arg;

	cancel_told(st, st->deferred);
}

/* What d fails with, if the scope has cancelled it. */
static plait_value scope_judge(const struct started *st, plait_value *v)
{
	const struct plait_scope *cause = scope_why(st->entry.scope);
	plait_value verdict;

	if (cause->timed_out)
		verdict = plait_fail_because(&plait_error_timeout,
					     plait_value_failure(v), "%s",
					     cause->reason);
	else if (cause != st->told)
		verdict = plait_i_failure_cancelled_by(cause->reason,
						       cause->where);
	else
		return *v;
	plait_value_free(v);
	return verdict;
}

static plait_value settle_started(plait_value *result, void *arg)
{
	struct started *st = arg;
	plait_value v = plait_value_take(result);

	if (is_cancelled_by(st->told, &v))
		v = scope_judge(st, &v);
	leave_started(st);
	return v;
}

struct plait_deferred *plait_scope_start(struct plait_scope *s,
					 struct plait_deferred *d)
{
	struct started *st;

	if (d == NULL)
		return &plait_i_deferred_no_memory;
	scope_check_owner(s, "plait_scope_start()");
	st = started_new(s, d);
	if (st != NULL)
		scope_start(s, st, cancel_started, settle_started);
	return d;
}

/* The pair frees st, during the free or later. */
static void cancel_owned(void *arg)
{
	struct started *st = arg;
	struct plait_deferred *d = st->deferred;

	st->deferred = NULL;
	cancel_told(st, d);
	plait_deferred_free(&d);
}

static plait_value settle_owned(plait_value *result, void *arg)
{
	struct started *st = arg;
	plait_value v = plait_value_take(result);

	plait_deferred_detach(&st->deferred);
	if (is_cancelled_by(st->told, &v))
		plait_value_free(&v);
	leave_started(st);
	return v;
}

void plait_scope_own(struct plait_scope *s, struct plait_deferred **dp)
{
	struct plait_deferred *d = dp != NULL ? *dp : NULL;
	struct started *st;

	if (d == NULL)
		return;
	*dp = NULL;
	scope_check_owner(s, "plait_scope_own()");
	plait_i_deferred_take(d, "plait_scope_own()");
	st = started_new(s, d);
	if (st != NULL)
		scope_start(s, st, cancel_owned, settle_owned);
	else
		plait_deferred_free(&d);
}

/* ---- deadlines ------------------------------------------------------ */

static void scope_expire(void *arg)
{
	struct plait_scope *s = arg;

	REACHED("the deadline of a scope passes");
	s->timed_out = true;
	become_cause(s, "the deadline has passed", PLAIT_HERE);
	scope_mark(s, scope_why(s));
	tell_all(s);
}

/* Deadlines will not come any more, so the time of a shield is over now. */
static void lose_reactor(struct loop_task *task)
{
	struct plait_scope *s =
		plait_container(task, struct plait_scope, reactor_freed);
	struct plait_reactor *r = s->reactor;

	s->reactor = NULL;
	stop_timer(s);
	if (!s->sheltered || s->cause != NULL || loop_is_forked(r))
		return;
	plait_i_loop_enter(r);
	scope_expire(s);
	plait_i_loop_leave(r);
}

/* For a sheltered scope, the deadline can only become earlier. */
static void start_timer(struct plait_scope *s, double seconds)
{
	double left =
		plait_timer_when(&s->timer) - plait_reactor_seconds(s->reactor);

	/* left is NAN if the timer is not running. */
	if (s->sheltered && left <= seconds)
		return;
	plait_timer_start(s->reactor, &s->timer, seconds, scope_expire, s);
	deadline_changed(s);
}

void plait_scope_set_deadline(struct plait_scope *s, double seconds)
{
	scope_check_owner(s, "plait_scope_set_deadline()");
	if (plait_scope_is_cancelled(s) || s->reactor == NULL)
		return;
	if (isinf(seconds) && seconds > 0 && !s->sheltered)
		stop_timer(s);
	else
		start_timer(s, seconds);
}

/* Given the deadline around s: its shield lets s live longer than that. */
static double scope_tighten(const struct plait_scope *s, double around)
{
	double own = plait_timer_when(&s->timer);

	around += s->shield;
	return own < around ? own : around; /* NAN, for none, is not less */
}

static bool knows_deadline(const struct plait_scope *s)
{
	return s->around.deadline_as_of == s->root->deadlines;
}

double plait_scope_deadline(const struct plait_scope *asked)
{
	struct plait_scope *s = (struct plait_scope *)(uintptr_t)asked;
	struct plait_scope *inner = NULL;
	double tightest = INFINITY;

	scope_check_owner(s, "plait_scope_deadline()");
	for (; !plait_scope_is_cancelled(s) && !knows_deadline(s);
	     s = s->parent) {
		s->asks = inner;
		inner = s;
	}
	if (!plait_scope_is_cancelled(s))
		tightest = s->around.deadline;
	for (; inner != NULL; inner = inner->asks) {
		tightest = scope_tighten(inner, tightest);
		inner->around.deadline = tightest;
		inner->around.deadline_as_of = inner->root->deadlines;
	}
	return tightest;
}

void plait_scope_shield(struct plait_scope *s, double seconds)
{
	plait_assert(seconds >= 0);
	scope_check_owner(s, "plait_scope_shield()");
	if (s == NULL)
		return;
	s->shield = seconds;
	deadline_changed(s);
}

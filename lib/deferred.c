/*
 * Deferreds: results that have not come yet, and the chains of callbacks that
 * wait for them.
 *
 * Both ends are one object.  The waiting end and the firing end hold a
 * reference each.  A run in progress, an inner deferred that somebody waits
 * for, and the cancellation failure embedded here hold one more reference each.
 *
 * Two links tie deferreds together.  inner and outer: a callback of outer has
 * returned inner, so the waiting end of inner belongs to outer, and outer is
 * blocked until inner hands its result over.  resume: this deferred was fired
 * from the run of another deferred, by plait_deferred_forward() or a list, and
 * the other run goes on afterwards; or this is a list that is being cancelled
 * as a part of another list.  run_from() follows both kinds of links with a
 * loop and never calls itself, so the stack does not grow with the length of a
 * chain.  Cancelling and freeing walk along the links, too.
 *
 * The invariant: a deferred is active from deferred_enter() to
 * deferred_leave().  While it is active, only the loop that entered it touches
 * its result.  What ends it meanwhile (free, detach) only takes notes, and
 * deferred_leave() acts on them.
 *
 * A deferred may stand for others that no link ties to it, as a list does.  If
 * a callback or canceller of one of the others is on the stack when the
 * deferred ends, the deferred is held: what it guards is kept until that
 * function has returned.  A deferred has a list of those that wait until it has
 * left the stack: held, linked by resume.
 *
 * To follow a result, read plait_fire(), run_from(), deferred_step() and
 * deferred_leave().  To follow a cancel, read deferred_cancel(), cancel_group()
 * and plait_i_deferred_free_for().
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"
#include "lib/deferred_inside.h"
#include "lib/exception.h"
#include "lib/owner.h"
#include "lib/trace.h"
#include "lib/value.h"

/*
 * These functions are defined here.  Calls in this file say the place
 * themselves.
 */
#undef plait_deferred_new
#undef plait_succeed
#undef plait_failed
#undef plait_maybe_deferred
#undef plait_fire
#undef plait_promise_drop
#undef plait_deferred_cancel
#undef plait_deferred_cancel_because
#undef plait_deferred_free

struct plait_deferred plait_i_deferred_no_memory = {
	.where = "no memory",
	.fired_at = "no memory",
	.made = -1,
	.refs = 1,
	.fired = true,
	.owner = DEFERRED_NOBODYS,
};

_Thread_local struct deferred_thread plait_i_deferred_thread
	__attribute__((tls_model("initial-exec"))) = { .time.now = -1 };

const char plait_i_deferred_freed_reason[] = "nobody waits for it any more";

static void free_deferred_value(void *ptr)
{
	struct plait_deferred *d = ptr;

	plait_deferred_free(&d, PLAIT_HERE);
}

static int format_deferred_value(const void *ptr, char *buf, size_t size)
{
	return plait_deferred_str(ptr, buf, size);
}

const struct plait_type plait_deferred_type = {
	.name = "deferred",
	.free = free_deferred_value,
	.format = format_deferred_value,
};

static struct plait_deferred *deferred_of(const struct plait_promise *p)
{
	return (struct plait_deferred *)(uintptr_t)p;
}

static struct plait_promise *promise_of(struct plait_deferred *d)
{
	return (struct plait_promise *)(void *)d;
}

static inline bool is_blocked(const struct plait_deferred *d)
{
	return !d->fired || d->inner != NULL ||
	       ((d->pauses | d->holds) > 0 && (d->pauses > 0 || !d->freeing));
}

/*
 * Returns true if a callback or the canceller of d runs, or of what d stands
 * for.
 */
static bool is_on_stack(const struct plait_deferred *d)
{
	return d->active || d->cancelling || d->holds > 0;
}

static bool has_pairs(const struct plait_deferred *d)
{
	return d->head < d->count;
}

#ifdef PLAIT_VERIFY
static void deferred_verify(const struct plait_deferred *d)
{
	plait_assert(d->refs > 0);
	plait_assert(d->kept <= d->head);
	plait_assert(d->head <= d->count && d->count <= d->room);
	plait_assert(d->outer == NULL || d->handed || d->outer->inner == d);
	plait_assert(d->inner == NULL || d->inner->outer == d);
	plait_assert(plait_list_is_linked(&d->live));
	plait_assert(d->fired || plait_value_is_none(&d->result));
	plait_assert(d->inner == NULL || plait_value_is_none(&d->result));
}
#else
static inline void deferred_verify(const struct plait_deferred *d)
{
}
#endif

/* The last reference to d has ended. */
static OUT_OF_LINE void deferred_end(struct plait_deferred *d)
{
	trace_note(TRACE_FREED, d, NULL, d->where, 0);
	d->owner = DEFERRED_NOBODYS;
	plait_list_remove(&d->live);
	if (d->pairs != d->inline_pairs)
		free(d->pairs);
	slab_put(&d->place);
}

static inline void deferred_unref(struct plait_deferred *d)
{
	if (d != &plait_i_deferred_no_memory && --d->refs == 0)
		deferred_end(d);
}

/* ---- one deferred, as it is ---------------------------------------------- */

/* ", fired at FILE:LINE", or nothing. */
static const char *fired_text(const struct plait_deferred *d)
{
	return d->fired ? " fired at " : "";
}

static const char *fired_at(const struct plait_deferred *d)
{
	return d->fired ? d->fired_at : "";
}

static OUT_OF_LINE PLAIT_NORETURN void
die_of_use(const struct plait_deferred *d, const char *where)
{
	plait_die(where, "uses the deferred made at %s%s%s, which ended at %s",
		  d->where, fired_text(d), fired_at(d), d->ended_at);
}

/*
 * d does not belong to this thread: aborts, unless d stands for the lack of
 * memory.  A child made by fork() may use in any of its threads what its parent
 * has made.
 */
static OUT_OF_LINE void deferred_check_owner(const struct plait_deferred *d,
					     const char *where)
{
	if (d == &plait_i_deferred_no_memory)
		return;
	if (d->owner == DEFERRED_NOBODYS)
		die_of_use(d, where);
	if (deferred_is_inherited(d))
		return;
	plait_die(where,
		  "thread %u uses the deferred made at %s, which belongs to "
		  "thread %u",
		  owner_number(), d->where, d->owner);
}

/* False if d must be looked at more closely, before anything else is done. */
static inline bool is_own(const struct plait_deferred *d)
{
	return owner_is_self(d->owner);
}

/*
 * Stands at the beginning of everything that a program can do with a deferred.
 */
static inline void check_use(const struct plait_deferred *d, const char *where)
{
	if (!is_own(d))
		deferred_check_owner(d, where);
}

bool plait_deferred_is_fired(const struct plait_deferred *d)
{
	if (d == NULL)
		return false;
	check_use(d, "plait_deferred_is_fired()");
	return d->fired;
}

const plait_value *plait_deferred_result(const struct plait_deferred *d)
{
	static const plait_value no_memory = {
		&plait_failure_type,
		(void *)(uintptr_t)&plait_i_failure_no_memory
	};

	if (d == NULL)
		return NULL;
	check_use(d, "plait_deferred_result()");
	if (d == &plait_i_deferred_no_memory)
		return &no_memory;
	return d->fired && d->inner == NULL ? &d->result : NULL;
}

int plait_deferred_str(const struct plait_deferred *d, char *buf, size_t size)
{
	const plait_value *result = plait_deferred_result(d);
	char text[256], rest[300] = "";

	if (d == NULL)
		return snprintf(buf, size, "no deferred");
	if (d->inner != NULL) {
		snprintf(rest, sizeof(rest), " waiting on Deferred at %p",
			 (const void *)d->inner);
	} else if (result != NULL) {
		plait_value_str(result, text, sizeof(text));
		snprintf(rest, sizeof(rest), " current result: %s", text);
	}
	return snprintf(buf, size, "<Deferred at %p made at %s%s%s%s>",
			(const void *)d, d->where, fired_text(d), fired_at(d),
			rest);
}

/* ---- making -------------------------------------------------------- */

static inline bool thread_is_ready(void)
{
	const struct deferred_thread *t = &plait_i_deferred_thread;

	return t->live.next != NULL &&
	       (t->time.now >= 0 || t->time.clock == NULL);
}

/* Before the first deferred of a thread, and before the first of a turn. */
static OUT_OF_LINE void thread_make_ready(void)
{
	struct deferred_thread *t = &plait_i_deferred_thread;

	if (t->time.now < 0 && t->time.clock != NULL)
		t->time.now = t->time.clock();
	if (t->live.next != NULL)
		return;
	owner_number();
	plait_list_init(&t->live);
	plait_i_fork_watch();
}

/* Sets every field, except those that are written before they are read. */
static inline void deferred_init(struct plait_deferred *d, const char *where)
{
	d->result = PLAIT_NONE;
	d->canceller = NULL;
	d->rest = NULL;
	d->arg = NULL;
	d->where = where;
	d->made = plait_i_deferred_thread.time.now;
	d->home = plait_i_deferred_thread.time.home;
	d->inner = d->outer = d->resume = d->held = NULL;
	d->pairs = d->inline_pairs;
	d->kept = d->head = d->count = 0;
	d->room = INLINE_PAIRS;
	d->refs = 1;
	d->pauses = d->holds = 0;
	d->waited = true;
	d->taken = d->freeing = d->freed = d->handed = false;
	d->fired = d->cancelling = d->active = d->noted = false;
	d->forks = (uint16_t)fork_count();
	d->owner = plait_i_owner_self;
	plait_list_init(&d->live);
	plait_list_append(&plait_i_deferred_thread.live, &d->live);
}

/* Returns d, so that who makes deferreds can end with this call. */
static OUT_OF_LINE struct plait_deferred *tell_made(struct plait_deferred *d)
{
	trace_note(TRACE_MADE, d, NULL, d->where, 0);
	return d;
}

static void set_fired(struct plait_deferred *d, plait_value v,
		      const char *where)
{
	/* A worker may look at this: see plait_promise_is_cancelled(). */
	__atomic_store_n(&d->fired, true, __ATOMIC_RELAXED);
	d->result = v;
	d->fired_at = where;
	deferred_verify(d);
	trace_note(TRACE_FIRED, d, NULL, where, 0);
}

static inline struct plait_deferred *
deferred_begin(struct plait_deferred *d, struct plait_promise **ret,
	       plait_canceller *canceller, void *arg, const char *where)
{
	deferred_init(d, where);
	d->canceller = canceller;
	d->arg = arg;
	d->refs = 2;
	*ret = promise_of(d);
	return __builtin_expect(trace_is_on(), 0) ? tell_made(d) : d;
}

/* There may be no memory at hand, or none at all. */
static OUT_OF_LINE struct plait_deferred *
new_with_care(struct plait_promise **ret, plait_canceller *canceller, void *arg,
	      const char *where)
{
	struct plait_deferred *d;

	*ret = NULL;
	thread_make_ready();
	d = slab_get(SLAB_DEFERRED, sizeof(*d));
	if (d == NULL)
		return &plait_i_deferred_no_memory;
	return deferred_begin(d, ret, canceller, arg, where);
}

struct plait_deferred *plait_deferred_new(struct plait_promise **ret,
					  plait_canceller *canceller, void *arg,
					  const char *where)
{
	struct plait_deferred *d =
		thread_is_ready() ? slab_get_at_hand(SLAB_DEFERRED) : NULL;

	if (d == NULL)
		return new_with_care(ret, canceller, arg, where);
	return deferred_begin(d, ret, canceller, arg, where);
}

static struct plait_deferred *new_fired(plait_value v, const char *where)
{
	struct plait_deferred *d;

	if (!thread_is_ready())
		thread_make_ready();
	d = slab_get(SLAB_DEFERRED, sizeof(*d));
	if (d == NULL) {
		plait_value_free(&v);
		return &plait_i_deferred_no_memory;
	}
	deferred_init(d, where);
	trace_note(TRACE_MADE, d, NULL, where, 0);
	set_fired(d, v, where);
	return d;
}

struct plait_deferred *plait_succeed(plait_value v, const char *where)
{
	if (plait_value_is_failure(&v) ||
	    plait_value_is(&v, &plait_deferred_type))
		plait_die(where, "plait_succeed() with a %s", v.type->name);
	return new_fired(v, where);
}

struct plait_deferred *plait_failed(plait_value v, const char *where)
{
	(plait_value_failure)(&v, where);
	return new_fired(v, where);
}

struct plait_deferred *plait_maybe_deferred(plait_value v, const char *where)
{
	if (plait_value_is(&v, &plait_deferred_type))
		return v.ptr;
	return new_fired(v, where);
}

plait_value plait_chain(struct plait_deferred **dp)
{
	struct plait_deferred *d = dp != NULL ? *dp : NULL;

	if (d == NULL)
		return plait_no_memory();
	*dp = NULL;
	check_use(d, "plait_chain()");
	return plait_value_make(&plait_deferred_type, d);
}

/* ---- the end of a result ------------------------------------------- */

bool plait_i_deferred_is_of_freeing(const struct plait_failure *f)
{
	return plait_failure_cancel_reason(f) == plait_i_deferred_freed_reason;
}

static OUT_OF_LINE void dispose_of_result(struct plait_deferred *d)
{
	plait_value v = plait_value_take(&d->result);

	if (plait_value_is_failure(&v) && !deferred_is_inherited(d) &&
	    !plait_i_deferred_is_of_freeing(plait_value_failure(&v)))
		plait_report_unhandled(plait_value_failure(&v));
	plait_value_free(&v);
}

/* Nobody will see the result of d any more. */
static inline void deferred_dispose(struct plait_deferred *d)
{
	if (value_is_freed(&d->result))
		dispose_of_result(d);
}

static void call_rest(struct plait_deferred *d, bool detached)
{
	deferred_rest *rest = d->rest;

	if (rest == NULL)
		return;
	d->rest = NULL;
	rest(d->arg, detached);
}

/* The waiting end is not held any more. */
static void give_up_waiting_end(struct plait_deferred *d, bool detached,
				const char *where)
{
	d->waited = false;
	d->ended_at = where;
	if (!d->active && !is_blocked(d))
		deferred_dispose(d);
	call_rest(d, detached);
	deferred_unref(d);
}

/* ---- running ------------------------------------------------------- */

static void deferred_enter(struct plait_deferred *d,
			   struct plait_deferred *resume)
{
	d->refs++;
	d->active = true;
	d->resume = resume;
}

/*
 * Returns true if inner waits for d, which is about to wait for inner.  The
 * walks from both go on in step: in a long chain one of them is short,
 * whichever end the chain is built from.
 */
static bool closes_a_cycle(const struct plait_deferred *d,
			   const struct plait_deferred *inner)
{
	const struct plait_deferred *down = inner, *up = d;

	while (down != NULL && up != NULL) {
		if (down == d)
			return true;
		down = down->inner;
		up = up->outer;
	}
	return false;
}

/*
 * Returns true if d has a result to give away, and nothing left that would
 * change it.
 */
static bool is_ready(const struct plait_deferred *d)
{
	return !is_blocked(d) && !d->active;
}

static bool is_users(const struct plait_deferred *d)
{
	return d->outer == NULL && d->waited;
}

static void check_is_users(const struct plait_deferred *d)
{
	if (!is_users(d))
		plait_die(d->where, "the deferred made here was given "
				    "away already");
}

static void check_is_not_taken(const struct plait_deferred *d,
			       const char *where)
{
	if (!is_users(d) || d->taken)
		plait_die(where,
			  "takes the deferred made at %s, which was given "
			  "away already",
			  d->where);
}

void plait_i_deferred_take(struct plait_deferred *d, const char *where)
{
	if (d == &plait_i_deferred_no_memory)
		return;
	check_use(d, where);
	check_is_not_taken(d, where);
	d->taken = true;
	d->pauses = 0;
}

struct plait_deferred *plait_i_deferred_take_value(plait_value v,
						   const char *where)
{
	struct plait_deferred *d = plait_maybe_deferred(v, where);

	plait_i_deferred_take(d, where);
	return d;
}

/*
 * Returns true if d has fired, only waits, and nobody else looks at it: then
 * what waits for d can wait for the inner of d instead.
 */
static bool is_empty_link(const struct plait_deferred *d)
{
	return d->inner != NULL && d->pauses == 0 && !has_pairs(d) &&
	       !d->freeing && d->rest == NULL && d->holds == 0;
}

/* Takes d out of the chain before its inner, and returns the inner. */
static struct plait_deferred *take_inner(struct plait_deferred *d,
					 const char *where)
{
	struct plait_deferred *inner = d->inner;

	d->inner = NULL;
	inner->outer = NULL;
	deferred_unref(d);
	give_up_waiting_end(d, false, where);
	return inner;
}

static void link_inner(struct plait_deferred *d, struct plait_deferred *inner)
{
	d->inner = inner;
	inner->outer = d;
	d->refs++;
	trace_note(TRACE_WAITS, d, inner, inner->where, 0);
}

/*
 * d waits for inner.  If inner is paused, it is unpaused, because nobody could
 * unpause it later.
 */
static OUT_OF_LINE void deferred_wait_for(struct plait_deferred *d,
					  struct plait_deferred *inner)
{
	if (closes_a_cycle(d, inner))
		plait_die(inner->where,
			  "the deferred made here waits for itself, through "
			  "the deferred made at %s",
			  d->where);
	if (inner == &plait_i_deferred_no_memory) {
		d->result = plait_no_memory();
		return;
	}
	check_is_not_taken(inner, d->where);
	inner->pauses = 0;
	while (is_empty_link(inner))
		inner = take_inner(inner, d->where);
	if (is_ready(inner) && !has_pairs(inner)) {
		d->result = plait_value_take(&inner->result);
		give_up_waiting_end(inner, false, d->where);
	} else {
		link_inner(d, inner);
	}
}

/*
 * Makes what a callback has returned the result; frees what the callback has
 * left.
 */
static void deferred_settle(struct plait_deferred *d, plait_value returned)
{
	if (value_is_freed(&d->result) &&
	    (returned.type != d->result.type || returned.ptr != d->result.ptr))
		plait_value_free(&d->result);
	d->result = returned;
	if (!plait_value_is(&returned, &plait_deferred_type))
		return;
	d->result = PLAIT_NONE;
	if (d->freed)
		plait_value_free(&returned);
	else
		deferred_wait_for(d, returned.ptr);
}

/*
 * The callback of a pair made by plait_deferred_forward(), which marks such a
 * pair: run_from() moves the result to the promise itself, so as not to
 * recurse.
 */
static plait_value fire_promise(plait_value *result, void *arg)
{
	struct plait_promise *p = arg;

	plait_fire(&p, plait_value_take(result), PLAIT_HERE);
	return PLAIT_NONE;
}

/*
 * The errback of a guarded pair, which marks such a pair: its callback gets
 * values and failures, and its arg must be dropped if the pair never runs.
 */
static plait_callback *const guarded = fire_promise;

/*
 * The callback of a pair made by plait_i_deferred_add_feed(), which marks such
 * a pair.  It is the address of something that is no function, because nobody
 * may call it.
 */
static const char feed_mark = 'f';
static plait_callback *const feed_others =
	(plait_callback *)(uintptr_t)&feed_mark;

static bool is_guarded(const struct pair *pair)
{
	return pair->callback == feed_others ? pair->feed_drop != NULL
					     : pair->errback == guarded;
}

/*
 * Calls the function of the pair that the result asks for.  Both words are read
 * before the call, because the callback may add pairs, which moves them.
 */
static inline plait_value call_half(const struct pair *pair,
				    plait_value *result)
{
	bool second =
		plait_value_is_failure(result) && pair->errback != guarded;
	plait_callback *half = second ? pair->errback : pair->callback;
	void *arg = second ? pair->errback_arg : pair->callback_arg;

	return half != NULL ? half(result, arg) : *result;
}

const struct plait_deferred *plait_i_deferred_chained(const struct pair *pair)
{
	return pair->callback == fire_promise ? deferred_of(pair->callback_arg)
					      : NULL;
}

static bool is_spent(const struct plait_deferred *d)
{
	return d->fired || d->cancelling;
}

/*
 * Fires the promise with v; the chain of its deferred runs before the chain of
 * d goes on.
 */
static OUT_OF_LINE struct plait_deferred *
step_into(struct plait_deferred *d, struct plait_promise *p, plait_value v)
{
	struct plait_deferred *target = p != NULL ? deferred_of(p) : NULL;

	if (target == NULL || is_spent(target)) {
		plait_fire(&p, v, d->fired_at);
		return d;
	}
	set_fired(target, v, d->fired_at);
	deferred_enter(target, d);
	deferred_unref(target);
	return target;
}

static OUT_OF_LINE struct plait_deferred *step_feed(struct plait_deferred *d,
						    struct pair pair)
{
	struct deferred_fed fed = { .again = false };
	struct plait_promise *p =
		pair.feed(&d->result, pair.callback_arg, &fed);

	if (fed.again)
		d->head--;
	return step_into(d, p, fed.value);
}

/* Runs the next pair of d, and returns the deferred to go on with. */
static struct plait_deferred *deferred_step(struct plait_deferred *d)
{
	const struct pair *pair = &d->pairs[d->head++];

	if (pair->callback == fire_promise)
		return step_into(d, pair->callback_arg,
				 plait_value_take(&d->result));
	if (d->holds > 0 && is_guarded(pair)) {
		d->pairs[d->kept++] = *pair;
		return d;
	}
	trace_note(TRACE_CALLS, d, NULL, d->where, 0);
	if (pair->callback == feed_others)
		return step_feed(d, *pair);
	deferred_settle(d, call_half(pair, &d->result));
	deferred_verify(d);
	return d;
}

/*
 * Moves the result of d to the outer that waits for it, which runs next.  If d
 * is held and is being freed, the callbacks of outer run nevertheless, but what
 * outer guards is held.
 */
static OUT_OF_LINE struct plait_deferred *
deferred_hand_over(struct plait_deferred *d, struct plait_deferred *next)
{
	struct plait_deferred *outer = d->outer;

	outer->inner = NULL;
	outer->result = plait_value_take(&d->result);
	d->handed = d->holds > 0;
	if (d->handed)
		plait_i_deferred_hold(outer);
	else
		d->outer = NULL;
	deferred_enter(outer, next);
	deferred_unref(outer);
	give_up_waiting_end(d, false, outer->where);
	return outer;
}

/*
 * A hold of d has ended.  Returns the deferred to go on with: d, or else next.
 */
static struct plait_deferred *deferred_end_hold(struct plait_deferred *d,
						struct plait_deferred *next)
{
	d->holds--;
	if (is_ready(d)) {
		deferred_enter(d, next);
		next = d;
	}
	deferred_unref(d);
	return next;
}

/* A pair of d. */
static struct plait_deferred *drop_pair(struct plait_deferred *d,
					struct pair pair,
					struct plait_deferred *next)
{
	struct plait_promise *p = pair.callback_arg;
	struct plait_deferred *held = NULL;

	if (pair.callback == fire_promise)
		plait_promise_drop(&p, PLAIT_HERE);
	else if (pair.callback == feed_others && pair.feed_drop != NULL)
		held = pair.feed_drop(&d->result, pair.callback_arg);
	else if (is_guarded(&pair))
		held = pair.drop(pair.callback_arg);
	return held != NULL ? deferred_end_hold(held, next) : next;
}

/*
 * Drops pairs that will never run, and what they guard.  This waits for a
 * callback or the canceller of d that is running, for those of what d stands
 * for, and for the end of what d has waited for, because somebody may hold a
 * lock as long as these work.  Returns the deferred to go on with.
 */
static OUT_OF_LINE struct plait_deferred *
drop_pairs(struct plait_deferred *d, struct plait_deferred *next)
{
	unsigned kept = d->kept;

	d->kept = 0;
	for (unsigned i = 0; i < kept; i++)
		next = drop_pair(d, d->pairs[i], next);
	while (d->freed && has_pairs(d))
		next = drop_pair(d, d->pairs[d->head++], next);
	return next;
}

/* Goes on with the deferreds that d has held, the first of them first. */
static OUT_OF_LINE struct plait_deferred *
end_holds_for(struct plait_deferred *d, struct plait_deferred *next)
{
	while (!is_on_stack(d) && d->held != NULL) {
		struct plait_deferred *held = d->held;

		d->held = held->resume;
		next = deferred_end_hold(held, next);
	}
	return next;
}

/* Returns true if nobody will get the result of d, so that it ends with d. */
static bool is_for_nobody(const struct plait_deferred *d)
{
	return d->outer != NULL ? d->outer->freed : !d->waited;
}

/* No hold of d is left: drops what d guards, and ends its hold of outer. */
static struct plait_deferred *end_own_holds(struct plait_deferred *d,
					    struct plait_deferred *next)
{
	struct plait_deferred *outer = d->outer;

	if (d->kept > 0 || (d->freed && has_pairs(d)))
		next = drop_pairs(d, next);
	if (!d->handed)
		return next;
	d->handed = false;
	d->outer = NULL;
	return deferred_end_hold(outer, next);
}

/*
 * d waits.  Returns the deferred to go on with: what d waits for, if that was
 * paused.  An empty link leaves the chain, so that a callback may start the
 * next round of its work for ever.
 */
static struct plait_deferred *leave_waiting(struct plait_deferred *d,
					    struct plait_deferred *next)
{
	struct plait_deferred *inner = d->inner, *outer = d->outer;

	if (outer != NULL && is_empty_link(d)) {
		d->outer = NULL;
		link_inner(outer, take_inner(d, outer->where));
		deferred_unref(outer);
	}
	if (is_ready(inner)) {
		deferred_enter(inner, next);
		next = inner;
	}
	return next;
}

/*
 * d is blocked or has no more pairs.  Returns the deferred to go on with: what
 * waits for d, or what d waits for, if that was paused; then the deferreds that
 * d has held; then the deferred that fired d.
 */
static struct plait_deferred *deferred_leave(struct plait_deferred *d)
{
	struct plait_deferred *next;

	d->active = false;
	next = d->resume;
	if (d->held != NULL)
		next = end_holds_for(d, next);
	if (!is_blocked(d)) {
		if (d->holds == 0)
			next = end_own_holds(d, next);
		if (is_for_nobody(d))
			deferred_dispose(d);
		if (d->outer != NULL && !d->handed)
			next = deferred_hand_over(d, next);
	} else if (d->inner != NULL) {
		next = leave_waiting(d, next);
	}
	deferred_unref(d);
	return next;
}

/* The pairs of a freed deferred do not run, they are only dropped. */
static inline bool can_step(const struct plait_deferred *d)
{
	return has_pairs(d) && !is_blocked(d) && !d->freed;
}

static OUT_OF_LINE void run_from(struct plait_deferred *d)
{
	while (d != NULL)
		d = can_step(d) ? deferred_step(d) : deferred_leave(d);
	exception_barrier();
}

static void run_if_ready(struct plait_deferred *d)
{
	if (!is_ready(d))
		return;
	deferred_enter(d, NULL);
	run_from(d);
}

/* The canceller of d has returned, or a hold has ended. */
static void go_on(struct plait_deferred *d)
{
	run_if_ready(d);
	run_from(end_holds_for(d, NULL));
}

/* ---- holding ------------------------------------------------------- */

void plait_i_deferred_hold(struct plait_deferred *d)
{
	d->refs++;
	d->holds++;
}

void plait_i_deferred_release(struct plait_deferred *d)
{
	d->holds--;
	go_on(d);
	deferred_unref(d);
}

/* Its canceller runs, so d is not active: resume is free to link it. */
static void hold_for(struct plait_deferred *d, struct plait_deferred *other)
{
	plait_assert(d->cancelling);
	if (!is_on_stack(other))
		return;
	plait_i_deferred_hold(d);
	d->resume = other->held;
	other->held = d;
}

void plait_i_deferred_hold_for(struct plait_deferred *d,
			       struct plait_deferred *other)
{
	while (other->inner != NULL)
		other = other->inner;
	hold_for(d, other);
}

/* ---- the firing end ------------------------------------------------ */

static inline int fire_now(struct plait_promise **pp, plait_value v,
			   const char *where)
{
	struct plait_deferred *d = deferred_of(*pp);

	*pp = NULL;
	set_fired(d, v, where);
	run_if_ready(d);
	deferred_unref(d);
	return 0;
}

/* It may have been cancelled, or v may be what nobody can be told. */
static OUT_OF_LINE int fire_with_care(struct plait_promise **pp, plait_value v,
				      const char *where)
{
	struct plait_deferred *d = pp != NULL ? deferred_of(*pp) : NULL;

	if (d != NULL)
		check_use(d, where);
	if (plait_value_is(&v, &plait_deferred_type)) {
		plait_value_free(&v);
		return -EINVAL;
	}
	if (d != NULL && !is_spent(d))
		return fire_now(pp, v, where);
	if (d != NULL) {
		*pp = NULL;
		if (!d->cancelling)
			trace_note(TRACE_LATE, d, NULL, where, 0);
	}
	plait_value_free(&v);
	if (d == NULL)
		return -EALREADY;
	deferred_unref(d);
	return -ECANCELED;
}

int plait_fire(struct plait_promise **pp, plait_value v, const char *where)
{
	struct plait_deferred *d = pp != NULL ? deferred_of(*pp) : NULL;

	if (d == NULL || !is_own(d) || is_spent(d) ||
	    plait_value_is(&v, &plait_deferred_type))
		return fire_with_care(pp, v, where);
	return fire_now(pp, v, where);
}

void plait_promise_drop(struct plait_promise **pp, const char *where)
{
	struct plait_deferred *d = pp != NULL ? deferred_of(*pp) : NULL;

	if (d == NULL)
		return;
	check_use(d, where);
	if (is_spent(d)) {
		*pp = NULL;
		deferred_unref(d);
	} else {
		plait_fire(pp,
			   (plait_fail)(d->where, &plait_error_abandoned,
					"promise dropped"),
			   where);
	}
}

void plait_promise_cleanup(struct plait_promise **pp)
{
	plait_promise_drop(pp, "plait_promise_cleanup()");
}

void plait_i_deferred_abandon(struct plait_promise **pp)
{
	struct plait_deferred *d = deferred_of(*pp);

	*pp = NULL;
	if (d == NULL)
		return;
	d->canceller = NULL;
	deferred_unref(d);
}

/*
 * Another thread may call this as long as it holds the promise.  It reads only
 * the one flag that is written for it.
 */
bool plait_promise_is_cancelled(const struct plait_promise *p)
{
	const struct plait_deferred *d = deferred_of(p);

	if (d == NULL)
		return true;
	if (is_own(d))
		return is_spent(d);
	if (d->owner == DEFERRED_NOBODYS)
		die_of_use(d, "plait_promise_is_cancelled()");
	return __atomic_load_n(&d->fired, __ATOMIC_RELAXED);
}

/* ---- adding callbacks ---------------------------------------------- */

static void deferred_compact(struct plait_deferred *d)
{
	memmove(d->pairs + d->kept, d->pairs + d->head,
		(d->count - d->head) * sizeof(*d->pairs));
	d->count -= d->head - d->kept;
	d->head = d->kept;
}

static bool deferred_grow(struct plait_deferred *d)
{
	bool inlined = d->pairs == d->inline_pairs;
	struct pair *pairs = NULL;

	if (d->room <= UINT32_MAX / 2 / sizeof(*pairs))
		pairs = realloc(inlined ? NULL : d->pairs,
				2 * d->room * sizeof(*pairs));
	if (pairs == NULL)
		return false;
	if (inlined)
		memcpy(pairs, d->inline_pairs, d->count * sizeof(*pairs));
	d->pairs = pairs;
	d->room *= 2;
	return true;
}

/*
 * Compacting when half of the pairs have run costs one move a pair, however
 * many pairs come.
 */
static inline bool deferred_make_room(struct plait_deferred *d)
{
	unsigned run = d->head - d->kept;

	if (!has_pairs(d))
		d->head = d->count = d->kept;
	if (d->count < d->room)
		return true;
	if (run >= d->room / 2 || (run > 0 && d->pairs == d->inline_pairs)) {
		deferred_compact(d);
		return true;
	}
	return deferred_grow(d);
}

static void feed_out_of_turn(const struct pair *pair, plait_value *result)
{
	struct deferred_fed fed;
	struct plait_promise *p;

	do {
		fed = (struct deferred_fed){ .again = false };
		p = pair->feed(result, pair->callback_arg, &fed);
		plait_fire(&p, fed.value, PLAIT_HERE);
	} while (fed.again);
}

static void run_out_of_turn(const struct pair *pair)
{
	plait_value slot = plait_no_memory();
	plait_value returned = PLAIT_NONE;

	if (pair->callback == fire_promise)
		returned = fire_promise(&slot, pair->callback_arg);
	else if (pair->callback == feed_others)
		feed_out_of_turn(pair, &slot);
	else
		returned = call_half(pair, &slot);
	plait_value_free(&slot);
	plait_value_free(&returned);
}

/* Returns where to write the next pair: in the queue, or else out_of_turn. */
static inline struct pair *next_pair(struct plait_deferred *d,
				     struct pair *out_of_turn)
{
	check_use(d, "plait_deferred_add_callbacks()");
	if (d == &plait_i_deferred_no_memory || !deferred_make_room(d))
		return out_of_turn;
	plait_assert(d->waited);
	return &d->pairs[d->count++];
}

/* The pair has been written. */
static inline struct plait_deferred *
deferred_add(struct plait_deferred *d, const struct pair *pair,
	     const struct pair *out_of_turn)
{
	if (pair == out_of_turn) {
		run_out_of_turn(pair);
	} else {
		deferred_verify(d);
		run_if_ready(d);
	}
	return d;
}

/* There may be no room, or no d, or d has fired. */
static OUT_OF_LINE struct plait_deferred *
add_with_care(struct plait_deferred *d, plait_callback *callback,
	      void *callback_arg, plait_callback *errback, void *errback_arg)
{
	struct pair out_of_turn, *pair;

	d = deferred_given(d);
	pair = next_pair(d, &out_of_turn);
	pair->callback = callback;
	pair->callback_arg = callback_arg;
	pair->errback = errback;
	pair->errback_arg = errback_arg;
	return deferred_add(d, pair, &out_of_turn);
}

struct plait_deferred *plait_deferred_add_callbacks(struct plait_deferred *d,
						    plait_callback *callback,
						    void *callback_arg,
						    plait_callback *errback,
						    void *errback_arg)
{
	struct pair *pair;

	if (d == NULL || !is_own(d) || d->fired || d->count == d->room)
		return add_with_care(d, callback, callback_arg, errback,
				     errback_arg);
	plait_assert(d->waited);
	pair = &d->pairs[d->count++];
	pair->callback = callback;
	pair->callback_arg = callback_arg;
	pair->errback = errback;
	pair->errback_arg = errback_arg;
	deferred_verify(d);
	return d;
}

/*
 * Cancelling runs pairs that wait, and so makes room.  One of them may free d,
 * even its last reference.
 */
static bool make_room_by_cancelling(struct plait_deferred *d)
{
	bool has_room;

	d->refs++;
	plait_deferred_cancel_because(d, "no memory", PLAIT_HERE);
	has_room = d->waited && deferred_make_room(d);
	deferred_unref(d);
	return has_room;
}

static bool has_room_for_guarded(struct plait_deferred *d)
{
	check_use(d, "plait_deferred_add_both()");
	return d != &plait_i_deferred_no_memory &&
	       (deferred_make_room(d) || make_room_by_cancelling(d));
}

struct plait_deferred *plait_i_deferred_add_guarded(struct plait_deferred *d,
						    plait_callback *both,
						    void *arg,
						    deferred_drop *drop)
{
	struct pair out_of_turn, *pair = &out_of_turn;

	if (has_room_for_guarded(d))
		pair = next_pair(d, &out_of_turn);
	pair->callback = both;
	pair->callback_arg = arg;
	pair->errback = guarded;
	pair->drop = drop;
	return deferred_add(d, pair, &out_of_turn);
}

struct plait_deferred *plait_i_deferred_add_feed(struct plait_deferred *d,
						 deferred_feed *feed, void *arg,
						 deferred_feed_drop *drop)
{
	struct pair out_of_turn, *pair = &out_of_turn;

	if (drop == NULL || has_room_for_guarded(d))
		pair = next_pair(d, &out_of_turn);
	pair->callback = feed_others;
	pair->callback_arg = arg;
	pair->feed = feed;
	pair->feed_drop = drop;
	return deferred_add(d, pair, &out_of_turn);
}

struct plait_deferred *plait_deferred_add_callback(struct plait_deferred *d,
						   plait_callback *callback,
						   void *arg)
{
	return plait_deferred_add_callbacks(d, callback, arg, NULL, NULL);
}

struct plait_deferred *plait_deferred_add_errback(struct plait_deferred *d,
						  plait_callback *errback,
						  void *arg)
{
	return plait_deferred_add_callbacks(d, NULL, NULL, errback, arg);
}

struct plait_deferred *plait_deferred_add_both(struct plait_deferred *d,
					       plait_callback *both, void *arg)
{
	return plait_deferred_add_callbacks(d, both, arg, both, arg);
}

void plait_deferred_forward(struct plait_deferred *d, struct plait_promise **pp)
{
	struct plait_promise *p = NULL;

	if (pp != NULL) {
		p = *pp;
		*pp = NULL;
	}
	plait_deferred_add_callbacks(d, fire_promise, p, NULL, NULL);
}

/* ---- cancelling, freeing, letting go ------------------------------- */

static void release_cancellation(struct plait_failure *f)
{
	deferred_unref(plait_container(f, struct plait_deferred, cancellation));
}

/* Makes the cancellation failure embedded in d, which says who cancelled. */
static plait_value told_who_asked(struct plait_deferred *d, const char *reason,
				  const char *where)
{
	plait_i_failure_init(&d->cancellation, &plait_error_cancelled, where,
			     release_cancellation);
	d->cancellation.reason = reason != NULL ? reason : "";
	d->refs++;
	return plait_value_make(&plait_failure_type, &d->cancellation);
}

static OUT_OF_LINE plait_value call_canceller(struct plait_deferred *d)
{
	plait_value v = plait_cancelled();

	if (d->canceller != NULL) {
		d->cancelling = true;
		v = d->canceller(d, d->arg);
		exception_barrier();
		d->cancelling = false;
	}
	if (plait_value_is(&v, &plait_deferred_type))
		plait_die(d->where, "the canceller of the deferred made here "
				    "returned a deferred");
	return v;
}

/*
 * Returns what d waits for in the end, as a reference, given.  A deferred on
 * the way that has fired early stops the rest of its work, which may change the
 * way.
 */
static struct plait_deferred *deferred_innermost(struct plait_deferred *d)
{
	struct plait_deferred *inner;

	d->refs++;
	for (;;) {
		if (d->fired)
			call_rest(d, false);
		inner = d->inner;
		if (inner == NULL)
			return d;
		inner->refs++;
		deferred_unref(d);
		d = inner;
	}
}

/* d was cancelled, and its canceller has returned v, which is taken. */
static void fire_cancelled(struct plait_deferred *d, plait_value v,
			   const char *reason, const char *where)
{
	if (v.ptr == &plait_i_failure_cancelled)
		v = told_who_asked(d, reason, where);
	set_fired(d, v, where);
	go_on(d);
}

/*
 * The canceller of a group, which marks a group: nobody may call this either.
 */
static const char group_mark = 'g';
static plait_canceller *const cancel_parts =
	(plait_canceller *)(uintptr_t)&group_mark;

struct plait_deferred *plait_i_deferred_new_group(struct plait_promise **ret,
						  struct deferred_group *g,
						  const char *where)
{
	return plait_deferred_new(ret, cancel_parts, g, where);
}

/*
 * Cancels the parts of g first, and then g itself.  up is the group whose part
 * g is.
 */
static void begin_group(struct plait_deferred *g, struct plait_deferred *up,
			uint32_t cause)
{
	g->cancelling = true;
	g->resume = up;
	g->cause = cause;
}

/* Cancels one part, and returns the group to go on with. */
static struct plait_deferred *cancel_part(struct plait_deferred *up,
					  struct plait_deferred *part)
{
	const struct deferred_group *g = up->arg;
	uint32_t cause = trace_cancel_begin(part, g->where);
	struct plait_deferred *d = deferred_innermost(part);

	if (!is_spent(d) && d->canceller == cancel_parts) {
		begin_group(d, up, cause);
		return d;
	}
	if (!is_spent(d))
		fire_cancelled(d, call_canceller(d), g->reason, g->where);
	deferred_unref(d);
	trace_cancel_end(part, cause);
	return up;
}

/* All parts of d have ended.  Returns the group whose part d is. */
static struct plait_deferred *end_group(struct plait_deferred *d,
					struct plait_deferred *up,
					const char *reason, const char *where)
{
	const struct deferred_group *g = up != NULL ? up->arg : NULL;
	uint32_t cause = d->cause;

	d->cancelling = false;
	fire_cancelled(d, plait_cancelled(), g != NULL ? g->reason : reason,
		       g != NULL ? g->where : where);
	if (g != NULL)
		trace_cancel_end(d, cause);
	deferred_unref(d);
	return up;
}

/* Takes d, a reference.  The groups on the way are linked by resume. */
static void cancel_group(struct plait_deferred *d, const char *reason,
			 const char *where)
{
	begin_group(d, NULL, 0);
	while (d != NULL) {
		struct deferred_group *g = d->arg;
		struct plait_deferred *up = d->resume;
		struct plait_deferred *part = g->next_part(g, d);

		d = part != NULL ? cancel_part(d, part)
				 : end_group(d, up, reason, where);
	}
}

static void deferred_cancel(struct plait_deferred *d, const char *reason,
			    const char *where)
{
	d = deferred_innermost(d);
	if (!is_spent(d) && d->canceller == cancel_parts) {
		cancel_group(d, reason, where);
		return;
	}
	if (!is_spent(d))
		fire_cancelled(d, call_canceller(d), reason, where);
	deferred_unref(d);
}

void plait_deferred_cancel_because(struct plait_deferred *d, const char *reason,
				   const char *where)
{
	uint32_t cause;

	if (d == NULL)
		return;
	check_use(d, where);
	if (is_spent(d) && d->inner == NULL && d->rest == NULL)
		return;
	cause = trace_cancel_begin(d, where);
	deferred_cancel(d, reason, where);
	trace_cancel_end(d, cause);
}

void plait_deferred_cancel(struct plait_deferred *d, const char *where)
{
	plait_deferred_cancel_because(d, NULL, where);
}

/* Their callbacks see the cancellation, even if the deferreds are held. */
static void begin_freeing(struct plait_deferred *d)
{
	for (; d != NULL; d = d->inner)
		d->freeing = true;
}

/*
 * Ends d and what it waits for, so that none of their callbacks runs any more.
 * On the way only the innermost deferred is cancelled, so that freeing a long
 * chain takes linear time.  The deferreds stay linked: the run of the innermost
 * goes outwards as usual, and drops what they guard.  If the innermost is on
 * the stack, it does so when it leaves the stack.  Returns the innermost, as a
 * reference, given.
 */
static struct plait_deferred *end_all(struct plait_deferred *d,
				      const char *where)
{
	struct plait_deferred *inner;

	d->refs++;
	for (;;) {
		if (d->inner == NULL) {
			plait_deferred_cancel_because(
				d, plait_i_deferred_freed_reason, where);
			run_if_ready(d); /* if a hold alone had blocked it */
		}
		d->freed = true;
		d->pauses = 0;
		inner = d->inner;
		if (inner == NULL)
			break;
		inner->freeing = true;
		inner->refs++;
		deferred_unref(d);
		d = inner;
	}
	run_if_ready(d);
	return d;
}

/* Returns true if the waiting end is the program's, and nothing more. */
static inline bool has_only_a_result(const struct plait_deferred *d)
{
	return is_users(d) && is_ready(d) && d->rest == NULL;
}

/* Ends the waiting end; returns true if there is more to end. */
static bool begin_to_free(struct plait_deferred *d, const char *where)
{
	check_use(d, where);
	if (!is_users(d))
		plait_die(where, "frees a deferred that was given away");
	if (has_only_a_result(d)) {
		give_up_waiting_end(d, false, where);
		return false;
	}
	begin_freeing(d);
	return true;
}

/*
 * held may be NULL; it is held until what of d is on the stack has left the
 * stack.
 */
static void end_freeing(struct plait_deferred *held, struct plait_deferred *d,
			const char *where)
{
	struct plait_deferred *innermost = end_all(d, where);

	if (held != NULL)
		hold_for(held, innermost);
	deferred_unref(innermost);
	give_up_waiting_end(d, false, where);
}

static struct plait_deferred *take_handle(struct plait_deferred **dp)
{
	struct plait_deferred *d = dp != NULL ? *dp : NULL;

	if (d == NULL)
		return NULL;
	*dp = NULL;
	return d != &plait_i_deferred_no_memory ? d : NULL;
}

void plait_i_deferred_free_for(struct plait_deferred *held,
			       struct plait_deferred **dp, const char *where)
{
	struct plait_deferred *d = take_handle(dp);

	if (d == NULL || !begin_to_free(d, where))
		return;
	if (d->inner != NULL)
		plait_deferred_cancel_because(d, plait_i_deferred_freed_reason,
					      where);
	end_freeing(held, d, where);
}

void plait_i_deferred_free_part(struct plait_deferred **dp, const char *where)
{
	struct plait_deferred *d = take_handle(dp);

	if (d != NULL && begin_to_free(d, where))
		end_freeing(NULL, d, where);
}

/* Usually nothing is left to be cancelled or run, which is seen at once. */
void plait_deferred_free(struct plait_deferred **dp, const char *where)
{
	struct plait_deferred *d = dp != NULL ? *dp : NULL;

	if (d == NULL || !is_own(d) || !has_only_a_result(d)) {
		plait_i_deferred_free_for(NULL, dp, where);
		return;
	}
	*dp = NULL;
	give_up_waiting_end(d, false, where);
}

void plait_deferred_cleanup(struct plait_deferred **dp)
{
	plait_deferred_free(dp, "plait_deferred_cleanup()");
}

void plait_deferred_detach(struct plait_deferred **dp)
{
	struct plait_deferred *d = take_handle(dp);

	if (d == NULL)
		return;
	check_use(d, "plait_deferred_detach()");
	check_is_users(d);
	d->pauses = 0;
	run_if_ready(d);
	give_up_waiting_end(d, true, "plait_deferred_detach()");
}

bool plait_i_deferred_is_pending(const struct plait_deferred *d)
{
	while (d->inner != NULL)
		d = d->inner;
	return !is_spent(d);
}

void plait_i_deferred_set_rest(struct plait_deferred *d, deferred_rest *rest)
{
	plait_assert(d->canceller != NULL);
	d->rest = rest;
}

/* ---- pausing ------------------------------------------------------- */

void plait_deferred_pause(struct plait_deferred *d)
{
	if (d == NULL || d == &plait_i_deferred_no_memory)
		return;
	check_use(d, "plait_deferred_pause()");
	d->pauses++;
}

void plait_deferred_unpause(struct plait_deferred *d)
{
	if (d == NULL || d == &plait_i_deferred_no_memory)
		return;
	check_use(d, "plait_deferred_unpause()");
	if (d->pauses == 0)
		plait_die(d->where, "the deferred made here is unpaused and "
				    "is not paused");
	d->pauses--;
	run_if_ready(d);
}

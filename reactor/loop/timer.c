/*
 * Timers.
 *
 * The timers of a reactor are a pairing heap, ordered by deadline and then by
 * the order in which they were set.  It lives in the timers themselves: child
 * is a node's first child, next its next sibling, prev the sibling before it
 * or, for a first child, the parent.  A root has neither prev nor next.
 *
 * A timer that is moved to a later time keeps its old place in the heap.  It is
 * moved to its right place only when it comes to the top, so a timeout that is
 * always pushed back costs next to nothing.  A place is never later than the
 * timer's deadline.  So if the timer on top is in its right place, it is the
 * earliest of all.
 *
 * While a turn runs the timers that are due, new timers go to a heap of their
 * own.  So a timer that is started or moved in a turn cannot run in that turn,
 * even if it is due.  The timers that are due when a turn begins are a batch.
 * If a batch is more than a turn's share, the next turn goes on with it, and
 * new timers stay in their own heap.  So no new timer runs before a timer that
 * was due when the new timer was started.
 */
#include <math.h>

#include "lib/chance.h"
#include "lib/exception.h"
#include "reactor/loop/parts.h"

enum { NS_PER_S = 1000000000 };

static bool timer_is_before(const struct plait_timer *a,
			    const struct plait_timer *b)
{
	return a->place != b->place ? a->place < b->place
				    : a->place_order < b->place_order;
}

/* Makes one heap of two, each of which may be empty. */
static struct plait_timer *timer_merge(struct plait_timer *a,
				       struct plait_timer *b)
{
	struct plait_timer *root;

	if (a == NULL)
		return b;
	if (b == NULL)
		return a;
	root = timer_is_before(a, b) ? a : b;
	if (root == b)
		b = a;
	b->prev = root;
	b->next = root->child;
	if (b->next != NULL)
		b->next->prev = b;
	root->child = b;
	return root;
}

/* Makes t the root of a heap of its own, and returns its next sibling. */
static struct plait_timer *timer_detach(struct plait_timer *t)
{
	struct plait_timer *next = t->next;

	t->prev = t->next = NULL;
	return next;
}

/*
 * Makes one heap of a row of siblings: pairs from left to right, then all of
 * them from right to left.  That is what keeps a pairing heap flat.
 */
static struct plait_timer *timer_merge_row(struct plait_timer *row)
{
	struct plait_timer *pairs = NULL, *root = NULL;

	while (row != NULL) {
		struct plait_timer *a = row, *b = timer_detach(a);

		row = b != NULL ? timer_detach(b) : NULL;
		a = timer_merge(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs != NULL) {
		struct plait_timer *a = pairs;

		pairs = timer_detach(a);
		root = timer_merge(root, a);
	}
	return root;
}

/* Puts the heap `by', which may be empty, in the place of t. */
static void timer_replace(struct timers *ts, struct plait_timer *t,
			  struct plait_timer *by)
{
	if (t == ts->root) {
		ts->root = by;
		return;
	}
	if (t == ts->fresh) {
		ts->fresh = by;
		return;
	}
	if (by != NULL) {
		by->prev = t->prev;
		by->next = t->next;
		if (by->next != NULL)
			by->next->prev = by;
	} else {
		by = t->next;
		if (by != NULL)
			by->prev = t->prev;
	}
	if (t->prev->child == t)
		t->prev->child = by;
	else
		t->prev->next = by;
}

#ifdef PLAIT_VERIFY
/* Walks over the first few nodes: all of them would take too long. */
static void timer_verify(const struct plait_timer *root)
{
	const struct plait_timer *t = root;

	plait_assert(t == NULL || (t->prev == NULL && t->next == NULL));
	for (int i = 0; i < 64 && t != NULL; i++) {
		const struct plait_timer *c = t->child;

		plait_assert(t->reactor != NULL);
		plait_assert(t->place <= t->when);
		plait_assert(c == NULL || c->prev == t);
		plait_assert(t->next == NULL || t->next->prev == t);
		for (int j = 0; j < 8 && c != NULL; j++, c = c->next)
			plait_assert(timer_is_before(t, c));
		t = t->child != NULL ? t->child : t->next;
	}
}
#else
static inline void timer_verify(const struct plait_timer *root)
{
}
#endif

static void heap_insert(struct plait_timer **root, struct plait_timer *t)
{
	t->place = t->when;
	t->place_order = t->order;
	t->child = t->prev = t->next = NULL;
	*root = timer_merge(*root, t);
	timer_verify(*root);
}

static void heap_remove(struct timers *ts, struct plait_timer *t)
{
	timer_replace(ts, t, timer_merge_row(t->child));
	timer_verify(ts->root);
	timer_verify(ts->fresh);
}

static bool timer_is_in_place(const struct plait_timer *t)
{
	return t == NULL || t->place == t->when;
}

static struct plait_timer *timer_put_in_place(struct timers *ts,
					      struct plait_timer **root)
{
	struct plait_timer *t;

	while (!timer_is_in_place(t = *root)) {
		REACHED("a timer was put off");
		heap_remove(ts, t);
		heap_insert(root, t);
	}
	return t;
}

/* Returns the earliest timer of the heap, or NULL; moves timers on top that are
   in a wrong place. */
static inline struct plait_timer *timer_earliest(struct timers *ts,
						 struct plait_timer **root)
{
	return timer_is_in_place(*root) ? *root : timer_put_in_place(ts, root);
}

/*
 * Starts t, due at that time.  If timers are being run now, t must not stay in
 * their heap, because it could come to the top and run in this turn.
 */
static void timer_set(struct plait_reactor *r, struct plait_timer *t,
		      int64_t when)
{
	struct timers *ts = &r->timers;
	bool stays = t->reactor == r && !ts->holding && when > t->place;

	if (!stays)
		plait_timer_stop(t);
	t->reactor = r;
	t->when = when;
	t->order = ts->order++;
	if (!stays)
		heap_insert(ts->holding ? &ts->fresh : &ts->root, t);
	trace_note(TRACE_SET, t, r, NULL, 0);
}

static void timer_unset(struct plait_timer *t, enum trace_kind why)
{
	heap_remove(&t->reactor->timers, t);
	trace_note(why, t, t->reactor, NULL, 0);
	t->reactor = NULL;
}

void plait_i_timer_delay(struct plait_timer *t, double seconds)
{
	loop_check(t->reactor, "plait_call_delay()");
	timer_set(t->reactor, t, plait_i_clock_add(t->when, seconds));
}

void plait_timer_start(struct plait_reactor *r, struct plait_timer *t,
		       double seconds, plait_func *fn, void *arg)
{
	loop_check_given(r, "plait_timer_start()", NULL);
	t->fn = fn;
	t->arg = arg;
	timer_set(r, t, plait_i_clock_after(r, seconds));
}

void plait_timer_stop(struct plait_timer *t)
{
	if (t->reactor == NULL)
		return;
	loop_check(t->reactor, "plait_timer_stop()");
	timer_unset(t, TRACE_UNSET);
}

bool plait_timer_is_running(const struct plait_timer *t)
{
	return t->reactor != NULL;
}

double plait_timer_when(const struct plait_timer *t)
{
	return t->reactor != NULL ? (double)t->when / NS_PER_S : NAN;
}

/* The new timers join the heap when the whole batch has run. */
static void timer_release(struct timers *ts)
{
	if (ts->fresh != NULL)
		ts->root = timer_merge(ts->root, ts->fresh);
	ts->fresh = NULL;
	ts->holding = false;
	timer_verify(ts->root);
}

/* Returns the next timer of the batch, or NULL. */
static struct plait_timer *timer_next_due(struct timers *ts)
{
	struct plait_timer *t = timer_earliest(ts, &ts->root);

	return t != NULL && t->when <= ts->due ? t : NULL;
}

OUT_OF_LINE void plait_i_timer_run_due(struct plait_reactor *r)
{
	struct timers *ts = &r->timers;
	struct plait_timer *t;

	if (!ts->unfinished)
		ts->due = ts->root != NULL ? plait_i_clock_now(r) : 0;
	for (int i = 0; (t = timer_next_due(ts)) != NULL && i < REACTOR_SHARE &&
			!loop_is_forked(r) && !(i > 0 && MAYBE(0.02));
	     i++) {
		timer_unset(t, TRACE_DUE);
		r->counts.timers++;
		plait_i_loop_enter(r);
		t->fn(t->arg);
		exception_barrier();
		plait_i_loop_leave(r);
	}
	ts->unfinished = t != NULL;
	if (ts->unfinished)
		REACHED("the next turn goes on with the timers of this one");
	if (!ts->unfinished)
		timer_release(ts);
}

bool plait_i_timer_next(const struct plait_reactor *cr, int64_t *ret)
{
	/* timer_earliest() may move timers to their right places, and changes
	   nothing else. */
	struct timers *ts = &((struct plait_reactor *)cr)->timers;
	const struct plait_timer *a, *b;

	if (ts->root == NULL && ts->fresh == NULL)
		return false;
	a = timer_earliest(ts, &ts->root);
	b = timer_earliest(ts, &ts->fresh);
	if (a == NULL || (b != NULL && b->when < a->when))
		a = b;
	if (a != NULL)
		*ret = a->when;
	return a != NULL;
}

static void timer_forget(struct plait_timer *t)
{
	struct plait_timer *last = t;

	while (t != NULL) {
		last->next = t->child;
		while (last->next != NULL)
			last = last->next;
		trace_note(TRACE_UNSET, t, t->reactor, NULL, 0);
		t->reactor = NULL;
		t = t->next;
	}
}

/*
 * Stops all timers, so that the program can stop them again after the reactor
 * was freed.  If a batch is unfinished, there are fresh timers, too.
 */
void plait_i_timer_done(struct plait_reactor *r)
{
	timer_forget(r->timers.root);
	timer_forget(r->timers.fresh);
	r->timers.root = r->timers.fresh = NULL;
}

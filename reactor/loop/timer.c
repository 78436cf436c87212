/*
 * Timers.
 *
 * Near timers are in a heap, far timers in a wheel; the horizon divides them.
 * A timer whose place is not later than the horizon is in the heap.  Both are
 * made of links inside the timers, so starting a timer needs no memory, and
 * cannot fail.
 *
 * The wheel reads a time as a number with digits of eight bits.  The first
 * digit in which the place of a timer is not the horizon is its level, and that
 * digit is its slot there.  So every timer of a level is earlier than every
 * timer of the levels above, and every timer of a slot is earlier than every
 * timer of the slots behind.  When the heap is empty, the first slot is opened:
 * if few timers are in it, they become the heap; otherwise the horizon moves to
 * the start of the slot, and they move to lower levels.  A slot of the lowest
 * level is a quarter of a microsecond wide, so even if a million timers are due
 * within ten milliseconds, it holds few.  Only timers for the same time can be
 * many, and the heap orders them.
 *
 * So the earliest timer is always known exactly, and the loop never wakes up
 * in order to move timers.  A timer moves once a level at most.
 *
 * The horizon may be far ahead of the clock: at the earliest timer.  Timers
 * that are started before the horizon go to the heap.  If they become many, the
 * horizon moves back to the present time.
 *
 * The heap is a pairing heap, ordered by time and then by start: child is a
 * node's first child, next its next sibling.  back points to the pointer that
 * points to the timer, in the heap and in the wheel.  A few timers that are
 * alone in a reactor are all in the heap.
 *
 * When a slot of many timers is opened, each is in memory that was not used for
 * long, and only the one before knows where.  So the processor would wait for
 * each.  Therefore a timer of the wheel, which has no child, uses that pointer
 * to remember the timer that is four places behind it.  Nobody keeps it
 * right when timers are stopped: it is only good for fetching ahead.
 *
 * In struct plait_timer, what a stop needs of the timer and of its neighbours
 * lies together: of timers that were not used for long, each line of the cache
 * costs more than all instructions.
 *
 * A timer that is moved to a later time keeps its old place, in the heap or in
 * the wheel.  It is moved to its right place only when it comes to the top of
 * the heap or its slot is opened, so a timeout that is always pushed back costs
 * next to nothing.  A place is never later than the timer's deadline.  So if
 * the timer on top is in its right place, it is the earliest of all.
 *
 * The timers that are due when a turn begins are a batch.  A timer that was
 * started or moved in this turn has a higher number than all of them.  If it is
 * due, too, it waits in a heap of its own until the batch has run.  If a batch
 * is more than a turn's share, the next turn goes on with it.  So no new timer
 * runs before a timer that was due when the new timer was started.
 */
#include <math.h>

#include "lib/chance.h"
#include "lib/exception.h"
#include "reactor/loop/parts.h"

/* ---- the heap ------------------------------------------------------------ */

static bool timer_is_before(const struct plait_timer *a,
			    const struct plait_timer *b)
{
	return a->place != b->place ? a->place < b->place
				    : a->place_order < b->place_order;
}

/* Makes one heap of two, of which a may be empty.  Sets no back. */
static struct plait_timer *heap_merge(struct plait_timer *a,
				      struct plait_timer *b)
{
	struct plait_timer *root = b;

	if (a == NULL)
		return b;
	if (timer_is_before(a, b)) {
		root = a;
		a = b;
	}
	a->next = root->child;
	if (a->next != NULL)
		a->next->back = &a->next;
	a->back = &root->child;
	root->child = a;
	return root;
}

/*
 * Makes one heap of a row of some siblings: pairs from left to right, then all
 * of them from right to left.  That is what keeps a pairing heap flat.
 */
static OUT_OF_LINE struct plait_timer *heap_merge_row(struct plait_timer *row)
{
	struct plait_timer *pairs = NULL, *root = NULL;

	while (row != NULL) {
		struct plait_timer *a = row, *b = a->next;

		row = b != NULL ? b->next : NULL;
		if (b != NULL)
			a = heap_merge(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs != NULL) {
		struct plait_timer *a = pairs;

		pairs = a->next;
		root = heap_merge(root, a);
	}
	root->next = NULL;
	return root;
}

#ifdef PLAIT_VERIFY
/* Walks over the first few nodes: all of them would take too long. */
static void heap_verify(struct plait_timer *const *root)
{
	const struct plait_timer *t = *root;

	plait_assert(t == NULL || (t->back == root && t->next == NULL));
	for (int i = 0; i < 64 && t != NULL; i++) {
		const struct plait_timer *c = t->child;

		plait_assert(t->reactor != NULL);
		plait_assert(t->place <= t->when);
		plait_assert(t->place <= t->reactor->timers.horizon);
		plait_assert(*t->back == t);
		for (int j = 0; j < 8 && c != NULL; j++, c = c->next)
			plait_assert(timer_is_before(t, c));
		t = t->child != NULL ? t->child : t->next;
	}
}
#else
static inline void heap_verify(struct plait_timer *const *root)
{
}
#endif

static void heap_insert(struct timers *ts, struct plait_timer **root,
			struct plait_timer *t)
{
	t->place_order = t->order;
	t->child = t->next = NULL;
	*root = heap_merge(*root, t);
	(*root)->back = root;
	ts->near++;
	heap_verify(root);
}

/* Returns the heap of all that are below t. */
static inline struct plait_timer *heap_below(const struct plait_timer *t)
{
	struct plait_timer *by = t->child;

	/* A heap that was built of sorted timers has only single children. */
	return by != NULL && by->next != NULL ? heap_merge_row(by) : by;
}

/* Takes the first timer out of the heap, which is not empty. */
static inline void heap_pop(struct timers *ts, struct plait_timer **root)
{
	struct plait_timer *by = heap_below(*root);

	*root = by;
	if (by != NULL)
		by->back = root;
	ts->near--;
	heap_verify(root);
}

/* Empties the heap, and returns its timers as a list. */
static struct plait_timer *heap_empty(struct timers *ts,
				      struct plait_timer **root)
{
	struct plait_timer *all = *root, *last = all;

	for (struct plait_timer *t = all; t != NULL; t = t->next) {
		last->next = t->child;
		while (last->next != NULL)
			last = last->next;
		ts->near--;
	}
	*root = NULL;
	return all;
}

/* ---- the wheel ----------------------------------------------------------- */

/* How many bits of a time are below the digit of that level. */
static size_t wheel_shift(size_t level)
{
	return WHEEL_LEAF_BITS + WHEEL_BITS * level;
}

/* Returns the level of the first digit in which when is not the horizon. */
static inline size_t wheel_level(const struct timers *ts, int64_t when)
{
	uint64_t differ = (uint64_t)(when ^ ts->horizon) >> WHEEL_LEAF_BITS;

	return (size_t)(63 ^ __builtin_clzll(differ | 1)) / WHEEL_BITS;
}

static inline struct plait_timer *wheel_behind(const struct plait_timer *t)
{
	return t != NULL ? t->next : NULL;
}

/*
 * Puts t in front, so that timers which all have the same delay are in the
 * order that is the cheapest when the slot is opened: the latest first.  The
 * next few timers of the slot were put there last, so they are at hand.
 */
static inline void wheel_insert(struct timers *ts, struct plait_timer *t)
{
	size_t level = wheel_level(ts, t->place);
	size_t digit =
		(uint64_t)t->place >> wheel_shift(level) & (WHEEL_SLOTS - 1);
	size_t i = level * WHEEL_SLOTS + digit;
	struct plait_timer **slot = &ts->slots[i], *next = *slot;

	t->next = next;
	*slot = t;
	t->back = slot;
	if (next != NULL) {
		next->back = &t->next;
	} else {
		ts->used[i / 64] |= (uint64_t)1 << i % 64;
		ts->words |= (uint32_t)1 << i / 64;
	}
	t->child = wheel_behind(wheel_behind(wheel_behind(next)));
}

/* The first slot that may be in use; stopped timers leave empty slots behind.
   If there is none, it is behind the last slot. */
static unsigned wheel_first(const struct timers *ts)
{
	unsigned word;

	if (ts->words == 0)
		return WHEEL_LEVELS * WHEEL_SLOTS;
	word = (unsigned)__builtin_ctz(ts->words);
	return 64 * word + (unsigned)__builtin_ctzll(ts->used[word]);
}

#ifdef PLAIT_VERIFY
static void wheel_verify(const struct timers *ts, unsigned slot)
{
	struct plait_timer *const *back = &ts->slots[slot];

	for (int i = 0; i < 64 && *back != NULL; i++) {
		const struct plait_timer *t = *back;

		plait_assert(t->back == back);
		plait_assert(&t->reactor->timers == ts);
		plait_assert(t->place > ts->horizon && t->place <= t->when);
		plait_assert(wheel_level(ts, t->place) == slot / WHEEL_SLOTS);
		back = (struct plait_timer *const *)&t->next;
	}
}
#else
static inline void wheel_verify(const struct timers *ts, unsigned slot)
{
}
#endif

/* Empties the slot, which is the first, and returns its timers as a list. */
static struct plait_timer *wheel_empty(struct timers *ts, unsigned slot)
{
	struct plait_timer *all = ts->slots[slot];
	uint64_t *used = &ts->used[slot / 64];

	*used &= *used - 1;
	if (*used == 0)
		ts->words &= ts->words - 1;
	ts->slots[slot] = NULL;
	return all;
}

/* ---- where a timer belongs ----------------------------------------------- */

/* Is true as well for a timer that is alone outside the heap, if few are in it:
   then the horizon moves to that timer. */
static inline bool timer_is_near(struct timers *ts, const struct plait_timer *t)
{
	if (t->when <= ts->horizon)
		return true;
	if (ts->near >= TIMERS_FEW || ts->near + 1 != ts->running || MAYBE(0.5))
		return false;
	ts->horizon = t->when;
	return true;
}

static inline void timer_put(struct timers *ts, struct plait_timer *t)
{
	t->place = t->when;
	if (timer_is_near(ts, t))
		heap_insert(ts, &ts->root, t);
	else
		wheel_insert(ts, t);
}

/* It will be needed soon.  If it has been stopped, its memory may be gone, but
   to fetch does no harm. */
static inline void timer_fetch(const struct plait_timer *t)
{
	if (t == NULL)
		return;
	__builtin_prefetch(&t->place);
	__builtin_prefetch(&t->when);
}

static void timer_put_all(struct timers *ts, struct plait_timer *all)
{
	while (all != NULL) {
		struct plait_timer *t = all;

		all = t->next;
		timer_fetch(t->child);
		timer_put(ts, t);
	}
}

/* Takes t out of the heap or the wheel, whichever it is in. */
static inline void timer_take(struct timers *ts, struct plait_timer *t)
{
	struct plait_timer *by = t->next;

	if (t->place <= ts->horizon) {
		by = heap_below(t);
		ts->near--;
		if (by == NULL) {
			by = t->next;
		} else {
			by->next = t->next;
			if (by->next != NULL)
				by->next->back = &by->next;
		}
	}
	*t->back = by;
	if (by != NULL)
		by->back = t->back;
	heap_verify(&ts->root);
	heap_verify(&ts->fresh);
}

/* ---- moving the horizon -------------------------------------------------- */

/* Are there so few timers in the slot that they need no lower levels? */
static bool wheel_has_few(const struct plait_timer *t)
{
	int n = 0;

	while (t != NULL && n < TIMERS_FEW) {
		t = t->next;
		n++;
	}
	return t == NULL && !MAYBE(0.2);
}

/*
 * Adds t to a heap in which each timer has the next one as its only child.  If
 * it is the last, the horizon moves to it.
 */
static inline void heap_append(struct timers *ts, struct plait_timer *t)
{
	struct plait_timer **link = &ts->root;

	while (*link != NULL && timer_is_before(*link, t))
		link = &(*link)->child;
	t->next = NULL;
	t->back = link;
	t->child = *link;
	if (t->child != NULL)
		t->child->back = &t->child;
	else
		ts->horizon = t->when;
	*link = t;
	ts->near++;
}

/*
 * The few timers of a slot that ends then become the heap.  Those that were put
 * off beyond the slot go back to the wheel.
 */
static inline void heap_build(struct timers *ts, struct plait_timer *few,
			      int64_t end)
{
	while (few != NULL) {
		struct plait_timer *t = few;

		few = t->next;
		t->place = t->when;
		t->place_order = t->order;
		if (t->when <= end)
			heap_append(ts, t);
		else
			wheel_insert(ts, t);
	}
	heap_verify(&ts->root);
}

/* The heap has not too many timers now. */
static inline void timer_be_content(struct timers *ts)
{
	ts->crowd = 2 * ts->near + TIMERS_CROWD;
}

/* The heap is empty: opens that slot, which is the first. */
static inline void wheel_open(struct timers *ts, unsigned slot)
{
	int level = (int)(slot / WHEEL_SLOTS);
	int64_t below = ((int64_t)1 << wheel_shift(level)) - 1, end;
	struct plait_timer *all;

	wheel_verify(ts, slot);
	all = wheel_empty(ts, slot);
	if (all == NULL)
		return;
	end = all->place | below;
	ts->horizon = level > 0 ? end - below : end;
	if (wheel_has_few(all)) {
		heap_build(ts, all, end);
	} else {
		REACHED("the timers of a slot move to lower levels");
		timer_put_all(ts, all);
	}
	timer_be_content(ts);
}

/*
 * Many timers were started before the horizon.  It moves back to now, unless
 * most timers are in the wheel: they would have to move again.
 */
static OUT_OF_LINE void wheel_rewind(struct timers *ts, int64_t now)
{
	unsigned passed = WHEEL_SLOTS;
	struct plait_timer *near;

	if (now < ts->horizon && ts->near > ts->running / 4) {
		REACHED("the horizon of the timers moves back");
		near = heap_empty(ts, &ts->root);
		passed *= (unsigned)wheel_level(ts, now);
		ts->horizon = now;
		while (wheel_first(ts) < passed)
			timer_put_all(ts, wheel_empty(ts, wheel_first(ts)));
		timer_put_all(ts, near);
	}
	timer_be_content(ts);
}

/* Opens slots, and moves timers that were put off, until the earliest timer is
   on top.  Returns NULL if there are no timers. */
static OUT_OF_LINE struct plait_timer *timer_search(struct timers *ts)
{
	struct plait_timer *t;

	while ((t = ts->root) == NULL || t->place != t->when) {
		unsigned slot = wheel_first(ts);

		if (t != NULL) {
			REACHED("a timer was put off");
			timer_take(ts, t);
			timer_put(ts, t);
		} else if (slot < WHEEL_LEVELS * WHEEL_SLOTS) {
			wheel_open(ts, slot);
		} else {
			break;
		}
	}
	return t;
}

static inline struct plait_timer *timer_earliest(struct timers *ts)
{
	struct plait_timer *t = ts->root;

	return t != NULL && t->place == t->when ? t : timer_search(ts);
}

/* ---- starting and stopping ----------------------------------------------- */

/* It was taken out of the heap or the wheel. */
static inline void timer_forget(struct plait_timer *t, enum trace_kind why)
{
	t->reactor->timers.running--;
	trace_note(why, t, t->reactor, NULL, 0);
	t->reactor = NULL;
}

/* Gives t, which is due then, its place in the order of all. */
static inline void timer_aim(struct timers *ts, struct plait_timer *t,
			     int64_t when)
{
	t->when = when;
	t->order = ts->order++;
}

/* Starts t, which is not running. */
static inline void timer_set(struct plait_reactor *r, struct plait_timer *t,
			     int64_t when)
{
	struct timers *ts = &r->timers;

	timer_aim(ts, t, when);
	t->reactor = r;
	ts->running++;
	timer_put(ts, t);
	trace_note(TRACE_SET, t, r, NULL, 0);
	if (ts->near > ts->crowd || MAYBE(0.02))
		wheel_rewind(ts, r->now > ts->due ? r->now : ts->due);
}

static OUT_OF_LINE void timer_move(struct plait_reactor *r,
				   struct plait_timer *t, int64_t when)
{
	plait_timer_stop(t);
	timer_set(r, t, when);
}

/* Starts t, which is running, anew.  If it moves to a later time, it stays
   where it is. */
static inline void timer_reset(struct plait_reactor *r, struct plait_timer *t,
			       int64_t when)
{
	if (t->reactor != r || when <= t->place) {
		timer_move(r, t, when);
		return;
	}
	timer_aim(&r->timers, t, when);
	trace_note(TRACE_SET, t, r, NULL, 0);
}

void plait_i_timer_delay(struct plait_timer *t, double seconds)
{
	loop_check(t->reactor, "plait_call_delay()");
	timer_reset(t->reactor, t, plait_i_clock_add(t->when, seconds));
}

void plait_timer_start(struct plait_reactor *r, struct plait_timer *t,
		       double seconds, plait_func *fn, void *arg)
{
	int64_t when;

	loop_check_given(r, "plait_timer_start()", NULL);
	t->fn = fn;
	t->arg = arg;
	when = clock_after(r, seconds);
	if (t->reactor == NULL)
		timer_set(r, t, when);
	else
		timer_reset(r, t, when);
}

void plait_timer_stop(struct plait_timer *t)
{
	if (t->reactor == NULL)
		return;
	loop_check(t->reactor, "plait_timer_stop()");
	timer_take(&t->reactor->timers, t);
	timer_forget(t, TRACE_UNSET);
}

bool plait_timer_is_running(const struct plait_timer *t)
{
	return t->reactor != NULL;
}

double plait_timer_when(const struct plait_timer *t)
{
	return t->reactor != NULL ? (double)t->when / NS_PER_S : NAN;
}

/* ---- the batch of a turn ------------------------------------------------- */

/* The first timer is not in its place, or it is no timer of the batch. */
static OUT_OF_LINE struct plait_timer *timer_search_due(struct timers *ts)
{
	struct plait_timer *t;

	while ((t = timer_earliest(ts)) != NULL && t->when <= ts->due) {
		if (t->order < ts->end_of_batch)
			return t;
		heap_pop(ts, &ts->root);
		heap_insert(ts, &ts->fresh, t);
	}
	return NULL;
}

/* Returns the next timer of the batch, which is the root, or NULL. */
static inline struct plait_timer *timer_next_due(struct timers *ts)
{
	struct plait_timer *t = ts->root;

	if (t != NULL && t->place == t->when && t->when <= ts->due &&
	    t->order < ts->end_of_batch)
		return t;
	return timer_search_due(ts);
}

/* The batch has run: the timers that waited for its end join the others. */
static void timer_end_batch(struct timers *ts)
{
	ts->unfinished = false;
	timer_put_all(ts, heap_empty(ts, &ts->fresh));
}

OUT_OF_LINE void plait_i_timer_run_due(struct plait_reactor *r)
{
	struct timers *ts = &r->timers;
	struct plait_timer *t;

	if (!ts->unfinished) {
		ts->due = plait_i_clock_now(r);
		ts->end_of_batch = ts->order_before;
	}
	for (int i = 0; (t = timer_next_due(ts)) != NULL && i < REACTOR_SHARE &&
			!loop_is_forked(r) && !(i > 0 && MAYBE(0.02));
	     i++) {
		heap_pop(ts, &ts->root);
		timer_forget(t, TRACE_DUE);
		r->counts.timers++;
		loop_enter(r);
		t->fn(t->arg);
		exception_barrier();
		loop_leave(r);
	}
	if (t == NULL) {
		timer_end_batch(ts);
		return;
	}
	REACHED("the next turn goes on with the timers of this one");
	ts->unfinished = true;
}

bool plait_i_timer_next(const struct plait_reactor *cr, int64_t *ret)
{
	/* Timers may move to their right places, and a batch of which no timer
	   is left may end; nothing else changes. */
	struct timers *ts = &((struct plait_reactor *)cr)->timers;
	const struct plait_timer *t;

	if (ts->unfinished && timer_next_due(ts) == NULL)
		timer_end_batch(ts);
	t = timer_earliest(ts);
	if (t != NULL)
		*ret = t->when;
	return t != NULL;
}

static void timer_forget_all(struct plait_timer *all)
{
	for (; all != NULL; all = all->next)
		timer_forget(all, TRACE_UNSET);
}

/*
 * Stops all timers, so that the program can stop them again after the reactor
 * was freed.  If a batch is unfinished, there are fresh timers, too.
 */
void plait_i_timer_done(struct plait_reactor *r)
{
	struct timers *ts = &r->timers;

	timer_forget_all(heap_empty(ts, &ts->root));
	timer_forget_all(heap_empty(ts, &ts->fresh));
	while (ts->words != 0)
		timer_forget_all(wheel_empty(ts, wheel_first(ts)));
}

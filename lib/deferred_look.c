/*
 * Looks at all deferreds of a thread: those that are pending, those that never
 * ended, and which waits for which.
 *
 * The thread's list of live deferreds holds every deferred from its first to
 * its last moment, oldest first.  So nothing is missing here.  Nothing here
 * changes a deferred.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <plait/debug.h>

#include "lib/deferred_inside.h"
#include "lib/print.h"

/* ---- time ------------------------------------------------------------ */

void plait_i_deferred_set_clock(int64_t (*clock)(void))
{
	plait_i_deferred_thread.time.clock = clock;
	plait_i_deferred_thread.time.now = -1;
}

void plait_i_deferred_set_time(int64_t now)
{
	plait_i_deferred_thread.time.clock = NULL;
	plait_i_deferred_thread.time.now = now;
}

struct deferred_time plait_i_deferred_begin(struct deferred_home home)
{
	struct deferred_time before = plait_i_deferred_thread.time;

	plait_i_deferred_thread.time.home = home;
	return before;
}

bool plait_i_deferred_may_lend(struct deferred_home home)
{
	struct deferred_home *h = &plait_i_deferred_thread.time.home;

	if (h->in_turn)
		return h->reactor == home.reactor;
	*h = home;
	return true;
}

/* The turn may have been in a callback of another reactor. */
void plait_i_deferred_end(const struct deferred_time *before)
{
	if (before->home.in_turn)
		plait_i_deferred_thread.time = *before;
	else
		plait_i_deferred_thread.time.home.in_turn = false;
}

enum { AGE_SIZE = 32 };

/* Returns true if the two times come from the same clock. */
static bool is_comparable(struct deferred_home a, struct deferred_home b)
{
	return a.own_clock || b.own_clock
		       ? a.own_clock && b.own_clock && a.reactor == b.reactor
		       : true;
}

/* Writes the age in seconds, or nothing if it is not known. */
static const char *age_of(const struct plait_deferred *d, char *buf)
{
	const struct deferred_time *t = &plait_i_deferred_thread.time;
	int64_t age = (t->clock != NULL ? t->clock() : t->now) - d->made;

	if (d->made < 0 || age < 0 || !is_comparable(d->home, t->home))
		return "unknown";
	snprintf(buf, AGE_SIZE, "%" PRId64 ".%03d s", age / 1000000000,
		 (int)(age / 1000000 % 1000));
	return buf;
}

/*
 * Returns the deferred that waits, at the end of a chain: the deferred that the
 * program has.
 */
static const char *waiting_for(const struct plait_deferred *d, char *buf,
			       size_t size)
{
	const struct plait_deferred *last = d;
	unsigned pairs = d->count - d->head;
	int len = 0;

	while (last->outer != NULL)
		last = last->outer;
	if (!last->waited)
		return "nobody";
	if (pairs > 0)
		len = snprintf(buf, size, "%u callback%s%s", pairs,
			       pairs > 1 ? "s" : "", last != d ? ", " : "");
	if (last != d)
		snprintf(buf + len, size - (size_t)len,
			 "the one made at %.200s", last->where);
	return len == 0 && last == d ? "its owner" : buf;
}

/* ---- what never ended ------------------------------------------------ */

static plait_value never_fired(const struct plait_deferred *d)
{
	char age[AGE_SIZE], waiting[256];

	return (plait_fail)(d->where, &plait_error_never_fired,
			    "promise made at %s, age %s, waited for by %s",
			    d->where, age_of(d, age),
			    waiting_for(d, waiting, sizeof(waiting)));
}

static plait_value never_freed(const struct plait_deferred *d)
{
	char age[AGE_SIZE];

	return (plait_fail)(d->where, &plait_error_never_freed,
			    "deferred made at %s, age %s, fired at %s",
			    d->where, age_of(d, age), d->fired_at);
}

/*
 * d has fired, and the program holds its waiting end and may have forgotten
 * it.  If d waits for another deferred, the report is about the other.
 */
static bool is_kept(const struct plait_deferred *d)
{
	return d->fired && d->inner == NULL && d->waited && d->outer == NULL;
}

void plait_i_deferred_note_kept(void)
{
	struct plait_list *live = &plait_i_deferred_thread.live, *l;

	if (live->next == NULL)
		return;
	plait_list_for_each (l, live) {
		struct plait_deferred *d =
			plait_container(l, struct plait_deferred, live);

		d->noted = is_kept(d);
	}
}

/* Another reactor may fire what was not made in turns of this reactor. */
static bool is_to_be_told(const struct plait_deferred *d, unsigned reactor,
			  bool all)
{
	if (deferred_is_inherited(d))
		return false;
	if (d->fired)
		return all && d->noted && is_kept(d);
	return all || (d->home.in_turn && d->home.reactor == reactor);
}

/*
 * Each deferred is put on the list of the told before the hook is called.  So
 * the hook may fire or free what it likes.  What the hook makes is not told.
 */
size_t plait_i_deferred_report(unsigned reactor, bool all)
{
	struct plait_list *live = &plait_i_deferred_thread.live, todo, told, *l;
	size_t n = 0;

	plait_list_init(&todo);
	plait_list_init(&told);
	plait_list_move(&todo, live);
	while ((l = plait_list_first(&todo)) != NULL) {
		const struct plait_deferred *d =
			plait_container(l, struct plait_deferred, live);
		plait_value v;

		plait_list_remove(l);
		plait_list_append(&told, l);
		if (!is_to_be_told(d, reactor, all))
			continue;
		n++;
		v = d->fired ? never_freed(d) : never_fired(d);
		plait_report_unhandled(plait_value_failure(&v));
		plait_value_free(&v);
	}
	plait_list_move(live, &told);
	return n;
}

size_t plait_deferred_report_pending(void)
{
	plait_i_deferred_note_kept();
	return plait_i_deferred_report(0, true);
}

static void report_at_exit(void)
{
	plait_deferred_report_pending();
}

int plait_deferred_report_at_exit(void)
{
	static bool asked;

	asked = asked || atexit(report_at_exit) == 0;
	return asked ? 0 : -ENOMEM;
}

/* ---- what is pending, by place ----------------------------------------- */

struct group {
	const struct plait_deferred *oldest;
	size_t count;
};

struct groups {
	struct group *items;
	size_t n, room;
	size_t last; /* where the last search has ended */
};

static bool is_of(const struct group *g, const struct plait_deferred *d)
{
	return g->oldest->where == d->where ||
	       strcmp(g->oldest->where, d->where) == 0;
}

/*
 * Returns the group of this place.  Deferreds that were made in a row are often
 * of the same group.
 */
static struct group *find_group(struct groups *gs,
				const struct plait_deferred *d)
{
	for (size_t i = 0; i < gs->n; i++) {
		struct group *g = &gs->items[(gs->last + i) % gs->n];

		if (is_of(g, d)) {
			gs->last = (size_t)(g - gs->items);
			return g;
		}
	}
	return NULL;
}

static struct group *add_group(struct groups *gs,
			       const struct plait_deferred *oldest)
{
	size_t room = gs->room != 0 ? 2 * gs->room : 16;
	struct group *items;

	if (gs->n == gs->room) {
		items = realloc(gs->items, room * sizeof(*items));
		if (items == NULL)
			return NULL;
		gs->items = items;
		gs->room = room;
	}
	gs->items[gs->n] = (struct group){ .oldest = oldest };
	gs->last = gs->n;
	return &gs->items[gs->n++];
}

static const struct plait_deferred *at_link(const struct plait_list *l)
{
	return l != NULL && l != &plait_i_deferred_thread.live
		       ? plait_container(l, const struct plait_deferred, live)
		       : NULL;
}

/*
 * Returns the first deferred after d.  NULL stands for the place before all,
 * and after all.
 */
static const struct plait_deferred *next_live(const struct plait_deferred *d)
{
	const struct plait_list *l =
		d != NULL ? d->live.next : plait_i_deferred_thread.live.next;

	for (d = at_link(l); d != NULL && deferred_is_inherited(d);
	     d = at_link(d->live.next))
		;
	return d;
}

/* Returns 0 or -ENOMEM. */
static int count_all(struct groups *gs)
{
	const struct plait_deferred *d = next_live(NULL);

	for (; d != NULL; d = next_live(d)) {
		struct group *g;

		if (d->fired)
			continue;
		g = find_group(gs, d);
		if (g == NULL)
			g = add_group(gs, d);
		if (g == NULL)
			return -ENOMEM;
		g->count++;
	}
	return 0;
}

static void print_group(struct print *p, const struct group *g)
{
	char age[AGE_SIZE], waiting[256];

	plait_i_print(p, "%zu made at %s, age %s, waited for by %s\n", g->count,
		      g->oldest->where, age_of(g->oldest, age),
		      waiting_for(g->oldest, waiting, sizeof(waiting)));
}

/*
 * The largest group comes first, and of two equal groups the older one.  There
 * are few groups.
 */
static void print_groups(struct print *p, struct groups *gs)
{
	for (size_t n = gs->n; n > 0; n--) {
		struct group *most = gs->items;

		for (size_t i = 1; i < gs->n; i++) {
			if (gs->items[i].count > most->count)
				most = &gs->items[i];
		}
		print_group(p, most);
		most->count = 0;
	}
}

int plait_deferred_dump(struct plait_buf *b)
{
	struct print p = { .to = b };
	struct groups gs = { .n = 0 };

	if (b == NULL)
		return -ENOMEM;
	p.error = count_all(&gs);
	print_groups(&p, &gs);
	free(gs.items);
	return p.error;
}

/* ---- the graph --------------------------------------------------------- */

enum { SHOWN_PAIRS = 8 };

static const char *state_of(const struct plait_deferred *d)
{
	if (!d->fired)
		return d->cancelling ? "being cancelled" : "pending";
	if (d->inner != NULL)
		return "waiting";
	if (d->pauses > 0)
		return "paused";
	if (d->holds > 0)
		return "held";
	return d->active ? "running" : "fired";
}

/* Functions have no names at run time; a debugger knows them. */
static void print_pairs(struct print *p, const struct plait_deferred *d)
{
	unsigned left = d->count - d->head;

	for (unsigned i = 0; i < left && i < SHOWN_PAIRS; i++) {
		const struct pair *pair = &d->pairs[d->head + i];

		if (plait_i_deferred_chained(pair) != NULL)
			plait_i_print(p, "\\nfires another");
		else
			plait_i_print(p, "\\n%p / %p", (void *)pair->callback,
				      (void *)pair->errback);
	}
	if (left > SHOWN_PAIRS)
		plait_i_print(p, "\\nand %u more", left - SHOWN_PAIRS);
}

static void print_node(struct print *p, const struct plait_deferred *d)
{
	char age[AGE_SIZE], text[256];

	plait_i_print(p, "\t\"%p\" [label=\"", (const void *)d);
	plait_i_print_plain(p, d->where);
	plait_i_print(p, "\\n%s, age %s", state_of(d), age_of(d, age));
	if (d->fired && d->inner == NULL) {
		plait_value_str(plait_deferred_result(d), text, sizeof(text));
		plait_i_print(p, "\\n");
		plait_i_print_plain(p, text);
	}
	print_pairs(p, d);
	plait_i_print(p, "\"%s];\n", d->fired ? "" : ", style=bold");
}

static void print_edges(struct print *p, const struct plait_deferred *d)
{
	if (d->inner != NULL)
		plait_i_print(p, "\t\"%p\" -> \"%p\" [label=\"waits for\"];\n",
			      (const void *)d, (const void *)d->inner);
	for (unsigned i = d->head; i < d->count; i++) {
		const void *target = plait_i_deferred_chained(&d->pairs[i]);

		if (target != NULL)
			plait_i_print(p,
				      "\t\"%p\" -> \"%p\" [label=\"fires\"];\n",
				      (const void *)d, target);
	}
}

int plait_deferred_dot(struct plait_buf *b)
{
	struct print p = { .to = b };
	const struct plait_deferred *d = next_live(NULL);

	if (b == NULL)
		return -ENOMEM;
	plait_i_print(&p, "digraph deferreds {\n\tnode [shape=box];\n");
	for (; d != NULL; d = next_live(d)) {
		print_node(&p, d);
		print_edges(&p, d);
	}
	plait_i_print(&p, "}\n");
	return p.error;
}

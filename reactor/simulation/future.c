/*
 * A pairing heap in the events themselves, so that planning needs no memory.
 *
 * child is the first child of an event, next its next sibling, and link the
 * pointer that points to the event: that of its parent to its first child, that
 * of the sibling before it, or the root.  An event without a link is not
 * planned.
 */
#include <stddef.h>

#include "lib/base.h"
#include "reactor/simulation/future.h"

static bool future_is_before(const struct future_event *a,
			     const struct future_event *b)
{
	if (a->when != b->when)
		return a->when < b->when;
	if (a->order != b->order)
		return a->order < b->order;
	return a->number < b->number;
}

/* Makes one heap of two, each of which may be empty.  The root has no link
   yet. */
static struct future_event *future_merge(struct future_event *a,
					 struct future_event *b)
{
	struct future_event *root = a, *below = b;

	if (a == NULL || b == NULL)
		return a != NULL ? a : b;
	if (future_is_before(b, a)) {
		root = b;
		below = a;
	}
	below->next = root->child;
	if (below->next != NULL)
		below->next->link = &below->next;
	below->link = &root->child;
	root->child = below;
	return root;
}

/* Makes one heap of a row of siblings: pairs from left to right, then all of
   them from right to left. */
static struct future_event *future_merge_row(struct future_event *row)
{
	struct future_event *pairs = NULL, *root = NULL;

	while (row != NULL) {
		struct future_event *a = row, *b = a->next;

		row = b != NULL ? b->next : NULL;
		a->next = NULL;
		if (b != NULL)
			b->next = NULL;
		a = future_merge(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs != NULL) {
		struct future_event *a = pairs;

		pairs = a->next;
		a->next = NULL;
		root = future_merge(root, a);
	}
	return root;
}

static void future_set_root(struct future *f, struct future_event *root)
{
	f->root = root;
	if (root != NULL)
		root->link = &f->root;
}

bool plait_i_future_is_planned(const struct future_event *e)
{
	return e->link != NULL;
}

void plait_i_future_cancel(struct future *f, struct future_event *e)
{
	struct future_event *below;

	if (e->link == NULL)
		return;
	*e->link = e->next;
	if (e->next != NULL)
		e->next->link = e->link;
	below = future_merge_row(e->child);
	e->child = e->next = NULL;
	e->link = NULL;
	future_set_root(f, future_merge(f->root, below));
}

void plait_i_future_plan(struct future *f, struct future_event *e, int64_t when)
{
	plait_i_future_cancel(f, e);
	e->when = when;
	e->order = plait_i_random_next(&f->random);
	e->number = f->planned++;
	future_set_root(f, future_merge(f->root, e));
}

struct future_event *plait_i_future_next(const struct future *f)
{
	return f->root;
}

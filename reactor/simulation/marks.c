/*
 * What PLAIT_SOMETIMES() has seen, in the order in which the marks were first
 * met, so that what is said of them is the same each time.
 *
 * A mark is found by the addresses of its texts, from the first on: a program
 * has tens of them.  The same mark may have several addresses, if more than one
 * file was compiled with it, so the texts are compared at the end.
 */
#include <stdlib.h>
#include <string.h>

#include "reactor/simulation/world.h"

/* Returns NULL if there is no memory. */
static struct mark *marks_add(struct marks *m)
{
	size_t room = m->room != 0 ? 2 * m->room : 16;
	struct mark *items;

	if (m->n == m->room) {
		items = realloc(m->items, room * sizeof(*items));
		if (items == NULL)
			return NULL;
		m->items = items;
		m->room = room;
	}
	return &m->items[m->n++];
}

static struct mark *marks_find(struct marks *m, const char *what,
			       const char *where)
{
	for (size_t i = 0; i < m->n; i++) {
		if (m->items[i].where == where && m->items[i].what == what)
			return &m->items[i];
	}
	return NULL;
}

void plait_i_marks_note(struct marks *m, bool condition, const char *what,
			const char *where)
{
	struct mark *mark = marks_find(m, what, where);

	if (mark == NULL) {
		mark = marks_add(m);
		/* Without memory this mark is not checked. */
		if (mark == NULL)
			return;
		*mark = (struct mark){ .what = what, .where = where };
	}
	mark->was_true = mark->was_true || condition;
}

static bool marks_any_true(const struct marks *m, const struct mark *mark)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct mark *other = &m->items[i];

		if (other->was_true && strcmp(other->where, mark->where) == 0 &&
		    strcmp(other->what, mark->what) == 0)
			return true;
	}
	return false;
}

const struct mark *plait_i_marks_never_true(const struct marks *m)
{
	for (size_t i = 0; i < m->n; i++) {
		if (!marks_any_true(m, &m->items[i]))
			return &m->items[i];
	}
	return NULL;
}

void plait_i_marks_done(struct marks *m)
{
	free(m->items);
	*m = (struct marks){ .items = NULL };
}

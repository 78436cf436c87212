/*
 * Compositions of starters: see compositions.h.
 */
#include <stdio.h>
#include <string.h>

#include "tests/compositions.h"

static uint64_t draw_state;

/* splitmix64: the same everywhere. */
static unsigned draw(unsigned n)
{
	uint64_t z = draw_state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return (unsigned)((z ^ (z >> 31)) % n);
}

static bool may_be_part(const struct starter *s)
{
	return !s->is_alone && !s->has_threads &&
	       !(s->needs_sockets && servers_world.testing);
}

/* Near the root it is one that has parts. */
static const struct starter *draw_starter(int depth)
{
	const struct starter *s;

	do
		s = &starters[draw((unsigned)n_starters)];
	while (!may_be_part(s) || (depth < 2 && s->works == 0));
	return s;
}

static struct scene *add_scene(struct composition *c, int depth)
{
	struct scene *s = &c->scenes[c->n++];

	s->starter = draw_starter(depth);
	c->fires_late = c->fires_late || s->starter->fires_late;
	for (unsigned i = 0; i < s->starter->works; i++)
		if (depth < MAX_DEPTH && c->n < MAX_SCENES && draw(4) > 0)
			s->parts[i] = add_scene(c, depth + 1);
	return s;
}

void composition_make(struct composition *c, uint64_t seed)
{
	memset(c, 0, sizeof(*c));
	draw_state = seed;
	add_scene(c, 0);
}

/* ---- as text ------------------------------------------------------- */

struct text {
	char *buf;
	size_t size, len;
};

static void text_add(struct text *t, const char *s)
{
	int n = snprintf(t->buf + t->len, t->size - t->len, "%s", s);

	t->len += (size_t)n;
	if (t->len >= t->size)
		t->len = t->size - 1;
}

static void text_scene(struct text *t, const struct scene *s)
{
	text_add(t, s->starter->name + strlen("plait_"));
	if (s->starter->state[0] != '\0')
		text_add(t, " ");
	text_add(t, s->starter->state);
	if (s->starter->works == 0)
		return;
	for (unsigned i = 0; i < s->starter->works; i++) {
		text_add(t, i == 0 ? "(" : ", ");
		if (s->parts[i] != NULL)
			text_scene(t, s->parts[i]);
		else
			text_add(t, "work");
	}
	text_add(t, ")");
}

void composition_str(const struct composition *c, char *buf, size_t size)
{
	struct text t = { buf, size, 0 };

	text_scene(&t, &c->scenes[0]);
}

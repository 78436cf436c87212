/*
 * The contract of plait(7), as far as it can be seen from outside: a listener
 * of the trace, which fails the simulation when it is broken.
 *
 * - A deferred fires once.
 * - A connection begins once and ends once; its protocol is told of both, and
 *   hears nothing after its end.
 * - Callbacks of a reactor do not come inside one another.
 * - No timer is early.
 * - A turn has an end: it makes so many callbacks at most.
 *
 * What was not seen to begin, or had no memory here, is not judged.
 */
#include <inttypes.h>
#include <stdlib.h>

#include <plait/timer.h>

#include "reactor/simulation/world.h"

enum { WITNESS_CHUNK = 128, MAX_CALLBACKS = 10000 };

enum witness_state { PENDING, FIRED, OPEN, TOLD, LOST };

struct witness_thing {
	struct witness_thing *next; /* in its bucket, or unused */
	const void *object;
	const char *where; /* of a deferred */
	enum witness_state state;
};

struct witness_chunk {
	struct witness_chunk *next;
	struct witness_thing things[WITNESS_CHUNK];
};

/* ---- things that live ---------------------------------------------------- */

/* Only where a thing lies depends on its address, and nothing that happens. */
static struct witness_thing **witness_bucket(struct witness *w,
					     const void *object)
{
	uint64_t x = ((uintptr_t)object >> 4) * UINT64_C(0x9e3779b97f4a7c15);

	return &w->buckets[(x >> 32) & (w->n_buckets - 1)];
}

static struct witness_thing **witness_find(struct witness *w,
					   const void *object)
{
	struct witness_thing **place = witness_bucket(w, object);

	while (*place != NULL && (*place)->object != object)
		place = &(*place)->next;
	return place;
}

/* A place to keep what comes next. */
static void witness_grow(struct witness *w)
{
	struct witness_chunk *chunk = malloc(sizeof(*chunk));

	if (chunk == NULL)
		return;
	chunk->next = w->chunks;
	w->chunks = chunk;
	for (size_t i = 0; i < WITNESS_CHUNK; i++) {
		chunk->things[i].next = w->unused;
		w->unused = &chunk->things[i];
	}
}

/* Without memory the buckets only get fuller. */
static void witness_spread(struct witness *w)
{
	size_t n = w->n_buckets;
	struct witness_thing **old = w->buckets, *t, *next, **place;
	struct witness_thing **wide = calloc(2 * n, sizeof(*wide));

	if (wide == NULL)
		return;
	w->buckets = wide;
	w->n_buckets = 2 * n;
	for (size_t i = 0; i < n; i++) {
		for (t = old[i]; t != NULL; t = next) {
			next = t->next;
			place = witness_bucket(w, t->object);
			t->next = *place;
			*place = t;
		}
	}
	if (old != w->few)
		free(old);
}

static void witness_born(struct witness *w, const void *object,
			 const char *where, enum witness_state state)
{
	struct witness_thing **place, *t;

	if (w->unused == NULL)
		witness_grow(w);
	t = w->unused;
	if (t == NULL)
		return;
	if (w->n_things > w->n_buckets)
		witness_spread(w);
	w->n_things++;
	w->unused = t->next;
	place = witness_bucket(w, object);
	*t = (struct witness_thing){
		.next = *place, .object = object, .where = where, .state = state
	};
	*place = t;
}

static void witness_gone(struct witness *w, struct witness_thing **place)
{
	struct witness_thing *t = *place;

	*place = t->next;
	t->next = w->unused;
	w->unused = t;
	w->n_things--;
}

/* ---- deferreds and connections ------------------------------------------- */

static void witness_deferred(struct witness *w, enum trace_kind kind,
			     const void *object, const char *where)
{
	struct witness_thing **place = witness_find(w, object), *t = *place;

	if (kind == TRACE_MADE && t == NULL) {
		witness_born(w, object, where, PENDING);
	} else if (kind == TRACE_FREED && t != NULL) {
		witness_gone(w, place);
	} else if (kind == TRACE_FIRED && t != NULL) {
		if (t->state == FIRED)
			plait_simulation_fail(
				w->simulation,
				"the deferred made at %s fires twice",
				t->where);
		t->state = FIRED;
	}
}

static void witness_connection(struct witness *w, enum trace_kind kind,
			       const void *object)
{
	struct witness_thing **place = witness_find(w, object), *t = *place;
	const char *wrong = NULL;

	if (kind == TRACE_OPENED) {
		if (t != NULL)
			wrong = "begins twice";
		else
			witness_born(w, object, NULL, OPEN);
	} else if (t == NULL) {
		return;
	} else if (kind == TRACE_PROTOCOL) {
		wrong = t->state == OPEN ? NULL : "tells its protocol twice";
		t->state = TOLD;
	} else if (kind == TRACE_PROTOCOL_LOST) {
		wrong = t->state == TOLD ? NULL : "ends twice, or too early";
		t->state = LOST;
	} else if (kind == TRACE_READ) {
		wrong = t->state == TOLD ? NULL : "reads after its end";
	} else if (kind == TRACE_CLOSED) {
		wrong = t->state == TOLD ? "ends, and tells nobody" : NULL;
		witness_gone(w, place);
	}
	if (wrong != NULL)
		plait_simulation_fail(w->simulation, "a connection %s", wrong);
}

/* ---- callbacks and timers ------------------------------------------------ */

static void witness_enter(struct witness *w, const struct plait_reactor *r)
{
	for (unsigned i = 0; i < w->depth && i < WITNESS_DEPTH; i++) {
		if (w->inside[i] == r)
			plait_simulation_fail(
				w->simulation,
				"a callback comes inside another");
	}
	if (w->depth < WITNESS_DEPTH)
		w->inside[w->depth] = r;
	w->depth++;
	if (w->turning != r || w->turn != plait_i_loop_turn(r))
		w->callbacks = 0;
	w->turning = r;
	w->turn = plait_i_loop_turn(r);
	if (++w->callbacks == MAX_CALLBACKS)
		plait_simulation_fail(w->simulation, "a turn has no end");
}

/* A callback that began before the witness came may end here. */
static void witness_leave(struct witness *w, const struct plait_reactor *r)
{
	if (w->depth == 0)
		return;
	w->depth--;
	if (w->depth < WITNESS_DEPTH && w->inside[w->depth] != r)
		plait_simulation_fail(w->simulation,
				      "a callback ends before one inside it");
}

static void witness_timer(struct witness *w, const struct plait_timer *t,
			  const struct plait_reactor *r)
{
	int64_t early = t->when - kernel_clock(loop_kernel(r));

	if (early > 0)
		plait_simulation_fail(w->simulation,
				      "a timer runs %" PRId64 " ns early",
				      early);
}

/* ---- listening ----------------------------------------------------------- */

static void witness_tell(struct trace_listener *l, enum trace_kind kind,
			 const void *object, const void *other,
			 const char *text, size_t n)
{
	struct witness *w = plait_container(l, struct witness, listener);

	switch (kind) {
	case TRACE_MADE:
	case TRACE_FIRED:
	case TRACE_FREED:
		witness_deferred(w, kind, object, text);
		break;
	case TRACE_OPENED:
	case TRACE_READ:
	case TRACE_CLOSED:
		witness_connection(w, kind, object);
		break;
	case TRACE_PROTOCOL:
	case TRACE_PROTOCOL_LOST:
		witness_connection(w, kind, other);
		break;
	case TRACE_ENTER:
		witness_enter(w, object);
		break;
	case TRACE_LEAVE:
		witness_leave(w, object);
		break;
	case TRACE_DUE:
		witness_timer(w, object, other);
		break;
	default:
		break;
	}
}

void plait_i_witness_begin(struct witness *w, struct plait_simulation *s)
{
	w->simulation = s;
	w->buckets = w->few;
	w->n_buckets = WITNESS_FEW;
	w->listener.tell = witness_tell;
	plait_i_trace_listen_first(&w->listener);
}

void plait_i_witness_end(struct witness *w)
{
	plait_i_trace_listen_no_more(&w->listener);
	if (w->buckets != w->few)
		free(w->buckets);
	while (w->chunks != NULL) {
		struct witness_chunk *chunk = w->chunks;

		w->chunks = chunk->next;
		free(chunk);
	}
}

/*
 * What is alive, by what made it.
 *
 * A thing is a deferred, a timer and so on that is alive; a site is a place
 * that makes things of one kind.  Both are found by hash tables with chains,
 * and kept as long as the listener listens: a site for ever, a thing in a list
 * of unused ones.  So in the second run of the same scenario nothing is
 * allocated, and tests that count allocations see none.
 *
 * The key is a sum over all sites and states of a hash of the site, the state
 * and the number of things, so each event changes it by a subtraction and an
 * addition.  Large numbers are rounded down to a power of two: a queue that
 * grows and grows is not a new state each time.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <plait/timer.h>
#include <plait/transport_ops.h>

#include "reactor/simulation/live.h"

enum { THINGS_PER_CHUNK = 256, SHOWN = 12, EXACT = 3 };

/* The states of deferreds, of connections, of ports and of connectors.  A
   connection counts its reads as well, up to three. */
enum { PENDING, WAITING, FIRED };
enum { OPEN, CLOSING, LOST, READS = 4 };
enum { LISTENING, CLOSED }; /* at first like a deferred: see pending */
enum { IDLE, CONNECTING };

struct live_site {
	struct live_site *next; /* in its bucket */
	struct plait_list link; /* in live.sites */
	struct plait_list things;
	enum live_kind kind;
	const void *place;
	const char *name; /* NULL: it has none */
	size_t counts[LIVE_STATES];
	size_t count, marked; /* of all states; at the last mark */
	size_t pending;	      /* in the first state, at the last mark */
};

struct live_thing {
	struct live_thing *next; /* in its bucket, or unused */
	struct plait_list link;	 /* in its site: oldest first */
	struct live_site *site;
	const void *object;
	unsigned state;
	bool in_chain;
	int64_t since;
	char label[LIVE_LABEL];
};

struct live_chunk {
	struct live_chunk *next;
	struct live_thing things[THINGS_PER_CHUNK];
};

/* ---- hashing -------------------------------------------------------- */

/* The finisher of splitmix64. */
static uint64_t live_mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9;
	x ^= x >> 27;
	x *= 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static uint64_t live_hash(const void *p, unsigned salt)
{
	return live_mix((uint64_t)(uintptr_t)p + salt);
}

static size_t live_bucket(const void *p, unsigned salt)
{
	return live_hash(p, salt) % LIVE_BUCKETS;
}

static size_t live_round(size_t n)
{
	while (n > EXACT && (n & (n - 1)) != 0)
		n &= n - 1;
	return n;
}

/* What so many things of a site in one state add to the key. */
static uint64_t live_weight(const struct live_site *s, unsigned state)
{
	size_t n = live_round(s->counts[state]);

	if (n == 0)
		return 0;
	return live_mix(live_hash(s->place, s->kind) + state * 0x9e3779b9u +
			(uint64_t)n * 0x9e3779b97f4a7c15);
}

/* ---- sites ---------------------------------------------------------- */

static struct live_site *live_make_site(struct live *l, enum live_kind kind,
					const void *place, const char *name)
{
	size_t bucket = live_bucket(place, kind);
	struct live_site *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		l->no_memory = true;
		return NULL;
	}
	s->kind = kind;
	s->place = place;
	s->name = name;
	plait_list_init(&s->things);
	plait_list_append(&l->sites, &s->link);
	s->next = l->by_site[bucket];
	l->by_site[bucket] = s;
	return s;
}

/* name is NULL if place is no text. */
static struct live_site *live_site_of(struct live *l, enum live_kind kind,
				      const void *place, const char *name)
{
	struct live_site *s = l->by_site[live_bucket(place, kind)];

	while (s != NULL && (s->place != place || s->kind != kind))
		s = s->next;
	return s != NULL ? s : live_make_site(l, kind, place, name);
}

/* How much more there is than at the mark. */
static size_t live_excess(const struct live_site *s)
{
	return s->count > s->marked ? s->count - s->marked : 0;
}

static size_t live_deficit(const struct live_site *s)
{
	return s->marked > s->count ? s->marked - s->count : 0;
}

static void live_count(struct live *l, struct live_site *s, unsigned state,
		       int by)
{
	l->key -= live_weight(s, state);
	l->left -= live_excess(s);
	l->gone[s->kind] -= live_deficit(s);
	s->counts[state] += (size_t)by;
	s->count += (size_t)by;
	l->alive[s->kind] += (size_t)by;
	l->gone[s->kind] += live_deficit(s);
	l->left += live_excess(s);
	l->key += live_weight(s, state);
}

/* ---- things --------------------------------------------------------- */

static struct live_thing *live_find(const struct live *l, const void *object)
{
	struct live_thing *t = l->by_object[live_bucket(object, 0)];

	while (t != NULL && t->object != object)
		t = t->next;
	return t;
}

static bool live_grow(struct live *l)
{
	struct live_chunk *chunk = malloc(sizeof(*chunk));

	if (chunk == NULL) {
		l->no_memory = true;
		return false;
	}
	chunk->next = l->chunks;
	l->chunks = chunk;
	for (size_t i = 0; i < THINGS_PER_CHUNK; i++) {
		chunk->things[i].next = l->unused;
		l->unused = &chunk->things[i];
	}
	return true;
}

static void live_born(struct live *l, enum live_kind kind, const void *object,
		      const void *place, const char *name, unsigned state)
{
	size_t bucket = live_bucket(object, 0);
	struct live_site *s = live_site_of(l, kind, place, name);
	struct live_thing *t;

	if (l->looks_away || s == NULL || (l->unused == NULL && !live_grow(l)))
		return;
	t = l->unused;
	l->unused = t->next;
	t->object = object;
	t->site = s;
	t->state = state;
	t->in_chain = false;
	t->since = l->clock(l);
	t->label[0] = '\0';
	t->next = l->by_object[bucket];
	l->by_object[bucket] = t;
	plait_list_init(&t->link);
	plait_list_append(&s->things, &t->link);
	live_count(l, s, state, 1);
}

static void live_died(struct live *l, const void *object)
{
	struct live_thing **at = &l->by_object[live_bucket(object, 0)], *t;

	while (*at != NULL && (*at)->object != object)
		at = &(*at)->next;
	t = *at;
	if (t == NULL)
		return;
	*at = t->next;
	plait_list_remove(&t->link);
	live_count(l, t->site, t->state, -1);
	t->next = l->unused;
	l->unused = t;
}

static void live_becomes(struct live *l, struct live_thing *t, unsigned state)
{
	if (t == NULL || t->state == state)
		return;
	live_count(l, t->site, t->state, -1);
	t->state = state;
	live_count(l, t->site, t->state, 1);
}

/* ---- what is told --------------------------------------------------- */

static void live_timer_set(struct live *l, const struct plait_timer *timer)
{
	const void *fn = (const void *)(uintptr_t)timer->fn;
	struct live_thing *t = live_find(l, timer);

	if (t != NULL && t->site->place == fn)
		return;
	live_died(l, timer);
	live_born(l, LIVE_TIMER, timer, fn, NULL, 0);
}

static void live_waits(struct live *l, const void *outer, const void *inner)
{
	struct live_thing *o = live_find(l, outer), *i = live_find(l, inner);

	live_becomes(l, o, WAITING);
	if (o != NULL && i != NULL && o->in_chain)
		i->in_chain = true;
}

static void live_opened(struct live *l, const struct plait_transport *t,
			const char *label)
{
	struct live_thing *thing;

	live_born(l, LIVE_CONNECTION, t, t->ops->name, t->ops->name, OPEN);
	thing = live_find(l, t);
	if (thing != NULL)
		snprintf(thing->label, sizeof(thing->label), "%s", label);
}

static void live_connection_is(struct live *l, const void *object,
			       unsigned phase)
{
	struct live_thing *t = live_find(l, object);

	if (t != NULL && t->state / READS < phase)
		live_becomes(l, t, phase * READS + t->state % READS);
}

static void live_has_read(struct live *l, const void *object)
{
	struct live_thing *t = live_find(l, object);

	if (t != NULL && t->state % READS < READS - 1)
		live_becomes(l, t, t->state + 1);
}

/* Something begins; returns true if it is that. */
static bool live_begins(struct live *l, enum trace_kind kind,
			const void *object, const char *text)
{
	switch (kind) {
	case TRACE_MADE:
		live_born(l, LIVE_DEFERRED, object, text, text, PENDING);
		return true;
	case TRACE_SET:
		live_timer_set(l, object);
		return true;
	case TRACE_WATCHED:
		live_born(l, LIVE_WATCH, object, "", NULL, 0);
		return true;
	case TRACE_OPENED:
		live_opened(l, object, text);
		return true;
	case TRACE_LISTENS:
		live_born(l, LIVE_PORT, object, "", NULL, LISTENING);
		return true;
	case TRACE_CONNECTOR:
		live_born(l, LIVE_CONNECTOR, object, "", NULL, IDLE);
		return true;
	case TRACE_SCOPE:
		live_born(l, LIVE_SCOPE, object, text, text, 0);
		return true;
	default:
		return false;
	}
}

/* Something that is alive changes. */
static void live_changes(struct live *l, enum trace_kind kind,
			 const void *object, const void *other)
{
	switch (kind) {
	case TRACE_FIRED:
		live_becomes(l, live_find(l, object), FIRED);
		break;
	case TRACE_WAITS:
		live_waits(l, object, other);
		break;
	case TRACE_READ:
		live_has_read(l, object);
		break;
	case TRACE_CLOSING:
		live_connection_is(l, object, CLOSING);
		break;
	case TRACE_PROTOCOL_LOST:
		live_connection_is(l, other, LOST);
		break;
	case TRACE_DEAF:
		live_becomes(l, live_find(l, object), CLOSED);
		break;
	case TRACE_ATTEMPT:
		live_becomes(l, live_find(l, object), CONNECTING);
		break;
	case TRACE_ENDED:
		live_becomes(l, live_find(l, object), IDLE);
		break;
	default:
		break;
	}
}

static bool live_is_end(enum trace_kind kind)
{
	switch (kind) {
	case TRACE_FREED:
	case TRACE_UNSET:
	case TRACE_DUE:
	case TRACE_UNWATCHED:
	case TRACE_CLOSED:
	case TRACE_PORT_FREED:
	case TRACE_CONNECTOR_FREED:
	case TRACE_SCOPE_FREED:
		return true;
	default:
		return false;
	}
}

static void live_take(struct live *l, enum trace_kind kind, const void *object,
		      const void *other, const char *text)
{
	if (live_is_end(kind))
		live_died(l, object);
	else if (!live_begins(l, kind, object, text))
		live_changes(l, kind, object, other);
}

/* ---- what has happened last ----------------------------------------- */

static const char *const live_words[] = {
	[TRACE_MADE] = "deferred made at",
	[TRACE_FIRED] = "deferred fired at",
	[TRACE_WAITS] = "deferred waits for the one made at",
	[TRACE_CANCEL] = "cancel at",
	[TRACE_ATTEMPT] = "begins to connect to",
	[TRACE_STOPPING] = "stops connecting",
	[TRACE_ENDED] = "connecting has ended",
	[TRACE_LOOKUP] = "looks up",
	[TRACE_LOOKED_UP] = "the lookup has ended",
	[TRACE_OPENED] = "connection opened with",
	[TRACE_READ] = "connection has read, bytes:",
	[TRACE_WRITTEN] = "connection has written, bytes:",
	[TRACE_CLOSING] = "connection is being closed",
	[TRACE_CLOSED] = "connection closed",
	[TRACE_FREED] = "deferred ended, made at",
	[TRACE_LATE] = "deferred fired too late at",
	[TRACE_SET] = "timer started",
	[TRACE_UNSET] = "timer stopped",
	[TRACE_DUE] = "timer runs",
	[TRACE_LISTENS] = "port opened",
	[TRACE_DEAF] = "port accepts nobody any more",
	[TRACE_PROTOCOL_LOST] = "protocol lost its connection",
	[TRACE_LEAVE] = "back in the loop",
};

enum { N_WORDS = sizeof(live_words) / sizeof(*live_words) };

static void live_remember(struct live *l, enum trace_kind kind,
			  const char *text, size_t n)
{
	struct live_event *e = &l->tail[l->events % LIVE_TAIL];
	bool has_label = kind == TRACE_ATTEMPT || kind == TRACE_LOOKUP ||
			 kind == TRACE_OPENED;

	if ((size_t)kind >= N_WORDS || live_words[kind] == NULL)
		return;
	e->kind = kind;
	e->when = l->clock(l);
	e->n = n;
	e->place = has_label ? NULL : text;
	e->label[0] = '\0';
	if (has_label)
		snprintf(e->label, sizeof(e->label), "%s", text);
	l->events++;
}

static void live_print_time(struct print *p, int64_t when)
{
	plait_i_print(p, "%" PRId64 ".%03d", when / 1000000000,
		      (int)(when / 1000000 % 1000));
}

static void live_print_event(struct print *p, const struct live_event *e)
{
	plait_i_print(p, "    ");
	live_print_time(p, e->when);
	plait_i_print(p, "  %s", live_words[e->kind]);
	if (e->place != NULL || e->label[0] != '\0')
		plait_i_print(p, " %s", e->place != NULL ? e->place : e->label);
	if (e->n != 0)
		plait_i_print(p, " %zu", e->n);
	plait_i_print(p, "\n");
}

void plait_i_live_print_tail(const struct live *l, struct print *p)
{
	size_t first = l->events > LIVE_TAIL ? l->events - LIVE_TAIL : 0;

	for (size_t i = first; i < l->events; i++)
		live_print_event(p, &l->tail[i % LIVE_TAIL]);
}

/* ---- what is left --------------------------------------------------- */

static const char *live_state_of(const struct live_thing *t)
{
	static const char *const deferreds[] = { "pending", "waiting",
						 "fired, and still held" };
	static const char *const connections[] = { "open", "closing", "lost" };

	switch (t->site->kind) {
	case LIVE_DEFERRED:
		return deferreds[t->state];
	case LIVE_CONNECTION:
		return connections[t->state / READS];
	case LIVE_PORT:
		return t->state == LISTENING ? "listening"
					     : "closed, and not freed";
	case LIVE_CONNECTOR:
		return t->state == CONNECTING ? "connecting" : "not freed";
	default:
		return "";
	}
}

static void live_print_thing(struct print *p, const struct live_thing *t)
{
	static const char *const names[] = {
		[LIVE_DEFERRED] = "deferred", [LIVE_TIMER] = "timer",
		[LIVE_WATCH] = "watch",	      [LIVE_CONNECTION] = "connection",
		[LIVE_PORT] = "port",	      [LIVE_CONNECTOR] = "connector",
		[LIVE_SCOPE] = "scope",
	};
	const char *state = live_state_of(t);

	plait_i_print(p, "    %s", names[t->site->kind]);
	if (t->site->kind == LIVE_CONNECTION)
		plait_i_print(p, " with %s (%s)", t->label, t->site->name);
	else if (t->site->name != NULL)
		plait_i_print(p, " made at %s", t->site->name);
	else if (t->site->kind == LIVE_TIMER)
		plait_i_print(p, " that calls %p", t->site->place);
	if (*state != '\0')
		plait_i_print(p, ", %s", state);
	plait_i_print(p, ", since ");
	live_print_time(p, t->since);
	plait_i_print(p, "\n");
}

/* The newest things of each site, as many as there are too many. */
void plait_i_live_print_left(const struct live *l, struct print *p)
{
	struct plait_list *at;
	size_t shown = 0;

	plait_list_for_each (at, &l->sites) {
		const struct live_site *s =
			plait_container(at, const struct live_site, link);
		const struct plait_list *thing = s->things.prev;

		for (size_t n = live_excess(s); n > 0; n--) {
			if (shown++ < SHOWN)
				live_print_thing(
					p,
					plait_container(thing,
							const struct live_thing,
							link));
			thing = thing->prev;
		}
	}
	if (shown > SHOWN)
		plait_i_print(p, "    and %zu more\n", shown - SHOWN);
}

/* ---- listening ------------------------------------------------------ */

static void live_hear(struct trace_listener *listener, enum trace_kind kind,
		      const void *object, const void *other, const char *text,
		      size_t n)
{
	struct live *l = plait_container(listener, struct live, listener);

	live_take(l, kind, object, other, text);
	live_remember(l, kind, text, n);
	l->tell(l, kind, object, text);
}

void plait_i_live_begin(struct live *l)
{
	plait_list_init(&l->sites);
	l->listener.tell = live_hear;
	plait_i_trace_listen(&l->listener);
}

void plait_i_live_end(struct live *l)
{
	struct plait_list *at;

	plait_i_trace_listen_no_more(&l->listener);
	while ((at = plait_list_first(&l->sites)) != NULL) {
		plait_list_remove(at);
		free(plait_container(at, struct live_site, link));
	}
	while (l->chunks != NULL) {
		struct live_chunk *chunk = l->chunks;

		l->chunks = chunk->next;
		free(chunk);
	}
}

void plait_i_live_mark(struct live *l)
{
	struct plait_list *at;

	plait_list_for_each (at, &l->sites) {
		struct live_site *s =
			plait_container(at, struct live_site, link);

		s->marked = s->count;
		s->pending = s->counts[PENDING];
	}
	l->left = 0;
	memset(l->gone, 0, sizeof(l->gone));
	l->events = 0;
}

size_t plait_i_live_pending(const struct live *l)
{
	struct plait_list *at;
	size_t n = 0;

	plait_list_for_each (at, &l->sites) {
		const struct live_site *s =
			plait_container(at, const struct live_site, link);

		if ((s->kind == LIVE_DEFERRED || s->kind == LIVE_PORT) &&
		    s->counts[PENDING] > s->pending)
			n += s->counts[PENDING] - s->pending;
	}
	return n;
}

void plait_i_live_follow(struct live *l, const void *deferred)
{
	struct live_thing *t = live_find(l, deferred);

	if (t != NULL)
		t->in_chain = true;
}

bool plait_i_live_in_chain(const struct live *l, const void *deferred)
{
	const struct live_thing *t = live_find(l, deferred);

	return t != NULL && t->in_chain;
}

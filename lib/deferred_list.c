/*
 * Lists, gathers and races of deferreds: one deferred for many.
 *
 * All three are one struct, with flags.  Each member tells it of its result
 * by a pair at its end; the first that decides fires, and what comes after
 * that is freed.  The struct lives until every member has ended and the
 * deferred it stands for has let go of it, so that the members can be
 * cancelled as long as anybody could ask for it.
 */
#include <stdio.h>
#include <stdlib.h>

#include <plait/deferred_list.h>

#include "lib/deferred.h"

const struct plait_error plait_error_first = {
	"FirstError", "One of several operations failed.", &plait_error_any
};
const struct plait_error plait_error_group = {
	"FailureGroup", "All of several operations failed.", &plait_error_any
};

/* Flags of a race, beside the public ones. */
enum { IS_RACE = 8 };

struct member {
	struct combined *all;
	struct plait_deferred *deferred; /* NULL once it has ended */
};

struct combined {
	struct plait_promise *promise;
	struct plait_values *values;
	size_t n, pending;
	size_t started; /* members that have the pair */
	unsigned flags;
	unsigned refs; /* the deferred's, and that of work on the members */
	bool cancelling;
	struct member members[];
};

/* ---- the values ----------------------------------------------------- */

static void free_values(void *ptr)
{
	struct plait_values *values = ptr;

	for (size_t i = 0; i < values->count; i++)
		plait_value_free(&values->items[i]);
	free(values);
}

static int format_values(const void *ptr, char *buf, size_t size)
{
	return snprintf(buf, size, "<%zu values>",
			((const struct plait_values *)ptr)->count);
}

const struct plait_type plait_values_type = {
	.name = "values",
	.free = free_values,
	.format = format_values,
};

struct plait_values *plait_value_values(const plait_value *v)
{
	return plait_value_get(v, &plait_values_type);
}

static void free_indexed(void *ptr)
{
	struct plait_indexed *indexed = ptr;

	plait_value_free(&indexed->value);
	free(indexed);
}

static int format_indexed(const void *ptr, char *buf, size_t size)
{
	const struct plait_indexed *indexed = ptr;
	char text[128];

	plait_value_str(&indexed->value, text, sizeof(text));
	return snprintf(buf, size, "%zu: %s", indexed->index, text);
}

const struct plait_type plait_indexed_type = {
	.name = "indexed value",
	.free = free_indexed,
	.format = format_indexed,
};

struct plait_indexed *plait_value_indexed(const plait_value *v)
{
	return plait_value_get(v, &plait_indexed_type);
}

/* v is taken; with no memory what comes of it is that. */
static plait_value make_indexed(size_t index, plait_value v)
{
	struct plait_indexed *indexed = malloc(sizeof(*indexed));

	if (indexed == NULL) {
		plait_value_free(&v);
		return plait_no_memory();
	}
	*indexed = (struct plait_indexed){ index, v };
	return plait_value_make(&plait_indexed_type, indexed);
}

static struct plait_values *new_values(size_t count)
{
	struct plait_values *values;

	if (count > (SIZE_MAX - sizeof(*values)) / sizeof(plait_value))
		return NULL;
	values = calloc(1, sizeof(*values) + count * sizeof(plait_value));
	if (values == NULL)
		return NULL;
	values->count = count;
	values->items = (plait_value *)(void *)(values + 1);
	return values;
}

/* ---- deciding ------------------------------------------------------- */

static void unref(struct combined *c)
{
	if (--c->refs > 0 || c->pending > 0)
		return;
	if (c->values != NULL)
		free_values(c->values);
	free(c);
}

static void cancel_members(struct combined *c)
{
	c->refs++;
	c->cancelling = true;
	for (size_t i = 0; i < c->n; i++) {
		if (c->members[i].deferred == NULL)
			continue;
		if (i >= c->started)
			c->pending--;
		plait_deferred_free(&c->members[i].deferred);
	}
	unref(c);
}

static void fire_all(struct combined *c)
{
	struct plait_values *values = c->values;
	plait_value v = plait_value_make(&plait_values_type, values);

	c->values = NULL;
	if (c->flags & IS_RACE)
		v = plait_fail_with(&plait_error_group, v,
				    "all of %zu failed", values->count);
	plait_fire(&c->promise, v);
}

static void fire_first_success(struct combined *c, size_t index)
{
	plait_value v = make_indexed(index,
				     plait_take(&c->values->items[index]));

	if (c->flags & IS_RACE)
		cancel_members(c);
	plait_fire(&c->promise, v);
}

static void fire_first_failure(struct combined *c, size_t index)
{
	plait_value v = plait_take(&c->values->items[index]);

	plait_fire(&c->promise,
		   plait_fail_with(&plait_error_first, make_indexed(index, v),
				   "of member %zu", index));
}

static void decide(struct combined *c, size_t index)
{
	bool failed = plait_value_is_failure(&c->values->items[index]);

	if (!failed && (c->flags & PLAIT_FIRE_ON_ONE_CALLBACK))
		fire_first_success(c, index);
	else if (failed && (c->flags & PLAIT_FIRE_ON_ONE_ERRBACK))
		fire_first_failure(c, index);
	else if (c->pending == 0)
		fire_all(c);
}

/* What a member answers to being cancelled by its owner is no news. */
static bool wants_report(const struct combined *c, const plait_value *v)
{
	return plait_value_is_failure(v) && !c->cancelling &&
	       !(c->flags & (PLAIT_CONSUME_ERRORS | IS_RACE));
}

static void end_member(struct member *m, plait_value v)
{
	struct combined *c = m->all;
	size_t index = (size_t)(m - c->members);

	c->pending--;
	c->refs++;
	if (wants_report(c, &v))
		plait_unhandled(plait_value_failure(&v));
	if (!plait_promise_is_cancelled(c->promise)) {
		c->values->items[index] = v;
		decide(c, index);
	} else {
		plait_value_free(&v);
	}
	unref(c);
}

/* The pair at the end of each member; it may be freed without running it. */
static plait_value member_done(plait_value *result, void *arg)
{
	struct member *m = arg;

	plait_deferred_detach(&m->deferred);
	end_member(m, plait_take(result));
	return PLAIT_NONE;
}

static void member_dropped(void *arg)
{
	end_member(arg, plait_cancelled());
}

/* ---- making --------------------------------------------------------- */

static plait_value cancel_all(struct plait_deferred *d, void *arg)
{
	struct combined *c = arg;

	cancel_members(c);
	plait_promise_drop(&c->promise);
	return plait_cancelled();
}

static void let_go(void *arg, bool detached)
{
	struct combined *c = arg;

	if (!detached)
		cancel_members(c);
	unref(c);
}

static struct combined *new_combined(size_t n, unsigned flags)
{
	struct combined *c;

	if (n > (SIZE_MAX - sizeof(*c)) / sizeof(struct member))
		return NULL;
	c = malloc(sizeof(*c) + n * sizeof(struct member));
	if (c == NULL)
		return NULL;
	*c = (struct combined){ .n = n,
				.pending = n,
				.flags = flags,
				.refs = 1 };
	c->values = new_values(n);
	if (c->values == NULL) {
		free(c);
		return NULL;
	}
	return c;
}

static void free_members(struct plait_deferred **members, size_t n)
{
	for (size_t i = 0; i < n; i++)
		plait_deferred_free(&members[i]);
}

static void take_members(struct combined *c, struct plait_deferred **members)
{
	for (size_t i = 0; i < c->n; i++) {
		c->members[i] = (struct member){ c, members[i] };
		members[i] = NULL;
	}
}

/* Members that have fired may decide at once, and end those after them. */
static void start_members(struct combined *c)
{
	c->refs++;
	if (c->n == 0)
		fire_all(c);
	for (size_t i = 0; i < c->n; i++) {
		struct member *m = &c->members[i];

		if (m->deferred == NULL)
			continue;
		c->started = i + 1;
		deferred_add_guarded(m->deferred, member_done, m,
				     member_dropped);
	}
	unref(c);
}

static struct plait_deferred *combine(struct plait_deferred **members,
				      size_t n, unsigned flags,
				      const char *where)
{
	struct combined *c = new_combined(n, flags);
	struct plait_deferred *d;

	if (c == NULL) {
		free_members(members, n);
		return plait_failed_at(plait_no_memory(), where);
	}
	d = plait_deferred_new_at(&c->promise, cancel_all, c, where);
	if (c->promise == NULL) {
		free_members(members, n);
		c->pending = 0;
		unref(c);
		return d;
	}
	deferred_set_rest(d, let_go);
	take_members(c, members);
	start_members(c);
	return d;
}

struct plait_deferred *plait_deferred_list_at(struct plait_deferred **members,
					      size_t n, unsigned flags,
					      const char *where)
{
	return combine(members, n,
		       flags & (PLAIT_FIRE_ON_ONE_CALLBACK |
				PLAIT_FIRE_ON_ONE_ERRBACK |
				PLAIT_CONSUME_ERRORS),
		       where);
}

struct plait_deferred *plait_gather_at(struct plait_deferred **members,
				       size_t n, unsigned flags,
				       const char *where)
{
	return combine(members, n,
		       PLAIT_FIRE_ON_ONE_ERRBACK |
			       (flags & PLAIT_CONSUME_ERRORS),
		       where);
}

struct plait_deferred *plait_race_at(struct plait_deferred **members, size_t n,
				     const char *where)
{
	return combine(members, n, PLAIT_FIRE_ON_ONE_CALLBACK | IS_RACE,
		       where);
}

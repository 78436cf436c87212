/*
 * Lists, gathers and races of deferreds: one deferred for many.
 *
 * All three are one struct, with flags.  Each member has a pair at its end that
 * tells the struct its result.  The first result that decides fires the
 * deferred; later results are freed.  The struct lives until every member has
 * ended and the deferred that it stands for has let go of it.  So the members
 * can be cancelled as long as anybody could ask for that.
 */
#include <stdlib.h>

#include <plait/deferred_list.h>

#include "lib/deferred.h"
#include "lib/failure.h"
#include "lib/fork.h"
#include "lib/value.h"

/*
 * These functions are defined here.  Calls in this file say the place
 * themselves.
 */
#undef plait_deferred_list
#undef plait_gather
#undef plait_race

const struct plait_error plait_error_first = {
	.name = "FirstError",
	.text = "One of several operations failed.",
	.parent = &plait_error_any,
};
const struct plait_error plait_error_group = {
	.name = "FailureGroup",
	.text = "All of several operations failed.",
	.parent = &plait_error_any,
};

/* A flag of races, in addition to the public flags. */
enum { IS_RACE = 8 };

struct member {
	struct combined *all;
	struct plait_deferred *deferred; /* NULL once it has ended */
};

struct combined {
	struct deferred_group group;
	struct plait_promise *promise;
	struct plait_deferred *deferred; /* until it has let go */
	struct plait_values *values;	 /* NULL once decided */
	const char *where;
	size_t n;
	size_t started; /* how many of the first members have the pair */
	size_t pending; /* how many members have not run the pair */
	size_t ended;	/* how many of the first members were told to end */
	unsigned flags;
	unsigned refs;	/* of the deferred, and of calls under way */
	unsigned forks; /* how many forks there had been when it was made */
	bool ending;	/* the members end because nobody wants them */
	bool held;	/* ... and the deferred waits until they have ended */
	bool lets_go;	/* the deferred has let_go() as its rest */
	struct member members[];
};

/* ---- the values ----------------------------------------------------- */

/* Takes v.  With no memory the result is the no-memory failure. */
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

/* ---- the members ---------------------------------------------------- */

static void forget_values(struct combined *c)
{
	plait_value v = PLAIT_NONE;

	if (c->values != NULL)
		v = plait_value_make(&plait_values_type, c->values);
	c->values = NULL;
	plait_value_free(&v);
}

static void list_unref(struct combined *c)
{
	if (--c->refs > 0 || c->pending > 0)
		return;
	forget_values(c);
	free(c);
}

static deferred_feed member_done;
static deferred_feed_drop member_dropped;

/*
 * Adds the pair.  A member that has already fired ends at once, and may decide.
 */
static void start_next_member(struct combined *c)
{
	struct member *m = &c->members[c->started++];

	plait_i_deferred_add_feed(m->deferred, member_done, m, member_dropped);
}

/*
 * Returns the next member to end, or NULL if there is none.  A member that has
 * no pair yet gets it, so that all members end in the same way.
 */
static struct member *next_to_end(struct combined *c)
{
	while (c->ended < c->n) {
		struct member *m = &c->members[c->ended];

		if (c->ended == c->started)
			start_next_member(c);
		c->ended++;
		if (m->deferred != NULL)
			return m;
	}
	return NULL;
}

/* The place that cancelled the members is the place that cancelled the list. */
static void end_members(struct combined *c)
{
	struct member *m;

	c->refs++;
	while ((m = next_to_end(c)) != NULL)
		(plait_deferred_free)(&m->deferred, c->where);
	list_unref(c);
}

/* Nobody waits for the members any more. */
static void begin_to_give_up(struct combined *c)
{
	c->ending = true;
	c->refs++;
	forget_values(c);
}

/*
 * If a callback or the canceller of a member is on the stack, the member ends
 * after this function has returned, and the deferred waits for that.
 */
static void end_giving_up(struct combined *c)
{
	if (c->pending > 0 && !c->held) {
		c->held = true;
		plait_i_deferred_hold(c->deferred);
	}
	list_unref(c);
}

/* ---- deciding ------------------------------------------------------- */

static bool is_of_freeing(const plait_value *v)
{
	return plait_value_is_failure(v) &&
	       plait_i_deferred_is_of_freeing(plait_value_failure(v));
}

/* If all failures in v come from freeing, v comes from freeing, too. */
static plait_value make_of_freeing(plait_value v)
{
	struct plait_failure *f = v.ptr;

	if (f != &plait_i_failure_no_memory)
		f->reason = plait_i_deferred_freed_reason;
	return v;
}

static plait_value group_error(const struct combined *c,
			       struct plait_values *values)
{
	bool of_freeing = values->count > 0;
	plait_value v;

	for (size_t i = 0; i < values->count; i++)
		of_freeing = of_freeing && is_of_freeing(&values->items[i]);
	v = (plait_fail_with)(c->where, &plait_error_group,
			      plait_value_make(&plait_values_type, values),
			      "all of %zu members failed", c->n);
	return of_freeing ? make_of_freeing(v) : v;
}

static plait_value all_values(struct combined *c)
{
	struct plait_values *values = c->values;

	c->values = NULL;
	return c->flags & IS_RACE
		       ? group_error(c, values)
		       : plait_value_make(&plait_values_type, values);
}

static plait_value first_error(struct combined *c, size_t index, plait_value v)
{
	bool of_freeing = is_of_freeing(&v);
	char text[256];

	plait_value_str(&v, text, sizeof(text));
	v = make_indexed(index, v);
	if (!plait_value_is(&v, &plait_indexed_type))
		return v;
	v = (plait_fail_with)(c->where, &plait_error_first, v,
			      "member %zu failed: %s", index, text);
	return of_freeing ? make_of_freeing(v) : v;
}

/*
 * Says that the deferred is to be fired with v, which is taken.  If no member
 * is left, there is no rest that could be stopped.
 */
static struct plait_promise *list_fire(struct combined *c, plait_value v,
				       struct deferred_fed *ret)
{
	struct plait_promise *p = c->promise;

	c->promise = NULL;
	ret->value = v;
	if (c->pending == 0 && c->lets_go) {
		c->lets_go = false;
		plait_i_deferred_set_rest(c->deferred, NULL);
		list_unref(c);
	}
	return p;
}

/*
 * One result has decided; the results of the other members are not wanted any
 * more.
 */
static struct plait_promise *fire_early(struct combined *c, size_t index,
					bool failed, struct deferred_fed *ret)
{
	plait_value v = plait_value_take(&c->values->items[index]);

	forget_values(c);
	if (c->flags & IS_RACE)
		end_members(c);
	v = failed ? first_error(c, index, v) : make_indexed(index, v);
	return list_fire(c, v, ret);
}

static struct plait_promise *list_decide(struct combined *c, size_t index,
					 struct deferred_fed *ret)
{
	bool failed = plait_value_is_failure(&c->values->items[index]);
	unsigned early = failed ? PLAIT_DEFERRED_LIST_FIRE_ON_ONE_ERRBACK
				: PLAIT_DEFERRED_LIST_FIRE_ON_ONE_CALLBACK;

	if (c->flags & early)
		return fire_early(c, index, failed, ret);
	return c->pending == 0 ? list_fire(c, all_values(c), ret) : NULL;
}

/*
 * A member that was cancelled because all members are given up is not reported.
 */
static bool list_wants_report(const struct combined *c, const plait_value *v)
{
	if (c->flags & (PLAIT_DEFERRED_LIST_CONSUME_ERRORS | IS_RACE) ||
	    fork_inherited(c->forks) || !plait_value_is_failure(v) ||
	    is_of_freeing(v))
		return false;
	return !c->ending || !plait_failure_check(plait_value_failure(v),
						  &plait_error_cancelled);
}

/* Takes v.  Says what is to be fired, if v decides. */
static struct plait_promise *end_member(struct member *m, plait_value v,
					struct deferred_fed *ret)
{
	struct combined *c = m->all;
	size_t index = (size_t)(m - c->members);

	c->pending--;
	if (list_wants_report(c, &v))
		plait_report_unhandled(plait_value_failure(&v));
	if (c->values != NULL) {
		c->values->items[index] = v;
		return list_decide(c, index, ret);
	}
	plait_value_free(&v);
	return NULL;
}

/*
 * Returns the deferred, if it was held for the members and the last member has
 * ended.
 */
static struct plait_deferred *no_longer_held(struct combined *c)
{
	if (!c->held || c->pending > 0)
		return NULL;
	c->held = false;
	return c->deferred;
}

/*
 * The pair at the end of each member.  The member is freed then: otherwise what
 * a list that has fired early has left would go on although nobody wants it.
 */
static struct plait_promise *member_done(plait_value *result, void *arg,
					 struct deferred_fed *ret)
{
	struct member *m = arg;
	struct combined *c = m->all;
	plait_value v = plait_value_take(result);
	struct plait_promise *p;
	struct plait_deferred *held;

	c->refs++;
	plait_deferred_free(&m->deferred);
	p = end_member(m, v, ret);
	held = no_longer_held(c);
	list_unref(c);
	if (held != NULL)
		plait_i_deferred_release(held);
	return p;
}

/*
 * The member was freed before it came to its pair, so it decides nothing.  Its
 * failure, which the callback that freed it may have had, is reported or not,
 * as that of any member.
 */
static struct plait_deferred *member_dropped(plait_value *result, void *arg)
{
	struct member *m = arg;
	struct combined *c = m->all;
	struct plait_deferred *held;

	if (!list_wants_report(c, result))
		plait_value_free(result);
	c->pending--;
	plait_assert(c->values == NULL);
	held = no_longer_held(c);
	c->refs++;
	list_unref(c);
	return held;
}

/* ---- making --------------------------------------------------------- */

/*
 * The part before was cancelled.  It is freed when the next part is asked for.
 */
static struct plait_deferred *next_part(struct deferred_group *g,
					struct plait_deferred *d)
{
	struct combined *c = plait_container(g, struct combined, group);
	struct member *m;

	if (c->promise != NULL) {
		plait_promise_drop(&c->promise);
		begin_to_give_up(c);
	}
	if (c->ended > 0)
		plait_i_deferred_free_part(&c->members[c->ended - 1].deferred,
					   c->where);
	m = next_to_end(c);
	if (m != NULL)
		return m->deferred;
	end_giving_up(c);
	return NULL;
}

static void let_go(void *arg, bool detached)
{
	struct combined *c = arg;

	c->lets_go = false;
	if (!detached) {
		begin_to_give_up(c);
		end_members(c);
		end_giving_up(c);
	}
	list_unref(c);
}

static struct combined *new_combined(size_t n, unsigned flags,
				     const char *where)
{
	struct combined *c;

	plait_assert(n <= SIZE_MAX / 4 / sizeof(struct member));
	c = malloc(sizeof(*c) + n * sizeof(struct member));
	if (c == NULL)
		return NULL;
	*c = (struct combined){
		.group = { next_part, plait_i_deferred_freed_reason, where },
		.where = where,
		.n = n,
		.pending = n,
		.flags = flags,
		.refs = 1,
		.forks = fork_count()
	};
	c->values = plait_i_values_new(n);
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

/* If the same deferred is given twice, this is noticed.  NULL is no memory. */
static void take_members(struct plait_deferred **members, size_t n,
			 const char *where)
{
	for (size_t i = 0; i < n; i++) {
		members[i] = deferred_given(members[i]);
		plait_i_deferred_take(members[i], where);
	}
}

static void move_members(struct combined *c, struct plait_deferred **members)
{
	for (size_t i = 0; i < c->n; i++) {
		c->members[i] = (struct member){ c, members[i] };
		members[i] = NULL;
	}
}

static void start_members(struct combined *c)
{
	struct deferred_fed fed;
	struct plait_promise *p;

	c->refs++;
	while (c->started < c->n)
		start_next_member(c);
	if (c->n == 0) {
		p = list_fire(c, all_values(c), &fed);
		plait_fire(&p, fed.value);
	}
	list_unref(c);
}

static struct plait_deferred *list_combine(struct plait_deferred **members,
					   size_t n, unsigned flags,
					   const char *where)
{
	struct combined *c;
	struct plait_deferred *d;

	take_members(members, n, where);
	c = new_combined(n, flags, where);
	if (c == NULL) {
		free_members(members, n);
		return (plait_failed)(plait_no_memory(), where);
	}
	d = plait_i_deferred_new_group(&c->promise, &c->group, where);
	if (c->promise == NULL) {
		free_members(members, n);
		c->pending = 0;
		list_unref(c);
		return d;
	}
	c->deferred = d;
	c->lets_go = true;
	plait_i_deferred_set_rest(d, let_go);
	move_members(c, members);
	start_members(c);
	return d;
}

struct plait_deferred *plait_deferred_list(struct plait_deferred **members,
					   size_t n, unsigned flags,
					   const char *where)
{
	return list_combine(members, n,
			    flags & (PLAIT_DEFERRED_LIST_FIRE_ON_ONE_CALLBACK |
				     PLAIT_DEFERRED_LIST_FIRE_ON_ONE_ERRBACK |
				     PLAIT_DEFERRED_LIST_CONSUME_ERRORS),
			    where);
}

struct plait_deferred *plait_gather(struct plait_deferred **members, size_t n,
				    unsigned flags, const char *where)
{
	return list_combine(
		members, n,
		PLAIT_DEFERRED_LIST_FIRE_ON_ONE_ERRBACK |
			(flags & PLAIT_DEFERRED_LIST_CONSUME_ERRORS),
		where);
}

struct plait_deferred *plait_race(struct plait_deferred **members, size_t n,
				  const char *where)
{
	return list_combine(members, n,
			    PLAIT_DEFERRED_LIST_FIRE_ON_ONE_CALLBACK | IS_RACE,
			    where);
}

/*
 * Events, which wake all who wait.
 *
 * Those who wait are a round: the next wake takes the whole round out of the
 * event and tells it one by one, and whoever comes meanwhile begins a new
 * round.  So nobody is woken twice by one wake.  A wake from inside a callback
 * only appends its round to those that are being told; the call further up the
 * stack tells them in turn, and the stack does not grow.  A round is made by
 * the first wait in it, so a wake needs no memory.
 */
#include <errno.h>
#include <stdlib.h>

#include <plait/event.h>

#include "lib/value.h"
#include "lib/waiters.h"

/* Defined here; whoever calls it here says the place. */
#undef plait_event_wait

struct round {
	struct plait_list link;
	struct waiters waiters;
	plait_value value; /* once it is woken */
};

struct plait_event {
	struct round *next;	  /* who waits; NULL: nobody has come yet */
	struct plait_list rounds; /* that were woken, and are being told */
	plait_value value;	  /* while it is set */
	unsigned refs; /* the program's, and those of calls under way */
	bool telling, set, freed;
};

struct plait_event *plait_event_new(void)
{
	struct plait_event *e = malloc(sizeof(*e));

	if (e == NULL)
		return NULL;
	*e = (struct plait_event){ .refs = 1 };
	plait_list_init(&e->rounds);
	return e;
}

static void event_unref(struct plait_event *e)
{
	plait_value v;

	if (--e->refs > 0)
		return;
	v = e->value;
	free(e);
	plait_value_free(&v);
}

static void round_free(struct round *r)
{
	plait_value v = r->value;

	plait_list_remove(&r->link);
	free(r);
	plait_value_free(&v);
}

/* A callback may free the event, which tells all: each time look anew. */
static void event_tell(struct plait_event *e)
{
	struct plait_list *first;

	e->telling = true;
	e->refs++;
	while ((first = plait_list_first(&e->rounds)) != NULL) {
		struct round *r = plait_container(first, struct round, link);
		struct plait_promise *p;

		if (r->waiters.count == 0) {
			round_free(r);
			continue;
		}
		p = plait_i_waiters_pop(&r->waiters);
		plait_fire(&p, plait_value_ref(&r->value));
	}
	e->telling = false;
	event_unref(e);
}

/* Takes v, and ends the round of those who wait, if there is one. */
static void event_end_round(struct plait_event *e, plait_value v)
{
	struct round *r = e->next;

	if (r == NULL) {
		plait_value_free(&v);
		return;
	}
	e->next = NULL;
	r->value = v;
	plait_list_append(&e->rounds, &r->link);
}

static plait_value freed_failure(void)
{
	return plait_fail(&plait_error_abandoned, "the event was freed");
}

void plait_event_free(struct plait_event **ep)
{
	struct plait_event *e = ep != NULL ? *ep : NULL;

	if (e == NULL)
		return;
	*ep = NULL;
	e->freed = true;
	if (e->next != NULL)
		event_end_round(e, freed_failure());
	event_tell(e);
	event_unref(e);
}

void plait_event_cleanup(struct plait_event **ep)
{
	plait_event_free(ep);
}

static struct plait_deferred *event_join(struct plait_event *e,
					 const char *where)
{
	if (e->next == NULL) {
		struct round *r = malloc(sizeof(*r));

		if (r == NULL)
			return (plait_failed)(plait_no_memory(), where);
		*r = (struct round){ .value = PLAIT_NONE };
		plait_i_waiters_init(&r->waiters);
		e->next = r;
	}
	return plait_i_waiters_add(&e->next->waiters, where);
}

struct plait_deferred *plait_event_wait(struct plait_event *e,
					const char *where)
{
	if (e == NULL)
		return (plait_failed)(plait_no_memory(), where);
	if (e->freed)
		return (plait_failed)(freed_failure(), where);
	if (e->set)
		return (plait_maybe_deferred)(plait_value_ref(&e->value),
					      where);
	return event_join(e, where);
}

/* 0 if many can have v; else v is freed. */
static int event_accept(const struct plait_event *e, plait_value *v)
{
	int r = 0;

	if (e == NULL)
		r = -ENOMEM;
	else if (value_has_one_owner(v))
		r = -EINVAL;
	if (r < 0)
		plait_value_free(v);
	return r;
}

/*
 * One that is under way further up the stack tells these as well.  If nobody
 * waits, v is freed, and that may free the event.
 */
static void event_wake(struct plait_event *e, plait_value v)
{
	e->refs++;
	event_end_round(e, v);
	if (!e->telling)
		event_tell(e);
	event_unref(e);
}

int plait_event_wake(struct plait_event *e, plait_value v)
{
	int r = event_accept(e, &v);

	if (r == 0)
		event_wake(e, v);
	return r;
}

int plait_event_set(struct plait_event *e, plait_value v)
{
	int r = event_accept(e, &v);
	plait_value old;

	if (r < 0)
		return r;
	old = e->value;
	e->value = plait_value_ref(&v);
	e->set = true;
	event_wake(e, v);
	plait_value_free(&old);
	return 0;
}

void plait_event_clear(struct plait_event *e)
{
	plait_value old;

	if (e == NULL || !e->set)
		return;
	old = e->value;
	e->value = PLAIT_NONE;
	e->set = false;
	plait_value_free(&old);
}

bool plait_event_is_set(const struct plait_event *e)
{
	return e != NULL && e->set;
}

size_t plait_event_waiting(const struct plait_event *e)
{
	return e != NULL && e->next != NULL ? e->next->waiters.count : 0;
}

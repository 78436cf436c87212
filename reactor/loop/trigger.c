/*
 * Triggers: functions for the phases of the startup and the shutdown.
 *
 * A trigger may be added or removed by any other, or by itself, while its
 * phase is being fired: the place in the list is kept by a cursor that is a
 * node of the same list.  If a trigger is removed while the shutdown waits for
 * its deferred, it is freed when the deferred has fired.
 */
#include <errno.h>
#include <stdlib.h>

#include <plait/deferred.h>

#include "lib/deferred.h"
#include "lib/exception.h"
#include "lib/unhandled.h"
#include "reactor/loop/parts.h"

struct trigger {
	struct plait_list link;
	struct plait_reactor *reactor;
	uint64_t id; /* 0: removed, or a cursor */
	plait_trigger_func *fn;
	void *arg;
	bool busy; /* fn runs, or its deferred is waited for */
	struct plait_deferred *deferred;
};

/* What plait_call_when_running() keeps. */
struct when_running {
	struct plait_list link;
	plait_func *fn;
	void *arg;
};

static struct trigger *trigger_from_link(struct plait_list *l)
{
	return plait_container(l, struct trigger, link);
}

void plait_i_trigger_init(struct plait_reactor *r)
{
	for (int event = 0; event < 2; event++) {
		for (int phase = 0; phase < 3; phase++)
			plait_list_init(&r->triggers.lists[event][phase]);
	}
	plait_list_init(&r->triggers.removed);
	plait_list_init(&r->triggers.when_running);
}

static bool trigger_is_phase(enum plait_trigger_phase phase,
			     enum plait_trigger_event event)
{
	return (unsigned)phase <= PLAIT_TRIGGER_AFTER &&
	       (unsigned)event <= PLAIT_TRIGGER_SHUTDOWN;
}

int plait_reactor_add_trigger(struct plait_reactor *r,
			      enum plait_trigger_phase phase,
			      enum plait_trigger_event event,
			      plait_trigger_func *fn, void *arg, uint64_t *ret)
{
	struct trigger *t;

	loop_check_given(r, "plait_reactor_add_trigger()", NULL);
	if (loop_is_forked(r))
		return -ECHILD;
	if (!trigger_is_phase(phase, event))
		return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return -ENOMEM;
	t->reactor = r;
	t->id = ++r->triggers.ids;
	t->fn = fn;
	t->arg = arg;
	plait_list_append(&r->triggers.lists[event][phase], &t->link);
	if (ret != NULL)
		*ret = t->id;
	return 0;
}

static struct trigger *trigger_find_in(struct plait_list *list, uint64_t id)
{
	struct plait_list *l;

	plait_list_for_each (l, list) {
		if (trigger_from_link(l)->id == id)
			return trigger_from_link(l);
	}
	return NULL;
}

static struct trigger *trigger_find(struct plait_reactor *r, uint64_t id)
{
	struct trigger *t = NULL;

	for (int event = 0; event < 2 && t == NULL; event++) {
		for (int phase = 0; phase < 3 && t == NULL; phase++)
			t = trigger_find_in(&r->triggers.lists[event][phase],
					    id);
	}
	return t;
}

/* Frees a trigger that was removed and is not waited for. */
static void trigger_free_removed(struct trigger *t)
{
	if (t->id != 0 || t->busy)
		return;
	plait_list_remove(&t->link);
	free(t);
}

int plait_reactor_remove_trigger(struct plait_reactor *r, uint64_t id)
{
	struct trigger *t;

	loop_check_given(r, "plait_reactor_remove_trigger()", NULL);
	t = id != 0 ? trigger_find(r, id) : NULL;
	if (loop_is_forked(r))
		return -ECHILD;
	if (t == NULL)
		return -ENOENT;
	t->id = 0;
	plait_list_remove(&t->link);
	plait_list_append(&r->triggers.removed, &t->link);
	trigger_free_removed(t);
	return 0;
}

static void trigger_end_waiting(struct trigger *t)
{
	if (t->reactor != NULL)
		t->reactor->triggers.waiting--;
	t->busy = false;
	trigger_free_removed(t);
}

static plait_value trigger_waited_for_fired(plait_value *result, void *arg)
{
	struct trigger *t = arg;

	if (t->deferred != NULL) {
		plait_deferred_detach(&t->deferred);
		trigger_end_waiting(t);
	}
	return *result;
}

static void trigger_wait_for(struct trigger *t, plait_value deferred)
{
	struct plait_deferred *d =
		plait_i_deferred_take_value(deferred, PLAIT_HERE);

	t->deferred = d;
	t->reactor->triggers.waiting++;
	plait_deferred_add_both(d, trigger_waited_for_fired, t);
}

/* Frees a value that nobody waits for; reports it if it is a failure. */
static void trigger_dispose(plait_value v)
{
	if (plait_value_is_failure(&v))
		plait_i_failure_unhandled(plait_value_failure(&v),
					  "Unhandled error in a trigger");
	plait_value_free(&v);
}

static OUT_OF_LINE void trigger_fire_one(struct trigger *t, bool may_wait)
{
	struct plait_reactor *r = t->reactor;
	plait_value v;

	t->busy = true;
	plait_i_loop_enter(r);
	v = t->fn(t->arg);
	exception_barrier();
	if (may_wait && plait_value_is(&v, &plait_deferred_type)) {
		trigger_wait_for(t, v);
	} else {
		t->busy = false;
		trigger_free_removed(t);
		trigger_dispose(v);
	}
	plait_i_loop_leave(r);
}

void plait_i_trigger_fire(struct plait_reactor *r,
			  enum plait_trigger_event event,
			  enum plait_trigger_phase phase)
{
	struct plait_list *head = &r->triggers.lists[event][phase];
	bool may_wait = event == PLAIT_TRIGGER_SHUTDOWN &&
			phase == PLAIT_TRIGGER_BEFORE;
	struct trigger cursor = { 0 };

	plait_list_insert(head->next, &cursor.link);
	while (cursor.link.next != head && !loop_is_forked(r)) {
		struct plait_list *l = cursor.link.next;

		plait_list_remove(&cursor.link);
		plait_list_insert(l->next, &cursor.link);
		trigger_fire_one(trigger_from_link(l), may_wait);
	}
	plait_list_remove(&cursor.link);
}

static struct trigger *trigger_find_waiting(struct plait_list *list)
{
	struct plait_list *l;

	plait_list_for_each (l, list) {
		if (trigger_from_link(l)->deferred != NULL)
			return trigger_from_link(l);
	}
	return NULL;
}

/* Frees the deferred, which cancels it, because nobody waits any more. */
static void trigger_stop_waiting_in(struct plait_list *list)
{
	struct trigger *t;

	while ((t = trigger_find_waiting(list)) != NULL) {
		struct plait_deferred *d = t->deferred;

		t->deferred = NULL;
		plait_deferred_free(&d);
		trigger_end_waiting(t);
	}
}

void plait_i_trigger_stop_waiting(struct plait_reactor *r)
{
	trigger_stop_waiting_in(&r->triggers.lists[PLAIT_TRIGGER_SHUTDOWN]
						  [PLAIT_TRIGGER_BEFORE]);
	trigger_stop_waiting_in(&r->triggers.removed);
}

OUT_OF_LINE int plait_call_when_running(struct plait_reactor *r, plait_func *fn,
					void *arg)
{
	struct when_running *w;

	loop_check_given(r, "plait_call_when_running()", NULL);
	if (loop_is_forked(r))
		return -ECHILD;
	if (r->running) {
		plait_i_loop_enter(r);
		fn(arg);
		exception_barrier();
		plait_i_loop_leave(r);
		return 0;
	}
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return -ENOMEM;
	w->fn = fn;
	w->arg = arg;
	plait_list_append(&r->triggers.when_running, &w->link);
	return 0;
}

static struct when_running *trigger_next_when_running(struct plait_reactor *r)
{
	struct plait_list *l = plait_list_first(&r->triggers.when_running);

	if (l == NULL)
		return NULL;
	plait_list_remove(l);
	return plait_container(l, struct when_running, link);
}

OUT_OF_LINE void plait_i_trigger_fire_when_running(struct plait_reactor *r)
{
	struct when_running *w;

	while (!loop_is_forked(r) &&
	       (w = trigger_next_when_running(r)) != NULL) {
		struct when_running call = *w;

		free(w);
		plait_i_loop_enter(r);
		call.fn(call.arg);
		exception_barrier();
		plait_i_loop_leave(r);
	}
}

/*
 * In a forked child the deferred of a trigger may still be pending.  Then the
 * trigger is freed when the deferred fires, perhaps after the child has freed
 * the reactor.
 */
static void trigger_free_all(struct plait_list *list)
{
	struct plait_list *l;

	while ((l = plait_list_first(list)) != NULL) {
		struct trigger *t = trigger_from_link(l);

		plait_list_remove(l);
		/* The cursor of another thread, which the child does not have.
		 */
		if (t->reactor == NULL)
			continue;
		t->reactor = NULL;
		t->id = 0;
		t->busy = t->deferred != NULL;
		trigger_free_removed(t);
	}
}

void plait_i_trigger_done(struct plait_reactor *r)
{
	struct when_running *w;

	for (int event = 0; event < 2; event++) {
		for (int phase = 0; phase < 3; phase++)
			trigger_free_all(&r->triggers.lists[event][phase]);
	}
	trigger_free_all(&r->triggers.removed);
	while ((w = trigger_next_when_running(r)) != NULL)
		free(w);
}

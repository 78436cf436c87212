/*
 * plait_call_later(): timers that the library allocates, and handles by value
 * that stay safe.
 *
 * A handle is the address of a slot and the number of one use of that slot.
 * Slots are used again, but not freed before the reactor.  So an old handle
 * finds a slot with another number, and knows that its call is over.
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/unhandled.h"
#include "reactor/loop/parts.h"

enum { SLOTS_PER_CHUNK = 32 };

struct plait_call_slot {
	struct plait_timer timer;
	struct call_slots *home;
	uint64_t id; /* 0: not in use */
	plait_func *fn;
	void *arg;
	struct plait_call_slot *next; /* unused one */
};

struct call_chunk {
	struct call_chunk *next;
	struct plait_call_slot slots[SLOTS_PER_CHUNK];
};

static void call_put(struct call_slots *cs, struct plait_call_slot *slot)
{
	slot->id = 0;
	slot->next = cs->unused;
	cs->unused = slot;
}

/* Returns an unused slot, or NULL if there is no memory. */
static struct plait_call_slot *call_get(struct call_slots *cs)
{
	struct plait_call_slot *slot;

	if (cs->unused == NULL) {
		struct call_chunk *chunk = calloc(1, sizeof(*chunk));

		if (chunk == NULL)
			return NULL;
		chunk->next = cs->chunks;
		cs->chunks = chunk;
		for (int i = SLOTS_PER_CHUNK; i-- > 0;) {
			chunk->slots[i].home = cs;
			call_put(cs, &chunk->slots[i]);
		}
	}
	slot = cs->unused;
	cs->unused = slot->next;
	slot->id = ++cs->ids;
	return slot;
}

void plait_i_call_done(struct plait_reactor *r)
{
	while (r->calls.chunks != NULL) {
		struct call_chunk *chunk = r->calls.chunks;

		r->calls.chunks = chunk->next;
		free(chunk);
	}
}

static void call_make(void *arg)
{
	struct plait_call_slot *slot = arg;
	plait_func *fn = slot->fn;
	void *fn_arg = slot->arg;

	call_put(slot->home, slot);
	fn(fn_arg);
}

struct plait_call plait_call_later(struct plait_reactor *r, double seconds,
				   plait_func *fn, void *arg)
{
	struct plait_call_slot *slot;

	loop_check_given(r, "plait_call_later()", NULL);
	slot = call_get(&r->calls);
	if (slot == NULL) {
		plait_value v = plait_no_memory();

		plait_i_failure_unhandled(plait_value_failure(&v),
					  "Error in plait_call_later()");
		plait_value_free(&v);
		return (struct plait_call){ 0 };
	}
	slot->fn = fn;
	slot->arg = arg;
	plait_timer_start(r, &slot->timer, seconds, call_make, slot);
	return (struct plait_call){ slot, slot->id };
}

bool plait_call_is_active(struct plait_call call)
{
	return call.slot != NULL && call.slot->id == call.id;
}

/* Returns 0 if the call can still be changed, else the error to return. */
static int call_check(struct plait_call call)
{
	if (!plait_call_is_active(call))
		return -EALREADY;
	return loop_is_forked(call.slot->timer.reactor) ? -ECHILD : 0;
}

int plait_call_cancel(struct plait_call call)
{
	int rc = call_check(call);

	if (rc < 0)
		return rc;
	plait_timer_stop(&call.slot->timer);
	call_put(call.slot->home, call.slot);
	return 0;
}

int plait_call_reset(struct plait_call call, double seconds)
{
	struct plait_timer *t;
	int rc = call_check(call);

	if (rc < 0)
		return rc;
	t = &call.slot->timer;
	plait_timer_start(t->reactor, t, seconds, t->fn, t->arg);
	return 0;
}

int plait_call_delay(struct plait_call call, double seconds)
{
	int rc = call_check(call);

	if (rc == 0)
		plait_i_timer_delay(&call.slot->timer, seconds);
	return rc;
}

int plait_call_time(struct plait_call call, double *ret)
{
	int rc = call_check(call);

	if (rc == 0)
		*ret = plait_timer_when(&call.slot->timer);
	return rc;
}

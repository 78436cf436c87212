/*
 * What the tests of deferreds are written with: see steps.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/steps.h"

static unsigned live;

void steps_setup(void)
{
	trace_clear();
	live = 0;
}

static void tracked_free(void *ptr)
{
	trace_add("~%s", (const char *)ptr);
	live--;
}

static int tracked_format(const void *ptr, char *buf, size_t size)
{
	return snprintf(buf, size, "%s", (const char *)ptr);
}

static const struct plait_type tracked_type = {
	.name = "tracked",
	.free = tracked_free,
	.format = tracked_format,
};

plait_value tracked(const char *name)
{
	live++;
	return plait_value_make(&tracked_type, (void *)(uintptr_t)name);
}

static void many_free(void *ptr)
{
	live--;
}

static void *many_ref(void *ptr)
{
	live++;
	return ptr;
}

static const struct plait_type many_type = {
	.name = "owned by many",
	.free = many_free,
	.format = tracked_format,
	.ref = many_ref,
};

plait_value owned_by_many(const char *name)
{
	live++;
	return plait_value_make(&many_type, (void *)(uintptr_t)name);
}

unsigned tracked_live(void)
{
	return live;
}

void trace_value(const char *name, const plait_value *v)
{
	char buf[128];

	plait_value_str(v, buf, sizeof(buf));
	trace_add("%s:%s", name, buf);
}

plait_value step(plait_value *result, void *arg)
{
	struct step *s = arg;

	if (s->name != NULL)
		trace_value(s->name, result);
	if (s->act != NULL)
		s->act(s, result);
	if (s->inner != NULL)
		return plait_chain(&s->inner);
	if (s->answers)
		return plait_value_take(&s->answer);
	return *result;
}

struct plait_deferred *waiting_for(struct plait_deferred **inner)
{
	struct step s = { .inner = *inner };
	struct plait_deferred *outer = plait_succeed(PLAIT_NONE);

	*inner = NULL;
	return plait_deferred_add_both(outer, step, &s);
}

static plait_value pass(plait_value *result, void *arg)
{
	trace_value(arg, result);
	return *result;
}

void pass_callback(struct plait_deferred *d, const char *name)
{
	plait_deferred_add_callback(d, pass, (void *)(uintptr_t)name);
}

void pass_errback(struct plait_deferred *d, const char *name)
{
	plait_deferred_add_errback(d, pass, (void *)(uintptr_t)name);
}

void pass_both(struct plait_deferred *d, const char *name)
{
	plait_deferred_add_both(d, pass, (void *)(uintptr_t)name);
}

plait_value count_settled(plait_value *result, void *arg)
{
	unsigned *n = arg;

	(*n)++;
	return PLAIT_NONE;
}

static plait_value swallow(plait_value *result, void *arg)
{
	return PLAIT_NONE;
}

void handle_all(struct plait_deferred *d)
{
	plait_deferred_add_errback(d, swallow, NULL);
}

void act_add(struct step *s, plait_value *result)
{
	pass_both(s->d, "added");
}

plait_value step_canceller(struct plait_deferred *d, void *arg)
{
	struct step *s = arg;

	trace_add("!%s", s->name);
	if (s->act != NULL)
		s->act(s, NULL);
	return s->answers ? plait_value_take(&s->answer) : plait_cancelled();
}

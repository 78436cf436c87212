/*
 * The ring of events, and who listens.  Recording never fails and never
 * allocates.  The newest events replace the oldest.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/trace.h"

_Thread_local struct trace_ring plait_i_trace_ring
	__attribute__((tls_model("initial-exec")));

int plait_i_trace_start(size_t events, int64_t (*clock)(void))
{
	struct trace_event *room = NULL;

	if (events <= SIZE_MAX / 2 / sizeof(*room))
		room = calloc(events, sizeof(*room));
	if (room == NULL)
		return -ENOMEM;
	plait_i_trace_stop();
	plait_i_trace_ring.events = room;
	plait_i_trace_ring.room = events;
	plait_i_trace_ring.clock = clock;
	plait_i_trace_ring.on = true;
	return 0;
}

void plait_i_trace_stop(void)
{
	struct trace_listener *listeners = plait_i_trace_ring.listeners;

	free(plait_i_trace_ring.events);
	plait_i_trace_ring = (struct trace_ring){ .on = listeners != NULL,
						  .listeners = listeners };
}

void plait_i_trace_listen(struct trace_listener *l)
{
	struct trace_listener **end = &plait_i_trace_ring.listeners;

	while (*end != NULL)
		end = &(*end)->next;
	l->next = NULL;
	*end = l;
	plait_i_trace_ring.on = true;
}

void plait_i_trace_listen_first(struct trace_listener *l)
{
	l->next = plait_i_trace_ring.listeners;
	plait_i_trace_ring.listeners = l;
	plait_i_trace_ring.on = true;
}

void plait_i_trace_listen_no_more(struct trace_listener *l)
{
	struct trace_listener **at = &plait_i_trace_ring.listeners;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	plait_i_trace_ring.on =
		plait_i_trace_ring.listeners != NULL || trace_is_recording();
}

static void trace_tell(enum trace_kind kind, const void *object,
		       const void *other, const char *text, size_t n)
{
	struct trace_listener *l = plait_i_trace_ring.listeners, *next;

	for (; l != NULL; l = next) {
		next = l->next;
		l->tell(l, kind, object, other, text, n);
	}
}

/*
 * The oldest event becomes this event.  The caller sets what belongs to its
 * kind.
 */
static struct trace_event *trace_record(enum trace_kind kind,
					const void *object)
{
	struct trace_ring *r = &plait_i_trace_ring;
	struct trace_event *e = &r->events[r->count++ % r->room];

	e->when = r->clock();
	e->object = object;
	e->cause = r->cause;
	e->kind = kind;
	return e;
}

void plait_i_trace_record(enum trace_kind kind, const void *object,
			  const void *other, const char *text, size_t n)
{
	if (trace_is_recording() && trace_kind_is_recorded(kind)) {
		struct trace_event *e = trace_record(kind, object);

		e->other = other;
		e->text = text;
		e->n = n;
	}
	trace_tell(kind, object, other, text, n);
}

void plait_i_trace_record_label(enum trace_kind kind, const void *object,
				const char *label)
{
	if (trace_is_recording()) {
		struct trace_event *e = trace_record(kind, object);

		snprintf(e->label, sizeof(e->label), "%s", label);
	}
	trace_tell(kind, object, NULL, label, 0);
}

uint32_t plait_i_trace_ending(enum trace_kind kind, const void *object,
			      uint32_t cause)
{
	trace_note(kind, object, NULL, NULL, 0);
	return cause != 0 ? cause : plait_i_trace_ring.cause;
}

void plait_i_trace_record_end(enum trace_kind kind, const void *object,
			      uint32_t cause)
{
	if (trace_is_recording()) {
		struct trace_event *e = trace_record(kind, object);

		e->other = e->text = NULL;
		e->n = 0;
		e->cause = cause;
	}
	trace_tell(kind, object, NULL, NULL, 0);
}

uint32_t plait_i_trace_record_cancel(const void *deferred, const char *where)
{
	uint32_t before = plait_i_trace_ring.cause;

	plait_i_trace_ring.cause = ++plait_i_trace_ring.cancels;
	plait_i_trace_record(TRACE_CANCEL, deferred, NULL, where, 0);
	return before;
}

void plait_i_trace_record_cancelled(const void *deferred, uint32_t cause)
{
	plait_i_trace_record(TRACE_CANCELLED, deferred, NULL, NULL, 0);
	plait_i_trace_ring.cause = cause;
}

/*
 * The ring of events.  Recording never fails and never allocates; the oldest
 * events make room for the newest.
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/trace.h"

_Thread_local struct trace_ring trace_ring
	__attribute__((tls_model("initial-exec")));

int trace_start(size_t events, int64_t (*clock)(void))
{
	struct trace_event *room = calloc(events, sizeof(*room));

	if (room == NULL)
		return -ENOMEM;
	trace_stop();
	trace_ring.events = room;
	trace_ring.room = events;
	trace_ring.clock = clock;
	return 0;
}

void trace_stop(void)
{
	free(trace_ring.events);
	trace_ring = (struct trace_ring){ .events = NULL };
}

void trace_record(enum trace_kind kind, const void *object, const void *other,
		  const char *text, size_t n)
{
	struct trace_ring *r = &trace_ring;

	r->events[r->count++ % r->room] = (struct trace_event){
		.when = r->clock(),
		.object = object,
		.other = other,
		.text = text,
		.n = n,
		.cause = r->cause,
		.kind = kind,
	};
}

uint32_t trace_begin(const void *deferred, const char *where)
{
	uint32_t before = trace_ring.cause;

	trace_ring.cause = ++trace_ring.cancels;
	trace_record(TRACE_CANCEL, deferred, NULL, where, 0);
	return before;
}

void trace_end(const void *deferred, uint32_t cause)
{
	trace_record(TRACE_CANCELLED, deferred, NULL, NULL, 0);
	trace_ring.cause = cause;
}

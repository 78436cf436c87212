/*
 * Recording what happens, and writing it down as Chrome trace JSON.
 *
 * A callback from the loop, and a cancel, are slices of the thread; events in
 * them are instants.  A deferred is a span from being made to being fired, and
 * a connection is a span from being opened to being closed.  An arrow starts in
 * the slice of a cancel.  It ends where a connection was closed that the
 * program closed because of the cancel, perhaps many turns later.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <plait/debug.h>

#include "lib/fork.h"
#include "lib/print.h"
#include "lib/base.h"
#include "reactor/kernel/file.h"
#include "reactor/loop/parts.h"

enum { DEFAULT_EVENTS = 65536 };

/* What an event becomes in the file: its phase in the format, and its name. */
struct shape {
	char phase;
	enum { UNLABELLED, ADDRESS, NAME } label;
	const char *name, *category;
};

static const struct shape shapes[] = {
	[TRACE_MADE] = { 'b', UNLABELLED, "deferred", "deferred" },
	[TRACE_FIRED] = { 'e', UNLABELLED, "deferred", "deferred" },
	[TRACE_WAITS] = { 'i', UNLABELLED, "waits", "deferred" },
	[TRACE_CANCEL] = { 'B', UNLABELLED, "cancel", "deferred" },
	[TRACE_CANCELLED] = { 'E', UNLABELLED, "cancel", "deferred" },
	[TRACE_ENTER] = { 'B', UNLABELLED, "callback", "loop" },
	[TRACE_LEAVE] = { 'E', UNLABELLED, "callback", "loop" },
	[TRACE_ATTEMPT] = { 'b', ADDRESS, "attempt", "connection" },
	[TRACE_STOPPING] = { 'i', UNLABELLED, "stopping", "connection" },
	[TRACE_ENDED] = { 'e', UNLABELLED, "attempt", "connection" },
	[TRACE_LOOKUP] = { 'b', NAME, "lookup", "name" },
	[TRACE_LOOKED_UP] = { 'e', UNLABELLED, "lookup", "name" },
	[TRACE_OPENED] = { 'b', ADDRESS, "connection", "connection" },
	[TRACE_READ] = { 'i', UNLABELLED, "read", "connection" },
	[TRACE_WRITTEN] = { 'i', UNLABELLED, "written", "connection" },
	[TRACE_CLOSING] = { 'i', UNLABELLED, "closing", "connection" },
	[TRACE_CLOSED] = { 'e', UNLABELLED, "connection", "connection" },
};

int plait_trace_start(size_t events)
{
	return plait_i_trace_start(events != 0 ? events : DEFAULT_EVENTS,
				   plait_i_linux_clock);
}

void plait_trace_stop(void)
{
	plait_i_trace_stop();
}

/* ---- writing it down ------------------------------------------------ */

static void trace_print_head(struct print *p, const struct trace_event *e,
			     char phase, const char *name, const char *category)
{
	plait_i_print(
		p,
		",\n{\"ph\":\"%c\",\"name\":\"%s\",\"cat\":\"%s\",\"pid\":1,"
		"\"tid\":1,\"ts\":%" PRId64 ".%03d",
		phase, name, category, e->when / 1000, (int)(e->when % 1000));
}

/* Writes only the arguments that there are. */
static void trace_print_text(struct print *p, const char *key, const char *text)
{
	if (text == NULL)
		return;
	plait_i_print(p, ",\"%s\":\"", key);
	plait_i_print_plain(p, text);
	plait_i_print(p, "\"");
}

static void trace_print_args(struct print *p, const struct trace_event *e)
{
	plait_i_print(p, ",\"args\":{\"object\":\"%p\"", e->object);
	if (e->cause != 0)
		plait_i_print(p, ",\"cancel\":%" PRIu32, e->cause);
	if (shapes[e->kind].label != UNLABELLED) {
		trace_print_text(
			p, shapes[e->kind].label == NAME ? "name" : "address",
			e->label);
	} else {
		if (e->other != NULL)
			plait_i_print(p, ",\"other\":\"%p\"", e->other);
		if (e->n != 0)
			plait_i_print(p, ",\"bytes\":%zu", e->n);
		trace_print_text(p, "at", e->text);
	}
	plait_i_print(p, "}}");
}

static void trace_print_event(struct print *p, const struct trace_event *e)
{
	const struct shape *s = &shapes[e->kind];

	trace_print_head(p, e, s->phase, s->name, s->category);
	if (s->phase == 'b' || s->phase == 'e')
		plait_i_print(p, ",\"id\":\"%p\"", e->object);
	if (s->phase == 'i')
		plait_i_print(p, ",\"s\":\"t\"");
	trace_print_args(p, e);
}

/* One end of an arrow: 's' where it starts, 'f' where it ends. */
static void trace_print_arrow(struct print *p, const struct trace_event *e,
			      char phase)
{
	trace_print_head(p, e, phase, "stops", "cancel");
	plait_i_print(p, ",\"bp\":\"e\",\"id\":%" PRIu32 "}", e->cause);
}

/* What a cancel has ended.  An arrow must end in a slice, so this is a slice.
 */
static void trace_print_end_of_arrow(struct print *p,
				     const struct trace_event *e)
{
	trace_print_head(p, e, 'X', "closed", "connection");
	plait_i_print(p, ",\"dur\":1");
	trace_print_args(p, e);
	trace_print_arrow(p, e, 'f');
}

/*
 * If the beginning of a slice is not in the ring any more, its end would end
 * another slice, so it is skipped.  An arrow without its start is skipped, too.
 */
struct writing {
	struct print p;
	unsigned depth;	      /* of slices */
	uint32_t first_cause; /* 0: there was none yet */
};

static void trace_write_event(struct writing *w, const struct trace_event *e)
{
	char phase = shapes[e->kind].phase;

	if (phase == 'E' && w->depth == 0)
		return;
	w->depth += phase == 'B';
	w->depth -= phase == 'E';
	trace_print_event(&w->p, e);
	if (e->kind == TRACE_CANCEL) {
		if (w->first_cause == 0)
			w->first_cause = e->cause;
		trace_print_arrow(&w->p, e, 's');
	}
	if ((e->kind == TRACE_CLOSED || e->kind == TRACE_ENDED ||
	     e->kind == TRACE_LOOKED_UP) &&
	    w->first_cause != 0 && e->cause >= w->first_cause)
		trace_print_end_of_arrow(&w->p, e);
}

static void trace_write_events(struct writing *w)
{
	const struct trace_ring *r = &plait_i_trace_ring;
	uint64_t oldest = r->count > r->room ? r->count - r->room : 0;

	plait_i_print(&w->p, "{\"traceEvents\":[\n{\"ph\":\"M\",\"name\":"
			     "\"process_name\",\"pid\":1,\"args\":{\"name\":"
			     "\"plait\"}}");
	for (uint64_t i = oldest; i < r->count; i++)
		trace_write_event(w, &r->events[i % r->room]);
	plait_i_print(&w->p, "\n]}\n");
}

/* Returns the descriptor of a file to be written, or -errno. */
typedef int open_file(const char *path);

static int trace_dump(const char *path, open_file *open_it)
{
	struct writing w = { .depth = 0 };
	int fd, r;

	w.p.to = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	if (w.p.to == NULL)
		return -ENOMEM;
	trace_write_events(&w);
	r = w.p.error;
	if (r == 0) {
		fd = open_it(path);
		r = fd < 0 ? fd
			   : plait_i_file_write(fd, plait_buf_data(w.p.to),
						plait_buf_size(w.p.to));
	}
	plait_buf_unref(&w.p.to);
	return r;
}

int plait_trace_dump(const char *path)
{
	return trace_is_recording() ? trace_dump(path, plait_i_file_open)
				    : -EINVAL;
}

/* ---- asked for by the environment ------------------------------------ */

static const char variable[] = "PLAIT_TRACE";

/* How many reactors of this thread have asked for a trace, and whether one of
   them has started it. */
static _Thread_local unsigned askers;
static _Thread_local bool asker_began;
static _Thread_local unsigned asker_forks; /* ... when that was */

/* In a child: the parent writes down what was traced until then. */
static void trace_forget_parents_trace(void)
{
	if (!fork_inherited(asker_forks))
		return;
	asker_forks = fork_count();
	askers = 0;
	if (asker_began)
		plait_i_trace_stop();
	asker_began = false;
}

/* How many reactors of the process have asked. */
static atomic_uint numbers;

void plait_i_trace_reactor_begins(struct plait_reactor *r)
{
	if (secure_getenv(variable) == NULL ||
	    loop_kernel(r)->ops->is_simulated)
		return;
	r->trace_number = atomic_fetch_add(&numbers, 1) + 1;
	trace_forget_parents_trace();
	if (!trace_is_recording())
		asker_began = plait_trace_start(0) == 0;
	if (trace_is_recording())
		askers++;
}

/*
 * Gives the name of the file, with a NUL: %p becomes the process, and the files
 * of later reactors end in their number.  Returns NULL if there is no memory.
 */
static struct plait_buf *trace_name_file(const char *name, unsigned number)
{
	struct print p = { .to = plait_buf_new(PLAIT_BUF_UNBOUNDED) };
	const char *mark;

	if (p.to == NULL)
		return NULL;
	for (; (mark = strstr(name, "%p")) != NULL; name = mark + 2)
		plait_i_print(&p, "%.*s%ld", (int)(mark - name), name,
			      (long)getpid());
	plait_i_print(&p, "%s", name);
	if (number > 1)
		plait_i_print(&p, ".%u", number);
	if (p.error != 0 || plait_buf_append(p.to, "", 1) < 0)
		plait_buf_unref(&p.to);
	return p.to;
}

static void trace_say_failed(const char *path, int err)
{
	char line[512];
	int n = snprintf(line, sizeof(line), "plait: %s: %.400s: %s\n",
			 variable, path, strerror(err));

	plait_i_base_say(line, (size_t)n);
}

static void trace_dump_as_asked(const char *name, unsigned number)
{
	struct plait_buf *path = trace_name_file(name, number);
	int r = -ENOMEM;

	if (path != NULL)
		r = trace_dump(plait_buf_data(path), plait_i_file_open_own);
	if (r < 0)
		trace_say_failed(path != NULL ? plait_buf_data(path) : name,
				 -r);
	plait_buf_unref(&path);
}

void plait_i_trace_reactor_ends(unsigned number, bool forked)
{
	const char *name = secure_getenv(variable);

	trace_forget_parents_trace();
	if (name == NULL || number == 0 || askers == 0 || forked)
		return;
	askers--;
	if (trace_is_recording())
		trace_dump_as_asked(name, number);
	if (askers > 0 || !asker_began)
		return;
	asker_began = false;
	plait_i_trace_stop();
}

/* ---- ... for a world of many reactors ------------------------------------ */

bool plait_i_trace_world_begins(int64_t (*clock)(void))
{
	return secure_getenv(variable) != NULL && !trace_is_recording() &&
	       plait_i_trace_start(DEFAULT_EVENTS, clock) == 0;
}

void plait_i_trace_world_ends(void)
{
	const char *name = secure_getenv(variable);

	if (name != NULL && trace_is_recording())
		trace_dump_as_asked(name, atomic_fetch_add(&numbers, 1) + 1);
	plait_i_trace_stop();
}

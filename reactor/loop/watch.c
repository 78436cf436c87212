/*
 * Watches: which watch waits for which descriptor.
 *
 * The table of slots, indexed by descriptor, decides; the kernel's set is a
 * copy of it.  Each time a descriptor is armed it gets a new generation, and an
 * event is delivered only if the generation is the same as when the wait began.
 * So if a descriptor is closed and its number is opened again within a batch,
 * the new watch does not get the events of the old one.
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/exception.h"
#include "reactor/loop/parts.h"

/* What a program may ask for; the library may ask for more. */
enum {
	PUBLIC_EVENTS = PLAIT_WATCH_READ | PLAIT_WATCH_WRITE,
	WATCH_EVENTS = PUBLIC_EVENTS | WATCH_HANGUP | WATCH_END
};

/* Nobody watches fd from here on. */
static void watch_clear(struct plait_reactor *r, int fd)
{
	struct watch_slot *s = &r->watches.slots[fd];
	struct plait_watch *w = s->target;

	trace_note(TRACE_UNWATCHED, s->target, r, NULL, 0);
	if (s->kind == WATCH_OF_PROGRAM)
		w->reactor = NULL;
	watch_set_apart(&r->watches, s, WATCH_NOT_APART);
	s->target = NULL;
	s->events = s->armed = 0;
}

void plait_i_watch_done(struct plait_reactor *r)
{
	for (int fd = 0; (size_t)fd < r->watches.n; fd++) {
		if (watch_find(&r->watches, fd) != NULL)
			watch_clear(r, fd);
	}
	free(r->watches.slots);
	r->watches.slots = NULL;
	r->watches.n = 0;
}

/* The table is as long as the highest number, so a number that the kernel will
   refuse must not make it grow. */
static int watch_grow(struct plait_reactor *r, int fd)
{
	struct watches *ws = &r->watches;
	size_t n = ws->n ? ws->n : 16;
	struct watch_slot *slots;
	int rc = kernel_check(loop_kernel(r), fd);

	if (rc < 0)
		return rc;

	while (n <= (size_t)fd)
		n *= 2;
	slots = realloc(ws->slots, n * sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	for (size_t i = ws->n; i < n; i++)
		slots[i] = (struct watch_slot){ 0 };
	ws->slots = slots;
	ws->n = n;
	return 0;
}

/* Tells the kernel.  If that fails, fd is watched for the same as before. */
static int watch_update(struct plait_reactor *r, int fd, unsigned events)
{
	struct watches *ws = &r->watches;
	struct watch_slot *s = &ws->slots[fd];
	uint8_t old = s->events;
	int rc = 0;

	s->events = (uint8_t)events;
	if (s->armed == 0)
		s->generation = ++ws->generations;
	if (events != s->armed)
		rc = kernel_update(loop_kernel(r), ws, fd);
	if (rc == 0)
		s->armed = (uint8_t)events;
	else
		s->events = old;
	return rc;
}

/* Returns the slot of a descriptor that nobody watches, in *ret. */
static int watch_find_room(struct plait_reactor *r, int fd,
			   struct watch_slot **ret)
{
	int rc;

	if (loop_is_forked(r))
		return -ECHILD;
	if (fd < 0)
		return -EBADF;
	if (watch_find(&r->watches, fd) != NULL)
		return -EEXIST;
	if ((size_t)fd >= r->watches.n) {
		rc = watch_grow(r, fd);
		if (rc < 0)
			return rc;
	}
	*ret = &r->watches.slots[fd];
	return 0;
}

/*
 * The slot has its target.  With armed the kernel's registration goes on, and
 * so does the generation that it has.
 */
static int watch_begin(struct plait_reactor *r, int fd, unsigned armed,
		       unsigned events)
{
	struct watch_slot *s = &r->watches.slots[fd];
	int rc;

	s->armed = (uint8_t)armed;
	trace_note(TRACE_WATCHED, s->target, r, NULL, 0);
	rc = watch_update(r, fd, events);
	if (rc < 0)
		watch_clear(r, fd);
	return rc;
}

static int watch_change(struct plait_reactor *r, int fd, unsigned events)
{
	struct watch_slot *s = &r->watches.slots[fd];
	int rc;

	if (loop_is_forked(r))
		return -ECHILD;
	if (s->events == PLAIT_WATCH_LOST)
		return 0;
	rc = watch_update(r, fd, events);
	if (rc != -EBADF)
		return rc;
	/* Somebody has closed the descriptor.  select notices that only when it
	   waits; so with epoll the loop tells it, too. */
	watch_lost(&r->watches, s);
	return 0;
}

/* Returns what the kernel still waits for. */
static unsigned watch_forget(struct plait_reactor *r, int fd)
{
	unsigned armed;

	if (plait_i_loop_is_shared(r))
		watch_update(r, fd, 0);
	armed = r->watches.slots[fd].armed;
	watch_clear(r, fd);
	return armed;
}

/* ---- watches of the program ------------------------------------------- */

int plait_watch_start(struct plait_reactor *r, struct plait_watch *w, int fd,
		      unsigned events, plait_watch_func *fn)
{
	loop_check_given(r, "plait_watch_start()", NULL);
	return plait_i_watch_start(r, w, fd, events & PUBLIC_EVENTS, fn);
}

int plait_i_watch_start(struct plait_reactor *r, struct plait_watch *w, int fd,
			unsigned events, plait_watch_func *fn)
{
	struct watch_slot *s;
	int rc;

	if (!loop_is_forked(r) && w->reactor != NULL)
		return -EBUSY;
	rc = watch_find_room(r, fd, &s);
	if (rc < 0)
		return rc;
	*w = (struct plait_watch){ .reactor = r, .fn = fn, .fd = fd };
	s->target = w;
	s->kind = WATCH_OF_PROGRAM;
	return watch_begin(r, fd, 0, events);
}

int plait_watch_change(struct plait_watch *w, unsigned events)
{
	if (w->reactor == NULL)
		return -EINVAL;
	loop_check(w->reactor, "plait_watch_change()");
	return watch_change(w->reactor, w->fd, events & PUBLIC_EVENTS);
}

int plait_i_watch_change(struct plait_watch *w, unsigned events)
{
	struct plait_reactor *r = w->reactor;

	return r->watches.slots[w->fd].events != events
		       ? watch_change(r, w->fd, events)
		       : 0;
}

unsigned plait_i_watch_forget(struct plait_watch *w)
{
	return w->reactor != NULL ? watch_forget(w->reactor, w->fd) : 0;
}

void plait_watch_stop(struct plait_watch *w)
{
	/* In a forked child the kernel's set is the parent's: leave it. */
	if (w->reactor == NULL)
		return;
	loop_check(w->reactor, "plait_watch_stop()");
	if (!loop_is_forked(w->reactor))
		watch_update(w->reactor, w->fd, 0);
	watch_clear(w->reactor, w->fd);
}

/* ---- watches of streams ----------------------------------------------- */

int plait_i_watch_stream(struct plait_reactor *r, int *fd, unsigned armed,
			 unsigned events, stream_ready_func *ready)
{
	struct watch_slot *s;
	int rc = watch_find_room(r, *fd, &s);

	if (rc < 0)
		return rc;
	s->target = fd;
	s->kind = WATCH_OF_STREAM;
	r->stream_ready = ready;
	return watch_begin(r, *fd, armed, events);
}

int plait_i_watch_stream_change(struct plait_reactor *r, int fd,
				unsigned events)
{
	return r->watches.slots[fd].events != events
		       ? watch_change(r, fd, events)
		       : 0;
}

void plait_i_watch_stream_forget(struct plait_reactor *r, int *fd)
{
	const struct watch_slot *s = watch_find(&r->watches, *fd);

	if (s != NULL && s->target == fd)
		watch_forget(r, *fd);
}

/* ---- events ----------------------------------------------------------- */

static inline void watch_tell(struct plait_reactor *r, enum watch_kind kind,
			      void *target, unsigned events)
{
	struct plait_watch *w = target;

	r->counts.events++;
	loop_enter(r);
	if (kind == WATCH_OF_STREAM)
		r->stream_ready(target, events);
	else
		w->fn(w, events);
	loop_leave(r);
}

/* Tells of those events that are waited for. */
static inline void watch_deliver(struct plait_reactor *r,
				 const struct watch_slot *s, unsigned events)
{
	events &= s->events & WATCH_EVENTS;
	if (events != 0 && !loop_is_forked(r))
		watch_tell(r, s->kind, s->target, events);
}

/* Delivers an event to the watch that had the descriptor when the wait began,
   if it still has it. */
static inline void watch_deliver_event(struct plait_reactor *r,
				       const struct kernel_event *e)
{
	const struct watch_slot *s = watch_find(&r->watches, e->fd);

	if (s != NULL && s->generation == e->generation)
		watch_deliver(r, s, e->events);
}

/* Before a watch is told that it is lost, it is stopped. */
static void watch_tell_lost(struct plait_reactor *r, int fd)
{
	struct watch_slot s = r->watches.slots[fd];

	watch_clear(r, fd);
	watch_tell(r, s.kind, s.target, PLAIT_WATCH_LOST);
}

/*
 * Delivers to the watches that do not need the kernel.  They are few, and
 * looked for in the whole table.  One that is put apart meanwhile is told in
 * the next turn.
 */
static OUT_OF_LINE void watch_deliver_apart(struct plait_reactor *r)
{
	struct watches *ws = &r->watches;

	for (size_t i = 0; i < ws->n; i++) {
		if (ws->slots[i].apart)
			ws->slots[i].apart = WATCH_APART_NOW;
	}
	for (size_t i = 0; i < ws->n && !loop_is_forked(r); i++) {
		struct watch_slot *s = &ws->slots[i];

		if (s->apart != WATCH_APART_NOW)
			continue;
		s->apart = WATCH_APART;
		if (s->events == PLAIT_WATCH_LOST)
			watch_tell_lost(r, (int)i);
		else
			watch_deliver(r, s, WATCH_EVENTS);
	}
	exception_barrier();
}

OUT_OF_LINE int plait_i_watch_poll(struct plait_reactor *r, int64_t timeout)
{
	struct kernel_event events[KERNEL_BATCH];
	int n = kernel_wait(loop_kernel(r), &r->watches, timeout, events);

	r->now_is_known = false;
	for (int i = 0; i < n; i++)
		watch_deliver_event(r, &events[i]);
	if (watch_has_work(r))
		watch_deliver_apart(r);
	exception_barrier();
	return n < 0 ? n : 0;
}

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

void plait_i_watch_init(struct plait_reactor *r)
{
	plait_list_init(&r->watches.apart);
}

/* w watches nothing from here on. */
static void watch_clear(struct plait_reactor *r, struct plait_watch *w)
{
	trace_note(TRACE_UNWATCHED, w, r, NULL, 0);
	r->watches.slots[w->fd].watch = NULL;
	plait_list_remove(&w->link);
	w->reactor = NULL;
	w->armed = 0;
}

void plait_i_watch_done(struct plait_reactor *r)
{
	for (size_t i = 0; i < r->watches.n; i++) {
		if (r->watches.slots[i].watch != NULL)
			watch_clear(r, r->watches.slots[i].watch);
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

/* Tells the kernel.  If that fails, w waits for the same events as before. */
static int watch_update(struct plait_watch *w, unsigned events)
{
	struct plait_reactor *r = w->reactor;
	unsigned old = w->events;
	int rc = 0;

	w->events = events;
	if (w->armed == 0)
		r->watches.slots[w->fd].generation = ++r->watches.generations;
	if (events != w->armed)
		rc = kernel_update(loop_kernel(r), &r->watches, w);
	if (rc == 0)
		w->armed = events;
	else
		w->events = old;
	return rc;
}

int plait_watch_start(struct plait_reactor *r, struct plait_watch *w, int fd,
		      unsigned events, plait_watch_func *fn)
{
	loop_check_given(r, "plait_watch_start()", NULL);
	return plait_i_watch_start(r, w, fd, 0, events & PUBLIC_EVENTS, fn);
}

/*
 * With armed the kernel's registration goes on, and so does the generation that
 * it has.
 */
int plait_i_watch_start(struct plait_reactor *r, struct plait_watch *w, int fd,
			unsigned armed, unsigned events, plait_watch_func *fn)
{
	int rc;

	if (loop_is_forked(r))
		return -ECHILD;
	if (w->reactor != NULL)
		return -EBUSY;
	if (fd < 0)
		return -EBADF;
	if (watch_find(&r->watches, fd) != NULL)
		return -EEXIST;
	if ((size_t)fd >= r->watches.n) {
		rc = watch_grow(r, fd);
		if (rc < 0)
			return rc;
	}
	*w = (struct plait_watch){
		.reactor = r, .fn = fn, .fd = fd, .armed = armed
	};
	r->watches.slots[fd].watch = w;
	trace_note(TRACE_WATCHED, w, r, NULL, 0);
	rc = watch_update(w, events);
	if (rc < 0)
		watch_clear(r, w);
	return rc;
}

int plait_watch_change(struct plait_watch *w, unsigned events)
{
	if (w->reactor == NULL)
		return -EINVAL;
	loop_check(w->reactor, "plait_watch_change()");
	return plait_i_watch_change(w, events & PUBLIC_EVENTS);
}

int plait_i_watch_change(struct plait_watch *w, unsigned events)
{
	struct plait_reactor *r = w->reactor;
	int rc;

	if (loop_is_forked(r))
		return -ECHILD;
	if (w->events == PLAIT_WATCH_LOST)
		return 0;
	rc = watch_update(w, events);
	if (rc != -EBADF)
		return rc;
	/* Somebody has closed the descriptor.  select notices that only when it
	   waits; so with epoll the loop tells it, too. */
	watch_lost(&r->watches, w);
	return 0;
}

unsigned plait_i_watch_forget(struct plait_watch *w)
{
	unsigned armed;

	if (w->reactor == NULL)
		return 0;
	if (plait_i_loop_is_shared(w->reactor))
		watch_update(w, 0);
	armed = w->armed;
	watch_clear(w->reactor, w);
	return armed;
}

void plait_watch_stop(struct plait_watch *w)
{
	/* In a forked child the kernel's set is the parent's: leave it. */
	if (w->reactor == NULL)
		return;
	loop_check(w->reactor, "plait_watch_stop()");
	if (!loop_is_forked(w->reactor))
		watch_update(w, 0);
	watch_clear(w->reactor, w);
}

/* Calls w if it waits for any of these events. */
static inline void watch_deliver(struct plait_reactor *r, struct plait_watch *w,
				 unsigned events)
{
	events &= w->events & WATCH_EVENTS;
	if (events == 0 || loop_is_forked(r))
		return;
	r->counts.events++;
	plait_i_loop_enter(r);
	w->fn(w, events);
	plait_i_loop_leave(r);
}

/* Delivers an event to the watch that had the descriptor when the wait began,
   if it still has it. */
static inline void watch_deliver_event(struct plait_reactor *r,
				       const struct kernel_event *e)
{
	struct plait_watch *w = watch_find(&r->watches, e->fd);

	if (w == NULL || watch_generation(&r->watches, e->fd) != e->generation)
		return;
	watch_deliver(r, w, e->events);
}

/* Before a watch is told that it is lost, it is stopped. */
static void watch_tell_lost(struct plait_reactor *r, struct plait_watch *w)
{
	watch_clear(r, w);
	r->counts.events++;
	plait_i_loop_enter(r);
	w->fn(w, PLAIT_WATCH_LOST);
	plait_i_loop_leave(r);
}

/* Delivers to a snapshot of the watches that do not need the kernel. */
static OUT_OF_LINE void watch_deliver_apart(struct plait_reactor *r)
{
	struct plait_list todo, *l;

	plait_list_init(&todo);
	plait_list_move(&todo, &r->watches.apart);
	while ((l = plait_list_first(&todo)) != NULL) {
		struct plait_watch *w =
			plait_container(l, struct plait_watch, link);

		plait_list_remove(l);
		plait_list_append(&r->watches.apart, l);
		if (w->events != PLAIT_WATCH_LOST)
			watch_deliver(r, w, WATCH_EVENTS);
		else if (!loop_is_forked(r))
			watch_tell_lost(r, w);
	}
}

OUT_OF_LINE int plait_i_watch_poll(struct plait_reactor *r, int64_t timeout)
{
	struct kernel_event events[KERNEL_BATCH];
	int n = kernel_wait(loop_kernel(r), &r->watches, timeout, events);

	r->now_is_known = false;
	for (int i = 0; i < n; i++)
		watch_deliver_event(r, &events[i]);
	if (!plait_list_is_empty(&r->watches.apart))
		watch_deliver_apart(r);
	exception_barrier();
	return n < 0 ? n : 0;
}

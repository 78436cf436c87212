/*
 * The table of watches: for which descriptors a kernel waits, and which watch
 * is told.
 *
 * The table decides; the kernel's own set is a copy of it.  loop/watch.c
 * changes the table and calls the watches; a kernel reads it.
 */
#ifndef REACTOR_WATCHES_H
#define REACTOR_WATCHES_H

#include <stddef.h>
#include <stdint.h>

#include <plait/reactor.h>

/*
 * An event beside PLAIT_WATCH_READ and PLAIT_WATCH_WRITE: the peer may have
 * hung up.  It is told once when the watch is armed and once when it happens,
 * not in each turn.  It may be told although nobody has hung up: for select() a
 * hang-up looks like input, and it sees no hang-up behind unread input.
 */
enum { WATCH_HANGUP = 8 };

/*
 * Told together with PLAIT_WATCH_READ: the peer sends no more, so what can be
 * read now is all.  A kernel that does not know without being asked, as
 * select(), never tells it.
 */
enum { WATCH_END = 16 };

struct watch_slot {
	struct plait_watch *watch; /* NULL: nobody */
	uint64_t generation;	   /* of the last time it was armed */
};

struct watches {
	struct watch_slot *slots; /* by descriptor */
	size_t n;
	uint64_t generations; /* given out so far */
	struct plait_list
		apart; /* ready in each turn, or to be told PLAIT_WATCH_LOST */
};

/* Returns the watch of fd, or NULL.  It is called several times an event. */
static inline struct plait_watch *watch_find(const struct watches *ws, int fd)
{
	return (size_t)fd < ws->n ? ws->slots[fd].watch : NULL;
}

static inline uint64_t watch_generation(const struct watches *ws, int fd)
{
	return ws->slots[fd].generation;
}

/* From now on w is ready in every turn, without the kernel. */
static inline void watch_always(struct watches *ws, struct plait_watch *w)
{
	if (!plait_list_is_linked(&w->link))
		plait_list_append(&ws->apart, &w->link);
}

/* The descriptor of w is closed: w will be told PLAIT_WATCH_LOST. */
static inline void watch_lost(struct watches *ws, struct plait_watch *w)
{
	plait_list_remove(&w->link);
	plait_list_append(&ws->apart, &w->link);
	w->events = PLAIT_WATCH_LOST;
	w->armed = 0;
}

#endif

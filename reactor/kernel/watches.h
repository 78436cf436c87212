/*
 * The table of watches: what a kernel is to wait for, and for whom.
 *
 * The table is the truth, and the kernel's own set a copy of it.  loop/watch.c
 * changes the table and calls who watches; a kernel reads it.
 */
#ifndef REACTOR_WATCHES_H
#define REACTOR_WATCHES_H

#include <stddef.h>
#include <stdint.h>

#include <plait/reactor.h>

/*
 * Beside PLAIT_WATCH_READ and PLAIT_WATCH_WRITE: the peer may have hung up.  It
 * is told when it is armed and when it happens, not for as long as it lasts,
 * and may be told for nothing: select() knows a hang-up only by its being
 * readable, and sees none behind input.
 */
enum { WATCH_HANGUP = 8 };

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

/* Several times an event: who is watching now. */
static inline struct plait_watch *watch_find(const struct watches *ws, int fd)
{
	return (size_t)fd < ws->n ? ws->slots[fd].watch : NULL;
}

static inline uint64_t watch_generation(const struct watches *ws, int fd)
{
	return ws->slots[fd].generation;
}

/* Ready in every turn, without the kernel. */
static inline void watch_always(struct watches *ws, struct plait_watch *w)
{
	if (!plait_list_is_linked(&w->link))
		plait_list_append(&ws->apart, &w->link);
}

/* Its descriptor is gone, which it is to be told: PLAIT_WATCH_LOST. */
static inline void watch_lost(struct watches *ws, struct plait_watch *w)
{
	plait_list_remove(&w->link);
	plait_list_append(&ws->apart, &w->link);
	w->events = PLAIT_WATCH_LOST;
	w->armed = 0;
}

#endif

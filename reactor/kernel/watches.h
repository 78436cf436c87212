/*
 * The table of watches: for which descriptors a kernel waits, and who is told.
 *
 * The table decides; the kernel's own set is a copy of it.  loop/watch.c
 * changes the table and tells of events; a kernel reads it.
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

/* Who is told. */
enum watch_kind {
	WATCH_OF_PROGRAM, /* a struct plait_watch; also of the library itself */
	WATCH_OF_STREAM /* of whom there are many: see plait_i_stream_watch() */
};

/* Is it ready in each turn, without the kernel?  Or to be told that it is lost?
 */
enum watch_apart {
	WATCH_NOT_APART,
	WATCH_APART,
	WATCH_APART_NOW /* ... and is yet to be told of this turn */
};

/* What is known of a descriptor.  There may be many, and all of it is looked at
   for each event. */
struct watch_slot {
	void *target;	     /* who is told; NULL: nobody */
	uint32_t generation; /* of the last time it was armed */
	uint8_t events;	     /* that are waited for */
	uint8_t armed;	     /* ... and that the kernel knows of */
	uint8_t kind;
	uint8_t apart;
};

struct watches {
	struct watch_slot *slots; /* by descriptor */
	size_t n;
	size_t apart;	      /* how many are */
	uint32_t generations; /* given out so far */
};

/* Returns what is known of fd, or NULL if it is not watched.  It is called
   several times an event. */
static inline struct watch_slot *watch_find(const struct watches *ws, int fd)
{
	return (size_t)fd < ws->n && ws->slots[fd].target != NULL
		       ? &ws->slots[fd]
		       : NULL;
}

static inline void watch_set_apart(struct watches *ws, struct watch_slot *s,
				   enum watch_apart apart)
{
	ws->apart += (apart != WATCH_NOT_APART) - (s->apart != WATCH_NOT_APART);
	s->apart = apart;
}

/* The descriptor is closed: PLAIT_WATCH_LOST will be told. */
static inline void watch_lost(struct watches *ws, struct watch_slot *s)
{
	watch_set_apart(ws, s, WATCH_APART);
	s->events = PLAIT_WATCH_LOST;
	s->armed = 0;
}

#endif

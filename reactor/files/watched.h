/*
 * The inside of a watch: what file trees and single files have in common.
 *
 * Whoever calls the program on behalf of a watch holds it: the program may stop
 * the watch, which then has no marks at once and no memory when it is released.
 */
#ifndef REACTOR_WATCHED_H
#define REACTOR_WATCHED_H

#include <plait/file_watch.h>

#include "reactor/files/notifier.h"

struct watched_ops {
	/* Is called in the turn after it was put into one of the notifier's
	   lists, at the latest, and before further events are told. */
	void (*look)(struct plait_file_watched *w);
	/* It has ended: leaves its marks. */
	void (*end)(struct plait_file_watched *w);
	void (*free)(struct plait_file_watched *w);
};

struct plait_file_watched {
	const struct watched_ops *ops;
	struct file_notifier *notifier;
	struct plait_file_watch *outside; /* NULL: it has ended */
	struct plait_list link, looking;
	unsigned held;
	unsigned what;
	bool existing;
	bool lost;	/* OVERFLOW is to be told */
	uint64_t moved; /* the rename that it was told of last */
	const char *path;
};

static inline bool watched_has_ended(const struct plait_file_watched *w)
{
	return w->outside == NULL || loop_is_forked(w->notifier->reactor);
}

static inline void watched_hold(struct plait_file_watched *w)
{
	w->held++;
}

void plait_i_watched_release(struct plait_file_watched *w);

/* Tells the program, if it wants to know.  Returns false if the watch has ended
   by then. */
bool plait_i_watched_tell(struct plait_file_watched *w,
			  const struct plait_file_change *change);

/* Changes of it were lost: it looks again, soon. */
void plait_i_watched_lose(struct plait_file_watched *w);

/* Ends it; the second also tells PLAIT_FILE_GONE. */
void plait_i_watched_end(struct plait_file_watched *w);
void plait_i_watched_gone(struct plait_file_watched *w);

/* Calls look() of those that are in the list now. */
void plait_i_watched_look(struct file_notifier *n, struct plait_list *list);

#endif

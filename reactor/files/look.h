/*
 * Looking at the directories of a tree.
 *
 * A name in an event is old: since then the file may have got another name, and
 * another file this one.  So a look says at which position it was, and opens
 * each directory through that in which it lies, which has to be the one that
 * the tree means.  Nothing is told meanwhile; what was found is marked as new.
 */
#ifndef REACTOR_LOOK_H
#define REACTOR_LOOK_H

#include "reactor/files/entry.h"

enum look_result {
	LOOK_FOUND,
	LOOK_ABSENT, /* there is no directory of that name */
	LOOK_STALE,  /* it is not known where its parent is now */
	LOOK_FAILED
};

/* Of what is found fd is open, and number is the kernel's. */
struct look {
	struct kernel_directory directory;
	int number;
	uint64_t at;
	int error; /* LOOK_FAILED: a negative errno */
};

enum look_result plait_i_look_at(const struct file_entry *e, struct look *ret);
void plait_i_look_close(const struct file_tree *t, struct look *l);

/* Has d that name now?  LOOK_FOUND, of that kind; LOOK_ABSENT; or LOOK_STALE:
   that is unknown. */
enum look_result plait_i_look_for(const struct file_entry *d, const char *name,
				  bool *is_directory);

/* That is unknown, of e: it is forgotten, or new, as soon as d is found. */
void plait_i_look_for_later(struct file_entry *e);

/* Puts e among those that are looked into. */
void plait_i_look_want(struct file_entry *e);

/*
 * Looks into all that want it, and into what it finds there.  The second looks
 * into those, too, that could not be found before.  0; or -ENOMEM; or the first
 * error of a kind that is not about one directory alone.
 */
int plait_i_look_into(struct file_tree *t);
int plait_i_look_again(struct file_tree *t);

/* Looks at the whole tree anew: its directories have moved to anywhere. -ENOENT
   if its root is not there any more. */
int plait_i_look_at_all(struct file_tree *t);

#endif

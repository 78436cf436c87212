/*
 * The names of a tree, as a watch knows them.
 *
 * A watch knows all directories of its tree for good, because they are its
 * marks and their names are in what it tells.  It knows names of other files
 * only for a while: those that a look has found in a directory that is young,
 * so that each is told once, although its event may be still to come.
 */
#ifndef REACTOR_ENTRY_H
#define REACTOR_ENTRY_H

#include "reactor/files/watched.h"

struct file_entry {
	struct file_link link; /* by parent and name */
	size_t number;	       /* no other entry has it */
	struct file_tree *tree;
	struct file_entry *parent; /* NULL: the root */
	struct plait_list sibling, children;
	char *name;
	bool is_directory;
	bool is_new;	/* it is yet to be told */
	bool is_unsure; /* ... if there is such a file */
	int error;	/* ... that it cannot be watched; 0: nothing */
	/* In a list of the tree: it may be a directory, and has to be looked
	   into. */
	struct plait_list looker;
	/* Of a directory that is watched; user.mark is NULL otherwise. */
	struct file_user user;
	uint64_t device, inode;
	uint64_t seen; /* events of its name before this are older than it */
	struct file_youth youth;
};

struct file_tree {
	struct plait_file_watched base;
	struct file_entry root;
	const struct file_user_ops *user_ops; /* of all entries */
	bool is_deep;	  /* it is more than one directory */
	bool tells_found; /* ... what a look finds */
	size_t n_directories, max_directories;
	struct plait_list lookers; /* entries that are looked into now */
	struct plait_list stuck;   /* ... when something else has moved */
	char path[];
};

/* Is true if all that is known of d was found, and may be newer than the event
   at that position. */
static inline bool entry_is_young(const struct file_entry *d, uint64_t at)
{
	return d->youth.until > at;
}

/* Is true if e was looked at after that event of its name. */
static inline bool entry_is_newer(const struct file_entry *e, uint64_t at)
{
	return e != NULL && e->seen > at &&
	       (e->user.mark != NULL || !e->is_directory);
}

void plait_i_entry_init_root(struct file_tree *t);

/* Makes one, in d, which has none of that name.  NULL: no memory. */
struct file_entry *plait_i_entry_new(struct file_entry *d, const char *name,
				     bool is_directory);
struct file_entry *plait_i_entry_find(const struct file_entry *d,
				      const char *name);

/* e is another name, in d, which has none of that name.  0 or -ENOMEM. */
int plait_i_entry_move(struct file_entry *e, struct file_entry *d,
		       const char *name);

/* Takes e, which has no children, out of its place: it has none. */
void plait_i_entry_take(struct file_entry *e);
void plait_i_entry_free_homeless(struct file_entry *e);

/* Forgets e, if it is not NULL, and all below it.  The second forgets only what
   is below it. */
void plait_i_entry_drop(struct file_entry *e);
void plait_i_entry_empty(struct file_entry *e);

bool plait_i_entry_is_inside(const struct file_entry *e,
			     const struct file_entry *d);

/* The next one in e's subtree in the order parent, children, sibling; NULL:
   there is none. */
struct file_entry *plait_i_entry_next(const struct file_entry *e,
				      const struct file_entry *subtree);

/* e is no directory, and was seen at that position: no event before that is
   about it.  It is forgotten then. */
void plait_i_entry_keep_until(struct file_entry *e, uint64_t at);

/* The first part of a youth: see file_youth. */
void plait_i_entry_begin_youth(struct file_entry *e);
void plait_i_entry_end_youth(struct file_entry *e);

/*
 * Writes the path of that name in d to the end of buf, which has room for
 * NOTIFIER_PATH, and returns where it begins.  NULL: it is longer.
 */
const char *plait_i_entry_path(const struct file_entry *d, const char *name,
			       char *buf);

#endif

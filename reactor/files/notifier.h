/*
 * What tells a reactor of files: one inotify descriptor for all watches.
 *
 * The kernel has one mark for each inode, however many watch it; so a mark has
 * a list of users, one for each watch.  Each user filters what it is told: what
 * the kernel is asked for is what any of them has ever wanted.
 *
 * Events are handled in the kernel's order, but for one thing: the second half
 * of a rename is handled together with the first.  The kernel writes them one
 * after the other and locks both directories meanwhile, so nothing that is told
 * of these names can come between; but the second half may be in a later read,
 * and if the file has left what is watched there is none.  So the first half
 * and all behind it wait a moment for the second.
 *
 * A position is a number of bytes: of all that was ever read.  It orders events
 * and looks at the file system: plait_i_notifier_now() is the position of the
 * next event that is newer than now.
 */
#ifndef REACTOR_NOTIFIER_H
#define REACTOR_NOTIFIER_H

#include <limits.h>
#include <sys/inotify.h>

#include <plait/timer.h>

#include "reactor/files/table.h"
#include "reactor/kernel/notify.h"
#include "reactor/loop/loop.h"

struct file_user;
struct plait_file_watched;

struct file_mark {
	struct file_link link; /* by number */
	int number;
	unsigned held; /* an event of it is being told */
	struct plait_list users;
};

/* What has happened to a name in the directory of a mark, or to the mark itself
   if the name is empty. */
struct file_event {
	uint32_t mask;
	const char *name;
	uint64_t at;
	/*
	 * Of IN_MOVED_FROM: just before, a file was moved to that name.  So two
	 * files may have changed places (RENAME_EXCHANGE), which is told as two
	 * renames; then the name is that of the other one.
	 */
	bool is_back, other_is_directory;
};

/* Both halves of a rename. */
struct file_move {
	struct file_event from, to;
	bool is_directory;
	bool is_back; /* the rename before this was the other way */
};

/* They may end the watch, and so the user. */
struct file_user_ops {
	/* A name: not a rename whose other half was told as well. */
	void (*named)(struct file_user *u, const struct file_event *e);
	/* The inode itself.  IN_IGNORED: the user has no mark any more. */
	void (*self)(struct file_user *u, const struct file_event *e);
	/* A rename from the directory of u to that of to, of the same watch. */
	void (*moved)(struct file_user *u, struct file_user *to,
		      const struct file_move *m);
};

/* Embedded in what watches an inode for a watch.  A watch has one user of a
   mark at most. */
struct file_user {
	struct file_mark *mark; /* NULL: not watched */
	struct plait_list link;
	const struct file_user_ops *ops;
	struct plait_file_watched *of;
};

/* What was found in a directory is compared with its events until these are
   newer: then end() is called.  Embedded, zeroed. */
struct file_youth {
	struct plait_list link; /* in the notifier's list */
	uint64_t until;		/* 0: it is over */
	void (*end)(struct file_youth *y);
};

enum {
	NOTIFIER_BUFFER = 65536,
	/* NAME_MAX is that of most file systems; FUSE has names of 1,024 bytes,
	   and vfat of 1,530.  Nothing relies on there being no longer ones. */
	NOTIFIER_NAME = 1536,
	/* No name can be added to a longer path than PATH_MAX. */
	NOTIFIER_PATH = PATH_MAX + NOTIFIER_NAME + 1
};

/* A rename, as far as the next one may be the way back. */
struct file_last_move {
	int from, to; /* the numbers of marks; 0: nobody watches that */
	bool is_directory;
	char from_name[NOTIFIER_NAME], to_name[NOTIFIER_NAME];
};

struct file_notifier {
	struct plait_reactor *reactor;
	int fd;
	bool busy, closed; /* events are being told; nobody watches any more */
	bool waits;	   /* for the second half of a rename */
	struct plait_watch watch;
	struct plait_timer patience, again;
	struct loop_task going_on, keep;
	struct plait_list watches; /* all that have begun */
	struct plait_list looking; /* those that have to look at their trees */
	struct plait_list unsure;  /* those that have to look at their file */
	struct plait_list young;   /* in the order of their ends */
	struct file_table marks, entries;
	size_t numbers;	   /* of entries, given out so far */
	uint64_t read;	   /* bytes that were read so far */
	uint64_t settled;  /* no first half before this waits any longer */
	uint64_t settling; /* ... when its patience ends */
	size_t begin, end; /* of what is left in events */
	struct file_last_move last;
	char path[NOTIFIER_PATH], from[NOTIFIER_PATH]; /* that are told */
	char work[NOTIFIER_PATH];
	_Alignas(struct kernel_name) char listing[NOTIFIER_BUFFER];
	_Alignas(struct inotify_event) char events[NOTIFIER_BUFFER];
};

/* ---- mark.c -------------------------------------------------------------- */

struct file_mark *plait_i_mark_find(const struct file_notifier *n, int number);
struct file_user *plait_i_mark_user(const struct file_mark *m,
				    const struct plait_file_watched *w);
/* Removes it if it has no user and is not held. */
void plait_i_mark_release(struct file_notifier *n, struct file_mark *m);

static inline const struct kernel_notify *
notifier_calls(const struct file_notifier *n)
{
	return loop_kernel(n->reactor)->calls->notify;
}

/*
 * Closes it if nobody watches: then the kernel has no mark of it any more, and
 * it is not that of its reactor.  The second frees it if it is closed, as soon
 * as it tells nobody anything.
 */
void plait_i_notifier_settle(struct file_notifier *n);
void plait_i_notifier_release(struct file_notifier *n);

/*
 * Makes u a user of the mark that the kernel has given a number for.  0 or
 * -ENOMEM; then the kernel's is removed, unless others use it.  u may be a user
 * already, of that mark or of another.
 */
int plait_i_notifier_use(struct file_notifier *n, struct file_user *u,
			 int number);
/* The kernel has given that number; if nobody uses it, it is removed. */
void plait_i_notifier_unused(struct file_notifier *n, int number);
void plait_i_notifier_leave(struct file_notifier *n, struct file_user *u);

/* The user that w has of the mark of that number, or NULL. */
struct file_user *plait_i_notifier_user(const struct file_notifier *n,
					const struct plait_file_watched *w,
					int number);

uint64_t plait_i_notifier_now(struct file_notifier *n);

/* The position of the event that is handled, or of the next one. */
static inline uint64_t notifier_at(const struct file_notifier *n)
{
	return n->read - (n->end - n->begin);
}

/* Goes on in the next turn, when there is something in the lists. */
void plait_i_notifier_wake(struct file_notifier *n);

/* ---- notifier.c ---------------------------------------------------------- */

/* That of r, which is made if there is none.  Returns 0 or -errno. */
int plait_i_notifier_get(struct plait_reactor *r, struct file_notifier **ret);

#endif

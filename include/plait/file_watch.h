/*
 * Files that change.
 *
 * A struct plait_file_watch is a member of your own struct.  It watches a file,
 * a directory, or a directory with all that is below it, and tells in the loop
 * what has changed.  Nothing is polled.
 *
 *	static void changed(struct plait_file_watch *w,
 *			    const struct plait_file_change *c)
 *	{
 *		if (c->what & (PLAIT_FILE_CREATED | PLAIT_FILE_WRITTEN))
 *			read_settings(c->path);
 *	}
 *
 *	plait_file_watch_start(r, &self->watch, "settings", NULL, changed);
 *
 * This needs Linux.  Changes that other machines make on a network file system
 * are not told, and those of /proc and /sys are not either.
 */
#ifndef PLAIT_FILE_WATCH_H
#define PLAIT_FILE_WATCH_H

#include <stddef.h>

#include <plait/reactor.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_file_watch;

/* What has happened to a path; a change is one of them. */
enum {
	PLAIT_FILE_CREATED = 1,	   /* a file has this name now.  If there was
				      one before, it was replaced */
	PLAIT_FILE_CHANGED = 2,	   /* something was written, or cut off */
	PLAIT_FILE_WRITTEN = 4,	   /* one who could write has closed it */
	PLAIT_FILE_ATTRIBUTES = 8, /* its mode, owner, times, links */
	PLAIT_FILE_REMOVED = 16,   /* no file has this name any more */
	PLAIT_FILE_RENAMED = 32,   /* it was the file from; a file that had this
				      name was replaced */
	/* These are always told. */
	PLAIT_FILE_UNSEEN = 64,	   /* it is there, but cannot be watched */
	PLAIT_FILE_OVERFLOW = 128, /* changes were lost: look again */
	PLAIT_FILE_GONE = 256	   /* the directory of the watch was removed or
				      moved: the watch has ended */
};

struct plait_file_change {
	unsigned what;	  /* one of the above */
	const char *path; /* begins with that of the watch; borrowed */
	const char *from; /* of RENAMED: what it was before; else NULL */
	bool is_directory;
	bool existed; /* of CREATED: the file is older than its name, or may
			 be, so it may be whole: WRITTEN need not follow */
	int error;    /* of UNSEEN: why, a negative errno */
	uintptr_t reserved[4]; /* zero */
};

/* Is called by the loop.  It may call any function, also stop the watch. */
typedef void plait_file_func(struct plait_file_watch *w,
			     const struct plait_file_change *change);

/* Zero means the default. */
struct plait_file_watch_options {
	unsigned what; /* of the changes above; 0: all */
	bool tree;     /* of a directory: watch all below it, too */
	bool existing; /* tell CREATED of all that is there already; and again
			  after each OVERFLOW */
	size_t max_directories; /* that a tree may have; 0: 8192 */
	uintptr_t reserved[8];	/* zero */
};

/* Embed it, zeroed.  Stop the watch before you free the struct around it. */
struct plait_file_watch {
	/* private */
	struct plait_reactor *reactor; /* NULL: not started */
	plait_file_func *fn;
	struct plait_file_watched *inside;
	uintptr_t reserved[3]; /* zero */
};

/*
 * Watches path, which is copied.  If it is a directory, what is told is about
 * the files in it; otherwise about the file that has that path at any time,
 * also after another file has taken its place.  That file need not be there
 * yet, but its directory must.  w is borrowed until the watch is stopped or
 * PLAIT_FILE_GONE is told.  options are borrowed for the call, and may be NULL.
 *
 * Returns 0, or -errno, and then nothing is watched: -ENOENT; -ENOTDIR, if a
 * tree is no directory; -EACCES; -ENOSPC, if the user's limit of watches is
 * reached; -EMFILE, if that of descriptors or inotify instances is; -E2BIG, if
 * a tree has more than max_directories; -ENAMETOOLONG; -ENOMEM; -EBUSY, if w is
 * started; -EINVAL, if a reserved word of the options is not zero; -ENOTSUP, on
 * a testing reactor and in a simulation, and for a directory without /proc;
 * -ECHILD.
 */
int plait_file_watch_start(struct plait_reactor *r, struct plait_file_watch *w,
			   const char *path,
			   const struct plait_file_watch_options *options,
			   plait_file_func *fn);

/*
 * Stops the watch: nothing is told any more, also of what has already happened.
 * Does nothing if w is not started.
 */
void plait_file_watch_stop(struct plait_file_watch *w);

#ifdef __cplusplus
}
#endif

#endif

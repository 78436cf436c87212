/*
 * A watch on a directory, or on all that is below it.
 */
#ifndef REACTOR_TREE_H
#define REACTOR_TREE_H

#include "reactor/files/watched.h"

/*
 * Makes one of path, which is a directory; the caller has yet to fill in
 * outside, and to put it among the notifier's watches.  0 or -errno.
 */
int plait_i_tree_new(struct file_notifier *n, const char *path,
		     const struct plait_file_watch_options *options,
		     struct plait_file_watched **ret);

#endif

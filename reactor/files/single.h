/*
 * A watch on whichever file has a path.
 */
#ifndef REACTOR_SINGLE_H
#define REACTOR_SINGLE_H

#include "reactor/files/watched.h"

/* As plait_i_tree_new(); the file need not be there. */
int plait_i_single_new(struct file_notifier *n, const char *path,
		       const struct plait_file_watch_options *options,
		       struct plait_file_watched **ret);

#endif

/*
 * Files that the library writes: a whole one at once.  They belong to no
 * reactor, so these calls are in no kernel's table.
 */
#ifndef REACTOR_FILE_H
#define REACTOR_FILE_H

#include <stddef.h>

/*
 * A descriptor of the file, emptied or made, or -errno.  The second is for a
 * name that the program has not chosen: nothing is written through a link, into
 * a device or a pipe, or into a file that is somebody else's or has a further
 * name.
 */
int plait_i_file_open(const char *path);
int plait_i_file_open_own(const char *path);

/* Writes all into fd, which is closed; 0 or -errno. */
int plait_i_file_write(int fd, const void *data, size_t len);

#endif

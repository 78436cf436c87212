/*
 * Files that the library writes, a whole one at once; and files that the
 * program gives to be sent.  They belong to no reactor, and are the real
 * system's on every kernel, so these calls are in no kernel's table.
 */
#ifndef REACTOR_FILE_H
#define REACTOR_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Both return a descriptor of the file, which was emptied or made, or -errno.
 * The second function is for a name that the program has not chosen: it refuses
 * a symbolic link, a device, a pipe, a file of another user, and a file that
 * has a second name.
 */
int plait_i_file_open(const char *path);
int plait_i_file_open_own(const char *path);

/* Writes everything into fd and closes it.  Returns 0 or -errno. */
int plait_i_file_write(int fd, const void *data, size_t len);

/* Reads from that place of a file.  Returns how many bytes; 0: the file ends
   there; or -errno. */
ssize_t plait_i_given_file_read(int fd, void *buf, size_t len, uint64_t from);
void plait_i_given_file_close(int fd);

#endif

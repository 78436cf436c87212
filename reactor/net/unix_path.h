/*
 * The file of a UNIX socket: making it, and removing it, beside other servers
 * that do the same.
 */
#ifndef REACTOR_UNIX_PATH_H
#define REACTOR_UNIX_PATH_H

#include <plait/address.h>

#include "reactor/kernel/kernel.h"

/* How a socket is bound. */
struct unix_binding {
	int type;      /* of the socket: SOCK_STREAM, ... */
	unsigned mode; /* 0: as the umask says */
	bool replace_stale, take_over, keep_path;
};

/* What a port remembers of its file.  Zeroed, there is none. */
struct unix_path {
	bool has_file, keep;
	bool is_locked, is_apart; /* while it is made; it has another name */
	int lock;
	struct kernel_file file; /* which one it has made */
};

/*
 * Reads a path as programs write it: "@name" is an abstract name.  0, -EINVAL
 * or -ENAMETOOLONG.
 */
int plait_i_unix_read(struct plait_address *ret, const char *path);

/*
 * Binds fd.  Whatever it returns, 0 or -errno, other servers wait until
 * plait_i_unix_path_end() is called, with 0 or the error that ends all this.
 * That shows the file to clients, or removes it, and returns 0 or -errno.
 */
int plait_i_unix_path_begin(struct unix_path *u, struct kernel *k, int fd,
			    const struct plait_address *at,
			    const struct unix_binding *b);
int plait_i_unix_path_end(struct unix_path *u, struct kernel *k,
			  const struct plait_address *at, int err);

/* Removes the file, if it is still the one that was made.  The socket is still
   open, so that no other file can be mistaken for it. */
void plait_i_unix_path_leave(struct unix_path *u, struct kernel *k,
			     const struct plait_address *at);

#endif

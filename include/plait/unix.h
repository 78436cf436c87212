/*
 * UNIX stream sockets: connections inside this machine.  A port listens at a
 * path, or at an abstract name, which is in no file system.
 *
 * Both functions take a path.  One that begins with '@' is an abstract name, of
 * the characters behind the '@'; the file "@poem" is "./@poem".
 */
#ifndef PLAIT_UNIX_H
#define PLAIT_UNIX_H

#include <plait/tcp.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zero means the default. */
struct plait_listen_unix_options {
	unsigned mode;		  /* who may connect, as chmod() takes it; 0: as
				     the umask says */
	int backlog;		  /* clients who may wait; 0: SOMAXCONN */
	unsigned max_connections; /* of this port at a time; 0: no limit */
	bool shed_idle;		  /* when full, end the idlest one */
	bool replace_stale;	  /* replace a socket where nobody listens */
	bool keep_path;		  /* leave the socket there in the end */
	uintptr_t reserved[8];	  /* zero */
};

/*
 * Listens at path, which is borrowed for the call.  All else is as in
 * plait_listen_tcp().
 *
 * The port removes its socket from the file system when it is closed, and when
 * it begins to drain, unless keep_path is set; but never what somebody else has
 * put in its place.  If mode is set, nobody can connect before it holds.
 *
 * If there is a file at path already, this returns -EADDRINUSE.  With
 * replace_stale it first removes a socket whose listener is gone without having
 * removed it; and nothing else.
 *
 * Returns 0, or what the kernel says: -EADDRINUSE, -EACCES, -ENOENT, -EMFILE,
 * -ENOMEM and others; -EINVAL if path is NULL or has no character, or reserved
 * words of the options are not zero; -ENAMETOOLONG if it has more than 107;
 * -ESHUTDOWN while the reactor shuts down or is freed.
 */
int plait_listen_unix(struct plait_reactor *r, const char *path,
		      struct plait_factory *f,
		      const struct plait_listen_unix_options *options,
		      struct plait_port **ret);

/*
 * Connects the factory to the socket at path.  All is as in
 * plait_connect_tcp(), but of the options only timeout has a meaning: if
 * another one is set, connection_failed() is told ConnectError and EINVAL.  As
 * long as the clients who wait are as many as may wait, the connector tries
 * again, for as long as its timeout lasts.
 */
struct plait_connector *
plait_connect_unix(struct plait_reactor *r, const char *path,
		   struct plait_factory *f,
		   const struct plait_connect_options *options);

#ifdef __cplusplus
}
#endif

#endif

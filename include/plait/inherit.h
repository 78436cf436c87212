/*
 * Sockets that the program was started with: another program has made them, and
 * this one has inherited their descriptors, as number 3 and so on.
 *
 * Such a descriptor is taken once.  From then on it is closed when a program is
 * executed, so a second use, or the use of one that was not inherited, is an
 * error, and never takes what has the same number by now.
 */
#ifndef PLAIT_INHERIT_H
#define PLAIT_INHERIT_H

#include <plait/tcp.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Listens on fd, a TCP or UNIX stream socket that listens already.  All else is
 * as in plait_listen_tcp(), but of the options only max_connections and
 * shed_idle have a meaning; the others must be zero.  The port leaves the file
 * of a UNIX socket there when it is closed.  If fd is 0, 1 or 2, the port uses
 * a copy with a higher number.
 *
 * fd is taken if this returns 0.  Otherwise it is as before, and this returns
 * -EBADF, -ENOTSOCK or another error of the kernel; -EPROTOTYPE if fd is no
 * stream socket; -EAFNOSUPPORT if it is neither TCP nor UNIX; -EINVAL if it
 * does not listen, or for the options; -EALREADY if it is taken already, or was
 * not inherited; -EEXIST if it is watched; -ENOMEM; -ENOTSUP on a testing
 * reactor; -ESHUTDOWN while the reactor shuts down or is freed.
 */
int plait_listen_fd(struct plait_reactor *r, int fd, struct plait_factory *f,
		    const struct plait_listen_options *options,
		    struct plait_port **ret);

/*
 * Connects the factory with fd, a TCP or UNIX stream socket that is connected
 * already: the factory is asked for a protocol in the next turn.  All else is
 * as in plait_connect_tcp().  If fd cannot be taken, connection_failed() is
 * told ConnectError with the errors above; -ENOTCONN if it is not connected.
 * The connector connects once: a further plait_connector_connect() fails.
 */
struct plait_connector *plait_connect_fd(struct plait_reactor *r, int fd,
					 struct plait_factory *f);

/*
 * Writes what fd is, such as "a UDP socket" or "a TCP socket that listens", as
 * snprintf() would.  Returns the length of the whole text, without the NUL.
 */
int plait_fd_str(struct plait_reactor *r, int fd, char *buf, size_t size);

#ifdef __cplusplus
}
#endif

#endif

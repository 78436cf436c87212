/*
 * Connections that are there already: of a descriptor that the program has, or
 * of both ends of a pair.
 *
 * Both functions take what they are given, also if they fail: then the
 * descriptor is closed, and the protocols are freed, as plait_protocol_free()
 * does it.  If they return 0, the loop calls connection_made().
 */
#ifndef PLAIT_ADOPT_H
#define PLAIT_ADOPT_H

#include <plait/protocol.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Makes a connection of fd, a connected stream socket of TCP or UNIX, and gives
 * it the protocol p.  If fd is 0, 1 or 2, the connection uses a copy with a
 * higher number.  The descriptor is closed when a program is executed from then
 * on.  Whether the socket blocks does not matter, and is not changed.
 *
 * Returns 0, or the error of the kernel: -EBADF, -ENOTSOCK, -ENOTCONN, -EMFILE
 * and others; -EPROTOTYPE if it is no stream socket; -EAFNOSUPPORT if it is of
 * another family; -ENOMEM, also if p is NULL; -ENOTSUP on a testing reactor;
 * -ESHUTDOWN while the reactor shuts down or is freed; -ECHILD in a child made
 * by fork().
 */
int plait_adopt_fd(struct plait_reactor *r, int fd, struct plait_protocol *p);

/*
 * Makes two UNIX sockets that are connected with each other, and two
 * connections of them, with the protocols a and b.  Returns the same errors.
 */
int plait_socketpair(struct plait_reactor *r, struct plait_protocol *a,
		     struct plait_protocol *b);

#ifdef __cplusplus
}
#endif

#endif

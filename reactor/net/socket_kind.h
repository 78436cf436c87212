/*
 * What a descriptor is that the program was given: for those who make a
 * connection or a port of it.
 */
#ifndef REACTOR_SOCKET_KIND_H
#define REACTOR_SOCKET_KIND_H

#include "reactor/net/stream.h"

struct socket_kind {
	int type, family;
	int connected; /* 0, or -errno: there is no peer */
	struct plait_address peer;
};

/* Looks, and leaves fd as it is.  0, or -errno: it is no socket. */
int plait_i_socket_kind_look(struct kernel *k, int fd, struct socket_kind *ret);

/* 0; -EPROTOTYPE if it is no stream, or -EAFNOSUPPORT. */
int plait_i_socket_kind_check(const struct socket_kind *s);

/* How streams of a kind that was checked are read and written. */
const struct stream_io *plait_i_socket_kind_io(const struct socket_kind *s);

#endif

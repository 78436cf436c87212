/*
 * Ports for datagrams on a socket, of whatever family.
 */
#ifndef REACTOR_DATAGRAM_SOCKET_H
#define REACTOR_DATAGRAM_SOCKET_H

#include "reactor/net/datagram.h"

struct datagram_socket {
	struct datagram_port base;
	struct plait_watch watch;
	int fd;		 /* -1: none */
	size_t max_size; /* bytes of a datagram that are kept */
	/* Control messages say where datagrams have come, and their ECN. */
	bool tells_local, tells_ecn;
};

/* Watches fd, a socket that does not block.  0 or -errno; fd stays the
   caller's then. */
int plait_i_datagram_socket_start(struct datagram_socket *s,
				  struct plait_reactor *r, int fd);

/* There is no room for message i of what leaves, and those behind it: waits
   until there is. */
void plait_i_datagram_socket_wait(struct datagram_socket *s, unsigned i);

/* The functions of a port on a socket.  free() frees it as one block. */
void plait_i_datagram_socket_stop(struct plait_port *p);
void plait_i_datagram_socket_close(struct plait_port *p);
void plait_i_datagram_socket_pause(struct plait_port *p, bool on);
void plait_i_datagram_socket_free(struct plait_port *p);
void plait_i_datagram_socket_flush(struct datagram_port *d);

#define DATAGRAM_SOCKET_PORT                                                   \
	.stop = plait_i_datagram_socket_stop,                                  \
	.close = plait_i_datagram_socket_close,                                \
	.ended = plait_i_datagram_ended,                                       \
	.pause = plait_i_datagram_socket_pause,                                \
	.free = plait_i_datagram_socket_free

#endif

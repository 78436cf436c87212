/*
 * Transports that are there already, and get their protocol from the loop.
 */
#ifndef REACTOR_ADOPT_H
#define REACTOR_ADOPT_H

#include "reactor/net/transport.h"

/*
 * The loop will call plait_transport_made() for t and *p.  Takes t, and *p,
 * which is NULL then.  Returns 0; or -ENOMEM, also if *p is NULL: then t is
 * freed, and *p is as it was.
 */
int plait_i_adopt(struct plait_transport *t, struct plait_protocol **p);

/* Gives a transport of fd, a connected stream socket, as plait_adopt_fd() does;
   NULL with errno.  Takes fd. */
struct plait_transport *plait_i_adopt_socket(struct plait_reactor *r, int fd,
					     struct transport_owner *owner);

#endif

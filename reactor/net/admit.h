/*
 * Admitting a connection: it gets a protocol of its factory and a transport,
 * and the two get each other.  The one way in, for what a port accepts, what a
 * connector has reached, and what a test plays.
 */
#ifndef REACTOR_ADMIT_H
#define REACTOR_ADMIT_H

#include "reactor/net/acceptor.h"
#include "reactor/net/transport.h"

/* A connection that is there, and is nobody's yet. */
struct newcomer {
	struct plait_reactor *reactor;
	struct plait_factory *factory;
	const struct plait_address *peer;
	struct acceptor *acceptor;     /* whose guest it is; NULL: it is none */
	struct transport_owner *owner; /* if it is no port's guest */
	/*
	 * Makes its transport, for that owner.  NULL with errno.  Not called
	 * if there is no protocol for it.  It may not call the user.
	 */
	struct plait_transport *(*transport)(struct newcomer *n,
					     struct transport_owner *owner);
};

/*
 * Gives its transport, after connection_made() has returned.  NULL with errno,
 * and nothing is left of what was made: ECONNREFUSED if the factory refused,
 * ECHILD if build_protocol() has forked and this is the child, ENOMEM, or what
 * transport() said.  Calls the user, so only between plait_i_loop_enter() and
 * plait_i_loop_leave().
 */
struct plait_transport *plait_i_admit(struct newcomer *n);

#endif

/*
 * Admitting a connection: the factory builds a protocol, and the protocol gets
 * a transport.  All connections come this way: those that a port accepts, those
 * that a connector has made, and those that a test plays.
 */
#ifndef REACTOR_ADMIT_H
#define REACTOR_ADMIT_H

#include "reactor/net/acceptor.h"
#include "reactor/net/transport.h"

/* A connection without a protocol. */
struct newcomer {
	struct plait_reactor *reactor;
	struct plait_factory *factory;
	const struct plait_address *peer;
	struct acceptor *acceptor;     /* whose guest it is; NULL: no guest */
	struct transport_owner *owner; /* if it is no guest */
	/*
	 * Makes the transport, for that owner.  NULL with errno.  It is called
	 * when there is a protocol.  It may not call the user.
	 */
	struct plait_transport *(*transport)(struct newcomer *n,
					     struct transport_owner *owner);
};

/*
 * Returns the transport, after connection_made() has returned.  NULL with
 * errno: ECONNREFUSED if the factory has refused, ECHILD if build_protocol()
 * has forked and this is the child, ENOMEM, or the errno of transport().  Then
 * nothing is left of what was made.  This calls the user, so it is only for use
 * between plait_i_loop_enter() and plait_i_loop_leave().
 */
struct plait_transport *plait_i_admit(struct newcomer *n);

#endif

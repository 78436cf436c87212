/*
 * The recording transport, for testing.c.
 */
#ifndef REACTOR_RECORDING_H
#define REACTOR_RECORDING_H

#include "reactor/net/transport.h"

/*
 * Makes a recording transport, which lives until its reactor is freed; returns
 * NULL with ENOMEM.  The caller then calls plait_transport_made().
 */
struct plait_transport *plait_i_recording_new(struct plait_reactor *r,
					      const struct plait_address *host,
					      const struct plait_address *peer,
					      struct transport_owner *owner);

/* Counts the connection among those that use the factory, until it is lost. */
void plait_i_recording_count(struct plait_transport *t,
			     struct plait_factory *f);

/*
 * Carries what the first has written, or its end, to the second.  Returns true
 * if there was something to carry.
 */
bool plait_i_recording_carry(struct plait_transport *from,
			     struct plait_transport *to);

#endif

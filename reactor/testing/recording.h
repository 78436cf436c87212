/*
 * The recording transport, for testing.c.
 */
#ifndef REACTOR_RECORDING_H
#define REACTOR_RECORDING_H

#include "reactor/net/transport.h"

/*
 * A new one, which lives until its reactor is freed; NULL with ENOMEM.  Then
 * plait_transport_made() it.
 */
struct plait_transport *plait_i_recording_new(struct plait_reactor *r,
					      const struct plait_address *host,
					      const struct plait_address *peer,
					      struct transport_owner *owner);

/* Counts the connection among those that use the factory, until it is lost. */
void plait_i_recording_count(struct plait_transport *t,
			     struct plait_factory *f);

/*
 * One step of what connects two of them: brings what the one has written to
 * the other, or its end.  True if there was something to bring.
 */
bool plait_i_recording_carry(struct plait_transport *from,
			     struct plait_transport *to);

#endif

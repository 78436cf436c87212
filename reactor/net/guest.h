/*
 * Guests: the connections that a port has accepted, if it counts them.
 */
#ifndef REACTOR_GUEST_H
#define REACTOR_GUEST_H

#include "reactor/net/port.h"
#include "reactor/net/transport.h"

/*
 * An owner for the next one, or NULL if the port does not count.  0 or
 * -ENOMEM.  The guest then enters, before its protocol is told of the
 * connection; or is dropped.
 */
int plait_i_guest_new(struct plait_port *p, struct transport_owner **ret);
void plait_i_guest_enter(struct transport_owner *o, struct plait_transport *t);
void plait_i_guest_drop(struct transport_owner *o);

/* One more may come. */
bool plait_i_guest_has_room(const struct plait_port *p);

/*
 * Asks for room: calls the factory's port_full(), and sheds if that is the
 * port's way.  True if a guest is about to be lost; then room() is called.
 */
bool plait_i_guest_make_room(struct plait_port *p);

/* The port goes, and its guests stay. */
void plait_i_guest_forget_port(struct plait_port *p);

#endif

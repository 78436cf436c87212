/*
 * Guests: the connections that an acceptor has accepted, if it counts them.
 */
#ifndef REACTOR_GUEST_H
#define REACTOR_GUEST_H

#include "reactor/net/acceptor.h"
#include "reactor/net/transport.h"

/*
 * Gives an owner for the next guest, or NULL if the port does not count guests.
 * Returns 0 or -ENOMEM.  Then either the guest enters, before its protocol is
 * told of the connection, or it is dropped.
 */
int plait_i_guest_new(struct acceptor *a, struct transport_owner **ret);
void plait_i_guest_enter(struct transport_owner *o, struct plait_transport *t);
void plait_i_guest_drop(struct transport_owner *o);

/* Is true if the port may have one more guest. */
bool plait_i_guest_has_room(const struct acceptor *a);

/*
 * Asks for room: calls the factory's port_full(), and ends the idlest guest if
 * the port has shed_idle.  Returns true if a guest is about to be lost; then
 * room() will be called.
 */
bool plait_i_guest_make_room(struct acceptor *a);

/* The port is freed, and its guests stay. */
void plait_i_guest_forget_acceptor(struct acceptor *a);

#endif

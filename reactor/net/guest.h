/*
 * Guests: the connections that an acceptor has accepted, if it counts them.
 */
#ifndef REACTOR_GUEST_H
#define REACTOR_GUEST_H

#include "reactor/net/acceptor.h"
#include "reactor/net/transport.h"

/*
 * An owner for the next one, or NULL if the port does not count.  0 or
 * -ENOMEM.  The guest then enters, before its protocol is told of the
 * connection; or is dropped.
 */
int plait_i_guest_new(struct acceptor *a, struct transport_owner **ret);
void plait_i_guest_enter(struct transport_owner *o, struct plait_transport *t);
void plait_i_guest_drop(struct transport_owner *o);

/* One more may come. */
bool plait_i_guest_has_room(const struct acceptor *a);

/*
 * Asks for room: calls the factory's port_full(), and sheds if that is the
 * port's way.  True if a guest is about to be lost; then room() is called.
 */
bool plait_i_guest_make_room(struct acceptor *a);

/* The port goes, and its guests stay. */
void plait_i_guest_forget_acceptor(struct acceptor *a);

#endif

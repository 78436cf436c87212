/*
 * A port that accepts connections for a factory, whatever it listens on.
 */
#ifndef REACTOR_ACCEPTOR_H
#define REACTOR_ACCEPTOR_H

#include "reactor/net/network.h"
#include "reactor/net/port.h"

/* What differs between kinds of acceptors.  None may call the user. */
struct acceptor_ops {
	struct port_ops port; /* .ended is plait_i_acceptor_ended() */
	void (*room)(struct acceptor *a); /* a guest has left */
};

/* Embedded first by each kind of acceptor. */
struct acceptor {
	struct plait_port port;
	struct plait_factory *factory;
	struct plait_list guests; /* in the order in which they came */
	unsigned n_guests, max_connections; /* 0: no limit */
	bool shed_idle;
};

static inline const struct acceptor_ops *acceptor_ops(const struct acceptor *a)
{
	return (const struct acceptor_ops *)(const void *)a->port.ops;
}

/*
 * The common part of plait_listen_tcp() and functions like it.  make() makes
 * the port; or the reactor's network does, if it has one instead of sockets.
 * options may be NULL.
 */
int plait_i_acceptor_listen(struct plait_reactor *r, const char *function,
			    acceptor_maker *make,
			    const struct plait_address *address,
			    const struct plait_listen_options *options,
			    struct plait_factory *f, struct plait_port **ret);

/*
 * The last part of it, for an acceptor that was made in another way, after
 * plait_i_port_check(): opens the port and tells the factory.
 */
void plait_i_acceptor_open(struct acceptor *a, struct plait_reactor *r,
			   struct plait_factory *f,
			   const struct plait_listen_options *options,
			   struct plait_port **ret);

/* The port is closed: tells the factory. */
void plait_i_acceptor_ended(struct plait_port *p);

#endif

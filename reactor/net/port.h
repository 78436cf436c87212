/*
 * The inside of a port: the part that is the same whatever it listens on.
 */
#ifndef REACTOR_PORT_H
#define REACTOR_PORT_H

#include <plait/tcp.h>

#include "reactor/loop/loop.h"
#include "reactor/net/network.h"

/* How a kind of port does it.  None may call the user. */
struct port_ops {
	void (*stop)(struct plait_port *p);  /* accepts no more, from now on */
	void (*close)(struct plait_port *p); /* later, outside of all events */
	void (*room)(struct plait_port *p);  /* a guest has left */
	/* Accepts none for the time being, or goes on.  NULL: nothing to do. */
	void (*pause)(struct plait_port *p, bool on);
	void (*free)(struct plait_port *p);
};

/* Embedded first by each kind of port. */
struct plait_port {
	const struct port_ops *ops;
	struct plait_reactor *reactor;
	struct plait_factory *factory;
	struct plait_address address;
	struct plait_promise *stopped; /* who waits for the end */
	struct loop_member member;
	struct loop_task answer, burial, keep;
	struct plait_list guests; /* in the order in which they came */
	unsigned n_guests, max_connections; /* 0: no limit */
	unsigned pauses; /* that were not taken back; accepts at 0 */
	bool shed_idle;
	bool open;     /* accepts */
	bool closed;   /* it is over, and the factory knows */
	bool released; /* the user has given the handle back */
};

/* True unless it was stopped or paused. */
static inline bool port_is_accepting(const struct plait_port *p)
{
	return p->open && p->pauses == 0;
}

/*
 * What plait_listen_tcp() and its likes have in common: a port for the
 * factory, made by make() or by the network that the reactor has instead of
 * sockets.  options may be NULL.
 */
int plait_i_port_listen(struct plait_reactor *r, const char *function,
			port_maker *make, const struct plait_address *address,
			const struct plait_listen_options *options,
			struct plait_factory *f, struct plait_port **ret);

#endif

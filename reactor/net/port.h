/*
 * The inside of a port: the part that is the same whatever it listens on, and
 * whatever it does with what comes.  A port that accepts connections for a
 * factory is an acceptor (acceptor.h).
 */
#ifndef REACTOR_PORT_H
#define REACTOR_PORT_H

#include <plait/tcp.h>

#include "reactor/loop/loop.h"
#include "reactor/net/address.h"

/* How a kind of port does it.  Only ended() may call the user. */
struct port_ops {
	void (*stop)(struct plait_port *p);  /* takes no more, from now on */
	void (*close)(struct plait_port *p); /* later, outside of all events */
	/* It is closed: tells whom that concerns.  NULL: nobody. */
	void (*ended)(struct plait_port *p);
	/*
	 * Takes those that wait already, from the loop, then calls
	 * plait_i_port_end().  NULL: none wait.
	 */
	void (*drain)(struct plait_port *p);
	/* Takes none for the time being, or goes on.  NULL: nothing to do. */
	void (*pause)(struct plait_port *p, bool on);
	void (*free)(struct plait_port *p);
	/* Where it is, for people, as snprintf().  NULL: its address says it.
	 */
	int (*where)(const struct plait_port *p, char *buf, size_t size);
};

enum { PORT_WHERE_SIZE = PLAIT_ADDRESS_SIZE };

/* Embedded first by each kind of port. */
struct plait_port {
	const struct port_ops *ops;
	struct plait_reactor *reactor;
	struct kept_address address;
	struct plait_promise *stopped; /* who waits for the end */
	struct loop_member member;
	struct loop_task answer, burial, keep;
	unsigned pauses; /* that were not taken back; takes what comes at 0 */
	bool open;	 /* takes what comes */
	bool closed;	 /* it is over, and all know */
	bool released;	 /* the user has given the handle back */
	bool draining;	 /* it ends when nobody waits any more */
};

/* Whether a port may be opened: 0, -ECHILD or -ESHUTDOWN. */
int plait_i_port_check(struct plait_reactor *r, const char *function);

/*
 * Opens one whose ops and address are filled in, and which is ready to listen.
 * From here on the reactor has it: the end calls stop(), then, from the loop,
 * close() and ended(), and free() when nobody has the handle any more.
 */
void plait_i_port_open(struct plait_port *p, struct plait_reactor *r);

/*
 * Takes no more from now on, and is closed from the loop.  Does nothing for a
 * port that ends already.
 */
void plait_i_port_end(struct plait_port *p);

/* Writes where it is, for people, as snprintf() would. */
int plait_i_port_where(const struct plait_port *p, char *buf, size_t size);

/* True unless it was stopped or paused. */
static inline bool port_is_accepting(const struct plait_port *p)
{
	return p->open && p->pauses == 0;
}

#endif

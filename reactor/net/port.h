/*
 * The part of a port that does not depend on what the port listens on, nor on
 * what it does with those who come.  A port that accepts connections for a
 * factory is an acceptor (acceptor.h).
 */
#ifndef REACTOR_PORT_H
#define REACTOR_PORT_H

#include <plait/tcp.h>

#include "reactor/loop/loop.h"
#include "reactor/kernel/address.h"

/* What differs between kinds of ports.  Only ended() may call the user. */
struct port_ops {
	void (*stop)(struct plait_port *p);  /* accepts nobody from now on */
	void (*close)(struct plait_port *p); /* later, outside of all events */
	/* The port is closed: tells its users.  NULL: there are none. */
	void (*ended)(struct plait_port *p);
	/*
	 * Accepts those who wait, from the loop, and then calls
	 * plait_i_port_end().  NULL: nobody ever waits.
	 */
	void (*drain)(struct plait_port *p);
	/* Pauses or resumes.  NULL: nothing has to be done for that. */
	void (*pause)(struct plait_port *p, bool on);
	void (*free)(struct plait_port *p);
	/* Writes where the port is, for people, as snprintf() would.  NULL: as
	   its address says. */
	int (*where)(const struct plait_port *p, char *buf, size_t size);
};

enum { PORT_WHERE_SIZE = PLAIT_ADDRESS_SIZE };

/* Embedded first by each kind of port. */
struct plait_port {
	const struct port_ops *ops;
	struct plait_reactor *reactor; /* NULL: freed before a value */
	struct kept_address address;
	struct plait_promise *stopped; /* for whoever waits for the end */
	struct loop_member member;
	struct loop_task answer, burial, keep;
	unsigned pauses; /* that were not taken back */
	bool open;	 /* it listens */
	bool closed;	 /* close() was called, and users were told */
	bool released;	 /* the program has ended the handle */
	bool draining;	 /* it ends when nobody waits any more */
	bool valued;	 /* a value owns the handle */
};

/* Whether a port may be opened: 0, -ECHILD or -ESHUTDOWN. */
int plait_i_port_check(struct plait_reactor *r, const char *function);

/*
 * Opens a port that is ready to listen, with its ops and its address filled in.
 * From here on the port is the reactor's.  Its end calls stop(); then, from the
 * loop, close() and ended(); and free() when the handle has ended, too.
 */
void plait_i_port_open(struct plait_port *p, struct plait_reactor *r);

/*
 * The port accepts nobody from now on, and is closed from the loop.  Does
 * nothing if the port ends already.
 */
void plait_i_port_end(struct plait_port *p);

/* Writes where the port is, for people, as snprintf() would. */
int plait_i_port_where(const struct plait_port *p, char *buf, size_t size);

/* True unless it was stopped or paused. */
static inline bool port_is_accepting(const struct plait_port *p)
{
	return p->open && p->pauses == 0;
}

#endif

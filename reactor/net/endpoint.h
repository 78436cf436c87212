/*
 * The inside of ports and connectors: the part that is the same whether the
 * network is the kernel (tcp_port.c, tcp_connector.c) or a test (testing.c).
 */
#ifndef REACTOR_ENDPOINT_H
#define REACTOR_ENDPOINT_H

#include <plait/tcp.h>

#include "reactor/net/transport.h"

/* How a kind of port does it.  None may call the user. */
struct port_ops {
	void (*stop)(struct plait_port *p);  /* accepts no more, from now on */
	void (*close)(struct plait_port *p); /* later, outside of all events */
	void (*room)(struct plait_port *p);  /* a guest has left */
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
	bool shed_idle;
	bool open;     /* accepts */
	bool closed;   /* it is over, and the factory knows */
	bool released; /* the user has given the handle back */
};

/*
 * A port of that kind, listening on that address but not accepting yet: its
 * ops, and its address if that is not the one that was asked for, are filled
 * in.  0 or -errno.
 */
typedef int port_maker(struct plait_reactor *r,
		       const struct plait_address *address,
		       const struct plait_listen_options *options,
		       struct plait_port **ret);
port_maker plait_i_tcp_port_new, plait_i_testing_port_new;

/*
 * Guests: accepted connections, if the port counts them (guest.c).  An owner
 * for the next one, or NULL if it does not.  0 or -ENOMEM.  The guest then
 * enters, before its protocol is told of the connection; or is dropped.
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

/* How a kind of connector makes an attempt.  None may call the user. */
struct connector_ops {
	/* Starts; the outcome comes later as plait_i_connector_connected() or
	   plait_i_connector_failed(), never from inside. */
	void (*start)(struct plait_connector *c);
	/* Nothing more may come of the attempt.  Stopping twice is nothing. */
	void (*stop)(struct plait_connector *c);
	/* Closes what a stopped attempt has left, outside of all events. */
	void (*close)(struct plait_connector *c);
	/* The transport of an attempt that succeeded, owned by c->owner; NULL
	   with errno. */
	struct plait_transport *(*transport)(struct plait_connector *c);
	void (*free)(struct plait_connector *c);
};

/* Embedded first by each kind of connector; refcounted. */
struct plait_connector {
	const struct connector_ops *ops;
	struct plait_reactor *reactor; /* NULL: it was freed */
	struct plait_factory *factory;
	struct plait_address destination;
	struct plait_address bind; /* zeroed: any */
	double timeout;
	struct plait_transport *transport;
	struct transport_owner owner;
	struct loop_member member;
	struct loop_task answer, burial, keep;
	struct plait_timer timer;
	const struct plait_failure *why;      /* what the answer will say */
	const struct plait_failure *unusable; /* why no attempt can be made */
	enum plait_connector_state state;
	unsigned refs;
	uint32_t cause;	     /* the cancel that stopped the attempt; 0: none */
	bool held;	     /* by an attempt */
	bool counted;	     /* among those that use the factory */
	bool told;	     /* the factory knows of the attempt */
	bool lose_when_made; /* asked for before there was a transport */
	bool no_delay, keep_alive;
};

/* Zeroed but for its ops; NULL with no memory. */
typedef struct plait_connector *connector_maker(void);
connector_maker plait_i_tcp_connector_new, plait_i_testing_connector_new;

/*
 * The attempt succeeded: builds the protocol and connects it.  The attempt
 * failed: why is taken.  Both call the user, so only from the loop.
 */
void plait_i_connector_connected(struct plait_connector *c);
void plait_i_connector_failed(struct plait_connector *c,
			      const struct plait_failure *why);

/*
 * Brings the outcome from the loop: the attempt fails, for that reason, which
 * is taken; NULL: it succeeds.  The last outcome of a turn counts.
 */
void plait_i_connector_answer(struct plait_connector *c,
			      const struct plait_failure *why);

/*
 * What to say when connecting fails with that errno, given.  kind is NULL
 * where the errno tells which.
 */
const struct plait_failure *
plait_i_connector_failure(const struct plait_connector *c,
			  const struct plait_error *kind, int err);

#endif

/*
 * The inside of ports and connectors: the part that is the same whether the
 * network is the kernel (tcp.c) or a test (testing.c).
 */
#ifndef REACTOR_ENDPOINT_H
#define REACTOR_ENDPOINT_H

#include <plait/tcp.h>

#include "reactor/transport.h"

/* How a kind of port ends.  close() must not call the user. */
struct port_ops {
	void (*close)(struct plait_port *p);
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
	struct loop_task answer, burial;
	bool open;
};

void port_init(struct plait_port *p, const struct port_ops *ops,
	       struct plait_reactor *r, struct plait_factory *f);

/* How a kind of connector makes an attempt.  None may call the user. */
struct connector_ops {
	/* Starts; the outcome comes later as connector_connected() or
	   connector_failed(), never from inside. */
	void (*start)(struct plait_connector *c);
	void (*stop)(struct plait_connector *c); /* forget the attempt */
	void (*free)(struct plait_connector *c);
};

/* Embedded first by each kind of connector; refcounted. */
struct plait_connector {
	const struct connector_ops *ops;
	struct plait_reactor *reactor;
	struct plait_factory *factory;
	struct plait_address destination, bind;
	double timeout;
	struct plait_transport *transport;
	struct transport_owner owner;
	struct loop_member member;
	struct loop_task answer;
	struct plait_timer timer;
	const struct plait_failure *why; /* of the answer that is to come */
	enum plait_connector_state state;
	unsigned refs;
	bool no_delay, keep_alive;
};

void connector_init(struct plait_connector *c, const struct connector_ops *ops,
		    struct plait_reactor *r, struct plait_factory *f);

/*
 * The attempt succeeded: builds the protocol and connects it to t.  The
 * attempt failed: why is taken.  Both call the user, so only from the loop.
 */
void connector_connected(struct plait_connector *c, struct plait_transport *t);
void connector_failed(struct plait_connector *c,
		      const struct plait_failure *why);

#endif

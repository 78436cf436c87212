/*
 * The inside of a connector: the part that is the same whatever it connects
 * through.
 */
#ifndef REACTOR_CONNECTOR_H
#define REACTOR_CONNECTOR_H

#include <plait/tcp.h>

#include "reactor/net/network.h"
#include "reactor/net/transport.h"

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

/*
 * What plait_connect_tcp() and its likes have in common: a connector, made by
 * make() or by the network that the reactor has instead of sockets.  NULL with
 * errno; if that is ENOMEM the factory will be told.  Its user fills in where
 * to, how, and why it can't be, and then starts the first attempt.
 */
struct plait_connector *plait_i_connector_new(struct plait_reactor *r,
					      const char *function,
					      connector_maker *make,
					      struct plait_factory *f);
void plait_i_connector_start(struct plait_connector *c);

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

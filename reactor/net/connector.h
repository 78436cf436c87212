/*
 * The part of a connector that does not depend on what it connects through.
 */
#ifndef REACTOR_CONNECTOR_H
#define REACTOR_CONNECTOR_H

#include <plait/tcp.h>

#include "reactor/net/attempts.h"
#include "reactor/net/transport.h"

/* Refcounted. */
struct plait_connector {
	struct plait_reactor *reactor; /* NULL: the reactor was freed */
	struct plait_factory *factory;
	double timeout;
	struct attempts attempts;
	struct attempt *at; /* the one that has won, or NULL */
	struct plait_transport *transport;
	struct transport_owner owner;
	struct loop_member member;
	struct loop_task answer, burial, keep;
	struct plait_timer timer;
	double due;			      /* when the timeout is over */
	const struct plait_failure *why;      /* to be told by the answer */
	const struct plait_failure *unusable; /* no attempt can be made */
	enum plait_connector_state state;
	unsigned refs;
	uint32_t cause;	     /* the cancel that stopped it; 0: none */
	bool held;	     /* it has a reference to itself */
	bool counted;	     /* it is one of the users of its factory */
	bool told;	     /* started_connecting() was called */
	bool lose_when_made; /* disconnect() came before the transport */
};

/* The connector that m is; NULL: it is none. */
struct plait_connector *plait_i_connector_of_member(struct loop_member *m);

/*
 * The common part of plait_connect_tcp() and functions like it: a connector
 * with attempts of that kind; or of the kind of the reactor's network, if it
 * has one instead of sockets.  NULL with errno; if that is ENOMEM, the factory
 * will be told.  The caller adds addresses or a search, fills in the options,
 * or why the connector is unusable, and then starts it.
 */
struct plait_connector *plait_i_connector_new(struct plait_reactor *r,
					      const char *function,
					      const struct attempt_ops *ops,
					      struct plait_factory *f);
void plait_i_connector_start(struct plait_connector *c);

/*
 * Adds an address: before the connector starts, one; and while it connects, if
 * it has a search, any.  Returns 0; -ENOMEM; -E2BIG if there are too many;
 * -ENOTCONN if the connector has an outcome already.
 *
 * When all have failed, the connector waits for more, until
 * plait_i_connector_no_more() says that none come; then connection_failed() is
 * told plait_i_attempts_failure().  The timeout is for all of it together.
 */
int plait_i_connector_add(struct plait_connector *c,
			  const struct plait_address *to);

/*
 * The search finds no more addresses of that family; AF_UNSPEC: none at all.
 * why is its failure, which is taken, or NULL.  Does nothing if the connector
 * has an outcome already.
 */
void plait_i_connector_no_more(struct plait_connector *c, int family,
			       const struct plait_failure *why);

#endif

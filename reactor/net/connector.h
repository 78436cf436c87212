/*
 * The inside of a connector: the part that is the same whatever it connects
 * through.
 */
#ifndef REACTOR_CONNECTOR_H
#define REACTOR_CONNECTOR_H

#include <plait/tcp.h>

#include "reactor/net/attempts.h"
#include "reactor/net/transport.h"

/* Refcounted. */
struct plait_connector {
	struct plait_reactor *reactor; /* NULL: it was freed */
	struct plait_factory *factory;
	double timeout;
	struct attempts attempts;
	struct attempt *at; /* the first; when one has won, that */
	struct plait_transport *transport;
	struct transport_owner owner;
	struct loop_member member;
	struct loop_task answer, burial, keep;
	struct plait_timer timer;
	const struct plait_failure *why;      /* what the answer will say */
	const struct plait_failure *unusable; /* why no attempt can be made */
	enum plait_connector_state state;
	unsigned refs;
	uint32_t cause;	     /* the cancel that stopped it; 0: none */
	bool held;	     /* while it connects or is connected */
	bool counted;	     /* among those that use the factory */
	bool told;	     /* the factory knows that it connects */
	bool lose_when_made; /* asked for before there was a transport */
};

/* The connector that m is; NULL: it is none. */
struct plait_connector *plait_i_connector_of_member(struct loop_member *m);

/*
 * What plait_connect_tcp() and its likes have in common: a connector whose
 * attempts are of that kind, or of that of the network that the reactor has
 * instead of sockets.  NULL with errno; if that is ENOMEM the factory will be
 * told.  Its user adds addresses or a search, says how to connect, and why it
 * can't be, and then starts it.
 */
struct plait_connector *plait_i_connector_new(struct plait_reactor *r,
					      const char *function,
					      const struct attempt_ops *ops,
					      struct plait_factory *f);
void plait_i_connector_start(struct plait_connector *c);

/*
 * Where to, before it starts; and while it connects, if it has a search
 * (c->attempts.search, taken).  0; -ENOMEM; -E2BIG above ATTEMPTS_MAX;
 * -ENOTCONN if it has an outcome already.
 *
 * The connector tries one address after the other.  If all have failed it waits
 * for more, until it is told that no more come; then connection_failed() is
 * told what plait_i_attempts_failure() makes of it.  The timeout is for all of
 * that together.
 */
int plait_i_connector_add(struct plait_connector *c,
			  const struct plait_address *to);

/* Tries the next address beside what is under way; false: there is none. */
bool plait_i_connector_try_next(struct plait_connector *c);

/*
 * The search is over.  why, which is taken, is why it has failed, or NULL.
 * When there is an outcome already this does nothing.
 */
void plait_i_connector_no_more(struct plait_connector *c,
			       const struct plait_failure *why);

#endif

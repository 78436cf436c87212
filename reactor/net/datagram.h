/*
 * Ports for datagrams, of whatever kind: the part that does not depend on where
 * the datagrams come from.
 */
#ifndef REACTOR_DATAGRAM_H
#define REACTOR_DATAGRAM_H

#include <plait/udp.h>

#include "reactor/net/port.h"

struct datagram_port;

/* A kind of port for datagrams.  None of these calls the user. */
struct datagram_ops {
	struct port_ops port;
	/* Sends what is in d->out: n datagrams from the first on.  Says of each
	   that fails plait_i_datagram_not_sent(), and when there is no room
	   plait_i_datagram_no_room(); from then on it looks for room. */
	void (*flush)(struct datagram_port *d);
	/* Joins a group, or leaves it: 0 or -errno. */
	int (*group)(struct datagram_port *d, const struct plait_address *group,
		     unsigned interface_index,
		     const struct plait_address *source, bool joins);
};

/* How many datagrams are sent and received together; and how many bytes are
   sent together, unless one has more. */
enum { DATAGRAM_BATCH = 32, DATAGRAM_BYTES = 65536 };

struct datagram_failure {
	struct plait_address to;
	int err;
};

/*
 * What waits for the end of a callback, as sendmmsg() takes it, and failures
 * that wait for the loop.  Each message has one piece, and the pieces lie one
 * behind the other in bytes.  A message without a name goes to whom the port is
 * connected.
 */
struct datagram_out {
	unsigned n, n_failures;
	uint32_t sources; /* bit i: message i is to leave from from[i] */
	struct mmsghdr msgs[DATAGRAM_BATCH];
	struct iovec pieces[DATAGRAM_BATCH];
	union kernel_address to[DATAGRAM_BATCH], from[DATAGRAM_BATCH];
	struct datagram_failure failures[DATAGRAM_BATCH];
	unsigned char *bytes;
	size_t used, room;
};

/* Embedded first by each kind, which fills in base.ops, base.address, peer,
   family and queue_bytes before plait_i_datagram_open(). */
struct datagram_port {
	struct plait_port base;
	struct plait_datagram_protocol *protocol; /* NULL: it is done */
	struct plait_address peer; /* no address: it is not connected */
	int family;
	struct datagram_out *out;   /* NULL: nothing was sent yet */
	struct loop_task sending;   /* when the callback has returned */
	struct loop_task telling;   /* from the loop: started(), failed() */
	bool started;		    /* was told */
	bool is_full;		    /* the system has no room */
	bool owes_room;		    /* EAGAIN was told, and room() was not */
	struct plait_list queue;    /* what waits, only while it is full */
	size_t queued, queue_bytes; /* memory of that, and how much it may be */
	int broken;		    /* what broke it; 0: nothing */
};

/* Opens *d for p. */
void plait_i_datagram_open(struct datagram_port *d, struct plait_reactor *r,
			   struct plait_datagram_protocol *p,
			   struct plait_port **ret);

/* Are told from the loop.  The port may have ended when they return. */
void plait_i_datagram_received(struct datagram_port *d, const void *data,
			       size_t len,
			       const struct plait_datagram_info *info);
void plait_i_datagram_failed(struct datagram_port *d, int err,
			     const struct plait_address *to);

/* There may be room again: sends what waits, and tells who was refused. */
void plait_i_datagram_has_room(struct datagram_port *d);

/* There is no room for message i of d->out and those behind it: they wait in
   the queue of the port, or are not sent.  The port is full then. */
void plait_i_datagram_no_room(struct datagram_port *d, unsigned i);

/* Message i was not sent: tells the program later. */
void plait_i_datagram_not_sent(struct datagram_port *d, unsigned i, int err);

/* An earlier datagram to there did not arrive: tells the program later. */
void plait_i_datagram_unsent(struct datagram_port *d, int err,
			     const struct plait_address *to);
bool plait_i_datagram_may_note(const struct datagram_port *d);

/* Where message i of d->out is to go. */
void plait_i_datagram_destination(const struct datagram_port *d, unsigned i,
				  struct plait_address *ret);

/* What port_ops.ended is for all kinds; and what their free() does first. */
void plait_i_datagram_ended(struct plait_port *p);
void plait_i_datagram_drop(struct datagram_port *d);

/* True while datagrams may be told: it is open, and this is its process. */
static inline bool datagram_goes_on(const struct datagram_port *d)
{
	return d->base.open && !loop_is_forked(d->base.reactor);
}

static inline bool datagram_is_connected(const struct datagram_port *d)
{
	return d->peer.family != AF_UNSPEC;
}

#endif

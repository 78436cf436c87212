/*
 * The inside of a transport: what the TCP one (stream.c) and the recording
 * one (testing.c) share.
 *
 * The base keeps the state that every protocol can see: connected or not,
 * closing or not, the producer and its marks, and the order of the callbacks.
 * A kind of transport adds how bytes leave and come.  connection_made(),
 * data_received() and connection_lost() are called here and nowhere else.
 */
#ifndef REACTOR_TRANSPORT_H
#define REACTOR_TRANSPORT_H

#include <plait/protocol.h>

#include "reactor/loop/loop.h"
#include "reactor/net/output.h"

/* How a kind of transport does it.  None may call the user. */
struct transport_ops {
	const char *name; /* "tcp" */
	/*
	 * Queue for sending.  The base has checked that writing is possible,
	 * that there is something to write and that the limits allow it.
	 */
	void (*write)(struct plait_transport *t, const struct iovec *pieces,
		      int n);
	void (*write_buf)(struct plait_transport *t, struct plait_buf *buf);
	/*
	 * Close once all is sent and no producer holds it; called again when
	 * the producer has gone.
	 */
	void (*lose)(struct plait_transport *t);
	/*
	 * Drop the output and be lost in the next turn, for that reason,
	 * which is taken; reset the connection, or only if output is lost.
	 */
	void (*abort)(struct plait_transport *t,
		      const struct plait_failure *why, bool reset);
	void (*lose_write)(struct plait_transport *t);
	void (*set_reading)(struct plait_transport *t, bool on);
	struct output *(*output)(struct plait_transport *t);
	bool (*peer_has_closed)(const struct plait_transport *t);
	int (*host)(struct plait_transport *t, struct plait_address *ret);
	int (*peer)(struct plait_transport *t, struct plait_address *ret);
	/* NULL: there are no options. */
	int (*set_option)(struct plait_transport *t, int level, int option,
			  int value);
};

/*
 * Told after the protocol that the connection is over: a connector's, or a
 * guest's.
 */
struct transport_owner {
	void (*lost)(struct transport_owner *o,
		     const struct plait_failure *why);
	/* In a forked child, instead.  NULL: there is nothing to do. */
	void (*abandon)(struct transport_owner *o);
};

/* Those of struct plait_limits that are a connection's own. */
struct transport_limits {
	size_t max_unsent, high_water, low_water, linger_bytes;
	double close_timeout, linger_timeout;
};

struct plait_transport {
	const struct transport_ops *ops;
	struct plait_reactor *reactor;
	struct plait_protocol *protocol; /* NULL before and after */
	struct transport_owner *owner;	 /* NULL: nobody has to know */
	struct plait_producer *producer;
	struct plait_producer as_producer;
	struct plait_transport *fed;	  /* the first that as_producer feeds */
	struct plait_transport *next_fed; /* by the same producer */
	struct transport_limits limits;
	struct plait_scope *scope;  /* NULL: nobody has asked for it */
	struct loop_task producing; /* the producer is to be told something */
	uint64_t active;	    /* numbers when bytes last moved */
	uint32_t cause;		    /* the cancel that closed it; 0: none */
	/* Bits, as there may be many that are idle. */
	bool streaming : 1, producer_paused : 1;
	bool asked : 1; /* a pull producer, and nothing was written since */
	bool disconnecting : 1, aborted : 1, write_closed : 1, lost : 1;
	bool reading_paused : 1;
	bool leaving : 1; /* the reactor has lost it, and waits for nobody */
	unsigned char inside; /* callbacks of the protocol on the stack */
};

void plait_i_transport_init(struct plait_transport *t,
			    const struct transport_ops *ops,
			    struct plait_reactor *r,
			    struct transport_owner *owner);

/*
 * Takes the protocol, connects it and calls connection_made().  A transport
 * that gets none may still be closed: its owner alone is told then.
 */
void plait_i_transport_made(struct plait_transport *t,
			    struct plait_protocol *p);

/* True if the protocol holds input that it has not handled. */
bool plait_i_transport_has_unread(const struct plait_transport *t);

/*
 * The connection is broken, but is not lost before what has come is
 * delivered: what it works for ends now.
 */
void plait_i_transport_broken(struct plait_transport *t,
			      const struct plait_failure *why);

/* Delivers, if the protocol still listens; not while reading is paused. */
void plait_i_transport_data(struct plait_transport *t, const void *data,
			    size_t len);

/* Bytes have moved: of all transports it is the one that is least idle. */
static inline void transport_is_active(struct plait_transport *t)
{
	t->active = plait_i_loop_next_number(t->reactor);
}

/* The peer closed its half: true if the protocol was half-closeable. */
bool plait_i_transport_read_lost(struct plait_transport *t);
void plait_i_transport_write_lost(struct plait_transport *t);

/*
 * Stops the producer, calls connection_lost() and the owner, and frees the
 * protocol.  Once.  why is borrowed.
 */
void plait_i_transport_lost(struct plait_transport *t,
			    const struct plait_failure *why);

/*
 * In a forked child that frees the reactor, instead: tells nobody.  The
 * protocol is the program's from here on.
 */
void plait_i_transport_abandon(struct plait_transport *t);

/*
 * Ends it in the next turn, for that reason, which is taken: what abort()
 * does, and whoever finds that it cannot go on.  Nothing more is sent.
 */
void plait_i_transport_abort(struct plait_transport *t,
			     const struct plait_failure *why);

/* The same, for a close that took too long. */
void plait_i_transport_give_up(struct plait_transport *t);

/*
 * True if a producer holds up a close, as it may yet make output.  A connection
 * that is its own producer does not: while it closes it receives no more.
 */
static inline bool transport_is_held(const struct plait_transport *t)
{
	return t->producer != NULL && t->producer != &t->as_producer &&
	       !t->leaving;
}

/* The same, but if nothing is unsent the peer sees an orderly end. */
void plait_i_transport_shed(struct plait_transport *t,
			    const struct plait_failure *why);

/*
 * The reactor has lost it and will not look at it again: so from here on it
 * takes no more output, and waits for neither reader nor producer, whatever
 * others do to it until it is told.
 */
void plait_i_transport_leave(struct plait_transport *t);

/*
 * Unsent output grew or shrank.  Tells the producer, in the next turn, what
 * follows from it.
 */
void plait_i_transport_output_changed(struct plait_transport *t);

/*
 * A TCP connection on fd, which is non-blocking and taken: closed on failure
 * too.  NULL with ENOMEM in errno or what the reactor says.  Then
 * plait_i_transport_made() it.
 */
struct plait_transport *plait_i_stream_new(struct plait_reactor *r, int fd,
					   const struct plait_address *peer,
					   struct transport_owner *owner);

/*
 * The other end of a new one is gone already: what it has sent is delivered,
 * then the connection is lost with that errno.
 */
void plait_i_stream_break_off(struct plait_transport *t, int err);

#endif

/*
 * To make a kind of transport of your own: over something that is no TCP
 * socket (pipes, a terminal, memory), or over another transport, which it
 * wraps (limits, TLS, a header in front).  Protocols cannot tell.
 *
 * Embed struct plait_transport first in a struct of your own, and name a const
 * table of functions that say how bytes leave.  What comes you tell with the
 * functions at the end.  The library does the rest: the queue of unsent output
 * and its limits, producers, pausing, the order of a close, its deadlines, the
 * scope, the end of the reactor, forks.
 *
 * None of the functions in the table may call the user, that is, make, tell or
 * lose a transport with the functions at the end; drain() is the exception.
 * They are called after the callback in which the program asked for something,
 * so what it takes back meanwhile is never asked of you.  They may call
 * anything on a transport below.
 */
#ifndef PLAIT_TRANSPORT_OPS_H
#define PLAIT_TRANSPORT_OPS_H

#include <sys/types.h>

#include <plait/protocol.h>
#include <plait/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_transport_ops;

/* Embedded first by each kind of transport.  Read only. */
struct plait_transport {
	const struct plait_transport_ops *ops;
	struct plait_reactor *reactor;
	struct plait_protocol *protocol; /* NULL before made() and after */
	uintptr_t reserved[1];		 /* zero */
};

/* What want() is told.  A transport begins with nothing that is wanted. */
enum plait_transport_wants {
	/* received() and read_lost(), when there is something to tell. */
	PLAIT_TRANSPORT_WANTS_INPUT = 1,
	/* writable(), when send() would take more. */
	PLAIT_TRANSPORT_WANTS_ROOM = 2,
	/*
	 * No input, but its end all the same if nothing is before that, and
	 * a loss: for a kind that can find out without reading.
	 */
	PLAIT_TRANSPORT_WANTS_END = 4
};

/* How a transport ends. */
enum plait_transport_end {
	PLAIT_TRANSPORT_END_SENT,   /* in order: all was sent */
	PLAIT_TRANSPORT_END_FAILED, /* nothing is unsent, but it was not closed
				     */
	PLAIT_TRANSPORT_END_RESET   /* the peer may not take what it got for all
				     */
};

/* ... and when. */
enum plait_transport_ended {
	/* Now.  The protocol is told in this turn or the next. */
	PLAIT_TRANSPORT_ENDED,
	/* Later: you call plait_transport_lost(), and soon. */
	PLAIT_TRANSPORT_ENDS_LATER,
	/*
	 * Now, but what it has stays, so that nothing that is on its way is
	 * destroyed, until plait_transport_gone(); linger_timeout at most.
	 */
	PLAIT_TRANSPORT_LINGERS
};

/*
 * What may be NULL is done as it says; "below" is for a transport that wraps
 * another, and does the same on that.
 */
struct plait_transport_ops {
	const char *name; /* "tcp" */
	size_t size;	  /* of the whole struct; 0: the base alone */

	/*
	 * Comes first, from plait_transport_new(), when the struct is zeroed:
	 * to construct what it owns.  The base is filled again when this has
	 * returned, so a C++ constructor may run over the whole struct.
	 * Returns 0, or -errno: then the struct is freed without done(), and
	 * plait_transport_new() gives NULL with that errno.
	 */
	int (*init)(struct plait_transport *t);

	/*
	 * Takes as many bytes as can go now, and returns how many, 1 at least;
	 * -EAGAIN: none now; another -errno: the connection is broken.  After
	 * less than all and after -EAGAIN it is called again when you have
	 * called writable(); and now and then while it closes, to see whether
	 * the other end still takes something.  NULL: below, uncopied.
	 */
	ssize_t (*send)(struct plait_transport *t, const struct iovec *pieces,
			int n);

	/*
	 * What is to be told from now on, of enum plait_transport_wants; called
	 * when that has changed.  0 or -errno: then the connection is lost.
	 * What is received all the same is kept until somebody wants it.
	 * NULL: below; else nothing is done.
	 */
	int (*want)(struct plait_transport *t, unsigned wants);

	/*
	 * Bytes that send() has taken and that you have not sent yet, beside
	 * those of a transport below.  They count as pending, and hold up a
	 * close.  Call writable() when there are fewer.  NULL: none.
	 */
	size_t (*unsent)(const struct plait_transport *t);

	/*
	 * Everything is sent: tells the peer that this half is closed.  0, or
	 * -EINPROGRESS: later, then you call write_lost().  NULL: below; else
	 * nothing is done.
	 */
	int (*shut)(struct plait_transport *t);

	/*
	 * It ends, in that way; at last in done().  Called again, with
	 * PLAIT_TRANSPORT_END_RESET or PLAIT_TRANSPORT_END_FAILED, if it is
	 * aborted while it ends later.  Not called if it is you who calls
	 * lost().  NULL: closes or aborts the one below, and is over when that
	 * is; else PLAIT_TRANSPORT_ENDED.
	 */
	enum plait_transport_ended (*end)(struct plait_transport *t,
					  enum plait_transport_end how);

	/*
	 * For input that you have or can get at once.  has_input() says that
	 * there is some; drain() delivers a part with received(), once, and
	 * returns false if there was none.  Called when sending has failed, so
	 * that what had come is not lost with the connection.  NULL: there
	 * is none.
	 */
	bool (*has_input)(struct plait_transport *t);
	bool (*drain)(struct plait_transport *t);

	/* As the calls of transport.h.  NULL: below; else false, -ENOTCONN. */
	bool (*peer_has_closed)(const struct plait_transport *t);
	int (*host)(struct plait_transport *t, struct plait_address *ret);
	int (*peer)(struct plait_transport *t, struct plait_address *ret);

	/* As setsockopt().  NULL: below; else -ENOTSUP. */
	int (*set_option)(struct plait_transport *t, int level, int option,
			  int value);

	/*
	 * Comes last: stops watches and timers, closes descriptors, and frees
	 * what the struct owns, but not the struct.  In a child made by fork()
	 * that frees the reactor it comes without any other call, and possibly
	 * inside of a callback.
	 */
	void (*done)(struct plait_transport *t);
	uintptr_t reserved[8]; /* zero */
};

/*
 * A new transport with that table, zeroed behind the base; given, until it is
 * made.  below is one that it wraps, or NULL: connected, of the same reactor,
 * borrowed, and wrapped by no other.  NULL with errno: ENOMEM, ECHILD in a
 * child made by fork(), ENOTCONN if below is not made, or lost.
 */
struct plait_transport *
plait_transport_new(const struct plait_transport_ops *ops,
		    struct plait_reactor *r, struct plait_transport *below);

/* The one that t wraps; NULL if there is none, or it is lost. */
struct plait_transport *plait_transport_below(const struct plait_transport *t);

/*
 * The one that wraps t; NULL if there is none, or it has ended before t: then
 * whoever has ended it closes t.
 */
struct plait_transport *plait_transport_above(const struct plait_transport *t);

/* Calls done() and frees one that was not made.  Nothing if *tp is NULL. */
void plait_transport_free(struct plait_transport **tp);

/*
 * The rest call the protocol.  From the loop or from outside, but never from
 * a function of the table.  After t is lost all do nothing; t itself is good
 * until you return to the loop.
 *
 * Takes the protocol, and is the reactor's from here on: calls
 * connection_made().
 */
void plait_transport_made(struct plait_transport *t, struct plait_protocol *p);

/*
 * Some bytes have come: borrowed.  If they are not wanted, or the protocol is
 * in a callback, they are kept (copied) until they are.
 */
void plait_transport_received(struct plait_transport *t, const void *data,
			      size_t len);

/* The peer has closed its sending half, behind all that was received. */
void plait_transport_read_lost(struct plait_transport *t);

/* shut() is done, which had returned -EINPROGRESS. */
void plait_transport_write_lost(struct plait_transport *t);

/* send() takes more, or unsent() says less. */
void plait_transport_writable(struct plait_transport *t);

/*
 * Nothing can be sent any more, for that reason, borrowed.  What has come is
 * delivered, a paused reader is waited for (linger_timeout at most), then the
 * protocol is told.
 */
void plait_transport_broken(struct plait_transport *t,
			    const struct plait_failure *why);

/*
 * It is over, for that reason, borrowed: tells the protocol before this
 * returns, unless that is in a callback.  The first reason is the one that is
 * told.  A transport that wraps another is lost with that by itself, when the
 * other's protocol has been told, and for the same reason.
 */
void plait_transport_lost(struct plait_transport *t,
			  const struct plait_failure *why);

/* It lingers no longer. */
void plait_transport_gone(struct plait_transport *t);

#ifdef __cplusplus
}
#endif

#endif

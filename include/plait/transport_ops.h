/*
 * How to make a kind of transport of your own: on something that is not a TCP
 * socket (pipes, a terminal, memory), or on another transport, which it wraps
 * (limits, TLS, a header in front).  A protocol cannot tell the difference.
 *
 * Embed struct plait_transport first in a struct of your own, and write a const
 * table of functions that send the bytes.  When bytes come, call the functions
 * at the end of this file.  The library does the rest: the queue of unsent
 * output and its limits, producers, pausing, the order of a close and its
 * deadlines, the scope, the end of the reactor, forks.
 *
 * A function of the table must not call the functions at the end of this file,
 * because they call the program; drain() is the exception.  It may call any
 * function on the transport below.  The library calls the functions of the
 * table after the callback in which the program asked for something has
 * returned.  So what the program takes back in the same callback is never asked
 * of you.  Everything happens in the thread that runs the reactor.
 */
#ifndef PLAIT_TRANSPORT_OPS_H
#define PLAIT_TRANSPORT_OPS_H

#include <sys/types.h>

#include <plait/protocol.h>
#include <plait/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_credentials;
struct plait_transport_ops;

/*
 * Each kind of transport embeds this first.  Only read its fields.  The library
 * makes it, and has memory of its own before it: so it ends here for ever.
 */
struct plait_transport {
	const struct plait_transport_ops *ops;
	struct plait_reactor *reactor;
	struct plait_protocol *protocol; /* NULL before made() and after */
};

/* What want() is told.  At first nothing is wanted. */
enum plait_transport_wants {
	/* Call received() and read_lost() when there is something to tell. */
	PLAIT_TRANSPORT_WANTS_INPUT = 1,
	/* Call writable() when send() would take more. */
	PLAIT_TRANSPORT_WANTS_ROOM = 2,
	/*
	 * Nobody reads now.  If you can find out without reading, tell the end
	 * of the input if no input is before it, and tell a loss.
	 */
	PLAIT_TRANSPORT_WANTS_END = 4
};

/* How a transport ends. */
enum plait_transport_end {
	PLAIT_TRANSPORT_END_SENT,   /* closed in order: all was sent */
	PLAIT_TRANSPORT_END_FAILED, /* broken, but no output was lost here */
	PLAIT_TRANSPORT_END_RESET   /* output was dropped: the peer must not
				       believe that it got everything */
};

/* When a transport ends: what end() returns. */
enum plait_transport_ended {
	/* Now.  The protocol is told in this turn or in the next turn. */
	PLAIT_TRANSPORT_ENDED,
	/* Later.  You will call plait_transport_lost() soon. */
	PLAIT_TRANSPORT_ENDS_LATER,
	/*
	 * Now, but the struct must stay until you call plait_transport_gone(),
	 * so that bytes on their way are not destroyed.  The library waits for
	 * linger_timeout at most.
	 */
	PLAIT_TRANSPORT_LINGERS
};

/*
 * Each comment says what happens if the member is NULL.  "Below" means that the
 * library does the same to the transport below, if this transport wraps one.
 * The table must stay valid as long as a transport uses it.
 */
struct plait_transport_ops {
	const char *name; /* "tcp" */
	size_t size;	  /* of the whole struct; 0: the base alone */

	/*
	 * Is called first, by plait_transport_new(), when the struct is zeroed,
	 * to construct what the struct owns.  The base is filled in again after
	 * it has returned, so a C++ constructor may run over the whole struct.
	 * Returns 0, or -errno: then the struct is freed without done(), and
	 * plait_transport_new() returns NULL with that errno.  NULL: nothing is
	 * constructed.
	 */
	int (*init)(struct plait_transport *t);

	/*
	 * Takes as many bytes as can go now, and returns how many: 1 at least.
	 * Returns -EAGAIN if it can take none now; any other -errno breaks the
	 * connection.  If it has not taken everything, it is called again after
	 * you have called writable().  While the transport closes it is also
	 * called now and then, to see whether the other end still takes
	 * something.  NULL: below, without a copy.
	 */
	ssize_t (*send)(struct plait_transport *t, const struct iovec *pieces,
			int n);

	/*
	 * Is called when the set of enum plait_transport_wants, of what you are
	 * to tell from now on, has changed.  Returns 0; -errno ends the
	 * connection.  The library keeps what you receive although it is not
	 * wanted, until it is wanted.  NULL: below; else nothing is done.
	 */
	int (*want)(struct plait_transport *t, unsigned wants);

	/*
	 * Returns how many bytes send() has taken that you have not sent yet,
	 * without those that wait in a transport below.  They count as unsent,
	 * and a close waits for them.  Call writable() when there are fewer.
	 * NULL: 0.
	 */
	size_t (*unsent)(const struct plait_transport *t);

	/*
	 * Is called when everything is sent: tells the peer that this half is
	 * closed.  Returns 0, or -EINPROGRESS if that takes time; then call
	 * write_lost() when it is done.  NULL: below; else nothing is done.
	 */
	int (*shut)(struct plait_transport *t);

	/*
	 * Ends the transport in that way; done() follows.  If the transport is
	 * aborted after end() has returned PLAIT_TRANSPORT_ENDS_LATER, end() is
	 * called again, with PLAIT_TRANSPORT_END_RESET or
	 * PLAIT_TRANSPORT_END_FAILED.  It is not called if you call lost().
	 * NULL: the transport below is closed or aborted, and this transport is
	 * lost with it; else PLAIT_TRANSPORT_ENDED.
	 */
	enum plait_transport_ended (*end)(struct plait_transport *t,
					  enum plait_transport_end how);

	/*
	 * These are called when sending has failed, so that input which had
	 * come before is not lost with the connection.  has_input() returns
	 * true if you have input or can get some at once.  drain() calls
	 * received() once, with a part of it, and returns false if there was no
	 * input.  NULL: there is no input.
	 */
	bool (*has_input)(struct plait_transport *t);
	bool (*drain)(struct plait_transport *t);

	/*
	 * These do what the functions of transport.h of these names do.
	 * NULL: below; else false or -ENOTCONN.
	 */
	bool (*peer_has_closed)(const struct plait_transport *t);
	int (*host)(struct plait_transport *t, struct plait_address *ret);
	int (*peer)(struct plait_transport *t, struct plait_address *ret);

	/* As setsockopt(); returns 0 or -errno.  NULL: below; else -ENOTSUP. */
	int (*set_option)(struct plait_transport *t, int level, int option,
			  int value);

	/* As plait_transport_peer_credentials().  NULL: below; else -ENOTSUP.
	 */
	int (*peer_credentials)(struct plait_transport *t,
				struct plait_credentials *ret);

	/*
	 * As send(), of at least one byte, and hands over n_fds descriptors
	 * with the first of them: those are borrowed, and the library closes
	 * them when this has returned how many bytes it took.  What is written
	 * before and after is sent in other calls.  NULL: -ENOTSUP, also if the
	 * transport below has it.
	 */
	ssize_t (*send_fds)(struct plait_transport *t,
			    const struct iovec *pieces, int n, const int *fds,
			    size_t n_fds);

	/*
	 * As send(), of len bytes of the file fd from that place on; len is 1
	 * at least, and fd is borrowed.  Returns how many bytes it took, or 0
	 * if the file ends there.  If it returns -ENOTSUP, the library reads
	 * the file, and send() gets what it has read.  NULL: -ENOTSUP; but if
	 * send is NULL, the transport below sends the file.
	 */
	ssize_t (*send_file)(struct plait_transport *t, int fd, uint64_t from,
			     size_t len);

	/*
	 * Is called last: stops watches and timers, closes descriptors, and
	 * frees what the struct owns, but not the struct.  In a child made by
	 * fork() that frees the reactor, it is the only call, and it may come
	 * inside a callback.  NULL: nothing is done.
	 */
	void (*done)(struct plait_transport *t);
	uintptr_t reserved[5]; /* zero */
};

/*
 * Gives a new transport with the table ops, zeroed behind the base.  The caller
 * owns it until plait_transport_made().  below is the transport that it wraps,
 * borrowed, or NULL; it must be connected, of the same reactor, and not wrapped
 * by another transport.  Returns NULL with errno: ENOMEM; ECHILD in a child
 * made by fork(); ENOTCONN if below is not connected yet, or is lost.
 */
struct plait_transport *
plait_transport_new(const struct plait_transport_ops *ops,
		    struct plait_reactor *r, struct plait_transport *below);

/*
 * Returns the transport that t wraps, borrowed; NULL if t wraps none, or if
 * that transport is lost.
 */
struct plait_transport *plait_transport_below(const struct plait_transport *t);

/*
 * Returns the transport that wraps t, borrowed; NULL if no transport wraps t,
 * or if that transport has ended before t: then the code that has ended it must
 * close t.
 */
struct plait_transport *plait_transport_above(const struct plait_transport *t);

/*
 * Frees a transport that plait_transport_made() has not taken: calls done() and
 * sets *tp to NULL.  Does nothing if *tp is NULL.
 */
void plait_transport_free(struct plait_transport **tp);
/* The same, for __attribute__((cleanup)). */
void plait_transport_cleanup(struct plait_transport **tp);

/*
 * The functions from here on call the protocol.  Call them in the loop or
 * outside it, but never in a function of the table.  After t is lost they all
 * do nothing; the pointer t is valid until you return to the loop.
 *
 * plait_transport_made() takes the protocol p and calls connection_made().
 * From then on the reactor owns t.
 */
void plait_transport_made(struct plait_transport *t, struct plait_protocol *p);

/*
 * Delivers len bytes, borrowed for the call.  If they are not wanted, or a
 * callback of the protocol is running, they are copied and delivered later.
 */
void plait_transport_received(struct plait_transport *t, const void *data,
			      size_t len);

/* Tells that the peer has closed its sending half after all those bytes. */
void plait_transport_read_lost(struct plait_transport *t);

/* Tells that what shut() began, when it returned -EINPROGRESS, is done. */
void plait_transport_write_lost(struct plait_transport *t);

/* Tells that send() would take more, or that unsent() returns less. */
void plait_transport_writable(struct plait_transport *t);

/*
 * Tells that nothing can be sent any more; why is the reason, borrowed.  What
 * has come is delivered first; if reading is paused, the library waits for it
 * to be resumed, linger_timeout at most.  Then connection_lost() is called.
 */
void plait_transport_broken(struct plait_transport *t,
			    const struct plait_failure *why);

/*
 * Tells that the connection is over; why is the reason, borrowed.  The protocol
 * is told before this function returns or, if one of its callbacks is running,
 * after that callback.  If there was a reason before, the protocol is told that
 * reason.  A transport that wraps another needs no call: when the transport
 * below is lost, its protocol is told, and then the transport above is lost for
 * the same reason.
 */
void plait_transport_lost(struct plait_transport *t,
			  const struct plait_failure *why);

/* Ends the lingering that end() began with PLAIT_TRANSPORT_LINGERS. */
void plait_transport_gone(struct plait_transport *t);

/*
 * For a send() of a transport that wraps another: writes the bytes to the
 * transport below, behind what was written there before.  The difference from
 * plait_transport_write() is that many bytes are sent at once, together with
 * what waits there, and that only those are copied which that transport does
 * not take now.  So call it for the last bytes of one send(), and write the
 * others before.  data is borrowed for the call.  If sending fails, this is
 * told later, as always.
 */
void plait_transport_send_below(struct plait_transport *t, const void *data,
				size_t len);

/*
 * For an end() of a transport that wraps another: does what is done if there is
 * no end(), and returns what end() then returns.
 */
enum plait_transport_ended
plait_transport_end_below(struct plait_transport *t,
			  enum plait_transport_end how);

/*
 * For the protocol of t, if it wraps another protocol and must agree with the
 * peer on something first: with a server of TLS, with a proxy.  It calls
 * plait_transport_begin_handshake() in its connection_made(), and
 * plait_transport_end_handshake() before it builds and connects the protocol
 * that it wraps.
 *
 * In between, the connector of t is connecting, as it was before: its timeout
 * runs on, plait_connector_stop_connecting() aborts t, and if t is lost,
 * connection_failed() is told the reason, and not connection_lost().  If t was
 * not made by a connector, both do nothing.
 */
void plait_transport_begin_handshake(struct plait_transport *t);
void plait_transport_end_handshake(struct plait_transport *t);

#ifdef __cplusplus
}
#endif

#endif

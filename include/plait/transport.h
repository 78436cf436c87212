/*
 * A transport is one connection as its protocol sees it: opaque, and the same
 * whatever carries the bytes (TCP, or the recording one of testing.h).
 *
 * Nothing here calls you back: the loop answers.  Nothing here can fail
 * either: what goes wrong is told to connection_lost().  A transport belongs
 * to the reactor.  The pointer is good until connection_lost() has returned;
 * on a connection that is lost already every call does nothing.
 */
#ifndef PLAIT_TRANSPORT_H
#define PLAIT_TRANSPORT_H

#include <sys/uio.h>

#include <plait/address.h>
#include <plait/buf.h>
#include <plait/reactor.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_transport;

/*
 * Sends bytes after what is queued already: copied; shared, without a copy (a
 * reference of its own, the caller keeps buf); or several pieces, copied.
 * What one callback writes leaves in one system call when it returns.  With
 * no memory, or beyond a limit of plait_reactor_set_limits(), the connection is
 * aborted.  A shared buffer of 256 bytes or fewer is copied instead.
 */
void plait_transport_write(struct plait_transport *t, const void *data,
			   size_t len);
void plait_transport_write_buf(struct plait_transport *t,
			       struct plait_buf *buf);
void plait_transport_write_sequence(struct plait_transport *t,
				    const struct iovec *pieces, int n);

/*
 * Writes text as printf() makes it, of any length, without a NUL behind it.
 * If printf() refuses the format or an argument, the connection is aborted,
 * with EINVAL.
 */
void plait_transport_printf(struct plait_transport *t, const char *fmt, ...)
	PLAIT_PRINTF(2, 3);

/*
 * Closes: no more is received, all that is queued is sent, then
 * connection_lost() is told ConnectionDone.  Waits for a registered producer
 * to unregister, for close_timeout at most, unless it is the connection's own
 * receiving half.  If anything was ever written, what the peer still sends is
 * read and discarded for a while, so that unread input cannot destroy output
 * on its way; if not, the socket is closed at once.
 */
void plait_transport_lose_connection(struct plait_transport *t);

/*
 * Closes now: drops what is queued, resets the connection.
 * connection_lost() is told ConnectionAborted.
 */
void plait_transport_abort_connection(struct plait_transport *t);

/*
 * Closes the sending half after what is queued; then write_connection_lost()
 * is told.  Receiving goes on, later writes are nothing.
 */
void plait_transport_lose_write_connection(struct plait_transport *t);

/*
 * Holds and lets go what is received.  While held, no data is delivered.  That
 * the peer has closed, or is gone, is told all the same if nothing is unread;
 * else it is told after that was read.
 */
void plait_transport_pause_reading(struct plait_transport *t);
void plait_transport_resume_reading(struct plait_transport *t);

/*
 * True once the peer has closed its sending half, or is gone, although the
 * protocol has not been told yet: that waits behind input that it has not
 * read.  Asks the kernel.
 */
bool plait_transport_peer_has_closed(const struct plait_transport *t);

/* Bytes accepted by write and not yet taken by the kernel. */
size_t plait_transport_unsent(const struct plait_transport *t);

/* True from the first lose_connection() or abort() on, and when lost. */
bool plait_transport_is_disconnecting(const struct plait_transport *t);

/*
 * The address of this end and of the other.  0, or -ENOTCONN when it is
 * unknown; *ret is untouched then.
 */
int plait_transport_host(struct plait_transport *t, struct plait_address *ret);
int plait_transport_peer(struct plait_transport *t, struct plait_address *ret);

/* TCP's own.  0, -ENOTSUP on another transport, or what the kernel says. */
int plait_transport_set_tcp_no_delay(struct plait_transport *t, bool on);
int plait_transport_set_tcp_keep_alive(struct plait_transport *t, bool on);

struct plait_reactor *plait_transport_reactor(const struct plait_transport *t);

/* Writes its state in one line, as snprintf() would. */
int plait_transport_str(struct plait_transport *t, char *buf, size_t size);

/*
 * What makes bytes at the pace at which the peer takes them.  Embed it with a
 * const table.  A streaming (push) producer makes bytes by itself, is paused
 * once when unsent output passes the high mark, and resumed when it has
 * fallen to the low mark.  A pull producer makes some at each resume, which
 * comes whenever all is sent.  stop: there is no use for more, ever.
 */
struct plait_producer;

struct plait_producer_ops {
	const char *name;
	void (*pause)(struct plait_producer *p); /* streaming ones only */
	void (*resume)(struct plait_producer *p);
	void (*stop)(struct plait_producer *p);
	uintptr_t reserved[8]; /* zero */
};

struct plait_producer {
	const struct plait_producer_ops *ops;
	uintptr_t reserved[1]; /* zero */
};

/*
 * p is borrowed until it is unregistered or stopped.  0, or -EBUSY if there
 * is one already, and then nothing changed.  On a lost connection p is told
 * to stop, from the loop, and that is 0.
 */
int plait_transport_register_producer(struct plait_transport *t,
				      struct plait_producer *p, bool streaming);
void plait_transport_unregister_producer(struct plait_transport *t);

/*
 * The transport's receiving half as a producer, borrowed: pause and resume
 * hold reading, stop loses the connection.  Registered with the transport
 * that its protocol writes to, it stops a peer that sends and never reads.
 * When t is lost, it is unregistered from whatever it produces for; after
 * that, registering it does nothing and returns 0.
 */
struct plait_producer *plait_transport_producer(struct plait_transport *t);

/*
 * To add to a deferred with a transport as arg: writes the result, a buffer
 * or text, and passes none on; loses the connection, and passes none on.
 */
plait_callback plait_then_write;
plait_callback plait_then_lose_connection;

#ifdef __cplusplus
}
#endif

#endif

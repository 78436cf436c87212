/*
 * A transport is one connection as its protocol sees it.  It is opaque, and is
 * used in the same way whatever carries the bytes: TCP, the recording transport
 * of testing.h, or a kind of the program's own (transport_ops.h).
 *
 * No function here calls a callback before it returns; the loop does later.  A
 * void function needs no check: if sending fails, connection_lost() is called.
 * The reactor owns the transport, and all calls are made in the thread that
 * runs the reactor.  The pointer is valid until connection_lost() has returned.
 * When the connection is lost, every call does nothing.
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

struct plait_failure;
struct plait_transport;

/*
 * These functions send bytes after those that are queued already.
 * plait_transport_write() copies len bytes.  plait_transport_write_buf() does
 * not copy: it takes a reference of its own, and the caller keeps buf; a buffer
 * of 256 bytes or fewer is copied.  plait_transport_write_sequence() copies n
 * pieces.  The caller keeps data and pieces.
 *
 * What one callback writes leaves in one system call when the callback returns.
 * If there is no memory, or if output exceeds a limit of
 * plait_reactor_set_limits(), a connection is aborted.  If buf is NULL, because
 * there was no memory for it, t is aborted.
 */
void plait_transport_write(struct plait_transport *t, const void *data,
			   size_t len);
void plait_transport_write_buf(struct plait_transport *t,
			       struct plait_buf *buf);
void plait_transport_write_sequence(struct plait_transport *t,
				    const struct iovec *pieces, int n);

/*
 * Writes the text that printf() would make, of any length, without its NUL.  If
 * printf() refuses the format or an argument, the connection is aborted, with
 * EINVAL.
 */
void plait_transport_printf(struct plait_transport *t, const char *fmt, ...)
	PLAIT_PRINTF(2, 3);

/*
 * Sends len bytes of the file fd, from that place on, after what is queued
 * already; what is written later follows them.  fd is taken: it is closed when
 * they are sent, or cannot be.  Its own position does not matter, and stays.
 * The bytes count as unsent, but not against limits, where the file counts as
 * 1024 bytes.  They go from the file to a TCP or UNIX socket without a copy in
 * the program; the loop waits for the disk if it has to.
 *
 * The file must not become shorter meanwhile: if it ends before len bytes, or
 * cannot be read, the connection is aborted.
 *
 * Returns 0; or -errno, and has closed fd then: -ENOTCONN if nothing may be
 * written to t any more; -EINVAL if a file has no such place; -EFBIG if more
 * would be unsent than can be counted; -EBADF if fd is negative; -ENOMEM, after
 * which t is aborted, or if t is NULL; -ECHILD in a child made by fork().
 */
int plait_transport_send_file(struct plait_transport *t, int fd, uint64_t from,
			      size_t len);

/*
 * Closes the connection: no more is received, everything that is queued is
 * sent, and then connection_lost() is called with ConnectionDone.  If a
 * producer is registered, the close first waits until it unregisters, at most
 * for close_timeout; it does not wait for the connection's own receiving half.
 * If anything was ever written, the library then reads and discards for a while
 * what the peer still sends, because a socket that is closed with unread input
 * destroys output on its way.  If nothing was written, the socket is closed at
 * once.
 */
void plait_transport_lose_connection(struct plait_transport *t);

/*
 * Closes the connection now: drops what is queued and resets the connection.
 * The loop calls connection_lost() with ConnectionAborted.
 */
void plait_transport_abort_connection(struct plait_transport *t);

/*
 * The same as plait_transport_lose_connection(), but connection_lost() is told
 * why, which is borrowed, and so is the factory of a client: the connection is
 * closed in order, and for a reason that is no ConnectionDone.  Does nothing if
 * the connection is being closed already.
 */
void plait_transport_lose_connection_because(struct plait_transport *t,
					     const struct plait_failure *why);

/*
 * Sends what is queued, closes the sending half, and then calls
 * write_connection_lost().  Receiving goes on.  Later writes do nothing.
 */
void plait_transport_lose_write_connection(struct plait_transport *t);

/*
 * plait_transport_pause_reading() stops delivery: data_received() is not called
 * until plait_transport_resume_reading().  If the peer closes or is gone while
 * reading is paused, the protocol is told at once if no input is unread, and
 * else after that input was read.
 */
void plait_transport_pause_reading(struct plait_transport *t);
void plait_transport_resume_reading(struct plait_transport *t);

/*
 * Is true if the peer has closed its sending half or is gone, even if the
 * protocol has not been told yet because it has not read all input.  Asks the
 * kernel.
 */
bool plait_transport_peer_has_closed(const struct plait_transport *t);

/* Returns how many bytes were written and not yet taken by the kernel. */
size_t plait_transport_unsent(const struct plait_transport *t);

/*
 * Is true after the first plait_transport_lose_connection() or
 * plait_transport_abort_connection(), and when the connection is lost.
 */
bool plait_transport_is_disconnecting(const struct plait_transport *t);

/*
 * Sets *ret to the address of this end (host) or of the other end (peer).
 * Returns 0, -ENOTCONN if the address is not known, or the error of the kernel;
 * then *ret is unchanged.
 */
int plait_transport_host(struct plait_transport *t, struct plait_address *ret);
int plait_transport_peer(struct plait_transport *t, struct plait_address *ret);

/*
 * Set TCP_NODELAY and SO_KEEPALIVE.  Return 0, -ENOTCONN if the connection is
 * lost, -ENOTSUP if it is not a TCP connection, or the error of the kernel.
 */
int plait_transport_set_tcp_no_delay(struct plait_transport *t, bool on);
int plait_transport_set_tcp_keep_alive(struct plait_transport *t, bool on);

/* Returns the reactor that owns t, borrowed. */
struct plait_reactor *plait_transport_reactor(const struct plait_transport *t);

/*
 * Writes the state of t in one line, as snprintf() would.  Returns the length
 * of the whole line, without the NUL.
 */
int plait_transport_str(struct plait_transport *t, char *buf, size_t size);

/*
 * A producer makes bytes as fast as the peer takes them.  Embed the struct in
 * your own, with a const table.
 *
 * A streaming (push) producer makes bytes by itself: pause() is called once
 * when the unsent output has passed the high mark, and resume() when it has
 * fallen to the low mark.  A pull producer makes some bytes at each resume(),
 * which is called whenever all output is sent.  stop() tells the producer that
 * no more bytes will ever be sent.  The loop makes these calls.
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
 * plait_transport_register_producer() registers p, which is borrowed until it
 * is unregistered or stop() was called.  Returns 0, or -EBUSY if t has a
 * producer already; then nothing changes.  If the connection is lost, it
 * returns 0 and the loop calls stop().  With no memory, also if p is NULL, it
 * returns -ENOMEM and aborts the connection, as a write would.
 *
 * plait_transport_unregister_producer() calls nothing, and does nothing if t
 * has no producer.
 */
int plait_transport_register_producer(struct plait_transport *t,
				      struct plait_producer *p, bool streaming);
void plait_transport_unregister_producer(struct plait_transport *t);

/*
 * Returns the receiving half of t as a producer, borrowed from t: pause() and
 * resume() pause and resume reading, stop() loses the connection.  Reading goes
 * on only when neither this producer nor the program has paused it.  If a
 * protocol registers the producer of its connection with the transport to which
 * it forwards what it receives, a peer cannot send faster than that transport
 * sends.  When t is lost, its producer is unregistered everywhere; registering
 * it later does nothing and returns 0.  Returns NULL with no memory.
 */
struct plait_producer *plait_transport_producer(struct plait_transport *t);

/*
 * Callbacks to add to a deferred, with a transport as arg.  plait_then_write()
 * writes the result, which must be a buffer or text, and returns PLAIT_NONE.
 * plait_then_lose_connection() loses the connection and returns PLAIT_NONE,
 * also for a failure.
 */
plait_callback plait_then_write;
plait_callback plait_then_lose_connection;

#ifdef __cplusplus
}
#endif

#endif

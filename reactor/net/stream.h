/*
 * A transport on one descriptor that is watched: a socket (socket_stream.h), or
 * whatever else can be read and written.
 */
#ifndef REACTOR_STREAM_H
#define REACTOR_STREAM_H

#include "reactor/kernel/address.h"
#include "reactor/net/transport.h"

struct stream {
	struct plait_transport base;
	struct kept_address peer;
	int fd; /* -1: somebody else closed it */
	/* Others share its description, so they decide whether it blocks. */
	bool is_shared;
};

static inline struct stream *stream_of(const struct plait_transport *t)
{
	return plait_container((struct plait_transport *)(uintptr_t)t,
			       struct stream, base);
}

/*
 * The functions that read and write the descriptor.  The transport's table
 * begins with STREAM_TRANSPORT and adds name, send(), and what else the kind of
 * descriptor has.  None may block.  Functions that can fail return -errno;
 * -EAGAIN means not now.
 */
struct stream_io {
	struct plait_transport_ops transport; /* first */
	/* 0: the end. */
	ssize_t (*read)(struct stream *s, void *buf, size_t size);
	/* As read(), and stores descriptors that came with the bytes; as the
	   kernel's recv_fds().  NULL: none can come. */
	ssize_t (*read_fds)(struct stream *s, void *buf, size_t size, int *fds,
			    size_t *n);
	/* Returns what read() of one byte would return, without taking it. */
	ssize_t (*peek)(struct stream *s);
	/* Returns the error that the descriptor has, or 0. */
	int (*error)(struct stream *s);
	/* Ends our half.  Its result only tells whether there is a peer. */
	int (*shut)(struct stream *s);
	/* Lets close() reset the connection.  NULL: that is not possible. */
	void (*reset)(struct stream *s);
};

#define STREAM_TRANSPORT                                                       \
	.size = sizeof(struct stream), .want = plait_i_stream_want,            \
	.shut = plait_i_stream_shut, .end = plait_i_stream_end,                \
	.has_input = plait_i_stream_has_input, .drain = plait_i_stream_drain,  \
	.peer = plait_i_stream_peer, .done = plait_i_stream_done

int plait_i_stream_want(struct plait_transport *t, unsigned wants);
int plait_i_stream_shut(struct plait_transport *t);
enum plait_transport_ended plait_i_stream_end(struct plait_transport *t,
					      enum plait_transport_end how);
bool plait_i_stream_has_input(struct plait_transport *t);
bool plait_i_stream_drain(struct plait_transport *t);
int plait_i_stream_peer(struct plait_transport *t, struct plait_address *ret);
void plait_i_stream_done(struct plait_transport *t);

/*
 * Makes a transport on fd, which is non-blocking and is taken: it is closed on
 * failure, too.  Returns NULL with errno: ENOMEM, or the error of the reactor.
 * The caller then calls plait_transport_made().
 */
struct plait_transport *plait_i_stream_new(const struct stream_io *io,
					   struct plait_reactor *r, int fd,
					   const struct plait_address *peer,
					   struct transport_owner *owner);

/* The same for an fd that was watched before: armed is what
   plait_i_watch_forget() has returned. */
struct plait_transport *plait_i_stream_go_on(const struct stream_io *io,
					     struct plait_reactor *r, int fd,
					     unsigned armed,
					     const struct plait_address *peer,
					     struct transport_owner *owner);

/*
 * Tells a new stream that its peer is gone already: what the peer has sent is
 * delivered, then the connection is lost with that errno.
 */
void plait_i_stream_break_off(struct plait_transport *t, int err);

#endif

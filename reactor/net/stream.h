/*
 * A transport on one descriptor that is watched: a socket (socket_stream.h), or
 * whatever else can be read and written.
 */
#ifndef REACTOR_STREAM_H
#define REACTOR_STREAM_H

#include "reactor/net/address.h"
#include "reactor/net/transport.h"

struct stream {
	struct plait_transport base;
	struct plait_watch watch;
	struct kept_address peer; /* AF_UNSPEC: none */
	int fd;			  /* -1: somebody else closed it */
};

static inline struct stream *stream_of(const struct plait_transport *t)
{
	return plait_container((struct plait_transport *)(uintptr_t)t,
			       struct stream, base);
}

/*
 * How bytes come and go on the descriptor.  The transport's table begins with
 * STREAM_TRANSPORT and adds name, send(), and what else the kind of descriptor
 * has.  Nothing may block; what can fail returns -errno, -EAGAIN: not now.
 */
struct stream_io {
	struct plait_transport_ops transport; /* first */
	/* 0: the end. */
	ssize_t (*read)(struct stream *s, void *buf, size_t size);
	/* What read() would say to one byte, without taking it. */
	ssize_t (*peek)(struct stream *s);
	/* The error that the descriptor has all the same; 0: none. */
	int (*error)(struct stream *s);
	/* Ends our half.  What it returns only says whether there is a peer. */
	int (*shut)(struct stream *s);
	/* Makes closing it reset the connection.  NULL: it cannot be. */
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
 * A transport on fd, which does not block and is taken: closed on failure too.
 * NULL with ENOMEM in errno or what the reactor says.  Then
 * plait_transport_made() it.
 */
struct plait_transport *plait_i_stream_new(const struct stream_io *io,
					   struct plait_reactor *r, int fd,
					   const struct plait_address *peer,
					   struct transport_owner *owner);

/*
 * The other end of a new one is gone already: what it has sent is delivered,
 * then the connection is lost with that errno.
 */
void plait_i_stream_break_off(struct plait_transport *t, int err);

#endif

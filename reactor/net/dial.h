/*
 * Attempts to connect a stream socket, of whatever family.
 */
#ifndef REACTOR_DIAL_H
#define REACTOR_DIAL_H

#include <plait/reactor.h>

#include "reactor/kernel/address.h"
#include "reactor/net/attempts.h"
#include "reactor/net/stream.h"

struct dial {
	struct attempt base;
	struct plait_watch watch;
	struct loop_task begin;
	int fd;	  /* -1: none */
	int gone; /* errno of a peer that has accepted and is gone; or 0 */
	unsigned armed; /* what the kernel waits for without the watch */
};

static inline struct kernel *dial_kernel(const struct dial *d)
{
	return loop_kernel(d->base.of->reactor);
}

/* What a family of sockets adds.  base begins with DIAL_ATTEMPT. */
struct dial_ops {
	struct attempt_ops base;
	/*
	 * Makes d->fd, a socket that does not block and is ready for connect().
	 * Returns 0 or an errno, and stores the kind of the failure in *kind if
	 * the errno does not decide it.
	 */
	int (*open)(struct dial *d, const struct plait_error **kind);
	/* Stores where to connect to.  Returns the length for connect(). */
	socklen_t (*name)(const struct dial *d, union kernel_address *ret);
	const struct stream_io *io; /* of the connection */
	/*
	 * connect() says EAGAIN: this calls plait_i_dial_connect() later,
	 * unless the attempt is stopped before.  NULL: that is a failure.
	 */
	void (*again)(struct dial *d);
	/* Is it connected to the peer that it should be?  Returns 0 if so, or
	   an errno.  NULL: it always is. */
	int (*check)(const struct dial *d);
};

/* Calls connect(), from the loop, and does what its outcome asks for. */
void plait_i_dial_connect(struct dial *d);

/* The functions of a dial. */
void plait_i_dial_init(struct attempt *a);
void plait_i_dial_start(struct attempt *a);
void plait_i_dial_stop(struct attempt *a);
void plait_i_dial_close(struct attempt *a);
struct plait_transport *plait_i_dial_transport(struct attempt *a,
					       struct transport_owner *owner);

#define DIAL_ATTEMPT(kind)                                                     \
	.size = sizeof(kind), .init = plait_i_dial_init,                       \
	.start = plait_i_dial_start, .stop = plait_i_dial_stop,                \
	.close = plait_i_dial_close, .transport = plait_i_dial_transport

#endif

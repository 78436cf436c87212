/*
 * Attempts to connect a stream socket, of whatever family.
 */
#ifndef REACTOR_DIAL_H
#define REACTOR_DIAL_H

#include <plait/reactor.h>

#include "reactor/net/address.h"
#include "reactor/net/attempts.h"
#include "reactor/net/stream.h"

struct dial {
	struct attempt base;
	struct plait_watch watch;
	struct loop_task begin;
	int fd;	  /* -1: none */
	int gone; /* errno of a peer that accepted and has gone; or 0 */
};

static inline struct kernel *dial_kernel(const struct dial *d)
{
	return loop_kernel(d->base.of->reactor);
}

/* What a family of sockets adds; base begins with DIAL_ATTEMPT. */
struct dial_ops {
	struct attempt_ops base;
	/*
	 * Makes d->fd, non-blocking and ready for connect().  0 or an errno;
	 * *kind is the kind of the failure, if the errno alone does not tell.
	 */
	int (*open)(struct dial *d, const struct plait_error **kind);
	/* Where to; gives the length that connect() wants. */
	socklen_t (*name)(const struct dial *d, union kernel_address *ret);
	const struct stream_io *io; /* of the connection */
	/* It is connected: 0, or an errno if not to whom it should be.  NULL:
	   it always is. */
	int (*check)(const struct dial *d);
};

/* Those of a dial; .size is that of the kind's struct. */
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

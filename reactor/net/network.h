/*
 * A network that a reactor has instead of the kernel's sockets: the table that
 * plait_i_loop_set_network() gives it.  A reactor without one is on sockets.
 */
#ifndef REACTOR_NETWORK_H
#define REACTOR_NETWORK_H

#include <plait/tcp.h>

/*
 * A port of that kind, listening on that address but not accepting yet: its
 * ops, and its address if that is not the one that was asked for, are filled
 * in.  0 or -errno.
 */
typedef int port_maker(struct plait_reactor *r,
		       const struct plait_address *address,
		       const struct plait_listen_options *options,
		       struct plait_port **ret);

struct attempt_ops;

struct network_ops {
	port_maker *port;
	const struct attempt_ops *attempt; /* how connectors connect */
};

#endif

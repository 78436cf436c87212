/*
 * A network that a reactor has instead of the kernel's sockets: the table that
 * plait_i_loop_set_network() gives it.  A reactor without one is on sockets.
 */
#ifndef REACTOR_NETWORK_H
#define REACTOR_NETWORK_H

#include <plait/tcp.h>
#include <plait/udp.h>

struct acceptor;
struct attempt_ops;

/*
 * Makes an acceptor that listens on that address but does not accept yet, with
 * its ops and its address filled in.  Returns 0 or -errno.
 */
typedef int acceptor_maker(struct plait_reactor *r,
			   const struct plait_address *address,
			   const struct plait_listen_options *options,
			   struct acceptor **ret);

struct datagram_port;

/* Makes a port for datagrams, with its ops, address and peer filled in; peer is
   no address if it is not connected.  Returns 0 or -errno. */
typedef int datagram_maker(struct plait_reactor *r,
			   const struct plait_address *at,
			   const struct plait_address *peer,
			   const struct plait_udp_options *options,
			   struct datagram_port **ret);

struct network_ops {
	acceptor_maker *acceptor;
	datagram_maker *datagrams;
	const struct attempt_ops *attempt; /* how connectors connect */
};

#endif

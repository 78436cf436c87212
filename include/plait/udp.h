/*
 * UDP over IPv4 and IPv6: ports for datagrams.
 *
 * An address is numeric or "localhost".  The library looks up no names here.
 */
#ifndef PLAIT_UDP_H
#define PLAIT_UDP_H

#include <plait/datagram.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zero means the default.  iface is borrowed for the call. */
struct plait_udp_options {
	const char *iface;  /* this end's address; NULL: any */
	unsigned bind_port; /* of plait_connect_udp(); 0: any */
	/* Bytes that are kept of a datagram, at most; 0: 4096.  Longer ones are
	   told as truncated.  At most 65535; with more than 4096, fewer come
	   together. */
	size_t max_size;
	bool tell_local;    /* say to which address a datagram has come */
	bool address_reuse; /* set SO_REUSEADDR: several may share the port */
	bool ipv6_only;	    /* on "::": refuse IPv4 */
	bool broadcast;	    /* set SO_BROADCAST */
	bool no_fragments;  /* refuse to send what must be cut: EMSGSIZE */
	bool no_loop;	    /* do not hear what this host sends to a group */
	bool tell_ecn;	    /* say how congested the way of a datagram was */
	bool port_reuse;    /* set SO_REUSEPORT: the system deals out what comes
			       to all that share the port */
	unsigned hops;	    /* of what is sent to a group; 0: 1, this network */
	unsigned traffic_class; /* of what is sent: DSCP, and 2 bits of ECN */
	/* Memory that datagrams may take that wait until the system has room;
	   0: none waits. */
	size_t queue_bytes;
	/* Memory that the system gives for what comes, until it is read, and
	   for what leaves; 0: as much as it likes. */
	size_t receive_buffer, send_buffer;
	uintptr_t reserved[5]; /* zero */
};

/*
 * Opens a port, or a free one if port is 0.  p is borrowed until its done() was
 * called; its started() comes from the loop.  options may be NULL.  If ret is
 * not NULL, *ret is the port: borrowed from the reactor until the program ends
 * it or the reactor is freed.
 *
 * Returns 0, or what the kernel says: -EADDRINUSE, -EADDRNOTAVAIL, -EACCES,
 * -EMFILE, -ENOMEM and others; -EINVAL if port is above 65535, iface is no
 * address, max_size is above 65535, traffic_class is above 255 or reserved
 * words of the options are not zero; -EBUSY if p has a port; -ESHUTDOWN while
 * the reactor shuts down or is freed.  Then no callback of p is called.
 */
int plait_listen_udp(struct plait_reactor *r, unsigned port,
		     struct plait_datagram_protocol *p,
		     const struct plait_udp_options *options,
		     struct plait_port **ret);

/*
 * The same, for datagrams to and from one address only, and errors that its
 * host answers.  Nothing is sent for that.  -ENETUNREACH: there is no way
 * there; -EINVAL also if host is no address, or port is 0.
 */
int plait_connect_udp(struct plait_reactor *r, const char *host, unsigned port,
		      struct plait_datagram_protocol *p,
		      const struct plait_udp_options *options,
		      struct plait_port **ret);

#ifdef __cplusplus
}
#endif

#endif

/*
 * UDP of a simulated kernel, as its own files see it.
 *
 *	udp_names.c	which socket a datagram is for; ports, and who may bind
 *	udp_groups.c	groups, and what is sent to them
 *	udp_input.c	what a datagram does that has arrived, or could not
 *	udp_control.c	control messages, and the queue of errors
 *	udp_options.c	getsockopt() and setsockopt()
 *	udp.c		the other calls
 *
 * A datagram is on the wire, or waits in a socket.  When there is no socket for
 * it, it travels back as the ICMP message that says so.
 */
#ifndef REACTOR_SIMULATION_UDP_H
#define REACTOR_SIMULATION_UDP_H

#include "reactor/simulation/world.h"

enum {
	UDP_HEADER = 8,
	UDP_OVERHEAD = 576, /* what a datagram in a queue takes beside itself */
	UDP_NO_RECV = 1,
	UDP_NO_SEND = 2,
	UDP_SHUT = 3,
	UDP_LOOPBACK = 1, /* interfaces */
	UDP_ETHERNET = 2
};

struct udp_datagram {
	struct wire_packet packet;
	struct place from, to; /* as it was sent, also if it comes back */
	int error;	       /* not 0: ICMP brings it back, with this */
	struct place offender; /* ... of that host */
	bool is_refusal;       /* the error is of this host's own kernel */
	bool is_placed;	       /* its socket wanted to know where it came */
	uint8_t traffic_class;
	size_t len;
	unsigned char data[];
};

/* IPv4 has these options, and IPv6 its own of the same meaning. */
struct udp_family_options {
	bool tells_errors; /* IP_RECVERR */
	bool tells_local;  /* IP_PKTINFO */
	bool tells_class;  /* IP_RECVTOS */
	int traffic_class; /* IP_TOS */
	int hops;	   /* IP_MULTICAST_TTL */
	bool no_loop;	   /* not IP_MULTICAST_LOOP */
	bool own_groups;   /* not IP_MULTICAST_ALL */
	int discover;	   /* IP_MTU_DISCOVER */
};

struct udp {
	struct sim_socket base;
	struct plait_list by_port; /* where datagrams find it */
	struct place local, remote;
	bool is_connected;
	bool port_is_kept, ip_is_kept; /* bind() was told them */
	unsigned shut;		       /* UDP_NO_RECV, UDP_NO_SEND */
	int error;
	bool reuse, reuse_port, broadcast, keep_alive, v6only;
	struct udp_family_options options[2]; /* IPv4, IPv6 */
	struct linger linger;
	struct plait_list input, errors;
	struct plait_list groups; /* that it has joined: udp_groups.c */
	size_t used, receive_size, send_size; /* bytes, with UDP_OVERHEAD */
	/* Planned while a slow link has so much to send that there is no room.
	 */
	struct future_event room;
};

static inline struct udp *udp_of(struct sim_socket *s)
{
	return plait_container(s, struct udp, base);
}

static inline const struct udp *udp_of_const(const struct sim_socket *s)
{
	return plait_container(s, const struct udp, base);
}

static inline struct udp_datagram *udp_first(const struct plait_list *queue)
{
	struct plait_list *l = plait_list_first(queue);

	return l != NULL ? plait_container(l, struct udp_datagram, packet.link)
			 : NULL;
}

/* What s has set for the family of that place. */
static inline struct udp_family_options *udp_options(struct udp *s,
						     const struct place *p)
{
	return &s->options[!plait_i_place_is_ipv4(p)];
}

static inline const struct udp_family_options *
udp_options_of(const struct udp *s, const struct place *p)
{
	return &s->options[!plait_i_place_is_ipv4(p)];
}

/* ---- udp_names.c --------------------------------------------------------- */

/* Return 0, -EADDRINUSE or -EADDRNOTAVAIL; autobind() -EAGAIN. */
int plait_i_udp_bind(struct udp *s, const struct place *at);
int plait_i_udp_autobind(struct udp *s);
void plait_i_udp_leave_port(struct udp *s);

/* Whether a datagram from there to there may be for s. */
bool plait_i_udp_is_for(const struct udp *s, const struct place *local,
			const struct place *remote);

/* Where sockets with that port are, among others. */
struct plait_list *plait_i_udp_port_bucket(struct plait_host *h, uint16_t port);

/* The socket on h that a datagram is for, or NULL. */
struct udp *plait_i_udp_find(struct plait_host *h, const struct place *local,
			     const struct place *remote);

/* ---- udp_groups.c -------------------------------------------------------- */

/* Whether it is the address of a group. */
bool plait_i_udp_is_group(const struct place *p);

/* setsockopt() with an option MCAST_...: 0 or -errno. */
int plait_i_udp_set_group(struct udp *s, int option, const void *value,
			  socklen_t len);
void plait_i_udp_leave_all(struct udp *s);

/* Whether s is to have a datagram to a group. */
bool plait_i_udp_hears(const struct udp *s, const struct udp_datagram *g);

/* On which interface it has come.  What a host sends to a group of the network
   comes back to it from there. */
static inline unsigned udp_interface(const struct udp_datagram *g)
{
	bool is_home = plait_i_udp_is_group(&g->to)
			       ? plait_i_place_is_loopback(&g->from)
			       : g->packet.from == g->packet.to;

	return is_home ? UDP_LOOPBACK : UDP_ETHERNET;
}

/* ---- udp_input.c --------------------------------------------------------- */

extern const struct wire_packet_ops plait_i_udp_packet_ops;

/* A copy of g that is nowhere yet; NULL without memory. */
struct udp_datagram *plait_i_udp_copy(const struct udp_datagram *g);

/* Takes g, which was sent by a socket of h: the socket is told of the error. */
void plait_i_udp_told(struct plait_host *h, struct udp_datagram *g);
void plait_i_udp_free_queue(struct plait_list *queue);

/* Takes g, which this host does not send, and keeps it for who wants errors. */
void plait_i_udp_refused(struct udp *s, struct udp_datagram *g);

/* ---- udp_control.c ------------------------------------------------------- */

/* Writes what s wants to know of g, which it has received. */
void plait_i_udp_tell_more(const struct udp *s, const struct udp_datagram *g,
			   struct msghdr *msg);

/* recvmsg() with MSG_ERRQUEUE; -EAGAIN if there is none. */
ssize_t plait_i_udp_recv_error(struct udp *s, struct msghdr *msg);

/* Copies g's bytes to msg, and that place as its name; returns how many. */
size_t plait_i_udp_show(const struct udp *s, const struct udp_datagram *g,
			const struct place *name, struct msghdr *msg);

/* The address that msg is to be sent from, if it says so.  Returns false if it
   says nothing. */
bool plait_i_udp_source(const struct msghdr *msg, struct place *ret);

/* ---- udp_options.c ------------------------------------------------------- */

/* SO_ERROR: an error is told once. */
int plait_i_udp_take_error(struct udp *s);
int plait_i_udp_getsockopt(struct sim_socket *base, int level, int option,
			   void *value, socklen_t *len);
int plait_i_udp_setsockopt(struct sim_socket *base, int level, int option,
			   const void *value, socklen_t len);

#endif

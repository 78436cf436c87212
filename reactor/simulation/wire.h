/*
 * The wire: what becomes of a packet between two hosts.
 *
 * The wire decides when a packet arrives, or that it does not.  It keeps no
 * order and sends nothing again: who sends (tcp.c) does so, as a kernel does.
 */
#ifndef REACTOR_SIMULATION_WIRE_H
#define REACTOR_SIMULATION_WIRE_H

#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

#include <plait/list.h>
#include <plait/simulation.h>

#include "reactor/simulation/future.h"

struct plait_host;
struct wire_packet;

/* What happens to a packet at the end of its way: one of these, once. */
struct wire_packet_ops {
	/* It is there, and the host is up.  reset: something on the way wants
	   the connection to be reset. */
	void (*arrived)(struct wire_packet *p, bool reset);
	/* It was lost: on the way, or as the host is down.  Its sender learns
	   nothing of that, but it is told here, to send it again. */
	void (*lost)(struct wire_packet *p);
	/* A router answers that there is no way: err is EHOSTUNREACH or
	   ENETUNREACH. */
	void (*refused)(struct wire_packet *p, int err);
	/* The simulation ends, and it is on the wire: frees it. */
	void (*drop)(struct wire_packet *p);
};

/* Embedded, zeroed but for ops, from, to and size. */
struct wire_packet {
	const struct wire_packet_ops *ops;
	struct plait_host *from, *to; /* the same: by the loopback */
	size_t size;		      /* bytes, headers included */
	bool is_datagram; /* it may be cut, come twice, and is not reset */
	struct plait_list link; /* of those on the wire, or of a socket */
	/* private */
	int fate;
	struct future_event event;
};

/*
 * Sends it.  It arrives after not_before, a time that keeps it behind others;
 * its arrival is given back, so that the next one comes behind it.  On the
 * loopback of a host it takes no time, and still arrives only when the world
 * goes on.  If the loopback is immediate (world.h), nothing is sent here that
 * stays at home.
 */
int64_t plait_i_wire_send(struct wire_packet *p, int64_t not_before);

/* How many bytes a packet has on that way at most: larger datagrams are cut.
   SIZE_MAX: there is no limit. */
size_t plait_i_wire_mtu(const struct plait_host *from,
			const struct plait_host *to);

/* True if a datagram that is sent there now is to arrive twice. */
bool plait_i_wire_doubles(struct plait_host *from, const struct plait_host *to);

/* How many bytes wait to leave for there; and when no more than so many will.
 */
double plait_i_wire_backlog(const struct plait_host *from,
			    const struct plait_host *to);
int64_t plait_i_wire_drained(const struct plait_host *from,
			     const struct plait_host *to, size_t most);

/* Takes it off the wire; it does not arrive. */
void plait_i_wire_forget(struct wire_packet *p);

/* The ways from one host to each other, and to itself, by its number. */
struct wire_paths {
	struct wire_path *to;
	size_t room;
	/* What hosts that are to be made will have: from this, and to it. */
	struct plait_link out, in;
	struct random_stream chance;
};

/* Makes the ways from h, which is new, to all hosts and back.  Returns 0 or
   -ENOMEM. */
int plait_i_wire_add_host(struct plait_host *h);
void plait_i_wire_remove_host(struct plait_host *h);

/* What is sent from now on travels so.  A NULL host means all. */
void plait_i_wire_set_link(struct plait_simulation *s, struct plait_host *from,
			   struct plait_host *to,
			   const struct plait_link *link);

/* The host of that address, or NULL.  127.0.0.1, ::1, 0.0.0.0 and :: are h
   itself. */
struct plait_host *plait_i_host_at(struct plait_host *h,
				   const struct in6_addr *ip);

#endif

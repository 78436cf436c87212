/*
 * A limited factory wraps any other factory and limits how many connections
 * that factory has at a time, in total and from one address.  It is Twisted's
 * LimitTotalConnectionsFactory, and more.
 *
 *	struct plait_limited_factory limited = {
 *		.max_connections = 1000,
 *		.max_per_address = 20,
 *	};
 *
 *	plait_limited_factory_init(&limited, &echo);
 *	plait_listen_tcp(r, 10000, &limited.base.base, NULL, NULL);
 *
 * Several ports and connectors may use one limited factory: their connections
 * are counted together.  It may wrap other wrappers, and they may wrap it.
 */
#ifndef PLAIT_LIMIT_H
#define PLAIT_LIMIT_H

#include <plait/tcp.h>
#include <plait/wrap.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which limit was reached, and what happened. */
enum plait_limited {
	PLAIT_LIMITED_TOTAL,   /* max_connections: a connection was refused */
	PLAIT_LIMITED_ADDRESS, /* max_per_address: a connection was refused */
	PLAIT_LIMITED_PORTS    /* max_connections: the ports wait */
};

struct plait_limited_factory {
	struct plait_wrapping_factory base;
	unsigned max_connections; /* 0: no limit */
	unsigned max_per_address; /* 0: no limit */
	bool wait;		  /* at max_connections the ports wait */
	/*
	 * Is called each time a limit is reached.  peer, borrowed, is the peer
	 * that was refused or, if the ports wait, the last peer that was
	 * accepted.  NULL: the events are only counted.
	 */
	void (*limited)(struct plait_limited_factory *f,
			enum plait_limited what,
			const struct plait_address *peer);
	/* Only read these: how many connections there are now, and how often a
	   limit was reached. */
	unsigned connections;
	uint64_t refused_total, refused_address, waits;
	/* private */
	bool waiting;
	struct plait_list *networks;
	size_t n_networks, n_lists;
	struct plait_list ports;
	uintptr_t reserved[4]; /* zero */
};

/*
 * Makes f ready to wrap inner.  Before the call, set the first three fields and
 * limited(), and zero the rest.  inner is borrowed as long as f is in use.
 *
 * At max_connections a new connection is refused: it is accepted, and closed at
 * once.  If wait is true, the ports of f stop accepting instead, as by
 * plait_port_pause_accepting(), until a connection is gone; new clients wait in
 * the backlog of the kernel.  A connector does not wait: its connection is
 * refused, as if the factory had built no protocol.
 *
 * At max_per_address a new connection is always refused, because one client
 * must not keep the others waiting.  Peers have the same address if they have
 * the same IPv4 address, or if the first 64 bits of their IPv6 addresses are
 * the same, because a single client is usually given that many addresses.  An
 * IPv4 client of a port on "::" counts as IPv4.  A peer without an address
 * counts only for max_connections.
 *
 * A connection counts from before its protocol is built until the protocol was
 * freed.
 */
void plait_limited_factory_init(struct plait_limited_factory *f,
				struct plait_factory *inner);

/*
 * Frees what f still holds.  It is needed only in a child made by fork(), where
 * f is not told that its ports end.  Elsewhere f frees everything with its last
 * port and its last connection, and this does nothing.
 */
void plait_limited_factory_done(struct plait_limited_factory *f);

/*
 * Returns how many connections there are now from the address of peer,
 * borrowed; 0 if max_per_address is 0.
 */
unsigned
plait_limited_factory_connections_of(const struct plait_limited_factory *f,
				     const struct plait_address *peer);

#ifdef __cplusplus
}
#endif

#endif

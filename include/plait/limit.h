/*
 * A factory that limits how many connections there are at a time, in total
 * and of one address, for any factory that it wraps: Twisted's
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
 * It may be given to several ports and connectors, which it counts together,
 * and wrap or be wrapped by other wrappers.
 */
#ifndef PLAIT_LIMIT_H
#define PLAIT_LIMIT_H

#include <plait/tcp.h>
#include <plait/wrap.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What happened because of a limit. */
enum plait_limited {
	PLAIT_LIMITED_TOTAL,   /* one was refused: max_connections */
	PLAIT_LIMITED_ADDRESS, /* one was refused: max_per_address */
	PLAIT_LIMITED_PORTS    /* the ports accept no more for now */
};

struct plait_limited_factory {
	struct plait_wrapping_factory base;
	unsigned max_connections; /* 0: no limit */
	unsigned max_per_address; /* 0: no limit */
	bool wait;		  /* at max_connections the ports wait */
	/*
	 * Told of each time that a limit is reached: of the peer that was
	 * refused, or of the last that came in; borrowed.  NULL: only counted.
	 */
	void (*limited)(struct plait_limited_factory *f,
			enum plait_limited what,
			const struct plait_address *peer);
	/* Read only: how many there are, and how often a limit was reached. */
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
 * Makes f, zeroed but for its settings, ready to wrap inner, which is borrowed
 * for as long as f is in use.
 *
 * A peer counts by its IPv4 address, or by the first 64 bits of its IPv6
 * address, which is what a single client is usually given.  An IPv4 client of
 * a port on "::" counts as IPv4.  One without an address counts in total only.
 *
 * At max_connections a new connection is refused: accepted, and closed at once.
 * With wait, its ports stop accepting instead, as by
 * plait_port_pause_accepting(), until one of the connections is gone; new
 * clients wait in the backlog of the kernel.  A connector does not wait: it is
 * refused, as it is when the factory builds no protocol.  At max_per_address a
 * new connection is always refused, as one client must not hold up the others.
 *
 * A connection counts from before its protocol is built until that was freed.
 */
void plait_limited_factory_init(struct plait_limited_factory *f,
				struct plait_factory *inner);

/*
 * Frees what f still holds.  That is something only in a child made by fork(),
 * which is not told of the end of ports; else all went with the last port and
 * the last connection, and this does nothing.
 */
void plait_limited_factory_done(struct plait_limited_factory *f);

/*
 * The connections of the network that this address is in, now; 0 if
 * max_per_address is 0.
 */
unsigned
plait_limited_factory_connections_of(const struct plait_limited_factory *f,
				     const struct plait_address *peer);

#ifdef __cplusplus
}
#endif

#endif

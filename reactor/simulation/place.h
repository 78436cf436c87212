/*
 * Where a socket is: an address and a port.  An IPv4 address is kept as IPv6
 * maps it, ::ffff:10.0.0.1, so that a socket of IPv6 may have both.
 */
#ifndef REACTOR_SIMULATION_PLACE_H
#define REACTOR_SIMULATION_PLACE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct plait_host;

struct place {
	struct in6_addr ip;
	uint16_t port;
};

/* No address and no port, as a socket of that family begins. */
void plait_i_place_clear(struct place *p, int family);

/* Reads what a program gave to a socket of that family.  Returns 0, -EINVAL or
   -EAFNOSUPPORT. */
int plait_i_place_read(struct place *p, int family, const struct sockaddr *sa,
		       socklen_t len);

/* The address as a socket of that family shows it; returns its length. */
socklen_t plait_i_place_show(const struct place *p, int family,
			     struct sockaddr_storage *ret);

bool plait_i_place_is_any(const struct place *p);
bool plait_i_place_is_loopback(const struct place *p);
bool plait_i_place_is_ipv4(const struct place *p);

/* In the network of the simulated hosts, whether there is such a host or not.
 */
bool plait_i_place_is_near(const struct place *p);

/* The loopback address of the same family, or that of the host of that number.
 */
void plait_i_place_set_loopback(struct place *p);
void plait_i_place_set_host(struct place *p, bool ipv4, unsigned number);

static inline bool place_same_ip(const struct place *a, const struct place *b)
{
	return IN6_ARE_ADDR_EQUAL(&a->ip, &b->ip);
}

static inline bool place_equal(const struct place *a, const struct place *b)
{
	return a->port == b->port && place_same_ip(a, b);
}

#endif

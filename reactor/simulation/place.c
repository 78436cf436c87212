/*
 * Addresses of sockets: see place.h.
 */
#include <errno.h>
#include <string.h>

#include "reactor/simulation/place.h"

/* What connect() and bind() demand at least; the scope came later. */
enum { SHORTEST_IPV6 = 24 };

static void place_set_ipv4(struct place *p, uint32_t ip)
{
	p->ip = (struct in6_addr){ .s6_addr = { [10] = 0xff, 0xff } };
	ip = htonl(ip);
	memcpy(&p->ip.s6_addr[12], &ip, sizeof(ip));
}

static uint32_t place_ipv4(const struct place *p)
{
	uint32_t ip;

	memcpy(&ip, &p->ip.s6_addr[12], sizeof(ip));
	return ntohl(ip);
}

void plait_i_place_clear(struct place *p, int family)
{
	*p = (struct place){ .ip = IN6ADDR_ANY_INIT };
	if (family == AF_INET)
		place_set_ipv4(p, INADDR_ANY);
}

static int place_read_ipv4(struct place *p, const struct sockaddr *sa,
			   socklen_t len)
{
	struct sockaddr_in in;

	if (len < sizeof(in))
		return -EINVAL;
	memcpy(&in, sa, sizeof(in));
	if (in.sin_family != AF_INET)
		return -EAFNOSUPPORT;
	p->port = ntohs(in.sin_port);
	place_set_ipv4(p, ntohl(in.sin_addr.s_addr));
	return 0;
}

static int place_read_ipv6(struct place *p, const struct sockaddr *sa,
			   socklen_t len)
{
	struct sockaddr_in6 in6 = { 0 };

	if (len < SHORTEST_IPV6)
		return -EINVAL;
	memcpy(&in6, sa, len < sizeof(in6) ? len : sizeof(in6));
	if (in6.sin6_family != AF_INET6)
		return -EAFNOSUPPORT;
	p->port = ntohs(in6.sin6_port);
	p->ip = in6.sin6_addr;
	return 0;
}

int plait_i_place_read(struct place *p, int family, const struct sockaddr *sa,
		       socklen_t len)
{
	return family == AF_INET ? place_read_ipv4(p, sa, len)
				 : place_read_ipv6(p, sa, len);
}

socklen_t plait_i_place_show(const struct place *p, int family,
			     struct sockaddr_storage *ret)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons(p->port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
				    .sin6_port = htons(p->port),
				    .sin6_addr = p->ip };

	if (family == AF_INET6) {
		memcpy(ret, &in6, sizeof(in6));
		return sizeof(in6);
	}
	in.sin_addr.s_addr = htonl(place_ipv4(p));
	memcpy(ret, &in, sizeof(in));
	return sizeof(in);
}

bool plait_i_place_is_ipv4(const struct place *p)
{
	return IN6_IS_ADDR_V4MAPPED(&p->ip);
}

bool plait_i_place_is_any(const struct place *p)
{
	return IN6_IS_ADDR_UNSPECIFIED(&p->ip) ||
	       (plait_i_place_is_ipv4(p) && place_ipv4(p) == INADDR_ANY);
}

bool plait_i_place_is_loopback(const struct place *p)
{
	return IN6_IS_ADDR_LOOPBACK(&p->ip) ||
	       (plait_i_place_is_ipv4(p) && place_ipv4(p) >> 24 == 127);
}

bool plait_i_place_is_near(const struct place *p)
{
	static const unsigned char prefix[12] = { 0xfd };

	if (plait_i_place_is_ipv4(p))
		return place_ipv4(p) >> 24 == 10;
	return memcmp(p->ip.s6_addr, prefix, sizeof(prefix)) == 0;
}

void plait_i_place_set_loopback(struct place *p)
{
	if (plait_i_place_is_ipv4(p))
		place_set_ipv4(p, INADDR_LOOPBACK);
	else
		p->ip = (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
}

void plait_i_place_set_host(struct place *p, bool ipv4, unsigned number)
{
	if (ipv4) {
		place_set_ipv4(p, UINT32_C(10) << 24 | number);
		return;
	}
	p->ip = (struct in6_addr){ .s6_addr = { 0xfd } };
	number = htonl(number);
	memcpy(&p->ip.s6_addr[12], &number, sizeof(number));
}

/*
 * Addresses: numbers in, numbers out, and no name is ever looked up, for a
 * lookup may block.
 *
 * A struct plait_address holds what identifies one end and nothing else:
 * the bytes of the IP in network order (the first four for IPv4, the rest
 * zero), so two are equal exactly if they are the same end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "reactor/net/address.h"

static const unsigned max_port = 65535;

/* Reads the decimal number of an interface behind the `%' of an address. */
static int address_parse_scope(const char *text, uint32_t *ret)
{
	uint64_t scope = 0;

	if (*text == '\0')
		return -EADDRNOTAVAIL;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -EADDRNOTAVAIL;
		scope = scope * 10 + (uint64_t)(*text - '0');
		if (scope > UINT32_MAX)
			return -EADDRNOTAVAIL;
	}
	*ret = (uint32_t)scope;
	return 0;
}

static int address_parse_ipv6(struct plait_address *a, const char *host)
{
	const char *percent = strchr(host, '%');
	size_t len = percent != NULL ? (size_t)(percent - host) : strlen(host);
	char ip[INET6_ADDRSTRLEN];

	if (len >= sizeof(ip))
		return -EADDRNOTAVAIL;
	memcpy(ip, host, len);
	ip[len] = '\0';
	if (inet_pton(AF_INET6, ip, a->ip) != 1)
		return -EADDRNOTAVAIL;
	a->family = AF_INET6;
	return percent != NULL ? address_parse_scope(percent + 1, &a->scope)
			       : 0;
}

static int address_parse_host(struct plait_address *a, const char *host)
{
	if (host == NULL || *host == '\0')
		host = "0.0.0.0";
	else if (strcmp(host, "localhost") == 0)
		host = "127.0.0.1";
	if (inet_pton(AF_INET, host, a->ip) == 1) {
		a->family = AF_INET;
		return 0;
	}
	return address_parse_ipv6(a, host);
}

int plait_address_parse(struct plait_address *ret, const char *host,
			unsigned port)
{
	struct plait_address a = { .port = (uint16_t)port };
	int r;

	if (port > max_port)
		return -EINVAL;
	r = address_parse_host(&a, host);
	if (r == 0)
		*ret = a;
	return r;
}

unsigned plait_address_port(const struct plait_address *a)
{
	return a->port;
}

/* The IP as text; empty for no address. */
static void address_format_ip(const struct plait_address *a,
			      char text[INET6_ADDRSTRLEN])
{
	if (inet_ntop(a->family, a->ip, text, INET6_ADDRSTRLEN) == NULL)
		text[0] = '\0';
}

int plait_address_host(const struct plait_address *a, char *buf, size_t size)
{
	char ip[INET6_ADDRSTRLEN];

	address_format_ip(a, ip);
	if (a->scope == 0)
		return snprintf(buf, size, "%s", ip);
	return snprintf(buf, size, "%s%%%u", ip, (unsigned)a->scope);
}

int plait_address_str(const struct plait_address *a, char *buf, size_t size)
{
	char host[PLAIT_ADDRESS_SIZE];
	bool brackets = a->family == AF_INET6;

	if (a->family == AF_UNSPEC)
		return snprintf(buf, size, "%s", "no address");
	plait_address_host(a, host, sizeof(host));
	return snprintf(buf, size, "%s%s%s:%u", brackets ? "[" : "", host,
			brackets ? "]" : "", (unsigned)a->port);
}

static void address_from_ipv4(struct plait_address *a,
			      const struct sockaddr_in *in)
{
	a->family = AF_INET;
	a->port = ntohs(in->sin_port);
	memcpy(a->ip, &in->sin_addr, sizeof(in->sin_addr));
}

static void address_from_ipv6(struct plait_address *a,
			      const struct sockaddr_in6 *in)
{
	a->family = AF_INET6;
	a->port = ntohs(in->sin6_port);
	a->scope = in->sin6_scope_id;
	memcpy(a->ip, &in->sin6_addr, sizeof(in->sin6_addr));
}

void plait_i_address_from_kernel(struct plait_address *ret,
				 const union kernel_address *from)
{
	*ret = (struct plait_address){ .family = AF_UNSPEC };
	if (from->any.sa_family == AF_INET)
		address_from_ipv4(ret, &from->ipv4);
	else if (from->any.sa_family == AF_INET6)
		address_from_ipv6(ret, &from->ipv6);
}

static socklen_t address_to_ipv4(const struct plait_address *a,
				 struct sockaddr_in *in)
{
	in->sin_family = AF_INET;
	in->sin_port = htons(a->port);
	memcpy(&in->sin_addr, a->ip, sizeof(in->sin_addr));
	return sizeof(*in);
}

static socklen_t address_to_ipv6(const struct plait_address *a,
				 struct sockaddr_in6 *in)
{
	in->sin6_family = AF_INET6;
	in->sin6_port = htons(a->port);
	in->sin6_scope_id = a->scope;
	memcpy(&in->sin6_addr, a->ip, sizeof(in->sin6_addr));
	return sizeof(*in);
}

socklen_t plait_i_address_to_kernel(const struct plait_address *a,
				    union kernel_address *ret)
{
	*ret = (union kernel_address){ .room.ss_family = AF_UNSPEC };
	if (a->family == AF_INET)
		return address_to_ipv4(a, &ret->ipv4);
	if (a->family == AF_INET6)
		return address_to_ipv6(a, &ret->ipv6);
	return 0;
}

bool plait_address_equal(const struct plait_address *a,
			 const struct plait_address *b)
{
	return a->family == b->family && a->port == b->port &&
	       a->scope == b->scope && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

/* An IPv4 address in an IPv6 one is what a port on "::" sees. */
static void address_unmap(struct plait_address *a)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (a->family != AF_INET6 || memcmp(a->ip, mapped, sizeof(mapped)) != 0)
		return;
	memmove(a->ip, a->ip + sizeof(mapped), 4);
	memset(a->ip + 4, 0, sizeof(a->ip) - 4);
	a->family = AF_INET;
	a->scope = 0;
}

void plait_address_network(const struct plait_address *a, unsigned ipv4_bits,
			   unsigned ipv6_bits, struct plait_address *ret)
{
	struct plait_address net = *a;
	unsigned bits;

	net.port = 0;
	address_unmap(&net);
	bits = net.family == AF_INET ? ipv4_bits : ipv6_bits;
	for (unsigned i = 0; i < sizeof(net.ip); i++) {
		if (bits < 8 * i + 8)
			net.ip[i] &= bits <= 8 * i ? 0 : 0xff00u >> (bits % 8);
	}
	*ret = net;
}

typedef int name_call(struct kernel *k, int fd, struct sockaddr *sa,
		      socklen_t *len);

static int address_by(name_call *call, struct kernel *k, int fd,
		      struct plait_address *ret)
{
	union kernel_address from = { .room.ss_family = AF_UNSPEC };
	socklen_t len = sizeof(from);

	if (call(k, fd, &from.any, &len) < 0 || from.any.sa_family == AF_UNSPEC)
		return -ENOTCONN;
	plait_i_address_from_kernel(ret, &from);
	return 0;
}

int plait_i_address_of_socket(struct kernel *k, int fd,
			      struct plait_address *ret)
{
	return address_by(kernel_getsockname, k, fd, ret);
}

int plait_i_address_of_peer(struct kernel *k, int fd, struct plait_address *ret)
{
	return address_by(kernel_getpeername, k, fd, ret);
}

void plait_i_address_trace(const struct plait_address *a, enum trace_kind kind,
			   const void *object)
{
	char text[PLAIT_ADDRESS_SIZE];

	if (!trace_is_on())
		return;
	plait_address_str(a, text, sizeof(text));
	plait_i_trace_record_label(kind, object, text);
}

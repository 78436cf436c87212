/*
 * The address of one end of a connection: IPv4 or IPv6 and a port, by value.
 */
#ifndef PLAIT_ADDRESS_H
#define PLAIT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <plait/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Private inside.  A zeroed one is no address. */
struct plait_address {
	uint16_t family;
	uint16_t port; /* host order */
	uint32_t scope;
	unsigned char ip[16];
};

/* Room for any address as text, with its NUL. */
#define PLAIT_ADDRESS_SIZE 64

/*
 * Reads a numeric IPv4 or IPv6 address, or "localhost" (127.0.0.1); a null
 * or empty host is 0.0.0.0.  Never looks up a name: that is -EADDRNOTAVAIL.
 * -EINVAL if port is above 65535.  *ret is untouched on failure.
 */
int plait_address_parse(struct plait_address *ret, const char *host,
			unsigned port);

unsigned plait_address_port(const struct plait_address *a);

/* True if both are the same IP, port and interface. */
bool plait_address_equal(const struct plait_address *a,
			 const struct plait_address *b);

/*
 * The network that a is in: the leading bits of its IP, that many of an IPv4
 * address (at most 32) or of an IPv6 address (at most 128), then zeros, and
 * port 0.  An IPv4 address inside an IPv6 one, such as ::ffff:192.0.2.1,
 * becomes the IPv4 address first.  *ret may be *a.
 */
void plait_address_network(const struct plait_address *a, unsigned ipv4_bits,
			   unsigned ipv6_bits, struct plait_address *ret);

/*
 * Write as snprintf() would: the one "127.0.0.1" or "::1", the other
 * "127.0.0.1:80" or "[::1]:80".
 */
int plait_address_host(const struct plait_address *a, char *buf, size_t size);
int plait_address_str(const struct plait_address *a, char *buf, size_t size);

#ifdef __cplusplus
}
#endif

#endif

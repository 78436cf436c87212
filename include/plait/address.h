/*
 * The address of one end of a connection, by value: an IPv4 or IPv6 address
 * and a port, or the path or the abstract name of a UNIX socket.
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

/* Owns nothing: copy it.  A zeroed one is no address. */
struct plait_address {
	/* private */
	uint16_t family;
	uint16_t length; /* of what is used of bytes */
	uint32_t port;	 /* host order */
	uint32_t scope;
	unsigned char bytes[116]; /* an IP, or a path, or a name behind a NUL */
	uintptr_t reserved[2];	  /* zero */
};

/* Room for any address as text, with its NUL. */
#define PLAIT_ADDRESS_SIZE 440

/*
 * Reads a numeric IPv4 or IPv6 address, or "localhost" (127.0.0.1); a null
 * or empty host is 0.0.0.0.  Never looks up a name: that is -EADDRNOTAVAIL.
 * -EINVAL if port is above 65535.  *ret is untouched on failure.
 */
int plait_address_parse(struct plait_address *ret, const char *host,
			unsigned port);

/*
 * Makes the address of the UNIX socket at path, or of the one with an abstract
 * name, which is len bytes of any value and is in no file system.  Both are
 * borrowed for the call.  0; -EINVAL if there is no byte, -ENAMETOOLONG if
 * there are more than 107; then *ret is untouched.
 */
int plait_address_from_path(struct plait_address *ret, const char *path);
int plait_address_from_abstract(struct plait_address *ret, const void *name,
				size_t len);

/*
 * Reads what plait_address_str() writes: "127.0.0.1:80", "[::1]:80",
 * "unix:/run/poem", "unix:@name"; and "localhost:80".  0; the errors of the
 * functions above; -EINVAL for any other text.
 */
int plait_address_from_str(struct plait_address *ret, const char *text);

/* AF_INET, AF_INET6 or AF_UNIX; AF_UNSPEC if it is no address. */
int plait_address_family(const struct plait_address *a);

/* 0 for an address that has none. */
unsigned plait_address_port(const struct plait_address *a);

/*
 * The path, borrowed from *a.  NULL if a is no UNIX address, or one with an
 * abstract name, or with none, as a client's mostly is.
 */
const char *plait_address_path(const struct plait_address *a);

/* The abstract name, borrowed from *a, and its length; NULL if it has none. */
const void *plait_address_abstract(const struct plait_address *a, size_t *len);

/* True if both are the same IP, port and interface, or the same name. */
bool plait_address_equal(const struct plait_address *a,
			 const struct plait_address *b);

/*
 * The network that a is in: the leading bits of its IP, that many of an IPv4
 * address (at most 32) or of an IPv6 address (at most 128), then zeros, and
 * port 0.  An IPv4 address inside an IPv6 one, such as ::ffff:192.0.2.1,
 * becomes the IPv4 address first.  A UNIX address is in no network: *ret is no
 * address then.  *ret may be *a.
 */
void plait_address_network(const struct plait_address *a, unsigned ipv4_bits,
			   unsigned ipv6_bits, struct plait_address *ret);

/*
 * Write the address without and with its port, as snprintf() would:
 * "127.0.0.1" and "127.0.0.1:80", "::1" and "[::1]:80", "/run/poem" and
 * "unix:/run/poem", "@name" and "unix:@name".  Of a UNIX address, each byte
 * that is not printable ASCII, each '\' and a '@' that begins a path are
 * written as \xNN.
 */
int plait_address_host(const struct plait_address *a, char *buf, size_t size);
int plait_address_str(const struct plait_address *a, char *buf, size_t size);

#ifdef __cplusplus
}
#endif

#endif

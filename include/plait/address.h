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

/* It owns nothing and may be copied.  A zeroed struct is no address. */
struct plait_address {
	/* private */
	uint16_t family;
	uint16_t length; /* of what is used of bytes */
	uint32_t port;	 /* host order */
	uint32_t scope;
	unsigned char bytes[116]; /* an IP, or a path, or a name behind a NUL */
	uintptr_t reserved[2];	  /* zero */
};

/* The size of a buffer that has room for any address as text, with its NUL. */
#define PLAIT_ADDRESS_SIZE 440

/*
 * Reads an IP address.  host, borrowed for the call, is a numeric IPv4 or IPv6
 * address or "localhost", which is 127.0.0.1; NULL or "" is 0.0.0.0.  No name
 * is ever looked up.  Returns 0, -EADDRNOTAVAIL if host is none of these, or
 * -EINVAL if port is above 65535; then *ret is unchanged.
 */
int plait_address_parse(struct plait_address *ret, const char *host,
			unsigned port);

/*
 * Make the address of a UNIX socket: of the socket at path, or of the socket
 * with an abstract name, which is len bytes of any value and is in no file
 * system.  path and name are borrowed for the call.  They return 0, -EINVAL if
 * there is no byte, or -ENAMETOOLONG if there are more than 107 bytes; then
 * *ret is unchanged.
 */
int plait_address_from_path(struct plait_address *ret, const char *path);
int plait_address_from_abstract(struct plait_address *ret, const void *name,
				size_t len);

/*
 * Reads the text of an address as plait_address_str() writes it, such as
 * "127.0.0.1:80", "[::1]:80", "unix:/run/poem" and "unix:@name"; also
 * "localhost:80".  Returns 0, an error of the functions above, or -EINVAL for
 * any other text; then *ret is unchanged.
 */
int plait_address_from_str(struct plait_address *ret, const char *text);

/* Returns AF_INET, AF_INET6 or AF_UNIX; AF_UNSPEC if a is no address. */
int plait_address_family(const struct plait_address *a);

/* Returns the port; 0 if the address has no port. */
unsigned plait_address_port(const struct plait_address *a);

/*
 * Returns the path of a UNIX address, borrowed from *a.  Returns NULL if a is
 * no UNIX address, or has an abstract name or no name.  The address of a client
 * usually has no name.
 */
const char *plait_address_path(const struct plait_address *a);

/* Returns the abstract name, borrowed from *a, and sets *len to its length;
   returns NULL if a has none. */
const void *plait_address_abstract(const struct plait_address *a, size_t *len);

/* Is true if both have the same IP, port and interface, or the same name. */
bool plait_address_equal(const struct plait_address *a,
			 const struct plait_address *b);

/*
 * Sets *ret to the network that a is in: the leading bits of the IP of a, then
 * zeros, and port 0.  It keeps ipv4_bits of an IPv4 address, which has 32, and
 * ipv6_bits of an IPv6 address, which has 128.  An IPv4 address inside an IPv6
 * address, such as ::ffff:192.0.2.1, first becomes the IPv4 address.  A UNIX
 * address is in no network: then *ret becomes no address.  ret may point to *a.
 */
void plait_address_network(const struct plait_address *a, unsigned ipv4_bits,
			   unsigned ipv6_bits, struct plait_address *ret);

/*
 * Write an address as text, as snprintf() would.  plait_address_host() writes
 * "127.0.0.1", "::1", "/run/poem" or "@name"; plait_address_str() writes
 * "127.0.0.1:80", "[::1]:80", "unix:/run/poem" or "unix:@name".  In the name of
 * a UNIX socket, each byte that is not printable ASCII, each '\', and a '@'
 * that begins a path are written as \xNN.  They return the length of the whole
 * text, without the NUL.
 */
int plait_address_host(const struct plait_address *a, char *buf, size_t size);
int plait_address_str(const struct plait_address *a, char *buf, size_t size);

#ifdef __cplusplus
}
#endif

#endif

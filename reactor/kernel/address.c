/*
 * Addresses: numbers in, numbers out, and no name is ever looked up, for a
 * lookup may block.
 *
 * A struct plait_address holds what identifies one end and nothing else, and
 * zeros behind it, so two are equal exactly if they are the same end.  Its
 * bytes are those of an IP in network order, 4 or 16; of a path, without its
 * NUL; of an abstract name, with the NUL that it begins with; or none, of a
 * UNIX socket that has no name.
 *
 * Whoever keeps many addresses keeps struct kept_address: an IP fits into it,
 * and a path is in memory of its own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/print.h"
#include "reactor/kernel/address.h"

enum { IPV4_LENGTH = 4, IPV6_LENGTH = 16 };

/* With a NUL before or behind it, it is all that a sockaddr_un has room for. */
enum { MAX_NAME = sizeof(((struct sockaddr_un *)0)->sun_path) - 1 };

_Static_assert(MAX_NAME + 1 < sizeof(((struct plait_address *)0)->bytes),
	       "a path from the kernel has a NUL behind it, too");

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
	if (inet_pton(AF_INET6, ip, a->bytes) != 1)
		return -EADDRNOTAVAIL;
	a->family = AF_INET6;
	a->length = IPV6_LENGTH;
	return percent != NULL ? address_parse_scope(percent + 1, &a->scope)
			       : 0;
}

static int address_parse_host(struct plait_address *a, const char *host)
{
	if (host == NULL || *host == '\0')
		host = "0.0.0.0";
	else if (strcmp(host, "localhost") == 0)
		host = "127.0.0.1";
	if (inet_pton(AF_INET, host, a->bytes) == 1) {
		a->family = AF_INET;
		a->length = IPV4_LENGTH;
		return 0;
	}
	return address_parse_ipv6(a, host);
}

int plait_address_parse(struct plait_address *ret, const char *host,
			unsigned port)
{
	struct plait_address a = { .port = port };
	int r;

	if (port > max_port)
		return -EINVAL;
	r = address_parse_host(&a, host);
	if (r == 0)
		*ret = a;
	return r;
}

/* A UNIX address of these bytes, behind a NUL if it is an abstract name. */
static int address_from_name(struct plait_address *ret, const void *name,
			     size_t len, bool abstract)
{
	struct plait_address a = { .family = AF_UNIX };

	if (len == 0)
		return -EINVAL;
	if (len > MAX_NAME)
		return -ENAMETOOLONG;
	memcpy(a.bytes + abstract, name, len);
	a.length = (uint16_t)(len + abstract);
	*ret = a;
	return 0;
}

int plait_address_from_path(struct plait_address *ret, const char *path)
{
	return address_from_name(ret, path, strlen(path), false);
}

int plait_address_from_abstract(struct plait_address *ret, const void *name,
				size_t len)
{
	return address_from_name(ret, name, len, true);
}

int plait_address_family(const struct plait_address *a)
{
	return a->family;
}

unsigned plait_address_port(const struct plait_address *a)
{
	return a->port;
}

static bool address_is_abstract(const struct plait_address *a)
{
	return a->family == AF_UNIX && a->length > 0 && a->bytes[0] == '\0';
}

const char *plait_address_path(const struct plait_address *a)
{
	return a->family == AF_UNIX && a->length > 0 && a->bytes[0] != '\0'
		       ? (const char *)a->bytes
		       : NULL;
}

const void *plait_address_abstract(const struct plait_address *a, size_t *len)
{
	if (!address_is_abstract(a))
		return NULL;
	*len = a->length - 1u;
	return a->bytes + 1;
}

/* ---- text ---------------------------------------------------------------- */

static const char unix_prefix[] = "unix:";

/* The IP as text; empty for no address. */
static void address_format_ip(const struct plait_address *a,
			      char text[INET6_ADDRSTRLEN])
{
	if (inet_ntop(a->family, a->bytes, text, INET6_ADDRSTRLEN) == NULL)
		text[0] = '\0';
}

/*
 * The name of a UNIX socket, which is the choice of whoever has made it: what
 * could end or forge a line, or command a terminal, is escaped.
 */
static void address_format_name(const struct plait_address *a,
				char text[PLAIT_ADDRESS_SIZE])
{
	bool abstract = address_is_abstract(a);
	size_t len = 0;

	if (abstract)
		text[len++] = '@';
	for (size_t i = abstract; i < a->length; i++) {
		unsigned char c = a->bytes[i];

		if (print_is_visible((char)c) && c != '\\' &&
		    (c != '@' || i > 0))
			text[len++] = (char)c;
		else
			len += (size_t)snprintf(text + len,
						PLAIT_ADDRESS_SIZE - len,
						"\\x%02x", c);
	}
	text[len] = '\0';
}

int plait_address_host(const struct plait_address *a, char *buf, size_t size)
{
	char text[PLAIT_ADDRESS_SIZE];

	if (a->family == AF_UNIX)
		address_format_name(a, text);
	else
		address_format_ip(a, text);
	if (a->scope == 0)
		return snprintf(buf, size, "%s", text);
	return snprintf(buf, size, "%s%%%u", text, (unsigned)a->scope);
}

static int address_format_unix(const struct plait_address *a, char *buf,
			       size_t size)
{
	char name[PLAIT_ADDRESS_SIZE];

	if (a->length == 0)
		return snprintf(buf, size, "unnamed UNIX socket");
	address_format_name(a, name);
	return snprintf(buf, size, "%s%s", unix_prefix, name);
}

int plait_address_str(const struct plait_address *a, char *buf, size_t size)
{
	char host[PLAIT_ADDRESS_SIZE];
	bool brackets = a->family == AF_INET6;

	if (a->family == AF_UNSPEC)
		return snprintf(buf, size, "no address");
	if (a->family == AF_UNIX)
		return address_format_unix(a, buf, size);
	plait_address_host(a, host, sizeof(host));
	return snprintf(buf, size, "%s%s%s:%u", brackets ? "[" : "", host,
			brackets ? "]" : "", (unsigned)a->port);
}

/* The value of a hexadecimal digit; -1 if c is none. */
static int address_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Moves *text past one byte of a name, which may be escaped; -1: it is not. */
static int address_read_byte(const char **text)
{
	const char *from = *text;
	int high, low;

	if (*from != '\\') {
		(*text)++;
		return (unsigned char)*from;
	}
	high = from[1] == 'x' ? address_hex(from[2]) : -1;
	low = high >= 0 ? address_hex(from[3]) : -1;
	*text += 4;
	return low >= 0 ? high * 16 + low : -1;
}

static int address_read_name(struct plait_address *ret, const char *text)
{
	bool abstract = *text == '@';
	unsigned char name[MAX_NAME];
	size_t len = 0;
	int c;

	text += abstract;
	while (*text != '\0') {
		c = address_read_byte(&text);
		if (c < 0 || (c == 0 && !abstract))
			return -EINVAL;
		if (len == sizeof(name))
			return -ENAMETOOLONG;
		name[len++] = (unsigned char)c;
	}
	return address_from_name(ret, name, len, abstract);
}

static int address_read_port(const char *text, unsigned *ret)
{
	unsigned port = 0;

	if (*text == '\0')
		return -EINVAL;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		port = port * 10 + (unsigned)(*text - '0');
		if (port > max_port)
			return -EINVAL;
	}
	*ret = port;
	return 0;
}

/* The host lies before the colon, an IPv6 address in brackets. */
static int address_read_ip(struct plait_address *ret, const char *text,
			   const char *colon)
{
	size_t len = (size_t)(colon - text);
	char host[PLAIT_ADDRESS_SIZE];
	bool brackets = *text == '[';
	unsigned port;
	int err;

	if (brackets && (len < 3 || colon[-1] != ']'))
		return -EINVAL;
	text += brackets;
	len -= 2 * (size_t)brackets;
	if (len == 0 || len >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	if (brackets != (strchr(host, ':') != NULL))
		return -EINVAL;
	err = address_read_port(colon + 1, &port);
	return err == 0 ? plait_address_parse(ret, host, port) : err;
}

int plait_address_from_str(struct plait_address *ret, const char *text)
{
	const char *colon = strrchr(text, ':');
	size_t prefix = sizeof(unix_prefix) - 1;

	if (strncmp(text, unix_prefix, prefix) == 0)
		return address_read_name(ret, text + prefix);
	return colon != NULL ? address_read_ip(ret, text, colon) : -EINVAL;
}

/* ---- the kernel's -------------------------------------------------------- */

static void address_from_ipv4(struct plait_address *a,
			      const struct sockaddr_in *in)
{
	a->family = AF_INET;
	a->port = ntohs(in->sin_port);
	a->length = IPV4_LENGTH;
	memcpy(a->bytes, &in->sin_addr, sizeof(in->sin_addr));
}

static void address_from_ipv6(struct plait_address *a,
			      const struct sockaddr_in6 *in)
{
	a->family = AF_INET6;
	a->port = ntohs(in->sin6_port);
	a->scope = in->sin6_scope_id;
	a->length = IPV6_LENGTH;
	memcpy(a->bytes, &in->sin6_addr, sizeof(in->sin6_addr));
}

/*
 * The kernel says how long it is.  A path may end earlier, or have no NUL if
 * it fills all of its room.
 */
static void address_from_unix(struct plait_address *a,
			      const struct sockaddr_un *un, socklen_t len)
{
	size_t before = offsetof(struct sockaddr_un, sun_path);
	size_t n = len > before ? len - before : 0;

	if (n > sizeof(un->sun_path))
		n = sizeof(un->sun_path);
	if (n > 0 && un->sun_path[0] != '\0')
		n = strnlen(un->sun_path, n);
	a->family = AF_UNIX;
	a->length = (uint16_t)n;
	memcpy(a->bytes, un->sun_path, n);
}

void plait_i_address_from_kernel(struct plait_address *ret,
				 const union kernel_address *from,
				 socklen_t len)
{
	*ret = (struct plait_address){ .family = AF_UNSPEC };
	switch (from->any.sa_family) {
	case AF_INET:
		address_from_ipv4(ret, &from->ipv4);
		break;
	case AF_INET6:
		address_from_ipv6(ret, &from->ipv6);
		break;
	case AF_UNIX:
		address_from_unix(ret, &from->un, len);
		break;
	}
}

static socklen_t address_to_ipv4(const struct plait_address *a,
				 struct sockaddr_in *in)
{
	*in = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)a->port),
	};
	memcpy(&in->sin_addr, a->bytes, sizeof(in->sin_addr));
	return sizeof(*in);
}

static socklen_t address_to_ipv6(const struct plait_address *a,
				 struct sockaddr_in6 *in)
{
	*in = (struct sockaddr_in6){
		.sin6_family = AF_INET6,
		.sin6_port = htons((uint16_t)a->port),
		.sin6_scope_id = a->scope,
	};
	memcpy(&in->sin6_addr, a->bytes, sizeof(in->sin6_addr));
	return sizeof(*in);
}

/* With the NUL of a path.  A socket without a name cannot be named. */
static socklen_t address_to_unix(const struct plait_address *a,
				 struct sockaddr_un *un)
{
	size_t len = a->length + (plait_address_path(a) != NULL);

	if (len > sizeof(un->sun_path))
		len = sizeof(un->sun_path);
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, a->bytes, len);
	return len > 0 ? (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				     len)
		       : 0;
}

socklen_t plait_i_address_to_kernel(const struct plait_address *a,
				    union kernel_address *ret)
{
	switch (a->family) {
	case AF_INET:
		return address_to_ipv4(a, &ret->ipv4);
	case AF_INET6:
		return address_to_ipv6(a, &ret->ipv6);
	case AF_UNIX:
		return address_to_unix(a, &ret->un);
	default:
		ret->any.sa_family = AF_UNSPEC;
		return 0;
	}
}

bool plait_address_equal(const struct plait_address *a,
			 const struct plait_address *b)
{
	return a->family == b->family && a->port == b->port &&
	       a->scope == b->scope && a->length == b->length &&
	       memcmp(a->bytes, b->bytes, a->length) == 0;
}

/* A port on "::" sees IPv4 clients as IPv4 addresses inside IPv6 addresses. */
static void address_unmap(struct plait_address *a)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (a->family != AF_INET6 ||
	    memcmp(a->bytes, mapped, sizeof(mapped)) != 0)
		return;
	memmove(a->bytes, a->bytes + sizeof(mapped), IPV4_LENGTH);
	memset(a->bytes + IPV4_LENGTH, 0, sizeof(mapped));
	a->family = AF_INET;
	a->length = IPV4_LENGTH;
	a->scope = 0;
}

static bool address_is_ip(const struct plait_address *a)
{
	return a->family == AF_INET || a->family == AF_INET6;
}

void plait_address_network(const struct plait_address *a, unsigned ipv4_bits,
			   unsigned ipv6_bits, struct plait_address *ret)
{
	struct plait_address net = { .family = AF_UNSPEC };
	unsigned bits;

	if (address_is_ip(a))
		net = *a;
	net.port = 0;
	address_unmap(&net);
	bits = net.family == AF_INET ? ipv4_bits : ipv6_bits;
	for (unsigned i = 0; i < net.length; i++) {
		if (bits < 8 * i + 8)
			net.bytes[i] &=
				bits <= 8 * i ? 0 : 0xff00u >> (bits % 8);
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
	plait_i_address_from_kernel(ret, &from, len);
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

/* ---- kept --------------------------------------------------------------- */

/* A word with an address: the bytes, the port, the family, and a 1. */
enum { IN_WORD = 1, FAMILY_SHIFT = 1, PORT_SHIFT = 16, BYTES_SHIFT = 32 };

static bool address_fits_a_word(const struct plait_address *a)
{
	return (a->family == AF_INET || a->length == 0) && a->scope == 0;
}

static uint64_t address_to_word(const struct plait_address *a)
{
	uint32_t bytes = 0;

	memcpy(&bytes, a->bytes, a->length);
	return (uint64_t)bytes << BYTES_SHIFT |
	       (uint64_t)a->port << PORT_SHIFT |
	       (uint64_t)a->family << FAMILY_SHIFT | IN_WORD;
}

static void address_from_word(struct plait_address *a, uint64_t word)
{
	uint32_t bytes = (uint32_t)(word >> BYTES_SHIFT);

	a->family = (uint16_t)word >> FAMILY_SHIFT;
	a->port = (uint16_t)(word >> PORT_SHIFT);
	a->length = a->family == AF_INET ? IPV4_LENGTH : 0;
	memcpy(a->bytes, &bytes, a->length);
}

/* How much of an address is in use. */
static size_t address_used(const struct plait_address *a)
{
	return offsetof(struct plait_address, bytes) + a->length;
}

static struct plait_address *address_apart(const struct kept_address *k)
{
	return k->word & IN_WORD ? NULL : k->apart;
}

int plait_i_address_keep(struct kept_address *ret,
			 const struct plait_address *a)
{
	struct plait_address *copy;

	if (a->family == AF_UNSPEC) {
		ret->word = 0;
	} else if (address_fits_a_word(a)) {
		ret->word = address_to_word(a);
	} else {
		copy = malloc(address_used(a));
		if (copy == NULL)
			return -ENOMEM;
		memcpy(copy, a, address_used(a));
		*ret = (struct kept_address){ .apart = copy };
	}
	return 0;
}

void plait_i_address_get(const struct kept_address *k,
			 struct plait_address *ret)
{
	const struct plait_address *apart = address_apart(k);
	struct plait_address a = { .family = AF_UNSPEC };

	if (apart != NULL)
		memcpy(&a, apart, address_used(apart));
	else if (k->word != 0)
		address_from_word(&a, k->word);
	*ret = a;
}

int plait_i_address_kept_family(const struct kept_address *k)
{
	const struct plait_address *apart = address_apart(k);

	return apart != NULL ? apart->family
			     : (uint16_t)k->word >> FAMILY_SHIFT;
}

unsigned plait_i_address_kept_port(const struct kept_address *k)
{
	const struct plait_address *apart = address_apart(k);

	return apart != NULL ? apart->port : (uint16_t)(k->word >> PORT_SHIFT);
}

void plait_i_address_drop(struct kept_address *k)
{
	free(address_apart(k));
	k->word = 0;
}

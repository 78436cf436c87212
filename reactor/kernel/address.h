/*
 * Addresses as the kernel has them, for what opens sockets.
 */
#ifndef REACTOR_ADDRESS_H
#define REACTOR_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <plait/address.h>

#include "lib/trace.h"
#include "reactor/kernel/kernel.h"

/* An address of one family, as any.sa_family says.  In a union each member may
   be read as another. */
union kernel_address {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
	struct sockaddr_un un;
	struct sockaddr_storage room; /* for what plait does not know, too */
};

/*
 * Converts an address of the kernel.  len is the length that the kernel has
 * returned, which may be more than there was room for.  From an unknown family
 * it makes no address.
 */
void plait_i_address_from_kernel(struct plait_address *ret,
				 const union kernel_address *from,
				 socklen_t len);

/*
 * Converts an address for bind() and connect(), and returns its length. Returns
 * 0 for no address, and for a UNIX socket without a name, because bind() would
 * invent a name.  It writes no more of *ret than that length, and the family.
 */
socklen_t plait_i_address_to_kernel(const struct plait_address *a,
				    union kernel_address *ret);

/*
 * Give the addresses of getsockname() and getpeername().  Return 0, or
 * -ENOTCONN if the kernel knows no address; then *ret is unchanged.
 */
int plait_i_address_of_socket(struct kernel *k, int fd,
			      struct plait_address *ret);
int plait_i_address_of_peer(struct kernel *k, int fd,
			    struct plait_address *ret);

/*
 * An address as connections and ports keep it, of whom there may be many: an
 * IPv4 address needs no more than this, nor does one without bytes; all others
 * are in memory of their own.  A zeroed one is no address.
 */
struct kept_address {
	union {
		uint64_t word; /* odd: it is in here */
		struct plait_address *apart;
	};
};

static inline bool kept_address_is_none(const struct kept_address *k)
{
	return k->word == 0;
}

/* Of an address that is kept, without a copy of it. */
int plait_i_address_kept_family(const struct kept_address *k);
unsigned plait_i_address_kept_port(const struct kept_address *k);

/*
 * Keeps a copy of a, in *ret, which is none or was dropped; 0 or -ENOMEM.
 * Gives a copy.  Drops it: it is no address then.
 */
int plait_i_address_keep(struct kept_address *ret,
			 const struct plait_address *a);
void plait_i_address_get(const struct kept_address *k,
			 struct plait_address *ret);
void plait_i_address_drop(struct kept_address *k);

/* In a trace: object, a connection or an attempt, begins; a is its other end.
 */
void plait_i_address_trace(const struct plait_address *a, enum trace_kind kind,
			   const void *object);

#endif

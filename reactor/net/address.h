/*
 * Addresses as the kernel has them, for what opens sockets.
 */
#ifndef REACTOR_ADDRESS_H
#define REACTOR_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>

#include <plait/address.h>

#include "lib/trace.h"
#include "reactor/kernel/kernel.h"

/* One of them, as `any' says: a union, as each may be looked at in one. */
union kernel_address {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
	struct sockaddr_storage room; /* for what plait does not know, too */
};

/* A family that plait does not know gives no address. */
void plait_i_address_from_kernel(struct plait_address *ret,
				 const union kernel_address *from);

/* Gives the length that bind() and connect() want; 0 for no address. */
socklen_t plait_i_address_to_kernel(const struct plait_address *a,
				    union kernel_address *ret);

/*
 * What getsockname() and getpeername() say.  0, or -ENOTCONN when the kernel
 * knows no address; *ret is untouched then.
 */
int plait_i_address_of_socket(struct kernel *k, int fd,
			      struct plait_address *ret);
int plait_i_address_of_peer(struct kernel *k, int fd,
			    struct plait_address *ret);

/* In a trace: object, a connection or an attempt, begins; a is its other end.
 */
void plait_i_address_trace(const struct plait_address *a, enum trace_kind kind,
			   const void *object);

#endif

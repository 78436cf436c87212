/*
 * Looking up as the C library does, in a pool of threads: for name services
 * that plait does not know.
 *
 * The pool is made with the first job and ends with its resolver.  What the C
 * library does cannot be stopped: a job that is cancelled while it runs is
 * abandoned, and nobody ever waits for the C library.
 */
#ifndef REACTOR_SYSTEM_H
#define REACTOR_SYSTEM_H

#include <netdb.h>

#include <plait/pool.h>

#include "reactor/kernel/address.h"
#include "reactor/loop/loop.h"

/* What came of a job: the value of its deferred is of this type. */
struct system_result {
	int error;	       /* 0, or EAI_ as getaddrinfo() says */
	struct addrinfo *list; /* of addresses */
	char name[NI_MAXHOST]; /* of an address */
};

extern const struct plait_type plait_i_system_result_type;

static inline const struct system_result *system_result_of(const plait_value *v)
{
	return plait_value_get(v, &plait_i_system_result_type);
}

/* What a job looks up: the addresses of a name, or the name of an address. */
struct system_wish {
	const char *name; /* NULL: of address; borrowed for the call */
	int family;
	struct plait_address address;
};

/*
 * Begins a job, in *poolp, which it makes if it is NULL.  Gives a deferred that
 * fires with a result, or fails: there is no memory, or no thread.
 */
struct plait_deferred *plait_i_system_start(struct plait_pool **poolp,
					    struct plait_reactor *r,
					    const struct system_wish *wish);

/*
 * Ends the job, whose callback is called meanwhile and finds *jobp NULL.  It
 * may be NULL before.
 */
void plait_i_system_cancel(struct plait_deferred **jobp);

#endif

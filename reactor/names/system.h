/*
 * Looking up as the C library does, in a thread: for name services that plait
 * does not know.
 *
 * The thread is made with the first job, does one job after the other, and
 * ends with its resolver.  What the C library does cannot be stopped: a job
 * that is cancelled while it runs is the thread's, which frees it when the C
 * library has returned.  So nobody ever waits for the C library.
 */
#ifndef REACTOR_SYSTEM_H
#define REACTOR_SYSTEM_H

#include <netdb.h>

#include "reactor/kernel/address.h"
#include "reactor/loop/loop.h"

struct system_thread;
struct system_job;

/* What came of a job.  It is told from the loop, once, borrowed for the call.
 */
struct system_result {
	int error;		     /* 0, or EAI_ as getaddrinfo() says */
	int err;		     /* errno, if that is EAI_SYSTEM */
	const struct addrinfo *list; /* of addresses */
	const char *name;	     /* of an address */
};

typedef void system_told(void *arg, const struct system_result *result);

/* What a job looks up: the addresses of a name, or the name of an address. */
struct system_wish {
	const char *name; /* NULL: of address; borrowed for the call */
	int family;
	struct plait_address address;
	system_told *told;
	void *arg; /* borrowed until it was told or the job is cancelled */
};

/*
 * Begins a job, in *tp, which it makes if it is NULL.  Returns 0 and the job in
 * *ret, or -errno: there is no memory, or no thread.
 */
int plait_i_system_start(struct system_thread **tp, struct plait_reactor *r,
			 const struct system_wish *wish,
			 struct system_job **ret);

/* Ends the job, and tells nobody.  *jp becomes NULL, and may be NULL. */
void plait_i_system_cancel(struct system_job **jp);

/* Ends the thread, after all jobs were told or cancelled.  *tp becomes NULL,
   and may be NULL. */
void plait_i_system_end(struct system_thread **tp);

#endif

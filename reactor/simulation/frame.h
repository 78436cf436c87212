/*
 * What all calls of a simulated kernel have in common, for calls.c and
 * children.c.
 *
 * Each call fails first as its host wants it to fail (struct
 * plait_host_faults), then as what it is called for does.  Calls and their
 * results are part of what has happened.
 */
#ifndef REACTOR_SIMULATION_FRAME_H
#define REACTOR_SIMULATION_FRAME_H

#include "reactor/simulation/world.h"

static inline struct host_kernel *calls_kernel(const struct kernel *k)
{
	return k->state;
}

static inline const struct plait_host_faults *
calls_faults(const struct host_kernel *k)
{
	return &k->host->faults;
}

bool plait_i_call_chance(struct host_kernel *k, double probability);

/* The next call is not interrupted: a caller who tries again comes through. */
bool plait_i_call_is_interrupted(struct host_kernel *k);

/* At least a byte, and less than there is, if there is more than one. */
size_t plait_i_call_shorten(struct host_kernel *k, double probability,
			    size_t there, size_t len);

/* What is sent on an immediate loopback arrives before the next is sent. */
void plait_i_call_settle(struct host_kernel *k);

/* Notes what has come of a call.  Returns it as libc does. */
ssize_t plait_i_call_return(struct host_kernel *k, const char *what, int fd,
			    ssize_t rc);

struct descriptor *plait_i_call_find(const struct host_kernel *k, int fd);

/* Returns the number of a new descriptor, or -errno. */
int plait_i_call_open(struct host_kernel *k, enum descriptor_kind kind);
void plait_i_call_close_again(struct host_kernel *k, int fd);

#endif

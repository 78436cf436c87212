/*
 * What all calls of a simulated kernel have in common: see frame.h.
 */
#include <errno.h>

#include "reactor/simulation/frame.h"

/* ---- faults -------------------------------------------------------------- */

bool plait_i_call_chance(struct host_kernel *k, double probability)
{
	return plait_i_random_chance(&k->chance, probability);
}

bool plait_i_call_is_interrupted(struct host_kernel *k)
{
	struct descriptors *ds = &k->descriptors;

	ds->interrupted = !ds->interrupted &&
			  plait_i_call_chance(k, calls_faults(k)->interrupted);
	return ds->interrupted;
}

size_t plait_i_call_shorten(struct host_kernel *k, double probability,
			    size_t there, size_t len)
{
	size_t most = there < len ? there : len;

	if (most < 2 || !plait_i_call_chance(k, probability))
		return len;
	return 1 + (size_t)plait_i_random_below(&k->chance, most - 1);
}

/* ---- the frame of a call ------------------------------------------------- */

void plait_i_call_settle(struct host_kernel *k)
{
	if (k->host->simulation->immediate)
		plait_i_sockets_settle(k->host);
}

ssize_t plait_i_call_return(struct host_kernel *k, const char *what, int fd,
			    ssize_t rc)
{
	struct plait_host *h = k->host;

	plait_i_record(h->simulation, what,
		       (uint64_t)h->number << 32 | (uint32_t)fd, (uint64_t)rc);
	plait_i_call_settle(k);
	if (rc >= 0)
		return rc;
	errno = (int)-rc;
	return -1;
}

/* ---- descriptors --------------------------------------------------------- */

struct descriptor *plait_i_call_find(const struct host_kernel *k, int fd)
{
	return k->dead ? NULL : plait_i_descriptor_find(&k->descriptors, fd);
}

int plait_i_call_open(struct host_kernel *k, enum descriptor_kind kind)
{
	return k->dead ? -EMFILE
		       : plait_i_descriptor_open(
				 &k->descriptors,
				 k->host->simulation->options.max_descriptors,
				 kind);
}

void plait_i_call_close_again(struct host_kernel *k, int fd)
{
	plait_i_descriptor_close(plait_i_descriptor_find(&k->descriptors, fd));
}

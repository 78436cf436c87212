/*
 * From where this host talks to a destination, as the kernel says; remembered
 * for a second, so that a lookup that is answered from the cache asks nobody.
 */
#ifndef REACTOR_SOURCE_H
#define REACTOR_SOURCE_H

#include "reactor/names/names.h"

/* A sort_ask; arg is the resolver. */
bool plait_i_source_ask(void *arg, const struct plait_address *a,
			struct sort_source *ret);

/* Forgets all. */
void plait_i_source_forget(struct plait_resolver *rs);

#endif

/*
 * A connector to a name: its search is a lookup.
 */
#ifndef REACTOR_NAMED_H
#define REACTOR_NAMED_H

#include "reactor/net/connector.h"

/*
 * The connector, which has no address, will look the name up whenever it
 * connects.  Reads the delays and the resolver in the options, which have no
 * reserved word in use.  Returns 0 or -ENOMEM.
 */
int plait_i_named_search(struct plait_connector *c, const char *host,
			 unsigned port,
			 const struct plait_connect_options *options);

#endif

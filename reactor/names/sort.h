/*
 * The order in which to try the addresses of a name: RFC 6724, 6, with the
 * policy table of 2.1.
 *
 * It is pure: the caller says from which address this host would talk to each.
 * The sort is stable, so addresses between which no rule decides stay in the
 * order in which the server has sent them (rule 10).
 */
#ifndef REACTOR_SORT_H
#define REACTOR_SORT_H

#include <stdbool.h>
#include <stddef.h>

#include <plait/address.h>

#include "reactor/kernel/kernel.h"

/* From where this host would talk to a destination. */
struct sort_source {
	struct plait_address address;
	/*
	 * How many bits of address belong to its network; rule 9 compares no
	 * more.  0: unknown; then it is 64 for IPv6, and rule 9 is not applied
	 * to IPv4, so that a server that deals out its addresses in turn is
	 * heard.
	 */
	unsigned prefix;
	bool is_deprecated; /* rule 3 */
	bool is_home;	    /* rule 4: a home address, not a care-of address */
	bool is_encapsulated; /* rule 7: a tunnel leads there */
};

/* Returns false if there is no way to a: it comes behind all others (rule 1).
 */
typedef bool sort_ask(void *arg, const struct plait_address *a,
		      struct sort_source *ret);

/*
 * Sorts n addresses.  Calls ask(arg, ...) once for each.  Without memory the
 * order stays as it is.
 */
void plait_i_sort(struct plait_address *list, size_t n, sort_ask *ask,
		  void *arg);

/*
 * A sort_ask: asks the kernel, which is arg, with a UDP socket that it connects
 * to a.  No packet is sent.  The flags of rules 3, 4 and 7 stay false, because
 * a socket does not tell them.
 */
bool plait_i_sort_ask_kernel(void *arg, const struct plait_address *a,
			     struct sort_source *ret);

#endif

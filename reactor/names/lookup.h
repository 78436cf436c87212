/*
 * One lookup of a host name: which addresses it has, told by family as they are
 * found.  This is what connects by name, and what plait_resolve() is made of.
 *
 * The lookup is embedded in a struct of its owner, and must not move while it
 * is under way.  It calls its owner from the loop: never inside
 * plait_i_lookup_start(), and never after plait_i_lookup_cancel() has been
 * called.  The only other call that calls the owner is plait_resolver_free(),
 * which ends all lookups.
 */
#ifndef REACTOR_LOOKUP_H
#define REACTOR_LOOKUP_H

#include <plait/address.h>
#include <plait/failure.h>
#include <plait/resolver.h>

#include "reactor/names/question.h"

/* What is looked up.  Zero means the default, but for the name. */
struct lookup_wish {
	const char *name; /* borrowed for the call */
	unsigned port;
	int family;	/* AF_INET, AF_INET6; AF_UNSPEC: both */
	double timeout; /* seconds; 0: that of the resolver */
	bool no_search;
};

/* IPv6 comes first, as it mostly does after sorting. */
enum { LOOKUP_IPV6, LOOKUP_IPV4, LOOKUP_FAMILIES };

enum { LOOKUP_ADDRESSES = 64 }; /* of a family; further ones are ignored */

#define LOOKUP_FOR_EVER UINT32_MAX

/* The hosts file is looked at once a second, so what it says is good for that.
 */
enum { LOOKUP_HOSTS_TTL = 1 };

/* What is known of a family. */
struct lookup_family {
	struct plait_address *list;
	size_t n;
	struct plait_dns_answer *answer; /* it is from; NULL: from no server */
	/* private */
	struct names_ask ask;
	struct names_lookup *lookup;
	const struct plait_failure *why; /* there is none */
	bool is_wished;
	bool is_known; /* for the name that is asked for now */
	bool is_told;  /* to the owner */
};

struct names_lookup {
	/*
	 * Is called once for each family that was wished for, in the order in
	 * which the answers come: AF_INET or AF_INET6, and its n addresses,
	 * sorted by RFC 6724, borrowed for the call.  n is 0 if the name has
	 * none.  A family that failed while the other did not has none.
	 */
	void (*found)(struct names_lookup *l, int family,
		      const struct plait_address *list, size_t n);
	/*
	 * Is called once, after found() or without it.  why is NULL if any
	 * address was told; else it is a failure, borrowed for the call.  The
	 * owner may free *l in here.
	 */
	void (*ended)(struct names_lookup *l, const struct plait_failure *why);
	/* What was found so far: may be read in found() and ended(). */
	struct lookup_family families[LOOKUP_FAMILIES];
	uint32_t ttl; /* LOOKUP_FOR_EVER: it is in the name itself */
	/* private */
	struct plait_resolver *resolver;
	struct plait_reactor *reactor; /* NULL: it is not under way */
	struct plait_list link;	       /* in the resolver's list */
	struct loop_task soon;	       /* ends it from the loop */
	struct plait_timer timer;
	struct resolv_conf *conf; /* that it began with; a reference */
	struct nsswitch order;
	size_t step;		    /* of order */
	size_t candidate;	    /* of the names to ask for */
	struct dns_name name;	    /* that was given */
	struct dns_name asked;	    /* that the servers are asked for now */
	struct plait_deferred *job; /* of the C library; NULL: none */
	const struct plait_failure *why; /* it will end with, perhaps */
	bool *gone; /* set when it ends while its owner is called */
	double timeout;
	unsigned port, turn;
	bool no_search, starting;
};

/*
 * Begins.  The owner has set found and ended, and zeroed all else.  rs is the
 * resolver, borrowed, of r or of a reactor that was freed; NULL, because there
 * was no memory for it, ends the lookup with the no-memory failure.
 */
void plait_i_lookup_start(struct names_lookup *l, struct plait_reactor *r,
			  struct plait_resolver *rs,
			  const struct lookup_wish *wish);

/*
 * Ends the lookup, and calls nobody.  Its timers are gone when this returns,
 * and its sockets are closed when the turn ends.  Does nothing if the lookup
 * has ended, or is zeroed.
 */
void plait_i_lookup_cancel(struct names_lookup *l);

/* The same, but the owner has found enough, and questions that were sent go on
   for a second: see plait_i_ask_leave(). */
void plait_i_lookup_leave(struct names_lookup *l);

/*
 * The resolver is being freed: ends the lookup with that failure, and tells its
 * owner at once.
 */
void plait_i_lookup_abandon(struct names_lookup *l);
const struct plait_failure *plait_i_lookup_abandoned(void); /* given */

/* What a lookup fails with if its name cannot be one; rc is that of
   plait_i_name_parse(). */
plait_value plait_i_lookup_bad_name(const char *name, int rc);

/* The failures of the C library, and of its jobs; failure is taken. */
const struct plait_error *plait_i_lookup_system_kind(int error);
plait_value plait_i_lookup_system_failure(plait_value failure);

/* Is true if it says that there is no such name, or nothing of that type. */
bool plait_i_failure_is_of_nothing(const struct plait_failure *why);

#endif

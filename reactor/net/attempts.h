/*
 * The attempts of a connector: the addresses that it may connect to, and what
 * has become of each.
 *
 * Mostly there is one address, and one attempt.  If the addresses are searched,
 * as those of a name are, they come one by one, and happy eyeballs
 * (eyeballs.h) decide which is tried when.  The first attempt that succeeds
 * wins, and the others are stopped.
 */
#ifndef REACTOR_ATTEMPT_H
#define REACTOR_ATTEMPT_H

#include <plait/failure.h>

#include "reactor/loop/loop.h"
#include "reactor/kernel/address.h"
#include "reactor/net/eyeballs.h"

struct attempt;
struct attempts;
struct transport_owner;

/* What differs between kinds of attempts.  None may call the user. */
struct attempt_ops {
	size_t size; /* of its struct, which begins with a struct attempt */
	/* Fills in a zeroed attempt.  NULL: there is nothing to fill in. */
	void (*init)(struct attempt *a);
	/* Starts.  It tells the outcome later, never from inside, with
	   plait_i_attempt_connected() or plait_i_attempt_failed(). */
	void (*start)(struct attempt *a);
	/* It tells no outcome any more.  Stopping twice does nothing. */
	void (*stop)(struct attempt *a);
	/* Closes what the attempt has left, outside of all events. */
	void (*close)(struct attempt *a);
	/* Makes the transport of the attempt that has won.  NULL with errno. */
	struct plait_transport *(*transport)(struct attempt *a,
					     struct transport_owner *owner);
	/* Writes where it goes, for people, as snprintf() would.  NULL: as its
	   address says. */
	int (*where)(const struct attempt *a, char *buf, size_t size);
};

enum { ATTEMPT_WHERE_SIZE = PLAIT_ADDRESS_SIZE };

enum attempt_state {
	ATTEMPT_UNUSED, /* it has no address */
	ATTEMPT_UNTRIED,
	ATTEMPT_TRYING,
	ATTEMPT_OVER
};

/* Embedded first by each kind of attempt. */
struct attempt {
	struct attempts *of;
	struct plait_list link;
	struct kept_address to;
	enum attempt_state state;
	unsigned number; /* in the order in which addresses were added */
	const struct plait_failure *why; /* why it has failed, or NULL */
	struct loop_task burial;	 /* closes what is left */
};

/*
 * Where addresses come from, if they are not known at the beginning.  None of
 * the functions may call the user.
 */
struct attempt_search {
	/* Starts.  It may call plait_i_connector_add() and the like from now
	   on, from inside too. */
	void (*start)(struct attempt_search *s);
	/* It finds nothing any more.  Does nothing if it does not run. */
	void (*stop)(struct attempt_search *s);
	/* An attempt has won, and stop() follows: what the search is still
	   about to find may be of use to others.  NULL: it is not. */
	void (*leave)(struct attempt_search *s);
	/* The connector was freed. */
	void (*free)(struct attempt_search *s);
	const char *name; /* what is searched, for people */
	int family;	  /* no other is searched; AF_UNSPEC: any is */
	int64_t attempt_delay, resolution_delay; /* nanoseconds */
	/* Of attempts.c. */
	struct attempts *of;
	struct eyeballs eyeballs;
	struct plait_timer timer;
	struct loop_task turn; /* in the turn after attempts have connected */
	int64_t began;
};

struct attempts {
	const struct attempt_ops *ops;
	struct plait_reactor *reactor;
	/* The outcome, told from the loop: a is connected; all have failed. */
	void (*won)(struct attempts *s, struct attempt *a);
	void (*lost)(struct attempts *s);
	struct plait_list all;
	struct attempt *first;		 /* in memory of the connector */
	struct attempt_search *search;	 /* NULL: there is one address */
	const struct plait_failure *why; /* the search failed */
	/* Options, for the kinds of attempts that have them. */
	struct kept_address bind;
	bool binds_port; /* bind is a port, at any address of either family */
	bool no_delay, keep_alive;
};

/* *s is zeroed, and so is *first.  With it the first address needs no memory.
 */
void plait_i_attempts_init(struct attempts *s, struct plait_reactor *r,
			   const struct attempt_ops *ops,
			   struct attempt *first);
void plait_i_attempts_done(struct attempts *s);

/* The search, which is taken, will find the addresses. */
void plait_i_attempts_search(struct attempts *s, struct attempt_search *search);

/*
 * Adds an address.  Returns 0, -ENOMEM, or -E2BIG if there are too many:
 * without a search, one.  It is not tried before plait_i_attempts_go_on().
 */
int plait_i_attempts_add(struct attempts *s, const struct plait_address *to);

/* No more addresses of that family come; AF_UNSPEC: none at all.  why is the
   failure of the search, taken, or NULL. */
void plait_i_attempts_no_more(struct attempts *s, int family,
			      const struct plait_failure *why);

/* Begins anew: with the first address, or with none if there is a search. */
void plait_i_attempts_reset(struct attempts *s);

/* Tries what is to be tried now.  False if all have failed and no more come. */
bool plait_i_attempts_go_on(struct attempts *s);

/* Stops all attempts; closes at once what would be closed in a burial. */
void plait_i_attempts_stop(struct attempts *s);
void plait_i_attempts_close(struct attempts *s);

/* The first attempt that is under way.  NULL: none is. */
struct attempt *plait_i_attempts_trying(const struct attempts *s);

/* The attempt that has begun first; before that, the first address. */
const struct attempt *plait_i_attempts_leader(const struct attempts *s);

/* Writes where all of it goes, for people, as snprintf() would: the name that
   is searched, or where the first attempt goes. */
int plait_i_attempts_where(const struct attempts *s, char *buf, size_t size);

/*
 * The failure of a connector whose attempts have all failed, given.  If there
 * is no search, it is the failure of the attempt.  Otherwise it has the kind
 * and the errno of the most telling failure.  Its detail are the failures of
 * the attempts, each with its address, its time and its error, in the order in
 * which they have begun; and that of the search.  If there was no attempt, it
 * is the failure of the search.
 *
 * The most telling failure is that of the attempt that came farthest.  From far
 * to near: the peer has refused; the system got no answer; there is no route;
 * something went wrong on this side; the search has failed.  Of several that
 * came equally far, the first counts.
 */
const struct plait_failure *plait_i_attempts_failure(const struct attempts *s);

/*
 * A failure of that kind for the connector, given.  If there is a search, its
 * detail are the same failures, and one of that kind for each attempt that is
 * under way.
 */
const struct plait_failure *
plait_i_attempts_failure_of(const struct attempts *s,
			    const struct plait_error *kind);

/*
 * Kinds of attempts call these from the loop, to tell that an attempt is
 * connected, or has failed.  why is taken.
 */
void plait_i_attempt_connected(struct attempt *a);
void plait_i_attempt_failed(struct attempt *a, const struct plait_failure *why);

/*
 * The failure of an attempt with that errno, given.  If kind is NULL, the errno
 * decides the kind.
 */
const struct plait_failure *
plait_i_attempt_failure(const struct attempt *a, const struct plait_error *kind,
			int err);

/* Stores the address that this end of the attempt is to have; none: any. */
void plait_i_attempt_bind(const struct attempt *a, struct plait_address *ret);

/* Writes where the attempt goes, for people, as snprintf() would. */
int plait_i_attempt_where(const struct attempt *a, char *buf, size_t size);

#endif

/*
 * The attempts of a connector: the addresses that it may connect to, and what
 * has become of each.
 *
 * Addresses may be added while attempts are under way, for whoever looks up a
 * name learns them one by one.  Each address is tried once, in the order in
 * which they were added: the next one when an attempt has failed, or earlier
 * if somebody says so, and then attempts overlap.  The first that succeeds
 * wins, and the others are stopped.
 */
#ifndef REACTOR_ATTEMPT_H
#define REACTOR_ATTEMPT_H

#include <plait/failure.h>

#include "reactor/loop/loop.h"
#include "reactor/net/address.h"

struct attempt;
struct attempts;
struct transport_owner;

/* How a kind of attempt does it.  None may call the user. */
struct attempt_ops {
	size_t size; /* of its struct, which begins with a struct attempt */
	void (*init)(struct attempt *a); /* a zeroed one; NULL: nothing */
	/* Starts; the outcome comes later as plait_i_attempt_connected() or
	   plait_i_attempt_failed(), never from inside. */
	void (*start)(struct attempt *a);
	/* Nothing more may come of it.  Stopping twice does nothing. */
	void (*stop)(struct attempt *a);
	/* Closes what it has left, outside of all events. */
	void (*close)(struct attempt *a);
	/* The transport of the one that has won; NULL with errno. */
	struct plait_transport *(*transport)(struct attempt *a,
					     struct transport_owner *owner);
	/* Where to, for people, as snprintf().  NULL: its address says it. */
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
	const struct plait_failure *why; /* it has failed; NULL: it has not */
	struct loop_task burial;	 /* closes what is left */
};

/*
 * Where addresses come from, if not all are known at the beginning.  None may
 * call the user.
 */
struct attempt_search {
	/* It begins: plait_i_connector_add() and the like may follow, from
	   inside too. */
	void (*start)(struct attempt_search *s);
	/* Nothing more may come of it.  If it does not run, that does nothing.
	 */
	void (*stop)(struct attempt_search *s);
	/* The connector is gone. */
	void (*free)(struct attempt_search *s);
};

/* So many addresses are tried; more are refused. */
enum { ATTEMPTS_MAX = 64 };

struct attempts {
	const struct attempt_ops *ops;
	struct plait_reactor *reactor;
	/* How it went, from the loop: a is connected; all have failed. */
	void (*won)(struct attempts *s, struct attempt *a);
	void (*lost)(struct attempts *s);
	struct plait_list all;
	struct attempt *first; /* always there, in memory that is not its own */
	struct attempt_search *search;	 /* NULL: the addresses are known */
	const struct plait_failure *why; /* the search failed */
	bool complete;			 /* no more addresses come */
	/* What the kind of attempt may want to know; zeroed: nothing. */
	struct kept_address bind;
	bool no_delay, keep_alive;
};

/* Zeroed, and first, so that the first address needs no memory. */
void plait_i_attempts_init(struct attempts *s, struct plait_reactor *r,
			   const struct attempt_ops *ops,
			   struct attempt *first);
void plait_i_attempts_done(struct attempts *s);

/*
 * Adds one: 0; -ENOMEM; -E2BIG if there are too many.  It is not tried before
 * plait_i_attempts_go_on().
 */
int plait_i_attempts_add(struct attempts *s, const struct plait_address *to);

/* All anew: from the first address, or without any if they are searched. */
void plait_i_attempts_reset(struct attempts *s);

/*
 * Tries the next address unless one is being tried.  False if all have failed
 * and no more come.
 */
bool plait_i_attempts_go_on(struct attempts *s);

/* Tries the next address beside those that are tried; false: there is none. */
bool plait_i_attempts_try_next(struct attempts *s);

/* Stops all; and closes at once what has to wait for the burial. */
void plait_i_attempts_stop(struct attempts *s);
void plait_i_attempts_close(struct attempts *s);

/* The first that is being tried; NULL: none. */
struct attempt *plait_i_attempts_trying(const struct attempts *s);

/*
 * What to say when all have failed, given: of one, its failure; of several, the
 * kind and errno of the most telling one, and all of them as its detail, in the
 * order of their addresses; of none, why the search failed.
 *
 * The most telling failure is that of the attempt that came farthest: a peer
 * has refused; the system got no answer; no way led there; anything else, which
 * went wrong on this side.  Of several equal ones it is the first.  That a
 * search failed tells least of all.
 */
const struct plait_failure *plait_i_attempts_failure(const struct attempts *s);

/*
 * A failure of that kind, of the whole: with those of the attempts that have
 * failed until now as its detail, if any.  Given.
 */
const struct plait_failure *
plait_i_attempts_failure_of(const struct attempts *s,
			    const struct plait_error *kind);

/*
 * By the kinds of attempts, from the loop.  It is connected; it has failed: why
 * is taken.
 */
void plait_i_attempt_connected(struct attempt *a);
void plait_i_attempt_failed(struct attempt *a, const struct plait_failure *why);

/*
 * What to say when it fails with that errno, given.  kind is NULL where the
 * errno tells which.
 */
const struct plait_failure *
plait_i_attempt_failure(const struct attempt *a, const struct plait_error *kind,
			int err);

/* Writes where to, for people, as snprintf() would. */
int plait_i_attempt_where(const struct attempt *a, char *buf, size_t size);

#endif

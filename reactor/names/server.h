/*
 * The servers that questions go to: those of resolv.conf, what is remembered
 * of each, and how many sockets questions may have open at once.
 *
 * One server is tried after the other, so how long to wait for each is worth
 * knowing.  A server that has answered at least three times is given five times
 * the mean of its answers, and a new one two seconds.  A server that did not
 * answer comes last for five seconds.  A server that does not understand EDNS0
 * is asked without it for a while.
 */
#ifndef REACTOR_SERVER_H
#define REACTOR_SERVER_H

#include "reactor/loop/loop.h"
#include "reactor/names/resolv_conf.h"

enum { NAMES_SOCKETS = 512 }; /* that are open at once */

/* One server.  Times are those of the reactor's clock, in nanoseconds. */
struct names_server {
	struct plait_address address;
	int64_t mean;	      /* of the times of its answers */
	unsigned answers;     /* how many are in the mean */
	int64_t failed;	      /* until then it comes last */
	int64_t without_edns; /* until then it is asked without EDNS0 */
};

struct names_servers {
	struct plait_reactor *reactor;
	struct resolv_conf *conf;		   /* in force; a reference */
	struct names_server known[RESOLV_SERVERS]; /* in the order of conf */
	unsigned turn;		   /* with `rotate': who is asked first */
	unsigned max;		   /* sockets; NAMES_SOCKETS at first */
	unsigned room;		   /* ... that the system seems to have */
	unsigned taken;		   /* sockets that are open, or promised */
	struct plait_list waiting; /* those who wait for one */
};

/* Begins with no servers. */
void plait_i_servers_init(struct names_servers *s, struct plait_reactor *r);

/* Ends.  All queries must be over or cancelled before. */
void plait_i_servers_done(struct names_servers *s);

/*
 * The servers and settings of the queries that begin from now on; s gets a
 * reference of its own.  What is known of a server that stays is kept.  Queries
 * under way keep what they have begun with.
 */
void plait_i_servers_set(struct names_servers *s, struct resolv_conf *conf);

/*
 * The server that the next lookup asks first, for plait_i_query_start(): with
 * `rotate' a different one each time.  The questions of one lookup are given
 * the same, so that A and AAAA come from the same server.
 */
unsigned plait_i_servers_turn(struct names_servers *s);

/* ---- for query.c --------------------------------------------------------- */

/* What is known of that address.  NULL: it is none of the servers in force. */
struct names_server *plait_i_servers_find(struct names_servers *s,
					  const struct plait_address *address);

/* All of these take NULL for a server that is not in force any more. */

/* For how long to wait for an answer, in nanoseconds. */
int64_t plait_i_server_patience(const struct names_server *srv);

/* It has answered, after so many nanoseconds. */
void plait_i_server_answered(struct names_server *srv, int64_t took);

/* It has not answered; it does not understand EDNS0. */
void plait_i_server_failed(struct names_server *srv, int64_t now);
void plait_i_server_refused_edns(struct names_server *srv, int64_t now);

bool plait_i_server_has_failed(const struct names_server *srv, int64_t now);
bool plait_i_server_knows_edns(const struct names_server *srv, int64_t now);

/* Who waits for a socket.  Embedded, zeroed but for the function of the task,
   which runs when there is a socket. */
struct names_waiter {
	struct plait_list link;
	struct loop_task task;
};

/*
 * Takes one more socket.  If there is none, returns false; then w, unless it is
 * NULL, waits in the line.  The second leaves the line.
 */
bool plait_i_servers_take_socket(struct names_servers *s,
				 struct names_waiter *w);

/*
 * The system has no descriptor for a socket that was taken.  If there are other
 * sockets, it is given back, and w is in the line again, as the first; until
 * the line is empty, no more sockets are taken than there are now.  Returns
 * false if there are none: then nobody would ever be called.
 */
bool plait_i_servers_lack_socket(struct names_servers *s,
				 struct names_waiter *w);
void plait_i_servers_stop_waiting(struct names_waiter *w);

/* Gives back n sockets.  Each goes to who has waited longest. */
void plait_i_servers_give_sockets(struct names_servers *s, unsigned n);

#endif

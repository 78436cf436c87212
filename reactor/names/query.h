/*
 * One question, of a name and a type, to the servers of resolv.conf, until one
 * of them has answered it.
 *
 * The query is embedded in a struct of its owner and must not move while it is
 * under way.  It needs no memory of its own but for answers over TCP.  It calls
 * its owner once, from the loop: never inside plait_i_query_start(), and never
 * after plait_i_query_cancel() has been called.
 *
 * Each server is asked `attempts' times, and waited for `timeout' seconds each
 * time, so resolv.conf says when all must be over: after attempts x timeout
 * seconds for each server.  The next server is asked much earlier if a server
 * takes longer than it usually does; but whoever was asked may answer until the
 * end.  A server that has said that it cannot answer, or that is not there, is
 * not asked again.
 */
#ifndef REACTOR_QUERY_H
#define REACTOR_QUERY_H

#include <plait/failure.h>
#include <plait/reactor.h>
#include <plait/timer.h>

#include "reactor/names/server.h"

struct dns_message;
struct dns_name;

/* What a server has answered.  All of it is borrowed for the call. */
struct names_reply {
	/*
	 * It is whole and not truncated, its question is ours, and its code is
	 * RCODE_OK or RCODE_NO_NAME.  Whether there are records that answer the
	 * question is for the owner to see.
	 */
	const struct dns_message *message;
	const struct plait_address *server;
	double seconds; /* since the query was started */
};

/* The question at one of the servers.  Private. */
struct names_exchange {
	struct names_query *query;
	struct plait_watch watch;
	int64_t asked; /* when the socket was opened */
	int fd;
	uint16_t id;
	bool is_open;
	bool is_over; /* the server is not asked again */
	bool is_tcp;
	bool is_connecting;
	bool without_edns;
	unsigned char *input; /* TCP: what has come of an answer, or NULL */
	size_t got, room;     /* in input */
	size_t sent;	      /* TCP: how much of the question */
};

struct names_query {
	/*
	 * Set by the owner.  reply is what was answered; or it is NULL, and why
	 * says what went wrong, with a kind below plait_error_dns_lookup.  Both
	 * are borrowed for the call.  In here the owner may free the query, or
	 * start it again.
	 */
	void (*ended)(struct names_query *q, const struct names_reply *reply,
		      const struct plait_failure *why);
	/* private */
	struct names_servers *servers; /* NULL: it is not under way */
	struct resolv_conf *conf;      /* a reference */
	const struct dns_name *name;
	unsigned type, turn;
	struct names_waiter waiter;
	struct plait_timer timer;
	/* When it was started; when it began to ask; when the next server is
	   asked; when it ends at the latest. */
	int64_t started, began, next, limit;
	unsigned turns;		       /* how often a server's turn has come */
	unsigned tries;		       /* how often a question was sent */
	unsigned sockets;	       /* that it may have open; 0: not begun */
	unsigned said;		       /* what servers have answered instead */
	bool is_waiting;	       /* for the first socket */
	int err;		       /* what the system has said last, or 0 */
	uint8_t order[RESOLV_SERVERS]; /* which server is first, second, ... */
	uint8_t asking;		       /* which server was asked last */
	struct names_exchange exchanges[RESOLV_SERVERS]; /* as in conf */
};

/*
 * Begins.  The owner has set ended, and zeroed all else before the first time.
 * name is borrowed until the query is over.  turn is that of
 * plait_i_servers_turn().  The query ends after that many seconds at the
 * latest.
 */
void plait_i_query_start(struct names_query *q, struct names_servers *s,
			 const struct dns_name *name, unsigned type,
			 unsigned turn, double seconds);

/* From now on the query ends after that many seconds at the latest. */
void plait_i_query_limit(struct names_query *q, double seconds);

/*
 * Ends the query.  When this returns, nobody is called and nothing is sent any
 * more, and its timer and its sockets are gone.  Does nothing if the query is
 * not under way.
 */
void plait_i_query_cancel(struct names_query *q);

#endif

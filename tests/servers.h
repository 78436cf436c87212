/*
 * Servers for clients that are cancelled: each does one thing to whoever
 * connects.  They are programs of the library, so they run on sockets, on a
 * simulated network and on a testing reactor, where a caller plays the network
 * between the two.
 */
#ifndef TESTS_SERVERS_H
#define TESTS_SERVERS_H

#include <stdbool.h>

#include <plait/tcp.h>
#include <plait/timer.h>

/* What a server does, or that there is none. */
enum server {
	SERVER_MUTE,	/* it says nothing, and waits for the peer to go */
	SERVER_HASTY,	/* it closes at once */
	SERVER_POEM,	/* it says a line, and closes */
	SERVER_MUCH,	/* ... or more than is read at once */
	SERVER_SLOW,	/* ... or the line in pieces */
	SERVER_BREAKS,	/* it says a piece, and resets */
	SERVER_SILENT,	/* it takes the request, and never answers */
	SERVER_REFUSES, /* nobody listens */
	SERVER_NOWHERE, /* nobody answers at all */
	N_SERVERS
};

/* How much SERVER_MUCH says, and the pause between the pieces of SERVER_SLOW */
enum { SERVER_BYTES = 100000 };
#define SERVER_PAUSE 0.25

/*
 * The network in which they are: where clients connect to so that nobody
 * listens, and so that nobody answers.  servers_on_sockets() finds these on
 * the machine and holds two descriptors until servers_gone().  On a simulated
 * network the servers are on one host, and the link to the other is down.
 */
struct plait_host;
struct servers_world {
	bool testing;	  /* testing reactors: there is no network */
	const char *here; /* the address of the servers */
	unsigned refusing;
	const char *nowhere;
	unsigned unanswered;
};
extern struct servers_world servers_world;

void servers_on_testing(void);
void servers_on_sockets(void);
void servers_on_host(struct plait_host *here, struct plait_host *nowhere);
void servers_gone(void);

/*
 * Somewhere to connect to: listens, unless it is not needed, and stores the
 * host and the port.  The port is borrowed: NULL if there is none.
 */
struct plait_port *server_start(struct plait_reactor *r, enum server what,
				const char **host, unsigned *port);

/* The same at a path or an abstract name, which a testing reactor cannot have.
 */
struct plait_port *server_start_at(struct plait_reactor *r, enum server what,
				   const char *path);

/*
 * On a testing reactor: answers the connector that has been connecting longest,
 * as its server would, and carries the bytes; elsewhere it does nothing.  A
 * caller is zeroed, and started once for each connection.  When the client has
 * what it wants, or wants nothing more, caller_end() lets the connection end;
 * caller_stop() stops at once.
 */
struct caller {
	struct plait_reactor *reactor;
	struct plait_timer timer;
	struct plait_transport *client, *server;
	bool ended;
};
void caller_start(struct caller *c, struct plait_reactor *r);
void caller_end(struct caller *c);
void caller_stop(struct caller *c);

#endif

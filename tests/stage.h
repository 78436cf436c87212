/*
 * The cast of stories about ports and connectors: see story.h for what a
 * story is.  Two actors (actor.h), the client and the server, and plain peers
 *whose names are a to d.
 *
 *	GROUP("stop", .setup = stage_setup, .teardown = stage_teardown);
 *
 *	STORY(stopped_while_the_kernel_tries,
 *	      "server listens; client connects; attempt; client gives-up;"
 *	      "client trace Sc; over; client trace ScFX;"
 *	      "client kind UserError");
 *
 *	server listens		on 127.0.0.1; what connects goes to it
 *	server listens EINVAL	... or is refused
 *	server stops		waits until that is done
 *	server stops-listening	does not
 *	server drains, server drained	the second: it has, by now
 *	server stops-draining		the deferred of that is freed
 *	server pauses-accepting, server resumes-accepting	at the port
 *				that it was told of: actor_hear_of_ports()
 *	client connects		to the server, or else to a port that refuses
 *	client connects full	to one whose queue is full, for ever
 *	client connects HOST, client connects HOST 7
 *	option no_delay		of what listens or connects later; also
 *				keep_alive, no_address_reuse, timeout 2.5,
 *				iface, bind_address, bind_port, max_connections,
 *				backlog
 *	attempt			turns until the kernel tries to connect, and
 *				has seen no event
 *	met			... until both have their protocol
 *	over			until neither has anything left
 *	until client lost 1	until it was so often: made, lost, failed,
 *				client_lost, builds, started, starts, stopped,
 *				users
 *
 *	client F { client again }	is what it does on each F of its trace
 *	client again, client again EISCONN	its connector connects
 *	client gives-up, client gives-up ENOTCONN, client disconnects
 *	client refuses, client has-no-memory, client accepts, client echoes,
 *	client half-closeable		its build_protocol(), its protocols
 *	client loses, client loses write, client aborts, client pauses,
 *	client writes TEXT		its last transport
 *	keep, drop			a reference to the client's connector
 *
 *	a connects		and the server has built its protocol
 *	a knocks		only that
 *	a leaves		closes, and the server has heard of all
 *	a says TEXT, a gets 5 bytes, ...	as the peer of story.h
 *
 *	client trace ScFX, client kind ConnectionDone, client errno EPIPE,
 *	client lost-kind NAME, client lost-why TEXT, client text TEXT,
 *	client peer HOST, client builds 0 and so on, client is connecting
 *	client why TEXT		$port is the number of the port that refuses,
 *				or is full
 *	unhandled 1		as many are expected, from here on
 *	reported 1, reported TEXT	so many were; the last says that
 *	jump 10			the clock
 */
#ifndef TESTS_STAGE_H
#define TESTS_STAGE_H

#include "tests/actor.h"
#include "tests/story.h"

extern struct actor client, server;
extern struct plait_port *port; /* the server's */
extern unsigned server_number;	/* its number */
extern uint16_t refusing;	/* the number of one that refuses */

void stage_setup(void);
void stage_teardown(void);

/* Steps, or what some of them do, in the middle of another test. */
void stage_play(const char *steps);
void stage_listen(void);
void stage_attempt(void);
void stage_meet(void);
void stage_over(void);
void stage_close(void); /* peers, and the full port; a STORY does it */

/* The number of a port whose queue is full: connecting takes for ever. */
uint16_t stage_full(void);

#endif

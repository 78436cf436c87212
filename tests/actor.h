/*
 * An actor is a factory that notes what happens to it and to its protocols,
 * for tests of ports and connectors: each event is a letter in its trace.
 *
 *	S start()		X stop()
 *	c started_connecting()	B build_protocol()
 *	M connection_made()	D data_received()
 *	L connection_lost() of the protocol
 *	R read_connection_lost()	W write_connection_lost()
 *	F connection_failed()	C connection_lost() of the factory
 *	O port_opened()		o port_closed()		? port_full(): if it
 *				is to hear of ports
 *
 * What it does beyond noting stands in its functions, all of which may be
 * NULL.
 */
#ifndef TESTS_ACTOR_H
#define TESTS_ACTOR_H

#include "tests/harness.h"

struct actor {
	struct plait_factory base;

	/* Set before it is used. */
	bool refuses;	     /* build_protocol() gives NULL */
	bool has_no_memory;  /* ... with ENOMEM */
	bool half_closeable; /* its protocols are */
	void (*on_start)(struct actor *a);
	void (*on_stop)(struct actor *a);
	void (*on_started)(struct actor *a);
	void (*on_build)(struct actor *a);
	void (*on_made)(struct actor *a, struct plait_protocol *p);
	void (*on_data)(struct actor *a, struct plait_protocol *p,
			const void *data, size_t len);
	void (*on_lost)(struct actor *a, struct plait_protocol *p);
	void (*on_read_lost)(struct actor *a, struct plait_protocol *p);
	void (*on_failed)(struct actor *a);
	void (*on_client_lost)(struct actor *a);
	void (*on_event)(struct actor *a, char what); /* after each of these */
	void *arg;

	/* What came of it. */
	char trace[64];
	unsigned starts, stops, started, builds, made, lost, failed,
		client_lost;
	unsigned open; /* protocols that are connected */
	size_t received;
	char text[64];				    /* the first of it */
	const struct plait_error *kind, *lost_kind; /* F or C; L */
	int err;
	char why[128];			   /* of F or C */
	char lost_why[128];		   /* of L */
	struct plait_address peer;	   /* of the last that was built */
	struct plait_connector *connector; /* borrowed: the last it was told */
	struct plait_transport *transport; /* of the last made; NULL if lost */
	struct plait_port *port;	   /* the last it was told of */
};

/* *a becomes an actor that only notes. */
void actor_init(struct actor *a);

/* It has functions for what happens to its ports as well. */
void actor_hear_of_ports(struct actor *a);

/*
 * Listens on 127.0.0.1 and gives the port number.  It has to work, but in the
 * faulty run of a torture: 0 then, and *ret is NULL.
 */
unsigned actor_listen(struct actor *a, struct plait_reactor *r,
		      struct plait_port **ret);

/* Connects to 127.0.0.1. */
struct plait_connector *actor_connect(struct actor *a, struct plait_reactor *r,
				      unsigned port);

/* Stops listening and waits until that is done; a NULL port does nothing. */
void actor_stop(struct plait_reactor *r, struct plait_port **port);

/* Turns until nothing of it is left: it has stopped, its connections too. */
void actor_wait_idle(struct actor *a, struct plait_reactor *r);

/* For on_made and on_data. */
void actor_lose(struct actor *a, struct plait_protocol *p);
void actor_echo(struct actor *a, struct plait_protocol *p, const void *data,
		size_t len);

#endif

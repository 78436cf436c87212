/*
 * One connection under test: the library's TCP transport on one end, with a
 * protocol that notes what happens to it, and a plain socket of the test on
 * the other.
 *
 *	struct wire w = { .on_data = echo };
 *
 *	wire_open(&w, reactor);
 *	peer_say(w.peer, "hello");
 *	...
 *	wire_close(&w);
 */
#ifndef TESTS_WIRE_H
#define TESTS_WIRE_H

#include "tests/harness.h"

struct wire {
	/* Set before wire_open(). */
	bool half_closeable;
	bool unix_pair; /* a socketpair(): it has no address */
	void (*on_made)(struct wire *w);
	void (*on_data)(struct wire *w, const void *data, size_t len);
	void (*on_lost)(struct wire *w);
	void (*on_done)(struct wire *w);
	void (*on_read_lost)(struct wire *w);
	void (*on_write_lost)(struct wire *w);
	void (*on_resume)(struct wire *w); /* of its producer */
	void (*on_stop)(struct wire *w);
	void *arg;
	const char *plays[128]; /* by letter of the trace, E is done: story.h */

	/* What there is, and what came of it. */
	struct plait_reactor *reactor;
	struct plait_factory factory;	   /* of wire_record() */
	struct plait_transport *transport; /* NULL when it is gone */
	struct plait_protocol *protocol;
	int fd;		 /* of the transport */
	int peer;	 /* -1: the test has closed it */
	unsigned lost;	 /* how often connection_lost() came */
	unsigned done;	 /* ... and done() */
	unsigned calls;	 /* of data_received() */
	size_t received; /* bytes in them */
	size_t most;	 /* ... in one of them */
	char text[256];	 /* the first of them */
	char trace[64];	 /* M D R W L: made, data, read, write, lost */
	char why[128];	 /* of connection_lost() */
	int err;	 /* its errno */
	struct plait_producer producer; /* of wire_produce() */
	char told[32];	       /* P R S: it was told to pause, resume, stop */
	unsigned stops;	       /* how often it was */
	bool ended;	       /* what wire_work() began */
	size_t written, taken; /* of wire_byte(), by play() */
	pid_t child;	       /* that holds its descriptor */
	struct plait_limits limits; /* that play() has set */
};

/*
 * Connects the two ends.  False if plait_i_stream_new() refused; then all is
 * closed, and errno says why.
 */
bool wire_open(struct wire *w, struct plait_reactor *r);

/* Only the sockets: gives this end, and w->peer. */
int wire_sockets(struct wire *w, struct plait_reactor *r,
		 struct plait_address *peer);

/* The same on a recording transport of that testing reactor. */
struct plait_transport *wire_record(struct wire *w, struct plait_reactor *r);

/* The protocol of a transport that the test makes itself.  NULL: no memory. */
struct plait_protocol *wire_protocol_new(struct wire *w);

/* Adds to the trace. */
void wire_note(struct wire *w, char what);

/* Closes the test's end, or resets. */
void wire_hang_up(struct wire *w);
void wire_reset(struct wire *w);

/* Turns until the protocol was told of the loss, and until it is buried. */
void wire_wait_lost(struct wire *w);

/* Both, and asserts that it was told once. */
void wire_close(struct wire *w);

/* Registers a producer that notes what it is told; S is in trace, too. */
void wire_produce(struct wire *w, bool streaming);

/* Begins something in the connection's scope that takes an hour. */
void wire_work(struct wire *w);

/* For on_data: what comes has to be the bytes of wire_bytes(). */
void wire_check_bytes(struct wire *w, const void *data, size_t len);

/* The i-th byte of a stream that does not repeat soon. */
static inline unsigned char wire_byte(size_t i)
{
	return (unsigned char)((i * 2654435761u) >> 13);
}

/* Such bytes, from the test's own memory; free() it. */
unsigned char *wire_bytes(size_t n);
unsigned char *wire_bytes_from(size_t at, size_t n);

#endif

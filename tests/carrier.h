/*
 * Kinds of transports, each with a far end that the test plays, so that one
 * test can ask the same of all of them.
 *
 *	struct carried c = { .carrier = &carriers[_i] };
 *
 *	carried_open(&c, reactor);
 *	carried_say(&c, "hello");
 *	...
 *	carried_close(&c);
 */
#ifndef TESTS_CARRIER_H
#define TESTS_CARRIER_H

#include "tests/wire.h"

struct carried;

struct carrier {
	const char *name;
	/*
	 * Makes the transport for w.protocol, and the far end.  False with
	 * nothing left, if it was refused.
	 */
	bool (*open)(struct carried *c);
	/* The far end: none of these waits. */
	size_t (*say)(struct carried *c, const void *data, size_t len);
	size_t (*take)(struct carried *c, void *buf, size_t size);
	void (*shut)(struct carried *c);    /* sends no more */
	void (*hang_up)(struct carried *c); /* is gone; once or twice */
	bool is_played; /* on a testing reactor of its own */
};

extern const struct carrier carriers[];
enum { N_CARRIERS = 7, REUSING_CARRIER = 5 };

/* What waited below when the carrier "reusing" had sent last. */
extern size_t reusing_unsent;

struct carried {
	const struct carrier *carrier;
	struct wire w; /* what the protocol notes; its peer is not used */
	/* The far end: */
	struct plait_reactor *own; /* of a testing one */
	struct plait_transport *recording;
	int in, out;
	bool sees_end; /* of what this end sends */
};

/* As wire_open() and wire_close(); the latter hangs up the far end. */
bool carried_open(struct carried *c, struct plait_reactor *r);
void carried_close(struct carried *c);

/* All of it, turning the reactor. */
void carried_say(struct carried *c, const char *text);
void carried_shut(struct carried *c);
void carried_hang_up(struct carried *c);

/*
 * What the far end takes: turns until that many bytes have come; until the end
 * has come, and gives how many came before it.  NULL: they are thrown away.
 */
void carried_take(struct carried *c, void *buf, size_t n);
size_t carried_take_to_end(struct carried *c, void *buf, size_t size);

/* Virtual time. */
void carried_wait(struct carried *c, double seconds);

#endif

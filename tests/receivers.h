/*
 * One protocol of each kind of receiver, and programs for them.  A program is
 * a number of chunks; a message in it says by its first bytes what is to be
 * done when it comes: the same here as in tests/vectors/make_protocols.py.
 *
 *	C	the connection is lost		A	aborted
 *	P	a line or intN receiver pauses	Q	... and resumes at once
 *	H	a netstring receiver pauses
 *	R2	raw mode, for three bytes	M2	max_length is 4
 *	D1	another delimiter
 */
#ifndef TESTS_RECEIVERS_H
#define TESTS_RECEIVERS_H

#include <plait/protocol.h>
#include <plait/reactor.h>

enum { RECEIVERS_INPUTS = 2000, RECEIVERS_TEXT = 16384 };

/* A chunk, or without data: the receiver is resumed if it is paused. */
struct receiver_input {
	char data[2048];
	size_t len;
	bool resume;
};

struct receiver_kind {
	const char *name;
	const struct plait_protocol_ops *ops;
	void (*resume)(struct plait_protocol *p);
};

enum { N_RECEIVER_KINDS = 6 };
extern const struct receiver_kind receiver_kinds[N_RECEIVER_KINDS];

struct receiver_program {
	const struct receiver_kind *kind;
	size_t max;
	char delimiter[8];
	size_t delimiter_size;
	bool goes_on; /* after a line that is too long */
	struct receiver_input inputs[RECEIVERS_INPUTS];
	size_t n_inputs;
};

/* How the chunks are cut anew; large: all that come before a resume. */
enum receiver_cutting { AS_RECORDED, BYTES, LARGE, N_CUTTINGS };

/*
 * Runs it and gives what happened, borrowed until the next run:
 * "line 61\nraw 62\n", the bytes in hex.  The cutting must make no difference.
 */
const char *receivers_run(struct plait_reactor *r,
			  const struct receiver_program *p,
			  enum receiver_cutting cutting);

#endif

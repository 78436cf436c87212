/*
 * What was written to a connection and the kernel has not taken yet.
 */
#ifndef REACTOR_OUTPUT_H
#define REACTOR_OUTPUT_H

#include <sys/uio.h>

#include <plait/buf.h>

#include "reactor/loop/loop.h"

struct output_block;

/* Zeroed, it is empty. */
struct output {
	struct output_block *first, *last;
	size_t size; /* bytes to send */
};

/* What counts against the limit of a connection. */
size_t plait_i_output_cost(const struct output *o);

/*
 * Adds a copy of some bytes; a reference to a buffer that is not empty, or a
 * copy of a small one.  0, or -ENOMEM: then what could be added stays, and the
 * output is fit for nothing but plait_i_output_drop().
 */
int plait_i_output_add(struct output *o, struct plait_reactor *r,
		       const void *data, size_t len);
int plait_i_output_add_buf(struct output *o, struct plait_reactor *r,
			   struct plait_buf *buf);

/*
 * What a buffer adds to the cost: more than its size, as it is held whole
 * however little of it is in use.  Bytes that are copied cost what they are.
 */
size_t plait_i_output_cost_of_buf(const struct plait_buf *buf);

/* ... and to what the reactor holds, which may have it in another output. */
size_t plait_i_output_adds_of_buf(const struct plait_buf *buf,
				  const struct plait_reactor *r);

/*
 * The bytes of memory that would be free without it: its blocks, and the
 * buffers that no other output of the reactor has.
 */
size_t plait_i_output_gives_back(const struct output *o,
				 struct plait_reactor *r);

/*
 * The first bytes in at most max pieces, borrowed until the output changes.
 * Returns how many pieces, and stores how many bytes they are.
 */
int plait_i_output_gather(const struct output *o, struct iovec *iov, int max,
			  size_t *ret);

/* The kernel has taken so many bytes of it. */
void plait_i_output_consume(struct output *o, struct plait_reactor *r,
			    size_t len);

/* Appends all of another one, which is empty then. */
void plait_i_output_move(struct output *o, struct output *from);

/* Forgets all of it. */
void plait_i_output_drop(struct output *o, struct plait_reactor *r);

#endif

/*
 * What was written to a connection and the kernel has not taken yet.
 */
#ifndef REACTOR_OUTPUT_H
#define REACTOR_OUTPUT_H

#include <sys/uio.h>

#include <plait/buf.h>

#include "reactor/loop.h"

struct output_piece;

/* Zeroed, it is empty. */
struct output {
	struct output_piece *first, *last;
	size_t size;
};

/*
 * Adds a copy of some bytes; a reference to a buffer that is not empty.  0,
 * or -ENOMEM: then what could be added stays, and the output is fit for
 * nothing but output_drop().
 */
int output_add(struct output *o, struct plait_reactor *r, const void *data,
	       size_t len);
int output_add_buf(struct output *o, struct plait_buf *buf);

/*
 * The first bytes in at most max pieces, borrowed until the output changes.
 * Returns how many pieces, and stores how many bytes they are.
 */
int output_gather(const struct output *o, struct iovec *iov, int max,
		  size_t *ret);

/* The kernel has taken so many bytes of it. */
void output_consume(struct output *o, struct plait_reactor *r, size_t len);

/* Forgets all of it. */
void output_drop(struct output *o, struct plait_reactor *r);

#endif

/*
 * The bytes that were written to a connection and that the kernel has not taken
 * yet.
 */
#ifndef REACTOR_OUTPUT_H
#define REACTOR_OUTPUT_H

#include <sys/uio.h>

#include <plait/buf.h>

#include "reactor/loop/loop.h"

struct output_block;

/* Zeroed, it is empty. */
struct output {
	struct output_block *last; /* the next of that is the first */
	size_t size;		   /* bytes to send */
};

/* Returns what counts against the limit of a connection. */
size_t plait_i_output_cost(const struct output *o);

/*
 * The first adds a copy of some bytes.  The second adds a reference to a buffer
 * that is not empty, or a copy if it is small.  They return 0, or -ENOMEM: then
 * a part may have been added, and only plait_i_output_drop() may follow.
 */
int plait_i_output_add(struct output *o, struct plait_reactor *r,
		       const void *data, size_t len);
int plait_i_output_add_buf(struct output *o, struct plait_reactor *r,
			   struct plait_buf *buf);

/*
 * Adds that many bytes of a file, at least one, from that place on.  Takes fd:
 * it is closed when they are sent or forgotten.  Returns 0; or -ENOMEM, and has
 * taken nothing then.  However many bytes there are, the file counts as
 * OUTPUT_FILE_COST against limits, as the process can have few.
 */
enum { OUTPUT_FILE_COST = 1024 };
int plait_i_output_add_file(struct output *o, struct plait_reactor *r, int fd,
			    uint64_t from, size_t size);

/*
 * Begins an empty output with pieces, of len bytes together, at least one and
 * less than a block.  Returns 0, or -ENOMEM, and has done nothing then.
 */
int plait_i_output_begin(struct output *o, struct plait_reactor *r,
			 const struct iovec *pieces, int n, size_t len);

/*
 * Appends pieces, of len bytes together, if they fit behind what was copied
 * last, so that no more memory is held, and if the cost is at most max then.
 * Returns false if not, and has done nothing.
 */
bool plait_i_output_append(struct output *o, const struct iovec *pieces, int n,
			   size_t len, size_t max);

/*
 * The same as plait_i_output_add(), but borrows bytes of the read buffer, if
 * there are many.  As long as it has them nobody else can read into that
 * buffer. So it is for output that is sent at once; plait_i_output_keep() then
 * copies what was not taken.  That may fail as well.
 */
int plait_i_output_borrow(struct output *o, struct plait_reactor *r,
			  const void *data, size_t len);
int plait_i_output_keep(struct output *o, struct plait_reactor *r);

/*
 * Returns what a buffer adds to the cost.  That is more than its size, because
 * all its memory is held, even if few of its bytes are in use.  A byte that is
 * copied costs one byte.
 */
size_t plait_i_output_cost_of_buf(const struct plait_buf *buf);

/* Returns what it adds to the memory that the reactor holds: nothing, if
   another output has the buffer. */
size_t plait_i_output_adds_of_buf(const struct plait_buf *buf,
				  const struct plait_reactor *r);

/*
 * Returns how many bytes of memory its end would make free: its blocks, and the
 * buffers that no other output of the reactor has.
 */
size_t plait_i_output_gives_back(const struct output *o,
				 struct plait_reactor *r);

/*
 * Gives the first bytes in at most max pieces, borrowed until the output
 * changes.  Returns how many pieces, and stores how many bytes they are.  The
 * pieces end before the first file.
 */
int plait_i_output_gather(const struct output *o, struct iovec *iov, int max,
			  size_t *ret);

/* If the first bytes are those of a file, stores which, and returns true. */
bool plait_i_output_first_file(const struct output *o, int *fd, uint64_t *from,
			       size_t *size);

/* Removes the first bytes, which the kernel has taken. */
void plait_i_output_consume(struct output *o, struct plait_reactor *r,
			    size_t len);

/* Appends everything of another output, which is empty then. */
void plait_i_output_move(struct output *o, struct output *from);

/* Forgets all of it. */
void plait_i_output_drop(struct output *o, struct plait_reactor *r);

#endif

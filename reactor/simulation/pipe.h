/*
 * Pipes of a simulated kernel.
 *
 * A pipe is bytes, and its ends.  Each descriptor has an end of its own, also
 * if a program was given a copy; the pipe is over when no end is left.  Nobody
 * reads any more, or writes, when no end of that kind is left.
 */
#ifndef REACTOR_SIMULATION_PIPE_H
#define REACTOR_SIMULATION_PIPE_H

#include "reactor/simulation/socket.h"

/* Makes a pipe with two ends, given; 0 or -ENOMEM. */
int plait_i_pipe_make(struct plait_host *h, struct sim_socket **reader,
		      struct sim_socket **writer);

/* Makes another end of the same kind, given; NULL without memory. */
struct sim_socket *plait_i_pipe_copy(const struct sim_socket *end);

/* Of those of its host. */
unsigned plait_i_pipe_number(const struct sim_socket *end);
bool plait_i_pipe_is_writer(const struct sim_socket *end);

/*
 * As read() and writev() without waiting, but at most that many bytes: what is
 * returned, or -errno.  What is not more than PIPE_BUF is written as a whole.
 */
ssize_t plait_i_pipe_read(struct sim_socket *end, void *buf, size_t most);
ssize_t plait_i_pipe_write(struct sim_socket *end, const struct iovec *pieces,
			   size_t n, size_t most);

/* What read() of one byte would return, without taking it. */
ssize_t plait_i_pipe_peek(const struct sim_socket *end);

/* Is there nobody who reads? */
bool plait_i_pipe_is_broken(const struct sim_socket *end);

#endif

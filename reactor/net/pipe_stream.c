/*
 * The system calls of a stream on a pipe: see pipe_stream.h.
 *
 * A pipe has no halves: to shut it is to close it.  So nothing can linger, and
 * what was written stays in the pipe for whoever reads.
 */
#include <errno.h>

#include "reactor/kernel/child.h"
#include "reactor/net/pipe_stream.h"

static const struct kernel_children *pipe_calls(const struct plait_transport *t)
{
	return loop_kernel(t->reactor)->calls->children;
}

static ssize_t pipe_result(ssize_t n)
{
	if (n >= 0)
		return n;
	return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

static enum plait_transport_ended pipe_end(struct plait_transport *t,
					   enum plait_transport_end how)
{
	return PLAIT_TRANSPORT_ENDED;
}

static int pipe_error(struct stream *s)
{
	return 0;
}

static int pipe_shut(struct stream *s)
{
	return 0;
}

/* ---- the end that is read ------------------------------------------------ */

static ssize_t pipe_refuse_to_send(struct plait_transport *t,
				   const struct iovec *pieces, int n)
{
	return -EBADF;
}

static ssize_t pipe_read(struct stream *s, void *buf, size_t size)
{
	ssize_t n;

	do {
		n = pipe_calls(&s->base)->read(loop_kernel(s->base.reactor),
					       s->fd, buf, size);
	} while (n < 0 && errno == EINTR);
	return pipe_result(n);
}

static ssize_t pipe_peek(struct stream *s)
{
	return pipe_result(pipe_calls(&s->base)->peek(
		loop_kernel(s->base.reactor), s->fd));
}

#define PIPE_TRANSPORT                                                         \
	.size = sizeof(struct stream), .want = plait_i_stream_want,            \
	.shut = plait_i_stream_shut, .end = pipe_end,                          \
	.has_input = plait_i_stream_has_input, .drain = plait_i_stream_drain,  \
	.peer = plait_i_stream_peer, .done = plait_i_stream_done

const struct stream_io plait_i_pipe_reader = {
	.transport = { PIPE_TRANSPORT, .name = "pipe",
		       .send = pipe_refuse_to_send },
	.read = pipe_read,
	.peek = pipe_peek,
	.error = pipe_error,
	.shut = pipe_shut,
};

/* ---- the end that is written --------------------------------------------- */

static ssize_t pipe_send(struct plait_transport *t, const struct iovec *pieces,
			 int n)
{
	ssize_t sent;

	do {
		sent = pipe_calls(t)->write(loop_kernel(t->reactor),
					    stream_of(t)->fd, pieces, n);
	} while (sent < 0 && errno == EINTR);
	return pipe_result(sent);
}

/* Nothing is ever read: an event tells that the reader is gone. */
static ssize_t pipe_look_for_reader(struct stream *s)
{
	int err = pipe_calls(&s->base)->broken(loop_kernel(s->base.reactor),
					       s->fd);

	return err != 0 ? -err : -EAGAIN;
}

static ssize_t pipe_read_nothing(struct stream *s, void *buf, size_t size)
{
	return pipe_look_for_reader(s);
}

static int pipe_writer_error(struct stream *s)
{
	ssize_t err = pipe_look_for_reader(s);

	return err == -EAGAIN ? 0 : (int)-err;
}

const struct stream_io plait_i_pipe_writer = {
	.transport = { PIPE_TRANSPORT, .name = "pipe", .send = pipe_send },
	.read = pipe_read_nothing,
	.peek = pipe_look_for_reader,
	.error = pipe_writer_error,
	.shut = pipe_shut,
};

/* ---- a terminal ---------------------------------------------------------- */

/* EIO: nobody has the terminal open any more. */
static ssize_t pipe_read_terminal(struct stream *s, void *buf, size_t size)
{
	ssize_t n = pipe_read(s, buf, size);

	return n == -EIO ? 0 : n;
}

static ssize_t pipe_send_to_terminal(struct plait_transport *t,
				     const struct iovec *pieces, int n)
{
	ssize_t sent = pipe_send(t, pieces, n);

	return sent == -EIO ? -EPIPE : sent;
}

const struct stream_io plait_i_terminal = {
	.transport = { PIPE_TRANSPORT, .name = "terminal",
		       .send = pipe_send_to_terminal },
	.read = pipe_read_terminal,
	.peek = pipe_peek,
	.error = pipe_error,
	.shut = pipe_shut,
};

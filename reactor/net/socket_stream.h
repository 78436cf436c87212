/*
 * The system calls of a stream on a connected stream socket, of whatever
 * family.  Each family has a table of its own, with its name.
 */
#ifndef REACTOR_SOCKET_STREAM_H
#define REACTOR_SOCKET_STREAM_H

#include "reactor/net/stream.h"

ssize_t plait_i_socket_stream_send(struct plait_transport *t,
				   const struct iovec *pieces, int n);
ssize_t plait_i_socket_stream_send_file(struct plait_transport *t, int fd,
					uint64_t from, size_t len);
ssize_t plait_i_socket_stream_read(struct stream *s, void *buf, size_t size);
/* For UNIX sockets alone. */
ssize_t plait_i_socket_stream_send_fds(struct plait_transport *t,
				       const struct iovec *pieces, int n,
				       const int *fds, size_t n_fds);
ssize_t plait_i_socket_stream_read_fds(struct stream *s, void *buf, size_t size,
				       int *fds, size_t *n_fds);
ssize_t plait_i_socket_stream_peek(struct stream *s);
int plait_i_socket_stream_error(struct stream *s);
int plait_i_socket_stream_shut(struct stream *s);
void plait_i_socket_stream_reset(struct stream *s);
bool plait_i_socket_stream_peer_has_closed(const struct plait_transport *t);
int plait_i_socket_stream_host(struct plait_transport *t,
			       struct plait_address *ret);
int plait_i_socket_stream_set_option(struct plait_transport *t, int level,
				     int option, int value);

/* What the two parts of its table begin with. */
#define SOCKET_TRANSPORT                                                       \
	STREAM_TRANSPORT,                                                      \
		.send = plait_i_socket_stream_send,                            \
		.send_file = plait_i_socket_stream_send_file,                  \
		.peer_has_closed = plait_i_socket_stream_peer_has_closed,      \
		.host = plait_i_socket_stream_host,                            \
		.set_option = plait_i_socket_stream_set_option

#define SOCKET_IO                                                              \
	.read = plait_i_socket_stream_read,                                    \
	.peek = plait_i_socket_stream_peek,                                    \
	.error = plait_i_socket_stream_error,                                  \
	.shut = plait_i_socket_stream_shut,                                    \
	.reset = plait_i_socket_stream_reset

#endif

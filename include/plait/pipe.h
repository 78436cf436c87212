/*
 * Pipes, terminals and files as connections: what a program was started with as
 * its standard input and output, or whatever else can be read and written.
 *
 *	plait_stdio(r, plait_protocol_new(&ops), NULL);
 *
 * What is read is told by data_received(), and what is written to the transport
 * goes to the other descriptor.  No flag of the descriptors changes.  They may
 * be shared with a shell and other programs, for which they go on to block as
 * before.
 *
 * Both functions take the protocol, also if they fail: then it is freed, as
 * plait_protocol_free() does it.  If they return 0, the loop calls
 * connection_made().
 */
#ifndef PLAIT_PIPE_H
#define PLAIT_PIPE_H

#include <plait/tcp.h>
#include <plait/terminal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zero means the default.  All of it is borrowed for the call. */
struct plait_pipe_options {
	/* If the descriptor that is read is a terminal: its mode, until the
	   transport ends.  Nothing is done if it is no terminal. */
	enum plait_terminal_mode terminal;
	uintptr_t reserved[4]; /* zero */
};

/*
 * Makes a connection that reads from read_fd and writes to write_fd, and gives
 * it the protocol p.  They may be the same.  -1 means that there is none:
 * nothing ever comes, or whatever is written loses the connection.  Both are
 * taken, also if this fails.  They are closed when a program is executed from
 * then on, and write_fd as soon as plait_transport_lose_write_connection() has
 * sent everything.
 *
 * The end of the input is told by read_connection_lost(), and the end of a
 * protocol without that.  When the input has ended and the output is closed,
 * the connection is lost with ConnectionDone; if the input cannot be read or
 * the output cannot be written, it is lost at once, with the errno.
 *
 * If both are one connected stream socket, this is plait_adopt_fd().
 *
 * Returns 0; -EBADF if one is not open, or not for that direction, or both are
 * -1; -EEXIST if one is watched already; -ENOTTY and others of
 * plait_terminal_set_mode(); -EINVAL if reserved words of the options are not
 * zero; -EMFILE, -ENOMEM and others of the kernel; -ENOMEM if p is NULL;
 * -ENOTSUP on a testing reactor, and on a simulated one that is no child's;
 * -ESHUTDOWN while the reactor shuts down or is freed; -ECHILD in a child made
 * by fork().
 */
int plait_pipe_transport(struct plait_reactor *r, int read_fd, int write_fd,
			 struct plait_protocol *p,
			 const struct plait_pipe_options *options);

/*
 * The same with standard input and output.  The descriptors 0 and 1 stay open
 * for the rest of the program as long as the connection uses them.  When the
 * output is closed, /dev/null takes the place of 1, so that its reader sees the
 * end; and when the connection is lost, that of 0.  If they are one socket,
 * both are replaced at once.
 */
int plait_stdio(struct plait_reactor *r, struct plait_protocol *p,
		const struct plait_pipe_options *options);

/*
 * The same for a factory, as a port and as a connector: its protocol gets the
 * connection in the next turn.
 *
 * plait_listen_stdio() makes a port that accepts this one connection, and stays
 * until it is stopped; all else is as in plait_listen_tcp().  Returns 0,
 * -ENOMEM, -ENOTSUP, -ESHUTDOWN or -ECHILD.  If the descriptors cannot be used,
 * nobody comes.
 *
 * plait_connect_stdio() is as plait_connect_tcp().  If the descriptors cannot
 * be used, connection_failed() is told the errors above.
 */
int plait_listen_stdio(struct plait_reactor *r, struct plait_factory *f,
		       struct plait_port **ret);
struct plait_connector *plait_connect_stdio(struct plait_reactor *r,
					    struct plait_factory *f);

#ifdef __cplusplus
}
#endif

#endif

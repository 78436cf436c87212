/*
 * UNIX sockets: connections and datagrams inside this machine.  A port is at a
 * path, or at an abstract name, which is in no file system.
 *
 * Functions take a path.  One that begins with '@' is an abstract name, of
 * the characters behind the '@'; the file "@poem" is "./@poem".
 */
#ifndef PLAIT_UNIX_H
#define PLAIT_UNIX_H

#include <sys/types.h>

#include <plait/datagram.h>
#include <plait/tcp.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zero means the default. */
struct plait_listen_unix_options {
	unsigned mode;		  /* who may connect, as chmod() takes it; 0: as
				     the umask says */
	int backlog;		  /* clients who may wait; 0: SOMAXCONN */
	unsigned max_connections; /* of this port at a time; 0: no limit */
	bool shed_idle;		  /* when full, end the idlest one */
	bool replace_stale;	  /* replace a socket where nobody listens */
	bool keep_path;		  /* leave the socket there in the end */
	bool take_over;		  /* take the place of a socket that is there */
	uintptr_t reserved[8];	  /* zero */
};

/*
 * Listens at path, which is borrowed for the call.  All else is as in
 * plait_listen_tcp().
 *
 * The port removes its socket from the file system when it is closed, and when
 * it begins to drain, unless keep_path is set; but never what somebody else has
 * put in its place.  If mode is set, nobody can connect before it holds.
 *
 * If there is a file at path already, this returns -EADDRINUSE.  With
 * replace_stale it first removes a socket whose listener is gone without having
 * removed it; and nothing else.  With take_over the socket of this port takes
 * the place of a socket that is there, whoever listens at it: who connects from
 * then on finds this port, and who has connected before stays with the other.
 * There is no moment without a socket at path.
 *
 * While a port makes or removes its socket, it holds the lock of path.lock, a
 * file that it makes and removes.  So of two servers that find the socket of a
 * third one dead, one replaces it, and the other is told -EADDRINUSE.
 *
 * Returns 0, or what the kernel says: -EADDRINUSE, -EACCES, -ENOENT, -EMFILE,
 * -ENOMEM and others; -EINVAL if path is NULL or has no character, or reserved
 * words of the options are not zero; -ENAMETOOLONG if it has more than 107, or
 * more than 103 with take_over; -ESHUTDOWN while the reactor shuts down or is
 * freed.
 */
int plait_listen_unix(struct plait_reactor *r, const char *path,
		      struct plait_factory *f,
		      const struct plait_listen_unix_options *options,
		      struct plait_port **ret);

/*
 * Connects the factory to the socket at path.  All is as in
 * plait_connect_tcp(), but of the options only timeout has a meaning: if
 * another one is set, connection_failed() is told ConnectError and EINVAL.  As
 * long as the clients who wait are as many as may wait, the connector tries
 * again, for as long as its timeout lasts.
 */
struct plait_connector *
plait_connect_unix(struct plait_reactor *r, const char *path,
		   struct plait_factory *f,
		   const struct plait_connect_options *options);

/* Descriptors that one message takes along, at most. */
#define PLAIT_FDS_MAX 64

/*
 * Writes len bytes as plait_transport_write() does, and hands n descriptors to
 * the peer with the first of them.  data is borrowed for the call.  The
 * descriptors are taken: the library closes each when the kernel has a copy for
 * the peer, or when that cannot happen any more; and at once if this fails.
 *
 * A peer that is a plait program is told of them by the fds_received() of its
 * protocol.
 *
 * Returns 0; -ENOTSUP if t is no UNIX connection, or wraps one; -EINVAL if n is
 * more than PLAIT_FDS_MAX, or if there are descriptors and no bytes; -ENOTCONN
 * if nothing can be sent any more; -ECHILD in a child made by fork(); -ENOMEM
 * if t is NULL, or if t is aborted because there is no memory, or too much
 * unsent.
 */
int plait_transport_send_fds(struct plait_transport *t, const void *data,
			     size_t len, const int *fds, size_t n);

/* Who made the other end of a connection. */
struct plait_credentials {
	pid_t pid; /* 0: a process that this one cannot see */
	uid_t uid;
	gid_t gid;
	int pidfd; /* of that process, given: close() it; -1: there is none */
	uintptr_t reserved[5]; /* zero */
};

/*
 * Stores who is at the other end of a UNIX connection, as the kernel knows it:
 * of a connection that a port has accepted, the process that called connect(),
 * as it was then; of a connector's, the process that called listen().  The peer
 * cannot lie about this.  But the socket may have been handed on since, and the
 * process may have ended, and its pid may be that of another process by now.
 *
 * pidfd stands for that process and for no other: see pidfd_open(2).  It is
 * closed when a program is executed.  There is none on a kernel before Linux
 * 6.5, nor if the process has ended and the kernel knows no more of it.
 *
 * Returns 0, -ENOTCONN if the connection is lost, -ENOTSUP if it is not a UNIX
 * connection, -EMFILE if there is no descriptor left for pidfd, -ENOMEM if t is
 * NULL, or the error of the kernel; then *ret is unchanged.
 */
int plait_transport_peer_credentials(struct plait_transport *t,
				     struct plait_credentials *ret);

/* Zero means the default.  name is borrowed for the call. */
struct plait_unix_datagram_options {
	/* The name of this end, if it connects: a path or an abstract name, so
	   that the other end can reply; "@": one that the kernel chooses; NULL:
	   none. */
	const char *name;
	unsigned mode; /* who may send, as chmod() takes it; 0: as the umask
			  says */
	/* Bytes that are kept of a datagram, at most; 0: 4096.  Longer ones are
	   told as truncated.  At most 65535. */
	size_t max_size;
	bool replace_stale;    /* replace a socket that nobody has */
	bool keep_path;	       /* leave the socket there in the end */
	uintptr_t reserved[8]; /* zero */
};

/*
 * Opens a port for datagrams at path, which is borrowed for the call: mode,
 * replace_stale and keep_path are as in plait_listen_unix(), and all else is as
 * in plait_listen_udp(), with these differences.
 *
 * No datagram is lost on the way.  A sender without a name has no address, and
 * cannot be replied to: -EINVAL.  What is larger than the kernel takes is told
 * to failed(), with EMSGSIZE.  If the queue of a receiver is full, datagrams to
 * it are told with EAGAIN, but those to others leave; the kernel does not say
 * when there is room, so room() is called after 10 milliseconds, and it may be
 * too early.
 *
 * Returns 0, -EBUSY if p has a port, -EINVAL if max_size is above 65535, or
 * what plait_listen_unix() returns.
 */
int plait_listen_unix_datagrams(
	struct plait_reactor *r, const char *path,
	struct plait_datagram_protocol *p,
	const struct plait_unix_datagram_options *options,
	struct plait_port **ret);

/*
 * The same, for datagrams to and from the port at path only.  Here the kernel
 * says when the receiver has room, and room() is called then.  If the port at
 * path has ended, datagrams are told to failed(), and when there is a new one
 * they go to it.
 *
 * Returns 0, -ENOENT or -ECONNREFUSED if nobody is there, -EPERM if the port is
 * connected to another, -EPROTOTYPE if it is not for datagrams, or what
 * plait_listen_unix_datagrams() returns.
 */
int plait_connect_unix_datagrams(
	struct plait_reactor *r, const char *path,
	struct plait_datagram_protocol *p,
	const struct plait_unix_datagram_options *options,
	struct plait_port **ret);

#ifdef __cplusplus
}
#endif

#endif

/*
 * A kernel is what a reactor asks of the system on which it runs: a table of
 * calls, and a table of functions that wait.  So the same ports, connections
 * and connectors run on any kernel.  A kernel knows no reactor.
 *
 * The calls return -1 and set errno, as libc's do.  Each descriptor that a
 * kernel makes is non-blocking, is closed when a program is executed, and is
 * never 0, 1 or 2; one call does all of that.
 */
#ifndef REACTOR_KERNEL_H
#define REACTOR_KERNEL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "reactor/kernel/watches.h"

struct kernel;
struct kernel_children;
struct kernel_notify;
struct kernel_ends;

/* A file, as a look at it has found it. */
struct kernel_file {
	uint64_t device, inode, size;
	int64_t written, changed; /* mtime and ctime, in nanoseconds */
	bool is_regular, is_socket, is_directory;
	/* It was changed less than KERNEL_FRESH seconds before the look, so the
	   next change may leave all of the above as it is. */
	bool is_fresh;
};

enum { KERNEL_FRESH = 2 };

enum { KERNEL_MAX_FDS = 64 }; /* descriptors that one message takes along */

/* Each does what the page of its name in section 2 says, and what is said here.
 */
struct kernel_calls {
	int (*socket)(struct kernel *k, int family, int type);
	int (*bind)(struct kernel *k, int fd, const struct sockaddr *sa,
		    socklen_t len);
	int (*listen)(struct kernel *k, int fd, int backlog);
	int (*accept)(struct kernel *k, int fd, struct sockaddr *sa,
		      socklen_t *len);
	int (*connect)(struct kernel *k, int fd, const struct sockaddr *sa,
		       socklen_t len);
	ssize_t (*recv)(struct kernel *k, int fd, void *buf, size_t len,
			int flags);
	ssize_t (*send)(struct kernel *k, int fd, const void *buf, size_t len,
			int flags);
	ssize_t (*sendmsg)(struct kernel *k, int fd, const struct msghdr *msg,
			   int flags);
	ssize_t (*recvmsg)(struct kernel *k, int fd, struct msghdr *msg,
			   int flags);
	int (*sendmmsg)(struct kernel *k, int fd, struct mmsghdr *msgs,
			unsigned n, int flags);
	int (*recvmmsg)(struct kernel *k, int fd, struct mmsghdr *msgs,
			unsigned n, int flags);
	/* Makes two UNIX sockets that are connected with each other. */
	int (*socketpair)(struct kernel *k, int type, int ret[2]);
	/*
	 * Makes a descriptor of the program one of the kernel's, and returns
	 * its number, which is another one if it was 0, 1 or 2.  It is closed
	 * when a program is executed from then on, but whether it blocks stays
	 * as it is.  Takes fd: if it fails, it has closed fd.
	 */
	int (*adopt)(struct kernel *k, int fd);
	/*
	 * Sends to a UNIX stream socket as sendmsg() does.  n_fds descriptors,
	 * at least one and at most KERNEL_MAX_FDS, go with the first byte: the
	 * kernel has taken all of them if it has taken that byte, and none of
	 * them otherwise.  The caller keeps its own.
	 */
	ssize_t (*send_fds)(struct kernel *k, int fd,
			    const struct iovec *pieces, int n, const int *fds,
			    size_t n_fds, int flags);
	/*
	 * Receives from a UNIX stream socket as recv() does, but never behind
	 * the bytes of a message that had descriptors.  These are stored in
	 * fds, which has room for KERNEL_MAX_FDS, and *n_fds is how many there
	 * were.  They are the kernel's, but may block, as their sender likes.
	 * (recv() closes what comes.)
	 *
	 * If a message has more, this fails with EMSGSIZE; if the process can
	 * have no more, with EMFILE.  Then the bytes are gone, and no
	 * descriptor has stayed open; nor were there more than KERNEL_MAX_FDS
	 * at any time.
	 */
	ssize_t (*recv_fds)(struct kernel *k, int fd, void *buf, size_t len,
			    int *fds, size_t *n_fds, int flags);
	/*
	 * Makes a descriptor that the program was started with one of the
	 * kernel's, and returns its number, which is another one if it was 0, 1
	 * or 2.  From then on it does not block, and is closed when a program
	 * is executed.  EALREADY if it is closed then already: it was not
	 * inherited, or it was taken before.  If this fails, fd is as it was.
	 */
	int (*inherit)(struct kernel *k, int fd);
	/*
	 * Sends bytes of a file, from that place on, to a stream socket that
	 * does not block.  Raises no SIGPIPE.  The file is the real system's on
	 * every kernel (file.h).  Returns 0 if it ends there.
	 */
	ssize_t (*sendfile)(struct kernel *k, int fd, int file, uint64_t from,
			    size_t len);
	int (*shutdown)(struct kernel *k, int fd, int how);
	int (*close)(struct kernel *k, int fd);
	int (*getsockopt)(struct kernel *k, int fd, int level, int option,
			  void *value, socklen_t *len);
	int (*setsockopt)(struct kernel *k, int fd, int level, int option,
			  const void *value, socklen_t len);
	/* Makes a descriptor of the process at the other end of a UNIX socket
	   (SO_PEERPIDFD). */
	int (*peer_pidfd)(struct kernel *k, int fd);
	int (*getsockname)(struct kernel *k, int fd, struct sockaddr *sa,
			   socklen_t *len);
	int (*getpeername)(struct kernel *k, int fd, struct sockaddr *sa,
			   socklen_t *len);
	/* Is true if the peer sends no more, or if there was an error. */
	bool (*has_hung_up)(struct kernel *k, int fd);
	/* Is true if input or a connection waits, or if that is unknown. */
	bool (*is_readable)(struct kernel *k, int fd);
	/* Makes a descriptor that is only kept in reserve: when there are no
	   descriptors left, it is closed to make room for another. */
	int (*reserve)(struct kernel *k);
	/*
	 * waker() makes a descriptor that is readable after wake() until
	 * drain().  wake() is async-signal-safe, and any thread may call it.
	 */
	int (*waker)(struct kernel *k);
	void (*wake)(struct kernel *k, int fd);
	void (*drain)(struct kernel *k, int fd);
	/* Returns nanoseconds since some moment; async-signal-safe. */
	int64_t (*clock)(struct kernel *k);
	/* From now on that clock measures the ages of this thread's deferreds.
	 */
	void (*lend_clock)(struct kernel *k);
	/*
	 * Returns 64 random bits.  Those of a real kernel come from the system,
	 * and nobody can guess them from earlier ones, unless the system has no
	 * randomness to give.  A reactor has chance from here only, so on a
	 * kernel that repeats itself a run is the same each time.
	 */
	uint64_t (*random)(struct kernel *k);
	/* Looks at the file of that path. */
	int (*look)(struct kernel *k, const char *path,
		    struct kernel_file *ret);
	/*
	 * Reads a regular file from its beginning, len bytes at most, and looks
	 * at it before that.  Returns how many bytes it has read.  It never
	 * waits for a writer: EINVAL if the file is not regular.
	 */
	ssize_t (*read_file)(struct kernel *k, const char *path, void *buf,
			     size_t len, struct kernel_file *ret);
	int (*unlink)(struct kernel *k, const char *path);
	int (*chmod)(struct kernel *k, const char *path, unsigned mode);
	int (*rename)(struct kernel *k, const char *from, const char *to);
	/*
	 * Makes the file of that path, unless it is there, and locks it.
	 * Returns a descriptor, which holds the lock until unlock() closes it;
	 * EWOULDBLOCK: somebody else has it.  unlock() also removes the file.
	 * If the program dies, the file stays, and the lock is gone.
	 */
	int (*lock)(struct kernel *k, const char *path);
	void (*unlock)(struct kernel *k, int fd, const char *path);
	/* A variable of the environment, borrowed until it is changed; NULL if
	   there is none, or if the program has more rights than its user. */
	const char *(*variable)(struct kernel *k, const char *name);
	/* Stores the name of this host, with its NUL. */
	int (*host_name)(struct kernel *k, char *buf, size_t size);
	/* Returns the number of the interface of that name; 0: none. */
	unsigned (*interface)(struct kernel *k, const char *name);
	/* Children and pipes (child.h); NULL: it has none. */
	const struct kernel_children *children;
	/* Files that change (notify.h); NULL: it tells of none. */
	const struct kernel_notify *notify;
	/* Descriptors that a program was given (end.h); NULL: it has none. */
	const struct kernel_ends *ends;
};

/* What a wait has found.  A watch that still has this generation is told. */
struct kernel_event {
	int fd;
	unsigned events;
	uint32_t generation; /* of the watch, when the wait began */
};

enum { KERNEL_BATCH = 256 }; /* events of one wait, at most */

/* A kernel and a way to wait: a backend, as the public names have it. */
struct kernel_ops {
	const char *name;
	const struct kernel_calls *calls;
	/* It has no descriptors, so it cannot be woken, and its clock is moved
	   by its user. */
	bool is_virtual;
	/* It is one of many in a world with a clock of its own, which traces
	   them all together. */
	bool is_simulated;
	/* init() returns 0 or -errno.  done() is called only if it was 0. */
	int (*init)(struct kernel *k);
	void (*done)(struct kernel *k);
	/*
	 * Returns 0, or -errno if the kernel can never wait for that
	 * descriptor.  It is called before the table of watches grows for it.
	 */
	int (*check)(struct kernel *k, int fd);
	/*
	 * Waits for slots[fd].events instead of armed from now on.  Returns 0;
	 * or -EBADF, if it waits for nothing now; or another -errno, if it
	 * still waits for armed.
	 */
	int (*update)(struct kernel *k, struct watches *ws, int fd);
	/*
	 * Waits for at most that many nanoseconds, or for ever if negative.
	 * Gives KERNEL_BATCH events at most, each of another descriptor, and
	 * none of a registration that is over.  The next waits give the events
	 * that are left, before the same events again.  Returns how many events
	 * it gives, or -errno if it cannot wait.
	 */
	int (*wait)(struct kernel *k, struct watches *ws, int64_t timeout,
		    struct kernel_event *ret);
};

/* Each reactor has its own kernel. */
struct kernel {
	const struct kernel_ops *ops;
	const struct kernel_calls *calls; /* the same as in ops, at hand */
	/* What its ops keep.  A number lasts beyond done(). */
	union {
		void *state;
		int64_t number;
	};
	uint64_t chance; /* the state of a sequence (lib/chance.h) */
};

extern const struct kernel_ops plait_i_kernel_epoll;
extern const struct kernel_ops plait_i_kernel_select;
extern const struct kernel_ops plait_i_kernel_virtual;

/* linux.c, for epoll.c and select.c.  Returns 0, or -EBADF if fd is not open.
 */
extern const struct kernel_calls plait_i_linux_calls;
int plait_i_linux_check(struct kernel *k, int fd);

/* rights.c, for linux.c. */
int plait_i_linux_socketpair(struct kernel *k, int type, int ret[2]);
int plait_i_linux_adopt(struct kernel *k, int fd);
ssize_t plait_i_linux_send_fds(struct kernel *k, int fd,
			       const struct iovec *pieces, int n,
			       const int *fds, size_t n_fds, int flags);
ssize_t plait_i_linux_recv_fds(struct kernel *k, int fd, void *buf, size_t len,
			       int *fds, size_t *n_fds, int flags);

/* The real clock, whatever reactors there are. */
int64_t plait_i_linux_clock(void);

/* Moves the clock of a virtual kernel. */
void plait_i_virtual_advance(struct kernel *k, int64_t nanoseconds);

/* on is what the ops find in k->state when they begin; NULL for those that make
   it themselves. */
static inline int kernel_init(struct kernel *k, const struct kernel_ops *ops,
			      void *on)
{
	*k = (struct kernel){ .ops = ops, .calls = ops->calls, .state = on };
	return ops->init(k);
}

static inline void kernel_done(struct kernel *k)
{
	k->ops->done(k);
}

static inline int kernel_check(struct kernel *k, int fd)
{
	return k->ops->check(k, fd);
}

static inline int kernel_update(struct kernel *k, struct watches *ws, int fd)
{
	return k->ops->update(k, ws, fd);
}

static inline int kernel_wait(struct kernel *k, struct watches *ws,
			      int64_t timeout, struct kernel_event *ret)
{
	return k->ops->wait(k, ws, timeout, ret);
}

/*
 * Each call that makes a descriptor passes its result fd through this function.
 * It takes fd and returns fd.  If fd is 0, 1 or 2, it returns a copy with a
 * higher number, and closes fd.  If fd is -1, or there is no copy, it returns
 * -1 with errno.
 */
int plait_i_descriptor(int fd);

/* For linux.c: see inherit. */
int plait_i_descriptor_inherit(int fd);

/*
 * Returns how many descriptors the process has open.  New descriptors have the
 * lowest numbers that are free, so it looks no farther than to where most are
 * free.
 */
size_t plait_i_descriptors_open(void);

static inline int kernel_socket(struct kernel *k, int family, int type)
{
	return k->calls->socket(k, family, type);
}

static inline int kernel_inherit(struct kernel *k, int fd)
{
	return k->calls->inherit(k, fd);
}

static inline int kernel_bind(struct kernel *k, int fd,
			      const struct sockaddr *sa, socklen_t len)
{
	return k->calls->bind(k, fd, sa, len);
}

static inline int kernel_listen(struct kernel *k, int fd, int backlog)
{
	return k->calls->listen(k, fd, backlog);
}

static inline int kernel_accept(struct kernel *k, int fd, struct sockaddr *sa,
				socklen_t *len)
{
	return k->calls->accept(k, fd, sa, len);
}

static inline int kernel_connect(struct kernel *k, int fd,
				 const struct sockaddr *sa, socklen_t len)
{
	return k->calls->connect(k, fd, sa, len);
}

static inline ssize_t kernel_recv(struct kernel *k, int fd, void *buf,
				  size_t len, int flags)
{
	return k->calls->recv(k, fd, buf, len, flags);
}

static inline ssize_t kernel_send(struct kernel *k, int fd, const void *buf,
				  size_t len, int flags)
{
	return k->calls->send(k, fd, buf, len, flags);
}

static inline ssize_t kernel_sendmsg(struct kernel *k, int fd,
				     const struct msghdr *msg, int flags)
{
	return k->calls->sendmsg(k, fd, msg, flags);
}

static inline ssize_t kernel_recvmsg(struct kernel *k, int fd,
				     struct msghdr *msg, int flags)
{
	return k->calls->recvmsg(k, fd, msg, flags);
}

static inline int kernel_sendmmsg(struct kernel *k, int fd,
				  struct mmsghdr *msgs, unsigned n, int flags)
{
	return k->calls->sendmmsg(k, fd, msgs, n, flags);
}

static inline int kernel_recvmmsg(struct kernel *k, int fd,
				  struct mmsghdr *msgs, unsigned n, int flags)
{
	return k->calls->recvmmsg(k, fd, msgs, n, flags);
}

static inline int kernel_socketpair(struct kernel *k, int type, int ret[2])
{
	return k->calls->socketpair(k, type, ret);
}

static inline int kernel_adopt(struct kernel *k, int fd)
{
	return k->calls->adopt(k, fd);
}

static inline ssize_t kernel_send_fds(struct kernel *k, int fd,
				      const struct iovec *pieces, int n,
				      const int *fds, size_t n_fds, int flags)
{
	return k->calls->send_fds(k, fd, pieces, n, fds, n_fds, flags);
}

static inline ssize_t kernel_recv_fds(struct kernel *k, int fd, void *buf,
				      size_t len, int *fds, size_t *n_fds,
				      int flags)
{
	return k->calls->recv_fds(k, fd, buf, len, fds, n_fds, flags);
}

static inline ssize_t kernel_sendfile(struct kernel *k, int fd, int file,
				      uint64_t from, size_t len)
{
	return k->calls->sendfile(k, fd, file, from, len);
}

static inline int kernel_shutdown(struct kernel *k, int fd, int how)
{
	return k->calls->shutdown(k, fd, how);
}

static inline int kernel_close(struct kernel *k, int fd)
{
	return k->calls->close(k, fd);
}

static inline int kernel_getsockopt(struct kernel *k, int fd, int level,
				    int option, void *value, socklen_t *len)
{
	return k->calls->getsockopt(k, fd, level, option, value, len);
}

static inline int kernel_setsockopt(struct kernel *k, int fd, int level,
				    int option, const void *value,
				    socklen_t len)
{
	return k->calls->setsockopt(k, fd, level, option, value, len);
}

static inline int kernel_peer_pidfd(struct kernel *k, int fd)
{
	return k->calls->peer_pidfd(k, fd);
}

static inline int kernel_getsockname(struct kernel *k, int fd,
				     struct sockaddr *sa, socklen_t *len)
{
	return k->calls->getsockname(k, fd, sa, len);
}

static inline int kernel_getpeername(struct kernel *k, int fd,
				     struct sockaddr *sa, socklen_t *len)
{
	return k->calls->getpeername(k, fd, sa, len);
}

static inline bool kernel_has_hung_up(struct kernel *k, int fd)
{
	return k->calls->has_hung_up(k, fd);
}

static inline bool kernel_is_readable(struct kernel *k, int fd)
{
	return k->calls->is_readable(k, fd);
}

static inline int kernel_reserve(struct kernel *k)
{
	return k->calls->reserve(k);
}

static inline int kernel_waker(struct kernel *k)
{
	return k->calls->waker(k);
}

static inline void kernel_wake(struct kernel *k, int fd)
{
	k->calls->wake(k, fd);
}

static inline void kernel_drain(struct kernel *k, int fd)
{
	k->calls->drain(k, fd);
}

static inline int64_t kernel_clock(struct kernel *k)
{
	return k->calls->clock(k);
}

static inline void kernel_lend_clock(struct kernel *k)
{
	k->calls->lend_clock(k);
}

static inline uint64_t kernel_random(struct kernel *k)
{
	return k->calls->random(k);
}

static inline int kernel_look(struct kernel *k, const char *path,
			      struct kernel_file *ret)
{
	return k->calls->look(k, path, ret);
}

static inline ssize_t kernel_read_file(struct kernel *k, const char *path,
				       void *buf, size_t len,
				       struct kernel_file *ret)
{
	return k->calls->read_file(k, path, buf, len, ret);
}

static inline int kernel_unlink(struct kernel *k, const char *path)
{
	return k->calls->unlink(k, path);
}

static inline int kernel_chmod(struct kernel *k, const char *path,
			       unsigned mode)
{
	return k->calls->chmod(k, path, mode);
}

static inline int kernel_rename(struct kernel *k, const char *from,
				const char *to)
{
	return k->calls->rename(k, from, to);
}

static inline int kernel_lock(struct kernel *k, const char *path)
{
	return k->calls->lock(k, path);
}

static inline void kernel_unlock(struct kernel *k, int fd, const char *path)
{
	k->calls->unlock(k, fd, path);
}

static inline const char *kernel_variable(struct kernel *k, const char *name)
{
	return k->calls->variable(k, name);
}

static inline int kernel_host_name(struct kernel *k, char *buf, size_t size)
{
	return k->calls->host_name(k, buf, size);
}

static inline unsigned kernel_interface(struct kernel *k, const char *name)
{
	return k->calls->interface(k, name);
}

#endif

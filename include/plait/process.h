/*
 * Processes: programs that run as children of this one.
 *
 * A child has a protocol, which is a struct of the program with a table of
 * callbacks, as a port for datagrams has.  What the child writes is told by
 * received(), its end by exited(), and the end of all by ended().
 *
 *	static void ended(struct plait_process_protocol *p,
 *			  const struct plait_process_exit *how)
 *	{
 *		printf("it gave %d\n", how->code);
 *	}
 *
 *	static const struct plait_process_ops ops = { .ended = ended };
 *	static struct plait_process_protocol p = { .ops = &ops };
 *	static const char *const argv[] = { "make", "check", NULL };
 *
 *	plait_spawn(r, argv, &p, NULL, NULL);
 *
 * A process that somebody else has made is watched by plait_process_watch().
 */
#ifndef PLAIT_PROCESS_H
#define PLAIT_PROCESS_H

#include <sys/types.h>

#include <plait/deferred.h>
#include <plait/failure.h>
#include <plait/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_process;
struct plait_process_protocol;

/* How a child has ended. */
struct plait_process_exit {
	int code;     /* that it gave to exit(); -1: it did not call that */
	int signal;   /* that has ended it; 0: none */
	bool dumped;  /* ... and it has left a core */
	bool unknown; /* somebody else in this program has waited for it, or
			 SIGCHLD is ignored: its status is lost */
	uintptr_t reserved[2]; /* zero */
};

/* What the loop tells.  Each member may be NULL.  A callback may call any
   function. */
struct plait_process_ops {
	const char *name; /* for people */
	/* The first: the child runs. */
	void (*started)(struct plait_process_protocol *p);
	/* The child has written to its descriptor fd.  data is borrowed for the
	   call. */
	void (*received)(struct plait_process_protocol *p, int fd,
			 const void *data, size_t len);
	/*
	 * The pipe that the child has as fd is closed, by whatever end.  why is
	 * borrowed: ConnectionDone if the child has closed it after writing, or
	 * if all that was written to it is sent and the program has closed it.
	 */
	void (*closed)(struct plait_process_protocol *p, int fd,
		       const struct plait_failure *why);
	/* The child has ended.  Its pipes may be open still, if it has left
	   them to children of its own.  how is borrowed. */
	void (*exited)(struct plait_process_protocol *p,
		       const struct plait_process_exit *how);
	/* The child has ended, and all its pipes are closed. */
	void (*ended)(struct plait_process_protocol *p,
		      const struct plait_process_exit *how);
	/* The last, which may free p. */
	void (*done)(struct plait_process_protocol *p);
	uintptr_t reserved[4]; /* zero */
};

/* Embed it, with ops set.  It is the program's; the child borrows it until
   done() was called. */
struct plait_process_protocol {
	const struct plait_process_ops *ops;
	struct plait_process *process; /* borrowed; NULL: there is none */
	uintptr_t reserved[2];	       /* zero */
};

/* What a descriptor of the child is. */
enum plait_process_fd_kind {
	PLAIT_PROCESS_NULL,    /* /dev/null */
	PLAIT_PROCESS_INHERIT, /* a descriptor of this program, a copy */
	PLAIT_PROCESS_READS,   /* a pipe: the child reads what is written */
	PLAIT_PROCESS_WRITES,  /* a pipe: what the child writes is received */
	PLAIT_PROCESS_TERMINAL /* the terminal: see pty below */
};

struct plait_process_fd {
	int fd; /* the number that the child has it under */
	enum plait_process_fd_kind kind;
	int from; /* PLAIT_PROCESS_INHERIT: the descriptor, borrowed */
	uintptr_t reserved[2]; /* zero */
};

/* Zero means the default.  All of it is borrowed for the call. */
struct plait_process_options {
	const char *file; /* to run; NULL: argv[0].  Without a '/' it is looked
			     for in the directories of PATH */
	const char *const *env; /* NULL: this program's; a NULL ends it */
	const char *cwd;	/* NULL: this program's */
	/* The child has these descriptors, and no others.  NULL: 0 is
	   /dev/null, 1 and 2 are this program's. */
	const struct plait_process_fd *fds;
	size_t n_fds;
	bool new_group;	  /* the child begins a process group, which is ended
			     with it */
	bool new_session; /* ... and a session: it has no terminal */
	bool set_ids;	  /* run as uid and gid, in no other group */
	/*
	 * The child is killed when the thread that makes it ends, however that
	 * ends; unless it executes a program that changes its ids.
	 */
	bool die_with_parent;
	uid_t uid;
	gid_t gid;
	double grace; /* seconds that plait_process_stop() leaves; 0: 5 */
	/*
	 * The child begins a session that has a new terminal, which this
	 * program is at the other end of.  It is each descriptor of fds that is
	 * a PLAIT_PROCESS_TERMINAL; if fds is NULL: 0, 1 and 2.
	 */
	bool pty;
	unsigned short rows, columns; /* of the terminal; 0: unknown */
	uintptr_t reserved[7];	      /* zero */
};

/*
 * Runs a program.  argv is what main() gets there, ended by NULL, borrowed.  p
 * is borrowed until its done() was called; its started() comes from the loop.
 * options may be NULL.
 *
 * In the child no signal is blocked or ignored, and it has only the descriptors
 * that the options name.
 *
 * Returns 0; or -errno if the child could not be made, or could not run the
 * program: -ENOENT if there is no such file or directory, -EACCES, -ENOEXEC,
 * -E2BIG, -EPERM, -EAGAIN, -EMFILE, -ENOMEM and others; -EINVAL if argv has no
 * element, or reserved words of the options are not zero; -EBUSY if p has a
 * child; -ESHUTDOWN while the reactor shuts down or is freed; -ENOTSUP if r is
 * a testing reactor; -ECHILD.  Then there is no child, no
 * callback of p is called, and *step, unless step is NULL, is what has failed:
 * static text such as "exec", "chdir" or "setuid".
 */
int plait_spawn(struct plait_reactor *r, const char *const *argv,
		struct plait_process_protocol *p,
		const struct plait_process_options *options, const char **step);

/* The child's number.  It is that of another process once exited() was called.
   0 if p has no child. */
pid_t plait_process_pid(const struct plait_process_protocol *p);

/*
 * Sends a signal to the child, never to another process, but for what
 * plait_spawn(3) says of old kernels.  Returns 0; -ESRCH if the child has
 * ended, or p is NULL; -EINVAL if there is no such signal; or -EPERM, if the
 * child has become another user's.
 */
int plait_process_signal(struct plait_process_protocol *p, int number);

/*
 * Ends the child: it is sent SIGTERM now, with SIGCONT in case that it stands
 * still, and SIGKILL if it has not ended when the grace of its options has
 * passed.  With new_group the whole group is sent all of them, even if the
 * child itself has ended meanwhile.  Calling it again changes nothing.  A
 * shutdown does this with all children, and waits for them; and
 * plait_reactor_free() kills at once.
 */
void plait_process_stop(struct plait_process_protocol *p);

/*
 * The pipe that the child has as fd, borrowed: to write to it, to pause what is
 * received, to close it.  NULL if there is no pipe, or it is closed.
 *
 * A terminal is a pipe for both directions, with each of its numbers here.
 * received() and closed() call it by the first of them in fds; 1 if fds is
 * NULL.
 */
struct plait_transport *
plait_process_transport(const struct plait_process_protocol *p, int fd);

/*
 * Sets the size of the child's terminal, and tells the child, by SIGWINCH.
 * Returns 0; or -ENOTTY if the child has no terminal, or it is closed.
 */
int plait_process_set_window(struct plait_process_protocol *p,
			     unsigned short rows, unsigned short columns);

/* The type of a value that says how a process has ended. */
extern const struct plait_type plait_process_exit_type;

/* What is in the slot, borrowed.  Another type aborts. */
const struct plait_process_exit *plait_value_process_exit(const plait_value *v,
							  const char *where);
#define plait_value_process_exit(...)                                          \
	(plait_value_process_exit)(__VA_ARGS__, PLAIT_HERE)

/*
 * Gives a deferred, never NULL, that fires when a process has ended that
 * somebody else has made, in this program or elsewhere.  Nobody waits for the
 * process on behalf of this: whoever has made it still has to.
 *
 * It fires with a struct plait_process_exit, whose status is known if the
 * process is a child of this one and nobody has waited for it yet; or else
 * unknown is true.  It fails with plait_error_os and ESRCH if there is no
 * process of that number, EINVAL if the number is not positive, ENOSYS before
 * Linux 5.3, ENOTSUP on a testing reactor, or another errno; with
 * plait_error_no_memory; or with AbandonedError if the reactor is freed.
 *
 * Cancelling it ends the watch, and leaves the process alone.
 */
struct plait_deferred *plait_process_watch(struct plait_reactor *r, pid_t pid,
					   const char *where) PLAIT_MUST_USE;
#define plait_process_watch(...) (plait_process_watch)(__VA_ARGS__, PLAIT_HERE)

#ifdef __cplusplus
}
#endif

#endif

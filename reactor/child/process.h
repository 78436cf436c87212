/*
 * The inside of a child, for process.c, which lives with it, and launch.c,
 * which makes it.
 */
#ifndef REACTOR_PROCESS_H
#define REACTOR_PROCESS_H

#include <plait/process.h>
#include <plait/timer.h>

#include "reactor/child/family.h"
#include "reactor/kernel/child.h"
#include "reactor/net/transport.h"

/* A pipe is a connection, whose protocol tells that of the child. */
struct process_pipe {
	struct plait_protocol base;
	struct plait_process *of; /* NULL: it is told of nothing */
	struct plait_list link;
	struct plait_transport
		*made_of; /* the pipe's own, until the child runs */
	int fd;		  /* the child's */
	bool has_ended;	  /* a terminal that nobody has open */
};

struct plait_process {
	struct plait_reactor *reactor;
	struct plait_process_protocol *protocol; /* NULL: it is done */
	struct kernel_process process; /* its fd is -1: it was waited for */
	struct family_member family;
	bool group; /* it has one of its own */
	bool started, stopping, has_exited, told_exited;
	double grace;
	struct plait_process_exit how;
	struct plait_list pipes;
	struct plait_watch watch;
	struct plait_timer killing;
	struct plait_timer looking; /* whether a tracer has left it */
	struct loop_member member;
	struct loop_task telling, burial;
	uint64_t trigger;		/* of the shutdown */
	struct plait_promise *shutdown; /* which waits for the child */
	/* In a forked child that frees the reactor; NULL: nobody. */
	void (*abandoned)(struct plait_process_protocol *p);
	/* The numbers that its terminal has there. */
	size_t n_terminal;
	int terminal[];
};

static inline const struct kernel_children *
process_calls(const struct plait_reactor *r)
{
	return loop_kernel(r)->calls->children;
}

static inline struct process_pipe *process_pipe(struct plait_protocol *p)
{
	return plait_self(p, struct process_pipe);
}

/* The protocols of a pipe, and of a terminal. */
extern const struct plait_protocol_ops plait_i_process_pipe_ops,
	plait_i_process_terminal_ops;

/* How nothing has ended yet, and what waitid() has said of it. */
void plait_i_process_exit_init(struct plait_process_exit *how);
void plait_i_process_exit_note(struct plait_process_exit *how,
			       const siginfo_t *info);

/*
 * The end of a child that is traced belongs to the tracer first, although the
 * descriptor is readable for everybody.  Until the tracer has waited for the
 * child, or has left it, waitid() finds no end.  The descriptor stays readable,
 * so watching it would spin: look(arg) is called a while later instead.
 */
void plait_i_process_wait_for_tracer(struct plait_watch *w,
				     struct plait_reactor *r,
				     struct plait_timer *looking,
				     plait_func *look, void *arg);

/* In this order.  The second and the third return 0 or -errno; the fourth
   cannot fail, and from then on the reactor owns c. */
void plait_i_process_init(struct plait_process *c, struct plait_reactor *r);
int plait_i_process_mind_shutdown(struct plait_process *c);
int plait_i_process_watch(struct plait_process *c);
void plait_i_process_run(struct plait_process *c,
			 struct plait_process_protocol *p);

/* It cannot be watched: the child is killed, and is gone. */
void plait_i_process_unmake(struct plait_process *c);

/* Kills the child at once, and its group, also what is left of that when the
   child has ended. */
void plait_i_process_kill(struct plait_process_protocol *p);

/* For what belongs to the library: is called instead of done() in a forked
   child that frees the reactor. */
void plait_i_process_when_abandoned(
	struct plait_process_protocol *p,
	void (*fn)(struct plait_process_protocol *p));

/*
 * In a forked child: p is told of nothing any more and may be freed, whatever
 * becomes of the reactor.  Returns false, and does nothing, elsewhere.
 */
bool plait_i_process_forget(struct plait_process_protocol *p);

#endif

/*
 * The inside of the reactor, for the files of reactor/.
 *
 * A turn does, in this order: the calls from other threads and the answers that
 * were put off to this turn (of both a snapshot), the timers that are due (a
 * snapshot), the shutdown if somebody asked for it, one wait for events and
 * their dispatch, and then the burials.  Burials that are due before the wait
 * are held before the wait, because no event can refer to anything then.  A
 * turn does at most REACTOR_SHARE calls, answers and timers each; the next turn
 * begins with those that are left.  Sending after a callback, and burials, are
 * never put off.
 *
 * Three promises hold it together.  Everything that calls the user runs between
 * plait_i_loop_enter() and plait_i_loop_leave(), which sends what the callback
 * wrote.  Whatever may be referred to by an event of this turn is only buried,
 * never closed or freed, before the turn ends.  And an answer that the API puts
 * off ("the loop tells") is a task for the next turn, so it never runs inside
 * the call that asked for it.
 */
#ifndef REACTOR_LOOP_H
#define REACTOR_LOOP_H

#include <stdint.h>

#include <plait/reactor.h>
#include <plait/timer.h>

#include "lib/base.h"
#include "lib/fork.h"
#include "lib/owner.h"
#include "lib/trace.h"
#include "reactor/kernel/kernel.h"

/* ---- loop.c -------------------------------------------------------------- */

/* Work that waits for its moment.  Embedded, zeroed; queued at most once. */
struct loop_task {
	struct plait_list link;
	void (*run)(struct loop_task *task);
};

/* Runs the task when the present callback has returned; outside all callbacks,
   in the next turn. */
void plait_i_loop_after_callback(struct plait_reactor *r,
				 struct loop_task *task);
bool plait_i_loop_has_after_callback(const struct plait_reactor *r);

/*
 * Runs the task in the next turn.  A task that is in a queue already, whichever
 * queue that is, stays there; this holds for all three functions.
 */
void plait_i_loop_next_turn(struct plait_reactor *r, struct loop_task *task);

/* Runs the task when this turn ends.  If the task buries more, that runs in the
   same burial. */
void plait_i_loop_bury(struct plait_reactor *r, struct loop_task *task);

/* Takes the task out of its queue, if it is in one. */
static inline void loop_task_cancel(struct loop_task *task)
{
	plait_list_remove(&task->link);
}

/* Around every callback into user code made by the loop or its files. */
void plait_i_loop_enter(struct plait_reactor *r);
void plait_i_loop_leave(struct plait_reactor *r);
bool plait_i_loop_is_entered(const struct plait_reactor *r);

struct loop_member;

/*
 * What shutdown and plait_reactor_free() must end: an open port, connection
 * or connection attempt.  lose() is called once at most; it must not call the
 * user, but may queue tasks.  A member has to part before its memory is freed,
 * even after it was lost: if the process forks before it has parted, the child
 * calls abandon() for it.
 */
struct loop_member_ops {
	void (*lose)(struct loop_member *m);
	/*
	 * Is true if the member is about to end by itself: a shutdown waits for
	 * such a member, stop_timeout at most, before it loses it.  NULL:
	 * false.
	 */
	bool (*is_closing)(const struct loop_member *m);
	/*
	 * Is called instead of lose() in a forked child that frees the reactor.
	 * It closes the descriptor and tells nobody.  A kept task or a burial
	 * frees the memory later, because a callback of the member may have
	 * forked and is still on the stack.
	 */
	void (*abandon)(struct loop_member *m);
	/* Returns the connection, if the member is one.  NULL: it is none. */
	struct plait_transport *(*transport)(struct loop_member *m);
	/*
	 * Is called after the limits of the reactor have changed.  It must not
	 * call the user, but may queue tasks.  NULL: the member has none.
	 */
	void (*limits)(struct loop_member *m);
};

struct loop_member {
	const struct loop_member_ops *ops;
	struct plait_list link;
};

void plait_i_loop_join(struct plait_reactor *r, struct loop_member *m);
struct plait_list *plait_i_loop_members(struct plait_reactor *r);
struct plait_list *
plait_i_loop_finishing(struct plait_reactor *r); /* at a shutdown */
static inline void loop_part(struct loop_member *m)
{
	plait_list_remove(&m->link);
}

/*
 * Runs the task last when the reactor is freed: for memory to which the program
 * may have a pointer until then.  The task must not call the user.
 */
void plait_i_loop_keep(struct plait_reactor *r, struct loop_task *task);

/*
 * Runs the task first when the reactor is freed: for what waits for a time that
 * will never come.  The task may call the user.  In a forked child it must not,
 * and only forgets the reactor.
 */
void plait_i_loop_when_freed(struct plait_reactor *r, struct loop_task *task);

/* Is true while plait_reactor_free() makes the last calls of the user. */
bool plait_i_loop_is_ending(const struct plait_reactor *r);

/*
 * For deferreds that time fires: returns true if a new one has to fail at once,
 * because the reactor is being freed.  A program that begins a new one inside
 * each failure would recurse without end.  So after the first hundred in one
 * callback this returns false, and the new ones fail when
 * plait_i_loop_when_freed() runs their tasks.
 */
bool plait_i_loop_refuses(struct plait_reactor *r);

/*
 * Returns false if the end of the reactor or of a run does not come to an end,
 * because the program begins something new each time it is told of a loss.
 * Then nobody is told any more.
 */
bool plait_i_loop_tells_of_new(struct plait_reactor *r);

/*
 * A list of those whom the loop has to tell something for which there was no
 * memory, and the task that empties the list.  The user of it sets task.run.
 */
struct loop_untold {
	struct plait_reactor *reactor;
	struct plait_list list;
	struct loop_task task;
};

struct loop_untold *plait_i_loop_untold(struct plait_reactor *r);

/*
 * The network that r has instead of the kernel's sockets, borrowed
 * (reactor/net/network.h).  NULL, as at first: r uses sockets.
 */
struct network_ops;
void plait_i_loop_set_network(struct plait_reactor *r,
			      const struct network_ops *network);
const struct network_ops *plait_i_loop_network(const struct plait_reactor *r);

/* Where r keeps its resolver (reactor/names/resolver.c), which is NULL until
   somebody asks for it. */
struct plait_resolver;
struct plait_resolver **plait_i_loop_resolver(struct plait_reactor *r);

/* The same, for what tells it of files (reactor/files/notifier.c). */
struct file_notifier;
struct file_notifier **plait_i_loop_files(struct plait_reactor *r);

/* The same, for its pool of threads (reactor/task/pool.c). */
struct plait_pool;
struct plait_pool **plait_i_loop_pool(struct plait_reactor *r);

/*
 * The jobs of r that have a process, and those that wait for one
 * (reactor/child/process_job.c).  The user of it sets starting.run.
 */
struct loop_process_jobs {
	struct plait_list waiting;
	size_t n_waiting;
	unsigned n_running;
	struct loop_task starting;
};

struct loop_process_jobs *plait_i_loop_process_jobs(struct plait_reactor *r);

/* The number of this turn. */
uint64_t plait_i_loop_turn(const struct plait_reactor *r);

/* Is true while the shutdown, or plait_reactor_free(), loses the members. */
bool plait_i_loop_is_closing(const struct plait_reactor *r);

/*
 * Which thread may use a reactor.  While a thread runs the reactor, no other
 * thread may use it; before and after, any thread may.
 */
struct loop_owner {
	unsigned thread; /* the one that runs it; 0: none */
	unsigned forks;	 /* how many forks there were when it was made */
	const char *where;
};

/* The memory of the unsent output of all connections: see pool.c. */
struct pool_unsent {
	size_t held; /* in blocks and buffers, and lent of the read buffer */
	size_t max;
};

/* The beginning of a reactor: what every call looks at. */
struct loop_base {
	struct loop_owner owner;
	struct kernel kernel;
	struct plait_limits limits; /* in force, no member is 0 */
	struct pool_unsent unsent;
	uint64_t numbers; /* given out by loop_next_number() */
};

static inline const struct loop_owner *loop_owner(const struct plait_reactor *r)
{
	return &((const struct loop_base *)(const void *)r)->owner;
}

static inline const struct plait_limits *
loop_limits(const struct plait_reactor *r)
{
	return &((const struct loop_base *)(const void *)r)->limits;
}

static inline struct pool_unsent *pool_unsent(struct plait_reactor *r)
{
	return &((struct loop_base *)(void *)r)->unsent;
}

/* Returns the next number of a count, which tells which of two things was
 * first.
 */
static inline uint64_t loop_next_number(struct plait_reactor *r)
{
	return ++((struct loop_base *)(void *)r)->numbers;
}

/* The kernel is no part of what const protects: functions that only ask about r
   may use it. */
static inline struct kernel *loop_kernel(const struct plait_reactor *r)
{
	return &((struct loop_base *)(uintptr_t)r)->kernel;
}

/* Is true for a testing reactor: no descriptors, a virtual clock. */
static inline bool loop_is_virtual(const struct plait_reactor *r)
{
	return loop_kernel(r)->ops->is_virtual;
}

/* Aborts: another thread runs r. */
void plait_i_loop_check_thread(const struct plait_reactor *r,
			       const char *where);

/* Each public function that uses r, or a part of r, begins with this check. */
static inline void loop_check(const struct plait_reactor *r, const char *where)
{
	unsigned thread =
		__atomic_load_n(&loop_owner(r)->thread, __ATOMIC_RELAXED);

	if (!owner_is_self(thread) && thread != 0)
		plait_i_loop_check_thread(r, where);
}

/* A function was given no reactor: aborts, and names it. */
PLAIT_NORETURN void plait_i_loop_die_of_null(const char *function,
					     const char *where);

static inline void loop_check_null(const struct plait_reactor *r,
				   const char *function, const char *where)
{
	if (__builtin_expect(r == NULL, 0))
		plait_i_loop_die_of_null(function, where);
}

/*
 * loop_check() for a function that a program gives r itself.  where is the
 * place of the call; NULL if the function does not know it.
 */
static inline void loop_check_given(const struct plait_reactor *r,
				    const char *function, const char *where)
{
	loop_check_null(r, function, where);
	loop_check(r, where != NULL ? where : function);
}

/* True in a child of the process that made the reactor. */
static inline bool loop_is_forked(const struct plait_reactor *r)
{
	return fork_inherited(loop_owner(r)->forks);
}

/*
 * Is true if the process has forked since it made the reactor.  Then a child
 * may have copies of the descriptors, and close() alone neither tells the peer
 * nor takes a descriptor out of the kernel's set.
 */
bool plait_i_loop_is_shared(const struct plait_reactor *r);

/*
 * Closes a socket that the reactor made.  If a child may have a copy, it shuts
 * the socket down before, so that the peer does not wait for the child.  In a
 * child it only closes, because the connection belongs to the parent.
 */
void plait_i_loop_close(const struct plait_reactor *r, int fd);

/*
 * For what a test plays on a testing reactor: runs the task as an event, in
 * this turn if its wait is yet to come, or else in the next turn.
 */
void plait_i_loop_arrive(struct plait_reactor *r, struct loop_task *task);

/* ---- clock.c ------------------------------------------------------------- */

/*
 * Nanoseconds on the reactor's clock.  plait_i_clock_now() reads the clock at
 * most once a callback; plait_i_clock_read() reads it each time.
 * plait_i_clock_delay() converts seconds.  plait_i_clock_after() is the time so
 * many seconds from now; a time that is too far becomes the last there is.
 */
int64_t plait_i_clock_now(const struct plait_reactor *r);
int64_t plait_i_clock_read(struct plait_reactor *r);
int64_t plait_i_clock_delay(double seconds); /* aborts on negative and NaN */
int64_t plait_i_clock_after(const struct plait_reactor *r, double seconds);

/* Of a testing reactor: moves the clock. */
void plait_i_clock_advance(struct plait_reactor *r, int64_t nanoseconds);

/* ---- deadline.c ---------------------------------------------------------- */

/*
 * A time by which something must have happened.  Embedded, zeroed; it must be
 * stopped before it is freed.  It is for connections, of which there are many:
 * it is smaller than a timer, because all deadlines of a kind have one function
 * and, mostly, last equally long.
 */
struct loop_deadline {
	struct plait_list link;
	int64_t when;
};

enum deadline_kind {
	DEADLINE_OF_CLOSING, /* half of close_timeout */
	DEADLINE_OF_WAITING, /* linger_timeout */
	DEADLINE_KINDS
};

typedef void deadline_func(struct loop_deadline *d);

/* Calls fn(d) once, in that many seconds; anew, if d is running. */
void plait_i_deadline_start(struct plait_reactor *r, enum deadline_kind kind,
			    struct loop_deadline *d, double seconds,
			    deadline_func *fn);
void plait_i_deadline_stop(struct plait_reactor *r, struct loop_deadline *d);

static inline bool deadline_is_running(const struct loop_deadline *d)
{
	return plait_list_is_linked(&d->link);
}

/* ---- watch.c ------------------------------------------------------------- */

/*
 * Streams, of which there are many, watch without a struct plait_watch: the
 * table of descriptors has all that is needed.  A stream is known by where it
 * keeps its descriptor; the function is the same for all, and is told of
 * WATCH_HANGUP, too.  After it was told PLAIT_WATCH_LOST, it must not use the
 * descriptor any more.  armed is what plait_i_watch_forget() has returned for a
 * former watch on the descriptor, or 0.
 */
typedef void stream_ready_func(int *fd, unsigned events);

int plait_i_watch_stream(struct plait_reactor *r, int *fd, unsigned armed,
			 unsigned events, stream_ready_func *ready);
int plait_i_watch_stream_change(struct plait_reactor *r, int fd,
				unsigned events);
void plait_i_watch_stream_forget(struct plait_reactor *r, int *fd);

/*
 * Stops a watch without telling the kernel, which saves a system call.  It is
 * for a descriptor that plait has made and will close in this turn's burial.
 * Until then its events are dropped, and close() takes it out of the kernel's
 * set.  Or another watch is started on it: returns what the kernel still waits
 * for.
 */
unsigned plait_i_watch_forget(struct plait_watch *w);

/* Do what plait_watch_start() and plait_watch_change() do, for all events of
   the library. */
int plait_i_watch_start(struct plait_reactor *r, struct plait_watch *w, int fd,
			unsigned events, plait_watch_func *fn);
int plait_i_watch_change(struct plait_watch *w, unsigned events);

/* ---- signal.c ------------------------------------------------------------ */

/* For a simulation: a signal of that number has come to the process of r.
   Returns false if r does not watch it. */
bool plait_i_signal_arrive(struct plait_reactor *r, int number);

/* ---- pool.c -------------------------------------------------------------- */

/*
 * Gives the read buffer that all connections of the reactor share, for its
 * bytes to be written over.  If any of them are lent it is another buffer, and
 * the old buffer stays until it has them back.  Returns NULL if there is no
 * memory.
 */
enum { POOL_READ_SIZE = 128 * 1024 };
void *plait_i_pool_read_buffer(struct plait_reactor *r);

/*
 * Lends bytes that lie in the read buffer: they stay as they are until they are
 * given back.  Meanwhile they count as held.  Returns the buffer, or NULL if
 * they lie elsewhere.
 */
struct pool_input;
struct pool_input *plait_i_pool_lend(struct plait_reactor *r, const void *data,
				     size_t len);
void plait_i_pool_give_back(struct plait_reactor *r, struct pool_input *in,
			    size_t len);

/*
 * Gives memory that its one user leaves as it is until the next time, so that
 * what all ports read with is prepared once.  It is zeroed at first, has that
 * size, which is always the same, and is freed with the reactor.  Returns NULL
 * if there is no memory.
 */
void *plait_i_pool_desk(struct plait_reactor *r, size_t size);

/*
 * A block of memory for unsent output.  There are a few sizes; this is the
 * largest.  Its user embeds the struct first.
 */
enum { POOL_BLOCK_SIZE = 32 * 1024 };

struct pool_block {
	struct pool_block *next_free;
	struct pool_slab *slab;
	unsigned char *limit; /* where the block ends */
};

/*
 * Gives a block of at least that size; if that is more than the largest, a
 * block of the largest size.  Returns NULL if there is no memory.  The block
 * counts as held until it is put back.
 */
struct pool_block *plait_i_pool_get(struct plait_reactor *r, size_t size);
void plait_i_pool_put(struct plait_reactor *r, struct pool_block *b);

/* The whole size of a block, which is what counts. */
static inline size_t pool_block_size(const struct pool_block *b)
{
	return (size_t)(b->limit - (const unsigned char *)b);
}

/* Begin and end to count so many bytes of a shared buffer as held. */
void plait_i_pool_hold(struct plait_reactor *r, size_t bytes);
void plait_i_pool_let_go(struct plait_reactor *r, size_t bytes);

/* ---- trace.c ------------------------------------------------------------- */

/*
 * Does what PLAIT_TRACE asks for, for a world of many reactors with a clock of
 * its own.  Returns true if this has begun a trace, which the other function
 * writes and ends.
 */
bool plait_i_trace_world_begins(int64_t (*clock)(void));
void plait_i_trace_world_ends(void);

/* ---- reactor.c ----------------------------------------------------------- */

/* Is true if the next turn would not sleep: something is due or queued. */
bool plait_i_reactor_has_work(const struct plait_reactor *r);

/*
 * Does a turn that waits for that many nanoseconds at most; the clock of a
 * virtual kernel moves then, to the next timer at most.  Returns what
 * plait_reactor_iterate() returns.
 */
int plait_i_reactor_turn(struct plait_reactor *r, int64_t limit,
			 const char *where);

/*
 * Returns true if PLAIT_REACTOR names a backend that does not exist, and writes
 * a message about that to why.
 */
enum { REACTOR_UNKNOWN_BACKEND = 128 };
bool plait_i_reactor_unknown_backend(char *why, size_t size);

/* A reactor on a kernel that is not in the public table; on: see kernel_init().
 */
struct plait_reactor *plait_i_reactor_new(const struct kernel_ops *kernel,
					  void *on);

/*
 * When r has something to do by itself: INT64_MIN if it has it now, or the time
 * of its next timer; INT64_MAX: never.
 */
int64_t plait_i_reactor_due(const struct plait_reactor *r);

/* Is true in a turn of r, and in a callback outside of all turns: then nobody
   else may turn it. */
bool plait_i_reactor_is_busy(const struct plait_reactor *r);

/*
 * A run in steps, each of which is a turn that does not wait: for a simulation,
 * which has many reactors in one thread.  Such a run leaves signals alone.
 * plait_i_reactor_step() begins the run if there is none, and returns true
 * while it goes on; at its end *ret is what plait_reactor_run() returns.
 * plait_i_reactor_break() ends it between two steps, wherever it is.
 */
bool plait_i_reactor_step(struct plait_reactor *r, const char *where, int *ret);
void plait_i_reactor_break(struct plait_reactor *r);

#endif

/*
 * The inside of the reactor, for the files of reactor/.
 *
 * A turn, in this order: calls from other threads and answers that were put
 * off to this turn (both a snapshot), due timers (a snapshot), the shutdown
 * if it was asked for, then one wait for events and their dispatch, and at
 * last the burials.  Those that are due before the wait are held before it,
 * when no event can refer to anybody yet.  Of each of the first three a turn
 * makes REACTOR_SHARE at most, and the next turn begins with those that are
 * left; what is sent after a callback and the burials are never put off.
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

/* When the callback that runs now has returned; or in the next turn if none. */
void plait_i_loop_after_callback(struct plait_reactor *r,
				 struct loop_task *task);

/*
 * In the next turn.  A task that is queued already, in whatever queue, stays
 * where it is; that holds for all three.
 */
void plait_i_loop_next_turn(struct plait_reactor *r, struct loop_task *task);

/* When this turn ends; tasks queued by such tasks run in the same burial. */
void plait_i_loop_bury(struct plait_reactor *r, struct loop_task *task);

/* Takes it out of the queue that it is in, if any. */
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
 * user, but may queue tasks.  A member has to part before its memory goes, also
 * after it was lost: in a child that is forked until then it is abandoned.
 */
struct loop_member_ops {
	void (*lose)(struct loop_member *m);
	/*
	 * True if it is about to end by itself: a shutdown gives such a member
	 * stop_timeout before it loses it.  NULL: never.
	 */
	bool (*is_closing)(const struct loop_member *m);
	/*
	 * In a forked child that frees the reactor, instead: gives back the
	 * descriptor, tells nobody, and leaves the memory to a kept task or a
	 * burial, as one of its callbacks may have forked.
	 */
	void (*abandon)(struct loop_member *m);
	/* The connection that it is; NULL: it is none. */
	struct plait_transport *(*transport)(struct loop_member *m);
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
 * Runs the task when the reactor is freed, last of all: for what was handed
 * to the user until then.  It may not call the user.
 */
void plait_i_loop_keep(struct plait_reactor *r, struct loop_task *task);

/*
 * Runs the task when the reactor is freed, before anything of it goes: for
 * what waits for a time that never comes then.  It may call the user, but in
 * a forked child it must not, and forgets the reactor.
 */
void plait_i_loop_when_freed(struct plait_reactor *r, struct loop_task *task);

/* True while plait_reactor_free() calls the user for the last time. */
bool plait_i_loop_is_ending(const struct plait_reactor *r);

/*
 * For what fires by time: true if it has to fail at once, as the reactor is
 * ending.  Whoever begins anew inside of each failure would recurse without
 * end; so after the first hundred in one callback this is false, and what is
 * begun fails when plait_i_loop_when_freed() runs its task.
 */
bool plait_i_loop_refuses(struct plait_reactor *r);

/*
 * False if the end, of the reactor or of a run, goes on and on because things
 * are begun anew whenever they are lost: then nobody is to be told any more.
 */
bool plait_i_loop_tells_of_new(struct plait_reactor *r);

/*
 * Whoever has to be told something from the loop for which there was no
 * memory: a list, and the task that empties it.  Those who use it set task.run.
 */
struct loop_untold {
	struct plait_reactor *reactor;
	struct plait_list list;
	struct loop_task task;
};

struct loop_untold *plait_i_loop_untold(struct plait_reactor *r);

/*
 * What stands for the kernel's sockets, borrowed (reactor/net/network.h); NULL,
 * as at first: they do themselves.
 */
struct network_ops;
void plait_i_loop_set_network(struct plait_reactor *r,
			      const struct network_ops *network);
const struct network_ops *plait_i_loop_network(const struct plait_reactor *r);

/* The number of this turn. */
uint64_t plait_i_loop_turn(const struct plait_reactor *r);

/* The next number of another count, for which of two things came first. */
uint64_t plait_i_loop_next_number(struct plait_reactor *r);

/* True while the shutdown, or plait_reactor_free(), loses the members. */
bool plait_i_loop_is_closing(const struct plait_reactor *r);

/*
 * Who has a reactor.  While a thread runs the reactor, no other may touch it;
 * before and after, any may.
 */
struct loop_owner {
	unsigned thread; /* that runs it; 0: none */
	unsigned forks;	 /* how many there had been when it was made */
	const char *where;
};

/* What a reactor begins with, as it is looked at in every call. */
struct loop_base {
	struct loop_owner owner;
	struct kernel kernel;
	struct plait_limits limits; /* in force, no member is 0 */
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

/* What it remembers is its own, so whoever only looks at r may ask it. */
static inline struct kernel *loop_kernel(const struct plait_reactor *r)
{
	return &((struct loop_base *)(uintptr_t)r)->kernel;
}

/* True for a reactor of testing.h: no descriptors, a virtual clock. */
static inline bool loop_is_virtual(const struct plait_reactor *r)
{
	return loop_kernel(r)->ops->is_virtual;
}

/* Another thread runs r: aborts. */
void plait_i_loop_check_thread(const struct plait_reactor *r,
			       const char *where);

/* At the beginning of what a program can do with r or a part of it. */
static inline void loop_check(const struct plait_reactor *r, const char *where)
{
	unsigned thread =
		__atomic_load_n(&loop_owner(r)->thread, __ATOMIC_RELAXED);

	if (!owner_is_self(thread) && thread != 0)
		plait_i_loop_check_thread(r, where);
}

/* True in a child of the process that made the reactor. */
static inline bool loop_is_forked(const struct plait_reactor *r)
{
	return fork_inherited(loop_owner(r)->forks);
}

/*
 * True if the process has forked since it made the reactor: then a child may
 * hold what the reactor holds, and closing alone neither tells the peer nor
 * takes a descriptor out of the kernel's set.
 */
bool plait_i_loop_is_shared(const struct plait_reactor *r);

/*
 * Closes a socket that the reactor made, and shuts it down before if a child
 * may hold it: the peer must not wait for a process that knows nothing of it.
 * In a child it only closes: the connection is the parent's.
 */
void plait_i_loop_close(const struct plait_reactor *r, int fd);

/*
 * What the test brings to a testing reactor: runs the task as an event, before
 * the wait of this turn if that is yet to come, or else of the next turn.
 */
void plait_i_loop_arrive(struct plait_reactor *r, struct loop_task *task);

/* ---- clock.c ------------------------------------------------------------- */

/*
 * Nanoseconds on the reactor's clock: as this callback has it, looked at when
 * somebody asks, at most once a callback; and at this very moment.  And
 * checked conversion to them.
 */
int64_t plait_i_clock_now(const struct plait_reactor *r);
int64_t plait_i_clock_read(struct plait_reactor *r);
int64_t plait_i_clock_delay(double seconds); /* aborts on negative and NaN */

/* Of a testing reactor: moves the clock. */
void plait_i_clock_advance(struct plait_reactor *r, int64_t nanoseconds);

/* ---- watch.c ------------------------------------------------------------- */

/*
 * As plait_watch_change(), which drops what a program may not ask for; w is
 * watched.
 */
int plait_i_watch_change(struct plait_watch *w, unsigned events);

/*
 * Stops watching without telling the kernel, which saves a system call.  For
 * a descriptor that plait made and closes in this turn's burial: until then
 * its events find nobody, and closing it takes it out of the kernel's set.
 */
void plait_i_watch_forget(struct plait_watch *w);

/* ---- pool.c -------------------------------------------------------------- */

/* The read buffer that all connections of the reactor share. */
enum { POOL_READ_SIZE = 128 * 1024 };
void *plait_i_pool_read_buffer(struct plait_reactor *r);

/*
 * A block of memory for unsent output, in one of a few sizes of which this is
 * the largest.  Its user embeds the struct first.
 */
enum { POOL_BLOCK_SIZE = 32 * 1024 };

struct pool_block {
	struct pool_block *next_free;
	struct pool_slab *slab;
	unsigned char *limit; /* where the block ends */
};

/*
 * Gives a block of that size at least, or the largest if it is smaller; NULL
 * with no memory.  It counts as held until it is put back.
 */
struct pool_block *plait_i_pool_get(struct plait_reactor *r, size_t size);
void plait_i_pool_put(struct plait_reactor *r, struct pool_block *b);

/* All that it takes, which is what it counts. */
static inline size_t pool_block_size(const struct pool_block *b)
{
	return (size_t)(b->limit - (const unsigned char *)b);
}

/* Counts so many bytes of a shared buffer as held, and not any more. */
void plait_i_pool_hold(struct plait_reactor *r, size_t bytes);
void plait_i_pool_let_go(struct plait_reactor *r, size_t bytes);

/* What the unsent output of all connections takes. */
struct pool_unsent {
	size_t held; /* in blocks and in shared buffers */
	size_t max;
};

struct pool_unsent *plait_i_pool_unsent(struct plait_reactor *r);

/* ---- reactor.c ----------------------------------------------------------- */

/* True if the next turn would not sleep: something is due or queued. */
bool plait_i_reactor_has_work(const struct plait_reactor *r);

/*
 * True if PLAIT_REACTOR names a backend that there is not; why gets the words
 * for it.
 */
enum { REACTOR_UNKNOWN_BACKEND = 128 };
bool plait_i_reactor_unknown_backend(char *why, size_t size);

/* A reactor on a kernel that is not in the public table. */
struct plait_reactor *plait_i_reactor_new(const struct kernel_ops *kernel);

#endif

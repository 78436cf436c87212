/*
 * The reactor: a loop that waits for descriptors, timers, signals and calls
 * from other threads, and calls the program back, one event at a time.
 *
 * There is no global reactor and no lock.  While a thread runs a reactor, only
 * that thread may use the reactor; a use by another thread aborts.  The
 * exceptions are plait_call_from_thread() and plait_thread_call_queue(), which
 * any thread may call.  While no thread runs the reactor, any thread may use
 * it, one thread at a time.
 *
 * In a child made by fork() the parent's reactor may only be freed.  That
 * closes the child's descriptors and tells nobody.  Functions that return an
 * int return -ECHILD there.  If a callback forks and returns in the child,
 * plait_reactor_run() returns -ECHILD in the child.  The child may free
 * everything else that it has inherited, too, in any order.
 */
#ifndef PLAIT_REACTOR_H
#define PLAIT_REACTOR_H

#include <plait/list.h>
#include <plait/value.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_reactor;

/*
 * Gives a new reactor, or NULL with errno set.  name is the backend, "epoll"
 * or "select", borrowed for the call.  If name is NULL, the environment
 * variable PLAIT_REACTOR names the backend; if that is not set, the best
 * backend is taken.  errno is EINVAL if there is no backend of that name,
 * ENOMEM, or the error of the system call that failed.
 */
struct plait_reactor *plait_reactor_new(const char *name);

/*
 * Frees the reactor.  First it ends every connection, port and connector that
 * is left, as stopping does, but it does not wait for connections that are
 * being closed.  It reports the promises of this thread that were never fired,
 * and the deferreds that have fired and were never freed.  The callbacks that
 * it calls may still use *rp; what they begin fails.  Then *rp is set to NULL.
 * If *rp is NULL already, the call does nothing.  It aborts while the reactor
 * runs.
 */
void plait_reactor_free(struct plait_reactor **rp);
/* The same, for __attribute__((cleanup)). */
void plait_reactor_cleanup(struct plait_reactor **rp);

/*
 * plait_reactor_backend() returns the name of r's backend.
 * plait_backend_name() returns the name of backend number i, from 0, best
 * first; NULL if there are not so many.  Both names are static text.
 */
const char *plait_reactor_backend(const struct plait_reactor *r);
const char *plait_backend_name(size_t i);

/*
 * Runs the reactor until plait_reactor_stop() is called and the shutdown that
 * follows has ended.  The reactor may be run again afterwards.  During the run
 * SIGINT and SIGTERM stop the reactor and SIGPIPE does nothing, each only if
 * it had its default action when the run began.  A program that is executed
 * during the run has the default actions.
 *
 * Returns 0; -EBUSY if it is called in a callback of the same reactor; -ECHILD
 * after fork(); or the error of the kernel, if waiting for events failed.
 */
int plait_reactor_run(struct plait_reactor *r, const char *where);
#define plait_reactor_run(...) (plait_reactor_run)(__VA_ARGS__, PLAIT_HERE)

/*
 * Does one turn: it does what is due, waits at most that many seconds for
 * events, and handles them.  It is for programs with a loop of their own, and
 * for tests.  It runs triggers only in the shutdown that plait_reactor_stop()
 * asked for.  Returns the same as plait_reactor_run().
 */
int plait_reactor_iterate(struct plait_reactor *r, double seconds,
			  const char *where);
#define plait_reactor_iterate(...)                                             \
	(plait_reactor_iterate)(__VA_ARGS__, PLAIT_HERE)

/*
 * Asks a running reactor to stop.  The shutdown begins after the timers of
 * this turn.  A trigger of the startup may call this before the reactor counts
 * as running; so may a callback in plait_reactor_iterate().  Returns 0, or
 * -EALREADY if the reactor does not run or is stopping already.
 */
int plait_reactor_stop(struct plait_reactor *r);

/*
 * Asks a running reactor to stop, in a shutdown that waits for nobody: it
 * frees the deferreds that triggers have returned, which cancels them, and
 * connections that are being closed are lost like all others.  It may be
 * called while the reactor is stopping already, to end the waiting, also
 * between two turns.  A second SIGINT or SIGTERM does the same.  Returns 0, or
 * -EALREADY if the call changes nothing.
 */
int plait_reactor_stop_now(struct plait_reactor *r);

/* Is true from the "during startup" phase to the "during shutdown" phase. */
bool plait_reactor_is_running(const struct plait_reactor *r);

/*
 * Returns the time in seconds on the monotonic clock.  The time does not
 * change during a callback.
 */
double plait_reactor_seconds(const struct plait_reactor *r);

/*
 * Returns 64 random bits from the system: for a jitter, a choice, a seed.  They
 * are no key: a system that has no randomness to give leaves it to the clock.
 * On a testing reactor they are the sequence of splitmix64 that begins with the
 * state 0, and in a simulation the seed decides them.  So a program that has
 * all its chance from here can be tested, and does the same in each run.
 */
uint64_t plait_reactor_random(struct plait_reactor *r);

/*
 * Calls fn(arg) when the reactor runs.  If it runs already, fn is called at
 * once, inside this call; else fn is called as the last step of the startup,
 * and arg must stay valid until then.  Returns 0, or -ENOMEM or -ECHILD; then
 * fn is not called.
 */
int plait_call_when_running(struct plait_reactor *r, plait_func *fn, void *arg);

/*
 * Queues the call fn(arg): the reactor's loop makes the queued calls, in their
 * order.  A loop that sleeps is woken.  Any thread may call this as long as
 * the reactor exists; a signal handler may not.  fn may run, and may even free
 * the reactor, before this function has returned in the other thread.
 *
 * arg must stay valid until fn is called; the library never frees it.  When
 * the reactor is freed, the calls that are still queued are not made: join the
 * thread, free the reactor, then free what was queued.
 *
 * Returns 0, or -ENOMEM or -ECHILD; then fn is not called.
 */
int plait_call_from_thread(struct plait_reactor *r, plait_func *fn, void *arg);

/*
 * A call from a thread in memory of your own: embed a zeroed struct
 * plait_thread_call in a struct of yours.  Queueing it needs no memory, and
 * costs less.
 */
struct plait_thread_call {
	/* private */
	struct plait_thread_call *next;
	plait_func *fn;
	void *arg;
	unsigned state;
	uintptr_t reserved[2]; /* zero */
};

/*
 * Queues the call fn(arg), behind those that were queued before, by
 * plait_call_from_thread(), too.  Any thread may call this as long as the
 * reactor exists, and so may a signal handler.
 *
 * c and arg are borrowed until fn begins, and c must stay where it is.  From
 * the beginning of fn on, fn and any thread may free c, or queue it again.
 * When the reactor is freed, the calls that are still queued are not made, and
 * may be freed or queued elsewhere.
 *
 * Returns 0; or -EALREADY if c is queued and its function has not begun: then
 * that call stays as it is, and its function sees what this thread has written
 * to memory before; or -ECHILD.
 */
int plait_thread_call_queue(struct plait_reactor *r,
			    struct plait_thread_call *c, plait_func *fn,
			    void *arg);

/*
 * Triggers are functions that the reactor calls in the phases of its startup
 * and its shutdown.  Each phase calls its triggers in the order in which they
 * were added.  A trigger in PLAIT_TRIGGER_BEFORE of PLAIT_TRIGGER_SHUTDOWN may
 * return a deferred, with plait_chain(&d): the shutdown waits for it while the
 * loop goes on.  A failure is told to the unhandled hook.  Other values are
 * freed, and so is a deferred of any other phase.  A trigger stays until it is
 * removed, and is called in every run.
 */
enum plait_trigger_event { PLAIT_TRIGGER_STARTUP, PLAIT_TRIGGER_SHUTDOWN };
enum plait_trigger_phase {
	PLAIT_TRIGGER_BEFORE,
	PLAIT_TRIGGER_DURING,
	PLAIT_TRIGGER_AFTER
};

typedef plait_value plait_trigger_func(void *arg);

/*
 * Adds a trigger.  *ret is set to its number, for
 * plait_reactor_remove_trigger(); ret may be NULL.  arg must stay valid until
 * the trigger is removed or the reactor is freed.  Returns 0, -EINVAL if there
 * is no such phase or event, -ENOMEM or -ECHILD.
 */
int plait_reactor_add_trigger(struct plait_reactor *r,
			      enum plait_trigger_phase phase,
			      enum plait_trigger_event event,
			      plait_trigger_func *fn, void *arg, uint64_t *ret);

/*
 * Removes a trigger.  Returns 0, -ENOENT if there is no trigger of that number
 * (any more), or -ECHILD.
 */
int plait_reactor_remove_trigger(struct plait_reactor *r, uint64_t id);

/*
 * What one connection may use at most, and all connections of a reactor
 * together.  A field that is zero means its default.  Times are in seconds,
 * INFINITY means never; sizes are in bytes, SIZE_MAX means no limit.
 */
struct plait_limits {
	size_t max_unsent; /* 64 MiB: a connection whose unsent output needs
			      more memory is aborted */
	size_t max_unsent_total; /* 1 GiB: if all connections together need
				    more, the largest is aborted */
	size_t high_water;     /* 65536: more unsent output pauses a producer */
	size_t low_water;      /* 16384: this much or less resumes it;
				  high_water at most */
	double close_timeout;  /* 30: a closing connection that makes no
				  progress for so long is aborted */
	double linger_timeout; /* 5: at most this long a closed connection waits
				  for the peer to close, too, and the input of a
				  broken connection is kept for a protocol that
				  has paused reading */
	size_t linger_bytes; /* 1 MiB: at most this much of the peer's input is
				discarded while a closed connection waits */
	double stop_timeout; /* 5: at most this long a shutdown waits for
				connections that are closing */
	uintptr_t reserved[8]; /* zero */
};

/*
 * Sets the limits of all connections of r, at once.  A deadline that runs
 * already keeps its time.  limits is copied.  Returns 0, or -EINVAL if a
 * reserved word is not zero; then nothing changes.  A time that is negative or
 * not a number aborts.
 */
int plait_reactor_set_limits(struct plait_reactor *r,
			     const struct plait_limits *limits);

/*
 * A watch waits for a descriptor of the program.  Embed a zeroed struct
 * plait_watch in your own struct.  The reactor never closes the descriptor and
 * never changes its flags.  Stop the watch before you close the descriptor or
 * free the struct.
 *
 * A hang-up or an error of the descriptor has no event of its own: the watch
 * is told the events that it waits for.  Then read() returns the bytes that are
 * left, and then 0 or the error; write() fails.
 */
enum {
	PLAIT_WATCH_READ = 1,  /* read() would not block */
	PLAIT_WATCH_WRITE = 2, /* write() would not block */
	PLAIT_WATCH_LOST = 4   /* closed by somebody; the watch was stopped */
};

struct plait_watch;
typedef void plait_watch_func(struct plait_watch *w, unsigned events);

struct plait_watch {
	/* private */
	struct plait_reactor *reactor;
	plait_watch_func *fn;
	int fd;
	uintptr_t reserved[3]; /* zero */
};

/*
 * Watches fd for PLAIT_WATCH_READ, PLAIT_WATCH_WRITE, both, or 0 for neither.
 * The reactor calls fn once in every turn in which fd is ready.  The caller
 * keeps fd and w.  A file that epoll cannot watch, such as a regular file, is
 * always ready.
 *
 * Returns 0, or:  -EBUSY: w watches already.  -EEXIST: another watch has fd.
 * -EBADF: fd is not open.  -EMFILE: fd is too high for select.  -ENOMEM.
 * -ENOSPC: the kernel watches no more descriptors for this user.  -ENOTSUP: r
 * is a testing reactor.  -ECHILD.
 */
int plait_watch_start(struct plait_reactor *r, struct plait_watch *w, int fd,
		      unsigned events, plait_watch_func *fn);

/*
 * Changes the events that w waits for.  With 0 it waits for nothing, which
 * costs nothing and needs no memory.  An event of this turn that w no longer
 * waits for is not told.  Returns 0, -EINVAL if w is not started, -ENOMEM,
 * -ENOSPC or -ECHILD; then w waits for the same events as before.
 */
int plait_watch_change(struct plait_watch *w, unsigned events);

/*
 * Stops the watch: fn is not called any more, not even for an event of this
 * turn.  If w is not started, the call does nothing.
 */
void plait_watch_stop(struct plait_watch *w);

#ifdef __cplusplus
}
#endif

#endif

/*
 * The reactor: one loop a thread that waits for descriptors, timers, signals
 * and calls from other threads, and calls you back one event at a time.
 *
 * There is no global reactor and no lock.  Everything here must be called
 * from the thread that runs the reactor, but for plait_call_from_thread();
 * another thread that uses it meanwhile aborts.  While nobody runs it, any
 * thread may use it.
 * In a child made by fork() the parent's reactor may only be freed, which gives
 * descriptors back and tells nobody; what returns an int returns -ECHILD there,
 * also plait_reactor_run() when a callback returns in a child that it forked.
 * All else that the child has inherited may be freed as well, in any order.
 */
#ifndef PLAIT_REACTOR_H
#define PLAIT_REACTOR_H

#include <plait/list.h>
#include <plait/value.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_reactor;

/*
 * A new reactor, given; NULL with errno set.  name is the backend, "epoll" or
 * "select"; NULL takes the one in $PLAIT_REACTOR, or the best.  EINVAL: no
 * backend of that name; else what the kernel said.
 */
struct plait_reactor *plait_reactor_new(const char *name);

/*
 * Loses every connection, port and connector that is left, as stopping does
 * but without waiting for those that close, then frees.  Reports promises of
 * this thread that were never fired, and deferreds that have fired and were
 * never freed.  *rp is good until all callbacks have returned, and NULL
 * afterwards; if it is NULL already nothing happens.  What the callbacks begin
 * meanwhile fails.  Aborts while the reactor runs.
 */
void plait_reactor_free(struct plait_reactor **rp);

/* The name of its backend; of the i-th backend, best first, NULL at the end. */
const char *plait_reactor_backend(const struct plait_reactor *r);
const char *plait_backend_name(size_t i);

/*
 * Runs until plait_reactor_stop() and until the shutdown that follows is
 * through.  May be run again afterwards.  0, or -EBUSY from inside a callback
 * of its own, -ECHILD after fork(), or what the kernel said if it could not
 * wait any more.  Meanwhile SIGINT and SIGTERM stop it and SIGPIPE does
 * nothing, each if it had its default action; programs that are executed have
 * that.
 */
int plait_reactor_run(struct plait_reactor *r, const char *where);
#define plait_reactor_run(...) (plait_reactor_run)(__VA_ARGS__, PLAIT_HERE)

/*
 * One turn: what is due, then waiting at most that many seconds for events,
 * and handling them.  For programs with a loop of their own, and tests; runs
 * no triggers, but for the shutdown that plait_reactor_stop() asked for.
 * Returns as plait_reactor_run() does.
 */
int plait_reactor_iterate(struct plait_reactor *r, double seconds,
			  const char *where);
#define plait_reactor_iterate(...)                                             \
	(plait_reactor_iterate)(__VA_ARGS__, PLAIT_HERE)

/*
 * Asks a running reactor to stop, after the timers of this turn; a trigger of
 * the startup may ask so before it counts as running, and in
 * plait_reactor_iterate() one that does not run may be stopped, too.  0, or
 * -EALREADY if there is nothing to stop or it is stopping already.
 */
int plait_reactor_stop(struct plait_reactor *r);

/*
 * The same, and the shutdown waits for nobody: the deferreds that its triggers
 * have returned are freed, which cancels them, and connections that are being
 * closed are lost like all others.  It may also be called while the reactor is
 * stopping already, from outside of a turn too, which a second SIGINT or
 * SIGTERM does.  0, or -EALREADY if that changes nothing.
 */
int plait_reactor_stop_now(struct plait_reactor *r);

/* True from the "during startup" phase to the "during shutdown" phase. */
bool plait_reactor_is_running(const struct plait_reactor *r);

/* Now, in seconds, on the monotonic clock; the same all through a callback. */
double plait_reactor_seconds(const struct plait_reactor *r);

/*
 * Calls fn(arg) when the reactor runs: now, inside this call, if it does
 * already, else as the last step of startup.  0 or -ENOMEM.
 */
int plait_call_when_running(struct plait_reactor *r, plait_func *fn, void *arg);

/*
 * Calls fn(arg) from the reactor's loop, in the order of the calls, waking it
 * if it sleeps.  The only function that other threads may call, as long as
 * the reactor exists.  The call may free the reactor before this has returned
 * in its thread.  Calls still queued when it is freed are not made.
 * 0 or -ENOMEM.
 */
int plait_call_from_thread(struct plait_reactor *r, plait_func *fn, void *arg);

/*
 * Triggers: functions for the phases of the startup and the shutdown.  Each
 * phase runs its triggers in the order of their addition.  A trigger in
 * PLAIT_TRIGGER_BEFORE of PLAIT_TRIGGER_SHUTDOWN may return a deferred,
 * plait_chain(&d), for which the shutdown waits while the loop goes on; other
 * values are freed. Triggers stay until they are removed, and run every time.
 */
enum plait_trigger_event { PLAIT_TRIGGER_STARTUP, PLAIT_TRIGGER_SHUTDOWN };
enum plait_trigger_phase {
	PLAIT_TRIGGER_BEFORE,
	PLAIT_TRIGGER_DURING,
	PLAIT_TRIGGER_AFTER
};

typedef plait_value plait_trigger_func(void *arg);

/*
 * Adds one; *ret is a number to remove it by, or ret is NULL.  0, -EINVAL for
 * a phase or event that does not exist, -ENOMEM.
 */
int plait_reactor_add_trigger(struct plait_reactor *r,
			      enum plait_trigger_phase phase,
			      enum plait_trigger_event event,
			      plait_trigger_func *fn, void *arg, uint64_t *ret);

/* 0, or -ENOENT if there is none of that number (any more). */
int plait_reactor_remove_trigger(struct plait_reactor *r, uint64_t id);

/*
 * What a connection may use at most, and all of them together.  Zero means
 * the default.  Times are seconds, INFINITY for never; sizes are bytes,
 * SIZE_MAX for no bound.
 */
struct plait_limits {
	size_t max_unsent; /* 64 MiB: more memory in unsent output aborts */
	size_t max_unsent_total; /* 1 GiB: of all connections; more aborts the
				    one that holds most */
	size_t high_water;     /* 65536: more unsent output pauses a producer */
	size_t low_water;      /* 16384: no more than that resumes it */
	double close_timeout;  /* 30: closing without progress aborts */
	double linger_timeout; /* 5: waiting for the peer to close, too; and
				  for a paused reader of a broken connection */
	size_t linger_bytes;   /* 1 MiB: discarded from the peer meanwhile */
	double stop_timeout;   /* 5: a shutdown waits for what is closing */
	uintptr_t reserved[8]; /* zero */
};

/*
 * Sets the limits of all connections of r, at once; a deadline that runs
 * already keeps its time.  limits is copied.  0, or -EINVAL if a reserved word
 * is not zero, and then nothing changed.
 */
int plait_reactor_set_limits(struct plait_reactor *r,
			     const struct plait_limits *limits);

/*
 * A descriptor of the user's own, watched.  Embed it, zeroed; the reactor
 * never closes the descriptor.  Stop watching before closing it.
 */
enum {
	PLAIT_WATCH_READ = 1,  /* reading would not block */
	PLAIT_WATCH_WRITE = 2, /* writing would not block */
	PLAIT_WATCH_LOST = 4 /* the descriptor is bad, the watch was stopped */
};

struct plait_watch;
typedef void plait_watch_func(struct plait_watch *w, unsigned events);

struct plait_watch {
	/* private */
	struct plait_reactor *reactor;
	plait_watch_func *fn;
	int fd;
	unsigned short events;
	unsigned short armed;
	struct plait_list link;
	uintptr_t reserved[1]; /* zero */
};

/*
 * Watches fd, which stays the caller's, for PLAIT_WATCH_READ, PLAIT_WATCH_WRITE
 * or both; fn is called for every turn in which it is ready.  A file that epoll
 * cannot watch is always ready.  0, -EEXIST if fd is watched by another, -EBUSY
 * if w watches already, -EMFILE if select cannot watch so high a descriptor,
 * -EBADF, -ENOMEM, -ENOSPC; -ENOTSUP on a testing reactor.
 */
int plait_watch_start(struct plait_reactor *r, struct plait_watch *w, int fd,
		      unsigned events, plait_watch_func *fn);

/*
 * Changes what is waited for; 0 waits for nothing, and costs nothing.  An
 * event of this turn that is not waited for any more is not told.  0 or the
 * errors above; -EINVAL if w watches nothing.
 */
int plait_watch_change(struct plait_watch *w, unsigned events);

/* Stops; fn is not called any more.  Stopping twice does nothing. */
void plait_watch_stop(struct plait_watch *w);

#ifdef __cplusplus
}
#endif

#endif

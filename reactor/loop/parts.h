/*
 * The reactor's own struct, for the files that make up the reactor.  All
 * others of reactor/ use loop.h.
 *
 * Each part is a struct in this file and a file of its own: watch.c, timer.c,
 * deadline.c, call.c, trigger.c, thread.c, signal.c, report.c and pool.c.  A
 * zeroed part is empty, except its lists, which its init function makes.  The
 * parts use loop.c and clock.c; shutdown.c and reactor.c use the parts.
 */
#ifndef REACTOR_PARTS_H
#define REACTOR_PARTS_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include <plait/signal.h>

#include "lib/deferred.h"
#include "reactor/loop/loop.h"

/*
 * How many calls from threads, how many tasks and how many timers a turn makes,
 * so that a burst of one kind does not keep the others waiting.  It is a count
 * and not a time, so a run is the same on a faster machine.
 */
enum { REACTOR_SHARE = 256 };

/* loop.c: running what is queued. */
void plait_i_loop_run_after_callback(struct plait_reactor *r);
void plait_i_loop_run_next_turn(struct plait_reactor *r);
void plait_i_loop_run_arrivals(struct plait_reactor *r);
void plait_i_loop_run_burials(struct plait_reactor *r);
void plait_i_loop_run_each(struct plait_list *tasks);
void plait_i_loop_leave_busy(struct plait_reactor *r);
void plait_i_loop_forget_all(struct plait_reactor *r);

/*
 * clock.c: the time so many seconds from another time, where the seconds may be
 * negative.  A time that is too far becomes the last there is.
 */
int64_t plait_i_clock_add(int64_t when, double seconds);

/*
 * Lends the reactor's clock and number to the deferreds of this thread: from
 * now on, unless another reactor is in a turn; or as long as r is in a turn.
 */
void plait_i_clock_lend(struct plait_reactor *r);
void plait_i_clock_begin(struct plait_reactor *r);
void plait_i_clock_end(struct plait_reactor *r);

/* watch.c: who watches which descriptor. */
void plait_i_watch_done(struct plait_reactor *r);
int plait_i_watch_poll(struct plait_reactor *r, int64_t timeout);

/*
 * timer.c: a heap of the timers that are not later than the horizon, and a
 * wheel of all others.  Each level is a digit of a time; no time has more.
 */
enum {
	WHEEL_LEAF_BITS = 8, /* below the digit of the lowest level */
	WHEEL_BITS = 8,	     /* of a digit */
	WHEEL_SLOTS = 1 << WHEEL_BITS,
	WHEEL_LEVELS = (63 - WHEEL_LEAF_BITS + WHEEL_BITS - 1) / WHEEL_BITS,
	WHEEL_WORDS = WHEEL_LEVELS * WHEEL_SLOTS / 64,
	TIMERS_FEW = 16,  /* are sorted without a wheel */
	TIMERS_CROWD = 64 /* in the heap are too many */
};

struct timers {
	struct plait_timer *root;  /* the earliest, if it is in its place */
	struct plait_timer *fresh; /* due, but started after the batch */
	int64_t horizon;
	size_t running, near;	    /* all timers; those in the two heaps */
	size_t crowd;		    /* more than that are near: too many */
	uint64_t order;		    /* how many were ever started */
	uint64_t order_before;	    /* ... before this turn */
	uint64_t end_of_batch;	    /* ... and before that of the batch */
	int64_t due;		    /* the latest time of the batch */
	bool unfinished;	    /* the batch goes on in the next turn */
	uint32_t words;		    /* which of used are not 0 */
	uint64_t used[WHEEL_WORDS]; /* which slots may have timers */
	struct plait_timer *slots[WHEEL_LEVELS * WHEEL_SLOTS];
};

void plait_i_timer_run_due(struct plait_reactor *r);
void plait_i_timer_done(struct plait_reactor *r);
bool plait_i_timer_next(const struct plait_reactor *r, int64_t *ret);
void plait_i_timer_delay(struct plait_timer *t, double seconds);

/* deadline.c: one for each kind. */
struct deadline_row {
	struct plait_list list;	   /* in the order of their times */
	struct plait_list *passed; /* the last that did not go to the end */
	struct plait_timer timer;
	int64_t due; /* when that runs, if it is running */
	deadline_func *fn;
	struct plait_reactor *reactor;
};

void plait_i_deadline_init(struct plait_reactor *r);

/* call.c: slots of plait_call_later(), never freed before the reactor. */
struct call_slots {
	struct call_chunk *chunks;
	struct plait_call_slot *unused;
	uint64_t ids; /* given out so far */
};

void plait_i_call_done(struct plait_reactor *r);

/* trigger.c */
struct triggers {
	struct plait_list lists[2][3]; /* by event and phase */
	struct plait_list removed;     /* triggers that are still waited for */
	struct plait_list when_running;
	uint64_t ids;	  /* given out so far */
	unsigned waiting; /* for how many deferreds the shutdown waits */
};

void plait_i_trigger_init(struct plait_reactor *r);
void plait_i_trigger_done(struct plait_reactor *r);
void plait_i_trigger_fire(struct plait_reactor *r,
			  enum plait_trigger_event event,
			  enum plait_trigger_phase phase);
void plait_i_trigger_fire_when_running(struct plait_reactor *r);
void plait_i_trigger_stop_waiting(struct plait_reactor *r);

/* thread.c: calls from other threads, and waking up. */
enum { CACHE_LINE = 64 };

struct thread_calls {
	/* Other threads write what is between these.  In a cache line with what
	   the loop writes, it would move to and fro at each call. */
	char before[CACHE_LINE];
	_Atomic(struct plait_thread_call *) newest;
	atomic_uint waking; /* threads that are about to write the eventfd */
	/* Memory for plait_call_from_thread(), for one thread at a time. */
	atomic_bool spare_taken;
	struct plait_thread_call *spare;
	unsigned n_spare;
	char behind[CACHE_LINE];
	struct plait_thread_call *oldest, **end;    /* those that were taken */
	struct plait_thread_call *used, **used_end; /* what becomes spare */
	unsigned n_used;
	struct plait_watch watch;
	atomic_int fd; /* the waker; -1: a virtual reactor, or it was lost */
};

int plait_i_thread_init(struct plait_reactor *r);
void plait_i_thread_done(struct plait_reactor *r);
void plait_i_thread_run(struct plait_reactor *r);
void plait_i_thread_wake(struct plait_reactor *r); /* async-signal-safe */

/* signal.c: who wants which signal, and what has come. */
enum { WANT_INT, WANT_TERM, WANT_PIPE, WANT_DUMP, N_WANTS };

enum signal_mark {
	SIGNAL_STOP = 1,
	SIGNAL_STOP_NOW = 2, /* the second one */
	SIGNAL_DUMP = 4,     /* of plait_reactor_dump_on_signal() */
	SIGNAL_WATCHED = 8
};

struct signals {
	pid_t process; /* whose signals the reactor is told of */
	struct plait_signal_watch wants[N_WANTS]; /* its own */
	struct plait_list watches, untold;	  /* the program's */
	atomic_uint marks;			  /* set by handlers */
	_Atomic int64_t first; /* when that came; INT64_MIN: not yet */
};

void plait_i_signal_init(struct plait_reactor *r);
int plait_i_signal_take(struct plait_reactor *r);
void plait_i_signal_release(struct plait_reactor *r);
unsigned plait_i_signal_take_marks(struct plait_reactor *r);
void plait_i_signal_tell(struct plait_reactor *r); /* its watches */
void plait_i_signal_done(struct plait_reactor *r);
void plait_i_signal_before_fork(void);
void plait_i_signal_in_parent(void);
void plait_i_signal_in_child(void);

/* report.c: how much has run in this turn, for PLAIT_DEBUG. */
struct turn_counts {
	unsigned events, timers, calls;
};

void plait_i_report_turn(const struct plait_reactor *r);
void plait_i_report_pending(void);

/* trace.c: does what PLAIT_TRACE asks for, for each new reactor. */
void plait_i_trace_reactor_begins(struct plait_reactor *r);
void plait_i_trace_reactor_ends(unsigned number, bool forked);

/* pool.c */
enum { POOL_SIZES = 3 };

struct pool {
	struct pool_input *input;	       /* NULL: nothing was read yet */
	void *desk;			       /* NULL: nobody wants it yet */
	struct plait_list slabs[POOL_SIZES];   /* those with a free block */
	struct pool_block *recent[POOL_SIZES]; /* one unused block each */
	size_t spare;			       /* bytes of empty slabs */
	size_t bufs, bufs_peak;		       /* of what is held, in buffers */
	struct plait_timer trimming;
};

void plait_i_pool_init(struct plait_reactor *r);
void plait_i_pool_done(struct plait_reactor *r);

/* limits.c */
void plait_i_limits_init(struct plait_reactor *r);

/* How far the shutdown is. */
enum shutdown_stage {
	SHUTDOWN_NONE,
	SHUTDOWN_ASKED,	  /* by plait_reactor_stop() */
	SHUTDOWN_WAITING, /* for what the triggers returned */
	SHUTDOWN_CLOSING, /* loses members, and waits for those that close */
	SHUTDOWN_DONE
};

struct plait_reactor {
	struct loop_base base; /* first: see there */
	unsigned forks_begun;  /* how many, when it was made */
	unsigned maker;	       /* the thread; 0: not counted any more */
	unsigned number;       /* of those of the process */
	unsigned trace_number; /* of those that PLAIT_TRACE was there for */
	struct deferred_time time_before; /* this turn, in this thread */

	int64_t now; /* if now_is_known, the time of this callback */
	bool now_is_known;
	bool in_turn;	/* run() or iterate() is on the stack */
	bool running;	/* as the public predicate has it */
	bool in_steps;	/* a run whose turns a simulation takes */
	unsigned depth; /* of plait_i_loop_enter() */
	enum shutdown_stage shutdown;
	bool waits;   /* the shutdown waits for members that close */
	bool hurried; /* by plait_reactor_stop_now() */

	struct plait_list after_callback, next_turn, burials;
	struct plait_list arrivals;	      /* tasks of a test's events */
	struct plait_list members, finishing; /* finishing: those that close */
	struct plait_list leaving; /* members that are lost and did not part */
	struct plait_timer time_to_finish;
	struct plait_list when_freed, kept; /* the first and the last tasks */
	bool ending;			    /* it is being freed */
	bool abandoned;		     /* in a forked child, which has freed it */
	bool unwanted;		     /* ... but is still in a callback of it */
	pthread_t runner;	     /* the thread of run() or iterate() */
	unsigned refusals;	     /* in this callback meanwhile */
	uint64_t rounds, last_begun; /* of losing; when something began */
	unsigned begun;		     /* in how many of them */
	struct loop_untold untold;
	const struct network_ops *network; /* NULL: sockets */
	struct plait_resolver *resolver;   /* NULL: nobody has asked for it */
	struct file_notifier *files;	   /* the same */
	struct plait_pool *threads;	   /* the same */
	struct loop_process_jobs process_jobs;
	uint64_t turns; /* begun so far */

	struct watches watches;
	stream_ready_func *stream_ready; /* of all streams */
	struct timers timers;
	struct deadline_row deadlines[DEADLINE_KINDS];
	struct call_slots calls;
	struct triggers triggers;
	struct thread_calls thread;
	struct signals signals;
	struct turn_counts counts;
	struct pool pool;
};

/* shutdown.c */
void plait_i_shutdown_go_on(struct plait_reactor *r);
bool plait_i_shutdown_is_due(const struct plait_reactor *r);
void plait_i_shutdown_wait_no_longer(struct plait_reactor *r);
void plait_i_shutdown_lose_everything(struct plait_reactor *r);
void plait_i_shutdown_abandon(struct plait_list *members);

enum { NS_PER_S = 1000000000 };

/* Rounds to the nearest nanosecond; beyond 292 years, the latest time. */
static inline int64_t clock_delay(double seconds)
{
	double ns = seconds * NS_PER_S;

	plait_assert(seconds >= 0);
	return ns < (double)INT64_MAX ? (int64_t)(ns + 0.5) : INT64_MAX;
}

static inline int64_t clock_sum(int64_t when, int64_t by)
{
	int64_t sum;

	if (__builtin_add_overflow(when, by, &sum))
		return by < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

/* plait_i_clock_after(), for the files of the loop. */
static inline int64_t clock_after(const struct plait_reactor *r, double seconds)
{
	int64_t now = r->now_is_known ? r->now : plait_i_clock_now(r);

	return clock_sum(now, clock_delay(seconds));
}

/* A list of the reactor itself is never zeroed: one comparison is enough. */
static inline bool loop_has(const struct plait_list *list)
{
	return list->next != list;
}

/* It is called several times a turn, and mostly there is nothing to do. */
static inline bool loop_has_tasks(const struct plait_reactor *r)
{
	return loop_has(&r->after_callback) || loop_has(&r->next_turn) ||
	       loop_has(&r->burials);
}

static inline void loop_run_after_callback(struct plait_reactor *r)
{
	if (loop_has(&r->after_callback))
		plait_i_loop_run_after_callback(r);
}

static inline void loop_run_burials(struct plait_reactor *r)
{
	if (loop_has(&r->burials))
		plait_i_loop_run_burials(r);
}

/* plait_i_loop_enter() and plait_i_loop_leave(), for the files of the loop. */
static inline void loop_enter(struct plait_reactor *r)
{
	if (r->depth++ > 0)
		return;
	r->now_is_known = false;
	trace_note(TRACE_ENTER, r, NULL, NULL, 0);
}

static inline void loop_leave(struct plait_reactor *r)
{
	if (__builtin_expect(trace_is_on(), 0) || loop_has(&r->after_callback))
		plait_i_loop_leave_busy(r);
	else if (--r->depth == 0)
		r->now_is_known = false;
}

static inline bool thread_has_work(const struct plait_reactor *r)
{
	return r->thread.oldest != NULL ||
	       atomic_load_explicit(&r->thread.newest, memory_order_relaxed) !=
		       NULL;
}

static inline bool timer_is_any(const struct plait_reactor *r)
{
	return r->timers.running != 0;
}

/* Timers that are started from here on run in the next turn or later. */
static inline void timer_begin_turn(struct plait_reactor *r)
{
	r->timers.order_before = r->timers.order;
}

static inline void timer_run_due(struct plait_reactor *r)
{
	if (timer_is_any(r))
		plait_i_timer_run_due(r);
	else
		r->timers.unfinished = false;
}

static inline bool watch_has_work(const struct plait_reactor *r)
{
	return r->watches.apart > 0;
}

static inline bool signal_has_come(const struct plait_reactor *r)
{
	return atomic_load_explicit(&r->signals.marks, memory_order_relaxed) !=
	       0;
}

#endif

/*
 * Jobs: functions that block, in threads of a pool, each with a deferred for
 * what it returns.
 *
 * A pool has a name, a limit of threads and a limit of jobs.  Its threads start
 * when there is work, take jobs in the order in which they came, and end when
 * there was none for a while.  All signals are blocked in them but those of
 * errors in the program, as SIGSEGV.  Two pools do not wait for each other.
 *
 * What cancelling a job stops depends on how far the job is.  A job that waits
 * for a thread never begins.  A job that runs cannot be stopped: its deferred
 * fires at once, the job can ask plait_job_is_cancelled(), and its thread is
 * in use until it returns.
 *
 * On a testing reactor, and in a simulation, there are no threads: the jobs of
 * a pool run in the loop, one in each turn.
 */
#ifndef PLAIT_POOL_H
#define PLAIT_POOL_H

#include <plait/deferred.h>
#include <plait/reactor.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_pool;
struct plait_job; /* a job, as its function sees it */

/* Zero means the default. */
struct plait_pool_options {
	unsigned max_threads;  /* 0: one for each processor, 4 to 8 */
	size_t max_queue;      /* jobs beside those that run; 0: 1024 */
	double idle_timeout;   /* a thread without work ends; 0: 10 s */
	double grace;	       /* plait_pool_close() waits so long; 0: 5 s */
	uintptr_t reserved[8]; /* zero */
};

/*
 * Gives a pool whose jobs report to the loop of r, which is borrowed until r is
 * freed.  Makes no thread yet.  name is for people, and copied; a debugger
 * shows it, too.  options may be NULL.  Returns NULL with errno set: ENOMEM, or
 * EINVAL if a reserved word of the options is not 0.  This need not be checked:
 * a job for a NULL pool fails.  A time that is negative or not a number aborts.
 */
struct plait_pool *plait_pool_new(struct plait_reactor *r, const char *name,
				  const struct plait_pool_options *options);

/*
 * Ends the pool.  Jobs that wait for a thread never begin, and fail with
 * AbandonedError from the loop; jobs that run have options.grace to end, and
 * then fail with it.  The threads end.  *pp is NULL afterwards.
 *
 * Gives a deferred that fires from the loop with the number of jobs that still
 * run, an int, which is 0 if all have ended.  Cancelling it ends the grace.  If
 * *pp is NULL the deferred has fired with 0.
 */
struct plait_deferred *plait_pool_close(struct plait_pool **pp,
					const char *where) PLAIT_MUST_USE;
#define plait_pool_close(...) (plait_pool_close)(__VA_ARGS__, PLAIT_HERE)

/*
 * Ends the pool without a grace.  Its jobs fail with AbandonedError before this
 * returns.  It waits for no job, whatever that does; a thread whose job still
 * runs ends later.  Does nothing if *pp is NULL; *pp is NULL afterwards.
 */
void plait_pool_free(struct plait_pool **pp);
/* The same, for __attribute__((cleanup)). */
void plait_pool_cleanup(struct plait_pool **pp);

/*
 * Writes what the pool does as snprintf() would: "<Pool "files": 2 of 4
 * threads, 1 running, 1 abandoned, 3 queued>".  What is abandoned runs, and
 * nobody waits for it any more.  In a forked child there are no threads, and
 * every job that somebody waits for is queued.
 */
int plait_pool_str(const struct plait_pool *pool, char *buf, size_t size);

/*
 * The function of a job: is called in a thread of the pool, and returns a value
 * or a failure, given, which may be made in the thread.  It must not return a
 * deferred.  job is borrowed for the call.
 */
typedef plait_value plait_job_func(struct plait_job *job, void *arg);

/*
 * Calls fn(job, arg) in a thread of the pool, and gives a deferred that fires
 * from the loop with what fn returns.
 *
 * arg is borrowed until free_arg(arg) is called, once and in any case: when fn
 * has returned or will not be called any more, before the deferred fires, and
 * in the loop.  So it may be called inside this call, or inside the cancel.
 * Only if the reactor is freed while fn runs, the thread calls it.  free_arg
 * may be NULL.
 *
 * Cancelling the deferred, or freeing it, takes a job that waits for a thread
 * out of the pool: fn is never called.  A job that runs goes on, and its result
 * is freed in the loop.
 *
 * The deferred fails at once with plait_error_pool_full if the pool has as many
 * jobs as it may, and with OSError if a first thread cannot be made.  It fails
 * with AbandonedError if the pool ends, or the reactor, or if a shutdown of the
 * reactor comes before fn was called or stop_timeout before it has returned.
 * Never returns NULL.
 */
struct plait_deferred *plait_defer_to_pool(struct plait_pool *pool,
					   plait_job_func *fn, void *arg,
					   plait_func *free_arg,
					   const char *where) PLAIT_MUST_USE;
#define plait_defer_to_pool(...) (plait_defer_to_pool)(__VA_ARGS__, PLAIT_HERE)

/* The same, in a pool of the reactor with the default options. */
struct plait_deferred *plait_defer_to_thread(struct plait_reactor *r,
					     plait_job_func *fn, void *arg,
					     plait_func *free_arg,
					     const char *where) PLAIT_MUST_USE;
#define plait_defer_to_thread(...)                                             \
	(plait_defer_to_thread)(__VA_ARGS__, PLAIT_HERE)

/*
 * For fn, in its thread: is true if nobody waits for the result any more, so
 * that fn may return anything at once.
 */
bool plait_job_is_cancelled(const struct plait_job *job);

/*
 * Is told how far a job is, in the loop.  progress is borrowed for the call.
 * arg is the job's; fn may be using it at the same time.
 */
typedef void plait_job_progress(const plait_value *progress, void *arg);

/*
 * For fn, in its thread: has told(progress, arg) called in the loop.  All that
 * one job reports is told in order, and before its deferred fires; nothing is
 * told when that has fired.  progress is taken in any case, and freed in the
 * loop.  Waits for the loop while 64 reports of the job are not told yet.
 *
 * Returns 0; -ECANCELED if nobody waits for the job any more; -EINVAL if
 * progress is a deferred; or -ENOMEM.
 */
int plait_job_report(struct plait_job *job, plait_job_progress *told,
		     plait_value progress);

/* A job was refused, because the pool has as many as it may. */
extern const struct plait_error plait_error_pool_full;

#ifdef __cplusplus
}
#endif

#endif

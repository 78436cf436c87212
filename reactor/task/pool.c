/*
 * Pools of threads, as far as the loop has to do with them.  worker.h has the
 * structs, and says how a job goes to a thread and back; worker.c is what the
 * threads do.
 *
 * A job is in the list jobs as long as somebody waits for it, and is a member
 * of the reactor then, so a shutdown loses it, or waits for it if it runs.  A
 * job that nobody waits for, and that a thread has, is in the list abandoned
 * until the thread hands it back.  The pool stays until both lists are empty
 * and no function of this file is calling the program on its behalf.
 *
 * If the reactor is freed, some jobs will never be handed back.  The pool is
 * closed when that begins, and is left when it is over: what threads are in
 * then is theirs, and the last of them frees the pool.
 *
 * In a forked child there are no threads, and the lock may be held for ever:
 * the child takes no lock, and frees jobs and pools together with the reactor.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/deferred.h"
#include "lib/failure.h"
#include "reactor/task/pool.h"
#include "reactor/task/worker.h"

/* Defined here; whoever calls them here says the place. */
#undef plait_pool_close
#undef plait_defer_to_pool
#undef plait_defer_to_thread

enum { MIN_THREADS = 4, MAX_THREADS = 8, DEFAULT_QUEUE = 1024 };

static const double default_idle_timeout = 10, default_grace = 5;

const struct plait_error plait_error_pool_full = {
	.name = "PoolFullError",
	.text = "The pool has as many jobs as it may.",
	.parent = &plait_error_any,
};

static bool pool_is_forked(const struct plait_pool *pool)
{
	return fork_inherited(pool->forks);
}

/* ---- the end of a job ---------------------------------------------------- */

/* Is called when one of the reasons to keep the pool has gone. */
static void pool_look(struct plait_pool *pool)
{
	if (pool->stage != POOL_OPEN && !pool_is_forked(pool))
		plait_i_loop_next_turn(pool->reactor, &pool->settle);
}

static void pool_release(struct plait_pool *pool)
{
	pool->held--;
	pool_look(pool);
}

/* Takes the promise of a job, which has one, and is in no list then. */
static struct plait_promise *job_take_promise(struct plait_job *j)
{
	struct plait_promise *p = j->promise;

	j->promise = NULL;
	loop_part(&j->member);
	loop_task_cancel(&j->lost);
	plait_list_remove(&j->link);
	j->pool->n_jobs--;
	return p;
}

/* The same, if it has one; nobody waits for it then. */
static struct plait_promise *job_disown(struct plait_job *j)
{
	struct plait_promise *p;

	if (j->promise == NULL)
		return NULL;
	p = job_take_promise(j);
	plait_list_append(&j->pool->abandoned, &j->link);
	j->pool->n_abandoned++;
	return p;
}

/* Frees a job that no thread has, and for which nobody waits. */
static void job_end(struct plait_job *j)
{
	plait_list_remove(&j->link);
	j->pool->n_abandoned--;
	plait_i_worker_free_job(j);
}

/* A thread has handed the job back. */
static void job_told(void *arg)
{
	struct plait_job *j = arg;
	struct plait_pool *pool = j->pool;
	struct plait_promise *p = NULL;
	plait_value v = PLAIT_NONE;

	pool->held++;
	if (j->promise != NULL) {
		p = job_take_promise(j);
		v = plait_value_take(&j->result);
		plait_i_worker_free_job(j);
	} else {
		job_end(j);
	}
	plait_fire(&p, v);
	pool_release(pool);
}

/* Nobody waits for the job any more: it never begins, or is abandoned. */
static struct plait_promise *job_abandon(struct plait_job *j)
{
	struct plait_promise *p = job_disown(j);

	if (plait_i_worker_recall(j))
		job_end(j);
	else
		plait_i_worker_cancel(j);
	return p;
}

static plait_value job_cancel(struct plait_deferred *d, void *arg)
{
	struct plait_job *j = arg;
	struct plait_pool *pool = j->pool;
	struct plait_promise *p;

	if (pool_is_forked(pool)) {
		p = job_disown(j);
	} else {
		pool->held++;
		p = job_abandon(j);
		pool_release(pool);
	}
	plait_promise_drop(&p);
	return plait_cancelled();
}

static void job_fail(struct plait_job *j)
{
	struct plait_pool *pool = j->pool;
	const char *where = j->where;
	bool is_late = j->is_late;
	struct plait_promise *p;

	pool->held++;
	p = job_abandon(j);
	if (is_late)
		plait_fire(&p, plait_i_failure_cancelled_by("reactor freed",
							    where));
	else
		(plait_promise_drop)(&p, where);
	pool_release(pool);
}

/* The job was lost, or the reactor is freed.  No forked child runs this: what
   begins when the reactor is ending is a task of the next turn, too. */
static void job_run_lost(struct loop_task *task)
{
	job_fail(plait_container(task, struct plait_job, lost));
}

/* From here on the job does not begin.  Its deferred fails from the loop. */
static void job_lose(struct plait_job *j)
{
	plait_i_worker_recall(j);
	loop_task_cancel(&j->lost);
	plait_i_loop_next_turn(j->pool->reactor, &j->lost);
}

/* ---- jobs at a shutdown -------------------------------------------------- */

static struct plait_job *job_of(struct loop_member *m)
{
	return plait_container(m, struct plait_job, member);
}

static void job_member_lose(struct loop_member *m)
{
	job_lose(job_of(m));
}

static bool job_member_is_closing(const struct loop_member *m)
{
	const struct plait_job *j =
		plait_container(m, const struct plait_job, member);
	bool is_taken;

	pthread_mutex_lock(&j->pool->lock);
	is_taken = j->state == JOB_TAKEN;
	pthread_mutex_unlock(&j->pool->lock);
	return is_taken;
}

/* The pool forgets its jobs when the reactor has gone. */
static void job_member_abandon(struct loop_member *m)
{
}

static const struct loop_member_ops job_member_ops = {
	.lose = job_member_lose,
	.is_closing = job_member_is_closing,
	.abandon = job_member_abandon,
};

/* ---- giving jobs --------------------------------------------------------- */

/* Why no job can begin; none if it can. */
static plait_value pool_objection(const struct plait_pool *pool,
				  const char *where)
{
	if (pool == NULL)
		return plait_no_memory();
	if (pool->reactor == NULL || pool->stage != POOL_OPEN)
		return (plait_fail)(where, &plait_error_abandoned,
				    "the pool has ended");
	loop_check(pool->reactor, where);
	if (pool_is_forked(pool))
		return (plait_fail_errno)(where, &plait_error_os, ECHILD,
					  "the pool is the parent's");
	if (plait_i_loop_refuses(pool->reactor))
		return plait_i_failure_cancelled_by("reactor freed", where);
	if (pool->n_jobs + pool->n_abandoned >= pool->max_jobs)
		return (plait_fail)(where, &plait_error_pool_full,
				    "the pool \"%s\" has %zu jobs", pool->name,
				    pool->max_jobs);
	return PLAIT_NONE;
}

/* Gives a job that is not begun yet; NULL without memory. */
static struct plait_job *job_alloc(struct plait_pool *pool, const char *where)
{
	struct plait_job *j = slab_get(SLAB_JOB, sizeof(*j));
	bool is_late = plait_i_loop_is_ending(pool->reactor);

	if (j == NULL)
		return NULL;
	*j = (struct plait_job){
		.place = j->place,
		.pool = pool,
		.state = is_late ? JOB_WITHDRAWN : JOB_QUEUED,
		.member.ops = &job_member_ops,
		.lost.run = job_run_lost,
		.is_late = is_late,
		.where = where,
	};
	plait_list_init(&j->reports);
	return j;
}

/* Stores the job, or NULL: with no memory the deferred has failed. */
static struct plait_deferred *job_new(struct plait_pool *pool,
				      const char *where, struct plait_job **ret)
{
	struct plait_job *j = job_alloc(pool, where);
	struct plait_deferred *d;

	*ret = NULL;
	if (j == NULL)
		return (plait_failed)(plait_no_memory(), where);
	d = (plait_deferred_new)(&j->promise, job_cancel, j, where);
	if (j->promise == NULL)
		slab_put(&j->place);
	else
		*ret = j;
	return d;
}

static void job_no_thread(struct plait_job *j, int err)
{
	const char *where = j->where;
	struct plait_promise *p = job_abandon(j);

	plait_fire(&p, err == ENOMEM
			       ? plait_no_memory()
			       : (plait_fail_errno)(where, &plait_error_os, err,
						    "no thread"));
}

/* Threads that had no job since the last time end. */
static void pool_end_idle(void *arg)
{
	struct plait_pool *pool = arg;

	plait_i_worker_trim(pool);
	if (pool->n_workers > 0)
		plait_timer_start(pool->reactor, &pool->trimming,
				  pool->idle_timeout, pool_end_idle, pool);
}

static void job_begin(struct plait_job *j)
{
	struct plait_pool *pool = j->pool;
	struct plait_reactor *r = pool->reactor;
	int rc;

	plait_list_append(&pool->jobs, &j->link);
	pool->n_jobs++;
	if (j->is_late) {
		plait_i_loop_when_freed(r, &j->lost);
		return;
	}
	if (!pool->ignores_shutdowns &&
	    (!plait_i_loop_is_closing(r) || plait_i_loop_tells_of_new(r)))
		plait_i_loop_join(r, &j->member);
	rc = plait_i_worker_give(pool, j);
	if (rc < 0)
		job_no_thread(j, -rc);
	else if (pool->is_in_loop)
		plait_i_loop_next_turn(r, &pool->stand_in);
	else if (rc > 0 && !plait_timer_is_running(&pool->trimming))
		plait_timer_start(r, &pool->trimming, pool->idle_timeout,
				  pool_end_idle, pool);
}

struct plait_deferred *plait_defer_to_pool(struct plait_pool *pool,
					   plait_job_func *fn, void *arg,
					   plait_func *free_arg,
					   const char *where)
{
	plait_value objection = pool_objection(pool, where);
	struct plait_job *j = NULL;
	struct plait_deferred *d;

	if (plait_value_is_none(&objection))
		d = job_new(pool, where, &j);
	else
		d = (plait_failed)(objection, where);
	if (j != NULL) {
		j->fn = fn;
		j->arg = arg;
		j->free_arg = free_arg;
		job_begin(j);
	} else if (free_arg != NULL) {
		free_arg(arg);
	}
	return d;
}

/* Where time is virtual: does what a thread does, in the loop. */
static void pool_run_stand_in(struct loop_task *task)
{
	struct plait_pool *pool =
		plait_container(task, struct plait_pool, stand_in);
	struct plait_reactor *r = pool->reactor;
	struct plait_job *j = plait_i_worker_take(pool);

	if (j == NULL)
		return;
	plait_i_loop_next_turn(r, task);
	plait_i_worker_do(j);
	atomic_store(&j->is_done, true);
	plait_thread_call_queue(r, &j->call, job_told, j);
}

/* ---- the end of a pool --------------------------------------------------- */

/* The loop does not use the memory of the pool any more. */
static void pool_unuse(struct plait_pool *pool)
{
	if (pool_is_forked(pool))
		free(pool);
	else
		plait_i_worker_unuse(pool);
}

static void pool_end(struct plait_pool *pool)
{
	plait_timer_stop(&pool->trimming);
	loop_task_cancel(&pool->stand_in);
	loop_task_cancel(&pool->ending);
	loop_task_cancel(&pool->keep);
	plait_i_worker_leave(pool);
	pool_unuse(pool);
}

static void pool_closed(struct plait_pool *pool)
{
	struct plait_promise *p = pool->closing;

	pool->closing = NULL;
	pool->stage = POOL_FREED;
	plait_timer_stop(&pool->time_to_close);
	plait_fire(&p, plait_int(pool->n_abandoned));
}

static void pool_run_settle(struct loop_task *task)
{
	struct plait_pool *pool =
		plait_container(task, struct plait_pool, settle);

	if (pool->stage == POOL_CLOSING && pool->n_jobs == 0 &&
	    (pool->n_abandoned == 0 || pool->is_out_of_grace))
		pool_closed(pool);
	if (pool->stage == POOL_FREED && pool->n_jobs == 0 &&
	    pool->n_abandoned == 0 && pool->held == 0 && !pool_is_forked(pool))
		pool_end(pool);
}

static void pool_lose_all(struct plait_pool *pool)
{
	struct plait_list *l;

	pool->is_out_of_grace = true;
	plait_timer_stop(&pool->time_to_close);
	plait_list_for_each (l, &pool->jobs)
		job_lose(plait_container(l, struct plait_job, link));
	pool_look(pool);
}

static void pool_grace_is_over(void *arg)
{
	pool_lose_all(arg);
}

static plait_value pool_cancel_closing(struct plait_deferred *d, void *arg)
{
	struct plait_pool *pool = arg;
	struct plait_promise *p = pool->closing;

	pool->closing = NULL;
	pool->stage = POOL_FREED;
	if (!pool_is_forked(pool))
		pool_lose_all(pool);
	plait_promise_drop(&p);
	return plait_cancelled();
}

/* Those that no thread has taken fail. */
static void pool_lose_queued(struct plait_pool *pool)
{
	struct plait_list *l;

	plait_list_for_each (l, &pool->jobs) {
		struct plait_job *j =
			plait_container(l, struct plait_job, link);

		if (plait_i_worker_recall(j))
			job_lose(j);
	}
}

static struct plait_deferred *pool_begin_to_close(struct plait_pool *pool,
						  const char *where)
{
	struct plait_deferred *d =
		(plait_deferred_new)(&pool->closing, pool_cancel_closing, pool,
				     where);

	if (pool->closing == NULL) {
		pool->stage = POOL_FREED;
		pool_lose_all(pool);
		return d;
	}
	pool->stage = POOL_CLOSING;
	pool->closed_at = where;
	pool_lose_queued(pool);
	plait_timer_start(pool->reactor, &pool->time_to_close, pool->grace,
			  pool_grace_is_over, pool);
	pool_look(pool);
	return d;
}

struct plait_deferred *plait_pool_close(struct plait_pool **pp,
					const char *where)
{
	struct plait_pool *pool = pp != NULL ? *pp : NULL;
	plait_value v = plait_int(0);

	if (pool != NULL && pool->reactor != NULL) {
		loop_check(pool->reactor, where);
		if (pool_is_forked(pool))
			v = (plait_fail_errno)(where, &plait_error_os, ECHILD,
					       "the pool is the parent's");
		else if (plait_i_loop_is_ending(pool->reactor))
			v = plait_i_failure_cancelled_by("reactor freed",
							 where);
		else {
			*pp = NULL;
			return pool_begin_to_close(pool, where);
		}
	}
	plait_pool_free(pp);
	return (plait_maybe_deferred)(v, where);
}

void plait_pool_free(struct plait_pool **pp)
{
	struct plait_pool *pool = pp != NULL ? *pp : NULL;
	struct plait_list *l;

	if (pool == NULL)
		return;
	*pp = NULL;
	if (pool->reactor == NULL) {
		pool_unuse(pool);
		return;
	}
	loop_check(pool->reactor, "plait_pool_free()");
	pool->stage = POOL_FREED;
	pool->held++;
	while (!pool_is_forked(pool) &&
	       (l = plait_list_first(&pool->jobs)) != NULL)
		job_fail(plait_container(l, struct plait_job, link));
	pool_release(pool);
}

void plait_pool_cleanup(struct plait_pool **pp)
{
	plait_pool_free(pp);
}

/* ---- the end of the reactor ---------------------------------------------- */

static void pool_run_ending(struct loop_task *task)
{
	struct plait_pool *pool =
		plait_container(task, struct plait_pool, ending);
	struct plait_promise *p = pool->closing;

	if (pool_is_forked(pool))
		return;
	plait_timer_stop(&pool->trimming);
	plait_i_worker_close(pool);
	pool_lose_all(pool);
	if (p == NULL)
		return;
	pool->closing = NULL;
	pool->stage = POOL_FREED;
	(plait_promise_drop)(&p, pool->closed_at);
}

/* Returns true if the job is the loop's to free, not a thread's. */
static bool job_is_left_over(struct plait_job *j)
{
	plait_list_remove(&j->link);
	loop_task_cancel(&j->lost);
	loop_part(&j->member);
	plait_i_deferred_abandon(&j->promise);
	return j->state != JOB_TAKEN || atomic_load(&j->is_done);
}

static void pool_leave_jobs(struct plait_pool *pool)
{
	struct plait_list left_over, *l;

	plait_list_init(&left_over);
	plait_list_move(&pool->jobs, &pool->abandoned);
	if (!pool_is_forked(pool))
		pthread_mutex_lock(&pool->lock);
	pool->is_left = true;
	while ((l = plait_list_first(&pool->jobs)) != NULL) {
		struct plait_job *j =
			plait_container(l, struct plait_job, link);

		if (job_is_left_over(j))
			plait_list_append(&left_over, &j->link);
	}
	if (!pool_is_forked(pool))
		pthread_mutex_unlock(&pool->lock);
	while ((l = plait_list_first(&left_over)) != NULL) {
		plait_list_remove(l);
		plait_i_worker_free_job(
			plait_container(l, struct plait_job, link));
	}
}

/* The reactor has forgotten all calls. */
static void pool_run_keep(struct loop_task *task)
{
	struct plait_pool *pool =
		plait_container(task, struct plait_pool, keep);

	pool_leave_jobs(pool);
	pool->n_jobs = pool->n_abandoned = 0;
	if (pool_is_forked(pool))
		plait_i_worker_forget(pool);
	else
		plait_i_worker_leave(pool);
	plait_i_deferred_abandon(&pool->closing);
	loop_task_cancel(&pool->settle);
	loop_task_cancel(&pool->stand_in);
	pool->reactor = NULL;
	if (pool->stage == POOL_FREED || pool->is_own)
		pool_unuse(pool);
}

/* ---- the beginning ------------------------------------------------------- */

static unsigned pool_default_threads(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	if (n < MIN_THREADS)
		return MIN_THREADS;
	return n < MAX_THREADS ? (unsigned)n : MAX_THREADS;
}

static void pool_init(struct plait_pool *pool, struct plait_reactor *r,
		      const struct plait_pool_options *options)
{
	size_t queue =
		options->max_queue > 0 ? options->max_queue : DEFAULT_QUEUE;

	*pool = (struct plait_pool){
		.reactor = r,
		.forks = loop_owner(r)->forks,
		.told = job_told,
		.users = 1,
		.is_in_loop =
			loop_is_virtual(r) || loop_kernel(r)->ops->is_simulated,
		.max_threads = options->max_threads > 0
				       ? options->max_threads
				       : pool_default_threads(),
		.idle_timeout = options->idle_timeout > 0
					? options->idle_timeout
					: default_idle_timeout,
		.grace = options->grace > 0 ? options->grace : default_grace,
		.settle.run = pool_run_settle,
		.stand_in.run = pool_run_stand_in,
		.ending.run = pool_run_ending,
		.keep.run = pool_run_keep,
	};
	pool->max_jobs = queue < SIZE_MAX - pool->max_threads
				 ? queue + pool->max_threads
				 : SIZE_MAX;
	pthread_mutex_init(&pool->lock, NULL);
	plait_list_init(&pool->queue);
	plait_list_init(&pool->idle);
	plait_list_init(&pool->workers);
	plait_list_init(&pool->jobs);
	plait_list_init(&pool->abandoned);
}

static struct plait_pool *pool_make(struct plait_reactor *r, const char *name,
				    const struct plait_pool_options *options)
{
	struct plait_pool *pool = malloc(sizeof(*pool));

	if (pool == NULL)
		return NULL;
	pool_init(pool, r, options);
	snprintf(pool->name, sizeof(pool->name), "%s", name);
	plait_i_loop_when_freed(r, &pool->ending);
	plait_i_loop_keep(r, &pool->keep);
	return pool;
}

static const struct plait_pool_options pool_defaults;

struct plait_pool *plait_pool_new(struct plait_reactor *r, const char *name,
				  const struct plait_pool_options *options)
{
	loop_check_given(r, "plait_pool_new()", NULL);
	if (options == NULL)
		options = &pool_defaults;
	plait_i_clock_delay(options->idle_timeout);
	plait_i_clock_delay(options->grace);
	if (RESERVED_IN_USE(options)) {
		errno = EINVAL;
		return NULL;
	}
	return pool_make(r, name, options);
}

void plait_i_pool_ignore_shutdowns(struct plait_pool *pool)
{
	pool->ignores_shutdowns = true;
}

struct plait_deferred *plait_defer_to_thread(struct plait_reactor *r,
					     plait_job_func *fn, void *arg,
					     plait_func *free_arg,
					     const char *where)
{
	struct plait_pool **slot;

	loop_check_given(r, "plait_defer_to_thread()", where);
	slot = plait_i_loop_pool(r);
	if (*slot == NULL) {
		*slot = pool_make(r, "threads", &pool_defaults);
		if (*slot != NULL)
			(*slot)->is_own = true;
	}
	return (plait_defer_to_pool)(*slot, fn, arg, free_arg, where);
}

/* A forked child has no threads, so no job runs; and of what they count a
   thread may have been in the middle when the process forked. */
int plait_pool_str(const struct plait_pool *pool, char *buf, size_t size)
{
	struct plait_pool *p = (struct plait_pool *)(uintptr_t)pool;
	size_t queued;
	bool is_forked;

	if (pool == NULL)
		return snprintf(buf, size, "no pool");
	is_forked = pool_is_forked(pool);
	queued = is_forked ? pool->n_jobs : atomic_load(&p->n_queued);
	return snprintf(buf, size,
			"<Pool \"%s\": %u of %u threads, %zu running, "
			"%zu abandoned, %zu queued>",
			pool->name, is_forked ? 0 : pool->n_workers,
			pool->max_threads, pool->n_jobs - queued,
			pool->n_abandoned, queued);
}

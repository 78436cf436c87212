/*
 * The threads of a pool.  worker.h says how a job goes there and back.
 *
 * A thread holds the lock but while it is in a job, so the queue, the list of
 * those that are idle and the state of a job change together.  A job that was
 * withdrawn under the lock before a thread has taken it never begins.
 *
 * Of the threads that are idle, the one that became idle last is woken first.
 * So those that are not needed stay idle, and can be ended.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/exception.h"
#include "reactor/task/worker.h"

enum { MAX_REPORTS = 64, THREAD_NAME = 16 };

struct job_report {
	struct plait_list link; /* of the job's */
	struct plait_thread_call call;
	struct plait_job *job;
	plait_job_progress *told;
	plait_value progress;
};

/* ---- jobs ---------------------------------------------------------------- */

static struct job_report *report_of(struct plait_list *l)
{
	return plait_container(l, struct job_report, link);
}

static void report_free(struct job_report *rp)
{
	plait_value_free(&rp->progress);
	free(rp);
}

OUT_OF_LINE void plait_i_worker_free_job(struct plait_job *j)
{
	plait_func *free_arg = j->free_arg;
	void *arg = j->arg;
	struct plait_list *l;

	while ((l = plait_list_first(&j->reports)) != NULL) {
		plait_list_remove(l);
		report_free(report_of(l));
	}
	if (!plait_value_is_none(&j->result))
		plait_value_free(&j->result);
	slab_put(&j->place);
	if (free_arg != NULL)
		free_arg(arg);
	exception_barrier();
}

OUT_OF_LINE void plait_i_worker_do(struct plait_job *j)
{
	j->result = j->fn(j, j->arg);
	exception_barrier();
	if (plait_value_is(&j->result, &plait_deferred_type))
		plait_die(j->where, "a job has returned a deferred");
}

bool plait_job_is_cancelled(const struct plait_job *job)
{
	return job == NULL ||
	       atomic_load_explicit(&job->is_cancelled, memory_order_relaxed);
}

/* ---- reports ------------------------------------------------------------- */

static OUT_OF_LINE void report_tell(void *arg)
{
	struct job_report *rp = arg;
	struct plait_job *j = rp->job;
	plait_job_progress *told = rp->told;
	plait_value progress = rp->progress;
	void *job_arg = j->arg;
	bool is_wanted = j->promise != NULL;

	pthread_mutex_lock(&j->pool->lock);
	plait_list_remove(&rp->link);
	j->n_reports--;
	if (j->room != NULL)
		pthread_cond_signal(j->room);
	pthread_mutex_unlock(&j->pool->lock);
	free(rp);
	if (is_wanted)
		told(&progress, job_arg);
	plait_value_free(&progress);
	exception_barrier();
}

/* With the lock, which it gives up meanwhile. */
static void report_wait_for_room(struct plait_job *j)
{
	pthread_cond_t room;

	/* In the loop itself nobody else could make room. */
	if (j->pool->is_in_loop)
		return;
	pthread_cond_init(&room, NULL);
	j->room = &room;
	while (j->n_reports >= MAX_REPORTS && !plait_job_is_cancelled(j))
		pthread_cond_wait(&room, &j->pool->lock);
	j->room = NULL;
	pthread_cond_destroy(&room);
}

/* Returns false if nobody wants to be told. */
static bool report_queue(struct job_report *rp)
{
	struct plait_job *j = rp->job;
	struct plait_pool *pool = j->pool;
	bool is_wanted;

	pthread_mutex_lock(&pool->lock);
	if (j->n_reports >= MAX_REPORTS)
		report_wait_for_room(j);
	is_wanted =
		!plait_job_is_cancelled(j) && !atomic_load(&pool->is_closed);
	if (is_wanted) {
		plait_list_append(&j->reports, &rp->link);
		j->n_reports++;
		plait_thread_call_queue(pool->reactor, &rp->call, report_tell,
					rp);
	}
	pthread_mutex_unlock(&pool->lock);
	return is_wanted;
}

int plait_job_report(struct plait_job *job, plait_job_progress *told,
		     plait_value progress)
{
	struct job_report *rp;

	if (plait_value_is(&progress, &plait_deferred_type)) {
		plait_value_free(&progress);
		return -EINVAL;
	}
	if (plait_job_is_cancelled(job)) {
		plait_value_free(&progress);
		return -ECANCELED;
	}
	rp = malloc(sizeof(*rp));
	if (rp == NULL) {
		plait_value_free(&progress);
		return -ENOMEM;
	}
	*rp = (struct job_report){ .job = job,
				   .told = told,
				   .progress = progress };
	if (report_queue(rp))
		return 0;
	report_free(rp);
	return -ECANCELED;
}

/* ---- in the thread ------------------------------------------------------- */

static void worker_free(struct pool_worker *w)
{
	pthread_cond_destroy(&w->wake);
	free(w);
}

void plait_i_worker_unuse(struct plait_pool *pool)
{
	bool is_last;

	pthread_mutex_lock(&pool->lock);
	is_last = --pool->users == 0;
	pthread_mutex_unlock(&pool->lock);
	if (!is_last)
		return;
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

/* With the lock: moves what was given to the end of the queue. */
static void worker_sort(struct plait_pool *pool)
{
	struct plait_list *before = &pool->queue;
	struct plait_list *l = atomic_exchange(&pool->given, NULL);

	while (l != NULL) {
		struct plait_list *older = l->next;

		l->next = NULL;
		plait_list_insert(before, l);
		before = l;
		l = older;
	}
}

/* With the lock: is there a job in the queue? */
static bool worker_finds_job(struct plait_pool *pool)
{
	if (plait_list_is_empty(&pool->queue))
		worker_sort(pool);
	return !plait_list_is_empty(&pool->queue);
}

/* With the lock: this worker is not idle any more. */
static void worker_leave_idle(struct plait_pool *pool, struct plait_list *idle)
{
	plait_list_remove(idle);
	if (--pool->n_idle < pool->least_idle)
		pool->least_idle = pool->n_idle;
}

static void worker_idle(struct pool_worker *w)
{
	struct plait_pool *pool = w->pool;

	plait_list_insert(pool->idle.next, &w->idle);
	pool->n_idle++;
	if (atomic_load(&pool->given) != NULL)
		worker_leave_idle(pool, &w->idle);
	while (plait_list_is_linked(&w->idle))
		pthread_cond_wait(&w->wake, &pool->lock);
}

/* With the lock: takes the first job; there has to be one. */
static struct plait_job *worker_pop(struct plait_pool *pool)
{
	struct plait_job *j =
		plait_container(pool->queue.next, struct plait_job, waiting);

	plait_list_remove(&j->waiting);
	pool->n_queued--;
	j->state = JOB_TAKEN;
	return j;
}

struct plait_job *plait_i_worker_take(struct plait_pool *pool)
{
	struct plait_job *j = NULL;

	pthread_mutex_lock(&pool->lock);
	if (worker_finds_job(pool))
		j = worker_pop(pool);
	pthread_mutex_unlock(&pool->lock);
	return j;
}

/* Returns the next job, or NULL if the thread has to end. */
static struct plait_job *worker_next(struct pool_worker *w)
{
	struct plait_pool *pool = w->pool;

	atomic_store(&w->state, WORKER_FREE);
	while (!w->is_ending && !pool->is_ending && !worker_finds_job(pool))
		worker_idle(w);
	/* The loop waits for a thread that has to end: it takes no job. */
	if (w->is_ending || pool->is_ending)
		return NULL;
	atomic_store(&w->state, WORKER_RUNS);
	return worker_pop(pool);
}

/* Returns false if the reactor has gone.  Else the loop has the job now. */
static bool worker_hand_back(struct pool_worker *w, struct plait_job *j)
{
	struct plait_pool *pool = w->pool;
	bool is_open;

	atomic_store(&w->state, WORKER_TELLS);
	is_open = !atomic_load(&pool->is_closed);
	if (is_open) {
		atomic_store(&j->is_done, true);
		plait_thread_call_queue(pool->reactor, &j->call, pool->told, j);
	}
	atomic_store(&w->state, is_open ? WORKER_FREE : WORKER_RUNS);
	return is_open;
}

static void worker_keep(struct plait_pool *pool, struct plait_job *j)
{
	bool is_mine;

	pthread_mutex_lock(&pool->lock);
	atomic_store(&j->is_done, true);
	is_mine = pool->is_left;
	pthread_mutex_unlock(&pool->lock);
	if (is_mine)
		plait_i_worker_free_job(j);
}

static void worker_take_name(const struct plait_pool *pool)
{
	char name[THREAD_NAME] = "";

	memcpy(name, pool->name, strnlen(pool->name, THREAD_NAME - 1));
	pthread_setname_np(pthread_self(), name);
}

static void *worker_main(void *arg)
{
	struct pool_worker *w = arg;
	struct plait_pool *pool = w->pool;
	struct plait_job *j;
	bool is_detached;

	worker_take_name(pool);
	pthread_mutex_lock(&pool->lock);
	while ((j = worker_next(w)) != NULL) {
		pthread_mutex_unlock(&pool->lock);
		plait_i_worker_do(j);
		if (!worker_hand_back(w, j))
			worker_keep(pool, j);
		pthread_mutex_lock(&pool->lock);
	}
	is_detached = w->is_detached;
	pthread_mutex_unlock(&pool->lock);
	if (is_detached) {
		worker_free(w);
		plait_i_worker_unuse(pool);
	}
	return NULL;
}

/* ---- in the loop: giving jobs -------------------------------------------- */

/* Signals are for the threads of the program, but a thread that does something
   impossible has to be told of that itself. */
static const int own_signals[] = { SIGSEGV, SIGBUS,  SIGFPE, SIGILL,
				   SIGTRAP, SIGABRT, SIGSYS };

/* Returns 0 or -errno. */
static int worker_create(struct pool_worker *w)
{
	sigset_t blocked, before;
	int err;

	sigfillset(&blocked);
	for (size_t i = 0; i < sizeof(own_signals) / sizeof(int); i++)
		sigdelset(&blocked, own_signals[i]);
	err = pthread_sigmask(SIG_SETMASK, &blocked, &before);
	if (err != 0)
		return -err;
	err = pthread_create(&w->id, NULL, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

/* Returns 0 or -errno. */
static int worker_new(struct plait_pool *pool)
{
	struct pool_worker *w = calloc(1, sizeof(*w));
	int rc;

	if (w == NULL)
		return -ENOMEM;
	w->pool = pool;
	pthread_cond_init(&w->wake, NULL);
	rc = worker_create(w);
	if (rc < 0) {
		worker_free(w);
		return rc;
	}
	plait_list_append(&pool->workers, &w->link);
	pool->n_workers++;
	return 0;
}

static struct pool_worker *worker_of(struct plait_list *l)
{
	return plait_container(l, struct pool_worker, link);
}

/* With the lock: wakes a thread that is idle. */
static void worker_wake(struct plait_pool *pool, struct plait_list *idle)
{
	worker_leave_idle(pool, idle);
	pthread_cond_signal(
		&plait_container(idle, struct pool_worker, idle)->wake);
}

/* With the lock: are there more jobs than threads that will look for one? */
static bool worker_is_wanted(struct plait_pool *pool)
{
	size_t n_free = 0;
	struct plait_list *l;

	plait_list_for_each (l, &pool->workers)
		n_free += atomic_load(&worker_of(l)->state) != WORKER_RUNS;
	return pool->n_queued > n_free;
}

static void worker_push(struct plait_pool *pool, struct plait_job *j)
{
	struct plait_list *newest = atomic_load(&pool->given);

	pool->n_queued++;
	do
		j->waiting.next = newest;
	while (!atomic_compare_exchange_weak(&pool->given, &newest,
					     &j->waiting));
}

/* Wakes a thread that is idle.  Returns true if a further one is wanted. */
static bool worker_call(struct plait_pool *pool)
{
	struct plait_list *idle;
	bool is_wanted = false;

	pthread_mutex_lock(&pool->lock);
	idle = plait_list_first(&pool->idle);
	if (idle != NULL)
		worker_wake(pool, idle);
	else if (pool->n_workers < pool->max_threads)
		is_wanted = worker_is_wanted(pool);
	pthread_mutex_unlock(&pool->lock);
	return is_wanted;
}

int plait_i_worker_give(struct plait_pool *pool, struct plait_job *j)
{
	int rc;

	worker_push(pool, j);
	if (pool->is_in_loop || (pool->n_workers == pool->max_threads &&
				 atomic_load(&pool->n_idle) == 0))
		return 0;
	if (!worker_call(pool))
		return 0;
	rc = worker_new(pool);
	if (rc == 0)
		return 1;
	/* Without a further thread the job waits for those that there are. */
	if (pool->n_workers > 0)
		return 0;
	plait_i_worker_recall(j);
	return rc;
}

bool plait_i_worker_recall(struct plait_job *j)
{
	struct plait_pool *pool = j->pool;
	bool was_taken;

	pthread_mutex_lock(&pool->lock);
	worker_sort(pool);
	if (j->state == JOB_QUEUED) {
		plait_list_remove(&j->waiting);
		pool->n_queued--;
		j->state = JOB_WITHDRAWN;
	}
	was_taken = j->state == JOB_TAKEN;
	pthread_mutex_unlock(&pool->lock);
	return !was_taken;
}

void plait_i_worker_cancel(struct plait_job *j)
{
	pthread_mutex_lock(&j->pool->lock);
	atomic_store(&j->is_cancelled, true);
	if (j->room != NULL)
		pthread_cond_signal(j->room);
	pthread_mutex_unlock(&j->pool->lock);
}

/* ---- in the loop: the ends of threads ------------------------------------ */

static void worker_join(struct pool_worker *w)
{
	pthread_join(w->id, NULL);
	plait_list_remove(&w->link);
	w->pool->n_workers--;
	worker_free(w);
}

static void worker_join_all(struct plait_list *workers)
{
	struct plait_list *l;

	while ((l = plait_list_first(workers)) != NULL)
		worker_join(worker_of(l));
}

/* The threads at the end of the list have been idle for longest. */
void plait_i_worker_trim(struct plait_pool *pool)
{
	struct plait_list ending;

	plait_list_init(&ending);
	pthread_mutex_lock(&pool->lock);
	for (unsigned n = pool->least_idle; n > 0; n--) {
		struct pool_worker *w = plait_container(
			pool->idle.prev, struct pool_worker, idle);

		w->is_ending = true;
		worker_wake(pool, &w->idle);
		plait_list_remove(&w->link);
		plait_list_append(&ending, &w->link);
	}
	pool->least_idle = pool->n_idle;
	pthread_mutex_unlock(&pool->lock);
	worker_join_all(&ending);
}

void plait_i_worker_close(struct plait_pool *pool)
{
	struct plait_list *l;

	pthread_mutex_lock(&pool->lock);
	atomic_store(&pool->is_closed, true);
	pthread_mutex_unlock(&pool->lock);
	plait_list_for_each (l, &pool->workers)
		while (atomic_load(&worker_of(l)->state) == WORKER_TELLS)
			sched_yield();
}

/* With the lock. */
static void worker_detach(struct pool_worker *w)
{
	plait_list_remove(&w->link);
	w->pool->n_workers--;
	w->pool->users++;
	w->is_detached = true;
	pthread_detach(w->id);
}

void plait_i_worker_leave(struct plait_pool *pool)
{
	struct plait_list *l, *next;

	pthread_mutex_lock(&pool->lock);
	pool->is_ending = true;
	while ((l = plait_list_first(&pool->idle)) != NULL)
		worker_wake(pool, l);
	plait_list_for_each_safe (l, next, &pool->workers) {
		if (atomic_load(&worker_of(l)->state) == WORKER_RUNS)
			worker_detach(worker_of(l));
	}
	pthread_mutex_unlock(&pool->lock);
	worker_join_all(&pool->workers);
}

void plait_i_worker_forget(struct plait_pool *pool)
{
	struct plait_list *l;

	while ((l = plait_list_first(&pool->workers)) != NULL) {
		plait_list_remove(l);
		free(worker_of(l));
	}
}

/*
 * Pools from the inside.  worker.c is what happens in the threads, pool.c what
 * happens in the loop.
 *
 * A job belongs to the loop, which has it in a list of its pool.  The loop
 * pushes the job to a stack, and takes the lock only if a thread is idle, or if
 * there may have to be another one.  Whoever has the lock moves what is in the
 * stack to the end of the queue before it looks at the queue.  A thread takes
 * the job out of the queue, under the lock, and hands it back with the call of
 * the reactor that the job embeds.  So the way back needs no memory and no
 * lock, and what a job reports and its end come in their order.
 *
 * A thread says that it is idle before it looks at the stack for the last time;
 * the loop pushes before it looks whether a thread is idle.  So one of the two
 * sees the other.
 *
 * Nothing may be queued at a reactor that has gone.  A thread that hands a job
 * back says so (WORKER_TELLS) before it looks whether the pool is closed; the
 * loop closes the pool before it looks whether a thread is telling, and waits
 * for those that are.  A job that ends after that stays in its thread: if the
 * loop has left the pool by then, the thread frees the job.
 */
#ifndef REACTOR_WORKER_H
#define REACTOR_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include <plait/pool.h>

#include "lib/slab.h"
#include "reactor/loop/loop.h"

enum worker_state {
	WORKER_FREE, /* will look for a job, or end */
	WORKER_RUNS, /* is in the function of a job */
	WORKER_TELLS /* hands a job back */
};

struct pool_worker {
	struct plait_list link; /* of the pool's workers; the loop's alone */
	struct plait_list idle; /* of those that wait for a job */
	struct plait_pool *pool;
	pthread_t id;
	pthread_cond_t wake;
	_Atomic(enum worker_state) state;
	bool is_ending;	  /* with the lock: ends when it finds no job */
	bool is_detached; /* with the lock: owns its memory, and uses pool */
};

enum job_state {
	JOB_QUEUED,
	JOB_TAKEN,    /* by a thread */
	JOB_WITHDRAWN /* will not be called */
};

struct plait_job {
	struct slab_object place;
	struct plait_pool *pool;
	plait_job_func *fn;
	void *arg;
	plait_func *free_arg;
	struct plait_thread_call call; /* hands it back */
	plait_value result;
	atomic_bool is_cancelled; /* nobody waits for it */
	atomic_bool is_done;	  /* its function has returned */
	/* With the lock. */
	enum job_state state;
	struct plait_list waiting; /* of the queue, or of those given */
	struct plait_list reports; /* that were not told */
	unsigned n_reports;
	pthread_cond_t *room; /* it waits for them; NULL: it does not */
	/* The loop's alone. */
	struct plait_list link;	       /* of jobs or abandoned */
	struct plait_promise *promise; /* NULL: nobody waits for it */
	struct loop_member member;     /* as long as somebody does */
	struct loop_task lost;	       /* will fail from the loop */
	bool is_late;		       /* begun when the reactor was ending */
	const char *where;
};

enum pool_stage { POOL_OPEN, POOL_CLOSING, POOL_FREED };

struct plait_pool {
	/* Jobs that the loop has pushed, the last of them first, and how many
	   jobs no thread has taken: these and those of the queue. */
	_Atomic(struct plait_list *) given;
	atomic_size_t n_queued;
	pthread_mutex_t lock;
	/* With the lock. */
	struct plait_list queue; /* in their order, behind none that is given */
	struct plait_list idle;	 /* workers; the last to come is the first */
	atomic_uint n_idle;	 /* the loop reads it without */
	unsigned least_idle;
	unsigned users; /* of the memory: the loop, and detached threads */
	bool is_ending; /* threads end when they find no job */
	bool is_left;	/* the loop has gone: a thread frees its job */
	atomic_bool is_closed; /* nothing may be queued at the reactor */
	/* Does not change. */
	struct plait_reactor *reactor; /* NULL: it was freed; the loop's */
	unsigned forks;	  /* how many there were when it was made */
	plait_func *told; /* is called in the loop with a job that is done */
	unsigned max_threads;
	bool is_in_loop; /* jobs run there, because time is virtual */
	char name[64];
	/* The loop's alone. */
	size_t max_jobs;
	double idle_timeout, grace;
	struct plait_list workers;
	unsigned n_workers;
	struct plait_list jobs, abandoned; /* somebody waits, or nobody */
	size_t n_jobs, n_abandoned;
	unsigned held; /* by functions that call the program */
	enum pool_stage stage;
	bool is_own; /* the reactor's */
	bool ignores_shutdowns;
	bool is_out_of_grace;
	struct plait_promise *closing;
	const char *closed_at;
	struct plait_timer trimming, time_to_close;
	struct loop_task settle, stand_in, ending, keep;
};

/* ---- worker.c ------------------------------------------------------------ */

/*
 * Puts a job into the queue, and wakes or makes a thread for it.  Returns 1 if
 * it has made a thread, 0, or -errno if there is no thread: then the job is not
 * in the queue.
 */
int plait_i_worker_give(struct plait_pool *pool, struct plait_job *j);

/* Takes a job out of the queue. Returns false if a thread has taken it. */
bool plait_i_worker_recall(struct plait_job *j);

/* Tells the function of a job that nobody waits for it. */
void plait_i_worker_cancel(struct plait_job *j);

/* Takes the next job, or NULL if there is none. */
struct plait_job *plait_i_worker_take(struct plait_pool *pool);

/* Calls the function of a job. */
void plait_i_worker_do(struct plait_job *j);

/* Ends the threads that had no job since this was called last. */
void plait_i_worker_trim(struct plait_pool *pool);

/* From here on no thread queues anything at the reactor. */
void plait_i_worker_close(struct plait_pool *pool);

/*
 * The loop leaves the pool.  Waits for the ends of all threads that are in no
 * job; the other threads own themselves, and the jobs that they are in.
 */
void plait_i_worker_leave(struct plait_pool *pool);

/* In a forked child: there are no threads.  Frees their structs. */
void plait_i_worker_forget(struct plait_pool *pool);

/* Ends one use of the memory of the pool. */
void plait_i_worker_unuse(struct plait_pool *pool);

/* Frees a job of which nobody knows any more, and all that it has. */
void plait_i_worker_free_job(struct plait_job *j);

#endif

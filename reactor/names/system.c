/*
 * The C library's lookups, in a thread.
 *
 * The loop and the thread share struct system_thread, with a lock that neither
 * holds for long.  A job is in the queue, or runs, or is done; a job that is
 * cancelled while it runs is marked, and the thread frees it.  When a job is
 * done the thread queues one call of the reactor, which tells all jobs that are
 * done.
 *
 * The loop gives the struct up when the resolver has ended the thread, no job
 * is left, and that call is not queued.  If the thread waits for work then, it
 * ends at once and is joined; if the C library still works for a job that was
 * cancelled, the struct becomes the thread's.  After the reactor's end nothing
 * may be queued there; so the struct is closed when that begins.
 *
 * In a forked child there is no thread, and the lock may be held for ever: the
 * child takes no lock.  It frees what is the loop's; what may have been the
 * thread's at that moment it leaves alone.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/names/system.h"

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_DONE, JOB_TOLD };

struct system_job {
	struct plait_list link; /* of queue or done */
	struct system_thread *thread;
	enum job_state state;
	bool is_cancelled; /* while it ran */
	int family;
	system_told *told;
	void *arg;
	union kernel_address address;
	socklen_t length; /* 0: name is looked up */
	struct addrinfo *list;
	int error, err;
	char host[NI_MAXHOST];
	char name[];
};

struct system_thread {
	pthread_mutex_t lock;
	pthread_cond_t work;
	pthread_t id;
	struct plait_list queue, done;
	bool is_busy;	  /* a job runs */
	bool is_closed;	  /* nothing may be queued any more, here or there */
	bool is_detached; /* the struct is the thread's */
	struct plait_thread_call call;
	/* The rest is the loop's alone. */
	struct plait_reactor *reactor;
	struct loop_task ending, keep; /* for the end of the reactor */
	size_t jobs;
	bool is_ended, is_telling;
};

/* ---- in the thread ------------------------------------------------------- */

static void system_run(struct system_job *j)
{
	const struct addrinfo hints = { .ai_family = j->family,
					.ai_socktype = SOCK_STREAM };

	if (j->length > 0)
		j->error = getnameinfo(&j->address.any, j->length, j->host,
				       sizeof(j->host), NULL, 0, NI_NAMEREQD);
	else
		j->error = getaddrinfo(j->name, NULL, &hints, &j->list);
	j->err = errno;
}

static void system_free_job(struct system_job *j)
{
	if (j->list != NULL)
		freeaddrinfo(j->list);
	free(j);
}

static void system_tell(void *arg);

/* Holds the lock, but while the C library works. */
static void system_work(struct system_thread *t)
{
	struct system_job *j =
		plait_container(t->queue.next, struct system_job, link);

	plait_list_remove(&j->link);
	j->state = JOB_RUNNING;
	t->is_busy = true;
	pthread_mutex_unlock(&t->lock);
	system_run(j);
	pthread_mutex_lock(&t->lock);
	t->is_busy = false;
	if (j->is_cancelled) {
		system_free_job(j);
		return;
	}
	j->state = JOB_DONE;
	plait_list_append(&t->done, &j->link);
	if (!t->is_closed)
		plait_thread_call_queue(t->reactor, &t->call, system_tell, t);
}

static void system_free(struct system_thread *t)
{
	pthread_mutex_destroy(&t->lock);
	pthread_cond_destroy(&t->work);
	free(t);
}

static void *system_main(void *arg)
{
	struct system_thread *t = arg;
	bool is_mine;

	pthread_mutex_lock(&t->lock);
	while (!t->is_closed) {
		if (plait_list_is_empty(&t->queue))
			pthread_cond_wait(&t->work, &t->lock);
		else
			system_work(t);
	}
	is_mine = t->is_detached;
	pthread_mutex_unlock(&t->lock);
	if (is_mine)
		system_free(t);
	return NULL;
}

/* ---- in the loop --------------------------------------------------------- */

static void system_lock(struct system_thread *t)
{
	if (!loop_is_forked(t->reactor))
		pthread_mutex_lock(&t->lock);
}

static void system_unlock(struct system_thread *t)
{
	if (!loop_is_forked(t->reactor))
		pthread_mutex_unlock(&t->lock);
}

static void system_close(struct system_thread *t)
{
	system_lock(t);
	t->is_closed = true;
	if (!loop_is_forked(t->reactor))
		pthread_cond_signal(&t->work);
	system_unlock(t);
}

/* The loop does not use t any more. */
static void system_let_go(struct system_thread *t)
{
	pthread_t id = t->id;
	bool is_busy;

	loop_task_cancel(&t->ending);
	loop_task_cancel(&t->keep);
	if (loop_is_forked(t->reactor)) {
		free(t);
		return;
	}
	system_close(t);
	pthread_mutex_lock(&t->lock);
	is_busy = t->is_detached = t->is_busy;
	pthread_mutex_unlock(&t->lock);
	if (is_busy) {
		pthread_detach(id);
	} else {
		pthread_join(id, NULL);
		system_free(t);
	}
}

static bool system_is_called(struct system_thread *t)
{
	return __atomic_load_n(&t->call.state, __ATOMIC_ACQUIRE) != 0;
}

/* Is called whenever one of the reasons to keep t has gone. */
static void system_look(struct system_thread *t)
{
	if (!t->is_ended || t->jobs > 0 || t->is_telling)
		return;
	system_close(t);
	if (!system_is_called(t))
		system_let_go(t);
}

static void system_end_job(struct system_job *j)
{
	struct system_thread *t = j->thread;

	system_free_job(j);
	t->jobs--;
	system_look(t);
}

static struct system_job *system_next_done(struct system_thread *t)
{
	struct system_job *j = NULL;

	system_lock(t);
	if (!plait_list_is_empty(&t->done)) {
		j = plait_container(t->done.next, struct system_job, link);
		plait_list_remove(&j->link);
		j->state = JOB_TOLD;
	}
	system_unlock(t);
	return j;
}

static void system_tell_job(struct system_job *j)
{
	const struct system_result result = {
		.error = j->error,
		.err = j->err,
		.list = j->list,
		.name = j->host,
	};

	j->told(j->arg, &result);
	system_end_job(j);
}

static void system_tell(void *arg)
{
	struct system_thread *t = arg;
	struct system_job *j;

	t->is_telling = true;
	while (!loop_is_forked(t->reactor) && (j = system_next_done(t)) != NULL)
		system_tell_job(j);
	t->is_telling = false;
	system_look(t);
}

/* The reactor begins to end: from here on the thread cannot call it. */
static void system_reactor_ends(struct loop_task *task)
{
	system_close(plait_container(task, struct system_thread, ending));
}

/* It has ended, and has forgotten the call. */
static void system_reactor_ended(struct loop_task *task)
{
	struct system_thread *t =
		plait_container(task, struct system_thread, keep);

	if (t->is_ended && t->jobs == 0)
		system_let_go(t);
}

/* Signals are for the threads of the program.  Returns 0 or -errno. */
static int system_create(struct system_thread *t)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	err = pthread_sigmask(SIG_SETMASK, &all, &before);
	if (err != 0)
		return -err;
	err = pthread_create(&t->id, NULL, system_main, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

static int system_new(struct plait_reactor *r, struct system_thread **ret)
{
	struct system_thread *t = calloc(1, sizeof(*t));
	int rc;

	if (t == NULL)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->work, NULL);
	plait_list_init(&t->queue);
	plait_list_init(&t->done);
	t->reactor = r;
	t->ending.run = system_reactor_ends;
	t->keep.run = system_reactor_ended;
	rc = system_create(t);
	if (rc < 0) {
		system_free(t);
		return rc;
	}
	plait_i_loop_when_freed(r, &t->ending);
	plait_i_loop_keep(r, &t->keep);
	*ret = t;
	return 0;
}

static struct system_job *system_new_job(const struct system_wish *wish)
{
	const char *name = wish->name != NULL ? wish->name : "";
	size_t size = strlen(name) + 1;
	struct system_job *j = malloc(sizeof(*j) + size);

	if (j == NULL)
		return NULL;
	*j = (struct system_job){ .family = wish->family,
				  .told = wish->told,
				  .arg = wish->arg };
	memcpy(j->name, name, size);
	if (wish->name == NULL)
		j->length =
			plait_i_address_to_kernel(&wish->address, &j->address);
	return j;
}

int plait_i_system_start(struct system_thread **tp, struct plait_reactor *r,
			 const struct system_wish *wish,
			 struct system_job **ret)
{
	struct system_job *j;
	struct system_thread *t;
	int rc;

	if (plait_i_loop_is_ending(r))
		return -ESHUTDOWN;
	j = system_new_job(wish);
	if (j == NULL)
		return -ENOMEM;
	rc = *tp == NULL ? system_new(r, tp) : 0;
	if (rc < 0) {
		system_free_job(j);
		return rc;
	}
	t = j->thread = *tp;
	t->jobs++;
	pthread_mutex_lock(&t->lock);
	plait_list_append(&t->queue, &j->link);
	pthread_cond_signal(&t->work);
	pthread_mutex_unlock(&t->lock);
	*ret = j;
	return 0;
}

/* In a forked child the thread may have been about to change the job. */
static void system_cancel_in_child(struct system_job *j)
{
	struct system_thread *t = j->thread;

	free(j);
	t->jobs--;
	system_look(t);
}

void plait_i_system_cancel(struct system_job **jp)
{
	struct system_job *j = *jp;
	struct system_thread *t;
	bool runs;

	*jp = NULL;
	if (j == NULL)
		return;
	t = j->thread;
	if (loop_is_forked(t->reactor)) {
		system_cancel_in_child(j);
		return;
	}
	pthread_mutex_lock(&t->lock);
	runs = j->is_cancelled = j->state == JOB_RUNNING;
	if (!runs)
		plait_list_remove(&j->link);
	pthread_mutex_unlock(&t->lock);
	if (!runs) {
		system_end_job(j);
		return;
	}
	t->jobs--;
	system_look(t);
}

void plait_i_system_end(struct system_thread **tp)
{
	struct system_thread *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	t->is_ended = true;
	system_look(t);
}

/*
 * Jobs in processes, as the loop sees them: plait_defer_to_process().
 *
 * A job waits in the list of the reactor until there are few enough processes,
 * and is a member of the reactor meanwhile, which a shutdown loses.  Then it is
 * a child with a group of its own, whose struct lives until done() of the
 * child.
 *
 *   process_job_start()		makes the child
 *   argument_resume()		writes the argument, a piece each time
 *   process_job_received()	takes the answer, as it comes
 *   process_job_exited()	the child has ended: kills what it has left
 *   process_job_ended()	fires
 *
 * Whoever gives up kills the child and its group at once, so there is nothing
 * that could be waited for.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <plait/pool.h>

#include "lib/base.h"
#include "lib/deferred.h"
#include "lib/failure.h"
#include "reactor/child/process.h"
#include "reactor/child/process_job_main.h"

/* Defined here; whoever calls it here says the place. */
#undef plait_defer_to_process

enum {
	MIN_PROCESSES = 4,
	MAX_PROCESSES = 8,
	DEFAULT_QUEUE = 1024,
	DEFAULT_RESULT = 64 << 20,
	PIECE = 64 << 10 /* of the argument, that is copied at a time */
};

struct process_job {
	struct plait_process_protocol base;
	struct plait_reactor *reactor;
	struct plait_promise *promise; /* NULL: nobody waits for it */
	const char *name;	       /* that of the table */
	const char *where;
	/* Of the argument, how much was written. */
	plait_value argument;
	struct plait_producer producer;
	size_t written;
	/* What has come of the answer. */
	struct process_job_head head;
	size_t of_head;
	struct plait_buf *answer; /* NULL: the head has not come yet */
	size_t max_result;
	/* While it waits. */
	struct plait_list waiting;
	struct loop_member member;
	struct loop_task lost;
	unsigned max_processes;
	struct plait_scope_entry entry;
	bool runs;  /* it has a child, or had one */
	bool ended; /* whoever tells of its end frees it then */
};

const struct plait_error plait_error_process_job = {
	.name = "ProcessJobError",
	.text = "A job in a process has failed.",
	.parent = &plait_error_any,
};

const struct plait_error plait_error_process_job_lost = {
	.name = "ProcessJobLost",
	.text = "The process of a job has ended without an answer.",
	.parent = &plait_error_process_job,
};

static struct process_job *process_job_of(struct plait_process_protocol *p)
{
	return plait_self(p, struct process_job);
}

/* ---- the end ------------------------------------------------------------- */

static void process_job_leave_queue(struct process_job *j)
{
	if (!plait_list_is_linked(&j->waiting))
		return;
	plait_list_remove(&j->waiting);
	plait_i_loop_process_jobs(j->reactor)->n_waiting--;
}

/* The loop calls it no more. */
static void process_job_leave_loop(struct process_job *j)
{
	process_job_leave_queue(j);
	loop_part(&j->member);
	loop_task_cancel(&j->lost);
}

static void process_job_free(struct process_job *j)
{
	process_job_leave_loop(j);
	plait_promise_drop(&j->promise);
	plait_scope_leave(&j->entry);
	plait_value_free(&j->argument);
	plait_buf_unref(&j->answer);
	free(j);
}

static void process_job_abort_pipes(struct process_job *j)
{
	for (int fd = PROCESS_JOB_ARGUMENT; fd <= PROCESS_JOB_ANSWER; fd++) {
		struct plait_transport *t =
			plait_process_transport(&j->base, fd);

		if (t != NULL)
			plait_transport_abort_connection(t);
	}
}

/* Nobody wants what it does any more, and its process is to be gone. */
static void process_job_give_up(struct process_job *j)
{
	plait_i_process_kill(&j->base);
	process_job_abort_pipes(j);
}

/* Takes v, the failure. */
static void process_job_fail(struct process_job *j, plait_value v)
{
	process_job_give_up(j);
	plait_fire(&j->promise, v);
}

/* ---- the argument -------------------------------------------------------- */

static const char *argument_data(const struct process_job *j, size_t *len)
{
	const struct plait_buf *b;
	const char *text;

	*len = 0;
	if (plait_value_is_none(&j->argument))
		return "";
	if (plait_value_is(&j->argument, &plait_text_type)) {
		text = plait_value_text(&j->argument);
		*len = strlen(text);
		return text;
	}
	b = plait_value_buf(&j->argument);
	*len = plait_buf_size(b);
	return plait_buf_data(b);
}

/* All that was written before is sent. */
static void argument_resume(struct plait_producer *p)
{
	struct process_job *j =
		plait_container(p, struct process_job, producer);
	struct plait_transport *t =
		plait_process_transport(&j->base, PROCESS_JOB_ARGUMENT);
	size_t len, n;
	const char *data = argument_data(j, &len);

	n = len - j->written < PIECE ? len - j->written : PIECE;
	if (n > 0)
		plait_transport_write(t, data + j->written, n);
	j->written += n;
	if (j->written < len)
		return;
	plait_transport_unregister_producer(t);
	plait_transport_lose_connection(t);
}

static void argument_stop(struct plait_producer *p)
{
}

static const struct plait_producer_ops argument_ops = {
	.name = "argument",
	.resume = argument_resume,
	.stop = argument_stop,
};

static void process_job_started(struct plait_process_protocol *p)
{
	struct process_job *j = process_job_of(p);
	struct plait_transport *t =
		plait_process_transport(p, PROCESS_JOB_ARGUMENT);
	struct process_job_head head = { .size = 0 };
	size_t len;

	if (t == NULL)
		return;
	argument_data(j, &len);
	head.size = len;
	plait_transport_write(t, &head, sizeof(head));
	j->producer.ops = &argument_ops;
	plait_transport_register_producer(t, &j->producer, false);
}

/* If the child has closed it, its end will say why. */
static void process_job_closed(struct plait_process_protocol *p, int fd,
			       const struct plait_failure *why)
{
	struct process_job *j = process_job_of(p);

	if (j->promise != NULL &&
	    plait_failure_check(why, &plait_error_no_memory))
		process_job_fail(j, plait_no_memory());
}

/* ---- the answer ---------------------------------------------------------- */

static bool answer_is_complete(const struct process_job *j)
{
	return j->answer != NULL &&
	       plait_buf_size(j->answer) == (size_t)j->head.size;
}

/* Returns false if the job has failed. */
static bool answer_begin(struct process_job *j)
{
	void *room;

	if (j->head.size > j->max_result) {
		process_job_fail(
			j,
			(plait_fail_errno)(j->where, &plait_error_os, EMSGSIZE,
					   "a result of %llu bytes of \"%s\"",
					   (unsigned long long)j->head.size,
					   j->name));
		return false;
	}
	j->answer = plait_buf_new((size_t)j->head.size);
	if (j->answer != NULL &&
	    plait_buf_reserve(j->answer, (size_t)j->head.size, &room) == 0)
		return true;
	process_job_fail(j, plait_no_memory());
	return false;
}

/* The beginning of an answer may come in pieces. */
static size_t answer_take_head(struct process_job *j, const void *data,
			       size_t len)
{
	size_t n = sizeof(j->head) - j->of_head;

	n = n < len ? n : len;
	memcpy((char *)&j->head + j->of_head, data, n);
	j->of_head += n;
	return n;
}

static void process_job_received(struct plait_process_protocol *p, int fd,
				 const void *data, size_t len)
{
	struct process_job *j = process_job_of(p);
	size_t n;

	if (j->promise == NULL)
		return;
	n = answer_take_head(j, data, len);
	if (j->of_head < sizeof(j->head) ||
	    (j->answer == NULL && !answer_begin(j)))
		return;
	/* There is room, unless the child says more than it has announced. */
	if (plait_buf_append(j->answer, (const char *)data + n, len - n) < 0)
		process_job_give_up(j);
}

static plait_value answer_value(struct process_job *j)
{
	struct plait_buf *b = j->answer;

	if (!j->head.fails) {
		j->answer = NULL;
		return plait_buf_value(b);
	}
	return (plait_fail_errno)(j->where, &plait_error_process_job,
				  j->head.err, "%s: %.*s", j->name,
				  (int)plait_buf_size(b),
				  (const char *)plait_buf_data(b));
}

static plait_value answer_lost(const struct process_job *j,
			       const struct plait_process_exit *how)
{
	char text[64];

	if (how->unknown)
		snprintf(text, sizeof(text), "has ended, nobody knows how");
	else if (how->signal != 0)
		snprintf(text, sizeof(text), "was ended by signal %d",
			 how->signal);
	else
		snprintf(text, sizeof(text), "gave %d, and no answer",
			 how->code);
	return (plait_fail_with)(j->where, &plait_error_process_job_lost,
				 plait_int(how->signal), "%s %s", j->name,
				 text);
}

/* What it has left in its group ends with it; unless the number of the group
   may be anybody's by now, as somebody else has waited for the child. */
static void process_job_exited(struct plait_process_protocol *p,
			       const struct plait_process_exit *how)
{
	struct process_job *j = process_job_of(p);

	if (!how->unknown)
		plait_i_process_kill(p);
	if (j->promise == NULL || answer_is_complete(j))
		process_job_abort_pipes(j);
}

static void process_job_ended(struct plait_process_protocol *p,
			      const struct plait_process_exit *how)
{
	struct process_job *j = process_job_of(p);

	j->ended = true;
	if (j->promise == NULL)
		return;
	plait_fire(&j->promise, answer_is_complete(j) ? answer_value(j)
						      : answer_lost(j, how));
}

static void process_job_done(struct plait_process_protocol *p)
{
	struct process_job *j = process_job_of(p);
	struct loop_process_jobs *jobs = plait_i_loop_process_jobs(j->reactor);

	jobs->n_running--;
	plait_i_loop_next_turn(j->reactor, &jobs->starting);
	process_job_free(j);
}

static const struct plait_process_ops process_job_ops = {
	.name = "process job",
	.started = process_job_started,
	.received = process_job_received,
	.closed = process_job_closed,
	.exited = process_job_exited,
	.ended = process_job_ended,
	.done = process_job_done,
};

/* If its deferred is left, that frees it. */
static void process_job_abandoned(struct plait_process_protocol *p)
{
	if (process_job_of(p)->promise == NULL)
		process_job_free(process_job_of(p));
}

/* ---- the child ----------------------------------------------------------- */

enum { N_FDS = 5 };

/* This program's own 1 and 2 may be closed. */
static void process_job_set_fds(struct plait_reactor *r,
				struct plait_process_fd *fds)
{
	for (int fd = 0; fd < N_FDS; fd++)
		fds[fd] = (struct plait_process_fd){ .fd = fd, .from = fd };
	for (int fd = 1; fd <= 2; fd++) {
		if (kernel_check(loop_kernel(r), fd) == 0)
			fds[fd].kind = PLAIT_PROCESS_INHERIT;
	}
	fds[PROCESS_JOB_ARGUMENT].kind = PLAIT_PROCESS_READS;
	fds[PROCESS_JOB_ANSWER].kind = PLAIT_PROCESS_WRITES;
}

/* The link is that of the file that runs, whatever its name is now, and names
   now.  Returns 0 or -errno, and what has failed in *step. */
static int process_job_spawn(struct process_job *j, const char **step)
{
	const char *const argv[] = { plait_i_process_jobs_program(),
				     PROCESS_JOB_MARKER, j->name, NULL };
	struct plait_process_fd fds[N_FDS];
	struct plait_process_options o = { .file = "/proc/self/exe",
					   .fds = fds,
					   .n_fds = N_FDS,
					   .new_group = true,
					   .die_with_parent = true };
	int err;

	process_job_set_fds(j->reactor, fds);
	err = plait_spawn(j->reactor, argv, &j->base, &o, step);
	if (err < 0)
		return err;
	plait_i_process_when_abandoned(&j->base, process_job_abandoned);
	plait_i_loop_process_jobs(j->reactor)->n_running++;
	j->runs = true;
	return 0;
}

/* If it fails, j is gone. */
static void process_job_start(struct process_job *j)
{
	const char *step;
	int err;

	process_job_leave_queue(j);
	loop_part(&j->member);
	err = process_job_spawn(j, &step);
	if (err == 0)
		return;
	j->ended = true;
	plait_fire(&j->promise,
		   err == -ENOMEM
			   ? plait_no_memory()
			   : (plait_fail_errno)(j->where, &plait_error_os, -err,
						"a process for \"%s\": %s",
						j->name, step));
	process_job_free(j);
}

/* ---- waiting ------------------------------------------------------------- */

static bool process_job_may_start(const struct process_job *j)
{
	return plait_i_loop_process_jobs(j->reactor)->n_running <
		       j->max_processes &&
	       !plait_i_loop_is_closing(j->reactor);
}

static void process_job_run_starting(struct loop_task *task)
{
	struct loop_process_jobs *jobs =
		plait_container(task, struct loop_process_jobs, starting);
	struct plait_list *l;

	while ((l = plait_list_first(&jobs->waiting)) != NULL) {
		struct process_job *j =
			plait_container(l, struct process_job, waiting);

		if (!process_job_may_start(j))
			return;
		process_job_start(j);
	}
}

static void process_job_run_lost(struct loop_task *task)
{
	process_job_free(plait_container(task, struct process_job, lost));
}

static void process_job_member_lose(struct loop_member *m)
{
	struct process_job *j = plait_container(m, struct process_job, member);

	process_job_leave_queue(j);
	loop_part(m);
	plait_i_loop_next_turn(j->reactor, &j->lost);
}

/* In a forked child, where nobody starts it. */
static void process_job_member_abandon(struct loop_member *m)
{
	loop_part(m);
}

static const struct loop_member_ops process_job_member_ops = {
	.lose = process_job_member_lose,
	.abandon = process_job_member_abandon,
};

static void process_job_wait(struct process_job *j)
{
	struct loop_process_jobs *jobs = plait_i_loop_process_jobs(j->reactor);

	plait_list_append(&jobs->waiting, &j->waiting);
	jobs->n_waiting++;
	if (!plait_i_loop_is_closing(j->reactor) ||
	    plait_i_loop_tells_of_new(j->reactor))
		plait_i_loop_join(j->reactor, &j->member);
}

/* ---- cancelling ---------------------------------------------------------- */

/* True: nobody knows it any more, so whoever calls this frees it. */
static bool process_job_let_go(struct process_job *j)
{
	if (j->runs && !plait_i_process_forget(&j->base)) {
		process_job_give_up(j);
		return false;
	}
	process_job_leave_loop(j);
	return true;
}

static plait_value process_job_cancel(struct plait_deferred *d, void *arg)
{
	struct process_job *j = arg;

	plait_promise_drop(&j->promise);
	if (process_job_let_go(j))
		process_job_free(j);
	return plait_cancelled();
}

/* A callback of the deferred may end the scope, and may free the reactor. */
static void process_job_cancel_by_scope(void *arg)
{
	struct process_job *j = arg;
	bool let_go;

	if (j->ended) {
		plait_scope_leave(&j->entry);
		return;
	}
	let_go = process_job_let_go(j);
	plait_fire(&j->promise, plait_cancelled());
	if (let_go)
		process_job_free(j);
}

/* ---- the beginning ------------------------------------------------------- */

static unsigned process_job_default_processes(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	if (n < MIN_PROCESSES)
		return MIN_PROCESSES;
	return n < MAX_PROCESSES ? (unsigned)n : MAX_PROCESSES;
}

/* Why the job cannot be done; none if it can. */
static plait_value
process_job_objection(struct plait_reactor *r, const char *name,
		      const struct plait_process_job_options *o,
		      const char *where)
{
	size_t max = o->max_queue != 0 ? o->max_queue : DEFAULT_QUEUE;

	if (loop_is_forked(r))
		return (plait_fail_errno)(where, &plait_error_os, ECHILD,
					  "the reactor is the parent's");
	if (plait_i_process_jobs() == NULL)
		return (plait_fail_errno)(where, &plait_error_os, EINVAL,
					  "plait_process_jobs_main() was not "
					  "called");
	if (plait_i_process_job_find(name) == NULL)
		return (plait_fail_errno)(where, &plait_error_os, ENOENT,
					  "no job has the name \"%s\"", name);
	if (RESERVED_IN_USE(o))
		return (plait_fail_errno)(where, &plait_error_os, EINVAL,
					  "options");
	if (plait_i_loop_process_jobs(r)->n_waiting >= max)
		return (plait_fail)(where, &plait_error_pool_full,
				    "%zu jobs wait for a process", max);
	if (plait_i_loop_refuses(r))
		return plait_i_failure_cancelled_by("reactor freed", where);
	return PLAIT_NONE;
}

/* NULL without memory. */
static struct process_job *
process_job_alloc(struct plait_reactor *r, const char *name,
		  const struct plait_process_job_options *o, const char *where)
{
	struct process_job *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return NULL;
	j->base.ops = &process_job_ops;
	j->reactor = r;
	j->name = plait_i_process_job_find(name)->name;
	j->where = where;
	j->max_result = o->max_result != 0 ? o->max_result : DEFAULT_RESULT;
	j->max_processes = o->max_processes != 0
				   ? o->max_processes
				   : process_job_default_processes();
	j->member.ops = &process_job_member_ops;
	j->lost.run = process_job_run_lost;
	plait_i_loop_process_jobs(r)->starting.run = process_job_run_starting;
	return j;
}

/* In its scope and with few enough others. */
static void process_job_begin(struct process_job *j, struct plait_scope *scope)
{
	int err = scope != NULL
			  ? plait_scope_enter(scope, &j->entry,
					      process_job_cancel_by_scope, j)
			  : 0;

	if (err < 0) {
		plait_fire(&j->promise, err == -ENOMEM ? plait_no_memory()
						       : plait_cancelled());
		process_job_free(j);
	} else if (process_job_may_start(j) &&
		   plait_list_is_empty(
			   &plait_i_loop_process_jobs(j->reactor)->waiting)) {
		process_job_start(j);
	} else {
		process_job_wait(j);
	}
}

struct plait_deferred *plait_defer_to_process(
	struct plait_reactor *r, const char *name, plait_value argument,
	const struct plait_process_job_options *options, const char *where)
{
	static const struct plait_process_job_options defaults;
	struct plait_deferred *d;
	struct process_job *j;
	plait_value objection;

	loop_check_given(r, "plait_defer_to_process()", where);
	if (options == NULL)
		options = &defaults;
	if (plait_value_is_failure(&argument))
		return (plait_failed)(argument, where);
	if (!plait_value_is_none(&argument) &&
	    !plait_value_is(&argument, &plait_text_type))
		(plait_value_buf)(&argument, where);
	objection = process_job_objection(r, name, options, where);
	j = plait_value_is_none(&objection)
		    ? process_job_alloc(r, name, options, where)
		    : NULL;
	if (j == NULL) {
		plait_value_free(&argument);
		return (plait_failed)(plait_value_is_none(&objection)
					      ? plait_no_memory()
					      : objection,
				      where);
	}
	j->argument = argument;
	d = (plait_deferred_new)(&j->promise, process_job_cancel, j, where);
	if (j->promise == NULL)
		process_job_free(j);
	else
		process_job_begin(j, options->scope);
	return d;
}

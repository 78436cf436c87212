/*
 * Jobs in processes of their own: the only work that can be killed.
 *
 * A thread that blocks, or spins, cannot be stopped.  A process can.  The
 * program executes itself once more, and the child does one job: it gets bytes,
 * and answers with bytes.  Its jobs have names, which main() says first:
 *
 *	static plait_value hash(const struct plait_buf *argument)
 *	{
 *		...
 *		return plait_buf_value(result);
 *	}
 *
 *	static const struct plait_process_job jobs[] = { { "hash", hash },
 *							 { NULL } };
 *
 *	int main(int argc, char **argv)
 *	{
 *		plait_process_jobs_main(argc, argv, jobs);
 *		...
 *		d = plait_defer_to_process(r, "hash", argument, NULL);
 *
 * The child has no memory of this process, so nothing that the program has done
 * since its main() began is there.
 */
#ifndef PLAIT_PROCESS_JOB_H
#define PLAIT_PROCESS_JOB_H

#include <plait/buf.h>
#include <plait/deferred.h>
#include <plait/reactor.h>
#include <plait/scope.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The function of a job: is called in the child, and may block there, and make
 * a reactor of its own.  argument is borrowed for the call.  Returns a text, a
 * buffer, none, which is no bytes, or a failure; given.
 */
typedef plait_value plait_process_job_func(const struct plait_buf *argument);

struct plait_process_job {
	const char *name;
	plait_process_job_func *fn;
	uintptr_t reserved[2]; /* zero */
};

/*
 * Call this first in main().  In a child that plait_defer_to_process() has made
 * it does the job and ends the process, and never returns.  Elsewhere it
 * returns at once, and jobs are the jobs of this program; a NULL as name ends
 * them.  jobs and argv are borrowed, and must stay until the process ends.
 */
void plait_process_jobs_main(int argc, char **argv,
			     const struct plait_process_job *jobs);

/* Zero means the default. */
struct plait_process_job_options {
	size_t max_result;	/* bytes of the result; 0: 64 MiB */
	unsigned max_processes; /* it waits while so many of the reactor's jobs
				   have a process; 0: one for each processor, 4
				   to 8 */
	size_t max_queue;	/* so many may wait before it; 0: 1024 */
	/* It is cancelled with this scope, which has not ended before the child
	   is gone; NULL: none.  Borrowed for the call. */
	struct plait_scope *scope;
	uintptr_t reserved[8]; /* zero */
};

/*
 * Does the job of that name in a new process.  argument is a text, a buffer, or
 * none, and is taken; a text must stay valid until the deferred has fired.
 * name is borrowed for the call, and so are the options, which may be NULL.
 *
 * Gives a deferred, never NULL.  When the process is gone, the deferred fires
 * with the result, a buffer.  It fails with plait_error_process_job and the
 * text of the failure that fn has returned; with plait_error_process_job_lost
 * if the process has ended without an answer; with plait_error_os and an errno
 * if the process could not be made: ENOENT if there is no such job, EINVAL if
 * plait_process_jobs_main() was not called, EMSGSIZE if the result has more
 * than max_result bytes; with plait_error_pool_full if too many wait; with
 * plait_error_no_memory; and with argument, if that is a failure.
 *
 * Cancelling it kills the process, and whatever the job has started in its
 * group, before the cancel returns.  A job that waits never begins.
 */
struct plait_deferred *
plait_defer_to_process(struct plait_reactor *r, const char *name,
		       plait_value argument,
		       const struct plait_process_job_options *options,
		       const char *where) PLAIT_MUST_USE;
#define plait_defer_to_process(...)                                            \
	(plait_defer_to_process)(__VA_ARGS__, PLAIT_HERE)

/*
 * A job in a process has failed.  The message is the job's name and what its
 * failure says; the errno is that of its failure.
 */
extern const struct plait_error plait_error_process_job;

/*
 * Its process has ended without an answer: a kind of plait_error_process_job.
 * The detail is the number of the signal that has ended it, an int; 0 if it has
 * called exit().
 */
extern const struct plait_error plait_error_process_job_lost;

#ifdef __cplusplus
}
#endif

#endif

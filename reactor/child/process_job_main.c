/*
 * The side of a job's process: from the beginning of main() to exit().
 *
 * The pipes are blocking here, as nothing else is to be done.  They are closed
 * when a program is executed: so what the job starts cannot keep the other side
 * waiting.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"
#include "lib/exception.h"
#include "reactor/child/process_job_main.h"
#include "reactor/kernel/child.h"

enum {
	NOT_OURS = 127, /* the status of a process that cannot do the job */
	TEXT_SIZE = 4096,
	NAME_SIZE = 16 /* of a thread */
};

/* Is there no name in front of the table, it was not given. */
static _Atomic(const struct plait_process_job *) process_jobs;
static const char *process_jobs_program = "";

const struct plait_process_job *plait_i_process_jobs(void)
{
	return atomic_load(&process_jobs);
}

const char *plait_i_process_jobs_program(void)
{
	return process_jobs_program;
}

const struct plait_process_job *plait_i_process_job_find(const char *name)
{
	const struct plait_process_job *j = plait_i_process_jobs();

	for (; j != NULL && j->name != NULL; j++) {
		if (strcmp(j->name, name) == 0)
			return j;
	}
	return NULL;
}

/* ---- the pipes ----------------------------------------------------------- */

PLAIT_NORETURN static void process_job_leave(const char *why)
{
	char line[128];
	int len = snprintf(line, sizeof(line), "plait: %s %s\n",
			   PROCESS_JOB_MARKER, why);

	plait_i_base_say(line, (size_t)len);
	exit(NOT_OURS);
}

/* Returns false if there was an end, or an error, before. */
static bool process_job_read(int fd, void *buf, size_t len)
{
	char *at = buf;

	while (len > 0) {
		ssize_t n = plait_i_linux_children.read(NULL, fd, at, len);

		if (n == 0 || (n < 0 && errno != EINTR))
			return false;
		at += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return true;
}

static void process_job_write(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		struct iovec piece = { (void *)(uintptr_t)at, len };
		ssize_t n = plait_i_linux_children.write(NULL, fd, &piece, 1);

		/* Nobody waits any more. */
		if (n < 0 && errno != EINTR)
			exit(NOT_OURS);
		at += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
}

static int process_job_take_pipe(int fd)
{
	int rc = plait_i_linux_calls.adopt(NULL, fd);

	if (rc < 0)
		process_job_leave("is for plait_defer_to_process() only");
	return rc;
}

/* Given.  If it is cut short, the other side has given up. */
static struct plait_buf *process_job_read_argument(void)
{
	int fd = process_job_take_pipe(PROCESS_JOB_ARGUMENT);
	struct process_job_head head;
	struct plait_buf *b;
	void *room;

	if (!process_job_read(fd, &head, sizeof(head)))
		exit(NOT_OURS);
	b = plait_buf_new((size_t)head.size);
	if (b == NULL || plait_buf_reserve(b, (size_t)head.size, &room) < 0)
		process_job_leave("has no memory");
	if (!process_job_read(fd, room, (size_t)head.size))
		exit(NOT_OURS);
	plait_buf_commit(b, (size_t)head.size);
	plait_i_linux_calls.close(NULL, fd);
	return b;
}

/* ---- the answer ---------------------------------------------------------- */

static void process_job_answer(int fd, const void *data, size_t len, int err,
			       bool fails)
{
	struct process_job_head head = { .size = len,
					 .err = err,
					 .fails = fails };

	process_job_write(fd, &head, sizeof(head));
	process_job_write(fd, data, len);
}

static void process_job_answer_failure(int fd, const struct plait_failure *f)
{
	char text[TEXT_SIZE];
	const char *message = plait_failure_message(f);
	int len = snprintf(text, sizeof(text), "%s%s%s",
			   plait_failure_kind(f)->name,
			   *message != '\0' ? ": " : "", message);

	if (len >= TEXT_SIZE)
		len = TEXT_SIZE - 1;
	process_job_answer(fd, text, (size_t)len, plait_failure_errno(f), true);
}

static void process_job_answer_value(int fd, const plait_value *v,
				     const char *name)
{
	const struct plait_buf *b;
	const char *text;

	if (plait_value_is_failure(v)) {
		process_job_answer_failure(fd, plait_value_failure(v));
	} else if (plait_value_is_none(v)) {
		process_job_answer(fd, "", 0, 0, false);
	} else if (plait_value_is(v, &plait_text_type)) {
		text = plait_value_text(v);
		process_job_answer(fd, text, strlen(text), 0, false);
	} else {
		b = (plait_value_buf)(v, name);
		process_job_answer(fd, plait_buf_data(b), plait_buf_size(b), 0,
				   false);
	}
}

/* ---- main() -------------------------------------------------------------- */

static OUT_OF_LINE plait_value process_job_do(const struct plait_process_job *j,
					      const struct plait_buf *argument)
{
	plait_value v = j->fn(argument);

	exception_barrier();
	return v;
}

/* So that it is seen what the process does. */
static void process_job_take_name(const char *job)
{
	char name[NAME_SIZE] = "";

	memcpy(name, job, strnlen(job, NAME_SIZE - 1));
	pthread_setname_np(pthread_self(), name);
}

PLAIT_NORETURN static void process_job_run(const char *name)
{
	const struct plait_process_job *j = plait_i_process_job_find(name);
	struct plait_buf *argument;
	plait_value v;
	int fd;

	if (j == NULL)
		process_job_leave("names no job of this program");
	fd = process_job_take_pipe(PROCESS_JOB_ANSWER);
	process_job_take_name(name);
	argument = process_job_read_argument();
	v = process_job_do(j, argument);
	process_job_answer_value(fd, &v, name);
	plait_value_free(&v);
	plait_buf_unref(&argument);
	exit(0);
}

void plait_process_jobs_main(int argc, char **argv,
			     const struct plait_process_job *jobs)
{
	if (argc > 0)
		process_jobs_program = argv[0];
	atomic_store(&process_jobs, jobs);
	if (argc == 3 && strcmp(argv[1], PROCESS_JOB_MARKER) == 0)
		process_job_run(argv[2]);
}

/*
 * Watching a process that somebody else has made: plait_process_watch().
 *
 * The descriptor of a process stands for it, also when its number has become
 * another's.  How the process has ended is only looked at, so that whoever has
 * made it can still wait for it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <plait/process.h>

#include "lib/deferred.h"
#include "lib/failure.h"
#include "reactor/child/process.h"

/* Defined here; whoever calls them here says the place. */
#undef plait_process_watch
#undef plait_value_process_exit

struct process_watch {
	struct plait_reactor *reactor;
	struct plait_promise *promise;
	struct kernel_process process;
	struct plait_watch watch;
	struct plait_timer looking; /* whether a tracer has left it */
	struct loop_task reactor_freed;
};

/* ---- how it has ended, as a value ---------------------------------------- */

static int exit_format(const void *ptr, char *buf, size_t size)
{
	const struct plait_process_exit *how = ptr;

	if (how->unknown)
		return snprintf(buf, size, "<exit, unknown>");
	if (how->signal != 0)
		return snprintf(buf, size, "<exit by signal %d>", how->signal);
	return snprintf(buf, size, "<exit with %d>", how->code);
}

const struct plait_type plait_process_exit_type = {
	.name = "process_exit",
	.free = free,
	.format = exit_format,
};

const struct plait_process_exit *plait_value_process_exit(const plait_value *v,
							  const char *where)
{
	return (plait_value_get)(v, &plait_process_exit_type, where);
}

/* ---- the watch ----------------------------------------------------------- */

static void process_watch_end(struct process_watch *w)
{
	plait_watch_stop(&w->watch);
	plait_timer_stop(&w->looking);
	loop_task_cancel(&w->reactor_freed);
	if (w->process.fd >= 0)
		process_calls(w->reactor)
			->forget(loop_kernel(w->reactor), &w->process,
				 loop_is_forked(w->reactor));
	free(w);
}

static plait_value process_watch_value(const struct plait_process_exit *how)
{
	struct plait_process_exit *copy = malloc(sizeof(*copy));

	if (copy == NULL)
		return plait_no_memory();
	*copy = *how;
	return plait_value_make(&plait_process_exit_type, copy);
}

static void process_watch_look(void *arg)
{
	struct process_watch *w = arg;
	struct plait_promise *p = w->promise;
	struct plait_process_exit how;
	siginfo_t info;

	plait_i_process_exit_init(&how);
	if (process_calls(w->reactor)
		    ->reap(loop_kernel(w->reactor), &w->process, WNOWAIT,
			   &info) == 0) {
		plait_i_process_exit_note(&how, &info);
	} else if (errno == EAGAIN) {
		plait_i_process_wait_for_tracer(&w->watch, w->reactor,
						&w->looking, process_watch_look,
						w);
		return;
	} else {
		how.unknown = true;
	}
	process_watch_end(w);
	plait_fire(&p, process_watch_value(&how));
}

static void process_watch_ready(struct plait_watch *watch, unsigned events)
{
	struct process_watch *w =
		plait_container(watch, struct process_watch, watch);

	/* Somebody has closed it, and its number may be another's. */
	if (events & PLAIT_WATCH_LOST)
		w->process.fd = -1;
	process_watch_look(w);
}

static plait_value process_watch_cancel(struct plait_deferred *d, void *arg)
{
	struct process_watch *w = arg;

	plait_promise_drop(&w->promise);
	process_watch_end(w);
	return plait_cancelled();
}

static void process_watch_reactor_freed(struct loop_task *task)
{
	struct process_watch *w =
		plait_container(task, struct process_watch, reactor_freed);
	struct plait_promise *p = w->promise;
	bool is_forked = loop_is_forked(w->reactor);

	process_watch_end(w);
	if (is_forked)
		plait_i_deferred_abandon(&p);
	else
		plait_promise_drop(&p);
}

/* ---- the beginning ------------------------------------------------------- */

/* Returns 0 or -errno. */
static int process_watch_find(struct process_watch *w, pid_t pid)
{
	struct plait_reactor *r = w->reactor;
	int err;

	if (loop_is_forked(r))
		return -ECHILD;
	if (loop_kernel(r)->calls->children == NULL)
		return -ENOTSUP;
	if (process_calls(r)->find(loop_kernel(r), pid, &w->process) < 0)
		return -errno;
	err = plait_watch_start(r, &w->watch, w->process.fd, PLAIT_WATCH_READ,
				process_watch_ready);
	if (err < 0)
		process_calls(r)->forget(loop_kernel(r), &w->process, false);
	return err;
}

static void process_watch_fail(struct process_watch *w, pid_t pid, int err)
{
	struct plait_promise *p = w->promise;

	free(w);
	if (err == -ENOMEM)
		plait_fire(&p, plait_no_memory());
	else
		plait_fire(&p,
			   plait_fail_errno(&plait_error_os, -err,
					    "watching process %ld", (long)pid));
}

struct plait_deferred *plait_process_watch(struct plait_reactor *r, pid_t pid,
					   const char *where)
{
	struct process_watch *w;
	struct plait_deferred *d;
	int err;

	loop_check_given(r, "plait_process_watch()", where);
	if (plait_i_loop_refuses(r))
		return (plait_failed)(plait_i_failure_cancelled_by(
					      "reactor freed", where),
				      where);
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return (plait_failed)(plait_no_memory(), where);
	w->reactor = r;
	w->reactor_freed.run = process_watch_reactor_freed;
	d = (plait_deferred_new)(&w->promise, process_watch_cancel, w, where);
	if (w->promise == NULL) {
		free(w);
		return d;
	}
	err = process_watch_find(w, pid);
	if (err < 0)
		process_watch_fail(w, pid, err);
	else
		plait_i_loop_when_freed(r, &w->reactor_freed);
	return d;
}

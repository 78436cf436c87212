/*
 * Running a program for what it writes: plait_run().
 *
 * The struct lives until done() of its child.  The result is fired by whichever
 * knows it first: the end of the child, a buffer that is full, or a cancel.
 * What the child writes after that is read and dropped, so that it can end in
 * order; and when it has exited then, nobody waits for those who still have its
 * pipes.
 *
 * While the reactor shuts down, or is freed, nothing is run any more.  Then the
 * result is fired by the loop, and not in the call: an errback that runs the
 * program again would recurse without end.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <plait/run.h>

#include "lib/base.h"
#include "reactor/child/process.h"

/* Defined here; whoever calls them here says the place. */
#undef plait_run
#undef plait_value_output

enum { DEFAULT_MAX = 1 << 20, NAME_SIZE = 64, LINE_SIZE = 160 };

struct running {
	struct plait_process_protocol base;
	struct plait_promise *promise;
	plait_value input;
	struct plait_output *output; /* NULL: it was fired, or dropped */
	struct plait_scope_entry entry;
	struct plait_reactor
		*reactor; /* which runs nothing any more, or NULL */
	struct loop_task refusal;
	bool exited;
	bool ended; /* its done() follows, and frees it */
	char name[NAME_SIZE];
};

const struct plait_error plait_error_process = {
	.name = "ProcessTerminated",
	.text = "A process has ended with a probable error condition.",
	.parent = &plait_error_any,
};

/* ---- the output ---------------------------------------------------------- */

static void output_free(void *ptr)
{
	struct plait_output *o = ptr;

	if (o == NULL)
		return;
	plait_buf_unref(&o->out);
	plait_buf_unref(&o->err);
	free(o);
}

static int output_format(const void *ptr, char *buf, size_t size)
{
	const struct plait_output *o = ptr;

	return snprintf(buf, size, "<output, %zu bytes and %zu bytes>",
			plait_buf_size(o->out), plait_buf_size(o->err));
}

const struct plait_type plait_output_type = {
	.name = "output",
	.free = output_free,
	.format = output_format,
};

const struct plait_output *plait_value_output(const plait_value *v,
					      const char *where)
{
	return (plait_value_get)(v, &plait_output_type, where);
}

static struct plait_output *output_new(size_t max)
{
	struct plait_output *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	o->out = plait_buf_new(max);
	o->err = plait_buf_new(max);
	if (o->out != NULL && o->err != NULL)
		return o;
	output_free(o);
	return NULL;
}

/* The last line that is not empty, without what ends it; "" if there is none.
 */
static void output_last_line(const struct plait_buf *b, char line[LINE_SIZE])
{
	const char *data = plait_buf_data(b);
	size_t end = plait_buf_size(b), begin, len;

	while (end > 0 && (data[end - 1] == '\n' || data[end - 1] == '\r'))
		end--;
	for (begin = end; begin > 0 && data[begin - 1] != '\n'; begin--)
		;
	len = end - begin < LINE_SIZE ? end - begin : LINE_SIZE - 1;
	if (len > 0)
		memcpy(line, data + begin, len);
	line[len] = '\0';
}

static plait_value output_failure(struct plait_output *o, const char *name)
{
	char line[LINE_SIZE], how[NAME_SIZE];

	output_last_line(o->err, line);
	if (o->how.unknown)
		snprintf(how, sizeof(how), "has ended, nobody knows how");
	else if (o->how.signal != 0)
		snprintf(how, sizeof(how), "was ended by signal %d",
			 o->how.signal);
	else
		snprintf(how, sizeof(how), "gave %d", o->how.code);
	return plait_fail_with(
		&plait_error_process, plait_value_make(&plait_output_type, o),
		"%s %s%s%s", name, how, *line != '\0' ? ": " : "", line);
}

/* ---- the child ----------------------------------------------------------- */

static struct running *running_of(struct plait_process_protocol *p)
{
	return plait_self(p, struct running);
}

static void running_free(struct running *self)
{
	loop_task_cancel(&self->refusal);
	plait_promise_drop(&self->promise);
	plait_scope_leave(&self->entry);
	plait_value_free(&self->input);
	output_free(self->output);
	free(self);
}

/* Nobody waits for its pipes any more. */
static void running_abort_pipes(struct running *self)
{
	for (int fd = 0; fd <= 2; fd++) {
		struct plait_transport *t =
			plait_process_transport(&self->base, fd);

		if (t != NULL)
			plait_transport_abort_connection(t);
	}
}

/* Nobody wants what it does any more. */
static void running_give_up(struct running *self)
{
	struct plait_transport *t = plait_process_transport(&self->base, 0);

	output_free(self->output);
	self->output = NULL;
	if (t != NULL)
		plait_transport_abort_connection(t);
	plait_process_stop(&self->base);
	if (self->exited)
		running_abort_pipes(self);
}

static void run_started(struct plait_process_protocol *p)
{
	struct plait_transport *t = plait_process_transport(p, 0);
	struct running *self = running_of(p);

	if (t == NULL)
		return;
	if (!plait_value_is_none(&self->input))
		plait_then_write(&self->input, t);
	plait_value_free(&self->input);
	plait_transport_lose_connection(t);
}

static void run_received(struct plait_process_protocol *p, int fd,
			 const void *data, size_t len)
{
	struct running *self = running_of(p);
	struct plait_buf *b;
	plait_value why;
	int err;

	if (self->output == NULL)
		return;
	b = fd == 1 ? self->output->out : self->output->err;
	err = plait_buf_append(b, data, len);
	if (err == 0)
		return;
	why = err == -ENOMEM ? plait_no_memory()
			     : plait_fail_errno(&plait_error_os, -err,
						"more than %zu bytes from %s",
						plait_buf_max(b), self->name);
	running_give_up(self);
	plait_fire(&self->promise, why);
}

static void run_exited(struct plait_process_protocol *p,
		       const struct plait_process_exit *how)
{
	struct running *self = running_of(p);

	self->exited = true;
	if (self->output != NULL)
		self->output->how = *how;
	else
		running_abort_pipes(self);
}

static void run_ended(struct plait_process_protocol *p,
		      const struct plait_process_exit *how)
{
	struct running *self = running_of(p);
	struct plait_output *o = self->output;

	self->ended = true;
	if (o == NULL)
		return;
	self->output = NULL;
	plait_fire(&self->promise,
		   how->code == 0 ? plait_value_make(&plait_output_type, o)
				  : output_failure(o, self->name));
}

static void run_done(struct plait_process_protocol *p)
{
	running_free(running_of(p));
}

static const struct plait_process_ops run_ops = {
	.name = "run",
	.started = run_started,
	.received = run_received,
	.exited = run_exited,
	.ended = run_ended,
	.done = run_done,
};

/* If its deferred is left, that frees it. */
static void run_abandoned(struct plait_process_protocol *p)
{
	if (running_of(p)->promise == NULL)
		running_free(running_of(p));
}

/* ---- cancelling ---------------------------------------------------------- */

static plait_value run_cancel(struct plait_deferred *d, void *arg)
{
	struct running *self = arg;

	plait_promise_drop(&self->promise);
	if (plait_i_process_forget(&self->base))
		running_free(self);
	else
		running_give_up(self);
	return plait_cancelled();
}

/* A callback of the deferred may end the scope, and may free the reactor. */
static void run_cancel_by_scope(void *arg)
{
	struct running *self = arg;
	bool forgotten;

	if (self->ended) {
		plait_scope_leave(&self->entry);
		return;
	}
	forgotten = plait_i_process_forget(&self->base);
	if (!forgotten)
		running_give_up(self);
	plait_fire(&self->promise, plait_cancelled());
	if (forgotten)
		running_free(self);
}

/* ---- the beginning ------------------------------------------------------- */

static const struct plait_process_fd run_fds[] = {
	{ .fd = 0, .kind = PLAIT_PROCESS_READS },
	{ .fd = 1, .kind = PLAIT_PROCESS_WRITES },
	{ .fd = 2, .kind = PLAIT_PROCESS_WRITES },
};

/* The name without its directories, for messages. */
static void running_set_name(struct running *self, const char *const *argv)
{
	const char *name = argv != NULL && argv[0] != NULL ? argv[0] : "";
	const char *slash = strrchr(name, '/');

	snprintf(self->name, sizeof(self->name), "%s",
		 slash != NULL ? slash + 1 : name);
}

/* Takes input; NULL with no memory. */
static struct running *running_new(plait_value input, size_t max)
{
	struct running *self = calloc(1, sizeof(*self));

	if (self != NULL)
		self->output = output_new(max != 0 ? max : DEFAULT_MAX);
	if (self == NULL || self->output == NULL) {
		plait_value_free(&input);
		free(self);
		return NULL;
	}
	self->base.ops = &run_ops;
	self->input = input;
	return self;
}

/* Returns 0 or -errno, and what has failed in *step. */
static int running_start(struct running *self, struct plait_reactor *r,
			 const char *const *argv,
			 const struct plait_run_options *o, const char **step)
{
	struct plait_process_options with = o->process;
	int err;

	*step = "arguments";
	if (RESERVED_IN_USE(o) || with.fds != NULL || with.n_fds != 0 ||
	    with.pty)
		return -EINVAL;
	with.fds = run_fds;
	with.n_fds = sizeof(run_fds) / sizeof(*run_fds);
	err = o->scope != NULL ? plait_scope_enter(o->scope, &self->entry,
						   run_cancel_by_scope, self)
			       : 0;
	if (err == 0)
		err = plait_spawn(r, argv, &self->base, &with, step);
	if (err == 0)
		plait_i_process_when_abandoned(&self->base, run_abandoned);
	return err;
}

static void running_fail(struct running *self, int err, const char *step)
{
	if (err == -ECANCELED)
		plait_fire(&self->promise, plait_cancelled());
	else if (err == -ENOMEM)
		plait_fire(&self->promise, plait_no_memory());
	else
		plait_fire(&self->promise,
			   plait_fail_errno(&plait_error_os, -err,
					    "running %s: %s", self->name,
					    step));
	running_free(self);
}

static void running_run_refusal(struct loop_task *task)
{
	struct running *self = plait_container(task, struct running, refusal);

	if (!loop_is_forked(self->reactor))
		running_fail(self, -ESHUTDOWN, "arguments");
}

/* If a shutdown does not end for that, the end of the reactor comes next. */
static void running_refuse(struct running *self, struct plait_reactor *r)
{
	self->reactor = r;
	self->refusal.run = running_run_refusal;
	if (!plait_i_loop_is_ending(r) && plait_i_loop_tells_of_new(r))
		plait_i_loop_next_turn(r, &self->refusal);
	else
		plait_i_loop_when_freed(r, &self->refusal);
}

struct plait_deferred *plait_run(struct plait_reactor *r,
				 const char *const *argv, plait_value input,
				 const struct plait_run_options *options,
				 const char *where)
{
	static const struct plait_run_options defaults;
	const struct plait_run_options *o =
		options != NULL ? options : &defaults;
	struct plait_deferred *d;
	struct running *self;
	const char *step;
	int err;

	loop_check_given(r, "plait_run()", where);
	if (plait_value_is_failure(&input))
		return (plait_failed)(input, where);
	if (!plait_value_is_none(&input) &&
	    !plait_value_is(&input, &plait_text_type))
		(plait_value_buf)(&input, where);
	self = running_new(input, o->max_output);
	if (self == NULL)
		return (plait_failed)(plait_no_memory(), where);
	running_set_name(self, argv);
	d = (plait_deferred_new)(&self->promise, run_cancel, self, where);
	if (self->promise == NULL) {
		running_free(self);
		return d;
	}
	err = running_start(self, r, argv, o, &step);
	if (err == -ESHUTDOWN)
		running_refuse(self, r);
	else if (err < 0)
		running_fail(self, err, step);
	return d;
}

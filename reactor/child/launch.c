/*
 * Making a child: plait_spawn().
 *
 * Everything that can fail is done before there is a child: its pipes, with
 * their transports, the files to try, the trigger of the shutdown.  Only then
 * it is made, and it says itself what it cannot do.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base.h"
#include "reactor/child/process.h"
#include "reactor/child/search.h"
#include "reactor/net/pipe_stream.h"
#include "reactor/net/protocol.h"

static const double default_grace = 5; /* seconds */

enum { DEFAULT_FDS = 3 };

/* What a child is made of.  Each of the arrays has an element for each of its
   descriptors. */
struct process_plan {
	struct plait_process *child;
	struct spawn spawn;
	const char **paths;
	int *theirs;  /* what the child gets, to be closed here; -1: none */
	int terminal; /* what the child gets as its terminal; -1: nothing yet */
};

static const struct plait_process_fd terminal_fds[DEFAULT_FDS] = {
	{ .fd = 1, .kind = PLAIT_PROCESS_TERMINAL },
	{ .fd = 0, .kind = PLAIT_PROCESS_TERMINAL },
	{ .fd = 2, .kind = PLAIT_PROCESS_TERMINAL },
};

static const struct plait_process_fd default_fds[DEFAULT_FDS] = {
	{ .fd = 0, .kind = PLAIT_PROCESS_NULL },
	{ .fd = 1, .kind = PLAIT_PROCESS_INHERIT, .from = 1 },
	{ .fd = 2, .kind = PLAIT_PROCESS_INHERIT, .from = 2 },
};

static int plan_fail(const char **step, const char *what, int err)
{
	*step = what;
	return err;
}

/* NULL: there is no memory. */
static struct process_pipe *plan_add_pipe(struct process_plan *plan, size_t i,
					  const struct plait_protocol_ops *ops)
{
	struct plait_protocol *base = plait_protocol_new(ops);
	struct process_pipe *p;

	if (base == NULL)
		return NULL;
	p = process_pipe(base);
	p->of = plan->child;
	p->fd = plan->spawn.moves[i].to;
	plait_list_append(&plan->child->pipes, &p->link);
	return p;
}

static int plan_open_pipe(struct process_plan *plan, struct process_pipe *p,
			  const struct stream_io *io, int ours,
			  const char **step)
{
	const struct plait_address nobody = { .family = AF_UNSPEC };

	p->made_of = plait_i_stream_new(io, plan->child->reactor, ours, &nobody,
					NULL);
	return p->made_of == NULL ? plan_fail(step, "watch", -errno) : 0;
}

static int plan_pipe(struct process_plan *plan, size_t i, bool they_read,
		     const char **step)
{
	struct plait_reactor *r = plan->child->reactor;
	struct process_pipe *p =
		plan_add_pipe(plan, i, &plait_i_process_pipe_ops);
	int ours;

	if (p == NULL)
		return plan_fail(step, "malloc", -ENOMEM);
	if (process_calls(r)->pipe(loop_kernel(r), they_read, &ours,
				   &plan->theirs[i]) < 0)
		return plan_fail(step, "pipe", -errno);
	plan->spawn.moves[i].from = plan->theirs[i];
	return plan_open_pipe(plan, p,
			      they_read ? &plait_i_pipe_writer
					: &plait_i_pipe_reader,
			      ours, step);
}

static int plan_make_terminal(struct process_plan *plan, size_t i,
			      const struct plait_process_options *o,
			      const char **step)
{
	struct plait_reactor *r = plan->child->reactor;
	struct process_pipe *p =
		plan_add_pipe(plan, i, &plait_i_process_terminal_ops);
	int ours;

	if (p == NULL)
		return plan_fail(step, "malloc", -ENOMEM);
	if (process_calls(r)->terminal(loop_kernel(r), o->rows, o->columns,
				       &ours, &plan->theirs[i]) < 0)
		return plan_fail(step, "terminal", -errno);
	plan->terminal = plan->theirs[i];
	plan->spawn.terminal = plan->spawn.moves[i].to;
	return plan_open_pipe(plan, p, &plait_i_terminal, ours, step);
}

/* The first makes it, and all are the same. */
static int plan_terminal(struct process_plan *plan, size_t i,
			 const struct plait_process_options *o,
			 const char **step)
{
	struct plait_process *c = plan->child;
	int err = 0;

	if (!o->pty)
		return plan_fail(step, "options", -EINVAL);
	if (plan->terminal < 0)
		err = plan_make_terminal(plan, i, o, step);
	plan->spawn.moves[i].from = plan->terminal;
	c->terminal[c->n_terminal++] = plan->spawn.moves[i].to;
	return err;
}

static int plan_null(struct process_plan *plan, size_t i, const char **step)
{
	struct plait_reactor *r = plan->child->reactor;
	int fd = process_calls(r)->null(loop_kernel(r));

	if (fd < 0)
		return plan_fail(step, "/dev/null", -errno);
	plan->theirs[i] = plan->spawn.moves[i].from = fd;
	return 0;
}

static int plan_descriptor(struct process_plan *plan, size_t i,
			   const struct plait_process_options *o,
			   const struct plait_process_fd *fd, const char **step)
{
	plan->theirs[i] = -1;
	plan->spawn.moves[i].to = fd->fd;
	switch (fd->kind) {
	case PLAIT_PROCESS_NULL:
		return plan_null(plan, i, step);
	case PLAIT_PROCESS_INHERIT:
		plan->spawn.moves[i].from = fd->from;
		return 0;
	case PLAIT_PROCESS_READS:
	case PLAIT_PROCESS_WRITES:
		return plan_pipe(plan, i, fd->kind == PLAIT_PROCESS_READS,
				 step);
	case PLAIT_PROCESS_TERMINAL:
		return plan_terminal(plan, i, o, step);
	}
	return plan_fail(step, "options", -EINVAL);
}

static bool plan_has_twice(const struct plait_process_fd *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < i; j++) {
			if (fds[i].fd == fds[j].fd)
				return true;
		}
		if (fds[i].fd < 0)
			return true;
	}
	return false;
}

static int plan_descriptors(struct process_plan *plan,
			    const struct plait_process_options *o,
			    const struct plait_process_fd *fds, size_t n,
			    const char **step)
{
	int err = 0;

	if (plan_has_twice(fds, n))
		return plan_fail(step, "options", -EINVAL);
	plan->spawn.moves = calloc(n + 1, sizeof(*plan->spawn.moves));
	plan->theirs = calloc(n + 1, sizeof(*plan->theirs));
	if (plan->spawn.moves == NULL || plan->theirs == NULL)
		return plan_fail(step, "malloc", -ENOMEM);
	for (size_t i = 0; i < n && err == 0; i++) {
		err = plan_descriptor(plan, i, o, &fds[i], step);
		plan->spawn.n_moves = i + 1;
	}
	if (err == 0 && o->pty && plan->terminal < 0)
		return plan_fail(step, "options", -EINVAL);
	return err;
}

/* This program's own 1 and 2 may be closed. */
static int plan_default_descriptors(struct process_plan *plan,
				    const struct plait_process_options *o,
				    const char **step)
{
	struct kernel *k = loop_kernel(plan->child->reactor);
	struct plait_process_fd fds[DEFAULT_FDS];

	for (size_t i = 0; i < DEFAULT_FDS; i++) {
		fds[i] = default_fds[i];
		if (kernel_check(k, fds[i].fd) == -EBADF)
			fds[i].kind = PLAIT_PROCESS_NULL;
	}
	return plan_descriptors(plan, o, fds, DEFAULT_FDS, step);
}

static int plan_all_descriptors(struct process_plan *plan,
				const struct plait_process_options *o,
				const char **step)
{
	if (o->fds != NULL)
		return plan_descriptors(plan, o, o->fds, o->n_fds, step);
	if (o->pty)
		return plan_descriptors(plan, o, terminal_fds, DEFAULT_FDS,
					step);
	return plan_default_descriptors(plan, o, step);
}

static bool plan_is_simulated(const struct process_plan *plan)
{
	return loop_kernel(plan->child->reactor)->ops->is_simulated;
}

static int plan_files(struct process_plan *plan, const char *file,
		      const char **step)
{
	/* In a simulation it does not matter where this machine has programs.
	 */
	plan->paths = plait_i_search(
		file, plan_is_simulated(plan) ? NULL : getenv("PATH"));
	plan->spawn.paths = plan->paths;
	return plan->paths == NULL ? plan_fail(step, "malloc", -ENOMEM) : 0;
}

/* execve() does not write to what it is given. */
static char *const *plan_vector(const char *const *v)
{
	return (char *const *)(uintptr_t)v;
}

static void plan_options(struct process_plan *plan, const char *const *argv,
			 const struct plait_process_options *o)
{
	struct spawn *s = &plan->spawn;

	s->argv = plan_vector(argv);
	s->envp = o->env != NULL ? plan_vector(o->env) : environ;
	s->cwd = o->cwd;
	s->new_group = o->new_group;
	s->new_session = o->new_session || o->pty;
	s->terminal = -1;
	s->die_with_parent = o->die_with_parent;
	s->set_ids = o->set_ids;
	s->uid = o->uid;
	s->gid = o->gid;
	plan->child->group = s->new_group || s->new_session;
	plan->child->grace = o->grace > 0 ? o->grace : default_grace;
}

static int plan_spawn(struct process_plan *plan)
{
	struct plait_process *c = plan->child;

	return process_calls(c->reactor)
				       ->spawn(loop_kernel(c->reactor),
					       &plan->spawn, &c->process) < 0
		       ? -errno
		       : 0;
}

/* The family has children of this process, and a simulated one is no child of
   it. */
static int plan_spawn_member(struct process_plan *plan)
{
	struct plait_process *c = plan->child;
	int err = plait_i_family_expect();

	plan->spawn.step = "malloc";
	if (err < 0)
		return err;
	err = plan_spawn(plan);
	plait_i_family_join(&c->family, err == 0 ? c->process.pid : -1);
	return err;
}

/* Returns 0 or -errno, after which there is no child. */
static int plan_make_child(struct process_plan *plan, const char **step)
{
	struct plait_process *c = plan->child;
	int err = plan_is_simulated(plan) ? plan_spawn(plan)
					  : plan_spawn_member(plan);

	if (err < 0)
		return plan_fail(step, plan->spawn.step, err);
	err = plait_i_process_watch(c);
	if (err == 0)
		return 0;
	plait_i_process_unmake(c);
	return plan_fail(step, "watch", err);
}

static int plan_everything(struct process_plan *plan, const char *const *argv,
			   const struct plait_process_options *o,
			   const char **step)
{
	int err;

	plan_options(plan, argv, o);
	err = plan_all_descriptors(plan, o, step);
	if (err == 0)
		err = plan_files(plan, o->file != NULL ? o->file : argv[0],
				 step);
	if (err == 0 && plait_i_process_mind_shutdown(plan->child) < 0)
		err = plan_fail(step, "malloc", -ENOMEM);
	return err == 0 ? plan_make_child(plan, step) : err;
}

/* The child has its ends of the pipes, or there is none. */
static void plan_free(struct process_plan *plan)
{
	struct kernel *k = loop_kernel(plan->child->reactor);

	for (size_t i = 0; i < plan->spawn.n_moves; i++) {
		if (plan->theirs[i] >= 0)
			kernel_close(k, plan->theirs[i]);
	}
	free(plan->theirs);
	free(plan->spawn.moves);
	free(plan->paths);
}

static void process_drop(struct plait_process *c)
{
	struct plait_list *l, *following;

	plait_list_for_each_safe (l, following, &c->pipes) {
		struct process_pipe *p =
			plait_container(l, struct process_pipe, link);
		struct plait_protocol *base = &p->base;

		plait_transport_free(&p->made_of);
		plait_protocol_free(&base);
	}
	if (c->trigger != 0)
		plait_reactor_remove_trigger(c->reactor, c->trigger);
	free(c);
}

static void process_open_pipes(struct plait_process *c)
{
	struct plait_list *l;

	plait_list_for_each (l, &c->pipes) {
		struct process_pipe *p =
			plait_container(l, struct process_pipe, link);
		struct plait_transport *t = p->made_of;

		p->made_of = NULL;
		plait_transport_made(t, &p->base);
	}
}

static int process_check(struct plait_reactor *r, const char *const *argv,
			 const struct plait_process_protocol *p,
			 const struct plait_process_options *o)
{
	if (loop_is_forked(r))
		return -ECHILD;
	if (argv == NULL || argv[0] == NULL || RESERVED_IN_USE(o))
		return -EINVAL;
	if (p->process != NULL)
		return -EBUSY;
	if (loop_kernel(r)->calls->children == NULL)
		return -ENOTSUP;
	return plait_i_loop_is_closing(r) ? -ESHUTDOWN : 0;
}

static int process_launch(struct plait_reactor *r, const char *const *argv,
			  struct plait_process_protocol *p,
			  const struct plait_process_options *o,
			  const char **step)
{
	size_t n_fds = o->fds != NULL ? o->n_fds : DEFAULT_FDS;
	struct plait_process *c =
		calloc(1, sizeof(*c) + n_fds * sizeof(*c->terminal));
	struct process_plan plan = { .child = c, .terminal = -1 };
	int err;

	if (c == NULL)
		return plan_fail(step, "malloc", -ENOMEM);
	plait_i_process_init(c, r);
	err = plan_everything(&plan, argv, o, step);
	plan_free(&plan);
	if (err < 0) {
		process_drop(c);
		return err;
	}
	plait_i_process_run(c, p);
	process_open_pipes(c);
	return 0;
}

int plait_spawn(struct plait_reactor *r, const char *const *argv,
		struct plait_process_protocol *p,
		const struct plait_process_options *options, const char **step)
{
	static const struct plait_process_options defaults;
	const struct plait_process_options *o =
		options != NULL ? options : &defaults;
	const char *ignored;
	int err;

	if (step == NULL)
		step = &ignored;
	loop_check_given(r, "plait_spawn()", NULL);
	err = process_check(r, argv, p, o);
	if (err < 0)
		return plan_fail(step, "arguments", err);
	return process_launch(r, argv, p, o, step);
}

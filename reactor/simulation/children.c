/*
 * Children, pipes, and descriptors that a program was given, on a simulated
 * kernel: see child.h and end.h.
 *
 * A child is a program of its host that a scenario has named
 * (plait_host_set_program()), with a kernel of its own.  There are no
 * terminals, and no orphans that come back: who has lost its parent is
 * nobody's.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/wait.h>

#include "reactor/simulation/children.h"
#include "reactor/simulation/frame.h"
#include "reactor/simulation/pipe.h"
#include "reactor/simulation/process.h"

/* ---- processes ----------------------------------------------------------- */

/* The process that fd stands for, or NULL. */
static struct process *children_process(const struct host_kernel *k, int fd)
{
	const struct descriptor *d = plait_i_call_find(k, fd);

	if (d == NULL || d->kind != DESCRIPTOR_PROCESS || d->socket == NULL)
		return NULL;
	return plait_i_process_of(d->socket);
}

/* Gives a descriptor of p; -errno. */
static int children_open_file(struct host_kernel *k, struct process *p)
{
	int fd = plait_i_call_open(k, DESCRIPTOR_PROCESS);
	struct sim_socket *file;

	if (fd < 0)
		return fd;
	file = plait_i_process_file(p);
	if (file == NULL) {
		plait_i_call_close_again(k, fd);
		return -ENOMEM;
	}
	plait_i_descriptor_set_socket(
		plait_i_descriptor_find(&k->descriptors, fd), file);
	return fd;
}

/* What the kernel has not enough of, as its host wants it. */
static int children_refuse(struct host_kernel *k)
{
	if (k->dead || plait_i_call_chance(k, calls_faults(k)->no_processes))
		return -EAGAIN;
	return plait_i_call_chance(k, calls_faults(k)->no_memory) ? -ENOMEM : 0;
}

static int children_make(struct host_kernel *k, struct spawn *s,
			 struct process **ret)
{
	const struct host_binary *binary;
	struct process *p;
	int err;

	s->step = "clone";
	err = children_refuse(k);
	if (err < 0)
		return err;
	s->step = "exec";
	err = plait_i_binary_look(k->host, s->paths, &binary);
	if (err < 0)
		return err;
	s->step = "dup";
	p = plait_i_process_new(k, s, &err);
	if (p == NULL)
		return err;
	s->step = "clone";
	err = k->host->simulation->spawn(p, binary);
	if (err < 0)
		plait_i_process_drop(p);
	else
		*ret = p;
	return err;
}

/* The number comes first, so that a child that was made stays. */
static int children_spawn(struct host_kernel *k, struct spawn *s,
			  struct kernel_process *ret)
{
	int fd = plait_i_call_open(k, DESCRIPTOR_PROCESS), err;
	struct process *p = NULL;
	struct sim_socket *file;

	s->step = "pidfd";
	if (fd < 0)
		return fd;
	err = children_make(k, s, &p);
	if (err < 0)
		goto err_close;
	file = plait_i_process_file(p);
	if (file == NULL) {
		plait_i_process_signal(p, SIGKILL);
		plait_i_process_reap(p);
		err = -ENOMEM;
		goto err_close;
	}
	plait_i_descriptor_set_socket(
		plait_i_descriptor_find(&k->descriptors, fd), file);
	*ret = (struct kernel_process){ .pid = p->pid, .fd = fd };
	return 0;

err_close:
	plait_i_call_close_again(k, fd);
	return err;
}

static int simulated_spawn(struct kernel *kernel, struct spawn *s,
			   struct kernel_process *ret)
{
	struct host_kernel *k = calls_kernel(kernel);

	return (int)plait_i_call_return(k, "spawn", 0,
					children_spawn(k, s, ret));
}

static int simulated_find(struct kernel *kernel, pid_t pid,
			  struct kernel_process *ret)
{
	struct host_kernel *k = calls_kernel(kernel);
	struct process *p = NULL;
	int fd = pid > 0 ? -ESRCH : -EINVAL;

	if (pid > 0 && !k->dead)
		p = plait_i_process_find(k->host, pid);
	if (p != NULL)
		fd = children_open_file(k, p);
	if (fd >= 0)
		*ret = (struct kernel_process){ .pid = pid, .fd = fd };
	return plait_i_call_return(k, "find process", pid, fd) < 0 ? -1 : 0;
}

static void simulated_forget(struct kernel *kernel, struct kernel_process *p,
			     bool is_forked)
{
	struct host_kernel *k = calls_kernel(kernel);

	if (plait_i_call_find(k, p->fd) != NULL)
		plait_i_call_close_again(k, p->fd);
	p->fd = -1;
}

static int children_reap(const struct host_kernel *k, struct process *p,
			 int options, siginfo_t *ret)
{
	if (p == NULL || p->parent != k)
		return -ECHILD;
	if (p->state == PROCESS_RUNS)
		return -EAGAIN;
	ret->si_pid = p->pid;
	ret->si_code = p->code;
	ret->si_status = p->status;
	if (!(options & WNOWAIT))
		plait_i_process_reap(p);
	return 0;
}

static int simulated_reap(struct kernel *kernel, const struct kernel_process *p,
			  int options, siginfo_t *ret)
{
	struct host_kernel *k = calls_kernel(kernel);

	return (int)plait_i_call_return(
		k, "reap", p->pid,
		children_reap(k, children_process(k, p->fd), options, ret));
}

/* A child that was killed is dead already. */
static void simulated_wait_for(struct kernel *kernel,
			       const struct kernel_process *p, int milliseconds)
{
}

/* A child that has ended takes signals until its parent has asked how. */
static int children_signal(struct process *p, int number)
{
	if (p == NULL || p->state == PROCESS_IS_GONE)
		return -ESRCH;
	if (number < 0 || number >= NSIG)
		return -EINVAL;
	plait_i_process_signal(p, number);
	return 0;
}

static int simulated_signal(struct kernel *kernel,
			    const struct kernel_process *p, int number)
{
	struct host_kernel *k = calls_kernel(kernel);

	return (int)plait_i_call_return(
		k, "signal", p->pid,
		children_signal(children_process(k, p->fd), number));
}

/* A signal may end several, and none of these is freed by that: their programs
   are freed later. */
static int children_signal_group(struct host_kernel *k, pid_t group, int number)
{
	struct plait_list *l;
	int rc = -ESRCH;

	if (k->dead)
		return -ESRCH;
	if (number < 0 || number >= NSIG)
		return -EINVAL;
	plait_list_for_each (l, &k->host->processes) {
		struct process *p = plait_container(l, struct process, link);

		if (p->group != group || p->state == PROCESS_IS_GONE)
			continue;
		plait_i_process_signal(p, number);
		rc = 0;
	}
	return rc;
}

static int simulated_signal_group(struct kernel *kernel,
				  const struct kernel_process *p, int number)
{
	struct host_kernel *k = calls_kernel(kernel);

	return (int)plait_i_call_return(
		k, "signal group", p->pid,
		children_signal_group(k, p->pid, number));
}

/* ---- pipes --------------------------------------------------------------- */

static int children_open_pipe(struct host_kernel *k, struct sim_socket *end)
{
	int fd = plait_i_call_open(k, DESCRIPTOR_PIPE);

	if (fd < 0)
		end->ops->release(end);
	else
		plait_i_descriptor_set_socket(
			plait_i_descriptor_find(&k->descriptors, fd), end);
	return fd;
}

static int children_pipe(struct host_kernel *k, bool they_read, int *ours,
			 int *theirs)
{
	struct sim_socket *ends[2];
	int fds[2];

	if (plait_i_call_chance(k, calls_faults(k)->no_descriptors))
		return -EMFILE;
	if (plait_i_call_chance(k, calls_faults(k)->no_memory) ||
	    plait_i_pipe_make(k->host, &ends[0], &ends[1]) < 0)
		return -ENFILE;
	for (size_t i = 0; i < 2; i++)
		fds[i] = children_open_pipe(k, ends[i]);
	for (size_t i = 0; i < 2; i++) {
		if (fds[i] >= 0)
			continue;
		if (fds[!i] >= 0)
			plait_i_call_close_again(k, fds[!i]);
		return fds[i];
	}
	*ours = fds[they_read];
	*theirs = fds[!they_read];
	return 0;
}

static int simulated_pipe(struct kernel *kernel, bool they_read, int *ours,
			  int *theirs)
{
	struct host_kernel *k = calls_kernel(kernel);

	return (int)plait_i_call_return(
		k, "pipe", 0, children_pipe(k, they_read, ours, theirs));
}

static int simulated_null(struct kernel *kernel)
{
	struct host_kernel *k = calls_kernel(kernel);
	bool refuses = plait_i_call_chance(k, calls_faults(k)->no_descriptors);

	return (int)plait_i_call_return(
		k, "null", 0,
		refuses ? -EMFILE : plait_i_call_open(k, DESCRIPTOR_NULL));
}

static int simulated_terminal(struct kernel *kernel, unsigned rows,
			      unsigned columns, int *ours, int *theirs)
{
	return (int)plait_i_call_return(calls_kernel(kernel), "terminal", 0,
					-EOPNOTSUPP);
}

static int simulated_set_window(struct kernel *kernel, int fd, unsigned rows,
				unsigned columns)
{
	return (int)plait_i_call_return(calls_kernel(kernel), "set window", fd,
					-ENOTTY);
}

/* Stores the end of a pipe, or NULL: /dev/null.  0 or -EBADF. */
static int children_end(const struct host_kernel *k, int fd,
			struct sim_socket **ret)
{
	const struct descriptor *d = plait_i_call_find(k, fd);

	if (d == NULL ||
	    (d->kind != DESCRIPTOR_PIPE && d->kind != DESCRIPTOR_NULL))
		return -EBADF;
	*ret = d->socket;
	return d->socket != NULL || d->kind == DESCRIPTOR_NULL ? 0 : -EBADF;
}

static ssize_t children_read(struct host_kernel *k, int fd, void *buf,
			     size_t len)
{
	struct sim_socket *end;
	ssize_t rc = children_end(k, fd, &end);

	if (rc < 0 || end == NULL)
		return rc;
	if (plait_i_call_is_interrupted(k))
		return -EINTR;
	len = plait_i_call_shorten(k, calls_faults(k)->short_read,
				   end->ops->input(end), len);
	rc = plait_i_pipe_read(end, buf, len);
	if (rc > 0)
		plait_i_record_bytes(k->host->simulation, buf, (size_t)rc);
	return rc;
}

static ssize_t simulated_read(struct kernel *kernel, int fd, void *buf,
			      size_t len)
{
	struct host_kernel *k = calls_kernel(kernel);

	return plait_i_call_return(k, "read", fd,
				   children_read(k, fd, buf, len));
}

/* What is written as a whole is not cut. */
static ssize_t children_write(struct host_kernel *k, int fd,
			      const struct iovec *pieces, int n)
{
	size_t len = plait_i_pieces_size(pieces, (size_t)n);
	struct sim_socket *end;
	ssize_t rc = children_end(k, fd, &end);

	if (rc < 0 || end == NULL)
		return rc < 0 ? rc : (ssize_t)len;
	if (plait_i_call_is_interrupted(k))
		return -EINTR;
	if (len > PIPE_BUF)
		len = plait_i_call_shorten(k, calls_faults(k)->short_write,
					   end->ops->room(end), len);
	return plait_i_pipe_write(end, pieces, (size_t)n, len);
}

static ssize_t simulated_write(struct kernel *kernel, int fd,
			       const struct iovec *pieces, int n)
{
	struct host_kernel *k = calls_kernel(kernel);

	return plait_i_call_return(k, "write", fd,
				   children_write(k, fd, pieces, n));
}

static ssize_t simulated_peek(struct kernel *kernel, int fd)
{
	struct host_kernel *k = calls_kernel(kernel);
	struct sim_socket *end;
	ssize_t rc = children_end(k, fd, &end);

	if (rc == 0 && end != NULL)
		rc = plait_i_pipe_peek(end);
	return plait_i_call_return(k, "peek", fd, rc);
}

static int simulated_broken(struct kernel *kernel, int fd)
{
	struct sim_socket *end;

	return children_end(calls_kernel(kernel), fd, &end) == 0 &&
			       end != NULL && plait_i_pipe_is_broken(end)
		       ? EPIPE
		       : 0;
}

/* A simulated program has no orphans to wait for (reaper.c asks). */
const struct kernel_children plait_i_simulated_children = {
	.spawn = simulated_spawn,
	.find = simulated_find,
	.forget = simulated_forget,
	.reap = simulated_reap,
	.wait = simulated_wait_for,
	.signal = simulated_signal,
	.signal_group = simulated_signal_group,
	.pipe = simulated_pipe,
	.null = simulated_null,
	.terminal = simulated_terminal,
	.set_window = simulated_set_window,
	.read = simulated_read,
	.write = simulated_write,
	.peek = simulated_peek,
	.broken = simulated_broken,
};

/* ---- descriptors that a program was given -------------------------------- */

/* Only children are given any. */
static bool simulated_has_ends(struct kernel *kernel)
{
	return calls_kernel(kernel)->process != NULL;
}

static int simulated_end_look(struct kernel *kernel, int fd,
			      struct kernel_end *ret)
{
	struct host_kernel *k = calls_kernel(kernel);
	struct sim_socket *end = NULL;
	int rc = children_end(k, fd, &end);
	bool is_null = end == NULL;

	if (rc == 0)
		*ret = (struct kernel_end){
			.fd = fd,
			.kind = is_null ? END_OF_FILE : END_OF_PIPE,
			.is_read = is_null || !plait_i_pipe_is_writer(end),
			.is_written = is_null || plait_i_pipe_is_writer(end),
			.inode = is_null ? 0 : plait_i_pipe_number(end),
		};
	return (int)plait_i_call_return(k, "look at end", fd, rc);
}

static int children_copy(struct host_kernel *k, int fd)
{
	struct sim_socket *end;
	int rc = children_end(k, fd, &end);

	if (rc < 0)
		return rc;
	if (end == NULL)
		return plait_i_call_open(k, DESCRIPTOR_NULL);
	end = plait_i_pipe_copy(end);
	return end != NULL ? children_open_pipe(k, end) : -ENOMEM;
}

static int simulated_end_copy(struct kernel *kernel, int fd)
{
	struct host_kernel *k = calls_kernel(kernel);

	return (int)plait_i_call_return(k, "copy", fd, children_copy(k, fd));
}

static void simulated_end_vacate(struct kernel *kernel, int fd,
				 const struct kernel_end *e)
{
	struct host_kernel *k = calls_kernel(kernel);
	struct descriptor *d = plait_i_call_find(k, fd);

	if (d == NULL || d->kind != DESCRIPTOR_PIPE || d->socket == NULL ||
	    plait_i_pipe_number(d->socket) != e->inode)
		return;
	plait_i_descriptor_make_null(d);
	plait_i_call_return(k, "vacate", fd, 0);
}

static ssize_t simulated_end_read(struct kernel *kernel,
				  const struct kernel_end *e, void *buf,
				  size_t len)
{
	return simulated_read(kernel, e->fd, buf, len);
}

static ssize_t simulated_end_write(struct kernel *kernel,
				   const struct kernel_end *e,
				   const struct iovec *pieces, int n)
{
	return simulated_write(kernel, e->fd, pieces, n);
}

/* Of /dev/null, as of a file, 1. */
static ssize_t simulated_end_peek(struct kernel *kernel,
				  const struct kernel_end *e)
{
	return e->kind == END_OF_FILE ? 1 : simulated_peek(kernel, e->fd);
}

static size_t simulated_end_waiting(struct kernel *kernel,
				    const struct kernel_end *e)
{
	struct sim_socket *end;

	return children_end(calls_kernel(kernel), e->fd, &end) == 0 &&
			       end != NULL
		       ? end->ops->input(end)
		       : 0;
}

static int simulated_end_broken(struct kernel *kernel,
				const struct kernel_end *e)
{
	return simulated_broken(kernel, e->fd);
}

const struct kernel_ends plait_i_simulated_ends = {
	.has = simulated_has_ends,
	.look = simulated_end_look,
	.copy = simulated_end_copy,
	.vacate = simulated_end_vacate,
	.read = simulated_end_read,
	.write = simulated_end_write,
	.peek = simulated_end_peek,
	.waiting = simulated_end_waiting,
	.broken = simulated_end_broken,
};

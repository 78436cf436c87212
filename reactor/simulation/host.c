/*
 * Hosts and the programs on them.
 *
 * Each reactor of a host has a kernel of its own, a struct host_kernel, which
 * stays until the next reactor of the host is made, because the reactor asks
 * for the time until its memory is freed.
 *
 * A crash has two steps.  First the kernels of the host die, when the present
 * callback of its programs has returned: nothing that the programs do gets out
 * any more.  Then, when none of their reactors is in a turn, the programs are
 * ended as if their runs had failed, so that they free what they have, and the
 * host may start again.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/simulation/process.h"
#include "reactor/task/react.h"

/* What is to become of a host. */
enum { HOST_CRASHES = 1, HOST_IS_KILLED = 2, HOST_RESTARTS = 4 };

static const char host_where[] = "plait_simulation_run()";

struct program {
	struct plait_list link; /* in host->programs, or host->children */
	struct plait_host *host;
	struct react react;
	struct host_kernel *kernel; /* NULL: it does not run */
	struct process *process;    /* that runs it; NULL: it is no child */
};

/* ---- making hosts -------------------------------------------------------- */

static struct plait_host *host_find(struct plait_simulation *s,
				    const char *name)
{
	struct plait_list *l;

	plait_list_for_each (l, &s->hosts) {
		struct plait_host *h =
			plait_container(l, struct plait_host, link);

		if (strcmp(h->name, name) == 0)
			return h;
	}
	return NULL;
}

static void host_init(struct plait_host *h, struct plait_simulation *s)
{
	h->simulation = s;
	h->number = s->n_hosts + 1;
	h->status = -1;
	h->faults = s->faults;
	snprintf(h->text, sizeof(h->text), "10.%u.%u.%u",
		 h->number >> 16 & 0xff, h->number >> 8 & 0xff,
		 h->number & 0xff);
	plait_list_init(&h->kernels);
	plait_list_init(&h->programs);
	plait_list_init(&h->disk);
	plait_list_init(&h->binaries);
	plait_list_init(&h->processes);
	plait_list_init(&h->children);
	h->last_pid = 1;
	plait_i_random_init(&h->chance, s->seed, h->name);
	plait_i_random_init(&h->paths.chance, h->chance.state, "wire");
	plait_i_sockets_init(h);
	plait_i_tcp_init(h);
}

struct plait_host *plait_simulation_host(struct plait_simulation *s,
					 const char *name)
{
	struct plait_host *h = s != NULL ? host_find(s, name) : NULL;

	if (h != NULL)
		return h;
	h = s != NULL ? calloc(1, sizeof(*h)) : NULL;
	if (h == NULL)
		goto err;
	h->name = strdup(name);
	if (h->name == NULL)
		goto err_free;
	host_init(h, s);
	if (plait_i_wire_add_host(h) < 0)
		goto err_wire;
	plait_list_append(&s->hosts, &h->link);
	s->n_hosts++;
	return h;

err_wire:
	plait_i_wire_remove_host(h);
	free(h->name);
err_free:
	free(h);
err:
	errno = ENOMEM;
	return NULL;
}

const char *plait_host_name(const struct plait_host *h)
{
	return h != NULL ? h->name : "";
}

const char *plait_host_address(const struct plait_host *h)
{
	return h != NULL ? h->text : "";
}

void plait_host_set_faults(struct plait_host *h,
			   const struct plait_host_faults *faults)
{
	if (h == NULL)
		return;
	h->faults = *faults;
	h->has_own_faults = true;
}

/* ---- kernels and their reactors ------------------------------------------ */

static void host_kernel_free(struct host_kernel *k)
{
	plait_list_remove(&k->link);
	free(k);
}

/* Frees those whose reactors are freed. */
static void host_reap(struct plait_host *h)
{
	struct plait_list *l, *next;

	plait_list_for_each_safe (l, next, &h->kernels) {
		struct host_kernel *k =
			plait_container(l, struct host_kernel, link);

		if (k->ended)
			host_kernel_free(k);
	}
}

static void host_kernel_dies(struct loop_task *task);

static struct host_kernel *host_kernel_new(struct plait_host *h)
{
	struct host_kernel *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return NULL;
	k->host = h;
	k->number = ++h->n_kernels;
	k->dying.run = host_kernel_dies;
	plait_list_init(&k->children);
	plait_i_random_init(&k->chance, h->simulation->seed + k->number,
			    h->name);
	plait_list_append(&h->kernels, &k->link);
	return k;
}

/* Gives a kernel whose reactor is made, of a child or of nobody's, or NULL with
   errno set. */
static struct host_kernel *host_make_reactor(struct plait_host *h,
					     struct process *child)
{
	struct host_kernel *k;
	int err;

	if (h->down) {
		errno = EHOSTDOWN;
		return NULL;
	}
	host_reap(h);
	k = host_kernel_new(h);
	if (k == NULL)
		return NULL;
	k->process = child;
	if (child != NULL)
		child->kernel = k;
	k->reactor = plait_i_reactor_new(&plait_i_kernel_simulated, k);
	if (k->reactor != NULL)
		return k;
	err = errno;
	host_kernel_free(k);
	errno = err;
	return NULL;
}

struct plait_reactor *plait_host_reactor(struct plait_host *h)
{
	struct host_kernel *k = NULL;

	if (h != NULL)
		k = host_make_reactor(h, NULL);
	else
		errno = ENOMEM;
	return k != NULL ? k->reactor : NULL;
}

/* ---- programs ------------------------------------------------------------ */

/* Returns 0 or -errno. */
static int program_start(struct program *p)
{
	struct host_kernel *k = host_make_reactor(p->host, p->process);
	int rc;

	if (k == NULL)
		return -errno;
	p->react = (struct react){ .reactor = k->reactor,
				   .main = p->react.main,
				   .arg = p->react.arg,
				   .is_quiet = true };
	rc = plait_i_react_begin(&p->react);
	if (rc < 0) {
		plait_reactor_free(&k->reactor);
		return rc;
	}
	k->program = p;
	p->kernel = k;
	if (p->process == NULL)
		p->host->simulation->n_programs++;
	return 0;
}

int plait_host_run(struct plait_host *h, plait_react_main *main, void *arg)
{
	struct program *p = h != NULL ? calloc(1, sizeof(*p)) : NULL;
	int rc;

	if (p == NULL)
		return -ENOMEM;
	p->host = h;
	p->react.main = main;
	p->react.arg = arg;
	rc = program_start(p);
	if (rc < 0)
		free(p);
	else
		plait_list_append(&h->programs, &p->link);
	return rc;
}

size_t plait_host_programs(const struct plait_host *h)
{
	const struct plait_list *l;
	size_t n = 0;

	if (h == NULL)
		return 0;
	plait_list_for_each (l, &h->programs) {
		const struct program *p =
			plait_container(l, const struct program, link);

		n += p->kernel != NULL;
	}
	return n;
}

int plait_host_status(const struct plait_host *h)
{
	return h != NULL ? h->status : -1;
}

/* Its run has returned rc, or it is ended before that: -ECHILD. */
static int program_end(struct program *p, int rc)
{
	p->kernel->program = NULL;
	p->kernel = NULL;
	if (p->process == NULL)
		p->host->simulation->n_programs--;
	plait_i_reactor_break(p->react.reactor);
	return plait_i_react_end(&p->react, rc);
}

static void program_exit(struct program *p, int rc)
{
	struct plait_host *h = p->host;

	h->status = program_end(p, rc);
	plait_i_record(h->simulation, "program ends", h->number,
		       (uint64_t)h->status);
}

static void child_exit(struct program *p, int rc);

static void program_turn(struct program *p)
{
	const struct host_kernel *k = p->kernel;
	int rc;

	p->kernel->has_begun = true;
	if (plait_i_reactor_step(p->react.reactor, host_where, &rc) ||
	    p->host->fate != 0 || k->dead)
		return;
	if (p->process != NULL)
		child_exit(p, rc);
	else
		program_exit(p, rc);
}

/* Nothing was begun that has to be ended. */
static void program_stop(struct program *p)
{
	if (p->kernel == NULL)
		return;
	if (p->kernel->has_begun)
		plait_reactor_stop(p->react.reactor);
	else
		program_exit(p, 0);
}

void plait_host_stop(struct plait_host *h)
{
	struct plait_list *l;

	if (h == NULL)
		return;
	plait_list_for_each (l, &h->programs)
		program_stop(plait_container(l, struct program, link));
}

static bool host_watches(struct plait_host *h, int number)
{
	struct plait_list *l;
	bool is_watched = false;

	plait_list_for_each (l, &h->kernels) {
		struct host_kernel *k =
			plait_container(l, struct host_kernel, link);

		if (!k->dead && !k->ended && k->process == NULL)
			is_watched |= plait_i_signal_arrive(k->reactor, number);
	}
	return is_watched;
}

int plait_host_signal(struct plait_host *h, int number)
{
	if (h == NULL)
		return -ENOMEM;
	if (number <= 0 || number >= NSIG)
		return -EINVAL;
	plait_i_record(h->simulation, "signal", h->number, (uint64_t)number);
	if (host_watches(h, number))
		return 0;
	switch (number) {
	case SIGINT:
	case SIGTERM:
		plait_host_stop(h);
		break;
	case SIGCHLD:
	case SIGCONT:
	case SIGPIPE: /* a run takes it */
	case SIGURG:
	case SIGWINCH:
		break;
	default:
		plait_host_kill(h);
	}
	return 0;
}

/* ---- children ------------------------------------------------------------ */

/* It takes a while until a child that was made does anything. */
static void child_starts_slowly(struct host_kernel *k)
{
	const struct plait_simulation *s = k->host->simulation;
	int64_t most = (int64_t)(s->options.start_time * 1e9);

	if (most > 0)
		k->busy_until = s->now + (int64_t)plait_i_random_below(
						 &k->chance, (uint64_t)most);
}

int plait_i_host_spawn(struct process *child, const struct host_binary *binary)
{
	struct program *p = calloc(1, sizeof(*p));
	int rc;

	if (p == NULL)
		return -ENOMEM;
	p->host = child->host;
	p->process = child;
	p->react.main = binary->main;
	p->react.arg = binary->arg;
	rc = program_start(p);
	if (rc < 0) {
		child->kernel = NULL;
		free(p);
		return rc;
	}
	child->has_program = true;
	child_starts_slowly(p->kernel);
	plait_list_append(&p->host->children, &p->link);
	plait_i_record(p->host->simulation, "child", p->host->number,
		       (uint64_t)child->pid);
	return 0;
}

/* The run has given rc.  Returns its status. */
static int child_end(struct program *p, int rc)
{
	struct host_kernel *k = p->kernel;
	int status;

	plait_list_remove(&p->link);
	status = program_end(p, rc);
	k->process = NULL;
	return status;
}

static void child_exit(struct program *p, int rc)
{
	struct process *child = p->process;
	int status = child_end(p, rc);

	plait_i_process_end(child, CLD_EXITED, status & 0xff);
	plait_i_process_lose_program(child);
	free(p);
}

/* As if its run had failed: it was killed, or its host was. */
static void child_free(struct program *p)
{
	struct process *child = p->process;

	if (child->is_doomed)
		p->host->simulation->doomed--;
	child->is_doomed = false;
	child_end(p, -ECHILD);
	plait_i_process_end(child, CLD_KILLED, SIGKILL);
	plait_i_process_lose_program(child);
	free(p);
}

/* A child that was killed, and whose program is in no turn; or NULL. */
static struct program *child_to_free(struct plait_host *h)
{
	struct plait_list *l;

	plait_list_for_each (l, &h->children) {
		struct program *p = plait_container(l, struct program, link);

		if (p->process->is_doomed &&
		    !plait_i_reactor_is_busy(p->react.reactor))
			return p;
	}
	return NULL;
}

static void children_settle(struct plait_host *h)
{
	struct program *p;

	while ((p = child_to_free(h)) != NULL)
		child_free(p);
}

/* NULL: r is not simulated. */
static struct host_kernel *host_kernel_of(const struct plait_reactor *r)
{
	if (r == NULL || loop_kernel(r)->ops != &plait_i_kernel_simulated)
		return NULL;
	return loop_kernel(r)->state;
}

const char *const *plait_simulation_argv(const struct plait_reactor *r)
{
	const struct host_kernel *k = host_kernel_of(r);

	return k != NULL && k->process != NULL
		       ? (const char *const *)k->process->argv
		       : NULL;
}

int plait_simulation_raise(struct plait_reactor *r, int number)
{
	struct host_kernel *k = host_kernel_of(r);

	if (k == NULL || k->process == NULL || k->dead)
		return -ESRCH;
	if (number < 0 || number >= NSIG)
		return -EINVAL;
	plait_i_process_signal(k->process, number);
	return 0;
}

/* ---- turns --------------------------------------------------------------- */

int64_t plait_i_host_kernel_due(struct host_kernel *k)
{
	int64_t due;

	if (k->dead || k->ended || plait_i_reactor_is_busy(k->reactor) ||
	    (k->process != NULL && k->process->is_stopped))
		return INT64_MAX;
	if ((k->program != NULL && !k->has_begun) ||
	    plait_i_host_kernel_is_ready(k))
		due = INT64_MIN;
	else
		due = plait_i_reactor_due(k->reactor);
	return due < k->busy_until ? k->busy_until : due;
}

void plait_i_host_kernel_turn(struct host_kernel *k)
{
	struct plait_simulation *s = k->host->simulation;
	int64_t most = (int64_t)(s->options.turn_time * 1e9);

	plait_i_record(s, "turn", k->host->number, k->number);
	if (most > 0)
		k->busy_until = s->now + (int64_t)plait_i_random_below(
						 &s->chance, (uint64_t)most);
	if (k->program != NULL)
		program_turn(k->program);
	else
		(plait_reactor_iterate)(k->reactor, 0, host_where);
}

/* ---- crash, kill, restart ------------------------------------------------ */

/* From now on nothing that the programs of h do gets out. */
static void host_die(struct plait_host *h)
{
	struct plait_list *l;

	plait_list_for_each (l, &h->kernels) {
		struct host_kernel *k =
			plait_container(l, struct host_kernel, link);

		if (!h->down && !k->dead && !k->ended)
			plait_i_descriptors_close_all(k);
		k->dead = true;
	}
	if (h->down)
		plait_i_sockets_crash(h);
	plait_i_processes_vanish(h);
}

static void host_kernel_dies(struct loop_task *task)
{
	host_die(plait_container(task, struct host_kernel, dying)->host);
}

/* If callbacks of h are on the stack, this comes after the first that returns.
 */
static void host_die_after_callback(struct plait_host *h)
{
	bool is_inside = false;
	struct plait_list *l;

	plait_list_for_each (l, &h->kernels) {
		struct host_kernel *k =
			plait_container(l, struct host_kernel, link);

		if (k->dead || k->ended || !plait_i_loop_is_entered(k->reactor))
			continue;
		plait_i_loop_after_callback(k->reactor, &k->dying);
		is_inside = true;
	}
	if (!is_inside)
		host_die(h);
}

static bool host_is_busy(const struct plait_host *h)
{
	const struct plait_list *l;

	plait_list_for_each (l, &h->kernels) {
		const struct host_kernel *k =
			plait_container(l, const struct host_kernel, link);

		if (!k->ended && plait_i_reactor_is_busy(k->reactor))
			return true;
	}
	return false;
}

static void host_end_programs(struct plait_host *h)
{
	struct plait_list *l;

	plait_list_for_each (l, &h->programs) {
		struct program *p = plait_container(l, struct program, link);

		if (p->kernel != NULL)
			program_end(p, -ECHILD);
	}
	while ((l = plait_list_first(&h->children)) != NULL)
		child_free(plait_container(l, struct program, link));
}

/* Returns 0, or -ENOMEM if one of them could not be started. */
static int host_start_all(struct plait_host *h)
{
	struct plait_list *l;
	int rc = 0;

	plait_list_for_each (l, &h->programs) {
		struct program *p = plait_container(l, struct program, link);
		int err = p->kernel == NULL ? program_start(p) : 0;

		rc = rc < 0 ? rc : err;
	}
	return rc;
}

/* Does what was asked of h.  Returns 0 or -errno. */
static int host_settle(struct plait_host *h)
{
	unsigned fate = h->fate;

	if (fate == 0 || h->is_settling || host_is_busy(h))
		return 0;
	h->simulation->doomed--;
	h->fate = 0;
	h->is_settling = true;
	if (fate & (HOST_CRASHES | HOST_IS_KILLED))
		host_end_programs(h);
	h->is_settling = false;
	if (!(fate & HOST_RESTARTS))
		return 0;
	h->down = false;
	plait_i_record(h->simulation, "host starts", h->number, 0);
	return host_start_all(h);
}

void plait_i_hosts_settle(struct plait_simulation *s)
{
	struct plait_list *l;

	plait_list_for_each (l, &s->hosts) {
		struct plait_host *h =
			plait_container(l, struct plait_host, link);
		int rc;

		children_settle(h);
		rc = host_settle(h);
		if (rc < 0)
			plait_simulation_fail(s, "%s did not start again: %s",
					      h->name, strerror(-rc));
	}
}

/* Returns 0, or what went wrong if it need not wait. */
static int host_doom(struct plait_host *h, unsigned fate)
{
	if (h->fate == 0)
		h->simulation->doomed++;
	h->fate |= fate;
	if (fate & HOST_CRASHES)
		h->down = true;
	plait_i_record(h->simulation, "host ends", h->number, fate);
	host_die_after_callback(h);
	return host_settle(h);
}

void plait_host_crash(struct plait_host *h)
{
	if (h != NULL && !h->down)
		host_doom(h, HOST_CRASHES);
}

void plait_host_kill(struct plait_host *h)
{
	if (h != NULL && !h->down)
		host_doom(h, HOST_IS_KILLED);
}

void plait_i_hosts_kill_programs(struct plait_simulation *s)
{
	struct plait_list *l;

	plait_list_for_each (l, &s->hosts) {
		struct plait_host *h =
			plait_container(l, struct plait_host, link);

		if (plait_host_programs(h) > 0)
			plait_host_kill(h);
	}
}

int plait_host_restart(struct plait_host *h)
{
	if (h == NULL)
		return -ENOMEM;
	return host_doom(h, h->down ? HOST_RESTARTS
				    : HOST_CRASHES | HOST_RESTARTS);
}

bool plait_host_is_up(const struct plait_host *h)
{
	return h != NULL && !h->down && !h->is_settling;
}

/* ---- the end ------------------------------------------------------------- */

void plait_i_hosts_end_programs(struct plait_simulation *s)
{
	struct plait_list *l;

	plait_list_for_each (l, &s->hosts)
		host_end_programs(plait_container(l, struct plait_host, link));
}

void plait_i_host_free(struct plait_host *h)
{
	struct plait_list *l;

	while ((l = plait_list_first(&h->kernels)) != NULL) {
		struct host_kernel *k =
			plait_container(l, struct host_kernel, link);

		if (!k->ended)
			plait_die("plait_simulation_free()",
				  "a reactor of the host %s was not freed",
				  h->name);
		host_kernel_free(k);
	}
	while ((l = plait_list_first(&h->programs)) != NULL) {
		plait_list_remove(l);
		free(plait_container(l, struct program, link));
	}
	plait_i_processes_vanish(h);
	plait_i_binaries_free(h);
	plait_i_disk_free(h);
	plait_i_wire_remove_host(h);
	plait_list_remove(&h->link);
	free(h->name);
	free(h);
}

/*
 * The processes of a simulated host: see process.h.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/simulation/pipe.h"
#include "reactor/simulation/process.h"

/* ---- programs that can be run -------------------------------------------- */

static const char binary_dir[] = "/usr/bin/";

static struct host_binary *binary_find(const struct plait_host *h,
				       const char *path)
{
	const struct plait_list *l;

	plait_list_for_each (l, &h->binaries) {
		const struct host_binary *b =
			plait_container(l, const struct host_binary, link);

		if (strcmp(b->path, path) == 0)
			return (struct host_binary *)(uintptr_t)b;
	}
	return NULL;
}

static void binary_free(struct host_binary *b)
{
	plait_list_remove(&b->link);
	free(b);
}

/* A name without a directory lies where programs are looked for. */
static struct host_binary *binary_new(const char *path)
{
	const char *dir = strchr(path, '/') == NULL ? binary_dir : "";
	size_t len = strlen(dir), size = strlen(path) + 1;
	struct host_binary *b = calloc(1, sizeof(*b) + len + size);

	if (b == NULL)
		return NULL;
	memcpy(b->path, dir, len);
	memcpy(b->path + len, path, size);
	return b;
}

int plait_host_set_program(struct plait_host *h, const char *path,
			   plait_react_main *main, void *arg)
{
	struct host_binary *b = h != NULL ? binary_new(path) : NULL;
	struct host_binary *before;

	if (b == NULL)
		return -ENOMEM;
	before = binary_find(h, b->path);
	if (before != NULL)
		binary_free(before);
	if (main == NULL) {
		free(b);
		return 0;
	}
	b->main = main;
	b->arg = arg;
	plait_list_append(&h->binaries, &b->link);
	return 0;
}

int plait_i_binary_look(const struct plait_host *h, const char *const *paths,
			const struct host_binary **ret)
{
	int err = -ENOENT;

	for (; *paths != NULL; paths++) {
		*ret = binary_find(h, *paths);
		if (*ret != NULL)
			return 0;
		/* What is no program may not be executed. */
		if (plait_i_disk_find(h, *paths) != NULL)
			err = -EACCES;
	}
	return err;
}

void plait_i_binaries_free(struct plait_host *h)
{
	struct plait_list *l;

	while ((l = plait_list_first(&h->binaries)) != NULL)
		binary_free(plait_container(l, struct host_binary, link));
}

/* ---- its memory ---------------------------------------------------------- */

static void process_drop_gifts(struct process *p)
{
	for (size_t i = 0; i < p->n_gifts; i++) {
		struct sim_socket *end = p->gifts[i].end;

		if (end != NULL)
			end->ops->release(end);
	}
	free(p->gifts);
	p->gifts = NULL;
	p->n_gifts = 0;
}

static void process_free_argv(char **argv)
{
	for (size_t i = 0; argv != NULL && argv[i] != NULL; i++)
		free(argv[i]);
	free(argv);
}

static void process_free(struct process *p)
{
	process_drop_gifts(p);
	process_free_argv(p->argv);
	plait_list_remove(&p->link);
	plait_list_remove(&p->sibling);
	free(p);
}

static void process_settle(struct process *p)
{
	if (p->state == PROCESS_IS_GONE && !p->has_program &&
	    plait_list_is_empty(&p->files))
		process_free(p);
}

void plait_i_process_lose_program(struct process *p)
{
	loop_task_cancel(&p->killing);
	p->kernel = NULL;
	p->has_program = false;
	process_settle(p);
}

/* ---- making it ----------------------------------------------------------- */

static char **process_copy_argv(char *const *argv)
{
	size_t n = 0;
	char **copy;

	while (argv[n] != NULL)
		n++;
	copy = calloc(n + 1, sizeof(*copy));
	for (size_t i = 0; copy != NULL && i < n; i++) {
		copy[i] = strdup(argv[i]);
		if (copy[i] == NULL) {
			process_free_argv(copy);
			return NULL;
		}
	}
	return copy;
}

/* Only pipes and /dev/null can be given: 0, or -errno. */
static int process_take_gift(struct process *p, const struct host_kernel *k,
			     const struct spawn_move *m)
{
	const struct descriptor *d =
		plait_i_descriptor_find(&k->descriptors, m->from);
	struct process_gift gift = { .fd = m->to };

	if (d == NULL)
		return -EBADF;
	if (d->kind != DESCRIPTOR_PIPE && d->kind != DESCRIPTOR_NULL)
		return -EOPNOTSUPP;
	if (d->kind == DESCRIPTOR_PIPE) {
		gift.end = plait_i_pipe_copy(d->socket);
		if (gift.end == NULL)
			return -ENOMEM;
	}
	p->gifts[p->n_gifts++] = gift;
	return 0;
}

static int process_take_gifts(struct process *p, const struct host_kernel *k,
			      const struct spawn *s)
{
	int err = 0;

	p->gifts = calloc(s->n_moves + 1, sizeof(*p->gifts));
	if (p->gifts == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_moves && err == 0; i++)
		err = process_take_gift(p, k, &s->moves[i]);
	return err;
}

struct process *plait_i_process_new(struct host_kernel *k,
				    const struct spawn *s, int *err)
{
	struct process *p = calloc(1, sizeof(*p));

	if (p == NULL) {
		*err = -ENOMEM;
		return NULL;
	}
	p->host = k->host;
	p->parent = k;
	p->dies_with_parent = s->die_with_parent;
	plait_list_init(&p->files);
	p->argv = process_copy_argv(s->argv);
	*err = p->argv != NULL ? process_take_gifts(p, k, s) : -ENOMEM;
	if (*err < 0) {
		process_free(p);
		return NULL;
	}
	p->pid = ++k->host->last_pid;
	p->group = k->process != NULL ? k->process->group : 0;
	if (s->new_group || s->new_session)
		p->group = p->pid;
	plait_list_append(&k->host->processes, &p->link);
	plait_list_append(&k->children, &p->sibling);
	return p;
}

void plait_i_process_drop(struct process *p)
{
	process_free(p);
}

int plait_i_process_begin(struct process *p)
{
	struct descriptors *ds = &p->kernel->descriptors;
	size_t most = p->host->simulation->options.max_descriptors;

	for (size_t i = 0; i < p->n_gifts; i++) {
		struct process_gift *g = &p->gifts[i];
		int rc = plait_i_descriptor_give(
			ds, most, g->fd,
			g->end != NULL ? DESCRIPTOR_PIPE : DESCRIPTOR_NULL);

		if (rc < 0) {
			plait_i_descriptors_close_all(p->kernel);
			return rc;
		}
		if (g->end != NULL)
			plait_i_descriptor_set_socket(
				plait_i_descriptor_find(ds, g->fd), g->end);
		g->end = NULL;
	}
	return 0;
}

/* ---- descriptors that stand for it --------------------------------------- */

struct process_file {
	struct sim_socket base;
	struct plait_list link; /* in of->files */
	struct process *of;
};

static struct process_file *process_file_of(struct sim_socket *s)
{
	return plait_container(s, struct process_file, base);
}

static unsigned process_file_readiness(const struct sim_socket *s)
{
	const struct process_file *f =
		plait_container(s, const struct process_file, base);

	return f->of->state != PROCESS_RUNS ? POLLIN : 0;
}

static size_t process_file_has_nothing(const struct sim_socket *s)
{
	return 0;
}

static void process_file_release(struct sim_socket *s)
{
	struct process_file *f = process_file_of(s);
	struct process *p = f->of;

	plait_list_remove(&f->link);
	free(f);
	process_settle(p);
}

static const struct socket_ops process_file_ops = {
	.readiness = process_file_readiness,
	.input = process_file_has_nothing,
	.room = process_file_has_nothing,
	.release = process_file_release,
};

struct sim_socket *plait_i_process_file(struct process *p)
{
	struct process_file *f = malloc(sizeof(*f));

	if (f == NULL)
		return NULL;
	*f = (struct process_file){
		.base = { .ops = &process_file_ops,
			  .host = p->host,
			  .family = AF_UNSPEC },
		.of = p,
	};
	plait_list_init(&f->base.link);
	plait_list_append(&p->files, &f->link);
	return &f->base;
}

struct process *plait_i_process_of(struct sim_socket *file)
{
	return process_file_of(file)->of;
}

struct process *plait_i_process_find(const struct plait_host *h, pid_t pid)
{
	struct plait_list *l;

	plait_list_for_each (l, &h->processes) {
		struct process *p = plait_container(l, struct process, link);

		if (p->pid == pid && p->state != PROCESS_IS_GONE)
			return p;
	}
	return NULL;
}

/* ---- the end ------------------------------------------------------------- */

static void process_wake_files(struct process *p)
{
	struct plait_list *l;

	plait_list_for_each (l, &p->files)
		plait_i_socket_woken(
			&plait_container(l, struct process_file, link)->base);
}

/* Nobody will ask how it has ended. */
static void process_is_nobodys(struct process *p)
{
	plait_list_remove(&p->sibling);
	p->parent = NULL;
	if (p->state == PROCESS_HAS_ENDED)
		p->state = PROCESS_IS_GONE;
}

void plait_i_process_end(struct process *p, int code, int status)
{
	if (p->state != PROCESS_RUNS)
		return;
	plait_i_record(p->host->simulation, "process ends", (uint64_t)p->pid,
		       (uint64_t)status);
	p->state = PROCESS_HAS_ENDED;
	p->code = code;
	p->status = status;
	if (p->parent == NULL)
		p->state = PROCESS_IS_GONE;
	else
		plait_i_signal_arrive(p->parent->reactor, SIGCHLD);
	process_wake_files(p);
	process_settle(p);
}

void plait_i_process_reap(struct process *p)
{
	process_is_nobodys(p);
	process_settle(p);
}

void plait_i_processes_vanish(struct plait_host *h)
{
	struct plait_list *l, *next;

	plait_list_for_each_safe (l, next, &h->processes) {
		struct process *p = plait_container(l, struct process, link);

		p->state = PROCESS_HAS_ENDED;
		process_is_nobodys(p);
		process_settle(p);
	}
}

/* ---- signals ------------------------------------------------------------- */

/* It is dead at once.  Its program is freed when it is not in a turn. */
static void process_die(struct process *p, int number)
{
	struct host_kernel *k = p->kernel;

	plait_i_descriptors_close_all(k);
	k->dead = true;
	p->is_doomed = true;
	p->host->simulation->doomed++;
	plait_i_processes_orphan(k);
	plait_i_process_end(p, CLD_KILLED, number);
}

static void process_run_killing(struct loop_task *task)
{
	struct process *p = plait_container(task, struct process, killing);

	if (p->state == PROCESS_RUNS)
		process_die(p, p->fatal);
}

/* What it does for itself comes after its callback. */
static void process_doom(struct process *p, int number)
{
	if (!plait_i_loop_is_entered(p->kernel->reactor)) {
		process_die(p, number);
		return;
	}
	p->fatal = number;
	p->killing.run = process_run_killing;
	plait_i_loop_after_callback(p->kernel->reactor, &p->killing);
}

/* Nobody there watches it. */
static void process_do_default(struct process *p, int number)
{
	bool has_begun = p->kernel->has_begun;

	switch (number) {
	case SIGINT:
	case SIGTERM: /* a run takes them */
		if (has_begun)
			plait_reactor_stop(p->kernel->reactor);
		else
			process_doom(p, number);
		break;
	case SIGCHLD:
	case SIGCONT:
	case SIGPIPE:
	case SIGURG:
	case SIGWINCH:
		break;
	default:
		process_doom(p, number);
	}
}

void plait_i_process_signal(struct process *p, int number)
{
	if (p->state != PROCESS_RUNS || number == 0)
		return;
	plait_i_record(p->host->simulation, "process signal", (uint64_t)p->pid,
		       (uint64_t)number);
	if (number == SIGSTOP || number == SIGCONT)
		p->is_stopped = number == SIGSTOP;
	if (number == SIGKILL)
		process_doom(p, number);
	else if (number != SIGSTOP &&
		 !plait_i_signal_arrive(p->kernel->reactor, number))
		process_do_default(p, number);
}

/* A child that dies with its parent may be a parent. */
void plait_i_processes_orphan(struct host_kernel *k)
{
	struct plait_list *l;

	while ((l = plait_list_first(&k->children)) != NULL) {
		struct process *p = plait_container(l, struct process, sibling);

		process_is_nobodys(p);
		if (p->dies_with_parent)
			plait_i_process_signal(p, SIGKILL);
		process_settle(p);
	}
}

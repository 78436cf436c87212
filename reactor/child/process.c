/*
 * Children: a program that runs, its pipes, and its end.
 *
 * A child has ended when its descriptor says so, which is told by exited(); its
 * pipes may stay open, because it may have left them to others.  When it has
 * ended and all pipes are closed, ended() and done() are told, from the loop.
 * The story of a child:
 *
 *   plait_spawn()	makes the pipes, then the child; what can fail
 *			fails before there is a child
 *   process_ready()	the child has ended: notes how
 *   process_pipe_lost()	a pipe is closed
 *   process_go_on()	tells what there is to tell, and buries
 *
 * and of stopping it:
 *
 *   plait_process_stop()	SIGTERM and SIGCONT, and the grace begins
 *   process_kill()		the grace has passed: SIGKILL
 *
 * A child that has ended keeps its number until somebody waits for it.  If it
 * is alone that is done at once.  A child with a group is waited for when all
 * is over: until then the number of the group cannot be anybody else's, and so
 * what the child has left behind can be signalled.
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/deferred.h"
#include "lib/exception.h"
#include "reactor/child/process.h"
#include "reactor/net/stream.h"

enum { KILLED_WITHIN = 1000 }; /* milliseconds, when nobody waits any more */

/* ---- what is told -------------------------------------------------------- */

static bool process_is_told(const struct plait_process *c)
{
	return c->protocol != NULL && !loop_is_forked(c->reactor);
}

static OUT_OF_LINE void process_tell_started(struct plait_process *c)
{
	struct plait_process_protocol *p = c->protocol;

	if (c->started || !process_is_told(c))
		return;
	c->started = true;
	if (p->ops->started != NULL)
		p->ops->started(p);
	exception_barrier();
}

static OUT_OF_LINE void process_tell_received(struct plait_process *c, int fd,
					      const void *data, size_t len)
{
	struct plait_process_protocol *p = c->protocol;

	process_tell_started(c);
	if (process_is_told(c) && p->ops->received != NULL)
		p->ops->received(p, fd, data, len);
	exception_barrier();
}

static OUT_OF_LINE void process_tell_closed(struct plait_process *c, int fd,
					    const struct plait_failure *why)
{
	struct plait_process_protocol *p = c->protocol;

	process_tell_started(c);
	if (process_is_told(c) && p->ops->closed != NULL)
		p->ops->closed(p, fd, why);
	exception_barrier();
}

static OUT_OF_LINE void process_tell_exited(struct plait_process *c)
{
	struct plait_process_protocol *p = c->protocol;

	if (c->told_exited || !process_is_told(c))
		return;
	c->told_exited = true;
	if (p->ops->exited != NULL)
		p->ops->exited(p, &c->how);
	exception_barrier();
}

static OUT_OF_LINE void process_tell_ended(struct plait_process *c)
{
	struct plait_process_protocol *p = c->protocol;

	if (!process_is_told(c))
		return;
	p->process = NULL;
	if (p->ops->ended != NULL)
		p->ops->ended(p, &c->how);
	c->protocol = NULL;
	if (!loop_is_forked(c->reactor) && p->ops->done != NULL)
		p->ops->done(p);
	exception_barrier();
}

/* ---- sending signals ------------------------------------------------------
 */

/* Is there a child, or what is left of its group? */
static bool process_is_there(const struct plait_process *c)
{
	return c->process.fd >= 0 && (c->group || !c->has_exited);
}

static int process_send(struct plait_process *c, int number)
{
	struct kernel *k = loop_kernel(c->reactor);

	return (c->group ? process_calls(c->reactor)
				   ->signal_group(k, &c->process, number)
			 : process_calls(c->reactor)
				   ->signal(k, &c->process, number)) < 0
		       ? -errno
		       : 0;
}

/* ---- the end ------------------------------------------------------------- */

static void process_run_burial(struct loop_task *task)
{
	free(plait_container(task, struct plait_process, burial));
}

static void process_close(struct plait_process *c)
{
	if (c->process.fd < 0)
		return;
	plait_watch_stop(&c->watch);
	plait_timer_stop(&c->looking);
	process_calls(c->reactor)
		->forget(loop_kernel(c->reactor), &c->process,
			 loop_is_forked(c->reactor));
	plait_i_family_leave(&c->family);
}

/* Somebody has closed the descriptor, and its number may be another's: nobody
   will know how the child ends. */
static void process_lose_descriptor(struct plait_process *c)
{
	c->process.fd = -1;
	c->has_exited = c->how.unknown = true;
	plait_timer_stop(&c->killing);
	plait_i_family_leave(&c->family);
}

void plait_i_process_exit_init(struct plait_process_exit *how)
{
	*how = (struct plait_process_exit){ .code = -1 };
}

void plait_i_process_exit_note(struct plait_process_exit *how,
			       const siginfo_t *info)
{
	if (info->si_code == CLD_EXITED)
		how->code = info->si_status;
	else
		how->signal = info->si_status;
	how->dumped = info->si_code == CLD_DUMPED;
}

/* Waits for the child, or only looks how it has ended.  False: it has not. */
static bool process_reap(struct plait_process *c, int options)
{
	siginfo_t info;

	if (process_calls(c->reactor)
		    ->reap(loop_kernel(c->reactor), &c->process, options,
			   &info) < 0) {
		if (errno == EAGAIN)
			return false;
		c->how.unknown = !c->has_exited;
	} else if (!c->has_exited) {
		plait_i_process_exit_note(&c->how, &info);
	}
	c->has_exited = true;
	return true;
}

static void process_wait_for(struct plait_process *c)
{
	if (c->process.fd >= 0)
		process_reap(c, 0);
	process_close(c);
}

static bool process_is_over(const struct plait_process *c)
{
	return c->told_exited && plait_list_is_empty(&c->pipes);
}

/*
 * The group of a child that is being stopped may still have its grace when all
 * is told.  Then only the memory is left, and waits for that.
 */
static void process_bury(struct plait_process *c)
{
	if (plait_timer_is_running(&c->killing))
		return;
	process_wait_for(c);
	loop_task_cancel(&c->telling);
	loop_part(&c->member);
	plait_i_loop_bury(c->reactor, &c->burial);
}

static void process_end_waiting(struct plait_process *c)
{
	if (c->trigger != 0)
		plait_reactor_remove_trigger(c->reactor, c->trigger);
	c->trigger = 0;
	if (c->shutdown != NULL)
		plait_fire(&c->shutdown, PLAIT_NONE);
}

/* Tells what there is to tell.  A callback may have forked. */
static void process_go_on(struct plait_process *c)
{
	process_tell_started(c);
	if (c->has_exited && !c->told_exited) {
		process_end_waiting(c);
		process_tell_exited(c);
	}
	if (!process_is_over(c) || loop_is_forked(c->reactor))
		return;
	process_tell_ended(c);
	if (!loop_is_forked(c->reactor))
		process_bury(c);
}

static void process_run_telling(struct loop_task *task)
{
	process_go_on(plait_container(task, struct plait_process, telling));
}

/* ---- pipes --------------------------------------------------------------- */

static void process_pipe_received(struct plait_protocol *base, const void *data,
				  size_t len)
{
	struct process_pipe *p = process_pipe(base);

	process_tell_received(p->of, p->fd, data, len);
}

/* To shut one half of a pipe is to close it: there is no other. */
static void process_pipe_shut(struct plait_protocol *base)
{
	plait_transport_lose_connection(base->transport);
}

/* The end of the child is told in the next turn, as what the loop calls now may
   be a callback of the child. */
static void process_pipe_lost(struct plait_protocol *base,
			      const struct plait_failure *why)
{
	struct process_pipe *p = process_pipe(base);
	struct plait_process *c = p->of;

	plait_list_remove(&p->link);
	p->of = NULL;
	process_tell_closed(c, p->fd, why);
	if (process_is_over(c))
		plait_i_loop_next_turn(c->reactor, &c->telling);
}

static void process_pipe_done(struct plait_protocol *base)
{
	plait_list_remove(&process_pipe(base)->link);
}

/*
 * Nobody has the terminal open.  If the child still runs, to close the terminal
 * now would send it SIGHUP: many programs close their descriptors just before
 * they end.
 */
static void process_terminal_ended(struct plait_protocol *base)
{
	struct process_pipe *p = process_pipe(base);

	p->has_ended = true;
	if (p->of->has_exited)
		plait_transport_lose_connection(base->transport);
}

static void process_close_terminal(struct plait_process *c)
{
	struct plait_list *l, *following;

	plait_list_for_each_safe (l, following, &c->pipes) {
		struct process_pipe *p =
			plait_container(l, struct process_pipe, link);

		if (p->has_ended)
			plait_transport_lose_connection(p->base.transport);
	}
}

const struct plait_protocol_ops plait_i_process_terminal_ops = {
	.name = "terminal",
	.size = sizeof(struct process_pipe),
	.data_received = process_pipe_received,
	.read_connection_lost = process_terminal_ended,
	.write_connection_lost = process_pipe_shut,
	.connection_lost = process_pipe_lost,
	.done = process_pipe_done,
};

const struct plait_protocol_ops plait_i_process_pipe_ops = {
	.name = "pipe",
	.size = sizeof(struct process_pipe),
	.data_received = process_pipe_received,
	.write_connection_lost = process_pipe_shut,
	.connection_lost = process_pipe_lost,
	.done = process_pipe_done,
};

/* A terminal is known by the first of its numbers. */
static int process_pipe_number(const struct plait_process *c, int fd)
{
	for (size_t i = 0; i < c->n_terminal; i++) {
		if (c->terminal[i] == fd)
			return c->terminal[0];
	}
	return fd;
}

static struct plait_transport *process_transport(const struct plait_process *c,
						 int fd)
{
	struct plait_list *l;

	plait_list_for_each (l, &c->pipes) {
		struct process_pipe *pipe =
			plait_container(l, struct process_pipe, link);

		if (pipe->fd == process_pipe_number(c, fd))
			return pipe->base.transport;
	}
	return NULL;
}

struct plait_transport *
plait_process_transport(const struct plait_process_protocol *p, int fd)
{
	if (p == NULL || p->process == NULL)
		return NULL;
	loop_check(p->process->reactor, "plait_process_transport()");
	return process_transport(p->process, fd);
}

int plait_process_set_window(struct plait_process_protocol *p,
			     unsigned short rows, unsigned short columns)
{
	struct plait_process *c = p != NULL ? p->process : NULL;
	struct plait_transport *t;

	if (c == NULL)
		return -ENOTTY;
	loop_check(c->reactor, "plait_process_set_window()");
	if (c->n_terminal == 0 || loop_is_forked(c->reactor))
		return -ENOTTY;
	t = process_transport(c, c->terminal[0]);
	if (t == NULL)
		return -ENOTTY;
	return process_calls(c->reactor)
				       ->set_window(loop_kernel(c->reactor),
						    stream_of(t)->fd, rows,
						    columns) < 0
		       ? -errno
		       : 0;
}

/* ---- its end is seen ----------------------------------------------------- */

static const double traced = 0.05; /* seconds between two looks */

static void process_look_again(void *arg);

/*
 * If somebody else has waited for the child, the number of its group is its own
 * only as long as somebody is in it.
 */
static void process_give_up_group(struct plait_process *c)
{
	if (c->group && c->how.unknown && process_send(c, 0) == -ESRCH)
		c->group = false;
}

void plait_i_process_wait_for_tracer(struct plait_watch *w,
				     struct plait_reactor *r,
				     struct plait_timer *looking,
				     plait_func *look, void *arg)
{
	plait_watch_stop(w);
	plait_timer_start(r, looking, traced, look, arg);
}

/* Returns false if it is not there yet, or was noted before. */
static bool process_note_end(struct plait_process *c)
{
	if (c->has_exited)
		return false;
	if (!process_reap(c, c->group ? WNOWAIT : 0)) {
		plait_i_process_wait_for_tracer(&c->watch, c->reactor,
						&c->looking, process_look_again,
						c);
		return false;
	}
	process_give_up_group(c);
	if (c->group) {
		plait_watch_stop(&c->watch);
	} else {
		process_close(c);
		plait_timer_stop(&c->killing);
	}
	return true;
}

static void process_is_known_to_end(struct plait_process *c)
{
	process_close_terminal(c);
	process_go_on(c);
}

static void process_look_again(void *arg)
{
	struct plait_process *c = arg;

	if (process_note_end(c))
		process_is_known_to_end(c);
}

static void process_ready(struct plait_watch *w, unsigned events)
{
	struct plait_process *c =
		plait_container(w, struct plait_process, watch);

	if (events & PLAIT_WATCH_LOST)
		process_lose_descriptor(c);
	else if (!process_note_end(c))
		return;
	process_is_known_to_end(c);
}

/* ---- signals ------------------------------------------------------------- */

pid_t plait_process_pid(const struct plait_process_protocol *p)
{
	if (p == NULL || p->process == NULL)
		return 0;
	loop_check(p->process->reactor, "plait_process_pid()");
	return p->process->process.pid;
}

int plait_process_signal(struct plait_process_protocol *p, int number)
{
	struct plait_process *c = p != NULL ? p->process : NULL;

	if (c == NULL)
		return -ESRCH;
	loop_check(c->reactor, "plait_process_signal()");
	if (c->has_exited || loop_is_forked(c->reactor))
		return -ESRCH;
	return process_calls(c->reactor)
				       ->signal(loop_kernel(c->reactor),
						&c->process, number) < 0
		       ? -errno
		       : 0;
}

static void process_kill(void *arg)
{
	struct plait_process *c = arg;

	if (process_is_there(c))
		process_send(c, SIGKILL);
	/* What is over, but not told yet, is buried when it was told. */
	if (c->protocol == NULL && process_is_over(c))
		process_bury(c);
}

static void process_stop(struct plait_process *c)
{
	if (c->stopping || !process_is_there(c) || loop_is_forked(c->reactor))
		return;
	c->stopping = true;
	process_send(c, SIGTERM);
	/* Who stands still takes SIGTERM only when it goes on. */
	process_send(c, SIGCONT);
	plait_timer_start(c->reactor, &c->killing, c->grace, process_kill, c);
}

void plait_process_stop(struct plait_process_protocol *p)
{
	if (p == NULL || p->process == NULL)
		return;
	loop_check(p->process->reactor, "plait_process_stop()");
	process_stop(p->process);
}

void plait_i_process_kill(struct plait_process_protocol *p)
{
	struct plait_process *c = p->process;

	if (c == NULL || !process_is_there(c) || loop_is_forked(c->reactor))
		return;
	process_send(c, SIGKILL);
}

/* ---- the end of the reactor ---------------------------------------------- */

/* The shutdown goes on without the child, which is killed then. */
static plait_value process_wait_no_more(struct plait_deferred *d, void *arg)
{
	struct plait_process *c = arg;

	plait_promise_drop(&c->shutdown);
	return plait_cancelled();
}

static plait_value process_shut_down(void *arg)
{
	struct plait_process *c = arg;
	struct plait_deferred *d;

	if (c->has_exited || c->shutdown != NULL)
		return PLAIT_NONE;
	process_stop(c);
	d = plait_deferred_new(&c->shutdown, process_wait_no_more, c);
	return plait_chain(&d);
}

/* Nobody waits any more, so the child is killed; a moment later it is gone,
   unless the kernel cannot end it. */
static void process_end_now(struct plait_process *c)
{
	if (process_is_there(c))
		process_send(c, SIGKILL);
	if (!c->has_exited) {
		process_calls(c->reactor)
			->wait(loop_kernel(c->reactor), &c->process,
			       KILLED_WITHIN);
		if (!process_reap(c, c->group ? WNOWAIT : 0))
			c->has_exited = c->how.unknown = true;
	}
	if (!c->group)
		process_close(c);
}

static void process_lose(struct loop_member *m)
{
	struct plait_process *c =
		plait_container(m, struct plait_process, member);

	loop_part(&c->member);
	plait_timer_stop(&c->killing);
	/* No grace begins any more, as its timer would never come. */
	c->stopping = true;
	process_end_now(c);
	plait_i_loop_next_turn(c->reactor, &c->telling);
}

/* In a forked child, whose this child is not. */
static void process_abandon(struct loop_member *m)
{
	struct plait_process *c =
		plait_container(m, struct plait_process, member);
	struct plait_list *l, *following;

	loop_part(&c->member);
	plait_timer_stop(&c->killing);
	loop_task_cancel(&c->telling);
	process_close(c);
	plait_list_for_each_safe (l, following, &c->pipes)
		plait_list_remove(l);
	plait_i_deferred_abandon(&c->shutdown);
	if (c->protocol != NULL) {
		c->protocol->process = NULL;
		if (c->abandoned != NULL)
			c->abandoned(c->protocol);
		c->protocol = NULL;
	}
	plait_i_loop_bury(c->reactor, &c->burial);
}

static const struct loop_member_ops process_member_ops = {
	.lose = process_lose,
	.abandon = process_abandon,
};

/* ---- for launch.c -------------------------------------------------------- */

void plait_i_process_init(struct plait_process *c, struct plait_reactor *r)
{
	c->reactor = r;
	c->process.fd = -1;
	plait_i_process_exit_init(&c->how);
	c->member.ops = &process_member_ops;
	c->telling.run = process_run_telling;
	c->burial.run = process_run_burial;
	plait_list_init(&c->pipes);
}

int plait_i_process_watch(struct plait_process *c)
{
	return plait_watch_start(c->reactor, &c->watch, c->process.fd,
				 PLAIT_WATCH_READ, process_ready);
}

int plait_i_process_mind_shutdown(struct plait_process *c)
{
	return plait_reactor_add_trigger(c->reactor, PLAIT_TRIGGER_BEFORE,
					 PLAIT_TRIGGER_SHUTDOWN,
					 process_shut_down, c, &c->trigger);
}

void plait_i_process_run(struct plait_process *c,
			 struct plait_process_protocol *p)
{
	c->protocol = p;
	p->process = c;
	plait_i_loop_join(c->reactor, &c->member);
	plait_i_loop_next_turn(c->reactor, &c->telling);
}

void plait_i_process_unmake(struct plait_process *c)
{
	process_end_now(c);
	process_wait_for(c);
}

/* After its end, in this process, p waits for its done(). */
bool plait_i_process_forget(struct plait_process_protocol *p)
{
	struct plait_process *c = p->process;

	if (c != NULL && !loop_is_forked(c->reactor))
		return false;
	if (c != NULL)
		c->protocol = NULL;
	p->process = NULL;
	return true;
}

void plait_i_process_when_abandoned(
	struct plait_process_protocol *p,
	void (*fn)(struct plait_process_protocol *p))
{
	p->process->abandoned = fn;
}

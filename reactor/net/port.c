/*
 * Ports: what is the same for all of them.
 *
 * A port accepts while it is open.  It ends in two steps, whoever asked: at
 * once it accepts no more, and from the loop, when no event can refer to its
 * descriptor, it is closed, its factory stopped and whoever waits for it
 * told.  The struct lives on until the user has given the handle back or the
 * reactor is freed, so a handle to a port that a shutdown has closed is still
 * good.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/deferred.h"
#include "reactor/net/endpoint.h"

static struct plait_port *port_of_answer(struct loop_task *task)
{
	return plait_container(task, struct plait_port, answer);
}

static void free_port(struct plait_port *p)
{
	plait_i_guest_forget_port(p);
	p->ops->free(p);
}

static void run_burial(struct loop_task *task)
{
	free_port(plait_container(task, struct plait_port, burial));
}

/* In a forked child, where it may listen still: tells nobody. */
static void abandon_port(struct plait_port *p)
{
	loop_part(&p->member);
	p->open = false;
	p->ops->stop(p);
	p->ops->close(p);
}

static void abandon_member(struct loop_member *m)
{
	abandon_port(plait_container(m, struct plait_port, member));
}

/* The reactor goes, and nobody gave the handle back. */
static void run_keep(struct loop_task *task)
{
	struct plait_port *p = plait_container(task, struct plait_port, keep);

	abandon_port(p);
	loop_task_cancel(&p->answer);
	plait_i_deferred_abandon(&p->stopped);
	free_port(p);
}

static void close_port(struct plait_port *p)
{
	p->closed = true;
	p->ops->close(p);
	plait_i_factory_stop(p->factory);
}

static void run_answer(struct loop_task *task)
{
	struct plait_port *p = port_of_answer(task);
	struct plait_reactor *r = p->reactor;

	plait_i_loop_enter(r);
	if (!p->closed)
		close_port(p);
	if (p->released && !loop_is_forked(r)) {
		/* The factory's stop() may have been where it was. */
		loop_task_cancel(&p->answer);
		loop_task_cancel(&p->keep);
		plait_i_loop_bury(r, &p->burial);
		plait_fire(&p->stopped, PLAIT_NONE);
	}
	plait_i_loop_leave(r);
}

/* Accepts no more, and leaves the rest to the loop. */
static void end_port(struct plait_port *p)
{
	if (p->open) {
		p->open = false;
		loop_part(&p->member);
		p->ops->stop(p);
	}
	plait_i_loop_next_turn(p->reactor, &p->answer);
}

static void lose_port(struct loop_member *m)
{
	end_port(plait_container(m, struct plait_port, member));
}

static const struct loop_member_ops port_member_ops = {
	.lose = lose_port,
	.abandon = abandon_member,
};

static void open_port(struct plait_port *p, struct plait_reactor *r,
		      struct plait_factory *f,
		      const struct plait_listen_options *options)
{
	p->reactor = r;
	p->factory = f;
	p->max_connections = options->max_connections;
	p->shed_idle = options->shed_idle;
	plait_list_init(&p->guests);
	p->member.ops = &port_member_ops;
	p->answer.run = run_answer;
	p->burial.run = run_burial;
	p->keep.run = run_keep;
	p->open = true;
	plait_i_loop_join(r, &p->member);
	plait_i_loop_keep(r, &p->keep);
	plait_i_loop_enter(r);
	plait_i_factory_start(f);
	plait_i_loop_leave(r);
}

int plait_listen_tcp(struct plait_reactor *r, unsigned port,
		     struct plait_factory *f,
		     const struct plait_listen_options *options,
		     struct plait_port **ret)
{
	static const struct plait_listen_options defaults;
	port_maker *make = plait_i_loop_is_virtual(r) ? plait_i_testing_port_new
						      : plait_i_tcp_port_new;
	struct plait_address address;
	struct plait_port *p;
	int err;

	loop_check(r, "plait_listen_tcp()");
	if (loop_is_forked(r))
		return -ECHILD;
	if (plait_i_loop_is_closing(r))
		return -ESHUTDOWN;
	if (options == NULL)
		options = &defaults;
	if (plait_address_parse(&address, options->iface, port) < 0)
		return -EINVAL;
	err = make(r, &address, options, &p);
	if (err < 0)
		return err;
	if (ret != NULL)
		*ret = p;
	open_port(p, r, f, options);
	return 0;
}

void plait_port_address(const struct plait_port *p, struct plait_address *ret)
{
	*ret = p->address;
}

struct plait_deferred *plait_port_stop_listening_at(struct plait_port **pp,
						    const char *where)
{
	struct plait_port *p = *pp;
	struct plait_deferred *d;

	*pp = NULL;
	if (p == NULL)
		return plait_succeed_at(PLAIT_NONE, where);
	loop_check(p->reactor, where);
	if (loop_is_forked(p->reactor)) {
		abandon_port(p);
		return plait_succeed_at(PLAIT_NONE, where);
	}
	d = plait_deferred_new_at(&p->stopped, NULL, NULL, where);
	p->released = true;
	end_port(p);
	return d;
}

int plait_port_str(const struct plait_port *p, char *buf, size_t size)
{
	char address[PLAIT_ADDRESS_SIZE];

	plait_address_str(&p->address, address, sizeof(address));
	return snprintf(buf, size, "port on %s, %s", address,
			p->open ? "listening" : "closed");
}

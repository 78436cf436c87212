/*
 * Ports: what is the same for all kinds of them.
 *
 * A port accepts while it is open and not paused.  A port that drains does so
 * too, until nobody waits, and then ends.
 *
 * A port ends in two steps, whoever asked for it.  At once it accepts no more.
 * Later, from the loop, when no event can refer to its descriptor any more, it
 * is closed; then its factory is told, if it has one, and whoever waits for the
 * end.
 *
 * The struct is kept until the program has ended the handle, or the reactor is
 * freed.  So a handle is still good when a shutdown has closed the port.  If a
 * value owns the handle, the struct is kept until the value is freed or taken.
 */
#include <errno.h>
#include <stdio.h>

#include "lib/deferred.h"
#include "reactor/net/port.h"

/* They are defined in this file, and their calls here pass the place. */
#undef plait_port_stop_listening
#undef plait_port_drain
#undef plait_value_port
#undef plait_port_take

static void port_free(struct plait_port *p)
{
	trace_note(TRACE_PORT_FREED, p, p->reactor, NULL, 0);
	plait_i_address_drop(&p->address);
	p->ops->free(p);
}

static void port_run_burial(struct loop_task *task)
{
	struct plait_port *p = plait_container(task, struct plait_port, burial);

	port_free(p);
}

/* In a forked child: closes the port there, and tells nobody. */
static void port_abandon(struct plait_port *p)
{
	loop_part(&p->member);
	p->open = false;
	p->ops->stop(p);
	p->ops->close(p);
}

static void port_abandon_member(struct loop_member *m)
{
	port_abandon(plait_container(m, struct plait_port, member));
}

/* The reactor is freed, and the program has not ended the handle. */
static void port_run_keep(struct loop_task *task)
{
	struct plait_port *p = plait_container(task, struct plait_port, keep);

	port_abandon(p);
	loop_task_cancel(&p->answer);
	plait_i_deferred_abandon(&p->stopped);
	if (p->valued)
		p->reactor = NULL;
	else
		port_free(p);
}

static void port_close(struct plait_port *p)
{
	p->closed = true;
	p->ops->close(p);
	if (p->ops->ended != NULL)
		p->ops->ended(p);
}

static void port_run_answer(struct loop_task *task)
{
	struct plait_port *p = plait_container(task, struct plait_port, answer);

	if (!p->closed)
		port_close(p);
	if (!p->released || loop_is_forked(p->reactor))
		return;
	/* The handle may have been ended while users were told of the end. */
	loop_task_cancel(&p->answer);
	loop_task_cancel(&p->keep);
	plait_i_loop_bury(p->reactor, &p->burial);
	plait_fire(&p->stopped, PLAIT_NONE);
}

void plait_i_port_end(struct plait_port *p)
{
	if (p->open) {
		trace_note(TRACE_DEAF, p, p->reactor, NULL, 0);
		p->open = false;
		loop_part(&p->member);
		p->ops->stop(p);
	}
	plait_i_loop_next_turn(p->reactor, &p->answer);
}

static void port_lose(struct loop_member *m)
{
	plait_i_port_end(plait_container(m, struct plait_port, member));
}

static const struct loop_member_ops port_member_ops = {
	.lose = port_lose,
	.abandon = port_abandon_member,
};

int plait_i_port_check(struct plait_reactor *r, const char *function)
{
	loop_check_given(r, function, NULL);
	if (loop_is_forked(r))
		return -ECHILD;
	return plait_i_loop_is_closing(r) ? -ESHUTDOWN : 0;
}

void plait_i_port_open(struct plait_port *p, struct plait_reactor *r)
{
	p->reactor = r;
	p->member.ops = &port_member_ops;
	p->answer.run = port_run_answer;
	p->burial.run = port_run_burial;
	p->keep.run = port_run_keep;
	p->open = true;
	plait_i_loop_join(r, &p->member);
	plait_i_loop_keep(r, &p->keep);
	trace_note(TRACE_LISTENS, p, r, NULL, 0);
}

void plait_port_host(const struct plait_port *p, struct plait_address *ret)
{
	if (p != NULL)
		plait_i_address_get(&p->address, ret);
	else
		*ret = (struct plait_address){ .family = 0 };
}

static void port_set_paused(struct plait_port *p, bool changes, bool on)
{
	if (changes && p->open && p->ops->pause != NULL &&
	    !loop_is_forked(p->reactor))
		p->ops->pause(p, on);
}

void plait_port_pause_accepting(struct plait_port *p)
{
	if (p == NULL)
		return;
	loop_check(p->reactor, "plait_port_pause_accepting()");
	port_set_paused(p, p->pauses++ == 0, true);
}

void plait_port_resume_accepting(struct plait_port *p)
{
	if (p == NULL)
		return;
	loop_check(p->reactor, "plait_port_resume_accepting()");
	if (p->pauses == 0)
		plait_die("plait_port_resume_accepting",
			  "the port is not paused");
	port_set_paused(p, --p->pauses == 0, false);
}

/* Ends the handle; the port ends from the loop. */
static void port_release(struct plait_port **pp)
{
	struct plait_port *p = *pp;

	*pp = NULL;
	if (loop_is_forked(p->reactor)) {
		port_abandon(p);
		return;
	}
	p->released = true;
	plait_i_port_end(p);
}

void plait_port_free(struct plait_port **pp)
{
	if (pp == NULL || *pp == NULL)
		return;
	loop_check((*pp)->reactor, "plait_port_free()");
	port_release(pp);
}

void plait_port_cleanup(struct plait_port **pp)
{
	plait_port_free(pp);
}

/* The port ends nevertheless. */
static plait_value port_wait_no_more(struct plait_deferred *d, void *arg)
{
	struct plait_port *p = arg;

	plait_promise_drop(&p->stopped);
	return plait_cancelled();
}

struct plait_deferred *plait_port_stop_listening(struct plait_port **pp,
						 const char *where)
{
	struct plait_port *p = pp != NULL ? *pp : NULL;
	struct plait_deferred *d;

	if (p != NULL)
		loop_check(p->reactor, where);
	if (p == NULL || loop_is_forked(p->reactor))
		d = (plait_succeed)(PLAIT_NONE, where);
	else
		d = (plait_deferred_new)(&p->stopped, port_wait_no_more, p,
					 where);
	plait_port_free(pp);
	return d;
}

/* Ends the port; the kernel resets those who still wait. */
static plait_value port_cancel_drain(struct plait_deferred *d, void *arg)
{
	struct plait_port *p = arg;

	plait_promise_drop(&p->stopped);
	if (loop_is_forked(p->reactor))
		port_abandon(p);
	else
		plait_i_port_end(p);
	return plait_cancelled();
}

struct plait_deferred *plait_port_drain(struct plait_port **pp,
					const char *where)
{
	struct plait_port *p = pp != NULL ? *pp : NULL;
	struct plait_deferred *d;

	if (p == NULL || !p->open || p->ops->drain == NULL ||
	    loop_is_forked(p->reactor))
		return plait_port_stop_listening(pp, where);
	loop_check(p->reactor, where);
	d = (plait_deferred_new)(&p->stopped, port_cancel_drain, p, where);
	*pp = NULL;
	p->released = p->draining = true;
	p->ops->drain(p);
	return d;
}

/* ---- values -------------------------------------------------------------- */

static void port_value_free(void *ptr)
{
	struct plait_port *p = ptr;

	p->valued = false;
	if (p->reactor == NULL)
		port_free(p);
	else
		plait_port_free(&p);
}

const struct plait_type plait_port_type = {
	.name = "port",
	.free = port_value_free,
};

plait_value plait_port_value(struct plait_port **pp)
{
	struct plait_port *p = pp != NULL ? *pp : NULL;

	if (p == NULL)
		return plait_no_memory();
	*pp = NULL;
	p->valued = true;
	return plait_value_make(&plait_port_type, p);
}

struct plait_port *plait_value_port(const plait_value *v, const char *where)
{
	struct plait_port *p = (plait_value_get)(v, &plait_port_type, where);

	return p->reactor != NULL ? p : NULL;
}

struct plait_port *plait_port_take(plait_value *slot, const char *where)
{
	struct plait_port *p = plait_value_port(slot, where);
	plait_value v = plait_value_take(slot);

	if (p != NULL)
		p->valued = false;
	else
		plait_value_free(&v);
	return p;
}

int plait_i_port_where(const struct plait_port *p, char *buf, size_t size)
{
	struct plait_address address;

	if (p->ops->where != NULL)
		return p->ops->where(p, buf, size);
	plait_port_host(p, &address);
	return plait_address_str(&address, buf, size);
}

int plait_port_str(const struct plait_port *p, char *buf, size_t size)
{
	char where[PORT_WHERE_SIZE];

	if (p == NULL)
		return snprintf(buf, size, "no port");
	plait_i_port_where(p, where, sizeof(where));
	return snprintf(buf, size, "port on %s, %s", where,
			!p->open	? "closed"
			: p->pauses > 0 ? "paused"
			: p->draining	? "draining"
					: "listening");
}

/*
 * Standard input and output for a factory: a port that accepts one connection,
 * and a connector that makes it.  They are for programs that are told at their
 * start where to listen or to connect.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/failure.h"
#include "reactor/kernel/end.h"
#include "reactor/net/admit.h"
#include "reactor/net/connector.h"
#include "reactor/net/guest.h"
#include "reactor/net/stdio.h"

static const struct plait_address stdio_nobody = { .family = AF_UNSPEC };

static int stdio_where(char *buf, size_t size)
{
	return snprintf(buf, size, "standard input and output");
}

/* 0, or why there is no standard input or output. */
static int stdio_look(struct plait_reactor *r)
{
	const struct kernel_ends *ends = kernel_ends_of(loop_kernel(r));
	struct kernel_end e;

	if (ends == NULL)
		return -ENOTSUP;
	for (int fd = 0; fd < 2; fd++) {
		if (ends->look(loop_kernel(r), fd, &e) < 0)
			return -errno;
	}
	return 0;
}

/* ---- the port ------------------------------------------------------------ */

struct stdio_port {
	struct acceptor base;
	struct loop_task begin;
	bool is_used; /* the connection was made, or could not be made */
};

static struct stdio_port *stdio_port(struct plait_port *p)
{
	return plait_self(p, struct stdio_port);
}

static struct plait_transport *
stdio_port_transport(struct newcomer *n, struct transport_owner *owner)
{
	return plait_i_stdio(n->reactor, PLAIT_TERMINAL_AS_IT_WAS, owner);
}

static void stdio_port_run(struct loop_task *task)
{
	struct stdio_port *s = plait_container(task, struct stdio_port, begin);
	struct newcomer n = {
		.reactor = s->base.port.reactor,
		.factory = s->base.factory,
		.peer = &stdio_nobody,
		.acceptor = &s->base,
		.transport = stdio_port_transport,
	};

	s->is_used = true;
	plait_i_admit(&n);
}

static void stdio_port_begin(struct stdio_port *s)
{
	if (!s->is_used)
		plait_i_loop_next_turn(s->base.port.reactor, &s->begin);
}

static void stdio_port_stop(struct plait_port *p)
{
	loop_task_cancel(&stdio_port(p)->begin);
}

static void stdio_port_close(struct plait_port *p)
{
}

static void stdio_port_pause(struct plait_port *p, bool on)
{
	if (on)
		loop_task_cancel(&stdio_port(p)->begin);
	else
		stdio_port_begin(stdio_port(p));
}

static void stdio_port_free(struct plait_port *p)
{
	plait_i_guest_forget_acceptor(&stdio_port(p)->base);
	free(stdio_port(p));
}

static int stdio_port_where(const struct plait_port *p, char *buf, size_t size)
{
	return stdio_where(buf, size);
}

static void stdio_port_room(struct acceptor *a)
{
}

static const struct acceptor_ops stdio_port_ops = {
	.port = { .stop = stdio_port_stop,
		  .close = stdio_port_close,
		  .ended = plait_i_acceptor_ended,
		  .pause = stdio_port_pause,
		  .free = stdio_port_free,
		  .where = stdio_port_where },
	.room = stdio_port_room,
};

static int stdio_port_new(struct plait_reactor *r,
			  const struct plait_address *address,
			  const struct plait_listen_options *options,
			  struct acceptor **ret)
{
	struct stdio_port *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return -ENOMEM;
	s->base.port.ops = &stdio_port_ops.port;
	s->base.port.reactor = r;
	s->begin.run = stdio_port_run;
	stdio_port_begin(s);
	*ret = &s->base;
	return 0;
}

int plait_listen_stdio(struct plait_reactor *r, struct plait_factory *f,
		       struct plait_port **ret)
{
	int err;

	loop_check_given(r, "plait_listen_stdio()", NULL);
	err = stdio_look(r);
	return err < 0 ? err
		       : plait_i_acceptor_listen(r, "plait_listen_stdio()",
						 stdio_port_new, NULL, NULL, f,
						 ret);
}

/* ---- the connector ------------------------------------------------------- */

struct stdio_attempt {
	struct attempt base;
	struct loop_task begin;
	bool is_first; /* what comes after it is /dev/null */
};

static struct stdio_attempt *stdio_attempt(struct attempt *a)
{
	return plait_self(a, struct stdio_attempt);
}

static void stdio_attempt_run(struct loop_task *task)
{
	struct stdio_attempt *s =
		plait_container(task, struct stdio_attempt, begin);

	if (s->is_first)
		plait_i_attempt_connected(&s->base);
	else
		plait_i_attempt_failed(
			&s->base,
			plait_i_attempt_failure(&s->base, NULL, EALREADY));
}

static void stdio_attempt_init(struct attempt *a)
{
	stdio_attempt(a)->begin.run = stdio_attempt_run;
}

static void stdio_attempt_start(struct attempt *a)
{
	plait_i_loop_next_turn(a->of->reactor, &stdio_attempt(a)->begin);
}

static void stdio_attempt_stop(struct attempt *a)
{
	loop_task_cancel(&stdio_attempt(a)->begin);
}

static void stdio_attempt_close(struct attempt *a)
{
}

static struct plait_transport *
stdio_attempt_transport(struct attempt *a, struct transport_owner *owner)
{
	stdio_attempt(a)->is_first = false;
	return plait_i_stdio(a->of->reactor, PLAIT_TERMINAL_AS_IT_WAS, owner);
}

static int stdio_attempt_where(const struct attempt *a, char *buf, size_t size)
{
	return stdio_where(buf, size);
}

static const struct attempt_ops stdio_attempt_ops = {
	.size = sizeof(struct stdio_attempt),
	.init = stdio_attempt_init,
	.start = stdio_attempt_start,
	.stop = stdio_attempt_stop,
	.close = stdio_attempt_close,
	.transport = stdio_attempt_transport,
	.where = stdio_attempt_where,
};

struct plait_connector *plait_connect_stdio(struct plait_reactor *r,
					    struct plait_factory *f)
{
	struct plait_connector *c = plait_i_connector_new(
		r, "plait_connect_stdio()", &stdio_attempt_ops, f);

	int err;

	if (c == NULL)
		return NULL;
	err = stdio_look(r);
	if (err == 0)
		err = plait_i_connector_add(c, &stdio_nobody);
	if (err == 0)
		stdio_attempt(c->attempts.first)->is_first = true;
	else
		c->unusable = failure_in(plait_fail_errno(
			&plait_error_connect, -err,
			"connect to standard input and output"));
	plait_i_connector_start(c);
	return c;
}

/*
 * Sockets that the program was started with: ports that listen on them, and
 * connectors that are connected already.
 *
 * What a descriptor is is asked before it is taken, so that one that is no good
 * stays as it is.  Another process may use the same socket.  So a port that
 * drains sets no filter: it accepts what the queue can have held.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <plait/inherit.h>

#include "lib/base.h"
#include "lib/failure.h"
#include "reactor/kernel/address.h"
#include "reactor/net/connector.h"
#include "reactor/net/listener.h"
#include "reactor/net/socket_kind.h"
#include "reactor/net/tcp.h"
#include "reactor/net/unix.h"

/* ---- what a descriptor is ------------------------------------------------ */

struct inherited {
	int err; /* 0, or -errno: it is no socket */
	int listens;
	struct socket_kind kind;
};

static int inherit_ask_listens(struct kernel *k, int fd, int *ret)
{
	socklen_t len = sizeof(*ret);

	return kernel_getsockopt(k, fd, SOL_SOCKET, SO_ACCEPTCONN, ret, &len) <
			       0
		       ? -errno
		       : 0;
}

static struct inherited inherit_look(struct plait_reactor *r, int fd)
{
	struct kernel *k = loop_kernel(r);
	struct inherited i = { .err = -ENOTSUP };

	if (loop_is_virtual(r))
		return i;
	i.err = plait_i_socket_kind_look(k, fd, &i.kind);
	if (i.err == 0)
		i.err = inherit_ask_listens(k, fd, &i.listens);
	return i;
}

static const char *inherit_name(const struct socket_kind *i)
{
	if (i->family == AF_UNIX)
		return i->type == SOCK_STREAM ? "a UNIX socket"
					      : "a UNIX socket for datagrams";
	if (i->family != AF_INET && i->family != AF_INET6)
		return "a socket of another family";
	if (i->type == SOCK_STREAM)
		return "a TCP socket";
	return i->type == SOCK_DGRAM ? "a UDP socket" : "a raw socket";
}

int plait_fd_str(struct plait_reactor *r, int fd, char *buf, size_t size)
{
	struct inherited i;

	loop_check_given(r, "plait_fd_str()", NULL);
	i = inherit_look(r, fd);
	if (i.err == -EBADF)
		return snprintf(buf, size, "not open");
	if (i.err != 0)
		return snprintf(buf, size, "no socket");
	return snprintf(buf, size, "%s that %s", inherit_name(&i.kind),
			i.listens != 0		? "listens"
			: i.kind.connected == 0 ? "is connected"
						: "is not connected");
}

/* 0, or why it is no stream of a family that is known. */
static int inherit_check(const struct inherited *i)
{
	return i->err != 0 ? i->err : plait_i_socket_kind_check(&i->kind);
}

/* ---- ports --------------------------------------------------------------- */

#define INHERITED_PORT                                                         \
	.base = {                                                              \
		.port = { LISTENER_PORT },                                     \
		.room = plait_i_listener_room,                                 \
	}

static const struct listener_ops inherited_tcp_ops = {
	INHERITED_PORT,
	.io = &plait_i_tcp_stream_io,
};

static const struct listener_ops inherited_unix_ops = {
	INHERITED_PORT,
	.io = &plait_i_unix_stream_io,
};

/* What a port is made with.  common is a part of it, for all kinds of ports. */
struct inherit_options {
	struct plait_listen_options common;
	const struct listener_ops *ops;
	int fd;
};

/* From here on fd is the listener's, which closes it if that fails. */
static int inherit_open(struct listener *l, struct plait_reactor *r,
			const struct inherit_options *o)
{
	struct kernel *k = loop_kernel(r);
	struct plait_address at;
	int err = plait_i_address_of_socket(k, o->fd, &at), fd;

	if (err == 0)
		err = plait_i_address_keep(&l->base.port.address, &at);
	if (err < 0)
		return err;
	fd = kernel_inherit(k, o->fd);
	if (fd < 0)
		return -errno;
	l->backlog = SOMAXCONN;
	return plait_i_listener_init(l, o->ops, r, fd);
}

static int inherit_port_new(struct plait_reactor *r,
			    const struct plait_address *address,
			    const struct plait_listen_options *options,
			    struct acceptor **ret)
{
	struct listener *l = calloc(1, sizeof(*l));
	int err;

	if (l == NULL)
		return -ENOMEM;
	err = inherit_open(
		l, r,
		plait_container(options, const struct inherit_options, common));
	if (err < 0) {
		plait_i_address_drop(&l->base.port.address);
		free(l);
	} else {
		*ret = &l->base;
	}
	return err;
}

static bool inherit_options_are_good(const struct plait_listen_options *o)
{
	return !RESERVED_IN_USE(o) && o->iface == NULL && o->backlog == 0 &&
	       !o->no_address_reuse && !o->ipv6_only && !o->no_delay &&
	       !o->keep_alive;
}

int plait_listen_fd(struct plait_reactor *r, int fd, struct plait_factory *f,
		    const struct plait_listen_options *options,
		    struct plait_port **ret)
{
	struct inherit_options o = { .fd = fd };
	struct inherited i;
	int err;

	loop_check_given(r, "plait_listen_fd()", NULL);
	if (loop_is_forked(r))
		return -ECHILD;
	if (options != NULL && !inherit_options_are_good(options))
		return -EINVAL;
	i = inherit_look(r, fd);
	err = inherit_check(&i);
	if (err == 0 && i.listens == 0)
		err = -EINVAL;
	if (err < 0)
		return err;
	if (options != NULL)
		o.common = *options;
	o.ops = i.kind.family == AF_UNIX ? &inherited_unix_ops
					 : &inherited_tcp_ops;
	return plait_i_acceptor_listen(r, "plait_listen_fd()", inherit_port_new,
				       NULL, &o.common, f, ret);
}

/* ---- connectors ---------------------------------------------------------- */

struct inherit_attempt {
	struct attempt base;
	struct loop_task begin;
	const struct stream_io *io;
	int fd; /* -1: none, or none any more */
};

static struct inherit_attempt *inherit_attempt(struct attempt *a)
{
	return plait_self(a, struct inherit_attempt);
}

static void inherit_run(struct loop_task *task)
{
	struct inherit_attempt *i =
		plait_container(task, struct inherit_attempt, begin);

	if (i->fd >= 0)
		plait_i_attempt_connected(&i->base);
	else
		plait_i_attempt_failed(
			&i->base,
			plait_i_attempt_failure(&i->base, NULL, EALREADY));
}

static void inherit_init(struct attempt *a)
{
	inherit_attempt(a)->begin.run = inherit_run;
	inherit_attempt(a)->fd = -1;
}

static void inherit_start(struct attempt *a)
{
	plait_i_loop_next_turn(a->of->reactor, &inherit_attempt(a)->begin);
}

static void inherit_stop(struct attempt *a)
{
	loop_task_cancel(&inherit_attempt(a)->begin);
}

static void inherit_close(struct attempt *a)
{
	if (inherit_attempt(a)->fd >= 0)
		plait_i_loop_close(a->of->reactor, inherit_attempt(a)->fd);
	inherit_attempt(a)->fd = -1;
}

static struct plait_transport *inherit_transport(struct attempt *a,
						 struct transport_owner *owner)
{
	struct plait_address peer;
	struct plait_transport *t;
	int fd = inherit_attempt(a)->fd;

	inherit_attempt(a)->fd = -1;
	plait_i_address_get(&a->to, &peer);
	t = plait_i_stream_new(inherit_attempt(a)->io, a->of->reactor, fd,
			       &peer, owner);
	if (t != NULL)
		stream_of(t)->is_shared = true;
	return t;
}

static const struct attempt_ops inherit_attempt_ops = {
	.size = sizeof(struct inherit_attempt),
	.init = inherit_init,
	.start = inherit_start,
	.stop = inherit_stop,
	.close = inherit_close,
	.transport = inherit_transport,
};

/* 0 or -errno. */
static int inherit_connection(struct plait_connector *c, int fd)
{
	struct inherited i = inherit_look(c->reactor, fd);
	struct inherit_attempt *a;
	int err = inherit_check(&i);

	if (err == 0 && i.kind.connected < 0)
		err = -ENOTCONN;
	if (err == 0)
		err = plait_i_connector_add(c, &i.kind.peer);
	if (err < 0)
		return err;
	a = inherit_attempt(c->attempts.first);
	a->io = plait_i_socket_kind_io(&i.kind);
	a->fd = kernel_inherit(loop_kernel(c->reactor), fd);
	return a->fd < 0 ? -errno : 0;
}

struct plait_connector *plait_connect_fd(struct plait_reactor *r, int fd,
					 struct plait_factory *f)
{
	struct plait_connector *c = plait_i_connector_new(
		r, "plait_connect_fd()", &inherit_attempt_ops, f);
	char what[100];
	int err;

	if (c == NULL)
		return NULL;
	err = inherit_connection(c, fd);
	if (err < 0) {
		plait_fd_str(r, fd, what, sizeof(what));
		c->unusable = failure_in(plait_fail_errno(
			&plait_error_connect, -err,
			"connect to descriptor %d, which is %s", fd, what));
	}
	plait_i_connector_start(c);
	return c;
}

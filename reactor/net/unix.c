/*
 * UNIX stream sockets: plait_listen_unix(), plait_connect_unix(), and who is at
 * the other end of a connection.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <plait/unix.h>

#include "lib/base.h"
#include "lib/failure.h"
#include "reactor/kernel/address.h"
#include "reactor/net/connector.h"
#include "reactor/net/dial.h"
#include "reactor/net/listener.h"
#include "reactor/net/socket_stream.h"
#include "reactor/net/unix.h"
#include "reactor/net/unix_path.h"

/* There may be none, and then it is -1; but whoever has no descriptor left, or
   no memory, is told so. */
static int unix_stream_pidfd(struct kernel *k, int fd, int *ret)
{
	*ret = kernel_peer_pidfd(k, fd);
	if (*ret < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		return -errno;
	return 0;
}

static int unix_stream_peer_credentials(struct plait_transport *t,
					struct plait_credentials *ret)
{
	struct kernel *k = loop_kernel(t->reactor);
	int fd = stream_of(t)->fd, pidfd, err;
	struct ucred of;
	socklen_t len = sizeof(of);

	if (kernel_getsockopt(k, fd, SOL_SOCKET, SO_PEERCRED, &of, &len) < 0)
		return -errno;
	err = unix_stream_pidfd(k, fd, &pidfd);
	if (err < 0)
		return err;
	*ret = (struct plait_credentials){
		.pid = of.pid,
		.uid = of.uid,
		.gid = of.gid,
		.pidfd = pidfd,
	};
	return 0;
}

const struct stream_io plait_i_unix_stream_io = {
	.transport = { SOCKET_TRANSPORT, .name = "unix",
		       .peer_credentials = unix_stream_peer_credentials,
		       .send_fds = plait_i_socket_stream_send_fds },
	SOCKET_IO,
	.read_fds = plait_i_socket_stream_read_fds,
};

/* ---- ports --------------------------------------------------------------- */

struct unix_port {
	struct listener base;
	struct unix_path path;
};

/* What a port is made with.  common is a part of it, for all kinds of ports. */
struct unix_options {
	struct plait_listen_options common;
	const struct plait_listen_unix_options *own;
};

static struct unix_port *unix_port(struct plait_port *p)
{
	return plait_self(p, struct unix_port);
}

static void unix_port_leave(struct unix_port *u)
{
	struct plait_address at;

	plait_i_address_get(&u->base.base.port.address, &at);
	plait_i_unix_path_leave(&u->path,
				loop_kernel(u->base.base.port.reactor), &at);
}

/* Whoever does not find the file can't get into the queue. */
static bool unix_port_shut(struct listener *l)
{
	struct unix_port *u = plait_self(l, struct unix_port);

	if (!u->path.has_file || u->path.keep)
		return false;
	unix_port_leave(u);
	return true;
}

/* A forked child leaves the file to its parent. */
static void unix_port_close(struct plait_port *p)
{
	if (!unix_port(p)->path.keep && !loop_is_forked(p->reactor))
		unix_port_leave(unix_port(p));
	plait_i_listener_close(p);
}

static const struct listener_ops unix_port_ops = {
	.base = {
		.port = {
			.stop = plait_i_listener_stop,
			.close = unix_port_close,
			.ended = plait_i_acceptor_ended,
			.pause = plait_i_listener_pause,
			.drain = plait_i_listener_drain,
			.free = plait_i_listener_free,
		},
		.room = plait_i_listener_room,
	},
	.io = &plait_i_unix_stream_io,
	.shut = unix_port_shut,
};

/* Takes fd, which is bound: 0 or -errno. */
static int unix_port_accept(struct unix_port *u, struct plait_reactor *r,
			    int fd, int err)
{
	if (err == 0 &&
	    kernel_listen(loop_kernel(r), fd, (int)u->base.backlog) < 0)
		err = -errno;
	if (err == 0)
		return plait_i_listener_init(&u->base, &unix_port_ops, r, fd);
	plait_i_loop_close(r, fd);
	return err;
}

static int unix_port_open(struct unix_port *u, struct plait_reactor *r,
			  const struct plait_address *address,
			  const struct plait_listen_unix_options *o)
{
	const struct unix_binding binding = {
		.type = SOCK_STREAM,
		.mode = o->mode,
		.replace_stale = o->replace_stale,
		.take_over = o->take_over,
		.keep_path = o->keep_path,
	};
	struct kernel *k = loop_kernel(r);
	int fd = kernel_socket(k, AF_UNIX, SOCK_STREAM), err;
	bool is_open;

	if (fd < 0)
		return -errno;
	u->base.backlog = o->backlog > 0 ? (unsigned)o->backlog : SOMAXCONN;
	err = plait_i_unix_path_begin(&u->path, k, fd, address, &binding);
	err = unix_port_accept(u, r, fd, err);
	is_open = err == 0;
	err = plait_i_unix_path_end(&u->path, k, address, err);
	if (err < 0 && is_open) {
		plait_i_listener_stop(&u->base.base.port);
		plait_i_listener_close(&u->base.base.port);
	}
	return err;
}

static int unix_port_new(struct plait_reactor *r,
			 const struct plait_address *address,
			 const struct plait_listen_options *options,
			 struct acceptor **ret)
{
	const struct unix_options *o =
		plait_container(options, const struct unix_options, common);
	struct unix_port *u = calloc(1, sizeof(*u));
	int err;

	if (u == NULL)
		return -ENOMEM;
	err = plait_i_address_keep(&u->base.base.port.address, address);
	if (err == 0)
		err = unix_port_open(u, r, address, o->own);
	if (err < 0) {
		plait_i_address_drop(&u->base.base.port.address);
		free(u);
	} else {
		*ret = &u->base.base;
	}
	return err;
}

int plait_listen_unix(struct plait_reactor *r, const char *path,
		      struct plait_factory *f,
		      const struct plait_listen_unix_options *options,
		      struct plait_port **ret)
{
	static const struct plait_listen_unix_options defaults;
	struct unix_options o = { .own = options != NULL ? options
							 : &defaults };
	struct plait_address address;
	int err;

	if (RESERVED_IN_USE(o.own))
		return -EINVAL;
	err = plait_i_unix_read(&address, path);
	if (err < 0)
		return err;
	o.common.max_connections = o.own->max_connections;
	o.common.shed_idle = o.own->shed_idle;
	return plait_i_acceptor_listen(r, "plait_listen_unix()", unix_port_new,
				       &address, &o.common, f, ret);
}

/* ---- connectors ---------------------------------------------------------- */

struct unix_dial {
	struct dial base;
	struct plait_timer again;
};

/* There is no event that tells of room in the queue of a port. */
static const double full_queue_seconds = 0.01;

static void unix_dial_run_again(void *arg)
{
	struct unix_dial *u = arg;

	plait_i_dial_connect(&u->base);
}

static void unix_dial_again(struct dial *d)
{
	struct unix_dial *u = plait_self(d, struct unix_dial);

	plait_timer_start(d->base.of->reactor, &u->again, full_queue_seconds,
			  unix_dial_run_again, u);
}

static void unix_dial_stop(struct attempt *a)
{
	plait_timer_stop(&plait_self(a, struct unix_dial)->again);
	plait_i_dial_stop(a);
}

static int unix_dial_open(struct dial *d, const struct plait_error **kind)
{
	d->fd = kernel_socket(dial_kernel(d), AF_UNIX, SOCK_STREAM);
	return d->fd < 0 ? errno : 0;
}

static socklen_t unix_dial_name(const struct dial *d, union kernel_address *ret)
{
	struct plait_address to;

	plait_i_address_get(&d->base.to, &to);
	return plait_i_address_to_kernel(&to, ret);
}

static const struct dial_ops unix_dial_ops = {
	.base = {
		.size = sizeof(struct unix_dial),
		.init = plait_i_dial_init,
		.start = plait_i_dial_start,
		.stop = unix_dial_stop,
		.close = plait_i_dial_close,
		.transport = plait_i_dial_transport,
	},
	.open = unix_dial_open,
	.name = unix_dial_name,
	.io = &plait_i_unix_stream_io,
	.again = unix_dial_again,
};

static void unix_refuse(struct plait_connector *c, const char *path, int err,
			const char *why)
{
	c->unusable = failure_in(plait_fail_errno(
		&plait_error_connect, err, "connect to UNIX socket %s%s",
		path != NULL ? path : "", why));
}

static bool unix_options_are_good(const struct plait_connect_options *o)
{
	return !RESERVED_IN_USE(o) && o->bind_address == NULL &&
	       o->bind_port == 0 && !o->no_delay && !o->keep_alive;
}

struct plait_connector *
plait_connect_unix(struct plait_reactor *r, const char *path,
		   struct plait_factory *f,
		   const struct plait_connect_options *options)
{
	struct plait_connector *c = plait_i_connector_new(
		r, "plait_connect_unix()", &unix_dial_ops.base, f);
	struct plait_address to;
	int err;

	if (c == NULL)
		return NULL;
	err = plait_i_unix_read(&to, path);
	if (err == 0)
		err = plait_i_connector_add(c, &to);
	if (err < 0)
		unix_refuse(c, path, -err, "");
	else if (options != NULL && !unix_options_are_good(options))
		unix_refuse(c, path, EINVAL,
			    ": options other than the timeout are set");
	else if (options != NULL && options->timeout != 0)
		c->timeout = options->timeout;
	plait_i_connector_start(c);
	return c;
}

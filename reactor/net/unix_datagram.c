/*
 * UNIX datagrams: plait_listen_unix_datagrams() and
 * plait_connect_unix_datagrams().
 *
 * They differ from UDP in what a send answers.  A receiver whose queue is full
 * makes the send fail.  Who is connected to it waits until the socket is
 * writable; but a port that sends to many is writable all the time, so that the
 * datagram alone fails, and a timer asks for more.  A connected socket whose
 * peer has ended is connected no more, so it is connected anew to whoever has
 * the path by then.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <plait/unix.h>

#include "lib/base.h"
#include "lib/chance.h"
#include "reactor/net/datagram_socket.h"
#include "reactor/net/network.h"
#include "reactor/net/unix_path.h"

/* As the public header says. */
enum { DEFAULT_SIZE = 4096, MOST_SIZE = 65535, MOST_TRIES = 16 };
static const double full_queue_seconds = 0.01;

struct unix_datagrams {
	struct datagram_socket base;
	struct unix_path path;
	struct plait_timer room; /* runs while a receiver has none */
};

static struct unix_datagrams *unix_datagrams(struct plait_port *p)
{
	return plait_self(p, struct unix_datagrams);
}

static struct kernel *unix_datagrams_kernel(const struct unix_datagrams *u)
{
	return loop_kernel(u->base.base.base.reactor);
}

/* ---- sending ------------------------------------------------------------- */

static void unix_datagrams_run_room(void *arg)
{
	struct unix_datagrams *u = arg;

	plait_i_datagram_has_room(&u->base.base);
}

/* The receiver of message i has no room. */
static void unix_datagrams_skip(struct unix_datagrams *u, unsigned i)
{
	struct datagram_port *d = &u->base.base;

	plait_i_datagram_not_sent(d, i, EAGAIN);
	d->owes_room = true;
	if (d->base.open && !plait_timer_is_running(&u->room))
		plait_timer_start(d->base.reactor, &u->room, full_queue_seconds,
				  unix_datagrams_run_room, u);
}

/* The peer has ended.  Returns 0 if another one is at the path, or an errno. */
static int unix_datagrams_connect(struct unix_datagrams *u)
{
	union kernel_address to;
	socklen_t len = plait_i_address_to_kernel(&u->base.base.peer, &to);

	return kernel_connect(unix_datagrams_kernel(u), u->base.fd, &to.any,
			      len) < 0
		       ? errno
		       : 0;
}

/* Message i has failed with that.  Returns 0 if it may be tried again, or what
   it has failed with. */
static int unix_datagrams_retry(struct unix_datagrams *u, int err)
{
	if (err == EINTR)
		return 0;
	if (!datagram_is_connected(&u->base.base) ||
	    (err != ECONNREFUSED && err != ENOTCONN))
		return err;
	err = unix_datagrams_connect(u);
	if (err == 0)
		REACHED("a datagram goes to the next who has the path");
	return err;
}

/* Sends message i and those behind it; returns how many. */
static unsigned unix_datagrams_send(struct unix_datagrams *u, unsigned i,
				    int *err)
{
	struct datagram_out *o = u->base.base.out;
	unsigned tries = 0;
	int n;

	*err = 0;
	do {
		n = kernel_sendmmsg(unix_datagrams_kernel(u), u->base.fd,
				    o->msgs + i, o->n - i, MSG_NOSIGNAL);
		if (n >= 0)
			return (unsigned)n;
		*err = unix_datagrams_retry(u, errno);
	} while (*err == 0 && ++tries < MOST_TRIES);
	if (*err == 0)
		*err = EINTR;
	return 0;
}

static void unix_datagrams_flush(struct datagram_port *d)
{
	struct unix_datagrams *u = unix_datagrams(&d->base);
	unsigned i = 0;
	int err;

	while (i < d->out->n) {
		i += unix_datagrams_send(u, i, &err);
		if (err == EAGAIN && datagram_is_connected(d)) {
			plait_i_datagram_socket_wait(&u->base, i);
			return;
		}
		if (err == EAGAIN)
			unix_datagrams_skip(u, i++);
		else if (err != 0)
			plait_i_datagram_not_sent(d, i++, err);
	}
}

/* ---- the port ------------------------------------------------------------ */

static int unix_datagrams_group(struct datagram_port *d,
				const struct plait_address *group,
				unsigned interface_index,
				const struct plait_address *source, bool joins)
{
	return -EINVAL;
}

static void unix_datagrams_stop(struct plait_port *p)
{
	plait_timer_stop(&unix_datagrams(p)->room);
	plait_i_datagram_socket_stop(p);
}

/* A forked child leaves the file to its parent. */
static void unix_datagrams_close(struct plait_port *p)
{
	struct unix_datagrams *u = unix_datagrams(p);
	struct plait_address at;

	plait_i_address_get(&p->address, &at);
	if (!u->path.keep && !loop_is_forked(p->reactor))
		plait_i_unix_path_leave(&u->path, loop_kernel(p->reactor), &at);
	plait_i_datagram_socket_close(p);
}

static const struct datagram_ops unix_datagrams_ops = {
	.port = {
		.stop = unix_datagrams_stop,
		.close = unix_datagrams_close,
		.ended = plait_i_datagram_ended,
		.pause = plait_i_datagram_socket_pause,
		.free = plait_i_datagram_socket_free,
	},
	.flush = unix_datagrams_flush,
	.group = unix_datagrams_group,
};

/* ---- opening ------------------------------------------------------------- */

/* What a port is made with.  The names are of no family if there are none. */
struct unix_datagrams_plan {
	struct plait_address at, peer;
	bool chooses; /* the kernel does, what name this end has */
	const struct plait_unix_datagram_options *options;
};

/* 0 or -errno. */
static int unix_datagrams_bind(struct unix_datagrams *u, struct kernel *k,
			       int fd, const struct unix_datagrams_plan *plan)
{
	const struct unix_binding binding = {
		.type = SOCK_DGRAM,
		.mode = plan->options->mode,
		.replace_stale = plan->options->replace_stale,
		.keep_path = plan->options->keep_path,
	};
	const union kernel_address any = { .any.sa_family = AF_UNIX };

	if (plan->chooses)
		return kernel_bind(k, fd, &any.any, sizeof(sa_family_t)) < 0
			       ? -errno
			       : 0;
	if (plan->at.family == AF_UNSPEC)
		return 0;
	return plait_i_unix_path_begin(&u->path, k, fd, &plan->at, &binding);
}

/* The name that it has by now. */
static int unix_datagrams_keep_name(struct unix_datagrams *u, struct kernel *k,
				    int fd,
				    const struct unix_datagrams_plan *plan)
{
	struct plait_address at = plan->at;
	int err = plan->chooses ? plait_i_address_of_socket(k, fd, &at) : 0;

	if (err < 0)
		return err;
	at.family = AF_UNIX;
	return plait_i_address_keep(&u->base.base.base.address, &at);
}

/* Takes fd if it returns 0. */
static int unix_datagrams_start(struct unix_datagrams *u,
				struct plait_reactor *r, int fd,
				const struct unix_datagrams_plan *plan)
{
	struct kernel *k = loop_kernel(r);
	union kernel_address peer;
	socklen_t len = plait_i_address_to_kernel(&plan->peer, &peer);
	int err = unix_datagrams_bind(u, k, fd, plan);

	if (err == 0 && len > 0 && kernel_connect(k, fd, &peer.any, len) < 0)
		err = -errno;
	if (err == 0)
		err = unix_datagrams_keep_name(u, k, fd, plan);
	if (err == 0)
		err = plait_i_datagram_socket_start(&u->base, r, fd);
	return plait_i_unix_path_end(&u->path, k, &plan->at, err);
}

static int unix_datagrams_open(struct unix_datagrams *u,
			       struct plait_reactor *r,
			       const struct unix_datagrams_plan *plan)
{
	int fd = kernel_socket(loop_kernel(r), AF_UNIX, SOCK_DGRAM), err;

	if (fd < 0)
		return -errno;
	err = unix_datagrams_start(u, r, fd, plan);
	if (err < 0) {
		plait_i_address_drop(&u->base.base.base.address);
		plait_i_loop_close(r, fd);
	}
	return err;
}

static int unix_datagrams_new(struct plait_reactor *r,
			      const struct unix_datagrams_plan *plan,
			      struct datagram_port **ret)
{
	struct unix_datagrams *u = calloc(1, sizeof(*u));
	int err;

	if (u == NULL)
		return -ENOMEM;
	u->base.base.base.ops = &unix_datagrams_ops.port;
	u->base.base.peer = plan->peer;
	u->base.max_size = plan->options->max_size != 0
				   ? plan->options->max_size
				   : DEFAULT_SIZE;
	err = unix_datagrams_open(u, r, plan);
	if (err < 0)
		free(u);
	else
		*ret = &u->base.base;
	return err;
}

/* On a testing reactor the name is only a name. */
static int unix_datagrams_test(struct plait_reactor *r,
			       const struct network_ops *network,
			       const struct unix_datagrams_plan *plan,
			       struct datagram_port **ret)
{
	struct plait_udp_options o = { .max_size = plan->options->max_size };
	struct plait_address at = plan->at;

	at.family = AF_UNIX;
	return network->datagrams(r, &at, &plan->peer, &o, ret);
}

static int unix_datagrams_make(struct plait_reactor *r, const char *function,
			       const struct unix_datagrams_plan *plan,
			       struct plait_datagram_protocol *p,
			       struct plait_port **ret)
{
	const struct network_ops *network;
	struct datagram_port *d;
	int err = plait_i_port_check(r, function);

	if (err == 0 && p->port != NULL)
		err = -EBUSY;
	if (err < 0)
		return err;
	network = plait_i_loop_network(r);
	err = network != NULL ? unix_datagrams_test(r, network, plan, &d)
			      : unix_datagrams_new(r, plan, &d);
	if (err < 0)
		return err;
	d->family = AF_UNIX;
	plait_i_datagram_open(d, r, p, ret);
	return 0;
}

static const struct plait_unix_datagram_options unix_datagram_defaults;

static void unix_datagrams_begin(struct unix_datagrams_plan *plan,
				 const struct plait_unix_datagram_options *o)
{
	*plan = (struct unix_datagrams_plan){
		.at.family = AF_UNSPEC,
		.peer.family = AF_UNSPEC,
		.options = o != NULL ? o : &unix_datagram_defaults,
	};
}

static bool
unix_datagram_options_are_good(const struct plait_unix_datagram_options *o)
{
	return !RESERVED_IN_USE(o) && o->max_size <= MOST_SIZE;
}

int plait_listen_unix_datagrams(
	struct plait_reactor *r, const char *path,
	struct plait_datagram_protocol *p,
	const struct plait_unix_datagram_options *options,
	struct plait_port **ret)
{
	struct unix_datagrams_plan plan;
	int err;

	loop_check_null(r, "plait_listen_unix_datagrams()", NULL);
	unix_datagrams_begin(&plan, options);
	if (!unix_datagram_options_are_good(plan.options) ||
	    plan.options->name != NULL)
		return -EINVAL;
	err = plait_i_unix_read(&plan.at, path);
	if (err < 0)
		return err;
	return unix_datagrams_make(r, "plait_listen_unix_datagrams()", &plan, p,
				   ret);
}

static int unix_datagrams_read_name(struct unix_datagrams_plan *plan)
{
	const char *name = plan->options->name;

	if (name == NULL)
		return 0;
	plan->chooses = name[0] == '@' && name[1] == '\0';
	return plan->chooses ? 0 : plait_i_unix_read(&plan->at, name);
}

int plait_connect_unix_datagrams(
	struct plait_reactor *r, const char *path,
	struct plait_datagram_protocol *p,
	const struct plait_unix_datagram_options *options,
	struct plait_port **ret)
{
	struct unix_datagrams_plan plan;
	int err;

	loop_check_null(r, "plait_connect_unix_datagrams()", NULL);
	unix_datagrams_begin(&plan, options);
	if (!unix_datagram_options_are_good(plan.options))
		return -EINVAL;
	err = plait_i_unix_read(&plan.peer, path);
	if (err == 0)
		err = unix_datagrams_read_name(&plan);
	if (err < 0)
		return err;
	return unix_datagrams_make(r, "plait_connect_unix_datagrams()", &plan,
				   p, ret);
}

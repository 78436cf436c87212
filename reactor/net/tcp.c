/*
 * TCP: plait_listen_tcp(), plait_connect_tcp(), and making their sockets.
 *
 * The two functions read the addresses and the options.  acceptor.c and
 * connector.c do the rest, on sockets (listener.c, dial.c), or on the network
 * that the reactor has instead.
 */
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "lib/base.h"
#include "lib/failure.h"
#include "reactor/kernel/address.h"
#include "reactor/net/connector.h"
#include "reactor/net/listener.h"
#include "reactor/net/named.h"
#include "reactor/net/network.h"
#include "reactor/net/socket_stream.h"
#include "reactor/net/tcp.h"

const struct stream_io plait_i_tcp_stream_io = {
	.transport = { SOCKET_TRANSPORT, .name = "tcp" },
	SOCKET_IO,
};

static bool tcp_dial_set(struct dial *d, int level, int option)
{
	int on = 1;

	return kernel_setsockopt(dial_kernel(d), d->fd, level, option, &on,
				 sizeof(on)) == 0;
}

static int tcp_dial_bind(struct dial *d)
{
	struct plait_address bind;
	union kernel_address from;
	socklen_t len;

	if (kept_address_is_none(&d->base.of->bind))
		return 0;
	plait_i_attempt_bind(&d->base, &bind);
	len = plait_i_address_to_kernel(&bind, &from);
	if (kernel_bind(dial_kernel(d), d->fd, &from.any, len) < 0)
		return errno;
	return 0;
}

static int tcp_dial_open(struct dial *d, const struct plait_error **kind)
{
	const struct attempts *s = d->base.of;
	int err;

	d->fd = kernel_socket(dial_kernel(d),
			      plait_i_address_kept_family(&d->base.to),
			      SOCK_STREAM);
	if (d->fd < 0 ||
	    (s->no_delay && !tcp_dial_set(d, IPPROTO_TCP, TCP_NODELAY)) ||
	    (s->keep_alive && !tcp_dial_set(d, SOL_SOCKET, SO_KEEPALIVE)))
		return errno;
	err = tcp_dial_bind(d);
	if (err != 0)
		*kind = &plait_error_bind;
	return err;
}

static socklen_t tcp_dial_name(const struct dial *d, union kernel_address *ret)
{
	struct plait_address to;

	plait_i_address_get(&d->base.to, &to);
	return plait_i_address_to_kernel(&to, ret);
}

/*
 * A socket that connects to a free port of this machine may connect to itself:
 * if the kernel picks that very port for it.  Nobody listens there.
 */
static int tcp_dial_check(const struct dial *d)
{
	struct plait_address host, peer;
	struct kernel *k = dial_kernel(d);
	/* The peer may be another address than to: 0.0.0.0 is this machine. */
	bool met_itself = plait_i_address_of_socket(k, d->fd, &host) == 0 &&
			  host.port == plait_i_address_kept_port(&d->base.to) &&
			  plait_i_address_of_peer(k, d->fd, &peer) == 0 &&
			  plait_address_equal(&host, &peer);

	return met_itself ? ECONNREFUSED : 0;
}

const struct dial_ops plait_i_tcp_dial_ops = {
	.base = { DIAL_ATTEMPT(struct dial) },
	.open = tcp_dial_open,
	.name = tcp_dial_name,
	.io = &plait_i_tcp_stream_io,
	.check = tcp_dial_check,
};

static bool tcp_port_set(struct kernel *k, int fd, int level, int option,
			 int value)
{
	return kernel_setsockopt(k, fd, level, option, &value, sizeof(value)) ==
	       0;
}

/* The connections inherit what is set here. */
static bool tcp_port_set_options(struct kernel *k, int fd, int family,
				 const struct plait_listen_options *o)
{
	return (o->no_address_reuse ||
		tcp_port_set(k, fd, SOL_SOCKET, SO_REUSEADDR, 1)) &&
	       (family != AF_INET6 ||
		tcp_port_set(k, fd, IPPROTO_IPV6, IPV6_V6ONLY, o->ipv6_only)) &&
	       (!o->no_delay ||
		tcp_port_set(k, fd, IPPROTO_TCP, TCP_NODELAY, 1)) &&
	       (!o->keep_alive ||
		tcp_port_set(k, fd, SOL_SOCKET, SO_KEEPALIVE, 1));
}

/* Makes the socket listen, and stores where in *ret.  0 or -errno. */
static int tcp_port_bind(struct kernel *k, int fd,
			 const struct plait_address *address,
			 const struct plait_listen_options *o, int backlog,
			 struct plait_address *ret)
{
	union kernel_address at;
	socklen_t len = plait_i_address_to_kernel(address, &at);

	if (!tcp_port_set_options(k, fd, address->family, o) ||
	    kernel_bind(k, fd, &at.any, len) < 0 ||
	    kernel_listen(k, fd, backlog) < 0)
		return -errno;
	return plait_i_address_of_socket(k, fd, ret);
}

/*
 * A filter that drops the packets that ask for a connection: SYN without ACK.
 * The clients who have begun before may finish, and one who asks meanwhile
 * asks again a second later.  Then nobody listens any more, or the next
 * program does.
 *
 * Nothing else will do.  shutdown() resets all who wait in the queue.  After
 * listen() with a backlog of 0 one client still gets in whenever the queue is
 * empty, and one who has half connected is reset in the end.
 *
 * The connections inherit the filter.  They get no such packets.
 */
static bool tcp_port_shut(struct listener *l)
{
	enum { FLAGS = 13, SYN = 0x02, ACK = 0x10 };
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SYN | ACK),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYN, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),	       /* drop it */
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX), /* keep all of it */
	};
	struct sock_fprog filter = {
		.len = sizeof(code) / sizeof(code[0]),
		.filter = code,
	};

	return kernel_setsockopt(loop_kernel(l->base.port.reactor), l->fd,
				 SOL_SOCKET, SO_ATTACH_FILTER, &filter,
				 sizeof(filter)) == 0;
}

static const struct listener_ops tcp_port_ops = {
	.base = {
		.port = { LISTENER_PORT },
		.room = plait_i_listener_room,
	},
	.io = &plait_i_tcp_stream_io,
	.shut = tcp_port_shut,
};

static int tcp_port_open(struct listener *l, struct plait_reactor *r,
			 const struct plait_address *address,
			 const struct plait_listen_options *options)
{
	struct kernel *k = loop_kernel(r);
	int backlog = options->backlog > 0 ? options->backlog : SOMAXCONN;
	int fd = kernel_socket(k, address->family, SOCK_STREAM);
	struct plait_address at;
	int err;

	if (fd < 0)
		return -errno;
	l->backlog = (unsigned)backlog;
	err = tcp_port_bind(k, fd, address, options, backlog, &at);
	if (err == 0)
		err = plait_i_address_keep(&l->base.port.address, &at);
	if (err == 0)
		return plait_i_listener_init(l, &tcp_port_ops, r, fd);
	plait_i_loop_close(r, fd);
	return err;
}

static int tcp_port_new(struct plait_reactor *r,
			const struct plait_address *address,
			const struct plait_listen_options *options,
			struct acceptor **ret)
{
	struct listener *l = calloc(1, sizeof(*l));
	int err;

	if (l == NULL)
		return -ENOMEM;
	err = tcp_port_open(l, r, address, options);
	if (err < 0)
		free(l);
	else
		*ret = &l->base;
	return err;
}

int plait_listen_tcp(struct plait_reactor *r, unsigned port,
		     struct plait_factory *f,
		     const struct plait_listen_options *options,
		     struct plait_port **ret)
{
	struct plait_address address;

	/* Looked at first: what was not zeroed has no good pointer. */
	if (options != NULL && RESERVED_IN_USE(options))
		return -EINVAL;
	if (plait_address_parse(&address,
				options != NULL ? options->iface : NULL,
				port) < 0)
		return -EINVAL;
	return plait_i_acceptor_listen(r, "plait_listen_tcp()", tcp_port_new,
				       &address, options, f, ret);
}

/* Keeps why no attempt can be made.  The first reason counts. */
static void tcp_give_up(struct plait_connector *c, plait_value why)
{
	if (c->unusable == NULL)
		c->unusable = failure_in(why);
	else
		plait_value_free(&why);
}

/*
 * A name.  The network of a testing reactor looks up nothing: there the test
 * says what becomes of the attempt.
 */
static int tcp_read_name(struct plait_connector *c, const char *host,
			 unsigned port,
			 const struct plait_connect_options *options)
{
	struct plait_address to;

	if (plait_i_loop_network(c->reactor) == NULL)
		return plait_i_named_search(c, host, port, options);
	plait_address_parse(&to, "localhost", port);
	return plait_i_connector_add(c, &to);
}

/* Reads the address, or the name of what will be looked up. */
static void tcp_read_destination(struct plait_connector *c, const char *host,
				 unsigned port,
				 const struct plait_connect_options *options)
{
	struct plait_address to;
	int err = plait_address_parse(&to, host, port);

	if (err == 0)
		err = plait_i_connector_add(c, &to);
	else if (err == -EADDRNOTAVAIL)
		err = tcp_read_name(c, host, port, options);
	if (err != 0)
		tcp_give_up(c,
			    plait_fail_errno(&plait_error_connect, -err,
					     "connect to %s:%u",
					     host != NULL ? host : "", port));
}

/* The connector uses this family alone.  0, or -EAFNOSUPPORT if it cannot. */
static int tcp_set_family(struct plait_connector *c, int family)
{
	struct attempt_search *search = c->attempts.search;
	int now = search != NULL
			  ? search->family
			  : plait_i_address_kept_family(&c->attempts.first->to);

	if (search != NULL && now == AF_UNSPEC)
		search->family = family;
	else if (now != family)
		return -EAFNOSUPPORT;
	return 0;
}

static void tcp_read_bind_address(struct plait_connector *c, const char *host,
				  unsigned port)
{
	struct plait_address bind;
	char to[ATTEMPT_WHERE_SIZE];
	int err;

	if (host == NULL && port == 0)
		return;
	c->attempts.binds_port = host == NULL;
	err = plait_address_parse(&bind, host, port);
	if (err == 0 && host != NULL && c->attempts.search != NULL)
		err = tcp_set_family(c, bind.family);
	if (err == 0)
		err = plait_i_address_keep(&c->attempts.bind, &bind);
	if (err == 0)
		return;
	plait_i_attempts_where(&c->attempts, to, sizeof(to));
	tcp_give_up(c, plait_fail_errno(&plait_error_bind, -err,
					"connect to %s", to));
}

/* What the options say has no meaning. */
static void tcp_refuse_options(struct plait_connector *c, int err,
			       const char *what)
{
	char to[ATTEMPT_WHERE_SIZE];

	plait_i_attempts_where(&c->attempts, to, sizeof(to));
	tcp_give_up(c, plait_fail_errno(&plait_error_connect, err,
					"connect to %s: %s", to, what));
}

static void tcp_read_family(struct plait_connector *c, int family)
{
	if (family != AF_INET && family != AF_INET6)
		tcp_refuse_options(c, EINVAL, "no family of IP addresses");
	else if (tcp_set_family(c, family) < 0)
		tcp_refuse_options(c, EAFNOSUPPORT,
				   "an address of another family");
}

static void tcp_read_options(struct plait_connector *c,
			     const struct plait_connect_options *options)
{
	if (options->timeout != 0)
		c->timeout = options->timeout;
	c->attempts.no_delay = options->no_delay;
	c->attempts.keep_alive = options->keep_alive;
	if (options->family != AF_UNSPEC)
		tcp_read_family(c, options->family);
	tcp_read_bind_address(c, options->bind_address, options->bind_port);
}

struct plait_connector *
plait_connect_tcp(struct plait_reactor *r, const char *host, unsigned port,
		  struct plait_factory *f,
		  const struct plait_connect_options *options)
{
	static const struct plait_connect_options defaults;
	bool refused = options != NULL && RESERVED_IN_USE(options);
	struct plait_connector *c = plait_i_connector_new(
		r, "plait_connect_tcp()", &plait_i_tcp_dial_ops.base, f);

	if (c == NULL)
		return NULL;
	if (options == NULL || refused)
		options = &defaults;
	tcp_read_destination(c, host, port, options);
	tcp_read_options(c, options);
	if (refused)
		tcp_refuse_options(
			c, EINVAL,
			"reserved words of the options are not zero");
	plait_i_connector_start(c);
	return c;
}

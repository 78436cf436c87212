/*
 * TCP as a program sees it: plait_listen_tcp() and plait_connect_tcp().
 *
 * They read what the program says, and leave the rest to port.c and
 * connector.c, which use the sockets of tcp_port.c and tcp_connector.c unless
 * the reactor has a network of its own.
 */
#include <errno.h>
#include <sys/socket.h>

#include "reactor/net/tcp.h"

static const double default_timeout = 30;

int plait_listen_tcp(struct plait_reactor *r, unsigned port,
		     struct plait_factory *f,
		     const struct plait_listen_options *options,
		     struct plait_port **ret)
{
	struct plait_address address;

	if (plait_address_parse(&address,
				options != NULL ? options->iface : NULL,
				port) < 0)
		return -EINVAL;
	return plait_i_port_listen(r, "plait_listen_tcp()",
				   plait_i_tcp_port_new, &address, options, f,
				   ret);
}

/* The failure that a new value is, with the value's reference. */
static const struct plait_failure *tcp_failure(plait_value v)
{
	return plait_value_failure(&v);
}

/* Reads where to; if that is no address, every attempt will fail. */
static void tcp_read_destination(struct plait_connector *c, const char *host,
				 unsigned port)
{
	int err = -plait_address_parse(&c->destination, host, port);
	const char *name = host != NULL ? host : "";

	if (err == EADDRNOTAVAIL)
		c->unusable = tcp_failure(plait_fail(
			&plait_error_dns_lookup,
			"connect to %s:%u: not a numeric address", name, port));
	else if (err != 0)
		c->unusable = tcp_failure(
			plait_fail_errno(&plait_error_connect, err,
					 "connect to %s:%u", name, port));
}

static void tcp_read_bind_address(struct plait_connector *c, const char *host,
				  unsigned port)
{
	int err;

	if (host == NULL && port == 0)
		return;
	if (host == NULL && c->destination.family == AF_INET6)
		host = "::";
	err = -plait_address_parse(&c->bind, host, port);
	if (err != 0 && c->unusable == NULL)
		c->unusable =
			plait_i_connector_failure(c, &plait_error_bind, err);
}

static void tcp_read_options(struct plait_connector *c,
			     const struct plait_connect_options *options)
{
	c->timeout = options->timeout == 0 ? default_timeout : options->timeout;
	c->no_delay = options->no_delay;
	c->keep_alive = options->keep_alive;
	tcp_read_bind_address(c, options->bind_address, options->bind_port);
}

struct plait_connector *
plait_connect_tcp(struct plait_reactor *r, const char *host, unsigned port,
		  struct plait_factory *f,
		  const struct plait_connect_options *options)
{
	static const struct plait_connect_options defaults;
	struct plait_connector *c = plait_i_connector_new(
		r, "plait_connect_tcp()", plait_i_tcp_connector_new, f);

	if (c == NULL)
		return NULL;
	tcp_read_destination(c, host, port);
	tcp_read_options(c, options != NULL ? options : &defaults);
	plait_i_connector_start(c);
	return c;
}

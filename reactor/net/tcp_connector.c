/*
 * Connecting TCP sockets.
 *
 * Everything happens from the loop: the socket is made in the turn after the
 * attempt began, watched only once connect() was called on it (before, epoll
 * would report a hang-up), and closed at the connector's burial, unless a
 * stream has taken it.  An attempt that was stopped has no task queued and no
 * watch, so a socket that connects too late is closed and nobody hears of it.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>

#include "reactor/net/address.h"
#include "reactor/net/tcp.h"

struct tcp_connector {
	struct plait_connector base;
	struct plait_watch watch;
	struct loop_task attempt;
	int fd;	  /* -1: none */
	int gone; /* errno of a peer that accepted and has gone; or 0 */
};

static struct tcp_connector *tcp(struct plait_connector *c)
{
	return plait_self(c, struct tcp_connector);
}

static struct kernel *tcp_connector_kernel(const struct tcp_connector *c)
{
	return loop_kernel(c->base.reactor);
}

static void tcp_connector_fail(struct tcp_connector *c,
			       const struct plait_error *kind, int err)
{
	plait_i_connector_failed(
		&c->base, plait_i_connector_failure(&c->base, kind, err));
}

/*
 * Connecting to a free port of this machine may meet itself: the kernel picks
 * the very port that is connected to.  Nobody listens there.
 */
static bool tcp_connector_met_itself(const struct tcp_connector *c)
{
	struct plait_address host, peer;
	struct kernel *k = tcp_connector_kernel(c);

	/* Where it went is not always what was asked for: 0.0.0.0 is here. */
	return plait_i_address_of_socket(k, c->fd, &host) == 0 &&
	       host.port == c->base.destination.port &&
	       plait_i_address_of_peer(k, c->fd, &peer) == 0 &&
	       plait_address_equal(&host, &peer);
}

static void tcp_connector_succeed(struct tcp_connector *c)
{
	if (tcp_connector_met_itself(c))
		tcp_connector_fail(c, NULL, ECONNREFUSED);
	else
		plait_i_connector_connected(&c->base);
}

/* What became of a connect() that was in progress: 0 or an errno. */
static int tcp_connector_outcome(struct tcp_connector *c, unsigned events)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (events & PLAIT_LOST) {
		/* Somebody else closed it; the number may be another's. */
		c->fd = -1;
		return EBADF;
	}
	if (kernel_getsockopt(tcp_connector_kernel(c), c->fd, SOL_SOCKET,
			      SO_ERROR, &err, &len) < 0)
		return errno;
	return err;
}

/*
 * A peer that has sent something has accepted the connection: what it has sent
 * is delivered, although the peer is gone.  If it has sent nothing, the attempt
 * fails, as if the peer had refused.
 */
static bool tcp_connector_has_spoken(const struct tcp_connector *c)
{
	char byte;

	return kernel_recv(tcp_connector_kernel(c), c->fd, &byte, sizeof(byte),
			   MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void tcp_connector_on_ready(struct plait_watch *w, unsigned events)
{
	struct tcp_connector *c =
		plait_container(w, struct tcp_connector, watch);
	int err = tcp_connector_outcome(c, events);

	if (err != 0 && tcp_connector_has_spoken(c)) {
		c->gone = err;
		err = 0;
	}
	if (err != 0)
		tcp_connector_fail(c, NULL, err);
	else
		tcp_connector_succeed(c);
}

static void tcp_connector_wait(struct tcp_connector *c)
{
	int r = plait_watch_start(c->base.reactor, &c->watch, c->fd,
				  PLAIT_WRITE, tcp_connector_on_ready);

	if (r < 0)
		tcp_connector_fail(c, NULL, -r);
}

static bool tcp_connector_set_option(struct tcp_connector *c, int level,
				     int option)
{
	int on = 1;

	return kernel_setsockopt(tcp_connector_kernel(c), c->fd, level, option,
				 &on, sizeof(on)) == 0;
}

/* 0 or an errno. */
static int tcp_connector_make_socket(struct tcp_connector *c)
{
	c->fd = kernel_socket(tcp_connector_kernel(c),
			      c->base.destination.family, SOCK_STREAM);
	if (c->fd < 0)
		return errno;
	if (c->base.no_delay &&
	    !tcp_connector_set_option(c, IPPROTO_TCP, TCP_NODELAY))
		return errno;
	if (c->base.keep_alive &&
	    !tcp_connector_set_option(c, SOL_SOCKET, SO_KEEPALIVE))
		return errno;
	return 0;
}

static int tcp_connector_bind(struct tcp_connector *c)
{
	struct sockaddr_storage ss;
	socklen_t len = plait_i_address_to_kernel(&c->base.bind, &ss);

	if (len == 0)
		return 0;
	return kernel_bind(tcp_connector_kernel(c), c->fd,
			   (struct sockaddr *)&ss, len) < 0
		       ? errno
		       : 0;
}

static int tcp_connector_connect(struct tcp_connector *c)
{
	struct sockaddr_storage ss;
	socklen_t len = plait_i_address_to_kernel(&c->base.destination, &ss);

	return kernel_connect(tcp_connector_kernel(c), c->fd,
			      (struct sockaddr *)&ss, len) < 0
		       ? errno
		       : 0;
}

static void tcp_connector_run(struct loop_task *task)
{
	struct tcp_connector *c =
		plait_container(task, struct tcp_connector, attempt);
	int err = tcp_connector_make_socket(c);

	if (err != 0) {
		tcp_connector_fail(c, NULL, err);
		return;
	}
	err = tcp_connector_bind(c);
	if (err != 0) {
		tcp_connector_fail(c, &plait_error_bind, err);
		return;
	}
	err = tcp_connector_connect(c);
	/* A connect() that was interrupted goes on all the same. */
	if (err == EINPROGRESS || err == EINTR)
		tcp_connector_wait(c);
	else if (err != 0)
		tcp_connector_fail(c, NULL, err);
	else
		tcp_connector_succeed(c);
}

static void tcp_connector_start(struct plait_connector *c)
{
	plait_i_loop_next_turn(c->reactor, &tcp(c)->attempt);
}

static void tcp_connector_stop(struct plait_connector *c)
{
	loop_task_cancel(&tcp(c)->attempt);
	plait_watch_stop(&tcp(c)->watch);
}

static void tcp_connector_close(struct plait_connector *c)
{
	if (tcp(c)->fd >= 0)
		plait_i_loop_close(c->reactor, tcp(c)->fd);
	tcp(c)->fd = -1;
}

static struct plait_transport *
tcp_connector_transport(struct plait_connector *c)
{
	struct plait_transport *t;
	int fd = tcp(c)->fd, gone = tcp(c)->gone;

	tcp(c)->fd = -1;
	tcp(c)->gone = 0;
	t = plait_i_stream_new(c->reactor, fd, &c->destination, &c->owner);
	if (t != NULL && gone != 0)
		plait_i_stream_break_off(t, gone);
	return t;
}

static void tcp_connector_free(struct plait_connector *c)
{
	free(tcp(c));
}

static const struct connector_ops tcp_connector_ops = {
	.start = tcp_connector_start,
	.stop = tcp_connector_stop,
	.close = tcp_connector_close,
	.transport = tcp_connector_transport,
	.free = tcp_connector_free,
};

struct plait_connector *plait_i_tcp_connector_new(void)
{
	struct tcp_connector *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->base.ops = &tcp_connector_ops;
	c->attempt.run = tcp_connector_run;
	c->fd = -1;
	return &c->base;
}

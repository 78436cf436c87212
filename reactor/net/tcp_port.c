/*
 * Listening TCP sockets.
 *
 * tcp_port_on_ready() accepts what its budget allows: tcp_port_accept() takes
 * a connection from the kernel, and tcp_port_admit() gives it a protocol.  No
 * error of accept() ends a listener; tcp_port_go_on_after() says what it does:
 *
 * - An error of one connection skips that connection.
 * - Without descriptors, a guest is asked to leave (guest.c) and the port is
 *   held until it has left.  If none leaves, tcp_port_shed() closes the
 *   descriptor that is kept in reserve, accepts a connection with it and
 *   closes that at once: so the peer knows, and the loop does not spin.
 * - Anything else that is missing is waited for: tcp_port_back_off().
 *
 * While the port is held, backs off or was paused by the program, its watch
 * waits for nothing.  A port is also held while it has all the guests that it
 * may have.  tcp_port_watch() goes on if none of the three is left.
 *
 * The budget of a turn adapts: one, so that a lone connection costs one
 * accept(); twice as many as before when all were there and the very next turn
 * finds more; never more than MAX_BUDGET, so that a burst starves nobody.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>

#include "lib/failure.h"
#include "reactor/net/address.h"
#include "reactor/net/admit.h"
#include "reactor/net/guest.h"
#include "reactor/net/tcp.h"

enum { MAX_BUDGET = 32 };

static const double back_off_seconds = 0.1;
static const int64_t report_interval = 1000000000; /* ns */

struct tcp_port {
	struct plait_port base;
	struct plait_watch watch;
	struct plait_timer back_off; /* running: waits for what is missing */
	int fd, reserve;	     /* -1: none */
	unsigned budget;
	bool held;	     /* until a guest has left */
	uint64_t busy_turn;  /* the last in which the budget was used up */
	int64_t next_report; /* not before */
};

static struct tcp_port *tcp(struct plait_port *p)
{
	return plait_self(p, struct tcp_port);
}

static struct kernel *tcp_port_kernel(const struct tcp_port *p)
{
	return loop_kernel(p->base.reactor);
}

static void tcp_port_open_reserve(struct tcp_port *p)
{
	p->reserve = kernel_reserve(tcp_port_kernel(p));
}

static void tcp_port_close_reserve(struct tcp_port *p)
{
	if (p->reserve >= 0)
		kernel_close(tcp_port_kernel(p), p->reserve);
	p->reserve = -1;
}

/* Not more than one report a second. */
static bool tcp_port_may_report(struct tcp_port *p)
{
	int64_t now = plait_i_loop_now(p->base.reactor);

	if (now < p->next_report)
		return false;
	p->next_report = now + report_interval;
	return true;
}

/* Tells the unhandled hook; v is a failure, and taken. */
static void tcp_port_report(struct tcp_port *p, plait_value v)
{
	plait_i_failure_unhandled(plait_value_failure(&v), "Error in a port");
	plait_value_free(&v);
}

static const char *tcp_port_reason(int err)
{
	switch (err) {
	case EMFILE:
	case ENFILE:
		return "out of descriptors";
	case ENOMEM:
	case ENOBUFS:
		return "out of memory";
	default:
		return "the system refused";
	}
}

static void tcp_port_report_refused(struct tcp_port *p, int err,
				    const struct plait_address *peer)
{
	char who[PLAIT_ADDRESS_SIZE];

	if (!tcp_port_may_report(p))
		return;
	plait_address_str(peer, who, sizeof(who));
	tcp_port_report(p, plait_fail_errno(&plait_error_os, err,
					    "%s: connection from %s refused",
					    tcp_port_reason(err), who));
}

static void tcp_port_report_broken(struct tcp_port *p, int err,
				   const char *what)
{
	char where[PLAIT_ADDRESS_SIZE];

	if (!tcp_port_may_report(p))
		return;
	plait_address_str(&p->base.address, where, sizeof(where));
	tcp_port_report(p, plait_fail_errno(&plait_error_os, err,
					    "%s: port on %s %s",
					    tcp_port_reason(err), where, what));
}

static int tcp_port_accept(struct tcp_port *p, struct plait_address *peer)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(ss);
	int fd = kernel_accept(tcp_port_kernel(p), p->fd,
			       (struct sockaddr *)&ss, &len);

	if (fd >= 0)
		plait_i_address_from_kernel(peer, &ss);
	return fd;
}

/* What was accepted. */
struct tcp_newcomer {
	struct newcomer base;
	int fd; /* -1: its transport has it */
};

static struct plait_transport *
tcp_newcomer_transport(struct newcomer *base, struct transport_owner *owner)
{
	struct tcp_newcomer *n = plait_self(base, struct tcp_newcomer);
	int fd = n->fd;

	n->fd = -1;
	return plait_i_stream_new(base->reactor, fd, base->peer, owner);
}

/* The connection on fd, which is taken, gets its protocol. */
static void tcp_port_admit(struct tcp_port *p, int fd,
			   const struct plait_address *peer)
{
	struct tcp_newcomer n = {
		.base.reactor = p->base.reactor,
		.base.factory = p->base.factory,
		.base.peer = peer,
		.base.port = &p->base,
		.base.transport = tcp_newcomer_transport,
		.fd = fd,
	};

	if (plait_i_admit(&n.base) != NULL)
		return;
	if (errno != ECONNREFUSED && errno != ECHILD)
		tcp_port_report_refused(p, errno, peer);
	if (n.fd >= 0)
		plait_i_loop_close(p->base.reactor, n.fd);
}

static void tcp_port_retry(void *arg);

/* Waits a little, so that what is missing may come back. */
static void tcp_port_wait(struct tcp_port *p)
{
	plait_timer_start(p->base.reactor, &p->back_off, back_off_seconds,
			  tcp_port_retry, p);
}

static void tcp_port_back_off(struct tcp_port *p, int err)
{
	plait_watch_change(&p->watch, 0);
	tcp_port_wait(p);
	tcp_port_report_broken(p, err, "waits");
}

/* Waits for connections, unless it has to wait for something else; -errno. */
static int tcp_port_watch(struct tcp_port *p)
{
	if (p->fd < 0 || p->held || !port_is_accepting(&p->base) ||
	    plait_timer_is_running(&p->back_off))
		return 0;
	return plait_watch_change(&p->watch, PLAIT_READ);
}

static void tcp_port_accept_again(struct tcp_port *p)
{
	int r = tcp_port_watch(p);

	if (r < 0)
		tcp_port_back_off(p, -r);
}

static void tcp_port_retry(void *arg)
{
	struct tcp_port *p = arg;

	if (p->reserve < 0)
		tcp_port_open_reserve(p);
	tcp_port_accept_again(p);
}

static void tcp_port_hold(struct tcp_port *p)
{
	p->held = true;
	plait_watch_change(&p->watch, 0);
}

static void tcp_port_room(struct plait_port *base)
{
	struct tcp_port *p = tcp(base);

	if (!p->held)
		return;
	p->held = false;
	tcp_port_accept_again(p);
}

/* A program's call is not the moment to report that it has to wait. */
static void tcp_port_pause(struct plait_port *base, bool on)
{
	struct tcp_port *p = tcp(base);

	if (on)
		plait_watch_change(&p->watch, 0);
	else if (tcp_port_watch(p) < 0)
		tcp_port_wait(p);
}

/*
 * Trades the reserve for the connection that there is no descriptor for.  One
 * attempt: accept() may say that descriptors are missing when there is no
 * connection at all.
 */
static void tcp_port_shed(struct tcp_port *p, int why)
{
	struct plait_address peer;
	bool shut;
	int fd;

	if (p->reserve < 0) {
		tcp_port_back_off(p, why);
		return;
	}
	tcp_port_close_reserve(p);
	fd = tcp_port_accept(p, &peer);
	shut = fd >= 0 || errno == EAGAIN;
	if (fd >= 0)
		plait_i_loop_close(p->base.reactor, fd);
	tcp_port_open_reserve(p);
	if (fd >= 0)
		tcp_port_report_refused(p, why, &peer);
	if (p->base.open && (!shut || p->reserve < 0))
		tcp_port_back_off(p, why);
}

/*
 * A client waits, and there is no descriptor for it.  If a guest is about to be
 * lost, the client waits for its descriptor; if not, it is disconnected.
 */
static void out_of_descriptors(struct tcp_port *p, int why)
{
	if (plait_i_guest_make_room(&p->base))
		tcp_port_hold(p);
	else if (p->base.open && !loop_is_forked(p->base.reactor))
		tcp_port_shed(p, why);
}

/* True if the next accept() may do better, in this very turn. */
static bool tcp_port_go_on_after(struct tcp_port *p, int err)
{
	switch (err) {
	case EAGAIN:
		return false;
	case EMFILE:
	case ENFILE:
		out_of_descriptors(p, err);
		return false;
	case EINTR:
	/* Errors of the connection that waited, which is gone. */
	case ECONNABORTED:
	case EPROTO:
	case EPERM:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
	case ENOPROTOOPT:
	case EOPNOTSUPP:
	case ETIMEDOUT:
		return true;
	default:
		tcp_port_back_off(p, err);
		return false;
	}
}

static bool tcp_port_accept_next(struct tcp_port *p)
{
	struct plait_address peer;
	int fd = tcp_port_accept(p, &peer);

	if (fd < 0)
		return tcp_port_go_on_after(p, errno);
	tcp_port_admit(p, fd, &peer);
	/* In a child that was forked meanwhile the next one is the parent's. */
	return port_is_accepting(&p->base) &&
	       plait_i_guest_has_room(&p->base) &&
	       !loop_is_forked(p->base.reactor);
}

static unsigned tcp_port_budget(const struct tcp_port *p, uint64_t turn)
{
	if (turn != p->busy_turn + 1)
		return 1;
	return p->budget < MAX_BUDGET / 2 ? p->budget * 2 : MAX_BUDGET;
}

static void tcp_port_on_ready(struct plait_watch *w, unsigned events)
{
	struct tcp_port *p = plait_container(w, struct tcp_port, watch);
	uint64_t turn = plait_i_loop_turn(p->base.reactor);
	unsigned n = 0;

	if (events & PLAIT_LOST) {
		/* Somebody else closed it; the number may be another's. */
		p->fd = -1;
		tcp_port_report_broken(p, EBADF, "lost its descriptor");
		return;
	}
	if (!plait_i_guest_has_room(&p->base)) {
		plait_i_guest_make_room(&p->base);
		tcp_port_hold(p);
		return;
	}
	p->budget = tcp_port_budget(p, turn);
	while (n < p->budget && tcp_port_accept_next(p))
		n++;
	if (n == p->budget)
		p->busy_turn = turn;
}

static bool tcp_port_set_option(struct tcp_port *p, int level, int option,
				int value)
{
	return kernel_setsockopt(tcp_port_kernel(p), p->fd, level, option,
				 &value, sizeof(value)) == 0;
}

/* What is set here is inherited by the connections. */
static bool tcp_port_set_options(struct tcp_port *p, int family,
				 const struct plait_listen_options *o)
{
	return (o->no_address_reuse ||
		tcp_port_set_option(p, SOL_SOCKET, SO_REUSEADDR, 1)) &&
	       (family != AF_INET6 ||
		tcp_port_set_option(p, IPPROTO_IPV6, IPV6_V6ONLY,
				    o->ipv6_only)) &&
	       (!o->no_delay ||
		tcp_port_set_option(p, IPPROTO_TCP, TCP_NODELAY, 1)) &&
	       (!o->keep_alive ||
		tcp_port_set_option(p, SOL_SOCKET, SO_KEEPALIVE, 1));
}

/* The socket of p->fd listens, and p knows where.  0 or -errno. */
static int tcp_port_listen(struct tcp_port *p,
			   const struct plait_address *address,
			   const struct plait_listen_options *o)
{
	struct sockaddr_storage ss;
	socklen_t len = plait_i_address_to_kernel(address, &ss);
	struct kernel *k = tcp_port_kernel(p);

	if (!tcp_port_set_options(p, address->family, o) ||
	    kernel_bind(k, p->fd, (struct sockaddr *)&ss, len) < 0 ||
	    kernel_listen(k, p->fd, o->backlog > 0 ? o->backlog : SOMAXCONN) <
		    0)
		return -errno;
	return plait_i_address_of_socket(k, p->fd, &p->base.address);
}

static int tcp_port_open(struct tcp_port *p, struct plait_reactor *r,
			 const struct plait_address *address,
			 const struct plait_listen_options *o)
{
	int err;

	p->fd = kernel_socket(tcp_port_kernel(p), address->family, SOCK_STREAM);
	if (p->fd < 0)
		return -errno;
	err = tcp_port_listen(p, address, o);
	if (err < 0)
		return err;
	tcp_port_open_reserve(p);
	if (p->reserve < 0)
		return -errno;
	return plait_watch_start(r, &p->watch, p->fd, PLAIT_READ,
				 tcp_port_on_ready);
}

static void tcp_port_stop(struct plait_port *p)
{
	plait_watch_stop(&tcp(p)->watch);
	plait_timer_stop(&tcp(p)->back_off);
}

static void tcp_port_close(struct plait_port *p)
{
	if (tcp(p)->fd >= 0)
		plait_i_loop_close(p->reactor, tcp(p)->fd);
	tcp(p)->fd = -1;
	tcp_port_close_reserve(tcp(p));
}

static void tcp_port_free(struct plait_port *p)
{
	free(tcp(p));
}

static const struct port_ops tcp_port_ops = {
	.stop = tcp_port_stop,
	.close = tcp_port_close,
	.room = tcp_port_room,
	.pause = tcp_port_pause,
	.free = tcp_port_free,
};

int plait_i_tcp_port_new(struct plait_reactor *r,
			 const struct plait_address *address,
			 const struct plait_listen_options *options,
			 struct plait_port **ret)
{
	struct tcp_port *p = calloc(1, sizeof(*p));
	int err;

	if (p == NULL)
		return -ENOMEM;
	*p = (struct tcp_port){
		.base.ops = &tcp_port_ops,
		.base.reactor = r,
		.fd = -1,
		.reserve = -1,
		.busy_turn = UINT64_MAX,
	};
	err = tcp_port_open(p, r, address, options);
	if (err < 0) {
		tcp_port_close(&p->base);
		tcp_port_free(&p->base);
		return err;
	}
	*ret = &p->base;
	return 0;
}

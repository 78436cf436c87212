/*
 * Acceptors on listening stream sockets.
 *
 * listener_on_ready() accepts what its budget allows: listener_accept() takes
 * a connection from the kernel, and listener_admit() gives it a protocol.  No
 * error of accept() ends a listener; listener_go_on_after() says what it does:
 *
 * - An error of one connection skips that connection.
 * - Without descriptors, a guest is asked to leave (guest.c) and the port is
 *   held until it has left.  If none leaves, listener_turn_away() closes the
 *   descriptor that is kept in reserve, accepts the newcomer with it and closes
 *   that at once: so the peer knows, and the loop does not spin.
 * - Anything else that is missing is waited for: listener_back_off().
 *
 * Three things keep a port from accepting.  They do not depend on each other:
 *
 *   paused	the program has paused the port: plait_i_listener_pause()
 *   held	the port waits until a guest has left: there are no
 *		descriptors, or as many guests as there may be
 *   back-off	something is missing, and the timer of the back-off runs
 *
 * Meanwhile the watch waits for nothing.  Whoever ends one of the three calls
 * listener_watch(), which goes on when the last has ended.
 *
 * A port that drains (plait_port_drain()) does not wait for its watch.  Each
 * turn listener_run_look() asks whether anybody is in the queue of the kernel,
 * accepts some, and ends the port when the queue is empty: no event could tell
 * that.  shut() keeps new clients out meanwhile.  Where it cannot, the port
 * accepts no more than the queue can have held.
 *
 * The budget of a turn is one accept(), so that a single connection costs no
 * more than that.  After a turn that has used up its budget, the next turn has
 * twice as much, but never more than MAX_BUDGET: a burst must not starve
 * others.  If a larger budget has found one client at most, it takes twice as
 * many such turns to try again, because an accept() in vain is not cheap.
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/chance.h"
#include "lib/unhandled.h"
#include "reactor/kernel/address.h"
#include "reactor/net/admit.h"
#include "reactor/net/guest.h"
#include "reactor/net/listener.h"

enum { MAX_BUDGET = 32, MAX_PATIENCE = 32 };

static const double back_off_seconds = 0.1;
static const int64_t report_interval = 1000000000; /* ns */

static struct listener *listener(struct plait_port *p)
{
	return plait_self(p, struct listener);
}

static const struct listener_ops *listener_ops(const struct listener *l)
{
	return (const struct listener_ops *)(const void *)l->base.port.ops;
}

static struct kernel *listener_kernel(const struct listener *l)
{
	return loop_kernel(l->base.port.reactor);
}

static void listener_open_reserve(struct listener *l)
{
	l->reserve = kernel_reserve(listener_kernel(l));
}

static void listener_close_reserve(struct listener *l)
{
	if (l->reserve >= 0)
		kernel_close(listener_kernel(l), l->reserve);
	l->reserve = -1;
}

/* At most one report a second. */
static bool listener_may_report(struct listener *l)
{
	int64_t now = plait_i_clock_now(l->base.port.reactor);

	if (now < l->next_report)
		return false;
	l->next_report = now + report_interval;
	return true;
}

/* Tells the unhandled hook.  v is a failure, and taken. */
static void listener_report(struct listener *l, plait_value v)
{
	plait_i_failure_unhandled(plait_value_failure(&v), "Error in a port");
	plait_value_free(&v);
}

static const char *listener_reason(int err)
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

static void listener_report_refused(struct listener *l, int err,
				    const struct plait_address *peer)
{
	char who[PLAIT_ADDRESS_SIZE];

	if (!listener_may_report(l))
		return;
	plait_address_str(peer, who, sizeof(who));
	listener_report(l, plait_fail_errno(&plait_error_os, err,
					    "%s: connection from %s refused",
					    listener_reason(err), who));
}

static void listener_report_broken(struct listener *l, int err,
				   const char *what)
{
	char where[PORT_WHERE_SIZE];

	if (!listener_may_report(l))
		return;
	plait_i_port_where(&l->base.port, where, sizeof(where));
	listener_report(l, plait_fail_errno(&plait_error_os, err,
					    "%s: port on %s %s",
					    listener_reason(err), where, what));
}

static int listener_accept(struct listener *l, struct plait_address *peer)
{
	union kernel_address from = { .room.ss_family = AF_UNSPEC };
	socklen_t len = sizeof(from);
	int fd = kernel_accept(listener_kernel(l), l->fd, &from.any, &len);

	if (fd >= 0)
		plait_i_address_from_kernel(peer, &from, len);
	return fd;
}

/* A connection that was accepted. */
struct accepted {
	struct newcomer base;
	const struct stream_io *io;
	int fd; /* -1: the transport has it */
};

static struct plait_transport *accepted_transport(struct newcomer *base,
						  struct transport_owner *owner)
{
	struct accepted *n = plait_self(base, struct accepted);
	int fd = n->fd;

	n->fd = -1;
	return plait_i_stream_new(n->io, base->reactor, fd, base->peer, owner);
}

/* Gives the connection on fd a protocol.  fd is taken. */
static void listener_admit(struct listener *l, int fd,
			   const struct plait_address *peer)
{
	struct accepted n = {
		.base.reactor = l->base.port.reactor,
		.base.factory = l->base.factory,
		.base.peer = peer,
		.base.acceptor = &l->base,
		.base.transport = accepted_transport,
		.io = listener_ops(l)->io,
		.fd = fd,
	};

	if (plait_i_admit(&n.base) != NULL)
		return;
	if (errno != ECONNREFUSED && errno != ECHILD)
		listener_report_refused(l, errno, peer);
	if (n.fd >= 0)
		plait_i_loop_close(l->base.port.reactor, n.fd);
}

/* Something else has to end before the next connection is accepted. */
static bool listener_is_kept(const struct listener *l)
{
	return l->fd < 0 || l->held || !port_is_accepting(&l->base.port) ||
	       plait_timer_is_running(&l->back_off);
}

/* Waits for connections, unless something keeps it from accepting; -errno. */
static int listener_watch(struct listener *l)
{
	if (listener_is_kept(l))
		return 0;
	if (!l->base.port.draining)
		return plait_watch_change(&l->watch, PLAIT_WATCH_READ);
	plait_i_loop_next_turn(l->base.port.reactor, &l->look);
	return 0;
}

/* The back-off is over.  It begins anew if the watch is still refused. */
static void listener_retry(void *arg)
{
	struct listener *l = arg;
	int r;

	if (l->reserve < 0)
		listener_open_reserve(l);
	r = listener_watch(l);
	if (r == 0)
		return;
	plait_timer_start(l->base.port.reactor, &l->back_off, back_off_seconds,
			  listener_retry, l);
	listener_report_broken(l, -r, "waits");
}

static void listener_start_back_off(struct listener *l)
{
	plait_timer_start(l->base.port.reactor, &l->back_off, back_off_seconds,
			  listener_retry, l);
}

/* The hook that is told of it may close the port. */
static void listener_back_off(struct listener *l, int err)
{
	REACHED("a port backs off");
	plait_watch_change(&l->watch, 0);
	listener_start_back_off(l);
	listener_report_broken(l, err, "waits");
}

static void listener_hold(struct listener *l)
{
	REACHED("a port waits until a guest has left");
	l->held = true;
	plait_watch_change(&l->watch, 0);
}

void plait_i_listener_room(struct acceptor *a)
{
	struct listener *l = listener(&a->port);
	int r;

	if (!l->held)
		return;
	l->held = false;
	r = listener_watch(l);
	if (r < 0)
		listener_back_off(l, -r);
}

/* This is a call of the program: it must not call the hook of reports. */
void plait_i_listener_pause(struct plait_port *p, bool on)
{
	struct listener *l = listener(p);

	if (on)
		plait_watch_change(&l->watch, 0);
	else if (listener_watch(l) < 0)
		listener_start_back_off(l);
}

/*
 * Accepts a connection in place of the reserve, and closes it.  It tries once:
 * accept() may say that descriptors are missing when nobody waits.
 */
static void listener_turn_away(struct listener *l, int why)
{
	struct plait_address peer;
	bool waits; /* the newcomer still waits */
	int fd;

	if (l->reserve < 0) {
		listener_back_off(l, why);
		return;
	}
	REACHED("a newcomer is turned away by the reserve");
	listener_close_reserve(l);
	fd = listener_accept(l, &peer);
	waits = fd < 0 && errno != EAGAIN;
	if (fd >= 0)
		plait_i_loop_close(l->base.port.reactor, fd);
	listener_open_reserve(l);
	if (fd >= 0)
		listener_report_refused(l, why, &peer);
	/* The hook may have closed the port. */
	if (l->base.port.open && (waits || l->reserve < 0))
		listener_back_off(l, why);
}

/*
 * A newcomer waits, and there is no descriptor for it.  If a guest is about to
 * leave, the newcomer gets the guest's descriptor.  If not, the newcomer is
 * turned away, as the wait might never end.
 */
static void listener_out_of_descriptors(struct listener *l, int why)
{
	if (plait_i_guest_make_room(&l->base))
		listener_hold(l);
	else if (l->base.port.open && !loop_is_forked(l->base.port.reactor))
		listener_turn_away(l, why);
}

/* True if it is of use to call accept() again in this turn. */
static bool listener_go_on_after(struct listener *l, int err)
{
	switch (err) {
	case EAGAIN:
		if (l->base.port.draining)
			plait_i_port_end(&l->base.port);
		return false;
	case EMFILE:
	case ENFILE:
		listener_out_of_descriptors(l, err);
		return false;
	case EINTR:
	/* These are errors of the connection that waited; it is gone. */
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
		REACHED("accept() fails for one connection");
		return true;
	default:
		listener_back_off(l, err);
		return false;
	}
}

static bool listener_accept_next(struct listener *l)
{
	struct plait_address peer;
	int fd = listener_accept(l, &peer);

	if (fd < 0)
		return listener_go_on_after(l, errno);
	listener_admit(l, fd, &peer);
	if (l->due > 0 && --l->due == 0)
		plait_i_port_end(&l->base.port);
	/* In a child that was forked meanwhile, the next is the parent's. */
	return port_is_accepting(&l->base.port) &&
	       plait_i_guest_has_room(&l->base) &&
	       !loop_is_forked(l->base.port.reactor);
}

static unsigned listener_budget(struct listener *l, uint64_t turn)
{
	if (turn != l->busy_turn + 1) {
		l->busy_turns = 0;
		return 1;
	}
	if (++l->busy_turns < l->patience)
		return l->budget;
	return l->budget < MAX_BUDGET / 2 ? l->budget * 2 : MAX_BUDGET;
}

/* Has accepted n.  A budget that was more than one has shown whether clients
   come in crowds. */
static void listener_learn(struct listener *l, unsigned n, uint64_t turn)
{
	if (n == l->budget)
		l->busy_turn = turn;
	if (l->budget == 1)
		return;
	if (n > 1)
		l->patience = 1;
	else if (l->patience < MAX_PATIENCE)
		l->patience *= 2;
}

/* Somebody waits: accepts as many as room and budget allow. */
static void listener_accept_some(struct listener *l)
{
	uint64_t turn = plait_i_loop_turn(l->base.port.reactor);
	unsigned n = 0;

	if (!plait_i_guest_has_room(&l->base)) {
		/* Whether a guest is about to leave or not: one will leave. */
		plait_i_guest_make_room(&l->base);
		listener_hold(l);
		return;
	}
	l->budget = listener_budget(l, turn);
	while (n < l->budget && listener_accept_next(l))
		n++;
	listener_learn(l, n, turn);
	if (n == MAX_BUDGET)
		REACHED("a burst of connections uses the whole budget");
}

static void listener_on_ready(struct plait_watch *w, unsigned events)
{
	struct listener *l = plait_container(w, struct listener, watch);

	if (!(events & PLAIT_WATCH_LOST)) {
		listener_accept_some(l);
		return;
	}
	/* Somebody else has closed it, and may use its number again. */
	l->fd = -1;
	listener_report_broken(l, EBADF, "lost its descriptor");
	if (l->base.port.draining)
		plait_i_port_end(&l->base.port);
}

static void listener_run_look(struct loop_task *task)
{
	struct listener *l = plait_container(task, struct listener, look);

	if (l->fd < 0 || !kernel_is_readable(listener_kernel(l), l->fd)) {
		plait_i_port_end(&l->base.port);
	} else if (!listener_is_kept(l)) {
		listener_accept_some(l);
		listener_watch(l);
	}
}

void plait_i_listener_drain(struct plait_port *p)
{
	struct listener *l = listener(p);

	/* The queue of the kernel holds one more than it is asked to. */
	if (l->fd >= 0 &&
	    (listener_ops(l)->shut == NULL || !listener_ops(l)->shut(l)))
		l->due = l->backlog + 1;
	plait_watch_change(&l->watch, 0);
	/* If nobody waits, a port that is kept from accepting ends, too. */
	plait_i_loop_next_turn(p->reactor, &l->look);
}

void plait_i_listener_stop(struct plait_port *p)
{
	plait_watch_stop(&listener(p)->watch);
	plait_timer_stop(&listener(p)->back_off);
	loop_task_cancel(&listener(p)->look);
}

void plait_i_listener_close(struct plait_port *p)
{
	struct listener *l = listener(p);

	if (l->fd >= 0)
		plait_i_loop_close(p->reactor, l->fd);
	l->fd = -1;
	listener_close_reserve(l);
}

void plait_i_listener_free(struct plait_port *p)
{
	plait_i_guest_forget_acceptor(&listener(p)->base);
	free(listener(p));
}

static int listener_start(struct listener *l)
{
	listener_open_reserve(l);
	if (l->reserve < 0)
		return -errno;
	return plait_watch_start(l->base.port.reactor, &l->watch, l->fd,
				 PLAIT_WATCH_READ, listener_on_ready);
}

int plait_i_listener_init(struct listener *l, const struct listener_ops *ops,
			  struct plait_reactor *r, int fd)
{
	int err;

	l->base.port.ops = &ops->base.port;
	l->base.port.reactor = r;
	l->look.run = listener_run_look;
	l->fd = fd;
	l->busy_turn = UINT64_MAX;
	l->patience = 1;
	err = listener_start(l);
	if (err < 0)
		plait_i_listener_close(&l->base.port);
	return err;
}

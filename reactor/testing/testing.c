/*
 * The network of a testing reactor: ports and connectors that wait for the
 * test to play the other side.
 *
 * They have the same code as real ones, except the sockets.  So a test sees
 * what the real ones do: the order of the factory's callbacks, the states, the
 * answers from the loop.
 */
#include <errno.h>
#include <stdlib.h>

#include <plait/testing.h>

#include "lib/failure.h"
#include "reactor/kernel/kernel.h"
#include "reactor/net/admit.h"
#include "reactor/net/guest.h"
#include "reactor/net/connector.h"
#include "reactor/net/protocol.h"
#include "reactor/testing/recording.h"
#include "reactor/testing/testing_datagram.h"

/* The numbers for a port that asks for 0, and for the end that connects. */
enum { FREE_PORT = 49152 };

static void testing_check_reactor(const struct plait_reactor *r,
				  const char *function)
{
	loop_check_null(r, function, NULL);
	if (!loop_is_virtual(r))
		plait_die(function, "the %s reactor is not a testing one",
			  plait_reactor_backend(r));
}

/* Does a turn; returns false if the reactor is in a turn already. */
static bool testing_run_due(struct plait_reactor *r)
{
	while (plait_i_reactor_has_work(r)) {
		if (plait_reactor_iterate(r, 0) < 0)
			return false;
	}
	return true;
}

void plait_testing_advance(struct plait_reactor *r, double seconds)
{
	testing_check_reactor(r, __func__);
	plait_i_clock_advance(r, plait_i_clock_delay(seconds));
	testing_run_due(r);
}

static struct plait_address testing_loopback(unsigned port)
{
	struct plait_address a;

	plait_address_parse(&a, "localhost", port);
	return a;
}

/* A connection that the test plays. */
struct played {
	struct newcomer base;
	const struct plait_address *host;
	bool counted; /* among those that use the factory */
};

static struct plait_transport *played_transport(struct newcomer *n,
						struct transport_owner *owner)
{
	const struct played *p = plait_self(n, struct played);
	struct plait_transport *t =
		plait_i_recording_new(n->reactor, p->host, n->peer, owner);

	if (t != NULL && p->counted)
		plait_i_recording_count(t, n->factory);
	return t;
}

struct plait_transport *plait_testing_connect(struct plait_reactor *r,
					      struct plait_factory *f)
{
	struct plait_address here = testing_loopback(FREE_PORT);
	struct played p = {
		.base.reactor = r,
		.base.factory = f,
		.base.peer = &here,
		.base.transport = played_transport,
		.host = &here,
		.counted = true,
	};
	struct plait_transport *t;

	testing_check_reactor(r, __func__);
	plait_i_loop_enter(r);
	plait_factory_start(f);
	t = plait_i_admit(&p.base);
	if (t == NULL && !loop_is_forked(r))
		plait_factory_stop(f);
	plait_i_loop_leave(r);
	return t;
}

static void testing_port_stop(struct plait_port *p)
{
}

static void testing_port_close(struct plait_port *p)
{
}

static void testing_port_free(struct plait_port *p)
{
	struct acceptor *a = plait_self(p, struct acceptor);

	plait_i_guest_forget_acceptor(a);
	free(a);
}

static void testing_port_room(struct acceptor *a)
{
}

static const struct acceptor_ops testing_port_ops = {
	.port.stop = testing_port_stop,
	.port.close = testing_port_close,
	.port.ended = plait_i_acceptor_ended,
	.port.free = testing_port_free,
	.room = testing_port_room,
};

static int testing_port_new(struct plait_reactor *r,
			    const struct plait_address *address,
			    const struct plait_listen_options *options,
			    struct acceptor **ret)
{
	struct acceptor *a = calloc(1, sizeof(*a));
	struct plait_address at = *address;
	int err;

	if (a == NULL)
		return -ENOMEM;
	a->port.ops = &testing_port_ops.port;
	if (at.port == 0 && plait_address_family(address) != AF_UNIX)
		at.port = FREE_PORT;
	err = plait_i_address_keep(&a->port.address, &at);
	if (err < 0)
		free(a);
	else
		*ret = a;
	return err;
}

static struct plait_transport *testing_port_admit(struct acceptor *a)
{
	struct plait_address peer = testing_loopback(FREE_PORT);
	struct plait_address host;
	struct played p = {
		.base.reactor = a->port.reactor,
		.base.factory = a->factory,
		.base.peer = &peer,
		.base.acceptor = a,
		.base.transport = played_transport,
		.host = &host,
	};

	plait_port_host(&a->port, &host);
	return plait_i_admit(&p.base);
}

struct plait_transport *plait_testing_accept(struct plait_port *p)
{
	struct acceptor *a = plait_self(p, struct acceptor);
	struct plait_reactor *r;
	struct plait_transport *t = NULL;

	if (p == NULL)
		return NULL;
	r = p->reactor;
	testing_check_reactor(r, __func__);
	if (!port_is_accepting(p))
		return NULL;
	/* Carry first what was written: it makes a guest less idle. */
	plait_i_loop_enter(r);
	plait_i_loop_leave(r);
	plait_i_loop_enter(r);
	if (plait_i_guest_has_room(a))
		t = testing_port_admit(a);
	else
		plait_i_guest_make_room(a);
	plait_i_loop_leave(r);
	return t;
}

static void testing_attempt_start(struct attempt *a)
{
}

static void testing_attempt_stop(struct attempt *a)
{
}

static void testing_attempt_close(struct attempt *a)
{
}

static struct plait_transport *
testing_attempt_transport(struct attempt *a, struct transport_owner *owner)
{
	struct plait_address host, peer;

	plait_i_attempt_bind(a, &host);
	if (host.port == 0)
		host = testing_loopback(FREE_PORT);
	plait_i_address_get(&a->to, &peer);
	return plait_i_recording_new(a->of->reactor, &host, &peer, owner);
}

static const struct attempt_ops testing_attempt_ops = {
	.size = sizeof(struct attempt),
	.start = testing_attempt_start,
	.stop = testing_attempt_stop,
	.close = testing_attempt_close,
	.transport = testing_attempt_transport,
};

static const struct network_ops testing_network = {
	.acceptor = testing_port_new,
	.datagrams = plait_i_testing_datagrams,
	.attempt = &testing_attempt_ops,
};

struct plait_reactor *plait_testing_reactor_new(void)
{
	struct plait_reactor *r =
		plait_i_reactor_new(&plait_i_kernel_virtual, NULL);

	if (r != NULL)
		plait_i_loop_set_network(r, &testing_network);
	return r;
}

struct plait_connector *plait_testing_connector(struct plait_reactor *r)
{
	struct plait_list *l;
	struct plait_connector *c;

	testing_check_reactor(r, __func__);
	plait_list_for_each (l, plait_i_loop_members(r)) {
		c = plait_i_connector_of_member(
			plait_container(l, struct loop_member, link));
		if (c != NULL && plait_i_attempts_trying(&c->attempts) != NULL)
			return c;
	}
	return NULL;
}

/* Returns the attempt whose outcome is open, or NULL. */
static struct attempt *testing_trying(const struct plait_connector *c,
				      const char *function)
{
	if (c == NULL)
		return NULL;
	if (c->attempts.ops != &testing_attempt_ops)
		plait_die(function, "the connector is not one of a testing "
				    "reactor");
	return plait_i_attempts_trying(&c->attempts);
}

struct plait_transport *plait_testing_complete(struct plait_connector *c)
{
	struct attempt *a = testing_trying(c, __func__);
	struct plait_reactor *r;

	if (a == NULL)
		return NULL;
	r = c->reactor;
	plait_i_loop_enter(r);
	plait_i_attempt_connected(a);
	plait_i_loop_leave(r);
	return c->transport;
}

void plait_testing_refuse(struct plait_connector *c,
			  const struct plait_failure *why)
{
	struct attempt *a = testing_trying(c, __func__);
	struct plait_reactor *r;

	if (a == NULL)
		return;
	r = c->reactor;
	plait_i_loop_enter(r);
	plait_i_attempt_failed(a, plait_failure_ref(failure_given(why)));
	plait_i_loop_leave(r);
}

/* Runs what is due; returns true if there was anything. */
static bool testing_turn(struct plait_reactor *r)
{
	return plait_i_reactor_has_work(r) && testing_run_due(r);
}

void plait_testing_pump(struct plait_transport *a, struct plait_transport *b)
{
	bool going;

	if (a == NULL || b == NULL)
		return;
	/* These two stay; transports above them are freed when they are lost.
	 */
	a = &transport_bottom(transport_of(a))->base;
	b = &transport_bottom(transport_of(b))->base;
	do {
		going = plait_i_recording_carry(a, b);
		going = plait_i_recording_carry(b, a) || going;
		going = testing_turn(a->reactor) || going;
		going = testing_turn(b->reactor) || going;
	} while (going);
}

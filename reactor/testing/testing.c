/*
 * The network of a testing reactor: ports and connectors that wait for the
 * test to play the other side.
 *
 * They are the same as real ones in all but the sockets, so what a test sees
 * of them (the order of the factory's callbacks, the states, the answers from
 * the loop) is what the real ones do.
 */
#include <errno.h>
#include <stdlib.h>

#include <plait/testing.h>

#include "reactor/kernel/backend.h"
#include "reactor/net/endpoint.h"
#include "reactor/testing/recording.h"

/* What a port is given for port 0, and this end of what connects. */
enum { FREE_PORT = 49152 };

struct plait_reactor *plait_testing_reactor_new(void)
{
	return plait_i_loop_new(&plait_i_backend_virtual);
}

static void check_reactor(const struct plait_reactor *r, const char *function)
{
	if (!plait_i_loop_is_virtual(r))
		plait_die(function, "the %s reactor is not a testing one",
			  plait_reactor_name(r));
}

/* False if the reactor is in a turn already, and can't be turned. */
static bool run_due(struct plait_reactor *r)
{
	while (plait_i_loop_has_work(r)) {
		if (plait_reactor_iterate(r, 0) < 0)
			return false;
	}
	return true;
}

void plait_testing_advance(struct plait_reactor *r, double seconds)
{
	check_reactor(r, __func__);
	plait_i_loop_advance(r, plait_i_loop_nanoseconds(seconds));
	run_due(r);
}

static struct plait_address loopback(unsigned port)
{
	struct plait_address a;

	plait_address_parse(&a, "localhost", port);
	return a;
}

/*
 * A connection of that factory whose protocol is built; NULL if there is
 * none.
 */
static struct plait_transport *make(struct plait_reactor *r,
				    struct plait_factory *f,
				    const struct plait_address *host,
				    struct transport_owner *owner,
				    struct plait_protocol **ret)
{
	struct plait_address peer = loopback(FREE_PORT);
	struct plait_transport *t;

	*ret = plait_i_factory_build(f, &peer);
	/* It may have forked: in the child nobody else has it. */
	if (loop_is_forked(r))
		plait_protocol_free(ret);
	if (*ret == NULL)
		return NULL;
	t = plait_i_recording_new(r, host, &peer, owner);
	if (t == NULL)
		plait_protocol_free(ret);
	return t;
}

struct plait_transport *plait_testing_connect(struct plait_reactor *r,
					      struct plait_factory *f)
{
	struct plait_address host = loopback(FREE_PORT);
	struct plait_protocol *p;
	struct plait_transport *t;

	check_reactor(r, __func__);
	plait_i_loop_enter(r);
	plait_i_factory_start(f);
	t = make(r, f, &host, NULL, &p);
	if (t != NULL) {
		plait_i_recording_count(t, f);
		plait_i_transport_made(t, p);
	} else if (!loop_is_forked(r)) {
		plait_i_factory_stop(f);
	}
	plait_i_loop_leave(r);
	return t;
}

static void port_stop(struct plait_port *p)
{
}

static void port_close(struct plait_port *p)
{
}

static void port_room(struct plait_port *p)
{
}

static void port_free(struct plait_port *p)
{
	free(p);
}

static const struct port_ops testing_port_ops = {
	.stop = port_stop,
	.close = port_close,
	.room = port_room,
	.free = port_free,
};

int plait_i_testing_port_new(struct plait_reactor *r,
			     const struct plait_address *address,
			     const struct plait_listen_options *options,
			     struct plait_port **ret)
{
	struct plait_port *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return -ENOMEM;
	p->ops = &testing_port_ops;
	p->address = *address;
	if (p->address.port == 0)
		p->address.port = FREE_PORT;
	*ret = p;
	return 0;
}

static struct plait_transport *accept_guest(struct plait_port *p)
{
	struct transport_owner *guest;
	struct plait_protocol *protocol;
	struct plait_transport *t;

	if (plait_i_guest_new(p, &guest) < 0)
		return NULL;
	t = make(p->reactor, p->factory, &p->address, guest, &protocol);
	if (t == NULL) {
		plait_i_guest_drop(guest);
		return NULL;
	}
	plait_i_guest_enter(guest, t);
	plait_i_transport_made(t, protocol);
	return t;
}

struct plait_transport *plait_testing_accept(struct plait_port *p)
{
	struct plait_reactor *r = p->reactor;
	struct plait_transport *t = NULL;

	check_reactor(r, __func__);
	if (!p->open)
		return NULL;
	plait_i_loop_enter(r);
	if (plait_i_guest_has_room(p))
		t = accept_guest(p);
	else
		plait_i_guest_make_room(p);
	plait_i_loop_leave(r);
	return t;
}

static void connector_start(struct plait_connector *c)
{
}

static void connector_stop(struct plait_connector *c)
{
}

static void connector_close(struct plait_connector *c)
{
}

static struct plait_transport *connector_transport(struct plait_connector *c)
{
	struct plait_address host =
		c->bind.port != 0 ? c->bind : loopback(FREE_PORT);

	return plait_i_recording_new(c->reactor, &host, &c->destination,
				     &c->owner);
}

static void connector_free(struct plait_connector *c)
{
	free(c);
}

static const struct connector_ops testing_connector_ops = {
	.start = connector_start,
	.stop = connector_stop,
	.close = connector_close,
	.transport = connector_transport,
	.free = connector_free,
};

struct plait_connector *plait_i_testing_connector_new(void)
{
	struct plait_connector *c = calloc(1, sizeof(*c));

	if (c != NULL)
		c->ops = &testing_connector_ops;
	return c;
}

/* True if the attempt may have an outcome: it has none yet. */
static bool is_trying(const struct plait_connector *c, const char *function)
{
	if (c->ops != &testing_connector_ops)
		plait_die(function, "the connector is not one of a testing "
				    "reactor");
	return c->state == PLAIT_CONNECTING &&
	       !plait_list_is_linked(&c->answer.link);
}

struct plait_transport *plait_testing_complete(struct plait_connector *c)
{
	if (!is_trying(c, __func__))
		return NULL;
	/* Inside start(): first the factory must hear that it has begun. */
	if (!c->told) {
		plait_i_connector_answer(c, NULL);
		return NULL;
	}
	plait_i_connector_connected(c);
	return c->transport;
}

void plait_testing_refuse(struct plait_connector *c,
			  const struct plait_failure *why)
{
	if (!is_trying(c, __func__))
		return;
	if (c->told)
		plait_i_connector_failed(c, plait_failure_ref(why));
	else
		plait_i_connector_answer(c, plait_failure_ref(why));
}

/* Runs what is due; true if there was anything. */
static bool turn(struct plait_reactor *r)
{
	return plait_i_loop_has_work(r) && run_due(r);
}

void plait_testing_pump(struct plait_transport *a, struct plait_transport *b)
{
	bool going;

	do {
		going = plait_i_recording_carry(a, b);
		going = plait_i_recording_carry(b, a) || going;
		going = turn(a->reactor) || going;
		going = turn(b->reactor) || going;
	} while (going);
}

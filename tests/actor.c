/*
 * A factory that notes what happens: see actor.h.
 */
#include <stdio.h>

#include "tests/actor.h"
#include "tests/wrapped.h"

static struct actor *actor_of(struct plait_factory *f)
{
	return plait_self(f, struct actor);
}

static void note(struct actor *a, char what)
{
	size_t n = strlen(a->trace);

	/* Data in a row is one letter: how it is cut means nothing. */
	if (what == 'D' && n > 0 && a->trace[n - 1] == 'D')
		return;
	if (n + 1 < sizeof(a->trace))
		a->trace[n] = what;
}

static void event(struct actor *a, char what)
{
	if (a->on_event != NULL)
		a->on_event(a, what);
}

static void note_why(struct actor *a, const struct plait_failure *why)
{
	a->kind = plait_failure_kind(why);
	a->err = plait_failure_errno(why);
	plait_failure_str(why, a->why, sizeof(a->why));
}

static void made(struct plait_protocol *p)
{
	struct actor *a = actor_of(p->factory);

	note(a, 'M');
	a->made++;
	a->open++;
	a->transport = p->transport;
	if (a->on_made != NULL)
		a->on_made(a, p);
	event(a, 'M');
}

static void keep_text(struct actor *a, const void *data, size_t len)
{
	size_t room = sizeof(a->text) - 1;

	if (a->received >= room)
		return;
	room -= a->received;
	memcpy(a->text + a->received, data, len < room ? len : room);
}

static void data_received(struct plait_protocol *p, const void *data,
			  size_t len)
{
	struct actor *a = actor_of(p->factory);

	note(a, 'D');
	keep_text(a, data, len);
	a->received += len;
	if (a->on_data != NULL)
		a->on_data(a, p, data, len);
	event(a, 'D');
}

static void connection_lost(struct plait_protocol *p,
			    const struct plait_failure *why)
{
	struct actor *a = actor_of(p->factory);

	note(a, 'L');
	a->lost++;
	a->open--;
	a->lost_kind = plait_failure_kind(why);
	plait_failure_str(why, a->lost_why, sizeof(a->lost_why));
	if (a->on_lost != NULL)
		a->on_lost(a, p);
	event(a, 'L');
	if (a->transport == p->transport)
		a->transport = NULL;
}

static void read_lost(struct plait_protocol *p)
{
	struct actor *a = actor_of(p->factory);

	note(a, 'R');
	if (a->on_read_lost != NULL)
		a->on_read_lost(a, p);
	event(a, 'R');
}

static void write_lost(struct plait_protocol *p)
{
	note(actor_of(p->factory), 'W');
}

#define COMMON                                                                 \
	.name = "actor", .connection_made = made,                              \
	.data_received = data_received, .connection_lost = connection_lost

static const struct plait_protocol_ops plain_ops = { COMMON };
static const struct plait_protocol_ops half_closeable_ops = {
	COMMON,
	.read_connection_lost = read_lost,
	.write_connection_lost = write_lost,
};

static void start(struct plait_factory *f)
{
	struct actor *a = actor_of(f);

	note(a, 'S');
	a->starts++;
	if (a->on_start != NULL)
		a->on_start(a);
	event(a, 'S');
}

static void stop(struct plait_factory *f)
{
	struct actor *a = actor_of(f);

	note(a, 'X');
	a->stops++;
	if (a->on_stop != NULL)
		a->on_stop(a);
	event(a, 'X');
}

static struct plait_protocol *build(struct plait_factory *f,
				    const struct plait_address *peer)
{
	struct actor *a = actor_of(f);

	note(a, 'B');
	a->builds++;
	a->peer = *peer;
	if (a->on_build != NULL)
		a->on_build(a);
	event(a, 'B');
	if (a->has_no_memory)
		errno = ENOMEM;
	if (a->refuses || a->has_no_memory)
		return NULL;
	return plait_protocol_new(a->half_closeable ? &half_closeable_ops
						    : &plain_ops);
}

static void started_connecting(struct plait_factory *f,
			       struct plait_connector *c)
{
	struct actor *a = actor_of(f);

	note(a, 'c');
	a->started++;
	a->connector = c;
	if (a->on_started != NULL)
		a->on_started(a);
	event(a, 'c');
}

static void connection_failed(struct plait_factory *f,
			      struct plait_connector *c,
			      const struct plait_failure *why)
{
	struct actor *a = actor_of(f);

	note(a, 'F');
	a->failed++;
	a->connector = c;
	note_why(a, why);
	if (a->on_failed != NULL)
		a->on_failed(a);
	event(a, 'F');
}

static void client_lost(struct plait_factory *f, struct plait_connector *c,
			const struct plait_failure *why)
{
	struct actor *a = actor_of(f);

	note(a, 'C');
	a->client_lost++;
	a->connector = c;
	note_why(a, why);
	if (a->on_client_lost != NULL)
		a->on_client_lost(a);
	event(a, 'C');
}

static void port_opened(struct plait_factory *f, struct plait_port *p)
{
	struct actor *a = actor_of(f);

	note(a, 'O');
	a->port = p;
	event(a, 'O');
}

static void port_full(struct plait_factory *f, struct plait_port *p,
		      struct plait_protocol *idlest)
{
	note(actor_of(f), '?');
	event(actor_of(f), '?');
}

static void port_closed(struct plait_factory *f, struct plait_port *p)
{
	struct plait_address address;

	plait_port_host(p, &address);
	ck_assert_uint_gt(plait_address_port(&address), 0);
	note(actor_of(f), 'o');
	event(actor_of(f), 'o');
}

#define FACTORY                                                                \
	.name = "actor", .start = start, .stop = stop,                         \
	.build_protocol = build, .started_connecting = started_connecting,     \
	.connection_failed = connection_failed, .connection_lost = client_lost

static const struct plait_factory_ops actor_ops = { FACTORY };
static const struct plait_factory_ops hearing_ops = {
	FACTORY,
	.port_opened = port_opened,
	.port_full = port_full,
	.port_closed = port_closed,
};

void actor_init(struct actor *a)
{
	*a = (struct actor){ .base.ops = &actor_ops };
}

void actor_hear_of_ports(struct actor *a)
{
	a->base.ops = &hearing_ops;
}

unsigned actor_listen(struct actor *a, struct plait_reactor *r,
		      struct plait_port **ret)
{
	const struct plait_listen_options o = { .iface = "127.0.0.1" };
	struct plait_address address;
	int err;

	*ret = NULL;
	err = plait_listen_tcp(r, 0, wrapped(&a->base), &o, ret);
	ck_assert_msg(torture_faulty() || err == 0, "plait_listen_tcp: %s",
		      strerror(-err));
	if (err < 0)
		return 0;
	plait_port_host(*ret, &address);
	return plait_address_port(&address);
}

struct plait_connector *actor_connect(struct actor *a, struct plait_reactor *r,
				      unsigned port)
{
	return plait_connect_tcp(r, "127.0.0.1", port, wrapped(&a->base), NULL);
}

static plait_value set_flag(plait_value *result, void *arg)
{
	*(bool *)arg = true;
	return PLAIT_NONE;
}

void actor_stop(struct plait_reactor *r, struct plait_port **port)
{
	struct plait_deferred *d;
	bool done = false;

	d = plait_port_stop_listening(port);
	plait_deferred_add_both(d, set_flag, &done);
	/* With no memory for the deferred the port ends all the same. */
	run_turns(r, 2);
	run_until_set(r, &done);
	plait_deferred_free(&d);
}

static bool is_idle(void *arg)
{
	const struct actor *a = arg;

	return a->base.users == 0 && a->open == 0;
}

void actor_wait_idle(struct actor *a, struct plait_reactor *r)
{
	/* What needs no event is told without waiting for one. */
	run_turns(r, 2);
	run_until(r, is_idle, a);
}

void actor_lose(struct actor *a, struct plait_protocol *p)
{
	plait_transport_lose_connection(p->transport);
}

void actor_echo(struct actor *a, struct plait_protocol *p, const void *data,
		size_t len)
{
	plait_transport_write(p->transport, data, len);
}

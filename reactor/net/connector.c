/*
 * Connectors: what is the same for all of them.
 *
 * A connector is disconnected, connecting or connected.  An attempt ends in
 * exactly one of plait_i_connector_connected() and plait_i_connector_failed(),
 * whichever comes first: it stops everything else that could end the attempt
 * (the timer, the network, the answer to stop_connecting()).  Attempts hold one
 * reference, from the start of the first until the burial of the last, in the
 * turn in which the factory was told of its end; what an attempt has left is
 * closed there.  The next attempt opens nothing before the turn after.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "reactor/net/address.h"
#include "reactor/net/endpoint.h"

static const double default_timeout = 30;

static const struct plait_error *kind_of(int err)
{
	switch (err) {
	case ECONNREFUSED:
		return &plait_error_connection_refused;
	case ENETUNREACH:
	case EHOSTUNREACH:
		return &plait_error_no_route;
	case ETIMEDOUT:
		return &plait_error_tcp_timed_out;
	default:
		return &plait_error_connect;
	}
}

/* The failure that a new value is, with the value's reference. */
static const struct plait_failure *failure_in(plait_value v)
{
	return plait_value_failure(&v);
}

const struct plait_failure *
plait_i_connector_failure(const struct plait_connector *c,
			  const struct plait_error *kind, int err)
{
	char to[PLAIT_ADDRESS_SIZE];

	plait_address_str(&c->destination, to, sizeof(to));
	if (kind == NULL)
		kind = kind_of(err);
	return failure_in(plait_fail_errno(kind, err, "connect to %s", to));
}

/* Nothing but the caller can end the attempt any more. */
static void end_waiting(struct plait_connector *c)
{
	plait_timer_stop(&c->timer);
	loop_part(&c->member);
	c->ops->stop(c);
}

void plait_i_connector_answer(struct plait_connector *c,
			      const struct plait_failure *why)
{
	end_waiting(c);
	c->why = why;
	plait_i_loop_next_turn(c->reactor, &c->answer);
}

/*
 * The factory was told of the end.  If that did not start a new attempt, the
 * factory is done with this connector.
 */
static void end_attempt(struct plait_connector *c)
{
	if (loop_is_forked(c->reactor))
		return;
	if (c->state == PLAIT_DISCONNECTED && c->counted) {
		c->counted = false;
		plait_i_factory_stop(c->factory);
	}
	plait_i_loop_bury(c->reactor, &c->burial);
}

/* Ends the reference that the attempts have. */
static void let_go(struct plait_connector *c)
{
	if (c->held) {
		c->held = false;
		plait_connector_unref(&c);
	}
}

static void run_burial(struct loop_task *task)
{
	struct plait_connector *c =
		plait_container(task, struct plait_connector, burial);

	c->ops->close(c);
	if (c->state == PLAIT_DISCONNECTED)
		let_go(c);
}

static void run_answer(struct loop_task *task)
{
	struct plait_connector *c =
		plait_container(task, struct plait_connector, answer);
	const struct plait_failure *why = c->why;

	c->why = NULL;
	if (why != NULL)
		plait_i_connector_failed(c, why);
	else
		plait_i_connector_connected(c);
}

/*
 * The reactor goes, and the user may have a reference.  In a forked child an
 * attempt may have one, too.
 */
static void run_keep(struct loop_task *task)
{
	struct plait_connector *c =
		plait_container(task, struct plait_connector, keep);

	end_waiting(c);
	c->state = PLAIT_DISCONNECTED;
	plait_failure_unref(&c->why);
	c->ops->close(c);
	c->reactor = NULL;
	let_go(c);
}

/* In a forked child: tells nobody. */
static void abandon_attempt(struct loop_member *m)
{
	struct plait_connector *c =
		plait_container(m, struct plait_connector, member);

	end_waiting(c);
	c->ops->close(c);
}

static void lose_attempt(struct loop_member *m)
{
	struct plait_connector *c =
		plait_container(m, struct plait_connector, member);

	plait_i_connector_answer(
		c,
		plait_i_connector_failure(c, &plait_error_connection_lost, 0));
}

static const struct loop_member_ops attempt_ops = {
	.lose = lose_attempt,
	.abandon = abandon_attempt,
};

static void time_out(void *arg)
{
	struct plait_connector *c = arg;

	plait_i_connector_failed(
		c,
		plait_i_connector_failure(c, &plait_error_connect_timeout, 0));
}

static void tell_started(struct plait_connector *c)
{
	const struct plait_factory_ops *ops = c->factory->ops;

	c->told = true;
	/* start() may have forked. */
	if (ops != NULL && ops->started_connecting != NULL &&
	    !loop_is_forked(c->reactor))
		ops->started_connecting(c->factory, c);
}

/* c is NULL if there was no memory for it. */
static void tell_failed(struct plait_factory *f, struct plait_connector *c,
			const struct plait_failure *why)
{
	if (f->ops != NULL && f->ops->connection_failed != NULL)
		f->ops->connection_failed(f, c, why);
}

static void tell_lost(struct plait_connector *c,
		      const struct plait_failure *why)
{
	const struct plait_factory_ops *ops = c->factory->ops;

	if (ops != NULL && ops->connection_lost != NULL)
		ops->connection_lost(c->factory, c, why);
}

void plait_i_connector_failed(struct plait_connector *c,
			      const struct plait_failure *why)
{
	struct plait_reactor *r = c->reactor;

	/* The factory, or the protocol's, has forked. */
	if (loop_is_forked(r)) {
		plait_failure_unref(&why);
		return;
	}
	plait_i_loop_enter(r);
	end_waiting(c);
	if (c->state == PLAIT_CONNECTING)
		trace_end(TRACE_ENDED, c, c->cause);
	c->state = PLAIT_DISCONNECTED;
	tell_failed(c->factory, c, why);
	plait_failure_unref(&why);
	end_attempt(c);
	plait_i_loop_leave(r);
}

static void disconnected(struct plait_connector *c,
			 const struct plait_failure *why)
{
	c->transport = NULL;
	if (loop_is_forked(c->reactor))
		return;
	c->state = PLAIT_DISCONNECTED;
	tell_lost(c, why);
	end_attempt(c);
}

static void lost(struct transport_owner *o, const struct plait_failure *why)
{
	struct plait_connector *c =
		plait_container(o, struct plait_connector, owner);
	struct plait_reactor *r = c->reactor;

	plait_i_loop_enter(r);
	disconnected(c, why);
	plait_i_loop_leave(r);
}

/* There is no protocol: the factory refused, or had no memory. */
static void not_built(struct plait_connector *c, int err)
{
	plait_value done = plait_connection_done();

	if (err == ENOMEM)
		plait_i_connector_failed(c, failure_in(plait_no_memory()));
	else
		disconnected(c, plait_value_failure(&done));
}

/* The protocol is there: taken. */
static void built(struct plait_connector *c, struct plait_protocol *p)
{
	struct plait_transport *t = c->ops->transport(c);
	int err = errno;

	if (t == NULL) {
		plait_protocol_free(&p);
		plait_i_connector_failed(
			c, err == ENOMEM
				   ? failure_in(plait_no_memory())
				   : plait_i_connector_failure(c, NULL, err));
		return;
	}
	c->transport = t;
	plait_i_transport_made(t, p);
	if (c->lose_when_made)
		plait_transport_lose_connection(t);
}

void plait_i_connector_connected(struct plait_connector *c)
{
	struct plait_reactor *r = c->reactor;
	struct plait_protocol *p;

	plait_i_loop_enter(r);
	end_waiting(c);
	trace_end(TRACE_ENDED, c, 0);
	c->state = PLAIT_CONNECTED;
	c->lose_when_made = false;
	errno = 0;
	p = plait_i_factory_build(c->factory, &c->destination);
	if (p != NULL)
		built(c, p);
	else
		not_built(c, errno);
	plait_i_loop_leave(r);
}

static void start_attempt(struct plait_connector *c)
{
	c->state = PLAIT_CONNECTING;
	c->told = false;
	if (!c->held) {
		c->held = true;
		c->refs++;
	}
	plait_i_loop_join(c->reactor, &c->member);
	c->cause = 0;
	plait_i_address_trace(&c->destination, TRACE_ATTEMPT, c);
	plait_timer_start(c->reactor, &c->timer, c->timeout, time_out, c);
	if (c->unusable != NULL)
		plait_i_connector_answer(c, plait_failure_ref(c->unusable));
	else if (plait_i_loop_is_closing(c->reactor))
		lose_attempt(&c->member);
	else
		c->ops->start(c);
}

static void connect_factory(struct plait_connector *c)
{
	struct plait_reactor *r = c->reactor;

	plait_i_loop_enter(r);
	start_attempt(c);
	if (!c->counted) {
		c->counted = true;
		plait_i_factory_start(c->factory);
	}
	tell_started(c);
	plait_i_loop_leave(r);
}

/* Reads where to; if that is no address, every attempt will fail. */
static void read_destination(struct plait_connector *c, const char *host,
			     unsigned port)
{
	int err = -plait_address_parse(&c->destination, host, port);
	const char *name = host != NULL ? host : "";

	if (err == EADDRNOTAVAIL)
		c->unusable = failure_in(plait_fail(
			&plait_error_dns_lookup,
			"connect to %s:%u: not a numeric address", name, port));
	else if (err != 0)
		c->unusable = failure_in(
			plait_fail_errno(&plait_error_connect, err,
					 "connect to %s:%u", name, port));
}

static void read_bind_address(struct plait_connector *c, const char *host,
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

static void read_options(struct plait_connector *c,
			 const struct plait_connect_options *options)
{
	c->timeout = options->timeout == 0 ? default_timeout : options->timeout;
	c->no_delay = options->no_delay;
	c->keep_alive = options->keep_alive;
	read_bind_address(c, options->bind_address, options->bind_port);
}

static void init(struct plait_connector *c, struct plait_reactor *r,
		 struct plait_factory *f)
{
	c->reactor = r;
	c->factory = f;
	c->owner.lost = lost;
	c->member.ops = &attempt_ops;
	c->answer.run = run_answer;
	c->burial.run = run_burial;
	c->keep.run = run_keep;
	plait_i_loop_keep(r, &c->keep);
}

/* Tells one factory of the connectors that it could not have. */
static void report(struct plait_reactor *r, struct plait_factory *f)
{
	plait_value no_memory = plait_no_memory();
	unsigned n = f->unreported;

	f->unreported = 0;
	plait_list_remove(&f->link);
	plait_i_loop_enter(r);
	/* After the last stop() the factory may be gone. */
	for (; n > 0 && !loop_is_forked(r); n--) {
		tell_failed(f, NULL, plait_value_failure(&no_memory));
		plait_i_factory_stop(f);
	}
	plait_i_loop_leave(r);
}

static void run_report(struct loop_task *task)
{
	struct loop_unreported *u =
		plait_container(task, struct loop_unreported, task);
	struct plait_list factories, *l;

	plait_list_init(&factories);
	plait_list_move(&factories, &u->factories);
	while ((l = plait_list_first(&factories)) != NULL)
		report(u->reactor,
		       plait_container(l, struct plait_factory, link));
}

/* There is no memory even for the connector: the factory itself waits. */
static void report_later(struct plait_reactor *r, struct plait_factory *f)
{
	struct loop_unreported *u = plait_i_loop_unreported(r);

	u->task.run = run_report;
	if (f->unreported++ == 0)
		plait_list_append(&u->factories, &f->link);
	plait_i_loop_next_turn(r, &u->task);
	plait_i_loop_enter(r);
	plait_i_factory_start(f);
	plait_i_loop_leave(r);
}

struct plait_connector *
plait_connect_tcp(struct plait_reactor *r, const char *host, unsigned port,
		  struct plait_factory *f,
		  const struct plait_connect_options *options)
{
	static const struct plait_connect_options defaults;
	struct plait_connector *c;

	loop_check(r, "plait_connect_tcp()");
	if (loop_is_forked(r)) {
		errno = ECHILD;
		return NULL;
	}
	if (plait_i_loop_is_closing(r) && !plait_i_loop_tells_of_new(r)) {
		errno = ESHUTDOWN;
		return NULL;
	}
	c = plait_i_loop_is_virtual(r) ? plait_i_testing_connector_new()
				       : plait_i_tcp_connector_new();
	if (c == NULL) {
		report_later(r, f);
		errno = ENOMEM;
		return NULL;
	}
	init(c, r, f);
	read_destination(c, host, port);
	read_options(c, options != NULL ? options : &defaults);
	connect_factory(c);
	return c;
}

struct plait_connector *plait_connector_ref(struct plait_connector *c)
{
	if (c != NULL)
		c->refs++;
	return c;
}

void plait_connector_unref(struct plait_connector **cp)
{
	struct plait_connector *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	plait_assert(c->refs > 0);
	if (--c->refs > 0)
		return;
	loop_task_cancel(&c->keep);
	plait_failure_unref(&c->unusable);
	c->ops->free(c);
}

int plait_connector_connect(struct plait_connector *c)
{
	if (c == NULL || c->reactor == NULL)
		return -ESHUTDOWN;
	loop_check(c->reactor, "plait_connector_connect()");
	if (loop_is_forked(c->reactor))
		return -ECHILD;
	if (c->state != PLAIT_DISCONNECTED)
		return -EISCONN;
	/* Else a factory that reconnects at once would go on for ever. */
	if (plait_i_loop_is_closing(c->reactor))
		return -ESHUTDOWN;
	connect_factory(c);
	return 0;
}

int plait_connector_stop_connecting(struct plait_connector *c)
{
	if (c == NULL || c->state != PLAIT_CONNECTING)
		return -ENOTCONN;
	loop_check(c->reactor, "plait_connector_stop_connecting()");
	if (loop_is_forked(c->reactor))
		return -ECHILD;
	/* The first reason counts. */
	if (c->why != NULL)
		return 0;
	c->cause = plait_i_trace_ending(TRACE_STOPPING, c, 0);
	plait_i_connector_answer(
		c, plait_i_connector_failure(c, &plait_error_user, 0));
	return 0;
}

void plait_connector_disconnect(struct plait_connector *c)
{
	if (plait_connector_reactor(c) == NULL ||
	    c->state == PLAIT_DISCONNECTED)
		return;
	loop_check(c->reactor, "plait_connector_disconnect()");
	if (c->state == PLAIT_CONNECTING)
		plait_connector_stop_connecting(c);
	else if (c->transport != NULL)
		plait_transport_lose_connection(c->transport);
	else
		c->lose_when_made = true;
}

enum plait_connector_state
plait_connector_state(const struct plait_connector *c)
{
	return c != NULL ? c->state : PLAIT_DISCONNECTED;
}

struct plait_reactor *plait_connector_reactor(const struct plait_connector *c)
{
	/* In a forked child it is only good for being freed. */
	return c != NULL && c->reactor != NULL && !loop_is_forked(c->reactor)
		       ? c->reactor
		       : NULL;
}

void plait_connector_destination(const struct plait_connector *c,
				 struct plait_address *ret)
{
	static const struct plait_address none;

	*ret = c != NULL ? c->destination : none;
}

int plait_connector_str(const struct plait_connector *c, char *buf, size_t size)
{
	static const char *const states[] = {
		[PLAIT_DISCONNECTED] = "disconnected",
		[PLAIT_CONNECTING] = "connecting",
		[PLAIT_CONNECTED] = "connected",
	};
	char to[PLAIT_ADDRESS_SIZE];

	if (c == NULL)
		return snprintf(buf, size, "no connector");
	plait_address_str(&c->destination, to, sizeof(to));
	return snprintf(buf, size, "connector to %s, %s", to, states[c->state]);
}

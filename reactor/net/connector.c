/*
 * Connectors: what is the same for all kinds of them.
 *
 * A connector is disconnected, connecting or connected.  While it connects, its
 * attempts (attempts.c) try the address, or those that a search finds, as happy
 * eyeballs do.  Connecting ends in
 * exactly one of connector_connected() and connector_failed().  Whichever comes
 * first stops everything else that could end it: the attempts, the timer, and
 * the answer to stop_connecting().
 *
 * A protocol that wraps the factory's may have to agree on something with its
 * peer: then the connector, which is connected, goes on connecting
 * (connector_handshake()).  From there it has a transport, and the end of that
 * transport is its failure.
 *
 * A connector has a reference to itself while it connects or is connected.  It
 * keeps it until the burial of the turn in which the factory was told of the
 * end.  What the attempts have left is closed before that.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "lib/chance.h"
#include "lib/exception.h"
#include "lib/failure.h"
#include "reactor/kernel/address.h"
#include "reactor/net/admit.h"
#include "reactor/net/connector.h"
#include "reactor/net/errors.h"
#include "reactor/net/network.h"
#include "reactor/net/protocol.h"

static const double default_timeout = 30;

/* From here on only the caller can end the connecting. */
static void connector_end_waiting(struct plait_connector *c)
{
	plait_timer_stop(&c->timer);
	loop_part(&c->member);
	plait_i_attempts_stop(&c->attempts);
}

/*
 * Tells the outcome from the loop: a failure, which is taken; or NULL, if the
 * attempt c->at has won.  The last outcome of a turn counts.
 */
static void connector_answer(struct plait_connector *c,
			     const struct plait_failure *why)
{
	connector_end_waiting(c);
	c->why = why;
	plait_i_loop_next_turn(c->reactor, &c->answer);
}

/*
 * The factory was told of the end.  If it has not connected again, the
 * connector uses the factory no longer.
 */
static void connector_end(struct plait_connector *c)
{
	if (loop_is_forked(c->reactor))
		return;
	if (c->state == PLAIT_CONNECTOR_DISCONNECTED && c->counted) {
		c->counted = false;
		plait_factory_stop(c->factory);
	}
	plait_i_loop_bury(c->reactor, &c->burial);
}

/* Ends the reference of the connector to itself. */
static void connector_let_go(struct plait_connector *c)
{
	if (c->held) {
		c->held = false;
		plait_connector_unref(&c);
	}
}

static void connector_run_burial(struct loop_task *task)
{
	struct plait_connector *c =
		plait_container(task, struct plait_connector, burial);

	if (c->state == PLAIT_CONNECTOR_DISCONNECTED)
		connector_let_go(c);
}

/*
 * The reactor is freed, and the program may have a reference to the connector.
 * In a forked child, the connector may have its own, too.
 */
static void connector_run_keep(struct loop_task *task)
{
	struct plait_connector *c =
		plait_container(task, struct plait_connector, keep);

	connector_end_waiting(c);
	c->state = PLAIT_CONNECTOR_DISCONNECTED;
	plait_failure_unref(&c->why);
	plait_i_attempts_close(&c->attempts);
	c->reactor = NULL;
	connector_let_go(c);
}

/* In a forked child: tells nobody. */
static void connector_abandon(struct loop_member *m)
{
	struct plait_connector *c =
		plait_container(m, struct plait_connector, member);

	connector_end_waiting(c);
	plait_i_attempts_close(&c->attempts);
}

static void connector_lose(struct loop_member *m)
{
	struct plait_connector *c =
		plait_container(m, struct plait_connector, member);

	REACHED("a shutdown ends an attempt");
	connector_answer(
		c, plait_i_attempts_failure_of(&c->attempts,
					       &plait_error_connection_lost));
}

static const struct loop_member_ops connector_member_ops = {
	.lose = connector_lose,
	.abandon = connector_abandon,
};

struct plait_connector *plait_i_connector_of_member(struct loop_member *m)
{
	return m->ops == &connector_member_ops
		       ? plait_container(m, struct plait_connector, member)
		       : NULL;
}

static OUT_OF_LINE void connector_tell_started(struct plait_connector *c)
{
	const struct plait_factory_ops *ops = c->factory->ops;

	c->told = true;
	/* start() may have forked. */
	if (ops != NULL && ops->started_connecting != NULL &&
	    !loop_is_forked(c->reactor))
		ops->started_connecting(c->factory, c);
	exception_barrier();
}

/* c is NULL if there was no memory for it. */
static void connector_tell_failed(struct plait_factory *f,
				  struct plait_connector *c,
				  const struct plait_failure *why)
{
	if (f->ops != NULL && f->ops->connection_failed != NULL)
		f->ops->connection_failed(f, c, why);
}

static void connector_tell_lost(struct plait_connector *c,
				const struct plait_failure *why)
{
	const struct plait_factory_ops *ops = c->factory->ops;

	if (ops != NULL && ops->connection_lost != NULL)
		ops->connection_lost(c->factory, c, why);
}

static void connector_trace(const struct plait_connector *c)
{
	char to[ATTEMPT_WHERE_SIZE];

	if (!trace_is_on())
		return;
	plait_i_attempts_where(&c->attempts, to, sizeof(to));
	plait_i_trace_record_label(TRACE_ATTEMPT, c, to);
}

/* why is taken. */
static void connector_failed(struct plait_connector *c,
			     const struct plait_failure *why)
{
	/* A callback of the factory or of the protocol has forked. */
	if (loop_is_forked(c->reactor)) {
		plait_failure_unref(&why);
		return;
	}
	connector_end_waiting(c);
	if (c->state == PLAIT_CONNECTOR_CONNECTING)
		trace_end(TRACE_ENDED, c, c->cause);
	c->state = PLAIT_CONNECTOR_DISCONNECTED;
	connector_tell_failed(c->factory, c, why);
	plait_failure_unref(&why);
	connector_end(c);
}

/* In a handshake there is a connection, whose end then ends the connecting. */
static bool connector_is_in_handshake(const struct plait_connector *c)
{
	return c->state == PLAIT_CONNECTOR_CONNECTING && c->transport != NULL;
}

/* By the outermost transport, so that all of them end; why is taken. */
static void connector_abort_handshake(struct plait_connector *c,
				      const struct plait_failure *why)
{
	plait_timer_stop(&c->timer);
	plait_i_transport_abort(
		&transport_top(transport_of(c->transport))->base, why);
}

static void connector_time_out(void *arg)
{
	struct plait_connector *c = arg;
	const struct plait_failure *why = plait_i_attempts_failure_of(
		&c->attempts, &plait_error_connect_timeout);

	REACHED("connecting takes too long");
	if (connector_is_in_handshake(c))
		connector_abort_handshake(c, why);
	else
		connector_failed(c, why);
}

/* If the factory was not told of the start yet, the outcome has to wait. */
static void connector_all_failed(struct attempts *s)
{
	struct plait_connector *c =
		plait_container(s, struct plait_connector, attempts);

	if (c->told)
		connector_failed(c, plait_i_attempts_failure(s));
	else
		connector_answer(c, plait_i_attempts_failure(s));
}

static void connector_disconnected(struct plait_connector *c,
				   const struct plait_failure *why)
{
	c->transport = NULL;
	if (loop_is_forked(c->reactor))
		return;
	c->state = PLAIT_CONNECTOR_DISCONNECTED;
	connector_tell_lost(c, why);
	connector_end(c);
}

static void connector_lost(struct transport_owner *o,
			   const struct plait_failure *why)
{
	struct plait_connector *c =
		plait_container(o, struct plait_connector, owner);

	if (!connector_is_in_handshake(c)) {
		connector_disconnected(c, why);
		return;
	}
	c->transport = NULL;
	connector_failed(c, plait_failure_ref(why));
}

/*
 * A protocol that wraps that of the factory has first to agree on something
 * with the peer: until then the connector goes on connecting.
 */
static void connector_handshake(struct transport_owner *o, bool begins)
{
	struct plait_connector *c =
		plait_container(o, struct plait_connector, owner);
	double left = c->due - plait_reactor_seconds(c->reactor);

	if (begins && c->state == PLAIT_CONNECTOR_CONNECTED) {
		c->state = PLAIT_CONNECTOR_CONNECTING;
		connector_trace(c);
		plait_timer_start(c->reactor, &c->timer, left > 0 ? left : 0,
				  connector_time_out, c);
	} else if (!begins && connector_is_in_handshake(c)) {
		plait_timer_stop(&c->timer);
		trace_end(TRACE_ENDED, c, 0);
		c->state = PLAIT_CONNECTOR_CONNECTED;
	}
}

/* A connection that a connector has made. */
struct reached {
	struct newcomer base;
	struct plait_connector *connector;
	struct attempt *by;
};

static struct plait_transport *reached_transport(struct newcomer *n,
						 struct transport_owner *owner)
{
	struct reached *reached = plait_self(n, struct reached);
	struct plait_connector *c = reached->connector;

	c->transport = c->attempts.ops->transport(reached->by, owner);
	return c->transport;
}

/* There is no protocol or no transport.  In a forked child nobody is told. */
static void connector_not_admitted(struct plait_connector *c, int err)
{
	if (err == ECHILD)
		return;
	if (err == ECONNREFUSED)
		connector_disconnected(c, &plait_i_failure_connection_done);
	else if (err == ENOMEM)
		connector_failed(c, &plait_i_failure_no_memory);
	else
		connector_failed(c, plait_i_attempt_failure(c->at, NULL, err));
}

/* By the outermost transport, so that all of them send what they have. */
static void connector_lose_all(struct plait_transport *t)
{
	plait_transport_lose_connection(&transport_top(transport_of(t))->base);
}

static void connector_connected(struct plait_connector *c, struct attempt *a)
{
	struct plait_address peer;
	struct reached reached = {
		.base.reactor = c->reactor,
		.base.factory = c->factory,
		.base.peer = &peer,
		.base.owner = &c->owner,
		.base.transport = reached_transport,
		.connector = c,
		.by = a,
	};
	struct plait_transport *t;

	plait_i_address_get(&a->to, &peer);
	connector_end_waiting(c);
	trace_end(TRACE_ENDED, c, 0);
	c->state = PLAIT_CONNECTOR_CONNECTED;
	c->at = a;
	c->lose_when_made = false;
	t = plait_i_admit(&reached.base);
	if (t == NULL)
		connector_not_admitted(c, errno);
	else if (c->lose_when_made)
		connector_lose_all(t);
}

/* If the factory was not told of the start yet, the outcome has to wait. */
static void connector_won(struct attempts *s, struct attempt *a)
{
	struct plait_connector *c =
		plait_container(s, struct plait_connector, attempts);

	if (c->told) {
		connector_connected(c, a);
		return;
	}
	c->at = a;
	connector_answer(c, NULL);
}

static void connector_run_answer(struct loop_task *task)
{
	struct plait_connector *c =
		plait_container(task, struct plait_connector, answer);
	const struct plait_failure *why = c->why;

	c->why = NULL;
	if (why != NULL)
		connector_failed(c, why);
	else
		connector_connected(c, c->at);
}

/* If no more come, and all have failed, this is told from the loop. */
static void connector_go_on(struct plait_connector *c)
{
	if (!plait_i_attempts_go_on(&c->attempts))
		connector_answer(c, plait_i_attempts_failure(&c->attempts));
}

/* A search may add addresses before start() returns. */
static void connector_try(struct plait_connector *c)
{
	struct attempt_search *search = c->attempts.search;

	if (search != NULL)
		search->start(search);
	else
		connector_go_on(c);
}

static void connector_begin(struct plait_connector *c)
{
	c->state = PLAIT_CONNECTOR_CONNECTING;
	c->told = false;
	if (!c->held) {
		c->held = true;
		c->refs++;
	}
	plait_i_loop_join(c->reactor, &c->member);
	c->cause = 0;
	c->at = NULL;
	plait_i_attempts_reset(&c->attempts);
	connector_trace(c);
	plait_timer_start(c->reactor, &c->timer, c->timeout, connector_time_out,
			  c);
	c->due = plait_timer_when(&c->timer);
	if (c->unusable != NULL)
		connector_answer(c, plait_failure_ref(c->unusable));
	else if (plait_i_loop_is_closing(c->reactor))
		connector_lose(&c->member);
	else
		connector_try(c);
}

void plait_i_connector_start(struct plait_connector *c)
{
	struct plait_reactor *r = c->reactor;

	plait_i_loop_enter(r);
	connector_begin(c);
	if (!c->counted) {
		c->counted = true;
		plait_factory_start(c->factory);
	}
	connector_tell_started(c);
	plait_i_loop_leave(r);
}

/* The first address lies behind the connector. */
static struct plait_connector *connector_alloc(struct plait_reactor *r,
					       const struct attempt_ops *ops,
					       struct plait_factory *f)
{
	struct plait_connector *c = calloc(1, sizeof(*c) + ops->size);

	if (c == NULL)
		return NULL;
	c->reactor = r;
	c->factory = f;
	c->timeout = default_timeout;
	plait_i_attempts_init(&c->attempts, r, ops, (void *)(c + 1));
	c->attempts.won = connector_won;
	c->attempts.lost = connector_all_failed;
	c->owner.lost = connector_lost;
	c->owner.handshake = connector_handshake;
	c->member.ops = &connector_member_ops;
	c->answer.run = connector_run_answer;
	c->burial.run = connector_run_burial;
	c->keep.run = connector_run_keep;
	plait_i_loop_keep(r, &c->keep);
	trace_note(TRACE_CONNECTOR, c, r, NULL, 0);
	return c;
}

/* Tells a factory of the connectors that there was no memory for. */
static void connector_report(struct plait_reactor *r, struct plait_factory *f)
{
	plait_value no_memory = plait_no_memory();
	unsigned n = f->unreported;

	f->unreported = 0;
	plait_list_remove(&f->link);
	/* After the last stop() the factory may be gone. */
	for (; n > 0 && !loop_is_forked(r); n--) {
		connector_tell_failed(f, NULL, plait_value_failure(&no_memory));
		plait_factory_stop(f);
	}
}

static void connector_run_report(struct loop_task *task)
{
	struct loop_untold *u = plait_container(task, struct loop_untold, task);
	struct plait_list factories, *l;

	plait_list_init(&factories);
	plait_list_move(&factories, &u->list);
	while ((l = plait_list_first(&factories)) != NULL)
		connector_report(
			u->reactor,
			plait_container(l, struct plait_factory, link));
}

/* There is no memory for the connector, so the factory waits to be told. */
static void connector_report_later(struct plait_reactor *r,
				   struct plait_factory *f)
{
	struct loop_untold *u = plait_i_loop_untold(r);

	u->task.run = connector_run_report;
	if (f->unreported++ == 0)
		plait_list_append(&u->list, &f->link);
	plait_i_loop_next_turn(r, &u->task);
	plait_i_loop_enter(r);
	plait_factory_start(f);
	plait_i_loop_leave(r);
}

struct plait_connector *plait_i_connector_new(struct plait_reactor *r,
					      const char *function,
					      const struct attempt_ops *ops,
					      struct plait_factory *f)
{
	const struct network_ops *network;
	struct plait_connector *c;

	loop_check_given(r, function, NULL);
	if (loop_is_forked(r)) {
		errno = ECHILD;
		return NULL;
	}
	if (plait_i_loop_is_closing(r) && !plait_i_loop_tells_of_new(r)) {
		errno = ESHUTDOWN;
		return NULL;
	}
	network = plait_i_loop_network(r);
	c = connector_alloc(r, network != NULL ? network->attempt : ops, f);
	if (c == NULL) {
		connector_report_later(r, f);
		errno = ENOMEM;
	}
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
	struct plait_connector *c = cp != NULL ? *cp : NULL;

	if (c == NULL)
		return;
	*cp = NULL;
	plait_assert(c->refs > 0);
	if (--c->refs > 0)
		return;
	trace_note(TRACE_CONNECTOR_FREED, c, c->reactor, NULL, 0);
	loop_task_cancel(&c->keep);
	plait_failure_unref(&c->unusable);
	plait_i_attempts_done(&c->attempts);
	free(c);
}

void plait_connector_cleanup(struct plait_connector **cp)
{
	plait_connector_unref(cp);
}

/* True if an address that is found now is of use. */
static bool connector_is_searching(const struct plait_connector *c)
{
	return c->state == PLAIT_CONNECTOR_CONNECTING &&
	       !plait_list_is_linked(&c->answer.link);
}

int plait_i_connector_add(struct plait_connector *c,
			  const struct plait_address *to)
{
	bool searching = connector_is_searching(c);
	int err;

	if (!searching && c->attempts.search != NULL)
		return -ENOTCONN;
	err = plait_i_attempts_add(&c->attempts, to);
	if (err < 0)
		return err;
	if (searching)
		connector_go_on(c);
	return 0;
}

void plait_i_connector_no_more(struct plait_connector *c, int family,
			       const struct plait_failure *why)
{
	if (!connector_is_searching(c)) {
		plait_failure_unref(&why);
		return;
	}
	plait_i_attempts_no_more(&c->attempts, family, why);
	connector_go_on(c);
}

int plait_connector_connect(struct plait_connector *c)
{
	if (c == NULL)
		return -ENOMEM;
	if (c->reactor == NULL)
		return -ESHUTDOWN;
	loop_check(c->reactor, "plait_connector_connect()");
	if (loop_is_forked(c->reactor))
		return -ECHILD;
	if (c->state != PLAIT_CONNECTOR_DISCONNECTED)
		return -EISCONN;
	/* A factory that reconnects at once would go on for ever. */
	if (plait_i_loop_is_closing(c->reactor))
		return -ESHUTDOWN;
	plait_i_connector_start(c);
	return 0;
}

int plait_connector_stop_connecting(struct plait_connector *c)
{
	const struct plait_failure *why;

	if (c == NULL)
		return -ENOMEM;
	if (c->state != PLAIT_CONNECTOR_CONNECTING)
		return -ENOTCONN;
	loop_check(c->reactor, "plait_connector_stop_connecting()");
	if (loop_is_forked(c->reactor))
		return -ECHILD;
	/* The first reason counts. */
	if (c->why != NULL)
		return 0;
	c->cause = plait_i_trace_ending(TRACE_STOPPING, c, 0);
	why = plait_i_attempts_failure_of(&c->attempts, &plait_error_user);
	if (connector_is_in_handshake(c))
		connector_abort_handshake(c, why);
	else
		connector_answer(c, why);
	return 0;
}

void plait_connector_disconnect(struct plait_connector *c)
{
	if (plait_connector_reactor(c) == NULL ||
	    c->state == PLAIT_CONNECTOR_DISCONNECTED)
		return;
	loop_check(c->reactor, "plait_connector_disconnect()");
	if (c->state == PLAIT_CONNECTOR_CONNECTING)
		plait_connector_stop_connecting(c);
	else if (c->transport != NULL)
		connector_lose_all(c->transport);
	else
		c->lose_when_made = true;
}

enum plait_connector_state
plait_connector_state(const struct plait_connector *c)
{
	return c != NULL ? c->state : PLAIT_CONNECTOR_DISCONNECTED;
}

struct plait_reactor *plait_connector_reactor(const struct plait_connector *c)
{
	/* In a forked child the reactor is only good for being freed. */
	return c != NULL && c->reactor != NULL && !loop_is_forked(c->reactor)
		       ? c->reactor
		       : NULL;
}

void plait_connector_destination(const struct plait_connector *c,
				 struct plait_address *ret)
{
	static const struct kept_address none;
	const struct attempt *at;

	if (c == NULL) {
		plait_i_address_get(&none, ret);
		return;
	}
	at = c->at != NULL ? c->at : plait_i_attempts_leader(&c->attempts);
	plait_i_address_get(&at->to, ret);
}

int plait_connector_str(const struct plait_connector *c, char *buf, size_t size)
{
	static const char *const states[] = {
		[PLAIT_CONNECTOR_DISCONNECTED] = "disconnected",
		[PLAIT_CONNECTOR_CONNECTING] = "connecting",
		[PLAIT_CONNECTOR_CONNECTED] = "connected",
	};
	char to[ATTEMPT_WHERE_SIZE];

	if (c == NULL)
		return snprintf(buf, size, "no connector");
	plait_i_attempts_where(&c->attempts, to, sizeof(to));
	return snprintf(buf, size, "connector to %s, %s", to, states[c->state]);
}

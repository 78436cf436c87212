/*
 * What all transports have in common: the calls of a protocol on its transport,
 * except those that write (unsent.c), and producers.
 *
 * The calls check the state (see closing.c), change it, and leave a mark
 * (transport_touch()).  None of them calls the user or the kernel.  The rest is
 * done from the loop, in settling.c and closing.c; telling.c calls the
 * callbacks.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <plait/scope.h>
#include <plait/unix.h>

#include "lib/exception.h"
#include "lib/failure.h"
#include "reactor/net/transport.h"

static const struct plait_producer_ops as_producer_ops;

/*
 * Decides what the producer is told.  It does so when the producer is called,
 * not when the output changed, because much may have happened between.
 */
enum order { ORDER_NONE, ORDER_PAUSE, ORDER_RESUME, ORDER_STOP };

static enum order transport_order(const struct transport *t)
{
	size_t unsent =
		plait_transport_unsent(&t->base) + transport_handover_cost(t);

	if (t->lost || t->aborted || t->write_closed)
		return ORDER_STOP;
	if (!t->streaming)
		return unsent == 0 && !t->asked ? ORDER_RESUME : ORDER_NONE;
	if (!t->producer_paused)
		return unsent > transport_limits(t)->high_water ? ORDER_PAUSE
								: ORDER_NONE;
	return unsent <= transport_limits(t)->low_water ? ORDER_RESUME
							: ORDER_NONE;
}

OUT_OF_LINE void plait_i_transport_stop_producer(struct transport *t)
{
	struct plait_producer *p = transport_producer(t);

	if (p == NULL)
		return;
	plait_transport_unregister_producer(&t->base);
	p->ops->stop(p);
	exception_barrier();
}

static OUT_OF_LINE void transport_tell_producer(struct transport *t)
{
	struct plait_producer *p = t->extra->producer;

	switch (transport_order(t)) {
	case ORDER_NONE:
		break;
	case ORDER_PAUSE:
		t->producer_paused = true;
		p->ops->pause(p);
		break;
	case ORDER_RESUME:
		t->producer_paused = false;
		t->asked = true;
		p->ops->resume(p);
		break;
	case ORDER_STOP:
		plait_i_transport_stop_producer(t);
		break;
	}
	exception_barrier();
}

static void transport_produce(struct loop_task *task)
{
	transport_tell_producer(
		plait_container(task, struct transport_extra, producing)
			->transport);
}

void plait_i_transport_output_changed(struct transport *t)
{
	transport_verify(t);
	if (transport_producer(t) != NULL && transport_order(t) != ORDER_NONE)
		plait_i_loop_next_turn(transport_reactor(t),
				       &t->extra->producing);
	if (transport_above(t) != NULL)
		plait_i_transport_output_changed(transport_above(t));
}

void plait_i_transport_init(struct transport *t,
			    const struct plait_transport_ops *ops,
			    struct plait_reactor *r)
{
	*t = (struct transport){
		.base.ops = ops,
		.base.reactor = r,
	};
	transport_is_active(t);
}

/*
 * A transport has one task.  While it is queued to be settled after the present
 * callback, the answer that it may owe waits; then the answer gets its place
 * among the tasks of the next turn, before what the producer is to be told: if
 * the answer ends the transport, the producer is only told of the end.
 */
OUT_OF_LINE void plait_i_transport_queue_settling(struct transport *t)
{
	loop_task_cancel(&t->task);
	t->settles = true;
	plait_i_loop_after_callback(transport_reactor(t), &t->task);
}

static OUT_OF_LINE void transport_queue_answer(struct transport *t)
{
	struct loop_task *producing =
		t->extra != NULL ? &t->extra->producing : NULL;

	plait_i_loop_next_turn(transport_reactor(t), &t->task);
	if (producing == NULL || !plait_list_is_linked(&producing->link))
		return;
	loop_task_cancel(producing);
	plait_i_loop_next_turn(transport_reactor(t), producing);
}

void plait_i_transport_cancel_settling(struct transport *t)
{
	if (!t->settles)
		return;
	t->settles = false;
	loop_task_cancel(&t->task);
	if (t->owes)
		transport_queue_answer(t);
}

struct transport_extra *plait_i_transport_extra(struct transport *t)
{
	struct transport_extra *e = t->extra;

	if (e != NULL)
		return e;
	e = t->extra = malloc(sizeof(*e));
	if (e != NULL)
		*e = (struct transport_extra){
			.transport = t,
			.producing.run = transport_produce,
			.as_producer.ops = &as_producer_ops,
		};
	return e;
}

struct handover *plait_i_transport_handover(struct transport *t)
{
	struct transport_extra *e = plait_i_transport_extra(t);

	if (e != NULL && e->handover == NULL)
		e->handover = calloc(1, sizeof(*e->handover));
	return e != NULL ? e->handover : NULL;
}

void plait_transport_lose_connection(struct plait_transport *base)
{
	struct transport *t;

	if (base == NULL)
		return;
	t = transport_of(base);
	loop_check(base->reactor, "plait_transport_lose_connection()");
	if (t->disconnecting)
		return;
	t->disconnecting = true;
	t->cause = plait_i_trace_ending(TRACE_CLOSING, base, t->cause);
	transport_touch(t);
	transport_verify(t);
}

void plait_transport_lose_connection_because(struct plait_transport *base,
					     const struct plait_failure *why)
{
	struct transport_extra *e;
	struct transport *t;

	if (base == NULL)
		return;
	t = transport_of(base);
	loop_check(base->reactor, "plait_transport_lose_connection_because()");
	if (t->disconnecting)
		return;
	e = plait_i_transport_extra(t);
	if (e == NULL) {
		plait_i_transport_abort(base, &plait_i_failure_no_memory);
		return;
	}
	e->farewell = plait_failure_ref(failure_given(why));
	plait_transport_lose_connection(base);
}

void plait_i_transport_fail(struct transport *t,
			    const struct plait_failure *why)
{
	/* A peer that did not get all must not believe that it did. */
	if (t->output.size > 0)
		t->reset = true;
	transport_drop_output(t);
	t->blocked = t->draining = false;
	if (t->why == NULL)
		t->why = why;
	else
		plait_failure_unref(&why);
	transport_owe_answer(t);
	/* The transport below must end in the same turn. */
	if (transport_below(t) != NULL)
		transport_touch(t);
	transport_verify(t);
}

/* unread counts while reading is paused, on that very transport. */
bool plait_i_transport_has_unread(const struct transport *t)
{
	for (; t != NULL; t = transport_above(t)) {
		if (transport_held_input(t) != NULL ||
		    (t->reading_paused && t->base.protocol != NULL &&
		     t->base.protocol->unread))
			return true;
	}
	return false;
}

OUT_OF_LINE void plait_i_transport_broken(struct transport *t,
					  const struct plait_failure *why)
{
	const struct plait_transport_ops *ops = t->base.ops;

	plait_i_transport_fail(t, why);
	for (struct transport *a = t; a != NULL; a = transport_above(a)) {
		a->write_closed = a->shut = true;
		transport_drop_output(a);
		a->blocked = false;
	}
	t->draining = !transport_wants_no_more(t) &&
		      (!t->reading_paused || plait_i_transport_has_unread(t) ||
		       (ops->has_input != NULL && ops->has_input(&t->base)));
	transport_verify(t);
}

/* A transport below may be broken, and wait for the reader.  why is taken. */
static const struct plait_failure *
transport_first_reason(const struct transport *t,
		       const struct plait_failure *why)
{
	while ((t = transport_below(t)) != NULL) {
		if (t->why == NULL)
			continue;
		plait_failure_unref(&why);
		return plait_failure_ref(t->why);
	}
	return why;
}

void plait_i_transport_end_now(struct transport *t,
			       const struct plait_failure *why, bool reset)
{
	if (t->lost || t->aborted) {
		plait_failure_unref(&why);
		return;
	}
	t->disconnecting = t->aborted = true;
	t->cause = plait_i_trace_ending(TRACE_CLOSING, &t->base, t->cause);
	t->reset |= reset;
	plait_i_transport_fail(t, transport_first_reason(t, why));
}

void plait_i_transport_abort(struct plait_transport *t,
			     const struct plait_failure *why)
{
	plait_i_transport_end_now(transport_of(t), why, true);
}

void plait_i_transport_shed(struct plait_transport *t,
			    const struct plait_failure *why)
{
	plait_i_transport_end_now(transport_top(transport_of(t)), why, false);
}

void plait_i_transport_give_up(struct transport *t)
{
	plait_value v = plait_fail(&plait_error_connection_aborted,
				   "closing made no progress in %g seconds",
				   transport_limits(t)->close_timeout);

	plait_i_transport_abort(&t->base, plait_value_failure(&v));
}

void plait_transport_abort_connection(struct plait_transport *base)
{
	const struct transport *t;
	plait_value v;

	if (base == NULL)
		return;
	t = transport_of(base);
	loop_check(base->reactor, "plait_transport_abort_connection()");
	if (t->lost || t->aborted)
		return;
	v = plait_fail(&plait_error_connection_aborted, "by this end");
	plait_i_transport_abort(base, plait_value_failure(&v));
}

void plait_transport_lose_write_connection(struct plait_transport *base)
{
	struct transport *t;

	if (base == NULL)
		return;
	t = transport_of(base);
	loop_check(base->reactor, "plait_transport_lose_write_connection()");
	if (!transport_may_write(t))
		return;
	t->write_closed = true;
	transport_touch(t);
}

static void transport_hold_reading(struct transport *t, enum reading_holder who,
				   bool hold)
{
	unsigned held = t->reading_held & ~(unsigned)who;

	if (hold)
		held |= who;
	if (t->lost || t->reading_held == held)
		return;
	t->reading_held = held & 3;
	t->reading_paused = held != 0;
	/* The transports below, too: an end that waits there may be due. */
	for (; t != NULL; t = transport_below(t))
		transport_touch(t);
}

void plait_transport_pause_reading(struct plait_transport *t)
{
	if (t == NULL)
		return;
	loop_check(t->reactor, "plait_transport_pause_reading()");
	transport_hold_reading(transport_of(t), READING_BY_PROGRAM, true);
}

void plait_transport_resume_reading(struct plait_transport *t)
{
	if (t == NULL)
		return;
	loop_check(t->reactor, "plait_transport_resume_reading()");
	transport_hold_reading(transport_of(t), READING_BY_PROGRAM, false);
}

struct plait_transport *plait_transport_below(const struct plait_transport *t)
{
	struct transport *below =
		t != NULL ? transport_below(transport_of(t)) : NULL;

	return below != NULL ? &below->base : NULL;
}

struct plait_transport *plait_transport_above(const struct plait_transport *t)
{
	const struct transport_extra *extra =
		t != NULL ? transport_of(t)->extra : NULL;

	return extra != NULL && extra->above != NULL ? &extra->above->base
						     : NULL;
}

size_t plait_i_transport_own_unsent(const struct transport *t)
{
	const struct plait_transport *base = &t->base;

	return t->output.size +
	       (base->ops->unsent != NULL ? base->ops->unsent(base) : 0);
}

size_t plait_transport_unsent(const struct plait_transport *t)
{
	size_t bytes = 0;

	/* The abort reaches the transports below only later in this turn. */
	if (t == NULL || transport_of(t)->aborted)
		return 0;
	for (; t != NULL; t = plait_transport_below(t))
		bytes += plait_i_transport_own_unsent(transport_of(t));
	return bytes;
}

bool plait_transport_peer_has_closed(const struct plait_transport *base)
{
	const struct transport *t;

	if (base == NULL)
		return false;
	t = transport_of(base);
	if (t->lost || t->eof || t->end_waits || t->why != NULL)
		return true;
	if (base->ops->peer_has_closed != NULL)
		return base->ops->peer_has_closed(base);
	return transport_below(t) != NULL &&
	       plait_transport_peer_has_closed(&transport_below(t)->base);
}

/* In a forked child the connection counts as lost, so that receivers stop. */
bool plait_transport_is_disconnecting(const struct plait_transport *t)
{
	if (t == NULL)
		return false;
	if (loop_is_forked(t->reactor))
		return true;
	for (; t != NULL; t = plait_transport_below(t)) {
		if (transport_of(t)->disconnecting)
			return true;
	}
	return false;
}

int plait_transport_host(struct plait_transport *t, struct plait_address *ret)
{
	struct plait_transport *below = plait_transport_below(t);

	if (t == NULL)
		return -ENOMEM;
	if (t->ops->host != NULL)
		return t->ops->host(t, ret);
	return below != NULL ? plait_transport_host(below, ret) : -ENOTCONN;
}

int plait_transport_peer(struct plait_transport *t, struct plait_address *ret)
{
	struct plait_transport *below = plait_transport_below(t);

	if (t == NULL)
		return -ENOMEM;
	if (t->ops->peer != NULL)
		return t->ops->peer(t, ret);
	return below != NULL ? plait_transport_peer(below, ret) : -ENOTCONN;
}

static int transport_set_option(struct plait_transport *t, int level,
				int option, bool on)
{
	while (t->ops->set_option == NULL && plait_transport_below(t) != NULL)
		t = plait_transport_below(t);
	if (t->ops->set_option == NULL)
		return -ENOTSUP;
	if (transport_of(t)->lost)
		return -ENOTCONN;
	if (loop_is_forked(t->reactor))
		return -ECHILD;
	return t->ops->set_option(t, level, option, on);
}

int plait_transport_peer_credentials(struct plait_transport *t,
				     struct plait_credentials *ret)
{
	if (t == NULL)
		return -ENOMEM;
	while (t->ops->peer_credentials == NULL &&
	       plait_transport_below(t) != NULL)
		t = plait_transport_below(t);
	if (t->ops->peer_credentials == NULL)
		return -ENOTSUP;
	if (transport_of(t)->lost)
		return -ENOTCONN;
	return t->ops->peer_credentials(t, ret);
}

int plait_transport_set_tcp_no_delay(struct plait_transport *t, bool on)
{
	if (t == NULL)
		return -ENOMEM;
	loop_check(t->reactor, "plait_transport_set_tcp_no_delay()");
	return transport_set_option(t, IPPROTO_TCP, TCP_NODELAY, on);
}

int plait_transport_set_tcp_keep_alive(struct plait_transport *t, bool on)
{
	if (t == NULL)
		return -ENOMEM;
	loop_check(t->reactor, "plait_transport_set_tcp_keep_alive()");
	return transport_set_option(t, SOL_SOCKET, SO_KEEPALIVE, on);
}

struct plait_scope *plait_transport_scope(struct plait_transport *base)
{
	struct transport_extra *e;
	struct transport *t;

	if (base == NULL)
		return NULL;
	t = transport_of(base);
	loop_check(base->reactor, "plait_transport_scope()");
	if (t->lost)
		return transport_scope(t);
	e = plait_i_transport_extra(t);
	if (e != NULL && e->scope == NULL)
		e->scope = (plait_scope_new)(base->reactor,
					     "plait_transport_scope()");
	return transport_scope(t);
}

struct plait_reactor *plait_transport_reactor(const struct plait_transport *t)
{
	return t != NULL ? t->reactor : NULL;
}

static const char *transport_state(const struct transport *t)
{
	if (t->lost)
		return "lost";
	if (t->aborted)
		return "aborted";
	if (t->disconnecting)
		return "disconnecting";
	return t->base.protocol != NULL ? "connected" : "new";
}

int plait_transport_str(struct plait_transport *t, char *buf, size_t size)
{
	struct plait_address peer = { .family = 0 };
	char name[PLAIT_ADDRESS_SIZE];

	if (t == NULL)
		return snprintf(buf, size, "no transport");
	plait_transport_peer(t, &peer);
	plait_address_str(&peer, name, sizeof(name));
	return snprintf(buf, size, "%s to %s, %s, %zu bytes unsent%s",
			t->ops->name, name, transport_state(transport_of(t)),
			plait_transport_unsent(t),
			transport_of(t)->reading_paused ? ", reading paused"
							: "");
}

/* Returns the transport whose receiving half is p. */
static struct transport *produced_by(struct plait_producer *p)
{
	return plait_container(p, struct transport_extra, as_producer)
		->transport;
}

/* Ends the pause of the receiving half, unless one that it feeds is full. */
static void transport_producer_goes_on(struct transport *from)
{
	for (const struct transport *t = from->extra->fed; t != NULL;
	     t = t->extra->next_fed) {
		if (t->producer_paused)
			return;
	}
	transport_hold_reading(from, READING_BY_PRODUCER, false);
}

/* Is false if p is the receiving half of a transport that is lost. */
static bool transport_begin_feeding(struct transport *t,
				    struct plait_producer *p)
{
	struct transport *from;

	if (p->ops != &as_producer_ops)
		return true;
	from = produced_by(p);
	if (from->lost)
		return false;
	t->extra->next_fed = from->extra->fed;
	from->extra->fed = t;
	return true;
}

static void transport_end_feeding(struct transport *t, struct plait_producer *p)
{
	struct transport **at;

	if (p->ops != &as_producer_ops)
		return;
	at = &produced_by(p)->extra->fed;
	while (*at != t)
		at = &(*at)->extra->next_fed;
	*at = t->extra->next_fed;
	t->extra->next_fed = NULL;
	/* Nobody else can end the pause that t has asked for. */
	if (t->producer_paused)
		transport_producer_goes_on(produced_by(p));
}

/*
 * Nothing is kept in the reserved words of a producer.  In the library that
 * stands for a later one a word counts its transports.
 */
static void producer_used(struct plait_producer *p, int change)
{
#ifdef PLAIT_TEST_GROWN
	p->grown += (uintptr_t)(intptr_t)change;
	plait_assert(p->grown < 100);
	if (p->ops->grown != NULL)
		p->ops->grown(p);
#endif
}

int plait_transport_register_producer(struct plait_transport *base,
				      struct plait_producer *p, bool streaming)
{
	struct transport_extra *e;
	struct transport *t;

	if (base == NULL)
		return -ENOMEM;
	t = transport_of(base);
	loop_check(base->reactor, "plait_transport_register_producer()");
	if (transport_producer(t) != NULL)
		return -EBUSY;
	e = p != NULL ? plait_i_transport_extra(t) : NULL;
	if (e == NULL) {
		/* Without its producer it would wait for output for ever, or
		   take more than it sends. */
		plait_i_transport_abort(base, &plait_i_failure_no_memory);
		return -ENOMEM;
	}
	if (!transport_begin_feeding(t, p))
		return 0;
	e->producer = p;
	producer_used(p, 1);
	t->streaming = streaming;
	t->producer_paused = t->asked = false;
	/* The end of a lost connection is at work, and will stop p. */
	if (!t->lost)
		plait_i_transport_output_changed(t);
	return 0;
}

void plait_transport_unregister_producer(struct plait_transport *base)
{
	struct transport *t;

	if (base == NULL)
		return;
	t = transport_of(base);
	loop_check(base->reactor, "plait_transport_unregister_producer()");
	if (transport_producer(t) == NULL)
		return;
	loop_task_cancel(&t->extra->producing);
	transport_end_feeding(t, t->extra->producer);
	producer_used(t->extra->producer, -1);
	t->extra->producer = NULL;
	t->streaming = t->producer_paused = false;
	if (t->disconnecting && !t->aborted && !t->lost)
		transport_touch(t);
}

static void producer_pause(struct plait_producer *p)
{
	transport_hold_reading(produced_by(p), READING_BY_PRODUCER, true);
}

static void producer_resume(struct plait_producer *p)
{
	transport_producer_goes_on(produced_by(p));
}

static void producer_stop(struct plait_producer *p)
{
	plait_transport_lose_connection(&produced_by(p)->base);
}

static const struct plait_producer_ops as_producer_ops = {
	.name = "transport",
	.pause = producer_pause,
	.resume = producer_resume,
	.stop = producer_stop,
};

struct plait_producer *plait_transport_producer(struct plait_transport *t)
{
	struct transport_extra *e =
		t != NULL ? plait_i_transport_extra(transport_of(t)) : NULL;

	return e != NULL ? &e->as_producer : NULL;
}

plait_value plait_then_lose_connection(plait_value *result, void *arg)
{
	plait_transport_lose_connection(arg);
	return PLAIT_NONE;
}

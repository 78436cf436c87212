/*
 * What all transports have in common: the calls of a protocol on its
 * transport, the callbacks of a transport to its protocol, and producers.
 *
 * A transport goes one way through its states: new, connected, disconnecting
 * (or aborted), lost.  The calls check the state here, so a kind of transport
 * is only asked for what makes sense, and a lost one is asked for nothing.
 * None of the calls tells the user anything; they leave a mark and let the
 * loop do it.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "reactor/task/scope.h"
#include "reactor/net/protocol.h"
#include "reactor/net/transport.h"

static const struct plait_producer_ops as_producer_ops;

static void verify(const struct plait_transport *t)
{
#ifdef PLAIT_VERIFY
	plait_assert(!t->aborted || t->disconnecting);
	plait_assert(!t->lost || t->disconnecting);
	plait_assert(t->streaming || !t->producer_paused);
	plait_assert(t->protocol == NULL || t->protocol->transport == t);
#endif
}

static size_t unsent_bytes(const struct plait_transport *t)
{
	return t->ops->output((struct plait_transport *)(uintptr_t)t)->size;
}

/*
 * What the producer is to be told: decided when its turn comes, not when the
 * output changed, for much may have happened between.
 */
enum order { ORDER_NONE, ORDER_PAUSE, ORDER_RESUME, ORDER_STOP };

static enum order producer_order(const struct plait_transport *t)
{
	size_t unsent = unsent_bytes(t);

	if (t->lost || t->aborted || t->write_closed)
		return ORDER_STOP;
	if (!t->streaming)
		return unsent == 0 && !t->asked ? ORDER_RESUME : ORDER_NONE;
	if (!t->producer_paused)
		return unsent > t->limits.high_water ? ORDER_PAUSE : ORDER_NONE;
	return unsent <= t->limits.low_water ? ORDER_RESUME : ORDER_NONE;
}

/* Forgets the producer before it is told, so that it may register anew. */
static void stop_producer(struct plait_transport *t)
{
	struct plait_producer *p = t->producer;

	plait_transport_unregister_producer(t);
	if (p != NULL)
		p->ops->stop(p);
}

static void tell_producer(struct plait_transport *t)
{
	struct plait_producer *p = t->producer;

	switch (producer_order(t)) {
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
		stop_producer(t);
		break;
	}
}

static void produce(struct loop_task *task)
{
	struct plait_transport *t =
		plait_container(task, struct plait_transport, producing);
	struct plait_reactor *r = t->reactor;

	plait_i_loop_enter(r);
	tell_producer(t);
	plait_i_loop_leave(r);
}

void plait_i_transport_output_changed(struct plait_transport *t)
{
	verify(t);
	if (t->producer != NULL && producer_order(t) != ORDER_NONE)
		plait_i_loop_next_turn(t->reactor, &t->producing);
}

static struct transport_limits limits_of(const struct plait_reactor *r)
{
	const struct plait_limits *l = plait_i_loop_limits(r);

	return (struct transport_limits){
		.max_unsent = l->max_unsent,
		.high_water = l->high_water,
		.low_water = l->low_water,
		.linger_bytes = l->linger_bytes,
		.close_timeout = l->close_timeout,
		.linger_timeout = l->linger_timeout,
	};
}

void plait_i_transport_init(struct plait_transport *t,
			    const struct transport_ops *ops,
			    struct plait_reactor *r,
			    struct transport_owner *owner)
{
	*t = (struct plait_transport){
		.ops = ops,
		.reactor = r,
		.owner = owner,
		.as_producer.ops = &as_producer_ops,
		.limits = limits_of(r),
		.active = plait_i_loop_next_number(r),
		.producing.run = produce,
	};
}

static void enter_protocol(struct plait_transport *t)
{
	plait_i_loop_enter(t->reactor);
	t->inside++;
}

static void leave_protocol(struct plait_transport *t)
{
	t->inside--;
	plait_i_loop_leave(t->reactor);
}

void plait_i_transport_made(struct plait_transport *t, struct plait_protocol *p)
{
	t->protocol = p;
	p->transport = t;
	p->connected = true;
	verify(t);
	enter_protocol(t);
	if (p->ops->connection_made != NULL)
		p->ops->connection_made(p);
	leave_protocol(t);
}

void plait_i_transport_data(struct plait_transport *t, const void *data,
			    size_t len)
{
	struct plait_protocol *p = t->protocol;

	transport_is_active(t);
	if (p == NULL || t->disconnecting || p->ops->data_received == NULL)
		return;
	enter_protocol(t);
	p->ops->data_received(p, data, len);
	leave_protocol(t);
}

bool plait_i_transport_read_lost(struct plait_transport *t)
{
	struct plait_protocol *p = t->protocol;

	if (p == NULL || p->ops->read_connection_lost == NULL)
		return false;
	enter_protocol(t);
	p->ops->read_connection_lost(p);
	leave_protocol(t);
	return true;
}

void plait_i_transport_write_lost(struct plait_transport *t)
{
	struct plait_protocol *p = t->protocol;

	if (p == NULL || p->ops->write_connection_lost == NULL)
		return;
	enter_protocol(t);
	p->ops->write_connection_lost(p);
	leave_protocol(t);
}

bool plait_i_transport_has_unread(const struct plait_transport *t)
{
	return t->protocol != NULL && t->protocol->unread;
}

void plait_i_transport_broken(struct plait_transport *t,
			      const struct plait_failure *why)
{
	plait_i_loop_enter(t->reactor);
	plait_scope_cancel(t->scope, plait_failure_kind(why)->name);
	plait_i_loop_leave(t->reactor);
}

static void tell_protocol_lost(struct plait_transport *t,
			       const struct plait_failure *why)
{
	struct plait_protocol *p = t->protocol;

	/* The end of the producer may have forked. */
	if (p == NULL || loop_is_forked(t->reactor))
		return;
	p->connected = false;
	plait_i_scope_cancel(t->scope, plait_failure_kind(why)->name,
			     PLAIT_HERE);
	if (p->ops->connection_lost != NULL && !loop_is_forked(t->reactor))
		p->ops->connection_lost(p, why);
}

/* A producer registered in done() may be a part of the protocol. */
static void end_protocol(struct plait_transport *t)
{
	struct plait_protocol *p = t->protocol;

	t->protocol = NULL;
	if (p == NULL)
		return;
	plait_i_protocol_done(p);
	if (!loop_is_forked(t->reactor))
		stop_producer(t);
	free(p);
}

/* Nothing will come of it any more, and soon it will be gone itself. */
static void stop_feeding(struct plait_transport *t)
{
	while (t->fed != NULL)
		plait_transport_unregister_producer(t->fed);
}

/*
 * Whatever is called may return in a child that it has forked: the rest is the
 * parent's, and who owns t there may be gone, if the child has freed the
 * reactor.
 */
static void end(struct plait_transport *t, const struct plait_failure *why)
{
	struct transport_owner *owner;

	/* One may have been registered meanwhile. */
	stop_producer(t);
	/* Before the owner is told, whose factory may be gone after that. */
	if (!loop_is_forked(t->reactor))
		end_protocol(t);
	if (!loop_is_forked(t->reactor))
		plait_i_scope_end(&t->scope, PLAIT_HERE);
	if (loop_is_forked(t->reactor))
		return;
	owner = t->owner;
	t->owner = NULL;
	if (owner != NULL)
		owner->lost(owner, why);
}

void plait_i_transport_lost(struct plait_transport *t,
			    const struct plait_failure *why)
{
	if (t->lost)
		return;
	t->lost = t->disconnecting = true;
	verify(t);
	plait_i_loop_enter(t->reactor);
	stop_feeding(t);
	stop_producer(t);
	tell_protocol_lost(t, why);
	/* Not in a child that was forked meanwhile. */
	if (!loop_is_forked(t->reactor))
		end(t, why);
	plait_i_loop_leave(t->reactor);
}

void plait_i_transport_abandon(struct plait_transport *t)
{
	struct plait_protocol *p = t->protocol;

	t->lost = t->disconnecting = true;
	t->protocol = NULL;
	t->producer = NULL;
	t->fed = t->next_fed = NULL;
	if (t->owner != NULL && t->owner->abandon != NULL)
		t->owner->abandon(t->owner);
	t->owner = NULL;
	loop_task_cancel(&t->producing);
	plait_i_scope_abandon(&t->scope);
	if (p == NULL)
		return;
	p->transport = NULL;
	p->connected = false;
}

static OUT_OF_LINE void abort_unsent(struct plait_transport *t, size_t limit,
				     const char *of_what)
{
	plait_value v =
		plait_fail(&plait_error_connection_aborted,
			   "more than %zu bytes unsent%s", limit, of_what);

	plait_i_transport_abort(t, plait_value_failure(&v));
}

/* What the end of t would make free, if the writer were to hold more. */
static size_t gives_back(const struct plait_transport *writer, size_t more,
			 struct plait_transport *t)
{
	size_t bytes = plait_i_output_gives_back(t->ops->output(t), t->reactor);

	return t == writer ? bytes + more : bytes;
}

/* The one of the list whose end makes most memory free, if that is more. */
static void find_larger(struct plait_list *members,
			const struct plait_transport *writer, size_t more,
			struct plait_transport **largest)
{
	size_t bytes, most = gives_back(writer, more, *largest);
	struct plait_transport *t;
	struct loop_member *m;
	struct plait_list *l;

	plait_list_for_each (l, members) {
		m = plait_container(l, struct loop_member, link);
		t = m->ops->transport != NULL ? m->ops->transport(m) : NULL;
		bytes = t != NULL ? gives_back(writer, more, t) : 0;
		if (bytes > most) {
			most = bytes;
			*largest = t;
		}
	}
}

/*
 * The transport whose end makes most memory free, if the writer were to hold
 * so much more: also one that is only waited for, at a shutdown.
 */
static struct plait_transport *largest(struct plait_transport *writer,
				       size_t more)
{
	struct plait_transport *ret = writer;

	find_larger(plait_i_loop_members(writer->reactor), writer, more, &ret);
	find_larger(plait_i_loop_finishing(writer->reactor), writer, more,
		    &ret);
	return ret;
}

/*
 * All connections together would hold too much: the largest ends, and the next
 * one, until there is room for so much more, or only for what is new of buf.
 * False if it was the writer.
 */
static OUT_OF_LINE bool make_room(struct plait_transport *writer, size_t cost,
				  const struct plait_buf *buf)
{
	struct plait_reactor *r = writer->reactor;
	const struct pool_unsent *unsent = plait_i_pool_unsent(r);
	struct plait_transport *t;
	size_t more;

	for (;;) {
		more = buf != NULL ? plait_i_output_adds_of_buf(buf, r) : cost;
		if (unsent->held <= unsent->max &&
		    more <= unsent->max - unsent->held)
			return true;
		t = largest(writer, more);
		abort_unsent(t, unsent->max,
			     " on all connections (max_unsent_total)");
		if (t == writer)
			return false;
	}
}

/* It may hold so much more, with buf or without; aborts at a limit. */
static bool may_hold(struct plait_transport *t, size_t cost,
		     const struct plait_buf *buf)
{
	struct pool_unsent *unsent = plait_i_pool_unsent(t->reactor);
	size_t has = plait_i_output_cost(t->ops->output(t)), sum;

	if (__builtin_add_overflow(has, cost, &sum) ||
	    sum > t->limits.max_unsent) {
		abort_unsent(t, t->limits.max_unsent, "");
		return false;
	}
	if (!__builtin_add_overflow(unsent->held, cost, &sum) &&
	    sum <= unsent->max)
		return true;
	return make_room(t, cost, buf);
}

static bool may_write(const struct plait_transport *t)
{
	return !t->lost && !t->aborted && !t->write_closed;
}

/* So many bytes, in n pieces. */
static inline void write_pieces(struct plait_transport *t,
				const struct iovec *pieces, int n, size_t len)
{
	if (len > 0 && may_write(t) && may_hold(t, len, NULL)) {
		t->asked = false;
		t->ops->write(t, pieces, n);
	}
	verify(t);
}

void plait_transport_write_several(struct plait_transport *t,
				   const struct iovec *pieces, int n)
{
	size_t len = 0;

	loop_check(t->reactor, "plait_transport_write_several()");
	for (int i = 0; i < n; i++) {
		/* More than can be counted is more than any limit. */
		if (pieces[i].iov_len > SIZE_MAX - len)
			len = SIZE_MAX;
		else
			len += pieces[i].iov_len;
	}
	write_pieces(t, pieces, n, len);
}

void plait_transport_write(struct plait_transport *t, const void *data,
			   size_t len)
{
	struct iovec piece = { .iov_base = (void *)(uintptr_t)data,
			       .iov_len = len };

	loop_check(t->reactor, "plait_transport_write()");
	write_pieces(t, &piece, 1, len);
}

void plait_transport_write_buf(struct plait_transport *t, struct plait_buf *buf)
{
	loop_check(t->reactor, "plait_transport_write_buf()");
	if (plait_buf_size(buf) > 0 && may_write(t) &&
	    may_hold(t, plait_i_output_cost_of_buf(buf), buf)) {
		t->asked = false;
		t->ops->write_buf(t, buf);
	}
	verify(t);
}

void plait_transport_lose_connection(struct plait_transport *t)
{
	loop_check(t->reactor, "plait_transport_lose_connection()");
	if (t->disconnecting)
		return;
	t->disconnecting = true;
	t->cause = plait_i_trace_ending(TRACE_CLOSING, t, t->cause);
	t->ops->lose(t);
	verify(t);
}

static void end_now(struct plait_transport *t, const struct plait_failure *why,
		    bool reset)
{
	if (t->lost || t->aborted) {
		plait_failure_unref(&why);
		return;
	}
	t->disconnecting = t->aborted = true;
	t->cause = plait_i_trace_ending(TRACE_CLOSING, t, t->cause);
	t->ops->abort(t, why, reset);
	verify(t);
}

void plait_i_transport_abort(struct plait_transport *t,
			     const struct plait_failure *why)
{
	end_now(t, why, true);
}

void plait_i_transport_shed(struct plait_transport *t,
			    const struct plait_failure *why)
{
	end_now(t, why, false);
}

void plait_i_transport_leave(struct plait_transport *t)
{
	t->leaving = t->write_closed = true;
}

void plait_i_transport_give_up(struct plait_transport *t)
{
	plait_value v = plait_fail(&plait_error_connection_aborted,
				   "closing made no progress in %g seconds",
				   t->limits.close_timeout);

	plait_i_transport_abort(t, plait_value_failure(&v));
}

void plait_transport_abort(struct plait_transport *t)
{
	plait_value v;

	loop_check(t->reactor, "plait_transport_abort()");
	if (t->lost || t->aborted)
		return;
	v = plait_fail(&plait_error_connection_aborted, "by this end");
	plait_i_transport_abort(t, plait_value_failure(&v));
}

void plait_transport_lose_write_connection(struct plait_transport *t)
{
	loop_check(t->reactor, "plait_transport_lose_write_connection()");
	if (t->lost || t->aborted || t->write_closed)
		return;
	t->write_closed = true;
	t->ops->lose_write(t);
}

static void set_reading(struct plait_transport *t, bool on)
{
	if (t->lost || t->reading_paused == !on)
		return;
	t->reading_paused = !on;
	t->ops->set_reading(t, on);
}

void plait_transport_pause_reading(struct plait_transport *t)
{
	loop_check(t->reactor, "plait_transport_pause_reading()");
	set_reading(t, false);
}

void plait_transport_resume_reading(struct plait_transport *t)
{
	loop_check(t->reactor, "plait_transport_resume_reading()");
	set_reading(t, true);
}

size_t plait_transport_pending(const struct plait_transport *t)
{
	return unsent_bytes(t);
}

bool plait_transport_peer_has_closed(const struct plait_transport *t)
{
	return t->lost || t->ops->peer_has_closed(t);
}

/* In a forked child it is as good as lost; so receivers stop there, too. */
bool plait_transport_is_disconnecting(const struct plait_transport *t)
{
	return t->disconnecting || loop_is_forked(t->reactor);
}

int plait_transport_host(struct plait_transport *t, struct plait_address *ret)
{
	return t->ops->host(t, ret);
}

int plait_transport_peer(struct plait_transport *t, struct plait_address *ret)
{
	return t->ops->peer(t, ret);
}

static int set_option(struct plait_transport *t, int level, int option, bool on)
{
	if (t->ops->set_option == NULL)
		return -ENOTSUP;
	if (t->lost)
		return -ENOTCONN;
	if (loop_is_forked(t->reactor))
		return -ECHILD;
	return t->ops->set_option(t, level, option, on);
}

int plait_transport_set_no_delay(struct plait_transport *t, bool on)
{
	loop_check(t->reactor, "plait_transport_set_no_delay()");
	return set_option(t, IPPROTO_TCP, TCP_NODELAY, on);
}

int plait_transport_set_keep_alive(struct plait_transport *t, bool on)
{
	loop_check(t->reactor, "plait_transport_set_keep_alive()");
	return set_option(t, SOL_SOCKET, SO_KEEPALIVE, on);
}

struct plait_scope *plait_transport_scope(struct plait_transport *t)
{
	loop_check(t->reactor, "plait_transport_scope()");
	if (t->scope == NULL && !t->lost)
		t->scope = plait_scope_new_at(t->reactor,
					      "plait_transport_scope()");
	return t->scope;
}

struct plait_reactor *plait_transport_reactor(const struct plait_transport *t)
{
	return t->reactor;
}

static const char *state_str(const struct plait_transport *t)
{
	if (t->lost)
		return "lost";
	if (t->aborted)
		return "aborted";
	if (t->disconnecting)
		return "disconnecting";
	return t->protocol != NULL ? "connected" : "new";
}

int plait_transport_str(struct plait_transport *t, char *buf, size_t size)
{
	struct plait_address peer = { .family = 0 };
	char name[PLAIT_ADDRESS_SIZE];

	plait_transport_peer(t, &peer);
	plait_address_str(&peer, name, sizeof(name));
	return snprintf(buf, size, "%s to %s, %s, %zu bytes unsent%s",
			t->ops->name, name, state_str(t),
			plait_transport_pending(t),
			t->reading_paused ? ", reading paused" : "");
}

static struct plait_transport *produced_by(struct plait_producer *p)
{
	return plait_container(p, struct plait_transport, as_producer);
}

/* False if p is a transport that is lost, which can't feed anybody. */
static bool begin_feeding(struct plait_transport *t, struct plait_producer *p)
{
	struct plait_transport *from;

	if (p->ops != &as_producer_ops)
		return true;
	from = produced_by(p);
	if (from->lost)
		return false;
	t->next_fed = from->fed;
	from->fed = t;
	return true;
}

static void end_feeding(struct plait_transport *t, struct plait_producer *p)
{
	struct plait_transport **at;

	if (p->ops != &as_producer_ops)
		return;
	at = &produced_by(p)->fed;
	while (*at != t)
		at = &(*at)->next_fed;
	*at = t->next_fed;
	t->next_fed = NULL;
}

int plait_transport_register_producer(struct plait_transport *t,
				      struct plait_producer *p, bool streaming)
{
	loop_check(t->reactor, "plait_transport_register_producer()");
	if (t->producer != NULL)
		return -EBUSY;
	if (!begin_feeding(t, p))
		return 0;
	t->producer = p;
	t->streaming = streaming;
	t->producer_paused = t->asked = false;
	/* On a lost one plait_i_transport_lost() is at work, and will stop it.
	 */
	if (!t->lost)
		plait_i_transport_output_changed(t);
	return 0;
}

void plait_transport_unregister_producer(struct plait_transport *t)
{
	loop_check(t->reactor, "plait_transport_unregister_producer()");
	loop_task_cancel(&t->producing);
	if (t->producer == NULL)
		return;
	end_feeding(t, t->producer);
	t->producer = NULL;
	t->streaming = t->producer_paused = false;
	if (t->disconnecting && !t->aborted && !t->lost)
		t->ops->lose(t);
}

static void producer_pause(struct plait_producer *p)
{
	plait_transport_pause_reading(produced_by(p));
}

static void producer_resume(struct plait_producer *p)
{
	plait_transport_resume_reading(produced_by(p));
}

static void producer_stop(struct plait_producer *p)
{
	plait_transport_lose_connection(produced_by(p));
}

static const struct plait_producer_ops as_producer_ops = {
	.name = "transport",
	.pause = producer_pause,
	.resume = producer_resume,
	.stop = producer_stop,
};

struct plait_producer *plait_transport_producer(struct plait_transport *t)
{
	return &t->as_producer;
}

plait_value plait_then_write(plait_value *result, void *arg)
{
	struct plait_transport *t = arg;
	const char *text;

	if (plait_value_is(result, &plait_text_type)) {
		text = plait_value_text(result);
		plait_transport_write(t, text, strlen(text));
	} else {
		plait_transport_write_buf(
			t, plait_value_buf_at(result, "plait_then_write()"));
	}
	return PLAIT_NONE;
}

plait_value plait_then_lose_connection(plait_value *result, void *arg)
{
	plait_transport_lose_connection(arg);
	return PLAIT_NONE;
}

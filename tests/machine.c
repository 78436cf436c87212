/*
 * Random programs: see machine.h.
 *
 * Each kind of object has a few places, and a few things that are done to
 * whatever is in one.  What is watched is kept beside the object: in the
 * protocol, or in a record for each callback that is to come once.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <plait/plait.h>
#include <plait/testing.h>

#include "tests/machine.h"
#include "tests/wrapped.h"

enum {
	MAX_CONNS = 16,
	MAX_RECORDS = 8192,
	MAX_DEPTH = 3,
	N_FACTORIES = 3,
	N_PORTS = 2,
	N_CONNECTORS = 3,
	N_TIMERS = 4,
	N_CALLS = 4,
	N_DEFERREDS = 10,
	N_PROMISES = 6,
	N_SCOPES = 3,
	N_ENTRIES = 4,
	N_PRODUCERS = 3,
	N_TASKS = 3
};

/* A callback that is to come once, or never once it is over. */
struct record {
	bool over;
};

struct conn {
	struct plait_protocol base;
	bool made, lost, closing;
	bool paused; /* by us; feeding, it may be resumed by another */
	bool feeds;
};

struct factory {
	struct plait_factory base;
	bool started;
	unsigned attempts;
};

struct timer {
	struct plait_timer timer;
	bool set;
};

struct thread_call {
	struct plait_thread_call call;
	bool queued;
};

struct call {
	struct plait_call call;
	struct record *record;
};

struct deferred {
	struct plait_deferred *d;
	struct record *record;
};

struct entry {
	struct plait_scope_entry entry;
	bool told;
};

struct producer {
	struct plait_producer base;
	struct conn *to; /* NULL: it is not registered */
};

static struct {
	const struct machine_world *world;
	struct plait_reactor *reactor; /* NULL: it was freed */
	unsigned budget, depth, n_records;
	unsigned made, lost, done;
	struct record records[MAX_RECORDS];
	struct conn *conns[MAX_CONNS];
	struct factory factories[N_FACTORIES];
	struct plait_port *ports[N_PORTS];
	struct plait_connector *connectors[N_CONNECTORS];
	struct timer timers[N_TIMERS];
	struct thread_call thread_calls[N_TIMERS];
	struct call calls[N_CALLS];
	struct deferred deferreds[N_DEFERREDS];
	struct plait_promise *promises[N_PROMISES];
	struct plait_scope *scopes[N_SCOPES];
	struct entry entries[N_ENTRIES];
	struct producer producers[N_PRODUCERS];
	struct plait_watch watch;
	int pair[2];
	struct plait_looping_call *looping;
	bool looping_runs;
	struct plait_cooperator *cooperator;
	struct plait_coiterator *tasks[N_TASKS];
	struct plait_lock *lock;
	bool locked;
	struct plait_queue *queue;
	struct plait_shared *shared;
	struct plait_event *event;
} m;

static unsigned choose(unsigned n)
{
	return m.world->choose(n);
}

static void do_something(void);

/* In each callback. */
static void do_something_inside(void)
{
	if (m.depth == MAX_DEPTH)
		return;
	m.depth++;
	for (unsigned n = choose(3); n > 0; n--)
		do_something();
	m.depth--;
}

/* NULL if there is no room for more. */
static struct record *record_new(void)
{
	struct record *r;

	if (m.n_records == MAX_RECORDS)
		return NULL;
	r = &m.records[m.n_records++];
	r->over = false;
	return r;
}

static void record_end(struct record *r)
{
	plait_assert(!r->over);
	r->over = true;
}

static double some_seconds(void)
{
	static const double seconds[] = { 0, 0, 0.001, 3600 };

	return seconds[choose(4)];
}

/* ---- connections --------------------------------------------------------- */

static struct conn *conn_of(struct plait_protocol *p)
{
	return plait_self(p, struct conn);
}

static struct conn *some_conn(void)
{
	return m.conns[choose(MAX_CONNS)];
}

static void conn_made(struct plait_protocol *p)
{
	struct conn *c = conn_of(p);

	plait_assert(!c->made && !c->lost);
	c->made = true;
	m.made++;
	for (int i = 0; i < MAX_CONNS; i++) {
		if (m.conns[i] == NULL) {
			m.conns[i] = c;
			break;
		}
	}
	if (choose(2))
		plait_transport_write(p->transport, "hello", 5);
	do_something_inside();
}

static void conn_data(struct plait_protocol *p, const void *data, size_t len)
{
	struct conn *c = conn_of(p);

	plait_assert(c->made && !c->lost && !c->closing && len > 0);
	plait_assert(!c->paused || c->feeds);
	if (choose(2))
		plait_transport_write(p->transport, data, len);
	do_something_inside();
}

static void conn_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	struct conn *c = conn_of(p);

	plait_assert(c->made && !c->lost);
	plait_assert(plait_failure_check(why, &plait_error_any));
	do_something_inside();
	c->lost = true;
	m.lost++;
	for (int i = 0; i < MAX_CONNS; i++) {
		if (m.conns[i] == c)
			m.conns[i] = NULL;
	}
	do_something_inside();
}

static void conn_half_lost(struct plait_protocol *p)
{
	struct conn *c = conn_of(p);

	plait_assert(c->made && !c->lost);
	do_something_inside();
}

static void conn_done(struct plait_protocol *p)
{
	struct conn *c = conn_of(p);

	plait_assert(c->made == c->lost);
	m.done++;
	do_something_inside();
}

#define CONN_OPS                                                               \
	.name = "conn", .size = sizeof(struct conn),                           \
	.connection_made = conn_made, .data_received = conn_data,              \
	.connection_lost = conn_lost, .done = conn_done

static const struct plait_protocol_ops conn_ops[] = {
	{ CONN_OPS },
	{ CONN_OPS, .read_connection_lost = conn_half_lost },
	{ CONN_OPS, .read_connection_lost = conn_half_lost,
	  .write_connection_lost = conn_half_lost },
};

static void conn_write(void)
{
	static const char bytes[100000];
	struct conn *c = some_conn();

	if (c != NULL)
		plait_transport_write(c->base.transport, bytes,
				      choose(3) ? choose(100) : sizeof(bytes));
}

static void conn_write_buf(void)
{
	struct plait_buf *b = plait_buf_new(1000);
	struct conn *c = some_conn();

	if (c != NULL && b != NULL && plait_buf_append(b, "abc", 3) == 0)
		plait_transport_write_buf(c->base.transport, b);
	plait_buf_unref(&b);
}

static void conn_close(void)
{
	struct conn *c = some_conn();

	if (c == NULL)
		return;
	switch (choose(4)) {
	case 0:
		plait_transport_abort_connection(c->base.transport);
		break;
	case 1:
		plait_transport_lose_write_connection(c->base.transport);
		return;
	default:
		plait_transport_lose_connection(c->base.transport);
	}
	c->closing = true;
}

static void conn_pause(void)
{
	struct conn *c = some_conn();

	if (c == NULL)
		return;
	c->paused = choose(2);
	if (c->paused)
		plait_transport_pause_reading(c->base.transport);
	else
		plait_transport_resume_reading(c->base.transport);
}

/* ---- producers ----------------------------------------------------------- */

static struct producer *producer_of(struct plait_producer *p)
{
	return plait_self(p, struct producer);
}

static void producer_pause(struct plait_producer *p)
{
	plait_assert(producer_of(p)->to != NULL);
	do_something_inside();
}

static void producer_resume(struct plait_producer *base)
{
	struct producer *p = producer_of(base);

	plait_assert(p->to != NULL);
	if (choose(2))
		plait_transport_write(p->to->base.transport, "p", 1);
	do_something_inside();
}

static void producer_stop(struct plait_producer *p)
{
	plait_assert(producer_of(p)->to != NULL);
	producer_of(p)->to = NULL;
	do_something_inside();
}

static const struct plait_producer_ops producer_ops = {
	.name = "machine",
	.pause = producer_pause,
	.resume = producer_resume,
	.stop = producer_stop,
};

static void producer_register(void)
{
	struct producer *p = &m.producers[choose(N_PRODUCERS)];
	struct conn *c = some_conn();

	if (c == NULL || p->to != NULL)
		return;
	p->base.ops = &producer_ops;
	p->to = c;
	if (plait_transport_register_producer(c->base.transport, &p->base,
					      choose(2)) < 0)
		p->to = NULL;
}

static void producer_unregister(void)
{
	struct conn *c = some_conn();

	if (c == NULL)
		return;
	plait_transport_unregister_producer(c->base.transport);
	for (int i = 0; i < N_PRODUCERS; i++) {
		if (m.producers[i].to == c)
			m.producers[i].to = NULL;
	}
}

static void conn_feed(void)
{
	struct conn *to = some_conn(), *from = some_conn();

	if (to == NULL || from == NULL)
		return;
	from->feeds = true;
	plait_transport_register_producer(
		to->base.transport,
		plait_transport_producer(from->base.transport), true);
}

/* ---- factories, ports and connectors ------------------------------------- */

static struct factory *factory_of(struct plait_factory *f)
{
	return plait_self(f, struct factory);
}

static struct factory *some_factory(void)
{
	return &m.factories[choose(N_FACTORIES)];
}

static void factory_started(struct plait_factory *f)
{
	plait_assert(!factory_of(f)->started);
	factory_of(f)->started = true;
	do_something_inside();
}

static void factory_stopped(struct plait_factory *f)
{
	plait_assert(factory_of(f)->started);
	plait_assert(factory_of(f)->attempts == 0);
	factory_of(f)->started = false;
	do_something_inside();
}

static struct plait_protocol *factory_build(struct plait_factory *f,
					    const struct plait_address *peer)
{
	struct plait_protocol *p = NULL;

	plait_assert(factory_of(f)->started);
	if (choose(6))
		p = plait_protocol_new(&conn_ops[choose(3)]);
	do_something_inside();
	return p;
}

static void factory_connecting(struct plait_factory *f,
			       struct plait_connector *c)
{
	plait_assert(factory_of(f)->started);
	plait_assert(plait_connector_state(c) == PLAIT_CONNECTOR_CONNECTING);
	factory_of(f)->attempts++;
	do_something_inside();
}

/* c is NULL if there was no memory for it, and then nothing had begun. */
static void factory_ended(struct plait_factory *f, struct plait_connector *c,
			  const struct plait_failure *why)
{
	if (c == NULL)
		return;
	plait_assert(factory_of(f)->attempts > 0);
	factory_of(f)->attempts--;
	do_something_inside();
	if (m.budget > 0 && choose(3) == 0)
		plait_connector_connect(c);
}

static const struct plait_factory_ops factory_ops = {
	.name = "machine",
	.start = factory_started,
	.stop = factory_stopped,
	.build_protocol = factory_build,
	.started_connecting = factory_connecting,
	.connection_failed = factory_ended,
	.connection_lost = factory_ended,
};

static void port_listen(void)
{
	struct plait_listen_options o = { .iface = "127.0.0.1" };
	struct plait_port **p = &m.ports[choose(N_PORTS)], *made;

	if (*p != NULL ||
	    plait_listen_tcp(m.reactor, 0, wrapped(&some_factory()->base), &o,
			     &made) < 0)
		return;
	/* start() may have filled the place. */
	if (*p == NULL)
		*p = made;
	else
		plait_port_free(&made);
}

static unsigned some_port_number(void)
{
	struct plait_port *p = m.ports[choose(N_PORTS)];
	struct plait_address a;

	if (p == NULL)
		return 1;
	plait_port_host(p, &a);
	return plait_address_port(&a);
}

static void keep_connector(struct plait_connector *c)
{
	struct plait_connector **place = &m.connectors[choose(N_CONNECTORS)];

	plait_connector_ref(c);
	plait_connector_unref(place);
	*place = c;
}

static void connector_connect(void)
{
	struct plait_connect_options o = { .timeout = choose(2) ? 0.001 : 10 };
	unsigned port = some_port_number();

	keep_connector(plait_connect_tcp(m.reactor, "127.0.0.1", port,
					 wrapped(&some_factory()->base), &o));
}

static void connector_use(void)
{
	struct plait_connector *c = m.connectors[choose(N_CONNECTORS)];

	switch (choose(4)) {
	case 0:
		plait_connector_disconnect(c);
		break;
	case 1:
		plait_connector_stop_connecting(c);
		break;
	case 2:
		plait_connector_unref(&m.connectors[choose(N_CONNECTORS)]);
		break;
	default:
		plait_connector_connect(c);
	}
}

/* ---- timers, calls and watches ------------------------------------------- */

static void timer_came(void *arg)
{
	struct timer *t = arg;

	plait_assert(t->set);
	t->set = false;
	do_something_inside();
}

static void timer_start(void)
{
	struct timer *t = &m.timers[choose(N_TIMERS)];

	plait_assert(plait_timer_is_running(&t->timer) == t->set);
	t->set = true;
	plait_timer_start(m.reactor, &t->timer, some_seconds(), timer_came, t);
}

static void timer_stop(void)
{
	struct timer *t = &m.timers[choose(N_TIMERS)];

	plait_timer_stop(&t->timer);
	t->set = false;
}

static void call_came(void *arg)
{
	record_end(arg);
	do_something_inside();
}

static void call_start(void)
{
	struct call *c = &m.calls[choose(N_CALLS)];
	struct record *r = record_new();

	if (r == NULL)
		return;
	c->record = r;
	c->call = plait_call_later(m.reactor, some_seconds(), call_came, r);
}

static void call_change(void)
{
	struct call *c = &m.calls[choose(N_CALLS)];

	if (choose(2))
		plait_call_reset(c->call, some_seconds());
	else if (plait_call_cancel(c->call) == 0)
		record_end(c->record);
}

static void call_from_thread(void)
{
	struct record *r = record_new();

	if (r != NULL)
		plait_call_from_thread(m.reactor, call_came, r);
}

static void thread_call_came(void *arg)
{
	struct thread_call *c = arg;

	plait_assert(c->queued);
	c->queued = false;
	do_something_inside();
}

static void thread_call_queue(void)
{
	struct thread_call *c = &m.thread_calls[choose(N_TIMERS)];
	int rc = plait_thread_call_queue(m.reactor, &c->call, thread_call_came,
					 c);

	plait_assert(rc == (c->queued ? -EALREADY : 0));
	c->queued = true;
}

static void watch_ready(struct plait_watch *w, unsigned events)
{
	char c;

	if (choose(2))
		(void)!read(w->fd, &c, 1);
	do_something_inside();
}

/* The pipe is one of the real kernel. */
static void watch_use(void)
{
	if (m.world->make != NULL)
		return;
	switch (choose(4)) {
	case 0:
		plait_watch_start(m.reactor, &m.watch, m.pair[0],
				  PLAIT_WATCH_READ, watch_ready);
		break;
	case 1:
		plait_watch_stop(&m.watch);
		break;
	case 2:
		plait_watch_change(&m.watch, choose(2) ? PLAIT_WATCH_READ : 0);
		break;
	default:
		(void)!write(m.pair[1], "x", 1);
	}
}

/* ---- deferreds ----------------------------------------------------------- */

static struct plait_deferred *operation(void);

static plait_value some_value(void)
{
	struct plait_deferred *d;

	switch (choose(5)) {
	case 0:
		return plait_fail(&plait_error_any, "random");
	case 1:
		return plait_int(1);
	case 2:
		d = operation();
		return plait_chain(&d);
	default:
		return PLAIT_NONE;
	}
}

static plait_value some_result(void)
{
	plait_value v = some_value();

	if (plait_value_is(&v, &plait_deferred_type)) {
		plait_value_free(&v);
		v = PLAIT_NONE;
	}
	return v;
}

static plait_value canceller(struct plait_deferred *d, void *arg)
{
	do_something_inside();
	return choose(2) ? plait_cancelled() : some_result();
}

/* One that somebody may fire, if there is a place for its promise. */
static struct plait_deferred *operation(void)
{
	struct plait_promise **p = &m.promises[choose(N_PROMISES)];

	if (*p != NULL)
		return plait_succeed(PLAIT_NONE);
	return plait_deferred_new(p, choose(2) ? canceller : NULL, NULL);
}

static plait_value operate(void *arg)
{
	do_something_inside();
	return some_value();
}

static plait_value deferred_fired(plait_value *result, void *arg)
{
	record_end(arg);
	do_something_inside();
	return choose(2) ? *result : some_value();
}

static plait_value got_lock(plait_value *result, void *arg)
{
	if (plait_value_is_failure(result))
		return *result;
	plait_assert(!m.locked);
	m.locked = true;
	do_something_inside();
	return *result;
}

static struct plait_deferred *stop_port(void)
{
	struct plait_port **p = &m.ports[choose(N_PORTS)];

	return choose(2) == 0 ? plait_port_stop_listening(p)
			      : plait_port_drain(p);
}

static struct plait_deferred *connect_client(void)
{
	return plait_client_connect_tcp(m.reactor, "127.0.0.1",
					some_port_number(), &conn_ops[0], NULL,
					NULL);
}

static struct plait_deferred *read_all(void)
{
	unsigned port = some_port_number();

	return plait_client_read_all(m.reactor, "127.0.0.1", port,
				     plait_text("hello"), choose(10), NULL);
}

static struct plait_deferred *combine(void)
{
	struct plait_deferred *two[] = { operation(), operation() };

	switch (choose(3)) {
	case 0:
		return plait_gather(two, 2, choose(8));
	case 1:
		return plait_race(two, 2);
	default:
		return plait_deferred_list(two, 2, choose(8));
	}
}

static struct plait_deferred *acquire(void)
{
	struct plait_deferred *d;

	if (m.lock == NULL)
		return operation();
	d = plait_lock_acquire(m.lock);
	return plait_deferred_add_both(d, got_lock, NULL);
}

static bool has_reactor(void)
{
	return m.reactor != NULL;
}

/* One of what only lib/ has to do with. */
static struct plait_deferred *some_deferred(void)
{
	struct plait_scope **s = &m.scopes[choose(N_SCOPES)];
	struct plait_coiterator *t = m.tasks[choose(N_TASKS)];

	switch (choose(9)) {
	case 0:
		return combine();
	case 1:
		return acquire();
	case 2:
		return m.queue != NULL ? plait_queue_get(m.queue) : operation();
	case 3:
		return m.shared != NULL ? plait_shared_wait(m.shared)
					: operation();
	case 4:
		return plait_scope_close(s);
	case 5:
		return t != NULL ? plait_coiterator_when_done(t) : operation();
	case 7:
		return m.event != NULL ? plait_event_wait(m.event)
				       : operation();
	case 6:
		return m.lock != NULL ? plait_lock_run(m.lock, operate, NULL)
				      : operation();
	default:
		return operation();
	}
}

static struct plait_deferred *some_deferred_of_reactor(void)
{
	switch (choose(5)) {
	case 0:
		return plait_defer_later(m.reactor, some_seconds(), operate,
					 NULL);
	case 3:
		return read_all();
	case 1:
		return stop_port();
	case 2:
		return connect_client();
	default:
		return some_deferred();
	}
}

static void deferred_make(void)
{
	struct deferred *place = &m.deferreds[choose(N_DEFERREDS)];
	struct record *r = record_new();
	struct plait_deferred *d;

	if (r == NULL || place->d != NULL)
		return;
	d = has_reactor() ? some_deferred_of_reactor() : some_deferred();
	plait_deferred_add_both(d, deferred_fired, r);
	/* Its callbacks may have filled the place. */
	if (place->d == NULL)
		*place = (struct deferred){ d, r };
	else
		plait_deferred_detach(&d);
}

static void deferred_free(struct deferred *place)
{
	struct record *r = place->record;

	if (place->d == NULL)
		return;
	plait_deferred_free(&place->d);
	r->over = true;
}

static void deferred_use(void)
{
	struct deferred *place = &m.deferreds[choose(N_DEFERREDS)];

	if (place->d == NULL)
		return;
	switch (choose(6)) {
	case 0:
		plait_deferred_cancel(place->d);
		break;
	case 1:
		deferred_free(place);
		break;
	case 2:
		plait_deferred_detach(&place->d);
		break;
	case 3:
		if (has_reactor())
			plait_deferred_add_timeout(place->d, m.reactor,
						   some_seconds());
		break;
	case 4:
		plait_scope_start(m.scopes[choose(N_SCOPES)], place->d);
		break;
	default:
		plait_scope_own(m.scopes[choose(N_SCOPES)], &place->d);
	}
}

static void promise_use(void)
{
	struct plait_promise **p = &m.promises[choose(N_PROMISES)];

	if (choose(3) == 0)
		plait_promise_drop(p);
	else
		plait_fire(p, some_result());
}

/* ---- scopes, tasks, locks ------------------------------------------------ */

static void entry_told(void *arg)
{
	struct entry *e = arg;

	plait_assert(!e->told);
	e->told = true;
	do_something_inside();
}

static void scope_make(void)
{
	struct plait_scope **s = &m.scopes[choose(N_SCOPES)];
	struct plait_scope *parent = m.scopes[choose(N_SCOPES)];

	if (*s != NULL)
		return;
	if (parent != NULL)
		*s = plait_scope_new_in(parent);
	else if (has_reactor())
		*s = plait_scope_new(m.reactor);
}

static void scope_use(void)
{
	struct plait_scope **of = &m.scopes[choose(N_SCOPES)], *s = *of;
	struct conn *c = some_conn();

	if (s == NULL && c != NULL)
		s = plait_transport_scope(c->base.transport);
	switch (choose(4)) {
	case 0:
		plait_scope_cancel(s, "random");
		break;
	case 1:
		plait_scope_shield(s, 0.001);
		break;
	case 2:
		plait_scope_free(of);
		break;
	default:
		plait_scope_set_deadline(s, some_seconds());
	}
}

static void entry_use(void)
{
	struct entry *e = &m.entries[choose(N_ENTRIES)];

	if (e->entry.scope != NULL) {
		/* First: leaving may tell others, who enter it anew. */
		e->told = true;
		plait_scope_leave(&e->entry);
	} else if (plait_scope_enter(m.scopes[choose(N_SCOPES)], &e->entry,
				     entry_told, e) == 0) {
		e->told = false;
	}
}

static plait_value loop_called(size_t n, void *arg)
{
	plait_assert(n > 0);
	do_something_inside();
	return some_value();
}

static plait_value loop_ended(plait_value *result, void *arg)
{
	m.looping_runs = false;
	do_something_inside();
	return PLAIT_NONE;
}

static void looping_start(void)
{
	struct plait_deferred *d;

	/* A second start before the first has ended would abort. */
	if (m.looping_runs)
		return;
	m.looping_runs = true;
	d = plait_looping_call_start(m.looping, 0.0005, choose(2));
	plait_deferred_add_both(d, loop_ended, NULL);
	plait_deferred_detach(&d);
}

static void looping_use(void)
{
	if (m.looping == NULL) {
		if (has_reactor())
			m.looping = plait_looping_call_new(m.reactor,
							   loop_called, NULL);
		return;
	}
	switch (choose(4)) {
	case 0:
		plait_looping_call_stop(m.looping);
		break;
	case 1:
		plait_looping_call_free(&m.looping);
		break;
	case 2:
		plait_looping_call_reset(m.looping);
		break;
	default:
		looping_start();
	}
}

static bool task_step(plait_value *ret, void *arg)
{
	do_something_inside();
	*ret = some_value();
	return choose(4) > 0;
}

static void task_make(void)
{
	struct plait_coiterator **t = &m.tasks[choose(N_TASKS)], *made;

	if (m.cooperator == NULL && has_reactor())
		m.cooperator = plait_cooperator_new(m.reactor, 0);
	if (m.cooperator == NULL || *t != NULL)
		return;
	made = plait_cooperate(m.cooperator, task_step, NULL);
	if (*t == NULL)
		*t = made;
	else
		plait_coiterator_free(&made);
}

static void task_use(void)
{
	struct plait_coiterator **t = &m.tasks[choose(N_TASKS)];

	if (choose(12) == 0)
		plait_cooperator_free(&m.cooperator);
	if (*t == NULL)
		return;
	switch (choose(4)) {
	case 0:
		plait_coiterator_pause(*t);
		break;
	case 1:
		plait_coiterator_stop(*t);
		break;
	case 2:
		plait_coiterator_free(t);
		break;
	default:
		plait_coiterator_resume(*t);
	}
}

static void lock_use(void)
{
	if (m.lock == NULL) {
		m.lock = plait_lock_new();
	} else if (m.locked) {
		m.locked = false;
		plait_lock_release(m.lock);
	} else if (choose(8) == 0) {
		plait_lock_free(&m.lock);
	}
}

static void queue_use(void)
{
	plait_value v = some_result();

	if (m.queue != NULL)
		plait_queue_put(m.queue, v);
	else
		plait_value_free(&v);
	if (m.queue == NULL)
		m.queue = plait_queue_new(2, 2);
	else if (choose(12) == 0)
		plait_queue_free(&m.queue);
	else if (choose(12) == 0)
		plait_queue_shutdown(m.queue);
}

static void shared_use(void)
{
	struct plait_deferred *d;
	struct plait_shared *made;

	if (m.shared != NULL) {
		if (choose(4) == 0)
			plait_shared_free(&m.shared);
		return;
	}
	d = operation();
	made = plait_shared_new(&d);
	/* With no memory it has freed the operation, which calls us. */
	if (made != NULL)
		m.shared = made;
}

static void event_use(void)
{
	unsigned what = choose(8);
	plait_value v = PLAIT_NONE;

	/* Making a result may call us, and so free the event. */
	if (what == 1 || what > 3)
		v = some_result();
	if (m.event == NULL) {
		m.event = plait_event_new();
		plait_value_free(&v);
		return;
	}
	switch (what) {
	case 0:
		plait_event_free(&m.event);
		break;
	case 1:
		plait_event_set(m.event, v);
		break;
	case 2:
	case 3:
		plait_event_clear(m.event);
		break;
	default:
		plait_event_wake(m.event, v);
	}
}

static plait_value trigger_fired(void *arg)
{
	do_something_inside();
	return some_result();
}

static void trigger_add(void)
{
	enum plait_trigger_phase phase = choose(3);

	plait_reactor_add_trigger(m.reactor, phase, choose(2), trigger_fired,
				  NULL, NULL);
}

static void call_when_running(void)
{
	struct record *r = record_new();

	if (r != NULL)
		plait_call_when_running(m.reactor, call_came, r);
}

/* Of a run that may be under way. */
static void reactor_stop(void)
{
	if (choose(4) == 0)
		plait_reactor_stop(m.reactor);
}

static void memory_run_out(void)
{
	if (m.world->refuse != NULL)
		m.world->refuse(1 + choose(20));
}

/* ---- fakes --------------------------------------------------------------- */

static void port_fake(void)
{
	struct plait_port *p = m.ports[choose(N_PORTS)];

	if (p != NULL)
		plait_testing_accept(p);
}

static void connector_fake(void)
{
	struct plait_connector *c = m.connectors[choose(N_CONNECTORS)];
	plait_value why;

	if (c == NULL)
		return;
	if (choose(2)) {
		plait_testing_complete(c);
		return;
	}
	why = plait_fail(&plait_error_connection_refused, "random");
	plait_testing_refuse(c, plait_value_failure(&why));
	plait_value_free(&why);
}

static void conn_fake_loss(struct plait_transport *t)
{
	plait_value why = plait_fail(&plait_error_connection_lost, "random");

	plait_testing_lose(t, plait_value_failure(&why));
	plait_value_free(&why);
}

static void conn_fake(void)
{
	struct conn *c = some_conn(), *other = some_conn();

	if (c == NULL)
		return;
	switch (choose(6)) {
	case 0:
		plait_testing_set_window(c->base.transport, choose(4) * 1000);
		break;
	case 1:
		plait_testing_deliver_eof(c->base.transport);
		break;
	case 2:
		conn_fake_loss(c->base.transport);
		break;
	case 3:
		if (other != NULL)
			plait_testing_pump(c->base.transport,
					   other->base.transport);
		break;
	default:
		plait_testing_deliver(c->base.transport, "data", 4);
	}
}

static void factory_fake(void)
{
	plait_testing_connect(m.reactor, wrapped(&some_factory()->base));
}

static void clock_fake(void)
{
	plait_testing_advance(m.reactor, some_seconds());
}

typedef void action(void);

/* What the test does, not the program: the other side of fakes. */
static void move_fakes(void)
{
	static action *const moves[] = {
		port_fake, connector_fake, connector_fake, conn_fake,
		conn_fake, conn_fake,	   factory_fake,   clock_fake,
	};

	moves[choose(sizeof(moves) / sizeof(moves[0]))]();
}

static action *const actions[] = {
	deferred_make,	   deferred_make,	deferred_use, deferred_use,
	promise_use,	   promise_use,		scope_make,   scope_use,
	entry_use,	   looping_use,		task_make,    task_use,
	lock_use,	   queue_use,		shared_use,   timer_stop,
	conn_write,	   conn_write_buf,	conn_close,   conn_pause,
	producer_register, producer_unregister, conn_feed,    connector_use,
	memory_run_out,	   event_use,
};

static action *const actions_of_reactor[] = {
	port_listen, connector_connect, connector_connect, timer_start,
	call_start,  call_change,	call_from_thread,  watch_use,
	trigger_add, call_when_running, reactor_stop,	   thread_call_queue,
};

enum {
	N_ACTIONS = sizeof(actions) / sizeof(actions[0]),
	N_OF_REACTOR =
		sizeof(actions_of_reactor) / sizeof(actions_of_reactor[0])
};

static void do_something(void)
{
	if (m.budget == 0)
		return;
	m.budget--;
	if (m.world->fakes_inside && has_reactor() && choose(4) == 0)
		move_fakes();
	else if (has_reactor() && choose(3) == 0)
		actions_of_reactor[choose(N_OF_REACTOR)]();
	else
		actions[choose(N_ACTIONS)]();
}

/* ---- the world ----------------------------------------------------------- */

static void stop_run(void *arg)
{
	plait_reactor_stop(m.reactor);
}

/* A run that ends, as its timer needs no memory; or a turn. */
static void turn(void)
{
	static struct plait_timer stop;

	if (choose(20) > 0) {
		plait_reactor_iterate(m.reactor, m.world->wait);
		return;
	}
	plait_timer_start(m.reactor, &stop, 0, stop_run, NULL);
	plait_reactor_run(m.reactor);
	plait_timer_stop(&stop);
}

static struct plait_reactor *make_reactor(const struct machine_world *world)
{
	if (world->make != NULL)
		return world->make();
	return world->backend != NULL ? plait_reactor_new(world->backend)
				      : plait_testing_reactor_new();
}

static bool begin(const struct machine_world *world, unsigned steps)
{
	struct plait_limits limits = { .close_timeout = 0.001,
				       .linger_timeout = 0.001,
				       .stop_timeout = 0.001,
				       .max_unsent = 300000 };

	memset(&m, 0, sizeof(m));
	m.world = world;
	m.budget = steps;
	m.reactor = make_reactor(world);
	if (m.reactor == NULL || pipe2(m.pair, O_NONBLOCK | O_CLOEXEC) < 0)
		return false;
	plait_reactor_set_limits(m.reactor, &limits);
	for (int i = 0; i < N_FACTORIES; i++)
		m.factories[i].base.ops = &factory_ops;
	return true;
}

/* With the reactor go its timers, calls and ports, and what it tells. */
static void end_reactor(void)
{
	struct plait_reactor *r = m.reactor;

	plait_reactor_free(&r);
	m.reactor = NULL;
	memset(m.ports, 0, sizeof(m.ports));
	for (int i = 0; i < N_TIMERS; i++)
		plait_assert(!plait_timer_is_running(&m.timers[i].timer));
	for (int i = 0; i < N_FACTORIES; i++)
		plait_assert(!m.factories[i].started);
	for (int i = 0; i < N_PRODUCERS; i++)
		plait_assert(m.producers[i].to == NULL);
	plait_assert(m.made == m.lost && m.lost <= m.done);
}

static void end_handles(void)
{
	for (int i = 0; i < N_CONNECTORS; i++)
		plait_connector_unref(&m.connectors[i]);
	for (int i = 0; i < N_DEFERREDS; i++)
		deferred_free(&m.deferreds[i]);
	for (int i = 0; i < N_PROMISES; i++)
		plait_promise_drop(&m.promises[i]);
	for (int i = 0; i < N_ENTRIES; i++)
		plait_scope_leave(&m.entries[i].entry);
	for (int i = 0; i < N_SCOPES; i++)
		plait_scope_free(&m.scopes[i]);
	for (int i = 0; i < N_TASKS; i++)
		plait_coiterator_free(&m.tasks[i]);
	plait_cooperator_free(&m.cooperator);
	plait_looping_call_free(&m.looping);
	plait_shared_free(&m.shared);
	plait_queue_free(&m.queue);
	plait_event_free(&m.event);
}

/* A few rounds, as what ends tells others, who may have begun something. */
static void end(void)
{
	m.budget = 0; /* no more surprises */
	for (int i = 0; i < 4; i++) {
		end_handles();
		if (m.lock != NULL && m.locked) {
			m.locked = false;
			plait_lock_release(m.lock);
		}
	}
	plait_lock_free(&m.lock);
	end_handles();
	close(m.pair[0]);
	close(m.pair[1]);
}

void machine_run(const struct machine_world *world, unsigned steps)
{
	plait_assert(begin(world, steps));
	while (m.budget > 0) {
		do_something();
		if (choose(3) == 0)
			turn();
		else if (world->backend == NULL && world->make == NULL)
			move_fakes();
	}
	/* Its end may be told to a program that goes on, or to one that ends.
	 */
	m.budget = choose(2) ? 50 : 0;
	end_reactor();
	end();
}

/*
 * A child that is forked at any moment: it returns into the loop of its
 * parent, which ends there, or frees all that it has, in any order, and goes
 * on with a reactor of its own.
 */
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include <plait/testing.h>

#include "tests/actor.h"
#include "tests/child.h"
#include "tests/harness.h"
#include "tests/wire.h"
#include "tests/wrapped.h"

/* ---- children ----------------------------------------------------------- */

/* ---- returning into the loop -------------------------------------------- */

/* The n-th callback of a program forks, and its child returns from it. */
static struct {
	unsigned at, n;
	unsigned after;	 /* callbacks in the child */
	bool frees;	 /* it frees the reactor first */
	bool stays_open; /* the connection, until the shutdown */
	bool child;
	pid_t pid;
} forking;

static void wait_for_child(pid_t pid)
{
	int status;

	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(status == 0, "child of callback %u: status %#x",
		      forking.at, (unsigned)status);
}

/* At the beginning of each callback; true if it is to do nothing. */
static bool heard(void)
{
	if (forking.child) {
		forking.after++;
		return true;
	}
	if (forking.n++ != forking.at)
		return false;
	forking.pid = fork();
	ck_assert_int_ge(forking.pid, 0);
	forking.child = forking.pid == 0;
	if (forking.child && forking.frees)
		plait_reactor_free(&reactor);
	return forking.child;
}

static void hear(void *arg)
{
	heard();
}

static plait_value hear_trigger(void *arg)
{
	heard();
	return PLAIT_NONE;
}

static plait_value hear_loop(size_t n, void *arg)
{
	heard();
	return PLAIT_NONE;
}

static bool hear_step(plait_value *ret, void *arg)
{
	heard();
	return false;
}

static void hear_ready(struct plait_watch *w, unsigned events)
{
	heard();
	if (!forking.child)
		plait_watch_stop(w);
}

static void hear_actor(struct actor *a)
{
	heard();
}

static void hear_producer(struct plait_producer *p)
{
	heard();
}

static const struct plait_producer_ops hear_producer_ops = {
	.name = "heard",
	.pause = hear_producer,
	.resume = hear_producer,
	.stop = hear_producer,
};

static plait_value hear_cancel(struct plait_deferred *d, void *arg)
{
	struct plait_promise **promise = arg;

	heard();
	plait_promise_drop(promise);
	return plait_cancelled();
}

static void add_producer(struct plait_transport *t)
{
	static struct plait_producer producer = { .ops = &hear_producer_ops };

	ck_assert_int_eq(plait_transport_register_producer(t, &producer, true),
			 0);
}

/* The end of the connection ends more than the protocol. */
static void begin_work(struct actor *a, struct plait_protocol *p)
{
	static struct plait_promise *promise;
	struct plait_deferred *d;

	if (heard())
		return;
	add_producer(p->transport);
	d = plait_deferred_new(&promise, hear_cancel, &promise);
	plait_scope_own(plait_transport_scope(p->transport), &d);
}

static void produce_again(struct actor *a, struct plait_protocol *p)
{
	if (!heard())
		add_producer(p->transport);
}

static void greet(struct actor *a, struct plait_protocol *p)
{
	if (!heard())
		plait_transport_write(p->transport, "hello", 5);
}

/* So that the shutdown finds the connection open. */
static void stop_at_data(struct actor *a, struct plait_protocol *p,
			 const void *data, size_t len)
{
	if (!heard())
		plait_reactor_stop(reactor);
}

static void lose_after_data(struct actor *a, struct plait_protocol *p,
			    const void *data, size_t len)
{
	if (heard())
		return;
	plait_transport_unregister_producer(p->transport);
	plait_transport_lose_connection(p->transport);
}

static void stop_after_loss(struct actor *a)
{
	if (!heard())
		plait_reactor_stop(reactor);
}

static struct {
	struct actor server, client;
	struct plait_port *port;
	struct plait_timer timers[3];
	struct plait_thread_call thread_calls[3];
	struct plait_watch watches[2];
	int pair[2][2];
	struct plait_looping_call *looping;
	struct plait_deferred *looped;
	struct plait_cooperator *cooperator;
	struct plait_coiterator *tasks[2];
} program;

static void hear_all(struct actor *a)
{
	actor_init(a);
	a->on_start = a->on_stop = a->on_started = a->on_build = hear_actor;
	a->on_failed = hear_actor;
	a->on_made = begin_work;
	a->on_lost = produce_again;
	a->on_data = forking.stays_open ? stop_at_data : lose_after_data;
	a->on_client_lost = stop_after_loss;
}

static void begin(void *arg)
{
	const struct plait_listen_options options = { .max_connections = 9 };
	struct plait_address address;
	int rc;

	if (heard())
		return;
	/* It counts its guests. */
	rc = plait_listen_tcp(reactor, 0, wrapped(&program.server.base),
			      &options, &program.port);
	if (forking.child)
		return;
	ck_assert_int_eq(rc, 0);
	plait_port_host(program.port, &address);
	actor_connect(&program.client, reactor, address.port);
}

static void begin_program(void)
{
	static const enum plait_trigger_phase phases[] = {
		PLAIT_TRIGGER_BEFORE, PLAIT_TRIGGER_DURING, PLAIT_TRIGGER_AFTER
	};

	hear_all(&program.server);
	hear_all(&program.client);
	program.client.on_made = greet;
	for (int i = 0; i < 6; i++)
		plait_reactor_add_trigger(reactor, phases[i / 2],
					  PLAIT_TRIGGER_SHUTDOWN, hear_trigger,
					  NULL, NULL);
	for (int i = 0; i < 6; i++)
		plait_reactor_add_trigger(reactor, phases[i / 2],
					  PLAIT_TRIGGER_STARTUP, hear_trigger,
					  NULL, NULL);
	for (int i = 0; i < 3; i++) {
		plait_timer_start(reactor, &program.timers[i], 0, hear, NULL);
		plait_call_from_thread(reactor, hear, NULL);
		plait_thread_call_queue(reactor, &program.thread_calls[i], hear,
					NULL);
	}
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(pipe(program.pair[i]), 0);
		ck_assert_int_eq(write(program.pair[i][1], "x", 1), 1);
		plait_watch_start(reactor, &program.watches[i],
				  program.pair[i][0], PLAIT_WATCH_READ,
				  hear_ready);
	}
	program.looping = plait_looping_call_new(reactor, hear_loop, NULL);
	program.cooperator = plait_cooperator_new(reactor, 1000);
	for (int i = 0; i < 2; i++)
		program.tasks[i] =
			plait_cooperate(program.cooperator, hear_step, NULL);
	plait_call_when_running(reactor, hear, NULL);
	plait_call_when_running(reactor, begin, NULL);
}

static void end_program(void)
{
	for (int i = 0; i < 3; i++)
		plait_timer_stop(&program.timers[i]);
	for (int i = 0; i < 2; i++) {
		plait_watch_stop(&program.watches[i]);
		close(program.pair[i][0]);
		close(program.pair[i][1]);
		plait_coiterator_free(&program.tasks[i]);
	}
	plait_looping_call_free(&program.looping);
	plait_deferred_free(&program.looped);
	plait_cooperator_free(&program.cooperator);
}

/* False once it has run to its end without forking. */
static bool fork_in_callback_number(unsigned at, bool frees, bool stays_open)
{
	struct fd_table *fds = fd_table_new();
	unsigned left;
	int rc;

	memset(&program, 0, sizeof(program));
	memset(&forking, 0, sizeof(forking));
	forking.at = at;
	forking.frees = frees;
	forking.stays_open = stays_open;
	reactor = plait_reactor_new(backend);
	begin_program();
	program.looped = plait_looping_call_start(program.looping, 3600, false);
	rc = plait_reactor_run(reactor);
	if (!forking.child)
		ck_assert_int_eq(rc, 0);
	else if (rc != -ECHILD)
		child_leave(1);
	/* The looping call, which would fail with the reactor, goes first. */
	if (!forking.child) {
		plait_looping_call_free(&program.looping);
		plait_deferred_free(&program.looped);
	}
	plait_reactor_free(&reactor);
	end_program();
	left = fd_table_check(&fds);
	if (forking.child && forking.after == 0 && unhandled_count() == 0)
		child_leave(left == 0 ? 0 : 3);
	if (forking.child)
		child_leave(2);
	if (forking.pid != 0)
		wait_for_child(forking.pid);
	return forking.pid != 0;
}

GROUP("returning");

TEST(a_child_that_returns_hears_nothing_more, ON_EACH_BACKEND, TIMES(8))
{
	unsigned n = 0;

	plait_reactor_free(&reactor);
	wrapped_as(_i < 4 ? WRAPPED_NOT : WRAPPED_ALL, 100000);
	while (fork_in_callback_number(n, _i % 2 == 1, _i / 2 % 2 == 1))
		n++;
	ck_assert_uint_gt(n, 30);
}

/* On a testing reactor, too, a connection is not given up half. */
static struct plait_protocol *orphan;

static void fork_at_loss(struct actor *a, struct plait_protocol *p)
{
	if (heard())
		orphan = p;
}

static void fork_at_build(struct actor *a)
{
	heard();
}

TEST(a_child_gives_back_what_was_begun_or_ended_on_a_testing_reactor, PURE,
     TIMES(4))
{
	const struct plait_listen_options options = { .max_connections = 9 };
	plait_value why = plait_fail(&plait_error_connection_lost, "test");
	unsigned long mark = heap_mark();
	struct plait_port *port;
	struct plait_transport *t;
	struct actor a;

	wrapped_as(_i < 2 ? WRAPPED_NOT : WRAPPED_ALL, 100000);
	actor_init(&a);
	a.on_build = _i % 2 == 0 ? fork_at_build : NULL;
	a.on_lost = fork_at_loss;
	reactor = plait_testing_reactor_new();
	ck_assert_int_eq(
		plait_listen_tcp(reactor, 0, wrapped(&a.base), &options, &port),
		0);
	t = plait_testing_accept(port);
	if (t != NULL) {
		plait_transport_scope(t);
		plait_testing_lose(t, plait_value_failure(&why));
	}
	plait_reactor_free(&reactor);
	if (forking.child) {
		plait_protocol_free(&orphan);
		wrapped_as(WRAPPED_NOT, 0);
		child_leave(heap_left_since(mark, stderr) == 0 ? 0 : 1);
	}
	wait_for_child(forking.pid);
	plait_value_free(&why);
}

static void fork_and_free(void *arg)
{
	pid_t *pid = arg;

	*pid = fork();
	ck_assert_int_ge(*pid, 0);
	if (*pid == 0)
		plait_reactor_free(&reactor);
}

/* The child frees its copy of the output after its reactor's clock. */
TEST(a_child_frees_a_testing_reactor_that_holds_much_output, PURE)
{
	static char much[3 << 20];
	struct plait_buf *buf = plait_buf_copy(much, sizeof(much));
	struct plait_transport *t;
	struct actor a;
	pid_t pid = -1;

	actor_init(&a);
	reactor = plait_testing_reactor_new();
	t = plait_testing_connect(reactor, &a.base);
	plait_testing_set_window(t, 0);
	plait_transport_write_buf(t, buf);
	plait_buf_unref(&buf);
	plait_call_later(reactor, 0, fork_and_free, &pid);
	plait_testing_advance(reactor, 0);
	if (pid == 0)
		child_leave(0);
	wait_for_child(pid);
	plait_reactor_free(&reactor);
}

/* ---- freeing all that there is, in any order ---------------------------- */

enum { MAX_PROMISES = 24, MAX_PROTOCOLS = 64, ORDERS = 40 };

/*
 * One of each kind of object, in the middle of its life.  The promises are
 * those of operations that the program would end.
 */
static struct {
	struct plait_reactor *virtual;
	struct plait_promise *promises[MAX_PROMISES];
	struct plait_protocol *protocols[MAX_PROTOCOLS];
	unsigned n_promises, n_protocols, number;
	struct wire wire;
	struct actor server, client, fake;
	struct plait_port *port, *port_that_stops, *port_that_drains;
	struct plait_connector *connector, *attempt, *fake_attempt;
	struct plait_reconnecting_factory factory;
	plait_value connection;
	struct plait_looping_call *looping;
	struct plait_cooperator *cooperator;
	struct plait_coiterator *tasks[3];
	struct plait_scope *scope, *inner, *fake_scope;
	struct plait_scope_entry entry, late_entry;
	struct plait_lock *lock;
	struct plait_semaphore *semaphore;
	struct plait_queue *queue;
	struct plait_shared *shared;
	struct plait_event *event;
	struct plait_timer timers[2], fresh;
	struct plait_watch watch;
	struct plait_call call;
	struct plait_deferred *stopped, *drained, *connecting, *looped,
		*done[3], *later, *timed, *ended, *started, *in_wire, *waiter,
		*locked, *limited, *got, *share, *woken, *all, *one, *chained,
		*faked;
	int pair[2], held;
	bool in_shutdown;
} all;

static struct plait_deferred *operation(void)
{
	ck_assert_uint_lt(all.n_promises, MAX_PROMISES);
	return plait_deferred_new(&all.promises[all.n_promises++], NULL, NULL);
}

static plait_value begin_operation(void *arg)
{
	struct plait_deferred *d = operation();

	return plait_chain(&d);
}

static plait_value chain_operation(plait_value *result, void *arg)
{
	return begin_operation(NULL);
}

static plait_value loop_operation(size_t n, void *arg)
{
	return begin_operation(NULL);
}

static bool step_nothing(plait_value *ret, void *arg)
{
	return true;
}

static bool step_operation(plait_value *ret, void *arg)
{
	*ret = begin_operation(NULL);
	return true;
}

static void keep_protocol(struct actor *a, struct plait_protocol *p)
{
	ck_assert_uint_lt(all.n_protocols, MAX_PROTOCOLS);
	all.protocols[all.n_protocols++] = p;
}

static void nothing(void *arg)
{
}

static void never_ready(struct plait_watch *w, unsigned events)
{
}

static const struct plait_factory_ops reconnecting_ops = {
	PLAIT_RECONNECTING_FACTORY,
};

static const struct plait_protocol_ops client_ops = { .name = "client" };

static plait_value keep_connection(plait_value *result, void *arg)
{
	all.connection = plait_value_take(result);
	keep_protocol(NULL, plait_value_client(&all.connection));
	return PLAIT_NONE;
}

static bool is_waiting(void *arg)
{
	return all.connection.type != NULL && all.server.made >= 2 &&
	       all.client.made == 1 && all.in_shutdown &&
	       plait_reconnecting_factory_delay(&all.factory) > 0;
}

static plait_value hold_up_the_shutdown(void *arg)
{
	all.in_shutdown = true;
	return begin_operation(NULL);
}

static void stop_it(void *arg)
{
	plait_reactor_stop(reactor);
}

/* Of the network: what is listening, connecting, connected, and waiting. */
static void make_network(void)
{
	struct plait_deferred *d;
	uint16_t held;

	actor_init(&all.server);
	actor_init(&all.client);
	all.server.on_made = all.client.on_made = keep_protocol;
	all.number = actor_listen(&all.server, reactor, &all.port);
	actor_listen(&all.server, reactor, &all.port_that_stops);
	actor_listen(&all.server, reactor, &all.port_that_drains);
	plait_port_pause_accepting(all.port_that_drains);
	all.connector = plait_connector_ref(
		actor_connect(&all.client, reactor, all.number));
	d = plait_client_connect_tcp(reactor, "127.0.0.1", all.number,
				     &client_ops, NULL, NULL);
	plait_deferred_add_callback(d, keep_connection, NULL);
	all.held = peer_hold_port(&held);
	all.factory.base.ops = &reconnecting_ops;
	all.factory.backoff.initial_delay = 3600;
	plait_connect_tcp(reactor, "127.0.0.1", held, &all.factory.base, NULL);
	plait_reactor_add_trigger(reactor, PLAIT_TRIGGER_BEFORE,
				  PLAIT_TRIGGER_SHUTDOWN, hold_up_the_shutdown,
				  NULL, NULL);
	plait_call_later(reactor, 0, stop_it, NULL);
	run_until(reactor, is_waiting, NULL);
	plait_deferred_free(&d);
	ck_assert(wire_open(&all.wire, reactor));
	plait_transport_write(all.wire.transport, "unsent", 6);
	all.in_wire = plait_scope_start(
		plait_transport_scope(all.wire.transport), operation());
}

static void make_fakes(void)
{
	struct plait_transport *t;

	all.virtual = plait_testing_reactor_new();
	actor_init(&all.fake);
	all.fake.on_made = keep_protocol;
	t = plait_testing_connect(all.virtual, &all.fake.base);
	plait_testing_set_window(t, 2);
	plait_transport_write(t, "unsent", 6);
	all.fake_attempt = plait_connector_ref(plait_connect_tcp(
		all.virtual, "127.0.0.1", 1, &all.fake.base, NULL));
	all.fake_scope = plait_scope_new(all.virtual);
	plait_scope_set_deadline(all.fake_scope, 1);
	all.faked = plait_defer_later(all.virtual, 1, NULL, NULL);
}

static void make_tasks(void)
{
	struct plait_scope *s = plait_scope_new(reactor);
	struct plait_deferred *d = operation();

	all.looping = plait_looping_call_new(reactor, loop_operation, NULL);
	all.looped = plait_looping_call_start(all.looping, 1, true);
	all.cooperator = plait_cooperator_new(reactor, 0.01);
	for (int i = 0; i < 3; i++) {
		all.tasks[i] = plait_cooperate(
			all.cooperator, i == 1 ? step_operation : step_nothing,
			NULL);
		all.done[i] = plait_coiterator_when_done(all.tasks[i]);
	}
	plait_coiterator_pause(all.tasks[2]);
	all.later = plait_defer_later(reactor, 3600, begin_operation, NULL);
	all.timed = plait_deferred_add_timeout(operation(), reactor, 3600);
	all.scope = plait_scope_new(reactor);
	plait_scope_set_deadline(all.scope, 3600);
	all.inner = plait_scope_new_in(all.scope);
	plait_scope_shield(all.inner, 5);
	plait_scope_enter(all.inner, &all.entry, nothing, NULL);
	plait_scope_own(all.inner, &d);
	all.started = plait_scope_start(all.scope, operation());
	plait_scope_enter(s, &all.late_entry, nothing, NULL);
	all.ended = plait_scope_close(&s);
}

static void make_waiters(void)
{
	struct plait_deferred *d, *two[2];

	all.lock = plait_lock_new();
	all.locked = plait_lock_run(all.lock, begin_operation, NULL);
	all.waiter = plait_lock_acquire(all.lock);
	all.semaphore = plait_semaphore_new(1);
	all.limited = plait_semaphore_run(all.semaphore, begin_operation, NULL);
	all.queue = plait_queue_new(0, 0);
	all.got = plait_queue_get(all.queue);
	d = operation();
	all.shared = plait_shared_new(&d);
	all.share = plait_shared_wait(all.shared);
	all.event = plait_event_new();
	all.woken = plait_event_wait(all.event);
	two[0] = operation();
	two[1] = operation();
	all.all = plait_gather(two, 2, 0);
	two[0] = operation();
	two[1] = operation();
	all.one = plait_race(two, 2);
	all.chained = plait_succeed(PLAIT_NONE);
	plait_deferred_add_callback(all.chained, chain_operation, NULL);
}

static void make_timers(void)
{
	plait_timer_start(reactor, &all.timers[0], 3600, nothing, NULL);
	plait_timer_start(reactor, &all.timers[1], 1800, nothing, NULL);
	all.call = plait_call_later(reactor, 3600, nothing, NULL);
	ck_assert_int_eq(pipe(all.pair), 0);
	plait_watch_start(reactor, &all.watch, all.pair[0], PLAIT_WATCH_READ,
			  never_ready);
	ck_assert_int_eq(plait_reactor_dump_on_signal(reactor, SIGUSR1), 0);
}

/* Last of all: the next turn but one would complete them. */
static void make_attempts(void)
{
	all.attempt = plait_connector_ref(
		actor_connect(&all.client, reactor, all.number));
	all.connecting = plait_client_connect_tcp(
		reactor, "127.0.0.1", all.number, &client_ops, NULL, NULL);
	fault_call("connect", 2, EINPROGRESS);
	fault_call("epoll_wait", 1, EINTR);
	fault_call("select", 1, EINTR);
	run_turns(reactor, 1);
	all.stopped = plait_port_stop_listening(&all.port_that_stops);
	all.drained = plait_port_drain(&all.port_that_drains);
}

static void make_all(void)
{
	memset(&all, 0, sizeof(all));
	make_network();
	make_fakes();
	make_tasks();
	make_waiters();
	make_timers();
	run_turns(reactor, 1);
	make_attempts();
	plait_call_from_thread(reactor, nothing, NULL);
}

/* What a child does with each of them.  A handle may end with its reactor. */

static void end_fake_scope(void)
{
	plait_scope_free(&all.fake_scope);
	plait_deferred_free(&all.faked);
	plait_connector_unref(&all.fake_attempt);
}

static void use_transport(void)
{
	if (reactor == NULL)
		return;
	plait_transport_write(all.wire.transport, "more", 4);
	plait_transport_pause_reading(all.wire.transport);
	plait_transport_lose_connection(all.wire.transport);
	if (plait_transport_set_tcp_no_delay(all.wire.transport, true) !=
	    -ECHILD)
		child_leave(10);
}

static void end_port(void)
{
	if (reactor != NULL)
		plait_port_free(&all.port);
}

static void end_connector(void)
{
	plait_connector_disconnect(all.connector);
	plait_connector_unref(&all.connector);
}

static void end_attempt(void)
{
	int rc = plait_connector_stop_connecting(all.attempt);

	/* Freed in a callback, the reactor lets go of it later. */
	if (rc != -ECHILD && (reactor != NULL || rc != -ENOTCONN))
		child_leave(11);
	plait_connector_unref(&all.attempt);
}

static void end_tasks(void)
{
	for (int i = 0; i < 3; i++)
		plait_coiterator_free(&all.tasks[i]);
}

static void end_done(void)
{
	for (int i = 0; i < 3; i++)
		plait_deferred_free(&all.done[i]);
}

static void end_scope(void)
{
	plait_scope_free(&all.scope);
}

static void end_inner(void)
{
	struct plait_scope *s = plait_scope_new_in(all.inner);
	struct plait_deferred *d;

	plait_scope_free(&s);
	plait_scope_set_deadline(all.inner, 1);
	d = plait_scope_close(&all.inner);
	plait_deferred_detach(&d);
}

static void end_lists(void)
{
	plait_deferred_free(&all.all);
	plait_deferred_free(&all.one);
}

static void end_timers(void)
{
	struct plait_timer *timers[] = { &all.timers[0], &all.timers[1],
					 &all.fresh };

	for (int i = 0; i < 3; i++) {
		if (reactor == NULL && plait_timer_is_running(timers[i]))
			child_leave(12);
		plait_timer_stop(timers[i]);
	}
}

static void end_watch(void)
{
	if (reactor != NULL && plait_call_cancel(all.call) != -ECHILD)
		child_leave(13);
	plait_watch_stop(&all.watch);
}

static void end_some_promises(void)
{
	for (unsigned i = 0; i < all.n_promises; i += 2)
		plait_promise_drop(&all.promises[i]);
}

static void end_other_promises(void)
{
	for (unsigned i = 1; i < all.n_promises; i += 2)
		plait_promise_drop(&all.promises[i]);
}

/* All of them, in no order: a list, for END(statement). */
#define ENDS(END)                                                              \
	END(plait_reactor_free(&reactor))                                      \
	END(plait_reactor_free(&all.virtual))                                  \
	END(end_fake_scope())                                                  \
	END(use_transport())                                                   \
	END(if (reactor != NULL)                                               \
		    plait_transport_abort_connection(all.wire.transport))      \
	END(end_port())                                                        \
	END(plait_deferred_free(&all.stopped))                                 \
	END(plait_deferred_free(&all.drained))                                 \
	END(end_connector())                                                   \
	END(end_attempt())                                                     \
	END(plait_deferred_free(&all.connecting))                              \
	END(plait_value_free(&all.connection))                                 \
	END(plait_reconnecting_factory_stop_trying(&all.factory))              \
	END(plait_looping_call_free(&all.looping))                             \
	END(plait_deferred_free(&all.looped))                                  \
	END(plait_cooperator_free(&all.cooperator))                            \
	END(end_tasks())                                                       \
	END(end_done())                                                        \
	END(plait_deferred_free(&all.later))                                   \
	END(plait_deferred_free(&all.timed))                                   \
	END(end_scope())                                                       \
	END(end_inner())                                                       \
	END(plait_scope_leave(&all.entry))                                     \
	END(plait_scope_leave(&all.late_entry))                                \
	END(plait_deferred_free(&all.ended))                                   \
	END(plait_deferred_free(&all.started))                                 \
	END(plait_deferred_free(&all.in_wire))                                 \
	END(plait_lock_free(&all.lock))                                        \
	END(plait_deferred_free(&all.waiter))                                  \
	END(plait_deferred_free(&all.locked))                                  \
	END(plait_semaphore_free(&all.semaphore))                              \
	END(plait_deferred_free(&all.limited))                                 \
	END(plait_queue_free(&all.queue))                                      \
	END(plait_deferred_free(&all.got))                                     \
	END(plait_shared_free(&all.shared))                                    \
	END(plait_deferred_free(&all.share))                                   \
	END(plait_event_free(&all.event))                                      \
	END(plait_deferred_free(&all.woken))                                   \
	END(end_lists())                                                       \
	END(plait_deferred_free(&all.chained))                                 \
	END(end_timers())                                                      \
	END(end_watch())                                                       \
	END(end_some_promises())                                               \
	END(end_other_promises())

#define COUNT_IT(...) +1
#define DO_IT(...) USE_DO(, __VA_ARGS__)

enum { N_ENDERS = ENDS(COUNT_IT) };

static void end_one(unsigned n)
{
	ENDS(DO_IT)
}

static void end_all(unsigned seed)
{
	unsigned order[N_ENDERS], j;

	for (unsigned i = 0; i < N_ENDERS; i++) {
		seed = seed * 1103515245 + 12345;
		j = (seed >> 16) % (i + 1);
		order[i] = order[j];
		order[j] = i;
	}
	for (unsigned i = 0; i < N_ENDERS; i++)
		end_one(order[i]);
	for (unsigned i = 0; i < all.n_protocols; i++)
		plait_protocol_free(&all.protocols[i]);
	plait_protocol_free(&all.wire.protocol);
}

static void raise_it(void *arg)
{
	raise(SIGTERM);
}

/* What a server does that forks its workers: it runs until it is stopped. */
static int run_one_of_its_own(void)
{
	struct plait_reactor *own = plait_reactor_new(backend);
	int rc;

	plait_call_when_running(own, raise_it, NULL);
	rc = plait_reactor_run(own);
	plait_reactor_free(&own);
	return rc;
}

static unsigned n_unhandled;

static void count_unhandled(const struct plait_failure *why, void *arg)
{
	n_unhandled++;
}

/* 0 if all went well. */
static int end_as_child(unsigned seed)
{
	plait_set_unhandled_hook(count_unhandled, NULL);
	end_all(seed);
	if (run_one_of_its_own() != 0)
		return 1;
	return n_unhandled > 0 || plait_deferred_report_pending() > 0 ? 2 : 0;
}

static int check_nothing_is_left(void)
{
	return heap_left_since(0, stderr) == 0 ? 0 : 3;
}

static void fork_in_order(unsigned seed)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		status = end_as_child(seed);
		child_leave(status != 0 ? status : check_nothing_is_left());
	}
	wait_for_child(pid);
}

/* Some children return: what the callback uses goes with the loop. */
static void fork_inside(void *arg)
{
	plait_timer_start(reactor, &all.fresh, 60, nothing, NULL);
	for (unsigned seed = 0; seed < ORDERS; seed++) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			status = end_as_child(seed);
			if (status == 0 && seed % 2 != 0)
				return;
			child_leave(status);
		}
		wait_for_child(pid);
	}
	child_leave(0);
}

static sem_t held, go_on;

static void hold_the_loop(void *arg)
{
	sem_post(&held);
	while (sem_wait(&go_on) < 0)
		;
}

static void *fork_in_all_orders(void *arg)
{
	while (sem_wait(&held) < 0)
		;
	for (unsigned seed = 0; seed < ORDERS; seed++)
		fork_in_order(seed);
	sem_post(&go_on);
	return NULL;
}

static void fork_beside_the_loop(void)
{
	pthread_t thread;

	sem_init(&held, 0, 0);
	sem_init(&go_on, 0, 0);
	plait_call_from_thread(reactor, hold_the_loop, NULL);
	ck_assert_int_eq(
		pthread_create(&thread, NULL, fork_in_all_orders, NULL), 0);
	plait_reactor_iterate(reactor, 0);
	pthread_join(thread, NULL);
}

enum { BETWEEN_TURNS, IN_A_CALLBACK, BESIDE_THE_LOOP, N_PLACES };

/* The one who forks: a child as well, as it leaves all as it is. */
static void be_parent(int place)
{
	int rc;

	/* Check has a handler of its own. */
	signal(SIGTERM, SIG_DFL);
	reactor = plait_reactor_new(backend);
	make_all();
	switch (place) {
	case BETWEEN_TURNS:
		for (unsigned seed = 0; seed < ORDERS; seed++)
			fork_in_order(seed);
		break;
	case IN_A_CALLBACK:
		plait_call_from_thread(reactor, fork_inside, NULL);
		rc = plait_reactor_iterate(reactor, 0);
		child_leave(rc == -ECHILD ? check_nothing_is_left() : 4);
	default:
		fork_beside_the_loop();
	}
	child_leave(0);
}

GROUP("freeing");

TEST(a_child_frees_all_that_it_has_in_any_order, ON_EACH_BACKEND,
     TIMES(N_PLACES))
{
	pid_t pid;

	plait_reactor_free(&reactor);
	pid = fork();
	if (pid == 0)
		be_parent(_i);
	wait_for_child(pid);
}

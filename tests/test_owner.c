/*
 * What belongs to a thread, and what happens to who uses it in another.
 */
#include <pthread.h>
#include <stdio.h>

#include "lib/owner.h"
#include "tests/child.h"
#include "tests/harness.h"
#include "tests/steps.h"

/* Runs fn(arg) in a thread of its own, to its end. */
static void in_thread(void *(*fn)(void *arg), void *arg)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, fn, arg), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

/* ---- deferreds -------------------------------------------------------- */

static struct plait_deferred *shared;
static struct plait_promise *promise;

static void use_add(void)
{
	pass_both(shared, "a");
}

static void use_fire(void)
{
	plait_fire_at(&promise, PLAIT_NONE, "worker.c:2");
}

static void use_drop(void)
{
	plait_promise_drop_at(&promise, "worker.c:2");
}

static void use_cancel(void)
{
	plait_deferred_cancel_at(shared, NULL, "worker.c:2");
}

static void use_free(void)
{
	plait_deferred_free_at(&shared, "worker.c:2");
}

static void use_detach(void)
{
	plait_deferred_detach(&shared);
}

static void use_pause(void)
{
	plait_deferred_pause(shared);
}

static void use_chain(void)
{
	plait_value v = plait_chain(&shared);

	plait_value_free(&v);
}

static void use_result(void)
{
	plait_deferred_result(shared);
}

static void use_is_fired(void)
{
	plait_deferred_is_fired(shared);
}

static const struct {
	void (*use)(void);
	const char *where;
} uses[] = {
	{ use_add, "plait_deferred_add_callbacks()" },
	{ use_fire, "worker.c:2" },
	{ use_drop, "worker.c:2" },
	{ use_cancel, "worker.c:2" },
	{ use_free, "worker.c:2" },
	{ use_detach, "plait_deferred_detach()" },
	{ use_pause, "plait_deferred_pause()" },
	{ use_chain, "plait_chain()" },
	{ use_result, "plait_deferred_result()" },
	{ use_is_fired, "plait_deferred_is_fired()" },
};

enum { N_USES = sizeof(uses) / sizeof(uses[0]) };

static void *use_it(void *arg)
{
	uses[*(int *)arg].use();
	return NULL;
}

static void use_elsewhere(void *arg)
{
	shared = plait_deferred_new_at(&promise, NULL, NULL, "main.c:1");
	in_thread(use_it, arg);
}

GROUP("deferreds", .setup = steps_setup);

TEST(using_the_deferred_of_another_thread_aborts_and_names_both, PURE,
     TIMES(N_USES))
{
	char says[256];

	snprintf(says, sizeof(says),
		 "plait: %s: thread 2 uses the deferred made at main.c:1, "
		 "which belongs to thread 1\n",
		 uses[_i].where);
	assert_aborts(use_elsewhere, &_i, says);
}

static bool frees = true;

static void *make_and_end(void *arg)
{
	struct plait_deferred *d =
		plait_deferred_new_at(&promise, NULL, NULL, "worker.c:1");

	plait_fire(&promise, PLAIT_NONE);
	shared = d;
	if (arg != NULL)
		plait_deferred_free(&shared);
	return NULL;
}

TEST(each_thread_has_deferreds_of_its_own, PURE)
{
	in_thread(make_and_end, &frees);
	ck_assert_ptr_null(shared);
	make_and_end(&frees);
}

static void free_of_a_dead_thread(void *arg)
{
	in_thread(make_and_end, NULL);
	plait_deferred_free_at(&shared, "main.c:3");
}

TEST(what_a_thread_has_left_behind_is_nobodys, PURE)
{
	assert_aborts(free_of_a_dead_thread, NULL,
		      "main.c:3: thread 2 uses the deferred made at "
		      "worker.c:1, which belongs to thread 1");
}

static void *use_no_memory(void *arg)
{
	struct plait_deferred *d = arg;

	plait_deferred_add_both(d, step, &(struct step){ .answers = true });
	plait_deferred_free(&d);
	return NULL;
}

TEST(the_deferred_without_memory_is_everybodys, PURE)
{
	struct plait_deferred *d;

	fault_alloc_at(0, false);
	d = plait_deferred_new(&promise, NULL, NULL);
	fault_alloc_off();
	ck_assert_ptr_null(promise);
	in_thread(use_no_memory, d);
	plait_deferred_free(&d);
}

/* ---- reactors --------------------------------------------------------- */

/* All that a reactor is used for, made before it runs. */
static struct {
	struct plait_timer timer;
	struct plait_watch watch;
	struct plait_factory factory;
	struct plait_port *port;
	struct plait_connector *connector;
	struct plait_call call;
	struct plait_looping_call *looping;
	struct plait_cooperator *cooperator;
	struct plait_scope *scope;
	struct plait_scope_entry entry;
	struct plait_transport *transport;
} parts;

static void nothing(void *arg)
{
}

static plait_value no_trigger(void *arg)
{
	return PLAIT_NONE;
}

static void never_ready(struct plait_watch *w, unsigned events)
{
}

static void do_run(void)
{
	plait_reactor_run_at(reactor, "worker.c:2");
}

static void do_iterate(void)
{
	plait_reactor_iterate_at(reactor, 0, "worker.c:2");
}

static void do_stop(void)
{
	plait_reactor_stop(reactor);
}

static void do_stop_now(void)
{
	plait_reactor_stop_now(reactor);
}

static void do_free(void)
{
	plait_reactor_free(&reactor);
}

static void do_limits(void)
{
	plait_reactor_set_limits(reactor, &(struct plait_limits){ 0 });
}

static void do_add_trigger(void)
{
	plait_reactor_add_trigger(reactor, PLAIT_BEFORE, PLAIT_SHUTDOWN,
				  no_trigger, NULL, NULL);
}

static void do_remove_trigger(void)
{
	plait_reactor_remove_trigger(reactor, 1);
}

static void do_when_running(void)
{
	plait_call_when_running(reactor, nothing, NULL);
}

static void do_start_timer(void)
{
	plait_timer_start(reactor, &(struct plait_timer){ .fn = NULL }, 1,
			  nothing, NULL);
}

static void do_stop_timer(void)
{
	plait_timer_stop(&parts.timer);
}

static void do_call_later(void)
{
	plait_call_later(reactor, 1, nothing, NULL);
}

static void do_delay_call(void)
{
	plait_call_delay(parts.call, 1);
}

static plait_value no_call(size_t count, void *arg)
{
	return PLAIT_NONE;
}

static void do_new_looping_call(void)
{
	plait_looping_call_new(reactor, no_call, NULL);
}

static void do_free_looping_call(void)
{
	plait_looping_call_free(&parts.looping);
}

static void do_new_cooperator(void)
{
	plait_cooperator_new(reactor, 0);
}

static void do_stop_cooperator(void)
{
	plait_cooperator_stop(parts.cooperator);
}

static void do_new_scope(void)
{
	plait_scope_new_at(reactor, "worker.c:2");
}

static void do_start_watch(void)
{
	plait_watch_start(reactor, &(struct plait_watch){ .fn = NULL }, 0,
			  PLAIT_READ, never_ready);
}

static void do_change_watch(void)
{
	plait_watch_change(&parts.watch, 0);
}

static void do_stop_watch(void)
{
	plait_watch_stop(&parts.watch);
}

static void do_listen(void)
{
	plait_listen_tcp(reactor, 0, &parts.factory, NULL, NULL);
}

static void do_stop_listening(void)
{
	struct plait_deferred *d =
		plait_port_stop_listening_at(&parts.port, "worker.c:2");

	plait_deferred_free(&d);
}

static void do_connect(void)
{
	plait_connect_tcp(reactor, "127.0.0.1", 1, &parts.factory, NULL);
}

static void do_stop_connecting(void)
{
	plait_connector_stop_connecting(parts.connector);
}

static void do_disconnect(void)
{
	plait_connector_disconnect(parts.connector);
}

static const struct {
	void (*use)(void);
	const char *where;
} reactor_uses[] = {
	{ do_run, "worker.c:2" },
	{ do_iterate, "worker.c:2" },
	{ do_stop, "plait_reactor_stop()" },
	{ do_stop_now, "plait_reactor_stop_now()" },
	{ do_free, "plait_reactor_free()" },
	{ do_limits, "plait_reactor_set_limits()" },
	{ do_add_trigger, "plait_reactor_add_trigger()" },
	{ do_remove_trigger, "plait_reactor_remove_trigger()" },
	{ do_when_running, "plait_call_when_running()" },
	{ do_start_timer, "plait_timer_start()" },
	{ do_stop_timer, "plait_timer_stop()" },
	{ do_call_later, "plait_call_later()" },
	{ do_delay_call, "plait_call_delay()" },
	{ do_new_looping_call, "plait_looping_call_new()" },
	{ do_free_looping_call, "plait_looping_call_free()" },
	{ do_new_cooperator, "plait_cooperator_new()" },
	{ do_stop_cooperator, "plait_cooperator_stop()" },
	{ do_new_scope, "worker.c:2" },
	{ do_start_watch, "plait_watch_start()" },
	{ do_change_watch, "plait_watch_change()" },
	{ do_stop_watch, "plait_watch_stop()" },
	{ do_listen, "plait_listen_tcp()" },
	{ do_stop_listening, "worker.c:2" },
	{ do_connect, "plait_connect_tcp()" },
	{ do_stop_connecting, "plait_connector_stop_connecting()" },
	{ do_disconnect, "plait_connector_disconnect()" },
};

enum { N_REACTOR_USES = sizeof(reactor_uses) / sizeof(reactor_uses[0]) };

static const struct plait_protocol_ops quiet_ops = { .name = "quiet" };

static void make_parts(void)
{
	static int pair[2];

	parts.factory.protocol = &quiet_ops;
	ck_assert_int_eq(pipe(pair), 0);
	plait_timer_start(reactor, &parts.timer, 3600, nothing, NULL);
	parts.call = plait_call_later(reactor, 3600, nothing, NULL);
	parts.looping = plait_looping_call_new(reactor, no_call, NULL);
	parts.cooperator = plait_cooperator_new(reactor, 0);
	plait_watch_start(reactor, &parts.watch, pair[0], PLAIT_READ,
			  never_ready);
	plait_listen_tcp(reactor, 0, &parts.factory, NULL, &parts.port);
	parts.connector = plait_connector_ref(plait_connect_tcp(
		reactor, "127.0.0.1", 1, &parts.factory, NULL));
}

static void *use_reactor(void *arg)
{
	owner_number();
	reactor_uses[*(int *)arg].use();
	return NULL;
}

static void use_it_elsewhere(void *arg)
{
	in_thread(use_reactor, arg);
}

/* In a child, which has a reactor of its own. */
static void run_and_use_elsewhere(void *arg)
{
	reactor = plait_reactor_new(backend);
	make_parts();
	plait_call_later(reactor, 0, use_it_elsewhere, arg);
	plait_reactor_run_at(reactor, "main.c:1");
}

GROUP("reactors");

TEST(using_a_reactor_that_another_thread_runs_aborts_and_names_both,
     ON_EACH_BACKEND, TIMES(N_REACTOR_USES))
{
	char says[256];

	snprintf(says, sizeof(says),
		 "plait: %s: thread 2 uses the reactor that thread 1 runs at "
		 "main.c:1\n",
		 reactor_uses[_i].where);
	assert_aborts(run_and_use_elsewhere, &_i, says);
}

/* The same of a connection. */
static void do_write(void)
{
	plait_transport_write(parts.transport, "x", 1);
}

static void do_write_several(void)
{
	char x = 0;
	struct iovec piece = { .iov_base = &x, .iov_len = 1 };

	plait_transport_write_several(parts.transport, &piece, 1);
}

static void do_write_buf(void)
{
	struct plait_buf *b = plait_buf_copy("x", 1);

	plait_transport_write_buf(parts.transport, b);
}

static void do_lose(void)
{
	plait_transport_lose_connection(parts.transport);
}

static void do_abort(void)
{
	plait_transport_abort(parts.transport);
}

static void do_lose_write(void)
{
	plait_transport_lose_write_connection(parts.transport);
}

static void do_pause(void)
{
	plait_transport_pause_reading(parts.transport);
}

static void do_resume(void)
{
	plait_transport_resume_reading(parts.transport);
}

static void do_register(void)
{
	plait_transport_register_producer(
		parts.transport, plait_transport_producer(parts.transport),
		true);
}

static void do_unregister(void)
{
	plait_transport_unregister_producer(parts.transport);
}

static void do_no_delay(void)
{
	plait_transport_set_no_delay(parts.transport, true);
}

static void do_keep_alive(void)
{
	plait_transport_set_keep_alive(parts.transport, true);
}

static void do_scope(void)
{
	plait_transport_scope(parts.transport);
}

static const struct {
	void (*use)(void);
	const char *where;
} transport_uses[] = {
	{ do_write, "plait_transport_write()" },
	{ do_write_several, "plait_transport_write_several()" },
	{ do_write_buf, "plait_transport_write_buf()" },
	{ do_register, "plait_transport_register_producer()" },
	{ do_unregister, "plait_transport_unregister_producer()" },
	{ do_no_delay, "plait_transport_set_no_delay()" },
	{ do_keep_alive, "plait_transport_set_keep_alive()" },
	{ do_scope, "plait_transport_scope()" },
	{ do_lose, "plait_transport_lose_connection()" },
	{ do_abort, "plait_transport_abort()" },
	{ do_lose_write, "plait_transport_lose_write_connection()" },
	{ do_pause, "plait_transport_pause_reading()" },
	{ do_resume, "plait_transport_resume_reading()" },
};

enum { N_TRANSPORT_USES = sizeof(transport_uses) / sizeof(transport_uses[0]) };

static void *use_transport(void *arg)
{
	transport_uses[*(int *)arg].use();
	return NULL;
}

static int chosen;

static void quiet_made(struct plait_protocol *p)
{
	parts.transport = p->transport;
	in_thread(use_transport, &chosen);
}

static const struct plait_protocol_ops using_ops = {
	.name = "using",
	.connection_made = quiet_made,
};

static void connect_and_use_elsewhere(void *arg)
{
	struct plait_port *port;
	struct plait_address address;
	int fd;

	chosen = *(int *)arg;
	reactor = plait_reactor_new(backend);
	parts.factory.protocol = &using_ops;
	plait_listen_tcp(reactor, 0, &parts.factory, NULL, &port);
	plait_port_address(port, &address);
	fd = peer_connect((uint16_t)plait_address_port(&address));
	for (;;)
		plait_reactor_iterate_at(reactor, 1, "main.c:1");
	close(fd);
}

TEST(using_a_connection_of_another_thread_aborts_and_names_both,
     ON_EACH_BACKEND, TIMES(N_TRANSPORT_USES))
{
	char says[256];

	snprintf(says, sizeof(says),
		 "plait: %s: thread 2 uses the reactor that "
		 "thread 1 runs at main.c:1\n",
		 transport_uses[_i].where);
	assert_aborts(connect_and_use_elsewhere, &_i, says);
}

static void *run_once(void *arg)
{
	plait_call_later(arg, 0, nothing, NULL);
	plait_reactor_iterate((struct plait_reactor *)arg, 0);
	return NULL;
}

static void *free_it(void *arg)
{
	plait_reactor_free(arg);
	return NULL;
}

/* Made in one, run in two, one after the other, and freed in a fourth. */
TEST(a_reactor_that_does_not_run_is_anybodys, ON_EACH_BACKEND)
{
	plait_timer_start(reactor, &parts.timer, 3600, nothing, NULL);
	in_thread(run_once, reactor);
	in_thread(run_once, reactor);
	plait_timer_stop(&parts.timer);
	in_thread(free_it, &reactor);
	ck_assert_ptr_null(reactor);
}

/* ---- scopes ----------------------------------------------------------- */

static void do_start(void)
{
	plait_scope_start(parts.scope, shared);
}

static void do_own(void)
{
	plait_scope_own(parts.scope, &shared);
}

static void do_enter(void)
{
	plait_scope_enter(parts.scope, &(struct plait_scope_entry){ 0 },
			  nothing, NULL);
}

static void do_leave(void)
{
	plait_scope_leave(&parts.entry);
}

static void do_cancel_scope(void)
{
	plait_scope_cancel_at(parts.scope, "no", "worker.c:2");
}

static void do_free_scope(void)
{
	struct plait_deferred *d =
		plait_scope_free_at(&parts.scope, "worker.c:2");

	plait_deferred_free(&d);
}

static void do_deadline(void)
{
	plait_scope_set_deadline(parts.scope, 1);
}

static void do_shield(void)
{
	plait_scope_shield(parts.scope, 1);
}

/* These two remember what they have found. */
static void do_ask_for_the_deadline(void)
{
	plait_scope_deadline(parts.scope);
}

static void do_ask_for_the_reason(void)
{
	plait_scope_reason(parts.scope);
}

static void do_new_in(void)
{
	plait_scope_new_in_at(parts.scope, "worker.c:2");
}

static const struct {
	void (*use)(void);
	const char *where;
} scope_uses[] = {
	{ do_start, "plait_scope_start()" },
	{ do_own, "plait_scope_own()" },
	{ do_enter, "plait_scope_enter()" },
	{ do_leave, "plait_scope_leave()" },
	{ do_cancel_scope, "worker.c:2" },
	{ do_free_scope, "worker.c:2" },
	{ do_deadline, "plait_scope_set_deadline()" },
	{ do_shield, "plait_scope_shield()" },
	{ do_new_in, "worker.c:2" },
	{ do_ask_for_the_deadline, "plait_scope_deadline()" },
	{ do_ask_for_the_reason, "plait_scope_reason()" },
};

enum { N_SCOPE_USES = sizeof(scope_uses) / sizeof(scope_uses[0]) };

static void *use_scope(void *arg)
{
	shared = plait_succeed(PLAIT_NONE);
	scope_uses[*(int *)arg].use();
	return NULL;
}

static void use_scope_elsewhere(void *arg)
{
	parts.scope = plait_scope_new_at(NULL, "loop.c:1");
	plait_scope_enter(parts.scope, &parts.entry, nothing, NULL);
	in_thread(use_scope, arg);
}

GROUP("scopes", .setup = steps_setup);

TEST(using_the_scope_of_another_thread_aborts_and_names_both, PURE,
     TIMES(N_SCOPE_USES))
{
	char says[256];

	snprintf(says, sizeof(says),
		 "plait: %s: thread 2 uses the scope made at loop.c:1, which "
		 "belongs to thread 1\n",
		 scope_uses[_i].where);
	assert_aborts(use_scope_elsewhere, &_i, says);
}

/* ---- workers ---------------------------------------------------------- */

/* The only thing that a worker may do with a promise that is not its own. */
static void *work_until_cancelled(void *arg)
{
	unsigned *rounds = arg;

	while (!plait_promise_is_cancelled(promise))
		++*rounds;
	return NULL;
}

enum way { CANCEL, FREE, N_WAYS };

static void cancel_a_worker(enum way way)
{
	struct plait_deferred *d = plait_deferred_new(&promise, NULL, NULL);
	unsigned rounds = 0;
	pthread_t thread;

	pthread_create(&thread, NULL, work_until_cancelled, &rounds);
	handle_all(d);
	if (way == CANCEL)
		plait_deferred_cancel(d);
	else
		plait_deferred_free(&d);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(plait_fire(&promise, PLAIT_NONE), -ECANCELED);
	plait_deferred_free(&d);
}

GROUP("workers", .setup = steps_setup);

TEST(a_worker_may_ask_whether_it_is_cancelled, PURE, TIMES(N_WAYS))
{
	for (int i = 0; i < 100; i++)
		cancel_a_worker(_i);
}

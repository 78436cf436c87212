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

#define DEFERRED_USES(USE)                                                     \
	USE("plait_deferred_add_callbacks()", pass_both(shared, "a"))          \
	USE("worker.c:2", (plait_fire)(&promise, PLAIT_NONE, "worker.c:2"))    \
	USE("worker.c:2", (plait_promise_drop)(&promise, "worker.c:2"))        \
	USE("worker.c:2", (plait_deferred_cancel)(shared, "worker.c:2"))       \
	USE("worker.c:2", (plait_deferred_free)(&shared, "worker.c:2"))        \
	USE("plait_deferred_detach()", plait_deferred_detach(&shared))         \
	USE("plait_deferred_pause()", plait_deferred_pause(shared))            \
	USE("plait_chain()", plait_value v = plait_chain(&shared);             \
	    plait_value_free(&v))                                              \
	USE("plait_deferred_result()", plait_deferred_result(shared))          \
	USE("plait_deferred_is_fired()", plait_deferred_is_fired(shared))

static const char *const uses[] = { DEFERRED_USES(USE_WHERE) };

static void *use_it(void *arg)
{
	int n = *(const int *)arg;

	DEFERRED_USES(USE_DO)
	return NULL;
}

static void use_elsewhere(void *arg)
{
	shared = (plait_deferred_new)(&promise, NULL, NULL, "main.c:1");
	in_thread(use_it, arg);
}

GROUP("deferreds", .setup = steps_setup);

TEST(using_the_deferred_of_another_thread_aborts_and_names_both, PURE,
     EACH_OF(uses))
{
	char says[256];

	snprintf(says, sizeof(says),
		 "plait: %s: thread 2 uses the deferred made at main.c:1, "
		 "which belongs to thread 1\n",
		 uses[_i]);
	assert_aborts(use_elsewhere, &_i, says);
}

static bool frees = true;

static void *make_and_end(void *arg)
{
	struct plait_deferred *d =
		(plait_deferred_new)(&promise, NULL, NULL, "worker.c:1");

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
	(plait_deferred_free)(&shared, "main.c:3");
}

TEST(what_a_thread_has_left_behind_is_nobodys, PURE)
{
	assert_aborts(free_of_a_dead_thread, NULL,
		      "main.c:3: thread 2 uses the deferred made at "
		      "worker.c:1, which belongs to thread 1");
}

static plait_value add_one(plait_value *result, void *arg)
{
	return plait_int(plait_value_int(result) + 1);
}

static void *end_inherited(void *arg)
{
	plait_deferred_add_callback(shared, add_one, NULL);
	plait_assert(plait_fire(&promise, plait_int(41)) == 0);
	plait_assert(plait_value_int(plait_deferred_result(shared)) == 42);
	plait_deferred_free(&shared);
	return NULL;
}

static void end_inherited_in_a_thread(void *arg)
{
	in_thread(end_inherited, NULL);
}

TEST(each_thread_of_a_child_may_use_what_its_parent_has_made, PURE)
{
	const char *said;

	shared = plait_deferred_new(&promise, NULL, NULL);
	ck_assert_int_eq(child_run(end_inherited_in_a_thread, NULL, &said), 0);
	ck_assert_str_eq(said, "");
	end_inherited(NULL);
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

/* ---- values ----------------------------------------------------------- */

GROUP("values");

enum { BUF, FAILURE, VALUES_MADE };

static plait_value made[VALUES_MADE];

static void *make_values(void *arg)
{
	struct plait_buf *b = plait_buf_copy("The Raven", 9);
	plait_value cause = plait_fail(&plait_error_os, "cause");

	made[BUF] = plait_buf_value(b);
	made[FAILURE] = plait_fail_because(&plait_error_any,
					   plait_value_failure(&cause), "fail");
	plait_value_free(&cause);
	return NULL;
}

static void *free_values(void *arg)
{
	for (int i = 0; i < VALUES_MADE; i++)
		plait_value_free(&made[i]);
	return NULL;
}

TEST(values_may_be_made_used_and_freed_in_three_threads, PURE)
{
	plait_value further;
	char text[64];

	in_thread(make_values, NULL);
	ck_assert_uint_eq(plait_buf_size(plait_value_buf(&made[BUF])), 9);
	plait_value_str(&made[FAILURE], text, sizeof(text));
	ck_assert_str_eq(text, "Error: fail, caused by OSError: cause");
	further = plait_value_ref(&made[BUF]);
	plait_value_free(&further);
	in_thread(free_values, NULL);
}

static void *use_static_failures(void *arg)
{
	for (int i = 0; i < 1000; i++) {
		plait_value v[] = { plait_cancelled(), plait_connection_done(),
				    plait_no_memory() };

		for (int k = 0; k < N_OF(v); k++) {
			plait_value further = plait_value_ref(&v[k]);

			plait_value_free(&further);
			plait_value_free(&v[k]);
		}
	}
	return NULL;
}

/* A sanitizer for threads looks on. */
TEST(static_failures_are_everybodys_at_the_same_time, PURE)
{
	pthread_t thread;

	ck_assert_int_eq(
		pthread_create(&thread, NULL, use_static_failures, NULL), 0);
	use_static_failures(NULL);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

/* ---- reactors --------------------------------------------------------- */

/* All that a reactor is used for, made before it runs. */
static struct {
	struct plait_timer timer;
	struct plait_watch watch;
	struct plait_signal_watch signal_watch;
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

static void never_signalled(struct plait_signal_watch *w, unsigned times)
{
}

static plait_value no_call(size_t count, void *arg)
{
	return PLAIT_NONE;
}

#define REACTOR_USES(USE)                                                      \
	USE("worker.c:2", (plait_reactor_run)(reactor, "worker.c:2"))          \
	USE("worker.c:2", (plait_reactor_iterate)(reactor, 0, "worker.c:2"))   \
	USE("plait_reactor_stop()", plait_reactor_stop(reactor))               \
	USE("plait_reactor_stop_now()", plait_reactor_stop_now(reactor))       \
	USE("plait_reactor_free()", plait_reactor_free(&reactor))              \
	USE("plait_reactor_set_limits()",                                      \
	    plait_reactor_set_limits(reactor, &(struct plait_limits){ 0 }))    \
	USE("plait_reactor_add_trigger()",                                     \
	    plait_reactor_add_trigger(reactor, PLAIT_TRIGGER_BEFORE,           \
				      PLAIT_TRIGGER_SHUTDOWN, no_trigger,      \
				      NULL, NULL))                             \
	USE("plait_reactor_remove_trigger()",                                  \
	    plait_reactor_remove_trigger(reactor, 1))                          \
	USE("plait_call_when_running()",                                       \
	    plait_call_when_running(reactor, nothing, NULL))                   \
	USE("plait_timer_start()",                                             \
	    plait_timer_start(reactor, &(struct plait_timer){ .fn = NULL }, 1, \
			      nothing, NULL))                                  \
	USE("plait_timer_stop()", plait_timer_stop(&parts.timer))              \
	USE("plait_call_later()", plait_call_later(reactor, 1, nothing, NULL)) \
	USE("plait_call_delay()", plait_call_delay(parts.call, 1))             \
	USE("plait_looping_call_new()",                                        \
	    plait_looping_call_new(reactor, no_call, NULL))                    \
	USE("plait_looping_call_free()",                                       \
	    plait_looping_call_free(&parts.looping))                           \
	USE("plait_cooperator_new()", plait_cooperator_new(reactor, 0))        \
	USE("plait_cooperator_stop()",                                         \
	    plait_cooperator_stop(parts.cooperator))                           \
	USE("worker.c:2", (plait_scope_new)(reactor, "worker.c:2"))            \
	USE("plait_watch_start()",                                             \
	    plait_watch_start(reactor, &(struct plait_watch){ .fn = NULL }, 0, \
			      PLAIT_WATCH_READ, never_ready))                  \
	USE("plait_watch_change()", plait_watch_change(&parts.watch, 0))       \
	USE("plait_watch_stop()", plait_watch_stop(&parts.watch))              \
	USE("plait_signal_watch_start()",                                      \
	    plait_signal_watch_start(                                          \
		    reactor, &(struct plait_signal_watch){ .fn = NULL },       \
		    SIGUSR2, NULL))                                            \
	USE("plait_signal_watch_stop()",                                       \
	    plait_signal_watch_stop(&parts.signal_watch))                      \
	USE("worker.c:2",                                                      \
	    struct plait_deferred *d =                                         \
		    (plait_signal_wait)(reactor, SIGUSR2, "worker.c:2");       \
	    plait_deferred_free(&d))                                           \
	USE("plait_listen_tcp()",                                              \
	    plait_listen_tcp(reactor, 0, &parts.factory, NULL, NULL))          \
	USE("worker.c:2",                                                      \
	    struct plait_deferred *d =                                         \
		    (plait_port_drain)(&parts.port, "worker.c:2");             \
	    plait_deferred_free(&d))                                           \
	USE("plait_port_free()", plait_port_free(&parts.port))                 \
	USE("worker.c:2",                                                      \
	    struct plait_deferred *d =                                         \
		    (plait_port_stop_listening)(&parts.port, "worker.c:2");    \
	    plait_deferred_free(&d))                                           \
	USE("plait_connect_tcp()",                                             \
	    plait_connect_tcp(reactor, "127.0.0.1", 1, &parts.factory, NULL))  \
	USE("plait_connector_stop_connecting()",                               \
	    plait_connector_stop_connecting(parts.connector))                  \
	USE("plait_connector_disconnect()",                                    \
	    plait_connector_disconnect(parts.connector))

static const char *const reactor_uses[] = { REACTOR_USES(USE_WHERE) };

static void *use_reactor(void *arg)
{
	int n = *(const int *)arg;

	owner_number();
	REACTOR_USES(USE_DO)
	return NULL;
}

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
	plait_watch_start(reactor, &parts.watch, pair[0], PLAIT_WATCH_READ,
			  never_ready);
	plait_signal_watch_start(reactor, &parts.signal_watch, SIGUSR1,
				 never_signalled);
	plait_listen_tcp(reactor, 0, &parts.factory, NULL, &parts.port);
	parts.connector = plait_connector_ref(plait_connect_tcp(
		reactor, "127.0.0.1", 1, &parts.factory, NULL));
}

static void use_it_elsewhere(void *arg)
{
	in_thread(use_reactor, arg);
}

/* In a child, which has a reactor of its own. */
static void run_and_use_elsewhere(void *arg)
{
	reactor = test_reactor_new();
	make_parts();
	plait_call_later(reactor, 0, use_it_elsewhere, arg);
	(plait_reactor_run)(reactor, "main.c:1");
}

GROUP("reactors");

TEST(using_a_reactor_that_another_thread_runs_aborts_and_names_both,
     ON_EACH_BACKEND, EACH_OF(reactor_uses))
{
	char says[256];

	snprintf(says, sizeof(says),
		 "plait: %s: thread 2 uses the reactor that thread 1 runs at "
		 "main.c:1\n",
		 reactor_uses[_i]);
	assert_aborts(run_and_use_elsewhere, &_i, says);
}

#define TRANSPORT_USES(USE)                                                    \
	USE("plait_transport_write()",                                         \
	    plait_transport_write(parts.transport, "x", 1))                    \
	USE("plait_transport_printf()",                                        \
	    plait_transport_printf(parts.transport, "x"))                      \
	USE("plait_transport_write_sequence()", char x = 0;                    \
	    struct iovec piece = { .iov_base = &x, .iov_len = 1 };             \
	    plait_transport_write_sequence(parts.transport, &piece, 1))        \
	USE("plait_transport_write_buf()",                                     \
	    struct plait_buf *b = plait_buf_copy("x", 1);                      \
	    plait_transport_write_buf(parts.transport, b))                     \
	USE("plait_transport_register_producer()",                             \
	    plait_transport_register_producer(                                 \
		    parts.transport,                                           \
		    plait_transport_producer(parts.transport), true))          \
	USE("plait_transport_unregister_producer()",                           \
	    plait_transport_unregister_producer(parts.transport))              \
	USE("plait_transport_set_tcp_no_delay()",                              \
	    plait_transport_set_tcp_no_delay(parts.transport, true))           \
	USE("plait_transport_set_tcp_keep_alive()",                            \
	    plait_transport_set_tcp_keep_alive(parts.transport, true))         \
	USE("plait_transport_scope()", plait_transport_scope(parts.transport)) \
	USE("plait_transport_lose_connection()",                               \
	    plait_transport_lose_connection(parts.transport))                  \
	USE("plait_transport_abort_connection()",                              \
	    plait_transport_abort_connection(parts.transport))                 \
	USE("plait_transport_lose_write_connection()",                         \
	    plait_transport_lose_write_connection(parts.transport))            \
	USE("plait_transport_pause_reading()",                                 \
	    plait_transport_pause_reading(parts.transport))                    \
	USE("plait_transport_resume_reading()",                                \
	    plait_transport_resume_reading(parts.transport))

static const char *const transport_uses[] = { TRANSPORT_USES(USE_WHERE) };

static void *use_transport(void *arg)
{
	int n = *(const int *)arg;

	TRANSPORT_USES(USE_DO)
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
	reactor = test_reactor_new();
	parts.factory.protocol = &using_ops;
	plait_listen_tcp(reactor, 0, &parts.factory, NULL, &port);
	plait_port_host(port, &address);
	fd = peer_connect((uint16_t)plait_address_port(&address));
	for (;;)
		(plait_reactor_iterate)(reactor, 1, "main.c:1");
	close(fd);
}

TEST(using_a_connection_of_another_thread_aborts_and_names_both,
     ON_EACH_BACKEND, EACH_OF(transport_uses))
{
	char says[256];

	snprintf(says, sizeof(says),
		 "plait: %s: thread 2 uses the reactor that "
		 "thread 1 runs at main.c:1\n",
		 transport_uses[_i]);
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

#define SCOPE_USES(USE)                                                        \
	USE("plait_scope_start()", plait_scope_start(parts.scope, shared))     \
	USE("plait_scope_own()", plait_scope_own(parts.scope, &shared))        \
	USE("plait_scope_enter()",                                             \
	    plait_scope_enter(parts.scope, &(struct plait_scope_entry){ 0 },   \
			      nothing, NULL))                                  \
	USE("plait_scope_leave()", plait_scope_leave(&parts.entry))            \
	USE("worker.c:2",                                                      \
	    (plait_scope_cancel)(parts.scope, "no", "worker.c:2"))             \
	USE("worker.c:2", (plait_scope_free)(&parts.scope, "worker.c:2"))      \
	USE("worker.c:2",                                                      \
	    struct plait_deferred *d =                                         \
		    (plait_scope_close)(&parts.scope, "worker.c:2");           \
	    plait_deferred_free(&d))                                           \
	USE("plait_scope_set_deadline()",                                      \
	    plait_scope_set_deadline(parts.scope, 1))                          \
	USE("plait_scope_shield()", plait_scope_shield(parts.scope, 1))        \
	USE("worker.c:2", (plait_scope_new_in)(parts.scope, "worker.c:2"))     \
	USE("plait_scope_deadline()", plait_scope_deadline(parts.scope))       \
	USE("plait_scope_reason()", plait_scope_reason(parts.scope))

static const char *const scope_uses[] = { SCOPE_USES(USE_WHERE) };

static void *use_scope(void *arg)
{
	int n = *(const int *)arg;

	shared = plait_succeed(PLAIT_NONE);
	SCOPE_USES(USE_DO)
	return NULL;
}

static void use_scope_elsewhere(void *arg)
{
	parts.scope = (plait_scope_new)(NULL, "loop.c:1");
	plait_scope_enter(parts.scope, &parts.entry, nothing, NULL);
	in_thread(use_scope, arg);
}

GROUP("scopes", .setup = steps_setup);

TEST(using_the_scope_of_another_thread_aborts_and_names_both, PURE,
     EACH_OF(scope_uses))
{
	char says[256];

	snprintf(says, sizeof(says),
		 "plait: %s: thread 2 uses the scope made at loop.c:1, which "
		 "belongs to thread 1\n",
		 scope_uses[_i]);
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

/*
 * A program that has one of each kind of object crashes, is killed or starts
 * again in each of its callbacks: nothing of it is left, nothing that it does
 * then gets out, and it runs as if nothing had been.
 */
#include <plait/simulation.h>

#include "tests/actor.h"
#include "tests/harness.h"

enum { PORT = 7, CRASHES = 0, KILLED, RESTARTS, WAYS };

static struct plait_simulation *sim;
static struct plait_host *host, *other;

/* In which callback of the program it happens, and what. */
static struct {
	unsigned at, n;
	int way;
	bool has_happened;
} crash;

/* At the beginning of each callback. */
static void hear(void *arg)
{
	if (crash.has_happened || crash.n++ != crash.at)
		return;
	crash.has_happened = true;
	if (crash.way == CRASHES)
		plait_host_crash(host);
	else if (crash.way == KILLED)
		plait_host_kill(host);
	else
		ck_assert_int_eq(plait_host_restart(host), 0);
}

static struct {
	struct actor server, client;
	struct plait_port *port;
	struct plait_timer timer;
	struct plait_thread_call thread_call;
	struct plait_looping_call *looping;
	struct plait_deferred *looped, *waits, *held;
	struct plait_cooperator *cooperator;
	struct plait_coiterator *task;
	struct plait_scope *scope;
	struct plait_queue *queue;
	struct plait_lock *lock;
	struct plait_promise *main;
	unsigned left; /* steps and rounds until it ends */
} program;

static plait_value hear_loop(size_t n, void *arg)
{
	hear(NULL);
	return PLAIT_NONE;
}

static bool hear_step(plait_value *ret, void *arg)
{
	hear(NULL);
	return --program.left > 0;
}

static plait_value hear_trigger(void *arg)
{
	hear(NULL);
	return PLAIT_NONE;
}

static void hear_event(struct actor *a, char what)
{
	hear(NULL);
}

static plait_value drop_work(struct plait_deferred *d, void *arg)
{
	struct plait_promise **promise = arg;

	plait_promise_drop(promise);
	return plait_cancelled();
}

/* The end of the connection ends its work as well. */
static void greet(struct actor *a, struct plait_protocol *p)
{
	static struct plait_promise *promise;
	struct plait_deferred *d =
		plait_deferred_new(&promise, drop_work, &promise);

	plait_scope_own(plait_transport_scope(p->transport), &d);
	plait_transport_write(p->transport, "hello", 5);
}

static void free_program(void)
{
	plait_timer_stop(&program.timer);
	plait_scope_free(&program.scope);
	plait_coiterator_free(&program.task);
	plait_cooperator_free(&program.cooperator);
	plait_looping_call_free(&program.looping);
	plait_deferred_free(&program.looped);
	plait_deferred_free(&program.waits);
	plait_deferred_free(&program.held);
	plait_queue_free(&program.queue);
	plait_lock_free(&program.lock);
}

static plait_value cancel_program(struct plait_deferred *d, void *arg)
{
	free_program();
	plait_promise_drop(&program.main);
	return plait_cancelled();
}

static void end_well(void *arg)
{
	hear(NULL);
	free_program();
	plait_fire(&program.main, PLAIT_NONE);
}

static void hear_both(struct actor *a)
{
	actor_init(a);
	a->on_event = hear_event;
}

static void begin_actors(struct plait_reactor *r)
{
	const struct plait_connect_options options = { .timeout = 5 };

	hear_both(&program.server);
	hear_both(&program.client);
	program.server.on_data = actor_echo;
	program.client.on_made = greet;
	ck_assert_int_eq(plait_listen_tcp(r, PORT, &program.server.base, NULL,
					  &program.port),
			 0);
	plait_connect_tcp(r, "127.0.0.1", PORT, &program.client.base, &options);
}

static void begin_deferreds(struct plait_reactor *r)
{
	struct plait_deferred *d = plait_defer_later(r, 100, NULL, NULL);

	program.scope = plait_scope_new(r);
	plait_scope_own(program.scope, &d);
	program.looping = plait_looping_call_new(r, hear_loop, NULL);
	program.looped = plait_looping_call_start(program.looping, 1, false);
	program.cooperator = plait_cooperator_new(r, 0.001);
	program.task = plait_cooperate(program.cooperator, hear_step, NULL);
	program.queue = plait_queue_new(1, 1);
	program.waits = plait_queue_get(program.queue);
	program.lock = plait_lock_new();
	program.held = plait_lock_acquire(program.lock);
}

static plait_value program_main(struct plait_reactor *r, void *arg)
{
	struct plait_deferred *d;

	memset(&program, 0, sizeof(program));
	program.left = 5;
	plait_reactor_add_trigger(r, PLAIT_TRIGGER_BEFORE,
				  PLAIT_TRIGGER_SHUTDOWN, hear_trigger, NULL,
				  NULL);
	begin_actors(r);
	begin_deferreds(r);
	plait_call_from_thread(r, hear, NULL);
	plait_thread_call_queue(r, &program.thread_call, hear, NULL);
	plait_call_later(r, 2, hear, NULL);
	plait_timer_start(r, &program.timer, 5, end_well, NULL);
	d = plait_deferred_new(&program.main, cancel_program, NULL);
	return plait_chain(&d);
}

static void ask_made(struct actor *a, struct plait_protocol *p)
{
	plait_transport_write(p->transport, "from afar", 9);
}

static struct actor asker; /* from another host */

static plait_value ask_from_afar(struct plait_reactor *r, void *arg)
{
	actor_init(&asker);
	asker.on_made = ask_made;
	plait_connect_tcp(r, plait_host_address(host), PORT, &asker.base, NULL);
	return plait_forever();
}

static void begin_world(unsigned at, int way)
{
	static const struct plait_simulation_options perfect;

	memset(&crash, 0, sizeof(crash));
	crash.at = at;
	crash.way = way;
	sim = plait_simulation_new(1, &perfect);
	host = plait_simulation_host(sim, "host");
	other = plait_simulation_host(sim, "other");
	ck_assert_int_eq(plait_host_run(host, program_main, NULL), 0);
	ck_assert_int_eq(plait_host_run(other, ask_from_afar, NULL), 0);
}

/* False once it has run to its end without that. */
static bool crash_in_callback_number(unsigned at, int way)
{
	bool has_happened;

	begin_world(at, way);
	plait_simulation_run(sim, 20);
	has_happened = crash.has_happened;
	if (has_happened && way != RESTARTS) {
		ck_assert_uint_eq(plait_host_programs(host), 0);
		ck_assert_int_eq(plait_host_restart(host), 0);
		plait_simulation_run(sim, 20);
	}
	ck_assert_int_eq(plait_host_status(host), 0);
	ck_assert_uint_eq(program.server.base.users, 0);
	ck_assert_int_eq(plait_simulation_stop(sim), 0);
	ck_assert_ptr_null(plait_simulation_failure(sim));
	plait_simulation_free(&sim);
	return has_happened;
}

TEST(a_program_ends_in_each_of_its_callbacks, PURE, TIMES(WAYS))
{
	unsigned n = 0;

	while (crash_in_callback_number(n, _i))
		n++;
	ck_assert_uint_gt(n, 20);
}

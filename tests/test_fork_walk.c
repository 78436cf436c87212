/*
 * A child that is forked at any moment: it returns into the loop of its
 * parent, which ends there, or frees all that it has, in any order, and goes
 * on with a reactor of its own.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include <plait/testing.h>

#include "tests/actor.h"
#include "tests/harness.h"
#include "tests/wire.h"

/* ---- children ----------------------------------------------------------- */

/* A child that ends by _exit() has to save by itself what it covered. */
#ifdef PLAIT_COVERAGE
void __gcov_dump(void);
#define save_coverage() __gcov_dump()
#else
#define save_coverage() ((void)0)
#endif

static _Noreturn void leave(int status)
{
	save_coverage();
	_exit(status);
}

/* ---- returning into the loop -------------------------------------------- */

/* The n-th callback of a program forks, and its child returns from it. */
static struct {
	unsigned at, n;
	unsigned after; /* callbacks in the child */
	bool frees;	/* it frees the reactor first */
	bool child;
	pid_t pid;
} forking;

static void wait_for_child(pid_t pid)
{
	int status;

	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(status == 0, "child of callback %u: status %#x",
		      forking.at, status);
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

static void hear_protocol(struct actor *a, struct plait_protocol *p)
{
	heard();
}

static void greet(struct actor *a, struct plait_protocol *p)
{
	if (!heard())
		plait_transport_write(p->transport, "hello", 5);
}

static void lose_after_data(struct actor *a, struct plait_protocol *p,
			    const void *data, size_t len)
{
	if (!heard())
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
	a->on_made = a->on_lost = hear_protocol;
	a->on_data = lose_after_data;
	a->on_client_lost = stop_after_loss;
}

static void begin(void *arg)
{
	unsigned number;

	if (heard())
		return;
	number = actor_listen(&program.server, reactor, &program.port);
	if (!forking.child)
		actor_connect(&program.client, reactor, number);
}

static void begin_program(void)
{
	static const enum plait_phase phases[] = { PLAIT_BEFORE, PLAIT_DURING,
						   PLAIT_AFTER };

	hear_all(&program.server);
	hear_all(&program.client);
	program.client.on_made = greet;
	for (int i = 0; i < 6; i++)
		plait_reactor_add_trigger(reactor, phases[i / 2],
					  PLAIT_SHUTDOWN, hear_trigger, NULL,
					  NULL);
	for (int i = 0; i < 6; i++)
		plait_reactor_add_trigger(reactor, phases[i / 2], PLAIT_STARTUP,
					  hear_trigger, NULL, NULL);
	for (int i = 0; i < 3; i++) {
		plait_timer_start(reactor, &program.timers[i], 0, hear, NULL);
		plait_call_from_thread(reactor, hear, NULL);
	}
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(pipe(program.pair[i]), 0);
		ck_assert_int_eq(write(program.pair[i][1], "x", 1), 1);
		plait_watch_start(reactor, &program.watches[i],
				  program.pair[i][0], PLAIT_READ, hear_ready);
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
static bool fork_in_callback_number(unsigned at, bool frees)
{
	int rc;

	memset(&program, 0, sizeof(program));
	memset(&forking, 0, sizeof(forking));
	forking.at = at;
	forking.frees = frees;
	reactor = plait_reactor_new(backend);
	begin_program();
	program.looped = plait_looping_call_start(program.looping, 3600, false);
	rc = plait_reactor_run(reactor);
	if (!forking.child)
		ck_assert_int_eq(rc, 0);
	else if (rc != -ECHILD)
		leave(1);
	/* The looping call, which would fail with the reactor, goes first. */
	if (!forking.child)
		plait_looping_call_free(&program.looping);
	plait_reactor_free(&reactor);
	end_program();
	if (forking.child)
		leave(forking.after == 0 ? 0 : 2);
	if (forking.pid != 0)
		wait_for_child(forking.pid);
	return forking.pid != 0;
}

START_TEST(a_child_that_returns_hears_nothing_more)
{
	unsigned n = 0;

	plait_reactor_free(&reactor);
	while (fork_in_callback_number(n, _i == 1))
		n++;
	ck_assert_uint_gt(n, 30);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fork_walk");
	TCase *tc = tcase_create("returning");

	tcase_add_reactor_loop_test(tc, a_child_that_returns_hears_nothing_more,
				    0, 2);
	suite_add_tcase(s, tc);
	return suite_main(s);
}

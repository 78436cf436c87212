/*
 * Ports that accept those who wait already, and then close: no client who is
 * connected is reset, whatever keeps the port from accepting, and no other
 * client gets in.
 */
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include <plait/testing.h>

#include "tests/child.h"
#include "tests/stage.h"

static void setup(void)
{
	stage_setup();
	actor_hear_of_ports(&server);
}

GROUP("draining", .setup = setup, .teardown = stage_teardown);

STORY(those_who_wait_are_served_before_a_port_has_drained,
      "server echoes; server listens; a knocks; b knocks; c knocks; d knocks;"
      "server drains; server trace SO; until server stopped 1;"
      "server trace SOBMBMBMBMoX; server drained; a says hello; a gets hello;"
      "d says hello; d gets hello; a closes; b closes; c closes; d leaves");

STORY_ON(a_port_for_which_nobody_waits_drains_from_the_loop, ON_EACH_REACTOR,
	 "server listens; server drains; server trace SO; turn 4;"
	 "server trace SOoX; server drained");

STORY(connections_live_on_when_their_port_has_drained,
      "server echoes; server listens; a connects; server drains;"
      "until server stopped 1; server drained; a says hello; a gets hello;"
      "a leaves");

static bool is_connected(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) > 0;
}

/* On loopback a client is connected when its connect() has returned. */
TEST(nobody_new_gets_in_while_a_port_drains, ON_EACH_BACKEND)
{
	int before, after;

	stage_play("server listens; server pauses-accepting");
	before = peer_connect_start((uint16_t)server_number);
	stage_play("server drains");
	after = peer_connect_start((uint16_t)server_number);
	ck_assert(is_connected(before));
	ck_assert(!is_connected(after));
	stage_play("server resumes-accepting; until server stopped 1;"
		   "server trace SOBMoX; server drained");
	close(after);
	close(before);
	stage_play("until server lost 1");
}

/* More than a turn accepts. */
TEST(a_whole_queue_is_served, ON_EACH_BACKEND)
{
	enum { MANY = 100 };
	int fds[MANY];

	server.on_made = actor_lose;
	stage_play("server listens");
	for (int i = 0; i < MANY; i++)
		fds[i] = peer_connect((uint16_t)server_number);
	stage_play("server drains; until server stopped 1; server drained");
	ck_assert_uint_eq(server.made, MANY);
	for (int i = 0; i < MANY; i++) {
		/* An orderly end, and no reset. */
		ck_assert_int_eq(recv(fds[i], &(char){ 0 }, 1, 0), 0);
		close(fds[i]);
	}
	stage_play("until server lost 100");
}

STORY(a_full_port_drains_as_its_connections_are_lost,
      "option max_connections 1; server listens; a connects; b knocks;"
      "c knocks; server drains; turn 5; server trace SOBM?; a leaves;"
      "until server made 2; turn 5; b leaves; until server made 3;"
      "until server stopped 1; server drained; c leaves",
      "option max_connections 1; server listens; a connects; server drains;"
      "until server stopped 1; server trace SOBMoX; server drained; a leaves");

STORY(a_paused_port_drains_when_it_is_resumed,
      "server listens; server pauses-accepting; a knocks; server drains;"
      "turn 5; server trace SO; server resumes-accepting;"
      "until server stopped 1; server trace SOBMoX; server drained; a leaves");

/* Nobody else can come. */
STORY(a_paused_port_for_which_nobody_waits_has_drained,
      "server listens; server pauses-accepting; server drains;"
      "until server stopped 1; server trace SOoX; server drained");

STORY(a_port_that_is_paused_while_it_drains_goes_on_later,
      "server listens; server B { server pauses-accepting } a knocks; b knocks;"
      "server drains; turn 9; server trace SOBM; server resumes-accepting;"
      "turn 9; server trace SOBMBM; server resumes-accepting; turn 9;"
      "server trace SOBMBMoX; server drained; a closes; b leaves");

STORY(a_drain_that_is_cancelled_closes_the_port_at_once,
      "server listens; server pauses-accepting; a knocks; server drains;"
      "turn 2; server stops-draining; turn 3; server trace SOoX; a gets reset");

STORY_ON(the_end_of_the_reactor_ends_a_drain, ON_EACH_REACTOR,
	 "server listens; server pauses-accepting; server drains; free-reactor;"
	 "server trace SOoX; server drained",
	 "server listens; server drains; free-reactor; server trace SOoX;"
	 "server drained");

STORY(the_shutdown_ends_a_drain,
      "server listens; server pauses-accepting; a knocks; server drains;"
      "run-and-stop; server trace SOoX; server drained; a gets reset");

STORY(a_port_that_is_closed_already_drains_from_the_loop,
      "server listens; run-and-stop; server trace SOoX; server drains; turn 2;"
      "server drained");

/* Whatever accept() says, the port goes on until nobody waits. */
STORY(a_port_drains_through_passing_errors,
      "server listens; a knocks; fail accept4 ECONNABORTED; server drains;"
      "until server stopped 1; server trace SOBMoX; server drained; a leaves",
      "virtual; unhandled 1; server listens; a knocks; fail accept4 ENOBUFS;"
      "server drains; turn 5; server trace SO; wait 0.2;"
      "server trace SOBMoX; server drained; a leaves",
      "virtual; server listens; a knocks; fail poll EINTR; server drains;"
      "until server stopped 1; server trace SOBMoX; server drained; a leaves",
      "server listens; fail poll EINTR forever; server drains; turn 5;"
      "server trace SOoX; faults-off; server drained");

static int newcomers[8];

/* Somebody new comes for each who is accepted. */
static void knock(struct actor *a)
{
	ck_assert_uint_le(a->builds, 8);
	newcomers[a->builds - 1] = peer_connect_start((uint16_t)server_number);
}

static bool has_stopped(void *arg)
{
	return server.stops > 0;
}

TEST(a_port_that_cannot_keep_others_out_drains_all_the_same, ON_EACH_BACKEND)
{
	server.on_build = knock;
	stage_play("option backlog 3; server listens; a knocks; b knocks");
	fault_call("setsockopt", 1, EPERM);
	stage_play("server drains; used setsockopt");
	run_until(reactor, has_stopped, NULL);
	/* As many as its queue could have held. */
	ck_assert_uint_eq(server.made, 4);
	stage_play("server drained; a closes; b closes");
	for (int i = 0; i < 4; i++)
		close(newcomers[i]);
	stage_play("until server lost 4");
}

TEST(draining_no_port_has_happened, PURE)
{
	struct plait_deferred *d = plait_port_drain(&port);

	ck_assert(plait_deferred_is_fired(d));
	ck_assert(plait_value_is_none(plait_deferred_result(d)));
	plait_deferred_free(&d);
}

TEST(a_port_says_that_it_drains, ON_EACH_KERNEL)
{
	struct plait_port *same;
	char text[64];

	stage_play("server listens; a knocks");
	same = port;
	stage_play("server drains");
	plait_port_str(same, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, ", draining"));
	stage_play("until server stopped 1; server drained; a leaves");
}

STORY(a_child_that_drains_does_not_close_the_port_of_the_parent,
      "server listens; child { server drains; server drained } a knocks;"
      "until server made 1; a leaves; server stops");

STORY(a_child_that_cancels_a_drain_does_not_end_that_of_the_parent,
      "server listens; server pauses-accepting; a knocks; server drains;"
      "child { server stops-draining } child { free-reactor;"
      "server stops-draining } turn 3; server trace SO;"
      "server resumes-accepting; until server stopped 1; server drained;"
      "a leaves");

static plait_value ignore(plait_value *result, void *arg)
{
	return PLAIT_NONE;
}

static void whole_drain(struct plait_reactor *r)
{
	struct plait_deferred *d;
	struct actor a;
	unsigned number;
	int fds[2];

	actor_init(&a);
	number = actor_listen(&a, r, &port);
	for (int i = 0; i < 2; i++)
		fds[i] = number > 0 ? peer_connect((uint16_t)number) : -1;
	d = plait_port_drain(&port);
	run_for(r, 5);
	if (!torture_faulty())
		ck_assert_str_eq(a.trace, "SBMBMX");
	plait_deferred_add_errback(d, ignore, NULL);
	plait_deferred_free(&d);
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	run_for(r, 60);
	ck_assert_uint_eq(a.made, a.lost);
	ck_assert_uint_eq(a.starts, a.stops);
}

GROUP("torture", .setup = setup, .teardown = stage_teardown, .timeout = 60);

TEST(draining_survives_any_refused_allocation, ON_EACH_BACKEND)
{
	torture(whole_drain, backend);
}

TEST(draining_survives_any_failing_call, ON_EACH_BACKEND)
{
	torture_syscalls(whole_drain, backend);
}

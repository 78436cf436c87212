/*
 * Ports that accept nothing for a while, and factories that are told of their
 * ports.
 */
#include <stdio.h>

#include <plait/testing.h>

#include "tests/child.h"
#include "tests/stage.h"

static void setup(void)
{
	stage_setup();
	actor_hear_of_ports(&server);
}

GROUP("pausing", .setup = setup, .teardown = stage_teardown);

STORY(who_connects_to_a_paused_port_waits,
      "server listens; server pauses-accepting; a knocks; turn 3;"
      "server trace SO; server resumes-accepting; until server made 1;"
      "a leaves; server stops; server trace SOBMLoX");

STORY(a_paused_port_costs_nothing,
      "server listens; server pauses-accepting; a knocks; turn 3; count;"
      "turn 2; sleeps 0.01; calls accept4 0; calls epoll_ctl 0; a closes;"
      "server stops");

STORY(pauses_of_a_port_are_counted,
      "server listens; server pauses-accepting; server pauses-accepting;"
      "server resumes-accepting; a knocks; turn 3; server trace SO;"
      "server resumes-accepting; until server made 1; a leaves; server stops");

static void resume(void *arg)
{
	plait_port_resume_accepting(port);
}

TEST(resuming_a_port_that_is_not_paused_aborts, ON_EACH_REACTOR)
{
	stage_play("server listens");
	assert_aborts(resume, NULL,
		      "plait_port_resume_accepting: the port is not paused");
	stage_play("server pauses-accepting; server resumes-accepting;"
		   "server stops-listening; turn 3");
}

/* All that have come wait for turns that accept several. */
static void pause_at_fourth(struct actor *a)
{
	if (a->builds == 4)
		plait_port_pause_accepting(port);
}

TEST(paused_while_accepting_it_takes_no_other, ON_EACH_BACKEND)
{
	int fds[8];

	server.on_build = pause_at_fourth;
	stage_play("server listens");
	for (int i = 0; i < 8; i++)
		fds[i] = peer_connect((uint16_t)server_number);
	stage_play("until server builds 4; turn 5; server builds 4;"
		   "server resumes-accepting; until server made 8");
	for (int i = 0; i < 8; i++)
		close(fds[i]);
	stage_play("until server lost 8; server stops");
}

STORY(paused_as_it_opens_it_accepts_nobody,
      "server O { server pauses-accepting } server listens; a knocks; turn 3;"
      "server trace SO; server resumes-accepting; until server made 1;"
      "a leaves; server stops");

/* It is full and paused: either keeps others out. */
STORY(a_guest_who_leaves_does_not_end_a_pause,
      "option max_connections 1; server listens; a connects;"
      "until server made 1; b knocks; turn 3; server trace SOBM?;"
      "server pauses-accepting; a leaves; server trace SOBM?L;"
      "server resumes-accepting; until server made 2; b leaves; server stops");

STORY(resuming_does_not_let_in_more_than_may_be,
      "option max_connections 1; server listens; a connects;"
      "until server made 1; server pauses-accepting; b knocks; turn 3;"
      "server trace SOBM; server resumes-accepting; turn 3;"
      "server trace SOBM?; a leaves; server trace SOBM?LBM; b leaves;"
      "server stops");

/* The port waits by itself, for memory; that ends and the pause does not. */
STORY(what_was_missing_and_is_back_does_not_end_a_pause,
      "virtual; server listens; unhandled 1; fail accept4 ENOBUFS; a knocks;"
      "turn 3; used accept4; server pauses-accepting; wait 1;"
      "server trace SO; server resumes-accepting; until server made 1;"
      "a leaves; server stops");

/* The call itself must not tell of it, and the next try works. */
STORY(a_resumed_port_that_cannot_be_watched_tries_later,
      "epoll-only; virtual; server listens; server pauses-accepting; a knocks;"
      "turn 3; fail epoll_ctl ENOMEM; server resumes-accepting;"
      "used epoll_ctl; reported 0; turn 3; server trace SO; wait 0.2;"
      "server trace SOBM; a leaves; server stops");

STORY_ON(a_paused_port_can_be_stopped, ON_EACH_REACTOR,
	 "server listens; server pauses-accepting; server stops-listening;"
	 "turn 3; server trace SOoX",
	 "server listens; server pauses-accepting; free-reactor;"
	 "server trace SOoX");

/* The factory still knows a port that it has stopped. */
STORY_ON(pausing_a_port_that_was_stopped_does_nothing, ON_EACH_REACTOR,
	 "server listens; server stops-listening; server pauses-accepting;"
	 "server resumes-accepting; turn 3; server trace SOoX");

TEST(a_port_says_that_it_is_paused, ON_EACH_REACTOR)
{
	char text[64], wanted[64];

	stage_play("server listens; server pauses-accepting");
	snprintf(wanted, sizeof(wanted), "port on 127.0.0.1:%u, paused",
		 server_number);
	plait_port_str(port, text, sizeof(text));
	ck_assert_str_eq(text, wanted);
	plait_port_resume_accepting(port);
	plait_port_str(port, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, ", listening"));
	stage_play("server stops-listening; turn 3");
}

STORY(a_child_that_pauses_does_not_pause_the_parent,
      "server listens; child { server pauses-accepting } a knocks;"
      "until server made 1; a leaves; server stops");

TEST(a_paused_port_of_a_testing_reactor_accepts_nobody, PURE)
{
	reactor = plait_testing_reactor_new();
	stage_play("server listens; server pauses-accepting");
	ck_assert_ptr_null(plait_testing_accept(port));
	stage_play("server trace SO; server resumes-accepting");
	ck_assert_ptr_nonnull(plait_testing_accept(port));
	stage_play("server trace SOBM; server stops-listening; turn 3");
	plait_reactor_free(&reactor);
}

GROUP("being told", .setup = setup, .teardown = stage_teardown);

TEST(a_factory_is_told_of_each_of_its_ports, ON_EACH_REACTOR)
{
	struct plait_port *first;

	stage_play("server listens");
	first = port;
	ck_assert_ptr_eq(server.port, first);
	stage_play("server listens; server trace SOO");
	ck_assert_ptr_eq(server.port, port);
	stage_play("server stops-listening; turn 3; server trace SOOo");
	port = first;
	stage_play("server stops-listening; turn 3; server trace SOOooX");
}

STORY_ON(it_is_told_of_a_port_that_its_start_has_stopped, ON_EACH_REACTOR,
	 "server S { server stops-listening } server listens;"
	 "server trace SO; turn 3; server trace SOoX");

STORY_ON(a_port_that_is_stopped_as_it_opens_is_closed_once, ON_EACH_REACTOR,
	 "server O { server stops-listening } server listens;"
	 "server trace SO; turn 3; server trace SOoX");

STORY_ON(freeing_the_reactor_tells_that_the_port_is_closed, ON_EACH_REACTOR,
	 "server listens; free-reactor; server trace SOoX");

static void stop_reactor(void *arg)
{
	plait_reactor_stop(arg);
}

TEST(a_handle_may_end_after_a_shutdown_has_closed_the_port, ON_EACH_REACTOR)
{
	stage_play("server listens");
	plait_call_when_running(reactor, stop_reactor, reactor);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	stage_play("server trace SOoX; server stops-listening; turn 3;"
		   "server trace SOoX");
}

STORY(a_port_that_could_not_be_opened_is_not_told,
      "fail listen EADDRINUSE; server listens EADDRINUSE; server trace -");

static pid_t child;
static char fork_at;

static void fork_here(struct actor *a, char what)
{
	if (what == fork_at)
		child = fork();
}

/* start() forks: the port is the parent's; or port_closed(): so is stop(). */
TEST(a_child_that_was_forked_meanwhile_is_told_nothing_more, ON_EACH_REACTOR,
     TIMES(2))
{
	child = 1;
	fork_at = "So"[_i];
	server.on_event = fork_here;
	stage_play("server listens");
	if (child > 0)
		stage_play("server stops-listening");
	/* In the child the first turn that it is in fails. */
	for (int i = 0; i < 3 && child > 0; i++)
		plait_reactor_iterate(reactor, 0);
	if (child == 0)
		_exit(strcmp(server.trace, _i == 0 ? "S" : "SOo") != 0);
	child_ends(child);
	ck_assert_str_eq(server.trace, "SOoX");
}

/* A factory that stands in front of another, as a wrapper would. */
GROUP("in front", .setup = setup, .teardown = stage_teardown);

TEST(a_factory_in_front_does_what_the_library_does, PURE)
{
	struct plait_address a;
	struct plait_protocol *p;

	plait_address_parse(&a, "localhost", 80);
	plait_factory_start(&server.base);
	plait_factory_start(&server.base);
	p = plait_factory_build_protocol(&server.base, &a);
	ck_assert_ptr_eq(p->factory, &server.base);
	plait_protocol_free(&p);
	plait_factory_stop(&server.base);
	ck_assert_str_eq(server.trace, "SB");
	plait_factory_stop(&server.base);
	ck_assert_str_eq(server.trace, "SBX");
}

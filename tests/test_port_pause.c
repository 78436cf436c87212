/*
 * Ports that accept nothing for a while, and factories that are told of their
 * ports.
 *
 * The trace of a gate: S start(), O port_opened(), B build_protocol(),
 * M connection_made(), L connection_lost(), ? port_full(), o port_closed(),
 * X stop().
 */
#include <stdio.h>
#include <sys/wait.h>

#include <plait/testing.h>

#include "tests/child.h"
#include "tests/harness.h"

struct gate {
	struct plait_factory base;

	/* What it does beyond noting; may be NULL. */
	void (*on_start)(struct gate *g);
	void (*on_opened)(struct gate *g);
	void (*on_build)(struct gate *g);
	void (*on_closed)(struct gate *g);

	struct plait_port *told; /* of what port_opened() has told it */
	struct plait_transport *transport;
	unsigned builds, made, lost, stops;
	char trace[64];
};

static struct gate gate;
static struct plait_port *port;
static uint16_t number;

static struct gate *gate_of(struct plait_factory *f)
{
	return plait_self(f, struct gate);
}

static void note(struct gate *g, char what)
{
	size_t n = strlen(g->trace);

	if (n + 1 < sizeof(g->trace))
		g->trace[n] = what;
}

static void gate_start(struct plait_factory *f)
{
	struct gate *g = gate_of(f);

	note(g, 'S');
	if (g->on_start != NULL)
		g->on_start(g);
}

static void gate_opened(struct plait_factory *f, struct plait_port *p)
{
	struct gate *g = gate_of(f);

	note(g, 'O');
	g->told = p;
	if (g->on_opened != NULL)
		g->on_opened(g);
}

static struct plait_protocol *gate_build(struct plait_factory *f,
					 const struct plait_address *peer)
{
	struct gate *g = gate_of(f);

	note(g, 'B');
	g->builds++;
	if (g->on_build != NULL)
		g->on_build(g);
	return plait_protocol_new(f->protocol);
}

static void gate_full(struct plait_factory *f, struct plait_port *p,
		      struct plait_protocol *idlest)
{
	note(gate_of(f), '?');
}

static void gate_closed(struct plait_factory *f, struct plait_port *p)
{
	struct gate *g = gate_of(f);
	struct plait_address a;

	note(g, 'o');
	plait_port_address(p, &a);
	ck_assert_uint_gt(plait_address_port(&a), 0);
	if (g->on_closed != NULL)
		g->on_closed(g);
}

static void gate_stop(struct plait_factory *f)
{
	note(gate_of(f), 'X');
	gate_of(f)->stops++;
}

static const struct plait_factory_ops gate_ops = {
	.name = "gate",
	.start = gate_start,
	.stop = gate_stop,
	.build_protocol = gate_build,
	.port_full = gate_full,
	.port_opened = gate_opened,
	.port_closed = gate_closed,
};

static void guest_made(struct plait_protocol *p)
{
	struct gate *g = gate_of(p->factory);

	note(g, 'M');
	g->made++;
	g->transport = p->transport;
}

static void guest_lost(struct plait_protocol *p,
		       const struct plait_failure *why)
{
	note(gate_of(p->factory), 'L');
	gate_of(p->factory)->lost++;
}

static const struct plait_protocol_ops guest_ops = {
	.name = "guest",
	.connection_made = guest_made,
	.connection_lost = guest_lost,
};

static void setup(void)
{
	gate = (struct gate){ .base = { .ops = &gate_ops,
					.protocol = &guest_ops } };
	port = NULL;
}

static void open_gate_for(unsigned max)
{
	const struct plait_listen_options o = { .iface = "127.0.0.1",
						.max_connections = max };
	struct plait_address a;

	ck_assert_int_eq(plait_listen_tcp(reactor, 0, &gate.base, &o, &port),
			 0);
	if (port == NULL)
		return;
	plait_port_address(port, &a);
	number = (uint16_t)plait_address_port(&a);
}

static void open_gate(void)
{
	open_gate_for(0);
}

static void stop_port(struct gate *g)
{
	struct plait_deferred *d = plait_port_stop_listening(&port);

	plait_deferred_detach(&d);
}

static void close_gate(void)
{
	stop_port(&gate);
	run_turns(reactor, 3);
}

/* Somebody who has to wait. */
static int knock(void)
{
	int fd = peer_connect(number);

	run_turns(reactor, 3);
	return fd;
}

static void leave(int fd)
{
	close(fd);
	run_until_count(reactor, &gate.lost, gate.made);
	run_turns(reactor, 3);
}

GROUP("pausing", .setup = setup);

TEST(who_connects_to_a_paused_port_waits, ON_EACH_BACKEND)
{
	int fd;

	open_gate();
	plait_port_pause_accepting(port);
	fd = knock();
	ck_assert_str_eq(gate.trace, "SO");
	plait_port_resume_accepting(port);
	run_until_count(reactor, &gate.made, 1);
	leave(fd);
	close_gate();
	ck_assert_str_eq(gate.trace, "SOBMLoX");
}

TEST(a_paused_port_costs_nothing, ON_EACH_BACKEND)
{
	int fd;

	open_gate();
	plait_port_pause_accepting(port);
	fd = knock();
	calls_reset();
	run_turns(reactor, 2);
	plait_reactor_iterate(reactor, 0.01);
	ck_assert_uint_eq(calls_of("accept4") + calls_of("epoll_ctl"), 0);
	close(fd);
	close_gate();
}

TEST(pauses_of_a_port_are_counted, ON_EACH_BACKEND)
{
	int fd;

	open_gate();
	plait_port_pause_accepting(port);
	plait_port_pause_accepting(port);
	plait_port_resume_accepting(port);
	fd = knock();
	ck_assert_str_eq(gate.trace, "SO");
	plait_port_resume_accepting(port);
	run_until_count(reactor, &gate.made, 1);
	leave(fd);
	close_gate();
}

static void resume(void *arg)
{
	plait_port_resume_accepting(port);
}

TEST(resuming_a_port_that_is_not_paused_aborts, ON_EACH_REACTOR)
{
	open_gate();
	assert_aborts(resume, NULL,
		      "plait_port_resume_accepting: the port is not paused");
	plait_port_pause_accepting(port);
	plait_port_resume_accepting(port);
	close_gate();
}

/* All that have come wait for turns that accept several. */
static void pause_at_fourth(struct gate *g)
{
	if (g->builds == 4)
		plait_port_pause_accepting(port);
}

TEST(paused_while_accepting_it_takes_no_other, ON_EACH_BACKEND)
{
	int fds[8];

	gate.on_build = pause_at_fourth;
	open_gate();
	for (int i = 0; i < 8; i++)
		fds[i] = peer_connect(number);
	run_until_count(reactor, &gate.builds, 4);
	run_turns(reactor, 5);
	ck_assert_uint_eq(gate.builds, 4);
	plait_port_resume_accepting(port);
	run_until_count(reactor, &gate.made, 8);
	for (int i = 0; i < 8; i++)
		close(fds[i]);
	run_until_count(reactor, &gate.lost, 8);
	close_gate();
}

static void pause_told(struct gate *g)
{
	plait_port_pause_accepting(g->told);
}

TEST(paused_as_it_opens_it_accepts_nobody, ON_EACH_BACKEND)
{
	int fd;

	gate.on_opened = pause_told;
	open_gate();
	fd = knock();
	ck_assert_str_eq(gate.trace, "SO");
	plait_port_resume_accepting(port);
	run_until_count(reactor, &gate.made, 1);
	leave(fd);
	close_gate();
}

/* It is full and paused: either keeps others out. */
TEST(a_guest_who_leaves_does_not_end_a_pause, ON_EACH_BACKEND)
{
	int a, b;

	open_gate_for(1);
	a = peer_connect(number);
	run_until_count(reactor, &gate.made, 1);
	b = knock();
	ck_assert_str_eq(gate.trace, "SOBM?");
	plait_port_pause_accepting(port);
	leave(a);
	ck_assert_str_eq(gate.trace, "SOBM?L");
	plait_port_resume_accepting(port);
	run_until_count(reactor, &gate.made, 2);
	leave(b);
	close_gate();
}

TEST(resuming_does_not_let_in_more_than_may_be, ON_EACH_BACKEND)
{
	int a, b;

	open_gate_for(1);
	a = peer_connect(number);
	run_until_count(reactor, &gate.made, 1);
	plait_port_pause_accepting(port);
	b = knock();
	ck_assert_str_eq(gate.trace, "SOBM");
	plait_port_resume_accepting(port);
	run_turns(reactor, 3);
	ck_assert_str_eq(gate.trace, "SOBM?");
	leave(a);
	ck_assert_str_eq(gate.trace, "SOBM?LBM");
	leave(b);
	close_gate();
}

/* The port waits by itself, for memory; that ends and the pause does not. */
TEST(what_was_missing_and_is_back_does_not_end_a_pause, ON_EACH_BACKEND)
{
	int fd;

	clock_virtual(true);
	open_gate();
	unhandled_expect(1);
	fault_call("accept4", 1, ENOBUFS);
	fd = knock();
	ck_assert(fault_used("accept4"));
	plait_port_pause_accepting(port);
	run_for(reactor, 1);
	ck_assert_str_eq(gate.trace, "SO");
	plait_port_resume_accepting(port);
	run_until_count(reactor, &gate.made, 1);
	leave(fd);
	close_gate();
}

/* The call itself must not tell of it, and the next try works. */
TEST(a_resumed_port_that_cannot_be_watched_tries_later, ON_EACH_BACKEND)
{
	int fd;

	if (strcmp(backend, "epoll") != 0)
		return;
	clock_virtual(true);
	open_gate();
	plait_port_pause_accepting(port);
	fd = knock();
	fault_call("epoll_ctl", 1, ENOMEM);
	plait_port_resume_accepting(port);
	ck_assert(fault_used("epoll_ctl"));
	ck_assert_uint_eq(unhandled_count(), 0);
	run_turns(reactor, 3);
	ck_assert_str_eq(gate.trace, "SO");
	run_for(reactor, 0.2);
	ck_assert_str_eq(gate.trace, "SOBM");
	leave(fd);
	close_gate();
}

TEST(a_paused_port_can_be_stopped, ON_EACH_REACTOR, TIMES(2))
{
	open_gate();
	plait_port_pause_accepting(port);
	if (_i == 0)
		close_gate();
	else
		plait_reactor_free(&reactor);
	ck_assert_str_eq(gate.trace, "SOoX");
}

/* The factory still knows a port that it has stopped. */
TEST(pausing_a_port_that_was_stopped_does_nothing, ON_EACH_REACTOR)
{
	open_gate();
	stop_port(&gate);
	plait_port_pause_accepting(gate.told);
	plait_port_resume_accepting(gate.told);
	run_turns(reactor, 3);
	ck_assert_str_eq(gate.trace, "SOoX");
}

TEST(a_port_says_that_it_is_paused, ON_EACH_REACTOR)
{
	char text[64], wanted[64];

	open_gate();
	plait_port_pause_accepting(port);
	snprintf(wanted, sizeof(wanted), "port on 127.0.0.1:%u, paused",
		 number);
	plait_port_str(port, text, sizeof(text));
	ck_assert_str_eq(text, wanted);
	plait_port_resume_accepting(port);
	plait_port_str(port, text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, ", listening"));
	close_gate();
}

TEST(a_child_that_pauses_does_not_pause_the_parent, ON_EACH_BACKEND)
{
	int fd, status;
	pid_t pid;

	open_gate();
	pid = fork();
	if (pid == 0) {
		plait_port_pause_accepting(port);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	fd = peer_connect(number);
	run_until_count(reactor, &gate.made, 1);
	leave(fd);
	close_gate();
}

TEST(a_paused_port_of_a_testing_reactor_accepts_nobody, PURE)
{
	reactor = plait_testing_reactor_new();
	open_gate();
	plait_port_pause_accepting(port);
	ck_assert_ptr_null(plait_testing_accept(port));
	ck_assert_str_eq(gate.trace, "SO");
	plait_port_resume_accepting(port);
	ck_assert_ptr_nonnull(plait_testing_accept(port));
	ck_assert_str_eq(gate.trace, "SOBM");
	close_gate();
	plait_reactor_free(&reactor);
}

GROUP("being told", .setup = setup);

TEST(a_factory_is_told_of_each_of_its_ports, ON_EACH_REACTOR)
{
	struct plait_port *first;

	open_gate();
	first = port;
	ck_assert_ptr_eq(gate.told, first);
	open_gate();
	ck_assert_ptr_eq(gate.told, port);
	ck_assert_str_eq(gate.trace, "SOO");
	close_gate();
	ck_assert_str_eq(gate.trace, "SOOo");
	port = first;
	close_gate();
	ck_assert_str_eq(gate.trace, "SOOooX");
}

TEST(it_is_told_of_a_port_that_its_start_has_stopped, ON_EACH_REACTOR)
{
	gate.on_start = stop_port;
	open_gate();
	ck_assert_str_eq(gate.trace, "SO");
	run_turns(reactor, 3);
	ck_assert_str_eq(gate.trace, "SOoX");
}

TEST(a_port_that_is_stopped_as_it_opens_is_closed_once, ON_EACH_REACTOR)
{
	gate.on_opened = stop_port;
	open_gate();
	ck_assert_str_eq(gate.trace, "SO");
	run_turns(reactor, 3);
	ck_assert_str_eq(gate.trace, "SOoX");
}

TEST(freeing_the_reactor_tells_that_the_port_is_closed, ON_EACH_REACTOR)
{
	open_gate();
	plait_reactor_free(&reactor);
	ck_assert_str_eq(gate.trace, "SOoX");
}

TEST(a_port_that_could_not_be_opened_is_not_told, ON_EACH_BACKEND)
{
	const struct plait_listen_options o = { .iface = "127.0.0.1" };

	fault_call("listen", 1, EADDRINUSE);
	ck_assert_int_eq(plait_listen_tcp(reactor, 0, &gate.base, &o, &port),
			 -EADDRINUSE);
	ck_assert_str_eq(gate.trace, "");
}

static pid_t child;

static void fork_here(struct gate *g)
{
	child = fork();
}

/* start() forks: the port is the parent's; or port_closed(): so is stop(). */
TEST(a_child_that_was_forked_meanwhile_is_told_nothing_more, ON_EACH_REACTOR,
     TIMES(2))
{
	int status;

	child = 1;
	if (_i == 0)
		gate.on_start = fork_here;
	else
		gate.on_closed = fork_here;
	open_gate();
	if (child > 0)
		stop_port(&gate);
	/* In the child the first turn that it is in fails. */
	for (int i = 0; i < 3 && child > 0; i++)
		plait_reactor_iterate(reactor, 0);
	if (child == 0)
		_exit(strcmp(gate.trace, _i == 0 ? "S" : "SOo") != 0);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert_str_eq(gate.trace, "SOoX");
}

/* A factory that stands in front of the gate, as a wrapper would. */
GROUP("in front", .setup = setup);

TEST(a_factory_in_front_does_what_the_library_does, PURE)
{
	struct plait_address a;
	struct plait_protocol *p;

	plait_address_parse(&a, "localhost", 80);
	plait_factory_start(&gate.base);
	plait_factory_start(&gate.base);
	p = plait_factory_build(&gate.base, &a);
	ck_assert_ptr_eq(p->factory, &gate.base);
	plait_protocol_free(&p);
	plait_factory_stop(&gate.base);
	ck_assert_str_eq(gate.trace, "SB");
	plait_factory_stop(&gate.base);
	ck_assert_str_eq(gate.trace, "SBX");
}

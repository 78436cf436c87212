/*
 * Ports: listening, accepting and stopping, as long as the system plays
 * along.  What happens when it does not is in test_accept_faults.c.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

#include "tests/child.h"
#include "tests/stage.h"
#include "tests/stranger.h"

/* Connects a peer and waits until the server has built its protocol. */
static int connect_peer(unsigned number)
{
	unsigned builds = server.builds;
	int fd = peer_connect((uint16_t)number);

	run_until_count(reactor, &server.builds, builds + 1);
	return fd;
}

static void hang_up(int fd)
{
	close(fd);
	run_until_count(reactor, &server.lost, server.made);
	run_turns(reactor, 3);
}

/* The library's socket that is connected to the peer's. */
static int other_end(int peer)
{
	struct sockaddr_in mine, theirs;
	socklen_t len = sizeof(mine);

	getsockname(peer, (struct sockaddr *)&mine, &len);
	for (int fd = 3; fd < 1024; fd++) {
		len = sizeof(theirs);
		if (getpeername(fd, (struct sockaddr *)&theirs, &len) == 0 &&
		    theirs.sin_port == mine.sin_port)
			return fd;
	}
	ck_abort_msg("there is no other end");
}

GROUP("listening", .setup = stage_setup, .teardown = stage_teardown);

STORY(listening_starts_the_factory,
      "server listens; server trace S; server stops; server trace SX");

TEST(the_handle_is_optional, ON_EACH_KERNEL)
{
	const struct plait_listen_options o = { .iface = "127.0.0.1" };

	ck_assert_int_eq(plait_listen_tcp(reactor, 0, &server.base, &o, NULL),
			 0);
	plait_reactor_free(&reactor);
	ck_assert_str_eq(server.trace, "SX");
}

TEST(a_used_port_is_refused_and_starts_nothing, ON_EACH_KERNEL)
{
	const struct plait_listen_options o = { .iface = "127.0.0.1" };
	struct actor second;
	struct plait_port *none = (struct plait_port *)&second;
	unsigned number = actor_listen(&server, reactor, &port);

	actor_init(&second);
	ck_assert_int_eq(
		plait_listen_tcp(reactor, number, &second.base, &o, &none),
		-EADDRINUSE);
	ck_assert_str_eq(second.trace, "");
	ck_assert_ptr_eq(none, &second);
	actor_stop(reactor, &port);
}

TEST(what_is_no_address_is_invalid, ON_EACH_KERNEL)
{
	const struct plait_listen_options name = { .iface = "example.org" };

	ck_assert_int_eq(
		plait_listen_tcp(reactor, 0, &server.base, &name, &port),
		-EINVAL);
	ck_assert_int_eq(
		plait_listen_tcp(reactor, 65536, &server.base, NULL, &port),
		-EINVAL);
	ck_assert_ptr_null(port);
	ck_assert_str_eq(server.trace, "");
}

STORY(an_address_of_another_machine_is_refused,
      "option iface 192.0.2.1; server listens EADDRNOTAVAIL;"
      "server starts 0");

TEST(without_options_it_listens_everywhere, ON_EACH_BACKEND)
{
	struct plait_address a;
	char text[PLAIT_ADDRESS_SIZE];

	ck_assert_int_eq(
		plait_listen_tcp(reactor, 0, &server.base, NULL, &port), 0);
	plait_port_host(port, &a);
	plait_address_host(&a, text, sizeof(text));
	ck_assert_str_eq(text, "0.0.0.0");
	hang_up(connect_peer(plait_address_port(&a)));
	actor_stop(reactor, &port);
}

GROUP("accepting", .setup = stage_setup, .teardown = stage_teardown);

STORY(each_connection_gets_a_protocol,
      "server echoes; server listens; a connects; b connects; server made 2;"
      "a says one; b says two; a gets one; b gets two; a closes; b leaves;"
      "server stops; server trace SBMBMDLLX");

TEST(build_protocol_is_told_who_it_is, ON_EACH_BACKEND)
{
	unsigned number = actor_listen(&server, reactor, &port);
	struct sockaddr_in mine;
	socklen_t len = sizeof(mine);
	char text[PLAIT_ADDRESS_SIZE];
	int fd = connect_peer(number);

	getsockname(fd, (struct sockaddr *)&mine, &len);
	plait_address_host(&server.peer, text, sizeof(text));
	ck_assert_str_eq(text, "127.0.0.1");
	ck_assert_uint_eq(plait_address_port(&server.peer),
			  ntohs(mine.sin_port));
	hang_up(fd);
	actor_stop(reactor, &port);
}

STORY(a_refused_connection_is_closed_at_once,
      "server listens; server refuses; a connects; a gets end; a closes;"
      "server made 0; server accepts; b connects; b leaves; server made 1;"
      "server stops");

STORY(a_protocol_that_gives_up_ends_its_connection_alone,
      "server M { server M { } server aborts } server echoes; server listens;"
      "a connects; a gets reset; a closes; b connects; b says hello;"
      "b gets hello; b leaves; server stops; server trace SBMLBMDLX");

TEST(a_factory_without_functions_serves_its_table, ON_EACH_BACKEND)
{
	static const struct plait_protocol_ops ops = { .name = "silent" };
	struct plait_factory f = { .protocol = &ops };
	const struct plait_listen_options o = { .iface = "127.0.0.1" };
	struct plait_address a;
	int fd;

	ck_assert_int_eq(plait_listen_tcp(reactor, 0, &f, &o, &port), 0);
	plait_port_host(port, &a);
	fd = peer_connect((uint16_t)plait_address_port(&a));
	run_turns(reactor, 3);
	shutdown(fd, SHUT_WR);
	ck_assert_int_eq(peer_read_to_eof(reactor, fd, NULL, 0), 0);
	close(fd);
	run_turns(reactor, 3);
	actor_stop(reactor, &port);
}

/* A connection that was reset before it was accepted. */
STORY(reset_in_the_backlog_is_made_and_lost,
      "server listens; a knocks; a resets; until server lost 1; turn 2;"
      "server trace SBML; server lost-kind ConnectionLost; server stops");

static plait_value note_stopped(plait_value *result, void *arg)
{
	ck_assert(plait_value_is_none(result));
	*(unsigned *)arg = server.stops + 1;
	return PLAIT_NONE;
}

GROUP("stopping", .setup = stage_setup, .teardown = stage_teardown);

TEST(stop_listening_answers_from_the_loop, ON_EACH_KERNEL)
{
	struct plait_deferred *d;
	unsigned stopped = 0; /* 1 + how often the factory had */

	actor_listen(&server, reactor, &port);
	d = plait_port_stop_listening(&port);
	ck_assert_ptr_null(port);
	plait_deferred_add_callback(d, note_stopped, &stopped);
	ck_assert_uint_eq(stopped, 0);
	ck_assert_uint_eq(server.stops, 0);
	run_turns(reactor, 2);
	ck_assert_uint_eq(stopped, 2);
	plait_deferred_free(&d);
}

static void listen_on(uint16_t number)
{
	const struct plait_listen_options o = { .iface = "127.0.0.1" };

	ck_assert_int_eq(
		plait_listen_tcp(reactor, number, &server.base, &o, &port), 0);
}

static plait_value listen_again(plait_value *result, void *arg)
{
	listen_on(*(uint16_t *)arg);
	return PLAIT_NONE;
}

TEST(the_port_is_free_when_that_is_told, ON_EACH_BACKEND)
{
	struct plait_deferred *d;
	uint16_t number;
	int kept = peer_keep_port(&number);

	listen_on(number);
	d = plait_port_stop_listening(&port);
	plait_deferred_add_callback(d, listen_again, &number);
	run_turns(reactor, 2);
	plait_deferred_free(&d);
	ck_assert_ptr_nonnull(port);
	hang_up(connect_peer(number));
	actor_stop(reactor, &port);
	close(kept);
	ck_assert_str_eq(server.trace, "SXSBMLX");
}

STORY(accepted_connections_live_on,
      "server echoes; server listens; a connects; server stops;"
      "server trace SBMX; a says hello; a gets hello; a leaves");

STORY(a_stopped_port_accepts_nothing_more,
      "server listens; a knocks; server stops; server trace SX; a gets reset");

TEST(stopping_no_port_has_happened, ON_EACH_KERNEL)
{
	struct plait_deferred *d = plait_port_stop_listening(&port);

	ck_assert(plait_deferred_is_fired(d));
	ck_assert(plait_value_is_none(plait_deferred_result(d)));
	plait_deferred_free(&d);
}

static plait_value expect_cancelled(plait_value *result, void *arg)
{
	ck_assert(plait_failure_check(plait_value_failure(result),
				      &plait_error_cancelled));
	*(bool *)arg = true;
	return PLAIT_NONE;
}

TEST(cancelling_the_answer_does_not_keep_the_port, ON_EACH_KERNEL)
{
	struct plait_deferred *d;
	bool cancelled = false;

	actor_listen(&server, reactor, &port);
	d = plait_port_stop_listening(&port);
	plait_deferred_add_errback(d, expect_cancelled, &cancelled);
	plait_deferred_cancel(d);
	ck_assert(cancelled);
	run_turns(reactor, 2);
	ck_assert_str_eq(server.trace, "SX");
	plait_deferred_free(&d);
}

TEST(freeing_the_answer_is_fine, ON_EACH_KERNEL)
{
	struct plait_deferred *d;

	actor_listen(&server, reactor, &port);
	d = plait_port_stop_listening(&port);
	plait_deferred_free(&d);
	run_turns(reactor, 2);
	ck_assert_str_eq(server.trace, "SX");
}

STORY_ON(a_freed_port_ends_as_one_that_stops, ON_EACH_REACTOR,
	 "server listens; server stops-listening; server trace S; turn 2;"
	 "server trace SX",
	 "virtual; server listens; server stops-listening; free-reactor;"
	 "server trace SX");

TEST(freeing_no_port_does_nothing, PURE)
{
	plait_port_free(&port);
	ck_assert_ptr_null(port);
}

TEST(one_factory_may_serve_several_ports, ON_EACH_KERNEL)
{
	struct plait_port *second = NULL;

	actor_listen(&server, reactor, &port);
	actor_listen(&server, reactor, &second);
	ck_assert_str_eq(server.trace, "S");
	actor_stop(reactor, &port);
	ck_assert_str_eq(server.trace, "S");
	actor_stop(reactor, &second);
	ck_assert_str_eq(server.trace, "SX");
}

/* A factory that is allocated for one port. */
static struct {
	unsigned stops, dones, lost;
	struct plait_transport *transport;
} of_heap;

static void heap_stop(struct plait_factory *f)
{
	of_heap.stops++;
}

static void heap_done(struct plait_factory *f)
{
	of_heap.dones++;
	free(f);
}

static void heap_made(struct plait_protocol *p)
{
	of_heap.transport = p->transport;
}

static void heap_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	of_heap.lost++;
}

static struct plait_factory *heap_factory(void)
{
	static const struct plait_factory_ops ops = {
		.name = "heap",
		.stop = heap_stop,
		.done = heap_done,
	};
	static const struct plait_protocol_ops protocol_ops = {
		.name = "heap",
		.connection_made = heap_made,
		.connection_lost = heap_lost,
	};
	struct plait_factory *f = calloc(1, sizeof(*f));

	ck_assert_ptr_nonnull(f);
	f->ops = &ops;
	f->protocol = &protocol_ops;
	return f;
}

TEST(a_connection_outlives_its_port_and_then_its_factory_is_done,
     ON_EACH_KERNEL)
{
	const struct plait_listen_options o = { .iface = "127.0.0.1" };
	struct plait_address at;

	memset(&of_heap, 0, sizeof(of_heap));
	ck_assert_int_eq(
		plait_listen_tcp(reactor, 0, heap_factory(), &o, &port), 0);
	plait_port_host(port, &at);
	actor_connect(&client, reactor, plait_address_port(&at));
	while (of_heap.transport == NULL)
		run_turns(reactor, 1);
	plait_port_free(&port);
	run_turns(reactor, 2);
	ck_assert_uint_eq(of_heap.stops, 1);
	ck_assert_uint_eq(of_heap.dones, 0);
	plait_transport_abort_connection(of_heap.transport);
	run_until_count(reactor, &of_heap.dones, 1);
	ck_assert_uint_eq(of_heap.lost, 1);
	actor_wait_idle(&client, reactor);
}

#define IN_A_BURST                                                             \
	"server listens; a knocks; b knocks; c knocks; d knocks;"              \
	"until server stopped 1; a closes; b closes; c closes; d leaves;"      \
	"server builds 2"

/* The first connection comes alone, and the next two in one turn. */
STORY(stopped_while_accepting_takes_no_other,
      "server M { server M { server stops-listening } }" IN_A_BURST);

STORY(stopped_while_building_serves_that_one,
      "server B { server B { server stops-listening } }" IN_A_BURST
      "; server made 2");

GROUP("listening", .setup = stage_setup, .teardown = stage_teardown);

TEST(connections_share_the_options_of_the_port, ON_EACH_BACKEND, TIMES(2))
{
	const struct plait_listen_options o = {
		.iface = "127.0.0.1",
		.no_delay = _i,
		.keep_alive = _i,
		.no_address_reuse = _i,
	};
	struct plait_address a;
	int fd;

	ck_assert_int_eq(plait_listen_tcp(reactor, 0, &server.base, &o, &port),
			 0);
	plait_port_host(port, &a);
	ck_assert_int_eq(
		socket_option(listening_socket(), SOL_SOCKET, SO_REUSEADDR),
		!_i);
	fd = connect_peer(plait_address_port(&a));
	ck_assert_int_eq(socket_option(other_end(fd), IPPROTO_TCP, TCP_NODELAY),
			 _i);
	ck_assert_int_eq(socket_option(other_end(fd), SOL_SOCKET, SO_KEEPALIVE),
			 _i);
	hang_up(fd);
	actor_stop(reactor, &port);
}

TEST(ipv6_is_served, ON_EACH_BACKEND)
{
	const struct plait_listen_options o = { .iface = "::1",
						.ipv6_only = true };
	struct sockaddr_in6 to = { .sin6_family = AF_INET6 };
	struct plait_address a;
	char text[PLAIT_ADDRESS_SIZE];
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = plait_listen_tcp(reactor, 0, &server.base, &o, &port);

	/* Not every machine has IPv6. */
	if (fd >= 0 && r == 0) {
		plait_port_host(port, &a);
		to.sin6_addr = in6addr_loopback;
		to.sin6_port = htons((uint16_t)plait_address_port(&a));
		ck_assert_int_eq(
			connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
		stranger_is_not(fd);
		run_until_count(reactor, &server.made, 1);
		plait_address_host(&server.peer, text, sizeof(text));
		ck_assert_str_eq(text, "::1");
	}
	hang_up(fd);
	actor_stop(reactor, &port);
}

TEST(ipv4_is_served_on_the_same_port_unless_refused, ON_EACH_BACKEND, TIMES(2))
{
	const struct plait_listen_options o = { .iface = "::",
						.ipv6_only = _i };
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct plait_address a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (plait_listen_tcp(reactor, 0, &server.base, &o, &port) == 0) {
		plait_port_host(port, &a);
		to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		to.sin_port = htons((uint16_t)plait_address_port(&a));
		ck_assert_int_eq(
			connect(fd, (struct sockaddr *)&to, sizeof(to)),
			_i ? -1 : 0);
		stranger_is_not(fd);
		if (!_i)
			run_until_count(reactor, &server.made, 1);
	}
	hang_up(fd);
	actor_stop(reactor, &port);
}

GROUP("accepting", .setup = stage_setup, .teardown = stage_teardown);

TEST(a_lone_connection_costs_one_accept, ON_EACH_BACKEND)
{
	unsigned number = actor_listen(&server, reactor, &port);

	calls_reset();
	for (int i = 0; i < 10; i++)
		hang_up(connect_peer(number));
	ck_assert_uint_eq(calls_of("accept4"), 10);
	ck_assert_uint_eq(calls_of("getsockname"), 0);
	ck_assert_uint_eq(calls_of("getpeername"), 0);
	ck_assert_uint_eq(calls_of("setsockopt"), 0);
	/* select() has to look whether the descriptor is good. */
	if (strcmp(backend, "select") != 0)
		ck_assert_uint_eq(calls_of("fcntl"), 0);
	ck_assert_uint_eq(calls_of("ioctl"), 0);
	actor_stop(reactor, &port);
}

/* One in each turn: a larger budget finds nobody, and is tried less often. */
TEST(clients_who_come_one_by_one_cost_little_more_than_one_accept,
     ON_EACH_BACKEND)
{
	enum { N = 100, IN_VAIN = 6 };
	unsigned number = actor_listen(&server, reactor, &port);
	int fds[N];

	calls_reset();
	for (unsigned i = 0; i < N; i++) {
		fds[i] = peer_connect((uint16_t)number);
		run_turns(reactor, 1);
		ck_assert_uint_eq(server.made, i + 1);
	}
	ck_assert_uint_le(calls_of("accept4"), N + IN_VAIN);
	for (int i = 0; i < N; i++)
		close(fds[i]);
	run_until_count(reactor, &server.lost, N);
	run_turns(reactor, 3);
	actor_stop(reactor, &port);
}

enum { BURST = 200 };

TEST(a_burst_is_accepted_in_bounded_turns, ON_EACH_BACKEND)
{
	unsigned number = actor_listen(&server, reactor, &port);
	unsigned before, turns = 0;
	int fds[BURST];

	for (int i = 0; i < BURST; i++)
		fds[i] = peer_connect((uint16_t)number);
	for (; server.made < BURST; turns++) {
		before = server.made;
		run_turns(reactor, 1);
		ck_assert_uint_le(server.made - before, 32);
	}
	/* 1 + 2 + 4 + 8 + 16 + 32 ... */
	ck_assert_uint_le(turns, 14);
	for (int i = 0; i < BURST; i++)
		close(fds[i]);
	run_until_count(reactor, &server.lost, BURST);
	run_turns(reactor, 3);
	actor_stop(reactor, &port);
}

static void set_flag(void *arg)
{
	*(bool *)arg = true;
}

TEST(a_burst_does_not_hold_up_a_timer, ON_EACH_BACKEND)
{
	unsigned number = actor_listen(&server, reactor, &port);
	struct plait_timer timer = { .reactor = NULL };
	bool due = false;
	int fds[BURST];

	for (int i = 0; i < BURST; i++)
		fds[i] = peer_connect((uint16_t)number);
	plait_timer_start(reactor, &timer, 0, set_flag, &due);
	run_turns(reactor, 2);
	ck_assert(due);
	ck_assert_uint_lt(server.made, BURST);
	run_until_count(reactor, &server.made, BURST);
	for (int i = 0; i < BURST; i++)
		close(fds[i]);
	run_until_count(reactor, &server.lost, BURST);
	run_turns(reactor, 3);
	actor_stop(reactor, &port);
}

/* How many open descriptors a child would inherit. */
static unsigned inherited(void)
{
	unsigned n = 0;
	int flags;

	for (int fd = 0; fd < 256; fd++) {
		flags = fcntl(fd, F_GETFD);
		n += flags >= 0 && !(flags & FD_CLOEXEC);
	}
	return n;
}

GROUP("listening", .setup = stage_setup, .teardown = stage_teardown);

TEST(no_descriptor_is_inherited_or_blocks, ON_EACH_BACKEND)
{
	unsigned before = inherited();
	unsigned number = actor_listen(&server, reactor, &port);
	int fd = connect_peer(number);

	ck_assert_uint_eq(inherited(), before);
	ck_assert(fcntl(listening_socket(), F_GETFL) & O_NONBLOCK);
	ck_assert(fcntl(other_end(fd), F_GETFL) & O_NONBLOCK);
	hang_up(fd);
	actor_stop(reactor, &port);
}

TEST(a_port_can_say_what_it_is, ON_EACH_KERNEL)
{
	unsigned number = actor_listen(&server, reactor, &port);
	char text[64], wanted[64];

	snprintf(wanted, sizeof(wanted), "port on 127.0.0.1:%u, listening",
		 number);
	ck_assert_int_eq(plait_port_str(port, text, sizeof(text)),
			 (int)strlen(wanted));
	ck_assert_str_eq(text, wanted);
	ck_assert_int_eq(plait_port_str(port, NULL, 0), (int)strlen(wanted));
	actor_stop(reactor, &port);
}

/* In the child: the parent's reactor refuses, and can be freed. */
static _Noreturn void be_child(void)
{
	struct plait_port *none;
	bool good = plait_listen_tcp(reactor, 0, &server.base, NULL, &none) ==
		    -ECHILD;

	plait_reactor_free(&reactor);
	_exit(good && server.stops == 0 ? 0 : 1);
}

static int connect_raw(unsigned number)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)number),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int err = connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? errno : 0;

	stranger_is_not(fd);
	close(fd);
	return err;
}

/* Its peers would wait in a queue that nobody accepts from. */
TEST(a_child_that_holds_the_port_does_not_keep_it_listening, ON_EACH_BACKEND)
{
	uint16_t number;
	int kept = peer_keep_port(&number);
	pid_t child;

	listen_on(number);
	child = child_hold();
	ck_assert_int_eq(connect_raw(number), 0);
	run_until_count(reactor, &server.lost, 1);
	actor_stop(reactor, &port);
	ck_assert_int_eq(connect_raw(number), ECONNREFUSED);
	child_let_go(child);
	close(kept);
}

static pid_t holder;

static void hold_here(struct actor *a)
{
	holder = child_hold();
}

/* The factory refuses, or there is no memory for it, or for the stream. */
TEST(a_child_that_holds_who_is_refused_does_not_keep_it_waiting,
     ON_EACH_BACKEND, TIMES(3))
{
	unsigned number = actor_listen(&server, reactor, &port);
	int fd;

	server.refuses = _i == 0;
	server.has_no_memory = _i == 1;
	server.on_build = hold_here;
	unhandled_expect(_i == 0 ? 0 : 1);
	if (_i == 2)
		fault_call("malloc", 1, ENOMEM);
	fd = connect_peer(number);
	ck_assert_int_lt(peer_read_to_eof(reactor, fd, NULL, 0), 1);
	close(fd);
	actor_stop(reactor, &port);
	child_let_go(holder);
}

TEST(a_forked_child_leaves_the_port_alone, ON_EACH_BACKEND)
{
	unsigned number = actor_listen(&server, reactor, &port);
	pid_t pid = fork();

	if (pid == 0)
		be_child();
	child_ends(pid);
	hang_up(connect_peer(number));
	actor_stop(reactor, &port);
}

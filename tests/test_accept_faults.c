/*
 * What accept() and its neighbours can say to a port: it skips, sheds or
 * waits, tells somebody, never spins, and never dies of it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "tests/child.h"
#include "tests/stage.h"

static void listen_now(void)
{
	stage_listen();
	calls_reset();
}

static int connect_peer(void)
{
	return peer_connect((uint16_t)server_number);
}

static const char *wait_call(void)
{
	return strcmp(backend, "select") == 0 ? "select" : "epoll_wait";
}

/* Serves that connection, or one more if it is -1, and stops. */
static void serve_and_stop(int fd)
{
	unsigned wanted = 1;

	if (fd < 0) {
		wanted = server.made + 1;
		fd = connect_peer();
	}
	run_until_count(reactor, &server.made, wanted);
	close(fd);
	run_until_count(reactor, &server.lost, server.made);
	run_turns(reactor, 3);
	actor_stop(reactor, &port);
}

/* All that may be wrong with one connection, or pass by itself. */
static const int skipped[] = {
	ECONNABORTED, EPROTO,	   EPERM,     EINTR,	    EAGAIN,
	ENETDOWN,     ENETUNREACH, EHOSTDOWN, EHOSTUNREACH, ENONET,
	ENOPROTOOPT,  EOPNOTSUPP,  ETIMEDOUT,
};

/* What is missing, or what should not be. */
static const int waited_for[] = { ENOBUFS, ENOMEM, EINVAL, EIO };

enum {
	N_SKIPPED = sizeof(skipped) / sizeof(skipped[0]),
	N_WAITED_FOR = sizeof(waited_for) / sizeof(waited_for[0])
};

GROUP("accept", .setup = stage_setup, .teardown = stage_teardown);

TEST(a_passing_error_skips_one_connection, ON_EACH_BACKEND, TIMES(N_SKIPPED))
{
	listen_now();
	fault_call("accept4", 1 + (unsigned)_i % 3, skipped[_i]);
	serve_and_stop(-1);
	ck_assert(fault_used("accept4"));
	ck_assert_uint_eq(server.made, 1);
}

TEST(passing_errors_for_ever_let_others_live, ON_EACH_BACKEND, TIMES(N_SKIPPED))
{
	struct plait_port *other = NULL;
	struct actor neighbour;
	int fd;

	actor_init(&neighbour);
	listen_now();
	fd = connect_peer();
	fault_call_forever("accept4", skipped[_i]);
	calls_reset();
	run_turns(reactor, 100);
	/* At most the bound of each turn. */
	ck_assert_uint_le(calls_of("accept4"), 100 * 32);
	fault_off();
	actor_listen(&neighbour, reactor, &other);
	actor_stop(reactor, &other);
	serve_and_stop(fd);
}

TEST(a_lasting_error_is_waited_for, ON_EACH_BACKEND, TIMES(N_WAITED_FOR))
{
	int fd;

	clock_virtual(true);
	unhandled_expect(1);
	listen_now();
	fd = connect_peer();
	fault_call_forever("accept4", waited_for[_i]);
	run_for(reactor, 0.95);
	/* Ten times a second, and nothing in between. */
	ck_assert_uint_ge(calls_of("accept4"), 9);
	ck_assert_uint_le(calls_of("accept4"), 10);
	ck_assert_uint_le(calls_of(wait_call()), 25);
	ck_assert_uint_eq(unhandled_count(), 1);
	ck_assert_ptr_nonnull(strstr(unhandled_text(), "waits"));
	fault_off();
	clock_virtual(true);
	serve_and_stop(fd);
}

STORY(stopped_while_it_waits_leaves_no_timer,
      "virtual; unhandled 1; server listens; count; a knocks;"
      "fail accept4 ENOBUFS; turn 2; calls accept4 1; server stops; wait 10;"
      "server trace SX");

/* One more is let in, and the port stops. */
#define SERVES "d connects; d leaves; server stops"

/* Out of descriptors. */
static const int missing[] = { EMFILE, ENFILE };

GROUP("descriptors", .setup = stage_setup, .teardown = stage_teardown);

#define SHED(err)                                                              \
	"unhandled 1; server listens; count; fail accept4 " err "; a knocks;"  \
	"a gets end; a closes; server builds 0; calls accept4 2;"              \
	"reported OSError: out of descriptors: connection from 127.0.0.1:;"    \
	"reported refused; " SERVES

STORY(the_reserve_sheds_a_connection, SHED("EMFILE"), SHED("ENFILE"));

/* In a child, which has a reactor of its own. */
static void shed_one(void *arg)
{
	struct plait_reactor *r = plait_reactor_new(arg);
	int fd;

	server_number = actor_listen(&server, r, &port);
	fault_call("accept4", 1, EMFILE);
	fd = connect_peer();
	peer_read_to_eof(r, fd, NULL, 0);
	close(fd);
	plait_reactor_free(&r);
}

TEST(refusing_is_not_called_a_deferreds_error, ON_EACH_BACKEND)
{
	static const char line[] = "Error in a port: OSError: out of "
				   "descriptors: connection from 127.0.0.1:";
	const char *said;
	char name[16];

	snprintf(name, sizeof(name), "%s", backend);
	ck_assert_int_eq(child_run(shed_one, name, &said), 0);
	ck_assert_msg(strncmp(said, line, sizeof(line) - 1) == 0, "%s", said);
	ck_assert_ptr_nonnull(strstr(said, " refused: Too many open files\n"));
}

/* The kernel says that descriptors are missing before it looks. */
#define EMPTY(err)                                                             \
	"server listens; fail accept4 " err "; fail accept4 EAGAIN; count;"    \
	"a knocks; a closes; turn; calls accept4 2; reported 0;"               \
	"until server lost 1; " SERVES

STORY(an_empty_queue_is_not_shed_twice, EMPTY("EMFILE"), EMPTY("ENFILE"));

TEST(when_even_shedding_fails_it_waits, ON_EACH_BACKEND, TIMES(2))
{
	int fd;

	clock_virtual(true);
	unhandled_expect(1);
	listen_now();
	fd = connect_peer();
	fault_call_forever("accept4", missing[_i]);
	run_turns(reactor, 1);
	ck_assert_uint_eq(calls_of("accept4"), 2);
	run_for(reactor, 0.95);
	ck_assert_uint_le(calls_of("accept4"), 20);
	ck_assert_uint_le(calls_of(wait_call()), 25);
	fault_off();
	clock_virtual(true);
	serve_and_stop(fd);
}

static void stop_port(const struct plait_failure *why, void *arg)
{
	plait_port_free(&port);
}

/* Told of the connection that was refused, the program has had enough. */
TEST(a_port_that_is_stopped_by_the_report_does_not_wait, ON_EACH_BACKEND,
     TIMES(2))
{
	int fd;

	clock_virtual(true);
	plait_set_unhandled_hook(stop_port, NULL);
	listen_now();
	fd = connect_peer();
	fault_call("accept4", 1, missing[_i]);
	fault_call("open", 1, EMFILE); /* the reserve */
	run_turns(reactor, 3);
	ck_assert_ptr_null(port);
	ck_assert_uint_eq(server.stops, 1);
	ck_assert_int_eq(plait_reactor_iterate(reactor, 60), 0);
	ck_assert_double_ge(wait_timeout(), 59);
	close(fd);
}

STORY(a_lost_reserve_is_made_again,
      "virtual; unhandled 1; server listens; fail accept4 EMFILE;"
      "fail open EMFILE 2; a knocks; b knocks; a gets end; a closes;"
      "wait 0.15; used open; until server made 1; b leaves;"
      "fail accept4 EMFILE; count; " SERVES "; calls accept4 2; calls open 1");

TEST(reports_come_once_a_second, ON_EACH_BACKEND)
{
	int fd;

	clock_virtual(true);
	unhandled_expect(2);
	listen_now();
	for (int i = 0; i < 20; i++) {
		fault_call("accept4", 1, EMFILE);
		fd = connect_peer();
		ck_assert_int_eq(peer_read_to_eof(reactor, fd, NULL, 0), 0);
		close(fd);
		if (i == 9) {
			ck_assert_uint_eq(unhandled_count(), 1);
			clock_advance(1);
		}
	}
	ck_assert_uint_eq(unhandled_count(), 2);
	serve_and_stop(-1);
}

/* Takes all descriptors, and gives them back. */
struct hoard {
	struct rlimit old;
	int fds[64];
	int n;
};

static void take_all(struct hoard *h)
{
	struct rlimit low;
	int fd;

	h->n = 0;
	getrlimit(RLIMIT_NOFILE, &h->old);
	low = h->old;
	low.rlim_cur = sizeof(h->fds) / sizeof(h->fds[0]);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		h->fds[h->n++] = fd;
	ck_assert_int_eq(errno, EMFILE);
}

static void give_back(struct hoard *h)
{
	while (h->n > 0)
		close(h->fds[--h->n]);
	setrlimit(RLIMIT_NOFILE, &h->old);
}

enum { CROWD = 10 };

/* How many of them have been hung up. */
static unsigned count_shed(const int *fds)
{
	unsigned n = 0;
	char byte;

	for (int i = 0; i < CROWD; i++)
		n += recv(fds[i], &byte, 1, MSG_DONTWAIT) == 0;
	return n;
}

TEST(really_out_of_descriptors_it_sheds_and_recovers, ON_EACH_BACKEND)
{
	int fds[CROWD], first;
	struct hoard hoard;

	unhandled_expect(1);
	server.on_data = actor_echo;
	listen_now();
	first = connect_peer();
	run_until_count(reactor, &server.made, 1);
	for (int i = 0; i < CROWD; i++)
		fds[i] = connect_peer();
	take_all(&hoard);
	calls_reset();
	run_turns(reactor, 3 * CROWD);
	/* All are gone, and then there is nothing to wake up for. */
	ck_assert_uint_eq(count_shed(fds), CROWD);
	ck_assert_uint_le(calls_of("accept4"), 2 * CROWD + 10);
	ck_assert_uint_eq(server.made, 1);
	/* Who was in before is served. */
	peer_say(first, "hello");
	ck_assert_int_eq(peer_read(reactor, first, NULL, 5), 5);
	give_back(&hoard);
	for (int i = 0; i < CROWD; i++)
		close(fds[i]);
	close(first);
	serve_and_stop(-1);
}

GROUP("neighbours", .setup = stage_setup, .teardown = stage_teardown);

/* Faults after the accept. */
STORY(no_memory_for_a_protocol_closes_the_connection,
      "unhandled 1; server listens; server has-no-memory; a knocks; a gets end;"
      "a closes; server trace SB; reported out of memory; server "
      "accepts; " SERVES);

/* The protocol is the next allocation, the transport the one after. */
static void refuse_transport(struct actor *a)
{
	fault_alloc_at(1, false);
	a->on_build = NULL;
}

TEST(no_memory_for_a_transport_closes_the_connection, ON_EACH_BACKEND)
{
	int fd;

	unhandled_expect(1);
	listen_now();
	server.on_build = refuse_transport;
	fd = connect_peer();
	ck_assert_int_eq(peer_read_to_eof(reactor, fd, NULL, 0), 0);
	close(fd);
	ck_assert(fault_alloc_reached());
	ck_assert_str_eq(server.trace, "SB");
	serve_and_stop(-1);
}

STORY(a_connection_that_cannot_be_watched_is_closed,
      "epoll-only; unhandled 1; server listens; turn; fail epoll_ctl ENOSPC;"
      "a knocks; a gets end; a closes; server trace SB;"
      "reported the system refused: connection; " SERVES);

GROUP("accept", .setup = stage_setup, .teardown = stage_teardown);

STORY(a_port_that_cannot_be_watched_again_tries_later,
      "epoll-only; virtual; unhandled 1; server listens; fail accept4 ENOBUFS;"
      "pass epoll_ctl 1; fail epoll_ctl ENOMEM 3; " SERVES "; used epoll_ctl");

/* Ten tries a second, and a report a second. */
STORY(a_port_that_is_not_watched_for_long_is_reported_again,
      "epoll-only; virtual; server listens; fail accept4 ENOBUFS;"
      "pass epoll_ctl 1; fail epoll_ctl ENOMEM 25; " SERVES ";"
      "reported waits; reported 3; unhandled 3");

static bool is_reported(void *arg)
{
	return unhandled_count() == 1;
}

/* Somebody else closed the port's descriptor. */
TEST(a_lost_descriptor_is_told, ON_EACH_BACKEND)
{
	int fd;

	listen_now();
	fd = listening_socket();
	if (strcmp(backend, "select") == 0) {
		unhandled_expect(1);
		close(fd);
		run_until(reactor, is_reported, NULL);
		ck_assert_ptr_nonnull(
			strstr(unhandled_text(), "lost its descriptor"));
		/* The number is another's now, and left alone. */
		ck_assert_int_eq(open("/dev/null", O_RDONLY | O_CLOEXEC), fd);
		actor_stop(reactor, &port);
		run_turns(reactor, 2);
		ck_assert_int_eq(close(fd), 0);
	}
	actor_stop(reactor, &port);
	ck_assert_str_eq(server.trace, "SX");
}

/* Faults before there is a port. */
static const struct {
	const char *call;
	int err, result;
} listening[] = {
	{ "socket", EMFILE, -EMFILE },
	{ "socket", ENOBUFS, -ENOBUFS },
	{ "setsockopt", ENOBUFS, -ENOBUFS },
	{ "bind", EADDRINUSE, -EADDRINUSE },
	{ "bind", EACCES, -EACCES },
	{ "listen", EADDRINUSE, -EADDRINUSE },
	{ "getsockname", ENOBUFS, -ENOTCONN },
	{ "open", EMFILE, -EMFILE },
};

GROUP("neighbours", .setup = stage_setup, .teardown = stage_teardown);

TEST(what_fails_while_listening_is_returned, ON_EACH_BACKEND,
     EACH_OF(listening))
{
	const struct plait_listen_options o = { .iface = "127.0.0.1" };

	fault_call(listening[_i].call, 1, listening[_i].err);
	ck_assert_int_eq(plait_listen_tcp(reactor, 0, &server.base, &o, &port),
			 listening[_i].result);
	ck_assert_ptr_null(port);
	ck_assert_str_eq(server.trace, "");
	listen_now();
	serve_and_stop(-1);
}

STORY(an_option_that_is_refused_is_returned,
      "option no_delay; option keep_alive; pass setsockopt 0;"
      "fail setsockopt ENOBUFS; server listens ENOBUFS; used setsockopt;"
      "server starts 0",
      "option no_delay; option keep_alive; pass setsockopt 1;"
      "fail setsockopt ENOBUFS; server listens ENOBUFS; used setsockopt;"
      "server starts 0",
      "option no_delay; option keep_alive; pass setsockopt 2;"
      "fail setsockopt ENOBUFS; server listens ENOBUFS; used setsockopt;"
      "server starts 0");

STORY(no_memory_while_listening_is_returned,
      "no-memory; server listens ENOMEM; memory; server starts 0");

static plait_value expect_no_memory(plait_value *result, void *arg)
{
	*(bool *)arg = plait_failure_check(plait_value_failure(result),
					   &plait_error_no_memory);
	return PLAIT_NONE;
}

TEST(without_memory_for_the_answer_it_still_stops, ON_EACH_BACKEND)
{
	struct plait_deferred *d;
	bool told = false;

	listen_now();
	fault_alloc_at(0, false);
	d = plait_port_stop_listening(&port);
	plait_deferred_add_errback(d, expect_no_memory, &told);
	plait_deferred_free(&d);
	ck_assert(told);
	run_turns(reactor, 2);
	ck_assert_str_eq(server.trace, "SX");
}

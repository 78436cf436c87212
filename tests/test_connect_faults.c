/*
 * What the system can say to an attempt to connect: each way to fail is told
 * once, from the loop, by its name, and leaves nothing open.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

#include "tests/stage.h"

/* What fails with which errno, and what that is called. */
static const struct {
	const char *call;
	int err;
	const struct plait_error *kind;
} failures[] = {
	{ "connect", ECONNREFUSED, &plait_error_connection_refused },
	{ "connect", ENETUNREACH, &plait_error_no_route },
	{ "connect", EHOSTUNREACH, &plait_error_no_route },
	{ "connect", ETIMEDOUT, &plait_error_tcp_timed_out },
	{ "connect", EADDRNOTAVAIL, &plait_error_connect },
	{ "connect", EAGAIN, &plait_error_connect },
	{ "connect", EACCES, &plait_error_connect },
	{ "connect", ENOBUFS, &plait_error_connect },
	{ "connect", ENOMEM, &plait_error_connect },
	{ "socket", EMFILE, &plait_error_connect },
	{ "socket", ENFILE, &plait_error_connect },
	{ "socket", EAFNOSUPPORT, &plait_error_connect },
	{ "bind", EADDRINUSE, &plait_error_bind },
	{ "bind", EADDRNOTAVAIL, &plait_error_bind },
	{ "bind", EACCES, &plait_error_bind },
	{ "setsockopt", ENOBUFS, &plait_error_connect },
};

GROUP("calls", .setup = stage_setup, .teardown = stage_teardown);

TEST(every_failure_has_its_name, ON_EACH_KERNEL, EACH_OF(failures))
{
	const struct plait_connect_options o = {
		.bind_address = "127.0.0.1",
		.no_delay = true,
		.keep_alive = true,
	};

	stage_listen();
	fault_call(failures[_i].call, 1, failures[_i].err);
	plait_connect_tcp(reactor, "127.0.0.1", server_number, &client.base,
			  &o);
	ck_assert_str_eq(client.trace, "Sc");
	actor_wait_idle(&client, reactor);
	ck_assert(fault_used(failures[_i].call));
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, failures[_i].kind);
	ck_assert_int_eq(client.err, failures[_i].err);
	stage_over();
	ck_assert_str_eq(client.trace, "ScFX");
}

static void connect_once_more(struct actor *a)
{
	if (a->started < 2)
		ck_assert_int_eq(plait_connector_connect(a->connector), 0);
}

TEST(after_every_failure_it_can_connect_again, ON_EACH_KERNEL,
     EACH_OF(failures))
{
	const struct plait_connect_options o = {
		.bind_address = "127.0.0.1",
		.no_delay = true,
	};

	stage_listen();
	client.on_failed = connect_once_more;
	client.on_made = actor_lose;
	fault_call(failures[_i].call, 1, failures[_i].err);
	plait_connect_tcp(reactor, "127.0.0.1", server_number, &client.base,
			  &o);
	stage_over();
	ck_assert_str_eq(client.trace, "ScFcBMLCX");
}

/* The second setsockopt() of an attempt. */
STORY(an_option_that_is_refused_fails_the_attempt,
      "server listens; option no_delay; option keep_alive; pass setsockopt 1;"
      "fail setsockopt ENOBUFS; client connects; over; client trace ScFX;"
      "client errno ENOBUFS");

#define IN_PROGRESS(err)                                                       \
	"client M { client loses } server listens; fail connect " err ";"      \
	"count; client connects; over; calls connect 1; calls getsockopt 0;"   \
	"client trace ScBMLCX"

/* In progress, and interrupted, which is the same. */
STORY(what_is_in_progress_is_waited_for, IN_PROGRESS("EINPROGRESS"),
      IN_PROGRESS("EINTR"));

STORY(what_was_in_progress_may_be_refused,
      "fail connect EINPROGRESS; client connects; over; client trace ScFX;"
      "client kind ConnectionRefusedError",
      "fail connect EINTR; client connects; over; client trace ScFX;"
      "client kind ConnectionRefusedError");

/* One that has failed is asked why, and may not say it. */
STORY(a_failure_that_is_not_told_is_a_failure,
      "fail connect EINPROGRESS; fail getsockopt ENOBUFS; client connects;"
      "over; client trace ScFX; client kind ConnectError; client errno ENOBUFS",
      "fail getsockopt EBADF; client connects; over; client trace ScFX;"
      "client kind ConnectError; client errno EBADF");

/* The library's socket that is connected to that port. */
static int client_fd(unsigned to)
{
	struct sockaddr_in theirs;
	socklen_t len;

	for (int fd = 3; fd < 1024; fd++) {
		len = sizeof(theirs);
		if (getpeername(fd, (struct sockaddr *)&theirs, &len) == 0 &&
		    ntohs(theirs.sin_port) == to)
			return fd;
	}
	ck_abort_msg("nobody has connected");
}

TEST(options_are_set_if_wanted, ON_EACH_BACKEND, TIMES(2))
{
	const struct plait_connect_options o = { .no_delay = _i,
						 .keep_alive = _i };
	int fd;

	stage_listen();
	calls_reset();
	plait_connect_tcp(reactor, "127.0.0.1", server_number, &client.base,
			  &o);
	run_until_count(reactor, &client.made, 1);
	fd = client_fd(server_number);
	ck_assert_int_eq(socket_option(fd, IPPROTO_TCP, TCP_NODELAY), _i);
	ck_assert_int_eq(socket_option(fd, SOL_SOCKET, SO_KEEPALIVE), _i);
	ck_assert_uint_eq(calls_of("setsockopt"), _i ? 2 : 0);
	ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
	ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	plait_transport_lose_connection(client.transport);
	stage_over();
}

/*
 * The kernel may choose, for this end of a connection to a port of this
 * machine that nobody listens on, that very port.
 */
TEST(connecting_to_oneself_is_refused, ON_EACH_BACKEND, TIMES(2))
{
	uint16_t own;
	int held = peer_hold_port(&own);
	int pid = getpid();
	char address[32];
	struct plait_connect_options o = { .bind_address = address,
					   .bind_port = own };

	/* An address of this process: an earlier one's may be in TIME_WAIT.
	   Held on 127.0.0.1, the port is nobody else's on it. */
	snprintf(address, sizeof(address), "127.%d.%d.%d", pid >> 15 & 127,
		 pid >> 7 & 255, 2 + (pid & 127));

	plait_connect_tcp(reactor, _i ? address : "0.0.0.0", own, &client.base,
			  &o);
	actor_wait_idle(&client, reactor);
	run_turns(reactor, 2);
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, &plait_error_connection_refused);
	close(held);
}

STORY(not_knowing_ones_address_is_no_failure,
      "client M { client loses } server listens; fail getsockname ENOBUFS;"
      "client connects; over; client trace ScBMLCX");

/* epoll_ctl() refuses to watch: the connecting socket, then the stream. */
STORY(what_cannot_be_watched_has_failed,
      "epoll-only; server listens; turn; fail connect EINPROGRESS;"
      "fail epoll_ctl ENOSPC; client connects; over; used epoll_ctl;"
      "client trace ScFX; client errno ENOSPC");

/* The registration of the attempt cannot become that of the connection. */
TEST(a_watch_that_cannot_be_changed_fails_the_attempt, ON_EACH_BACKEND)
{
	uint16_t number;
	int listener = peer_listen(&number, 1);

	if (strcmp(backend, "epoll") == 0) {
		fault_pass("epoll_ctl", 1);
		fault_call("epoll_ctl", 1, ENOSPC);
		actor_connect(&client, reactor, number);
		stage_over();
		ck_assert_str_eq(client.trace, "ScBFX");
		ck_assert_int_eq(client.err, ENOSPC);
	}
	close(listener);
}

/* The number of a descriptor that was closed is anybody's. */
static void take_the_number(struct actor *a)
{
	int *fd = a->arg;

	ck_assert_int_eq(open("/dev/null", O_RDONLY | O_CLOEXEC), *fd);
}

/* Somebody else closed the socket; select() alone notices that. */
TEST(a_lost_descriptor_has_failed, ON_EACH_BACKEND)
{
	uint16_t full;
	int listener = peer_listen(&full, 0), waiting = peer_connect(full);
	int fd = dup(listener);

	if (strcmp(backend, "select") == 0) {
		close(fd);
		client.on_failed = take_the_number;
		client.arg = &fd;
		actor_connect(&client, reactor, full);
		run_turns(reactor, 1);
		ck_assert_str_eq(client.trace, "Sc");
		close(fd);
		stage_over();
		ck_assert_str_eq(client.trace, "ScFX");
		ck_assert_int_eq(client.err, EBADF);
	}
	ck_assert_int_eq(close(fd), 0);
	close(waiting);
	close(listener);
}

static void say_and_lose(struct actor *a, struct plait_protocol *p)
{
	plait_transport_write(p->transport, "x", 1);
	plait_transport_lose_connection(p->transport);
}

static void hold(struct actor *a, struct plait_protocol *p)
{
	plait_transport_pause_reading(p->transport);
}

/* The same while the connection lingers: all were told already. */
TEST(a_descriptor_lost_while_lingering_is_nothing, ON_EACH_KERNEL)
{
	int fd;

	stage_listen();
	fd = dup(0);
	close(fd);
	client.on_made = say_and_lose;
	server.on_made = hold;
	actor_connect(&client, reactor, server_number);
	run_until_count(reactor, &client.client_lost, 1);
	run_until_count(reactor, &server.made, 1);
	if (strcmp(backend, "select") == 0) {
		close(fd);
		run_turns(reactor, 3);
		ck_assert_int_eq(open("/dev/null", O_RDONLY | O_CLOEXEC), fd);
	}
	plait_transport_abort_connection(server.transport);
	stage_over();
	ck_assert_str_eq(client.trace, "ScBMLCX");
	if (strcmp(backend, "select") == 0)
		ck_assert_int_eq(close(fd), 0);
}

/* The protocol is the next allocation, the transport the one after. */
static void refuse_transport(struct actor *a)
{
	fault_alloc_at(1, false);
	a->on_build = NULL;
}

GROUP("memory", .setup = stage_setup, .teardown = stage_teardown);

TEST(no_memory_for_the_transport_has_failed, ON_EACH_KERNEL)
{
	stage_listen();
	client.on_build = refuse_transport;
	client.on_failed = connect_once_more;
	client.on_made = actor_lose;
	actor_connect(&client, reactor, server_number);
	stage_over();
	ck_assert(fault_alloc_reached());
	ck_assert_str_eq(client.trace, "ScBFcBMLCX");
	ck_assert_ptr_eq(client.kind, &plait_error_connection_done);
}

/* No memory for the connector. */
static void expect_none(struct actor *a)
{
	ck_assert_ptr_null(a->connector);
	ck_assert_ptr_eq(a->kind, &plait_error_no_memory);
}

TEST(without_memory_for_a_connector_the_factory_is_told, ON_EACH_KERNEL)
{
	client.on_failed = expect_none;
	for (int i = 0; i < 3; i++) {
		fault_alloc_at(0, false);
		errno = 0;
		ck_assert_ptr_null(actor_connect(&client, reactor, 1));
		ck_assert_int_eq(errno, ENOMEM);
	}
	ck_assert_str_eq(client.trace, "S");
	run_turns(reactor, 1);
	ck_assert_str_eq(client.trace, "SFFFX");
}

static void connect_without_memory(struct actor *a)
{
	if (a->failed > 1)
		return;
	fault_alloc_at(0, false);
	ck_assert_ptr_null(actor_connect(a, reactor, 1));
}

TEST(told_of_no_memory_it_may_try_again, ON_EACH_KERNEL)
{
	client.on_failed = connect_without_memory;
	fault_alloc_at(0, false);
	actor_connect(&client, reactor, 1);
	run_turns(reactor, 1);
	/* The next one is told in the next turn. */
	ck_assert_str_eq(client.trace, "SF");
	run_turns(reactor, 1);
	ck_assert_str_eq(client.trace, "SFFX");
}

STORY(several_factories_may_have_had_no_memory,
      "no-memory; client connects; server connects; client connects; memory;"
      "turn; client trace SFFX; server trace SFX",
      "no-memory; client connects; server connects; client connects; memory;"
      "free-reactor; client trace SFFX; server trace SFX");

/* With no memory even to say so. */
STORY(a_failure_without_memory_is_told,
      "client connects; no-memory; until client failed 1; memory;"
      "client kind NoMemoryError; turn 2; client trace ScFX");

/*
 * Sockets that a program was started with: what is taken, what is refused and
 * as it was, and that each is taken once.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <plait/testing.h>

#include "tests/actor.h"

static struct actor server, client;
static struct plait_port *port;
static uint16_t number;

static void setup(void)
{
	actor_init(&server);
	actor_init(&client);
}

/* As a program inherits it, which is all that makes it different. */
static int inherited(int fd)
{
	ck_assert_int_eq(fcntl(fd, F_SETFD, 0), 0);
	return fd;
}

static bool is_cloexec(int fd)
{
	return fcntl(fd, F_GETFD) == FD_CLOEXEC;
}

static int tcp_listener(void)
{
	return inherited(peer_listen(&number, 5));
}

static int unix_socket(int type)
{
	return inherited(socket(AF_UNIX, type, 0));
}

/* It has an abstract name that the kernel chooses. */
static int unix_listener(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = unix_socket(SOCK_STREAM);

	ck_assert_int_eq(
		bind(fd, (struct sockaddr *)&un, sizeof(un.sun_family)), 0);
	ck_assert_int_eq(listen(fd, 5), 0);
	return fd;
}

/* One end of a pair, as the kind of socket that i says; the other in *peer. */
static int connected(int i, int *peer)
{
	int fds[2], listener, fd;

	if (i == 1) {
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		*peer = fds[1];
		return fds[0];
	}
	listener = peer_listen(&number, 1);
	*peer = peer_connect(number);
	fd = inherited(peer_accept(listener));
	close(listener);
	return fd;
}

GROUP("ports", .setup = setup);

TEST(a_port_listens_on_a_socket_that_is_there, ON_EACH_BACKEND, TIMES(2))
{
	int fd = _i == 0 ? tcp_listener() : unix_listener();
	struct plait_address at;
	char name[32] = "@";

	server.on_data = actor_echo;
	ck_assert_int_eq(
		plait_listen_fd(reactor, fd, &server.base, NULL, &port), 0);
	ck_assert(is_cloexec(fd));
	ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
	plait_port_host(port, &at);
	if (_i == 0) {
		ck_assert_uint_eq(plait_address_port(&at), number);
		actor_connect(&client, reactor, number);
	} else {
		size_t len;
		const char *abstract = plait_address_abstract(&at, &len);

		memcpy(name + 1, abstract, len);
		plait_connect_unix(reactor, name, &client.base, NULL);
	}
	run_until_count(reactor, &client.made, 1);
	plait_transport_write(client.transport, "hello", 5);
	while (client.received < 5)
		run_turns(reactor, 1);
	plait_transport_lose_connection(client.transport);
	actor_wait_idle(&client, reactor);
	actor_stop(reactor, &port);
	actor_wait_idle(&server, reactor);
	ck_assert_str_eq(server.trace, "SBMDLX");
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}

TEST(a_port_on_an_inherited_socket_drains_what_waits, ON_EACH_BACKEND)
{
	int fd = tcp_listener(), peer = peer_connect(number);
	struct plait_deferred *d;

	ck_assert_int_eq(
		plait_listen_fd(reactor, fd, &server.base, NULL, &port), 0);
	d = plait_port_drain(&port);
	while (plait_deferred_result(d) == NULL)
		run_turns(reactor, 1);
	plait_deferred_free(&d);
	ck_assert_uint_eq(server.made, 1);
	close(peer);
	actor_wait_idle(&server, reactor);
}

TEST(a_port_counts_its_connections, ON_EACH_BACKEND)
{
	const struct plait_listen_options o = { .max_connections = 1 };
	int fd = tcp_listener(), first, second;

	ck_assert_int_eq(plait_listen_fd(reactor, fd, &server.base, &o, &port),
			 0);
	first = peer_connect(number);
	run_until_count(reactor, &server.made, 1);
	second = peer_connect(number);
	run_turns(reactor, 5);
	ck_assert_uint_eq(server.made, 1);
	close(first);
	run_until_count(reactor, &server.made, 2);
	close(second);
	actor_stop(reactor, &port);
	actor_wait_idle(&server, reactor);
}

TEST(a_descriptor_is_taken_once, ON_EACH_BACKEND)
{
	int fd = tcp_listener(), again;

	ck_assert_int_eq(
		plait_listen_fd(reactor, fd, &server.base, NULL, &port), 0);
	ck_assert_int_eq(plait_listen_fd(reactor, fd, &server.base, NULL, NULL),
			 -EALREADY);
	actor_stop(reactor, &port);
	ck_assert_int_eq(plait_listen_fd(reactor, fd, &server.base, NULL, NULL),
			 -EBADF);
	/* What has its number now was not inherited. */
	again = peer_listen(&number, 1);
	ck_assert_int_eq(again, fd);
	ck_assert_int_eq(plait_listen_fd(reactor, fd, &server.base, NULL, NULL),
			 -EALREADY);
	close(again);
}

GROUP("refusing", .setup = setup);

/* What is no listening socket, and how it is called. */
static const struct {
	const char *what;
	int listening, connecting; /* their errors */
} others[] = {
	{ "not open", -EBADF, EBADF },
	{ "no socket", -ENOTSOCK, ENOTSOCK },
	{ "a UDP socket that is not connected", -EPROTOTYPE, EPROTOTYPE },
	{ "a UNIX socket for datagrams that is not connected", -EPROTOTYPE,
	  EPROTOTYPE },
	{ "a TCP socket that is not connected", -EINVAL, ENOTCONN },
	{ "a UNIX socket that is not connected", -EINVAL, ENOTCONN },
	{ "a TCP socket that is connected", -EINVAL, 0 },
	{ "a UNIX socket that is connected", -EINVAL, 0 },
	{ "a TCP socket that listens", 0, ENOTCONN },
	{ "a UNIX socket that listens", 0, ENOTCONN },
};

static int other_socket(int i, int *peer)
{
	int fds[2];

	*peer = -1;
	switch (i) {
	case 0:
		return 1000;
	case 1:
		ck_assert_int_eq(pipe(fds), 0);
		*peer = fds[1];
		return fds[0];
	case 2:
		return inherited(socket(AF_INET, SOCK_DGRAM, 0));
	case 3:
		return unix_socket(SOCK_DGRAM);
	case 4:
		return inherited(socket(AF_INET, SOCK_STREAM, 0));
	case 5:
		return unix_socket(SOCK_STREAM);
	case 6:
	case 7:
		return connected(i - 6, peer);
	case 8:
		return tcp_listener();
	default:
		return unix_listener();
	}
}

static void close_other(int fd, int peer)
{
	close(fd);
	if (peer >= 0)
		close(peer);
}

TEST(what_it_is_is_said, ON_EACH_BACKEND, EACH_OF(others))
{
	int peer, fd = other_socket(_i, &peer);
	char text[100];

	plait_fd_str(reactor, fd, text, sizeof(text));
	ck_assert_str_eq(text, others[_i].what);
	close_other(fd, peer);
}

TEST(what_does_not_listen_is_refused_and_as_it_was, ON_EACH_BACKEND, TIMES(8))
{
	int peer, fd = other_socket(_i, &peer);
	int flags = fcntl(fd, F_GETFL);

	ck_assert_int_eq(plait_listen_fd(reactor, fd, &server.base, NULL, NULL),
			 others[_i].listening);
	ck_assert(!is_cloexec(fd));
	ck_assert_int_eq(fcntl(fd, F_GETFL), flags);
	ck_assert_str_eq(server.trace, "");
	close_other(fd, peer);
}

TEST(what_is_not_connected_is_refused_and_as_it_was, ON_EACH_BACKEND,
     EACH_OF(others))
{
	int peer, fd = other_socket(_i, &peer);
	char expected[150];

	if (others[_i].connecting != 0) {
		plait_connect_fd(reactor, fd, &client.base);
		actor_wait_idle(&client, reactor);
		ck_assert_str_eq(client.trace, "ScFX");
		ck_assert_int_eq(client.err, others[_i].connecting);
		snprintf(expected, sizeof(expected),
			 "connect to descriptor %d, which is %s", fd,
			 others[_i].what);
		ck_assert_msg(strstr(client.why, expected) != NULL, "%s",
			      client.why);
		ck_assert(!is_cloexec(fd));
	}
	close_other(fd, peer);
}

TEST(options_without_a_meaning_are_refused, ON_EACH_BACKEND, TIMES(3))
{
	const struct plait_listen_options o[] = {
		{ .iface = "127.0.0.1" },
		{ .backlog = 5 },
		{ .reserved = { 1 } },
	};
	int fd = tcp_listener();

	ck_assert_int_eq(
		plait_listen_fd(reactor, fd, &server.base, &o[_i], NULL),
		-EINVAL);
	ck_assert(!is_cloexec(fd));
	close(fd);
}

TEST(a_testing_reactor_has_no_descriptors, PURE)
{
	int fd = tcp_listener();

	reactor = plait_testing_reactor_new();
	ck_assert_int_eq(plait_listen_fd(reactor, fd, &server.base, NULL, NULL),
			 -ENOTSUP);
	ck_assert(!is_cloexec(fd));
	close(fd);
	plait_reactor_free(&reactor);
}

static const char *const calls[] = { "fcntl", "getsockopt", "getsockname" };

static int listen_with_fault(int i, unsigned n, int fd)
{
	int err;

	if (i < N_OF(calls)) {
		fault_pass(calls[i], n);
		fault_call(calls[i], 1, EIO);
	} else {
		fault_alloc_at(n, false);
	}
	err = plait_listen_fd(reactor, fd, &server.base, NULL, &port);
	fault_off();
	fault_alloc_off();
	return err;
}

/* Each call fails once, and each allocation.  What goes wrong when it is taken
   already closes it. */
TEST(a_call_that_fails_takes_nothing, ON_EACH_BACKEND, TIMES(4))
{
	int fd = tcp_listener(), err = -EIO;

	for (unsigned n = 0; err != 0; n++) {
		ck_assert_uint_lt(n, 20);
		err = listen_with_fault(_i, n, fd);
		ck_assert(err == 0 || err == -EIO || err == -ENOTCONN ||
			  err == -ENOMEM);
		if (err != 0 && fcntl(fd, F_GETFD) < 0)
			fd = tcp_listener();
		ck_assert(err == 0 || !is_cloexec(fd));
	}
	actor_stop(reactor, &port);
}

GROUP("connections", .setup = setup);

TEST(a_client_is_connected_with_a_socket_that_is_there, ON_EACH_BACKEND,
     TIMES(2))
{
	int peer, fd = connected(_i, &peer);
	char text[6] = "";

	plait_connect_fd(reactor, fd, &client.base);
	ck_assert(is_cloexec(fd));
	ck_assert_uint_eq(client.made, 0);
	run_until_count(reactor, &client.made, 1);
	plait_transport_write(client.transport, "hello", 5);
	run_turns(reactor, 2);
	ck_assert_int_eq(read(peer, text, 5), 5);
	ck_assert_str_eq(text, "hello");
	close(peer);
	actor_wait_idle(&client, reactor);
	ck_assert_str_eq(client.trace, "ScBMLCX");
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}

TEST(a_connector_of_a_descriptor_connects_once, ON_EACH_BACKEND)
{
	int peer, fd = connected(1, &peer);
	struct plait_connector *c = plait_connector_ref(
		plait_connect_fd(reactor, fd, &client.base));

	close(peer);
	actor_wait_idle(&client, reactor);
	actor_init(&client);
	ck_assert_int_eq(plait_connector_connect(c), 0);
	actor_wait_idle(&client, reactor);
	ck_assert_int_eq(client.err, EALREADY);
	plait_connector_unref(&c);
}

/* 0: stopped, 1: the reactor is freed. */
TEST(what_is_given_up_is_closed, ON_EACH_BACKEND, TIMES(2))
{
	int peer, fd = connected(1, &peer);
	struct plait_connector *c = plait_connect_fd(reactor, fd, &client.base);
	char byte;

	if (_i == 0) {
		ck_assert_int_eq(plait_connector_stop_connecting(c), 0);
		actor_wait_idle(&client, reactor);
	} else {
		plait_reactor_free(&reactor);
	}
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
	ck_assert_int_eq(read(peer, &byte, 1), 0);
	close(peer);
}

/* ---- as endpoints -------------------------------------------------------- */

GROUP("endpoints", .setup = setup);

static struct plait_endpoint *endpoint_of(int fd)
{
	struct plait_endpoint *e = NULL;
	char text[20];

	snprintf(text, sizeof(text), "fd:%d", fd);
	ck_assert_int_eq(plait_endpoint_parse(text, &e, NULL, 0), 0);
	return e;
}

static plait_value ignore(plait_value *result, void *arg)
{
	return PLAIT_NONE;
}

static void has_failed(struct plait_deferred *d, const char *said)
{
	const struct plait_failure *f;

	while (plait_deferred_result(d) == NULL)
		run_turns(reactor, 1);
	f = plait_value_failure(plait_deferred_result(d));
	ck_assert_msg(strstr(plait_failure_message(f), said) != NULL, "%s",
		      plait_failure_message(f));
	plait_deferred_add_errback(d, ignore, NULL);
	plait_deferred_free(&d);
}

TEST(an_endpoint_names_a_listening_descriptor, ON_EACH_BACKEND)
{
	int fd = tcp_listener();
	struct plait_endpoint *e = endpoint_of(fd);
	struct plait_deferred *d =
		plait_endpoint_listen(e, reactor, &server.base);

	ck_assert_ptr_nonnull(plait_value_port(plait_deferred_result(d)));
	has_failed(plait_endpoint_listen(e, reactor, &server.base),
		   "it is a TCP socket that listens, and taken, or not "
		   "inherited");
	plait_endpoint_unref(&e);
	plait_deferred_free(&d);
	actor_wait_idle(&server, reactor);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}

static const struct plait_protocol_ops client_ops = { .name = "client" };

TEST(an_endpoint_names_a_connected_descriptor, ON_EACH_BACKEND)
{
	int peer, fd = connected(1, &peer);
	struct plait_endpoint *e = endpoint_of(fd);
	struct plait_deferred *d =
		plait_endpoint_connect(e, reactor, &client_ops, NULL);

	has_failed(plait_endpoint_connect(e, reactor, &client_ops, NULL),
		   "which is a UNIX socket that is connected");
	while (plait_deferred_result(d) == NULL)
		run_turns(reactor, 1);
	ck_assert_ptr_nonnull(plait_value_client(plait_deferred_result(d)));
	plait_endpoint_unref(&e);
	plait_deferred_free(&d);
	close(peer);
	run_turns(reactor, 3);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}

TEST(an_endpoint_says_what_a_descriptor_is, ON_EACH_BACKEND, TIMES(8))
{
	int peer, fd = other_socket(_i, &peer);
	struct plait_endpoint *e = endpoint_of(fd);
	char said[100];

	snprintf(said, sizeof(said), "it is %s", others[_i].what);
	has_failed(plait_endpoint_listen(e, reactor, &server.base), said);
	plait_endpoint_unref(&e);
	close_other(fd, peer);
}

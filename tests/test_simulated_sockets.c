/*
 * The simulated kernel: its calls, asked directly, answer as Linux does; and
 * reactors on it carry bytes.
 */
#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include <plait/simulation.h>

#include "reactor/simulation/world.h"
#include "tests/actor.h"

/* ---- two hosts ----------------------------------------------------------- */

static struct plait_simulation *world;
static struct plait_host *hosts[2];
static struct plait_reactor *reactors[2];
static struct kernel *kernels[2]; /* of a server and of a client */
static uint64_t world_seed = 1;

static void world_begin(const struct plait_simulation_options *options)
{
	world = plait_simulation_new(world_seed, options);
	for (int i = 0; i < 2; i++) {
		hosts[i] =
			plait_simulation_host(world, i ? "client" : "server");
		reactors[i] = plait_host_reactor(hosts[i]);
		kernels[i] = loop_kernel(reactors[i]);
	}
}

static void world_setup(void)
{
	static const struct plait_simulation_options perfect;

	world_begin(&perfect);
}

/* Each test ends with this: what it leaves then is a leak. */
static void world_end(void)
{
	for (int i = 0; i < 2; i++)
		plait_reactor_free(&reactors[i]);
	plait_simulation_free(&world);
}

GROUP("streams", .setup = world_setup);

enum { MUCH = 300000 };

static void says_much(struct actor *a, struct plait_protocol *p)
{
	static char much[MUCH];

	for (size_t i = 0; i < MUCH; i++)
		much[i] = (char)(i * 7 + i / 251);
	plait_transport_write(p->transport, much, MUCH);
}

static void hears_much(struct actor *a, struct plait_protocol *p,
		       const void *data, size_t len)
{
	const char *c = data;
	size_t at = a->received - len;

	for (size_t i = 0; i < len; i++, at++)
		ck_assert_int_eq(c[i], (char)(at * 7 + at / 251));
	if (a->received == MUCH)
		plait_transport_lose_connection(p->transport);
}

static void echo_much(void)
{
	struct actor server, client;
	struct plait_port *port;
	struct plait_connector *c;
	struct plait_address at;

	actor_init(&server);
	actor_init(&client);
	server.on_data = actor_echo;
	client.on_made = says_much;
	client.on_data = hears_much;
	ck_assert_int_eq(
		plait_listen_tcp(reactors[0], 0, &server.base, NULL, &port), 0);
	plait_port_host(port, &at);
	c = plait_connect_tcp(reactors[1], plait_host_address(hosts[0]),
			      at.port, &client.base, NULL);
	ck_assert_ptr_nonnull(c);
	plait_simulation_run(world, 3600);
	ck_assert_uint_eq(client.received, MUCH);
	actor_stop(reactors[0], &port);
	world_end();
}

TEST(bytes_go_there_and_back, PURE)
{
	echo_much();
}

TEST(bytes_that_are_lost_are_sent_again, PURE, TIMES(20))
{
	struct plait_link link = {
		.latency = 0.01 * _i, .jitter = 0.01, .loss = 0.3, .rate = 1e6
	};

	plait_simulation_set_link(world, NULL, NULL, &link);
	echo_much();
}

/* ---- calls --------------------------------------------------------------- */

enum { SERVER, CLIENT, PORT = 7000, HUGE = 1 << 20 };

static char huge[HUGE];

union name {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_storage room;
};

static void pass(double seconds)
{
	int rc = plait_simulation_run(world, seconds);

	ck_assert_msg(rc == 0 || rc == -EDEADLK, "%s", strerror(-rc));
}

static void link_is(struct plait_link link)
{
	plait_simulation_set_link(world, NULL, NULL, &link);
}

static union name name_of(const char *ip, unsigned port)
{
	union name n = { .in = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port) } };

	if (inet_pton(AF_INET, ip, &n.in.sin_addr) == 1)
		return n;
	n.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
				       .sin6_port = htons((uint16_t)port) };
	ck_assert_int_eq(inet_pton(AF_INET6, ip, &n.in6.sin6_addr), 1);
	return n;
}

static socklen_t size_of(const union name *n)
{
	return n->any.sa_family == AF_INET ? sizeof(n->in) : sizeof(n->in6);
}

#define ck_fails(call, err)                                                    \
	do {                                                                   \
		ck_assert_int_eq(call, -1);                                    \
		ck_assert_str_eq(strerrorname_np(errno), #err);                \
	} while (0)

static int open_socket(int host, int family)
{
	int fd = kernel_socket(kernels[host], family, SOCK_STREAM);

	ck_assert_int_ge(fd, 3);
	return fd;
}

static int bind_to(int host, int fd, const char *ip, unsigned port)
{
	union name n = name_of(ip, port);

	return kernel_bind(kernels[host], fd, &n.any, size_of(&n));
}

static int connect_to(int host, int fd, const char *ip, unsigned port)
{
	union name n = name_of(ip, port);

	return kernel_connect(kernels[host], fd, &n.any, size_of(&n));
}

static int set(int host, int fd, int level, int option, int value)
{
	return kernel_setsockopt(kernels[host], fd, level, option, &value,
				 sizeof(value));
}

static int get(int host, int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	ck_assert_int_eq(kernel_getsockopt(kernels[host], fd, level, option,
					   &value, &len),
			 0);
	return value;
}

static int error_of(int host, int fd)
{
	return get(host, fd, SOL_SOCKET, SO_ERROR);
}

static int listen_at(const char *ip, int backlog)
{
	int fd = open_socket(SERVER, strchr(ip, ':') ? AF_INET6 : AF_INET);

	ck_assert_int_eq(set(SERVER, fd, SOL_SOCKET, SO_REUSEADDR, 1), 0);
	ck_assert_int_eq(bind_to(SERVER, fd, ip, PORT), 0);
	ck_assert_int_eq(kernel_listen(kernels[SERVER], fd, backlog), 0);
	return fd;
}

/* A socket of the client that is about to connect. */
static int begin_at(const char *ip)
{
	int fd = open_socket(CLIENT, strchr(ip, ':') ? AF_INET6 : AF_INET);

	ck_fails(connect_to(CLIENT, fd, ip, PORT), EINPROGRESS);
	return fd;
}

static int begin(void)
{
	return begin_at(plait_host_address(hosts[SERVER]));
}

static int accept_at(int listener)
{
	return kernel_accept(kernels[SERVER], listener, NULL, NULL);
}

/* Both ends of a connection. */
struct pair {
	int listener, server, client;
};

static struct pair connected(void)
{
	struct pair p = { .listener = listen_at("0.0.0.0", 5) };

	p.client = begin();
	pass(1);
	p.server = accept_at(p.listener);
	ck_assert_int_ge(p.server, 0);
	return p;
}

static ssize_t say(int host, int fd, const char *text)
{
	return kernel_send(kernels[host], fd, text, strlen(text), MSG_NOSIGNAL);
}

static ssize_t hear(int host, int fd)
{
	return kernel_recv(kernels[host], fd, huge, HUGE, 0);
}

static void expect(int host, int fd, const char *text)
{
	ck_assert_int_eq(hear(host, fd), (ssize_t)strlen(text));
	ck_assert_int_eq(strncmp(huge, text, strlen(text)), 0);
}

static void shut(int host, int fd)
{
	ck_assert_int_eq(kernel_close(kernels[host], fd), 0);
}

/* All that it can send now. */
static size_t fill(int host, int fd)
{
	size_t sum = 0;
	ssize_t n;

	while ((n = kernel_send(kernels[host], fd, huge, HUGE, MSG_NOSIGNAL)) >
	       0)
		sum += (size_t)n;
	ck_assert_int_eq(errno, EAGAIN);
	return sum;
}

static size_t drain(int host, int fd)
{
	size_t sum = 0;
	ssize_t n;

	while ((n = hear(host, fd)) > 0)
		sum += (size_t)n;
	return sum;
}

/* Seconds until the error comes. */
static double seconds_until_error(int host, int fd, int err)
{
	double begun = plait_simulation_seconds(world);

	for (int i = 0; i < 20000; i++) {
		int got = error_of(host, fd);

		if (got != 0) {
			ck_assert_str_eq(strerrorname_np(got),
					 strerrorname_np(err));
			return plait_simulation_seconds(world) - begun;
		}
		plait_simulation_run(world, 0.1);
	}
	ck_abort_msg("no error");
	return 0;
}

static void crash(int host)
{
	plait_host_crash(hosts[host]);
	plait_reactor_free(&reactors[host]);
}

GROUP("handshake", .setup = world_setup);

TEST(a_connection_has_two_names, PURE)
{
	struct pair p = { .listener = listen_at("0.0.0.0", 5) };
	union name n;
	socklen_t len = sizeof(n);
	uint16_t port;

	p.client = begin();
	ck_fails(connect_to(CLIENT, p.client, "10.0.0.1", PORT), EALREADY);
	ck_fails(kernel_getpeername(kernels[CLIENT], p.client, &n.any, &len),
		 ENOTCONN);
	ck_fails(accept_at(p.listener), EAGAIN);
	ck_fails(hear(CLIENT, p.client), EAGAIN);
	ck_fails(say(CLIENT, p.client, "x"), EAGAIN);
	pass(1);
	ck_assert_int_eq(connect_to(CLIENT, p.client, "10.0.0.1", PORT), 0);
	ck_fails(connect_to(CLIENT, p.client, "10.0.0.1", PORT), EISCONN);
	ck_assert_int_eq(
		kernel_getsockname(kernels[CLIENT], p.client, &n.any, &len), 0);
	port = ntohs(n.in.sin_port);
	ck_assert(port >= 32768 && port <= 60999);
	ck_assert_uint_eq(ntohl(n.in.sin_addr.s_addr), 0x0a000002);
	p.server = kernel_accept(kernels[SERVER], p.listener, &n.any, &len);
	ck_assert_uint_eq(ntohs(n.in.sin_port), port);
	ck_assert_uint_eq(ntohl(n.in.sin_addr.s_addr), 0x0a000002);
	ck_assert_int_eq(
		kernel_getsockname(kernels[SERVER], p.server, &n.any, &len), 0);
	ck_assert_uint_eq(ntohs(n.in.sin_port), PORT);
	ck_assert_uint_eq(ntohl(n.in.sin_addr.s_addr), 0x0a000001);
	world_end();
}

TEST(a_port_where_nobody_listens_refuses, PURE)
{
	int held = open_socket(SERVER, AF_INET), fd = begin();

	ck_assert_int_eq(bind_to(SERVER, held, "0.0.0.0", PORT), 0);
	pass(1);
	ck_assert_int_eq(error_of(CLIENT, fd), ECONNREFUSED);
	ck_assert_int_eq(error_of(CLIENT, fd), 0);
	ck_fails(connect_to(CLIENT, fd, "10.0.0.1", PORT), ECONNABORTED);
	ck_fails(connect_to(CLIENT, fd, "10.0.0.1", PORT), EINPROGRESS);
	world_end();
}

TEST(where_there_is_no_host_or_no_way_it_says_so, PURE)
{
	int near = begin_at("10.0.0.77"), near6 = begin_at("fd00::77"),
	    far = open_socket(CLIENT, AF_INET), behind;

	ck_fails(connect_to(CLIENT, far, "192.0.2.1", PORT), ENETUNREACH);
	ck_assert_double_eq_tol(seconds_until_error(CLIENT, near, EHOSTUNREACH),
				3, 0.2);
	ck_assert_int_eq(error_of(CLIENT, near6), EHOSTUNREACH);
	link_is((struct plait_link){ .unreachable = true });
	behind = begin();
	pass(0.1);
	ck_assert_int_eq(error_of(CLIENT, behind), EHOSTUNREACH);
	world_end();
}

TEST(a_host_that_is_down_is_asked_for_127_seconds, PURE)
{
	int fd;

	crash(SERVER);
	fd = begin();
	ck_assert_double_eq_tol(seconds_until_error(CLIENT, fd, ETIMEDOUT), 127,
				0.2);
	world_end();
}

TEST(answers_that_are_lost_time_out_as_well, PURE)
{
	struct plait_link down = { .down = true };
	int fd;

	listen_at("0.0.0.0", 5);
	plait_simulation_set_link(world, hosts[SERVER], hosts[CLIENT], &down);
	fd = begin();
	ck_assert_double_eq_tol(seconds_until_error(CLIENT, fd, ETIMEDOUT), 127,
				0.2);
	world_end();
}

TEST(a_queue_that_is_full_lets_in_who_asks_again, PURE)
{
	int listener = listen_at("0.0.0.0", 0), first = begin(), second;

	pass(0.5);
	second = begin();
	pass(0.5);
	ck_fails(say(CLIENT, second, "x"), EAGAIN);
	ck_assert_int_ge(accept_at(listener), 0);
	ck_fails(accept_at(listener), EAGAIN);
	pass(0.4);
	ck_fails(say(CLIENT, second, "x"), EAGAIN);
	pass(0.2);
	ck_assert_int_eq(say(CLIENT, second, "x"), 1);
	ck_assert_int_ge(accept_at(listener), 0);
	ck_assert_int_eq(say(CLIENT, first, "x"), 1);
	world_end();
}

TEST(a_filter_keeps_out_new_clients_but_not_who_has_begun, PURE)
{
	struct sock_fprog none = { .len = 0 };
	int listener, first, second;

	link_is((struct plait_link){ .latency = 0.01 });
	listener = listen_at("0.0.0.0", 5);
	first = begin();
	pass(0.015);
	ck_assert_int_eq(kernel_setsockopt(kernels[SERVER], listener,
					   SOL_SOCKET, SO_ATTACH_FILTER, &none,
					   sizeof(none)),
			 0);
	second = begin();
	pass(1);
	ck_assert_int_ge(accept_at(listener), 0);
	ck_fails(accept_at(listener), EAGAIN);
	ck_assert_int_eq(say(CLIENT, first, "x"), 1);
	shut(SERVER, listener);
	ck_assert_double_eq_tol(
		seconds_until_error(CLIENT, second, ECONNREFUSED), 0.03, 0.2);
	world_end();
}

TEST(a_listener_that_is_closed_resets_who_waits, PURE)
{
	int listener = listen_at("0.0.0.0", 5), fd = begin();

	pass(1);
	shut(SERVER, listener);
	pass(1);
	ck_assert_int_eq(error_of(CLIENT, fd), ECONNRESET);
	ck_fails(connect_to(CLIENT, fd, "10.0.0.1", PORT), ECONNABORTED);
	world_end();
}

TEST(a_connection_that_was_reset_before_accept_is_accepted, PURE)
{
	struct linger now = { .l_onoff = 1 };
	int listener = listen_at("0.0.0.0", 5), fd = begin(), server;

	pass(1);
	kernel_setsockopt(kernels[CLIENT], fd, SOL_SOCKET, SO_LINGER, &now,
			  sizeof(now));
	say(CLIENT, fd, "x");
	shut(CLIENT, fd);
	pass(1);
	server = accept_at(listener);
	expect(SERVER, server, "x");
	ck_fails(hear(SERVER, server), ECONNRESET);
	ck_assert_int_eq(hear(SERVER, server), 0);
	world_end();
}

TEST(two_that_connect_to_each_other_meet, PURE)
{
	int a = open_socket(SERVER, AF_INET), b = open_socket(CLIENT, AF_INET);

	link_is((struct plait_link){ .latency = 0.01 });
	ck_assert_int_eq(bind_to(SERVER, a, "0.0.0.0", PORT), 0);
	ck_assert_int_eq(bind_to(CLIENT, b, "0.0.0.0", PORT), 0);
	ck_fails(connect_to(SERVER, a, "10.0.0.2", PORT), EINPROGRESS);
	ck_fails(connect_to(CLIENT, b, "10.0.0.1", PORT), EINPROGRESS);
	pass(1);
	ck_assert_int_eq(connect_to(SERVER, a, "10.0.0.2", PORT), 0);
	say(SERVER, a, "one");
	say(CLIENT, b, "two");
	shut(SERVER, a);
	pass(1);
	expect(CLIENT, b, "one");
	ck_assert_int_eq(hear(CLIENT, b), 0);
	world_end();
}

TEST(a_socket_may_meet_itself, PURE)
{
	int fd = open_socket(CLIENT, AF_INET);

	ck_assert_int_eq(bind_to(CLIENT, fd, "127.0.0.1", PORT), 0);
	ck_fails(connect_to(CLIENT, fd, "127.0.0.1", PORT), EINPROGRESS);
	pass(1);
	ck_assert_int_eq(connect_to(CLIENT, fd, "127.0.0.1", PORT), 0);
	ck_assert_int_eq(say(CLIENT, fd, "echo"), 4);
	pass(1);
	expect(CLIENT, fd, "echo");
	ck_assert_int_eq(kernel_shutdown(kernels[CLIENT], fd, SHUT_WR), 0);
	pass(1);
	ck_assert_int_eq(hear(CLIENT, fd), 0);
	world_end();
}

GROUP("addresses", .setup = world_setup);

TEST(a_listener_of_ipv6_has_clients_of_ipv4, PURE, TIMES(2))
{
	int fd = open_socket(SERVER, AF_INET6), client, server;
	struct in6_addr mapped;
	union name n;
	socklen_t len = sizeof(n);

	ck_assert_int_eq(set(SERVER, fd, IPPROTO_IPV6, IPV6_V6ONLY, _i), 0);
	ck_assert_int_eq(bind_to(SERVER, fd, "::", PORT), 0);
	ck_assert_int_eq(kernel_listen(kernels[SERVER], fd, 5), 0);
	client = begin();
	pass(1);
	if (_i == 1) {
		ck_assert_int_eq(error_of(CLIENT, client), ECONNREFUSED);
	} else {
		server = kernel_accept(kernels[SERVER], fd, &n.any, &len);
		ck_assert_int_ge(server, 0);
		inet_pton(AF_INET6, "::ffff:10.0.0.2", &mapped);
		ck_assert(IN6_ARE_ADDR_EQUAL(&n.in6.sin6_addr, &mapped));
	}
	client = begin_at("fd00::1");
	pass(1);
	ck_assert_int_ge(accept_at(fd), 0);
	ck_assert_int_eq(error_of(CLIENT, client), 0);
	world_end();
}

TEST(every_host_has_a_loopback, PURE)
{
	int listener = listen_at("127.0.0.1", 5),
	    near = open_socket(SERVER, AF_INET), far = begin();

	ck_fails(connect_to(SERVER, near, "0.0.0.0", PORT), EINPROGRESS);
	pass(1);
	ck_assert_int_ge(accept_at(listener), 0);
	ck_assert_int_eq(error_of(CLIENT, far), ECONNREFUSED);
	world_end();
}

TEST(an_address_that_is_another_hosts_cannot_be_bound, PURE)
{
	int fd = open_socket(CLIENT, AF_INET);

	ck_fails(bind_to(CLIENT, fd, "10.0.0.1", PORT), EADDRNOTAVAIL);
	ck_assert_int_eq(bind_to(CLIENT, fd, "10.0.0.2", PORT), 0);
	ck_fails(bind_to(CLIENT, fd, "10.0.0.2", PORT), EINVAL);
	ck_fails(bind_to(CLIENT, open_socket(CLIENT, AF_INET), "0.0.0.0", PORT),
		 EADDRINUSE);
	ck_assert_int_eq(bind_to(CLIENT, open_socket(CLIENT, AF_INET),
				 "127.0.0.1", PORT),
			 0);
	world_end();
}

TEST(an_old_connection_keeps_its_port_for_a_minute, PURE)
{
	struct pair p = connected();
	int fd = open_socket(SERVER, AF_INET);

	shut(SERVER, p.server);
	pass(0.1);
	shut(CLIENT, p.client);
	shut(SERVER, p.listener);
	pass(0.1);
	ck_fails(bind_to(SERVER, fd, "0.0.0.0", PORT), EADDRINUSE);
	ck_assert_int_eq(set(SERVER, fd, SOL_SOCKET, SO_REUSEADDR, 1), 0);
	ck_assert_int_eq(bind_to(SERVER, fd, "0.0.0.0", PORT), 0);
	shut(SERVER, fd);
	pass(60);
	fd = open_socket(SERVER, AF_INET);
	ck_assert_int_eq(bind_to(SERVER, fd, "0.0.0.0", PORT), 0);
	world_end();
}

TEST(two_connections_have_not_the_same_two_places, PURE)
{
	int first, second;

	listen_at("0.0.0.0", 5);
	first = open_socket(CLIENT, AF_INET);
	second = open_socket(CLIENT, AF_INET);
	for (int i = 0; i < 2; i++) {
		int fd = i == 0 ? first : second;

		ck_assert_int_eq(set(CLIENT, fd, SOL_SOCKET, SO_REUSEADDR, 1),
				 0);
		ck_assert_int_eq(bind_to(CLIENT, fd, "0.0.0.0", 99), 0);
	}
	ck_fails(connect_to(CLIENT, first, "10.0.0.1", PORT), EINPROGRESS);
	ck_fails(connect_to(CLIENT, second, "10.0.0.1", PORT), EADDRNOTAVAIL);
	ck_fails(connect_to(CLIENT, second, "10.0.0.1", PORT + 1), EINPROGRESS);
	world_end();
}

/* Binds all that there are to be had, which is also a matter of speed. */
TEST(ports_run_out, PURE)
{
	const struct plait_simulation_options many = { .max_descriptors =
							       40000 };
	int fd;

	world_end();
	world_begin(&many);
	for (int i = 0; i < 60999 - 32768 + 1; i++)
		ck_assert_int_eq(bind_to(CLIENT, open_socket(CLIENT, AF_INET),
					 "0.0.0.0", 0),
				 0);
	fd = open_socket(CLIENT, AF_INET);
	ck_fails(bind_to(CLIENT, fd, "0.0.0.0", 0), EADDRINUSE);
	ck_fails(connect_to(CLIENT, fd, "10.0.0.1", PORT), EADDRNOTAVAIL);
	world_end();
}

GROUP("bytes", .setup = world_setup);

TEST(a_peek_takes_nothing, PURE)
{
	struct pair p = connected();
	struct iovec pieces[2] = { { (void *)"ab", 2 }, { (void *)"cde", 3 } };
	struct msghdr msg = { .msg_iov = pieces, .msg_iovlen = 2 };
	char two[2];

	ck_assert_int_eq(kernel_sendmsg(kernels[CLIENT], p.client, &msg, 0), 5);
	pass(1);
	ck_assert_int_eq(
		kernel_recv(kernels[SERVER], p.server, two, 2, MSG_PEEK), 2);
	ck_assert_int_eq(strncmp(two, "ab", 2), 0);
	expect(SERVER, p.server, "abcde");
	ck_fails(hear(SERVER, p.server), EAGAIN);
	world_end();
}

static void say_with_more(const struct pair *p, const char *text)
{
	ck_assert_int_eq(kernel_send(kernels[CLIENT], p->client, text,
				     strlen(text), MSG_NOSIGNAL | MSG_MORE),
			 (ssize_t)strlen(text));
	pass(0.1);
	ck_fails(hear(SERVER, p->server), EAGAIN);
}

TEST(what_is_sent_with_more_waits_for_more_or_the_end_or_a_while, PURE)
{
	struct pair p = connected();

	say_with_more(&p, "ab");
	pass(0.2);
	expect(SERVER, p.server, "ab");
	say_with_more(&p, "cd");
	say(CLIENT, p.client, "ef");
	pass(0.01);
	expect(SERVER, p.server, "cdef");
	say_with_more(&p, "gh");
	ck_assert_int_eq(kernel_shutdown(kernels[CLIENT], p.client, SHUT_WR),
			 0);
	pass(0.01);
	expect(SERVER, p.server, "gh");
	ck_assert_int_eq(hear(SERVER, p.server), 0);
	world_end();
}

TEST(what_fills_the_room_is_sent_even_with_more, PURE)
{
	struct pair p = connected();
	ssize_t n = kernel_send(kernels[CLIENT], p.client, huge, HUGE,
				MSG_NOSIGNAL | MSG_MORE);

	ck_assert_int_gt(n, 0);
	pass(0.1);
	ck_assert_uint_gt(drain(SERVER, p.server), 0);
	world_end();
}

TEST(who_does_not_read_stops_who_sends, PURE)
{
	struct pair p;
	size_t sent = 0, got = 0;

	link_is((struct plait_link){ .latency = 0.01 });
	p = connected();
	for (int i = 0; i < 100; i++) {
		sent += fill(CLIENT, p.client);
		pass(1);
	}
	ck_assert_uint_gt(sent, 8000);
	ck_assert_uint_lt(sent, HUGE);
	for (int i = 0; i < 100; i++) {
		got += drain(SERVER, p.server);
		pass(1);
	}
	ck_assert_uint_eq(got, sent);
	ck_assert_uint_gt(fill(CLIENT, p.client), 0);
	world_end();
}

TEST(the_size_of_a_buffer_is_doubled, PURE)
{
	int fd = open_socket(CLIENT, AF_INET);

	ck_assert_int_eq(set(CLIENT, fd, SOL_SOCKET, SO_SNDBUF, 10000), 0);
	ck_assert_int_eq(set(CLIENT, fd, SOL_SOCKET, SO_RCVBUF, 1), 0);
	ck_assert_int_eq(get(CLIENT, fd, SOL_SOCKET, SO_SNDBUF), 20000);
	ck_assert_int_gt(get(CLIENT, fd, SOL_SOCKET, SO_RCVBUF), 2);
	world_end();
}

TEST(each_direction_ends_by_itself, PURE)
{
	struct pair p = connected();

	say(CLIENT, p.client, "ask");
	kernel_shutdown(kernels[CLIENT], p.client, SHUT_WR);
	ck_fails(say(CLIENT, p.client, "x"), EPIPE);
	pass(1);
	expect(SERVER, p.server, "ask");
	ck_assert_int_eq(hear(SERVER, p.server), 0);
	ck_assert_int_eq(hear(SERVER, p.server), 0);
	say(SERVER, p.server, "answer");
	pass(100);
	expect(CLIENT, p.client, "answer");
	shut(SERVER, p.server);
	pass(1);
	ck_assert_int_eq(hear(CLIENT, p.client), 0);
	world_end();
}

TEST(what_was_sent_before_close_arrives, PURE)
{
	struct pair p;
	size_t sent, got = 0;

	link_is((struct plait_link){ .latency = 0.3, .loss = 0.2 });
	p.listener = listen_at("0.0.0.0", 5);
	p.client = begin();
	pass(30);
	p.server = accept_at(p.listener);
	sent = fill(CLIENT, p.client);
	shut(CLIENT, p.client);
	for (int i = 0; i < 600; i++) {
		got += drain(SERVER, p.server);
		pass(1);
	}
	ck_assert_uint_eq(got, sent);
	ck_assert_int_eq(hear(SERVER, p.server), 0);
	world_end();
}

GROUP("resets", .setup = world_setup);

TEST(close_with_unread_input_resets, PURE)
{
	struct pair p = connected();

	say(CLIENT, p.client, "unread");
	pass(1);
	say(SERVER, p.server, "said");
	shut(SERVER, p.server);
	pass(1);
	expect(CLIENT, p.client, "said");
	ck_fails(hear(CLIENT, p.client), ECONNRESET);
	ck_assert_int_eq(hear(CLIENT, p.client), 0);
	ck_fails(say(CLIENT, p.client, "x"), EPIPE);
	world_end();
}

TEST(input_after_close_resets, PURE)
{
	struct pair p = connected();

	shut(SERVER, p.server);
	pass(1);
	ck_assert_int_eq(say(CLIENT, p.client, "late"), 4);
	pass(1);
	/* The end of its input was told: so it is a broken pipe. */
	ck_assert_int_eq(hear(CLIENT, p.client), 0);
	ck_assert_int_eq(error_of(CLIENT, p.client), EPIPE);
	world_end();
}

TEST(connecting_to_nobody_resets, PURE)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	struct pair p = connected();

	ck_assert_int_eq(kernel_connect(kernels[CLIENT], p.client, &nobody,
					sizeof(nobody)),
			 0);
	pass(1);
	ck_fails(hear(SERVER, p.server), ECONNRESET);
	ck_fails(connect_to(CLIENT, p.client, "10.0.0.1", PORT), EINPROGRESS);
	pass(1);
	ck_assert_int_ge(accept_at(p.listener), 0);
	world_end();
}

TEST(something_on_the_way_may_reset_both_ends, PURE)
{
	struct pair p = connected();

	link_is((struct plait_link){ .reset = 1 });
	say(CLIENT, p.client, "x");
	link_is((struct plait_link){ .reset = 0 });
	pass(1);
	ck_fails(hear(SERVER, p.server), ECONNRESET);
	ck_fails(hear(CLIENT, p.client), ECONNRESET);
	world_end();
}

GROUP("silence", .setup = world_setup);

TEST(a_host_that_has_restarted_knows_of_no_connection, PURE)
{
	struct pair p = connected();

	crash(SERVER);
	plait_host_restart(hosts[SERVER]);
	pass(3600);
	ck_fails(hear(CLIENT, p.client), EAGAIN);
	ck_assert_int_eq(say(CLIENT, p.client, "x"), 1);
	pass(1);
	ck_fails(hear(CLIENT, p.client), ECONNRESET);
	world_end();
}

TEST(a_host_that_loses_power_forgets_who_waits_there, PURE)
{
	int waiting, asking;

	listen_at("0.0.0.0", 5);
	waiting = begin();
	pass(1);
	link_is((struct plait_link){ .latency = 0.1 });
	asking = begin();
	pass(0.15);
	crash(SERVER);
	plait_host_restart(hosts[SERVER]);
	pass(1);
	ck_assert_int_eq(error_of(CLIENT, asking), ECONNRESET);
	ck_assert_int_eq(say(CLIENT, waiting, "x"), 1);
	pass(1);
	ck_assert_int_eq(error_of(CLIENT, waiting), ECONNRESET);
	world_end();
}

TEST(a_peer_that_has_vanished_is_asked_for_924_seconds, PURE)
{
	struct pair p = connected();

	crash(SERVER);
	say(CLIENT, p.client, "x");
	ck_assert_double_eq_tol(
		seconds_until_error(CLIENT, p.client, ETIMEDOUT), 924.6, 0.2);
	world_end();
}

TEST(bytes_whose_answers_are_lost_time_out_although_they_came, PURE)
{
	struct plait_link down = { .down = true };
	struct pair p = connected();

	plait_simulation_set_link(world, hosts[SERVER], hosts[CLIENT], &down);
	say(CLIENT, p.client, "x");
	ck_assert_double_eq_tol(
		seconds_until_error(CLIENT, p.client, ETIMEDOUT), 924.6, 0.2);
	expect(SERVER, p.server, "x");
	world_end();
}

TEST(a_connection_that_is_kept_alive_notices_that_its_peer_is_gone, PURE)
{
	struct pair p = connected();

	ck_assert_int_eq(set(CLIENT, p.client, SOL_SOCKET, SO_KEEPALIVE, 1), 0);
	pass(10 * 7200);
	ck_assert_int_eq(error_of(CLIENT, p.client), 0);
	crash(SERVER);
	pass(7200 + 900);
	ck_assert_int_eq(error_of(CLIENT, p.client), 0);
	pass(7200);
	ck_assert_int_eq(error_of(CLIENT, p.client), ETIMEDOUT);
	world_end();
}

/* Each time a few are lost, in all more than would end a connection. */
TEST(a_probe_that_is_answered_in_the_end_is_forgotten, PURE)
{
	struct pair p = connected();

	ck_assert_int_eq(set(CLIENT, p.client, SOL_SOCKET, SO_KEEPALIVE, 1), 0);
	for (int i = 0; i < 20; i++) {
		say(SERVER, p.server, "x");
		pass(7199);
		expect(CLIENT, p.client, "x");
		link_is((struct plait_link){ .down = true });
		pass(3);
		plait_simulation_heal(world);
		pass(200);
	}
	ck_assert_int_eq(error_of(CLIENT, p.client), 0);
	world_end();
}

TEST(a_link_that_heals_brings_what_was_lost, PURE)
{
	struct pair p = connected();

	link_is((struct plait_link){ .down = true });
	say(CLIENT, p.client, "late");
	pass(100);
	ck_fails(hear(SERVER, p.server), EAGAIN);
	plait_simulation_heal(world);
	pass(100);
	expect(SERVER, p.server, "late");
	world_end();
}

/* The same with the answer to what has come, and with room that was told. */
TEST(news_of_room_that_is_lost_is_asked_for, PURE)
{
	struct pair p = connected();
	size_t sent = fill(CLIENT, p.client), got = 0, more;

	pass(10);
	sent += fill(CLIENT, p.client);
	pass(10);
	link_is((struct plait_link){ .down = true });
	got += drain(SERVER, p.server);
	pass(0.1);
	plait_simulation_heal(world);
	do {
		pass(100);
		more = drain(SERVER, p.server);
		got += more;
	} while (more > 0);
	ck_assert_uint_eq(got, sent);
	world_end();
}

TEST(a_client_that_has_restarted_gets_through_to_the_same_port, PURE)
{
	struct pair p;
	int again;

	p.listener = listen_at("0.0.0.0", 5);
	p.client = open_socket(CLIENT, AF_INET);
	ck_assert_int_eq(bind_to(CLIENT, p.client, "0.0.0.0", 99), 0);
	ck_fails(connect_to(CLIENT, p.client, "10.0.0.1", PORT), EINPROGRESS);
	pass(1);
	p.server = accept_at(p.listener);
	crash(CLIENT);
	plait_host_restart(hosts[CLIENT]);
	pass(1);
	reactors[CLIENT] = plait_host_reactor(hosts[CLIENT]);
	kernels[CLIENT] = loop_kernel(reactors[CLIENT]);
	again = open_socket(CLIENT, AF_INET);
	ck_assert_int_eq(bind_to(CLIENT, again, "0.0.0.0", 99), 0);
	ck_fails(connect_to(CLIENT, again, "10.0.0.1", PORT), EINPROGRESS);
	pass(0.5);
	ck_fails(hear(SERVER, p.server), ECONNRESET);
	pass(1);
	ck_assert_int_eq(say(CLIENT, again, "x"), 1);
	ck_assert_int_ge(accept_at(p.listener), 0);
	world_end();
}

GROUP("descriptors", .setup = world_setup);

TEST(the_lowest_number_that_is_free_is_given, PURE)
{
	int a = open_socket(CLIENT, AF_INET), b = open_socket(CLIENT, AF_INET);

	ck_assert_int_eq(b, a + 1);
	shut(CLIENT, a);
	ck_fails(kernel_close(kernels[CLIENT], a), EBADF);
	ck_fails(hear(CLIENT, a), EBADF);
	ck_assert_int_eq(kernel_reserve(kernels[CLIENT]), a);
	ck_fails(hear(CLIENT, a), ENOTSOCK);
	world_end();
}

TEST(descriptors_run_out, PURE)
{
	const struct plait_simulation_options few = { .max_descriptors = 6 };
	struct pair p;
	int server;

	world_end();
	world_begin(&few);
	p = connected();
	ck_fails(kernel_socket(kernels[SERVER], AF_INET, SOCK_STREAM), EMFILE);
	begin();
	pass(1);
	ck_fails(accept_at(p.listener), EMFILE);
	shut(SERVER, p.server);
	server = accept_at(p.listener);
	ck_assert_int_eq(server, p.server);
	world_end();
}

struct told {
	struct plait_watch watch;
	unsigned n, events;
};

static void note_event(struct plait_watch *w, unsigned events)
{
	struct told *t = plait_container(w, struct told, watch);

	t->n++;
	t->events |= events;
}

struct told_stream {
	int fd;
	unsigned n, events;
};

static void note_stream_event(int *fd, unsigned events)
{
	struct told_stream *t = plait_container(fd, struct told_stream, fd);

	t->n++;
	t->events |= events;
}

TEST(a_hang_up_is_told_once, PURE)
{
	struct pair p = connected();
	struct told_stream t = { .fd = p.client };
	struct plait_reactor *r = reactors[CLIENT];

	ck_assert_int_eq(plait_i_watch_stream(r, &t.fd, 0, WATCH_HANGUP,
					      note_stream_event),
			 0);
	say(SERVER, p.server, "x");
	pass(1);
	ck_assert_uint_eq(t.n, 0);
	kernel_shutdown(kernels[SERVER], p.server, SHUT_WR);
	pass(1);
	ck_assert_uint_eq(t.n, 1);
	ck_assert_uint_eq(t.events, WATCH_HANGUP);
	plait_i_watch_stream_change(r, t.fd, 0);
	plait_i_watch_stream_change(r, t.fd, WATCH_HANGUP);
	pass(1);
	ck_assert_uint_eq(t.n, 2);
	plait_i_watch_stream_forget(r, &t.fd);
	world_end();
}

TEST(an_event_lasts_as_long_as_its_reason, PURE)
{
	struct pair p = connected();
	struct told t = { .n = 0 };

	ck_assert_int_eq(plait_watch_start(reactors[CLIENT], &t.watch, p.client,
					   PLAIT_WATCH_READ, note_event),
			 0);
	say(SERVER, p.server, "x");
	plait_reactor_iterate(reactors[CLIENT], 1);
	plait_reactor_iterate(reactors[CLIENT], 1);
	ck_assert_uint_eq(t.n, 2);
	expect(CLIENT, p.client, "x");
	t.n = 0;
	pass(1);
	ck_assert_uint_eq(t.n, 0);
	/* A descriptor that is closed is watched no more. */
	shut(CLIENT, p.client);
	ck_assert_int_eq(plait_watch_change(&t.watch, PLAIT_WATCH_WRITE), 0);
	pass(1);
	ck_assert_uint_eq(t.events, PLAIT_WATCH_READ | PLAIT_WATCH_LOST);
	world_end();
}

/* A batch has less room than there are events; each is told once before any
   is told again. */
TEST(events_that_find_no_room_come_next, PURE)
{
	enum { MANY = 400 };
	static struct told many[MANY];

	for (int i = 0; i < MANY; i++) {
		many[i] = (struct told){ .n = 0 };
		ck_assert_int_eq(
			plait_watch_start(reactors[CLIENT], &many[i].watch,
					  open_socket(CLIENT, AF_INET),
					  PLAIT_WATCH_WRITE, note_event),
			0);
	}
	plait_reactor_iterate(reactors[CLIENT], 1);
	plait_reactor_iterate(reactors[CLIENT], 1);
	for (int i = 0; i < MANY; i++) {
		ck_assert_uint_ge(many[i].n, 1);
		ck_assert_uint_le(many[i].n, 2);
		plait_watch_stop(&many[i].watch);
	}
	world_end();
}

static struct told *first_told;

static void note_first(struct plait_watch *w, unsigned events)
{
	if (first_told == NULL)
		first_told = plait_container(w, struct told, watch);
}

TEST(which_event_comes_first_is_chance, PURE)
{
	unsigned firsts[2] = { 0, 0 };
	struct told two[2];

	for (world_seed = 1; world_seed <= 30; world_seed++) {
		world_end();
		world_setup();
		first_told = NULL;
		for (int i = 0; i < 2; i++) {
			two[i] = (struct told){ .n = 0 };
			plait_watch_start(reactors[CLIENT], &two[i].watch,
					  open_socket(CLIENT, AF_INET),
					  PLAIT_WATCH_WRITE, note_first);
		}
		plait_reactor_iterate(reactors[CLIENT], 1);
		firsts[first_told - two]++;
		for (int i = 0; i < 2; i++)
			plait_watch_stop(&two[i].watch);
	}
	ck_assert_uint_gt(firsts[0], 5);
	ck_assert_uint_gt(firsts[1], 5);
	world_end();
}

GROUP("faults", .setup = world_setup);

static void faults_are(struct plait_host_faults f)
{
	for (int i = 0; i < 2; i++)
		plait_host_set_faults(hosts[i], &f);
}

TEST(reads_and_writes_may_be_short, PURE)
{
	struct pair p = connected();

	faults_are((struct plait_host_faults){ .short_read = 1,
					       .short_write = 1 });
	for (int i = 0; i < 100; i++)
		ck_assert_int_lt(say(CLIENT, p.client, "many bytes"), 10);
	pass(1);
	ck_assert_int_lt(hear(SERVER, p.server), 600);
	world_end();
}

TEST(who_tries_again_is_not_interrupted_again, PURE)
{
	struct pair p = connected();

	faults_are((struct plait_host_faults){ .interrupted = 1 });
	ck_fails(say(CLIENT, p.client, "x"), EINTR);
	ck_assert_int_eq(say(CLIENT, p.client, "x"), 1);
	pass(1);
	ck_fails(hear(SERVER, p.server), EINTR);
	expect(SERVER, p.server, "x");
	ck_fails(accept_at(p.listener), EINTR);
	ck_fails(accept_at(p.listener), EAGAIN);
	ck_fails(connect_to(CLIENT, open_socket(CLIENT, AF_INET), "10.0.0.1",
			    PORT),
		 EINTR);
	pass(1);
	ck_fails(accept_at(p.listener), EINTR);
	ck_assert_int_ge(accept_at(p.listener), 0);
	world_end();
}

TEST(descriptors_and_memory_may_be_missing, PURE)
{
	struct pair p = connected();

	faults_are((struct plait_host_faults){ .no_descriptors = 1 });
	ck_fails(kernel_socket(kernels[CLIENT], AF_INET, SOCK_STREAM), EMFILE);
	ck_fails(accept_at(p.listener), EMFILE);
	faults_are((struct plait_host_faults){ .no_memory = 1 });
	ck_fails(kernel_socket(kernels[CLIENT], AF_INET, SOCK_STREAM), ENOBUFS);
	ck_fails(say(CLIENT, p.client, "x"), ENOBUFS);
	ck_fails(accept_at(p.listener), ENOMEM);
	world_end();
}

TEST(an_event_may_come_for_nothing, PURE)
{
	struct pair p = connected();
	struct told t = { .n = 0 };

	faults_are((struct plait_host_faults){ .spurious = 1 });
	ck_assert_int_eq(plait_watch_start(reactors[CLIENT], &t.watch, p.client,
					   PLAIT_WATCH_READ, note_event),
			 0);
	for (int i = 0; i < 1000 && t.n == 0; i++)
		plait_reactor_iterate(reactors[CLIENT], 0);
	ck_assert_uint_eq(t.n, 1);
	ck_fails(hear(CLIENT, p.client), EAGAIN);
	plait_watch_stop(&t.watch);
	world_end();
}

/* ---- mistakes ------------------------------------------------------------ */

/* By then the number may be another's, so it is no small mistake. */
TEST(who_closes_a_descriptor_twice_fails_the_run, PURE)
{
	int fd = kernel_socket(kernels[SERVER], AF_INET, SOCK_STREAM);

	ck_assert_int_eq(kernel_close(kernels[SERVER], fd), 0);
	ck_assert_ptr_null(plait_simulation_failure(world));
	ck_assert_int_eq(kernel_close(kernels[SERVER], fd), -1);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_ptr_nonnull(strstr(plait_simulation_failure(world),
				     "of server closes descriptor"));
	world_end();
}

/* ---- without memory ------------------------------------------------------ */

static void close_if_open(struct kernel *k, int fd)
{
	if (fd >= 0)
		kernel_close(k, fd);
}

/* What two programs would do, whatever fails of it. */
static void struggle(void)
{
	struct kernel *s = kernels[SERVER], *c = kernels[CLIENT];
	union name any = name_of("0.0.0.0", PORT),
		   to = name_of("10.0.0.1", PORT);
	int listener = kernel_socket(s, AF_INET, SOCK_STREAM), client, server;

	kernel_bind(s, listener, &any.any, size_of(&any));
	kernel_listen(s, listener, 5);
	client = kernel_socket(c, AF_INET, SOCK_STREAM);
	kernel_connect(c, client, &to.any, size_of(&to));
	pass(1);
	server = kernel_accept(s, listener, NULL, NULL);
	kernel_send(c, client, huge, 10000, MSG_NOSIGNAL);
	kernel_send(s, server, huge, 10000, MSG_NOSIGNAL);
	pass(1);
	hear(SERVER, server);
	hear(CLIENT, client);
	pass(1);
	close_if_open(c, client);
	close_if_open(s, listener);
	pass(1);
	close_if_open(s, server);
}

TEST(without_memory_calls_fail_and_nothing_else, PURE, TIMES(2))
{
	bool reached = true;

	for (unsigned long n = 1; reached; n++) {
		fault_alloc_at(n, _i == 1);
		struggle();
		reached = fault_alloc_reached();
		fault_alloc_off();
		pass(2000);
		for (int i = 0; i < 2; i++)
			ck_assert_uint_eq(plait_i_sockets_count(hosts[i]), 0);
	}
	world_end();
}

/* ---- whatever happens ---------------------------------------------------- */

/*
 * Two hosts do random things to each other, over links that lose, delay and
 * reset, and crash.  Each end sends the same bytes, each by its place.  What
 * comes must be a beginning of them; and when the links are healed, all of it
 * comes, if nothing has broken.
 */
enum { ENDS = 6 };

struct end {
	int fd;		   /* -1: none */
	uint64_t names[2]; /* its own, and of its peer; 0: not known yet */
	size_t sent, received;
	bool is_over;
};

static struct end ends[2][ENDS];
static int listeners[2];

static uint64_t draw(uint64_t n)
{
	return plait_simulation_below(world, "test", n);
}

static unsigned char byte_at(size_t i)
{
	return (unsigned char)(i * 7 + i / 251);
}

static void end_sends(int host, struct end *e, size_t n)
{
	ssize_t rc;

	for (size_t i = 0; i < n; i++)
		huge[i] = (char)byte_at(e->sent + i);
	rc = kernel_send(kernels[host], e->fd, huge, n, MSG_NOSIGNAL);
	if (rc > 0)
		e->sent += (size_t)rc;
	else if (errno != EAGAIN)
		e->is_over = true;
}

static bool end_receives(int host, struct end *e, size_t n)
{
	ssize_t rc = kernel_recv(kernels[host], e->fd, huge, n, 0);

	for (ssize_t i = 0; i < rc; i++, e->received++)
		ck_assert_int_eq((unsigned char)huge[i], byte_at(e->received));
	if (rc == 0 || (rc < 0 && errno != EAGAIN))
		e->is_over = true;
	return rc > 0;
}

static struct end *end_free(int host)
{
	for (struct end *e = ends[host]; e < ends[host] + ENDS; e++) {
		if (e->fd < 0)
			return e;
	}
	return NULL;
}

static void end_begins(int host, int fd)
{
	struct end *e = end_free(host);

	*e = (struct end){ .fd = fd };
}

static void end_closes(int host, struct end *e)
{
	struct linger now = { .l_onoff = draw(4) == 0 };

	kernel_setsockopt(kernels[host], e->fd, SOL_SOCKET, SO_LINGER, &now,
			  sizeof(now));
	kernel_close(kernels[host], e->fd);
	e->fd = -1;
}

static void host_connects(int host)
{
	const char *to = plait_host_address(hosts[draw(8) == 0 ? host : !host]);
	int fd;

	if (end_free(host) == NULL)
		return;
	fd = open_socket(host, AF_INET);
	if (draw(8) == 0)
		bind_to(host, fd, "0.0.0.0", (unsigned)(PORT + draw(2)));
	connect_to(host, fd, to, PORT);
	end_begins(host, fd);
}

static void host_accepts(int host)
{
	int fd = end_free(host) != NULL
			 ? kernel_accept(kernels[host], listeners[host], NULL,
					 NULL)
			 : -1;

	if (fd >= 0)
		end_begins(host, fd);
}

static void host_begins(int host)
{
	for (int i = 0; i < ENDS; i++)
		ends[host][i].fd = -1;
	listeners[host] = open_socket(host, AF_INET);
	set(host, listeners[host], SOL_SOCKET, SO_REUSEADDR, 1);
	bind_to(host, listeners[host], "0.0.0.0", PORT);
	kernel_listen(kernels[host], listeners[host], (int)draw(3));
}

static void host_crashes(int host)
{
	crash(host);
	pass((double)draw(3000) / 10);
	plait_host_restart(hosts[host]);
	reactors[host] = plait_host_reactor(hosts[host]);
	kernels[host] = loop_kernel(reactors[host]);
	host_begins(host);
}

static void links_change(void)
{
	static const double chances[] = { 0, 0, 0.01, 0.3 };
	struct plait_host *from = draw(2) ? hosts[draw(2)] : NULL;
	struct plait_link link = { .latency = 0 };

	/* One draw a statement: an initialiser list runs in any order. */
	link.latency = (double)draw(100) / 1000;
	link.jitter = (double)draw(100) / 1000;
	link.rate = draw(2) ? 1e5 : 0;
	link.loss = chances[draw(4)];
	link.reset = chances[draw(4)] / 10;
	link.down = draw(8) == 0;
	link.unreachable = draw(8) == 0;
	plait_simulation_set_link(world, from, NULL, &link);
}

static void random_step(void)
{
	int host = (int)draw(2);
	struct end *e = &ends[host][draw(ENDS)];
	uint64_t what = draw(100);

	if (what < 10)
		host_connects(host);
	else if (what < 20)
		host_accepts(host);
	else if (what < 30)
		pass((double)(UINT64_C(1) << draw(20)) / 10000);
	else if (what < 32)
		links_change();
	else if (what == 32 && draw(4) == 0)
		host_crashes(host);
	else if (e->fd < 0)
		return;
	else if (what < 60)
		end_sends(host, e, 1 + (size_t)draw(20000));
	else if (what < 90)
		end_receives(host, e, 1 + (size_t)draw(20000));
	else if (what < 93)
		kernel_shutdown(kernels[host], e->fd, (int)draw(3));
	else if (what < 96)
		end_closes(host, e);
}

static void end_looks(int host, struct end *e)
{
	union name n;

	for (int i = 0; i < 2; i++) {
		socklen_t len = sizeof(n);
		int rc = i == 0 ? kernel_getsockname(kernels[host], e->fd,
						     &n.any, &len)
				: kernel_getpeername(kernels[host], e->fd,
						     &n.any, &len);

		e->names[i] = rc < 0 ? 0
				     : (uint64_t)n.in.sin_addr.s_addr << 16 |
					       n.in.sin_port;
	}
}

static bool all_receive(void)
{
	bool more = false;

	for (int host = 0; host < 2; host++) {
		host_accepts(host);
		for (struct end *e = ends[host]; e < ends[host] + ENDS; e++) {
			if (e->fd < 0)
				continue;
			end_looks(host, e);
			more |= end_receives(host, e, HUGE);
		}
	}
	return more;
}

static void expect_all_of(const struct end *a, const struct end *b)
{
	if (a->fd < 0 || b->fd < 0 || a == b || a->is_over || b->is_over ||
	    a->names[1] == 0 || a->names[0] != b->names[1] ||
	    a->names[1] != b->names[0])
		return;
	ck_assert_msg(a->sent == b->received && b->sent == a->received,
		      "seed %lu: %zu of %zu bytes, %zu of %zu",
		      (unsigned long)world_seed, b->received, a->sent,
		      a->received, b->sent);
}

static void nothing_is_left_of_it(void)
{
	for (int host = 0; host < 2; host++) {
		for (struct end *e = ends[host]; e < ends[host] + ENDS; e++) {
			if (e->fd >= 0)
				end_closes(host, e);
		}
		kernel_close(kernels[host], listeners[host]);
	}
	pass(3000);
	for (int host = 0; host < 2; host++)
		ck_assert_msg(plait_i_sockets_count(hosts[host]) == 0,
			      "seed %lu: sockets are left",
			      (unsigned long)world_seed);
}

static void random_calls(unsigned seed)
{
	static const struct plait_simulation_options perfect;
	int quiet = 0;

	world_end();
	world = NULL;
	world_seed = seed;
	world_begin(&perfect);
	host_begins(SERVER);
	host_begins(CLIENT);
	for (int i = 0; i < 400; i++)
		random_step();
	plait_simulation_heal(world);
	while (quiet < 3) {
		pass(200);
		quiet = all_receive() ? 0 : quiet + 1;
	}
	for (int i = 0; i < ENDS; i++) {
		for (int k = 0; k < ENDS; k++)
			expect_all_of(&ends[SERVER][i], &ends[CLIENT][k]);
	}
	nothing_is_left_of_it();
}

TEST(whatever_is_called_bytes_come_in_order_and_all_of_them, PURE)
{
	const char *seeds = getenv("PLAIT_SEEDS");
	unsigned n = seeds != NULL ? (unsigned)atoi(seeds) : 50;
	const char *one = getenv("PLAIT_SEED");

	if (one != NULL)
		random_calls((unsigned)atoi(one));
	for (unsigned i = 0; one == NULL && i < n; i++)
		random_calls(i);
	world_end();
}

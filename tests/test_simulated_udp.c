/*
 * Datagrams on the simulated kernel: what links do to them.  That the calls
 * answer as Linux does is shown by test_lockstep.c.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h> /* which errqueue.h needs */
#include <linux/errqueue.h>

#include <plait/simulation.h>

#include "reactor/simulation/world.h"
#include "tests/harness.h"

enum { SERVER, CLIENT, PORT = 53, SIZE = 100 };

static struct plait_simulation *world;
static struct plait_host *hosts[2];
static struct plait_reactor *reactors[2];
static struct kernel *kernels[2];
static int servers, client; /* their sockets */
static char count;	    /* what was said last */

union name {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_storage room;
};

static void host_begins(int i)
{
	reactors[i] = plait_host_reactor(hosts[i]);
	kernels[i] = loop_kernel(reactors[i]);
}

static void begin(uint64_t seed, const struct plait_simulation_options *options)
{
	count = 0;
	world = plait_simulation_new(seed, options);
	for (int i = 0; i < 2; i++) {
		hosts[i] =
			plait_simulation_host(world, i ? "client" : "server");
		host_begins(i);
	}
}

static void world_setup(void)
{
	static const struct plait_simulation_options perfect;

	begin(1, &perfect);
}

static void world_end(void)
{
	kernel_close(kernels[SERVER], servers);
	kernel_close(kernels[CLIENT], client);
	for (int i = 0; i < 2; i++)
		plait_reactor_free(&reactors[i]);
	plait_simulation_free(&world);
}

GROUP("udp", .setup = world_setup);

static void pass(double seconds)
{
	int rc = plait_simulation_run(world, seconds);

	ck_assert_msg(rc == 0 || rc == -EDEADLK, "%s", strerror(-rc));
}

static void link_is(struct plait_link link)
{
	plait_simulation_set_link(world, NULL, NULL, &link);
}

static socklen_t name_of(union name *n, const char *ip, unsigned port)
{
	*n = (union name){ .in = { .sin_family = AF_INET,
				   .sin_port = htons((uint16_t)port) } };
	if (inet_pton(AF_INET, ip, &n->in.sin_addr) == 1)
		return sizeof(n->in);
	n->in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
					.sin6_port = htons((uint16_t)port) };
	ck_assert_int_eq(inet_pton(AF_INET6, ip, &n->in6.sin6_addr), 1);
	return sizeof(n->in6);
}

static const char *text_of(const union name *n)
{
	static char text[INET6_ADDRSTRLEN];
	const void *ip = n->any.sa_family == AF_INET
				 ? (const void *)&n->in.sin_addr
				 : (const void *)&n->in6.sin6_addr;

	return inet_ntop(n->any.sa_family, ip, text, sizeof(text));
}

static int open_socket(int host, const char *ip)
{
	int family = strchr(ip, ':') != NULL ? AF_INET6 : AF_INET;
	int fd = kernel_socket(kernels[host], family, SOCK_DGRAM);

	ck_assert_int_ge(fd, 3);
	return fd;
}

static void serve(const char *ip)
{
	union name n;
	socklen_t len = name_of(&n, ip, PORT);

	servers = open_socket(SERVER, ip);
	ck_assert_int_eq(kernel_bind(kernels[SERVER], servers, &n.any, len), 0);
}

static int connect_to(int fd, const char *ip, unsigned port)
{
	union name n;
	socklen_t len = name_of(&n, ip, port);

	return kernel_connect(kernels[CLIENT], fd, &n.any, len);
}

/* A client that is connected to the server. */
static void ask(const char *ip)
{
	client = open_socket(CLIENT, ip);
	ck_assert_int_eq(connect_to(client, ip, PORT), 0);
}

static ssize_t say(size_t len)
{
	static char huge[70000];

	huge[0] = count++;
	return kernel_send(kernels[CLIENT], client, huge, len, 0);
}

/* How many have come to the server; and how many are behind a later one. */
static int heard(int *overtaken)
{
	static char huge[70000];
	int n = 0, last = -1;
	ssize_t rc;

	*overtaken = 0;
	while ((rc = kernel_recv(kernels[SERVER], servers, huge, sizeof(huge),
				 0)) >= 0 ||
	       errno == EINTR) {
		if (rc < 0)
			continue;
		*overtaken += huge[0] < last;
		last = huge[0];
		n++;
	}
	ck_assert_int_eq(errno, EAGAIN);
	return n;
}

static int heard_any(void)
{
	int overtaken;

	return heard(&overtaken);
}

#define ck_fails(call, err)                                                    \
	do {                                                                   \
		ck_assert_int_eq(call, -1);                                    \
		ck_assert_str_eq(strerrorname_np(errno), #err);                \
	} while (0)

static const char *const addresses[] = { "10.0.0.1", "fd00::1" };

TEST(a_datagram_comes_with_the_address_of_its_sender, PURE, EACH_OF(addresses))
{
	static const char *const senders[] = { "10.0.0.2", "fd00::2" };
	char room[SIZE];
	struct iovec piece = { room, sizeof(room) };
	union name from;
	struct msghdr m = { .msg_iov = &piece,
			    .msg_iovlen = 1,
			    .msg_name = &from,
			    .msg_namelen = sizeof(from) };

	serve(addresses[_i]);
	ask(addresses[_i]);
	ck_assert_int_eq(say(5), 5);
	pass(0);
	ck_assert_int_eq(kernel_recvmsg(kernels[SERVER], servers, &m, 0), 5);
	ck_assert_str_eq(text_of(&from), senders[_i]);
	ck_assert_int_eq(kernel_sendmsg(kernels[SERVER], servers, &m, 0), SIZE);
	pass(0);
	ck_assert_int_eq(kernel_recv(kernels[CLIENT], client, room, SIZE, 0),
			 SIZE);
	world_end();
}

TEST(connect_chooses_an_address_and_sends_nothing, PURE)
{
	static const struct {
		const char *to, *from;
	} ways[] = {
		{ "10.0.0.1", "10.0.0.2" },   { "fd00::1", "fd00::2" },
		{ "127.0.0.1", "127.0.0.1" }, { "::1", "::1" },
		{ "10.0.0.2", "10.0.0.2" },
	};
	union name n;

	serve("0.0.0.0");
	client = open_socket(CLIENT, "0.0.0.0");
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		int fd = open_socket(CLIENT, ways[i].to);
		socklen_t len = sizeof(n);

		ck_assert_int_eq(connect_to(fd, ways[i].to, PORT), 0);
		kernel_getsockname(kernels[CLIENT], fd, &n.any, &len);
		ck_assert_str_eq(text_of(&n), ways[i].from);
		ck_assert_int_ne(n.in.sin_port, 0);
		kernel_close(kernels[CLIENT], fd);
	}
	ck_fails(connect_to(client, "192.0.2.1", PORT), ENETUNREACH);
	pass(1);
	ck_assert_int_eq(heard_any(), 0);
	world_end();
}

TEST(a_port_that_nobody_has_is_told_to_who_is_connected, PURE)
{
	char room[SIZE];

	link_is((struct plait_link){ .latency = 0.1 });
	client = open_socket(CLIENT, "10.0.0.1");
	ck_assert_int_eq(connect_to(client, "10.0.0.1", PORT), 0);
	say(1);
	pass(0.15);
	ck_fails(kernel_recv(kernels[CLIENT], client, room, SIZE, 0), EAGAIN);
	pass(0.1);
	ck_assert(kernel_is_readable(kernels[CLIENT], client));
	ck_fails(kernel_recv(kernels[CLIENT], client, room, SIZE, 0),
		 ECONNREFUSED);
	serve("0.0.0.0");
	say(1);
	pass(0.2);
	ck_assert_int_eq(heard_any(), 1);
	world_end();
}

/* The errno that the queue of the client tells, or 0. */
static unsigned error_told(void)
{
	char room[SIZE], control[SIZE];
	struct iovec piece = { room, sizeof(room) };
	struct msghdr m = { .msg_iov = &piece,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct sock_extended_err e;

	if (kernel_recvmsg(kernels[CLIENT], client, &m, MSG_ERRQUEUE) < 0)
		return 0;
	memcpy(&e, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(e));
	return e.ee_errno;
}

TEST(a_host_that_cannot_be_reached_is_told_by_the_queue_alone, PURE)
{
	int one = 1;

	serve("0.0.0.0");
	ask("10.0.0.77");
	say(1);
	pass(4);
	ck_assert_uint_eq(error_told(), 0);
	kernel_setsockopt(kernels[CLIENT], client, IPPROTO_IP, IP_RECVERR, &one,
			  sizeof(one));
	say(1);
	pass(2.9);
	ck_assert_uint_eq(error_told(), 0);
	pass(0.2);
	ck_assert_uint_eq(error_told(), EHOSTUNREACH);
	ck_assert_int_eq(connect_to(client, "10.0.0.1", PORT), 0);
	link_is((struct plait_link){ .unreachable = true });
	say(1);
	pass(0.1);
	ck_assert_uint_eq(error_told(), EHOSTUNREACH);
	world_end();
}

TEST(some_are_lost_and_nobody_sends_them_again, PURE)
{
	int n;

	link_is((struct plait_link){ .loss = 0.5, .latency = 0.01 });
	serve("0.0.0.0");
	ask("10.0.0.1");
	for (int i = 0; i < SIZE; i++)
		say(10);
	pass(1000);
	n = heard_any();
	ck_assert_int_gt(n, 20);
	ck_assert_int_lt(n, 80);
	world_end();
}

TEST(some_come_twice, PURE)
{
	int n;

	link_is((struct plait_link){ .duplicate = 0.5 });
	serve("0.0.0.0");
	ask("10.0.0.1");
	for (int i = 0; i < SIZE; i++)
		say(10);
	pass(1);
	n = heard_any();
	ck_assert_int_gt(n, 120);
	ck_assert_int_lt(n, 180);
	world_end();
}

TEST(jitter_lets_some_overtake_others, PURE)
{
	int overtaken;

	link_is((struct plait_link){ .latency = 0.1, .jitter = 0.1 });
	serve("0.0.0.0");
	ask("10.0.0.1");
	for (int i = 0; i < SIZE; i++)
		say(10);
	pass(1);
	ck_assert_int_eq(heard(&overtaken), SIZE);
	ck_assert_int_gt(overtaken, 10);
	world_end();
}

TEST(a_large_one_is_lost_if_any_of_its_pieces_is, PURE)
{
	int small, large;

	link_is((struct plait_link){ .loss = 0.1, .mtu = 1500 });
	serve("0.0.0.0");
	ask("10.0.0.1");
	for (int i = 0; i < SIZE; i++)
		say(1400);
	pass(1);
	small = heard_any();
	for (int i = 0; i < SIZE; i++) {
		say(15000);
		pass(1);
	}
	/* 11 pieces each: 31 of a hundred arrive. */
	large = heard_any();
	ck_assert_int_gt(small, 80);
	ck_assert_int_lt(large, 50);
	world_end();
}

TEST(what_must_not_be_cut_and_is_too_large_is_refused, PURE)
{
	int only = IP_PMTUDISC_DO;

	link_is((struct plait_link){ .mtu = 1500 });
	serve("0.0.0.0");
	ask("10.0.0.1");
	ck_assert_int_eq(say(1473), 1473);
	kernel_setsockopt(kernels[CLIENT], client, IPPROTO_IP, IP_MTU_DISCOVER,
			  &only, sizeof(only));
	ck_fails(say(1473), EMSGSIZE);
	ck_assert_int_eq(say(1472), 1472);
	pass(1);
	ck_assert_int_eq(heard_any(), 2);
	world_end();
}

TEST(what_a_slow_link_has_no_room_for_is_refused_until_it_has, PURE)
{
	int n = 0;

	link_is((struct plait_link){ .rate = 1e5 });
	serve("0.0.0.0");
	ask("10.0.0.1");
	while (say(1000) == 1000)
		n++;
	ck_assert_str_eq(strerrorname_np(errno), "EAGAIN");
	ck_assert_int_gt(n, 100);
	ck_assert_int_lt(n, 300);
	pass(0.5);
	ck_assert_int_eq(heard_any(), 48);
	pass(2);
	ck_assert_int_eq(say(1000), 1000);
	world_end();
}

/* Half of 6,000 bytes wait when the socket is writable again. */
TEST(a_socket_that_is_writable_takes_a_datagram_of_any_size, PURE)
{
	int size = 3000;

	link_is((struct plait_link){ .rate = 1e5 });
	serve("0.0.0.0");
	ask("10.0.0.1");
	kernel_setsockopt(kernels[CLIENT], client, SOL_SOCKET, SO_SNDBUF, &size,
			  sizeof(size));
	ck_assert_int_eq(say(5000), 5000);
	ck_assert_int_eq(say(5000), 5000);
	ck_fails(say(5000), EAGAIN);
	pass(0.071);
	ck_assert_int_eq(say(5000), 5000);
	ck_fails(say(5000), EAGAIN);
	world_end();
}

TEST(a_queue_that_is_full_drops_what_comes, PURE)
{
	int n;

	serve("0.0.0.0");
	ask("10.0.0.1");
	for (int i = 0; i < 1000; i++)
		say(1000);
	pass(1);
	n = heard_any();
	ck_assert_int_gt(n, 50);
	ck_assert_int_lt(n, 300);
	say(1);
	pass(1);
	ck_assert_int_eq(heard_any(), 1);
	world_end();
}

/* ---- groups -------------------------------------------------------------- */

static const struct {
	const char *group, *any, *server, *client;
} nets[] = {
	{ "239.1.2.3", "0.0.0.0", "10.0.0.1", "10.0.0.2" },
	{ "ff02::1:3", "::", "fd00::1", "fd00::2" },
};

enum { NETS = sizeof(nets) / sizeof(*nets) };

/* A socket of that host joins; source may be NULL. */
static void join_group(int host, int fd, const char *group, const char *source)
{
	struct group_source_req req = { .gsr_interface = 2 };
	union name n;
	int level = strchr(group, ':') ? IPPROTO_IPV6 : IPPROTO_IP;

	name_of(&n, group, 0);
	memcpy(&req.gsr_group, &n, sizeof(n));
	if (source != NULL) {
		name_of(&n, source, 0);
		memcpy(&req.gsr_source, &n, sizeof(n));
	}
	ck_assert_int_eq(kernel_setsockopt(kernels[host], fd, level,
					   source != NULL
						   ? MCAST_JOIN_SOURCE_GROUP
						   : MCAST_JOIN_GROUP,
					   &req, sizeof(req)),
			 0);
}

static void set_of_client(const char *group, int option, int option6, int value)
{
	bool v6 = strchr(group, ':') != NULL;

	ck_assert_int_eq(kernel_setsockopt(kernels[CLIENT], client,
					   v6 ? IPPROTO_IPV6 : IPPROTO_IP,
					   v6 ? option6 : option, &value,
					   sizeof(value)),
			 0);
}

/* A server for all addresses, and a client that is connected to the group. */
static void begin_group(int i)
{
	serve(nets[i].any);
	ask(nets[i].group);
}

/* How many of three the server hears. */
static int heard_of_three(void)
{
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(say(10), 10);
	pass(1);
	return heard_any();
}

TEST(a_group_is_heard_by_who_has_joined, PURE, TIMES(NETS))
{
	begin_group(_i);
	ck_assert_int_eq(heard_of_three(), 0);
	join_group(SERVER, servers, nets[_i].group, NULL);
	ck_assert_int_eq(heard_of_three(), 3);
	set_of_client(nets[_i].group, IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS, 0);
	ck_assert_int_eq(heard_of_three(), 0);
	world_end();
}

TEST(a_socket_that_wants_one_source_hears_no_other, PURE, TIMES(NETS))
{
	begin_group(_i);
	join_group(SERVER, servers, nets[_i].group, nets[_i].server);
	ck_assert_int_eq(heard_of_three(), 0);
	join_group(SERVER, servers, nets[_i].group, nets[_i].client);
	ck_assert_int_eq(heard_of_three(), 3);
	world_end();
}

TEST(a_host_hears_its_own_unless_the_sender_says_no, PURE, TIMES(NETS))
{
	int other = open_socket(CLIENT, nets[_i].any);
	char room[SIZE];
	union name n;
	socklen_t len = name_of(&n, nets[_i].any, PORT);

	ck_assert_int_eq(kernel_bind(kernels[CLIENT], other, &n.any, len), 0);
	begin_group(_i);
	join_group(CLIENT, other, nets[_i].group, NULL);
	heard_of_three();
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(
			kernel_recv(kernels[CLIENT], other, room, SIZE, 0), 10);
	set_of_client(nets[_i].group, IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP,
		      0);
	heard_of_three();
	ck_fails(kernel_recv(kernels[CLIENT], other, room, SIZE, 0), EAGAIN);
	kernel_close(kernels[CLIENT], other);
	world_end();
}

TEST(a_socket_hears_groups_of_others_unless_it_says_no, PURE, TIMES(NETS))
{
	int other, no = 0;
	bool v6 = _i == 1;
	union name n;
	socklen_t len;

	begin_group(_i);
	other = open_socket(SERVER, nets[_i].any);
	len = name_of(&n, nets[_i].any, PORT + 1);
	ck_assert_int_eq(kernel_bind(kernels[SERVER], other, &n.any, len), 0);
	join_group(SERVER, other, nets[_i].group, NULL);
	ck_assert_int_eq(heard_of_three(), 3);
	kernel_setsockopt(
		kernels[SERVER], servers, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
		v6 ? IPV6_MULTICAST_ALL : IP_MULTICAST_ALL, &no, sizeof(no));
	ck_assert_int_eq(heard_of_three(), 0);
	kernel_close(kernels[SERVER], other);
	world_end();
}

TEST(a_partition_loses_all_and_tells_nobody, PURE)
{
	serve("0.0.0.0");
	ask("10.0.0.1");
	link_is((struct plait_link){ .down = true });
	ck_assert_int_eq(say(1), 1);
	pass(60);
	ck_assert_int_eq(heard_any(), 0);
	link_is((struct plait_link){ .down = false });
	ck_assert_int_eq(say(1), 1);
	pass(1);
	ck_assert_int_eq(heard_any(), 1);
	world_end();
}

TEST(a_host_that_has_crashed_is_silent_and_then_refuses, PURE)
{
	char room[SIZE];

	serve("0.0.0.0");
	ask("10.0.0.1");
	say(1);
	plait_host_crash(hosts[SERVER]);
	plait_reactor_free(&reactors[SERVER]);
	say(1);
	pass(60);
	ck_fails(kernel_recv(kernels[CLIENT], client, room, SIZE, 0), EAGAIN);
	plait_host_restart(hosts[SERVER]);
	host_begins(SERVER);
	say(1);
	pass(1);
	ck_fails(kernel_recv(kernels[CLIENT], client, room, SIZE, 0),
		 ECONNREFUSED);
	serve("0.0.0.0");
	world_end();
}

TEST(what_is_on_its_way_when_all_ends_is_freed, PURE)
{
	serve("0.0.0.0");
	ask("10.0.0.1");
	link_is((struct plait_link){ .latency = 5 });
	say(1);
	pass(1);
	say(1);
	world_end();
}

TEST(netstat_shows_datagrams, PURE)
{
	struct plait_buf *b = plait_buf_new(PLAIT_BUF_UNBOUNDED);

	serve("0.0.0.0");
	ask("10.0.0.1");
	say(24);
	pass(0);
	ck_assert_int_eq(plait_host_netstat(hosts[SERVER], b), 0);
	ck_assert_mem_eq(plait_buf_data(b), "udp 600 0 0.0.0.0:53 0.0.0.0:*",
			 30);
	plait_buf_unref(&b);
	world_end();
}

static unsigned rooms, failures;

static void count_room(struct plait_datagram_protocol *p)
{
	rooms++;
}

static void count_failure(struct plait_datagram_protocol *p,
			  const struct plait_failure *why,
			  const struct plait_address *to)
{
	failures++;
	ck_assert_int_eq(plait_failure_errno(why), EAGAIN);
}

static const struct plait_datagram_ops counting_ops = {
	.name = "counting",
	.failed = count_failure,
	.room = count_room,
};

TEST(a_port_before_a_slow_link_is_told_when_there_is_room, PURE)
{
	static const char much[1000];
	struct plait_datagram_protocol p = { .ops = &counting_ops };
	struct plait_port *port;
	int n = 0, heard = 0, err;

	link_is((struct plait_link){ .rate = 1e5 });
	serve("0.0.0.0");
	client = open_socket(CLIENT, "0.0.0.0");
	ck_assert_int_eq(plait_connect_udp(reactors[CLIENT], "10.0.0.1", PORT,
					   &p, NULL, &port),
			 0);
	pass(0.01);
	while ((err = plait_datagram_send(&p, much, sizeof(much), NULL)) == 0)
		n++;
	ck_assert_int_eq(err, -EAGAIN);
	pass(0.01);
	ck_assert_uint_gt(failures, 0);
	ck_assert_uint_eq(rooms, 0);
	for (int i = 0; i < 50; i++) {
		pass(0.1);
		heard += heard_any();
	}
	ck_assert_uint_eq(rooms, 1);
	ck_assert_int_eq(heard + (int)failures, n);
	ck_assert_int_eq(plait_datagram_send(&p, much, sizeof(much), NULL), 0);
	plait_port_free(&port);
	pass(1);
	ck_assert_int_eq(heard_any(), 1);
	world_end();
}

static uint64_t digest_of(uint64_t seed)
{
	uint64_t digest;

	begin(seed, NULL);
	serve("0.0.0.0");
	ask("10.0.0.1");
	for (int i = 0; i < SIZE; i++) {
		say((size_t)i * 30);
		pass(0.001);
		heard_any();
	}
	digest = plait_simulation_digest(world);
	world_end();
	return digest;
}

GROUP("seeds");

TEST(the_same_seed_does_the_same_to_datagrams, PURE, TIMES(20))
{
	ck_assert_uint_eq(digest_of((uint64_t)_i), digest_of((uint64_t)_i));
}

/*
 * Limits on connections: how they are counted, who is refused and who waits,
 * and that it is told.
 */
#include <sys/socket.h>
#include <sys/wait.h>

#include <plait/testing.h>

#include "tests/actor.h"
#include "tests/trace.h"

static struct actor server, client;
static struct plait_limited_factory limited;
static struct plait_port *port;

static void note_limited(struct plait_limited_factory *f,
			 enum plait_limited what,
			 const struct plait_address *peer)
{
	static const char *const names[] = {
		[PLAIT_LIMITED_TOTAL] = "total",
		[PLAIT_LIMITED_ADDRESS] = "address",
		[PLAIT_LIMITED_PORTS] = "ports",
	};
	char text[PLAIT_ADDRESS_SIZE];

	ck_assert_ptr_eq(f, &limited);
	plait_address_host(peer, text, sizeof(text));
	trace_add("%s(%s)", names[what], text);
	errno = ENOMEM;
}

/* A factory with these limits in front of the server. */
static struct plait_factory *limit(unsigned total, unsigned per_address,
				   bool wait)
{
	actor_init(&server);
	actor_init(&client);
	limited = (struct plait_limited_factory){
		.max_connections = total,
		.max_per_address = per_address,
		.wait = wait,
		.limited = note_limited,
	};
	plait_limited_factory_init(&limited, &server.base);
	return &limited.base.base;
}

static struct plait_address address_of(const char *host)
{
	struct plait_address a = { .family = 0 };

	if (*host != '\0')
		ck_assert_int_eq(plait_address_parse(&a, host, 80), 0);
	return a;
}

static struct plait_protocol *come_from(const char *host)
{
	struct plait_address a = address_of(host);

	return plait_factory_build_protocol(&limited.base.base, &a);
}

/* ---- who counts as whom ------------------------------------------------- */

static const struct {
	const char *first, *second;
	bool same;
} peers[] = {
	{ "192.0.2.1", "192.0.2.1", true },
	{ "192.0.2.1", "192.0.2.2", false },
	{ "2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true },
	{ "2001:db8:1:2::1", "2001:db8:1:3::1", false },
	{ "::ffff:192.0.2.1", "192.0.2.1", true },
	{ "::ffff:192.0.2.1", "::ffff:192.0.2.2", false },
	{ "::1", "::2", true },
	{ "::1", "127.0.0.1", false },
	{ "fe80::1%2", "fe80::2%2", true },
	{ "fe80::1%2", "fe80::1%3", false },
	{ "", "", false },
	{ "", "0.0.0.0", false },
};

GROUP("counting");

TEST(one_client_is_an_ipv4_address_or_an_ipv6_network_of_64_bits, PURE,
     EACH_OF(peers))
{
	struct plait_address first = address_of(peers[_i].first);
	struct plait_protocol *a, *b;

	limit(0, 1, false);
	a = come_from(peers[_i].first);
	ck_assert_ptr_nonnull(a);
	ck_assert_uint_eq(
		plait_limited_factory_connections_of(&limited, &first),
		*peers[_i].first != '\0');
	b = come_from(peers[_i].second);
	ck_assert_int_eq(b == NULL, peers[_i].same);
	ck_assert_uint_eq(limited.refused_address, peers[_i].same);
	plait_protocol_free(&a);
	plait_protocol_free(&b);
	a = come_from(peers[_i].second);
	ck_assert_ptr_nonnull(a);
	plait_protocol_free(&a);
	ck_assert_uint_eq(limited.connections, 0);
	ck_assert_uint_eq(
		plait_limited_factory_connections_of(&limited, &first), 0);
}

/* What is counted, kept as simply as can be. */
enum { HOSTS = 300, PLACES = 500, ARRIVALS = 40000 };

struct model {
	struct plait_protocol *guests[PLACES];
	unsigned host[PLACES];
	unsigned of_host[HOSTS];
	unsigned total;
	uint64_t refused_total, refused_address;
};

static uint32_t state = 1;

static unsigned chance(unsigned n)
{
	state = state * 1664525 + 1013904223;
	return (state >> 8) % n;
}

static const char *name_of(unsigned host)
{
	static char text[32];

	snprintf(text, sizeof(text), "10.0.%u.%u", host / 256, host % 256);
	return text;
}

static void arrive(struct model *m, unsigned place)
{
	unsigned host = chance(chance(2) ? 5 : HOSTS);
	bool full = m->total == limited.max_connections;
	bool busy = m->of_host[host] == limited.max_per_address;

	m->guests[place] = come_from(name_of(host));
	ck_assert_int_eq(m->guests[place] != NULL, !full && !busy);
	m->refused_total += full;
	m->refused_address += !full && busy;
	if (m->guests[place] == NULL)
		return;
	m->host[place] = host;
	m->of_host[host]++;
	m->total++;
}

static void leave(struct model *m, unsigned place)
{
	m->of_host[m->host[place]]--;
	m->total--;
	plait_protocol_free(&m->guests[place]);
}

TEST(random_arrivals_are_let_in_as_a_model_says, PURE, TIMES(4))
{
	static struct model m;
	struct plait_address a;
	unsigned place;

	state = (uint32_t)_i + 1;
	limit(_i < 2 ? 40 : 400, _i % 2 ? 3 : 9, false);
	limited.limited = NULL;
	for (int i = 0; i < ARRIVALS; i++) {
		place = chance(PLACES);
		if (m.guests[place] == NULL)
			arrive(&m, place);
		else
			leave(&m, place);
		a = address_of(name_of(place % HOSTS));
		ck_assert_uint_eq(limited.connections, m.total);
		ck_assert_uint_eq(
			plait_limited_factory_connections_of(&limited, &a),
			m.of_host[place % HOSTS]);
	}
	ck_assert_uint_eq(limited.refused_total, m.refused_total);
	ck_assert_uint_eq(limited.refused_address, m.refused_address);
	for (place = 0; place < PLACES; place++)
		if (m.guests[place] != NULL)
			leave(&m, place);
	ck_assert_uint_eq(limited.connections, 0);
}

TEST(no_limit_is_no_limit, PURE)
{
	struct plait_protocol *guests[100];

	limit(0, 0, true);
	for (int i = 0; i < 100; i++)
		ck_assert_ptr_nonnull(guests[i] = come_from("192.0.2.1"));
	ck_assert_uint_eq(limited.connections, 100);
	for (int i = 0; i < 100; i++)
		plait_protocol_free(&guests[i]);
	assert_trace("");
}

static unsigned seen;

static void see(struct actor *a)
{
	seen = limited.connections;
}

TEST(connection_counts_while_its_protocol_is_built_and_not_if_refused, PURE)
{
	limit(1, 1, false);
	server.on_build = see;
	server.refuses = true;
	ck_assert_ptr_null(come_from("192.0.2.1"));
	ck_assert_int_ne(errno, ENOMEM);
	ck_assert_uint_eq(seen, 1);
	ck_assert_uint_eq(limited.connections, 0);
	ck_assert_uint_eq(limited.refused_total + limited.refused_address, 0);
	server.has_no_memory = true;
	ck_assert_ptr_null(come_from("192.0.2.1"));
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_uint_eq(limited.connections, 0);
}

TEST(without_memory_nobody_is_counted, PURE, TIMES(6))
{
	struct plait_protocol *p;

	limit(10, 10, false);
	fault_alloc_at((unsigned long)_i, false);
	p = come_from("192.0.2.1");
	fault_alloc_off();
	if (p == NULL)
		ck_assert_int_eq(errno, ENOMEM);
	ck_assert_int_eq(p == NULL, _i < 4);
	ck_assert_uint_eq(limited.connections, p != NULL);
	plait_protocol_free(&p);
	assert_trace("");
}

TEST(errno_of_the_hook_is_no_lack_of_memory, PURE)
{
	struct plait_protocol *p;

	limit(1, 0, false);
	p = come_from("192.0.2.1");
	ck_assert_ptr_null(come_from("192.0.2.1"));
	ck_assert_int_eq(errno, 0);
	assert_trace("total(192.0.2.1)");
	plait_protocol_free(&p);
}

/* ---- on ports ----------------------------------------------------------- */

static int fds[16];

static void open_port(struct plait_factory *f)
{
	const struct plait_listen_options o = { .iface = "127.0.0.1" };

	ck_assert_int_eq(plait_listen_tcp(reactor, 0, f, &o, &port), 0);
}

static uint16_t port_number(void)
{
	struct plait_address a;

	plait_port_host(port, &a);
	return (uint16_t)plait_address_port(&a);
}

static void come(int i)
{
	fds[i] = peer_connect(port_number());
}

static void go(int i)
{
	close(fds[i]);
	fds[i] = -1;
}

static void finish(void)
{
	actor_stop(reactor, &port);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(limited.connections, 0);
	ck_assert_uint_eq(server.base.users, 0);
}

GROUP("ports");

TEST(one_too_many_is_accepted_and_closed, ON_EACH_BACKEND)
{
	open_port(limit(2, 0, false));
	for (int i = 0; i < 3; i++) {
		come(i);
		if (i < 2)
			run_until_count(reactor, &server.made, (unsigned)i + 1);
	}
	ck_assert_int_eq(peer_read_to_eof(reactor, fds[2], NULL, 10), 0);
	ck_assert_uint_eq(server.made, 2);
	ck_assert_uint_eq(limited.refused_total, 1);
	assert_trace("total(127.0.0.1)");
	go(0);
	run_until_count(reactor, &server.lost, 1);
	run_turns(reactor, 2);
	come(0);
	run_until_count(reactor, &server.made, 3);
	finish();
	for (int i = 0; i < 3; i++)
		go(i);
}

static bool has_waited(void *arg)
{
	return limited.waits > 0;
}

TEST(ports_that_wait_accept_when_there_is_room, ON_EACH_BACKEND)
{
	open_port(limit(2, 0, true));
	for (int i = 0; i < 6; i++)
		come(i);
	run_until(reactor, has_waited, NULL);
	run_turns(reactor, 5);
	ck_assert_uint_eq(server.made, 2);
	ck_assert_uint_eq(limited.refused_total, 0);
	for (int i = 0; i < 4; i++) {
		go(i);
		run_until_count(reactor, &server.made, (unsigned)i + 3);
		ck_assert_uint_eq(limited.connections, 2);
	}
	ck_assert_uint_eq(limited.waits, 5);
	assert_trace("ports(127.0.0.1) ports(127.0.0.1) ports(127.0.0.1) "
		     "ports(127.0.0.1) ports(127.0.0.1)");
	go(4);
	go(5);
	run_until_count(reactor, &server.lost, 6);
	finish();
}

TEST(one_address_too_often_is_refused_and_others_come, ON_EACH_BACKEND)
{
	open_port(limit(10, 1, true));
	come(0);
	run_until_count(reactor, &server.made, 1);
	come(1);
	ck_assert_int_eq(peer_read_to_eof(reactor, fds[1], NULL, 10), 0);
	assert_trace("address(127.0.0.1)");
	ck_assert_uint_eq(limited.refused_address, 1);
	go(0);
	run_until_count(reactor, &server.lost, 1);
	run_turns(reactor, 2);
	come(0);
	run_until_count(reactor, &server.made, 2);
	go(0);
	go(1);
	run_until_count(reactor, &server.lost, 2);
	finish();
}

static struct plait_transport *accepted(struct plait_port *p)
{
	struct plait_transport *t = plait_testing_accept(p);

	plait_testing_advance(reactor, 0);
	return t;
}

static void lose(struct plait_transport *t)
{
	plait_value why = plait_connection_done();

	plait_testing_lose(t, plait_value_failure(&why));
	plait_value_free(&why);
	plait_testing_advance(reactor, 0);
}

TEST(all_ports_wait_together_also_one_that_comes_later, PURE)
{
	struct plait_factory *f = limit(2, 0, true);
	struct plait_port *ports[3];
	struct plait_transport *t[2];

	reactor = plait_testing_reactor_new();
	plait_listen_tcp(reactor, 1, f, NULL, &ports[0]);
	plait_listen_tcp(reactor, 2, f, NULL, &ports[1]);
	t[0] = accepted(ports[0]);
	t[1] = accepted(ports[1]);
	plait_listen_tcp(reactor, 3, f, NULL, &ports[2]);
	for (int i = 0; i < 3; i++)
		ck_assert_ptr_null(accepted(ports[i]));
	lose(t[0]);
	t[0] = accepted(ports[2]);
	ck_assert_ptr_nonnull(t[0]);
	for (int i = 0; i < 3; i++)
		ck_assert_ptr_null(accepted(ports[i]));
	ck_assert_uint_eq(limited.refused_total, 0);
	ck_assert_uint_eq(limited.waits, 2);
	plait_reactor_free(&reactor);
}

TEST(port_that_stops_while_it_waits_is_forgotten, PURE)
{
	struct plait_factory *f = limit(1, 0, true);
	struct plait_transport *t;

	reactor = plait_testing_reactor_new();
	plait_listen_tcp(reactor, 1, f, NULL, &port);
	t = accepted(port);
	plait_port_free(&port);
	plait_testing_advance(reactor, 0);
	lose(t);
	ck_assert_uint_eq(server.stops, 1);
	plait_listen_tcp(reactor, 1, f, NULL, &port);
	ck_assert_ptr_nonnull(accepted(port));
	ck_assert_ptr_null(accepted(port));
	plait_reactor_free(&reactor);
}

TEST(pauses_of_the_program_and_of_the_limit_add_up, PURE)
{
	struct plait_transport *t;

	limit(1, 0, true);
	reactor = plait_testing_reactor_new();
	plait_listen_tcp(reactor, 1, &limited.base.base, NULL, &port);
	t = accepted(port);
	plait_port_pause_accepting(port);
	lose(t);
	ck_assert_ptr_null(accepted(port));
	plait_port_resume_accepting(port);
	ck_assert_ptr_nonnull(accepted(port));
	plait_reactor_free(&reactor);
}

/* Its port and its transports go, in whatever order. */
TEST(ports_that_wait_end_with_a_forked_child, PURE)
{
	struct plait_factory *f = limit(1, 0, true);
	int status;
	pid_t pid;

	reactor = plait_testing_reactor_new();
	plait_listen_tcp(reactor, 1, f, NULL, &port);
	ck_assert_ptr_nonnull(accepted(port));
	ck_assert_uint_eq(limited.waits, 1);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		plait_reactor_free(&reactor);
		plait_limited_factory_done(&limited);
		_exit(limited.connections == 0 ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(limited.connections, 0);
}

TEST(port_without_memory_to_wait_refuses, PURE)
{
	limit(1, 0, true);
	reactor = plait_testing_reactor_new();
	for (unsigned long i = 0;; i++) {
		fault_alloc_at(i, false);
		if (plait_listen_tcp(reactor, 1, &limited.base.base, NULL,
				     &port) == 0)
			break;
	}
	if (!fault_alloc_reached())
		ck_abort_msg("no allocation was that of the port's place");
	fault_alloc_off();
	ck_assert_ptr_nonnull(accepted(port));
	ck_assert_ptr_null(accepted(port));
	ck_assert_uint_eq(limited.refused_total, 1);
	ck_assert_uint_eq(limited.waits, 0);
	assert_trace("total(127.0.0.1)");
	plait_reactor_free(&reactor);
}

TEST(connector_does_not_wait_but_is_refused, ON_EACH_BACKEND)
{
	struct actor other;
	struct plait_port *listening;
	unsigned number;

	limit(1, 0, true);
	actor_init(&other);
	number = actor_listen(&other, reactor, &listening);
	for (int i = 0; i < 2; i++)
		plait_connect_tcp(reactor, "127.0.0.1", number,
				  &limited.base.base, NULL);
	run_until_count(reactor, &server.client_lost, 1);
	ck_assert_uint_eq(server.made, 1);
	ck_assert_uint_eq(limited.refused_total, 1);
	ck_assert_ptr_eq(server.kind, &plait_error_connection_done);
	assert_trace("total(127.0.0.1)");
	actor_stop(reactor, &listening);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(limited.connections, 0);
}

static struct plait_limited_factory outer;

TEST(of_two_limits_the_smaller_one_counts, PURE)
{
	struct plait_transport *t;

	limit(3, 0, true);
	outer = (struct plait_limited_factory){ .max_connections = 2,
						.wait = true };
	plait_limited_factory_init(&outer, &limited.base.base);
	reactor = plait_testing_reactor_new();
	plait_listen_tcp(reactor, 1, &outer.base.base, NULL, &port);
	t = accepted(port);
	ck_assert_ptr_nonnull(accepted(port));
	ck_assert_ptr_null(accepted(port));
	outer.max_connections = 4;
	lose(t);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(accepted(port) != NULL, i < 2);
	ck_assert_uint_eq(limited.connections, 3);
	ck_assert_uint_eq(outer.connections, 3);
	ck_assert_uint_eq(limited.refused_total + outer.refused_total, 0);
	assert_trace("ports(127.0.0.1)");
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(limited.connections + outer.connections, 0);
}

/* All that a limit does, with whatever may go wrong. */
static void crowd(struct plait_reactor *r)
{
	struct plait_factory *f = limit(2, 2, true);
	const struct plait_listen_options o = { .iface = "127.0.0.1" };
	int n[4] = { -1, -1, -1, -1 };

	limited.limited = NULL;
	reactor = r;
	if (plait_listen_tcp(r, 0, f, &o, &port) == 0)
		for (int i = 0; i < 4; i++)
			n[i] = peer_connect(port_number());
	for (int i = 0; i < 4; i++) {
		if (port != NULL)
			run_until_count(r, &server.made, (unsigned)i + 1);
		close(n[i]);
	}
	run_until_count(r, &server.lost, server.made);
	ck_assert(torture_faulty() || server.made == 4);
	actor_stop(r, &port);
	actor_wait_idle(&server, r);
	run_turns(r, 4);
	reactor = NULL;
}

GROUP("torture", .timeout = 120 * test_mult());

TEST(limits_survive_any_refused_allocation, ON_EACH_BACKEND)
{
	plait_reactor_free(&reactor);
	torture(crowd, backend);
}

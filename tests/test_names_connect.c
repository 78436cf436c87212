/*
 * Connecting by name: plait_connect_tcp() and what is built on it, with a DNS
 * server of the test (zone.h).  What happy eyeballs decide is in
 * test_eyeballs.c, and how attempts overlap in test_attempts.c.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include <plait/reconnect.h>

#include "reactor/kernel/address.h"
#include "tests/actor.h"
#include "tests/zone.h"

static struct zone zone;
static struct plait_resolver *resolver;
static struct actor client, server;
static struct plait_port *port;
static unsigned number; /* of the server */
static struct plait_connect_options options;
static char why[1024];
static double began, took; /* seconds, to the connection */

#define A(ip) "p.example A: answer p.example 0 A " ip "|"
#define AAAA(ip) "p.example AAAA: answer p.example 0 AAAA " ip "|"

/* An actor, and the message of a failure is longer than it remembers. */
static struct plait_factory_ops client_ops;
static const struct plait_factory_ops *actor_ops;

static void remember_why(struct plait_factory *f, struct plait_connector *c,
			 const struct plait_failure *failure)
{
	plait_failure_str(failure, why, sizeof(why));
	actor_ops->connection_failed(f, c, failure);
}

static struct plait_resolver *resolver_of(struct plait_reactor *r)
{
	/* Files that do not exist. */
	return plait_resolver_new(r, &(struct plait_resolver_options){
					     .hosts = "/nowhere/hosts",
					     .resolv_conf = "/nowhere/resolv",
					     .nsswitch_conf = "/nowhere/nss",
					     .servers = &zone.address,
					     .server_count = 1,
				     });
}

static void begin(const char *known)
{
	actor_init(&client);
	actor_init(&server);
	actor_ops = client.base.ops;
	client_ops = *actor_ops;
	client_ops.connection_failed = remember_why;
	client.base.ops = &client_ops;
	zone_start(&zone, reactor, known);
	resolver = resolver_of(reactor);
	number = actor_listen(&server, reactor, &port);
	options = (struct plait_connect_options){ .resolver = resolver };
	clock_virtual(true);
}

static void note_time(struct actor *a, struct plait_protocol *p)
{
	took = clock_now() - began;
}

/* A resolver of another reactor, which is not freed. */
static void other_resolver(struct plait_reactor **ret)
{
	begin(A("127.0.0.1"));
	*ret = plait_reactor_new(backend);
	ck_assert_ptr_nonnull(*ret);
	options.resolver = resolver_of(*ret);
}

static struct plait_connector *connect_to(const char *name)
{
	client.on_made = note_time;
	began = clock_now();
	return plait_connect_tcp(reactor, name, number, &client.base, &options);
}

static void finish(void)
{
	if (client.transport != NULL)
		plait_transport_abort_connection(client.transport);
	actor_wait_idle(&client, reactor);
	actor_stop(reactor, &port);
	plait_resolver_free(&resolver);
	zone_stop(&zone);
	run_turns(reactor, 2);
}

/* Listeners at the server's port that answer nobody: their queue is full. */
enum { MAX_DEAF = 9 };

static int deaf[2 * MAX_DEAF], n_deaf;

static void make_deaf_at(const char *ip)
{
	union kernel_address sa;
	struct plait_address a;
	socklen_t len;
	int on = 1, *fd = deaf + n_deaf;

	plait_address_parse(&a, ip, number);
	len = plait_i_address_to_kernel(&a, &sa);
	for (int i = 0; i < 2; i++)
		fd[i] = socket(sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sa.any.sa_family == AF_INET6)
		setsockopt(fd[0], IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	ck_assert_int_eq(bind(fd[0], &sa.any, len), 0);
	ck_assert_int_eq(listen(fd[0], 0), 0);
	ck_assert_int_eq(connect(fd[1], &sa.any, len), 0);
	n_deaf += 2;
}

static void make_deaf(void)
{
	make_deaf_at("::1");
}

static void end_deaf(void)
{
	while (n_deaf > 0)
		close(deaf[--n_deaf]);
}

GROUP("by name");

TEST(a_name_is_looked_up_and_its_address_connected, ON_EACH_BACKEND)
{
	struct plait_connector *c;
	struct plait_address to;
	char text[128], expected[64];

	begin(A("127.0.0.1"));
	c = connect_to("p.example");
	ck_assert_str_eq(client.trace, "Sc");
	plait_connector_destination(c, &to);
	ck_assert_int_eq(plait_address_family(&to), AF_UNSPEC);
	plait_connector_str(c, text, sizeof(text));
	snprintf(expected, sizeof(expected),
		 "connector to p.example:%u, connecting", number);
	ck_assert_str_eq(text, expected);
	run_until_count(reactor, &client.made, 1);
	ck_assert_str_eq(client.trace, "ScBM");
	plait_connector_destination(c, &to);
	plait_address_str(&to, text, sizeof(text));
	snprintf(expected, sizeof(expected), "127.0.0.1:%u", number);
	ck_assert_str_eq(text, expected);
	finish();
	ck_assert_str_eq(client.trace, "ScBMLCX");
}

TEST(rfc8305_section_3_asks_for_ipv6_first, ON_EACH_BACKEND)
{
	begin(A("127.0.0.1") AAAA("::1"));
	connect_to("p.example");
	run_until_count(reactor, &client.made, 1);
	ck_assert_str_eq(zone_log(&zone), "AAAA p.example A p.example");
	finish();
}

/* Which family is tried first depends on from where this host talks to each, as
   the kernel says, and is remembered for a second. */
TEST(connecting_again_asks_the_kernel_for_no_order, ON_EACH_BACKEND)
{
	unsigned long sockets[2];

	begin("");
	for (unsigned i = 0; i < 2; i++) {
		calls_reset();
		connect_to("p.localhost");
		run_until_count(reactor, &client.made, i + 1);
		sockets[i] = calls_of("socket");
		plait_transport_abort_connection(client.transport);
		actor_wait_idle(&client, reactor);
	}
	ck_assert_uint_eq(sockets[1], sockets[0] - 2);
	finish();
}

TEST(dead_ipv6_beside_live_ipv4_costs_a_quarter_of_a_second, ON_EACH_BACKEND)
{
	begin(A("127.0.0.1") AAAA("::1"));
	make_deaf();
	connect_to("p.example");
	run_until_count(reactor, &client.made, 1);
	ck_assert_double_le(took, 0.3);
	ck_assert_double_ge(took, 0.25);
	ck_assert_int_eq(plait_address_family(&client.peer), AF_INET);
	finish();
	ck_assert_str_eq(client.trace, "ScBMLCX");
	end_deaf();
}

/* At most eight are under way, and these would be so for two minutes. */
TEST(nine_that_never_answer_hide_no_tenth, ON_EACH_BACKEND)
{
	char known[1024] = "p.example A: ", ip[16];

	for (int i = 0; i < MAX_DEAF; i++)
		sprintf(known + strlen(known),
			"answer p.example 0 A 127.0.0.%d;", 11 + i);
	strcat(known, "answer p.example 0 A 127.0.0.1");
	begin(known);
	for (int i = 0; i < MAX_DEAF; i++) {
		snprintf(ip, sizeof(ip), "127.0.0.%d", 11 + i);
		make_deaf_at(ip);
	}
	connect_to("p.example");
	run_until_count(reactor, &client.made, 1);
	ck_assert_double_eq_tol(took, MAX_DEAF * 0.25, 0.01);
	finish();
	end_deaf();
}

/* ... and each is told of when all are dead. */
TEST(who_gave_way_is_told_of_as_silent, ON_EACH_BACKEND)
{
	char known[1024] = "p.example A: ", ip[16];

	for (int i = 0; i < MAX_DEAF; i++)
		sprintf(known + strlen(known),
			"%sanswer p.example 0 A "
			"127.0.0.%d",
			i > 0 ? ";" : "", 11 + i);
	begin(known);
	for (int i = 0; i < MAX_DEAF; i++) {
		snprintf(ip, sizeof(ip), "127.0.0.%d", 11 + i);
		make_deaf_at(ip);
	}
	options.timeout = 5;
	connect_to("p.example");
	run_until_count(reactor, &client.failed, 1);
	ck_assert_ptr_eq(client.kind, &plait_error_connect_timeout);
	ck_assert_ptr_nonnull(strstr(why, "127.0.0.11:"));
	ck_assert_ptr_nonnull(strstr(why, " at 2.000 s: no answer"));
	ck_assert_ptr_nonnull(strstr(why, " at 5.000 s: no answer"));
	finish();
	end_deaf();
}

TEST(ipv6_that_is_not_answered_for_costs_50_ms, ON_EACH_BACKEND)
{
	begin(A("127.0.0.1") "p.example AAAA: drop|");
	connect_to("p.example");
	run_until_count(reactor, &client.made, 1);
	ck_assert_double_eq_tol(took, 0.05, 0.001);
	finish();
}

TEST(a_refusal_starts_the_next_address_at_once, ON_EACH_BACKEND)
{
	begin(A("127.0.0.1") AAAA("::1"));
	connect_to("p.example");
	run_until_count(reactor, &client.made, 1);
	ck_assert_double_lt(took, 0.001);
	finish();
}

TEST(one_failure_names_each_attempt, ON_EACH_BACKEND)
{
	const char *at;

	begin(A("127.0.0.1") AAAA("::1"));
	number = 9; /* nobody listens there */
	connect_to("p.example");
	run_until_count(reactor, &client.failed, 1);
	ck_assert_ptr_nonnull(strstr(why, "connect to p.example:9: "));
	at = strstr(why, "connect to [::1]:9 at 0.0");
	ck_assert_msg(at != NULL, "%s", why);
	ck_assert_ptr_nonnull(strstr(at, "connect to 127.0.0.1:9 at 0.0"));
	ck_assert_ptr_nonnull(strstr(at, ": Connection refused; "));
	finish();
	ck_assert_str_eq(client.trace, "ScFX");
}

TEST(a_name_without_an_address_is_told_as_that, ON_EACH_BACKEND)
{
	begin("");
	connect_to("p.example");
	run_until_count(reactor, &client.failed, 1);
	ck_assert_ptr_eq(client.kind, &plait_error_dns_no_name);
	finish();
	ck_assert_str_eq(client.trace, "ScFX");
}

TEST(the_timeout_is_for_the_lookup_too, ON_EACH_BACKEND)
{
	begin("p.example *: drop|");
	options.timeout = 2;
	connect_to("p.example");
	run_for(reactor, 1.9);
	ck_assert_uint_eq(client.failed, 0);
	run_for(reactor, 0.2);
	ck_assert_ptr_eq(client.kind, &plait_error_connect_timeout);
	finish();
}

/* During the lookup, and with two attempts under way. */
TEST(giving_up_ends_the_lookup_and_all_attempts, ON_EACH_BACKEND, TIMES(2))
{
	struct plait_connector *c;

	begin(_i == 0 ? "p.example *: drop|" : AAAA("::1") A("127.0.0.1"));
	make_deaf();
	c = connect_to("p.example");
	run_for(reactor, _i == 0 ? 0.02 : 0.24);
	plait_connector_stop_connecting(c);
	zone_log(&zone);
	run_for(reactor, 20);
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, &plait_error_user);
	ck_assert_str_eq(zone_log(&zone), "");
	ck_assert_uint_eq(server.builds, 0);
	finish();
	end_deaf();
}

/* The second family is answered for after the first is connected. */
static void connect_by_the_first(void)
{
	begin(A("127.0.0.1") "p.example AAAA: later answer p.example 60 AAAA "
			     "::1|");
	connect_to("p.example");
	run_until_count(reactor, &client.made, 1);
	ck_assert_str_eq(zone_log(&zone), "AAAA p.example A p.example");
	plait_transport_abort_connection(client.transport);
	actor_wait_idle(&client, reactor);
}

static struct plait_deferred *resolve_ipv6(void)
{
	return plait_resolve(reactor, "p.example",
			     &(struct plait_resolve_options){
				     .family = AF_INET6,
				     .resolver = resolver,
			     });
}

static plait_value note_text(plait_value *result, void *arg)
{
	plait_value_str(result, why, sizeof(why));
	client.failed++;
	return PLAIT_NONE;
}

TEST(rfc8305_section_5_answers_of_the_next_second_fill_the_cache,
     ON_EACH_BACKEND)
{
	struct plait_deferred *d;

	connect_by_the_first();
	run_for(reactor, 0.9);
	zone_answer_later(&zone);
	run_turns(reactor, 2);
	d = resolve_ipv6();
	plait_deferred_add_both(d, note_text, NULL);
	run_turns(reactor, 2);
	ck_assert_str_eq(why, "::1");
	ck_assert_str_eq(zone_log(&zone), "");
	plait_deferred_free(&d);
	finish();
}

/* After it nothing is left, and nothing is sent. */
TEST(section_5_ends_after_that_second, ON_EACH_BACKEND)
{
	struct fd_table *fds;
	struct plait_deferred *d;

	connect_by_the_first();
	fds = fd_table_new();
	run_for(reactor, 1.1);
	ck_assert_int_eq(fd_table_check(&fds), 1);
	zone_answer_later(&zone);
	run_turns(reactor, 2);
	ck_assert_str_eq(zone_log(&zone), "");
	d = resolve_ipv6();
	run_turns(reactor, 4);
	ck_assert_str_eq(zone_log(&zone), "AAAA p.example");
	plait_deferred_free(&d);
	finish();
}

TEST(who_asks_in_that_second_has_all_the_time, ON_EACH_BACKEND)
{
	struct plait_deferred *d;

	connect_by_the_first();
	run_for(reactor, 0.9);
	d = resolve_ipv6();
	plait_deferred_add_both(d, note_text, NULL);
	run_for(reactor, 1);
	zone_answer_later(&zone);
	run_turns(reactor, 2);
	ck_assert_str_eq(why, "::1");
	plait_deferred_free(&d);
	finish();
}

/* What nobody waits for ends with the resolver, and with the reactor. */
TEST(that_second_keeps_nothing_alive, ON_EACH_BACKEND, TIMES(2))
{
	connect_by_the_first();
	if (_i == 0) {
		finish();
		return;
	}
	plait_watch_stop(&zone.watch);
	close(zone.fd);
	plait_reactor_free(&reactor);
	plait_resolver_free(&resolver);
}

static void again(struct actor *a)
{
	if (a->failed > 1)
		return;
	zone.known = A("127.0.0.1");
	plait_connector_connect(a->connector);
}

TEST(connecting_again_looks_the_name_up_anew, ON_EACH_BACKEND)
{
	begin(A("127.0.0.2"));
	client.on_failed = again;
	connect_to("p.example");
	run_until_count(reactor, &client.made, 1);
	/* That there is no AAAA is remembered. */
	ck_assert_uint_eq(zone.asked, 3);
	finish();
	ck_assert_str_eq(client.trace, "ScFcBMLCX");
}

/* A family that is asked for, or that of this end. */
static const struct {
	int family;
	const char *bind_address;
	const char *log;
} families[] = {
	{ AF_INET, NULL, "A p.example" },
	{ AF_INET6, NULL, "AAAA p.example" },
	{ 0, "127.0.0.1", "A p.example" },
	{ 0, "::1", "AAAA p.example" },
};

TEST(only_the_family_that_is_wanted_is_looked_up, ON_EACH_BACKEND,
     EACH_OF(families))
{
	begin(A("127.0.0.1") AAAA("::1"));
	options.family = families[_i].family;
	options.bind_address = families[_i].bind_address;
	connect_to("p.example");
	run_until_count(
		reactor,
		families[_i].log[1] == ' ' ? &client.made : &client.failed, 1);
	ck_assert_str_eq(zone_log(&zone), families[_i].log);
	finish();
}

/* What the options say does not fit. */
static const struct {
	const char *host;
	int family;
	const char *bind_address;
	int err;
} misfits[] = {
	{ "127.0.0.1", AF_INET6, NULL, EAFNOSUPPORT },
	{ "::1", AF_INET, NULL, EAFNOSUPPORT },
	{ "p.example", AF_UNIX, NULL, EINVAL },
	{ "p.example", AF_INET, "::1", EAFNOSUPPORT },
	{ "p.example", AF_UNSPEC, "q.example", EADDRNOTAVAIL },
};

TEST(what_does_not_fit_is_told_from_the_loop, ON_EACH_BACKEND, EACH_OF(misfits))
{
	begin(A("127.0.0.1"));
	options.family = misfits[_i].family;
	options.bind_address = misfits[_i].bind_address;
	connect_to(misfits[_i].host);
	ck_assert_str_eq(client.trace, "Sc");
	run_turns(reactor, 1);
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_int_eq(client.err, misfits[_i].err);
	ck_assert_str_eq(zone_log(&zone), "");
	finish();
}

/*
 * A port that the system gives to nobody who asks for any, and that is this
 * process's among the tests.  It cannot be held: who connects must bind it.
 */
static uint16_t port_of_ours(void)
{
	return (uint16_t)(1024 + getpid() % 30000);
}

/* A port of this end, at the address of either family. */
TEST(a_port_alone_binds_each_attempt, ON_EACH_BACKEND)
{
	uint16_t mine = port_of_ours();

	begin(A("127.0.0.1") AAAA("::1"));
	options.bind_port = mine;
	/* Two cannot have it at once, so the clock must not begin the next. */
	options.attempt_delay = 1000;
	connect_to("p.example");
	run_until_count(reactor, &client.made, 1);
	ck_assert_uint_eq(plait_address_port(&server.peer), mine);
	finish();
}

TEST(no_descriptor_for_one_attempt_is_the_failure_of_that, ON_EACH_BACKEND)
{
	begin(A("127.0.0.1") AAAA("::1"));
	make_deaf();
	options.timeout = 1;
	connect_to("p.example");
	run_for(reactor, 0.24);
	fault_call("socket", 1, EMFILE);
	run_until_count(reactor, &client.failed, 1);
	ck_assert_ptr_eq(client.kind, &plait_error_connect_timeout);
	ck_assert_ptr_nonnull(strstr(why, " at 1.000 s: no answer; "));
	ck_assert_ptr_nonnull(strstr(why, " at 0.250 s: Too many open files"));
	finish();
	end_deaf();
}

TEST(the_resolver_of_another_reactor_aborts, ON_EACH_BACKEND, ABORTS)
{
	struct plait_reactor *other;

	other_resolver(&other);
	connect_to("p.example");
}

TEST(the_resolver_of_a_freed_reactor_finds_nothing, ON_EACH_BACKEND)
{
	struct plait_reactor *other;

	other_resolver(&other);
	plait_reactor_free(&other);
	connect_to("p.example");
	run_until_count(reactor, &client.failed, 1);
	ck_assert_ptr_eq(client.kind, &plait_error_abandoned);
	plait_resolver_free(&options.resolver);
	finish();
}

/* A client that is a deferred, and one that goes on trying. */
TEST(a_client_connects_by_name, ON_EACH_BACKEND)
{
	struct plait_deferred *d;

	begin(A("127.0.0.1"));
	server.on_made = actor_lose;
	d = plait_client_read_all(reactor, "p.example", number, PLAIT_NONE, 10,
				  &options);
	plait_deferred_add_both(d, note_text, NULL);
	run_until_count(reactor, &client.failed, 1);
	ck_assert_ptr_null(strstr(why, "Error"));
	plait_deferred_free(&d);
	finish();
}

TEST(cancelling_a_client_ends_its_lookup, ON_EACH_BACKEND)
{
	struct plait_deferred *d;

	begin("p.example *: drop|");
	d = plait_client_read_all(reactor, "p.example", number, PLAIT_NONE, 10,
				  &options);
	plait_deferred_add_both(d, note_text, NULL);
	run_for(reactor, 0.1);
	plait_deferred_cancel(d);
	ck_assert_uint_eq(client.failed, 1);
	plait_deferred_free(&d);
	run_turns(reactor, 2);
	zone_log(&zone);
	run_for(reactor, 20);
	ck_assert_str_eq(zone_log(&zone), "");
	finish();
}

/* Where a client that connects again has been connected. */
static struct plait_reconnecting_factory follower;
static char places[100];
static unsigned n_places;

static void note_place(struct plait_protocol *p)
{
	struct plait_address peer;
	char ip[PLAIT_ADDRESS_SIZE];

	ck_assert_int_eq(plait_transport_peer(p->transport, &peer), 0);
	plait_address_host(&peer, ip, sizeof(ip));
	strcat(strcat(places, ip), " ");
	n_places++;
}

static const struct plait_protocol_ops follower_ops = {
	.name = "follower",
	.connection_made = note_place,
};

static const struct plait_factory_ops follower_factory_ops = {
	.name = "follower",
	PLAIT_RECONNECTING_FACTORY,
};

/*
 * A service that moves: its name leads to an address where nobody listens, then
 * to the server, and when that has closed, to a server elsewhere.
 */
TEST(a_reconnecting_factory_follows_its_name, ON_EACH_BACKEND)
{
	struct plait_listen_options elsewhere = { .iface = "127.0.0.3" };
	struct plait_port *moved;

	begin(A("127.0.0.2"));
	ck_assert_int_eq(plait_listen_tcp(reactor, number, &server.base,
					  &elsewhere, &moved),
			 0);
	follower = (struct plait_reconnecting_factory){
		.base = { .ops = &follower_factory_ops,
			  .protocol = &follower_ops },
	};
	plait_connect_tcp(reactor, "p.example", number, &follower.base,
			  &options);
	while (plait_reconnecting_factory_delay(&follower) == 0)
		run_turns(reactor, 1);
	zone_log(&zone);
	zone.known = A("127.0.0.1");
	run_until_count(reactor, &n_places, 1);
	ck_assert_str_eq(zone_log(&zone), "A p.example");
	zone.known = A("127.0.0.3");
	run_until_count(reactor, &server.made, 1);
	plait_transport_lose_connection(server.transport);
	run_until_count(reactor, &n_places, 2);
	ck_assert_str_eq(places, "127.0.0.1 127.0.0.3 ");
	plait_reconnecting_factory_stop_trying(&follower);
	run_until_count(reactor, &server.made, 2);
	plait_transport_lose_connection(server.transport);
	plait_port_free(&moved);
	finish();
}

TEST(freeing_the_reactor_ends_a_lookup_by_name, ON_EACH_BACKEND, TIMES(2))
{
	begin("p.example *: drop|");
	if (_i == 1)
		options.resolver = NULL;
	connect_to(_i == 0 ? "p.example" : "p.invalid");
	plait_watch_stop(&zone.watch);
	close(zone.fd);
	plait_reactor_free(&reactor);
	ck_assert_str_eq(client.trace, "ScFX");
	plait_resolver_free(&resolver);
}

static void scene(struct plait_reactor *r)
{
	struct plait_connector *c;

	reactor = r;
	begin(A("127.0.0.1") AAAA("::1"));
	c = plait_connector_ref(connect_to("p.example"));
	run_until_count(r, client.failed > 0 ? &client.failed : &client.made,
			1);
	ck_assert(torture_faulty() || strcmp(client.trace, "ScBM") == 0);
	plait_connector_disconnect(c);
	plait_connector_unref(&c);
	finish();
}

GROUP("memory", .timeout = 60);

TEST(connecting_by_name_survives_any_refused_allocation, ON_EACH_BACKEND)
{
	torture(scene, backend);
}

/*
 * Listening on endpoints: what each kind listens on, what is none to listen
 * on, wrappers, and who owns the port.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <plait/testing.h>

#include "tests/actor.h"
#include "tests/child.h"
#include "tests/harness.h"

static struct actor server, client;
static char directory[64], path[100], text[300];
static struct plait_port *port;

static void setup(void)
{
	actor_init(&server);
	actor_init(&client);
	strcpy(directory, "/tmp/plait-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/poem", directory);
}

static void teardown(void)
{
	ck_assert_int_eq(rmdir(directory), 0);
}

static struct plait_deferred *listen_on(const char *what)
{
	char why[PLAIT_ENDPOINT_WHY_SIZE];
	struct plait_endpoint *e = NULL;
	struct plait_deferred *d;

	ck_assert_msg(plait_endpoint_parse(what, &e, why, sizeof(why)) == 0,
		      "%s: %s", what, why);
	d = plait_endpoint_listen(e, reactor, &server.base);
	plait_endpoint_unref(&e);
	return d;
}

static plait_value take_port(plait_value *result, void *arg)
{
	*(struct plait_port **)arg = plait_port_take(result);
	return PLAIT_NONE;
}

static plait_value ignore(plait_value *result, void *arg)
{
	return PLAIT_NONE;
}

/* NULL if it has failed. */
static struct plait_port *port_of(struct plait_deferred *d)
{
	struct plait_port *p = NULL;

	plait_deferred_add_callbacks(d, take_port, &p, ignore, NULL);
	plait_deferred_free(&d);
	return p;
}

/* The endpoint of number _i. */
static const char *numbered(int i)
{
	static const char *const fixed[] = {
		"tcp:0",
		"tcp:0:interface=127.0.0.1:backlog=3",
		"limit:total=2:throttle:in=1M:out=1M:tcp:0:interface=127.0.0.1",
	};

	if (i < 3)
		return fixed[i];
	snprintf(text, sizeof(text), i == 3 ? "unix:%s" : "unix:@%s", path);
	return text;
}

enum { N_NUMBERED = 5 };

static void connect_actor(struct actor *a, const struct plait_port *p)
{
	struct plait_address at;
	char name[sizeof(path) + 1];

	plait_port_host(p, &at);
	if (plait_address_family(&at) != AF_UNIX) {
		actor_connect(a, reactor, plait_address_port(&at));
		return;
	}
	strcpy(name, plait_address_path(&at) != NULL ? "" : "@");
	strcat(name, path);
	plait_connect_unix(reactor, name, &a->base, NULL);
}

static void connect_to_port(struct plait_port *p)
{
	connect_actor(&client, p);
}

static void ask(struct actor *a, struct plait_protocol *p)
{
	plait_transport_write(p->transport, "hello", 5);
}

GROUP("listening", .setup = setup, .teardown = teardown);

TEST(fires_with_a_port_that_serves_connections, ON_EACH_BACKEND,
     TIMES(N_NUMBERED))
{
	server.on_data = actor_echo;
	client.on_made = ask;
	port = port_of(listen_on(numbered(_i)));
	ck_assert_ptr_nonnull(port);
	connect_to_port(port);
	while (client.received < 5)
		run_turns(reactor, 1);
	ck_assert_str_eq(client.text, "hello");
	plait_transport_lose_connection(client.transport);
	actor_wait_idle(&client, reactor);
	actor_stop(reactor, &port);
	actor_wait_idle(&server, reactor);
	ck_assert_str_eq(server.trace, "SBMDLX");
}

TEST(a_port_that_nobody_takes_ends_with_its_value, ON_EACH_BACKEND,
     TIMES(N_NUMBERED))
{
	struct plait_deferred *d = listen_on(numbered(_i));

	ck_assert_ptr_nonnull(plait_value_port(plait_deferred_result(d)));
	plait_deferred_free(&d);
	actor_wait_idle(&server, reactor);
	ck_assert_str_eq(server.trace, "SX");
}

static plait_value keep_value(plait_value *result, void *arg)
{
	*(plait_value *)arg = plait_value_take(result);
	return PLAIT_NONE;
}

TEST(a_value_outlives_the_reactor, ON_EACH_BACKEND, TIMES(2 * N_NUMBERED))
{
	struct plait_deferred *d = listen_on(numbered(_i / 2));
	plait_value v;

	plait_deferred_add_callback(d, keep_value, &v);
	plait_deferred_free(&d);
	plait_reactor_free(&reactor);
	ck_assert_str_eq(server.trace, "SX");
	ck_assert_ptr_null(plait_value_port(&v));
	if (_i % 2 == 0)
		ck_assert_ptr_null(plait_port_take(&v));
	else
		plait_value_free(&v);
}

/* The wrappers serve the connection to its end. */
TEST(a_connection_outlives_its_port_and_its_endpoint, ON_EACH_BACKEND,
     TIMES(N_NUMBERED))
{
	server.on_data = actor_echo;
	port = port_of(listen_on(numbered(_i)));
	connect_to_port(port);
	run_until_count(reactor, &server.made, 1);
	plait_port_free(&port);
	run_until_count(reactor, &server.stops, 1);
	run_until_count(reactor, &client.made, 1);
	plait_transport_write(client.transport, "hello", 5);
	while (client.received < 5)
		run_turns(reactor, 1);
	plait_transport_lose_connection(client.transport);
	actor_wait_idle(&client, reactor);
	run_until_count(reactor, &server.lost, 1);
}

/* The socket of the library that is bound to that port. */
static int socket_of_port(unsigned number)
{
	struct sockaddr_in6 at;
	socklen_t len;

	for (int fd = 3; fd < 1024; fd++) {
		len = sizeof(at);
		if (getsockname(fd, (struct sockaddr *)&at, &len) == 0 &&
		    ntohs(at.sin6_port) == number)
			return fd;
	}
	ck_abort_msg("there is no such socket");
}

TEST(tcp6_leaves_ipv4_to_tcp, ON_EACH_BACKEND, TIMES(2))
{
	struct plait_address at;
	socklen_t len = sizeof(int);
	int only = -1;

	port = port_of(listen_on(_i == 0 ? "tcp6:0" : "tcp:0:interface=[::]"));
	if (port == NULL) /* a machine without IPv6 */
		return;
	plait_port_host(port, &at);
	ck_assert_int_eq(plait_address_family(&at), AF_INET6);
	getsockopt(socket_of_port(plait_address_port(&at)), IPPROTO_IPV6,
		   IPV6_V6ONLY, &only, &len);
	ck_assert_int_eq(only, _i == 0);
	plait_port_free(&port);
	actor_wait_idle(&server, reactor);
}

TEST(a_unix_endpoint_sets_the_mode_and_replaces_a_dead_server, ON_EACH_BACKEND)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	strcpy(un.sun_path, path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd);
	snprintf(text, sizeof(text), "unix:%s:mode=600", path);
	ck_assert_ptr_null(port_of(listen_on(text)));
	strcat(text, ":unlink=1");
	port = port_of(listen_on(text));
	ck_assert_ptr_nonnull(port);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	plait_port_free(&port);
	actor_wait_idle(&server, reactor);
}

/* One place, and two who want it. */
TEST(a_limit_refuses_one_too_many, ON_EACH_BACKEND)
{
	struct actor second;

	actor_init(&second);
	port = port_of(listen_on("limit:total=1:tcp:0"));
	connect_to_port(port);
	run_until_count(reactor, &client.made, 1);
	run_until_count(reactor, &server.made, 1);
	ck_assert_ptr_nonnull(client.transport);
	connect_actor(&second, port);
	actor_wait_idle(&second, reactor);
	ck_assert_uint_eq(server.made, 1);
	ck_assert_ptr_nonnull(client.transport);
	plait_transport_lose_connection(client.transport);
	actor_wait_idle(&client, reactor);
	actor_stop(reactor, &port);
	actor_wait_idle(&server, reactor);
}

TEST(a_throttle_lets_bytes_pass_at_its_rate, ON_EACH_BACKEND)
{
	server.on_data = actor_echo;
	clock_virtual(true);
	port = port_of(listen_on("throttle:out=10:burst=5:tcp:0"));
	connect_to_port(port);
	run_until_count(reactor, &client.made, 1);
	plait_transport_write(client.transport, "hello, world...", 15);
	run_for(reactor, 0.05);
	ck_assert_uint_le(client.received, 6); /* what may pass at once */
	run_for(reactor, 0.35);
	ck_assert_uint_lt(client.received, 15);
	run_for(reactor, 1);
	ck_assert_uint_eq(client.received, 15);
	plait_transport_lose_connection(client.transport);
	actor_wait_idle(&client, reactor);
	actor_stop(reactor, &port);
	actor_wait_idle(&server, reactor);
}

GROUP("refusing", .setup = setup, .teardown = teardown);

static const struct {
	const char *text, *why;
	int err;
} refused[] = {
	{ "tcp:localhost:80", "host is for connecting", EINVAL },
	{ "tcp:80:timeout=5", "timeout is for connecting", EINVAL },
	{ "tcp:80:bindAddress=127.0.0.1", "bindAddress is for connecting",
	  EINVAL },
	{ "unix:/poem:timeout=1", "timeout is for connecting", EINVAL },
	{ "limit:total=1:unix:/poem:timeout=1", "timeout is for connecting",
	  EINVAL },
	{ "unix:/no/such/directory/poem", "No such file or directory", ENOENT },
	{ "throttle:in=5:limit:total=1:unix:/no/such/directory/poem",
	  "No such file or directory", ENOENT },
};

TEST(what_is_none_to_listen_on_says_why, ON_EACH_BACKEND, EACH_OF(refused))
{
	struct plait_deferred *d = listen_on(refused[_i].text);
	const struct plait_failure *f =
		plait_value_failure(plait_deferred_result(d));
	char expected[300], said[300];

	ck_assert_ptr_eq(plait_failure_kind(f), &plait_error_os);
	ck_assert_int_eq(plait_failure_errno(f), refused[_i].err);
	snprintf(expected, sizeof(expected), "listen on %s: %s",
		 refused[_i].text, refused[_i].why);
	plait_failure_str(f, said, sizeof(said));
	ck_assert_msg(strstr(said, expected) != NULL, "%s", said);
	plait_deferred_add_errback(d, ignore, NULL);
	plait_deferred_free(&d);
	ck_assert_str_eq(server.trace, "");
}

TEST(what_an_endpoint_is_good_for_is_said_before, PURE, EACH_OF(refused))
{
	struct plait_endpoint *e = NULL;
	char why[PLAIT_ENDPOINT_WHY_SIZE] = "";
	bool can = refused[_i].err != EINVAL;

	ck_assert_int_eq(plait_endpoint_parse(refused[_i].text, &e, NULL, 0),
			 0);
	ck_assert(plait_endpoint_can_listen(e, why, sizeof(why)) == can);
	ck_assert_str_eq(why, can ? "" : refused[_i].why);
	ck_assert(plait_endpoint_can_listen(e, NULL, 0) == can);
	plait_endpoint_unref(&e);
}

TEST(two_at_one_port_are_refused_and_the_first_goes_on, ON_EACH_BACKEND)
{
	struct plait_address at;

	port = port_of(listen_on("limit:total=5:tcp:0"));
	plait_port_host(port, &at);
	snprintf(text, sizeof(text), "limit:total=5:tcp:%u",
		 plait_address_port(&at));
	ck_assert_ptr_null(port_of(listen_on(text)));
	connect_to_port(port);
	run_until_count(reactor, &server.made, 1);
	plait_transport_lose_connection(server.transport);
	actor_wait_idle(&client, reactor);
	actor_stop(reactor, &port);
	actor_wait_idle(&server, reactor);
}

/* ---- connecting through a wrapper ---------------------------------------- */

static unsigned made, lost;

static void note_made(struct plait_protocol *p)
{
	ck_assert_ptr_eq(plait_client_arg(p), &made);
	made++;
}

static void note_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	lost++;
}

static const struct plait_protocol_ops client_ops = {
	.name = "client",
	.connection_made = note_made,
	.connection_lost = note_lost,
};

static struct plait_deferred *connect_throttled(const char *base)
{
	struct plait_endpoint *e = NULL;
	struct plait_deferred *d;

	snprintf(text, sizeof(text), "throttle:in=1M:throttle:out=1M:%s", base);
	ck_assert_int_eq(plait_endpoint_parse(text, &e, NULL, 0), 0);
	d = plait_endpoint_connect(e, reactor, &client_ops, &made);
	plait_endpoint_unref(&e);
	return d;
}

GROUP("wrapped clients", .setup = setup, .teardown = teardown);

/* 0: taken, 1: not taken, 2: cancelled, 3: the reactor is freed. */
TEST(a_client_is_wrapped_as_its_endpoint_says, ON_EACH_BACKEND, TIMES(4))
{
	struct plait_deferred *d;
	struct plait_address at;
	char base[64];

	port = port_of(listen_on("tcp:0"));
	plait_port_host(port, &at);
	snprintf(base, sizeof(base), "tcp:127.0.0.1:%u",
		 plait_address_port(&at));
	d = connect_throttled(base);
	while (_i < 2 && plait_deferred_result(d) == NULL)
		run_turns(reactor, 1);
	ck_assert_uint_eq(made, _i < 2);
	if (_i == 2)
		plait_deferred_cancel(d);
	if (_i == 3)
		plait_reactor_free(&reactor);
	plait_deferred_add_errback(d, ignore, NULL);
	plait_deferred_free(&d);
	if (reactor == NULL)
		return;
	run_turns(reactor, 3);
	while (lost < made)
		run_turns(reactor, 1);
	actor_stop(reactor, &port);
	actor_wait_idle(&server, reactor);
}

TEST(a_wrapped_client_fails_as_connecting_fails, ON_EACH_BACKEND)
{
	struct plait_deferred *d = connect_throttled("unix:/no/such/server");

	while (plait_deferred_result(d) == NULL)
		run_turns(reactor, 1);
	ck_assert_int_eq(plait_failure_errno(
				 plait_value_failure(plait_deferred_result(d))),
			 ENOENT);
	plait_deferred_add_errback(d, ignore, NULL);
	plait_deferred_free(&d);
}

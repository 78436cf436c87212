/*
 * Connecting to endpoints: what each kind connects to, what is none to connect
 * to, and that a cancel gives everything up.
 */
#include <plait/client.h>
#include <plait/plait.h>
#include <plait/testing.h>

#include "tests/actor.h"
#include "tests/harness.h"

static struct {
	unsigned made, lost;
	void *arg;
} seen;

static void note_made(struct plait_protocol *p)
{
	seen.made++;
	seen.arg = plait_client_arg(p);
}

static void note_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	seen.lost++;
}

static const struct plait_protocol_ops client_ops = {
	.name = "client",
	.connection_made = note_made,
	.connection_lost = note_lost,
};

static struct actor server;
static struct plait_port *port;
static char directory[64], text[200];

static void setup(void)
{
	memset(&seen, 0, sizeof(seen));
	actor_init(&server);
	strcpy(directory, "/tmp/plait-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void teardown(void)
{
	ck_assert_int_eq(rmdir(directory), 0);
}

static struct plait_endpoint *read_it(const char *from)
{
	char why[PLAIT_ENDPOINT_WHY_SIZE];
	struct plait_endpoint *e = NULL;

	ck_assert_msg(plait_endpoint_parse(from, &e, why, sizeof(why)) == 0,
		      "%s: %s", from, why);
	return e;
}

static struct plait_deferred *connect_to(const char *to)
{
	struct plait_endpoint *e = read_it(to);
	struct plait_deferred *d =
		plait_endpoint_connect(e, reactor, &client_ops, &seen);

	plait_endpoint_unref(&e);
	return d;
}

static plait_value ignore(plait_value *result, void *arg)
{
	return PLAIT_NONE;
}

GROUP("connecting", .setup = setup, .teardown = teardown);

/* The server listens at what the text is for; text is the endpoint. */
static void listen_unix(const char *path)
{
	ck_assert_int_eq(
		plait_listen_unix(reactor, path, &server.base, NULL, &port), 0);
	snprintf(text, sizeof(text), "unix:%s:timeout=5", path);
}

static void listen_on(int what)
{
	char path[100];

	switch (what) {
	case 0:
		snprintf(text, sizeof(text), "tcp:127.0.0.1:%u",
			 actor_listen(&server, reactor, &port));
		break;
	case 1:
		snprintf(text, sizeof(text),
			 "tcp:host=localhost:bindAddress=127.0.0.1:port=%u",
			 actor_listen(&server, reactor, &port));
		break;
	case 2:
		snprintf(path, sizeof(path), "%s/poem", directory);
		listen_unix(path);
		break;
	default:
		snprintf(path, sizeof(path), "@%s", directory);
		listen_unix(path);
	}
}

TEST(fires_with_a_connection_that_whoever_takes_it_owns, ON_EACH_BACKEND,
     TIMES(4))
{
	struct plait_protocol *p;
	struct plait_deferred *d;
	const plait_value *v;

	listen_on(_i);
	d = connect_to(text);
	ck_assert_ptr_null(plait_deferred_result(d));
	while ((v = plait_deferred_result(d)) == NULL)
		run_turns(reactor, 1);
	p = plait_value_client(v);
	ck_assert_ptr_eq(p->ops, &client_ops);
	ck_assert_ptr_eq(seen.arg, &seen);
	plait_deferred_free(&d);
	run_until_count(reactor, &seen.lost, 1);
	actor_stop(reactor, &port);
	actor_wait_idle(&server, reactor);
}

TEST(a_cancel_gives_everything_up, ON_EACH_BACKEND, TIMES(4))
{
	struct plait_deferred *d;

	listen_on(_i);
	d = connect_to(text);
	plait_deferred_add_errback(d, ignore, NULL);
	plait_deferred_cancel(d);
	ck_assert_ptr_nonnull(plait_deferred_result(d));
	plait_deferred_free(&d);
	run_turns(reactor, 3);
	ck_assert_uint_eq(seen.made, seen.lost);
	actor_stop(reactor, &port);
	actor_wait_idle(&server, reactor);
}

TEST(a_factory_is_connected_as_well, ON_EACH_BACKEND, TIMES(4))
{
	struct plait_endpoint *e;
	struct actor client;

	actor_init(&client);
	listen_on(_i);
	e = read_it(text);
	ck_assert(plait_endpoint_can_connect(e, NULL, 0));
	ck_assert_ptr_eq(
		plait_endpoint_connect_factory(e, reactor, &client.base),
		client.connector);
	plait_endpoint_unref(&e);
	run_until_count(reactor, &client.made, 1);
	plait_transport_lose_connection(client.transport);
	actor_wait_idle(&client, reactor);
	actor_stop(reactor, &port);
	actor_wait_idle(&server, reactor);
}

/* The address is one of IPv4, so nothing is tried. */
TEST(tcp6_connects_with_ipv6_alone, ON_EACH_BACKEND)
{
	struct plait_deferred *d = connect_to("tcp6:127.0.0.1:80");

	while (plait_deferred_result(d) == NULL)
		run_turns(reactor, 1);
	ck_assert_int_eq(plait_failure_errno(
				 plait_value_failure(plait_deferred_result(d))),
			 EAFNOSUPPORT);
	plait_deferred_add_errback(d, ignore, NULL);
	plait_deferred_free(&d);
}

GROUP("refusing");

static const struct {
	const char *text, *why;
} no_servers[] = {
	{ "tcp:80", "tcp has no host" },
	{ "tcp6:80", "tcp6 has no host" },
	{ "tcp:localhost:80:backlog=5", "backlog is for listening" },
	{ "tcp:localhost:80:interface=127.0.0.1",
	  "interface is for listening" },
	{ "unix:/poem:mode=600", "mode is for listening" },
	{ "unix:/poem:unlink=1", "unlink is for listening" },
	{ "limit:total=1:tcp:localhost:80", "limit is for listening" },
};

TEST(an_endpoint_that_is_none_to_connect_to_says_why, ON_EACH_REACTOR,
     EACH_OF(no_servers))
{
	struct plait_deferred *d = connect_to(no_servers[_i].text);
	const struct plait_failure *f =
		plait_value_failure(plait_deferred_result(d));
	char expected[300], said[300];

	ck_assert_ptr_eq(plait_failure_kind(f), &plait_error_connect);
	ck_assert_int_eq(plait_failure_errno(f), EINVAL);
	snprintf(expected, sizeof(expected), "connect to %s: %s",
		 no_servers[_i].text, no_servers[_i].why);
	plait_failure_str(f, said, sizeof(said));
	ck_assert_msg(strstr(said, expected) != NULL, "%s", said);
	plait_deferred_add_errback(d, ignore, NULL);
	plait_deferred_free(&d);
}

TEST(whether_it_is_one_to_connect_to_is_known_before, ON_EACH_REACTOR,
     EACH_OF(no_servers))
{
	struct plait_endpoint *e = read_it(no_servers[_i].text);
	char why[PLAIT_ENDPOINT_WHY_SIZE];
	struct actor client;

	actor_init(&client);
	ck_assert(!plait_endpoint_can_connect(e, why, sizeof(why)));
	ck_assert_str_eq(why, no_servers[_i].why);
	ck_assert_ptr_null(
		plait_endpoint_connect_factory(e, reactor, &client.base));
	ck_assert_int_eq(errno, EINVAL);
	run_turns(reactor, 2);
	ck_assert_uint_eq(client.starts + client.failed, 0);
	plait_endpoint_unref(&e);
}

/*
 * The simulated kernel: its calls, asked directly, answer as Linux does; and
 * reactors on it carry bytes.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <plait/simulation.h>

#include "reactor/simulation/world.h"
#include "tests/actor.h"

/* ---- two hosts ----------------------------------------------------------- */

static struct plait_simulation *world;
static struct plait_host *hosts[2];
static struct plait_reactor *reactors[2];
static struct kernel *kernels[2]; /* of a server and of a client */

static void world_setup(void)
{
	static const struct plait_simulation_options perfect;

	world = plait_simulation_new(1, &perfect);
	for (int i = 0; i < 2; i++) {
		hosts[i] =
			plait_simulation_host(world, i ? "client" : "server");
		reactors[i] = plait_host_reactor(hosts[i]);
		kernels[i] = loop_kernel(reactors[i]);
	}
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

/*
 * All that a family of stream sockets needs, in one file as it would be among
 * the library's, with nothing changed elsewhere: UNIX sockets, without anything
 * that they have besides.  The kernel chooses the name of the port, which
 * begins with a NUL and leaves no file behind.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include "reactor/net/connector.h"
#include "reactor/net/dial.h"
#include "reactor/net/listener.h"
#include "reactor/net/socket_stream.h"
#include "tests/actor.h"
#include "tests/stranger.h"

static const struct stream_io local_stream_io = {
	.transport = { SOCKET_TRANSPORT, .name = "unix" },
	SOCKET_IO,
};

static const struct listener_ops local_port_ops = {
	.base = { .port = { LISTENER_PORT }, .room = plait_i_listener_room },
	.io = &local_stream_io,
};

/* At a name that the kernel makes up. */
static void local_listen(struct plait_factory *f, struct plait_port **ret)
{
	static const struct plait_listen_options options;
	struct sockaddr sa = { .sa_family = AF_UNIX };
	struct listener *l = calloc(1, sizeof(*l));
	struct kernel *k = loop_kernel(reactor);
	int fd = kernel_socket(k, AF_UNIX, SOCK_STREAM);
	struct plait_address at;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(kernel_bind(k, fd, &sa, sizeof(sa_family_t)), 0);
	ck_assert_int_eq(kernel_listen(k, fd, 5), 0);
	l->backlog = 5;
	ck_assert_int_eq(plait_i_address_of_socket(k, fd, &at), 0);
	ck_assert_int_eq(plait_i_address_keep(&l->base.port.address, &at), 0);
	ck_assert_int_eq(plait_i_port_check(reactor, "test"), 0);
	ck_assert_int_eq(plait_i_listener_init(l, &local_port_ops, reactor, fd),
			 0);
	plait_i_acceptor_open(&l->base, reactor, f, &options, ret);
}

static int local_dial_open(struct dial *d, const struct plait_error **kind)
{
	d->fd = kernel_socket(dial_kernel(d), AF_UNIX, SOCK_STREAM);
	return d->fd < 0 ? errno : 0;
}

static socklen_t local_dial_name(const struct dial *d,
				 union kernel_address *ret)
{
	struct plait_address to;

	plait_i_address_get(&d->base.to, &to);
	return plait_i_address_to_kernel(&to, ret);
}

static const struct dial_ops local_dial_ops = {
	.base = { DIAL_ATTEMPT(struct dial) },
	.open = local_dial_open,
	.name = local_dial_name,
	.io = &local_stream_io,
};

static void local_connect(const struct plait_address *to,
			  struct plait_factory *f)
{
	struct plait_connector *c =
		plait_i_connector_new(reactor, "test", &local_dial_ops.base, f);

	ck_assert_int_eq(plait_i_connector_add(c, to), 0);
	plait_i_connector_start(c);
}

static struct actor client, server;
static struct plait_port *port;
static struct plait_address name;
static char text[512], at[PLAIT_ADDRESS_SIZE];

static void open_port(void)
{
	actor_init(&client);
	actor_init(&server);
	server.on_data = actor_echo;
	local_listen(&server.base, &port);
	plait_port_host(port, &name);
	ck_assert_ptr_nonnull(plait_address_abstract(&name, &(size_t){ 0 }));
	plait_address_str(&name, at, sizeof(at));
}

GROUP("family");

TEST(another_family_of_sockets_needs_only_its_tables, ON_EACH_BACKEND)
{
	struct plait_address to;
	char expected[512];

	open_port();
	plait_port_str(port, text, sizeof(text));
	snprintf(expected, sizeof(expected), "port on %s, listening", at);
	ck_assert_str_eq(text, expected);
	local_connect(&name, &client.base);
	plait_connector_str(client.connector, text, sizeof(text));
	snprintf(expected, sizeof(expected), "connector to %s, connecting", at);
	ck_assert_str_eq(text, expected);
	run_until_count(reactor, &client.made, 1);
	plait_transport_str(client.transport, text, sizeof(text));
	snprintf(expected, sizeof(expected),
		 "unix to %s, connected, 0 bytes unsent", at);
	ck_assert_str_eq(text, expected);
	plait_transport_str(server.transport, text, sizeof(text));
	ck_assert_str_eq(text, "unix to unnamed UNIX socket, connected, "
			       "0 bytes unsent");
	plait_connector_destination(client.connector, &to);
	ck_assert(plait_address_equal(&to, &name));
	plait_transport_peer(client.transport, &to);
	ck_assert(plait_address_equal(&to, &name));
	plait_transport_write(client.transport, "hello", 5);
	plait_transport_lose_write_connection(client.transport);
	actor_wait_idle(&client, reactor);
	ck_assert_str_eq(client.text, "hello");
	ck_assert_str_eq(client.trace, "ScBMDLCX");
	actor_stop(reactor, &port);
	ck_assert_str_eq(server.trace, "SBMDLX");
}

/* It cannot keep others out, so it counts. */
TEST(a_port_of_another_family_drains_too, ON_EACH_BACKEND)
{
	struct plait_deferred *d;
	union kernel_address to;
	socklen_t len;
	int fds[3];

	open_port();
	len = plait_i_address_to_kernel(&name, &to);
	for (int i = 0; i < 3; i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		stranger_is_not(fds[i]);
		ck_assert_int_eq(connect(fds[i], &to.any, len), 0);
	}
	d = plait_port_drain(&port);
	run_until_count(reactor, &server.stops, 1);
	ck_assert(plait_value_is_none(plait_deferred_result(d)));
	ck_assert_str_eq(server.trace, "SBMBMBMX");
	plait_deferred_free(&d);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	actor_wait_idle(&server, reactor);
}

TEST(what_fails_in_another_family_says_where, ON_EACH_BACKEND)
{
	char expected[512];

	open_port();
	actor_stop(reactor, &port);
	local_connect(&name, &client.base);
	actor_wait_idle(&client, reactor);
	snprintf(expected, sizeof(expected),
		 "ConnectionRefusedError: connect to %s: Connection refused",
		 at);
	ck_assert_str_eq(client.why, expected);
	ck_assert_str_eq(client.trace, "ScFX");
}

/*
 * UNIX sockets on the simulated kernel: hosts and their disks.  That the calls
 * answer as Linux does is shown by test_lockstep.c.
 */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include <plait/adopt.h>
#include <plait/simulation.h>

#include "reactor/simulation/world.h"
#include "tests/actor.h"

static const char path[] = "/run/poem";

static struct plait_simulation *world;
static struct plait_host *host, *other;
static struct plait_reactor *here;
static struct kernel *kernel;
static struct actor server, client;
static struct plait_port *port;

static void world_setup(void)
{
	static const struct plait_simulation_options perfect;

	world = plait_simulation_new(1, &perfect);
	host = plait_simulation_host(world, "host");
	other = plait_simulation_host(world, "other");
	here = plait_host_reactor(host);
	kernel = loop_kernel(here);
	actor_init(&server);
	actor_init(&client);
	server.on_data = actor_echo;
}

static void world_end(void)
{
	plait_reactor_free(&here);
	ck_assert_ptr_null(plait_simulation_failure(world));
	plait_simulation_free(&world);
}

GROUP("local", .setup = world_setup, .teardown = world_end);

static void pass(double seconds)
{
	int rc = plait_simulation_run(world, seconds);

	ck_assert_msg(rc == 0 || rc == -EDEADLK, "%s", strerror(-rc));
}

static int listen_with(const struct plait_listen_unix_options *o)
{
	return plait_listen_unix(here, path, &server.base, o, &port);
}

static void talk(void)
{
	plait_connect_unix(here, path, &client.base, NULL);
	pass(1);
	ck_assert_ptr_nonnull(client.transport);
	plait_transport_write(client.transport, "hello", 5);
	plait_transport_lose_write_connection(client.transport);
	pass(10);
	ck_assert_str_eq(client.text, "hello");
	ck_assert_uint_eq(client.lost, 1);
}

static bool is_there(const char *file)
{
	return plait_i_disk_find(host, file) != NULL;
}

TEST(a_server_at_a_path_is_talked_to, PURE)
{
	ck_assert_int_eq(listen_with(NULL), 0);
	ck_assert(is_there(path));
	talk();
	plait_port_free(&port);
	pass(1);
	ck_assert(!is_there(path));
	ck_assert_uint_eq(plait_i_sockets_count(host), 0);
}

/* The disk outlasts the host, and nothing that it has does. */
TEST(a_path_outlasts_its_host_and_is_stale, PURE)
{
	static const struct plait_listen_unix_options o = {
		.replace_stale = true,
	};

	ck_assert_int_eq(listen_with(NULL), 0);
	plait_host_crash(host);
	pass(1);
	plait_reactor_free(&here);
	plait_host_restart(host);
	here = plait_host_reactor(host);
	actor_init(&server);
	server.on_data = actor_echo;
	ck_assert(is_there(path));
	ck_assert_int_eq(listen_with(NULL), -EADDRINUSE);
	ck_assert_int_eq(listen_with(&o), 0);
	talk();
}

TEST(a_server_takes_over, PURE)
{
	static const struct plait_listen_unix_options o = {
		.take_over = true,
	};
	struct plait_port *old;
	unsigned number;

	ck_assert_int_eq(listen_with(NULL), 0);
	old = port;
	number = plait_i_disk_find(host, path)->number;
	ck_assert_int_eq(listen_with(&o), 0);
	ck_assert_uint_ne(plait_i_disk_find(host, path)->number, number);
	plait_port_free(&old);
	pass(1);
	ck_assert(is_there(path));
	ck_assert(!is_there("/run/poem.new") && !is_there("/run/poem.lock"));
	talk();
}

static int new_socket(struct kernel *k, int type)
{
	int fd = kernel_socket(k, AF_UNIX, type);

	ck_assert_int_ge(fd, 3);
	return fd;
}

static socklen_t name_of(struct sockaddr_un *un, const char *name)
{
	*un = (struct sockaddr_un){ .sun_family = AF_UNIX };
	strcpy(un->sun_path, name);
	if (name[0] == '@')
		un->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
			   strlen(name) + (name[0] != '@'));
}

/* Stores 0 or an errno. */
static int bind_to(struct kernel *k, int fd, const char *name)
{
	struct sockaddr_un un;
	socklen_t len = name_of(&un, name);

	return kernel_bind(k, fd, (struct sockaddr *)&un, len) < 0 ? errno : 0;
}

static int connect_to(struct kernel *k, int fd, const char *name)
{
	struct sockaddr_un un;
	socklen_t len = name_of(&un, name);

	return kernel_connect(k, fd, (struct sockaddr *)&un, len) < 0 ? errno
								      : 0;
}

TEST(each_host_has_names_of_its_own, PURE)
{
	struct plait_reactor *there = plait_host_reactor(other);
	struct kernel *k = loop_kernel(there);
	int fds[2], fd = new_socket(k, SOCK_STREAM);

	for (int i = 0; i < 2; i++) {
		fds[i] = new_socket(kernel, SOCK_STREAM);
		ck_assert_int_eq(bind_to(kernel, fds[i], i ? "@name" : path),
				 0);
		ck_assert_int_eq(kernel_listen(kernel, fds[i], 1), 0);
	}
	ck_assert_int_eq(connect_to(k, fd, path), ENOENT);
	ck_assert_int_eq(connect_to(k, fd, "@name"), ECONNREFUSED);
	ck_assert_int_eq(bind_to(k, fd, path), 0);
	for (int i = 0; i < 2; i++)
		kernel_close(kernel, fds[i]);
	kernel_close(k, fd);
	plait_reactor_free(&there);
}

/* A name that the kernel chooses. */
TEST(a_kernel_chooses_names_that_nobody_has, PURE)
{
	struct sockaddr_un none = { .sun_family = AF_UNIX }, names[2];
	int fds[2];

	for (int i = 0; i < 2; i++) {
		socklen_t len = sizeof(names[i]);

		fds[i] = new_socket(kernel, SOCK_DGRAM);
		ck_assert_int_eq(kernel_bind(kernel, fds[i],
					     (struct sockaddr *)&none,
					     sizeof(none.sun_family)),
				 0);
		/* It is asked for once. */
		ck_assert_int_eq(kernel_bind(kernel, fds[i],
					     (struct sockaddr *)&none,
					     sizeof(none.sun_family)),
				 0);
		ck_assert_int_eq(
			kernel_getsockname(kernel, fds[i],
					   (struct sockaddr *)&names[i], &len),
			0);
		ck_assert_uint_eq(len, 8);
		ck_assert_int_eq(names[i].sun_path[0], '\0');
	}
	ck_assert_mem_ne(names[0].sun_path, names[1].sun_path, 6);
	for (int i = 0; i < 2; i++)
		kernel_close(kernel, fds[i]);
}

TEST(netstat_shows_names, PURE)
{
	struct plait_buf *b = plait_buf_new(4096);
	int fds[2];

	for (int i = 0; i < 2; i++)
		fds[i] = new_socket(kernel, SOCK_DGRAM);
	ck_assert_int_eq(bind_to(kernel, fds[0], path), 0);
	ck_assert_int_eq(connect_to(kernel, fds[1], path), 0);
	ck_assert_int_eq(kernel_send(kernel, fds[1], "poem", 4, 0), 4);
	ck_assert_int_eq(plait_host_netstat(host, b), 0);
	plait_buf_append(b, "", 1);
	ck_assert_str_eq((const char *)plait_buf_data(b),
			 "unix 4 0 unix:/run/poem \n"
			 "unix 0 772 unnamed UNIX socket CONNECTED\n");
	plait_buf_unref(&b);
	for (int i = 0; i < 2; i++)
		kernel_close(kernel, fds[i]);
}

static struct plait_credentials seen;

static void ask_who(struct actor *a, struct plait_protocol *p)
{
	ck_assert_int_eq(plait_transport_peer_credentials(p->transport, &seen),
			 0);
}

TEST(a_program_is_known_by_its_number, PURE)
{
	server.on_made = ask_who;
	ck_assert_int_eq(listen_with(NULL), 0);
	talk();
	ck_assert_int_eq(seen.pid, 1);
	ck_assert_int_eq(seen.pidfd, -1);
	ck_assert_uint_eq(seen.uid, 0);
}

static void read_by(struct plait_protocol *p, const void *data, size_t len)
{
	plait_transport_write(p->transport, data, len);
	plait_transport_lose_connection(p->transport);
}

static void write_poem(struct plait_protocol *p)
{
	plait_transport_write(p->transport, "poem", 4);
}

static unsigned heard;

static void hear(struct plait_protocol *p, const void *data, size_t len)
{
	heard += len;
}

static const struct plait_protocol_ops reads = { .data_received = read_by },
				       writes = { .connection_made = write_poem,
						  .data_received = hear };

TEST(a_pair_talks_with_itself, PURE)
{
	ck_assert_int_eq(plait_socketpair(here, plait_protocol_new(&reads),
					  plait_protocol_new(&writes)),
			 0);
	ck_assert_uint_eq(plait_i_sockets_count(host), 2);
	pass(1);
	ck_assert_uint_eq(heard, 4);
	ck_assert_uint_eq(plait_i_sockets_count(host), 0);
}

TEST(a_pair_needs_two_descriptors, PURE)
{
	int first = new_socket(kernel, SOCK_STREAM), last = first, fd, fds[2];

	while ((fd = kernel_socket(kernel, AF_UNIX, SOCK_STREAM)) >= 0)
		last = fd;
	ck_assert_int_eq(errno, EMFILE);
	kernel_close(kernel, last);
	ck_assert_int_eq(kernel_socketpair(kernel, SOCK_STREAM, fds), -1);
	ck_assert_int_eq(errno, EMFILE);
	/* The first of the two was given back. */
	ck_assert_int_eq(new_socket(kernel, SOCK_STREAM), last);
	for (fd = first; fd <= last; fd++)
		kernel_close(kernel, fd);
}

/* Whatever the kernel has no memory for, fails, and leaves nothing. */
TEST(a_kernel_without_memory_says_so, PURE)
{
	bool refused = true;

	for (unsigned long n = 0; refused; n++) {
		int fd, peer, err = 0;

		fault_alloc_at(n, false);
		fd = kernel_socket(kernel, AF_UNIX, SOCK_STREAM);
		peer = kernel_socket(kernel, AF_UNIX, SOCK_STREAM);
		if (fd >= 0)
			err = bind_to(kernel, fd, path);
		if (fd >= 0 && err == 0)
			err = kernel_listen(kernel, fd, 1);
		if (fd >= 0 && peer >= 0 && err == 0)
			err = connect_to(kernel, peer, path);
		if (fd >= 0 && peer >= 0 && err == 0 &&
		    kernel_send(kernel, peer, "poem", 4, 0) < 0)
			err = errno;
		refused = fault_alloc_reached();
		fault_alloc_off();
		ck_assert(!refused || fd < 0 || peer < 0 || err == ENOMEM ||
			  err == ENOBUFS);
		if (fd >= 0)
			kernel_close(kernel, fd);
		if (peer >= 0)
			kernel_close(kernel, peer);
		kernel_unlink(kernel, path);
		ck_assert_uint_eq(plait_i_sockets_count(host), 0);
	}
}

/* ---- buffers --------------------------------------------------------- */

static unsigned readiness_of(int fd)
{
	const struct sim_socket *s =
		plait_i_descriptor_find(
			&((struct host_kernel *)kernel->state)->descriptors, fd)
			->socket;

	return s->ops->readiness(s);
}

/* As much as there is room for. */
static size_t fill(int fd)
{
	static const char bytes[10000];
	size_t sum = 0;
	ssize_t n;

	while ((n = kernel_send(kernel, fd, bytes, sizeof(bytes), 0)) > 0)
		sum += (size_t)n;
	ck_assert_int_eq(errno, EAGAIN);
	return sum;
}

static size_t empty(int fd, size_t most)
{
	char bytes[1000];
	size_t sum = 0;
	ssize_t n;

	while (sum < most &&
	       (n = kernel_recv(kernel, fd, bytes, sizeof(bytes), 0)) > 0)
		sum += (size_t)n;
	return sum;
}

/* That differs from kernel to kernel, so lockstep does not compare it. */
TEST(a_full_buffer_is_writable_when_most_of_it_was_read, PURE)
{
	int listening = new_socket(kernel, SOCK_STREAM);
	int fd = new_socket(kernel, SOCK_STREAM), peer;
	size_t n;

	ck_assert_int_eq(bind_to(kernel, listening, "@name"), 0);
	ck_assert_int_eq(kernel_listen(kernel, listening, 1), 0);
	ck_assert_int_eq(connect_to(kernel, fd, "@name"), 0);
	peer = kernel_accept(kernel, listening, NULL, NULL);
	ck_assert_int_ge(peer, 3);
	ck_assert(readiness_of(fd) & POLLOUT);
	n = fill(fd);
	ck_assert_uint_ge(n, 150000);
	ck_assert(!(readiness_of(fd) & POLLOUT));
	ck_assert_uint_eq(empty(peer, n / 2), n / 2);
	ck_assert(!(readiness_of(fd) & POLLOUT));
	ck_assert_uint_eq(empty(peer, n), n - n / 2);
	ck_assert(readiness_of(fd) & POLLOUT);
	ck_assert_uint_eq(fill(fd), n);
	kernel_close(kernel, fd);
	kernel_close(kernel, peer);
	kernel_close(kernel, listening);
}

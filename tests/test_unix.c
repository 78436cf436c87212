/*
 * UNIX sockets: paths and abstract names, whose file it is, who may connect,
 * and ports whose queue is full.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <plait/testing.h>

#include "tests/actor.h"
#include "tests/child.h"
#include "tests/stranger.h"

static char directory[64], path[100], other[100];
static char lock_file[110], new_file[110]; /* beside path */
static struct actor client, server;
static struct plait_port *port;

static void make_directory(void)
{
	strcpy(directory, "/tmp/plait-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/poem", directory);
	snprintf(other, sizeof(other), "%s/other", directory);
	snprintf(lock_file, sizeof(lock_file), "%s.lock", path);
	snprintf(new_file, sizeof(new_file), "%s.new", path);
	actor_init(&client);
	actor_init(&server);
	server.on_data = actor_echo;
}

/* Nothing is left in it but what a test has put there. */
static void remove_directory(void)
{
	ck_assert_int_eq(rmdir(directory), 0);
}

static bool is_there(const char *file)
{
	struct stat st;

	return lstat(file, &st) == 0;
}

static int listen_with(const struct plait_listen_unix_options *o)
{
	return plait_listen_unix(reactor, path, &server.base, o, &port);
}

/* A socket of the test's own, bound to path; it does not listen. */
static int bound_socket(int type)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	strcpy(un.sun_path, path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

/* A client of the test's own; -1 with errno if it cannot connect. */
static int try_connect(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(un.sun_path, path);
	stranger_is_not(fd);
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void make_file(const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

/* A socket there, whose listener has died. */
static void make_stale(void)
{
	int fd = bound_socket(SOCK_STREAM);

	ck_assert_int_eq(listen(fd, 1), 0);
	close(fd);
}

static void talk(const char *to)
{
	plait_connect_unix(reactor, to, &client.base, NULL);
	run_until_count(reactor, &client.made, 1);
	plait_transport_write(client.transport, "hello", 5);
	plait_transport_lose_write_connection(client.transport);
	actor_wait_idle(&client, reactor);
	ck_assert_str_eq(client.text, "hello");
	ck_assert_str_eq(client.trace, "ScBMDLCX");
}

GROUP("talk", .setup = make_directory, .teardown = remove_directory);

TEST(a_port_at_a_path_is_there_as_long_as_it_listens, ON_EACH_BACKEND)
{
	struct plait_address a;
	char text[512], expected[512];

	ck_assert_int_eq(listen_with(NULL), 0);
	ck_assert(is_there(path));
	plait_port_host(port, &a);
	ck_assert_str_eq(plait_address_path(&a), path);
	plait_port_str(port, text, sizeof(text));
	snprintf(expected, sizeof(expected), "port on unix:%s, listening",
		 path);
	ck_assert_str_eq(text, expected);
	talk(path);
	actor_stop(reactor, &port);
	ck_assert(!is_there(path));
	ck_assert_str_eq(server.trace, "SBMDLX");
}

TEST(a_connection_says_what_it_is, ON_EACH_BACKEND)
{
	struct plait_address a;
	char text[512], expected[512];

	ck_assert_int_eq(listen_with(NULL), 0);
	plait_connect_unix(reactor, path, &client.base, NULL);
	run_until_count(reactor, &client.made, 1);
	run_until_count(reactor, &server.made, 1);
	plait_transport_str(client.transport, text, sizeof(text));
	snprintf(expected, sizeof(expected),
		 "unix to unix:%s, connected, 0 bytes unsent", path);
	ck_assert_str_eq(text, expected);
	plait_connector_destination(client.connector, &a);
	ck_assert_str_eq(plait_address_path(&a), path);
	plait_transport_peer(server.transport, &a);
	ck_assert_int_eq(plait_address_family(&a), AF_UNIX);
	ck_assert_ptr_null(plait_address_path(&a));
	plait_transport_abort_connection(client.transport);
	actor_wait_idle(&client, reactor);
	actor_stop(reactor, &port);
	actor_wait_idle(&server, reactor);
}

TEST(a_peer_that_is_bound_has_a_name, ON_EACH_BACKEND)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct plait_address a;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(listen_with(NULL), 0);
	stranger_is_not(fd);
	strcpy(un.sun_path, other);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	strcpy(un.sun_path, path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	run_until_count(reactor, &server.made, 1);
	ck_assert_str_eq(plait_address_path(&server.peer), other);
	ck_assert_int_eq(plait_transport_peer(server.transport, &a), 0);
	ck_assert(plait_address_equal(&a, &server.peer));
	close(fd);
	unlink(other);
	actor_stop(reactor, &port);
	actor_wait_idle(&server, reactor);
}

TEST(an_abstract_name_is_in_no_file_system, ON_EACH_BACKEND)
{
	struct plait_address a;
	char name[101];
	size_t len;

	snprintf(name, sizeof(name), "@%s", path);
	ck_assert_int_eq(
		plait_listen_unix(reactor, name, &server.base, NULL, &port), 0);
	ck_assert(!is_there(path) && !is_there(name));
	plait_port_host(port, &a);
	ck_assert_mem_eq(plait_address_abstract(&a, &len), path, strlen(path));
	ck_assert_uint_eq(len, strlen(path));
	ck_assert_int_eq(plait_listen_unix(reactor, name, &server.base,
					   &(struct plait_listen_unix_options){
						   .replace_stale = true },
					   NULL),
			 -EADDRINUSE);
	talk(name);
	actor_stop(reactor, &port);
}

TEST(what_waits_when_a_port_drains_is_served, ON_EACH_BACKEND, TIMES(2))
{
	struct plait_deferred *d;
	int fds[3];

	ck_assert_int_eq(listen_with(&(struct plait_listen_unix_options){
				 .keep_path = _i }),
			 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_ge(fds[i] = try_connect(), 0);
	d = plait_port_drain(&port);
	/* Nobody else finds it, unless it stays. */
	ck_assert(is_there(path) == (_i == 1));
	run_until_count(reactor, &server.stops, 1);
	ck_assert(plait_value_is_none(plait_deferred_result(d)));
	ck_assert_str_eq(server.trace, "SBMBMBMX");
	plait_deferred_free(&d);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	actor_wait_idle(&server, reactor);
	if (_i == 1)
		unlink(path);
}

static struct plait_credentials seen;
static pid_t seen_by_pidfd; /* -1: there was none */

/* The process that a pidfd stands for; -1 if it has been waited for. */
static pid_t process_of(int pidfd)
{
	char name[64], line[256];
	int pid = -1;
	FILE *f;

	snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", pidfd);
	f = fopen(name, "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		sscanf(line, "Pid: %d", &pid);
	if (f != NULL)
		fclose(f);
	return pid;
}

/* The pidfd is the program's. */
static void note_pidfd(void)
{
	seen_by_pidfd = -1;
	if (seen.pidfd < 0)
		return;
	ck_assert_int_gt(seen.pidfd, 2);
	ck_assert_int_eq(fcntl(seen.pidfd, F_GETFD), FD_CLOEXEC);
	seen_by_pidfd = process_of(seen.pidfd);
	close(seen.pidfd);
}

static void ask_who(struct actor *a, struct plait_protocol *p)
{
	ck_assert_int_eq(plait_transport_peer_credentials(p->transport, &seen),
			 0);
	note_pidfd();
}

/* Linux has them from 6.5 on. */
static bool has_pidfds(void)
{
	int ends[2], pidfd = -1;
	socklen_t len = sizeof(pidfd);

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	getsockopt(ends[0], SOL_SOCKET, 77, &pidfd, &len);
	for (int i = 0; i < 2; i++)
		close(ends[i]);
	if (pidfd >= 0)
		close(pidfd);
	return pidfd >= 0;
}

static void check_seen_of(pid_t pid, gid_t gid)
{
	ck_assert_int_eq(seen.pid, pid);
	ck_assert_uint_eq(seen.uid, geteuid());
	ck_assert_uint_eq(seen.gid, gid);
	seen = (struct plait_credentials){ .pid = -1 };
}

static void check_seen(pid_t pid)
{
	check_seen_of(pid, getegid());
}

/* Also if that process has ended since, and in a group of its own if it may. */
TEST(a_server_knows_which_process_has_connected, ON_EACH_BACKEND)
{
	gid_t gid = geteuid() == 0 ? 4711 : getegid();
	pid_t pid;

	server.on_made = ask_who;
	ck_assert_int_eq(listen_with(NULL), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		if (setegid(gid) < 0)
			child_leave(1);
		child_leave(try_connect() >= 0 ? 0 : 1);
	}
	child_ends(pid);
	run_until_count(reactor, &server.made, 1);
	check_seen_of(pid, gid);
	actor_stop(reactor, &port);
	actor_wait_idle(&server, reactor);
}

TEST(a_client_knows_which_process_listens, ON_EACH_BACKEND)
{
	struct plait_transport *t;

	client.on_made = ask_who;
	ck_assert_int_eq(listen_with(NULL), 0);
	plait_connect_unix(reactor, path, &client.base, NULL);
	run_until_count(reactor, &client.made, 1);
	check_seen(getpid());
	t = client.transport;
	fault_call("getsockopt", 1, EIO);
	ck_assert_int_eq(plait_transport_peer_credentials(t, &seen), -EIO);
	ck_assert_int_eq(seen.pid, -1);
	plait_transport_abort_connection(t);
	actor_wait_idle(&client, reactor);
	actor_stop(reactor, &port);
}

TEST(a_pidfd_stands_for_the_process, ON_EACH_BACKEND)
{
	client.on_made = ask_who;
	ck_assert_int_eq(listen_with(NULL), 0);
	plait_connect_unix(reactor, path, &client.base, NULL);
	run_until_count(reactor, &client.made, 1);
	check_seen(getpid());
	ck_assert_int_eq(seen_by_pidfd, has_pidfds() ? getpid() : -1);
	plait_transport_abort_connection(client.transport);
	actor_wait_idle(&client, reactor);
	actor_stop(reactor, &port);
}

/* The second call is for the pidfd.  The last is what Linux says of a process
   that has ended. */
static const struct {
	int err, expected;
} no_pidfd[] = {
	{ ENOPROTOOPT, 0 },  { EMFILE, -EMFILE }, { ENFILE, -ENFILE },
	{ ENOMEM, -ENOMEM }, { ESRCH, 0 },
};

TEST(credentials_without_a_pidfd_are_told, ON_EACH_BACKEND, EACH_OF(no_pidfd))
{
	struct plait_credentials who = { .pid = -1, .pidfd = -7 };

	ck_assert_int_eq(listen_with(NULL), 0);
	plait_connect_unix(reactor, path, &client.base, NULL);
	run_until_count(reactor, &client.made, 1);
	fault_pass("getsockopt", 1);
	fault_call("getsockopt", 1, no_pidfd[_i].err);
	ck_assert_int_eq(
		plait_transport_peer_credentials(client.transport, &who),
		no_pidfd[_i].expected);
	ck_assert_int_eq(who.pid, no_pidfd[_i].expected ? -1 : getpid());
	ck_assert_int_eq(who.pidfd, no_pidfd[_i].expected ? -7 : -1);
	plait_transport_abort_connection(client.transport);
	actor_wait_idle(&client, reactor);
	actor_stop(reactor, &port);
}

/* The transport that the protocol sees has only a throttle of its own. */
TEST(what_wraps_a_connection_knows_it_too, ON_EACH_BACKEND)
{
	struct plait_bucket bucket = { .rate = 1000000 };
	struct plait_throttled_factory throttled = { .in = &bucket };

	server.on_made = ask_who;
	plait_throttled_factory_init(&throttled, &server.base);
	ck_assert_int_eq(plait_listen_unix(reactor, path, &throttled.base.base,
					   NULL, &port),
			 0);
	plait_connect_unix(reactor, path, &client.base, NULL);
	run_until_count(reactor, &server.made, 1);
	check_seen(getpid());
	run_until_count(reactor, &client.made, 1);
	plait_transport_abort_connection(client.transport);
	actor_wait_idle(&client, reactor);
	actor_stop(reactor, &port);
	actor_wait_idle(&server, reactor);
}

static void ask_too_late(struct actor *a, struct plait_protocol *p)
{
	ck_assert_int_eq(plait_transport_peer_credentials(p->transport, &seen),
			 -ENOTCONN);
	check_seen(-1);
}

TEST(who_was_there_is_not_known_when_it_is_lost, ON_EACH_BACKEND)
{
	ck_assert_int_eq(listen_with(NULL), 0);
	plait_connect_unix(reactor, path, &client.base, NULL);
	run_until_count(reactor, &client.made, 1);
	client.on_lost = ask_too_late;
	seen = (struct plait_credentials){ .pid = -1,
					   .uid = geteuid(),
					   .gid = getegid() };
	plait_transport_abort_connection(client.transport);
	actor_wait_idle(&client, reactor);
	actor_stop(reactor, &port);
}

/* There the network is the test's, and the path is only a name. */
TEST(a_testing_reactor_has_them_too, PURE)
{
	struct plait_reactor *r = plait_testing_reactor_new();
	struct plait_address a;

	ck_assert_int_eq(plait_listen_unix(r, path, &server.base, NULL, &port),
			 0);
	ck_assert(!is_there(path));
	plait_port_host(port, &a);
	ck_assert_str_eq(plait_address_path(&a), path);
	ck_assert_uint_eq(plait_address_port(&a), 0);
	plait_connect_unix(r, path, &client.base, NULL);
	plait_connector_destination(client.connector, &a);
	ck_assert_str_eq(plait_address_path(&a), path);
	plait_reactor_free(&r);
}

GROUP("file", .setup = make_directory, .teardown = remove_directory);

TEST(a_port_removes_only_its_own_file, ON_EACH_BACKEND)
{
	ck_assert_int_eq(listen_with(NULL), 0);
	make_file(other);
	ck_assert_int_eq(rename(other, path), 0);
	actor_stop(reactor, &port);
	ck_assert(is_there(path));
	unlink(path);
}

TEST(a_port_whose_file_is_gone_ends_as_any_other, ON_EACH_BACKEND)
{
	ck_assert_int_eq(listen_with(NULL), 0);
	unlink(path);
	actor_stop(reactor, &port);
	ck_assert_str_eq(server.trace, "SX");
}

TEST(a_path_may_be_kept, ON_EACH_BACKEND)
{
	ck_assert_int_eq(listen_with(&(struct plait_listen_unix_options){
				 .keep_path = true }),
			 0);
	actor_stop(reactor, &port);
	ck_assert(is_there(path));
	unlink(path);
}

TEST(the_end_of_the_reactor_removes_the_file, ON_EACH_BACKEND)
{
	ck_assert_int_eq(listen_with(NULL), 0);
	plait_reactor_free(&reactor);
	ck_assert(!is_there(path));
}

TEST(a_child_leaves_the_file_to_its_parent, ON_EACH_BACKEND)
{
	pid_t pid;

	ck_assert_int_eq(listen_with(NULL), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		plait_reactor_free(&reactor);
		child_leave(0);
	}
	child_ends(pid);
	ck_assert(is_there(path));
	talk(path);
	actor_stop(reactor, &port);
	ck_assert(!is_there(path));
}

GROUP("mode", .setup = make_directory, .teardown = remove_directory);

static const struct {
	mode_t umask, mode, expected;
} modes[] = {
	{ 022, 0, 0755 },    { 077, 0, 0700 },	   { 022, 0600, 0600 },
	{ 077, 0666, 0666 }, { 0777, 0660, 0660 }, { 0, 0400, 0400 },
};

TEST(the_mode_says_who_may_connect, ON_EACH_BACKEND, EACH_OF(modes))
{
	mode_t before = umask(modes[_i].umask);
	struct stat st;
	int err = listen_with(
		&(struct plait_listen_unix_options){ .mode = modes[_i].mode });

	umask(before);
	ck_assert_int_eq(err, 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777u, modes[_i].expected);
	actor_stop(reactor, &port);
}

static void connects_too_early(void *arg)
{
	ck_assert_int_eq(try_connect(), -1);
	ck_assert_int_eq(errno, ECONNREFUSED);
	++*(unsigned *)arg;
}

TEST(nobody_connects_before_the_mode_holds, ON_EACH_BACKEND)
{
	unsigned times = 0;

	call_hook("chmod", connects_too_early, &times);
	ck_assert_int_eq(listen_with(&(struct plait_listen_unix_options){
				 .mode = 0600 }),
			 0);
	call_hook("chmod", NULL, NULL);
	ck_assert_uint_eq(times, 1);
	actor_stop(reactor, &port);
}

GROUP("taken", .setup = make_directory, .teardown = remove_directory);

static void make_datagram(void)
{
	close(bound_socket(SOCK_DGRAM));
}

static void make_plain(void)
{
	make_file(path);
}

static void make_fifo(void)
{
	ck_assert_int_eq(mkfifo(path, 0600), 0);
}

static const struct {
	void (*make)(void);
	bool is_replaced;
} taken[] = {
	{ make_stale, true },
	{ make_datagram, true },
	{ make_plain, false },
	{ make_fifo, false },
};

TEST(what_is_at_the_path_stays_there, ON_EACH_BACKEND, EACH_OF(taken))
{
	taken[_i].make();
	ck_assert_int_eq(listen_with(NULL), -EADDRINUSE);
	ck_assert(is_there(path));
	ck_assert_str_eq(server.trace, "");
	unlink(path);
}

TEST(only_the_socket_of_nobody_is_replaced, ON_EACH_BACKEND, EACH_OF(taken))
{
	static const struct plait_listen_unix_options o = {
		.replace_stale = true,
	};

	taken[_i].make();
	ck_assert_int_eq(listen_with(&o),
			 taken[_i].is_replaced ? 0 : -EADDRINUSE);
	ck_assert(is_there(path));
	if (taken[_i].is_replaced) {
		talk(path);
		actor_stop(reactor, &port);
	} else {
		unlink(path);
	}
}

TEST(who_listens_is_not_replaced, ON_EACH_BACKEND, TIMES(2))
{
	static const struct plait_listen_unix_options o = {
		.replace_stale = true,
	};
	int fd = bound_socket(_i ? SOCK_SEQPACKET : SOCK_STREAM);
	struct stat before, after;

	ck_assert_int_eq(listen(fd, 0), 0);
	ck_assert_int_eq(stat(path, &before), 0);
	ck_assert_int_eq(listen_with(&o), -EADDRINUSE);
	ck_assert_int_eq(listen_with(&o), -EADDRINUSE);
	ck_assert_int_eq(stat(path, &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	close(fd);
	unlink(path);
}

GROUP("refused", .setup = make_directory, .teardown = remove_directory);

TEST(a_path_is_text_that_has_room, PURE)
{
	struct plait_reactor *r = plait_testing_reactor_new();
	struct plait_listen_unix_options o = { .mode = 0600 };
	char longest[110];
	struct plait_factory *f = &server.base;

	memset(longest, 'x', sizeof(longest));
	longest[108] = '\0';
	ck_assert_int_eq(plait_listen_unix(r, NULL, f, &o, &port), -EINVAL);
	ck_assert_int_eq(plait_listen_unix(r, "", f, &o, &port), -EINVAL);
	ck_assert_int_eq(plait_listen_unix(r, "@", f, &o, &port), -EINVAL);
	ck_assert_int_eq(plait_listen_unix(r, longest, f, &o, &port),
			 -ENAMETOOLONG);
	o.reserved[7] = 1;
	ck_assert_int_eq(plait_listen_unix(r, "@x", f, &o, &port), -EINVAL);
	plait_reactor_free(&r);
}

TEST(a_directory_that_is_not_there_has_no_sockets, ON_EACH_BACKEND)
{
	snprintf(path, sizeof(path), "%s/x/y", directory);
	ck_assert_int_eq(listen_with(NULL), -ENOENT);
}

/* A lock file that was made without having the lock stays; and if it cannot be
   looked at, nobody knows whose file the socket has. */
static const struct {
	const char *call;
	unsigned long pass;
	const char *left;
} calls[] = {
	{ "socket", 0, NULL },	   { "open", 0, NULL },
	{ "flock", 0, lock_file }, { "fstat", 0, lock_file },
	{ "stat", 0, lock_file },  { "bind", 0, NULL },
	{ "stat", 1, path },	   { "chmod", 0, NULL },
	{ "listen", 0, NULL },	   { "open", 1, NULL },
};

TEST(a_port_that_fails_leaves_nothing, ON_EACH_BACKEND, EACH_OF(calls))
{
	static const struct plait_listen_unix_options o = { .mode = 0600 };

	fault_pass(calls[_i].call, calls[_i].pass);
	fault_call(calls[_i].call, 1, EIO);
	ck_assert_int_eq(listen_with(&o), -EIO);
	fault_off();
	ck_assert(is_there(path) == (calls[_i].left == path));
	ck_assert(is_there(lock_file) == (calls[_i].left == lock_file));
	unlink(path);
	ck_assert_str_eq(server.trace, "");
	ck_assert_int_eq(listen_with(&o), 0);
	actor_stop(reactor, &port);
}

TEST(a_port_without_memory_leaves_nothing, ON_EACH_BACKEND)
{
	static const struct plait_listen_unix_options o = { .keep_path = true };
	bool refused = true;

	for (unsigned long n = 0; refused; n++) {
		fault_alloc_at(n, false);
		if (listen_with(&o) < 0)
			ck_assert(!is_there(path));
		refused = fault_alloc_reached();
		fault_alloc_off();
		if (port != NULL)
			actor_stop(reactor, &port);
		unlink(path);
	}
}

static const struct {
	const char *call;
	unsigned long pass;
	int err;
} probes[] = {
	{ "stat", 1, EIO },	  { "socket", 1, EMFILE },
	{ "connect", 0, EACCES }, { "unlink", 0, EROFS },
	{ "bind", 1, EIO },
};

TEST(a_stale_socket_that_cannot_be_replaced_is_in_use, ON_EACH_BACKEND,
     EACH_OF(probes))
{
	static const struct plait_listen_unix_options o = {
		.replace_stale = true,
	};
	int err;

	make_stale();
	fault_pass(probes[_i].call, probes[_i].pass);
	fault_call(probes[_i].call, 1, probes[_i].err);
	err = listen_with(&o);
	fault_off();
	if (_i < 3)
		ck_assert_int_eq(err, -EADDRINUSE);
	else
		ck_assert_int_eq(err, -probes[_i].err);
	ck_assert(is_there(path) == (_i < 4));
	unlink(path);
}

GROUP("connect", .setup = make_directory, .teardown = remove_directory);

static void connect_fails(const char *to, const struct plait_connect_options *o,
			  const struct plait_error *kind, int err)
{
	plait_connect_unix(reactor, to, &client.base, o);
	actor_wait_idle(&client, reactor);
	ck_assert_ptr_eq(client.kind, kind);
	ck_assert_int_eq(client.err, err);
	ck_assert_str_eq(client.trace, "ScFX");
}

TEST(a_path_without_a_socket_fails, ON_EACH_BACKEND)
{
	connect_fails(path, NULL, &plait_error_connect, ENOENT);
}

TEST(a_socket_of_nobody_refuses, ON_EACH_BACKEND)
{
	make_stale();
	connect_fails(path, NULL, &plait_error_connection_refused,
		      ECONNREFUSED);
	unlink(path);
}

TEST(a_path_that_is_none_is_told, ON_EACH_BACKEND, TIMES(4))
{
	static const char *const none[] = { NULL, "", "@" };
	char longest[110];

	memset(longest, 'x', sizeof(longest));
	longest[108] = '\0';
	if (_i < 3)
		connect_fails(none[_i], NULL, &plait_error_connect, EINVAL);
	else
		connect_fails(longest, NULL, &plait_error_connect,
			      ENAMETOOLONG);
}

static const struct plait_connect_options senseless[] = {
	{ .bind_address = "127.0.0.1" },
	{ .bind_port = 1 },
	{ .no_delay = true },
	{ .keep_alive = true },
	{ .reserved = { 1 } },
};

TEST(options_without_a_meaning_are_refused, ON_EACH_BACKEND, EACH_OF(senseless))
{
	connect_fails(path, &senseless[_i], &plait_error_connect, EINVAL);
}

GROUP("full", .setup = make_directory, .teardown = remove_directory);

enum { MAX_WAITING = 10 };

static int listening, waiting[MAX_WAITING];
static unsigned n_waiting;

/* A port in whose queue is no room. */
static void fill_queue(void)
{
	int fd;

	listening = bound_socket(SOCK_STREAM);
	ck_assert_int_eq(listen(listening, 0), 0);
	n_waiting = 0;
	while ((fd = try_connect()) >= 0) {
		ck_assert_uint_lt(n_waiting, MAX_WAITING);
		waiting[n_waiting++] = fd;
	}
	ck_assert_int_eq(errno, EAGAIN);
}

static void empty_queue(void)
{
	for (unsigned i = 0; i < n_waiting; i++)
		close(waiting[i]);
	close(listening);
	unlink(path);
}

TEST(a_connector_waits_for_room_in_the_queue, ON_EACH_BACKEND)
{
	int fd;

	clock_virtual(true);
	fill_queue();
	plait_connect_unix(reactor, path, &client.base, NULL);
	run_turns(reactor, 20);
	ck_assert_str_eq(client.trace, "Sc");
	fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	run_until_count(reactor, &client.made, 1);
	plait_transport_abort_connection(client.transport);
	actor_wait_idle(&client, reactor);
	close(fd);
	empty_queue();
}

TEST(it_waits_as_long_as_its_timeout, ON_EACH_BACKEND)
{
	struct plait_connect_options o = { .timeout = 5 };
	double began;

	clock_virtual(true);
	began = clock_now();
	fill_queue();
	calls_reset();
	plait_connect_unix(reactor, path, &client.base, &o);
	actor_wait_idle(&client, reactor);
	ck_assert_ptr_eq(client.kind, &plait_error_connect_timeout);
	ck_assert(clock_now() >= began + 5 && clock_now() < began + 5.1);
	/* It has tried often, but it has not spun. */
	ck_assert_uint_ge(calls_of("connect"), 100);
	ck_assert_uint_le(calls_of("connect"), 600);
	empty_queue();
}

TEST(who_stops_it_ends_the_waiting, ON_EACH_BACKEND)
{
	clock_virtual(true);
	fill_queue();
	plait_connect_unix(reactor, path, &client.base, NULL);
	run_turns(reactor, 3);
	ck_assert_int_eq(plait_connector_stop_connecting(client.connector), 0);
	calls_reset();
	actor_wait_idle(&client, reactor);
	ck_assert_ptr_eq(client.kind, &plait_error_user);
	clock_advance(1);
	run_turns(reactor, 3);
	ck_assert_uint_eq(calls_of("connect"), 0);
	empty_queue();
}

TEST(the_end_of_the_reactor_ends_the_waiting, ON_EACH_BACKEND)
{
	clock_virtual(true);
	fill_queue();
	plait_connect_unix(reactor, path, &client.base, NULL);
	run_turns(reactor, 3);
	plait_reactor_free(&reactor);
	ck_assert_str_eq(client.trace, "ScFX");
	empty_queue();
}

/* ---- beside other servers ------------------------------------------------ */

static struct actor rival;
static struct plait_port *rival_port;
static struct plait_reactor *rival_reactor;

static void make_rival(void)
{
	make_directory();
	actor_init(&rival);
	rival_port = NULL;
	rival_reactor = NULL;
}

static void remove_rival(void)
{
	plait_reactor_free(&rival_reactor);
	remove_directory();
}

GROUP("lock", .setup = make_rival, .teardown = remove_rival);

static const struct plait_listen_unix_options ways[] = {
	{ .mode = 0 },
	{ .replace_stale = true },
	{ .take_over = true },
};

/* A lock of the test's own. */
static int take_lock(void)
{
	int fd = open(lock_file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
	return fd;
}

TEST(a_path_whose_lock_is_held_is_in_use, ON_EACH_BACKEND, EACH_OF(ways))
{
	int fd = take_lock();

	ck_assert_int_eq(listen_with(&ways[_i]), -EADDRINUSE);
	ck_assert(!is_there(path) && !is_there(new_file));
	ck_assert(is_there(lock_file));
	close(fd);
	/* A file that is left locks nothing. */
	ck_assert_int_eq(listen_with(&ways[_i]), 0);
	ck_assert(!is_there(lock_file));
	talk(path);
	actor_stop(reactor, &port);
	ck_assert(!is_there(lock_file) && !is_there(path));
}

/* Whoever had the lock has removed the file: its lock is worth nothing, also
   if the next has made another file of that name. */
static bool makes_another;

static void remove_lock(void *arg)
{
	unsigned *times = arg;

	if (*times == 0)
		return;
	--*times;
	unlink(lock_file);
	if (makes_another)
		make_file(lock_file);
}

TEST(a_lock_that_is_not_there_any_more_is_taken_anew, ON_EACH_BACKEND, TIMES(2))
{
	unsigned times = 3;

	makes_another = _i == 1;
	calls_reset();
	call_hook("flock", remove_lock, &times);
	ck_assert_int_eq(listen_with(NULL), 0);
	ck_assert_uint_eq(calls_of("flock"), 4);
	call_hook("flock", NULL, NULL);
	actor_stop(reactor, &port);
}

TEST(a_lock_that_always_goes_away_is_not_tried_for_ever, ON_EACH_BACKEND)
{
	unsigned times = UINT_MAX;

	calls_reset();
	call_hook("flock", remove_lock, &times);
	ck_assert_int_eq(listen_with(NULL), -EADDRINUSE);
	ck_assert_uint_eq(calls_of("flock"), 16);
	call_hook("flock", NULL, NULL);
	ck_assert_int_eq(listen_with(NULL), 0);
	actor_stop(reactor, &port);
}

/* As if its own process did it, in the midst of a call of the other. */
static int rival_err;
static const struct plait_listen_unix_options *rival_options;

static void rival_listens(void *arg)
{
	unsigned *pass = arg;

	if (rival_reactor != NULL || (*pass)-- > 0)
		return;
	rival_reactor = plait_reactor_new(NULL);
	rival_err = plait_listen_unix(rival_reactor, path, &rival.base,
				      rival_options, &rival_port);
}

/* Who connects now, finds that server. */
static void answers(struct plait_reactor *r, struct actor *a)
{
	unsigned made = a->made, lost = a->lost;
	int fd = try_connect();

	ck_assert_int_ge(fd, 0);
	run_until_count(r, &a->made, made + 1);
	close(fd);
	run_until_count(r, &a->lost, lost + 1);
}

/* The calls of a server that replaces a dead one, and what comes between. */
static const struct {
	const char *call;
	unsigned pass;
	bool rival_wins;
} moments[] = {
	{ "socket", 0, true },	{ "open", 0, true },	{ "flock", 0, true },
	{ "fstat", 0, false },	{ "stat", 0, false },	{ "bind", 0, false },
	{ "stat", 1, false },	{ "socket", 1, false }, { "connect", 0, false },
	{ "unlink", 0, false }, { "bind", 1, false },	{ "stat", 2, false },
	{ "chmod", 0, false },	{ "listen", 0, false }, { "open", 1, false },
};

TEST(of_two_that_find_it_stale_one_listens, ON_EACH_BACKEND, EACH_OF(moments))
{
	static const struct plait_listen_unix_options o = {
		.replace_stale = true,
		.mode = 0600,
	};
	unsigned pass = moments[_i].pass;
	int err;

	make_stale();
	rival_options = &o;
	call_hook(moments[_i].call, rival_listens, &pass);
	err = listen_with(&o);
	call_hook(moments[_i].call, NULL, NULL);
	ck_assert_ptr_nonnull(rival_reactor);
	ck_assert_int_eq(err, moments[_i].rival_wins ? -EADDRINUSE : 0);
	ck_assert_int_eq(rival_err, moments[_i].rival_wins ? 0 : -EADDRINUSE);
	if (moments[_i].rival_wins)
		answers(rival_reactor, &rival);
	else
		answers(reactor, &server);
	if (port != NULL)
		actor_stop(reactor, &port);
	plait_reactor_free(&rival_reactor);
	ck_assert(!is_there(path) && !is_there(lock_file));
}

/* Several processes at once, without any order.  A server that has the path
   says so, and waits until its standard input ends. */
static void compete(int ready, int end)
{
	static const struct plait_listen_unix_options o = {
		.replace_stale = true,
	};
	struct plait_reactor *r = plait_reactor_new(NULL);
	int err = plait_listen_unix(r, path, &rival.base, &o, &rival_port);
	char byte = err == 0;

	if (write(ready, &byte, 1) != 1 || read(end, &byte, 1) != 0)
		child_leave(2);
	child_leave(err == 0 || err == -EADDRINUSE ? 0 : 1);
}

TEST(of_many_processes_that_find_it_stale_one_listens, PURE, TIMES(10))
{
	enum { RIVALS = 4 };
	int ready[2], end[2], winners = 0, fd;
	pid_t pids[RIVALS];
	char byte;

	make_stale();
	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(end, O_CLOEXEC), 0);
	for (int i = 0; i < RIVALS; i++) {
		pids[i] = fork();
		ck_assert_int_ge(pids[i], 0);
		if (pids[i] == 0) {
			close(end[1]);
			compete(ready[1], end[0]);
		}
	}
	for (int i = 0; i < RIVALS; i++) {
		ck_assert_int_eq(read(ready[0], &byte, 1), 1);
		winners += byte;
	}
	/* Whoever has won is found at the path, and did not die. */
	ck_assert_int_eq(winners, 1);
	ck_assert_int_ge(fd = try_connect(), 0);
	close(fd);
	close(end[1]);
	for (int i = 0; i < RIVALS; i++)
		child_ends(pids[i]);
	close(end[0]);
	close(ready[0]);
	close(ready[1]);
	unlink(path);
}

/* A server that stops has found its own file there, and another one comes. */
static const struct {
	const char *call;
	unsigned pass;
	int rival_err;
} ends[] = {
	{ "flock", 0, 0 },
	{ "stat", 1, -EADDRINUSE },
	{ "unlink", 0, -EADDRINUSE },
};

TEST(who_stops_removes_no_file_of_who_takes_over, ON_EACH_BACKEND,
     EACH_OF(ends))
{
	unsigned pass = ends[_i].pass;

	ck_assert_int_eq(listen_with(NULL), 0);
	rival_options = &ways[2];
	call_hook(ends[_i].call, rival_listens, &pass);
	actor_stop(reactor, &port);
	call_hook(ends[_i].call, NULL, NULL);
	ck_assert_ptr_nonnull(rival_reactor);
	ck_assert_int_eq(rival_err, ends[_i].rival_err);
	ck_assert(is_there(path) == (rival_err == 0));
	if (rival_err == 0)
		answers(rival_reactor, &rival);
	plait_reactor_free(&rival_reactor);
	ck_assert(!is_there(path) && !is_there(lock_file));
}

/* It does not wait for the lock, and does not remove without. */
TEST(who_cannot_have_the_lock_leaves_the_file, ON_EACH_BACKEND)
{
	int fd;

	ck_assert_int_eq(listen_with(NULL), 0);
	fd = take_lock();
	actor_stop(reactor, &port);
	ck_assert(is_there(path));
	close(fd);
	unlink(lock_file);
	ck_assert_int_eq(listen_with(&ways[1]), 0);
	actor_stop(reactor, &port);
	ck_assert(!is_there(path));
}

GROUP("takeover", .setup = make_rival, .teardown = remove_rival);

static const struct plait_listen_unix_options takes_over = {
	.take_over = true,
	.mode = 0640,
};

static void rival_takes_over(void)
{
	if (rival_reactor == NULL)
		rival_reactor = plait_reactor_new(NULL);
	rival_err = plait_listen_unix(rival_reactor, path, &rival.base,
				      &takes_over, &rival_port);
}

static ino_t inode_of(const char *file)
{
	struct stat st;

	ck_assert_int_eq(stat(file, &st), 0);
	return st.st_ino;
}

TEST(each_server_serves_those_who_have_found_it, ON_EACH_BACKEND)
{
	struct plait_address a;
	struct stat st;
	int before[2], after[2];

	ck_assert_int_eq(listen_with(NULL), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_ge(before[i] = try_connect(), 0);
	rival_takes_over();
	ck_assert_int_eq(rival_err, 0);
	ck_assert(!is_there(new_file) && !is_there(lock_file));
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777u, 0640);
	plait_port_host(rival_port, &a);
	ck_assert_str_eq(plait_address_path(&a), path);
	for (int i = 0; i < 2; i++)
		ck_assert_int_ge(after[i] = try_connect(), 0);
	run_until_count(reactor, &server.made, 2);
	run_until_count(rival_reactor, &rival.made, 2);
	actor_stop(reactor, &port);
	ck_assert_uint_eq(inode_of(path), st.st_ino);
	ck_assert_uint_eq(server.made, 2);
	ck_assert_uint_eq(rival.made, 2);
	for (int i = 0; i < 2; i++) {
		close(before[i]);
		close(after[i]);
	}
	actor_wait_idle(&server, reactor);
	answers(rival_reactor, &rival);
	plait_reactor_free(&rival_reactor);
	ck_assert(!is_there(path));
}

/* The old server drains: it serves its queue, and its file is another's. */
TEST(a_drain_after_a_takeover_leaves_the_file, ON_EACH_BACKEND)
{
	struct plait_deferred *d;
	int fd;

	ck_assert_int_eq(listen_with(NULL), 0);
	ck_assert_int_ge(fd = try_connect(), 0);
	rival_takes_over();
	d = plait_port_drain(&port);
	ck_assert(is_there(path));
	run_until_count(reactor, &server.stops, 1);
	ck_assert_uint_eq(server.made, 1);
	plait_deferred_free(&d);
	close(fd);
	actor_wait_idle(&server, reactor);
	answers(rival_reactor, &rival);
}

/* Also where nobody listens, or nothing is. */
static void make_nothing(void)
{
}

static const struct {
	void (*make)(void);
	int err;
} found[] = {
	{ make_nothing, 0 },	    { make_stale, 0 },
	{ make_datagram, 0 },	    { make_plain, -EADDRINUSE },
	{ make_fifo, -EADDRINUSE },
};

TEST(it_takes_the_place_of_sockets_alone, ON_EACH_BACKEND, EACH_OF(found))
{
	found[_i].make();
	ck_assert_int_eq(listen_with(&takes_over), found[_i].err);
	ck_assert(!is_there(new_file));
	if (found[_i].err == 0) {
		talk(path);
		actor_stop(reactor, &port);
	} else {
		ck_assert(is_there(path));
		unlink(path);
	}
}

/* What a server has left that died while it took over. */
TEST(a_new_socket_that_was_left_is_replaced, ON_EACH_BACKEND, TIMES(2))
{
	if (_i == 0) {
		make_stale();
		ck_assert_int_eq(rename(path, new_file), 0);
	} else {
		make_file(new_file);
	}
	ck_assert_int_eq(listen_with(&takes_over), _i ? -EADDRINUSE : 0);
	ck_assert(is_there(new_file) == (_i == 1));
	if (_i == 0)
		actor_stop(reactor, &port);
	unlink(new_file);
}

TEST(the_path_has_room_for_the_name_meanwhile, ON_EACH_BACKEND)
{
	char longest[128];
	struct plait_port *p = NULL;

	memset(longest, 'x', sizeof(longest));
	memcpy(longest, directory, strlen(directory));
	longest[strlen(directory)] = '/';
	longest[104] = '\0';
	ck_assert_int_eq(plait_listen_unix(reactor, longest, &server.base,
					   &takes_over, &p),
			 -ENAMETOOLONG);
	longest[103] = '\0';
	ck_assert_int_eq(plait_listen_unix(reactor, longest, &server.base,
					   &takes_over, &p),
			 0);
	actor_stop(reactor, &p);
}

static void check_mode(void *arg)
{
	struct stat st;

	ck_assert_int_eq(stat(new_file, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777u, 0640);
	++*(unsigned *)arg;
}

/* Nobody finds it before all is well. */
static const struct {
	const char *call;
	unsigned long pass;
} late[] = {
	{ "bind", 0 },	 { "stat", 3 }, { "chmod", 0 },
	{ "listen", 0 }, { "open", 1 }, { "rename", 0 },
};

TEST(a_takeover_that_fails_leaves_the_old_server, ON_EACH_BACKEND,
     EACH_OF(late))
{
	unsigned times = 0;
	ino_t before;

	rival_takes_over();
	ck_assert_int_eq(rival_err, 0);
	before = inode_of(path);
	call_hook("rename", check_mode, &times);
	fault_pass(late[_i].call, late[_i].pass);
	fault_call(late[_i].call, 1, EIO);
	ck_assert_int_eq(listen_with(&takes_over), -EIO);
	fault_off();
	call_hook("rename", NULL, NULL);
	ck_assert_uint_eq(times, _i == 5);
	ck_assert_uint_eq(inode_of(path), before);
	/* Nobody knows any more whose file it is. */
	ck_assert(is_there(new_file) == (_i == 1));
	ck_assert(!is_there(lock_file));
	answers(rival_reactor, &rival);
	ck_assert_int_eq(listen_with(&takes_over), 0);
	answers(reactor, &server);
	actor_stop(reactor, &port);
}

TEST(a_takeover_without_memory_leaves_the_old_server, ON_EACH_BACKEND)
{
	bool refused = true;
	ino_t before;

	rival_takes_over();
	before = inode_of(path);
	for (unsigned long n = 0; refused; n++) {
		port = NULL;
		fault_alloc_at(n, false);
		if (listen_with(&takes_over) < 0) {
			ck_assert_uint_eq(inode_of(path), before);
			ck_assert(!is_there(new_file));
		}
		refused = fault_alloc_reached();
		fault_alloc_off();
		if (port == NULL)
			continue;
		/* Without memory for what is told of it, perhaps. */
		actor_stop(reactor, &port);
		rival_takes_over();
		ck_assert_int_eq(rival_err, 0);
		before = inode_of(path);
	}
}
/*
 * What became of Twisted's tests (twisted/test/test_unix.py, then
 * twisted/internet/test/test_unix.py).  Other files than this are named.
 *
 * peerBind			a_peer_that_is_bound_has_a_name
 * dumber			a_port_at_a_path_is_there_as_long_as_it_listens
 * pidFile			a_path_whose_lock_is_held_is_in_use: a lock is
 *				held while a path changes, and not for as long
 *				as the port listens
 * socketLocking		what_is_at_the_path_stays_there,
 *				who_listens_is_not_replaced
 * uncleanServerSocketLocking	only_the_socket_of_nobody_is_replaced
 * connectToUncleanServer	a_socket_of_nobody_refuses
 * reprWithNewStyleFactory	a_port_at_a_path_is_there_as_long_as_it_listens
 * exchange			what_is_sent_is_answered (test_unix_datagram.c)
 * cannotListen			only_the_socket_of_nobody_is_replaced
 *				(test_unix_datagram.c)
 * reprWithNewStyleProtocol	a_port_says_where_it_is (test_udp.c)
 *
 * mode				the_mode_says_who_may_connect
 * listenOnLinux...,		an_abstract_name_is_in_no_file_system
 * connectToLinux...
 * listenFailure		a_directory_that_is_not_there_has_no_sockets
 * addresses			a_connection_says_what_it_is
 * sendFileDescriptor		descriptors_arrive_with_their_bytes (test_fds.c)
 * ...TriggersPauseProducing	a_producer_of_descriptors_is_paused (test_fds.c)
 * fileDescriptorOverrun	what_is_refused_is_closed (test_fds.c): without
 *				a byte nothing is handed over
 * multi...OneCMSG		as_many_as_a_message_may_have (test_fds.c)
 * multi...TwoCMSGs		those_of_two_control_messages_come_together
 *				(test_rights.c)
 * multi...BadCMSG		other_control_messages_are_passed_over
 *				(test_rights.c)
 * avoidLeaking...		who_did_not_ask_gets_none (test_fds.c): they are
 *				never open, so nothing is told
 * descriptorDelivered...	descriptors_arrive_with_their_bytes (test_fds.c)
 * listenMode			the_mode_says_who_may_send
 *				(test_unix_datagram.c)
 * listenOn... of datagrams	what_is_sent_is_answered (test_unix_datagram.c)
 * buildProtocolReturnsNone	without_a_protocol_it_is_closed (test_adopt.c)
 * ServerAddressUNIX		a_connected_socket_becomes_a_connection
 *				(test_adopt.c)
 *
 * Those that Twisted runs on its ports and clients of every kind (log messages,
 * EMFILE, producers, events of a connector, write sequences): the code is that
 * of TCP, and so are the tests: test_port.c, test_accept_faults.c,
 * test_producer.c, test_connector.c, test_transport.c.
 */

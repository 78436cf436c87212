/*
 * UNIX datagrams: names, replies, receivers that are full, peers that end.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <plait/testing.h>

#include "tests/child.h"
#include "tests/harness.h"

/* ---- ends ---------------------------------------------------------------- */

enum { LOG = 8000, MANY = 5000 };

/* An end notes what it is told, a letter each:
   S started, r received, t ... truncated, F failed, R room, X stopped, D done.
 */
struct end {
	struct plait_datagram_protocol base;
	struct plait_port *port;
	struct plait_address from, failed_to;
	char log[LOG], data[64];
	size_t logged, received, size;
	int err, reply;
	bool replies;
	unsigned n_received, n_failed, n_room;
};

static void note(struct end *e, char what)
{
	if (e->logged + 1 < LOG)
		e->log[e->logged++] = what;
}

static struct end *end_of(struct plait_datagram_protocol *p)
{
	return plait_container(p, struct end, base);
}

static void end_started(struct plait_datagram_protocol *p)
{
	note(end_of(p), 'S');
}

static void end_received(struct plait_datagram_protocol *p, const void *data,
			 size_t len, const struct plait_datagram_info *info)
{
	struct end *e = end_of(p);

	note(e, info->truncated ? 't' : 'r');
	e->from = *info->from;
	e->received = len;
	e->size = info->size;
	e->n_received++;
	memset(e->data, 0, sizeof(e->data));
	if (len > 0)
		memcpy(e->data, data, len < 63 ? len : 63);
	if (e->replies)
		e->reply = plait_datagram_reply(p, data, len, info);
}

static void end_failed(struct plait_datagram_protocol *p,
		       const struct plait_failure *why,
		       const struct plait_address *to)
{
	note(end_of(p), 'F');
	end_of(p)->n_failed++;
	end_of(p)->err = plait_failure_errno(why);
	end_of(p)->failed_to = *to;
}

static void end_room(struct plait_datagram_protocol *p)
{
	note(end_of(p), 'R');
	end_of(p)->n_room++;
}

static void end_stopped(struct plait_datagram_protocol *p,
			const struct plait_failure *why)
{
	note(end_of(p), 'X');
}

static void end_done(struct plait_datagram_protocol *p)
{
	note(end_of(p), 'D');
}

static const struct plait_datagram_ops end_ops = {
	.name = "end",
	.started = end_started,
	.received = end_received,
	.failed = end_failed,
	.room = end_room,
	.stopped = end_stopped,
	.done = end_done,
};

static struct end server, client, third;
static char directory[64], path[100], other[100], lock_file[110];

static void setup(void)
{
	strcpy(directory, "/tmp/plait-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/poem", directory);
	snprintf(other, sizeof(other), "%s/other", directory);
	snprintf(lock_file, sizeof(lock_file), "%s.lock", path);
	server = client = third = (struct end){ .base.ops = &end_ops };
}

/* Nothing is left in it but what a test has put there. */
static void teardown(void)
{
	ck_assert_int_eq(rmdir(directory), 0);
}

typedef struct plait_unix_datagram_options options;

static int listen_with(struct end *e, const char *at, options o)
{
	return plait_listen_unix_datagrams(reactor, at, &e->base, &o, &e->port);
}

static void listens(struct end *e, const char *at)
{
	ck_assert_int_eq(listen_with(e, at, (options){ .mode = 0 }), 0);
}

static int connect_with(struct end *e, const char *to, options o)
{
	return plait_connect_unix_datagrams(reactor, to, &e->base, &o,
					    &e->port);
}

static void connects(struct end *e, const char *to, const char *name)
{
	ck_assert_int_eq(connect_with(e, to, (options){ .name = name }), 0);
}

static int say(struct end *e, const char *text, const struct plait_address *to)
{
	return plait_datagram_send(&e->base, text, strlen(text), to);
}

static bool is_done(void *arg)
{
	return strchr(((struct end *)arg)->log, 'D') != NULL;
}

static void stop(struct end *e)
{
	plait_port_free(&e->port);
	run_until(reactor, is_done, e);
}

static bool is_there(const char *file)
{
	struct stat st;

	return lstat(file, &st) == 0;
}

static struct plait_address address_of(const char *name)
{
	struct plait_address a;

	if (name[0] == '@')
		ck_assert_int_eq(plait_address_from_abstract(&a, name + 1,
							     strlen(name + 1)),
				 0);
	else
		ck_assert_int_eq(plait_address_from_path(&a, name), 0);
	return a;
}

static const char *name_of(int i)
{
	static char name[101];

	snprintf(name, sizeof(name), "%s%s", i ? "@" : "", path);
	return name;
}

GROUP("talk", .setup = setup, .teardown = teardown);

/* By a path, and by an abstract name. */
TEST(what_is_sent_is_answered, ON_EACH_KERNEL, TIMES(2))
{
	struct plait_address at;

	server.replies = true;
	listens(&server, name_of(_i));
	connects(&client, name_of(_i), "@");
	plait_port_host(client.port, &at);
	ck_assert_int_eq(plait_address_family(&at), AF_UNIX);
	ck_assert_int_eq(say(&client, "hello", NULL), 0);
	run_until_count(reactor, &client.n_received, 1);
	ck_assert_str_eq(client.data, "hello");
	ck_assert(plait_address_equal(&server.from, &at));
	stop(&client);
	stop(&server);
	ck_assert(!is_there(path));
	ck_assert_str_eq(server.log, "SrXD");
	ck_assert_str_eq(client.log, "SrXD");
}

TEST(ports_without_a_peer_send_to_any_name, ON_EACH_KERNEL)
{
	struct plait_address to = address_of(path);

	server.replies = true;
	listens(&server, path);
	listens(&client, other);
	ck_assert_int_eq(say(&client, "hello", &to), 0);
	run_until_count(reactor, &client.n_received, 1);
	ck_assert_str_eq(plait_address_path(&server.from), other);
	ck_assert_str_eq(plait_address_path(&client.from), path);
	ck_assert_int_eq(say(&client, "hello", NULL), -EDESTADDRREQ);
	stop(&client);
	stop(&server);
}

TEST(who_has_no_name_gets_no_reply, ON_EACH_KERNEL)
{
	struct plait_address at;

	server.replies = true;
	listens(&server, path);
	connects(&client, path, NULL);
	say(&client, "hello", NULL);
	run_until_count(reactor, &server.n_received, 1);
	ck_assert_int_eq(server.reply, -EINVAL);
	ck_assert_int_eq(plait_address_family(&server.from), AF_UNSPEC);
	ck_assert_int_eq(say(&client, "x", &server.from), -EISCONN);
	plait_port_host(client.port, &at);
	ck_assert_int_eq(plait_address_family(&at), AF_UNIX);
	ck_assert_ptr_null(plait_address_path(&at));
	stop(&client);
	stop(&server);
	ck_assert_str_eq(server.log, "SrXD");
}

TEST(an_empty_datagram_is_one, ON_EACH_KERNEL)
{
	listens(&server, path);
	connects(&client, path, NULL);
	say(&client, "", NULL);
	say(&client, "behind", NULL);
	run_until_count(reactor, &server.n_received, 2);
	ck_assert_str_eq(server.data, "behind");
	stop(&client);
	stop(&server);
}

TEST(one_that_is_longer_than_wanted_is_cut, ON_EACH_KERNEL)
{
	ck_assert_int_eq(listen_with(&server, path, (options){ .max_size = 4 }),
			 0);
	connects(&client, path, NULL);
	say(&client, "hello", NULL);
	run_until_count(reactor, &server.n_received, 1);
	ck_assert_str_eq(server.data, "hell");
	ck_assert_uint_eq(server.size, 5);
	stop(&client);
	stop(&server);
	ck_assert_str_eq(server.log, "StXD");
}

/* The kernel knows how large a datagram may be. */
TEST(one_that_is_too_large_is_told_and_the_port_lives, ON_EACH_KERNEL)
{
	enum { TOO_MUCH = 64 << 20 };
	char *much = calloc(1, TOO_MUCH);

	listens(&server, path);
	connects(&client, path, NULL);
	ck_assert_int_eq(
		plait_datagram_send(&client.base, much, TOO_MUCH, NULL), 0);
	say(&client, "small", NULL);
	free(much);
	run_until_count(reactor, &server.n_received, 1);
	run_until_count(reactor, &client.n_failed, 1);
	ck_assert_int_eq(client.err, EMSGSIZE);
	ck_assert_str_eq(plait_address_path(&client.failed_to), path);
	ck_assert_str_eq(server.data, "small");
	stop(&client);
	stop(&server);
}

TEST(there_are_no_groups, ON_EACH_KERNEL)
{
	struct plait_address a = address_of("@group");

	listens(&server, path);
	ck_assert_int_eq(plait_datagram_join(&server.base, &a, 0, NULL),
			 -EINVAL);
	stop(&server);
}

GROUP("full", .setup = setup, .teardown = teardown);

/* Sends until one is refused; returns how many were not. */
static unsigned fill(struct end *e, const struct plait_address *to)
{
	unsigned n = 0, failed = e->n_failed;

	while (e->n_failed == failed) {
		ck_assert_uint_lt(++n, MANY);
		ck_assert_int_eq(say(e, "more", to), 0);
		run_turns(reactor, 2);
	}
	ck_assert_int_eq(e->err, EAGAIN);
	return n - 1;
}

/* Nothing spins while it waits. */
TEST(who_is_connected_is_told_of_room, ON_EACH_KERNEL)
{
	unsigned n;

	listens(&server, path);
	connects(&client, path, NULL);
	run_turns(reactor, 2);
	plait_port_pause_accepting(server.port);
	n = fill(&client, NULL);
	ck_assert_int_eq(say(&client, "again", NULL), -EAGAIN);
	calls_reset();
	clock_advance(1);
	run_turns(reactor, 3);
	ck_assert_uint_eq(client.n_room, 0);
	ck_assert_uint_eq(calls_of("sendmmsg"), 0);
	plait_port_resume_accepting(server.port);
	run_until_count(reactor, &client.n_room, 1);
	run_until_count(reactor, &server.n_received, n);
	ck_assert_int_eq(say(&client, "last", NULL), 0);
	run_until_count(reactor, &server.n_received, n + 1);
	ck_assert_str_eq(server.data, "last");
	stop(&client);
	stop(&server);
}

TEST(a_full_receiver_keeps_nobody_from_others, ON_EACH_KERNEL)
{
	struct plait_address full = address_of(path), free_one;
	unsigned n;

	clock_virtual(true);
	listens(&server, path);
	listens(&client, other);
	listens(&third, name_of(1));
	plait_port_host(third.port, &free_one);
	run_turns(reactor, 2);
	plait_port_pause_accepting(server.port);
	n = fill(&client, &full);
	/* In one call of the system, or not. */
	ck_assert_int_eq(say(&client, "no", &full), 0);
	ck_assert_int_eq(say(&client, "yes", &free_one), 0);
	ck_assert_int_eq(say(&client, "no", &full), 0);
	run_until_count(reactor, &third.n_received, 1);
	run_until_count(reactor, &client.n_failed, 3);
	ck_assert_str_eq(third.data, "yes");
	ck_assert_str_eq(plait_address_path(&client.failed_to), path);
	run_until_count(reactor, &client.n_room, 1);
	/* It is asked for only by who was refused. */
	calls_reset();
	clock_advance(1);
	run_turns(reactor, 3);
	ck_assert_uint_eq(client.n_room, 1);
	plait_port_resume_accepting(server.port);
	run_until_count(reactor, &server.n_received, n);
	ck_assert_int_eq(say(&client, "last", &full), 0);
	run_until_count(reactor, &server.n_received, n + 1);
	stop(&client);
	stop(&server);
	stop(&third);
}

TEST(the_end_of_a_port_ends_its_waiting, ON_EACH_KERNEL)
{
	struct plait_address full = address_of(path);

	clock_virtual(true);
	listens(&server, path);
	listens(&client, other);
	run_turns(reactor, 2);
	plait_port_pause_accepting(server.port);
	fill(&client, &full);
	stop(&client);
	clock_advance(1);
	run_turns(reactor, 3);
	ck_assert_uint_eq(client.n_room, 0);
	stop(&server);
}

GROUP("peer", .setup = setup, .teardown = teardown);

TEST(datagrams_go_to_the_next_who_has_the_path, ON_EACH_KERNEL)
{
	listens(&server, path);
	connects(&client, path, NULL);
	stop(&server);
	say(&client, "lost", NULL);
	run_until_count(reactor, &client.n_failed, 1);
	ck_assert_int_eq(client.err, ENOENT);
	say(&client, "lost as well", NULL);
	run_until_count(reactor, &client.n_failed, 2);
	listens(&third, path);
	say(&client, "hello", NULL);
	run_until_count(reactor, &third.n_received, 1);
	ck_assert_str_eq(third.data, "hello");
	ck_assert_uint_eq(client.n_failed, 2);
	stop(&client);
	stop(&third);
}

/* Nothing is sent in the meantime, and nobody notices. */
TEST(a_new_server_is_found_without_a_failure, ON_EACH_KERNEL)
{
	listens(&server, path);
	connects(&client, path, NULL);
	stop(&server);
	listens(&third, path);
	say(&client, "hello", NULL);
	run_until_count(reactor, &third.n_received, 1);
	ck_assert_uint_eq(client.n_failed, 0);
	stop(&client);
	stop(&third);
}

TEST(nobody_there_is_told_at_once, ON_EACH_KERNEL)
{
	ck_assert_int_eq(connect_with(&client, path, (options){ .mode = 0 }),
			 -ENOENT);
	ck_assert_int_eq(
		connect_with(&client, name_of(1), (options){ .mode = 0 }),
		-ECONNREFUSED);
	ck_assert_str_eq(client.log, "");
	ck_assert_ptr_null(client.base.port);
}

TEST(who_is_connected_hears_its_peer_alone, ON_EACH_KERNEL)
{
	struct plait_address to = address_of(other);

	listens(&server, path);
	connects(&client, path, other);
	listens(&third, name_of(1));
	say(&third, "intruder", &to);
	run_until_count(reactor, &third.n_failed, 1);
	ck_assert_int_eq(third.err, EPERM);
	say(&server, "peer", &to);
	run_until_count(reactor, &client.n_received, 1);
	ck_assert_str_eq(client.data, "peer");
	stop(&third);
	stop(&client);
	stop(&server);
}

/* A call that was interrupted is made again, but not for ever. */
TEST(an_interrupted_send_is_made_again, ON_EACH_KERNEL)
{
	listens(&server, path);
	connects(&client, path, NULL);
	fault_call("sendmmsg", 3, EINTR);
	say(&client, "hello", NULL);
	run_until_count(reactor, &server.n_received, 1);
	fault_call("sendmmsg", 16, EINTR);
	say(&client, "hello", NULL);
	run_until_count(reactor, &client.n_failed, 1);
	ck_assert_int_eq(client.err, EINTR);
	ck_assert(fault_used("sendmmsg"));
	fault_call("sendmmsg", 1, ECONNREFUSED);
	fault_call("connect", 1, EACCES);
	say(&client, "hello", NULL);
	run_until_count(reactor, &client.n_failed, 2);
	ck_assert_int_eq(client.err, EACCES);
	stop(&client);
	stop(&server);
}

GROUP("file", .setup = setup, .teardown = teardown);

static int bound_socket(int type)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	strcpy(un.sun_path, path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

TEST(only_the_socket_of_nobody_is_replaced, ON_EACH_BACKEND, TIMES(4))
{
	static const int types[] = { SOCK_DGRAM, SOCK_STREAM };
	int fd = bound_socket(types[_i % 2]);
	bool is_stale = _i < 2;

	if (is_stale)
		close(fd);
	ck_assert_int_eq(listen_with(&server, path, (options){ .mode = 0 }),
			 -EADDRINUSE);
	ck_assert_int_eq(
		listen_with(&server, path, (options){ .replace_stale = true }),
		is_stale ? 0 : -EADDRINUSE);
	ck_assert(is_there(path));
	if (is_stale) {
		stop(&server);
		ck_assert(!is_there(path));
	} else {
		close(fd);
		unlink(path);
	}
}

TEST(the_mode_says_who_may_send, ON_EACH_BACKEND)
{
	struct stat st;

	ck_assert_int_eq(listen_with(&server, path, (options){ .mode = 0620 }),
			 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777u, 0620);
	ck_assert(!is_there(lock_file));
	stop(&server);
}

TEST(the_name_of_a_client_is_removed_as_well, ON_EACH_BACKEND, TIMES(2))
{
	listens(&server, path);
	ck_assert_int_eq(
		connect_with(&client, path,
			     (options){ .name = other, .keep_path = _i }),
		0);
	ck_assert(is_there(other));
	stop(&client);
	ck_assert(is_there(other) == (_i == 1));
	unlink(other);
	stop(&server);
}

TEST(a_child_leaves_the_file_to_its_parent, ON_EACH_BACKEND)
{
	pid_t pid;

	listens(&server, path);
	run_turns(reactor, 2);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		plait_reactor_free(&reactor);
		child_leave(0);
	}
	child_ends(pid);
	ck_assert(is_there(path));
	plait_reactor_free(&reactor);
	ck_assert(!is_there(path));
	ck_assert_str_eq(server.log, "SXD");
}

static const struct {
	const char *call;
	unsigned long pass;
	const char *left;
} calls[] = {
	{ "socket", 0, NULL }, { "open", 0, NULL },  { "bind", 0, NULL },
	{ "stat", 1, other },  { "chmod", 0, NULL }, { "connect", 0, NULL },
};

TEST(a_port_that_fails_leaves_nothing, ON_EACH_BACKEND, EACH_OF(calls))
{
	listens(&server, path);
	fault_pass(calls[_i].call, calls[_i].pass);
	fault_call(calls[_i].call, 1, EIO);
	ck_assert_int_eq(connect_with(&client, path,
				      (options){ .name = other, .mode = 0600 }),
			 -EIO);
	fault_off();
	ck_assert(is_there(other) == (calls[_i].left == other));
	unlink(other);
	ck_assert_str_eq(client.log, "");
	ck_assert_ptr_null(client.base.port);
	stop(&server);
}

TEST(a_name_that_cannot_be_chosen_or_told_is_an_error, ON_EACH_KERNEL)
{
	listens(&server, path);
	fault_call("bind", 1, EIO);
	ck_assert_int_eq(connect_with(&client, path, (options){ .name = "@" }),
			 -EIO);
	fault_call("getsockname", 1, EIO);
	ck_assert_int_eq(connect_with(&client, path, (options){ .name = "@" }),
			 -ENOTCONN);
	stop(&server);
}

TEST(a_port_without_memory_leaves_nothing, ON_EACH_KERNEL)
{
	bool refused = true;

	listens(&server, path);
	for (unsigned long n = 0; refused; n++) {
		int err;

		client = (struct end){ .base.ops = &end_ops };
		fault_alloc_at(n, false);
		err = connect_with(&client, path, (options){ .name = other });
		refused = fault_alloc_reached();
		fault_alloc_off();
		ck_assert(err == 0 || err == -ENOMEM);
		if (err == 0)
			stop(&client);
		ck_assert(!is_there(other));
	}
	stop(&server);
}

GROUP("refused", .setup = setup, .teardown = teardown);

TEST(options_that_mean_nothing_are_refused, ON_EACH_REACTOR)
{
	char longest[110];

	memset(longest, 'x', sizeof(longest));
	longest[108] = '\0';
	ck_assert_int_eq(listen_with(&server, NULL, (options){ .mode = 0 }),
			 -EINVAL);
	ck_assert_int_eq(listen_with(&server, "@", (options){ .mode = 0 }),
			 -EINVAL);
	ck_assert_int_eq(listen_with(&server, longest, (options){ .mode = 0 }),
			 -ENAMETOOLONG);
	ck_assert_int_eq(listen_with(&server, "@x", (options){ .name = "@y" }),
			 -EINVAL);
	ck_assert_int_eq(
		listen_with(&server, "@x", (options){ .max_size = 65536 }),
		-EINVAL);
	ck_assert_int_eq(
		listen_with(&server, "@x", (options){ .reserved = { 1 } }),
		-EINVAL);
	ck_assert_int_eq(
		connect_with(&server, "@x", (options){ .reserved = { 1 } }),
		-EINVAL);
	ck_assert_int_eq(connect_with(&server, NULL, (options){ .mode = 0 }),
			 -EINVAL);
	ck_assert_int_eq(connect_with(&server, "@x", (options){ .name = "" }),
			 -EINVAL);
	ck_assert_str_eq(server.log, "");
}

TEST(a_protocol_has_one_port, ON_EACH_KERNEL)
{
	listens(&server, path);
	ck_assert_int_eq(listen_with(&server, "@x", (options){ .mode = 0 }),
			 -EBUSY);
	stop(&server);
}

/* A test plays who sends, and looks at what was sent. */
TEST(a_testing_reactor_has_them_too, PURE)
{
	struct plait_reactor *r = plait_testing_reactor_new();
	struct plait_address at, from = address_of("@from"), to;
	struct plait_port *port;
	struct plait_buf *sent;

	server.replies = true;
	ck_assert_int_eq(
		plait_listen_unix_datagrams(r, path, &server.base, NULL, &port),
		0);
	ck_assert(!is_there(path));
	plait_port_host(port, &at);
	ck_assert_str_eq(plait_address_path(&at), path);
	plait_testing_datagram(port, "hello", 5, &from);
	sent = plait_testing_datagram_sent(port, &to);
	ck_assert_ptr_nonnull(sent);
	ck_assert(plait_address_equal(&to, &from));
	plait_buf_unref(&sent);
	ck_assert_int_eq(plait_connect_unix_datagrams(r, path, &client.base,
						      NULL, &port),
			 0);
	ck_assert_int_eq(say(&client, "hello", NULL), 0);
	sent = plait_testing_datagram_sent(port, &to);
	ck_assert_str_eq(plait_address_path(&to), path);
	plait_buf_unref(&sent);
	plait_reactor_free(&r);
}

/*
 * Connections of descriptors that are there already, and pairs: what is
 * refused, what is told when, and whose everything is until then.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include <plait/testing.h>

#include "tests/actor.h"
#include "tests/child.h"

/* One end: what it was told. */
struct end {
	char trace[20]; /* M, D, L, and d: done() */
	char text[40];
	size_t received;
	char to[60]; /* where the other end is */
	struct plait_transport *transport;
	void (*on_made)(struct end *e);
};

struct speaker {
	struct plait_protocol base;
	struct end *end;
};

static struct end a, b;

static struct end *end_of(struct plait_protocol *p)
{
	return plait_self(p, struct speaker)->end;
}

static void speaker_made(struct plait_protocol *p)
{
	struct end *e = end_of(p);
	struct plait_address peer;

	strcat(e->trace, "M");
	e->transport = p->transport;
	ck_assert_int_eq(plait_transport_peer(p->transport, &peer), 0);
	plait_address_str(&peer, e->to, sizeof(e->to));
	if (e->on_made != NULL)
		e->on_made(e);
}

static void speaker_data(struct plait_protocol *p, const void *data, size_t len)
{
	struct end *e = end_of(p);

	strcat(e->trace, "D");
	ck_assert_uint_lt(e->received + len, sizeof(e->text));
	memcpy(e->text + e->received, data, len);
	e->received += len;
}

static void speaker_lost(struct plait_protocol *p,
			 const struct plait_failure *why)
{
	strcat(end_of(p)->trace, "L");
	end_of(p)->transport = NULL;
}

static void speaker_done(struct plait_protocol *p)
{
	strcat(end_of(p)->trace, "d");
}

static const struct plait_protocol_ops speaker_ops = {
	.name = "speaker",
	.size = sizeof(struct speaker),
	.connection_made = speaker_made,
	.data_received = speaker_data,
	.connection_lost = speaker_lost,
	.done = speaker_done,
};

static struct plait_protocol *speaker(struct end *e)
{
	struct plait_protocol *p = plait_protocol_new(&speaker_ops);

	if (p != NULL)
		plait_self(p, struct speaker)->end = e;
	return p;
}

static bool has_ended(void *e)
{
	return strchr(((struct end *)e)->trace, 'd') != NULL;
}

static bool has_data(void *e)
{
	return ((struct end *)e)->received > 0;
}

static void wait_for(bool (*what)(void *), struct end *e)
{
	ck_assert(run_until(reactor, what, e));
}

static void lose(struct end *e)
{
	plait_transport_lose_connection(e->transport);
	wait_for(has_ended, e);
}

static void begin(void)
{
	a = b = (struct end){ .received = 0 };
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* Two sockets of the test's own that are connected. */
static void pair_of(int fds[2])
{
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static int listening(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(listen(fd, 5), 0);
	return fd;
}

static void tcp_pair_of(int family, int fds[2])
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	int port = listening(family);

	ck_assert_int_eq(getsockname(port, (struct sockaddr *)&sa, &len), 0);
	fds[0] = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(fds[0], (struct sockaddr *)&sa, len), 0);
	fds[1] = accept4(port, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(fds[1], 0);
	close(port);
}

GROUP("pair", .setup = begin);

TEST(a_pair_talks_with_itself, ON_EACH_BACKEND)
{
	ck_assert_int_eq(plait_socketpair(reactor, speaker(&a), speaker(&b)),
			 0);
	/* The loop tells. */
	ck_assert_str_eq(a.trace, "");
	run_turns(reactor, 1);
	ck_assert_str_eq(a.trace, "M");
	ck_assert_str_eq(b.trace, "M");
	ck_assert_str_eq(a.to, "unnamed UNIX socket");
	plait_transport_write(a.transport, "hello", 5);
	wait_for(has_data, &b);
	ck_assert_str_eq(b.text, "hello");
	plait_transport_write(b.transport, "hi", 2);
	wait_for(has_data, &a);
	lose(&a);
	wait_for(has_ended, &b);
	ck_assert_str_eq(a.trace, "MDLd");
	ck_assert_str_eq(b.trace, "MDLd");
}

TEST(the_other_end_is_this_process, ON_EACH_BACKEND)
{
	struct plait_credentials who;

	ck_assert_int_eq(plait_socketpair(reactor, speaker(&a), speaker(&b)),
			 0);
	run_turns(reactor, 1);
	ck_assert_int_eq(plait_transport_peer_credentials(a.transport, &who),
			 0);
	ck_assert_int_eq(who.pid, getpid());
	close(who.pidfd);
	lose(&a);
	wait_for(has_ended, &b);
}

static void make_another(struct end *e)
{
	ck_assert_int_eq(plait_socketpair(reactor, speaker(&b), speaker(&b)),
			 0);
	ck_assert_str_eq(b.trace, "");
}

TEST(a_callback_may_make_one, ON_EACH_BACKEND)
{
	struct end other = { .received = 0 };

	a.on_made = make_another;
	ck_assert_int_eq(
		plait_socketpair(reactor, speaker(&a), speaker(&other)), 0);
	run_turns(reactor, 2);
	ck_assert_str_eq(b.trace, "MM");
	plait_reactor_free(&reactor);
	ck_assert_str_eq(b.trace, "MMLdLd");
	ck_assert_str_eq(a.trace, "MLd");
}

TEST(a_pair_without_a_protocol_is_none, ON_EACH_BACKEND, TIMES(2))
{
	ck_assert_int_eq(plait_socketpair(reactor, _i == 0 ? speaker(&a) : NULL,
					  _i == 1 ? speaker(&a) : NULL),
			 -ENOMEM);
	ck_assert_str_eq(a.trace, "d");
}

/* Each allocation fails once. */
TEST(a_pair_without_memory_is_none, ON_EACH_BACKEND)
{
	struct plait_protocol *p, *q;
	bool refused = true;
	int err;

	for (unsigned long n = 0; refused; n++) {
		begin();
		p = speaker(&a);
		q = speaker(&b);
		fault_alloc_at(n, false);
		err = plait_socketpair(reactor, p, q);
		refused = fault_alloc_reached();
		fault_alloc_off();
		ck_assert_int_eq(err, refused ? -ENOMEM : 0);
		ck_assert_str_eq(a.trace, refused ? "d" : "");
		ck_assert_str_eq(b.trace, refused ? "d" : "");
	}
	run_turns(reactor, 1);
	lose(&a);
	wait_for(has_ended, &b);
}

TEST(a_pair_that_fails_leaves_nothing, ON_EACH_BACKEND)
{
	fault_call("socketpair", 1, EMFILE);
	ck_assert_int_eq(plait_socketpair(reactor, speaker(&a), speaker(&b)),
			 -EMFILE);
	ck_assert_str_eq(a.trace, "d");
	ck_assert_str_eq(b.trace, "d");
}

GROUP("adopt", .setup = begin);

static const int families[] = { AF_UNIX, AF_INET, AF_INET6 };

/* What had come before is delivered; and whether it blocks does not matter. */
TEST(a_connected_socket_becomes_a_connection, ON_EACH_BACKEND,
     EACH_OF(families))
{
	char text[10] = "";
	int fds[2];

	if (families[_i] == AF_UNIX)
		pair_of(fds);
	else
		tcp_pair_of(families[_i], fds);
	ck_assert_int_eq(send(fds[0], "hello", 5, 0), 5);
	ck_assert_int_eq(plait_adopt_fd(reactor, fds[1], speaker(&a)), 0);
	ck_assert_str_eq(a.trace, "");
	wait_for(has_data, &a);
	ck_assert_str_eq(a.trace, "MD");
	ck_assert_str_eq(a.text, "hello");
	ck_assert_int_eq(strncmp(a.to,
				 families[_i] == AF_UNIX   ? "unnamed"
				 : families[_i] == AF_INET ? "127.0.0.1:"
							   : "[::1]:",
				 5),
			 0);
	ck_assert_int_eq(fcntl(fds[1], F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
	plait_transport_write(a.transport, "hi", 2);
	run_turns(reactor, 1);
	ck_assert_int_eq(recv(fds[0], text, sizeof(text), 0), 2);
	close(fds[0]);
	wait_for(has_ended, &a);
	ck_assert(!is_open(fds[1]));
}

/* As inetd(8) starts a program. */
TEST(standard_input_may_be_one, ON_EACH_BACKEND)
{
	int saved = fcntl(0, F_DUPFD_CLOEXEC, 100);
	int fds[2], err;

	pair_of(fds);
	ck_assert_int_eq(dup2(fds[1], 0), 0);
	close(fds[1]);
	err = plait_adopt_fd(reactor, 0, speaker(&a));
	ck_assert(!is_open(0));
	ck_assert_int_eq(dup2(saved, 0), 0);
	close(saved);
	ck_assert_int_eq(err, 0);
	ck_assert_int_eq(send(fds[0], "hello", 5, 0), 5);
	wait_for(has_data, &a);
	lose(&a);
	close(fds[0]);
}

TEST(a_peer_that_is_gone_may_have_spoken, ON_EACH_BACKEND)
{
	int fds[2];

	pair_of(fds);
	ck_assert_int_eq(send(fds[0], "hello", 5, 0), 5);
	close(fds[0]);
	ck_assert_int_eq(plait_adopt_fd(reactor, fds[1], speaker(&a)), 0);
	wait_for(has_ended, &a);
	ck_assert_str_eq(a.trace, "MDLd");
	ck_assert_str_eq(a.text, "hello");
}

/* Credentials of each message would take the room of descriptors. */
TEST(it_is_not_told_who_sends_each_message, ON_EACH_BACKEND)
{
	socklen_t len = sizeof(int);
	int fds[2], on = 1;

	pair_of(fds);
	ck_assert_int_eq(
		setsockopt(fds[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)),
		0);
	ck_assert_int_eq(plait_adopt_fd(reactor, fds[1], speaker(&a)), 0);
	ck_assert_int_eq(getsockopt(fds[1], SOL_SOCKET, SO_PASSCRED, &on, &len),
			 0);
	ck_assert_int_eq(on, 0);
	run_turns(reactor, 1);
	lose(&a);
	close(fds[0]);
}

GROUP("refused", .setup = begin);

static int make_closed(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

static int make_none(void)
{
	errno = 0;
	return -1;
}

static int make_file(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int make_unconnected(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int make_listening(void)
{
	return listening(AF_INET);
}

static int make_datagram(void)
{
	return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static int make_packets(void)
{
	int fds[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	close(fds[0]);
	return fds[1];
}

#ifndef AF_VSOCK
#define AF_VSOCK 40
#endif

/* One whose family no transport knows; where there is none, any other. */
static int make_stranger(void)
{
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 ? fd : make_unconnected();
}

static const struct {
	int (*make)(void);
	int err, instead;
} refused[] = {
	{ make_closed, -EBADF, 0 },
	{ make_none, -EBADF, 0 },
	{ make_file, -ENOTSOCK, 0 },
	{ make_unconnected, -ENOTCONN, 0 },
	{ make_listening, -ENOTCONN, 0 },
	{ make_datagram, -EPROTOTYPE, 0 },
	{ make_packets, -EPROTOTYPE, 0 },
	{ make_stranger, -EAFNOSUPPORT, -ENOTCONN },
};

TEST(what_is_no_connection_is_refused_and_closed, ON_EACH_BACKEND,
     EACH_OF(refused))
{
	int fd = refused[_i].make();
	int err = plait_adopt_fd(reactor, fd, speaker(&a));

	ck_assert(err == refused[_i].err ||
		  (refused[_i].instead != 0 && err == refused[_i].instead));
	ck_assert(!is_open(fd));
	ck_assert_str_eq(a.trace, "d");
}

static const struct {
	const char *call;
	unsigned long pass;
} calls[] = {
	{ "fcntl", 0 },	      { "getsockopt", 0 }, { "getsockopt", 1 },
	{ "getpeername", 0 }, { "setsockopt", 0 },
};

TEST(a_call_that_fails_is_told, ON_EACH_BACKEND, EACH_OF(calls))
{
	int fds[2];

	pair_of(fds);
	fault_pass(calls[_i].call, calls[_i].pass);
	fault_call(calls[_i].call, 1, EIO);
	ck_assert_int_eq(plait_adopt_fd(reactor, fds[1], speaker(&a)), -EIO);
	fault_off();
	ck_assert(!is_open(fds[1]));
	ck_assert_str_eq(a.trace, "d");
	close(fds[0]);
}

TEST(without_memory_it_is_closed, ON_EACH_BACKEND)
{
	struct plait_protocol *p;
	bool refuses = true;
	int fds[2], err;

	for (unsigned long n = 0; refuses; n++) {
		begin();
		pair_of(fds);
		p = speaker(&a);
		fault_alloc_at(n, false);
		err = plait_adopt_fd(reactor, fds[1], p);
		refuses = fault_alloc_reached();
		fault_alloc_off();
		ck_assert_int_eq(err, refuses ? -ENOMEM : 0);
		ck_assert(is_open(fds[1]) == !refuses);
		ck_assert_str_eq(a.trace, refuses ? "d" : "");
		close(fds[0]);
	}
	wait_for(has_ended, &a);
}

TEST(without_a_protocol_it_is_closed, ON_EACH_BACKEND)
{
	int fds[2];

	pair_of(fds);
	ck_assert_int_eq(plait_adopt_fd(reactor, fds[1], NULL), -ENOMEM);
	ck_assert(!is_open(fds[1]));
	close(fds[0]);
}

TEST(a_testing_reactor_has_no_descriptors, PURE)
{
	struct plait_reactor *r = plait_testing_reactor_new();
	int fds[2];

	begin();
	pair_of(fds);
	ck_assert_int_eq(plait_adopt_fd(r, fds[1], speaker(&a)), -ENOTSUP);
	ck_assert(!is_open(fds[1]));
	ck_assert_int_eq(plait_socketpair(r, speaker(&a), speaker(&b)),
			 -ENOTSUP);
	ck_assert_str_eq(a.trace, "dd");
	plait_reactor_free(&r);
	close(fds[0]);
}

GROUP("ends", .setup = begin);

/* The loop never came to tell. */
TEST(the_end_of_the_reactor_is_its_end, ON_EACH_BACKEND)
{
	int fds[2];

	pair_of(fds);
	ck_assert_int_eq(plait_adopt_fd(reactor, fds[1], speaker(&a)), 0);
	plait_reactor_free(&reactor);
	ck_assert(!is_open(fds[1]));
	ck_assert_str_eq(a.trace, "d");
	close(fds[0]);
}

static struct plait_protocol *kept;
static int adopted;

static void free_in_child(void *arg)
{
	plait_reactor_free(&reactor);
	ck_assert(!is_open(adopted));
	ck_assert_str_eq(a.trace, "");
	/* It is the program's there. */
	ck_assert_ptr_null(kept->transport);
	plait_protocol_free(&kept);
	ck_assert_str_eq(a.trace, "d");
}

TEST(a_child_leaves_it_to_its_parent, ON_EACH_BACKEND)
{
	const char *said;
	int fds[2];

	pair_of(fds);
	adopted = fds[1];
	kept = speaker(&a);
	ck_assert_int_eq(plait_adopt_fd(reactor, fds[1], kept), 0);
	ck_assert_int_eq(child_run(free_in_child, NULL, &said), 0);
	ck_assert_int_eq(send(fds[0], "hello", 5, 0), 5);
	wait_for(has_data, &a);
	lose(&a);
	close(fds[0]);
}

static void adopt_in_child(void *arg)
{
	ck_assert_int_eq(plait_adopt_fd(reactor, adopted, speaker(&a)),
			 -ECHILD);
	ck_assert(!is_open(adopted));
	ck_assert_int_eq(plait_socketpair(reactor, speaker(&a), speaker(&b)),
			 -ECHILD);
	ck_assert_str_eq(a.trace, "dd");
}

TEST(a_child_adopts_nothing, ON_EACH_BACKEND)
{
	const char *said;
	int fds[2];

	pair_of(fds);
	adopted = fds[1];
	ck_assert_int_eq(child_run(adopt_in_child, NULL, &said), 0);
	close(fds[0]);
	close(fds[1]);
}

static void adopt_at_the_end(struct plait_protocol *p,
			     const struct plait_failure *why)
{
	ck_assert_int_eq(plait_socketpair(reactor, speaker(&b), speaker(&b)),
			 -ESHUTDOWN);
}

static const struct plait_protocol_ops last = {
	.name = "last",
	.connection_lost = adopt_at_the_end,
};

TEST(nothing_is_adopted_at_the_end, ON_EACH_BACKEND)
{
	ck_assert_int_eq(plait_socketpair(reactor, plait_protocol_new(&last),
					  speaker(&a)),
			 0);
	run_turns(reactor, 1);
	plait_reactor_free(&reactor);
	ck_assert_str_eq(b.trace, "dd");
}

static const struct plait_protocol_ops used_ops = { .name = "used" };

static void adopt_twice(void *arg)
{
	struct plait_protocol *p = plait_protocol_new(&used_ops);
	struct plait_reactor *r = test_reactor_new();
	int fds[2];

	pair_of(fds);
	plait_adopt_fd(r, fds[0], p);
	run_turns(r, 1);
	plait_adopt_fd(r, fds[1], p);
	run_turns(r, 1);
}

TEST(a_protocol_has_one_connection, ON_EACH_BACKEND)
{
	assert_aborts(adopt_twice, NULL,
		      "the protocol has a transport already");
}

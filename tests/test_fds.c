/*
 * Descriptors that go over a connection: with which bytes they come, whose they
 * are at each moment, and peers that hand over what nobody wants.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "tests/actor.h"
#include "tests/child.h"
#include "tests/rights.h"

/* One end of a connection: what it was told. */
struct end {
	char trace[40]; /* M, F fds_received(), D, L; a letter in a row once */
	char text[64];
	size_t received;
	int fds[4 * PLAIT_FDS_MAX];
	size_t n_fds;
	size_t before; /* bytes that had come when the last ones did */
	size_t most;   /* at once */
	const struct plait_error *kind;
	char why[128];
	struct plait_transport *transport; /* NULL before and after */
	void (*on_fds)(struct end *e);
	void (*on_data)(struct end *e);
};

struct speaker {
	struct plait_protocol base;
	struct end *end;
};

static struct end a, b;
static int peer; /* a socket of the test's own, whose other end is a's */
static int file;

static struct end *end_of(struct plait_protocol *p)
{
	return plait_self(p, struct speaker)->end;
}

static void end_notes(struct end *e, char what)
{
	size_t n = strlen(e->trace);

	if (n + 1 < sizeof(e->trace) && (n == 0 || e->trace[n - 1] != what))
		e->trace[n] = what;
}

static void speaker_made(struct plait_protocol *p)
{
	end_notes(end_of(p), 'M');
	end_of(p)->transport = p->transport;
}

static void speaker_fds(struct plait_protocol *p, const int *fds, size_t n)
{
	struct end *e = end_of(p);

	end_notes(e, 'F');
	for (size_t i = 0; i < n; i++) {
		ck_assert_int_ge(fcntl(fds[i], F_GETFD), 0);
		if (e->n_fds < N_OF(e->fds))
			e->fds[e->n_fds++] = fds[i];
		else
			close(fds[i]);
	}
	e->before = e->received;
	e->most = n > e->most ? n : e->most;
	if (e->on_fds != NULL)
		e->on_fds(e);
}

static void speaker_data(struct plait_protocol *p, const void *data, size_t len)
{
	struct end *e = end_of(p);
	size_t room = sizeof(e->text) - 1;

	end_notes(e, 'D');
	if (e->received < room)
		memcpy(e->text + e->received, data,
		       len < room - e->received ? len : room - e->received);
	e->received += len;
	if (e->on_data != NULL)
		e->on_data(e);
}

static void speaker_lost(struct plait_protocol *p,
			 const struct plait_failure *why)
{
	struct end *e = end_of(p);

	end_notes(e, 'L');
	e->kind = plait_failure_kind(why);
	plait_failure_str(why, e->why, sizeof(e->why));
	e->transport = NULL;
}

#define SPEAKER                                                                \
	.name = "speaker", .size = sizeof(struct speaker),                     \
	.connection_made = speaker_made, .data_received = speaker_data,        \
	.connection_lost = speaker_lost

static const struct plait_protocol_ops taker = {
	SPEAKER,
	.fds_received = speaker_fds,
};
static const struct plait_protocol_ops deaf = { SPEAKER };

static struct plait_protocol *speaker(const struct plait_protocol_ops *ops,
				      struct end *e)
{
	struct plait_protocol *p = plait_protocol_new(ops);

	if (p != NULL)
		plait_self(p, struct speaker)->end = e;
	return p;
}

static bool is_made(void *e)
{
	return ((struct end *)e)->transport != NULL;
}

static bool is_lost(void *e)
{
	return ((struct end *)e)->kind != NULL;
}

static void wait_for(bool (*what)(void *), struct end *e)
{
	ck_assert(run_until(reactor, what, e));
}

static size_t wanted;

static bool has_bytes(void *e)
{
	return ((struct end *)e)->received >= wanted;
}

static void wait_for_bytes(struct end *e, size_t n)
{
	wanted = n;
	wait_for(has_bytes, e);
}

/* A copy that a test hands over. */
static int copy(void)
{
	int fd = fcntl(file, F_DUPFD_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void close_fds(struct end *e)
{
	for (size_t i = 0; i < e->n_fds; i++)
		close(e->fds[i]);
	e->n_fds = 0;
}

static void begin(void)
{
	file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	a = b = (struct end){ .n_fds = 0 };
	peer = -1;
}

static void end(void)
{
	close_fds(&a);
	close_fds(&b);
	close(file);
	if (peer >= 0)
		close(peer);
}

/* Both ends are the library's. */
static void make_pair(const struct plait_protocol_ops *of_a,
		      const struct plait_protocol_ops *of_b)
{
	ck_assert_int_eq(
		plait_socketpair(reactor, speaker(of_a, &a), speaker(of_b, &b)),
		0);
	wait_for(is_made, &a);
	wait_for(is_made, &b);
}

/* The other end is peer. */
static void make_peer(const struct plait_protocol_ops *of_a)
{
	int fds[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	peer = fds[0];
	ck_assert_int_eq(plait_adopt_fd(reactor, fds[1], speaker(of_a, &a)), 0);
	wait_for(is_made, &a);
}

static void lose_both(void)
{
	plait_transport_lose_connection(a.transport);
	wait_for(is_lost, &a);
	if (b.trace[0] != '\0')
		wait_for(is_lost, &b);
}

/* Hands one over with that text; what came of it, and the number. */
static int hand(const char *text, int *fd)
{
	*fd = copy();
	return plait_transport_send_fds(a.transport, text, strlen(text), fd, 1);
}

/* Writes until the kernel takes no more, and so many bytes are unsent. */
static void fill(void)
{
	static char much[300000];

	do {
		plait_transport_write(a.transport, much, sizeof(much));
		run_turns(reactor, 2);
	} while (plait_transport_unsent(a.transport) == 0);
}

/* What peer gets, until so many descriptors have come. */
static int got[RIGHTS_MANY];

static size_t peer_reads_until(size_t n_fds)
{
	char bytes[65536];
	size_t all = 0, n;
	ssize_t len;

	while (all < n_fds) {
		len = rights_recv(peer, bytes, sizeof(bytes), got + all, &n);
		if (len == 0)
			break;
		if (len < 0)
			run_turns(reactor, 2);
		all += n;
	}
	for (size_t i = 0; i < all; i++)
		close(got[i]);
	return all;
}

GROUP("hand over", .setup = begin, .teardown = end);

TEST(descriptors_arrive_with_their_bytes, ON_EACH_BACKEND)
{
	int fds[3] = { copy(), copy(), copy() };

	make_pair(&taker, &taker);
	ck_assert_int_eq(
		plait_transport_send_fds(a.transport, "hello", 5, fds, 3), 0);
	wait_for_bytes(&b, 5);
	ck_assert_str_eq(b.trace, "MFD");
	ck_assert_str_eq(b.text, "hello");
	ck_assert_uint_eq(b.n_fds, 3);
	for (size_t i = 0; i < b.n_fds; i++)
		ck_assert(rights_are_same(b.fds[i], file));
	lose_both();
	ck_assert_ptr_eq(b.kind, &plait_error_connection_done);
}

TEST(both_ends_may_hand_over, ON_EACH_BACKEND)
{
	int one = copy(), other = copy();

	make_pair(&taker, &taker);
	ck_assert_int_eq(plait_transport_send_fds(a.transport, "x", 1, &one, 1),
			 0);
	ck_assert_int_eq(
		plait_transport_send_fds(b.transport, "y", 1, &other, 1), 0);
	wait_for_bytes(&a, 1);
	wait_for_bytes(&b, 1);
	ck_assert(a.n_fds == 1 && b.n_fds == 1);
	lose_both();
}

TEST(as_many_as_a_message_may_have, ON_EACH_BACKEND)
{
	int fds[PLAIT_FDS_MAX];

	for (int i = 0; i < PLAIT_FDS_MAX; i++)
		fds[i] = copy();
	make_pair(&deaf, &taker);
	ck_assert_int_eq(plait_transport_send_fds(a.transport, "x", 1, fds,
						  PLAIT_FDS_MAX),
			 0);
	wait_for_bytes(&b, 1);
	ck_assert_uint_eq(b.n_fds, PLAIT_FDS_MAX);
	lose_both();
}

TEST(without_descriptors_it_only_writes, ON_EACH_BACKEND)
{
	make_pair(&deaf, &taker);
	ck_assert_int_eq(
		plait_transport_send_fds(a.transport, "hello", 5, NULL, 0), 0);
	ck_assert_int_eq(
		plait_transport_send_fds(a.transport, NULL, 0, NULL, 0), 0);
	wait_for_bytes(&b, 5);
	ck_assert_str_eq(b.trace, "MD");
	lose_both();
}

TEST(what_was_handed_over_is_closed_here, ON_EACH_BACKEND)
{
	int fd;

	make_peer(&deaf);
	ck_assert_int_eq(hand("x", &fd), 0);
	ck_assert(is_open(fd));
	run_turns(reactor, 2);
	ck_assert(!is_open(fd));
	ck_assert_uint_eq(peer_reads_until(1), 1);
	lose_both();
}

/* The peer reads byte by byte, and finds each with the byte that it is of. */
TEST(the_order_with_the_bytes_is_kept, ON_EACH_BACKEND, TIMES(2))
{
	char all[40] = "", c;
	size_t n;
	int fd;

	make_peer(&deaf);
	if (_i == 1)
		fault_short_forever("sendmsg", 1);
	plait_transport_write(a.transport, "abc", 3);
	ck_assert_int_eq(hand("de", &fd), 0);
	ck_assert_int_eq(hand("f", &fd), 0);
	plait_transport_write(a.transport, "gh", 2);
	ck_assert_int_eq(hand("ij", &fd), 0);
	while (strlen(all) < 13) {
		run_turns(reactor, 2);
		if (rights_recv(peer, &c, 1, got, &n) != 1)
			continue;
		for (size_t i = 0; i < n; i++) {
			strcat(all, "+");
			close(got[i]);
		}
		strncat(all, &c, 1);
	}
	ck_assert_str_eq(all, "abc+de+fgh+ij");
	fault_off();
	lose_both();
}

/* Also behind a buffer, and behind much. */
TEST(they_wait_for_all_that_was_written_before, ON_EACH_BACKEND)
{
	struct plait_buf *buf = plait_buf_copy("0123456789", 10);
	int fd;

	make_pair(&deaf, &taker);
	for (int i = 0; i < 30000; i++)
		plait_transport_write_buf(a.transport, buf);
	ck_assert_int_eq(hand("x", &fd), 0);
	plait_buf_unref(&buf);
	wait_for_bytes(&b, 300001);
	ck_assert_uint_eq(b.n_fds, 1);
	ck_assert_uint_le(b.before, 300000);
	lose_both();
}

TEST(a_close_sends_them_first, ON_EACH_BACKEND)
{
	int fd;

	make_pair(&deaf, &taker);
	fill();
	ck_assert_int_eq(hand("x", &fd), 0);
	ck_assert(is_open(fd));
	lose_both();
	ck_assert_uint_eq(b.n_fds, 1);
	ck_assert_ptr_eq(b.kind, &plait_error_connection_done);
}

TEST(the_end_of_a_half_sends_them_first, ON_EACH_BACKEND)
{
	int fd;

	make_peer(&deaf);
	ck_assert_int_eq(hand("x", &fd), 0);
	plait_transport_lose_write_connection(a.transport);
	ck_assert_int_eq(hand("y", &fd), -ENOTCONN);
	ck_assert_uint_eq(peer_reads_until(3), 1);
	lose_both();
}

GROUP("refused", .setup = begin, .teardown = end);

TEST(what_is_refused_is_closed, ON_EACH_BACKEND)
{
	int fds[PLAIT_FDS_MAX + 1], fd;

	make_peer(&deaf);
	for (int i = 0; i <= PLAIT_FDS_MAX; i++)
		fds[i] = copy();
	ck_assert_int_eq(plait_transport_send_fds(a.transport, "x", 1, fds,
						  PLAIT_FDS_MAX + 1),
			 -EINVAL);
	fds[0] = copy();
	ck_assert_int_eq(plait_transport_send_fds(a.transport, "", 0, fds, 1),
			 -EINVAL);
	fds[0] = copy();
	ck_assert_int_eq(plait_transport_send_fds(NULL, "x", 1, fds, 1),
			 -ENOMEM);
	ck_assert_int_eq(hand("x", &fd), 0);
	plait_transport_abort_connection(a.transport);
	ck_assert(!is_open(fd));
	ck_assert_int_eq(hand("x", &fd), -ENOTCONN);
	ck_assert(!is_open(fd));
	wait_for(is_lost, &a);
}

static struct actor client, server;
static int refusal;

static void hands_over(struct actor *who, struct plait_protocol *p)
{
	int fd = copy();

	refusal = plait_transport_send_fds(p->transport, "x", 1, &fd, 1);
	ck_assert(!is_open(fd));
	plait_transport_lose_connection(p->transport);
}

TEST(tcp_hands_nothing_over, ON_EACH_BACKEND)
{
	struct plait_port *port;
	unsigned number;

	actor_init(&client);
	actor_init(&server);
	client.on_made = hands_over;
	number = actor_listen(&server, reactor, &port);
	actor_connect(&client, reactor, number);
	actor_wait_idle(&client, reactor);
	ck_assert_int_eq(refusal, -ENOTSUP);
	actor_stop(reactor, &port);
	actor_wait_idle(&server, reactor);
}

/* Between the two may be what changes bytes, or keeps them for a while. */
TEST(what_wraps_a_connection_hands_nothing_over, ON_EACH_BACKEND)
{
	struct plait_bucket bucket = { .rate = 1000000 };
	struct plait_throttled_factory throttled = { .in = &bucket };
	struct plait_port *port;
	char name[50];

	actor_init(&client);
	actor_init(&server);
	client.on_made = hands_over;
	snprintf(name, sizeof(name), "@plait-fds-%d", getpid());
	plait_throttled_factory_init(&throttled, &client.base);
	ck_assert_int_eq(
		plait_listen_unix(reactor, name, &server.base, NULL, &port), 0);
	plait_connect_unix(reactor, name, &throttled.base.base, NULL);
	actor_wait_idle(&client, reactor);
	ck_assert_int_eq(refusal, -ENOTSUP);
	actor_stop(reactor, &port);
	actor_wait_idle(&server, reactor);
}

static void hand_over_in_child(void *arg)
{
	int fd;

	ck_assert_int_eq(hand("x", &fd), -ECHILD);
	ck_assert(!is_open(fd));
}

TEST(a_child_hands_nothing_over, ON_EACH_BACKEND)
{
	const char *said;

	make_peer(&deaf);
	ck_assert_int_eq(child_run(hand_over_in_child, NULL, &said), 0);
	lose_both();
}

/* Each allocation of it fails once. */
TEST(without_memory_they_are_closed, ON_EACH_BACKEND)
{
	bool refused = true;
	int fd, err;

	for (unsigned long n = 0; refused; n++) {
		a = (struct end){ .n_fds = 0 };
		make_peer(&deaf);
		fault_alloc_at(n, false);
		err = hand("x", &fd);
		refused = fault_alloc_reached();
		fault_alloc_off();
		ck_assert_int_eq(err, refused ? -ENOMEM : 0);
		if (refused) {
			ck_assert(!is_open(fd));
			wait_for(is_lost, &a);
			ck_assert_ptr_eq(a.kind, &plait_error_no_memory);
		} else {
			lose_both();
		}
		close(peer);
	}
	peer = -1;
}

TEST(more_than_may_be_unsent_aborts, ON_EACH_BACKEND)
{
	static char much[100000];
	struct plait_limits limits = { .max_unsent = sizeof(much) - 1 };
	int fd = copy();

	ck_assert_int_eq(plait_reactor_set_limits(reactor, &limits), 0);
	make_peer(&deaf);
	ck_assert_int_eq(plait_transport_send_fds(a.transport, much,
						  sizeof(much), &fd, 1),
			 -ENOMEM);
	ck_assert(!is_open(fd));
	wait_for(is_lost, &a);
	ck_assert_ptr_eq(a.kind, &plait_error_connection_aborted);
}

TEST(more_descriptors_than_may_wait_abort, ON_EACH_BACKEND)
{
	struct plait_limits limits = { .max_unsent = 10 * 1024 };
	int fd;

	ck_assert_int_eq(plait_reactor_set_limits(reactor, &limits), 0);
	make_peer(&deaf);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(hand("x", &fd), 0);
	ck_assert_int_eq(hand("x", &fd), -ENOMEM);
	ck_assert(!is_open(fd));
	wait_for(is_lost, &a);
	ck_assert_str_eq(a.why, "ConnectionAborted: more than 10240 bytes "
				"unsent, as descriptors count");
}

static char told[10];

static void producer_pause(struct plait_producer *p)
{
	strcat(told, "P");
}

static void producer_resume(struct plait_producer *p)
{
	strcat(told, "R");
}

static void producer_stop(struct plait_producer *p)
{
	strcat(told, "S");
}

/* With few bytes: the high mark is that of 64 descriptors. */
TEST(a_producer_of_descriptors_is_paused, ON_EACH_BACKEND)
{
	static const struct plait_producer_ops ops = {
		.pause = producer_pause,
		.resume = producer_resume,
		.stop = producer_stop,
	};
	struct plait_producer p = { .ops = &ops };
	int fd;

	make_peer(&deaf);
	fault_call_forever("sendmsg", EAGAIN);
	plait_transport_register_producer(a.transport, &p, true);
	for (int i = 0; i < 63; i++)
		ck_assert_int_eq(hand("x", &fd), 0);
	run_turns(reactor, 3);
	ck_assert_str_eq(told, "");
	ck_assert_int_eq(hand("x", &fd), 0);
	run_turns(reactor, 3);
	ck_assert_str_eq(told, "P");
	fault_off();
	ck_assert_uint_eq(peer_reads_until(64), 64);
	run_turns(reactor, 3);
	ck_assert_str_eq(told, "PR");
	plait_transport_unregister_producer(a.transport);
	lose_both();
}

GROUP("ends", .setup = begin, .teardown = end);

static void by_abort(void)
{
	plait_transport_abort_connection(a.transport);
}

static void by_peer(void)
{
	close(peer);
	peer = -1;
}

static void by_reactor(void)
{
	plait_reactor_free(&reactor);
}

/* The peer makes room, and then the call fails. */
static void by_call(void)
{
	char bytes[65536];

	fault_call("send", 1, EPIPE);
	fault_call("sendmsg", 1, EPIPE);
	while (a.kind == NULL) {
		if (recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT) < 0)
			ck_assert_int_eq(errno, EAGAIN);
		run_turns(reactor, 1);
	}
}

static void by_timeout(void)
{
	clock_virtual(true);
	plait_transport_lose_connection(a.transport);
	run_for(reactor, 3600);
}

static void (*const ways[])(void) = {
	by_abort, by_peer, by_reactor, by_call, by_timeout,
};

/* None of the descriptors that wait stays open, however it ends. */
TEST(the_end_of_a_connection_closes_what_waits, ON_EACH_BACKEND, EACH_OF(ways))
{
	int fds[3];

	make_peer(&deaf);
	fill();
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(hand("x", &fds[i]), 0);
	run_turns(reactor, 2);
	for (int i = 0; i < 3; i++)
		ck_assert(is_open(fds[i]));
	ways[_i]();
	if (reactor != NULL)
		wait_for(is_lost, &a);
	for (int i = 0; i < 3; i++)
		ck_assert(!is_open(fds[i]));
	fault_off();
}

static int waiting;

static void free_in_child(void *arg)
{
	plait_reactor_free(&reactor);
	ck_assert(!is_open(waiting));
}

/* Those of the parent wait, and arrive. */
TEST(a_child_closes_its_own_copies, ON_EACH_BACKEND)
{
	const char *said;

	make_peer(&deaf);
	fill();
	ck_assert_int_eq(hand("x", &waiting), 0);
	ck_assert_int_eq(child_run(free_in_child, NULL, &said), 0);
	ck_assert(is_open(waiting));
	ck_assert_uint_eq(peer_reads_until(1), 1);
	run_turns(reactor, 2);
	ck_assert(!is_open(waiting));
	lose_both();
}

/* A socket that others share is closed, and no more. */
TEST(a_socket_that_waits_is_not_shut, ON_EACH_BACKEND)
{
	pid_t child;
	char c;
	int fds[2], mine;

	make_peer(&deaf);
	fill();
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	mine = fcntl(fds[1], F_DUPFD_CLOEXEC, 0);
	ck_assert_int_eq(
		plait_transport_send_fds(a.transport, "x", 1, &fds[1], 1), 0);
	child = child_hold();
	plait_transport_abort_connection(a.transport);
	wait_for(is_lost, &a);
	ck_assert(!is_open(fds[1]));
	ck_assert_int_eq(send(mine, "y", 1, MSG_NOSIGNAL), 1);
	ck_assert_int_eq(recv(fds[0], &c, 1, 0), 1);
	child_let_go(child);
	close(mine);
	close(fds[0]);
}

GROUP("calls", .setup = begin, .teardown = end);

static const struct {
	const char *call;
	int err;
	bool lost;
} calls[] = {
	{ "sendmsg", EINTR, false },   { "sendmsg", EAGAIN, false },
	{ "sendmsg", ENOBUFS, false }, { "sendmsg", ENOMEM, false },
	{ "sendmsg", EBADF, true },    { "sendmsg", EPIPE, true },
	{ "recvmsg", EINTR, false },   { "recvmsg", EAGAIN, false },
	{ "recvmsg", EIO, true },      { "recvmsg", ECONNRESET, true },
};

TEST(a_call_that_fails_loses_no_descriptor, ON_EACH_BACKEND, EACH_OF(calls))
{
	int fd;

	make_pair(&deaf, &taker);
	ck_assert_int_eq(hand("hello", &fd), 0);
	fault_call(calls[_i].call, 1, calls[_i].err);
	if (calls[_i].lost) {
		plait_transport_lose_connection(a.transport);
		wait_for(is_lost, &b);
		wait_for(is_lost, &a);
		ck_assert_uint_eq(b.n_fds, 0);
		ck_assert(a.kind == &plait_error_connection_lost ||
			  b.kind == &plait_error_connection_lost);
	} else {
		wait_for_bytes(&b, 5);
		ck_assert_uint_eq(b.n_fds, 1);
		ck_assert_str_eq(b.text, "hello");
		lose_both();
	}
	ck_assert(fault_used(calls[_i].call));
}

TEST(one_that_is_not_open_breaks_the_connection, ON_EACH_BACKEND)
{
	int fd;

	make_pair(&deaf, &taker);
	fd = copy();
	close(fd);
	ck_assert_int_eq(plait_transport_send_fds(a.transport, "x", 1, &fd, 1),
			 0);
	wait_for(is_lost, &a);
	wait_for(is_lost, &b);
	ck_assert_str_eq(a.why, "ConnectionLost: send: Bad file descriptor");
	ck_assert_uint_eq(b.n_fds, 0);
}

/* The kernel counts those of all connections of the user, and tells nobody when
   there are fewer. */
TEST(too_many_on_their_way_wait, ON_EACH_BACKEND)
{
	int fd;

	clock_virtual(true);
	make_pair(&deaf, &taker);
	plait_transport_write(a.transport, "abc", 3);
	ck_assert_int_eq(hand("de", &fd), 0);
	fault_call("sendmsg", 10, ETOOMANYREFS);
	calls_reset();
	run_turns(reactor, 5);
	ck_assert_str_eq(b.text, "abc");
	ck_assert(is_open(fd));
	ck_assert_uint_eq(calls_of("sendmsg"), 1);
	/* A write changes nothing. */
	plait_transport_write(a.transport, "f", 1);
	run_turns(reactor, 5);
	ck_assert_uint_eq(calls_of("sendmsg"), 1);
	wait_for_bytes(&b, 6);
	ck_assert_str_eq(b.text, "abcdef");
	ck_assert_uint_eq(b.n_fds, 1);
	ck_assert_uint_eq(calls_of("sendmsg"), 11);
	lose_both();
}

static void by_resuming(void)
{
	fault_off();
	peer_reads_until(1);
	by_abort();
}

static void (*const meanwhile[])(void) = {
	by_abort, by_peer, by_reactor, by_timeout, by_resuming,
};

TEST(whatever_ends_it_ends_the_waiting, ON_EACH_BACKEND, EACH_OF(meanwhile))
{
	int fd;

	clock_virtual(true);
	make_peer(&deaf);
	fault_call_forever("sendmsg", ETOOMANYREFS);
	ck_assert_int_eq(hand("x", &fd), 0);
	run_turns(reactor, 3);
	ck_assert(is_open(fd));
	meanwhile[_i]();
	if (reactor != NULL)
		wait_for(is_lost, &a);
	ck_assert(!is_open(fd));
	calls_reset();
	if (reactor != NULL)
		run_for(reactor, 1);
	ck_assert_uint_eq(calls_of("sendmsg"), 0);
}

GROUP("hostile", .setup = begin, .teardown = end);

TEST(too_many_are_none_and_end_the_connection, ON_EACH_BACKEND, TIMES(2))
{
	make_peer(&taker);
	ck_assert_int_eq(send(peer, "hello", 5, 0), 5);
	wait_for_bytes(&a, 5);
	rights_send_copies(peer, file,
			   _i == 0 ? PLAIT_FDS_MAX + 1 : RIGHTS_MANY);
	wait_for(is_lost, &a);
	ck_assert_str_eq(a.trace, "MDL");
	ck_assert_uint_eq(a.n_fds, 0);
	ck_assert_ptr_eq(a.kind, &plait_error_descriptors_lost);
	ck_assert_str_eq(a.why, "DescriptorsLost: more than 64 in a message: "
				"Message too long");
	ck_assert_ptr_eq(a.kind->parent, &plait_error_connection_lost);
}

/* The seam's recvmsg() comes after the kernel has installed them. */
static size_t most_open, open_before;

static void count_open(void *arg)
{
	size_t now = 0;

	for (int fd = 0; fd < 1000; fd++)
		now += is_open(fd);
	if (now > open_before + most_open)
		most_open = now - open_before;
}

static void close_at_once(struct end *e)
{
	count_open(NULL);
	close_fds(e);
}

/* It hands over much more than may be open at a time, all at once. */
TEST(no_more_than_one_message_has_are_open_at_once, ON_EACH_BACKEND)
{
	make_peer(&taker);
	a.on_fds = close_at_once;
	open_before = most_open = 0;
	count_open(NULL);
	open_before = most_open;
	most_open = 0;
	for (int i = 0; i < 20; i++)
		rights_send_copies(peer, file, PLAIT_FDS_MAX);
	wait_for_bytes(&a, 20);
	ck_assert_uint_eq(most_open, PLAIT_FDS_MAX);
	ck_assert_uint_eq(a.most, PLAIT_FDS_MAX);
	lose_both();
}

TEST(a_descriptor_may_come_with_each_byte, ON_EACH_BACKEND)
{
	make_peer(&taker);
	for (int i = 0; i < 100; i++)
		rights_send_copies(peer, file, 1);
	wait_for_bytes(&a, 100);
	ck_assert_uint_eq(a.n_fds, 100);
	lose_both();
}

/* What is not read refers to itself; the kernel finds that out. */
TEST(its_own_socket_may_come, ON_EACH_BACKEND, TIMES(2))
{
	make_peer(&taker);
	if (_i == 1)
		plait_transport_pause_reading(a.transport);
	for (int i = 0; i < 10; i++)
		rights_send_copies(peer, peer, 1);
	if (_i == 1) {
		plait_transport_abort_connection(a.transport);
		wait_for(is_lost, &a);
		return;
	}
	wait_for_bytes(&a, 10);
	ck_assert_uint_eq(a.n_fds, 10);
	ck_assert(rights_are_same(a.fds[0], peer));
	lose_both();
}

TEST(half_a_message_has_its_descriptors, ON_EACH_BACKEND)
{
	make_peer(&taker);
	ck_assert_int_eq(rights_send(peer, "hel", 3, &file, 1), 3);
	by_peer();
	wait_for(is_lost, &a);
	ck_assert_str_eq(a.trace, "MFDL");
	ck_assert_str_eq(a.text, "hel");
	ck_assert_uint_eq(a.n_fds, 1);
}

TEST(who_did_not_ask_gets_none, ON_EACH_BACKEND)
{
	int next;

	make_peer(&deaf);
	next = copy();
	close(next);
	calls_reset();
	rights_send_copies(peer, file, 1);
	rights_send_copies(peer, file, RIGHTS_MANY);
	ck_assert_int_eq(send(peer, "y", 1, 0), 1);
	wait_for_bytes(&a, 3);
	ck_assert_str_eq(a.text, "xxy");
	ck_assert_uint_eq(calls_of("recvmsg"), 0);
	ck_assert(!is_open(next));
	lose_both();
}

static void take_from(struct actor *who, struct plait_protocol *p,
		      const void *data, size_t len)
{
	ck_assert_uint_eq(calls_of("recvmsg"), 0);
	plait_transport_lose_connection(p->transport);
}

static struct plait_protocol *build_taker(struct plait_factory *f,
					  const struct plait_address *who)
{
	return speaker(&taker, &a);
}

/* A throttle is between the connection and the protocol. */
TEST(who_is_wrapped_gets_none, ON_EACH_BACKEND)
{
	static const struct plait_factory_ops ops = {
		.build_protocol = build_taker,
	};
	struct plait_factory f = { .ops = &ops };
	struct plait_bucket bucket = { .rate = 1000000 };
	struct plait_throttled_factory throttled = { .in = &bucket };
	struct plait_port *port;
	char name[50];

	actor_init(&client);
	client.on_data = take_from;
	snprintf(name, sizeof(name), "@plait-fds-%d", getpid());
	plait_throttled_factory_init(&throttled, &f);
	ck_assert_int_eq(plait_listen_unix(reactor, name, &throttled.base.base,
					   NULL, &port),
			 0);
	plait_connect_unix(reactor, name, &client.base, NULL);
	run_until_count(reactor, &client.made, 1);
	wait_for(is_made, &a);
	calls_reset();
	ck_assert_int_eq(plait_transport_send_fds(client.transport, "x", 1,
						  (int[]){ copy() }, 1),
			 0);
	wait_for_bytes(&a, 1);
	ck_assert_str_eq(a.trace, "MD");
	ck_assert_uint_eq(calls_of("recvmsg"), 0);
	plait_transport_abort_connection(client.transport);
	actor_wait_idle(&client, reactor);
	actor_stop(reactor, &port);
	wait_for(is_lost, &a);
}

TEST(a_process_that_can_have_no_more_loses_it, ON_EACH_BACKEND)
{
	struct rlimit before, few;
	int next;

	make_peer(&taker);
	next = copy();
	close(next);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = (struct rlimit){ .rlim_cur = (rlim_t)next + 3,
			       .rlim_max = before.rlim_max };
	rights_send_copies(peer, file, 10);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	run_turns(reactor, 3);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	wait_for(is_lost, &a);
	ck_assert_str_eq(a.why, "DescriptorsLost: of a message of the peer: "
				"Too many open files");
	ck_assert_uint_eq(a.n_fds, 0);
}

GROUP("takes", .setup = begin, .teardown = end);

static void pauses(struct end *e)
{
	plait_transport_pause_reading(e->transport);
}

/* The bytes wait, and so do the next descriptors. */
TEST(a_reader_may_pause_when_they_come, ON_EACH_BACKEND)
{
	make_peer(&taker);
	a.on_fds = pauses;
	rights_send_copies(peer, file, 2);
	rights_send_copies(peer, file, 3);
	run_turns(reactor, 5);
	ck_assert_str_eq(a.trace, "MF");
	ck_assert_uint_eq(a.n_fds, 2);
	plait_transport_resume_reading(a.transport);
	run_turns(reactor, 5);
	ck_assert_str_eq(a.trace, "MFDF");
	ck_assert_uint_eq(a.n_fds, 5);
	ck_assert_uint_eq(a.before, 1);
	plait_transport_resume_reading(a.transport);
	wait_for_bytes(&a, 2);
	lose_both();
}

TEST(who_has_paused_gets_none, ON_EACH_BACKEND)
{
	make_peer(&taker);
	plait_transport_pause_reading(a.transport);
	rights_send_copies(peer, file, 1);
	run_turns(reactor, 5);
	ck_assert_str_eq(a.trace, "M");
	plait_transport_resume_reading(a.transport);
	wait_for_bytes(&a, 1);
	ck_assert_str_eq(a.trace, "MFD");
	lose_both();
}

static void aborts(struct end *e)
{
	plait_transport_abort_connection(e->transport);
}

static void loses(struct end *e)
{
	plait_transport_lose_connection(e->transport);
}

static void stops(struct end *e)
{
	plait_reactor_stop(reactor);
}

/* What it has been given is its own. */
TEST(a_reader_may_close_when_they_come, ON_EACH_BACKEND, TIMES(2))
{
	make_peer(&taker);
	a.on_fds = _i == 0 ? aborts : loses;
	rights_send_copies(peer, file, 2);
	rights_send_copies(peer, file, 3);
	wait_for(is_lost, &a);
	ck_assert_str_eq(a.trace, "MFL");
	ck_assert_uint_eq(a.n_fds, 2);
	ck_assert(is_open(a.fds[0]) && is_open(a.fds[1]));
}

TEST(the_reactor_may_stop_when_they_come, ON_EACH_BACKEND)
{
	make_peer(&taker);
	a.on_fds = stops;
	rights_send_copies(peer, file, 2);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	plait_reactor_free(&reactor);
	ck_assert_str_eq(a.trace, "MFDL");
	ck_assert_uint_eq(a.n_fds, 2);
}

static pid_t child_pid;

static void forks(struct end *e)
{
	child_pid = fork();
	ck_assert_int_ge(child_pid, 0);
}

/* The child has copies of what it was given, and no more of the connection. */
TEST(a_reader_may_fork_when_they_come, ON_EACH_BACKEND)
{
	make_peer(&taker);
	a.on_fds = forks;
	rights_send_copies(peer, file, 2);
	while (a.n_fds == 0)
		plait_reactor_iterate(reactor, 0);
	if (child_pid == 0) {
		bool ok = strcmp(a.trace, "MF") == 0;

		plait_reactor_free(&reactor);
		child_leave(ok ? 0 : 1);
	}
	child_ends(child_pid);
	wait_for_bytes(&a, 1);
	ck_assert_str_eq(a.trace, "MFD");
	lose_both();
}

/* It has sent something, and lingers; what still comes is thrown away. */
TEST(what_comes_while_it_lingers_is_not_installed, ON_EACH_BACKEND)
{
	char c;

	make_peer(&taker);
	plait_transport_write(a.transport, "x", 1);
	plait_transport_lose_connection(a.transport);
	wait_for(is_lost, &a);
	calls_reset();
	rights_send_copies(peer, file, 5);
	run_turns(reactor, 3);
	ck_assert_int_eq(recv(peer, &c, 1, MSG_DONTWAIT), 1);
	ck_assert_uint_eq(calls_of("recvmsg"), 0);
}

/* The connection is broken, but what had come before is told. */
TEST(what_came_before_a_broken_send_is_given, ON_EACH_BACKEND)
{
	make_peer(&taker);
	rights_send_copies(peer, file, 2);
	rights_send_copies(peer, file, 3);
	fault_call("send", 1, EPIPE);
	plait_transport_write(a.transport, "x", 1);
	wait_for(is_lost, &a);
	ck_assert_str_eq(a.trace, "MFDFDL");
	ck_assert_uint_eq(a.n_fds, 5);
}

GROUP("torture", .setup = begin, .teardown = end, .timeout = 60);

static bool are_over(void *nothing)
{
	return a.transport == NULL && b.transport == NULL;
}

/* From a pair that is made to one that has ended. */
static void hand_over_once(struct plait_reactor *r)
{
	int fd;

	a = b = (struct end){ .n_fds = 0 };
	if (plait_socketpair(r, speaker(&deaf, &a), speaker(&taker, &b)) < 0) {
		ck_assert(torture_faulty());
		return;
	}
	run_turns(r, 2);
	ck_assert(torture_faulty() || (is_made(&a) && is_made(&b)));
	if (a.transport != NULL) {
		hand("hello", &fd);
		plait_transport_lose_connection(a.transport);
	}
	run_until(r, are_over, NULL);
	ck_assert(torture_faulty() || b.n_fds == 1);
	close_fds(&b);
}

TEST(survives_any_refused_allocation, ON_EACH_BACKEND)
{
	torture(hand_over_once, backend);
}

TEST(survives_any_failed_system_call, ON_EACH_BACKEND)
{
	torture_syscalls(hand_over_once, backend);
}

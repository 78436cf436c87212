/*
 * Forwarding: what a callback writes out of the bytes that it was given is sent
 * from where they lie, and copied only as far as it was not taken at once.
 * Whatever happens meanwhile, each peer gets what was written to it.
 */
#include <sys/socket.h>

#include "reactor/net/transport.h"
#include "tests/child.h"
#include "tests/wire.h"

enum {
	KIB = 1024,
	MUCH = 8 * KIB,	  /* enough not to be copied */
	BLOCK = KIB,	  /* what a queue of a few pieces holds */
	N_ENDS = 4,	  /* the first is given bytes, and forwards them */
	MOST = 4 << 20,	  /* bytes that were written to one of them */
	N_INPUT = 300000, /* more than two reads */
};

/* A connection, and what its peer has to get. */
struct end {
	struct wire w; /* first */
	unsigned char *due;
	size_t size, got;
};

static struct end ends[N_ENDS];
static size_t held_inside; /* after the last callback had written */
static void *buffer;	   /* into which the reactor reads */

static size_t held(void)
{
	return pool_unsent(reactor)->held;
}

static void write_to(struct end *e, const void *data, size_t len)
{
	if (e->w.transport == NULL ||
	    plait_transport_is_disconnecting(e->w.transport))
		return;
	plait_transport_write(e->w.transport, data, len);
	ck_assert_uint_le(e->size + len, MOST);
	memcpy(e->due + e->size, data, len);
	e->size += len;
}

static void write_to_all(struct wire *w, const void *data, size_t len)
{
	for (int i = 0; i < N_ENDS; i++)
		write_to(&ends[i], data, len);
	held_inside = held();
}

static void write_back(struct wire *w, const void *data, size_t len)
{
	write_to(&ends[0], data, len);
	held_inside = held();
}

static void open_ends(void (*forward)(struct wire *w, const void *, size_t))
{
	buffer = plait_i_pool_read_buffer(reactor);
	for (int i = 0; i < N_ENDS; i++) {
		ends[i] = (struct end){ .w.unix_pair = true,
					.due = malloc(MOST) };
		ends[i].w.on_data = i == 0 ? forward : NULL;
		ck_assert(wire_open(&ends[i].w, reactor));
	}
}

/* What the first end is given. */
static void say(size_t at, size_t len)
{
	unsigned char *bytes = wire_bytes_from(at, len);

	ck_assert(peer_send(reactor, ends[0].w.peer, bytes, len));
	free(bytes);
}

/* So little that it comes in one read. */
static void forward(void)
{
	struct wire *w = &ends[0].w;

	say(w->received, MUCH);
	run_until_count(reactor, &w->calls, w->calls + 1);
	/* Nobody borrows any more. */
	ck_assert_ptr_eq(plait_i_pool_read_buffer(reactor), buffer);
}

/* The peer gets all that was written to that end since the last time. */
static void take(struct end *e)
{
	size_t n = e->size - e->got;
	unsigned char *came = malloc(n + 1);

	ck_assert_int_eq(peer_read(reactor, e->w.peer, came, n), n);
	ck_assert(memcmp(came, e->due + e->got, n) == 0);
	e->got += n;
	free(came);
}

static void close_ends(void)
{
	for (int i = 0; i < N_ENDS; i++) {
		wire_close(&ends[i].w);
		free(ends[i].due);
	}
	ck_assert_uint_eq(held(), 0);
}

static void setup(void)
{
	signal(SIGPIPE, SIG_IGN);
}

GROUP("forward", .setup = setup);

TEST(an_echo_is_not_copied, ON_EACH_BACKEND)
{
	open_ends(write_back);
	calls_reset();
	forward();
	take(&ends[0]);
	ck_assert_uint_eq(held_inside, BLOCK + MUCH);
	ck_assert_uint_eq(calls_of("send"), 1);
	close_ends();
}

TEST(what_goes_to_many_is_not_copied, ON_EACH_BACKEND)
{
	open_ends(write_to_all);
	forward();
	for (int i = 0; i < N_ENDS; i++)
		take(&ends[i]);
	ck_assert_uint_eq(held_inside, N_ENDS * (BLOCK + MUCH));
	close_ends();
}

/* A copy of so little costs less than a further piece of a send. */
TEST(a_little_is_copied, ON_EACH_BACKEND)
{
	open_ends(write_back);
	say(0, BLOCK / 2);
	run_until_count(reactor, &ends[0].w.calls, 1);
	take(&ends[0]);
	ck_assert_uint_eq(held_inside, BLOCK);
	close_ends();
}

static void write_framed(struct wire *w, const void *data, size_t len)
{
	write_to(&ends[0], "<", 1);
	write_to(&ends[0], data, len);
	write_to(&ends[0], ">", 1);
	held_inside = held();
}

TEST(what_stands_around_it_leaves_with_it, ON_EACH_BACKEND)
{
	open_ends(write_framed);
	calls_reset();
	forward();
	take(&ends[0]);
	ck_assert_uint_eq(held_inside, BLOCK + MUCH);
	ck_assert_uint_eq(calls_of("send") + calls_of("sendmsg"), 1);
	close_ends();
}

/* The kernel takes so much; before the next read the rest is copied. */
TEST(what_was_not_taken_is_copied_in_time, ON_EACH_BACKEND, TIMES(4))
{
	static const size_t room[] = { 0, 1, MUCH / 2, 2 * MUCH };

	open_ends(write_to_all);
	fault_room(room[_i]);
	forward();
	forward();
	fault_room(SIZE_MAX);
	for (int i = 0; i < N_ENDS; i++)
		take(&ends[i]);
	close_ends();
}

/*
 * What the first end sends fails; so its input is drained at once, in the same
 * frame, while the others have not sent what they were given.
 */
TEST(a_drain_leaves_alone_what_others_have_to_send, ON_EACH_BACKEND)
{
	open_ends(write_to_all);
	fault_pass("send", N_ENDS);
	fault_call("send", 1, ECONNRESET);
	fault_call("send", 1, EAGAIN);
	say(0, N_INPUT);
	run_until_count(reactor, &ends[0].w.lost, 1);
	ck_assert_int_eq(ends[0].w.err, ECONNRESET);
	ck_assert_uint_gt(ends[0].w.calls, 1);
	for (int i = 1; i < N_ENDS; i++) {
		ck_assert_uint_eq(ends[i].size, ends[0].w.received);
		take(&ends[i]);
	}
	close_ends();
}

static void fail_next_alloc(struct wire *w, const void *data, size_t len)
{
	write_to_all(w, data, len);
	fault_alloc_at(0, true);
}

/* As a write without memory, but no sooner than when the copy is needed. */
TEST(without_memory_for_a_copy_the_connection_ends, ON_EACH_BACKEND)
{
	open_ends(fail_next_alloc);
	fault_pass("send", 1);
	fault_call("send", 1, EAGAIN);
	forward();
	ck_assert(plait_transport_is_disconnecting(ends[1].w.transport));
	ck_assert_uint_eq(ends[1].w.lost, 0);
	fault_alloc_off();
	run_until_count(reactor, &ends[1].w.lost, 1);
	ck_assert_str_eq(ends[1].w.why, "NoMemoryError");
	for (int i = 0; i < N_ENDS; i++) {
		if (i != 1)
			take(&ends[i]);
	}
	close_ends();
}

static void write_and_abort(struct wire *w, const void *data, size_t len)
{
	write_to_all(w, data, len);
	plait_transport_abort_connection(w->transport);
	plait_transport_abort_connection(ends[2].w.transport);
	ck_assert_uint_eq(held(), 2 * (BLOCK + MUCH));
}

TEST(an_abort_drops_it, ON_EACH_BACKEND)
{
	open_ends(write_and_abort);
	say(0, MUCH);
	run_until_count(reactor, &ends[0].w.lost, 1);
	ck_assert_int_eq(peer_read(reactor, ends[0].w.peer, NULL, 1), 0);
	take(&ends[1]);
	take(&ends[3]);
	close_ends();
}

static void write_and_lose(struct wire *w, const void *data, size_t len)
{
	write_to_all(w, data, len);
	plait_transport_lose_connection(w->transport);
	plait_transport_lose_connection(ends[2].w.transport);
}

/* Whether or not the kernel takes it at once. */
TEST(a_close_sends_it_first, ON_EACH_BACKEND, TIMES(2))
{
	open_ends(write_and_lose);
	if (_i == 1)
		fault_room(MUCH / 2);
	forward();
	run_turns(reactor, 2);
	ck_assert_uint_eq(ends[2].w.lost, _i == 0);
	fault_room(SIZE_MAX);
	for (int i = 0; i < N_ENDS; i++)
		take(&ends[i]);
	close_ends();
}

/* Limits. */

static void *copy; /* NULL: what was given is written */

static void write_twice(struct wire *w, const void *data, size_t len)
{
	if (copy != NULL)
		data = memcpy(copy, data, len);
	for (int i = 0; i < 2; i++) {
		plait_transport_write(ends[1].w.transport, data, len);
		plait_transport_write(ends[2].w.transport, data, len / 2);
	}
}

static void forward_with_limits(const struct plait_limits *limits, int i)
{
	copy = i == 1 ? malloc(MUCH) : NULL;
	plait_reactor_set_limits(reactor, limits);
	open_ends(write_twice);
	forward();
	run_turns(reactor, 2);
	ck_assert_uint_eq(ends[1].w.lost, 1);
	ck_assert_uint_eq(ends[2].w.lost, 0);
	close_ends();
	free(copy);
}

TEST(it_counts_for_a_connection_as_a_copy_does, ON_EACH_BACKEND, TIMES(2))
{
	const struct plait_limits limits = { .max_unsent = 2 * MUCH - 1 };

	forward_with_limits(&limits, _i);
	ck_assert_str_eq(ends[1].w.why,
			 "ConnectionAborted: more than 16383 bytes unsent");
}

TEST(it_counts_for_all_as_a_copy_does, ON_EACH_BACKEND, TIMES(2))
{
	/* Copies are in larger blocks. */
	const struct plait_limits limits = {
		.max_unsent_total = _i == 1 ? 66 * KIB : 3 * MUCH
	};

	forward_with_limits(&limits, _i);
	ck_assert_ptr_nonnull(strstr(ends[1].w.why, "max_unsent_total"));
}

/* A connection is its own producer: no reading while it has much to send. */
static void bound(struct wire *w)
{
	plait_transport_register_producer(
		w->transport, plait_transport_producer(w->transport), true);
}

TEST(it_pauses_a_producer, ON_EACH_BACKEND)
{
	open_ends(write_back);
	bound(&ends[0].w);
	fault_room(0);
	say(0, 2 * POOL_READ_SIZE);
	run_until_count(reactor, &ends[0].w.calls, 1);
	run_turns(reactor, 5);
	ck_assert_uint_gt(plait_transport_unsent(ends[0].w.transport),
			  64 * KIB);
	ck_assert_uint_lt(ends[0].w.received, 2 * POOL_READ_SIZE);
	fault_room(SIZE_MAX);
	take(&ends[0]);
	run_until_count(reactor, &ends[0].w.calls, 2);
	take(&ends[0]);
	close_ends();
}

/* Transports that wrap the second end. */

static struct wire top;

static void write_to_top(struct wire *w, const void *data, size_t len)
{
	struct end *e = &ends[1];

	plait_transport_write(top.transport, data, len);
	memcpy(e->due + e->size, data, len);
	e->size += len;
}

/* A kind that sends in its own way: it writes to the transport below. */
static ssize_t write_below(struct plait_transport *t,
			   const struct iovec *pieces, int n)
{
	plait_transport_write_sequence(plait_transport_below(t), pieces, n);
	return (ssize_t)pieces->iov_len;
}

static void open_top(int i)
{
	static const struct plait_transport_ops ops[] = {
		{ .name = "passing" },
		{ .name = "writing", .send = write_below },
	};

	open_ends(write_to_top);
	top = (struct wire){ .reactor = reactor, .peer = -1 };
	top.transport =
		plait_transport_new(&ops[i], reactor, ends[1].w.transport);
	ck_assert_ptr_nonnull(top.transport);
	top.protocol = wire_protocol_new(&top);
	plait_transport_made(top.transport, top.protocol);
}

/* The second time there is something below that waits already. */
TEST(a_wrapper_passes_it_down, ON_EACH_BACKEND, TIMES(2))
{
	open_top(_i);
	fault_pass("send", 1);
	fault_call("send", 1, EAGAIN);
	for (int i = 0; i < 3; i++)
		forward();
	take(&ends[1]);
	plait_transport_lose_connection(top.transport);
	run_until_count(reactor, &top.lost, 1);
	close_ends();
}

TEST(what_waits_below_counts_for_a_little_above, ON_EACH_BACKEND)
{
	const struct plait_limits limits = { .max_unsent = MUCH + 10 };

	plait_reactor_set_limits(reactor, &limits);
	open_top(0);
	fault_room(0);
	forward();
	plait_transport_write(top.transport, "0123456789", 10);
	ck_assert(!plait_transport_is_disconnecting(top.transport));
	plait_transport_write(top.transport, "x", 1);
	ck_assert(plait_transport_is_disconnecting(top.transport));
	run_until_count(reactor, &top.lost, 1);
	close_ends();
}

TEST(a_wrapper_without_memory_for_a_copy_ends, ON_EACH_BACKEND)
{
	open_top(0);
	fault_call("send", 1, EAGAIN);
	forward();
	ends[0].w.on_data = fail_next_alloc;
	ends[1].w.transport = top.transport;
	for (int i = 0; i < N_ENDS; i++)
		ends[i].size = ends[i].got = 0;
	forward();
	fault_alloc_off();
	run_until_count(reactor, &top.lost, 1);
	ck_assert_str_eq(top.why, "NoMemoryError");
	close_ends();
}

static const void *first_of(const struct end *e)
{
	struct iovec iov;
	size_t len;

	ck_assert_int_eq(
		plait_i_output_gather(&transport_of(e->w.transport)->output,
				      &iov, 1, &len),
		1);
	return iov.iov_base;
}

/* Neither on the transport itself nor below it. */
TEST(what_waits_is_not_copied_once_more, ON_EACH_BACKEND, TIMES(2))
{
	const void *first;

	open_top(0);
	if (_i == 0)
		ends[0].w.on_data = write_to_all;
	fault_room(0);
	forward();
	first = first_of(&ends[1]);
	forward();
	ck_assert_ptr_eq(first_of(&ends[1]), first);
	fault_room(SIZE_MAX);
	take(&ends[1]);
	plait_transport_lose_connection(top.transport);
	run_until_count(reactor, &top.lost, 1);
	close_ends();
}

/* Forks, and the end of the reactor. */

static pid_t child;

static void write_and_fork(struct wire *w, const void *data, size_t len)
{
	write_to_all(w, data, len);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0)
		plait_reactor_free(&reactor);
}

TEST(a_forked_child_sends_nothing_of_it, ON_EACH_BACKEND)
{
	open_ends(write_and_fork);
	child = -1;
	say(0, MUCH);
	while (child < 0)
		plait_reactor_iterate(reactor, 0);
	if (child == 0)
		child_leave(reactor == NULL ? 0 : 1);
	child_ends(child);
	for (int i = 0; i < N_ENDS; i++)
		take(&ends[i]);
	run_turns(reactor, 3);
	for (int i = 0; i < N_ENDS; i++)
		ck_assert_int_eq(
			recv(ends[i].w.peer, &ends[i].got, 1, MSG_DONTWAIT),
			-1);
	close_ends();
}

/* Any part of what it was given, and its own bytes, to anybody. */
static void write_at_random(struct wire *w, const void *data, size_t len)
{
	const char *from = data;
	size_t at, n;

	for (int i = rand() % 6; i > 0; i--) {
		struct end *e = &ends[rand() % N_ENDS];

		at = (size_t)rand() % len;
		n = (size_t)rand() % (len - at) + 1;
		if (rand() % 3 == 0)
			write_to(e, "some bytes of its own", 21);
		else if (e->size + n <= MOST / 2)
			write_to(e, from + at, n);
	}
}

static void fail_at_random(void)
{
	fault_off();
	switch (rand() % 4) {
	case 0:
		fault_call("send", 1 + (unsigned)rand() % 3, EAGAIN);
		fault_call("sendmsg", 1, EAGAIN);
		break;
	case 1:
		fault_short("send", 2, 1 + (size_t)rand() % 10000);
		fault_short("sendmsg", 1, 1 + (size_t)rand() % 10000);
		break;
	}
}

TEST(whatever_is_written_arrives, ON_EACH_BACKEND, TIMES(10))
{
	srand(4711 + (unsigned)_i);
	open_ends(write_at_random);
	for (size_t i = 0, at = 0, n; i < 100; i++, at += n) {
		n = 1 + (size_t)rand() % (i % 4 == 0 ? 150000 : 20000);
		fail_at_random();
		say(at, n);
		if (rand() % 2)
			take(&ends[rand() % N_ENDS]);
	}
	run_turns(reactor, 10);
	for (int i = 0; i < N_ENDS; i++)
		take(&ends[i]);
	close_ends();
}

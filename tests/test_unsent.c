/*
 * How much unsent output there may be, of one connection and of all: counted
 * by the memory that it holds.  On sockets whose kernel takes nothing, and on
 * a testing reactor whose peers take nothing.
 */
#include <malloc.h>
#include <stdio.h>

#include <plait/testing.h>

#include "reactor/net/protocol.h"
#include "reactor/net/tcp.h"
#include "tests/wire.h"

enum { KIB = 1024, MIB = 1024 * 1024 };

/* A connection whose peer takes nothing. */
struct deaf {
	struct plait_factory factory;
	struct plait_transport *transport; /* NULL: lost */
	int peer;
	unsigned lost;
	char why[128];
};

static void deaf_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	struct deaf *d = plait_self(p->factory, struct deaf);

	d->lost++;
	d->transport = NULL;
	plait_failure_str(why, d->why, sizeof(d->why));
}

static const struct plait_protocol_ops deaf_ops = {
	.name = "deaf",
	.connection_lost = deaf_lost,
};

static void open_socket(struct deaf *d)
{
	struct plait_address nobody = { .family = 0 };
	struct wire w = { .unix_pair = true };
	int fd = wire_sockets(&w, reactor, &nobody);

	d->peer = w.peer;
	d->transport = plait_i_stream_new(&plait_i_tcp_stream_io, reactor, fd,
					  &nobody, NULL);
	ck_assert_ptr_nonnull(d->transport);
	plait_transport_made(d->transport, plait_factory_build_protocol(
						   &d->factory, &nobody));
}

static void open_deaf(struct deaf *d)
{
	*d = (struct deaf){ .factory.protocol = &deaf_ops, .peer = -1 };
	if (backend != NULL) {
		open_socket(d);
		return;
	}
	d->transport = plait_testing_connect(reactor, &d->factory);
	ck_assert_ptr_nonnull(d->transport);
	plait_testing_set_window(d->transport, 0);
}

static void close_deaf(struct deaf *d)
{
	if (d->transport != NULL)
		plait_transport_abort_connection(d->transport);
	run_turns(reactor, 2);
	ck_assert_uint_eq(d->lost, 1);
	if (d->peer >= 0)
		peer_close(d->peer);
}

static void begin(size_t max_unsent, size_t max_unsent_total)
{
	struct plait_limits limits = {
		.max_unsent = max_unsent,
		.max_unsent_total = max_unsent_total,
	};

	plait_reactor_set_limits(reactor, &limits);
	fault_call_forever("send", EAGAIN);
	fault_call_forever("sendmsg", EAGAIN);
}

static void write_bytes(struct deaf *d, size_t n)
{
	void *bytes = calloc(1, n);

	plait_transport_write(d->transport, bytes, n);
	free(bytes);
}

static struct plait_buf *buf_of(size_t n)
{
	void *bytes = calloc(1, n);
	struct plait_buf *b = plait_buf_copy(bytes, n);

	ck_assert_ptr_nonnull(b);
	free(bytes);
	return b;
}

static bool is_ending(const struct deaf *d)
{
	return d->transport == NULL ||
	       plait_transport_is_disconnecting(d->transport);
}

/* Of one connection. */

TEST(buffers_of_any_size_hold_no_more_than_the_limit, ON_EACH_REACTOR, TIMES(7))
{
	static const size_t sizes[] = { 1, 16, 100, 256, 257, 1000, 30000 };
	struct plait_buf *b = buf_of(sizes[_i]);
	size_t before, most = 0;
	struct deaf d;

	begin(MIB, 0);
	open_deaf(&d);
	before = heap_live_bytes();
	while (!is_ending(&d)) {
		if (heap_live_bytes() > before + most)
			most = heap_live_bytes() - before;
		plait_transport_write_buf(d.transport, b);
	}
	/* Slabs are cut in pieces of 64 KiB. */
	ck_assert_uint_le(most, MIB + 4 * 64 * KIB);
	run_turns(reactor, 2);
	ck_assert_str_eq(d.why,
			 "ConnectionAborted: more than 1048576 bytes unsent");
	close_deaf(&d);
	plait_buf_unref(&b);
}

/* Small ones are copied, and count only what they hold. */
TEST(buffer_that_is_copied_may_be_as_large_as_the_limit, ON_EACH_REACTOR)
{
	struct plait_buf *b = buf_of(256);
	struct deaf d;

	begin(256, 0);
	open_deaf(&d);
	plait_transport_write_buf(d.transport, b);
	ck_assert(!is_ending(&d));
	plait_transport_write(d.transport, "x", 1);
	ck_assert(is_ending(&d));
	close_deaf(&d);
	plait_buf_unref(&b);
}

/* Of which each holds a large one. */
TEST(little_of_a_large_buffer_counts_as_all_of_it, ON_EACH_REACTOR)
{
	struct plait_buf *b = plait_buf_new(SIZE_MAX);
	struct deaf d;
	void *room;

	ck_assert_int_eq(plait_buf_reserve(b, 400 * KIB, &room), 0);
	memset(room, 0, 600);
	plait_buf_commit(b, 600);
	begin(MIB, 0);
	open_deaf(&d);
	plait_transport_write_buf(d.transport, b);
	ck_assert(!is_ending(&d));
	plait_transport_write_buf(d.transport, b);
	ck_assert(is_ending(&d));
	close_deaf(&d);
	plait_buf_unref(&b);
}

static void hold_reading(struct plait_producer *p)
{
}

/* Whoever else writes to a connection does not heed its producer. */
TEST(the_limit_is_in_force_with_a_producer, ON_EACH_REACTOR)
{
	static const struct plait_producer_ops ops = {
		.pause = hold_reading,
		.resume = hold_reading,
		.stop = hold_reading,
	};
	struct plait_producer p = { .ops = &ops };
	struct deaf d;

	begin(4 * MIB, 0);
	open_deaf(&d);
	plait_transport_register_producer(d.transport, &p, true);
	while (!is_ending(&d)) {
		ck_assert_uint_le(plait_transport_unsent(d.transport), 4 * MIB);
		write_bytes(&d, 64 * KIB);
		run_turns(reactor, 1);
	}
	close_deaf(&d);
	ck_assert_str_eq(d.why,
			 "ConnectionAborted: more than 4194304 bytes unsent");
}

/* Of all. */

static void expect_largest(struct deaf *d)
{
	run_turns(reactor, 2);
	ck_assert_uint_eq(d->lost, 1);
	ck_assert_str_eq(d->why,
			 "ConnectionAborted: more than 10485760 bytes unsent "
			 "on all connections (max_unsent_total)");
}

TEST(over_the_total_the_largest_connection_ends, ON_EACH_REACTOR)
{
	struct deaf d[3];

	begin(0, 10 * MIB);
	for (int i = 0; i < 3; i++)
		open_deaf(&d[i]);
	write_bytes(&d[0], 2 * MIB);
	write_bytes(&d[1], 4 * MIB);
	write_bytes(&d[2], 3 * MIB);
	for (int i = 0; i < 3; i++)
		ck_assert(!is_ending(&d[i]));
	write_bytes(&d[0], 2 * MIB - 64 * KIB);
	/* From the loop, not from inside; but it counts no more. */
	ck_assert(is_ending(&d[1]));
	ck_assert_uint_eq(d[1].lost, 0);
	write_bytes(&d[2], 2 * MIB);
	ck_assert(!is_ending(&d[0]) && !is_ending(&d[2]));
	expect_largest(&d[1]);
	ck_assert_uint_eq(plait_transport_unsent(d[0].transport),
			  4 * MIB - 64 * KIB);
	for (int i = 0; i < 3; i++)
		close_deaf(&d[i]);
	ck_assert_uint_eq(pool_unsent(reactor)->held, 0);
}

TEST(over_the_total_the_writer_may_be_the_largest, ON_EACH_REACTOR)
{
	struct deaf d[2];

	begin(0, 10 * MIB);
	open_deaf(&d[0]);
	open_deaf(&d[1]);
	write_bytes(&d[0], 4 * MIB);
	write_bytes(&d[1], 7 * MIB);
	ck_assert(!is_ending(&d[0]));
	expect_largest(&d[1]);
	/* The next one, too, if that was not enough. */
	write_bytes(&d[0], 11 * MIB);
	expect_largest(&d[0]);
	close_deaf(&d[0]);
	close_deaf(&d[1]);
}

TEST(as_many_end_as_must, ON_EACH_REACTOR)
{
	struct plait_limits limits = { .max_unsent_total = 10 * MIB };
	struct deaf d[5];

	begin(0, 0);
	for (int i = 0; i < 5; i++)
		open_deaf(&d[i]);
	for (int i = 0; i < 4; i++)
		write_bytes(&d[i], (4 + (size_t)i) * MIB);
	plait_reactor_set_limits(reactor, &limits);
	write_bytes(&d[4], 1);
	/* Of 22 MiB, 15 are left and then 9. */
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(is_ending(&d[i]), i == 2 || i == 3);
	for (int i = 0; i < 5; i++)
		close_deaf(&d[i]);
}

/* To each who is slow, the same poem. */
TEST(a_shared_buffer_is_in_the_total_once, ON_EACH_REACTOR)
{
	enum { N = 20 };
	struct plait_buf *poem = buf_of(4 * MIB);
	struct deaf d[N + 1];

	begin(0, 10 * MIB);
	for (int i = 0; i <= N; i++)
		open_deaf(&d[i]);
	for (int i = 0; i < N; i++)
		plait_transport_write_buf(d[i].transport, poem);
	ck_assert_uint_lt(pool_unsent(reactor)->held, 4 * MIB + 100 * KIB);
	/* Its end would give back more than that of each reader of the poem. */
	write_bytes(&d[N], 5 * MIB);
	for (int i = 0; i <= N; i++)
		ck_assert(!is_ending(&d[i]));
	write_bytes(&d[0], 2 * MIB);
	ck_assert(!is_ending(&d[0]));
	expect_largest(&d[N]);
	/* Until no connection has it queued any more. */
	for (int i = 0; i < N; i++) {
		ck_assert_uint_gt(pool_unsent(reactor)->held, 4 * MIB);
		close_deaf(&d[i]);
	}
	ck_assert_uint_eq(pool_unsent(reactor)->held, 0);
	close_deaf(&d[N]);
	plait_buf_unref(&poem);
}

TEST(the_last_who_has_a_buffer_gives_it_back, ON_EACH_REACTOR)
{
	struct plait_buf *poem = buf_of(6 * MIB);
	struct deaf d[3];

	begin(0, 10 * MIB);
	for (int i = 0; i < 3; i++)
		open_deaf(&d[i]);
	plait_transport_write_buf(d[0].transport, poem);
	plait_transport_write_buf(d[1].transport, poem);
	write_bytes(&d[2], 3 * MIB);
	close_deaf(&d[0]);
	write_bytes(&d[2], 2 * MIB);
	expect_largest(&d[1]);
	ck_assert(!is_ending(&d[2]));
	close_deaf(&d[1]);
	close_deaf(&d[2]);
	plait_buf_unref(&poem);
}

TEST(the_total_is_in_force_at_once, ON_EACH_REACTOR)
{
	struct plait_limits limits = { .max_unsent_total = 10 * MIB };
	struct deaf d[2];

	begin(0, 0);
	open_deaf(&d[0]);
	open_deaf(&d[1]);
	write_bytes(&d[0], 20 * MIB);
	plait_reactor_set_limits(reactor, &limits);
	ck_assert(!is_ending(&d[0]));
	write_bytes(&d[1], 1);
	expect_largest(&d[0]);
	ck_assert(!is_ending(&d[1]));
	close_deaf(&d[0]);
	close_deaf(&d[1]);
}

TEST(the_total_is_in_force_for_who_has_room_already, ON_EACH_REACTOR)
{
	struct plait_limits limits = { .max_unsent_total = 10 * MIB };
	struct deaf d[2];

	begin(0, 0);
	open_deaf(&d[0]);
	open_deaf(&d[1]);
	write_bytes(&d[0], 20 * MIB);
	write_bytes(&d[1], 1);
	plait_reactor_set_limits(reactor, &limits);
	write_bytes(&d[1], 1);
	expect_largest(&d[0]);
	ck_assert(!is_ending(&d[1]));
	close_deaf(&d[0]);
	close_deaf(&d[1]);
}

TEST(bytes_that_need_no_memory_add_nothing_to_the_total, ON_EACH_REACTOR)
{
	struct deaf d;

	begin(0, KIB);
	open_deaf(&d);
	write_bytes(&d, 1);
	for (int i = 0; i < KIB / 2; i++)
		write_bytes(&d, 1);
	ck_assert(!is_ending(&d));
	write_bytes(&d, KIB);
	ck_assert(is_ending(&d));
	close_deaf(&d);
}

/* Of a connection that has nothing yet. */
TEST(a_little_counts_in_the_total, ON_EACH_REACTOR)
{
	const size_t block = POOL_BLOCK_SIZE;
	struct deaf d[2];

	begin(0, block + 2 * KIB);
	open_deaf(&d[0]);
	open_deaf(&d[1]);
	write_bytes(&d[0], block / 2);
	ck_assert_uint_gt(pool_unsent(reactor)->held, block - 100);
	write_bytes(&d[1], 3 * KIB);
	ck_assert(is_ending(&d[0]));
	ck_assert(!is_ending(&d[1]));
	close_deaf(&d[0]);
	close_deaf(&d[1]);
}

/* Both are waited for; one has a producer, say, that writes on. */
TEST(what_closes_at_a_shutdown_is_in_the_total, ON_EACH_REACTOR)
{
	struct deaf d[2];

	begin(0, 10 * MIB);
	open_deaf(&d[0]);
	open_deaf(&d[1]);
	write_bytes(&d[0], 9 * MIB);
	write_bytes(&d[1], 1);
	plait_transport_lose_connection(d[0].transport);
	plait_transport_lose_connection(d[1].transport);
	plait_call_later(reactor, 0, call_stop, NULL);
	run_turns(reactor, 2);
	ck_assert_uint_eq(d[0].lost + d[1].lost, 0);
	write_bytes(&d[1], 2 * MIB);
	expect_largest(&d[0]);
	ck_assert_uint_eq(d[1].lost, 0);
	close_deaf(&d[0]);
	close_deaf(&d[1]);
}

/* What one holds is little more than what it owes. */
TEST(a_few_bytes_to_each_of_many_hold_little, ON_EACH_REACTOR)
{
	enum { N = 100 };
	struct deaf d[N];
	size_t before;

	begin(0, 0);
	for (int i = 0; i < N; i++)
		open_deaf(&d[i]);
	before = heap_live_bytes();
	for (int i = 0; i < N; i++)
		plait_transport_write(d[i].transport, "gossip", 6);
	ck_assert_uint_le(pool_unsent(reactor)->held, N * KIB);
	ck_assert_uint_le(heap_live_bytes() - before, (N + 64) * KIB);
	for (int i = 0; i < N; i++)
		close_deaf(&d[i]);
}

/* Giving back. */

TEST(after_a_burst_mappings_are_given_back_at_once, ON_EACH_REACTOR)
{
	struct deaf d[20];
	size_t before;

	begin(0, 0);
	for (int i = 0; i < 20; i++)
		open_deaf(&d[i]);
	before = heap_live_bytes();
	for (int j = 0; j < 100; j++) {
		for (int i = 0; i < 20; i++)
			write_bytes(&d[i], 1 + (size_t)(i * j) * 10);
	}
	for (int i = 0; i < 20; i++)
		close_deaf(&d[i]);
	ck_assert_uint_le(heap_live_bytes(), before + MIB + 3 * 64 * KIB);
}

static struct plait_buf *left;

/* One buffer is left over, at the end of the heap. */
static void write_and_drop_bufs(size_t total, size_t size)
{
	enum { N = 40 };
	struct plait_buf *b;
	struct deaf d[N];

	for (int i = 0; i < N; i++)
		open_deaf(&d[i]);
	for (size_t n = 0; n < total / size; n++) {
		b = buf_of(size);
		plait_transport_write_buf(d[n % N].transport, b);
		plait_buf_unref(&b);
	}
	plait_buf_unref(&left);
	left = buf_of(size);
	for (int i = 0; i < N; i++)
		close_deaf(&d[i]);
}

/* What free() has kept. */
GROUP("sockets");

TEST(half_a_second_after_a_burst_the_heap_is_trimmed_once, ON_EACH_KERNEL)
{
	begin(0, 0);
	write_and_drop_bufs(MIB, 10 * KIB);
	run_for(reactor, 2);
	ck_assert_uint_eq(calls_of("malloc_trim"), 0);
	write_and_drop_bufs(10 * MIB, 10 * KIB);
	write_and_drop_bufs(10 * MIB, 10 * KIB);
	run_for(reactor, 0.4);
	ck_assert_uint_eq(calls_of("malloc_trim"), 0);
	run_for(reactor, 0.2);
	ck_assert_uint_eq(calls_of("malloc_trim"), 1);
	run_for(reactor, 100);
	ck_assert_uint_eq(calls_of("malloc_trim"), 1);
	plait_buf_unref(&left);
}

static size_t resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	size_t pages;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%*u %zu", &pages), 1);
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Sanitizers keep what is freed, to find who uses it. */
TEST(a_second_after_a_burst_memory_is_where_it_was, ON_EACH_KERNEL)
{
	size_t before;

	begin(0, 0);
	write_and_drop_bufs(MIB, 3000);
	run_for(reactor, 1);
	before = resident();
	for (int i = 0; i < 2; i++) {
		write_and_drop_bufs(30 * MIB, 3000);
		write_and_drop_bufs(30 * MIB, 10 * KIB);
		run_for(reactor, 1);
		if (test_mult() == 1)
			ck_assert_uint_le(resident(), before + 4 * MIB);
	}
	plait_buf_unref(&left);
}

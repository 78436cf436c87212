/*
 * The queue of unsent bytes by itself: what is put in comes out, once and in
 * order, however it is cut, and it holds no more memory than it must.
 */
#include "reactor/net/output.h"
#include "tests/wire.h"

enum { MAX_PIECES = 16 };

/* All the bytes that are queued, if they fit; test memory. */
static size_t contents(const struct output *o, unsigned char *to, size_t size)
{
	struct iovec iov[4096];
	size_t len, at = 0;
	int n = plait_i_output_gather(o, iov, 4096, &len);

	ck_assert_uint_eq(len, o->size);
	ck_assert_uint_le(len, size);
	for (int i = 0; i < n; i++) {
		ck_assert_uint_gt(iov[i].iov_len, 0);
		memcpy(to + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	ck_assert_uint_eq(at, len);
	return at;
}

static int pieces_of(const struct output *o)
{
	struct iovec iov[4096];
	size_t len;

	return plait_i_output_gather(o, iov, 4096, &len);
}

/* What a queue of a few pieces holds in blocks. */
enum { SMALL_BLOCK = 1024 };

static size_t held(struct plait_reactor *r)
{
	return pool_unsent(r)->held;
}

static void add(struct output *o, const char *text)
{
	ck_assert_int_eq(plait_i_output_add(o, reactor, text, strlen(text)), 0);
}

static struct plait_buf *buf_of_bytes(size_t n)
{
	unsigned char *bytes = wire_bytes(n);
	struct plait_buf *b = plait_buf_copy(bytes, n);

	ck_assert_ptr_nonnull(b);
	free(bytes);
	return b;
}

GROUP("queue");

TEST(an_empty_one_has_nothing, ON_EACH_KERNEL)
{
	struct output o = { .size = 0 };

	ck_assert_int_eq(pieces_of(&o), 0);
	plait_i_output_consume(&o, reactor, 0);
	plait_i_output_drop(&o, reactor);
	ck_assert_int_eq(plait_i_output_add(&o, reactor, "", 0), 0);
	ck_assert_int_eq(pieces_of(&o), 0);
}

TEST(small_writes_share_a_block, ON_EACH_KERNEL)
{
	struct output o = { .size = 0 };
	unsigned long calls;
	unsigned char all[20000];

	add(&o, "x");
	ck_assert_uint_eq(held(reactor), SMALL_BLOCK);
	calls = heap_calls();
	for (int i = 0; i < 899; i++)
		add(&o, "y");
	ck_assert_uint_eq(heap_calls(), calls);
	ck_assert_int_eq(pieces_of(&o), 1);
	for (int i = 0; i < 9100; i++)
		add(&o, "z");
	ck_assert_int_le(pieces_of(&o), 6);
	ck_assert_uint_eq(contents(&o, all, sizeof(all)), 10000);
	ck_assert_mem_eq(all, "xyyy", 4);
	plait_i_output_drop(&o, reactor);
	ck_assert_uint_eq(o.size, 0);
}

/* Whatever is written, one byte at a time. */
TEST(blocks_are_no_larger_than_what_is_in_them_needs, ON_EACH_KERNEL)
{
	struct output o = { .size = 0 };

	for (size_t n = 1; n <= 1 << 20; n++) {
		add(&o, "x");
		ck_assert_uint_le(held(reactor), SMALL_BLOCK + 5 * n);
		ck_assert_uint_le(held(reactor),
				  n + n / 16 + 3 * POOL_BLOCK_SIZE);
		ck_assert_uint_eq(plait_i_output_cost(&o), n);
	}
	plait_i_output_drop(&o, reactor);
	ck_assert_uint_eq(held(reactor), 0);
}

TEST(a_long_write_takes_as_many_blocks_as_it_needs, ON_EACH_KERNEL)
{
	enum { N = 1000000 };
	struct output o = { .size = 0 };
	unsigned char *in = wire_bytes(N), *out = malloc(N);

	ck_assert_int_eq(plait_i_output_add(&o, reactor, in, N), 0);
	ck_assert_int_le(pieces_of(&o), N / POOL_BLOCK_SIZE + 2);
	ck_assert_uint_eq(contents(&o, out, N), N);
	ck_assert(memcmp(in, out, N) == 0);
	plait_i_output_drop(&o, reactor);
	free(in);
	free(out);
}

enum { LARGE_BUF = 300 };

/* One that is not copied. */
static struct plait_buf *large_buf(void)
{
	unsigned char *bytes = wire_bytes(LARGE_BUF);
	struct plait_buf *b = plait_buf_copy(bytes, LARGE_BUF);

	ck_assert_ptr_nonnull(b);
	free(bytes);
	return b;
}

TEST(a_small_buffer_is_copied, ON_EACH_KERNEL)
{
	struct output o = { .size = 0 };
	struct plait_buf *b = plait_buf_copy("a poem", 6);
	unsigned char all[32];

	add(&o, "<");
	ck_assert_int_eq(plait_i_output_add_buf(&o, reactor, b), 0);
	add(&o, ">");
	ck_assert_int_ne(plait_buf_append(b, "x", 1), -EBUSY);
	ck_assert_int_eq(pieces_of(&o), 1);
	ck_assert_uint_eq(plait_i_output_cost(&o), 8);
	ck_assert_uint_eq(contents(&o, all, sizeof(all)), 8);
	ck_assert_mem_eq(all, "<a poem>", 8);
	plait_i_output_drop(&o, reactor);
	plait_buf_unref(&b);
}

/* A little of a large buffer holds all of it, and what is sent of it too. */
TEST(a_buffer_costs_all_its_memory, ON_EACH_KERNEL)
{
	struct output o = { .size = 0 };
	struct plait_buf *b = plait_buf_new(SIZE_MAX);
	void *room;
	size_t before;

	ck_assert_int_eq(plait_buf_reserve(b, 100000, &room), 0);
	memset(room, 'x', LARGE_BUF);
	plait_buf_commit(b, LARGE_BUF);
	ck_assert_int_eq(plait_i_output_add_buf(&o, reactor, b), 0);
	ck_assert_uint_eq(o.size, LARGE_BUF);
	ck_assert_uint_ge(plait_i_output_cost(&o), 100000);
	before = held(reactor);
	ck_assert_uint_ge(before, 100000);
	plait_i_output_consume(&o, reactor, LARGE_BUF - 1);
	ck_assert_uint_ge(plait_i_output_cost(&o), 100000);
	ck_assert_uint_eq(held(reactor), before);
	plait_i_output_consume(&o, reactor, 1);
	ck_assert_uint_eq(plait_i_output_cost(&o), 0);
	ck_assert_uint_eq(held(reactor), 0);
	plait_buf_unref(&b);
}

TEST(a_buffer_of_several_is_held_once_and_costs_each, ON_EACH_KERNEL)
{
	enum { N = 3 };
	struct output o[N] = { { .size = 0 } };
	struct plait_buf *b = large_buf();
	size_t one = plait_i_output_cost_of_buf(b);

	for (int i = 0; i < N; i++) {
		ck_assert_int_eq(plait_i_output_add_buf(&o[i], reactor, b), 0);
		ck_assert_int_eq(plait_i_output_add_buf(&o[i], reactor, b), 0);
		ck_assert_uint_eq(plait_i_output_cost(&o[i]), 2 * one);
		ck_assert_uint_lt(plait_i_output_adds_of_buf(b, reactor),
				  LARGE_BUF);
	}
	ck_assert_uint_lt(held(reactor), N * SMALL_BLOCK + one);
	for (int i = 0; i < N; i++) {
		bool last = i == N - 1;

		ck_assert_uint_eq(plait_i_output_gives_back(&o[i], reactor) >
					  SMALL_BLOCK,
				  last);
		plait_i_output_drop(&o[i], reactor);
	}
	ck_assert_uint_eq(held(reactor), 0);
	plait_buf_unref(&b);
}

/* The second reactor counts what the first has as well, each time. */
TEST(a_buffer_in_two_reactors_counts_in_both, ON_EACH_KERNEL)
{
	struct output o[2] = { { .size = 0 } };
	struct plait_reactor *second = test_reactor_new();
	struct plait_reactor *r[2] = { reactor, second };
	struct plait_buf *b = large_buf();

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(plait_i_output_add_buf(&o[i % 2], r[i % 2], b),
				 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_gt(plait_i_output_gives_back(&o[i], r[i]),
				  SMALL_BLOCK);
		ck_assert_uint_eq(plait_i_output_gives_back(&o[i], r[i]),
				  held(r[i]));
	}
	for (int i = 0; i < 2; i++) {
		plait_i_output_drop(&o[i], r[i]);
		ck_assert_uint_eq(held(r[i]), 0);
		ck_assert_int_eq(plait_i_output_add_buf(&o[1], second, b), 0);
	}
	plait_i_output_drop(&o[1], second);
	ck_assert_uint_eq(held(second), 0);
	plait_buf_unref(&b);
	plait_reactor_free(&second);
}

/* Once the first has let go, it is nobody's, and the second looks only. */
TEST(what_an_end_would_give_back_changes_nothing, ON_EACH_KERNEL)
{
	struct output o[2] = { { .size = 0 } };
	struct plait_reactor *second = test_reactor_new();
	struct plait_buf *b = large_buf();
	size_t before;

	ck_assert_int_eq(plait_i_output_add_buf(&o[0], reactor, b), 0);
	ck_assert_int_eq(plait_i_output_add_buf(&o[1], second, b), 0);
	ck_assert_int_eq(plait_i_output_add_buf(&o[1], second, b), 0);
	plait_i_output_drop(&o[0], reactor);
	before = held(second);
	ck_assert_uint_eq(plait_i_output_gives_back(&o[1], second), before);
	ck_assert_uint_eq(plait_i_output_gives_back(&o[1], second), before);
	plait_i_output_drop(&o[1], second);
	ck_assert_uint_eq(held(second), 0);
	plait_buf_unref(&b);
	plait_reactor_free(&second);
}

TEST(a_buffer_is_queued_without_a_copy, ON_EACH_KERNEL)
{
	struct output o = { .size = 0 };
	struct plait_buf *b = large_buf();
	struct iovec iov[2];
	size_t len;

	ck_assert_int_eq(plait_i_output_add_buf(&o, reactor, b), 0);
	ck_assert_int_eq(plait_i_output_gather(&o, iov, 2, &len), 1);
	ck_assert_ptr_eq(iov[0].iov_base, plait_buf_data(b));
	ck_assert_int_eq(plait_buf_append(b, "x", 1), -EBUSY);
	plait_i_output_consume(&o, reactor, LARGE_BUF - 1);
	ck_assert_int_eq(plait_buf_append(b, "x", 1), -EBUSY);
	plait_i_output_consume(&o, reactor, 1);
	ck_assert_int_ne(plait_buf_append(b, "x", 1), -EBUSY);
	plait_buf_unref(&b);
}

TEST(a_buffer_outlives_who_wrote_it, ON_EACH_KERNEL)
{
	struct output o = { .size = 0 };
	struct plait_buf *b = plait_buf_copy("a poem", 6);
	unsigned char all[6];

	ck_assert_int_eq(plait_i_output_add_buf(&o, reactor, b), 0);
	plait_buf_unref(&b);
	ck_assert_uint_eq(contents(&o, all, sizeof(all)), 6);
	ck_assert_mem_eq(all, "a poem", 6);
	plait_i_output_drop(&o, reactor);
}

TEST(copies_and_buffers_keep_their_order, ON_EACH_KERNEL)
{
	enum { SIZE = 3 + 2 * LARGE_BUF + 5 };
	struct output o = { .size = 0 };
	struct plait_buf *b = large_buf();
	unsigned char all[SIZE + 1];

	add(&o, "one");
	ck_assert_int_eq(plait_i_output_add_buf(&o, reactor, b), 0);
	ck_assert_int_eq(plait_i_output_add_buf(&o, reactor, b), 0);
	add(&o, "three");
	ck_assert_int_eq(pieces_of(&o), 4);
	ck_assert_uint_lt(held(reactor), SMALL_BLOCK + 2 * LARGE_BUF);
	ck_assert_uint_eq(contents(&o, all, sizeof(all)), SIZE);
	ck_assert_mem_eq(all, "one", 3);
	ck_assert_mem_eq(all + 3, plait_buf_data(b), LARGE_BUF);
	ck_assert_mem_eq(all + 3 + LARGE_BUF, plait_buf_data(b), LARGE_BUF);
	ck_assert_mem_eq(all + SIZE - 5, "three", 5);
	plait_i_output_consume(&o, reactor, 3 + LARGE_BUF + 1);
	add(&o, "!");
	ck_assert_uint_eq(contents(&o, all, sizeof(all)), LARGE_BUF + 5);
	ck_assert_mem_eq(all, (char *)plait_buf_data(b) + 1, LARGE_BUF - 1);
	ck_assert_mem_eq(all + LARGE_BUF - 1, "three!", 6);
	plait_i_output_drop(&o, reactor);
	plait_buf_unref(&b);
}

TEST(no_more_pieces_are_gathered_than_fit, ON_EACH_KERNEL)
{
	struct output o = { .size = 0 };
	struct plait_buf *b = large_buf();
	struct iovec iov[MAX_PIECES];
	size_t len;

	for (int i = 0; i < 3 * MAX_PIECES; i++)
		ck_assert_int_eq(plait_i_output_add_buf(&o, reactor, b), 0);
	ck_assert_int_eq(plait_i_output_gather(&o, iov, MAX_PIECES, &len),
			 MAX_PIECES);
	ck_assert_uint_eq(len, LARGE_BUF * MAX_PIECES);
	plait_i_output_consume(&o, reactor, len);
	ck_assert_int_eq(pieces_of(&o), 2 * MAX_PIECES);
	plait_i_output_drop(&o, reactor);
	plait_buf_unref(&b);
}

/* Of an endless stream, in the read buffer: that, or elsewhere. */
static void *stream_bytes(size_t at, size_t len, bool in_read_buffer)
{
	unsigned char *to = in_read_buffer ? plait_i_pool_read_buffer(reactor)
					   : malloc(len);

	ck_assert_ptr_nonnull(to);
	for (size_t i = 0; i < len; i++)
		to[i] = wire_byte(at + i);
	return to;
}

/* Some bytes go in: a copy, a buffer, or borrowed. */
static void add_somehow(struct output *o, size_t at, size_t len)
{
	int how = rand() % 3;
	void *bytes = stream_bytes(at, len, how == 2);
	struct plait_buf *b;

	switch (how) {
	case 0:
		ck_assert_int_eq(plait_i_output_add(o, reactor, bytes, len), 0);
		break;
	case 1:
		b = plait_buf_copy(bytes, len);
		ck_assert_int_eq(plait_i_output_add_buf(o, reactor, b), 0);
		plait_buf_unref(&b);
		break;
	case 2:
		ck_assert_int_eq(plait_i_output_borrow(o, reactor, bytes, len),
				 0);
		return;
	}
	free(bytes);
}

/* What is taken out is always what comes next of one endless stream. */
TEST(any_mixture_comes_out_as_it_went_in, ON_EACH_KERNEL, TIMES(3))
{
	enum { N = 3000, MOST = 70000 };
	struct output o = { .size = 0 };
	unsigned char *all = malloc(N * MOST / 8);
	size_t in = 0, out = 0;

	srand(42 + (unsigned)_i);
	for (int i = 0; i < N; i++) {
		size_t len = (size_t)rand() % (i % 10 ? 200 : MOST) + 1;

		add_somehow(&o, in, len);
		in += len;
		if (rand() % 4 == 0)
			ck_assert_int_eq(plait_i_output_keep(&o, reactor), 0);
		len = contents(&o, all, N * MOST / 8);
		len = len > 0 ? (size_t)rand() % (len + 1) : 0;
		for (size_t j = 0; j < len; j += len / 16 + 1)
			ck_assert_uint_eq(all[j], wire_byte(out + j));
		plait_i_output_consume(&o, reactor, len);
		out += len;
		ck_assert_uint_eq(o.size, in - out);
	}
	plait_i_output_drop(&o, reactor);
	ck_assert_uint_eq(held(reactor), 0);
	free(all);
}

static bool append(struct output *o, const char *text, size_t max)
{
	const struct iovec pieces[] = {
		{ (void *)(uintptr_t)text, strlen(text) },
		{ NULL, 0 },
		{ (void *)(uintptr_t) "\n", 1 },
	};

	return plait_i_output_append(o, pieces, 3, strlen(text) + 1, max);
}

/* Of any size that is less than that of a block. */
TEST(a_queue_may_begin_with_pieces, ON_EACH_BACKEND)
{
	enum { MOST = 5000 };
	unsigned char *bytes = wire_bytes(MOST), all[MOST];

	for (size_t n = 2; n < MOST; n++) {
		const struct iovec pieces[] = { { bytes, n / 2 },
						{ NULL, 0 },
						{ bytes + n / 2, n - n / 2 } };
		struct output o = { .size = 0 };

		ck_assert_int_eq(
			plait_i_output_begin(&o, reactor, pieces, 3, n), 0);
		ck_assert_int_eq(pieces_of(&o), 1);
		ck_assert_uint_eq(contents(&o, all, MOST), n);
		ck_assert_mem_eq(all, bytes, n);
		add(&o, "and so on");
		ck_assert_uint_eq(plait_i_output_cost(&o), n + 9);
		plait_i_output_drop(&o, reactor);
		ck_assert_uint_eq(held(reactor), 0);
	}
	free(bytes);
}

TEST(without_memory_a_queue_does_not_begin, ON_EACH_BACKEND)
{
	const struct iovec piece = { (void *)(uintptr_t) "x", 1 };
	struct output o = { .size = 0 };

	fault_alloc_at(0, true);
	ck_assert_int_eq(plait_i_output_begin(&o, reactor, &piece, 1, 1),
			 -ENOMEM);
	fault_alloc_off();
	ck_assert_int_eq(pieces_of(&o), 0);
	ck_assert_int_eq(plait_i_output_begin(&o, reactor, &piece, 1, 1), 0);
	plait_i_output_drop(&o, reactor);
}

TEST(pieces_are_appended_if_they_need_no_memory, ON_EACH_BACKEND)
{
	struct output o = { .size = 0 };
	struct plait_buf *b = buf_of_bytes(1000);
	unsigned char all[2 * SMALL_BLOCK];
	size_t n;

	ck_assert(!append(&o, "one", SIZE_MAX));
	add(&o, "one");
	ck_assert(append(&o, "two", SIZE_MAX));
	ck_assert_uint_eq(contents(&o, all, sizeof(all)), 7);
	ck_assert_mem_eq(all, "onetwo\n", 7);
	ck_assert_int_eq(pieces_of(&o), 1);
	while (append(&o, "and so on", SIZE_MAX))
		;
	ck_assert_uint_eq(held(reactor), SMALL_BLOCK);
	n = o.size;
	ck_assert_uint_gt(n, SMALL_BLOCK * 8 / 10);
	ck_assert_uint_eq(contents(&o, all, sizeof(all)), n);
	ck_assert_int_eq(plait_i_output_add_buf(&o, reactor, b), 0);
	ck_assert(!append(&o, "x", SIZE_MAX));
	ck_assert_uint_eq(o.size, n + 1000);
	plait_i_output_drop(&o, reactor);
	plait_buf_unref(&b);
}

TEST(pieces_are_appended_up_to_a_limit_of_the_cost, ON_EACH_BACKEND)
{
	struct output o = { .size = 0 };
	struct plait_buf *b = buf_of_bytes(1000);
	size_t cost;

	ck_assert_int_eq(plait_i_output_add_buf(&o, reactor, b), 0);
	add(&o, "one");
	cost = plait_i_output_cost(&o);
	ck_assert(!append(&o, "two", 3));
	ck_assert(!append(&o, "two", cost + 3));
	ck_assert(append(&o, "two", cost + 4));
	ck_assert(!append(&o, "", cost + 4));
	ck_assert_uint_eq(plait_i_output_cost(&o), cost + 4);
	plait_i_output_drop(&o, reactor);
	plait_buf_unref(&b);
}

/* Buffers and copies, behind nothing and behind others. */
TEST(a_queue_goes_behind_another_as_it_is, ON_EACH_KERNEL)
{
	struct output o = { .size = 0 }, more = { .size = 0 };
	unsigned char *thousand = wire_bytes(1000), bytes[4096];
	struct plait_buf *b = plait_buf_copy(thousand, 1000);
	size_t before, cost;

	free(thousand);
	plait_i_output_move(&o, &more);
	ck_assert_int_eq(pieces_of(&o), 0);
	for (int i = 0; i < 2; i++) {
		add(&more, "first");
		ck_assert_int_eq(plait_i_output_add_buf(&more, reactor, b), 0);
		before = held(reactor);
		cost = plait_i_output_cost(&o) + plait_i_output_cost(&more);
		plait_i_output_move(&o, &more);
		ck_assert_int_eq(pieces_of(&more), 0);
		ck_assert_uint_eq(plait_i_output_cost(&o), cost);
		ck_assert_uint_eq(held(reactor), before);
	}
	add(&o, "last");
	ck_assert_uint_eq(contents(&o, bytes, sizeof(bytes)), 2014);
	ck_assert(memcmp(bytes + 1005, "first", 5) == 0);
	ck_assert(memcmp(bytes + 2010, "last", 4) == 0);
	plait_i_output_consume(&o, reactor, 2000);
	plait_i_output_drop(&o, reactor);
	plait_buf_unref(&b);
	ck_assert_uint_eq(held(reactor), 0);
}

TEST(what_was_sent_holds_no_memory, ON_EACH_KERNEL)
{
	struct output o = { .size = 0 };
	struct plait_buf *b = large_buf();
	size_t before;

	add(&o, "the reactor keeps this block");
	plait_i_output_consume(&o, reactor, o.size);
	before = heap_live_bytes();
	add(&o, "so that this one is not new");
	ck_assert_int_eq(plait_i_output_add_buf(&o, reactor, b), 0);
	plait_i_output_consume(&o, reactor, o.size);
	ck_assert_uint_eq(heap_live_bytes(), before);
	ck_assert_ptr_null(o.last);
	ck_assert_ptr_null(o.last);
	ck_assert_uint_eq(held(reactor), 0);
	plait_buf_unref(&b);
}

TEST(no_memory_is_told_and_nothing_leaks, ON_EACH_KERNEL, TIMES(5))
{
	enum { N = 200000 };
	struct output o = { .size = 0 };
	struct plait_buf *b = large_buf();
	unsigned char *bytes = wire_bytes(N);

	fault_alloc_at(0, false);
	ck_assert_int_eq(plait_i_output_add_buf(&o, reactor, b), -ENOMEM);
	ck_assert_ptr_null(o.last);
	fault_alloc_at((unsigned long)_i, true);
	ck_assert_int_eq(plait_i_output_add(&o, reactor, bytes, N), -ENOMEM);
	ck_assert(fault_alloc_reached());
	fault_alloc_off();
	plait_i_output_drop(&o, reactor);
	ck_assert_int_eq(plait_i_output_add(&o, reactor, bytes, N), 0);
	plait_i_output_drop(&o, reactor);
	plait_buf_unref(&b);
	free(bytes);
}

static const char *first_byte(const struct output *o)
{
	struct iovec iov;
	size_t len;

	ck_assert_int_eq(plait_i_output_gather(o, &iov, 1, &len), 1);
	return iov.iov_base;
}

/* Bytes are copied once, and never moved when those before them are sent. */
TEST(the_work_is_linear_in_the_bytes, ON_EACH_KERNEL)
{
	enum { N = 1 << 20 };
	struct output o = { .size = 0 };
	unsigned long calls = heap_calls();
	unsigned elsewhere = 0;
	const char *first;

	plait_i_output_add(&o, reactor, "x", 1);
	for (size_t i = 0; i < N; i++) {
		ck_assert_int_eq(plait_i_output_add(&o, reactor, "x", 1), 0);
		if (i % 3 != 0)
			continue;
		first = first_byte(&o);
		plait_i_output_consume(&o, reactor, 1);
		elsewhere += first_byte(&o) != first + 1;
	}
	/* Only where a block ends, the first of which are small. */
	ck_assert_uint_le(elsewhere, N / POOL_BLOCK_SIZE + 6);
	ck_assert_uint_le(heap_calls() - calls, N / POOL_BLOCK_SIZE + 2);
	plait_i_output_drop(&o, reactor);
}

/* Borrowing out of the read buffer. */

GROUP("borrowed");

enum { MUCH = 10000 };

static void borrow(struct output *o, const void *data, size_t len)
{
	ck_assert_int_eq(plait_i_output_borrow(o, reactor, data, len), 0);
}

TEST(what_lies_in_the_read_buffer_is_queued_without_a_copy, ON_EACH_BACKEND)
{
	struct output o = { .size = 0 };
	char *in = stream_bytes(0, POOL_READ_SIZE, true);

	borrow(&o, in + POOL_READ_SIZE - MUCH, MUCH);
	ck_assert_ptr_eq(first_byte(&o), in + POOL_READ_SIZE - MUCH);
	plait_i_output_consume(&o, reactor, 1);
	ck_assert_ptr_eq(first_byte(&o), in + POOL_READ_SIZE - MUCH + 1);
	plait_i_output_drop(&o, reactor);
	ck_assert_uint_eq(held(reactor), 0);
}

TEST(what_lies_elsewhere_is_copied, ON_EACH_BACKEND)
{
	struct output o = { .size = 0 };
	char *elsewhere = stream_bytes(0, POOL_READ_SIZE, false), *in;

	/* The reactor has read nothing yet. */
	borrow(&o, elsewhere, POOL_READ_SIZE);
	ck_assert_ptr_ne(first_byte(&o), elsewhere);
	plait_i_output_drop(&o, reactor);
	in = stream_bytes(0, POOL_READ_SIZE, true);
	borrow(&o, elsewhere, POOL_READ_SIZE);
	ck_assert_ptr_ne(first_byte(&o), elsewhere);
	ck_assert_ptr_eq(plait_i_pool_read_buffer(reactor), in);
	plait_i_output_drop(&o, reactor);
	free(elsewhere);
}

TEST(what_does_not_end_in_the_read_buffer_is_not_lent, ON_EACH_BACKEND)
{
	char *in = plait_i_pool_read_buffer(reactor);

	ck_assert_ptr_null(plait_i_pool_lend(reactor, in - 1, 2));
	ck_assert_ptr_null(
		plait_i_pool_lend(reactor, in + POOL_READ_SIZE - 1, 2));
	ck_assert_ptr_null(plait_i_pool_lend(reactor, in + POOL_READ_SIZE, 1));
	ck_assert_ptr_null(plait_i_pool_lend(reactor, in + 1, SIZE_MAX));
}

/* What is borrowed counts as a copy does. */
TEST(borrowed_bytes_cost_and_are_held, ON_EACH_BACKEND)
{
	struct output o = { .size = 0 };

	borrow(&o, stream_bytes(0, MUCH, true), MUCH);
	add(&o, "x");
	ck_assert_uint_eq(plait_i_output_cost(&o), MUCH + 1);
	ck_assert_uint_eq(held(reactor), SMALL_BLOCK + MUCH);
	ck_assert_uint_eq(plait_i_output_gives_back(&o, reactor),
			  SMALL_BLOCK + MUCH);
	plait_i_output_consume(&o, reactor, MUCH - 1);
	ck_assert_uint_eq(plait_i_output_cost(&o), 2);
	ck_assert_uint_eq(held(reactor), SMALL_BLOCK + 1);
	plait_i_output_consume(&o, reactor, 1);
	ck_assert_uint_eq(held(reactor), SMALL_BLOCK);
	plait_i_output_drop(&o, reactor);
	ck_assert_uint_eq(held(reactor), 0);
}

/* As often as somebody reads while bytes are lent. */
TEST(borrowed_bytes_stay_while_others_read, ON_EACH_BACKEND)
{
	enum { N = 3 };
	struct output o[N] = { { .size = 0 } };
	unsigned char all[MUCH];
	size_t before;

	plait_i_pool_read_buffer(reactor);
	before = heap_live_bytes();
	for (size_t i = 0; i < N; i++)
		borrow(&o[i], stream_bytes(i * MUCH, MUCH, true), MUCH);
	memset(plait_i_pool_read_buffer(reactor), 0, POOL_READ_SIZE);
	ck_assert_uint_ge(heap_live_bytes(), before + N * POOL_READ_SIZE);
	for (size_t i = 0; i < N; i++) {
		ck_assert_uint_eq(contents(&o[i], all, MUCH), MUCH);
		for (size_t j = 0; j < MUCH; j++)
			ck_assert_uint_eq(all[j], wire_byte(i * MUCH + j));
	}
	for (size_t i = 0; i < N; i++)
		plait_i_output_drop(&o[i], reactor);
	ck_assert_uint_lt(heap_live_bytes(), before + POOL_READ_SIZE);
}

/* Two have parts of the same; each byte is given back once. */
TEST(a_buffer_is_read_into_when_nobody_borrows_from_it, ON_EACH_BACKEND)
{
	struct output o[2] = { { .size = 0 } };
	char *in = stream_bytes(0, POOL_READ_SIZE, true), *other;

	borrow(&o[0], in, MUCH);
	borrow(&o[1], in + MUCH / 2, MUCH);
	plait_i_output_drop(&o[0], reactor);
	other = plait_i_pool_read_buffer(reactor);
	ck_assert_ptr_ne(other, in);
	plait_i_output_drop(&o[1], reactor);
	ck_assert_ptr_eq(plait_i_pool_read_buffer(reactor), other);
}

TEST(without_memory_for_another_buffer_there_is_none, ON_EACH_BACKEND)
{
	struct output o = { .size = 0 };
	char *in = stream_bytes(0, MUCH, true);

	borrow(&o, in, MUCH);
	fault_alloc_at(0, false);
	ck_assert_ptr_null(plait_i_pool_read_buffer(reactor));
	plait_i_output_drop(&o, reactor);
	ck_assert_ptr_eq(plait_i_pool_read_buffer(reactor), in);
}

TEST(pieces_that_lie_side_by_side_are_one, ON_EACH_BACKEND)
{
	struct output o = { .size = 0 };
	char *in = stream_bytes(0, POOL_READ_SIZE, true);

	borrow(&o, in, MUCH);
	borrow(&o, in + MUCH, MUCH);
	ck_assert_int_eq(pieces_of(&o), 1);
	borrow(&o, in + MUCH, MUCH);
	ck_assert_int_eq(pieces_of(&o), 2);
	borrow(&o, in + 3 * MUCH, MUCH);
	ck_assert_int_eq(pieces_of(&o), 3);
	plait_i_output_drop(&o, reactor);
}

/* So that all that a callback writes is sent in one call. */
TEST(behind_much_output_nothing_is_borrowed, ON_EACH_BACKEND)
{
	enum { ONE_SEND = 64, SIZE = 4096 };
	struct output o = { .size = 0 };
	char *in = stream_bytes(0, SIZE, true);

	while (o.size < 512 * SIZE) {
		borrow(&o, in, SIZE);
		add(&o, "x");
	}
	ck_assert_int_lt(pieces_of(&o), ONE_SEND * 2);
	plait_i_output_drop(&o, reactor);
	while (o.size < 32 * SIZE) {
		borrow(&o, in, SIZE);
		add(&o, "x");
	}
	ck_assert_int_lt(pieces_of(&o), ONE_SEND);
	plait_i_output_drop(&o, reactor);
}

/* A part of the first piece, whichever that is, was sent already. */
TEST(what_is_kept_is_copied_in_its_order, ON_EACH_BACKEND, TIMES(3))
{
	enum { SIZE = 2 * MUCH + LARGE_BUF + 8 };
	const size_t sent = _i == 2 ? 6 : 2;
	struct output o = { .size = 0 };
	unsigned char before[SIZE], after[SIZE];
	unsigned char *in = stream_bytes(0, POOL_READ_SIZE, true);
	struct plait_buf *b = large_buf();

	if (_i == 0)
		borrow(&o, in, MUCH);
	add(&o, "copy");
	ck_assert_int_eq(plait_i_output_add_buf(&o, reactor, b), 0);
	if (_i > 0)
		borrow(&o, in, MUCH);
	add(&o, "copy");
	borrow(&o, in + MUCH, MUCH);
	plait_i_output_consume(&o, reactor, sent);
	contents(&o, before, SIZE);
	ck_assert_int_eq(plait_i_output_keep(&o, reactor), 0);
	ck_assert_ptr_eq(plait_i_pool_read_buffer(reactor), in);
	memset(in, 0, POOL_READ_SIZE);
	ck_assert_uint_eq(contents(&o, after, SIZE), SIZE - sent);
	ck_assert_mem_eq(before, after, o.size);
	plait_i_output_drop(&o, reactor);
	ck_assert_uint_eq(held(reactor), 0);
	plait_buf_unref(&b);
}

TEST(keeping_what_is_not_borrowed_changes_nothing, ON_EACH_BACKEND)
{
	struct output o = { .size = 0 };
	const char *first;

	ck_assert_int_eq(plait_i_output_keep(&o, reactor), 0);
	add(&o, "a copy");
	first = first_byte(&o);
	ck_assert_int_eq(plait_i_output_keep(&o, reactor), 0);
	ck_assert_ptr_eq(first_byte(&o), first);
	plait_i_output_drop(&o, reactor);
}

TEST(what_is_borrowed_moves_with_its_queue, ON_EACH_BACKEND)
{
	struct output o = { .size = 0 }, more = { .size = 0 };
	unsigned char *in = stream_bytes(0, POOL_READ_SIZE, true);
	unsigned char all[2 * MUCH];
	size_t before;

	borrow(&o, in, MUCH);
	borrow(&more, in + MUCH, MUCH);
	before = held(reactor);
	plait_i_output_move(&o, &more);
	ck_assert_uint_eq(held(reactor), before);
	ck_assert_uint_eq(plait_i_output_gives_back(&o, reactor), before);
	ck_assert_int_eq(plait_i_output_keep(&o, reactor), 0);
	ck_assert_uint_eq(contents(&o, all, sizeof(all)), 2 * MUCH);
	ck_assert_mem_eq(all, in, 2 * MUCH);
	plait_i_output_drop(&o, reactor);
	ck_assert_uint_eq(held(reactor), 0);
}

TEST(no_memory_to_borrow_or_keep_is_told_and_nothing_leaks, ON_EACH_BACKEND,
     TIMES(3))
{
	struct output o = { .size = 0 };
	char *in = stream_bytes(0, POOL_READ_SIZE, true);

	fault_alloc_at(0, false);
	ck_assert_int_eq(plait_i_output_borrow(&o, reactor, in, MUCH), -ENOMEM);
	ck_assert_uint_eq(held(reactor), 0);
	borrow(&o, in, POOL_READ_SIZE);
	fault_alloc_at((unsigned long)_i, true);
	ck_assert_int_eq(plait_i_output_keep(&o, reactor), -ENOMEM);
	fault_alloc_off();
	ck_assert_ptr_eq(plait_i_pool_read_buffer(reactor), in);
	plait_i_output_drop(&o, reactor);
	ck_assert_uint_eq(held(reactor), 0);
}

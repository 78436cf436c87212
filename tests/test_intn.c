/*
 * Receivers of strings after their length: prefixes of each width, the limit,
 * pause and close in the middle of a chunk, and what they keep.
 * tests/test_vectors.c holds them against Twisted's.
 */
#include <signal.h>
#include <stdint.h>

#include <plait/testing.h>

#include "tests/harness.h"
#include "tests/trace.h"

static void (*on_string)(struct plait_intn_receiver *p, const char *data,
			 size_t len);

static struct plait_transport *transport;
static struct plait_intn_receiver *receiver;

static void string_received(struct plait_intn_receiver *p, const void *data,
			    size_t len)
{
	trace_bytes("string", data, len);
	if (on_string != NULL)
		on_string(p, data, len);
}

static void length_limit_exceeded(struct plait_intn_receiver *p, size_t len)
{
	trace_add("limit(%zu)", len);
}

#define OPS(n)                                                                 \
	{                                                                      \
		.base = { PLAIT_INTN_RECEIVER, .name = "intn",                 \
			  .size = sizeof(struct plait_intn_receiver) },        \
		.prefix = (n), .string_received = string_received,             \
		.length_limit_exceeded = length_limit_exceeded                 \
	}

static const struct plait_intn_receiver_ops ops[] = { OPS(0), OPS(1), OPS(2),
						      OPS(3), OPS(4), OPS(5) };

static const struct plait_intn_receiver_ops deaf_ops = {
	.base = { PLAIT_INTN_RECEIVER, .name = "deaf",
		  .size = sizeof(struct plait_intn_receiver) },
	.prefix = 1,
};

static void connect_with(const struct plait_intn_receiver_ops *o)
{
	static struct plait_factory f;

	f.protocol = &o->base;
	plait_reactor_free(&reactor);
	reactor = plait_testing_reactor_new();
	transport = plait_testing_connect(reactor, &f);
	receiver = plait_self(plait_testing_protocol(transport),
			      struct plait_intn_receiver);
}

static void feed(const void *data, size_t len)
{
	plait_intn_receiver_data_received(&receiver->base, data, len);
}

/* For input that is a literal with bytes of any value. */
#define say(literal) feed(literal, sizeof(literal) - 1)

static void feed_in_pieces(const char *data, size_t len, size_t piece)
{
	for (size_t at = 0; at < len; at += piece)
		feed(data + at, piece < len - at ? piece : len - at);
}

GROUP("strings");

TEST(strings_come_in_order_however_they_are_cut, PURE, FROM_TO(1, 20))
{
	static const char one[] = "\5hello\0\1x", two[] = "\0\5hello\0\0\0\1x",
			  four[] = "\0\0\0\5hello\0\0\0\0\0\0\0\1x";

	connect_with(&ops[1]);
	feed_in_pieces(one, sizeof(one) - 1, (size_t)_i);
	assert_trace("string(hello) string() string(x)");
	connect_with(&ops[2]);
	feed_in_pieces(two, sizeof(two) - 1, (size_t)_i);
	assert_trace("string(hello) string() string(x)");
	connect_with(&ops[4]);
	feed_in_pieces(four, sizeof(four) - 1, (size_t)_i);
	assert_trace("string(hello) string() string(x)");
}

TEST(prefix_is_four_bytes_by_default, PURE)
{
	connect_with(&ops[0]);
	say("\0\0\0\1x");
	assert_trace("string(x)");
}

TEST(strange_prefix_aborts, PURE, TIMES(2), ABORTS)
{
	connect_with(&ops[_i == 0 ? 3 : 5]);
	say("\0\0\0\0\0\0\0\0");
}

GROUP("limits");

TEST(limit_is_exact_however_it_is_cut, PURE, FROM_TO(1, 25))
{
	static const char text[] = "\0\0\0\3abc\0\0\0\4abcd\0\0\0\5abcde";

	connect_with(&ops[4]);
	receiver->max_length = 4;
	feed_in_pieces(text, sizeof(text) - 1, (size_t)_i);
	assert_trace("string(abc) string(abcd) limit(5)");
	ck_assert(plait_transport_is_disconnecting(transport));
	say("\0\0\0\1x");
	assert_trace("");
}

TEST(default_limit_is_twisteds, PURE)
{
	connect_with(&ops[4]);
	say("\x00\x01\x86\x9f"); /* 99,999 */
	assert_trace("");
	connect_with(&ops[4]);
	say("\x00\x01\x86\xa0");
	assert_trace("limit(100000)");
}

TEST(largest_length_is_refused_and_allocates_nothing, PURE)
{
	unsigned long calls;

	connect_with(&ops[4]);
	calls = heap_calls();
	say("\xff\xff\xff\xff");
	ck_assert_uint_eq(heap_calls(), calls);
	assert_trace("limit(4294967295)");
}

TEST(largest_length_that_is_allowed_allocates_what_comes, PURE)
{
	unsigned long calls;

	connect_with(&ops[4]);
	receiver->max_length = SIZE_MAX;
	calls = heap_calls();
	say("\xff\xff\xff\xff");
	ck_assert_uint_eq(heap_calls(), calls);
	say("some bytes");
	ck_assert_uint_lt(heap_live_bytes(), 100000);
	assert_trace("");
}

TEST(refused_without_a_callback_closes_too, PURE)
{
	connect_with(&deaf_ops);
	receiver->max_length = 3;
	say("\1x");
	ck_assert(!plait_transport_is_disconnecting(transport));
	say("\4");
	ck_assert(plait_transport_is_disconnecting(transport));
}

TEST(nothing_is_kept_between_strings, PURE)
{
	unsigned long before;

	connect_with(&ops[1]);
	before = heap_live();
	say("\3a");
	say("bc");
	ck_assert_uint_eq(heap_live(), before);
	assert_trace("string(abc)");
}

static void obey(struct plait_intn_receiver *p, const char *data, size_t len)
{
	if (len > 0 && data[0] == 'C')
		plait_transport_lose_connection(p->base.transport);
	else if (len > 0 && data[0] == 'A')
		plait_transport_abort_connection(p->base.transport);
	else if (len > 0 && data[0] == 'P')
		plait_intn_receiver_pause(p);
	if (len > 1 && data[1] == 'R')
		plait_intn_receiver_resume(p);
}

GROUP("ends");

/* Twisted delivers the rest of the chunk. */
TEST(nothing_comes_after_a_close, PURE, TIMES(2))
{
	on_string = obey;
	connect_with(&ops[1]);
	if (_i == 0)
		say("\1a\1C\1b");
	else
		say("\1a\1A\1b");
	ck_assert_ptr_null(strstr(trace(), "string(b)"));
	plait_testing_advance(reactor, 0);
	ck_assert_int_eq(plait_testing_is_aborted(transport), _i);
}

TEST(pause_holds_the_rest_of_the_chunk, PURE)
{
	on_string = obey;
	connect_with(&ops[1]);
	say("\1P\2PR\1P\1a\2b");
	assert_trace("string(P)");
	plait_intn_receiver_resume(receiver);
	assert_trace("string(PR) string(P)");
	plait_intn_receiver_resume(receiver);
	assert_trace("string(a)");
	say("c");
	assert_trace("string(bc)");
}

static void assert_written(const char *data, size_t len)
{
	const struct plait_buf *b = plait_testing_written(transport);

	ck_assert_uint_eq(plait_buf_size(b), len);
	ck_assert_mem_eq(plait_buf_data(b), data, len);
}

GROUP("strings");

TEST(sent_string_has_its_length, PURE)
{
	connect_with(&ops[1]);
	ck_assert_int_eq(plait_intn_receiver_send(receiver, "abc", 3), 0);
	ck_assert_int_eq(plait_intn_receiver_send(receiver, NULL, 0), 0);
	assert_written("\3abc\0", 5);
	connect_with(&ops[2]);
	ck_assert_int_eq(plait_intn_receiver_send(receiver, "abc", 3), 0);
	assert_written("\0\3abc", 5);
	connect_with(&ops[4]);
	ck_assert_int_eq(plait_intn_receiver_send(receiver, "abc", 3), 0);
	assert_written("\0\0\0\3abc", 7);
}

TEST(what_the_prefix_cannot_say_is_not_sent, PURE)
{
	static const char text[65536];

	connect_with(&ops[1]);
	ck_assert_int_eq(plait_intn_receiver_send(receiver, text, 256),
			 -EMSGSIZE);
	assert_written("", 0);
	ck_assert_int_eq(plait_intn_receiver_send(receiver, text, 255), 0);
	connect_with(&ops[2]);
	ck_assert_int_eq(plait_intn_receiver_send(receiver, text, 65536),
			 -EMSGSIZE);
	assert_written("", 0);
	ck_assert_int_eq(plait_intn_receiver_send(receiver, text, 65535), 0);
}

TEST(sending_before_the_connection_is_nothing, PURE)
{
	struct plait_protocol *p = plait_protocol_new(&ops[1].base);

	ck_assert_int_eq(
		plait_intn_receiver_send(
			plait_self(p, struct plait_intn_receiver), "x", 1),
		0);
	plait_protocol_free(&p);
}

GROUP("ends");

TEST(no_memory_aborts_and_leaks_nothing, PURE, TIMES(2))
{
	bool reached = true;
	unsigned long n;

	on_string = obey;
	for (n = 0; reached; n++) {
		connect_with(&ops[2]);
		fault_alloc_at(n, _i == 1);
		say("\0");
		say("\x64");
		for (int i = 0; i < 10; i++)
			say("0123456789");
		say("\0\1P\0\1a\0\2b");
		plait_intn_receiver_resume(receiver);
		reached = fault_alloc_reached();
		fault_alloc_off();
		plait_testing_advance(reactor, 0);
		ck_assert_int_eq(plait_testing_is_aborted(transport), reached);
	}
	ck_assert_uint_gt(n, 4);
}

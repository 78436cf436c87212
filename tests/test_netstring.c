/*
 * Netstring receivers: the grammar, the limit, pause and close in the middle
 * of a chunk, and what they keep.  tests/test_vectors.c holds them against
 * Twisted's.
 */
#include <stdint.h>

#include <plait/testing.h>

#include "tests/harness.h"
#include "tests/trace.h"

static void (*on_string)(struct plait_netstring_receiver *p, const char *data,
			 size_t len);

static struct plait_transport *transport;
static struct plait_netstring_receiver *receiver;

static void string_received(struct plait_netstring_receiver *p,
			    const void *data, size_t len)
{
	trace_bytes("string", data, len);
	if (on_string != NULL)
		on_string(p, data, len);
}

static void parse_failed(struct plait_netstring_receiver *p)
{
	trace_add("fail");
}

static const struct plait_netstring_receiver_ops ops = {
	.base = { PLAIT_NETSTRING_RECEIVER, .name = "netstring",
		  .size = sizeof(struct plait_netstring_receiver) },
	.string_received = string_received,
	.parse_failed = parse_failed,
};

static const struct plait_netstring_receiver_ops deaf_ops = {
	.base = { PLAIT_NETSTRING_RECEIVER, .name = "deaf",
		  .size = sizeof(struct plait_netstring_receiver) },
};

static void connect_with(const struct plait_netstring_receiver_ops *o)
{
	static struct plait_factory f;

	f.protocol = &o->base;
	plait_reactor_free(&reactor);
	reactor = plait_testing_reactor_new();
	transport = plait_testing_connect(reactor, &f);
	receiver = plait_self(plait_testing_protocol(transport),
			      struct plait_netstring_receiver);
}

static void feed(const void *data, size_t len)
{
	plait_netstring_receiver_data_received(&receiver->base, data, len);
}

static void say(const char *text)
{
	feed(text, strlen(text));
}

GROUP("grammar");

TEST(strings_come_in_order_however_they_are_cut, PURE, FROM_TO(1, 33))
{
	static const char text[] = "5:hello,0:,12:hello, world,1:,,";
	size_t piece = (size_t)_i, len = sizeof(text) - 1;

	connect_with(&ops);
	for (size_t at = 0; at < len; at += piece)
		feed(text + at, piece < len - at ? piece : len - at);
	assert_trace("string(hello) string() string(hello, world) string(,)");
	ck_assert(!plait_transport_is_disconnecting(transport));
}

/* Each with what Twisted says of it, too. */
static const char *const refused[] = {
	"00:,",
	"01:a,",
	"007:abcdefg,",
	"+1:a,",
	"-1:a,",
	" 1:a,",
	"1 :a,",
	":",
	",",
	"x",
	"1x:a,",
	"0x1:a,",
	"1:ab",
	"0:x",
	"2:a,b",
	"5:abcdefgh",
	"100000",
	"99999999999999999999999999",
	"18446744073709551617:a,",
};

TEST(what_is_no_netstring_closes, PURE, EACH_PAIR(2, N_OF(refused)))
{
	const char *text = refused[_i / 2];

	connect_with(&ops);
	for (size_t i = 0; _i % 2 == 1 && text[i] != '\0'; i++)
		feed(text + i, 1);
	if (_i % 2 == 0)
		say(text);
	say("1:a,");
	assert_trace("fail");
	ck_assert(plait_transport_is_disconnecting(transport));
}

/* Twisted waits for one more byte here: "$" matches before a newline. */
TEST(newline_after_the_length_closes, PURE)
{
	connect_with(&ops);
	say("12\n");
	assert_trace("fail");
}

TEST(length_alone_waits, PURE, TIMES(5))
{
	static const char *const texts[] = { "3", "3:", "3:ab", "3:abc", "0" };

	connect_with(&ops);
	say(texts[_i]);
	assert_trace("");
	ck_assert(!plait_transport_is_disconnecting(transport));
}

GROUP("limits");

TEST(limit_is_exact, PURE)
{
	connect_with(&ops);
	receiver->max_length = 10;
	say("9:123456789,10:1234567890,");
	assert_trace("string(123456789) string(1234567890)");
	say("11");
	assert_trace("fail");
}

TEST(limit_of_one_digit_refuses_larger_digits, PURE)
{
	connect_with(&ops);
	receiver->max_length = 5;
	say("5:12345,");
	assert_trace("string(12345)");
	say("6");
	assert_trace("fail");
}

TEST(limit_may_be_all_there_is, PURE)
{
	connect_with(&ops);
	receiver->max_length = SIZE_MAX;
	say("2:ab,9223372036854775806:x");
	assert_trace("string(ab)");
	say("y");
	ck_assert_uint_lt(heap_live_bytes(), 1000000);
	connect_with(&ops);
	receiver->max_length = SIZE_MAX;
	say("18446744073709551617:a,");
	assert_trace("fail");
}

TEST(refused_without_a_callback_closes_too, PURE)
{
	connect_with(&deaf_ops);
	say("1:a,");
	ck_assert(!plait_transport_is_disconnecting(transport));
	say("x");
	ck_assert(plait_transport_is_disconnecting(transport));
}

TEST(announced_length_allocates_nothing, PURE)
{
	unsigned long calls;

	connect_with(&ops);
	calls = heap_calls();
	say("99999:");
	ck_assert_uint_eq(heap_calls(), calls);
	say("x");
	ck_assert_uint_lt(heap_live_bytes(), 100000);
}

TEST(nothing_is_kept_between_strings, PURE)
{
	unsigned long before;

	connect_with(&ops);
	before = heap_live();
	say("3:a");
	say("bc,");
	ck_assert_uint_eq(heap_live(), before);
	assert_trace("string(abc)");
}

static void obey(struct plait_netstring_receiver *p, const char *data,
		 size_t len)
{
	if (len > 0 && data[0] == 'C')
		plait_transport_lose_connection(p->base.transport);
	else if (len > 0 && data[0] == 'A')
		plait_transport_abort_connection(p->base.transport);
	else if (len > 0 && data[0] == 'P')
		plait_netstring_receiver_pause(p);
	if (len > 1 && data[1] == 'R')
		plait_netstring_receiver_resume(p);
}

GROUP("ends");

/* Twisted delivers the rest of the chunk. */
TEST(nothing_comes_after_a_close, PURE, TIMES(2))
{
	on_string = obey;
	connect_with(&ops);
	say(_i == 0 ? "1:a,1:C,1:b," : "1:a,1:A,1:b,");
	ck_assert_ptr_null(strstr(trace(), "string(b)"));
	plait_testing_advance(reactor, 0);
	ck_assert_int_eq(plait_testing_is_aborted(transport), _i);
}

TEST(pause_holds_the_rest_of_the_chunk, PURE)
{
	on_string = obey;
	connect_with(&ops);
	say("1:P,2:PR,1:P,1:a,2:b");
	assert_trace("string(P)");
	plait_netstring_receiver_resume(receiver);
	assert_trace("string(PR) string(P)");
	plait_netstring_receiver_resume(receiver);
	assert_trace("string(a)");
	say("c,");
	assert_trace("string(bc)");
}

GROUP("grammar");

TEST(sent_string_is_a_netstring, PURE)
{
	const struct plait_buf *b;

	connect_with(&ops);
	plait_netstring_receiver_send(receiver, "hello, world", 12);
	plait_netstring_receiver_send(receiver, NULL, 0);
	b = plait_testing_written(transport);
	ck_assert_uint_eq(plait_buf_size(b), 19);
	ck_assert_mem_eq(plait_buf_data(b), "12:hello, world,0:,", 19);
}

TEST(sending_before_the_connection_is_nothing, PURE)
{
	struct plait_protocol *p = plait_protocol_new(&ops.base);

	plait_netstring_receiver_send(
		plait_self(p, struct plait_netstring_receiver), "x", 1);
	plait_protocol_free(&p);
}

GROUP("ends");

TEST(no_memory_aborts_and_leaks_nothing, PURE, TIMES(2))
{
	bool reached = true;
	unsigned long n;

	on_string = obey;
	for (n = 0; reached; n++) {
		connect_with(&ops);
		fault_alloc_at(n, _i == 1);
		say("100:");
		for (int i = 0; i < 10; i++)
			say("0123456789");
		say(",1:P,1:a,2:b");
		plait_netstring_receiver_resume(receiver);
		reached = fault_alloc_reached();
		fault_alloc_off();
		plait_testing_advance(reactor, 0);
		ck_assert_int_eq(plait_testing_is_aborted(transport), reached);
	}
	ck_assert_uint_gt(n, 4);
}

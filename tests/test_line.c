/*
 * Line receivers: lines, the limit of a line, raw mode, pause and close in
 * the middle of a chunk, and what all that costs.  tests/test_vectors.c holds
 * them against Twisted's.
 */
#include <stdint.h>

#include <plait/testing.h>

#include "tests/harness.h"
#include "tests/trace.h"

/*
 * The library's memcpy() and memmove() end here, so that the tests can count
 * what is moved, and its memchr() and memmem(), to count what is looked at.
 */
static size_t bytes_moved;
static size_t bytes_searched;

static void *move(void *to, const void *from, size_t n)
{
	volatile char *d = to;
	const volatile char *s = from;

	bytes_moved += n;
	if ((uintptr_t)to <= (uintptr_t)from) {
		for (size_t i = 0; i < n; i++)
			d[i] = s[i];
	} else {
		while (n-- > 0)
			d[n] = s[n];
	}
	return to;
}

void *memmove(void *to, const void *from, size_t n)
{
	return move(to, from, n);
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	return move(to, from, n);
}

void *memchr(const void *in, int c, size_t n)
{
	const volatile unsigned char *p = in;

	for (size_t i = 0; i < n; i++) {
		bytes_searched++;
		if (p[i] == (unsigned char)c)
			return (char *)(uintptr_t)in + i;
	}
	return NULL;
}

void *memmem(const void *in, size_t n, const void *what, size_t size)
{
	const char *p = in;

	for (size_t i = 0; i + size <= n; i++) {
		bytes_searched++;
		if (memcmp(p + i, what, size) == 0)
			return (char *)(uintptr_t)p + i;
	}
	return NULL;
}

/* What the protocol of a test does with what it gets, beside noting it. */
struct receiver {
	struct plait_line_receiver base;
	size_t raw_left;
};

static void (*on_line)(struct plait_line_receiver *p, const char *line,
		       size_t len);
static void (*on_raw)(struct plait_line_receiver *p, const char *data,
		      size_t len);
static bool silent;
static unsigned lines;

static struct plait_transport *transport;
static struct plait_line_receiver *receiver;

static void line_received(struct plait_line_receiver *p, const char *line,
			  size_t len)
{
	lines++;
	if (!silent)
		trace_bytes("line", line, len);
	if (on_line != NULL)
		on_line(p, line, len);
}

static void raw_data_received(struct plait_line_receiver *p, const void *data,
			      size_t len)
{
	if (!silent)
		trace_bytes("raw", data, len);
	if (on_raw != NULL)
		on_raw(p, data, len);
}

static void line_length_exceeded(struct plait_line_receiver *p,
				 const char *line, size_t len)
{
	trace_bytes("long", line, len);
}

static const struct plait_line_receiver_ops ops = {
	.base = { PLAIT_LINE_RECEIVER, .name = "line",
		  .size = sizeof(struct receiver) },
	.line_received = line_received,
	.raw_data_received = raw_data_received,
};

static const struct plait_line_receiver_ops tolerant_ops = {
	.base = { PLAIT_LINE_RECEIVER, .name = "tolerant",
		  .size = sizeof(struct receiver) },
	.line_received = line_received,
	.raw_data_received = raw_data_received,
	.line_length_exceeded = line_length_exceeded,
};

static const struct plait_line_receiver_ops deaf_ops = {
	.base = { PLAIT_LINE_RECEIVER, .name = "deaf",
		  .size = sizeof(struct receiver) },
};

static void connect_with(const struct plait_line_receiver_ops *o)
{
	static struct plait_factory f;

	f.protocol = &o->base;
	plait_reactor_free(&reactor);
	reactor = plait_testing_reactor_new();
	transport = plait_testing_connect(reactor, &f);
	receiver = plait_self(plait_testing_protocol(transport),
			      struct plait_line_receiver);
}

/* Input that comes right from a transport, with nothing in between. */
static void feed(const void *data, size_t len)
{
	plait_line_receiver_data_received(&receiver->base, data, len);
}

/* The same; how many bytes the receiver moves for it. */
static size_t moved_by(const void *data, size_t len)
{
	bytes_moved = 0;
	feed(data, len);
	return bytes_moved;
}

static void say(const char *text)
{
	feed(text, strlen(text));
}

static void say_bytewise(const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		feed(data + i, 1);
}

GROUP("lines");

TEST(lines_of_a_chunk_come_in_order, PURE)
{
	connect_with(&ops);
	say("a\r\n\r\nb c\r\nun");
	assert_trace("line(a) line() line(b c)");
	say("done\r\n");
	assert_trace("line(undone)");
}

TEST(delimiter_may_be_cut_anywhere, PURE)
{
	static const char text[] = "one<-->two<--><-->three<-->";

	for (size_t cut = 0; cut < sizeof(text); cut++) {
		connect_with(&ops);
		receiver->delimiter = "<-->";
		feed(text, cut);
		feed(text + cut, sizeof(text) - 1 - cut);
		assert_trace("line(one) line(two) line() line(three)");
	}
}

TEST(beginning_of_a_delimiter_is_text, PURE)
{
	connect_with(&ops);
	receiver->delimiter = "aab";
	say_bytewise("aaabaaaabab", 11);
	assert_trace("line(a) line(aa)");
	say("aab");
	assert_trace("line(ab)");
}

TEST(delimiter_without_a_size_is_measured, PURE)
{
	static const char *const delimiters[] = { ";", "\r\n", "--;", "-;--;" };
	char text[64];

	for (int i = 0; i < N_OF(delimiters); i++) {
		connect_with(&ops);
		receiver->delimiter = delimiters[i];
		say_bytewise(text,
			     (size_t)snprintf(text, sizeof(text), "a%s-%s",
					      delimiters[i], delimiters[i]));
		assert_trace("line(a) line(-)");
		plait_line_receiver_send_line(receiver, "-", 1);
		ck_assert_uint_eq(
			plait_buf_size(plait_testing_written(transport)),
			1 + strlen(delimiters[i]));
	}
}

TEST(delimiter_may_hold_a_nul, PURE)
{
	connect_with(&ops);
	receiver->delimiter = "";
	receiver->delimiter_size = 1;
	feed("a\0b\0\0", 5);
	assert_trace("line(a) line(b) line()");
}

TEST(empty_delimiter_is_the_default, PURE)
{
	connect_with(&ops);
	receiver->delimiter = "";
	say("a\r\n");
	assert_trace("line(a)");
}

static void set_delimiter(struct plait_line_receiver *p, const char *line,
			  size_t len)
{
	p->delimiter = ";";
}

TEST(delimiter_changes_for_the_rest_of_the_chunk, PURE)
{
	on_line = set_delimiter;
	connect_with(&ops);
	say("a\r\nb\r\n;c;");
	assert_trace("line(a) line(b\r\n) line(c)");
}

TEST(receiver_without_callbacks_takes_all, PURE)
{
	connect_with(&deaf_ops);
	say("a\r\nb\r\n");
	plait_line_receiver_set_raw_mode(receiver);
	say("raw");
	ck_assert(plait_testing_is_connected(transport));
}

TEST(nothing_is_no_input, PURE)
{
	connect_with(&ops);
	feed(NULL, 0);
	feed("", 0);
	plait_line_receiver_set_line_mode(receiver, NULL, 0);
	assert_trace("");
}

TEST(sent_line_has_its_delimiter, PURE)
{
	const struct plait_buf *b;

	connect_with(&ops);
	plait_line_receiver_send_line(receiver, "hello", 5);
	receiver->delimiter = "\n";
	plait_line_receiver_send_line(receiver, NULL, 0);
	b = plait_testing_written(transport);
	ck_assert_uint_eq(plait_buf_size(b), 8);
	ck_assert_mem_eq(plait_buf_data(b), "hello\r\n\n", 8);
}

TEST(sending_before_the_connection_is_nothing, PURE)
{
	struct plait_protocol *p = plait_protocol_new(&ops.base);

	plait_line_receiver_send_line(plait_self(p, struct plait_line_receiver),
				      "x", 1);
	plait_protocol_free(&p);
}

GROUP("limits");

/* Lines of 3 to 6 bytes where 5 are allowed, in pieces of each size. */
TEST(limit_is_exact_however_it_is_cut, PURE, FROM_TO(1, 33))
{
	static const char text[] = "abc\r\nabcd\r\nabcde\r\nabcdef\r\nx\r\n";
	size_t piece = (size_t)_i;

	connect_with(&tolerant_ops);
	receiver->max_length = 5;
	for (size_t at = 0; at < sizeof(text) - 1; at += piece)
		feed(text + at, piece < sizeof(text) - 1 - at
					? piece
					: sizeof(text) - 1 - at);
	/* seven bytes hold no delimiter; the eighth begins the next line */
	assert_trace("line(abc) line(abcd) line(abcde) long(abcdef\r) "
		     "line(\nx)");
}

static void check_default_limit(size_t len, bool fits)
{
	char *text = malloc(len + 2);

	memset(text, 'x', len);
	text[len] = '\r';
	text[len + 1] = '\n';
	for (int bytewise = 0; bytewise <= 1; bytewise++) {
		connect_with(&ops);
		silent = true;
		lines = 0;
		if (bytewise)
			say_bytewise(text, len + 2);
		else
			feed(text, len + 2);
		ck_assert_uint_eq(lines, fits);
		ck_assert_int_eq(plait_transport_is_disconnecting(transport),
				 !fits);
	}
	free(text);
}

TEST(default_limit_is_twisteds, PURE)
{
	check_default_limit(16383, true);
	check_default_limit(16384, true);
	check_default_limit(16385, false);
}

TEST(line_too_long_closes, PURE)
{
	connect_with(&ops);
	receiver->max_length = 3;
	say("ok\r\nabcdefgh\r\nlate\r\n");
	assert_trace("line(ok)");
	ck_assert(plait_transport_is_disconnecting(transport));
	say("later\r\n");
	assert_trace("");
	plait_testing_advance(reactor, 0);
	ck_assert(!plait_testing_is_connected(transport));
	ck_assert(!plait_testing_is_aborted(transport));
}

TEST(limit_may_be_lowered_under_what_has_come, PURE)
{
	connect_with(&tolerant_ops);
	say("abcdefgh");
	receiver->max_length = 2;
	say("i");
	assert_trace("long(abcd) long(efgh)");
	say("\r\n");
	assert_trace("line(i)");
}

TEST(limit_may_be_none, PURE)
{
	connect_with(&ops);
	receiver->max_length = SIZE_MAX;
	say("abc");
	say("def\r\n");
	assert_trace("line(abcdef)");
}

/* A peer that never ends its line: what it can make us keep. */
TEST(unfinished_line_takes_no_more_than_its_limit, PURE)
{
	size_t before, most = 0;

	connect_with(&tolerant_ops);
	receiver->max_length = 10000;
	before = heap_live_bytes();
	for (int i = 0; i < 10001; i++) {
		feed("x", 1);
		if (heap_live_bytes() - before > most)
			most = heap_live_bytes() - before;
	}
	ck_assert_uint_lt(most, 2 * 10000 + 2);
}

TEST(nothing_is_kept_between_lines, PURE)
{
	unsigned long before;

	connect_with(&ops);
	before = heap_live();
	say_bytewise("a line\r\n", 8);
	ck_assert_uint_eq(heap_live(), before);
	assert_trace("line(a line)");
}

TEST(whole_lines_are_not_copied, PURE)
{
	static char text[300000];

	for (size_t i = 0; i < sizeof(text); i += 3)
		memcpy(text + i, "x\r\n", 3);
	connect_with(&ops);
	silent = true;
	ck_assert_uint_eq(moved_by(text, sizeof(text)), 0);
	ck_assert_uint_eq(lines, 100000);
}

/* A megabyte in pieces of that size: 100-byte lines, then one long one. */
TEST(work_is_linear_in_the_input, PURE, TIMES(6))
{
	static const size_t pieces[] = { 1, 7, 99, 101, 1000, 131072 };
	static char text[1 << 20];
	size_t piece = pieces[_i];

	memset(text, 'x', sizeof(text));
	for (size_t i = 98; i < sizeof(text) / 2; i += 100)
		memcpy(text + i, "\r\n", 2);
	memcpy(text + sizeof(text) - 2, "\r\n", 2);
	connect_with(&ops);
	receiver->max_length = sizeof(text);
	silent = true;
	bytes_moved = bytes_searched = 0;
	for (size_t at = 0; at < sizeof(text); at += piece)
		feed(text + at,
		     piece < sizeof(text) - at ? piece : sizeof(text) - at);
	ck_assert_uint_eq(lines, sizeof(text) / 2 / 100 + 1);
	ck_assert_uint_le(bytes_moved, 4 * sizeof(text));
	ck_assert_uint_ge(bytes_searched, sizeof(text) / 2);
	ck_assert_uint_le(bytes_searched, 4 * sizeof(text));
}

/* A line "N" is followed by N raw bytes. */
static void count_to_raw(struct plait_line_receiver *p, const char *line,
			 size_t len)
{
	if (len != 1)
		return;
	plait_self(p, struct receiver)->raw_left = (size_t)(line[0] - '0');
	plait_line_receiver_set_raw_mode(p);
}

static void take_raw(struct plait_line_receiver *p, const char *data,
		     size_t len)
{
	struct receiver *self = plait_self(p, struct receiver);
	size_t mine = len < self->raw_left ? len : self->raw_left;

	self->raw_left -= mine;
	if (self->raw_left == 0)
		plait_line_receiver_set_line_mode(p, data + mine, len - mine);
}

GROUP("modes");

TEST(raw_mode_begins_with_the_next_byte, PURE)
{
	on_line = count_to_raw;
	on_raw = take_raw;
	connect_with(&ops);
	say("3\r\nab");
	assert_trace("line(3) raw(ab)");
	say("c2\r\nxyline\r\n");
	assert_trace("raw(c2\r\nxyline\r\n) line(2) raw(xyline\r\n) "
		     "line(line)");
}

TEST(mode_switches_neither_copy_nor_recurse, PURE)
{
	static char text[131072];

	for (size_t i = 0; i < sizeof(text); i += 4)
		memcpy(text + i, "1\r\nx", 4);
	on_line = count_to_raw;
	on_raw = take_raw;
	silent = true;
	connect_with(&ops);
	ck_assert_uint_eq(moved_by(text, sizeof(text)), 0);
	ck_assert_uint_eq(lines, sizeof(text) / 4);
}

TEST(unfinished_line_is_raw_after_a_switch_from_outside, PURE)
{
	connect_with(&ops);
	say("half");
	plait_line_receiver_set_raw_mode(receiver);
	assert_trace("");
	say("and");
	assert_trace("raw(half) raw(and)");
}

TEST(extra_from_outside_ends_the_unfinished_line, PURE)
{
	connect_with(&ops);
	say("half");
	plait_line_receiver_set_line_mode(receiver, "way\r\nun", 7);
	assert_trace("line(halfway)");
	say("done\r\n");
	assert_trace("line(undone)");
}

static void insert_once(struct plait_line_receiver *p, const char *line,
			size_t len)
{
	on_line = NULL;
	plait_line_receiver_set_line_mode(p, "new\r\n", 5);
	trace_bytes("still", line, len);
}

TEST(extra_comes_before_the_rest, PURE)
{
	on_line = insert_once;
	connect_with(&ops);
	say("a\r\nb\r\nc");
	assert_trace("line(a) still(a) line(new) line(b)");
	on_line = insert_once;
	say("d\r\ne\r\n");
	assert_trace("line(cd) still(cd) line(new) line(e)");
}

static void insert_twice(struct plait_line_receiver *p, const char *line,
			 size_t len)
{
	on_line = NULL;
	plait_line_receiver_set_line_mode(p, "two\r\n", 5);
	plait_line_receiver_set_line_mode(p, "one\r\n", 5);
	trace_bytes("still", line, len);
}

TEST(line_stays_while_extras_replace_what_it_lies_in, PURE)
{
	connect_with(&ops);
	plait_line_receiver_pause(receiver);
	say("a\r\nb\r\n");
	on_line = insert_twice;
	plait_line_receiver_resume(receiver);
	assert_trace("line(a) still(a) line(one) line(two) line(b)");
}

static void give_back_first_half(struct plait_line_receiver *p,
				 const char *data, size_t len)
{
	on_raw = NULL;
	plait_line_receiver_set_line_mode(p, data, len / 2);
}

TEST(extra_may_be_any_part_of_what_was_raw, PURE)
{
	on_raw = give_back_first_half;
	connect_with(&ops);
	plait_line_receiver_set_raw_mode(receiver);
	say("a\r\nbcd");
	assert_trace("raw(a\r\nbcd) line(a)");
}

static void pause_at(struct plait_line_receiver *p, const char *line,
		     size_t len)
{
	if (len > 0 && line[0] == 'P')
		plait_line_receiver_pause(p);
}

GROUP("pause");

TEST(pause_holds_the_rest_of_the_chunk, PURE)
{
	on_line = pause_at;
	connect_with(&ops);
	say("a\r\nP\r\nb\r\nP\r\nc\r\nun");
	assert_trace("line(a) line(P)");
	ck_assert(plait_testing_is_paused(transport));
	plait_line_receiver_resume(receiver);
	assert_trace("line(b) line(P)");
	plait_line_receiver_resume(receiver);
	assert_trace("line(c)");
	ck_assert(!plait_testing_is_paused(transport));
	say("done\r\n");
	assert_trace("line(undone)");
}

static void pause_at_each(struct plait_line_receiver *p, const char *line,
			  size_t len)
{
	plait_line_receiver_pause(p);
}

/* Lines that have come are not lost because the peer has gone meanwhile. */
TEST(the_end_waits_for_the_lines_that_are_held, PURE, TIMES(2))
{
	plait_value v = plait_fail(&plait_error_connection_lost, "reset");

	on_line = pause_at_each;
	connect_with(&ops);
	say("a\r\nb\r\nc\r\n");
	if (_i == 0)
		plait_testing_deliver_eof(transport);
	else
		plait_testing_lose(transport, plait_value_failure(&v));
	plait_value_free(&v);
	plait_testing_advance(reactor, 1);
	assert_trace("line(a)");
	plait_line_receiver_resume(receiver);
	plait_testing_advance(reactor, 1);
	assert_trace("line(b)");
	ck_assert(plait_testing_is_connected(transport));
	plait_line_receiver_resume(receiver);
	assert_trace("line(c)");
	plait_testing_advance(reactor, _i == 0 ? 0 : 5);
	ck_assert(!plait_testing_is_connected(transport));
}

TEST(the_end_comes_when_what_is_held_is_cleared, PURE)
{
	on_line = pause_at_each;
	connect_with(&ops);
	say("a\r\nb\r\n");
	plait_testing_deliver_eof(transport);
	plait_testing_advance(reactor, 1);
	ck_assert(plait_testing_is_connected(transport));
	ck_assert_int_eq(plait_line_receiver_clear_buffer(receiver, NULL), 0);
	plait_testing_advance(reactor, 0);
	ck_assert(!plait_testing_is_connected(transport));
	assert_trace("line(a)");
}

static void pause_and_resume(struct plait_line_receiver *p, const char *line,
			     size_t len)
{
	plait_line_receiver_pause(p);
	plait_line_receiver_resume(p);
}

TEST(resume_inside_a_callback_does_not_recurse, PURE)
{
	static char text[131072];

	for (size_t i = 0; i < sizeof(text); i += 2)
		memcpy(text + i, "x\n", 2);
	on_line = pause_and_resume;
	silent = true;
	connect_with(&ops);
	receiver->delimiter = "\n";
	feed(text, sizeof(text));
	ck_assert_uint_eq(lines, sizeof(text) / 2);
}

TEST(pausing_after_every_line_is_linear, PURE)
{
	static char text[131072];

	for (size_t i = 0; i < sizeof(text); i += 2)
		memcpy(text + i, "P\n", 2);
	on_line = pause_at;
	silent = true;
	connect_with(&ops);
	receiver->delimiter = "\n";
	bytes_moved = 0;
	feed(text, sizeof(text));
	while (lines < sizeof(text) / 2)
		plait_line_receiver_resume(receiver);
	ck_assert_uint_le(bytes_moved, 4 * sizeof(text));
}

TEST(input_while_paused_is_kept_at_linear_cost, PURE)
{
	static char text[100000];

	silent = true;
	connect_with(&ops);
	receiver->max_length = sizeof(text);
	plait_line_receiver_pause(receiver);
	bytes_moved = 0;
	say_bytewise(text, sizeof(text));
	say("\r\n");
	plait_line_receiver_resume(receiver);
	ck_assert_uint_le(bytes_moved, 4 * sizeof(text));
	ck_assert_uint_eq(lines, 1);
}

TEST(input_while_paused_is_behind_what_is_held, PURE)
{
	on_line = pause_at;
	connect_with(&ops);
	say("P\r\na\r\nb");
	say("c\r\n");
	plait_line_receiver_set_line_mode(receiver, "x", 1);
	say("d\r\n");
	assert_trace("line(P)");
	plait_line_receiver_resume(receiver);
	assert_trace("line(xa) line(bc) line(d)");
}

TEST(resume_when_not_paused_is_nothing, PURE)
{
	connect_with(&ops);
	plait_line_receiver_resume(receiver);
	say("a\r\n");
	assert_trace("line(a)");
}

static void receive_more(struct plait_line_receiver *p, const char *line,
			 size_t len)
{
	on_line = NULL;
	plait_line_receiver_data_received(&p->base, "more\r\n", 6);
}

TEST(input_from_inside_a_callback_is_behind_the_rest, PURE)
{
	on_line = receive_more;
	connect_with(&ops);
	say("a\r\nb\r\nc\r\n");
	assert_trace("line(a) line(b) line(c) line(more)");
	on_line = receive_more;
	say("a\r\n");
	assert_trace("line(a) line(more)");
}

static void close_at(struct plait_line_receiver *p, const char *line,
		     size_t len)
{
	if (len > 0 && line[0] == 'C')
		plait_transport_lose_connection(p->base.transport);
	else if (len > 0 && line[0] == 'A')
		plait_transport_abort_connection(p->base.transport);
}

GROUP("ends");

TEST(nothing_comes_after_a_close, PURE, TIMES(2))
{
	static const char *const texts[] = { "a\r\nC\r\nb\r\n",
					     "a\r\nA\r\nb\r\n" };

	on_line = close_at;
	connect_with(&ops);
	plait_testing_deliver(transport, texts[_i], strlen(texts[_i]));
	ck_assert_str_ne(trace(), "");
	ck_assert_ptr_null(strstr(trace(), "line(b)"));
	plait_testing_advance(reactor, 0);
	ck_assert(!plait_testing_is_connected(transport));
	ck_assert_int_eq(plait_testing_is_aborted(transport), _i);
}

static void close_with_extra(struct plait_line_receiver *p, const char *data,
			     size_t len)
{
	plait_transport_lose_connection(p->base.transport);
	plait_line_receiver_set_line_mode(p, data, len);
}

/* Twisted still delivers one line here. */
TEST(extra_after_a_close_goes_nowhere, PURE)
{
	on_raw = close_with_extra;
	connect_with(&ops);
	plait_line_receiver_set_raw_mode(receiver);
	say("a\r\nb\r\n");
	assert_trace("raw(a\r\nb\r\n)");
	plait_line_receiver_set_line_mode(receiver, "c\r\n", 3);
	assert_trace("");
}

TEST(close_while_paused_drops_what_is_held, PURE)
{
	on_line = pause_at;
	connect_with(&ops);
	say("P\r\na\r\n");
	plait_transport_lose_connection(transport);
	plait_line_receiver_resume(receiver);
	assert_trace("line(P)");
}

static struct plait_buf *rest;

static void take_the_rest(struct plait_line_receiver *p, const char *line,
			  size_t len)
{
	ck_assert_int_eq(plait_line_receiver_clear_buffer(p, rest), 0);
}

static void assert_rest(const char *text)
{
	ck_assert_uint_eq(plait_buf_size(rest), strlen(text));
	ck_assert_mem_eq(plait_buf_data(rest), text, strlen(text));
}

TEST(cleared_buffer_is_handed_over, PURE)
{
	rest = plait_buf_new(100);
	on_line = take_the_rest;
	connect_with(&ops);
	say("a\r\nb\r\nc");
	assert_trace("line(a)");
	assert_rest("b\r\nc");
	say("un");
	ck_assert_int_eq(plait_line_receiver_clear_buffer(receiver, rest), 0);
	assert_rest("b\r\ncun");
	say("x\r\n");
	assert_trace("line(x)");
	plait_buf_unref(&rest);
}

TEST(cleared_while_paused, PURE)
{
	on_line = pause_at;
	connect_with(&ops);
	say("P\r\na\r\n");
	ck_assert_int_eq(plait_line_receiver_clear_buffer(receiver, NULL), 0);
	say("b\r\n");
	plait_line_receiver_resume(receiver);
	assert_trace("line(P) line(b)");
}

TEST(failed_clear_changes_nothing, PURE)
{
	struct plait_buf *small = plait_buf_new(2);

	connect_with(&ops);
	say("abc");
	ck_assert_int_eq(plait_line_receiver_clear_buffer(receiver, small),
			 -EMSGSIZE);
	ck_assert_uint_eq(plait_buf_size(small), 0);
	say("\r\n");
	assert_trace("line(abc)");
	plait_buf_unref(&small);
}

/* All that makes a receiver allocate. */
static void busy_life(void)
{
	on_line = pause_at;
	say("begun");
	for (int i = 0; i < 40; i++)
		say("0123456789");
	say("\r\nP\r\na\r\nb");
	say("queued\r\n");
	plait_line_receiver_set_line_mode(receiver, "extra\r\n", 7);
	plait_line_receiver_resume(receiver);
	say("un");
	receiver->max_length = 1;
	say("done");
}

/* Each allocation in turn is refused, alone or with all that follow. */
TEST(no_memory_aborts_and_leaks_nothing, PURE, TIMES(2))
{
	bool persistent = _i == 1, reached = true;
	unsigned long n;

	for (n = 0; reached; n++) {
		connect_with(&ops);
		silent = true;
		fault_alloc_at(n, persistent);
		busy_life();
		reached = fault_alloc_reached();
		fault_alloc_off();
		plait_testing_advance(reactor, 0);
		ck_assert_int_eq(plait_testing_is_aborted(transport), reached);
	}
	ck_assert_uint_gt(n, 8);
}

static void insert_without_memory(struct plait_line_receiver *p,
				  const char *line, size_t len)
{
	fault_alloc_at(0, false);
	plait_line_receiver_set_line_mode(p, "extra\r\n", 7);
	fault_alloc_off();
	trace_bytes("still", line, len);
}

TEST(line_stays_when_there_is_no_memory_for_extra, PURE)
{
	connect_with(&ops);
	plait_line_receiver_pause(receiver);
	say("a long line\r\nb\r\n");
	on_line = insert_without_memory;
	plait_line_receiver_resume(receiver);
	assert_trace("line(a long line) still(a long line)");
	plait_testing_advance(reactor, 0);
	ck_assert(plait_testing_is_aborted(transport));
}

TEST(no_memory_for_a_clear_changes_nothing, PURE)
{
	struct plait_buf *b = plait_buf_new(10000);
	char text[1000];

	memset(text, 'x', sizeof(text));
	connect_with(&ops);
	silent = true;
	feed(text, sizeof(text));
	fault_alloc_at(0, false);
	ck_assert_int_eq(plait_line_receiver_clear_buffer(receiver, b),
			 -ENOMEM);
	fault_alloc_off();
	ck_assert_int_eq(plait_line_receiver_clear_buffer(receiver, b), 0);
	ck_assert_uint_eq(plait_buf_size(b), sizeof(text));
	plait_buf_unref(&b);
}

/*
 * Whatever is done in whatever order, no byte is lost or comes twice: what was
 * given to the receiver, and what it gave.
 */
static size_t given, got;
static uint32_t chance;

static unsigned random_below(unsigned n)
{
	chance = chance * 1664525 + 1013904223;
	return (chance >> 8) % n;
}

static const char *random_text(size_t *len)
{
	static const char text[] = "a\nbc\n\ndefg\nhijklmnop\nq\n\nrstuvwxyz";

	*len = random_below(sizeof(text));
	return text + random_below((unsigned)(sizeof(text) - *len));
}

static void random_action(struct plait_line_receiver *p)
{
	const char *text;
	size_t len;

	switch (random_below(12)) {
	case 0:
		plait_line_receiver_pause(p);
		break;
	case 1:
		plait_line_receiver_resume(p);
		break;
	case 2:
		plait_line_receiver_set_raw_mode(p);
		break;
	case 3:
		text = random_text(&len);
		given += len;
		plait_line_receiver_set_line_mode(p, text, len);
		break;
	case 4:
		text = random_text(&len);
		given += len;
		feed(text, len);
		break;
	case 5:
		if (random_below(4) == 0)
			plait_line_receiver_clear_buffer(p, rest);
		break;
	case 6:
		p->max_length = 1 + random_below(20);
		break;
	}
}

static void on_random_line(struct plait_line_receiver *p, const char *line,
			   size_t len)
{
	got += len + strlen(p->delimiter);
	if (random_below(3) == 0)
		random_action(p);
	/* reads all of it, for the sanitizer to see that it is still there */
	ck_assert_ptr_null(
		memmem(line, len, p->delimiter, strlen(p->delimiter)));
}

static void on_random_raw(struct plait_line_receiver *p, const char *data,
			  size_t len)
{
	size_t mine = random_below((unsigned)len + 1);

	got += mine;
	random_action(p);
	plait_line_receiver_set_line_mode(p, data + mine, len - mine);
}

static void on_random_long(struct plait_line_receiver *p, const char *line,
			   size_t len)
{
	got += len;
	random_action(p);
}

static const struct plait_line_receiver_ops random_ops = {
	.base = { PLAIT_LINE_RECEIVER, .name = "random",
		  .size = sizeof(struct receiver) },
	.line_received = line_received,
	.raw_data_received = raw_data_received,
	.line_length_exceeded = on_random_long,
};

GROUP("random");

TEST(no_byte_is_lost_or_comes_twice, PURE, TIMES(30))
{
	const char *text;
	size_t len;

	chance = (uint32_t)_i;
	silent = true;
	given = got = 0;
	on_line = on_random_line;
	on_raw = on_random_raw;
	rest = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	connect_with(&random_ops);
	receiver->delimiter = _i % 2 == 0 ? "\n" : "c\n";
	for (int i = 0; i < 3000 && given < 1000000; i++) {
		text = random_text(&len);
		given += len;
		feed(text, len);
		random_action(receiver);
	}
	ck_assert_int_eq(plait_line_receiver_clear_buffer(receiver, rest), 0);
	ck_assert_uint_eq(got + plait_buf_size(rest), given);
	plait_buf_unref(&rest);
}

/* The receiver of lines alone. */
static struct plait_line_only_receiver *only;

static void only_line_received(struct plait_line_only_receiver *p,
			       const char *line, size_t len)
{
	trace_bytes("line", line, len);
	if (len > 0 && line[0] == 'C')
		plait_transport_lose_connection(p->base.transport);
}

static void only_line_length_exceeded(struct plait_line_only_receiver *p,
				      const char *line, size_t len)
{
	trace_bytes("long", line, len);
}

static const struct plait_line_only_receiver_ops only_ops = {
	.base = { PLAIT_LINE_ONLY_RECEIVER, .name = "only",
		  .size = sizeof(struct plait_line_only_receiver) },
	.line_received = only_line_received,
};

static const struct plait_line_only_receiver_ops only_tolerant_ops = {
	.base = { PLAIT_LINE_ONLY_RECEIVER, .name = "tolerant",
		  .size = sizeof(struct plait_line_only_receiver) },
	.line_received = only_line_received,
	.line_length_exceeded = only_line_length_exceeded,
};

static const struct plait_line_only_receiver_ops only_deaf_ops = {
	.base = { PLAIT_LINE_ONLY_RECEIVER, .name = "deaf",
		  .size = sizeof(struct plait_line_only_receiver) },
};

static void connect_only(const struct plait_line_only_receiver_ops *o)
{
	static struct plait_factory f;

	f.protocol = &o->base;
	plait_reactor_free(&reactor);
	reactor = plait_testing_reactor_new();
	transport = plait_testing_connect(reactor, &f);
	only = plait_self(plait_testing_protocol(transport),
			  struct plait_line_only_receiver);
}

static void say_only(const char *text)
{
	plait_line_only_receiver_data_received(&only->base, text, strlen(text));
}

GROUP("only");

TEST(only_lines_come_until_a_close, PURE)
{
	connect_only(&only_ops);
	say_only("a\r\nb\r");
	say_only("\nC\r\nd\r\n");
	assert_trace("line(a) line(b) line(C)");
}

/* Twisted refuses the second one if it is cut before its last byte. */
TEST(only_limit_is_exact_however_it_is_cut, PURE)
{
	static const char text[] = "abc\nabcd\nabcde\nx\n";

	for (size_t cut = 0; cut < sizeof(text); cut++) {
		connect_only(&only_tolerant_ops);
		only->max_length = 4;
		only->delimiter = "\n";
		plait_line_only_receiver_data_received(&only->base, text, cut);
		plait_line_only_receiver_data_received(&only->base, text + cut,
						       sizeof(text) - 1 - cut);
		assert_trace("line(abc) line(abcd) long(abcde) line() "
			     "line(x)");
	}
}

TEST(only_line_too_long_closes, PURE)
{
	connect_only(&only_ops);
	only->max_length = 3;
	say_only("abcdef\r\nb\r\n");
	assert_trace("");
	ck_assert(plait_transport_is_disconnecting(transport));
}

TEST(only_receiver_without_callbacks_takes_all, PURE)
{
	connect_only(&only_deaf_ops);
	say_only("a\r\nb\r\nc");
	ck_assert(plait_testing_is_connected(transport));
}

TEST(only_sent_line_has_its_delimiter, PURE)
{
	connect_only(&only_ops);
	only->delimiter = "\n";
	plait_line_only_receiver_send_line(only, "hello", 5);
	ck_assert_uint_eq(plait_buf_size(plait_testing_written(transport)), 6);
}

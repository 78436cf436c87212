/*
 * Input as a protocol of one's own uses it: what the receivers of the library
 * do with it is tested with them.
 */
#include <signal.h>

#include <plait/input.h>
#include <plait/testing.h>

#include "tests/child.h"
#include "tests/harness.h"
#include "tests/trace.h"

struct own {
	struct plait_protocol base;
	struct plait_input input;
};

static plait_input_step *own_step;

static void data_received(struct plait_protocol *p, const void *data,
			  size_t len)
{
	plait_input_receive(&plait_self(p, struct own)->input, p, own_step,
			    data, len);
}

static void done(struct plait_protocol *p)
{
	plait_input_done(&plait_self(p, struct own)->input);
	plait_input_done(&plait_self(p, struct own)->input);
}

static const struct plait_protocol_ops ops = {
	.name = "own",
	.size = sizeof(struct own),
	.data_received = data_received,
	.done = done,
};

static struct plait_protocol *protocol;
static struct plait_input *input;

static void begin(plait_input_step *step)
{
	static struct plait_factory f = { .protocol = &ops };

	own_step = step;
	plait_reactor_free(&reactor);
	reactor = plait_testing_reactor_new();
	protocol = plait_testing_protocol(plait_testing_connect(reactor, &f));
	input = &plait_self(protocol, struct own)->input;
}

static void say(const char *text)
{
	data_received(protocol, text, strlen(text));
}

static void say_bytewise(const char *text)
{
	for (; *text != '\0'; text++)
		data_received(protocol, text, 1);
}

/* Lines that end in ';' and, after one of N, N bytes, and 0 of them. */
static size_t body;
static bool in_body;

static bool header_and_body(struct plait_protocol *p)
{
	const char *line;
	const void *data;
	size_t len;

	if (!in_body) {
		if (plait_input_take_until(input, ";", 1, 8, &line, &len) < 0)
			return false;
		trace_bytes("header", line, len);
		body = len;
		in_body = true;
	}
	if (plait_input_take(input, body, &data) < 0)
		return false;
	trace_bytes("body", data, body);
	in_body = false;
	return true;
}

GROUP("steps");

TEST(takes_of_different_kinds_follow_each_other, PURE)
{
	for (int bytewise = 0; bytewise <= 1; bytewise++) {
		begin(header_and_body);
		if (bytewise)
			say_bytewise("abc;xyz;a;1");
		else
			say("abc;xyz;a;1");
		assert_trace("header(abc) body(xyz) header() body() "
			     "header(a) body(1)");
	}
}

static size_t wanted;

static bool take_wanted(struct plait_protocol *p)
{
	const void *data;

	if (plait_input_take(input, wanted, &data) < 0)
		return false;
	trace_bytes("took", data, wanted);
	return true;
}

TEST(less_may_be_wanted_than_was_gathered, PURE)
{
	wanted = 10;
	begin(take_wanted);
	say("abcdef");
	assert_trace("");
	wanted = 2;
	say("g");
	assert_trace("took(ab) took(cd) took(ef)");
}

TEST(more_may_be_wanted_than_was_gathered_for, PURE)
{
	wanted = 3;
	begin(take_wanted);
	say("ab");
	wanted = 5;
	say("cd");
	say("ef");
	assert_trace("took(abcde)");
}

TEST(no_memory_to_gather_anew_aborts, PURE)
{
	for (int i = 0; i < 3; i++) {
		char text[500] = "";

		memset(text, 'x', sizeof(text) - 1);
		wanted = 600;
		begin(take_wanted);
		say(text);
		wanted = i < 2 ? 2000 : 20;
		fault_alloc_at(i < 2 ? (unsigned long)i : 0, false);
		say(text);
		ck_assert(fault_alloc_reached());
		fault_alloc_off();
		assert_trace("");
		plait_testing_advance(reactor, 0);
	}
}

static bool take_all_twice(struct plait_protocol *p)
{
	const void *data;
	size_t len = 77;

	ck_assert_int_eq(plait_input_take_all(input, &data, &len), 0);
	trace_bytes("all", data, len);
	data = NULL;
	ck_assert_int_eq(plait_input_take_all(input, &data, &len), -EAGAIN);
	ck_assert_ptr_null(data);
	return true;
}

TEST(all_can_be_taken_once, PURE)
{
	begin(take_all_twice);
	say("abc");
	say("d");
	assert_trace("all(abc) all(d)");
}

static bool never(struct plait_protocol *p)
{
	trace_add("step");
	return false;
}

TEST(what_a_step_leaves_is_kept, PURE)
{
	begin(never);
	say("ab");
	own_step = take_wanted;
	wanted = 3;
	say("cdef");
	assert_trace("step took(abc) took(def)");
}

static bool put_back_once(struct plait_protocol *p)
{
	const void *data;
	size_t len;

	ck_assert_int_eq(plait_input_take_all(input, &data, &len), 0);
	trace_bytes("all", data, len);
	own_step = NULL;
	plait_input_put_back(input, p, own_step, "xy", 2);
	plait_input_put_back(input, p, own_step, NULL, 0);
	return false;
}

TEST(put_back_waits_for_a_step_that_wants_it, PURE)
{
	begin(put_back_once);
	say("ab");
	own_step = take_wanted;
	wanted = 2;
	plait_input_resume(input, protocol, own_step);
	assert_trace("all(ab) took(xy)");
}

static bool refuse_long(struct plait_protocol *p)
{
	const char *line;
	size_t len;
	int e = plait_input_take_until(input, "\r\n", 2, 3, &line, &len);

	if (e == -EAGAIN)
		return false;
	trace_bytes(e == -EMSGSIZE ? "long" : "line", line, len);
	return true;
}

TEST(line_that_is_too_long_is_told_with_its_beginning, PURE)
{
	begin(refuse_long);
	say_bytewise("abc\r\nabcdefg\r\n");
	assert_trace("line(abc) long(abcde) line(fg)");
	say("abc\r\nabcdefg\r\n");
	assert_trace("line(abc) long(abcde) line(fg)");
}

static bool no_delimiter(struct plait_protocol *p)
{
	const char *line;
	size_t len;

	return plait_input_take_until(input, "", 0, 3, &line, &len) == 0;
}

TEST(delimiter_of_no_bytes_aborts, PURE, ABORTS)
{
	begin(no_delimiter);
	say("x");
}

/* Pausing and resuming a protocol that has no connection yet. */
TEST(works_before_the_connection, PURE)
{
	struct plait_protocol *p = plait_protocol_new(&ops);

	input = &plait_self(p, struct own)->input;
	plait_input_pause(input, p);
	wanted = 2;
	plait_input_put_back(input, p, take_wanted, "ab", 2);
	assert_trace("");
	plait_input_resume(input, p, take_wanted);
	assert_trace("took(ab)");
	plait_input_receive(input, p, take_wanted, "c", 1);
	fault_alloc_at(0, false);
	wanted = 100;
	plait_input_put_back(input, p, take_wanted, "d", 1);
	fault_alloc_off();
	plait_protocol_free(&p);
}

TEST(holds_no_memory_when_all_was_taken, PURE)
{
	struct plait_protocol *p = plait_protocol_new(&ops);
	unsigned long before = heap_live();

	input = &plait_self(p, struct own)->input;
	plait_input_pause(input, p);
	plait_input_receive(input, p, take_wanted, "ab", 2);
	wanted = 2;
	plait_input_resume(input, p, take_wanted);
	assert_trace("took(ab)");
	ck_assert_uint_eq(heap_live(), before);
	plait_protocol_free(&p);
}

TEST(put_back_outside_of_a_step_calls_it, PURE)
{
	begin(take_wanted);
	wanted = 2;
	plait_input_put_back(input, protocol, take_wanted, "ab", 2);
	assert_trace("took(ab)");
}

/*
 * The receivers of the library, as they are without a word: with no size of
 * their own, and with no connection.
 */
static const struct plait_line_receiver_ops bare_line = {
	.base = { PLAIT_LINE_RECEIVER, .name = "bare line" },
};

static const struct plait_line_only_receiver_ops bare_line_only = {
	.base = { PLAIT_LINE_ONLY_RECEIVER, .name = "bare line-only" },
};

static const struct plait_netstring_receiver_ops bare_netstring = {
	.base = { PLAIT_NETSTRING_RECEIVER, .name = "bare netstring" },
};

static const struct plait_intn_receiver_ops bare_intn = {
	.base = { PLAIT_INTN_RECEIVER, .name = "bare intn" },
};

static const struct {
	const struct plait_protocol_ops *ops;
	size_t size;
} bare[] = {
	{ &bare_line.base, sizeof(struct plait_line_receiver) },
	{ &bare_line_only.base, sizeof(struct plait_line_only_receiver) },
	{ &bare_netstring.base, sizeof(struct plait_netstring_receiver) },
	{ &bare_intn.base, sizeof(struct plait_intn_receiver) },
};

enum { N_BARE = sizeof(bare) / sizeof(bare[0]) };

/* None of them can make sense of it. */
static void receive_nonsense(struct plait_protocol *p)
{
	static char nonsense[20000];

	memset(nonsense, 'x', sizeof(nonsense));
	p->ops->data_received(p, nonsense, sizeof(nonsense));
	p->ops->data_received(p, nonsense, sizeof(nonsense));
}

TEST(a_receiver_without_a_size_has_room_for_its_own_struct, PURE, TIMES(N_BARE))
{
	size_t before = heap_live_bytes();
	struct plait_protocol *p = plait_protocol_new(bare[_i].ops);

	ck_assert_uint_ge(heap_live_bytes() - before, bare[_i].size);
	plait_protocol_free(&p);
}

/* ---- a protocol of its own -------------------------------------------- */

struct constructed {
	struct plait_line_receiver base;
	void *memory;
};

static int constructed_error;
static unsigned n_done;

/* As a C++ constructor does, it leaves nothing of the base. */
static int construct(struct plait_protocol *p)
{
	struct constructed *self = plait_self(p, struct constructed);

	ck_assert_ptr_null(self->memory);
	memset(p, 0xff, sizeof(*p));
	self->memory = constructed_error == 0 ? malloc(1) : NULL;
	return constructed_error;
}

static void destroy(struct plait_protocol *p)
{
	plait_line_receiver_done(p);
	free(plait_self(p, struct constructed)->memory);
	n_done++;
}

static const struct plait_line_receiver_ops constructed_ops = {
	.base = { .name = "constructed",
		  .size = sizeof(struct constructed),
		  .init = construct,
		  .data_received = plait_line_receiver_data_received,
		  .done = destroy,
		  .base_size = sizeof(struct plait_line_receiver) },
};

TEST(the_base_is_filled_after_init, PURE)
{
	struct plait_protocol *p = plait_protocol_new(&constructed_ops.base);

	ck_assert_ptr_eq(p->ops, &constructed_ops.base);
	ck_assert_ptr_null(p->factory);
	ck_assert_ptr_null(p->transport);
	ck_assert(!p->connected && !p->unread);
	ck_assert_ptr_nonnull(plait_self(p, struct constructed)->memory);
	plait_protocol_free(&p);
	ck_assert_uint_eq(n_done, 1);
}

TEST(an_init_that_fails_is_the_error_and_done_is_not_called, PURE)
{
	constructed_error = -EPERM;
	errno = 0;
	ck_assert_ptr_null(plait_protocol_new(&constructed_ops.base));
	ck_assert_int_eq(errno, EPERM);
	ck_assert_uint_eq(n_done, 0);
	constructed_error = 0;
}

TEST(a_protocol_without_memory_is_not_constructed, PURE)
{
	fault_alloc_at(0, false);
	errno = 0;
	ck_assert_ptr_null(plait_protocol_new(&constructed_ops.base));
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_uint_eq(n_done, 0);
}

static struct plait_protocol_ops too_small;

static void make_one_that_is_too_small(void *arg)
{
	plait_protocol_new(&too_small);
}

TEST(a_receiver_that_is_too_small_aborts_and_is_named, PURE, TIMES(N_BARE))
{
	too_small = *bare[_i].ops;
	too_small.size = bare[_i].size - 1;
	assert_aborts(make_one_that_is_too_small, NULL, "table \"bare ");
}

TEST(a_receiver_without_a_connection_gives_up_quietly, PURE, TIMES(N_BARE))
{
	struct plait_protocol *p = plait_protocol_new(bare[_i].ops);

	receive_nonsense(p);
	plait_protocol_free(&p);
}

static void pause_it(struct plait_line_receiver *p, const char *line,
		     size_t len)
{
	plait_line_receiver_pause(p);
}

static const struct plait_line_receiver_ops pausing_ops = {
	.base = { PLAIT_LINE_RECEIVER, .name = "pausing" },
	.line_received = pause_it,
};

/* Always one line behind, so that there is always something that is held. */
TEST(what_is_held_is_what_was_not_handled, PURE)
{
	struct plait_protocol *p = plait_protocol_new(&pausing_ops.base);
	struct plait_line_receiver *line =
		plait_self(p, struct plait_line_receiver);
	size_t before;

	plait_line_receiver_data_received(p, "one\r\ntwo\r\n", 10);
	before = heap_live_bytes();
	for (int i = 0; i < 10000; i++) {
		plait_line_receiver_data_received(p, "line\r\n", 6);
		ck_assert(p->unread);
		plait_line_receiver_resume(line);
	}
	ck_assert_uint_lt(heap_live_bytes(), before + 1000);
	plait_protocol_free(&p);
}

/* The end of the peer waits for what is held, and for nothing else. */
TEST(a_receiver_says_whether_it_holds_something, PURE)
{
	struct plait_protocol *p = plait_protocol_new(&pausing_ops.base);
	struct plait_line_receiver *line =
		plait_self(p, struct plait_line_receiver);
	size_t before = heap_live_bytes();

	plait_line_receiver_data_received(p, "one\r\ntwo\r\nthree", 15);
	ck_assert(p->unread);
	plait_line_receiver_resume(line);
	plait_line_receiver_resume(line);
	ck_assert(!p->unread);
	plait_line_receiver_data_received(p, "\r\n", 2);
	ck_assert(!p->unread);
	plait_line_receiver_data_received(p, "four\r\n", 6);
	ck_assert(p->unread);
	plait_line_receiver_clear_buffer(line, NULL);
	ck_assert(!p->unread);
	ck_assert_uint_eq(heap_live_bytes(), before);
	plait_protocol_free(&p);
}

/* ---- what is unread while a message is handled --------------------------- */

static bool say_what_is_unread(struct plait_protocol *p)
{
	const char *line;
	size_t len;

	if (plait_input_take_until(input, ";", 1, 8, &line, &len) < 0)
		return false;
	trace_add("%.*s%s", (int)len, line, p->unread ? "..." : ".");
	return true;
}

/* Whoever changes how what follows is read must know whether it is there. */
TEST(what_is_behind_a_message_is_unread_while_it_is_handled, PURE, TIMES(2))
{
	begin(say_what_is_unread);
	if (_i == 0) {
		say("a;b;");
		say("c;");
		say("d");
		say(";e;");
	} else {
		say_bytewise("a;b;c;d;e;");
	}
	assert_trace(_i == 0 ? "a... b. c. d... e." : "a. b. c. d. e.");
	ck_assert(!protocol->unread);
	plait_reactor_free(&reactor);
}

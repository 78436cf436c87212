/*
 * Text as printf() makes it, on a connection: all of it, or the connection
 * ends.
 */
#include <stdio.h>
#include <wchar.h>

#include <plait/testing.h>

#include "tests/harness.h"

static struct plait_transport *on;
static const struct plait_error *kind;
static int err;
static unsigned lost;

static void note_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	kind = plait_failure_kind(why);
	err = plait_failure_errno(why);
	lost++;
}

static const struct plait_protocol_ops ops = {
	.name = "printer",
	.connection_lost = note_lost,
};

static struct plait_factory factory = { .protocol = &ops };

static void setup(void)
{
	reactor = plait_testing_reactor_new();
	on = plait_testing_connect(reactor, &factory);
	lost = 0;
}

static void teardown(void)
{
	plait_reactor_free(&reactor);
}

static void was_written(const char *text, size_t len)
{
	const struct plait_buf *b = plait_testing_written(on);

	ck_assert_uint_eq(plait_buf_size(b), len);
	ck_assert_int_eq(memcmp(plait_buf_data(b), text, len), 0);
}

/* The connection was aborted, and its protocol is told from the loop. */
static void was_aborted(void)
{
	ck_assert_uint_eq(lost, 0);
	plait_testing_advance(reactor, 0);
	ck_assert_uint_eq(lost, 1);
	ck_assert(plait_testing_is_aborted(on));
	was_written("", 0);
}

GROUP("printf", .setup = setup, .teardown = teardown);

TEST(what_is_printed_is_written_in_its_order, PURE)
{
	plait_transport_write(on, "quoth ", 6);
	plait_transport_printf(on, "%s %d", "the raven", 42);
	plait_transport_printf(on, "%s", "");
	plait_transport_printf(on, ": %5.2f\n", 1.5);
	plait_testing_advance(reactor, 0);
	was_written("quoth the raven 42:  1.50\n", 26);
}

/* Around what is formatted without an allocation, and far beyond. */
static const size_t lengths[] = { 1, 510, 511, 512, 513, 4096, 1000000 };

TEST(text_of_any_length_is_written_whole, PURE, EACH_OF(lengths))
{
	size_t len = lengths[_i];
	char *text = malloc(len + 2);

	memset(text, 'x', len - 1);
	memcpy(text + len - 1, "y!", 3);
	plait_transport_printf(on, "%.*s%c", (int)len, text, '.');
	plait_testing_advance(reactor, 0);
	text[len] = '.';
	was_written(text, len + 1);
	free(text);
}

TEST(printing_without_memory_aborts, PURE)
{
	for (unsigned long n = 0; n < 2; n++) {
		fault_alloc_at(n, true);
		plait_transport_printf(on, "%600s", "x");
		ck_assert(fault_alloc_reached());
		fault_alloc_off();
		was_aborted();
		ck_assert_ptr_eq(kind, &plait_error_no_memory);
		lost = 0;
		on = plait_testing_connect(reactor, &factory);
	}
}

TEST(a_format_that_printf_refuses_aborts, PURE)
{
	static const wchar_t no_character[] = { 0x7fffffff, 0 };

	plait_transport_printf(on, "%ls", no_character);
	was_aborted();
	ck_assert_ptr_eq(kind, &plait_error_connection_aborted);
	ck_assert_int_eq(err, EINVAL);
}

TEST(more_than_may_be_unsent_aborts, PURE)
{
	struct plait_limits limits = { .max_unsent = 4096 };

	plait_reactor_set_limits(reactor, &limits);
	plait_testing_set_window(on, 0);
	plait_transport_printf(on, "%5000s", "x");
	was_aborted();
	ck_assert_ptr_eq(kind, &plait_error_connection_aborted);
}

TEST(printing_on_a_connection_that_takes_no_more_does_nothing, PURE, TIMES(2))
{
	if (_i == 0)
		plait_transport_lose_write_connection(on);
	else
		plait_transport_abort_connection(on);
	fault_alloc_at(0, true);
	plait_transport_printf(on, "%600s", "x");
	ck_assert(!fault_alloc_reached());
	fault_alloc_off();
	plait_testing_advance(reactor, 0);
	was_written("", 0);
}

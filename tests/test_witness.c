/*
 * A simulation sees to it that the contract is kept.  As the library keeps it,
 * the tests play one that does not: they note what it would have noted.
 */
#include <plait/simulation.h>
#include <plait/timer.h>

#include "lib/trace.h"
#include "reactor/simulation/world.h"
#include "tests/harness.h"

static struct plait_simulation *sim;
static struct plait_reactor *r;

static void setup(void)
{
	static const struct plait_simulation_options perfect;

	sim = plait_simulation_new(1, &perfect);
	r = plait_host_reactor(plait_simulation_host(sim, "host"));
	ck_assert_ptr_nonnull(r);
}

static void end(const char *failure)
{
	if (failure != NULL)
		ck_assert_str_eq(plait_simulation_failure(sim), failure);
	else
		ck_assert_ptr_null(plait_simulation_failure(sim));
	plait_reactor_free(&r);
	plait_simulation_free(&sim);
	ck_assert(!trace_is_on());
}

static char thing, other_thing; /* their addresses are objects */

static void note(enum trace_kind kind)
{
	trace_note(kind, &thing, NULL, "here", 0);
}

static void note_protocol(enum trace_kind kind)
{
	trace_note(kind, &other_thing, &thing, NULL, 0);
}

GROUP("witness", .setup = setup);

TEST(a_deferred_that_fires_twice_fails, PURE)
{
	note(TRACE_MADE);
	note(TRACE_FIRED);
	ck_assert_ptr_null(plait_simulation_failure(sim));
	note(TRACE_FIRED);
	end("the deferred made at here fires twice");
}

TEST(another_deferred_may_have_its_memory, PURE)
{
	for (int i = 0; i < 3; i++) {
		note(TRACE_MADE);
		note(TRACE_FIRED);
		note(TRACE_FREED);
	}
	note(TRACE_FIRED);
	end(NULL);
}

static void connect_it(void)
{
	plait_i_trace_record_label(TRACE_OPENED, &thing, "peer");
	note_protocol(TRACE_PROTOCOL);
	note(TRACE_READ);
}

TEST(a_connection_lives_once, PURE)
{
	for (int i = 0; i < 3; i++) {
		connect_it();
		note_protocol(TRACE_PROTOCOL_LOST);
		trace_end(TRACE_CLOSED, &thing, 0);
	}
	end(NULL);
}

TEST(a_connection_that_begins_twice_fails, PURE)
{
	connect_it();
	connect_it();
	end("a connection begins twice");
}

TEST(a_protocol_that_is_told_twice_fails, PURE)
{
	connect_it();
	note_protocol(TRACE_PROTOCOL);
	end("a connection tells its protocol twice");
}

TEST(a_loss_that_is_told_twice_fails, PURE)
{
	connect_it();
	note_protocol(TRACE_PROTOCOL_LOST);
	note_protocol(TRACE_PROTOCOL_LOST);
	end("a connection ends twice, or too early");
}

TEST(input_after_the_loss_fails, PURE)
{
	connect_it();
	note_protocol(TRACE_PROTOCOL_LOST);
	note(TRACE_READ);
	end("a connection reads after its end");
}

TEST(an_end_that_is_told_to_nobody_fails, PURE)
{
	connect_it();
	trace_end(TRACE_CLOSED, &thing, 0);
	end("a connection ends, and tells nobody");
}

TEST(a_callback_inside_another_fails, PURE)
{
	trace_note(TRACE_ENTER, r, NULL, NULL, 0);
	trace_note(TRACE_ENTER, r, NULL, NULL, 0);
	trace_note(TRACE_LEAVE, r, NULL, NULL, 0);
	trace_note(TRACE_LEAVE, r, NULL, NULL, 0);
	end("a callback comes inside another");
}

TEST(callbacks_of_two_reactors_may_be_inside_one_another, PURE)
{
	struct plait_reactor *b =
		plait_host_reactor(plait_simulation_host(sim, "b"));

	trace_note(TRACE_ENTER, r, NULL, NULL, 0);
	trace_note(TRACE_ENTER, b, NULL, NULL, 0);
	trace_note(TRACE_LEAVE, b, NULL, NULL, 0);
	trace_note(TRACE_LEAVE, r, NULL, NULL, 0);
	/* This one began before anybody looked. */
	trace_note(TRACE_LEAVE, r, NULL, NULL, 0);
	plait_reactor_free(&b);
	end(NULL);
}

TEST(a_callback_that_ends_before_one_inside_it_fails, PURE)
{
	struct plait_reactor *b =
		plait_host_reactor(plait_simulation_host(sim, "b"));

	trace_note(TRACE_ENTER, r, NULL, NULL, 0);
	trace_note(TRACE_ENTER, b, NULL, NULL, 0);
	trace_note(TRACE_LEAVE, r, NULL, NULL, 0);
	trace_note(TRACE_LEAVE, b, NULL, NULL, 0);
	plait_reactor_free(&b);
	end("a callback ends before one inside it");
}

TEST(a_turn_without_end_fails, PURE)
{
	for (int i = 0; i < 10000; i++) {
		trace_note(TRACE_ENTER, r, NULL, NULL, 0);
		trace_note(TRACE_LEAVE, r, NULL, NULL, 0);
	}
	end("a turn has no end");
}

TEST(a_timer_that_is_early_fails, PURE)
{
	struct plait_timer t = { .when = 0 };

	trace_note(TRACE_DUE, &t, r, NULL, 0);
	ck_assert_ptr_null(plait_simulation_failure(sim));
	t.when = 5;
	trace_note(TRACE_DUE, &t, r, NULL, 0);
	end("a timer runs 5 ns early");
}

TEST(a_descriptor_that_is_left_open_fails, PURE, TIMES(2))
{
	struct plait_host *h = plait_simulation_host(sim, "host");
	int fd = kernel_socket(loop_kernel(r), AF_INET, SOCK_STREAM);

	ck_assert_int_ge(fd, 0);
	/* Who is killed need not close anything. */
	if (_i == 1)
		plait_host_kill(h);
	plait_reactor_free(&r);
	end(_i == 0 ? "a program of host has left 1 descriptors open" : NULL);
}

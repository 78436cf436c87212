/*
 * Random programs on the testing reactor and on sockets, with memory that runs
 * out: see machine.h.  $PLAIT_SEEDS says how many to run of each kind; a
 * failure names its seed.
 */
#include <plait/plait.h>

#include "tests/harness.h"
#include "tests/machine.h"

enum { STEPS = 400 };

static uint32_t state;

static unsigned chance(unsigned n)
{
	state = state * 1664525 + 1013904223;
	return (state >> 8) % n;
}

static void refuse(unsigned n)
{
	fault_alloc_at(chance(n), false);
}

static unsigned seeds(void)
{
	const char *n = getenv("PLAIT_SEEDS");

	return n != NULL ? (unsigned)atoi(n) : 60;
}

/* The programs fail all the time, and nobody handles it. */
static void ignore(const struct plait_failure *why, void *arg)
{
}

static void run_programs(const char *on, bool fakes_inside,
			 bool memory_runs_out, unsigned first)
{
	struct machine_world world = {
		.backend = on,
		.fakes_inside = fakes_inside,
		.choose = chance,
		.refuse = memory_runs_out ? refuse : NULL,
	};
	unsigned n = seeds();
	unsigned long mark;

	plait_set_unhandled_hook(ignore, NULL);
	clock_virtual(on != NULL);
	for (uint32_t i = first * n; i < (first + 1) * n; i++) {
		mark = heap_mark();
		state = i;
		machine_run(&world, STEPS);
		fault_alloc_off();
		ck_assert_msg(heap_left_since(mark, stderr) == 0,
			      "memory left by program %u", i);
	}
	ck_assert_uint_eq(plait_deferred_report_pending(), 0);
}

GROUP("random");

TEST(random_programs_on_sockets_leave_nothing, ON_EACH_BACKEND, TIMES(4))
{
	run_programs(backend, false, _i % 2, (unsigned)_i);
}

TEST(random_programs_on_fakes_leave_nothing, PURE, TIMES(4))
{
	run_programs(NULL, false, _i % 2, (unsigned)_i);
}

GROUP("fakes");

TEST(callbacks_that_play_the_network_leave_nothing, PURE, TIMES(4))
{
	run_programs(NULL, true, _i % 2, (unsigned)_i);
}

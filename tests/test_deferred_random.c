/*
 * Deferreds under random programs: see tangle.h.  $PLAIT_SEEDS says how many
 * to run; a failure names its seed in the loop counter.
 */
#include <plait/plait.h>

#include "tests/harness.h"
#include "tests/steps.h"
#include "tests/tangle.h"

enum { STEPS = 200 };

static uint32_t state;

static unsigned chance(unsigned n)
{
	state = state * 1664525 + 1013904223;
	return (state >> 8) % n;
}

static void run_program(uint32_t seed)
{
	state = seed;
	tangle_run(chance, STEPS);
}

static unsigned seeds(void)
{
	const char *n = getenv("PLAIT_SEEDS");

	return n != NULL ? (unsigned)atoi(n) : 1000;
}

GROUP("random", .setup = steps_setup);

TEST(random_programs_leave_nothing_and_run_nothing_twice, PURE, TIMES(4))
{
	unsigned n = seeds();
	unsigned long mark;

	for (uint32_t i = 0; i < n; i++) {
		mark = heap_mark();
		run_program((uint32_t)_i * n + i);
		ck_assert_msg(heap_left_since(mark, stderr) == 0,
			      "memory left by program %u",
			      (unsigned)_i * n + i);
	}
	ck_assert_uint_eq(plait_deferred_report_pending(), 0);
	unhandled_expect(unhandled_count());
}

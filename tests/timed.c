/*
 * Time for tests: see timed.h.
 */
#include "tests/timed.h"

void timed_start(void)
{
	clock_virtual(true);
	if (reactor == NULL)
		reactor = plait_testing_reactor_new();
	ck_assert_ptr_nonnull(reactor);
}

void advance(double seconds)
{
	if (backend == NULL) {
		plait_testing_advance(reactor, seconds);
	} else {
		run_for(reactor, seconds);
		run_turns(reactor, 2);
	}
}

/*
 * For tests of what takes time: each runs on a reactor of testing.h, whose
 * clock is moved, and on each backend with the harness's virtual clock.
 */
#ifndef TESTS_TIMED_H
#define TESTS_TIMED_H

#include <plait/testing.h>

#include "tests/harness.h"

#define tcase_add_timed_test(tc, test) tcase_add_timed_loop_test(tc, test, 0, 1)
#define tcase_add_timed_loop_test(tc, test, start, end)                        \
	do {                                                                   \
		tcase_add_pure_loop_test(tc, test, start, end);                \
		tcase_add_reactor_loop_test(tc, test, start, end);             \
	} while (0)

/* To begin with: makes reactor one of testing.h if the test has none. */
void timed_start(void);

/* Lets that much time pass; what was due has run. */
void advance(double seconds);

#endif

/*
 * For what has to work with hardly any stack, and with any allocation refused.
 */
#ifndef TESTS_EXTREME_H
#define TESTS_EXTREME_H

#include "tests/harness.h"

/* A TEST whose body runs in a thread with a stack of 256 KiB. */
#define TEST_ON_SMALL_STACK(claim, ...)                                        \
	static void claim##_in_thread(int _i);                                 \
	TEST(claim, __VA_ARGS__)                                               \
	{                                                                      \
		on_small_stack(claim##_in_thread, _i);                         \
	}                                                                      \
	static void claim##_in_thread(int _i)

void on_small_stack(void (*run)(int i), int i);

/*
 * How long a chain must be so that whatever needs stack for each link overflows
 * that stack, and what is quadratic overruns the time limit: MILLION.  With
 * $PLAIT_TEST_SMALL it is a tenth, which still overflows the stack: a link has
 * less than three bytes of it.
 */
enum { MILLION = 1000000 };
unsigned a_million(void);

/*
 * Runs a whole life once for each allocation that it makes, which fails; then
 * with that and all later ones failing; and at last with none failing.  Each
 * time nothing may be left.  Failures that nobody handles are not counted.
 */
void without_each_allocation(void (*life)(void));

#endif

/*
 * For tests of what takes time, ON_EACH_REACTOR: the clock of one of testing.h
 * is moved, and that of a backend is the harness's virtual one.
 */
#ifndef TESTS_TIMED_H
#define TESTS_TIMED_H

#include <plait/testing.h>

#include "tests/harness.h"

/*
 * Begins a PURE one: makes reactor one of testing.h.  Those ON_EACH_REACTOR
 * have begun so.
 */
void timed_start(void);

/* Lets that much time pass; what was due has run. */
void advance(double seconds);

#endif

/*
 * For tests of what takes time, ON_EACH_REACTOR: the clock of one of testing.h
 * is moved, and that of a backend is the harness's virtual one.
 */
#ifndef TESTS_TIMED_H
#define TESTS_TIMED_H

#include <plait/testing.h>

#include "tests/harness.h"

/* To begin with; makes reactor one of testing.h if a PURE test has none. */
void timed_start(void);

/* Lets that much time pass; what was due has run. */
void advance(double seconds);

#endif

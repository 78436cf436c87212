/*
 * What cancelling has broken in Twisted, as uses of plait: each is a starter,
 * named after the ticket in Twisted's tracker.
 */
#ifndef TESTS_HISTORY_H
#define TESTS_HISTORY_H

#include "tests/starters.h"

extern const struct starter history[];
extern const int n_history;

/*
 * What firing the promise of 4710 or 5485 returned when the attempt had ended;
 * 0: nobody has tried.
 */
int history_late(void);

#endif

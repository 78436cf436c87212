/*
 * A tangle: a dozen deferreds and lists of them, with callbacks and cancellers
 * that do things to any of them while they run.  Somebody else chooses what: a
 * generator of random numbers, or a fuzzer.  Nothing is expected of the order;
 * what must hold, or it aborts, is that no callback runs twice or after its
 * deferred was freed, and that every value is freed exactly once.
 */
#ifndef TESTS_TANGLE_H
#define TESTS_TANGLE_H

/* Chooses a number below n. */
typedef unsigned tangle_choose(unsigned n);

/* That many things are done, and those that callbacks do; then all is freed. */
void tangle_run(tangle_choose *choose, unsigned steps);

#endif

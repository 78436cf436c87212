/*
 * For what has to work with hardly any stack, and with any allocation refused.
 */
#ifndef TESTS_EXTREME_H
#define TESTS_EXTREME_H

/* Runs it in a thread with a stack of 256 KiB. */
void on_small_stack(void *(*run)(void *arg));

/*
 * Runs a whole life once for each allocation that it makes, which fails; then
 * with that and all later ones failing; and at last with none failing.  Each
 * time nothing may be left.  Failures that nobody handles are not counted.
 */
void without_each_allocation(void (*life)(void));

#endif

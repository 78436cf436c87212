/*
 * Wrappers in front of any factory of a test, to show that nobody can tell:
 * what tests connect and listen with goes through wrapped(), which gives the
 * factory itself unless wrapped_as() has said otherwise.
 */
#ifndef TESTS_WRAPPED_H
#define TESTS_WRAPPED_H

#include <plait/plait.h>

enum wrapped_kind {
	WRAPPED_NOT,
	WRAPPED_PASSING,
	WRAPPED_LIMITED,
	WRAPPED_THROTTLED,
	WRAPPED_ALL, /* one in the other */
	N_WRAPPED
};

/*
 * From now on; whatever was wrapped before must be out of use.  burst is that
 * of the buckets, in each direction; their rate is 1,000,000 bytes a second.
 */
void wrapped_as(enum wrapped_kind kind, size_t burst);

/* The same one for the same factory. */
struct plait_factory *wrapped(struct plait_factory *f);

#endif

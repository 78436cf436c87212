/*
 * Compositions: trees of starters, made from a seed.
 */
#ifndef TESTS_COMPOSITIONS_H
#define TESTS_COMPOSITIONS_H

#include "tests/starters.h"

enum { MAX_SCENES = 24, MAX_DEPTH = 4 };

struct composition {
	struct scene scenes[MAX_SCENES]; /* the first is the whole */
	int n;
	bool fires_late; /* as a starter in it does */
};

/* The same seed makes the same; what needs sockets only where there are. */
void composition_make(struct composition *c, uint64_t seed);

/* "gather(lock_run held(...), ...)", NUL-terminated. */
void composition_str(const struct composition *c, char *buf, size_t size);

#endif

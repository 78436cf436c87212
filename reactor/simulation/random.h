/*
 * Chance: streams of numbers.  Each consumer has a stream of its own, made of
 * the seed and its name, so that one who draws more shifts nobody else.
 */
#ifndef REACTOR_SIMULATION_RANDOM_H
#define REACTOR_SIMULATION_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random_stream {
	uint64_t state;
};

void plait_i_random_init(struct random_stream *s, uint64_t seed,
			 const char *name);
uint64_t plait_i_random_next(struct random_stream *s);

/* Below n; n is not 0. */
uint64_t plait_i_random_below(struct random_stream *s, uint64_t n);

/* True with that probability.  0 and 1 draw nothing. */
bool plait_i_random_chance(struct random_stream *s, double probability);

/* From 0 to 1, without 1. */
double plait_i_random_share(struct random_stream *s);

#endif

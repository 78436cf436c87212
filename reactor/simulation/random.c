/*
 * A stream is splitmix64: a counter with a good hash of it.  Its state is one
 * word, it needs no warming up, and two streams that begin apart stay apart.
 */
#include "lib/chance.h"
#include "reactor/simulation/random.h"

void plait_i_random_init(struct random_stream *s, uint64_t seed,
			 const char *name)
{
	s->state = chance_next(&seed);
	for (; *name != '\0'; name++) {
		s->state ^= (unsigned char)*name;
		s->state = chance_next(&s->state);
	}
}

uint64_t plait_i_random_next(struct random_stream *s)
{
	return chance_next(&s->state);
}

/* The remainder prefers low numbers, by less than one part in 2^32 for all n
   that anybody asks for. */
uint64_t plait_i_random_below(struct random_stream *s, uint64_t n)
{
	return plait_i_random_next(s) % n;
}

double plait_i_random_share(struct random_stream *s)
{
	return (double)(plait_i_random_next(s) >> 11) * 0x1p-53;
}

bool plait_i_random_chance(struct random_stream *s, double probability)
{
	if (!(probability > 0))
		return false;
	return probability >= 1 || plait_i_random_share(s) < probability;
}

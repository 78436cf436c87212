/*
 * Chance: the marks of <plait/chance.h>, and those of the library itself.
 *
 * A simulation is above this layer.  It sets a hook for its thread while it
 * runs.  Outside of a simulation a mark costs a look at one variable of the
 * thread.
 */
#ifndef LIB_CHANCE_H
#define LIB_CHANCE_H

#include <plait/chance.h>

#include <stdint.h>

/* Embedded first in what the simulation makes of it. */
struct chance_hook {
	bool (*maybe)(struct chance_hook *h, double probability,
		      const char *where);
	void (*sometimes)(struct chance_hook *h, bool condition,
			  const char *what, const char *where);
};

/* NULL: no simulation runs in this thread. */
extern _Thread_local struct chance_hook *plait_i_chance_hook
	__attribute__((tls_model("initial-exec")));

/*
 * The next number of a sequence, splitmix64: any state is as good to begin with
 * as any other, and 64 bits of state give 64 bits.
 */
static inline uint64_t chance_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/*
 * The library's own marks; only the tests' build of the library has them, so
 * they cost programs nothing.
 *
 * REACHED(what) says that simulations must come to this place.  All such places
 * of a program are in the section plait_i_places, so a test finds those, too,
 * to which nothing has come.
 */
struct chance_place {
	const char *what, *where;
	unsigned long reached; /* how often, in simulations */
};

#ifdef PLAIT_VERIFY
#define MAYBE(probability)                                                     \
	(__builtin_expect(plait_i_chance_hook != NULL, 0) &&                   \
	 PLAIT_MAYBE(probability))
#define REACHED(name)                                                          \
	do {                                                                   \
		static struct chance_place place = { .what = (name),           \
						     .where = PLAIT_HERE };    \
		static struct chance_place *const listed                       \
			__attribute__((section("plait_i_places"), used)) =     \
				&place;                                        \
                                                                               \
		(void)listed;                                                  \
		if (__builtin_expect(plait_i_chance_hook != NULL, 0))          \
			place.reached++;                                       \
	} while (0)
#else
#define MAYBE(probability) false
#define REACHED(name) ((void)0)
#endif

#endif

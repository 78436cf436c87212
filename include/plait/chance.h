/*
 * Marks in a program for the simulations that test it (<plait/simulation.h>).
 * Without a simulation they do nothing, so they stay in the program.
 *
 * PLAIT_MAYBE() provokes what is rare: a short read, an early end, an answer
 * that comes late.  PLAIT_SOMETIMES() says what the tests must have seen at
 * least once, or they are blind.
 *
 *	if (PLAIT_MAYBE(0.01))
 *		cache_clear(c);
 *	PLAIT_SOMETIMES(cache_is_full(c));
 *
 * A mark acts in the thread that runs a simulation, while the simulation runs.
 */
#ifndef PLAIT_CHANCE_H
#define PLAIT_CHANCE_H

#include <plait/base.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Is true with that probability, from 0 to 1, in a simulation; outside of a
 * simulation it is false.  The seed and the place decide, so a mark that is
 * added changes nothing for the other marks.
 */
#define PLAIT_MAYBE(probability) plait_maybe((probability), PLAIT_HERE)

/*
 * Returns the condition, which is evaluated once, also outside of a simulation.
 * plait_check_seeds() fails if the condition was false each time, with all of
 * its seeds.  It cannot know of a mark that no seed has come to; if this must
 * not be, put a second mark where each seed comes.
 */
#define PLAIT_SOMETIMES(condition)                                             \
	plait_sometimes((condition), #condition, PLAIT_HERE)

/*
 * The functions behind the macros, for marks with a name of their own: what is
 * what the report calls the mark.  A mark is known by what and where; both must
 * stay valid until plait_check_seeds() has returned.
 */
bool plait_maybe(double probability, const char *where);
bool plait_sometimes(bool condition, const char *what, const char *where);

#ifdef __cplusplus
}
#endif

#endif

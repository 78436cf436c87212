/*
 * Races of happy eyeballs that somebody else chooses: a generator of random
 * numbers, or a fuzzer.  Addresses come, lookups end, attempts fail and
 * connect, turns end and time passes, in any order that a driver may meet.
 *
 * After each step the race is compared with the rules, which race.c tells in
 * its own way.  A rule that is broken aborts, and says which.
 */
#ifndef TESTS_RACE_H
#define TESTS_RACE_H

/* What a race has come to. */
enum race_end { RACE_WON, RACE_LOST };

/*
 * Runs a race of that many steps; then all that is left to happen happens, so
 * that the race ends.  choose(n) gives a number below n.
 */
enum race_end race_run(unsigned (*choose)(unsigned n), unsigned steps);

#endif

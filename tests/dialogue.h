/*
 * A dialogue: two peers of the library, connected over loopback, who write,
 * pause, close a half, lose and reset the connection and have producers, from
 * everywhere: between the turns and inside each of their callbacks.  Somebody
 * else chooses what: a generator of random numbers, or a fuzzer.
 *
 * What must hold, or it aborts: what arrives is what was written, each byte
 * once and in order; nothing comes while reading is paused; all has arrived if
 * an end that nobody of this side asked for is called clean; each connection
 * that was made is lost once, and nothing comes after that; a producer that is
 * registered at the end is stopped; all is given back.
 */
#ifndef TESTS_DIALOGUE_H
#define TESTS_DIALOGUE_H

/* Chooses a number below n. */
typedef unsigned dialogue_choose(unsigned n);

/*
 * On a new reactor with that backend, which is freed: so many things are done,
 * and those that callbacks do; then all ends.
 */
void dialogue_run(const char *backend, dialogue_choose *choose, unsigned steps);

/* The same on that reactor, which is taken, and on that address. */
struct plait_reactor;
void dialogue_run_on(struct plait_reactor *r, const char *address,
		     dialogue_choose *choose, unsigned steps);

#endif

/*
 * A machine: a program of the library's objects, on sockets or on a testing
 * reactor, whose every callback does things to any of them.  Somebody else
 * chooses what: a generator of random numbers, or a fuzzer.  Nothing is
 * expected of the order; what must hold, or it aborts, are the promises of the
 * contract that can be watched from outside:
 *
 * - a protocol is made, gets its data, is lost once and done once, in that
 *   order, and gets nothing while it is paused or after it was closed;
 * - a factory starts and stops in turn, and builds only between; each attempt
 *   of a connector fails or is lost, once;
 * - a timer or a call comes once, and not after it was stopped; a watch and a
 *   producer not after theirs;
 * - a callback of a deferred comes once, and not after that was freed; one at
 *   a time has the lock;
 * - an entry of a scope is told once, and not after it has left.
 *
 * A program runs until its choices are used up, and ends with its reactor.
 */
#ifndef TESTS_MACHINE_H
#define TESTS_MACHINE_H

#include <stdbool.h>

/* Chooses a number below n. */
typedef unsigned machine_choose(unsigned n);

struct machine_world {
	const char *backend; /* NULL: a testing reactor */
	/* Makes a reactor of another kind instead, whose turns wait so long. */
	struct plait_reactor *(*make)(void);
	double wait;
	bool fakes_inside; /* callbacks, too, play the network of that */
	machine_choose *choose;
	/* Lets one of the next n allocations fail; NULL: none can. */
	void (*refuse)(unsigned n);
};

/* That many things are done, those that callbacks do included. */
void machine_run(const struct machine_world *world, unsigned steps);

#endif

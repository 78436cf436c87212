/*
 * The simulated kernel as one more backend of tests: its name is "simulated".
 *
 * A test ON_EACH_KERNEL or ON_EACH_REACTOR runs on a simulated host as well.
 * The library's calls there go through the seam, so that fault.h counts them
 * and makes them fail, by the same names.  The peers of harness.h are sockets
 * of another program of that host, and what is sent arrives at once.  Time is
 * the simulation's: whoever turns a reactor lets it pass, and clock_now() tells
 * it.
 */
#ifndef TESTS_MODEL_H
#define TESTS_MODEL_H

#include <plait/simulation.h>

#include "reactor/kernel/kernel.h"

#define MODEL "simulated"

/* Around a test that runs on it; the second fails the test if the run has
   broken the contract. */
void model_begin(void);
void model_end(void);

/* True between the two. */
bool model_is_on(void);

/* A further reactor on it: model_is_on(). */
struct plait_reactor *model_reactor(void);

/* What the peers of a test ask: NULL means the real kernel. */
struct kernel *model_peers(void);

/* The kernel of r, past the seam: calls that no fault hits. */
struct kernel model_past_seam(struct plait_reactor *r);

/* Makes a file of its host, with this text; NULL: there is none. */
void model_set_file(const char *path, const char *text);

/* Everything goes on for that long. */
void model_wait(double seconds);

#endif

/*
 * The parts of plait_react(), for who makes the reactor and turns it: the
 * simulation does both.
 */
#ifndef REACTOR_REACT_H
#define REACTOR_REACT_H

#include <plait/react.h>

/* Zeroed, but for reactor, main, arg and is_quiet. */
struct react {
	struct plait_reactor *reactor;
	plait_react_main *main;
	void *arg;
	bool is_quiet; /* what main fails with is the status, and no report */
	/* private */
	struct plait_deferred *deferred;
	struct plait_promise *ended; /* what the shutdown waits for */
	bool stopping;		     /* and this is why it was cancelled */
	bool done;
	int status;
};

/* Before the run: main will be called in it.  Returns 0 or -errno. */
int plait_i_react_begin(struct react *self);

/*
 * After the run, which gave rc, an error if it did not come to its end: frees
 * the reactor, and returns the exit status.  -ECHILD, as in a forked child, is
 * reported to nobody.
 */
int plait_i_react_end(struct react *self, int rc);

#endif

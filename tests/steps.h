/*
 * Callbacks, values and cancellers for the tests of deferreds.  Whatever
 * happens to them is written down in one line of text, the trace, so a test
 * says in one comparison what ran, with what, and in which order:
 *
 *	"a:1"	callback a ran and its result was 1
 *	"~v"	the value v was freed
 *	"!c"	canceller c ran
 *	"?K: m"	a failure was reported as unhandled
 */
#ifndef TESTS_STEPS_H
#define TESTS_STEPS_H

#include <plait/plait.h>

#include "tests/trace.h"

/* Traces "NAME:VALUE". */
void trace_value(const char *name, const plait_value *v);

/* For .setup of a GROUP: nothing traced, no value alive. */
void steps_setup(void);

/*
 * A value that is traced when it is freed; one with several owners, which is
 * not; and how many there are, each owner counted.
 */
plait_value tracked(const char *name);
plait_value owned_by_many(const char *name);
unsigned tracked_live(void);

/*
 * A callback that does what its arg, a struct step, says: writes itself down,
 * then act, if there is one, then answers: with an inner deferred, with a
 * value, or else with the result that it got.  With .name alone it passes on.
 */
struct step {
	const char *name;
	void (*act)(struct step *s, plait_value *result);
	struct plait_deferred *d; /* for act */
	struct plait_deferred *inner;
	bool answers;
	plait_value answer;
};
plait_callback step;

/* A fired deferred that waits for inner; *inner is taken. */
struct plait_deferred *waiting_for(struct plait_deferred **inner);

/* Adds a step that only writes itself down, as what its name says. */
void pass_callback(struct plait_deferred *d, const char *name);
void pass_errback(struct plait_deferred *d, const char *name);
void pass_both(struct plait_deferred *d, const char *name);

/* Counts in the unsigned that is its arg, and handles whatever it gets. */
plait_callback count_settled;

/* An errback that handles whatever it gets, without a word. */
void handle_all(struct plait_deferred *d);

/* Something to do in a step, with its d. */
void act_add(struct step *s, plait_value *result); /* pass_both "added" */

/* A canceller that answers as its arg, a struct step, says. */
plait_canceller step_canceller;

#endif

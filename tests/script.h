/*
 * Scripts: tests of deferreds, and of what is made of them, in words.
 *
 *	SCRIPT(late_result_is_freed, PURE,
 *	       "new d; both d a; cancel d | fire d ~late",
 *	       "a:CancelledError | ~late ECANCELED")
 *
 * is a test that does the steps (see play.h) and compares the trace (see
 * steps.h) with what is expected.  As "|" is traced as well, both strings have
 * the same parts.  SCRIPTS(name, PURE, { steps, trace }, ...) is a test with
 * several runs.  After the comparison all that a script has made is handled
 * and freed; a value that is left then fails the test, and so does a failure
 * that is reported only then.  One that is reported before is traced as
 * "?TEXT", and as "?NeverFiredError" or "?NeverFreedError", whose texts would
 * be about this file.
 *
 * A deferred has a name, and its promise has the same name.
 *
 *     new d CANCELLER    d is a deferred that has not fired
 *     fired d VALUE      d has fired already
 *     waiting d e        d has fired and waits for e, which it takes
 *     list d +FLAG e f   d is a list of e and f; also gather and race; flags
 *                        are +consume, +callback and +errback
 *     both d CALLBACK    d gets it for values and failures,
 *     then d CALLBACK    ... for values, and
 *     catch d CALLBACK   ... for failures
 *     pair d CALLBACK, CALLBACK   one for each, or nothing
 *     fire d VALUE       traces the error if it is refused: ECANCELED
 *     chain d e          the result of d fires the promise of e
 *     cancel d REASON    the reason may be left out
 *     drop d, free d, detach d, pause d, unpause d
 *     show d             traces "d=RESULT", "d waits" or "d pending"
 *     why d              traces "d=KIND(REASON)", of its failure
 *     wanted d           traces "d wanted" or "d unwanted", of its promise
 *     live?              traces how many owners of ~v and &v there are
 *     say WORD           traces it
 *     heap N CALLBACK    does the steps, which leave N blocks of memory more
 *     allocates N ...    does the steps, which allocate as often
 *     refuse N CALLBACK  does them, and the Nth allocation from 0 fails
 *     refuse_all N ...   ... and all that come after it
 *
 * and on a reactor, whose time is virtual (see timed.h):
 *
 *     advance SECONDS    time passes
 *     after SECONDS CALLBACK   does its steps then
 *     free_reactor
 *
 * A CALLBACK is NAME { STEPS } = VALUE, and each of the three may be left out.
 * With a name it traces "NAME:RESULT".  Then it does the steps, and answers
 * with the value, or else with the result that it got.  A CANCELLER is the
 * same after a "!": it traces "!NAME", and without a value it answers with a
 * cancellation.
 *
 * A VALUE is a number, none, ~v (traced when it is freed), &v (may have many
 * owners), 'v (a text), Error:m or Cancelled:m (a failure with that message),
 * or e, which is that deferred.
 */
#ifndef TESTS_SCRIPT_H
#define TESTS_SCRIPT_H

#include "tests/play.h"
#include "tests/steps.h"

#define SCRIPT(name, kind, steps, trace) SCRIPTS(name, kind, { steps, trace })
#define SCRIPTS(name, kind, ...)                                               \
	static const struct script name##_scripts[] = { __VA_ARGS__ };         \
	TEST(name, kind, EACH_OF(name##_scripts))                              \
	{                                                                      \
		script_play(&name##_scripts[_i]);                              \
	}

/* Does the steps and compares the trace. */
struct script {
	const char *steps, *trace;
};
void script_play(const struct script *s);

/* For verbs, as those of play.h. */
plait_value script_value(void);

/* The deferred of that name, new or not: its two ends. */
struct script_part {
	const char *name;
	struct plait_deferred *d;
	struct plait_promise *p;
	bool taken; /* d is another's now */
};
struct script_part *script_part(void);
struct script_part *script_known(void); /* not new */

/* Traces the name of the error that r is, of those of the library's calls. */
void script_errno(int r);

/* For each name in the step: makes one, which traces as its name. */
void script_make_each(struct plait_deferred *(*make)(void));

/* Gives the deferred away. */
struct plait_deferred *script_take(struct script_part *part);

/* A callback of a script, also for cancellers and for operations. */
struct script_callback;
struct script_callback *script_callback(void);
plait_callback script_call;		/* arg is one of these */
plait_value script_operation(void *cb); /* a callback that gets none */

#endif

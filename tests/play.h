/*
 * The player of tests in words.  What is played is steps:
 *
 *	half-closeable; open; D { write x; lose }; peer says hello; turn 3;
 *	fail recv EINTR; trace MDL
 *
 * A step is a verb and what the verb wants.  It ends with ";", with a block in
 * braces, or with "|", which is traced as well (see trace.h).
 *
 *	WORD		ends at a blank or a comma
 *	NUMBER		3, 0.5, 8K, 8M
 *	N bytes		5 bytes, 8M bytes
 *	ERROR		the name of an errno: EINTR; 0 is none
 *	TEXT		the rest of the step
 *	{ STEPS }	are played when, and as often as, the verb says
 *
 * and where something is expected,
 *
 *	NUMBER		... or <5 or >5
 *	TEXT		... or its begin...its end, or - for nothing
 *
 * The words themselves are in three headers: script.h has those for deferreds
 * (SCRIPT), story.h those for a connection and stage.h those for ports and
 * connectors (STORY).  A suite adds its own, which its file lists.
 *
 * A step that is no such thing, or that does not hold, fails the test, which
 * quotes it.
 */
#ifndef TESTS_PLAY_H
#define TESTS_PLAY_H

#include "tests/harness.h"

/* The last of a table has NULL for its name. */
struct play_verb {
	const char *name;
	void (*act)(void);
};

/*
 * A suite's own verbs, which come first, and what is to be called at the end
 * of each SCRIPT or STORY; either may be NULL.  For a fixture.
 */
void play_words(const struct play_verb *own, void (*end)(void));

/* For a header that adds to another: these come behind a suite's own. */
void play_add_words(const struct play_verb *verbs, void (*end)(void));

/* For the three headers: plays steps with the verbs of one of them. */
void play_begin(void);
void play_steps(const struct play_verb *verbs, const char *steps);
void play_end(void);

/* For verbs: nothing after this step is played. */
void play_no_further(void);

/*
 * For verbs: what follows in the step.  It fails the test if there is no such
 * thing.  A word or text stays until the next play_begin().
 */
bool play_more(void);
const char *play_word(void);
const char *play_text(void);
double play_number(void);
int play_errno(void);
bool play_either(const char *yes, const char *no); /* it is this word */

/* ... if it is there. */
bool play_mark(const char *mark);
bool play_bytes(size_t *n);
unsigned long play_count(unsigned long otherwise);
const char *play_block(void); /* what is in the braces, or NULL */

/* ... with a verb; play_name is the verb that acts. */
bool play_act(const struct play_verb *verbs);
extern const char *play_name;

/* Expectations. */
void play_holds(bool it_does, const char *fmt, ...) PLAIT_PRINTF(2, 3);
void play_text_is(const char *text, const char *expected);
void play_number_is(size_t n); /* NUMBER is next in the step */

/* "EINTR", and "0" for 0. */
const char *play_errno_name(int err);

#endif

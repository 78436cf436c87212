/*
 * What the rest of the library may ask a deferred, and a program may not.
 */
#ifndef LIB_DEFERRED_H
#define LIB_DEFERRED_H

#include <stdint.h>

#include <plait/deferred.h>
#include <plait/failure.h>

/*
 * What there is when there is no memory for a deferred: always failed, never
 * changed.  Freeing it does nothing.  A NULL deferred stands for it.
 */
extern struct plait_deferred plait_i_deferred_no_memory;

static inline struct plait_deferred *deferred_given(struct plait_deferred *d)
{
	return d != NULL ? d : &plait_i_deferred_no_memory;
}

/*
 * The same as plait_deferred_add_both(), for an arg that must be ended even if
 * the pair never runs because d is freed before.  Then drop(arg) is called,
 * after a callback or the canceller of d that runs, and what d has waited for,
 * have ended.  If drop() ends a hold, it returns the deferred that was held,
 * which goes on then; else it returns NULL.  With no memory for the pair, d is
 * cancelled before the pair runs out of turn.
 */
typedef struct plait_deferred *deferred_drop(void *arg);
struct plait_deferred *plait_i_deferred_add_guarded(struct plait_deferred *d,
						    plait_callback *both,
						    void *arg,
						    deferred_drop *drop);

/*
 * In a forked child: gives the firing end back, and neither fires nor drops
 * it.  The canceller is not called any more.  The code that holds the waiting
 * end ends what waits.
 */
void plait_i_deferred_abandon(struct plait_promise **pp);

/*
 * The same as plait_i_deferred_add_guarded(), for a pair that fires other
 * promises, so that the stack does not grow if the chains of these fire further
 * promises.  feed() returns the promise to fire, given, or NULL for none, and
 * stores in *ret the value to fire it with.  If feed() sets again, it is called
 * once more after the chain of this promise has run.  It takes *result in the
 * first call.  drop() may take the result of d, too; a failure that it leaves
 * is reported.  If drop is NULL, the pair is like a pair of the program.
 */
struct deferred_fed {
	plait_value value;
	bool again;
};
typedef struct plait_promise *deferred_feed(plait_value *result, void *arg,
					    struct deferred_fed *ret);
typedef struct plait_deferred *deferred_feed_drop(plait_value *result,
						  void *arg);
struct plait_deferred *plait_i_deferred_add_feed(struct plait_deferred *d,
						 deferred_feed *feed, void *arg,
						 deferred_feed_drop *drop);

/*
 * Makes a deferred that stands for others, its parts.  It is the same as
 * (plait_deferred_new)(), but instead of a canceller and its arg it has g,
 * which is borrowed and lies in a struct of the caller.  When d is cancelled,
 * next_part() returns the parts to cancel, one in each call, borrowed until the
 * next call, and then NULL; after them d itself is cancelled.  So the stack
 * does not grow if a part stands for others, too.
 */
struct deferred_group {
	struct plait_deferred *(*next_part)(struct deferred_group *g,
					    struct plait_deferred *d);
	const char *reason, *where; /* told to the parts */
};
struct plait_deferred *plait_i_deferred_new_group(struct plait_promise **ret,
						  struct deferred_group *g,
						  const char *where);

/*
 * The same as (plait_deferred_free)(), for a part that was cancelled in this
 * way.
 */
void plait_i_deferred_free_part(struct plait_deferred **dp, const char *where);

/*
 * Returns true if a cancel would find something to stop: d has not fired, or
 * waits for a deferred that has not fired.
 */
bool plait_i_deferred_is_pending(const struct plait_deferred *d);

/*
 * d has a canceller, and stands for work that may go on after d has fired.
 * rest is called once with the canceller's arg: when d is cancelled after it
 * has fired, or when nobody waits for it any more.  detached says that the work
 * may go on.  A rest of NULL says that no work is left.
 */
typedef void deferred_rest(void *arg, bool detached);
void plait_i_deferred_set_rest(struct plait_deferred *d, deferred_rest *rest);

/*
 * The program has given its handle of d away, at this place.  Nobody can
 * unpause d any more, so its pauses end.  The callbacks that are due run when
 * the next pair is added.  Aborts if d was given away already.
 */
void plait_i_deferred_take(struct plait_deferred *d, const char *where);

/*
 * The same as (plait_maybe_deferred)(), for what a function has returned;
 * taken.
 */
struct plait_deferred *plait_i_deferred_take_value(plait_value v,
						   const char *where);

/*
 * The reason in a cancellation that only freeing has caused.  This failure, and
 * a failure that contains nothing else, are reported to nobody.
 */
extern const char plait_i_deferred_freed_reason[];
bool plait_i_deferred_is_of_freeing(const struct plait_failure *f);

/*
 * Holds d, which its canceller or its rest has just told to end, while work
 * that d stands for is still on the stack: the callbacks of d wait, and what d
 * guards is kept.  plait_i_deferred_release() ends the hold, or a drop() that
 * returns d.
 */
void plait_i_deferred_hold(struct plait_deferred *d);
void plait_i_deferred_release(struct plait_deferred *d);

/*
 * Called by the canceller of d.  If a callback or the canceller of other runs,
 * or of what other waits for, this holds d until that function has returned.
 * Does nothing if none runs.
 */
void plait_i_deferred_hold_for(struct plait_deferred *d,
			       struct plait_deferred *other);

/*
 * Does what (plait_deferred_free)() does with other, and then what
 * plait_i_deferred_hold_for() does.
 */
void plait_i_deferred_free_for(struct plait_deferred *d,
			       struct plait_deferred **other,
			       const char *where);

/*
 * The report of what never ended, in two steps.  The first step notes which
 * deferreds of this thread have fired and are kept.  The second step reports
 * the deferreds that have not fired and were made in turns of the reactor with
 * this number.  If all is true, it reports all deferreds that have not fired,
 * and those that were noted and are still kept.  Returns how many it has
 * reported.
 */
void plait_i_deferred_note_kept(void);
size_t plait_i_deferred_report(unsigned reactor, bool all);

/*
 * Where a deferred is made, in one word.  lib/ knows no reactor, so a reactor
 * says who it is when it turns.  All reactors without a clock of their own have
 * the clock of the system.
 */
struct deferred_home {
	unsigned reactor : 30; /* its number; 0: there was none yet */
	bool in_turn : 1;      /* made in a turn of it, so its own */
	bool own_clock : 1;
};

/*
 * Where a deferred is made, and at what time.  lib/ has no clock.  A reactor
 * lends its own to the thread that turns it, for the ages of deferreds.
 */
struct deferred_time {
	struct deferred_home home;
	int64_t (*clock)(void); /* nanoseconds; NULL: time stands still */
	int64_t now;		/* negative: to be asked for, if there is one */
};

/*
 * A turn begins: deferreds that are made belong to home until the end of the
 * turn, which restores what this returns.  Between turns the time of the last
 * turn stays.
 */
struct deferred_time plait_i_deferred_begin(struct deferred_home home);
void plait_i_deferred_end(const struct deferred_time *before);

/*
 * Outside of a turn of home: returns true if home may lend its clock now, that
 * is, unless another reactor turns.
 */
bool plait_i_deferred_may_lend(struct deferred_home home);

/*
 * plait_i_deferred_set_clock() makes the clock the time of this thread's
 * deferreds; the clock is read at most once until this is called again.
 * plait_i_deferred_set_time() fixes the time instead.
 */
void plait_i_deferred_set_clock(int64_t (*clock)(void));
void plait_i_deferred_set_time(int64_t now);

#endif

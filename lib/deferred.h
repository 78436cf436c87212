/*
 * What the rest of the library may ask of a deferred and a program may not.
 */
#ifndef LIB_DEFERRED_H
#define LIB_DEFERRED_H

#include <stdint.h>

#include <plait/deferred.h>
#include <plait/failure.h>

/*
 * As plait_deferred_add_both(), for an arg that must be ended even if the
 * pair never runs, because d is freed first: then drop(arg) is called, once
 * a callback or the canceller of d that runs, and what d waited for, have
 * ended.  If drop() ends a hold, it returns the deferred that was held, which
 * goes on then; or else NULL.  With no memory for the pair, d is cancelled
 * before that runs out of turn.
 */
typedef struct plait_deferred *deferred_drop(void *arg);
struct plait_deferred *plait_i_deferred_add_guarded(struct plait_deferred *d,
						    plait_callback *both,
						    void *arg,
						    deferred_drop *drop);

/*
 * In a forked child: gives the firing end back, and neither fires nor drops
 * it.  The canceller is not called any more.  What waits is ended by whoever
 * holds the waiting end.
 */
void plait_i_deferred_abandon(struct plait_promise **pp);

/*
 * As plait_i_deferred_add_guarded(), for a pair that fires other promises, so
 * that the stack does not grow if their chains fire others in turn.  feed()
 * returns the promise that is to be fired, given, or NULL for none, and says in
 * *ret with which value.  If it sets again, it is called once more when the
 * chain of that promise has run.  It takes *result in the first call.  If drop
 * is NULL, the pair is like one of the program's.
 */
struct deferred_fed {
	plait_value value;
	bool again;
};
typedef struct plait_promise *deferred_feed(plait_value *result, void *arg,
					    struct deferred_fed *ret);
struct plait_deferred *plait_i_deferred_add_feed(struct plait_deferred *d,
						 deferred_feed *feed, void *arg,
						 deferred_drop *drop);

/*
 * A deferred that stands for others, its parts: as (plait_deferred_new)(), but
 * instead of a canceller and its arg it has g, which is borrowed and lies in a
 * struct of the caller's.  When d is cancelled, next_part() returns the parts
 * that are to be cancelled, one in each call, borrowed until the next call, and
 * then NULL; after them d itself is cancelled.  So the stack does not grow if a
 * part stands for others in turn.
 */
struct deferred_group {
	struct plait_deferred *(*next_part)(struct deferred_group *g,
					    struct plait_deferred *d);
	const char *reason, *where; /* told to the parts */
};
struct plait_deferred *plait_i_deferred_new_group(struct plait_promise **ret,
						  struct deferred_group *g,
						  const char *where);

/* As (plait_deferred_free)(), for a part that has been cancelled so. */
void plait_i_deferred_free_part(struct plait_deferred **dp, const char *where);

/*
 * True if a cancel would find something to stop: d has not fired, or waits
 * for what has not.
 */
bool plait_i_deferred_is_pending(const struct plait_deferred *d);

/*
 * d, which has a canceller, stands for work that may go on after it has
 * fired.  rest is called with the canceller's arg, once: when d is cancelled
 * after it has fired, or nobody waits for it any more.  detached tells that
 * the work is to go on.  A rest of NULL says that no work is left.
 */
typedef void deferred_rest(void *arg, bool detached);
void plait_i_deferred_set_rest(struct plait_deferred *d, deferred_rest *rest);

/*
 * The program has given its handle of d away, at that place: nobody is left to
 * unpause d, so its pauses end.  What is due runs when the next pair is added.
 * Aborts if d was given to somebody already.
 */
void plait_i_deferred_take(struct plait_deferred *d, const char *where);

/* As (plait_maybe_deferred)(), for what a function has returned; taken. */
struct plait_deferred *plait_i_deferred_take_value(plait_value v,
						   const char *where);

/*
 * The reason in a cancellation that only freeing has caused.  That, and what
 * is made of nothing but that, is told to nobody.
 */
extern const char plait_i_deferred_freed_reason[];
bool plait_i_deferred_is_of_freeing(const struct plait_failure *f);

/*
 * Holds d, which its canceller or its rest has just told to end, while work
 * that d stands for is still on the stack: the callbacks of d wait, and what
 * d guards is kept.  plait_i_deferred_release() ends the hold, or a drop() that
 * returns d.
 */
void plait_i_deferred_hold(struct plait_deferred *d);
void plait_i_deferred_release(struct plait_deferred *d);

/*
 * Called by the canceller of d.  If a callback or the canceller of other runs,
 * or of what other waits for, holds d until that has returned.  Does nothing
 * if none runs.
 */
void plait_i_deferred_hold_for(struct plait_deferred *d,
			       struct plait_deferred *other);

/* As (plait_deferred_free)(), and then as plait_i_deferred_hold_for() of that.
 */
void plait_i_deferred_free_for(struct plait_deferred *d,
			       struct plait_deferred **other,
			       const char *where);

/*
 * The report of what never ended, in two steps.  The first notes which
 * deferreds of this thread have fired and are kept.  The second tells of those
 * that have not fired and were made in turns of the reactor of that number.  If
 * all, it tells of any that have not fired, and of those that were noted and
 * still are kept.  Returns how many.
 */
void plait_i_deferred_note_kept(void);
size_t plait_i_deferred_report(unsigned reactor, bool all);

/*
 * Where a deferred is made, in a word.  lib/ knows no reactor, so one says who
 * it is when it turns.  Reactors whose clock is not their own all have the
 * system's.
 */
struct deferred_home {
	unsigned reactor : 30; /* its number; 0: there was none yet */
	bool in_turn : 1;      /* made in a turn of it, so its own */
	bool own_clock : 1;
};

/*
 * Where, and at what time.  lib/ has no clock either: a reactor lends its own
 * to the thread that turns it, for the ages of deferreds.
 */
struct deferred_time {
	struct deferred_home home;
	int64_t (*clock)(void); /* nanoseconds; NULL: time stands still */
	int64_t now;		/* negative: to be asked for, if there is one */
};

/*
 * A turn begins: what is made is at home there, until the end of the turn gives
 * back what this returns.  Between turns, the time of the last one holds on.
 */
struct deferred_time plait_i_deferred_begin(struct deferred_home home);
void plait_i_deferred_end(const struct deferred_time *before);

/*
 * Outside of a turn of home: it may lend its clock now, which is true unless
 * another reactor turns.
 */
bool plait_i_deferred_may_lend(struct deferred_home home);

/*
 * From now on the time of this thread's deferreds is what the clock says, which
 * is asked at most once until this is called again; or that it is now, for
 * good.
 */
void plait_i_deferred_set_clock(int64_t (*clock)(void));
void plait_i_deferred_set_time(int64_t now);

#endif

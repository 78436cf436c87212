/*
 * Cancel points: proves that work which is under way can be ended at any
 * moment, and ends then.
 *
 * A scenario is a function that starts the work and gives its deferred.  It is
 * run once to its end, and then again and again; each time it is ended at
 * another point, in each of several ways.  After each run nothing of the work
 * may be left, and on the same reactor the scenario must then run to its end.
 *
 *	static struct plait_deferred *fetch(struct plait_reactor *r, void *arg)
 *	{
 *		return poem_fetch(r, "poems", 10000);
 *	}
 *
 *	struct plait_cancel_check check = { .start = fetch };
 *
 *	if (plait_check_cancel_points(&check, NULL) == 0)
 *		exit(1);
 *
 * A point is a moment between two callbacks of the loop, or the end of a
 * callback, before the loop has done what the callback asked for.  Points at
 * which the same is alive as at an earlier point are left out: as many
 * deferreds of the same places, connections, ports and timers, in the same
 * states.  So a run of thousands of turns has some tens of points.
 *
 * All of this belongs to one thread, and is for tests.
 */
#ifndef PLAIT_CANCEL_POINTS_H
#define PLAIT_CANCEL_POINTS_H

#include <plait/check.h>
#include <plait/deferred.h>
#include <plait/failure.h>
#include <plait/reactor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The ways to end a run. */
enum plait_cancel_how {
	PLAIT_CANCEL_CALL = 1 << 0,	/* plait_deferred_cancel_because() */
	PLAIT_CANCEL_FREE = 1 << 1,	/* plait_deferred_free() */
	PLAIT_CANCEL_SCOPE = 1 << 2,	/* its scope is cancelled */
	PLAIT_CANCEL_DEADLINE = 1 << 3, /* the time of its scope is up */
	PLAIT_CANCEL_LOSS = 1 << 4,   /* all connections of the reactor break */
	PLAIT_CANCEL_STOP = 1 << 5,   /* plait_reactor_stop() */
	PLAIT_CANCEL_NESTED = 1 << 6, /* cancelled by another's canceller */
	PLAIT_CANCEL_OWN = 1 << 7     /* cancelled, and freed when told so */
};

/*
 * Starts the work on r and gives its deferred, which is taken.  It is called
 * once a run, or twice: the second time nothing of the first is left, except
 * what arg keeps.
 */
typedef struct plait_deferred *plait_cancel_scenario(struct plait_reactor *r,
						     void *arg);

/*
 * A check of the program's own, when a run is over and its grace as well: is
 * my table empty?  Returns NULL if all is in order, or else what is wrong, as
 * text that is valid until the next call.
 */
typedef const char *plait_cancel_after(void *arg);

/*
 * The world of a run.  open() gives the reactor, or NULL with errno set;
 * close() ends it, and what else there is.
 */
typedef struct plait_reactor *plait_cancel_open(void *arg);
typedef void plait_cancel_close(struct plait_reactor *r, void *arg);

struct plait_cancel_check {
	plait_cancel_scenario *start;
	plait_cancel_after *after; /* NULL: none */
	/* Both NULL: each run has the reactor of a host of a simulated network
	   on which nothing goes wrong. */
	plait_cancel_open *open;
	plait_cancel_close *close;
	void *arg;    /* of all four, borrowed */
	unsigned how; /* the ways: enum plait_cancel_how, added; 0: all */
	/* Seconds in which what was left when the run ended may end, such as
	   the closing of connections; 0: 60. */
	double grace;
	/* Seconds that a run may take; 0: 3600, or 10 of the real clock. */
	double patience;
	size_t max_points; /* if there are more, some are left out; 0: 1000 */
	/* What a cancel may be answered with, beside a cancellation: a failure
	   of this kind (NULL: of none), or a value. */
	const struct plait_error *answers;
	bool accepts_value;
	/* After a cancel the work may go on, and settle within the grace. */
	bool may_go_on;
	/* When a cancel or a free has returned, no deferred that was made since
	   the start may be pending, and no such port may be listening. */
	bool ends_at_once;
	/* A promise may be fired after it was cancelled: by a thread. */
	bool may_fire_late;
	uintptr_t reserved[8]; /* zero */
};

/*
 * Ends the scenario at each of its points in each way, and checks:
 *
 * - It runs to its end, with a value, if it is left alone.
 * - If it is cancelled, it has fired when the call returns, once, with a
 *   cancellation that names the call and its reason; a failure that this has
 *   caused will do.  If its time is up, it fails with TimeoutError, caused by
 *   the cancellation.  If it is freed, none of its callbacks runs any more.  If
 *   connections break or the reactor stops, it fires.
 * - If ends_at_once, none of its deferreds is pending when it was ended.
 * - No promise is fired after its cancel.
 * - After the grace nothing that has begun since the start is left: deferreds,
 *   timers, watches, connections, connectors, ports and scopes of this thread,
 *   and descriptors of the process.
 * - Nobody was told of an unhandled failure, other than a cancellation.
 * - after() finds all in order.
 * - On the same reactor the scenario then runs to its end.
 *
 * Stops at the first run that fails, and prints on standard error which one it
 * was, what is wrong, what had happened last, what is left and who made it.
 * With PLAIT_CANCEL_POINT=POINT/WAY in the environment, as it is printed there,
 * only that run is made.
 *
 * Returns the number of points, or 0 if a run has failed; *ret, if ret is not
 * NULL, says more.
 */
size_t plait_check_cancel_points(const struct plait_cancel_check *c,
				 struct plait_check_report *ret);

/*
 * The same on a given reactor, which all runs share: open and close of c are
 * not called.  On real sockets the order of events may vary, so that a run may
 * not come to its point; the report counts them.
 */
size_t plait_check_cancel_points_on(struct plait_reactor *r,
				    const struct plait_cancel_check *c,
				    struct plait_check_report *ret);

/*
 * True if there is a point at which a cancel changes what comes of the
 * scenario; if there is none, nobody can stop it.
 */
bool plait_check_is_cancellable(const struct plait_cancel_check *c,
				struct plait_check_report *ret);

#ifdef __cplusplus
}
#endif

#endif

/*
 * A check of cancel points, for the files that make it up: report.c, which
 * tells of a failure; ways.c, which ends a run and judges what comes of that;
 * and points.c, which makes the runs.
 */
#ifndef REACTOR_SIMULATION_POINTS_H
#define REACTOR_SIMULATION_POINTS_H

#include <plait/cancel_points.h>
#include <plait/scope.h>
#include <plait/timer.h>

#include "reactor/simulation/live.h"

/* What has become of the deferred of a run. */
struct outcome {
	unsigned times; /* that it has fired; the rest is of the first time */
	bool value;
	bool answered;	/* it is the failure that the check allows */
	bool cancelled; /* it is CancelledError; it was caused by one */
	bool because_cancelled;
	bool timed_out; /* it is TimeoutError */
	bool named;	/* the cancellation tells our place and reason */
	char text[400];
};

struct point {
	uint64_t key;
	bool inside;	/* the callback is still in the frame of the loop */
	bool connected; /* there are connections */
};

struct points {
	const struct plait_cancel_check *check;
	struct plait_reactor *given; /* NULL: each run opens its own */
	bool seeks; /* a cancel that changes something, and nothing else */
	struct plait_check_report report;
	struct live live;

	struct point *all; /* in the order in which they were found */
	size_t n, room;
	uint64_t *seen; /* keys, hashed; 0: an empty place */
	size_t seen_room;

	/* This run. */
	struct plait_reactor *reactor;
	struct plait_deferred *deferred;
	struct plait_scope *scope; /* of the ways that need one */
	struct outcome outcome;
	size_t descriptors; /* open at the start */
	struct point point;
	size_t number; /* of the point, from 1 on; 0: the run goes through */
	unsigned how;
	bool again;	     /* the second time, which goes through */
	bool begun;	     /* the scenario has been started */
	bool passed;	     /* ... and has come to a point */
	bool applied;	     /* it was ended, at its point */
	bool settled_before; /* ... and had fired before that, or before its
				time was up */
	bool busy;	     /* it is being ended, now */
	bool freed;	     /* ... was freed */
	bool frees_itself;   /* ... will be freed in its callback */
	bool stop_waits;     /* the reactor will be stopped, in the next turn */
	struct plait_timer stopper;
	bool is_late_anyway; /* promises are fired late, whoever ends it */
	bool changed;	     /* another outcome came of it */
	bool failed;	     /* report.text says why */
};

/* ---- report.c ------------------------------------------------------- */

enum { N_WAYS = 8 };

/* "cancel", "free" and so on. */
const char *plait_i_way_name(unsigned how);

/* The variable of the environment that asks for one run. */
extern const char plait_i_points_variable[];

/* Notes that the run has failed, and why, unless it has failed before. */
void plait_i_points_fail(struct points *p, const char *fmt, ...)
	PLAIT_PRINTF(2, 3);

/* ---- ways.c --------------------------------------------------------- */

/* True if it makes sense to end a run at that point in that way. */
bool plait_i_way_fits(unsigned how, const struct point *point);

/* Starts the scenario on p->reactor, and follows its deferred. */
void plait_i_way_start(struct points *p);

/* Ends the run, now. */
void plait_i_way_apply(struct points *p, bool inside);

/* A moment has passed after the run was ended. */
void plait_i_way_go_on(struct points *p);

/* The run is over: judges what has come of it. */
void plait_i_way_judge(struct points *p);

#endif

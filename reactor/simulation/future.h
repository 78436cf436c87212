/*
 * What is to happen, in the order of its time.  Events of the same time happen
 * in an order that chance has drawn when they were planned, but for those that
 * must stay behind each other: the one planned later is planned later by time.
 */
#ifndef REACTOR_SIMULATION_FUTURE_H
#define REACTOR_SIMULATION_FUTURE_H

#include "reactor/simulation/random.h"

/* Embedded, zeroed.  happen() may free it. */
struct future_event {
	void (*happen)(struct future_event *e);
	int64_t when; /* nanoseconds */
	/* private: the heap */
	uint64_t order, number;
	struct future_event *child, *next, **link;
};

struct future {
	struct future_event *root;
	uint64_t planned; /* ever */
	struct random_stream random;
};

/* Plans it, anew if it is planned already.  It cannot fail. */
void plait_i_future_plan(struct future *f, struct future_event *e,
			 int64_t when);
void plait_i_future_cancel(struct future *f, struct future_event *e);
bool plait_i_future_is_planned(const struct future_event *e);

/* The next, or NULL. */
struct future_event *plait_i_future_next(const struct future *f);

#endif

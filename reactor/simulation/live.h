/*
 * What is alive in this thread, by what made it: a listener of the trace that
 * keeps a count for each place and each state, and the last events.
 *
 * It says whether two moments are alike (the key), what there is more of than
 * at the beginning of a run (what is left), and who has made it.
 */
#ifndef REACTOR_SIMULATION_LIVE_H
#define REACTOR_SIMULATION_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include <plait/list.h>

#include "lib/print.h"
#include "lib/trace.h"

struct live;

enum live_kind {
	LIVE_DEFERRED,
	LIVE_TIMER,
	LIVE_WATCH,
	LIVE_CONNECTION,
	LIVE_PORT,
	LIVE_CONNECTOR,
	LIVE_SCOPE,
	LIVE_KINDS
};

enum {
	LIVE_STATES = 12, /* of each kind, at most */
	LIVE_BUCKETS = 256,
	LIVE_TAIL = 24, /* events */
	LIVE_LABEL = 48
};

struct live_event {
	enum trace_kind kind;
	int64_t when;
	const char *place; /* NULL: see label */
	size_t n;
	char label[LIVE_LABEL];
};

struct live {
	struct trace_listener listener;
	/* Is told after the table was brought up to date. */
	void (*tell)(struct live *l, enum trace_kind kind, const void *object,
		     const char *text);
	int64_t (*clock)(struct live *l);
	struct plait_list sites;
	struct live_site *by_site[LIVE_BUCKETS];
	struct live_thing *by_object[LIVE_BUCKETS];
	struct live_thing *unused;
	struct live_chunk *chunks;
	uint64_t key;
	size_t left;		 /* more than at the last mark */
	size_t gone[LIVE_KINDS]; /* less than at the last mark */
	size_t alive[LIVE_KINDS];
	bool looks_away; /* what is made now is not counted */
	bool no_memory;	 /* something is missing in the tables */
	struct live_event tail[LIVE_TAIL];
	size_t events;
};

/* Begins to listen in this thread.  l is zeroed but for tell and clock. */
void plait_i_live_begin(struct live *l);
void plait_i_live_end(struct live *l);

/* From now on what there is now is not left over, and nothing has happened. */
void plait_i_live_mark(struct live *l);

/* How many deferreds more are pending than at the last mark, by place, and how
   many ports more are listening. */
size_t plait_i_live_pending(const struct live *l);

/*
 * The chain of a deferred is the deferred, what it waits for, and what that
 * waits for.  plait_i_live_in_chain() is true of a deferred that is or was in
 * the chain of one that was given to plait_i_live_follow().
 */
void plait_i_live_follow(struct live *l, const void *deferred);
bool plait_i_live_in_chain(const struct live *l, const void *deferred);

/* Print lines: what has happened last, and what is left. */
void plait_i_live_print_tail(const struct live *l, struct print *p);
void plait_i_live_print_left(const struct live *l, struct print *p);

#endif

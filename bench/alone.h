/*
 * The works without a network: timers, calls from another thread, deferreds.
 * alone.c does them with the functions of one library; what a library does not
 * have is NULL.
 */
#ifndef BENCH_ALONE_H
#define BENCH_ALONE_H

#include <sys/queue.h>

#include "bench.h"

struct library {
	/* Of timers i < n.  set() starts one that does not run; reset() puts
	 * off one that runs.  When it is due it calls fired(). */
	void (*timers)(size_t n);
	void (*set)(size_t i, double seconds);
	void (*reset)(size_t i, double seconds);
	void (*stop)(size_t i);
	void (*fire_due)(void); /* without waiting */

	/* Calls called(i), i < CALLS, in the loop.  Any thread may call it. */
	void (*call)(size_t i);
	void (*call_node)(size_t i); /* the same, in memory of the caller */

	/* Has a thread do a job of nothing; then the loop calls job_done(). */
	void (*job)(void);
	void (*run_jobs)(void); /* the loop, until ... */
	void (*end_jobs)(void);

	/* Makes a child that runs SPAWNED; then waits until it has ended. */
	void (*spawn)(void);
	void (*wait_for_child)(void);

	/* Makes so many deferreds with two callbacks, fires, frees them. */
	void (*deferreds)(size_t n);

	void (*in_callback)(void (*fn)(void)); /* of the loop */
	void (*begin)(bool threads); /* whether more than one uses it */
	void (*run)(void);	     /* the loop, for ever */
};

enum { CALLS = 1000 };

#define SPAWNED "/bin/true"

extern const struct library library;
extern size_t fired;

void called(size_t i);
void job_done(void);

/*
 * A queue between threads for libraries that have none: a mutex and a list.
 * push() says whether the list was empty, so that the loop must be woken.
 */
bool push(size_t i);
void make_calls(void);

#endif

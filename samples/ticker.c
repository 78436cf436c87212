/*
 * Prints a line for each tick.  The ticks are at the points start + N/hz of the
 * monotonic clock, N = 1, 2, 3 ..., which are the grid of a looping call.  If
 * the program was held up (because it was stopped, or the machine is busy), it
 * prints the current tick once and goes on from there.  The missed numbers are
 * left out, and are not made up for.
 */
#include <stdio.h>

#include "common/program.h"

static plait_value tick(size_t count, void *arg)
{
	unsigned long long *ticks = arg;

	*ticks += count;
	printf("tick %llu\n", *ticks);
	return PLAIT_NONE;
}

int main(int argc, char **argv)
{
	double hz = 10;
	const struct program_option options[] = {
		{ "hz", "N", "ticks in a second; default: 10", read_positive,
		  &hz, NULL },
		{ 0 },
	};
	struct program p = { .about = "Ticks.", .options = options };
	struct plait_reactor *r;
	struct plait_looping_call *ticker;
	struct plait_deferred *d;
	unsigned long long ticks = 0;

	program_start(&p, argc, argv);
	if (hz > 1e9)
		die("--hz %g: over a thousand million", hz);
	r = program_reactor(&p);
	ticker = plait_looping_call_new(r, tick, &ticks);
	if (ticker == NULL)
		die("no memory");
	d = plait_looping_call_start(ticker, 1 / hz, false);
	plait_deferred_detach(&d);
	plait_reactor_run(r);

	plait_looping_call_free(&ticker);
	plait_reactor_free(&r);
	return 0;
}

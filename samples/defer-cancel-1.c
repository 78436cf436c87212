/*
 * Cancelling a deferred that has no canceller fires it with CancelledError.
 * Nobody handles this failure here, so it is reported on standard error when
 * the deferred is freed.
 */
#include <stdio.h>

#include "common/program.h"

int main(int argc, char **argv)
{
	struct program p = { .about = "Cancels with nobody to notice." };
	struct plait_promise *promise;
	struct plait_deferred *d;

	program_start(&p, argc, argv);
	d = plait_deferred_new(&promise, NULL, NULL);
	plait_deferred_cancel(d);
	puts("done");

	plait_deferred_free(&d);
	plait_promise_drop(&promise);
	return 0;
}

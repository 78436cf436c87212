/*
 * An errback sees the cancellation like any other failure, and handles it.
 */
#include <stdio.h>

#include "common/program.h"

static plait_value got_failure(plait_value *failure, void *arg)
{
	say("errback got", failure);
	return PLAIT_NONE;
}

int main(int argc, char **argv)
{
	struct program p = { .about = "Catches a cancellation." };
	struct plait_promise *promise;
	struct plait_deferred *d;

	program_start(&p, argc, argv);
	d = plait_deferred_new(&promise, NULL, NULL);
	plait_deferred_add_errback(d, got_failure, NULL);
	plait_deferred_cancel(d);
	puts("done");

	plait_deferred_free(&d);
	plait_promise_drop(&promise);
	return 0;
}

/*
 * Firing a deferred that was cancelled does nothing and is no error: the late
 * result is freed.  The code that fires need not know that somebody has
 * cancelled.
 */
#include <stdio.h>

#include "common/program.h"

static plait_value got_result(plait_value *result, void *arg)
{
	say("callback got", result);
	return PLAIT_NONE;
}

static plait_value got_failure(plait_value *failure, void *arg)
{
	say("errback got", failure);
	return PLAIT_NONE;
}

int main(int argc, char **argv)
{
	struct program p = { .about = "Fires after a cancel." };
	struct plait_promise *promise;
	struct plait_deferred *d;

	program_start(&p, argc, argv);
	d = plait_deferred_new(&promise, NULL, NULL);
	plait_deferred_add_callbacks(d, got_result, NULL, got_failure, NULL);
	plait_deferred_cancel(d);
	plait_fire(&promise, plait_text("result"));
	puts("done");

	plait_deferred_free(&d);
	return 0;
}

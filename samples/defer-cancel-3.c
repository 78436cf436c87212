/*
 * Cancelling a deferred that has fired does nothing, because the result has
 * come.
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
	struct program p = { .about = "Cancels after the result has come." };
	struct plait_promise *promise;
	struct plait_deferred *d;

	program_start(&p, argc, argv);
	d = plait_deferred_new(&promise, NULL, NULL);
	plait_deferred_add_callbacks(d, got_result, NULL, got_failure, NULL);
	plait_fire(&promise, plait_text("result"));
	plait_deferred_cancel(d);
	puts("done");

	plait_deferred_free(&d);
	return 0;
}

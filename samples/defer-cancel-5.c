/*
 * A canceller stops the work.  It runs first, inside the call that cancels, and
 * the deferred fires with what it returns.
 */
#include <stdio.h>

#include "common/program.h"

static plait_value cancel(struct plait_deferred *d, void *arg)
{
	printf("I need to cancel this deferred: <Deferred at %p>\n", (void *)d);
	return plait_cancelled();
}

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
	struct program p = { .about = "Cancels by a canceller." };
	struct plait_promise *promise;
	struct plait_deferred *d;

	program_start(&p, argc, argv);
	d = plait_deferred_new(&promise, cancel, NULL);
	plait_deferred_add_callbacks(d, got_result, NULL, got_failure, NULL);
	plait_deferred_cancel(d);
	puts("done");

	plait_deferred_free(&d);
	plait_promise_drop(&promise);
	return 0;
}

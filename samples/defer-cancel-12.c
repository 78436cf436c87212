/*
 * An outer deferred waits for an inner deferred that a callback has returned.
 * Cancelling the outer deferred cancels the inner deferred, because the work of
 * the inner deferred is under way.  The canceller of the outer deferred is not
 * called, because the outer deferred has fired.
 */
#include <stdio.h>

#include "common/program.h"

static plait_value cancel_outer(struct plait_deferred *d, void *arg)
{
	puts("outer cancel callback.");
	return plait_cancelled();
}

static plait_value cancel_inner(struct plait_deferred *d, void *arg)
{
	puts("inner cancel callback.");
	return plait_cancelled();
}

static plait_value first_callback(plait_value *result, void *inner)
{
	puts("first outer callback, returning inner deferred");
	return plait_chain(inner);
}

static plait_value second_callback(plait_value *result, void *arg)
{
	say("second outer callback got", result);
	return PLAIT_NONE;
}

static plait_value got_failure(plait_value *failure, void *arg)
{
	say("outer errback got", failure);
	return PLAIT_NONE;
}

int main(int argc, char **argv)
{
	struct program p = { .about = "Cancels a deferred that waits." };
	struct plait_promise *fires_outer, *fires_inner;
	struct plait_deferred *outer, *inner;

	program_start(&p, argc, argv);
	outer = plait_deferred_new(&fires_outer, cancel_outer, NULL);
	inner = plait_deferred_new(&fires_inner, cancel_inner, NULL);
	plait_deferred_add_callback(outer, first_callback, &inner);
	plait_deferred_add_callbacks(outer, second_callback, NULL, got_failure,
				     NULL);

	plait_fire(&fires_outer, plait_text("result"));
	/* Now the outer deferred has fired, but waits for the inner one. */
	puts("canceling outer deferred.");
	plait_deferred_cancel(outer);
	puts("done");

	plait_deferred_free(&outer);
	plait_promise_drop(&fires_inner);
	return 0;
}

/*
 * The same as defer-cancel-12, with a reactor and real work.  The outer
 * deferred has fired at once and waits for an inner deferred, which a timer
 * would fire after five seconds.  After two seconds another timer cancels the
 * outer deferred.  The canceller of the inner deferred stops the first timer,
 * so the program ends when the outer deferred has failed.
 */
#include <stdio.h>

#include "common/program.h"

struct poet {
	struct plait_timer timer;
	struct plait_promise *promise;
	struct plait_deferred *poem;
};

static void send_poem(void *arg)
{
	struct poet *self = arg;

	puts("Sending poem");
	plait_fire(&self->promise, plait_text("Once upon a midnight dreary"));
}

static plait_value cancel_inner(struct plait_deferred *d, void *arg)
{
	struct poet *self = arg;

	puts("inner canceller, stopping its timer.");
	plait_timer_stop(&self->timer);
	return plait_cancelled();
}

static plait_value wait_for_inner(plait_value *result, void *arg)
{
	struct poet *self = arg;

	puts("outer callback, waiting for the inner deferred");
	return plait_chain(&self->poem);
}

static plait_value got_result(plait_value *result, void *arg)
{
	say("outer callback got", result);
	return PLAIT_NONE;
}

static plait_value got_failure(plait_value *failure, void *arg)
{
	say("outer errback got", failure);
	return PLAIT_NONE;
}

static plait_value stop(plait_value *result, void *r)
{
	plait_reactor_stop(r);
	return PLAIT_NONE;
}

static void cancel_outer(void *outer)
{
	puts("canceling the outer deferred.");
	plait_deferred_cancel(outer);
}

int main(int argc, char **argv)
{
	double scale = 1;
	const struct program_option options[] = {
		{ "scale", "S", "run the clock S times faster", read_positive,
		  &scale, NULL },
		{ 0 },
	};
	struct program p = { .about = "Cancels a deferred while it waits.",
			     .options = options };
	struct poet poet = { .promise = NULL };
	struct plait_reactor *r;
	struct plait_deferred *outer;

	program_start(&p, argc, argv);
	r = program_reactor(&p);
	plait_timer_start(r, &poet.timer, 5 / scale, send_poem, &poet);
	poet.poem = plait_deferred_new(&poet.promise, cancel_inner, &poet);

	outer = plait_succeed(plait_text("result"));
	plait_deferred_add_callback(outer, wait_for_inner, &poet);
	plait_deferred_add_callbacks(outer, got_result, NULL, got_failure,
				     NULL);
	plait_deferred_add_both(outer, stop, r);
	plait_call_later(r, 2 / scale, cancel_outer, outer);
	plait_reactor_run(r);
	plait_deferred_free(&outer);
	puts("done");

	plait_promise_drop(&poet.promise);
	plait_reactor_free(&r);
	return 0;
}

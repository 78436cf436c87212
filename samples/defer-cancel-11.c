/*
 * The poem is cancelled after two seconds, and this deferred has a canceller
 * that stops the poet's timer.  So the work really ends.
 */
#include <stdio.h>

#include "common/program.h"

struct poet {
	struct plait_timer timer;
	struct plait_promise *promise;
};

static void send_poem(void *arg)
{
	struct poet *self = arg;

	puts("Sending poem");
	plait_fire(&self->promise, plait_text("Once upon a midnight dreary"));
}

static plait_value stop_sending(struct plait_deferred *d, void *arg)
{
	struct poet *self = arg;

	plait_timer_stop(&self->timer);
	return plait_cancelled();
}

static struct plait_deferred *get_poem(struct poet *self,
				       struct plait_reactor *r, double seconds)
{
	plait_timer_start(r, &self->timer, seconds, send_poem, self);
	return plait_deferred_new(&self->promise, stop_sending, self);
}

static plait_value got_poem(plait_value *poem, void *arg)
{
	say("I got a poem", poem);
	return PLAIT_NONE;
}

static plait_value poem_failed(plait_value *failure, void *arg)
{
	say("get_poem failed", failure);
	return PLAIT_NONE;
}

static void cancel(void *d)
{
	plait_deferred_cancel(d);
}

static void stop(void *r)
{
	plait_reactor_stop(r);
}

int main(int argc, char **argv)
{
	double scale = 1;
	const struct program_option options[] = {
		{ "scale", "S", "run the clock S times faster", read_positive,
		  &scale, NULL },
		{ 0 },
	};
	struct program p = { .about = "Cancels a poem and its work.",
			     .options = options };
	struct poet poet = { .promise = NULL };
	struct plait_reactor *r;
	struct plait_deferred *d;

	program_start(&p, argc, argv);
	r = program_reactor(&p);
	d = get_poem(&poet, r, 5 / scale);
	plait_deferred_add_callbacks(d, got_poem, NULL, poem_failed, NULL);
	plait_call_later(r, 2 / scale, cancel, d);
	plait_call_later(r, 10 / scale, stop, r);
	plait_reactor_run(r);

	plait_deferred_free(&d);
	plait_promise_drop(&poet.promise);
	plait_reactor_free(&r);
	return 0;
}

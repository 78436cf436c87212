/*
 * A line per tick.  The ticks are the points start + N/hz of the monotonic
 * clock, N = 1, 2, 3 ..., and every wait is measured from the start, so delays
 * do not add up.  Who was held up (a stopped process, a busy machine) prints
 * the current tick once and goes on from there: the missed numbers are missing
 * and there is no burst to catch up.
 */
#include <stdio.h>

#include "common/program.h"

struct ticker {
	struct plait_timer timer;
	struct plait_reactor *reactor;
	double start, hz;
	unsigned long long next; /* the tick that the timer is set for */
};

static void tick(void *arg);

static void wait_for_next(struct ticker *self)
{
	double now = plait_reactor_seconds(self->reactor);
	double when = self->start + ++self->next / self->hz;

	plait_timer_start(self->reactor, &self->timer,
			  when > now ? when - now : 0, tick, self);
}

static void tick(void *arg)
{
	struct ticker *self = arg;
	double now = plait_reactor_seconds(self->reactor);
	unsigned long long current = (now - self->start) * self->hz;

	/* Rounding may say that it is not quite there yet. */
	if (current > self->next)
		self->next = current;
	printf("tick %llu\n", self->next);
	wait_for_next(self);
}

static void start(void *arg)
{
	struct ticker *self = arg;

	self->start = plait_reactor_seconds(self->reactor);
	wait_for_next(self);
}

int main(int argc, char **argv)
{
	struct ticker self = { .hz = 10 };
	const struct program_option options[] = {
		{ "hz", "N", "ticks in a second; default: 10", read_positive,
		  &self.hz, NULL },
		{ 0 },
	};
	struct program p = { .about = "Ticks.", .options = options };

	program_start(&p, argc, argv);
	if (self.hz > 1e9)
		die("--hz %g: over a thousand million", self.hz);
	self.reactor = program_reactor(&p);
	plait_call_when_running(self.reactor, start, &self);
	plait_reactor_run(self.reactor);

	plait_timer_stop(&self.timer);
	plait_reactor_free(&self.reactor);
	return 0;
}

/*
 * Delays that grow.
 *
 * The delay grows without its jitter, which is added to a copy.  So a run of
 * small random numbers cannot bring it near zero, and a run of large ones
 * cannot bring it above the maximum.
 */
#include <plait/backoff.h>

#include "lib/chance.h"
#include "reactor/loop/loop.h"

static double positive_or(double value, double otherwise)
{
	return value > 0 ? value : otherwise;
}

static double smaller_delay(double a, double b)
{
	return a < b ? a : b;
}

/* In force; a delay of more than thirty years is as good as any longer one. */
static double backoff_max(const struct plait_backoff *b)
{
	return smaller_delay(positive_or(b->max_delay, 3600), 1e9);
}

/* Evenly from 0 to 1. */
static double backoff_draw(struct plait_backoff *b,
			   const struct plait_reactor *r)
{
	if (b->random == 0)
		b->random = kernel_random(loop_kernel(r));
	return (double)(chance_next(&b->random) >> 11) / 9007199254740992.0;
}

/* Normally distributed, as near as the sum of twelve comes to it: -6 to 6. */
static double backoff_draw_normal(struct plait_backoff *b,
				  const struct plait_reactor *r)
{
	double sum = -6;
	int i;

	for (i = 0; i < 12; i++)
		sum += backoff_draw(b, r);
	return sum;
}

/*
 * What would lie beyond the maximum, or before now, is folded back.  If it were
 * cut off instead, many clients would have exactly the same delay.
 */
static double with_jitter(struct plait_backoff *b,
			  const struct plait_reactor *r, double delay)
{
	double share =
		b->jitter < 0 ? 0 : positive_or(b->jitter, 0.119626565582);
	double max = backoff_max(b);

	if (share > 0)
		delay += delay * smaller_delay(share, 1) *
			 backoff_draw_normal(b, r);
	while (delay < 0 || delay > max) {
		REACHED("a delay is folded back");
		delay = delay < 0 ? -delay : 2 * max - delay;
	}
	return delay;
}

double plait_backoff_next(struct plait_backoff *b, struct plait_reactor *r)
{
	double last;

	loop_check_given(r, "plait_backoff_next()", NULL);
	last = b->delay > 0 ? b->delay : positive_or(b->initial_delay, 1);
	b->delay =
		smaller_delay(last * positive_or(b->factor, 2.7182818284590451),
			      backoff_max(b));
	return with_jitter(b, r, b->delay);
}

void plait_backoff_reset(struct plait_backoff *b)
{
	b->delay = 0;
}

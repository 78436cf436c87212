/*
 * The reactor's clock.  It asks the kernel's clock at most once a callback.  A
 * thread may have several reactors; the reactor that is in a turn lends its
 * clock to the deferreds of the thread.
 */
#include <math.h>

#include "reactor/loop/parts.h"

int64_t plait_i_clock_read(struct plait_reactor *r)
{
	return kernel_clock(loop_kernel(r));
}

int64_t plait_i_clock_now(const struct plait_reactor *cr)
{
	/* Asking for the time changes nothing but what is remembered. */
	struct plait_reactor *r = (struct plait_reactor *)cr;

	if (!r->now_is_known) {
		r->now = plait_i_clock_read(r);
		/* Outside all callbacks nobody forgets the time again. */
		r->now_is_known = r->in_turn || r->depth > 0;
	}
	return r->now;
}

int64_t plait_i_clock_delay(double seconds)
{
	return clock_delay(seconds);
}

int64_t plait_i_clock_after(const struct plait_reactor *r, double seconds)
{
	return clock_after(r, seconds);
}

int64_t plait_i_clock_add(int64_t when, double seconds)
{
	plait_assert(!isnan(seconds));
	return clock_sum(when, seconds < 0 ? -clock_delay(-seconds)
					   : clock_delay(seconds));
}

double plait_reactor_seconds(const struct plait_reactor *r)
{
	loop_check_null(r, "plait_reactor_seconds()", NULL);
	return (double)plait_i_clock_now(r) / NS_PER_S;
}

void plait_i_clock_advance(struct plait_reactor *r, int64_t nanoseconds)
{
	plait_i_virtual_advance(loop_kernel(r), nanoseconds);
	r->now_is_known = false;
	plait_i_clock_lend(r);
}

/* ---- lending it to deferreds --------------------------------------------- */

static struct deferred_home clock_home(const struct plait_reactor *r,
				       bool in_turn)
{
	return (struct deferred_home){ .reactor = r->number,
				       .in_turn = in_turn,
				       .own_clock = loop_is_virtual(r) };
}

void plait_i_clock_lend(struct plait_reactor *r)
{
	if (plait_i_deferred_may_lend(clock_home(r, false)))
		kernel_lend_clock(loop_kernel(r));
}

void plait_i_clock_begin(struct plait_reactor *r)
{
	r->time_before = plait_i_deferred_begin(clock_home(r, true));
	kernel_lend_clock(loop_kernel(r));
}

void plait_i_clock_end(struct plait_reactor *r)
{
	plait_i_deferred_end(&r->time_before);
}

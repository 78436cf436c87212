/*
 * The reactor's clock.  It asks the kernel's clock at most once a callback.  A
 * thread may have several reactors; the reactor that is in a turn lends its
 * clock to the deferreds of the thread.
 */
#include <math.h>

#include "reactor/loop/parts.h"

enum { NS_PER_S = 1000000000 };

int64_t plait_i_clock_read(struct plait_reactor *r)
{
	return kernel_clock(loop_kernel(r));
}

int64_t plait_i_clock_now(const struct plait_reactor *cr)
{
	/* Asking for the time changes nothing but what is remembered. */
	struct plait_reactor *r = (struct plait_reactor *)cr;

	/* Outside all callbacks nobody forgets the time again. */
	if (!r->now_is_known || (!r->in_turn && r->depth == 0)) {
		r->now = plait_i_clock_read(r);
		r->now_is_known = true;
	}
	return r->now;
}

/* Rounds to the nearest nanosecond; beyond 292 years, the latest time. */
int64_t plait_i_clock_delay(double seconds)
{
	double ns = seconds * NS_PER_S;

	plait_assert(seconds >= 0);
	return ns < (double)INT64_MAX ? (int64_t)(ns + 0.5) : INT64_MAX;
}

static int64_t clock_sum(int64_t when, int64_t by)
{
	int64_t sum;

	if (__builtin_add_overflow(when, by, &sum))
		return by < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

int64_t plait_i_clock_after(const struct plait_reactor *r, double seconds)
{
	int64_t delay = plait_i_clock_delay(seconds);

	return clock_sum(plait_i_clock_now(r), delay);
}

int64_t plait_i_clock_add(int64_t when, double seconds)
{
	plait_assert(!isnan(seconds));
	return clock_sum(when, seconds < 0 ? -plait_i_clock_delay(-seconds)
					   : plait_i_clock_delay(seconds));
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

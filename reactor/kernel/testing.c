/*
 * The kernel of the testing reactors: no descriptors, and a clock that moves
 * only when it is told to, or, inside plait_reactor_run(), to the next
 * deadline.  The time is all that it keeps, in place, as the clock is looked at
 * until the reactor's memory goes.
 */
#include <errno.h>

#include "lib/base.h"
#include "lib/deferred.h"
#include "reactor/kernel/kernel.h"

static int testing_init(struct kernel *k)
{
	return 0;
}

static void testing_done(struct kernel *k)
{
}

static int testing_check(struct kernel *k, int fd)
{
	return -ENOTSUP;
}

static int64_t testing_clock(struct kernel *k)
{
	return k->number;
}

static void testing_lend_clock(struct kernel *k)
{
	plait_i_deferred_set_time(k->number);
}

void plait_i_testing_advance(struct kernel *k, int64_t nanoseconds)
{
	plait_assert(k->ops == &plait_i_kernel_testing && nanoseconds >= 0);
	if (__builtin_add_overflow(k->number, nanoseconds, &k->number))
		k->number = INT64_MAX;
}

static int testing_wait(struct kernel *k, struct watches *ws, int64_t timeout,
			struct kernel_event *ret)
{
	if (timeout < 0)
		return -EDEADLK;
	plait_i_testing_advance(k, timeout);
	testing_lend_clock(k);
	return 0;
}

/* There is nothing that the others could be called with. */
static const struct kernel_calls testing_calls = {
	.clock = testing_clock,
	.lend_clock = testing_lend_clock,
};

const struct kernel_ops plait_i_kernel_testing = {
	.name = "virtual",
	.calls = &testing_calls,
	.is_virtual = true,
	.init = testing_init,
	.done = testing_done,
	.check = testing_check,
	.wait = testing_wait,
};

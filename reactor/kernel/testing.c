/*
 * The kernel of the testing reactors: no descriptors, and a clock that moves
 * only when it is told to, or, inside plait_reactor_run(), to the next
 * deadline.
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/base.h"
#include "lib/deferred.h"
#include "reactor/kernel/kernel.h"

static int64_t *testing_now(struct kernel *k)
{
	return k->state;
}

static int testing_init(struct kernel *k)
{
	k->state = calloc(1, sizeof(*testing_now(k)));
	return k->state != NULL ? 0 : -ENOMEM;
}

static void testing_done(struct kernel *k)
{
	free(k->state);
	k->state = NULL;
}

static int testing_check(struct kernel *k, int fd)
{
	return -ENOTSUP;
}

static int64_t testing_clock(struct kernel *k)
{
	return *testing_now(k);
}

static void testing_lend_clock(struct kernel *k)
{
	plait_i_deferred_set_time(*testing_now(k));
}

void plait_i_testing_advance(struct kernel *k, int64_t nanoseconds)
{
	plait_assert(k->ops == &plait_i_kernel_testing && nanoseconds >= 0);
	if (__builtin_add_overflow(*testing_now(k), nanoseconds,
				   testing_now(k)))
		*testing_now(k) = INT64_MAX;
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

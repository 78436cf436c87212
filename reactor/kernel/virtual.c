/*
 * The virtual kernel of the testing reactors.  It has no descriptors, no files
 * and no environment.  Its
 * clock moves only when a test moves it, or, inside plait_reactor_run(), to the
 * next deadline.  It keeps only the time, inside struct kernel, because the
 * clock is read until the memory of the reactor is freed.
 *
 * Its random numbers are the sequence of splitmix64 that begins with the state
 * 0, so each run of a test draws the same numbers.
 */
#include <errno.h>

#include "lib/base.h"
#include "lib/chance.h"
#include "lib/deferred.h"
#include "reactor/kernel/kernel.h"

static int virtual_init(struct kernel *k)
{
	return 0;
}

static void virtual_done(struct kernel *k)
{
}

static int virtual_check(struct kernel *k, int fd)
{
	return -ENOTSUP;
}

static int64_t virtual_clock(struct kernel *k)
{
	return k->number;
}

static void virtual_lend_clock(struct kernel *k)
{
	plait_i_deferred_set_time(k->number);
}

static uint64_t virtual_random(struct kernel *k)
{
	return chance_next(&k->chance);
}

void plait_i_virtual_advance(struct kernel *k, int64_t nanoseconds)
{
	plait_assert(k->ops == &plait_i_kernel_virtual && nanoseconds >= 0);
	if (__builtin_add_overflow(k->number, nanoseconds, &k->number))
		k->number = INT64_MAX;
}

static int virtual_wait(struct kernel *k, struct watches *ws, int64_t timeout,
			struct kernel_event *ret)
{
	if (timeout < 0)
		return -EDEADLK;
	plait_i_virtual_advance(k, timeout);
	virtual_lend_clock(k);
	return 0;
}

/* What looks names up asks before it knows that there are no sockets. */
static int virtual_socket(struct kernel *k, int family, int type)
{
	errno = ENOTSUP;
	return -1;
}

/* The program may have some, and hand them over. */
static int virtual_close(struct kernel *k, int fd)
{
	return plait_i_linux_calls.close(k, fd);
}

/* ---- surroundings: there are none ---------------------------------------- */

static int virtual_refuse(void)
{
	errno = ENOENT;
	return -1;
}

static int virtual_look(struct kernel *k, const char *path,
			struct kernel_file *ret)
{
	return virtual_refuse();
}

static int virtual_unlink(struct kernel *k, const char *path)
{
	return virtual_refuse();
}

static int virtual_chmod(struct kernel *k, const char *path, unsigned mode)
{
	return virtual_refuse();
}

static ssize_t virtual_read_file(struct kernel *k, const char *path, void *buf,
				 size_t len, struct kernel_file *ret)
{
	return virtual_refuse();
}

static const char *virtual_variable(struct kernel *k, const char *name)
{
	return NULL;
}

static int virtual_host_name(struct kernel *k, char *buf, size_t size)
{
	return virtual_refuse();
}

static unsigned virtual_interface(struct kernel *k, const char *name)
{
	return 0;
}

/* The other calls need a descriptor, and there is none. */
static const struct kernel_calls virtual_calls = {
	.socket = virtual_socket,
	.close = virtual_close,
	.clock = virtual_clock,
	.lend_clock = virtual_lend_clock,
	.random = virtual_random,
	.look = virtual_look,
	.unlink = virtual_unlink,
	.chmod = virtual_chmod,
	.read_file = virtual_read_file,
	.variable = virtual_variable,
	.host_name = virtual_host_name,
	.interface = virtual_interface,
};

const struct kernel_ops plait_i_kernel_virtual = {
	.name = "virtual",
	.calls = &virtual_calls,
	.is_virtual = true,
	.init = virtual_init,
	.done = virtual_done,
	.check = virtual_check,
	.wait = virtual_wait,
};

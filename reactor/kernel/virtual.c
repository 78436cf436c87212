/*
 * The backend of the testing reactors: no descriptors, and a clock that moves
 * only when it is told to, or, inside plait_reactor_run(), to the next
 * deadline.
 */
#include <errno.h>

#include "reactor/loop/reactor.h"

static int init(struct plait_reactor *r)
{
	return 0;
}

static void done(struct plait_reactor *r)
{
}

static int check(struct plait_reactor *r, int fd)
{
	return -ENOTSUP;
}

void plait_i_loop_arrive(struct plait_reactor *r, struct loop_task *task)
{
	if (!plait_list_is_linked(&task->link))
		plait_list_append(&r->arrivals, &task->link);
}

static void run_arrivals(struct plait_reactor *r)
{
	struct plait_list todo, *l;

	plait_list_init(&todo);
	plait_list_move(&todo, &r->arrivals);
	while ((l = plait_list_first(&todo)) != NULL) {
		struct loop_task *task =
			plait_container(l, struct loop_task, link);

		plait_list_remove(l);
		/* In a forked child nothing more comes. */
		if (loop_is_forked(r))
			continue;
		r->done.events++;
		plait_i_loop_enter(r);
		task->run(task);
		plait_i_loop_leave(r);
	}
}

static int poll_arrivals(struct plait_reactor *r, int64_t timeout)
{
	run_arrivals(r);
	if (!r->in_run)
		return 0;
	if (timeout < 0)
		return -EDEADLK;
	plait_i_loop_advance(r, timeout);
	return 0;
}

static int64_t now(struct plait_reactor *r)
{
	return r->virtual_now;
}

bool plait_i_loop_is_virtual(const struct plait_reactor *r)
{
	return r->backend->is_virtual;
}

void plait_i_loop_advance(struct plait_reactor *r, int64_t nanoseconds)
{
	plait_assert(plait_i_loop_is_virtual(r) && nanoseconds >= 0);
	if (__builtin_add_overflow(r->virtual_now, nanoseconds,
				   &r->virtual_now))
		r->virtual_now = INT64_MAX;
	plait_i_loop_woke(r);
}

const struct backend plait_i_backend_virtual = {
	.name = "virtual",
	.is_virtual = true,
	.init = init,
	.done = done,
	.check = check,
	.poll = poll_arrivals,
	.now = now,
};

/*
 * Calls from other threads, and waking the loop up.
 *
 * The queue is a stack that any thread pushes to with one compare-and-swap,
 * and that the loop takes as a whole, turns round and puts at the end of a list
 * of its own, of which a turn makes so many; nobody ever waits for anybody.
 * Only who pushes to an empty stack writes the eventfd.  The loop empties the
 * eventfd before it takes the stack: who pushes after that finds it empty and
 * writes again, so no call is left asleep.
 *
 * A call may free the reactor, and may be made as soon as it is pushed.  So
 * a push is the last thing that plait_call_from_thread() does to the reactor,
 * unless it has to write the eventfd: then it counts itself in beforehand, and
 * freeing the reactor waits until it has counted itself out again.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "lib/exception.h"
#include "reactor/loop/parts.h"

struct thread_call {
	struct thread_call *next;
	plait_func *fn;
	void *arg;
};

/* Also from a signal handler. */
void plait_i_thread_wake(struct plait_reactor *r)
{
	if (r->thread.fd >= 0)
		kernel_wake(loop_kernel(r), r->thread.fd);
}

/* What there is to do is found at the start of the next turn. */
static void thread_woken(struct plait_watch *w, unsigned events)
{
	kernel_drain(loop_kernel(w->reactor), w->fd);
}

int plait_i_thread_init(struct plait_reactor *r)
{
	int rc;

	r->thread.fd = -1;
	r->thread.end = &r->thread.oldest;
	if (loop_is_virtual(r))
		return 0;
	r->thread.fd = kernel_waker(loop_kernel(r));
	if (r->thread.fd < 0)
		return -errno;
	rc = plait_watch_start(r, &r->thread.watch, r->thread.fd,
			       PLAIT_WATCH_READ, thread_woken);
	if (rc < 0)
		kernel_close(loop_kernel(r), r->thread.fd);
	return rc;
}

/* From here on the loop may have made the call and freed it. */
static bool thread_push(struct plait_reactor *r, struct thread_call *call)
{
	return atomic_compare_exchange_weak(&r->thread.newest, &call->next,
					    call);
}

/* Pushes to an empty stack, and wakes the loop. */
static bool thread_push_first(struct plait_reactor *r, struct thread_call *call)
{
	bool pushed;

	atomic_fetch_add(&r->thread.waking, 1);
	pushed = thread_push(r, call);
	if (pushed)
		plait_i_thread_wake(r);
	atomic_fetch_sub(&r->thread.waking, 1);
	return pushed;
}

int plait_call_from_thread(struct plait_reactor *r, plait_func *fn, void *arg)
{
	struct thread_call *call;

	if (loop_is_forked(r))
		return -ECHILD;
	call = malloc(sizeof(*call));
	if (call == NULL)
		return -ENOMEM;
	call->fn = fn;
	call->arg = arg;
	call->next =
		atomic_load_explicit(&r->thread.newest, memory_order_relaxed);
	while (call->next == NULL ? !thread_push_first(r, call)
				  : !thread_push(r, call))
		;
	return 0;
}

/* Puts all that were pushed behind those that were taken before. */
static void thread_take(struct plait_reactor *r)
{
	struct thread_calls *tc = &r->thread;
	struct thread_call *call = atomic_exchange(&tc->newest, NULL);
	struct thread_call *last = call, *oldest = NULL;

	if (call == NULL)
		return;
	while (call != NULL) {
		struct thread_call *next = call->next;

		call->next = oldest;
		oldest = call;
		call = next;
	}
	*tc->end = oldest;
	tc->end = &last->next;
}

/* Takes out the first of those that were taken; there has to be one. */
static struct thread_call thread_pop(struct plait_reactor *r)
{
	struct thread_call *first = r->thread.oldest, call = *first;

	r->thread.oldest = first->next;
	if (first->next == NULL)
		r->thread.end = &r->thread.oldest;
	free(first);
	return call;
}

OUT_OF_LINE void plait_i_thread_run(struct plait_reactor *r)
{
	thread_take(r);
	/* If a call has forked, the others are the parent's. */
	for (int i = 0; i < REACTOR_SHARE && r->thread.oldest != NULL &&
			!loop_is_forked(r);
	     i++) {
		struct thread_call call = thread_pop(r);

		r->counts.calls++;
		plait_i_loop_enter(r);
		call.fn(call.arg);
		exception_barrier();
		plait_i_loop_leave(r);
	}
}

/* In a forked child there is no other thread that could count itself out. */
static void thread_wait_for_wakers(struct plait_reactor *r)
{
	while (!loop_is_forked(r) && atomic_load(&r->thread.waking) > 0)
		sched_yield();
}

void plait_i_thread_done(struct plait_reactor *r)
{
	thread_wait_for_wakers(r);
	thread_take(r);
	while (r->thread.oldest != NULL)
		thread_pop(r);
	if (r->thread.fd >= 0) {
		plait_i_watch_forget(&r->thread.watch);
		kernel_close(loop_kernel(r), r->thread.fd);
	}
}

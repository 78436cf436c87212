/*
 * Calls from other threads, and waking the loop up.
 *
 * The queue is a stack.  A thread pushes a call with one compare-and-swap.  The
 * loop takes the whole stack, reverses it and appends it to a list of its own;
 * each turn makes a limited number of calls from that list.  So no thread ever
 * waits for another.
 *
 * The memory of a call is the program's, or plait_call_from_thread() has
 * allocated it.  A malloc() in one thread and a free() in another cost several
 * times what the queue costs.  So the loop keeps the calls that it has made,
 * and at the end of its share adds them to a list of spare calls, from which
 * threads take them.  One thread at a time may use that list; whoever finds it
 * in use does not wait, but calls malloc(), or tries again in the next turn.
 *
 * A call of the program has a state, which its queueing and the loop exchange.
 * Whoever exchanges it sees what those before have written.  So a thread that
 * finds the call queued can rely on its function to see what the thread has
 * written; a mere store of the loop would not promise that.
 *
 * Only a thread that pushes to an empty stack writes the eventfd.  The loop
 * empties the eventfd before it takes the stack.  A thread that pushes after
 * that finds the stack empty and writes again, so no call is forgotten.
 *
 * The loop may make a call as soon as it is pushed, and the call may free the
 * reactor.  So a thread does not touch the reactor after the push, unless it
 * has to write the eventfd: then it adds itself to the count of wakers before
 * the push, and plait_reactor_free() waits until that count is 0.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "lib/exception.h"
#include "reactor/loop/parts.h"

/* How many calls are spare at most: 128 KiB. */
enum { MAX_SPARE = 2048 };

/* The state of a call. */
enum {
	CALL_IDLE,
	CALL_QUEUED,
	CALL_OURS /* of plait_call_from_thread(): the loop frees it */
};

/* May be called in a signal handler. */
void plait_i_thread_wake(struct plait_reactor *r)
{
	int fd = atomic_load_explicit(&r->thread.fd, memory_order_relaxed);

	if (fd >= 0)
		kernel_wake(loop_kernel(r), fd);
}

static void thread_forget_used(struct thread_calls *tc)
{
	tc->used = NULL;
	tc->used_end = &tc->used;
	tc->n_used = 0;
}

/* The next turn begins with taking the calls.  If somebody has closed the
   waker, its number may be another's. */
static void thread_woken(struct plait_watch *w, unsigned events)
{
	struct thread_calls *tc =
		plait_container(w, struct thread_calls, watch);
	struct plait_reactor *r =
		plait_container(tc, struct plait_reactor, thread);

	if (events & PLAIT_WATCH_LOST)
		tc->fd = -1;
	else
		kernel_drain(loop_kernel(r), tc->fd);
}

int plait_i_thread_init(struct plait_reactor *r)
{
	int rc;

	r->thread.fd = -1;
	r->thread.end = &r->thread.oldest;
	thread_forget_used(&r->thread);
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

/* After the push the loop may have made the call and freed it. */
static bool thread_push(struct plait_reactor *r, struct plait_thread_call *call)
{
	return atomic_compare_exchange_weak(&r->thread.newest, &call->next,
					    call);
}

/* Pushes to an empty stack, and wakes the loop. */
static bool thread_push_first(struct plait_reactor *r,
			      struct plait_thread_call *call)
{
	bool pushed;

	atomic_fetch_add(&r->thread.waking, 1);
	pushed = thread_push(r, call);
	if (pushed)
		plait_i_thread_wake(r);
	atomic_fetch_sub(&r->thread.waking, 1);
	return pushed;
}

static void thread_queue(struct plait_reactor *r,
			 struct plait_thread_call *call, plait_func *fn,
			 void *arg)
{
	call->fn = fn;
	call->arg = arg;
	call->next =
		atomic_load_explicit(&r->thread.newest, memory_order_relaxed);
	while (call->next == NULL ? !thread_push_first(r, call)
				  : !thread_push(r, call))
		;
}

static bool thread_take_spare(struct thread_calls *tc)
{
	return !atomic_exchange_explicit(&tc->spare_taken, true,
					 memory_order_acquire);
}

static void thread_leave_spare(struct thread_calls *tc)
{
	atomic_store_explicit(&tc->spare_taken, false, memory_order_release);
}

/* Gives a call that was used before, or NULL. */
static struct plait_thread_call *thread_get_spare(struct thread_calls *tc)
{
	struct plait_thread_call *call;

	if (!thread_take_spare(tc))
		return NULL;
	call = tc->spare;
	if (call != NULL) {
		tc->spare = call->next;
		tc->n_spare--;
	}
	thread_leave_spare(tc);
	return call;
}

int plait_call_from_thread(struct plait_reactor *r, plait_func *fn, void *arg)
{
	struct plait_thread_call *call;

	loop_check_null(r, "plait_call_from_thread()", NULL);
	if (loop_is_forked(r))
		return -ECHILD;
	call = thread_get_spare(&r->thread);
	if (call == NULL)
		call = malloc(sizeof(*call));
	if (call == NULL)
		return -ENOMEM;
	call->state = CALL_OURS;
	thread_queue(r, call, fn, arg);
	return 0;
}

int plait_thread_call_queue(struct plait_reactor *r,
			    struct plait_thread_call *c, plait_func *fn,
			    void *arg)
{
	loop_check_null(r, "plait_thread_call_queue()", NULL);
	if (loop_is_forked(r))
		return -ECHILD;
	if (__atomic_exchange_n(&c->state, CALL_QUEUED, __ATOMIC_ACQ_REL) !=
	    CALL_IDLE)
		return -EALREADY;
	thread_queue(r, c, fn, arg);
	return 0;
}

/* Appends all calls that were pushed to those that were taken before. */
static void thread_take(struct plait_reactor *r)
{
	struct thread_calls *tc = &r->thread;
	struct plait_thread_call *call = atomic_exchange(&tc->newest, NULL);
	struct plait_thread_call *last = call, *oldest = NULL;

	if (call == NULL)
		return;
	while (call != NULL) {
		struct plait_thread_call *next = call->next;

		call->next = oldest;
		oldest = call;
		call = next;
	}
	*tc->end = oldest;
	tc->end = &last->next;
}

static void thread_keep(struct thread_calls *tc, struct plait_thread_call *call)
{
	if (tc->n_used == MAX_SPARE) {
		free(call);
		return;
	}
	call->next = NULL;
	*tc->used_end = call;
	tc->used_end = &call->next;
	tc->n_used++;
}

static void thread_free_all(struct plait_thread_call *call)
{
	while (call != NULL) {
		struct plait_thread_call *next = call->next;

		free(call);
		call = next;
	}
}

/* Makes the used calls spare, or frees them if there are enough. */
static void thread_give_back(struct thread_calls *tc)
{
	if (tc->used == NULL || !thread_take_spare(tc))
		return;
	if (tc->n_spare + tc->n_used <= MAX_SPARE) {
		*tc->used_end = tc->spare;
		tc->spare = tc->used;
		tc->n_spare += tc->n_used;
	} else {
		thread_free_all(tc->used);
	}
	thread_forget_used(tc);
	thread_leave_spare(tc);
}

/* The call is in no list any more, and from here on it is its owner's. */
static void thread_let_go(struct plait_reactor *r,
			  struct plait_thread_call *call)
{
	if (__atomic_load_n(&call->state, __ATOMIC_RELAXED) == CALL_OURS)
		thread_keep(&r->thread, call);
	else
		__atomic_exchange_n(&call->state, CALL_IDLE, __ATOMIC_ACQ_REL);
}

/* Removes the first call that was taken; there has to be one. */
static plait_func *thread_pop(struct plait_reactor *r, void **ret_arg)
{
	struct plait_thread_call *first = r->thread.oldest;
	plait_func *fn = first->fn;

	*ret_arg = first->arg;
	r->thread.oldest = first->next;
	if (first->next == NULL)
		r->thread.end = &r->thread.oldest;
	thread_let_go(r, first);
	return fn;
}

OUT_OF_LINE void plait_i_thread_run(struct plait_reactor *r)
{
	thread_take(r);
	/* If a call has forked, the child does not make the other calls. */
	for (int i = 0; i < REACTOR_SHARE && r->thread.oldest != NULL &&
			!loop_is_forked(r);
	     i++) {
		void *arg;
		plait_func *fn = thread_pop(r, &arg);

		r->counts.calls++;
		loop_enter(r);
		fn(arg);
		exception_barrier();
		loop_leave(r);
	}
	thread_give_back(&r->thread);
}

/* In a forked child there is no other thread that could lower the count. */
static void thread_wait_for_wakers(struct plait_reactor *r)
{
	while (!loop_is_forked(r) && atomic_load(&r->thread.waking) > 0)
		sched_yield();
}

/* A forked child may do this inside of plait_i_thread_run(). */
static void thread_free_calls(struct thread_calls *tc)
{
	thread_free_all(tc->used);
	thread_forget_used(tc);
	thread_free_all(tc->spare);
	tc->spare = NULL;
}

void plait_i_thread_done(struct plait_reactor *r)
{
	void *arg;

	thread_wait_for_wakers(r);
	thread_take(r);
	while (r->thread.oldest != NULL)
		thread_pop(r, &arg);
	thread_free_calls(&r->thread);
	if (r->thread.fd >= 0) {
		plait_i_watch_forget(&r->thread.watch);
		kernel_close(loop_kernel(r), r->thread.fd);
	}
}

/*
 * The reactor: its life, and its turns, in which it calls the parts one after
 * the other.  loop.h says what a turn is; each part has a file of its own, and
 * none of them knows this one.
 */
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"
#include "lib/debug.h"
#include "lib/fork.h"
#include "reactor/loop/parts.h"

/* They are defined in this file, and their calls here pass the place. */
#undef plait_reactor_run
#undef plait_reactor_iterate

/* Best first. */
static const struct kernel_ops *const kernels[] = {
#ifdef HAVE_EPOLL
	&plait_i_kernel_epoll,
#endif
	&plait_i_kernel_select,
};

_Static_assert(offsetof(struct plait_reactor, base) == 0,
	       "the functions of struct loop_base look there");

enum { N_KERNELS = sizeof(kernels) / sizeof(kernels[0]) };

/* Is done once a process.  Returns 0 or -errno. */
static int reactor_watch_forks(void)
{
	static atomic_bool watching;
	int rc = plait_i_fork_watch();

	if (rc == 0 && !atomic_exchange(&watching, true)) {
		rc = -pthread_atfork(plait_i_signal_before_fork,
				     plait_i_signal_in_parent,
				     plait_i_signal_in_child);
		if (rc < 0)
			atomic_store(&watching, false);
	}
	return rc;
}

/* ---- life ---------------------------------------------------------------- */

static const char backend_variable[] = "PLAIT_REACTOR";

static const struct kernel_ops *reactor_find_kernel(const char *name)
{
	if (name == NULL)
		name = getenv(backend_variable);
	if (name == NULL || *name == '\0')
		return kernels[0];
	for (int i = 0; i < N_KERNELS; i++) {
		if (strcmp(kernels[i]->name, name) == 0)
			return kernels[i];
	}
	return NULL;
}

const char *plait_backend_name(size_t i)
{
	return i < N_KERNELS ? kernels[i]->name : NULL;
}

uint64_t plait_reactor_random(struct plait_reactor *r)
{
	loop_check_given(r, "plait_reactor_random()", NULL);
	return kernel_random(loop_kernel(r));
}

const char *plait_reactor_backend(const struct plait_reactor *r)
{
	loop_check_null(r, "plait_reactor_backend()", NULL);
	return r->base.kernel.ops->name;
}

bool plait_i_reactor_unknown_backend(char *why, size_t size)
{
	if (reactor_find_kernel(NULL) != NULL)
		return false;
	snprintf(why, size, "no backend \"%.64s\" (%s)",
		 getenv(backend_variable), backend_variable);
	return true;
}

/* If the name comes from the program, not from PLAIT_REACTOR, no message is
   needed. */
static void reactor_say_unknown_backend(void)
{
	char why[REACTOR_UNKNOWN_BACKEND], line[REACTOR_UNKNOWN_BACKEND + 16];
	int len;

	if (!plait_i_reactor_unknown_backend(why, sizeof(why)))
		return;
	len = snprintf(line, sizeof(line), "plait: %s\n", why);
	plait_i_base_say(line, (size_t)len);
}

struct plait_reactor *plait_reactor_new(const char *name)
{
	const struct kernel_ops *kernel = reactor_find_kernel(name);

	if (kernel == NULL) {
		if (name == NULL)
			reactor_say_unknown_backend();
		errno = EINVAL;
		return NULL;
	}
	return plait_i_reactor_new(kernel, NULL);
}

static void reactor_init(struct plait_reactor *r)
{
	static atomic_uint numbers;

	r->number = atomic_fetch_add(&numbers, 1) + 1;
	r->base.owner.forks = fork_count();
	r->forks_begun = fork_begun_count();
	plait_i_signal_init(r);
	plait_i_limits_init(r);
	plait_list_init(&r->after_callback);
	plait_list_init(&r->next_turn);
	plait_list_init(&r->arrivals);
	plait_list_init(&r->burials);
	plait_list_init(&r->members);
	plait_list_init(&r->finishing);
	plait_list_init(&r->leaving);
	plait_list_init(&r->when_freed);
	plait_list_init(&r->kept);
	plait_list_init(&r->untold.list);
	plait_list_init(&r->process_jobs.waiting);
	r->untold.reactor = r;
	plait_i_deadline_init(r);
	plait_i_trigger_init(r);
	plait_i_pool_init(r);
}

/*
 * How many reactors each thread has made that are not freed: one of them may
 * still fire the thread's promises.  The index is the number of the thread,
 * because another thread may free a reactor.  Two threads whose numbers differ
 * by a multiple of the size share a place; then their reports may leave
 * something out.
 */
enum { COUNTED_THREADS = 256 };
static atomic_uint reactor_counts[COUNTED_THREADS];

static void reactor_count(struct plait_reactor *r)
{
	r->maker = owner_number();
	atomic_fetch_add(&reactor_counts[r->maker % COUNTED_THREADS], 1);
}

/* Is true if this thread has no other reactor. */
static bool reactor_uncount(struct plait_reactor *r)
{
	/* A child that was forked in a callback of the end frees the reactor
	   again. */
	if (r->maker != 0)
		atomic_fetch_sub(&reactor_counts[r->maker % COUNTED_THREADS],
				 1);
	r->maker = 0;
	return atomic_load(&reactor_counts[owner_number() % COUNTED_THREADS]) ==
	       0;
}

struct plait_reactor *plait_i_reactor_new(const struct kernel_ops *kernel,
					  void *on)
{
	struct plait_reactor *r;
	int rc = reactor_watch_forks();

	if (rc < 0)
		goto err;
	r = calloc(1, sizeof(*r));
	if (r == NULL) {
		rc = -ENOMEM;
		goto err;
	}
	reactor_init(r);
	rc = kernel_init(&r->base.kernel, kernel, on);
	if (rc < 0)
		goto err_free;
	rc = plait_i_thread_init(r);
	if (rc < 0)
		goto err_kernel;
	plait_i_clock_lend(r);
	plait_i_trace_reactor_begins(r);
	reactor_count(r);
	return r;

err_kernel:
	kernel_done(&r->base.kernel);
	plait_i_watch_done(r);
err_free:
	free(r);
err:
	errno = -rc;
	return NULL;
}

bool plait_i_reactor_is_busy(const struct plait_reactor *r)
{
	return r->in_turn || r->depth > 0;
}

/* Also between the steps of a run, which is somebody else's. */
static bool reactor_is_busy(const struct plait_reactor *r)
{
	return plait_i_reactor_is_busy(r) || r->in_steps;
}

/* Begins a turn, or something else that calls callbacks. */
static void reactor_take(struct plait_reactor *r, const char *where)
{
	r->in_turn = true;
	plait_i_clock_begin(r);
	r->runner = pthread_self();
	r->base.owner.where = where;
	__atomic_store_n(&r->base.owner.thread, owner_number(),
			 __ATOMIC_RELAXED);
}

static void reactor_give_up(struct plait_reactor *r)
{
	r->in_turn = false;
	r->now_is_known = false;
	plait_i_clock_end(r);
	__atomic_store_n(&r->base.owner.thread, 0, __ATOMIC_RELAXED);
}

/* Makes all last calls of the user. */
static void reactor_end(struct plait_reactor *r, bool is_last)
{
	loop_check(r, "plait_reactor_free()");
	plait_assert(!reactor_is_busy(r));
	reactor_take(r, "plait_reactor_free()");
	r->ending = true;
	r->begun = 0;
	r->shutdown = SHUTDOWN_CLOSING;
	plait_i_shutdown_wait_no_longer(r);
	plait_i_trigger_stop_waiting(r);
	plait_list_move(&r->next_turn, &r->when_freed);
	plait_i_shutdown_lose_everything(r);
	if (!loop_is_forked(r))
		plait_i_deferred_report(r->number, is_last);
	/* The hook for failures may have begun something. */
	plait_i_shutdown_lose_everything(r);
	reactor_give_up(r);
}

/* After this nothing reaches the reactor from outside, and it has no
 * descriptor.
 */
static void reactor_detach(struct plait_reactor *r)
{
	plait_i_signal_done(r);
	plait_i_timer_done(r);
	plait_i_thread_done(r);
	plait_i_watch_done(r);
	kernel_done(&r->base.kernel);
}

static void reactor_release(struct plait_reactor *r)
{
	plait_i_loop_forget_all(r);
	plait_i_trigger_done(r);
	plait_i_call_done(r);
	plait_i_loop_run_each(&r->kept);
	plait_i_pool_done(r);
	free(r);
}

/*
 * In a forked child: closes the descriptors, because they would keep peers
 * waiting, and tells nobody.  The child may be in a callback; memory that the
 * callers of that callback use is not freed.
 */
static void reactor_abandon(struct plait_reactor *r)
{
	if (r->abandoned)
		return;
	r->abandoned = true;
	plait_i_shutdown_wait_no_longer(r);
	plait_i_shutdown_abandon(&r->members);
	plait_i_shutdown_abandon(&r->leaving);
	plait_i_loop_run_each(&r->when_freed);
	reactor_detach(r);
}

static void reactor_release_in_child(struct plait_reactor *r)
{
	plait_i_loop_run_each(&r->burials);
	reactor_release(r);
}

/* If another thread was in a turn, that turn goes on in the parent only. */
static bool reactor_will_return_to(const struct plait_reactor *r)
{
	return r->in_turn ? pthread_equal(r->runner, pthread_self())
			  : r->depth > 0;
}

static void reactor_free_in_child(struct plait_reactor *r)
{
	reactor_abandon(r);
	if (reactor_will_return_to(r))
		r->unwanted = true;
	else
		reactor_release_in_child(r);
}

void plait_reactor_free(struct plait_reactor **rp)
{
	struct plait_reactor *r = rp != NULL ? *rp : NULL;
	unsigned number;
	bool last;

	if (r == NULL)
		return;
	/* In a callback that tells of the end, it does nothing. */
	if (r->ending && !loop_is_forked(r)) {
		*rp = NULL;
		return;
	}
	number = r->trace_number;
	/* A deferred that fires only from here on was not left over.  In a
	   simulation other programs may still begin. */
	last = reactor_uncount(r) && !loop_kernel(r)->ops->is_simulated;
	plait_i_deferred_note_kept();
	if (!loop_is_forked(r))
		reactor_end(r, last);
	*rp = NULL;
	/* A callback of the end may have forked. */
	if (loop_is_forked(r)) {
		reactor_free_in_child(r);
		plait_i_base_say_lost();
		plait_i_trace_reactor_ends(number, true);
		return;
	}
	reactor_detach(r);
	reactor_release(r);
	plait_i_base_say_lost();
	plait_i_trace_reactor_ends(number, false);
}

void plait_reactor_cleanup(struct plait_reactor **rp)
{
	plait_reactor_free(rp);
}

/* ---- turns --------------------------------------------------------------- */

bool plait_reactor_is_running(const struct plait_reactor *r)
{
	loop_check_null(r, "plait_reactor_is_running()", NULL);
	return r->running && !loop_is_forked(r);
}

/* Is true if there is something to do now, whatever the time is. */
static inline bool reactor_has_work(const struct plait_reactor *r)
{
	return loop_has_tasks(r) || loop_has(&r->arrivals) ||
	       thread_has_work(r) || watch_has_work(r) || signal_has_come(r) ||
	       (r->shutdown != SHUTDOWN_NONE && plait_i_shutdown_is_due(r));
}

int64_t plait_i_reactor_due(const struct plait_reactor *r)
{
	int64_t when;

	if (reactor_has_work(r))
		return INT64_MIN;
	return timer_is_any(r) && plait_i_timer_next(r, &when) ? when
							       : INT64_MAX;
}

bool plait_i_reactor_has_work(const struct plait_reactor *r)
{
	int64_t due = plait_i_reactor_due(r);

	return due != INT64_MAX && due <= plait_i_clock_now(r);
}

/* Returns how long this turn may wait, in nanoseconds; negative: for ever. */
static int64_t reactor_waiting_time(struct plait_reactor *r, int64_t limit)
{
	int64_t when, now, left;

	if (reactor_has_work(r))
		return 0;
	if (!timer_is_any(r) || !plait_i_timer_next(r, &when))
		return limit;
	now = plait_i_clock_now(r);
	left = when > now ? when - now : 0;
	return limit >= 0 && limit < left ? limit : left;
}

static OUT_OF_LINE void reactor_heed_signals(struct plait_reactor *r)
{
	unsigned marks = plait_i_signal_take_marks(r);

	if (marks & SIGNAL_STOP)
		plait_reactor_stop(r);
	if (marks & SIGNAL_STOP_NOW)
		plait_reactor_stop_now(r);
	if (marks & SIGNAL_DUMP)
		plait_i_report_pending();
	if (marks & SIGNAL_WATCHED)
		plait_i_signal_tell(r);
}

static void reactor_run_due(struct plait_reactor *r)
{
	loop_run_after_callback(r);
	if (thread_has_work(r))
		plait_i_thread_run(r);
	if (loop_has(&r->next_turn))
		plait_i_loop_run_next_turn(r);
	timer_run_due(r);
	if (signal_has_come(r) && !loop_is_forked(r))
		reactor_heed_signals(r);
}

static int reactor_wait(struct plait_reactor *r, int64_t limit)
{
	int64_t timeout = reactor_waiting_time(r, limit);

	if (timeout == 0 && loop_has(&r->arrivals))
		plait_i_loop_run_arrivals(r);
	return plait_i_watch_poll(r, timeout);
}

/* Is true if no work and no timer is left, so that a turn only waits.
 */
static inline bool reactor_is_idle(const struct plait_reactor *r)
{
	return !timer_is_any(r) && r->shutdown == SHUTDOWN_NONE &&
	       !reactor_has_work(r);
}

/* All parts of a turn but the last.  Returns 0, or -errno if the kernel cannot
   wait. */
static OUT_OF_LINE int reactor_work(struct plait_reactor *r, int64_t limit)
{
	int rc = 0;

	reactor_run_due(r);
	if (r->shutdown != SHUTDOWN_NONE && !loop_is_forked(r))
		plait_i_shutdown_go_on(r);
	/* No event can refer to what is to be buried, so bury before the wait.
	 */
	loop_run_burials(r);
	if (r->shutdown != SHUTDOWN_DONE && !loop_is_forked(r))
		rc = reactor_wait(r, limit);
	return rc;
}

static int reactor_turn(struct plait_reactor *r, int64_t limit)
{
	int rc;

	r->turns++;
	r->counts = (struct turn_counts){ 0 };
	r->now_is_known = false;
	timer_begin_turn(r);
	if (reactor_is_idle(r)) {
		r->timers.unfinished = false;
		rc = plait_i_watch_poll(r, limit);
	} else {
		rc = reactor_work(r, limit);
	}
	loop_run_burials(r);
	if (loop_is_forked(r))
		return -ECHILD;
	if (debug_is_on(DEBUG_TURNS))
		plait_i_report_turn(r);
	return rc;
}

/* The last step of a run or a turn.  In a child that has freed the reactor in a
   callback, the memory is freed here. */
static int reactor_return(struct plait_reactor *r, int rc)
{
	reactor_give_up(r);
	if (r->unwanted)
		reactor_release_in_child(r);
	return rc;
}

int plait_i_reactor_turn(struct plait_reactor *r, int64_t limit,
			 const char *where)
{
	int rc;

	if (loop_is_forked(r))
		return -ECHILD;
	if (reactor_is_busy(r))
		return -EBUSY;
	reactor_take(r, where);
	rc = reactor_turn(r, limit);
	if (r->shutdown == SHUTDOWN_DONE)
		r->shutdown = SHUTDOWN_NONE;
	return reactor_return(r, rc);
}

int plait_reactor_iterate(struct plait_reactor *r, double seconds,
			  const char *where)
{
	int64_t limit;

	loop_check_given(r, "plait_reactor_iterate()", where);
	limit = plait_i_clock_delay(seconds);
	/* A program that iterates a testing reactor also moves its clock. */
	return plait_i_reactor_turn(r, loop_is_virtual(r) ? 0 : limit, where);
}

static void reactor_start_up(struct plait_reactor *r)
{
	plait_i_trigger_fire(r, PLAIT_TRIGGER_STARTUP, PLAIT_TRIGGER_BEFORE);
	r->running = true;
	plait_i_trigger_fire(r, PLAIT_TRIGGER_STARTUP, PLAIT_TRIGGER_DURING);
	plait_i_trigger_fire(r, PLAIT_TRIGGER_STARTUP, PLAIT_TRIGGER_AFTER);
	plait_i_trigger_fire_when_running(r);
}

/* Returns what the run returns.  A run that failed has no shutdown; what it has
   made stays. */
static int reactor_finish(struct plait_reactor *r, int rc)
{
	r->running = r->hurried = r->in_steps = false;
	if (loop_is_forked(r))
		return -ECHILD;
	plait_i_trigger_stop_waiting(r);
	plait_i_shutdown_wait_no_longer(r);
	r->shutdown = SHUTDOWN_NONE;
	return rc;
}

/* Returns true if a turn that returned rc was not the last of the run. */
static bool reactor_goes_on(const struct plait_reactor *r, int rc)
{
	return rc == 0 && r->shutdown != SHUTDOWN_DONE && !loop_is_forked(r);
}

static int reactor_go(struct plait_reactor *r)
{
	int rc;

	reactor_start_up(r);
	rc = loop_is_forked(r) ? -ECHILD : 0;
	while (rc == 0 && r->shutdown != SHUTDOWN_DONE)
		rc = reactor_turn(r, -1);
	return reactor_finish(r, rc);
}

int plait_reactor_run(struct plait_reactor *r, const char *where)
{
	int rc;

	loop_check_given(r, "plait_reactor_run()", where);
	if (loop_is_forked(r))
		return -ECHILD;
	if (reactor_is_busy(r))
		return -EBUSY;
	rc = plait_i_signal_take(r);
	if (rc < 0)
		return rc;
	reactor_take(r, where);
	rc = reactor_go(r);
	plait_i_signal_release(r);
	return reactor_return(r, rc);
}

/* ---- for a simulation ---------------------------------------------------- */

bool plait_i_reactor_step(struct plait_reactor *r, const char *where, int *ret)
{
	int rc = 0;
	bool goes_on;

	reactor_take(r, where);
	if (!r->in_steps) {
		r->in_steps = true;
		reactor_start_up(r);
	}
	if (reactor_goes_on(r, rc))
		rc = reactor_turn(r, 0);
	goes_on = reactor_goes_on(r, rc);
	if (!goes_on)
		*ret = reactor_finish(r, rc);
	reactor_return(r, rc);
	return goes_on;
}

void plait_i_reactor_break(struct plait_reactor *r)
{
	if (r->in_steps)
		reactor_finish(r, 0);
}

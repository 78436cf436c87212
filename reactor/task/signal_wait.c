/*
 * The next signal of a number, as a deferred.
 *
 * The struct is a watch, and is freed when the deferred has its result.  If the
 * reactor goes before, the watch has been stopped by then, and the deferred
 * fails; in a forked child nobody is told, and the struct goes with the
 * deferred.
 */
#include <errno.h>
#include <stdlib.h>

#include <plait/signal.h>

#include "lib/deferred.h"
#include "lib/failure.h"
#include "reactor/loop/loop.h"

/* Defined here; whoever calls it here says the place. */
#undef plait_signal_wait

struct signal_wait {
	struct plait_signal_watch watch;
	struct plait_reactor *reactor;
	struct plait_promise *promise;
	struct loop_task reactor_freed;
	int number;
	const char *late; /* where it was begun, if the reactor was ending */
};

/* Gives the promise of a wait, whose memory has gone. */
static struct plait_promise *wait_end(struct signal_wait *sw)
{
	struct plait_promise *p = sw->promise;

	plait_signal_watch_stop(&sw->watch);
	loop_task_cancel(&sw->reactor_freed);
	free(sw);
	return p;
}

static void wait_told(struct plait_signal_watch *w, unsigned times)
{
	struct signal_wait *sw = plait_container(w, struct signal_wait, watch);
	int number = sw->number;
	struct plait_promise *p = wait_end(sw);

	plait_fire(&p, plait_int(number));
}

static plait_value wait_cancel(struct plait_deferred *d, void *arg)
{
	struct plait_promise *p = wait_end(arg);

	plait_promise_drop(&p);
	return plait_cancelled();
}

static plait_value wait_reactor_freed(const char *where)
{
	return plait_i_failure_cancelled_by("reactor freed", where);
}

static void wait_run_reactor_freed(struct loop_task *task)
{
	struct signal_wait *sw =
		plait_container(task, struct signal_wait, reactor_freed);
	const char *late = sw->late;
	struct plait_promise *p;

	if (loop_is_forked(sw->reactor))
		return;
	p = wait_end(sw);
	if (late != NULL)
		plait_fire(&p, wait_reactor_freed(late));
	else
		plait_promise_drop(&p);
}

static int wait_start(struct signal_wait *sw, struct plait_reactor *r,
		      int number)
{
	int rc = plait_signal_watch_start(r, &sw->watch, number, wait_told);

	if (rc == 0)
		plait_i_loop_when_freed(r, &sw->reactor_freed);
	return rc;
}

struct plait_deferred *plait_signal_wait(struct plait_reactor *r, int number,
					 const char *where)
{
	struct signal_wait *sw;
	struct plait_deferred *d;
	struct plait_promise *p;
	int rc;

	loop_check_given(r, "plait_signal_wait()", where);
	if (plait_i_loop_refuses(r))
		return (plait_failed)(wait_reactor_freed(where), where);
	sw = calloc(1, sizeof(*sw));
	if (sw == NULL)
		return (plait_failed)(plait_no_memory(), where);
	sw->reactor = r;
	sw->reactor_freed.run = wait_run_reactor_freed;
	sw->number = number;
	sw->late = plait_i_loop_is_ending(r) ? where : NULL;
	d = (plait_deferred_new)(&sw->promise, wait_cancel, sw, where);
	if (sw->promise == NULL) {
		free(sw);
		return d;
	}
	rc = wait_start(sw, r, number);
	if (rc < 0) {
		p = wait_end(sw);
		plait_fire(&p, (plait_fail_errno)(where, &plait_error_os, -rc,
						  "signal %d", number));
	}
	return d;
}

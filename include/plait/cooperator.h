/*
 * Long computations that share the loop with everything else: each is a
 * function that does one step, called in turn with the others until a slice
 * of time is over, and again in the next turn of the reactor.
 */
#ifndef PLAIT_COOPERATOR_H
#define PLAIT_COOPERATOR_H

#include <plait/deferred.h>
#include <plait/reactor.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_cooperator;
struct plait_coiterator;

/* How waiting for a task ends if the task does not end by itself. */
extern const struct plait_error plait_error_task_finished;
extern const struct plait_error plait_error_task_stopped;
extern const struct plait_error plait_error_scheduler_stopped;

/*
 * Does one step.  True: there is more to do.  It may set *ret, which is none:
 * to a deferred, plait_chain(&d), to be waited for before the task goes on or
 * ends, or to a failure, which ends the task.
 */
typedef bool plait_coiterator_step(plait_value *ret, void *arg);

/*
 * A new one, given; NULL with ENOMEM in errno.  slice is in seconds, 0.01 in
 * Twisted.  A slice makes steps until it is over, at least one; with 0, and
 * on a reactor whose clock is virtual, it is one step of each task.
 */
struct plait_cooperator *plait_cooperator_new(struct plait_reactor *r,
					      double slice);

/* Stops it and frees it.  NULL does nothing; *cp is NULL afterwards. */
void plait_cooperator_free(struct plait_cooperator **cp);

/*
 * Every task ends with SchedulerStopped, and so does each that comes later.
 * So it is when the reactor is freed.
 */
void plait_cooperator_stop(struct plait_cooperator *c);

/*
 * Begins a task; its first step is made in the next turn.  Given, and to be
 * freed by plait_coiterator_free(); NULL with ENOMEM in errno.
 */
struct plait_coiterator *plait_cooperate(struct plait_cooperator *c,
					 plait_coiterator_step *step,
					 void *arg);

/*
 * Stops the task if it has not ended, and frees the handle.  A failure of the
 * task that nobody was told is told to the unhandled hook.  NULL does nothing;
 * *tp is NULL afterwards.
 */
void plait_coiterator_free(struct plait_coiterator **tp);

/*
 * Gives a deferred that fires with none when the task has done its last
 * step, or fails as it did.  Any number of them, also afterwards.  Cancelling
 * one is to wait no more: the task goes on.
 */
struct plait_deferred *
plait_coiterator_when_done(struct plait_coiterator *t,
			   const char *where) PLAIT_MUST_USE;
#define plait_coiterator_when_done(...)                                        \
	(plait_coiterator_when_done)(__VA_ARGS__, PLAIT_HERE)

/*
 * Hold it and let it go on; they nest.  Stop: it makes no further step, what
 * it waits for is cancelled, and who waits is told TaskStopped.  0; -EALREADY
 * on a task that has ended, -EINVAL for a resume without a pause.
 */
int plait_coiterator_pause(struct plait_coiterator *t);
int plait_coiterator_resume(struct plait_coiterator *t);
int plait_coiterator_stop(struct plait_coiterator *t);

#ifdef __cplusplus
}
#endif

#endif

/*
 * Long computations that share the loop with everything else.  Each
 * computation is a task: a function that does one step when it is called.  A
 * cooperator calls the functions of its tasks in turn until a slice of time is
 * over, and goes on in the next turn of the reactor.
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
 * Does one step, and returns true if there is more to do.  *ret is none at
 * first.  The function may set it to a deferred, plait_chain(&d): then the
 * task waits for that before it goes on or ends.  Or to a failure, which ends
 * the task.  The library takes *ret.
 */
typedef bool plait_coiterator_step(plait_value *ret, void *arg);

/*
 * A new cooperator, given; NULL with ENOMEM in errno.  slice is in seconds;
 * Twisted has 0.01.  In each turn the cooperator makes steps until the slice is
 * over, at least one step.  With a slice of 0, and on a reactor whose clock is
 * virtual, it makes one step of each task.
 */
struct plait_cooperator *plait_cooperator_new(struct plait_reactor *r,
					      double slice);

/*
 * Stops the cooperator and frees it; the handles of its tasks stay valid.  NULL
 * does nothing; *cp is NULL afterwards.
 */
void plait_cooperator_free(struct plait_cooperator **cp);
/* The same, for __attribute__((cleanup)). */
void plait_cooperator_cleanup(struct plait_cooperator **cp);

/*
 * Ends every task with SchedulerStopped, and also each task that is begun
 * later.  Freeing the reactor does the same.
 */
void plait_cooperator_stop(struct plait_cooperator *c);

/*
 * Begins a task; its first step is made in the next turn.  arg is borrowed
 * until the task has ended.  Gives the handle of the task, which
 * plait_coiterator_free() frees; NULL with ENOMEM in errno.
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
/* The same, for __attribute__((cleanup)). */
void plait_coiterator_cleanup(struct plait_coiterator **tp);

/*
 * Gives a deferred that fires with none when the task has done its last step,
 * or fails with the failure of the task.  May be called any number of times,
 * also after the task has ended.  Cancelling such a deferred only ends the
 * wait: the task goes on.
 */
struct plait_deferred *
plait_coiterator_when_done(struct plait_coiterator *t,
			   const char *where) PLAIT_MUST_USE;
#define plait_coiterator_when_done(...)                                        \
	(plait_coiterator_when_done)(__VA_ARGS__, PLAIT_HERE)

/*
 * Pause holds the task until resume was called as often as pause.  Stop ends
 * the task: it makes no further step, what it waits for is cancelled, and the
 * deferreds of when_done fail with TaskStopped.  0; -EALREADY if the task has
 * ended, -EINVAL for a resume without a pause.
 */
int plait_coiterator_pause(struct plait_coiterator *t);
int plait_coiterator_resume(struct plait_coiterator *t);
int plait_coiterator_stop(struct plait_coiterator *t);

#ifdef __cplusplus
}
#endif

#endif

/*
 * Cooperators.  A task is in one of three lists, or has ended and is in none:
 * line, those whose step may come in this slice; next, those that join the
 * line when the next one begins; held, those that wait for a deferred or are
 * paused.  While anybody is in the first two, a timer asks for a slice in the
 * next turn; with nobody, nothing happens.  A fourth list, refused, is for the
 * end of the reactor: see refuse_task().
 *
 * A step may stop or free any task, its own too, and the cooperator, and so
 * may whoever is told that a task has ended; so both are held by a reference
 * while one works.
 */
#include <errno.h>
#include <stdlib.h>

#include <plait/cooperator.h>
#include <plait/timer.h>

#include "lib/deferred.h"
#include "lib/fork.h"
#include "lib/unhandled.h"
#include "lib/waiters.h"
#include "reactor/loop/loop.h"

/* Defined here; whoever calls them here says the place. */
#undef plait_coiterator_when_done

const struct plait_error plait_error_task_finished = {
	.name = "TaskFinished",
	.text = "The task has ended.",
	.parent = &plait_error_any,
};
const struct plait_error plait_error_task_stopped = {
	.name = "TaskStopped",
	.text = "The task was stopped before it was done.",
	.parent = &plait_error_task_finished,
};
const struct plait_error plait_error_scheduler_stopped = {
	.name = "SchedulerStopped",
	.text = "The task's cooperator was stopped.",
	.parent = &plait_error_task_finished,
};

struct plait_cooperator {
	struct plait_reactor *reactor;
	struct plait_list line, next, held;
	struct plait_list refused; /* begun while the reactor is ending */
	struct plait_timer timer;
	struct loop_task reactor_freed;
	int64_t slice; /* nanoseconds; 0: one step of each task */
	size_t refs;   /* the handle's, the tasks', and that of a slice */
	bool stopped;
};

struct plait_coiterator {
	struct plait_cooperator *cooperator;
	struct plait_list link;
	plait_coiterator_step *step;
	void *arg;
	struct waiters waiters;
	struct plait_deferred *awaited;
	plait_value result; /* once it has ended: none, or a failure */
	unsigned pauses;
	unsigned refs;	  /* the handle's, and those of work on it */
	unsigned forks;	  /* how many there had been when it was made */
	bool last;	  /* the function has said so */
	bool ended, told; /* somebody has seen how */
};

static void cooperator_unref(struct plait_cooperator *c)
{
	if (--c->refs > 0)
		return;
	loop_task_cancel(&c->reactor_freed);
	free(c);
}

static void unref_task(struct plait_coiterator *t)
{
	if (--t->refs > 0)
		return;
	if (!t->told && !fork_inherited(t->forks) &&
	    plait_value_is_failure(&t->result))
		plait_i_failure_unhandled(plait_value_failure(&t->result),
					  "Unhandled error in a task");
	plait_value_free(&t->result);
	cooperator_unref(t->cooperator);
	free(t);
}

/* ---- tasks ---------------------------------------------------------- */

static void run_slice(void *arg);

static bool cooperator_has_work(const struct plait_cooperator *c)
{
	return !c->stopped && (!plait_list_is_empty(&c->line) ||
			       !plait_list_is_empty(&c->next));
}

static void set_timer(struct plait_cooperator *c)
{
	if (!cooperator_has_work(c) || c->reactor == NULL)
		plait_timer_stop(&c->timer);
	else if (!plait_timer_is_running(&c->timer))
		plait_timer_start(c->reactor, &c->timer, 0, run_slice, c);
}

/* A cooperator that stops ends those that are held last, so it misses none. */
static bool is_held(const struct plait_coiterator *t)
{
	return t->pauses > 0 || t->awaited != NULL || t->cooperator->stopped;
}

/* To the list where it belongs now; to that one, if its step may come. */
static void move_task(struct plait_coiterator *t, struct plait_list *list)
{
	struct plait_cooperator *c = t->cooperator;

	plait_list_remove(&t->link);
	if (!t->ended)
		plait_list_append(is_held(t) ? &c->held : list, &t->link);
	set_timer(c);
}

/* v, none or a failure, is taken. */
static void end_task(struct plait_coiterator *t, plait_value v)
{
	t->refs++;
	t->ended = true;
	t->result = v;
	move_task(t, NULL);
	plait_deferred_free(&t->awaited);
	while (t->waiters.count > 0) {
		struct plait_promise *p = plait_i_waiters_pop(&t->waiters);

		t->told = true;
		plait_fire(&p, plait_value_ref(&t->result));
	}
	unref_task(t);
}

/*
 * With no memory for the pair this comes out of turn: what is awaited is
 * cancelled then, as it is the end of the task.
 */
static plait_value awaited_done(plait_value *result, void *arg)
{
	struct plait_coiterator *t = arg;
	plait_value v;

	if (t->ended)
		return *result;
	v = plait_value_take(result);
	t->refs++;
	plait_deferred_free(&t->awaited);
	if (plait_value_is_failure(&v)) {
		end_task(t, v);
	} else {
		plait_value_free(&v);
		if (t->last)
			end_task(t, PLAIT_NONE);
		else
			move_task(t, &t->cooperator->next);
	}
	unref_task(t);
	return PLAIT_NONE;
}

/* What a step gave back, which is taken. */
static void task_stepped(struct plait_coiterator *t, plait_value v)
{
	if (!t->ended && plait_value_is(&v, &plait_deferred_type)) {
		t->awaited = plait_i_deferred_take_value(v, PLAIT_HERE);
		plait_deferred_add_both(t->awaited, awaited_done, t);
		return;
	}
	if (!t->ended && plait_value_is_failure(&v)) {
		end_task(t, v);
		return;
	}
	plait_value_free(&v);
	if (!t->ended && t->last)
		end_task(t, PLAIT_NONE);
}

/* If it can go on after its step, it is put in that list. */
static void step_task(struct plait_coiterator *t, struct plait_list *list)
{
	plait_value v = PLAIT_NONE;

	t->refs++;
	t->last = !t->step(&v, t->arg);
	task_stepped(t, v);
	move_task(t, list);
	unref_task(t);
}

/* ---- slices --------------------------------------------------------- */

static struct plait_coiterator *first_of(const struct plait_list *list)
{
	return plait_container(plait_list_first(list), struct plait_coiterator,
			       link);
}

/* In a forked child nobody's turn comes. */
static bool cooperator_is_abandoned(const struct plait_cooperator *c)
{
	return c->reactor == NULL || loop_is_forked(c->reactor);
}

static void run_slice(void *arg)
{
	struct plait_cooperator *c = arg;
	int64_t began = plait_i_clock_read(c->reactor);
	bool one_each = c->slice == 0 || loop_is_virtual(c->reactor);

	c->refs++;
	plait_list_move(&c->line, &c->next);
	while (!plait_list_is_empty(&c->line) && !cooperator_is_abandoned(c)) {
		step_task(first_of(&c->line), one_each ? &c->next : &c->line);
		if (!one_each && !cooperator_is_abandoned(c) &&
		    plait_i_clock_read(c->reactor) - began >= c->slice)
			break;
	}
	cooperator_unref(c);
}

static void cooperator_reactor_freed(struct loop_task *task);

static void cooperator_forget_reactor(struct loop_task *task)
{
	plait_container(task, struct plait_cooperator, reactor_freed)->reactor =
		NULL;
}

/* When the last callbacks have been told of the end of the reactor. */
static void cooperator_forget_reactor_later(struct plait_cooperator *c)
{
	c->reactor_freed.run = cooperator_forget_reactor;
	plait_i_loop_keep(c->reactor, &c->reactor_freed);
}

struct plait_cooperator *plait_cooperator_new(struct plait_reactor *r,
					      double slice)
{
	int64_t nanoseconds;
	struct plait_cooperator *c;

	loop_check_given(r, "plait_cooperator_new()", NULL);
	nanoseconds = plait_i_clock_delay(slice);
	c = malloc(sizeof(*c));
	if (c == NULL)
		return NULL;
	*c = (struct plait_cooperator){ .reactor = r,
					.reactor_freed.run =
						cooperator_reactor_freed,
					.slice = nanoseconds,
					.refs = 1,
					.stopped = plait_i_loop_is_ending(r) };
	plait_list_init(&c->line);
	plait_list_init(&c->next);
	plait_list_init(&c->held);
	plait_list_init(&c->refused);
	if (c->stopped)
		cooperator_forget_reactor_later(c);
	else
		plait_i_loop_when_freed(r, &c->reactor_freed);
	return c;
}

static plait_value scheduler_stopped(void)
{
	return plait_fail(&plait_error_scheduler_stopped,
			  "the cooperator was stopped");
}

/* Its owner knows, so it need not be reported. */
static void stop_task(struct plait_coiterator *t, plait_value why)
{
	t->told = true;
	end_task(t, why);
}

static void stop_all(struct plait_list *list, const plait_value *why)
{
	while (!plait_list_is_empty(list))
		stop_task(first_of(list), plait_value_ref(why));
}

static void stop_cooperator(struct plait_cooperator *c)
{
	plait_value why = scheduler_stopped();

	c->refs++;
	c->stopped = true;
	stop_all(&c->line, &why);
	stop_all(&c->next, &why);
	stop_all(&c->held, &why);
	plait_value_free(&why);
	cooperator_unref(c);
}

void plait_cooperator_stop(struct plait_cooperator *c)
{
	if (c == NULL || c->stopped)
		return;
	if (c->reactor != NULL)
		loop_check(c->reactor, "plait_cooperator_stop()");
	loop_task_cancel(&c->reactor_freed);
	c->reactor = NULL;
	stop_cooperator(c);
}

/*
 * Tasks that are begun while the reactor is ending end at once, or in the next
 * round, when this comes again; so it is known until the last was told.
 */
static void cooperator_reactor_freed(struct loop_task *task)
{
	struct plait_cooperator *c =
		plait_container(task, struct plait_cooperator, reactor_freed);

	if (loop_is_forked(c->reactor)) {
		c->reactor = NULL;
		return;
	}
	c->refs++;
	plait_list_move(&c->held, &c->refused);
	stop_cooperator(c);
	if (!plait_list_is_linked(&task->link))
		cooperator_forget_reactor_later(c);
	cooperator_unref(c);
}

/*
 * A task that is begun in vain, as the cooperator has stopped.  Whoever begins
 * one for each that has ended would do so without end while the reactor is
 * ending: so only some end at once, the others in the next round, and if
 * nobody is told any more they stay where they are.
 */
static void refuse_task(struct plait_coiterator *t)
{
	struct plait_cooperator *c = t->cooperator;

	if (c->reactor == NULL || plait_i_loop_refuses(c->reactor)) {
		stop_task(t, scheduler_stopped());
		return;
	}
	plait_list_append(&c->refused, &t->link);
	loop_task_cancel(&c->reactor_freed);
	c->reactor_freed.run = cooperator_reactor_freed;
	plait_i_loop_when_freed(c->reactor, &c->reactor_freed);
	if (!plait_list_is_linked(&c->reactor_freed.link))
		cooperator_forget_reactor_later(c);
}

void plait_cooperator_free(struct plait_cooperator **cp)
{
	struct plait_cooperator *c = cp != NULL ? *cp : NULL;

	if (c == NULL)
		return;
	*cp = NULL;
	plait_cooperator_stop(c);
	cooperator_unref(c);
}

void plait_cooperator_cleanup(struct plait_cooperator **cp)
{
	plait_cooperator_free(cp);
}

/* ---- the handle of a task ------------------------------------------- */

struct plait_coiterator *plait_cooperate(struct plait_cooperator *c,
					 plait_coiterator_step *step_fn,
					 void *arg)
{
	struct plait_coiterator *t;

	if (c == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	t = malloc(sizeof(*t));
	if (t == NULL)
		return NULL;
	*t = (struct plait_coiterator){ .cooperator = c,
					.step = step_fn,
					.arg = arg,
					.refs = 1,
					.forks = fork_count() };
	plait_i_waiters_init(&t->waiters);
	plait_list_init(&t->link);
	c->refs++;
	if (c->stopped)
		refuse_task(t);
	else
		move_task(t, &c->next);
	return t;
}

struct plait_deferred *plait_coiterator_when_done(struct plait_coiterator *t,
						  const char *where)
{
	if (t == NULL)
		return (plait_failed)(plait_no_memory(), where);
	if (!t->ended)
		return plait_i_waiters_add(&t->waiters, where);
	t->told = true;
	return (plait_maybe_deferred)(plait_value_ref(&t->result), where);
}

int plait_coiterator_pause(struct plait_coiterator *t)
{
	if (t == NULL)
		return -ENOMEM;
	if (t->ended)
		return -EALREADY;
	t->pauses++;
	move_task(t, NULL);
	return 0;
}

int plait_coiterator_resume(struct plait_coiterator *t)
{
	if (t == NULL)
		return -ENOMEM;
	if (t->ended)
		return -EALREADY;
	if (t->pauses == 0)
		return -EINVAL;
	t->pauses--;
	if (t->pauses == 0)
		move_task(t, &t->cooperator->next);
	return 0;
}

int plait_coiterator_stop(struct plait_coiterator *t)
{
	if (t == NULL)
		return -ENOMEM;
	if (t->ended)
		return -EALREADY;
	stop_task(t, plait_fail(&plait_error_task_stopped,
				"the task was stopped"));
	return 0;
}

void plait_coiterator_free(struct plait_coiterator **tp)
{
	struct plait_coiterator *t = tp != NULL ? *tp : NULL;

	if (t == NULL)
		return;
	*tp = NULL;
	t->refs++;
	plait_coiterator_stop(t);
	unref_task(t);
	unref_task(t);
}

void plait_coiterator_cleanup(struct plait_coiterator **tp)
{
	plait_coiterator_free(tp);
}

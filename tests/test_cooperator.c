/*
 * Cooperators: turns and slices, how tasks end, and what a step may do to its
 * own task, to others and to the cooperator.
 */
#include <math.h>

#include "tests/child.h"
#include "tests/extreme.h"
#include "tests/steps.h"
#include "tests/timed.h"

enum { MAX_TASKS = 4 };

/* A task that writes its name down in each step, and then does what it is to.
 */
struct job {
	const char *name;
	unsigned left; /* steps after this one; 0: the last */
	unsigned steps;
	unsigned act_in; /* this step */
	void (*act)(struct job *self, plait_value *ret);
	struct job *victim;
	struct plait_coiterator *task;
	struct plait_deferred *done;
	struct plait_promise *promise;
	struct step canceller;
};

static struct plait_cooperator *cooperator;
static struct job jobs[MAX_TASKS];

static bool job_step(plait_value *ret, void *arg)
{
	struct job *self = arg;
	bool more = self->left > 0;

	ck_assert(plait_value_is_none(ret));
	if (self->name != NULL)
		trace_add("%s", self->name);
	if (more)
		self->left--;
	if (++self->steps == self->act_in)
		self->act(self, ret);
	return more;
}

static void begin(double slice)
{
	timed_start();
	cooperator = plait_cooperator_new(reactor, slice);
	ck_assert_ptr_nonnull(cooperator);
}

/* Traces its end. */
static struct job *add(unsigned n, unsigned steps)
{
	static const char *const names[] = { "a", "b", "c", "d" };
	static const char *const ends[] = { "A", "B", "C", "D" };
	struct job *j = &jobs[n];

	*j = (struct job){ .name = names[n], .left = steps - 1 };
	j->task = plait_cooperate(cooperator, job_step, j);
	ck_assert_ptr_nonnull(j->task);
	j->done = plait_coiterator_when_done(j->task);
	pass_both(j->done, ends[n]);
	return j;
}

static void act_at(struct job *j, unsigned step,
		   void (*act)(struct job *self, plait_value *ret))
{
	j->act_in = step;
	j->act = act;
}

static void done(void)
{
	for (int i = 0; i < MAX_TASKS; i++) {
		plait_coiterator_free(&jobs[i].task);
		if (jobs[i].done != NULL)
			handle_all(jobs[i].done);
		plait_deferred_free(&jobs[i].done);
		plait_promise_drop(&jobs[i].promise);
	}
	plait_cooperator_free(&cooperator);
}

/* Nothing is due, and nothing ever will be. */
static void assert_idle(void)
{
	if (backend == NULL) {
		ck_assert_int_eq(plait_reactor_run(reactor), -EDEADLK);
	} else {
		ck_assert_int_eq(plait_reactor_iterate(reactor, 7), 0);
		ck_assert_double_eq_tol(wait_timeout(), 7, 0.01);
	}
}

/* ---- turns and slices ----------------------------------------------- */

GROUP("slices", .setup = steps_setup);

TEST(first_step_is_in_the_next_turn, ON_EACH_REACTOR)
{
	begin(0);
	add(0, 1);
	ck_assert_str_eq(trace(), "");
	run_turns(reactor, 1);
	ck_assert_str_eq(trace(), "a A:none");
	done();
}

TEST(tasks_take_turns, ON_EACH_REACTOR)
{
	begin(0);
	add(0, 3);
	add(1, 2);
	add(2, 3);
	run_turns(reactor, 1);
	ck_assert_str_eq(trace(), "a b c");
	run_turns(reactor, 5);
	ck_assert_str_eq(trace(), "a b c a b B:none c a A:none c C:none");
	done();
}

TEST(an_idle_cooperator_costs_nothing, ON_EACH_REACTOR)
{
	begin(0.01);
	add(0, 1);
	run_turns(reactor, 3);
	assert_idle();
	done();
}

static void take_4_ms(struct job *self, plait_value *ret)
{
	clock_advance(0.004);
	self->act_in++;
}

TEST(a_slice_ends_when_its_time_is_over, ON_EACH_BACKEND)
{
	begin(0.01);
	for (unsigned i = 0; i < 3; i++)
		act_at(add(i, 100), 1, take_4_ms);
	run_turns(reactor, 1);
	ck_assert_str_eq(trace(), "a b c");
	run_turns(reactor, 1);
	ck_assert_str_eq(trace(), "a b c a b c");
	/* A slice that ends in the middle of a round goes on from there. */
	plait_coiterator_free(&jobs[1].task);
	trace_clear();
	run_turns(reactor, 2);
	ck_assert_str_eq(trace(), "a c a c a c");
	done();
}

static void take_long(struct job *self, plait_value *ret)
{
	clock_advance(1);
	self->act_in++;
}

TEST(a_slice_makes_one_step_at_least, ON_EACH_BACKEND)
{
	begin(1e-9);
	for (unsigned i = 0; i < 2; i++)
		act_at(add(i, 9), 1, take_long);
	run_turns(reactor, 3);
	ck_assert_str_eq(trace(), "a b a");
	done();
}

TEST(short_steps_share_a_slice, ON_EACH_BACKEND)
{
	begin(0.01);
	for (unsigned i = 0; i < 2; i++)
		add(i, 1000)->name = NULL;
	run_turns(reactor, 1);
	ck_assert_uint_eq(jobs[0].steps, 1000);
	ck_assert_uint_eq(jobs[1].steps, 1000);
	done();
}

static void note(void *arg)
{
	trace_add("timer");
}

TEST(timers_run_between_slices, ON_EACH_REACTOR)
{
	struct plait_timer t = { 0 };

	begin(0);
	add(0, 3);
	plait_timer_start(reactor, &t, 0, note, NULL);
	run_turns(reactor, 3);
	ck_assert_str_eq(trace(), "a timer a a A:none");
	done();
}

static bool readable;

static void is_readable(struct plait_watch *w, unsigned events)
{
	readable = true;
	plait_watch_stop(w);
}

TEST(descriptors_are_seen_between_slices, ON_EACH_BACKEND)
{
	struct plait_watch w = { 0 };
	int fd[2];

	begin(0);
	add(0, 100);
	ck_assert_int_eq(pipe(fd), 0);
	plait_watch_start(reactor, &w, fd[0], PLAIT_READ, is_readable);
	ck_assert_int_eq(write(fd[1], "x", 1), 1);
	run_turns(reactor, 1);
	ck_assert(readable);
	close(fd[0]);
	close(fd[1]);
	done();
}

static void with_slice(void *arg)
{
	plait_cooperator_new(reactor, *(double *)arg);
}

TEST(a_slice_that_is_none_aborts, ON_EACH_REACTOR)
{
	timed_start();
	assert_aborts(with_slice, &(double){ -1 }, "seconds >= 0");
	assert_aborts(with_slice, &(double){ NAN }, "seconds >= 0");
}

/* ---- how a task ends ------------------------------------------------ */

GROUP("ends", .setup = steps_setup);

TEST(any_number_may_wait_also_afterwards, ON_EACH_REACTOR)
{
	struct plait_deferred *early, *late;

	begin(0);
	add(0, 1);
	early = plait_coiterator_when_done(jobs[0].task);
	pass_both(early, "early");
	run_turns(reactor, 1);
	late = plait_coiterator_when_done(jobs[0].task);
	pass_both(late, "late");
	ck_assert_str_eq(trace(), "a A:none early:none late:none");
	plait_deferred_free(&early);
	plait_deferred_free(&late);
	done();
}

TEST(cancelling_a_wait_lets_the_task_go_on, ON_EACH_REACTOR)
{
	begin(0);
	add(0, 2);
	run_turns(reactor, 1);
	plait_deferred_cancel(jobs[0].done);
	run_turns(reactor, 2);
	ck_assert_str_eq(trace(), "a A:CancelledError a");
	ck_assert_uint_eq(jobs[0].left, 0);
	done();
}

static void raise_failure(struct job *self, plait_value *ret)
{
	*ret = plait_fail(&plait_error_any, "broken");
}

TEST(a_failure_ends_the_task, ON_EACH_REACTOR)
{
	begin(0);
	act_at(add(0, 9), 2, raise_failure);
	add(1, 3);
	run_turns(reactor, 4);
	ck_assert_str_eq(trace(), "a b a A:Error: broken b b B:none");
	ck_assert_int_eq(plait_coiterator_stop(jobs[0].task), -EALREADY);
	done();
}

TEST(a_failure_that_nobody_was_told_is_reported, ON_EACH_REACTOR, TIMES(2))
{
	begin(0);
	act_at(add(0, 9), 1, raise_failure);
	plait_deferred_cancel(jobs[0].done);
	run_turns(reactor, 1);
	ck_assert_uint_eq(unhandled_count(), 0);
	if (_i) {
		struct plait_deferred *d =
			plait_coiterator_when_done(jobs[0].task);

		handle_all(d);
		plait_deferred_free(&d);
	}
	plait_coiterator_free(&jobs[0].task);
	ck_assert_uint_eq(unhandled_count(), !_i);
	unhandled_expect(!_i);
	done();
}

static void answer_value(struct job *self, plait_value *ret)
{
	*ret = tracked("v");
}

TEST(a_value_is_freed, ON_EACH_REACTOR, FROM_TO(1, 3))
{
	begin(0);
	act_at(add(0, 2), (unsigned)_i, answer_value);
	run_turns(reactor, 3);
	ck_assert_str_eq(trace(), _i == 1 ? "a ~v a A:none" : "a a ~v A:none");
	done();
}

TEST(stopping_tells_task_stopped, ON_EACH_REACTOR)
{
	begin(0);
	add(0, 9);
	add(1, 2);
	run_turns(reactor, 1);
	ck_assert_int_eq(plait_coiterator_stop(jobs[0].task), 0);
	ck_assert_int_eq(plait_coiterator_stop(jobs[0].task), -EALREADY);
	run_turns(reactor, 3);
	ck_assert_str_eq(trace(), "a b A:TaskStopped: the task was stopped "
				  "b B:none");
	done();
}

TEST(freeing_stops, ON_EACH_REACTOR, TIMES(2))
{
	begin(0);
	add(0, 9);
	if (_i)
		run_turns(reactor, 1);
	plait_coiterator_free(&jobs[0].task);
	plait_coiterator_free(&jobs[0].task);
	run_turns(reactor, 3);
	ck_assert_str_eq(trace(), _i ? "a A:TaskStopped: the task was stopped"
				     : "A:TaskStopped: the task was stopped");
	done();
}

TEST(stopping_the_cooperator_ends_every_task, ON_EACH_REACTOR, TIMES(3))
{
	static const char *const says =
		"a b c "
		"A:SchedulerStopped: the cooperator was stopped "
		"B:SchedulerStopped: the cooperator was stopped "
		"C:SchedulerStopped: the cooperator was stopped "
		"D:SchedulerStopped: the cooperator was stopped";

	begin(0);
	for (unsigned i = 0; i < 3; i++)
		add(i, 9);
	run_turns(reactor, 1);
	plait_coiterator_pause(jobs[2].task);
	if (_i == 2)
		plait_reactor_free(&reactor);
	else
		plait_cooperator_stop(cooperator);
	plait_cooperator_stop(cooperator);
	if (_i == 1)
		plait_cooperator_free(&cooperator);
	if (_i != 1)
		add(3, 9);
	else
		trace_add("D:SchedulerStopped: the cooperator was stopped");
	if (reactor != NULL) {
		run_turns(reactor, 3);
		assert_idle();
	}
	ck_assert_str_eq(trace(), says);
	ck_assert_int_eq(plait_coiterator_pause(jobs[0].task), -EALREADY);
	done();
}

static plait_value resume_second(plait_value *result, void *arg)
{
	ck_assert_int_eq(plait_coiterator_resume(jobs[1].task), 0);
	return PLAIT_NONE;
}

TEST(a_task_resumed_while_the_cooperator_stops_ends_too, ON_EACH_REACTOR,
     TIMES(2))
{
	begin(0);
	for (unsigned i = 0; i < 2; i++)
		plait_coiterator_pause(add(i, 9)->task);
	plait_deferred_add_both(jobs[0].done, resume_second, NULL);
	if (_i == 1)
		plait_reactor_free(&reactor);
	else
		plait_cooperator_stop(cooperator);
	ck_assert_str_eq(trace(),
			 "A:SchedulerStopped: the cooperator was stopped "
			 "B:SchedulerStopped: the cooperator was stopped");
	if (reactor != NULL)
		assert_idle();
	done();
}

TEST(nobody_need_wait_for_what_was_stopped, ON_EACH_REACTOR, TIMES(3))
{
	begin(0);
	add(0, 9);
	plait_deferred_cancel(jobs[0].done);
	handle_all(jobs[0].done);
	switch (_i) {
	case 0:
		plait_coiterator_stop(jobs[0].task);
		break;
	case 1:
		plait_cooperator_free(&cooperator);
		break;
	default:
		plait_reactor_free(&reactor);
	}
	done();
	/* Only that the deferred is kept longer than the reactor. */
	unhandled_expect(_i == 2);
	ck_assert_uint_eq(unhandled_count(), _i == 2);
}

/* ---- pausing -------------------------------------------------------- */

GROUP("waiting", .setup = steps_setup);

TEST(pauses_nest, ON_EACH_REACTOR)
{
	begin(0);
	add(0, 2);
	ck_assert_int_eq(plait_coiterator_resume(jobs[0].task), -EINVAL);
	ck_assert_int_eq(plait_coiterator_pause(jobs[0].task), 0);
	ck_assert_int_eq(plait_coiterator_pause(jobs[0].task), 0);
	run_turns(reactor, 2);
	assert_idle();
	ck_assert_int_eq(plait_coiterator_resume(jobs[0].task), 0);
	run_turns(reactor, 2);
	ck_assert_str_eq(trace(), "");
	ck_assert_int_eq(plait_coiterator_resume(jobs[0].task), 0);
	run_turns(reactor, 2);
	ck_assert_str_eq(trace(), "a a A:none");
	ck_assert_int_eq(plait_coiterator_pause(jobs[0].task), -EALREADY);
	ck_assert_int_eq(plait_coiterator_resume(jobs[0].task), -EALREADY);
	done();
}

static void pause_self(struct job *self, plait_value *ret)
{
	plait_coiterator_pause(self->task);
}

static void pause_and_resume_self(struct job *self, plait_value *ret)
{
	plait_coiterator_pause(self->task);
	plait_coiterator_resume(self->task);
}

TEST(a_step_may_pause_its_task, ON_EACH_REACTOR, TIMES(2))
{
	begin(0);
	act_at(add(0, 3), 1, _i ? pause_and_resume_self : pause_self);
	run_turns(reactor, 3);
	if (_i) {
		ck_assert_str_eq(trace(), "a a a A:none");
	} else {
		ck_assert_str_eq(trace(), "a");
		plait_coiterator_resume(jobs[0].task);
		run_turns(reactor, 2);
		ck_assert_str_eq(trace(), "a a a A:none");
	}
	done();
}

/* ---- waiting for a deferred ----------------------------------------- */

static void wait(struct job *self, plait_value *ret)
{
	struct plait_deferred *d;

	self->canceller.name = "x";
	d = plait_deferred_new(&self->promise, step_canceller,
			       &self->canceller);
	pass_both(d, "w");
	*ret = plait_chain(&d);
}

static void wait_for_fired(struct job *self, plait_value *ret)
{
	struct plait_deferred *d = plait_succeed(tracked("v"));

	*ret = plait_chain(&d);
	self->act_in++;
}

TEST(a_deferred_is_waited_for, ON_EACH_REACTOR)
{
	begin(0);
	act_at(add(0, 2), 1, wait);
	add(1, 3);
	run_turns(reactor, 3);
	ck_assert_str_eq(trace(), "a b b b B:none");
	assert_idle();
	plait_fire(&jobs[0].promise, tracked("v"));
	run_turns(reactor, 2);
	ck_assert_str_eq(trace(), "a b b b B:none w:v ~v a A:none");
	done();
}

TEST(the_last_step_may_wait_too, ON_EACH_REACTOR)
{
	begin(0);
	act_at(add(0, 1), 1, wait);
	run_turns(reactor, 3);
	ck_assert_str_eq(trace(), "a");
	plait_fire(&jobs[0].promise, PLAIT_NONE);
	ck_assert_str_eq(trace(), "a w:none A:none");
	done();
}

TEST(a_fired_deferred_is_not_waited_for, ON_EACH_REACTOR)
{
	begin(0);
	act_at(add(0, 3), 1, wait_for_fired);
	run_turns(reactor, 3);
	ck_assert_str_eq(trace(), "a ~v a ~v a ~v A:none");
	done();
}

TEST(its_failure_ends_the_task, ON_EACH_REACTOR)
{
	begin(0);
	act_at(add(0, 9), 1, wait);
	run_turns(reactor, 1);
	plait_fire(&jobs[0].promise, plait_fail(&plait_error_any, "e"));
	ck_assert_str_eq(trace(), "a w:Error: e A:Error: e");
	run_turns(reactor, 2);
	ck_assert_uint_eq(jobs[0].steps, 1);
	done();
}

TEST(whatever_stops_the_task_cancels_it, ON_EACH_REACTOR, TIMES(5))
{
	begin(0);
	act_at(add(0, 9), 1, wait);
	run_turns(reactor, 1);
	switch (_i) {
	case 0:
		plait_coiterator_stop(jobs[0].task);
		break;
	case 1:
		plait_coiterator_free(&jobs[0].task);
		break;
	case 2:
		plait_cooperator_stop(cooperator);
		break;
	case 3:
		plait_cooperator_free(&cooperator);
		break;
	default:
		plait_reactor_free(&reactor);
	}
	ck_assert_ptr_eq(strstr(trace(), "a !x w:CancelledError A:"), trace());
	done();
}

TEST(paused_while_it_waits, ON_EACH_REACTOR, TIMES(2))
{
	begin(0);
	act_at(add(0, 2), 1, wait);
	run_turns(reactor, 1);
	plait_coiterator_pause(jobs[0].task);
	if (_i)
		plait_coiterator_resume(jobs[0].task);
	plait_fire(&jobs[0].promise, PLAIT_NONE);
	run_turns(reactor, 2);
	if (!_i) {
		ck_assert_str_eq(trace(), "a w:none");
		plait_coiterator_resume(jobs[0].task);
		run_turns(reactor, 2);
	}
	ck_assert_str_eq(trace(), "a w:none a A:none");
	done();
}

/* ---- what a step may do --------------------------------------------- */

static void free_self(struct job *self, plait_value *ret)
{
	plait_coiterator_free(&self->task);
}

static void stop_self(struct job *self, plait_value *ret)
{
	plait_coiterator_stop(self->task);
}

static void free_self_and_wait(struct job *self, plait_value *ret)
{
	plait_coiterator_free(&self->task);
	wait(self, ret);
}

static void free_self_and_fail(struct job *self, plait_value *ret)
{
	plait_coiterator_free(&self->task);
	raise_failure(self, ret);
}

static void free_cooperator(struct job *self, plait_value *ret)
{
	plait_cooperator_free(&cooperator);
}

static void free_all(struct job *self, plait_value *ret)
{
	plait_cooperator_free(&cooperator);
	for (int i = 0; i < MAX_TASKS; i++)
		plait_coiterator_free(&jobs[i].task);
}

static void free_victim(struct job *self, plait_value *ret)
{
	plait_coiterator_free(&self->victim->task);
}

static void add_another(struct job *self, plait_value *ret)
{
	add(3, 2);
}

static void (*const deeds[])(struct job *, plait_value *) = {
	free_self,	    stop_self,	     free_self_and_wait,
	free_self_and_fail, free_cooperator, free_all,
	free_victim,	    add_another,     pause_self,
};

enum { N_DEEDS = sizeof(deeds) / sizeof(deeds[0]) };

GROUP("steps", .setup = steps_setup);

/* Whatever is done, in whichever slice, the others end and nothing is left. */
TEST(a_step_may_do_anything, ON_EACH_REACTOR, TIMES(N_DEEDS * 18))
{
	unsigned deed = (unsigned)_i % N_DEEDS;
	unsigned actor = (unsigned)_i / N_DEEDS % 3;
	unsigned victim = (unsigned)_i / N_DEEDS / 3 % 3;
	bool in_last = (unsigned)_i / N_DEEDS / 9;
	bool all_end =
		deeds[deed] == free_cooperator || deeds[deed] == free_all;

	begin(backend != NULL && in_last ? 1 : 0);
	for (unsigned i = 0; i < 3; i++)
		add(i, 3)->victim = &jobs[victim];
	act_at(&jobs[actor], in_last ? 3 : 2, deeds[deed]);
	run_turns(reactor, 10);
	for (unsigned i = 0; i < 3; i++) {
		bool hit = i == actor || all_end ||
			   (deeds[deed] == free_victim && i == victim);

		if (!hit)
			ck_assert_uint_eq(jobs[i].steps, 3);
		if (i == actor && deeds[deed] == pause_self)
			plait_coiterator_resume(jobs[i].task);
	}
	run_turns(reactor, 3);
	for (unsigned i = 0; i < 3; i++)
		ck_assert(plait_deferred_is_fired(jobs[i].done));
	done();
}

static plait_value free_everything(plait_value *result, void *arg)
{
	free_all(NULL, NULL);
	return *result;
}

TEST(who_is_told_the_end_may_free_everything, ON_EACH_REACTOR, TIMES(5))
{
	begin(0);
	for (unsigned i = 0; i < 3; i++)
		add(i, 3 + (i == 2));
	plait_deferred_add_both(jobs[1].done, free_everything, NULL);
	switch (_i) {
	case 0:
		run_turns(reactor, 5);
		break;
	case 1:
		plait_coiterator_stop(jobs[1].task);
		break;
	case 2:
		plait_coiterator_free(&jobs[1].task);
		break;
	case 3:
		plait_cooperator_free(&cooperator);
		break;
	default:
		plait_reactor_free(&reactor);
	}
	for (unsigned i = 0; i < 3; i++)
		ck_assert(plait_deferred_is_fired(jobs[i].done));
	done();
}

/* ---- many tasks, and no memory -------------------------------------- */

enum { MANY = 100000 };

static unsigned ended;

static plait_value count_end(plait_value *result, void *arg)
{
	ended++;
	return PLAIT_NONE;
}

static void add_many(struct plait_coiterator **tasks, struct job *many,
		     unsigned steps)
{
	for (unsigned i = 0; i < MANY; i++) {
		struct plait_deferred *d;

		many[i] = (struct job){ .left = steps - 1 };
		tasks[i] = plait_cooperate(cooperator, job_step, &many[i]);
		d = plait_coiterator_when_done(tasks[i]);
		plait_deferred_add_both(d, count_end, NULL);
		plait_deferred_detach(&d);
	}
}

GROUP("limits", .setup = steps_setup);

TEST(a_hundred_thousand_tasks, ON_EACH_BACKEND, TIMES(2))
{
	struct plait_coiterator **tasks = calloc(MANY, sizeof(*tasks));
	struct job *many = calloc(MANY, sizeof(*many));

	begin(_i ? 1 : 0);
	add_many(tasks, many, 3);
	for (int i = 0; i < 3; i++)
		run_turns(reactor, 1);
	ck_assert_uint_eq(ended, MANY);
	for (unsigned i = 0; i < MANY; i++)
		plait_coiterator_free(&tasks[i]);
	add_many(tasks, many, 9);
	plait_cooperator_stop(cooperator);
	ck_assert_uint_eq(ended, 2 * MANY);
	for (unsigned i = 0; i < MANY; i++)
		plait_coiterator_free(&tasks[i]);
	free(tasks);
	free(many);
	done();
}

enum { A_MILLION = 1000000 };

static void let_a_million_wait(void)
{
	for (unsigned i = 0; i < A_MILLION; i++) {
		struct plait_deferred *d =
			plait_coiterator_when_done(jobs[0].task);

		plait_deferred_add_both(d, count_end, NULL);
		plait_deferred_detach(&d);
	}
	plait_coiterator_stop(jobs[0].task);
	plait_coiterator_free(&jobs[0].task);
}

/* A deferred belongs to its thread, and so does all that waits here. */
static void *tell_a_million(void *arg)
{
	timed_start();
	cooperator = plait_cooperator_new(reactor, 0);
	jobs[0].task = plait_cooperate(cooperator, job_step, &jobs[0]);
	let_a_million_wait();
	plait_cooperator_free(&cooperator);
	plait_reactor_free(&reactor);
	return NULL;
}

TEST(a_million_waiters_on_a_small_stack, PURE)
{
	on_small_stack(tell_a_million);
	ck_assert_uint_eq(ended, A_MILLION);
}

TEST(without_memory_there_is_none, ON_EACH_REACTOR)
{
	timed_start();
	fault_alloc_at(0, false);
	ck_assert_ptr_null(plait_cooperator_new(reactor, 0));
	ck_assert_int_eq(errno, ENOMEM);
	cooperator = plait_cooperator_new(reactor, 0);
	fault_alloc_at(0, false);
	ck_assert_ptr_null(plait_cooperate(cooperator, job_step, &jobs[0]));
	ck_assert_int_eq(errno, ENOMEM);
	run_turns(reactor, 1);
	ck_assert_uint_eq(jobs[0].steps, 0);
	done();
}

static void wait_with_many_pairs(struct job *self, plait_value *ret)
{
	struct plait_deferred *d;

	self->canceller.name = "x";
	d = plait_deferred_new(&self->promise, step_canceller,
			       &self->canceller);
	for (int i = 0; i < 4; i++)
		pass_both(d, "w");
	fault_alloc_at(0, false);
	*ret = plait_chain(&d);
}

TEST(without_memory_to_wait_it_fails_and_cancels, ON_EACH_REACTOR)
{
	begin(0);
	act_at(add(0, 3), 1, wait_with_many_pairs);
	run_turns(reactor, 1);
	ck_assert(fault_alloc_reached());
	ck_assert_ptr_nonnull(strstr(trace(), "!x w:CancelledError"));
	ck_assert_ptr_nonnull(strstr(trace(), "A:NoMemoryError"));
	done();
}

static void wait_a_while(struct job *self, plait_value *ret)
{
	struct plait_deferred *d = plait_defer_later(reactor, 1, NULL, NULL);

	*ret = plait_chain(&d);
}

static void cooperate_a_while(struct plait_reactor *r)
{
	reactor = r;
	cooperator = plait_cooperator_new(r, 0);
	if (cooperator == NULL) {
		ck_assert(torture_faulty());
		return;
	}
	for (unsigned i = 0; i < 2; i++) {
		struct job *j = &jobs[i];

		*j = (struct job){ .left = 2,
				   .act_in = 2,
				   .act = wait_a_while };
		j->task = plait_cooperate(cooperator, job_step, j);
		if (j->task != NULL)
			j->done = plait_coiterator_when_done(j->task);
	}
	for (int i = 0; i < 9; i++)
		plait_reactor_iterate(r, 0.3);
	if (!torture_faulty())
		ck_assert_uint_eq(jobs[1].steps, 3);
	done();
}

TEST(survives_without_memory, ON_EACH_BACKEND)
{
	torture(cooperate_a_while, backend);
}

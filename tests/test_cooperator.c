/*
 * Cooperators: turns and slices, how tasks end, and what a step may do to its
 * own task, to others and to the cooperator.
 */
#include <math.h>

#include "tests/child.h"
#include "tests/extreme.h"
#include "tests/script.h"
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
	struct script_callback *script; /* for act */
};

static struct plait_cooperator *cooperator;
static struct job jobs[MAX_TASKS];
static struct script_callback *each_step; /* any other, in a script */

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
	else if (each_step != NULL)
		*ret = script_operation(each_step);
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
	struct job *j = &jobs[n];

	*j = (struct job){ .name = names[n], .left = steps - 1 };
	j->task = plait_cooperate(cooperator, job_step, j);
	ck_assert_ptr_nonnull(j->task);
	j->done = plait_coiterator_when_done(j->task);
	pass_both(j->done, j->name);
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

/* The verbs of this suite: a task has its name, and so has its end. */
static unsigned n_jobs;

static struct job *job(void)
{
	const char *name = play_word();

	for (unsigned i = 0; i < n_jobs; i++)
		if (strcmp(jobs[i].name, name) == 0)
			return &jobs[i];
	ck_abort_msg("no task %s", name);
}

static void act_script(struct job *self, plait_value *ret)
{
	*ret = script_operation(self->script);
}

static void do_slice(void)
{
	begin(play_number());
}

static void do_task(void)
{
	struct script_part *end = script_part();
	struct job *j;

	if (cooperator == NULL)
		begin(0);
	j = add(n_jobs++, (unsigned)play_number());
	ck_assert_str_eq(j->name, end->name);
	end->d = j->done;
	j->done = NULL;
}

static void do_on_step(void)
{
	struct job *j = job();

	act_at(j, (unsigned)play_number(), act_script);
	j->script = script_callback();
}

static void do_each_step(void)
{
	each_step = script_callback();
}

static void do_wait_for(void)
{
	const struct job *j = job();
	struct script_part *part = script_part();

	part->d = plait_coiterator_when_done(j->task);
	pass_both(part->d, part->name);
}

static void do_stop_task(void)
{
	script_errno(plait_coiterator_stop(job()->task));
}

static void do_free_task(void)
{
	struct job *j = job();

	plait_coiterator_free(&j->task);
	ck_assert_ptr_null(j->task);
}

static void do_pause_task(void)
{
	script_errno(plait_coiterator_pause(job()->task));
}

static void do_resume_task(void)
{
	script_errno(plait_coiterator_resume(job()->task));
}

static void do_stop_all(void)
{
	plait_cooperator_stop(cooperator);
}

static void do_free_all(void)
{
	plait_cooperator_free(&cooperator);
}

static void do_turns(void)
{
	run_turns(reactor, (unsigned)play_number());
}

static void do_jump(void)
{
	clock_advance(play_number());
}

static void do_idle(void)
{
	assert_idle();
	trace_add("idle");
}

static const struct play_verb verbs[] = {
	{ "slice", do_slice },	       /* SECONDS: of the cooperator; else 0 */
	{ "task", do_task },	       /* a, b, c or d, and how many steps */
	{ "on_step", do_on_step },     /* D N CALLBACK: its Nth step */
	{ "each_step", do_each_step }, /* CALLBACK: any other of any task */
	{ "wait_for", do_wait_for },   /* D E: one more waits for its end */
	{ "stop_task", do_stop_task },
	{ "free_task", do_free_task },
	{ "pause_task", do_pause_task },
	{ "resume_task", do_resume_task },
	{ "stop_all", do_stop_all }, /* the cooperator */
	{ "free_all", do_free_all },
	{ "turns", do_turns }, /* N */
	{ "jump", do_jump },   /* SECONDS: they pass inside a step */
	{ "idle?", do_idle },
	{ NULL, NULL },
};

static void setup(void)
{
	steps_setup();
	play_words(verbs, done);
}

/* The first step of a waits for w. */
#define WAITING(steps) "task a " steps "; new w !x; both w w; on_step a 1 = w; "

/* Who is told the end of b frees all. */
#define THREE                                                                  \
	"task a 3; task b 3; task c 4; both b { free_all; free_task a; "       \
	"free_task b; free_task c }; "

/* ---- turns and slices ----------------------------------------------- */

GROUP("slices", .setup = setup);

SCRIPT(first_step_is_in_the_next_turn, ON_EACH_REACTOR, "task a 1 | turns 1",
       "| a a:none")

SCRIPT(tasks_take_turns, ON_EACH_REACTOR,
       "task a 3; task b 2; task c 3; turns 1 | turns 5",
       "a b c | a b b:none c a a:none c c:none")

SCRIPT(an_idle_cooperator_costs_nothing, ON_EACH_REACTOR,
       "slice 0.01; task a 1; turns 3; idle?", "a a:none idle")

SCRIPT(a_slice_ends_when_its_time_is_over, ON_EACH_KERNEL,
       "slice 0.01; task a 99; task b 99; task c 99; each_step { jump 0.004 }; "
       "turns 1 | turns 1 | free_task b; turns 2",
       "a b c | a b c | b:TaskStopped: the task was stopped a c a c a c")

SCRIPT(a_slice_makes_one_step_at_least, ON_EACH_KERNEL,
       "slice 1e-9; task a 9; task b 9; each_step { jump 1 }; turns 3", "a b a")

TEST(short_steps_share_a_slice, ON_EACH_KERNEL)
{
	begin(0.01);
	for (unsigned i = 0; i < 2; i++)
		add(i, 1000)->name = NULL;
	run_turns(reactor, 1);
	ck_assert_uint_eq(jobs[0].steps, 1000);
	ck_assert_uint_eq(jobs[1].steps, 1000);
	done();
}

SCRIPT(timers_run_between_slices, ON_EACH_REACTOR,
       "task a 3; after 0 { say timer }; turns 3", "a timer a a a:none")

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
	plait_watch_start(reactor, &w, fd[0], PLAIT_WATCH_READ, is_readable);
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

GROUP("ends", .setup = setup);

SCRIPT(any_number_may_wait_also_afterwards, ON_EACH_REACTOR,
       "task a 1; wait_for a early; turns 1 | wait_for a late",
       "a a:none early:none | late:none")

SCRIPT(cancelling_a_wait_lets_the_task_go_on, ON_EACH_REACTOR,
       "task a 2; turns 1 | cancel a | turns 2", "a | a:CancelledError | a")

static void raise_failure(struct job *self, plait_value *ret)
{
	*ret = plait_fail(&plait_error_any, "broken");
}

SCRIPT(a_failure_ends_the_task, ON_EACH_REACTOR,
       "task a 9; on_step a 2 = Error:broken; task b 3; turns 4 | stop_task a",
       "a b a a:Error: broken b b b:none | EALREADY")

SCRIPTS(a_failure_that_nobody_was_told_is_reported, ON_EACH_REACTOR,
	{ "task a 9; on_step a 1 = Error:broken; cancel a; turns 1 | free_task "
	  "a",
	  "a:CancelledError a | ?Error: broken" },
	{ "task a 9; on_step a 1 = Error:broken; cancel a; turns 1 | wait_for "
	  "a late; catch late = none; free late; free_task a",
	  "a:CancelledError a | late:Error: broken" })

SCRIPTS(a_value_is_freed, ON_EACH_REACTOR,
	{ "task a 2; on_step a 1 = ~v; turns 3", "a ~v a a:none" },
	{ "task a 2; on_step a 2 = ~v; turns 3", "a a ~v a:none" })

SCRIPT(stopping_tells_task_stopped, ON_EACH_REACTOR,
       "task a 9; task b 2; turns 1 | stop_task a | stop_task a | turns 3",
       "a b | a:TaskStopped: the task was stopped | EALREADY | b b:none")

SCRIPTS(freeing_stops, ON_EACH_REACTOR,
	{ "task a 9; free_task a; free_task a; turns 3",
	  "a:TaskStopped: the task was stopped" },
	{ "task a 9; turns 1; free_task a; free_task a; turns 3",
	  "a a:TaskStopped: the task was stopped" })

SCRIPTS(stopping_the_cooperator_ends_every_task, ON_EACH_REACTOR,
	{ "task a 9; task b 9; pause_task b; turns 1 | stop_all; stop_all | "
	  "task c 9; turns 3; idle?; pause_task a",
	  "a | a:SchedulerStopped: the cooperator was stopped "
	  "b:SchedulerStopped: the cooperator was stopped | "
	  "c:SchedulerStopped: the cooperator was stopped idle EALREADY" },
	{ "task a 9; task b 9; pause_task b; turns 1 | stop_all; stop_all; "
	  "free_all | turns 3; idle?; pause_task a",
	  "a | a:SchedulerStopped: the cooperator was stopped "
	  "b:SchedulerStopped: the cooperator was stopped | idle EALREADY" },
	{ "task a 9; task b 9; pause_task b; turns 1 | free_reactor; stop_all "
	  "| task c 9; pause_task a",
	  "a | a:SchedulerStopped: the cooperator was stopped "
	  "b:SchedulerStopped: the cooperator was stopped | "
	  "c:SchedulerStopped: the cooperator was stopped EALREADY" })

SCRIPTS(a_task_resumed_while_the_cooperator_stops_ends_too, ON_EACH_REACTOR,
	{ "task a 9; task b 9; pause_task a; pause_task b; both a { "
	  "resume_task b } = none; stop_all; idle?",
	  "a:SchedulerStopped: the cooperator was stopped b:SchedulerStopped: "
	  "the cooperator was stopped idle" },
	{ "task a 9; task b 9; pause_task a; pause_task b; both a { "
	  "resume_task b } = none; free_reactor",
	  "a:SchedulerStopped: the cooperator was stopped b:SchedulerStopped: "
	  "the cooperator was stopped" })

SCRIPT(a_task_begun_while_the_cooperator_stops_ends_at_once, ON_EACH_REACTOR,
       "task a 9; both a { task b 9 | } = none; stop_all; idle?",
       "a:SchedulerStopped: the cooperator was stopped b:SchedulerStopped: "
       "the cooperator was stopped | idle")

SCRIPTS(nobody_need_wait_for_what_was_stopped, ON_EACH_REACTOR,
	{ "task a 9; cancel a; catch a = none | stop_task a",
	  "a:CancelledError |" },
	{ "task a 9; cancel a; catch a = none | free_all",
	  "a:CancelledError |" },
	{ "task a 9; cancel a; catch a = none | free_reactor",
	  "a:CancelledError | ?NeverFreedError" })

/* ---- pausing -------------------------------------------------------- */

GROUP("waiting", .setup = setup);

SCRIPT(pauses_nest, ON_EACH_REACTOR,
       "task a 2; resume_task a; pause_task a; pause_task a; turns 2; idle?; "
       "resume_task a; turns 2 | resume_task a; turns 2 | pause_task a; "
       "resume_task a",
       "EINVAL idle | a a a:none | EALREADY EALREADY")

static void pause_self(struct job *self, plait_value *ret)
{
	plait_coiterator_pause(self->task);
}

SCRIPTS(a_step_may_pause_its_task, ON_EACH_REACTOR,
	{ "task a 3; on_step a 1 { pause_task a }; turns 3 | resume_task a; "
	  "turns 2",
	  "a | a a a:none" },
	{ "task a 3; on_step a 1 { pause_task a; resume_task a }; turns 3",
	  "a a a a:none" })

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

SCRIPT(a_deferred_is_waited_for, ON_EACH_REACTOR,
       WAITING("2") "task b 3; turns 3; idle? | fire w ~v; turns 2",
       "a b b b b:none idle | w:v ~v a a:none")

SCRIPT(the_last_step_may_wait_too, ON_EACH_REACTOR,
       WAITING("1") "turns 3 | fire w none", "a | w:none a:none")

SCRIPT(a_fired_deferred_is_not_waited_for, ON_EACH_REACTOR,
       "task a 3; each_step { fired f ~v } = f; turns 3",
       "a ~v a ~v a ~v a:none")

SCRIPT(its_failure_ends_the_task, ON_EACH_REACTOR,
       WAITING("9") "turns 1 | fire w Error:e; turns 2",
       "a | w:Error: e a:Error: e")

SCRIPTS(whatever_stops_the_task_cancels_it, ON_EACH_REACTOR,
	{ WAITING("9") "turns 1 | stop_task a",
	  "a | !x w:CancelledError a:TaskStopped: the task was stopped" },
	{ WAITING("9") "turns 1 | free_task a",
	  "a | !x w:CancelledError a:TaskStopped: the task was stopped" },
	{ WAITING("9") "turns 1 | stop_all",
	  "a | !x w:CancelledError a:SchedulerStopped: the cooperator was "
	  "stopped" },
	{ WAITING("9") "turns 1 | free_all",
	  "a | !x w:CancelledError a:SchedulerStopped: the cooperator was "
	  "stopped" },
	{ WAITING("9") "turns 1 | free_reactor",
	  "a | !x w:CancelledError a:SchedulerStopped: the cooperator was "
	  "stopped" })

SCRIPTS(paused_while_it_waits, ON_EACH_REACTOR,
	{ WAITING("2") "turns 1; pause_task a; fire w none; turns 2 | "
		       "resume_task a; turns 2",
	  "a w:none | a a:none" },
	{ WAITING("2") "turns 1; pause_task a; resume_task a; fire w none; "
		       "turns 2",
	  "a w:none a a:none" })

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

GROUP("steps", .setup = setup);

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

SCRIPTS(who_is_told_the_end_may_free_everything, ON_EACH_REACTOR,
	{ THREE "turns 5", "a b c a b c a a:none b b:none c:SchedulerStopped: "
			   "the cooperator was stopped" },
	{ THREE "stop_task b",
	  "b:TaskStopped: the task was stopped a:SchedulerStopped: the "
	  "cooperator was stopped c:SchedulerStopped: the cooperator was "
	  "stopped" },
	{ THREE "free_task b",
	  "b:TaskStopped: the task was stopped a:SchedulerStopped: the "
	  "cooperator was stopped c:SchedulerStopped: the cooperator was "
	  "stopped" },
	{ THREE "free_all",
	  "a:SchedulerStopped: the cooperator was stopped b:SchedulerStopped: "
	  "the cooperator was stopped c:TaskStopped: the task was stopped" },
	{ THREE "free_reactor",
	  "a:SchedulerStopped: the cooperator was stopped b:SchedulerStopped: "
	  "the cooperator was stopped c:TaskStopped: the task was stopped" })

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

GROUP("limits", .setup = setup, .timeout = 60);

TEST(a_hundred_thousand_tasks, ON_EACH_KERNEL, TIMES(2))
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

static void let_a_million_wait(void)
{
	for (unsigned i = 0; i < a_million(); i++) {
		struct plait_deferred *d =
			plait_coiterator_when_done(jobs[0].task);

		plait_deferred_add_both(d, count_end, NULL);
		plait_deferred_detach(&d);
	}
	plait_coiterator_stop(jobs[0].task);
	plait_coiterator_free(&jobs[0].task);
}

/* A deferred belongs to its thread, and so does all that waits here. */
TEST_ON_SMALL_STACK(a_million_waiters_on_a_small_stack, PURE)
{
	timed_start();
	cooperator = plait_cooperator_new(reactor, 0);
	jobs[0].task = plait_cooperate(cooperator, job_step, &jobs[0]);
	let_a_million_wait();
	plait_cooperator_free(&cooperator);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(ended, a_million());
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
	ck_assert_ptr_nonnull(strstr(trace(), "a:NoMemoryError"));
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

/*
 * Triggers: the phases of the startup and the shutdown, in order, what they
 * may do to each other, and the deferreds for which the shutdown waits.
 */
#include "reactor/kernel/kernel.h"
#include "reactor/loop/loop.h"
#include "tests/harness.h"
#include "tests/steps.h"

static plait_value says(void *arg)
{
	trace_add("%s%s", (const char *)arg,
		  plait_reactor_is_running(reactor) ? "+" : "-");
	return PLAIT_NONE;
}

static uint64_t add(enum plait_phase phase, enum plait_event event,
		    plait_trigger_func *fn, const char *name)
{
	uint64_t id = 0;

	ck_assert_int_eq(plait_reactor_add_trigger(reactor, phase, event, fn,
						   (void *)name, &id),
			 0);
	ck_assert_uint_ne(id, 0);
	return id;
}

static void add_shutdown(plait_trigger_func *fn, const char *name)
{
	add(PLAIT_BEFORE, PLAIT_SHUTDOWN, fn, name);
}

static void stop(void *arg)
{
	trace_add("stop");
	ck_assert_int_eq(plait_reactor_stop(reactor), 0);
}

static void run_and_stop(void)
{
	ck_assert_int_eq(plait_call_when_running(reactor, stop, NULL), 0);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert(!plait_reactor_is_running(reactor));
}

GROUP("order", .setup = steps_setup);

TEST(phases_run_in_order_and_triggers_as_they_were_added, ON_EACH_BACKEND)
{
	add(PLAIT_AFTER, PLAIT_SHUTDOWN, says, "z");
	add(PLAIT_DURING, PLAIT_SHUTDOWN, says, "y");
	add(PLAIT_BEFORE, PLAIT_SHUTDOWN, says, "x");
	add(PLAIT_AFTER, PLAIT_STARTUP, says, "c");
	add(PLAIT_DURING, PLAIT_STARTUP, says, "b");
	add(PLAIT_BEFORE, PLAIT_STARTUP, says, "a");
	add(PLAIT_BEFORE, PLAIT_STARTUP, says, "A");
	run_and_stop();
	ck_assert_str_eq(trace(), "a- A- b+ c+ stop x+ y- z-");
}

TEST(triggers_stay_for_the_next_run, ON_EACH_BACKEND)
{
	add(PLAIT_BEFORE, PLAIT_STARTUP, says, "a");
	add(PLAIT_AFTER, PLAIT_SHUTDOWN, says, "z");
	run_and_stop();
	run_and_stop();
	ck_assert_str_eq(trace(), "a- stop z- a- stop z-");
}

GROUP("add and remove", .setup = steps_setup);

TEST(a_phase_that_does_not_exist_is_refused, ON_EACH_BACKEND)
{
	uint64_t id = 42;

	ck_assert_int_eq(plait_reactor_add_trigger(reactor, 3, PLAIT_STARTUP,
						   says, NULL, &id),
			 -EINVAL);
	ck_assert_int_eq(plait_reactor_add_trigger(reactor, PLAIT_BEFORE, 2,
						   says, NULL, &id),
			 -EINVAL);
	ck_assert_int_eq(plait_reactor_add_trigger(reactor, -1, PLAIT_STARTUP,
						   says, NULL, &id),
			 -EINVAL);
	ck_assert_uint_eq(id, 42);
}

TEST(without_memory_it_says_so, ON_EACH_BACKEND)
{
	uint64_t id = 42;

	fault_alloc_at(0, true);
	ck_assert_int_eq(plait_reactor_add_trigger(reactor, PLAIT_BEFORE,
						   PLAIT_STARTUP, says, NULL,
						   &id),
			 -ENOMEM);
	ck_assert_int_eq(plait_call_when_running(reactor, stop, NULL), -ENOMEM);
	fault_alloc_off();
	ck_assert_uint_eq(id, 42);
	run_and_stop();
	ck_assert_str_eq(trace(), "stop");
}

TEST(a_removed_trigger_does_not_run_and_goes_once, ON_EACH_BACKEND)
{
	uint64_t id = add(PLAIT_DURING, PLAIT_SHUTDOWN, says, "x");

	add(PLAIT_DURING, PLAIT_SHUTDOWN, says, "y");
	ck_assert_int_eq(plait_reactor_remove_trigger(reactor, id), 0);
	ck_assert_int_eq(plait_reactor_remove_trigger(reactor, id), -ENOENT);
	ck_assert_int_eq(plait_reactor_remove_trigger(reactor, 0), -ENOENT);
	ck_assert_int_eq(plait_reactor_remove_trigger(reactor, 77), -ENOENT);
	run_and_stop();
	ck_assert_str_eq(trace(), "stop y-");
}

/* Three of a phase; i removes j. */
enum { N_THREE = 3, N_PAIRS = N_THREE * N_THREE };

static uint64_t ids[N_THREE];
static int actor, victim;

static plait_value removes(void *arg)
{
	int i = *(const char *)arg - 'a';

	trace_add("%s", (const char *)arg);
	if (i == actor)
		ck_assert_int_eq(
			plait_reactor_remove_trigger(reactor, ids[victim]), 0);
	return PLAIT_NONE;
}

TEST(a_trigger_may_remove_any_of_its_phase, ON_EACH_BACKEND, TIMES(N_PAIRS))
{
	static const char *const expected[N_THREE][N_THREE] = {
		{ "stop a b c", "stop a c", "stop a b" },
		{ "stop a b c", "stop a b c", "stop a b" },
		{ "stop a b c", "stop a b c", "stop a b c" },
	};

	actor = _i / N_THREE;
	victim = _i % N_THREE;
	ids[0] = add(PLAIT_BEFORE, PLAIT_SHUTDOWN, removes, "a");
	ids[1] = add(PLAIT_BEFORE, PLAIT_SHUTDOWN, removes, "b");
	ids[2] = add(PLAIT_BEFORE, PLAIT_SHUTDOWN, removes, "c");
	run_and_stop();
	ck_assert_str_eq(trace(), expected[actor][victim]);
}

static plait_value adds(void *arg)
{
	trace_add("adds");
	add(PLAIT_DURING, PLAIT_SHUTDOWN, says, arg);
	return PLAIT_NONE;
}

GROUP("order", .setup = steps_setup);

TEST(one_that_is_added_to_the_running_phase_runs_last, ON_EACH_BACKEND)
{
	add(PLAIT_DURING, PLAIT_SHUTDOWN, adds, "new");
	add(PLAIT_DURING, PLAIT_SHUTDOWN, says, "old");
	run_and_stop();
	ck_assert_str_eq(trace(), "stop adds old- new-");
}

static struct plait_promise *promise;
static struct plait_deferred *waited_for;

static plait_value waits(void *arg)
{
	struct plait_deferred *d = plait_deferred_new(&promise, NULL, NULL);

	trace_add("%s", (const char *)arg);
	return plait_chain(&d);
}

static void fire(void *arg)
{
	trace_add("fire%s", plait_reactor_is_running(reactor) ? "+" : "-");
	plait_fire(&promise, PLAIT_NONE);
}

static plait_value waits_and_fires_later(void *arg)
{
	plait_call_later(reactor, 0.001, fire, NULL);
	return waits(arg);
}

GROUP("waiting", .setup = steps_setup);

TEST(the_shutdown_waits_for_a_deferred_while_the_loop_goes_on, ON_EACH_BACKEND)
{
	add_shutdown(waits_and_fires_later, "w");
	add_shutdown(says, "x");
	add(PLAIT_DURING, PLAIT_SHUTDOWN, says, "y");
	run_and_stop();
	ck_assert_str_eq(trace(), "stop w x+ fire+ y-");
}

static plait_value returns_fired(void *arg)
{
	struct plait_deferred *d = plait_succeed(PLAIT_NONE);

	return plait_chain(&d);
}

TEST(a_deferred_that_has_fired_holds_nothing_up, ON_EACH_BACKEND)
{
	add_shutdown(returns_fired, "f");
	run_and_stop();
	ck_assert_str_eq(trace(), "stop");
}

static plait_value tracked_value(void *arg)
{
	return tracked(arg);
}

static plait_value returns_tracked_deferred(void *arg)
{
	struct plait_deferred *d = plait_succeed(tracked(arg));

	return plait_chain(&d);
}

TEST(what_nobody_waits_for_is_freed, ON_EACH_BACKEND)
{
	add_shutdown(tracked_value, "v");
	add_shutdown(returns_tracked_deferred, "d");
	add(PLAIT_DURING, PLAIT_SHUTDOWN, returns_tracked_deferred, "e");
	run_and_stop();
	ck_assert_str_eq(trace(), "stop ~v ~d ~e");
}

static plait_value fails(void *arg)
{
	return plait_fail(&plait_error_any, "%s", (const char *)arg);
}

static plait_value returns_failed(void *arg)
{
	struct plait_deferred *d = plait_failed(fails(arg));

	return plait_chain(&d);
}

TEST(a_trigger_that_fails_is_reported_and_the_others_run, ON_EACH_BACKEND)
{
	unhandled_expect(4);
	add(PLAIT_BEFORE, PLAIT_STARTUP, fails, "first");
	add_shutdown(fails, "second");
	add_shutdown(returns_failed, "third");
	add_shutdown(says, "x");
	add(PLAIT_AFTER, PLAIT_SHUTDOWN, fails, "fourth");
	add(PLAIT_AFTER, PLAIT_SHUTDOWN, says, "z");
	run_and_stop();
	ck_assert_str_eq(trace(), "stop x+ z-");
	ck_assert_uint_eq(unhandled_count(), 4);
}

static void stop_again(void *arg)
{
	ck_assert_int_eq(plait_reactor_stop(reactor), -EALREADY);
	trace_add("again");
	plait_fire(&promise, PLAIT_NONE);
}

static plait_value waits_and_is_stopped_again(void *arg)
{
	plait_call_later(reactor, 0, stop_again, NULL);
	return waits(arg);
}

TEST(stopping_while_it_stops_is_refused, ON_EACH_BACKEND)
{
	add_shutdown(waits_and_is_stopped_again, "w");
	run_and_stop();
	ck_assert_str_eq(trace(), "stop w again");
}

static uint64_t own_id;

static void remove_and_fire(void *arg)
{
	ck_assert_int_eq(plait_reactor_remove_trigger(reactor, own_id), 0);
	ck_assert_int_eq(plait_reactor_remove_trigger(reactor, own_id),
			 -ENOENT);
	plait_call_later(reactor, 0, fire, NULL);
}

static plait_value waits_and_is_removed(void *arg)
{
	plait_call_later(reactor, 0, remove_and_fire, NULL);
	return waits(arg);
}

TEST(what_a_removed_trigger_returned_is_still_waited_for, ON_EACH_BACKEND)
{
	own_id = add(PLAIT_BEFORE, PLAIT_SHUTDOWN, waits_and_is_removed, "w");
	run_and_stop();
	ck_assert_str_eq(trace(), "stop w fire+");
}

static plait_value removes_itself_and_waits(void *arg)
{
	ck_assert_int_eq(plait_reactor_remove_trigger(reactor, own_id), 0);
	return waits_and_fires_later(arg);
}

TEST(a_trigger_may_remove_itself_and_be_waited_for, ON_EACH_BACKEND)
{
	own_id = add(PLAIT_BEFORE, PLAIT_SHUTDOWN, removes_itself_and_waits,
		     "w");
	run_and_stop();
	ck_assert_str_eq(trace(), "stop w fire+");
}

static plait_value removes_itself(void *arg)
{
	ck_assert_int_eq(plait_reactor_remove_trigger(reactor, own_id), 0);
	if (arg == NULL)
		return PLAIT_NONE;
	waited_for = plait_succeed(PLAIT_NONE);
	return plait_chain(&waited_for);
}

TEST(nothing_is_left_of_a_trigger_that_removes_itself, ON_EACH_BACKEND,
     TIMES(2))
{
	bool waits_for_it = _i;
	unsigned long before = heap_live();

	own_id = add(PLAIT_BEFORE, PLAIT_SHUTDOWN, removes_itself,
		     waits_for_it ? "w" : NULL);
	ck_assert_uint_eq(heap_live(), before + 1);
	run_and_stop();
	ck_assert_uint_eq(heap_live(), before);
	ck_assert_int_eq(plait_reactor_remove_trigger(reactor, own_id),
			 -ENOENT);
}

static plait_value cancelled(struct plait_deferred *d, void *arg)
{
	trace_add("!c");
	return plait_cancelled();
}

static plait_value waits_for_ever(void *arg)
{
	waited_for = plait_deferred_new(&promise, cancelled, NULL);
	return plait_chain(&waited_for);
}

TEST(a_reactor_that_is_freed_meanwhile_cancels_what_it_waits_for,
     ON_EACH_BACKEND)
{
	add_shutdown(waits_for_ever, "w");
	plait_call_later(reactor, 0, stop, NULL);
	run_turns(reactor, 1);
	plait_reactor_free(&reactor);
	ck_assert_str_eq(trace(), "stop !c");
	plait_promise_drop(&promise);
}

TEST(what_a_removed_trigger_returned_is_cancelled_too, ON_EACH_BACKEND)
{
	own_id = add(PLAIT_BEFORE, PLAIT_SHUTDOWN, waits_for_ever, "w");
	plait_call_later(reactor, 0, stop, NULL);
	run_turns(reactor, 1);
	ck_assert_int_eq(plait_reactor_remove_trigger(reactor, own_id), 0);
	plait_reactor_free(&reactor);
	ck_assert_str_eq(trace(), "stop !c");
	plait_promise_drop(&promise);
}

static void stop_now(void *arg)
{
	trace_add("now");
	ck_assert_int_eq(plait_reactor_stop_now(reactor), 0);
	ck_assert_int_eq(plait_reactor_stop_now(reactor), -EALREADY);
}

static plait_value waits_and_is_hurried(void *arg)
{
	plait_call_later(reactor, 0, stop_now, NULL);
	return waits_for_ever(arg);
}

TEST(stop_now_cancels_what_is_waited_for, ON_EACH_BACKEND)
{
	add_shutdown(waits_and_is_hurried, "w");
	add(PLAIT_DURING, PLAIT_SHUTDOWN, says, "y");
	run_and_stop();
	ck_assert_str_eq(trace(), "stop now !c y-");
	plait_promise_drop(&promise);
}

/* The triggers run, and none holds anything up; the next run does wait. */
TEST(stop_now_alone_stops_too, ON_EACH_BACKEND)
{
	uint64_t id = add(PLAIT_BEFORE, PLAIT_SHUTDOWN, waits_for_ever, "w");

	ck_assert_int_eq(plait_reactor_stop_now(reactor), -EALREADY);
	add_shutdown(says, "x");
	plait_call_when_running(reactor, stop_now, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_int_eq(plait_reactor_stop_now(reactor), -EALREADY);
	ck_assert_str_eq(trace(), "now x+ !c");
	plait_promise_drop(&promise);
	plait_reactor_remove_trigger(reactor, id);
	trace_clear();
	add_shutdown(waits_and_fires_later, "w");
	run_and_stop();
	ck_assert_str_eq(trace(), "stop x+ w fire+");
}

static plait_value stops(void *arg)
{
	trace_add("%s", (const char *)arg);
	ck_assert_int_eq(plait_reactor_stop(reactor), 0);
	ck_assert_int_eq(plait_reactor_stop(reactor), -EALREADY);
	return PLAIT_NONE;
}

static void too_late(void *arg)
{
	ck_abort_msg("it ran on");
}

/* Whoever starts up may find that it cannot. */
TEST(stopped_by_the_startup_it_starts_up_and_stops, ON_EACH_BACKEND, TIMES(3))
{
	static const char *const traces[] = { "stops b+ c+ z-",
					      "a- stops c+ z-",
					      "a- b+ stops z-" };

	for (int phase = PLAIT_BEFORE; phase <= PLAIT_AFTER; phase++)
		add((enum plait_phase)phase, PLAIT_STARTUP,
		    phase == _i ? stops : says,
		    phase == _i		    ? "stops"
		    : phase == PLAIT_BEFORE ? "a"
		    : phase == PLAIT_DURING ? "b"
					    : "c");
	add(PLAIT_AFTER, PLAIT_SHUTDOWN, says, "z");
	plait_call_later(reactor, 1000, too_late, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_str_eq(trace(), traces[_i]);
	ck_assert_int_eq(plait_reactor_stop(reactor), -EALREADY);
}

TEST(waiting_for_what_can_never_come_is_a_deadlock, ON_EACH_BACKEND)
{
	plait_reactor_free(&reactor);
	reactor = plait_i_loop_new(&plait_i_kernel_testing);
	add_shutdown(waits_for_ever, "w");
	ck_assert_int_eq(plait_call_when_running(reactor, stop, NULL), 0);
	ck_assert_int_eq(plait_reactor_run(reactor), -EDEADLK);
	ck_assert(!plait_reactor_is_running(reactor));
	ck_assert_str_eq(trace(), "stop !c");
	plait_promise_drop(&promise);
}

static void running(void *arg)
{
	trace_add("%s%s", (const char *)arg,
		  plait_reactor_is_running(reactor) ? "+" : "-");
}

static plait_value calls_when_running(void *arg)
{
	plait_call_when_running(reactor, running, arg);
	trace_add("then");
	return PLAIT_NONE;
}

GROUP("when running", .setup = steps_setup);

TEST(when_running_is_last_in_the_startup_and_only_once, ON_EACH_BACKEND)
{
	plait_call_when_running(reactor, running, (void *)"r");
	add(PLAIT_BEFORE, PLAIT_STARTUP, calls_when_running, "b");
	add(PLAIT_AFTER, PLAIT_STARTUP, says, "a");
	run_and_stop();
	ck_assert_str_eq(trace(), "then a+ r+ stop b+");
}

TEST(when_running_already_it_is_called_at_once, ON_EACH_BACKEND)
{
	add(PLAIT_DURING, PLAIT_STARTUP, calls_when_running, "r");
	run_and_stop();
	ck_assert_str_eq(trace(), "r+ then stop");
}

GROUP("add and remove", .setup = steps_setup);

TEST(what_is_never_run_is_freed, ON_EACH_BACKEND)
{
	plait_call_when_running(reactor, running, (void *)"r");
	plait_call_when_running(reactor, running, (void *)"s");
	add(PLAIT_BEFORE, PLAIT_STARTUP, says, "a");
	add(PLAIT_AFTER, PLAIT_SHUTDOWN, says, "z");
	plait_reactor_free(&reactor);
	ck_assert_str_eq(trace(), "");
}

GROUP("order", .setup = steps_setup);

TEST(iterating_runs_no_triggers_but_for_a_shutdown_that_was_asked_for,
     ON_EACH_BACKEND)
{
	add(PLAIT_BEFORE, PLAIT_STARTUP, says, "a");
	add_shutdown(waits_and_fires_later, "w");
	add(PLAIT_AFTER, PLAIT_SHUTDOWN, says, "z");
	run_turns(reactor, 2);
	ck_assert_str_eq(trace(), "");
	plait_call_later(reactor, 0, stop, NULL);
	run_turns(reactor, 2);
	ck_assert_str_eq(trace(), "stop w");
	run_for(reactor, 0.01);
	ck_assert_str_eq(trace(), "stop w fire- z-");
}

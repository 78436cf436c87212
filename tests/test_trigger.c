/*
 * Triggers: the phases of the startup and the shutdown, in order, what they
 * may do to each other, and the deferreds for which the shutdown waits.
 *
 * In a trace what runs has a "+" while the reactor is running, a "-" if not.
 */
#include "reactor/kernel/kernel.h"
#include "reactor/loop/loop.h"
#include "tests/harness.h"
#include "tests/script.h"

/* A trigger or call of a script: its name, and what it does. */
struct part {
	const char *name;
	uint64_t id;
	struct script_callback *does;
};

static struct part triggers[16];
static unsigned n_triggers;

static plait_value says(void *arg)
{
	trace_add("%s%s", (const char *)arg,
		  plait_reactor_is_running(reactor) ? "+" : "-");
	return PLAIT_NONE;
}

static plait_value run_trigger(void *arg)
{
	struct part *t = arg;

	says((void *)(uintptr_t)t->name);
	return script_operation(t->does);
}

static void run_call(void *arg)
{
	run_trigger(arg);
}

static struct part *next_part(void)
{
	struct part *t = &triggers[n_triggers++];

	*t = (struct part){ .name = play_word() };
	t->does = script_callback();
	return t;
}

/* on before-startup NAME CALLBACK */
static void do_on(void)
{
	static const char *const phases[] = { "before", "during", "after" };
	const char *when = play_word(), *event = strchr(when, '-');
	int phase = 0;
	struct part *t = next_part();

	ck_assert_ptr_nonnull(event);
	while (strncmp(when, phases[phase], strlen(phases[phase])) != 0)
		ck_assert_int_lt(++phase, 3);
	ck_assert_int_eq(plait_reactor_add_trigger(
				 reactor, (enum plait_trigger_phase)phase,
				 strcmp(event, "-startup")
					 ? PLAIT_TRIGGER_SHUTDOWN
					 : PLAIT_TRIGGER_STARTUP,
				 run_trigger, t, &t->id),
			 0);
	ck_assert_uint_ne(t->id, 0);
}

static void do_when_running(void)
{
	ck_assert_int_eq(
		plait_call_when_running(reactor, run_call, next_part()), 0);
}

/* By its name, or by a number that nothing has. */
static void do_remove(void)
{
	const char *name = play_word();
	uint64_t id = strtoull(name, NULL, 10);

	for (unsigned i = 0; i < n_triggers; i++)
		if (strcmp(triggers[i].name, name) == 0)
			id = triggers[i].id;
	script_errno(plait_reactor_remove_trigger(reactor, id));
}

static void do_stop(void)
{
	script_errno(plait_reactor_stop(reactor));
}

static void do_stop_now(void)
{
	script_errno(plait_reactor_stop_now(reactor));
}

/* Until somebody stops it. */
static void do_run(void)
{
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert(!plait_reactor_is_running(reactor));
}

static void stop(void *arg)
{
	trace_add("stop");
	ck_assert_int_eq(plait_reactor_stop(reactor), 0);
}

/* Runs, and stops at once. */
static void do_start_and_stop(void)
{
	ck_assert_int_eq(plait_call_when_running(reactor, stop, NULL), 0);
	do_run();
}

static void do_turn(void)
{
	run_turns(reactor, (unsigned)play_number());
}

static const struct play_verb verbs[] = {
	{ "on", do_on },
	{ "when_running", do_when_running },
	{ "remove", do_remove },
	{ "stop", do_stop },
	{ "stop_now", do_stop_now },
	{ "run", do_run },
	{ "start_and_stop", do_start_and_stop },
	{ "turn", do_turn },
	{ NULL, NULL },
};

static void setup(void)
{
	steps_setup();
	n_triggers = 0;
	play_words(verbs, NULL);
}

GROUP("order", .setup = setup);

SCRIPT(phases_run_in_order_and_triggers_as_they_were_added, ON_EACH_KERNEL,
       "on after-shutdown z; on during-shutdown y; on before-shutdown x;"
       "on after-startup c; on during-startup b; on before-startup a;"
       "on before-startup A; start_and_stop",
       "a- A- b+ c+ stop x+ y- z-")

SCRIPT(triggers_stay_for_the_next_run, ON_EACH_KERNEL,
       "on before-startup a; on after-shutdown z; start_and_stop |"
       "start_and_stop",
       "a- stop z- | a- stop z-")

SCRIPT(one_that_is_added_to_the_running_phase_runs_last, ON_EACH_KERNEL,
       "on during-shutdown adds { on during-shutdown new };"
       "on during-shutdown old; start_and_stop",
       "stop adds- old- new-")

SCRIPT(iterating_runs_no_triggers_but_for_a_shutdown_that_was_asked_for,
       ON_EACH_KERNEL,
       "on before-startup a; new d; on after-shutdown z;"
       "on before-shutdown w { after 0.001 { say fire; fire d none } } = d;"
       "turn 2 | after 0 { stop }; turn 2 | advance 0.01",
       "| w- | fire z-")

GROUP("add and remove", .setup = setup);

TEST(a_phase_that_does_not_exist_is_refused, ON_EACH_KERNEL)
{
	static const struct {
		int phase, event;
	} none[] = { { 3, PLAIT_TRIGGER_STARTUP },
		     { PLAIT_TRIGGER_BEFORE, 2 },
		     { -1, PLAIT_TRIGGER_STARTUP } };
	uint64_t id = 42;

	for (int i = 0; i < N_OF(none); i++)
		ck_assert_int_eq(plait_reactor_add_trigger(
					 reactor, none[i].phase, none[i].event,
					 says, NULL, &id),
				 -EINVAL);
	ck_assert_uint_eq(id, 42);
}

TEST(without_memory_it_says_so, ON_EACH_KERNEL)
{
	uint64_t id = 42;

	fault_alloc_at(0, true);
	ck_assert_int_eq(plait_reactor_add_trigger(
				 reactor, PLAIT_TRIGGER_BEFORE,
				 PLAIT_TRIGGER_STARTUP, says, NULL, &id),
			 -ENOMEM);
	ck_assert_int_eq(plait_call_when_running(reactor, stop, NULL), -ENOMEM);
	fault_alloc_off();
	ck_assert_uint_eq(id, 42);
	do_start_and_stop();
	ck_assert_str_eq(trace(), "stop");
}

SCRIPT(a_removed_trigger_does_not_run_and_goes_once, ON_EACH_KERNEL,
       "on during-shutdown x; on during-shutdown y; remove x | remove x;"
       "remove 0; remove 77 | start_and_stop",
       "| ENOENT ENOENT ENOENT | stop y-")

#define THREE(a, b, c)                                                         \
	"on before-shutdown a " a "; on before-shutdown b " b ";"              \
	"on before-shutdown c " c "; start_and_stop"

SCRIPTS(a_trigger_may_remove_any_of_its_phase, ON_EACH_KERNEL,
	{ THREE("{ remove a }", "", ""), "stop a+ b+ c+" },
	{ THREE("{ remove b }", "", ""), "stop a+ c+" },
	{ THREE("{ remove c }", "", ""), "stop a+ b+" },
	{ THREE("", "{ remove a }", ""), "stop a+ b+ c+" },
	{ THREE("", "{ remove b }", ""), "stop a+ b+ c+" },
	{ THREE("", "{ remove c }", ""), "stop a+ b+" },
	{ THREE("", "", "{ remove a }"), "stop a+ b+ c+" },
	{ THREE("", "", "{ remove b }"), "stop a+ b+ c+" },
	{ THREE("", "", "{ remove c }"), "stop a+ b+ c+" })

SCRIPT(what_is_never_run_is_freed, ON_EACH_KERNEL,
       "when_running r; when_running s; on before-startup a;"
       "on after-shutdown z; free_reactor",
       "")

GROUP("waiting", .setup = setup);

SCRIPT(the_shutdown_waits_for_a_deferred_while_the_loop_goes_on, ON_EACH_KERNEL,
       "new d; on before-shutdown x; on during-shutdown y;"
       "on before-shutdown w { after 0.001 { say fire; fire d none } } = d;"
       "start_and_stop",
       "stop x+ w+ fire y-")

SCRIPT(a_deferred_that_has_fired_holds_nothing_up, ON_EACH_KERNEL,
       "fired d none; on before-shutdown f = d; start_and_stop", "stop f+")

SCRIPT(what_nobody_waits_for_is_freed, ON_EACH_KERNEL,
       "fired d ~d; fired e ~e; on before-shutdown v = ~v;"
       "on before-shutdown w = d; on during-shutdown x = e; start_and_stop",
       "stop v+ ~v w+ ~d x- ~e")

SCRIPT(a_trigger_that_fails_is_reported_and_the_others_run, ON_EACH_KERNEL,
       "on before-startup a = Error:1; on before-shutdown b = Error:2;"
       "fired d Error:3; on before-shutdown c = d; on before-shutdown x;"
       "on after-shutdown e = Error:4; on after-shutdown z; start_and_stop",
       "a- ?Error: 1 stop b+ ?Error: 2 c+ ?Error: 3 x+ e- ?Error: 4 z-")

SCRIPT(stopping_while_it_stops_is_refused, ON_EACH_KERNEL,
       "new d; on before-shutdown w { after 0 { stop; fire d none } } = d;"
       "start_and_stop",
       "stop w+ EALREADY")

SCRIPT(what_a_removed_trigger_returned_is_still_waited_for, ON_EACH_KERNEL,
       "new d; on before-shutdown w { after 0 { remove w; remove w;"
       "after 0 { say fire; fire d none } } } = d; start_and_stop",
       "stop w+ ENOENT fire")

SCRIPT(a_trigger_may_remove_itself_and_be_waited_for, ON_EACH_KERNEL,
       "new d; on before-shutdown w { remove w;"
       "after 0.001 { say fire; fire d none } } = d; start_and_stop",
       "stop w+ fire")

static uint64_t own_id;

static plait_value removes_itself(void *arg)
{
	struct plait_deferred *d;

	ck_assert_int_eq(plait_reactor_remove_trigger(reactor, own_id), 0);
	if (arg == NULL)
		return PLAIT_NONE;
	d = plait_succeed(PLAIT_NONE);
	return plait_chain(&d);
}

TEST(nothing_is_left_of_a_trigger_that_removes_itself, ON_EACH_KERNEL, TIMES(2))
{
	unsigned long before = heap_live();

	ck_assert_int_eq(plait_reactor_add_trigger(
				 reactor, PLAIT_TRIGGER_BEFORE,
				 PLAIT_TRIGGER_SHUTDOWN, removes_itself,
				 _i ? &own_id : NULL, &own_id),
			 0);
	ck_assert_uint_eq(heap_live(), before + 1);
	do_start_and_stop();
	ck_assert_uint_eq(heap_live(), before);
	ck_assert_int_eq(plait_reactor_remove_trigger(reactor, own_id),
			 -ENOENT);
}

TEST(nothing_is_left_of_a_trigger_that_others_remove, ON_EACH_KERNEL)
{
	unsigned long before = heap_live();
	uint64_t id;

	ck_assert_int_eq(plait_reactor_add_trigger(
				 reactor, PLAIT_TRIGGER_BEFORE,
				 PLAIT_TRIGGER_SHUTDOWN, says, NULL, &id),
			 0);
	ck_assert_int_eq(plait_reactor_remove_trigger(reactor, id), 0);
	ck_assert_uint_eq(heap_live(), before);
}

SCRIPT(a_reactor_that_is_freed_meanwhile_cancels_what_it_waits_for,
       ON_EACH_KERNEL,
       "new d !c; on before-shutdown w = d; after 0 { stop }; turn 1 |"
       "free_reactor",
       "w- | !c")

SCRIPT(what_a_removed_trigger_returned_is_cancelled_too, ON_EACH_KERNEL,
       "new d !c; on before-shutdown w = d; after 0 { stop }; turn 1;"
       "remove w | free_reactor",
       "w- | !c")

SCRIPT(stop_now_cancels_what_is_waited_for, ON_EACH_KERNEL,
       "new d !c; on before-shutdown w { after 0 { say now; stop_now;"
       "stop_now } } = d; on during-shutdown y; start_and_stop",
       "stop w+ now EALREADY !c y-")

SCRIPT(stop_now_alone_stops_too, ON_EACH_KERNEL,
       "stop_now | new d !c; on before-shutdown w = d; on before-shutdown x;"
       "when_running now { stop_now; stop_now }; run; stop_now | remove w;"
       "new e; on before-shutdown v { after 0.001 { say fire;"
       "fire e none } } = e; start_and_stop",
       "EALREADY | now+ EALREADY w+ x+ !c EALREADY | stop x+ v+ fire")

#define UP(a, b, c)                                                            \
	"on before-startup a " a "; on during-startup b " b ";"                \
	"on after-startup c " c "; on after-shutdown z;"                       \
	"after 1000 { say late }; run; stop"

SCRIPTS(stopped_by_the_startup_it_starts_up_and_stops, ON_EACH_KERNEL,
	{ UP("{ stop; stop }", "", ""), "a- EALREADY b+ c+ z- EALREADY" },
	{ UP("", "{ stop; stop }", ""), "a- b+ EALREADY c+ z- EALREADY" },
	{ UP("", "", "{ stop; stop }"), "a- b+ c+ EALREADY z- EALREADY" })

static struct plait_promise *promise;

static plait_value cancelled(struct plait_deferred *d, void *arg)
{
	trace_add("!c");
	return plait_cancelled();
}

static plait_value waits_for_ever(void *arg)
{
	struct plait_deferred *d =
		plait_deferred_new(&promise, cancelled, NULL);

	return plait_chain(&d);
}

TEST(waiting_for_what_can_never_come_is_a_deadlock, ON_EACH_KERNEL)
{
	plait_reactor_free(&reactor);
	reactor = plait_i_reactor_new(&plait_i_kernel_virtual, NULL);
	plait_reactor_add_trigger(reactor, PLAIT_TRIGGER_BEFORE,
				  PLAIT_TRIGGER_SHUTDOWN, waits_for_ever, NULL,
				  NULL);
	ck_assert_int_eq(plait_call_when_running(reactor, stop, NULL), 0);
	ck_assert_int_eq(plait_reactor_run(reactor), -EDEADLK);
	ck_assert(!plait_reactor_is_running(reactor));
	ck_assert_str_eq(trace(), "stop !c");
	plait_promise_drop(&promise);
}

GROUP("when running", .setup = setup);

SCRIPT(when_running_is_last_in_the_startup_and_only_once, ON_EACH_KERNEL,
       "when_running r; on after-startup a;"
       "on before-startup b { when_running c }; start_and_stop",
       "b- a+ r+ stop c+")

SCRIPT(when_running_already_it_is_called_at_once, ON_EACH_KERNEL,
       "on during-startup d { when_running r; say then }; start_and_stop",
       "d+ r+ then stop")

/*
 * The frame of a program whose main is a deferred: its exit status, and how
 * it is told to end.
 */
#include <signal.h>

#include "tests/child.h"
#include "tests/harness.h"
#include "tests/steps.h"

/* What main does and answers; it is called once. */
static struct {
	plait_value (*answer)(void);
	void (*act)(void);
	unsigned calls;
} program;

static struct plait_reactor *inside;
static struct plait_promise *promise;
static struct step canceller;
static struct plait_timer timer;

/* Check has handlers of its own, which its children inherit. */
static void setup(void)
{
	static const int all[] = { SIGINT, SIGTERM, SIGPIPE };
	struct sigaction action = { .sa_handler = SIG_DFL };

	for (int i = 0; i < 3; i++)
		sigaction(all[i], &action, NULL);
	steps_setup();
}

static plait_value program_main(struct plait_reactor *r, void *arg)
{
	ck_assert_ptr_eq(arg, &program);
	ck_assert(plait_reactor_is_running(r));
	if (backend != NULL)
		ck_assert_str_eq(plait_reactor_backend(r), backend);
	inside = r;
	program.calls++;
	if (program.act != NULL)
		program.act();
	return program.answer != NULL ? program.answer() : PLAIT_NONE;
}

/* On the backend of the test. */
static int run_program(void)
{
	int status;

	if (backend != NULL)
		setenv("PLAIT_REACTOR", backend, 1);
	/* The harness made one, which would look like a second program. */
	plait_reactor_free(&reactor);
	status = plait_react(program_main, &program);
	plait_promise_drop(&promise);
	return status;
}

/* ---- the status ----------------------------------------------------- */

static plait_value value(void)
{
	return tracked("v");
}

static plait_value failure(void)
{
	return plait_fail(&plait_error_timeout, "too slow");
}

static plait_value exit_7(void)
{
	return plait_exit(7);
}

static plait_value exit_0(void)
{
	return plait_exit(0);
}

static plait_value exit_without_detail(void)
{
	return plait_fail(&plait_error_exit, "made by hand");
}

static const struct plait_error own_exit = {
	.name = "OwnExit",
	.text = "As any exit.",
	.parent = &plait_error_exit,
};

static plait_value exit_of_ones_own(void)
{
	return plait_fail_with(&own_exit, plait_int(9), "%s", "");
}

static plait_value nothing(void)
{
	return PLAIT_NONE;
}

static const struct {
	plait_value (*answer)(void);
	int status;
	const char *told; /* NULL: nothing */
} endings[] = {
	{ nothing, 0, NULL },
	{ value, 0, NULL },
	{ failure, 1, "TimeoutError: too slow" },
	{ exit_7, 7, NULL },
	{ exit_0, 0, NULL },
	{ exit_of_ones_own, 9, NULL },
	{ exit_without_detail, 1, "ExitError: made by hand" },
	{ plait_cancelled, 1, "CancelledError" },
};

enum { N_ENDINGS = sizeof(endings) / sizeof(endings[0]) };

static void assert_ended(int status, int ending)
{
	ck_assert_int_eq(status, endings[ending].status);
	ck_assert_uint_eq(program.calls, 1);
	ck_assert_uint_eq(tracked_live(), 0);
	ck_assert_uint_eq(unhandled_count(), endings[ending].told != NULL);
	if (endings[ending].told != NULL)
		ck_assert_str_eq(unhandled_text(), endings[ending].told);
	unhandled_expect(unhandled_count());
}

GROUP("status", .setup = setup);

TEST(returned_at_once, ON_EACH_BACKEND, TIMES(N_ENDINGS))
{
	program.answer = endings[_i].answer;
	assert_ended(run_program(), _i);
}

static plait_value (*fired_with)(void);

static plait_value fired(void)
{
	struct plait_deferred *d = plait_maybe_deferred(fired_with());

	return plait_chain(&d);
}

TEST(returned_as_a_fired_deferred, ON_EACH_BACKEND, TIMES(N_ENDINGS))
{
	fired_with = endings[_i].answer;
	program.answer = fired;
	assert_ended(run_program(), _i);
}

static plait_value finish_later(void *arg)
{
	return fired_with();
}

static plait_value later(void)
{
	struct plait_deferred *d =
		plait_defer_later(inside, 0.001, finish_later, NULL);

	return plait_chain(&d);
}

TEST(returned_later, ON_EACH_BACKEND, TIMES(N_ENDINGS))
{
	fired_with = endings[_i].answer;
	program.answer = later;
	assert_ended(run_program(), _i);
}

TEST(an_exit_says_its_status, PURE)
{
	plait_value v = plait_exit(3);
	const struct plait_failure *f = plait_value_failure(&v);

	ck_assert(plait_failure_check(f, &plait_error_exit));
	ck_assert_int_eq(plait_value_int(plait_failure_detail(f)), 3);
	ck_assert_str_eq(plait_failure_message(f), "status 3");
	ck_assert_ptr_nonnull(
		strstr(plait_failure_where(f), "tests/test_react.c:"));
	plait_value_free(&v);
}

/* ---- told to end ---------------------------------------------------- */

static plait_value pending(void)
{
	struct plait_deferred *d;

	canceller.name = "c";
	d = plait_deferred_new(&promise, step_canceller, &canceller);
	pass_both(d, "main");
	return plait_chain(&d);
}

static void raise_term(void *arg)
{
	raise(SIGTERM);
}

static void raise_int(void *arg)
{
	raise(SIGINT);
}

static void stop(void *arg)
{
	plait_reactor_stop(inside);
}

static void (*const ways_to_end[])(void *arg) = { raise_term, raise_int, stop };
static void (*tell)(void *arg);

enum { N_WAYS = 3 };

static void tell_later(void)
{
	plait_timer_start(inside, &timer, 0.001, tell, NULL);
}

static void tell_now(void)
{
	tell(NULL);
}

static void told_by(int way)
{
	tell = ways_to_end[way % N_WAYS];
	program.act = way < N_WAYS ? tell_later : tell_now;
}

GROUP("ending", .setup = setup);

TEST(told_to_end_it_cancels_main_and_is_well, ON_EACH_BACKEND,
     TIMES(2 * N_WAYS))
{
	program.answer = pending;
	told_by(_i);
	ck_assert_int_eq(run_program(), 0);
	ck_assert_str_eq(trace(), "!c main:CancelledError");
}

static plait_value forever(void)
{
	return plait_forever();
}

TEST(a_main_for_ever_runs_until_it_is_stopped, ON_EACH_BACKEND,
     TIMES(2 * N_WAYS))
{
	program.answer = forever;
	told_by(_i);
	ck_assert_int_eq(run_program(), 0);
	ck_assert_uint_eq(program.calls, 1);
}

TEST(for_ever_without_memory_has_failed, PURE, TIMES(2))
{
	plait_value v;
	struct plait_deferred *d;

	fault_alloc_at((unsigned long)_i, true);
	v = plait_forever();
	fault_alloc_off();
	d = plait_maybe_deferred(v);
	ck_assert(plait_failure_check(
		plait_value_failure(plait_deferred_result(d)),
		&plait_error_no_memory));
	handle_all(d);
	plait_deferred_free(&d);
}

TEST(for_ever_that_nobody_waits_for_is_freed, PURE)
{
	plait_value v = plait_forever();

	plait_value_free(&v);
}

TEST(a_value_or_failure_that_comes_of_it_counts, ON_EACH_BACKEND, TIMES(3))
{
	canceller = (struct step){
		.answers = true,
		.answer = _i == 0   ? plait_int(5)
			  : _i == 1 ? plait_fail(&plait_error_any, "torn")
				    : plait_exit(4)
	};
	program.answer = pending;
	told_by(0);
	ck_assert_int_eq(run_program(), _i == 0 ? 0 : _i == 1 ? 1 : 4);
	ck_assert_uint_eq(unhandled_count(), _i == 1);
	unhandled_expect(_i == 1);
}

static void say_goodbye(void *arg)
{
	trace_add("goodbye");
}

static plait_value clean_up(plait_value *result, void *arg)
{
	struct plait_deferred *d = plait_defer_later(inside, 0.002, NULL, NULL);

	trace_add("cleaning");
	ck_assert(plait_reactor_is_running(inside));
	plait_timer_start(inside, &timer, 0.001, say_goodbye, NULL);
	return plait_chain(&d);
}

static plait_value pending_with_cleaning(void)
{
	struct plait_deferred *d = plait_deferred_new(&promise, NULL, NULL);

	plait_deferred_add_errback(d, clean_up, NULL);
	pass_both(d, "main");
	return plait_chain(&d);
}

TEST(the_shutdown_waits_for_what_main_does_about_it, ON_EACH_BACKEND,
     TIMES(2 * N_WAYS))
{
	program.answer = pending_with_cleaning;
	told_by(_i);
	ck_assert_int_eq(run_program(), 0);
	ck_assert_str_eq(trace(), "cleaning goodbye main:none");
}

static void stop_now(void *arg)
{
	ck_assert_int_eq(plait_reactor_stop_now(inside), 0);
}

static void (*insist)(void *arg);

static plait_value clean_up_for_ever(plait_value *result, void *arg)
{
	struct plait_deferred *d = plait_defer_later(inside, 3600, NULL, NULL);

	trace_add("cleaning");
	plait_call_later(inside, 0.001, say_goodbye, NULL);
	plait_call_later(inside, 1, insist, NULL);
	pass_both(d, "cleaned");
	return plait_chain(&d);
}

static plait_value pending_with_endless_cleaning(void)
{
	struct plait_deferred *d = plait_deferred_new(&promise, NULL, NULL);

	plait_deferred_add_errback(d, clean_up_for_ever, NULL);
	return plait_chain(&d);
}

/* What main does about its end is cancelled, and it counts as a failure. */
TEST(a_second_signal_ends_what_main_does_about_the_first, ON_EACH_BACKEND,
     TIMES(2))
{
	clock_virtual(true);
	insist = _i == 0 ? raise_term : stop_now;
	program.answer = pending_with_endless_cleaning;
	told_by(0);
	ck_assert_int_eq(run_program(), 1);
	ck_assert_str_eq(trace(), "cleaning goodbye cleaned:CancelledError");
	unhandled_expect(1);
}

TEST(stopped_by_itself_as_it_fires, ON_EACH_BACKEND)
{
	tell = stop;
	program.act = tell_now;
	program.answer = exit_7;
	ck_assert_int_eq(run_program(), 7);
}

/* ---- what it leaves, and what goes wrong ----------------------------- */

GROUP("faults", .setup = setup);

TEST(may_be_called_again, ON_EACH_BACKEND)
{
	program.answer = exit_7;
	ck_assert_int_eq(run_program(), 7);
	ck_assert_int_eq(run_program(), 7);
	ck_assert_uint_eq(program.calls, 2);
}

TEST(no_reactor_is_status_1, PURE)
{
	setenv("PLAIT_REACTOR", "bogus", 1);
	ck_assert_int_eq(plait_react(program_main, &program), 1);
	ck_assert_uint_eq(program.calls, 0);
	ck_assert_str_eq(unhandled_text(), "OSError: the reactor cannot run: "
					   "no backend \"bogus\" "
					   "(PLAIT_REACTOR)");
	unhandled_expect(1);
}

static void react_on_no_backend(void *arg)
{
	setenv("PLAIT_REACTOR", "bo\ngus", 1);
	plait_react(program_main, &program);
}

TEST(what_is_no_deferreds_failure_is_not_called_one, PURE)
{
	const char *said;

	ck_assert_int_eq(child_run(react_on_no_backend, NULL, &said), 0);
	ck_assert_str_eq(said, "Error in plait_react(): OSError: the reactor "
			       "cannot run: no backend \"bo\\x0agus\" "
			       "(PLAIT_REACTOR)\n");
}

TEST(a_reactor_that_cannot_run_is_status_1, ON_EACH_BACKEND)
{
	plait_reactor_free(&reactor);
	fault_call("sigaction", 1, EINVAL);
	ck_assert_int_eq(run_program(), 1);
	ck_assert_uint_eq(program.calls, 0);
	unhandled_expect(1);
}

static void break_waiting(void)
{
	fault_call(strcmp(backend, "epoll") ? "select" : "epoll_wait", 1,
		   EINVAL);
}

TEST(a_reactor_that_breaks_down_cancels_main, ON_EACH_BACKEND)
{
	program.act = break_waiting;
	program.answer = pending;
	ck_assert_int_eq(run_program(), 1);
	ck_assert_str_eq(trace(), "!c main:CancelledError");
	ck_assert_ptr_nonnull(strstr(unhandled_text(), "cannot run"));
	unhandled_expect(1);
}

static unsigned refuse;

/* Whatever it can't have, it ends, with a status. */
TEST(survives_without_memory, ON_EACH_BACKEND, TIMES(2))
{
	bool reached = true;

	for (refuse = 0; reached; refuse++) {
		int status;

		fault_alloc_at(refuse, _i);
		program.answer = later;
		fired_with = exit_7;
		status = run_program();
		reached = fault_alloc_reached();
		fault_off();
		ck_assert_int_eq(status, reached ? status : 7);
		ck_assert(status == 1 || status == 7);
	}
	ck_assert_uint_gt(refuse, 3);
	unhandled_expect(unhandled_count());
}

static void refuse_and_tell(void)
{
	raise(SIGTERM);
	fault_alloc_at(refuse, true);
}

/* The first is for main's own deferred, the second to wait for its end. */
TEST(told_to_end_without_memory_it_ends, ON_EACH_BACKEND, TIMES(3))
{
	refuse = (unsigned)_i;
	program.act = refuse_and_tell;
	program.answer = pending;
	ck_assert_int_eq(run_program(), refuse == 0);
	ck_assert_ptr_nonnull(strstr(trace(), refuse == 0
						      ? "main:NoMemoryError"
						      : "main:CancelledError"));
	unhandled_expect(refuse == 0);
}

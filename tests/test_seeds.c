/*
 * plait_check_seeds(): many seeds, what fails them, what is said of it, and how
 * one is repeated.
 */
#include <inttypes.h>
#include <stdio.h>

#include <plait/chance.h>
#include <plait/simulation.h>

#include "reactor/simulation/world.h"
#include "tests/child.h"
#include "tests/harness.h"

static struct plait_check_report report;
static uint64_t seeds[300];
static size_t runs;

static void note_seed(struct plait_simulation *s)
{
	seeds[runs++ % 300] = plait_simulation_seed(s);
}

static plait_value nap(struct plait_reactor *r, void *arg)
{
	struct plait_deferred *d = plait_defer_later(r, 1.5, NULL, NULL);

	return plait_chain(&d);
}

static void naps(struct plait_simulation *s, void *arg)
{
	note_seed(s);
	plait_host_run(plait_simulation_host(s, "host"), nap, NULL);
	plait_simulation_run(s, 10);
}

GROUP("seeds");

TEST(each_seed_has_a_simulation, PURE)
{
	ck_assert_int_eq(plait_check_seeds(naps, NULL, 1, 99, &report), 0);
	ck_assert_uint_eq(runs, 99);
	ck_assert_uint_eq(report.runs, 99);
	ck_assert_str_eq(report.text, "");
	for (uint64_t i = 0; i < 99; i++)
		ck_assert_uint_eq(seeds[i], i + 1);
}

TEST(one_seed_in_a_hundred_is_run_twice, PURE)
{
	ck_assert_int_eq(plait_check_seeds(naps, NULL, 0, 201, NULL), 0);
	ck_assert_uint_eq(runs, 201 + 3);
	ck_assert_uint_eq(seeds[0], 0);
	ck_assert_uint_eq(seeds[1], 0);
	ck_assert_uint_eq(seeds[2], 1);
}

TEST(no_seeds_are_all_right, PURE)
{
	ck_assert_int_eq(plait_check_seeds(naps, NULL, 0, 0, &report), 0);
	ck_assert_uint_eq(runs, 0);
}

static void does_nothing(struct plait_simulation *s, void *arg)
{
}

TEST(a_scenario_may_do_nothing, PURE)
{
	ck_assert_int_eq(plait_check_seeds(does_nothing, NULL, 0, 5, NULL), 0);
}

/* ---- what fails ---------------------------------------------------------- */

GROUP("failing");

/* In a child, whose words are compared; the status is 0 if it has to fail. */
struct check {
	plait_scenario *fn;
	uint64_t first;
	size_t count;
	const char *only; /* PLAIT_SEED */
};

static void check_in_child(void *arg)
{
	const struct check *c = arg;

	if (c->only != NULL)
		setenv("PLAIT_SEED", c->only, 1);
	plait_set_unhandled_hook(NULL, NULL);
	ck_assert_int_eq(
		plait_check_seeds(c->fn, NULL, c->first, c->count, NULL), -EIO);
}

static void assert_says(struct check c, const char *text)
{
	const char *said;

	ck_assert_int_eq(child_run(check_in_child, &c, &said), 0);
	ck_assert_str_eq(said, text);
}

static void fails_at_seven(struct plait_simulation *s, void *arg)
{
	naps(s, NULL);
	if (plait_simulation_seed(s) == 7)
		plait_simulation_fail(s, "it is %s", "seven");
}

TEST(the_first_that_fails_ends_it_and_is_told, PURE)
{
	assert_says((struct check){ .fn = fails_at_seven,
				    .first = 1,
				    .count = 100 },
		    "plait: seed 0x7, turn 2, at 1.500 s: it is seven\n"
		    "plait: PLAIT_SEED=0x7 repeats it\n");
}

static void is_quiet(void *arg)
{
	ck_assert_int_eq(
		plait_check_seeds(fails_at_seven, NULL, 1, 100, &report), -EIO);
	ck_assert_uint_eq(runs, 7);
	ck_assert_uint_eq(report.runs, 7);
	ck_assert_uint_eq(report.seed, 7);
	ck_assert_double_eq(report.seconds, 1.5);
	ck_assert_str_eq(report.text, "it is seven");
}

TEST(the_report_says_it_as_well, PURE)
{
	const char *said;

	ck_assert_int_eq(child_run(is_quiet, NULL, &said), 0);
}

TEST(it_is_repeated_by_the_environment, PURE)
{
	assert_says((struct check){ .fn = fails_at_seven,
				    .first = 1,
				    .count = 3,
				    .only = "0x7" },
		    "plait: seed 0x7, turn 2, at 1.500 s: it is seven\n"
		    "plait: PLAIT_SEED=0x7 repeats it\n");
}

static void set_count(void *arg)
{
	setenv("PLAIT_SEEDS", "5", 1);
	ck_assert_int_eq(plait_check_seeds(naps, NULL, 1, 99, &report), 0);
	ck_assert_uint_eq(report.runs, 5);
	setenv("PLAIT_SEEDS", "many", 1);
	plait_check_seeds(naps, NULL, 1, 99, &report);
}

TEST(how_many_may_be_set_by_the_environment, PURE)
{
	const char *said;

	ck_assert_int_eq(child_run(set_count, NULL, &said), CHILD_ABORTED);
	ck_assert_str_eq(said, "plait: PLAIT_SEEDS: \"many\" is no number\n");
}

static plait_value never_stops(void *arg)
{
	struct plait_deferred *d = plait_defer_later(arg, 1e9, NULL, NULL);

	return plait_chain(&d);
}

static plait_value is_stubborn(struct plait_reactor *r, void *arg)
{
	plait_reactor_add_trigger(r, PLAIT_TRIGGER_BEFORE,
				  PLAIT_TRIGGER_SHUTDOWN, never_stops, r, NULL);
	return plait_forever();
}

static void does_not_stop(struct plait_simulation *s, void *arg)
{
	plait_host_run(plait_simulation_host(s, "host"), is_stubborn, NULL);
	plait_simulation_run(s, 10);
}

TEST(a_program_that_does_not_stop_fails, PURE)
{
	assert_says(
		(struct check){ .fn = does_not_stop, .first = 1, .count = 100 },
		"plait: seed 0x1, turn 2, at 60.000 s: a program does not "
		"stop\n"
		"plait: PLAIT_SEED=0x1 repeats it\n");
}

/* What no seed decides. */
static plait_value naps_as_it_likes(struct plait_reactor *r, void *arg)
{
	static unsigned n;
	struct plait_deferred *d = plait_defer_later(r, 2 + n++, NULL, NULL);

	return plait_chain(&d);
}

static void is_not_decided(struct plait_simulation *s, void *arg)
{
	plait_host_run(plait_simulation_host(s, "host"), naps_as_it_likes,
		       NULL);
	plait_simulation_run(s, 1000);
}

TEST(what_the_seed_does_not_decide_is_found, PURE)
{
	assert_says((struct check){ .fn = is_not_decided,
				    .first = 100,
				    .count = 100 },
		    "plait: seed 0x64, turn 2, at 2.000 s: a second run of the "
		    "seed is another: event 3 was turn(1, 1) at 2000000000 ns, "
		    "and then it was turn(1, 1) at 3000000000 ns\n"
		    "plait: PLAIT_SEED=0x64 repeats it\n");
}

static void mark(void *arg)
{
	PLAIT_SOMETIMES(true);
	if (PLAIT_SOMETIMES(arg == NULL))
		return;
	PLAIT_SOMETIMES(plait_simulation_seed(arg) == 5);
	PLAIT_SOMETIMES(plait_simulation_seed(arg) == 500);
}

static void passes_marks(struct plait_simulation *s, void *arg)
{
	plait_simulation_call_later(s, 1, mark, s);
	plait_simulation_call_later(s, 1, mark, NULL);
	plait_simulation_run(s, 10);
}

static void check_marks(void *arg)
{
	ck_assert_int_eq(plait_check_seeds(passes_marks, NULL, 1, 10, &report),
			 -EIO);
	ck_assert_ptr_nonnull(strstr(report.text, "== 500 was false each "
						  "time"));
	ck_assert_uint_eq(report.runs, 10);
	ck_assert_int_eq(plait_check_seeds(passes_marks, NULL, 500, 1, NULL),
			 -EIO);
	setenv("PLAIT_SEED", "3", 1);
	ck_assert_int_eq(plait_check_seeds(passes_marks, NULL, 1, 10, NULL), 0);
}

TEST(a_mark_that_is_never_true_fails_all_seeds_but_not_one, PURE)
{
	const char *said;

	ck_assert_int_eq(child_run(check_marks, NULL, &said), 0);
	ck_assert_ptr_nonnull(strstr(said, "tests/test_seeds.c:"));
}

static struct plait_promise *never_fired;
static struct plait_deferred *left;

static void leaves_a_deferred(struct plait_simulation *s, void *arg)
{
	naps(s, NULL);
	left = (plait_deferred_new)(&never_fired, NULL, NULL, "here");
}

TEST(what_is_left_over_fails, PURE)
{
	assert_says((struct check){ .fn = leaves_a_deferred, .count = 1 },
		    "plait: seed 0x0, turn 2, at 1.500 s: something is left "
		    "over\n"
		    "    deferred made at here, pending, since 1.500\n"
		    "plait: PLAIT_SEED=0x0 repeats it\n");
}

TEST(what_was_there_before_is_not_left_over, PURE)
{
	left = plait_deferred_new(&never_fired, NULL, NULL);
	ck_assert_int_eq(plait_check_seeds(naps, NULL, 1, 3, NULL), 0);
	plait_deferred_free(&left);
	plait_promise_drop(&never_fired);
}

/* As a kernel would that has forgotten it. */
static void leaves_a_socket(struct plait_simulation *s, void *arg)
{
	ck_assert_ptr_nonnull(
		plait_i_tcp_new(plait_simulation_host(s, "host"), AF_INET));
}

TEST(a_socket_that_a_kernel_keeps_fails, PURE)
{
	assert_says(
		(struct check){ .fn = leaves_a_socket, .count = 1 },
		"plait: seed 0x0, turn 0, at 0.000 s: 1 sockets of host are "
		"left\n"
		"plait: PLAIT_SEED=0x0 repeats it\n");
}

static void must_not_come(void *arg)
{
	abort();
}

static void asks_for_later(struct plait_simulation *s, void *arg)
{
	naps(s, NULL);
	plait_simulation_call_later(s, 20, must_not_come, NULL);
}

TEST(what_was_asked_for_later_does_not_come_after_the_scenario, PURE)
{
	ck_assert_int_eq(plait_check_seeds(asks_for_later, NULL, 1, 3, NULL),
			 0);
}

/* ---- what ends the process ----------------------------------------------- */

GROUP("ending");

static void aborts(void *arg)
{
	plait_assert(arg == NULL);
}

static void calls_what_aborts(struct plait_simulation *s, void *arg)
{
	plait_simulation_call_later(s, 2, aborts, s);
	plait_simulation_run(s, 10);
}

static void exits(void *arg)
{
	exit(3);
}

static void calls_what_exits(struct plait_simulation *s, void *arg)
{
	plait_simulation_call_later(s, 2, exits, s);
	plait_simulation_run(s, 10);
}

TEST(who_aborts_is_told_of, PURE)
{
	struct check c = { .fn = calls_what_aborts, .first = 31, .count = 1 };
	const char *said;

	ck_assert_int_eq(child_run(check_in_child, &c, &said), CHILD_ABORTED);
	ck_assert_ptr_nonnull(strstr(said, "arg == NULL"));
	ck_assert_ptr_nonnull(
		strstr(said, "plait: seed 0x1f, turn 1, at 2.000 s: the "
			     "process ends by signal 6\n"
			     "plait: PLAIT_SEED=0x1f repeats it\n"));
}

TEST(who_exits_is_told_of, PURE)
{
	struct check c = { .fn = calls_what_exits, .first = 31, .count = 1 };
	const char *said;

	ck_assert_int_eq(child_run(check_in_child, &c, &said), 3);
	ck_assert_str_eq(said, "plait: seed 0x1f, turn 1, at 2.000 s: the "
			       "process exits\n"
			       "plait: PLAIT_SEED=0x1f repeats it\n");
}

static void on_abort(int number)
{
	static const char text[] = "the program's handler\n";

	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(5);
}

static void abort_with_handler(void *arg)
{
	signal(SIGABRT, on_abort);
	check_in_child(arg);
}

TEST(a_handler_of_the_program_is_called_then, PURE)
{
	struct check c = { .fn = calls_what_aborts, .first = 31, .count = 1 };
	const char *said;

	ck_assert_int_eq(child_run(abort_with_handler, &c, &said), 5);
	ck_assert_ptr_nonnull(strstr(said, "repeats it\nthe program's "
					   "handler\n"));
}

TEST(the_actions_of_signals_are_the_programs_again, PURE)
{
	struct sigaction a;

	signal(SIGABRT, on_abort);
	plait_check_seeds(naps, NULL, 1, 1, NULL);
	sigaction(SIGABRT, NULL, &a);
	ck_assert(a.sa_handler == on_abort);
}

/* ---- failures that nobody handled ---------------------------------------- */

GROUP("unhandled");

static void loses_failures(struct plait_simulation *s, void *arg)
{
	for (int i = 0; i < 10; i++) {
		struct plait_deferred *d = plait_failed(
			plait_fail(&plait_error_timeout, "number %d", i));

		plait_deferred_free(&d);
	}
	if (plait_simulation_seed(s) == 3)
		plait_simulation_fail(s, "three");
}

TEST(they_are_said_of_the_seed_that_fails_alone, PURE)
{
	struct check c = { .fn = loses_failures, .first = 1, .count = 9 };
	const char *said;

	ck_assert_int_eq(child_run(check_in_child, &c, &said), 0);
	ck_assert_ptr_nonnull(strstr(said, "three\nplait: unhandled: "));
	ck_assert_ptr_null(strstr(said, "number 1"));
	ck_assert_ptr_nonnull(strstr(said, "number 2"));
	ck_assert_ptr_nonnull(strstr(said, "number 9"));
	ck_assert_ptr_null(strstr(strstr(said, "number 9") + 1, "number 9"));
}

TEST(a_hook_of_the_program_is_told, PURE)
{
	ck_assert_int_eq(plait_check_seeds(loses_failures, NULL, 1, 2, NULL),
			 0);
	unhandled_expect(20);
}

TEST(without_memory_there_are_no_seeds, PURE)
{
	bool refused = true;

	for (unsigned long n = 0; refused; n++) {
		int rc;

		fault_alloc_at(n, true);
		rc = plait_check_seeds(does_nothing, NULL, 1, 2, NULL);
		refused = fault_alloc_reached();
		fault_alloc_off();
		ck_assert_int_eq(rc, refused ? -ENOMEM : 0);
	}
}

/* ---- a trace of the one that is repeated --------------------------------- */

GROUP("trace");

static char traced[] = "/tmp/plait-seeds-XXXXXX";

static void name_trace(void)
{
	int fd = mkstemp(traced);

	ck_assert_int_ge(fd, 0);
	close(fd);
	unlink(traced);
}

static void check_with_trace(void *arg)
{
	setenv("PLAIT_TRACE", traced, 1);
	if (arg != NULL)
		setenv("PLAIT_SEED", "7", 1);
	plait_check_seeds(naps, NULL, 7, 2, NULL);
}

/* How large the trace is, 0 if there is none; and whether it has this. */
static size_t trace_size(const char *text, bool *has)
{
	static char trace[65536];
	FILE *f = fopen(traced, "r");
	size_t n = f != NULL ? fread(trace, 1, sizeof(trace) - 1, f) : 0;

	if (f != NULL)
		fclose(f);
	trace[n] = '\0';
	*has = strstr(trace, text) != NULL;
	unlink(traced);
	return n;
}

TEST(what_is_repeated_is_traced_in_virtual_time, PURE, TIMES(2))
{
	const char *said;
	bool has;

	name_trace();
	ck_assert_int_eq(
		child_run(check_with_trace, _i == 1 ? &_i : NULL, &said), 0);
	ck_assert_str_eq(said, "");
	if (_i == 0) {
		ck_assert_uint_eq(trace_size("", &has), 0);
		return;
	}
	ck_assert_uint_gt(trace_size("\"ts\":1500000.000", &has), 0);
	ck_assert(has);
}

static void abort_with_trace(void *arg)
{
	setenv("PLAIT_TRACE", traced, 1);
	setenv("PLAIT_SEED", "7", 1);
	plait_check_seeds(calls_what_aborts, NULL, 7, 2, NULL);
}

TEST(who_aborts_is_traced_as_well, PURE)
{
	const char *said;
	bool has;

	name_trace();
	ck_assert_int_eq(child_run(abort_with_trace, NULL, &said),
			 CHILD_ABORTED);
	ck_assert_uint_gt(trace_size("traceEvents", &has), 0);
	ck_assert(has);
}

/*
 * Programs that are run for what they write.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <plait/run.h>
#include <plait/testing.h>

#include "tests/child.h"
#include "tests/harness.h"

static struct plait_deferred *d;
static plait_value result;
static bool fired;

static plait_value keep(plait_value *v, void *unused)
{
	result = plait_value_take(v);
	fired = true;
	plait_deferred_free(&d);
	return PLAIT_NONE;
}

static void begin(void)
{
	fired = false;
	result = PLAIT_NONE;
}

static void run_with(plait_value input, const struct plait_run_options *o,
		     const char *text)
{
	const char *const argv[] = { "/bin/sh", "-c", text, NULL };

	begin();
	d = plait_run(reactor, argv, input, o);
	plait_deferred_add_both(d, keep, NULL);
}

static void run_to_the_end(plait_value input, const struct plait_run_options *o,
			   const char *text)
{
	run_with(input, o, text);
	run_until_set(reactor, &fired);
	plait_deferred_free(&d);
}

/* Nothing is left of it, neither here nor for waitpid() to find. */
static void end(void)
{
	plait_deferred_free(&d);
	plait_value_free(&result);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}

static void buf_is(const struct plait_buf *b, const char *text)
{
	ck_assert_uint_eq(plait_buf_size(b), strlen(text));
	ck_assert_mem_eq(plait_buf_data(b), text, strlen(text));
}

static void output_is(const char *out, const char *err)
{
	const struct plait_output *o = plait_value_output(&result);

	buf_is(o->out, out);
	buf_is(o->err, err);
	ck_assert_int_eq(o->how.code, 0);
}

static void failed_as(const struct plait_error *kind, const char *message)
{
	const struct plait_failure *f = plait_value_failure(&result);

	ck_assert_ptr_eq(plait_failure_kind(f), kind);
	ck_assert_str_eq(plait_failure_message(f), message);
}

/* WNOWAIT: it is left to the library. */
static bool nobody_is_left(void *unused)
{
	siginfo_t info = { .si_pid = 0 };

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0;
}

GROUP("run", .setup = begin, .teardown = end);

TEST(it_gives_what_the_program_has_written, ON_EACH_BACKEND)
{
	run_to_the_end(PLAIT_NONE, NULL, "echo out; echo err >&2");
	output_is("out\n", "err\n");
}

TEST(the_program_reads_its_input_and_the_end_of_it, ON_EACH_BACKEND)
{
	run_to_the_end(plait_text("b\na\n"), NULL, "sort");
	output_is("a\nb\n", "");
	plait_value_free(&result);
	run_to_the_end(PLAIT_NONE, NULL, "cat");
	output_is("", "");
}

TEST(a_buffer_is_an_input_too, ON_EACH_BACKEND)
{
	struct plait_buf *b = plait_buf_new(100);

	plait_buf_append(b, "poem", 4);
	run_to_the_end(plait_buf_value(b), NULL, "cat");
	output_is("poem", "");
}

/* More than a pipe holds goes both ways at once. */
TEST(much_goes_through_a_program, ON_EACH_BACKEND)
{
	enum { SIZE = 1 << 20 };
	struct plait_buf *b = plait_buf_new(SIZE);
	static char piece[1 << 16];
	const struct plait_output *o;

	for (int i = 0; i < SIZE / (int)sizeof(piece); i++) {
		memset(piece, 'a' + i, sizeof(piece));
		ck_assert_int_eq(plait_buf_append(b, piece, sizeof(piece)), 0);
	}
	run_to_the_end(plait_buf_value(plait_buf_ref(b)), NULL, "cat");
	o = plait_value_output(&result);
	ck_assert_uint_eq(plait_buf_size(o->out), SIZE);
	ck_assert_mem_eq(plait_buf_data(o->out), plait_buf_data(b), SIZE);
	plait_buf_unref(&b);
}

TEST(another_status_than_0_is_a_failure_that_carries_the_output,
     ON_EACH_BACKEND)
{
	const struct plait_output *o;
	const plait_value *detail;

	run_to_the_end(PLAIT_NONE, NULL,
		       "echo half; echo first >&2; echo no rhyme >&2; exit 2");
	failed_as(&plait_error_process, "sh gave 2: no rhyme");
	detail = plait_failure_detail(plait_value_failure(&result));
	o = plait_value_output(detail);
	buf_is(o->out, "half\n");
	ck_assert_int_eq(o->how.code, 2);
}

TEST(a_signal_that_has_ended_it_is_named, ON_EACH_BACKEND)
{
	run_to_the_end(PLAIT_NONE, NULL, "kill -USR1 $$");
	failed_as(&plait_error_process, "sh was ended by signal 10");
}

TEST(a_program_that_cannot_be_run_fails_at_once, ON_EACH_BACKEND)
{
	const char *const argv[] = { "/nonexistent/poem", NULL };

	d = plait_run(reactor, argv, plait_text("x"), NULL);
	plait_deferred_add_both(d, keep, NULL);
	ck_assert(fired);
	failed_as(&plait_error_os, "running poem: exec");
	ck_assert_int_eq(plait_failure_errno(plait_value_failure(&result)),
			 ENOENT);
}

TEST(options_that_make_no_sense_fail, ON_EACH_BACKEND)
{
	static const struct plait_process_fd fd;
	struct plait_run_options o = { .process.fds = &fd };

	run_with(PLAIT_NONE, &o, "exit 0");
	failed_as(&plait_error_os, "running sh: arguments");
	plait_deferred_free(&d);
	plait_value_free(&result);
	o.process.fds = NULL;
	o.process.pty = true;
	run_with(PLAIT_NONE, &o, "exit 0");
	failed_as(&plait_error_os, "running sh: arguments");
}

TEST(a_failure_as_input_is_the_result, ON_EACH_BACKEND)
{
	run_with(plait_fail(&plait_error_user, "no poem"), NULL, "exit 0");
	failed_as(&plait_error_user, "no poem");
}

TEST(who_writes_too_much_is_stopped, ON_EACH_BACKEND, TIMES(2))
{
	struct plait_run_options o = { .max_output = 10 };

	run_to_the_end(PLAIT_NONE, &o, _i == 0 ? "exec yes" : "exec yes >&2");
	failed_as(&plait_error_os, "more than 10 bytes from sh");
	ck_assert_int_eq(plait_failure_errno(plait_value_failure(&result)),
			 EMSGSIZE);
	run_until(reactor, nobody_is_left, NULL);
}

static void whole_run(struct plait_reactor *r)
{
	const char *const argv[] = { "/bin/cat", NULL };
	struct plait_deferred *run;
	siginfo_t info;

	begin();
	run = plait_run(r, argv, plait_text("poem"), NULL);
	plait_deferred_add_both(run, keep, NULL);
	run_turns(r, 2);
	/* Waits take no time there: see test_process.c. */
	if (!fired)
		waitid(P_ALL, 0, &info, WEXITED | WNOWAIT);
	run_until_set(r, &fired);
	plait_deferred_free(&run);
	if (!torture_faulty())
		output_is("poem", "");
	plait_value_free(&result);
}

TEST(it_ends_with_any_allocation_failing, ON_EACH_BACKEND)
{
	torture(whole_run, backend);
}

/* ---- cancelling ------------------------------------------------------------
 */

GROUP("cancel", .setup = begin, .teardown = end);

TEST(cancelled_it_fails_at_once_and_the_program_is_stopped, ON_EACH_BACKEND)
{
	run_with(PLAIT_NONE, NULL, "exec sleep 1000");
	plait_deferred_cancel(d);
	ck_assert(fired);
	ck_assert(plait_failure_check(plait_value_failure(&result),
				      &plait_error_cancelled));
	run_until(reactor, nobody_is_left, NULL);
}

/* Runs a shell that ignores SIGTERM before this returns, and then does text. */
static void run_deaf(const struct plait_run_options *o, const char *text)
{
	char script[128], byte;
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	snprintf(script, sizeof(script),
		 "trap '' TERM; echo >/proc/$PPID/fd/%d; %s", fds[1], text);
	run_with(PLAIT_NONE, o, script);
	ck_assert_int_eq(read(fds[0], &byte, 1), 1);
	close(fds[0]);
	close(fds[1]);
}

TEST(cancelled_it_closes_the_program_s_input, ON_EACH_BACKEND)
{
	run_deaf(NULL, "cat");
	plait_deferred_cancel(d);
	run_until(reactor, nobody_is_left, NULL);
}

TEST(a_program_that_ignores_it_is_killed_after_its_grace, ON_EACH_BACKEND)
{
	struct plait_run_options o = { .process.grace = 1000 };

	run_deaf(&o, "while :; do sleep 1000; done");
	plait_deferred_cancel(d);
	run_turns(reactor, 3);
	ck_assert(!nobody_is_left(NULL));
	clock_advance(1000);
	run_until(reactor, nobody_is_left, NULL);
}

TEST(a_program_that_stands_still_needs_no_grace, ON_EACH_BACKEND)
{
	struct plait_run_options o = { .process.grace = 1000 };
	siginfo_t info;

	run_with(PLAIT_NONE, &o, "kill -STOP $$; exec sleep 1000");
	ck_assert_int_eq(waitid(P_ALL, 0, &info, WSTOPPED | WNOWAIT), 0);
	plait_deferred_cancel(d);
	run_until(reactor, nobody_is_left, NULL);
}

/* A grandchild that keeps the pipes does not keep the run. */
TEST(cancelled_it_waits_for_no_pipes, ON_EACH_BACKEND)
{
	struct plait_run_options o = { .process = { .new_group = true,
						    .grace = 0.01 } };

	run_with(PLAIT_NONE, &o, "(trap '' TERM; sleep 1000) & wait");
	plait_deferred_cancel(d);
	run_until(reactor, nobody_is_left, NULL);
}

/* Everybody of the tree ignores SIGTERM and has the pipe, which ends when they
   are all gone. */
TEST(cancelled_with_a_group_it_leaves_nobody_of_a_tree, ON_EACH_BACKEND)
{
	struct plait_run_options o = { .process = { .new_group = true,
						    .grace = 1000 } };
	char script[200], byte;
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	snprintf(script, sizeof(script),
		 "trap '' TERM; exec 5>/proc/$PPID/fd/%d; "
		 "(sh -c 'while :; do sleep 1000; done' &); echo >&5; "
		 "while :; do sleep 1000; done",
		 fds[1]);
	run_with(PLAIT_NONE, &o, script);
	ck_assert_int_eq(read(fds[0], &byte, 1), 1);
	close(fds[1]);
	plait_deferred_cancel(d);
	run_turns(reactor, 3);
	ck_assert(!nobody_is_left(NULL));
	clock_advance(1000);
	run_until(reactor, nobody_is_left, NULL);
	ck_assert_int_eq(read(fds[0], &byte, 1), 0);
	close(fds[0]);
}

static plait_value note_closed(plait_value *v, void *flag)
{
	*(bool *)flag = true;
	return PLAIT_NONE;
}

TEST(a_scope_ends_only_when_the_program_is_gone, ON_EACH_BACKEND)
{
	struct plait_scope *s = plait_scope_new(reactor);
	struct plait_run_options o = { .process.grace = 1000, .scope = s };
	struct plait_deferred *closing;
	bool closed = false;

	run_deaf(&o, "while :; do sleep 1000; done");
	closing = plait_scope_close(&s);
	plait_deferred_add_both(closing, note_closed, &closed);
	ck_assert(fired);
	run_turns(reactor, 3);
	ck_assert(!closed);
	clock_advance(1000);
	run_until_set(reactor, &closed);
	ck_assert(nobody_is_left(NULL));
	plait_deferred_free(&closing);
}

static struct plait_scope *children;
static bool emptied;

static plait_value close_children(plait_value *v, void *unused)
{
	struct plait_deferred *closing = plait_scope_close(&children);

	plait_deferred_add_both(closing, note_closed, &emptied);
	plait_deferred_detach(&closing);
	return *v;
}

/* As somebody does who lets only so many programs run at a time. */
static void run_and_close(const struct plait_run_options *o, const char *text)
{
	const char *const argv[] = { "/bin/sh", "-c", text, NULL };
	struct plait_run_options in = *o;

	emptied = false;
	children = plait_scope_new(reactor);
	in.scope = children;
	d = plait_run(reactor, argv, PLAIT_NONE, &in);
	plait_deferred_add_both(d, close_children, NULL);
	plait_deferred_add_both(d, keep, NULL);
}

static const char *const ends[] = { "echo out", "exit 3", "yes" };

TEST(its_own_callback_may_close_the_scope, ON_EACH_BACKEND, EACH_OF(ends))
{
	struct plait_run_options o = { .max_output = 100 };

	run_and_close(&o, ends[_i]);
	run_until_set(reactor, &emptied);
	ck_assert(fired);
	ck_assert(nobody_is_left(NULL));
}

TEST(the_callback_of_a_cancel_may_close_the_scope, ON_EACH_BACKEND)
{
	struct plait_run_options o = { .max_output = 100 };

	run_and_close(&o, "exec sleep 1000");
	plait_deferred_cancel(d);
	ck_assert(fired);
	ck_assert(!emptied);
	run_until_set(reactor, &emptied);
	ck_assert(nobody_is_left(NULL));
}

static plait_value free_reactor(plait_value *v, void *unused)
{
	plait_reactor_free(&reactor);
	return *v;
}

TEST(the_callback_of_a_scope_may_free_the_reactor, ON_EACH_BACKEND)
{
	const char *const argv[] = { "/bin/sh", "-c", "exec sleep 1000", NULL };
	struct plait_scope *s = plait_scope_new(reactor);
	struct plait_run_options o = { .scope = s };

	d = plait_run(reactor, argv, PLAIT_NONE, &o);
	plait_deferred_add_both(d, free_reactor, NULL);
	plait_deferred_add_both(d, keep, NULL);
	plait_deferred_detach(&d);
	plait_scope_cancel(s, "test");
	ck_assert(fired);
	ck_assert(plait_scope_is_empty(s));
	plait_scope_free(&s);
}

TEST(in_a_scope_that_is_over_nothing_is_run, ON_EACH_BACKEND)
{
	struct plait_scope *s = plait_scope_new(reactor);
	struct plait_run_options o = { .scope = s };

	plait_scope_cancel(s, "test");
	run_with(PLAIT_NONE, &o, "exit 0");
	ck_assert(plait_failure_check(plait_value_failure(&result),
				      &plait_error_cancelled));
	plait_scope_free(&s);
}

TEST(a_reactor_that_is_freed_ends_it, ON_EACH_BACKEND)
{
	run_with(PLAIT_NONE, NULL, "exec sleep 1000");
	plait_reactor_free(&reactor);
	failed_as(&plait_error_process, "sh was ended by signal 9");
}

static unsigned rounds, depth, deepest;

static plait_value run_again(plait_value *v, void *unused)
{
	static const char *const argv[] = { "/bin/true", NULL };

	plait_value_free(v);
	plait_deferred_free(&d);
	if (reactor == NULL)
		return PLAIT_NONE;
	rounds++;
	depth++;
	deepest = depth > deepest ? depth : deepest;
	d = plait_run(reactor, argv, PLAIT_NONE, NULL);
	plait_deferred_add_both(d, run_again, NULL);
	depth--;
	return PLAIT_NONE;
}

static void call_stop_now(void *unused)
{
	plait_reactor_stop_now(reactor);
}

/* Neither endlessly deep nor for ever. */
TEST(run_again_whenever_it_fails_it_ends_with_the_reactor, ON_EACH_BACKEND,
     TIMES(2))
{
	static const char *const argv[] = { "sleep", "1000", NULL };

	rounds = deepest = 0;
	d = plait_run(reactor, argv, PLAIT_NONE, NULL);
	plait_deferred_add_both(d, run_again, NULL);
	if (_i == 1) {
		plait_call_later(reactor, 0, call_stop_now, NULL);
		ck_assert_int_eq(plait_reactor_run(reactor), 0);
		ck_assert_uint_ge(rounds, 1);
		ck_assert_uint_lt(rounds, 1100);
	}
	plait_reactor_free(&reactor);
	ck_assert_uint_gt(rounds, 100);
	ck_assert_uint_lt(rounds, 2200);
	ck_assert_uint_eq(deepest, 1);
	unhandled_expect(1); /* the last stays pending */
}

static void cancel_there(void *first)
{
	if (*(bool *)first)
		plait_deferred_cancel(d);
	plait_reactor_free(&reactor);
	plait_deferred_free(&d);
}

TEST(a_forked_child_frees_both_in_any_order, ON_EACH_BACKEND, TIMES(2))
{
	const char *said;
	bool first = _i == 0;

	run_with(PLAIT_NONE, NULL, "exec sleep 1000");
	ck_assert_int_eq(child_run(cancel_there, &first, &said), 0);
	ck_assert(!fired);
	plait_deferred_cancel(d);
	run_until(reactor, nobody_is_left, NULL);
}

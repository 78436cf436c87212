/*
 * Jobs in processes: the suite executes itself, and its children do these jobs.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <plait/pool.h>
#include <plait/process_job.h>
#include <plait/testing.h>

#include "tests/child.h"
#include "tests/harness.h"

/* ---- in the child -------------------------------------------------------- */

static plait_value shout(const struct plait_buf *argument)
{
	size_t len = plait_buf_size(argument);
	const char *data = plait_buf_data(argument);
	struct plait_buf *b = plait_buf_new(len);

	for (size_t i = 0; i < len; i++) {
		char c = data[i];

		if (c >= 'a' && c <= 'z')
			c -= 'a' - 'A';
		if (plait_buf_append(b, &c, 1) < 0)
			abort();
	}
	return plait_buf_value(b);
}

static plait_value give_back(const struct plait_buf *argument)
{
	return plait_buf_value(plait_buf_copy(plait_buf_data(argument),
					      plait_buf_size(argument)));
}

static plait_value say_nothing(const struct plait_buf *argument)
{
	return PLAIT_NONE;
}

static plait_value say_a_text(const struct plait_buf *argument)
{
	return plait_text("fern");
}

static plait_value fail_with_errno(const struct plait_buf *argument)
{
	return plait_fail_errno(&plait_error_os, ENOENT, "no %.*s",
				(int)plait_buf_size(argument),
				(const char *)plait_buf_data(argument));
}

static plait_value fail_silently(const struct plait_buf *argument)
{
	return plait_cancelled();
}

static plait_value say_more_than_a_failure_may(const struct plait_buf *argument)
{
	static char text[10000];

	memset(text, 'a', sizeof(text) - 1);
	return plait_fail(&plait_error_user, "%s", text);
}

static plait_value die(const struct plait_buf *argument)
{
	kill(getpid(), SIGKILL);
	return PLAIT_NONE;
}

static plait_value leave(const struct plait_buf *argument)
{
	_exit(3);
}

static plait_value return_an_int(const struct plait_buf *argument)
{
	return plait_int(1);
}

/* Standard error is the test's: says which process this is. */
static void say_pid(pid_t pid)
{
	if (write(2, &pid, sizeof(pid)) != (ssize_t)sizeof(pid))
		abort();
}

/* If the library is wrong, nobody ends this; it may not last for ever. */
static plait_value spin(const struct plait_buf *argument)
{
	volatile unsigned n = 0;

	signal(SIGTERM, SIG_IGN);
	alarm(60);
	say_pid(getpid());
	for (;;)
		n++;
	return PLAIT_NONE;
}

static plait_value wait_for_a_signal(const struct plait_buf *argument)
{
	alarm(60);
	say_pid(getpid());
	for (;;)
		pause();
	return PLAIT_NONE;
}

static void leave_a_child(void)
{
	pid_t pid = fork();

	if (pid != 0) {
		say_pid(pid);
		return;
	}
	signal(SIGTERM, SIG_IGN);
	alarm(60);
	for (;;)
		pause();
}

static plait_value spin_with_a_child(const struct plait_buf *argument)
{
	leave_a_child();
	return spin(argument);
}

static plait_value end_with_a_child(const struct plait_buf *argument)
{
	leave_a_child();
	return PLAIT_NONE;
}

/* Leaves the group in which its parent looks for it. */
static plait_value spin_elsewhere(const struct plait_buf *argument)
{
	setpgid(0, getppid());
	return spin(argument);
}

static plait_value write_to_1_and_2(const struct plait_buf *argument)
{
	if (write(1, "out", 3) != 3 || write(2, "err", 3) != 3)
		abort();
	return plait_text("result");
}

/* Which descriptors there are, as text. */
static plait_value name_descriptors(const struct plait_buf *argument)
{
	struct plait_buf *b = plait_buf_new(1000);

	for (int fd = 0; fd < 100; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			plait_buf_printf(b, "%d ", fd);
	}
	return plait_buf_value(b);
}

static plait_value say_who_you_are(const struct plait_buf *argument)
{
	char name[16] = "";
	int fd = open("/proc/self/comm", O_RDONLY);
	ssize_t n = read(fd, name, sizeof(name) - 1);

	close(fd);
	return plait_buf_value(plait_buf_copy(name, n > 0 ? (size_t)n - 1 : 0));
}

static const struct plait_process_job jobs[] = {
	{ .name = "shout", .fn = shout },
	{ .name = "give back", .fn = give_back },
	{ .name = "nothing", .fn = say_nothing },
	{ .name = "text", .fn = say_a_text },
	{ .name = "fail", .fn = fail_with_errno },
	{ .name = "cancelled", .fn = fail_silently },
	{ .name = "long failure", .fn = say_more_than_a_failure_may },
	{ .name = "die", .fn = die },
	{ .name = "leave", .fn = leave },
	{ .name = "int", .fn = return_an_int },
	{ .name = "spin", .fn = spin },
	{ .name = "wait", .fn = wait_for_a_signal },
	{ .name = "spin with a child", .fn = spin_with_a_child },
	{ .name = "end with a child", .fn = end_with_a_child },
	{ .name = "spin elsewhere", .fn = spin_elsewhere },
	{ .name = "write", .fn = write_to_1_and_2 },
	{ .name = "descriptors", .fn = name_descriptors },
	{ .name = "who", .fn = say_who_you_are },
	{ .name = NULL },
};

/* ---- in a copy of the program -------------------------------------------- */

static const char replaced[] = "--replaced";

static plait_value stop_with(plait_value *v, void *r)
{
	bool good = plait_value_is(v, &plait_buf_type) &&
		    plait_buf_size(plait_value_buf(v)) == 5 &&
		    memcmp(plait_buf_data(plait_value_buf(v)), "ROSES", 5) == 0;

	plait_reactor_stop(r);
	return plait_int(good);
}

/* Its file has gone, and something else has its name. */
static int run_replaced(const char *path)
{
	struct plait_reactor *r = plait_reactor_new(NULL);
	struct plait_deferred *d;
	int fd, rc;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0700);
	if (fd < 0 || write(fd, "#!/bin/false\n", 13) != 13)
		return 2;
	close(fd);
	d = plait_defer_to_process(r, "shout", plait_text("roses"), NULL);
	plait_deferred_add_both(d, stop_with, r);
	plait_reactor_run(r);
	rc = plait_value_int(plait_deferred_result(d)) == 1 ? 0 : 3;
	plait_deferred_free(&d);
	plait_reactor_free(&r);
	return rc;
}

void test_begin(int argc, char **argv)
{
	plait_process_jobs_main(argc, argv, jobs);
	if (argc == 2 && strcmp(argv[1], replaced) == 0)
		_exit(run_replaced(argv[0]));
}

/* ---- in the test --------------------------------------------------------- */

static struct plait_deferred *d;
static plait_value result;
static bool fired;
static int said[2] = { -1, -1 }; /* what the jobs say to standard error */
static int own_error;

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
	ck_assert_int_eq(pipe2(said, O_CLOEXEC), 0);
	own_error = fcntl(2, F_DUPFD_CLOEXEC, 3);
	dup2(said[1], 2);
}

static void say_again(void)
{
	dup2(own_error, 2);
}

/* Nothing is left of it, neither here nor for waitpid() to find. */
static void end(void)
{
	say_again();
	close(own_error);
	plait_deferred_free(&d);
	plait_value_free(&result);
	close(said[0]);
	close(said[1]);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}

static void job_with(const char *name, plait_value argument,
		     const struct plait_process_job_options *o)
{
	fired = false;
	d = plait_defer_to_process(reactor, name, argument, o);
	plait_deferred_add_both(d, keep, NULL);
}

static void job(const char *name, plait_value argument)
{
	job_with(name, argument, NULL);
	run_until_set(reactor, &fired);
}

static void result_is(const char *text)
{
	const struct plait_buf *b;

	ck_assert(fired);
	b = plait_value_buf(&result);
	ck_assert_uint_eq(plait_buf_size(b), strlen(text));
	ck_assert_mem_eq(plait_buf_data(b), text, strlen(text));
	plait_value_free(&result);
}

static void failed_as(const struct plait_error *kind, int err,
		      const char *message)
{
	const struct plait_failure *f;

	ck_assert(fired);
	f = plait_value_failure(&result);
	ck_assert_ptr_eq(plait_failure_kind(f), kind);
	ck_assert_int_eq(plait_failure_errno(f), err);
	ck_assert_str_eq(plait_failure_message(f), message);
}

/* WNOWAIT: it is left to the library. */
static bool nobody_is_left(void *unused)
{
	siginfo_t info = { .si_pid = 0 };

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0;
}

static bool something_was_said(void *unused)
{
	struct pollfd p = { .fd = said[0], .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* The number of a process that has said it. */
static pid_t await_pid(void)
{
	pid_t pid;

	run_until(reactor, something_was_said, NULL);
	ck_assert_int_eq(read(said[0], &pid, sizeof(pid)), sizeof(pid));
	return pid;
}

/* A process that is not this one's child may be a zombie of somebody's. */
static bool is_gone(void *pid)
{
	char path[64], line[256] = "";
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)*(pid_t *)pid);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return true;
	n = read(fd, line, sizeof(line) - 1);
	close(fd);
	return n <= 0 || strstr(line, ") Z ") != NULL ||
	       strstr(line, ") X ") != NULL;
}

GROUP("result", .setup = begin, .teardown = end);

TEST(a_job_gets_bytes_and_gives_bytes, ON_EACH_BACKEND)
{
	job("shout", plait_text("roses"));
	result_is("ROSES");
	job("shout", plait_buf_value(plait_buf_copy("a\0b", 3)));
	ck_assert_uint_eq(plait_buf_size(plait_value_buf(&result)), 3);
	ck_assert_mem_eq(plait_buf_data(plait_value_buf(&result)), "A\0B", 3);
	plait_value_free(&result);
	job("shout", PLAIT_NONE);
	result_is("");
	job("nothing", PLAIT_NONE);
	result_is("");
	job("text", PLAIT_NONE);
	result_is("fern");
}

static struct plait_buf *random_bytes(size_t size)
{
	struct plait_buf *b = plait_buf_new(size);
	uint64_t *words;
	void *room;

	ck_assert_int_eq(plait_buf_reserve(b, size, &room), 0);
	words = room;
	for (size_t i = 0; i < size / sizeof(*words); i++)
		words[i] = i * 0x9e3779b97f4a7c15;
	plait_buf_commit(b, size);
	return b;
}

TEST(much_goes_both_ways, ON_EACH_BACKEND)
{
	struct plait_buf *b = random_bytes(64 << 20);
	const struct plait_buf *back;

	job("give back", plait_buf_value(plait_buf_ref(b)));
	back = plait_value_buf(&result);
	ck_assert_uint_eq(plait_buf_size(back), 64 << 20);
	ck_assert(memcmp(plait_buf_data(back), plait_buf_data(b), 64 << 20) ==
		  0);
	plait_buf_unref(&b);
}

TEST(a_failure_comes_back_with_its_text_and_errno, ON_EACH_BACKEND)
{
	job("fail", plait_text("rhyme"));
	failed_as(&plait_error_process_job, ENOENT, "fail: OSError: no rhyme");
	plait_value_free(&result);
	job("cancelled", PLAIT_NONE);
	failed_as(&plait_error_process_job, 0, "cancelled: CancelledError");
	plait_value_free(&result);
	job("long failure", PLAIT_NONE);
	ck_assert(plait_failure_check(plait_value_failure(&result),
				      &plait_error_process_job));
}

static int signal_of_loss(void)
{
	return (int)plait_value_int(
		plait_failure_detail(plait_value_failure(&result)));
}

TEST(a_crash_is_a_failure_with_the_signal, ON_EACH_BACKEND)
{
	job("die", PLAIT_NONE);
	failed_as(&plait_error_process_job_lost, 0,
		  "die was ended by signal 9");
	ck_assert_int_eq(signal_of_loss(), SIGKILL);
	ck_assert(plait_failure_check(plait_value_failure(&result),
				      &plait_error_process_job));
}

TEST(an_exit_without_an_answer_is_a_failure, ON_EACH_BACKEND)
{
	job("leave", PLAIT_NONE);
	failed_as(&plait_error_process_job_lost, 0,
		  "leave gave 3, and no answer");
	ck_assert_int_eq(signal_of_loss(), 0);
}

TEST(a_job_that_returns_something_else_aborts, ON_EACH_BACKEND)
{
	job("int", PLAIT_NONE);
	failed_as(&plait_error_process_job_lost, 0,
		  "int was ended by signal 6");
}

TEST(a_result_is_bounded, ON_EACH_BACKEND)
{
	struct plait_process_job_options o = { .max_result = 5 };

	job_with("shout", plait_text("roses"), &o);
	run_until_set(reactor, &fired);
	result_is("ROSES");
	job_with("shout", plait_text("rhymes"), &o);
	run_until_set(reactor, &fired);
	failed_as(&plait_error_os, EMSGSIZE,
		  "a result of 6 bytes of \"shout\"");
	run_until(reactor, nobody_is_left, NULL);
}

TEST(what_a_job_writes_to_1_and_2_is_not_its_result, ON_EACH_BACKEND)
{
	int out = fcntl(1, F_DUPFD_CLOEXEC, 3);
	char text[8] = "";

	dup2(said[1], 1);
	job("write", PLAIT_NONE);
	dup2(out, 1);
	close(out);
	result_is("result");
	ck_assert_int_eq(read(said[0], text, sizeof(text)), 6);
	ck_assert_str_eq(text, "outerr");
}

TEST(a_job_has_no_descriptors_but_its_own, ON_EACH_BACKEND)
{
	job("descriptors", PLAIT_NONE);
	/* 3 was the argument, and is closed. */
	result_is("0 1 2 4 ");
}

TEST(a_program_without_1_and_2_has_jobs_too, ON_EACH_BACKEND)
{
	int out = fcntl(1, F_DUPFD_CLOEXEC, 3);

	close(1);
	close(2);
	job("descriptors", PLAIT_NONE);
	dup2(out, 1);
	dup2(said[1], 2);
	close(out);
	result_is("0 1 2 4 ");
}

TEST(the_process_has_the_name_of_its_job, ON_EACH_BACKEND)
{
	job("who", PLAIT_NONE);
	result_is("who");
}

GROUP("refused", .setup = begin, .teardown = end);

TEST(a_name_that_is_unknown_is_refused_at_once, ON_EACH_BACKEND)
{
	job_with("poem", plait_text("x"), NULL);
	failed_as(&plait_error_os, ENOENT, "no job has the name \"poem\"");
}

TEST(a_program_that_does_not_ask_first_has_no_jobs, ON_EACH_BACKEND)
{
	plait_process_jobs_main(0, NULL, NULL);
	job_with("shout", plait_text("x"), NULL);
	plait_process_jobs_main(0, NULL, jobs);
	failed_as(&plait_error_os, EINVAL,
		  "plait_process_jobs_main() was not called");
}

TEST(a_failure_as_argument_is_the_result, ON_EACH_BACKEND)
{
	job_with("shout", plait_fail(&plait_error_user, "no poem"), NULL);
	failed_as(&plait_error_user, 0, "no poem");
}

TEST(reserved_words_are_refused, ON_EACH_BACKEND)
{
	struct plait_process_job_options o = { .reserved = { 1 } };

	job_with("shout", plait_text("x"), &o);
	failed_as(&plait_error_os, EINVAL, "options");
}

/* A user that has found the word in the list of processes. */
static void run_as_job(void *name)
{
	const char *const argv[] = { "suite", "--plait-process-job", name,
				     NULL };

	close(3);
	close(4);
	execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
}

TEST(who_calls_it_without_its_pipes_is_told, ON_EACH_BACKEND)
{
	const char *what;

	ck_assert_int_eq(child_run(run_as_job, (void *)"shout", &what), 127);
	ck_assert_str_eq(what, "plait: --plait-process-job is for "
			       "plait_defer_to_process() only\n");
	ck_assert_int_eq(child_run(run_as_job, (void *)"poem", &what), 127);
	ck_assert_str_eq(what, "plait: --plait-process-job names no job of "
			       "this program\n");
}

struct cut {
	size_t size; /* that is announced */
	size_t len;  /* of what is there */
};

static const struct cut cuts[] = { { 0, 0 }, { 0, 15 }, { 5, 16 }, { 5, 20 } };

static void run_with_cut(void *arg)
{
	const char *const argv[] = { "suite", "--plait-process-job", "write",
				     NULL };
	const struct cut *cut = arg;
	uint64_t words[3] = { cut->size };
	int in[2];

	if (pipe(in) < 0 || write(in[1], words, cut->len) != (ssize_t)cut->len)
		_exit(1);
	dup2(in[0], 3);
	dup2(2, 4);
	for (int fd = 5; fd < 100; fd++)
		close(fd);
	execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
}

/* Whoever has begun it is gone. */
TEST(a_job_whose_argument_is_cut_short_is_not_done, ON_EACH_BACKEND,
     EACH_OF(cuts))
{
	const char *what;

	ck_assert_int_eq(
		child_run(run_with_cut, (void *)(uintptr_t)&cuts[_i], &what),
		127);
	ck_assert_str_eq(what, "");
}

static void run_for_nobody(void *unused)
{
	const char *const argv[] = { "suite", "--plait-process-job", "text",
				     NULL };
	const char no_argument[16] = "";
	int in[2], out[2];

	if (pipe(in) < 0 || pipe(out) < 0 || write(in[1], no_argument, 16) < 0)
		_exit(1);
	dup2(in[0], 3);
	dup2(out[1], 4);
	for (int fd = 5; fd < 100; fd++)
		close(fd);
	execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
}

TEST(an_answer_that_nobody_wants_ends_its_process, ON_EACH_BACKEND)
{
	const char *what;

	ck_assert_int_eq(child_run(run_for_nobody, NULL, &what), 127);
	ck_assert_str_eq(what, "");
}

TEST(a_process_that_cannot_be_made_is_a_failure, ON_EACH_BACKEND)
{
	fault_call("pipe2", 1, EMFILE);
	job_with("shout", plait_text("x"), NULL);
	failed_as(&plait_error_os, EMFILE, "a process for \"shout\": pipe");
}

static void copy_program(const char *to)
{
	static char piece[1 << 16];
	int in = open("/proc/self/exe", O_RDONLY);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0700);
	ssize_t n;

	ck_assert(in >= 0 && out >= 0);
	while ((n = read(in, piece, sizeof(piece))) > 0)
		ck_assert_int_eq(write(out, piece, (size_t)n), n);
	ck_assert_int_eq(fchmod(out, 0700), 0);
	close(in);
	close(out);
}

TEST(a_program_whose_file_was_replaced_is_the_one_that_runs, ON_EACH_BACKEND)
{
	char path[] = "/tmp/test_process_job.XXXXXX";
	int fd = mkstemp(path);
	const char *const argv[] = { path, replaced, NULL };
	pid_t pid;

	ck_assert_int_ge(fd, 0);
	close(fd);
	copy_program(path);
	say_again();
	pid = fork();
	if (pid == 0) {
		execv(path, (char *const *)(uintptr_t)argv);
		perror(path);
		_exit(4);
	}
	child_ends(pid);
	unlink(path);
}

/* ---- cancelling ------------------------------------------------------------
 */

GROUP("cancel", .setup = begin, .teardown = end);

/* The kernel ends it, and the next event is that. */
TEST(a_job_that_spins_is_gone_within_a_turn_of_its_cancel, ON_EACH_BACKEND)
{
	siginfo_t info;

	job_with("spin", PLAIT_NONE, NULL);
	await_pid();
	plait_deferred_cancel(d);
	failed_as(&plait_error_cancelled, 0, "");
	ck_assert_int_eq(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);
	ck_assert_int_eq(info.si_status, SIGKILL);
	run_turns(reactor, 1);
	ck_assert(nobody_is_left(NULL));
}

static void begin_and_die(void)
{
	job_with("spin", PLAIT_NONE, NULL);
	while (!something_was_said(NULL))
		plait_reactor_iterate(reactor, 0.01);
	kill(getpid(), SIGKILL);
}

/* Neither a callback nor a destructor of its parent runs. */
TEST(a_job_dies_with_the_program, ON_EACH_BACKEND)
{
	pid_t pid, parent = fork();
	int status;

	if (parent == 0) {
		plait_reactor_free(&reactor);
		reactor = plait_reactor_new(backend);
		begin_and_die();
	}
	ck_assert_int_eq(waitpid(parent, &status, 0), parent);
	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(read(said[0], &pid, sizeof(pid)), sizeof(pid));
	run_until(reactor, is_gone, &pid);
}

TEST(a_job_that_has_not_begun_yet_is_killed_too, ON_EACH_BACKEND)
{
	job_with("spin", PLAIT_NONE, NULL);
	plait_deferred_cancel(d);
	failed_as(&plait_error_cancelled, 0, "");
	run_until(reactor, nobody_is_left, NULL);
	ck_assert(!something_was_said(NULL));
}

static const char *const with_children[] = { "spin with a child",
					     "spin elsewhere" };

TEST(what_a_job_has_started_is_killed_with_it, ON_EACH_BACKEND,
     EACH_OF(with_children))
{
	pid_t pid;

	job_with(with_children[_i], PLAIT_NONE, NULL);
	pid = await_pid();
	if (_i == 0)
		await_pid();
	plait_deferred_cancel(d);
	run_until(reactor, nobody_is_left, NULL);
	run_until(reactor, is_gone, &pid);
}

TEST(what_a_job_leaves_behind_is_killed, ON_EACH_BACKEND)
{
	pid_t pid;

	job("end with a child", PLAIT_NONE);
	result_is("");
	pid = await_pid();
	run_until(reactor, is_gone, &pid);
}

static plait_value note(plait_value *v, void *flag)
{
	*(bool *)flag = true;
	return PLAIT_NONE;
}

TEST(a_scope_kills_it_and_ends_when_it_is_gone, ON_EACH_BACKEND)
{
	struct plait_scope *s = plait_scope_new(reactor);
	struct plait_process_job_options o = { .scope = s };
	struct plait_deferred *closing;
	bool closed = false;

	job_with("spin", PLAIT_NONE, &o);
	await_pid();
	closing = plait_scope_close(&s);
	plait_deferred_add_both(closing, note, &closed);
	failed_as(&plait_error_cancelled, 0, "");
	ck_assert(!closed);
	run_until_set(reactor, &closed);
	ck_assert(nobody_is_left(NULL));
	plait_deferred_free(&closing);
}

static struct plait_scope *scope;
static bool emptied;

static plait_value close_scope(plait_value *v, void *unused)
{
	struct plait_deferred *closing = plait_scope_close(&scope);

	plait_deferred_add_both(closing, note, &emptied);
	plait_deferred_detach(&closing);
	return *v;
}

static void job_and_close(const char *name, plait_value argument)
{
	struct plait_process_job_options o = { .max_result = 100 };

	emptied = false;
	o.scope = scope = plait_scope_new(reactor);
	fired = false;
	d = plait_defer_to_process(reactor, name, argument, &o);
	plait_deferred_add_both(d, close_scope, NULL);
	plait_deferred_add_both(d, keep, NULL);
}

TEST(its_own_callback_may_close_the_scope, ON_EACH_BACKEND)
{
	job_and_close("shout", plait_text("poem"));
	run_until_set(reactor, &emptied);
	result_is("POEM");
	ck_assert(nobody_is_left(NULL));
}

static plait_value free_reactor(plait_value *v, void *unused)
{
	plait_reactor_free(&reactor);
	return *v;
}

/* The second one waits for the process of the first. */
TEST(the_callback_of_a_scope_may_free_the_reactor, ON_EACH_BACKEND, TIMES(2))
{
	struct plait_scope *s = plait_scope_new(reactor);
	struct plait_process_job_options one = { .max_processes = 1 };
	struct plait_process_job_options o = one;
	struct plait_deferred *first = NULL;
	bool noted = false;

	if (_i == 1) {
		first = plait_defer_to_process(reactor, "spin", PLAIT_NONE,
					       &one);
		plait_deferred_add_both(first, note, &noted);
	}
	o.scope = s;
	d = plait_defer_to_process(reactor, "spin", PLAIT_NONE, &o);
	plait_deferred_add_both(d, free_reactor, NULL);
	plait_deferred_add_both(d, keep, NULL);
	plait_deferred_detach(&d);
	plait_scope_cancel(s, "test");
	ck_assert(fired);
	ck_assert(plait_scope_is_empty(s));
	plait_scope_free(&s);
	ck_assert(noted == (_i == 1));
	plait_deferred_free(&first);
}

TEST(in_a_scope_that_is_over_nothing_begins, ON_EACH_BACKEND)
{
	struct plait_scope *s = plait_scope_new(reactor);
	struct plait_process_job_options o = { .scope = s };

	plait_scope_cancel(s, "test");
	job_with("spin", PLAIT_NONE, &o);
	failed_as(&plait_error_cancelled, 0, "");
	plait_scope_free(&s);
}

/* ---- many ---------------------------------------------------------------- */

enum { MANY = 6 };

static struct plait_deferred *many[MANY];
static char order[32];
static unsigned refused;
static const char letters[] = "abcdef";

/* What has no process is told of where the test has begun it. */
static void check_loss(const plait_value *v)
{
	const struct plait_failure *f;

	if (!plait_value_is_failure(v))
		return;
	f = plait_value_failure(v);
	refused += plait_failure_check(f, &plait_error_pool_full);
	if (plait_failure_check(f, &plait_error_abandoned))
		ck_assert_ptr_nonnull(strstr(plait_failure_where(f),
					     "tests/test_process_job.c"));
}

static plait_value note_order(plait_value *v, void *letter)
{
	size_t len = strlen(order);

	order[len] = *(const char *)letter;
	order[len + 1] = '\0';
	check_loss(v);
	plait_value_free(v);
	plait_deferred_free(&many[(const char *)letter - letters]);
	return PLAIT_NONE;
}

static void begin_many(const char *name, unsigned at_a_time, size_t queue)
{
	struct plait_process_job_options o = { .max_processes = at_a_time,
					       .max_queue = queue };

	order[0] = '\0';
	refused = 0;
	for (int i = 0; i < MANY; i++) {
		many[i] = plait_defer_to_process(reactor, name, PLAIT_NONE, &o);
		plait_deferred_add_both(many[i], note_order,
					(void *)(uintptr_t)&letters[i]);
	}
}

static bool order_has(void *n)
{
	return strlen(order) >= *(const size_t *)n;
}

static void end_many(void)
{
	for (int i = 0; i < MANY; i++)
		plait_deferred_free(&many[i]);
	run_until(reactor, nobody_is_left, NULL);
	end();
}

GROUP("many", .setup = begin, .teardown = end_many);

TEST(jobs_wait_for_their_turn_in_order, ON_EACH_BACKEND)
{
	size_t all = MANY;

	for (int i = 0; i < 2; i++) {
		begin_many("nothing", 1, MANY - 1);
		run_until(reactor, order_has, &all);
		ck_assert_str_eq(order, letters);
		ck_assert_uint_eq(refused, 0);
	}
}

/* The second is begun by the loop, when the first is gone. */
TEST(one_that_waits_fails_from_the_loop, ON_EACH_BACKEND)
{
	size_t all = MANY;

	begin_many("nothing", 1, 0);
	run_turns(reactor, 1);
	fault_call("pipe2", 1, EMFILE);
	run_until(reactor, order_has, &all);
	ck_assert(fault_used("pipe2"));
	ck_assert_str_eq(order, "abcdef");
}

static struct plait_scope *ends_with_it;

static plait_value end_the_scope(plait_value *v, void *unused)
{
	ck_assert_int_eq(plait_failure_errno(plait_value_failure(v)), EMFILE);
	plait_value_free(v);
	plait_deferred_free(&many[1]);
	plait_scope_cancel(ends_with_it, "one has failed");
	strcat(order, "x");
	return PLAIT_NONE;
}

/* Whoever begins several jobs ends all of them when one has failed. */
TEST(one_that_fails_may_end_the_scope_that_it_is_in, ON_EACH_BACKEND)
{
	struct plait_process_job_options o = { .max_processes = 1 };
	size_t all = 3;

	order[0] = '\0';
	ends_with_it = o.scope = plait_scope_new(reactor);
	for (int i = 0; i < 3; i++)
		many[i] = plait_defer_to_process(reactor, "nothing", PLAIT_NONE,
						 &o);
	plait_deferred_add_both(many[0], note_order,
				(void *)(uintptr_t)&letters[0]);
	plait_deferred_add_errback(many[1], end_the_scope, NULL);
	plait_deferred_add_both(many[2], note_order,
				(void *)(uintptr_t)&letters[2]);
	run_turns(reactor, 1);
	fault_call("pipe2", 1, EMFILE);
	run_until(reactor, order_has, &all);
	ck_assert_str_eq(order, "acx");
	plait_scope_free(&ends_with_it);
}

static unsigned children(void)
{
	unsigned n = 0;
	siginfo_t info;

	while (n < MANY && something_was_said(NULL)) {
		pid_t pid;

		ck_assert_int_eq(read(said[0], &pid, sizeof(pid)), sizeof(pid));
		info.si_pid = 0;
		waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
		n += info.si_pid == 0;
	}
	return n;
}

TEST(no_more_have_a_process_than_may, ON_EACH_BACKEND)
{
	begin_many("wait", 2, 0);
	await_pid();
	await_pid();
	run_turns(reactor, 20);
	ck_assert_uint_eq(children(), 0);
	/* Those that are cancelled make room. */
	plait_deferred_cancel(many[0]);
	plait_deferred_cancel(many[1]);
	await_pid();
	await_pid();
	ck_assert_str_eq(order, "ab");
}

TEST(a_job_that_waits_and_is_cancelled_never_begins, ON_EACH_BACKEND)
{
	begin_many("wait", 1, 0);
	await_pid();
	for (int i = 1; i < MANY; i++)
		plait_deferred_cancel(many[i]);
	ck_assert_str_eq(order, "bcdef");
	plait_deferred_cancel(many[0]);
	run_until(reactor, nobody_is_left, NULL);
	run_turns(reactor, 5);
	ck_assert(!something_was_said(NULL));
}

TEST(a_queue_that_is_full_refuses, ON_EACH_BACKEND)
{
	begin_many("wait", 1, 4);
	ck_assert_str_eq(order, "f");
	d = plait_defer_to_process(
		reactor, "wait", PLAIT_NONE,
		&(struct plait_process_job_options){ .max_queue = 4 });
	plait_deferred_add_both(d, keep, NULL);
	failed_as(&plait_error_pool_full, 0, "4 jobs wait for a process");
}

/* ---- the end of the reactor ---------------------------------------------- */

static void stop_when_said(void *unused)
{
	if (something_was_said(NULL))
		plait_reactor_stop(reactor);
	else
		plait_call_later(reactor, 0.001, stop_when_said, NULL);
}

TEST(a_shutdown_ends_those_that_run_and_those_that_wait, ON_EACH_BACKEND)
{
	begin_many("wait", 1, 0);
	plait_call_when_running(reactor, stop_when_said, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_uint_eq(strlen(order), MANY);
	ck_assert_int_eq(order[0], 'a');
}

/* No job that waits is begun meanwhile. */
static void stop_now(void *unused)
{
	plait_reactor_stop_now(reactor);
}

static plait_value cancel_the_next(plait_value *v, void *unused)
{
	ck_assert(plait_failure_check(plait_value_failure(v),
				      &plait_error_abandoned));
	check_loss(v);
	plait_value_free(v);
	plait_deferred_free(&d);
	plait_deferred_cancel(many[0]);
	return PLAIT_NONE;
}

/* Both are lost, and are to be told. */
TEST(one_that_is_lost_may_cancel_the_next, ON_EACH_BACKEND)
{
	struct plait_process_job_options o = { .max_processes = 1 };

	order[0] = '\0';
	many[1] = plait_defer_to_process(reactor, "wait", PLAIT_NONE, &o);
	plait_deferred_add_both(many[1], note_order,
				(void *)(uintptr_t)&letters[1]);
	d = plait_defer_to_process(reactor, "wait", PLAIT_NONE, &o);
	plait_deferred_add_both(d, cancel_the_next, NULL);
	many[0] = plait_defer_to_process(reactor, "wait", PLAIT_NONE, &o);
	plait_deferred_add_both(many[0], note_order,
				(void *)(uintptr_t)&letters[0]);
	plait_call_when_running(reactor, stop_now, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_uint_eq(strlen(order), 2);
}

TEST(a_reactor_that_is_freed_kills_them, ON_EACH_BACKEND)
{
	struct plait_process_job_options o = { .max_processes = 1 };

	job_with("spin", PLAIT_NONE, &o);
	await_pid();
	many[0] = plait_defer_to_process(reactor, "spin", PLAIT_NONE, &o);
	plait_deferred_add_both(many[0], note_order,
				(void *)(uintptr_t)letters);
	plait_reactor_free(&reactor);
	failed_as(&plait_error_process_job_lost, 0,
		  "spin was ended by signal 9");
	ck_assert_str_eq(order, "a");
	ck_assert(nobody_is_left(NULL));
	reactor = test_reactor_new();
}

static unsigned again;

static plait_value begin_again(plait_value *v, void *unused)
{
	ck_assert(
		!plait_failure_check(plait_value_failure(v), &plait_error_os));
	plait_value_free(v);
	plait_deferred_free(&d);
	if (++again < 300) {
		d = plait_defer_to_process(reactor, "spin", PLAIT_NONE, NULL);
		plait_deferred_add_both(d, begin_again, NULL);
	}
	return PLAIT_NONE;
}

TEST(jobs_that_are_begun_at_the_end_of_a_reactor_fail, ON_EACH_BACKEND)
{
	again = 0;
	d = plait_defer_to_process(reactor, "spin", PLAIT_NONE, NULL);
	plait_deferred_add_both(d, begin_again, NULL);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(again, 300);
	reactor = test_reactor_new();
}

static void end_there(void *first)
{
	if (*(int *)first == 1)
		plait_deferred_cancel(d);
	plait_reactor_free(&reactor);
	plait_deferred_free(&d);
	plait_deferred_free(&many[0]);
}

TEST(a_forked_child_frees_all_in_any_order, ON_EACH_BACKEND, TIMES(2))
{
	struct plait_process_job_options o = { .max_processes = 1 };
	const char *what;

	order[0] = '\0';
	job_with("spin", PLAIT_NONE, &o);
	await_pid();
	many[0] = plait_defer_to_process(reactor, "spin", PLAIT_NONE, &o);
	plait_deferred_add_both(many[0], note_order,
				(void *)(uintptr_t)letters);
	ck_assert_int_eq(child_run(end_there, &_i, &what), 0);
	ck_assert_str_eq(order, "");
	ck_assert(!fired);
	plait_deferred_cancel(d);
	await_pid();
}

/* ---- what fails ---------------------------------------------------------- */

static void whole_job(struct plait_reactor *r)
{
	struct plait_deferred *one;
	siginfo_t info;

	fired = false;
	one = plait_defer_to_process(r, "shout", plait_text("roses"), NULL);
	plait_deferred_add_both(one, keep, NULL);
	run_turns(r, 2);
	/* Waits take no time there: see test_process.c. */
	if (!fired)
		waitid(P_ALL, 0, &info, WEXITED | WNOWAIT);
	run_until_set(r, &fired);
	plait_deferred_free(&one);
	if (!torture_faulty())
		result_is("ROSES");
	else if (plait_value_is_failure(&result))
		ck_assert(plait_failure_check(plait_value_failure(&result),
					      &plait_error_no_memory));
	plait_value_free(&result);
	run_turns(r, 2);
}

GROUP("faults");

TEST(a_virtual_reactor_has_no_processes, PURE)
{
	reactor = plait_testing_reactor_new();
	begin();
	job_with("shout", plait_text("x"), NULL);
	failed_as(&plait_error_os, ENOTSUP,
		  "a process for \"shout\": arguments");
	end();
	plait_reactor_free(&reactor);
}

TEST(it_ends_with_any_allocation_failing, ON_EACH_BACKEND)
{
	torture(whole_job, backend);
}

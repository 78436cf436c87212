/*
 * Children: what they get, what is told of them, and how they end.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <plait/testing.h>

#include "tests/child.h"
#include "tests/harness.h"

/* ---- a child that is noted ------------------------------------------------
 */

enum { LOG = 200, ROOM = 1 << 16 };

/* What it is told, a letter each: S started, r received, c closed, X exited,
   E ended, D done.  Bytes of descriptor 2 are behind those of 1. */
struct child {
	struct plait_process_protocol base;
	char log[LOG], out[ROOM], err[ROOM];
	size_t logged, n_out, n_err;
	struct plait_process_exit how;
	unsigned n_exited, n_ended, n_done, n_received;
	int closed_errno;
	/* What it does, if not NULL. */
	void (*on_started)(struct child *c);
	void (*on_received)(struct child *c);
	void (*on_exited)(struct child *c);
};

static struct child it, other;
static const char *step;

static struct child *child_of(struct plait_process_protocol *p)
{
	return plait_container(p, struct child, base);
}

/* Several bytes may come in one piece or in many. */
static void note(struct child *c, char what)
{
	if (what == 'r' && c->logged > 0 && c->log[c->logged - 1] == 'r')
		return;
	if (c->logged + 1 < LOG)
		c->log[c->logged++] = what;
}

static void child_started(struct plait_process_protocol *p)
{
	note(child_of(p), 'S');
	if (child_of(p)->on_started != NULL)
		child_of(p)->on_started(child_of(p));
}

static void child_received(struct plait_process_protocol *p, int fd,
			   const void *data, size_t len)
{
	struct child *c = child_of(p);

	note(c, 'r');
	c->n_received++;
	if (fd == 2) {
		ck_assert_uint_lt(c->n_err + len, ROOM);
		memcpy(c->err + c->n_err, data, len);
		c->n_err += len;
	} else {
		ck_assert_uint_lt(c->n_out + len, ROOM);
		memcpy(c->out + c->n_out, data, len);
		c->n_out += len;
	}
	if (c->on_received != NULL)
		c->on_received(c);
}

static void child_closed(struct plait_process_protocol *p, int fd,
			 const struct plait_failure *why)
{
	note(child_of(p), 'c');
	child_of(p)->closed_errno = plait_failure_errno(why);
}

static void child_exited(struct plait_process_protocol *p,
			 const struct plait_process_exit *how)
{
	struct child *c = child_of(p);

	note(c, 'X');
	c->how = *how;
	c->n_exited++;
	if (c->on_exited != NULL)
		c->on_exited(c);
}

static void child_ended(struct plait_process_protocol *p,
			const struct plait_process_exit *how)
{
	struct child *c = child_of(p);

	note(c, 'E');
	ck_assert_mem_eq(how, &c->how, sizeof(*how));
	ck_assert_ptr_null(p->process);
	c->n_ended++;
}

static void child_done(struct plait_process_protocol *p)
{
	note(child_of(p), 'D');
	child_of(p)->n_done++;
}

static const struct plait_process_ops child_ops = {
	.name = "child",
	.started = child_started,
	.received = child_received,
	.closed = child_closed,
	.exited = child_exited,
	.ended = child_ended,
	.done = child_done,
};

static void children_init(void)
{
	it = (struct child){ .base.ops = &child_ops };
	other = (struct child){ .base.ops = &child_ops };
	step = NULL;
}

/* What a kernel lacks, or a filter forbids: then a thread waits for each child.
 */
static const struct {
	const char *call; /* NULL: none */
	int err;
} lacks[] = { { NULL, 0 }, { "pidfd_open", ENOSYS } };

static void lack(int i)
{
	if (lacks[i].call != NULL)
		fault_call_forever(lacks[i].call, lacks[i].err);
}

static const struct plait_process_fd talking[] = {
	{ .fd = 0, .kind = PLAIT_PROCESS_READS },
	{ .fd = 1, .kind = PLAIT_PROCESS_WRITES },
	{ .fd = 2, .kind = PLAIT_PROCESS_WRITES },
};

static const struct plait_process_options talks = {
	.fds = talking,
	.n_fds = N_OF(talking),
};

static int spawn(struct child *c, const struct plait_process_options *o,
		 const char *a, const char *b, const char *d)
{
	const char *const argv[] = { a, b, d, NULL };

	return plait_spawn(reactor, argv, &c->base, o, &step);
}

/* A shell does what the text says. */
static void sh(struct child *c, const struct plait_process_options *o,
	       const char *text)
{
	ck_assert_int_eq(spawn(c, o, "/bin/sh", "-c", text), 0);
}

static void wait_for(struct child *c)
{
	run_until_count(reactor, &c->n_done, 1);
}

/* Nothing is left for waitpid() to find. */
static void no_children(void)
{
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}

GROUP("life", .setup = children_init, .teardown = no_children);

TEST(a_child_starts_exits_and_ends_in_this_order, ON_EACH_BACKEND,
     EACH_OF(lacks))
{
	lack(_i);
	sh(&it, NULL, "exit 3");
	ck_assert_str_eq(it.log, "");
	wait_for(&it);
	ck_assert_str_eq(it.log, "SXED");
	ck_assert_int_eq(it.how.code, 3);
	ck_assert_int_eq(it.how.signal, 0);
	ck_assert(!it.how.unknown);
}

TEST(a_child_that_a_signal_ends_says_which, ON_EACH_BACKEND, EACH_OF(lacks))
{
	lack(_i);
	sh(&it, NULL, "kill -USR1 $$");
	wait_for(&it);
	ck_assert_int_eq(it.how.code, -1);
	ck_assert_int_eq(it.how.signal, SIGUSR1);
}

TEST(what_it_writes_is_received_before_its_end, ON_EACH_BACKEND, EACH_OF(lacks))
{
	lack(_i);
	sh(&it, &talks, "echo out; echo err >&2; exec <&-");
	wait_for(&it);
	ck_assert_str_eq(it.out, "out\n");
	ck_assert_str_eq(it.err, "err\n");
	ck_assert_uint_eq(it.n_ended, 1);
	ck_assert_int_eq(it.how.code, 0);
}

static void say_and_close(struct child *c)
{
	struct plait_transport *t = plait_process_transport(&c->base, 0);

	plait_transport_write(t, "a poem\n", 7);
	plait_transport_lose_connection(t);
}

TEST(it_reads_what_is_written_and_then_the_end, ON_EACH_BACKEND)
{
	it.on_started = say_and_close;
	ck_assert_int_eq(spawn(&it, &talks, "cat", NULL, NULL), 0);
	wait_for(&it);
	ck_assert_str_eq(it.out, "a poem\n");
	ck_assert_int_eq(it.closed_errno, 0);
}

static void say_and_shut(struct child *c)
{
	struct plait_transport *t = plait_process_transport(&c->base, 0);

	plait_transport_write(t, "a poem\n", 7);
	plait_transport_lose_write_connection(t);
}

TEST(to_shut_its_input_is_to_close_it, ON_EACH_BACKEND)
{
	it.on_started = say_and_shut;
	ck_assert_int_eq(spawn(&it, &talks, "cat", NULL, NULL), 0);
	wait_for(&it);
	ck_assert_str_eq(it.out, "a poem\n");
}

static void write_much(struct child *c)
{
	static char much[1 << 20];

	plait_transport_write(plait_process_transport(&c->base, 0), much,
			      sizeof(much));
}

/* A turn of iterate() has no handler for SIGPIPE. */
TEST(a_child_that_reads_no_more_breaks_the_pipe_and_kills_nobody,
     ON_EACH_BACKEND)
{
	it.on_started = write_much;
	sh(&it, &talks, "exec <&-; exit 0");
	wait_for(&it);
	ck_assert_str_eq(it.out, "");
	ck_assert_uint_eq(it.n_exited, 1);
}

static size_t forgotten;

static void forget_output(struct child *c)
{
	forgotten += c->n_out;
	c->n_out = 0;
}

static void pause_output(struct child *c)
{
	plait_transport_pause_reading(plait_process_transport(&c->base, 1));
}

/* More than a pipe holds: it cannot end before it is read. */
TEST(a_child_that_is_paused_waits, ON_EACH_BACKEND)
{
	it.on_started = pause_output;
	sh(&it, &talks,
	   "head -c 200000 /dev/zero | tr '\\0' x | head -c 60000; "
	   "head -c 60000 /dev/zero | tr '\\0' y");
	for (int i = 0; i < 20; i++)
		plait_reactor_iterate(reactor, 0.001);
	ck_assert_uint_eq(it.n_out, 0);
	ck_assert_uint_eq(it.n_exited, 0);
	plait_transport_resume_reading(plait_process_transport(&it.base, 1));
	it.n_out = 0;
	it.on_received = forget_output;
	wait_for(&it);
	ck_assert_uint_eq(forgotten, 120000);
	ck_assert_int_eq(it.how.code, 0);
}

TEST(many_in_one_turn_all_end, ON_EACH_BACKEND, EACH_OF(lacks))
{
	static struct child many[200];

	lack(_i);
	for (int i = 0; i < N_OF(many); i++) {
		many[i] = (struct child){ .base.ops = &child_ops };
		ck_assert_int_eq(spawn(&many[i], NULL, "/bin/true", NULL, NULL),
				 0);
	}
	for (int i = 0; i < N_OF(many); i++) {
		wait_for(&many[i]);
		ck_assert_str_eq(many[i].log, "SXED");
		ck_assert_int_eq(many[i].how.code, 0);
	}
}

/* A child that has set itself up says so. */
static void wait_for_word(struct child *c)
{
	run_until_count(reactor, &c->n_received, 1);
}

/* ---- what it cannot be made with ------------------------------------------
 */

static void fails(const struct plait_process_options *o, const char *file,
		  int err, const char *what)
{
	ck_assert_int_eq(spawn(&it, o, file, NULL, NULL), err);
	ck_assert_str_eq(step, what);
	ck_assert_ptr_null(it.base.process);
	run_turns(reactor, 3);
	ck_assert_str_eq(it.log, "");
	no_children();
}

GROUP("failures", .setup = children_init, .teardown = no_children);

TEST(a_program_that_is_not_there_fails_at_once, ON_EACH_BACKEND, EACH_OF(lacks))
{
	lack(_i);
	fails(&talks, "/nonexistent/poem", -ENOENT, "exec");
	fails(&talks, "no-program-has-this-name", -ENOENT, "exec");
	fails(&talks, "", -ENOENT, "exec");
}

TEST(a_file_that_is_no_program_fails_at_once, ON_EACH_BACKEND)
{
	char path[] = "/tmp/plait-XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	fails(NULL, "/etc", -EACCES, "exec");
	fails(NULL, path, -EACCES, "exec");
	ck_assert_int_eq(fchmod(fd, 0700), 0);
	ck_assert_int_eq(write(fd, "poem", 4), 4);
	close(fd);
	fails(NULL, path, -ENOEXEC, "exec");
	unlink(path);
}

/* The kernel's limit of one argument is 128 KiB. */
TEST(arguments_that_are_too_long_fail_at_once, ON_EACH_BACKEND)
{
	static char much[1 << 18];

	memset(much, 'x', sizeof(much) - 1);
	ck_assert_int_eq(spawn(&it, &talks, "/bin/true", much, NULL), -E2BIG);
	ck_assert_str_eq(step, "exec");
	no_children();
}

/* Of a user who may not have more processes than there are. */
static void spawn_over_the_limit(void *i)
{
	static const struct rlimit one = { 1, 1 };
	struct plait_reactor *r = plait_reactor_new(NULL);
	static const char *const argv[] = { "/bin/true", NULL };

	children_init();
	lack(*(int *)i);
	if (setrlimit(RLIMIT_NPROC, &one) < 0 ||
	    (getuid() == 0 && setuid(65534) < 0))
		_exit(1);
	ck_assert_int_eq(plait_spawn(r, argv, &it.base, NULL, &step), -EAGAIN);
	ck_assert_str_eq(step, *(int *)i == 0 ? "clone" : "waiter");
	plait_reactor_free(&r);
}

TEST(where_no_more_processes_are_allowed_there_is_no_child, PURE,
     EACH_OF(lacks))
{
	const char *said;

	ck_assert_int_eq(child_run(spawn_over_the_limit, &_i, &said), 0);
}

static void allow_descriptors(struct rlimit *limit, unsigned n)
{
	limit->rlim_cur = n;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, limit), 0);
}

static const struct plait_process_fd scattered[] = {
	{ .fd = 0, .kind = PLAIT_PROCESS_READS },
	{ .fd = 1, .kind = PLAIT_PROCESS_TERMINAL },
	{ .fd = 2, .kind = PLAIT_PROCESS_WRITES },
	{ .fd = 5, .kind = PLAIT_PROCESS_WRITES },
};

/* One more descriptor each time: each step fails once for want of one. */
TEST(with_too_few_descriptors_there_is_no_child_and_nothing_is_left,
     ON_EACH_BACKEND, EACH_OF(lacks))
{
	const struct plait_process_options o = { .fds = scattered,
						 .n_fds = N_OF(scattered),
						 .pty = true };
	struct rlimit before, limit;
	unsigned n = (unsigned)dup(0), n_failed = 0;
	int rc;

	lack(_i);
	close((int)n);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	while (allow_descriptors(&limit, n),
	       rc = spawn(&it, &o, "/bin/true", NULL, NULL), rc != 0) {
		ck_assert_int_eq(rc, -EMFILE);
		ck_assert_ptr_nonnull(step);
		no_children();
		n++;
		n_failed++;
	}
	ck_assert_uint_ge(n_failed, 8);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	wait_for(&it);
	ck_assert_int_eq(it.how.code, 0);
}

TEST(a_directory_that_is_not_there_is_named_as_the_step, ON_EACH_BACKEND)
{
	fails(&(struct plait_process_options){ .cwd = "/nonexistent" },
	      "/bin/true", -ENOENT, "chdir");
}

static const struct plait_process_fd bad_fds[][2] = {
	{ { .fd = 1 }, { .fd = 1 } },
	{ { .fd = 1 }, { .fd = -1 } },
	{ { .fd = 1 }, { .fd = 2, .kind = 9 } },
};

TEST(descriptors_that_make_no_sense_are_refused, ON_EACH_BACKEND,
     EACH_OF(bad_fds))
{
	fails(&(struct plait_process_options){ .fds = bad_fds[_i], .n_fds = 2 },
	      "/bin/true", -EINVAL, "options");
}

TEST(a_descriptor_that_is_not_open_cannot_be_inherited, ON_EACH_BACKEND)
{
	const struct plait_process_fd fd = { .fd = 1,
					     .kind = PLAIT_PROCESS_INHERIT,
					     .from = 999 };

	fails(&(struct plait_process_options){ .fds = &fd, .n_fds = 1 },
	      "/bin/true", -EBADF, "dup");
}

/* Each call of this process and of the child, and what the step is called. */
static const struct {
	const char *call;
	int err;
	const char *step;
} steps[] = {
	{ "pipe2", EMFILE, "pipe" },   { "fcntl", EINVAL, "pipe" },
	{ "clone", EAGAIN, "clone" },  { "dup2", EMFILE, "dup2" },
	{ "setsid", EPERM, "setsid" }, { "setgroups", EPERM, "setgroups" },
	{ "setgid", EPERM, "setgid" }, { "setuid", EPERM, "setuid" },
	{ "chdir", EACCES, "chdir" },  { "execve", ENOMEM, "exec" },
	{ "execve", ETXTBSY, "exec" },
};

TEST(whatever_fails_is_told_with_its_errno, ON_EACH_BACKEND, EACH_OF(steps))
{
	struct plait_process_options o = talks;

	o.new_session = o.set_ids = true;
	o.uid = getuid();
	o.gid = getgid();
	o.cwd = "/";
	fault_call(steps[_i].call, 1, steps[_i].err);
	fails(&o, "/bin/true", -steps[_i].err, steps[_i].step);
	ck_assert(fault_used(steps[_i].call));
}

TEST(without_the_call_that_marks_all_descriptors_each_is_marked,
     ON_EACH_BACKEND)
{
	int fd = dup(2);

	ck_assert_int_ge(fd, 3);
	fault_call("close_range", 1, ENOSYS);
	sh(&it, &talks, "ls /proc/self/fd | wc -l");
	wait_for(&it);
	/* 0, 1, 2, and the directory itself. */
	ck_assert_str_eq(it.out, "4\n");
	ck_assert(fault_used("close_range"));
	close(fd);
}

TEST(without_any_way_to_mark_them_there_is_no_child, ON_EACH_BACKEND)
{
	fault_call("close_range", 1, ENOSYS);
	fault_call("getdents64", 1, EACCES);
	fails(&talks, "/bin/true", -EACCES, "/proc/self/fd");
}

/* Where waits take no time, a child would seem to last for ever.  What it has
   to say fits into its pipes. */
static void let_it_end(const struct child *c)
{
	siginfo_t info;

	waitid(P_PID, (id_t)plait_process_pid(&c->base), &info,
	       WEXITED | WNOWAIT);
}

static void spawn_and_wait(struct plait_reactor *r)
{
	static struct child c;
	static const char *const argv[] = { "/bin/echo", "poem", NULL };
	int rc;

	c = (struct child){ .base.ops = &child_ops };
	rc = plait_spawn(r, argv, &c.base, &talks, NULL);
	if (rc == 0) {
		let_it_end(&c);
		run_until_count(r, &c.n_done, 1);
	} else {
		ck_assert(torture_faulty());
	}
	if (!torture_faulty()) {
		ck_assert_str_eq(c.out, "poem\n");
		ck_assert_int_eq(c.how.code, 0);
	}
}

TEST(a_child_lives_with_any_allocation_failing, ON_EACH_BACKEND)
{
	torture(spawn_and_wait, backend);
}

TEST(a_protocol_has_one_child_at_a_time, ON_EACH_BACKEND)
{
	sh(&it, NULL, "exit 0");
	ck_assert_int_eq(spawn(&it, NULL, "/bin/true", NULL, NULL), -EBUSY);
	wait_for(&it);
	sh(&it, NULL, "exit 1");
	run_until_count(reactor, &it.n_done, 2);
	ck_assert_int_eq(it.how.code, 1);
}

TEST(what_the_program_cannot_mean_is_refused, ON_EACH_BACKEND)
{
	const char *const none[] = { NULL };
	struct plait_process_options o = { .reserved[0] = 1 };

	ck_assert_int_eq(plait_spawn(reactor, NULL, &it.base, NULL, NULL),
			 -EINVAL);
	ck_assert_int_eq(plait_spawn(reactor, none, &it.base, NULL, NULL),
			 -EINVAL);
	fails(&o, "/bin/true", -EINVAL, "arguments");
}

TEST(a_testing_reactor_has_no_children, PURE)
{
	struct plait_reactor *r = plait_testing_reactor_new();
	const char *const argv[] = { "/bin/true", NULL };

	children_init();
	ck_assert_int_eq(plait_spawn(r, argv, &it.base, NULL, NULL), -ENOTSUP);
	plait_reactor_free(&r);
}

/* ---- what it gets ----------------------------------------------------------
 */

GROUP("surroundings", .setup = children_init, .teardown = no_children);

static void says(const struct plait_process_options *o, const char *text,
		 const char *expected)
{
	struct plait_process_options with = o != NULL ? *o : talks;

	if (with.fds == NULL) {
		with.fds = talking;
		with.n_fds = N_OF(talking);
	}
	children_init();
	sh(&it, &with, text);
	wait_for(&it);
	ck_assert_str_eq(it.err, "");
	ck_assert_str_eq(it.out, expected);
}

TEST(it_has_the_descriptors_that_were_asked_for_and_no_others, ON_EACH_BACKEND)
{
	int leaked = dup(2);

	says(NULL, "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 ");
	close(leaked);
}

/* Each of these numbers is also one that is copied from. */
TEST(descriptors_may_change_places, ON_EACH_BACKEND)
{
	int a[2], b[2];
	char c, d;

	ck_assert_int_eq(pipe2(a, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(b, O_CLOEXEC), 0);
	const struct plait_process_fd fds[] = {
		{ .fd = a[1], .kind = PLAIT_PROCESS_INHERIT, .from = b[1] },
		{ .fd = b[1], .kind = PLAIT_PROCESS_INHERIT, .from = a[1] },
		{ .fd = 2, .kind = PLAIT_PROCESS_NULL },
	};
	char text[100];

	snprintf(text, sizeof(text),
		 "printf a >/proc/self/fd/%d; "
		 "printf b >/proc/self/fd/%d",
		 a[1], b[1]);
	sh(&it, &(struct plait_process_options){ .fds = fds, .n_fds = 3 },
	   text);
	wait_for(&it);
	ck_assert_int_eq(read(a[0], &c, 1), 1);
	ck_assert_int_eq(read(b[0], &d, 1), 1);
	ck_assert_int_eq(c, 'b');
	ck_assert_int_eq(d, 'a');
	for (int i = 0; i < 2; i++) {
		close(a[i]);
		close(b[i]);
	}
}

TEST(a_high_number_is_a_pipe_like_any_other, ON_EACH_BACKEND)
{
	const struct plait_process_fd fd = { .fd = 9,
					     .kind = PLAIT_PROCESS_WRITES };

	sh(&it, &(struct plait_process_options){ .fds = &fd, .n_fds = 1 },
	   "echo poem >&9");
	wait_for(&it);
	ck_assert_str_eq(it.out, "poem\n");
}

static void close_standard(void *unused)
{
	struct plait_reactor *r;
	static const char *const argv[] = { "/bin/sh", "-c",
					    "cat; echo err >&2", NULL };

	close(0);
	close(1);
	close(2);
	r = plait_reactor_new(NULL);
	children_init();
	it.on_started = say_and_close;
	ck_assert_int_eq(plait_spawn(r, argv, &it.base, &talks, NULL), 0);
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			_exit(2);
	}
	run_until_count(r, &it.n_done, 1);
	if (strcmp(it.out, "a poem\n") != 0 || strcmp(it.err, "err\n") != 0)
		_exit(1);
	plait_reactor_free(&r);
}

TEST(a_program_without_0_1_and_2_gives_its_child_the_right_ones, PURE)
{
	const char *said;

	ck_assert_int_eq(child_run(close_standard, NULL, &said), 0);
}

/* The child's own descriptor gets another number than 0, or there is no child.
 */
static void close_input(void *unused)
{
	const struct plait_process_options o = { .fds = talking };
	struct plait_reactor *r = plait_reactor_new(NULL);
	static const char *const argv[] = { "/bin/sleep", "1000", NULL };

	close(0);
	children_init();
	fault_call("fcntl", 1, EMFILE);
	ck_assert_int_eq(plait_spawn(r, argv, &it.base, &o, &step), -EMFILE);
	ck_assert_str_eq(step, "pidfd");
	no_children();
	plait_reactor_free(&r);
}

TEST(without_room_for_its_descriptor_there_is_no_child, PURE)
{
	const char *said;

	ck_assert_int_eq(child_run(close_input, NULL, &said), 0);
}

static void close_input_of_one_that_cannot_be_killed(void *unused)
{
	const struct plait_process_options o = { .fds = talking };
	struct plait_reactor *r = plait_reactor_new(NULL);
	static const char *const argv[] = {
		"/bin/sh", "-c", "while kill -0 $PPID; do sleep 1; done", NULL
	};

	close(0);
	children_init();
	fault_call("fcntl", 1, EMFILE);
	fault_call("kill", 1, EPERM);
	ck_assert_int_eq(plait_spawn(r, argv, &it.base, &o, &step), -EMFILE);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), 0);
	plait_reactor_free(&r);
}

/* Its program may run for ever, as another user. */
TEST(a_child_that_cannot_be_killed_is_not_waited_for, PURE)
{
	const char *said;

	ck_assert_int_eq(child_run(close_input_of_one_that_cannot_be_killed,
				   NULL, &said),
			 0);
}

static void close_output(void *unused)
{
	struct plait_reactor *r = plait_reactor_new(NULL);
	static const char *const argv[] = { "/bin/echo", "poem", NULL };

	close(1);
	children_init();
	ck_assert_int_eq(plait_spawn(r, argv, &it.base, NULL, NULL), 0);
	run_until_count(r, &it.n_done, 1);
	plait_reactor_free(&r);
	if (it.how.code != 0)
		_exit(1);
}

TEST(a_child_of_a_program_without_output_writes_to_null, PURE)
{
	const char *said;

	ck_assert_int_eq(child_run(close_output, NULL, &said), 0);
}

TEST(no_signal_is_blocked_or_ignored_there, ON_EACH_BACKEND)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, before, usr;
	sigset_t set, old;

	sigaction(SIGPIPE, &ignore, &before);
	sigaction(SIGUSR2, &ignore, &usr);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	says(NULL, "grep -E '^Sig(Blk|Ign)' /proc/self/status | cut -f2",
	     "0000000000000000\n0000000000000000\n");
	pthread_sigmask(SIG_SETMASK, &old, &set);
	ck_assert(sigismember(&set, SIGUSR1));
	sigaction(SIGPIPE, &before, NULL);
	sigaction(SIGUSR2, &usr, NULL);
}

TEST(it_runs_where_it_is_told_to, ON_EACH_BACKEND)
{
	says(&(struct plait_process_options){ .cwd = "/" }, "pwd", "/\n");
}

TEST(arguments_arrive_as_they_are, ON_EACH_BACKEND)
{
	const char *const argv[] = {
		"/bin/sh", "-c", "for x; do echo \"($x)\"; done",
		"sh",	   "",	 "a \"rose\" is",
		"'$x'\t*", "\\", NULL
	};

	ck_assert_int_eq(plait_spawn(reactor, argv, &it.base, &talks, NULL), 0);
	wait_for(&it);
	ck_assert_str_eq(it.out, "()\n(a \"rose\" is)\n('$x'\t*)\n(\\)\n");
}

TEST(a_script_is_run_by_its_first_line, ON_EACH_BACKEND)
{
	static const char text[] = "#!/bin/sh\necho \"a $1\"\n";
	char path[] = "/tmp/plait-XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_eq(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	ck_assert_int_eq(fchmod(fd, 0700), 0);
	close(fd);
	ck_assert_int_eq(spawn(&it, &talks, path, "rose", NULL), 0);
	wait_for(&it);
	unlink(path);
	ck_assert_str_eq(it.out, "a rose\n");
}

/* Only root may do this. */
TEST(it_may_run_as_another_user, ON_EACH_BACKEND)
{
	const struct plait_process_options o = { .set_ids = true,
						 .uid = 65533,
						 .gid = 65532 };

	if (getuid() != 0)
		return;
	says(&o, "echo $(id -u) $(id -g) $(id -G)", "65533 65532 65532\n");
	ck_assert_uint_eq(getuid(), 0);
	ck_assert_uint_eq(getgid(), 0);
}

TEST(it_has_the_environment_that_it_is_given, ON_EACH_BACKEND)
{
	const char *const env[] = { "POEM=a poem", NULL };

	says(&(struct plait_process_options){ .env = env }, "echo $POEM",
	     "a poem\n");
	setenv("PLAIT_TEST_POEM", "another", 1);
	says(NULL, "echo $PLAIT_TEST_POEM", "another\n");
	unsetenv("PLAIT_TEST_POEM");
}

TEST(its_name_may_be_another_than_its_file, ON_EACH_BACKEND)
{
	const char *const argv[] = { "poet", "-c", "echo $0", NULL };
	struct plait_process_options o = talks;

	o.file = "/bin/sh";
	ck_assert_int_eq(plait_spawn(reactor, argv, &it.base, &o, NULL), 0);
	wait_for(&it);
	ck_assert_str_eq(it.out, "poet\n");
}

TEST(a_program_is_looked_for_in_path, ON_EACH_BACKEND)
{
	char *path = strdup(getenv("PATH"));

	setenv("PATH", "/nonexistent::/dev/null:/bin:/usr/bin", 1);
	ck_assert_int_eq(spawn(&it, NULL, "true", NULL, NULL), 0);
	wait_for(&it);
	unsetenv("PATH");
	ck_assert_int_eq(spawn(&other, NULL, "true", NULL, NULL), 0);
	wait_for(&other);
	setenv("PATH", path, 1);
	free(path);
}

TEST(a_group_and_a_session_are_its_own, ON_EACH_BACKEND)
{
	struct plait_process_options o = talks;

	o.new_group = true;
	says(&o, "test $(ps -o pgid= -p $$) = $$ && echo yes", "yes\n");
	o.new_session = true;
	says(&o, "test $(ps -o sid= -p $$) = $$ && echo yes", "yes\n");
}

static int held[2];

static void make_a_child_and_die(void *unused)
{
	static const char *const argv[] = { "sleep", "1000", NULL };
	struct plait_reactor *r = plait_reactor_new(NULL);
	const struct plait_process_fd fd = { .fd = 1,
					     .kind = PLAIT_PROCESS_INHERIT,
					     .from = held[1] };
	struct plait_process_options o = { .fds = &fd,
					   .n_fds = 1,
					   .die_with_parent = true };

	children_init();
	_exit(plait_spawn(r, argv, &it.base, &o, NULL) == 0 ? 0 : 1);
}

/* The pipe ends when nobody has it any more. */
TEST(it_may_die_with_the_one_who_has_made_it, PURE)
{
	const char *said;
	char c;

	ck_assert_int_eq(pipe2(held, O_CLOEXEC), 0);
	ck_assert_int_eq(child_run(make_a_child_and_die, NULL, &said), 0);
	close(held[1]);
	ck_assert_int_eq(read(held[0], &c, 1), 0);
	close(held[0]);
}

TEST(what_cannot_die_with_another_is_not_made, ON_EACH_BACKEND)
{
	fault_call("prctl", 1, EINVAL);
	fails(&(struct plait_process_options){ .die_with_parent = true },
	      "/bin/true", -EINVAL, "prctl");
}

/* ---- terminals -------------------------------------------------------------
 */

GROUP("terminals", .setup = children_init, .teardown = no_children);

static const struct plait_process_options on_terminal = { .pty = true };

TEST(a_child_has_a_terminal_of_its_own, ON_EACH_BACKEND, EACH_OF(lacks))
{
	lack(_i);
	sh(&it, &on_terminal,
	   "test -t 0 && test -t 1 && test -t 2 && echo poem >/dev/tty; "
	   "test $(ps -o sid= -p $$) = $$ && exit 4");
	wait_for(&it);
	ck_assert_str_eq(it.out, "poem\r\n");
	ck_assert_int_eq(it.how.code, 4);
	ck_assert_int_eq(it.closed_errno, 0);
}

static void answer(struct child *c)
{
	c->on_received = NULL;
	plait_transport_write(plait_process_transport(&c->base, 0), "rose\n",
			      5);
}

TEST(what_is_typed_is_read_and_echoed, ON_EACH_BACKEND)
{
	it.on_received = answer;
	sh(&it, &on_terminal, "echo name?; read x; echo \"a $x\"");
	wait_for(&it);
	ck_assert_str_eq(it.out, "name?\r\nrose\r\na rose\r\n");
}

static void type_interrupt(struct child *c)
{
	c->on_received = NULL;
	plait_transport_write(plait_process_transport(&c->base, 2), "\003", 1);
}

TEST(a_key_sends_a_signal, ON_EACH_BACKEND)
{
	it.on_received = type_interrupt;
	sh(&it, &on_terminal, "echo ready; exec cat");
	wait_for(&it);
	ck_assert_int_eq(it.how.signal, SIGINT);
}

static void type_end(struct child *c)
{
	c->on_received = NULL;
	plait_transport_write(plait_process_transport(&c->base, 1), "\004", 1);
}

TEST(a_key_ends_the_input, ON_EACH_BACKEND)
{
	it.on_received = type_end;
	sh(&it, &on_terminal, "echo ready; exec cat");
	wait_for(&it);
	ck_assert_int_eq(it.how.code, 0);
}

static void resize(struct child *c)
{
	c->on_received = NULL;
	ck_assert_int_eq(plait_process_set_window(&c->base, 30, 100), 0);
}

TEST(its_window_has_a_size_which_may_change, ON_EACH_BACKEND)
{
	struct plait_process_options o = on_terminal;

	o.rows = 24;
	o.columns = 80;
	it.on_received = resize;
	sh(&it, &o,
	   "trap 'stty size; exit 0' WINCH; stty -echo; stty size; "
	   "while :; do read x; done");
	wait_for(&it);
	ck_assert_str_eq(it.out, "24 80\r\n30 100\r\n");
	ck_assert_int_eq(plait_process_set_window(&it.base, 1, 1), -ENOTTY);
}

TEST(a_child_without_a_terminal_has_no_window, ON_EACH_BACKEND)
{
	sh(&it, &talks, "exit 0");
	ck_assert_int_eq(plait_process_set_window(&it.base, 1, 1), -ENOTTY);
	wait_for(&it);
}

static void hang_up(struct child *c)
{
	plait_transport_abort_connection(plait_process_transport(&c->base, 1));
}

TEST(to_close_the_terminal_is_to_hang_up, ON_EACH_BACKEND)
{
	it.on_received = hang_up;
	sh(&it, &on_terminal, "echo ready; exec cat");
	wait_for(&it);
	ck_assert_int_eq(it.how.signal, SIGHUP);
}

/* What it has written when it ends is in the terminal, which is paused. */
TEST(what_is_written_to_a_terminal_comes_before_its_end, ON_EACH_BACKEND)
{
	it.on_started = pause_output;
	sh(&it, &on_terminal, "echo a rose");
	run_until_count(reactor, &it.n_exited, 1);
	run_turns(reactor, 3);
	ck_assert_str_eq(it.out, "");
	plait_transport_resume_reading(plait_process_transport(&it.base, 1));
	wait_for(&it);
	ck_assert_str_eq(it.out, "a rose\r\n");
	ck_assert_str_eq(it.log + it.logged - 2, "ED");
}

static const struct plait_process_fd half_terminal[] = {
	{ .fd = 2, .kind = PLAIT_PROCESS_WRITES },
	{ .fd = 0, .kind = PLAIT_PROCESS_TERMINAL },
	{ .fd = 7, .kind = PLAIT_PROCESS_TERMINAL },
	{ .fd = 1, .kind = PLAIT_PROCESS_NULL },
};

static int told_fd;

static void note_fd(struct plait_process_protocol *p, int fd, const void *data,
		    size_t len)
{
	if (fd != 2)
		told_fd = fd;
	child_received(p, fd, data, len);
}

TEST(a_terminal_may_be_some_of_its_descriptors, ON_EACH_BACKEND)
{
	struct plait_process_ops ops = child_ops;
	struct plait_process_options o = { .pty = true,
					   .fds = half_terminal,
					   .n_fds = 4 };

	ops.received = note_fd;
	it.base.ops = &ops;
	sh(&it, &o, "test -t 0 && test -t 7 && echo a >&7; echo b; echo c >&2");
	ck_assert_ptr_nonnull(plait_process_transport(&it.base, 7));
	ck_assert_ptr_eq(plait_process_transport(&it.base, 7),
			 plait_process_transport(&it.base, 0));
	ck_assert_ptr_null(plait_process_transport(&it.base, 1));
	wait_for(&it);
	ck_assert_str_eq(it.out, "a\r\n");
	ck_assert_str_eq(it.err, "c\n");
	ck_assert_int_eq(told_fd, 0);
}

TEST(a_terminal_has_no_copy_elsewhere, ON_EACH_BACKEND)
{
	sh(&it, &on_terminal, "ls /proc/self/fd | tr '\\n' ' '");
	wait_for(&it);
	ck_assert_str_eq(it.out, "0 1 2 3 ");
}

TEST(a_terminal_that_is_in_no_descriptor_is_refused, ON_EACH_BACKEND)
{
	struct plait_process_options o = talks;

	o.pty = true;
	fails(&o, "/bin/true", -EINVAL, "options");
	o.pty = false;
	o.fds = half_terminal;
	o.n_fds = 4;
	fails(&o, "/bin/true", -EINVAL, "options");
}

/* Making the terminal, opening its other end, the size of the window; and the
   child's. */
static const struct {
	const char *call;
	unsigned long pass;
	int err;
	const char *step;
} terminal_steps[] = {
	{ "open", 0, ENOSPC, "terminal" },  { "ioctl", 0, EIO, "terminal" },
	{ "ioctl", 1, EIO, "terminal" },    { "ioctl", 2, EINVAL, "terminal" },
	{ "ioctl", 3, EPERM, "TIOCSCTTY" },
};

TEST(whatever_fails_of_a_terminal_is_told, ON_EACH_BACKEND,
     EACH_OF(terminal_steps))
{
	fault_pass(terminal_steps[_i].call, terminal_steps[_i].pass);
	fault_call(terminal_steps[_i].call, 1, terminal_steps[_i].err);
	fails(&on_terminal, "/bin/true", -terminal_steps[_i].err,
	      terminal_steps[_i].step);
}

static void type_at_an_end(struct child *c)
{
	struct plait_transport *t = plait_process_transport(&c->base, 1);

	if (t != NULL)
		plait_transport_write(t, "poem\n", 5);
}

/* It would be sent SIGHUP if its terminal were closed then. */
TEST(a_child_that_has_closed_its_terminal_lives_on, ON_EACH_BACKEND)
{
	it.on_exited = type_at_an_end;
	sh(&it, &on_terminal,
	   "echo ready; exec <&- >&- 2>&-; kill -STOP $$; exit 3");
	wait_for_word(&it);
	calls_reset();
	for (int i = 0; i < 20; i++)
		plait_reactor_iterate(reactor, 0.005);
	ck_assert_uint_le(calls_of("read"), 2);
	ck_assert_uint_eq(it.n_exited, 0);
	while (it.n_exited == 0) {
		plait_process_signal(&it.base, SIGCONT);
		plait_reactor_iterate(reactor, 0.01);
	}
	wait_for(&it);
	ck_assert_int_eq(it.how.code, 3);
	ck_assert_int_eq(it.closed_errno, 0);
}

static void use_terminal(struct plait_reactor *r)
{
	static struct child c;
	static const char *const argv[] = { "/bin/echo", "poem", NULL };
	int rc;

	c = (struct child){ .base.ops = &child_ops };
	rc = plait_spawn(r, argv, &c.base, &on_terminal, NULL);
	if (rc == 0) {
		let_it_end(&c);
		run_until_count(r, &c.n_done, 1);
	} else {
		ck_assert(torture_faulty());
	}
	if (!torture_faulty())
		ck_assert_str_eq(c.out, "poem\r\n");
}

TEST(a_terminal_lives_with_any_allocation_failing, ON_EACH_BACKEND)
{
	torture(use_terminal, backend);
}

/* ---- its end ---------------------------------------------------------------
 */

GROUP("signals", .setup = children_init, .teardown = no_children);

TEST(a_signal_reaches_the_child, ON_EACH_BACKEND, EACH_OF(lacks))
{
	lack(_i);
	sh(&it, &talks, "echo ready; exec cat");
	wait_for_word(&it);
	ck_assert_int_gt(plait_process_pid(&it.base), 0);
	ck_assert_int_eq(plait_process_signal(&it.base, 0), 0);
	ck_assert_int_eq(plait_process_signal(&it.base, 9999), -EINVAL);
	ck_assert_int_eq(plait_process_signal(&it.base, SIGTERM), 0);
	wait_for(&it);
	ck_assert_int_eq(it.how.signal, SIGTERM);
}

static const struct {
	int number;
	bool pty;
} deadly[] = {
	{ SIGHUP, false },  { SIGINT, false }, { SIGKILL, false },
	{ SIGTERM, false }, { SIGKILL, true }, { SIGTERM, true },
};

TEST(each_signal_that_ends_a_child_is_told, ON_EACH_BACKEND, EACH_OF(deadly))
{
	sh(&it, deadly[_i].pty ? &on_terminal : &talks,
	   "echo ready; exec sleep 1000");
	wait_for_word(&it);
	ck_assert_int_eq(plait_process_signal(&it.base, deadly[_i].number), 0);
	wait_for(&it);
	ck_assert_int_eq(it.how.signal, deadly[_i].number);
}

static const int outputs[] = { 1, 2 };
static int closed_output;

static void close_an_output(struct child *c)
{
	plait_transport_abort_connection(
		plait_process_transport(&c->base, closed_output));
}

static bool has_closed(void *c)
{
	return strchr(((struct child *)c)->log, 'c') != NULL;
}

/* SIGPIPE ends it.  The pipe is closed when the turn that tells it has ended.
 */
TEST(a_child_notices_that_nobody_reads, ON_EACH_BACKEND, EACH_OF(outputs))
{
	char text[40];

	closed_output = outputs[_i];
	it.on_started = close_an_output;
	snprintf(text, sizeof(text), "read x; echo poem >&%d; exit 3",
		 outputs[_i]);
	sh(&it, &talks, text);
	run_until(reactor, has_closed, &it);
	run_turns(reactor, 1);
	plait_transport_write(plait_process_transport(&it.base, 0), "go\n", 3);
	wait_for(&it);
	ck_assert_int_eq(it.how.signal, SIGPIPE);
}

static void signal_again(struct child *c)
{
	c->closed_errno = plait_process_signal(&c->base, SIGKILL);
}

TEST(nobody_is_signalled_when_it_has_exited, ON_EACH_BACKEND, EACH_OF(lacks))
{
	lack(_i);
	it.on_exited = signal_again;
	sh(&it, NULL, "exit 0");
	wait_for(&it);
	ck_assert_int_eq(it.closed_errno, -ESRCH);
	ck_assert_int_eq(plait_process_signal(&it.base, SIGKILL), -ESRCH);
	ck_assert_int_eq(plait_process_pid(&it.base), 0);
	plait_process_stop(&it.base);
}

/* It waits for SIGTERM, which is blocked, so that none comes too early. */
#define ENDS_ITSELF                                                            \
	"import os, signal\n"                                                  \
	"signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"         \
	"os.write(1, b'ready\\n')\n"                                           \
	"signal.sigwait([signal.SIGTERM])\n"                                   \
	"os.write(1, b'bye\\n')\n"                                             \
	"os._exit(5)\n"

static void spawn_one_that_ends_itself(void)
{
	struct plait_process_options o = talks;

	o.grace = 1000;
	ck_assert_int_eq(spawn(&it, &o, "python3", "-c", ENDS_ITSELF), 0);
}

TEST(a_child_that_is_stopped_may_end_itself, ON_EACH_BACKEND)
{
	spawn_one_that_ends_itself();
	wait_for_word(&it);
	plait_process_stop(&it.base);
	plait_process_stop(&it.base);
	wait_for(&it);
	ck_assert_str_eq(it.out, "ready\nbye\n");
	ck_assert_int_eq(it.how.code, 5);
}

/* Whoever is stopped takes no SIGTERM. */
static void stand_still(pid_t pid)
{
	siginfo_t info;

	ck_assert_int_eq(kill(pid, SIGSTOP), 0);
	ck_assert_int_eq(
		waitid(P_PID, (id_t)abs(pid), &info, WSTOPPED | WNOWAIT), 0);
}

TEST(a_child_that_stands_still_may_end_itself, ON_EACH_BACKEND, EACH_OF(lacks))
{
	lack(_i);
	spawn_one_that_ends_itself();
	wait_for_word(&it);
	stand_still(plait_process_pid(&it.base));
	plait_process_stop(&it.base);
	wait_for(&it);
	ck_assert_str_eq(it.out, "ready\nbye\n");
	ck_assert_int_eq(it.how.code, 5);
}

static bool both_are_ready(void *c)
{
	return strcmp(((struct child *)c)->out, "ready\nready\n") == 0;
}

TEST(a_group_that_stands_still_may_end_itself, ON_EACH_BACKEND, EACH_OF(lacks))
{
	struct plait_process_options o = talks;

	lack(_i);
	o.new_group = true;
	o.grace = 1000;
	ck_assert_int_eq(spawn(&it, &o, "python3", "-c",
			       "import os\n"
			       "pid = os.fork()\n" ENDS_ITSELF),
			 0);
	run_until(reactor, both_are_ready, &it);
	stand_still(-plait_process_pid(&it.base));
	plait_process_stop(&it.base);
	wait_for(&it);
	ck_assert_str_eq(it.out, "ready\nready\nbye\nbye\n");
	ck_assert_int_eq(it.how.code, 5);
}

TEST(a_child_that_ignores_sigterm_is_killed_after_its_grace, ON_EACH_BACKEND,
     EACH_OF(lacks))
{
	struct plait_process_options o = talks;

	lack(_i);
	o.grace = 1000;
	sh(&it, &o, "trap '' TERM; echo ready; while :; do read x; done");
	wait_for_word(&it);
	plait_process_stop(&it.base);
	clock_advance(999);
	run_turns(reactor, 3);
	ck_assert_uint_eq(it.n_exited, 0);
	clock_advance(1);
	wait_for(&it);
	ck_assert_int_eq(it.how.signal, SIGKILL);
}

/* The number of a process that the child has left behind; 0: it is gone. */
static pid_t left_behind(const struct child *c)
{
	pid_t pid = (pid_t)strtol(c->out, NULL, 10);

	ck_assert_int_gt(pid, 1);
	return kill(pid, 0) == 0 ? pid : 0;
}

static bool is_gone(void *arg)
{
	return left_behind(arg) == 0;
}

/* The grandchild ignores SIGTERM, says so with its number, and keeps the pipe.
 */
static const char leaves_one_behind[] =
	"(trap '' TERM; sh -c 'echo $PPID'; exec sleep 1000) & ";

TEST(with_a_group_nobody_of_it_is_left, ON_EACH_BACKEND, EACH_OF(lacks))
{
	struct plait_process_options o = talks;
	char text[200];

	lack(_i);
	snprintf(text, sizeof(text), "%s wait", leaves_one_behind);
	o.new_group = true;
	o.grace = 1000;
	sh(&it, &o, text);
	wait_for_word(&it);
	plait_process_stop(&it.base);
	run_until_count(reactor, &it.n_exited, 1);
	ck_assert_int_eq(it.how.signal, SIGTERM);
	ck_assert_int_ne(left_behind(&it), 0);
	clock_advance(1000);
	wait_for(&it);
	run_until(reactor, is_gone, &it);
}

/* Its grace passes when all is over, but not told yet. */
static void close_all_and_let_the_grace_pass(struct child *c)
{
	for (int fd = 0; fd < 3; fd++) {
		struct plait_transport *t =
			plait_process_transport(&c->base, fd);

		if (t != NULL)
			plait_transport_abort_connection(t);
	}
	clock_advance(1000);
}

TEST(a_grace_that_passes_at_the_end_hides_nothing, ON_EACH_BACKEND)
{
	struct plait_process_options o = talks;
	char text[200];

	o.new_group = true;
	o.grace = 1000;
	it.on_exited = close_all_and_let_the_grace_pass;
	snprintf(text, sizeof(text), "%s wait", leaves_one_behind);
	sh(&it, &o, text);
	wait_for_word(&it);
	plait_process_stop(&it.base);
	wait_for(&it);
	ck_assert_str_eq(it.log + it.logged - 2, "ED");
}

TEST(a_group_is_stopped_although_its_child_has_exited, ON_EACH_BACKEND,
     EACH_OF(lacks))
{
	struct plait_process_options o = talks;

	lack(_i);
	o.new_group = true;
	o.grace = 1;
	sh(&it, &o, leaves_one_behind);
	run_until_count(reactor, &it.n_exited, 1);
	wait_for_word(&it);
	ck_assert_uint_eq(it.n_ended, 0);
	plait_process_stop(&it.base);
	clock_advance(1);
	wait_for(&it);
	run_until(reactor, is_gone, &it);
	ck_assert_int_eq(it.how.code, 0);
}

/* It goes into that of its parent, says so, and sleeps. */
static void spawn_one_that_leaves_its_group(void)
{
	struct plait_process_options o = talks;

	o.new_group = true;
	ck_assert_int_eq(spawn(&it, &o, "python3", "-c",
			       "import os, time\n"
			       "os.setpgid(0, os.getpgid(os.getppid()))\n"
			       "print(os.getpid(), flush=True)\n"
			       "time.sleep(1000)"),
			 0);
	wait_for_word(&it);
}

TEST(a_child_that_has_left_its_group_is_stopped_alone, ON_EACH_BACKEND,
     EACH_OF(lacks))
{
	lack(_i);
	spawn_one_that_leaves_its_group();
	plait_process_stop(&it.base);
	wait_for(&it);
	ck_assert_int_eq(it.how.signal, SIGTERM);
}

TEST(a_child_that_has_left_its_group_ends_with_the_reactor, ON_EACH_BACKEND,
     EACH_OF(lacks))
{
	lack(_i);
	spawn_one_that_leaves_its_group();
	plait_reactor_free(&reactor);
	ck_assert_int_eq(it.how.signal, SIGKILL);
}

/* Its descriptor says that it has ended, and waitid() that it has not. */
TEST(the_end_of_a_child_that_is_traced_is_looked_for_now_and_then,
     ON_EACH_BACKEND, TIMES(2))
{
	const struct plait_process_options o = { .new_group = _i == 1 };
	siginfo_t info;
	double begin;

	clock_virtual(true);
	sh(&it, &o, "exec sleep 1000");
	ck_assert_int_eq(plait_process_signal(&it.base, SIGKILL), 0);
	waitid(P_PID, (id_t)plait_process_pid(&it.base), &info,
	       WEXITED | WNOWAIT);
	fault_call("waitid", 20, EAGAIN);
	begin = clock_now();
	wait_for(&it);
	ck_assert(clock_now() - begin >= 20 * 0.05);
	ck_assert_int_eq(it.how.signal, SIGKILL);
	ck_assert_str_eq(it.log, "SXED");
}

TEST(a_reactor_that_is_freed_waits_for_no_tracer, ON_EACH_BACKEND)
{
	siginfo_t info;
	pid_t pid;

	sh(&it, NULL, "exec sleep 1000");
	pid = plait_process_pid(&it.base);
	kill(pid, SIGKILL);
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
	fault_call_forever("waitid", EAGAIN);
	run_turns(reactor, 3);
	plait_reactor_free(&reactor);
	ck_assert(it.how.unknown);
	ck_assert_uint_eq(it.n_done, 1);
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), pid);
}

static bool is_waited_for(void *pid)
{
	siginfo_t info;

	return waitid(P_PID, (id_t) * (pid_t *)pid, &info,
		      WEXITED | WNOHANG | WNOWAIT) < 0;
}

/* So the number of its group is nobody else's. */
TEST(the_leader_of_a_group_is_waited_for_when_all_is_over, ON_EACH_BACKEND,
     EACH_OF(lacks))
{
	struct plait_process_options o = talks;
	pid_t pid;

	lack(_i);
	o.new_group = true;
	sh(&it, &o, leaves_one_behind);
	pid = plait_process_pid(&it.base);
	run_until_count(reactor, &it.n_exited, 1);
	wait_for_word(&it);
	run_turns(reactor, 3);
	ck_assert(!is_waited_for(&pid));
	kill(-pid, SIGKILL);
	run_until(reactor, is_waited_for, &pid);
	ck_assert_uint_eq(it.n_done, 1);
}

/* Who is left has no pipe of the child, so that all is told before. */
TEST(the_grace_of_a_group_goes_on_when_all_is_told, ON_EACH_BACKEND,
     EACH_OF(lacks))
{
	struct plait_process_options o = talks;

	lack(_i);
	o.new_group = true;
	o.grace = 1000;
	sh(&it, &o,
	   "(trap '' TERM; sh -c 'echo $PPID'; exec <&- >&- 2>&-; "
	   "exec sleep 1000) & wait");
	wait_for_word(&it);
	plait_process_stop(&it.base);
	wait_for(&it);
	clock_advance(999);
	run_turns(reactor, 3);
	ck_assert_int_ne(left_behind(&it), 0);
	clock_advance(1);
	run_until(reactor, is_gone, &it);
}

TEST(its_pipes_may_be_closed_although_somebody_keeps_them, ON_EACH_BACKEND,
     EACH_OF(lacks))
{
	lack(_i);
	sh(&it, &talks, leaves_one_behind);
	run_until_count(reactor, &it.n_exited, 1);
	wait_for_word(&it);
	for (int fd = 0; fd < 3; fd++) {
		struct plait_transport *t =
			plait_process_transport(&it.base, fd);

		if (t != NULL)
			plait_transport_abort_connection(t);
	}
	wait_for(&it);
	ck_assert_int_eq(kill(left_behind(&it), SIGKILL), 0);
}

TEST(when_somebody_else_has_waited_the_status_is_unknown, ON_EACH_BACKEND,
     EACH_OF(lacks))
{
	pid_t pid;

	lack(_i);
	sh(&it, NULL, "exit 3");
	pid = plait_process_pid(&it.base);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	wait_for(&it);
	ck_assert(it.how.unknown);
	ck_assert_int_eq(it.how.code, -1);
	ck_assert_str_eq(it.log, "SXED");
}

/* epoll does not say that a descriptor was closed. */
TEST(a_descriptor_that_somebody_has_closed_is_left_alone, ON_EACH_BACKEND,
     TIMES(2))
{
	const struct plait_process_options o = { .new_group = _i == 1 };
	pid_t pid;

	if (strcmp(backend, "select") != 0)
		return;
	sh(&it, &o, "exec sleep 100");
	pid = plait_process_pid(&it.base);
	run_turns(reactor, 2);
	fd_close_behind("pidfd");
	calls_reset();
	wait_for(&it);
	ck_assert_uint_eq(calls_of("close"), 0);
	ck_assert(it.how.unknown);
	ck_assert_str_eq(it.log, "SXED");
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/* The kernel keeps no status for a program that has said so. */
static const struct {
	struct sigaction action;
	bool group;
	int lacks;
} lost_statuses[] = {
	{ .action = { .sa_handler = SIG_IGN } },
	{ .action = { .sa_handler = SIG_IGN }, .lacks = 1 },
	{ .action = { .sa_handler = SIG_IGN }, .group = true },
	{ .action = { .sa_handler = SIG_IGN }, .group = true, .lacks = 1 },
	{ .action = { .sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT } },
	{ .action = { .sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT },
	  .lacks = 1 },
};

TEST(while_sigchld_is_ignored_the_status_is_unknown, ON_EACH_BACKEND,
     EACH_OF(lost_statuses))
{
	struct plait_process_options o = talks;
	struct sigaction before;

	lack(lost_statuses[_i].lacks);
	o.new_group = lost_statuses[_i].group;
	sigaction(SIGCHLD, &lost_statuses[_i].action, &before);
	sh(&it, &o, "exit 3");
	wait_for(&it);
	sigaction(SIGCHLD, &before, NULL);
	ck_assert(it.how.unknown);
	ck_assert_int_eq(it.how.code, -1);
}

TEST(while_sigchld_is_ignored_a_reactor_that_is_freed_leaves_no_child,
     ON_EACH_BACKEND, EACH_OF(lost_statuses))
{
	const struct plait_process_options o = {
		.new_group = lost_statuses[_i].group,
	};
	struct sigaction before;
	pid_t pid;

	lack(lost_statuses[_i].lacks);
	sigaction(SIGCHLD, &lost_statuses[_i].action, &before);
	sh(&it, &o, "exec sleep 1000");
	pid = plait_process_pid(&it.base);
	plait_reactor_free(&reactor);
	sigaction(SIGCHLD, &before, NULL);
	ck_assert(it.how.unknown);
	ck_assert_uint_eq(it.n_done, 1);
	ck_assert_int_eq(kill(pid, 0), -1);
}

TEST(the_program_s_own_children_are_left_to_it, ON_EACH_BACKEND, EACH_OF(lacks))
{
	int status = system("exit 4");

	lack(_i);
	ck_assert_int_eq(WEXITSTATUS(status), 4);
	sh(&it, NULL, "exit 3");
	status = system("exit 5");
	ck_assert_int_eq(WEXITSTATUS(status), 5);
	wait_for(&it);
	ck_assert_int_eq(it.how.code, 3);
}

/* ---- without descriptors of processes --------------------------------------
 */

GROUP("waiters", .setup = children_init, .teardown = no_children);

/* What a thread needs, and what is called then. */
static const struct {
	const char *call;
	int err;
} waiter_steps[] = {
	{ "eventfd", EMFILE },
	{ "pthread_create", EAGAIN },
	{ "pthread_sigmask", EINVAL },
};

TEST(without_a_thread_to_wait_there_is_no_child, ON_EACH_BACKEND,
     EACH_OF(waiter_steps))
{
	lack(1);
	fault_call(waiter_steps[_i].call, 1, waiter_steps[_i].err);
	fails(&talks, "/bin/true", -waiter_steps[_i].err, "waiter");
}

static const struct {
	const char *call;
	int err;
} forbidden[] = {
	{ "pidfd_open", EPERM },
	{ "waitid", EINVAL },
	{ "pidfd_send_signal", EPERM },
};

TEST(descriptors_of_processes_are_used_with_all_their_calls_or_not,
     ON_EACH_BACKEND, EACH_OF(forbidden))
{
	calls_reset();
	fault_call(forbidden[_i].call, 1, forbidden[_i].err);
	sh(&it, &talks, "echo ready; exec cat");
	wait_for_word(&it);
	ck_assert_uint_eq(calls_of("pthread_create"), 1);
	ck_assert_int_eq(plait_process_signal(&it.base, SIGTERM), 0);
	wait_for(&it);
	ck_assert_int_eq(it.how.signal, SIGTERM);
}

static void steal(struct child *c)
{
	pid_t pid = plait_process_pid(&c->base);

	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	c->closed_errno = plait_process_signal(&c->base, SIGTERM);
}

TEST(a_child_that_somebody_has_waited_for_is_not_signalled, ON_EACH_BACKEND,
     EACH_OF(lacks))
{
	lack(_i);
	it.on_started = steal;
	sh(&it, NULL, "exec sleep 1000");
	wait_for(&it);
	ck_assert(it.how.unknown);
	ck_assert_int_eq(it.closed_errno, -ESRCH);
}

/* Gives a number to the next process; false where that is not allowed. */
static bool next_number_is(pid_t pid)
{
	FILE *f = fopen("/proc/sys/kernel/ns_last_pid", "w");
	bool written = f != NULL && fprintf(f, "%d", (int)pid - 1) > 0;

	return f != NULL && fclose(f) == 0 && written;
}

/* A child of the test, and its child, which has the number if it may be chosen;
   0: there is none. */
static pid_t between, stranger;

static pid_t make_stranger(pid_t number)
{
	pid_t pid;

	if (!next_number_is(number))
		return 0;
	pid = fork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	return pid;
}

static void make_stranger_of_another(pid_t number)
{
	int status = 0, fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	between = fork();
	if (between == 0) {
		pid_t pid = make_stranger(number);

		if (write(fds[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		waitpid(pid, &status, 0);
		_exit(pid == 0 ? 0 : WTERMSIG(status));
	}
	ck_assert_int_eq(read(fds[0], &stranger, sizeof(stranger)),
			 sizeof(stranger));
	close(fds[0]);
	close(fds[1]);
}

static void steal_and_give_the_number_away(struct child *c)
{
	pid_t pid = plait_process_pid(&c->base);

	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	make_stranger_of_another(pid);
	ck_assert_int_eq(plait_process_signal(&c->base, SIGKILL), -ESRCH);
	plait_process_stop(&c->base);
}

TEST(a_stranger_with_the_number_of_a_child_is_left_alone, ON_EACH_BACKEND,
     EACH_OF(lacks))
{
	int status;

	lack(_i);
	it.on_started = steal_and_give_the_number_away;
	sh(&it, NULL, "exec sleep 1000");
	wait_for(&it);
	if (stranger != 0)
		kill(stranger, SIGUSR1);
	ck_assert_int_eq(waitpid(between, &status, 0), between);
	ck_assert_int_eq(WEXITSTATUS(status), stranger != 0 ? SIGUSR1 : 0);
}

static void stop_and_count_signals(struct child *c)
{
	calls_reset();
	plait_process_stop(&c->base);
	c->closed_errno = (int)calls_of("kill");
}

/* The number of the group is free for anybody then. */
TEST(a_group_whose_leader_is_taken_and_that_is_empty_is_given_up,
     ON_EACH_BACKEND, EACH_OF(lacks))
{
	const struct plait_process_options o = { .new_group = true };

	lack(_i);
	it.on_started = steal;
	it.on_exited = stop_and_count_signals;
	sh(&it, &o, "exec sleep 1000");
	wait_for(&it);
	ck_assert(it.how.unknown);
	ck_assert_int_eq(it.closed_errno, 0);
}

/* ... and as long as somebody is in it, it is this one. */
TEST(who_is_left_of_a_group_is_stopped_although_its_leader_was_taken,
     ON_EACH_BACKEND)
{
	struct plait_process_options o = talks;
	pid_t pid;

	o.new_group = true;
	o.grace = 1;
	sh(&it, &o, leaves_one_behind);
	wait_for_word(&it);
	pid = plait_process_pid(&it.base);
	if (it.n_exited == 0 || !it.how.unknown)
		waitpid(pid, NULL, 0);
	run_until_count(reactor, &it.n_exited, 1);
	plait_process_stop(&it.base);
	clock_advance(1);
	wait_for(&it);
	run_until(reactor, is_gone, &it);
}

static void wait_by_thread(struct plait_reactor *r)
{
	lack(1);
	spawn_and_wait(r);
}

TEST(a_child_without_a_descriptor_lives_with_any_allocation_failing,
     ON_EACH_BACKEND)
{
	torture(wait_by_thread, backend);
}

/* It cannot be killed, so that its thread goes on without the reactor. */
TEST(a_thread_that_is_left_frees_what_it_has, ON_EACH_BACKEND)
{
	unsigned long mark = heap_mark();
	pid_t pid;

	lack(1);
	sh(&it, NULL, "exec sleep 1000");
	pid = plait_process_pid(&it.base);
	fault_call_forever("kill", EPERM);
	fault_call_forever("poll", EBADF);
	plait_reactor_free(&reactor);
	ck_assert(it.how.unknown);
	ck_assert_uint_eq(it.n_done, 1);
	ck_assert_uint_gt(heap_left_since(mark, NULL), 0);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	while (heap_left_since(mark, NULL) > 0)
		poll(NULL, 0, 1);
}

/* ---- the end of the reactor ------------------------------------------------
 */

GROUP("reactor", .setup = children_init, .teardown = no_children);

TEST(a_reactor_that_is_freed_leaves_no_child, ON_EACH_BACKEND, EACH_OF(lacks))
{
	lack(_i);
	sh(&it, &talks, "trap '' TERM; echo ready; while :; do read x; done");
	wait_for_word(&it);
	plait_reactor_free(&reactor);
	ck_assert_int_eq(it.how.signal, SIGKILL);
	ck_assert_uint_eq(it.n_done, 1);
	ck_assert_ptr_null(it.base.process);
}

static void stop_what_is_left(struct child *c)
{
	plait_process_stop(&c->base);
}

/* Whatever a child has left is killed already. */
TEST(a_stop_in_the_end_of_the_reactor_changes_nothing, ON_EACH_BACKEND,
     EACH_OF(lacks))
{
	struct plait_process_options o = talks;

	lack(_i);
	o.new_group = true;
	it.on_exited = stop_what_is_left;
	sh(&it, &o, "echo ready; exec cat");
	wait_for_word(&it);
	plait_reactor_free(&reactor);
	ck_assert_int_eq(it.how.signal, SIGKILL);
	ck_assert_uint_eq(it.n_done, 1);
}

TEST(a_reactor_that_is_freed_leaves_nobody_of_a_group, ON_EACH_BACKEND,
     EACH_OF(lacks))
{
	struct plait_process_options o = talks;

	lack(_i);
	o.new_group = true;
	sh(&it, &o, leaves_one_behind);
	run_until_count(reactor, &it.n_exited, 1);
	wait_for_word(&it);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(it.n_done, 1);
	for (int i = 0; i < 1000 && left_behind(&it) != 0; i++)
		poll(NULL, 0, 10);
	ck_assert_int_eq(left_behind(&it), 0);
}

static void stop_reactor(struct child *c)
{
	plait_reactor_stop(reactor);
}

TEST(a_shutdown_stops_its_children_and_waits_for_them, ON_EACH_BACKEND,
     EACH_OF(lacks))
{
	lack(_i);
	it.on_received = stop_reactor;
	spawn_one_that_ends_itself();
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_str_eq(it.out, "ready\nbye\n");
	ck_assert_int_eq(it.how.code, 5);
	ck_assert_str_eq(it.log + it.logged - 2, "ED");
}

TEST(a_shutdown_lets_a_child_that_stands_still_end_itself, ON_EACH_BACKEND,
     EACH_OF(lacks))
{
	lack(_i);
	spawn_one_that_ends_itself();
	wait_for_word(&it);
	stand_still(plait_process_pid(&it.base));
	plait_call_later(reactor, 0, call_stop, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_str_eq(it.out, "ready\nbye\n");
	ck_assert_int_eq(it.how.code, 5);
}

static void stop_reactor_now(struct child *c)
{
	plait_reactor_stop(reactor);
	plait_reactor_stop_now(reactor);
}

static void call_stop_now(void *nothing)
{
	plait_reactor_stop_now(reactor);
}

/* Nor does it look for the child any more. */
TEST(a_shutdown_that_waits_for_nobody_waits_for_no_tracer, ON_EACH_BACKEND)
{
	siginfo_t info;
	pid_t pid;

	sh(&it, NULL, "exec sleep 1000");
	pid = plait_process_pid(&it.base);
	kill(pid, SIGKILL);
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
	fault_call_forever("waitid", EAGAIN);
	clock_virtual(true);
	plait_call_later(reactor, 1, call_stop_now, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert(it.how.unknown);
	ck_assert_uint_eq(it.n_done, 1);
	plait_reactor_iterate(reactor, 60);
	ck_assert(wait_timeout() > 59);
	ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), pid);
}

TEST(a_shutdown_that_waits_for_nobody_kills_its_children, ON_EACH_BACKEND,
     EACH_OF(lacks))
{
	lack(_i);
	it.on_received = stop_reactor_now;
	sh(&it, &talks, "trap '' TERM; echo ready; while :; do read x; done");
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_int_eq(it.how.signal, SIGKILL);
	ck_assert_uint_eq(it.n_done, 1);
}

/* ---- forks -----------------------------------------------------------------
 */

static void free_in_child(void *unused)
{
	plait_reactor_free(&reactor);
	ck_assert_ptr_null(it.base.process);
	ck_assert_uint_eq(it.n_exited, 0);
}

TEST(a_forked_child_leaves_the_child_to_its_parent, ON_EACH_BACKEND,
     EACH_OF(lacks))
{
	const char *said;

	lack(_i);
	sh(&it, &talks, "echo ready; exec cat");
	wait_for_word(&it);
	ck_assert_int_eq(child_run(free_in_child, NULL, &said), 0);
	run_turns(reactor, 3);
	ck_assert_uint_eq(it.n_exited, 0);
	plait_process_stop(&it.base);
	wait_for(&it);
	ck_assert_int_eq(it.how.signal, SIGTERM);
}

static pid_t forked;

static void fork_there(struct child *c)
{
	if (forked == 0)
		forked = fork();
}

TEST(a_callback_may_fork, ON_EACH_BACKEND)
{
	forked = 0;
	it.on_received = fork_there;
	sh(&it, &talks, "echo ready; exec cat");
	while (it.n_received == 0 && plait_reactor_iterate(reactor, 1) == 0)
		;
	if (forked == 0) {
		ck_assert_int_eq(plait_process_signal(&it.base, SIGTERM),
				 -ESRCH);
		plait_process_stop(&it.base);
		plait_reactor_free(&reactor);
		child_leave(it.n_exited == 0 ? 0 : 1);
	}
	child_ends(forked);
	plait_process_stop(&it.base);
	wait_for(&it);
	ck_assert_int_eq(it.how.signal, SIGTERM);
}

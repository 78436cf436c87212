/*
 * Children on the simulated kernel: what they are given, how they end, and what
 * is told of that.
 */
#include <stdio.h>

#include <plait/adopt.h>
#include <plait/pipe.h>
#include <plait/reaper.h>
#include <plait/run.h>
#include <plait/signal.h>
#include <plait/simulation.h>

#include "reactor/simulation/process.h"
#include "tests/harness.h"

static struct plait_simulation *world;
static struct plait_host *host;
static struct plait_reactor *here;
static struct plait_reactor *inner; /* of the last child that has begun */

/* ---- the program that children run ----------------------------------------
 */

enum { MUCH = 200000 };

/* One connection of the child. */
struct talker {
	struct plait_protocol base;
	struct plait_promise *over;
	size_t most; /* what it says first, and then nothing */
};

static unsigned signals_told;

static char much[MUCH];

static void talker_made(struct plait_protocol *p)
{
	struct talker *t = plait_self(p, struct talker);

	if (t->most == 0)
		return;
	plait_transport_write(p->transport, much, t->most);
	plait_transport_lose_connection(p->transport);
}

static void talker_echo(struct plait_protocol *p, const void *data, size_t len)
{
	plait_transport_write(p->transport, data, len);
}

static void talker_lost(struct plait_protocol *p,
			const struct plait_failure *why)
{
	plait_fire(&plait_self(p, struct talker)->over,
		   plait_failure_check(why, &plait_error_connection_done)
			   ? PLAIT_NONE
			   : plait_exit(plait_failure_errno(why)));
}

static void talker_done(struct plait_protocol *p)
{
	plait_promise_drop(&plait_self(p, struct talker)->over);
}

static const struct plait_protocol_ops talker_ops = {
	.name = "talker",
	.size = sizeof(struct talker),
	.connection_made = talker_made,
	.data_received = talker_echo,
	.connection_lost = talker_lost,
	.done = talker_done,
};

static plait_value abandoned(plait_value *result, void *arg)
{
	return PLAIT_NONE;
}

/* From and to these descriptors; says so much first, or echoes. */
static plait_value talk(struct plait_reactor *r, int in, int out, size_t most)
{
	struct plait_protocol *p = plait_protocol_new(&talker_ops);
	struct plait_deferred *d;
	struct talker *t;
	int rc;

	if (p == NULL)
		return plait_no_memory();
	t = plait_self(p, struct talker);
	t->most = most;
	d = plait_deferred_new(&t->over, NULL, NULL);
	rc = in == 0 && out == 1 ? plait_stdio(r, p, NULL)
				 : plait_pipe_transport(r, in, out, p, NULL);
	if (rc < 0) {
		plait_deferred_add_errback(d, abandoned, NULL);
		plait_deferred_free(&d);
		return plait_exit(-rc);
	}
	return plait_chain(&d);
}

static void watch_tells(struct plait_signal_watch *w, unsigned times)
{
	signals_told += times;
}

static plait_value end_watch(plait_value *result, void *arg)
{
	plait_signal_watch_stop(arg);
	free(arg);
	return *result;
}

/* Takes the signal, and does nothing about it. */
static plait_value be_deaf(struct plait_reactor *r, int number)
{
	struct plait_signal_watch *w = calloc(1, sizeof(*w));
	struct plait_deferred *d = plait_maybe_deferred(plait_forever());

	ck_assert_ptr_nonnull(w);
	ck_assert_int_eq(plait_signal_watch_start(r, w, number, watch_tells),
			 0);
	plait_deferred_add_both(d, end_watch, w);
	return plait_chain(&d);
}

static plait_value become(plait_value *result, void *arg)
{
	return plait_exit(0);
}

/* Leaves a child of its own behind, which has all that it has. */
static plait_value spawn_deaf(struct plait_reactor *r, bool waits)
{
	static const struct plait_process_ops nobody;
	static struct plait_process_protocol p;
	static const char *const argv[] = { "program", "deaf", NULL };
	struct plait_deferred *d = NULL;

	p = (struct plait_process_protocol){ .ops = &nobody };
	ck_assert_int_eq(plait_spawn(r, argv, &p,
				     &(struct plait_process_options){
					     .die_with_parent = waits },
				     NULL),
			 0);
	/* A signal ends it, so that its own child is not stopped. */
	if (!waits)
		plait_simulation_raise(r, SIGKILL);
	d = plait_maybe_deferred(plait_forever());
	plait_deferred_add_callback(d, become, NULL);
	return plait_chain(&d);
}

/* Says its own arguments. */
static plait_value tell_arguments(struct plait_reactor *r)
{
	const char *const *argv = plait_simulation_argv(r);
	size_t len = 0;

	for (size_t i = 0; argv[i] != NULL; i++)
		len += (size_t)sprintf(much + len, "%s ", argv[i]);
	return talk(r, -1, 1, len);
}

static bool is(const char *const *argv, const char *role)
{
	return strcmp(argv[1], role) == 0;
}

static plait_value program(struct plait_reactor *r, void *arg)
{
	const char *const *argv = plait_simulation_argv(r);

	ck_assert_ptr_nonnull(argv);
	inner = r;
	if (is(argv, "exit"))
		return plait_exit(atoi(argv[2]));
	if (is(argv, "cat"))
		return talk(r, 0, 1, 0);
	if (is(argv, "much"))
		return talk(r, -1, atoi(argv[2]), MUCH);
	if (is(argv, "take"))
		return talk(r, atoi(argv[2]), atoi(argv[3]), 0);
	if (is(argv, "arguments"))
		return tell_arguments(r);
	if (is(argv, "deaf"))
		return be_deaf(r, argv[2] != NULL ? atoi(argv[2]) : SIGTERM);
	if (is(argv, "leave"))
		return spawn_deaf(r, false);
	if (is(argv, "family"))
		return spawn_deaf(r, true);
	if (is(argv, "raise"))
		plait_simulation_raise(r, atoi(argv[2]));
	return plait_forever();
}

/* ---- the world ------------------------------------------------------------
 */

static void world_begin(const struct plait_simulation_options *o)
{
	world = plait_simulation_new(1, o);
	host = plait_simulation_host(world, "host");
	here = plait_host_reactor(host);
	ck_assert_int_eq(plait_host_set_program(host, "program", program, NULL),
			 0);
	memset(much, 'm', sizeof(much));
}

static void world_setup(void)
{
	static const struct plait_simulation_options perfect;

	world_begin(&perfect);
}

static void world_end(void)
{
	plait_reactor_free(&here);
	ck_assert_msg(plait_simulation_failure(world) == NULL, "%s",
		      plait_simulation_failure(world));
	plait_simulation_free(&world);
}

static void pass(double seconds)
{
	int rc = plait_simulation_run(world, seconds);

	ck_assert_msg(rc == 0 || rc == -EDEADLK, "%s", strerror(-rc));
}

static size_t length(const struct plait_list *list)
{
	const struct plait_list *l;
	size_t n = 0;

	plait_list_for_each (l, list)
		n++;
	return n;
}

static size_t processes(void)
{
	return length(&host->processes);
}

/* ---- a child that is noted ------------------------------------------------
 */

/* What it is told, a letter each: S started, r received, c closed, X exited, E
   ended, D done. */
struct child {
	struct plait_process_protocol base;
	char log[64];
	size_t logged, received;
	char out[64];
	struct plait_process_exit how;
	int closed_errno;
	double exited_at;
	bool is_stopped_then; /* what is left of its group */
};

static struct child it, other;
static const char *step;

static void note(struct plait_process_protocol *p, char what)
{
	struct child *c = plait_container(p, struct child, base);

	if (what == 'r' && c->logged > 0 && c->log[c->logged - 1] == 'r')
		return;
	if (c->logged + 1 < sizeof(c->log))
		c->log[c->logged++] = what;
}

static void child_started(struct plait_process_protocol *p)
{
	note(p, 'S');
}

static void child_received(struct plait_process_protocol *p, int fd,
			   const void *data, size_t len)
{
	struct child *c = plait_container(p, struct child, base);

	note(p, 'r');
	for (size_t i = 0; i < len; i++, c->received++) {
		if (c->received + 1 < sizeof(c->out))
			c->out[c->received] = ((const char *)data)[i];
	}
}

static void child_closed(struct plait_process_protocol *p, int fd,
			 const struct plait_failure *why)
{
	note(p, 'c');
	plait_container(p, struct child, base)->closed_errno =
		plait_failure_errno(why);
}

static void child_exited(struct plait_process_protocol *p,
			 const struct plait_process_exit *how)
{
	struct child *c = plait_container(p, struct child, base);

	note(p, 'X');
	c->how = *how;
	c->exited_at = plait_simulation_seconds(world);
	if (c->is_stopped_then)
		plait_process_stop(p);
}

static void child_ended(struct plait_process_protocol *p,
			const struct plait_process_exit *how)
{
	note(p, 'E');
}

static void child_done(struct plait_process_protocol *p)
{
	note(p, 'D');
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

static const struct plait_process_fd pipes[] = {
	{ .fd = 0, .kind = PLAIT_PROCESS_READS },
	{ .fd = 1, .kind = PLAIT_PROCESS_WRITES },
};

static int spawn_as(struct child *c, const struct plait_process_options *o,
		    const char *const *argv)
{
	*c = (struct child){ .base.ops = &child_ops };
	step = NULL;
	return plait_spawn(here, argv, &c->base, o, &step);
}

#define ARGV(...)                                                              \
	(const char *const[])                                                  \
	{                                                                      \
		"program", __VA_ARGS__, NULL                                   \
	}
#define OPTIONS(...)                                                           \
	&(const struct plait_process_options)                                  \
	{                                                                      \
		__VA_ARGS__                                                    \
	}
#define PIPES .fds = pipes, .n_fds = 2

static void write_to(struct child *c, const char *text, size_t len)
{
	struct plait_transport *t = plait_process_transport(&c->base, 0);

	plait_transport_write(t, text, len);
	plait_transport_lose_connection(t);
}

GROUP("children", .setup = world_setup, .teardown = world_end);

/* ---- how they end ---------------------------------------------------------
 */

TEST(a_child_ends_with_the_status_of_its_program, PURE)
{
	ck_assert_int_eq(spawn_as(&it, NULL, ARGV("exit", "7")), 0);
	pass(1);
	ck_assert_str_eq(it.log, "SXED");
	ck_assert_int_eq(it.how.code, 7);
	ck_assert_int_eq(it.how.signal, 0);
	ck_assert(!it.how.unknown);
	ck_assert_uint_eq(processes(), 0);
}

TEST(a_child_knows_how_it_was_called, PURE)
{
	ck_assert_int_eq(
		spawn_as(&it, OPTIONS(PIPES), ARGV("arguments", "x y")), 0);
	pass(1);
	ck_assert_str_eq(it.out, "program arguments x y ");
	ck_assert_ptr_null(plait_simulation_argv(here));
}

/* More than a pipe holds, in both directions. */
TEST(what_a_child_reads_it_can_write, PURE)
{
	ck_assert_int_eq(spawn_as(&it, OPTIONS(PIPES), ARGV("cat")), 0);
	write_to(&it, much, MUCH);
	pass(10);
	ck_assert_uint_eq(it.received, MUCH);
	ck_assert_str_eq(it.log + strlen(it.log) - 2, "ED");
	ck_assert_int_eq(it.how.code, 0);
}

TEST(a_child_that_is_stopped_ends_its_run, PURE)
{
	ck_assert_int_eq(spawn_as(&it, NULL, ARGV("wait")), 0);
	pass(1);
	plait_process_stop(&it.base);
	pass(1);
	ck_assert_str_eq(it.log, "SXED");
	ck_assert_int_eq(it.how.code, 0);
}

/* As a program that was not yet ready to take it. */
TEST(a_child_that_has_not_begun_is_ended_by_the_signal, PURE)
{
	ck_assert_int_eq(spawn_as(&it, NULL, ARGV("wait")), 0);
	ck_assert_int_eq(plait_process_signal(&it.base, SIGTERM), 0);
	pass(1);
	ck_assert_int_eq(it.how.signal, SIGTERM);
	ck_assert_int_eq(it.how.code, -1);
}

TEST(a_deaf_child_is_killed_when_its_grace_is_over, PURE)
{
	double then;

	ck_assert_int_eq(spawn_as(&it, OPTIONS(.grace = 3), ARGV("deaf")), 0);
	pass(1);
	then = plait_simulation_seconds(world);
	signals_told = 0;
	plait_process_stop(&it.base);
	pass(10);
	ck_assert_uint_eq(signals_told, 1);
	ck_assert_int_eq(it.how.signal, SIGKILL);
	ck_assert_double_eq_tol(it.exited_at, then + 3, 1e-6);
}

TEST(a_child_that_raises_a_signal_ends_by_it, PURE)
{
	ck_assert_int_eq(spawn_as(&it, OPTIONS(PIPES), ARGV("raise", "11")), 0);
	pass(1);
	ck_assert_int_eq(it.how.signal, SIGSEGV);
	/* Its input is the last that is closed, as nobody reads it. */
	ck_assert_uint_eq(it.base.process == NULL, true);
	ck_assert_uint_eq(processes(), 0);
	ck_assert_int_eq(plait_simulation_raise(here, SIGSEGV), -ESRCH);
}

TEST(signals_reach_the_child_that_they_are_for, PURE)
{
	ck_assert_int_eq(spawn_as(&it, NULL, ARGV("deaf", "10")), 0);
	ck_assert_int_eq(spawn_as(&other, NULL, ARGV("wait")), 0);
	pass(1);
	signals_told = 0;
	ck_assert_int_eq(plait_process_signal(&it.base, SIGUSR1), 0);
	ck_assert_int_eq(plait_process_signal(&it.base, SIGWINCH), 0);
	ck_assert_int_eq(plait_process_signal(&it.base, 0), 0);
	ck_assert_int_eq(plait_process_signal(&it.base, NSIG), -EINVAL);
	ck_assert_int_eq(plait_process_signal(&other.base, SIGUSR1), 0);
	pass(1);
	ck_assert_uint_eq(signals_told, 1);
	ck_assert_str_eq(it.log, "S");
	ck_assert_int_eq(other.how.signal, SIGUSR1);
	ck_assert_int_eq(plait_process_signal(&other.base, SIGUSR1), -ESRCH);
}

TEST(a_child_that_stands_still_goes_on_later, PURE)
{
	ck_assert_int_eq(spawn_as(&it, OPTIONS(PIPES), ARGV("cat")), 0);
	pass(1);
	ck_assert_int_eq(plait_process_signal(&it.base, SIGSTOP), 0);
	write_to(&it, "poem", 4);
	pass(1);
	ck_assert_uint_eq(it.received, 0);
	ck_assert_int_eq(plait_process_signal(&it.base, SIGCONT), 0);
	pass(1);
	ck_assert_str_eq(it.out, "poem");
}

TEST(a_child_that_stands_still_ends_its_run_when_it_is_stopped, PURE)
{
	double then;

	ck_assert_int_eq(spawn_as(&it, OPTIONS(.grace = 3), ARGV("wait")), 0);
	pass(1);
	ck_assert_int_eq(plait_process_signal(&it.base, SIGSTOP), 0);
	pass(1);
	then = plait_simulation_seconds(world);
	plait_process_stop(&it.base);
	pass(10);
	ck_assert_str_eq(it.log, "SXED");
	ck_assert_int_eq(it.how.code, 0);
	ck_assert_double_lt(it.exited_at, then + 3);
}

TEST(signals_of_the_host_are_for_its_programs_alone, PURE)
{
	ck_assert_int_eq(spawn_as(&it, NULL, ARGV("deaf")), 0);
	pass(1);
	signals_told = 0;
	ck_assert_int_eq(plait_host_signal(host, SIGTERM), 0);
	pass(1);
	ck_assert_uint_eq(signals_told, 0);
	ck_assert_uint_eq(plait_host_programs(host), 0);
	ck_assert_int_eq(plait_host_status(host), -1);
	ck_assert_str_eq(it.log, "S");
}

TEST(a_reactor_that_is_freed_has_no_child_left, PURE)
{
	ck_assert_int_eq(spawn_as(&it, NULL, ARGV("deaf")), 0);
	pass(1);
	plait_reactor_free(&here);
	ck_assert_str_eq(it.log, "SXED");
	ck_assert_int_eq(it.how.signal, SIGKILL);
	pass(1);
	ck_assert_uint_eq(processes(), 0);
}

/* ---- families -------------------------------------------------------------
 */

TEST(who_has_the_pipe_of_a_child_keeps_it_open, PURE)
{
	ck_assert_int_eq(
		spawn_as(&it, OPTIONS(PIPES, .new_group = true), ARGV("leave")),
		0);
	pass(1);
	ck_assert_str_eq(it.log, "ScX");
	ck_assert_int_eq(it.how.signal, SIGKILL);
	ck_assert_uint_eq(processes(), 2);
	plait_process_stop(&it.base);
	pass(1);
	ck_assert_str_eq(it.log, "ScX");
	pass(10);
	ck_assert_str_eq(it.log, "ScXcED");
	ck_assert_uint_eq(processes(), 0);
}

TEST(a_group_that_is_stopped_when_its_child_has_ended_is_over_later, PURE,
     TIMES(2))
{
	ck_assert_int_eq(
		spawn_as(&it, OPTIONS(.new_group = true), ARGV("exit", "0")),
		0);
	it.is_stopped_then = true;
	pass(1);
	ck_assert_str_eq(it.log, "SXED");
	if (_i == 0)
		pass(10);
}

TEST(a_child_may_die_with_its_parent, PURE)
{
	ck_assert_int_eq(spawn_as(&it, NULL, ARGV("family")), 0);
	pass(1);
	ck_assert_uint_eq(processes(), 2);
	ck_assert_int_eq(plait_process_signal(&it.base, SIGKILL), 0);
	ck_assert_uint_eq(length(&host->children), 2);
	pass(1);
	ck_assert_uint_eq(processes(), 0);
	ck_assert_uint_eq(length(&host->children), 0);
}

static plait_value keep_exit(plait_value *result, void *arg)
{
	*(struct plait_process_exit *)arg = *plait_value_process_exit(result);
	return PLAIT_NONE;
}

static plait_value keep_errno(plait_value *result, void *arg)
{
	*(int *)arg = plait_failure_errno(plait_value_failure(result));
	return PLAIT_NONE;
}

static int error_of(struct plait_deferred *d)
{
	int err = 0;

	plait_deferred_add_errback(d, keep_errno, &err);
	plait_deferred_free(&d);
	return err;
}

TEST(the_end_of_a_child_is_seen_by_who_watches_its_number, PURE)
{
	struct plait_process_exit how = { .code = -2 };
	struct plait_deferred *d;
	pid_t pid;

	ck_assert_int_eq(spawn_as(&it, NULL, ARGV("wait")), 0);
	pid = plait_process_pid(&it.base);
	d = plait_process_watch(here, pid);
	plait_deferred_add_callback(d, keep_exit, &how);
	pass(1);
	ck_assert_int_eq(how.code, -2);
	ck_assert_int_eq(plait_process_signal(&it.base, SIGKILL), 0);
	pass(1);
	ck_assert(how.unknown || how.signal == SIGKILL);
	plait_deferred_free(&d);
	ck_assert_int_eq(error_of(plait_process_watch(here, pid)), ESRCH);
}

/* ---- programs that are not there ------------------------------------------
 */

TEST(a_program_is_found_by_its_name_or_its_path, PURE)
{
	static const char *const by_path[] = { "/usr/bin/program", "exit", "1",
					       NULL };
	static const char *const elsewhere[] = { "./program", "exit", "2",
						 NULL };

	ck_assert_int_eq(spawn_as(&it, NULL, by_path), 0);
	pass(1);
	ck_assert_int_eq(it.how.code, 1);
	ck_assert_int_eq(spawn_as(&it, NULL, elsewhere), -ENOENT);
	ck_assert_str_eq(step, "exec");
	ck_assert_int_eq(plait_host_set_program(host, "./program", program, 0),
			 0);
	ck_assert_int_eq(spawn_as(&it, NULL, elsewhere), 0);
	pass(1);
	ck_assert_int_eq(it.how.code, 2);
}

TEST(a_program_can_be_removed_and_a_file_is_none, PURE)
{
	ck_assert_int_eq(spawn_as(&it, NULL, ARGV("exit", "3")), 0);
	ck_assert_int_eq(plait_host_set_program(host, "program", NULL, NULL),
			 0);
	ck_assert_int_eq(spawn_as(&other, NULL, ARGV("exit", "3")), -ENOENT);
	plait_host_set_file(host, "/bin/program", "poem");
	ck_assert_int_eq(spawn_as(&other, NULL, ARGV("exit", "3")), -EACCES);
	ck_assert_str_eq(step, "exec");
	pass(1);
	ck_assert_int_eq(it.how.code, 3);
}

/* ---- descriptors -----------------------------------------------------------
 */

static const struct plait_process_fd seven[] = {
	{ .fd = 7, .kind = PLAIT_PROCESS_READS },
	{ .fd = 3, .kind = PLAIT_PROCESS_WRITES },
};

TEST(a_child_has_its_descriptors_by_their_numbers, PURE)
{
	ck_assert_int_eq(spawn_as(&it, OPTIONS(.fds = seven, .n_fds = 2),
				  ARGV("take", "7", "3")),
			 0);
	plait_transport_write(plait_process_transport(&it.base, 7), "poem", 4);
	plait_transport_lose_connection(plait_process_transport(&it.base, 7));
	pass(1);
	ck_assert_str_eq(it.out, "poem");
	ck_assert_int_eq(it.how.code, 0);
}

/* Each gives its errno. */
TEST(what_a_child_was_not_given_it_cannot_take, PURE)
{
	ck_assert_int_eq(spawn_as(&it, OPTIONS(PIPES), ARGV("take", "7", "1")),
			 0);
	ck_assert_int_eq(
		spawn_as(&other, OPTIONS(PIPES), ARGV("take", "1", "-1")), 0);
	pass(1);
	ck_assert_int_eq(it.how.code, EBADF);
	ck_assert_int_eq(other.how.code, EBADF);
}

TEST(a_child_with_dev_null_reads_its_end, PURE)
{
	ck_assert_int_eq(spawn_as(&it, NULL, ARGV("cat")), 0);
	pass(1);
	ck_assert_int_eq(it.how.code, 0);
	ck_assert_int_eq(spawn_as(&it, NULL, ARGV("much", "1")), 0);
	pass(1);
	ck_assert_int_eq(it.how.code, 0);
}

TEST(a_child_whose_output_nobody_reads_is_told, PURE)
{
	ck_assert_int_eq(spawn_as(&it, OPTIONS(PIPES), ARGV("much", "1")), 0);
	plait_transport_pause_reading(plait_process_transport(&it.base, 1));
	pass(1);
	ck_assert_str_eq(it.log, "S");
	plait_transport_abort_connection(plait_process_transport(&it.base, 1));
	pass(1);
	ck_assert_int_eq(it.how.code, EPIPE);
}

TEST(who_writes_to_a_child_that_is_gone_is_told, PURE)
{
	ck_assert_int_eq(spawn_as(&it, OPTIONS(PIPES), ARGV("exit", "0")), 0);
	plait_transport_write(plait_process_transport(&it.base, 0), much, MUCH);
	pass(1);
	ck_assert_int_eq(it.how.code, 0);
	ck_assert_str_eq(it.log + strlen(it.log) - 2, "ED");
}

static const struct plait_process_fd given[] = {
	{ .fd = 0, .kind = PLAIT_PROCESS_INHERIT, .from = 3 },
};

TEST(what_is_no_pipe_is_not_given_to_a_child, PURE)
{
	ck_assert_int_eq(kernel_socket(loop_kernel(here), AF_INET, SOCK_STREAM),
			 4);
	ck_assert_int_eq(
		spawn_as(&it, OPTIONS(.fds = given, .n_fds = 1), ARGV("wait")),
		-EOPNOTSUPP);
	ck_assert_str_eq(step, "dup");
	ck_assert_int_eq(spawn_as(&it, OPTIONS(.pty = true), ARGV("wait")),
			 -EOPNOTSUPP);
	ck_assert_str_eq(step, "terminal");
	kernel_close(loop_kernel(here), 4);
}

/* They are not those of the process in which the test runs. */
TEST(a_program_that_is_no_child_has_no_descriptors, PURE)
{
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(
		plait_stdio(here, plait_protocol_new(&talker_ops), NULL),
		-ENOTSUP);
	ck_assert_int_eq(plait_pipe_transport(here, fds[0], fds[1],
					      plait_protocol_new(&talker_ops),
					      NULL),
			 -ENOTSUP);
	ck_assert_int_lt(close(fds[0]), 0);
}

TEST(a_simulated_program_has_no_orphans, PURE)
{
	struct plait_reaper reaper = { .patience = 1 };

	ck_assert_int_eq(plait_reaper_start(here, &reaper), -ENOTSUP);
}

/* ---- hosts -----------------------------------------------------------------
 */

static struct child *of_program;

static plait_value supervise(struct plait_reactor *r, void *arg)
{
	struct child *c = of_program = arg;

	*c = (struct child){ .base.ops = &child_ops };
	ck_assert_int_eq(plait_spawn(r, ARGV("deaf"), &c->base,
				     OPTIONS(PIPES, .new_group = true), NULL),
			 0);
	return plait_forever();
}

TEST(a_crash_leaves_no_child, PURE)
{
	ck_assert_int_eq(plait_host_run(host, supervise, &it), 0);
	pass(1);
	ck_assert_uint_eq(processes(), 1);
	plait_host_crash(host);
	pass(1);
	ck_assert_uint_eq(processes(), 0);
	ck_assert(it.how.unknown);
	plait_reactor_free(&here);
	plait_host_restart(host);
	pass(1);
	ck_assert_uint_eq(processes(), 1);
	ck_assert_str_eq(it.log, "S");
	plait_host_kill(host);
	pass(1);
	ck_assert_uint_eq(processes(), 0);
}

/* The program stops its child, and waits for it. */
TEST(a_shutdown_waits_for_its_children, PURE)
{
	double then;

	ck_assert_int_eq(plait_host_run(host, supervise, &it), 0);
	pass(1);
	then = plait_simulation_seconds(world);
	ck_assert_int_eq(plait_simulation_stop(world), 0);
	ck_assert_double_eq_tol(plait_simulation_seconds(world), then + 5,
				1e-6);
	ck_assert_int_eq(it.how.signal, SIGKILL);
	ck_assert_int_eq(plait_host_status(host), 0);
}

TEST(a_simulation_that_is_freed_frees_the_children_that_run, PURE)
{
	ck_assert_int_eq(plait_host_run(host, supervise, &it), 0);
	ck_assert_int_eq(spawn_as(&other, NULL, ARGV("leave")), 0);
	pass(1);
	ck_assert_uint_eq(processes(), 2);
}

TEST(each_host_has_its_own_programs, PURE)
{
	struct plait_host *h = plait_simulation_host(world, "other");
	struct plait_reactor *there = plait_host_reactor(h);

	it = (struct child){ .base.ops = &child_ops };
	ck_assert_int_eq(plait_spawn(there, ARGV("wait"), &it.base, NULL, NULL),
			 -ENOENT);
	plait_reactor_free(&there);
}

GROUP("refusals", .teardown = world_end);

/* ---- what a kernel refuses --------------------------------------------------
 */

TEST(a_kernel_may_refuse_children, PURE)
{
	static const struct {
		struct plait_host_faults faults;
		int err;
	} cases[] = {
		{ { .no_processes = 1 }, -EAGAIN },
		{ { .no_memory = 1 }, -ENOMEM },
	};

	world_setup();
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		plait_host_set_faults(host, &cases[i].faults);
		ck_assert_int_eq(spawn_as(&it, NULL, ARGV("wait")),
				 cases[i].err);
		ck_assert_str_eq(step, "clone");
	}
	plait_host_set_faults(
		host, &(struct plait_host_faults){ .no_descriptors = 1 });
	ck_assert_int_eq(spawn_as(&it, OPTIONS(PIPES), ARGV("wait")), -EMFILE);
	ck_assert_str_eq(step, "pipe");
	ck_assert_uint_eq(processes(), 0);
}

/* With all that a kernel does to calls, the bytes are the same. */
TEST(calls_that_are_cut_lose_nothing, PURE)
{
	static const struct plait_simulation_options o = {
		.faults = { .short_read = 0.9,
			    .short_write = 0.9,
			    .interrupted = 0.5,
			    .spurious = 0.5 },
		.turn_time = 0.001,
		.start_time = 1,
	};

	world_begin(&o);
	ck_assert_int_eq(spawn_as(&it, OPTIONS(PIPES), ARGV("cat")), 0);
	write_to(&it, much, MUCH);
	pass(1000);
	ck_assert_uint_eq(it.received, MUCH);
	ck_assert_int_eq(it.how.code, 0);
}

TEST(a_child_may_take_a_while_to_start, PURE)
{
	static const struct plait_simulation_options o = { .start_time = 100 };

	world_begin(&o);
	ck_assert_int_eq(spawn_as(&it, NULL, ARGV("exit", "0")), 0);
	pass(100);
	ck_assert_str_eq(it.log, "SXED");
	ck_assert_double_gt(it.exited_at, 1);
}

static uint64_t digest_of_a_run(uint64_t seed)
{
	uint64_t digest;

	world = plait_simulation_new(seed, NULL);
	host = plait_simulation_host(world, "host");
	here = plait_host_reactor(host);
	plait_host_set_program(host, "program", program, NULL);
	if (spawn_as(&it, OPTIONS(PIPES), ARGV("cat")) == 0)
		write_to(&it, much, MUCH);
	if (spawn_as(&other, OPTIONS(.new_group = true), ARGV("leave")) == 0)
		plait_process_stop(&other.base);
	pass(100);
	digest = plait_simulation_digest(world);
	return digest;
}

TEST(the_same_seed_does_the_same_to_children, PURE, TIMES(20))
{
	uint64_t first = digest_of_a_run((uint64_t)_i);

	world_end();
	ck_assert_uint_eq(digest_of_a_run((uint64_t)_i), first);
}

/* Whichever allocation fails, there is a child that works, or none. */
TEST(without_memory_there_is_no_child, PURE)
{
	bool refused = true;
	int rc;

	for (unsigned long n = 0; refused; n++) {
		world_setup();
		fault_alloc_at(n, false);
		rc = spawn_as(&it, OPTIONS(PIPES), ARGV("exit", "7"));
		refused = fault_alloc_reached();
		fault_alloc_off();
		pass(1);
		if (rc == 0)
			ck_assert_int_eq(it.how.code, 7);
		else
			ck_assert_str_eq(it.log, "");
		ck_assert_uint_eq(processes(), 0);
		if (refused)
			world_end();
	}
}

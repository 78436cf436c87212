/*
 * Children of all kinds at once, beside those that the program makes itself in
 * other threads: each has the end that was asked for, and no status is lost, or
 * taken from somebody else.
 *
 * $PLAIT_SEEDS says how many children plait has, $PLAIT_SEED which random
 * numbers decide what they do.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include <plait/run.h>

#include "tests/harness.h"

enum { CHILDREN = 200, AT_ONCE = 24, SHARE = 4, TEXT = 80 };

static uint32_t state;

static unsigned chance(unsigned n)
{
	state = state * 1664525 + 1013904223;
	return (state >> 8) % n;
}

static unsigned number_from(const char *variable, unsigned otherwise)
{
	const char *n = getenv(variable);

	return n != NULL ? (unsigned)strtoul(n, NULL, 10) : otherwise;
}

/* ---- one child of plait's --------------------------------------------------
 */

struct kid {
	struct plait_process_protocol base;
	struct plait_deferred *deferred;
	bool is_busy;
	unsigned kind, code;
	unsigned n_exited;
	char out[TEXT];
	size_t n_out;
};

static struct kid kids[AT_ONCE];
static unsigned finished;

static void kid_finish(struct kid *k)
{
	k->is_busy = false;
	finished++;
}

static void kid_received(struct plait_process_protocol *p, int fd,
			 const void *data, size_t len)
{
	struct kid *k = plait_container(p, struct kid, base);

	ck_assert_uint_lt(k->n_out + len, TEXT);
	memcpy(k->out + k->n_out, data, len);
	k->n_out += len;
}

static void kid_exited(struct plait_process_protocol *p,
		       const struct plait_process_exit *how)
{
	struct kid *k = plait_container(p, struct kid, base);

	k->n_exited++;
	ck_assert(!how->unknown);
	if (k->kind == 1) {
		ck_assert_int_eq(how->code, -1);
		ck_assert_int_eq(how->signal, SIGUSR1);
	} else {
		ck_assert_int_eq(how->signal, 0);
		ck_assert_int_eq(how->code, (int)k->code);
	}
	plait_process_stop(p);
}

static void kid_done(struct plait_process_protocol *p)
{
	struct kid *k = plait_container(p, struct kid, base);
	char said[TEXT];

	ck_assert_uint_eq(k->n_exited, 1);
	snprintf(said, sizeof(said), "%u%s\n", k->code,
		 k->kind == 4 ? "\r" : "");
	if (k->kind == 2 || k->kind == 4)
		ck_assert_str_eq(k->out, said);
	kid_finish(k);
}

static const struct plait_process_ops kid_ops = {
	.received = kid_received,
	.exited = kid_exited,
	.done = kid_done,
};

static const struct plait_process_fd talking[] = {
	{ .fd = 0, .kind = PLAIT_PROCESS_NULL },
	{ .fd = 1, .kind = PLAIT_PROCESS_WRITES },
	{ .fd = 2, .kind = PLAIT_PROCESS_INHERIT, .from = 2 },
};

/* What each kind does; the last leaves somebody behind who ignores SIGTERM. */
static const char *const texts[] = {
	"exit %u",
	"kill -USR1 $$",
	"echo %1$u; exit %1$u",
	"(trap '' TERM; while :; do sleep 1000; done) & exit %u",
	"echo %1$u; exit %1$u",
};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void kid_text(const struct kid *k, char *text, size_t size)
{
	snprintf(text, size, texts[k->kind], k->code);
}
#pragma GCC diagnostic pop

static void kid_spawn(struct kid *k)
{
	struct plait_process_options o = { .fds = talking,
					   .n_fds = 3,
					   .grace = 0.01 };
	char text[2 * TEXT];
	const char *const argv[] = { "/bin/sh", "-c", text, NULL };

	kid_text(k, text, sizeof(text));
	o.new_group = k->kind == 3;
	if (k->kind == 4) {
		o.pty = true;
		o.fds = NULL;
	}
	k->base.ops = &kid_ops;
	ck_assert_int_eq(plait_spawn(reactor, argv, &k->base, &o, NULL), 0);
}

/* ---- ... as a deferred -----------------------------------------------------
 */

static plait_value kid_has_run(plait_value *result, void *arg)
{
	struct kid *k = arg;
	const struct plait_output *o = plait_value_output(result);

	ck_assert_uint_eq(k->kind, 5);
	ck_assert_uint_eq(plait_buf_size(o->out), 5);
	kid_finish(k);
	return PLAIT_NONE;
}

static plait_value kid_has_failed(plait_value *result, void *arg)
{
	struct kid *k = arg;
	const struct plait_failure *f = plait_value_failure(result);
	const plait_value *detail = plait_failure_detail(f);

	switch (k->kind) {
	case 6:
		ck_assert_ptr_eq(plait_failure_kind(f), &plait_error_process);
		ck_assert_int_eq(plait_value_output(detail)->how.code,
				 (int)k->code);
		break;
	case 7:
		ck_assert(plait_failure_check(f, &plait_error_cancelled));
		break;
	default:
		ck_assert_int_eq(plait_failure_errno(f), ENOENT);
	}
	kid_finish(k);
	return PLAIT_NONE;
}

static void kid_run(struct kid *k)
{
	static const char *const cat[] = { "cat", NULL };
	static const char *const lasts[] = { "sleep", "1000", NULL };
	static const char *const nothing[] = { "/nonexistent/poem", NULL };
	char text[TEXT];
	const char *const sh[] = { "/bin/sh", "-c", text, NULL };

	snprintf(text, sizeof(text), "exit %u", k->code);
	if (k->kind == 5)
		k->deferred =
			plait_run(reactor, cat, plait_text("poem\n"), NULL);
	else
		k->deferred = plait_run(reactor,
					k->kind == 6   ? sh
					: k->kind == 7 ? lasts
						       : nothing,
					PLAIT_NONE, NULL);
	plait_deferred_add_callbacks(k->deferred, kid_has_run, k,
				     kid_has_failed, k);
	if (k->kind == 7)
		plait_deferred_cancel(k->deferred);
}

/* ---- ... and one of the program's own --------------------------------------
 */

static plait_value kid_is_gone(plait_value *result, void *arg)
{
	struct kid *k = arg;
	pid_t pid = (pid_t)k->n_out;
	int status;

	ck_assert_int_eq(plait_value_process_exit(result)->code, (int)k->code);
	ck_assert_int_eq(waitpid(pid, &status, WNOHANG), pid);
	ck_assert_int_eq(WEXITSTATUS(status), (int)k->code);
	kid_finish(k);
	return PLAIT_NONE;
}

static void kid_fork(struct kid *k)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit((int)k->code);
	k->n_out = (size_t)pid;
	k->deferred = plait_process_watch(reactor, pid);
	plait_deferred_add_callback(k->deferred, kid_is_gone, k);
}

static void kid_begin(struct kid *k)
{
	plait_deferred_free(&k->deferred);
	*k = (struct kid){ .is_busy = true,
			   .kind = chance(10),
			   .code = 1 + chance(100) };
	if (k->kind < 5)
		kid_spawn(k);
	else if (k->kind < 9)
		kid_run(k);
	else
		kid_fork(k);
}

/* ---- beside them -----------------------------------------------------------
 */

struct beside {
	pthread_t thread;
	unsigned n;
	unsigned wrong;
};

static void *call_system(void *arg)
{
	struct beside *b = arg;
	char text[TEXT];

	for (unsigned i = 0; i < b->n; i++) {
		int status;

		snprintf(text, sizeof(text), "exit %u", i % 100);
		status = system(text);
		b->wrong += !WIFEXITED(status) ||
			    WEXITSTATUS(status) != (int)(i % 100);
	}
	return NULL;
}

static void *call_popen(void *arg)
{
	struct beside *b = arg;
	char text[TEXT], line[TEXT];

	for (unsigned i = 0; i < b->n; i++) {
		unsigned said = 0;
		int status;
		FILE *f;

		snprintf(text, sizeof(text), "echo %u; exit %u", i, i % 100);
		f = popen(text, "r");
		if (f != NULL && fgets(line, sizeof(line), f) != NULL)
			said = (unsigned)strtoul(line, NULL, 10);
		status = f != NULL ? pclose(f) : -1;
		b->wrong += said != i || !WIFEXITED(status) ||
			    WEXITSTATUS(status) != (int)(i % 100);
	}
	return NULL;
}

static void run_all(unsigned n)
{
	unsigned begun = 0;

	for (finished = 0; finished < n;) {
		for (int i = 0; i < AT_ONCE && begun < n; i++) {
			if (kids[i].is_busy)
				continue;
			begun++;
			kid_begin(&kids[i]);
		}
		plait_reactor_iterate(reactor, 0.01);
	}
	for (int i = 0; i < AT_ONCE; i++)
		plait_deferred_free(&kids[i].deferred);
}

/* Those who were cancelled may end later. */
static bool nobody_is_left(void *unused)
{
	siginfo_t info = { .si_pid = 0 };

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0;
}

static void no_children(void)
{
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}

GROUP("mixed", .teardown = no_children, .timeout = 1200);

/* With descriptors of processes, and without. */
TEST(no_status_is_lost_or_taken, ON_EACH_BACKEND, TIMES(2))
{
	unsigned n = number_from("PLAIT_SEEDS", CHILDREN);
	struct beside calls_system = { .n = n / SHARE },
		      calls_popen = { .n = n / SHARE };

	state = number_from("PLAIT_SEED", 1);
	if (_i == 1)
		fault_call_forever("pidfd_send_signal", EPERM);
	ck_assert_int_eq(pthread_create(&calls_system.thread, NULL, call_system,
					&calls_system),
			 0);
	ck_assert_int_eq(pthread_create(&calls_popen.thread, NULL, call_popen,
					&calls_popen),
			 0);
	run_all(n);
	pthread_join(calls_system.thread, NULL);
	pthread_join(calls_popen.thread, NULL);
	ck_assert_uint_eq(calls_system.wrong, 0);
	ck_assert_uint_eq(calls_popen.wrong, 0);
	run_until(reactor, nobody_is_left, NULL);
}

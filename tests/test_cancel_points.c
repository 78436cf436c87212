/*
 * Cancel points: small pieces of work, most with a mistake in them, as programs
 * have it.  Each mistake is found and told in words, and what has none is
 * accused of nothing.
 */
#include <math.h>
#include <stdio.h>

#include <plait/cancel_points.h>
#include <plait/client.h>
#include <plait/simulation.h>
#include <plait/testing.h>

#include "tests/harness.h"
#include "tests/timed.h"

/* ---- pieces of work ------------------------------------------------- */

/* One for all, so that what is left undone finds its memory. */
static struct job {
	struct plait_reactor *reactor;
	struct plait_timer timer, second;
	struct plait_promise *promise;
	struct plait_deferred *inner;
	struct plait_scope *scope, *inner_scope;
	struct plait_shared *shared;
	struct plait_port *port;
	struct plait_transport *transport;
	struct plait_lock *lock;
	unsigned requests;
	int fd;
	bool ended;
	const char *wrong;
} job;

static void job_fire(void *arg)
{
	plait_fire(&job.promise, plait_int(1));
}

static plait_value job_stop(struct plait_deferred *d, void *arg)
{
	plait_timer_stop(&job.timer);
	plait_promise_drop(&job.promise);
	return plait_cancelled();
}

static struct plait_deferred *
job_start(struct plait_reactor *r, plait_canceller *canceller, double seconds)
{
	job.reactor = r;
	plait_timer_start(r, &job.timer, seconds, job_fire, NULL);
	return plait_deferred_new(&job.promise, canceller, NULL);
}

static struct plait_deferred *sound(struct plait_reactor *r, void *arg)
{
	return job_start(r, job_stop, 2);
}

static struct plait_deferred *at_once(struct plait_reactor *r, void *arg)
{
	return plait_succeed(plait_int(1));
}

/* Three steps one after the other, the second of them in time. */
static plait_value then_wait(plait_value *result, void *arg)
{
	struct plait_deferred *d =
		plait_defer_later(job.reactor, 1, NULL, NULL);

	return plait_chain(&d);
}

static struct plait_deferred *in_steps(struct plait_reactor *r, void *arg)
{
	struct plait_deferred *d = sound(r, arg);

	plait_deferred_add_callback(d, then_wait, NULL);
	plait_deferred_add_timeout(d, r, 10);
	return plait_deferred_add_callback(d, then_wait, NULL);
}

/*
 * It fires in the turn in which another timer of it runs: a deadline that is
 * set in the callback of that comes too late.
 */
static plait_value job_stop_both(struct plait_deferred *d, void *arg)
{
	plait_timer_stop(&job.second);
	return job_stop(d, arg);
}

static void nothing(void *arg)
{
}

static struct plait_deferred *in_the_same_turn(struct plait_reactor *r,
					       void *arg)
{
	plait_timer_start(r, &job.second, 2, nothing, NULL);
	return job_start(r, job_stop_both, 2);
}

/* ---- time that goes on ---------------------------------------------- */

static struct plait_deferred *forgets_timer(struct plait_reactor *r, void *arg)
{
	return job_start(r, NULL, 2);
}

static plait_value job_stop_timer(struct plait_deferred *d, void *arg)
{
	plait_timer_stop(&job.timer);
	return plait_cancelled();
}

static struct plait_deferred *forgets_promise(struct plait_reactor *r,
					      void *arg)
{
	return job_start(r, job_stop_timer, 2);
}

static plait_value job_begin_again(struct plait_deferred *d, void *arg)
{
	job_stop(d, arg);
	plait_timer_start(job.reactor, &job.timer, 100, nothing, NULL);
	return plait_cancelled();
}

static struct plait_deferred *begins_again(struct plait_reactor *r, void *arg)
{
	return job_start(r, job_begin_again, 2);
}

static void spin(void *arg)
{
	plait_timer_start(job.reactor, &job.timer, 0, spin, NULL);
}

static plait_value job_spin(struct plait_deferred *d, void *arg)
{
	job_stop(d, arg);
	spin(NULL);
	return plait_cancelled();
}

static struct plait_deferred *spins(struct plait_reactor *r, void *arg)
{
	return job_start(r, job_spin, 2);
}

static plait_value job_stop_inner(struct plait_deferred *d, void *arg)
{
	plait_deferred_cancel(job.inner);
	return job_stop(d, arg);
}

static plait_value free_inner(plait_value *result, void *arg)
{
	plait_deferred_free(&job.inner);
	return plait_value_take(result);
}

static struct plait_deferred *with_inner(struct plait_reactor *r,
					 plait_canceller *canceller)
{
	struct plait_deferred *d = job_start(r, canceller, 2);

	job.inner = plait_defer_later(r, 100, NULL, NULL);
	return d;
}

static struct plait_deferred *frees_inner(struct plait_reactor *r, void *arg)
{
	return plait_deferred_add_both(with_inner(r, job_stop_inner),
				       free_inner, NULL);
}

static struct plait_deferred *forgets_deferred(struct plait_reactor *r,
					       void *arg)
{
	return plait_deferred_add_callback(with_inner(r, job_stop), free_inner,
					   NULL);
}

/* It leaves work that ends soon by itself. */
static plait_value detach_inner(plait_value *result, void *arg)
{
	plait_deferred_detach(&job.inner);
	return plait_value_take(result);
}

static struct plait_deferred *stops_later(struct plait_reactor *r, void *arg)
{
	struct plait_deferred *d = job_start(r, job_stop, 2);

	job.inner = plait_defer_later(r, 3, NULL, NULL);
	return plait_deferred_add_both(d, detach_inner, NULL);
}

/* ---- what comes of it ----------------------------------------------- */

static plait_value give_two(plait_value *result, void *arg)
{
	return plait_int(2);
}

static struct plait_deferred *swallows(struct plait_reactor *r, void *arg)
{
	return plait_deferred_add_errback(sound(r, arg), give_two, NULL);
}

static plait_value fail_again(plait_value *result, void *arg)
{
	return plait_fail_because(&plait_error_any, arg, "the end");
}

/* It waits for a while, and fails then, because of the cancel. */
static plait_value go_on(plait_value *result, void *arg)
{
	struct plait_deferred *d =
		plait_defer_later(job.reactor, 3, NULL, NULL);

	plait_deferred_add_callback(
		d, fail_again, (void *)(uintptr_t)plait_value_failure(result));
	return plait_chain(&d);
}

static struct plait_deferred *goes_on(struct plait_reactor *r, void *arg)
{
	return plait_deferred_add_errback(sound(r, arg), go_on, NULL);
}

static plait_value answer_otherwise(struct plait_deferred *d, void *arg)
{
	job_stop(d, arg);
	return plait_fail(&plait_error_os, "the server is silent");
}

static struct plait_deferred *answers(struct plait_reactor *r, void *arg)
{
	return job_start(r, answer_otherwise, 2);
}

static plait_value answer_nameless(struct plait_deferred *d, void *arg)
{
	job_stop(d, arg);
	return plait_fail(&plait_error_cancelled, "enough");
}

static struct plait_deferred *names_nobody(struct plait_reactor *r, void *arg)
{
	return job_start(r, answer_nameless, 2);
}

static plait_value fail_later(void *arg)
{
	return plait_fail(&plait_error_os, "nobody hears this");
}

static plait_value job_lose_failure(struct plait_deferred *d, void *arg)
{
	struct plait_deferred *other =
		plait_defer_later(job.reactor, 1, fail_later, NULL);

	plait_deferred_detach(&other);
	return job_stop(d, arg);
}

static struct plait_deferred *loses_failure(struct plait_reactor *r, void *arg)
{
	return job_start(r, job_lose_failure, 2);
}

static struct plait_deferred *fails(struct plait_reactor *r, void *arg)
{
	return plait_defer_later(r, 1, fail_later, NULL);
}

static struct plait_deferred *never_ends(struct plait_reactor *r, void *arg)
{
	return plait_deferred_new(&job.promise, NULL, NULL);
}

/* ---- what the program keeps ----------------------------------------- */

static void call_back(void *arg)
{
	if (job.ended)
		job.wrong = "called back after the end";
	else
		job_fire(arg);
}

static plait_value job_end(plait_value *result, void *arg)
{
	job.ended = true;
	plait_promise_drop(&job.promise);
	return plait_value_take(result);
}

static struct plait_deferred *calls_back(struct plait_reactor *r, void *arg)
{
	struct plait_deferred *d = job_start(r, NULL, 2);

	job.ended = false;
	job.timer.fn = call_back;
	return plait_deferred_add_both(d, job_end, NULL);
}

static const char *look_for_wrong(void *arg)
{
	return job.wrong;
}

static plait_value leave_table(plait_value *result, void *arg)
{
	job.requests--;
	return plait_value_take(result);
}

static struct plait_deferred *forgets_table(struct plait_reactor *r, void *arg)
{
	job.requests = 1;
	return plait_deferred_add_callback(sound(r, arg), leave_table, NULL);
}

static const char *look_into_table(void *arg)
{
	return job.requests == 0 ? NULL : "the table is not empty";
}

static plait_value then_work(plait_value *result, void *arg)
{
	struct plait_deferred *d = sound(job.reactor, NULL);

	return plait_chain(&d);
}

static plait_value unlock(plait_value *result, void *arg)
{
	plait_lock_release(job.lock);
	return plait_value_take(result);
}

static struct plait_reactor *open_with_lock(void *arg)
{
	job.lock = plait_lock_new();
	return plait_testing_reactor_new();
}

static void close_with_lock(struct plait_reactor *r, void *arg)
{
	plait_lock_free(&job.lock);
	plait_reactor_free(&r);
}

static struct plait_deferred *leaves_locked(struct plait_reactor *r, void *arg)
{
	job.reactor = r;
	return plait_deferred_add_callback(
		plait_deferred_add_callback(plait_lock_acquire(job.lock),
					    then_work, NULL),
		unlock, NULL);
}

static struct plait_deferred *locks(struct plait_reactor *r, void *arg)
{
	struct plait_deferred *d = plait_lock_acquire(job.lock);

	job.reactor = r;
	plait_deferred_add_callback(d, then_work, NULL);
	return plait_deferred_add_both(d, unlock, NULL);
}

/* The next holder of the lock waits until a callback of the work returned. */
static plait_value end_while_working(plait_value *result, void *arg)
{
	job.ended = true;
	plait_deferred_cancel(job.inner);
	job.ended = false;
	return PLAIT_NONE;
}

static plait_value work_that_is_ended(void *arg)
{
	struct plait_deferred *d =
		plait_defer_later(job.reactor, 1, NULL, NULL);

	plait_deferred_add_callback(d, end_while_working, NULL);
	job.shared = plait_shared_new(&d);
	d = plait_shared_wait(job.shared);
	return plait_chain(&d);
}

static plait_value hold_lock(plait_value *result, void *arg)
{
	if (job.ended)
		job.wrong = "the lock was handed on too early";
	return unlock(result, arg);
}

static struct plait_deferred *waits_for_lock(struct plait_reactor *r, void *arg)
{
	job.reactor = r;
	job.inner = plait_lock_run(job.lock, work_that_is_ended, NULL);
	plait_deferred_add_errback(job.inner, give_two, NULL);
	return plait_deferred_add_callback(plait_lock_acquire(job.lock),
					   hold_lock, NULL);
}

static const char *end_others(void *arg)
{
	plait_deferred_free(&job.inner);
	plait_shared_free(&job.shared);
	return job.wrong;
}

/* Who waits for the same goes on waiting when another is ended. */
static plait_value note_other(plait_value *result, void *arg)
{
	if (plait_value_is_failure(result))
		job.wrong = "another was ended, too";
	return PLAIT_NONE;
}

static struct plait_deferred *shares(struct plait_reactor *r, void *arg)
{
	struct plait_deferred *d = plait_defer_later(r, 2, NULL, NULL);

	job.shared = plait_shared_new(&d);
	d = plait_shared_wait(job.shared);
	job.inner = plait_shared_wait(job.shared);
	plait_deferred_add_both(job.inner, note_other, NULL);
	return d;
}

/* Its canceller ends a scope, and with it what is in the scope inside. */
static plait_value job_end_scope(struct plait_deferred *d, void *arg)
{
	plait_scope_cancel(job.scope, NULL);
	return job_stop(d, arg);
}

static plait_value free_scopes(plait_value *result, void *arg)
{
	if (!plait_value_is_failure(result))
		plait_deferred_free(&job.inner);
	plait_scope_free(&job.inner_scope);
	plait_scope_free(&job.scope);
	return plait_value_take(result);
}

static struct plait_deferred *in_scopes(struct plait_reactor *r, void *arg)
{
	struct plait_deferred *d = job_start(r, job_end_scope, 2);

	job.scope = plait_scope_new(r);
	job.inner_scope = plait_scope_new_in(job.scope);
	job.inner = plait_scope_start(job.inner_scope,
				      plait_defer_later(r, 100, NULL, NULL));
	return plait_deferred_add_both(d, free_scopes, NULL);
}

/* ---- the network ---------------------------------------------------- */

static const struct plait_protocol_ops silent_ops = { .name = "silent" };
static struct plait_factory silent = { .protocol = &silent_ops };

static plait_value hang_up(plait_value *result, void *arg)
{
	plait_transport_lose_connection(job.transport);
	return plait_value_take(result);
}

static struct plait_deferred *connected(struct plait_reactor *r)
{
	job.transport = plait_testing_connect(r, &silent);
	return sound(r, NULL);
}

static struct plait_deferred *hangs_up(struct plait_reactor *r, void *arg)
{
	return plait_deferred_add_both(connected(r), hang_up, NULL);
}

static struct plait_deferred *forgets_connection(struct plait_reactor *r,
						 void *arg)
{
	return plait_deferred_add_callback(connected(r), hang_up, NULL);
}

/* It waits for an answer, which cannot come any more. */
static void hear_answer(struct plait_protocol *p, const void *data, size_t len)
{
	plait_transport_lose_connection(p->transport);
	plait_fire(&job.promise, plait_int(1));
}

static void answer(void *arg)
{
	plait_testing_deliver(job.transport, "answer", 6);
}

static const struct plait_protocol_ops deaf_ops = {
	.name = "deaf",
	.data_received = hear_answer,
};

static struct plait_factory deaf = { .protocol = &deaf_ops };

static plait_value job_abort(struct plait_deferred *d, void *arg)
{
	plait_transport_abort_connection(job.transport);
	return job_stop(d, arg);
}

static struct plait_deferred *waits_for_ever(struct plait_reactor *r, void *arg)
{
	struct plait_deferred *d = job_start(r, job_abort, 2);

	job.timer.fn = answer;
	job.transport = plait_testing_connect(r, &deaf);
	return d;
}

static plait_value close_port(plait_value *result, void *arg)
{
	plait_port_free(&job.port);
	return plait_value_take(result);
}

static struct plait_deferred *forgets_port(struct plait_reactor *r, void *arg)
{
	ck_assert_int_eq(plait_listen_tcp(r, 0, &silent, NULL, &job.port), 0);
	return plait_deferred_add_callback(sound(r, arg), close_port, NULL);
}

/* A port that drains, with nobody there. */
static struct plait_deferred *drains(struct plait_reactor *r, void *arg)
{
	struct plait_listen_options o = { .iface = "127.0.0.1" };

	ck_assert_int_eq(plait_listen_tcp(r, 0, &silent, &o, &job.port), 0);
	return plait_port_drain(&job.port);
}

static plait_value free_scope(plait_value *result, void *arg)
{
	plait_scope_free(&job.scope);
	return plait_value_take(result);
}

static struct plait_deferred *forgets_scope(struct plait_reactor *r, void *arg)
{
	job.scope = plait_scope_new(r);
	return plait_deferred_add_callback(sound(r, arg), free_scope, NULL);
}

static plait_value close_file(plait_value *result, void *arg)
{
	close(job.fd);
	job.fd = -1;
	return plait_value_take(result);
}

static struct plait_deferred *forgets_file(struct plait_reactor *r, void *arg)
{
	job.fd = dup(0);
	return plait_deferred_add_callback(sound(r, arg), close_file, NULL);
}

/* ---- inside a callback ---------------------------------------------- */

static void leave_callback(void *arg)
{
	job.requests = 0;
}

static void be_in_callback(void *arg)
{
	job.requests = 1;
	plait_call_later(job.reactor, 0, leave_callback, NULL);
	plait_timer_start(job.reactor, &job.timer, 1, job_fire, NULL);
}

/* It is right as long as nobody cancels before the next turn. */
static plait_value job_stop_outside(struct plait_deferred *d, void *arg)
{
	if (job.requests == 0)
		job_stop(d, arg);
	return plait_cancelled();
}

static struct plait_deferred *wrong_inside(struct plait_reactor *r, void *arg)
{
	struct plait_deferred *d = job_start(r, job_stop_outside, 1);

	job.timer.fn = be_in_callback;
	return d;
}

/* ---- the tests ------------------------------------------------------ */

struct trial {
	const char *name;
	struct plait_cancel_check check;
	const char *verdict; /* NULL: it is sound */
	const char *also;    /* told as well; NULL: nothing */
};

#define TRIAL(scenario, says, tells, ...)                                      \
	{                                                                      \
		.name = #scenario, .verdict = says, .also = tells, .check = {  \
			.start = scenario,                                     \
			__VA_ARGS__                                            \
		}                                                              \
	}

static struct plait_reactor *open_testing(void *arg)
{
	return plait_testing_reactor_new();
}

#define LOCKED .open = open_with_lock, .close = close_with_lock
#define ON_TESTING .open = open_testing

static const struct trial trials[] = {
	TRIAL(sound, NULL, NULL),
	TRIAL(at_once, NULL, NULL),
	TRIAL(in_steps, NULL, NULL),
	TRIAL(in_the_same_turn, NULL, NULL),
	TRIAL(frees_inner, NULL, NULL),
	TRIAL(hangs_up, NULL, NULL, ON_TESTING),
	TRIAL(locks, NULL, NULL, LOCKED),
	TRIAL(waits_for_lock, NULL, NULL, LOCKED, .after = end_others),
	TRIAL(shares, NULL, NULL, .after = end_others),
	TRIAL(in_scopes, NULL, NULL, .after = end_others, .ends_at_once = true),
	TRIAL(drains, NULL, NULL, .ends_at_once = true),
	TRIAL(goes_on, NULL, NULL, .may_go_on = true),
	TRIAL(answers, NULL, NULL, .answers = &plait_error_any),
	TRIAL(in_steps, NULL, NULL, .ends_at_once = true),
	TRIAL(frees_inner, NULL, NULL, .ends_at_once = true),
	TRIAL(stops_later, NULL, NULL),
	TRIAL(stops_later, "was ended, and 1 deferred or port still waits",
	      "deferred made at tests/test_cancel_points.c",
	      .ends_at_once = true),
	TRIAL(stops_later, "way free",
	      "was ended, and 1 deferred or port still waits",
	      .ends_at_once = true, .how = PLAIT_CANCEL_FREE),
	TRIAL(swallows, NULL, NULL, .accepts_value = true),
	TRIAL(forgets_timer, NULL, NULL, .may_fire_late = true),
	TRIAL(begins_again, NULL, NULL, .grace = 101),
	TRIAL(begins_again, NULL, NULL, .grace = INFINITY,
	      .patience = INFINITY),
	TRIAL(forgets_timer, "point 1, way cancel, inside a callback, at 2.000",
	      "a promise was fired after its cancel"),
	TRIAL(begins_again, "1 more is left", "timer that calls "),
	TRIAL(spins, "something happens again and again", NULL),
	TRIAL(forgets_promise, "1 more is left",
	      "deferred made at tests/test_cancel_points.c"),
	TRIAL(forgets_deferred, "2 more are left",
	      "deferred made at tests/test_cancel_points.c"),
	TRIAL(swallows, "swallowed: the deferred has the value 2", NULL),
	TRIAL(goes_on, "the cancel has returned, and the deferred has not",
	      NULL),
	TRIAL(goes_on, "not fired", NULL, .how = PLAIT_CANCEL_DEADLINE),
	TRIAL(answers, "with something else: OSError: the server is silent",
	      NULL),
	TRIAL(answers, "something else", NULL, .answers = &plait_error_connect),
	TRIAL(names_nobody, "does not say who cancelled", NULL),
	TRIAL(loses_failure, "nobody has handled a failure: OSError: nobody",
	      NULL),
	TRIAL(fails, "nobody ends the run, at 1.000", "fails by itself: OSE"),
	TRIAL(never_ends, "nobody ends the run, at 3600", "never fires"),
	TRIAL(never_ends, "at 5.000 s: the deferred never fires", NULL,
	      .patience = 5),
	TRIAL(calls_back, "after the run: called back after the end", NULL,
	      .after = look_for_wrong),
	TRIAL(forgets_table, "after the run: the table is not empty", NULL,
	      .after = look_into_table),
	TRIAL(leaves_locked, "and then once more on this reactor",
	      "the deferred never fires", LOCKED),
	TRIAL(forgets_connection, "1 more is left", "connection with ",
	      ON_TESTING),
	TRIAL(forgets_port, "1 more is left", "port, listening", ON_TESTING),
	TRIAL(forgets_scope, "1 more is left", "scope made at tests/test_"),
	TRIAL(forgets_file, "1 more descriptor is open", NULL),
	TRIAL(waits_for_ever, "way loss", "never fires", ON_TESTING),
	TRIAL(waits_for_ever, "way stop", "never fires", ON_TESTING,
	      .how = PLAIT_CANCEL_STOP),
	TRIAL(wrong_inside, "way cancel, inside a callback, at 2.000",
	      "fired after its cancel"),
};

/* What is said on standard error, into text. */
static void begin_to_hear(int *pipe_fds, int *saved)
{
	ck_assert_int_eq(pipe(pipe_fds), 0);
	*saved = dup(2);
	dup2(pipe_fds[1], 2);
}

static void hear(int *pipe_fds, int saved, char *text, size_t size)
{
	ssize_t n;

	dup2(saved, 2);
	close(saved);
	close(pipe_fds[1]);
	n = read(pipe_fds[0], text, size - 1);
	text[n > 0 ? n : 0] = '\0';
	close(pipe_fds[0]);
}

/* What a mistake has left. */
static void clean(void)
{
	plait_promise_drop(&job.promise);
	plait_deferred_add_errback(job.inner, give_two, NULL);
	plait_deferred_free(&job.inner);
	plait_scope_free(&job.scope);
	if (job.fd > 0)
		close(job.fd);
	job = (struct job){ .requests = 0 };
}

static size_t check_and_hear(const struct plait_cancel_check *check,
			     struct plait_check_report *report, char *text,
			     size_t size)
{
	int fds[2], saved;
	size_t n;

	begin_to_hear(fds, &saved);
	n = plait_check_cancel_points(check, report);
	clean();
	hear(fds, saved, text, size);
	return n;
}

static void setup(void)
{
	unsetenv("PLAIT_CANCEL_POINT");
}

GROUP("points", .setup = setup);

TEST(each_mistake_is_told_and_nothing_else, PURE, EACH_OF(trials))
{
	const struct trial *t = &trials[_i];
	char said[PLAIT_CHECK_TEXT];
	struct plait_check_report report;
	size_t n = check_and_hear(&t->check, &report, said, sizeof(said));

	ck_assert_str_eq(said, report.text);
	if (t->verdict == NULL) {
		ck_assert_msg(n > 0, "%s: %s", t->name, report.text);
		ck_assert_str_eq(report.text, "");
		ck_assert_uint_eq(n, report.points);
		return;
	}
	ck_assert_uint_eq(n, 0);
	ck_assert_msg(strstr(said, t->verdict) != NULL, "%s: %s", t->name,
		      said);
	ck_assert_msg(t->also == NULL || strstr(said, t->also) != NULL,
		      "%s: %s", t->name, said);
}

/* What the report says last is how to repeat that run alone. */
TEST(what_fails_fails_alone, PURE, EACH_OF(trials))
{
	const struct trial *t = &trials[_i];
	char said[PLAIT_CHECK_TEXT], *point;
	struct plait_check_report report, alone;

	check_and_hear(&t->check, &report, said, sizeof(said));
	point = strstr(said, "PLAIT_CANCEL_POINT=");
	ck_assert_int_eq(point != NULL, report.point != 0);
	if (point == NULL)
		return;
	point[strcspn(point, "\n")] = '\0';
	putenv(point);
	ck_assert_uint_eq(check_and_hear(&t->check, &alone, said, sizeof(said)),
			  0);
	unsetenv("PLAIT_CANCEL_POINT");
	ck_assert_uint_le(alone.runs, report.runs);
	ck_assert_uint_eq(alone.runs, 2);
	ck_assert_uint_eq(alone.point, report.point);
	ck_assert_uint_eq(alone.how, report.how);
	ck_assert_double_eq(alone.seconds, report.seconds);
}

/* ---- points --------------------------------------------------------- */

/* Thousands of turns, in two states and one more at the end. */
static void step_or_fire(void *arg)
{
	if (++job.requests < 5000)
		plait_timer_start(job.reactor, &job.timer, 0.001, step_or_fire,
				  NULL);
	else
		job_fire(arg);
}

static struct plait_deferred *in_many_turns(struct plait_reactor *r, void *arg)
{
	struct plait_deferred *d = job_start(r, job_stop, 1);

	job.requests = 0;
	plait_timer_start(r, &job.timer, 0.001, step_or_fire, NULL);
	return d;
}

TEST(points_at_which_nothing_is_new_are_left_out, PURE)
{
	struct plait_cancel_check c = { .start = in_many_turns };

	ck_assert_uint_eq(plait_check_cancel_points(&c, NULL), 2);
}

/* A hundred pieces of work, begun one after the other. */
static plait_value begin_another(plait_value *result, void *arg)
{
	struct plait_deferred *d;

	if (job.requests++ == 100)
		return PLAIT_NONE;
	d = plait_defer_later(job.reactor, 200 - job.requests, NULL, NULL);
	plait_deferred_detach(&d);
	d = plait_defer_later(job.reactor, 1, NULL, NULL);
	plait_deferred_add_callback(d, begin_another, NULL);
	return plait_chain(&d);
}

static struct plait_deferred *grows(struct plait_reactor *r, void *arg)
{
	job.reactor = r;
	job.requests = 0;
	return plait_deferred_add_callback(plait_succeed(PLAIT_NONE),
					   begin_another, NULL);
}

TEST(large_numbers_count_by_powers_of_two, PURE)
{
	struct plait_cancel_check c = { .start = grows,
					.how = PLAIT_CANCEL_CALL,
					.grace = 300 };
	size_t n = plait_check_cancel_points(&c, NULL);

	ck_assert_uint_ge(n, 10);
	ck_assert_uint_le(n, 40);
}

TEST(no_more_points_than_asked_for, PURE)
{
	struct plait_check_report report;
	struct plait_cancel_check c = { .start = grows,
					.how = PLAIT_CANCEL_CALL,
					.grace = 300,
					.max_points = 5 };
	size_t n = plait_check_cancel_points(&c, &report);

	ck_assert_uint_ge(n, 10);
	ck_assert_uint_eq(report.points, n);
	ck_assert_uint_eq(report.runs, 1 + 5);
}

TEST(each_point_has_each_way_that_was_asked_for, PURE)
{
	struct plait_check_report report;
	struct plait_cancel_check c = {
		.start = sound, .how = PLAIT_CANCEL_CALL | PLAIT_CANCEL_FREE
	};

	ck_assert_uint_eq(plait_check_cancel_points(&c, &report), 2);
	ck_assert_uint_eq(report.runs, 1 + 4);
	ck_assert_uint_eq(report.missed, 0);
	c.how = PLAIT_CANCEL_LOSS;
	plait_check_cancel_points(&c, &report);
	ck_assert_uint_eq(report.runs, 1);
	c.how = PLAIT_CANCEL_NESTED;
	plait_check_cancel_points(&c, &report);
	ck_assert_uint_eq(report.runs, 1 + 1);
	c.how = 0;
	plait_check_cancel_points(&c, &report);
	ck_assert_uint_eq(report.runs, 1 + 2 * 6 + 1);
}

TEST(environment_may_ask_for_what_there_is_not, PURE)
{
	struct plait_check_report report;
	struct plait_cancel_check c = { .start = sound };

	setenv("PLAIT_CANCEL_POINT", "99/cancel", 1);
	ck_assert_uint_eq(plait_check_cancel_points(&c, &report), 2);
	ck_assert_uint_eq(report.runs, 1);
	setenv("PLAIT_CANCEL_POINT", "rubbish", 1);
	ck_assert_uint_eq(plait_check_cancel_points(&c, &report), 2);
	ck_assert_uint_eq(report.runs, 1);
	unsetenv("PLAIT_CANCEL_POINT");
}

TEST(check_finds_if_a_cancel_changes_anything, PURE)
{
	struct plait_check_report report;
	struct plait_cancel_check c = { .start = sound };
	char said[PLAIT_CHECK_TEXT];
	int fds[2], saved;

	ck_assert(plait_check_is_cancellable(&c, &report));
	ck_assert_uint_eq(report.runs, 2);
	c.start = swallows;
	begin_to_hear(fds, &saved);
	ck_assert(!plait_check_is_cancellable(&c, NULL));
	c.start = at_once;
	ck_assert(!plait_check_is_cancellable(&c, &report));
	hear(fds, saved, said, sizeof(said));
	ck_assert_ptr_nonnull(
		strstr(report.text, "no cancel changes what comes of it"));
}

/* ---- worlds --------------------------------------------------------- */

static struct plait_reactor *open_nothing(void *arg)
{
	errno = EMFILE;
	return NULL;
}

TEST(world_that_does_not_open_is_told, PURE)
{
	struct plait_check_report report;
	struct plait_cancel_check c = { .start = sound, .open = open_nothing };
	char said[PLAIT_CHECK_TEXT];

	ck_assert_uint_eq(check_and_hear(&c, &report, said, sizeof(said)), 0);
	ck_assert_ptr_nonnull(strstr(said, "there is no reactor: Too many"));
}

static struct plait_reactor *open_backend(void *arg)
{
	return test_reactor_new();
}

static void close_backend(struct plait_reactor *r, void *arg)
{
	plait_reactor_free(&r);
}

TEST(check_runs_on_each_backend, ON_EACH_BACKEND)
{
	struct plait_cancel_check c = { .start = in_steps,
					.open = open_backend,
					.close = close_backend };
	size_t n;

	clock_virtual(true);
	n = plait_check_cancel_points(&c, NULL);
	ck_assert_uint_eq(n, 6);
}

TEST(port_that_drains_ends_at_each_point, ON_EACH_BACKEND)
{
	struct plait_cancel_check c = { .start = drains,
					.open = open_backend,
					.close = close_backend,
					.ends_at_once = true };

	clock_virtual(true);
	ck_assert_uint_ge(plait_check_cancel_points(&c, NULL), 2);
}

TEST(check_runs_on_a_given_reactor, ON_EACH_REACTOR)
{
	char said[PLAIT_CHECK_TEXT];
	int fds[2], saved;
	struct plait_check_report report;
	struct plait_cancel_check c = { .start = in_steps };

	clock_virtual(true);
	ck_assert_uint_eq(plait_check_cancel_points_on(reactor, &c, &report),
			  6);
	ck_assert_uint_eq(report.runs, 1 + 6 * 6 + 3);
	c.start = forgets_deferred;
	begin_to_hear(fds, &saved);
	ck_assert_uint_eq(plait_check_cancel_points_on(reactor, &c, &report),
			  0);
	hear(fds, saved, said, sizeof(said));
	ck_assert_ptr_nonnull(strstr(said, "2 more are left"));
	plait_reactor_free(&reactor);
	clean();
}

/* A server on a host of its own, which answers and hangs up. */
struct world {
	uint64_t seed;
	const struct plait_protocol_ops *server; /* NULL: it answers */
	struct plait_simulation *simulation;
	struct plait_factory factory;
	struct plait_port *port;
	struct plait_protocol *held; /* by a program that forgets it */
};

static void answer_and_hang_up(struct plait_protocol *p)
{
	plait_transport_write(p->transport, "Nevermore", 9);
	plait_transport_lose_connection(p->transport);
}

static const struct plait_protocol_ops server_ops = {
	.name = "server",
	.connection_made = answer_and_hang_up,
};

static plait_value serve(struct plait_reactor *r, void *arg)
{
	struct world *w = arg;

	w->factory = (struct plait_factory){
		.protocol = w->server != NULL ? w->server : &server_ops,
	};
	ck_assert_int_eq(
		plait_listen_tcp(r, 10000, &w->factory, NULL, &w->port), 0);
	return plait_forever();
}

static struct plait_reactor *open_world(void *arg)
{
	static const struct plait_simulation_options options = {
		.link = { .latency = 0.01, .jitter = 0.05, .loss = 0.2 },
		.faults = { .short_read = 0.5,
			    .short_write = 0.5,
			    .spurious = 0.2 },
	};
	struct world *w = arg;

	w->simulation = plait_simulation_new(w->seed, &options);
	plait_host_run(plait_simulation_host(w->simulation, "server"), serve,
		       w);
	plait_simulation_run(w->simulation, 1);
	return plait_host_reactor(
		plait_simulation_host(w->simulation, "client"));
}

static void close_world(struct plait_reactor *r, void *arg)
{
	struct world *w = arg;

	plait_reactor_free(&r);
	plait_simulation_free(&w->simulation);
}

static const char *server_of(const struct world *w)
{
	return plait_host_address(
		plait_simulation_host(w->simulation, "server"));
}

static struct plait_deferred *read_poem(struct plait_reactor *r, void *arg)
{
	return plait_client_read_all(r, server_of(arg), 10000, PLAIT_NONE, 100,
				     NULL);
}

TEST(check_runs_on_a_simulated_network, PURE, TIMES(10))
{
	struct world w = { .seed = (uint64_t)_i };
	struct plait_check_report report;
	struct plait_cancel_check c = { .start = read_poem,
					.open = open_world,
					.close = close_world,
					.arg = &w };

	ck_assert_uint_ge(plait_check_cancel_points(&c, &report), 8);
	ck_assert_uint_eq(report.missed, 0);
}

/* Server and client are one scenario, as a program's test has it. */
static plait_value end_listening(plait_value *result, void *arg)
{
	plait_port_free(&job.port);
	return plait_value_take(result);
}

static struct plait_deferred *serve_and_read(struct plait_reactor *r, void *arg)
{
	static struct plait_factory f = { .protocol = &server_ops };
	struct plait_address a;
	struct plait_deferred *d;

	ck_assert_int_eq(plait_listen_tcp(r, 0, &f, NULL, &job.port), 0);
	plait_port_host(job.port, &a);
	d = plait_client_read_all(r, "127.0.0.1", plait_address_port(&a),
				  PLAIT_NONE, 100, NULL);
	return plait_deferred_add_both(d, end_listening, NULL);
}

TEST(check_has_a_network_of_its_own_by_default, PURE)
{
	struct plait_cancel_check c = { .start = serve_and_read };

	ck_assert_uint_ge(plait_check_cancel_points(&c, NULL), 8);
}

/* A connection that is held by nothing that a cancel would end. */
static const struct plait_protocol_ops holding_ops = { .name = "holding" };

static plait_value hold_connection(plait_value *result, void *arg)
{
	((struct world *)arg)->held = plait_client_take(result);
	return PLAIT_NONE;
}

static plait_value release_connection(plait_value *result, void *arg)
{
	struct world *w = arg;

	plait_transport_lose_connection(w->held->transport);
	return PLAIT_NONE;
}

static plait_value rest_a_while(plait_value *result, void *arg)
{
	struct plait_deferred *d =
		plait_defer_later(job.reactor, 0.01, NULL, NULL);

	return plait_chain(&d);
}

static struct plait_deferred *holds_connection(struct plait_reactor *r,
					       void *arg)
{
	struct plait_deferred *d = plait_client_connect_tcp(
		r, server_of(arg), 10000, &holding_ops, NULL, NULL);

	job.reactor = r;
	plait_deferred_add_callback(d, hold_connection, arg);
	plait_deferred_add_callback(d, rest_a_while, arg);
	return plait_deferred_add_callback(d, release_connection, arg);
}

TEST(connection_that_is_left_on_a_simulated_network_is_found, PURE)
{
	struct world w = { .seed = 1, .server = &silent_ops };
	struct plait_check_report report;
	struct plait_cancel_check c = { .start = holds_connection,
					.open = open_world,
					.close = close_world,
					.arg = &w };
	char said[PLAIT_CHECK_TEXT];

	ck_assert_uint_eq(check_and_hear(&c, &report, said, sizeof(said)), 0);
	ck_assert_msg(strstr(said, "connection with 10.0.0.1:10000") != NULL,
		      "%s", said);
}

TEST(check_on_a_null_reactor_aborts, PURE, ABORTS)
{
	struct plait_cancel_check c = { .start = sound };

	plait_check_cancel_points_on(NULL, &c, NULL);
}

/*
 * Each allocation of a whole check is refused, those of the check itself and
 * those of the scenario: the check may fail then, and has to say so.
 */
TEST(check_without_memory_says_so, PURE)
{
	struct plait_cancel_check c = { .start = in_steps };
	struct plait_check_report report;
	char said[PLAIT_CHECK_TEXT];
	unsigned failed = 0;

	for (unsigned long n = 0; n < 60; n++) {
		fault_alloc_at(n, false);
		if (check_and_hear(&c, &report, said, sizeof(said)) == 0) {
			ck_assert_str_ne(said, "");
			failed++;
		}
		ck_assert(fault_alloc_reached());
		fault_alloc_off();
	}
	ck_assert_uint_gt(failed, 10);
}

/* The hook for failures is the program's again. */
TEST(check_gives_the_hook_back, PURE)
{
	struct plait_cancel_check c = { .start = sound };
	plait_value v = plait_fail(&plait_error_any, "heard");

	ck_assert_uint_eq(plait_check_cancel_points(&c, NULL), 2);
	plait_report_unhandled(plait_value_failure(&v));
	plait_value_free(&v);
	unhandled_expect(1);
}

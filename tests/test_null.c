/*
 * NULL stands for a handle that could not be made for want of memory, and
 * every public function takes it.  Here each is called with one.
 *
 * scripts/check-null reads the rows, which begin with a word in capitals, the
 * function, and the parameter that is NULL; it fails for a function that a
 * header has and that has no row.
 */
#include <math.h>

#include <plait/client.h>
#include <plait/intn.h>
#include <plait/limit.h>
#include <plait/line.h>
#include <plait/plait.h>
#include <plait/reconnect.h>
#include <plait/simulation.h>
#include <plait/testing.h>
#include <plait/wrap.h>

#include "tests/child.h"
#include "tests/harness.h"

/* What a row has to come to. */
#define NOTHING(function, parameter, ...)                                      \
	do {                                                                   \
		__VA_ARGS__;                                                   \
	} while (0)
#define ENDED(function, parameter, type)                                       \
	do {                                                                   \
		type *gone = NULL;                                             \
                                                                               \
		function(NULL);                                                \
		function(&gone);                                               \
		ck_assert_ptr_null(gone);                                      \
	} while (0)
#define GIVES(function, parameter, value, ...)                                 \
	ck_assert_msg((__VA_ARGS__) == (value), "%s", #function)
#define SAYS(function, parameter, text, ...) ck_assert_str_eq(__VA_ARGS__, text)
#define WRITES(function, parameter, words, ...)                                \
	do {                                                                   \
		char text[64] = "";                                            \
		int len = function(__VA_ARGS__, text, sizeof(text));           \
                                                                               \
		ck_assert_str_eq(text, words);                                 \
		ck_assert_int_eq(len, (int)strlen(words));                     \
	} while (0)
#define FAILS(function, parameter, ...)                                        \
	is_without_memory(#function, __VA_ARGS__)
#define FIRES(function, parameter, ...) has_fired(__VA_ARGS__)

static plait_value swallow(plait_value *result, void *arg)
{
	*(bool *)arg = plait_value_is_failure(result) &&
		       plait_failure_kind(plait_value_failure(result)) ==
			       &plait_error_no_memory;
	return PLAIT_NONE;
}

static void is_without_memory(const char *function, struct plait_deferred *d)
{
	bool no_memory = false;

	ck_assert_ptr_nonnull(d);
	plait_deferred_add_both(d, swallow, &no_memory);
	ck_assert_msg(no_memory, "%s", function);
	plait_deferred_free(&d);
}

static void has_fired(struct plait_deferred *d)
{
	ck_assert(plait_value_is_none(plait_deferred_result(d)));
	plait_deferred_free(&d);
}

/* v, which is taken, is the failure for no memory. */
static bool is_no_memory(plait_value v)
{
	bool is = plait_value_is_failure(&v) &&
		  plait_failure_check(plait_value_failure(&v),
				      &plait_error_no_memory);

	plait_value_free(&v);
	return is;
}

/* ---- without a reactor --------------------------------------------------- */

TEST(a_null_buffer_is_empty_and_takes_nothing, PURE)
{
	void *room;

	GIVES(plait_buf_ref, b, NULL, plait_buf_ref(NULL));
	ENDED(plait_buf_unref, bp, struct plait_buf);
	GIVES(plait_buf_append, b, -ENOMEM, plait_buf_append(NULL, "x", 1));
	GIVES(plait_buf_printf, b, -ENOMEM, plait_buf_printf(NULL, "x"));
	GIVES(plait_buf_reserve, b, -ENOMEM, plait_buf_reserve(NULL, 1, &room));
	NOTHING(plait_buf_commit, b, plait_buf_commit(NULL, 1));
	GIVES(plait_buf_consume, b, -ENOMEM, plait_buf_consume(NULL, 1));
	GIVES(plait_buf_data, b, NULL, plait_buf_data(NULL));
	GIVES(plait_buf_size, b, 0, plait_buf_size(NULL));
	GIVES(plait_buf_max, b, 0, plait_buf_max(NULL));
	GIVES(plait_buf_value, b, true, is_no_memory(plait_buf_value(NULL)));
	GIVES(plait_deferred_dump, b, -ENOMEM, plait_deferred_dump(NULL));
	GIVES(plait_deferred_dot, b, -ENOMEM, plait_deferred_dot(NULL));
}

TEST(a_null_buffer_drops_what_a_receiver_clears, PURE)
{
	struct plait_line_receiver line = { .raw = false };
	struct plait_input input = { 0 };

	GIVES(plait_input_clear, buf, 0, plait_input_clear(&input, NULL));
	GIVES(plait_line_receiver_clear_buffer, buf, 0,
	      plait_line_receiver_clear_buffer(&line, NULL));
}

TEST(a_null_endpoint_is_none, PURE)
{
	struct plait_factory f = { .ops = NULL };
	struct plait_endpoint *e;
	struct plait_reactor *r;
	char text[30];

	ck_assert_int_eq(plait_endpoint_parse("tcp:80", &e, NULL, 0), 0);
	GIVES(plait_endpoint_ref, e, NULL, plait_endpoint_ref(NULL));
	GIVES(plait_endpoint_str, e, (int)strlen("no endpoint"),
	      plait_endpoint_str(NULL, text, sizeof(text)));
	ck_assert_str_eq(text, "no endpoint");
	GIVES(plait_endpoint_has, e, false, plait_endpoint_has(NULL, "port"));
	GIVES(plait_endpoint_text, e, NULL, plait_endpoint_text(NULL, "host"));
	GIVES(plait_endpoint_number, e, 0,
	      (int)plait_endpoint_number(NULL, "port"));
	GIVES(plait_endpoint_seconds, e, 0,
	      (int)plait_endpoint_seconds(NULL, "timeout"));
	GIVES(plait_endpoint_equal, a, false, plait_endpoint_equal(NULL, e));
	GIVES(plait_endpoint_equal, b, false, plait_endpoint_equal(e, NULL));
	plait_endpoint_unref(&e);
	r = plait_testing_reactor_new();
	FAILS(plait_endpoint_connect, e,
	      plait_endpoint_connect(NULL, r, NULL, NULL));
	FAILS(plait_endpoint_read_all, e,
	      plait_endpoint_read_all(NULL, r, PLAIT_NONE, 1));
	GIVES(plait_endpoint_can_listen, e, false,
	      plait_endpoint_can_listen(NULL, NULL, 0));
	FAILS(plait_endpoint_listen, e, plait_endpoint_listen(NULL, r, &f));
	GIVES(plait_endpoint_can_connect, e, false,
	      plait_endpoint_can_connect(NULL, text, sizeof(text)));
	ck_assert_str_eq(text, "there is no endpoint");
	GIVES(plait_endpoint_connect_factory, e, NULL,
	      plait_endpoint_connect_factory(NULL, r, NULL));
	ck_assert_int_eq(errno, EINVAL);
	plait_reactor_free(&r);
	ENDED(plait_endpoint_unref, ep, struct plait_endpoint);
}

TEST(a_null_client_service_connects_to_nothing, PURE)
{
	struct plait_reactor *r = plait_testing_reactor_new();

	GIVES(plait_client_service_new, e, NULL,
	      plait_client_service_new(r, NULL, NULL, NULL, NULL));
	ck_assert_int_eq(errno, ENOMEM);
	NOTHING(plait_client_service_start, s,
		plait_client_service_start(NULL));
	FIRES(plait_client_service_stop, s, plait_client_service_stop(NULL));
	FAILS(plait_client_service_when_connected, s,
	      plait_client_service_when_connected(NULL, 1));
	GIVES(plait_client_service_waiting, s, 0,
	      plait_client_service_waiting(NULL));
	WRITES(plait_client_service_str, s, "no client service", NULL);
	ENDED(plait_client_service_free, sp, struct plait_client_service);
	ENDED(plait_client_service_cleanup, sp, struct plait_client_service);
	plait_reactor_free(&r);
}

TEST(a_null_failure_is_none, PURE)
{
	plait_value v;
	struct plait_buf *b = plait_buf_new(100);

	GIVES(plait_failure_value, f, true,
	      is_no_memory(plait_failure_value(NULL)));
	GIVES(plait_failure_ref, f, NULL, plait_failure_ref(NULL));
	ENDED(plait_failure_unref, fp, const struct plait_failure);
	GIVES(plait_failure_check, f, false,
	      plait_failure_check(NULL, &plait_error_any));
	GIVES(plait_failure_kind, f, NULL, plait_failure_kind(NULL));
	GIVES(plait_failure_errno, f, 0, plait_failure_errno(NULL));
	SAYS(plait_failure_message, f, "", plait_failure_message(NULL));
	SAYS(plait_failure_where, f, "", plait_failure_where(NULL));
	GIVES(plait_failure_cause, f, NULL, plait_failure_cause(NULL));
	GIVES(plait_failure_detail, f, true,
	      plait_value_is_none(plait_failure_detail(NULL)));
	SAYS(plait_failure_cancel_where, f, "",
	     plait_failure_cancel_where(NULL));
	SAYS(plait_failure_cancel_reason, f, "",
	     plait_failure_cancel_reason(NULL));
	WRITES(plait_failure_str, f, "no failure", NULL);
	GIVES(plait_failure_explain, f, 0, plait_failure_explain(NULL, b));
	ck_assert_mem_eq(plait_buf_data(b), "no failure\n", 11);
	NOTHING(plait_report_unhandled, f, plait_report_unhandled(NULL));
	v = plait_fail_because(&plait_error_any, NULL, "no cause");
	GIVES(plait_fail_because, cause, NULL,
	      plait_failure_cause(plait_value_failure(&v)));
	GIVES(plait_failure_explain, b, -ENOMEM,
	      plait_failure_explain(plait_value_failure(&v), NULL));
	plait_value_free(&v);
	plait_buf_unref(&b);
}

TEST(a_null_promise_has_fired, PURE)
{
	struct plait_promise *none = NULL;
	struct plait_deferred *d = plait_succeed(plait_int(1));

	GIVES(plait_fire, pp, -EALREADY,
	      plait_fire(NULL, plait_fail(&plait_error_any, "freed")));
	ck_assert_int_eq(plait_fire(&none, plait_int(1)), -EALREADY);
	ENDED(plait_promise_drop, pp, struct plait_promise);
	/* True, so that work for it stops. */
	GIVES(plait_promise_is_cancelled, p, true,
	      plait_promise_is_cancelled(NULL));
	NOTHING(plait_deferred_forward, pp, plait_deferred_forward(d, NULL));
	plait_deferred_forward(d, &none);
	has_fired(d);
}

TEST(a_null_deferred_has_failed_for_want_of_memory, PURE)
{
	struct plait_promise *p, *again;
	struct plait_deferred *d, *none = NULL;
	bool failed = false;

	FAILS(plait_deferred_add_callback, d,
	      plait_deferred_add_callback(NULL, swallow, &failed));
	FAILS(plait_deferred_add_errback, d,
	      plait_deferred_add_errback(NULL, swallow, &failed));
	ck_assert(failed);
	failed = false;
	FAILS(plait_deferred_add_both, d,
	      plait_deferred_add_both(NULL, swallow, &failed));
	ck_assert(failed);
	failed = false;
	FAILS(plait_deferred_add_callbacks, d,
	      plait_deferred_add_callbacks(NULL, NULL, NULL, swallow, &failed));
	ck_assert(failed);
	GIVES(plait_chain, dp, true, is_no_memory(plait_chain(NULL)));
	ck_assert(is_no_memory(plait_chain(&none)));
	d = plait_deferred_new(&p, NULL, NULL);
	again = p;
	NOTHING(plait_deferred_forward, d,
		plait_deferred_forward(NULL, &again));
	ck_assert_ptr_null(again);
	is_without_memory("plait_deferred_forward", d);
	NOTHING(plait_deferred_cancel, d, plait_deferred_cancel(NULL));
	NOTHING(plait_deferred_cancel_because, d,
		plait_deferred_cancel_because(NULL, "why"));
	ENDED(plait_deferred_free, dp, struct plait_deferred);
	ENDED(plait_deferred_detach, dp, struct plait_deferred);
	NOTHING(plait_deferred_pause, d, plait_deferred_pause(NULL));
	NOTHING(plait_deferred_unpause, d, plait_deferred_unpause(NULL));
	GIVES(plait_deferred_is_fired, d, false, plait_deferred_is_fired(NULL));
	GIVES(plait_deferred_result, d, NULL, plait_deferred_result(NULL));
	WRITES(plait_deferred_str, d, "no deferred", NULL);
}

static bool is_failed_by(struct plait_deferred *d,
			 const struct plait_error *kind)
{
	const plait_value *v = plait_deferred_result(d);
	bool is = plait_value_is_failure(v) &&
		  plait_failure_check(plait_value_failure(v), kind);
	bool ignored;

	plait_deferred_add_errback(d, swallow, &ignored);
	plait_deferred_free(&d);
	return is;
}

TEST(a_null_member_has_failed, PURE)
{
	struct plait_deferred *d, *members[1] = { NULL };
	struct plait_values *values;

	d = plait_deferred_list(members, 1, 0);
	values = plait_value_values(plait_deferred_result(d));
	GIVES(plait_deferred_list, members, true,
	      is_no_memory(plait_value_take(&values->items[0])));
	plait_deferred_free(&d);
	members[0] = NULL;
	GIVES(plait_gather, members, true,
	      is_failed_by(plait_gather(members, 1, 0), &plait_error_first));
	members[0] = NULL;
	GIVES(plait_race, members, true,
	      is_failed_by(plait_race(members, 1), &plait_error_group));
	unhandled_expect(2);
}

static plait_value must_not_run(void *arg)
{
	ck_abort_msg("the operation ran");
}

TEST(a_null_lock_is_free_and_gives_nothing, PURE)
{
	ENDED(plait_lock_free, lp, struct plait_lock);
	ENDED(plait_semaphore_free, sp, struct plait_semaphore);
	FAILS(plait_lock_acquire, l, plait_lock_acquire(NULL));
	FAILS(plait_semaphore_acquire, s, plait_semaphore_acquire(NULL));
	NOTHING(plait_lock_release, l, plait_lock_release(NULL));
	NOTHING(plait_semaphore_release, s, plait_semaphore_release(NULL));
	FAILS(plait_lock_run, l, plait_lock_run(NULL, must_not_run, NULL));
	FAILS(plait_semaphore_run, s,
	      plait_semaphore_run(NULL, must_not_run, NULL));
	GIVES(plait_lock_is_locked, l, false, plait_lock_is_locked(NULL));
	GIVES(plait_semaphore_tokens, s, 0, plait_semaphore_tokens(NULL));
}

TEST(a_null_queue_takes_and_gives_nothing, PURE)
{
	ENDED(plait_queue_free, qp, struct plait_queue);
	GIVES(plait_queue_put, q, -ENOMEM,
	      plait_queue_put(NULL, plait_fail(&plait_error_any, "freed")));
	FAILS(plait_queue_get, q, plait_queue_get(NULL));
	NOTHING(plait_queue_shutdown, q, plait_queue_shutdown(NULL));
	GIVES(plait_queue_size, q, 0, plait_queue_size(NULL));
	GIVES(plait_queue_waiting, q, 0, plait_queue_waiting(NULL));
}

static plait_value no_job(struct plait_job *job, void *arg)
{
	return PLAIT_NONE;
}

static void no_progress(const plait_value *progress, void *arg)
{
}

TEST(a_null_pool_does_no_job, PURE)
{
	struct plait_deferred *d = plait_pool_close(NULL);

	GIVES(plait_pool_close, pp, true, plait_deferred_is_fired(d));
	plait_deferred_free(&d);
	ENDED(plait_pool_free, pp, struct plait_pool);
	FAILS(plait_defer_to_pool, pool,
	      plait_defer_to_pool(NULL, no_job, NULL, NULL));
	WRITES(plait_pool_str, pool, "no pool", NULL);
	GIVES(plait_job_is_cancelled, job, true, plait_job_is_cancelled(NULL));
	GIVES(plait_job_report, job, -ECANCELED,
	      plait_job_report(NULL, no_progress,
			       plait_fail(&plait_error_any, "freed")));
}

TEST(what_is_shared_of_null_is_null, PURE)
{
	struct plait_deferred *none = NULL;

	errno = 0;
	GIVES(plait_shared_new, dp, NULL, plait_shared_new(NULL));
	ck_assert_ptr_null(plait_shared_new(&none));
	ck_assert_int_eq(errno, ENOMEM);
	FAILS(plait_shared_wait, s, plait_shared_wait(NULL));
	GIVES(plait_shared_waiting, s, 0, plait_shared_waiting(NULL));
	GIVES(plait_shared_is_fired, s, false, plait_shared_is_fired(NULL));
	ENDED(plait_shared_free, sp, struct plait_shared);
}

TEST(a_null_event_never_happens, PURE)
{
	ENDED(plait_event_free, ep, struct plait_event);
	FAILS(plait_event_wait, e, plait_event_wait(NULL));
	GIVES(plait_event_wake, e, -ENOMEM,
	      plait_event_wake(NULL, plait_fail(&plait_error_any, "freed")));
	GIVES(plait_event_set, e, -ENOMEM,
	      plait_event_set(NULL, plait_fail(&plait_error_any, "freed")));
	NOTHING(plait_event_clear, e, plait_event_clear(NULL));
	GIVES(plait_event_is_set, e, false, plait_event_is_set(NULL));
	GIVES(plait_event_waiting, e, 0, plait_event_waiting(NULL));
}

/* ---- in time ------------------------------------------------------------- */

static bool no_step(plait_value *ret, void *arg)
{
	ck_abort_msg("a step was made");
}

TEST(a_null_cooperator_has_no_tasks, PURE)
{
	ENDED(plait_cooperator_free, cp, struct plait_cooperator);
	NOTHING(plait_cooperator_stop, c, plait_cooperator_stop(NULL));
	errno = 0;
	GIVES(plait_cooperate, c, NULL, plait_cooperate(NULL, no_step, NULL));
	ck_assert_int_eq(errno, ENOMEM);
	ENDED(plait_coiterator_free, tp, struct plait_coiterator);
	FAILS(plait_coiterator_when_done, t, plait_coiterator_when_done(NULL));
	GIVES(plait_coiterator_pause, t, -ENOMEM, plait_coiterator_pause(NULL));
	GIVES(plait_coiterator_resume, t, -ENOMEM,
	      plait_coiterator_resume(NULL));
	GIVES(plait_coiterator_stop, t, -ENOMEM, plait_coiterator_stop(NULL));
}

TEST(a_null_looping_call_does_not_run, PURE)
{
	ENDED(plait_looping_call_free, lp, struct plait_looping_call);
	FAILS(plait_looping_call_start, l,
	      plait_looping_call_start(NULL, 1, true));
	NOTHING(plait_looping_call_stop, l, plait_looping_call_stop(NULL));
	NOTHING(plait_looping_call_reset, l, plait_looping_call_reset(NULL));
	GIVES(plait_looping_call_is_running, l, false,
	      plait_looping_call_is_running(NULL));
}

static void must_not_cancel(void *arg)
{
	ck_abort_msg("cancelled");
}

TEST(a_null_scope_has_ended, PURE)
{
	struct plait_scope_entry e = { .scope = NULL };
	struct plait_scope *s = plait_scope_new(NULL);
	struct plait_promise *p;
	struct plait_deferred *none = NULL, *d = plait_succeed(PLAIT_NONE);
	bool ignored;

	/* A scope that is given no reactor has no deadlines. */
	GIVES(plait_scope_new, r, false, s == NULL);
	errno = 0;
	GIVES(plait_scope_new_in, parent, NULL, plait_scope_new_in(NULL));
	ck_assert_int_eq(errno, ENOMEM);
	FAILS(plait_scope_start, d, plait_scope_start(s, NULL));
	NOTHING(plait_scope_own, dp, plait_scope_own(s, NULL));
	plait_scope_own(s, &none);
	plait_scope_free(&s);
	GIVES(plait_scope_start, s, d, plait_scope_start(NULL, d));
	NOTHING(plait_scope_own, s, plait_scope_own(NULL, &d));
	ck_assert_ptr_null(d);
	d = plait_deferred_new(&p, NULL, NULL);
	plait_scope_start(NULL, d);
	ck_assert(plait_deferred_is_fired(d));
	plait_deferred_add_errback(d, swallow, &ignored);
	plait_deferred_free(&d);
	plait_promise_drop(&p);
	NOTHING(plait_scope_cancel, s, plait_scope_cancel(NULL, "why"));
	/* Both true, so that nothing is begun or waited for. */
	GIVES(plait_scope_is_cancelled, s, true,
	      plait_scope_is_cancelled(NULL));
	GIVES(plait_scope_is_empty, s, true, plait_scope_is_empty(NULL));
	SAYS(plait_scope_reason, s, "", plait_scope_reason(NULL));
	NOTHING(plait_scope_set_deadline, s, plait_scope_set_deadline(NULL, 1));
	GIVES(plait_scope_deadline, s, INFINITY, plait_scope_deadline(NULL));
	NOTHING(plait_scope_shield, s, plait_scope_shield(NULL, 1));
	ENDED(plait_scope_free, sp, struct plait_scope);
	FIRES(plait_scope_close, sp, plait_scope_close(NULL));
	has_fired(plait_scope_close(&s));
	GIVES(plait_scope_enter, s, -ENOMEM,
	      plait_scope_enter(NULL, &e, must_not_cancel, NULL));
	plait_scope_leave(&e);
}

static plait_value must_not_time_out(plait_value *result, double seconds,
				     void *arg)
{
	ck_abort_msg("timed out");
}

TEST(a_null_deferred_gets_no_timeout, ON_EACH_REACTOR)
{
	FAILS(plait_deferred_add_timeout, d,
	      plait_deferred_add_timeout(NULL, reactor, 1));
	FAILS(plait_deferred_add_timeout_with, d,
	      plait_deferred_add_timeout_with(NULL, reactor, 1,
					      must_not_time_out, NULL));
}

/* ---- connections ----------------------------------------------------------
 */

/* What connection_lost() and done() tell of the last connection. */
static const struct plait_error *lost_by;
static bool is_done;

static void null_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	lost_by = plait_failure_kind(why);
}

static void null_done(struct plait_protocol *p)
{
	is_done = true;
}

static const struct plait_protocol_ops null_protocol = {
	.name = "null",
	.done = null_done,
	.connection_lost = null_lost,
};

TEST(a_null_port_is_closed, PURE)
{
	struct plait_address a = { .port = 1 };
	struct plait_port *none = NULL;

	GIVES(plait_port_value, pp, true, is_no_memory(plait_port_value(NULL)));
	ck_assert(is_no_memory(plait_port_value(&none)));
	NOTHING(plait_testing_datagram, p,
		plait_testing_datagram(NULL, "x", 1, NULL));
	NOTHING(plait_testing_datagram_failed, p,
		plait_testing_datagram_failed(NULL, EPERM, &a));
	NOTHING(plait_testing_datagram_full, p,
		plait_testing_datagram_full(NULL, true));
	GIVES(plait_testing_datagram_sent, p, NULL,
	      plait_testing_datagram_sent(NULL, NULL));
	NOTHING(plait_port_host, p, plait_port_host(NULL, &a));
	ck_assert_uint_eq(plait_address_port(&a), 0);
	ENDED(plait_port_free, pp, struct plait_port);
	FIRES(plait_port_stop_listening, pp, plait_port_stop_listening(NULL));
	has_fired(plait_port_stop_listening(&none));
	FIRES(plait_port_drain, pp, plait_port_drain(NULL));
	has_fired(plait_port_drain(&none));
	NOTHING(plait_port_pause_accepting, p,
		plait_port_pause_accepting(NULL));
	NOTHING(plait_port_resume_accepting, p,
		plait_port_resume_accepting(NULL));
	WRITES(plait_port_str, p, "no port", NULL);
	GIVES(plait_testing_accept, p, NULL, plait_testing_accept(NULL));
}

TEST(a_null_connector_is_disconnected, PURE)
{
	struct plait_address a = { .port = 1 };

	GIVES(plait_connector_ref, c, NULL, plait_connector_ref(NULL));
	ENDED(plait_connector_unref, cp, struct plait_connector);
	ENDED(plait_resolver_free, rp, struct plait_resolver);
	FAILS(plait_dns_query, rs, plait_dns_query(NULL, "a", PLAIT_DNS_A));
	GIVES(plait_connector_connect, c, -ENOMEM,
	      plait_connector_connect(NULL));
	GIVES(plait_connector_stop_connecting, c, -ENOMEM,
	      plait_connector_stop_connecting(NULL));
	NOTHING(plait_connector_disconnect, c,
		plait_connector_disconnect(NULL));
	GIVES(plait_connector_state, c, PLAIT_CONNECTOR_DISCONNECTED,
	      plait_connector_state(NULL));
	GIVES(plait_connector_reactor, c, NULL, plait_connector_reactor(NULL));
	NOTHING(plait_connector_destination, c,
		plait_connector_destination(NULL, &a));
	ck_assert_uint_eq(plait_address_port(&a), 0);
	WRITES(plait_connector_str, c, "no connector", NULL);
	GIVES(plait_testing_complete, c, NULL, plait_testing_complete(NULL));
	NOTHING(plait_testing_refuse, c, plait_testing_refuse(NULL, NULL));
}

static plait_value one_text(void)
{
	return plait_text("text");
}

TEST(a_null_transport_carries_nothing, PURE)
{
	struct plait_producer producer = { .ops = NULL };
	struct plait_address a;
	struct iovec piece = { .iov_base = &a, .iov_len = 1 };
	plait_value v = one_text();

	NOTHING(plait_transport_write, t, plait_transport_write(NULL, "x", 1));
	NOTHING(plait_transport_printf, t, plait_transport_printf(NULL, "x"));
	NOTHING(plait_transport_write_buf, t,
		plait_transport_write_buf(NULL, NULL));
	NOTHING(plait_transport_write_sequence, t,
		plait_transport_write_sequence(NULL, &piece, 1));
	NOTHING(plait_transport_lose_connection, t,
		plait_transport_lose_connection(NULL));
	NOTHING(plait_transport_lose_connection_because, t,
		plait_transport_lose_connection_because(NULL, NULL));
	NOTHING(plait_transport_abort_connection, t,
		plait_transport_abort_connection(NULL));
	NOTHING(plait_transport_lose_write_connection, t,
		plait_transport_lose_write_connection(NULL));
	NOTHING(plait_transport_pause_reading, t,
		plait_transport_pause_reading(NULL));
	NOTHING(plait_transport_resume_reading, t,
		plait_transport_resume_reading(NULL));
	GIVES(plait_transport_peer_has_closed, t, false,
	      plait_transport_peer_has_closed(NULL));
	GIVES(plait_transport_unsent, t, 0, plait_transport_unsent(NULL));
	GIVES(plait_transport_is_disconnecting, t, false,
	      plait_transport_is_disconnecting(NULL));
	GIVES(plait_transport_host, t, -ENOMEM, plait_transport_host(NULL, &a));
	GIVES(plait_transport_peer, t, -ENOMEM, plait_transport_peer(NULL, &a));
	GIVES(plait_transport_peer_credentials, t, -ENOMEM,
	      plait_transport_peer_credentials(
		      NULL, &(struct plait_credentials){ .pid = 0 }));
	GIVES(plait_transport_send_fds, t, -ENOMEM,
	      plait_transport_send_fds(NULL, "x", 1, NULL, 0));
	GIVES(plait_transport_send_file, t, -ENOMEM,
	      plait_transport_send_file(NULL, -1, 0, 1));
	GIVES(plait_transport_set_tcp_no_delay, t, -ENOMEM,
	      plait_transport_set_tcp_no_delay(NULL, true));
	GIVES(plait_transport_set_tcp_keep_alive, t, -ENOMEM,
	      plait_transport_set_tcp_keep_alive(NULL, true));
	GIVES(plait_transport_reactor, t, NULL, plait_transport_reactor(NULL));
	WRITES(plait_transport_str, t, "no transport", NULL);
	GIVES(plait_transport_register_producer, t, -ENOMEM,
	      plait_transport_register_producer(NULL, &producer, true));
	NOTHING(plait_transport_unregister_producer, t,
		plait_transport_unregister_producer(NULL));
	GIVES(plait_transport_producer, t, NULL,
	      plait_transport_producer(NULL));
	GIVES(plait_transport_scope, t, NULL, plait_transport_scope(NULL));
	GIVES(plait_transport_below, t, NULL, plait_transport_below(NULL));
	GIVES(plait_transport_above, t, NULL, plait_transport_above(NULL));
	/* They are callbacks, whose arg is the transport. */
	ck_assert(is_no_memory(plait_then_write(&v, NULL)));
	v = plait_then_lose_connection(&v, NULL);
	ck_assert(plait_value_is_none(&v));
}

TEST(a_null_transport_is_told_nothing, PURE)
{
	struct plait_protocol *none = NULL;

	ENDED(plait_transport_free, tp, struct plait_transport);
	NOTHING(plait_transport_made, t,
		plait_transport_made(NULL, plait_protocol_new(&null_protocol)));
	ck_assert(is_done);
	NOTHING(plait_transport_received, t,
		plait_transport_received(NULL, "x", 1));
	NOTHING(plait_transport_read_lost, t, plait_transport_read_lost(NULL));
	NOTHING(plait_transport_write_lost, t,
		plait_transport_write_lost(NULL));
	NOTHING(plait_transport_writable, t, plait_transport_writable(NULL));
	NOTHING(plait_transport_broken, t, plait_transport_broken(NULL, NULL));
	NOTHING(plait_transport_lost, t, plait_transport_lost(NULL, NULL));
	NOTHING(plait_transport_gone, t, plait_transport_gone(NULL));
	NOTHING(plait_transport_begin_handshake, t,
		plait_transport_begin_handshake(NULL));
	NOTHING(plait_transport_end_handshake, t,
		plait_transport_end_handshake(NULL));
	NOTHING(plait_transport_send_below, t,
		plait_transport_send_below(NULL, "x", 1));
	GIVES(plait_transport_end_below, t, PLAIT_TRANSPORT_ENDED,
	      plait_transport_end_below(NULL, PLAIT_TRANSPORT_END_SENT));
	NOTHING(plait_testing_deliver, t, plait_testing_deliver(NULL, "x", 1));
	NOTHING(plait_testing_deliver_eof, t, plait_testing_deliver_eof(NULL));
	NOTHING(plait_testing_lose, t, plait_testing_lose(NULL, NULL));
	GIVES(plait_testing_protocol, t, NULL, plait_testing_protocol(NULL));
	GIVES(plait_testing_written, t, NULL, plait_testing_written(NULL));
	NOTHING(plait_testing_clear, t, plait_testing_clear(NULL));
	NOTHING(plait_testing_set_window, t, plait_testing_set_window(NULL, 1));
	GIVES(plait_testing_is_connected, t, false,
	      plait_testing_is_connected(NULL));
	GIVES(plait_testing_is_aborted, t, false,
	      plait_testing_is_aborted(NULL));
	GIVES(plait_testing_is_paused, t, false, plait_testing_is_paused(NULL));
	plait_protocol_free(NULL);
	plait_protocol_free(&none);
}

static ssize_t null_send(struct plait_transport *t, const struct iovec *pieces,
			 int n)
{
	return -EAGAIN;
}

static const struct plait_transport_ops null_transport_ops = {
	.name = "null",
	.send = null_send,
};

static struct plait_factory null_factory = { .protocol = &null_protocol };

static const struct plait_datagram_ops no_datagram_ops = { .name = "null" };

static struct plait_datagram_protocol null_datagrams = {
	.ops = &no_datagram_ops
};

static const struct plait_process_ops no_process_ops = { .name = "null" };

static struct plait_process_protocol null_process = { .ops = &no_process_ops };

static struct plait_file_watch no_files;

static void no_file_change(struct plait_file_watch *w,
			   const struct plait_file_change *c)
{
	ck_abort_msg("called");
}

static const char *const no_argv[] = { "true", NULL };

/* In this order: each case ends a connection, with a reason that is NULL. */
enum { BROKEN, LOST, CLOSED, PLAYED, WRITTEN, WAYS };

static void end_by_null(struct plait_transport *t, int way)
{
	if (way == BROKEN)
		NOTHING(plait_transport_broken, why,
			plait_transport_broken(t, NULL));
	else if (way == LOST)
		NOTHING(plait_transport_lost, why,
			plait_transport_lost(t, NULL));
	else if (way == CLOSED)
		NOTHING(plait_transport_lose_connection_because, why,
			plait_transport_lose_connection_because(t, NULL));
	else if (way == PLAYED)
		NOTHING(plait_testing_lose, why, plait_testing_lose(t, NULL));
	else
		NOTHING(plait_transport_write_buf, buf,
			plait_transport_write_buf(t, NULL));
}

TEST(a_null_reason_or_buffer_ends_a_connection_without_memory, PURE,
     TIMES(WAYS))
{
	struct plait_reactor *r = plait_testing_reactor_new();
	struct plait_transport *t = plait_testing_connect(r, &null_factory);

	end_by_null(t, _i);
	plait_testing_advance(r, 60);
	ck_assert_ptr_eq(lost_by, &plait_error_no_memory);
	plait_reactor_free(&r);
}

static const struct plait_error *failed_by;

static void null_failed(struct plait_factory *f, struct plait_connector *c,
			const struct plait_failure *why)
{
	failed_by = plait_failure_kind(why);
}

TEST(a_null_reason_refuses_without_memory, PURE)
{
	static const struct plait_factory_ops ops = {
		.name = "null",
		.connection_failed = null_failed,
	};
	struct plait_factory f = { .ops = &ops };
	struct plait_reactor *r = plait_testing_reactor_new();
	struct plait_connector *c =
		plait_connect_tcp(r, "127.0.0.1", 1, &f, NULL);

	NOTHING(plait_testing_refuse, why, plait_testing_refuse(c, NULL));
	ck_assert_ptr_eq(failed_by, &plait_error_no_memory);
	plait_reactor_free(&r);
}

TEST(a_null_producer_is_not_registered, PURE)
{
	struct plait_reactor *r = plait_testing_reactor_new();
	struct plait_transport *t = plait_testing_connect(r, &null_factory);
	struct plait_transport *own;

	ck_assert_int_eq(plait_transport_register_producer(
				 t, plait_transport_producer(NULL), true),
			 -ENOMEM);
	NOTHING(plait_testing_pump, a, plait_testing_pump(NULL, t));
	NOTHING(plait_testing_pump, b, plait_testing_pump(t, NULL));
	/* That stands on no other. */
	own = plait_transport_new(&null_transport_ops, r, NULL);
	GIVES(plait_transport_new, below, false, own == NULL);
	plait_transport_free(&own);
	plait_reactor_free(&r);
}

TEST(functions_for_tables_take_a_connector_and_a_port_that_is_null, PURE)
{
	struct plait_reconnecting_factory again = { .stopped = false };
	struct plait_wrapping_factory wrapping = { .inner = &null_factory };
	struct plait_factory *f = &again.base, *w = &wrapping.base;

	NOTHING(plait_reconnecting_factory_started_connecting, c,
		plait_reconnecting_factory_started_connecting(f, NULL));
	NOTHING(plait_reconnecting_factory_connection_failed, c,
		plait_reconnecting_factory_connection_failed(f, NULL, NULL));
	NOTHING(plait_reconnecting_factory_connection_failed, why, );
	NOTHING(plait_reconnecting_factory_connection_lost, c,
		plait_reconnecting_factory_connection_lost(f, NULL, NULL));
	NOTHING(plait_reconnecting_factory_connection_lost, why, );
	NOTHING(plait_wrapping_factory_started_connecting, c,
		plait_wrapping_factory_started_connecting(w, NULL));
	NOTHING(plait_wrapping_factory_connection_failed, c,
		plait_wrapping_factory_connection_failed(w, NULL, NULL));
	NOTHING(plait_wrapping_factory_connection_failed, why, );
	NOTHING(plait_wrapping_factory_connection_lost, c,
		plait_wrapping_factory_connection_lost(w, NULL, NULL));
	NOTHING(plait_wrapping_factory_connection_lost, why, );
	NOTHING(plait_wrapping_factory_port_full, p,
		plait_wrapping_factory_port_full(w, NULL, NULL));
	NOTHING(plait_wrapping_factory_port_opened, p,
		plait_wrapping_factory_port_opened(w, NULL));
	NOTHING(plait_wrapping_factory_port_closed, p,
		plait_wrapping_factory_port_closed(w, NULL));
}

static void leave_it(plait_value *value, void *arg)
{
}

TEST(a_bound_canceller_does_not_look_at_the_deferred, PURE)
{
	struct plait_bound b = { .fn = leave_it };

	GIVES(plait_bound_canceller, d, plait_cancelled().ptr,
	      plait_bound_canceller(NULL, &b).ptr);
}

TEST(what_cleans_up_takes_null, PURE)
{
	struct plait_protocol *none = NULL;

	ENDED(plait_deferred_cleanup, dp, struct plait_deferred);
	ENDED(plait_buf_cleanup, bp, struct plait_buf);
	ENDED(plait_failure_cleanup, fp, const struct plait_failure);
	ENDED(plait_promise_cleanup, pp, struct plait_promise);
	ENDED(plait_lock_cleanup, lp, struct plait_lock);
	ENDED(plait_semaphore_cleanup, sp, struct plait_semaphore);
	ENDED(plait_queue_cleanup, qp, struct plait_queue);
	ENDED(plait_pool_cleanup, pp, struct plait_pool);
	ENDED(plait_shared_cleanup, sp, struct plait_shared);
	ENDED(plait_event_cleanup, ep, struct plait_event);
	ENDED(plait_reactor_cleanup, rp, struct plait_reactor);
	ENDED(plait_looping_call_cleanup, lp, struct plait_looping_call);
	ENDED(plait_cooperator_cleanup, cp, struct plait_cooperator);
	ENDED(plait_coiterator_cleanup, tp, struct plait_coiterator);
	ENDED(plait_scope_cleanup, sp, struct plait_scope);
	ENDED(plait_port_cleanup, pp, struct plait_port);
	ENDED(plait_connector_cleanup, cp, struct plait_connector);
	ENDED(plait_resolver_cleanup, rp, struct plait_resolver);
	ENDED(plait_transport_cleanup, tp, struct plait_transport);
	ENDED(plait_endpoint_cleanup, ep, struct plait_endpoint);
	plait_protocol_cleanup(&none);
}

/* ---- a reactor ------------------------------------------------------------
 */

TEST(a_null_reactor_has_been_freed, PURE)
{
	ENDED(plait_reactor_free, rp, struct plait_reactor);
}

static void nothing(void *arg)
{
}

TEST(a_null_simulation_does_not_run, PURE)
{
	GIVES(plait_simulation_seed, s, 0, plait_simulation_seed(NULL));
	GIVES(plait_simulation_seconds, s, 0, plait_simulation_seconds(NULL));
	GIVES(plait_simulation_drawn_options, s, NULL,
	      plait_simulation_drawn_options(NULL));
	errno = 0;
	GIVES(plait_simulation_host, s, NULL, plait_simulation_host(NULL, "h"));
	ck_assert_int_eq(errno, ENOMEM);
	GIVES(plait_simulation_stop, s, -ENOMEM, plait_simulation_stop(NULL));
	NOTHING(plait_simulation_set_link, s,
		plait_simulation_set_link(NULL, NULL, NULL, NULL));
	NOTHING(plait_simulation_heal, s, plait_simulation_heal(NULL));
	GIVES(plait_simulation_call_later, s, -ENOMEM,
	      plait_simulation_call_later(NULL, 1, nothing, NULL));
	GIVES(plait_simulation_below, s, 0,
	      plait_simulation_below(NULL, "x", 9));
	GIVES(plait_simulation_chance, s, false,
	      plait_simulation_chance(NULL, "x", 1));
	GIVES(plait_simulation_run, s, -ENOMEM, plait_simulation_run(NULL, 1));
	NOTHING(plait_simulation_fail, s, plait_simulation_fail(NULL, "x"));
	GIVES(plait_simulation_failure, s, NULL,
	      plait_simulation_failure(NULL));
	GIVES(plait_simulation_digest, s, 0, plait_simulation_digest(NULL));
	GIVES(plait_simulation_of, r, NULL, plait_simulation_of(NULL));
	ENDED(plait_simulation_free, sp, struct plait_simulation);
	ENDED(plait_simulation_cleanup, sp, struct plait_simulation);
}

static plait_value no_program(struct plait_reactor *r, void *arg)
{
	return PLAIT_NONE;
}

/* NULL as one end of a link is all hosts. */
TEST(a_null_host_runs_nothing, PURE)
{
	struct plait_simulation *s = plait_simulation_new(1, NULL);
	struct plait_buf *b = plait_buf_new(100);
	const struct plait_host_faults faults = { .no_memory = 0 };

	SAYS(plait_host_name, h, "", plait_host_name(NULL));
	SAYS(plait_host_address, h, "", plait_host_address(NULL));
	errno = 0;
	GIVES(plait_host_reactor, h, NULL, plait_host_reactor(NULL));
	ck_assert_int_eq(errno, ENOMEM);
	GIVES(plait_host_run, h, -ENOMEM,
	      plait_host_run(NULL, no_program, NULL));
	GIVES(plait_host_programs, h, 0, plait_host_programs(NULL));
	GIVES(plait_host_status, h, -1, plait_host_status(NULL));
	NOTHING(plait_host_stop, h, plait_host_stop(NULL));
	NOTHING(plait_host_crash, h, plait_host_crash(NULL));
	GIVES(plait_host_signal, h, -ENOMEM, plait_host_signal(NULL, SIGTERM));
	NOTHING(plait_host_kill, h, plait_host_kill(NULL));
	GIVES(plait_host_restart, h, -ENOMEM, plait_host_restart(NULL));
	GIVES(plait_host_is_up, h, false, plait_host_is_up(NULL));
	NOTHING(plait_host_set_faults, h, plait_host_set_faults(NULL, &faults));
	GIVES(plait_host_set_file, h, -ENOMEM,
	      plait_host_set_file(NULL, "/etc/hosts", ""));
	GIVES(plait_host_set_program, h, -ENOMEM,
	      plait_host_set_program(NULL, "sh", no_program, NULL));
	GIVES(plait_simulation_argv, r, NULL, plait_simulation_argv(NULL));
	GIVES(plait_simulation_raise, r, -ESRCH,
	      plait_simulation_raise(NULL, SIGTERM));
	NOTHING(plait_simulation_set_link, from,
		plait_simulation_set_link(s, NULL, NULL, NULL));
	NOTHING(plait_simulation_set_link, to,
		plait_simulation_set_link(s, NULL, NULL, NULL));
	GIVES(plait_host_netstat, h, -ENOMEM, plait_host_netstat(NULL, b));
	GIVES(plait_host_netstat, b, -ENOMEM,
	      plait_host_netstat(plait_simulation_host(s, "h"), NULL));
	plait_buf_unref(&b);
	plait_simulation_free(&s);
}

static plait_value no_trigger(void *arg)
{
	return PLAIT_NONE;
}

static plait_value no_loop(size_t count, void *arg)
{
	return PLAIT_NONE;
}

static void no_watch(struct plait_watch *w, unsigned events)
{
}

static void no_signal(struct plait_signal_watch *w, unsigned times)
{
}

static void give(struct plait_deferred *d)
{
}

static struct plait_address no_address;
static struct plait_limits no_limits;
static struct plait_watch watch;
static struct plait_signal_watch signal_watch;
static struct plait_reaper null_reaper;
static struct plait_backoff no_backoff;
static struct plait_timer timer;
static struct plait_thread_call thread_call;

/* AT: of a function that knows the place of the call, and says it. */
#define NULL_REACTORS(IN, AT)                                                  \
	AT(plait_client_connect, r,                                            \
	   give(plait_client_connect(NULL, NULL, NULL, NULL, NULL)))           \
	AT(plait_endpoint_connect, r,                                          \
	   give(plait_endpoint_connect(NULL, NULL, NULL, NULL)))               \
	AT(plait_endpoint_read_all, r,                                         \
	   give(plait_endpoint_read_all(NULL, NULL, PLAIT_NONE, 1)))           \
	AT(plait_endpoint_listen, r,                                           \
	   give(plait_endpoint_listen(NULL, NULL, &null_factory)))             \
	AT(plait_client_connect_tcp, r,                                        \
	   give(plait_client_connect_tcp(NULL, "127.0.0.1", 1, NULL, NULL,     \
					 NULL)))                               \
	IN(plait_client_service_new, r,                                        \
	   plait_client_service_new(NULL, NULL, NULL, NULL, NULL))             \
	AT(plait_client_read_all, r,                                           \
	   give(plait_client_read_all(NULL, "127.0.0.1", 1, PLAIT_NONE, 1,     \
				      NULL)))                                  \
	AT(plait_retry, r, give(plait_retry(NULL, must_not_run, NULL, NULL)))  \
	AT(plait_resolve, r, give(plait_resolve(NULL, "a", NULL)))             \
	AT(plait_resolve_address, r,                                           \
	   give(plait_resolve_address(NULL, &no_address, NULL)))               \
	IN(plait_resolver_new, r, plait_resolver_new(NULL, NULL))              \
	IN(plait_reactor_resolver, r, plait_reactor_resolver(NULL))            \
	IN(plait_backoff_next, r, plait_backoff_next(&no_backoff, NULL))       \
	IN(plait_cooperator_new, r, plait_cooperator_new(NULL, 0.01))          \
	IN(plait_reactor_dump_on_signal, r,                                    \
	   plait_reactor_dump_on_signal(NULL, SIGUSR1))                        \
	AT(plait_deferred_add_timeout, r,                                      \
	   plait_deferred_add_timeout(NULL, NULL, 1))                          \
	AT(plait_deferred_add_timeout_with, r,                                 \
	   plait_deferred_add_timeout_with(NULL, NULL, 1, must_not_time_out,   \
					   NULL))                              \
	AT(plait_defer_later, r, give(plait_defer_later(NULL, 1, NULL, NULL))) \
	AT(plait_defer_to_thread, r,                                           \
	   give(plait_defer_to_thread(NULL, no_job, NULL, NULL)))              \
	IN(plait_pool_new, r, plait_pool_new(NULL, "p", NULL))                 \
	IN(plait_looping_call_new, r,                                          \
	   plait_looping_call_new(NULL, no_loop, NULL))                        \
	IN(plait_reactor_backend, r, plait_reactor_backend(NULL))              \
	AT(plait_reactor_run, r, plait_reactor_run(NULL))                      \
	AT(plait_reactor_iterate, r, plait_reactor_iterate(NULL, 0))           \
	IN(plait_reactor_stop, r, plait_reactor_stop(NULL))                    \
	IN(plait_reactor_stop_now, r, plait_reactor_stop_now(NULL))            \
	IN(plait_reactor_is_running, r, plait_reactor_is_running(NULL))        \
	IN(plait_reactor_seconds, r, plait_reactor_seconds(NULL))              \
	IN(plait_reactor_random, r, plait_reactor_random(NULL))                \
	IN(plait_call_when_running, r,                                         \
	   plait_call_when_running(NULL, nothing, NULL))                       \
	IN(plait_call_from_thread, r,                                          \
	   plait_call_from_thread(NULL, nothing, NULL))                        \
	IN(plait_thread_call_queue, r,                                         \
	   plait_thread_call_queue(NULL, &thread_call, nothing, NULL))         \
	IN(plait_reactor_add_trigger, r,                                       \
	   plait_reactor_add_trigger(NULL, PLAIT_TRIGGER_BEFORE,               \
				     PLAIT_TRIGGER_STARTUP, no_trigger, NULL,  \
				     NULL))                                    \
	IN(plait_reactor_remove_trigger, r,                                    \
	   plait_reactor_remove_trigger(NULL, 1))                              \
	IN(plait_reactor_set_limits, r,                                        \
	   plait_reactor_set_limits(NULL, &no_limits))                         \
	IN(plait_watch_start, r,                                               \
	   plait_watch_start(NULL, &watch, 0, PLAIT_WATCH_READ, no_watch))     \
	IN(plait_reaper_start, r, plait_reaper_start(NULL, &null_reaper))      \
	IN(plait_signal_watch_start, r,                                        \
	   plait_signal_watch_start(NULL, &signal_watch, SIGUSR1, no_signal))  \
	AT(plait_signal_wait, r, give(plait_signal_wait(NULL, SIGUSR1)))       \
	IN(plait_file_watch_start, r,                                          \
	   plait_file_watch_start(NULL, &no_files, "/", NULL, no_file_change)) \
	IN(plait_spawn, r,                                                     \
	   plait_spawn(NULL, no_argv, &null_process, NULL, NULL))              \
	AT(plait_run, r, give(plait_run(NULL, no_argv, PLAIT_NONE, NULL)))     \
	AT(plait_defer_to_process, r,                                          \
	   give(plait_defer_to_process(NULL, "job", PLAIT_NONE, NULL)))        \
	AT(plait_process_watch, r, give(plait_process_watch(NULL, 1)))         \
	IN(plait_stdio, r, plait_stdio(NULL, NULL, NULL))                      \
	IN(plait_listen_stdio, r,                                              \
	   plait_listen_stdio(NULL, &null_factory, NULL))                      \
	IN(plait_connect_stdio, r, plait_connect_stdio(NULL, &null_factory))   \
	IN(plait_pipe_transport, r,                                            \
	   plait_pipe_transport(NULL, -1, -1, NULL, NULL))                     \
	IN(plait_listen_tcp, r,                                                \
	   plait_listen_tcp(NULL, 0, &null_factory, NULL, NULL))               \
	IN(plait_listen_udp, r,                                                \
	   plait_listen_udp(NULL, 0, &null_datagrams, NULL, NULL))             \
	IN(plait_connect_udp, r,                                               \
	   plait_connect_udp(NULL, "127.0.0.1", 1, &null_datagrams, NULL,      \
			     NULL))                                            \
	IN(plait_endpoint_connect_factory, r,                                  \
	   plait_endpoint_connect_factory(NULL, NULL, &null_factory))          \
	IN(plait_listen_unix_datagrams, r,                                     \
	   plait_listen_unix_datagrams(NULL, "@x", &null_datagrams, NULL,      \
				       NULL))                                  \
	IN(plait_connect_unix_datagrams, r,                                    \
	   plait_connect_unix_datagrams(NULL, "@x", &null_datagrams, NULL,     \
					NULL))                                 \
	IN(plait_connect_tcp, r,                                               \
	   plait_connect_tcp(NULL, "127.0.0.1", 1, &null_factory, NULL))       \
	IN(plait_listen_fd, r,                                                 \
	   plait_listen_fd(NULL, 1000, &null_factory, NULL, NULL))             \
	IN(plait_connect_fd, r, plait_connect_fd(NULL, 1000, &null_factory))   \
	IN(plait_fd_str, r, plait_fd_str(NULL, 1000, NULL, 0))                 \
	IN(plait_listen_unix, r,                                               \
	   plait_listen_unix(NULL, "@x", &null_factory, NULL, NULL))           \
	IN(plait_connect_unix, r,                                              \
	   plait_connect_unix(NULL, "@x", &null_factory, NULL))                \
	IN(plait_adopt_fd, r, plait_adopt_fd(NULL, 1000, NULL))                \
	IN(plait_socketpair, r, plait_socketpair(NULL, NULL, NULL))            \
	IN(plait_check_cancel_points_on, r,                                    \
	   plait_check_cancel_points_on(NULL, NULL, NULL))                     \
	IN(plait_testing_advance, r, plait_testing_advance(NULL, 1))           \
	IN(plait_testing_connector, r, plait_testing_connector(NULL))          \
	IN(plait_testing_connect, r,                                           \
	   plait_testing_connect(NULL, &null_factory))                         \
	IN(plait_timer_start, r,                                               \
	   plait_timer_start(NULL, &timer, 1, nothing, NULL))                  \
	IN(plait_call_later, r, plait_call_later(NULL, 1, nothing, NULL))      \
	IN(plait_transport_new, r,                                             \
	   plait_transport_new(&null_transport_ops, NULL, NULL))

#define SAID_IN(function, parameter, ...) { #function, "" },
#define SAID_AT(function, parameter, ...) { #function, __FILE__ },
#define DO_IT(function, parameter, ...) USE_DO("", __VA_ARGS__)

static const struct {
	const char *function, *place;
} said_of_null[] = { NULL_REACTORS(SAID_IN, SAID_AT) };

static void use_null_reactor(void *arg)
{
	int n = *(int *)arg;

	NULL_REACTORS(DO_IT, DO_IT)
}

TEST(a_null_reactor_aborts_and_names_the_function, PURE, EACH_OF(said_of_null))
{
	const char *said;

	ck_assert_int_eq(child_run(use_null_reactor, &_i, &said),
			 CHILD_ABORTED);
	ck_assert_msg(strstr(said, said_of_null[_i].function) != NULL &&
			      strstr(said, said_of_null[_i].place) != NULL &&
			      strstr(said, "was given a NULL reactor") != NULL,
		      "said: %s", said);
}

/*
 * What may be begun while a reactor is freed or stops, by those who are told
 * that what they had has ended: it fails, and says so; whoever begins anew
 * each time comes to an end; and the handle is good until all that is over.
 */
#include <math.h>

#include "tests/actor.h"
#include "tests/timed.h"
#include "tests/trace.h"

static void (*act)(void);

static plait_value run_act(plait_value *result, void *arg)
{
	ck_assert(plait_failure_check(plait_value_failure(result),
				      &plait_error_abandoned));
	act();
	return PLAIT_NONE;
}

/* Does that when the reactor is freed. */
static void free_and(void (*fn)(void))
{
	struct plait_deferred *d = plait_defer_later(reactor, 1000, NULL, NULL);

	act = fn;
	plait_deferred_add_both(d, run_act, NULL);
	plait_deferred_detach(&d);
	plait_reactor_free(&reactor);
	ck_assert_ptr_null(reactor);
}

static void must_not_run(void *arg)
{
	ck_abort_msg("it has run");
}

static plait_value must_not_begin(void *arg)
{
	ck_abort_msg("it has begun");
	return PLAIT_NONE;
}

static void assert_freed(const plait_value *v)
{
	const struct plait_failure *f = plait_value_failure(v);

	ck_assert(plait_failure_check(f, &plait_error_cancelled));
	ck_assert_str_eq(plait_failure_cancel_reason(f), "reactor freed");
	ck_assert_ptr_nonnull(
		strstr(plait_failure_cancel_where(f), "test_ending.c"));
}

static plait_value swallow(plait_value *result, void *arg)
{
	return PLAIT_NONE;
}

static void handle_value(struct plait_deferred **dp)
{
	plait_deferred_add_errback(*dp, swallow, NULL);
	plait_deferred_free(dp);
}

/* ---- the handle ------------------------------------------------------ */

static struct plait_timer timer;
static struct plait_thread_call thread_call;

static void use_it(void)
{
	ck_assert_ptr_nonnull(reactor);
	plait_call_later(reactor, 0, must_not_run, NULL);
	plait_timer_start(reactor, &timer, 0, must_not_run, NULL);
	ck_assert_int_eq(plait_call_from_thread(reactor, must_not_run, NULL),
			 0);
	plait_thread_call_queue(reactor, &thread_call, must_not_run, NULL);
	ck_assert_int_eq(plait_reactor_stop(reactor), -EALREADY);
	ck_assert_int_eq(plait_reactor_iterate(reactor, 0), -EBUSY);
	trace_add("used");
}

GROUP("handle");

TEST(the_handle_is_good_until_the_last_callback, ON_EACH_REACTOR)
{
	free_and(use_it);
	assert_trace("used");
	ck_assert(!plait_timer_is_running(&timer));
	plait_timer_stop(&timer);
}

static void free_it_again(void)
{
	struct plait_reactor *copy = reactor;

	plait_reactor_free(&copy);
	ck_assert_ptr_null(copy);
	use_it();
}

TEST(freeing_it_again_in_a_callback_does_nothing, ON_EACH_REACTOR)
{
	free_and(free_it_again);
	assert_trace("used");
}

static void note_failed(struct actor *a)
{
	trace_add("failed");
}

static struct actor client;

static void begin_in_hook(const struct plait_failure *why, void *arg)
{
	use_it();
	actor_connect(&client, reactor, 1);
}

/* The report of promises comes before the memory goes. */
TEST(failures_that_nobody_handled_are_told_before_it_is_gone, ON_EACH_REACTOR)
{
	struct plait_promise *p;
	struct plait_deferred *d = plait_deferred_new(&p, NULL, NULL);

	actor_init(&client);
	client.on_failed = note_failed;
	plait_set_unhandled_hook(begin_in_hook, NULL);
	plait_reactor_free(&reactor);
	assert_trace("used failed");
	ck_assert_uint_eq(client.stops, 1);
	plait_deferred_free(&d);
	plait_promise_drop(&p);
	plait_timer_stop(&timer);
}

/* ---- what is begun --------------------------------------------------- */

static plait_value loop(size_t count, void *arg)
{
	ck_abort_msg("it has looped");
	return PLAIT_NONE;
}

static void begin_later(void)
{
	struct plait_deferred *d =
		plait_defer_later(reactor, 0, must_not_begin, NULL);

	assert_freed(plait_deferred_result(d));
	handle_value(&d);
}

static void begin_looping(void)
{
	struct plait_looping_call *l =
		plait_looping_call_new(reactor, loop, NULL);
	struct plait_deferred *d = plait_looping_call_start(l, 1, true);

	ck_assert(!plait_looping_call_is_running(l));
	assert_freed(plait_deferred_result(d));
	handle_value(&d);
	plait_looping_call_free(&l);
}

static bool step(plait_value *result, void *arg)
{
	ck_abort_msg("it has made a step");
	return false;
}

static void begin_cooperating(void)
{
	struct plait_cooperator *c = plait_cooperator_new(reactor, 0);
	struct plait_coiterator *t = plait_cooperate(c, step, NULL);
	struct plait_deferred *d = plait_coiterator_when_done(t);
	const plait_value *v = plait_deferred_result(d);

	ck_assert(plait_failure_check(plait_value_failure(v),
				      &plait_error_scheduler_stopped));
	handle_value(&d);
	plait_coiterator_free(&t);
	plait_cooperator_free(&c);
}

static void begin_listening(void)
{
	struct plait_port *port = NULL;

	actor_init(&client);
	ck_assert_int_eq(
		plait_listen_tcp(reactor, 0, &client.base, NULL, &port),
		-ESHUTDOWN);
	ck_assert_ptr_null(port);
	ck_assert_str_eq(client.trace, "");
}

static void begin_scope(void)
{
	struct plait_scope *s = plait_scope_new(reactor);
	struct plait_deferred *d;

	plait_scope_set_deadline(s, 1);
	ck_assert(isinf(plait_scope_deadline(s)));
	d = plait_scope_close(&s);
	ck_assert(plait_deferred_is_fired(d));
	plait_deferred_free(&d);
}

static struct plait_deferred *timed;

static void begin_timeout(void)
{
	struct plait_promise *p;

	timed = plait_deferred_new(&p, NULL, NULL);
	plait_deferred_add_timeout(timed, reactor, 0);
	plait_promise_drop(&p);
	handle_value(&timed);
}

static void (*const kinds[])(void) = {
	begin_later,	 begin_looping, begin_cooperating,
	begin_listening, begin_scope,	begin_timeout,
};

GROUP("begun");

TEST(what_is_begun_has_failed_at_once, ON_EACH_REACTOR, EACH_OF(kinds))
{
	free_and(kinds[_i]);
}

enum { MANY = 1000 };

/* A looping call or cooperator from before does not go on, either. */
static struct plait_looping_call *looping;

static void start_the_old_one(void)
{
	struct plait_deferred *d = plait_looping_call_start(looping, 1, true);

	assert_freed(plait_deferred_result(d));
	handle_value(&d);
}

TEST(what_was_there_before_starts_nothing, ON_EACH_REACTOR)
{
	looping = plait_looping_call_new(reactor, loop, NULL);
	free_and(start_the_old_one);
	plait_looping_call_free(&looping);
}

static struct plait_deferred *all[MANY];
static unsigned n_settled;

static plait_value note_settled(plait_value *result, void *arg)
{
	n_settled++;
	assert_freed(result);
	return PLAIT_NONE;
}

static void begin_many(void)
{
	for (int i = 0; i < MANY; i++) {
		all[i] = plait_defer_later(reactor, 1, must_not_begin, NULL);
		plait_deferred_add_both(all[i], note_settled, NULL);
	}
}

TEST(any_number_is_told, ON_EACH_REACTOR)
{
	free_and(begin_many);
	ck_assert_uint_eq(n_settled, MANY);
	for (int i = 0; i < MANY; i++)
		plait_deferred_free(&all[i]);
}

/* Each callback has its hundred that fail at once. */
static unsigned n_callbacks;

static plait_value begin_sixty(plait_value *result, void *arg)
{
	for (int i = 0; i < 60; i++)
		begin_later();
	n_callbacks++;
	return PLAIT_NONE;
}

TEST(each_callback_is_answered_at_once, ON_EACH_REACTOR)
{
	struct plait_deferred *d;

	for (int i = 0; i < 3; i++) {
		d = plait_defer_later(reactor, 1000, NULL, NULL);
		plait_deferred_add_both(d, begin_sixty, NULL);
		plait_deferred_detach(&d);
	}
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(n_callbacks, 3);
}

static void begin_many_attempts(void)
{
	actor_init(&client);
	for (int i = 0; i < 2 * MANY; i++)
		ck_assert_ptr_nonnull(plait_connect_tcp(reactor, "127.0.0.1", 1,
							&client.base, NULL));
}

/* It is rounds that are counted, not attempts. */
TEST(any_number_of_attempts_is_told, ON_EACH_REACTOR)
{
	free_and(begin_many_attempts);
	ck_assert_uint_eq(client.failed, 2 * MANY);
	ck_assert_uint_eq(client.stops, 1);
}

static void begin_connecting(void)
{
	actor_init(&client);
	actor_connect(&client, reactor, 1);
	ck_assert_uint_eq(client.failed, 0);
}

TEST(attempts_to_connect_are_told_before_it_is_gone, ON_EACH_REACTOR)
{
	free_and(begin_connecting);
	ck_assert_str_eq(client.trace, "ScFX");
	ck_assert_ptr_eq(client.kind, &plait_error_connection_lost);
	ck_assert_uint_eq(calls_of("socket"), 0);
}

static const struct plait_protocol_ops no_protocol = { .name = "none" };
static struct plait_deferred *connecting;

static void begin_client(void)
{
	connecting = plait_client_connect_tcp(reactor, "127.0.0.1", 1,
					      &no_protocol, NULL, NULL);
	ck_assert(!plait_deferred_is_fired(connecting));
}

TEST(so_are_clients, ON_EACH_REACTOR)
{
	free_and(begin_client);
	ck_assert(plait_failure_check(
		plait_value_failure(plait_deferred_result(connecting)),
		&plait_error_connection_lost));
	handle_value(&connecting);
}

/* ---- beginning anew, without end -------------------------------------- */

static struct plait_reactor *of_child;
static unsigned tries;

static plait_value try_again(plait_value *result, void *arg);

static struct plait_deferred *try_later(void)
{
	return plait_defer_later(of_child, 1, NULL, NULL);
}

static struct plait_deferred *try_looping(void)
{
	return plait_looping_call_start(looping, 1, false);
}

static struct plait_deferred *try_client(void)
{
	return plait_client_connect_tcp(of_child, "127.0.0.1", 1, &no_protocol,
					NULL, NULL);
}

static struct plait_cooperator *cooperator;
static struct plait_coiterator *begun[200 * 1000];
static unsigned n_begun;

static bool do_nothing(plait_value *result, void *arg)
{
	return true;
}

/* As a supervisor does with what has ended. */
static struct plait_deferred *try_cooperating(void)
{
	struct plait_coiterator *t =
		plait_cooperate(cooperator, do_nothing, NULL);
	struct plait_deferred *d = plait_coiterator_when_done(t);

	ck_assert_uint_lt(n_begun, sizeof(begun) / sizeof(begun[0]));
	begun[n_begun++] = t;
	return d;
}

static struct plait_deferred *(*const ways[])(void) = { try_later, try_looping,
							try_client,
							try_cooperating };
static struct plait_deferred *(*way)(void);

enum { N_WAYS = 4 };

/* Whatever went wrong, once more. */
static plait_value try_again(plait_value *result, void *arg)
{
	struct plait_deferred *d;

	if (way == NULL)
		return PLAIT_NONE;
	tries++;
	d = way();
	plait_deferred_add_errback(d, try_again, NULL);
	return plait_chain(&d);
}

static void start_helpers(void)
{
	of_child = reactor;
	looping = plait_looping_call_new(reactor, loop, NULL);
	cooperator = plait_cooperator_new(reactor, 0);
}

static void free_helpers(void)
{
	while (n_begun > 0)
		plait_coiterator_free(&begun[--n_begun]);
	plait_looping_call_free(&looping);
	plait_cooperator_free(&cooperator);
}

static struct plait_deferred *start_trying(int i)
{
	struct plait_deferred *d =
		plait_failed(plait_fail(&plait_error_any, "first"));

	way = ways[i];
	start_helpers();
	plait_deferred_add_errback(d, try_again, NULL);
	return d;
}

GROUP("anew");

/* In the end it waits for what nobody will tell, until it is freed. */
TEST(who_tries_again_without_end_is_left_waiting, ON_EACH_REACTOR,
     TIMES(N_WAYS))
{
	struct plait_deferred *d;

	d = start_trying(_i);
	plait_reactor_free(&reactor);
	ck_assert_uint_gt(tries, 500);
	ck_assert_uint_eq(unhandled_count(), 1);
	unhandled_expect(1);
	ck_assert_ptr_nonnull(strstr(unhandled_text(), "test_ending.c"));
	way = NULL;
	plait_deferred_free(&d);
	free_helpers();
}

static plait_value try_five_times(plait_value *result, void *arg)
{
	struct plait_deferred *d;

	if (++tries == 5)
		return plait_value_take(result);
	d = way();
	plait_deferred_add_errback(d, try_five_times, NULL);
	return plait_chain(&d);
}

TEST(who_gives_up_is_told_to_the_end, ON_EACH_REACTOR, TIMES(N_WAYS))
{
	struct plait_deferred *d;

	way = ways[_i];
	start_helpers();
	d = way();
	plait_deferred_add_errback(d, try_five_times, NULL);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(tries, 5);
	ck_assert(plait_deferred_is_fired(d));
	handle_value(&d);
	free_helpers();
}

static void connect_again(struct actor *a)
{
	of_child = reactor;
	errno = 0;
	if (plait_connect_tcp(reactor, "127.0.0.1", 1, &a->base, NULL) == NULL)
		ck_assert_int_eq(errno, ESHUTDOWN);
}

static void expect_a_thousand_failures(void)
{
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(client.failed, client.started);
	ck_assert_uint_ge(client.failed, 1000);
	ck_assert_uint_le(client.failed, 1001);
	ck_assert_uint_eq(client.base.users, 0);
}

static void run_and_stop(void)
{
	plait_call_later(reactor, 0, call_stop, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_uint_eq(client.stops, client.starts);
}

/* The reactor is freed, or stopped. */
TEST(a_factory_that_connects_again_comes_to_an_end, ON_EACH_REACTOR, TIMES(2))
{
	actor_init(&client);
	client.on_failed = connect_again;
	actor_connect(&client, reactor, 1);
	if (_i == 1)
		run_and_stop();
	expect_a_thousand_failures();
}

TEST(it_ends_while_something_else_closes_slowly, PURE)
{
	struct plait_limits limits = { .stop_timeout = 5 };
	struct actor slow;
	struct plait_transport *t;

	timed_start();
	plait_reactor_set_limits(reactor, &limits);
	actor_init(&client);
	actor_init(&slow);
	client.on_failed = connect_again;
	actor_connect(&client, reactor, 1);
	t = plait_testing_connect(reactor, &slow.base);
	plait_testing_set_window(t, 0);
	plait_transport_write(t, "x", 1);
	plait_transport_lose_connection(t);
	run_and_stop();
	ck_assert_double_ge(plait_reactor_seconds(reactor), 5);
	expect_a_thousand_failures();
}

/* A stop that came to an end that way does not spoil the next one. */
TEST(the_next_end_is_told_anew, ON_EACH_REACTOR)
{
	for (int i = 0; i < 2; i++) {
		actor_init(&client);
		client.on_failed = connect_again;
		actor_connect(&client, reactor, 1);
		run_and_stop();
		ck_assert_uint_ge(client.failed, 1000);
	}
}

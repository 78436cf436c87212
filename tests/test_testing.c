/*
 * The testing reactor, its recording transports and the network that the
 * test plays: they do what the real ones do, and nothing by themselves.
 */
#include <stdio.h>

#include <plait/testing.h>

#include "tests/actor.h"
#include "tests/child.h"

static struct actor actor;

/* The harness frees the reactor. */
static void setup(void)
{
	actor_init(&actor);
	reactor = plait_testing_reactor_new();
	ck_assert_ptr_nonnull(reactor);
}

/* What was written, as text. */
static const char *written(struct plait_transport *t)
{
	static char text[64];
	const struct plait_buf *b = plait_testing_written(t);

	snprintf(text, sizeof(text), "%.*s", (int)plait_buf_size(b),
		 (const char *)plait_buf_data(b));
	return text;
}

static void deliver(struct plait_transport *t, const char *text)
{
	plait_testing_deliver(t, text, strlen(text));
}

static void settle(void)
{
	plait_testing_advance(reactor, 0);
}

static void count(void *arg)
{
	++*(unsigned *)arg;
}

GROUP("clock", .setup = setup);

/* The clock. */
TEST(the_clock_starts_at_zero_and_stands_still, PURE)
{
	ck_assert_double_eq(plait_reactor_seconds(reactor), 0);
	settle();
	ck_assert_double_eq(plait_reactor_seconds(reactor), 0);
	plait_testing_advance(reactor, 1.5);
	ck_assert_double_eq(plait_reactor_seconds(reactor), 1.5);
	plait_testing_advance(reactor, 0.25);
	ck_assert_double_eq(plait_reactor_seconds(reactor), 1.75);
}

static void note_seconds(void *arg)
{
	*(double *)arg = plait_reactor_seconds(reactor);
}

TEST(timers_see_the_final_time, PURE)
{
	struct plait_timer a = { .reactor = NULL }, b = { .reactor = NULL };
	double first = 0, second = 0;

	plait_timer_start(reactor, &a, 1, note_seconds, &first);
	plait_timer_start(reactor, &b, 2, note_seconds, &second);
	plait_testing_advance(reactor, 0.999);
	ck_assert_double_eq(first, 0);
	plait_testing_advance(reactor, 9.001);
	ck_assert_double_eq(first, 10);
	ck_assert_double_eq(second, 10);
}

TEST(advancing_by_nothing_runs_what_is_due, PURE)
{
	unsigned n = 0;

	plait_call_later(reactor, 0, count, &n);
	plait_call_later(reactor, 0.001, count, &n);
	ck_assert_uint_eq(n, 0);
	plait_testing_advance(reactor, 0);
	ck_assert_uint_eq(n, 1);
}

static void lose_a_failure(void *arg)
{
	struct plait_deferred *d =
		plait_failed(plait_fail(&plait_error_any, "lost"));

	plait_deferred_free(&d);
}

TEST(whatever_a_call_does_the_others_of_the_time_run, PURE)
{
	unsigned n = 0;

	unhandled_expect(2);
	plait_call_later(reactor, 1, lose_a_failure, NULL);
	plait_call_later(reactor, 1, count, &n);
	plait_call_later(reactor, 2, lose_a_failure, NULL);
	plait_call_later(reactor, 3, count, &n);
	plait_testing_advance(reactor, 5);
	ck_assert_uint_eq(unhandled_count(), 2);
	ck_assert_uint_eq(n, 2);
}

static void call_again(void *arg)
{
	unsigned *n = arg;

	if (++*n < 3)
		plait_call_later(reactor, 0, call_again, n);
}

TEST(what_becomes_due_meanwhile_runs_too, PURE)
{
	unsigned n = 0;

	plait_call_later(reactor, 1, call_again, &n);
	plait_testing_advance(reactor, 1);
	ck_assert_uint_eq(n, 3);
}

static void stop_reactor(void *arg)
{
	plait_reactor_stop(reactor);
}

TEST(running_jumps_from_timer_to_timer, PURE)
{
	unsigned n = 0;

	plait_call_later(reactor, 1000, count, &n);
	plait_call_later(reactor, 5000, stop_reactor, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_uint_eq(n, 1);
	ck_assert_double_eq(plait_reactor_seconds(reactor), 5000);
}

TEST(running_with_nothing_to_come_ends, PURE)
{
	ck_assert_int_eq(plait_reactor_run(reactor), -EDEADLK);
}

static void advance_inside(void *arg)
{
	*(bool *)arg = true;
	plait_testing_advance(reactor, 1);
}

TEST(advancing_inside_a_turn_only_moves_the_clock, PURE)
{
	bool called = false;

	plait_call_later(reactor, 0, advance_inside, &called);
	settle();
	ck_assert(called);
	ck_assert_double_eq(plait_reactor_seconds(reactor), 1);
}

TEST(it_needs_no_descriptor, PURE)
{
	calls_reset();
	plait_reactor_free(&reactor);
	reactor = plait_testing_reactor_new();
	ck_assert_uint_eq(calls_of("epoll_create1"), 0);
	ck_assert_uint_eq(calls_of("eventfd"), 0);
	ck_assert_uint_eq(calls_of("socket"), 0);
}

/* The recording transport. */
static struct plait_transport *connect_actor(void)
{
	struct plait_transport *t = plait_testing_connect(reactor, &actor.base);

	ck_assert_ptr_nonnull(t);
	return t;
}

GROUP("transport", .setup = setup);

TEST(a_connection_is_made_at_once, PURE)
{
	struct plait_transport *t = connect_actor();
	struct plait_address a;

	ck_assert_str_eq(actor.trace, "SBM");
	ck_assert_ptr_eq(actor.transport, t);
	ck_assert_ptr_eq(plait_testing_protocol(t)->transport, t);
	ck_assert(plait_testing_is_connected(t));
	ck_assert(!plait_testing_is_aborted(t));
	ck_assert(!plait_testing_is_paused(t));
	ck_assert_int_eq(plait_transport_peer(t, &a), 0);
	ck_assert_int_eq(plait_transport_host(t, &a), 0);
	ck_assert_int_eq(plait_transport_set_no_delay(t, true), -ENOTSUP);
}

TEST(a_factory_that_refuses_gets_no_transport, PURE)
{
	actor.refuses = true;
	ck_assert_ptr_null(plait_testing_connect(reactor, &actor.base));
	ck_assert_str_eq(actor.trace, "SBX");
}

TEST(what_is_written_is_recorded, PURE)
{
	struct plait_transport *t = connect_actor();
	struct plait_buf *b = plait_buf_copy("c", 1);

	ck_assert_str_eq(written(t), "");
	plait_transport_write(t, "a", 1);
	plait_transport_write(t, "b", 1);
	plait_transport_write_buf(t, b);
	plait_buf_unref(&b);
	ck_assert_str_eq(written(t), "abc");
	plait_testing_clear(t);
	ck_assert_str_eq(written(t), "");
	plait_transport_write(t, "d", 1);
	ck_assert_str_eq(written(t), "d");
}

TEST(what_is_delivered_arrives_at_once, PURE)
{
	struct plait_transport *t = connect_actor();

	deliver(t, "one");
	ck_assert_str_eq(actor.text, "one");
	deliver(t, "");
	deliver(t, "two");
	ck_assert_str_eq(actor.text, "onetwo");
	ck_assert_str_eq(actor.trace, "SBMD");
}

static void note_most(struct actor *a, struct plait_protocol *p,
		      const void *data, size_t len)
{
	size_t *most = a->arg;

	if (len > *most)
		*most = len;
}

TEST(much_comes_in_pieces, PURE)
{
	struct plait_transport *t = connect_actor();
	char *data = calloc(1, 300000);
	size_t most = 0;

	actor.on_data = note_most;
	actor.arg = &most;
	plait_testing_deliver(t, data, 300000);
	free(data);
	ck_assert_uint_eq(actor.received, 300000);
	ck_assert_uint_eq(most, 131072);
}

TEST(nothing_arrives_while_reading_is_paused, PURE)
{
	struct plait_transport *t = connect_actor();

	plait_transport_pause_reading(t);
	ck_assert(plait_testing_is_paused(t));
	deliver(t, "one");
	deliver(t, "two");
	settle();
	ck_assert_uint_eq(actor.received, 0);
	plait_transport_resume_reading(t);
	ck_assert_uint_eq(actor.received, 0);
	settle();
	ck_assert_str_eq(actor.text, "onetwo");
}

static void pause_after_one(struct actor *a, struct plait_protocol *p,
			    const void *data, size_t len)
{
	plait_transport_pause_reading(p->transport);
}

TEST(pausing_keeps_the_rest_and_the_end, PURE)
{
	struct plait_transport *t = connect_actor();
	char *data = calloc(1, 200000);

	actor.on_data = pause_after_one;
	plait_testing_deliver(t, data, 200000);
	free(data);
	plait_testing_deliver_eof(t);
	settle();
	ck_assert_uint_eq(actor.received, 131072);
	ck_assert_str_eq(actor.trace, "SBMD");
	plait_transport_resume_reading(t);
	settle();
	ck_assert_uint_eq(actor.received, 200000);
	/* Paused again, but nothing is left that the end could wait for. */
	ck_assert_str_eq(actor.trace, "SBMDLX");
	ck_assert_ptr_eq(actor.lost_kind, &plait_error_connection_done);
}

static void fin(struct plait_transport *t)
{
	plait_testing_deliver_eof(t);
}

static void rst(struct plait_transport *t)
{
	plait_value v = plait_fail_errno(&plait_error_connection_lost,
					 ECONNRESET, "recv");

	plait_testing_lose(t, plait_value_failure(&v));
	plait_value_free(&v);
}

static void (*const ways_to_go[])(struct plait_transport *) = { fin, rst };

static plait_value note_end(plait_value *result, void *arg)
{
	*(bool *)arg = plait_value_is_failure(result);
	return PLAIT_NONE;
}

static void work_in_scope(struct plait_transport *t, bool *ended)
{
	struct plait_deferred *d = plait_defer_later(reactor, 3600, NULL, NULL);

	plait_deferred_add_both(d, note_end, ended);
	plait_scope_own(plait_transport_scope(t), &d);
}

TEST(a_hang_up_while_paused_ends_the_work, PURE, TIMES(2))
{
	struct plait_transport *t = connect_actor();
	bool ended = false;

	work_in_scope(t, &ended);
	deliver(t, "request");
	plait_transport_pause_reading(t);
	settle();
	ck_assert(!plait_transport_peer_has_closed(t));
	ways_to_go[_i](t);
	settle();
	ck_assert(ended);
	ck_assert_str_eq(actor.trace, "SBMDLX");
}

TEST(an_end_behind_unread_input_waits_for_it, PURE)
{
	struct plait_transport *t = connect_actor();
	bool ended = false;

	work_in_scope(t, &ended);
	plait_transport_pause_reading(t);
	deliver(t, "unread");
	ck_assert(!plait_transport_peer_has_closed(t));
	fin(t);
	plait_testing_advance(reactor, 100);
	ck_assert_str_eq(actor.trace, "SBM");
	ck_assert(!ended);
	ck_assert(plait_transport_peer_has_closed(t));
	plait_transport_resume_reading(t);
	settle();
	ck_assert_str_eq(actor.trace, "SBMDLX");
	ck_assert(ended);
}

TEST(a_reset_ends_the_work_before_unread_input_is_read, PURE, TIMES(3))
{
	struct plait_transport *t = connect_actor();
	bool ended = false;

	work_in_scope(t, &ended);
	plait_transport_pause_reading(t);
	deliver(t, "unread");
	rst(t);
	ck_assert(ended);
	plait_transport_write(t, "into the void", 13);
	deliver(t, "from the grave");
	fin(t);
	rst(t);
	plait_testing_advance(reactor, 4.9);
	ck_assert_str_eq(actor.trace, "SBM");
	ck_assert(plait_transport_peer_has_closed(t));
	ck_assert_str_eq(written(t), "");
	if (_i == 0)
		plait_transport_resume_reading(t);
	else if (_i == 1)
		plait_transport_lose_connection(t);
	else
		plait_testing_advance(reactor, 0.2);
	settle();
	ck_assert_str_eq(actor.trace, _i == 0 ? "SBMDLX" : "SBMLX");
	ck_assert_str_eq(actor.text, _i == 0 ? "unread" : "");
	ck_assert_str_eq(actor.lost_why,
			 "ConnectionLost: recv: Connection reset by peer");
}

TEST(a_half_closeable_one_is_told_of_the_end_while_paused, PURE)
{
	struct plait_transport *t;
	bool ended = false;

	actor.half_closeable = true;
	t = connect_actor();
	work_in_scope(t, &ended);
	plait_transport_pause_reading(t);
	fin(t);
	settle();
	ck_assert_str_eq(actor.trace, "SBMR");
	ck_assert(!ended);
	plait_transport_lose_connection(t);
	settle();
	ck_assert(ended);
}

/* After a reset there is no end of the input that could be told. */
TEST(a_reset_is_all_that_is_told, PURE, TIMES(2))
{
	struct plait_transport *t;

	actor.half_closeable = true;
	t = connect_actor();
	plait_transport_pause_reading(t);
	plait_testing_protocol(t)->unread = true;
	ways_to_go[_i](t);
	ways_to_go[1 - _i](t);
	settle();
	ck_assert_str_eq(actor.trace, "SBM");
	plait_transport_resume_reading(t);
	settle();
	ck_assert_str_eq(actor.trace, "SBMLX");
}

/* Inside its callbacks it is only on its way. */
static void rst_here(struct actor *a, struct plait_protocol *p)
{
	bool ended = false;

	work_in_scope(p->transport, &ended);
	rst(p->transport);
	ck_assert(!ended);
	ck_assert(plait_testing_is_connected(p->transport));
	ck_assert_ptr_nonnull(plait_testing_protocol(p->transport));
	plait_scope_cancel(plait_transport_scope(p->transport), "enough");
}

static void rst_at_data(struct actor *a, struct plait_protocol *p,
			const void *data, size_t len)
{
	rst_here(a, p);
}

TEST(what_is_lost_inside_is_told_after_it, PURE, TIMES(3))
{
	struct plait_transport *t;

	actor.half_closeable = true;
	if (_i == 0)
		actor.on_made = rst_here;
	else if (_i == 1)
		actor.on_data = rst_at_data;
	else
		actor.on_read_lost = rst_here;
	t = connect_actor();
	deliver(t, "x");
	fin(t);
	settle();
	ck_assert_str_eq(actor.trace, _i == 0	? "SBMLX"
				      : _i == 1 ? "SBMDLX"
						: "SBMDRLX");
	ck_assert_int_eq(strncmp(actor.lost_why, "ConnectionLost", 14), 0);
}

static void lose_and_take_all(struct actor *a, struct plait_protocol *p,
			      const void *data, size_t len)
{
	plait_transport_write(p->transport, "bye", 3);
	plait_transport_lose_connection(p->transport);
	plait_testing_set_window(p->transport, SIZE_MAX);
	ck_assert(plait_testing_is_connected(p->transport));
}

TEST(what_is_answered_inside_is_answered_after_it, PURE)
{
	struct plait_transport *t = connect_actor();

	actor.on_data = lose_and_take_all;
	plait_testing_set_window(t, 0);
	deliver(t, "x");
	settle();
	ck_assert_str_eq(actor.trace, "SBMDLX");
	ck_assert_str_eq(written(t), "bye");
}

static void deliver_to_other(struct actor *a, struct plait_protocol *p,
			     const void *data, size_t len)
{
	struct plait_transport *other = a->arg;

	if (p->transport == other)
		return;
	plait_testing_deliver(other, "others", 6);
	ck_assert_mem_eq(data, "first", 5);
}

TEST(delivering_to_another_from_inside_keeps_the_data, PURE)
{
	struct plait_transport *t = connect_actor();

	actor.on_data = deliver_to_other;
	actor.arg = connect_actor();
	deliver(t, "first");
	ck_assert_str_eq(actor.text, "firstothers");
}

static void pump_here(struct actor *a, struct plait_protocol *p,
		      const void *data, size_t len)
{
	a->on_data = NULL;
	plait_transport_write(p->transport, "answer", 6);
	plait_testing_pump(p->transport, a->arg);
	ck_assert_mem_eq(data, "first", 5);
}

TEST(a_pump_from_inside_carries_what_there_is, PURE)
{
	struct plait_transport *t, *other;
	struct actor client;

	actor_init(&client);
	other = plait_testing_connect(reactor, &client.base);
	actor.on_data = pump_here;
	actor.arg = other;
	t = connect_actor();
	plait_transport_write(other, "second", 6);
	deliver(t, "first");
	ck_assert_str_eq(client.text, "answer");
	plait_transport_lose_connection(other);
	plait_testing_pump(t, other);
	ck_assert_str_eq(actor.text, "firstsecond");
	ck_assert_str_eq(actor.trace, "SBMDLX");
}

static void deliver_more(struct actor *a, struct plait_protocol *p,
			 const void *data, size_t len)
{
	a->on_data = NULL;
	deliver(p->transport, "second");
	/* Not inside this one. */
	ck_assert_uint_eq(a->received, 5);
	ck_assert_mem_eq(data, "first", 5);
}

TEST(delivered_from_inside_it_comes_next, PURE)
{
	struct plait_transport *t = connect_actor();

	actor.on_data = deliver_more;
	deliver(t, "first");
	ck_assert_str_eq(actor.text, "firstsecond");
}

TEST(lose_connection_answers_from_the_loop, PURE)
{
	struct plait_transport *t = connect_actor();

	plait_transport_write(t, "bye", 3);
	plait_transport_lose_connection(t);
	plait_transport_write(t, "!", 1);
	deliver(t, "too late");
	ck_assert_str_eq(actor.trace, "SBM");
	ck_assert(plait_testing_is_connected(t));
	settle();
	ck_assert_str_eq(actor.trace, "SBMLX");
	ck_assert_str_eq(actor.lost_why, "ConnectionDone");
	/* It can still be looked at. */
	ck_assert_str_eq(written(t), "bye!");
	ck_assert(!plait_testing_is_connected(t));
	ck_assert_ptr_null(plait_testing_protocol(t));
	ck_assert(!plait_testing_is_aborted(t));
}

TEST(abort_answers_from_the_loop, PURE)
{
	struct plait_transport *t = connect_actor();

	plait_transport_abort(t);
	ck_assert(plait_testing_is_aborted(t));
	ck_assert_str_eq(actor.trace, "SBM");
	settle();
	ck_assert_str_eq(actor.trace, "SBMLX");
	ck_assert_ptr_eq(actor.lost_kind, &plait_error_connection_aborted);
}

TEST(half_closing_is_told_from_the_loop, PURE)
{
	struct plait_transport *t;

	actor.half_closeable = true;
	t = connect_actor();
	plait_transport_lose_write_connection(t);
	plait_transport_write(t, "no", 2);
	ck_assert_str_eq(actor.trace, "SBM");
	settle();
	ck_assert_str_eq(actor.trace, "SBMW");
	ck_assert_str_eq(written(t), "");
	plait_testing_deliver_eof(t);
	ck_assert_str_eq(actor.trace, "SBMWR");
	plait_testing_deliver_eof(t);
	deliver(t, "after the end");
	settle();
	ck_assert_str_eq(actor.trace, "SBMWR");
	plait_transport_lose_connection(t);
	settle();
	ck_assert_str_eq(actor.trace, "SBMWRLX");
}

TEST(the_peers_end_loses_the_connection, PURE)
{
	struct plait_transport *t = connect_actor();

	plait_testing_set_window(t, 1);
	plait_transport_write(t, "abc", 3);
	plait_testing_deliver_eof(t);
	settle();
	/* What is unsent is flushed first. */
	ck_assert_uint_eq(actor.lost, 0);
	plait_testing_set_window(t, SIZE_MAX);
	settle();
	ck_assert_str_eq(written(t), "abc");
	ck_assert_str_eq(actor.trace, "SBMLX");
	ck_assert_ptr_eq(actor.lost_kind, &plait_error_connection_done);
}

TEST(lost_is_told_at_once_and_once, PURE)
{
	struct plait_transport *t = connect_actor();
	plait_value v = plait_fail(&plait_error_connection_lost, "by a test");

	plait_testing_lose(t, plait_value_failure(&v));
	ck_assert_str_eq(actor.trace, "SBMLX");
	ck_assert_str_eq(actor.lost_why, "ConnectionLost: by a test");
	plait_testing_lose(t, plait_value_failure(&v));
	plait_testing_deliver_eof(t);
	deliver(t, "too late");
	plait_transport_write(t, "too late", 8);
	plait_transport_abort(t);
	plait_testing_set_window(t, 5);
	settle();
	ck_assert_str_eq(actor.trace, "SBMLX");
	ck_assert_str_eq(written(t), "");
	plait_value_free(&v);
}

TEST(the_window_lets_through_what_it_says, PURE)
{
	struct plait_transport *t = connect_actor();

	plait_testing_set_window(t, 4);
	plait_transport_write(t, "abc", 3);
	plait_transport_write(t, "def", 3);
	ck_assert_str_eq(written(t), "abcd");
	ck_assert_uint_eq(plait_transport_pending(t), 2);
	plait_testing_set_window(t, 1);
	ck_assert_str_eq(written(t), "abcde");
	plait_testing_set_window(t, SIZE_MAX);
	ck_assert_str_eq(written(t), "abcdef");
	ck_assert_uint_eq(plait_transport_pending(t), 0);
}

struct producer {
	struct plait_producer base;
	unsigned paused, resumed, stopped;
};

static void producer_pause(struct plait_producer *p)
{
	plait_self(p, struct producer)->paused++;
}

static void producer_resume(struct plait_producer *p)
{
	plait_self(p, struct producer)->resumed++;
}

static void producer_stop(struct plait_producer *p)
{
	plait_self(p, struct producer)->stopped++;
}

static const struct plait_producer_ops producer_ops = {
	.name = "test",
	.pause = producer_pause,
	.resume = producer_resume,
	.stop = producer_stop,
};

TEST(a_slow_peer_pauses_the_producer, PURE)
{
	struct plait_transport *t = connect_actor();
	struct producer p = { .base.ops = &producer_ops };
	char *data = calloc(1, 100000);

	plait_testing_set_window(t, 0);
	plait_transport_register_producer(t, &p.base, true);
	plait_transport_write(t, data, 100000);
	free(data);
	settle();
	ck_assert_uint_eq(p.paused, 1);
	plait_testing_set_window(t, 80000);
	settle();
	ck_assert_uint_eq(p.resumed, 0);
	plait_testing_set_window(t, 4000);
	settle();
	ck_assert_uint_eq(p.resumed, 1);
	plait_transport_lose_connection(t);
	plait_testing_set_window(t, SIZE_MAX);
	settle();
	ck_assert_uint_eq(actor.lost, 0);
	plait_transport_unregister_producer(t);
	settle();
	ck_assert_uint_eq(actor.lost, 1);
	ck_assert_uint_eq(p.stopped, 0);
}

static void produce_for_itself(struct actor *a, struct plait_protocol *p)
{
	plait_transport_register_producer(
		p->transport, plait_transport_producer(p->transport), true);
}

TEST(its_own_half_does_not_hold_a_close, PURE)
{
	struct plait_transport *t;

	actor.on_made = produce_for_itself;
	t = plait_testing_connect(reactor, &actor.base);
	plait_testing_set_window(t, 0);
	plait_transport_write(t, "bye", 3);
	plait_transport_lose_connection(t);
	plait_testing_advance(reactor, 10);
	ck_assert_uint_eq(actor.lost, 0);
	plait_testing_set_window(t, 3);
	settle();
	ck_assert_str_eq(actor.lost_why, "ConnectionDone");
}

/* As slow as they may be: from the last progress on. */
TEST(a_close_without_progress_is_given_up, PURE)
{
	struct plait_transport *t = plait_testing_connect(reactor, &actor.base);

	plait_testing_set_window(t, 0);
	plait_transport_write(t, "Nevermore", 9);
	plait_transport_lose_connection(t);
	settle();
	plait_testing_advance(reactor, 29);
	plait_testing_set_window(t, 5);
	plait_testing_advance(reactor, 29);
	ck_assert_uint_eq(actor.lost, 0);
	plait_testing_set_window(t, 0);
	plait_testing_advance(reactor, 1);
	ck_assert_str_eq(actor.lost_why,
			 "ConnectionAborted: "
			 "closing made no progress in 30 seconds");
}

TEST(the_reactor_loses_what_is_left, PURE)
{
	connect_actor();
	plait_reactor_free(&reactor);
	ck_assert_str_eq(actor.trace, "SBMLX");
	ck_assert_ptr_eq(actor.lost_kind, &plait_error_connection_lost);
}

TEST(each_connection_counts_as_one_user, PURE)
{
	struct plait_transport *a = connect_actor();
	struct plait_transport *b = connect_actor();

	plait_transport_lose_connection(a);
	settle();
	ck_assert_str_eq(actor.trace, "SBMBML");
	plait_transport_lose_connection(b);
	settle();
	ck_assert_str_eq(actor.trace, "SBMBMLLX");
}

GROUP("network", .setup = setup);

/* The network. */
TEST(a_port_accepts_when_the_test_connects, PURE)
{
	struct plait_port *port;
	struct plait_transport *t;
	struct plait_address a, host;

	ck_assert_int_eq(plait_listen_tcp(reactor, 0, &actor.base, NULL, &port),
			 0);
	plait_port_address(port, &a);
	ck_assert_uint_ne(plait_address_port(&a), 0);
	ck_assert_str_eq(actor.trace, "S");
	t = plait_testing_accept(port);
	ck_assert_ptr_eq(actor.transport, t);
	plait_transport_host(t, &host);
	ck_assert_uint_eq(plait_address_port(&host), plait_address_port(&a));
	ck_assert_str_eq(actor.trace, "SBM");
	actor.refuses = true;
	ck_assert_ptr_null(plait_testing_accept(port));
	actor_stop(reactor, &port);
	ck_assert_str_eq(actor.trace, "SBMBX");
	plait_transport_lose_connection(t);
	settle();
}

static void stop_listening(void *arg)
{
	struct plait_port **port = arg;
	struct plait_deferred *d = plait_port_stop_listening(port);

	plait_deferred_detach(&d);
}

TEST(a_stopped_port_accepts_nobody, PURE)
{
	struct plait_port *port, *same;

	ck_assert_int_eq(plait_listen_tcp(reactor, 7, &actor.base, NULL, &port),
			 0);
	same = port;
	stop_listening(&port);
	ck_assert_ptr_null(plait_testing_accept(same));
	settle();
	ck_assert_str_eq(actor.trace, "SX");
}

TEST(a_connector_waits_for_the_test, PURE)
{
	struct plait_connector *c = actor_connect(&actor, reactor, 80);
	struct plait_transport *t;
	struct plait_address a;

	settle();
	ck_assert_str_eq(actor.trace, "Sc");
	t = plait_testing_complete(c);
	ck_assert_ptr_eq(t, actor.transport);
	ck_assert_str_eq(actor.trace, "ScBM");
	plait_transport_peer(t, &a);
	ck_assert_uint_eq(plait_address_port(&a), 80);
	ck_assert_int_eq(plait_connector_state(c), PLAIT_CONNECTED);
	ck_assert_ptr_null(plait_testing_complete(c));
	plait_connector_disconnect(c);
	settle();
	ck_assert_str_eq(actor.trace, "ScBMLCX");
}

TEST(a_connector_fails_as_the_test_says, PURE)
{
	struct plait_connector *c = actor_connect(&actor, reactor, 80);
	plait_value v = plait_fail(&plait_error_connection_refused, "no");

	plait_connector_ref(c);
	plait_testing_refuse(c, plait_value_failure(&v));
	ck_assert_str_eq(actor.trace, "ScFX");
	ck_assert_str_eq(actor.why, "ConnectionRefusedError: no");
	plait_testing_refuse(c, plait_value_failure(&v));
	ck_assert_ptr_null(plait_testing_complete(c));
	ck_assert_str_eq(actor.trace, "ScFX");
	plait_value_free(&v);
	settle();
	plait_connector_unref(&c);
}

/* No turn lies between one attempt and the next. */
TEST(a_connector_fails_and_connects_without_a_turn, PURE)
{
	struct plait_connector *c = actor_connect(&actor, reactor, 80);
	plait_value v = plait_fail(&plait_error_connection_refused, "no");

	plait_connector_ref(c);
	for (int i = 0; i < 3; i++) {
		plait_testing_refuse(c, plait_value_failure(&v));
		ck_assert_int_eq(plait_connector_connect(c), 0);
	}
	ck_assert_ptr_nonnull(plait_testing_complete(c));
	plait_connector_unref(&c);
	plait_value_free(&v);
	plait_transport_lose_connection(actor.transport);
	settle();
	ck_assert_str_eq(actor.trace, "ScFXScFXScFXScBMLCX");
}

static void decide(struct actor *a)
{
	plait_value v = plait_fail(&plait_error_connection_refused, "no");

	if (a->connector == NULL)
		return;
	if (a->arg != NULL)
		ck_assert_ptr_null(plait_testing_complete(a->connector));
	else
		plait_testing_refuse(a->connector, plait_value_failure(&v));
	/* One outcome is enough. */
	ck_assert_ptr_null(plait_testing_complete(a->connector));
	plait_testing_refuse(a->connector, plait_value_failure(&v));
	plait_value_free(&v);
}

/* As on sockets: start(), started_connecting(), the outcome. */
TEST(an_outcome_decided_in_start_comes_after_the_attempt_is_told, PURE,
     TIMES(2))
{
	struct plait_connector *c = actor_connect(&actor, reactor, 80);

	actor.on_start = decide;
	actor.arg = _i ? &actor : NULL;
	plait_connector_ref(c);
	plait_connector_stop_connecting(c);
	settle();
	ck_assert_int_eq(plait_connector_connect(c), 0);
	ck_assert_str_eq(actor.trace, "ScFXSc");
	ck_assert_int_eq(plait_connector_state(c), PLAIT_CONNECTING);
	settle();
	ck_assert_str_eq(actor.trace, _i ? "ScFXScBM" : "ScFXScFX");
	plait_connector_unref(&c);
}

/* The program's stop counts if it comes before the outcome is told. */
TEST(an_outcome_decided_in_start_may_be_stopped, PURE)
{
	struct plait_connector *c = actor_connect(&actor, reactor, 80);

	actor.on_start = decide;
	actor.arg = &actor;
	plait_connector_ref(c);
	plait_connector_stop_connecting(c);
	settle();
	plait_connector_connect(c);
	plait_connector_stop_connecting(c);
	settle();
	ck_assert_str_eq(actor.trace, "ScFXScFX");
	ck_assert_ptr_eq(actor.kind, &plait_error_user);
	plait_connector_unref(&c);
}

TEST(a_stopped_attempt_has_no_other_outcome, PURE)
{
	struct plait_connector *c = actor_connect(&actor, reactor, 80);

	plait_connector_stop_connecting(c);
	ck_assert_ptr_null(plait_testing_complete(c));
	plait_testing_refuse(c, NULL);
	settle();
	ck_assert_str_eq(actor.trace, "ScFX");
	ck_assert_ptr_eq(actor.kind, &plait_error_user);
}

TEST(an_attempt_times_out_on_the_virtual_clock, PURE)
{
	actor_connect(&actor, reactor, 80);
	plait_testing_advance(reactor, 29.9);
	ck_assert_str_eq(actor.trace, "Sc");
	plait_testing_advance(reactor, 0.1);
	ck_assert_str_eq(actor.trace, "ScFX");
	ck_assert_ptr_eq(actor.kind, &plait_error_connect_timeout);
}

TEST(a_client_that_refuses_gets_no_transport, PURE)
{
	actor.refuses = true;
	ck_assert_ptr_null(
		plait_testing_complete(actor_connect(&actor, reactor, 80)));
	ck_assert_str_eq(actor.trace, "ScBCX");
	settle();
}

/* What happened, and when. */
static char diary[512];

static void write_down(void *arg)
{
	size_t n = strlen(diary);

	snprintf(diary + n, sizeof(diary) - n, "%.1s%g ", (const char *)arg,
		 plait_reactor_seconds(reactor));
}

static void write_failure(struct actor *a)
{
	write_down((void *)"F");
}

static void write_loss(struct actor *a, struct plait_protocol *p)
{
	write_down((void *)"L");
}

static void lose(void *transport)
{
	plait_transport_lose_connection(transport);
}

static void play(void)
{
	static const char names[] = "abcdefghijklmnopqrst";

	setup();
	diary[0] = '\0';
	actor.on_failed = write_failure;
	actor.on_lost = write_loss;
	for (int i = 0; i < 20; i++)
		plait_call_later(reactor, 1 + i % 3, write_down,
				 (void *)(uintptr_t)&names[i]);
	actor_connect(&actor, reactor, 80);
	for (int i = 0; i < 3; i++)
		plait_call_later(reactor, 2, lose, connect_actor());
	ck_assert_int_eq(plait_reactor_run(reactor), -EDEADLK);
	write_down((void *)".");
	plait_reactor_free(&reactor);
}

/* Neither the addresses nor the pace of the machine have a say. */
TEST(a_run_is_the_same_each_time, PURE)
{
	char first[sizeof(diary)], *elsewhere;

	plait_reactor_free(&reactor);
	play();
	memcpy(first, diary, sizeof(first));
	ck_assert_ptr_nonnull(strstr(first, "q2 t2 L2 L2 L2 c3 "));
	ck_assert_ptr_nonnull(strstr(first, " F30 .30 "));
	elsewhere = malloc(100000);
	play();
	ck_assert_str_eq(diary, first);
	free(elsewhere);
}

/* Two recording transports. */
static void count_down(struct actor *a, struct plait_protocol *p,
		       const void *data, size_t len)
{
	const char *n = data;

	if (*n > '0')
		plait_transport_write(p->transport, (char[]){ *n - 1 }, 1);
	else
		plait_transport_lose_connection(p->transport);
}

TEST(a_pump_carries_until_both_are_silent, PURE)
{
	struct plait_transport *a, *b;
	struct actor other;

	actor_init(&other);
	actor.on_data = other.on_data = count_down;
	a = connect_actor();
	b = plait_testing_connect(reactor, &other.base);
	plait_transport_write(a, "5", 1);
	plait_testing_pump(a, b);
	ck_assert_str_eq(actor.text, "420");
	ck_assert_str_eq(other.text, "531");
	/* And that one of them hung up. */
	ck_assert_str_eq(actor.trace, "SBMDLX");
	ck_assert_str_eq(other.trace, "SBMDLX");
	ck_assert_ptr_eq(other.lost_kind, &plait_error_connection_done);
}

TEST(a_pump_carries_how_it_ended, PURE)
{
	struct plait_transport *a, *b;
	struct actor other;

	actor_init(&other);
	other.half_closeable = true;
	a = connect_actor();
	b = plait_testing_connect(reactor, &other.base);
	plait_transport_lose_write_connection(a);
	plait_testing_pump(a, b);
	ck_assert_str_eq(other.trace, "SBMR");
	plait_transport_abort(b);
	plait_testing_pump(a, b);
	ck_assert_str_eq(other.trace, "SBMRLX");
	ck_assert_str_eq(actor.trace, "SBMLX");
	ck_assert_ptr_eq(actor.lost_kind, &plait_error_connection_lost);
}

TEST(a_pump_waits_for_a_paused_reader, PURE)
{
	struct plait_transport *a, *b;
	struct actor other;

	actor_init(&other);
	a = connect_actor();
	b = plait_testing_connect(reactor, &other.base);
	plait_transport_pause_reading(b);
	plait_transport_write(a, "hello", 5);
	plait_transport_lose_connection(a);
	plait_testing_pump(a, b);
	ck_assert_uint_eq(other.received, 0);
	ck_assert_str_eq(written(a), "hello");
	plait_transport_resume_reading(b);
	plait_testing_pump(a, b);
	ck_assert_str_eq(other.text, "hello");
	ck_assert_str_eq(other.trace, "SBMDLX");
}

GROUP("faults", .setup = setup);

/* Memory. */
TEST(without_memory_the_transport_is_refused, PURE, TIMES(4))
{
	fault_alloc_at((unsigned)_i, false);
	ck_assert_ptr_null(plait_testing_connect(reactor, &actor.base));
	fault_alloc_off();
	ck_assert_uint_eq(actor.stops, 1);
	ck_assert_ptr_nonnull(connect_actor());
}

TEST(without_memory_it_is_aborted, PURE, TIMES(3))
{
	struct plait_transport *t = connect_actor();

	fault_alloc_at(0, true);
	switch (_i) {
	case 0:
		plait_transport_write(t, "a", 1);
		break;
	case 1:
		deliver(t, "a");
		break;
	case 2:
		plait_testing_set_window(t, 0);
		plait_transport_write(t, "a", 1);
		break;
	}
	ck_assert(fault_alloc_reached());
	settle();
	fault_alloc_off();
	ck_assert_str_eq(actor.trace, "SBMLX");
	ck_assert_ptr_eq(actor.lost_kind, &plait_error_no_memory);
}

TEST(without_memory_nothing_can_be_made, PURE)
{
	struct plait_port *port;

	plait_reactor_free(&reactor);
	fault_alloc_at(0, true);
	ck_assert_ptr_null(plait_testing_reactor_new());
	ck_assert_int_eq(errno, ENOMEM);
	fault_alloc_off();
	reactor = plait_testing_reactor_new();
	fault_alloc_at(0, true);
	ck_assert_int_eq(plait_listen_tcp(reactor, 1, &actor.base, NULL, &port),
			 -ENOMEM);
	ck_assert_ptr_null(actor_connect(&actor, reactor, 1));
	settle();
	fault_alloc_off();
	ck_assert_str_eq(actor.trace, "SFX");
}

/* Mistakes: objects of a real reactor. */
static void advance_real(void *arg)
{
	plait_testing_advance(plait_reactor_new(NULL), 1);
}

static void connect_real(void *arg)
{
	plait_testing_connect(plait_reactor_new(NULL), &actor.base);
}

static void accept_real(void *arg)
{
	struct plait_port *port;

	actor_listen(&actor, plait_reactor_new(NULL), &port);
	plait_testing_accept(port);
}

static void complete_real(void *arg)
{
	plait_testing_complete(
		actor_connect(&actor, plait_reactor_new(NULL), 1));
}

static void written_real(void *arg)
{
	struct plait_reactor *r = plait_reactor_new(NULL);
	struct plait_port *port;

	actor_connect(&actor, r, actor_listen(&actor, r, &port));
	run_until_count(r, &actor.made, 1);
	plait_testing_written(actor.transport);
}

static const struct {
	void (*fn)(void *arg);
	const char *says;
} mistakes[] = {
	{ advance_real, "plait_testing_advance: the " },
	{ connect_real, "plait_testing_connect: the " },
	{ accept_real, "plait_testing_accept: the " },
	{ complete_real, "plait_testing_complete: the connector is not" },
	{ written_real, "plait_testing_written: a tcp transport is not" },
};

TEST(what_is_not_of_a_testing_reactor_aborts, PURE, EACH_OF(mistakes))
{
	assert_aborts(mistakes[_i].fn, NULL, mistakes[_i].says);
}

/*
 * The testing reactor, its recording transports and the network that the
 * test plays: they do what the real ones do, and nothing by themselves.
 */
#include <stdio.h>

#include <plait/testing.h>

#include "tests/actor.h"
#include "tests/child.h"
#include "tests/story.h"

static struct actor actor;

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

/* The words for a recording transport: what the test plays on it. */
static struct plait_transport *recording;

static void step_record(void)
{
	if (!play_mark("is"))
		recording = wire_record(story_wire(), reactor);
	else if (play_mark("paused"))
		play_holds(plait_testing_is_paused(recording), "it is not");
	else if (play_mark("aborted"))
		play_holds(plait_testing_is_aborted(recording), "it is not");
	else
		play_holds(plait_testing_is_connected(recording) ==
				   play_either("connected", "gone"),
			   "it is not");
}

static void step_deliver(void)
{
	size_t n;
	char *bytes;

	if (!play_bytes(&n)) {
		deliver(recording, play_more() ? play_text() : "");
		return;
	}
	bytes = calloc(1, n);
	plait_testing_deliver(recording, bytes, n);
	free(bytes);
}

static void step_fin(void)
{
	plait_testing_deliver_eof(recording);
}

static void rst(struct plait_transport *t);

static void step_rst(void)
{
	rst(recording);
}

static void step_written(void)
{
	play_text_is(written(recording), play_text());
}

static void step_clear(void)
{
	plait_testing_clear(recording);
}

static void step_window(void)
{
	plait_testing_set_window(
		recording, play_mark("inf") ? SIZE_MAX : (size_t)play_number());
}

static void step_wait(void)
{
	plait_testing_advance(reactor, play_number());
}

static const struct play_verb words[] = {
	{ "clear", step_clear },     { "deliver", step_deliver },
	{ "fin", step_fin },	     { "record", step_record },
	{ "rst", step_rst },	     { "settle", settle },
	{ "wait", step_wait },	     { "window", step_window },
	{ "written", step_written }, { NULL, NULL },
};

/* The harness frees the reactor. */
static void setup(void)
{
	actor_init(&actor);
	reactor = plait_testing_reactor_new();
	ck_assert_ptr_nonnull(reactor);
	play_words(words, NULL);
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

	plait_call_later(reactor, 0, call_count, &n);
	plait_call_later(reactor, 0.001, call_count, &n);
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
	plait_call_later(reactor, 1, call_count, &n);
	plait_call_later(reactor, 2, lose_a_failure, NULL);
	plait_call_later(reactor, 3, call_count, &n);
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

TEST(running_jumps_from_timer_to_timer, PURE)
{
	unsigned n = 0;

	plait_call_later(reactor, 1000, call_count, &n);
	plait_call_later(reactor, 5000, call_stop, NULL);
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
	ck_assert_int_eq(plait_transport_set_tcp_no_delay(t, true), -ENOTSUP);
}

TEST(a_factory_that_refuses_gets_no_transport, PURE)
{
	actor.refuses = true;
	ck_assert_ptr_null(plait_testing_connect(reactor, &actor.base));
	ck_assert_str_eq(actor.trace, "SBX");
}

STORY_ON(what_is_written_is_recorded, PURE,
	 "record; written -; write a; write b; share c; written abc; clear;"
	 "written -; write d; written d");

STORY_ON(what_is_delivered_arrives_at_once, PURE,
	 "record; deliver one; text one; deliver; deliver two; text onetwo; "
	 "trace MD");

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

STORY_ON(nothing_arrives_while_reading_is_paused, PURE,
	 "record; pause; record is paused; deliver one; deliver two; settle;"
	 "received 0; resume; received 0; settle; text onetwo");

STORY_ON(pausing_keeps_the_rest_and_the_end, PURE,
	 "D { pause } record; deliver 200000 bytes; fin; settle; received "
	 "131072;"
	 "trace MD; resume; settle; received 200000; trace MDL;"
	 "why ConnectionDone");

static void rst(struct plait_transport *t)
{
	plait_value v = plait_fail_errno(&plait_error_connection_lost,
					 ECONNRESET, "recv");

	plait_testing_lose(t, plait_value_failure(&v));
	plait_value_free(&v);
}

STORY_ON(a_hang_up_while_paused_ends_the_work, PURE,
	 "record; work; deliver request; pause; settle; peer is there; fin;"
	 "settle; work ended; trace MDL",
	 "record; work; deliver request; pause; settle; peer is there; rst;"
	 "settle; work ended; trace MDL");

STORY_ON(an_end_behind_unread_input_waits_for_it, PURE,
	 "record; work; pause; deliver unread; peer is there; fin; wait 100;"
	 "trace M; work goes-on; peer is gone; resume; settle; trace MDL;"
	 "work ended");

#define IN_THE_GRAVE                                                           \
	"record; work; pause; deliver unread; rst; work ended;"                \
	"write into the void; deliver from the grave; fin; rst; wait 4.9;"     \
	"trace M; peer is gone; written -; "
#define RESET "why ConnectionLost: recv: Connection reset by peer"

STORY_ON(a_reset_ends_the_work_before_unread_input_is_read, PURE,
	 IN_THE_GRAVE "resume; settle; trace MDL; text unread; " RESET,
	 IN_THE_GRAVE "lose; settle; trace ML; text -; " RESET,
	 IN_THE_GRAVE "wait 0.2; settle; trace ML; text -; " RESET);

STORY_ON(a_half_closeable_one_is_told_of_the_end_while_paused, PURE,
	 "half-closeable; record; work; pause; fin; settle; trace MR;"
	 "work goes-on; lose; settle; work ended");

/* After a reset there is no end of the input that could be told. */
STORY_ON(a_reset_is_all_that_is_told, PURE,
	 "half-closeable; record; pause; holds-unread; fin; rst; settle;"
	 "trace M; resume; settle; trace ML",
	 "half-closeable; record; pause; holds-unread; rst; fin; settle;"
	 "trace M; resume; settle; trace ML");

/* Inside its callbacks it is only on its way. */
static plait_value note_end(plait_value *result, void *arg)
{
	*(bool *)arg = true;
	return PLAIT_NONE;
}

static void rst_here(struct actor *a, struct plait_protocol *p)
{
	bool ended = false;
	struct plait_deferred *d = plait_deferred_add_both(
		plait_defer_later(reactor, 3600, NULL, NULL), note_end, &ended);

	plait_scope_own(plait_transport_scope(p->transport), &d);
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
	plait_testing_deliver_eof(t);
	settle();
	ck_assert_str_eq(actor.trace, _i == 0	? "SBMLX"
				      : _i == 1 ? "SBMDLX"
						: "SBMDRLX");
	ck_assert_int_eq(strncmp(actor.lost_why, "ConnectionLost", 14), 0);
}

STORY_ON(what_is_answered_inside_is_answered_after_it, PURE,
	 "D { write bye; lose; window inf; record is connected } record;"
	 "window 0; deliver x; settle; trace MDL; written bye");

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

STORY_ON(lose_connection_answers_from_the_loop, PURE,
	 "record; write bye; lose; write !; deliver too late; trace M;"
	 "record is connected; settle; trace ML; why ConnectionDone;"
	 "written bye!; record is gone");

STORY_ON(abort_answers_from_the_loop, PURE,
	 "record; abort; record is aborted; trace M; settle; trace ML;"
	 "why ConnectionAborted...");

STORY_ON(half_closing_is_told_from_the_loop, PURE,
	 "half-closeable; record; lose write; write no; trace M; settle; trace "
	 "MW;"
	 "written -; fin; trace MWR; fin; deliver after the end; settle;"
	 "trace MWR; lose; settle; trace MWRL");

STORY_ON(the_peers_end_loses_the_connection, PURE,
	 "record; window 1; write abc; fin; settle; lost 0; window inf; settle;"
	 "written abc; trace ML; why ConnectionDone");

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
	plait_transport_abort_connection(t);
	plait_testing_set_window(t, 5);
	settle();
	ck_assert_str_eq(actor.trace, "SBMLX");
	ck_assert_str_eq(written(t), "");
	plait_value_free(&v);
}

STORY_ON(the_window_lets_through_what_it_says, PURE,
	 "record; window 4; write abc; write def; written abcd; unsent 2;"
	 "window 1; written abcde; window inf; written abcdef; unsent 0");

STORY_ON(reading_goes_on_when_neither_has_paused_it, PURE,
	 "record; produce-for-itself; window 0; pause; write 100000 bytes;"
	 "settle; window inf; settle; unsent 0; record is paused; deliver x;"
	 "settle; reads 0; resume; settle; reads 1",
	 "record; produce-for-itself; window 0; pause; write 100000 bytes;"
	 "settle; resume; settle; record is paused; deliver x; settle; reads 0;"
	 "window inf; settle; reads 1",
	 "record; produce-for-itself; window 0; write 100000 bytes; settle;"
	 "record is paused; deliver x; settle; reads 0; unregister; settle; "
	 "reads 1");

STORY_ON(a_slow_peer_pauses_the_producer, PURE,
	 "record; window 0; produce; write 100000 bytes; settle; producer P;"
	 "window 80000; settle; producer P; window 4000; settle; producer PR;"
	 "lose; window inf; settle; lost 0; unregister; settle; lost 1;"
	 "producer PR");

STORY_ON(its_own_half_does_not_hold_a_close, PURE,
	 "M { produce-for-itself } record; window 0; write bye; lose; wait 10;"
	 "lost 0; window 3; settle; why ConnectionDone");

/* As slow as they may be: from the last progress on. */
STORY_ON(a_close_without_progress_is_given_up, PURE,
	 "record; window 0; write Nevermore; lose; settle; wait 29; window 5;"
	 "wait 29; lost 0; window 0; wait 1;"
	 "why ConnectionAborted: closing made no progress in 30 seconds");

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
	plait_port_host(port, &a);
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

	plait_port_free(port);
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
	ck_assert_int_eq(plait_connector_state(c), PLAIT_CONNECTOR_CONNECTED);
	ck_assert_ptr_null(plait_testing_complete(c));
	plait_connector_disconnect(c);
	settle();
	ck_assert_str_eq(actor.trace, "ScBMLCX");
}

TEST(a_connector_that_nobody_sees_is_found, PURE)
{
	struct plait_connector *first = actor_connect(&actor, reactor, 80);
	struct plait_deferred *d;

	ck_assert_ptr_eq(plait_testing_connector(reactor), first);
	d = plait_client_read_all(reactor, "127.0.0.1", 81, PLAIT_NONE, 100,
				  NULL);
	ck_assert_ptr_eq(plait_testing_connector(reactor), first);
	plait_testing_complete(first);
	ck_assert_ptr_nonnull(plait_testing_connector(reactor));
	plait_testing_deliver_eof(
		plait_testing_complete(plait_testing_connector(reactor)));
	ck_assert_uint_eq(
		plait_buf_size(plait_value_buf(plait_deferred_result(d))), 0);
	ck_assert_ptr_null(plait_testing_connector(reactor));
	plait_deferred_free(&d);
	plait_connector_disconnect(first);
	settle();
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
	ck_assert_int_eq(plait_connector_state(c), PLAIT_CONNECTOR_CONNECTING);
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

static void keep_a_diary(void)
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
	keep_a_diary();
	memcpy(first, diary, sizeof(first));
	ck_assert_ptr_nonnull(strstr(first, "q2 t2 L2 L2 L2 c3 "));
	ck_assert_ptr_nonnull(strstr(first, " F30 .30 "));
	elsewhere = malloc(100000);
	keep_a_diary();
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
	plait_transport_abort_connection(b);
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

STORY_ON(without_memory_it_is_aborted, PURE,
	 "record; no-memory; write a; settle; memory; trace ML; why "
	 "NoMemoryError",
	 "record; no-memory; deliver a; settle; memory; trace ML; why "
	 "NoMemoryError",
	 "record; no-memory; window 0; write a; settle; memory; trace ML; why "
	 "NoMemoryError");

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

static void find_real(void *arg)
{
	plait_testing_connector(plait_reactor_new(NULL));
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
	{ find_real, "plait_testing_connector: the " },
	{ complete_real, "plait_testing_complete: the connector is not" },
	{ written_real, "plait_testing_written: a tcp transport is not" },
};

TEST(what_is_not_of_a_testing_reactor_aborts, PURE, EACH_OF(mistakes))
{
	assert_aborts(mistakes[_i].fn, NULL, mistakes[_i].says);
}

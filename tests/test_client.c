/*
 * Clients: a connection as a deferred, cancelled at every stage, and what
 * becomes of one that nobody wants.
 */
#include <plait/client.h>
#include <plait/plait.h>
#include <plait/testing.h>

#include "tests/actor.h"
#include "tests/child.h"
#include "tests/harness.h"

/* The client's protocol notes what happens to it in this. */
static struct {
	unsigned made, lost, done, fired;
	void (*on_made)(struct plait_protocol *p);
	struct plait_deferred *d;
	struct plait_protocol *p; /* taken */
} seen;

static void note_made(struct plait_protocol *p)
{
	ck_assert_ptr_eq(plait_client_arg(p), &seen);
	seen.made++;
	if (seen.on_made != NULL)
		seen.on_made(p);
}

static void note_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	ck_assert_ptr_eq(plait_client_arg(p), &seen);
	seen.lost++;
	seen.p = NULL;
}

static void note_done(struct plait_protocol *p)
{
	ck_assert_ptr_eq(plait_client_arg(p), &seen);
	seen.done++;
}

static const struct plait_protocol_ops client_ops = {
	.name = "client",
	.connection_made = note_made,
	.connection_lost = note_lost,
	.done = note_done,
};

static void setup(void)
{
	memset(&seen, 0, sizeof(seen));
}

static plait_value note_fired(plait_value *result, void *arg)
{
	seen.fired++;
	return *result;
}

static plait_value take_it(plait_value *result, void *arg)
{
	seen.p = plait_client_take(result);
	ck_assert(plait_value_is_none(result));
	return PLAIT_NONE;
}

static plait_value ignore(plait_value *result, void *arg)
{
	return PLAIT_NONE;
}

static void connect_to(struct plait_reactor *r, unsigned port)
{
	seen.d = plait_client_connect_tcp(r, "127.0.0.1", port, &client_ops,
					  &seen, NULL);
	ck_assert_ptr_nonnull(seen.d);
	plait_deferred_add_both(seen.d, note_fired, NULL);
}

static const struct plait_error *failed_with(void)
{
	const plait_value *v = plait_deferred_result(seen.d);

	ck_assert_ptr_nonnull(v);
	return plait_failure_kind(plait_value_failure(v));
}

static void done_with_it(void)
{
	plait_deferred_add_errback(seen.d, ignore, NULL);
	plait_deferred_free(&seen.d);
}

/* A server that listens, and a client that connects to it. */
static struct actor server;
static struct plait_port *listening;

static void start(void)
{
	actor_init(&server);
	connect_to(reactor, actor_listen(&server, reactor, &listening));
}

static void finish(void)
{
	actor_stop(reactor, &listening);
	actor_wait_idle(&server, reactor);
}

GROUP("connecting", .setup = setup);

TEST(fires_with_the_protocol_after_it_was_connected, ON_EACH_BACKEND)
{
	start();
	ck_assert_uint_eq(seen.fired, 0);
	run_until_count(reactor, &seen.made, 1);
	ck_assert_uint_eq(seen.fired, 0);
	run_turns(reactor, 1);
	ck_assert_uint_eq(seen.fired, 1);
	plait_deferred_add_callback(seen.d, take_it, NULL);
	ck_assert_ptr_eq(seen.p->ops, &client_ops);
	ck_assert(seen.p->connected);
	plait_deferred_free(&seen.d);
	run_turns(reactor, 3);
	ck_assert_uint_eq(seen.lost, 0);
	plait_transport_lose_connection(seen.p->transport);
	run_until_count(reactor, &seen.lost, 1);
	finish();
}

/* connection_made() may still end it, so it fires later; but no time passes. */
TEST(fires_in_the_turn_after_it_was_connected, PURE)
{
	reactor = plait_testing_reactor_new();
	connect_to(reactor, 7);
	plait_testing_complete(plait_testing_connector(reactor));
	ck_assert_uint_eq(seen.made, 1);
	ck_assert_uint_eq(seen.fired, 0);
	plait_testing_advance(reactor, 0);
	ck_assert_uint_eq(seen.fired, 1);
	plait_deferred_free(&seen.d);
	plait_testing_advance(reactor, 0);
	plait_reactor_free(&reactor);
}

TEST(connection_that_nobody_takes_is_closed, ON_EACH_BACKEND)
{
	start();
	run_until_count(reactor, &seen.fired, 1);
	plait_deferred_free(&seen.d);
	run_until_count(reactor, &seen.lost, 1);
	finish();
}

TEST(detached_one_is_closed_when_it_is_connected, ON_EACH_BACKEND)
{
	start();
	plait_deferred_detach(&seen.d);
	run_until_count(reactor, &seen.lost, 1);
	ck_assert_uint_eq(seen.fired, 1);
	finish();
}

TEST(value_of_a_lost_connection_is_null, ON_EACH_BACKEND, TIMES(2))
{
	const plait_value *v;

	start();
	run_until_count(reactor, &seen.fired, 1);
	v = plait_deferred_result(seen.d);
	ck_assert_ptr_nonnull(plait_value_client(v));
	plait_transport_abort_connection(plait_value_client(v)->transport);
	run_until_count(reactor, &seen.lost, 1);
	ck_assert_ptr_null(plait_value_client(v));
	if (_i == 0) {
		plait_deferred_add_callback(seen.d, take_it, NULL);
		ck_assert_ptr_null(seen.p);
	}
	plait_deferred_free(&seen.d);
	finish();
}

TEST(refused_connection_is_a_failure, ON_EACH_BACKEND)
{
	uint16_t port;
	int fd = peer_hold_port(&port);

	connect_to(reactor, port);
	run_until_count(reactor, &seen.fired, 1);
	ck_assert_ptr_eq(failed_with(), &plait_error_connection_refused);
	done_with_it();
	close(fd);
}

TEST(name_is_a_failure_from_the_loop, ON_EACH_BACKEND)
{
	seen.d = plait_client_connect_tcp(reactor, "no.such.invalid", 1,
					  &client_ops, &seen, NULL);
	plait_deferred_add_both(seen.d, note_fired, NULL);
	ck_assert_uint_eq(seen.fired, 0);
	run_until_count(reactor, &seen.fired, 1);
	ck_assert_ptr_eq(failed_with(), &plait_error_dns_no_name);
	done_with_it();
}

TEST(options_are_heeded, ON_EACH_BACKEND)
{
	struct plait_connect_options o = { .timeout = 3 };
	uint16_t port;
	int fd = peer_listen(&port, 0), first = peer_connect(port);

	/* The queue is full, so that the next one hangs. */
	int second = peer_connect_start(port);

	clock_virtual(true);
	seen.d = plait_client_connect_tcp(reactor, "127.0.0.1", port,
					  &client_ops, &seen, &o);
	plait_deferred_add_both(seen.d, note_fired, NULL);
	run_for(reactor, 2.9);
	ck_assert_uint_eq(seen.fired, 0);
	run_for(reactor, 0.2);
	ck_assert_uint_eq(seen.fired, 1);
	ck_assert_ptr_eq(failed_with(), &plait_error_connect_timeout);
	done_with_it();
	close(first);
	close(second);
	close(fd);
}

/* ---- cancelling ---------------------------------------------------- */

GROUP("cancelling", .setup = setup);

TEST(cancelling_stops_connecting, ON_EACH_BACKEND)
{
	start();
	plait_deferred_cancel(seen.d);
	ck_assert_uint_eq(seen.fired, 1);
	ck_assert_ptr_eq(failed_with(), &plait_error_cancelled);
	done_with_it();
	run_turns(reactor, 10);
	ck_assert_uint_eq(seen.made, 0);
	finish();
}

static void cancel_it(struct plait_protocol *p)
{
	plait_deferred_cancel(seen.d);
	ck_assert_uint_eq(seen.fired, 1);
}

TEST(cancelling_when_it_is_connected_already_closes, ON_EACH_BACKEND)
{
	seen.on_made = cancel_it;
	start();
	run_until_count(reactor, &seen.lost, 1);
	ck_assert_ptr_eq(failed_with(), &plait_error_cancelled);
	done_with_it();
	finish();
}

TEST(cancelling_after_it_has_fired_is_nothing, ON_EACH_BACKEND)
{
	start();
	run_until_count(reactor, &seen.fired, 1);
	plait_deferred_cancel(seen.d);
	run_turns(reactor, 3);
	ck_assert_uint_eq(seen.lost, 0);
	plait_deferred_free(&seen.d);
	run_until_count(reactor, &seen.lost, 1);
	finish();
}

static void abort_it(struct plait_protocol *p)
{
	plait_transport_abort_connection(p->transport);
}

TEST(connection_that_is_lost_before_it_fires_is_a_failure, ON_EACH_BACKEND)
{
	seen.on_made = abort_it;
	start();
	run_until_count(reactor, &seen.fired, 1);
	ck_assert_ptr_eq(failed_with(), &plait_error_connection_aborted);
	done_with_it();
	finish();
}

/* ---- the reactor goes ---------------------------------------------- */

TEST(reactor_may_go_while_it_connects, ON_EACH_BACKEND, TIMES(2))
{
	uint16_t port;
	int fd = peer_listen(&port, 1);

	connect_to(reactor, port);
	if (_i == 1)
		run_until_count(reactor, &seen.made, 1);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(seen.fired, 1);
	ck_assert_ptr_eq(failed_with(), &plait_error_connection_lost);
	done_with_it();
	close(fd);
}

TEST(value_outlives_the_reactor, ON_EACH_BACKEND)
{
	uint16_t port;
	int fd = peer_listen(&port, 1);

	connect_to(reactor, port);
	run_until_count(reactor, &seen.fired, 1);
	unhandled_expect(1); /* that it was kept so long */
	plait_reactor_free(&reactor);
	ck_assert_ptr_null(plait_value_client(plait_deferred_result(seen.d)));
	plait_deferred_free(&seen.d);
	close(fd);
}

TEST(a_protocol_finds_its_argument_until_it_is_gone, ON_EACH_BACKEND)
{
	start();
	run_until_count(reactor, &seen.fired, 1);
	plait_deferred_free(&seen.d);
	run_until_count(reactor, &seen.done, 1);
	ck_assert_uint_eq(seen.made, 1);
	ck_assert_uint_eq(seen.lost, 1);
	finish();
}

static void ask_another(void *arg)
{
	struct plait_protocol p = { .ops = &client_ops, .factory = arg };

	plait_client_arg(&p);
}

TEST(a_protocol_of_another_factory_has_no_argument, PURE)
{
	struct plait_factory another = { .protocol = &client_ops };

	assert_aborts(ask_another, &another,
		      "plait_client_arg: the protocol client was not made "
		      "for a client");
	assert_aborts(ask_another, NULL, "plait_client_arg");
}

static void read_a_number(void *arg)
{
	plait_value v = plait_int(1);

	plait_value_client(&v);
}

GROUP("connecting", .setup = setup);

TEST(another_type_aborts, PURE)
{
	assert_aborts(read_a_number, NULL, "client");
}

/* ---- without memory ------------------------------------------------ */

static void whole_life(struct plait_reactor *r)
{
	uint16_t port;
	int fd = peer_listen(&port, 1);

	setup();
	connect_to(r, port);
	if (run_until_count(r, &seen.fired, 1) && !torture_faulty())
		ck_assert_ptr_nonnull(
			plait_value_client(plait_deferred_result(seen.d)));
	done_with_it();
	run_for(r, 60);
	ck_assert_uint_eq(seen.made, seen.lost);
	close(fd);
}

GROUP("torture", .timeout = 60, .setup = setup);

TEST(client_survives_any_refused_allocation, ON_EACH_BACKEND)
{
	torture(whole_life, backend);
}

TEST(client_survives_any_failing_call, ON_EACH_BACKEND)
{
	torture_syscalls(whole_life, backend);
}

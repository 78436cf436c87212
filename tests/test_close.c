/*
 * The ways in which a connection ends: lost by this end, aborted, left by the
 * peer, closed in one direction, shut down with the reactor; and that what
 * was written before arrives, whatever the peer does with its input.
 */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "tests/child.h"
#include "tests/wire.h"

enum { MUCH = 8 << 20 }; /* more than the kernel takes by itself */

static void set_limits(double close_timeout, double linger_timeout,
		       size_t linger_bytes)
{
	struct plait_limits limits = { .close_timeout = close_timeout,
				       .linger_timeout = linger_timeout,
				       .linger_bytes = linger_bytes };

	plait_reactor_set_limits(reactor, &limits);
}

static void write_bytes(struct wire *w, size_t n)
{
	unsigned char *bytes = wire_bytes(n);

	plait_transport_write(w->transport, bytes, n);
	free(bytes);
}

/* All of them come, and then the end. */
static void expect_bytes(struct wire *w, size_t n)
{
	unsigned char *bytes = wire_bytes(n), *got = malloc(n);

	ck_assert_int_eq(peer_read_to_eof(reactor, w->peer, got, n),
			 (ssize_t)n);
	ck_assert(memcmp(bytes, got, n) == 0);
	free(bytes);
	free(got);
}

static unsigned long closes(void)
{
	return calls_of("close");
}

static void say_bye_and_lose(struct wire *w)
{
	plait_transport_write(w->transport, "bye", 3);
	plait_transport_lose_connection(w->transport);
}

GROUP("lose");

/*
 * Losing the connection.
 */
TEST(losing_is_answered_from_the_loop, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	plait_transport_lose_connection(w.transport);
	ck_assert_uint_eq(w.lost, 0);
	ck_assert(plait_transport_is_disconnecting(w.transport));
	wire_wait_lost(&w);
	ck_assert_str_eq(w.why, "ConnectionDone");
	expect_bytes(&w, 0);
	wire_close(&w);
}

TEST(losing_again_is_nothing, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	for (int i = 0; i < 3; i++)
		plait_transport_lose_connection(w.transport);
	wire_close(&w);
	ck_assert_str_eq(w.why, "ConnectionDone");
}

static void lose_now(struct wire *w, const void *data, size_t len)
{
	plait_transport_write(w->transport, "bye", 3);
	plait_transport_lose_connection(w->transport);
	plait_transport_write(w->transport, "!", 1);
	ck_assert_uint_eq(w->lost, 0);
}

TEST(what_is_written_around_losing_is_sent, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = lose_now };
	char text[8] = "";

	ck_assert(wire_open(&w, reactor));
	peer_say(w.peer, "go");
	ck_assert_int_eq(peer_read_to_eof(reactor, w.peer, text, 4), 4);
	ck_assert_str_eq(text, "bye!");
	wire_close(&w);
	ck_assert_str_eq(w.trace, "MDL");
}

static void lose_in_made(struct wire *w)
{
	lose_now(w, NULL, 0);
}

TEST(connection_made_may_lose_it, ON_EACH_BACKEND)
{
	struct wire w = { .on_made = lose_in_made };
	char text[8] = "";

	ck_assert(wire_open(&w, reactor));
	ck_assert_int_eq(peer_read_to_eof(reactor, w.peer, text, 4), 4);
	wire_close(&w);
	ck_assert_str_eq(w.trace, "ML");
}

TEST(nothing_is_received_after_losing, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	peer_say(w.peer, "too late");
	say_bye_and_lose(&w);
	wire_wait_lost(&w);
	peer_say(w.peer, "much too late");
	run_turns(reactor, 3);
	wire_close(&w);
	ck_assert_str_eq(w.trace, "ML");
}

TEST(losing_waits_until_all_is_sent, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	write_bytes(&w, MUCH);
	plait_transport_lose_connection(w.transport);
	peer_say(w.peer, "ignored");
	calls_reset();
	run_turns(reactor, 20);
	ck_assert_uint_eq(calls_of("recv"), 0);
	ck_assert_uint_eq(w.lost, 0);
	expect_bytes(&w, MUCH);
	wire_close(&w);
	ck_assert_str_eq(w.trace, "ML");
}

TEST(bytes_written_while_it_flushes_are_sent_too, ON_EACH_BACKEND)
{
	enum { MORE = 1000 };
	struct wire w = { .on_data = NULL };
	unsigned char *bytes = wire_bytes(MUCH + MORE);

	ck_assert(wire_open(&w, reactor));
	write_bytes(&w, MUCH);
	plait_transport_lose_connection(w.transport);
	run_turns(reactor, 3);
	plait_transport_write(w.transport, bytes + MUCH, MORE);
	expect_bytes(&w, MUCH + MORE);
	wire_close(&w);
	free(bytes);
}

/* Hazard 29: closing with unread input would destroy what is on its way. */
TEST(unread_input_does_not_destroy_output, ON_EACH_BACKEND)
{
	enum { N = 4 << 20, INPUT = 200000 };
	struct wire w = { .on_data = NULL };
	unsigned char *bytes = wire_bytes(INPUT);

	ck_assert(wire_open(&w, reactor));
	plait_transport_pause_reading(w.transport);
	run_turns(reactor, 1);
	ck_assert(peer_send(NULL, w.peer, bytes, INPUT));
	write_bytes(&w, N);
	plait_transport_lose_connection(w.transport);
	run_turns(reactor, 20);
	expect_bytes(&w, N);
	ck_assert_uint_eq(w.received, 0);
	wire_close(&w);
	ck_assert_str_eq(w.why, "ConnectionDone");
	free(bytes);
}

/* The same with a peer that has closed nothing and reads at its leisure. */
TEST(a_peer_that_reads_late_gets_all, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	peer_say(w.peer, "never read");
	write_bytes(&w, 100000);
	plait_transport_lose_connection(w.transport);
	wire_wait_lost(&w);
	run_turns(reactor, 10);
	expect_bytes(&w, 100000);
	wire_close(&w);
}

GROUP("linger");

/*
 * Lingering.
 */
TEST(the_protocol_does_not_wait_for_the_lingering, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	say_bye_and_lose(&w);
	calls_reset();
	wire_wait_lost(&w);
	ck_assert_uint_eq(w.done, 1);
	ck_assert_uint_eq(closes(), 0);
	wire_hang_up(&w);
	run_turns(reactor, 3);
	ck_assert_uint_eq(closes(), 1);
}

TEST(lingering_ends_with_its_time, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	set_limits(30, 5, 1 << 20);
	ck_assert(wire_open(&w, reactor));
	calls_reset();
	say_bye_and_lose(&w);
	run_for(reactor, 4.9);
	ck_assert_uint_eq(w.lost, 1);
	ck_assert_uint_eq(closes(), 0);
	run_for(reactor, 0.2);
	run_turns(reactor, 2);
	ck_assert_uint_eq(closes(), 1);
	wire_hang_up(&w);
}

TEST(lingering_ends_when_the_peer_sends_too_much, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	unsigned char *bytes = wire_bytes(65536);

	set_limits(30, 5, 100000);
	ck_assert(wire_open(&w, reactor));
	say_bye_and_lose(&w);
	wire_wait_lost(&w);
	calls_reset();
	ck_assert(peer_send(reactor, w.peer, bytes, 65536));
	run_turns(reactor, 3);
	ck_assert_uint_eq(closes(), 0);
	ck_assert(peer_send(reactor, w.peer, bytes, 65536));
	run_turns(reactor, 3);
	ck_assert_uint_eq(closes(), 1);
	ck_assert_uint_eq(w.received, 0);
	wire_hang_up(&w);
	free(bytes);
}

TEST(the_bytes_of_lingering_are_exact, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	unsigned char *bytes = wire_bytes(9999);

	set_limits(30, 5, 10000);
	ck_assert(wire_open(&w, reactor));
	say_bye_and_lose(&w);
	wire_wait_lost(&w);
	calls_reset();
	ck_assert(peer_send(reactor, w.peer, bytes, 9999));
	run_turns(reactor, 3);
	ck_assert_uint_eq(closes(), 0);
	peer_say(w.peer, "x");
	run_turns(reactor, 3);
	ck_assert_uint_eq(closes(), 1);
	wire_hang_up(&w);
	free(bytes);
}

TEST(lingering_ends_when_the_peer_resets, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	say_bye_and_lose(&w);
	wire_wait_lost(&w);
	calls_reset();
	peer_reset(w.peer);
	run_turns(reactor, 3);
	ck_assert_uint_eq(closes(), 1);
	w.peer = -1;
}

TEST(lingering_survives_interruptions, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	say_bye_and_lose(&w);
	wire_wait_lost(&w);
	calls_reset();
	fault_call("recv", 3, EINTR);
	fault_call("recv", 1, EAGAIN);
	peer_say(w.peer, "x");
	run_turns(reactor, 5);
	ck_assert_uint_eq(calls_of("recv"), 5);
	ck_assert_uint_eq(closes(), 0);
	wire_hang_up(&w);
	run_turns(reactor, 3);
	ck_assert_uint_eq(closes(), 1);
}

TEST(lingering_ends_if_it_cannot_be_watched_or_read, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	plait_transport_pause_reading(w.transport);
	run_turns(reactor, 2);
	say_bye_and_lose(&w);
	calls_reset();
	fault_alloc_at(0, true);
	fault_call("epoll_ctl", 1, ENOMEM);
	peer_say(w.peer, "x");
	wire_wait_lost(&w);
	run_turns(reactor, 3);
	ck_assert_str_eq(w.why, "ConnectionDone");
	ck_assert_uint_eq(closes(), 1);
	wire_hang_up(&w);
}

TEST(lingering_holds_no_memory_but_the_struct, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	size_t before = heap_live_bytes();

	ck_assert(wire_open(&w, reactor));
	before = heap_live_bytes() - before;
	write_bytes(&w, 100000);
	plait_transport_lose_connection(w.transport);
	wire_wait_lost(&w);
	ck_assert_uint_eq(w.done, 1);
	run_turns(reactor, 3);
	wire_hang_up(&w);
	ck_assert_uint_le(before, 511);
}

TEST(there_is_no_lingering_when_the_peer_has_closed, ON_EACH_BACKEND)
{
	struct wire w = { .half_closeable = true };

	ck_assert(wire_open(&w, reactor));
	shutdown(w.peer, SHUT_WR);
	run_turns(reactor, 3);
	ck_assert_str_eq(w.trace, "MR");
	plait_transport_write(w.transport, "bye", 3);
	plait_transport_lose_connection(w.transport);
	calls_reset();
	wire_wait_lost(&w);
	ck_assert_uint_eq(closes(), 1);
	ck_assert_uint_eq(calls_of("shutdown"), 0);
	ck_assert_int_eq(peer_read(NULL, w.peer, NULL, 3), 3);
	wire_close(&w);
}

/* Nothing is on its way that a reset could destroy. */
TEST(there_is_no_lingering_when_nothing_was_written, ON_EACH_BACKEND, TIMES(2))
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	if (_i == 0) {
		plait_transport_lose_connection(w.transport);
	} else {
		plait_transport_lose_write_connection(w.transport);
		run_turns(reactor, 2);
		plait_transport_lose_connection(w.transport);
	}
	peer_say(w.peer, "more and more");
	calls_reset();
	wire_wait_lost(&w);
	ck_assert_str_eq(w.why, "ConnectionDone");
	ck_assert_uint_eq(closes(), 1);
	ck_assert_uint_eq(calls_of("recv"), 0);
	ck_assert_int_lt(peer_read_to_eof(reactor, w.peer, NULL, 0), 1);
	errno = 0;
	while (send(w.peer, "x", 1, MSG_NOSIGNAL) == 1)
		;
	ck_assert(errno == EPIPE || errno == ECONNRESET);
	wire_hang_up(&w);
}

TEST(what_was_written_as_a_buffer_lingers_too, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct plait_buf *b = plait_buf_copy("bye", 3);

	ck_assert(wire_open(&w, reactor));
	plait_transport_write_buf(w.transport, b);
	plait_buf_unref(&b);
	plait_transport_lose_connection(w.transport);
	calls_reset();
	wire_wait_lost(&w);
	ck_assert_uint_eq(closes(), 0);
	wire_hang_up(&w);
}

TEST(there_is_no_lingering_without_a_peer, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	say_bye_and_lose(&w);
	fault_call("shutdown", 1, ENOTCONN);
	calls_reset();
	wire_wait_lost(&w);
	ck_assert_str_eq(w.why, "ConnectionDone");
	ck_assert_uint_eq(closes(), 1);
	wire_hang_up(&w);
}

GROUP("deadline");

/*
 * Deadlines: hazard 36.
 */
TEST(closing_gives_up_when_the_peer_takes_nothing, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	size_t unsent;

	set_limits(7, 5, 1 << 20);
	ck_assert(wire_open(&w, reactor));
	write_bytes(&w, MUCH);
	run_for(reactor, 100);
	ck_assert_uint_eq(w.lost, 0);
	plait_transport_lose_connection(w.transport);
	run_for(reactor, 6.9);
	ck_assert_uint_eq(w.lost, 0);
	unsent = plait_transport_pending(w.transport);
	ck_assert_uint_gt(unsent, 0);
	run_for(reactor, 0.2);
	wire_wait_lost(&w);
	ck_assert_str_eq(w.why, "ConnectionAborted: "
				"closing made no progress in 7 seconds");
	wire_close(&w);
}

/* A socketpair, whose kernel needs no time of its own. */
TEST(closing_goes_on_while_the_peer_takes_something, ON_EACH_BACKEND)
{
	enum { N = 2 << 20, BIT = 60000, ROUNDS = 10 };
	struct wire w = { .unix_pair = true };

	set_limits(7, 5, 1 << 20);
	ck_assert(wire_open(&w, reactor));
	write_bytes(&w, N);
	plait_transport_lose_connection(w.transport);
	for (int i = 0; i < ROUNDS; i++) {
		run_for(reactor, 6);
		ck_assert_uint_eq(w.lost, 0);
		ck_assert_int_eq(peer_read(NULL, w.peer, NULL, BIT), BIT);
	}
	clock_virtual(false);
	ck_assert_int_eq(peer_read_to_eof(reactor, w.peer, NULL, 0),
			 N - ROUNDS * BIT);
	wire_close(&w);
	ck_assert_str_eq(w.why, "ConnectionDone");
}

TEST(the_deadline_counts_from_the_last_progress, ON_EACH_BACKEND)
{
	struct wire w = { .unix_pair = true };
	size_t unsent;

	set_limits(7, 5, 1 << 20);
	ck_assert(wire_open(&w, reactor));
	write_bytes(&w, MUCH);
	plait_transport_lose_connection(w.transport);
	run_for(reactor, 6);
	unsent = plait_transport_pending(w.transport);
	peer_read(NULL, w.peer, NULL, MUCH - unsent);
	run_turns(reactor, 3);
	ck_assert_uint_lt(plait_transport_pending(w.transport), unsent);
	run_for(reactor, 6.9);
	ck_assert_uint_eq(w.lost, 0);
	run_for(reactor, 0.2);
	wire_wait_lost(&w);
	ck_assert_int_eq(strncmp(w.why, "ConnectionAborted", 17), 0);
	wire_close(&w);
}

/*
 * The kernel's own buffer grows, by too little to be told: what it takes the
 * peer has not read.
 */
TEST(what_the_kernel_takes_by_itself_is_no_progress, ON_EACH_BACKEND)
{
	struct wire w = { .unix_pair = true };
	int size;
	socklen_t len = sizeof(size);
	size_t unsent;

	set_limits(7, 5, 1 << 20);
	ck_assert(wire_open(&w, reactor));
	getsockopt(w.fd, SOL_SOCKET, SO_SNDBUF, &size, &len);
	size /= 4;
	setsockopt(w.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	write_bytes(&w, MUCH);
	plait_transport_lose_connection(w.transport);
	run_for(reactor, 3);
	unsent = plait_transport_pending(w.transport);
	size += size / 2;
	setsockopt(w.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	run_for(reactor, 3.9);
	ck_assert_uint_lt(plait_transport_pending(w.transport), unsent);
	ck_assert_uint_eq(w.lost, 0);
	run_for(reactor, 0.2);
	ck_assert_uint_eq(w.lost, 1);
	ck_assert_int_eq(strncmp(w.why, "ConnectionAborted", 17), 0);
	wire_close(&w);
}

TEST(a_closing_without_end_may_be_asked_for, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	set_limits(INFINITY, INFINITY, SIZE_MAX);
	ck_assert(wire_open(&w, reactor));
	write_bytes(&w, MUCH);
	plait_transport_lose_connection(w.transport);
	run_for(reactor, 1e6);
	ck_assert_uint_eq(w.lost, 0);
	plait_transport_abort(w.transport);
	wire_wait_lost(&w);
	ck_assert_str_eq(w.why, "ConnectionAborted: by this end");
	wire_close(&w);
}

TEST(a_peer_that_left_and_takes_nothing_is_given_up, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	set_limits(7, 5, 1 << 20);
	ck_assert(wire_open(&w, reactor));
	write_bytes(&w, MUCH);
	shutdown(w.peer, SHUT_WR);
	run_for(reactor, 8);
	wire_wait_lost(&w);
	ck_assert_int_eq(strncmp(w.why, "ConnectionAborted", 17), 0);
	wire_close(&w);
}

GROUP("abort");

/*
 * Aborting: hazard 34.
 */
TEST(aborting_resets_and_is_told_from_the_loop, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	ssize_t n;

	ck_assert(wire_open(&w, reactor));
	write_bytes(&w, MUCH);
	run_turns(reactor, 5);
	plait_transport_abort(w.transport);
	ck_assert_uint_eq(w.lost, 0);
	ck_assert_uint_eq(plait_transport_pending(w.transport), 0);
	run_turns(reactor, 1);
	ck_assert_uint_eq(w.lost, 1);
	ck_assert_str_eq(w.why, "ConnectionAborted: by this end");
	n = peer_read(reactor, w.peer, NULL, MUCH);
	ck_assert_int_eq(n, -ECONNRESET);
	wire_close(&w);
}

TEST(aborting_ends_a_slow_close, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	write_bytes(&w, MUCH);
	plait_transport_lose_connection(w.transport);
	run_turns(reactor, 5);
	plait_transport_abort(w.transport);
	plait_transport_abort(w.transport);
	run_turns(reactor, 2);
	ck_assert_uint_eq(w.lost, 1);
	wire_close(&w);
	ck_assert_str_eq(w.trace, "ML");
}

static void abort_wire(void *arg)
{
	struct wire *w = arg;

	plait_transport_abort(w->transport);
}

/* Both are due in one turn, and the first is told. */
TEST(aborting_at_the_deadline_is_one_loss, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct plait_timer timer = { .reactor = NULL };

	set_limits(7, 5, 1 << 20);
	clock_virtual(true);
	ck_assert(wire_open(&w, reactor));
	write_bytes(&w, MUCH);
	run_turns(reactor, 5);
	plait_timer_start(reactor, &timer, 7, abort_wire, &w);
	plait_transport_lose_connection(w.transport);
	run_turns(reactor, 1);
	run_for(reactor, 7);
	wire_wait_lost(&w);
	ck_assert_str_eq(w.why, "ConnectionAborted: by this end");
	wire_close(&w);
}

TEST(an_aborted_socket_is_closed_at_once_though_nothing_happens,
     ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	char c;

	ck_assert(wire_open(&w, reactor));
	run_turns(reactor, 2);
	plait_transport_abort(w.transport);
	clock_virtual(true);
	plait_reactor_iterate(reactor, 1000);
	ck_assert_uint_eq(w.lost, 1);
	ck_assert_int_eq(recv(w.peer, &c, 1, MSG_DONTWAIT), -1);
	ck_assert_int_eq(errno, ECONNRESET);
	wire_close(&w);
}

GROUP("eof");

/*
 * The peer leaves: hazard 30.
 */
TEST(what_is_unsent_is_flushed_when_the_peer_has_closed_its_half,
     ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	write_bytes(&w, MUCH);
	shutdown(w.peer, SHUT_WR);
	run_turns(reactor, 20);
	ck_assert_uint_eq(w.lost, 0);
	expect_bytes(&w, MUCH);
	wire_close(&w);
	ck_assert_str_eq(w.why, "ConnectionDone");
	ck_assert_str_eq(w.trace, "ML");
}

static void answer(struct wire *w, const void *data, size_t len)
{
	write_bytes(w, MUCH);
}

TEST(a_request_and_a_fin_at_once_get_their_answer, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = answer };

	ck_assert(wire_open(&w, reactor));
	peer_say(w.peer, "GET /");
	shutdown(w.peer, SHUT_WR);
	expect_bytes(&w, MUCH);
	wire_close(&w);
}

TEST(the_end_of_the_input_does_not_spin, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	write_bytes(&w, MUCH);
	shutdown(w.peer, SHUT_WR);
	run_turns(reactor, 20);
	calls_reset();
	clock_virtual(true);
	plait_reactor_iterate(reactor, 1);
	ck_assert_double_ge(wait_timeout(), 0.9);
	ck_assert_uint_eq(calls_of("recv"), 0);
	wire_close(&w);
}

TEST(a_half_closeable_protocol_is_told_and_goes_on, ON_EACH_BACKEND)
{
	struct wire w = { .half_closeable = true };

	ck_assert(wire_open(&w, reactor));
	peer_say(w.peer, "request");
	shutdown(w.peer, SHUT_WR);
	run_turns(reactor, 5);
	ck_assert_str_eq(w.trace, "MDR");
	calls_reset();
	clock_virtual(true);
	plait_reactor_iterate(reactor, 1000);
	ck_assert_double_ge(wait_timeout(), 999);
	ck_assert_uint_eq(calls_of("recv"), 0);
	write_bytes(&w, 1000);
	run_turns(reactor, 2);
	ck_assert_uint_eq(w.lost, 0);
	plait_transport_lose_connection(w.transport);
	expect_bytes(&w, 1000);
	wire_close(&w);
	ck_assert_str_eq(w.trace, "MDRL");
}

static void lose_it(struct wire *w)
{
	plait_transport_lose_connection(w->transport);
}

TEST(read_connection_lost_may_lose_it, ON_EACH_BACKEND)
{
	struct wire w = { .half_closeable = true, .on_read_lost = lose_it };

	ck_assert(wire_open(&w, reactor));
	write_bytes(&w, 1000);
	shutdown(w.peer, SHUT_WR);
	expect_bytes(&w, 1000);
	wire_close(&w);
	ck_assert_str_eq(w.trace, "MRL");
}

GROUP("half");

/*
 * Closing one's own half.
 */
TEST(the_sending_half_closes_after_what_is_queued, ON_EACH_BACKEND)
{
	struct wire w = { .half_closeable = true };

	ck_assert(wire_open(&w, reactor));
	write_bytes(&w, MUCH);
	plait_transport_lose_write_connection(w.transport);
	plait_transport_lose_write_connection(w.transport);
	plait_transport_write(w.transport, "too late", 8);
	ck_assert_str_eq(w.trace, "M");
	ck_assert(!plait_transport_is_disconnecting(w.transport));
	expect_bytes(&w, MUCH);
	run_turns(reactor, 2);
	ck_assert_str_eq(w.trace, "MW");
	peer_say(w.peer, "still heard");
	run_until_count(reactor, &w.calls, 1);
	ck_assert_str_eq(w.text, "still heard");
	shutdown(w.peer, SHUT_WR);
	run_turns(reactor, 3);
	ck_assert_str_eq(w.trace, "MWDR");
	ck_assert_uint_eq(w.lost, 0);
	plait_transport_lose_connection(w.transport);
	ck_assert_uint_eq(w.lost, 0);
	wire_close(&w);
	ck_assert_str_eq(w.trace, "MWDRL");
	ck_assert_str_eq(w.why, "ConnectionDone");
}

TEST(a_protocol_without_half_closing_may_close_its_half, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	plait_transport_lose_write_connection(w.transport);
	expect_bytes(&w, 0);
	peer_say(w.peer, "heard");
	wire_close(&w);
	ck_assert_str_eq(w.trace, "MDL");
	ck_assert_str_eq(w.why, "ConnectionDone");
}

TEST(the_halves_close_in_either_order, ON_EACH_BACKEND)
{
	struct wire w = { .half_closeable = true };

	ck_assert(wire_open(&w, reactor));
	shutdown(w.peer, SHUT_WR);
	run_turns(reactor, 3);
	ck_assert_str_eq(w.trace, "MR");
	write_bytes(&w, 100);
	plait_transport_lose_write_connection(w.transport);
	expect_bytes(&w, 100);
	run_turns(reactor, 3);
	ck_assert_str_eq(w.trace, "MRW");
	plait_transport_lose_connection(w.transport);
	wire_close(&w);
	ck_assert_str_eq(w.trace, "MRWL");
}

TEST(write_connection_lost_may_lose_it, ON_EACH_BACKEND)
{
	struct wire w = { .half_closeable = true, .on_write_lost = lose_it };

	ck_assert(wire_open(&w, reactor));
	plait_transport_lose_write_connection(w.transport);
	expect_bytes(&w, 0);
	wire_close(&w);
	ck_assert_str_eq(w.trace, "MWL");
}

/* The peer was gone before the half was closed, and that must be noticed. */
TEST(a_half_close_without_a_peer_ends_in_a_loss, ON_EACH_BACKEND)
{
	struct wire w = { .half_closeable = true };

	ck_assert(wire_open(&w, reactor));
	plait_transport_lose_write_connection(w.transport);
	peer_reset(w.peer);
	w.peer = -1;
	wire_wait_lost(&w);
	ck_assert_str_eq(w.trace, "MWL");
	ck_assert_int_eq(w.err, ECONNRESET);
}

TEST(losing_after_the_half_close_is_one_loss, ON_EACH_BACKEND)
{
	struct wire w = { .half_closeable = true };

	ck_assert(wire_open(&w, reactor));
	plait_transport_lose_write_connection(w.transport);
	plait_transport_pause_reading(w.transport);
	plait_transport_lose_connection(w.transport);
	ck_assert_uint_eq(w.lost, 0);
	wire_close(&w);
	ck_assert_str_eq(w.trace, "ML");
	ck_assert_str_eq(w.why, "ConnectionDone");
}

TEST(pausing_with_the_half_close_is_not_forgotten, ON_EACH_BACKEND)
{
	struct wire w = { .half_closeable = true, .on_read_lost = lose_it };

	ck_assert(wire_open(&w, reactor));
	plait_transport_lose_write_connection(w.transport);
	plait_transport_pause_reading(w.transport);
	run_turns(reactor, 2);
	peer_say(w.peer, "x");
	calls_reset();
	clock_virtual(true);
	plait_reactor_iterate(reactor, 10);
	ck_assert_double_ge(wait_timeout(), 9);
	ck_assert_uint_eq(w.calls, 0);
	plait_transport_resume_reading(w.transport);
	wire_close(&w);
	ck_assert_str_eq(w.trace, "MWDRL");
}

GROUP("shutdown");

/*
 * The reactor shuts down.
 */
TEST(the_end_of_the_reactor_loses_every_connection, ON_EACH_BACKEND)
{
	struct wire w[3] = { { .half_closeable = true } };
	char c;

	for (int i = 0; i < 3; i++)
		ck_assert(wire_open(&w[i], reactor));
	shutdown(w[0].peer, SHUT_WR);
	plait_transport_pause_reading(w[1].transport);
	run_turns(reactor, 2);
	plait_transport_lose_write_connection(w[0].transport);
	plait_transport_write(w[2].transport, "bye", 3);
	plait_reactor_free(&reactor);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(w[i].lost, 1);
		ck_assert_uint_eq(w[i].done, 1);
		ck_assert_str_eq(w[i].why,
				 "ConnectionLost: the reactor was shut down");
	}
	ck_assert_int_eq(peer_read(NULL, w[2].peer, &c, 1), 1);
	ck_assert_int_eq(c, 'b');
	for (int i = 0; i < 3; i++)
		wire_hang_up(&w[i]);
}

TEST(a_peer_that_did_not_get_all_before_the_end_is_reset, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	write_bytes(&w, MUCH);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(w.lost, 1);
	ck_assert_int_eq(peer_read(NULL, w.peer, NULL, MUCH), -ECONNRESET);
	wire_hang_up(&w);
}

TEST(the_end_of_the_reactor_ends_lingering_and_dying, ON_EACH_BACKEND)
{
	struct wire lingers = { .on_data = NULL }, dies = { .on_data = NULL };

	ck_assert(wire_open(&lingers, reactor));
	ck_assert(wire_open(&dies, reactor));
	say_bye_and_lose(&lingers);
	wire_wait_lost(&lingers);
	plait_transport_abort(dies.transport);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(lingers.lost, 1);
	ck_assert_uint_eq(dies.lost, 1);
	ck_assert_str_eq(dies.why, "ConnectionAborted: by this end");
	wire_hang_up(&lingers);
	wire_hang_up(&dies);
}

/*
 * Hazard 15: a child has the parent's connections, and must leave them alone.
 */
static void disturb_in_a_child(struct wire *w, const void *data, size_t len)
{
	pid_t pid = fork();

	if (pid == 0) {
		plait_transport_write(w->transport, "from the child", 14);
		if (*(const char *)data == 'a')
			plait_transport_abort(w->transport);
		else
			plait_transport_lose_connection(w->transport);
		w->arg = w;
		return;
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

static bool resets_when_closed(int fd)
{
	struct linger l = { .l_onoff = -1 };
	socklen_t len = sizeof(l);

	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &len), 0);
	return l.l_onoff != 0;
}

TEST(a_forked_child_does_not_disturb_the_connection, ON_EACH_BACKEND, TIMES(2))
{
	struct wire w = { .on_data = disturb_in_a_child };
	char text[8] = "";

	ck_assert(wire_open(&w, reactor));
	peer_say(w.peer, _i ? "a" : "l");
	run_until_count(reactor, &w.calls, 1);
	if (w.arg != NULL) {
		plait_reactor_iterate(reactor, 0);
		plait_reactor_free(&reactor);
		_exit(0);
	}
	ck_assert_uint_eq(w.lost, 0);
	ck_assert(!resets_when_closed(w.fd));
	plait_transport_write(w.transport, "parent", 6);
	plait_transport_lose_connection(w.transport);
	ck_assert_int_eq(peer_read_to_eof(reactor, w.peer, text, 6), 6);
	ck_assert_str_eq(text, "parent");
	wire_close(&w);
}

/*
 * A child holds what this end closes: the peer must learn of it all the same.
 */
static void lose_held(struct wire *w)
{
	plait_transport_lose_connection(w->transport);
}

static void hang_up_half(struct wire *w)
{
	shutdown(w->peer, SHUT_WR);
}

GROUP("held");

TEST(a_child_that_holds_the_socket_does_not_hold_the_end, ON_EACH_BACKEND,
     TIMES(6))
{
	static void (*const ways[])(
		struct wire *) = { lose_held, say_bye_and_lose, hang_up_half };
	struct wire w = { .unix_pair = _i >= 3 };
	pid_t child;

	ck_assert(wire_open(&w, reactor));
	child = child_hold();
	ways[_i % 3](&w);
	wire_wait_lost(&w);
	ck_assert_str_eq(w.why, "ConnectionDone");
	ck_assert_int_eq(peer_read_to_eof(reactor, w.peer, NULL, 3),
			 _i % 3 == 1 ? 3 : 0);
	wire_close(&w);
	run_turns(reactor, 3);
	child_let_go(child);
}

/* Nobody is left who could reset it by closing. */
TEST(a_child_that_holds_the_socket_does_not_hold_a_reset, ON_EACH_BACKEND,
     TIMES(2))
{
	struct wire w = { .on_data = NULL };
	pid_t child;

	ck_assert(wire_open(&w, reactor));
	child = child_hold();
	if (_i == 1)
		write_bytes(&w, MUCH);
	run_turns(reactor, 2);
	plait_transport_abort(w.transport);
	wire_wait_lost(&w);
	ck_assert_int_eq(peer_read(NULL, w.peer, NULL, MUCH), -ECONNRESET);
	wire_close(&w);
	child_let_go(child);
}

TEST(lingering_that_ends_lets_the_peer_know_of_it, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	pid_t child;

	ck_assert(wire_open(&w, reactor));
	say_bye_and_lose(&w);
	child = child_hold();
	wire_wait_lost(&w);
	ck_assert_int_eq(peer_read_to_eof(reactor, w.peer, NULL, 3), 3);
	peer_say(w.peer, "still there?");
	run_for(reactor, 5.1);
	run_turns(reactor, 2);
	errno = 0;
	while (send(w.peer, "x", 1, MSG_NOSIGNAL) == 1)
		;
	ck_assert(errno == EPIPE || errno == ECONNRESET);
	wire_close(&w);
	child_let_go(child);
}

/* A copy that a child holds stays in the kernel's set unless it is removed. */
TEST(what_a_child_holds_leaves_the_kernels_set, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	bool epoll = strcmp(backend, "epoll") == 0;
	pid_t child;

	ck_assert(wire_open(&w, reactor));
	child = child_hold();
	calls_reset();
	plait_transport_lose_connection(w.transport);
	wire_wait_lost(&w);
	wire_close(&w);
	run_turns(reactor, 3);
	ck_assert_uint_eq(calls_of("epoll_ctl"), epoll);
	ck_assert_uint_eq(calls_of("epoll_create1"), 0);
	child_let_go(child);
}

/* What costs a system call is only done where it may be of use. */
TEST(nothing_is_shut_down_unless_a_child_may_hold_it, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	child_let_go(child_hold());
	plait_reactor_free(&reactor);
	reactor = plait_reactor_new(backend);
	ck_assert(wire_open(&w, reactor));
	calls_reset();
	wire_close(&w);
	ck_assert_uint_eq(calls_of("shutdown"), 0);
	ck_assert_uint_eq(calls_of("close"), 1);
}

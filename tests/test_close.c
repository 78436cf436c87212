/*
 * The ways in which a connection ends: lost by this end, aborted, left by the
 * peer, closed in one direction, shut down with the reactor; and that what
 * was written before arrives, whatever the peer does with its input.
 */
#include <linux/tcp.h>
#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "tests/child.h"
#include "tests/story.h"

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

static void say_bye_and_lose(struct wire *w)
{
	plait_transport_write(w->transport, "bye", 3);
	plait_transport_lose_connection(w->transport);
}

GROUP("lose");

/*
 * Losing the connection.
 */
STORY(losing_is_answered_from_the_loop,
      "open; lose; lost 0; is closing; lost; why ConnectionDone;"
      "peer gets end; end");

STORY(losing_again_is_nothing,
      "open; lose; lose; lose; end; why ConnectionDone");

STORY(what_is_written_around_losing_is_sent,
      "D { write bye; lose; write !; lost 0 } open; peer says go;"
      "peer gets bye!; peer gets end; end; trace MDL");

STORY(connection_made_may_lose_it,
      "M { write bye; lose; write !; lost 0 } open; peer gets bye!;"
      "peer gets end; end; trace ML");

STORY(nothing_is_received_after_losing,
      "open; peer says too late; write bye; lose; lost;"
      "peer says much too late; turn 3; end; trace ML");

STORY(losing_waits_until_all_is_sent,
      "open; write 8M bytes; lose; peer says ignored; count; turn 20;"
      "calls recv 0; lost 0; peer gets 8M bytes, end; end; trace ML");

STORY(bytes_written_while_it_flushes_are_sent_too,
      "open; write 8M bytes; lose; turn 3; write 1000 bytes;"
      "peer gets 8M bytes; peer gets 1000 bytes, end; end");

/* Hazard 29: closing with unread input would destroy what is on its way. */
STORY(unread_input_does_not_destroy_output,
      "open; pause; turn; peer sends 200000 bytes; write 4M bytes; lose;"
      "turn 20; peer gets 4M bytes, end; received 0; end;"
      "why ConnectionDone");

/* The same with a peer that has closed nothing and reads at its leisure. */
STORY(a_peer_that_reads_late_gets_all,
      "open; peer says never read; write 100000 bytes; lose; lost; turn 10;"
      "peer gets 100000 bytes, end; end");

GROUP("linger");

/*
 * Lingering.
 */
STORY(the_protocol_does_not_wait_for_the_lingering,
      "open; write bye; lose; count; lost; done 1; calls close 0;"
      "peer closes; turn 3; calls close 1");

STORY(lingering_ends_with_its_time,
      "limit close_timeout 30; limit linger_timeout 5; limit linger_bytes 1e6;"
      "open; count; write bye; lose; wait 4.9; lost 1; calls close 0;"
      "wait 0.2; turn 2; calls close 1");

/* Whatever was in force when it began, and whoever began earlier. */
TEST(each_lingers_for_its_own_time, ON_EACH_BACKEND)
{
	struct wire w[3] = { { .on_data = NULL } };

	play(&w[0], "limit linger_timeout 90; open; write bye; lose; lost");
	play(&w[1], "limit linger_timeout 50; open; write bye; lose; lost");
	play(&w[2], "limit linger_timeout 70; open; write bye; lose; lost");
	play(&w[0], "count; wait 45; calls close 0; wait 5; turn 2;"
		    "calls close 1; wait 15; calls close 1; wait 5; turn 2;"
		    "calls close 2; wait 15; calls close 2; wait 5; turn 2;"
		    "calls close 3");
	for (int i = 0; i < 3; i++)
		play(&w[i], "end");
}

/* The others do not wait for the first, or with it. */
TEST(one_that_ends_early_leaves_the_others_their_time, ON_EACH_BACKEND,
     TIMES(3))
{
	struct wire w[3] = { { .on_data = NULL } };

	for (int i = 0; i < 3; i++)
		play(&w[i], "limit linger_timeout 50; open; write bye; lose;"
			    "lost; wait 10");
	play(&w[_i], "count; peer closes; turn 3; calls close 1");
	play(&w[0], _i == 0 ? "wait 25; calls close 1"
			    : "wait 15; calls close 1; wait 7; turn 2;"
			      "calls close 2; wait 3; calls close 2");
	play(&w[0], "wait 20; turn 2; calls close 3");
	for (int i = 0; i < 3; i++)
		play(&w[i], "end");
}

STORY(lingering_ends_when_the_peer_sends_too_much,
      "limit linger_bytes 100000; open; write bye; lose; lost; count;"
      "peer sends 65536 bytes; turn 3; calls close 0;"
      "peer sends 65536 bytes; turn 3; calls close 1; received 0");

STORY(the_bytes_of_lingering_are_exact,
      "limit linger_bytes 10000; open; write bye; lose; lost; count;"
      "peer sends 9999 bytes; turn 3; calls close 0;"
      "peer says x; turn 3; calls close 1");

STORY(lingering_ends_when_the_peer_resets,
      "open; write bye; lose; lost; count; peer resets; turn 3;"
      "calls close 1");

STORY(lingering_survives_interruptions,
      "open; write bye; lose; lost; count; fail recv EINTR 3;"
      "fail recv EAGAIN; peer says x; turn 5; calls recv 5; calls close 0;"
      "peer closes; turn 3; calls close 1");

STORY(lingering_ends_if_it_cannot_be_watched_or_read,
      "open; pause; turn 2; write bye; lose; count; no-memory;"
      "fail epoll_ctl ENOMEM; peer says x; lost; turn 3;"
      "why ConnectionDone; calls close 1");

TEST(lingering_holds_no_memory_but_the_struct, ON_EACH_KERNEL)
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
	ck_assert_uint_le(before, 270);
}

STORY(there_is_no_lingering_when_the_peer_has_closed,
      "half-closeable; open; peer shuts; turn 3; trace MR; write bye; lose;"
      "count; lost; calls close 1; calls shutdown 0; peer gets bye; end");

/* Nothing is on its way that a reset could destroy. */
STORY(there_is_no_lingering_when_nothing_was_written,
      "open; lose; peer says more; count; lost; why ConnectionDone;"
      "calls close 1; calls recv 0; peer cannot-send",
      "open; lose write; turn 2; lose; peer says more; count; lost;"
      "why ConnectionDone; calls close 1; calls recv 0; peer cannot-send");

STORY(what_was_written_as_a_buffer_lingers_too,
      "open; share bye; lose; count; lost; calls close 0");

STORY(there_is_no_lingering_without_a_peer,
      "open; write bye; lose; fail shutdown ENOTCONN; count; lost;"
      "why ConnectionDone; calls close 1");

GROUP("last");

/*
 * The last bytes and the end.
 */
static struct tcp_info tcp_info_of(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	return info;
}

static void say_bye_and_lose_write(struct wire *w)
{
	plait_transport_write(w->transport, "bye", 3);
	plait_transport_lose_write_connection(w->transport);
}

/* Beside the two of the handshake the peer gets one segment. */
TEST(the_end_comes_in_the_segment_of_the_last_bytes, ON_EACH_BACKEND, TIMES(2))
{
	struct wire w = { .on_made = _i == 0 ? say_bye_and_lose
					     : say_bye_and_lose_write };

	ck_assert(wire_open(&w, reactor));
	ck_assert_int_eq(peer_read_to_eof(reactor, w.peer, NULL, 3), 3);
	ck_assert_uint_eq(tcp_info_of(w.peer).tcpi_segs_in, 3);
	ck_assert_uint_eq(tcp_info_of(w.peer).tcpi_data_segs_in, 1);
	if (_i == 1)
		plait_transport_lose_connection(w.transport);
	wire_close(&w);
}

/* What the kernel would hold until more is sent leaves before any callback. */
static void lost_and_nothing_is_held(struct wire *w)
{
	ck_assert_int_eq(recv(w->peer, (char[4]){ 0 }, 4, MSG_DONTWAIT), 3);
	ck_assert_int_eq(recv(w->peer, (char[4]){ 0 }, 4, MSG_DONTWAIT), 0);
}

TEST(the_peer_has_all_and_the_end_before_the_protocol_is_told, ON_EACH_BACKEND,
     TIMES(2))
{
	struct wire w = { .half_closeable = true,
			  .on_made = _i == 0 ? say_bye_and_lose : NULL,
			  .on_read_lost = say_bye_and_lose,
			  .on_lost = lost_and_nothing_is_held };

	ck_assert(wire_open(&w, reactor));
	if (_i == 1)
		shutdown(w.peer, SHUT_WR);
	wire_wait_lost(&w);
	wire_close(&w);
}

/* A peer that has closed its half gets the end with the answer, too. */
STORY(an_answer_to_a_peer_that_has_ended_comes_with_the_end,
      "D { write bye } R { lose } half-closeable; open; peer says go;"
      "peer shuts; count; turn; peer gets bye; turn; end; trace MDRL",
      "D { pause; write bye } open; peer says go; peer shuts; turn;"
      "resume; turn 2; peer gets bye; peer gets end; end; trace MDL");

/*
 * Of the last bytes the kernel takes a part, as it has room.  That part does
 * not wait for more.
 */
static void say_much_with_little_room_and_lose_write(struct wire *w)
{
	int size = 4096;

	ck_assert_int_eq(
		setsockopt(w->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)),
		0);
	write_bytes(w, 1 << 20);
	plait_transport_lose_write_connection(w->transport);
}

TEST(a_part_of_the_last_bytes_is_not_held_either, ON_EACH_BACKEND)
{
	struct wire w = { .on_made = say_much_with_little_room_and_lose_write };
	size_t unsent;

	ck_assert(wire_open(&w, reactor));
	unsent = plait_transport_unsent(w.transport);
	ck_assert_uint_gt(unsent, 0);
	ck_assert_uint_lt(unsent, 1 << 20);
	ck_assert_uint_eq(tcp_info_of(w.fd).tcpi_notsent_bytes, 0);
	ck_assert_int_eq(peer_read_to_eof(reactor, w.peer, NULL, 0), 1 << 20);
	plait_transport_lose_connection(w.transport);
	wire_close(&w);
}

STORY(a_short_send_of_the_last_bytes_is_followed_by_the_rest,
      "M { write hello; lose } short send 2; open; turn 2;"
      "peer gets hello; peer gets end; end; trace ML",
      "half-closeable; M { write hello; lose write } short send 2; open; turn "
      "2;"
      "peer gets hello; peer gets end; lose; end; trace MWL");

STORY(last_bytes_that_find_no_room_wait_for_it,
      "M { write hello; lose } fail send EAGAIN; open; lost 0; turn 2;"
      "peer gets hello; peer gets end; end; trace ML",
      "M { write hello; lose } fail send ENOBUFS 2; open; lost 0; turn 3;"
      "peer gets hello; peer gets end; end; trace ML");

STORY(the_last_bytes_survive_interruptions,
      "M { write hello; lose } fail send EINTR 3; open; lost 1; count;"
      "peer gets hello; peer gets end; end; trace ML");

/* The end that was to ride on them is asked for once more, and then no more. */
STORY(a_peer_that_is_gone_behind_the_last_bytes_is_not_lingered_for,
      "M { write hello; lose } fail shutdown ENOTCONN 2; count; open;"
      "lost 1; calls shutdown 2; turn; calls close 1; why ConnectionDone",
      "M { write hello; lose } fail shutdown ENOTCONN 1; count; open;"
      "calls shutdown 2; calls close 0; peer gets hello; peer gets end; end");

STORY(the_last_bytes_may_fail,
      "M { write hello; lose } fail send EPIPE; count; open; turn 2;"
      "why ConnectionLost: send: Broken pipe; calls shutdown 0; calls close 1");

/* The end is not shut before it is sure that nothing follows. */
STORY(what_is_written_before_the_end_is_told_is_sent,
      "open; count; write a; lose; turn 0; write b; peer gets ab; peer gets "
      "end; end;"
      "trace ML",
      "half-closeable; M { write a; lose write } open; write b; peer gets a; "
      "peer gets end;"
      "lose; end; trace MWL");

/* With a producer the end is not known before the producer ends. */
STORY(a_producer_may_go_on_behind_what_seems_the_last,
      "M { produce; write a; lose } open; turn 2; write b; unregister;"
      "peer gets ab; peer gets end; end");

STORY(last_bytes_in_many_pieces_end_with_the_last_of_them,
      "M { mix 300000 bytes; lose } open; peer gets 300000 bytes, end; end;"
      "trace ML");

GROUP("end");

/*
 * The end of the peer, which epoll tells together with the last input.
 */
STORY(the_end_is_told_with_the_input_before_it,
      "epoll-only; open; peer says bye; peer closes; count; turn; trace MDL;"
      "calls recv 2; calls epoll_wait 1; lost; why ConnectionDone",
      "epoll-only; half-closeable; open; peer says bye; peer shuts; count;"
      "turn; trace MDR; calls recv 2; turn 3; trace MDR; lose; end;"
      "trace MDRL");

STORY(a_connection_whose_peer_has_ended_does_not_linger,
      "D { write bye; lose } open; peer says go; peer shuts; count;"
      "turn; trace MDL; peer gets bye; peer gets end; turn; calls close 1",
      "epoll-only; D { write bye; lose } open; peer says go; peer shuts;"
      "count; turn; trace MDL; calls close 1; calls epoll_ctl 0;"
      "calls recv 2; peer gets bye; peer gets end");

STORY(an_end_behind_much_input_comes_behind_all_of_it,
      "check-bytes; open; peer sends 300000 bytes; peer closes; lost;"
      "received 300000; why ConnectionDone; lost 1");

STORY(a_reader_that_pauses_at_the_last_input_is_not_told_of_the_end_then,
      "D { pause; holds-unread } open; peer says bye; peer shuts; turn 3;"
      "trace MD; has-read; resume; lost; trace MDL; why ConnectionDone");

STORY(what_ends_at_the_last_input_is_told_once,
      "D { abort } open; peer says go; peer shuts; lost; trace MDL;"
      "why ConnectionAborted: by this end",
      "D { lose } open; peer says go; peer shuts; lost; trace MDL;"
      "why ConnectionDone",
      "epoll-only; D { write bye; lose write } half-closeable; open;"
      "peer says go; peer shuts; peer gets bye; peer gets end; turn 2; trace "
      "MDRW; lose;"
      "lost; trace MDRWL");

/* Looked for in vain, it is told by the next event. */
STORY(looking_for_the_end_may_fail,
      "open; pass recv 1; fail recv ENOMEM; peer says x; peer closes; lost;"
      "trace MDL; why ConnectionLost: recv: Cannot allocate memory",
      "open; pass recv 1; fail recv EINTR 2; peer says x; peer closes; lost;"
      "trace MDL; why ConnectionDone",
      "open; pass recv 1; fail recv EAGAIN; peer says x; peer closes; lost;"
      "trace MDL; why ConnectionDone");

/* The kernel tells an error once, so whoever meets it first must tell it. */
STORY(a_reset_behind_the_last_input_is_a_loss,
      "open; peer says x; turn 0; peer says bye; peer resets; turn 3;"
      "text xbye; lost; why ConnectionLost: recv: Connection reset by peer",
      "open; write never read; turn; peer says bye; peer resets; lost;"
      "trace MDL; text bye;"
      "why ConnectionLost: recv: Connection reset by peer");

/* A read stops before urgent data, though more is behind it, and the end. */
TEST(what_lies_behind_urgent_data_comes_before_the_end, ON_EACH_BACKEND)
{
	struct wire w = { .on_made = NULL };

	ck_assert(wire_open(&w, reactor));
	peer_say(w.peer, "before");
	ck_assert_int_eq(send(w.peer, "!", 1, MSG_OOB), 1);
	peer_say(w.peer, "behind");
	shutdown(w.peer, SHUT_WR);
	wire_wait_lost(&w);
	ck_assert_str_eq(w.text, "beforebehind");
	wire_close(&w);
}

/* What others ask of a connection in each turn does not put off its end. */
static struct wire *busy;

static void write_to_busy(struct wire *w)
{
	plait_transport_write(w->transport, "x", 1);
	if (busy->transport != NULL)
		plait_transport_write(busy->transport, "x", 1);
}

static void pause_and_resume_busy(struct wire *w)
{
	plait_transport_write(w->transport, "x", 1);
	if (busy->transport == NULL)
		return;
	plait_transport_pause_reading(busy->transport);
	plait_transport_resume_reading(busy->transport);
}

static void ends_in_time(void (*bother)(struct wire *w), const char *end)
{
	struct wire w = { .on_data = NULL };
	struct wire from = { .on_resume = bother };

	busy = &w;
	play(&w, "open");
	play(&from, "open; pull; turn 3");
	play(&w, end);
	play(&w, "turn 3; lost 1");
	play(&from, "unregister; end");
	wire_close(&w);
}

TEST(a_close_is_not_put_off_by_who_writes_in_each_turn, ON_EACH_KERNEL)
{
	ends_in_time(write_to_busy, "lose");
}

TEST(an_abort_is_not_put_off_by_who_pauses_in_each_turn, ON_EACH_KERNEL)
{
	ends_in_time(pause_and_resume_busy, "abort");
}

static struct wire *forwarded;

static void forward(struct wire *w, const void *data, size_t len)
{
	plait_transport_write(forwarded->transport, data, len);
}

static void abort_forwarded(struct wire *w)
{
	plait_transport_abort_connection(forwarded->transport);
}

/* The end comes with the last input, but behind what that has caused. */
TEST(what_is_forwarded_is_sent_before_the_end_is_told, ON_EACH_KERNEL)
{
	struct wire w = { .on_data = NULL };
	struct wire from = { .on_data = forward, .on_lost = abort_forwarded };

	forwarded = &w;
	play(&w, "open; turn 2");
	play(&from, "open; turn 2; count; peer says hello; peer closes; lost");
	play(&w, "lost; peer gets hello");
	wire_close(&from);
	wire_close(&w);
}

GROUP("deadline");

/*
 * Deadlines: hazard 36.
 */
STORY(closing_gives_up_when_the_peer_takes_nothing,
      "limit close_timeout 7; open; write 8M bytes; wait 100; lost 0; lose;"
      "wait 6.9; lost 0; unsent >0; wait 0.2; lost;"
      "why ConnectionAborted: closing made no progress in 7 seconds; end");

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

TEST(the_deadline_counts_from_the_last_progress, ON_EACH_KERNEL)
{
	struct wire w = { .unix_pair = true };
	size_t unsent;

	set_limits(7, 5, 1 << 20);
	ck_assert(wire_open(&w, reactor));
	write_bytes(&w, MUCH);
	plait_transport_lose_connection(w.transport);
	run_for(reactor, 6);
	unsent = plait_transport_unsent(w.transport);
	peer_read(NULL, w.peer, NULL, MUCH - unsent);
	run_turns(reactor, 3);
	ck_assert_uint_lt(plait_transport_unsent(w.transport), unsent);
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
	unsent = plait_transport_unsent(w.transport);
	size += size / 2;
	setsockopt(w.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	run_for(reactor, 3.9);
	ck_assert_uint_lt(plait_transport_unsent(w.transport), unsent);
	ck_assert_uint_eq(w.lost, 0);
	run_for(reactor, 0.2);
	ck_assert_uint_eq(w.lost, 1);
	ck_assert_int_eq(strncmp(w.why, "ConnectionAborted", 17), 0);
	wire_close(&w);
}

STORY(a_closing_without_end_may_be_asked_for,
      "limit close_timeout inf; limit linger_timeout inf;"
      "limit linger_bytes inf; open; write 8M bytes; lose; wait 1e6; lost 0;"
      "abort; lost;"
      "why ConnectionAborted: by this end; end");

STORY(a_peer_that_left_and_takes_nothing_is_given_up,
      "limit close_timeout 7; open; write 8M bytes; peer shuts; wait 8; lost;"
      "why ConnectionAborted...; end");

GROUP("abort");

/*
 * Aborting: hazard 34.
 */
STORY(aborting_resets_and_is_told_from_the_loop,
      "open; write 8M bytes; turn 5; abort; lost 0; unsent 0; turn; lost 1;"
      "why ConnectionAborted: by this end; peer gets reset; end");

STORY(aborting_ends_a_slow_close,
      "open; write 8M bytes; lose; turn 5; abort; abort; turn 2; lost 1; end;"
      "trace ML");

static void abort_wire(void *arg)
{
	struct wire *w = arg;

	plait_transport_abort_connection(w->transport);
}

/* Both are due in one turn, and the first is told. */
TEST(aborting_at_the_deadline_is_one_loss, ON_EACH_KERNEL)
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
	plait_transport_abort_connection(w.transport);
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
STORY(what_is_unsent_is_flushed_when_the_peer_has_closed_its_half,
      "open; write 8M bytes; peer shuts; turn 20; lost 0;"
      "peer gets 8M bytes, end; end; why ConnectionDone; trace ML");

STORY(a_request_and_a_fin_at_once_get_their_answer,
      "D { write 8M bytes } open; peer says GET /; peer shuts;"
      "peer gets 8M bytes, end; end");

STORY(the_end_of_the_input_does_not_spin,
      "open; write 8M bytes; peer shuts; turn 20; count; sleeps 1;"
      "calls recv 0; end");

STORY(a_half_closeable_protocol_is_told_and_goes_on,
      "half-closeable; open; peer says request; peer shuts; turn 5; trace MDR;"
      "count; sleeps 1000; calls recv 0; write 1000 bytes; turn 2; lost 0;"
      "lose; peer gets 1000 bytes, end; end; trace MDRL");

STORY(read_connection_lost_may_lose_it,
      "half-closeable; R { lose } open; write 1000 bytes; peer shuts;"
      "peer gets 1000 bytes, end; end; trace MRL");

GROUP("half");

/*
 * Closing one's own half.
 */
STORY(the_sending_half_closes_after_what_is_queued,
      "half-closeable; open; write 8M bytes; lose write; lose write;"
      "write too late; trace M; is open; peer gets 8M bytes, end;"
      "turn 2; trace MW; peer says still heard; until reads 1;"
      "text still heard;"
      "peer shuts; turn 3; trace MWDR; lost 0; lose; lost 0; end;"
      "trace MWDRL; why ConnectionDone");

STORY(a_protocol_without_half_closing_may_close_its_half,
      "open; lose write; peer gets end; peer says heard; end; trace MDL;"
      "why ConnectionDone");

STORY(the_halves_close_in_either_order,
      "half-closeable; open; peer shuts; turn 3; trace MR; write 100 bytes;"
      "lose write; peer gets 100 bytes, end; turn 3; trace MRW; lose; end;"
      "trace MRWL");

STORY(write_connection_lost_may_lose_it,
      "half-closeable; W { lose } open; lose write; peer gets end; end;"
      "trace MWL");

/* The peer was gone before the half was closed, and that must be noticed. */
STORY(a_half_close_without_a_peer_ends_in_a_loss,
      "half-closeable; open; lose write; peer resets; lost; trace MWL;"
      "errno ECONNRESET");

STORY(losing_after_the_half_close_is_one_loss,
      "half-closeable; open; lose write; pause; lose; lost 0; end; trace ML;"
      "why ConnectionDone");

STORY(pausing_with_the_half_close_is_not_forgotten,
      "half-closeable; R { lose } open; lose write; pause; turn 2;"
      "peer says x; sleeps 10; reads 0; resume; end; trace MWDRL");

GROUP("shutdown");

/*
 * The reactor shuts down.
 */
TEST(the_end_of_the_reactor_loses_every_connection, ON_EACH_KERNEL)
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

STORY(a_peer_that_did_not_get_all_before_the_end_is_reset,
      "open; write 8M bytes; free-reactor; lost 1; peer gets reset");

TEST(the_end_of_the_reactor_ends_lingering_and_dying, ON_EACH_KERNEL)
{
	struct wire lingers = { .on_data = NULL }, dies = { .on_data = NULL };

	ck_assert(wire_open(&lingers, reactor));
	ck_assert(wire_open(&dies, reactor));
	say_bye_and_lose(&lingers);
	wire_wait_lost(&lingers);
	plait_transport_abort_connection(dies.transport);
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
			plait_transport_abort_connection(w->transport);
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

GROUP("held");

#define TOLD "lost; why ConnectionDone; "
#define OVER "; end; turn 3; let-go"

STORY(a_child_that_holds_the_socket_does_not_hold_the_end,
      "open; hold; lose; " TOLD "peer gets end" OVER,
      "open; hold; write bye; lose; " TOLD "peer gets bye; peer gets end" OVER,
      "open; hold; peer shuts; " TOLD "peer gets end" OVER,
      "pair; open; hold; lose; " TOLD "peer gets end" OVER,
      "pair; open; hold; write bye; lose; " TOLD
      "peer gets bye; peer gets end" OVER,
      "pair; open; hold; peer shuts; " TOLD "peer gets end" OVER);

/* Nobody is left who could reset it by closing. */
STORY(a_child_that_holds_the_socket_does_not_hold_a_reset,
      "open; hold; turn 2; abort; lost; peer gets reset; end; let-go",
      "open; hold; write 8M bytes; turn 2; abort; lost; peer gets reset; end;"
      "let-go");

STORY(lingering_that_ends_lets_the_peer_know_of_it,
      "open; write bye; lose; hold; lost; peer gets bye; peer gets end;"
      "peer says still there?; wait 5.1; turn 2; peer cannot-send; end;"
      "let-go");

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
	reactor = test_reactor_new();
	ck_assert(wire_open(&w, reactor));
	calls_reset();
	wire_close(&w);
	ck_assert_uint_eq(calls_of("shutdown"), 0);
	ck_assert_uint_eq(calls_of("close"), 1);
}

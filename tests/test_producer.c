/*
 * Producers: told to pause and to go on as the peer takes what they make,
 * never from inside a call, and stopped when there is no use for more.
 */
#include <stdio.h>
#include <sys/socket.h>

#include "tests/story.h"

enum { HIGH = 65536, LOW = 16384 };

GROUP("streaming");

/*
 * Streaming ones.
 */
STORY(a_streaming_one_is_told_nothing_when_it_registers,
      "open; produce; turn 3; write 64K bytes; turn 3; producer -; end;"
      "producer S");

TEST(it_is_paused_once_and_resumed_at_the_low_mark, ON_EACH_KERNEL)
{
	struct wire w = { .on_data = NULL };
	size_t unsent;

	play(&w,
	     "open; produce; write 8M bytes; producer -; turn 10; producer P;"
	     "write 8M bytes; turn 10");
	do {
		unsent = plait_transport_unsent(w.transport);
		play(&w, "producer P; peer gets 8K bytes; turn");
	} while (plait_transport_unsent(w.transport) > LOW);
	ck_assert_uint_gt(unsent, LOW);
	play(&w, "turn 2; producer PR; end; producer PRS");
}

static void fault_sends(size_t n_passing)
{
	fault_off();
	if (n_passing > 0)
		fault_short("sendmsg", 1, n_passing);
	fault_call_forever("sendmsg", EAGAIN);
	fault_call_forever("send", EAGAIN);
}

TEST(the_marks_are_exact, ON_EACH_KERNEL)
{
	struct wire w = { .on_data = NULL };

	play(&w, "open; produce");
	fault_sends(0);
	play(&w, "write 64K bytes; turn 2; producer -; write 1 bytes; turn 2;"
		 "producer P; write 64K bytes");
	fault_sends(2 * HIGH - LOW);
	play(&w, "turn 2; unsent 16385; producer P");
	fault_sends(1);
	play(&w, "turn 3; unsent 16K; producer PR");
	fault_off();
	wire_close(&w);
}

TEST(the_marks_may_be_set, ON_EACH_KERNEL)
{
	struct plait_limits limits = { .high_water = 1 << 20, .low_water = 1 };
	struct wire w = { .unix_pair = true };

	plait_reactor_set_limits(reactor, &limits);
	play(&w, "open; produce; write 1M bytes; turn 10; producer -;"
		 "write 1M bytes; turn 10; producer P");
	while (w.told[1] == '\0') {
		play(&w, "peer gets 1000 bytes; turn");
		if (plait_transport_unsent(w.transport) > 1)
			play(&w, "producer P");
	}
	play(&w, "producer PR; end");
}

/* A peer that takes nothing gives no reason to look at the marks again. */
TEST(marks_that_change_are_in_force_at_once, ON_EACH_KERNEL)
{
	const struct plait_limits high = { .high_water = 16 << 20,
					   .low_water = 8 << 20 };
	const struct plait_limits standard = { .high_water = 0 };
	struct wire w = { .on_data = NULL };

	play(&w, "open; produce; write 8M bytes; turn 10; producer P");
	plait_reactor_set_limits(reactor, &high);
	play(&w, "producer P; turn 2; producer PR");
	plait_reactor_set_limits(reactor, &standard);
	play(&w, "producer PR; turn 2; producer PRP; end; producer PRPS");
}

/* Only the high mark is set, below what the low mark is by default. */
TEST(a_low_mark_above_the_high_one_resumes_nothing_too_early, ON_EACH_KERNEL)
{
	const struct plait_limits limits = { .high_water = 1000 };
	struct wire w = { .on_data = NULL };

	plait_reactor_set_limits(reactor, &limits);
	play(&w, "open; produce");
	fault_sends(0);
	play(&w, "write 2000 bytes; turn 2; producer P; write 1 bytes; turn 2;"
		 "producer P; write 1 bytes; turn 2; producer P");
	fault_off();
	wire_close(&w);
}

STORY(registering_on_a_full_transport_pauses_from_the_loop,
      "open; write 8M bytes; turn 5; produce; producer -; turn 2; producer P;"
      "end");

STORY(a_producer_does_not_lift_the_limit,
      "limit max_unsent 1000; open; produce; write 1000 bytes; is open;"
      "write 1 bytes; lost; producer S; end;"
      "why ConnectionAborted: more than 1000 bytes unsent");

/*
 * Pull producers.
 */
static void make_some(struct wire *w)
{
	play(w, "unsent 0; write 1000 bytes");
	if (w->written == 300000)
		play(w, "unregister");
}

GROUP("pull");

TEST(a_pull_producer_is_resumed_whenever_all_is_sent, ON_EACH_KERNEL)
{
	struct wire w = { .on_resume = make_some };

	play(&w,
	     "open; pull; producer -; lose; peer gets 300000 bytes, end; end");
	ck_assert_uint_eq(w.stops, 0);
}

STORY(a_pull_producer_that_makes_nothing_is_not_asked_again,
      "open; pull; turn 5; producer R; pause; turn 2; resume; peer says x;"
      "until reads 1; turn 2; producer R; write 10 bytes; turn 5;"
      "producer RR; share poem; turn 5; producer RRR; unregister; pull;"
      "turn 5; producer RRRR; end; producer RRRRS");

STORY(a_pull_producer_waits_for_what_is_unsent,
      "open; write 8M bytes; pull; turn 20; producer -; peer gets 8M bytes;"
      "turn 3; unsent 0; producer R; end");

STORY(what_changed_before_it_was_told_counts,
      "open; pull; write 8M bytes; turn 3; producer -; end");

STORY(unregistering_before_the_first_resume_is_in_time,
      "open; pull; unregister; unregister; turn 3; end; producer -");

GROUP("end");

/*
 * The end.
 */
STORY(losing_waits_for_the_producer_and_then_for_the_output,
      "open; produce; lose; wait 29; lost 0; real-time; write 8M bytes;"
      "unregister; turn 10; lost 0; peer gets 8M bytes, end; end;"
      "why ConnectionDone; trace ML; producer -");

STORY(losing_needs_nothing_but_the_unregistering,
      "open; produce; lose; turn 5; unregister; lost 0; lost; lost 1;"
      "why ConnectionDone; end");

/* Its output has left, but that does not make it less late. */
#define AT_THE_DEADLINE(produce)                                               \
	"limit close_timeout 7; open; " produce "; lose; wait 5; write poem;"  \
	"wait 1.9; lost 0; wait 0.2; trace MSL; end;"                          \
	"why ConnectionAborted: closing made no progress in 7 seconds"

STORY(no_producer_holds_a_close_beyond_its_deadline, AT_THE_DEADLINE("produce"),
      AT_THE_DEADLINE("pull"));

TEST(a_second_producer_is_refused, ON_EACH_KERNEL)
{
	struct wire w = { .on_data = NULL }, other = w;

	play(&w, "open; produce");
	other.producer.ops = w.producer.ops;
	ck_assert_int_eq(plait_transport_register_producer(
				 w.transport, &other.producer, false),
			 -EBUSY);
	play(&w, "turn 3; end; producer S");
	ck_assert_str_eq(other.told, "");
}

STORY(it_is_stopped_once_before_the_protocol_is_told,
      "open; produce; abort; producer -; end; producer S; trace MSL",
      "open; pull; abort; producer -; end; producer S; trace MSL");

STORY(registering_on_a_lost_connection_is_told_to_stop,
      "L { produce; producer - } open; end; producer S; trace MLS");

static void register_in_done(struct wire *w)
{
	w->transport = w->protocol->transport;
	play(w, "produce; producer -");
	w->transport = NULL;
}

TEST(registering_in_done_is_told_to_stop, ON_EACH_KERNEL)
{
	struct wire w = { .on_done = register_in_done };

	play(&w, "open; end; producer S; trace MLS");
}

static void register_once_more(struct wire *w)
{
	w->on_stop = NULL;
	wire_produce(w, false);
}

TEST(registering_again_while_being_stopped_is_stopped_again, ON_EACH_KERNEL)
{
	struct wire w = { .on_stop = register_once_more };

	play(&w, "open; produce; end; producer SS; lost 1");
}

STORY(there_is_no_use_for_more_when_the_sending_half_closes,
      "half-closeable; open; produce; write 1000 bytes; lose write;"
      "producer -; peer gets 1000 bytes, end; turn 2; producer S; pull;"
      "turn 2; producer SS; lose; end; producer SS");

STORY(a_producer_does_not_hold_a_peer_that_has_left,
      "open; produce; peer shuts; lost; why ConnectionDone; trace MSL; end");

/*
 * A transport as a producer.
 */
static void echo(struct wire *w, const void *data, size_t len)
{
	plait_transport_write(w->transport, data, len);
	if (plait_transport_unsent(w->transport) > *(size_t *)w->arg)
		*(size_t *)w->arg = plait_transport_unsent(w->transport);
}

static void produce_for_itself(struct wire *w)
{
	struct plait_producer *p = plait_transport_producer(w->transport);

	ck_assert_int_eq(
		plait_transport_register_producer(w->transport, p, true), 0);
}

GROUP("transport");

/* Hazard 35: the echo server that cannot be made to grow. */
TEST(a_peer_that_sends_and_never_reads_is_stopped, ON_EACH_KERNEL)
{
	size_t most = 0;
	struct wire w = { .on_made = produce_for_itself,
			  .on_data = echo,
			  .arg = &most };
	unsigned char *bytes = wire_bytes(1 << 20);
	size_t sent = 0;
	int idle = 0;
	ssize_t n;

	ck_assert(wire_open(&w, reactor));
	while (idle < 50 && sent < (64 << 20)) {
		n = send(w.peer, bytes, 1 << 20, MSG_DONTWAIT);
		idle = n > 0 ? 0 : idle + 1;
		sent += n > 0 ? (size_t)n : 0;
		run_turns(reactor, 1);
	}
	ck_assert_uint_lt(sent, 64 << 20);
	ck_assert_uint_le(most, HIGH + 2 * 131072);
	ck_assert_int_eq(peer_read(reactor, w.peer, NULL, sent), (ssize_t)sent);
	wire_close(&w);
	free(bytes);
}

static void forward(struct wire *w, const void *data, size_t len)
{
	struct wire *to = w->arg;

	plait_transport_write(to->transport, data, len);
}

TEST(one_transport_produces_for_another, ON_EACH_BACKEND)
{
	struct wire in = { .on_data = forward };
	struct wire out = { .on_data = NULL };
	struct plait_producer *p;
	unsigned char *bytes = wire_bytes(1 << 20);
	size_t sent = 0, got = 0;
	ssize_t n;

	in.arg = &out;
	ck_assert(wire_open(&in, reactor));
	ck_assert(wire_open(&out, reactor));
	p = plait_transport_producer(in.transport);
	ck_assert_int_eq(
		plait_transport_register_producer(out.transport, p, true), 0);
	while (sent < (16 << 20)) {
		n = send(in.peer, bytes, 1 << 20, MSG_DONTWAIT);
		sent += n > 0 ? (size_t)n : 0;
		run_turns(reactor, 1);
		ck_assert_uint_le(plait_transport_unsent(out.transport),
				  HIGH + 2 * 131072);
		if (n < 0)
			got += (size_t)peer_read(reactor, out.peer, NULL,
						 100000);
	}
	ck_assert_int_eq(peer_read(reactor, out.peer, NULL, sent - got),
			 (ssize_t)(sent - got));
	wire_hang_up(&out);
	wire_wait_lost(&out);
	/* The stop of the producer has lost the other connection. */
	wire_wait_lost(&in);
	ck_assert_str_eq(in.why, "ConnectionDone");
	wire_close(&in);
	wire_close(&out);
	free(bytes);
}

STORY(its_own_half_does_not_hold_a_close,
      "M { produce-for-itself } D { lose } open; peer says x; peer gets end;"
      "turn 2; lost 1; why ConnectionDone; end",
      "M { produce-for-itself } open; write 8M bytes; lose; turn 3; lost 0;"
      "peer gets 8M bytes, end; turn 2; lost 1; why ConnectionDone; end");

static void feed(struct wire *from, struct wire *to)
{
	ck_assert_int_eq(plait_transport_register_producer(
				 to->transport,
				 plait_transport_producer(from->transport),
				 true),
			 0);
}

/* In whatever order they were registered, and one of them left before. */
TEST(being_lost_unregisters_what_it_produces_for, ON_EACH_KERNEL, TIMES(3))
{
	struct wire in = { .on_data = NULL };
	struct wire out[3] = { { .on_data = NULL } };

	play(&in, "open");
	for (int i = 0; i < 3; i++) {
		play(&out[i], "open");
		feed(&in, &out[i]);
	}
	play(&out[_i], "unregister");
	play(&in, "peer resets; lost");
	for (int i = 0; i < 3; i++)
		play(&out[i], "produce; unregister; lose; turn 3;"
			      "why ConnectionDone; end; producer -");
}

/*
 * Reading is paused by the program, by the producer, or by both.
 */
STORY(a_producer_that_goes_on_leaves_the_programs_pause,
      "M { produce-for-itself } open; pause; write 8M bytes; turn 3;"
      "peer gets 8M bytes; turn 3; unsent 0; peer says x; turn 3; reads 0;"
      "resume; until reads 1; end",
      "M { produce-for-itself } open; write 8M bytes; turn 3; pause;"
      "peer gets 8M bytes; turn 3; unsent 0; peer says x; turn 3; reads 0;"
      "resume; until reads 1; end");

STORY(a_program_that_goes_on_leaves_the_producers_pause,
      "M { produce-for-itself } open; write 8M bytes; turn 3; pause; resume;"
      "peer says x; turn 3; reads 0; peer gets 8M bytes; until reads 1; end",
      "M { produce-for-itself } open; pause; write 8M bytes; turn 3; resume;"
      "peer says x; turn 3; reads 0; peer gets 8M bytes; until reads 1; end");

STORY(unregistering_ends_the_producers_pause,
      "M { produce-for-itself } open; write 8M bytes; turn 3; peer says x;"
      "turn 3; reads 0; unregister; until reads 1; end",
      "M { produce-for-itself } open; pause; write 8M bytes; turn 3;"
      "unregister; peer says x; turn 3; reads 0; resume; until reads 1; end");

STORY(a_close_while_both_have_paused_sends_all,
      "M { produce-for-itself } open; pause; write 8M bytes; turn 3; lose;"
      "turn 3; lost 0; peer gets 8M bytes, end; turn 2; lost 1;"
      "why ConnectionDone; end");

/* It goes on when both can take more, however the second lets go. */
TEST(the_slowest_of_those_it_feeds_holds_it, ON_EACH_KERNEL, TIMES(2))
{
	struct wire in = { .on_data = NULL };
	struct wire out[2] = { { .on_data = NULL } };

	play(&in, "open");
	for (int i = 0; i < 2; i++) {
		play(&out[i], "open");
		feed(&in, &out[i]);
		play(&out[i], "write 8M bytes; turn 3");
	}
	play(&out[0], "peer gets 8M bytes; turn 3; unsent 0");
	play(&in, "pause; peer says x; turn 3; resume; turn 3; reads 0");
	play(&out[1], _i == 0 ? "peer gets 8M bytes" : "unregister");
	play(&in, "until reads 1; lose; turn 3; end");
	for (int i = 0; i < 2; i++)
		play(&out[i], "unregister; end");
}

static void feed_late(struct wire *w)
{
	feed(w, w->arg);
}

TEST(what_is_lost_produces_for_nobody, ON_EACH_KERNEL)
{
	struct wire out = { .on_data = NULL };
	struct wire in = { .on_lost = feed_late, .arg = &out };

	play(&out, "open");
	play(&in, "open; end");
	play(&out, "produce; end; producer S");
}

/* ---- no memory ------------------------------------------------------ */

/* A connection without its producer would wait for output for ever. */
TEST(with_no_memory_to_register_it_is_aborted, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	play(&w, "open; no-memory");
	ck_assert_int_eq(plait_transport_register_producer(w.transport,
							   &w.producer, false),
			 -ENOMEM);
	play(&w, "memory; turn; lost 1; why NoMemoryError; producer -; end");
}

TEST(with_no_memory_for_its_half_nobody_is_fed, ON_EACH_BACKEND)
{
	struct wire in = { .on_data = NULL }, out = in;
	struct plait_producer *p;

	play(&in, "open; no-memory");
	p = plait_transport_producer(in.transport);
	ck_assert_ptr_null(p);
	play(&in, "memory");
	play(&out, "open");
	ck_assert_int_eq(
		plait_transport_register_producer(out.transport, p, true),
		-ENOMEM);
	play(&out, "turn; lost 1; why NoMemoryError; end");
	/* Later there is memory. */
	ck_assert_ptr_nonnull(plait_transport_producer(in.transport));
	play(&in, "lost 0; end");
}

/* What is lost needs no producer, and is not told twice. */
TEST(with_no_memory_a_lost_one_stays_lost, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	play(&w, "open; abort; no-memory");
	ck_assert_int_eq(plait_transport_register_producer(w.transport,
							   &w.producer, false),
			 -ENOMEM);
	play(&w, "memory; turn; lost 1; why ConnectionAborted: by this end; "
		 "producer -; end");
}

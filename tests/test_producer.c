/*
 * Producers: told to pause and to go on as the peer takes what they make,
 * never from inside a call, and stopped when there is no use for more.
 */
#include <stdio.h>
#include <sys/socket.h>

#include "tests/wire.h"

enum { HIGH = 65536, LOW = 16384, MUCH = 8 << 20 };

struct maker {
	struct plait_producer base;
	struct wire *wire;
	char trace[32]; /* P R S: pause, resume, stop */
	unsigned stops;
	bool registers_again;
	void (*on_resume)(struct maker *m);
	size_t made, most;
};

static struct maker *maker_of(struct plait_producer *p)
{
	return plait_container(p, struct maker, base);
}

static void note(struct maker *m, char what)
{
	size_t n = strlen(m->trace);

	if (n + 1 < sizeof(m->trace))
		m->trace[n] = what;
}

static void pause_maker(struct plait_producer *p)
{
	note(maker_of(p), 'P');
}

static void resume_maker(struct plait_producer *p)
{
	struct maker *m = maker_of(p);

	note(m, 'R');
	if (m->on_resume != NULL)
		m->on_resume(m);
}

static void stop_maker(struct plait_producer *p)
{
	struct maker *m = maker_of(p);

	note(m, 'S');
	m->stops++;
	if (m->wire != NULL) {
		wire_note(m->wire, 'S');
		if (m->registers_again)
			ck_assert_int_eq(plait_transport_register_producer(
						 m->wire->transport, p, false),
					 0);
		m->registers_again = false;
	}
}

static const struct plait_producer_ops maker_ops = {
	.name = "maker",
	.pause = pause_maker,
	.resume = resume_maker,
	.stop = stop_maker,
};

static void attach(struct wire *w, struct maker *m, bool streaming)
{
	m->base.ops = &maker_ops;
	m->wire = w;
	ck_assert_int_eq(plait_transport_register_producer(w->transport,
							   &m->base, streaming),
			 0);
}

static void write_bytes(struct wire *w, size_t n)
{
	unsigned char *bytes = wire_bytes(n);

	plait_transport_write(w->transport, bytes, n);
	free(bytes);
}

static bool has_drained(void *arg)
{
	struct wire *w = arg;

	return plait_transport_pending(w->transport) == 0;
}

GROUP("streaming");

/*
 * Streaming ones.
 */
TEST(a_streaming_one_is_told_nothing_when_it_registers, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct maker m = { .made = 0 };

	ck_assert(wire_open(&w, reactor));
	attach(&w, &m, true);
	run_turns(reactor, 3);
	write_bytes(&w, HIGH);
	run_turns(reactor, 3);
	ck_assert_str_eq(m.trace, "");
	wire_close(&w);
	ck_assert_str_eq(m.trace, "S");
}

TEST(it_is_paused_once_and_resumed_at_the_low_mark, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct maker m = { .made = 0 };
	size_t unsent;

	ck_assert(wire_open(&w, reactor));
	attach(&w, &m, true);
	write_bytes(&w, MUCH);
	ck_assert_str_eq(m.trace, "");
	run_turns(reactor, 10);
	ck_assert_str_eq(m.trace, "P");
	write_bytes(&w, MUCH);
	run_turns(reactor, 10);
	ck_assert_str_eq(m.trace, "P");
	do {
		unsent = plait_transport_pending(w.transport);
		ck_assert_str_eq(m.trace, "P");
		ck_assert_int_eq(peer_read(reactor, w.peer, NULL, LOW / 2),
				 LOW / 2);
		run_turns(reactor, 1);
	} while (plait_transport_pending(w.transport) > LOW);
	ck_assert_uint_gt(unsent, LOW);
	run_turns(reactor, 2);
	ck_assert_str_eq(m.trace, "PR");
	wire_close(&w);
	ck_assert_str_eq(m.trace, "PRS");
}

static void fault_sends(size_t n_passing)
{
	fault_off();
	if (n_passing > 0)
		fault_short("sendmsg", 1, n_passing);
	fault_call_forever("sendmsg", EAGAIN);
	fault_call_forever("send", EAGAIN);
}

TEST(the_marks_are_exact, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct maker m = { .made = 0 };

	ck_assert(wire_open(&w, reactor));
	attach(&w, &m, true);
	fault_sends(0);
	write_bytes(&w, HIGH);
	run_turns(reactor, 2);
	ck_assert_str_eq(m.trace, "");
	write_bytes(&w, 1);
	run_turns(reactor, 2);
	ck_assert_str_eq(m.trace, "P");
	write_bytes(&w, HIGH);
	fault_sends(2 * HIGH - LOW);
	run_turns(reactor, 2);
	ck_assert_uint_eq(plait_transport_pending(w.transport), LOW + 1);
	ck_assert_str_eq(m.trace, "P");
	fault_sends(1);
	run_turns(reactor, 3);
	ck_assert_uint_eq(plait_transport_pending(w.transport), LOW);
	ck_assert_str_eq(m.trace, "PR");
	fault_off();
	wire_close(&w);
}

TEST(the_marks_may_be_set, ON_EACH_BACKEND)
{
	struct plait_limits limits = { .high_water = 1 << 20, .low_water = 1 };
	struct wire w = { .unix_pair = true };
	struct maker m = { .made = 0 };

	plait_reactor_set_limits(reactor, &limits);
	ck_assert(wire_open(&w, reactor));
	attach(&w, &m, true);
	write_bytes(&w, 1 << 20);
	run_turns(reactor, 10);
	ck_assert_str_eq(m.trace, "");
	write_bytes(&w, 1 << 20);
	run_turns(reactor, 10);
	ck_assert_str_eq(m.trace, "P");
	while (m.trace[1] == '\0') {
		ck_assert_int_eq(peer_read(reactor, w.peer, NULL, 1000), 1000);
		run_turns(reactor, 1);
		if (plait_transport_pending(w.transport) > 1)
			ck_assert_str_eq(m.trace, "P");
	}
	ck_assert_str_eq(m.trace, "PR");
	wire_close(&w);
}

TEST(registering_on_a_full_transport_pauses_from_the_loop, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct maker m = { .made = 0 };

	ck_assert(wire_open(&w, reactor));
	write_bytes(&w, MUCH);
	run_turns(reactor, 5);
	attach(&w, &m, true);
	ck_assert_str_eq(m.trace, "");
	run_turns(reactor, 2);
	ck_assert_str_eq(m.trace, "P");
	wire_close(&w);
}

TEST(a_producer_does_not_lift_the_limit, ON_EACH_BACKEND)
{
	struct plait_limits limits = { .max_unsent = 1000 };
	struct wire w = { .on_data = NULL };
	struct maker m = { .made = 0 };

	plait_reactor_set_limits(reactor, &limits);
	ck_assert(wire_open(&w, reactor));
	attach(&w, &m, true);
	write_bytes(&w, 1000);
	ck_assert(!plait_transport_is_disconnecting(w.transport));
	write_bytes(&w, 1);
	wire_wait_lost(&w);
	ck_assert_str_eq(w.why,
			 "ConnectionAborted: more than 1000 bytes unsent");
	ck_assert_uint_eq(m.stops, 1);
	wire_close(&w);
}

/*
 * Pull producers.
 */
static void make_some(struct maker *m)
{
	size_t left = m->most - m->made;
	size_t n = left < 1000 ? left : 1000;
	unsigned char bytes[1000];

	ck_assert_uint_eq(plait_transport_pending(m->wire->transport), 0);
	for (size_t i = 0; i < n; i++)
		bytes[i] = wire_byte(m->made + i);
	plait_transport_write(m->wire->transport, bytes, n);
	m->made += n;
	if (m->made == m->most)
		plait_transport_unregister_producer(m->wire->transport);
}

GROUP("pull");

TEST(a_pull_producer_is_resumed_whenever_all_is_sent, ON_EACH_BACKEND)
{
	enum { N = 300000 };
	struct wire w = { .on_data = NULL };
	struct maker m = { .on_resume = make_some, .most = N };
	unsigned char *bytes = wire_bytes(N), *got = malloc(N);

	ck_assert(wire_open(&w, reactor));
	attach(&w, &m, false);
	ck_assert_str_eq(m.trace, "");
	plait_transport_lose_connection(w.transport);
	ck_assert_int_eq(peer_read_to_eof(reactor, w.peer, got, N), N);
	ck_assert(memcmp(bytes, got, N) == 0);
	wire_close(&w);
	ck_assert_uint_eq(m.stops, 0);
	free(bytes);
	free(got);
}

TEST(a_pull_producer_that_makes_nothing_is_not_asked_again, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct maker m = { .made = 0 };
	struct plait_buf *b = plait_buf_copy("poem", 4);

	ck_assert(wire_open(&w, reactor));
	attach(&w, &m, false);
	run_turns(reactor, 5);
	ck_assert_str_eq(m.trace, "R");
	/* Whatever else happens on the connection. */
	plait_transport_pause_reading(w.transport);
	run_turns(reactor, 2);
	plait_transport_resume_reading(w.transport);
	peer_say(w.peer, "x");
	run_until_count(reactor, &w.calls, 1);
	run_turns(reactor, 2);
	ck_assert_str_eq(m.trace, "R");
	write_bytes(&w, 10);
	run_turns(reactor, 5);
	ck_assert_str_eq(m.trace, "RR");
	plait_transport_write_buf(w.transport, b);
	run_turns(reactor, 5);
	ck_assert_str_eq(m.trace, "RRR");
	plait_transport_unregister_producer(w.transport);
	attach(&w, &m, false);
	run_turns(reactor, 5);
	ck_assert_str_eq(m.trace, "RRRR");
	wire_close(&w);
	ck_assert_str_eq(m.trace, "RRRRS");
	plait_buf_unref(&b);
}

TEST(a_pull_producer_waits_for_what_is_unsent, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct maker m = { .made = 0 };

	ck_assert(wire_open(&w, reactor));
	write_bytes(&w, MUCH);
	attach(&w, &m, false);
	run_turns(reactor, 20);
	ck_assert_str_eq(m.trace, "");
	ck_assert_int_eq(peer_read(reactor, w.peer, NULL, MUCH), MUCH);
	run_until(reactor, has_drained, &w);
	run_turns(reactor, 2);
	ck_assert_str_eq(m.trace, "R");
	wire_close(&w);
}

TEST(what_changed_before_it_was_told_counts, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct maker m = { .made = 0 };

	ck_assert(wire_open(&w, reactor));
	attach(&w, &m, false);
	write_bytes(&w, MUCH);
	run_turns(reactor, 3);
	ck_assert_str_eq(m.trace, "");
	wire_close(&w);
}

TEST(unregistering_before_the_first_resume_is_in_time, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct maker m = { .made = 0 };

	ck_assert(wire_open(&w, reactor));
	attach(&w, &m, false);
	plait_transport_unregister_producer(w.transport);
	plait_transport_unregister_producer(w.transport);
	run_turns(reactor, 3);
	ck_assert_str_eq(m.trace, "");
	wire_close(&w);
	ck_assert_uint_eq(m.stops, 0);
}

GROUP("end");

/*
 * The end.
 */
TEST(losing_waits_for_the_producer_and_then_for_the_output, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct maker m = { .made = 0 };

	ck_assert(wire_open(&w, reactor));
	attach(&w, &m, true);
	plait_transport_lose_connection(w.transport);
	run_for(reactor, 29);
	ck_assert_uint_eq(w.lost, 0);
	clock_virtual(false);
	write_bytes(&w, MUCH);
	plait_transport_unregister_producer(w.transport);
	run_turns(reactor, 10);
	ck_assert_uint_eq(w.lost, 0);
	ck_assert_int_eq(peer_read_to_eof(reactor, w.peer, NULL, 0), MUCH);
	wire_close(&w);
	ck_assert_str_eq(w.why, "ConnectionDone");
	ck_assert_str_eq(w.trace, "ML");
	ck_assert_uint_eq(m.stops, 0);
}

TEST(losing_needs_nothing_but_the_unregistering, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct maker m = { .made = 0 };

	ck_assert(wire_open(&w, reactor));
	attach(&w, &m, true);
	plait_transport_lose_connection(w.transport);
	run_turns(reactor, 5);
	plait_transport_unregister_producer(w.transport);
	ck_assert_uint_eq(w.lost, 0);
	wire_wait_lost(&w);
	ck_assert_uint_eq(w.lost, 1);
	ck_assert_str_eq(w.why, "ConnectionDone");
	wire_close(&w);
}

TEST(no_producer_holds_a_close_beyond_its_deadline, ON_EACH_BACKEND, TIMES(2))
{
	struct plait_limits limits = { .close_timeout = 7 };
	struct wire w = { .on_data = NULL };
	struct maker m = { .made = 0 };

	plait_reactor_set_limits(reactor, &limits);
	ck_assert(wire_open(&w, reactor));
	attach(&w, &m, _i == 0);
	plait_transport_lose_connection(w.transport);
	run_for(reactor, 5);
	/* Its output has left, but that does not make it less late. */
	plait_transport_write(w.transport, "poem", 4);
	run_for(reactor, 1.9);
	ck_assert_uint_eq(w.lost, 0);
	run_for(reactor, 0.2);
	ck_assert_str_eq(w.trace, "MSL");
	ck_assert_str_eq(w.why, "ConnectionAborted: "
				"closing made no progress in 7 seconds");
	wire_close(&w);
}

TEST(a_second_producer_is_refused, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct maker m = { .made = 0 }, n = { .base.ops = &maker_ops };

	ck_assert(wire_open(&w, reactor));
	attach(&w, &m, true);
	ck_assert_int_eq(
		plait_transport_register_producer(w.transport, &n.base, false),
		-EBUSY);
	run_turns(reactor, 3);
	ck_assert_str_eq(n.trace, "");
	wire_close(&w);
	ck_assert_str_eq(m.trace, "S");
	ck_assert_str_eq(n.trace, "");
}

TEST(it_is_stopped_once_before_the_protocol_is_told, ON_EACH_BACKEND, TIMES(2))
{
	struct wire w = { .on_data = NULL };
	struct maker m = { .made = 0 };

	ck_assert(wire_open(&w, reactor));
	attach(&w, &m, _i == 0);
	plait_transport_abort(w.transport);
	ck_assert_str_eq(m.trace, "");
	wire_close(&w);
	ck_assert_uint_eq(m.stops, 1);
	ck_assert_str_eq(w.trace, "MSL");
}

static void register_late(struct wire *w)
{
	struct maker *m = w->arg;

	attach(w, m, true);
	ck_assert_uint_eq(m->stops, 0);
}

TEST(registering_on_a_lost_connection_is_told_to_stop, ON_EACH_BACKEND)
{
	struct maker m = { .made = 0 };
	struct wire w = { .on_lost = register_late, .arg = &m };

	ck_assert(wire_open(&w, reactor));
	wire_close(&w);
	ck_assert_str_eq(m.trace, "S");
	ck_assert_str_eq(w.trace, "MLS");
}

static void register_in_done(struct wire *w)
{
	w->transport = w->protocol->transport;
	register_late(w);
	w->transport = NULL;
}

TEST(registering_in_done_is_told_to_stop, ON_EACH_BACKEND)
{
	struct maker m = { .made = 0 };
	struct wire w = { .on_done = register_in_done, .arg = &m };

	ck_assert(wire_open(&w, reactor));
	wire_close(&w);
	ck_assert_str_eq(m.trace, "S");
	ck_assert_str_eq(w.trace, "MLS");
}

TEST(registering_again_while_being_stopped_is_stopped_again, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct maker m = { .registers_again = true };

	ck_assert(wire_open(&w, reactor));
	attach(&w, &m, true);
	wire_close(&w);
	ck_assert_uint_eq(m.stops, 2);
	ck_assert_uint_eq(w.lost, 1);
}

TEST(there_is_no_use_for_more_when_the_sending_half_closes, ON_EACH_BACKEND)
{
	struct wire w = { .half_closeable = true };
	struct maker m = { .made = 0 };

	ck_assert(wire_open(&w, reactor));
	attach(&w, &m, true);
	write_bytes(&w, 1000);
	plait_transport_lose_write_connection(w.transport);
	ck_assert_uint_eq(m.stops, 0);
	ck_assert_int_eq(peer_read_to_eof(reactor, w.peer, NULL, 0), 1000);
	run_turns(reactor, 2);
	ck_assert_uint_eq(m.stops, 1);
	attach(&w, &m, false);
	run_turns(reactor, 2);
	ck_assert_uint_eq(m.stops, 2);
	plait_transport_lose_connection(w.transport);
	wire_close(&w);
	ck_assert_uint_eq(m.stops, 2);
}

TEST(a_producer_does_not_hold_a_peer_that_has_left, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct maker m = { .made = 0 };

	ck_assert(wire_open(&w, reactor));
	attach(&w, &m, true);
	shutdown(w.peer, SHUT_WR);
	wire_wait_lost(&w);
	ck_assert_str_eq(w.why, "ConnectionDone");
	ck_assert_str_eq(w.trace, "MSL");
	wire_close(&w);
}

/*
 * A transport as a producer.
 */
static void echo(struct wire *w, const void *data, size_t len)
{
	plait_transport_write(w->transport, data, len);
	if (plait_transport_pending(w->transport) > *(size_t *)w->arg)
		*(size_t *)w->arg = plait_transport_pending(w->transport);
}

static void produce_for_itself(struct wire *w)
{
	struct plait_producer *p = plait_transport_producer(w->transport);

	ck_assert_int_eq(
		plait_transport_register_producer(w->transport, p, true), 0);
}

GROUP("transport");

/* Hazard 35: the echo server that cannot be made to grow. */
TEST(a_peer_that_sends_and_never_reads_is_stopped, ON_EACH_BACKEND)
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
		ck_assert_uint_le(plait_transport_pending(out.transport),
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

static void lose_it(struct wire *w, const void *data, size_t len)
{
	plait_transport_lose_connection(w->transport);
}

TEST(its_own_half_does_not_hold_a_close, ON_EACH_BACKEND, TIMES(2))
{
	struct wire w = { .on_made = produce_for_itself, .on_data = lose_it };

	ck_assert(wire_open(&w, reactor));
	if (_i == 0) {
		peer_say(w.peer, "x");
	} else {
		write_bytes(&w, MUCH);
		plait_transport_lose_connection(w.transport);
		run_turns(reactor, 3);
		ck_assert_uint_eq(w.lost, 0);
	}
	ck_assert_int_eq(peer_read_to_eof(reactor, w.peer, NULL, 0),
			 _i == 0 ? 0 : MUCH);
	run_turns(reactor, 2);
	ck_assert_uint_eq(w.lost, 1);
	ck_assert_str_eq(w.why, "ConnectionDone");
	wire_close(&w);
}

static void feed(struct wire *from, struct wire *to)
{
	ck_assert_int_eq(plait_transport_register_producer(
				 to->transport,
				 plait_transport_producer(from->transport),
				 true),
			 0);
}

/* In whatever order they were registered, and one of them left before. */
TEST(being_lost_unregisters_what_it_produces_for, ON_EACH_BACKEND, TIMES(3))
{
	struct wire in = { .on_data = NULL };
	struct wire out[3] = { { .on_data = NULL } };

	ck_assert(wire_open(&in, reactor));
	for (int i = 0; i < 3; i++) {
		ck_assert(wire_open(&out[i], reactor));
		feed(&in, &out[i]);
	}
	plait_transport_unregister_producer(out[_i].transport);
	peer_reset(in.peer);
	in.peer = -1;
	wire_wait_lost(&in);
	for (int i = 0; i < 3; i++) {
		struct maker m = { .made = 0 };

		attach(&out[i], &m, true);
		plait_transport_unregister_producer(out[i].transport);
		plait_transport_lose_connection(out[i].transport);
		run_turns(reactor, 3);
		ck_assert_str_eq(out[i].why, "ConnectionDone");
		wire_close(&out[i]);
		ck_assert_str_eq(m.trace, "");
	}
}

static void feed_late(struct wire *w)
{
	feed(w, w->arg);
}

TEST(what_is_lost_produces_for_nobody, ON_EACH_BACKEND)
{
	struct wire out = { .on_data = NULL };
	struct wire in = { .on_lost = feed_late, .arg = &out };
	struct maker m = { .made = 0 };

	ck_assert(wire_open(&out, reactor));
	ck_assert(wire_open(&in, reactor));
	wire_close(&in);
	attach(&out, &m, true);
	wire_close(&out);
	ck_assert_str_eq(m.trace, "S");
}

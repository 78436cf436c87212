/*
 * What the kernel and the allocator may do to a connection in the middle of
 * its work: every byte still arrives once and in order, or connection_lost()
 * says why not, and the reactor goes on.
 */
#include <stdio.h>
#include <sys/socket.h>

#include "tests/wire.h"

enum { LOTS = 5 << 20 };

static const char *const sends[] = { "send", "sendmsg" };

static void fault_sends(unsigned long n, int err)
{
	for (int i = 0; i < 2; i++)
		fault_call(sends[i], n, err);
}

static unsigned long sends_made(void)
{
	return calls_of("send") + calls_of("sendmsg");
}

/* Writes n bytes of the stream in pieces of all sizes, copied and shared. */
static void write_mixed(struct wire *w, size_t n, unsigned seed)
{
	unsigned char *bytes = wire_bytes(n);
	size_t at = 0, len;
	struct plait_buf *b;

	srand(seed);
	while (at < n) {
		len = (size_t)rand() % (rand() % 8 ? 3000 : 200000) + 1;
		if (len > n - at)
			len = n - at;
		if (rand() % 2) {
			plait_transport_write(w->transport, bytes + at, len);
		} else {
			b = plait_buf_copy(bytes + at, len);
			plait_transport_write_buf(w->transport, b);
			plait_buf_unref(&b);
		}
		at += len;
	}
	ck_assert_uint_eq(plait_transport_pending(w->transport), n);
	free(bytes);
}

static void expect_bytes(struct wire *w, size_t n)
{
	unsigned char *bytes = wire_bytes(n), *got = malloc(n);

	ck_assert_int_eq(peer_read_to_eof(reactor, w->peer, got, n),
			 (ssize_t)n);
	ck_assert(memcmp(bytes, got, n) == 0);
	free(bytes);
	free(got);
}

GROUP("writing");

/*
 * Hazard 27: writing.
 */
TEST(a_mixture_of_megabytes_arrives_byte_for_byte, ON_EACH_BACKEND, TIMES(2))
{
	struct wire w = { .unix_pair = _i == 1 };

	ck_assert(wire_open(&w, reactor));
	write_mixed(&w, LOTS, 1 + (unsigned)_i);
	plait_transport_lose_connection(w.transport);
	expect_bytes(&w, LOTS);
	wire_close(&w);
}

TEST(one_byte_at_a_time_arrives, ON_EACH_BACKEND)
{
	enum { N = 3000 };
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	fault_short_forever("send", 1);
	fault_short_forever("sendmsg", 1);
	write_mixed(&w, N, 7);
	plait_transport_lose_connection(w.transport);
	expect_bytes(&w, N);
	wire_close(&w);
}

/* So that it ends in the middle of each piece, and on each border. */
TEST(a_write_cut_short_anywhere_goes_on_there, ON_EACH_BACKEND, TIMES(8))
{
	enum { SHARED = 300, N = 2 + SHARED + 2 };
	static const size_t cuts[] = { 0,	   1,	       2,	   3,
				       SHARED + 1, SHARED + 2, SHARED + 3, N };
	struct wire w = { .on_data = NULL };
	unsigned char *bytes = wire_bytes(N), got[N];
	struct plait_buf *b = plait_buf_copy(bytes + 2, SHARED);

	ck_assert(wire_open(&w, reactor));
	fault_short("sendmsg", 1, cuts[_i]);
	plait_transport_write(w.transport, bytes, 2);
	plait_transport_write_buf(w.transport, b);
	plait_transport_write(w.transport, bytes + N - 2, 2);
	plait_transport_lose_connection(w.transport);
	ck_assert_int_eq(peer_read_to_eof(reactor, w.peer, got, N), N);
	ck_assert_mem_eq(got, bytes, N);
	ck_assert(fault_used("sendmsg"));
	wire_close(&w);
	plait_buf_unref(&b);
	free(bytes);
}

static const int passing[] = { EAGAIN, ENOBUFS, ENOMEM, EINTR };

TEST(a_write_put_off_is_made_later, ON_EACH_BACKEND, TIMES(8))
{
	struct wire w = { .on_data = NULL };
	int err = passing[_i % 4];
	unsigned long times = _i < 4 ? 1 : 3;

	ck_assert(wire_open(&w, reactor));
	fault_sends(times, err);
	write_mixed(&w, 100000, 3);
	plait_transport_lose_connection(w.transport);
	expect_bytes(&w, 100000);
	ck_assert(fault_used("sendmsg"));
	wire_close(&w);
	ck_assert_str_eq(w.why, "ConnectionDone");
}

TEST(every_other_write_is_put_off, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	for (int i = 0; i < 6; i++) {
		fault_short("send", 1, 1000);
		fault_short("sendmsg", 1, 1000);
		fault_sends(1, passing[i % 4]);
	}
	write_mixed(&w, 100000, 4);
	plait_transport_lose_connection(w.transport);
	expect_bytes(&w, 100000);
	wire_close(&w);
}

TEST(an_interrupted_write_is_repeated_at_once, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	char c;

	ck_assert(wire_open(&w, reactor));
	fault_call("send", 3, EINTR);
	calls_reset();
	plait_transport_write(w.transport, "x", 1);
	run_turns(reactor, 1);
	ck_assert_uint_eq(calls_of("send"), 4);
	ck_assert_int_eq(recv(w.peer, &c, 1, MSG_DONTWAIT), 1);
	wire_close(&w);
}

static const int fatal[] = { ECONNRESET, EPIPE, ETIMEDOUT, EHOSTUNREACH };

TEST(a_write_that_fails_loses_the_connection_once, ON_EACH_BACKEND, TIMES(4))
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	fault_short("sendmsg", 1, 1500);
	write_mixed(&w, 10000, 5);
	fault_call("sendmsg", 1, fatal[_i]);
	fault_call("send", 1, fatal[_i]);
	wire_wait_lost(&w);
	ck_assert_int_eq(w.err, fatal[_i]);
	ck_assert_int_eq(strncmp(w.why, "ConnectionLost", 14), 0);
	wire_close(&w);
	ck_assert_str_eq(w.trace, "ML");
}

static void write_and_lose(struct wire *w, const void *data, size_t len)
{
	plait_transport_write(w->transport, "answer", 6);
	ck_assert_uint_eq(w->lost, 0);
}

TEST(a_write_that_fails_in_a_callback_is_told_after_it, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = write_and_lose };

	ck_assert(wire_open(&w, reactor));
	fault_call("send", 1, EPIPE);
	peer_say(w.peer, "question");
	wire_wait_lost(&w);
	ck_assert_int_eq(w.err, EPIPE);
	wire_close(&w);
	ck_assert_str_eq(w.trace, "MDL");
}

static void write_then_abort(struct wire *w, const void *data, size_t len)
{
	static unsigned calls;
	struct wire *other = w->arg;

	if (calls++ == 0)
		plait_transport_write(other->transport, "x", 1);
	else
		plait_transport_abort(other->transport);
}

/* Two callbacks of one batch: the write of the first fails after it. */
TEST(the_first_reason_is_the_one_that_is_told, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct wire a = { .on_data = write_then_abort, .arg = &w };
	struct wire b = { .on_data = write_then_abort, .arg = &w };

	ck_assert(wire_open(&w, reactor));
	ck_assert(wire_open(&a, reactor));
	ck_assert(wire_open(&b, reactor));
	fault_call("send", 1, EPIPE);
	peer_say(a.peer, "x");
	peer_say(b.peer, "x");
	wire_wait_lost(&w);
	ck_assert_uint_eq(a.calls + b.calls, 2);
	ck_assert_int_eq(w.err, EPIPE);
	wire_close(&w);
	wire_close(&a);
	wire_close(&b);
}

/* Hazard 28: nothing may be killed. */
TEST(writing_to_a_peer_that_is_gone_kills_nobody, ON_EACH_BACKEND, TIMES(2))
{
	struct wire w = { .unix_pair = _i == 1, .half_closeable = true };

	ck_assert(wire_open(&w, reactor));
	plait_transport_pause_reading(w.transport);
	run_turns(reactor, 1);
	wire_hang_up(&w);
	for (int i = 0; i < 10 && w.lost == 0; i++) {
		plait_transport_write(w.transport, "x", 1);
		run_turns(reactor, 1);
	}
	wire_close(&w);
	ck_assert(w.err == EPIPE || w.err == ECONNRESET);
}

/* Hazard 13: the kernel would take all of it, but others wait, too. */
TEST(a_flush_is_bounded_and_goes_on, ON_EACH_BACKEND)
{
	enum { N = 3000, SIZE = 300, PIECES = 64, SENDS = 16 };
	struct wire w = { .on_data = NULL };
	unsigned char *bytes = wire_bytes(SIZE);
	struct plait_buf *b = plait_buf_copy(bytes, SIZE);

	ck_assert(wire_open(&w, reactor));
	for (int i = 0; i < N; i++)
		plait_transport_write_buf(w.transport, b);
	calls_reset();
	run_turns(reactor, 1);
	/* Once for the writes, once for the event. */
	ck_assert_uint_eq(sends_made(), 2 * SENDS);
	ck_assert_uint_eq(plait_transport_pending(w.transport),
			  (N - 2 * SENDS * PIECES) * SIZE);
	ck_assert_int_eq(peer_read(reactor, w.peer, NULL, N * SIZE), N * SIZE);
	wire_close(&w);
	plait_buf_unref(&b);
	free(bytes);
}

/* The peer reads whenever it is written to, so that there is always room. */
static void read_all(void *arg)
{
	struct wire *w = arg;
	static char bytes[65536];
	ssize_t n;

	while ((n = recv(w->peer, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		w->received += (size_t)n;
}

/* In bytes as well: other connections have a turn in between. */
TEST(a_flush_to_a_peer_that_reads_all_is_bounded, ON_EACH_BACKEND)
{
	enum { N = 3000, SIZE = 1500, SEND = 64 * SIZE, MIB = 1 << 20 };
	const unsigned n_sends = (MIB + SEND - 1) / SEND;
	struct wire w = { .unix_pair = true };
	unsigned char *bytes = wire_bytes(SIZE);
	struct plait_buf *b = plait_buf_copy(bytes, SIZE);

	ck_assert(wire_open(&w, reactor));
	for (int i = 0; i < N; i++)
		plait_transport_write_buf(w.transport, b);
	call_hook("sendmsg", read_all, &w);
	calls_reset();
	run_turns(reactor, 1);
	ck_assert_uint_eq(sends_made(), n_sends);
	ck_assert_uint_eq(plait_transport_pending(w.transport),
			  (size_t)N * SIZE - (size_t)n_sends * SEND);
	while (plait_transport_pending(w.transport) > 0) {
		read_all(&w);
		run_turns(reactor, 1);
	}
	call_hook("sendmsg", NULL, NULL);
	read_all(&w);
	ck_assert_uint_eq(w.received, (size_t)N * SIZE);
	wire_close(&w);
	plait_buf_unref(&b);
	free(bytes);
}

/*
 * What had come when writing failed.
 */
enum { COME = 50000, PIECE = 20000 };

/* The peer has sent, and is gone; this end learns of it by writing. */
static void send_and_reset(struct wire *w)
{
	unsigned char *bytes = wire_bytes(COME);

	plait_transport_pause_reading(w->transport);
	run_turns(reactor, 1);
	fault_short_forever("recv", PIECE);
	ck_assert(peer_send(NULL, w->peer, bytes, COME));
	peer_reset(w->peer);
	w->peer = -1;
	free(bytes);
}

static void break_off(struct wire *w)
{
	send_and_reset(w);
	plait_transport_write(w->transport, "x", 1);
}

GROUP("come");

TEST(what_has_come_is_delivered_when_writing_fails, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	break_off(&w);
	plait_transport_resume_reading(w.transport);
	wire_wait_lost(&w);
	ck_assert_uint_eq(w.received, COME);
	ck_assert_uint_eq(w.calls, 3);
	ck_assert_str_eq(w.trace, "MDL");
	ck_assert_int_eq(w.err, ECONNRESET);
}

static void acknowledge(struct wire *w, const void *data, size_t len)
{
	plait_transport_write(w->transport, "ok", 2);
}

/* A client that sends all, reads no answer and goes. */
TEST(all_of_a_peer_that_reads_no_answer_is_delivered, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = acknowledge };

	ck_assert(wire_open(&w, reactor));
	send_and_reset(&w);
	plait_transport_resume_reading(w.transport);
	wire_wait_lost(&w);
	ck_assert_uint_eq(w.received, COME);
	ck_assert_str_eq(w.trace, "MDL");
	ck_assert_int_eq(strncmp(w.why, "ConnectionLost: send", 20), 0);
}

TEST(who_is_paused_gets_it_when_it_goes_on, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	break_off(&w);
	run_for(reactor, 4.9);
	ck_assert_str_eq(w.trace, "M");
	ck_assert_uint_eq(plait_transport_pending(w.transport), 0);
	plait_transport_write(w.transport, "into the void", 13);
	ck_assert_uint_eq(plait_transport_pending(w.transport), 0);
	plait_transport_resume_reading(w.transport);
	wire_wait_lost(&w);
	ck_assert_uint_eq(w.received, COME);
	ck_assert_str_eq(w.trace, "MDL");
}

static void pause_it(struct wire *w, const void *data, size_t len)
{
	plait_transport_pause_reading(w->transport);
}

/* The time that it is kept begins anew with each pause. */
TEST(who_pauses_again_is_waited_for_again, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = pause_it };
	unsigned calls = 0;

	ck_assert(wire_open(&w, reactor));
	break_off(&w);
	while (w.lost == 0) {
		run_for(reactor, 4);
		ck_assert_uint_eq(w.calls, calls);
		plait_transport_resume_reading(w.transport);
		run_turns(reactor, 3);
		calls++;
	}
	/* The fourth time there is nothing but the end. */
	ck_assert_uint_eq(w.calls, 3);
	ck_assert_uint_eq(w.received, COME);
}

TEST(who_stays_paused_is_not_waited_for_long, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	break_off(&w);
	run_for(reactor, 5.1);
	wire_wait_lost(&w);
	ck_assert_str_eq(w.trace, "ML");
	ck_assert_int_eq(w.err, ECONNRESET);
}

TEST(waiting_for_who_is_paused_does_not_spin, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	break_off(&w);
	run_turns(reactor, 5);
	clock_virtual(true);
	plait_reactor_iterate(reactor, 1);
	ck_assert_double_ge(wait_timeout(), 1);
	wire_close(&w);
}

/* Nobody wants what has come: what was sent before that is no reason. */
TEST(who_closes_meanwhile_is_told_at_once, ON_EACH_BACKEND, TIMES(2))
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	break_off(&w);
	run_turns(reactor, 2);
	if (_i == 0)
		plait_transport_lose_connection(w.transport);
	else
		plait_transport_abort(w.transport);
	run_turns(reactor, 2);
	ck_assert_str_eq(w.trace, "ML");
	ck_assert_int_eq(w.err, ECONNRESET);
}

TEST(who_has_closed_before_is_told_at_once, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	break_off(&w);
	plait_transport_lose_connection(w.transport);
	run_turns(reactor, 2);
	ck_assert_str_eq(w.trace, "ML");
}

TEST(a_writer_that_pauses_with_nothing_unread_is_told_at_once, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	plait_transport_pause_reading(w.transport);
	run_turns(reactor, 1);
	plait_transport_write(w.transport, "x", 1);
	fault_call("send", 1, EPIPE);
	run_turns(reactor, 2);
	ck_assert_str_eq(w.trace, "ML");
	ck_assert_int_eq(w.err, EPIPE);
	wire_close(&w);
}

/* The reactor goes: what can be delivered still is, if nobody holds it. */
TEST(the_end_of_the_reactor_delivers_what_has_come, ON_EACH_BACKEND, TIMES(2))
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	break_off(&w);
	run_turns(reactor, 2);
	if (_i == 0)
		plait_transport_resume_reading(w.transport);
	run_turns(reactor, _i == 0);
	ck_assert_uint_eq(w.lost, 0);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(w.lost, 1);
	ck_assert_uint_eq(w.received, _i == 0 ? COME : 0);
}

TEST(no_memory_to_deliver_what_has_come_is_an_end, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	break_off(&w);
	run_turns(reactor, 2);
	fault_alloc_at(0, true);
	plait_transport_resume_reading(w.transport);
	wire_wait_lost(&w);
	fault_alloc_off();
	ck_assert_str_eq(w.trace, "ML");
	ck_assert_int_eq(w.err, ECONNRESET);
}

GROUP("reading");

/*
 * Reading.
 */
TEST(a_read_put_off_or_interrupted_is_no_loss, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	fault_call("recv", 3, EINTR);
	fault_call("recv", 2, EAGAIN);
	peer_say(w.peer, "patience");
	run_until_count(reactor, &w.calls, 1);
	ck_assert(fault_used("recv"));
	ck_assert_str_eq(w.text, "patience");
	wire_close(&w);
	ck_assert_str_eq(w.why, "ConnectionDone");
}

TEST(short_reads_deliver_all, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	fault_short_forever("recv", 1);
	peer_say(w.peer, "byte by byte");
	wire_close(&w);
	ck_assert_str_eq(w.text, "byte by byte");
	ck_assert_uint_eq(w.calls, 12);
}

TEST(a_read_that_fails_loses_the_connection_once, ON_EACH_BACKEND, TIMES(4))
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	fault_call("recv", 1, fatal[_i]);
	peer_say(w.peer, "x");
	wire_wait_lost(&w);
	ck_assert_int_eq(w.err, fatal[_i]);
	wire_close(&w);
	ck_assert_str_eq(w.trace, "ML");
}

/* A close that fails has closed: it must not be repeated. */
TEST(a_close_that_fails_is_not_repeated, ON_EACH_BACKEND, TIMES(2))
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	fault_call("close", 1, _i ? EINTR : EIO);
	calls_reset();
	wire_close(&w);
	run_turns(reactor, 2);
	ck_assert_uint_eq(calls_of("close"), 1);
}

GROUP("memory");

/*
 * No memory.
 */
TEST(no_memory_to_read_into_is_a_loss, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	fault_alloc_at(0, true);
	peer_say(w.peer, "x");
	wire_wait_lost(&w);
	ck_assert_str_eq(w.why, "NoMemoryError");
	fault_alloc_off();
	wire_close(&w);
}

static void write_copy(struct wire *w)
{
	plait_transport_write(w->transport, "copy", 4);
}

static void write_shared(struct wire *w)
{
	plait_transport_write_buf(w->transport, w->arg);
}

TEST(no_memory_to_write_is_a_loss_told_from_the_loop, ON_EACH_BACKEND, TIMES(2))
{
	static void (*const ways[])(struct wire *) = { write_copy,
						       write_shared };
	struct plait_buf *b = plait_buf_copy("buf", 3);
	struct wire w = { .arg = b };

	ck_assert(wire_open(&w, reactor));
	fault_alloc_at(0, true);
	ways[_i](&w);
	ck_assert_uint_eq(w.lost, 0);
	ways[_i](&w);
	ck_assert(fault_alloc_reached());
	wire_wait_lost(&w);
	ck_assert_str_eq(w.why, "NoMemoryError");
	fault_alloc_off();
	ck_assert_int_eq(peer_read(reactor, w.peer, NULL, 1), -ECONNRESET);
	wire_close(&w);
	plait_buf_unref(&b);
}

TEST(aborting_needs_no_memory, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	fault_alloc_at(0, true);
	plait_transport_abort(w.transport);
	wire_wait_lost(&w);
	ck_assert_uint_eq(w.lost, 1);
	fault_alloc_off();
	wire_close(&w);
}

/*
 * Whole lives, with each allocation and each call failing once.
 */
static void answer_and_lose(struct wire *w, const void *data, size_t len)
{
	unsigned char *bytes = wire_bytes(100000);
	struct plait_buf *b = plait_buf_copy("shared", 6);

	plait_transport_write(w->transport, bytes, 100000);
	if (b != NULL)
		plait_transport_write_buf(w->transport, b);
	plait_buf_unref(&b);
	plait_transport_lose_connection(w->transport);
	free(bytes);
}

static void converse(struct plait_reactor *r)
{
	struct wire w = { .on_data = answer_and_lose };
	ssize_t n;

	if (!wire_open(&w, r)) {
		ck_assert(torture_faulty());
		return;
	}
	peer_send(r, w.peer, "question", 8);
	n = peer_read(r, w.peer, NULL, 100007);
	ck_assert(torture_faulty() || n == 100006);
	wire_hang_up(&w);
	wire_wait_lost(&w);
	ck_assert_uint_eq(w.lost, 1);
	ck_assert_uint_eq(w.done, 1);
}

GROUP("torture", .timeout = 60);

TEST(a_conversation_survives_every_refused_allocation, ON_EACH_BACKEND)
{
	torture(converse, backend);
}

TEST(a_conversation_survives_every_failed_call, ON_EACH_BACKEND)
{
	torture_syscalls(converse, backend);
}

/* Live connections in all their states when the reactor goes. */
static void leave_all_open(struct plait_reactor *r)
{
	struct wire w[4] = { { .on_data = answer_and_lose },
			     { .half_closeable = true } };
	bool open[4];

	for (int i = 0; i < 4; i++)
		open[i] = wire_open(&w[i], r);
	if (open[0])
		peer_send(r, w[0].peer, "question", 8);
	if (open[1])
		shutdown(w[1].peer, SHUT_WR);
	if (open[2])
		plait_transport_lose_connection(w[2].transport);
	plait_reactor_iterate(r, 0);
	plait_reactor_iterate(r, 0);
	for (int i = 0; i < 4; i++) {
		if (open[i] && w[i].lost == 0)
			plait_transport_abort(w[i].transport);
	}
	for (int i = 0; i < 4; i++) {
		wire_hang_up(&w[i]);
		if (open[i])
			wire_wait_lost(&w[i]);
		ck_assert_uint_eq(w[i].lost, open[i]);
	}
	run_turns(r, 3);
}

TEST(all_states_survive_every_refused_allocation, ON_EACH_BACKEND)
{
	torture(leave_all_open, backend);
}

TEST(all_states_survive_every_failed_call, ON_EACH_BACKEND)
{
	torture_syscalls(leave_all_open, backend);
}

/*
 * What the kernel and the allocator may do to a connection in the middle of
 * its work: every byte still arrives once and in order, or connection_lost()
 * says why not, and the reactor goes on.
 */
#include <stdio.h>
#include <sys/socket.h>

#include "tests/story.h"

static unsigned long sends_made(void)
{
	return calls_of("send") + calls_of("sendmsg");
}

GROUP("writing");

/*
 * Hazard 27: writing.
 */
STORY(a_mixture_of_megabytes_arrives_byte_for_byte,
      "open; mix 5M bytes; lose; peer gets 5M bytes, end; end",
      "pair; open; mix 5M bytes; lose; peer gets 5M bytes, end; end");

STORY(one_byte_at_a_time_arrives,
      "open; short send 1 forever; short sendmsg 1 forever; mix 3000 bytes;"
      "lose; peer gets 3000 bytes, end; end");

/* So that it ends in the middle of each piece, and on each border. */
TEST(a_write_cut_short_anywhere_goes_on_there, ON_EACH_KERNEL, TIMES(8))
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

#define PUT_OFF(err)                                                           \
	"open; fail send " err "; fail sendmsg " err "; mix 100000 bytes;"     \
	"lose; peer gets 100000 bytes, end; used sendmsg; end;"                \
	"why ConnectionDone"

STORY(a_write_put_off_is_made_later, PUT_OFF("EAGAIN"), PUT_OFF("ENOBUFS"),
      PUT_OFF("ENOMEM"), PUT_OFF("EINTR"), PUT_OFF("EAGAIN 3"),
      PUT_OFF("ENOBUFS 3"), PUT_OFF("ENOMEM 3"), PUT_OFF("EINTR 3"));

#define PUTS_OFF(err)                                                          \
	"short send 1000; short sendmsg 1000;"                                 \
	"fail send " err "; fail sendmsg " err "; "

STORY(every_other_write_is_put_off,
      "open;" PUTS_OFF("EAGAIN") PUTS_OFF("ENOBUFS") PUTS_OFF("ENOMEM")
	      PUTS_OFF("EINTR") PUTS_OFF("EAGAIN")
		      PUTS_OFF("ENOBUFS") "mix 100000 bytes; lose; peer gets "
					  "100000 bytes, end; end");

STORY(an_interrupted_write_is_repeated_at_once,
      "open; fail send EINTR 3; count; write x; turn; calls send 4;"
      "peer takes 1 bytes; end");

#define WRITE_FAILS(err)                                                       \
	"open; short sendmsg 1500; mix 10000 bytes; fail sendmsg " err ";"     \
	"fail send " err "; lost; errno " err "; why ConnectionLost...; end;"  \
	"trace ML"

STORY(a_write_that_fails_loses_the_connection_once, WRITE_FAILS("ECONNRESET"),
      WRITE_FAILS("EPIPE"), WRITE_FAILS("ETIMEDOUT"),
      WRITE_FAILS("EHOSTUNREACH"));

STORY(a_write_that_fails_in_a_callback_is_told_after_it,
      "D { write answer; lost 0 } open; fail send EPIPE; peer says question;"
      "lost; errno EPIPE; end; trace MDL");

static void write_then_abort(struct wire *w, const void *data, size_t len)
{
	static unsigned calls;
	struct wire *other = w->arg;

	if (calls++ == 0)
		plait_transport_write(other->transport, "x", 1);
	else
		plait_transport_abort_connection(other->transport);
}

/* Two callbacks of one batch: the write of the first fails after it. */
TEST(the_first_reason_is_the_one_that_is_told, ON_EACH_KERNEL)
{
	struct wire w = { .on_data = NULL };
	struct wire a = { .on_data = write_then_abort, .arg = &w };
	struct wire b = { .on_data = write_then_abort, .arg = &w };

	play(&w, "open; fail send EPIPE");
	play(&a, "open; peer says x");
	play(&b, "open; peer says x");
	play(&w, "lost; errno EPIPE; end");
	ck_assert_uint_eq(a.calls + b.calls, 2);
	wire_close(&a);
	wire_close(&b);
}

/* Hazard 28: nothing may be killed. */
TEST(writing_to_a_peer_that_is_gone_kills_nobody, ON_EACH_KERNEL, TIMES(2))
{
	struct wire w = { .unix_pair = _i == 1, .half_closeable = true };

	play(&w, "open; pause; turn; peer closes");
	for (int i = 0; i < 10 && w.lost == 0; i++)
		play(&w, "write x; turn");
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
	for (unsigned turn = 1; turn <= 2; turn++) {
		run_turns(reactor, 1);
		ck_assert_uint_eq(sends_made(), turn * SENDS);
		ck_assert_uint_eq(plait_transport_unsent(w.transport),
				  (N - turn * SENDS * PIECES) * SIZE);
	}
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
	ck_assert_uint_eq(plait_transport_unsent(w.transport),
			  (size_t)N * SIZE - (size_t)n_sends * SEND);
	while (plait_transport_unsent(w.transport) > 0) {
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
#define SENT_AND_RESET                                                         \
	"open; pause; turn; short recv 20000 forever; peer sends 50000 bytes;" \
	"peer resets; "

/* The peer has sent, and is gone; this end learns of it by writing. */
#define BROKEN_OFF SENT_AND_RESET "write x; "

GROUP("come");

STORY(what_has_come_is_delivered_when_writing_fails,
      BROKEN_OFF "resume; lost; received 50000; reads 3; trace MDL; errno "
		 "ECONNRESET");

/* A client that sends all, reads no answer and goes. */
STORY(all_of_a_peer_that_reads_no_answer_is_delivered,
      "D { write ok } " SENT_AND_RESET
      "resume; lost; received 50000; trace MDL; why ConnectionLost: send...");

STORY(who_is_paused_gets_it_when_it_goes_on, BROKEN_OFF
      "wait 4.9; trace M; unsent 0; write into the void; unsent 0; resume;"
      "lost; received 50000; trace MDL");

/* The time that it is kept begins anew with each pause. */
STORY(who_pauses_again_is_waited_for_again,
      "D { pause } " BROKEN_OFF "wait 4; reads 0; resume; turn 3; lost 0;"
      "wait 4; reads 1; resume; turn 3; lost 0;"
      "wait 4; reads 2; resume; turn 3; lost 0;"
      "wait 4; reads 3; resume; turn 3; lost 1; received 50000");

STORY(who_stays_paused_is_not_waited_for_long,
      BROKEN_OFF "wait 5.1; lost; trace ML; errno ECONNRESET");

STORY(waiting_for_who_is_paused_does_not_spin,
      BROKEN_OFF "turn 5; sleeps 1; end");

/* Nobody wants what has come: what was sent before that is no reason. */
STORY(who_closes_meanwhile_is_told_at_once,
      BROKEN_OFF "turn 2; lose; turn 2; trace ML; errno ECONNRESET",
      BROKEN_OFF "turn 2; abort; turn 2; trace ML; errno ECONNRESET");

STORY(who_has_closed_before_is_told_at_once,
      BROKEN_OFF "lose; turn 2; trace ML");

STORY(a_writer_that_pauses_with_nothing_unread_is_told_at_once,
      "open; pause; turn; write x; fail send EPIPE; turn 2; trace ML;"
      "errno EPIPE; end");

/* The reactor goes: what can be delivered still is, if nobody holds it. */
STORY(the_end_of_the_reactor_delivers_what_has_come,
      BROKEN_OFF
      "turn 2; resume; turn; lost 0; free-reactor; lost 1; received 50000",
      BROKEN_OFF "turn 2; lost 0; free-reactor; lost 1; received 0");

STORY(no_memory_to_deliver_what_has_come_is_an_end, BROKEN_OFF
      "turn 2; no-memory; resume; lost; memory; trace ML; errno ECONNRESET");

GROUP("reading");

/*
 * Reading.
 */
STORY(a_read_put_off_or_interrupted_is_no_loss,
      "open; fail recv EINTR 3; fail recv EAGAIN 2; peer says patience;"
      "until reads 1; used recv; text patience; end; why ConnectionDone");

STORY(short_reads_deliver_all,
      "open; short recv 1 forever; peer says byte by byte; end;"
      "text byte by byte; reads 12");

STORY(a_read_that_fails_loses_the_connection_once,
      "open; fail recv ECONNRESET; peer says x; lost; errno ECONNRESET; end;"
      "trace ML",
      "open; fail recv EPIPE; peer says x; lost; errno EPIPE; end;"
      "trace ML",
      "open; fail recv ETIMEDOUT; peer says x; lost; errno ETIMEDOUT; end;"
      "trace ML",
      "open; fail recv EHOSTUNREACH; peer says x; lost; errno EHOSTUNREACH; "
      "end;"
      "trace ML");

/* A close that fails has closed: it must not be repeated. */
STORY(a_close_that_fails_is_not_repeated,
      "open; fail close EIO; count; end; turn 2; calls close 1",
      "open; fail close EINTR; count; end; turn 2; calls close 1");

GROUP("memory");

/*
 * No memory.
 */
STORY(no_memory_to_read_into_is_a_loss,
      "open; no-memory; peer says x; lost; why NoMemoryError; memory; end");

static void write_copy(struct wire *w)
{
	plait_transport_write(w->transport, "copy", 4);
}

static void write_shared(struct wire *w)
{
	plait_transport_write_buf(w->transport, w->arg);
}

TEST(no_memory_to_write_is_a_loss_told_from_the_loop, ON_EACH_KERNEL, TIMES(2))
{
	static void (*const ways[])(struct wire *) = { write_copy,
						       write_shared };
	struct plait_buf *b = plait_buf_copy("buf", 3);
	struct wire w = { .arg = b };

	play(&w, "open; no-memory");
	ways[_i](&w);
	ck_assert_uint_eq(w.lost, 0);
	ways[_i](&w);
	ck_assert(fault_alloc_reached());
	play(&w, "lost; why NoMemoryError; memory; peer gets reset; end");
	plait_buf_unref(&b);
}

STORY(aborting_needs_no_memory,
      "open; no-memory; abort; lost; lost 1; memory; end");

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
			plait_transport_abort_connection(w[i].transport);
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

/*
 * What a shutdown owes to the connections that are being closed when it comes:
 * a time of their own, in which the loop goes on; how that is cut short; and
 * what becomes of them when the reactor is freed, which waits for nobody.
 */
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/socket.h>

#include <plait/testing.h>

#include "tests/actor.h"
#include "tests/timed.h"
#include "tests/trace.h"
#include "tests/story.h"

enum { MUCH = 8 << 20, SOME = 300000 };

static struct wire wire;
static double began;

static void setup(void)
{
	wire = (struct wire){ .on_data = NULL };
}

static void set_stop_timeout(double seconds)
{
	struct plait_limits limits = { .stop_timeout = seconds };

	plait_reactor_set_limits(reactor, &limits);
}

static void write_much(struct wire *w)
{
	unsigned char *bytes = wire_bytes(MUCH);

	plait_transport_write(w->transport, bytes, MUCH);
	free(bytes);
}

static void stop_now(void *arg)
{
	ck_assert_int_eq(plait_reactor_stop_now(reactor), 0);
}

/* Whole seconds since the test began. */
static int elapsed(void)
{
	return (int)lround(plait_reactor_seconds(reactor) - began);
}

/* A peer that takes nothing, and says a word that nobody reads. */
static void open_stuck(void)
{
	timed_start();
	ck_assert(wire_open(&wire, reactor));
	write_much(&wire);
	plait_transport_lose_connection(wire.transport);
	began = plait_reactor_seconds(reactor);
}

/* The two ways in which it may be stopped. */
enum { RUN, ITERATE, N_WAYS };

static bool during_has_come;

static plait_value note_during(void *arg)
{
	during_has_come = true;
	trace_add("during@%d", elapsed());
	return PLAIT_NONE;
}

static void stop_in(int way)
{
	plait_reactor_add_trigger(reactor, PLAIT_TRIGGER_DURING,
				  PLAIT_TRIGGER_SHUTDOWN, note_during, NULL,
				  NULL);
	plait_call_later(reactor, 0, call_stop, NULL);
	if (way == RUN)
		ck_assert_int_eq(plait_reactor_run(reactor), 0);
	for (int i = 0; i < 100000 && !during_has_come; i++)
		ck_assert_int_eq(plait_reactor_iterate(reactor, 1), 0);
	ck_assert(during_has_come);
}

/* A peer that reads to the end, in the same loop, and closes then. */
static struct {
	struct plait_watch watch;
	size_t got;
	bool eof;
	int err;
} reader;

static void read_more(struct plait_watch *w, unsigned events)
{
	static unsigned char buf[65536];
	ssize_t n = recv(wire.peer, buf, sizeof(buf), MSG_DONTWAIT);

	for (ssize_t i = 0; i < n; i++)
		ck_assert_uint_eq(buf[i], wire_byte(reader.got++));
	if (n > 0)
		return;
	reader.eof = n == 0;
	reader.err = n < 0 ? errno : 0;
	plait_watch_stop(w);
	shutdown(wire.peer, SHUT_WR);
}

static void start_reading(void *arg)
{
	ck_assert_int_eq(plait_watch_start(reactor, &reader.watch, wire.peer,
					   PLAIT_WATCH_READ, read_more),
			 0);
}

GROUP("closing", .setup = setup);

TEST(what_is_being_closed_is_sent_to_the_end, ON_EACH_BACKEND, TIMES(N_WAYS))
{
	set_stop_timeout(1000);
	ck_assert(wire_open(&wire, reactor));
	write_much(&wire);
	plait_transport_lose_connection(wire.transport);
	start_reading(NULL);
	stop_in(_i);
	ck_assert_uint_eq(reader.got, MUCH);
	ck_assert(reader.eof);
	ck_assert_str_eq(wire.why, "ConnectionDone");
	wire_close(&wire);
}

static void stop_when_lost(struct wire *w)
{
	call_stop(NULL);
	start_reading(NULL);
}

static bool was_lost(void *arg)
{
	return wire.lost > 0;
}

/* Its request is not read, so closing at once would reset it. */
TEST(what_lingers_is_given_its_time, ON_EACH_BACKEND, TIMES(N_WAYS))
{
	unsigned char *bytes = wire_bytes(SOME);

	set_stop_timeout(1000);
	wire.on_lost = _i == RUN ? stop_when_lost : NULL;
	ck_assert(wire_open(&wire, reactor));
	plait_transport_pause_reading(wire.transport);
	ck_assert(peer_send(reactor, wire.peer, bytes, 20000));
	plait_transport_write(wire.transport, bytes, SOME);
	plait_transport_lose_connection(wire.transport);
	free(bytes);
	if (_i == RUN) {
		ck_assert_int_eq(plait_reactor_run(reactor), 0);
	} else {
		run_until(reactor, was_lost, NULL);
		start_reading(NULL);
		stop_in(ITERATE);
	}
	ck_assert_str_eq(wire.why, "ConnectionDone");
	/* The reader may be behind: what it has not read is not reset. */
	while (!reader.eof && reader.err == 0)
		run_turns(reactor, 1);
	ck_assert_int_eq(reader.err, 0);
	ck_assert_uint_eq(reader.got, SOME);
	wire_close(&wire);
}

static void close_it(struct plait_promise **promise)
{
	plait_transport_lose_connection(wire.transport);
	plait_fire(promise, PLAIT_NONE);
}

static plait_value close_before(void *arg)
{
	static struct plait_promise *promise;
	struct plait_deferred *d = plait_deferred_new(&promise, NULL, NULL);

	close_it(&promise);
	return plait_chain(&d);
}

TEST(a_trigger_before_may_close_what_is_open, ON_EACH_BACKEND, TIMES(N_WAYS))
{
	set_stop_timeout(1000);
	ck_assert(wire_open(&wire, reactor));
	write_much(&wire);
	start_reading(NULL);
	plait_reactor_add_trigger(reactor, PLAIT_TRIGGER_BEFORE,
				  PLAIT_TRIGGER_SHUTDOWN, close_before, NULL,
				  NULL);
	stop_in(_i);
	ck_assert_uint_eq(reader.got, MUCH);
	ck_assert_str_eq(wire.why, "ConnectionDone");
	wire_close(&wire);
}

static void note_lost(struct wire *w)
{
	trace_add("lost@%d", elapsed());
}

GROUP("time", .setup = setup);

TEST(their_time_is_stop_timeout, ON_EACH_KERNEL, TIMES(3))
{
	static const struct {
		double limit;
		const char *trace;
	} cases[] = {
		{ 0, "lost@5 during@5" },
		{ 2, "lost@2 during@2" },
		{ INFINITY, "lost@30 during@30" }, /* by close_timeout */
	};

	open_stuck();
	set_stop_timeout(cases[_i].limit);
	wire.on_lost = note_lost;
	stop_in(RUN);
	assert_trace(cases[_i].trace);
	ck_assert_ptr_nonnull(strstr(
		wire.why, _i < 2 ? "ConnectionLost: the reactor was shut down"
				 : "ConnectionAborted: closing made no "));
	ck_assert_int_eq(peer_read(NULL, wire.peer, NULL, MUCH), -ECONNRESET);
	wire_hang_up(&wire);
}

TEST(stop_now_cuts_it_short, ON_EACH_KERNEL)
{
	open_stuck();
	wire.on_lost = note_lost;
	plait_call_later(reactor, 2, stop_now, NULL);
	stop_in(RUN);
	assert_trace("lost@2 during@2");
	wire_hang_up(&wire);
}

/* From a loop of the program's own, between two turns. */
TEST(stop_now_alone_is_a_stop, ON_EACH_KERNEL)
{
	plait_call_when_running(reactor, stop_now, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
}

TEST(stop_now_may_come_from_outside, ON_EACH_KERNEL)
{
	open_stuck();
	wire.on_lost = note_lost;
	plait_call_later(reactor, 0, call_stop, NULL);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(plait_reactor_iterate(reactor, 1), 0);
	stop_now(NULL);
	ck_assert_int_eq(plait_reactor_stop_now(reactor), -EALREADY);
	ck_assert_uint_eq(wire.lost, 0);
	ck_assert_int_eq(plait_reactor_iterate(reactor, 1), 0);
	assert_trace("lost@1");
	ck_assert_int_eq(plait_reactor_stop_now(reactor), -EALREADY);
	wire_hang_up(&wire);
}

static void raise_sigterm(void *arg)
{
	raise(SIGTERM);
}

TEST(a_second_signal_cuts_it_short, ON_EACH_KERNEL)
{
	signal(SIGTERM, SIG_DFL);
	open_stuck();
	wire.on_lost = note_lost;
	plait_call_later(reactor, 0, raise_sigterm, NULL);
	plait_call_later(reactor, 0.09, raise_sigterm, NULL);
	plait_call_later(reactor, 3, raise_sigterm, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	assert_trace("lost@3");
	wire_hang_up(&wire);
}

static void stop_again(void *arg)
{
	ck_assert(!plait_reactor_is_running(reactor));
	ck_assert_int_eq(plait_reactor_stop(reactor), -EALREADY);
	trace_add("again@%d", elapsed());
}

TEST(stopping_again_changes_nothing, ON_EACH_KERNEL)
{
	open_stuck();
	wire.on_lost = note_lost;
	plait_call_later(reactor, 1, stop_again, NULL);
	stop_in(RUN);
	assert_trace("again@1 lost@5 during@5");
	wire_hang_up(&wire);
}

/* Everybody who is not closing. */
static struct wire open_one;
static struct actor actor, client;
static struct plait_port *port;
static unsigned number;

static void note_other(struct wire *w)
{
	trace_add("other@%d", elapsed());
}

static void note_failed(struct actor *a)
{
	trace_add("failed@%d", elapsed());
	ck_assert_ptr_eq(a->kind, &plait_error_connection_lost);
}

static void note_stopped(struct actor *a)
{
	trace_add("stopped@%d", elapsed());
}

/* A new turn begins before the shutdown looks at what there is to lose. */
static void connect_from_event(struct plait_watch *w, unsigned events)
{
	plait_watch_stop(w);
	actor_connect(&client, reactor, number);
}

/* Nothing new gets anywhere. */
static void try_to_begin(void *arg)
{
	struct plait_port *none = NULL;

	trace_add("try@%d", elapsed());
	ck_assert_int_eq(plait_listen_tcp(reactor, 0, &actor.base, NULL, &none),
			 -ESHUTDOWN);
	ck_assert_ptr_null(none);
	calls_reset();
	plait_watch_start(reactor, &reader.watch, wire.peer, PLAIT_WATCH_READ,
			  connect_from_event);
}

TEST(all_others_are_lost_at_once_and_nobody_comes_in, ON_EACH_BACKEND)
{
	uint16_t full;
	int listener = peer_listen(&full, 0), waiting = peer_connect(full);

	open_stuck();
	open_one = (struct wire){ .on_lost = note_other };
	ck_assert(wire_open(&open_one, reactor));
	wire.on_lost = note_lost;
	actor_init(&actor);
	actor_init(&client);
	client.on_failed = note_failed;
	actor.on_stop = note_stopped;
	number = actor_listen(&actor, reactor, &port);
	actor_connect(&client, reactor, full);
	run_turns(reactor, 2);
	plait_call_later(reactor, 2, try_to_begin, NULL);
	stop_in(RUN);
	assert_trace("other@0 stopped@0 failed@0 try@2 "
		     "failed@2 "
		     "lost@5 during@5");
	ck_assert_uint_eq(calls_of("connect"),
			  0); /* the wires' are the test's */
	ck_assert_uint_eq(actor.starts, 1);
	close(waiting);
	close(listener);
	wire_hang_up(&open_one);
	wire_hang_up(&wire);
}

TEST(it_may_run_again_afterwards, ON_EACH_KERNEL)
{
	for (int i = 0; i < 2; i++) {
		setup();
		open_stuck();
		wire.on_lost = note_lost;
		plait_call_later(reactor, 0, call_stop, NULL);
		ck_assert_int_eq(plait_reactor_run(reactor), 0);
		assert_trace("lost@5");
		wire_hang_up(&wire);
	}
}

/* With epoll in both forms: if the exact one fails, the other is tried. */
static void break_waiting(void *arg)
{
	if (strcmp(backend, "epoll") == 0) {
		fault_call("epoll_pwait2", 1, EINVAL);
		fault_call("epoll_wait", 1, EINVAL);
	} else {
		fault_call("select", 1, EINVAL);
	}
}

/* What it had not lost is a connection as it was before. */
TEST(a_run_that_breaks_down_meanwhile_loses_nobody, ON_EACH_BACKEND)
{
	open_stuck();
	wire.on_lost = note_lost;
	plait_call_later(reactor, 0, call_stop, NULL);
	plait_call_later(reactor, 1, break_waiting, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), -EINVAL);
	ck_assert_uint_eq(wire.lost, 0);
	ck_assert_int_eq(plait_reactor_iterate(reactor, 10), 0);
	ck_assert_double_eq_tol(wait_timeout(), 10, 1e-3);
	plait_call_later(reactor, 2, call_stop, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	assert_trace("lost@18");
	wire_hang_up(&wire);
}

GROUP("free", .setup = setup);

STORY(it_may_be_freed_meanwhile,
      "virtual; open; write 8M bytes; lose; iterate-and-stop; lost 0;"
      "free-reactor; lost 1; done 1");

/*
 * Freed, it waits for nobody; but what the kernel has is sent, whatever the
 * peer has said before.
 */
#define ONLY_READS                                                             \
	"virtual; open; pause; peer sends 20000 bytes; write 300000 bytes; "
#define FREED                                                                  \
	"peer says more; free-reactor; lost 1; peer gets 300000 bytes, end;"

/* Of the simulated kernel the buffers hold less. */
STORY_ON(freed_it_does_not_reset_who_only_reads, ON_EACH_BACKEND,
	 ONLY_READS "lose; " FREED "why ConnectionDone",
	 ONLY_READS "lose; until lost 1; " FREED "why ConnectionDone",
	 ONLY_READS FREED "why ConnectionLost: the reactor was shut down");

/* A peer that sends without end does not hold the end. */
STORY(freed_it_reads_no_more_than_linger_bytes,
      "limit linger_bytes 1; open; pause; peer says a; write a; turn;"
      "short recv 1 forever; count; peer says bcdef; free-reactor;"
      "calls shutdown 1; calls recv 1");

STORY(freed_it_survives_a_peer_that_is_gone,
      "open; write a; turn; fail recv EINTR 2; fail recv ECONNRESET;"
      "free-reactor; lost 1",
      "open; write a; turn; fail recv EINTR 2; fail recv EAGAIN;"
      "free-reactor; lost 1",
      "open; write a; turn; fail recv EINTR 2; fail recv EAGAIN;"
      "fail shutdown ENOTCONN; free-reactor; lost 1");

/* It is broken as well: what has come is delivered before that is told. */
#define LAST_WORDS(end)                                                        \
	"D { pause } open; peer says last words; write x; fail send "          \
	"EPIPE;" end "; text last words; lost 1; errno EPIPE"

STORY(whoever_pauses_at_the_end_is_told_all_the_same,
      LAST_WORDS("free-reactor"), LAST_WORDS("run-and-stop"),
      LAST_WORDS("iterate-and-stop"));

static struct wire other;

static void write_to_other(struct wire *w)
{
	unsigned char *bytes = wire_bytes(MUCH);

	plait_transport_write(other.transport, bytes, MUCH);
	free(bytes);
}

static void write_little_to_other(struct wire *w)
{
	plait_transport_write(other.transport, "x", 1);
}

static unsigned stops;

static void nothing(struct plait_producer *p)
{
}

static void note_stop(struct plait_producer *p)
{
	stops++;
}

static const struct plait_producer_ops producer_ops = {
	.name = "test", .pause = nothing, .resume = nothing, .stop = note_stop
};
static struct plait_producer producer = { .ops = &producer_ops };

static void produce_for_other(struct wire *w)
{
	ck_assert_int_eq(plait_transport_register_producer(other.transport,
							   &producer, true),
			 0);
}

static void (*const late_things[])(struct wire *w) = {
	write_to_other,
	write_little_to_other,
	produce_for_other,
};

enum { N_LATE = sizeof(late_things) / sizeof(late_things[0]) };

/* It has nothing left to be sent, when the reactor is freed. */
TEST(what_closes_when_it_is_freed_takes_no_more, ON_EACH_KERNEL, TIMES(N_LATE))
{
	wire.on_lost = late_things[_i];
	ck_assert(wire_open(&wire, reactor));
	ck_assert(wire_open(&other, reactor));
	plait_transport_lose_connection(other.transport);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(wire.lost, 1);
	ck_assert_uint_eq(other.lost, 1);
	ck_assert_str_eq(other.why, "ConnectionDone");
	ck_assert_uint_eq(stops, late_things[_i] == produce_for_other);
	wire_hang_up(&wire);
	wire_hang_up(&other);
}

/*
 * The testing reactor does the same with what its transports have not been
 * able to send.
 */
static struct plait_transport *fake;

static void open_fake(void)
{
	actor_init(&actor);
	fake = plait_testing_connect(reactor, &actor.base);
	plait_testing_set_window(fake, 0);
	plait_transport_write(fake, "last words", 10);
	plait_transport_lose_connection(fake);
	began = plait_reactor_seconds(reactor);
}

static void note_fake_lost(struct actor *a, struct plait_protocol *p)
{
	trace_add("lost@%d", elapsed());
}

static void open_window(void *arg)
{
	plait_testing_set_window(fake, SIZE_MAX);
}

GROUP("testing");

TEST(on_the_testing_reactor_it_is_the_same, PURE, TIMES(4))
{
	static const char *const traces[] = { "lost@5 during@5",
					      "lost@1 during@1",
					      "lost@2 during@2", "during@0" };

	timed_start();
	open_fake();
	actor.on_lost = note_fake_lost;
	if (_i == 1)
		plait_call_later(reactor, 1, open_window, NULL);
	else if (_i == 2)
		plait_call_later(reactor, 2, stop_now, NULL);
	else if (_i == 3)
		plait_transport_abort_connection(fake);
	stop_in(RUN);
	if (_i < 3)
		assert_trace(traces[_i]);
	ck_assert_ptr_eq(actor.lost_kind,
			 _i == 1   ? &plait_error_connection_done
			 : _i == 3 ? &plait_error_connection_aborted
				   : &plait_error_connection_lost);
}

static plait_value wait_for_ever(void *arg)
{
	static struct plait_promise *promise;
	struct plait_deferred *d = plait_deferred_new(&promise, NULL, NULL);

	*(struct plait_promise ***)arg = &promise;
	return plait_chain(&d);
}

/* Advancing goes on until nothing is left to be done, of a shutdown too. */
TEST(on_the_testing_reactor_it_advances_to_the_end, PURE, TIMES(3))
{
	struct plait_promise **waiting = NULL;

	timed_start();
	open_fake();
	if (_i == 0)
		plait_reactor_add_trigger(reactor, PLAIT_TRIGGER_BEFORE,
					  PLAIT_TRIGGER_SHUTDOWN, wait_for_ever,
					  &waiting, NULL);
	plait_call_later(reactor, 0, call_stop, NULL);
	plait_testing_advance(reactor, 0);
	ck_assert_uint_eq(actor.lost, 0);
	if (_i == 2)
		plait_testing_connect(reactor, &actor.base);
	else
		stop_now(NULL);
	plait_testing_advance(reactor, 0);
	ck_assert_uint_eq(actor.lost, 1);
	if (waiting != NULL)
		plait_promise_drop(waiting);
}

TEST(on_the_testing_reactor_what_is_sent_when_it_is_freed_is_done, PURE)
{
	timed_start();
	open_fake();
	open_window(NULL);
	plait_reactor_free(&reactor);
	ck_assert_ptr_eq(actor.lost_kind, &plait_error_connection_done);
}

static struct plait_transport *late;

static void do_late_thing(struct actor *a, struct plait_protocol *p)
{
	if (actor.lost > 1)
		return;
	if (*(int *)a->arg == 0)
		plait_transport_write(late, "more", 4);
	else
		plait_transport_register_producer(late, &producer, true);
}

TEST(on_the_testing_reactor_it_takes_no_more_either, PURE, TIMES(2))
{
	timed_start();
	actor_init(&actor);
	actor.on_lost = do_late_thing;
	actor.arg = &_i;
	plait_testing_connect(reactor, &actor.base);
	late = plait_testing_connect(reactor, &actor.base);
	plait_testing_set_window(late, 0);
	plait_transport_lose_connection(late);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(actor.lost, 2);
	ck_assert_uint_eq(stops, _i);
	ck_assert_ptr_eq(actor.lost_kind, &plait_error_connection_done);
}

TEST(on_the_testing_reactor_a_paused_reader_is_told_as_well, PURE)
{
	plait_value v = plait_fail(&plait_error_connection_lost, "test");

	timed_start();
	actor_init(&actor);
	fake = plait_testing_connect(reactor, &actor.base);
	plait_transport_pause_reading(fake);
	plait_testing_deliver(fake, "unread", 6);
	plait_testing_lose(fake, plait_value_failure(&v));
	ck_assert_uint_eq(actor.lost, 0);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(actor.lost, 1);
	ck_assert_str_eq(actor.lost_why, "ConnectionLost: test");
	plait_value_free(&v);
}

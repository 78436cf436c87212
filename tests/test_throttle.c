/*
 * Throttling: what passes at which time, exactly; who gets how much; that
 * nothing else changes; and how little it takes.
 */
#include <math.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <plait/testing.h>

#include "tests/actor.h"

enum { MAX_CONNECTIONS = 1000 };

static struct actor server;
static struct plait_bucket in, out;
static struct plait_throttled_factory throttled;
static struct plait_transport *peers[MAX_CONNECTIONS];
static const char bytes[1000000];

/* A factory with these buckets in front of the server. */
static struct plait_factory *throttle(struct plait_bucket *for_input,
				      struct plait_bucket *for_output)
{
	actor_init(&server);
	throttled = (struct plait_throttled_factory){ .in = for_input,
						      .out = for_output };
	plait_throttled_factory_init(&throttled, &server.base);
	return &throttled.base.base;
}

static void begin(size_t rate, size_t burst)
{
	in = out = (struct plait_bucket){ .rate = rate, .burst = burst };
	throttle(&in, &out);
	reactor = plait_testing_reactor_new();
}

static struct plait_transport *connect_one(unsigned i)
{
	peers[i] = plait_testing_connect(reactor, &throttled.base.base);
	return server.transport;
}

static size_t sent(unsigned i)
{
	return plait_buf_size(plait_testing_written(peers[i]));
}

/* Time passes, a tick at a time, so that none is late. */
static void pass(double seconds)
{
	double end = plait_reactor_seconds(reactor) + seconds;

	plait_testing_advance(reactor, 0);
	while (plait_reactor_seconds(reactor) < end - 1e-9)
		plait_testing_advance(reactor, .1);
}

/* ---- at which time ------------------------------------------------------ */

/*
 * So many bytes are there to pass at 0 s; what has passed at 0 s, .1 s, .2 s,
 * and so on.
 */
static const struct {
	size_t rate, burst, bytes;
	size_t passed[8];
} times[] = {
	{ 1000, 100, 500, { 100, 200, 300, 400, 500, 500, 500, 500 } },
	{ 1000, 0, 500, { 500, 500, 500, 500, 500, 500, 500, 500 } },
	{ 1000,
	  1000,
	  1350,
	  { 1000, 1100, 1200, 1300, 1350, 1350, 1350, 1350 } },
	{ 1000, 100, 100, { 100, 100, 100, 100, 100, 100, 100, 100 } },
	{ 1000, 100, 101, { 100, 101, 101, 101, 101, 101, 101, 101 } },
	{ 5, 1, 4, { 1, 1, 2, 2, 3, 3, 4, 4 } },
	{ 15, 3, 20, { 3, 4, 6, 7, 9, 10, 12, 13 } },
	{ 0, 0, 3, { 1, 1, 1, 1, 1, 1, 1, 1 } },
	{ 1000, 50, 300, { 50, 100, 150, 200, 250, 300, 300, 300 } },
	{ 16000000000,
	  1000000,
	  100000,
	  { 100000, 100000, 100000, 100000, 100000, 100000, 100000, 100000 } },
	{ SIZE_MAX,
	  SIZE_MAX,
	  100000,
	  { 100000, 100000, 100000, 100000, 100000, 100000, 100000, 100000 } },
};

GROUP("time");

TEST(output_passes_at_its_time, PURE, EACH_OF(times))
{
	begin(times[_i].rate, times[_i].burst);
	plait_transport_write(connect_one(0), bytes, times[_i].bytes);
	plait_testing_advance(reactor, 0);
	for (int i = 0; i < 8; i++) {
		ck_assert_uint_eq(sent(0), times[_i].passed[i]);
		ck_assert_uint_eq(out.passed, times[_i].passed[i]);
		ck_assert_uint_eq(plait_transport_unsent(server.transport),
				  times[_i].bytes - times[_i].passed[i]);
		plait_testing_advance(reactor, .1);
	}
	plait_reactor_free(&reactor);
}

TEST(input_passes_at_its_time, PURE, EACH_OF(times))
{
	begin(times[_i].rate, times[_i].burst);
	connect_one(0);
	plait_testing_deliver(peers[0], bytes, times[_i].bytes);
	for (int i = 0; i < 8; i++) {
		ck_assert_uint_eq(server.received, times[_i].passed[i]);
		ck_assert_uint_eq(in.passed, times[_i].passed[i]);
		plait_testing_advance(reactor, .1);
	}
	plait_reactor_free(&reactor);
}

/* A large buffer is queued as it is, so what follows it is another piece. */
TEST(output_in_several_pieces_passes_in_order, PURE)
{
	struct plait_buf *b = plait_buf_copy(bytes, 1000);
	const char *written;

	begin(2000, 2000);
	connect_one(0);
	plait_transport_write_buf(server.transport, b);
	plait_transport_write(server.transport, "poem", 4);
	pass(.1);
	ck_assert_uint_eq(sent(0), 1004);
	written = plait_buf_data(plait_testing_written(peers[0]));
	ck_assert_mem_eq(written, bytes, 1000);
	ck_assert_mem_eq(written + 1000, "poem", 4);
	plait_buf_unref(&b);
	plait_reactor_free(&reactor);
}

static uint32_t state;

static unsigned chance(unsigned n)
{
	state = state * 1664525 + 1013904223;
	return (state >> 8) % n;
}

/* What random writers have asked for, and what has passed at each moment. */
enum { MOMENTS = 2000 };

static struct {
	double at[MOMENTS];
	uint64_t passed[MOMENTS];
} history;

/* In any stretch of time no more than rate x t + burst; the end is whole. */
static void check_history(unsigned n, size_t rate, size_t burst)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned j = chance(i + 1);
		double seconds = history.at[i] - history.at[j];
		uint64_t passed = history.passed[i] - history.passed[j];

		ck_assert_uint_le(
			passed,
			(uint64_t)floor(seconds * (double)rate + 1e-6) + burst);
	}
}

TEST(never_more_than_rate_and_burst_in_any_stretch_of_time, PURE, TIMES(30))
{
	size_t rate, burst, written = 0;
	struct plait_transport *t[8];

	state = (uint32_t)_i + 1;
	rate = 10 + chance(_i % 2 ? 100 : 100000);
	burst = rate / 10 + 1 + chance((unsigned)rate);
	begin(rate, burst);
	for (unsigned i = 0; i < 8; i++)
		t[i] = connect_one(i);
	for (unsigned i = 0; i < MOMENTS; i++) {
		size_t n = chance((unsigned)rate / 4 + 2);

		if (chance(3) == 0) {
			plait_transport_write(t[chance(8)], bytes, n);
			written += n;
		}
		plait_testing_advance(reactor, chance(100) * .001);
		history.at[i] = plait_reactor_seconds(reactor);
		history.passed[i] = out.passed;
		ck_assert_uint_le(out.passed, written);
	}
	check_history(MOMENTS, rate, burst);
	/* All that was asked for passes as soon as it may. */
	pass((double)written / (double)rate + .3);
	ck_assert_uint_eq(out.passed, written);
	plait_reactor_free(&reactor);
}

/*
 * One bucket as simply as can be: what waits in it is one number, and it is
 * looked at when something comes, and in intervals while something waits.
 */
struct model {
	uint64_t rate, burst, room, waits, passed; /* room in 1e-9 bytes */
	int64_t now, tick;			   /* ns; tick 0: none */
};

static const uint64_t byte = 1000000000;

static void model_pass(struct model *m)
{
	uint64_t n = m->room / byte < m->waits ? m->room / byte : m->waits;
	int64_t next;

	m->room -= n * byte;
	m->passed += n;
	m->waits -= n;
	next = (int64_t)((byte - m->room % byte + m->rate - 1) / m->rate);
	m->tick = m->waits == 0
			  ? 0
			  : m->now + (next > 100000000 ? next : 100000000);
}

static void model_time(struct model *m, int64_t ns)
{
	m->now += ns;
	m->room += (uint64_t)ns * m->rate;
	if (m->room > m->burst * byte)
		m->room = m->burst * byte;
	if (m->tick != 0 && m->tick <= m->now)
		model_pass(m);
}

static void model_write(struct model *m, uint64_t n)
{
	m->waits += n;
	if (m->tick == 0)
		model_pass(m);
}

TEST(random_writers_pass_what_a_model_says, PURE, TIMES(40))
{
	struct model m = { .rate = 1 };
	struct plait_transport *t[8];
	unsigned n, ms;

	state = (uint32_t)_i + 1;
	m.rate += chance(_i % 2 ? 60 : 100000);
	m.burst = m.rate / 10 + 1 + chance((unsigned)m.rate);
	m.room = m.burst * byte;
	begin(m.rate, m.burst);
	for (unsigned i = 0; i < 8; i++)
		t[i] = connect_one(i);
	for (unsigned i = 0; i < MOMENTS; i++) {
		n = 1 + chance((unsigned)m.rate / 8 + 2);
		ms = chance(100);
		if (chance(3) == 0) {
			plait_transport_write(t[chance(8)], bytes, n);
			plait_testing_advance(reactor, 0);
			model_write(&m, n);
		}
		plait_testing_advance(reactor, ms * .001);
		model_time(&m, (int64_t)ms * 1000000);
		ck_assert_uint_eq(out.passed, m.passed);
		ck_assert_uint_eq(plait_timer_is_running(&out.timer),
				  m.tick != 0);
	}
	plait_reactor_free(&reactor);
}

/* A single one that is always busy gets exactly what there is. */
TEST(busy_one_gets_all_that_the_rate_allows, PURE, TIMES(20))
{
	size_t rate, burst;

	state = (uint32_t)_i + 1;
	rate = 1 + chance(30000);
	burst = rate / 10 + 1 + chance(3000);
	begin(rate, burst);
	plait_transport_write(connect_one(0), bytes, sizeof(bytes));
	plait_testing_advance(reactor, 0);
	for (unsigned i = 0; i <= 100; i++) {
		if (rate >= 10)
			ck_assert_uint_eq(sent(0), burst + rate * i / 10);
		else
			ck_assert_uint_le(sent(0), burst + rate * i / 10);
		plait_testing_advance(reactor, .1);
	}
	plait_reactor_free(&reactor);
}

TEST(bucket_that_nobody_used_for_years_holds_its_burst, PURE)
{
	begin(1000000, 5000);
	plait_transport_write(connect_one(0), bytes, 6000);
	pass(1);
	plait_testing_advance(reactor, 1e9);
	plait_testing_clear(peers[0]);
	plait_transport_write(server.transport, bytes, 6000);
	plait_testing_advance(reactor, 0);
	ck_assert_uint_eq(sent(0), 5000);
	plait_reactor_free(&reactor);
}

TEST(rate_and_burst_may_be_changed_on_the_way, PURE)
{
	begin(1000, 100);
	plait_transport_write(connect_one(0), bytes, 100000);
	pass(1);
	ck_assert_uint_eq(sent(0), 1100);
	out.rate = 5000;
	out.burst = 1000;
	pass(1);
	ck_assert_uint_eq(sent(0), 6100);
	out.rate = 10;
	out.burst = 1;
	pass(1);
	ck_assert_uint_le(sent(0), 6111);
	plait_reactor_free(&reactor);
}

TEST(bucket_goes_on_with_the_next_reactor, PURE)
{
	for (int i = 0; i < 3; i++) {
		if (i == 0)
			begin(1000, 100);
		else
			reactor = plait_testing_reactor_new();
		plait_transport_write(connect_one(0), bytes, 300);
		plait_testing_advance(reactor, 0);
		ck_assert_uint_eq(sent(0), 100);
		pass(.1 + i);
		plait_reactor_free(&reactor);
	}
}

static void three_write(void)
{
	for (unsigned i = 0; i < 3; i++)
		plait_transport_write(connect_one(i), bytes, 300);
	plait_testing_advance(reactor, 0);
}

TEST(bucket_of_two_reactors_at_a_time_aborts, PURE, ABORTS)
{
	begin(1000, 100);
	three_write();
	reactor = plait_testing_reactor_new();
	three_write();
}

/* Those who wait are the parent's, and are forgotten before they are freed. */
static int throttle_in_child(struct plait_reactor *parents)
{
	reactor = plait_testing_reactor_new();
	three_write();
	if (sent(0) + sent(1) + sent(2) != 100)
		return 1;
	plait_reactor_free(&parents);
	pass(.1);
	if (sent(0) + sent(1) + sent(2) != 200)
		return 2;
	plait_reactor_free(&reactor);
	return out.n_waiting == 0 ? 0 : 3;
}

TEST(bucket_begins_anew_in_a_forked_child, PURE)
{
	int status;
	pid_t pid;

	begin(1000, 100);
	three_write();
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(throttle_in_child(reactor));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	plait_reactor_free(&reactor);
}

/* ---- who gets how much -------------------------------------------------- */

GROUP("sharing");

TEST(those_who_are_busy_get_the_same, PURE, TIMES(3))
{
	static const unsigned ns[] = { 2, 7, 100 };
	unsigned n = ns[_i];

	begin(100000, 10000);
	for (unsigned i = 0; i < n; i++)
		plait_transport_write(connect_one(i), bytes, 1000000);
	for (int i = 0; i < 100; i++) {
		size_t least = SIZE_MAX, most = 0;

		plait_testing_advance(reactor, .1);
		for (unsigned j = 1; j < n; j++) {
			least = sent(j) < least ? sent(j) : least;
			most = sent(j) > most ? sent(j) : most;
		}
		/* A share, of a tick or the least one. */
		ck_assert_uint_le(most - least,
				  10000 / n > 512 ? 10000 / n : 512);
	}
	ck_assert_uint_eq(out.passed, 10000 + 100 * 10000);
	plait_reactor_free(&reactor);
}

TEST(who_wants_little_does_not_wait_for_who_wants_much, PURE)
{
	begin(10000, 1000);
	plait_transport_write(connect_one(0), bytes, 100000);
	plait_testing_advance(reactor, 0);
	plait_transport_write(connect_one(1), bytes, 100);
	pass(.1);
	ck_assert_uint_eq(sent(1), 100);
	ck_assert_uint_eq(sent(0), 1900);
	plait_reactor_free(&reactor);
}

TEST(one_bucket_serves_both_directions_and_several_factories, PURE)
{
	struct plait_bucket both = { .rate = 1000, .burst = 100 };
	struct plait_throttled_factory other = { .in = &both };
	struct actor second;

	throttle(&both, &both);
	actor_init(&second);
	plait_throttled_factory_init(&other, &second.base);
	reactor = plait_testing_reactor_new();
	plait_transport_write(connect_one(0), bytes, 20000);
	plait_testing_deliver(peers[0], bytes, 20000);
	peers[1] = plait_testing_connect(reactor, &other.base.base);
	plait_testing_deliver(peers[1], bytes, 20000);
	pass(30);
	ck_assert_uint_eq(both.passed, 30100);
	ck_assert_uint_eq(sent(0) + server.received + second.received, 30100);
	ck_assert_uint_ge(second.received, 9000);
	ck_assert_uint_ge(server.received, 9000);
	plait_reactor_free(&reactor);
}

TEST(without_a_bucket_everything_passes, PURE, TIMES(3))
{
	begin(1, 1);
	throttle(_i == 1 ? &in : NULL, _i == 2 ? &out : NULL);
	connect_one(0);
	plait_transport_write(server.transport, bytes, 100000);
	plait_testing_deliver(peers[0], bytes, 100000);
	plait_testing_advance(reactor, 0);
	ck_assert_uint_eq(sent(0), _i == 2 ? 1 : 100000);
	ck_assert_uint_eq(server.received, _i == 1 ? 1 : 100000);
	plait_reactor_free(&reactor);
}

/* ---- what it takes ------------------------------------------------------ */

GROUP("cost", .timeout = 60 * test_mult());

TEST(thousand_connections_wake_a_bucket_ten_times_a_second, PURE)
{
	unsigned wakeups = 0;
	uint64_t passed;

	begin(1000000, 100000);
	for (unsigned i = 0; i < MAX_CONNECTIONS; i++)
		plait_transport_write(connect_one(i), bytes, 20000);
	plait_testing_advance(reactor, 0);
	for (int ms = 0; ms < 10000; ms++) {
		passed = out.passed;
		plait_testing_advance(reactor, .001);
		wakeups += out.passed != passed;
	}
	ck_assert_uint_le(wakeups, 100);
	ck_assert_uint_eq(out.passed, 100000 + 10 * 1000000);
	plait_reactor_free(&reactor);
}

static void write_much(struct actor *a, struct plait_protocol *p)
{
	plait_transport_write(p->transport, bytes, 100000);
}

/* The loop itself sleeps in between: each wakeup is a wait that has ended. */
TEST(loop_sleeps_between_the_wakeups_of_a_bucket, ON_EACH_BACKEND)
{
	struct plait_port *port;
	const char *wait = strcmp(backend, "epoll") ? "select" : "epoll_wait";
	struct plait_address a;
	int fds[20];

	out = (struct plait_bucket){ .rate = 10000, .burst = 1000 };
	plait_listen_tcp(reactor, 0, throttle(NULL, &out), NULL, &port);
	server.on_made = write_much;
	plait_port_host(port, &a);
	for (int i = 0; i < 20; i++)
		fds[i] = peer_connect((uint16_t)plait_address_port(&a));
	run_until_count(reactor, &server.made, 20);
	run_for(reactor, 1);
	calls_reset();
	run_for(reactor, 10);
	ck_assert_uint_le(calls_of(wait), 102);
	ck_assert_uint_ge(out.passed, 100000);
	for (int i = 0; i < 20; i++)
		close(fds[i]);
	plait_reactor_free(&reactor);
}

TEST(bucket_that_nobody_waits_for_does_not_wake, PURE)
{
	begin(1000, 100);
	plait_transport_write(connect_one(0), bytes, 250);
	pass(1);
	ck_assert_uint_eq(sent(0), 250);
	ck_assert(!plait_timer_is_running(&out.timer));
	plait_transport_write(server.transport, bytes, 250);
	plait_testing_advance(reactor, 0);
	ck_assert(plait_timer_is_running(&out.timer));
	plait_transport_abort_connection(server.transport);
	plait_testing_advance(reactor, 0);
	ck_assert(!plait_timer_is_running(&out.timer));
	plait_reactor_free(&reactor);
}

/* ---- what else happens meanwhile ---------------------------------------- */

static void end_peer(unsigned i, bool reset)
{
	plait_value why = plait_fail(&plait_error_connection_lost, "reset");

	if (reset)
		plait_testing_lose(peers[i], plait_value_failure(&why));
	else
		plait_testing_deliver_eof(peers[i]);
	plait_value_free(&why);
	plait_testing_advance(reactor, 0);
}

GROUP("meanwhile");

TEST(closing_sends_everything_first_however_long_it_takes, PURE)
{
	begin(100, 10);
	plait_transport_write(connect_one(0), bytes, 20000);
	plait_transport_lose_connection(server.transport);
	pass(190);
	ck_assert_uint_eq(server.lost, 0);
	pass(11);
	ck_assert_uint_eq(server.lost, 1);
	ck_assert_ptr_eq(server.lost_kind, &plait_error_connection_done);
	ck_assert_uint_eq(sent(0), 20000);
	plait_reactor_free(&reactor);
}

TEST(closing_gives_up_a_peer_that_takes_nothing, PURE)
{
	begin(1000, 1000);
	connect_one(0);
	plait_testing_set_window(peers[0], 10);
	plait_transport_write(server.transport, bytes, 20000);
	plait_transport_lose_connection(server.transport);
	pass(62);
	ck_assert_uint_eq(server.lost, 1);
	ck_assert_ptr_eq(server.lost_kind, &plait_error_connection_aborted);
	plait_reactor_free(&reactor);
}

TEST(half_a_close_comes_behind_what_waits, PURE)
{
	begin(1000, 100);
	server.half_closeable = true;
	plait_transport_write(connect_one(0), bytes, 1000);
	plait_transport_lose_write_connection(server.transport);
	pass(.8);
	ck_assert_str_eq(server.trace, "SBM");
	pass(.2);
	ck_assert_str_eq(server.trace, "SBMW");
	ck_assert_uint_eq(sent(0), 1000);
	plait_reactor_free(&reactor);
}

TEST(end_of_input_comes_behind_what_is_held, PURE, TIMES(2))
{
	begin(1000, 100);
	server.half_closeable = _i;
	connect_one(0);
	plait_testing_deliver(peers[0], bytes, 1000);
	end_peer(0, false);
	pass(.8);
	ck_assert_str_eq(server.trace, "SBMD");
	pass(.3);
	ck_assert_uint_eq(server.received, 1000);
	ck_assert_str_eq(server.trace, _i ? "SBMDR" : "SBMDLX");
	plait_reactor_free(&reactor);
}

TEST(broken_one_is_told_after_what_is_held_or_linger_timeout, PURE, TIMES(2))
{
	begin(1000, 100);
	connect_one(0);
	plait_testing_deliver(peers[0], bytes, _i ? 100000 : 1000);
	end_peer(0, true);
	pass(.7);
	ck_assert_uint_eq(server.lost, 0);
	pass(5);
	ck_assert_uint_eq(server.lost, 1);
	ck_assert_ptr_eq(server.lost_kind, &plait_error_connection_lost);
	if (_i == 0)
		ck_assert_uint_eq(server.received, 1000);
	plait_reactor_free(&reactor);
}

TEST(paused_reader_gets_nothing_and_takes_nothing, PURE)
{
	begin(1000, 100);
	connect_one(0);
	plait_testing_deliver(peers[0], bytes, 1000);
	plait_transport_pause_reading(server.transport);
	pass(3);
	ck_assert_uint_eq(server.received, 100);
	ck_assert_uint_eq(in.passed, 100);
	ck_assert(!plait_timer_is_running(&in.timer));
	plait_transport_resume_reading(server.transport);
	plait_testing_advance(reactor, 0);
	ck_assert_uint_eq(server.received, 200);
	pass(.1);
	ck_assert_uint_eq(server.received, 300);
	pass(1);
	ck_assert_uint_eq(server.received, 1000);
	ck_assert(!plait_testing_is_paused(peers[0]));
	plait_reactor_free(&reactor);
}

TEST(peer_is_read_no_faster_than_the_bucket_allows, PURE)
{
	begin(1000, 100);
	connect_one(0);
	plait_testing_deliver(peers[0], bytes, 100);
	ck_assert(!plait_testing_is_paused(peers[0]));
	plait_testing_deliver(peers[0], bytes, 100);
	plait_testing_advance(reactor, 0);
	ck_assert(plait_testing_is_paused(peers[0]));
	pass(.2);
	ck_assert(!plait_testing_is_paused(peers[0]));
	plait_reactor_free(&reactor);
}

TEST(peer_that_takes_nothing_takes_nothing_from_the_bucket, PURE)
{
	begin(1000, 1000);
	connect_one(0);
	plait_testing_set_window(peers[0], 0);
	plait_transport_write(server.transport, bytes, 500);
	plait_testing_advance(reactor, 0);
	plait_transport_write(server.transport, bytes, 50000);
	pass(10);
	ck_assert_uint_eq(out.passed, 500);
	plait_transport_write(connect_one(1), bytes, 5000);
	pass(.1);
	ck_assert_uint_eq(sent(1), 1100);
	pass(10);
	plait_testing_set_window(peers[0], SIZE_MAX);
	pass(.1);
	ck_assert_uint_ge(sent(0), 1000);
	plait_reactor_free(&reactor);
}

TEST(what_who_is_lost_has_not_used_is_given_back, PURE, TIMES(4))
{
	struct plait_transport *t;

	begin(1000, 100);
	t = connect_one(0);
	connect_one(1);
	plait_transport_write(t, bytes, 1000);
	plait_testing_deliver(peers[0], bytes, 1000);
	plait_transport_write(server.transport, bytes, 10000);
	plait_testing_deliver(peers[1], bytes, 10000);
	pass(.5);
	if (_i == 0)
		plait_transport_abort_connection(t);
	else if (_i == 1)
		plait_transport_lose_connection(t);
	else
		end_peer(0, _i == 2);
	pass(3);
	ck_assert_uint_le(out.passed, 3600);
	ck_assert_uint_ge(out.passed, 3500);
	ck_assert_uint_eq(out.passed, sent(0) + sent(1));
	ck_assert_uint_eq(in.passed, server.received);
	plait_reactor_free(&reactor);
}

TEST(what_a_stuck_peer_cannot_use_goes_to_the_others, PURE)
{
	begin(1000, 1000);
	for (unsigned i = 0; i < 2; i++)
		plait_transport_write(connect_one(i), bytes, 100000);
	plait_testing_advance(reactor, 0);
	plait_testing_set_window(peers[0], 0);
	pass(5);
	ck_assert_uint_eq(out.passed, 1000 + 5000);
	ck_assert_uint_ge(sent(1), 4000);
	plait_reactor_free(&reactor);
}

static void lose_others(struct actor *a, struct plait_protocol *p,
			const void *data, size_t len)
{
	for (unsigned i = 0; i < 10; i++) {
		if (peers[i] != NULL && a->received > 2000)
			end_peer(i, true);
	}
}

TEST(others_may_be_lost_while_a_bucket_serves, PURE)
{
	begin(10000, 1000);
	for (unsigned i = 0; i < 10; i++)
		connect_one(i);
	for (unsigned i = 0; i < 10; i++)
		plait_testing_deliver(peers[i], bytes, 1000);
	server.on_data = lose_others;
	pass(10);
	ck_assert_uint_eq(server.lost, 10);
	plait_reactor_free(&reactor);
}

static void stop(void *arg)
{
	plait_reactor_stop(reactor);
}

TEST(disconnecting_a_connector_sends_everything_first, PURE)
{
	struct plait_connector *c;

	begin(1000, 100);
	c = plait_connect_tcp(reactor, "127.0.0.1", 1, &throttled.base.base,
			      NULL);
	peers[0] = plait_testing_complete(c);
	plait_transport_write(server.transport, bytes, 1000);
	plait_connector_disconnect(c);
	pass(2);
	ck_assert_uint_eq(sent(0), 1000);
	ck_assert_ptr_eq(server.lost_kind, &plait_error_connection_done);
	plait_reactor_free(&reactor);
}

TEST(stop_gives_what_is_being_closed_its_time, PURE, TIMES(2))
{
	begin(1000, 100);
	plait_transport_write(connect_one(0), bytes, _i ? 100000 : 3000);
	plait_transport_lose_connection(server.transport);
	plait_call_later(reactor, 1, stop, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_uint_eq(server.lost, 1);
	ck_assert_ptr_eq(server.lost_kind, _i ? &plait_error_connection_lost
					      : &plait_error_connection_done);
	ck_assert_uint_ge(sent(0), 3000);
	ck_assert_double_le(plait_reactor_seconds(reactor), 6.1);
	plait_reactor_free(&reactor);
}

TEST(without_memory_to_hold_the_connection_is_aborted, PURE, TIMES(8))
{
	begin(1000, 100);
	connect_one(0);
	fault_alloc_at((unsigned long)_i, true);
	plait_testing_deliver(peers[0], bytes, 1000);
	plait_testing_advance(reactor, .1);
	fault_alloc_off();
	pass(2);
	ck_assert(server.lost == 1 || server.received == 1000);
	if (_i == 0)
		ck_assert_uint_eq(server.lost, 1);
	plait_reactor_free(&reactor);
}

/* ---- on sockets --------------------------------------------------------- */

static void write_and_lose(struct actor *a, struct plait_protocol *p)
{
	plait_transport_write(p->transport, bytes, 100000);
	plait_transport_lose_connection(p->transport);
}

TEST(peer_that_did_not_get_all_before_the_stop_is_reset, ON_EACH_BACKEND,
     TIMES(2))
{
	const struct plait_listen_options o = { .iface = "127.0.0.1" };
	struct plait_port *port;
	struct plait_address a;
	int fd;

	out = (struct plait_bucket){ .rate = _i ? 1000 : 50000 };
	plait_listen_tcp(reactor, 0, throttle(NULL, &out), &o, &port);
	server.on_made = write_and_lose;
	plait_port_host(port, &a);
	fd = peer_connect((uint16_t)plait_address_port(&a));
	run_until_count(reactor, &server.made, 1);
	clock_virtual(true);
	plait_call_later(reactor, 1, stop, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_uint_eq(server.lost, 1);
	if (_i == 0)
		ck_assert_int_eq(peer_read_to_eof(NULL, fd, NULL, 200000),
				 100000);
	else
		ck_assert_int_eq(peer_read_to_eof(NULL, fd, NULL, 200000),
				 -ECONNRESET);
	close(fd);
}

static void echo(struct plait_reactor *r)
{
	const struct plait_listen_options o = { .iface = "127.0.0.1" };
	struct plait_port *port = NULL;
	struct plait_address a;
	char buf[3000];
	int fd = -1;

	in = (struct plait_bucket){ .rate = 5000, .burst = 1000 };
	out = (struct plait_bucket){ .rate = 3000, .burst = 500 };
	if (plait_listen_tcp(r, 0, throttle(&in, &out), &o, &port) == 0) {
		server.on_data = actor_echo;
		plait_port_host(port, &a);
		fd = peer_connect((uint16_t)plait_address_port(&a));
		peer_send(r, fd, bytes, sizeof(buf));
		shutdown(fd, SHUT_WR);
		run_until_count(r, &server.lost, 1);
		ck_assert(torture_faulty() || server.received == sizeof(buf));
		ck_assert(torture_faulty() ||
			  peer_read_to_eof(r, fd, buf, sizeof(buf)) ==
				  (ssize_t)sizeof(buf));
		close(fd);
	}
	actor_stop(r, &port);
	actor_wait_idle(&server, r);
	run_turns(r, 4);
	ck_assert_uint_eq(in.n_waiting + out.n_waiting, 0);
}

GROUP("torture", .timeout = 120 * test_mult());

TEST(throttled_ones_survive_any_refused_allocation, ON_EACH_BACKEND)
{
	torture(echo, backend);
}

TEST(throttled_ones_survive_any_failed_system_call, ON_EACH_BACKEND)
{
	torture_syscalls(echo, backend);
}

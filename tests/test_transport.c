/*
 * What a protocol sees of its transport: the order of the callbacks, that
 * what is written arrives, and what the other calls say; and protocols and
 * factories as objects.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include <plait/testing.h>

#include "reactor/net/protocol.h"
#include "reactor/net/transport.h"
#include "tests/wire.h"

/*
 * Protocols and factories.
 */
struct counted {
	struct plait_factory base;
	unsigned starts, stops, builds;
	bool refuses;
};

static struct counted *counted_of(struct plait_factory *f)
{
	return plait_self(f, struct counted);
}

static void count_start(struct plait_factory *f)
{
	counted_of(f)->starts++;
}

static void count_stop(struct plait_factory *f)
{
	counted_of(f)->stops++;
}

static const struct plait_protocol_ops bare_ops = { .name = "bare" };

static struct plait_protocol *count_build(struct plait_factory *f,
					  const struct plait_address *peer)
{
	counted_of(f)->builds++;
	ck_assert_uint_eq(plait_address_port(peer), 42);
	return counted_of(f)->refuses ? NULL : plait_protocol_new(&bare_ops);
}

static const struct plait_factory_ops count_ops = {
	.start = count_start,
	.stop = count_stop,
	.build_protocol = count_build,
};

GROUP("objects");

TEST(a_factory_starts_and_stops_once_for_all_its_users, PURE)
{
	struct counted c = { .base.ops = &count_ops };

	plait_factory_start(&c.base);
	plait_factory_start(&c.base);
	ck_assert_uint_eq(c.starts, 1);
	plait_factory_stop(&c.base);
	ck_assert_uint_eq(c.stops, 0);
	plait_factory_stop(&c.base);
	ck_assert_uint_eq(c.stops, 1);
	plait_factory_start(&c.base);
	ck_assert_uint_eq(c.starts, 2);
	plait_factory_stop(&c.base);
}

TEST(stopping_a_factory_that_nobody_uses_is_nothing, PURE)
{
	struct counted c = { .base.ops = &count_ops };

	plait_factory_stop(&c.base);
	ck_assert_uint_eq(c.stops, 0);
	plait_factory_start(&c.base);
	ck_assert_uint_eq(c.starts, 1);
	plait_factory_stop(&c.base);
	ck_assert_uint_eq(c.stops, 1);
}

TEST(a_factory_may_have_no_functions, PURE)
{
	static const struct plait_factory_ops empty;
	struct plait_factory bare = { .protocol = &bare_ops };
	struct plait_factory f = { .ops = &empty, .protocol = &bare_ops };
	struct plait_factory none = { .ops = NULL };
	struct plait_address peer = { .port = 42 };
	struct plait_protocol *p;

	plait_factory_start(&bare);
	plait_factory_stop(&bare);
	plait_factory_start(&f);
	plait_factory_stop(&f);
	p = plait_factory_build(&bare, &peer);
	ck_assert_ptr_eq(p->ops, &bare_ops);
	plait_protocol_free(&p);
	p = plait_factory_build(&f, &peer);
	ck_assert_ptr_eq(p->factory, &f);
	plait_protocol_free(&p);
	errno = ENOMEM;
	ck_assert_ptr_null(plait_factory_build(&none, &peer));
	ck_assert_int_ne(errno, ENOMEM);
}

TEST(a_built_protocol_knows_its_factory, PURE)
{
	struct counted c = { .base.ops = &count_ops };
	struct plait_address peer = { .port = 42 };
	struct plait_protocol *p = plait_factory_build(&c.base, &peer);

	ck_assert_ptr_eq(p->factory, &c.base);
	ck_assert_ptr_null(p->transport);
	ck_assert(!p->connected);
	plait_protocol_free(&p);
	ck_assert_uint_eq(c.builds, 1);
}

TEST(refusing_is_told_from_no_memory, PURE)
{
	struct counted c = { .base.ops = &count_ops, .refuses = true };
	struct plait_address peer = { .port = 42 };

	errno = ENOMEM;
	ck_assert_ptr_null(plait_factory_build(&c.base, &peer));
	ck_assert_int_ne(errno, ENOMEM);
	c.refuses = false;
	fault_alloc_at(0, false);
	ck_assert_ptr_null(plait_factory_build(&c.base, &peer));
	ck_assert_int_eq(errno, ENOMEM);
}

struct big {
	struct plait_protocol base;
	char room[1000];
	unsigned *done;
};

static void count_done(struct plait_protocol *p)
{
	++*plait_self(p, struct big)->done;
}

static const struct plait_protocol_ops big_ops = {
	.name = "big",
	.size = sizeof(struct big),
	.done = count_done,
};

TEST(a_protocol_is_as_big_as_its_table_says_and_zeroed, PURE)
{
	unsigned done = 0;
	struct plait_protocol *p = plait_protocol_new(&big_ops);
	struct big *b = plait_self(p, struct big);

	for (size_t i = 0; i < sizeof(b->room); i++)
		ck_assert_int_eq(b->room[i], 0);
	ck_assert_ptr_eq(p->ops, &big_ops);
	b->done = &done;
	plait_protocol_free(&p);
	ck_assert_ptr_null(p);
	ck_assert_uint_eq(done, 1);
	plait_protocol_free(&p);
	ck_assert_uint_eq(done, 1);
}

TEST(a_protocol_smaller_than_its_base_is_a_mistake, PURE, ABORTS)
{
	static const struct plait_protocol_ops ops = { .size = 1 };

	plait_protocol_new(&ops);
}

/* There is no value to be returned by mistake: the type sees to that. */
TEST(data_received_returns_nothing, PURE)
{
	struct plait_protocol_ops ops = { .name = "typed" };

	ck_assert(_Generic(ops.data_received, void (*)(struct plait_protocol *,
						       const void *, size_t)
			   : true, default
			   : false));
}

/*
 * The order of things.
 */
static void echo(struct wire *w, const void *data, size_t len)
{
	plait_transport_write(w->transport, data, len);
}

GROUP("order");

TEST(made_then_data_then_lost_and_nothing_after, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = echo };
	char text[8];

	ck_assert(wire_open(&w, reactor));
	ck_assert_str_eq(w.trace, "M");
	peer_say(w.peer, "hello");
	ck_assert_int_eq(peer_read(reactor, w.peer, text, 5), 5);
	ck_assert_mem_eq(text, "hello", 5);
	wire_close(&w);
	ck_assert_str_eq(w.trace, "MDL");
	ck_assert_str_eq(w.why, "ConnectionDone");
}

TEST(data_comes_before_the_end, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	peer_say(w.peer, "last words");
	wire_close(&w);
	ck_assert_str_eq(w.text, "last words");
	ck_assert_str_eq(w.trace, "MDL");
}

TEST(a_reset_is_a_loss_with_its_errno, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	peer_reset(w.peer);
	w.peer = -1;
	wire_close(&w);
	ck_assert_int_eq(w.err, ECONNRESET);
	ck_assert_int_eq(strncmp(w.why, "ConnectionLost", 14), 0);
}

TEST(a_protocol_without_functions_lives_and_dies, ON_EACH_BACKEND)
{
	static const struct plait_protocol_ops ops = { .name = "nothing" };
	struct plait_address none = { .family = 0 };
	struct plait_transport *t;
	char trash[16];
	int fds[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	t = plait_i_stream_new(reactor, fds[0], &none, NULL);
	plait_i_transport_made(t, plait_protocol_new(&ops));
	peer_say(fds[1], "is anybody there?");
	run_turns(reactor, 3);
	shutdown(fds[1], SHUT_WR);
	ck_assert_int_eq(
		peer_read_to_eof(reactor, fds[1], trash, sizeof(trash)), 0);
	close(fds[1]);
}

struct told {
	struct transport_owner base;
	unsigned lost;
	char why[64];
	struct wire *wire;
};

static void tell_owner(struct transport_owner *o,
		       const struct plait_failure *why)
{
	struct told *told = plait_container(o, struct told, base);

	told->lost++;
	plait_failure_str(why, told->why, sizeof(told->why));
}

/* What a connector does whose factory refuses to build. */
TEST(a_transport_without_a_protocol_closes_and_tells_its_owner, ON_EACH_BACKEND)
{
	struct told told = { .base.lost = tell_owner };
	struct plait_address none = { .family = 0 };
	struct plait_transport *t;
	char c;
	int fds[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	t = plait_i_stream_new(reactor, fds[0], &none, &told.base);
	plait_transport_lose_connection(t);
	ck_assert_uint_eq(told.lost, 0);
	ck_assert_int_eq(peer_read_to_eof(reactor, fds[1], &c, 1), 0);
	ck_assert_uint_eq(told.lost, 1);
	ck_assert_str_eq(told.why, "ConnectionDone");
	close(fds[1]);
	run_turns(reactor, 3);
}

/*
 * Reading.
 */
static void check_bytes(struct wire *w, const void *data, size_t len)
{
	const unsigned char *p = data;
	size_t start = w->received - len;

	for (size_t i = 0; i < len; i++)
		ck_assert_uint_eq(p[i], wire_byte(start + i));
}

GROUP("reading");

TEST(a_megabyte_arrives_as_it_was_sent, ON_EACH_BACKEND)
{
	enum { N = 1 << 20 };
	struct wire w = { .on_data = check_bytes };
	unsigned char *bytes = wire_bytes(N);

	ck_assert(wire_open(&w, reactor));
	ck_assert(peer_send(reactor, w.peer, bytes, N));
	wire_close(&w);
	ck_assert_uint_eq(w.received, N);
	ck_assert_uint_le(w.most, 131072);
	free(bytes);
}

TEST(a_read_is_128_kib_at_most, ON_EACH_BACKEND)
{
	enum { N = 1 << 20 };
	struct wire w = { .on_data = check_bytes };
	unsigned char *bytes = wire_bytes(N);
	size_t sent = 0;
	ssize_t n;

	ck_assert(wire_open(&w, reactor));
	while ((n = send(w.peer, bytes + sent, N - sent, MSG_DONTWAIT)) > 0)
		sent += (size_t)n;
	wire_close(&w);
	ck_assert_uint_eq(w.received, sent);
	ck_assert_uint_eq(w.most, 131072);
	free(bytes);
}

static void pause_at_once(struct wire *w, const void *data, size_t len)
{
	plait_transport_pause_reading(w->transport);
}

TEST(nothing_is_delivered_while_paused, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = pause_at_once };

	ck_assert(wire_open(&w, reactor));
	peer_say(w.peer, "one");
	run_until_count(reactor, &w.calls, 1);
	peer_say(w.peer, "two");
	run_turns(reactor, 5);
	ck_assert_uint_eq(w.calls, 1);
	plait_transport_resume_reading(w.transport);
	ck_assert_uint_eq(w.calls, 1);
	run_until_count(reactor, &w.calls, 2);
	ck_assert_str_eq(w.text, "onetwo");
	plait_transport_resume_reading(w.transport);
	wire_close(&w);
}

TEST(a_pause_before_the_first_byte_holds, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	plait_transport_pause_reading(w.transport);
	plait_transport_pause_reading(w.transport);
	peer_say(w.peer, "early");
	run_turns(reactor, 5);
	ck_assert_uint_eq(w.calls, 0);
	plait_transport_resume_reading(w.transport);
	wire_close(&w);
	ck_assert_str_eq(w.text, "early");
}

static void pause_and_resume(struct wire *w, const void *data, size_t len)
{
	unsigned calls = w->calls;

	plait_transport_pause_reading(w->transport);
	plait_transport_resume_reading(w->transport);
	ck_assert_uint_eq(w->calls, calls);
}

TEST(resuming_inside_a_callback_does_not_recurse, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = pause_and_resume };
	unsigned char *bytes = wire_bytes(300000);

	ck_assert(wire_open(&w, reactor));
	ck_assert(peer_send(reactor, w.peer, bytes, 300000));
	wire_close(&w);
	ck_assert_uint_eq(w.received, 300000);
	free(bytes);
}

/* Hazard 5: a hang-up must not overtake the data. */
TEST(all_is_read_of_a_peer_that_wrote_and_closed_while_paused, ON_EACH_BACKEND)
{
	enum { N = 100000 };
	struct wire w = { .on_data = check_bytes };
	unsigned char *bytes = wire_bytes(N);

	ck_assert(wire_open(&w, reactor));
	plait_transport_pause_reading(w.transport);
	run_turns(reactor, 1);
	ck_assert(peer_send(NULL, w.peer, bytes, N));
	wire_hang_up(&w);
	run_turns(reactor, 5);
	ck_assert_uint_eq(w.received, 0);
	plait_transport_resume_reading(w.transport);
	wire_close(&w);
	ck_assert_uint_eq(w.received, N);
	ck_assert_str_eq(w.trace, "MDL");
	free(bytes);
}

static void pause_it(struct wire *w)
{
	plait_transport_pause_reading(w->transport);
	run_turns(reactor, 1);
}

static void fin(struct wire *w)
{
	wire_hang_up(w);
}

static void rst(struct wire *w)
{
	peer_reset(w->peer);
	w->peer = -1;
}

static void (*const ways_to_go[])(struct wire *) = { fin, rst };

static unsigned long waits(void)
{
	return calls_of("epoll_wait") + calls_of("select");
}

/* Hazard 4: errors cannot be masked, and a hang-up behind input stays. */
TEST(a_reset_while_paused_does_not_spin, ON_EACH_BACKEND, TIMES(4))
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	pause_it(&w);
	if (_i >= 2)
		plait_transport_lose_write_connection(w.transport);
	peer_say(w.peer, "unread");
	run_turns(reactor, 2);
	ways_to_go[_i % 2](&w);
	calls_reset();
	run_for(reactor, 0.2);
	ck_assert_uint_le(waits(), 3);
	ck_assert_uint_le(calls_of("recv"), 2);
	ck_assert_uint_eq(w.lost, 0);
	ck_assert(plait_transport_peer_has_closed(w.transport));
	plait_transport_resume_reading(w.transport);
	wire_close(&w);
	ck_assert_str_eq(w.text, "unread");
	ck_assert_int_eq(w.err, _i % 2 ? ECONNRESET : 0);
}

/* The same while the kernel has no room for output. */
TEST(a_hang_up_while_paused_and_full_does_not_spin, ON_EACH_BACKEND, TIMES(2))
{
	struct wire w = { .half_closeable = true };
	unsigned char *bytes = wire_bytes(8 << 20);

	ck_assert(wire_open(&w, reactor));
	pause_it(&w);
	plait_transport_write(w.transport, bytes, 8 << 20);
	if (_i == 0)
		peer_say(w.peer, "unread");
	run_turns(reactor, 10);
	shutdown(w.peer, SHUT_WR);
	run_turns(reactor, 3);
	ck_assert_str_eq(w.trace, _i == 0 ? "M" : "MR");
	calls_reset();
	run_for(reactor, 0.2);
	ck_assert_uint_le(waits(), 3);
	ck_assert_int_eq(peer_read(reactor, w.peer, NULL, 8 << 20), 8 << 20);
	run_turns(reactor, 3);
	ck_assert_uint_eq(w.lost, 0);
	plait_transport_resume_reading(w.transport);
	run_turns(reactor, 3);
	ck_assert_str_eq(w.trace, _i == 0 ? "MDR" : "MR");
	plait_transport_lose_connection(w.transport);
	wire_close(&w);
	free(bytes);
}

/* What stands for work in the connection's scope: it notes its end. */
static plait_value note_end(plait_value *result, void *arg)
{
	*(bool *)arg = plait_value_is_failure(result);
	return PLAIT_NONE;
}

static void work_in_scope(struct wire *w, bool *ended)
{
	struct plait_deferred *d = plait_defer_later(reactor, 3600, NULL, NULL);

	plait_deferred_add_both(d, note_end, ended);
	plait_scope_own(plait_transport_scope(w->transport), &d);
}

TEST(a_hang_up_while_paused_ends_the_work, ON_EACH_BACKEND, TIMES(2))
{
	struct wire w = { .on_data = NULL };
	bool ended = false;

	ck_assert(wire_open(&w, reactor));
	work_in_scope(&w, &ended);
	peer_say(w.peer, "request");
	run_until_count(reactor, &w.calls, 1);
	pause_it(&w);
	ck_assert(!plait_transport_peer_has_closed(w.transport));
	ways_to_go[_i](&w);
	run_turns(reactor, 1);
	ck_assert(ended);
	ck_assert_str_eq(w.trace, "MDL");
	ck_assert_int_eq(w.err, _i ? ECONNRESET : 0);
}

/* Paused first, and then the peer has gone: when it is armed it is there. */
TEST(pausing_after_the_hang_up_finds_it, ON_EACH_BACKEND, TIMES(2))
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	run_turns(reactor, 1);
	ways_to_go[_i](&w);
	plait_transport_pause_reading(w.transport);
	run_turns(reactor, 2);
	ck_assert_str_eq(w.trace, "ML");
}

TEST(an_end_behind_unread_input_waits_for_it, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	bool ended = false;

	ck_assert(wire_open(&w, reactor));
	work_in_scope(&w, &ended);
	pause_it(&w);
	peer_say(w.peer, "unread");
	ck_assert(!plait_transport_peer_has_closed(w.transport));
	wire_hang_up(&w);
	ck_assert(plait_transport_peer_has_closed(w.transport));
	run_for(reactor, 3600 - 1);
	ck_assert_str_eq(w.trace, "M");
	ck_assert(!ended);
	plait_transport_resume_reading(w.transport);
	run_turns(reactor, 3);
	ck_assert_str_eq(w.trace, "MDL");
	ck_assert(ended);
}

/*
 * An error is not behind anything.  select() sees it when it looks: it has
 * seen the input before.
 */
TEST(a_reset_ends_the_work_before_unread_input_is_read, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	bool epoll = strcmp(backend, "epoll") == 0;
	bool ended = false;

	ck_assert(wire_open(&w, reactor));
	work_in_scope(&w, &ended);
	pause_it(&w);
	peer_say(w.peer, "unread");
	run_turns(reactor, 2);
	rst(&w);
	run_turns(reactor, 2);
	ck_assert(ended == epoll);
	ck_assert(plait_transport_peer_has_closed(w.transport));
	ck_assert_str_eq(w.trace, "M");
	plait_transport_resume_reading(w.transport);
	run_turns(reactor, 3);
	ck_assert_str_eq(w.trace, "MDL");
	ck_assert_str_eq(w.text, "unread");
	ck_assert_int_eq(w.err, ECONNRESET);
}

TEST(what_a_reset_leaves_is_kept_for_a_bounded_time, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	pause_it(&w);
	peer_say(w.peer, "unread");
	rst(&w);
	run_for(reactor, 4.9);
	ck_assert_str_eq(w.trace, "M");
	run_for(reactor, 0.2);
	run_turns(reactor, 1);
	ck_assert_str_eq(w.trace, "ML");
	ck_assert_int_eq(w.err, ECONNRESET);
}

/* What the protocol itself has not handled counts as unread. */
TEST(an_end_waits_for_what_the_protocol_holds, ON_EACH_BACKEND, TIMES(4))
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	pause_it(&w);
	w.protocol->unread = true;
	ways_to_go[_i % 2](&w);
	run_turns(reactor, 3);
	ck_assert_str_eq(w.trace, "M");
	if (_i < 2) {
		plait_transport_resume_reading(w.transport);
		w.protocol->unread = false;
		plait_transport_pause_reading(w.transport);
	} else {
		plait_transport_resume_reading(w.transport);
	}
	run_turns(reactor, 3);
	if (_i == 1) /* paused still: it is kept for its time */
		run_for(reactor, 5.1);
	run_turns(reactor, 1);
	ck_assert_str_eq(w.trace, "ML");
	ck_assert_int_eq(w.err, _i % 2 ? ECONNRESET : 0);
}

/* Also after the end was told, when a send finds that the peer is gone. */
TEST(a_failed_send_waits_for_what_the_protocol_holds, ON_EACH_BACKEND)
{
	struct wire w = { .half_closeable = true };

	ck_assert(wire_open(&w, reactor));
	pause_it(&w);
	shutdown(w.peer, SHUT_WR);
	run_turns(reactor, 2);
	ck_assert_str_eq(w.trace, "MR");
	w.protocol->unread = true;
	plait_transport_write(w.transport, "x", 1);
	fault_call("send", 1, EPIPE);
	run_turns(reactor, 3);
	ck_assert_str_eq(w.trace, "MR");
	plait_transport_resume_reading(w.transport);
	run_turns(reactor, 2);
	ck_assert_str_eq(w.trace, "MRL");
	wire_close(&w);
}

TEST(a_half_closeable_one_is_told_of_the_end_while_paused, ON_EACH_BACKEND)
{
	struct wire w = { .half_closeable = true };
	bool ended = false;

	ck_assert(wire_open(&w, reactor));
	work_in_scope(&w, &ended);
	pause_it(&w);
	shutdown(w.peer, SHUT_WR);
	run_turns(reactor, 2);
	ck_assert_str_eq(w.trace, "MR");
	ck_assert(!ended);
	calls_reset();
	run_for(reactor, 0.2);
	ck_assert_uint_le(waits(), 3);
	plait_transport_resume_reading(w.transport);
	run_turns(reactor, 3);
	ck_assert_str_eq(w.trace, "MR");
	plait_transport_lose_connection(w.transport);
	wire_close(&w);
	ck_assert(ended);
}

#ifdef HAVE_EPOLL
/* After the end there is nothing to read, but the peer may still reset. */
TEST(a_reset_after_the_end_is_noticed, ON_EACH_BACKEND, TIMES(2))
{
	struct wire w = { .half_closeable = true };

	if (strcmp(backend, "epoll") != 0)
		return;
	ck_assert(wire_open(&w, reactor));
	if (_i == 1)
		pause_it(&w);
	shutdown(w.peer, SHUT_WR);
	run_turns(reactor, 3);
	ck_assert_str_eq(w.trace, "MR");
	rst(&w);
	run_turns(reactor, 2);
	ck_assert_str_eq(w.trace, "MRL");
	ck_assert(w.err == EPIPE || w.err == ECONNRESET);
}
#endif

TEST(looking_for_a_hang_up_survives_interruptions, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	pause_it(&w);
	fault_call("recv", 3, EINTR);
	fin(&w);
	run_turns(reactor, 1);
	ck_assert(fault_used("recv"));
	ck_assert_str_eq(w.trace, "ML");
}

TEST(not_knowing_is_no_hang_up, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	pause_it(&w);
	fault_call("poll", 1, ENOMEM);
	ck_assert(!plait_transport_peer_has_closed(w.transport));
	fault_call("recv", 1, EAGAIN);
	fin(&w);
	run_turns(reactor, 1);
	ck_assert_str_eq(w.trace, "M");
	plait_transport_resume_reading(w.transport);
	wire_close(&w);
}

static void abort_other(struct wire *w, const void *data, size_t len)
{
	struct wire *other = w->arg;

	if (other->transport != NULL)
		plait_transport_abort(other->transport);
}

GROUP("order");

/* Hazard 2: both are ready in one batch, the first ends the second. */
TEST(ending_another_of_the_same_batch_is_safe, ON_EACH_BACKEND)
{
	struct wire a = { .on_data = abort_other };
	struct wire b = { .on_data = abort_other, .arg = &a };

	a.arg = &b;
	ck_assert(wire_open(&a, reactor));
	ck_assert(wire_open(&b, reactor));
	peer_say(a.peer, "x");
	peer_say(b.peer, "x");
	run_turns(reactor, 5);
	ck_assert_uint_eq(a.calls + b.calls, 1);
	ck_assert_uint_eq(a.lost + b.lost, 1);
	wire_close(&a);
	wire_close(&b);
}

static void abort_self(struct wire *w, const void *data, size_t len)
{
	plait_transport_write(w->transport, "never sent", 10);
	plait_transport_abort(w->transport);
}

GROUP("writing");

/* Hazard 3: the write half of the same event must not run. */
TEST(nothing_is_sent_after_an_abort_in_the_same_event, ON_EACH_BACKEND)
{
	enum { N = 8 << 20 };
	struct wire w = { .on_data = abort_self };
	unsigned char *bytes = wire_bytes(N);

	ck_assert(wire_open(&w, reactor));
	plait_transport_write(w.transport, bytes, N);
	run_turns(reactor, 3);
	peer_say(w.peer, "x");
	ck_assert_int_eq(peer_read(NULL, w.peer, NULL, 100000), 100000);
	calls_reset();
	run_until_count(reactor, &w.lost, 1);
	ck_assert_uint_eq(calls_of("send") + calls_of("sendmsg"), 0);
	ck_assert_str_eq(w.why, "ConnectionAborted: by this end");
	wire_close(&w);
	free(bytes);
}

GROUP("reading");

/* Hazard 13: each turn serves everybody. */
TEST(a_peer_that_sends_without_end_starves_nobody, ON_EACH_BACKEND)
{
	enum { N = 1 << 20 };
	struct wire fast = { .on_data = NULL }, slow = { .on_data = NULL };
	unsigned char *bytes = wire_bytes(N);

	ck_assert(wire_open(&fast, reactor));
	ck_assert(wire_open(&slow, reactor));
	while (send(fast.peer, bytes, N, MSG_DONTWAIT) > 0)
		;
	for (unsigned i = 1; i <= 4; i++) {
		peer_say(slow.peer, "x");
		run_turns(reactor, 1);
		ck_assert_uint_eq(fast.calls, i);
		ck_assert_uint_eq(slow.calls, i);
	}
	wire_close(&fast);
	wire_close(&slow);
	free(bytes);
}

GROUP("writing");

/*
 * Writing.
 */
TEST(what_is_written_arrives_in_order_whatever_way, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct plait_buf *b = plait_buf_copy("-buf-", 5);
	const char one[] = "one", two[] = "two";
	struct iovec pieces[] = { { (void *)(uintptr_t)one, 3 },
				  { NULL, 0 },
				  { (void *)(uintptr_t)two, 3 } };
	char text[32] = "";

	ck_assert(wire_open(&w, reactor));
	plait_transport_write(w.transport, "a", 1);
	plait_transport_write_buf(w.transport, b);
	plait_transport_write_several(w.transport, pieces, 3);
	plait_transport_write(w.transport, "z", 1);
	ck_assert_uint_eq(plait_transport_pending(w.transport), 13);
	plait_buf_unref(&b);
	peer_read(reactor, w.peer, text, 13);
	ck_assert_str_eq(text, "a-buf-onetwoz");
	ck_assert_uint_eq(plait_transport_pending(w.transport), 0);
	wire_close(&w);
}

/* Hazard 37. */
TEST(writing_nothing_is_nothing, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct plait_buf *b = plait_buf_new(10);
	struct iovec piece = { NULL, 0 };
	char c;

	ck_assert(wire_open(&w, reactor));
	calls_reset();
	plait_transport_write(w.transport, NULL, 0);
	plait_transport_write_several(w.transport, &piece, 1);
	plait_transport_write_several(w.transport, NULL, 0);
	plait_transport_write_buf(w.transport, b);
	plait_buf_unref(&b);
	run_turns(reactor, 2);
	ck_assert_uint_eq(calls_of("send") + calls_of("sendmsg"), 0);
	plait_transport_lose_connection(w.transport);
	ck_assert_int_eq(peer_read_to_eof(reactor, w.peer, &c, 1), 0);
	wire_close(&w);
}

TEST(writing_never_blocks_and_keeps_what_the_peer_does_not_take,
     ON_EACH_BACKEND)
{
	enum { N = 8 << 20 };
	struct wire w = { .on_data = NULL };
	unsigned char *bytes = wire_bytes(N), *out = malloc(N);

	ck_assert(wire_open(&w, reactor));
	plait_transport_write(w.transport, bytes, N);
	ck_assert_uint_eq(plait_transport_pending(w.transport), N);
	run_turns(reactor, 50);
	ck_assert_uint_gt(plait_transport_pending(w.transport), 0);
	ck_assert_uint_lt(plait_transport_pending(w.transport), N);
	ck_assert_int_eq(peer_read(reactor, w.peer, out, N), N);
	ck_assert(memcmp(bytes, out, N) == 0);
	wire_close(&w);
	free(bytes);
	free(out);
}

TEST(many_pieces_at_once_are_written, ON_EACH_BACKEND)
{
	enum { N = 5000 };
	struct wire w = { .on_data = NULL };
	struct iovec pieces[N];
	unsigned char *bytes = wire_bytes(N), *out = malloc(N);

	for (int i = 0; i < N; i++)
		pieces[i] = (struct iovec){ bytes + i, 1 };
	ck_assert(wire_open(&w, reactor));
	plait_transport_write_several(w.transport, pieces, N);
	ck_assert_int_eq(peer_read(reactor, w.peer, out, N), N);
	ck_assert(memcmp(bytes, out, N) == 0);
	wire_close(&w);
	free(bytes);
	free(out);
}

static void write_in_made(struct wire *w)
{
	plait_transport_write(w->transport, "welcome", 7);
}

TEST(connection_made_may_write, ON_EACH_BACKEND)
{
	struct wire w = { .on_made = write_in_made };
	char text[8] = "";

	ck_assert(wire_open(&w, reactor));
	ck_assert_int_eq(peer_read(reactor, w.peer, text, 7), 7);
	ck_assert_str_eq(text, "welcome");
	wire_close(&w);
}

/* The chat server's case: one callback writes to another connection. */
static void tell_other(struct wire *w, const void *data, size_t len)
{
	struct wire *other = w->arg;

	plait_transport_write(other->transport, data, len);
}

TEST(writing_to_another_connection_works, ON_EACH_BACKEND)
{
	struct wire a = { .on_data = tell_other }, b = { .on_data = NULL };
	char text[8] = "";

	a.arg = &b;
	ck_assert(wire_open(&a, reactor));
	ck_assert(wire_open(&b, reactor));
	peer_say(a.peer, "gossip");
	ck_assert_int_eq(peer_read(reactor, b.peer, text, 6), 6);
	ck_assert_str_eq(text, "gossip");
	wire_close(&a);
	wire_close(&b);
}

/*
 * Limits.
 */
static void set_max_unsent(size_t max)
{
	struct plait_limits limits = { .max_unsent = max };

	plait_reactor_set_limits(reactor, &limits);
}

TEST(as_much_as_the_limit_may_be_unsent, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	set_max_unsent(10);
	ck_assert(wire_open(&w, reactor));
	plait_transport_write(w.transport, "0123456789", 10);
	run_turns(reactor, 2);
	plait_transport_write(w.transport, "0123456789", 10);
	ck_assert_int_eq(peer_read(reactor, w.peer, NULL, 20), 20);
	wire_close(&w);
}

TEST(more_unsent_than_the_limit_aborts, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	char c;

	set_max_unsent(10);
	ck_assert(wire_open(&w, reactor));
	plait_transport_write(w.transport, "0123456789", 10);
	plait_transport_write(w.transport, "!", 1);
	ck_assert(plait_transport_is_disconnecting(w.transport));
	ck_assert_uint_eq(plait_transport_pending(w.transport), 0);
	ck_assert_uint_eq(w.lost, 0);
	wire_wait_lost(&w);
	ck_assert_str_eq(w.why, "ConnectionAborted: more than 10 bytes unsent");
	ck_assert_int_eq(peer_read(reactor, w.peer, &c, 1), -ECONNRESET);
	wire_close(&w);
}

/* Hazard 38. */
TEST(lengths_that_overflow_when_added_are_beyond_any_limit, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct iovec pieces[] = { { NULL, SIZE_MAX - 5 }, { NULL, 10 } };

	ck_assert(wire_open(&w, reactor));
	plait_transport_write_several(w.transport, pieces, 2);
	wire_wait_lost(&w);
	ck_assert_str_eq(w.why,
			 "ConnectionAborted: more than 67108864 bytes unsent");
	wire_close(&w);
}

TEST(limits_are_for_connections_that_begin_later, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	set_max_unsent(1);
	plait_transport_write(w.transport, "more than one", 13);
	ck_assert_int_eq(peer_read(reactor, w.peer, NULL, 13), 13);
	wire_close(&w);
}

GROUP("asking");

/*
 * What the other calls say.
 */
TEST(it_knows_both_its_addresses, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct plait_address host, peer;
	char text[PLAIT_ADDRESS_SIZE];

	ck_assert(wire_open(&w, reactor));
	ck_assert_int_eq(plait_transport_host(w.transport, &host), 0);
	ck_assert_int_eq(plait_transport_peer(w.transport, &peer), 0);
	plait_address_host(&host, text, sizeof(text));
	ck_assert_str_eq(text, "127.0.0.1");
	plait_address_host(&peer, text, sizeof(text));
	ck_assert_str_eq(text, "127.0.0.1");
	ck_assert_uint_ne(plait_address_port(&host), 0);
	ck_assert_uint_ne(plait_address_port(&peer), plait_address_port(&host));
	ck_assert_ptr_eq(plait_transport_reactor(w.transport), reactor);
	wire_close(&w);
}

static void ask_peer(struct wire *w)
{
	struct plait_address peer;

	ck_assert_int_eq(plait_transport_peer(w->transport, &peer), 0);
	*(unsigned *)w->arg = plait_address_port(&peer);
}

/* Hazard 21: the kernel has forgotten it by then. */
TEST(the_peer_is_known_after_it_has_reset, ON_EACH_BACKEND)
{
	unsigned port = 0;
	struct wire w = { .on_lost = ask_peer, .arg = &port };
	struct plait_address peer;
	unsigned before;

	ck_assert(wire_open(&w, reactor));
	plait_transport_peer(w.transport, &peer);
	before = plait_address_port(&peer);
	peer_reset(w.peer);
	w.peer = -1;
	wire_close(&w);
	ck_assert_uint_eq(port, before);
}

TEST(a_peer_without_an_address_is_unknown, ON_EACH_BACKEND)
{
	struct wire w = { .unix_pair = true };
	struct plait_address a = { .port = 7 };

	ck_assert(wire_open(&w, reactor));
	ck_assert_int_eq(plait_transport_peer(w.transport, &a), -ENOTCONN);
	ck_assert_uint_eq(a.port, 7);
	wire_close(&w);
}

static bool option_of(int fd, int level, int option)
{
	socklen_t len = sizeof(int);
	int value = -1;

	ck_assert_int_eq(getsockopt(fd, level, option, &value, &len), 0);
	return value != 0;
}

TEST(options_are_set_when_asked_for_and_not_before, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	calls_reset();
	ck_assert(wire_open(&w, reactor));
	ck_assert_uint_eq(calls_of("setsockopt"), 0);
	ck_assert_uint_eq(calls_of("getsockname"), 0);
	ck_assert_int_eq(plait_transport_set_no_delay(w.transport, true), 0);
	ck_assert_int_eq(plait_transport_set_keep_alive(w.transport, true), 0);
	ck_assert(option_of(w.fd, IPPROTO_TCP, TCP_NODELAY));
	ck_assert(option_of(w.fd, SOL_SOCKET, SO_KEEPALIVE));
	ck_assert_int_eq(plait_transport_set_no_delay(w.transport, false), 0);
	ck_assert(!option_of(w.fd, IPPROTO_TCP, TCP_NODELAY));
	fault_call("setsockopt", 1, ENOBUFS);
	ck_assert_int_eq(plait_transport_set_no_delay(w.transport, true),
			 -ENOBUFS);
	wire_close(&w);
}

TEST(another_kind_of_transport_has_no_options, PURE)
{
	struct plait_reactor *r = plait_testing_reactor_new();
	struct plait_factory f = { .protocol = &bare_ops };
	struct plait_transport *t = plait_testing_connect(r, &f);

	ck_assert_int_eq(plait_transport_set_no_delay(t, true), -ENOTSUP);
	ck_assert_int_eq(plait_transport_set_keep_alive(t, true), -ENOTSUP);
	plait_reactor_free(&r);
}

static void check_str(struct wire *w, const char *state)
{
	struct plait_address peer;
	char expected[128], text[128], name[PLAIT_ADDRESS_SIZE];
	int len;

	plait_transport_peer(w->transport, &peer);
	plait_address_str(&peer, name, sizeof(name));
	snprintf(expected, sizeof(expected), "tcp to %s, %s", name, state);
	len = plait_transport_str(w->transport, text, sizeof(text));
	ck_assert_str_eq(text, expected);
	ck_assert_int_eq(len, (int)strlen(expected));
}

static void check_lost_str(struct wire *w)
{
	check_str(w, "lost, 0 bytes unsent");
}

TEST(it_can_print_itself_in_every_state, ON_EACH_BACKEND)
{
	struct wire w = { .on_lost = check_lost_str };

	ck_assert(wire_open(&w, reactor));
	check_str(&w, "connected, 0 bytes unsent");
	plait_transport_pause_reading(w.transport);
	check_str(&w, "connected, 0 bytes unsent, reading paused");
	plait_transport_resume_reading(w.transport);
	plait_transport_write(w.transport, "x", 1);
	plait_transport_lose_connection(w.transport);
	check_str(&w, "disconnecting, 1 bytes unsent");
	plait_transport_abort(w.transport);
	check_str(&w, "aborted, 0 bytes unsent");
	wire_close(&w);
}

/*
 * To be added to deferreds.
 */
TEST(then_write_sends_a_buffer_or_text_and_passes_none_on, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct plait_deferred *d;
	char text[16] = "";

	ck_assert(wire_open(&w, reactor));
	d = plait_succeed(plait_buf_value(plait_buf_copy("a buf", 5)));
	plait_deferred_add_callback(d, plait_then_write, w.transport);
	ck_assert(plait_value_is_none(plait_deferred_result(d)));
	plait_deferred_free(&d);
	d = plait_succeed(plait_text("+text"));
	plait_deferred_add_callback(d, plait_then_write, w.transport);
	plait_deferred_add_both(d, plait_then_lose_connection, w.transport);
	ck_assert(plait_value_is_none(plait_deferred_result(d)));
	plait_deferred_free(&d);
	ck_assert_int_eq(peer_read_to_eof(reactor, w.peer, text, 10), 10);
	ck_assert_str_eq(text, "a buf+text");
	wire_close(&w);
}

TEST(then_write_of_something_else_is_a_mistake, PURE, ABORTS)
{
	struct plait_transport *t = NULL;
	plait_value v = plait_int(7);

	plait_then_write(&v, t);
}

/*
 * Hazard 32: every call in every state.
 */
static void stop_nothing(struct plait_producer *p)
{
}

static const struct plait_producer_ops null_ops = {
	.pause = stop_nothing,
	.resume = stop_nothing,
	.stop = stop_nothing,
};

static void call_everything(struct wire *w)
{
	static struct plait_producer p = { .ops = &null_ops };
	struct plait_transport *t = w->transport;
	struct plait_buf *b = plait_buf_copy("b", 1);
	struct iovec piece = { (void *)(uintptr_t) "i", 1 };
	struct plait_address a;
	char text[128];

	plait_transport_write(t, "w", 1);
	plait_transport_write_buf(t, b);
	plait_transport_write_several(t, &piece, 1);
	plait_transport_pause_reading(t);
	plait_transport_resume_reading(t);
	plait_transport_register_producer(t, &p, true);
	plait_transport_unregister_producer(t);
	plait_transport_unregister_producer(t);
	plait_transport_pending(t);
	plait_transport_host(t, &a);
	plait_transport_peer(t, &a);
	plait_transport_set_no_delay(t, true);
	plait_transport_set_keep_alive(t, true);
	plait_transport_str(t, text, sizeof(text));
	plait_transport_lose_write_connection(t);
	plait_transport_lose_connection(t);
	plait_transport_lose_connection(t);
	plait_transport_producer(t)->ops->stop(plait_transport_producer(t));
	plait_transport_abort(t);
	plait_transport_abort(t);
	plait_transport_write(t, "w", 1);
	ck_assert(plait_transport_is_disconnecting(t));
	plait_buf_unref(&b);
}

static void lose(struct wire *w)
{
	plait_transport_lose_connection(w->transport);
}

static void lose_write(struct wire *w)
{
	plait_transport_lose_write_connection(w->transport);
}

static void abort_it(struct wire *w)
{
	plait_transport_abort(w->transport);
}

static void leave(struct wire *w)
{
}

GROUP("states");

TEST(every_call_in_every_state_is_defined, ON_EACH_BACKEND, TIMES(8))
{
	static void (*const before[])(struct wire *) = { leave, lose,
							 lose_write, abort_it };
	struct wire w = { .on_lost = call_everything };

	ck_assert(wire_open(&w, reactor));
	before[_i % 4](&w);
	call_everything(&w);
	if (_i >= 4)
		run_turns(reactor, 1);
	wire_wait_lost(&w);
	ck_assert_str_eq(w.why, "ConnectionAborted: by this end");
	wire_close(&w);
	ck_assert_str_eq(w.trace, "ML");
}

TEST(every_call_inside_connection_made_is_defined, ON_EACH_BACKEND)
{
	struct wire w = { .on_made = call_everything,
			  .on_lost = call_everything };

	ck_assert(wire_open(&w, reactor));
	wire_close(&w);
	ck_assert_str_eq(w.trace, "ML");
}

static void write_after(struct wire *w)
{
	ck_assert_uint_eq(plait_transport_pending(w->transport), 0);
	call_everything(w);
	ck_assert_uint_eq(plait_transport_pending(w->transport), 0);
	ck_assert_int_eq(plait_transport_set_no_delay(w->transport, true),
			 -ENOTCONN);
}

TEST(calls_inside_connection_lost_are_nothing, ON_EACH_BACKEND)
{
	struct wire w = { .on_lost = write_after };
	char c;

	ck_assert(wire_open(&w, reactor));
	plait_transport_lose_connection(w.transport);
	wire_wait_lost(&w);
	ck_assert_str_eq(w.why, "ConnectionDone");
	ck_assert_int_eq(peer_read_to_eof(reactor, w.peer, &c, 1), 0);
	wire_close(&w);
}

/*
 * Watching.
 */
TEST(a_connection_that_cannot_be_watched_is_refused_and_closed, ON_EACH_BACKEND,
     TIMES(2))
{
	struct wire w = { .on_data = NULL };

	fault_alloc_at((unsigned long)_i, true);
	ck_assert(!wire_open(&w, reactor));
	ck_assert_int_eq(errno, ENOMEM);
	fault_alloc_off();
}

#ifdef HAVE_EPOLL
TEST(what_epoll_refuses_is_told, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	if (strcmp(backend, "epoll") != 0)
		return;
	fault_call("epoll_ctl", 1, ENOSPC);
	ck_assert(!wire_open(&w, reactor));
	ck_assert_int_eq(errno, ENOSPC);
	w = (struct wire){ .on_data = NULL };
	ck_assert(wire_open(&w, reactor));
	plait_transport_pause_reading(w.transport);
	run_turns(reactor, 1);
	plait_transport_resume_reading(w.transport);
	fault_call("epoll_ctl", 1, ENOSPC);
	wire_wait_lost(&w);
	ck_assert_int_eq(w.err, ENOSPC);
	wire_close(&w);
}
#endif

/* Hazard 10: closed by somebody else; what has its number now is not ours. */
TEST(a_descriptor_closed_by_somebody_else_is_a_loss, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	ck_assert(wire_open(&w, reactor));
	close(w.fd);
	plait_transport_pause_reading(w.transport);
	wire_wait_lost(&w);
	ck_assert_int_eq(w.err, EBADF);
	wire_close(&w);
	ck_assert_uint_eq(calls_of("close"), 0);
}

static void abort_the_other(struct wire *w)
{
	struct wire *other = w->arg;

	if (other->transport != NULL)
		plait_transport_abort(other->transport);
}

/* It was ending already when its descriptor was found to be lost. */
TEST(a_descriptor_lost_at_the_end_is_not_closed_again, ON_EACH_BACKEND)
{
	struct wire a = { .on_lost = abort_the_other };
	struct wire b = { .on_lost = abort_the_other };

	a.arg = &b;
	b.arg = &a;
	ck_assert(wire_open(&a, reactor));
	ck_assert(wire_open(&b, reactor));
	close(a.fd);
	close(b.fd);
	plait_transport_pause_reading(a.transport);
	plait_transport_pause_reading(b.transport);
	wire_close(&a);
	wire_close(&b);
	ck_assert_uint_eq(calls_of("close"), 0);
}

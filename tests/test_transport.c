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
#include "reactor/net/tcp.h"
#include "tests/story.h"

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

/* A factory that is allocated for what it serves. */
struct on_heap {
	struct plait_factory base;
	unsigned *stops, *dones;
	bool again; /* stop() uses it once more */
};

static void on_heap_stop(struct plait_factory *f)
{
	struct on_heap *h = plait_self(f, struct on_heap);

	++*h->stops;
	if (!h->again)
		return;
	h->again = false;
	plait_factory_start(f);
}

static void on_heap_done(struct plait_factory *f)
{
	++*plait_self(f, struct on_heap)->dones;
	free(f);
}

static const struct plait_factory_ops on_heap_ops = {
	.name = "on heap",
	.stop = on_heap_stop,
	.done = on_heap_done,
};

static struct plait_factory *on_heap_new(unsigned *stops, unsigned *dones,
					 bool again)
{
	struct on_heap *h = calloc(1, sizeof(*h));

	ck_assert_ptr_nonnull(h);
	h->base.ops = &on_heap_ops;
	h->base.protocol = &bare_ops;
	h->stops = stops;
	h->dones = dones;
	h->again = again;
	return &h->base;
}

TEST(a_factory_is_done_after_its_last_user_and_its_last_protocol, PURE,
     TIMES(2))
{
	unsigned stops = 0, dones = 0;
	struct plait_factory *f = on_heap_new(&stops, &dones, false);
	struct plait_address peer = { .port = 42 };
	struct plait_protocol *p, *q;

	plait_factory_start(f);
	p = plait_factory_build_protocol(f, &peer);
	q = plait_factory_build_protocol(f, &peer);
	plait_protocol_free(&p);
	ck_assert_uint_eq(dones, 0);
	if (_i == 0)
		plait_protocol_free(&q);
	else
		plait_factory_stop(f);
	ck_assert_uint_eq(stops, _i == 0 ? 0 : 1);
	ck_assert_uint_eq(dones, 0);
	if (_i == 0)
		plait_factory_stop(f);
	else
		plait_protocol_free(&q);
	ck_assert_uint_eq(stops, 1);
	ck_assert_uint_eq(dones, 1);
}

TEST(a_factory_that_is_used_again_is_not_done, PURE)
{
	unsigned stops = 0, dones = 0;
	struct plait_factory *f = on_heap_new(&stops, &dones, true);

	plait_factory_start(f);
	plait_factory_stop(f);
	ck_assert_uint_eq(stops, 1);
	ck_assert_uint_eq(dones, 0);
	plait_factory_stop(f);
	ck_assert_uint_eq(stops, 2);
	ck_assert_uint_eq(dones, 1);
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
	p = plait_factory_build_protocol(&bare, &peer);
	ck_assert_ptr_eq(p->ops, &bare_ops);
	plait_protocol_free(&p);
	p = plait_factory_build_protocol(&f, &peer);
	ck_assert_ptr_eq(p->factory, &f);
	plait_protocol_free(&p);
	errno = ENOMEM;
	ck_assert_ptr_null(plait_factory_build_protocol(&none, &peer));
	ck_assert_int_ne(errno, ENOMEM);
}

TEST(a_built_protocol_knows_its_factory, PURE)
{
	struct counted c = { .base.ops = &count_ops };
	struct plait_address peer = { .port = 42 };
	struct plait_protocol *p = plait_factory_build_protocol(&c.base, &peer);

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
	ck_assert_ptr_null(plait_factory_build_protocol(&c.base, &peer));
	ck_assert_int_ne(errno, ENOMEM);
	c.refuses = false;
	fault_alloc_at(0, false);
	ck_assert_ptr_null(plait_factory_build_protocol(&c.base, &peer));
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

GROUP("order");

STORY(made_then_data_then_lost_and_nothing_after,
      "D { write hello } open; trace M; peer says hello; peer gets hello;"
      "end; trace MDL; why ConnectionDone");

STORY(data_comes_before_the_end,
      "open; peer says last words; end; text last words; trace MDL");

STORY(a_reset_is_a_loss_with_its_errno,
      "open; peer resets; end; errno ECONNRESET; why ConnectionLost...");

TEST(a_protocol_without_functions_lives_and_dies, ON_EACH_BACKEND)
{
	static const struct plait_protocol_ops ops = { .name = "nothing" };
	struct plait_address none = { .family = 0 };
	struct plait_transport *t;
	char trash[16];
	int fds[2];

	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	t = plait_i_stream_new(&plait_i_tcp_stream_io, reactor, fds[0], &none,
			       NULL);
	plait_transport_made(t, plait_protocol_new(&ops));
	peer_say(fds[1], "is anybody there?");
	run_turns(reactor, 3);
	shutdown(fds[1], SHUT_WR);
	ck_assert_int_eq(
		peer_read_to_eof(reactor, fds[1], trash, sizeof(trash)), 0);
	close(fds[1]);
}

GROUP("reading");

TEST(a_megabyte_arrives_as_it_was_sent, ON_EACH_KERNEL)
{
	struct wire w = { .on_data = wire_check_bytes };

	play(&w, "open; peer sends 1M bytes; end; received 1M");
	ck_assert_uint_le(w.most, 131072);
}

TEST(a_read_is_128_kib_at_most, ON_EACH_BACKEND)
{
	enum { N = 1 << 20 };
	struct wire w = { .on_data = wire_check_bytes };
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

STORY(nothing_is_delivered_while_paused,
      "D { pause } open; peer says one; until reads 1; peer says two; turn 5;"
      "reads 1; resume; reads 1; until reads 2; text onetwo; resume; end");

STORY(a_pause_before_the_first_byte_holds,
      "open; pause; pause; peer says early; turn 5; reads 0; resume; end;"
      "text early");

static void pause_and_resume(struct wire *w, const void *data, size_t len)
{
	unsigned calls = w->calls;

	plait_transport_pause_reading(w->transport);
	plait_transport_resume_reading(w->transport);
	ck_assert_uint_eq(w->calls, calls);
}

TEST(resuming_inside_a_callback_does_not_recurse, ON_EACH_KERNEL)
{
	struct wire w = { .on_data = pause_and_resume };

	play(&w, "open; peer sends 300000 bytes; end; received 300000");
}

/* Hazard 5: a hang-up must not overtake the data. */
STORY(all_is_read_of_a_peer_that_wrote_and_closed_while_paused,
      "check-bytes; open; pause; turn; peer sends 100000 bytes; peer closes;"
      "turn 5; received 0; resume; end; received 100000; trace MDL");

#define UNREAD                                                                 \
	"count; quiet 0.2; calls recv <3; lost 0; peer is gone; resume; end;"  \
	"text unread; "

/* Hazard 4: errors cannot be masked, and a hang-up behind input stays. */
STORY(a_reset_while_paused_does_not_spin,
      "open; pause; turn; peer says unread; turn 2; peer closes;" UNREAD
      "errno 0",
      "open; pause; turn; peer says unread; turn 2; peer resets;" UNREAD
      "errno ECONNRESET",
      "open; pause; turn; lose write; peer says unread; turn 2; peer "
      "closes;" UNREAD "errno 0",
      "open; pause; turn; lose write; peer says unread; turn 2; peer "
      "resets;" UNREAD "errno ECONNRESET");

/* The same while the kernel has no room for output. */
STORY(a_hang_up_while_paused_and_full_does_not_spin,
      "half-closeable; open; pause; turn; write 8M bytes; peer says unread;"
      "turn 10; peer shuts; turn 3; trace M; quiet 0.2;"
      "peer gets 8M bytes; turn 3; lost 0; resume; turn 3; trace MDR; lose;"
      "end",
      "half-closeable; open; pause; turn; write 8M bytes; turn 10; peer shuts;"
      "turn 3; trace MR; quiet 0.2; peer gets 8M bytes; turn 3; lost 0;"
      "resume; turn 3; trace MR; lose; end");

STORY(a_hang_up_while_paused_ends_the_work,
      "open; work; peer says request; until reads 1; pause; turn;"
      "peer is there; peer closes; turn; work ended; trace MDL; errno 0",
      "open; work; peer says request; until reads 1; pause; turn;"
      "peer is there; peer resets; turn; work ended; trace MDL;"
      "errno ECONNRESET");

/* Paused first, and then the peer has gone: when it is armed it is there. */
STORY(pausing_after_the_hang_up_finds_it,
      "open; turn; peer closes; pause; turn 2; trace ML",
      "open; turn; peer resets; pause; turn 2; trace ML");

STORY(an_end_behind_unread_input_waits_for_it,
      "open; work; pause; turn; peer says unread; peer is there;"
      "peer closes; peer is gone; wait 3599; trace M; work goes-on; resume;"
      "turn 3; trace MDL; work ended");

/*
 * An error is not behind anything.  select() sees it when it looks: it has
 * seen the input before.
 */
TEST(a_reset_ends_the_work_before_unread_input_is_read, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	play(&w, "open; work; pause; turn; peer says unread; turn 2;"
		 "peer resets; turn 2");
	ck_assert(w.ended == (strcmp(backend, "epoll") == 0));
	play(&w, "peer is gone; trace M; resume; turn 3; trace MDL;"
		 "text unread; errno ECONNRESET");
}

STORY(what_a_reset_leaves_is_kept_for_a_bounded_time,
      "open; pause; turn; peer says unread; peer resets; wait 4.9; trace M;"
      "wait 0.2; turn; trace ML; errno ECONNRESET");

/* What the protocol itself has not handled counts as unread. */
STORY(an_end_waits_for_what_the_protocol_holds,
      "open; pause; turn; holds-unread; peer closes; turn 3; trace M; resume;"
      "has-read; pause; turn 4; trace ML; errno 0",
      "open; pause; turn; holds-unread; peer resets; turn 3; trace M; resume;"
      "has-read; pause; turn 3; wait 5.1; turn; trace ML; errno ECONNRESET",
      "open; pause; turn; holds-unread; peer closes; turn 3; trace M; resume;"
      "turn 4; trace ML; errno 0",
      "open; pause; turn; holds-unread; peer resets; turn 3; trace M; resume;"
      "turn 4; trace ML; errno ECONNRESET");

/* Also after the end was told, when a send finds that the peer is gone. */
STORY(a_failed_send_waits_for_what_the_protocol_holds,
      "half-closeable; open; pause; turn; peer shuts; turn 2; trace MR;"
      "holds-unread; write x; fail send EPIPE; turn 3; trace MR; resume;"
      "turn 2; trace MRL; end");

STORY(a_half_closeable_one_is_told_of_the_end_while_paused,
      "half-closeable; open; work; pause; turn; peer shuts; turn 2; trace MR;"
      "work goes-on; quiet 0.2; resume; turn 3; trace MR; lose; end;"
      "work ended");

#ifdef HAVE_EPOLL
/* After the end there is nothing to read, but the peer may still reset. */
TEST(a_reset_after_the_end_is_noticed, ON_EACH_KERNEL, TIMES(2))
{
	struct wire w = { .half_closeable = true };

	if (strcmp(backend, "epoll") != 0)
		return;
	play(&w, _i == 0 ? "open" : "open; pause; turn");
	play(&w,
	     "peer shuts; turn 3; trace MR; peer resets; turn 2; trace MRL");
	ck_assert(w.err == EPIPE || w.err == ECONNRESET);
}
#endif

STORY(looking_for_a_hang_up_survives_interruptions,
      "open; pause; turn; fail recv EINTR 3; peer closes; turn; used recv;"
      "trace ML");

STORY(not_knowing_is_no_hang_up,
      "open; pause; turn; fail poll ENOMEM; peer is there; fail recv EAGAIN;"
      "peer closes; turn; trace M; resume; end");

static void abort_other(struct wire *w, const void *data, size_t len)
{
	struct wire *other = w->arg;

	if (other->transport != NULL)
		plait_transport_abort_connection(other->transport);
}

GROUP("order");

/* Hazard 2: both are ready in one batch, the first ends the second. */
TEST(ending_another_of_the_same_batch_is_safe, ON_EACH_KERNEL)
{
	struct wire a = { .on_data = abort_other };
	struct wire b = { .on_data = abort_other, .arg = &a };

	a.arg = &b;
	play(&a, "open; peer says x");
	play(&b, "open; peer says x; turn 5");
	ck_assert_uint_eq(a.calls + b.calls, 1);
	ck_assert_uint_eq(a.lost + b.lost, 1);
	wire_close(&a);
	wire_close(&b);
}

GROUP("writing");

/* Hazard 3: the write half of the same event must not run. */
STORY(nothing_is_sent_after_an_abort_in_the_same_event,
      "D { write never sent; abort } open; write 8M bytes; turn 3;"
      "peer says x; peer takes 100000 bytes; count; until lost 1;"
      "calls send 0; calls sendmsg 0; why ConnectionAborted: by this end; end");

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
TEST(what_is_written_arrives_in_order_whatever_way, ON_EACH_KERNEL)
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
	plait_transport_write_sequence(w.transport, pieces, 3);
	plait_transport_write(w.transport, "z", 1);
	ck_assert_uint_eq(plait_transport_unsent(w.transport), 13);
	plait_buf_unref(&b);
	peer_read(reactor, w.peer, text, 13);
	ck_assert_str_eq(text, "a-buf-onetwoz");
	ck_assert_uint_eq(plait_transport_unsent(w.transport), 0);
	wire_close(&w);
}

/* Hazard 37. */
TEST(writing_nothing_is_nothing, ON_EACH_KERNEL)
{
	struct wire w = { .on_data = NULL };
	struct plait_buf *b = plait_buf_new(10);
	struct iovec piece = { NULL, 0 };

	play(&w, "open; count");
	plait_transport_write(w.transport, NULL, 0);
	plait_transport_write_sequence(w.transport, &piece, 1);
	plait_transport_write_sequence(w.transport, NULL, 0);
	plait_transport_write_buf(w.transport, b);
	plait_buf_unref(&b);
	play(&w, "turn 2; calls send 0; calls sendmsg 0; lose; peer gets end;"
		 "end");
}

STORY(writing_never_blocks_and_keeps_what_the_peer_does_not_take,
      "open; write 8M bytes; unsent 8M; turn 50; unsent >0; unsent <8M;"
      "peer gets 8M bytes; end");

TEST(many_pieces_at_once_are_written, ON_EACH_KERNEL)
{
	enum { N = 5000 };
	struct wire w = { .on_data = NULL };
	struct iovec pieces[N];
	unsigned char *bytes = wire_bytes(N);

	for (int i = 0; i < N; i++)
		pieces[i] = (struct iovec){ bytes + i, 1 };
	play(&w, "open");
	plait_transport_write_sequence(w.transport, pieces, N);
	play(&w, "peer gets 5000 bytes; end");
	free(bytes);
}

STORY(connection_made_may_write,
      "M { write welcome } open; peer gets welcome; end");

/* The chat server's case: one callback writes to another connection. */
static void tell_other(struct wire *w, const void *data, size_t len)
{
	struct wire *other = w->arg;

	plait_transport_write(other->transport, data, len);
}

TEST(writing_to_another_connection_works, ON_EACH_KERNEL)
{
	struct wire b = { .on_data = NULL };
	struct wire a = { .on_data = tell_other, .arg = &b };

	play(&a, "open");
	play(&b, "open");
	play(&a, "peer says gossip");
	play(&b, "peer gets gossip; end");
	play(&a, "end");
}

STORY(as_much_as_the_limit_may_be_unsent,
      "limit max_unsent 10; open; write 0123456789; turn 2; write 0123456789;"
      "peer gets 01234567890123456789; end");

STORY(more_unsent_than_the_limit_aborts,
      "limit max_unsent 10; open; write 0123456789; write !; is closing;"
      "unsent 0; lost 0; lost; peer gets reset; end;"
      "why ConnectionAborted: more than 10 bytes unsent");

/* Hazard 38. */
TEST(lengths_that_overflow_when_added_are_beyond_any_limit, ON_EACH_KERNEL)
{
	struct wire w = { .on_data = NULL };
	struct iovec pieces[] = { { NULL, SIZE_MAX - 5 }, { NULL, 10 } };

	play(&w, "open");
	plait_transport_write_sequence(w.transport, pieces, 2);
	play(&w, "lost; end;"
		 "why ConnectionAborted: more than 67108864 bytes unsent");
}

STORY(limits_are_in_force_at_once_for_what_is_open,
      "open; write more than one; limit max_unsent 1; peer gets more than one;"
      "lost 0; write 2 bytes; is closing; lost; peer gets reset; end;"
      "why ConnectionAborted: more than 1 bytes unsent");

GROUP("asking");

/*
 * What the other calls say.
 */
TEST(it_knows_both_its_addresses, ON_EACH_KERNEL)
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
TEST(the_peer_is_known_after_it_has_reset, ON_EACH_KERNEL)
{
	unsigned port = 0;
	struct wire w = { .on_lost = ask_peer, .arg = &port };
	struct plait_address peer;

	play(&w, "open");
	plait_transport_peer(w.transport, &peer);
	play(&w, "peer resets; end");
	ck_assert_uint_eq(port, plait_address_port(&peer));
}

TEST(a_peer_without_an_address_is_unknown, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };
	struct plait_address a = { .port = 7 };

	play(&w, "pair; open");
	ck_assert_int_eq(plait_transport_peer(w.transport, &a), -ENOTCONN);
	ck_assert_uint_eq(a.port, 7);
	wire_close(&w);
}

TEST(options_are_set_when_asked_for_and_not_before, ON_EACH_KERNEL)
{
	struct wire w = { .on_data = NULL };

	calls_reset();
	ck_assert(wire_open(&w, reactor));
	ck_assert_uint_eq(calls_of("setsockopt"), 0);
	ck_assert_uint_eq(calls_of("getsockname"), 0);
	ck_assert_int_eq(plait_transport_set_tcp_no_delay(w.transport, true),
			 0);
	ck_assert_int_eq(plait_transport_set_tcp_keep_alive(w.transport, true),
			 0);
	ck_assert(socket_option(w.fd, IPPROTO_TCP, TCP_NODELAY));
	ck_assert(socket_option(w.fd, SOL_SOCKET, SO_KEEPALIVE));
	ck_assert_int_eq(plait_transport_set_tcp_no_delay(w.transport, false),
			 0);
	ck_assert(!socket_option(w.fd, IPPROTO_TCP, TCP_NODELAY));
	fault_call("setsockopt", 1, ENOBUFS);
	ck_assert_int_eq(plait_transport_set_tcp_no_delay(w.transport, true),
			 -ENOBUFS);
	wire_close(&w);
}

TEST(another_kind_of_transport_has_no_options, PURE)
{
	struct plait_reactor *r = plait_testing_reactor_new();
	struct plait_factory f = { .protocol = &bare_ops };
	struct plait_transport *t = plait_testing_connect(r, &f);

	ck_assert_int_eq(plait_transport_set_tcp_no_delay(t, true), -ENOTSUP);
	ck_assert_int_eq(plait_transport_set_tcp_keep_alive(t, true), -ENOTSUP);
	ck_assert_int_eq(plait_transport_peer_credentials(t, NULL), -ENOTSUP);
	plait_reactor_free(&r);
}

static void check_str(struct wire *w, const char *state)
{
	struct plait_address peer;
	char expected[600], text[600], name[PLAIT_ADDRESS_SIZE];
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

TEST(it_can_print_itself_in_every_state, ON_EACH_KERNEL)
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
	plait_transport_abort_connection(w.transport);
	check_str(&w, "aborted, 0 bytes unsent");
	wire_close(&w);
}

/*
 * To be added to deferreds.
 */
TEST(then_write_sends_a_buffer_or_text_and_passes_none_on, ON_EACH_KERNEL)
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
	plait_transport_write_sequence(t, &piece, 1);
	plait_transport_pause_reading(t);
	plait_transport_resume_reading(t);
	plait_transport_register_producer(t, &p, true);
	plait_transport_unregister_producer(t);
	plait_transport_unregister_producer(t);
	plait_transport_unsent(t);
	plait_transport_host(t, &a);
	plait_transport_peer(t, &a);
	plait_transport_set_tcp_no_delay(t, true);
	plait_transport_set_tcp_keep_alive(t, true);
	plait_transport_str(t, text, sizeof(text));
	plait_transport_lose_write_connection(t);
	plait_transport_lose_connection(t);
	plait_transport_lose_connection(t);
	plait_transport_producer(t)->ops->stop(plait_transport_producer(t));
	plait_transport_abort_connection(t);
	plait_transport_abort_connection(t);
	plait_transport_write(t, "w", 1);
	ck_assert(plait_transport_is_disconnecting(t));
	plait_buf_unref(&b);
}

GROUP("states");

TEST(every_call_in_every_state_is_defined, ON_EACH_KERNEL, TIMES(8))
{
	static const char *const before[] = { "open", "open; lose",
					      "open; lose write",
					      "open; abort" };
	struct wire w = { .on_lost = call_everything };

	play(&w, before[_i % 4]);
	call_everything(&w);
	play(&w, _i >= 4 ? "turn" : "");
	play(&w, "lost; why ConnectionAborted: by this end; end; trace ML");
}

TEST(every_call_inside_connection_made_is_defined, ON_EACH_KERNEL)
{
	struct wire w = { .on_made = call_everything,
			  .on_lost = call_everything };

	play(&w, "open; end; trace ML");
}

static void write_after(struct wire *w)
{
	ck_assert_uint_eq(plait_transport_unsent(w->transport), 0);
	call_everything(w);
	ck_assert_uint_eq(plait_transport_unsent(w->transport), 0);
	ck_assert_int_eq(plait_transport_set_tcp_no_delay(w->transport, true),
			 -ENOTCONN);
}

TEST(calls_inside_connection_lost_are_nothing, ON_EACH_KERNEL)
{
	struct wire w = { .on_lost = write_after };

	play(&w, "open; lose; lost; why ConnectionDone; peer gets end; end");
}

/*
 * Watching.
 */
TEST(a_connection_that_cannot_be_watched_is_refused_and_closed, ON_EACH_KERNEL,
     TIMES(2))
{
	struct wire w = { .on_data = NULL };

	fault_alloc_at((unsigned long)_i, true);
	ck_assert(!wire_open(&w, reactor));
	ck_assert_int_eq(errno, ENOMEM);
	fault_alloc_off();
}

#ifdef HAVE_EPOLL
TEST(what_epoll_refuses_is_told, ON_EACH_KERNEL)
{
	struct wire w = { .on_data = NULL };

	if (strcmp(backend, "epoll") != 0)
		return;
	fault_call("epoll_ctl", 1, ENOSPC);
	ck_assert(!wire_open(&w, reactor));
	ck_assert_int_eq(errno, ENOSPC);
	w = (struct wire){ .on_data = NULL };
	play(&w, "open; pause; turn; resume; fail epoll_ctl ENOSPC; lost;"
		 "errno ENOSPC; end");
}
#endif

/* Hazard 10: closed by somebody else; what has its number now is not ours. */
TEST(a_descriptor_closed_by_somebody_else_is_a_loss, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = NULL };

	play(&w, "open");
	close(w.fd);
	play(&w, "pause; lost; errno EBADF; end; calls close 0");
}

static void abort_the_other(struct wire *w)
{
	struct wire *other = w->arg;

	if (other->transport != NULL)
		plait_transport_abort_connection(other->transport);
}

/* It was ending already when its descriptor was found to be lost. */
TEST(a_descriptor_lost_at_the_end_is_not_closed_again, ON_EACH_BACKEND)
{
	struct wire a = { .on_lost = abort_the_other };
	struct wire b = { .on_lost = abort_the_other, .arg = &a };

	a.arg = &b;
	play(&a, "open");
	play(&b, "open");
	close(a.fd);
	close(b.fd);
	play(&a, "pause");
	play(&b, "pause");
	wire_close(&a);
	play(&b, "end; calls close 0");
}

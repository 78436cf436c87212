/*
 * A stream of TLS that is cut off: at every byte, with and without a
 * close_notify before the cut, in pieces of every size.  It is whole only if a
 * genuine close_notify has come, and only then does plait say so.
 */
#include "tests/harness.h"
#include "tests/tls_ends.h"
#include "tests/tls_peer.h"

/* What has become of the protocol, which both factories count. */
static struct {
	unsigned made, lost, failed;
	const struct plait_error *why;
	struct plait_buf *got;
	struct plait_factory factory, *wrapped;
	struct plait_tls_context *server, *client;
	struct tls_peer peer;
	struct plait_transport *t;
} cut;

static void cut_made(struct plait_protocol *p)
{
	cut.made++;
}

static void cut_received(struct plait_protocol *p, const void *data, size_t len)
{
	plait_buf_append(cut.got, data, len);
}

static void cut_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	cut.lost++;
	cut.why = plait_failure_kind(why);
}

static const struct plait_protocol_ops cut_ops = {
	.name = "cut",
	.connection_made = cut_made,
	.data_received = cut_received,
	.connection_lost = cut_lost,
};

/* A server of plait, or a client, with a peer; nothing is said yet. */
static void cut_begin(bool is_server, int version)
{
	cut.made = cut.lost = cut.failed = 0;
	cut.why = NULL;
	cut.got = plait_buf_new(SIZE_MAX);
	cut.factory = (struct plait_factory){ .protocol = &cut_ops };
	cut.wrapped = plait_tls_wrap_factory(
		is_server ? cut.server : cut.client, &cut.factory,
		is_server ? NULL : TLS_NAME);
	cut.t = plait_testing_connect(reactor, cut.wrapped);
	tls_peer_begin(&cut.peer, is_server, is_server ? NULL : "good",
		       version);
}

static void cut_end(void)
{
	tls_peer_end(&cut.peer);
	plait_buf_unref(&cut.got);
	plait_tls_factory_free(&cut.wrapped);
	plait_testing_advance(reactor, 60);
}

/* The connection breaks off, as a FIN does it; nothing is left in a while. */
static void cut_off(void)
{
	plait_testing_deliver_eof(cut.t);
	plait_testing_advance(reactor, 60);
	ck_assert(!plait_testing_is_connected(cut.t));
	ck_assert_uint_eq(cut.lost, cut.made);
}

/* Each row is an end of plait with a version: sorted in EACH_OF(). */
static const struct {
	bool is_server;
	int version;
} ends[] = {
	{ true, TLS1_3_VERSION },
	{ true, TLS1_2_VERSION },
	{ false, TLS1_3_VERSION },
	{ false, TLS1_2_VERSION },
};

static void cut_setup(void)
{
	reactor = plait_testing_reactor_new();
	cut.server = tls_server(NULL);
	cut.client = tls_client(NULL);
}

static void cut_teardown(void)
{
	plait_tls_context_unref(&cut.server);
	plait_tls_context_unref(&cut.client);
	plait_reactor_free(&reactor);
}

static const char text[] = "one line\nanother line\n";

/* The peer says two lines in two records, and that this is all. */
static void cut_say_all(void)
{
	tls_peer_write(&cut.peer, "one line\n");
	tls_peer_write(&cut.peer, "another line\n");
	tls_peer_close(&cut.peer);
}

/* A whole conversation, of which that many bytes come. */
static void cut_at(size_t limit)
{
	cut.peer.limit = limit;
	tls_peer_talk(&cut.peer, cut.t);
	if (cut.peer.is_up) {
		cut_say_all();
		tls_peer_talk(&cut.peer, cut.t);
	}
	cut_off();
}

static void check_cut(bool is_cut)
{
	size_t size = plait_buf_size(cut.got);

	ck_assert_uint_le(size, strlen(text));
	ck_assert(size == 0 ||
		  memcmp(plait_buf_data(cut.got), text, size) == 0);
	if (cut.made == 0)
		return;
	if (is_cut)
		ck_assert_str_eq(cut.why->name, "TLSTruncatedError");
	else
		ck_assert_str_eq(cut.why->name, "ConnectionDone");
	if (!is_cut)
		ck_assert_uint_eq(size, strlen(text));
}

GROUP("cut", .setup = cut_setup, .teardown = cut_teardown, .timeout = 60);

/* The length of a handshake varies by a few bytes, as signatures do. */
TEST(a_stream_that_is_cut_at_any_byte_is_not_whole, PURE, EACH_OF(ends))
{
	bool is_cut = true;
	size_t n;

	for (n = 0; is_cut; n++) {
		cut_begin(ends[_i].is_server, ends[_i].version);
		cut_at(n);
		is_cut = cut.peer.is_cut;
		check_cut(is_cut);
		cut_end();
	}
	ck_assert_uint_gt(n, 400);
}

/* A record that comes byte by byte is read as one that comes whole. */
TEST(a_stream_may_come_in_pieces_of_any_size, PURE, EACH_PAIR(N_OF(ends), 5))
{
	static const size_t pieces[] = { 1, 2, 3, 5, 100 };

	cut_begin(ends[_i / 5].is_server, ends[_i / 5].version);
	cut.peer.piece = pieces[_i % 5];
	cut_at(SIZE_MAX);
	check_cut(false);
	ck_assert_uint_eq(cut.made, 1);
	cut_end();
}

/* How the stream ends that the peer does not end itself. */
static void end_with_eof(void)
{
	plait_testing_deliver_eof(cut.t);
}

static void end_with_reset(void)
{
	plait_value v = plait_fail_errno(&plait_error_connection_lost,
					 ECONNRESET, "recv");

	plait_testing_lose(cut.t, plait_value_failure(&v));
	plait_value_free(&v);
}

/* What the transport below calls a clean end is none for TLS. */
static void end_with_done(void)
{
	plait_value v = plait_connection_done();

	plait_testing_lose(cut.t, plait_value_failure(&v));
	plait_value_free(&v);
}

/* As whoever stands between the two can forge it: an alert that is a
   close_notify, but not encrypted. */
static void end_with_plain_close_notify(void)
{
	plait_testing_deliver(cut.t, "\x15\x03\x03\0\2\1\0", 7);
	plait_testing_deliver_eof(cut.t);
}

static void end_with_half_a_record(void)
{
	plait_testing_deliver(cut.t, "\x17\x03\x03\1\0half", 9);
	plait_testing_deliver_eof(cut.t);
}

static const struct {
	void (*end)(void);
	const char *why;
} ways[] = {
	{ end_with_eof, "TLSTruncatedError" },
	{ end_with_reset, "ConnectionLost" },
	{ end_with_done, "TLSTruncatedError" },
	{ end_with_plain_close_notify, "TLSError" },
	{ end_with_half_a_record, "TLSTruncatedError" },
};

TEST(no_end_but_a_genuine_close_notify_is_clean, PURE,
     EACH_PAIR(N_OF(ends), N_OF(ways)))
{
	int end = _i / N_OF(ways), way = _i % N_OF(ways);

	cut_begin(ends[end].is_server, ends[end].version);
	tls_peer_talk(&cut.peer, cut.t);
	tls_peer_write(&cut.peer, text);
	tls_peer_talk(&cut.peer, cut.t);
	ck_assert_uint_eq(cut.made, 1);
	ways[way].end();
	plait_testing_advance(reactor, 60);
	ck_assert_uint_eq(cut.lost, 1);
	ck_assert_str_eq(cut.why->name, ways[way].why);
	ck_assert_uint_eq(plait_buf_size(cut.got), strlen(text));
	cut_end();
}

/* What follows a close_notify was not said by the peer. */
TEST(what_comes_behind_a_close_notify_is_not_delivered, PURE, EACH_OF(ends))
{
	struct plait_buf *late;

	cut_begin(ends[_i].is_server, ends[_i].version);
	tls_peer_talk(&cut.peer, cut.t);
	tls_peer_write(&cut.peer, "too late");
	late = tls_peer_take(&cut.peer);
	tls_peer_close(&cut.peer);
	tls_peer_talk(&cut.peer, cut.t);
	plait_testing_deliver(cut.t, plait_buf_data(late),
			      plait_buf_size(late));
	plait_testing_deliver_eof(cut.t);
	plait_testing_advance(reactor, 60);
	ck_assert_uint_eq(cut.lost, 1);
	ck_assert_uint_eq(plait_buf_size(cut.got), 0);
	plait_buf_unref(&late);
	cut_end();
}

/* plait's own end: the peer must be able to tell, too. */
TEST(a_close_says_close_notify_and_an_abort_does_not, PURE,
     EACH_PAIR(N_OF(ends), 2))
{
	struct plait_transport *t;
	bool aborts = _i % 2;

	cut_begin(ends[_i / 2].is_server, ends[_i / 2].version);
	tls_peer_talk(&cut.peer, cut.t);
	t = plait_testing_protocol(cut.t)->transport;
	plait_transport_write(t, "the last words", 14);
	if (aborts)
		plait_transport_abort_connection(t);
	else
		plait_transport_lose_connection(t);
	tls_peer_talk(&cut.peer, cut.t);
	ck_assert_int_eq(cut.peer.is_done, !aborts);
	ck_assert_uint_eq(plait_buf_size(cut.peer.got), aborts ? 0 : 14);
	ck_assert(!cut.peer.is_broken);
	plait_testing_deliver_eof(cut.t);
	cut_end();
}

/* A protocol that has paused finds the end behind all that has come. */
TEST(a_cut_while_reading_is_paused_is_told_when_it_is_resumed, PURE,
     EACH_PAIR(N_OF(ends), 2))
{
	struct plait_transport *t;
	bool is_whole = _i % 2;

	cut_begin(ends[_i / 2].is_server, ends[_i / 2].version);
	tls_peer_talk(&cut.peer, cut.t);
	t = plait_testing_protocol(cut.t)->transport;
	plait_transport_pause_reading(t);
	plait_testing_advance(reactor, 0);
	tls_peer_write(&cut.peer, text);
	if (is_whole)
		tls_peer_close(&cut.peer);
	tls_peer_talk(&cut.peer, cut.t);
	plait_testing_deliver_eof(cut.t);
	plait_testing_advance(reactor, 1);
	ck_assert_uint_eq(plait_buf_size(cut.got), 0);
	ck_assert_uint_eq(cut.lost, 0);
	plait_transport_resume_reading(t);
	plait_testing_advance(reactor, 60);
	ck_assert_uint_eq(plait_buf_size(cut.got), strlen(text));
	ck_assert_str_eq(cut.why->name,
			 is_whole ? "ConnectionDone" : "TLSTruncatedError");
	cut_end();
}

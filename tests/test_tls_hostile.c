/*
 * A peer that says something else than it should, behind each record of a
 * conversation: every alert, every type of record, records that are too long,
 * or empty, and what is no TLS.  The connection fails for what was wrong, never
 * looks as if it had ended well, and nothing is left of it.
 */
#include "tests/harness.h"
#include "tests/tls_ends.h"
#include "tests/tls_peer.h"

static struct {
	unsigned made, lost, failed, deliveries;
	size_t received; /* bytes */
	const struct plait_error *why;
	int alert; /* of the failure that was told */
	struct plait_factory factory, *wrapped;
	struct plait_tls_context *server, *client;
	struct tls_peer peer;
	struct plait_transport *t;
} foe;

static void foe_made(struct plait_protocol *p)
{
	foe.made++;
}

static void foe_received(struct plait_protocol *p, const void *data, size_t len)
{
	foe.deliveries++;
	foe.received += len;
}

static void foe_note(const struct plait_failure *why)
{
	foe.why = plait_failure_kind(why);
	foe.alert = plait_tls_failure_alert(why);
}

static void foe_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	foe.lost++;
	foe_note(why);
}

static void foe_failed(const struct plait_address *peer,
		       const struct plait_failure *why, void *arg)
{
	foe.failed++;
	foe_note(why);
}

static void foe_not_connected(struct plait_factory *f,
			      struct plait_connector *c,
			      const struct plait_failure *why)
{
	foe.failed++;
	foe_note(why);
}

static const struct plait_factory_ops foe_factory_ops = {
	.connection_failed = foe_not_connected,
};

static const struct plait_protocol_ops foe_ops = {
	.name = "foe",
	.connection_made = foe_made,
	.data_received = foe_received,
	.connection_lost = foe_lost,
};

static const struct {
	bool is_server;
	int version;
} states[] = {
	{ true, TLS1_3_VERSION },
	{ true, TLS1_2_VERSION },
	{ false, TLS1_3_VERSION },
	{ false, TLS1_2_VERSION },
};

/* Their conversation, of which that many records of the peer have come. */
static void foe_begin(int i, size_t records)
{
	foe.made = foe.lost = foe.failed = foe.deliveries = 0;
	foe.received = 0;
	foe.why = NULL;
	foe.alert = -1;
	foe.factory = (struct plait_factory){ .protocol = &foe_ops,
					      .ops = &foe_factory_ops };
	foe.wrapped = plait_tls_wrap_factory(
		states[i].is_server ? foe.server : foe.client, &foe.factory,
		states[i].is_server ? NULL : TLS_NAME);
	foe.t = states[i].is_server
			? plait_testing_connect(reactor, foe.wrapped)
			: plait_testing_complete(plait_connect_tcp(
				  reactor, "127.0.0.1", 1, foe.wrapped, NULL));
	tls_peer_begin(&foe.peer, states[i].is_server,
		       states[i].is_server ? NULL : "good", states[i].version);
	foe.peer.max_records = records;
	foe.peer.piece = 0;
	tls_peer_talk(&foe.peer, foe.t);
}

/* What comes instead of the next record, and then the end. */
static void foe_say(const void *data, size_t len)
{
	plait_testing_deliver(foe.t, data, len);
	plait_testing_advance(reactor, 0);
	plait_testing_deliver_eof(foe.t);
	plait_testing_advance(reactor, 60);
}

/* It is over, for a reason that is bad, and both factories know. */
static void foe_end(int i)
{
	ck_assert(!plait_testing_is_connected(foe.t));
	ck_assert_uint_eq(foe.lost, foe.made);
	ck_assert_uint_eq(foe.failed + foe.made, 1);
	ck_assert_str_ne(foe.why->name, "ConnectionDone");
	tls_peer_end(&foe.peer);
	plait_tls_factory_free(&foe.wrapped);
	plait_testing_advance(reactor, 60);
}

/* Says it behind each record of the conversation. */
static void foe_say_anywhere(int i, const void *data, size_t len)
{
	bool is_cut = true;

	for (size_t n = 0; is_cut; n++) {
		foe_begin(i, n);
		is_cut = foe.peer.is_cut;
		foe_say(data, len);
		foe_end(i);
	}
}

static void foe_setup(void)
{
	reactor = plait_testing_reactor_new();
	foe.client = tls_client(NULL);
	foe.server = tls_server(
		&(struct plait_tls_server_options){ .failed = foe_failed });
}

static void foe_teardown(void)
{
	plait_tls_context_unref(&foe.server);
	plait_tls_context_unref(&foe.client);
	plait_reactor_free(&reactor);
}

GROUP("hostile", .setup = foe_setup, .teardown = foe_teardown, .timeout = 60);

enum { FATAL = 2 };

/* close_notify, some that peers send, and one that nobody knows. */
TEST(an_alert_that_is_not_encrypted_ends_it_anywhere, PURE, EACH_OF(states))
{
	static const char alerts[] = { 0,  10, 20,  40,	 42,  45,  48,
				       80, 90, 100, 112, 116, 120, (char)200 };

	for (size_t i = 0; i < sizeof(alerts); i++) {
		const char record[] = { 0x15, 3, 3, 0, 2, FATAL, alerts[i] };

		foe_say_anywhere(_i, record, sizeof(record));
	}
}

/* The first thing that an end hears is an alert, whose number it tells. */
TEST(the_alert_of_a_peer_that_refuses_is_told, PURE, FROM_TO(2, 4))
{
	for (int alert = 1; alert < 121; alert++) {
		const char record[] = { 0x15, 3, 3, 0, 2, FATAL, (char)alert };

		foe_begin(_i, 0);
		foe_say(record, sizeof(record));
		ck_assert_str_eq(foe.why->name, "TLSHandshakeError");
		ck_assert_int_eq(foe.alert, alert);
		foe_end(_i);
	}
}

TEST(a_record_of_any_type_ends_it_anywhere, PURE, EACH_OF(states))
{
	static const char types[] = { 0,  19, 20, 21,	22,	   23,
				      24, 25, 64, 0x7f, (char)128, (char)255 };

	for (size_t i = 0; i < sizeof(types); i++) {
		const char record[] = { types[i], 3, 3, 0, 4, 1, 2, 3, 4 };

		foe_say_anywhere(_i, record, sizeof(record));
	}
}

/* Each of these, or so many of them, one after the other. */
static const struct {
	const char *data;
	size_t len;
	unsigned times;
} nonsense[] = {
	{ "", 0, 1 },
	{ "\x16", 1, 1 },
	{ "\x16\x03\x01", 3, 1 },
	{ "\x16\x03\x03\0\0", 5, 100 }, /* empty */
	{ "\x17\x03\x03\0\0", 5, 100 },
	{ "\x15\x03\x03\0\0", 5, 100 },
	{ "\x14\x03\x03\0\1\1", 6, 100 },     /* change cipher spec */
	{ "\x15\x03\x03\0\2\1\x5a", 7, 100 }, /* user cancelled, a warning */
	{ "\x16\x03\x03\x48\1", 5, 1 },	      /* one byte too long */
	{ "\x16\x03\x03\xff\xff", 5, 1 },
	{ "\x16\x03\x03\0\4\0\0\0\0", 9, 100 },	     /* hello request */
	{ "\x16\x03\x03\0\4\1\xff\xff\xff", 9, 1 },  /* a long hello */
	{ "\x16\x03\x03\0\5\x18\0\0\1\0", 10, 100 }, /* key update */
	{ "\x18\x03\x03\0\3\1\x40\0", 8, 1 },	     /* heartbeat */
	{ "\x80\x2e\1\0\2\0\x15\0\0\0\x10", 11, 1 }, /* SSL 2 */
	{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, 1 },
	{ "SSH-2.0-OpenSSH_9.2\r\n", 21, 1 },
	{ "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, 100 },
};

TEST(nonsense_ends_it_anywhere, PURE, EACH_PAIR(N_OF(states), N_OF(nonsense)))
{
	int i = _i / N_OF(nonsense), what = _i % N_OF(nonsense);
	struct plait_buf *b = plait_buf_new(SIZE_MAX);

	for (unsigned n = 0; n < nonsense[what].times; n++)
		plait_buf_append(b, nonsense[what].data, nonsense[what].len);
	foe_say_anywhere(i, plait_buf_data(b), plait_buf_size(b));
	plait_buf_unref(&b);
}

/* Each third byte of what the peer says, in turn, is another one when it
   comes. */
TEST(a_byte_that_was_changed_on_the_way_ends_it, PURE, EACH_OF(states))
{
	bool was_changed = true;

	for (size_t at = 3; was_changed; at += 3) {
		foe_begin(_i, 0);
		foe.peer.max_records = SIZE_MAX;
		foe.peer.changed = at;
		tls_peer_talk(&foe.peer, foe.t);
		was_changed = foe.peer.sent > at;
		if (was_changed)
			ck_assert_msg(foe.made == 0 || foe.peer.is_broken ||
					      foe.why != NULL,
				      "byte %zu", at);
		foe_say("", 0);
		foe_end(_i);
	}
}

/* ---- what costs a peer little ------------------------------------ */

/* Asks for new keys, many times; returns how often it could. */
static int foe_ask_often(int times)
{
	struct plait_buf *b;
	int i;

	for (i = 0; i < times && plait_testing_is_connected(foe.t); i++) {
		SSL_key_update(foe.peer.ssl, SSL_KEY_UPDATE_REQUESTED);
		SSL_do_handshake(foe.peer.ssl);
		b = tls_peer_take(&foe.peer);
		plait_testing_deliver(foe.t, plait_buf_data(b),
				      plait_buf_size(b));
		plait_buf_unref(&b);
		plait_testing_advance(reactor, 0);
		ck_assert_uint_lt(plait_transport_unsent(foe.t), 20000);
	}
	return i;
}

enum { OFTEN = 2000 }; /* 54,000 bytes of answers */

TEST(a_peer_that_takes_no_answers_gets_no_more, PURE, TIMES(2))
{
	foe_begin(2 * _i, SIZE_MAX);
	ck_assert_uint_eq(foe.made, 1);
	plait_testing_set_window(foe.t, 0);
	foe_ask_often(OFTEN);
	plait_testing_advance(reactor, 60);
	ck_assert_ptr_eq(foe.why, &plait_error_tls);
	foe_end(2 * _i);
}

/* It may have as many keys as it wants. */
TEST(a_peer_that_takes_the_answers_gets_all, PURE, TIMES(2))
{
	foe_begin(2 * _i, SIZE_MAX);
	ck_assert_int_eq(foe_ask_often(OFTEN), OFTEN);
	ck_assert_uint_ge(plait_buf_size(plait_testing_written(foe.t)),
			  27 * (OFTEN - 1));
	tls_peer_talk(&foe.peer, foe.t);
	ck_assert(foe.peer.is_up && !foe.peer.is_broken);
	tls_peer_close(&foe.peer);
	tls_peer_talk(&foe.peer, foe.t);
	plait_testing_deliver_eof(foe.t);
	plait_testing_advance(reactor, 60);
	ck_assert_uint_eq(foe.lost, 1);
	ck_assert_str_eq(foe.why->name, "ConnectionDone");
	tls_peer_end(&foe.peer);
	plait_tls_factory_free(&foe.wrapped);
	plait_testing_advance(reactor, 60);
}

/* What comes in one turn, 64 KiB, is one delivery, so that the program works
   for its bytes and not for its records. */
TEST(records_of_one_byte_are_delivered_together, PURE, EACH_OF(states))
{
	enum { RECORDS = 2800, TURNS = 10 };
	struct plait_buf *b;

	foe_begin(_i, SIZE_MAX);
	ck_assert_uint_eq(foe.made, 1);
	for (unsigned turn = 1; turn <= TURNS; turn++) {
		for (int i = 0; i < RECORDS; i++)
			tls_peer_write(&foe.peer, "x");
		b = tls_peer_take(&foe.peer);
		ck_assert_uint_gt(plait_buf_size(b), 60000);
		plait_testing_deliver(foe.t, plait_buf_data(b),
				      plait_buf_size(b));
		plait_buf_unref(&b);
		ck_assert_uint_eq(foe.received, turn * RECORDS);
		ck_assert_uint_eq(foe.deliveries, turn);
		plait_testing_advance(reactor, 0);
	}
	foe_say("", 0);
	foe_end(_i);
}

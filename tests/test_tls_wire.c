/*
 * TLS between two recording transports, whose wire is the test: bytes come in
 * pieces of any size, and stop anywhere.
 */
#include <plait/testing.h>

#include "tests/harness.h"
#include "tests/timed.h"
#include "tests/tls_ends.h"
#include "tests/trace.h"

static struct plait_tls_context *of_server, *of_client;
static struct plait_factory *wrapped[2];
static struct plait_transport *wires[2];

static void setup(void)
{
	tls_ends_setup();
	reactor = plait_testing_reactor_new();
	of_server = tls_server(NULL);
	of_client = tls_client(NULL);
	wrapped[0] =
		plait_tls_wrap_factory(of_server, &at_server.factory, NULL);
	wrapped[1] = plait_tls_wrap_factory(of_client, &at_client.factory,
					    "poetry.example");
	wires[0] = plait_testing_connect(reactor, wrapped[0]);
	wires[1] = plait_testing_connect(reactor, wrapped[1]);
}

static void teardown(void)
{
	plait_reactor_free(&reactor);
	plait_tls_factory_free(&wrapped[0]);
	plait_tls_factory_free(&wrapped[1]);
	plait_tls_context_unref(&of_server);
	plait_tls_context_unref(&of_client);
	tls_ends_teardown();
}

/* Carries what an end has written to the other, in pieces; returns how much. */
static size_t carry(int from, size_t piece)
{
	const struct plait_buf *b = plait_testing_written(wires[from]);
	size_t size = plait_buf_size(b), len;
	char *bytes = malloc(size + 1);

	ck_assert_ptr_nonnull(bytes);
	memcpy(bytes, plait_buf_data(b), size);
	plait_testing_clear(wires[from]);
	for (size_t at = 0; at < size; at += len) {
		len = size - at < piece ? size - at : piece;
		plait_testing_deliver(wires[!from], bytes + at, len);
		plait_testing_advance(reactor, 0);
	}
	free(bytes);
	return size;
}

static void carry_all(size_t piece)
{
	plait_testing_advance(reactor, 0);
	while (carry(0, piece) + carry(1, piece) > 0)
		plait_testing_advance(reactor, 0);
}

GROUP("wire", .setup = setup, .teardown = teardown);

TEST(pieces_of_any_size_make_the_same, PURE, TIMES(4))
{
	static const size_t pieces[] = { 1, 7, 1000, 1000000 };

	at_client.says = "question";
	at_server.says = "answer";
	carry_all(pieces[_i]);
	ck_assert_uint_eq(at_client.made, 1);
	ck_assert_uint_eq(at_server.made, 1);
	ck_assert_uint_eq(at_client.received, 6);
	ck_assert_uint_eq(at_server.received, 8);
	plait_transport_lose_connection(tls_end_transport(&at_client));
	carry_all(pieces[_i]);
	plait_testing_advance(reactor, 10);
	ck_assert(plait_failure_check(at_server.why,
				      &plait_error_connection_done));
	ck_assert(plait_failure_check(at_client.why,
				      &plait_error_connection_done));
}

/* A client says something first, and a server waits. */
TEST(a_client_begins, PURE)
{
	const unsigned char *hello;

	plait_testing_advance(reactor, 0);
	ck_assert_uint_eq(plait_buf_size(plait_testing_written(wires[0])), 0);
	ck_assert_uint_gt(plait_buf_size(plait_testing_written(wires[1])), 100);
	hello = plait_buf_data(plait_testing_written(wires[1]));
	ck_assert_uint_eq(hello[0], 0x16);
	ck_assert_uint_eq(hello[1], 3);
}

/* An abort is no close: nothing says that the stream is whole. */
TEST(an_abort_sends_nothing, PURE)
{
	carry_all(1000000);
	tls_end_write(&at_client, "never sent");
	plait_transport_abort_connection(tls_end_transport(&at_client));
	plait_testing_advance(reactor, 1);
	ck_assert_uint_eq(plait_buf_size(plait_testing_written(wires[1])), 0);
	ck_assert(plait_testing_is_aborted(wires[1]));
}

/* What cannot be sent stays plain, but for a part. */
TEST(a_window_that_is_closed_stops_the_encryption, PURE)
{
	static const char much[1000000];
	struct plait_transport *t;

	carry_all(1000000);
	t = tls_end_transport(&at_client);
	plait_testing_set_window(wires[1], 0);
	plait_transport_write(t, much, sizeof(much));
	plait_testing_advance(reactor, 1);
	ck_assert_uint_ge(plait_transport_unsent(t), sizeof(much));
	ck_assert_uint_lt(plait_transport_unsent(wires[1]), 100000);
	plait_testing_set_window(wires[1], SIZE_MAX);
	at_server.quiet = true;
	carry_all(1000000);
	ck_assert_uint_eq(at_server.received, sizeof(much));
}

/* A record that somebody has changed. */
TEST(a_changed_byte_ends_the_connection, PURE)
{
	const struct plait_buf *b;
	char bytes[1000];
	size_t size;

	carry_all(1000000);
	tls_end_write(&at_client, "hello");
	plait_testing_advance(reactor, 0);
	b = plait_testing_written(wires[1]);
	size = plait_buf_size(b);
	memcpy(bytes, plait_buf_data(b), size);
	bytes[size - 1] ^= 1;
	plait_testing_deliver(wires[0], bytes, size);
	plait_testing_advance(reactor, 0);
	ck_assert_uint_eq(at_server.received, 0);
	ck_assert_ptr_eq(plait_failure_kind(at_server.why), &plait_error_tls);
	ck_assert_ptr_nonnull(
		strstr(plait_failure_message(at_server.why), "bad record mac"));
	/* The peer is told. */
	carry(0, 1000);
	plait_testing_advance(reactor, 0);
	ck_assert_ptr_eq(plait_failure_kind(at_client.why), &plait_error_tls);
	ck_assert_int_eq(plait_tls_failure_alert(at_client.why), 20);
}

TEST(a_window_that_stays_closed_ends_a_close, PURE, TIMES(2))
{
	static const char much[1000000];

	carry_all(1000000);
	plait_testing_set_window(wires[1], 0);
	plait_transport_write(tls_end_transport(&at_client), much,
			      _i == 0 ? 5 : sizeof(much));
	plait_transport_lose_connection(tls_end_transport(&at_client));
	for (int n = 0; n < 10; n++)
		plait_testing_advance(reactor, 10);
	ck_assert_uint_eq(at_client.lost, 1);
	ck_assert_ptr_eq(plait_failure_kind(at_client.why),
			 &plait_error_connection_aborted);
}

/* The reactor is freed without a turn; the data have 30 bytes, and there may be
   no room for the close_notify behind them. */
TEST(a_close_that_cannot_be_said_is_a_loss, PURE, TIMES(2))
{
	carry_all(1000000);
	plait_testing_set_window(wires[1], _i == 0 ? 100 : 30);
	tls_end_write(&at_client, "good bye");
	plait_transport_lose_connection(tls_end_transport(&at_client));
	plait_reactor_free(&reactor);
	ck_assert_str_eq(plait_failure_kind(at_client.why)->name,
			 _i == 0 ? "ConnectionDone" : "ConnectionLost");
}

/* There are no data, so nothing but the end has to be sent. */
TEST(an_end_alone_is_said_when_the_reactor_is_freed, PURE, TIMES(2))
{
	carry_all(1000000);
	plait_testing_set_window(wires[1], _i == 0 ? 100 : 10);
	plait_transport_lose_connection(tls_end_transport(&at_client));
	plait_reactor_free(&reactor);
	ck_assert_str_eq(plait_failure_kind(at_client.why)->name,
			 _i == 0 ? "ConnectionDone" : "ConnectionLost");
}

/* Each of its own, as they are written in turns of their own. */
TEST(records_that_do_not_fit_into_a_buffer_are_read_to_the_end, PURE)
{
	static const char bytes[10000];

	carry_all(1000000);
	at_server.quiet = true;
	for (int i = 0; i < 4; i++) {
		plait_transport_write(tls_end_transport(&at_client), bytes,
				      sizeof(bytes));
		plait_testing_advance(reactor, 0);
	}
	carry_all(1000000);
	ck_assert_uint_eq(at_server.received, 4 * sizeof(bytes));
}

/* A record adds 22 bytes. */
TEST(pieces_that_are_not_copied_are_one_record, PURE)
{
	static const char bytes[400];
	struct plait_buf *b;

	carry_all(1000000);
	for (int i = 0; i < 20; i++) {
		b = plait_buf_copy(bytes, sizeof(bytes));
		plait_transport_write_buf(tls_end_transport(&at_client), b);
		plait_buf_unref(&b);
	}
	plait_testing_advance(reactor, 0);
	ck_assert_uint_eq(plait_buf_size(plait_testing_written(wires[1])),
			  20 * sizeof(bytes) + 22);
}

/* The failure waits until the peer can be told why. */
TEST(an_alert_waits_for_room, PURE)
{
	carry_all(1000000);
	plait_testing_set_window(wires[0], 0);
	plait_testing_deliver(wires[0],
			      "\x17\x03\x03\x00\x14"
			      "12345678901234567890",
			      25);
	plait_testing_advance(reactor, 1);
	ck_assert_uint_eq(plait_buf_size(plait_testing_written(wires[0])), 0);
	plait_testing_set_window(wires[0], 1000);
	plait_testing_advance(reactor, 1);
	carry(0, 1000);
	plait_testing_advance(reactor, 1);
	ck_assert_int_eq(plait_tls_failure_alert(at_client.why), 20);
	ck_assert_ptr_eq(plait_failure_kind(at_server.why), &plait_error_tls);
}

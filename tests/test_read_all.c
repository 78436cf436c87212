/*
 * All that a server sends: what comes of it, whatever the server does, and
 * cancelled at every stage.
 */
#include <stdio.h>
#include <sys/socket.h>

#include <plait/plait.h>

#include "tests/child.h"
#include "tests/harness.h"

enum { MAX = 100 };

static int listener, server; /* the server, once it has accepted; or -1 */
static uint16_t number;
static struct plait_deferred *d;

static void setup(void)
{
	listener = peer_listen(&number, 8);
	server = -1;
}

static void teardown(void)
{
	close(listener);
}

static void read_all(plait_value request)
{
	d = plait_client_read_all(reactor, "127.0.0.1", number, request, MAX,
				  NULL);
}

static bool has_fired(void *arg)
{
	return plait_deferred_is_fired(d);
}

static bool is_waiting(void *arg)
{
	fd_set fds;

	FD_ZERO(&fds);
	FD_SET(listener, &fds);
	return select(listener + 1, &fds, NULL, NULL, &(struct timeval){ 0 }) >
	       0;
}

/* The server has the connection, and the client knows that it is made. */
static void meet(void)
{
	run_until(reactor, is_waiting, NULL);
	server = peer_accept(listener);
	run_turns(reactor, 3);
}

static void server_closes(void)
{
	if (server >= 0)
		close(server);
	server = -1;
}

static void server_resets(void)
{
	peer_reset(server);
	server = -1;
}

/* It fires with this text. */
static void gives(const char *text)
{
	const struct plait_buf *b;

	run_until(reactor, has_fired, NULL);
	b = plait_value_buf(plait_deferred_result(d));
	ck_assert_uint_eq(plait_buf_size(b), strlen(text));
	ck_assert_int_eq(memcmp(plait_buf_data(b), text, strlen(text)), 0);
	plait_deferred_free(&d);
}

static plait_value ignore(plait_value *result, void *arg)
{
	return PLAIT_NONE;
}

static void fails(const struct plait_error *kind, const char *text)
{
	const struct plait_failure *f;
	char line[256], wanted[256];

	run_until(reactor, has_fired, NULL);
	f = plait_value_failure(plait_deferred_result(d));
	ck_assert_ptr_eq(plait_failure_kind(f), kind);
	plait_failure_str(f, line, sizeof(line));
	snprintf(wanted, sizeof(wanted), text, (unsigned)number);
	ck_assert_msg(strstr(line, wanted) != NULL, "%s", line);
	plait_deferred_add_errback(d, ignore, NULL);
	plait_deferred_free(&d);
	server_closes();
	run_turns(reactor, 3);
}

GROUP("reading", .setup = setup, .teardown = teardown);

TEST(everything_until_the_server_closes_is_one_buffer, ON_EACH_BACKEND)
{
	read_all(PLAIT_NONE);
	meet();
	peer_say(server, "once upon ");
	run_turns(reactor, 3);
	peer_say(server, "a midnight dreary");
	run_turns(reactor, 3);
	ck_assert(!plait_deferred_is_fired(d));
	server_closes();
	gives("once upon a midnight dreary");
}

TEST(a_server_that_sends_nothing_gives_an_empty_buffer, ON_EACH_BACKEND)
{
	read_all(PLAIT_NONE);
	meet();
	server_closes();
	gives("");
}

/* All is there before the client knows that it is connected. */
TEST(a_server_that_has_closed_by_then_is_read_all_the_same, ON_EACH_BACKEND)
{
	int fd;

	read_all(PLAIT_NONE);
	run_until(reactor, is_waiting, NULL);
	fd = peer_accept(listener);
	peer_say(fd, "nevermore");
	close(fd);
	gives("nevermore");
}

TEST(the_request_is_sent_first, ON_EACH_BACKEND, TIMES(2))
{
	char got[5];

	read_all(_i == 0 ? plait_text("hello")
			 : plait_buf_value(plait_buf_copy("hello", 5)));
	meet();
	ck_assert_int_eq(peer_read(reactor, server, got, 5), 5);
	ck_assert_int_eq(memcmp(got, "hello", 5), 0);
	peer_say(server, "yes");
	server_closes();
	gives("yes");
}

TEST(exactly_as_much_as_may_come_is_not_too_much, ON_EACH_BACKEND)
{
	char text[MAX + 1] = { 0 };

	memset(text, 'x', MAX);
	read_all(PLAIT_NONE);
	meet();
	peer_say(server, text);
	server_closes();
	gives(text);
}

TEST(more_than_may_come_is_a_failure_at_once, ON_EACH_BACKEND)
{
	char text[MAX + 2] = { 0 };

	memset(text, 'x', MAX + 1);
	read_all(PLAIT_NONE);
	meet();
	peer_say(server, text);
	run_until(reactor, has_fired, NULL);
	ck_assert_int_eq(peer_read_to_eof(reactor, server, NULL, 1),
			 -ECONNRESET);
	fails(&plait_error_os, "more than 100 bytes from 127.0.0.1:%u: ");
}

TEST(a_server_that_breaks_off_is_a_failure, ON_EACH_BACKEND)
{
	read_all(PLAIT_NONE);
	meet();
	peer_say(server, "once upon a");
	run_turns(reactor, 3);
	server_resets();
	fails(&plait_error_connection_lost,
	      "ConnectionLost: reading from 127.0.0.1:%u");
}

TEST(a_server_that_refuses_is_a_failure, ON_EACH_BACKEND)
{
	uint16_t kept = number;
	int fd = peer_hold_port(&number);

	read_all(plait_buf_value(plait_buf_copy("hello", 5)));
	ck_assert(!plait_deferred_is_fired(d));
	fails(&plait_error_connection_refused,
	      "ConnectionRefusedError: connect to 127.0.0.1:%u");
	number = kept;
	close(fd);
}

TEST(options_are_those_of_connecting, ON_EACH_BACKEND)
{
	struct plait_connect_options o = { .bind_address = "no address" };

	d = plait_client_read_all(reactor, "127.0.0.1", number, PLAIT_NONE, MAX,
				  &o);
	fails(&plait_error_bind, "");
}

TEST(a_request_that_there_is_no_memory_for_is_the_failure, ON_EACH_BACKEND)
{
	read_all(plait_buf_value(NULL));
	ck_assert(plait_deferred_is_fired(d));
	fails(&plait_error_no_memory, "");
}

static void ask_with_a_number(void *arg)
{
	read_all(plait_int(7));
}

TEST(a_request_of_another_type_aborts, ON_EACH_BACKEND)
{
	assert_aborts(ask_with_a_number, NULL, "value is an int, not a buf");
}

/* ---- cancelling ------------------------------------------------------ */

GROUP("cancelling", .setup = setup, .teardown = teardown);

TEST(cancelling_while_it_connects_stops_that, ON_EACH_BACKEND)
{
	read_all(plait_buf_value(plait_buf_copy("hello", 5)));
	plait_deferred_cancel(d);
	fails(&plait_error_cancelled, "");
	run_turns(reactor, 5);
	ck_assert(!is_waiting(NULL));
}

/* Before the deferred of the client has fired, and after. */
TEST(cancelling_aborts_the_connection_at_once, ON_EACH_BACKEND, TIMES(2))
{
	read_all(PLAIT_NONE);
	run_until(reactor, is_waiting, NULL);
	if (_i == 1)
		run_turns(reactor, 4);
	plait_deferred_cancel(d);
	ck_assert(plait_deferred_is_fired(d));
	run_turns(reactor, 1);
	server = peer_accept(listener);
	if (server >= 0)
		ck_assert_int_ne(peer_read_to_eof(NULL, server, NULL, 1), 1);
	fails(&plait_error_cancelled, "");
}

TEST(a_deadline_ends_it, ON_EACH_BACKEND)
{
	clock_virtual(true);
	read_all(PLAIT_NONE);
	plait_deferred_add_timeout(d, reactor, 5);
	meet();
	peer_say(server, "once");
	run_for(reactor, 4.9);
	ck_assert(!plait_deferred_is_fired(d));
	run_for(reactor, 0.2);
	ck_assert_int_eq(peer_read_to_eof(NULL, server, NULL, 1), -ECONNRESET);
	fails(&plait_error_timeout, "");
}

TEST(the_end_of_the_reactor_is_a_failure, ON_EACH_BACKEND, TIMES(3))
{
	read_all(plait_buf_value(plait_buf_copy("hello", 5)));
	if (_i == 1)
		run_until(reactor, is_waiting, NULL);
	if (_i == 2)
		meet();
	plait_reactor_free(&reactor);
	ck_assert(plait_deferred_is_fired(d));
	ck_assert(plait_value_is_failure(plait_deferred_result(d)));
	plait_deferred_add_errback(d, ignore, NULL);
	plait_deferred_free(&d);
	server_closes();
}

/* In a child, which has the connection too; in both orders. */
static void give_up_in_child(void *arg)
{
	if (arg != NULL)
		plait_reactor_free(&reactor);
	plait_deferred_free(&d);
	if (arg == NULL)
		plait_reactor_free(&reactor);
}

TEST(a_child_that_gives_up_leaves_that_of_the_parent_alone, ON_EACH_BACKEND,
     TIMES(2))
{
	const char *said;
	int status;

	read_all(PLAIT_NONE);
	meet();
	status = child_run(give_up_in_child, _i == 0 ? NULL : &said, &said);
	ck_assert_msg(status == 0 && *said == 0, "%d: %s", status, said);
	peer_say(server, "nevermore");
	server_closes();
	gives("nevermore");
}

/* ---- without memory -------------------------------------------------- */

static void whole_download(struct plait_reactor *r)
{
	int fd = -1;

	setup();
	d = plait_client_read_all(r, "127.0.0.1", number,
				  plait_buf_value(plait_buf_copy("hello", 5)),
				  MAX, NULL);
	for (int i = 0; i < 20 && fd < 0 && !plait_deferred_is_fired(d); i++) {
		run_turns(r, 1);
		if (is_waiting(NULL))
			fd = peer_accept(listener);
	}
	if (fd >= 0) {
		peer_say(fd, "yes");
		shutdown(fd, SHUT_WR);
	}
	run_for(r, 60);
	if (!torture_faulty())
		ck_assert_uint_eq(plait_buf_size(plait_value_buf(
					  plait_deferred_result(d))),
				  3);
	plait_deferred_add_errback(d, ignore, NULL);
	plait_deferred_free(&d);
	if (fd >= 0)
		close(fd);
	run_for(r, 60);
	teardown();
}

GROUP("torture", .timeout = 60);

TEST(reading_survives_any_refused_allocation, ON_EACH_BACKEND)
{
	torture(whole_download, backend);
}

TEST(reading_survives_any_failing_call, ON_EACH_BACKEND)
{
	torture_syscalls(whole_download, backend);
}

/*
 * Ports for datagrams: what programs are told, and what the system is asked.
 */
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/wait.h>

#include <plait/testing.h>

#include "tests/harness.h"

/* ---- ends ---------------------------------------------------------------- */

enum { LOG = 400, LARGE = 65507 };

/* An end notes what it is told, a letter each:
   S started, r received, t ... truncated, F failed, R room, X stopped, D done.
 */
struct end {
	struct plait_datagram_protocol base;
	struct plait_port *port;
	struct plait_address at, from, to, failed_to;
	char log[LOG];
	size_t logged, received, size;
	unsigned char data[LARGE + 1];
	int err;
	bool knows_to, more;
	unsigned ecn;
	/* What it does, if not NULL. */
	void (*on_received)(struct end *e, const void *data, size_t len,
			    const struct plait_datagram_info *info);
	void (*on_started)(struct end *e);
	void (*on_room)(struct end *e);
	unsigned n_received, n_failed;
};

static void note(struct end *e, char what)
{
	if (e->logged + 1 < LOG)
		e->log[e->logged++] = what;
}

static struct end *end_of(struct plait_datagram_protocol *p)
{
	return plait_container(p, struct end, base);
}

static void end_started(struct plait_datagram_protocol *p)
{
	note(end_of(p), 'S');
	if (end_of(p)->on_started != NULL)
		end_of(p)->on_started(end_of(p));
}

static void end_received(struct plait_datagram_protocol *p, const void *data,
			 size_t len, const struct plait_datagram_info *info)
{
	struct end *e = end_of(p);

	note(e, info->truncated ? 't' : 'r');
	e->from = *info->from;
	e->knows_to = info->to != NULL;
	if (info->to != NULL)
		e->to = *info->to;
	e->received = len;
	e->size = info->size;
	e->more = info->more;
	e->ecn = info->ecn;
	e->n_received++;
	if (len > 0)
		memcpy(e->data, data, len);
	if (e->on_received != NULL)
		e->on_received(e, data, len, info);
}

static void end_failed(struct plait_datagram_protocol *p,
		       const struct plait_failure *why,
		       const struct plait_address *to)
{
	note(end_of(p), 'F');
	end_of(p)->n_failed++;
	end_of(p)->err = plait_failure_errno(why);
	end_of(p)->failed_to = *to;
}

static void end_room(struct plait_datagram_protocol *p)
{
	note(end_of(p), 'R');
	if (end_of(p)->on_room != NULL)
		end_of(p)->on_room(end_of(p));
}

static void end_stopped(struct plait_datagram_protocol *p,
			const struct plait_failure *why)
{
	note(end_of(p), 'X');
	ck_assert_ptr_null(p->port);
}

static void end_done(struct plait_datagram_protocol *p)
{
	note(end_of(p), 'D');
}

static const struct plait_datagram_ops end_ops = {
	.name = "end",
	.started = end_started,
	.received = end_received,
	.failed = end_failed,
	.room = end_room,
	.stopped = end_stopped,
	.done = end_done,
};

static struct end server, client;

static void setup(void)
{
	server = client = (struct end){ .base.ops = &end_ops };
}

static int listen_on(struct end *e, const char *ip, struct plait_udp_options o)
{
	int err;

	o.iface = ip;
	err = plait_listen_udp(reactor, 0, &e->base, &o, &e->port);
	if (err == 0)
		plait_port_host(e->port, &e->at);
	return err;
}

static void begin(const char *ip, struct plait_udp_options of_server)
{
	ck_assert_int_eq(listen_on(&server, ip, of_server), 0);
	ck_assert_int_eq(listen_on(&client, ip,
				   (struct plait_udp_options){ .max_size = 0 }),
			 0);
}

static const struct plait_udp_options plain;

static void connect_client(const char *ip, unsigned port)
{
	ck_assert_int_eq(plait_connect_udp(reactor, ip, port, &client.base,
					   NULL, &client.port),
			 0);
	plait_port_host(client.port, &client.at);
}

static int say(struct end *e, const char *text, const struct plait_address *to)
{
	return plait_datagram_send(&e->base, text, strlen(text), to);
}

static bool has_received(void *arg)
{
	return ((struct end *)arg)->n_received > 0;
}

static bool has_failed(void *arg)
{
	return ((struct end *)arg)->n_failed > 0;
}

static bool is_done(void *arg)
{
	return strchr(((struct end *)arg)->log, 'D') != NULL;
}

static void finish(void)
{
	plait_port_free(&server.port);
	plait_port_free(&client.port);
	run_turns(reactor, 3);
}

static void echo(struct end *e, const void *data, size_t len,
		 const struct plait_datagram_info *info)
{
	ck_assert_int_eq(plait_datagram_reply(&e->base, data, len, info), 0);
}

GROUP("ports", .setup = setup);

static const char *const loopbacks[] = { "127.0.0.1", "::1" };

TEST(a_datagram_goes_there_and_back, ON_EACH_KERNEL, EACH_OF(loopbacks))
{
	begin(loopbacks[_i], plain);
	server.on_received = echo;
	ck_assert_int_eq(say(&client, "hello", &server.at), 0);
	ck_assert(run_until(reactor, has_received, &client));
	ck_assert_mem_eq(client.data, "hello", 5);
	ck_assert_uint_eq(client.received, 5);
	ck_assert_uint_eq(client.size, 5);
	ck_assert(plait_address_equal(&client.from, &server.at));
	ck_assert(plait_address_equal(&server.from, &client.at));
	finish();
	ck_assert_str_eq(server.log, "SrXD");
	ck_assert_str_eq(client.log, "SrXD");
}

TEST(an_empty_datagram_is_data, ON_EACH_KERNEL)
{
	begin("127.0.0.1", plain);
	server.on_received = echo;
	ck_assert_int_eq(plait_datagram_send(&client.base, NULL, 0, &server.at),
			 0);
	ck_assert(run_until(reactor, has_received, &client));
	ck_assert_uint_eq(client.received, 0);
	finish();
	ck_assert_str_eq(client.log, "SrXD");
}

TEST(the_largest_datagram_arrives_and_a_larger_one_is_refused, ON_EACH_KERNEL)
{
	static char large[LARGE + 1];

	memset(large, 'x', sizeof(large));
	begin("127.0.0.1", (struct plait_udp_options){ .max_size = 65535 });
	ck_assert_int_eq(
		plait_datagram_send(&client.base, large, LARGE + 1, &server.at),
		-EMSGSIZE);
	ck_assert_int_eq(
		plait_datagram_send(&client.base, large, LARGE, &server.at), 0);
	ck_assert(run_until(reactor, has_received, &server));
	ck_assert_uint_eq(server.received, LARGE);
	ck_assert_mem_eq(server.data, large, LARGE);
	finish();
	ck_assert_str_eq(server.log, "SrXD");
}

TEST(what_is_longer_than_wanted_is_told_as_truncated, ON_EACH_KERNEL)
{
	begin("127.0.0.1", (struct plait_udp_options){ .max_size = 4 });
	say(&client, "hello", &server.at);
	ck_assert(run_until(reactor, has_received, &server));
	ck_assert_uint_eq(server.received, 4);
	ck_assert_uint_eq(server.size, 5);
	finish();
	ck_assert_str_eq(server.log, "StXD");
}

TEST(a_connected_port_needs_no_address, ON_EACH_KERNEL, EACH_OF(loopbacks))
{
	ck_assert_int_eq(listen_on(&server, loopbacks[_i], plain), 0);
	connect_client(loopbacks[_i], plait_address_port(&server.at));
	server.on_received = echo;
	ck_assert_int_eq(say(&client, "x", &server.at), -EISCONN);
	ck_assert_int_eq(say(&server, "x", NULL), -EDESTADDRREQ);
	ck_assert_int_eq(say(&client, "x", NULL), 0);
	ck_assert(run_until(reactor, has_received, &client));
	ck_assert(plait_address_equal(&client.from, &server.at));
	finish();
}

TEST(what_a_callback_sends_leaves_in_one_call, ON_EACH_KERNEL)
{
	begin("127.0.0.1", plain);
	run_turns(reactor, 1);
	calls_reset();
	for (int i = 0; i < 32; i++)
		ck_assert_int_eq(say(&client, "x", &server.at), 0);
	run_turns(reactor, 2);
	ck_assert_uint_eq(server.n_received, 32);
	ck_assert_uint_eq(calls_of("sendmmsg"), 1);
	ck_assert_uint_eq(calls_of("recvmmsg"), 1);
	finish();
}

/* As a loop of recvmmsg() and sendmmsg() that is written by hand. */
TEST(requests_that_come_together_cost_three_calls, ON_EACH_KERNEL)
{
	begin("127.0.0.1", plain);
	server.on_received = echo;
	for (int i = 0; i < 32; i++)
		say(&client, "x", &server.at);
	run_turns(reactor, 1);
	plait_port_pause_accepting(client.port);
	while (server.n_received < 32)
		run_turns(reactor, 1);
	server.n_received = 0;
	for (int i = 0; i < 32; i++)
		say(&client, "x", &server.at);
	calls_reset();
	run_turns(reactor, 1);
	ck_assert_uint_eq(server.n_received, 32);
	ck_assert_uint_eq(calls_of("sendmmsg"), 2); /* the client's is one */
	ck_assert_uint_eq(calls_of("recvmmsg"), 1);
	ck_assert_uint_eq(calls_of("epoll_wait") + calls_of("select"), 1);
	ck_assert_uint_eq(calls_of("epoll_ctl") + calls_of("recvmsg") +
				  calls_of("malloc") + calls_of("calloc") +
				  calls_of("realloc"),
			  0);
	finish();
}

TEST(more_is_said_of_all_but_the_last_of_a_batch, ON_EACH_KERNEL)
{
	begin("127.0.0.1", plain);
	say(&client, "a", &server.at);
	say(&client, "b", &server.at);
	run_turns(reactor, 2);
	ck_assert_uint_eq(server.n_received, 2);
	ck_assert(!server.more);
	finish();
}

enum { LONG = 3000 };

/* Their memory grows while they wait for the end of the callback. */
static void expect_own_bytes(struct end *e, const void *data, size_t len,
			     const struct plait_datagram_info *info)
{
	const unsigned char *bytes = data;

	ck_assert_uint_eq(len, LONG);
	for (size_t i = 0; i < len; i++)
		ck_assert_uint_eq(bytes[i], e->n_received);
}

TEST(each_datagram_of_a_callback_keeps_its_bytes, ON_EACH_KERNEL)
{
	unsigned char bytes[LONG];

	begin("127.0.0.1", plain);
	server.on_received = expect_own_bytes;
	for (int i = 1; i <= 10; i++) {
		memset(bytes, i, sizeof(bytes));
		ck_assert_int_eq(plait_datagram_send(&client.base, bytes,
						     sizeof(bytes), &server.at),
				 0);
	}
	run_turns(reactor, 3);
	ck_assert_uint_eq(server.n_received, 10);
	finish();
}

TEST(a_callback_keeps_no_more_than_64_kib, ON_EACH_KERNEL)
{
	static char large[30000];

	begin("127.0.0.1", (struct plait_udp_options){ .max_size = 65535 });
	run_turns(reactor, 1);
	calls_reset();
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(plait_datagram_send(&client.base, large,
						     sizeof(large), &server.at),
				 0);
	run_turns(reactor, 4);
	ck_assert_uint_eq(server.n_received, 4);
	ck_assert_uint_eq(calls_of("sendmmsg"), 2);
	finish();
}

/* They share what they read with. */
TEST(ports_of_different_sizes_read_in_turn, ON_EACH_KERNEL)
{
	begin("127.0.0.1", (struct plait_udp_options){ .max_size = 4 });
	for (int i = 0; i < 3; i++) {
		say(&client, "hello", &server.at);
		run_turns(reactor, 2);
		ck_assert_uint_eq(server.received, 4);
		say(&server, "hello", &client.at);
		run_turns(reactor, 2);
		ck_assert_uint_eq(client.received, 5);
	}
	finish();
	ck_assert_str_eq(client.log, "SrrrXD");
}

TEST(more_than_a_batch_leaves_in_several_calls, ON_EACH_KERNEL)
{
	begin("127.0.0.1", plain);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(say(&client, "x", &server.at), 0);
	run_turns(reactor, 8);
	ck_assert_uint_eq(server.n_received, 100);
	ck_assert_uint_eq(calls_of("sendmmsg"), 4);
	finish();
}

/* ---- errors -------------------------------------------------------------- */

/* Where nobody is. */
static struct plait_address nobodys_port(void)
{
	struct end gone = { .base.ops = &end_ops };

	ck_assert_int_eq(listen_on(&gone, "127.0.0.1", plain), 0);
	plait_port_free(&gone.port);
	run_turns(reactor, 2);
	return gone.at;
}

TEST(a_port_that_nobody_has_is_told_with_its_address, ON_EACH_KERNEL)
{
	struct plait_address nowhere = nobodys_port();

	begin("127.0.0.1", plain);
	say(&client, "x", &nowhere);
	ck_assert(run_until(reactor, has_failed, &client));
	ck_assert_int_eq(client.err, ECONNREFUSED);
	ck_assert(plait_address_equal(&client.failed_to, &nowhere));
	say(&client, "x", &server.at);
	ck_assert(run_until(reactor, has_received, &server));
	finish();
	ck_assert_str_eq(client.log, "SFXD");
}

TEST(a_connected_port_is_told_of_it_too_and_lives_on, ON_EACH_KERNEL)
{
	struct plait_address nowhere = nobodys_port();

	connect_client("127.0.0.1", plait_address_port(&nowhere));
	for (int i = 1; i <= 3; i++) {
		client.n_failed = 0;
		ck_assert_int_eq(say(&client, "x", NULL), 0);
		ck_assert(run_until(reactor, has_failed, &client));
		ck_assert_int_eq(client.err, ECONNREFUSED);
	}
	finish();
	ck_assert_str_eq(client.log, "SFFFXD");
}

/* The kernel fails the next send with the error of an older datagram. */
TEST(the_error_of_one_datagram_does_not_cost_another, ON_EACH_KERNEL)
{
	struct plait_address nowhere = nobodys_port();

	begin("127.0.0.1", plain);
	run_turns(reactor, 1);
	say(&client, "x", &nowhere);
	say(&client, "y", &server.at);
	say(&client, "x", &nowhere);
	say(&client, "z", &server.at);
	run_turns(reactor, 3);
	ck_assert_uint_eq(server.n_received, 2);
	ck_assert_uint_eq(client.n_failed, 2);
	ck_assert(plait_address_equal(&client.failed_to, &nowhere));
	finish();
}

static struct plait_address nowhere_at_all;

/* The 33rd is alone in its call, and the error of those before it waits. */
static void say_to_nobody_then_answer(struct end *e, const void *data,
				      size_t len,
				      const struct plait_datagram_info *info)
{
	for (int i = 0; i < 32; i++)
		say(e, "x", &nowhere_at_all);
	ck_assert_int_eq(say(e, "y", info->from), 0);
}

TEST(an_error_that_waits_does_not_cost_the_next_call, ON_EACH_KERNEL)
{
	nowhere_at_all = nobodys_port();
	begin("127.0.0.1", plain);
	server.on_received = say_to_nobody_then_answer;
	say(&client, "x", &server.at);
	ck_assert(run_until(reactor, has_received, &client));
	ck_assert_mem_eq(client.data, "y", 1);
	run_turns(reactor, 3);
	ck_assert(plait_address_equal(&server.failed_to, &nowhere_at_all));
	finish();
}

/* The kernel says it twice: the call fails, and the queue has it. */
TEST(what_must_not_be_cut_is_refused_and_told_once, ON_EACH_BACKEND)
{
	enum { TOO_LARGE = 65527 }; /* for the loopback, with its headers */
	static char large[TOO_LARGE];
	struct plait_udp_options o = { .no_fragments = true };

	ck_assert_int_eq(listen_on(&server, "::1", plain), 0);
	ck_assert_int_eq(listen_on(&client, "::1", o), 0);
	ck_assert_int_eq(
		plait_datagram_send(&client.base, large, TOO_LARGE, &server.at),
		0);
	run_turns(reactor, 4);
	ck_assert_int_eq(client.err, EMSGSIZE);
	ck_assert(plait_address_equal(&client.failed_to, &server.at));
	finish();
	ck_assert_str_eq(client.log, "SFXD");
}

TEST(what_the_system_refuses_is_told_for_each_datagram, ON_EACH_KERNEL)
{
	begin("127.0.0.1", plain);
	run_turns(reactor, 1);
	fault_call("sendmmsg", 1, EPERM);
	say(&client, "x", &server.at);
	say(&client, "y", &server.at);
	run_turns(reactor, 2);
	ck_assert_uint_eq(server.n_received, 1);
	ck_assert_mem_eq(server.data, "y", 1);
	ck_assert_int_eq(client.err, EPERM);
	finish();
	ck_assert_str_eq(client.log, "SFXD");
}

TEST(a_send_that_is_interrupted_or_short_goes_on, ON_EACH_KERNEL)
{
	begin("127.0.0.1", plain);
	run_turns(reactor, 1);
	fault_call("sendmmsg", 1, EINTR);
	fault_short("sendmmsg", 2, 1);
	for (int i = 0; i < 5; i++)
		say(&client, "x", &server.at);
	run_turns(reactor, 2);
	ck_assert_uint_eq(server.n_received, 5);
	ck_assert_uint_eq(client.n_failed, 0);
	finish();
}

TEST(without_room_datagrams_are_dropped_told_and_refused, ON_EACH_KERNEL)
{
	begin("127.0.0.1", plain);
	run_turns(reactor, 1);
	fault_short("sendmmsg", 1, 1);
	fault_call("sendmmsg", 1, EAGAIN);
	say(&client, "x", &server.at);
	say(&client, "y", &server.at);
	say(&client, "z", &server.at);
	run_turns(reactor, 1);
	ck_assert_uint_eq(server.n_received, 1);
	run_turns(reactor, 2);
	ck_assert_int_eq(client.err, EAGAIN);
	ck_assert_str_eq(client.log, "SFFR");
	ck_assert_int_eq(say(&client, "x", &server.at), 0);
	run_turns(reactor, 2);
	ck_assert_uint_eq(server.n_received, 2);
	finish();
}

static void say_until_full(struct end *e, const void *data, size_t len,
			   const struct plait_datagram_info *info)
{
	fault_call("sendmmsg", 1, EAGAIN);
	for (int i = 0; i < 33; i++)
		e->err = say(e, "x", &client.at);
}

TEST(a_send_says_at_once_that_there_is_no_room, ON_EACH_KERNEL)
{
	begin("127.0.0.1", plain);
	server.on_received = say_until_full;
	say(&client, "x", &server.at);
	run_turns(reactor, 1);
	ck_assert_int_eq(server.err, -EAGAIN);
	server.on_received = NULL;
	run_turns(reactor, 3);
	ck_assert_ptr_nonnull(strchr(server.log, 'R'));
	ck_assert_uint_eq(server.n_failed, 32);
	finish();
}

/* ---- a queue ------------------------------------------------------------- */

enum { NO_ROOM = 3 }; /* times */

/* A client with a queue, and a server; the system has no room that often. */
static void begin_with_queue(size_t bytes, unsigned long without_room)
{
	struct plait_udp_options o = { .queue_bytes = bytes };

	ck_assert_int_eq(listen_on(&server, "127.0.0.1", plain), 0);
	ck_assert_int_eq(listen_on(&client, "127.0.0.1", o), 0);
	run_turns(reactor, 1);
	fault_call("sendmmsg", without_room, EAGAIN);
}

static void expect_next(struct end *e, const void *data, size_t len,
			const struct plait_datagram_info *info)
{
	ck_assert_uint_eq(len, 1);
	ck_assert_uint_eq(*(const unsigned char *)data, e->n_received - 1);
}

static void say_numbers(struct end *e, unsigned from, unsigned n)
{
	for (unsigned i = from; i < from + n; i++) {
		unsigned char byte = (unsigned char)i;

		ck_assert_int_eq(
			plait_datagram_send(&e->base, &byte, 1, &server.at), 0);
	}
}

TEST(a_queue_keeps_what_the_system_has_no_room_for, ON_EACH_KERNEL)
{
	begin_with_queue(1 << 20, NO_ROOM);
	server.on_received = expect_next;
	say_numbers(&client, 0, 100);
	run_turns(reactor, 2);
	say_numbers(&client, 100, 100);
	run_turns(reactor, 20);
	ck_assert(fault_used("sendmmsg"));
	ck_assert_uint_eq(server.n_received, 200);
	finish();
	/* Nobody was refused, so nobody is told of room. */
	ck_assert_str_eq(client.log, "SXD");
}

TEST(a_queue_goes_on_behind_what_was_taken, ON_EACH_KERNEL)
{
	begin_with_queue(1 << 20, 0);
	server.on_received = expect_next;
	fault_short("sendmmsg", 1, 5);
	fault_call("sendmmsg", 1, EAGAIN);
	fault_short("sendmmsg", 1, 3);
	fault_call("sendmmsg", 1, EAGAIN);
	say_numbers(&client, 0, 40);
	run_turns(reactor, 20);
	ck_assert_uint_eq(server.n_received, 40);
	finish();
	ck_assert_str_eq(client.log, "SXD");
}

static void say_more(struct end *e)
{
	e->err = say(e, "x", &server.at);
}

/* Each takes its byte and what the queue needs for it. */
TEST(a_full_queue_refuses_and_says_when_there_is_room, ON_EACH_KERNEL)
{
	unsigned n = 1;

	begin_with_queue(2000, NO_ROOM);
	say(&client, "x", &server.at);
	run_turns(reactor, 1);
	while (n < 100 && say(&client, "x", &server.at) == 0)
		n++;
	ck_assert_uint_ge(n, 3);
	ck_assert_uint_le(n, 10);
	ck_assert_int_eq(say(&client, "x", &server.at), -EAGAIN);
	client.err = -1;
	client.on_room = say_more;
	run_turns(reactor, 8);
	ck_assert_int_eq(client.err, 0);
	ck_assert_uint_eq(server.n_received, n + 1);
	ck_assert_str_eq(client.log, "SR");
	finish();
}

TEST(what_a_queue_cannot_hold_of_a_callback_is_told, ON_EACH_KERNEL)
{
	begin_with_queue(2000, 1);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(say(&client, "x", &server.at), 0);
	run_turns(reactor, 6);
	ck_assert_uint_gt(client.n_failed, 10);
	ck_assert_uint_eq(server.n_received + client.n_failed, 20);
	ck_assert_int_eq(client.err, EAGAIN);
	ck_assert_ptr_nonnull(strchr(client.log, 'R'));
	finish();
}

TEST(an_answer_that_waits_keeps_its_source, ON_EACH_BACKEND)
{
	struct plait_udp_options o = { .tell_local = true,
				       .queue_bytes = 10000 };
	struct plait_address there;

	ck_assert_int_eq(listen_on(&server, "0.0.0.0", o), 0);
	ck_assert_int_eq(listen_on(&client, "127.0.0.1", plain), 0);
	server.on_received = echo;
	plait_address_parse(&there, "127.0.0.9",
			    plait_address_port(&server.at));
	plait_port_pause_accepting(server.port);
	say(&client, "x", &there);
	run_turns(reactor, 2);
	fault_call("sendmmsg", NO_ROOM, EAGAIN);
	plait_port_resume_accepting(server.port);
	ck_assert(run_until(reactor, has_received, &client));
	ck_assert(fault_used("sendmmsg"));
	ck_assert(plait_address_equal(&client.from, &there));
	/* What the server sends by itself has no source of before. */
	ck_assert_int_eq(say(&server, "y", &client.at), 0);
	run_turns(reactor, 2);
	plait_address_parse(&there, "127.0.0.1",
			    plait_address_port(&server.at));
	ck_assert_uint_eq(client.n_received, 2);
	ck_assert(plait_address_equal(&client.from, &there));
	finish();
}

TEST(who_is_told_of_room_may_send_at_once, ON_EACH_KERNEL)
{
	begin_with_queue(0, 1);
	client.on_room = say_more;
	say(&client, "lost", &server.at);
	ck_assert(run_until(reactor, has_received, &server));
	ck_assert_mem_eq(server.data, "x", 1);
	finish();
	ck_assert_str_eq(client.log, "SFRXD");
}

TEST(what_waits_is_dropped_when_the_port_ends, ON_EACH_KERNEL)
{
	begin_with_queue(10000, NO_ROOM);
	say_numbers(&client, 0, 3);
	run_turns(reactor, 1);
	finish();
	ck_assert_str_eq(client.log, "SXD");
	ck_assert_uint_eq(server.n_received, 0);
}

TEST(a_queue_survives_that_each_allocation_fails, ON_EACH_KERNEL, TIMES(8))
{
	static char large[20000];

	begin_with_queue(1 << 20, NO_ROOM);
	fault_alloc_at((unsigned long)_i, false);
	for (int i = 0; i < 3; i++)
		plait_datagram_send(&client.base, large, sizeof(large),
				    &server.at);
	run_turns(reactor, 8);
	fault_alloc_off();
	if (client.n_failed > 0)
		ck_assert_int_eq(client.err, ENOMEM);
	finish();
}

TEST(a_read_that_fails_is_told_and_the_port_lives_on, ON_EACH_KERNEL)
{
	begin("127.0.0.1", plain);
	run_turns(reactor, 1);
	fault_call("recvmmsg", 1, EINTR);
	fault_call("recvmmsg", 1, ENOMEM);
	say(&client, "x", &server.at);
	run_turns(reactor, 4);
	ck_assert_int_eq(server.err, ENOMEM);
	ck_assert_uint_eq(server.n_received, 1);
	finish();
}

/* ---- ends of ports ------------------------------------------------------- */

TEST(a_port_that_cannot_be_opened_tells_nobody, ON_EACH_KERNEL)
{
	static const struct {
		const char *call;
		int err;
	} refusals[] = {
		{ "socket", EMFILE },	    { "bind", EADDRINUSE },
		{ "setsockopt", ENOBUFS },  { "connect", ENETUNREACH },
		{ "getsockname", ENOBUFS },
	};

	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
		int err = refusals[i].err;

		fault_call(refusals[i].call, 1, err);
		if (strcmp(refusals[i].call, "getsockname") == 0)
			err = ENOTCONN;
		ck_assert_int_eq(plait_connect_udp(reactor, "127.0.0.1", 9,
						   &client.base, NULL, NULL),
				 -err);
	}
	run_turns(reactor, 2);
	ck_assert_str_eq(client.log, "");
}

TEST(wrong_arguments_are_refused, ON_EACH_KERNEL)
{
	struct plait_udp_options reserved = { .reserved = { 1 } };
	struct plait_udp_options large = { .max_size = 65536 };
	struct plait_udp_options class = { .traffic_class = 256 };
	struct plait_address v6, no_port;

	plait_address_parse(&v6, "::1", 1);
	plait_address_parse(&no_port, "127.0.0.1", 0);
	ck_assert_int_eq(listen_on(&server, "nobody", plain), -EINVAL);
	ck_assert_int_eq(listen_on(&server, NULL, reserved), -EINVAL);
	ck_assert_int_eq(listen_on(&server, NULL, large), -EINVAL);
	ck_assert_int_eq(listen_on(&server, NULL, class), -EINVAL);
	ck_assert_int_eq(
		plait_listen_udp(reactor, 65536, &server.base, NULL, NULL),
		-EINVAL);
	ck_assert_int_eq(plait_connect_udp(reactor, "127.0.0.1", 0,
					   &server.base, NULL, NULL),
			 -EINVAL);
	ck_assert_int_eq(plait_connect_udp(reactor, "nobody", 1, &server.base,
					   NULL, NULL),
			 -EINVAL);
	ck_assert_int_eq(say(&server, "x", &v6), -ENOTCONN);
	ck_assert_int_eq(listen_on(&server, NULL, plain), 0);
	ck_assert_int_eq(listen_on(&server, NULL, plain), -EBUSY);
	ck_assert_int_eq(say(&server, "x", &v6), -EINVAL);
	ck_assert_int_eq(say(&server, "x", &no_port), -EINVAL);
	ck_assert_int_eq(plait_datagram_join(&server.base, &v6, 0, NULL),
			 -EINVAL);
	finish();
	ck_assert_int_eq(say(&server, "x", &v6), -ENOTCONN);
}

static void stop(struct end *e, const void *data, size_t len,
		 const struct plait_datagram_info *info)
{
	ck_assert_int_eq(plait_datagram_reply(&e->base, "bye", 3, info), 0);
	plait_port_free(&e->port);
	ck_assert_int_eq(plait_datagram_reply(&e->base, "x", 1, info),
			 -ENOTCONN);
}

TEST(a_port_that_ends_in_a_callback_drops_the_rest_of_the_batch, ON_EACH_KERNEL)
{
	begin("127.0.0.1", plain);
	server.on_received = stop;
	for (int i = 0; i < 3; i++)
		say(&client, "x", &server.at);
	ck_assert(run_until(reactor, is_done, &server));
	ck_assert_str_eq(server.log, "SrXD");
	/* What it sent before has left. */
	ck_assert(run_until(reactor, has_received, &client));
	ck_assert_mem_eq(client.data, "bye", 3);
	finish();
}

TEST(a_port_that_ends_before_it_began_is_only_done, ON_EACH_KERNEL)
{
	begin("127.0.0.1", plain);
	finish();
	ck_assert_str_eq(server.log, "D");
}

static void stop_at_once(struct end *e)
{
	plait_port_free(&e->port);
}

TEST(a_port_may_end_in_its_first_callback, ON_EACH_KERNEL)
{
	begin("127.0.0.1", plain);
	server.on_started = stop_at_once;
	say(&client, "x", &server.at);
	run_turns(reactor, 3);
	ck_assert_str_eq(server.log, "SXD");
	finish();
}

TEST(a_reactor_that_is_freed_ends_its_ports, ON_EACH_KERNEL)
{
	begin("127.0.0.1", plain);
	run_turns(reactor, 1);
	plait_reactor_free(&reactor);
	ck_assert_str_eq(server.log, "SXD");
	ck_assert_str_eq(client.log, "SXD");
}

TEST(a_protocol_may_get_another_port_when_it_is_done, ON_EACH_KERNEL)
{
	begin("127.0.0.1", plain);
	run_turns(reactor, 1);
	finish();
	begin("127.0.0.1", plain);
	say(&client, "x", &server.at);
	run_turns(reactor, 2);
	finish();
	ck_assert_str_eq(server.log, "SXDSrXD");
}

static void stop_reactor(struct end *e, const void *data, size_t len,
			 const struct plait_datagram_info *info)
{
	plait_reactor_stop(reactor);
}

TEST(a_reactor_may_be_stopped_in_a_callback, ON_EACH_KERNEL)
{
	begin("127.0.0.1", plain);
	server.on_received = stop_reactor;
	say(&client, "x", &server.at);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_str_eq(server.log, "SrXD");
	finish();
}

/* Datagrams that come go on to the parent. */
TEST(a_forked_child_closes_its_copy_and_tells_nobody, ON_EACH_BACKEND)
{
	int status = -1;
	pid_t pid;

	begin("127.0.0.1", plain);
	run_turns(reactor, 1);
	pid = fork();
	if (pid == 0) {
		say(&server, "x", &client.at);
		plait_port_free(&client.port);
		plait_reactor_free(&reactor);
		_exit(strcmp(server.log, "S") == 0 &&
				      strcmp(client.log, "S") == 0
			      ? 0
			      : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	say(&client, "x", &server.at);
	run_turns(reactor, 2);
	ck_assert_uint_eq(server.n_received, 1);
	ck_assert_uint_eq(client.n_received, 0);
	finish();
}

/* The descriptor of the only port for datagrams. */
static int descriptor_of_port(void)
{
	int type = 0;
	socklen_t len = sizeof(type);

	for (int fd = 3; fd < 64; fd++) {
		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
		    type == SOCK_DGRAM)
			return fd;
	}
	return -1;
}

TEST(a_port_whose_descriptor_was_closed_says_that_it_broke, ON_EACH_BACKEND)
{
	ck_assert_int_eq(listen_on(&server, "127.0.0.1", plain), 0);
	run_turns(reactor, 1);
	close(descriptor_of_port());
	plait_port_pause_accepting(server.port);
	plait_port_resume_accepting(server.port);
	run_turns(reactor, 3);
	ck_assert_str_eq(server.log, "SXD");
	finish();
}

static plait_value note_stopped(plait_value *result, void *arg)
{
	note(arg, '.');
	return PLAIT_NONE;
}

TEST(the_deferred_of_a_stop_fires_when_all_is_told, ON_EACH_KERNEL)
{
	struct plait_deferred *d;

	begin("127.0.0.1", plain);
	run_turns(reactor, 1);
	d = plait_port_stop_listening(&server.port);
	plait_deferred_add_both(d, note_stopped, &server);
	plait_deferred_detach(&d);
	ck_assert_str_eq(server.log, "S");
	run_turns(reactor, 2);
	ck_assert_str_eq(server.log, "SXD.");
	finish();
}

TEST(a_paused_port_reads_when_it_is_resumed, ON_EACH_KERNEL)
{
	begin("127.0.0.1", plain);
	plait_port_pause_accepting(server.port);
	say(&client, "x", &server.at);
	run_turns(reactor, 3);
	ck_assert_uint_eq(server.n_received, 0);
	plait_port_resume_accepting(server.port);
	ck_assert(run_until(reactor, has_received, &server));
	finish();
}

TEST(a_port_says_where_it_is, ON_EACH_KERNEL)
{
	char text[100], expected[100];

	ck_assert_int_eq(listen_on(&server, "127.0.0.1", plain), 0);
	plait_port_str(server.port, text, sizeof(text));
	snprintf(expected, sizeof(expected), "port on 127.0.0.1:%u, listening",
		 plait_address_port(&server.at));
	ck_assert_str_eq(text, expected);
	finish();
}

/* ---- addresses ----------------------------------------------------------- */

TEST(a_port_for_all_addresses_knows_where_a_datagram_came, ON_EACH_KERNEL,
     TIMES(2))
{
	struct plait_address there;
	const char *wild = _i ? "::" : "0.0.0.0";

	ck_assert_int_eq(
		listen_on(&server, wild,
			  (struct plait_udp_options){ .tell_local = true }),
		0);
	ck_assert_int_eq(listen_on(&client, wild, plain), 0);
	server.on_received = echo;
	plait_address_parse(&there, loopbacks[_i],
			    plait_address_port(&server.at));
	say(&client, "x", &there);
	ck_assert(run_until(reactor, has_received, &client));
	ck_assert(server.knows_to);
	ck_assert(plait_address_equal(&server.to, &there));
	ck_assert(plait_address_equal(&client.from, &there));
	finish();
}

TEST(an_answer_comes_from_the_address_that_was_asked, ON_EACH_BACKEND)
{
	struct plait_address there;

	ck_assert_int_eq(
		listen_on(&server, "0.0.0.0",
			  (struct plait_udp_options){ .tell_local = true }),
		0);
	ck_assert_int_eq(listen_on(&client, "127.0.0.1", plain), 0);
	server.on_received = echo;
	plait_address_parse(&there, "127.0.0.9",
			    plait_address_port(&server.at));
	say(&client, "x", &there);
	ck_assert(run_until(reactor, has_received, &client));
	ck_assert(plait_address_equal(&client.from, &there));
	finish();
}

TEST(who_refuses_ipv4_does_not_hear_it, ON_EACH_KERNEL, TIMES(2))
{
	struct plait_address there;

	ck_assert_int_eq(
		listen_on(&server, "::",
			  (struct plait_udp_options){ .ipv6_only = _i == 1 }),
		0);
	ck_assert_int_eq(listen_on(&client, "127.0.0.1", plain), 0);
	server.on_received = echo;
	plait_address_parse(&there, "127.0.0.1",
			    plait_address_port(&server.at));
	say(&client, "x", &there);
	run_turns(reactor, 4);
	ck_assert_uint_eq(client.n_received, _i == 0);
	ck_assert_uint_eq(client.n_failed, _i == 1);
	finish();
}

TEST(several_ports_may_share_a_number_if_they_all_say_so, ON_EACH_KERNEL)
{
	const struct plait_udp_options shared = { .address_reuse = true,
						  .iface = "127.0.0.1" };

	ck_assert_int_eq(listen_on(&server, "127.0.0.1", shared), 0);
	ck_assert_int_eq(plait_listen_udp(reactor,
					  plait_address_port(&server.at),
					  &client.base, &shared, &client.port),
			 0);
	finish();
	setup();
	ck_assert_int_eq(listen_on(&server, "127.0.0.1", plain), 0);
	ck_assert_int_eq(plait_listen_udp(reactor,
					  plait_address_port(&server.at),
					  &client.base, &shared, &client.port),
			 -EADDRINUSE);
	finish();
}

static const struct {
	const char *wild, *to;
} ecn_ways[] = {
	{ "127.0.0.1", "127.0.0.1" },
	{ "::1", "::1" },
	{ "::", "127.0.0.1" },
	{ "::", "::1" },
};

TEST(the_ecn_of_a_datagram_is_told_who_asks, ON_EACH_KERNEL, EACH_OF(ecn_ways))
{
	struct plait_udp_options o = { .tell_ecn = true };
	struct plait_address there;

	for (unsigned ecn = 0; ecn < 4; ecn++) {
		setup();
		o.tell_ecn = true;
		o.traffic_class = 0;
		ck_assert_int_eq(listen_on(&server, ecn_ways[_i].wild, o), 0);
		o.tell_ecn = false;
		o.traffic_class = 0x28 | ecn;
		ck_assert_int_eq(listen_on(&client, ecn_ways[_i].to, o), 0);
		plait_address_parse(&there, ecn_ways[_i].to,
				    plait_address_port(&server.at));
		server.on_received = echo;
		say(&client, "x", &there);
		ck_assert(run_until(reactor, has_received, &client));
		ck_assert_uint_eq(server.ecn, ecn);
		ck_assert_uint_eq(client.ecn, 0);
		finish();
	}
}

/* The queue of the socket, which is not read: what it holds at most. */
static unsigned kept_of_many(size_t receive_buffer)
{
	struct plait_udp_options o = { .receive_buffer = receive_buffer };

	setup();
	begin("127.0.0.1", o);
	run_turns(reactor, 1);
	plait_port_pause_accepting(server.port);
	for (int i = 0; i < 200; i++) {
		say(&client, "x", &server.at);
		run_turns(reactor, 1);
	}
	plait_port_resume_accepting(server.port);
	run_turns(reactor, 20);
	finish();
	return server.n_received;
}

TEST(a_port_may_say_how_much_the_system_keeps, ON_EACH_KERNEL)
{
	unsigned few = kept_of_many(10000);

	ck_assert_uint_lt(few, 100);
	ck_assert_uint_gt(kept_of_many(20000), few);
}

/* The limit of the system is not for who may administer the network. */
TEST(a_buffer_may_be_as_large_as_the_rights_allow, ON_EACH_BACKEND)
{
	enum { MUCH = 32 * 1024 * 1024 };
	struct plait_udp_options o = { .receive_buffer = MUCH };
	int fd, much = MUCH, forced, got = 0;
	socklen_t len = sizeof(got);

	ck_assert_int_eq(listen_on(&server, "127.0.0.1", o), 0);
	fd = descriptor_of_port();
	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &got, &len), 0);
	forced =
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &much, sizeof(much));
	if (forced == 0)
		ck_assert_int_eq(got, 2 * MUCH);
	finish();
}

enum { SENDERS = 40 };

/* What one sender sends comes to one of them. */
TEST(the_system_deals_out_what_comes_to_a_port_that_is_shared, ON_EACH_KERNEL)
{
	const struct plait_udp_options shared = { .port_reuse = true,
						  .iface = "127.0.0.1" };
	struct end sender;

	ck_assert_int_eq(listen_on(&server, "127.0.0.1", shared), 0);
	ck_assert_int_eq(plait_listen_udp(reactor,
					  plait_address_port(&server.at),
					  &client.base, &shared, &client.port),
			 0);
	for (int i = 0; i < SENDERS; i++) {
		sender = (struct end){ .base.ops = &end_ops };
		ck_assert_int_eq(listen_on(&sender, "127.0.0.1", plain), 0);
		say(&sender, "x", &server.at);
		run_turns(reactor, 2);
		plait_port_free(&sender.port);
		run_turns(reactor, 2);
	}
	ck_assert_uint_eq(server.n_received + client.n_received, SENDERS);
	ck_assert_uint_gt(server.n_received, 0);
	ck_assert_uint_gt(client.n_received, 0);
	finish();
}

static const struct {
	const char *wild, *group, *source, *other;
} groups[] = {
	{ "0.0.0.0", "239.1.2.3", "127.0.0.1", "127.0.0.2" },
	{ "::", "ff01::1:2:3", "::1", "fd00::2" },
};

/* Systems may have no route for groups of IPv6 on the loopback. */
static bool goes_nowhere(struct end *e)
{
	run_turns(reactor, 3);
	if (e->n_failed > 0)
		ck_assert_int_eq(e->err, ENETUNREACH);
	return e->n_failed > 0;
}

/* The server is for all addresses, and the client on the loopback, so that what
   it sends to a group goes there.  The server answers by its own address. */
static void begin_groups(int i, struct plait_address *group)
{
	struct plait_udp_options o = { .tell_local = true };

	ck_assert_int_eq(listen_on(&server, groups[i].wild, o), 0);
	ck_assert_int_eq(listen_on(&client, groups[i].source, plain), 0);
	plait_address_parse(group, groups[i].group,
			    plait_address_port(&server.at));
	server.on_received = echo;
}

TEST(a_group_is_heard_until_it_is_left, ON_EACH_KERNEL, EACH_OF(groups))
{
	unsigned lo = if_nametoindex("lo");
	struct plait_address group, answers;

	begin_groups(_i, &group);
	ck_assert_int_eq(plait_datagram_join(&server.base, &group, lo, NULL),
			 0);
	group.scope = _i == 1 ? lo : 0;
	say(&client, "x", &group);
	if (_i == 0 || !goes_nowhere(&client)) {
		ck_assert(run_until(reactor, has_received, &client));
		plait_address_parse(&answers, groups[_i].source, group.port);
		ck_assert(plait_address_equal(&client.from, &answers));
	}
	ck_assert_int_eq(plait_datagram_leave(&server.base, &group, lo, NULL),
			 0);
	say(&client, "x", &group);
	run_turns(reactor, 3);
	ck_assert_uint_le(server.n_received, 1);
	finish();
}

/* By itself a socket hears what others on its host have joined. */
TEST(a_group_that_another_port_has_joined_is_not_heard, ON_EACH_KERNEL,
     EACH_OF(groups))
{
	struct end other = { .base.ops = &end_ops };
	unsigned lo = if_nametoindex("lo");
	struct plait_address group, mine;

	begin_groups(_i, &group);
	mine = group;
	mine.bytes[_i == 1 ? 15 : 3]++;
	ck_assert_int_eq(listen_on(&other, groups[_i].wild, plain), 0);
	ck_assert_int_eq(plait_datagram_join(&server.base, &mine, lo, NULL), 0);
	ck_assert_int_eq(plait_datagram_join(&other.base, &group, lo, NULL), 0);
	group.scope = mine.scope = _i == 1 ? lo : 0;
	say(&client, "x", &group);
	say(&client, "y", &mine);
	if (_i == 0 || !goes_nowhere(&client)) {
		ck_assert(run_until(reactor, has_received, &client));
		ck_assert_mem_eq(client.data, "y", 1);
		ck_assert_uint_eq(server.n_received, 1);
	}
	plait_port_free(&other.port);
	finish();
}

/* What kernels say of wishes that they cannot grant. */
TEST(groups_and_their_sources_are_joined_once, ON_EACH_KERNEL, EACH_OF(groups))
{
	struct plait_address group, source, other, none;
	struct plait_datagram_protocol *p = &server.base;
	unsigned lo = if_nametoindex("lo");

	ck_assert_int_eq(listen_on(&server, groups[_i].wild, plain), 0);
	plait_address_parse(&group, groups[_i].group, 0);
	plait_address_parse(&source, groups[_i].source, 0);
	plait_address_parse(&other, groups[_i].other, 0);
	none = source;
	ck_assert_int_eq(plait_datagram_join(p, &none, lo, NULL), -EINVAL);
	ck_assert_int_eq(plait_datagram_join(p, &group, 9999, NULL), -ENODEV);
	ck_assert_int_eq(plait_datagram_leave(p, &group, lo, NULL),
			 -EADDRNOTAVAIL);
	ck_assert_int_eq(plait_datagram_leave(p, &group, lo, &source), -EINVAL);
	ck_assert_int_eq(plait_datagram_join(p, &group, lo, &source), 0);
	ck_assert_int_eq(plait_datagram_join(p, &group, lo, &source),
			 -EADDRNOTAVAIL);
	ck_assert_int_eq(plait_datagram_join(p, &group, lo, &other), 0);
	ck_assert_int_eq(plait_datagram_join(p, &group, lo, NULL), -EADDRINUSE);
	ck_assert_int_eq(plait_datagram_leave(p, &group, lo, &other), 0);
	ck_assert_int_eq(plait_datagram_leave(p, &group, lo, &other),
			 -EADDRNOTAVAIL);
	ck_assert_int_eq(plait_datagram_leave(p, &group, lo, &source), 0);
	ck_assert_int_eq(plait_datagram_leave(p, &group, lo, &source), -EINVAL);
	ck_assert_int_eq(plait_datagram_join(p, &group, lo, NULL), 0);
	ck_assert_int_eq(plait_datagram_join(p, &group, lo, &source), 0);
	ck_assert_int_eq(plait_datagram_leave(p, &group, lo, NULL), 0);
	finish();
}

/* ---- without memory ------------------------------------------------------ */

TEST(a_port_survives_that_each_allocation_fails, ON_EACH_KERNEL, TIMES(12))
{
	int err;

	fault_alloc_at((unsigned long)_i, false);
	err = listen_on(&server, "127.0.0.1", plain);
	if (err == 0) {
		err = listen_on(&client, "::1", plain);
		if (err == 0)
			err = say(&client, "x", &client.at);
		ck_assert(err == 0 || err == -ENOMEM);
	} else {
		ck_assert_int_eq(err, -ENOMEM);
	}
	run_turns(reactor, 4);
	fault_alloc_off();
	finish();
}

/* ---- on a testing reactor ------------------------------------------------ */

GROUP("fake", .setup = setup);

TEST(a_test_plays_who_sends_and_takes_what_was_sent, PURE)
{
	struct plait_address from, to;
	struct plait_buf *b;

	reactor = plait_testing_reactor_new();
	ck_assert_int_eq(listen_on(&server, "127.0.0.1",
				   (struct plait_udp_options){ .max_size = 4 }),
			 0);
	server.on_received = echo;
	plait_address_parse(&from, "192.0.2.1", 99);
	plait_testing_datagram(server.port, "hello", 5, &from);
	ck_assert(plait_address_equal(&server.from, &from));
	b = plait_testing_datagram_sent(server.port, &to);
	ck_assert_uint_eq(plait_buf_size(b), 4);
	ck_assert_mem_eq(plait_buf_data(b), "hell", 4);
	ck_assert(plait_address_equal(&to, &from));
	plait_buf_unref(&b);
	ck_assert_ptr_null(plait_testing_datagram_sent(server.port, NULL));
	plait_testing_datagram_failed(server.port, EHOSTUNREACH, &from);
	ck_assert_int_eq(server.err, EHOSTUNREACH);
	say(&server, "left", &from);
	plait_port_free(&server.port);
	plait_testing_advance(reactor, 0);
	ck_assert_str_eq(server.log, "StFXD");
	plait_reactor_free(&reactor);
}

static void expect_sent(const char *text)
{
	struct plait_buf *b = plait_testing_datagram_sent(server.port, NULL);

	ck_assert_ptr_nonnull(b);
	ck_assert_mem_eq(plait_buf_data(b), text, strlen(text));
	plait_buf_unref(&b);
}

TEST(a_test_plays_a_system_without_room, PURE, TIMES(2))
{
	struct plait_udp_options o = { .queue_bytes = _i ? 10000 : 0 };
	struct plait_address to;

	reactor = plait_testing_reactor_new();
	ck_assert_int_eq(listen_on(&server, "127.0.0.1", o), 0);
	plait_address_parse(&to, "192.0.2.1", 99);
	plait_testing_advance(reactor, 0);
	plait_testing_datagram_full(server.port, true);
	say(&server, "first", &to);
	plait_testing_advance(reactor, 0);
	ck_assert_int_eq(say(&server, "second", &to), _i ? 0 : -EAGAIN);
	ck_assert_ptr_null(plait_testing_datagram_sent(server.port, NULL));
	plait_testing_datagram_full(server.port, false);
	say(&server, "third", &to);
	if (_i) {
		expect_sent("first");
		expect_sent("second");
	}
	expect_sent("third");
	plait_testing_advance(reactor, 0);
	ck_assert_str_eq(server.log, _i ? "S" : "SFR");
	plait_testing_datagram_full(server.port, true);
	plait_port_free(&server.port);
	plait_testing_datagram_full(server.port, false);
	plait_testing_advance(reactor, 0);
	plait_reactor_free(&reactor);
}

/* As a system that has no room for it. */
TEST(what_there_is_no_memory_to_keep_is_told_with_its_address, PURE, TIMES(2))
{
	struct plait_address to;

	reactor = plait_testing_reactor_new();
	ck_assert_int_eq(listen_on(&server, "127.0.0.1",
				   (struct plait_udp_options){ .max_size = 0 }),
			 0);
	plait_address_parse(&to, "192.0.2.1", 99);
	plait_testing_advance(reactor, 0);
	ck_assert_int_eq(say(&server, "lost", &to), 0);
	fault_alloc_at((unsigned long)_i, false);
	plait_testing_advance(reactor, 0);
	ck_assert(fault_alloc_reached());
	fault_alloc_off();
	plait_testing_advance(reactor, 0);
	ck_assert_int_eq(server.err, ENOBUFS);
	ck_assert(plait_address_equal(&server.failed_to, &to));
	ck_assert_ptr_null(plait_testing_datagram_sent(server.port, NULL));
	plait_reactor_free(&reactor);
}

/* clang-format off */
/*
 * What became of Twisted's tests (twisted/test/test_udp.py, then
 * twisted/internet/test/test_udp.py).
 *
 * oldAddress			addresses are compared by plait_address_equal()
 * startStop			a_datagram_goes_there_and_back
 * rebind			a_protocol_may_get_another_port_when_it_is_done
 * bindError			several_ports_may_share_a_number_if_they_all_say_so
 * sendPackets			a_datagram_goes_there_and_back,
 *				a_connected_port_needs_no_address
 * connectionRefused		a_connected_port_is_told_of_it_too_and_lives_on
 * badConnect			wrong_arguments_are_refused
 * datagramReceivedError	C has no exceptions; one of C++ ends the program:
 *				throws.cc
 * NoWarningOnBroadcast		there are no such warnings
 * ShutdownFromDatagramReceived	a_reactor_may_be_stopped_in_a_callback
 * TTL, loopback, interface	options of the port, which cannot change
 * joinLeave, joinFailure,	a_group_is_heard_until_it_is_left
 * multicast
 * multiListen			several_ports_may_share_a_number_if_they_all_say_so
 *
 * startedListeningLogMessage,	the library has no log; traces note ports:
 * connectionLostLogMessage,	test_trace.c
 * logPrefix
 * stopProtocolScheduling	a_port_that_ends_in_a_callback_drops_...,
 *				the_deferred_of_a_stop_fires_when_all_is_told
 * interface, getHost,		a_port_says_where_it_is,
 * getHostIPv6			a_datagram_goes_there_and_back
 * invalidInterface		wrong_arguments_are_refused
 * writeSequence		one call sends one piece of memory
 * str, repr			a_port_says_where_it_is
 * writeToIPv6Interface		a_datagram_goes_there_and_back
 * connectedWriteToIPv6Interface  a_connected_port_needs_no_address
 * writingToHostname...,	an address is a struct, and never a name
 * writingToIPv6OnIPv4...,	wrong_arguments_are_refused
 * writingToIPv4OnIPv6...
 * connectingToHostname...	wrong_arguments_are_refused
 * allowBroadcast		plait_udp_options.broadcast
 */
/* clang-format on */

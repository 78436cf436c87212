/*
 * What things cost, counted in system calls and bytes of memory: both repeat
 * on any machine, and are what decides about speed.
 */
#include <stdio.h>
#include <sys/socket.h>

#include "tests/stage.h"

static unsigned long sends(void)
{
	return calls_of("send") + calls_of("sendmsg") + calls_of("write") +
	       calls_of("writev") + calls_of("sendto");
}

static unsigned long reads(void)
{
	return calls_of("recv") + calls_of("recvmsg") + calls_of("read") +
	       calls_of("readv") + calls_of("recvfrom");
}

static unsigned long waits(void)
{
	return calls_of("epoll_wait") + calls_of("select");
}

/* All that may not happen while a connection just works. */
static unsigned long others(void)
{
	static const char *const names[] = {
		"epoll_ctl",   "setsockopt", "getsockopt", "getsockname",
		"getpeername", "fcntl",	     "ioctl",	   "shutdown",
		"close",       "accept4",    "socket",	   "eventfd",
		"malloc",      "calloc",     "realloc",
	};
	unsigned long n = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		n += calls_of(names[i]);
	return n;
}

static void echo(struct wire *w, const void *data, size_t len)
{
	plait_transport_write(w->transport, data, len);
}

/* One answer to each line, as a plain program would write it. */
static void answer_lines(struct wire *w, const void *data, size_t len)
{
	const char *p = data;

	for (size_t i = 0; i < len; i++) {
		if (p[i] == '\n') {
			plait_transport_write(w->transport, "OK", 2);
			plait_transport_write(w->transport, "\n", 1);
		}
	}
}

static void exchange(struct wire *w)
{
	char c;

	ck_assert_int_eq(send(w->peer, "x", 1, 0), 1);
	plait_reactor_iterate(reactor, 5);
	ck_assert_int_eq(recv(w->peer, &c, 1, MSG_DONTWAIT), 1);
}

GROUP("working");

TEST(a_request_costs_one_read_one_write_and_one_wait, ON_EACH_BACKEND)
{
	enum { N = 100 };
	struct wire w = { .on_data = echo };

	ck_assert(wire_open(&w, reactor));
	exchange(&w);
	calls_reset();
	for (int i = 0; i < N; i++)
		exchange(&w);
	ck_assert_uint_eq(calls_of("recv"), N);
	ck_assert_uint_eq(calls_of("send"), N);
	ck_assert_uint_eq(reads(), N);
	ck_assert_uint_eq(sends(), N);
	ck_assert_uint_eq(waits(), N);
	ck_assert_uint_eq(others(), 0);
	wire_close(&w);
}

TEST(answers_to_32_lines_leave_in_one_write, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = answer_lines };
	char lines[32 * 5 + 1] = "";

	for (int i = 0; i < 32; i++)
		strcat(lines, "PING\n");
	ck_assert(wire_open(&w, reactor));
	peer_say(w.peer, "\n");
	ck_assert_int_eq(peer_read(reactor, w.peer, NULL, 3), 3);
	calls_reset();
	peer_say(w.peer, lines);
	plait_reactor_iterate(reactor, 5);
	ck_assert_int_eq(peer_read(NULL, w.peer, NULL, 32 * 3), 32 * 3);
	ck_assert_uint_eq(sends(), 1);
	ck_assert_uint_eq(reads(), 1);
	ck_assert_uint_eq(waits(), 1);
	ck_assert_uint_eq(others(), 0);
	wire_close(&w);
}

static void write_shared(struct wire *w, const void *data, size_t len)
{
	for (int i = 0; i < 20; i++) {
		plait_transport_write(w->transport, "<", 1);
		plait_transport_write_buf(w->transport, w->arg);
	}
}

TEST(copies_and_shared_buffers_leave_in_one_write, ON_EACH_BACKEND)
{
	struct plait_buf *poem = plait_buf_copy("poem", 4);
	struct wire w = { .on_data = write_shared, .arg = poem };

	ck_assert(wire_open(&w, reactor));
	peer_say(w.peer, "please");
	plait_reactor_iterate(reactor, 5);
	ck_assert_int_eq(peer_read(NULL, w.peer, NULL, 100), 100);
	ck_assert_uint_eq(sends(), 1);
	wire_close(&w);
	plait_buf_unref(&poem);
}

static void pause_and_resume(struct wire *w, const void *data, size_t len)
{
	plait_transport_pause_reading(w->transport);
	plait_transport_resume_reading(w->transport);
	echo(w, data, len);
}

TEST(pausing_and_resuming_in_one_callback_costs_nothing, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = pause_and_resume };

	ck_assert(wire_open(&w, reactor));
	exchange(&w);
	calls_reset();
	exchange(&w);
	ck_assert_uint_eq(others(), 0);
	wire_close(&w);
}

TEST(waiting_for_room_is_armed_only_while_there_is_none, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = echo };
	unsigned char *bytes = wire_bytes(8 << 20);

	if (strcmp(backend, "epoll") != 0) {
		free(bytes);
		return;
	}
	ck_assert(wire_open(&w, reactor));
	exchange(&w);
	calls_reset();
	plait_transport_write(w.transport, bytes, 8 << 20);
	run_turns(reactor, 20);
	ck_assert_uint_eq(calls_of("epoll_ctl"), 1);
	ck_assert_int_eq(peer_read(reactor, w.peer, NULL, 8 << 20), 8 << 20);
	run_turns(reactor, 2);
	ck_assert_uint_eq(calls_of("epoll_ctl"), 2);
	calls_reset();
	exchange(&w);
	ck_assert_uint_eq(others(), 0);
	wire_close(&w);
	free(bytes);
}

TEST(after_a_short_write_the_next_waits_for_room, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = echo };

	ck_assert(wire_open(&w, reactor));
	peer_say(w.peer, "hello");
	fault_short("send", 1, 2);
	calls_reset();
	plait_reactor_iterate(reactor, 5);
	ck_assert_uint_eq(sends(), 1);
	plait_reactor_iterate(reactor, 5);
	ck_assert_uint_eq(sends(), 2);
	ck_assert_int_eq(peer_read(NULL, w.peer, NULL, 5), 5);
	wire_close(&w);
}

static void answer_and_lose(struct wire *w, const void *data, size_t len)
{
	echo(w, data, len);
	plait_transport_lose_connection(w->transport);
}

TEST(closing_costs_a_shutdown_a_read_and_a_close, ON_EACH_BACKEND)
{
	struct wire w = { .on_data = answer_and_lose };
	unsigned long controls = strcmp(backend, "epoll") == 0;

	calls_reset();
	ck_assert(wire_open(&w, reactor));
	ck_assert_uint_eq(calls_of("epoll_ctl"), controls);
	peer_say(w.peer, "x");
	plait_reactor_iterate(reactor, 5);
	ck_assert_uint_eq(w.lost, 1);
	ck_assert_int_eq(peer_read_to_eof(NULL, w.peer, NULL, 0), 1);
	wire_hang_up(&w);
	plait_reactor_iterate(reactor, 5);
	ck_assert_uint_eq(calls_of("close"), 1);
	ck_assert_uint_eq(calls_of("shutdown"), 1);
	ck_assert_uint_eq(reads(), 2);
	ck_assert_uint_eq(sends(), 1);
	ck_assert_uint_eq(waits(), 2);
	ck_assert_uint_eq(calls_of("epoll_ctl"), controls);
	ck_assert_uint_eq(calls_of("setsockopt") + calls_of("getsockopt") +
				  calls_of("getsockname"),
			  0);
	/* With select() the watch asks once whether it is open at all. */
	ck_assert_uint_eq(calls_of("fcntl"), 1 - controls);
}

GROUP("connecting", .setup = stage_setup, .teardown = stage_teardown);

static void say_x(struct actor *a, struct plait_protocol *p)
{
	plait_transport_write(p->transport, "x", 1);
}

/* The watch of the attempt becomes that of the connection; whether it has
   connected is asked only if there is an error or an end; and with epoll the
   end that has come with the answer needs no event of its own. */
TEST(a_client_costs_one_change_of_its_watch, ON_EACH_BACKEND)
{
	unsigned long controls = strcmp(backend, "epoll") == 0;
	uint16_t number;
	int listener = peer_listen(&number, 1), fd;

	client.on_made = say_x;
	actor_connect(&client, reactor, number);
	calls_reset();
	stage_attempt();
	fd = peer_accept(listener);
	run_until_count(reactor, &client.made, 1);
	ck_assert_int_eq(peer_read(NULL, fd, NULL, 1), 1);
	peer_say(fd, "y");
	close(fd);
	run_turns(reactor, controls ? 1 : 2);
	ck_assert_str_eq(client.trace, "ScBMDLCX");
	ck_assert_str_eq(client.text, "y");
	ck_assert_uint_eq(calls_of("socket"), 1);
	ck_assert_uint_eq(calls_of("connect"), 1);
	ck_assert_uint_eq(calls_of("epoll_ctl"), 2 * controls);
	ck_assert_uint_eq(calls_of("fcntl"), 1 - controls);
	ck_assert_uint_eq(calls_of("getsockopt"), 0);
	ck_assert_uint_eq(calls_of("getsockname"), 1);
	ck_assert_uint_eq(sends(), 1);
	ck_assert_uint_eq(reads(), 2);
	ck_assert_uint_eq(calls_of("shutdown"), 0);
	ck_assert_uint_eq(calls_of("close"), 1);
	close(listener);
}

STORY(a_refused_client_costs_one_watch_and_one_question,
      "epoll-only; count; client connects; over; client trace ScFX;"
      "calls socket 1; calls connect 1; calls epoll_ctl 1;"
      "calls getsockopt 1; calls getsockname 0; calls close 1");

/*
 * Idle servers.
 */
enum { MANY = 500 };

static unsigned n_made;

static void count_made(struct plait_protocol *p)
{
	n_made++;
}

static const struct plait_protocol_ops idle_ops = {
	.name = "idle",
	.connection_made = count_made,
};

struct server {
	struct plait_factory factory;
	struct plait_port *port;
	int peers[MANY];
	size_t bytes; /* of memory, for each connection */
};

static void open_server(struct server *s)
{
	struct plait_listen_options options = { .iface = "127.0.0.1" };
	struct plait_address a;
	size_t before;

	*s = (struct server){ .factory.protocol = &idle_ops };
	n_made = 0;
	ck_assert_int_eq(
		plait_listen_tcp(reactor, 0, &s->factory, &options, &s->port),
		0);
	plait_port_host(s->port, &a);
	run_turns(reactor, 1);
	before = heap_held_bytes();
	for (unsigned i = 0; i < MANY; i++) {
		s->peers[i] = peer_connect((uint16_t)plait_address_port(&a));
		run_until_count(reactor, &n_made, i + 1);
	}
	s->bytes = (heap_held_bytes() - before) / MANY;
	run_turns(reactor, 3);
}

static void close_server(struct server *s)
{
	struct plait_deferred *d = plait_port_stop_listening(&s->port);

	for (int i = 0; i < MANY; i++)
		close(s->peers[i]);
	run_turns(reactor, 5);
	ck_assert(plait_deferred_is_fired(d));
	plait_deferred_free(&d);
}

GROUP("idle");

/* With what malloc() adds.  The table of descriptors has 16 bytes for the peer
   as well, because both are in this process. */
TEST(an_idle_connection_holds_at_most_270_bytes, ON_EACH_BACKEND)
{
	struct server s;

	open_server(&s);
	printf("idle connection on %s: %zu bytes\n", backend, s.bytes);
	ck_assert_uint_le(s.bytes, 270);
	close_server(&s);
}

static unsigned n_waits;

static void stop(void *arg)
{
	/* What the wait was told that this call has ended. */
	ck_assert_double_lt(wait_timeout(), 0);
	plait_reactor_stop(reactor);
}

static void end_the_wait(void *arg)
{
	if (++n_waits == 1)
		ck_assert_int_eq(plait_call_from_thread(reactor, stop, NULL),
				 0);
}

TEST(an_idle_server_sleeps_until_something_happens, ON_EACH_BACKEND)
{
	const char *wait =
		strcmp(backend, "epoll") == 0 ? "epoll_wait" : "select";
	struct server s;

	n_waits = 0;
	open_server(&s);
	call_hook(wait, end_the_wait, NULL);
	calls_reset();
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	call_hook(wait, NULL, NULL);
	ck_assert_uint_eq(n_waits, 1);
	/* There is no timer to be exact for. */
	ck_assert_uint_eq(calls_of("epoll_pwait2"), 0);
	ck_assert_uint_eq(calls_of("recv"), 0);
	for (int i = 0; i < MANY; i++)
		close(s.peers[i]);
}

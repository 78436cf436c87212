/*
 * A port of another kind, one that has no factory and accepts no connections:
 * here it hears datagrams.  It is made by what is inside the library.
 *
 * The trace of an ear: d a datagram, p paused, r resumed, s stop(), c close(),
 * e ended(), f free().
 */
#include <stdio.h>
#include <sys/socket.h>

#include <plait/testing.h>

#include "reactor/net/port.h"
#include "tests/child.h"
#include "tests/harness.h"

struct ear {
	struct plait_port base;
	struct plait_watch watch;
	int fd, other; /* -1: it hears nothing */
};

static struct ear ear;
static struct plait_port *port;
static char trace[64];
static bool stopped;

static void note(char what)
{
	size_t n = strlen(trace);

	ck_assert_uint_lt(n + 1, sizeof(trace));
	trace[n] = what;
}

static void ear_stop(struct plait_port *p)
{
	note('s');
	plait_watch_stop(&ear.watch);
}

static void ear_close(struct plait_port *p)
{
	note('c');
	if (ear.fd >= 0)
		close(ear.fd);
	ear.fd = -1;
}

static void ear_ended(struct plait_port *p)
{
	note('e');
}

static void ear_pause(struct plait_port *p, bool on)
{
	note(on ? 'p' : 'r');
	if (ear.fd >= 0)
		plait_watch_change(&ear.watch, on ? 0 : PLAIT_WATCH_READ);
}

static void ear_free(struct plait_port *p)
{
	note('f');
}

static const struct port_ops ear_ops = {
	.stop = ear_stop,
	.close = ear_close,
	.ended = ear_ended,
	.pause = ear_pause,
	.free = ear_free,
};

/* The least that there may be. */
static const struct port_ops dull_ops = {
	.stop = ear_stop,
	.close = ear_close,
	.free = ear_free,
};

static void ear_hears(struct plait_watch *w, unsigned events)
{
	char c;

	while (recv(ear.fd, &c, 1, MSG_DONTWAIT) == 1)
		note(c);
}

static void setup(void)
{
	ear = (struct ear){ .base.ops = &ear_ops, .fd = -1, .other = -1 };
	memset(trace, 0, sizeof(trace));
	stopped = false;
}

static void open_ear(void)
{
	struct plait_address at;

	plait_address_parse(&at, "127.0.0.1", 7);
	plait_i_address_keep(&ear.base.address, &at);
	plait_i_port_open(&ear.base, reactor);
	port = &ear.base;
}

static void open_ear_on_socket(void)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds),
			 0);
	ear.fd = fds[0];
	ear.other = fds[1];
	ck_assert_int_eq(plait_watch_start(reactor, &ear.watch, ear.fd,
					   PLAIT_WATCH_READ, ear_hears),
			 0);
	open_ear();
}

static plait_value note_stopped(plait_value *v, void *arg)
{
	stopped = true;
	return PLAIT_NONE;
}

static void stop_ear(void)
{
	struct plait_deferred *d = plait_port_stop_listening(&port);

	plait_deferred_add_callback(d, note_stopped, NULL);
	plait_deferred_detach(&d);
}

GROUP("kind", .setup = setup);

TEST(a_port_without_a_factory_ends_in_two_steps, ON_EACH_REACTOR)
{
	open_ear();
	ck_assert_str_eq(trace, "");
	stop_ear();
	ck_assert_str_eq(trace, "s");
	ck_assert(!stopped);
	run_turns(reactor, 1);
	ck_assert(stopped);
	ck_assert_str_eq(trace, "scef");
}

TEST(it_hears_while_it_is_open_and_not_paused, ON_EACH_BACKEND)
{
	open_ear_on_socket();
	send(ear.other, "d", 1, 0);
	run_turns(reactor, 1);
	plait_port_pause_accepting(port);
	send(ear.other, "d", 1, 0);
	run_turns(reactor, 2);
	ck_assert_str_eq(trace, "dp");
	plait_port_resume_accepting(port);
	run_turns(reactor, 1);
	ck_assert_str_eq(trace, "dprd");
	send(ear.other, "d", 1, 0);
	stop_ear();
	run_turns(reactor, 2);
	ck_assert_str_eq(trace, "dprdscef");
	close(ear.other);
}

TEST(only_the_first_pause_and_the_last_are_told, ON_EACH_REACTOR)
{
	open_ear();
	plait_port_pause_accepting(port);
	plait_port_pause_accepting(port);
	plait_port_resume_accepting(port);
	ck_assert_str_eq(trace, "p");
	plait_port_resume_accepting(port);
	ck_assert_str_eq(trace, "pr");
	stop_ear();
	run_turns(reactor, 1);
}

TEST(it_says_what_it_is, ON_EACH_REACTOR)
{
	char text[64];

	open_ear();
	plait_port_str(port, text, sizeof(text));
	ck_assert_str_eq(text, "port on 127.0.0.1:7, listening");
	plait_port_pause_accepting(port);
	plait_port_str(port, text, sizeof(text));
	ck_assert_str_eq(text, "port on 127.0.0.1:7, paused");
	stop_ear();
	plait_port_str(&ear.base, text, sizeof(text));
	ck_assert_str_eq(text, "port on 127.0.0.1:7, closed");
	run_turns(reactor, 1);
}

static int ear_where(const struct plait_port *p, char *buf, size_t size)
{
	return snprintf(buf, size, "the wall");
}

static const struct port_ops wall_ops = {
	.stop = ear_stop,
	.close = ear_close,
	.free = ear_free,
	.where = ear_where,
};

TEST(one_without_an_address_says_where_it_is, ON_EACH_REACTOR)
{
	char text[64];

	ear.base.ops = &wall_ops;
	open_ear();
	plait_port_str(port, text, sizeof(text));
	ck_assert_str_eq(text, "port on the wall, listening");
	stop_ear();
	run_turns(reactor, 1);
}

TEST(one_that_tells_nobody_and_cannot_pause_works, ON_EACH_REACTOR)
{
	ear.base.ops = &dull_ops;
	open_ear();
	plait_port_pause_accepting(port);
	plait_port_resume_accepting(port);
	stop_ear();
	run_turns(reactor, 1);
	ck_assert(stopped);
	ck_assert_str_eq(trace, "scf");
}

/* The handle is good until the reactor is gone. */
TEST(the_end_of_the_reactor_ends_it, ON_EACH_REACTOR)
{
	open_ear();
	plait_reactor_free(&reactor);
	/* At the very end it is stopped and closed again, which is nothing. */
	ck_assert_str_eq(trace, "scescf");
}

TEST(a_forked_child_gives_it_back_and_tells_nobody, ON_EACH_BACKEND)
{
	pid_t pid;

	open_ear_on_socket();
	pid = fork();
	if (pid == 0) {
		ck_assert_int_eq(plait_i_port_check(reactor, "test"), -ECHILD);
		plait_reactor_free(&reactor);
		_exit(strchr(trace, 'e') != NULL || ear.fd >= 0 ||
		      strchr(trace, 'f') == NULL);
	}
	child_ends(pid);
	send(ear.other, "d", 1, 0);
	run_turns(reactor, 1);
	ck_assert_str_eq(trace, "d");
	stop_ear();
	run_turns(reactor, 2);
	close(ear.other);
}

/*
 * A program that was started with its standard descriptors closed: no
 * descriptor of plait's takes their places.
 */
#include <fcntl.h>
#include <stdio.h>

#include <plait/debug.h>

#include "reactor/loop/loop.h"
#include "tests/actor.h"
#include "tests/wire.h"

static struct actor server, client;
static int saved[3];

static void close_standard(void)
{
	for (int i = 0; i < 3; i++) {
		saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 100);
		ck_assert_int_ge(saved[i], 100);
	}
	for (int i = 0; i < 3; i++)
		close(i);
}

static void open_standard(void)
{
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(dup2(saved[i], i), i);
		close(saved[i]);
	}
}

static void assert_free(void)
{
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(fcntl(i, F_GETFD), -1);
}

GROUP("standard");

TEST(a_descriptor_of_plaits_is_never_a_standard_one, ON_EACH_BACKEND)
{
	struct plait_port *port;
	unsigned number;

	plait_reactor_free(&reactor);
	close_standard();
	actor_init(&server);
	actor_init(&client);
	reactor = plait_reactor_new(backend);
	ck_assert_ptr_nonnull(reactor);
	assert_free();
	number = actor_listen(&server, reactor, &port);
	assert_free();
	actor_connect(&client, reactor, number);
	run_until_count(reactor, &client.made, 1);
	run_until_count(reactor, &server.made, 1);
	assert_free();
	plait_transport_write(server.transport, "hello", 5);
	plait_transport_lose_connection(server.transport);
	run_until_count(reactor, &client.lost, 1);
	ck_assert_str_eq(client.text, "hello");
	assert_free();
	plait_reactor_free(&reactor);
	assert_free();
	open_standard();
}

/* A set that is built anew, at the first attempt or the second. */
TEST(nor_is_that_of_a_new_set, ON_EACH_BACKEND, TIMES(2))
{
	struct plait_watch w = { 0 };
	int fd[2], duplicate;

	ck_assert_int_eq(pipe2(fd, O_CLOEXEC), 0);
	ck_assert_int_eq(
		plait_watch_start(reactor, &w, fd[0], PLAIT_WATCH_READ, NULL),
		0);
	duplicate = dup(fd[0]);
	plait_i_watch_forget(&w);
	close(fd[0]);
	ck_assert_int_eq(write(fd[1], "x", 1), 1);
	close_standard();
	fault_call("epoll_create1", (unsigned long)_i, EMFILE);
	run_turns(reactor, 2);
	assert_free();
	open_standard();
	close(duplicate);
	close(fd[1]);
}

static unsigned opened_as;

static void note_descriptor(void *arg)
{
	for (unsigned i = 0; i < 3; i++)
		if (fcntl((int)i, F_GETFD) >= 0)
			opened_as |= 1u << i;
}

TEST(nor_is_that_of_a_trace, PURE)
{
	char path[64];

	snprintf(path, sizeof(path), "/tmp/plait-test-%d", (int)getpid());
	ck_assert_int_eq(plait_trace_start(100), 0);
	close_standard();
	call_hook("write", note_descriptor, NULL);
	ck_assert_int_eq(plait_trace_dump(path), 0);
	call_hook("write", NULL, NULL);
	assert_free();
	open_standard();
	ck_assert_uint_eq(opened_as, 0);
	plait_trace_stop();
	ck_assert_int_eq(unlink(path), 0);
}

/* If there is no other number, it is as if there were no descriptor. */
TEST(without_another_number_there_is_none, ON_EACH_BACKEND)
{
	struct plait_port *port;
	struct plait_reactor *r;
	int err;

	actor_init(&server);
	actor_init(&client);
	close_standard();
	fault_call("fcntl", 1, EMFILE);
	r = plait_reactor_new(backend);
	err = errno;
	ck_assert_ptr_null(r);
	ck_assert_int_eq(err, EMFILE);
	fault_call("fcntl", 1, EMFILE);
	err = plait_listen_tcp(reactor, 0, &server.base, NULL, &port);
	ck_assert_int_eq(err, -EMFILE);
	fault_call("fcntl", 1, EMFILE);
	actor_connect(&client, reactor, 1);
	run_turns(reactor, 2);
	ck_assert_uint_eq(client.failed, 1);
	ck_assert_int_eq(client.err, EMFILE);
	assert_free();
	open_standard();
}

TEST(what_is_not_a_standard_one_costs_nothing, ON_EACH_BACKEND)
{
	struct plait_port *port;

	actor_init(&server);
	calls_reset();
	actor_listen(&server, reactor, &port);
	ck_assert_uint_le(calls_of("fcntl"), 1); /* select's own look */
}

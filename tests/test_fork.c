/*
 * fork() while a reactor exists: the child may free it and nothing else, and
 * the parent notices nothing.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <plait/debug.h>

#include "reactor/loop/loop.h"
#include "tests/child.h"
#include "tests/harness.h"
#include "tests/wire.h"

static unsigned calls;

static void count(void *arg)
{
	calls++;
}

static plait_value trigger(void *arg)
{
	calls++;
	return PLAIT_NONE;
}

static void on_ready(struct plait_watch *w, unsigned events)
{
	char c;

	calls++;
	if (read(w->fd, &c, 1) <= 0)
		plait_watch_stop(w);
}

static struct plait_watch watch;
static struct plait_timer timer;
static int pair[2];

/* Asserts that the child's exit status, which says what went wrong, is 0. */
static void in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		child_leave(fn());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}

static void start(void)
{
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(plait_watch_start(reactor, &watch, pair[0],
					   PLAIT_WATCH_READ, on_ready),
			 0);
	plait_timer_start(reactor, &timer, 0, count, NULL);
}

/* The parent's timer and watch are as good as ever. */
static void check_undisturbed(void)
{
	ck_assert_int_eq(write(pair[1], "x", 1), 1);
	calls = 0;
	run_turns(reactor, 2);
	ck_assert_uint_eq(calls, 2);
	plait_watch_stop(&watch);
	close(pair[0]);
	close(pair[1]);
}

static struct plait_call call;
static struct plait_thread_call queued;

static int try_everything(void)
{
	struct plait_watch w = { 0 };
	double when;

	if (plait_reactor_run(reactor) != -ECHILD)
		return 1;
	if (plait_reactor_iterate(reactor, 0) != -ECHILD)
		return 2;
	if (plait_reactor_stop(reactor) != -ECHILD)
		return 3;
	if (plait_call_when_running(reactor, count, NULL) != -ECHILD)
		return 4;
	if (plait_call_from_thread(reactor, count, NULL) != -ECHILD ||
	    plait_thread_call_queue(reactor, &queued, count, NULL) != -ECHILD)
		return 5;
	if (plait_reactor_add_trigger(reactor, PLAIT_TRIGGER_BEFORE,
				      PLAIT_TRIGGER_STARTUP, trigger, NULL,
				      NULL) != -ECHILD)
		return 6;
	if (plait_reactor_remove_trigger(reactor, 1) != -ECHILD)
		return 7;
	if (plait_watch_start(reactor, &w, 1, PLAIT_WATCH_READ, on_ready) !=
	    -ECHILD)
		return 8;
	if (plait_watch_change(&watch, PLAIT_WATCH_WRITE) != -ECHILD)
		return 9;
	if (plait_call_cancel(call) != -ECHILD ||
	    plait_call_reset(call, 1) != -ECHILD ||
	    plait_call_delay(call, 1) != -ECHILD ||
	    plait_call_time(call, &when) != -ECHILD)
		return 10;
	plait_timer_stop(&timer);
	plait_watch_stop(&watch);
	plait_reactor_free(&reactor);
	return calls == 0 && reactor == NULL ? 0 : 11;
}

GROUP("child");

TEST(in_the_child_everything_is_refused_but_freeing, ON_EACH_BACKEND)
{
	start();
	call = plait_call_later(reactor, 3600, count, NULL);
	ck_assert_int_eq(plait_reactor_add_trigger(
				 reactor, PLAIT_TRIGGER_BEFORE,
				 PLAIT_TRIGGER_SHUTDOWN, trigger, NULL, NULL),
			 0);
	in_child(try_everything);
	check_undisturbed();
}

static int just_free(void)
{
	plait_reactor_free(&reactor);
	return 0;
}

GROUP("parent");

TEST(freeing_in_the_child_takes_nothing_from_the_parent, ON_EACH_BACKEND)
{
	start();
	in_child(just_free);
	check_undisturbed();
}

static int free_without_epoll_ctl(void)
{
	calls_reset();
	plait_watch_stop(&watch);
	plait_reactor_free(&reactor);
	return (int)calls_of("epoll_ctl");
}

TEST(the_child_does_not_touch_the_set_that_it_shares, ON_EACH_BACKEND)
{
	start();
	in_child(free_without_epoll_ctl);
	check_undisturbed();
}

struct member {
	struct loop_member member;
	struct loop_task next, burial, after, kept;
};

static struct member member;
static unsigned abandoned;

static void lose(struct loop_member *m)
{
	calls++;
}

static void abandon(struct loop_member *m)
{
	abandoned++;
}

static void run_task(struct loop_task *task)
{
	calls++;
}

static int free_with_members(void)
{
	plait_reactor_free(&reactor);
	/* What only gives something back does run. */
	if (calls != 2 || abandoned != 1)
		return 1;
	loop_part(&member.member);
	loop_task_cancel(&member.next);
	return 0;
}

GROUP("child");

TEST(the_child_is_not_told_of_losses, ON_EACH_BACKEND)
{
	static const struct loop_member_ops ops = {
		.lose = lose,
		.abandon = abandon,
	};

	member.member.ops = &ops;
	member.next.run = member.after.run = run_task;
	member.burial.run = member.kept.run = run_task;
	plait_i_loop_join(reactor, &member.member);
	plait_i_loop_next_turn(reactor, &member.next);
	plait_i_loop_after_callback(reactor, &member.after);
	plait_i_loop_bury(reactor, &member.burial);
	plait_i_loop_keep(reactor, &member.kept);
	in_child(free_with_members);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(calls, 5);
}

static struct wire wire;

static int free_with_a_connection(void)
{
	plait_reactor_free(&reactor);
	if (fcntl(wire.fd, F_GETFD) >= 0)
		return 1;
	return wire.lost + wire.done == 0 ? 0 : 2;
}

TEST(the_child_gives_connections_back_and_the_parent_keeps_them,
     ON_EACH_BACKEND)
{
	ck_assert(wire_open(&wire, reactor));
	plait_transport_write(wire.transport, "unsent", 6);
	in_child(free_with_a_connection);
	ck_assert_int_eq(send(wire.peer, "hello", 5, MSG_NOSIGNAL), 5);
	run_until_count(reactor, &wire.calls, 1);
	ck_assert_str_eq(wire.text, "hello");
	wire_close(&wire);
}

static void stop_it(void *arg)
{
	plait_reactor_stop(reactor);
}

/* A connection that has bytes left and no room for them. */
static void open_blocked_wire(void)
{
	ck_assert(wire_open(&wire, reactor));
	fault_call("send", 1, EAGAIN);
	plait_transport_write(wire.transport, "unsent", 6);
	fault_call("epoll_wait", 1, EINTR);
	fault_call("select", 1, EINTR);
	run_turns(reactor, 1);
	ck_assert_uint_eq(plait_transport_unsent(wire.transport), 6);
}

TEST(the_child_gives_back_what_is_being_closed_at_a_stop, ON_EACH_BACKEND)
{
	open_blocked_wire();
	fault_call_forever("send", EAGAIN);
	plait_transport_lose_connection(wire.transport);
	plait_call_later(reactor, 0, stop_it, NULL);
	run_turns(reactor, 2);
	ck_assert_uint_eq(wire.lost, 0);
	in_child(free_with_a_connection);
	fault_off();
	wire_close(&wire);
}

static pid_t forked;

static plait_value fork_in_trigger(void *arg)
{
	calls_reset();
	forked = fork();
	ck_assert_int_ge(forked, 0);
	return PLAIT_NONE;
}

TEST(the_child_of_a_shutdown_sends_nothing, ON_EACH_BACKEND)
{
	int status;

	open_blocked_wire();
	ck_assert_int_eq(plait_reactor_add_trigger(reactor,
						   PLAIT_TRIGGER_BEFORE,
						   PLAIT_TRIGGER_SHUTDOWN,
						   fork_in_trigger, NULL, NULL),
			 0);
	plait_call_when_running(reactor, stop_it, NULL);
	fault_call("epoll_wait", 1, EINTR);
	fault_call("select", 1, EINTR);
	status = plait_reactor_run(reactor);
	if (forked == 0)
		child_leave(status == -ECHILD && calls_of("send") == 0 ? 0 : 1);
	ck_assert_int_eq(status, 0);
	child_ends(forked);
	wire_hang_up(&wire);
}

static int use_a_new_one(void)
{
	struct plait_reactor *old = reactor;

	reactor = plait_reactor_new(backend);
	if (reactor == NULL)
		return 1;
	plait_reactor_free(&old);
	plait_call_later(reactor, 0, stop_it, NULL);
	if (plait_reactor_run(reactor) != 0)
		return 2;
	plait_reactor_free(&reactor);
	return 0;
}

TEST(a_child_may_have_a_reactor_of_its_own, ON_EACH_BACKEND)
{
	start();
	in_child(use_a_new_one);
	check_undisturbed();
}

static void fork_in_callback(void *arg)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		child_leave(plait_reactor_stop(reactor) == -ECHILD ? 0 : 1);
	child_ends(pid);
	plait_reactor_stop(reactor);
}

GROUP("parent");

TEST(a_running_parent_goes_on, ON_EACH_BACKEND)
{
	plait_call_when_running(reactor, fork_in_callback, NULL);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
}

/* A child that holds a connection keeps its file in the parent's set. */
TEST(a_child_that_holds_a_closed_descriptor_does_not_make_it_spin,
     ON_EACH_BACKEND)
{
	int done[2];
	pid_t pid;
	char c;

	start();
	ck_assert_int_eq(pipe2(done, O_CLOEXEC), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		close(done[1]);
		_exit(read(done[0], &c, 1) == 0 ? 0 : 1);
	}
	plait_i_watch_forget(&watch);
	close(pair[0]);
	ck_assert_int_eq(write(pair[1], "x", 1), 1);
	run_turns(reactor, 3);
	clock_virtual(true);
	ck_assert_int_eq(plait_reactor_iterate(reactor, 60), 0);
	ck_assert_double_ge(wait_timeout(), 59);
	ck_assert_uint_eq(calls, 1);
	close(done[1]);
	child_ends(pid);
	close(done[0]);
	close(pair[1]);
}

/* What a program that is executed gets: nothing of ours. */
TEST(no_descriptor_of_the_reactor_survives_exec, ON_EACH_BACKEND)
{
	char path[64], what[64];
	int flags;

	for (int fd = 3; fd < 64; fd++) {
		flags = fcntl(fd, F_GETFD);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (readlink(path, what, sizeof(what)) < 0 ||
		    strncmp(what, "anon_inode:", 11) != 0)
			continue;
		ck_assert_int_ne(flags & FD_CLOEXEC, 0);
		calls++;
	}
	ck_assert_uint_eq(calls, strcmp(backend, "epoll") == 0 ? 2 : 1);
}

/* ---- what the parent has to report ------------------------------------- */

static struct plait_deferred *failed, *pending, *list, *in_list;
static struct plait_promise *promise;
static struct plait_shared *shared;
static struct plait_cooperator *cooperator;
static struct plait_coiterator *task;

static plait_value error(void)
{
	return plait_fail(&plait_error_any, "the parent's");
}

static bool fail_step(plait_value *ret, void *arg)
{
	*ret = error();
	return true;
}

static void fail_everything(void)
{
	struct plait_deferred *d = plait_failed(error());

	failed = plait_failed(error());
	shared = plait_shared_new(&d);
	in_list = plait_deferred_new(&promise, NULL, NULL);
	list = plait_deferred_list(&in_list, 1, 0);
	cooperator = plait_cooperator_new(reactor, 0);
	task = plait_cooperate(cooperator, fail_step, NULL);
	run_turns(reactor, 2);
}

static void free_everything(void *arg)
{
	plait_fire(&promise, error());
	plait_deferred_free(&failed);
	plait_deferred_free(&list);
	plait_shared_free(&shared);
	plait_coiterator_free(&task);
	plait_cooperator_free(&cooperator);
}

GROUP("reports");

TEST(failures_of_the_parent_are_the_parents_to_report, ON_EACH_BACKEND)
{
	const char *said;

	fail_everything();
	ck_assert_int_eq(child_run(free_everything, NULL, &said), 0);
	ck_assert_str_eq(said, "");
	free_everything(NULL);
	unhandled_expect(4);
}

static void report_what_is_pending(void *arg)
{
	struct plait_buf *b = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	struct plait_promise *own;
	struct plait_deferred *d;

	if (plait_deferred_report_pending() != 0 ||
	    plait_deferred_dump(b) != 0 || plait_buf_size(b) != 0 ||
	    plait_deferred_report_at_exit() != 0)
		abort();
	plait_buf_unref(&b);
	if (arg == NULL)
		return;
	d = plait_deferred_new(&own, NULL, NULL);
	if (plait_deferred_report_pending() != 1)
		abort();
	plait_fire(&own, PLAIT_NONE);
	plait_deferred_free(&d);
}

TEST(promises_of_the_parent_are_not_told_of_in_the_child, PURE)
{
	const char *said;

	pending = plait_deferred_new(&promise, NULL, NULL);
	ck_assert_int_eq(child_run(report_what_is_pending, NULL, &said), 0);
	ck_assert_str_eq(said, "");
	ck_assert_int_eq(child_run(report_what_is_pending, &promise, &said), 0);
	ck_assert_ptr_nonnull(strstr(said, "NeverFiredError"));
	plait_fire(&promise, PLAIT_NONE);
	plait_deferred_free(&pending);
}

/* The grandchild has what the child has made, and reports it no more. */
static void fork_again(void *arg)
{
	struct plait_promise *own;
	struct plait_deferred *d = plait_deferred_new(&own, NULL, NULL);
	int status;
	pid_t pid = fork();

	if (pid == 0)
		child_leave(plait_deferred_report_pending() == 0 ? 0 : 1);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		abort();
	plait_fire(&own, PLAIT_NONE);
	plait_deferred_free(&d);
}

TEST(promises_of_the_child_are_not_told_of_in_its_child, PURE)
{
	const char *said;

	ck_assert_int_eq(child_run(fork_again, NULL, &said), 0);
	ck_assert_str_eq(said, "");
}

/*
 * Watches: descriptors of the user's own, on every backend alike.  Stale
 * events, descriptors that are closed, duplicated or reused behind the loop's
 * back, and what callbacks of one batch do to each other.
 */
#include <fcntl.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "reactor/kernel/kernel.h"
#include "reactor/loop/loop.h"
#include "tests/timed.h"

enum { MAX_PAIRS = 8, MAX_NOTES = 64 };

/* A watched end of a socket pair, and what its callback does. */
struct end {
	struct plait_watch w;
	int peer;
	unsigned calls;
	unsigned events; /* of the last call */
	void (*act)(struct end *e);
};

static struct end ends[MAX_PAIRS];
static char ran[MAX_NOTES + 1];
static unsigned n_ran;

static void on_ready(struct plait_watch *w, unsigned events)
{
	struct end *e = plait_container(w, struct end, w);

	ck_assert_uint_lt(n_ran, MAX_NOTES);
	ran[n_ran++] = (char)('a' + (e - ends));
	ran[n_ran] = '\0';
	e->calls++;
	e->events = events;
	if (e->act != NULL)
		e->act(e);
}

static void clear_notes(void)
{
	n_ran = 0;
	ran[0] = '\0';
}

static bool has_select(void)
{
	return strcmp(backend, "select") == 0;
}

static void watch(struct end *e, int fd, unsigned events)
{
	ck_assert_int_eq(
		plait_watch_start(reactor, &e->w, fd, events, on_ready), 0);
}

static void want(struct end *e, unsigned events)
{
	ck_assert_int_eq(plait_watch_change(&e->w, events), 0);
}

static struct end *open_end(int i, unsigned events)
{
	struct end *e = &ends[i];
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX,
				    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
				    0, fd),
			 0);
	e->peer = fd[1];
	watch(e, fd[0], events);
	return e;
}

static void close_end(struct end *e)
{
	plait_watch_stop(&e->w);
	close(e->w.fd);
	close(e->peer);
}

static void say(struct end *e)
{
	ck_assert_int_eq(write(e->peer, "x", 1), 1);
}

static void read_one(struct end *e)
{
	char c;

	ck_assert_int_eq(read(e->w.fd, &c, 1), 1);
}

static void stop(struct end *e)
{
	plait_watch_stop(&e->w);
}

GROUP("events");

TEST(told_in_every_turn_in_which_it_is_ready, ON_EACH_BACKEND)
{
	struct end *e = open_end(0, PLAIT_READ);

	run_turns(reactor, 2);
	ck_assert_uint_eq(e->calls, 0);
	say(e);
	run_turns(reactor, 3);
	ck_assert_uint_eq(e->calls, 3);
	ck_assert_uint_eq(e->events, PLAIT_READ);
	read_one(e);
	run_turns(reactor, 2);
	ck_assert_uint_eq(e->calls, 3);
	close_end(e);
}

TEST(both_at_once_are_told_at_once, ON_EACH_BACKEND)
{
	struct end *e = open_end(0, PLAIT_READ | PLAIT_WRITE);

	run_turns(reactor, 1);
	ck_assert_uint_eq(e->events, PLAIT_WRITE);
	say(e);
	run_turns(reactor, 1);
	ck_assert_uint_eq(e->calls, 2);
	ck_assert_uint_eq(e->events, PLAIT_READ | PLAIT_WRITE);
	close_end(e);
}

TEST(only_what_is_waited_for_is_told, ON_EACH_BACKEND)
{
	struct end *e = open_end(0, PLAIT_WRITE);

	say(e);
	run_turns(reactor, 1);
	ck_assert_uint_eq(e->events, PLAIT_WRITE);
	want(e, PLAIT_READ);
	run_turns(reactor, 1);
	ck_assert_uint_eq(e->events, PLAIT_READ);
	want(e, 0);
	run_turns(reactor, 2);
	ck_assert_uint_eq(e->calls, 2);
	close_end(e);
}

static void say_nothing_to(struct end *e)
{
	run_turns(reactor, 2);
	ck_assert_uint_eq(e->calls, 0);
}

/* Whatever else the bits are inside. */
TEST(bits_that_are_no_events_are_dropped, ON_EACH_BACKEND)
{
	struct end *e = open_end(0, ~3u);

	for (int i = 0; i < 2; i++) {
		if (i == 1)
			close(e->peer);
		say_nothing_to(e);
		want(e, ~3u);
		say_nothing_to(e);
		want(e, ~1u);
		run_turns(reactor, 1);
		ck_assert_uint_eq(e->calls, 1);
		ck_assert_uint_eq(e->events, PLAIT_WRITE);
		want(e, 0);
		e->calls = 0;
	}
	e->peer = -1;
	close_end(e);
}

TEST(a_hang_up_wakes_nobody_who_waits_for_nothing, ON_EACH_BACKEND)
{
	struct end *e = open_end(0, PLAIT_READ);

	want(e, 0);
	close(e->peer);
	clock_virtual(true);
	calls_reset();
	ck_assert_int_eq(plait_reactor_iterate(reactor, 60), 0);
	ck_assert_double_eq_tol(wait_timeout(), 60, 1e-3);
	ck_assert_uint_eq(calls_of("epoll_wait") + calls_of("select"), 1);
	ck_assert_uint_eq(e->calls, 0);
	e->peer = -1;
	close_end(e);
}

TEST(a_hang_up_is_told_to_who_waits_for_anything, ON_EACH_BACKEND, TIMES(2))
{
	struct end *e = open_end(0, _i == 0 ? PLAIT_READ : PLAIT_WRITE);

	run_turns(reactor, 1);
	clear_notes();
	close(e->peer);
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "a");
	ck_assert_uint_eq(e->events, _i == 0 ? PLAIT_READ : PLAIT_WRITE);
	e->peer = -1;
	close_end(e);
}

GROUP("start and stop");

TEST(stopping_twice_is_nothing_and_it_may_start_again, ON_EACH_BACKEND)
{
	struct end *e = open_end(0, PLAIT_READ);
	struct plait_watch zeroed = { 0 };

	plait_watch_stop(&zeroed);
	plait_watch_stop(&e->w);
	plait_watch_stop(&e->w);
	say(e);
	run_turns(reactor, 1);
	ck_assert_uint_eq(e->calls, 0);
	watch(e, e->w.fd, PLAIT_READ);
	run_turns(reactor, 1);
	ck_assert_uint_eq(e->calls, 1);
	close_end(e);
}

TEST(what_cannot_be_watched_is_refused, ON_EACH_BACKEND)
{
	struct end *e = open_end(0, PLAIT_READ);
	struct plait_watch w = { 0 };
	int fd = dup(e->peer);

	ck_assert_int_eq(
		plait_watch_start(reactor, &w, e->w.fd, PLAIT_READ, on_ready),
		-EEXIST);
	ck_assert_int_eq(plait_watch_start(reactor, &e->w, e->peer, PLAIT_READ,
					   on_ready),
			 -EBUSY);
	ck_assert_int_eq(
		plait_watch_start(reactor, &w, -1, PLAIT_READ, on_ready),
		-EBADF);
	close(fd);
	ck_assert_int_eq(
		plait_watch_start(reactor, &w, fd, PLAIT_READ, on_ready),
		-EBADF);
	ck_assert_int_eq(plait_watch_change(&w, PLAIT_READ), -EINVAL);
	ck_assert_int_eq(
		plait_watch_start(reactor, &w, e->peer, PLAIT_READ, on_ready),
		0);
	plait_watch_stop(&w);
	close_end(e);
}

TEST(a_virtual_reactor_watches_nothing, PURE)
{
	struct plait_reactor *r = plait_i_reactor_new(&plait_i_kernel_virtual);
	struct plait_watch w = { 0 };

	ck_assert_int_eq(plait_watch_start(r, &w, 0, PLAIT_READ, on_ready),
			 -ENOTSUP);
	ck_assert_int_eq(plait_watch_change(&w, PLAIT_READ), -EINVAL);
	plait_reactor_free(&r);
}

TEST(without_memory_for_the_table_it_is_refused, ON_EACH_BACKEND)
{
	struct plait_watch w = { 0 };
	int fd = fcntl(1, F_DUPFD_CLOEXEC, 200);

	ck_assert_int_ge(fd, 0);
	fault_alloc_at(0, true);
	ck_assert_int_eq(plait_watch_start(reactor, &w, fd, 0, on_ready),
			 -ENOMEM);
	fault_alloc_off();
	ck_assert_int_eq(plait_watch_start(reactor, &w, fd, 0, on_ready), 0);
	plait_watch_stop(&w);
	close(fd);
}

#ifdef HAVE_EPOLL
static const int epoll_errors[] = { ENOMEM, ENOSPC };

TEST(what_epoll_refuses_leaves_all_as_it_was, ON_EACH_BACKEND, TIMES(2))
{
	struct end *e;
	int err = epoll_errors[_i];

	if (has_select())
		return;
	e = open_end(0, PLAIT_READ);
	stop(e);
	fault_call("epoll_ctl", 1, err);
	ck_assert_int_eq(plait_watch_start(reactor, &e->w, e->w.fd, PLAIT_READ,
					   on_ready),
			 -err);
	watch(e, e->w.fd, PLAIT_READ);
	fault_call("epoll_ctl", 1, err);
	ck_assert_int_eq(plait_watch_change(&e->w, PLAIT_WRITE), -err);
	say(e);
	run_turns(reactor, 1);
	ck_assert_uint_eq(e->events, PLAIT_READ);
	close_end(e);
}
#endif

static void make_file_end(int fd)
{
	ck_assert_int_ge(fd, 0);
	ends[0].peer = -1;
	ck_assert_int_eq(plait_watch_start(reactor, &ends[0].w, fd,
					   PLAIT_READ | PLAIT_WRITE, on_ready),
			 0);
}

GROUP("files");

TEST(a_file_is_always_ready, ON_EACH_BACKEND)
{
	struct end *e = &ends[0];

	make_file_end(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
	ck_assert_int_eq(plait_reactor_iterate(reactor, 1000), 0);
	ck_assert_int_eq(plait_reactor_iterate(reactor, 1000), 0);
	ck_assert_uint_eq(e->calls, 2);
	ck_assert_uint_eq(e->events, PLAIT_READ | PLAIT_WRITE);
	want(e, PLAIT_READ);
	run_turns(reactor, 1);
	ck_assert_uint_eq(e->events, PLAIT_READ);
	want(e, 0);
	run_turns(reactor, 2);
	ck_assert_uint_eq(e->calls, 3);
	want(e, PLAIT_WRITE);
	run_turns(reactor, 1);
	ck_assert_uint_eq(e->events, PLAIT_WRITE);
	close_end(e);
}

TEST(a_file_may_be_stopped_in_its_callback, ON_EACH_BACKEND)
{
	struct end *e = &ends[0];

	make_file_end(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
	e->act = stop;
	run_turns(reactor, 3);
	ck_assert_uint_eq(e->calls, 1);
	close_end(e);
}

GROUP("events");

TEST(an_interrupted_wait_is_a_turn_without_events, ON_EACH_BACKEND)
{
	struct end *e = open_end(0, PLAIT_READ);

	say(e);
	fault_call(has_select() ? "select" : "epoll_wait", 3, EINTR);
	run_turns(reactor, 3);
	ck_assert_uint_eq(e->calls, 0);
	run_turns(reactor, 1);
	ck_assert_uint_eq(e->calls, 1);
	close_end(e);
}

TEST(a_wait_that_cannot_be_ends_the_run, ON_EACH_BACKEND)
{
	fault_call(has_select() ? "select" : "epoll_wait", 1, EINVAL);
	ck_assert_int_eq(plait_reactor_run(reactor), -EINVAL);
	ck_assert(!plait_reactor_is_running(reactor));
	run_turns(reactor, 1);
}

/* The number is taken again at once; the event was for the one before. */
static int reused = -1;
static struct end *closed;

static void close_and_reuse(struct end *e)
{
	int number = closed->w.fd, fd[2];

	if (reused >= 0)
		return;
	plait_watch_stop(&closed->w);
	close(number);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd),
			 0);
	reused = fd[0];
	ck_assert_int_eq(reused, number);
	close(closed->peer);
	closed->peer = fd[1];
	closed->calls = 0;
	watch(closed, reused, PLAIT_READ);
}

GROUP("batch");

/* Whichever comes first in the batch closes the other; twice: the hang-up. */
TEST(a_stale_event_does_not_reach_the_new_owner_of_the_number, ON_EACH_BACKEND,
     TIMES(2))
{
	struct end *a = open_end(0, PLAIT_READ), *b = open_end(1, PLAIT_READ);
	struct end *first = has_select() ? a : b;

	closed = first == a ? b : a;
	first->act = close_and_reuse;
	say(b);
	say(a);
	if (_i == 1)
		shutdown(closed->peer, SHUT_RDWR);
	run_turns(reactor, 1);
	ck_assert_uint_eq(first->calls, 1);
	ck_assert_int_ge(reused, 0);
	ck_assert_uint_eq(closed->calls, 0);
	run_turns(reactor, 1);
	ck_assert_uint_eq(closed->calls, 0);
	say(closed);
	run_turns(reactor, 1);
	ck_assert_uint_eq(closed->calls, 1);
	close_end(a);
	close_end(b);
}

static void rearm_other(struct end *e)
{
	struct end *other = &ends[e == &ends[0]];

	if (other->calls > 0 || e->calls > 1)
		return;
	want(other, 0);
	read_one(other);
	want(other, PLAIT_READ);
}

TEST(an_event_from_before_it_was_armed_again_is_not_told, ON_EACH_BACKEND)
{
	struct end *a = open_end(0, PLAIT_READ), *b = open_end(1, PLAIT_READ);

	a->act = b->act = rearm_other;
	say(a);
	say(b);
	run_turns(reactor, 1);
	ck_assert_uint_eq(a->calls + b->calls, 1);
	run_turns(reactor, 1);
	ck_assert_uint_eq(a->calls + b->calls, 2);
	close_end(a);
	close_end(b);
}

/* All orders of arrival of n ends, of which the first to be told stops and
   closes all the others. */
static int n_ends;

static void close_all_others(struct end *e)
{
	for (int i = 0; i < n_ends; i++) {
		if (&ends[i] == e)
			continue;
		plait_watch_stop(&ends[i].w);
		close(ends[i].w.fd);
	}
}

static void permute(int *order, int n, int number)
{
	for (int i = 0; i < n; i++)
		order[i] = i;
	for (int i = n; i > 1; i--) {
		int j = number % i, swap = order[i - 1];

		number /= i;
		order[i - 1] = order[j];
		order[j] = swap;
	}
}

static void run_order(int n, int number)
{
	int order[MAX_PAIRS];
	struct end *told;

	n_ends = n;
	permute(order, n, number);
	clear_notes();
	for (int i = 0; i < n; i++) {
		ends[i] = (struct end){ .act = close_all_others };
		open_end(i, PLAIT_READ | PLAIT_WRITE);
	}
	for (int i = 0; i < n; i++)
		say(&ends[order[i]]);
	run_turns(reactor, 1);
	ck_assert_uint_eq(n_ran, 1);
	told = &ends[ran[0] - 'a'];
	stop(told);
	close(told->w.fd);
	for (int i = 0; i < n; i++)
		close(ends[i].peer);
	run_turns(reactor, 1);
	ck_assert_uint_eq(n_ran, 1);
}

TEST(the_first_told_closes_all_others_in_every_order, ON_EACH_BACKEND,
     FROM_TO(2, 6))
{
	static const int factorial[] = { 1, 1, 2, 6, 24, 120 };

	for (int number = 0; number < factorial[_i]; number++)
		run_order(_i, number);
}

TEST(the_first_told_of_many_closes_all_others, ON_EACH_BACKEND)
{
	for (int n = 6; n <= MAX_PAIRS; n++)
		for (int number = 0; number < 20; number++)
			run_order(n, number * 7919);
}

static void stop_and_free(struct plait_watch *w, unsigned events)
{
	plait_watch_stop(w);
	free(w);
	n_ran++;
}

TEST(may_be_freed_in_its_own_callback, ON_EACH_BACKEND)
{
	struct plait_watch *w = calloc(1, sizeof(*w));
	int fd[2];

	ck_assert_int_eq(pipe2(fd, O_CLOEXEC), 0);
	ck_assert_int_eq(plait_watch_start(reactor, w, fd[1], PLAIT_WRITE,
					   stop_and_free),
			 0);
	run_turns(reactor, 2);
	ck_assert_uint_eq(n_ran, 1);
	close(fd[0]);
	close(fd[1]);
}

GROUP("behind its back");

/* Closed without a word; another must not suffer, and nothing may spin. */
TEST(a_descriptor_closed_behind_its_back_is_told_as_lost, ON_EACH_BACKEND)
{
	struct end *a = open_end(0, PLAIT_READ), *b = open_end(1, PLAIT_READ);

	close(a->w.fd);
	want(a, PLAIT_READ | PLAIT_WRITE);
	want(a, PLAIT_READ);
	say(b);
	run_turns(reactor, 2);
	ck_assert_uint_eq(a->events, PLAIT_LOST);
	ck_assert_uint_eq(a->calls, 1);
	ck_assert_uint_ge(b->calls, 1);
	ck_assert_int_eq(plait_watch_change(&a->w, PLAIT_READ), -EINVAL);
	read_one(b);
	clock_virtual(true);
	calls_reset();
	ck_assert_int_eq(plait_reactor_iterate(reactor, 60), 0);
	ck_assert_uint_eq(calls_of("epoll_wait") + calls_of("select"), 1);
	ck_assert_double_ge(wait_timeout(), 59);
	close(a->peer);
	close_end(b);
}

TEST(a_lost_one_may_be_stopped_before_it_is_told, ON_EACH_BACKEND)
{
	struct end *a = open_end(0, PLAIT_READ);

	close(a->w.fd);
	want(a, PLAIT_WRITE);
	plait_watch_stop(&a->w);
	run_turns(reactor, 2);
	ck_assert_uint_eq(a->calls, 0);
	close(a->peer);
}

/* A duplicate keeps the file in the kernel's set after its number closed. */
TEST(a_duplicate_left_behind_does_not_spin, ON_EACH_BACKEND)
{
	struct end *a = open_end(0, PLAIT_READ), *b = open_end(1, PLAIT_READ);
	int duplicate = dup(a->w.fd);

	plait_i_watch_forget(&a->w);
	close(a->w.fd);
	say(a);
	run_turns(reactor, 2);
	ck_assert_uint_eq(a->calls, 0);
	clock_virtual(true);
	ck_assert_int_eq(plait_reactor_iterate(reactor, 60), 0);
	ck_assert_double_ge(wait_timeout(), 59);
	ck_assert_double_ge(clock_now(), 59);
	clock_virtual(false);
	say(b);
	run_turns(reactor, 1);
	ck_assert_uint_eq(b->calls, 1);
	close(duplicate);
	close(a->peer);
	close_end(b);
}

/* The number belongs to another by now, which must stay watched. */
TEST(a_duplicate_left_behind_does_not_harm_the_new_owner, ON_EACH_BACKEND)
{
	struct end *a = open_end(0, PLAIT_READ), *b;
	int duplicate = dup(a->w.fd), number = a->w.fd;

	plait_i_watch_forget(&a->w);
	close(number);
	b = open_end(1, PLAIT_READ);
	ck_assert_int_eq(b->w.fd, number);
	say(a);
	run_turns(reactor, 3);
	ck_assert_uint_eq(a->calls + b->calls, 0);
	say(b);
	run_turns(reactor, 1);
	ck_assert_uint_eq(b->calls, 1);
	close(duplicate);
	close(a->peer);
	close_end(b);
}

TEST(a_forgotten_one_that_is_still_open_is_taken_out_when_it_speaks,
     ON_EACH_BACKEND)
{
	struct end *a = open_end(0, PLAIT_READ);

	plait_i_watch_forget(&a->w);
	say(a);
	run_turns(reactor, 1);
	clock_virtual(true);
	ck_assert_int_eq(plait_reactor_iterate(reactor, 60), 0);
	ck_assert_double_ge(wait_timeout(), 59);
	calls_reset();
	run_turns(reactor, 3);
	ck_assert_uint_eq(calls_of("epoll_ctl"), 0);
	ck_assert_uint_eq(a->calls, 0);
	close_end(a);
}

/*
 * A registration that is over and that only a new set can get rid of: its file
 * is open elsewhere, and speaks.
 */
static int leave_an_orphan(struct end *e)
{
	int duplicate = dup(e->w.fd);

	plait_i_watch_forget(&e->w);
	close(e->w.fd);
	say(e);
	return duplicate;
}

static void assert_sleeps(void)
{
	double began = clock_now();

	clock_virtual(true);
	ck_assert_int_eq(plait_reactor_iterate(reactor, 60), 0);
	ck_assert_double_ge(clock_now(), began + 59);
	clock_virtual(false);
}

TEST(without_descriptors_the_old_set_makes_room_for_the_new_one,
     ON_EACH_BACKEND)
{
	struct end *a = open_end(0, PLAIT_READ), *b = open_end(1, PLAIT_READ);
	int duplicate = leave_an_orphan(a);

	fault_call("epoll_create1", 1, EMFILE);
	run_turns(reactor, 1);
	assert_sleeps();
	say(b);
	run_turns(reactor, 1);
	ck_assert_uint_eq(b->calls, 1);
	close(duplicate);
	close(a->peer);
	close_end(b);
}

/* How many turns it makes in a second in which nothing happens. */
static unsigned turns_in_a_second(void)
{
	double end;
	unsigned n = 0;

	clock_virtual(true);
	for (end = clock_now() + 1; clock_now() < end; n++) {
		ck_assert_uint_lt(n, 1000);
		ck_assert_int_eq(plait_reactor_iterate(reactor, 0.5), 0);
	}
	clock_virtual(false);
	return n;
}

TEST(without_any_set_it_rests_and_tries_again, ON_EACH_BACKEND)
{
	struct end *a = open_end(0, PLAIT_READ), *b = open_end(1, PLAIT_READ);
	struct end *c = open_end(2, PLAIT_READ), *d;
	int duplicate = leave_an_orphan(a);

	fault_call_forever("epoll_create1", EMFILE);
	run_turns(reactor, 1);
	ck_assert_uint_le(turns_in_a_second(), 60);
	/* Watches come, go and change meanwhile. */
	d = open_end(3, PLAIT_READ);
	want(b, PLAIT_READ | PLAIT_WRITE);
	plait_watch_stop(&c->w);
	say(c);
	say(d);
	fault_off();
	run_turns(reactor, 1);
	ck_assert_uint_eq(b->events, PLAIT_WRITE);
	ck_assert_uint_eq(c->calls, 0);
	ck_assert_uint_eq(d->calls, 1);
	close(duplicate);
	close(a->peer);
	close_end(b);
	close_end(c);
	close_end(d);
}

/* It has no time to rest if something is due, and never rests too long. */
TEST(resting_makes_no_timer_late, ON_EACH_BACKEND)
{
	struct plait_timer t = { 0 };
	struct end *a = open_end(0, PLAIT_READ);
	int duplicate = leave_an_orphan(a);
	unsigned n = 0;

	clock_virtual(true);
	fault_call_forever("epoll_create1", EMFILE);
	run_turns(reactor, 2);
	plait_timer_start(reactor, &t, 0.003, call_count, &n);
	ck_assert_int_eq(plait_reactor_iterate(reactor, 1), 0);
	ck_assert_double_le(wait_timeout(), 0.004);
	run_turns(reactor, 1);
	ck_assert_uint_eq(n, 1);
	fault_off();
	close(duplicate);
	close(a->peer);
}

TEST(a_reactor_without_a_set_may_be_freed, ON_EACH_BACKEND)
{
	struct end *a = open_end(0, PLAIT_READ);
	int duplicate = leave_an_orphan(a);

	fault_call_forever("epoll_create1", EMFILE);
	run_turns(reactor, 2);
	plait_reactor_free(&reactor);
	close(duplicate);
	close(a->peer);
}

/* The old one serves, but it reports the orphan again and again. */
TEST(without_memory_for_a_new_set_it_rests_too, ON_EACH_BACKEND, TIMES(2))
{
	struct end *a = open_end(0, PLAIT_READ), *b = open_end(1, PLAIT_READ);
	int duplicate = leave_an_orphan(a);

	fault_call_forever("epoll_ctl", _i == 0 ? ENOMEM : ENOSPC);
	run_turns(reactor, 1);
	ck_assert_uint_le(turns_in_a_second(), 60);
	fault_call_forever("epoll_ctl", ENOMEM);
	say(b);
	run_turns(reactor, 1);
	ck_assert_uint_eq(b->calls, 1);
	ck_assert_uint_eq(b->events, PLAIT_READ);
	read_one(b);
	fault_off();
	run_turns(reactor, 1);
	assert_sleeps();
	close(duplicate);
	close(a->peer);
	close_end(b);
}

/* Whoever has put another file there has not stopped the watch. */
TEST(a_number_that_has_become_a_regular_file_is_lost_with_the_set,
     ON_EACH_BACKEND)
{
	struct end *a = open_end(0, PLAIT_READ), *b = open_end(1, PLAIT_READ);
	int duplicate = leave_an_orphan(a), file;

	if (!has_select()) {
		file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		ck_assert_int_eq(dup2(file, b->w.fd), b->w.fd);
		close(file);
		run_turns(reactor, 2);
		ck_assert_uint_eq(b->calls, 1);
		ck_assert_uint_eq(b->events, PLAIT_LOST);
		assert_sleeps();
	}
	close(duplicate);
	close(a->peer);
	close_end(b);
}

/* Its peer has hung up, which cannot be masked. */
TEST(a_watch_that_waits_for_nothing_stays_out_of_a_new_set, ON_EACH_BACKEND)
{
	struct end *a = open_end(0, PLAIT_READ), *b = open_end(1, PLAIT_READ);
	int duplicate;

	want(b, 0);
	close(b->peer);
	duplicate = leave_an_orphan(a);
	run_turns(reactor, 1);
	assert_sleeps();
	ck_assert_uint_eq(b->calls, 0);
	close(duplicate);
	close(a->peer);
	plait_watch_stop(&b->w);
	close(b->w.fd);
}

TEST(a_watch_that_waits_for_nothing_is_not_lost_with_others, ON_EACH_BACKEND)
{
	struct end *a = open_end(0, PLAIT_READ), *b = open_end(1, PLAIT_READ);

	want(b, 0);
	close(a->w.fd);
	close(b->w.fd);
	want(a, PLAIT_READ | PLAIT_WRITE);
	run_turns(reactor, 2);
	ck_assert_uint_eq(a->events, PLAIT_LOST);
	ck_assert_uint_eq(b->calls, 0);
	close(a->peer);
	close(b->peer);
}

static struct end *changed;
static unsigned changed_to;
static int put_there;

static void change_the_other(struct end *e)
{
	changed = e == &ends[0] ? &ends[1] : &ends[0];
	e->act = changed->act = NULL;
	/* The number is good again, but that is another file. */
	ck_assert_int_eq(dup2(put_there, changed->w.fd), changed->w.fd);
	calls_reset();
	want(changed, PLAIT_READ);
	want(changed, 0);
	want(changed, changed_to);
}

TEST(one_that_is_lost_and_not_told_yet_waits_for_nothing_any_more,
     ON_EACH_BACKEND, TIMES(4))
{
	struct end *a = open_end(0, PLAIT_READ), *b = open_end(1, PLAIT_READ);

	changed_to = (unsigned)_i;
	put_there = a->peer;
	a->act = b->act = change_the_other;
	close(a->w.fd);
	close(b->w.fd);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(plait_watch_change(&ends[i].w,
						    PLAIT_READ | PLAIT_WRITE),
				 0);
	run_turns(reactor, 3);
	ck_assert_uint_eq(calls_of("epoll_ctl"), 0);
	ck_assert_uint_eq(a->calls, 1);
	ck_assert_uint_eq(b->calls, 1);
	ck_assert_uint_eq(changed->events, PLAIT_LOST);
	ck_assert_int_eq(plait_watch_change(&changed->w, PLAIT_READ), -EINVAL);
	close(changed->w.fd);
	close(a->peer);
	close(b->peer);
}

TEST(a_new_set_finds_out_who_else_is_lost, ON_EACH_BACKEND)
{
	struct end *a = open_end(0, PLAIT_READ), *b = open_end(1, PLAIT_READ);
	int duplicate = dup(a->w.fd);

	if (has_select())
		want(b, PLAIT_READ);
	plait_i_watch_forget(&a->w);
	close(a->w.fd);
	close(b->w.fd);
	say(a);
	run_turns(reactor, 3);
	ck_assert_uint_eq(b->calls, 1);
	ck_assert_uint_eq(b->events, PLAIT_LOST);
	close(duplicate);
	close(a->peer);
	close(b->peer);
}

/* epoll still has the file, or has it no more, and plait cannot know. */
TEST(a_set_that_knows_better_is_followed, ON_EACH_BACKEND)
{
	struct end *a = open_end(0, PLAIT_READ);
	int number = a->w.fd, duplicate = dup(number);

	plait_i_watch_forget(&a->w);
	close(number);
	ck_assert_int_eq(dup2(duplicate, number), number);
	watch(a, number, PLAIT_READ);
	say(a);
	run_turns(reactor, 1);
	ck_assert_uint_eq(a->calls, 1);
	close(duplicate);
	close_end(a);
}

TEST(a_number_that_leads_to_another_file_can_be_changed, ON_EACH_BACKEND)
{
	struct end *a = open_end(0, PLAIT_READ);
	int number = a->w.fd, fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd),
			 0);
	ck_assert_int_eq(dup2(fd[0], number), number);
	want(a, PLAIT_READ | PLAIT_WRITE);
	run_turns(reactor, 1);
	ck_assert_uint_eq(a->events, PLAIT_WRITE);
	close(fd[0]);
	close(fd[1]);
	close_end(a);
}

static const int high[] = { 1023, 1024, 1500 };

GROUP("start and stop");

TEST(a_number_too_high_for_select_is_refused_by_select_alone, ON_EACH_BACKEND,
     TIMES(3))
{
	struct end *e = open_end(0, PLAIT_READ);
	struct plait_watch w = { 0 };
	int fd = fcntl(e->peer, F_DUPFD_CLOEXEC, high[_i]), rc;

	if (fd < 0) {
		ck_assert_int_eq(errno, EINVAL);
		close_end(e);
		return;
	}
	rc = plait_watch_start(reactor, &w, fd, PLAIT_WRITE, on_ready);
	ck_assert_int_eq(rc, has_select() && fd >= 1024 ? -EMFILE : 0);
	plait_watch_stop(&w);
	say(e);
	run_turns(reactor, 1);
	ck_assert_uint_eq(e->calls, 1);
	close(fd);
	close_end(e);
}

GROUP("behind its back");

/* epoll calls that a hang-up and nothing else. */
TEST(the_end_of_a_pipe_is_readable, ON_EACH_BACKEND)
{
	struct end *e = &ends[0];
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	watch(e, fd[0], PLAIT_READ);
	run_turns(reactor, 1);
	ck_assert_uint_eq(e->calls, 0);
	close(fd[1]);
	run_turns(reactor, 1);
	ck_assert_uint_eq(e->calls, 1);
	ck_assert_uint_eq(e->events, PLAIT_READ);
	plait_watch_stop(&e->w);
	close(fd[0]);
}

TEST(without_memory_select_waits_again, ON_EACH_BACKEND)
{
	struct end *e = open_end(0, PLAIT_READ);

	say(e);
	if (has_select()) {
		fault_call("select", 1, ENOMEM);
		run_turns(reactor, 1);
		ck_assert_uint_eq(e->calls, 0);
	}
	run_turns(reactor, 1);
	ck_assert_uint_eq(e->calls, 1);
	close_end(e);
}

TEST(a_number_that_is_refused_costs_nothing, ON_EACH_REACTOR, TIMES(3))
{
	static const int numbers[] = { 2000, 20 * 1000 * 1000, INT_MAX };
	struct plait_watch w = { 0 };
	size_t before;

	before = heap_live_bytes();

	ck_assert_int_eq(plait_watch_start(reactor, &w, numbers[_i], PLAIT_READ,
					   on_ready),
			 backend == NULL ? -ENOTSUP
			 : has_select()	 ? -EMFILE
					 : -EBADF);
	ck_assert_uint_eq(heap_live_bytes(), before);
	ck_assert_int_eq(plait_watch_change(&w, PLAIT_READ), -EINVAL);
	plait_watch_stop(&w);
}

GROUP("events");

TEST(each_ready_one_is_told_in_each_turn, ON_EACH_BACKEND)
{
	for (int i = 0; i < MAX_PAIRS; i++)
		say(open_end(i, PLAIT_READ));
	run_turns(reactor, 5);
	for (int i = 0; i < MAX_PAIRS; i++) {
		ck_assert_uint_eq(ends[i].calls, 5);
		close_end(&ends[i]);
	}
}

/* More than one wait gives. */
enum { CROWD = KERNEL_BATCH + 44 };

struct crowd {
	struct plait_watch w[CROWD];
	unsigned calls[CROWD];
};

static struct crowd crowd;

static void crowd_ready(struct plait_watch *w, unsigned events)
{
	crowd.calls[w - crowd.w]++;
}

static void crowd_gather(void)
{
	for (int i = 0; i < CROWD; i++) {
		int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

		ck_assert_int_ge(fd, 0);
		crowd.calls[i] = 0;
		ck_assert_int_eq(plait_watch_start(reactor, &crowd.w[i], fd,
						   PLAIT_READ, crowd_ready),
				 0);
	}
}

static void crowd_leave(void)
{
	for (int i = 0; i < CROWD; i++) {
		int fd = crowd.w[i].fd;

		plait_watch_stop(&crowd.w[i]);
		close(fd);
	}
}

TEST(what_one_wait_has_no_room_for_comes_first_in_the_next, ON_EACH_BACKEND)
{
	crowd_gather();
	for (unsigned turns = 1; turns < 20; turns++) {
		unsigned sum = 0, share = turns * KERNEL_BATCH / CROWD;

		run_turns(reactor, 1);
		for (int i = 0; i < CROWD; i++) {
			ck_assert_uint_ge(crowd.calls[i], share);
			ck_assert_uint_le(crowd.calls[i], share + 1);
			sum += crowd.calls[i];
		}
		ck_assert_uint_eq(sum, turns * KERNEL_BATCH);
	}
	crowd_leave();
}

static void crowd_goes(struct plait_watch *w, unsigned events)
{
	crowd_ready(w, events);
	plait_watch_stop(w);
}

TEST(a_crowd_that_goes_when_it_is_told_is_told_once_each, ON_EACH_BACKEND)
{
	crowd_gather();
	for (int i = 0; i < CROWD; i++)
		crowd.w[i].fn = crowd_goes;
	run_turns(reactor, 2);
	for (int i = 0; i < CROWD; i++)
		ck_assert_uint_eq(crowd.calls[i], 1);
	crowd_leave();
}

GROUP("start and stop");

TEST(a_reactor_that_is_freed_stops_its_watches, ON_EACH_BACKEND)
{
	struct end *e = open_end(0, PLAIT_READ);

	plait_reactor_free(&reactor);
	ck_assert_int_eq(plait_watch_change(&e->w, PLAIT_READ), -EINVAL);
	close_end(e);
}

GROUP("events");

TEST(an_event_costs_one_wait_and_nothing_else, ON_EACH_BACKEND)
{
	struct end *e = open_end(0, PLAIT_READ);

	say(e);
	run_turns(reactor, 1);
	calls_reset();
	run_turns(reactor, 10);
	ck_assert_uint_eq(e->calls, 11);
	ck_assert_uint_eq(calls_of("epoll_wait") + calls_of("select"), 10);
	ck_assert_uint_eq(calls_of("epoll_ctl"), 0);
	ck_assert_uint_eq(calls_of("clock_gettime"), 0);
	close_end(e);
}

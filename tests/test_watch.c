/*
 * Watches: descriptors of the user's own, on every backend alike.  Stale
 * events, descriptors that are closed, duplicated or reused behind the loop's
 * back, and what callbacks of one batch do to each other.
 *
 * In the stories a to d are watched ends of socket pairs:
 *
 *	a watches R		opens it; W for writing, RW, - for nothing; an
 *				errno behind it is what that fails with
 *	a wants RW		changes that
 *	a stops, a is-forgotten	by the user, inside the library
 *	a hears			its peer writes a byte
 *	a reads, a closes	its descriptor, without a word to its watch
 *	a is-orphaned		forgotten and closed, while its file is open
 *				elsewhere, and speaks
 *	a peer-closes
 *	a calls 3		its callback ran so often
 *	a events RW		it was told that; L: lost
 *	rests			the next wait takes all of a minute
 *	turns-a-second <61	in which nothing happens
 */
#include <fcntl.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "reactor/kernel/kernel.h"
#include "reactor/loop/loop.h"
#include "tests/story.h"
#include "tests/timed.h"

enum { MAX_PAIRS = 8, MAX_NOTES = 64 };

/* A watched end of a socket pair, and what its callback does. */
struct end {
	struct plait_watch w;
	int fd, peer, twin; /* of a story; -1: none */
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

static void open_pair(struct end *e)
{
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX,
				    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
				    0, fd),
			 0);
	e->fd = fd[0];
	e->peer = fd[1];
}

static struct end *open_end(int i, unsigned events)
{
	open_pair(&ends[i]);
	watch(&ends[i], ends[i].fd, events);
	return &ends[i];
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
	calls_reset();
	ck_assert_int_eq(plait_reactor_iterate(reactor, 60), 0);
	ck_assert_uint_eq(calls_of("epoll_wait") + calls_of("select"), 1);
	ck_assert_double_ge(wait_timeout(), 59);
	ck_assert_double_ge(clock_now(), began + 59);
	clock_virtual(false);
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

/* The words of the stories. */
static struct end *who;

static unsigned next_events(void)
{
	const char *word = play_word();

	play_holds(word[strspn(word, "RWL-")] == '\0', "no events: %s", word);
	return (strchr(word, 'R') ? PLAIT_WATCH_READ : 0) |
	       (strchr(word, 'W') ? PLAIT_WATCH_WRITE : 0) |
	       (strchr(word, 'L') ? PLAIT_WATCH_LOST : 0);
}

static void gave(int r)
{
	int expected = play_more() ? play_errno() : 0;

	play_holds(r == -expected, "%s", play_errno_name(-r));
}

static void step_watches(void)
{
	unsigned events = next_events();

	if (who->fd < 0)
		open_pair(who);
	gave(plait_watch_start(reactor, &who->w, who->fd, events, on_ready));
}

static void step_wants(void)
{
	unsigned events = next_events();

	gave(plait_watch_change(&who->w, events));
}

static void step_stops(void)
{
	plait_watch_stop(&who->w);
}

static void step_is_forgotten(void)
{
	plait_i_watch_forget(&who->w);
}

static void step_hears(void)
{
	say(who);
}

static void step_reads(void)
{
	read_one(who);
}

static void step_closes(void)
{
	close(who->fd);
	who->fd = -1;
}

static void step_is_orphaned(void)
{
	who->twin = leave_an_orphan(who);
	who->fd = -1;
}

static void step_peer_closes(void)
{
	close(who->peer);
	who->peer = -1;
}

static void step_calls(void)
{
	play_number_is(who->calls);
}

static void step_events(void)
{
	play_holds(who->events == next_events(), "they are %u", who->events);
}

static const struct play_verb end_verbs[] = {
	{ "calls", step_calls },
	{ "closes", step_closes },
	{ "events", step_events },
	{ "hears", step_hears },
	{ "is-forgotten", step_is_forgotten },
	{ "is-orphaned", step_is_orphaned },
	{ "peer-closes", step_peer_closes },
	{ "reads", step_reads },
	{ "stops", step_stops },
	{ "wants", step_wants },
	{ "watches", step_watches },
	{ NULL, NULL },
};

static void step_end(void)
{
	who = &ends[*play_name - 'a'];
	play_holds(play_act(end_verbs), "no end does that");
}

static void step_turns(void)
{
	play_number_is(turns_in_a_second());
}

static const struct play_verb words[] = {
	{ "a", step_end },
	{ "b", step_end },
	{ "c", step_end },
	{ "d", step_end },
	{ "rests", assert_sleeps },
	{ "turns-a-second", step_turns },
	{ NULL, NULL },
};

static void close_ends(void)
{
	for (int i = 0; i < MAX_PAIRS; i++) {
		plait_watch_stop(&ends[i].w);
		if (ends[i].fd >= 0)
			close(ends[i].fd);
		if (ends[i].peer >= 0)
			close(ends[i].peer);
		if (ends[i].twin >= 0)
			close(ends[i].twin);
	}
}

static void setup(void)
{
	for (int i = 0; i < MAX_PAIRS; i++)
		ends[i] = (struct end){ .fd = -1, .peer = -1, .twin = -1 };
	play_words(words, close_ends);
}

GROUP("events", .setup = setup);

STORY_ON(told_in_every_turn_in_which_it_is_ready, ON_EACH_BACKEND,
	 "a watches R; turn 2; a calls 0; a hears; turn 3; a calls 3;"
	 "a events R; a reads; turn 2; a calls 3");

STORY_ON(both_at_once_are_told_at_once, ON_EACH_BACKEND,
	 "a watches RW; turn; a events W; a hears; turn; a calls 2; a events "
	 "RW");

STORY_ON(only_what_is_waited_for_is_told, ON_EACH_BACKEND,
	 "a watches W; a hears; turn; a events W; a wants R; turn; a events R;"
	 "a wants -; turn 2; a calls 2");

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
		ck_assert_uint_eq(e->events, PLAIT_WATCH_WRITE);
		want(e, 0);
		e->calls = 0;
	}
	e->peer = -1;
	close_end(e);
}

STORY_ON(a_hang_up_wakes_nobody_who_waits_for_nothing, ON_EACH_BACKEND,
	 "a watches R; a wants -; a peer-closes; rests; a calls 0");

STORY_ON(a_hang_up_is_told_to_who_waits_for_anything, ON_EACH_BACKEND,
	 "a watches R; turn; a calls 0; a peer-closes; turn; a calls 1; a "
	 "events "
	 "R",
	 "a watches W; turn; a calls 1; a peer-closes; turn; a calls 2; a "
	 "events "
	 "W");

GROUP("start and stop", .setup = setup);

TEST(stopping_twice_is_nothing_and_it_may_start_again, ON_EACH_BACKEND)
{
	struct end *e = open_end(0, PLAIT_WATCH_READ);
	struct plait_watch zeroed = { 0 };

	plait_watch_stop(&zeroed);
	plait_watch_stop(&e->w);
	plait_watch_stop(&e->w);
	say(e);
	run_turns(reactor, 1);
	ck_assert_uint_eq(e->calls, 0);
	watch(e, e->w.fd, PLAIT_WATCH_READ);
	run_turns(reactor, 1);
	ck_assert_uint_eq(e->calls, 1);
	close_end(e);
}

TEST(what_cannot_be_watched_is_refused, ON_EACH_BACKEND)
{
	struct end *e = open_end(0, PLAIT_WATCH_READ);
	struct plait_watch w = { 0 };
	int fd = dup(e->peer);

	ck_assert_int_eq(plait_watch_start(reactor, &w, e->w.fd,
					   PLAIT_WATCH_READ, on_ready),
			 -EEXIST);
	ck_assert_int_eq(plait_watch_start(reactor, &e->w, e->peer,
					   PLAIT_WATCH_READ, on_ready),
			 -EBUSY);
	ck_assert_int_eq(
		plait_watch_start(reactor, &w, -1, PLAIT_WATCH_READ, on_ready),
		-EBADF);
	close(fd);
	ck_assert_int_eq(
		plait_watch_start(reactor, &w, fd, PLAIT_WATCH_READ, on_ready),
		-EBADF);
	ck_assert_int_eq(plait_watch_change(&w, PLAIT_WATCH_READ), -EINVAL);
	ck_assert_int_eq(plait_watch_start(reactor, &w, e->peer,
					   PLAIT_WATCH_READ, on_ready),
			 0);
	plait_watch_stop(&w);
	close_end(e);
}

TEST(a_virtual_reactor_watches_nothing, PURE)
{
	struct plait_reactor *r =
		plait_i_reactor_new(&plait_i_kernel_virtual, NULL);
	struct plait_watch w = { 0 };

	ck_assert_int_eq(
		plait_watch_start(r, &w, 0, PLAIT_WATCH_READ, on_ready),
		-ENOTSUP);
	ck_assert_int_eq(plait_watch_change(&w, PLAIT_WATCH_READ), -EINVAL);
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

STORY_ON(what_epoll_refuses_leaves_all_as_it_was, ON_EACH_BACKEND,
	 "epoll-only; a watches R; a stops; fail epoll_ctl ENOMEM;"
	 "a watches R ENOMEM; a watches R; fail epoll_ctl ENOMEM;"
	 "a wants W ENOMEM; a hears; turn; a events R",
	 "epoll-only; a watches R; a stops; fail epoll_ctl ENOSPC;"
	 "a watches R ENOSPC; a watches R; fail epoll_ctl ENOSPC;"
	 "a wants W ENOSPC; a hears; turn; a events R");

static void make_file_end(int fd)
{
	ck_assert_int_ge(fd, 0);
	ends[0].peer = -1;
	ck_assert_int_eq(plait_watch_start(reactor, &ends[0].w, fd,
					   PLAIT_WATCH_READ | PLAIT_WATCH_WRITE,
					   on_ready),
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
	ck_assert_uint_eq(e->events, PLAIT_WATCH_READ | PLAIT_WATCH_WRITE);
	want(e, PLAIT_WATCH_READ);
	run_turns(reactor, 1);
	ck_assert_uint_eq(e->events, PLAIT_WATCH_READ);
	want(e, 0);
	run_turns(reactor, 2);
	ck_assert_uint_eq(e->calls, 3);
	want(e, PLAIT_WATCH_WRITE);
	run_turns(reactor, 1);
	ck_assert_uint_eq(e->events, PLAIT_WATCH_WRITE);
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

static void watch_a_second_file(struct end *e)
{
	int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

	e->act = NULL;
	ck_assert_int_gt(fd, e->w.fd);
	ends[1].peer = -1;
	ck_assert_int_eq(plait_watch_start(reactor, &ends[1].w, fd,
					   PLAIT_WATCH_READ, on_ready),
			 0);
}

TEST(a_file_that_is_watched_in_a_callback_waits_a_turn, ON_EACH_BACKEND)
{
	make_file_end(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
	ends[0].act = watch_a_second_file;
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "a");
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "aab");
	close_end(&ends[0]);
	close_end(&ends[1]);
}

GROUP("events", .setup = setup);

STORY_ON(an_interrupted_wait_is_a_turn_without_events, ON_EACH_BACKEND,
	 "a watches R; a hears; fail wait EINTR 3; turn 3; a calls 0; turn;"
	 "a calls 1");

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
	watch(closed, reused, PLAIT_WATCH_READ);
}

GROUP("batch");

/* Whichever comes first in the batch closes the other; twice: the hang-up. */
TEST(a_stale_event_does_not_reach_the_new_owner_of_the_number, ON_EACH_BACKEND,
     TIMES(2))
{
	struct end *a = open_end(0, PLAIT_WATCH_READ),
		   *b = open_end(1, PLAIT_WATCH_READ);
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
	want(other, PLAIT_WATCH_READ);
}

TEST(an_event_from_before_it_was_armed_again_is_not_told, ON_EACH_BACKEND)
{
	struct end *a = open_end(0, PLAIT_WATCH_READ),
		   *b = open_end(1, PLAIT_WATCH_READ);

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
		open_end(i, PLAIT_WATCH_READ | PLAIT_WATCH_WRITE);
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
	ck_assert_int_eq(plait_watch_start(reactor, w, fd[1], PLAIT_WATCH_WRITE,
					   stop_and_free),
			 0);
	run_turns(reactor, 2);
	ck_assert_uint_eq(n_ran, 1);
	close(fd[0]);
	close(fd[1]);
}

GROUP("behind its back", .setup = setup);

/* Closed without a word; another must not suffer, and nothing may spin. */
STORY_ON(a_descriptor_closed_behind_its_back_is_told_as_lost, ON_EACH_BACKEND,
	 "a watches R; b watches R; a closes; a wants RW; a wants R; b hears;"
	 "turn 2; a events L; a calls 1; b calls >0; a wants R EINVAL; b reads;"
	 "rests");

STORY_ON(a_lost_one_may_be_stopped_before_it_is_told, ON_EACH_BACKEND,
	 "a watches R; a closes; a wants W; a stops; turn 2; a calls 0");

/* A duplicate keeps the file in the kernel's set after its number closed. */
STORY_ON(a_duplicate_left_behind_does_not_spin, ON_EACH_BACKEND,
	 "a watches R; b watches R; a is-orphaned; turn 2; a calls 0; rests;"
	 "b hears; turn; b calls 1");

/* The number belongs to another by now, which must stay watched. */
TEST(a_duplicate_left_behind_does_not_harm_the_new_owner, ON_EACH_BACKEND)
{
	struct end *a = open_end(0, PLAIT_WATCH_READ), *b;
	int duplicate = dup(a->w.fd), number = a->w.fd;

	plait_i_watch_forget(&a->w);
	close(number);
	b = open_end(1, PLAIT_WATCH_READ);
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

STORY_ON(a_forgotten_one_that_is_still_open_is_taken_out_when_it_speaks,
	 ON_EACH_BACKEND,
	 "a watches R; a is-forgotten; a hears; turn; rests; count; turn 3;"
	 "calls epoll_ctl 0; a calls 0");

STORY_ON(without_descriptors_the_old_set_makes_room_for_the_new_one,
	 ON_EACH_BACKEND,
	 "a watches R; b watches R; a is-orphaned; fail epoll_create1 EMFILE;"
	 "turn; rests; b hears; turn; b calls 1");

/* Watches come, go and change meanwhile. */
STORY_ON(without_any_set_it_rests_and_tries_again, ON_EACH_BACKEND,
	 "a watches R; b watches R; c watches R; a is-orphaned;"
	 "fail epoll_create1 EMFILE forever; turn; turns-a-second <61;"
	 "d watches R; b wants RW; c stops; c hears; d hears; faults-off; turn;"
	 "b events W; c calls 0; d calls 1");

/* It has no time to rest if something is due, and never rests too long. */
TEST(resting_makes_no_timer_late, ON_EACH_BACKEND)
{
	struct plait_timer t = { 0 };
	struct end *a = open_end(0, PLAIT_WATCH_READ);
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

STORY_ON(
	a_reactor_without_a_set_may_be_freed, ON_EACH_BACKEND,
	"a watches R; a is-orphaned; fail epoll_create1 EMFILE forever; turn 2;"
	"free-reactor");

/* The old one serves, but it reports the orphan again and again. */
STORY_ON(without_memory_for_a_new_set_it_rests_too, ON_EACH_BACKEND,
	 "a watches R; b watches R; a is-orphaned; fail epoll_ctl ENOMEM "
	 "forever;"
	 "turn; turns-a-second <61; fail epoll_ctl ENOMEM forever; b hears;"
	 "turn; b calls 1; b events R; b reads; faults-off; turn; rests",
	 "a watches R; b watches R; a is-orphaned; fail epoll_ctl ENOSPC "
	 "forever;"
	 "turn; turns-a-second <61; fail epoll_ctl ENOMEM forever; b hears;"
	 "turn; b calls 1; b events R; b reads; faults-off; turn; rests");

/* Whoever has put another file there has not stopped the watch. */
TEST(a_number_that_has_become_a_regular_file_is_lost_with_the_set,
     ON_EACH_BACKEND)
{
	struct end *a = open_end(0, PLAIT_WATCH_READ),
		   *b = open_end(1, PLAIT_WATCH_READ);
	int duplicate = leave_an_orphan(a), file;

	if (!has_select()) {
		file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		ck_assert_int_eq(dup2(file, b->w.fd), b->w.fd);
		close(file);
		run_turns(reactor, 2);
		ck_assert_uint_eq(b->calls, 1);
		ck_assert_uint_eq(b->events, PLAIT_WATCH_LOST);
		assert_sleeps();
	}
	close(duplicate);
	close(a->peer);
	close_end(b);
}

/* Its peer has hung up, which cannot be masked. */
STORY_ON(a_watch_that_waits_for_nothing_stays_out_of_a_new_set, ON_EACH_BACKEND,
	 "a watches R; b watches R; b wants -; b peer-closes; a is-orphaned;"
	 "turn; rests; b calls 0");

STORY_ON(a_watch_that_waits_for_nothing_is_not_lost_with_others,
	 ON_EACH_BACKEND,
	 "a watches R; b watches R; b wants -; a closes; b closes; a wants RW;"
	 "turn 2; a events L; b calls 0");

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
	want(changed, PLAIT_WATCH_READ);
	want(changed, 0);
	want(changed, changed_to);
}

TEST(one_that_is_lost_and_not_told_yet_waits_for_nothing_any_more,
     ON_EACH_BACKEND, TIMES(4))
{
	struct end *a = open_end(0, PLAIT_WATCH_READ),
		   *b = open_end(1, PLAIT_WATCH_READ);

	changed_to = (unsigned)_i;
	put_there = a->peer;
	a->act = b->act = change_the_other;
	close(a->w.fd);
	close(b->w.fd);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(plait_watch_change(&ends[i].w,
						    PLAIT_WATCH_READ |
							    PLAIT_WATCH_WRITE),
				 0);
	run_turns(reactor, 3);
	ck_assert_uint_eq(calls_of("epoll_ctl"), 0);
	ck_assert_uint_eq(a->calls, 1);
	ck_assert_uint_eq(b->calls, 1);
	ck_assert_uint_eq(changed->events, PLAIT_WATCH_LOST);
	ck_assert_int_eq(plait_watch_change(&changed->w, PLAIT_WATCH_READ),
			 -EINVAL);
	close(changed->w.fd);
	close(a->peer);
	close(b->peer);
}

TEST(a_new_set_finds_out_who_else_is_lost, ON_EACH_BACKEND)
{
	struct end *a = open_end(0, PLAIT_WATCH_READ),
		   *b = open_end(1, PLAIT_WATCH_READ);
	int duplicate = dup(a->w.fd);

	if (has_select())
		want(b, PLAIT_WATCH_READ);
	plait_i_watch_forget(&a->w);
	close(a->w.fd);
	close(b->w.fd);
	say(a);
	run_turns(reactor, 3);
	ck_assert_uint_eq(b->calls, 1);
	ck_assert_uint_eq(b->events, PLAIT_WATCH_LOST);
	close(duplicate);
	close(a->peer);
	close(b->peer);
}

/* epoll still has the file, or has it no more, and plait cannot know. */
TEST(a_set_that_knows_better_is_followed, ON_EACH_BACKEND)
{
	struct end *a = open_end(0, PLAIT_WATCH_READ);
	int number = a->w.fd, duplicate = dup(number);

	plait_i_watch_forget(&a->w);
	close(number);
	ck_assert_int_eq(dup2(duplicate, number), number);
	watch(a, number, PLAIT_WATCH_READ);
	say(a);
	run_turns(reactor, 1);
	ck_assert_uint_eq(a->calls, 1);
	close(duplicate);
	close_end(a);
}

TEST(a_number_that_leads_to_another_file_can_be_changed, ON_EACH_BACKEND)
{
	struct end *a = open_end(0, PLAIT_WATCH_READ);
	int number = a->w.fd, fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd),
			 0);
	ck_assert_int_eq(dup2(fd[0], number), number);
	want(a, PLAIT_WATCH_READ | PLAIT_WATCH_WRITE);
	run_turns(reactor, 1);
	ck_assert_uint_eq(a->events, PLAIT_WATCH_WRITE);
	close(fd[0]);
	close(fd[1]);
	close_end(a);
}

static const int high[] = { 1023, 1024, 1500 };

GROUP("start and stop", .setup = setup);

TEST(a_number_too_high_for_select_is_refused_by_select_alone, ON_EACH_BACKEND,
     TIMES(3))
{
	struct end *e = open_end(0, PLAIT_WATCH_READ);
	struct plait_watch w = { 0 };
	int fd = fcntl(e->peer, F_DUPFD_CLOEXEC, high[_i]), rc;

	if (fd < 0) {
		ck_assert_int_eq(errno, EINVAL);
		close_end(e);
		return;
	}
	rc = plait_watch_start(reactor, &w, fd, PLAIT_WATCH_WRITE, on_ready);
	ck_assert_int_eq(rc, has_select() && fd >= 1024 ? -EMFILE : 0);
	plait_watch_stop(&w);
	say(e);
	run_turns(reactor, 1);
	ck_assert_uint_eq(e->calls, 1);
	close(fd);
	close_end(e);
}

GROUP("behind its back", .setup = setup);

/* epoll calls that a hang-up and nothing else. */
TEST(the_end_of_a_pipe_is_readable, ON_EACH_BACKEND)
{
	struct end *e = &ends[0];
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	watch(e, fd[0], PLAIT_WATCH_READ);
	run_turns(reactor, 1);
	ck_assert_uint_eq(e->calls, 0);
	close(fd[1]);
	run_turns(reactor, 1);
	ck_assert_uint_eq(e->calls, 1);
	ck_assert_uint_eq(e->events, PLAIT_WATCH_READ);
	plait_watch_stop(&e->w);
	close(fd[0]);
}

/* No event of its own: writing tells it, and it stays. */
TEST(a_pipe_that_nobody_reads_is_writable, ON_EACH_BACKEND)
{
	struct end *e = &ends[0];
	char full[65536] = "";
	int fd[2];

	ck_assert_int_eq(pipe2(fd, O_NONBLOCK | O_CLOEXEC), 0);
	while (write(fd[1], full, sizeof(full)) > 0)
		;
	watch(e, fd[1], PLAIT_WATCH_WRITE);
	run_turns(reactor, 1);
	ck_assert_uint_eq(e->calls, 0);
	close(fd[0]);
	run_turns(reactor, 2);
	ck_assert_uint_eq(e->calls, 2);
	ck_assert_uint_eq(e->events, PLAIT_WATCH_WRITE);
	want(e, 0);
	run_turns(reactor, 2);
	ck_assert_uint_eq(e->calls, 2);
	plait_watch_stop(&e->w);
	close(fd[1]);
}

TEST(a_descriptor_that_blocks_goes_on_blocking, ON_EACH_BACKEND)
{
	struct end *e = &ends[0];
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	watch(e, fd[0], PLAIT_WATCH_READ);
	ck_assert_int_eq(fcntl(fd[0], F_GETFL) & O_NONBLOCK, 0);
	plait_watch_stop(&e->w);
	close(fd[0]);
	close(fd[1]);
}

TEST(without_memory_select_waits_again, ON_EACH_BACKEND)
{
	struct end *e = open_end(0, PLAIT_WATCH_READ);

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

	ck_assert_int_eq(plait_watch_start(reactor, &w, numbers[_i],
					   PLAIT_WATCH_READ, on_ready),
			 backend == NULL ? -ENOTSUP
			 : has_select()	 ? -EMFILE
					 : -EBADF);
	ck_assert_uint_eq(heap_live_bytes(), before);
	ck_assert_int_eq(plait_watch_change(&w, PLAIT_WATCH_READ), -EINVAL);
	plait_watch_stop(&w);
}

GROUP("events", .setup = setup);

TEST(each_ready_one_is_told_in_each_turn, ON_EACH_BACKEND)
{
	for (int i = 0; i < MAX_PAIRS; i++)
		say(open_end(i, PLAIT_WATCH_READ));
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
						   PLAIT_WATCH_READ,
						   crowd_ready),
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

GROUP("start and stop", .setup = setup);

STORY_ON(a_reactor_that_is_freed_stops_its_watches, ON_EACH_BACKEND,
	 "a watches R; free-reactor; a wants R EINVAL");

GROUP("events", .setup = setup);

STORY_ON(
	an_event_costs_one_wait_and_nothing_else, ON_EACH_BACKEND,
	"a watches R; a hears; turn; count; turn 10; a calls 11; calls wait 10;"
	"calls epoll_ctl 0; calls clock_gettime 0");

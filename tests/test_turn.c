/*
 * How much a turn does of one kind: so many calls from threads, tasks and due
 * timers, in the order in which they came, and the rest in the turns after it,
 * when all others have had theirs.
 */
#include <plait/testing.h>

#include "reactor/loop/loop.h"
#include "tests/timed.h"

enum { SHARE = 256, MANY = 4 * SHARE - 100 };

/* What ran, in order. */
static unsigned ran[4 * MANY], n_ran;

/* A piece of work of any kind. */
struct piece {
	struct loop_task task;
	struct plait_timer timer;
	struct plait_thread_call call;
	unsigned number;
};

static struct piece pieces[2 * MANY], other;
static void (*act)(struct piece *p);

static void run_piece(void *arg)
{
	struct piece *p = arg;

	ran[n_ran++] = p->number;
	if (act != NULL)
		act(p);
}

static void run_task(struct loop_task *task)
{
	run_piece(plait_container(task, struct piece, task));
}

/* There are two kinds of them, and one queue. */
static void queue_call(struct piece *p)
{
	int rc = p->number % 2 == 0
			 ? plait_call_from_thread(reactor, run_piece, p)
			 : plait_thread_call_queue(reactor, &p->call, run_piece,
						   p);

	ck_assert_int_eq(rc, 0);
}

static void queue_task(struct piece *p)
{
	plait_i_loop_next_turn(reactor, &p->task);
}

static void queue_timer(struct piece *p)
{
	plait_timer_start(reactor, &p->timer, 0, run_piece, p);
}

static void (*const queue[])(struct piece *p) = { queue_call, queue_task,
						  queue_timer };

enum { CALLS, TASKS, TIMERS, N_KINDS };

static void setup(void)
{
	for (unsigned i = 0; i < 2 * MANY; i++)
		pieces[i] = (struct piece){ .task.run = run_task, .number = i };
	other = (struct piece){ .task.run = run_task, .number = 9999 };
}

static void queue_many(int kind)
{
	for (unsigned i = 0; i < MANY; i++)
		queue[kind](&pieces[i]);
}

static void assert_order(unsigned n)
{
	ck_assert_uint_eq(n_ran, n);
	for (unsigned i = 0; i < n; i++)
		ck_assert_uint_eq(ran[i], i);
}

GROUP("share", .setup = setup);

TEST(a_turn_does_its_share_and_the_next_goes_on, ON_EACH_REACTOR,
     TIMES(N_KINDS))
{
	queue_many(_i);
	for (unsigned n = SHARE; n < MANY; n += SHARE) {
		ck_assert_int_eq(plait_reactor_iterate(reactor, 100), 0);
		assert_order(n);
		/* It does not sleep on what is left. */
		ck_assert(plait_i_reactor_has_work(reactor));
		ck_assert(wait_timeout() == 0 || backend == NULL);
	}
	ck_assert_int_eq(plait_reactor_iterate(reactor, 0), 0);
	assert_order(MANY);
	ck_assert(!plait_i_reactor_has_work(reactor));
}

/* Each piece asks for another: those come after all of the first. */
static int kind_of_new;

static void queue_another(struct piece *p)
{
	if (p->number < MANY)
		queue[kind_of_new](&pieces[MANY + p->number]);
}

TEST(what_is_queued_meanwhile_comes_after_what_is_left, ON_EACH_REACTOR,
     TIMES(N_KINDS))
{
	kind_of_new = _i;
	act = queue_another;
	queue_many(_i);
	run_turns(reactor, 9);
	assert_order(2 * MANY);
}

/* Each kind has its share in each turn, whatever the others have. */
TEST(no_kind_holds_up_the_others, ON_EACH_REACTOR, TIMES(N_KINDS))
{
	unsigned place;

	queue_many(_i);
	run_turns(reactor, 1);
	place = n_ran;
	queue[(_i + 1) % N_KINDS](&other);
	/* A turn later, for a timer that is set outside of one. */
	run_turns(reactor, 2);
	while (place < n_ran && ran[place] != other.number)
		place++;
	ck_assert_uint_lt(place, n_ran);
}

static struct {
	struct plait_watch watch;
	unsigned events;
} watched;

static void count_event(struct plait_watch *w, unsigned events)
{
	watched.events++;
}

TEST(descriptors_have_their_turn_too, ON_EACH_BACKEND, TIMES(N_KINDS))
{
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	ck_assert_int_eq(plait_watch_start(reactor, &watched.watch, fd[1],
					   PLAIT_WATCH_WRITE, count_event),
			 0);
	queue_many(_i);
	for (unsigned i = 1; n_ran < MANY; i++) {
		run_turns(reactor, 1);
		ck_assert_uint_eq(watched.events, i);
	}
	plait_watch_stop(&watched.watch);
	close(fd[0]);
	close(fd[1]);
}

TEST(what_is_left_is_dropped_with_the_reactor, ON_EACH_KERNEL, TIMES(N_KINDS))
{
	queue_many(_i);
	run_turns(reactor, 1);
	queue_timer(&other);
	plait_reactor_free(&reactor);
	ck_assert(!plait_timer_is_running(&other.timer));
	/* But tasks are answers, and all of them are told. */
	assert_order(_i == TASKS ? MANY : SHARE);
	for (unsigned i = 0; i < MANY; i++) {
		ck_assert(!plait_timer_is_running(&pieces[i].timer));
		plait_timer_stop(&pieces[i].timer);
	}
}

static void cancel(struct piece *p)
{
	loop_task_cancel(&p->task);
	plait_timer_stop(&p->timer);
}

TEST(what_is_left_may_be_cancelled, ON_EACH_REACTOR, TIMES(2))
{
	struct plait_timer later = { 0 };
	int kind = TASKS + _i;

	plait_timer_start(reactor, &later, 3600, run_piece, &other);
	queue_many(kind);
	run_turns(reactor, 1);
	for (unsigned i = SHARE; i < MANY; i++)
		cancel(&pieces[i]);
	ck_assert(!plait_i_reactor_has_work(reactor));
	queue[kind](&other);
	ck_assert(plait_i_reactor_has_work(reactor));
	run_turns(reactor, 2);
	ck_assert_uint_eq(n_ran, SHARE + 1);
	ck_assert_uint_eq(ran[SHARE], other.number);
	plait_timer_stop(&later);
}

/* The turn that only waits comes after them. */
TEST(what_was_left_and_cancelled_holds_up_no_timer, ON_EACH_REACTOR)
{
	queue_many(TIMERS);
	run_turns(reactor, 1);
	for (unsigned i = SHARE; i < MANY; i++)
		cancel(&pieces[i]);
	run_turns(reactor, 1);
	queue_timer(&other);
	run_turns(reactor, 1);
	ck_assert_uint_eq(n_ran, SHARE + 1);
}

/*
 * Timers: those that were due stay before those that are set later, even where
 * these are moved to an earlier time.
 */
static void set_in_the_past(struct piece *p)
{
	struct plait_call call;

	act = NULL;
	call = plait_call_later(reactor, 0, run_piece, &other);
	ck_assert_int_eq(plait_call_delay(call, -1000), 0);
}

GROUP("timers", .setup = setup);

TEST(timers_that_were_due_come_before_those_set_later, ON_EACH_REACTOR)
{
	advance(2000);
	act = set_in_the_past;
	queue_many(TIMERS);
	run_turns(reactor, 5);
	ck_assert_uint_eq(n_ran, MANY + 1);
	ck_assert_uint_eq(ran[MANY], other.number);
}

/* From an event, when the timers of the turn have run but not all that are due.
 */
static void set_from_event(struct plait_watch *w, unsigned events)
{
	plait_watch_stop(w);
	set_in_the_past(NULL);
}

TEST(also_those_that_are_set_by_an_event, ON_EACH_BACKEND)
{
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	clock_virtual(true);
	ck_assert_int_eq(plait_watch_start(reactor, &watched.watch, fd[1],
					   PLAIT_WATCH_WRITE, set_from_event),
			 0);
	queue_many(TIMERS);
	run_turns(reactor, 5);
	ck_assert_uint_eq(n_ran, MANY + 1);
	ck_assert_uint_eq(ran[MANY], other.number);
	close(fd[0]);
	close(fd[1]);
}

static void restart_next(struct piece *p)
{
	if (p->number == 0)
		queue_timer(&pieces[MANY - 1]);
}

TEST(one_of_those_left_that_is_started_anew_is_the_last, ON_EACH_REACTOR)
{
	act = restart_next;
	queue_many(TIMERS);
	run_turns(reactor, 1);
	act = NULL;
	queue_timer(&pieces[SHARE]);
	run_turns(reactor, 5);
	ck_assert_uint_eq(n_ran, MANY);
	ck_assert_uint_eq(ran[SHARE], SHARE + 1);
	ck_assert_uint_eq(ran[MANY - 2], MANY - 1);
	ck_assert_uint_eq(ran[MANY - 1], SHARE);
}

/* A batch that takes long does not make timers late for good, or early. */
static void take_a_second(struct piece *p)
{
	clock_advance(1);
}

TEST(what_becomes_due_meanwhile_comes_when_the_batch_is_through, ON_EACH_KERNEL)
{
	clock_virtual(true);
	act = take_a_second;
	queue_many(TIMERS);
	plait_timer_start(reactor, &other.timer, 10, run_piece, &other);
	run_turns(reactor, 4);
	assert_order(MANY);
	run_turns(reactor, 1);
	ck_assert_uint_eq(n_ran, MANY + 1);
}

/* ---- what is never put off, and what goes on to the end --------------- */

GROUP("all", .setup = setup);

TEST(burials_and_what_follows_a_callback_have_no_share, ON_EACH_KERNEL,
     TIMES(2))
{
	for (unsigned i = 0; i < MANY; i++)
		if (_i == 0)
			plait_i_loop_bury(reactor, &pieces[i].task);
		else
			plait_i_loop_after_callback(reactor, &pieces[i].task);
	run_turns(reactor, 1);
	assert_order(MANY);
}

TEST(advancing_goes_on_until_nothing_is_due, PURE, TIMES(N_KINDS))
{
	timed_start();
	queue_many(_i);
	plait_testing_advance(reactor, 0);
	assert_order(MANY);
}

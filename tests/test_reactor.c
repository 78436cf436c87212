/*
 * The reactor itself: making and freeing it, running and stopping, what a
 * turn is, and the three promises of reactor/loop/loop.h.
 */
#include <math.h>

#include "reactor/kernel/kernel.h"
#include "reactor/loop/loop.h"
#include "tests/child.h"
#include "tests/harness.h"
#include "tests/steps.h"

enum { MAX_NOTES = 64 };

static char ran[MAX_NOTES + 1];
static unsigned n_ran;

static void note(void *arg)
{
	ck_assert_uint_lt(n_ran, MAX_NOTES);
	ran[n_ran++] = *(const char *)arg;
	ran[n_ran] = '\0';
}

static void later(double seconds, plait_func *fn, const char *name)
{
	plait_call_later(reactor, seconds, fn, (void *)name);
}

static void stop(void *arg)
{
	note(arg);
	ck_assert_int_eq(plait_reactor_stop(reactor), 0);
}

/* Making it. */

GROUP("new");

TEST(each_backend_of_the_list_can_be_had_by_name, PURE)
{
	struct plait_reactor *r;
	size_t n = 0;

	for (; plait_backend_name(n) != NULL; n++) {
		r = plait_reactor_new(plait_backend_name(n));
		ck_assert_ptr_nonnull(r);
		ck_assert_str_eq(plait_reactor_backend(r),
				 plait_backend_name(n));
		plait_reactor_free(&r);
		ck_assert_ptr_null(r);
	}
	ck_assert_uint_ge(n, 1);
	ck_assert_ptr_null(plait_backend_name(n + 10));
	ck_assert_str_eq(plait_backend_name(n - 1), "select");
}

static void assert_default(const char *env, const char *name)
{
	struct plait_reactor *r;

	if (env != NULL)
		setenv("PLAIT_REACTOR", env, 1);
	else
		unsetenv("PLAIT_REACTOR");
	r = plait_reactor_new(NULL);
	ck_assert_ptr_nonnull(r);
	ck_assert_str_eq(plait_reactor_backend(r), name);
	plait_reactor_free(&r);
}

TEST(the_default_is_the_best_or_that_of_the_environment, PURE)
{
	assert_default(NULL, plait_backend_name(0));
	assert_default("", plait_backend_name(0));
	assert_default("select", "select");
}

TEST(an_unknown_backend_is_refused, PURE)
{
	errno = 0;
	ck_assert_ptr_null(plait_reactor_new("kqueue"));
	ck_assert_int_eq(errno, EINVAL);
	setenv("PLAIT_REACTOR", "poll", 1);
	errno = 0;
	ck_assert_ptr_null(plait_reactor_new(NULL));
	ck_assert_int_eq(errno, EINVAL);
}

TEST(the_last_reactor_reports_what_has_fired_and_is_kept, ON_EACH_KERNEL)
{
	struct plait_deferred *kept = plait_succeed(PLAIT_NONE);
	struct plait_reactor *other = test_reactor_new();

	plait_reactor_free(&other);
	ck_assert_uint_eq(unhandled_count(), 0);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(unhandled_count(), 1);
	ck_assert_ptr_nonnull(strstr(unhandled_text(), "NeverFreedError: "));
	unhandled_expect(1);
	plait_deferred_free(&kept);
}

TEST(what_fires_as_the_reactor_is_freed_is_not_called_kept, ON_EACH_KERNEL)
{
	struct plait_deferred *d = plait_defer_later(reactor, 1000, NULL, NULL);

	plait_reactor_free(&reactor);
	ck_assert(plait_deferred_is_fired(d));
	ck_assert_uint_eq(unhandled_count(), 0);
	handle_all(d);
	plait_deferred_free(&d);
}

static void make_with_environment(void *name)
{
	struct plait_reactor *r;

	setenv("PLAIT_REACTOR", name, 1);
	r = plait_reactor_new("kqueue");
	ck_assert_ptr_null(r);
	r = plait_reactor_new(NULL);
	ck_assert_ptr_null(r);
}

TEST(a_wrong_backend_of_the_environment_is_said, PURE)
{
	const char *said;
	char name[] = "poll";

	ck_assert_int_eq(child_run(make_with_environment, name, &said), 0);
	ck_assert_str_eq(said, "plait: no backend \"poll\" (PLAIT_REACTOR)\n");
}

static void refused(const char *name, const char *call, int err)
{
	struct plait_reactor *r;

	fault_call(call, 1, err);
	errno = 0;
	r = plait_reactor_new(name);
	if (fault_used(call) && r == NULL)
		ck_assert_int_eq(errno, err);
	else
		ck_assert_ptr_nonnull(r);
	fault_off();
	plait_reactor_free(&r);
}

TEST(what_the_kernel_refuses_is_said_and_undone, ON_EACH_BACKEND)
{
	static const int errors[] = { EMFILE, ENFILE, ENOMEM };

	for (int i = 0; i < 3; i++) {
		refused(backend, "epoll_create1", errors[i]);
		refused(backend, "eventfd", errors[i]);
		refused(backend, "epoll_ctl", errors[i]);
	}
}

TEST(without_memory_there_is_none, ON_EACH_KERNEL, TIMES(2))
{
	struct plait_reactor *r = NULL;
	unsigned long n;

	for (n = 0; r == NULL; n++) {
		ck_assert_uint_lt(n, 10);
		fault_alloc_at(n, _i);
		errno = 0;
		r = test_reactor_new();
		ck_assert(r != NULL || errno == ENOMEM);
		fault_alloc_off();
	}
	ck_assert_uint_gt(n, 1);
	plait_reactor_free(&r);
}

TEST(making_one_costs_two_descriptors_at_most, ON_EACH_BACKEND)
{
	struct plait_reactor *r;
	unsigned long mine;

	calls_reset();
	r = test_reactor_new();
	mine = strcmp(backend, "epoll") == 0;
	ck_assert_uint_eq(calls_of("epoll_create1"), mine);
	ck_assert_uint_eq(calls_of("eventfd"), 1);
	ck_assert_uint_eq(calls_of("epoll_ctl"), mine);
	ck_assert_uint_eq(calls_of("sigaction"), 0);
	ck_assert_uint_eq(calls_of("clock_gettime"), 0);
	plait_reactor_free(&r);
	ck_assert_uint_eq(calls_of("close"), 1 + mine);
}

TEST(a_virtual_one_costs_no_descriptor, PURE)
{
	struct plait_reactor *r;

	calls_reset();
	r = plait_i_reactor_new(&plait_i_kernel_virtual, NULL);
	ck_assert(loop_is_virtual(r));
	ck_assert_double_eq(plait_reactor_seconds(r), 0);
	plait_reactor_free(&r);
	ck_assert_uint_eq(calls_of("eventfd") + calls_of("close"), 0);
}

GROUP("free");

TEST(freeing_none_is_nothing, PURE)
{
	struct plait_reactor *r = NULL;

	plait_reactor_free(&r);
	ck_assert_ptr_null(r);
}

static void free_in_callback(void *arg)
{
	plait_reactor_free(&reactor);
}

/* In a child, which needs one of its own. */
static void run_and_free(void *arg)
{
	reactor = test_reactor_new();
	plait_call_when_running(reactor, free_in_callback, NULL);
	plait_reactor_run(reactor);
}

static void iterate_and_free(void *arg)
{
	reactor = test_reactor_new();
	later(0, free_in_callback, NULL);
	plait_reactor_iterate(reactor, 0);
}

TEST(freeing_it_while_it_turns_aborts, ON_EACH_KERNEL)
{
	assert_aborts(run_and_free, NULL, "is_busy");
	assert_aborts(iterate_and_free, NULL, "is_busy");
}

/* Running. */

GROUP("run");

TEST(it_runs_until_it_is_stopped_and_may_run_again, ON_EACH_KERNEL)
{
	for (int i = 0; i < 3; i++) {
		ck_assert(!plait_reactor_is_running(reactor));
		ck_assert_int_eq(plait_reactor_stop(reactor), -EALREADY);
		later(0.001, stop, "s");
		ck_assert_int_eq(plait_reactor_run(reactor), 0);
	}
	ck_assert_str_eq(ran, "sss");
}

static void stop_twice(void *arg)
{
	ck_assert(plait_reactor_is_running(reactor));
	stop(arg);
	ck_assert(plait_reactor_is_running(reactor));
	ck_assert_int_eq(plait_reactor_stop(reactor), -EALREADY);
}

TEST(stopping_only_marks_and_only_once, ON_EACH_KERNEL)
{
	later(0, stop_twice, "a");
	later(0, note, "b");
	plait_call_when_running(reactor, note, (void *)"w");
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_str_eq(ran, "wab");
}

static void lose_a_failure(void *arg)
{
	struct plait_deferred *d =
		plait_failed(plait_fail(&plait_error_any, "lost"));

	note(arg);
	plait_deferred_free(&d);
}

TEST(a_failure_that_a_callback_loses_is_reported_and_the_loop_goes_on,
     ON_EACH_KERNEL)
{
	unhandled_expect(2);
	plait_call_from_thread(reactor, lose_a_failure, (void *)"a");
	plait_call_from_thread(reactor, note, (void *)"b");
	later(0, lose_a_failure, "c");
	later(0, note, "d");
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "abcd");
	ck_assert_str_eq(unhandled_text(), "Error: lost");
	later(0, stop, "s");
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_uint_eq(unhandled_count(), 2);
}

static void run_inside(void *arg)
{
	ck_assert_int_eq(plait_reactor_run(reactor), -EBUSY);
	ck_assert_int_eq(plait_reactor_iterate(reactor, 0), -EBUSY);
	note(arg);
}

static void run_inside_and_stop(void *arg)
{
	run_inside(arg);
	plait_reactor_stop(reactor);
}

TEST(turning_it_in_its_own_callback_is_refused, ON_EACH_KERNEL)
{
	later(0, run_inside, "i");
	run_turns(reactor, 1);
	later(0, run_inside_and_stop, "r");
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_str_eq(ran, "ir");
}

static void start_turns_it(struct plait_factory *f)
{
	run_inside((void *)"f");
}

/* A callback that listening makes, before the reactor ever runs. */
TEST(turning_it_in_a_callback_outside_of_all_turns_is_refused, ON_EACH_KERNEL)
{
	static const struct plait_factory_ops ops = { .start = start_turns_it };
	struct plait_factory f = { .ops = &ops };

	ck_assert_int_eq(plait_listen_tcp(reactor, 0, &f, NULL, NULL), 0);
	ck_assert_str_eq(ran, "f");
	run_turns(reactor, 1);
	plait_reactor_free(&reactor);
}

TEST(it_may_be_stopped_from_any_kind_of_callback, ON_EACH_KERNEL, TIMES(3))
{
	if (_i == 0)
		later(0, stop, "s");
	else if (_i == 1)
		plait_call_from_thread(reactor, stop, (void *)"s");
	else
		plait_call_when_running(reactor, stop, (void *)"s");
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_str_eq(ran, "s");
	run_turns(reactor, 2);
}

TEST(an_idle_loop_sleeps_for_ever, ON_EACH_KERNEL)
{
	clock_virtual(true);
	plait_call_from_thread(reactor, note, (void *)"a");
	run_turns(reactor, 3);
	calls_reset();
	ck_assert_int_eq(plait_reactor_iterate(reactor, 100), 0);
	ck_assert_uint_eq(calls_of("epoll_wait") + calls_of("select"), 1);
	ck_assert_double_eq_tol(wait_timeout(), 100, 1e-3);
}

TEST(iterating_waits_no_longer_than_asked, ON_EACH_KERNEL)
{
	clock_virtual(true);
	later(50, note, "a");
	ck_assert_int_eq(plait_reactor_iterate(reactor, 20), 0);
	ck_assert_double_eq_tol(wait_timeout(), 20, 1e-3);
	ck_assert_int_eq(plait_reactor_iterate(reactor, 100), 0);
	ck_assert_double_eq_tol(wait_timeout(), 30, 2e-3);
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "a");
}

static void iterate_with(void *arg)
{
	plait_reactor_iterate(reactor, *(double *)arg);
}

TEST(iterating_for_no_time_that_exists_aborts, ON_EACH_KERNEL)
{
	double negative = -1, nan = NAN;

	assert_aborts(iterate_with, &negative, "seconds >= 0");
	assert_aborts(iterate_with, &nan, "seconds >= 0");
}

TEST(a_virtual_run_ends_when_nothing_can_ever_happen, PURE)
{
	struct plait_reactor *r =
		plait_i_reactor_new(&plait_i_kernel_virtual, NULL);

	ck_assert_int_eq(plait_reactor_run(r), -EDEADLK);
	ck_assert(!plait_reactor_is_running(r));
	plait_call_later(r, 5, note, (void *)"a");
	plait_call_from_thread(r, note, (void *)"b");
	ck_assert_int_eq(plait_reactor_run(r), -EDEADLK);
	ck_assert_str_eq(ran, "ba");
	ck_assert_double_eq(plait_reactor_seconds(r), 5);
	plait_reactor_free(&r);
}

/* Tasks. */

struct job {
	struct loop_task task;
	const char *name;
	void (*act)(struct job *j);
	struct job *other;
};

static void run_job(struct loop_task *task)
{
	struct job *j = plait_container(task, struct job, task);

	note((void *)j->name);
	if (j->act != NULL)
		j->act(j);
}

#define JOB(letter, ...)                                                       \
	{                                                                      \
		.task.run = run_job, .name = letter, __VA_ARGS__               \
	}

static void again_next_turn(struct job *j)
{
	plait_i_loop_next_turn(reactor, &j->task);
}

GROUP("turn");

TEST(a_task_that_queues_itself_runs_once_a_turn, ON_EACH_KERNEL)
{
	struct job j = JOB("j", .act = again_next_turn);

	plait_i_loop_next_turn(reactor, &j.task);
	ck_assert(plait_i_reactor_has_work(reactor));
	for (unsigned i = 1; i < 5; i++) {
		ck_assert_int_eq(plait_reactor_iterate(reactor, 1000), 0);
		ck_assert_uint_eq(n_ran, i);
	}
	loop_task_cancel(&j.task);
	ck_assert(!plait_i_reactor_has_work(reactor));
	run_turns(reactor, 1);
	ck_assert_uint_eq(n_ran, 4);
}

TEST(queueing_a_task_twice_runs_it_once, ON_EACH_KERNEL)
{
	struct job j = JOB("j");

	plait_i_loop_next_turn(reactor, &j.task);
	plait_i_loop_next_turn(reactor, &j.task);
	plait_i_loop_after_callback(reactor, &j.task);
	run_turns(reactor, 2);
	ck_assert_str_eq(ran, "j");
}

static void cancel_other(struct job *j)
{
	loop_task_cancel(&j->other->task);
}

TEST(a_task_cancels_another_of_its_turn, ON_EACH_KERNEL)
{
	struct job b = JOB("b"), a = JOB("a", .act = cancel_other, .other = &b);

	plait_i_loop_next_turn(reactor, &a.task);
	plait_i_loop_next_turn(reactor, &b.task);
	run_turns(reactor, 2);
	ck_assert_str_eq(ran, "a");
}

static void queue_after(void *arg)
{
	plait_i_loop_after_callback(reactor, arg);
	note((void *)"c");
}

TEST(what_a_callback_left_is_done_when_it_returns, ON_EACH_KERNEL)
{
	struct job j = JOB("j");

	later(0, queue_after, (const char *)&j.task);
	later(0, note, "d");
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "cjd");
}

TEST(only_the_outermost_callback_is_followed_by_it, ON_EACH_KERNEL)
{
	struct job j = JOB("j");

	plait_i_loop_enter(reactor);
	plait_i_loop_enter(reactor);
	plait_i_loop_after_callback(reactor, &j.task);
	plait_i_loop_leave(reactor);
	ck_assert_str_eq(ran, "");
	plait_i_loop_leave(reactor);
	ck_assert_str_eq(ran, "j");
}

TEST(outside_of_all_callbacks_it_is_done_in_the_next_turn, ON_EACH_KERNEL)
{
	struct job j = JOB("j");

	plait_i_loop_after_callback(reactor, &j.task);
	ck_assert_str_eq(ran, "");
	ck_assert(plait_i_reactor_has_work(reactor));
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "j");
}

static void bury_other(struct job *j)
{
	plait_i_loop_bury(reactor, &j->other->task);
}

TEST(a_burial_that_leads_to_another_is_one_burial, ON_EACH_KERNEL)
{
	struct job b = JOB("b"), a = JOB("a", .act = bury_other, .other = &b);

	plait_i_loop_bury(reactor, &a.task);
	ck_assert_int_eq(plait_reactor_iterate(reactor, 0), 0);
	ck_assert_str_eq(ran, "ab");
}

static struct job buried = JOB("b");

static void on_writable(struct plait_watch *w, unsigned events)
{
	note((void *)"w");
	plait_i_loop_bury(reactor, &buried.task);
}

TEST(nobody_is_buried_inside_a_batch, ON_EACH_BACKEND)
{
	struct plait_watch w[2] = { 0 };
	int fd[2];

	ck_assert_int_eq(pipe(fd), 0);
	w[1].fd = dup(fd[1]);
	plait_watch_start(reactor, &w[0], fd[1], PLAIT_WATCH_WRITE,
			  on_writable);
	plait_watch_start(reactor, &w[1], w[1].fd, PLAIT_WATCH_WRITE,
			  on_writable);
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "wwb");
	for (int i = 0; i < 2; i++) {
		plait_watch_stop(&w[i]);
		close(w[i].fd);
	}
	close(fd[0]);
}

static void bury_from_timer(void *arg)
{
	plait_i_loop_bury(reactor, &buried.task);
}

TEST(the_dead_of_a_timer_do_not_wait_with_the_loop, ON_EACH_KERNEL)
{
	clock_virtual(true);
	later(0, bury_from_timer, NULL);
	ck_assert_int_eq(plait_reactor_iterate(reactor, 10), 0);
	ck_assert_double_eq_tol(wait_timeout(), 10, 1e-3);
	ck_assert_str_eq(ran, "b");
}

TEST(a_turn_has_its_order, ON_EACH_KERNEL)
{
	struct job j = JOB("j");

	later(0, note, "t");
	plait_i_loop_next_turn(reactor, &j.task);
	plait_call_from_thread(reactor, note, (void *)"c");
	plait_i_loop_bury(reactor, &buried.task);
	run_turns(reactor, 1);
	ck_assert_str_eq(ran, "cjtb");
}

TEST(turns_are_counted, ON_EACH_KERNEL)
{
	uint64_t turn = plait_i_loop_turn(reactor);

	run_turns(reactor, 3);
	ck_assert_uint_eq(plait_i_loop_turn(reactor), turn + 3);
}

/* Members. */

struct member {
	struct plait_reactor *reactor;
	struct loop_member member;
	struct job told;
	struct job buried;
	unsigned reborn; /* how often it begins anew */
};

static void lose(struct loop_member *m)
{
	struct member *self = plait_container(m, struct member, member);

	ck_assert(plait_i_loop_is_closing(self->reactor));
	note((void *)"l");
	plait_i_loop_next_turn(self->reactor, &self->told.task);
}

static struct member one;

static void tell(struct job *j)
{
	struct member *self = plait_container(j, struct member, told);

	loop_part(&self->member);
	plait_i_loop_bury(self->reactor, &self->buried.task);
	if (self->reborn == 0)
		return;
	self->reborn--;
	plait_i_loop_join(self->reactor, &self->member);
}

static const struct loop_member_ops member_ops = { .lose = lose };

static void join(struct member *m, unsigned reborn)
{
	*m = (struct member){
		.reactor = reactor,
		.member.ops = &member_ops,
		.told = JOB("t", .act = tell),
		.buried = JOB("b"),
		.reborn = reborn,
	};
	plait_i_loop_join(reactor, &m->member);
}

static void is_not_running(void *arg)
{
	ck_assert(!plait_reactor_is_running(reactor));
	note(arg);
}

static plait_value during(void *arg)
{
	is_not_running(arg);
	return PLAIT_NONE;
}

GROUP("run");

TEST(the_shutdown_loses_all_members_to_the_end_then_goes_on, ON_EACH_KERNEL)
{
	struct member two;

	join(&one, 0);
	join(&two, 2);
	plait_reactor_add_trigger(reactor, PLAIT_TRIGGER_DURING,
				  PLAIT_TRIGGER_SHUTDOWN, during, (void *)"d",
				  NULL);
	later(0, stop, "s");
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert_str_eq(ran, "sllttbbltbltbd");
	ck_assert(!plait_i_loop_is_closing(reactor));
}

GROUP("free");

TEST(a_reactor_that_is_freed_loses_its_members, ON_EACH_KERNEL)
{
	join(&one, 1);
	plait_reactor_free(&reactor);
	ck_assert_str_eq(ran, "ltbltb");
}

TEST(a_member_that_has_parted_is_not_lost, ON_EACH_KERNEL)
{
	join(&one, 0);
	loop_part(&one.member);
	plait_reactor_free(&reactor);
	ck_assert_str_eq(ran, "");
}

TEST(what_is_kept_goes_last, ON_EACH_KERNEL)
{
	struct job kept = JOB("k");

	join(&one, 0);
	plait_i_loop_keep(reactor, &kept.task);
	run_turns(reactor, 1);
	plait_reactor_free(&reactor);
	ck_assert_str_eq(ran, "ltbk");
}

static void use_it(struct job *j)
{
	ck_assert_int_eq(plait_reactor_run(reactor), -EBUSY);
	ck_assert_int_eq(plait_reactor_iterate(reactor, 0), -EBUSY);
	ck_assert_int_eq(plait_reactor_stop(reactor), -EALREADY);
}

TEST(it_cannot_be_turned_while_it_is_freed, ON_EACH_KERNEL)
{
	struct plait_reactor *r = reactor;
	struct job j = JOB("j", .act = use_it);

	plait_i_loop_next_turn(reactor, &j.task);
	plait_reactor_free(&r);
	reactor = NULL;
	ck_assert_str_eq(ran, "j");
}

TEST(promises_that_never_fired_are_reported_when_it_is_freed, ON_EACH_KERNEL)
{
	struct plait_promise *p;
	struct plait_deferred *d = plait_deferred_new(&p, NULL, NULL);

	unhandled_expect(1);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(unhandled_count(), 1);
	plait_deferred_free(&d);
	plait_promise_drop(&p);
}

/* What connections share. */

GROUP("shared");

TEST(the_read_buffer_is_there_when_first_used, ON_EACH_KERNEL)
{
	unsigned long before = heap_live();
	void *buffer;

	fault_alloc_at(0, false);
	ck_assert_ptr_null(plait_i_pool_read_buffer(reactor));
	buffer = plait_i_pool_read_buffer(reactor);
	ck_assert_ptr_nonnull(buffer);
	ck_assert_uint_eq((uintptr_t)buffer % 64, 0);
	memset(buffer, 1, POOL_READ_SIZE);
	ck_assert_ptr_eq(plait_i_pool_read_buffer(reactor), buffer);
	ck_assert_uint_eq(heap_live(), before + 1);
}

enum { LARGE = POOL_BLOCK_SIZE };

static struct pool_block *get_block(size_t size)
{
	struct pool_block *b = plait_i_pool_get(reactor, size);

	ck_assert_ptr_nonnull(b);
	memset(b + 1, 1, (size_t)(b->limit - (unsigned char *)(b + 1)));
	return b;
}

TEST(a_block_has_the_size_that_was_asked_for, ON_EACH_KERNEL)
{
	static const size_t sizes[] = { 100, 1024, 1025, 4096, 4097, 32000 };
	struct pool_block *b;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		b = get_block(sizes[i]);
		ck_assert_uint_ge(pool_block_size(b), sizes[i]);
		ck_assert_uint_le(pool_block_size(b), 8 * sizes[i] + 1024);
		ck_assert_uint_eq(pool_unsent(reactor)->held,
				  pool_block_size(b));
		plait_i_pool_put(reactor, b);
		ck_assert_uint_eq(pool_unsent(reactor)->held, 0);
	}
	b = get_block(SIZE_MAX);
	ck_assert_uint_le(pool_block_size(b), POOL_BLOCK_SIZE);
	plait_i_pool_put(reactor, b);
}

TEST(a_mebibyte_of_free_blocks_is_kept, ON_EACH_KERNEL)
{
	enum { N = 100, KEPT = (1 << 20) / LARGE };
	struct pool_block *blocks[N];
	size_t before = heap_live_bytes();

	for (int i = 0; i < N; i++)
		blocks[i] = get_block(LARGE);
	for (int i = 0; i < N; i++)
		plait_i_pool_put(reactor, blocks[i]);
	ck_assert_uint_le(heap_live_bytes(), before + (1 << 20) + LARGE);
	fault_alloc_at(0, true);
	for (int i = 0; i < KEPT; i++)
		blocks[i] = get_block(LARGE);
	ck_assert(!fault_alloc_reached());
	ck_assert_ptr_nonnull(blocks[KEPT] = plait_i_pool_get(reactor, LARGE));
	ck_assert_ptr_null(plait_i_pool_get(reactor, LARGE));
	fault_alloc_off();
	for (int i = 0; i <= KEPT; i++)
		plait_i_pool_put(reactor, blocks[i]);
}

/* In whatever order the blocks come back. */
TEST(small_blocks_give_their_slabs_back, ON_EACH_KERNEL)
{
	enum { N = 10000 };
	static struct pool_block *blocks[N];
	size_t before = heap_live_bytes();

	srand(1);
	for (int i = 0; i < N; i++)
		blocks[i] = get_block((size_t)rand() % 4000);
	ck_assert_uint_ge(heap_live_bytes() - before,
			  pool_unsent(reactor)->held);
	for (int n = N; n > 0; n--) {
		int i = rand() % n;

		plait_i_pool_put(reactor, blocks[i]);
		blocks[i] = blocks[n - 1];
	}
	ck_assert_uint_eq(pool_unsent(reactor)->held, 0);
	ck_assert_uint_le(heap_live_bytes(), before + (1 << 20) + 2 * 65536);
}

TEST(limits_have_defaults_for_what_is_zero, ON_EACH_KERNEL)
{
	struct plait_limits limits = { .high_water = 7,
				       .linger_timeout = INFINITY };
	const struct plait_limits *l = loop_limits(reactor);

	ck_assert_uint_eq(l->max_unsent, 64 << 20);
	ck_assert_uint_eq(l->high_water, 65536);
	plait_reactor_set_limits(reactor, &limits);
	ck_assert_uint_eq(l->max_unsent, 64 << 20);
	ck_assert_uint_eq(l->max_unsent_total, 1 << 30);
	ck_assert_uint_eq(l->high_water, 7);
	ck_assert_uint_eq(l->low_water, 7);
	ck_assert_double_eq(l->close_timeout, 30);
	ck_assert(isinf(l->linger_timeout));
	ck_assert_uint_eq(l->linger_bytes, 1 << 20);
}

static void set_negative_limit(void *arg)
{
	struct plait_limits limits = { .close_timeout = -1 };

	plait_reactor_set_limits(reactor, &limits);
}

TEST(a_limit_that_is_none_aborts, ON_EACH_KERNEL)
{
	assert_aborts(set_negative_limit, NULL, "seconds >= 0");
}

/* A whole small program, for the torture. */

static void stop_that(void *arg)
{
	plait_reactor_stop(arg);
}

static plait_value just_a_number(void *arg)
{
	return plait_int(1);
}

static void small_program(struct plait_reactor *r)
{
	struct plait_timer t = { 0 };
	uint64_t id;
	int rc;

	rc = plait_reactor_add_trigger(r, PLAIT_TRIGGER_BEFORE,
				       PLAIT_TRIGGER_SHUTDOWN, just_a_number,
				       NULL, &id);
	if (rc < 0)
		id = 0;
	if (plait_call_when_running(r, note, (void *)"w") < 0)
		ck_assert(torture_faulty());
	if (plait_call_from_thread(r, note, (void *)"c") < 0)
		ck_assert(torture_faulty());
	plait_call_cancel(plait_call_later(r, 0.5, note, (void *)"l"));
	plait_timer_start(r, &t, 1, stop_that, r);
	rc = plait_reactor_run(r);
	ck_assert(rc == 0 || torture_faulty());
	plait_timer_stop(&t);
	if (id != 0)
		ck_assert_int_eq(plait_reactor_remove_trigger(r, id), 0);
	n_ran = 0;
}

GROUP("torture");

TEST(a_whole_program_survives_without_memory, ON_EACH_BACKEND)
{
	torture(small_program, backend);
}

TEST(a_whole_program_survives_failing_system_calls, ON_EACH_BACKEND)
{
	torture_syscalls(small_program, backend);
}

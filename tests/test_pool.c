/*
 * Pools: what a job is told and may do, what its cancel stops, and that nothing
 * ever waits for a job that does not end.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include <plait/testing.h>

#include "lib/chance.h"
#include "tests/child.h"
#include "tests/harness.h"

/* ---- jobs that the test lets go ------------------------------------------ */

static sem_t entered, leave;
static atomic_uint begun, ended, freed;
static pthread_t loop_thread;

static void setup(void)
{
	sem_init(&entered, 0, 0);
	sem_init(&leave, 0, 0);
	loop_thread = pthread_self();
}

static plait_value add_one(struct plait_job *job, void *arg)
{
	begun++;
	return plait_int((intptr_t)arg + 1);
}

/* Blocks until the test lets it go. */
static plait_value block(struct plait_job *job, void *arg)
{
	begun++;
	sem_post(&entered);
	sem_wait(&leave);
	ended++;
	return plait_int((intptr_t)arg + 1);
}

static void let_go(unsigned n)
{
	while (n-- > 0)
		sem_post(&leave);
}

static void await(unsigned n)
{
	while (n-- > 0)
		sem_wait(&entered);
}

static void note_freed(void *arg)
{
	freed++;
}

/* All is freed but what is a thread's, which frees it. */
static void await_threads(void)
{
	while (heap_live() > 0)
		sched_yield();
}

static struct plait_pool *pool_of(unsigned threads)
{
	return plait_pool_new(
		reactor, "test",
		&(struct plait_pool_options){ .max_threads = threads });
}

static struct plait_deferred *start(struct plait_pool *pool, plait_job_func *fn)
{
	return plait_defer_to_pool(pool, fn, NULL, note_freed);
}

static plait_value handle(plait_value *result, void *arg)
{
	return PLAIT_NONE;
}

/* The same, for a job that may be abandoned. */
static struct plait_deferred *start_quietly(struct plait_pool *pool,
					    plait_job_func *fn)
{
	return plait_deferred_add_errback(start(pool, fn), handle, NULL);
}

/* A turn that waits sleeps on after the last call that it has made. */
static void turn_until(bool (*pred)(void *arg), void *arg)
{
	if (backend == NULL)
		run_until(reactor, pred, arg);
	while (!pred(arg)) {
		run_turns(reactor, 1);
		sched_yield();
	}
}

/* ---- what came of them --------------------------------------------------- */

struct result {
	struct plait_deferred *deferred;
	char text[120];
};

static plait_value note_result(plait_value *result, void *arg)
{
	struct result *r = arg;

	if (plait_value_is_failure(result))
		strcpy(r->text,
		       plait_failure_kind(plait_value_failure(result))->name);
	else
		plait_value_str(result, r->text, sizeof(r->text));
	return PLAIT_NONE;
}

static void note(struct result *r, struct plait_deferred *d)
{
	*r = (struct result){ .deferred = d };
	plait_deferred_add_both(d, note_result, r);
}

static bool is_noted(void *arg)
{
	return ((struct result *)arg)->text[0] != '\0';
}

static void expect(struct result *r, const char *text)
{
	turn_until(is_noted, r);
	ck_assert_str_eq(r->text, text);
	plait_deferred_free(&r->deferred);
}

/* It has fired. */
static void expect_now(struct result *r, const char *text)
{
	ck_assert_str_eq(r->text, text);
	plait_deferred_free(&r->deferred);
}

static void expect_of(struct plait_deferred *d, const char *text)
{
	struct result r;

	note(&r, d);
	expect(&r, text);
}

static void expect_pool(struct plait_pool *pool, const char *text)
{
	char said[100];

	plait_pool_str(pool, said, sizeof(said));
	ck_assert_str_eq(said, text);
}

/* ---- jobs ---------------------------------------------------------------- */

GROUP("jobs", .setup = setup);

TEST(a_job_gives_its_value_to_the_loop, ON_EACH_REACTOR)
{
	struct plait_pool *pool = pool_of(1);
	struct result r;

	note(&r, plait_defer_to_pool(pool, add_one, (void *)41, note_freed));
	ck_assert_str_eq(r.text, "");
	expect(&r, "42");
	ck_assert_uint_eq(freed, 1);
	plait_pool_free(&pool);
}

static plait_value give_failure(struct plait_job *job, void *arg)
{
	return plait_fail(&plait_error_os, "no");
}

TEST(a_job_gives_its_failure_to_the_loop, ON_EACH_REACTOR)
{
	struct plait_pool *pool = pool_of(1);

	expect_of(plait_defer_to_pool(pool, give_failure, NULL, NULL),
		  "OSError");
	plait_pool_free(&pool);
}

static plait_value where_it_runs(struct plait_job *job, void *arg)
{
	return plait_int(pthread_equal(pthread_self(), loop_thread) != 0);
}

TEST(a_job_runs_in_a_thread_unless_time_is_virtual, ON_EACH_REACTOR)
{
	expect_of(plait_defer_to_thread(reactor, where_it_runs, NULL, NULL),
		  backend != NULL ? "0" : "1");
}

static char order[64];

static plait_value note_order(struct plait_job *job, void *arg)
{
	strcat(order, arg);
	return PLAIT_NONE;
}

TEST(jobs_begin_in_their_order_and_are_told_in_it, ON_EACH_REACTOR)
{
	struct plait_pool *pool = pool_of(1);
	struct result r[4];

	for (int i = 0; i < 4; i++) {
		char *letter = (char *)&"a\0b\0c\0d"[2 * i];

		note(&r[i],
		     plait_defer_to_pool(pool, note_order, letter, note_freed));
	}
	for (int i = 0; i < 4; i++)
		expect(&r[i], "none");
	ck_assert_str_eq(order, "abcd");
	plait_pool_free(&pool);
}

static plait_value expect_freed(plait_value *result, void *arg)
{
	ck_assert_uint_eq(freed, 1);
	return *result;
}

TEST(the_argument_is_freed_before_the_deferred_fires, ON_EACH_REACTOR)
{
	struct plait_deferred *d =
		plait_defer_to_thread(reactor, add_one, NULL, note_freed);

	plait_deferred_add_callback(d, expect_freed, NULL);
	ck_assert_uint_eq(freed, 0);
	expect_of(d, "1");
}

static plait_value defer(struct plait_job *job, void *arg)
{
	struct plait_deferred *d = plait_succeed(PLAIT_NONE);

	return plait_chain(&d);
}

TEST(a_job_that_returns_a_deferred_is_a_mistake, ON_EACH_REACTOR, ABORTS)
{
	expect_of(plait_defer_to_thread(reactor, defer, NULL, NULL), "");
}

TEST(a_thread_that_has_succeeded_may_fail_next, ON_EACH_REACTOR)
{
	struct plait_pool *pool = pool_of(1);

	expect_of(start(pool, add_one), "1");
	expect_of(start(pool, give_failure), "OSError");
	expect_of(start(pool, add_one), "1");
	plait_pool_free(&pool);
}

static plait_value stop_and_note(plait_value *result, void *arg)
{
	plait_reactor_stop(reactor);
	return note_result(result, arg);
}

TEST(a_job_that_is_begun_before_the_run_is_told_in_it, ON_EACH_REACTOR)
{
	struct result r = { .deferred = plait_defer_to_thread(
				    reactor, add_one, NULL, note_freed) };

	plait_deferred_add_both(r.deferred, stop_and_note, &r);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	expect_now(&r, "1");
}

static plait_value let_others_go(struct plait_job *job, void *arg)
{
	let_go(2);
	return PLAIT_NONE;
}

TEST(a_job_may_wait_for_another_if_there_is_a_thread_for_it, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(3);
	struct result r[2];

	for (int i = 0; i < 2; i++)
		note(&r[i], start(pool, block));
	expect_of(start(pool, let_others_go), "none");
	for (int i = 0; i < 2; i++)
		expect(&r[i], "1");
	plait_pool_free(&pool);
}

TEST(a_pool_has_no_more_threads_than_it_may, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(3);
	struct result r[10];

	calls_reset();
	for (int i = 0; i < 10; i++)
		note(&r[i], start(pool, block));
	await(3);
	ck_assert_uint_eq(begun, 3);
	expect_pool(pool, "<Pool \"test\": 3 of 3 threads, 3 running, "
			  "0 abandoned, 7 queued>");
	let_go(10);
	for (int i = 0; i < 10; i++)
		expect(&r[i], "1");
	ck_assert_uint_eq(calls_of("pthread_create"), 3);
	plait_pool_free(&pool);
}

TEST(a_thread_that_is_free_is_used_again, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(4);

	calls_reset();
	for (int i = 0; i < 100; i++)
		expect_of(start(pool, add_one), "1");
	ck_assert_uint_eq(calls_of("pthread_create"), 1);
	plait_pool_free(&pool);
}

TEST(one_pool_does_not_wait_for_another, ON_EACH_BACKEND)
{
	struct plait_pool *slow = pool_of(1), *pool = pool_of(1);
	struct result r;

	note(&r, start(slow, block));
	await(1);
	expect_of(start(pool, add_one), "1");
	let_go(1);
	expect(&r, "1");
	plait_pool_free(&slow);
	plait_pool_free(&pool);
}

static plait_value look_at_signals(struct plait_job *job, void *arg)
{
	static const int others[] = { SIGINT, SIGTERM, SIGUSR1, SIGCHLD };
	sigset_t blocked;

	ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &blocked), 0);
	for (int i = 0; i < N_OF(others); i++)
		ck_assert(sigismember(&blocked, others[i]));
	ck_assert(!sigismember(&blocked, SIGSEGV));
	ck_assert(!sigismember(&blocked, SIGABRT));
	return PLAIT_NONE;
}

TEST(signals_are_for_the_threads_of_the_program, ON_EACH_BACKEND)
{
	sigset_t before, after;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	expect_of(plait_defer_to_thread(reactor, look_at_signals, NULL, NULL),
		  "none");
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (int i = 1; i < NSIG; i++)
		ck_assert_int_eq(sigismember(&before, i),
				 sigismember(&after, i));
}

static plait_value look_at_name(struct plait_job *job, void *arg)
{
	char name[16];

	ck_assert_int_eq(pthread_getname_np(pthread_self(), name, sizeof(name)),
			 0);
	ck_assert_str_eq(name, "a name that is ");
	return PLAIT_NONE;
}

TEST(a_thread_has_the_name_of_its_pool, ON_EACH_BACKEND)
{
	struct plait_pool *pool =
		plait_pool_new(reactor, "a name that is too long", NULL);

	expect_of(start(pool, look_at_name), "none");
	plait_pool_free(&pool);
}

TEST(a_pool_says_what_it_does, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(2);
	struct plait_deferred *d[4];
	char text[8];

	expect_pool(NULL, "no pool");
	expect_pool(pool, "<Pool \"test\": 0 of 2 threads, 0 running, "
			  "0 abandoned, 0 queued>");
	for (int i = 0; i < 4; i++)
		d[i] = start(pool, block);
	await(2);
	plait_deferred_free(&d[1]);
	expect_pool(pool, "<Pool \"test\": 2 of 2 threads, 1 running, "
			  "1 abandoned, 2 queued>");
	ck_assert_int_eq(plait_pool_str(pool, text, sizeof(text)), 63);
	ck_assert_str_eq(text, "<Pool \"");
	for (int i = 0; i < 4; i++)
		plait_deferred_free(&d[i]);
	plait_pool_free(&pool);
	plait_reactor_free(&reactor);
	let_go(2);
	await_threads();
}

TEST(options_of_a_later_library_are_refused, ON_EACH_REACTOR)
{
	const struct plait_pool_options later = { .reserved[7] = 1 };

	ck_assert_ptr_null(plait_pool_new(reactor, "x", &later));
	ck_assert_int_eq(errno, EINVAL);
}

TEST(a_time_that_is_none_is_a_mistake, ON_EACH_REACTOR, TIMES(2), ABORTS)
{
	struct plait_pool_options o = { .grace = _i == 0 ? -1 : 0,
					.idle_timeout = _i == 1 ? -1 : 0 };

	plait_pool_new(reactor, "x", &o);
}

/* ---- cancelling ---------------------------------------------------------- */

GROUP("cancel", .setup = setup);

TEST(a_queued_job_that_is_cancelled_never_runs, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(1);
	struct result running, queued, last;

	note(&running, start(pool, block));
	await(1);
	note(&queued, start(pool, add_one));
	note(&last, start(pool, block));
	plait_deferred_cancel(queued.deferred);
	/* In the call, and so is its argument. */
	ck_assert_uint_eq(freed, 1);
	expect_now(&queued, "CancelledError");
	let_go(2);
	expect(&running, "1");
	expect(&last, "1");
	ck_assert_uint_eq(begun, 2);
	ck_assert_uint_eq(freed, 3);
	plait_pool_free(&pool);
}

TEST(a_cancelled_job_never_runs_in_the_loop, ON_EACH_REACTOR)
{
	struct plait_deferred *d;

	if (backend != NULL)
		return;
	d = plait_defer_to_thread(reactor, add_one, NULL, note_freed);
	plait_deferred_free(&d);
	ck_assert_uint_eq(freed, 1);
	plait_testing_advance(reactor, 1);
	ck_assert_uint_eq(begun, 0);
}

/* A result that notes in which thread it is freed. */
static atomic_uint results, freed_elsewhere;

static void free_result(void *ptr)
{
	results--;
	freed_elsewhere += !pthread_equal(pthread_self(), loop_thread);
}

static const struct plait_type result_type = { .name = "result",
					       .free = free_result };

static plait_value make_result(void)
{
	results++;
	return plait_value_make(&result_type, &results);
}

static plait_value block_until_cancelled(struct plait_job *job, void *arg)
{
	begun++;
	sem_post(&entered);
	while (!plait_job_is_cancelled(job))
		sched_yield();
	sem_wait(&leave);
	return make_result();
}

static bool is_freed(void *arg)
{
	return freed == *(unsigned *)arg;
}

TEST(a_running_job_is_abandoned, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(1);
	struct result running, queued;
	unsigned one = 1;

	note(&running, start(pool, block_until_cancelled));
	await(1);
	note(&queued, start(pool, block));
	plait_deferred_cancel(running.deferred);
	expect_now(&running, "CancelledError");
	/* Its thread is in use until it has returned. */
	run_turns(reactor, 3);
	ck_assert_uint_eq(begun, 1);
	ck_assert_uint_eq(freed, 0);
	expect_pool(pool, "<Pool \"test\": 1 of 1 threads, 0 running, "
			  "1 abandoned, 1 queued>");
	let_go(1);
	turn_until(is_freed, &one);
	ck_assert_uint_eq(results, 0);
	ck_assert_uint_eq(freed_elsewhere, 0);
	let_go(1);
	expect(&queued, "1");
	plait_pool_free(&pool);
}

static plait_value give_result(struct plait_job *job, void *arg)
{
	return make_result();
}

TEST(a_result_that_was_not_told_is_freed_in_the_loop, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(1);
	struct plait_deferred *d;
	unsigned one = 1;

	calls_reset();
	d = start(pool, give_result);
	while (calls_of("write") == 0)
		sched_yield();
	plait_deferred_free(&d);
	ck_assert_uint_eq(results, 1);
	turn_until(is_freed, &one);
	ck_assert_uint_eq(results, 0);
	ck_assert_uint_eq(freed_elsewhere, 0);
	plait_pool_free(&pool);
}

static void cancel_in_free(void *arg)
{
	freed++;
	plait_deferred_free(arg);
}

TEST(freeing_an_argument_may_cancel_another_job, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(1);
	struct plait_deferred *first, *second, *running;

	running = start(pool, block);
	await(1);
	second = start(pool, add_one);
	first = plait_defer_to_pool(pool, add_one, &second, cancel_in_free);
	plait_deferred_free(&first);
	ck_assert_ptr_null(second);
	ck_assert_uint_eq(freed, 2);
	let_go(1);
	expect_of(running, "1");
	plait_pool_free(&pool);
}

/*
 * Cancel against threads that empty the queue.  A job whose argument was freed
 * inside its cancel was not taken by a thread, and must never begin.
 */
struct trial {
	struct plait_deferred *deferred;
	bool is_freed;
};

enum { AT_ONCE = 64, THREADS = 4 };

static struct {
	uint64_t chance;
	unsigned left, withdrawn, told;
	struct plait_pool *pool;
	struct trial trials[AT_ONCE];
} storm;

static unsigned draw(unsigned n)
{
	storm.chance = storm.chance * 6364136223846793005U + 1;
	return (unsigned)(storm.chance >> 33) % n;
}

static plait_value begin_trial(struct plait_job *job, void *arg)
{
	atomic_fetch_add_explicit(&begun, 1, memory_order_relaxed);
	return PLAIT_NONE;
}

static void free_trial(void *arg)
{
	((struct trial *)arg)->is_freed = true;
	storm.left--;
}

static plait_value note_told(plait_value *result, void *arg)
{
	if (!plait_value_is_failure(result))
		storm.told++;
	return PLAIT_NONE;
}

static void cancel_trial(struct trial *t)
{
	bool was_freed = t->is_freed;

	plait_deferred_free(&t->deferred);
	storm.withdrawn += t->is_freed && !was_freed;
}

static void start_trial(struct trial *t)
{
	t->is_freed = false;
	storm.left++;
	t->deferred =
		plait_defer_to_pool(storm.pool, begin_trial, t, free_trial);
	plait_deferred_add_both(t->deferred, note_told, NULL);
}

/* Some are cancelled while others are begun, and all are told or freed. */
static void try_some(void)
{
	for (unsigned i = 0; i < AT_ONCE; i++) {
		start_trial(&storm.trials[i]);
		if (draw(2) == 0)
			cancel_trial(&storm.trials[draw(i + 1)]);
	}
	if (draw(4) == 0)
		run_turns(reactor, 1);
	for (unsigned i = 0; i < AT_ONCE; i++)
		if (draw(2) == 0)
			cancel_trial(&storm.trials[draw(AT_ONCE)]);
	while (storm.left > 0)
		run_turns(reactor, 1);
	for (unsigned i = 0; i < AT_ONCE; i++)
		plait_deferred_free(&storm.trials[i].deferred);
}

/* `make check-long' tries a million. */
static unsigned trials(unsigned few)
{
	const char *seeds = getenv("PLAIT_SEEDS");

	return seeds != NULL ? (unsigned)atol(seeds) * 500 : few;
}

GROUP("trials", .setup = setup, .timeout = 60);

TEST(no_cancelled_job_runs_in_all_random_trials, ON_EACH_BACKEND)
{
	unsigned n = (trials(20000) + AT_ONCE - 1) / AT_ONCE;

	storm.chance = 4711;
	storm.pool = pool_of(THREADS);
	for (unsigned i = 0; i < n; i++)
		try_some();
	/* Waits for the threads: nothing can begin any more. */
	plait_pool_free(&storm.pool);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(begun + storm.withdrawn, n * AT_ONCE);
	ck_assert_uint_le(storm.told, begun);
	ck_assert_uint_gt(storm.withdrawn, 0);
}

/* ---- a pool that is full ------------------------------------------------- */

GROUP("full", .setup = setup);

TEST(a_full_pool_refuses_jobs_at_once, ON_EACH_BACKEND)
{
	struct plait_pool *pool =
		plait_pool_new(reactor, "small",
			       &(struct plait_pool_options){ .max_threads = 2,
							     .max_queue = 1 });
	struct result r[4];

	for (int i = 0; i < 3; i++)
		note(&r[i], start(pool, block));
	note(&r[3], start(pool, block));
	ck_assert_uint_eq(freed, 1);
	expect_now(&r[3], "PoolFullError");
	/* Whoever leaves the queue makes room. */
	plait_deferred_free(&r[2].deferred);
	note(&r[2], start(pool, add_one));
	let_go(2);
	for (int i = 0; i < 3; i++)
		expect(&r[i], "1");
	expect_of(start(pool, add_one), "1");
	plait_pool_free(&pool);
}

TEST(what_is_abandoned_counts, ON_EACH_BACKEND)
{
	struct plait_pool *pool =
		plait_pool_new(reactor, "small",
			       &(struct plait_pool_options){ .max_threads = 1,
							     .max_queue = 1 });
	struct plait_deferred *d;
	struct result r;
	unsigned three = 3;

	d = start(pool, block);
	await(1);
	plait_deferred_free(&d);
	d = start(pool, block);
	note(&r, start(pool, block));
	expect_now(&r, "PoolFullError");
	let_go(2);
	plait_deferred_free(&d);
	turn_until(is_freed, &three);
	expect_of(start(pool, add_one), "1");
	plait_pool_free(&pool);
}

TEST(without_a_pool_a_job_fails, ON_EACH_REACTOR)
{
	struct result r;

	note(&r, start(NULL, add_one));
	expect_now(&r, "NoMemoryError");
	ck_assert_uint_eq(freed, 1);
}

/* ---- reports ------------------------------------------------------------- */

GROUP("reports", .setup = setup);

enum { MAX_REPORTS = 64 };

static atomic_int last_error;
static unsigned reports;

static void note_progress(const plait_value *progress, void *arg)
{
	ck_assert_int_eq(plait_value_int(progress), reports);
	reports++;
}

static plait_value report_some(struct plait_job *job, void *arg)
{
	for (intptr_t i = 0; i < (intptr_t)arg; i++)
		ck_assert_int_eq(
			plait_job_report(job, note_progress, plait_int(i)), 0);
	return PLAIT_NONE;
}

static plait_value reports_are_there(plait_value *result, void *arg)
{
	ck_assert_uint_eq(reports, (uintptr_t)arg);
	return *result;
}

TEST(reports_are_told_in_order_and_before_the_result, ON_EACH_REACTOR, TIMES(2))
{
	void *n = (void *)(uintptr_t)(_i == 0 ? 10 : 10 * MAX_REPORTS);
	struct plait_deferred *d =
		plait_defer_to_thread(reactor, report_some, n, NULL);

	plait_deferred_add_callback(d, reports_are_there, n);
	expect_of(d, "none");
}

static void tell_nobody(const plait_value *progress, void *arg)
{
	reports++;
}

static plait_value report_once_and_wait(struct plait_job *job, void *arg)
{
	ck_assert_int_eq(plait_job_report(job, tell_nobody, make_result()), 0);
	sem_post(&entered);
	while (!plait_job_is_cancelled(job))
		sched_yield();
	ck_assert_int_eq(plait_job_report(job, tell_nobody, make_result()),
			 -ECANCELED);
	return make_result();
}

TEST(what_was_reported_is_not_told_after_a_cancel, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(1);
	struct plait_deferred *d = start(pool, report_once_and_wait);
	unsigned one = 1;

	await(1);
	plait_deferred_free(&d);
	turn_until(is_freed, &one);
	ck_assert_uint_eq(reports, 0);
	ck_assert_uint_eq(results, 0);
	/* One was refused, in the thread. */
	ck_assert_uint_eq(freed_elsewhere, 1);
	plait_pool_free(&pool);
}

static atomic_uint reported;

static plait_value report_without_end(struct plait_job *job, void *arg)
{
	int rc;

	while ((rc = plait_job_report(job, tell_nobody, make_result())) == 0)
		reported++;
	last_error = rc;
	ended++;
	return PLAIT_NONE;
}

static void await_full(void)
{
	while (reported < MAX_REPORTS)
		sched_yield();
	for (int i = 0; i < 100; i++)
		sched_yield();
	ck_assert_uint_eq(reported, MAX_REPORTS);
}

TEST(a_job_waits_for_the_loop_with_its_reports, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(1);
	struct plait_deferred *d = start(pool, report_without_end);
	unsigned one = 1;

	await_full();
	run_until_count(reactor, &reports, 3 * MAX_REPORTS);
	plait_deferred_free(&d);
	turn_until(is_freed, &one);
	ck_assert_int_eq(last_error, -ECANCELED);
	ck_assert_uint_eq(results, 0);
	plait_pool_free(&pool);
}

/* A job that waits for the loop, and nothing that will go on with it. */
TEST(no_end_leaves_a_job_waiting_for_the_loop, ON_EACH_BACKEND, TIMES(3))
{
	struct plait_pool *pool = pool_of(1);
	struct plait_deferred *d = start_quietly(pool, report_without_end);

	await_full();
	unhandled_expect(_i == 0); /* NeverFreedError */
	if (_i == 0)
		plait_pool_free(&pool);
	if (_i == 1)
		plait_deferred_free(&d);
	plait_reactor_free(&reactor);
	plait_deferred_free(&d);
	plait_pool_free(&pool);
	await_threads();
	ck_assert_uint_eq(ended, 1);
	ck_assert_uint_eq(freed, 1);
	ck_assert_uint_eq(results, 0);
}

static plait_value report_without_memory(struct plait_job *job, void *arg)
{
	fault_alloc_at(0, false);
	ck_assert_int_eq(plait_job_report(job, tell_nobody, make_result()),
			 -ENOMEM);
	ck_assert_int_eq(plait_job_report(job, tell_nobody, make_result()), 0);
	return PLAIT_NONE;
}

TEST(a_report_without_memory_is_freed, ON_EACH_REACTOR)
{
	expect_of(plait_defer_to_thread(reactor, report_without_memory, NULL,
					NULL),
		  "none");
	ck_assert_uint_eq(reports, 1);
	ck_assert_uint_eq(results, 0);
}

static plait_value report_a_deferred(struct plait_job *job, void *arg)
{
	struct plait_deferred *d = plait_succeed(PLAIT_NONE);

	ck_assert_int_eq(plait_job_report(job, tell_nobody, plait_chain(&d)),
			 -EINVAL);
	return PLAIT_NONE;
}

TEST(a_deferred_is_no_progress, ON_EACH_REACTOR)
{
	expect_of(plait_defer_to_thread(reactor, report_a_deferred, NULL, NULL),
		  "none");
	ck_assert_uint_eq(reports, 0);
}

static struct plait_deferred *reporter;

static void cancel_the_reporter(const plait_value *progress, void *arg)
{
	reports++;
	plait_deferred_free(&reporter);
}

static plait_value report_twice(struct plait_job *job, void *arg)
{
	for (int i = 0; i < 2; i++)
		plait_job_report(job, cancel_the_reporter, make_result());
	return make_result();
}

TEST(who_is_told_may_cancel_the_job, ON_EACH_REACTOR)
{
	unsigned one = 1;

	reporter =
		plait_defer_to_thread(reactor, report_twice, NULL, note_freed);
	turn_until(is_freed, &one);
	ck_assert_uint_eq(reports, 1);
	ck_assert_uint_eq(results, 0);
}

/* ---- the end of a pool --------------------------------------------------- */

GROUP("close", .setup = setup);

TEST(closing_waits_for_what_runs_and_begins_nothing, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(1);
	struct result running, queued, closed;

	note(&running, start(pool, block));
	await(1);
	note(&queued, start(pool, block));
	note(&closed, plait_pool_close(&pool));
	ck_assert_ptr_null(pool);
	ck_assert_str_eq(queued.text, "");
	expect(&queued, "AbandonedError");
	run_turns(reactor, 3);
	ck_assert_str_eq(closed.text, "");
	let_go(1);
	expect(&closed, "0");
	expect_now(&running, "1");
	ck_assert_uint_eq(begun, 1);
	ck_assert_uint_eq(freed, 2);
}

TEST(closing_waits_for_what_is_abandoned, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(1);
	struct plait_deferred *d = start(pool, block);
	struct result closed;

	await(1);
	plait_deferred_free(&d);
	note(&closed, plait_pool_close(&pool));
	run_turns(reactor, 3);
	ck_assert_str_eq(closed.text, "");
	let_go(1);
	expect(&closed, "0");
}

TEST(a_pool_without_jobs_is_closed_from_the_loop, ON_EACH_REACTOR, TIMES(2))
{
	struct plait_pool *pool = _i == 0 ? pool_of(1) : NULL;
	struct result closed;

	if (pool != NULL)
		expect_of(start(pool, add_one), "1");
	note(&closed, plait_pool_close(&pool));
	ck_assert_str_eq(closed.text, _i == 0 ? "" : "0");
	expect(&closed, "0");
}

TEST(closing_has_a_grace, ON_EACH_BACKEND, TIMES(2))
{
	struct plait_pool *pool = plait_pool_new(
		reactor, "test",
		&(struct plait_pool_options){ .grace = _i == 0 ? 0 : 7 });
	struct result running, closed;

	clock_virtual(true);
	note(&running, start(pool, block_until_cancelled));
	await(1);
	note(&closed, plait_pool_close(&pool));
	run_for(reactor, _i == 0 ? 4.9 : 6.9);
	ck_assert_str_eq(closed.text, "");
	run_for(reactor, 0.2);
	expect_now(&running, "AbandonedError");
	expect_now(&closed, "1");
	let_go(1);
	plait_reactor_free(&reactor);
	await_threads();
	ck_assert_uint_eq(freed, 1);
}

TEST(cancelling_a_close_ends_the_grace, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(1);
	struct result running, queued, closed;
	unsigned two = 2;

	note(&running, start(pool, block_until_cancelled));
	await(1);
	note(&queued, start(pool, block));
	note(&closed, plait_pool_close(&pool));
	plait_deferred_cancel(closed.deferred);
	expect_now(&closed, "CancelledError");
	expect(&running, "AbandonedError");
	expect(&queued, "AbandonedError");
	let_go(1);
	turn_until(is_freed, &two);
}

TEST(a_close_that_nobody_waits_for_goes_on, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(1);
	struct plait_deferred *closed;
	struct result running;

	note(&running, start(pool, block));
	await(1);
	closed = plait_pool_close(&pool);
	plait_deferred_detach(&closed);
	let_go(1);
	expect(&running, "1");
}

TEST(without_memory_a_close_has_no_grace, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(1);
	struct result running, closed;
	unsigned one = 1;

	note(&running, start(pool, block_until_cancelled));
	await(1);
	fault_alloc_at(0, false);
	note(&closed, plait_pool_close(&pool));
	expect_now(&closed, "NoMemoryError");
	expect(&running, "AbandonedError");
	let_go(1);
	turn_until(is_freed, &one);
}

TEST(freeing_a_pool_waits_for_no_job, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(1);
	struct result running, queued;
	unsigned two = 2;

	note(&running, start(pool, block_until_cancelled));
	await(1);
	note(&queued, start(pool, block));
	plait_pool_free(&pool);
	ck_assert_ptr_null(pool);
	expect_now(&running, "AbandonedError");
	expect_now(&queued, "AbandonedError");
	ck_assert_uint_eq(freed, 1);
	let_go(1);
	turn_until(is_freed, &two);
	ck_assert_uint_eq(begun, 1);
	plait_pool_free(NULL);
	plait_pool_free(&pool);
}

static struct plait_pool *shared_pool;

static plait_value free_the_pool(plait_value *result, void *arg)
{
	struct plait_pool *same = shared_pool;
	struct result r;

	plait_pool_free(&shared_pool);
	note(&r, start(same, add_one));
	expect_now(&r, "AbandonedError");
	return *result;
}

TEST(a_pool_may_be_freed_in_the_callback_of_its_job, ON_EACH_REACTOR)
{
	struct plait_deferred *d;

	shared_pool = pool_of(2);
	d = start(shared_pool, add_one);
	plait_deferred_add_callback(d, free_the_pool, NULL);
	expect_of(d, "1");
}

/* No thread has a job. */
static bool is_idle_pool(void *arg)
{
	char text[100];

	plait_pool_str(arg, text, sizeof(text));
	return strstr(text, " 0 running, 0 abandoned, 0 queued") != NULL;
}

static bool is_empty_pool(void *arg)
{
	char text[100];

	plait_pool_str(arg, text, sizeof(text));
	return strstr(text, "0 of 4") != NULL;
}

TEST(threads_without_work_end, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(4);
	struct result r[3];

	clock_virtual(true);
	for (int i = 0; i < 3; i++)
		note(&r[i], start(pool, block));
	await(3);
	/* Those that work do not. */
	run_for(reactor, 25);
	expect_pool(pool, "<Pool \"test\": 3 of 4 threads, 3 running, "
			  "0 abandoned, 0 queued>");
	let_go(3);
	for (int i = 0; i < 3; i++)
		expect(&r[i], "1");
	run_until(reactor, is_empty_pool, pool);
	/* And no timer runs for them. */
	ck_assert_int_eq(plait_reactor_iterate(reactor, 1000), 0);
	ck_assert(wait_timeout() >= 999);
	expect_of(start(pool, add_one), "1");
	plait_pool_free(&pool);
}

/* ---- the end of the reactor ---------------------------------------------- */

GROUP("reactor", .setup = setup);

static void stop_after(double seconds)
{
	clock_virtual(true);
	plait_call_later(reactor, seconds, call_stop, NULL);
}

TEST(a_shutdown_waits_for_what_runs_and_begins_nothing, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(1);
	struct result running, queued;

	note(&running, start(pool, block));
	await(1);
	note(&queued, start(pool, block));
	plait_call_later(reactor, 0, call_stop, NULL);
	sem_post(&leave);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	expect_now(&running, "1");
	/* It may have begun before the shutdown, and then has its thread. */
	if (begun == 1)
		expect_now(&queued, "AbandonedError");
	let_go(1);
	plait_deferred_free(&queued.deferred);
	run_until(reactor, is_idle_pool, pool);
	plait_pool_free(&pool);
}

TEST(a_shutdown_waits_no_longer_than_it_may, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(1);
	struct result running, queued;
	double before;

	note(&running, start(pool, block_until_cancelled));
	await(1);
	note(&queued, start(pool, block));
	stop_after(0);
	before = clock_now();
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert(clock_now() - before >= 5);
	ck_assert(clock_now() - before < 5.1);
	expect_now(&running, "AbandonedError");
	expect_now(&queued, "AbandonedError");
	let_go(1);
	plait_pool_free(&pool);
	plait_reactor_free(&reactor);
	await_threads();
}

static void stop_now(void *arg)
{
	plait_reactor_stop_now(reactor);
}

TEST(a_shutdown_in_a_hurry_waits_for_no_job, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(1);
	struct result running;
	double before;

	clock_virtual(true);
	note(&running, start(pool, block_until_cancelled));
	await(1);
	plait_call_later(reactor, 0, stop_now, NULL);
	before = clock_now();
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert(clock_now() - before < 1);
	expect_now(&running, "AbandonedError");
	let_go(1);
	plait_pool_free(&pool);
	plait_reactor_free(&reactor);
	await_threads();
}

TEST(a_shutdown_does_not_wait_for_what_was_abandoned, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(1);
	struct plait_deferred *d = start(pool, block_until_cancelled);
	double before;

	await(1);
	plait_deferred_free(&d);
	stop_after(0);
	before = clock_now();
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	ck_assert(clock_now() - before < 1);
	let_go(1);
	plait_pool_free(&pool);
	plait_reactor_free(&reactor);
	await_threads();
}

TEST(a_pool_works_in_the_next_run, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(1);

	stop_after(0);
	ck_assert_int_eq(plait_reactor_run(reactor), 0);
	expect_of(start(pool, add_one), "1");
	plait_pool_free(&pool);
}

/* Frees the pool, the reactor and the deferred in each order.  In the first,
   the deferred has fired when the reactor is freed, which is told. */
static void free_in_order(int n, struct plait_pool **pool,
			  struct plait_deferred **d)
{
	static const char *const orders[] = { "prd", "pdr", "rpd",
					      "rdp", "dpr", "drp" };

	unhandled_expect(n == 0);

	for (const char *c = orders[n]; *c != '\0'; c++) {
		if (*c == 'p')
			plait_pool_free(pool);
		else if (*c == 'r')
			plait_reactor_free(&reactor);
		else
			plait_deferred_free(d);
	}
}

TEST(no_end_waits_for_a_job_that_runs, ON_EACH_BACKEND, TIMES(6))
{
	struct plait_pool *pool = pool_of(2);
	struct plait_deferred *d = start_quietly(pool, block_until_cancelled);

	await(1);
	expect_of(start(pool, add_one), "1");
	free_in_order(_i, &pool, &d);
	ck_assert_uint_eq(freed, 1);
	ck_assert_uint_eq(ended, 0);
	/* The thread frees the rest. */
	let_go(1);
	await_threads();
	ck_assert_uint_eq(freed, 2);
	ck_assert_uint_eq(results, 0);
	ck_assert_uint_eq(freed_elsewhere, 1);
}

TEST(a_queued_job_never_begins_after_an_end, ON_EACH_BACKEND, TIMES(6))
{
	struct plait_pool *pool = pool_of(1);
	struct plait_deferred *running = start_quietly(pool, block);
	struct plait_deferred *d;

	plait_deferred_detach(&running);
	await(1);
	d = start_quietly(pool, add_one);
	free_in_order(_i, &pool, &d);
	let_go(1);
	await_threads();
	ck_assert_uint_eq(begun, 1);
	ck_assert_uint_eq(freed, 2);
}

TEST(a_result_that_was_not_told_is_freed_at_the_end, ON_EACH_BACKEND, TIMES(6))
{
	struct plait_pool *pool = pool_of(1);
	struct plait_deferred *d;

	calls_reset();
	d = start_quietly(pool, give_result);
	while (calls_of("write") == 0)
		sched_yield();
	free_in_order(_i, &pool, &d);
	await_threads();
	ck_assert_uint_eq(freed, 1);
	ck_assert_uint_eq(results, 0);
	ck_assert_uint_eq(freed_elsewhere, 0);
}

TEST(the_end_of_the_reactor_ends_a_close, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(1);
	struct result running, closed;

	note(&running, start(pool, block));
	await(1);
	note(&closed, plait_pool_close(&pool));
	plait_reactor_free(&reactor);
	expect_now(&running, "AbandonedError");
	expect_now(&closed, "AbandonedError");
	let_go(1);
	await_threads();
	ck_assert_uint_eq(freed, 1);
}

TEST(a_pool_outlives_its_reactor, ON_EACH_REACTOR)
{
	struct plait_pool *pool = pool_of(1), *other = pool_of(1);
	struct result r;

	plait_reactor_free(&reactor);
	note(&r, start(pool, add_one));
	expect_now(&r, "AbandonedError");
	note(&r, plait_pool_close(&pool));
	expect_now(&r, "0");
	plait_pool_free(&other);
}

/* Whoever is told of the end begins another job. */
enum { BEGUN_AT_THE_END = 200000 };

static unsigned rounds;

static plait_value once_more(plait_value *result, void *arg)
{
	struct plait_deferred *d;

	ck_assert(plait_value_is_failure(result));
	if (++rounds == BEGUN_AT_THE_END || reactor == NULL)
		return PLAIT_NONE;
	d = start(shared_pool, add_one);
	plait_deferred_add_errback(d, once_more, NULL);
	return plait_chain(&d);
}

TEST(jobs_that_are_begun_at_the_end_come_to_an_end, ON_EACH_BACKEND)
{
	struct plait_deferred *d, *blocked;

	shared_pool = pool_of(1);
	blocked = start_quietly(shared_pool, block);
	await(1);
	d = start(shared_pool, add_one);
	plait_deferred_add_errback(d, once_more, NULL);
	unhandled_expect(1); /* NeverFiredError */
	plait_reactor_free(&reactor);
	ck_assert_uint_lt(rounds, BEGUN_AT_THE_END);
	ck_assert_uint_eq(freed, rounds + 1);
	ck_assert_uint_eq(begun, 1);
	plait_deferred_free(&d);
	plait_deferred_free(&blocked);
	plait_pool_free(&shared_pool);
	let_go(1);
	await_threads();
}

/* ---- forks --------------------------------------------------------------- */

GROUP("fork", .setup = setup);

struct inherited {
	struct plait_pool *pool;
	struct plait_deferred *running, *queued;
	int order;
};

/* A leak checker speaks of the thread that is gone. */
static void use_pool_in_child(void *arg)
{
	struct inherited *in = arg;
	struct plait_reactor *old = reactor;
	struct plait_pool *pool = in->pool;
	struct result r;

	note(&r, start(pool, add_one));
	expect_now(&r, "OSError");
	note(&r, plait_defer_to_thread(reactor, add_one, NULL, NULL));
	expect_now(&r, "OSError");
	expect_pool(pool, "<Pool \"test\": 0 of 1 threads, 0 running, "
			  "0 abandoned, 2 queued>");
	if (in->order == 6) {
		note(&r, plait_pool_close(&in->pool));
		expect_now(&r, "OSError");
		in->order = 0;
	}
	free_in_order(in->order, &in->pool, &in->running);
	plait_deferred_free(&in->queued);
	if (!child_may_have_threads())
		return;
	/* The child begins anew. */
	ck_assert(reactor != old || reactor == NULL);
	reactor = plait_reactor_new(backend);
	pool = pool_of(2);
	expect_of(start(pool, add_one), "1");
	expect_of(plait_defer_to_thread(reactor, add_one, NULL, NULL), "1");
	plait_pool_free(&pool);
	plait_reactor_free(&reactor);
}

TEST(a_forked_child_begins_anew_and_the_parent_goes_on, ON_EACH_BACKEND,
     TIMES(7))
{
	struct inherited in = { .pool = pool_of(1), .order = _i };
	const char *said;
	struct result running, queued;

	note(&running, start(in.pool, block));
	await(1);
	note(&queued, start(in.pool, block));
	in.running = running.deferred;
	in.queued = queued.deferred;
	ck_assert_int_eq(child_run(use_pool_in_child, &in, &said), 0);
	let_go(2);
	expect(&running, "1");
	expect(&queued, "1");
	plait_pool_free(&in.pool);
}

static void cancel_in_child(void *arg)
{
	struct inherited *in = arg;

	plait_deferred_cancel(in->queued);
	expect_pool(in->pool, "<Pool \"test\": 0 of 1 threads, 0 running, "
			      "1 abandoned, 1 queued>");
	plait_deferred_cancel(in->running);
	expect_pool(in->pool, "<Pool \"test\": 0 of 1 threads, 0 running, "
			      "2 abandoned, 0 queued>");
	plait_deferred_free(&in->queued);
	plait_deferred_free(&in->running);
	plait_reactor_free(&reactor);
	expect_pool(in->pool, "<Pool \"test\": 0 of 1 threads, 0 running, "
			      "0 abandoned, 0 queued>");
	plait_pool_free(&in->pool);
}

TEST(a_forked_child_counts_the_jobs_that_it_cancels, ON_EACH_BACKEND)
{
	struct inherited in = { .pool = pool_of(1) };
	const char *said;
	struct result running, queued;

	note(&running, start(in.pool, block));
	await(1);
	note(&queued, start(in.pool, block));
	in.running = running.deferred;
	in.queued = queued.deferred;
	ck_assert_int_eq(child_run(cancel_in_child, &in, &said), 0);
	expect_pool(in.pool, "<Pool \"test\": 1 of 1 threads, 1 running, "
			     "0 abandoned, 1 queued>");
	let_go(2);
	expect(&running, "1");
	expect(&queued, "1");
	plait_pool_free(&in.pool);
}

static void free_elsewhere(void *arg)
{
	plait_pool_free(arg);
}

/* The thread of a job has the pool, and perhaps its lock, when the process
   forks. */
TEST(a_child_frees_a_pool_without_a_reactor, ON_EACH_BACKEND)
{
	struct plait_pool *pool = pool_of(1);
	struct plait_deferred *d = start_quietly(pool, block);
	const char *said;

	await(1);
	plait_reactor_free(&reactor);
	plait_deferred_free(&d);
	ck_assert_int_eq(child_run(free_elsewhere, &pool, &said), 0);
	let_go(1);
	plait_pool_free(&pool);
	await_threads();
}

/* ---- what can fail ------------------------------------------------------- */

GROUP("faults", .setup = setup);

static const struct {
	const char *call;
	int error;
} refusals[] = {
	{ "pthread_create", EAGAIN },
	{ "pthread_sigmask", EINVAL },
};

TEST(without_a_first_thread_a_job_fails, ON_EACH_BACKEND, EACH_OF(refusals))
{
	struct plait_pool *pool = pool_of(2);
	struct result r;

	fault_call(refusals[_i].call, 1, refusals[_i].error);
	note(&r, start(pool, add_one));
	expect_now(&r, "OSError");
	ck_assert_uint_eq(freed, 1);
	expect_of(start(pool, add_one), "1");
	plait_pool_free(&pool);
}

TEST(without_a_further_thread_a_job_waits, ON_EACH_BACKEND, EACH_OF(refusals))
{
	struct plait_pool *pool = pool_of(2);
	struct result first, second;

	note(&first, start(pool, block));
	await(1);
	fault_call(refusals[_i].call, 1, refusals[_i].error);
	note(&second, start(pool, add_one));
	ck_assert(fault_used(refusals[_i].call));
	let_go(1);
	expect(&first, "1");
	expect(&second, "1");
	plait_pool_free(&pool);
}

static plait_value report_if_possible(struct plait_job *job, void *arg)
{
	for (int i = 0; i < 3; i++)
		plait_job_report(job, tell_nobody, make_result());
	return PLAIT_NONE;
}

/* Whatever fails, arguments and results are freed. */
static void do_jobs(struct plait_reactor *r)
{
	struct plait_pool *pool = plait_pool_new(r, "test", NULL);
	struct plait_deferred *a, *b, *c, *closed;

	freed = 0;
	a = plait_defer_to_pool(pool, give_result, NULL, note_freed);
	b = plait_defer_to_thread(r, give_result, NULL, note_freed);
	c = plait_defer_to_pool(pool, report_if_possible, NULL, note_freed);
	reports = 0;
	plait_deferred_cancel(b);
	while (plait_deferred_result(a) == NULL ||
	       plait_deferred_result(c) == NULL)
		run_turns(r, 1);
	closed = plait_pool_close(&pool);
	while (plait_deferred_result(closed) == NULL)
		run_turns(r, 1);
	if (!torture_faulty())
		ck_assert_uint_eq(reports, 3);
	while (freed < 3)
		run_turns(r, 1);
	plait_deferred_add_both(a, note_told, NULL);
	plait_deferred_add_both(b, note_told, NULL);
	plait_deferred_add_both(c, note_told, NULL);
	plait_deferred_add_both(closed, note_told, NULL);
	plait_deferred_free(&a);
	plait_deferred_free(&b);
	plait_deferred_free(&c);
	plait_deferred_free(&closed);
	ck_assert_uint_eq(results, 0);
}

TEST(each_failing_allocation_is_survived, ON_EACH_BACKEND)
{
	torture(do_jobs, backend);
}

/* ---- many ---------------------------------------------------------------- */

GROUP("storm", .setup = setup, .timeout = 600);

/* Eight threads; each job that is told or cancelled begins the next. */
struct caller_of_jobs {
	struct plait_deferred *deferred;
	unsigned left;
};

static void go_on(struct caller_of_jobs *c);

static plait_value count_progress(struct plait_job *job, void *arg)
{
	begun++;
	if ((begun & 7) == 0)
		plait_job_report(job, tell_nobody, make_result());
	return make_result();
}

static plait_value then_go_on(plait_value *result, void *arg)
{
	struct caller_of_jobs *c = arg;

	plait_deferred_free(&c->deferred);
	go_on(c);
	return PLAIT_NONE;
}

static void go_on(struct caller_of_jobs *c)
{
	while (c->left > 0) {
		c->left--;
		c->deferred = plait_defer_to_pool(storm.pool, count_progress, c,
						  note_freed);
		if (draw(3) != 0) {
			plait_deferred_add_both(c->deferred, then_go_on, c);
			return;
		}
		plait_deferred_free(&c->deferred);
	}
}

static void one_by_one(struct caller_of_jobs *c);

static plait_value then_one_more(plait_value *result, void *arg)
{
	struct caller_of_jobs *c = arg;

	plait_deferred_free(&c->deferred);
	if (--c->left > 0)
		one_by_one(c);
	return PLAIT_NONE;
}

static void one_by_one(struct caller_of_jobs *c)
{
	c->deferred = plait_defer_to_pool(storm.pool, add_one, NULL, NULL);
	plait_deferred_add_both(c->deferred, then_one_more, c);
}

/* Each job is given when its thread has just handed back the one before. */
TEST(a_thread_that_becomes_idle_just_then_is_not_missed, ON_EACH_BACKEND)
{
	struct caller_of_jobs c = { .left = trials(20000) };

	storm.pool = pool_of(1);
	one_by_one(&c);
	while (c.left > 0)
		run_turns(reactor, 1);
	plait_pool_free(&storm.pool);
}

TEST(eight_threads_do_a_storm_of_jobs, ON_EACH_BACKEND)
{
	enum { CALLERS = 32 };
	unsigned n = trials(20000) / CALLERS;
	struct caller_of_jobs callers[CALLERS];
	unsigned all = n * CALLERS;

	storm.chance = 1;
	storm.pool = pool_of(8);
	for (int i = 0; i < CALLERS; i++) {
		callers[i] = (struct caller_of_jobs){ .left = n };
		go_on(&callers[i]);
	}
	while (freed < all)
		run_turns(reactor, 1);
	plait_pool_free(&storm.pool);
	plait_reactor_free(&reactor);
	ck_assert_uint_eq(results, 0);
	ck_assert_uint_le(begun, all);
}

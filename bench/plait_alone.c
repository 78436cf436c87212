/*
 * Timers, calls from another thread, and deferreds, with plait.
 */
#include <stdlib.h>

#include <plait/plait.h>

#include "alone.h"

static struct plait_reactor *reactor;
static struct plait_timer *timers;

static void begin(bool threads)
{
	reactor = plait_reactor_new(NULL);
	must(reactor != NULL, "reactor");
}

static void run(void)
{
	plait_reactor_run(reactor);
}

static void make_timers(size_t n)
{
	timers = allocate(n * sizeof(*timers));
}

static void count_fired(void *arg)
{
	fired++;
}

static void set(size_t i, double seconds)
{
	plait_timer_start(reactor, &timers[i], seconds, count_fired, NULL);
}

static void stop(size_t i)
{
	plait_timer_stop(&timers[i]);
}

static void fire_due(void)
{
	plait_reactor_iterate(reactor, 0);
}

static void (*wanted)(void);

static void call_wanted(void *arg)
{
	wanted();
	wanted = NULL;
}

static void in_callback(void (*fn)(void))
{
	static struct plait_timer timer;

	wanted = fn;
	plait_timer_start(reactor, &timer, 0, call_wanted, NULL);
	while (wanted != NULL)
		plait_reactor_iterate(reactor, 0);
}

static void make_call(void *arg)
{
	called((size_t)(uintptr_t)arg);
}

static void call(size_t i)
{
	must(plait_call_from_thread(reactor, make_call, (void *)(uintptr_t)i) ==
		     0,
	     "call");
}

static void call_node(size_t i)
{
	static struct plait_thread_call nodes[CALLS];

	must(plait_thread_call_queue(reactor, &nodes[i], make_call,
				     (void *)(uintptr_t)i) == 0,
	     "call");
}

static plait_value do_nothing(struct plait_job *job, void *arg)
{
	return PLAIT_NONE;
}

static plait_value nothing_done(plait_value *result, void *arg)
{
	job_done();
	return PLAIT_NONE;
}

static void job(void)
{
	static struct plait_pool *pool;
	struct plait_deferred *d;

	if (pool == NULL)
		pool = plait_pool_new(
			reactor, "bench",
			&(struct plait_pool_options){ .max_threads = 1 });
	d = plait_defer_to_pool(pool, do_nothing, NULL, NULL);
	plait_deferred_add_callback(d, nothing_done, NULL);
	plait_deferred_detach(&d);
}

static void end_jobs(void)
{
	plait_reactor_stop(reactor);
}

static void child_ended(struct plait_process_protocol *p,
			const struct plait_process_exit *how)
{
	must(how->code == 0, SPAWNED);
	plait_reactor_stop(reactor);
}

static void spawn(void)
{
	static const struct plait_process_ops ops = { .ended = child_ended };
	static struct plait_process_protocol child = { .ops = &ops };
	static const char *const argv[] = { SPAWNED, NULL };

	must(plait_spawn(reactor, argv, &child, NULL, NULL) == 0, SPAWNED);
}

static plait_value increase(plait_value *result, void *arg)
{
	return plait_int(plait_value_int(result) + 1);
}

static void deferreds(size_t n)
{
	static struct plait_promise **promises;
	static struct plait_deferred **ds;

	if (promises == NULL) {
		promises = allocate(n * sizeof(struct plait_promise *));
		ds = allocate(n * sizeof(struct plait_deferred *));
	}
	for (size_t i = 0; i < n; i++) {
		ds[i] = plait_deferred_new(&promises[i], NULL, NULL);
		plait_deferred_add_callback(ds[i], increase, NULL);
		plait_deferred_add_callback(ds[i], increase, NULL);
	}
	for (size_t i = 0; i < n; i++) {
		plait_fire(&promises[i], plait_int((long)i));
		plait_deferred_free(&ds[i]);
	}
}

const struct library library = {
	.timers = make_timers,
	.set = set,
	.reset = set,
	.stop = stop,
	.fire_due = fire_due,
	.call = call,
	.call_node = call_node,
	.job = job,
	.run_jobs = run,
	.end_jobs = end_jobs,
	.spawn = spawn,
	.wait_for_child = run,
	.deferreds = deferreds,
	.in_callback = in_callback,
	.begin = begin,
	.run = run,
};

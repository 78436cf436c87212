/*
 * Timers, and calls from another thread, with libuv.
 */
#include <uv.h>

#include "alone.h"

static uv_loop_t *loop;
static uv_timer_t *timers;
static uv_async_t async;

static void async_ready(uv_async_t *a)
{
	make_calls();
}

static void begin(bool threads)
{
	loop = uv_default_loop();
	uv_async_init(loop, &async, async_ready);
}

static void run(void)
{
	uv_run(loop, UV_RUN_DEFAULT);
}

static void make_timers(size_t n)
{
	timers = allocate(n * sizeof(*timers));
	for (size_t i = 0; i < n; i++)
		uv_timer_init(loop, &timers[i]);
}

static void count_fired(uv_timer_t *t)
{
	fired++;
}

static void set(size_t i, double seconds)
{
	uv_timer_start(&timers[i], count_fired, (uint64_t)(seconds * 1000), 0);
}

static void stop(size_t i)
{
	uv_timer_stop(&timers[i]);
}

static void fire_due(void)
{
	uv_run(loop, UV_RUN_NOWAIT);
}

static void (*wanted)(void);

static void call_wanted(uv_timer_t *t)
{
	wanted();
	wanted = NULL;
}

static void in_callback(void (*fn)(void))
{
	static uv_timer_t timer;

	uv_timer_init(loop, &timer);
	wanted = fn;
	uv_timer_start(&timer, call_wanted, 0, 0);
	while (wanted != NULL)
		uv_run(loop, UV_RUN_NOWAIT);
}

static void call(size_t i)
{
	if (push(i))
		uv_async_send(&async);
}

static uv_process_t child;

static void child_ended(uv_process_t *c, int64_t status, int signal)
{
	must(status == 0, SPAWNED);
	uv_close((uv_handle_t *)c, NULL);
	uv_stop(loop);
}

static void spawn(void)
{
	static char name[] = SPAWNED;
	static char *argv[] = { name, NULL };
	uv_process_options_t o = { .file = name,
				   .args = argv,
				   .exit_cb = child_ended };

	must(uv_spawn(loop, &child, &o) == 0, SPAWNED);
}

static void wait_for_child(void)
{
	run();
	uv_run(loop, UV_RUN_NOWAIT); /* it is closed then */
}

const struct library library = {
	.timers = make_timers,
	.set = set,
	.reset = set,
	.stop = stop,
	.fire_due = fire_due,
	.call_node = call,
	.spawn = spawn,
	.wait_for_child = wait_for_child,
	.in_callback = in_callback,
	.begin = begin,
	.run = run,
};

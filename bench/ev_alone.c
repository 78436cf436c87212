/*
 * Timers, and calls from another thread, with libev.
 */
#include <ev.h>

#include "alone.h"

static struct ev_loop *loop;
static ev_timer *timers;
static ev_async async;

static void async_ready(struct ev_loop *l, ev_async *a, int events)
{
	make_calls();
}

static void begin(bool threads)
{
	loop = ev_default_loop(EVBACKEND_EPOLL);
	must(loop != NULL, "loop");
	ev_async_init(&async, async_ready);
	ev_async_start(loop, &async);
}

static void run(void)
{
	ev_run(loop, 0);
}

static void count_fired(struct ev_loop *l, ev_timer *t, int events)
{
	fired++;
}

static void make_timers(size_t n)
{
	timers = allocate(n * sizeof(*timers));
	for (size_t i = 0; i < n; i++)
		ev_init(&timers[i], count_fired);
}

static void set(size_t i, double seconds)
{
	ev_timer_set(&timers[i], seconds, 0);
	ev_timer_start(loop, &timers[i]);
}

/* As libev's manual does it: it moves the timer, and does not take it out. */
static void reset(size_t i, double seconds)
{
	timers[i].repeat = seconds;
	ev_timer_again(loop, &timers[i]);
}

static void stop(size_t i)
{
	ev_timer_stop(loop, &timers[i]);
}

static void fire_due(void)
{
	ev_run(loop, EVRUN_NOWAIT);
}

static void (*wanted)(void);

static void call_wanted(struct ev_loop *l, ev_timer *t, int events)
{
	wanted();
	wanted = NULL;
}

static void in_callback(void (*fn)(void))
{
	static ev_timer timer;

	ev_timer_init(&timer, call_wanted, 0, 0);
	wanted = fn;
	ev_timer_start(loop, &timer);
	while (wanted != NULL)
		ev_run(loop, EVRUN_NOWAIT);
}

static void call(size_t i)
{
	if (push(i))
		ev_async_send(loop, &async);
}

const struct library library = {
	.timers = make_timers,
	.set = set,
	.reset = reset,
	.stop = stop,
	.fire_due = fire_due,
	.call_node = call,
	.in_callback = in_callback,
	.begin = begin,
	.run = run,
};

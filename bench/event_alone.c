/*
 * Timers, and calls from another thread, with libevent.
 */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/thread.h>

#include "alone.h"

static struct event_base *base;
static struct event *timers, wake;

static void woken(evutil_socket_t fd, short events, void *arg)
{
	make_calls();
}

/* The wake-up is an event that is never added, and is made active. */
static void begin(bool threads)
{
	if (threads)
		evthread_use_pthreads();
	base = event_base_new();
	must(base != NULL, "base");
	event_assign(&wake, base, -1, EV_PERSIST, woken, NULL);
}

static void run(void)
{
	event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
}

static void count_fired(evutil_socket_t fd, short events, void *arg)
{
	fired++;
}

static void make_timers(size_t n)
{
	timers = allocate(n * sizeof(*timers));
	for (size_t i = 0; i < n; i++)
		evtimer_assign(&timers[i], base, count_fired, NULL);
}

static void set(size_t i, double seconds)
{
	struct timeval tv = { .tv_sec = (time_t)seconds };

	tv.tv_usec = (suseconds_t)((seconds - (double)tv.tv_sec) * 1e6);
	evtimer_add(&timers[i], &tv);
}

static void stop(size_t i)
{
	evtimer_del(&timers[i]);
}

static void fire_due(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
}

static void (*wanted)(void);

static void call_wanted(evutil_socket_t fd, short events, void *arg)
{
	wanted();
	wanted = NULL;
}

static void in_callback(void (*fn)(void))
{
	const struct timeval now = { 0 };

	wanted = fn;
	event_base_once(base, -1, EV_TIMEOUT, call_wanted, NULL, &now);
	while (wanted != NULL)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static void call(size_t i)
{
	if (push(i))
		event_active(&wake, 0, 0);
}

const struct library library = {
	.timers = make_timers,
	.set = set,
	.reset = set,
	.stop = stop,
	.fire_due = fire_due,
	.call_node = call,
	.in_callback = in_callback,
	.begin = begin,
	.run = run,
};

/*
 * Sockets with libevent: an event in each connection.
 */
#include <event2/event.h>
#include <event2/event_struct.h>

#include "sockets.h"

static struct event_base *base;

const size_t watcher_size = sizeof(struct event);

static struct event *watcher_of(struct conn *c)
{
	return (struct event *)c->watcher;
}

static void watcher_ready(evutil_socket_t fd, short events, void *arg)
{
	struct conn *c = arg;

	c->ready(c);
	conn_bury();
}

void watcher_begin(void)
{
	base = event_base_new();
	must(base != NULL, "base");
}

void watcher_start(struct conn *c, bool writable)
{
	short events = EV_PERSIST | (writable ? EV_WRITE : EV_READ);

	event_assign(watcher_of(c), base, c->fd, events, watcher_ready, c);
	event_add(watcher_of(c), NULL);
}

void watcher_stop(struct conn *c)
{
	event_del(watcher_of(c));
}

void watcher_change(struct conn *c, bool writable)
{
	watcher_stop(c);
	watcher_start(c, writable);
}

void watcher_loop(void)
{
	event_base_dispatch(base);
}

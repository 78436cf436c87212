/*
 * Sockets with libev: a watcher in each connection.
 */
#include <ev.h>

#include "sockets.h"

static struct ev_loop *loop;

const size_t watcher_size = sizeof(ev_io);

static ev_io *watcher_of(struct conn *c)
{
	return (ev_io *)c->watcher;
}

static void watcher_ready(struct ev_loop *l, ev_io *w, int events)
{
	struct conn *c = w->data;

	c->ready(c);
	conn_bury();
}

void watcher_begin(void)
{
	loop = ev_default_loop(EVBACKEND_EPOLL);
	must(loop != NULL, "loop");
}

void watcher_start(struct conn *c, bool writable)
{
	ev_io *w = watcher_of(c);

	ev_io_init(w, watcher_ready, c->fd, writable ? EV_WRITE : EV_READ);
	w->data = c;
	ev_io_start(loop, w);
}

void watcher_stop(struct conn *c)
{
	ev_io_stop(loop, watcher_of(c));
}

void watcher_change(struct conn *c, bool writable)
{
	watcher_stop(c);
	ev_io_set(watcher_of(c), c->fd, writable ? EV_WRITE : EV_READ);
	ev_io_start(loop, watcher_of(c));
}

void watcher_loop(void)
{
	ev_run(loop, 0);
}

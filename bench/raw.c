/*
 * Sockets on epoll, by hand: the floor.
 */
#include <sys/epoll.h>

#include "sockets.h"

enum { EVENTS = 256 };

static int epoll;

const size_t watcher_size = 0;

void watcher_begin(void)
{
	epoll = epoll_create1(EPOLL_CLOEXEC);
	must(epoll >= 0, "epoll_create1");
}

static void watcher_control(struct conn *c, int op, bool writable)
{
	struct epoll_event e = { .events = writable ? EPOLLOUT : EPOLLIN,
				 .data.ptr = c };

	must(epoll_ctl(epoll, op, c->fd, &e) == 0, "epoll_ctl");
}

void watcher_start(struct conn *c, bool writable)
{
	watcher_control(c, EPOLL_CTL_ADD, writable);
}

void watcher_change(struct conn *c, bool writable)
{
	watcher_control(c, EPOLL_CTL_MOD, writable);
}

/* To close the socket is enough. */
void watcher_stop(struct conn *c)
{
}

/* An event may be that of a connection which another one has closed. */
void watcher_loop(void)
{
	struct epoll_event events[EVENTS];

	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;

			if (c->fd >= 0)
				c->ready(c);
		}
		conn_bury();
	}
}

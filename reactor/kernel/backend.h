/*
 * A backend waits for descriptors: a const table of functions.  All that the
 * platform has are compiled in; reactor.c lists them, best first.
 *
 * What is watched stands in the reactor's table of watches, so a backend
 * keeps nothing but what its kernel interface makes it keep.
 */
#ifndef REACTOR_BACKEND_H
#define REACTOR_BACKEND_H

#include <stdint.h>

#include <plait/reactor.h>

struct backend {
	const char *name;
	/* Needs no descriptors: no waking up, a clock that is moved. */
	bool is_virtual;
	/* 0 or -errno.  done() comes only after an init() that succeeded. */
	int (*init)(struct plait_reactor *r);
	void (*done)(struct plait_reactor *r);
	/*
	 * 0, or -errno if it could never wait for that descriptor: asked
	 * before the table of watches grows for it.
	 */
	int (*check)(struct plait_reactor *r, int fd);
	/*
	 * Makes the kernel wait for w->events instead of w->armed.  0, or
	 * -errno with the old interest still in force; -EBADF: none is.
	 */
	int (*update)(struct plait_reactor *r, struct plait_watch *w);
	/*
	 * Waits for at most that many nanoseconds, for ever if negative, and
	 * delivers with plait_i_watch_deliver().  0, or -errno if it cannot
	 * wait.
	 */
	int (*poll)(struct plait_reactor *r, int64_t timeout);
	/* Nanoseconds on its clock. */
	int64_t (*now)(struct plait_reactor *r);
};

extern const struct backend plait_i_backend_epoll;
extern const struct backend plait_i_backend_select;
extern const struct backend plait_i_backend_virtual;

#endif

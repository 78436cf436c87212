/*
 * The select backend, for wherever epoll is not.
 *
 * It keeps nothing between two waits: the sets are made from the table of
 * watches each time, so they cannot disagree with it.  select() knows no
 * generations; but what was armed after the wait began has a higher one than
 * all that it can have reported.
 */
#include <errno.h>
#include <limits.h>
#include <sys/select.h>

#include "reactor/loop/reactor.h"

enum { NS_PER_US = 1000, US_PER_S = 1000000 };

static int init(struct plait_reactor *r)
{
	return 0;
}

static void done(struct plait_reactor *r)
{
}

static int check(struct plait_reactor *r, int fd)
{
	return fd < FD_SETSIZE ? plait_i_watch_check_open(r, fd) : -EMFILE;
}

static int update(struct plait_reactor *r, struct plait_watch *w)
{
	/* Only when it begins; later the wait itself finds out. */
	return w->armed == 0 ? check(r, w->fd) : 0;
}

/* Returns how many descriptors select() has to look at. */
static int make_sets(struct plait_reactor *r, fd_set *readable,
		     fd_set *writable)
{
	int n = 0;

	FD_ZERO(readable);
	FD_ZERO(writable);
	for (size_t i = 0; i < r->watches.n; i++) {
		struct plait_watch *w = r->watches.slots[i].watch;

		if (w == NULL)
			continue;
		if (w->armed & (PLAIT_READ | LOOP_HANGUP))
			FD_SET(w->fd, readable);
		if (w->armed & PLAIT_WRITE)
			FD_SET(w->fd, writable);
		n = w->fd + 1;
	}
	return n;
}

/* Someone closed a descriptor that is watched; find out which. */
static void lose_bad_ones(struct plait_reactor *r, int n)
{
	for (int fd = 0; fd < n; fd++) {
		struct plait_watch *w = watch_find(r, fd);

		if (w != NULL && w->armed != 0 &&
		    plait_i_watch_check_open(r, fd) < 0)
			plait_i_watch_lost(r, w);
	}
}

static void deliver(struct plait_reactor *r, int n, const fd_set *readable,
		    const fd_set *writable)
{
	uint64_t last = r->watches.generations;

	for (int fd = 0; fd < n; fd++) {
		struct plait_watch *w = watch_find(r, fd);
		unsigned events =
			(FD_ISSET(fd, readable) ? PLAIT_READ | LOOP_HANGUP
						: 0) |
			(FD_ISSET(fd, writable) ? PLAIT_WRITE : 0);

		if (w == NULL || watch_generation(r, fd) > last)
			continue;
		/* Told once, as whatever makes it readable stays. */
		w->armed &= ~(events & LOOP_HANGUP);
		plait_i_watch_deliver(r, w, events);
	}
}

/* Rounded up, so that no wait ends just before a deadline; and cut. */
static struct timeval *to_timeval(int64_t timeout, struct timeval *tv)
{
	int64_t longest = (int64_t)INT_MAX * 1000;
	int64_t us = timeout / NS_PER_US + (timeout % NS_PER_US != 0);

	if (timeout < 0)
		return NULL;
	if (us > longest)
		us = longest;
	*tv = (struct timeval){ us / US_PER_S, us % US_PER_S };
	return tv;
}

static int wait_and_deliver(struct plait_reactor *r, int64_t timeout)
{
	fd_set readable, writable;
	struct timeval tv;
	int n = make_sets(r, &readable, &writable);
	int rc =
		select(n, &readable, &writable, NULL, to_timeval(timeout, &tv));

	plait_i_loop_woke(r);
	if (rc > 0) {
		deliver(r, n, &readable, &writable);
	} else if (rc < 0) {
		if (errno == EBADF)
			lose_bad_ones(r, n);
		else if (errno != EINTR && errno != ENOMEM)
			return -errno;
	}
	return 0;
}

const struct backend plait_i_backend_select = {
	.name = "select",
	.init = init,
	.done = done,
	.check = check,
	.update = update,
	.poll = wait_and_deliver,
	.now = plait_i_timer_clock,
};

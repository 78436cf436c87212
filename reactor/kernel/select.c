/*
 * The select backend, for systems without epoll.
 *
 * Each wait makes its sets from the table of watches, so the sets cannot
 * disagree with the table.  Only one number is kept between two waits: if a
 * wait has found more events than it had room for, the next wait begins to
 * look at that descriptor.
 */
#include <errno.h>
#include <limits.h>
#include <sys/select.h>

#include "lib/deferred.h"
#include "reactor/kernel/kernel.h"

enum { NS_PER_US = 1000, US_PER_S = 1000000 };

struct ready {
	fd_set readable, writable;
	int n; /* how many descriptors are looked at */
};

static int select_init(struct kernel *k)
{
	return 0;
}

static void select_done(struct kernel *k)
{
}

static int select_check(struct kernel *k, int fd)
{
	return fd < FD_SETSIZE ? plait_i_linux_check(k, fd) : -EMFILE;
}

static int select_update(struct kernel *k, struct watches *ws, int fd)
{
	/* Only when the watch begins; later the wait itself finds out. */
	return ws->slots[fd].armed == 0 ? select_check(k, fd) : 0;
}

static void select_make_sets(struct ready *ready, const struct watches *ws)
{
	ready->n = 0;
	FD_ZERO(&ready->readable);
	FD_ZERO(&ready->writable);
	for (int fd = 0; (size_t)fd < ws->n; fd++) {
		const struct watch_slot *s = watch_find(ws, fd);

		if (s == NULL)
			continue;
		if (s->armed & (PLAIT_WATCH_READ | WATCH_HANGUP))
			FD_SET(fd, &ready->readable);
		if (s->armed & PLAIT_WATCH_WRITE)
			FD_SET(fd, &ready->writable);
		ready->n = fd + 1;
	}
}

/* Somebody has closed a descriptor that is watched: finds out which. */
static void select_lose_bad_ones(struct kernel *k, struct watches *ws, int n)
{
	for (int fd = 0; fd < n; fd++) {
		struct watch_slot *s = watch_find(ws, fd);

		if (s != NULL && s->armed != 0 &&
		    plait_i_linux_check(k, fd) < 0)
			watch_lost(ws, s);
	}
}

static unsigned select_readiness(const struct ready *ready, int fd)
{
	return (FD_ISSET(fd, &ready->readable) ? PLAIT_WATCH_READ | WATCH_HANGUP
					       : 0) |
	       (FD_ISSET(fd, &ready->writable) ? PLAIT_WATCH_WRITE : 0);
}

/*
 * Gives the descriptors that are ready, first those from *first on, then those
 * before it, and returns how many.  If there is no room for all, *first becomes
 * the first that is left, for the next wait.
 */
static int select_collect(const struct watches *ws, const struct ready *ready,
			  int64_t *first, struct kernel_event *ret)
{
	int begin = (int)*first, count = 0;

	*first = 0;
	for (int i = 0; i < ready->n; i++) {
		int fd = (begin + i) % ready->n;
		unsigned events = select_readiness(ready, fd);

		if (events == 0)
			continue;
		if (count == KERNEL_BATCH) {
			*first = fd;
			break;
		}
		/* A hang-up is told once, because it stays. */
		ws->slots[fd].armed &= (uint8_t) ~(events & WATCH_HANGUP);
		ret[count++] = (struct kernel_event){
			.fd = fd,
			.events = events,
			.generation = ws->slots[fd].generation,
		};
	}
	return count;
}

/* Rounded up, so that no wait ends just before a deadline; and cut. */
static struct timeval *select_timeval(int64_t timeout, struct timeval *tv)
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

static int select_wait(struct kernel *k, struct watches *ws, int64_t timeout,
		       struct kernel_event *ret)
{
	struct ready ready;
	struct timeval tv;
	int rc;

	select_make_sets(&ready, ws);
	rc = select(ready.n, &ready.readable, &ready.writable, NULL,
		    select_timeval(timeout, &tv));
	plait_i_deferred_set_clock(plait_i_linux_clock);
	if (rc > 0)
		return select_collect(ws, &ready, &k->number, ret);
	if (rc < 0 && errno == EBADF)
		select_lose_bad_ones(k, ws, ready.n);
	else if (rc < 0 && errno != EINTR && errno != ENOMEM)
		return -errno;
	return 0;
}

const struct kernel_ops plait_i_kernel_select = {
	.name = "select",
	.calls = &plait_i_linux_calls,
	.init = select_init,
	.done = select_done,
	.check = select_check,
	.update = select_update,
	.wait = select_wait,
};

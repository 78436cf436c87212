/*
 * The epoll backend.
 *
 * epoll watches the open file, not the number of its descriptor.  It never
 * forgets a file that is still open elsewhere, in a forked child or as a
 * duplicate.  So each event carries the generation of its registration; an
 * event whose registration is over is dropped.  If such an event comes in a
 * later batch, too, it would come for ever.  Then the registration is removed
 * by the number of its descriptor; if that number is closed or belongs to
 * another file by now, the whole set is built anew.
 *
 * If there is no descriptor for the new set, the old set is closed first, so
 * that its descriptor can be used.  As long as there is no new set, each wait
 * begins with a short sleep, so that the loop does not spin.
 *
 * A wait for a timer is as long as it has to be, to the nanosecond.  That is
 * epoll_pwait2(), of Linux 5.11.  It is called by its number: few versions of
 * libc have it, and the kernel is the one to ask.  If the kernel does not know
 * the number, or a sandbox forbids it, with whatever error, waits are rounded
 * up to milliseconds.  An error of the set itself comes again in such a wait.
 */
#ifdef HAVE_EPOLL
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/deferred.h"
#include "reactor/kernel/kernel.h"

enum { NS_PER_S = 1000000000, NS_PER_MS = 1000000, REST_MS = 20 };

struct epoll {
	int fd;		/* -1: there is none now */
	bool is_broken; /* there is none, or it reports what is over */
	bool is_coarse; /* there is no epoll_pwait2() */
};

static struct epoll *epoll_of(struct kernel *k)
{
	return k->state;
}

static int epoll_make_set(void)
{
	return plait_i_descriptor(epoll_create1(EPOLL_CLOEXEC));
}

static int epoll_init(struct kernel *k)
{
	struct epoll *ep = calloc(1, sizeof(*ep));
	int err;

	if (ep == NULL)
		return -ENOMEM;
	ep->fd = epoll_make_set();
	if (ep->fd < 0) {
		err = errno;
		free(ep);
		return -err;
	}
	k->state = ep;
	return 0;
}

/* There is no set until the next one is made. */
static void epoll_close_set(struct epoll *ep)
{
	if (ep->fd >= 0)
		close(ep->fd);
	ep->fd = -1;
}

static void epoll_done(struct kernel *k)
{
	epoll_close_set(epoll_of(k));
	free(k->state);
	k->state = NULL;
}

/* A regular file is always ready, as with select(), and never hangs up. */
static bool epoll_is_apart(const struct watch_slot *s)
{
	return (s->events & (PLAIT_WATCH_READ | PLAIT_WATCH_WRITE)) != 0;
}

static struct epoll_event epoll_registration(const struct watches *ws, int fd)
{
	const struct watch_slot *s = &ws->slots[fd];

	return (struct epoll_event){
		.events = (s->events & PLAIT_WATCH_READ ? EPOLLIN : 0) |
			  (s->events & PLAIT_WATCH_WRITE ? EPOLLOUT : 0) |
			  (s->events & (WATCH_HANGUP | WATCH_END) ? EPOLLRDHUP
								  : 0) |
			  /* A hang-up lasts.  If nothing else is waited
			     for, it is told once. */
			  (s->events == WATCH_HANGUP ? (uint32_t)EPOLLET : 0),
		.data.u64 = (uint64_t)s->generation << 32 | (uint32_t)fd,
	};
}

static int epoll_descriptor(const struct epoll_event *e)
{
	return (int)(uint32_t)e->data.u64;
}

/* Its registration is over. */
static bool epoll_is_stale(const struct watches *ws,
			   const struct epoll_event *e)
{
	const struct watch_slot *s = watch_find(ws, epoll_descriptor(e));

	return s == NULL || s->generation != (uint32_t)(e->data.u64 >> 32);
}

/* Adds or modifies, or the opposite if the kernel says that it must. */
static int epoll_control(int epoll_fd, int op, int fd, struct epoll_event *e)
{
	if (epoll_ctl(epoll_fd, op, fd, e) == 0)
		return 0;
	if (op == EPOLL_CTL_ADD && errno == EEXIST)
		op = EPOLL_CTL_MOD;
	else if (op == EPOLL_CTL_MOD && errno == ENOENT)
		op = EPOLL_CTL_ADD;
	else
		return -errno;
	return epoll_ctl(epoll_fd, op, fd, e) == 0 ? 0 : -errno;
}

static int epoll_update(struct kernel *k, struct watches *ws, int fd)
{
	struct watch_slot *s = &ws->slots[fd];
	struct epoll_event e = epoll_registration(ws, fd);
	int set = epoll_of(k)->fd, rc;

	if (s->events == 0) {
		/* Errors and hang-ups cannot be masked, so the descriptor is
		   taken out of the set.  It may be out already. */
		if (s->apart)
			watch_set_apart(ws, s, WATCH_NOT_APART);
		else
			epoll_ctl(set, EPOLL_CTL_DEL, fd, &e);
		return 0;
	}
	if (s->apart) {
		if (!epoll_is_apart(s))
			watch_set_apart(ws, s, WATCH_NOT_APART);
		return 0;
	}
	/* Without a set, it is registered when the next set is made. */
	if (set < 0)
		return 0;
	rc = epoll_control(set, s->armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd,
			   &e);
	if (rc != -EPERM)
		return rc;
	if (epoll_is_apart(s))
		watch_set_apart(ws, s, WATCH_APART);
	return 0;
}

/*
 * Registers all watches in a new set.  Returns 0, or -errno if there is no
 * memory for it.  If a descriptor cannot be registered any more, somebody has
 * closed it: its watch is lost.
 */
static int epoll_register_all(int epoll_fd, struct watches *ws)
{
	for (int fd = 0; (size_t)fd < ws->n; fd++) {
		struct watch_slot *s = watch_find(ws, fd);
		struct epoll_event e;
		int rc;

		if (s == NULL || s->armed == 0 || s->apart)
			continue;
		e = epoll_registration(ws, fd);
		rc = epoll_control(epoll_fd, EPOLL_CTL_ADD, fd, &e);
		if (rc == -ENOMEM || rc == -ENOSPC)
			return rc;
		if (rc < 0 && (rc != -EPERM || epoll_is_apart(s)))
			watch_lost(ws, s);
	}
	return 0;
}

/* Returns false if there is no descriptor or no memory for a new set now. */
static bool epoll_rebuild(struct epoll *ep, struct watches *ws)
{
	int fd = epoll_make_set();

	if (fd < 0) {
		epoll_close_set(ep);
		fd = epoll_make_set();
	}
	if (fd < 0)
		return false;
	if (epoll_register_all(fd, ws) < 0) {
		close(fd);
		return false;
	}
	epoll_close_set(ep);
	ep->fd = fd;
	return true;
}

/* Removes a registration that nobody has stopped; true if that worked. */
static bool epoll_remove_orphan(struct epoll *ep, const struct watches *ws,
				struct epoll_event *e)
{
	int fd = epoll_descriptor(e);

	return watch_find(ws, fd) == NULL &&
	       epoll_ctl(ep->fd, EPOLL_CTL_DEL, fd, e) == 0;
}

static unsigned epoll_readiness(uint32_t events)
{
	unsigned end = events & EPOLLRDHUP ? WATCH_HANGUP | WATCH_END : 0;

	if (events & (EPOLLERR | EPOLLHUP))
		return PLAIT_WATCH_READ | PLAIT_WATCH_WRITE | WATCH_HANGUP |
		       end;
	return (events & EPOLLIN ? PLAIT_WATCH_READ : 0) |
	       (events & EPOLLOUT ? PLAIT_WATCH_WRITE : 0) | end;
}

/* Gives the events that are not stale, and returns how many. */
static int epoll_translate(const struct watches *ws,
			   const struct epoll_event *events, int n,
			   struct kernel_event *ret)
{
	int count = 0;

	for (int i = 0; i < n; i++) {
		if (epoll_is_stale(ws, &events[i]))
			continue;
		ret[count++] = (struct kernel_event){
			.fd = epoll_descriptor(&events[i]),
			.events = epoll_readiness(events[i].events),
			.generation = (uint32_t)(events[i].data.u64 >> 32),
		};
	}
	return count;
}

/*
 * If the number of an orphan belongs to another registration by now, the set
 * must be built anew.
 */
static OUT_OF_LINE void epoll_remove_orphans(struct epoll *ep,
					     struct watches *ws,
					     struct epoll_event *events, int n)
{
	for (int i = 0; i < n; i++) {
		if (!epoll_is_stale(ws, &events[i]) ||
		    epoll_remove_orphan(ep, ws, &events[i]))
			continue;
		ep->is_broken = !epoll_rebuild(ep, ws);
		return;
	}
}

/* Rounded up, so that no wait ends just before a deadline. */
static int epoll_milliseconds(int64_t timeout)
{
	int64_t ms;

	if (timeout < 0)
		return -1;
	ms = timeout / NS_PER_MS + (timeout % NS_PER_MS != 0);
	return ms < INT_MAX ? (int)ms : INT_MAX;
}

#ifdef SYS_epoll_pwait2
/* It is there if the program was compiled with this sanitizer, which does not
   know what a call by its number writes. */
void __msan_unpoison(const volatile void *a, size_t size) __attribute__((weak));

/* Cut as the other wait is.  The kernel takes two numbers of 64 bits, even
   where those of libc have 32. */
static int epoll_wait_exactly(struct epoll *ep, struct epoll_event *events,
			      int64_t timeout)
{
	int64_t longest = (int64_t)INT_MAX * NS_PER_MS;
	int64_t ns = timeout < longest ? timeout : longest;
	int64_t ts[2] = { ns / NS_PER_S, ns % NS_PER_S };
	int n = (int)syscall(SYS_epoll_pwait2, ep->fd, events, KERNEL_BATCH, ts,
			     NULL, (size_t)0);

	if (n > 0 && __msan_unpoison != NULL)
		__msan_unpoison(events, (size_t)n * sizeof(*events));
	return n;
}
#else
static int epoll_wait_exactly(struct epoll *ep, struct epoll_event *events,
			      int64_t timeout)
{
	errno = ENOSYS;
	return -1;
}
#endif

/* Only a wait for a timer has to be exact. */
static int epoll_wait_once(struct epoll *ep, struct epoll_event *events,
			   int64_t timeout)
{
	if (timeout > 0 && !ep->is_coarse) {
		int n = epoll_wait_exactly(ep, events, timeout);

		ep->is_coarse = n < 0 && errno != EINTR;
		if (!ep->is_coarse)
			return n;
	}
	return epoll_wait(ep->fd, events, KERNEL_BATCH,
			  epoll_milliseconds(timeout));
}

/* Sleeps for a moment, before the next try to make a set. */
static void epoll_rest(int64_t timeout)
{
	int ms = epoll_milliseconds(timeout);
	struct timeval tv = { 0 };

	tv.tv_usec = (ms >= 0 && ms < REST_MS ? ms : REST_MS) * 1000;
	select(0, NULL, NULL, NULL, &tv);
	plait_i_deferred_set_clock(plait_i_linux_clock);
}

/* Before a wait on a broken set.  Returns false if there is still no set. */
static OUT_OF_LINE bool epoll_mend(struct epoll *ep, struct watches *ws,
				   int64_t *timeout)
{
	if (ep->fd >= 0 || !epoll_rebuild(ep, ws)) {
		epoll_rest(*timeout);
		*timeout = 0;
	}
	ep->is_broken = ep->fd < 0;
	return !ep->is_broken;
}

static int epoll_wait_for(struct kernel *k, struct watches *ws, int64_t timeout,
			  struct kernel_event *ret)
{
	struct epoll_event events[KERNEL_BATCH];
	struct epoll *ep = epoll_of(k);
	int n, count;

	if (ep->is_broken && !epoll_mend(ep, ws, &timeout))
		return 0;
	n = epoll_wait_once(ep, events, timeout);
	plait_i_deferred_set_clock(plait_i_linux_clock);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	count = epoll_translate(ws, events, n, ret);
	/* An event that was stale before this batch will come again. */
	if (count < n)
		epoll_remove_orphans(ep, ws, events, n);
	return count;
}

const struct kernel_ops plait_i_kernel_epoll = {
	.name = "epoll",
	.calls = &plait_i_linux_calls,
	.init = epoll_init,
	.done = epoll_done,
	.check = plait_i_linux_check,
	.update = epoll_update,
	.wait = epoll_wait_for,
};
#endif

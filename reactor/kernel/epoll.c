/*
 * The epoll backend.
 *
 * epoll follows the open file, not its number, and never forgets one that is
 * held open elsewhere, in a forked child or as a duplicate.  So each event
 * carries the generation of its registration, and one whose registration is
 * over finds nobody.  If such an event comes in a later batch, too, it would
 * come for ever: then what is registered is taken out by its number, and if
 * the number leads nowhere any more, the whole set is built anew.
 *
 * Without descriptors the old set is closed first, so that its own descriptor
 * serves for the new one.  As long as there is no new one, or the old one could
 * not be given up, the loop rests a little in each turn: late, but not a spin.
 */
#ifdef HAVE_EPOLL
#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

#include "reactor/loop/reactor.h"

enum { BATCH = 256, NS_PER_MS = 1000000, REST_MS = 20 };

static int init(struct plait_reactor *r)
{
	r->epoll_fd = plait_i_descriptor(epoll_create1(EPOLL_CLOEXEC));
	return r->epoll_fd < 0 ? -errno : 0;
}

/* Until the next one, there is none. */
static void close_set(struct plait_reactor *r)
{
	if (r->epoll_fd >= 0)
		close(r->epoll_fd);
	r->epoll_fd = -1;
}

static void done(struct plait_reactor *r)
{
	close_set(r);
}

static struct epoll_event registration(struct plait_reactor *r,
				       const struct plait_watch *w)
{
	uint64_t generation = watch_generation(r, w->fd);

	return (struct epoll_event){
		.events = (w->events & PLAIT_READ ? EPOLLIN : 0) |
			  (w->events & PLAIT_WRITE ? EPOLLOUT : 0) |
			  (w->events & LOOP_HANGUP ? EPOLLRDHUP : 0) |
			  /* A hang-up lasts.  Alone, it is told once. */
			  (w->events == LOOP_HANGUP ? (uint32_t)EPOLLET : 0),
		.data.u64 = generation << 32 | (uint32_t)w->fd,
	};
}

/* The one who waits for this event, or NULL if it is stale. */
static struct plait_watch *find(struct plait_reactor *r,
				const struct epoll_event *e)
{
	int fd = (int)(uint32_t)e->data.u64;
	struct plait_watch *w = watch_find(r, fd);
	uint32_t generation = (uint32_t)(e->data.u64 >> 32);

	if (w == NULL || (uint32_t)watch_generation(r, fd) != generation)
		return NULL;
	return w;
}

/* The operation, or its opposite if the kernel knows better. */
static int control(int epoll_fd, int op, int fd, struct epoll_event *e)
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

static int update(struct plait_reactor *r, struct plait_watch *w)
{
	struct epoll_event e = registration(r, w);
	int rc;

	if (w->events == 0) {
		/* Errors and hang-ups cannot be masked, so it has to go.  If
		   it has gone already, all the better. */
		if (plait_list_is_linked(&w->link))
			plait_list_remove(&w->link);
		else
			epoll_ctl(r->epoll_fd, EPOLL_CTL_DEL, w->fd, &e);
		return 0;
	}
	/* What is not registered now will be with all others. */
	if (plait_list_is_linked(&w->link) || r->epoll_fd < 0)
		return 0;
	rc = control(r->epoll_fd, w->armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
		     w->fd, &e);
	if (rc != -EPERM)
		return rc;
	/* A regular file: ready always, as select() has it. */
	plait_i_watch_always(r, w);
	return 0;
}

/*
 * Registers everybody in a new set; 0, or -errno if there is no memory for it.
 * A number that cannot be registered any more is closed, or another file's.
 */
static int register_all(struct plait_reactor *r, int epoll_fd)
{
	for (size_t i = 0; i < r->watches.n; i++) {
		struct plait_watch *w = r->watches.slots[i].watch;
		struct epoll_event e;
		int rc;

		if (w == NULL || w->armed == 0 ||
		    plait_list_is_linked(&w->link))
			continue;
		e = registration(r, w);
		rc = control(epoll_fd, EPOLL_CTL_ADD, w->fd, &e);
		if (rc == -ENOMEM || rc == -ENOSPC)
			return rc;
		if (rc < 0)
			plait_i_watch_lost(r, w);
	}
	return 0;
}

/* False if there are no descriptors, or no memory, for that now. */
static bool rebuild(struct plait_reactor *r)
{
	int epoll_fd = plait_i_descriptor(epoll_create1(EPOLL_CLOEXEC));

	if (epoll_fd < 0) {
		close_set(r);
		epoll_fd = plait_i_descriptor(epoll_create1(EPOLL_CLOEXEC));
	}
	if (epoll_fd < 0)
		return false;
	if (register_all(r, epoll_fd) < 0) {
		close(epoll_fd);
		return false;
	}
	close_set(r);
	r->epoll_fd = epoll_fd;
	return true;
}

/* True if what was not stopped properly, and is reported still, is out. */
static bool remove_orphan(struct plait_reactor *r, struct epoll_event *e)
{
	int fd = (int)(uint32_t)e->data.u64;

	return watch_find(r, fd) == NULL &&
	       epoll_ctl(r->epoll_fd, EPOLL_CTL_DEL, fd, e) == 0;
}

/*
 * Before any callback of the batch: what is stale now was stale before.  Where
 * the number belongs to another registration by now, the set must be rebuilt.
 * False if that was not possible.
 */
static bool remove_orphans(struct plait_reactor *r, struct epoll_event *events,
			   int n)
{
	for (int i = 0; i < n; i++) {
		if (find(r, &events[i]) == NULL &&
		    !remove_orphan(r, &events[i]))
			return rebuild(r);
	}
	return true;
}

static unsigned readiness(uint32_t events)
{
	if (events & (EPOLLERR | EPOLLHUP))
		return PLAIT_READ | PLAIT_WRITE | LOOP_HANGUP;
	return (events & EPOLLIN ? PLAIT_READ : 0) |
	       (events & EPOLLOUT ? PLAIT_WRITE : 0) |
	       (events & EPOLLRDHUP ? LOOP_HANGUP : 0);
}

/* Rounded up, so that no wait ends just before a deadline. */
static int milliseconds(int64_t timeout)
{
	int64_t ms;

	if (timeout < 0)
		return -1;
	ms = timeout / NS_PER_MS + (timeout % NS_PER_MS != 0);
	return ms < INT_MAX ? (int)ms : INT_MAX;
}

/* What cannot be waited for is looked for again, but not at once. */
static void rest(struct plait_reactor *r, int64_t timeout)
{
	int ms = milliseconds(timeout);
	struct timeval tv = { 0 };

	tv.tv_usec = (ms >= 0 && ms < REST_MS ? ms : REST_MS) * 1000;
	select(0, NULL, NULL, NULL, &tv);
	plait_i_loop_woke(r);
}

static int wait_and_deliver(struct plait_reactor *r, int64_t timeout)
{
	struct epoll_event events[BATCH];
	bool is_clean;
	int n;

	if (r->epoll_fd < 0 && !rebuild(r)) {
		rest(r, timeout);
		return 0;
	}
	n = epoll_wait(r->epoll_fd, events, BATCH, milliseconds(timeout));
	plait_i_loop_woke(r);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	is_clean = remove_orphans(r, events, n);
	for (int i = 0; i < n; i++) {
		struct plait_watch *w = find(r, &events[i]);

		if (w != NULL)
			plait_i_watch_deliver(r, w,
					      readiness(events[i].events));
	}
	if (!is_clean)
		rest(r, timeout);
	return 0;
}

const struct backend plait_i_backend_epoll = {
	.name = "epoll",
	.init = init,
	.done = done,
	.check = plait_i_watch_check_open,
	.update = update,
	.poll = wait_and_deliver,
	.now = plait_i_timer_clock,
};
#endif

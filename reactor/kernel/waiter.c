/*
 * Threads that wait for children: see waiter.h.
 *
 * The thread and the loop share the struct.  Whoever of them is the last to
 * leave frees it: under the lock, the thread says that it has ended, and the
 * loop that it has left.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reactor/kernel/kernel.h"
#include "reactor/kernel/waiter.h"

struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t told;
	pthread_t thread;
	pid_t pid; /* 0: not told yet; -1: there is no child */
	int fd;
	bool has_ended; /* the thread */
	bool is_left;	/* by the loop */
};

static void waiter_destroy(struct waiter *w)
{
	close(w->fd);
	pthread_cond_destroy(&w->told);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static pid_t waiter_get_child(struct waiter *w)
{
	pid_t pid;

	pthread_mutex_lock(&w->lock);
	while (w->pid == 0)
		pthread_cond_wait(&w->told, &w->lock);
	pid = w->pid;
	pthread_mutex_unlock(&w->lock);
	return pid;
}

/* If somebody else has waited for the child, that is its end, too. */
static void waiter_wait_for(pid_t pid)
{
	siginfo_t info;

	while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) < 0 &&
	       errno == EINTR)
		;
}

static void *waiter_main(void *arg)
{
	static const uint64_t one = 1;
	struct waiter *w = arg;
	pid_t pid = waiter_get_child(w);
	bool is_left;

	if (pid > 0)
		waiter_wait_for(pid);
	pthread_mutex_lock(&w->lock);
	w->has_ended = true;
	is_left = w->is_left;
	/* Nothing can be wrong with this: the counter is 0. */
	while (write(w->fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	pthread_mutex_unlock(&w->lock);
	if (is_left)
		waiter_destroy(w);
	return NULL;
}

/* No handler of the program may run there.  0 or an errno. */
static int waiter_begin(struct waiter *w)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	err = pthread_sigmask(SIG_SETMASK, &all, &before);
	if (err != 0)
		return err;
	err = pthread_create(&w->thread, NULL, waiter_main, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

struct waiter *plait_i_waiter_new(void)
{
	struct waiter *w = calloc(1, sizeof(*w));
	int err;

	if (w == NULL)
		return NULL;
	w->fd = plait_i_descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (w->fd < 0) {
		free(w);
		return NULL;
	}
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->told, NULL);
	err = waiter_begin(w);
	if (err == 0)
		return w;
	waiter_destroy(w);
	errno = err;
	return NULL;
}

int plait_i_waiter_fd(const struct waiter *w)
{
	return w->fd;
}

void plait_i_waiter_tell(struct waiter *w, pid_t pid)
{
	pthread_mutex_lock(&w->lock);
	w->pid = pid;
	pthread_cond_signal(&w->told);
	pthread_mutex_unlock(&w->lock);
}

/* Its lock may be held by a thread that is in the parent only. */
static void waiter_forget(struct waiter *w)
{
	close(w->fd);
	free(w);
}

/* False: the thread goes on, and may have freed w by now. */
static bool waiter_leave(struct waiter *w)
{
	bool has_ended;

	pthread_mutex_lock(&w->lock);
	if (w->pid == 0) {
		w->pid = -1;
		pthread_cond_signal(&w->told);
	}
	has_ended = w->has_ended || w->pid < 0;
	w->is_left = !has_ended;
	pthread_mutex_unlock(&w->lock);
	return has_ended;
}

void plait_i_waiter_free(struct waiter *w, bool is_forked)
{
	pthread_t thread = w->thread;

	if (is_forked) {
		waiter_forget(w);
		return;
	}
	if (waiter_leave(w)) {
		pthread_join(thread, NULL);
		waiter_destroy(w);
	} else {
		pthread_detach(thread);
	}
}

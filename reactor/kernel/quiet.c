/*
 * Writing without SIGPIPE: see quiet.h.
 *
 * A program may have any action for SIGPIPE, and only some calls on sockets
 * have a flag that keeps the kernel from raising it.  The signal of a broken
 * pipe is for the thread that writes.  So this thread blocks it for the time of
 * the write, and then takes the signal that waits.
 */
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "reactor/kernel/quiet.h"

void plait_i_quiet_begin(struct quiet *q)
{
	sigemptyset(&q->pipe);
	sigaddset(&q->pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &q->pipe, &q->before);
}

/* If it was not blocked before, the one that waits now is of this write. */
static void quiet_take_signal(const struct quiet *q)
{
	static const struct timespec at_once;

	if (sigismember(&q->before, SIGPIPE))
		return;
	while (sigtimedwait(&q->pipe, NULL, &at_once) < 0 && errno == EINTR)
		;
}

void plait_i_quiet_end(const struct quiet *q, bool is_broken)
{
	int saved = errno;

	if (is_broken)
		quiet_take_signal(q);
	pthread_sigmask(SIG_SETMASK, &q->before, NULL);
	errno = saved;
}

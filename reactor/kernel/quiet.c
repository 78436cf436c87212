/*
 * Writing without SIGPIPE and SIGXFSZ: see quiet.h.
 *
 * A program may have any action for these, by default they end it, and only
 * some calls on sockets have a flag that keeps the kernel from raising SIGPIPE.
 * The signal of a broken pipe is for the thread that writes, and so is that of
 * a file that would become longer than RLIMIT_FSIZE allows.  So this thread
 * blocks both for the time of the write, and then takes the signal that waits.
 */
#include <pthread.h>
#include <time.h>

#include "reactor/kernel/quiet.h"

void plait_i_quiet_begin(struct quiet *q)
{
	sigset_t both;

	sigemptyset(&both);
	sigaddset(&both, SIGPIPE);
	sigaddset(&both, SIGXFSZ);
	pthread_sigmask(SIG_BLOCK, &both, &q->before);
}

/* If it was not blocked before, the one that waits now is of this write. */
static void quiet_take_signal(const struct quiet *q, int number)
{
	static const struct timespec at_once;
	sigset_t one;

	if (sigismember(&q->before, number))
		return;
	sigemptyset(&one);
	sigaddset(&one, number);
	while (sigtimedwait(&one, NULL, &at_once) < 0 && errno == EINTR)
		;
}

void plait_i_quiet_end(const struct quiet *q, int number)
{
	int saved = errno;

	if (number != 0)
		quiet_take_signal(q, number);
	pthread_sigmask(SIG_SETMASK, &q->before, NULL);
	errno = saved;
}

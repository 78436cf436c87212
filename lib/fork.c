/*
 * Counts forks, so that no call asks for the number of the process.
 */
#include <pthread.h>

#include "lib/fork.h"

atomic_uint plait_i_fork_counter, plait_i_fork_begun_counter;

/* Counts before the child exists, so that no other thread misses it. */
static void count_begun(void)
{
	atomic_fetch_add(&plait_i_fork_begun_counter, 1);
}

static void count_fork(void)
{
	atomic_fetch_add(&plait_i_fork_counter, 1);
}

/*
 * Two threads may come here at the same time; one of them may go on a moment
 * too early.
 */
int plait_i_fork_watch(void)
{
	static atomic_bool watching;
	int rc = 0;

	if (!atomic_exchange(&watching, true))
		rc = -pthread_atfork(count_begun, NULL, count_fork);
	if (rc < 0)
		atomic_store(&watching, false);
	return rc;
}

/*
 * Counting forks, so that nobody has to ask for the process's number.
 */
#include <pthread.h>

#include "lib/fork.h"

atomic_uint plait_i_fork_counter, plait_i_fork_begun_counter;

/* Before the child is there, so that no other thread overlooks it. */
static void count_begun(void)
{
	atomic_fetch_add(&plait_i_fork_begun_counter, 1);
}

static void count_fork(void)
{
	atomic_fetch_add(&plait_i_fork_counter, 1);
}

/* Two threads may come at once; one of them may go on a moment too early. */
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

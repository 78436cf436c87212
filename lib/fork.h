/*
 * Forks: what a process has made, and what it has inherited from its parent.
 *
 * A child made by fork() has copies of all that its parent had.  It may free
 * them, but only the parent reports them.  So an object remembers how many
 * forks there had been when it was made.
 */
#ifndef LIB_FORK_H
#define LIB_FORK_H

#include <stdatomic.h>
#include <stdbool.h>

extern atomic_uint plait_i_fork_counter, plait_i_fork_begun_counter;

/*
 * Counts forks from now on.  It is called before the first object is made.
 * Returns 0 or -errno; calling it again does nothing.
 */
int plait_i_fork_watch(void);

/*
 * The number of forks that this process has seen; a child has seen one more
 * than its parent.
 */
static inline unsigned fork_count(void)
{
	return atomic_load_explicit(&plait_i_fork_counter,
				    memory_order_relaxed);
}

/*
 * Returns true if an ancestor has made an object that was made after this many
 * forks.
 */
static inline bool fork_inherited(unsigned count)
{
	return count != fork_count();
}

/*
 * Returns how many forks this process and its ancestors have begun.  Children
 * made since then may hold what this process held.
 */
static inline unsigned fork_begun_count(void)
{
	return atomic_load_explicit(&plait_i_fork_begun_counter,
				    memory_order_relaxed);
}

#endif

/*
 * Forks: what a process has made, and what it has inherited from its parent.
 *
 * A child made by fork() has copies of all that its parent had.  It may free
 * them, but what there is to report of them is the parent's to report.  So an
 * object remembers how many forks there had been when it was made.
 */
#ifndef LIB_FORK_H
#define LIB_FORK_H

#include <stdatomic.h>
#include <stdbool.h>

extern atomic_uint plait_i_fork_counter, plait_i_fork_begun_counter;

/*
 * Counts forks from now on; called before the first object is made.  0 or
 * -errno; calling it again does nothing.
 */
int plait_i_fork_watch(void);

/* A child has seen one fork more than its parent. */
static inline unsigned fork_count(void)
{
	return atomic_load_explicit(&plait_i_fork_counter,
				    memory_order_relaxed);
}

/* True for what was made when there had been that many: by an ancestor. */
static inline bool fork_inherited(unsigned count)
{
	return count != fork_count();
}

/*
 * How many forks this process and its ancestors have begun.  Children made
 * since then may hold what this process held.
 */
static inline unsigned fork_begun_count(void)
{
	return atomic_load_explicit(&plait_i_fork_begun_counter,
				    memory_order_relaxed);
}

#endif

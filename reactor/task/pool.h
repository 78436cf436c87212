/*
 * What the rest of the library may ask of a pool, and a program may not.
 */
#ifndef REACTOR_POOL_H
#define REACTOR_POOL_H

#include <plait/pool.h>

/*
 * A shutdown neither loses the jobs of the pool nor waits for them: for jobs of
 * what a shutdown leaves alone.
 */
void plait_i_pool_ignore_shutdowns(struct plait_pool *pool);

#endif

/*
 * A descriptor that is readable when a child has ended, on kernels that have no
 * such descriptors themselves: a thread waits for the child.
 *
 * Why a thread, and no handler for SIGCHLD?  That signal is the program's: it
 * may ignore it, block it, read it from a signalfd(), or set another handler at
 * any time, and then nobody would ever hear of the child.  The thread waits for
 * this child alone, and leaves its status where it is.
 */
#ifndef REACTOR_WAITER_H
#define REACTOR_WAITER_H

#include <stdbool.h>
#include <sys/types.h>

struct waiter;

/* Makes the thread, which waits to be told of its child.  NULL with errno. */
struct waiter *plait_i_waiter_new(void);

/* The descriptor; it is the waiter's. */
int plait_i_waiter_fd(const struct waiter *w);

/* Tells which child to wait for, once: one that nobody else waits for. */
void plait_i_waiter_tell(struct waiter *w, pid_t pid);

/*
 * Ends it.  It needs no child to be told of before.  A thread whose child still
 * runs goes on, and frees the waiter when the child has ended.  In a forked
 * child, where there is no thread, is_forked is true.
 */
void plait_i_waiter_free(struct waiter *w, bool is_forked);

#endif

/*
 * Children that this process has not made: three calls of child.h.
 */
#ifndef REACTOR_ORPHANS_H
#define REACTOR_ORPHANS_H

#include <signal.h>

#include "reactor/kernel/kernel.h"

size_t plait_i_linux_ended(struct kernel *k, pid_t **ret);
int plait_i_linux_reap_stranger(struct kernel *k, pid_t pid, siginfo_t *ret);
int plait_i_linux_adopt_orphans(struct kernel *k, bool wants, bool *was);

#endif

/*
 * Writing without SIGPIPE and SIGXFSZ, for calls that have no flag for that.
 */
#ifndef REACTOR_QUIET_H
#define REACTOR_QUIET_H

#include <errno.h>
#include <signal.h>

struct quiet {
	sigset_t before;
};

/*
 * Between the two calls neither a broken pipe nor a file that may not become
 * longer raises a signal in this thread.  The second keeps errno; number is the
 * signal that may have been raised, also when a part was written before; 0:
 * none.
 */
void plait_i_quiet_begin(struct quiet *q);
void plait_i_quiet_end(const struct quiet *q, int number);

/* What a write that fails with err has raised; 0: nothing. */
static inline int quiet_number(int err)
{
	return err == EPIPE ? SIGPIPE : err == EFBIG ? SIGXFSZ : 0;
}

#endif

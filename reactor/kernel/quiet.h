/*
 * Writing without SIGPIPE, for calls that have no flag for that.
 */
#ifndef REACTOR_QUIET_H
#define REACTOR_QUIET_H

#include <signal.h>
#include <stdbool.h>

struct quiet {
	sigset_t pipe, before;
};

/* Between the two calls a broken pipe raises no signal in this thread.  The
   second keeps errno; is_broken says that the pipe may have broken, also when a
   part was written before. */
void plait_i_quiet_begin(struct quiet *q);
void plait_i_quiet_end(const struct quiet *q, bool is_broken);

#endif

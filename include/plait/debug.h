/*
 * Looking at a program that runs: what is pending, who waits for whom, and
 * what happened lately.
 *
 * The environment asks for it without a change to the program.  PLAIT_TRACE
 * names a file into which a reactor writes, when it is freed, what happened in
 * its thread: a regular one of the effective user, with one link; "%p" in it
 * is the process, and a second reactor adds ".2".  PLAIT_DEBUG is a list of
 * words, separated by commas: "quarantine" keeps freed deferreds, so that using
 * one aborts and says who made, freed and used it; "turns" prints a line for
 * each turn of the loop; "failures" lets the line for a failure that nobody
 * handled be followed by where it was made, what caused it and who cancelled.
 */
#ifndef PLAIT_DEBUG_H
#define PLAIT_DEBUG_H

#include <plait/buf.h>
#include <plait/reactor.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Appends what is pending in this thread, a line for each place that makes
 * deferreds, the most numerous first: how many, the age of the oldest in
 * seconds, and what waits for that one.  0, or as plait_buf_append().
 */
int plait_deferred_dump(struct plait_buf *b);

/*
 * Appends the graph of this thread's live deferreds for Graphviz: their
 * state, their callbacks, and who waits for whom.  0, or as
 * plait_buf_append().
 */
int plait_deferred_dot(struct plait_buf *b);

/*
 * From now on until r is freed, that signal makes r write
 * plait_deferred_dump() to standard error, in its next turn.  Asked again, it
 * is the new signal instead.  0; -EBUSY if another reactor has one, -EINVAL
 * for a signal that cannot be caught, -ECHILD after fork().
 */
int plait_reactor_dump_on_signal(struct plait_reactor *r, int signal);

/*
 * Records the last so many events of this thread: deferreds made, fired,
 * chained and cancelled; callbacks; connections opened, read, written and
 * closed.  0 is 65,536.  Starting again forgets what was recorded.  0 or
 * -ENOMEM.
 */
int plait_trace_start(size_t events);
void plait_trace_stop(void);

/*
 * Writes what was recorded to that file, as Chrome trace JSON: to be opened
 * in a trace viewer, which shows an arrow from each cancel to what it closed.
 * 0; -EINVAL if nothing is recorded; or -errno.
 */
int plait_trace_dump(const char *path);

#ifdef __cplusplus
}
#endif

#endif

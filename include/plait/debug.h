/*
 * How to look into a program that runs: what is pending, what waits for what,
 * and what has happened lately.
 *
 * Two environment variables do so without a change to the program.  PLAIT_TRACE
 * is the name of a file.  When a reactor is freed, it writes there what has
 * happened in its thread.  "%p" in the name stands for the process, and the
 * second reactor adds ".2".  The file must be a regular file of the effective
 * user with one link.
 *
 * PLAIT_DEBUG is a list of words, separated by commas.  "quarantine" keeps
 * freed deferreds, so that using a freed deferred aborts, with a message that
 * says where it was made, freed and used.  "turns" prints a line for each turn
 * of the loop.  "failures" prints, after the line for a failure that nobody
 * handled, where the failure was made, what caused it and who cancelled.
 * "malloc" takes each deferred from malloc(), so that tools see it; sanitizers
 * and Valgrind need not ask for this.
 */
#ifndef PLAIT_DEBUG_H
#define PLAIT_DEBUG_H

#include <plait/buf.h>
#include <plait/reactor.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Appends to b a line for each place where pending deferreds of this thread
 * were made, the place with most of them first.  The line says how many there
 * are, the age of the oldest in seconds, and what waits for the oldest.
 * Returns 0, or an error of plait_buf_append().
 */
int plait_deferred_dump(struct plait_buf *b);

/*
 * Appends to b the graph of all deferreds of this thread, for Graphviz: their
 * states, their callbacks, and what waits for what.  Returns 0, or an error of
 * plait_buf_append().
 */
int plait_deferred_dot(struct plait_buf *b);

/*
 * From now on until r is freed, when the process gets that signal, r writes the
 * text of plait_deferred_dump() to standard error, in its next turn.  Calling
 * this again replaces the signal.  Returns 0, -EBUSY if another reactor has
 * asked for a signal, -EINVAL if the signal cannot be caught, or -ECHILD after
 * fork().
 */
int plait_reactor_dump_on_signal(struct plait_reactor *r, int signal);

/*
 * Begins to record what happens in this thread: deferreds made, fired, chained
 * and cancelled; callbacks; connections opened, read, written and closed.  The
 * last so many events are kept; 0 means 65,536.  Starting again forgets what
 * was recorded.  Returns 0, or -ENOMEM.
 *
 * plait_trace_stop() ends the recording and frees its memory.  It does nothing
 * if nothing is recorded.
 */
int plait_trace_start(size_t events);
void plait_trace_stop(void);

/*
 * Writes what was recorded in this thread to the file path, as Chrome trace
 * JSON.  A trace viewer shows it, with an arrow from each cancel to each
 * connection that was closed because of it.  Returns 0, -EINVAL if nothing is
 * recorded, -ENOMEM, or the error of the system call that failed.
 */
int plait_trace_dump(const char *path);

#ifdef __cplusplus
}
#endif

#endif

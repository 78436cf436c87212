/*
 * The frame of a program whose main is a deferred.
 */
#ifndef PLAIT_REACT_H
#define PLAIT_REACT_H

#include <plait/deferred.h>
#include <plait/reactor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Begins the program's work and returns what it waits for. */
typedef plait_value plait_react_main(struct plait_reactor *r, void *arg);

/*
 * Makes a reactor, runs it, calls main in it, waits for what that returns,
 * stops, and returns the exit status: 0; 1 for a failure, which is told to
 * the unhandled hook, or if there is no reactor; n for plait_exit(n), which is
 * not told.  If a signal stops the reactor, or plait_reactor_stop() does, the
 * shutdown begins with cancelling what main returned and waits for its end; a
 * cancellation that comes of that is status 0.
 */
int plait_react(plait_react_main *main, void *arg);

/*
 * ExitError: makes plait_react() return that status.  Its detail is the
 * status, an int; see plait_failure_detail().
 */
extern const struct plait_error plait_error_exit;
plait_value plait_exit(int status, const char *where);
#define plait_exit(...) (plait_exit)(__VA_ARGS__, PLAIT_HERE)

#ifdef __cplusplus
}
#endif

#endif

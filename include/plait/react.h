/*
 * Runs a program whose main function returns a deferred.
 */
#ifndef PLAIT_REACT_H
#define PLAIT_REACT_H

#include <plait/deferred.h>
#include <plait/reactor.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Begins the work of the program, and returns a value, a failure, or with
 * plait_chain() the deferred of the work.
 */
typedef plait_value plait_react_main(struct plait_reactor *r, void *arg);

/*
 * Makes a reactor, runs it, calls main(r, arg) in it, waits until the deferred
 * that main has returned has fired, stops and frees the reactor, and returns
 * the exit status of the program: 0 for a value; n for the failure of
 * plait_exit(n); 1 for any other failure, or if the reactor could not be made
 * or run, which the unhandled hook is told.
 *
 * If a signal or plait_reactor_stop() stops the reactor, the shutdown begins by
 * cancelling the deferred that main has returned, and waits until it has fired;
 * if it fails with the cancellation, the status is 0.
 */
int plait_react(plait_react_main *main, void *arg);

/*
 * plait_exit() makes a failure of the kind ExitError, with which plait_react()
 * returns that status.  The detail of the failure is the status, an int; see
 * plait_failure_detail().
 */
extern const struct plait_error plait_error_exit;
plait_value plait_exit(int status, const char *where);
#define plait_exit(...) (plait_exit)(__VA_ARGS__, PLAIT_HERE)

/*
 * For the main of a server: gives a deferred, as a value to return, that fires
 * only when it is cancelled.  So the program runs until it is stopped.  With no
 * memory the deferred has failed.
 */
plait_value plait_forever(const char *where) PLAIT_MUST_USE;
#define plait_forever() (plait_forever)(PLAIT_HERE)

#ifdef __cplusplus
}
#endif

#endif

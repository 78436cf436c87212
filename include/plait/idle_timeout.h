/*
 * A timeout for a connection on which nothing happens (Twisted's
 * TimeoutMixin).  Embed it, zeroed, in the protocol.
 *
 * The library does not watch the connection.  The protocol says what counts,
 * by calling plait_idle_timeout_reset().
 */
#ifndef PLAIT_IDLE_TIMEOUT_H
#define PLAIT_IDLE_TIMEOUT_H

#include <plait/protocol.h>
#include <plait/timer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Called when the time is over; p is borrowed. */
typedef void plait_idle_timeout_func(struct plait_protocol *p);

struct plait_idle_timeout {
	plait_idle_timeout_func *timed_out; /* NULL: lose the connection */
	/* private */
	struct plait_protocol *protocol;
	double seconds, since, armed;
	struct plait_timer timer;
	uintptr_t reserved[2]; /* zero */
};

/*
 * Calls timed_out(p) once, when that many seconds have passed without a call
 * of plait_idle_timeout_reset().  p is borrowed and must be connected.  If the
 * timeout runs already, it starts anew with the new time.  seconds is as for
 * plait_timer_start().  Call plait_idle_timeout_stop() in connection_lost().
 */
void plait_idle_timeout_start(struct plait_idle_timeout *t,
			      struct plait_protocol *p, double seconds);

/*
 * Starts the time anew, as something has happened.  It is cheap: call it for
 * whatever comes.  Does nothing if the timeout is stopped or over.
 */
void plait_idle_timeout_reset(struct plait_idle_timeout *t);

/* Stops the timeout: timed_out() is not called.  A second call does nothing. */
void plait_idle_timeout_stop(struct plait_idle_timeout *t);

#ifdef __cplusplus
}
#endif

#endif

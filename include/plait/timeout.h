/*
 * A timeout for a connection on which nothing happens: Twisted's
 * TimeoutMixin.  Embed it, zeroed, in the protocol.
 */
#ifndef PLAIT_TIMEOUT_H
#define PLAIT_TIMEOUT_H

#include <plait/protocol.h>
#include <plait/timer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What to do when the time is over; NULL: lose the connection. */
typedef void plait_timeout_func(struct plait_protocol *p);

struct plait_timeout {
	plait_timeout_func *timed_out;
	/* private */
	struct plait_protocol *protocol;
	double seconds;
	struct plait_timer timer;
};

/*
 * Starts it for the connection of p, borrowed, or changes the time.  Call
 * plait_timeout_stop() in connection_lost().
 */
void plait_timeout_start(struct plait_timeout *t, struct plait_protocol *p,
			 double seconds);

/* Something happened: the time starts anew.  Nothing if it is stopped. */
void plait_timeout_reset(struct plait_timeout *t);

void plait_timeout_stop(struct plait_timeout *t);

#ifdef __cplusplus
}
#endif

#endif

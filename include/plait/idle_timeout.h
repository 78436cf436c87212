/*
 * A timeout for a connection on which nothing happens: Twisted's
 * TimeoutMixin.  Embed it, zeroed, in the protocol.
 */
#ifndef PLAIT_IDLE_TIMEOUT_H
#define PLAIT_IDLE_TIMEOUT_H

#include <plait/protocol.h>
#include <plait/timer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What to do when the time is over; p is borrowed. */
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
 * Calls timed_out() once, when nothing has happened for that many seconds on
 * the connection of p, which is borrowed and must be connected.  When it runs
 * already, it starts anew, with the new time.  Seconds as for a timer.  Call
 * plait_idle_timeout_stop() in connection_lost().
 */
void plait_idle_timeout_start(struct plait_idle_timeout *t,
			      struct plait_protocol *p, double seconds);

/*
 * Something happened: the time starts anew.  Cheap enough for every byte.
 * Nothing if it is stopped or the time is over.
 */
void plait_idle_timeout_reset(struct plait_idle_timeout *t);

/* timed_out() will not be called.  Calling it twice does nothing. */
void plait_idle_timeout_stop(struct plait_idle_timeout *t);

#ifdef __cplusplus
}
#endif

#endif

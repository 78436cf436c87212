/*
 * To test protocols with no socket and no sleep: a reactor that needs no
 * descriptor and whose clock you move, and a transport that records.
 *
 * On such a reactor plait_listen_tcp() and plait_connect_tcp() work and
 * connect to nobody: you play the network.
 */
#ifndef PLAIT_TESTING_H
#define PLAIT_TESTING_H

#include <plait/tcp.h>
#include <plait/timer.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A reactor with a virtual clock that starts at 0 and no descriptors, given;
 * NULL with errno set.  Freed by plait_reactor_free().  Its turns never wait:
 * plait_reactor_run() jumps from timer to timer, and stops with -EDEADLK if
 * there is nothing left that could ever happen.
 */
struct plait_reactor *plait_testing_reactor_new(void);

/*
 * Moves the clock by that many seconds, then runs turns until nothing is
 * due.  Timers that run see the final time, as Twisted's Clock has it.
 */
void plait_testing_advance(struct plait_reactor *r, double seconds);

/*
 * A recording transport with a protocol that the factory built, connected:
 * borrowed until the reactor is freed, also after the connection was lost.
 * NULL if the factory built none.
 */
struct plait_transport *plait_testing_connect(struct plait_reactor *r,
					      struct plait_factory *f);

/*
 * The protocol of a recording transport, borrowed; NULL after the loss.  Of one
 * that is wrapped it is the inner protocol; and all functions here take the
 * inner one's transport, too.
 */
struct plait_protocol *plait_testing_protocol(struct plait_transport *t);

/*
 * Plays the peer: sends bytes, which are delivered before this returns, and
 * what the protocol asks for meanwhile is answered, as in the turn of an event,
 * unless reading is paused (then when it is resumed and a turn has come);
 * closes its sending half; is lost, for that reason (borrowed).  The loss is
 * told before this returns, but not inside a callback of that protocol, nor
 * while reading is paused and input is unread.
 */
void plait_testing_deliver(struct plait_transport *t, const void *data,
			   size_t len);
void plait_testing_deliver_eof(struct plait_transport *t);
void plait_testing_lose(struct plait_transport *t,
			const struct plait_failure *why);

/*
 * All that was written and not yet cleared, borrowed until the next write.
 */
const struct plait_buf *plait_testing_written(struct plait_transport *t);
void plait_testing_clear(struct plait_transport *t);

/*
 * Plays a slow peer: it takes this many more bytes of output, and what is
 * beyond stays unsent until the window is set again.  SIZE_MAX, the default:
 * all that comes.
 */
void plait_testing_set_window(struct plait_transport *t, size_t bytes);

/* What became of it. */
bool plait_testing_is_connected(struct plait_transport *t);
bool plait_testing_is_aborted(struct plait_transport *t);
bool plait_testing_is_paused(struct plait_transport *t);

/*
 * Plays a client of a port made on a testing reactor; NULL if it is refused, if
 * the port is paused, or if it is full: what that does is done in the next
 * turn.
 */
struct plait_transport *plait_testing_accept(struct plait_port *p);

/*
 * The connector of a testing reactor that has been connecting for longest,
 * borrowed; NULL: none does.  For connectors that the program does not see, as
 * that of plait_client_connect_tcp().
 */
struct plait_connector *plait_testing_connector(struct plait_reactor *r);

/*
 * Play the server of a connector made on a testing reactor: lets the attempt
 * succeed, and gives its transport, NULL if the factory refused; lets it fail.
 * Inside the factory's start(), before started_connecting() has told it of
 * the attempt, the outcome is left to the loop (NULL).
 */
struct plait_transport *plait_testing_complete(struct plait_connector *c);
void plait_testing_refuse(struct plait_connector *c,
			  const struct plait_failure *why);

/*
 * Carries what each has written to the other until both are silent, and
 * their closing too.
 */
void plait_testing_pump(struct plait_transport *a, struct plait_transport *b);

#ifdef __cplusplus
}
#endif

#endif

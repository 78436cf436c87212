/*
 * How to test protocols without sockets and without sleeping: a reactor that
 * has no descriptors and whose clock the test moves, and a transport that
 * records what is written.
 *
 * On a testing reactor plait_listen_tcp() and plait_connect_tcp() work, but
 * connect to nobody: the test plays the network.  A reactor, port, connector or
 * transport that is not a testing one aborts.
 */
#ifndef PLAIT_TESTING_H
#define PLAIT_TESTING_H

#include <plait/cancel_points.h>
#include <plait/tcp.h>
#include <plait/timer.h>
#include <plait/udp.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Gives a testing reactor, or NULL with errno set to ENOMEM.  The caller frees
 * it with plait_reactor_free().  Its virtual clock starts at 0 seconds.  Its
 * turns never wait: plait_reactor_run() moves the clock from timer to timer,
 * and returns -EDEADLK if nothing is left that could ever happen.
 */
struct plait_reactor *plait_testing_reactor_new(void);

/*
 * Moves the clock by that many seconds, then does turns until nothing is due.
 * All timers that run see the final time, as with Twisted's Clock.
 */
void plait_testing_advance(struct plait_reactor *r, double seconds);

/*
 * Has the factory f build a protocol, and connects the protocol with a
 * recording transport.  Returns the transport, borrowed until the reactor is
 * freed: it may be used even after the connection was lost.  Returns NULL if
 * the factory built no protocol.
 */
struct plait_transport *plait_testing_connect(struct plait_reactor *r,
					      struct plait_factory *f);

/*
 * Returns the protocol of a recording transport, borrowed; NULL after the
 * connection was lost.  If the protocol is wrapped, this is the inner protocol.
 * All functions of this file also take the transport of the inner protocol.
 */
struct plait_protocol *plait_testing_protocol(struct plait_transport *t);

/*
 * These play the peer.  plait_testing_deliver() sends len bytes, which are
 * delivered before it returns; what the protocol asks for in its callback is
 * done before it returns, too, as in the turn of an event.  If reading is
 * paused, the bytes are delivered in a turn after reading was resumed.
 *
 * plait_testing_deliver_eof() closes the peer's sending half.
 *
 * plait_testing_lose() breaks the connection; why is the reason, borrowed.  The
 * protocol is told before it returns.  If it is called in a callback of the
 * protocol, the loop tells the protocol.  If reading is paused and input is
 * unread, the protocol is told as plait_transport_pause_reading() describes.
 */
void plait_testing_deliver(struct plait_transport *t, const void *data,
			   size_t len);
void plait_testing_deliver_eof(struct plait_transport *t);
void plait_testing_lose(struct plait_transport *t,
			const struct plait_failure *why);

/*
 * plait_testing_written() returns everything that was written since the last
 * plait_testing_clear(), borrowed until the next write.
 */
const struct plait_buf *plait_testing_written(struct plait_transport *t);
void plait_testing_clear(struct plait_transport *t);

/*
 * Plays a slow peer: the peer takes that many more bytes of output, and the
 * rest stays unsent until the window is set again.  SIZE_MAX, the default,
 * means that the peer takes everything.
 */
void plait_testing_set_window(struct plait_transport *t, size_t bytes);

/*
 * Are true while the connection is not lost; if this end has aborted it; while
 * reading is paused.
 */
bool plait_testing_is_connected(struct plait_transport *t);
bool plait_testing_is_aborted(struct plait_transport *t);
bool plait_testing_is_paused(struct plait_transport *t);

/*
 * Plays a client that connects to port p of a testing reactor.  Returns the
 * transport of the server's protocol, borrowed until the reactor is freed.
 * Returns NULL if the factory refused, or if the port is closed, paused or
 * full.  What a full port does to make room is done in the next turn.
 */
struct plait_transport *plait_testing_accept(struct plait_port *p);

/*
 * Returns the connector of a testing reactor that has been connecting longest,
 * borrowed, or NULL if none is connecting.  It is for connectors that the
 * program does not see, such as the one of plait_client_connect_tcp().
 */
struct plait_connector *plait_testing_connector(struct plait_reactor *r);

/*
 * These play the server to which connector c of a testing reactor connects.
 * plait_testing_complete() lets the attempt succeed and returns the transport
 * of the client's protocol, borrowed until the reactor is freed, or NULL if the
 * factory refused or the attempt is over.  plait_testing_refuse() lets the
 * attempt fail; why is the reason, borrowed.  If they are called in the
 * factory's start(), before its started_connecting(), the loop tells the
 * factory of the outcome later, and plait_testing_complete() returns NULL.
 */
struct plait_transport *plait_testing_complete(struct plait_connector *c);
void plait_testing_refuse(struct plait_connector *c,
			  const struct plait_failure *why);

/*
 * Carries what each transport has written to the other, until neither writes
 * any more.  If one closes its connection, the other is told.
 */
void plait_testing_pump(struct plait_transport *a, struct plait_transport *b);

/*
 * These play the others of a port for datagrams of a testing reactor.
 * plait_testing_datagram() lets len bytes come from there, borrowed; NULL means
 * that the sender has no address.  plait_testing_datagram_failed() says that a
 * datagram to there did not arrive, with an errno.  The protocol is told before
 * they return, and what it sends then has left.  plait_testing_datagram_full()
 * says whether the system has room for what the port sends; when it has room
 * again, what waits in the queue of the port leaves, and the protocol is told.
 * They do nothing if the port is closed.
 */
void plait_testing_datagram(struct plait_port *p, const void *data, size_t len,
			    const struct plait_address *from);
void plait_testing_datagram_failed(struct plait_port *p, int err,
				   const struct plait_address *to);
void plait_testing_datagram_full(struct plait_port *p, bool is_full);

/*
 * Gives the oldest datagram that the port has sent and the test has not taken,
 * which the caller unrefs; NULL if there is none.  If to is not NULL, *to is
 * where it was sent to.
 */
struct plait_buf *plait_testing_datagram_sent(struct plait_port *p,
					      struct plait_address *to);

#ifdef __cplusplus
}
#endif

#endif

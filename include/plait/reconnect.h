/*
 * A client factory that connects again after each failure and each loss.  It
 * waits before each attempt, longer after each failure, until the protocol says
 * that all is well.
 *
 *	struct client {
 *		struct plait_reconnecting_factory base;
 *		...
 *	};
 *
 *	static const struct plait_factory_ops client_ops = {
 *		.name = "client",
 *		PLAIT_RECONNECTING_FACTORY,
 *	};
 *
 *	struct client c = { .base.base = { .ops = &client_ops,
 *					   .protocol = &ops } };
 *
 * The protocol calls plait_reconnecting_factory_reset_delay() when the
 * connection is of use to it, usually in connection_made().  Nothing else makes
 * the delay small again.  Set min_uptime of the backoff, or else a server that
 * accepts, says what makes the connection seem of use, and hangs up, is flooded
 * with attempts.
 *
 * A factory is for one connector at a time.  If it gets several, the last one
 * counts.  During a delay no connector is connected or connecting, so the
 * factory is out of use, as any factory then: its stop() is called before each
 * delay, and its start() after it.  If there was no memory for the connector,
 * the factory cannot connect again, and the program has to.
 *
 * The factory holds a reference to the connector.  Call
 * plait_reconnecting_factory_stop_trying() before the memory of the factory
 * goes; its reactor may have been freed by then.
 */
#ifndef PLAIT_RECONNECT_H
#define PLAIT_RECONNECT_H

#include <plait/backoff.h>
#include <plait/tcp.h>
#include <plait/timer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Embed it first, zeroed but for the public members. */
struct plait_reconnecting_factory {
	struct plait_factory base;
	struct plait_backoff backoff; /* the delays */
	unsigned max_retries;	      /* in a row; 0: no end */
	/* private */
	unsigned retries;
	double wait;
	bool stopped;
	struct plait_connector *connector;
	struct plait_timer timer;
	uintptr_t reserved[4]; /* zero */
};

#define PLAIT_RECONNECTING_FACTORY                                             \
	.started_connecting = plait_reconnecting_factory_started_connecting,   \
	.connection_failed = plait_reconnecting_factory_connection_failed,     \
	.connection_lost = plait_reconnecting_factory_connection_lost

/*
 * Says that the connection is of use: the next delay is the first one again,
 * and retries are counted from 0.  If min_uptime of the backoff is above 0, a
 * connection must live that long after this call until this is so.  A factory
 * that was stopped stays stopped.
 */
void plait_reconnecting_factory_reset_delay(
	struct plait_reconnecting_factory *f);

/*
 * Makes no further attempt.  Ends a delay, or gives up the attempt that is
 * under way: then connection_failed() is told UserError, from the loop.  A
 * connection that exists lives on.  Calling this twice does nothing.
 */
void plait_reconnecting_factory_stop_trying(
	struct plait_reconnecting_factory *f);

/*
 * Undoes stop_trying, and does what reset_delay does: connections that are made
 * from now on are made again after their loss.  A new factory need not be
 * started.
 */
void plait_reconnecting_factory_start_trying(
	struct plait_reconnecting_factory *f);

/*
 * The delay that is under way: the seconds from the last failure to the next
 * attempt; 0 if no attempt waits.
 */
double
plait_reconnecting_factory_delay(const struct plait_reconnecting_factory *f);

/*
 * For the table: see PLAIT_RECONNECTING_FACTORY.  A factory that has one of
 * these callbacks itself names all three in place of the macro, and calls the
 * function of that name from its own.
 */
void plait_reconnecting_factory_started_connecting(struct plait_factory *f,
						   struct plait_connector *c);
void plait_reconnecting_factory_connection_failed(
	struct plait_factory *f, struct plait_connector *c,
	const struct plait_failure *why);
void plait_reconnecting_factory_connection_lost(
	struct plait_factory *f, struct plait_connector *c,
	const struct plait_failure *why);

#ifdef __cplusplus
}
#endif

#endif

/*
 * A client factory that connects again, after a delay that grows from one
 * failure to the next and starts anew when the protocol is content.
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
 * The protocol calls plait_reconnecting_factory_reset_delay() when it is
 *content with the connection, mostly in connection_made(); nothing else makes
 *the delay small again, so a server that accepts and hangs up is not stormed.
 *
 * A factory is for one connector at a time; the one that was told of last
 * counts.  While none is connected or connecting the factory is out of use,
 * as any other: its stop() and start() are called around each delay.  Without
 * a connector, for which there was no memory, there is nothing to connect
 * again: the program has to.
 *
 * The factory holds a reference to the connector.  Stop it before its memory
 * goes; that may be after its reactor was freed.
 */
#ifndef PLAIT_RECONNECT_H
#define PLAIT_RECONNECT_H

#include <plait/backoff.h>
#include <plait/tcp.h>
#include <plait/timer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Embed it first, zeroed. */
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
 * The attempt succeeded: the next delay is the first one again, and retries
 * are counted from 0.  After a stop it changes nothing of that.
 */
void plait_reconnecting_factory_reset_delay(
	struct plait_reconnecting_factory *f);

/*
 * Tries no more, and gives up a delay or an attempt that is under way; then
 * connection_failed() is told UserError, from the loop.  A connection lives
 * on.  Calling it twice does nothing.
 */
void plait_reconnecting_factory_stop_trying(
	struct plait_reconnecting_factory *f);

/*
 * Undoes a stop, and resets: what is connected from now on is connected again.
 * Not needed otherwise.
 */
void plait_reconnecting_factory_start_trying(
	struct plait_reconnecting_factory *f);

/* Seconds from the last failure to the next attempt; 0 if none is waiting. */
double
plait_reconnecting_factory_delay(const struct plait_reconnecting_factory *f);

/*
 * For the table: see PLAIT_RECONNECTING_FACTORY.  A factory that has one of
 * these callbacks itself calls the function of the same name from it.
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

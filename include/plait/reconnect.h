/*
 * A client factory that connects again, after a delay that grows from one
 * failure to the next and starts anew when a connection is made.
 *
 *	struct client {
 *		struct plait_reconnecting_factory base;
 *		...
 *	};
 *
 *	static const struct plait_factory_ops client_ops = {
 *		PLAIT_RECONNECTING_FACTORY,
 *		.name = "client",
 *	};
 *
 *	struct client c = { .base.base = { .ops = &client_ops,
 *					   .protocol = &ops } };
 *
 * The protocol calls plait_reconnecting_factory_reset() when it is content
 * with the connection, mostly in connection_made().
 */
#ifndef PLAIT_RECONNECT_H
#define PLAIT_RECONNECT_H

#include <plait/tcp.h>
#include <plait/timer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zero means the default, which is Twisted's. */
struct plait_reconnecting_factory {
	struct plait_factory base;
	double initial_delay; /* seconds; 0: 1 */
	double max_delay;     /* seconds; 0: 3600; also after jitter */
	double factor;	      /* 0: e, 2.718... */
	double jitter;	      /* share of the delay; 0: 0.1196; < 0: none */
	unsigned max_retries; /* 0: no end */
	/* private */
	double delay;
	unsigned retries;
	bool stopped;
	uint64_t random;
	struct plait_connector *connector;
	struct plait_reactor *reactor;
	struct plait_timer timer;
};

#define PLAIT_RECONNECTING_FACTORY                                             \
	.started_connecting = plait_reconnecting_factory_started,              \
	.connection_failed = plait_reconnecting_factory_failed,                \
	.connection_lost = plait_reconnecting_factory_lost

/* Tries without a delay that has grown, from now on: the attempt succeeded. */
void plait_reconnecting_factory_reset(struct plait_reconnecting_factory *f);

/* Tries no more, and gives up a delay or an attempt that is under way. */
void plait_reconnecting_factory_stop(struct plait_reconnecting_factory *f);

/* Seconds from the last failure to the next attempt; 0 if none is waiting. */
double
plait_reconnecting_factory_delay(const struct plait_reconnecting_factory *f);

/* For the table: see PLAIT_RECONNECTING_FACTORY. */
void plait_reconnecting_factory_started(struct plait_factory *f,
					struct plait_connector *c);
void plait_reconnecting_factory_failed(struct plait_factory *f,
				       struct plait_connector *c,
				       const struct plait_failure *why);
void plait_reconnecting_factory_lost(struct plait_factory *f,
				     struct plait_connector *c,
				     const struct plait_failure *why);

#ifdef __cplusplus
}
#endif

#endif

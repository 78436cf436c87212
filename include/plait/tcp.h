/*
 * TCP over IPv4 and IPv6: ports that listen, connectors that connect.
 *
 * A host is a numeric address or "localhost"; no name is ever looked up.
 */
#ifndef PLAIT_TCP_H
#define PLAIT_TCP_H

#include <plait/deferred.h>
#include <plait/protocol.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_port;

/* Zero means the default. */
struct plait_listen_options {
	const char *iface;	  /* address to listen on; NULL: 0.0.0.0 */
	int backlog;		  /* connections waiting; 0: SOMAXCONN */
	bool no_address_reuse;	  /* leave SO_REUSEADDR off */
	bool ipv6_only;		  /* on "::": refuse IPv4 */
	bool no_delay;		  /* TCP_NODELAY on what is accepted */
	bool keep_alive;	  /* SO_KEEPALIVE on what is accepted */
	unsigned max_connections; /* accepted at a time; 0: no limit */
	bool shed_idle;		  /* when full: ends the idlest connection */
	uintptr_t reserved[8];	  /* zero */
};

/*
 * Listens on that port (0: one that is free) and hands connections to the
 * factory, borrowed; options may be NULL.  Calls the factory's start().
 * *ret, if ret is not NULL, is the port: borrowed from the reactor until it
 * has stopped listening or the reactor is freed.  0, or what the kernel says:
 * -EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -EMFILE, -ENOMEM ...; -EINVAL for a
 * port above 65535, an iface that is no address or options whose reserved
 * words are not zero; -ESHUTDOWN while the reactor shuts down or is freed.
 */
int plait_listen_tcp(struct plait_reactor *r, unsigned port,
		     struct plait_factory *f,
		     const struct plait_listen_options *options,
		     struct plait_port **ret);

/* The address that it listens on. */
void plait_port_host(const struct plait_port *p, struct plait_address *ret);

/*
 * Both stop listening, and set *pp to NULL.  Connections that were accepted
 * live on.  The port is closed, and its factory told, from the loop.  A NULL
 * port has been closed already.
 *
 * plait_port_free() is for a caller who does not wait for that.
 * plait_port_stop_listening() gives a deferred that fires with none, from the
 * loop, when the port is closed and the factory's stop() has been called, if
 * that is due.  Cancelling it only ends the wait, with CancelledError.
 */
void plait_port_free(struct plait_port **pp);
struct plait_deferred *
plait_port_stop_listening(struct plait_port **pp,
			  const char *where) PLAIT_MUST_USE;
#define plait_port_stop_listening(...)                                         \
	(plait_port_stop_listening)(__VA_ARGS__, PLAIT_HERE)

/*
 * The same as plait_port_stop_listening(), but first accepts the clients who
 * wait in the queue of the system: closing the port would reset their
 * connections.  From the call on, no new client gets into the queue.  Pauses
 * and max_connections still hold, so this may wait until the port is resumed
 * and until connections of the port are lost.  Cancelling the deferred closes
 * the port at once; so do a stop of the reactor and its end.
 */
struct plait_deferred *plait_port_drain(struct plait_port **pp,
					const char *where) PLAIT_MUST_USE;
#define plait_port_drain(...) (plait_port_drain)(__VA_ARGS__, PLAIT_HERE)

/*
 * Accepts no more connections for the time being, and goes on; connections
 * that were accepted live on.  Who connects meanwhile waits in the queue of
 * the system (backlog).  Pauses are counted: the port accepts again when each
 * was taken back.  From any callback; what is paused while it accepts takes no
 * other.  To resume a port that is not paused aborts.
 */
void plait_port_pause_accepting(struct plait_port *p);
void plait_port_resume_accepting(struct plait_port *p);

/* Writes its state in one line, as snprintf() would. */
int plait_port_str(const struct plait_port *p, char *buf, size_t size);

/* Zero means the default.  The strings are copied. */
struct plait_connect_options {
	double timeout;		  /* seconds; 0: 30; INFINITY: none */
	const char *bind_address; /* this end's; NULL: any */
	unsigned bind_port;	  /* 0: any */
	bool no_delay;
	bool keep_alive;
	uintptr_t reserved[8]; /* zero */
};

/*
 * Connects the factory, borrowed, to that address; options may be NULL.
 * Calls the factory's start() and started_connecting(), and nothing else:
 * all that goes wrong is told to connection_failed(), from the loop, also that
 * reserved words of the options are not zero (ConnectError, EINVAL).  Gives a
 * connector that is borrowed from the reactor; NULL only with no memory, and
 * connection_failed() is told of that too.
 */
struct plait_connector *
plait_connect_tcp(struct plait_reactor *r, const char *host, unsigned port,
		  struct plait_factory *f,
		  const struct plait_connect_options *options);

/* All of these take a NULL connector, and then do nothing. */

/*
 * To keep a connector beyond connection_failed() or connection_lost(), so as
 * to connect again later.  One more reference, given; ends one.
 */
struct plait_connector *plait_connector_ref(struct plait_connector *c);
void plait_connector_unref(struct plait_connector **cp);

/*
 * Connects again.  0, or -EISCONN unless disconnected; -ESHUTDOWN if c is
 * NULL, its reactor is losing its connections or was freed.
 */
int plait_connector_connect(struct plait_connector *c);

/*
 * Gives up an attempt: connection_failed() is told UserError, from the loop.
 * 0, or -ENOTCONN unless connecting, or -ECHILD after fork().
 */
int plait_connector_stop_connecting(struct plait_connector *c);

/*
 * Connecting: gives up the attempt.  Connected: loses the connection.
 * Disconnected: nothing.
 */
void plait_connector_disconnect(struct plait_connector *c);

enum plait_connector_state {
	PLAIT_CONNECTOR_DISCONNECTED,
	PLAIT_CONNECTOR_CONNECTING,
	PLAIT_CONNECTOR_CONNECTED
};

enum plait_connector_state
plait_connector_state(const struct plait_connector *c);

/*
 * The reactor that it connects on, borrowed; NULL once that was freed, and in
 * a child made by fork().
 */
struct plait_reactor *plait_connector_reactor(const struct plait_connector *c);

/* The address that it connects to; a zeroed one if that could not be read. */
void plait_connector_destination(const struct plait_connector *c,
				 struct plait_address *ret);

/* Writes "connector to HOST:PORT, state", as snprintf() would. */
int plait_connector_str(const struct plait_connector *c, char *buf,
			size_t size);

#ifdef __cplusplus
}
#endif

#endif

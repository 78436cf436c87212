/*
 * TCP over IPv4 and IPv6.  A port listens, and a connector connects.
 *
 * A host is a numeric address, or a name that the library looks up.
 */
#ifndef PLAIT_TCP_H
#define PLAIT_TCP_H

#include <plait/deferred.h>
#include <plait/protocol.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_port;
struct plait_resolver;

/* Zero means the default.  iface is borrowed for the call. */
struct plait_listen_options {
	const char *iface;	  /* address to listen on; NULL: 0.0.0.0 */
	int backlog;		  /* clients who may wait; 0: SOMAXCONN */
	bool no_address_reuse;	  /* leave SO_REUSEADDR off */
	bool ipv6_only;		  /* on "::": refuse IPv4 */
	bool no_delay;		  /* set TCP_NODELAY on connections */
	bool keep_alive;	  /* set SO_KEEPALIVE on connections */
	unsigned max_connections; /* of this port at a time; 0: no limit */
	bool shed_idle;		  /* when full, end the idlest one */
	uintptr_t reserved[8];	  /* zero */
};

/*
 * Listens on that port, or on a free one if port is 0.  The factory, which is
 * borrowed, builds a protocol for each connection; its start() is called before
 * this returns.  options may be NULL.  If ret is not NULL, *ret is the port:
 * borrowed from the reactor until the program ends it or the reactor is freed.
 *
 * Returns 0, or what the kernel says: -EADDRINUSE, -EADDRNOTAVAIL, -EACCES,
 * -EMFILE, -ENOMEM and others; -EINVAL if port is above 65535, iface is no
 * address, or reserved words of the options are not zero; -ESHUTDOWN while the
 * reactor shuts down or is freed.
 */
int plait_listen_tcp(struct plait_reactor *r, unsigned port,
		     struct plait_factory *f,
		     const struct plait_listen_options *options,
		     struct plait_port **ret);

/* Stores the address that the port listens on. */
void plait_port_host(const struct plait_port *p, struct plait_address *ret);

/*
 * Both stop listening, and set *pp to NULL.  Connections that were accepted
 * live on.  The loop closes the port and tells its factory.  If *pp is NULL
 * already, the functions stop nothing.
 *
 * plait_port_free() gives no deferred.
 * plait_port_stop_listening() gives a deferred that fires with none, from the
 * loop, when the port is closed and the factory's stop() has been called, if
 * that is due.  Cancelling it only ends the wait, with CancelledError.
 */
void plait_port_free(struct plait_port **pp);
/* The same, for __attribute__((cleanup)). */
void plait_port_cleanup(struct plait_port **pp);
struct plait_deferred *
plait_port_stop_listening(struct plait_port **pp,
			  const char *where) PLAIT_MUST_USE;
#define plait_port_stop_listening(...)                                         \
	(plait_port_stop_listening)(__VA_ARGS__, PLAIT_HERE)

/*
 * The type of a value that is a port, which a deferred can fire with.  Freeing
 * the value ends the port, as plait_port_free() does.
 *
 * plait_port_value() takes the handle, and sets *pp to NULL.  A NULL port gives
 * the failure for no memory.
 * plait_value_port() gives the port of such a value, borrowed.
 * plait_port_take() takes the value out of the slot, which holds none
 * afterwards, and gives the port, which the caller ends.  Both give NULL if the
 * reactor was freed meanwhile, and abort if the value is of any other type.
 */
extern const struct plait_type plait_port_type;
plait_value plait_port_value(struct plait_port **pp);
struct plait_port *plait_value_port(const plait_value *v, const char *where);
#define plait_value_port(...) (plait_value_port)(__VA_ARGS__, PLAIT_HERE)
struct plait_port *plait_port_take(plait_value *slot, const char *where);
#define plait_port_take(...) (plait_port_take)(__VA_ARGS__, PLAIT_HERE)

/*
 * The same as plait_port_stop_listening(), but first accepts the clients who
 * wait in the queue of the system: closing the port would reset their
 * connections.  From the call on, no new client gets into the queue.  Pauses
 * and max_connections still count: if anybody waits, the port waits until it is
 * resumed, and until connections of the port are lost.  Cancelling the deferred
 * ends the drain: the port accepts nobody any more.  So do a stop of the
 * reactor, and its end.
 */
struct plait_deferred *plait_port_drain(struct plait_port **pp,
					const char *where) PLAIT_MUST_USE;
#define plait_port_drain(...) (plait_port_drain)(__VA_ARGS__, PLAIT_HERE)

/*
 * A paused port listens, and accepts nobody.  Connections that it has accepted
 * live on, and new clients wait in the queue of the system (backlog).  Pauses
 * are counted: the port accepts again when it was resumed as often as it was
 * paused.  Both functions may be called from any callback.  Resuming a port
 * that is not paused aborts.
 */
void plait_port_pause_accepting(struct plait_port *p);
void plait_port_resume_accepting(struct plait_port *p);

/*
 * Writes the state of the port in one line, as snprintf() would.  Returns the
 * length of the whole line, without the NUL.
 */
int plait_port_str(const struct plait_port *p, char *buf, size_t size);

/* Zero means the default.  bind_address is borrowed for the call, resolver
   until the connector is gone. */
struct plait_connect_options {
	double timeout;		  /* seconds; 0: 30; INFINITY: none */
	const char *bind_address; /* this end's; NULL: any */
	unsigned bind_port;	  /* 0: any */
	bool no_delay;
	bool keep_alive;
	/* How the addresses of a name are tried. */
	double attempt_delay;	 /* seconds to the next one; 0: 0.25 */
	double resolution_delay; /* IPv4 waits for IPv6; 0: 0.05 */
	int family; /* AF_INET, AF_INET6; AF_UNSPEC, which is 0: both */
	struct plait_resolver *resolver; /* NULL: that of the reactor */
	uintptr_t reserved[4];		 /* zero */
};

/*
 * Connects the factory, which is borrowed, to that host.  host is a numeric
 * address, or a name, and is borrowed for the call; NULL is this host.  The
 * library looks up a name each time the connector connects, and tries its
 * addresses side by side, as happy eyeballs do: see plait_connect_tcp(3).  The
 * first attempt that is connected wins, and the factory is asked for a protocol
 * for this one alone.  The timeout is for the lookup and all attempts together.
 *
 * options may be NULL.  Calls the factory's start() and started_connecting()
 * before it returns.  Whatever goes wrong is told to the factory's
 * connection_failed(), from the loop; with ConnectError and EINVAL if reserved
 * words of the options are not zero.  Gives a connector, borrowed from the
 * reactor.  If there is no memory for a connector it is NULL, which need not be
 * checked: connection_failed() is told of that too, and every function takes
 * NULL.
 */
struct plait_connector *
plait_connect_tcp(struct plait_reactor *r, const char *host, unsigned port,
		  struct plait_factory *f,
		  const struct plait_connect_options *options);

/*
 * A reference keeps the connector beyond connection_failed() and
 * connection_lost(), so that it can connect again later.  The first function
 * gives one more reference, the second ends one.
 */
struct plait_connector *plait_connector_ref(struct plait_connector *c);
void plait_connector_unref(struct plait_connector **cp);
/* The same, for __attribute__((cleanup)). */
void plait_connector_cleanup(struct plait_connector **cp);

/*
 * Connects again, to the same host; a name is looked up anew.  Returns 0;
 * -EISCONN if the connector is connecting or connected; -ESHUTDOWN if its
 * reactor is losing its connections or was freed; -ENOMEM if c is NULL.
 */
int plait_connector_connect(struct plait_connector *c);

/*
 * Gives up the lookup and all attempts: connection_failed() is told UserError,
 * from the loop.  Returns 0; -ENOTCONN if the connector is not connecting;
 * -ECHILD in a child made by fork(); -ENOMEM if c is NULL.
 */
int plait_connector_stop_connecting(struct plait_connector *c);

/*
 * Gives up the attempt of a connector that is connecting, and loses the
 * connection of one that is connected.  Does nothing otherwise.
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
 * The reactor of the connector, borrowed.  NULL when that reactor was freed,
 * and in a child made by fork().
 */
struct plait_reactor *plait_connector_reactor(const struct plait_connector *c);

/*
 * Stores the address that the connector is connected to; if it is not, the one
 * that it has tried first; a zeroed one if it knows none.
 */
void plait_connector_destination(const struct plait_connector *c,
				 struct plait_address *ret);

/* Writes "connector to HOST:PORT, state", as snprintf() would. */
int plait_connector_str(const struct plait_connector *c, char *buf,
			size_t size);

#ifdef __cplusplus
}
#endif

#endif

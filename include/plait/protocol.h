/*
 * A protocol is what you do with one connection, a factory makes one for each
 * and is told of the attempts.  Embed the base struct first in your own, and
 * name a const table of functions; any may be NULL.
 *
 * The library allocates the protocol, zeroed, and frees it after
 * connection_lost() has returned.  Factories are yours: one must outlive the
 * ports, connectors and protocols that use it, that is, live until its stop()
 * was called and its last protocol is gone.  A client's protocol is gone before
 * its factory's connection_lost(), so one for a single connection may free
 * itself in stop().
 *
 * In a child made by fork() nobody is told of an end.  When the child has freed
 * the reactor, the protocols of its connections are the program's, without a
 * transport, and plait_protocol_free() ends them.
 */
#ifndef PLAIT_PROTOCOL_H
#define PLAIT_PROTOCOL_H

#include <plait/failure.h>
#include <plait/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

struct plait_protocol;
struct plait_factory;
struct plait_connector;
struct plait_port;

/*
 * connection_made() comes once, then data_received() any number of times with
 * up to 131,072 bytes that are borrowed for the call, then connection_lost()
 * exactly once, and nothing after it.  why is borrowed.
 *
 * A protocol with read_connection_lost() is half-closeable: it is told when
 * the peer has closed its sending half, and goes on until it loses the
 * connection itself.  Others flush and are lost then.
 *
 * base_size is for a library whose users begin their structs with one of its
 * own: it names the size of that, as the receivers do in their macros.
 *
 * init() comes first of all, from plait_protocol_new(), when the struct is
 * zeroed: to construct what it owns.  The base is filled when init() has
 * returned, so a C++ constructor may run over the whole struct.  It returns 0,
 * or -errno: then the struct is freed without done(), and
 * plait_protocol_new() gives NULL with that errno.
 *
 * done() comes last of all, to end what the struct owns, also when the
 * protocol was built and never connected.
 *
 * C++20 wants the members of a table in the order in which they stand here.
 * So those that the macro of a receiver or of a wrapper names stand together.
 */
struct plait_protocol_ops {
	const char *name;
	size_t size; /* of the whole struct; 0: what base_size says */
	int (*init)(struct plait_protocol *p);
	void (*connection_made)(struct plait_protocol *p);
	void (*data_received)(struct plait_protocol *p, const void *data,
			      size_t len);
	void (*done)(struct plait_protocol *p);
	size_t base_size; /* of what the struct begins with; 0: the base alone
			   */
	void (*read_connection_lost)(struct plait_protocol *p);
	void (*write_connection_lost)(struct plait_protocol *p);
	void (*connection_lost)(struct plait_protocol *p,
				const struct plait_failure *why);
	uintptr_t reserved[8]; /* zero */
};

/*
 * transport and factory are borrowed; transport is NULL until connected.
 *
 * unread is the protocol's to set: while reading is paused and this is true,
 * it holds input that it will handle later, so that the end of the peer's
 * sending waits behind that.  The receivers set it.
 */
struct plait_protocol {
	const struct plait_protocol_ops *ops;
	struct plait_factory *factory;
	struct plait_transport *transport;
	bool connected;
	bool unread;
	uintptr_t reserved[1]; /* zero */
};

/*
 * start() comes before the first port or connector, stop() after the last:
 * the factory is out of use then, and may start again.
 *
 * build_protocol() gives a new protocol (plait_protocol_new()) for the peer
 * at that address, borrowed, or NULL to refuse it.  Left out, it makes one
 * with the factory's protocol table.
 *
 * The next three are for clients.  A connector that they get is borrowed,
 * and gone after connection_failed() or connection_lost() unless it was
 * connected again or referenced.  It is NULL in one case: there was no memory
 * for it.
 *
 * port_full() is for servers: somebody wants to connect to the port, which has
 * all the connections that it may have, or there is no descriptor.  idlest is
 * the protocol of the connection of that port that has been idle longest,
 * borrowed, NULL if it has none.  If it is aborted the new one comes in.
 *
 * port_opened() says that a port of the factory listens, from inside the call
 * that made it, after start(); port_closed() that it listens no more, before
 * stop().  Each comes once for each port, which is borrowed and good until
 * port_closed() has returned.
 */
struct plait_factory_ops {
	const char *name;
	void (*start)(struct plait_factory *f);
	void (*stop)(struct plait_factory *f);
	struct plait_protocol *(*build_protocol)(
		struct plait_factory *f, const struct plait_address *peer);
	void (*started_connecting)(struct plait_factory *f,
				   struct plait_connector *c);
	void (*connection_failed)(struct plait_factory *f,
				  struct plait_connector *c,
				  const struct plait_failure *why);
	void (*connection_lost)(struct plait_factory *f,
				struct plait_connector *c,
				const struct plait_failure *why);
	void (*port_full)(struct plait_factory *f, struct plait_port *p,
			  struct plait_protocol *idlest);
	void (*port_opened)(struct plait_factory *f, struct plait_port *p);
	void (*port_closed)(struct plait_factory *f, struct plait_port *p);
	uintptr_t reserved[8]; /* zero */
};

/* Both tables are borrowed for good; ops may be NULL. */
struct plait_factory {
	const struct plait_factory_ops *ops;
	const struct plait_protocol_ops *protocol;
	/* private */
	unsigned users;
	unsigned unreported;
	struct plait_list link;
	uintptr_t reserved[4]; /* zero */
};

/*
 * For a factory that stands in front of another one, and does with that what
 * the library does: counts one more user of f, and calls start() for the first;
 * counts one less, and calls stop() for the last; and builds a protocol that
 * belongs to f, given, or NULL if f refuses, with ENOMEM in errno if there is
 * no memory.  All call the user before they return.
 */
void plait_factory_start(struct plait_factory *f);
void plait_factory_stop(struct plait_factory *f);
struct plait_protocol *
plait_factory_build_protocol(struct plait_factory *f,
			     const struct plait_address *peer);

/*
 * A new protocol with that table, zeroed but for what init() has made, given:
 * for build_protocol(), which gives it on.  NULL with ENOMEM in errno, or with
 * the error of init().
 */
struct plait_protocol *plait_protocol_new(const struct plait_protocol_ops *ops);

/*
 * Calls done() and frees one that was not given on, or whose reactor was freed
 * by a child made by fork().  Does nothing if *pp is NULL.
 */
void plait_protocol_free(struct plait_protocol **pp);

#ifdef __cplusplus
}
#endif

#endif

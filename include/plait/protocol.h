/*
 * A protocol is what the program does with one connection.  A factory makes a
 * protocol for each connection, and is told of attempts to connect.  Embed the
 * base struct first in a struct of your own, and write a const table of
 * functions, any of which may be NULL.
 *
 * The library allocates the protocol, zeroed, and frees it after
 * connection_lost() has returned.  The program owns its factories.  A factory
 * must stay valid until its stop() was called and its last protocol is freed,
 * which its done() is told.  A client's protocol is freed before the factory's
 * connection_lost(), so a factory for a single connection may free itself in
 * stop().
 *
 * In a child made by fork() no callback tells of an end.  When the child has
 * freed the reactor, the child's program owns the protocols of the connections;
 * their transport is NULL, and plait_protocol_free() frees them.
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
 * The library calls connection_made() once, then data_received() any number of
 * times, with up to 131,072 bytes that are borrowed for the call, then
 * connection_lost() exactly once, with a reason that is borrowed.  After that
 * it calls only done().
 *
 * If a protocol has read_connection_lost(), that is called when the peer has
 * closed its sending half, and the connection goes on until the protocol loses
 * it.  If a protocol has none, unsent output is sent and then the connection is
 * lost.
 *
 * fds_received() is called with n descriptors, 1 to PLAIT_FDS_MAX of <unix.h>,
 * that the peer of a UNIX connection has handed over, just before the
 * data_received() that has their bytes.  The descriptors are given: the
 * protocol closes them.  The array is borrowed for the call.  The peer decides
 * what they are, and whether they block.  If a message has more descriptors, or
 * the process can have no more, all of that message are closed and the
 * connection is lost with DescriptorsLost.  If a protocol has no
 * fds_received(), or is wrapped by another, the kernel closes what the peer
 * hands over, and the process never has it.
 *
 * base_size is for a library whose users begin their structs with a struct of
 * the library: base_size is the size of that struct, as in the macros of the
 * receivers.
 *
 * init() is called first, by plait_protocol_new(), when the struct is zeroed,
 * to construct what the struct owns.  The base is filled in after init() has
 * returned, so a C++ constructor may run over the whole struct.  init() returns
 * 0, or -errno: then the struct is freed without done(), and
 * plait_protocol_new() returns NULL with that errno.
 *
 * done() is called last, before the protocol is freed, even if the protocol was
 * built and never connected.  It frees what the struct owns.
 *
 * In C++20 the members of a table must be named in the order in which they are
 * declared here.  So the members that the macro of a receiver or a wrapper
 * names are declared next to each other.
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
	void (*fds_received)(struct plait_protocol *p, const int *fds,
			     size_t n);
	uintptr_t reserved[7]; /* zero */
};

/*
 * transport and factory are borrowed.  transport is NULL until the connection
 * is made.
 *
 * The protocol itself sets unread, to say that it has received input and will
 * handle it later.  While reading is paused and unread is true, the protocol is
 * not told that the peer has closed its sending half.  The receivers set it.
 */
struct plait_protocol {
	const struct plait_protocol_ops *ops;
	struct plait_factory *factory;
	struct plait_transport *transport;
	bool connected;
	bool unread;
	/* private */
	bool counted;
	uintptr_t reserved[1]; /* zero */
};

/*
 * start() is called before the factory's first port or connector begins, stop()
 * after the last has ended.  After stop() the factory may be used again.
 *
 * build_protocol() returns a new protocol, made by plait_protocol_new(), for
 * the peer at that address (borrowed), or NULL to refuse the connection.  If it
 * is NULL, the library makes a protocol with the factory's protocol table.
 *
 * started_connecting(), connection_failed() and connection_lost() are for
 * clients.  Their connector is borrowed.  After connection_failed() or
 * connection_lost() it is freed, unless the program has connected it again or
 * has taken a reference.  It is NULL only if there was no memory for it.
 *
 * port_full() is for servers.  It is called when somebody wants to connect to
 * port p and the port has its maximum of connections, or no descriptor is left.
 * idlest is the protocol of that port's connection that has been idle longest,
 * borrowed, or NULL if the port has no connection.  If port_full() aborts a
 * connection of the port, the new connection is accepted.
 *
 * port_opened() is called when a port of the factory begins to listen, inside
 * the call that makes the port, after start().  port_closed() is called when
 * the port has stopped listening, before stop().  Each is called once for each
 * port.  The port is borrowed, and valid until port_closed() has returned.
 *
 * done() is called when the factory is out of use: it has no port and no
 * connector, so stop() was called, and its last protocol was freed, and the
 * last transport that wraps another for a protocol of it.  It may free the
 * factory.  If the factory is used again instead, done() is called
 * again.
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
	void (*done)(struct plait_factory *f);
	uintptr_t reserved[7]; /* zero */
};

/* Both tables must stay valid for ever.  ops may be NULL. */
struct plait_factory {
	const struct plait_factory_ops *ops;
	const struct plait_protocol_ops *protocol;
	/* private */
	unsigned users;
	unsigned unreported;
	struct plait_list link;
	size_t held;
	uintptr_t reserved[3]; /* zero */
};

/*
 * These are for a factory that wraps another factory f and does with f what the
 * library does with a factory.  plait_factory_start() counts one more user of f
 * and calls start() for the first.  plait_factory_stop() counts one user less
 * and calls stop() for the last.  plait_factory_build_protocol() gives a new
 * protocol that belongs to f; it returns NULL if f refuses the connection, or,
 * with ENOMEM in errno, if there is no memory.  All three call f's functions
 * before they return.
 */
void plait_factory_start(struct plait_factory *f);
void plait_factory_stop(struct plait_factory *f);
/* Is true while f has a user: between its start() and its stop(). */
bool plait_factory_is_used(const struct plait_factory *f);
struct plait_protocol *
plait_factory_build_protocol(struct plait_factory *f,
			     const struct plait_address *peer);

/*
 * Gives a new protocol with the table ops, zeroed, after init();
 * build_protocol() returns it.  Returns NULL if there is no memory, with ENOMEM
 * in errno, or if init() has failed, with its error.
 */
struct plait_protocol *plait_protocol_new(const struct plait_protocol_ops *ops);

/*
 * Frees a protocol that was not passed to the library, or whose reactor was
 * freed by a child made by fork(): calls done() and sets *pp to NULL.  Does
 * nothing if *pp is NULL.
 */
void plait_protocol_free(struct plait_protocol **pp);
/* The same, for __attribute__((cleanup)). */
void plait_protocol_cleanup(struct plait_protocol **pp);

#ifdef __cplusplus
}
#endif

#endif

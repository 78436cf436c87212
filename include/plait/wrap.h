/*
 * A wrapper stands between a connection and the protocol of another factory,
 * and that protocol cannot tell: Twisted's WrappingFactory and ProtocolWrapper.
 * Wrappers stack, on ports and on connectors.  limit.h and throttle.h are
 * wrappers.
 *
 * Each wrapped connection has four objects, from the network upwards: the
 * transport below, which may belong to another wrapper; the wrapper, which is
 * the protocol of the transport below; the transport above, which belongs to
 * the wrapper; and the inner protocol, whose transport is the transport above.
 * What the wrapper does not change passes, in both directions.
 *
 *	struct counter {
 *		struct plait_wrapper base;
 *		size_t received;
 *	};
 *
 *	static void received(struct plait_protocol *p, const void *data,
 *			     size_t len)
 *	{
 *		plait_self(p, struct counter)->received += len;
 *		plait_wrapper_data_received(p, data, len);
 *	}
 *
 *	static const struct plait_protocol_ops counter_ops = {
 *		.name = "counter",
 *		.size = sizeof(struct counter),
 *		.connection_made = plait_wrapper_connection_made,
 *		.data_received = received,
 *		.done = plait_wrapper_done,
 *		.base_size = sizeof(struct plait_wrapper),
 *		.read_connection_lost = plait_wrapper_read_connection_lost,
 *		.write_connection_lost = plait_wrapper_write_connection_lost,
 *	};
 *
 *	static const struct plait_factory_ops counting_ops = {
 *		.name = "counting",
 *		PLAIT_WRAPPING_FACTORY,
 *	};
 *
 *	struct plait_wrapping_factory f = {
 *		.base = { .ops = &counting_ops, .protocol = &counter_ops },
 *		.inner = &echo,
 *	};
 */
#ifndef PLAIT_WRAP_H
#define PLAIT_WRAP_H

#include <plait/protocol.h>
#include <plait/transport_ops.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Embed it first in your own struct.  Only read its fields. */
struct plait_wrapper {
	struct plait_protocol base;
	/* The inner protocol until it is connected, then NULL. */
	struct plait_protocol *inner;
	/* NULL until connection_made().  If the wrapper ends this transport
	   while the transport below goes on, do not use this pointer any more:
	   plait_transport_above() returns NULL then. */
	struct plait_transport *above;
	uintptr_t reserved[2]; /* zero */
};

/*
 * Makes the transport above and returns it, borrowed.  A wrapper whose
 * transport has more in its struct than the base calls this in its own
 * connection_made(), sets up the rest, and then calls
 * plait_wrapper_connection_made().  With no memory it returns NULL and aborts
 * the connection.
 */
struct plait_transport *plait_wrapper_transport(struct plait_protocol *p);

#define PLAIT_WRAPPER                                                          \
	.connection_made = plait_wrapper_connection_made,                      \
	.data_received = plait_wrapper_data_received,                          \
	.done = plait_wrapper_done, .base_size = sizeof(struct plait_wrapper), \
	.read_connection_lost = plait_wrapper_read_connection_lost,            \
	.write_connection_lost = plait_wrapper_write_connection_lost

/*
 * inner is the factory that is wrapped; it is borrowed as long as the wrapping
 * factory is in use.  transport is the table of the transports above, which
 * must stay valid for ever; NULL means a table that passes everything.
 */
struct plait_wrapping_factory {
	struct plait_factory base;
	struct plait_factory *inner;
	const struct plait_transport_ops *transport;
	uintptr_t reserved[4]; /* zero */
};

#define PLAIT_WRAPPING_FACTORY                                                 \
	.start = plait_wrapping_factory_start,                                 \
	.stop = plait_wrapping_factory_stop,                                   \
	.build_protocol = plait_wrapping_factory_build_protocol,               \
	.started_connecting = plait_wrapping_factory_started_connecting,       \
	.connection_failed = plait_wrapping_factory_connection_failed,         \
	.connection_lost = plait_wrapping_factory_connection_lost,             \
	.port_full = plait_wrapping_factory_port_full,                         \
	.port_opened = plait_wrapping_factory_port_opened,                     \
	.port_closed = plait_wrapping_factory_port_closed

/*
 * The functions of the two macros.  They pass everything on, and the wrapping
 * factory tells the inner factory of everything.  A wrapper that has one of
 * these callbacks itself does not use the macro: its table names all of these
 * functions, and base_size, and its own callback calls the function that it
 * replaces.
 */
void plait_wrapper_connection_made(struct plait_protocol *p);
void plait_wrapper_data_received(struct plait_protocol *p, const void *data,
				 size_t len);
void plait_wrapper_read_connection_lost(struct plait_protocol *p);
void plait_wrapper_write_connection_lost(struct plait_protocol *p);
void plait_wrapper_done(struct plait_protocol *p);

void plait_wrapping_factory_start(struct plait_factory *f);
void plait_wrapping_factory_stop(struct plait_factory *f);
struct plait_protocol *
plait_wrapping_factory_build_protocol(struct plait_factory *f,
				      const struct plait_address *peer);
void plait_wrapping_factory_started_connecting(struct plait_factory *f,
					       struct plait_connector *c);
void plait_wrapping_factory_connection_failed(struct plait_factory *f,
					      struct plait_connector *c,
					      const struct plait_failure *why);
void plait_wrapping_factory_connection_lost(struct plait_factory *f,
					    struct plait_connector *c,
					    const struct plait_failure *why);
void plait_wrapping_factory_port_full(struct plait_factory *f,
				      struct plait_port *p,
				      struct plait_protocol *idlest);
void plait_wrapping_factory_port_opened(struct plait_factory *f,
					struct plait_port *p);
void plait_wrapping_factory_port_closed(struct plait_factory *f,
					struct plait_port *p);

#ifdef __cplusplus
}
#endif

#endif

/*
 * Wrappers stand between a connection and the protocol of another factory,
 * which cannot tell: Twisted's WrappingFactory and ProtocolWrapper.  They
 * stack, on ports and on connectors.  limit.h and throttle.h are two.
 *
 * For each connection there are four: the transport below, which may be a
 * wrapper's too; the wrapper, which is its protocol; the transport above,
 * which is the wrapper's own; and the inner protocol, which has that one.
 * What nobody changes passes, in both directions.
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

/* Embed it first.  Read only. */
struct plait_wrapper {
	struct plait_protocol base;
	struct plait_protocol *inner; /* built; NULL once it has a transport */
	/* NULL until connection_made().  One that the wrapper ends before that
	   below goes first: then ask plait_transport_above(). */
	struct plait_transport *above;
	uintptr_t reserved[2]; /* zero */
};

/*
 * Makes the transport above, so that a wrapper's own connection_made() can set
 * up what is behind its base, and calls plait_wrapper_connection_made() then.
 * Borrowed; NULL with no memory, and then the connection is aborted.
 */
struct plait_transport *plait_wrapper_transport(struct plait_protocol *p);

#define PLAIT_WRAPPER                                                          \
	.connection_made = plait_wrapper_connection_made,                      \
	.data_received = plait_wrapper_data_received,                          \
	.done = plait_wrapper_done, .base_size = sizeof(struct plait_wrapper), \
	.read_connection_lost = plait_wrapper_read_connection_lost,            \
	.write_connection_lost = plait_wrapper_write_connection_lost

/*
 * inner is borrowed, for as long as the wrapping factory is in use.  transport
 * is the table of the transport above, which must stay valid for ever; NULL:
 * one that passes everything.
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
 * For the tables: see the macros.  A wrapper that has one of these callbacks
 * itself names all of them, and base_size, in place of the macro, and calls the
 * function of that name from its own.  The inner factory is told of everything.
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

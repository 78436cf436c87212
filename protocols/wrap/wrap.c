/*
 * A wrapper that changes nothing: the base of all other wrappers.
 *
 * The wrapper is the protocol of the transport below and makes the transport
 * above.  From then on the library connects the two transports: what the inner
 * protocol asks of the transport above is passed to the transport below, and
 * the end of the transport below is the end of both.  So the wrapper only has
 * to pass up what comes.
 *
 * The inner protocol belongs to the wrapper until the transport above has it.
 */
#include <errno.h>

#include <plait/wrap.h>

static struct plait_wrapper *wrapper_of(struct plait_protocol *p)
{
	return plait_self(p, struct plait_wrapper);
}

static struct plait_wrapping_factory *wrapping_of(struct plait_factory *f)
{
	return plait_self(f, struct plait_wrapping_factory);
}

/* This table changes nothing, because what a table leaves out is passed on. */
static const struct plait_transport_ops passing_ops = { .name = "wrapped" };

struct plait_transport *plait_wrapper_transport(struct plait_protocol *p)
{
	struct plait_wrapper *w = wrapper_of(p);
	const struct plait_transport_ops *ops =
		wrapping_of(p->factory)->transport;

	if (w->above != NULL || w->inner == NULL)
		return w->above;
	w->above = plait_transport_new(ops != NULL ? ops : &passing_ops,
				       plait_transport_reactor(p->transport),
				       p->transport);
	if (w->above == NULL)
		plait_transport_abort_connection(p->transport);
	return w->above;
}

void plait_wrapper_connection_made(struct plait_protocol *p)
{
	struct plait_transport *above = plait_wrapper_transport(p);
	struct plait_protocol *inner = wrapper_of(p)->inner;

	if (above == NULL)
		return;
	wrapper_of(p)->inner = NULL;
	plait_transport_made(above, inner);
}

/* Not w->above, which may have ended before, and be freed. */
void plait_wrapper_data_received(struct plait_protocol *p, const void *data,
				 size_t len)
{
	struct plait_transport *above = plait_transport_above(p->transport);

	if (above != NULL)
		plait_transport_received(above, data, len);
}

void plait_wrapper_read_connection_lost(struct plait_protocol *p)
{
	struct plait_transport *above = plait_transport_above(p->transport);

	if (above != NULL)
		plait_transport_read_lost(above);
}

void plait_wrapper_write_connection_lost(struct plait_protocol *p)
{
	struct plait_transport *above = plait_transport_above(p->transport);

	if (above != NULL)
		plait_transport_write_lost(above);
}

/* The reactor owns a transport that was made. */
void plait_wrapper_done(struct plait_protocol *p)
{
	struct plait_wrapper *w = wrapper_of(p);

	if (w->inner != NULL)
		plait_transport_free(&w->above);
	plait_protocol_free(&w->inner);
}

void plait_wrapping_factory_start(struct plait_factory *f)
{
	plait_factory_start(wrapping_of(f)->inner);
}

void plait_wrapping_factory_stop(struct plait_factory *f)
{
	plait_factory_stop(wrapping_of(f)->inner);
}

struct plait_protocol *
plait_wrapping_factory_build_protocol(struct plait_factory *f,
				      const struct plait_address *peer)
{
	struct plait_protocol *inner =
		plait_factory_build_protocol(wrapping_of(f)->inner, peer);
	struct plait_protocol *p;

	if (inner == NULL)
		return NULL;
	p = plait_protocol_new(f->protocol);
	if (p == NULL) {
		plait_protocol_free(&inner);
		errno = ENOMEM;
		return NULL;
	}
	wrapper_of(p)->inner = inner;
	return p;
}

void plait_wrapping_factory_started_connecting(struct plait_factory *f,
					       struct plait_connector *c)
{
	struct plait_factory *inner = wrapping_of(f)->inner;

	if (inner->ops != NULL && inner->ops->started_connecting != NULL)
		inner->ops->started_connecting(inner, c);
}

void plait_wrapping_factory_connection_failed(struct plait_factory *f,
					      struct plait_connector *c,
					      const struct plait_failure *why)
{
	struct plait_factory *inner = wrapping_of(f)->inner;

	if (inner->ops != NULL && inner->ops->connection_failed != NULL)
		inner->ops->connection_failed(inner, c, why);
}

void plait_wrapping_factory_connection_lost(struct plait_factory *f,
					    struct plait_connector *c,
					    const struct plait_failure *why)
{
	struct plait_factory *inner = wrapping_of(f)->inner;

	if (inner->ops != NULL && inner->ops->connection_lost != NULL)
		inner->ops->connection_lost(inner, c, why);
}

/* idlest is the inner protocol already, however many wrappers there are. */
void plait_wrapping_factory_port_full(struct plait_factory *f,
				      struct plait_port *p,
				      struct plait_protocol *idlest)
{
	struct plait_factory *inner = wrapping_of(f)->inner;

	if (inner->ops != NULL && inner->ops->port_full != NULL)
		inner->ops->port_full(inner, p, idlest);
}

void plait_wrapping_factory_port_opened(struct plait_factory *f,
					struct plait_port *p)
{
	struct plait_factory *inner = wrapping_of(f)->inner;

	if (inner->ops != NULL && inner->ops->port_opened != NULL)
		inner->ops->port_opened(inner, p);
}

void plait_wrapping_factory_port_closed(struct plait_factory *f,
					struct plait_port *p)
{
	struct plait_factory *inner = wrapping_of(f)->inner;

	if (inner->ops != NULL && inner->ops->port_closed != NULL)
		inner->ops->port_closed(inner, p);
}

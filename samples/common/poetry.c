/*
 * The clients of the poetry programs.
 *
 * A download needs no protocol of its own.  A transformation needs a protocol,
 * and shows how to make a deferred of a connection, with true cancellation.  A
 * request is a factory for one connection, and has the firing end of the
 * deferred that it gave.  The canceller of this deferred disconnects the
 * connector, whether it has connected yet or not.  What the connection fires
 * after that is freed.  The request lives until the connector has ended and
 * calls stop().
 */
#include <stdlib.h>

#include "common/poetry.h"

struct plait_deferred *get_poetry(struct plait_reactor *r,
				  const struct server *server)
{
	return plait_client_read_all(r, server->host, server->port, PLAIT_NONE,
				     POEM_MAX, NULL);
}

struct request {
	struct plait_factory factory;
	struct plait_connector *connector;
	struct plait_promise *promise;
	struct plait_buf *bytes; /* to be sent */
	char server[SERVER_SIZE];
};

static plait_value request_cancelled(struct plait_deferred *d, void *arg)
{
	struct request *self = arg;

	plait_connector_disconnect(self->connector);
	return plait_cancelled();
}

static void request_failed(struct plait_factory *f, struct plait_connector *c,
			   const struct plait_failure *why)
{
	plait_fire(&plait_self(f, struct request)->promise,
		   plait_failure_value(why));
}

static void request_stop(struct plait_factory *f)
{
	struct request *self = plait_self(f, struct request);

	plait_promise_drop(&self->promise);
	plait_buf_unref(&self->bytes);
	free(self);
}

static const struct plait_factory_ops request_ops = {
	.name = "poetry-request",
	.stop = request_stop,
	.connection_failed = request_failed,
};

static void transform_made(struct plait_protocol *p)
{
	struct request *self = plait_self(p->factory, struct request);

	plait_netstring_receiver_send(
		plait_self(p, struct plait_netstring_receiver),
		plait_buf_data(self->bytes), plait_buf_size(self->bytes));
}

static void transform_received(struct plait_netstring_receiver *p,
			       const void *data, size_t len)
{
	struct request *self = plait_self(p->base.factory, struct request);
	struct plait_buf *poem = plait_buf_copy(data, len);

	plait_transport_lose_connection(p->base.transport);
	plait_fire(&self->promise,
		   poem ? plait_buf_value(poem) : plait_no_memory());
}

/* After the answer has come, this only frees the value. */
static void transform_lost(struct plait_protocol *p,
			   const struct plait_failure *why)
{
	struct request *self = plait_self(p->factory, struct request);

	plait_fire(&self->promise,
		   plait_fail_because(&plait_error_connection_closed, why,
				      "%s did not transform the poem",
				      self->server));
}

static const struct plait_netstring_receiver_ops transform_ops = {
	.base = { .name = "poetry-transform",
		  .size = sizeof(struct plait_netstring_receiver),
		  .connection_made = transform_made,
		  PLAIT_NETSTRING_RECEIVER,
		  .connection_lost = transform_lost },
	.string_received = transform_received,
};

/* Makes what is sent to the server; NULL without memory. */
static struct plait_buf *transform_request(const char *transformation,
					   struct plait_buf *poem)
{
	struct plait_buf *b = plait_buf_new(PLAIT_BUF_UNBOUNDED);

	if (b != NULL && (plait_buf_printf(b, "%s.", transformation) < 0 ||
			  plait_buf_append(b, plait_buf_data(poem),
					   plait_buf_size(poem)) < 0))
		plait_buf_unref(&b);
	return b;
}

struct plait_deferred *transform_poetry(struct plait_reactor *r,
					const struct server *server,
					const char *transformation,
					struct plait_buf *poem)
{
	struct request *self = calloc(1, sizeof(*self));
	struct plait_deferred *d;

	if (self == NULL)
		return plait_failed(plait_no_memory());
	self->bytes = transform_request(transformation, poem);
	if (self->bytes == NULL) {
		free(self);
		return plait_failed(plait_no_memory());
	}
	self->factory.ops = &request_ops;
	self->factory.protocol = &transform_ops.base;
	server_str(server, self->server);
	d = plait_deferred_new(&self->promise, request_cancelled, self);
	self->connector = plait_connect_tcp(r, server->host, server->port,
					    &self->factory, NULL);
	return d;
}

/*
 * The clients of the poetry programs.
 *
 * A download needs no protocol of its own.  A transformation needs a protocol,
 * and shows how to make a deferred of a connection, with true cancellation: the
 * deferred of connecting goes on with a second one, for the answer.  Whoever
 * cancels the whole cancels the one that is waited for: connecting stops, or
 * the connection is lost.
 */
#include <stdlib.h>
#include <string.h>

#include "common/poetry.h"

struct plait_deferred *get_poetry(struct plait_reactor *r,
				  const struct server *server)
{
	return plait_endpoint_read_all(server->endpoint, r, PLAIT_NONE,
				       POEM_MAX);
}

/* ---- the connection ------------------------------------------------------ */

struct transformer {
	struct plait_netstring_receiver base;
	struct plait_promise *promise; /* for the answer */
	char server[sizeof(((struct server *)NULL)->text)];
};

static struct transformer *transformer(struct plait_protocol *p)
{
	return plait_self(p, struct transformer);
}

static void transform_received(struct plait_netstring_receiver *p,
			       const void *data, size_t len)
{
	struct plait_buf *poem = plait_buf_copy(data, len);

	plait_transport_lose_connection(p->base.transport);
	plait_fire(&transformer(&p->base)->promise,
		   poem ? plait_buf_value(poem) : plait_no_memory());
}

/* After the answer has come, this only frees the value. */
static void transform_lost(struct plait_protocol *p,
			   const struct plait_failure *why)
{
	struct transformer *self = transformer(p);

	plait_fire(&self->promise,
		   plait_fail_because(&plait_error_connection_closed, why,
				      "%s did not transform the poem",
				      self->server));
}

static const struct plait_netstring_receiver_ops transform_ops = {
	.base = { .name = "poetry-transform",
		  .size = sizeof(struct transformer),
		  PLAIT_NETSTRING_RECEIVER,
		  .connection_lost = transform_lost },
	.string_received = transform_received,
};

/* ---- the request --------------------------------------------------------- */

struct request {
	struct plait_buf *bytes; /* to be sent */
	char server[sizeof(((struct server *)NULL)->text)];
};

static plait_value answer_cancelled(struct plait_deferred *d, void *arg)
{
	struct transformer *self = arg;

	plait_promise_drop(&self->promise);
	plait_transport_lose_connection(self->base.base.transport);
	return plait_cancelled();
}

/* Sends the request, and goes on with a deferred for the answer. */
static plait_value send_request(plait_value *result, void *arg)
{
	const struct request *request = arg;
	struct plait_protocol *p = plait_client_take(result);
	struct transformer *self = transformer(p);
	struct plait_deferred *d;

	if (p == NULL)
		return plait_fail(&plait_error_connection_closed,
				  "%s did not transform the poem",
				  request->server);
	strcpy(self->server, request->server);
	d = plait_deferred_new(&self->promise, answer_cancelled, self);
	plait_netstring_receiver_send(&self->base,
				      plait_buf_data(request->bytes),
				      plait_buf_size(request->bytes));
	return plait_chain(&d);
}

static plait_value request_done(plait_value *result, void *arg)
{
	struct request *self = arg;

	plait_buf_unref(&self->bytes);
	free(self);
	return plait_value_take(result);
}

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
	strcpy(self->server, server->text);
	d = plait_endpoint_connect(server->endpoint, r, &transform_ops.base,
				   NULL);
	plait_deferred_add_callback(d, send_request, self);
	return plait_deferred_add_both(d, request_done, self);
}

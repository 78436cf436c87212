/*
 * All that a server sends, as a deferred.
 *
 * It is a client with a protocol of its own.  The struct that they share lives
 * until two things are over: connecting, which read_connected() is told, and
 * the connection, if there is one.  The result is fired by whichever knows it
 * first; what is fired after that does nothing.
 */
#include <errno.h>
#include <stdlib.h>

#include <plait/endpoint.h>

/* Defined here; whoever calls them here says the place. */
#undef plait_client_read_all
#undef plait_endpoint_read_all

struct reading {
	struct plait_promise *promise;
	struct plait_deferred *connecting; /* NULL: that is over */
	struct plait_protocol *protocol;   /* NULL: not connected, or lost */
	plait_value connection;		   /* the same, as connecting gave it */
	plait_value request;
	struct plait_buf *bytes;
	unsigned users; /* connecting, and the connection */
	char server[PLAIT_ADDRESS_SIZE];
};

static void reading_unref(struct reading *self)
{
	if (--self->users > 0)
		return;
	plait_promise_drop(&self->promise);
	plait_value_free(&self->connection);
	plait_value_free(&self->request);
	plait_buf_unref(&self->bytes);
	free(self);
}

/* ---- the connection ------------------------------------------------- */

static void read_made(struct plait_protocol *p)
{
	struct reading *self = plait_client_arg(p);
	struct plait_address peer;

	self->users++;
	self->protocol = p;
	if (plait_transport_peer(p->transport, &peer) == 0)
		plait_address_str(&peer, self->server, sizeof(self->server));
	if (!plait_value_is_none(&self->request))
		plait_then_write(&self->request, p->transport);
	plait_value_free(&self->request);
}

static void read_received(struct plait_protocol *p, const void *data,
			  size_t len)
{
	struct reading *self = plait_client_arg(p);
	int err = plait_buf_append(self->bytes, data, len);

	if (err == 0)
		return;
	plait_transport_abort_connection(p->transport);
	if (err == -ENOMEM)
		plait_fire(&self->promise, plait_no_memory());
	else
		plait_fire(&self->promise,
			   plait_fail_errno(&plait_error_os, -err,
					    "more than %zu bytes from %s",
					    plait_buf_max(self->bytes),
					    self->server));
}

/* A server that closes the connection has sent all. */
static void read_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	struct reading *self = plait_client_arg(p);

	self->protocol = NULL;
	if (plait_failure_check(why, &plait_error_connection_done))
		plait_fire(&self->promise,
			   plait_buf_value(plait_buf_ref(self->bytes)));
	else
		plait_fire(&self->promise,
			   plait_fail_because(plait_failure_kind(why), why,
					      "reading from %s", self->server));
	reading_unref(self);
}

static const struct plait_protocol_ops read_ops = {
	.name = "read-all",
	.connection_made = read_made,
	.data_received = read_received,
	.connection_lost = read_lost,
};

/* ---- connecting ----------------------------------------------------- */

/* If the connection was lost by now, read_lost() has fired already. */
static plait_value read_connected(plait_value *result, void *arg)
{
	struct reading *self = arg;

	plait_deferred_detach(&self->connecting);
	if (plait_value_is_failure(result))
		plait_fire(&self->promise, plait_value_take(result));
	else
		self->connection = plait_value_take(result);
	reading_unref(self);
	return PLAIT_NONE;
}

/* In a child made by fork() the protocol is left without a transport. */
static bool reading_is_abandoned(const struct reading *self)
{
	return self->protocol != NULL && self->protocol->transport == NULL;
}

static void reading_abandon(struct reading *self)
{
	plait_protocol_free(&self->protocol);
	if (self->connecting != NULL)
		plait_deferred_cancel(self->connecting);
	reading_unref(self);
}

static plait_value read_cancel(struct plait_deferred *d, void *arg)
{
	struct reading *self = arg;

	plait_promise_drop(&self->promise);
	if (reading_is_abandoned(self)) {
		reading_abandon(self);
		return plait_cancelled();
	}
	if (self->protocol != NULL)
		plait_transport_abort_connection(self->protocol->transport);
	plait_deferred_cancel(self->connecting);
	return plait_cancelled();
}

/* Takes request; NULL with no memory. */
static struct reading *reading_new(plait_value request, size_t max)
{
	struct reading *self = calloc(1, sizeof(*self));

	if (self != NULL)
		self->bytes = plait_buf_new(max);
	if (self == NULL || self->bytes == NULL) {
		plait_value_free(&request);
		free(self);
		return NULL;
	}
	self->request = request;
	self->users = 1;
	return self;
}

static void reading_check(const struct plait_reactor *r, const char *function,
			  const plait_value *request, const char *where)
{
	if (r == NULL)
		plait_die(where, "%s() was given a NULL reactor", function);
	if (!plait_value_is_none(request) && !plait_value_is_failure(request) &&
	    !plait_value_is(request, &plait_text_type))
		(plait_value_buf)(request, where);
}

/*
 * Takes request, and gives the deferred.  *ret is NULL if that has failed;
 * otherwise reading_connect() must follow.
 */
static struct plait_deferred *reading_begin(plait_value request, size_t max,
					    const char *where,
					    struct reading **ret)
{
	struct plait_deferred *d;
	struct reading *self;

	*ret = NULL;
	if (plait_value_is_failure(&request))
		return (plait_failed)(request, where);
	self = reading_new(request, max);
	if (self == NULL)
		return (plait_failed)(plait_no_memory(), where);
	d = (plait_deferred_new)(&self->promise, read_cancel, self, where);
	if (self->promise != NULL)
		*ret = self;
	else
		reading_unref(self);
	return d;
}

/* connecting, which is taken, makes a client of read_ops with self. */
static void reading_connect(struct reading *self,
			    struct plait_deferred *connecting)
{
	self->connecting = connecting;
	plait_deferred_add_both(connecting, read_connected, self);
}

struct plait_deferred *
plait_client_read_all(struct plait_reactor *r, const char *host, unsigned port,
		      plait_value request, size_t max,
		      const struct plait_connect_options *options,
		      const char *where)
{
	struct plait_deferred *d;
	struct reading *self;

	reading_check(r, "plait_client_read_all", &request, where);
	d = reading_begin(request, max, where, &self);
	if (self != NULL)
		reading_connect(self,
				(plait_client_connect_tcp)(r, host, port,
							   &read_ops, self,
							   options, where));
	return d;
}

struct plait_deferred *plait_endpoint_read_all(const struct plait_endpoint *e,
					       struct plait_reactor *r,
					       plait_value request, size_t max,
					       const char *where)
{
	struct plait_deferred *d;
	struct reading *self;

	reading_check(r, "plait_endpoint_read_all", &request, where);
	d = reading_begin(request, max, where, &self);
	if (self != NULL)
		reading_connect(self, (plait_endpoint_connect)(e, r, &read_ops,
							       self, where));
	return d;
}

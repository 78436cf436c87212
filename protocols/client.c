/*
 * Clients: connections as deferreds.  A client is a factory for one
 * connection.  The reactor uses it from connecting until client_stop(), and the
 * value that the deferred fires with uses it until the value is taken or freed.
 * Whichever ends last frees the client.
 *
 * The deferred does not fire before connection_made() has returned, but in the
 * next turn: connection_made() may have ended the connection.
 */
#include <errno.h>
#include <stdlib.h>

#include <plait/timer.h>

#include "lib/exception.h"
#include "protocols/client.h"

/* Defined here; whoever calls them here says the place. */
#undef plait_client_connect
#undef plait_client_connect_tcp
#undef plait_value_client
#undef plait_client_take

struct client {
	struct plait_factory factory;
	void *arg;
	struct plait_reactor *reactor;
	struct plait_connector *connector; /* referenced; NULL: it is over */
	struct plait_protocol *protocol;   /* NULL: not yet, or lost */
	struct plait_promise *promise;
	struct plait_timer made;
	bool is_value, stopped;
};

static void client_release(struct client *c)
{
	if (!c->is_value && c->stopped)
		free(c);
}

/* ---- the value ------------------------------------------------------ */

/*
 * True in a forked child, where the reactor is the parent's: nobody will tell
 * the factory of the end.
 */
static bool client_is_abandoned(const struct client *c)
{
	return c->stopped || (c->connector != NULL &&
			      plait_connector_reactor(c->connector) == NULL);
}

static void client_abandon(struct client *c)
{
	plait_timer_stop(&c->made);
	plait_connector_unref(&c->connector);
	plait_promise_drop(&c->promise);
	c->stopped = true;
	client_release(c);
}

static void give_up_value(struct client *c)
{
	c->is_value = false;
	if (client_is_abandoned(c))
		client_abandon(c);
	else
		client_release(c);
}

static void client_value_free(void *ptr)
{
	struct client *c = ptr;

	if (c->protocol != NULL && !client_is_abandoned(c))
		plait_transport_lose_connection(c->protocol->transport);
	give_up_value(c);
}

const struct plait_type plait_client_type = {
	.name = "client",
	.free = client_value_free,
};

struct plait_protocol *plait_value_client(const plait_value *v,
					  const char *where)
{
	struct client *c = (plait_value_get)(v, &plait_client_type, where);

	return c->protocol;
}

struct plait_protocol *plait_client_take(plait_value *slot, const char *where)
{
	struct plait_protocol *p = plait_value_client(slot, where);
	struct client *c = plait_value_take(slot).ptr;

	give_up_value(c);
	return p;
}

/* ---- the factory ---------------------------------------------------- */

static void client_fire(void *arg)
{
	struct client *c = arg;

	c->is_value = true;
	plait_fire(&c->promise, plait_value_make(&plait_client_type, c));
}

static struct plait_protocol *client_build(struct plait_factory *f,
					   const struct plait_address *peer)
{
	struct client *c = plait_self(f, struct client);

	c->protocol = plait_protocol_new(f->protocol);
	plait_timer_start(c->reactor, &c->made, 0, client_fire, c);
	return c->protocol;
}

/* Connecting has failed, or the connection was lost. */
static void client_end(struct plait_factory *f,
		       struct plait_connector *connector,
		       const struct plait_failure *why)
{
	struct client *c = plait_self(f, struct client);

	plait_timer_stop(&c->made);
	plait_connector_unref(&c->connector);
	c->protocol = NULL;
	plait_fire(&c->promise, plait_failure_value(why));
}

static void client_stop(struct plait_factory *f)
{
	struct client *c = plait_self(f, struct client);

	plait_promise_drop(&c->promise);
	c->stopped = true;
	client_release(c);
}

static const struct plait_factory_ops client_ops = {
	.name = "client",
	.stop = client_stop,
	.build_protocol = client_build,
	.connection_failed = client_end,
	.connection_lost = client_end,
};

void *plait_client_arg(const struct plait_protocol *p)
{
	struct plait_factory *f = p->factory;

	if (f == NULL || f->ops != &client_ops)
		plait_die("plait_client_arg",
			  "the protocol %s was not made for a client",
			  p->ops->name);
	return plait_self(f, struct client)->arg;
}

/* ---- connecting ----------------------------------------------------- */

static plait_value client_cancel(struct plait_deferred *d, void *arg)
{
	struct client *c = arg;

	plait_promise_drop(&c->promise);
	if (client_is_abandoned(c))
		client_abandon(c);
	else
		plait_connector_disconnect(c->connector);
	return plait_cancelled();
}

/*
 * The reactor would not even begin, and has told nobody.  ESHUTDOWN says that
 * it is ending and that callbacks begin anew each time when they are told so.
 * Told again, they would go on without end; so the deferred stays pending.
 */
static void client_refuse(struct client *c, int err, client_refusal *refused,
			  void *connect_arg)
{
	if (err == ESHUTDOWN) {
		c->stopped = true;
		return;
	}
	plait_fire(&c->promise, refused(err, connect_arg));
	free(c);
}

static void client_check(const struct plait_reactor *r, const char *function,
			 const char *where)
{
	if (r == NULL)
		plait_die(where, "%s() was given a NULL reactor", function);
}

static OUT_OF_LINE struct plait_connector *
client_call(struct client *c, plait_connect_func *connect, void *arg)
{
	struct plait_connector *ret = connect(c->reactor, &c->factory, arg);

	exception_barrier();
	return ret;
}

struct plait_deferred *
plait_i_client_connect(struct plait_reactor *r, plait_connect_func *connect,
		       client_refusal *refused, void *connect_arg,
		       const struct plait_protocol_ops *ops, void *arg,
		       const char *where)
{
	struct client *c;
	struct plait_deferred *d;

	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return (plait_failed)(plait_no_memory(), where);
	c->factory.ops = &client_ops;
	c->factory.protocol = ops;
	c->arg = arg;
	c->reactor = r;
	d = (plait_deferred_new)(&c->promise, client_cancel, c, where);
	if (c->promise == NULL) {
		free(c);
		return d;
	}
	c->connector =
		plait_connector_ref(client_call(c, connect, connect_arg));
	if (!plait_factory_is_used(&c->factory))
		client_refuse(c, errno, refused, connect_arg);
	return d;
}

static plait_value client_refusal_of(int err, void *connect_arg)
{
	return plait_fail_errno(&plait_error_connect, err, "%s", "");
}

struct plait_deferred *
plait_client_connect(struct plait_reactor *r, plait_connect_func *connect,
		     void *connect_arg, const struct plait_protocol_ops *ops,
		     void *arg, const char *where)
{
	client_check(r, "plait_client_connect", where);
	return plait_i_client_connect(r, connect, client_refusal_of,
				      connect_arg, ops, arg, where);
}

struct client_tcp {
	const char *host;
	unsigned port;
	const struct plait_connect_options *options;
};

static struct plait_connector *
client_connect_tcp(struct plait_reactor *r, struct plait_factory *f, void *arg)
{
	const struct client_tcp *to = arg;

	return plait_connect_tcp(r, to->host, to->port, f, to->options);
}

struct plait_deferred *
plait_client_connect_tcp(struct plait_reactor *r, const char *host,
			 unsigned port, const struct plait_protocol_ops *ops,
			 void *arg, const struct plait_connect_options *options,
			 const char *where)
{
	struct client_tcp to = { host, port, options };

	client_check(r, "plait_client_connect_tcp", where);
	return plait_client_connect(r, client_connect_tcp, &to, ops, arg,
				    where);
}

/*
 * The poetry proxy as a scenario: see proxy.h.
 */
#include <plait/client.h>
#include <plait/plait.h>

#include "tests/proxy.h"

enum proxy_kind proxy_kind;

/* One proxy at a time. */
static struct {
	struct plait_factory factory;
	struct plait_port *port;
	const char *host; /* of the server */
	unsigned server;
	struct plait_timer patience; /* it says that the poem will come */
	size_t requests;
} proxy;

static void ask_for_patience(void *r)
{
	plait_timer_start(r, &proxy.patience, 1, ask_for_patience, r);
}

static plait_value end_request(plait_value *result, void *arg)
{
	bool failed = plait_value_is_failure(result);

	if (!failed || proxy_kind != PROXY_FORGETS_A_TIMER)
		plait_timer_stop(&proxy.patience);
	if (!failed || proxy_kind != PROXY_KEEPS_A_REQUEST)
		proxy.requests--;
	return plait_value_take(result);
}

static struct plait_deferred *fetch_poem(struct plait_reactor *r)
{
	struct plait_deferred *d = plait_client_read_all(
		r, proxy.host, proxy.server, PLAIT_NONE, 1000, NULL);

	proxy.requests++;
	ask_for_patience(r);
	return plait_deferred_add_both(d, end_request, NULL);
}

/* The download goes on, whatever becomes of what this gives. */
static struct plait_deferred *let_go(struct plait_deferred *download)
{
	struct plait_promise *promise;
	struct plait_deferred *d = plait_deferred_new(&promise, NULL, NULL);

	plait_deferred_forward(download, &promise);
	plait_deferred_detach(&download);
	return d;
}

static void client_made(struct plait_protocol *p)
{
	struct plait_deferred *d =
		fetch_poem(plait_transport_reactor(p->transport));

	if (proxy_kind == PROXY_LETS_GO)
		d = let_go(d);
	plait_deferred_add_callback(d, plait_then_write, p->transport);
	plait_deferred_add_both(d, plait_then_lose_connection, p->transport);
	plait_scope_own(plait_transport_scope(p->transport), &d);
}

static const struct plait_protocol_ops client_ops = {
	.name = "proxy",
	.connection_made = client_made,
};

static plait_value close_proxy(plait_value *result, void *arg)
{
	plait_port_free(&proxy.port);
	return plait_value_take(result);
}

static struct plait_deferred *start_proxy(struct scene *s)
{
	struct plait_listen_options o = { .iface = servers_world.here };
	struct plait_address a;

	proxy.factory.protocol = &client_ops;
	proxy.requests = 0;
	s->port = server_start(s->reactor, SERVER_SLOW, &proxy.host,
			       &proxy.server);
	if (plait_listen_tcp(s->reactor, 0, &proxy.factory, &o, &proxy.port) <
	    0)
		return plait_failed(plait_no_memory());
	plait_port_host(proxy.port, &a);
	return plait_deferred_add_both(
		plait_client_read_all(s->reactor, servers_world.here,
				      plait_address_port(&a), PLAIT_NONE, 1000,
				      NULL),
		close_proxy, NULL);
}

const struct starter proxy_starter = {
	.name = "poetry proxy",
	.state = "",
	.start = start_proxy,
	.needs_sockets = true,
	.others = true,
};

size_t proxy_requests(void)
{
	return proxy.requests;
}

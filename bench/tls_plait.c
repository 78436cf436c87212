/*
 * The echo over TLS with plait, as the samples write it.
 */
#include <plait/plait.h>
#include <plait/tls.h>

#include "tls.h"

static void echo_received(struct plait_protocol *p, const void *data,
			  size_t len)
{
	plait_transport_write(p->transport, data, len);
}

static void echo_made(struct plait_protocol *p)
{
	plait_transport_register_producer(
		p->transport, plait_transport_producer(p->transport), true);
}

static const struct plait_protocol_ops echo_ops = {
	.name = "echo",
	.connection_made = echo_made,
	.data_received = echo_received,
};

static void serve(const void *what, unsigned number)
{
	struct tls_pem pem = tls_pem_new();
	const struct plait_tls_server_options tls = {
		.certificate = { .bytes = pem.certificate,
				 .size = pem.certificate_size },
		.key = { .bytes = pem.key, .size = pem.key_size },
	};
	const struct plait_listen_options options = { .iface = "127.0.0.1",
						      .no_delay = true };
	struct plait_factory factory = { .protocol = &echo_ops };
	struct plait_reactor *r = plait_reactor_new(NULL);
	struct plait_tls_context *context;
	struct plait_address address;
	struct plait_port *port;

	context = plait_tls_server_new(&tls, NULL, 0);
	must(r != NULL && context != NULL, "begin");
	must(plait_listen_tls(r, 0, &factory, context, &options, &port) == 0,
	     "listen");
	plait_port_host(port, &address);
	tell_port(plait_address_port(&address));
	plait_reactor_run(r);
	plait_reactor_free(&r);
	plait_tls_context_unref(&context);
}

const struct work works[] = {
	{ "tls", serve, NULL },
	{ 0 },
};

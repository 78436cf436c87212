/*
 * A program that was compiled with the headers of a later library, and sets a
 * member that this library does not have (scripts/check-growth).  Linked with
 * the later library the member acts; this library refuses it.
 *
 *	new BACKEND later|today
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <plait/plait.h>

static bool later;
static int failed_with;
static char peer_host[PLAIT_ADDRESS_SIZE];
static char end[100];

static void must(bool holds, const char *what)
{
	if (!holds)
		plait_die("new", "%s: %s library", what,
			  later ? "later" : "today's");
}

static void overflow(struct plait_protocol *p)
{
	struct plait_address a;

	plait_transport_peer(p->transport, &a);
	plait_address_host(&a, peer_host, sizeof(peer_host));
	plait_transport_write(p->transport, "too much", 8);
}

static void lost(struct plait_protocol *p, const struct plait_failure *why)
{
	plait_failure_str(why, end, sizeof(end));
	plait_reactor_stop(plait_transport_reactor(p->transport));
}

static void failed(struct plait_factory *f, struct plait_connector *c,
		   const struct plait_failure *why)
{
	failed_with = plait_failure_errno(why);
	plait_reactor_stop(plait_connector_reactor(c));
}

static const struct plait_protocol_ops server_ops = {
	.name = "server",
	.connection_made = overflow,
	.connection_lost = lost,
};
static const struct plait_protocol_ops client_ops = { .name = "client" };
static const struct plait_factory_ops factory_ops = {
	.connection_failed = failed,
};

static void check_limits(struct plait_reactor *r)
{
	struct plait_limits limits = { .max_unsent = 1 };

	must(plait_reactor_set_limits(r, &limits) == (later ? 0 : -EINVAL),
	     "set limits");
}

static void check_listening(struct plait_reactor *r, struct plait_factory *f,
			    struct plait_address *at)
{
	struct plait_listen_options options = { .iface = "127.0.0.2" };
	struct plait_port *port;
	char host[PLAIT_ADDRESS_SIZE];

	if (!later) {
		must(plait_listen_tcp(r, 0, f, &options, &port) == -EINVAL,
		     "listen with an option");
		return;
	}
	must(plait_listen_tcp(r, 0, f, &options, &port) == 0, "listen");
	plait_port_host(port, at);
	plait_address_host(at, host, sizeof(host));
	must(strcmp(host, "127.0.0.2") == 0, "host");
}

static void check_connecting(struct plait_reactor *r, struct plait_factory *f,
			     const struct plait_address *to)
{
	struct plait_connect_options options = { .bind_address = "127.0.0.3" };

	plait_connect_tcp(r, "127.0.0.2", plait_address_port(to), f, &options);
	must(plait_reactor_run(r) == 0, "run");
	must(failed_with == (later ? 0 : EINVAL), "connect with an option");
	must(strcmp(peer_host, later ? "127.0.0.3" : "") == 0, "peer");
	must(strcmp(end, later ? "ConnectionAborted: more than 1 bytes unsent"
			       : "") == 0,
	     "limit");
}

int main(int argc, char **argv)
{
	struct plait_factory server = { .protocol = &server_ops };
	struct plait_factory client = { .ops = &factory_ops,
					.protocol = &client_ops };
	struct plait_reactor *r;
	struct plait_address at = { 0 };

	plait_assert(argc == 3);
	later = strcmp(argv[2], "later") == 0;
	r = plait_reactor_new(argv[1]);
	plait_assert(r != NULL);
	check_limits(r);
	check_listening(r, &server, &at);
	check_connecting(r, &client, &at);
	plait_reactor_free(&r);
	return 0;
}

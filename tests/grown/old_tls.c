/*
 * What old.c is for the core, for libplait-tls: a program that was compiled
 * before the library has grown, whose structs lie at the end of a page.
 *
 *	old_tls BACKEND CERTIFICATES
 */
#include <stdio.h>

#include <plait/tls.h>

#include "at_end.h"

static const char *certificates;
static struct plait_reactor *reactor;
static unsigned lost, chosen, judged, failed;
static size_t received;

/* What that file has; both ends of the name are the library's to borrow. */
static struct plait_tls_pem *pem(const char *name)
{
	char path[500];

	snprintf(path, sizeof(path), "%s/%s", certificates, name);
	return NEW(struct plait_tls_pem, .file = strdup(path));
}

static void check_info(const struct plait_tls_info *info)
{
	plait_assert(strcmp(info->version, "TLSv1.3") == 0);
	plait_assert(info->cipher != NULL && !info->resumed);
}

/* ---- a conversation ------------------------------------------------------ */

static void say_hello(struct plait_protocol *p)
{
	plait_transport_write(p->transport, "hello", 5);
}

static void echo(struct plait_protocol *p, const void *data, size_t len)
{
	plait_transport_write(p->transport, data, len);
}

static void hear(struct plait_protocol *p, const void *data, size_t len)
{
	struct plait_tls_info *info = ZEROED(struct plait_tls_info);

	received += len;
	plait_assert(plait_transport_tls_info(p->transport, info) == 0);
	check_info(info);
	plait_assert(info->verified && info->n_certificates == 1);
	plait_assert(info->certificates[0].size > 0);
	if (received >= 5)
		plait_transport_lose_connection(p->transport);
}

static void is_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	plait_assert(plait_failure_check(why, &plait_error_connection_done));
	if (++lost == 2)
		plait_reactor_stop(reactor);
}

static plait_value choose(const struct plait_tls_hello *hello, void *arg)
{
	plait_assert(plait_address_port(hello->peer) != 0);
	chosen++;
	return PLAIT_NONE;
}

static plait_value judge(const struct plait_tls_info *peer, void *arg)
{
	check_info(peer);
	plait_assert(peer->n_certificates == 1);
	judged++;
	return PLAIT_NONE;
}

static void is_failed(const struct plait_address *peer,
		      const struct plait_failure *why, void *arg)
{
	failed++;
}

static struct plait_tls_context *server_context(void)
{
	char why[PLAIT_TLS_WHY_SIZE];
	struct plait_tls_context *c = plait_tls_server_new(
		NEW(struct plait_tls_server_options,
		    .certificate = *pem("good.pem"), .key = *pem("good.key"),
		    .choose = choose, .failed = is_failed),
		why, sizeof(why));

	if (c == NULL)
		plait_die("old_tls", "%s", why);
	return c;
}

static struct plait_tls_context *client_context(void)
{
	char why[PLAIT_TLS_WHY_SIZE];
	struct plait_tls_context *c = plait_tls_client_new(
		NEW(struct plait_tls_client_options,
		    .authorities = *pem("authority.pem"), .verify = judge),
		why, sizeof(why));

	if (c == NULL)
		plait_die("old_tls", "%s", why);
	return c;
}

static struct plait_factory *
factory(void (*made)(struct plait_protocol *p),
	void (*heard)(struct plait_protocol *p, const void *data, size_t len))
{
	return NEW(struct plait_factory,
		   .protocol =
			   NEW(struct plait_protocol_ops, .name = "old",
			       .connection_made = made, .data_received = heard,
			       .connection_lost = is_lost));
}

static void converse(struct plait_tls_context *server,
		     struct plait_tls_context *client)
{
	struct plait_port *port;
	struct plait_address at;

	plait_assert(plait_listen_tls(reactor, 0, factory(NULL, echo), server,
				      NULL, &port) == 0);
	plait_port_host(port, &at);
	plait_assert(plait_connect_tls(
			     reactor, "127.0.0.1", plait_address_port(&at),
			     factory(say_hello, hear), client, NULL) != NULL);
	plait_assert(plait_reactor_run(reactor) == 0);
	plait_assert(received == 5 && lost == 2);
	plait_assert(chosen == 1 && judged == 1 && failed == 0);
}

/* ---- contexts ------------------------------------------------------------ */

static void change(struct plait_tls_context *server)
{
	struct plait_tls_ticket_key *key = ZEROED(struct plait_tls_ticket_key);

	memset(key, 1, sizeof(*key));
	plait_assert(plait_tls_context_set_ticket_keys(server, key, 1) == 0);
	plait_assert(plait_tls_context_reload(server, pem("rsa.pem"),
					      pem("rsa.key"), NULL, 0) == 0);
}

int main(int argc, char **argv)
{
	struct plait_tls_context *server, *client;

	plait_assert(argc == 3);
	certificates = argv[2];
	reactor = plait_reactor_new(argv[1]);
	plait_assert(reactor != NULL);
	server = server_context();
	client = client_context();
	change(server);
	converse(server, client);
	plait_reactor_free(&reactor);
	plait_tls_context_unref(&server);
	plait_tls_context_unref(&client);
	return 0;
}

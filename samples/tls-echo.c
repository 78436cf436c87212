/*
 * Sends back what it receives, over TLS.  The protocol is that of the echo
 * without TLS: a factory stands before it.
 *
 *	scripts/make-certificates certificates
 *	tls-echo --port 4433 --certificate certificates/good.pem \
 *		--key certificates/good.key
 *	openssl s_client -connect localhost:4433 \
 *		-CAfile certificates/authority.pem
 */
#include <stdio.h>
#include <string.h>

#include <plait/tls.h>

#include "common/program.h"

enum { MAX_ALPN = 8, MAX_KEYS = 3 };

static void echo_made(struct plait_protocol *p)
{
	struct plait_transport *t = p->transport;
	struct plait_tls_info info;

	plait_transport_register_producer(t, plait_transport_producer(t), true);
	if (plait_transport_tls_info(t, &info) == 0)
		printf("%s, %s, %s%s%s\n", info.version, info.cipher,
		       info.alpn != NULL ? info.alpn : "no protocol",
		       info.resumed ? ", resumed" : "",
		       info.verified ? ", known" : "");
}

static void echo_received(struct plait_protocol *p, const void *data,
			  size_t len)
{
	plait_transport_write(p->transport, data, len);
}

static void print_why(const char *what, const struct plait_failure *why)
{
	char text[512];

	plait_failure_str(why, text, sizeof(text));
	printf("%s: %s\n", what, text);
}

static void echo_lost(struct plait_protocol *p, const struct plait_failure *why)
{
	if (!plait_failure_check(why, &plait_error_connection_done))
		print_why("Lost", why);
}

static const struct plait_protocol_ops echo_ops = {
	.name = "echo",
	.connection_made = echo_made,
	.data_received = echo_received,
	.connection_lost = echo_lost,
};

static void refused(const struct plait_address *peer,
		    const struct plait_failure *why, void *arg)
{
	print_why("Refused", why);
}

/* Reads names with commas between them.  The list ends in NULL. */
static bool read_alpn(const char *text, void *into)
{
	static char names[256];
	const char **list = into;
	size_t n = 0;

	if (strlen(text) >= sizeof(names))
		return false;
	for (char *name = strtok(strcpy(names, text), ","); name != NULL;
	     name = strtok(NULL, ",")) {
		if (n == MAX_ALPN)
			return false;
		list[n++] = name;
	}
	return n > 0;
}

/* The file has the keys that all servers of a cluster have, the first first. */
static void use_ticket_keys(struct plait_tls_context *c, const char *path)
{
	struct plait_tls_ticket_key keys[MAX_KEYS];
	FILE *f = fopen(path, "rb");
	size_t n = f != NULL ? fread(keys, sizeof(*keys), MAX_KEYS, f) : 0;

	if (f != NULL)
		fclose(f);
	if (n == 0 || plait_tls_context_set_ticket_keys(c, keys, n) < 0)
		die("%s: no keys of tickets", path);
	explicit_bzero(keys, sizeof(keys));
}

int main(int argc, char **argv)
{
	struct plait_factory echo = { .protocol = &echo_ops };
	struct plait_tls_server_options tls = { .failed = refused };
	const char *alpn[MAX_ALPN + 1] = { NULL }, *ticket_keys = NULL;
	const struct program_option options[] = {
		{ "certificate", "FILE", "the server's, in PEM", read_text,
		  &tls.certificate.file, NULL },
		{ "key", "FILE", "if it is not in that file", read_text,
		  &tls.key.file, NULL },
		{ "clients", "FILE", "the authorities whose clients may come",
		  read_text, &tls.client_authorities.file, NULL },
		{ "alpn", "NAMES", "protocols, with commas, the best first",
		  read_alpn, alpn, NULL },
		{ "ticket-keys", "FILE", "80 bytes each, the newest first",
		  read_text, &ticket_keys, NULL },
		{ 0 },
	};
	struct program p = { .about = "Sends back what it gets over TLS.",
			     .serves = true,
			     .options = options };
	char why[PLAIT_TLS_WHY_SIZE], place[PLACE_SIZE];
	struct plait_tls_context *context;
	struct plait_address address;
	struct plait_factory *factory;
	struct plait_reactor *r;

	program_start(&p, argc, argv);
	if (alpn[0] != NULL)
		tls.alpn = alpn;
	context = plait_tls_server_new(&tls, why, sizeof(why));
	if (context == NULL)
		die("%s", why);
	if (ticket_keys != NULL)
		use_ticket_keys(context, ticket_keys);
	factory = plait_tls_wrap_factory(context, &echo, NULL);
	if (factory == NULL)
		die("no memory");
	plait_tls_context_unref(&context);
	r = program_reactor(&p);
	address = program_listen(&p, r, factory);
	program_run(r, "Echoing on %s.", place_str(&address, place));

	plait_reactor_free(&r);
	plait_tls_factory_free(&factory);
	return 0;
}

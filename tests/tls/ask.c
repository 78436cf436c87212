/*
 * A client for the peers of tests/test_tls_peers.py: connects to 127.0.0.1 with
 * TLS, and says on standard output, a line each, what becomes of it.
 *
 * usage: ask PORT NAME AUTHORITIES [OPTION=VALUE...]
 *
 *	alpn=A,B  certificate=FILE  key=FILE  send=TEXT  times=N  any=name
 *	any=certificate
 *
 *	up VERSION CIPHER PROTOCOL
 *	got TEXT
 *	done			the peer has closed the connection
 *	lost KIND: MESSAGE	it broke
 *	failed KIND: MESSAGE	it was never made
 *
 * It sends the text and a newline, and closes the connection when a newline has
 * come.  Then it connects again, so many times.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <plait/plait.h>
#include <plait/tls.h>

enum { MAX_ALPN = 8 };

struct asker {
	struct plait_factory factory;
	struct plait_factory *wrapped;
	struct plait_reactor *reactor;
	unsigned port;
	unsigned long times;
	const char *send;
};

static struct asker *asker_of(struct plait_protocol *p)
{
	return plait_self(p->factory, struct asker);
}

static void asker_made(struct plait_protocol *p)
{
	struct plait_transport *t = p->transport;
	struct plait_tls_info info;

	plait_assert(plait_transport_tls_info(t, &info) == 0);
	printf("up %s %s %s%s%s\n", info.version, info.cipher,
	       info.alpn != NULL ? info.alpn : "-",
	       info.resumed ? " resumed" : "", info.verified ? " known" : "");
	if (asker_of(p)->send != NULL) {
		plait_transport_write(t, asker_of(p)->send,
				      strlen(asker_of(p)->send));
		plait_transport_write(t, "\n", 1);
	}
}

static void asker_received(struct plait_protocol *p, const void *data,
			   size_t len)
{
	const char *end = memchr(data, '\n', len);

	printf("got %.*s\n",
	       (int)(end != NULL ? (size_t)(end - (const char *)data) : len),
	       (const char *)data);
	if (end != NULL)
		plait_transport_lose_connection(p->transport);
}

static const struct plait_protocol_ops asker_ops = {
	.name = "asker",
	.connection_made = asker_made,
	.data_received = asker_received,
};

static void asker_connect(struct asker *a)
{
	if (a->times-- == 0)
		plait_reactor_stop(a->reactor);
	else
		plait_connect_tcp(a->reactor, "127.0.0.1", a->port, a->wrapped,
				  NULL);
}

static void asker_say(const char *what, const struct plait_failure *why)
{
	char text[512];

	plait_failure_str(why, text, sizeof(text));
	printf("%s %s\n", what, text);
}

static void asker_failed(struct plait_factory *f, struct plait_connector *c,
			 const struct plait_failure *why)
{
	asker_say("failed", why);
	asker_connect(plait_self(f, struct asker));
}

static void asker_lost(struct plait_factory *f, struct plait_connector *c,
		       const struct plait_failure *why)
{
	if (plait_failure_check(why, &plait_error_connection_done))
		puts("done");
	else
		asker_say("lost", why);
	asker_connect(plait_self(f, struct asker));
}

static const struct plait_factory_ops factory_ops = {
	.connection_failed = asker_failed,
	.connection_lost = asker_lost,
};

static void read_alpn(char *text, const char **list)
{
	size_t n = 0;

	for (char *name = strtok(text, ","); name != NULL && n < MAX_ALPN;
	     name = strtok(NULL, ","))
		list[n++] = name;
}

static void read_option(char *text, struct plait_tls_client_options *tls,
			struct asker *a)
{
	static const char *alpn[MAX_ALPN + 1];
	char *value = strchr(text, '=');

	plait_assert(value != NULL);
	*value++ = '\0';
	if (strcmp(text, "alpn") == 0) {
		read_alpn(value, alpn);
		tls->alpn = alpn;
	} else if (strcmp(text, "certificate") == 0) {
		tls->certificate.file = value;
	} else if (strcmp(text, "key") == 0) {
		tls->key.file = value;
	} else if (strcmp(text, "send") == 0) {
		a->send = value;
	} else if (strcmp(text, "times") == 0) {
		a->times = strtoul(value, NULL, 10);
	} else if (strcmp(value, "name") == 0) {
		tls->accept_any_name = true;
	} else {
		tls->accept_any_certificate = true;
	}
}

int main(int argc, char **argv)
{
	struct plait_tls_client_options tls = { 0 };
	struct asker asker = { .factory = { .ops = &factory_ops,
					    .protocol = &asker_ops },
			       .times = 1 };
	char why[PLAIT_TLS_WHY_SIZE];
	struct plait_tls_context *context;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 4)
		return 2;
	tls.authorities.file = argv[3];
	for (int i = 4; i < argc; i++)
		read_option(argv[i], &tls, &asker);
	context = plait_tls_client_new(&tls, why, sizeof(why));
	if (context == NULL) {
		puts(why);
		return 2;
	}
	asker.port = (unsigned)strtoul(argv[1], NULL, 10);
	asker.wrapped =
		plait_tls_wrap_factory(context, &asker.factory, argv[2]);
	plait_tls_context_unref(&context);
	asker.reactor = plait_reactor_new(NULL);
	plait_assert(asker.wrapped != NULL && asker.reactor != NULL);
	asker_connect(&asker);
	plait_reactor_run(asker.reactor);
	plait_reactor_free(&asker.reactor);
	plait_tls_factory_free(&asker.wrapped);
	return 0;
}

/*
 * What new.c is for the core, for libplait-tls: a program that was compiled
 * with the headers of a later library, and sets a member that this library does
 * not have.
 *
 *	new_tls BACKEND later|today CERTIFICATES
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <plait/testing.h>
#include <plait/tls.h>

static bool later;
static unsigned failed;

static void must(bool holds, const char *what)
{
	if (!holds)
		plait_die("new_tls", "%s: %s library", what,
			  later ? "later" : "today's");
}

static void is_failed(const struct plait_address *peer,
		      const struct plait_failure *why, void *arg)
{
	failed++;
}

/* Gives NULL if the library does not know all that is set. */
static struct plait_tls_context *server_context(const char *certificates)
{
	char certificate[500], key[500], why[PLAIT_TLS_WHY_SIZE] = "";
	struct plait_tls_server_options o = {
		.certificate.file = certificate,
		.key.file = key,
		.failed = is_failed,
		.handshake_timeout = 3,
	};
	struct plait_tls_context *c;

	snprintf(certificate, sizeof(certificate), "%s/good.pem", certificates);
	snprintf(key, sizeof(key), "%s/good.key", certificates);
	c = plait_tls_server_new(&o, why, sizeof(why));
	must((c != NULL) == later, "make a context for servers");
	must(later || (errno == EINVAL && strstr(why, "reserved") != NULL),
	     "say why");
	return c;
}

/* A client that says nothing. */
static void check_timeout(struct plait_tls_context *c)
{
	static const struct plait_protocol_ops ops = { .name = "server" };
	struct plait_factory inner = { .protocol = &ops };
	struct plait_factory *f = plait_tls_wrap_factory(c, &inner, NULL);
	struct plait_reactor *r = plait_testing_reactor_new();

	must(f != NULL && r != NULL, "begin");
	plait_testing_connect(r, f);
	plait_testing_advance(r, 2);
	must(failed == 0, "wait");
	plait_testing_advance(r, 2);
	must(failed == 1, "time out");
	plait_reactor_free(&r);
	plait_tls_factory_free(&f);
}

static void check_client(void)
{
	struct plait_tls_client_options o = { .handshake_timeout = 3 };
	struct plait_tls_context *c = plait_tls_client_new(&o, NULL, 0);

	must((c != NULL) == later, "make a context for clients");
	must(later || errno == EINVAL, "say why");
	plait_tls_context_unref(&c);
}

int main(int argc, char **argv)
{
	struct plait_tls_context *c;

	plait_assert(argc == 4);
	later = strcmp(argv[2], "later") == 0;
	c = server_context(argv[3]);
	if (c != NULL)
		check_timeout(c);
	check_client();
	plait_tls_context_unref(&c);
	return 0;
}

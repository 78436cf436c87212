/*
 * Endpoints of the kind tls.  An endpoint is a text, so each use of it makes a
 * context of its own, with the files as they are then.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <plait/endpoint.h>
#include <plait/tls.h>

enum { MAX_ALPN_NAME = 255 };

static const struct plait_endpoint_key tls_keys[] = {
	{ "host", PLAIT_ENDPOINT_HOST,
	  PLAIT_ENDPOINT_CONNECTS | PLAIT_ENDPOINT_NEEDED },
	{ "port", PLAIT_ENDPOINT_PORT, PLAIT_ENDPOINT_NEEDED },
	{ "interface", PLAIT_ENDPOINT_ADDRESS, PLAIT_ENDPOINT_LISTENS },
	{ "backlog", PLAIT_ENDPOINT_COUNT, PLAIT_ENDPOINT_LISTENS },
	{ "timeout", PLAIT_ENDPOINT_SECONDS, PLAIT_ENDPOINT_CONNECTS },
	{ "bindAddress", PLAIT_ENDPOINT_ADDRESS, PLAIT_ENDPOINT_CONNECTS },
	{ "cert", PLAIT_ENDPOINT_TEXT, 0 },
	{ "key", PLAIT_ENDPOINT_TEXT, 0 },
	{ "ca", PLAIT_ENDPOINT_TEXT, 0 },
	{ "alpn", PLAIT_ENDPOINT_TEXT, 0 },
	{ "minVersion", PLAIT_ENDPOINT_TEXT, 0 },
	{ "name", PLAIT_ENDPOINT_HOST, PLAIT_ENDPOINT_CONNECTS },
	{ "acceptAnyName", PLAIT_ENDPOINT_FLAG, PLAIT_ENDPOINT_CONNECTS },
	{ "acceptAnyCertificate", PLAIT_ENDPOINT_FLAG,
	  PLAIT_ENDPOINT_CONNECTS },
};

/* Counts the names of a list "h2,http/1.1"; 0: one of them cannot be sent. */
static size_t alpn_count(const char *text)
{
	size_t n = 0, len;

	do {
		len = strcspn(text, ",");
		if (len == 0 || len > MAX_ALPN_NAME)
			return 0;
		text += len;
		n++;
	} while (*text++ != '\0');
	return n;
}

static const char *endpoint_check_tls(const struct plait_endpoint *e)
{
	const char *version = plait_endpoint_text(e, "minVersion");
	const char *alpn = plait_endpoint_text(e, "alpn");

	if (version != NULL && strcmp(version, "TLSv1.2") != 0 &&
	    strcmp(version, "TLSv1.3") != 0)
		return "minVersion is neither TLSv1.2 nor TLSv1.3";
	if (alpn != NULL && alpn_count(alpn) == 0)
		return "a name of alpn has no or too many bytes";
	return NULL;
}

struct alpn_list {
	char *text;
	const char **names; /* in it; NULL: there is no list */
};

static int alpn_split(const struct plait_endpoint *e, struct alpn_list *ret)
{
	const char *text = plait_endpoint_text(e, "alpn");
	char *name, *comma;
	size_t n = 0;

	*ret = (struct alpn_list){ .text = NULL };
	if (text == NULL)
		return 0;
	ret->names = calloc(alpn_count(text) + 1, sizeof(*ret->names));
	ret->text = name = strdup(text);
	if (ret->names == NULL || name == NULL)
		return -ENOMEM;
	for (; name != NULL; name = comma) {
		comma = strchr(name, ',');
		if (comma != NULL)
			*comma++ = '\0';
		ret->names[n++] = name;
	}
	return 0;
}

static void alpn_done(struct alpn_list *list)
{
	free(list->names);
	free(list->text);
}

static struct plait_tls_pem endpoint_file(const struct plait_endpoint *e,
					  const char *key)
{
	return (struct plait_tls_pem){ .file = plait_endpoint_text(e, key) };
}

/* Gives NULL with errno, and why, if that fails. */
static struct plait_tls_context *
endpoint_context(const struct plait_endpoint *e, bool serves, char *why,
		 size_t size)
{
	struct plait_tls_server_options of_server = {
		.certificate = endpoint_file(e, "cert"),
		.key = endpoint_file(e, "key"),
		.client_authorities = endpoint_file(e, "ca"),
		.min_version = plait_endpoint_text(e, "minVersion"),
	};
	struct plait_tls_client_options of_client = {
		.authorities = endpoint_file(e, "ca"),
		.certificate = endpoint_file(e, "cert"),
		.key = endpoint_file(e, "key"),
		.accept_any_name =
			plait_endpoint_number(e, "acceptAnyName") != 0,
		.accept_any_certificate =
			plait_endpoint_number(e, "acceptAnyCertificate") != 0,
		.min_version = plait_endpoint_text(e, "minVersion"),
	};
	struct plait_tls_context *c = NULL;
	struct alpn_list alpn;
	int err = -alpn_split(e, &alpn);

	if (err == 0) {
		of_server.alpn = of_client.alpn = alpn.names;
		c = serves ? plait_tls_server_new(&of_server, why, size)
			   : plait_tls_client_new(&of_client, why, size);
		err = errno;
	}
	alpn_done(&alpn);
	errno = err;
	return c;
}

static struct plait_connector *
endpoint_connect_tls(const struct plait_endpoint *e, struct plait_reactor *r,
		     struct plait_factory *inner, char *why)
{
	struct plait_tls_context *c =
		endpoint_context(e, false, why, PLAIT_ENDPOINT_WHY_SIZE);
	struct plait_connect_options o = {
		.timeout = plait_endpoint_seconds(e, "timeout"),
		.bind_address = plait_endpoint_text(e, "bindAddress"),
	};
	const char *host = plait_endpoint_text(e, "host");
	const char *name = plait_endpoint_text(e, "name");
	struct plait_connector *connector = NULL;
	struct plait_factory *f = NULL;
	int err = errno;

	if (c != NULL) {
		f = plait_tls_wrap_factory(c, inner,
					   name != NULL ? name : host);
		err = errno;
	}
	plait_tls_context_unref(&c);
	if (f != NULL) {
		connector = plait_connect_tcp(
			r, host, (unsigned)plait_endpoint_number(e, "port"), f,
			&o);
		err = errno;
	}
	plait_tls_factory_free(&f);
	errno = err;
	return connector;
}

static int endpoint_listen_tls(const struct plait_endpoint *e,
			       struct plait_reactor *r, struct plait_factory *f,
			       struct plait_port **ret, char *why)
{
	struct plait_tls_context *c =
		endpoint_context(e, true, why, PLAIT_ENDPOINT_WHY_SIZE);
	struct plait_listen_options o = {
		.iface = plait_endpoint_text(e, "interface"),
		.backlog = (int)plait_endpoint_number(e, "backlog"),
	};
	int err;

	if (c == NULL)
		return -errno;
	err = plait_listen_tls(r, (unsigned)plait_endpoint_number(e, "port"), f,
			       c, &o, ret);
	plait_tls_context_unref(&c);
	return err;
}

int plait_tls_register_endpoints(void)
{
	static const struct plait_endpoint_kind kind = {
		.name = "tls",
		.keys = tls_keys,
		.n_keys = sizeof(tls_keys) / sizeof(*tls_keys),
		.plain = 2,
		.check = endpoint_check_tls,
		.connect = endpoint_connect_tls,
		.listen = endpoint_listen_tls,
	};

	return plait_endpoint_register(&kind);
}

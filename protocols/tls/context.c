/*
 * Contexts: what the options say, as an SSL_CTX of OpenSSL.
 *
 * An SSL_CTX never changes once connections use it: a reload makes another one
 * from the same settings and puts it in its place, and connections have a
 * reference to the one that they began with.  So any thread may reload.  The
 * keys of the tickets are the context's own, so sessions go on after it; but
 * those that were checked against other authorities do not (ticket.c).
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "lib/exception.h"
#include "protocols/tls/asked.h"
#include "protocols/tls/bio.h"
#include "protocols/tls/context.h"
#include "protocols/tls/hello.h"
#include "protocols/tls/load.h"
#include "protocols/tls/verify.h"

static const double default_handshake_timeout = 10;

enum { MAX_ALPN = 65535, MAX_ALPN_NAME = 255 };

/*
 * For TLS 1.2: ciphers that encrypt and authenticate in one, with a key that is
 * made for the connection.  TLS 1.3 has no others.
 */
static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!PSK";

/* ---- what the options say ---------------------------------------- */

static void settings_done(struct tls_settings *s)
{
	free(s->certificate_file);
	free(s->key_file);
	free(s->authorities_file);
	free(s->alpn);
}

static int settings_copy(char **ret, const char *text)
{
	if (text == NULL)
		return 0;
	*ret = strdup(text);
	return *ret != NULL ? 0 : -ENOMEM;
}

/* Returns how long the list is as it is sent, or -1 if it cannot be sent. */
static int alpn_size(const char *const *list)
{
	size_t size = 0, len;

	for (; *list != NULL; list++) {
		len = strlen(*list);
		if (len == 0 || len > MAX_ALPN_NAME)
			return -1;
		size += 1 + len;
		if (size > MAX_ALPN)
			return -1;
	}
	return (int)size;
}

static int settings_set_alpn(struct tls_settings *s, const char *const *list,
			     const struct tls_why *why)
{
	int size = list != NULL ? alpn_size(list) : 0;
	unsigned char *at;

	if (size < 0)
		return plait_i_tls_why(why, EINVAL, "alpn", NULL,
				       "a name has no or too many bytes");
	if (size == 0)
		return 0;
	s->alpn = at = malloc((size_t)size);
	if (at == NULL)
		return -ENOMEM;
	s->alpn_size = (unsigned)size;
	for (; *list != NULL; list++) {
		*at = (unsigned char)strlen(*list);
		memcpy(at + 1, *list, *at);
		at += 1 + *at;
	}
	return 0;
}

static int settings_set_timeout(struct tls_settings *s, double seconds,
				const struct tls_why *why)
{
	if (isnan(seconds) || seconds < 0)
		return plait_i_tls_why(why, EINVAL, "handshake_timeout", NULL,
				       "it is no time");
	s->handshake_timeout =
		seconds > 0 ? seconds : default_handshake_timeout;
	return 0;
}

static int settings_set_version(struct tls_settings *s, const char *name,
				const struct tls_why *why)
{
	s->min_version = TLS1_2_VERSION;
	if (name == NULL || strcmp(name, "TLSv1.2") == 0)
		return 0;
	if (strcmp(name, "TLSv1.3") != 0)
		return plait_i_tls_why(why, EINVAL, "min_version", name,
				       "it is neither TLSv1.2 nor TLSv1.3");
	s->min_version = TLS1_3_VERSION;
	return 0;
}

/* ---- making an SSL_CTX ------------------------------------------- */

/* What a context is made of: what files say, or bytes. */
struct tls_sources {
	struct plait_tls_pem certificate, key, authorities;
};

static int alpn_choose(SSL *ssl, const unsigned char **ret, unsigned char *len,
		       const unsigned char *in, unsigned in_len, void *arg)
{
	const struct tls_settings *s = arg;
	unsigned char *chosen;

	if (SSL_select_next_proto(&chosen, len, s->alpn, s->alpn_size, in,
				  in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*ret = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static int context_set_protocols(SSL_CTX *ctx, struct tls_settings *s)
{
	SSL_CTX_set_security_level(ctx, 2);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_NO_COMPRESSION |
					 SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_clear_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	/* What is sent is what the options name, and nothing that OpenSSL finds
	   among the authorities. */
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_NO_AUTO_CHAIN);
	if (s->alpn != NULL && s->is_server)
		SSL_CTX_set_alpn_select_cb(ctx, alpn_choose, s);
	/* This function alone returns 0 if it succeeds. */
	if (s->alpn != NULL && !s->is_server &&
	    SSL_CTX_set_alpn_protos(ctx, s->alpn, s->alpn_size) != 0)
		return 0;
	return SSL_CTX_set_min_proto_version(ctx, s->min_version) &&
	       SSL_CTX_set_max_proto_version(ctx, 0) &&
	       SSL_CTX_set_cipher_list(ctx, ciphers);
}

/*
 * A client was given a session, in the middle of a call of OpenSSL.  Returns 1
 * if the reference is taken.  A connection that began before a reload has had
 * its server checked against the authorities of before.
 */
static int context_keep_session(SSL *ssl, SSL_SESSION *session)
{
	const struct tls_asked *asked = SSL_get_app_data(ssl);
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
	struct plait_tls_context *c = SSL_CTX_get_app_data(ctx);
	bool keeps;

	pthread_mutex_lock(&c->lock);
	keeps = asked->name != NULL && ctx == c->ctx;
	if (keeps)
		plait_i_tls_sessions_keep(&c->sessions, asked->name, session);
	pthread_mutex_unlock(&c->lock);
	return keeps;
}

/* OpenSSL keeps nothing: of a server's sessions all is in the tickets. */
static int context_set_sessions(SSL_CTX *ctx, struct tls_settings *s)
{
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (!s->is_server && !s->no_resumption) {
		SSL_CTX_set_session_cache_mode(
			ctx,
			SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(ctx, context_keep_session);
	}
	if (s->no_resumption)
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	if (s->no_resumption && SSL_CTX_set_num_tickets(ctx, 0) != 1)
		return 0;
	return SSL_CTX_set_max_early_data(ctx, 0);
}

static int context_load(SSL_CTX *ctx, struct tls_settings *s,
			const struct tls_sources *from,
			const struct tls_why *why)
{
	int err = 0;

	if (!tls_pem_is_empty(&from->certificate))
		err = plait_i_tls_load_certificate(ctx, &from->certificate,
						   &from->key, why);
	if (err == 0 && !tls_pem_is_empty(&from->authorities))
		err = plait_i_tls_load_authorities(ctx, &from->authorities,
						   s->is_server, why);
	else if (err == 0 && !s->is_server && !s->has_authorities &&
		 SSL_CTX_set_default_verify_paths(ctx) != 1)
		err = plait_i_tls_why_openssl(why, "authorities", NULL);
	return err;
}

/* What came as bytes, and is not given anew, is that of the context before. */
static int context_take_over(SSL_CTX *to, SSL_CTX *from)
{
	STACK_OF(X509) *chain = NULL;
	X509 *own = SSL_CTX_get0_certificate(from);

	if (own == NULL)
		return 1;
	return SSL_CTX_use_certificate(to, own) == 1 &&
	       SSL_CTX_get0_chain_certs(from, &chain) == 1 &&
	       SSL_CTX_set1_chain(to, chain) == 1 &&
	       SSL_CTX_use_PrivateKey(to, SSL_CTX_get0_privatekey(from)) == 1;
}

static int context_take_over_authorities(SSL_CTX *to, SSL_CTX *from)
{
	const STACK_OF(X509_NAME) *names = SSL_CTX_get_client_CA_list(from);
	STACK_OF(X509_NAME) *copy = NULL;

	SSL_CTX_set1_cert_store(to, SSL_CTX_get_cert_store(from));
	if (names == NULL)
		return 1;
	copy = SSL_dup_CA_list(names);
	SSL_CTX_set_client_CA_list(to, copy);
	return copy != NULL;
}

/* What from has not: old may be NULL. */
static int context_take_rest(SSL_CTX *ctx, SSL_CTX *old,
			     const struct tls_settings *s,
			     const struct tls_sources *from)
{
	bool bytes = s->has_authorities && s->authorities_file == NULL;

	if (old == NULL)
		return 1;
	return (!tls_pem_is_empty(&from->certificate) ||
		context_take_over(ctx, old)) &&
	       (!bytes || context_take_over_authorities(ctx, old));
}

/* Stores a new one, which stands for old if that is not NULL, or returns -errno
   with the reason. */
static int context_make(struct plait_tls_context *c,
			const struct tls_sources *from, SSL_CTX *old,
			const struct tls_why *why, SSL_CTX **ret)
{
	struct tls_settings *s = &c->settings;
	SSL_CTX *ctx;
	int err;

	ERR_clear_error();
	ctx = SSL_CTX_new(s->is_server ? TLS_server_method()
				       : TLS_client_method());
	if (ctx == NULL || !SSL_CTX_set_app_data(ctx, c) ||
	    !context_set_protocols(ctx, s) || !context_set_sessions(ctx, s)) {
		err = plait_i_tls_why_openssl(why, "OpenSSL", NULL);
		SSL_CTX_free(ctx);
		return err;
	}
	plait_i_tls_verify_set(ctx, s);
	plait_i_tls_hello_set(ctx, s);
	err = context_load(ctx, s, from, why);
	ERR_clear_error();
	if (err == 0 && (!context_take_rest(ctx, old, s, from) ||
			 (s->is_server && !plait_i_tls_tickets_use(ctx, s))))
		err = plait_i_tls_why_openssl(why, "OpenSSL", NULL);
	if (err == 0)
		*ret = ctx;
	else
		SSL_CTX_free(ctx);
	return err;
}

/* ---- life -------------------------------------------------------- */

static void context_free(struct plait_tls_context *c)
{
	plait_i_tls_sessions_drop(&c->sessions);
	plait_i_tls_tickets_done(&c->tickets);
	SSL_CTX_free(c->ctx);
	BIO_meth_free(c->bio);
	settings_done(&c->settings);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

struct plait_tls_context *plait_tls_context_ref(struct plait_tls_context *c)
{
	if (c != NULL)
		atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void plait_tls_context_unref(struct plait_tls_context **cp)
{
	struct plait_tls_context *c = cp != NULL ? *cp : NULL;

	if (c == NULL)
		return;
	*cp = NULL;
	if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
		context_free(c);
}

void plait_tls_context_cleanup(struct plait_tls_context **cp)
{
	plait_tls_context_unref(cp);
}

/* What both ends may set. */
struct tls_common {
	const char *const *alpn;
	const char *min_version;
	double handshake_timeout;
};

/* Completes c, whose other settings are set. */
static int context_begin(struct plait_tls_context *c,
			 const struct tls_sources *from,
			 const struct tls_common *common,
			 const struct tls_why *why)
{
	struct tls_settings *s = &c->settings;
	int err = settings_set_timeout(s, common->handshake_timeout, why);

	if (err == 0)
		err = settings_set_version(s, common->min_version, why);
	if (err == 0)
		err = settings_set_alpn(s, common->alpn, why);
	if (err == 0)
		err = settings_copy(&s->certificate_file,
				    from->certificate.file);
	if (err == 0)
		err = settings_copy(&s->key_file, from->key.file);
	if (err == 0)
		err = settings_copy(&s->authorities_file,
				    from->authorities.file);
	if (err < 0)
		return err;
	ERR_clear_error();
	c->bio = plait_i_tls_bio_method();
	if (c->bio == NULL ||
	    (s->is_server && !plait_i_tls_tickets_begin(&c->tickets)))
		return plait_i_tls_why_openssl(why, "OpenSSL", NULL);
	return context_make(c, from, NULL, why, &c->ctx);
}

static struct plait_tls_context *
context_new(const struct tls_settings *settings,
	    const struct tls_common *common, const struct tls_sources *from,
	    const struct tls_why *why)
{
	struct plait_tls_context *c = calloc(1, sizeof(*c));
	int err = -ENOMEM;

	if (c != NULL) {
		atomic_init(&c->refs, 1);
		pthread_mutex_init(&c->lock, NULL);
		plait_i_tls_sessions_init(&c->sessions);
		plait_i_tls_tickets_init(&c->tickets);
		c->settings = *settings;
		err = context_begin(c, from, common, why);
		if (err == 0)
			return c;
		context_free(c);
	}
	if (err == -ENOMEM)
		snprintf(why->text, why->size, "%s", strerror(ENOMEM));
	errno = -err;
	return NULL;
}

/* What keeps the options from being used, in words; NULL: nothing. */
static const char *
server_options_wrong(const struct plait_tls_server_options *o)
{
	if (RESERVED_IN_USE(o))
		return "reserved words of the options are not zero";
	if (tls_pem_is_empty(&o->certificate))
		return "a server needs a certificate";
	if (o->client_may_have_none && tls_pem_is_empty(&o->client_authorities))
		return "client_may_have_none needs client_authorities";
	if (o->verify != NULL && tls_pem_is_empty(&o->client_authorities))
		return "verify needs client_authorities";
	return NULL;
}

struct plait_tls_context *
plait_tls_server_new(const struct plait_tls_server_options *o, char *why,
		     size_t size)
{
	const char *wrong =
		o != NULL ? server_options_wrong(o) : "there are no options";
	struct tls_why text = { why, size };
	struct tls_common common;
	struct tls_sources from;
	struct tls_settings s;

	if (wrong != NULL) {
		snprintf(why, size, "%s", wrong);
		errno = EINVAL;
		return NULL;
	}
	from = (struct tls_sources){ o->certificate, o->key,
				     o->client_authorities };
	s = (struct tls_settings){
		.is_server = true,
		.has_authorities = !tls_pem_is_empty(&o->client_authorities),
		.client_may_have_none = o->client_may_have_none,
		.no_resumption = o->no_resumption,
		.choose = o->choose,
		.verify = o->verify,
		.failed = o->failed,
		.arg = o->arg,
	};
	common = (struct tls_common){ o->alpn, o->min_version,
				      o->handshake_timeout };
	return context_new(&s, &common, &from, &text);
}

static const char *
client_options_wrong(const struct plait_tls_client_options *o)
{
	if (RESERVED_IN_USE(o))
		return "reserved words of the options are not zero";
	if (tls_pem_is_empty(&o->certificate) && !tls_pem_is_empty(&o->key))
		return "there is a key without a certificate";
	return NULL;
}

struct plait_tls_context *
plait_tls_client_new(const struct plait_tls_client_options *options, char *why,
		     size_t size)
{
	static const struct plait_tls_client_options defaults;
	const struct plait_tls_client_options *o =
		options != NULL ? options : &defaults;
	const char *wrong = client_options_wrong(o);
	struct tls_sources from = { o->certificate, o->key, o->authorities };
	struct tls_common common = { o->alpn, o->min_version,
				     o->handshake_timeout };
	struct tls_why text = { why, size };
	struct tls_settings s = {
		.has_authorities = !tls_pem_is_empty(&o->authorities),
		.accepts_any_name = o->accept_any_name,
		.accepts_any_certificate = o->accept_any_certificate,
		.no_resumption = o->no_resumption,
		.verify = o->verify,
		.arg = o->arg,
	};

	if (wrong == NULL)
		return context_new(&s, &common, &from, &text);
	snprintf(why, size, "%s", wrong);
	errno = EINVAL;
	return NULL;
}

/* ---- use --------------------------------------------------------- */

SSL_CTX *plait_i_tls_context_use(struct plait_tls_context *c)
{
	SSL_CTX *ctx;

	pthread_mutex_lock(&c->lock);
	ctx = c->ctx;
	SSL_CTX_up_ref(ctx);
	pthread_mutex_unlock(&c->lock);
	return ctx;
}

void plait_i_tls_context_resume(struct plait_tls_context *c, SSL *ssl,
				const char *name)
{
	SSL_SESSION *session;

	pthread_mutex_lock(&c->lock);
	session = plait_i_tls_sessions_take(&c->sessions, name);
	pthread_mutex_unlock(&c->lock);
	/* Without it the handshake is a whole one. */
	if (session != NULL)
		SSL_set_session(ssl, session);
	SSL_SESSION_free(session);
}

void plait_i_tls_context_resumed(SSL *ssl)
{
	SSL_SESSION *session = SSL_get1_session(ssl);

	if (!SSL_session_reused(ssl) || SSL_version(ssl) >= TLS1_3_VERSION ||
	    !context_keep_session(ssl, session))
		SSL_SESSION_free(session);
}

bool plait_i_tls_context_takes_name(const struct plait_tls_context *c,
				    const char *name)
{
	const struct tls_settings *s = &c->settings;

	if (s->is_server)
		return name == NULL;
	return name != NULL ? name[0] != '\0'
			    : s->accepts_any_name || s->accepts_any_certificate;
}

/* ---- reload ------------------------------------------------------ */

static void context_replace(struct plait_tls_context *c, SSL_CTX *ctx)
{
	SSL_CTX *old;

	pthread_mutex_lock(&c->lock);
	old = c->ctx;
	c->ctx = ctx;
	/* They were checked against the authorities of before. */
	plait_i_tls_sessions_drop(&c->sessions);
	pthread_mutex_unlock(&c->lock);
	SSL_CTX_free(old);
}

/* The files that are read again, and what is given anew. */
static struct tls_sources
context_sources(const struct plait_tls_context *c,
		const struct plait_tls_pem *certificate,
		const struct plait_tls_pem *key)
{
	const struct tls_settings *s = &c->settings;
	struct tls_sources from = {
		.certificate.file = s->certificate_file,
		.key.file = s->key_file,
		.authorities.file = s->authorities_file,
	};

	if (certificate != NULL)
		from.certificate = *certificate;
	if (certificate != NULL || key != NULL)
		from.key = key != NULL ? *key
				       : (struct plait_tls_pem){ .file = NULL };
	return from;
}

int plait_tls_context_reload(struct plait_tls_context *c,
			     const struct plait_tls_pem *certificate,
			     const struct plait_tls_pem *key, char *text,
			     size_t size)
{
	struct tls_why why = { text, size };
	struct tls_sources from;
	SSL_CTX *old, *ctx;
	int err;

	if (c == NULL)
		return plait_i_tls_why(&why, ENOMEM, "context", NULL,
				       strerror(ENOMEM));
	from = context_sources(c, certificate, key);
	if (tls_pem_is_empty(&from.certificate) && !tls_pem_is_empty(&from.key))
		return plait_i_tls_why(&why, EINVAL, "key", NULL,
				       "it is new without its certificate");
	old = plait_i_tls_context_use(c);
	err = context_make(c, &from, old, &why, &ctx);
	SSL_CTX_free(old);
	if (err == 0)
		context_replace(c, ctx);
	return err;
}

/* ---- keys of tickets --------------------------------------------- */

/* One that was never filled in would be everybody's. */
static bool ticket_key_is_made(const struct plait_tls_ticket_key *key)
{
	static const unsigned char nothing[sizeof(key->aes_key)];

	return memcmp(key->hmac_key, nothing, sizeof(key->hmac_key)) != 0 &&
	       memcmp(key->aes_key, nothing, sizeof(key->aes_key)) != 0;
}

static bool ticket_keys_are_good(const struct plait_tls_ticket_key *keys,
				 size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!ticket_key_is_made(&keys[i]))
			return false;
		for (size_t j = 0; j < i; j++) {
			if (memcmp(keys[i].name, keys[j].name,
				   sizeof(keys[i].name)) == 0)
				return false;
		}
	}
	return true;
}

int plait_tls_context_set_ticket_keys(struct plait_tls_context *c,
				      const struct plait_tls_ticket_key *keys,
				      size_t n)
{
	if (c == NULL)
		return -ENOMEM;
	if (n > TLS_MAX_TICKET_KEYS)
		return -E2BIG;
	if (!c->settings.is_server || (n > 0 && keys == NULL) ||
	    !ticket_keys_are_good(keys, n))
		return -EINVAL;
	plait_i_tls_tickets_set(&c->tickets, keys, n);
	return 0;
}

/* ---- as a value -------------------------------------------------- */

static void context_value_free(void *ptr)
{
	struct plait_tls_context *c = ptr;

	plait_tls_context_unref(&c);
}

static void *context_value_ref(void *ptr)
{
	return plait_tls_context_ref(ptr);
}

const struct plait_type plait_tls_context_type = {
	.name = "tls context",
	.free = context_value_free,
	.ref = context_value_ref,
};

plait_value plait_tls_context_value(struct plait_tls_context **cp)
{
	struct plait_tls_context *c = *cp;

	*cp = NULL;
	return c != NULL ? plait_value_make(&plait_tls_context_type, c)
			 : plait_no_memory();
}

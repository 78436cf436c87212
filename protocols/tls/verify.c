/*
 * Checking the certificates of peers.  OpenSSL checks the chain, the dates and
 * the name.  Then the program is asked, if it wants to be: at a client in the
 * middle of the handshake, before it has said who it is; at a server, for which
 * OpenSSL cannot wait there, when the handshake is done.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "protocols/tls/asked.h"
#include "protocols/tls/verify.h"

enum { MAX_NAME = 255 };

static int verify_refuse(X509_STORE_CTX *x)
{
	X509_STORE_CTX_set_error(x, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

/* OpenSSL calls this again when the program has answered. */
static int verify_peer(X509_STORE_CTX *x, void *arg)
{
	const struct tls_settings *s = arg;
	SSL *ssl = X509_STORE_CTX_get_ex_data(
		x, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_asked *asked = SSL_get_app_data(ssl);

	if (asked->verdict == TLS_NO)
		return verify_refuse(x);
	if (asked->verdict == TLS_NOT_ASKED && !s->accepts_any_certificate &&
	    X509_verify_cert(x) != 1)
		return 0;
	if (asked->verdict == TLS_NOT_ASKED && s->verify != NULL &&
	    !s->is_server) {
		asked->verdict = TLS_ASKED;
		SSL_set_retry_verify(ssl);
	}
	X509_STORE_CTX_set_error(x, X509_V_OK);
	return 1;
}

int plait_i_tls_verify_mode(const struct tls_settings *s)
{
	if (!s->is_server)
		return SSL_VERIFY_PEER;
	if (!s->has_authorities)
		return SSL_VERIFY_NONE;
	return s->client_may_have_none
		       ? SSL_VERIFY_PEER
		       : SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
}

void plait_i_tls_verify_set(SSL_CTX *ctx, struct tls_settings *s)
{
	SSL_CTX_set_verify(ctx, plait_i_tls_verify_mode(s), NULL);
	SSL_CTX_set_cert_verify_callback(ctx, verify_peer, s);
}

/* Stores the name without the dot at its end.  Returns 0 if it is no name. */
static int verify_copy_name(const char *name, char ret[MAX_NAME + 1])
{
	size_t len = strlen(name);

	if (len > 0 && name[len - 1] == '.')
		len--;
	if (len == 0 || len > MAX_NAME) {
		ERR_raise_data(ERR_LIB_USER, ERR_R_PASSED_INVALID_ARGUMENT,
			       "the name of the server");
		return 0;
	}
	memcpy(ret, name, len);
	ret[len] = '\0';
	return 1;
}

/* An address is never sent as a name (RFC 6066), and matches no name. */
int plait_i_tls_verify_name(SSL *ssl, const struct tls_settings *s,
			    const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	char text[MAX_NAME + 1];
	int is_address;

	ERR_set_mark();
	is_address = X509_VERIFY_PARAM_set1_ip_asc(param, name);
	ERR_pop_to_mark();
	if (is_address) {
		if (s->accepts_any_name)
			X509_VERIFY_PARAM_set1_ip(param, NULL, 0);
		return 1;
	}
	if (!verify_copy_name(name, text) ||
	    !SSL_set_tlsext_host_name(ssl, text))
		return 0;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
				       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	return s->accepts_any_name || SSL_set1_host(ssl, text);
}

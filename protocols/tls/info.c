/*
 * What a connection has agreed on.  The texts of OpenSSL are static or live as
 * long as the SSL.  The certificates, and the ALPN protocol, which has no NUL,
 * are copied into one piece of memory: first the array, then what it points to.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "protocols/tls/info.h"

/*
 * The certificates of the peer: its own, and those that it has sent with it. At
 * a client these begin with its own, at a server they do not.
 */
struct peer_chain {
	X509 *own;
	STACK_OF(X509) * all;
	int first, n; /* in all; n of both */
};

static struct peer_chain chain_of(const SSL *ssl)
{
	struct peer_chain c = {
		.own = SSL_get0_peer_certificate(ssl),
		.all = SSL_get_peer_cert_chain(ssl),
	};

	if (c.own != NULL && SSL_is_server(ssl))
		c.n = 1 + (c.all != NULL ? sk_X509_num(c.all) : 0);
	else if (c.all != NULL && sk_X509_num(c.all) > 0)
		c.n = sk_X509_num(c.all);
	else if (c.own != NULL)
		c.n = 1;
	c.first = c.n - (c.all != NULL ? sk_X509_num(c.all) : 0);
	return c;
}

static X509 *chain_at(const struct peer_chain *c, int i)
{
	return i < c->first ? c->own : sk_X509_value(c->all, i - c->first);
}

/* Returns how many bytes they have in DER; 0 if there is no memory. */
static size_t chain_size(const struct peer_chain *c)
{
	size_t size = 0;

	for (int i = 0; i < c->n; i++) {
		int len = i2d_X509(chain_at(c, i), NULL);

		if (len <= 0)
			return 0;
		size += (size_t)len;
	}
	return size;
}

static void chain_write(const struct peer_chain *c,
			struct plait_tls_certificate *ret, unsigned char *at)
{
	for (int i = 0; i < c->n; i++) {
		unsigned char *begin = at;

		i2d_X509(chain_at(c, i), &at);
		ret[i].der = begin;
		ret[i].size = (size_t)(at - begin);
	}
}

/* The copies that *ret points to. */
static int info_copy(const SSL *ssl, struct plait_tls_info *ret, void **memory)
{
	struct peer_chain chain = chain_of(ssl);
	size_t array = (size_t)chain.n * sizeof(*ret->certificates);
	size_t der = chain_size(&chain);
	const unsigned char *alpn;
	unsigned alpn_size;
	char *text;

	SSL_get0_alpn_selected(ssl, &alpn, &alpn_size);
	*memory = chain.n == 0 || der > 0 ? malloc(array + der + alpn_size + 1)
					  : NULL;
	if (*memory == NULL)
		return -ENOMEM;
	text = (char *)*memory + array + der;
	chain_write(&chain, *memory, (unsigned char *)*memory + array);
	if (alpn_size > 0)
		memcpy(text, alpn, alpn_size);
	text[alpn_size] = '\0';
	ret->alpn = alpn_size > 0 ? text : NULL;
	ret->certificates = *memory;
	ret->n_certificates = (size_t)chain.n;
	return 0;
}

int plait_i_tls_info_make(const struct tls *t, struct plait_tls_info *ret,
			  void **memory)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(t->ssl);
	struct plait_tls_info info = { .version = SSL_get_version(t->ssl) };
	int err;

	if (cipher == NULL)
		cipher = SSL_get_pending_cipher(t->ssl);
	ERR_clear_error();
	err = info_copy(t->ssl, &info, memory);
	if (err < 0)
		return err;
	info.cipher = SSL_CIPHER_get_name(cipher);
	info.name =
		t->asked.name != NULL
			? t->asked.name
			: SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
	info.resumed = SSL_session_reused(t->ssl);
	info.verified = info.n_certificates > 0 &&
			!t->context->settings.accepts_any_certificate;
	*ret = info;
	return 0;
}

/*
 * The first message of a client.  OpenSSL shows it before it looks at it, and
 * waits if it is told to; so nothing of the first context has been used when
 * the program chooses another.
 */
#include <stdlib.h>
#include <string.h>

#include "protocols/tls/asked.h"
#include "protocols/tls/hello.h"
#include "protocols/tls/verify.h"

enum { NAME_HEADER = 5, NAME_IS_HOST = 0 };

/*
 * Returns the first name of the list, and its length: 0 if there is none, or if
 * the list is not what RFC 6066 says; OpenSSL looks at it later, too, and
 * refuses what is wrong.
 */
static const unsigned char *hello_name(SSL *ssl, size_t *len)
{
	const unsigned char *ext;
	size_t size;

	*len = 0;
	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext,
				      &size) != 1 ||
	    size < NAME_HEADER || ext[2] != NAME_IS_HOST)
		return NULL;
	*len = (size_t)ext[3] << 8 | ext[4];
	if (*len > size - NAME_HEADER ||
	    memchr(ext + NAME_HEADER, '\0', *len) != NULL)
		*len = 0;
	return ext + NAME_HEADER;
}

/* Returns 0 if there is no memory. */
static int hello_keep_name(SSL *ssl, struct tls_asked *asked)
{
	size_t len;
	const unsigned char *name = hello_name(ssl, &len);

	if (len == 0)
		return 1;
	asked->name = strndup((const char *)name, len);
	return asked->name != NULL;
}

static int hello_came(SSL *ssl, int *alert, void *arg)
{
	struct tls_asked *asked = SSL_get_app_data(ssl);

	switch (asked->choice) {
	case TLS_YES:
		return SSL_CLIENT_HELLO_SUCCESS;
	case TLS_NOT_ASKED:
		if (!hello_keep_name(ssl, asked)) {
			*alert = SSL_AD_INTERNAL_ERROR;
			return SSL_CLIENT_HELLO_ERROR;
		}
		asked->choice = TLS_ASKED;
		return SSL_CLIENT_HELLO_RETRY;
	case TLS_ASKED:
		return SSL_CLIENT_HELLO_RETRY;
	case TLS_NO:
		break;
	}
	*alert = SSL_AD_UNRECOGNIZED_NAME;
	return SSL_CLIENT_HELLO_ERROR;
}

void plait_i_tls_hello_set(SSL_CTX *ctx, struct tls_settings *s)
{
	if (s->choose != NULL)
		SSL_CTX_set_client_hello_cb(ctx, hello_came, NULL);
}

/* SSL_set_SSL_CTX() takes the certificate and the callbacks, and leaves what
   SSL_new() has copied. */
int plait_i_tls_hello_switch(SSL *ssl, SSL_CTX *ctx,
			     const struct tls_settings *s)
{
	if (SSL_set_SSL_CTX(ssl, ctx) != ctx)
		return 0;
	SSL_set_verify(ssl, plait_i_tls_verify_mode(s), NULL);
	if (s->no_resumption)
		SSL_set_options(ssl, SSL_OP_NO_TICKET);
	if (s->no_resumption && !SSL_set_num_tickets(ssl, 0))
		return 0;
	return SSL_set_min_proto_version(ssl, s->min_version);
}

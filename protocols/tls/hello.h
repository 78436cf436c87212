/* The first message of a client, and which context it is for. */
#ifndef PROTOCOLS_TLS_HELLO_H
#define PROTOCOLS_TLS_HELLO_H

#include <openssl/ssl.h>

#include "protocols/tls/settings.h"

/* Lets the program choose, if it wants to. */
void plait_i_tls_hello_set(SSL_CTX *ctx, struct tls_settings *s);

/* The connection goes on as one of that context.  Returns 1, or 0 with an error
   of OpenSSL. */
int plait_i_tls_hello_switch(SSL *ssl, SSL_CTX *ctx,
			     const struct tls_settings *s);

#endif

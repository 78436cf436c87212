/* Checking the certificates of peers. */
#ifndef PROTOCOLS_TLS_VERIFY_H
#define PROTOCOLS_TLS_VERIFY_H

#include <openssl/ssl.h>

#include "protocols/tls/settings.h"

/* Sets whether the peer must have a certificate, and who looks at it. */
void plait_i_tls_verify_set(SSL_CTX *ctx, struct tls_settings *s);

/* Returns the mode of OpenSSL for that. */
int plait_i_tls_verify_mode(const struct tls_settings *s);

/* Sets the name, or the IP address, for which the certificate of the server
   must be good, and tells the server which name.  Returns 1, or 0 with an error
   of OpenSSL. */
int plait_i_tls_verify_name(SSL *ssl, const struct tls_settings *s,
			    const char *name);

#endif

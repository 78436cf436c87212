/*
 * Reading certificates and keys into an SSL_CTX.
 */
#ifndef PROTOCOLS_TLS_LOAD_H
#define PROTOCOLS_TLS_LOAD_H

#include <openssl/ssl.h>

#include <plait/tls.h>

/* What is wrong, in a buffer of the caller. */
struct tls_why {
	char *text;
	size_t size;
};

/*
 * Write what is wrong with that: what is said here, and what OpenSSL has said;
 * file may be NULL.  Return the -errno.
 */
int plait_i_tls_why(const struct tls_why *why, int err, const char *what,
		    const char *file, const char *text);
int plait_i_tls_why_openssl(const struct tls_why *why, const char *what,
			    const char *file);

/* Is true if there is neither a file nor bytes. */
static inline bool tls_pem_is_empty(const struct plait_tls_pem *pem)
{
	return pem->file == NULL && pem->bytes == NULL;
}

/*
 * Load the certificate of this end, with those of the authorities behind it,
 * and its key, from the certificate's text if it has none of its own; and the
 * authorities that are trusted, of whom clients are told if announce is true.
 * Return 0, or -errno with the reason.
 */
int plait_i_tls_load_certificate(SSL_CTX *ctx,
				 const struct plait_tls_pem *certificate,
				 const struct plait_tls_pem *key,
				 const struct tls_why *why);
int plait_i_tls_load_authorities(SSL_CTX *ctx,
				 const struct plait_tls_pem *authorities,
				 bool announce, const struct tls_why *why);

#endif

/*
 * What OpenSSL says, as failures.
 *
 * OpenSSL leaves what went wrong in a queue of the thread, in which the errors
 * of one connection would be taken for those of the next.  So whoever calls
 * OpenSSL empties the queue before, with ERR_clear_error(), and has it read
 * here if the call fails; that empties it, too.
 */
#ifndef PROTOCOLS_TLS_FAILURE_H
#define PROTOCOLS_TLS_FAILURE_H

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <plait/tls.h>

/* Empties the queue, which is mostly empty: to look costs less. */
static inline void tls_clear_errors(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

/*
 * Give the failure of a call that has failed: of the handshake of ssl; of
 * reading or writing when the handshake is over; and of any other call, of this
 * kind, with what was tried before the text.
 */
plait_value plait_i_tls_handshake_failed(const char *where, const SSL *ssl);
plait_value plait_i_tls_broke(const char *where);
plait_value plait_i_tls_failed(const char *where,
			       const struct plait_error *kind,
			       const char *what);

/* Writes what OpenSSL has said into buf, as snprintf() would. */
int plait_i_tls_errors(char *buf, size_t size);

#endif

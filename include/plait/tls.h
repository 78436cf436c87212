/*
 * TLS, in a library of its own, libplait-tls, which stands on OpenSSL 3:
 *
 *	cc ... $(pkg-config --cflags --libs plait-tls)
 *
 * <plait/plait.h> does not include this header, and this header needs none of
 * OpenSSL.
 */
#ifndef PLAIT_TLS_H
#define PLAIT_TLS_H

#include <plait/failure.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The kinds of failures of TLS, each under its parent:
 *
 *	connect
 *	  tls_handshake
 *	    tls_verify
 *	connection_lost
 *	  tls
 *	    tls_truncated
 */
extern const struct plait_error plait_error_tls_handshake;
extern const struct plait_error plait_error_tls_verify;
extern const struct plait_error plait_error_tls;
extern const struct plait_error plait_error_tls_truncated;

/*
 * Returns the number of the alert that the peer has sent, such as 40 for
 * "handshake failure", if this made the failure f; -1 if not.
 */
int plait_tls_failure_alert(const struct plait_failure *f);

/*
 * Returns what was wrong with the certificate of the peer, if this made the
 * failure f: a number that OpenSSL's <openssl/x509_vfy.h> names, such as 10,
 * X509_V_ERR_CERT_HAS_EXPIRED.  0 if not.
 */
int plait_tls_failure_verify_error(const struct plait_failure *f);

#ifdef __cplusplus
}
#endif

#endif

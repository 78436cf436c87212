/*
 * The other end of a TLS connection, by OpenSSL alone, without a socket: it
 * talks to a recording transport of <plait/testing.h>.  So a test decides how
 * many bytes come, in which pieces, and what becomes of the rest.
 */
#ifndef TESTS_TLS_PEER_H
#define TESTS_TLS_PEER_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include <plait/testing.h>

/* The name for which the certificate "good" is good. */
#define TLS_NAME "poetry.example"

struct tls_peer {
	SSL *ssl;
	BIO *in, *out;
	struct plait_buf *got; /* what it has read */
	size_t sent;	       /* bytes of its records that were delivered */
	size_t limit;	       /* ... and that may be */
	size_t records;	       /* that were delivered */
	size_t max_records;    /* ... and that may be */
	size_t changed;	       /* the byte that is changed on its way */
	bool is_cut;	       /* a limit has kept something back */
	size_t piece;	       /* most bytes of one delivery; 0: a record */
	bool is_up;	       /* its handshake is done */
	bool is_done;	       /* it has read a close_notify */
	bool is_broken;	       /* what came was no good TLS, or an alert */
};

/*
 * Makes one with the certificate NAME of make-certificates; NULL: none, which
 * only a client may do.  version is TLS1_3_VERSION or another one; 0: any.  A
 * client verifies the other end's certificate, and asks for TLS_NAME.
 */
void tls_peer_begin(struct tls_peer *p, bool is_client, const char *certificate,
		    int version);
void tls_peer_end(struct tls_peer *p);

/*
 * Talks with the transport t until neither has anything to say, or the limit
 * is reached.  Does the handshake, and reads what comes.
 */
void tls_peer_talk(struct tls_peer *p, struct plait_transport *t);

/* Writes text; or a close_notify.  They are sent when it talks next. */
void tls_peer_write(struct tls_peer *p, const char *text);
void tls_peer_close(struct tls_peer *p);

/* Returns all that it has to send, which is then for the caller to deliver;
   the caller unrefs it. */
struct plait_buf *tls_peer_take(struct tls_peer *p);

#endif

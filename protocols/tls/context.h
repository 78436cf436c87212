/*
 * Contexts from the inside.
 */
#ifndef PROTOCOLS_TLS_CONTEXT_H
#define PROTOCOLS_TLS_CONTEXT_H

#include <pthread.h>
#include <stdatomic.h>

#include <openssl/ssl.h>

#include "protocols/tls/session.h"
#include "protocols/tls/settings.h"
#include "protocols/tls/ticket.h"

struct plait_tls_context {
	atomic_uint refs;
	pthread_mutex_t
		lock; /* of ctx, which a reload replaces, and sessions */
	SSL_CTX *ctx;
	struct tls_sessions sessions; /* of clients */
	struct tls_tickets tickets;   /* of servers */
	BIO_METHOD *bio;
	struct tls_settings settings;
};

/* Gives the SSL_CTX for a connection that begins now. */
SSL_CTX *plait_i_tls_context_use(struct plait_tls_context *c);

/* A connection to the server of that name goes on with a session, if there is
   one. */
void plait_i_tls_context_resume(struct plait_tls_context *c, SSL *ssl,
				const char *name);

/* The handshake of a client is done.  If a session of TLS 1.2 went on and the
   server has renewed its ticket, OpenSSL tells nobody but who asks. */
void plait_i_tls_context_resumed(SSL *ssl);

/* Is true if a client of c need not, or can, check that name; NULL: none. */
bool plait_i_tls_context_takes_name(const struct plait_tls_context *c,
				    const char *name);

#endif

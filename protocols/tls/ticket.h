/*
 * The tickets of a server: in which keys they are wrapped, and whose sessions
 * are taken.
 */
#ifndef PROTOCOLS_TLS_TICKET_H
#define PROTOCOLS_TLS_TICKET_H

#include <pthread.h>

#include <openssl/ssl.h>

#include "protocols/tls/settings.h"

enum { TLS_MAX_TICKET_KEYS = 16 };

/* The keys of a context: those that its program has set, or one that nobody
   else has. */
struct tls_tickets {
	pthread_mutex_t lock; /* of all below but own */
	struct plait_tls_ticket_key own;
	struct plait_tls_ticket_key set[TLS_MAX_TICKET_KEYS]; /* newest first */
	size_t n;
};

/* t is zeroed. */
void plait_i_tls_tickets_init(struct tls_tickets *t);
void plait_i_tls_tickets_done(struct tls_tickets *t);

/* Makes the key of its own.  Returns 0, with an error of OpenSSL, if that
   fails. */
int plait_i_tls_tickets_begin(struct tls_tickets *t);

/* The keys are copied, and may be so many. */
void plait_i_tls_tickets_set(struct tls_tickets *t,
			     const struct plait_tls_ticket_key *keys, size_t n);

/*
 * The connections of ctx, which is whole, have tickets, and go on only with
 * sessions of servers that stand for the same names and ask the same of their
 * clients.  Returns 0, with an error of OpenSSL, if that fails.
 */
int plait_i_tls_tickets_use(SSL_CTX *ctx, const struct tls_settings *s);

#endif

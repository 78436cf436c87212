/*
 * The sessions that a client may go on with.
 */
#ifndef PROTOCOLS_TLS_SESSION_H
#define PROTOCOLS_TLS_SESSION_H

#include <openssl/ssl.h>

#include <plait/list.h>

struct tls_sessions {
	struct plait_list list; /* the newest first */
	unsigned n;
};

void plait_i_tls_sessions_init(struct tls_sessions *s);
void plait_i_tls_sessions_drop(struct tls_sessions *s);

/*
 * Keeps a session with the server of that name, whose reference is taken; the
 * oldest gives way.  With no memory, or if it is there already, it is dropped.
 */
void plait_i_tls_sessions_keep(struct tls_sessions *s, const char *name,
			       SSL_SESSION *session);

/* Gives a reference to a session with the server of that name, or NULL. */
SSL_SESSION *plait_i_tls_sessions_take(struct tls_sessions *s,
				       const char *name);

#endif

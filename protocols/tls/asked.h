/*
 * What OpenSSL asks in the middle of a handshake, and the program answers
 * later.  It is the app data of an SSL.
 */
#ifndef PROTOCOLS_TLS_ASKED_H
#define PROTOCOLS_TLS_ASKED_H

#include <stdbool.h>

struct tls_tickets;

enum tls_answer {
	TLS_NOT_ASKED,
	TLS_ASKED, /* OpenSSL waits for the answer */
	TLS_YES,
	TLS_NO
};

struct tls_asked {
	enum tls_answer choice;	 /* which context */
	enum tls_answer verdict; /* on the peer's certificate */
	char *name;		 /* that the client has asked for, or NULL */
	struct tls_tickets *tickets; /* of the context that it has */
};

#endif

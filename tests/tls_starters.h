/*
 * What waits for TLS, in each state that it can find: whole handshakes of both
 * ends in one reactor, as scenarios for cancel points.
 */
#ifndef TESTS_TLS_STARTERS_H
#define TESTS_TLS_STARTERS_H

#include <plait/deferred.h>
#include <plait/tls.h>

struct tls_starter {
	const char *name;  /* of the function, or of what is connected with */
	const char *state; /* that it finds */
	struct plait_deferred *(*start)(struct plait_reactor *r);
};

extern const struct tls_starter tls_starters[];
extern const int n_tls_starters;

/* The contexts of all of them; and what a run has left. */
void tls_starters_begin(void);
void tls_starters_end(void);
void tls_starter_stop(void);

#endif

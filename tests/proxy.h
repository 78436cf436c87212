/*
 * The poetry proxy as a scenario: one client asks a proxy for a poem, and the
 * proxy fetches it from a server that is slow.  All three are programs on one
 * reactor.  What is cancelled is the client's request.
 *
 * It needs sockets, on whatever kernel.
 */
#ifndef TESTS_PROXY_H
#define TESTS_PROXY_H

#include "tests/starters.h"

/* A proxy as it should be, and what somebody may have got wrong. */
enum proxy_kind {
	PROXY_WHOLE,
	PROXY_FORGETS_A_TIMER, /* which is stopped only when the poem is there
				*/
	PROXY_LETS_GO,	       /* the download belongs to nobody */
	PROXY_KEEPS_A_REQUEST, /* in its table of requests */
};
extern enum proxy_kind proxy_kind;

extern const struct starter proxy_starter;

/* How many requests its table has. */
size_t proxy_requests(void);

#endif

/*
 * Strangers: connections of other programs to the listeners of a test.  Some
 * machines have one that looks at every port that is opened on loopback.  The
 * seam and peer_accept() close those at once and look for the next.
 */
#ifndef TESTS_STRANGER_H
#define TESTS_STRANGER_H

#include <stdbool.h>
#include <sys/socket.h>

/* The socket, of the test or of a child of it, has begun to connect. */
void stranger_is_not(int fd);

/* A new test begins: what connected before is forgotten. */
void stranger_forget(void);

/* accept4(), of those that are no strangers. */
int stranger_accept(int fd, struct sockaddr *sa, socklen_t *len, int flags);

#endif

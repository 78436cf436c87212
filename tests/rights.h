/*
 * Descriptors beside bytes, as a peer hands them over that is no program of the
 * library's.
 */
#ifndef TESTS_RIGHTS_H
#define TESTS_RIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { RIGHTS_MANY = 253 }; /* that the kernel passes at once */

/* As send() and recv(), which never wait; *n is how many came, of which fds has
   room for RIGHTS_MANY. */
ssize_t rights_send(int fd, const void *data, size_t len, const int *fds,
		    size_t n);
ssize_t rights_recv(int fd, void *data, size_t len, int *fds, size_t *n);

/* Sends so many copies of one descriptor, with one byte. */
void rights_send_copies(int fd, int copy, size_t n);

/* Is true if both are the same file. */
bool rights_are_same(int a, int b);

#endif

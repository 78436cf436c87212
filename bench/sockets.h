/*
 * The servers of a program that has the sockets itself, sockets.c; whether
 * they are readable or writable it learns from its library, or from epoll.
 */
#ifndef BENCH_SOCKETS_H
#define BENCH_SOCKETS_H

#include <sys/queue.h>

#include "bench.h"

struct conn;
struct unsent;

typedef void conn_ready(struct conn *c);
typedef void conn_handler(struct conn *c, const char *data, size_t len);

struct conn {
	int fd;	      /* -1: closed, and buried soon */
	bool closing; /* when all is sent */
	conn_ready *ready;
	conn_handler *handler; /* of what has come */
	struct unsent *unsent; /* NULL: nothing */
	void *more;	       /* of its server, or NULL; freed with it */
	SLIST_ENTRY(conn) dead;
	max_align_t watcher[]; /* of the library */
};

/*
 * A library watches one socket for being readable or writable, and calls
 * c->ready(c).  When no such call is under way, it calls conn_bury().
 */
extern const size_t watcher_size;
void watcher_begin(void);
void watcher_start(struct conn *c, bool writable);
void watcher_change(struct conn *c, bool writable);
void watcher_stop(struct conn *c);
void watcher_loop(void);

void conn_bury(void);

#endif

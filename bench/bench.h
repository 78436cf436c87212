/*
 * What the programs of the benchmark share.  Each program is one library, or
 * none, and does every work of its table, `works'.
 *
 * `PROGRAM WORK [NUMBER]' serves: it writes its port and its process on
 * standard output, and serves until a signal ends it.  Or it has no network:
 * then its port is 0, and it reads numbers from standard input, does so many
 * operations, and writes how many nanoseconds of processor time they took.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	READ_SIZE = 128 * 1024, /* everybody's buffer for reading */
	LINE_SIZE = 16,		/* with its end, "\n" */
	MAX_LINE = 256,
	REQUEST = 64,		       /* bytes, where a client sends one */
	POEM_SIZE = 3000,	       /* bytes */
	BULK = 1024 * 1024,	       /* bytes */
	DATAGRAMS = 32,		       /* that are sent and received together */
	DATAGRAM_ROOM = 4096,	       /* bytes, for each that comes */
	DATAGRAM_BUFFER = 1024 * 1024, /* of a socket, until it reads */
};

struct work {
	const char *name;
	void (*run)(const void *what, unsigned number);
	const void *what; /* run()'s own */
};

extern const struct work works[]; /* up to one without a name */

/* Fills in a poem of POEM_SIZE bytes, which all servers and clients know. */
const char *poem(void);

/* Ends the program, and says what failed, unless ok. */
void must(bool ok, const char *what);

void *allocate(size_t size); /* zeroed; never NULL */

void tell_port(unsigned port);
int listen_on_loopback(void);	 /* not blocking; tells its port */
int datagrams_on_loopback(void); /* the same, of UDP */

/* Gives a socket of datagrams a large buffer: the limit of the system holds
   only for who may not administer the network. */
void want_buffer(int fd);
unsigned port_of(int listener); /* a socket's own */

/*
 * Calls each(c, line, len) for each line, with its end, of what has come on a
 * connection; the line that is not complete waits in p.  gather_line() is for
 * who answers all lines of one read in one piece: it copies them into gathered.
 */
struct partial {
	size_t size;
	char text[MAX_LINE];
};

typedef void line_func(void *c, const char *line, size_t len);

void split_lines(struct partial *p, const char *data, size_t len,
		 line_func *each, void *c);

extern struct gathered {
	size_t size;
	char text[READ_SIZE + MAX_LINE];
} gathered;
void gather_line(void *c, const char *line, size_t len);

/*
 * Nanoseconds of processor time that this process has used.  repeat() calls
 * run(&n) for each n that it reads; run() changes n to what it has done, and
 * returns the nanoseconds.
 */
double cpu_time(void);
void repeat(double (*run)(size_t *n));

/* The same numbers in each program. */
size_t random_below(size_t n);

#endif

/*
 * Lockstep: one script of system calls on two kernels, step by step, and what
 * is to be seen on the one must be seen on the other.
 *
 *	open4 a; bind a 1; listen a 2; open4 b; connect b a; accept a c;
 *	write b 100; shut-write b; read c 200; read c 1; reset c
 *
 * Scripts of datagrams have the same verbs, and some of their own:
 *
 *	dgram4 a; bind a 1; dgram4 b; tell-errors b 3; send-to b a 9; read a 5;
 *	close a; send-to b a 9; read-error b 9
 *
 * ... and so have those of UNIX sockets, streams and datagrams.  A number below
 *5 is an abstract name there, and a higher one is a path:
 *
 *	local a; bind a 6; listen a 1; local b; connect b a; accept a c;
 *	write b 5; close c; read b 1; unlink b 6; credentials b
 *
 * A script names its sockets by letters, and port numbers by small numbers; on
 * each kernel they are others.  A step that cannot be done, because its socket
 * is not open for example, is left out on both kernels.  So whatever is cut out
 * of a script, the rest is a script.
 *
 * After each step both kernels deliver all that is on its way.  Then the two
 * are compared: what the call gave, its errno, the bytes, and for which events
 * each socket is ready.
 */
#ifndef TESTS_LOCKSTEP_H
#define TESTS_LOCKSTEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "reactor/kernel/kernel.h"

enum {
	LOCKSTEP_SOCKETS = 8, /* a to h */
	LOCKSTEP_PORTS = 5,   /* 0 stands for any */
	LOCKSTEP_STEPS = 100,
	LOCKSTEP_TEXT = 80
};

/* ---- lockstep_script.c --------------------------------------------------- */

/* The verbs; each is explained beside its name, in lockstep_script.c. */
enum lockstep_verb {
	OPEN4,
	OPEN6,
	DGRAM4,
	DGRAM6,
	LOCAL,
	LOCAL_DGRAM,
	BIND,
	BIND_WILD,
	BIND_LIKE,
	LISTEN,
	CONNECT,
	CONNECT_PORT,
	CONNECT_MAPPED,
	DISCONNECT,
	ACCEPT,
	WRITE,
	PIECES,
	SEND_TO,
	SEND_MAPPED,
	SEND_PORT,
	SEND_MANY,
	READ,
	READ_SIZE,
	READ_MANY,
	READ_ERROR,
	PEEK,
	SHUT_READ,
	SHUT_WRITE,
	SHUT_BOTH,
	CLOSE,
	RESET,
	SNDBUF,
	RCVBUF,
	REUSE,
	NODELAY,
	KEEPALIVE,
	V6ONLY,
	TELL_ERRORS,
	TELL_LOCAL,
	CREDENTIALS,
	UNLINK,
	ERROR,
	OPTIONS,
	NAME,
	PEER,
	WATCH,
	LOOK,
	AWAIT,
	ODD,
	N_VERBS
};

struct lockstep_step {
	enum lockstep_verb verb;
	int a, b;   /* sockets */
	unsigned n; /* bytes, a port, a backlog, ... */
};

struct lockstep_script {
	struct lockstep_step steps[LOCKSTEP_STEPS];
	int n;
};

/* What a verb takes: "s" a socket, "ss" two, "sn" a socket and a number, "ssn"
   all of them. */
extern const struct lockstep_word {
	const char *name, *takes;
} lockstep_words[N_VERBS];

/* The script of that seed, of streams or of datagrams. */
void lockstep_generate(struct lockstep_script *s, uint64_t seed);
void lockstep_generate_datagrams(struct lockstep_script *s, uint64_t seed);
void lockstep_generate_local(struct lockstep_script *s, uint64_t seed);

/* False if the text is no script. */
bool lockstep_parse(struct lockstep_script *s, const char *text);
void lockstep_print_step(const struct lockstep_step *s, FILE *to);
void lockstep_print(const struct lockstep_script *s, FILE *to);

/*
 * Leaves out whatever is not needed for the script to fail, and makes numbers
 * smaller.
 */
void lockstep_shrink(struct lockstep_script *s,
		     bool (*fails)(const struct lockstep_script *s, void *arg),
		     void *arg);

/* ---- lockstep.c ---------------------------------------------------------- */

/* A socket of the script on one side. */
struct lockstep_socket {
	int fd;		 /* -1: it is closed */
	unsigned events; /* it is ready for them */
	bool told;	 /* of a hang-up, since it waits for nothing else */
	uint16_t port;	 /* its own number; 0: none yet */
	uint16_t peer;	 /* ... and of whom it was accepted from */
	size_t sent, received;
	unsigned char *ahead; /* what the other side has not received yet */
	size_t n_ahead;
};

/*
 * One kernel.  What is above the line is filled in by its owner.
 */
struct lockstep_side {
	const char *name;
	/* NULL, or makes a new one for each script, and ends it. */
	void (*begin)(struct lockstep_side *side);
	void (*end)(struct lockstep_side *side);
	struct kernel *kernel;
	/* Waits until all that was sent has arrived. */
	void (*settle)(struct lockstep_side *side);
	/* Lets a millisecond pass. */
	void (*pass)(struct lockstep_side *side);
	/* Gives a port number that nobody uses. */
	uint16_t (*new_port)(struct lockstep_side *side);
	/* Gives the descriptor at the other end of a UNIX socket, or -1.  The
	   second side has it if scripts have UNIX sockets. */
	int (*peer_of)(struct lockstep_side *side, int fd);
	const char *directory; /* for paths */
	/* ---- private ---- */
	struct watches watches;
	struct lockstep_socket sockets[LOCKSTEP_SOCKETS];
	uint16_t ports[LOCKSTEP_PORTS];
};

/* What a script does not know of a socket of its own, on both sides. */
struct lockstep_pair {
	bool open;
	bool is_datagram;
	bool is_bound;	 /* to a port that it has asked for, or any */
	unsigned serial; /* of all that were opened: which content it writes */
	int family;
	unsigned wants;	 /* events: what its watches wait for */
	int partner;	 /* the other end, or -1 */
	size_t taken[2]; /* on each side, by a partner that is closed now */
	bool is_mapped;	 /* has asked for an IPv4 address by IPv6 */
	bool is_plain;	 /* has asked for an IPv6 address */
	bool small;	 /* a buffer of this end was set to some size */
	bool is_clogged; /* what it has sent was too much, and is not yet read
			  */
	bool was_full;	 /* when the step began */
	bool is_apart;	 /* the sides have sent different amounts for good */
	unsigned writes; /* of a UNIX socket, of which nothing is read yet */
};

/* What differs: at which step, in what, and what was seen on each side. */
struct lockstep_difference {
	const struct lockstep_step *step;
	enum { IN_RESULT, IN_EVENTS, IN_CONTENT } in;
	int socket; /* whose events, or whose call */
	const char *seen[2];
};

struct lockstep;

/* A difference that may be, and why. */
struct lockstep_allowance {
	const char *reason;
	bool (*covers)(const struct lockstep *l,
		       const struct lockstep_difference *d);
	bool lasts; /* from then on the connection may differ in more */
	bool rare;  /* it depends on the moment, and may not be seen */
	unsigned long seen;
};

struct lockstep {
	struct lockstep_side *sides[2];
	struct lockstep_allowance *allowed; /* the last has no reason */
	int patience; /* milliseconds, until a difference is one */
	bool no_ipv6; /* leave out what needs it */
	FILE *log;    /* or NULL */
	/* ---- private ---- */
	struct lockstep_pair pairs[LOCKSTEP_SOCKETS];
	struct lockstep_connection *connections;
	unsigned opened, n_connections;
	size_t unread;	  /* bytes of datagrams, at most, with what they take */
	bool was_clogged; /* a UNIX socket, when it was closed */
	unsigned long waited; /* milliseconds, in all */
	bool failed;
	bool met;  /* by chance: see note_meeting() */
	char *why; /* of the failure, to be freed */
	size_t why_length;
};

/*
 * Runs the script.  Returns false if the sides differ, and says in l->why in
 * what.  All sockets are closed at the end.
 */
bool lockstep_run(struct lockstep *l, const struct lockstep_script *s);

/*
 * For allowances: true if so much is on its way from the socket, or to it,
 * that the kernels may take different amounts.
 */
bool lockstep_is_full(const struct lockstep *l, int socket);

#endif

/*
 * The command line of the sample programs.  Every program has a table of its
 * options.  It also gets --help and --reactor, and, if it serves, --port,
 * --iface, and --listen, which names an endpoint instead.
 */
#ifndef SAMPLES_COMMON_OPTIONS_H
#define SAMPLES_COMMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include <plait/endpoint.h>

/*
 * One option.  read stores what text says; it returns false if text makes no
 * sense.
 */
struct program_option {
	const char *name;     /* "delay" */
	const char *argument; /* what --help calls it; NULL: a flag */
	const char *help;
	bool (*read)(const char *text, void *into);
	void *into;
	const char **further; /* NULL, or where a second argument goes */
};

struct program {
	const char *about;    /* a sentence for --help */
	const char *operands; /* "FILE", for --help; NULL: none */
	int min_operands, max_operands;
	bool is_command; /* the operands are: what follows the first is not
			    for this program */
	bool serves;
	const struct program_option *options; /* the last one has no name */

	/* What the command line says. */
	const char *reactor; /* NULL: the default */
	const char *iface;
	unsigned port;
	struct plait_endpoint *listen; /* NULL: iface and port */
	char **operand;		       /* a NULL ends them */
	int n_operands;
};

/* Where a server is.  It lives as long as the program. */
struct server {
	struct plait_endpoint *endpoint;
	char text[272]; /* as HOST:PORT, or as the endpoint says */
};

/* Ends the endpoint. */
void server_done(struct server *s);

/*
 * Reads the command line into p, and makes standard output line buffered.
 * After a mistake it prints one line and exits with status 2; after --help it
 * exits, too.
 */
void program_start(struct program *p, int argc, char **argv);

/* Prints "NAME: MESSAGE" on standard error and exits with status 2. */
void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Functions for the tables; the comment says what into points to. */
bool read_flag(const char *text, void *into);	  /* bool */
bool read_text(const char *text, void *into);	  /* const char * */
bool read_port(const char *text, void *into);	  /* unsigned */
bool read_count(const char *text, void *into);	  /* size_t, at least 1 */
bool read_seconds(const char *text, void *into);  /* double, at least 0 */
bool read_positive(const char *text, void *into); /* double, more than 0 */
bool read_server(const char *text, void *into);	  /* struct server; dies */

/* Reads a text as an endpoint, given, or dies with what is wrong with it. */
struct plait_endpoint *read_endpoint(const char *text);

#endif

/*
 * What the sample programs have in common beside their command line: a
 * reactor, a port and a file as the options say, or one line on standard error
 * and status 2; and printing a value.
 */
#ifndef SAMPLES_COMMON_PROGRAM_H
#define SAMPLES_COMMON_PROGRAM_H

#include <plait/plait.h>

#include "common/options.h"

/* The reactor of that name; given. */
struct plait_reactor *program_reactor(const struct program *p);

/* Lets the factory listen where the options say; that address. */
struct plait_address program_listen(const struct program *p,
				    struct plait_reactor *r,
				    struct plait_factory *f);

/*
 * Runs the reactor until the program is told to end.  Prints the line first,
 * as soon as a signal would end it well: who reads the line may send one.
 * Control characters in it, of a file's name for one, are shown as \xNN.
 */
void program_run(struct plait_reactor *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* No poem is longer than this. */
enum { POEM_MAX = 16 * 1024 * 1024 };

/* The bytes of a file, at most POEM_MAX; given. */
struct plait_buf *program_file(const char *path);

/* Prints "WHAT: VALUE". */
void say(const char *what, const plait_value *v);

#endif

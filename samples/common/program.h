/*
 * What the sample programs have in common besides their command line.  They
 * make a reactor, a port and the bytes of a file as the options say, or print
 * one line on standard error and exit with status 2.  And they print a value.
 */
#ifndef SAMPLES_COMMON_PROGRAM_H
#define SAMPLES_COMMON_PROGRAM_H

#include <plait/plait.h>

#include "common/options.h"

/* Makes the reactor that the options name; given. */
struct plait_reactor *program_reactor(const struct program *p);

/* Lets the factory listen where the options say, and returns this address. */
struct plait_address program_listen(const struct program *p,
				    struct plait_reactor *r,
				    struct plait_factory *f);

enum { PLACE_SIZE = PLAIT_ADDRESS_SIZE };

/* Writes "port N", or the name of a UNIX socket, and returns place. */
const char *place_str(const struct plait_address *a, char place[PLACE_SIZE]);

/*
 * Runs the reactor until a signal ends the program.  First prints the line,
 * when a signal would already end the program cleanly, because the reader of
 * the line may send a signal.  Control characters in the line, for example of a
 * file's name, are shown as \xNN.
 */
void program_run(struct plait_reactor *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* No poem is longer than this. */
enum { POEM_MAX = 16 * 1024 * 1024 };

/* Reads a file of at most POEM_MAX bytes; given. */
struct plait_buf *program_file(const char *path);

/* Prints "WHAT: VALUE". */
void say(const char *what, const plait_value *v);

#endif

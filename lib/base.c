/*
 * The version, and the end of a program that is wrong.  Nothing here
 * allocates or goes through stdio: plait_die() must work when memory has run
 * out and from inside anything.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <plait/base.h>

#include "lib/base.h"

const char *plait_version(void)
{
	return PLAIT_VERSION;
}

void base_say(const char *line, size_t len)
{
	int saved = errno;

	while (write(STDERR_FILENO, line, len) < 0 && errno == EINTR)
		;
	errno = saved;
}

/* How many characters snprintf() really wrote into that many bytes. */
static size_t written(int wanted, size_t size)
{
	if (wanted < 0)
		return 0;
	return (size_t)wanted < size ? (size_t)wanted : size - 1;
}

void plait_die(const char *where, const char *fmt, ...)
{
	char line[512];
	size_t room = sizeof(line) - 1; /* the newline's place is kept */
	size_t len;
	va_list ap;

	len = written(snprintf(line, room, "plait: %s: ", where), room);
	va_start(ap, fmt);
	len += written(vsnprintf(line + len, room - len, fmt, ap), room - len);
	va_end(ap);
	line[len++] = '\n';
	base_say(line, len);
	abort();
}

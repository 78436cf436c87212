/*
 * The version, reports on standard error, and the end of a program that is
 * wrong.  Nothing here allocates or uses stdio, because plait_die() must work
 * when memory has run out, and anywhere.
 *
 * A report never waits, because the loop makes it, and the reader of a log may
 * be stuck.  The open file behind standard error is often shared with other
 * processes, so it must not be made non-blocking.  Instead a pipe or a terminal
 * is opened once more, non-blocking, for one report; a socket has a flag for
 * this.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <plait/base.h>

#include "lib/base.h"

const char *plait_version(void)
{
	return PLAIT_VERSION;
}

/* ---- standard error -------------------------------------------------- */

enum way {
	WAY_NONE,  /* nobody would read the report */
	WAY_WRITE, /* cannot wait: a file, or an open file of our own */
	WAY_SEND,
	WAY_POLL /* writes only if there is room */
};

struct outlet {
	int fd;
	enum way way;
};

/* Writing into a pipe that nobody reads would raise SIGPIPE. */
static bool outlet_has_reader(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) < 0 || (p.revents & POLLERR) == 0;
}

/*
 * Without /proc, without the right to open it, or without a free descriptor, we
 * only look whether there is room: a pipe that has room takes PIPE_BUF bytes.
 * We would wait only if somebody else writes into it at the same moment, or if
 * a terminal has less room.
 */
static struct outlet outlet_reopen(void)
{
	int fd = open("/proc/self/fd/2",
		      O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd > STDERR_FILENO)
		return (struct outlet){ fd, outlet_has_reader(fd) ? WAY_WRITE
								  : WAY_NONE };
	if (fd < 0 && errno == ENXIO) /* the same, if it has a name */
		return (struct outlet){ -1, WAY_NONE };
	if (fd >= 0)
		close(fd); /* a standard descriptor that the program has closed
			    */
	return (struct outlet){ STDERR_FILENO, WAY_POLL };
}

static struct outlet outlet_open(void)
{
	struct outlet o = { STDERR_FILENO, WAY_WRITE };
	struct stat st;

	if (fstat(STDERR_FILENO, &st) < 0)
		o.way = WAY_NONE;
	else if (S_ISSOCK(st.st_mode))
		o.way = WAY_SEND;
	else if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))
		o = outlet_reopen();
	return o;
}

static void outlet_close(const struct outlet *o)
{
	if (o->fd > STDERR_FILENO)
		close(o->fd);
}

static bool outlet_has_room(const struct outlet *o)
{
	struct pollfd p = { .fd = o->fd, .events = POLLOUT };

	return poll(&p, 1, 0) == 1 &&
	       (p.revents & (POLLOUT | POLLERR)) == POLLOUT;
}

static ssize_t outlet_try(const struct outlet *o, const char *text, size_t len)
{
	if (o->way == WAY_SEND)
		return send(o->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (o->way == WAY_NONE || (o->way == WAY_POLL && !outlet_has_room(o)))
		return -1;
	return write(o->fd, text, len);
}

/* How many reports could not be written, and whether one of them was cut. */
static atomic_ulong lost;
static atomic_bool torn;

/*
 * Writes at most PIPE_BUF bytes, which a pipe takes as a whole or not at all.
 */
static bool outlet_put_piece(const struct outlet *o, const char *text,
			     size_t len)
{
	ssize_t n;

	do
		n = outlet_try(o, text, len);
	while (n < 0 && errno == EINTR);
	if (n > 0 && (size_t)n < len)
		atomic_store(&torn, true);
	return n >= 0 && (size_t)n == len;
}

/* How much of a report is written at once: whole lines, if it is long. */
static size_t piece_of(const char *text, size_t len)
{
	const char *end;

	if (len <= PIPE_BUF)
		return len;
	end = memrchr(text, '\n', PIPE_BUF);
	return end != NULL ? (size_t)(end - text) + 1 : PIPE_BUF;
}

static bool outlet_put(const struct outlet *o, const char *text, size_t len)
{
	while (len > 0) {
		size_t n = piece_of(text, len);

		if (!outlet_put_piece(o, text, n))
			return false;
		text += n;
		len -= n;
	}
	return true;
}

/* Says how many reports were lost; returns true if nothing is left to say. */
static bool outlet_put_lost(const struct outlet *o)
{
	unsigned long n = atomic_exchange(&lost, 0);
	char line[128];
	int len;

	if (n == 0)
		return true;
	len = snprintf(line, sizeof(line),
		       "%splait: %lu report%s lost: standard error was full\n",
		       atomic_exchange(&torn, false) ? "\n" : "", n,
		       n > 1 ? "s" : "");
	if (outlet_put_piece(o, line, (size_t)len))
		return true;
	atomic_fetch_add(&lost, n);
	return false;
}

void plait_i_base_say(const char *text, size_t len)
{
	int saved = errno;
	struct outlet o = outlet_open();

	if (!outlet_put_lost(&o) || !outlet_put(&o, text, len))
		atomic_fetch_add(&lost, 1);
	outlet_close(&o);
	errno = saved;
}

void plait_i_base_say_lost(void)
{
	int saved = errno;
	struct outlet o;

	if (atomic_load(&lost) == 0)
		return;
	o = outlet_open();
	outlet_put_lost(&o);
	outlet_close(&o);
	errno = saved;
}

/* ---- dying ----------------------------------------------------------- */

/* Returns how many characters snprintf() has written into this many bytes. */
static size_t written_length(int wanted, size_t size)
{
	if (wanted < 0)
		return 0;
	return (size_t)wanted < size ? (size_t)wanted : size - 1;
}

void plait_die(const char *where, const char *fmt, ...)
{
	char line[512];
	size_t room =
		sizeof(line) - 1; /* there is always room for the newline */
	size_t len;
	va_list ap;

	len = written_length(snprintf(line, room, "plait: %s: ", where), room);
	va_start(ap, fmt);
	len += written_length(vsnprintf(line + len, room - len, fmt, ap),
			      room - len);
	va_end(ap);
	line[len++] = '\n';
	plait_i_base_say(line, len);
	abort();
}

/*
 * Starts a sample program.  What fails here fails before anything runs, so it
 * simply ends the program.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/escape.h"
#include "common/program.h"

struct plait_reactor *program_reactor(const struct program *p)
{
	struct plait_reactor *r = plait_reactor_new(p->reactor);

	if (r == NULL)
		die("no reactor: %s", strerror(errno));
	return r;
}

struct plait_address program_listen(const struct program *p,
				    struct plait_reactor *r,
				    struct plait_factory *f)
{
	const struct plait_listen_options options = { .iface = p->iface };
	struct plait_address address;
	struct plait_port *port;
	int e = plait_listen_tcp(r, p->port, f, &options, &port);

	if (e < 0) {
		plait_reactor_free(&r);
		die("cannot serve on %s, port %u: %s", p->iface, p->port,
		    strerror(-e));
	}
	plait_port_host(port, &address);
	return address;
}

static void print_line(void *line)
{
	fwrite(plait_buf_data(line), 1, plait_buf_size(line), stdout);
	putchar('\n');
}

void program_run(struct plait_reactor *r, const char *fmt, ...)
{
	struct plait_buf *b = plait_buf_new(PLAIT_BUF_UNBOUNDED);
	char line[8192];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (b == NULL || append_escaped(b, line, strlen(line), "") < 0 ||
	    plait_call_when_running(r, print_line, b) < 0)
		die("no memory");
	plait_reactor_run(r);
	plait_buf_unref(&b);
}

/* Returns 0 or an errno. */
static int read_all(FILE *file, struct plait_buf *b)
{
	char piece[16384];
	size_t n;
	int e = 0;

	while (e == 0 && (n = fread(piece, 1, sizeof(piece), file)) > 0)
		e = -plait_buf_append(b, piece, n);
	return e == 0 && ferror(file) ? errno : e;
}

struct plait_buf *program_file(const char *path)
{
	struct plait_buf *b = plait_buf_new(POEM_MAX);
	FILE *file = fopen(path, "rb");
	int e = b == NULL ? ENOMEM : file == NULL ? errno : read_all(file, b);

	if (file != NULL)
		fclose(file);
	if (e != 0) {
		plait_buf_unref(&b);
		if (e == EMSGSIZE)
			die("%s: more than %d bytes", path, POEM_MAX);
		die("%s: %s", path, strerror(e));
	}
	return b;
}

void say(const char *what, const plait_value *v)
{
	char text[256];

	plait_value_str(v, text, sizeof(text));
	printf("%s: %s\n", what, text);
}

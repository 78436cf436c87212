/*
 * Starts a sample program.  What fails here fails before anything runs, so it
 * simply ends the program.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/escape.h"
#include "common/program.h"

struct plait_reactor *program_reactor(const struct program *p)
{
	struct plait_reactor *r = plait_reactor_new(p->reactor);

	if (r == NULL)
		die("no reactor: %s", strerror(errno));
	return r;
}

enum { WHY_SIZE = 1024 };

static plait_value store_port(plait_value *result, void *arg)
{
	*(struct plait_port **)arg = plait_port_take(result);
	return PLAIT_NONE;
}

static plait_value store_failure(plait_value *result, void *arg)
{
	plait_value_str(result, arg, WHY_SIZE);
	return PLAIT_NONE;
}

/* NULL with the reason in why. */
static struct plait_port *listen_on(const struct plait_endpoint *e,
				    struct plait_reactor *r,
				    struct plait_factory *f, char *why)
{
	struct plait_deferred *d = plait_endpoint_listen(e, r, f);
	struct plait_port *port = NULL;

	plait_deferred_add_callbacks(d, store_port, &port, store_failure, why);
	plait_deferred_free(&d);
	return port;
}

static struct plait_port *listen_tcp(const struct program *p,
				     struct plait_reactor *r,
				     struct plait_factory *f, char *why)
{
	const struct plait_listen_options options = { .iface = p->iface };
	struct plait_port *port = NULL;
	int e = plait_listen_tcp(r, p->port, f, &options, &port);

	if (e < 0)
		snprintf(why, WHY_SIZE, "cannot serve on %s, port %u: %s",
			 p->iface, p->port, strerror(-e));
	return port;
}

struct plait_address program_listen(const struct program *p,
				    struct plait_reactor *r,
				    struct plait_factory *f)
{
	char why[WHY_SIZE] = "";
	struct plait_port *port = p->listen != NULL
					  ? listen_on(p->listen, r, f, why)
					  : listen_tcp(p, r, f, why);
	struct plait_endpoint *e = p->listen;
	struct plait_address address;

	plait_endpoint_unref(&e);
	if (port == NULL) {
		plait_reactor_free(&r);
		die("%s", why);
	}
	plait_port_host(port, &address);
	return address;
}

const char *place_str(const struct plait_address *a, char place[PLACE_SIZE])
{
	if (plait_address_family(a) == AF_UNIX)
		plait_address_str(a, place, PLACE_SIZE);
	else
		snprintf(place, PLACE_SIZE, "port %u", plait_address_port(a));
	return place;
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

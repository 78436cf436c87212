/*
 * Reads the command line with the help of a table.  An argument that begins
 * with "--" is an option; its value follows after "=" or as the next argument.
 * "--" alone ends the options.  All other arguments are operands, wherever they
 * stand.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <plait/reactor.h>

#include "common/options.h"

static const char *program_name = "plait";

void die(const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", program_name);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	exit(2);
}

bool read_flag(const char *text, void *into)
{
	*(bool *)into = true;
	return true;
}

bool read_text(const char *text, void *into)
{
	*(const char **)into = text;
	return true;
}

static bool read_number(const char *text, unsigned long max, unsigned long *ret)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*ret = strtoul(text, &end, 10);
	return errno == 0 && *end == '\0' && *ret <= max;
}

bool read_port(const char *text, void *into)
{
	unsigned long n;

	if (!read_number(text, 65535, &n))
		return false;
	*(unsigned *)into = n;
	return true;
}

bool read_count(const char *text, void *into)
{
	unsigned long n;

	if (!read_number(text, SIZE_MAX, &n) || n == 0)
		return false;
	*(size_t *)into = n;
	return true;
}

bool read_seconds(const char *text, void *into)
{
	char *end;
	double n = strtod(text, &end);

	if (end == text || *end != '\0' || !isfinite(n) || n < 0)
		return false;
	*(double *)into = n;
	return true;
}

bool read_positive(const char *text, void *into)
{
	double n;

	if (!read_seconds(text, &n) || n == 0)
		return false;
	*(double *)into = n;
	return true;
}

struct plait_endpoint *read_endpoint(const char *text)
{
	char why[PLAIT_ENDPOINT_WHY_SIZE];
	struct plait_endpoint *e = NULL;

	if (plait_endpoint_parse(text, &e, why, sizeof(why)) < 0)
		die("%s: %s", text, why);
	return e;
}

/* Copies the host, which is in brackets if it has colons. */
static bool read_host(const char *text, size_t len, char *into, size_t size)
{
	bool brackets = text[0] == '[';

	if (brackets && (len < 2 || text[len - 1] != ']'))
		return false;
	text += brackets;
	len -= 2 * (size_t)brackets;
	if (len == 0 || len >= size ||
	    brackets != (memchr(text, ':', len) != NULL))
		return false;
	memcpy(into, text, len);
	into[len] = '\0';
	return true;
}

/* "10000", "poetry.example:10000" or "[::1]:10000".  Without a host it is this
   host. */
static bool read_host_and_port(const char *text, struct server *into)
{
	static const char this_host[] = "127.0.0.1";
	const char *colon = strrchr(text, ':');
	const char *host = colon != NULL ? text : this_host;
	size_t len = colon != NULL ? (size_t)(colon - text) : strlen(host);
	char name[256];
	unsigned port;

	if (!read_port(colon != NULL ? colon + 1 : text, &port) || port == 0 ||
	    !read_host(host, len, name, sizeof(name)))
		return false;
	into->endpoint = plait_endpoint_tcp(name, port);
	snprintf(into->text, sizeof(into->text), "%.*s:%u", (int)len, host,
		 port);
	return into->endpoint != NULL;
}

/* Or an endpoint, such as "unix:/run/poetry". */
bool read_server(const char *text, void *into)
{
	char why[PLAIT_ENDPOINT_WHY_SIZE];
	struct server *server = into;

	if (read_host_and_port(text, server))
		return true;
	if (plait_endpoint_parse(text, &server->endpoint, why, sizeof(why)) <
		    0 ||
	    !plait_endpoint_can_connect(server->endpoint, why, sizeof(why)))
		die("%s: not [HOST:]PORT, and no endpoint: %s", text, why);
	plait_endpoint_str(server->endpoint, server->text,
			   sizeof(server->text));
	return true;
}

void server_done(struct server *s)
{
	plait_endpoint_unref(&s->endpoint);
}

static bool read_listen(const char *text, void *into)
{
	*(struct plait_endpoint **)into = read_endpoint(text);
	return true;
}

static bool read_reactor(const char *text, void *into)
{
	const char *name;

	for (size_t i = 0; (name = plait_backend_name(i)) != NULL; i++)
		if (strcmp(name, text) == 0)
			return read_text(name, into);
	return false;
}

/* The options of every program, and of every program that serves. */
enum { COMMON_OPTIONS = 4 };

static void common_options(struct program *p,
			   struct program_option ret[COMMON_OPTIONS + 1])
{
	const struct program_option all[] = {
		{ "reactor", "NAME", "epoll or select; default: the best",
		  read_reactor, &p->reactor, NULL },
		{ "port", "N", "port to serve on; default: a free one",
		  read_port, &p->port, NULL },
		{ "iface", "ADDR", "address to serve on; default: 127.0.0.1",
		  read_text, &p->iface, NULL },
		{ "listen", "ENDPOINT", "to serve on, instead of those two",
		  read_listen, &p->listen, NULL },
	};

	for (int i = 0; i < COMMON_OPTIONS; i++)
		ret[i] = all[i];
	ret[p->serves ? COMMON_OPTIONS : 1] = (struct program_option){ 0 };
}

static void help_options(const struct program_option *o)
{
	char left[64];

	for (; o != NULL && o->name != NULL; o++) {
		snprintf(left, sizeof(left), "--%s %s", o->name,
			 o->argument ? o->argument : "");
		printf("  %-30s %s\n", left, o->help);
	}
}

static void help(const struct program *p, const struct program_option *common)
{
	printf("Usage: %s [OPTION]...%s%s\n%s\n\n", program_name,
	       p->operands ? " " : "", p->operands ? p->operands : "",
	       p->about);
	help_options(p->options);
	help_options(common);
	printf("  %-30s %s\n", "--help", "this");
	exit(0);
}

static const struct program_option *find(const struct program_option *o,
					 const char *name, size_t len)
{
	for (; o != NULL && o->name != NULL; o++)
		if (strncmp(o->name, name, len) == 0 && o->name[len] == '\0')
			return o;
	return NULL;
}

/* Returns the argument that must follow option o. */
static char *following(const struct program_option *o, char ***next)
{
	if (**next == NULL)
		die("--%s needs %s", o->name, o->argument);
	return *(*next)++;
}

/* Handles the option whose name and value is text. */
static void read_option(struct program *p, const struct program_option *common,
			const char *text, char ***next)
{
	size_t len = strcspn(text, "=");
	const char *value = text[len] == '=' ? text + len + 1 : NULL;
	const struct program_option *o = find(p->options, text, len);

	if (o == NULL)
		o = find(common, text, len);
	if (o == NULL && strcmp(text, "help") == 0)
		help(p, common);
	if (o == NULL)
		die("there is no option --%.*s", (int)len, text);
	if (o->argument == NULL && value != NULL)
		die("--%s takes no value", o->name);
	if (o->argument != NULL && value == NULL)
		value = following(o, next);
	if (!o->read(value, o->into))
		die("--%s %s: not good for %s", o->name, value, o->argument);
	if (o->further != NULL)
		*o->further = following(o, next);
}

void program_start(struct program *p, int argc, char **argv)
{
	struct program_option common[COMMON_OPTIONS + 1];
	char **next = argv + 1, *arg;
	const char *slash = strrchr(argv[0], '/');
	bool only_operands = false;

	setvbuf(stdout, NULL, _IOLBF, 0);
	program_name = slash ? slash + 1 : argv[0];
	p->iface = "127.0.0.1";
	p->operand =
		argv +
		1; /* operands move down, over the options that were read */
	common_options(p, common);
	while ((arg = *next) != NULL) {
		next++;
		if (only_operands || strncmp(arg, "--", 2) != 0) {
			p->operand[p->n_operands++] = arg;
			only_operands |= p->is_command;
		} else if (arg[2] == '\0') {
			only_operands = true;
		} else {
			read_option(p, common, arg + 2, &next);
		}
	}
	p->operand[p->n_operands] = NULL;
	if (p->n_operands < p->min_operands)
		die("%s is missing; see --help", p->operands);
	if (p->n_operands > p->max_operands)
		die("%s is too much; see --help", p->operand[p->max_operands]);
}

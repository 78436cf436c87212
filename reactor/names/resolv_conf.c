/*
 * Reading /etc/resolv.conf: see resolv_conf.h.
 *
 * A line begins with its keyword, without blanks before it.  The settings and
 * the search list are one block of memory, so what is to be searched is found
 * out before it is copied.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reactor/names/resolv_conf.h"
#include "reactor/names/text.h"

enum {
	NDOTS = 1,
	MAX_NDOTS = 15,
	TIMEOUT = 5,
	MAX_TIMEOUT = 30,
	ATTEMPTS = 2,
	MAX_ATTEMPTS = 5,
	MAX_SERVER = 128, /* bytes of an address with its interface */
};

/* ---- options ------------------------------------------------------------- */

/* Cuts a number from the front, which is at most that; larger ones are cut to
   it.  Returns false if there is no digit. */
static bool resolv_conf_number(struct text *t, unsigned most, unsigned *ret)
{
	unsigned n = 0;
	size_t i;

	for (i = 0; i < t->length && t->at[i] >= '0' && t->at[i] <= '9'; i++)
		if (n <= most)
			n = n * 10 + (unsigned)(t->at[i] - '0');
	if (i == 0)
		return false;
	*ret = n < most ? n : most;
	return true;
}

/* Reads NAME:NUMBER.  Returns false if it is another option. */
static bool resolv_conf_limit(const struct text *option, const char *name,
			      unsigned least, unsigned most, unsigned *ret)
{
	struct text number = *option;
	unsigned n;

	if (!plait_i_text_begins(option, name))
		return false;
	number.at += strlen(name);
	number.length -= strlen(name);
	if (resolv_conf_number(&number, most, &n))
		*ret = n > least ? n : least;
	return true;
}

/* Returns NULL for an option that is not known, or that is no flag. */
static bool *resolv_conf_flag(struct resolv_conf *c, const struct text *option)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{ "rotate", &c->rotate },
		{ "edns0", &c->edns0 },
		{ "use-vc", &c->use_vc },
		{ "single-request", &c->single_request },
		{ "no-aaaa", &c->no_aaaa },
		{ "trust-ad", &c->trust_ad },
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		if (plait_i_text_is(option, flags[i].name))
			return flags[i].flag;
	return NULL;
}

static void resolv_conf_option(struct resolv_conf *c, const struct text *option)
{
	bool *flag = resolv_conf_flag(c, option);

	if (flag != NULL)
		*flag = true;
	else if (!resolv_conf_limit(option, "ndots:", 0, MAX_NDOTS,
				    &c->ndots) &&
		 !resolv_conf_limit(option, "timeout:", 1, MAX_TIMEOUT,
				    &c->timeout))
		resolv_conf_limit(option, "attempts:", 1, MAX_ATTEMPTS,
				  &c->attempts);
}

static void resolv_conf_options(struct resolv_conf *c, struct text line)
{
	struct text option;

	while (plait_i_text_word(&line, &option))
		resolv_conf_option(c, &option);
}

/* ---- servers ------------------------------------------------------------- */

/*
 * Puts the number of an interface in the place of its name.  If there is no
 * such interface, the server is one without: to ask it fails, as it should.
 * Without it, another server would be asked that nobody has named.
 */
static void resolv_conf_scope(const struct resolv_conf_source *from, char *host)
{
	char *name = strchr(host, '%');
	unsigned number;

	if (name == NULL || from->interface == NULL ||
	    name[1 + strspn(name + 1, "0123456789")] == '\0')
		return;
	number = from->interface(from->arg, name + 1);
	snprintf(name, MAX_SERVER - (size_t)(name - host), "%%%u", number);
}

/* The address is a number, and a word behind it does not matter. */
static void resolv_conf_server(struct resolv_conf *c,
			       const struct resolv_conf_source *from,
			       struct text line)
{
	char host[MAX_SERVER];
	struct text word;

	if (c->n_servers == RESOLV_SERVERS ||
	    !plait_i_text_word(&line, &word) ||
	    plait_i_text_is(&word, "localhost") ||
	    !plait_i_text_copy(&word, host, sizeof(host)))
		return;
	resolv_conf_scope(from, host);
	if (plait_address_parse(&c->servers[c->n_servers], host, RESOLV_PORT) ==
	    0)
		c->n_servers++;
}

/* ---- what is searched ---------------------------------------------------- */

/* Cuts to the first word. */
static struct text resolv_conf_first(struct text line)
{
	struct text word;

	plait_i_text_word(&line, &word);
	return word;
}

static size_t resolv_conf_count(struct text t)
{
	struct text word;
	size_t n = 0;

	while (plait_i_text_word(&t, &word))
		n++;
	return n;
}

/* Copies the words of t, n of them, to where there is room for t and a NUL. */
static void resolv_conf_copy(struct text t, const char **list, size_t n,
			     char *room)
{
	struct text word;

	for (size_t i = 0; i < n; i++) {
		plait_i_text_word(&t, &word);
		plait_i_text_drop_dot(&word);
		list[i] = room;
		plait_i_text_copy(&word, room, word.length + 1);
		room += word.length + 1;
	}
}

/* Gives what is set with a search list, in one block. */
static struct resolv_conf *resolv_conf_new(const struct resolv_conf *set,
					   struct text search)
{
	size_t n = resolv_conf_count(search);
	struct resolv_conf *c = malloc(sizeof(*c) + n * sizeof(const char *) +
				       search.length + 1);
	const char **list;

	if (c == NULL)
		return NULL;
	list = (const char **)(c + 1);
	*c = *set;
	c->search = list;
	c->n_search = n;
	resolv_conf_copy(search, list, n, (char *)(list + n));
	return c;
}

/* ---- lines --------------------------------------------------------------- */

/* Cuts a keyword and the blank behind it. */
static bool resolv_conf_is(const struct text *line, const char *keyword,
			   struct text *ret)
{
	size_t n = strlen(keyword);

	if (!plait_i_text_begins(line, keyword) || line->length == n ||
	    !text_is_blank(line->at[n]))
		return false;
	*ret = (struct text){ line->at + n, line->length - n };
	return true;
}

/* The last of `domain' and `search' counts, if it names any. */
static void resolv_conf_line(struct resolv_conf *c,
			     const struct resolv_conf_source *from,
			     const struct text *line, struct text *search)
{
	struct text rest;

	if (resolv_conf_is(line, "nameserver", &rest))
		resolv_conf_server(c, from, rest);
	else if (resolv_conf_is(line, "options", &rest))
		resolv_conf_options(c, rest);
	else if (resolv_conf_is(line, "domain", &rest) &&
		 resolv_conf_count(rest) > 0)
		*search = resolv_conf_first(rest);
	else if (resolv_conf_is(line, "search", &rest) &&
		 resolv_conf_count(rest) > 0)
		*search = rest;
}

/* What is searched if nothing says so: the domain of this host. */
static struct text resolv_conf_domain(const char *host)
{
	const char *dot = host != NULL ? strchr(host, '.') : NULL;

	return plait_i_text(dot != NULL ? dot + 1 : NULL);
}

struct resolv_conf *
plait_i_resolv_conf_read(const struct resolv_conf_source *from)
{
	struct resolv_conf c = {
		.refs = 1,
		.ndots = NDOTS,
		.timeout = TIMEOUT,
		.attempts = ATTEMPTS,
	};
	struct text rest = { from->text, from->length }, line;
	struct text search = resolv_conf_domain(from->host);

	while (plait_i_text_line(&rest, &line))
		resolv_conf_line(&c, from, &line, &search);
	if (from->localdomain != NULL)
		search = plait_i_text(from->localdomain);
	resolv_conf_options(&c, plait_i_text(from->res_options));
	if (c.n_servers == 0)
		resolv_conf_server(&c, from, plait_i_text("127.0.0.1"));
	return resolv_conf_new(&c, search);
}

struct resolv_conf *plait_i_resolv_conf_ref(struct resolv_conf *c)
{
	c->refs++;
	return c;
}

void plait_i_resolv_conf_unref(struct resolv_conf **cp)
{
	struct resolv_conf *c = *cp;

	*cp = NULL;
	if (c != NULL && --c->refs == 0)
		free(c);
}

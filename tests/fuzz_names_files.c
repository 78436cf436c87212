/*
 * The files of a resolver, as a fuzzer writes them: the same bytes are hosts,
 * resolv.conf and nsswitch.conf.  Each reader takes any bytes, and what it
 * gives is inside its limits.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base.h"
#include "reactor/names/hosts.h"
#include "reactor/names/nsswitch.h"
#include "reactor/names/resolv_conf.h"
#include "reactor/names/text.h"
#include "tests/fuzz.h"

enum { ROOM = 4, NAME_SIZE = 300 };

/* ---- hosts --------------------------------------------------------------- */

/* An address that a name has has a name, too. */
static void look_up(const struct hosts *h, const struct text *word)
{
	struct plait_address list[ROOM];
	char name[NAME_SIZE];
	size_t n;

	if (!plait_i_text_copy(word, name, sizeof(name)))
		return;
	n = plait_i_hosts_find(h, name, AF_UNSPEC, list, ROOM);
	plait_assert(n <= ROOM);
	for (size_t i = 0; i < n; i++)
		plait_assert(plait_i_hosts_name(h, &list[i]) != NULL);
	plait_assert(plait_i_hosts_find(h, name, AF_INET, list, ROOM) <= n ||
		     n == ROOM);
}

static void fuzz_hosts(const char *text, size_t size)
{
	struct hosts *h = plait_i_hosts_read(text, size, size);
	struct text rest = { text, size }, word;

	while (plait_i_text_word(&rest, &word))
		look_up(h, &word);
	plait_i_hosts_free(&h);
}

/* ---- resolv.conf --------------------------------------------------------- */

static unsigned number_of(void *arg, const char *name)
{
	return (unsigned)strlen(name) % 3;
}

/* What is searched was in the text, so it is no longer than that. */
static void check_settings(const struct resolv_conf *c, size_t size)
{
	size_t length = 0;

	plait_assert(c->n_servers >= 1 && c->n_servers <= RESOLV_SERVERS);
	for (unsigned i = 0; i < c->n_servers; i++)
		plait_assert(plait_address_port(&c->servers[i]) == RESOLV_PORT);
	plait_assert(c->ndots <= 15);
	plait_assert(c->timeout >= 1 && c->timeout <= 30);
	plait_assert(c->attempts >= 1 && c->attempts <= 5);
	for (size_t i = 0; i < c->n_search; i++)
		length += strlen(c->search[i]);
	plait_assert(length <= size);
}

static void fuzz_resolv_conf(const char *text, size_t size)
{
	char *string = strndup(text, size);
	struct resolv_conf_source from = { .text = text,
					   .length = size,
					   .interface = number_of };
	struct resolv_conf *c = plait_i_resolv_conf_read(&from);

	check_settings(c, size);
	plait_i_resolv_conf_unref(&c);
	from = (struct resolv_conf_source){ .localdomain = string,
					    .res_options = string };
	c = plait_i_resolv_conf_read(&from);
	check_settings(c, size);
	plait_i_resolv_conf_unref(&c);
	free(string);
}

/* ---- nsswitch.conf ------------------------------------------------------- */

static void fuzz_nsswitch(const char *text, size_t size)
{
	struct nsswitch s;

	plait_i_nsswitch_read(text, size, &s);
	plait_assert(s.n <= NSSWITCH_STEPS);
	for (size_t i = 0; i < s.n; i++)
		plait_assert(s.steps[i].source == NSSWITCH_FILES ||
			     s.steps[i].source == NSSWITCH_DNS);
}

/* They get a copy that ends where the text ends, for the sanitizer to see who
   reads on. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size);

	if (size > 0)
		memcpy(text, data, size);
	fuzz_hosts(text, size);
	fuzz_resolv_conf(text, size);
	fuzz_nsswitch(text, size);
	free(text);
	return 0;
}

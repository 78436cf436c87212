/*
 * Endpoints as a fuzzer writes them.  What is refused gives nothing but a
 * message of printable ASCII; what is read can be written, and what is written
 * is read as the same.  Then it is used: on a testing reactor a program listens
 * on it, and connects to it and goes away before it knows what comes of that.
 * A kind of the target's own has a key of each type.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <plait/endpoint.h>
#include <plait/testing.h>

#include "tests/fuzz.h"

static const struct plait_endpoint_key keys[] = {
	{ "text", PLAIT_ENDPOINT_TEXT, PLAIT_ENDPOINT_NEEDED },
	{ "host", PLAIT_ENDPOINT_HOST, 0 },
	{ "address", PLAIT_ENDPOINT_ADDRESS, PLAIT_ENDPOINT_CONNECTS },
	{ "path", PLAIT_ENDPOINT_PATH, 0 },
	{ "port", PLAIT_ENDPOINT_PORT,
	  PLAIT_ENDPOINT_LISTENS | PLAIT_ENDPOINT_NEEDED },
	{ "number", PLAIT_ENDPOINT_NUMBER, 0 },
	{ "seconds", PLAIT_ENDPOINT_SECONDS, 0 },
	{ "bytes", PLAIT_ENDPOINT_BYTES, 0 },
};

enum { N_KEYS = sizeof(keys) / sizeof(*keys) };

static const char *own_check(const struct plait_endpoint *e)
{
	plait_assert(plait_endpoint_has(e, "text"));
	for (int i = 0; i < N_KEYS; i++)
		plait_assert(plait_endpoint_has(e, keys[i].name) ||
			     plait_endpoint_number(e, keys[i].name) == 0);
	return plait_endpoint_number(e, "number") == 7 ? "not seven" : NULL;
}

static int own_listen(const struct plait_endpoint *e, struct plait_reactor *r,
		      struct plait_factory *f, struct plait_port **ret,
		      char *why)
{
	return plait_listen_tcp(r, (unsigned)plait_endpoint_number(e, "port"),
				f, NULL, ret);
}

static const struct plait_endpoint_kind own_kind = {
	.name = "own",
	.keys = keys,
	.n_keys = N_KEYS,
	.plain = 3,
	.check = own_check,
	.listen = own_listen,
};

static const struct plait_protocol_ops mute_ops = { .name = "mute" };

static plait_value ignore(plait_value *result, void *arg)
{
	return PLAIT_NONE;
}

/* It listens or connects if it can be used so, and nothing is left. */
static void use(const struct plait_endpoint *e)
{
	struct plait_factory f = { .protocol = &mute_ops };
	struct plait_reactor *r = plait_testing_reactor_new();
	struct plait_deferred *d[2];
	char why[PLAIT_ENDPOINT_WHY_SIZE] = "";

	plait_assert(plait_endpoint_can_listen(e, why, sizeof(why)) ||
		     *why != '\0');
	*why = '\0';
	plait_assert(plait_endpoint_can_connect(e, why, sizeof(why)) ||
		     *why != '\0');
	d[0] = plait_endpoint_listen(e, r, &f);
	d[1] = plait_endpoint_connect(e, r, &mute_ops, NULL);
	for (int i = 0; i < 2; i++) {
		plait_deferred_add_errback(d[i], ignore, NULL);
		plait_deferred_free(&d[i]);
	}
	plait_testing_advance(r, 0);
	plait_reactor_free(&r);
}

static void check_refused(int err, const struct plait_endpoint *e,
			  const char *why)
{
	plait_assert(err == -EINVAL && e == NULL);
	plait_assert(strncmp(why, "column ", 7) == 0);
	plait_assert(strlen(why) < PLAIT_ENDPOINT_WHY_SIZE - 1);
	for (; *why != '\0'; why++)
		plait_assert(*why >= ' ' && *why <= '~');
}

static char *write_it(const struct plait_endpoint *e)
{
	int n = plait_endpoint_str(e, NULL, 0);
	char *text = malloc((size_t)n + 1);

	plait_assert(plait_endpoint_str(e, text, (size_t)n + 1) == n);
	plait_assert(strlen(text) == (size_t)n);
	return text;
}

static void check_round_trip(const struct plait_endpoint *e)
{
	struct plait_endpoint *again;
	char *text = write_it(e), *text_again;

	plait_assert(plait_endpoint_parse(text, &again, NULL, 0) == 0);
	plait_assert(plait_endpoint_equal(e, again));
	text_again = write_it(again);
	plait_assert(strcmp(text, text_again) == 0);
	plait_endpoint_unref(&again);
	free(text_again);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	char why[PLAIT_ENDPOINT_WHY_SIZE];
	struct plait_endpoint *e = NULL;
	int err;

	plait_endpoint_register(&own_kind);
	err = plait_endpoint_parse(text, &e, why, sizeof(why));
	if (err != 0)
		check_refused(err, e, why);
	else
		check_round_trip(e);
	if (err == 0)
		use(e);
	plait_endpoint_unref(&e);
	free(text);
	return 0;
}

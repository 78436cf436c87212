/*
 * Endpoints as a fuzzer writes them.  What is refused gives nothing but a
 * message of printable ASCII; what is read can be written, and what is written
 * is read as the same.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <plait/endpoint.h>

#include "tests/fuzz.h"

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
	int err = plait_endpoint_parse(text, &e, why, sizeof(why));

	if (err != 0)
		check_refused(err, e, why);
	else
		check_round_trip(e);
	plait_endpoint_unref(&e);
	free(text);
	return 0;
}

/*
 * Addresses that a fuzzer writes: two bytes of port, then the host.  What is
 * refused changes nothing; what is read can be written, and what is written
 * is read as the same.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <plait/address.h>

#include "tests/fuzz.h"

enum { MAX_HOST = 256 };

static void check_refused(int r, const struct plait_address *a)
{
	static const struct plait_address zero;

	plait_assert(r == -EADDRNOTAVAIL);
	plait_assert(memcmp(a, &zero, sizeof(zero)) == 0);
}

static void check_round_trip(const struct plait_address *a, unsigned port)
{
	struct plait_address again;
	char host[PLAIT_ADDRESS_SIZE], text[PLAIT_ADDRESS_SIZE];

	plait_assert(plait_address_port(a) == port);
	plait_assert(plait_address_host(a, host, sizeof(host)) ==
		     (int)strlen(host));
	plait_assert(plait_address_parse(&again, host, port) == 0);
	plait_assert(memcmp(a, &again, sizeof(again)) == 0);
	plait_assert(plait_address_str(a, text, sizeof(text)) ==
		     (int)strlen(text));
	plait_assert(strstr(text, host) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { data, size };
	struct plait_address a = { .port = 0 };
	char host[MAX_HOST] = "";
	unsigned port = fuzz_byte(&f) << 8;
	int r;

	port |= fuzz_byte(&f);
	if (f.left >= sizeof(host))
		return 0;
	memcpy(host, f.data, f.left);
	r = plait_address_parse(&a, host, port);
	if (r != 0)
		check_refused(r, &a);
	else
		check_round_trip(&a, port);
	return 0;
}
